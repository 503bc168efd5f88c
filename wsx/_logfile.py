"""A file that lines are appended to, without the reactor waiting for the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from typing import Any, Final

from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

__all__ = ["LogFile"]

_MOST_WAITING: Final = 100_000  # lines; a disk that does not answer may not fill our memory


class LogFile:
    """Appends lines to a file in the reactor's thread pool, one batch after another.

    Where the reactor has no threads, as a test's clock, lines are written at once.

    Args:
        path: where the file is, or is to be.
        reactor: whose threads write.
        failed: called once, should a write fail; nothing is written after that.

    Attributes:
        broken: whether a write failed.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(
        self, path: str | PathLike[str], reactor: Any, failed: Callable[[BaseException], None]
    ) -> None:
        self._file = open(  # noqa: SIM115
            path, "a", encoding="utf-8", errors="backslashreplace", opener=_opener
        )
        self._reactor = reactor
        self._threads = IReactorThreads.providedBy(reactor)
        self._failed = failed
        self._waiting: list[str] = []
        self._writing = False
        self._closing = False
        self.broken = False

    def write(self, line: str) -> None:
        """Takes a line; what comes while others are being written is the next batch."""
        if self._closing:
            return
        self._waiting.append(f"{line}\n")
        if len(self._waiting) > _MOST_WAITING:
            self._fail(TimeoutError(f"{_MOST_WAITING} lines wait for the disk"))
        elif not self._writing:
            self._next()

    def close(self) -> None:
        """Takes no more; the file is closed once what was taken is written."""
        if not self._closing:
            self._closing = True
            if not self._writing:
                self._next()

    def _next(self) -> None:
        """Has what waits written."""
        lines, self._waiting = self._waiting, []
        self._writing = True
        if self._threads:
            pool = self._reactor.getThreadPool()
            written = deferToThreadPool(self._reactor, pool, self._write, lines, self._closing)
            written.addCallbacks(lambda _: self._written(), self._write_failed)
            return
        try:
            self._write(lines, self._closing)
        except OSError as error:
            self._fail(error)
        else:
            self._written()

    def _write(self, lines: list[str], last: bool) -> None:
        """Runs in a thread."""
        try:
            self._file.write("".join(lines))
            self._file.flush()
        except OSError:
            with suppress(OSError):  # what could not be written cannot be flushed either
                self._file.close()
            raise
        if last:
            self._file.close()

    def _written(self) -> None:
        self._writing = False
        if self._waiting or (self._closing and not self._file.closed):
            self._next()

    def _write_failed(self, failure: Failure) -> None:
        assert failure.value is not None
        self._fail(failure.value)

    def _fail(self, error: BaseException) -> None:
        self._closing = True
        self._waiting.clear()
        if not self.broken:
            self.broken = True
            self._failed(error)


def _opener(path: str, flags: int) -> int:
    """Opens a file; a pipe that nobody reads is an error here instead of a wait without an end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    os.set_blocking(descriptor, True)
    return descriptor
