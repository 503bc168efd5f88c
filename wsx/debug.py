"""What a client tells about its doings at run time: trace lines, a log, statistics, a file.

A client without debug options has no :class:`Debug` at all, so that it costs nothing.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import IO, Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

__all__ = ["Debug", "parse_options"]

_log = Logger("wsx.debug")
_DEFAULT_DEPTH: Final = 10


def parse_options(options: Iterable[object]) -> dict[str, Any]:
    """Checks debug options; one that is none is ignored, with a line in the log.

    Args:
        options: of ``"trace"``, ``"log"``, ``("log", n)``, ``"statistics"`` and
            ``("log_to_file", path)``.

    Returns:
        the names of the options with their values.
    """
    parsed: dict[str, Any] = {}
    for option in options:
        match option:
            case "trace" | "statistics":
                parsed[str(option)] = True
            case "log":
                parsed["log"] = _DEFAULT_DEPTH
            case ("log", int(depth)) if depth > 0 and depth is not True:
                parsed["log"] = depth
            case ("log_to_file", str(path)):
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
        self._events: deque[tuple[float, str]] | None = (
            None if depth is None else deque(maxlen=depth)
        )
        self._counts: dict[str, int] | None = {} if "statistics" in chosen else None
        self._file: IO[str] | None = None
        if "log_to_file" in chosen:
            self._file = open(chosen["log_to_file"], "a", encoding="utf-8")  # noqa: SIM115

    def event(self, what: str, *details: object) -> None:
        """Takes one event: ``what``, and after a colon or the words of it the details."""
        text = what.format(*details)
        if self._tracing:
            print(f"*DBG* {self._label()} {text}", file=sys.stdout)
        if self._events is not None:
            self._events.append((self._reactor.seconds(), text))
        if self._counts is not None:
            word = what.partition(":")[0]
            self._counts[word] = self._counts.get(word, 0) + 1
        if self._file is not None:
            self._write(self._file, text)

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
