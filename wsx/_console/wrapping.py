"""Break the lines of an entry at the width of the terminal, and indent the further rows.

A row that the terminal breaks itself would begin in the first column: a server could pad a message
so that a row of it looks like another message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import category, east_asian_width

__all__ = ["Fragment", "wrap"]

Fragment = tuple[str, str]  # The name of a style, and text.

_WORD: Final = re.compile(r" *[^ ]+| +")
_TAB: Final = 8


def wrap(
    line: list[Fragment], columns: int, start: int, indent: str, words: bool
) -> Iterator[Fragment]:
    """Yield a line as rows of a terminal, separated by line breaks.

    Args:
        line: The fragments of a line. Each is a tab or printable characters.
        columns: The width of the terminal.
        start: The column in which the line begins.
        indent: The text before each further row.
        words: Whether to break the line between words where possible.
    """
    if _fits(line, columns - start):
        yield from line
        return
    column = start
    for style, text in line:
        row = ""
        for piece in _WORD.findall(text) if words else text:
            for part in _parts(piece, columns - len(indent)):
                width = _width(part, column)
                if column + width > columns and column > len(indent):
                    yield from _nonempty(style, row)
                    yield "", f"\n{indent}"
                    row, column = "", len(indent)
                    part = part.lstrip(" ") if words else part
                    width = _width(part, column)
                row += part
                column += width
        yield from _nonempty(style, row)


def _nonempty(style: str, text: str) -> Iterator[Fragment]:
    if text:
        yield style, text


def _fits(line: list[Fragment], width: int) -> bool:
    """Return whether a line certainly fits, without a look at each of its characters."""
    length = sum(len(text) for _, text in line)
    if length > width:
        return False
    is_narrow = all(text.isascii() and "\t" not in text for _, text in line)
    return is_narrow or (length * 2 <= width and not any("\t" in text for _, text in line))


def _parts(piece: str, width: int) -> Iterator[str]:
    """Yield a word, or its characters if it is longer than a row."""
    if len(piece) * 2 <= width or _width(piece, 0) <= width:
        yield piece
    else:
        yield from piece


def _width(text: str, column: int) -> int:
    """Return the number of columns that text takes."""
    if text.isascii() and "\t" not in text:
        return len(text)
    width = 0
    for character in text:
        if character == "\t":
            width += _TAB - (column + width) % _TAB
        elif east_asian_width(character) in "WF":
            width += 2
        else:
            width += category(character) not in ("Mn", "Me")
    return width
