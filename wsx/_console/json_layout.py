"""Lay out a JSON text over several lines without changing its content."""

from __future__ import annotations

import json
import re
from typing import Final

__all__ = ["lay_out"]

_INDENT: Final = "  "
_DEEPEST: Final = 100  # levels
# Strings, punctuation, and anything else (numbers and words). White space is skipped.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def lay_out(text: str) -> str | None:
    """Return a JSON object or array with one value on each line.

    Only white space changes. Writing parsed JSON again would change numbers such as ``1.10`` and
    drop repeated names.

    Args:
        text: The text of a message.

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
    return _layout(_TOKEN.findall(text))


def _layout(tokens: list[str]) -> str | None:
    parts: list[str] = []
    depth = 0
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in ("{", "["):
            depth += 1
            is_empty = following in ("}", "]")
            parts.append(token if is_empty else token + _line_break(depth))
        elif token in ("}", "]"):
            depth -= 1
            is_empty = bool(parts) and parts[-1] in ("{", "[")
            parts.append(token if is_empty else _line_break(depth) + token)
        elif token == ",":
            parts.append(token + _line_break(depth))
        else:
            parts.append(": " if token == ":" else token)
        if depth > _DEEPEST:
            return None
    return "".join(parts)


def _line_break(depth: int) -> str:
    return "\n" + _INDENT * depth
