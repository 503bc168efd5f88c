"""What a client tells about its doings at run time: trace lines, a log, statistics, a file.

A client without debug options has no :class:`Debug` at all, so that it costs nothing.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from os import PathLike
from typing import IO, Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from wsx.errors import shorten
from wsx.frames import Frame

__all__ = ["Debug", "parse_options"]

_log = Logger("wsx.debug")
_DEFAULT_DEPTH: Final = 10
_LONGEST: Final = 200  # characters of a message


def parse_options(options: Iterable[object] | None) -> dict[str, Any]:
    """Checks debug options; one that is none is ignored, with a line in the log.

    Args:
        options: of ``"trace"``, ``"log"``, ``("log", n)``, ``"statistics"`` and
            ``("log_to_file", path)``; one name alone will do.

    Returns:
        the names of the options with their values.
    """
    parsed: dict[str, Any] = {}
    for option in [options] if isinstance(options, str) else options or ():
        match option:
            case "trace" | "statistics":
                parsed[str(option)] = True
            case "log":
                parsed["log"] = _DEFAULT_DEPTH
            case ("log", int(depth)) if depth > 0 and depth is not True:
                parsed["log"] = depth
            case ("log_to_file", str() | PathLike() as path):
                parsed["log_to_file"] = path
            case _:
                _log.warn("debug option ignored: {option!r}", option=option)
    return parsed


class Debug:
    """Takes a client's events and shows, keeps, counts or writes them.

    Args:
        label: gives what trace lines call the client.
        reactor: for the time.
        chosen: from :func:`parse_options`.

    Attributes:
        events: the last events with their times; None where they are not kept.
        counts: how often each kind of event was; None where that is not counted.

    Raises:
        OSError: the file to log to cannot be opened.
    """

    def __init__(
        self, label: Callable[[], str], reactor: IReactorTime, chosen: dict[str, Any]
    ) -> None:
        self._label = label
        self._reactor = reactor
        self._tracing = "trace" in chosen
        depth = chosen.get("log")
        self.events: deque[tuple[float, str]] | None = (
            None if depth is None else deque(maxlen=depth)
        )
        self.counts: dict[str, int] | None = {} if "statistics" in chosen else None
        self._file: IO[str] | None = None
        if "log_to_file" in chosen:
            self._file = open(chosen["log_to_file"], "a", encoding="utf-8")  # noqa: SIM115

    def event(self, what: str, *details: object) -> None:
        """Takes one event: a format string in which details have their places.

        Whatever a message's own ``repr`` or a broken standard output raise, the client goes on.
        """
        text = what.format(*(_Shown(detail) for detail in details))
        if self._tracing:
            self._print(text)
        if self.events is not None:
            self.events.append((self._reactor.seconds(), text))
        if self.counts is not None:
            word = what.partition("{")[0].rstrip(": ")
            self.counts[word] = self.counts.get(word, 0) + 1
        if self._file is not None:
            self._write(self._file, text)

    def received(self, frames: list[Frame], joined: list[Frame]) -> None:
        """Takes the frames of one read; those in ``joined`` came in fragments."""
        fragmented = {id(frame) for frame in joined}
        for frame in frames:
            what = "completed fragmented frame" if id(frame) in fragmented else "received frame"
            self.event(what + ": {!r}", frame)

    def _print(self, text: str) -> None:
        try:
            line = f"*DBG* {self._label()} {text}"
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stdout)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._tracing = False
            _log.error("{label}: tracing ended: {error}", label=self._label(), error=error)

    def _write(self, file: IO[str], text: str) -> None:
        now = datetime.fromtimestamp(self._reactor.seconds(), UTC)
        try:
            file.write(f"{now.isoformat(timespec='milliseconds')} {self._label()} {text}\n")
            file.flush()
        except OSError as error:
            self._file = None
            _log.error("{label}: logging to file ended: {error}", label=self._label(), error=error)

    def close(self) -> None:
        """Ends the writing."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _log.error("{label}: closing the log failed: {e}", label=self._label(), e=error)


class _Shown:
    """Stands for a detail in a format string; its ``repr`` never raises."""

    def __init__(self, detail: object) -> None:
        self._detail = detail

    def __repr__(self) -> str:
        return shorten(self._detail, _LONGEST)

    def __str__(self) -> str:
        return str(self._detail)
