"""Failures: their exceptions, and tracebacks whose text from outside is escaped and truncated."""

from __future__ import annotations

from io import StringIO
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._text import escape, line, truncate

__all__ = ["cause_of", "log_failure"]

_LINE_LIMIT: Final = 600  # characters
_LINES_LIMIT: Final = 200
_MESSAGE_LIMIT: Final = 300  # characters


def cause_of(failure: Failure) -> BaseException:
    """Return the exception of a Failure."""
    assert failure.value is not None
    return failure.value


def log_failure(log: Logger, message: str, failure: Failure | None = None, **values: Any) -> None:
    """Log a message with the traceback of an exception, like ``Logger.failure``.

    The text of the exception may repeat what a server sent. Each line of the traceback is escaped
    and truncated to 600 characters, and at most 200 lines are shown.

    Args:
        log: The logger.
        message: The format string of the message.
        failure: The exception. Default: the one that is being handled.
        **values: The values for the format string.
    """
    log.failure(message, _EscapedFailure(failure or Failure()), **values)


class _EscapedFailure(Failure):
    """A copy of a Failure with escaped and truncated texts."""

    def __init__(self, failure: Failure) -> None:
        self.__dict__.update(failure.__dict__)

    def getErrorMessage(self) -> str:
        return line(super().getErrorMessage(), _MESSAGE_LIMIT)

    def printTraceback(self, file: Any = None, *args: Any, **kwargs: Any) -> None:
        whole = StringIO()
        super().printTraceback(whole, *args, **kwargs)  # type: ignore[no-untyped-call]
        lines = whole.getvalue().removesuffix("\n").split("\n")
        if len(lines) > _LINES_LIMIT:
            half = _LINES_LIMIT // 2
            lines = [*lines[:half], "...", *lines[-half:]]
        # Truncated twice, because escaping a long text takes long and makes it longer.
        short = (truncate(one, 2 * _LINE_LIMIT) for one in lines)
        text = "".join(f"{truncate(escape(one), _LINE_LIMIT)}\n" for one in short)
        if file is None:
            from twisted.python import log

            file = log.logerr
        file.write(text)
