"""Tests of wsx._console.commands: the lines that a user types."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, Ping, Pong, Text
from wsx._console.commands import Command, CommandError, complete, help_text, parse
from wsx.test.support.each import each


class CommandCase(SynchronousTestCase):
    """Base class of the tests, each in its own directory."""

    def setUp(self) -> None:
        self.addCleanup(os.chdir, os.getcwd())
        directory = self.mktemp()
        os.makedirs(directory)
        os.chdir(directory)

    def refusal(self, line: str) -> str:
        """Return the one line with which a line is refused."""
        text = str(self.assertRaises(CommandError, parse, line))
        self.assertEqual(len(text.splitlines()), 1, text)
        return text


class TextTests(CommandCase):
    """Lines that are sent."""

    @each(["", "hello", " /ping", "a/b", '{"a": 1}'])
    def test_text(self, line: str) -> None:
        """A line that does not begin with a slash is sent as it is."""
        self.assertEqual(parse(line), Command("send", Text(line)))

    @each([("//", "/"), ("//ping", "/ping"), ("///x", "//x"), ("// x", "/ x")])
    def test_escape(self, line: str, text: str) -> None:
        """Two slashes stand for a text with one."""
        self.assertEqual(parse(line), Command("send", Text(text)))

    def test_not_utf8(self) -> None:
        """A text that cannot be encoded is refused."""
        self.assertIn("UTF-8", self.refusal("\udc80"))


class FrameTests(CommandCase):
    """Commands that send a frame."""

    @each(
        [
            ("/ping", Ping()),
            ("/ping some text", Ping(b"some text")),
            ("/pong", Pong()),
            ("/pong x", Pong(b"x")),
        ]
    )
    def test_pings(self, line: str, frame: Ping | Pong) -> None:
        """A ping and a pong have the payload that is typed."""
        self.assertEqual(parse(line).value, frame)

    def test_long_ping(self) -> None:
        """A payload that is too long for a control frame is refused."""
        self.assertIn("at most 125 bytes", self.refusal("/ping " + "x" * 126))

    @each(
        [
            ("/binary 00ff", b"\x00\xff"),
            ("/binary 00 FF  0a", b"\x00\xff\x0a"),
            ("/binary 0x00ff", b"\x00\xff"),
            ("/binary", b""),
        ]
    )
    def test_hexadecimal(self, line: str, payload: bytes) -> None:
        """A binary message is written in hexadecimal."""
        self.assertEqual(parse(line), Command("send", Binary(payload)))

    @each(["/binary 0", "/binary xy", "/binary 00 f"])
    def test_not_hexadecimal(self, line: str) -> None:
        """Anything else is refused."""
        self.assertIn("expected hexadecimal digits", self.refusal(line))

    def test_files(self) -> None:
        """The content of a file is sent, as text or as it is."""
        Path("text").write_bytes(b"z\xc3\xb6\nlf\n")
        self.assertEqual(parse("/send @text").value, Text("z\xf6\nlf\n"))
        self.assertEqual(parse("/binary @text").value, Binary(b"z\xc3\xb6\nlf\n"))
        Path("with space").write_bytes(b"x")
        self.assertEqual(parse("/send @with space").value, Text("x"))

    def test_home(self) -> None:
        """A path may begin with the home directory."""
        Path("text").write_text("x")
        self.patch(os, "environ", os.environ | {"HOME": os.getcwd()})
        self.assertEqual(parse("/send @~/text").value, Text("x"))

    def test_wrong_files(self) -> None:
        """A file that cannot be read, or is not a regular file, is refused without waiting."""
        os.mkfifo("pipe")
        os.mkdir("folder")
        Path("latin").write_bytes(b"\xff")
        for line, part in (
            ("/send @missing", "No such file"),
            ("/binary @missing", "No such file"),
            ("/send @pipe", "expected a regular file"),
            ("/send @/dev/zero", "expected a regular file"),
            ("/send @folder", '"@folder"'),
            ("/send @", '"@"'),
            ("/send @a\0b", "expected a file"),
            ("/send latin", "expected @FILE"),
            ("/send", "expected @FILE"),
            ("/send @latin", "a file in UTF-8"),
        ):
            self.assertIn(part, self.refusal(line), line)

    def test_large_file(self) -> None:
        """A file of more than 16 MiB is refused."""
        with open("large", "wb") as file:
            file.truncate(16 * 1024 * 1024 + 1)
        self.assertIn("at most 16777216 bytes", self.refusal("/binary @large"))


class OtherTests(CommandCase):
    """Other commands."""

    @each(
        [
            ("/close", (1000, "")),
            ("/close 1001", (1001, "")),
            ("/close 4000 good bye", (4000, "good bye")),
        ]
    )
    def test_close(self, line: str, value: tuple[int, str]) -> None:
        """The close code and the reason are optional."""
        self.assertEqual(parse(line), Command("close", value))

    @each(
        [
            ("/close 1005", "got 1005"),
            ("/close 99", "got 99"),
            ("/close bye", 'got "bye"'),
            ("/close \u0661000", "expected a close code"),
            ("/close 1000 " + "x" * 124, "at most 123 bytes"),
            ("/trace", '"on" or "off"'),
            ("/trace x", '"on" or "off"'),
            ("/status x", "expected no argument"),
            ("/reconnect now", "expected no argument"),
        ]
    )
    def test_wrong_arguments(self, line: str, part: str) -> None:
        """A wrong argument is refused with what is expected."""
        self.assertIn(part, self.refusal(line))

    @each([("/status", None), ("/reconnect", None), ("/help", None), ("/trace on", True)])
    def test_simple(self, line: str, value: object) -> None:
        """These commands have their name and, for trace, a switch."""
        self.assertEqual(parse(line), Command(line[1:].split()[0], value))

    def test_trace_off(self) -> None:
        """Trace can be switched off."""
        self.assertEqual(parse("/trace off"), Command("trace", False))

    @each(
        [
            ("/clos", "did you mean /close?"),
            ("/foo", "/help lists the commands"),
            ("/", "unknown command"),
            ("/x\x1by", '"//x\\x1by" sends "/x\\x1by"'),
        ]
    )
    def test_unknown(self, line: str, part: str) -> None:
        """An unknown command is not sent; the message says how to send it."""
        self.assertIn(part, self.refusal(line))

    def test_help(self) -> None:
        """The help has a line for each command, and for the escape."""
        names = [line.split()[0] for line in help_text().split("\n")]
        self.assertEqual(names[-3:], ["//TEXT", "Ctrl-D", "Ctrl-C"])
        for name in names[:-3]:
            text = "" if "unknown" not in self.outcome(name) else self.outcome(name)
            self.assertEqual(text, "", name)

    def outcome(self, line: str) -> str:
        """Return the text of an error, or "" if the line is valid."""
        try:
            parse(line)
        except CommandError as error:
            return str(error)
        return ""


class CompletionTests(CommandCase):
    """Completion of commands."""

    @each(
        [
            ("/pi", ["/ping"]),
            ("/p", ["/ping", "/pong"]),
            ("/trace ", ["/trace on", "/trace off"]),
            ("/trace of", ["/trace off"]),
            (
                "/close 100",
                [
                    "/close 1000",
                    "/close 1001",
                    "/close 1002",
                    "/close 1003",
                    "/close 1007",
                    "/close 1008",
                    "/close 1009",
                ],
            ),
            ("/send ", ["/send @"]),
            ("/foo ", []),
            ("//pi", []),
            ("pi", []),
            ("", []),
        ]
    )
    def test_commands(self, typed: str, expected: list[str]) -> None:
        """Commands, switches and close codes are completed."""
        self.assertEqual(complete(typed), expected)

    def test_all_commands(self) -> None:
        """A slash alone is completed to every command."""
        self.assertEqual(
            complete("/"),
            [
                "/ping",
                "/pong",
                "/close",
                "/binary",
                "/send",
                "/status",
                "/trace",
                "/reconnect",
                "/help",
            ],
        )

    def test_files(self) -> None:
        """Paths of files are completed; a folder ends with a slash."""
        os.mkdir("folder")
        Path("folder/inner").touch()
        Path("file").touch()
        Path("fi\x1b").touch()
        self.assertEqual(complete("/send @f"), ["/send @file", "/send @folder/"])
        self.assertEqual(complete("/binary @folder/i"), ["/binary @folder/inner"])
        self.assertEqual(complete("/send @missing/x"), [])
