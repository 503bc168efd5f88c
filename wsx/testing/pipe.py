"""One direction of a connection in memory, and what can happen to its bytes on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from wsx.testing.clock import MemoryReactor

__all__ = ["Pipe"]

_READ_SIZE: Final = 65536  # bytes that one read of the reactor returns, as for TCP in Twisted


class Pipe:
    """Carry bytes to their reader, in order, in a later reactor iteration.

    Args:
        reactor: The reactor.

    Attributes:
        received: Called with the bytes of each read.
        finished: Called after the last read, when the sender has finished.
        drained: Called when everything that had been sent was read.
        delay: The time in seconds that bytes are on their way. Default 0.
        part_size: The size in bytes of the parts in which bytes arrive, or None (default) to let
            them arrive as they were sent.
        interval: The time in seconds between two parts. Default 0.
        unread: The number of bytes that the reader has not read, including those on their way.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self.received: Callable[[bytes], object] = lambda _: None
        self.finished: Callable[[], object] = lambda: None
        self.drained: Callable[[], object] = lambda: None
        self.delay = 0.0
        self.part_size: int | None = None
        self.interval = 0.0
        self.unread = 0
        self._reactor = reactor
        # The times of arrival, and parts; None is the end.
        self._travelling: deque[tuple[float, bytes | None]] = deque()
        self._arrived = bytearray()
        self._has_ended = False  # Whether the end has arrived.
        self._finishing = False  # Whether the sender has finished.
        self._held = False
        self._dead = False
        self._reading = False  # Whether a read is scheduled.
        self._last_arrival = 0.0
        self._fault: tuple[int, Callable[[], object]] | None = None
        self._corrupted: int | None = None

    # Sending

    def put(self, data: bytes) -> None:
        """Send bytes. Nothing happens once the sender has finished."""
        if self._finishing or not data:
            return
        data = self._corrupt(data)
        fault: Callable[[], object] | None = None
        if self._fault is not None:
            left, strike = self._fault
            if len(data) >= left:
                data, fault, self._fault = data[:left], strike, None
            else:
                self._fault = (left - len(data), strike)
        self.unread += len(data)
        if not self._dead:
            self._send(data)
        if fault is not None:
            fault()

    def finish(self) -> None:
        """Send the end, after all bytes."""
        if not self._finishing:
            self._finishing = True
            if not self._dead:
                self._travel(None)

    def _send(self, data: bytes) -> None:
        size = self.part_size or len(data)
        for start in range(0, len(data), size or 1):
            self._travel(data[start : start + size])
            self._last_arrival += self.interval

    def _travel(self, part: bytes | None) -> None:
        self._last_arrival = max(self._last_arrival, self._reactor.seconds() + self.delay)
        self._travelling.append((self._last_arrival, part))
        if len(self._travelling) == 1:
            self._wait_for_arrival()

    def _wait_for_arrival(self) -> None:
        delay = max(0.0, self._travelling[0][0] - self._reactor.seconds())
        self._reactor.later(delay, self._arrive)

    # Receiving

    def _arrive(self) -> None:
        _, part = self._travelling.popleft()
        if self._travelling:
            self._wait_for_arrival()
        if self._dead:
            return
        if part is None:
            self._has_ended = True
        else:
            self._arrived += part
        if not (self._held or self._reading):
            self._read()

    def hold(self) -> None:
        """Let bytes wait, because the reader has stopped reading."""
        self._held = True

    def release(self) -> None:
        """Read again, from the next reactor iteration on."""
        self._held = False
        self._read_later()

    def _read_later(self) -> None:
        if not self._reading and (self._arrived or self._has_ended):
            self._reading = True
            self._reactor.later(0, self._read)

    def _read(self) -> None:
        """Read once, like a reactor that finds a socket readable."""
        self._reading = False
        if self._held or self._dead:
            return
        if self._arrived:
            data = bytes(self._arrived[:_READ_SIZE])
            del self._arrived[:_READ_SIZE]
            self.unread -= len(data)
            self.received(data)
            if not self.unread:
                self.drained()
            self._read_later()
        elif self._has_ended:
            self._dead = True
            self.finished()

    # Faults

    def discard(self) -> None:
        """Let nothing arrive any more, without an end."""
        self._dead = True
        self._arrived.clear()

    def strike_after(self, size: int, strike: Callable[[], object]) -> None:
        """Call a function once ``size`` more bytes were sent; the bytes after them are lost."""
        if size:
            self._fault = (size, strike)
        else:
            strike()

    def corrupt(self, offset: int) -> None:
        """Invert the bits of one of the next bytes.

        Args:
            offset: The number of bytes before it.
        """
        self._corrupted = offset

    def _corrupt(self, data: bytes) -> bytes:
        offset = self._corrupted
        if offset is None:
            return data
        if offset >= len(data):
            self._corrupted = offset - len(data)
            return data
        self._corrupted = None
        return data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :]
