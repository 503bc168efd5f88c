"""Read from a TCP transport on Twisted's asyncio reactor: faster, and safe with uvloop.

This uses private attributes of Twisted's reactor. With other reactors, nothing changes.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from wsx._failures import log_failure
from wsx._transport.sockets import tcp_transport

__all__ = ["AsyncioReads"]

_log = Logger("wsx")


class AsyncioReads:
    """The reads of one connection.

    They bypass ``callWithLogger``, which sets a context for Twisted's legacy log. Setting it takes
    as long as all other processing of a short message.

    After an error of a socket, such as a reset by the peer, uvloop calls the reader once more and
    then stops polling without reporting it. If that one read does not return all data, the error
    behind the data is never read, and the connection is never reported as lost. However, uvloop
    then deletes the callback, so the callback detects its own deletion.

    Args:
        transport: The transport, which may be TLS on top of TCP.
    """

    def __init__(self, transport: Any) -> None:
        self._connection: Any = tcp_transport(transport)
        reactor = getattr(self._connection, "reactor", None)
        self._loop = getattr(reactor, "_asyncioEventloop", None)
        self._read = getattr(reactor, "_readOrWrite", None)
        self._readers: Any = getattr(reactor, "_readers", ())
        self._drops_callbacks = type(self._loop).__module__.partition(".")[0] == "uvloop"
        self._current = 0  # The number of the callback that the loop has.
        if self._drops_callbacks:
            self._connection.startWriting = self._start_writing

    def start(self) -> None:
        """Take over the reads. Call this whenever the transport has started reading."""
        if self._loop is None or self._read is None or self._connection not in self._readers:
            return
        self._current += 1
        if not self._drops_callbacks:
            self._loop.add_reader(self._connection.fileno(), self.read)
            return
        watch = _Watch(self, self._current)
        try:
            self._loop.add_reader(self._connection.fileno(), self.read, watch)
        except RuntimeError:  # uvloop has stopped polling; _poll_again has not run yet.
            self._loop.remove_reader(self._connection.fileno())
            self._loop.add_reader(self._connection.fileno(), self.read, watch)

    def _start_writing(self) -> None:
        """Start writing, unless uvloop has stopped polling: the next read reports the loss.

        The caller may be a timer of Twisted's TLS, which would log the exception.
        """
        try:
            type(self._connection).startWriting(self._connection)
        except RuntimeError:
            if self._connection not in self._readers:
                raise

    def read(self, watch: _Watch | None = None) -> None:
        """Read once. Exceptions are handled as ``callWithLogger`` handles them.

        Args:
            watch: Referred to by the loop as long as it has this callback; None by default.
        """
        assert self._read is not None
        try:
            self._read(self._connection, True)
        except KeyboardInterrupt:
            raise
        except BaseException:
            log_failure(_log, "reading from a connection failed")

    def dropped(self, number: int) -> None:
        """Check in a later iteration whether the loop has stopped polling, and poll again.

        Args:
            number: The number of the callback that the loop has dropped.
        """
        if number == self._current and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon(self._poll_again, number)

    def _poll_again(self, number: int) -> None:
        if number == self._current and self._connection in self._readers:
            self._loop.remove_reader(self._connection.fileno())  # type: ignore[union-attr]
            self.start()


class _Watch:
    """An argument of a callback that reports when the event loop drops the callback."""

    __slots__ = ("_number", "_reads")

    def __init__(self, reads: AsyncioReads, number: int) -> None:
        self._reads = reads
        self._number = number

    def __del__(self) -> None:
        self._reads.dropped(self._number)
