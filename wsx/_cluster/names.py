"""The token that stands for a name in the keys and subjects of NATS."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from typing import Any, Final

from wsx._text import expected

__all__ = ["MAX_TOKEN", "name_token"]

MAX_TOKEN: Final = 200  # characters
_PLAIN: Final = re.compile(r"[A-Za-z0-9_/-]+")
_TEXT: Final = "a str, number, bool or None, or a tuple of these, whose JSON has at most 146 bytes"


def name_token(key: Any) -> str:
    """Return the token for the key of a name.

    A str of ASCII letters, digits, ``_``, ``-`` and ``/`` is its own token, so that permissions of
    NATS can name it. For any other key the token is ``=`` and the base64url form of its JSON.

    Raises:
        TypeError: The key has no unique JSON form.
        ValueError: The key is too long.
    """
    if isinstance(key, str) and _PLAIN.fullmatch(key):
        token = key
    else:
        if not _has_json(key):
            raise TypeError(expected("name", _TEXT, key))
        text = json.dumps(key, separators=(",", ":"), ensure_ascii=False)
        token = "=" + urlsafe_b64encode(text.encode()).decode()
    if len(token) > MAX_TOKEN:
        raise ValueError(expected("name", _TEXT, key))
    return token


def _has_json(key: Any) -> bool:
    if isinstance(key, tuple):
        return all(map(_has_json, key))
    if isinstance(key, float):
        return key - key == 0  # neither infinite nor NaN
    return key is None or isinstance(key, (str, int))
