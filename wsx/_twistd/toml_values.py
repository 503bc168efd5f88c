"""Keys and values of a TOML file as text."""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["canonical", "dotted_key"]

_BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")


def dotted_key(table: str, name: str) -> str:
    """Return the dotted key of a table, such as ``clients.feed``, with quotes if it needs them."""
    bare = _BARE_KEY.fullmatch(name)
    return f"{table}.{name if bare else json.dumps(name, ensure_ascii=False)}"


def canonical(value: Any) -> str:
    """Return a str that is equal for equal values of the same type, in any order of keys."""
    if isinstance(value, dict):
        return repr([(key, canonical(value[key])) for key in sorted(value)])
    if isinstance(value, list):
        return repr([canonical(item) for item in value])
    return repr(value)
