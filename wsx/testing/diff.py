"""Readable differences between the frames that a test expects and those that were received."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from wsx._text import escape, safely, truncate
from wsx.frames import Frame

__all__ = ["difference", "matches", "show"]

_LIMIT: Final = 300  # characters of a frame
_BEFORE: Final = 20  # characters or bytes that are shown before the first difference
_AFTER: Final = 60  # and from there on
_MAX_SHOWN: Final = 30  # frames before and after the first difference


def matches(expected: object, received: object) -> bool:
    """Return whether a received frame is the expected one.

    Args:
        expected: A frame, or a class of frames, such as ``Text``, for any frame of that class.
        received: The frame that was received.
    """
    if isinstance(expected, type):
        return isinstance(received, expected)
    return bool(expected == received)


def show(value: object) -> str:
    """Return a frame, or a class of frames, on one line of at most 300 characters."""
    if isinstance(value, type):
        return f"any {value.__name__}"
    if isinstance(value, Frame):
        payload = truncate(escape(safely(repr, value.payload)), _LIMIT)
        return f"{type(value).__name__}({payload})"
    return truncate(escape(safely(repr, value)), _LIMIT)


def difference(expected: Sequence[object], received: Sequence[object]) -> str:
    """Return the lines of a diff: ``-`` for what is missing, ``+`` for what was received instead.

    Args:
        expected: The frames that the test expects, in order.
        received: The frames that were received, in order.
    """
    if len(received) > len(expected) + _MAX_SHOWN:
        kept = len(expected) + _MAX_SHOWN
        rest = [f"  ... and {len(received) - kept} more"]
        received = received[:kept]
    else:
        rest = []
    # A class stands for the frame at the same place if that frame is of the class.
    wanted = [
        received[place] if place < len(received) and matches(one, received[place]) else one
        for place, one in enumerate(expected)
    ]
    lines: list[str] = []
    keys = [_key(one) for one in wanted], [_key(one) for one in received]
    for tag, a, b, c, d in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [f"    {show(one)}" for one in received[c:d]]
        else:
            lines += _replaced(wanted[a:b], received[c:d])
    return "\n".join([*lines, *rest])


def _key(value: object) -> tuple[object, ...]:
    return (type(value), value.payload) if isinstance(value, Frame) else (type(value), repr(value))


def _replaced(expected: Sequence[object], received: Sequence[object]) -> list[str]:
    lines = []
    for place in range(max(len(expected), len(received))):
        if place < len(expected):
            lines.append(f"  - {show(expected[place])}")
        if place < len(received):
            lines.append(f"  + {show(received[place])}")
        if place < len(expected) and place < len(received):
            lines += _detail(expected[place], received[place])
    return lines


def _detail(expected: object, received: object) -> list[str]:
    """Return where the payloads of two frames of the same type differ."""
    if not (isinstance(expected, Frame) and type(expected) is type(received)):
        return []
    assert isinstance(received, Frame)
    wanted, got = expected.payload, received.payload
    if type(wanted) is not type(got) or len(wanted) + len(got) <= _AFTER:
        return []  # Such short payloads are shown completely.
    pairs = enumerate(zip(wanted, got, strict=False))
    at = next((place for place, (one, other) in pairs if one != other), min(len(wanted), len(got)))
    unit = "character" if isinstance(wanted, str) else "byte"
    start = max(0, at - _BEFORE)
    lines = [f"  ? they differ from {unit} {at} on"]
    for sign, payload in (("-", wanted), ("+", got)):
        part = escape(repr(payload[start : at + _AFTER]))
        shown = f"{'...' if start else ''}{part}{'...' if at + _AFTER < len(payload) else ''}"
        lines.append(f"  ?   {sign} {shown}")
    return lines
