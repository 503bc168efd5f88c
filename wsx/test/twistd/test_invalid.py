"""Tests of wsx._twistd.invalid: the message for a wrong value."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._twistd.invalid import InvalidValue, alternatives, reason_of


class InvalidValueTests(SynchronousTestCase):
    """The form of a message."""

    def test_value(self) -> None:
        """It names the option, what was expected and the value."""
        error = InvalidValue("JSON", "{")
        self.assertEqual(error.about("--state"), '--state: expected JSON, got "{"')

    def test_reason(self) -> None:
        """A reason follows the value."""
        error = InvalidValue("a file", "ca.pem", "Permission denied")
        self.assertEqual(
            error.about("--cacerts"), '--cacerts: expected a file, got "ca.pem": Permission denied'
        )

    def test_containers(self) -> None:
        """Of a list and a dict only the type is shown: a secret may be in them."""
        for value, name in ((["s3cr3t"], "list"), ({"s3cr3t": "s3cr3t"}, "dict")):
            message = InvalidValue("a str", value).about("url")
            self.assertEqual(message, f"url: expected a str, got {name}")

    def test_one_line(self) -> None:
        """A value with newlines and control characters is shown on one line."""
        message = InvalidValue("a name", "two\nlines\x1b[2J").about("--name")
        self.assertEqual(message, r'--name: expected a name, got "two\nlines\x1b[2J"')

    def test_long(self) -> None:
        """A long value is truncated."""
        self.assertLess(len(InvalidValue("a name", "x" * 10_000).about("--name")), 200)

    def test_str(self) -> None:
        """The text of the error is a message too."""
        self.assertEqual(str(InvalidValue("JSON", "{")), 'value: expected JSON, got "{"')


class TextTests(SynchronousTestCase):
    """The parts of a message."""

    def test_alternatives(self) -> None:
        """Words are quoted, and the last two are joined by "or"."""
        for words, text in (
            (["a"], '"a"'),
            (["a", "b"], '"a" or "b"'),
            (["a", "b", "c"], '"a", "b" or "c"'),
        ):
            self.assertEqual(alternatives(words), text)

    def test_reasons(self) -> None:
        """The operating system's text, the text of wsx, or class and text of other exceptions."""
        for error, text in (
            (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
            (OSError("no number"), "no number"),
            (ValueError("first\n  second"), "first second"),
            (TypeError("wrong"), "wrong"),
            (LookupError("none"), "LookupError: none"),
        ):
            self.assertEqual(reason_of(error), text)
