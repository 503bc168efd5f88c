"""The log file of ``log_to_file``, written in threads so that the disk never blocks the reactor."""

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

from wsx._failures import cause_of

__all__ = ["LogFile", "check_path"]

_MAX_WAITING_LINES: Final = 100_000  # Limits the memory if the disk does not respond.


class LogFile:
    """Append lines to a file in the reactor's thread pool, one batch after another.

    If the reactor has no threads, like a ``Clock``, lines are written at once.

    Args:
        path: The path of the file, which is created if necessary.
        reactor: The reactor, for its thread pool.
        failed: Called once with the exception if a write fails. Nothing is written after that.

    Attributes:
        broken: Whether a write has failed.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(
        self, path: str | PathLike[str], reactor: Any, failed: Callable[[BaseException], None]
    ) -> None:
        self._file = _open(path)
        self._reactor = reactor
        self._threads = IReactorThreads.providedBy(reactor)
        self._failed = failed
        self._lock = Lock()  # Guards _waiting and _working.
        self._waiting: list[str] = []
        self._working = False
        self._closing = False
        self.broken = False

    def write(self, line: str) -> None:
        """Append a line. Lines that arrive during a write form the next batch."""
        if self._closing:
            return
        with self._lock:
            self._waiting.append(f"{line}\n")
            too_many = len(self._waiting) > _MAX_WAITING_LINES
        if too_many:
            self._fail(
                TimeoutError(f"the disk is too slow: {_MAX_WAITING_LINES} lines are waiting")
            )
        self._start_writer()

    def close(self) -> None:
        """Accept no more lines, and close the file once all of them are written."""
        self._closing = True
        self._start_writer()

    def _start_writer(self) -> None:
        """Start a writer thread unless one is running."""
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
        """Write until no lines are waiting. Runs in a thread of the reactor.

        The thread never calls the reactor. The last lines are written too, because a reactor that
        stops waits for its threads.
        """
        while lines := self._take():
            try:
                self._file.write("".join(lines))
                self._file.flush()
            except OSError:
                with suppress(OSError):  # Closing flushes, which fails in the same way.
                    self._file.close()
                raise

    def _take(self) -> list[str]:
        with self._lock:
            lines, self._waiting = self._waiting, []
            if lines:
                return lines
            # No other writer thread may start once the file is closed.
            self._working = is_last = self._closing
        if is_last:
            self._file.close()
        return []

    def _work_failed(self, failure: Failure) -> None:
        self._fail(cause_of(failure))

    def _fail(self, error: BaseException) -> None:
        self._closing = True
        with self._lock:
            self._waiting = []
        if not self.broken:
            self.broken = True
            self._failed(error)


def check_path(path: str | PathLike[str]) -> None:
    """Check that a file can be appended to; create it if necessary.

    Raises:
        OSError: The file cannot be opened.
    """
    _open(path).close()


def _open(path: str | PathLike[str]) -> IO[str]:
    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=_opener)


def _opener(path: str, flags: int) -> int:
    """Open a file without blocking, so that a pipe without a reader is an error.

    A new file is for its owner only, because events show payloads.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o600)
    os.set_blocking(descriptor, True)
    return descriptor
