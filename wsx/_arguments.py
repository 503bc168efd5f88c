"""What arguments of several kinds are checked for."""

from __future__ import annotations

import math

__all__ = ["is_number"]


def is_number(value: object) -> bool:
    """Tells whether this is an int or a float, finite as a float, and no bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
