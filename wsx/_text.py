"""Text for messages and logs: escape, truncate and quote values that come from outside.

Every message about a wrong value is built by :func:`expected`, so all of them have one form:
``--handler: expected "module.Class", got "echo"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["describe", "escape", "expected", "quote", "shorten", "truncate"]

_DEFAULT_LIMIT: Final = 75  # characters
_REASON_LIMIT: Final = 300  # characters of a reason in a log line
_ELLIPSIS: Final = "..."
_SECRET_PARTS: Final = ("auth", "token", "key", "secret", "cookie", "password", "signature")


def _escapes() -> dict[int, str]:
    """Return a translation table for characters that could change what a reader sees.

    C0 and C1 control characters move the cursor or start escape sequences; line and paragraph
    separators start a new line; bidirectional marks reorder the text around them.
    """
    controls = [*range(0x20), *range(0x7F, 0xA0)]
    separators = [0x2028, 0x2029]
    bidirectional = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    surrogates = range(0xD800, 0xE000)  # cannot be written in UTF-8
    codes = [*controls, *separators, *bidirectional, *surrogates]
    return {code: chr(code).encode("unicode_escape").decode("ascii") for code in codes}


_ESCAPES: Final = _escapes()


def escape(text: str) -> str:
    """Return the text on one line, with control and bidirectional characters escaped."""
    return text.translate(_ESCAPES)


def truncate(text: str, limit: int = _DEFAULT_LIMIT) -> str:
    """Return the text with its middle replaced by ``...`` if it is longer than ``limit``."""
    if len(text) <= limit:
        return text
    kept = limit - len(_ELLIPSIS)
    head = kept // 2
    return text[:head] + _ELLIPSIS + text[len(text) - (kept - head) :]


def shorten(value: object, limit: int = _DEFAULT_LIMIT) -> str:
    """Return the ``repr`` of a value, truncated to ``limit`` characters."""
    return truncate(safely(repr, value), limit)


def quote(value: object, limit: int = _DEFAULT_LIMIT) -> str:
    """Return a value as messages show it: a str in double quotes, anything else as its ``repr``.

    Control characters are escaped, and the middle is left out past ``limit`` characters.
    """
    if isinstance(value, str):
        return f'"{truncate(escape(value), limit)}"'
    return escape(shorten(value, limit))


def expected(subject: str, expectation: str, value: object) -> str:
    """Return the message for a wrong value.

    Args:
        subject: The option or argument, such as ``--handler`` or ``ping_interval``.
        expectation: What would have been right: ``a number of at least 0``.
        value: What was given. Redact it first if it may hold a secret.
    """
    return f"{subject}: expected {expectation}, got {quote(value)}"


def describe(reason: object) -> str:
    """Return one line about why something ended, escaped and truncated.

    Args:
        reason: An exception, or a close reason of :mod:`wsx.reasons`.
    """
    text = " ".join(safely(str, reason).split())
    if isinstance(reason, BaseException) and not getattr(reason, "describes_itself", False):
        name = type(reason).__name__
        text = text.rstrip(".")
        text = f"{name}: {text}" if text else name
    elif not isinstance(reason, BaseException) and type(reason).__str__ is object.__str__:
        text = shorten(reason)
    return truncate(escape(text), _REASON_LIMIT)


def show_message(message: object) -> str:
    """Return a message of the application for a log line: shortened, secrets hidden."""
    return escape(shorten(hide_secrets(message)))


def is_secret_name(name: str) -> bool:
    """Return whether the value of a header or key with this name is hidden in messages."""
    return any(part in name.lower() for part in _SECRET_PARTS)


def hide_secrets(value: object) -> object:
    """Return a mapping with the values of secret names hidden; anything else unchanged."""
    if not isinstance(value, dict):
        return value
    return {
        key: "..." if isinstance(key, str) and is_secret_name(key) else hide_secrets(item)
        for key, item in value.items()
    }


def safely(function: Callable[[object], str], value: object) -> str:
    """Call ``repr`` or ``str``. A user's class may raise there; a log line must not."""
    try:
        return function(value)
    except Exception as error:
        return f"<{type(value).__name__}: {function.__name__}() raised {type(error).__name__}>"
