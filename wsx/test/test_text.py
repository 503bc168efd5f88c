"""Tests of wsx._text: how external values are shown in messages."""

from __future__ import annotations

import unicodedata

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._text import (
    describe,
    escape,
    expected,
    expected_type,
    line,
    quote,
    safely,
    shorten,
    truncate,
)
from wsx.test.support import case
from wsx.test.support.each import each


class Broken:
    """A value whose ``repr`` and ``str`` raise."""

    def __repr__(self) -> str:
        raise OSError("no repr")


class EscapeTests(SynchronousTestCase):
    """``escape`` leaves nothing that moves the cursor or reorders text."""

    @each(
        [
            ("escape", "a\x1b[31mb", "a\\x1b[31mb"),
            ("bell", "a\x07b", "a\\x07b"),
            ("null", "a\0b", "a\\x00b"),
            ("newline", "a\r\nb", "a\\r\\nb"),
            ("delete", "a\x7fb", "a\\x7fb"),
            ("c1", "a\x9b31mb", "a\\x9b31mb"),
            ("separators", "a\u2028b\u2029c", "a\\u2028b\\u2029c"),
            ("override", "a\u202eb", "a\\u202eb"),
            ("isolate", "a\u2066b\u2069", "a\\u2066b\\u2069"),
            ("marks", "\u200ea\u200fb\u061c", "\\u200ea\\u200fb\\u061c"),
        ]
    )
    def test_escaped(self, name: str, text: str, shown: str) -> None:
        """Control characters, separators and bidirectional marks become escape sequences."""
        self.assertEqual(escape(text), shown)

    def test_every_control_character(self) -> None:
        """No control character and no bidirectional control of Unicode remains."""
        bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for code in range(0x110000):
            char = chr(code)
            is_control = unicodedata.category(char) == "Cc"
            if is_control or unicodedata.bidirectional(char) in bidirectional:
                self.assertTrue(escape(char).isascii(), hex(code))
                self.assertTrue(escape(char).isprintable(), hex(code))

    def test_lone_surrogate(self) -> None:
        """A lone surrogate is escaped: a log file in UTF-8 cannot hold it."""
        self.assertEqual(escape("a\ud800b"), "a\\ud800b")

    @each(["plain", "é", "日本語", "😀", "a b", "\\n", '"'])
    def test_unchanged(self, text: str) -> None:
        """Every other character is unchanged."""
        self.assertEqual(escape(text), text)


class TruncateTests(SynchronousTestCase):
    """``truncate`` and ``shorten`` replace the middle of a long text."""

    @each([(10, "0123456789"), (9, "012...789"), (8, "01...789"), (3, "...")])
    def test_limit(self, limit: int, shown: str) -> None:
        """A text as long as the limit is complete; a longer one is truncated to the limit."""
        self.assertEqual(truncate("0123456789", limit), shown)
        self.assertEqual(len(shown), limit)

    def test_default_limit(self) -> None:
        """The default limit is 75 characters."""
        self.assertEqual(truncate("x" * 75), "x" * 75)
        self.assertEqual(len(truncate("x" * 76)), 75)

    def test_shorten_boundary(self) -> None:
        """A repr of 75 characters is complete; one of 76 is truncated to 75."""
        whole, cut = shorten("x" * 73), shorten("x" * 74)
        self.assertEqual(whole, repr("x" * 73))
        self.assertEqual(len(cut), 75)
        self.assertIn("...", cut)

    def test_shorten_keeps_both_ends(self) -> None:
        """Both ends of the text are kept."""
        text = shorten("begin" + "x" * 200 + "end")
        self.assertTrue(text.startswith("'begin"), text)
        self.assertTrue(text.endswith("end'"), text)

    def test_shorten_repr_that_raises(self) -> None:
        """A value whose ``repr`` raises is named by its class."""
        self.assertEqual(shorten(Broken()), "<Broken: repr() raised OSError>")


class QuoteTests(SynchronousTestCase):
    """``quote`` formats a value for a message."""

    @each(
        [
            ("text", "x", '"x"'),
            ("empty", "", '""'),
            ("number", 5, "5"),
            ("none", None, "None"),
            ("bytes", b"x", "b'x'"),
            ("list", ["x"], "['x']"),
            ("escaped", "a\x1bb\n", '"a\\x1bb\\n"'),
        ]
    )
    def test_quote(self, name: str, value: object, shown: str) -> None:
        """A str is in double quotes, anything else is its ``repr``."""
        self.assertEqual(quote(value), shown)

    def test_long(self) -> None:
        """The text inside the quotes is truncated to the limit."""
        self.assertEqual(quote("0123456789", 9), '"012...789"')
        self.assertEqual(quote(list(range(100)), 9), "[0,...99]")

    def test_repr_with_control_characters(self) -> None:
        """The ``repr`` of a user-defined class is escaped."""

        class Rude:
            def __repr__(self) -> str:
                return "\x1b[2J"

        self.assertEqual(quote(Rude()), "\\x1b[2J")


class LineTests(SynchronousTestCase):
    """``line`` makes one line of external text."""

    @each(
        [
            ("white space", " a\r\n\tb \u2028 c ", "a b c"),
            ("escaped", "a\x1b[2J\u202eb", "a\\x1b[2J\\u202eb"),
            ("long", "0123456789abc", "0123...9abc"),
        ]
    )
    def test_line(self, label: str, text: str, shown: str) -> None:
        """White space is joined; the rest is escaped and truncated."""
        self.assertEqual(line(text, 11 if label == "long" else 75), shown)


class ExpectedTests(SynchronousTestCase):
    """``expected`` builds the message for a wrong value."""

    @each(
        [
            (
                "--handler",
                '"module.Class"',
                "echo",
                '--handler: expected "module.Class", got "echo"',
            ),
            ("limit", "a number above 0", -1, "limit: expected a number above 0, got -1"),
        ]
    )
    def test_form(self, subject: str, expectation: str, value: object, message: str) -> None:
        """The message has the subject, the expectation and the value."""
        self.assertEqual(expected(subject, expectation, value), message)

    def test_without_value(self) -> None:
        """A value that may be a secret is left out, or only its type is shown."""
        self.assertEqual(expected("header X", "text"), "header X: expected text")
        self.assertEqual(expected("limit", "a number", None), "limit: expected a number, got None")
        self.assertEqual(expected_type("cacerts", "PEM", b"x"), "cacerts: expected PEM, got bytes")

    def test_value_is_escaped_and_cut(self) -> None:
        """Any value is shown on one line and shortened."""
        message = expected("url", "a URL", "\x1b" * 1000)
        self.assertTrue(message.isprintable(), message)
        self.assertLess(len(message), 110)


class DescribeTests(SynchronousTestCase):
    """``describe`` says in one line why something ended."""

    def test_describe(self) -> None:
        """Any reason is described in one line."""
        cases: list[tuple[object, str]] = [
            (wsx.PingTimeout(), str(wsx.PingTimeout())),
            (ValueError("two\n lines"), "ValueError: two lines"),
            (KeyError(), "KeyError"),
            (7, "7"),
        ]
        for reason, shown in cases:
            with case(reason):
                self.assertEqual(describe(reason), shown)

    def test_describe_close(self) -> None:
        """A close is described with its code and message."""
        for reason in (wsx.LocalClose(1001, "bye"), wsx.RemoteClose(1001, "bye")):
            with case(reason):
                self.assertIn("1001", describe(reason))
                self.assertIn("bye", describe(reason))

    def test_full_stop(self) -> None:
        """A full stop at the end of an exception's text is removed."""
        self.assertEqual(describe(OSError("gone.")), "OSError: gone")

    def test_escaped(self) -> None:
        """Control characters of an exception's text are escaped."""
        self.assertEqual(describe(ValueError("a\x1b[2Jb")), "ValueError: a\\x1b[2Jb")

    def test_long(self) -> None:
        """A long text is truncated to 300 characters."""
        self.assertEqual(len(describe(ValueError("x" * 60_000))), 300)

    def test_reason_without_text(self) -> None:
        """A reason without ``__str__`` is shown as its ``repr``."""

        class Reason:
            def __repr__(self) -> str:
                return "Reason()"

        self.assertEqual(describe(Reason()), "Reason()")

    def test_text_that_raises(self) -> None:
        """An exception whose ``str`` raises is described."""

        class Unspeakable(Exception):
            def __str__(self) -> str:
                raise TypeError

        self.assertIn("Unspeakable", describe(Unspeakable()))


class SafelyTests(SynchronousTestCase):
    """``safely`` calls a function that may raise."""

    def test_result(self) -> None:
        """It returns what the function returns."""
        self.assertEqual(safely(repr, "x"), "'x'")

    @each([repr, str])
    def test_raises(self, function: type[str]) -> None:
        """If the function raises, the text names the class, the function and the exception."""
        self.assertEqual(
            safely(function, Broken()), f"<Broken: {function.__name__}() raised OSError>"
        )
