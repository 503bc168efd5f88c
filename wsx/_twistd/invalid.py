"""The error for a wrong value on the command line or in the configuration file, and its message."""

from __future__ import annotations

from collections.abc import Sequence

from wsx._text import describe, expected, expected_type

__all__ = ["InvalidValue", "alternatives", "reason_of"]


class InvalidValue(ValueError):
    """The value of an option or a key is not accepted.

    The error does not know the option or the key; :meth:`about` adds it.

    Args:
        expectation: The values that are accepted, such as ``"JSON"``.
        value: The value that was given. It is shown: redact it first if it may hold a secret.
            For a list or a dict only the type is shown.
        reason: Why the value is not accepted. Default: the expectation explains it.
    """

    def __init__(self, expectation: str, value: object, reason: str = "") -> None:
        super().__init__(expectation, value, reason)
        self._expectation = expectation
        self._value = value
        self._reason = reason

    def __str__(self) -> str:
        return self.about("value")

    def about(self, subject: str) -> str:
        """Return the message.

        Args:
            subject: The option or the dotted key, such as ``--state``.

        Returns:
            ``--cacerts: expected a PEM file of certificates, got "ca.pem": Permission denied``.
        """
        build = expected_type if isinstance(self._value, (dict, list)) else expected
        text = build(subject, self._expectation, self._value)
        return f"{text}: {self._reason}" if self._reason else text


def alternatives(words: Sequence[str]) -> str:
    """Return the expectation for one of several words.

    Args:
        words: The words that are accepted.

    Returns:
        ``"permanent", "transient" or "temporary"``.
    """
    *first, last = (f'"{word}"' for word in words)
    return f"{', '.join(first)} or {last}" if first else last


def reason_of(error: BaseException) -> str:
    """Return one line about an exception that the check of a value raised.

    Args:
        error: The exception. For an ``OSError`` the text of the operating system is returned, for a
            ``TypeError`` or ``ValueError`` its text, for any other exception its class and text.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, (TypeError, ValueError)):
        return " ".join(str(error).split())
    return describe(error)
