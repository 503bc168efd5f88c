"""Tests of wsx._console.options: the options of the console."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import Any

from twisted.application.app import ServerOptions
from twisted.scripts._twistd_unix import ServerOptions as TwistdOptions

from wsx import tap
from wsx._console.limits import Limits
from wsx._console.options import ConsoleOptions
from wsx.test.support.console import FakeFrontend, Terminal
from wsx.test.support.each import each
from wsx.test.support.twistd import HANDLERS, OptionsCase, parse

URL = ["--url", "ws://127.0.0.1:1/"]
HANDLER = [*URL, "--handler", f"{HANDLERS}.Feed"]


def limits(*arguments: str) -> Limits:
    """Return the limits that a command line sets."""
    console: Any = parse(*URL, *arguments)["chosen_handler"]
    found: Limits = console._limits
    return found


class LimitTests(OptionsCase):
    """When the console ends."""

    @each(
        [
            ("none", [], Limits()),
            ("once", ["--once"], Limits(max_messages=1)),
            ("messages", ["--max-messages", "12"], Limits(max_messages=12)),
            ("close", ["--expect-close", "1006"], Limits(expect_close=1006)),
            ("timeout", ["--timeout", "2.5", "--once"], Limits(max_messages=1, timeout=2.5)),
        ]
    )
    def test_limits(self, _: str, arguments: list[str], expected: Limits) -> None:
        """The options set the limits of the console."""
        self.assertEqual(limits(*arguments), expected)

    @each(
        [
            ("messages_0", ["--max-messages", "0"], "--max-messages: expected a whole number"),
            ("messages_x", ["--max-messages", "x"], "--max-messages: expected a whole number"),
            ("close_999", ["--expect-close", "999"], "--expect-close: expected a close code"),
            ("close_1004", ["--expect-close", "1004"], "--expect-close: expected a close code"),
            ("close_x", ["--expect-close", "bye"], "--expect-close: expected a close code"),
            ("close_1015", ["--expect-close", "1015"], "--expect-close: expected a close code"),
            ("timeout_0", ["--timeout", "0"], "--timeout: expected a number above 0"),
            ("timeout_inf", ["--timeout", "inf"], "--timeout: expected a number above 0"),
            ("empty", ["--timeout", ""], "--timeout: expected a number above 0"),
        ]
    )
    def test_wrong_values(self, _: str, arguments: list[str], part: str) -> None:
        """A wrong value is refused."""
        self.assertIn(part, self.refusal(*URL, *arguments))

    @each(
        [
            ("once_messages", ["--once", "--max-messages", "2"], "--once: expected no --max-"),
            ("close_once", ["--expect-close", "1000", "--once"], "--expect-close: expected no"),
            (
                "close_messages",
                ["--expect-close", "1000", "--max-messages", "1"],
                "--expect-close: expected no",
            ),
            ("restart", ["--once", "--restart", "permanent"], "--once: expected no --restart"),
            ("restart_t", ["--timeout", "1", "--restart", "transient"], "--timeout: expected no"),
        ]
    )
    def test_combinations(self, _: str, arguments: list[str], part: str) -> None:
        """Options that exclude each other are refused."""
        self.assertIn(part, self.refusal(*URL, *arguments))

    def test_restart_temporary(self) -> None:
        """The default of --restart may be given."""
        self.assertEqual(limits("--once", "--restart", "temporary"), Limits(max_messages=1))


class ModeTests(OptionsCase):
    """Options of the console with something else."""

    @each(
        [
            ("once", ["--once"]),
            ("jsonl", ["--jsonl"]),
            ("no_history", ["--no-history"]),
            ("messages", ["--max-messages", "1"]),
            ("close", ["--expect-close", "1000"]),
            ("timeout", ["--timeout", "1"]),
        ]
    )
    def test_other_modes(self, _: str, arguments: list[str]) -> None:
        """They are refused with a handler, a file of clients, and the demos."""
        for others in (HANDLER, ["--config", "missing.toml"], ["--demo"], ["--demo-server"]):
            line = self.refusal(*others, *arguments)
            self.assertIn(f"{arguments[0]}: expected no --", line)

    def test_is_console(self) -> None:
        """The console is what runs without a handler."""
        self.assertTrue(parse(*URL).is_console)
        self.assertFalse(parse(*HANDLER).is_console)
        self.assertFalse(parse("--demo").is_console)

    def test_detached(self) -> None:
        """The console cannot run without a terminal, so twistd needs -n."""
        options = TwistdOptions()
        error = self.assertRaises(SystemExit, options.parseOptions, ["wsx", *URL])
        self.assertIn('expected "twistd -n wsx"', str(error.code))
        options = TwistdOptions()
        options.parseOptions(["wsx", *HANDLER])

    def test_base_class(self) -> None:
        """The options of the console are part of those of ``twistd wsx``."""
        self.assertTrue(issubclass(tap.Options, ConsoleOptions))
        self.assertFalse(issubclass(ServerOptions, ConsoleOptions))


class LogTests(OptionsCase):
    """Where the log goes with line editing."""

    def lines(self, errors: StringIO) -> list[str]:
        """Return the log lines on the terminal after one event."""
        self.patch(sys, "__stderr__", errors)
        shown: list[str] = []
        frontend = FakeFrontend()
        frontend.log = lambda when, style, text: shown.append(text)  # type: ignore[attr-defined]
        observer = parse(*URL)._choose_observer(frontend)
        assert observer is not None
        observer({"log_time": 0.0, "log_namespace": "wsx", "log_format": "connected"})
        return shown

    def test_terminal(self) -> None:
        """If standard error is the terminal, the log is above the prompt only."""
        errors = Terminal()
        self.assertEqual(self.lines(errors), ["connected"])
        self.assertEqual(errors.getvalue(), "")

    def test_file(self) -> None:
        """If standard error is a file, it has the log as well."""
        errors = StringIO()
        self.assertEqual(self.lines(errors), ["connected"])
        self.assertRegex(errors.getvalue(), r" - connected\n\Z")


class HeaderTests(OptionsCase):
    """Headers from variables."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", os.environ | {"WSX_TOKEN": "opensesame \n", "WSX_BAD": "a\nb"})

    def test_header(self) -> None:
        """The value of the header is that of the variable, and is never shown."""
        conn = parse(*URL, "--header", "A: 1", "--header-env", "X-Mine=WSX_TOKEN")["conn"]
        self.assertEqual(conn.extra_headers, (("A", "1"), ("X-Mine", "opensesame")))
        self.assertNotIn("opensesame", repr(conn))

    @each(
        [
            ("X-Mine=WSX_MISSING", 'a variable that is set, got "X-Mine=WSX_MISSING"'),
            ("X-Mine=WSX_BAD", 'the value of a header, got "X-Mine=WSX_BAD"'),
            ("X-Mine", "NAME=VARIABLE"),
            ("X Mine=WSX_TOKEN", "NAME=VARIABLE"),
            ("=WSX_TOKEN", "NAME=VARIABLE"),
            ("X-Mine=", "NAME=VARIABLE"),
        ]
    )
    def test_wrong(self, given: str, part: str) -> None:
        """Anything else is refused."""
        line = self.refusal(*URL, "--header-env", given)
        self.assertIn(part.replace("a variable", "an environment variable"), line)

    @each(["Authorization=Bearer s3cr3t!", "Authorization: Bearer s3cr3t!", "X=s3cr3t-s3cr3t"])
    def test_secret_in_place_of_a_variable(self, given: str) -> None:
        """A secret that was given in place of the name of a variable is not shown."""
        self.assertNotIn("s3cr3t", self.refusal(*URL, "--header-env", given))
