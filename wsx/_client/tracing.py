"""Tracing of one client: trace lines, the event log, statistics and the log file.

When disabled, tracing costs one attribute check (``Tracing.active``) per read.
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
from wsx._text import describe, escape, expected, line, safely, shorten
from wsx._wire.batch import Batch

__all__ = ["Tracing", "parse_option", "parse_options"]

_log = Logger("wsx._client.tracing")
_DEFAULT_DEPTH: Final = 10  # events
_DETAIL_LIMIT: Final = 200  # characters of a repr
_TEXT_LIMIT: Final = 300  # characters of a reason


def parse_options(options: Iterable[object] | None) -> dict[str, Any]:
    """Parse debug options. An unknown option is logged and ignored.

    Args:
        options: Any of ``"trace"``, ``"log"``, ``("log", n)``, ``"statistics"`` and
            ``("log_to_file", path)``; or a single name; or None.

    Returns:
        The arguments of the options by name. Each name is that of a method of :class:`Tracing`.
    """
    parsed: dict[str, Any] = {}
    if isinstance(options, str) or not isinstance(options, Iterable):
        options = () if options is None else (options,)
    for option in options:
        found = parse_option(option)
        if found is None:
            known = '"trace", "log", ("log", n), "statistics" or ("log_to_file", path)'
            _log.warn("{problem}; ignored", problem=expected("debug", known, option))
        else:
            parsed |= [found]
    return parsed


def parse_option(option: object) -> tuple[str, Any] | None:
    """Return the name and argument of one debug option, or None if it is unknown."""
    match option:
        case "trace" | "log" | "statistics":
            return str(option), True
        case ("log", int(depth)) if 0 < depth <= sys.maxsize and depth is not True:
            return "log", depth
        case ("log_to_file", str() | PathLike() as path):
            return "log_to_file", path
    return None


class Tracing:
    """Print, keep, count and write the events of a client.

    Args:
        label: Returns the label of the client in trace lines.
        reactor: The reactor, for the time and the thread pool.

    Attributes:
        active: Whether events must be passed to :meth:`event`.
        events: The last events, each with its time on the reactor's clock in seconds; None if the
            event log is off.
        counts: The number of events by kind; None if statistics are off.
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
        """Switch on the options of :func:`parse_options`.

        Raises:
            OSError: The log file cannot be opened; the other options are switched on.
        """
        # log_to_file comes last, because only it can fail.
        for name, argument in sorted(options.items(), key=lambda item: item[0] == "log_to_file"):
            getattr(self, name)(argument)

    def trace(self, flag: bool) -> None:
        """Start or stop trace lines on standard output."""
        self._tracing = flag
        self._switched()

    def log(self, depth: int | bool) -> None:
        """Start or stop keeping events.

        Args:
            depth: The number of events to keep, from now on; True for 10; False or 0 for none.
        """
        if depth is True:
            depth = _DEFAULT_DEPTH
        self.events = deque(self.events or (), maxlen=depth) if depth else None
        self._switched()

    def statistics(self, flag: bool) -> None:
        """Start or stop counting events by kind."""
        self.counts = {} if flag else None
        self._switched()

    def log_to_file(self, path: str | PathLike[str] | None) -> None:
        """Append events to a file from now on.

        Args:
            path: The path of the file, or None to stop.

        Raises:
            OSError: The file cannot be opened; the previous file stays in use.
        """
        file = None if path is None else LogFile(path, self._reactor, self._write_failed)
        if self._file is not None:
            self._file.close()
        self._file = file
        self._switched()

    def close(self) -> None:
        """Stop tracing. The event log and the counts are kept."""
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
        """Record one event.

        Nothing is raised if the ``repr`` of a detail fails or standard output is closed.

        Args:
            what: A format string, such as ``"sending frame: {!r}"``.
            *details: The values for the format string.
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

    def received(self, batch: Batch) -> None:
        """Record the frames of one batch."""
        fragmented = {id(frame) for frame in batch.fragmented}
        for frame in batch.frames:
            what = "completed fragmented frame" if id(frame) in fragmented else "received frame"
            self.event(what + ": {!r}", frame)

    def print_log(self) -> None:
        """Print the kept events with their times, as trace lines."""
        try:
            for when, text in self.events or ():
                self._print(f"{_stamp(when)} {text}")
        except (OSError, ValueError) as error:  # ValueError: standard output is closed
            _log.error(
                "{label}: the event log cannot be printed: {error}",
                label=self._label(),
                error=describe(error),
            )

    def _trace(self, text: str) -> None:
        try:
            self._print(text)
        except (OSError, ValueError) as error:
            self.trace(False)
            shown = describe(error)
            _log.error("{label}: trace lines stopped: {error}", label=self._label(), error=shown)

    def _print(self, text: str) -> None:
        whole = f"*DBG* {self._label()} {text}"
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(whole.encode(encoding, "backslashreplace").decode(encoding), file=sys.stdout)

    def _write_failed(self, error: BaseException) -> None:
        if self._file is not None and self._file.broken:  # A newer file may be in use.
            self._file = None
            self._switched()
        _log.error(
            "{label}: log_to_file stopped: {error}", label=self._label(), error=describe(error)
        )


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class _Shown:
    """A detail in a format string, escaped and truncated. Its ``repr`` never raises."""

    def __init__(self, detail: object) -> None:
        self._detail = detail

    def __repr__(self) -> str:
        return shorten(self._detail, _DETAIL_LIMIT)

    def __str__(self) -> str:
        return line(safely(str, self._detail), _TEXT_LIMIT)
