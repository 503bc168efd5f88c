"""The values that calls between processes carry: those of MessagePack, without extension types."""

from __future__ import annotations

from collections.abc import Sized
from functools import cache
from typing import Any, Final

from wsx._text import expected, line, quote, truncate
from wsx.errors import ClusterError

__all__ = ["check_value", "pack", "unpack"]

_EXPECTED: Final = (
    "a MessagePack value (None, bool, int of 64 bits, float, str, bytes, list or dict with str "
    "keys)"
)
_HINTS: Final = {
    "tuple": " (use a list)",
    "set": " (use a list)",
    "frozenset": " (use a list)",
    "bytearray": " (use bytes)",
    "memoryview": " (use bytes)",
}
_BUILT_IN: Final = (bool, int, float, str, bytes, list, dict)
_ALWAYS_VALID: Final = frozenset({type(None), bool, float, bytes})
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_MAX_DEPTH: Final = 100  # levels of lists and dicts
_MAX_ITEMS: Final = 65_536  # in one list or dict
_PATH_LIMIT: Final = 200  # characters
_KEY_LIMIT: Final = 40  # characters


class _WrongPart(Exception):
    """A part of a value is wrong. Each container that holds it adds a step to the path."""

    def __init__(self, found: str, expectation: str = _EXPECTED) -> None:
        super().__init__(found, expectation)
        self.found = found
        self.expectation = expectation
        self.steps: list[str] = []

    def message(self, subject: str) -> str:
        """Return the message, which begins with the path of the part."""
        path = truncate("".join([subject, *reversed(self.steps)]), _PATH_LIMIT)
        return f"{expected(path, self.expectation)}, got {self.found}"


def check_value(value: object, subject: str) -> None:
    """Check that a value is the same after packing and unpacking with MessagePack.

    Instances of subclasses are rejected, because they would arrive as instances of the base class,
    and tuples, because they would arrive as lists.

    Args:
        value: The value.
        subject: The name of the value in the message, such as ``message``.

    Raises:
        TypeError: A part of the value is wrong. The message begins with its path, such as
            ``message["a"][0]``.
    """
    try:
        _check(value, _MAX_DEPTH)
    except _WrongPart as wrong:
        raise TypeError(wrong.message(subject)) from None


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind is str:
        _check_str(value)  # type: ignore[arg-type]
    elif kind is list:
        _check_list(value, depth)  # type: ignore[arg-type]
    elif kind is dict:
        _check_dict(value, depth)  # type: ignore[arg-type]
    elif kind is int:
        if not _MIN_INT <= value <= _MAX_INT:  # type: ignore[operator]
            raise _WrongPart("a larger int")
    elif kind not in _ALWAYS_VALID:
        raise _WrongPart(_describe_type(kind))


def _check_str(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _WrongPart("a str with surrogates") from None


def _check_list(items: list[object], depth: int) -> None:
    _check_size(items, depth)
    for index, item in enumerate(items):
        try:
            _check(item, depth - 1)
        except _WrongPart as wrong:
            wrong.steps.append(f"[{index}]")
            raise


def _check_dict(items: dict[object, object], depth: int) -> None:
    _check_size(items, depth)
    for key, item in items.items():
        if type(key) is not str:
            raise _WrongPart(f"a key of type {line(type(key).__name__)}")
        try:
            _check_str(key)
            _check(item, depth - 1)
        except _WrongPart as wrong:
            wrong.steps.append(f"[{quote(key, _KEY_LIMIT)}]")
            raise


def _check_size(items: Sized, depth: int) -> None:
    if not depth:
        raise _WrongPart("more", f"at most {_MAX_DEPTH} levels of lists and dicts")
    if len(items) > _MAX_ITEMS:
        raise _WrongPart(str(len(items)), f"at most {_MAX_ITEMS} items in a list or dict")


def _describe_type(kind: type) -> str:
    name = line(kind.__name__)
    base = next((base.__name__ for base in _BUILT_IN if issubclass(kind, base)), None)
    if base is not None:
        return f"{name}, a subclass of {base}"
    return name + _HINTS.get(kind.__name__, "")


@cache
def _msgpack() -> Any:
    """Return the module ``msgpack``, which is imported when it is first needed."""
    try:
        import msgpack
    except ImportError:
        text = 'the package msgpack is not installed: pip install "txwsx[nats]"'
        raise ClusterError(text) from None
    return msgpack


def pack(value: object) -> bytes:
    """Return the MessagePack form of a value that :func:`check_value` accepts.

    Raises:
        ClusterError: The package ``msgpack`` is not installed.
    """
    packed: bytes = _msgpack().packb(value, strict_types=True)
    return packed


def unpack(data: bytes) -> Any:
    """Return the value for its MessagePack form, which may come from a hostile sender.

    The result may contain values that :func:`check_value` rejects: keys that are bytes, and
    instances of ``msgpack.Timestamp``.

    Raises:
        ValueError: The data is not the MessagePack form of one value.
        ClusterError: The package ``msgpack`` is not installed.
    """
    msgpack = _msgpack()
    # msgpack allocates lists with the lengths that the data claims, up to 1024 levels of them.
    limit = min(len(data), _MAX_ITEMS)
    limits = {"max_array_len": limit, "max_map_len": limit}
    try:
        return msgpack.unpackb(data, ext_hook=_reject_extension, **limits)
    except (ValueError, MemoryError, RecursionError, msgpack.UnpackException) as error:
        raise ValueError(f"not MessagePack: {line(str(error)) or type(error).__name__}") from None


def _reject_extension(code: int, data: bytes) -> None:
    raise ValueError(f"extension type {code}")
