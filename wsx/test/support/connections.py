"""Base class and recording listener for the tests of connections."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Conn, FrameError
from wsx._transport.attempt import Attempt
from wsx._transport.connection import Connection
from wsx._wire.batch import Batch
from wsx.test.support import URL, MemoryServer, Peer, server_frame

FIN_RSV1 = 0xC0

DEFLATE = "permessage-deflate"

TAIL = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1


class Log:
    """A listener that records its calls, in order.

    A call of ``received`` is recorded as one ``frame`` event for each frame, followed by
    ``peer_closed`` or ``violated`` if the batch has an end.

    Attributes:
        events: Tuples of the event's name and its arguments.
        batches: The batches of all ``received`` calls.
        connections: The connections of all ``opened`` calls.
        conns: The Conns of all ``opened`` calls.
        on_opened: Called by ``opened`` with the connection.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.batches: list[Batch] = []
        self.connections: list[Connection] = []
        self.conns: list[Conn] = []
        self.on_opened: Callable[[Connection], None] = lambda connection: None

    def opened(self, connection: Connection, conn: Conn) -> None:
        self.events.append(("opened",))
        self.connections.append(connection)
        self.conns.append(conn)
        self.on_opened(connection)

    def failed(self, error: wsx.WsxError) -> None:
        self.events.append(("failed", error))

    def received(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.events.extend(("frame", frame) for frame in batch.frames)
        if isinstance(batch.end, FrameError):
            self.events.append(("violated", batch.end))
        elif batch.end is not None:
            self.events.append(("peer_closed", batch.end.code, batch.end.message))

    def writable(self) -> None:
        self.events.append(("writable",))

    def closed(self, reason: BaseException) -> None:
        self.events.append(("closed", type(reason)))

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [event[0] for event in self.events]

    @property
    def frames(self) -> list[wsx.Frame]:
        """The received frames."""
        return [event[1] for event in self.events if event[0] == "frame"]

    def only(self, name: str) -> Any:
        """Return the argument of the only event with this name."""
        (argument,) = [event[1] for event in self.events if event[0] == name]
        return argument


def assert_closed_gently(case: SynchronousTestCase, peer: Peer, clock: Clock) -> None:
    """Assert that a connection was closed with FIN, not with RST, and that no timer is left."""
    case.assertTrue(peer.transport.disconnecting)
    case.assertFalse(peer.transport.aborted)
    clock.advance(0)
    case.assertTrue(peer.transport.ended)
    case.assertEqual(clock.getDelayedCalls(), [])
    clock.advance(60)
    case.assertFalse(peer.transport.aborted)


class ProtocolCase(SynchronousTestCase):
    """Base class for tests of attempts that reach an in-memory server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)
        self.log = Log()

    @property
    def peer(self) -> Peer:
        """The server's side of the last connection."""
        return self.server.peer

    @property
    def connection(self) -> Connection:
        """The last opened connection."""
        return self.log.connections[-1]

    def attempt(self, url: str = URL, **options: Any) -> Attempt:
        """Start an attempt to connect."""
        options = {"endpoint": self.server} | options
        attempt = Attempt(Conn(url, **options), self.clock, self.log)
        attempt.start()
        return attempt

    def open(self, rest: bytes = b"", extensions: str = "", **options: Any) -> Connection:
        """Open a connection; the server's response has these extensions."""
        self.attempt(**options)
        self.peer.answer(rest, Sec_WebSocket_Extensions=extensions)
        return self.connection

    def send(self, *frames: wsx.Frame) -> list[tuple[int, bytes]]:
        """Send frames and return what the server receives."""
        self.connection.buffer(list(frames))
        self.connection.flush()
        return self.peer.received()

    def failure(self, kind: type[Exception]) -> Any:
        """Return the error of a failed attempt; there must be no other event."""
        self.assertEqual(self.log.names, ["failed"])
        error = self.log.only("failed")
        self.assertIsInstance(error, kind)
        return error

    def assert_closed_gently(self, peer: Peer) -> None:
        """Assert that the connection was closed with FIN and no timer is left."""
        assert_closed_gently(self, peer, self.clock)


class Deflater:
    """The server's side of permessage-deflate, implemented with zlib only."""

    def __init__(self, takeover: bool = True, bits: int = 15) -> None:
        self._takeover = takeover
        self._bits = bits
        self._reset()

    def _reset(self) -> None:
        self._out = zlib.compressobj(wbits=-self._bits)
        self._in = zlib.decompressobj(-self._bits)

    def compress(self, payload: bytes) -> bytes:
        """Compress a message."""
        if not self._takeover:
            self._reset()
        data = self._out.compress(payload) + self._out.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(TAIL)

    def decompress(self, payload: bytes) -> bytes:
        """Decompress a message."""
        if not self._takeover:
            self._reset()
        return self._in.decompress(payload + TAIL)

    def text(self, payload: str) -> bytes:
        """Return the bytes of a compressed text message."""
        return server_frame(1, self.compress(payload.encode()), FIN_RSV1)
