"""A file that lines are appended to, without the reactor waiting for the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from threading import Lock
from typing import IO, Any, Final

from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

__all__ = ["LogFile", "check_path"]

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
        self._file = _open(path)
        self._reactor = reactor
        self._threads = IReactorThreads.providedBy(reactor)
        self._failed = failed
        self._lock = Lock()  # over the next two
        self._waiting: list[str] = []
        self._working = False
        self._closing = False
        self.broken = False

    def write(self, line: str) -> None:
        """Takes a line; what comes while others are being written is the next batch."""
        if self._closing:
            return
        with self._lock:
            self._waiting.append(f"{line}\n")
            too_many = len(self._waiting) > _MOST_WAITING
        if too_many:
            self._fail(TimeoutError(f"{_MOST_WAITING} lines wait for the disk"))
        self._see_to_it()

    def close(self) -> None:
        """Takes no more; the file is closed once what was taken is written."""
        self._closing = True
        self._see_to_it()

    def _see_to_it(self) -> None:
        """Has somebody write what waits, unless that is so already."""
        with self._lock:
            if self._working or self._file.closed:
                return
            self._working = True
        if self._threads:
            pool = self._reactor.getThreadPool()
            deferToThreadPool(self._reactor, pool, self._work).addErrback(self._work_failed)
            return
        try:
            self._work()
        except OSError as error:
            self._fail(error)

    def _work(self) -> None:
        """Writes until nothing waits; runs in a thread, which needs the reactor for nothing.

        So the last lines are written also where the reactor is about to stop: it waits for its
        threads.
        """
        while lines := self._take():
            try:
                self._file.write("".join(lines))
                self._file.flush()
            except OSError:
                with suppress(OSError):  # what could not be written cannot be flushed either
                    self._file.close()
                raise

    def _take(self) -> list[str]:
        with self._lock:
            lines, self._waiting = self._waiting, []
            if lines:
                return lines
            self._working = last = self._closing  # nobody else is to work on a file that is closed
        if last:
            self._file.close()
        return []

    def _work_failed(self, failure: Failure) -> None:
        assert failure.value is not None
        self._fail(failure.value)

    def _fail(self, error: BaseException) -> None:
        self._closing = True
        with self._lock:
            self._waiting = []
        if not self.broken:
            self.broken = True
            self._failed(error)


def check_path(path: str | PathLike[str]) -> None:
    """Finds out whether a file can be appended to; creates it.

    Raises:
        OSError: it cannot.
    """
    _open(path).close()


def _open(path: str | PathLike[str]) -> IO[str]:
    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=_opener)


def _opener(path: str, flags: int) -> int:
    """Opens a file; a pipe that nobody reads is an error here instead of a wait without an end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    os.set_blocking(descriptor, True)
    return descriptor
