"""Tests of wsx._console.wrapping: rows of a terminal."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._console.wrapping import Fragment, wrap
from wsx.test.support.each import each


def rows(text: str, columns: int, words: bool = False) -> list[str]:
    """Return the rows of a line that begins in column 4, with an indentation of 2."""
    fragments = wrap([("style", text)], columns, 4, "  ", words)
    return "".join(part for _, part in fragments).split("\n")


class CharacterTests(SynchronousTestCase):
    """Rows that may end at any character."""

    @each(
        [
            ("short", "abcdef", ["abcdef"]),
            ("exact", "abcdefgh", ["abcdefgh"[:6], "  gh"]),
            ("long", "a" * 20, ["a" * 6, "  " + "a" * 8, "  " + "a" * 6]),
            ("spaces", "ab cd ef gh", ["ab cd ", "  ef gh"]),
            ("wide", "\u6f22" * 6, ["\u6f22" * 3, "  " + "\u6f22" * 3]),
            ("odd wide", "a" + "\u6f22" * 4, ["a" + "\u6f22" * 2, "  " + "\u6f22" * 2]),
            ("combining", "e\u0301" * 7, ["e\u0301" * 6, "  e\u0301"]),
            ("tab", "a\tbcd", ["a\tbc", "  d"]),
        ]
    )
    def test_rows(self, _: str, text: str, expected: list[str]) -> None:
        """A row has at most 10 columns."""
        self.assertEqual(rows(text, 10), expected)

    def test_styles(self) -> None:
        """The parts of a fragment keep its style; the indentation has none."""
        line: list[Fragment] = [("in", "abcd"), ("escape", "\\x1b"), ("in", "e")]
        self.assertEqual(
            list(wrap(line, 10, 4, "  ", False)),
            [("in", "abcd"), ("escape", "\\x"), ("", "\n  "), ("escape", "1b"), ("in", "e")],
        )

    def test_narrower_than_the_indentation(self) -> None:
        """Each row has a character at least, however narrow the terminal is."""
        self.assertEqual(rows("abc", 1)[1:], ["  a", "  b", "  c"])


class WordTests(SynchronousTestCase):
    """Rows that end between words."""

    @each(
        [
            ("words", "ab cd ef gh", ["ab cd", "  ef gh"]),
            ("long word", "ab cdefghijklm", ["ab cde", "  fghijklm"]),
            ("spaces", "ab     cd", ["ab", "  cd"]),
        ]
    )
    def test_rows(self, _: str, text: str, expected: list[str]) -> None:
        """A word moves to the next row if it fits there; a longer one is broken."""
        self.assertEqual(rows(text, 10, words=True), expected)
