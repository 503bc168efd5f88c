"""Names of methods that look like a misspelt callback."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

__all__ = ["warn_about_names"]

# A name with one more, one missing or one wrong letter is similar. In the short names, such as
# handle_cast, a wrong letter is not: handle_last may be a method of the user's own.
_SIMILARITY: Final = 0.92


def warn_about_names(cls: type, base: type, callbacks: Collection[str]) -> None:
    """Issue a ``RuntimeWarning`` for each method whose name is similar to that of a callback.

    A callback that the class overrides, or inherits from another class than ``base``, is not
    missing.

    Args:
        cls: The class of the user, in whose class statement this is called by ``base``.
        base: The class that defines the callbacks.
        callbacks: The names of the callbacks.
    """
    missing = [name for name in callbacks if getattr(cls, name) is getattr(base, name)]
    for name in vars(cls):
        if name.startswith("handle_") and name not in callbacks:
            for meant in get_close_matches(name, missing, 1, _SIMILARITY):
                text = f"{cls.__qualname__}.{name} is not a callback of wsx; did you mean {meant}?"
                warnings.warn(text, RuntimeWarning, stacklevel=3)
