"""Tests of wsx._twistd.config_error: messages about dotted keys."""

from __future__ import annotations

from typing import NoReturn

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._twistd.config_error import ConfigError, checked, refuse_unknown
from wsx._twistd.invalid import InvalidValue

KEY = "clients.feed.reconnect"


def failing(error: Exception) -> NoReturn:
    """Raise an error."""
    raise error


class CheckedTests(SynchronousTestCase):
    """Errors of other modules become errors about a key."""

    def about(self, error: Exception, key: str = KEY) -> str:
        """Return the message about a key whose check raises an error."""
        return str(self.assertRaises(ConfigError, checked, key, failing, error))

    def test_result(self) -> None:
        """Without an error the result is returned."""
        self.assertEqual(checked(KEY, divmod, 7, 2), (3, 1))

    def test_invalid_value(self) -> None:
        """The key becomes the subject of the message."""
        message = self.about(InvalidValue("a table", "x", "reason"))
        self.assertEqual(message, f'{KEY}: expected a table, got "x": reason')

    def test_argument(self) -> None:
        """The name of the argument is replaced by the key, or appended to it."""
        for name, key in (
            ("reconnect", KEY),
            ("jitter", f"{KEY}.jitter"),
            ("reconnect jitter", f"{KEY}.jitter"),
        ):
            message = self.about(ValueError(f"{name}: expected a number, got 'x'"))
            self.assertEqual(message, f"{key}: expected a number, got 'x'")

    def test_header(self) -> None:
        """A header's name is appended to the key."""
        key = "clients.feed.extra_headers"
        message = self.about(ValueError("header X-Key: expected a value"), key)
        self.assertEqual(message, f"{key}.X-Key: expected a value")

    def test_real_argument(self) -> None:
        """The messages of wsx have this form."""
        error = self.assertRaises(ConfigError, checked, KEY, wsx.Backoff, jitter=7)
        self.assertEqual(str(error), f"{KEY}.jitter: expected a number from 0 to 1, got 7")

    def test_other_errors(self) -> None:
        """The text of any other error follows the key, on one line."""
        self.assertEqual(self.about(ValueError("first\nsecond")), f"{KEY}: first second")
        self.assertEqual(self.about(LookupError("x")), f"{KEY}: LookupError: x")

    def test_config_error(self) -> None:
        """An error about another key is left as it is."""
        self.assertEqual(self.about(ConfigError("a.b", "wrong")), "a.b: wrong")


class UnknownKeyTests(SynchronousTestCase):
    """Keys that a table may not have."""

    def refusal(self, key: str) -> str:
        """Return the message about a key."""
        known = ["url", "handler", "ping_interval"]
        return str(self.assertRaises(ConfigError, refuse_unknown, "clients.feed.", {key: 1}, known))

    def test_similar(self) -> None:
        """A key that is similar to a known one is followed by that one."""
        for key, similar in (("ulr", "url"), ("ping-interval", "ping_interval")):
            self.assertEqual(
                self.refusal(key), f"clients.feed.{key}: unknown key (did you mean {similar}?)"
            )

    def test_different(self) -> None:
        """A key that is not similar to any is not."""
        self.assertEqual(self.refusal("nonsense"), "clients.feed.nonsense: unknown key")

    def test_known(self) -> None:
        """Known keys are accepted."""
        refuse_unknown("", {"url": 1}, ["url"])


class TextTests(SynchronousTestCase):
    """The text of an error."""

    def test_command_line(self) -> None:
        """A key is shown behind the path; without a key the subject is --config."""
        self.assertEqual(
            ConfigError("clients.feed.url", "wrong").on_command_line("conf/clients.toml"),
            "conf/clients.toml: clients.feed.url: wrong",
        )
        self.assertEqual(
            ConfigError("", "No such file").on_command_line("none.toml"),
            '--config: expected a TOML file, got "none.toml": No such file',
        )

    def test_one_line(self) -> None:
        """The text is one line and has a limit."""
        text = str(ConfigError("two\nlines", "x" * 10_000))
        self.assertTrue(text.startswith(r"two\nlines: xxx"))
        self.assertLess(len(text), 1000)
