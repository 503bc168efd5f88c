"""Lay out a JSON text on one line or over several lines without changing its content."""

from __future__ import annotations

import json
import re
from typing import Final

__all__ = ["lay_out"]

_INDENT: Final = "  "
_DEEPEST: Final = 100  # levels
_FLAT: Final = {",": ", ", ":": ": "}  # with the space after it on one line
# Strings, punctuation, and anything else (numbers and words). White space is skipped.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def lay_out(text: str, width: int = 0) -> str | None:
    """Return a JSON object or array on one line if it fits, otherwise with one value on each line.

    The same applies to each object and array in it. Only white space changes. Writing parsed JSON
    again would change numbers such as ``1.10`` and drop repeated names.

    Args:
        text: The text of a message.
        width: The number of columns. Default 0: one value on each line.

    Returns:
        The text with line breaks, or None if it is not a JSON object or array, or is nested too
        deeply.
    """
    if not text.lstrip(" \t\r\n").startswith(("{", "[")):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    tokens = _TOKEN.findall(text)
    containers = _flat_containers(tokens)
    return None if containers is None else _layout(tokens, *containers, width)


def _layout(tokens: list[str], ends: dict[int, int], lengths: dict[int, int], width: int) -> str:
    parts: list[str] = []
    depth = column = 0
    flat_until = -1  # Up to this token, everything is on the current line.
    for index, token in enumerate(tokens):
        part = _FLAT.get(token, token)
        if index > flat_until:
            if token in ("{", "["):
                depth += 1
                if column + lengths[index] <= width or ends[index] == index + 1:
                    flat_until = ends[index]
                    depth -= 1
                else:
                    part = token + _line_break(depth)
            elif token in ("}", "]"):
                depth -= 1
                part = _line_break(depth) + token
            elif token == ",":
                part = token + _line_break(depth)
        parts.append(part)
        column = len(_INDENT) * depth if "\n" in part else column + len(part)
    return "".join(parts)


def _flat_containers(tokens: list[str]) -> tuple[dict[int, int], dict[int, int]] | None:
    """Return where each object and array ends, and how long it is on one line with a comma.

    Returns:
        Two dicts by the index of the opening bracket; None if they are nested too deeply.
    """
    ends: dict[int, int] = {}
    lengths: dict[int, int] = {}
    opened: list[tuple[int, int]] = []
    length = 0
    for index, token in enumerate(tokens):
        if token in ("{", "["):
            opened.append((index, length))
            if len(opened) > _DEEPEST:
                return None
        length += len(_FLAT.get(token, token))
        if token in ("}", "]"):
            start, before = opened.pop()
            ends[start], lengths[start] = index, length - before + 1
    return ends, lengths


def _line_break(depth: int) -> str:
    return "\n" + _INDENT * depth
