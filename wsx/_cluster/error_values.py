"""Exceptions as values, so that a call raises in the caller what it raised in the holder.

The value of an exception is the name of its class and a list of its attributes. If the class or an
attribute cannot be rebuilt, it is the name and the text. Neither contains a secret: the texts of
the exceptions of wsx do not, and those of others are redacted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from wsx._redaction import redact_text
from wsx._text import line, safely, shorten
from wsx.errors import (
    ClusterError,
    ConnError,
    FrameEncodeError,
    InvalidFrameError,
    MailboxFullError,
    NotConnectedError,
    RemoteError,
    SendTimeout,
    UnknownNameError,
    WsxError,
)

__all__ = ["error_from_value", "error_to_value"]

_TEXT_LIMIT: Final = 300  # characters
_NONE: Final = type(None)
_FOREIGN: Final = (RemoteError,)
_WRONG: Final = object()

# The attributes of each class, in the order of its arguments, with the types that they may have.
# An empty tuple: the attribute is not sent, because the caller knows it.
_ATTRIBUTES: Final[dict[type[BaseException], dict[str, tuple[type, ...]]]] = {
    ClusterError: {"reason": (str,)},
    ConnError: {"original": _FOREIGN, "explanation": (str, _NONE)},
    FrameEncodeError: {
        "reason": (str,),
        "frame_type": (str,),
        "frame_payload": (),
        "close_code": (int, _NONE),
    },
    InvalidFrameError: {"frame": ()},
    MailboxFullError: {"limit": (int,)},
    NotConnectedError: {"connection_state": (str,)},
    SendTimeout: {"timeout": (int, float, _NONE), "reason": (str,)},
    UnknownNameError: {"name": ()},
}
_BUILT_IN: Final[dict[str, type[Exception]]] = {"TypeError": TypeError, "ValueError": ValueError}
_CLASSES: Final[dict[str, Any]] = {cls.__name__: cls for cls in _ATTRIBUTES}


def error_to_value(error: BaseException) -> list[Any]:
    """Return the value for an exception."""
    attributes = _ATTRIBUTES.get(type(error))
    if attributes is None:
        return _as_text(error)
    sent = [_to_part(getattr(error, name), types) for name, types in attributes.items() if types]
    return _as_text(error) if _WRONG in sent else [type(error).__name__, sent]


def _as_text(error: BaseException) -> list[Any]:
    """Return the value for an exception whose attributes are not sent."""
    if isinstance(error, RemoteError):
        return [line(error.kind), line(error.text, _TEXT_LIMIT)]
    text = safely(str, error)
    shown = text if isinstance(error, WsxError) else redact_text(text)
    return [line(type(error).__name__), line(shown, _TEXT_LIMIT)]


def _to_part(attribute: Any, types: tuple[type, ...]) -> Any:
    """Return the value for an attribute, or ``_WRONG``."""
    if types is _FOREIGN:
        return _as_text(attribute)
    if isinstance(attribute, str):
        attribute = line(attribute, _TEXT_LIMIT)
    too_large = type(attribute) is int and abs(attribute) > sys.maxsize
    return attribute if type(attribute) in types and not too_large else _WRONG


def error_from_value(value: object, known: Mapping[str, Any]) -> Exception:
    """Return the exception for its value.

    Args:
        value: The value, as another process sent it.
        known: The attributes that the caller knows: ``name``, ``frame`` and ``frame_payload``.

    Returns:
        An exception of the same class, or a RemoteError if the class is not known or the value is
        malformed.
    """
    match value:
        case [str() as kind, str() as text] if kind in _BUILT_IN:
            return _BUILT_IN[kind](line(text, _TEXT_LIMIT))
        case [str() as kind, str() as text]:
            return RemoteError(kind, text)
        case [str() as kind, list() as sent] if kind in _CLASSES:
            rebuilt = _rebuild(_CLASSES[kind], sent, known)
        case _:
            rebuilt = None
    return rebuilt or RemoteError("an exception of unknown form", shorten(value))


def _rebuild(cls: Any, sent: list[Any], known: Mapping[str, Any]) -> Exception | None:
    """Return an exception with these attributes, or None if they are not those of the class."""
    attributes = _ATTRIBUTES[cls]
    carried = [types for types in attributes.values() if types]
    if len(sent) != len(carried):
        return None
    parts = map(_from_part, sent, carried)
    arguments = [next(parts) if types else known.get(name) for name, types in attributes.items()]
    return None if any(each is _WRONG for each in arguments) else cls(*arguments)


def _from_part(part: object, types: tuple[type, ...]) -> Any:
    """Return the attribute for its value, or ``_WRONG``."""
    if types is not _FOREIGN:
        return part if type(part) in types else _WRONG
    match part:
        case [str() as kind, str() as text]:
            return RemoteError(kind, text)
        case _:
            return _WRONG
