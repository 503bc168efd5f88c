"""Hostile input in memory: how long one reactor iteration takes, and how much memory it needs.

The clock is the CPU time of the process, so that other processes do not change the result.
"""

from __future__ import annotations

import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred

import wsx
from wsx.frames import BINARY, CONTINUATION, PING, PONG, TEXT
from wsx.test.support import URL, MemoryServer, Peer, server_frame
from wsx.testing.clock import TurnClock

__all__ = ["FLOODS", "MEBIBYTE", "READ_SIZE", "Figures", "Flood", "measure"]

READ_SIZE: Final = 262144  # bytes: the largest read of a TCP transport
MEBIBYTE: Final = 1 << 20
FIN_RSV1: Final = 0xC0
RSV1: Final = 0x40
DEFLATE: Final = "permessage-deflate; server_no_context_takeover"
# The payload inflates to nothing, so no limit ends the message.
EMPTY_BLOCK_IN_FRAGMENTS: Final = b"".join(
    server_frame(CONTINUATION, bytes([byte]), 0) for byte in b"\x00\x00\x00\xff\xff"
)
IDLE_TURNS: Final = 3  # iterations without work, after which nothing more happens


class CpuClock(TurnClock):
    """A clock that shows the CPU time of the process."""

    def seconds(self) -> float:
        self.rightNow = time.process_time()
        return self.rightNow


@dataclass(frozen=True)
class Flood:
    """Input of a hostile server.

    Attributes:
        name: What the server sends.
        data: Returns the bytes.
        largest_message: The size in bytes of the largest message after inflation.
        end: The close code with which the client fails the connection, or None.
    """

    name: str
    data: Callable[[], bytes]
    largest_message: int = 0
    end: int | None = None


@dataclass(frozen=True)
class Figures:
    """The result of one measurement.

    Attributes:
        read: Bytes that the client has read before it paused reading or failed the connection.
        callbacks: Calls of the handler.
        cpu: Seconds in total.
        longest: Seconds of the longest reactor iteration.
        peak: Bytes of memory at peak, beyond the input.
        close_code: The close code that the client has sent, or None.
    """

    read: int
    callbacks: int
    cpu: float
    longest: float
    peak: int
    close_code: int | None


class CountingHandler(wsx.Handler[None]):
    """Count the callbacks.

    Args:
        waits: Whether each callback returns a Deferred that does not fire.
    """

    def __init__(self, waits: bool) -> None:
        self.waits = waits
        self.count = 0

    def _answer(self) -> Any:
        self.count += 1
        return Deferred() if self.waits else None

    def handle_frame(self, frame: wsx.Frame, state: None) -> Any:
        """Count a message."""
        return self._answer()

    def handle_ping(self, frame: wsx.Ping, state: None) -> Any:
        """Count a ping and answer it."""
        return self._answer() or super().handle_ping(frame, state)

    def handle_pong(self, frame: wsx.Pong, state: None) -> Any:
        """Count a pong."""
        return self._answer()


class Reactor:
    """Reactor iterations in which one client reads from a server that floods it."""

    def __init__(self, handler: wsx.Handler[None], data: bytes) -> None:
        self._clock = CpuClock()
        server = MemoryServer(self._clock)
        wsx.start(
            URL,
            handler,
            None,
            async_=True,
            reactor=self._clock,
            endpoint=server,
            ping_interval=None,
            compression="deflate",
        )
        self.peer: Peer = server.peer
        self.peer.answer(Sec_WebSocket_Extensions=DEFLATE)
        self._clock.turn()
        self.peer.received()
        self._data = memoryview(data)
        self.read = 0
        self.close_code: int | None = None

    def turns(self) -> Iterator[float]:
        """Run iterations until nothing more happens. Yield the CPU time of each in seconds."""
        idle = 0
        while idle < IDLE_TURNS:
            chunk = self._next_read()
            began = time.process_time()
            self._clock.turn()
            if chunk:
                self.peer.send(chunk)
            yield time.process_time() - began
            idle = 0 if chunk or self._clock.getDelayedCalls() else idle + 1
            self._note_close()

    def _next_read(self) -> bytes:
        if self.peer.transport.reading_paused or self.close_code is not None:
            return b""
        chunk = bytes(self._data[self.read : self.read + READ_SIZE])
        self.read += len(chunk)
        return chunk

    def _note_close(self) -> None:
        for opcode, payload in self.peer.received():
            if opcode == 8:
                self.close_code = int.from_bytes(payload[:2], "big")
                self.peer.drop()


def measure(flood: Flood, waits: bool) -> Figures:
    """Measure a flood for the time, and its first two reads for the memory, which takes longer.

    Args:
        flood: The input.
        waits: Whether each callback returns a Deferred that does not fire.
    """
    data = flood.data()
    handler = CountingHandler(waits)
    reactor = Reactor(handler, data)
    turns = list(reactor.turns())
    traced = Reactor(CountingHandler(waits), data[: 2 * READ_SIZE])
    tracemalloc.start()
    for _ in traced.turns():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Figures(reactor.read, handler.count, sum(turns), max(turns), peak, reactor.close_code)


def _deflate(payload: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    body = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return body.removesuffix(b"\x00\x00\xff\xff")


def _repeat(frame: bytes, size: int = MEBIBYTE) -> bytes:
    return frame * (size // len(frame))


def _in_fragments(opcode: int, fragment: bytes, size: int, flags: int = 0) -> bytes:
    first = server_frame(opcode, b"", flags)
    return first + _repeat(server_frame(CONTINUATION, fragment, 0), size)


FLOODS: Final = [
    Flood("pings", lambda: _repeat(server_frame(PING))),
    Flood("pings of 125 bytes", lambda: _repeat(server_frame(PING, bytes(125)))),
    Flood("pongs", lambda: _repeat(server_frame(PONG))),
    Flood("empty messages", lambda: _repeat(server_frame(TEXT))),
    Flood("messages of 1 byte", lambda: _repeat(server_frame(BINARY, b"x"))),
    Flood(
        "compressed empty messages",
        lambda: _repeat(server_frame(TEXT, b"\x00", FIN_RSV1)),
    ),
    Flood(
        "compressed messages of 256 final blocks",
        lambda: _repeat(server_frame(TEXT, b"\x03\x00" * 256 + b"\x00", FIN_RSV1)),
    ),
    Flood(
        "messages of 2 empty fragments",
        lambda: _repeat(server_frame(TEXT, b"", 0) + server_frame(CONTINUATION)),
    ),
    Flood(
        "fragments of 1 byte, binary",
        lambda: _in_fragments(BINARY, b"x", MEBIBYTE),
    ),
    Flood(
        "fragments of 1 byte, text",
        lambda: _in_fragments(TEXT, b"x", MEBIBYTE),
    ),
    Flood(
        "compressed fragments of 1 byte",
        lambda: server_frame(BINARY, b"", RSV1) + _repeat(EMPTY_BLOCK_IN_FRAGMENTS),
    ),
    Flood("empty fragments", lambda: _in_fragments(BINARY, b"", MEBIBYTE), end=1009),
    Flood(
        "compressed empty fragments",
        lambda: _in_fragments(BINARY, b"", MEBIBYTE, RSV1),
        end=1009,
    ),
    Flood(
        "200 compressed messages of 15 MiB",
        lambda: server_frame(BINARY, _deflate(bytes(15 * MEBIBYTE)), FIN_RSV1) * 200,
        largest_message=15 * MEBIBYTE,
    ),
    Flood(
        "20 compressed texts of 15 MiB with one emoji",
        lambda: server_frame(TEXT, _deflate(b"a" * (15 * MEBIBYTE) + "😀".encode()), FIN_RSV1) * 20,
        largest_message=15 * MEBIBYTE + 4,
    ),
    Flood(
        "compressed messages beyond the limit",
        lambda: server_frame(BINARY, _deflate(bytes(64 * MEBIBYTE)), FIN_RSV1),
        end=1009,
    ),
]
