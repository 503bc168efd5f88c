"""The error for a wrong value on the command line or in the configuration file."""

from __future__ import annotations

from collections.abc import Sequence

from wsx._text import describe, expected, expected_type

__all__ = ["InvalidValue", "alternatives", "reason_of"]


class InvalidValue(ValueError):
    """The value of an option or of a key is not accepted.

    The error does not contain the name of the option or key, which :meth:`about` adds.

    Args:
        expectation: The values that are accepted, such as ``"JSON"``.
        value: The value that was given. The message shows it, or only its type if it is a list or a
            dict. Redact the value first if it may hold a secret.
        reason: Why the value is not accepted, if the expectation does not explain that. Default
            empty.
    """

    def __init__(self, expectation: str, value: object, reason: str = "") -> None:
        super().__init__(expectation, value, reason)
        self._expectation = expectation
        self._value = value
        self._reason = reason

    def __str__(self) -> str:
        return self.about("value")

    def shown_as(self, value: object) -> InvalidValue:
        """Return the same error with another value in its message.

        Args:
            value: The value to show, such as the source of a secret.
        """
        return InvalidValue(self._expectation, value, self._reason)

    def about(self, subject: str) -> str:
        """Return the message with the name of the option or key.

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
    """Return one line about an exception that was raised by the check of a value.

    Args:
        error: The exception.

    Returns:
        The text of the operating system for an ``OSError``, the text of the exception for a
        ``TypeError`` or ``ValueError``, the class and text of any other exception.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, (TypeError, ValueError)):
        return " ".join(str(error).split())
    return describe(error)
