"""What a client tells about its doings at run time: trace lines, a log, statistics, a file.

Nothing of it costs anything until it is switched on: ``Debug.active`` is all that is looked at.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from wsx._client.log_file import LogFile
from wsx._text import describe, escape, shorten
from wsx.frames import Frame

__all__ = ["Debug", "parse_option", "parse_options"]

_log = Logger("wsx._client.tracing")
_DEFAULT_DEPTH: Final = 10
_LONGEST: Final = 200  # characters of a message


def parse_options(options: Iterable[object] | None) -> dict[str, Any]:
    """Checks debug options; one that is none is ignored, with a line in the log.

    Args:
        options: of ``"trace"``, ``"log"``, ``("log", n)``, ``"statistics"`` and
            ``("log_to_file", path)``; one name alone will do.

    Returns:
        the names of the options, which are those of the methods of :class:`Debug`, with the
        arguments for them.
    """
    parsed: dict[str, Any] = {}
    if isinstance(options, str) or not isinstance(options, Iterable):
        options = () if options is None else (options,)
    for option in options:
        found = parse_option(option)
        if found is None:
            _log.warn("debug option ignored: {option!r}", option=option)
        else:
            parsed |= [found]
    return parsed


def parse_option(option: object) -> tuple[str, Any] | None:
    """Gives one debug option's name and argument; None where it is none."""
    match option:
        case "trace" | "log" | "statistics":
            return str(option), True
        case ("log", int(depth)) if 0 < depth <= sys.maxsize and depth is not True:
            return "log", depth
        case ("log_to_file", str() | PathLike() as path):
            return "log_to_file", path
    return None


class Debug:
    """Takes a client's events and shows, keeps, counts or writes them.

    Args:
        label: gives what trace lines call the client.
        reactor: for the time, and for writing to a file.

    Attributes:
        active: whether any of it is switched on.
        events: the last events with their times; None where they are not kept.
        counts: how often each kind of event was; None where that is not counted.
    """

    __slots__ = ("_file", "_label", "_reactor", "_tracing", "active", "counts", "events")

    def __init__(self, label: Callable[[], str], reactor: IReactorTime) -> None:
        self._label = label
        self._reactor = reactor
        self._tracing = False
        self._file: LogFile | None = None
        self.events: deque[tuple[float, str]] | None = None
        self.counts: dict[str, int] | None = None
        self.active = False

    # Switches

    def switch_on(self, options: dict[str, Any]) -> None:
        """Switches on what :func:`parse_options` gave.

        Raises:
            OSError: the file to log to cannot be opened.
        """
        for name, argument in options.items():
            getattr(self, name)(argument)

    def trace(self, flag: bool) -> None:
        """Begins or ends trace lines on standard output."""
        self._tracing = flag
        self._switched()

    def log(self, depth: int | bool) -> None:
        """Keeps the last ``depth`` events from now on (True: 10), or none."""
        if depth is True:
            depth = _DEFAULT_DEPTH
        self.events = deque(self.events or (), maxlen=depth) if depth else None
        self._switched()

    def statistics(self, flag: bool) -> None:
        """Counts the kinds of events from now on, or no more."""
        self.counts = {} if flag else None
        self._switched()

    def log_to_file(self, path: str | PathLike[str] | None) -> None:
        """Writes events to a file from now on, instead of to the one before; None ends that.

        Raises:
            OSError: it cannot be opened; the one before stays.
        """
        file = None if path is None else LogFile(path, self._reactor, self._write_failed)
        if self._file is not None:
            self._file.close()
        self._file = file
        self._switched()

    def close(self) -> None:
        """Takes no more events; those that were kept and counted stay."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.active = False

    def _switched(self) -> None:
        self.active = (
            self._tracing
            or self._file is not None
            or self.events is not None
            or self.counts is not None
        )

    # Events

    def event(self, what: str, *details: object) -> None:
        """Takes one event: a format string in which details have their places.

        Whatever a message's own ``repr`` or a broken standard output raise, the client goes on.
        """
        text = escape(what.format(*(_Shown(detail) for detail in details)))
        if self._tracing:
            self._trace(text)
        if self.events is not None:
            self.events.append((self._reactor.seconds(), text))
        if self.counts is not None:
            word = what.partition("{")[0].rstrip(": ")
            self.counts[word] = self.counts.get(word, 0) + 1
        if self._file is not None:
            self._file.write(f"{_stamp(self._reactor.seconds())} {self._label()} {text}")

    def received(self, frames: list[Frame], joined: list[Frame]) -> None:
        """Takes the frames of one read; those in ``joined`` came in fragments."""
        fragmented = {id(frame) for frame in joined}
        for frame in frames:
            what = "completed fragmented frame" if id(frame) in fragmented else "received frame"
            self.event(what + ": {!r}", frame)

    def print_log(self) -> None:
        """Prints the events that were kept, with their times, as trace lines."""
        try:
            for when, text in self.events or ():
                self._print(f"{_stamp(when)} {text}")
        except (OSError, ValueError) as error:  # ValueError: it is closed
            _log.error("{label}: the log: {error}", label=self._label(), error=error)

    def _trace(self, text: str) -> None:
        try:
            self._print(text)
        except (OSError, ValueError) as error:
            self.trace(False)
            _log.error("{label}: tracing ended: {error}", label=self._label(), error=error)

    def _print(self, text: str) -> None:
        line = f"*DBG* {self._label()} {text}"
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stdout)

    def _write_failed(self, error: BaseException) -> None:
        if self._file is not None and self._file.broken:  # it may be another one by now
            self._file = None
            self._switched()
        _log.error(
            "{label}: logging to file ended: {error}", label=self._label(), error=describe(error)
        )


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class _Shown:
    """Stands for a detail in a format string; its ``repr`` never raises."""

    def __init__(self, detail: object) -> None:
        self._detail = detail

    def __repr__(self) -> str:
        return shorten(self._detail, _LONGEST)

    def __str__(self) -> str:
        return str(self._detail)
