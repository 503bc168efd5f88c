"""Validation of arguments, shared by several modules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat

from wsx._text import expected, expected_type

__all__ = ["as_list", "check_delay", "is_hashable", "is_number", "require"]


def is_number(value: object) -> bool:
    """Return whether a value is a finite int or float; a bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_hashable(value: object) -> bool:
    """Return whether a value can be hashed."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def as_list(value: Any) -> list[Any] | None:
    """Return the items of a collection, or None for a str, bytes, mapping or single value."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return None
    return list(value)


def require(
    valid: object,
    name: str,
    expectation: str,
    value: object,
    error: type[Exception] = ValueError,
) -> None:
    """Raise an error about an argument unless it is valid.

    Args:
        valid: Whether the argument is valid.
        name: The name of the argument.
        expectation: The values that are accepted, such as ``a number above 0``.
        value: The value that was given. The message shows it, so it must not be a secret.
        error: The class of the error. Default ``ValueError``.
    """
    if not valid:
        raise error(expected(name, expectation, value))


def check_delay(delay: object) -> None:
    """Check the type of the delay of ``send_after``. A swapped message is not shown.

    Raises:
        TypeError: The delay is not a number.
    """
    if not isinstance(delay, SupportsFloat):
        raise TypeError(expected_type("delay", "a number of seconds", delay))
