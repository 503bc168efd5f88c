"""The log of the console: on a terminal above the prompt, otherwise on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
    textFileLogObserver,
)
from zope.interface import implementer

from wsx._console.rendering import render_text, to_plain
from wsx._console.streams import columns_of, print_error

__all__ = ["BriefLog", "ShowLog", "log_to_stderr", "print_to_stderr"]

ShowLog = Callable[[float, str, str], None]  # with the time, a style and the text

_STYLES: Final = {
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "error",
}


def log_to_stderr() -> ILogObserver:
    """Return a log observer for standard error, because standard output is for messages."""
    return textFileLogObserver(sys.__stderr__)  # type: ignore[arg-type]


def print_to_stderr(when: float, style: str, text: str) -> None:
    """Print a log line to standard error."""
    print_error(to_plain(render_text(when, style, text, columns_of(2))))


@implementer(ILogObserver)
class BriefLog:
    """A log observer for users: the time and the text, without the lines about Twisted itself.

    Args:
        show: Called with the time in seconds since the epoch, a style and the text.
    """

    def __init__(self, show: ShowLog) -> None:
        self._show = show

    def __call__(self, event: LogEvent) -> None:
        """Show a log event."""
        level = event.get("log_level", LogLevel.info)
        if level is LogLevel.debug or _is_noise(event):
            return
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if text:
            self._show(event["log_time"], _STYLES.get(level, "log"), text)


def _is_noise(event: LogEvent) -> bool:
    """Return whether an event is about Twisted: its start, its end and its factories."""
    if event.get("log_level", LogLevel.info) in _STYLES:
        return False
    namespace = str(event.get("log_namespace", ""))
    # "stdout" has the trace lines, and what the user's code prints.
    return not (namespace.partition(".")[0] == "wsx" or namespace in ("stdout", "stderr"))
