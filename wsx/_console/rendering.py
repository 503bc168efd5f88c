"""Text for a terminal: records, log lines and notices as fragments with a style."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from wsx._console.close_codes import name_of
from wsx._console.json_layout import lay_out
from wsx._console.records import IN, Record
from wsx._console.wrapping import Fragment, wrap
from wsx._text import escape_character

__all__ = ["STYLES", "Fragment", "render", "render_text", "to_ansi", "to_plain"]

# SGR parameters (ECMA-48 section 8.3.117) by style.
STYLES: Final = {
    "": "",
    "time": "2",
    "in": "32",
    "out": "36",
    "notice": "35",
    "log": "2",
    "warning": "33",
    "error": "31",
    "escape": "7",
}

_SHOWN_CHARACTERS: Final = 64 * 1024  # of a text message
_SHOWN_BYTES: Final = 4096  # of a binary message
_ROWS: Final = {16: 78, 8: 45, 4: 29}  # bytes in a line of a hex dump, and its columns
_JSON_LIMIT: Final = 1024 * 1024  # characters; parsing a longer text would block the reactor
_INDENT: Final = " " * len("12:00:00.000 < ")
_NARROW: Final = 40  # columns; in a narrower terminal, further rows are indented less
# Characters that Unicode calls printable but that have no visible form.
_INVISIBLE: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0"
_INVISIBLE_CHARACTER: Final = re.compile(f"[{_INVISIBLE}\U000e0100-\U000e01ef]")


def render(record: Record, columns: int | None = None) -> list[Fragment]:
    """Return what a terminal shows for a record, with a newline; nothing for events without frame.

    The log has a line for each of those events.

    Args:
        record: The record.
        columns: The width of the terminal, or None (default) to break no lines.
    """
    if record.direction is None:
        return []
    style, sign = ("in", "<") if record.direction == IN else ("out", ">")
    space = 0 if columns is None else max(0, columns - len(_INDENT))
    return _entry(record.time, style, sign, _body(record, space), columns=columns)


def render_text(time: float, style: str, text: str, columns: int | None = None) -> list[Fragment]:
    """Return what a terminal shows for a log line or a notice, with a newline.

    Args:
        time: The time in seconds since the epoch.
        style: A key of ``STYLES``.
        text: One or more lines.
        columns: The width of the terminal, or None (default) to break no lines.
    """
    return _entry(time, style, "-", text, style, columns, words=True)


def _entry(
    time: float,
    style: str,
    sign: str,
    body: str,
    body_style: str = "",
    columns: int | None = None,
    words: bool = False,
) -> list[Fragment]:
    stamp = datetime.fromtimestamp(time).strftime("%H:%M:%S.%f")[:-3]
    fragments = [("time", f"{stamp} "), (style, f"{sign} ")]
    # A line of a message must not look like the beginning of an entry, so it is indented.
    indent = "  " if columns is not None and columns < _NARROW else _INDENT
    start = len(_INDENT)
    for line in body.split("\n"):
        if start != len(_INDENT) or len(fragments) > 2:
            fragments.append(("", indent))
            start = len(indent)
        escaped = list(_escaped(line, body_style))
        fragments += escaped if columns is None else wrap(escaped, columns, start, indent, words)
        fragments.append(("", "\n"))
    return fragments


def _body(record: Record, space: int) -> str:
    """Return the text of a record, laid out for a number of columns; 0 if that is not known."""
    match record.kind, record.payload:
        case "text", str(text):
            return _text_body(text, space)
        case "binary", bytes(data):
            return _binary_body(data, space)
        case "close", reason:
            code = record.code or 0
            return f"close {code} ({name_of(code)}) {reason!s}".rstrip()
        case kind, bytes(data):
            return f"{kind} {data.decode('utf-8', 'backslashreplace')}".rstrip()
    return f"{record.kind} {record.payload!s}".rstrip()


def _text_body(text: str, space: int) -> str:
    laid_out = lay_out(text, space) if len(text) <= _JSON_LIMIT else None
    shown = text if laid_out is None else laid_out
    if len(shown) <= _SHOWN_CHARACTERS:
        return shown
    return f"{shown[:_SHOWN_CHARACTERS]}\n... (message of {len(text)} characters)"


def _binary_body(data: bytes, space: int) -> str:
    row = next((size for size, columns in _ROWS.items() if columns <= space), 4 if space else 16)
    lines = [f"binary message, {len(data)} {'byte' if len(data) == 1 else 'bytes'}"]
    shown = data[:_SHOWN_BYTES]
    lines += [_hex_line(at, shown[at : at + row], row) for at in range(0, len(shown), row)]
    if len(data) > _SHOWN_BYTES:
        lines.append(f"... ({len(data) - _SHOWN_BYTES} more bytes)")
    return "\n".join(lines)


def _hex_line(at: int, data: bytes, row: int) -> str:
    """Return one line of a hex dump: offset, bytes in groups of up to 8, and ASCII."""
    size = min(row, 8)
    groups = [data[start : start + size].hex(" ") for start in range(0, row, size)]
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    columns = "  ".join(f"{group:{size * 3 - 1}}" for group in groups)
    return f"{at:08x}  {columns}  |{shown}|"


def _escaped(line: str, style: str) -> Iterator[Fragment]:
    """Yield a line, with each character that is not visible escaped, in a style of its own.

    A malicious server could otherwise send escape sequences to the terminal, or reorder its text.
    """
    shown = ""
    for character in line:
        if _is_visible(character):
            shown += character
        else:
            if shown:
                yield style, shown
            yield "escape", escape_character(character)
            shown = ""
    if shown:
        yield style, shown


def _is_visible(character: str) -> bool:
    if character == "\t":
        return True
    return character.isprintable() and not _INVISIBLE_CHARACTER.match(character)


def to_ansi(fragments: list[Fragment]) -> str:
    """Return fragments as text with SGR sequences for their colours."""
    return "".join(
        f"\x1b[{STYLES[style]}m{text}\x1b[0m" if STYLES[style] else text
        for style, text in fragments
    )


def to_plain(fragments: list[Fragment]) -> str:
    """Return fragments as text without colours."""
    return "".join(text for _, text in fragments)
