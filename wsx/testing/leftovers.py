"""What a test has left over: logged errors, errors in Deferreds, and timers."""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import Any, Final, NamedTuple

from twisted.internet.base import DelayedCall
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._text import safely, shorten

__all__ = ["LoggedError", "LoggedErrors", "describe_timer"]

_LEVELS: Final = (LogLevel.error, LogLevel.critical)
_UNHANDLED: Final = "Unhandled error in Deferred:"  # Twisted logs the exception as another event.
_YOUNG_GENERATIONS: Final = sys.version_info < (3, 14)  # Later ones collect in increments.


class LoggedError(NamedTuple):
    """An error that was logged.

    Attributes:
        text: The text of the log line, without a traceback.
        error: The exception, or None if there is none.
        traceback: The traceback; empty if there is none.
    """

    text: str
    error: BaseException | None
    traceback: str

    def __str__(self) -> str:
        return "\n".join(filter(None, [self.text, self.traceback.rstrip()]))


@implementer(ILogObserver)
class LoggedErrors:
    """Collect the errors that are logged, until :meth:`stop`.

    Twisted logs an error in a Deferred that has no errback when the Deferred is deleted.
    """

    def __init__(self) -> None:
        self._errors: list[LoggedError] = []
        self._collections = _count_collections()
        globalLogPublisher.addObserver(self)

    def stop(self) -> None:
        """Collect no more errors."""
        globalLogPublisher.removeObserver(self)

    def collect_garbage(self) -> None:
        """Delete Deferreds that are referred to only by themselves, to log their errors."""
        # A full collection takes a tenth of a second in a large process. What was made since
        # __init__ is still in the young generations, unless a collection has moved it meanwhile.
        is_young = _YOUNG_GENERATIONS and _count_collections() == self._collections
        gc.collect(1 if is_young else 2)

    def __call__(self, event: dict[str, Any]) -> None:
        """Collect an event if it is an error."""
        failure = event.get("log_failure", event.get("failure"))  # "failure" is that of log.err
        if isinstance(failure, Failure):
            old_style = "log_failure" not in event
            text = str(event.get("why") or "Unhandled Error") if old_style else formatEvent(event)
            if self._errors and self._errors[-1] == (_UNHANDLED, None, ""):
                text = f"{self._errors.pop().text} {text}".rstrip()
            self._errors.append(LoggedError(text, failure.value, failure.getTraceback()))
        elif event.get("log_level") in _LEVELS:
            self._errors.append(LoggedError(formatEvent(event), None, ""))

    @property
    def errors(self) -> list[LoggedError]:
        """The errors that were logged and not flushed."""
        return list(self._errors)

    def flush(self, kinds: tuple[type[BaseException], ...]) -> list[LoggedError]:
        """Remove and return errors.

        Args:
            kinds: The classes of their exceptions. Empty: all errors.
        """
        flushed = [one for one in self._errors if not kinds or isinstance(one.error, kinds)]
        self._errors = [one for one in self._errors if one not in flushed]
        _flush_trial(kinds)
        return flushed


def _count_collections() -> int:
    """Return the number of collections that have moved objects out of the young generations."""
    return sum(generation["collections"] for generation in gc.get_stats()[1:])


def _flush_trial(kinds: tuple[type[BaseException], ...]) -> None:
    """Remove the same errors from trial, as ``flushLoggedErrors`` of the test case does.

    The kit has no reference to the test case, and trial has no other interface.
    """
    observer = getattr(sys.modules.get("twisted.trial._synctest"), "_logObserver", None)
    if observer is not None:
        observer.flushErrors(*kinds)


def describe_timer(call: DelayedCall, now: float) -> str:
    """Return one line about a pending timer.

    Args:
        call: The timer.
        now: The present time in seconds.
    """
    function: Any = call.func
    arguments: Any = call.args
    while isinstance(function, partial):
        function, arguments = function.func, (*function.args, *arguments)
    name = getattr(function, "__qualname__", None)
    if name is None:
        inner = getattr(function, "f", None)  # of a LoopingCall
        shown = getattr(inner, "__qualname__", None)
        name = safely(repr, function) if shown is None else f"{type(function).__name__}({shown})"
    shown_arguments = ", ".join(shorten(argument) for argument in arguments)
    return f"in {call.getTime() - now:g} s: {name}({shown_arguments})"
