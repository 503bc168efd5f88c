"""What the tests of a connection share."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Conn, FrameError
from wsx._transport.connection import Attempt, Connection
from wsx.test.support import URL, MemoryServer, Peer, server_frame

FIN_RSV1 = 0xC0

DEFLATE = "permessage-deflate"

TAIL = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1


class Log:
    """A listener that notes what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
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

    def received(self, frames: list[wsx.Frame], joined: list[wsx.Frame], controls: bool) -> None:
        self.events.extend(("frame", frame) for frame in frames)

    def own_pong(self, payload: bytes) -> None:
        self.events.append(("own_pong", payload))

    def peer_closed(self, code: int, message: str) -> None:
        self.events.append(("peer_closed", code, message))

    def violated(self, error: FrameError) -> None:
        self.events.append(("violated", error))

    def writable(self) -> None:
        self.events.append(("writable",))

    def closed(self, reason: BaseException) -> None:
        self.events.append(("closed", type(reason)))

    @property
    def names(self) -> list[str]:
        """What happened, without the details."""
        return [event[0] for event in self.events]

    @property
    def frames(self) -> list[wsx.Frame]:
        """The frames that came."""
        return [event[1] for event in self.events if event[0] == "frame"]

    def only(self, name: str) -> Any:
        """The argument of the one event of that name."""
        (argument,) = [event[1] for event in self.events if event[0] == name]
        return argument


class ProtocolCase(SynchronousTestCase):
    """Tests of attempts that reach an in-memory server."""

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
        """The connection that was opened last."""
        return self.log.connections[-1]

    def attempt(self, url: str = URL, **options: Any) -> Attempt:
        """Starts an attempt to connect."""
        options = {"endpoint": self.server} | options
        attempt = Attempt(Conn(url, **options), self.clock, self.log)
        attempt.start()
        return attempt

    def open(self, rest: bytes = b"", extensions: str = "", **options: Any) -> Connection:
        """Makes a connection; its server answers with these extensions."""
        self.attempt(**options)
        self.peer.answer(rest, Sec_WebSocket_Extensions=extensions)
        return self.connection

    def send(self, *frames: wsx.Frame) -> list[tuple[int, bytes]]:
        """Sends frames; gives what the server gets."""
        self.connection.gather(list(frames))
        self.connection.flush()
        return self.peer.received()

    def failure(self, kind: type[Exception]) -> Any:
        """The error of a failed attempt, which was all that happened."""
        self.assertEqual(self.log.names, ["failed"])
        error = self.log.only("failed")
        self.assertIsInstance(error, kind)
        return error


class Deflater:
    """A server's side of permessage-deflate, with zlib alone."""

    def __init__(self, takeover: bool = True, bits: int = 15) -> None:
        self._takeover = takeover
        self._bits = bits
        self._reset()

    def _reset(self) -> None:
        self._out = zlib.compressobj(wbits=-self._bits)
        self._in = zlib.decompressobj(-self._bits)

    def compress(self, payload: bytes) -> bytes:
        """Deflates a message."""
        if not self._takeover:
            self._reset()
        data = self._out.compress(payload) + self._out.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(TAIL)

    def decompress(self, payload: bytes) -> bytes:
        """Inflates a message."""
        if not self._takeover:
            self._reset()
        return self._in.decompress(payload + TAIL)

    def text(self, payload: str) -> bytes:
        """A compressed text message on the wire."""
        return server_frame(1, self.compress(payload.encode()), FIN_RSV1)
