"""Text for messages and logs: escape, truncate and quote values that come from outside.

All text from a server, a proxy or another library passes through this module before it reaches a
log line, a trace line, a file or the text of an exception. A single value has at most 75
characters there, the reason of a failure 300, and the reason with its details 600.

Every message about a wrong value is built by :func:`expected`, so all of them have one form:
``--handler: expected "module.Class", got "echo"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = [
    "callable_name",
    "describe",
    "escape",
    "escape_character",
    "expected",
    "expected_type",
    "line",
    "quote",
    "safely",
    "shorten",
    "truncate",
]

_DEFAULT_LIMIT: Final = 75  # characters
_REASON_LIMIT: Final = 300  # characters of a reason in a log line
_DETAILED_LIMIT: Final = 600  # characters of a reason with its details
_ELLIPSIS: Final = "..."
_LONG: Final = 10_000  # characters; the middle of longer text is dropped before it is processed
_NOTHING: Final = object()


def escape(text: str) -> str:
    r"""Return the text on one line, with every character that is not printable escaped.

    A server could otherwise send control characters (C0 and C1), which move a terminal's cursor,
    separators, which start a new log line, or bidirectional marks, which reorder the text around
    them. They become ``\x1b``, ``\n`` or ``\u202e``, as ``repr`` writes them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escape_character(c) for c in text)


def escape_character(character: str) -> str:
    """Return the escape of one character, as ``repr`` writes it."""
    return character.encode("unicode_escape").decode("ascii")


def truncate(text: str, limit: int = _DEFAULT_LIMIT) -> str:
    """Return the text with its middle replaced by ``...`` if it is longer than ``limit``."""
    if len(text) <= limit:
        return text
    kept = limit - len(_ELLIPSIS)
    head = kept // 2
    return text[:head] + _ELLIPSIS + text[len(text) - (kept - head) :]


def line(text: str, limit: int = _DEFAULT_LIMIT) -> str:
    """Return text from outside on one line: join white space, escape, then truncate.

    Args:
        text: The text.
        limit: The number of characters to keep. Default 75.
    """
    return truncate(escape(" ".join(truncate(text, _LONG).split())), limit)


def shorten(value: object, limit: int = _DEFAULT_LIMIT) -> str:
    """Return the ``repr`` of a value, escaped and truncated to ``limit`` characters."""
    return truncate(escape(truncate(safely(repr, value), _LONG)), limit)


def quote(value: object, limit: int = _DEFAULT_LIMIT) -> str:
    """Return a value as messages show it: a str in double quotes, anything else as its ``repr``.

    Characters that are not printable are escaped. The middle of a text longer than ``limit``
    characters (default 75) is replaced by ``...``.
    """
    if isinstance(value, str):
        return f'"{truncate(escape(truncate(value, _LONG)), limit)}"'
    return shorten(value, limit)


def expected(subject: str, expectation: str, value: object = _NOTHING) -> str:
    """Return the message for a wrong value.

    Args:
        subject: The option or argument, such as ``--handler`` or ``ping_interval``.
        expectation: The values that are accepted, such as ``a number of at least 0``.
        value: The value that was given. Leave it out if it may hold a secret.

    Returns:
        ``ping_interval: expected a number above 0 or None, got "x"``.
    """
    message = f"{subject}: expected {expectation}"
    return message if value is _NOTHING else f"{message}, got {quote(value)}"


def expected_type(subject: str, expectation: str, value: object) -> str:
    """Return the message for a value of the wrong type. It names the type instead of the value.

    Use it where the value may hold a secret.

    Args:
        subject: As for :func:`expected`.
        expectation: As for :func:`expected`.
        value: The value that was given.

    Returns:
        ``cacerts: expected PEM as bytes or a path, got int``.
    """
    return f"{expected(subject, expectation)}, got {type(value).__name__}"


def describe(reason: object, *, detailed: bool = False) -> str:
    """Return one line about why something ended, escaped and truncated.

    Args:
        reason: An exception, or a close reason of :mod:`wsx.reasons`.
        detailed: Whether to show the ``summary`` of an exception of wsx instead of its text. Log
            lines show it where a failure is reported first. Default False.
    """
    if isinstance(reason, BaseException):
        limit = _DETAILED_LIMIT if detailed else _REASON_LIMIT
        return line(_describe_exception(reason, detailed), limit)
    if type(reason).__str__ is object.__str__:
        return shorten(reason)
    return line(safely(str, reason), _REASON_LIMIT)


def _describe_exception(error: BaseException, detailed: bool) -> str:
    if getattr(error, "describes_itself", False):
        return safely(_summary if detailed else str, error)
    name, text = type(error).__name__, safely(str, error).strip().rstrip(".")
    return f"{name}: {text}" if text else name


def _summary(error: object) -> str:
    return str(getattr(error, "summary", error))


def callable_name(function: object) -> str:
    """Return the name of a callable for a message, without its arguments and attributes.

    The ``repr`` of a ``functools.partial`` or of a callable object may contain secrets.
    """
    target = getattr(function, "func", function)
    name = getattr(target, "__qualname__", None)
    return line(name if isinstance(name, str) else type(function).__qualname__)


def safely(function: Callable[[object], str], value: object) -> str:
    """Return ``function(value)``, or a substitute if the function raises.

    ``repr`` and ``str`` run code of the user's classes, which may raise. Writing a log line must
    not fail because of that.

    Args:
        function: ``repr``, ``str`` or another function that returns a str.
        value: The argument of the function.
    """
    try:
        return function(value)
    except Exception as error:
        return f"<{type(value).__name__}: {function.__name__}() raised {type(error).__name__}>"
