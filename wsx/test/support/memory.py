"""An in-memory server for tests without sockets and without real time.

The connections of a :class:`MemoryServer`, which is an endpoint, end at :class:`Peer` objects.
The test advances a ``Clock``. The tests of wsx itself use it where they need each reactor iteration
and each byte; for handlers there is :mod:`wsx.testing`, which shares its transport.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from wsx._wire import handshake
from wsx.test.support.wire import read_frames
from wsx.testing.transport import MemoryTransport


class Peer:
    """The server's side of one connection."""

    def __init__(self, protocol: Any, clock: Clock) -> None:
        self.protocol = protocol
        self.transport = MemoryTransport(clock)
        self.transport.protocol = protocol

    @property
    def request(self) -> tuple[str, dict[str, str]]:
        """The request line and the headers, with lower-case names."""
        line, *fields = self.transport.value().decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        return line, {k.lower(): v for k, _, v in (field.partition(": ") for field in fields)}

    def answer(self, rest: bytes = b"", accept: str | None = None, **headers: str) -> None:
        """Complete the opening handshake.

        Args:
            rest: Bytes behind the response, in the same read.
            accept: The ``Sec-WebSocket-Accept`` value; the right one by default.
            headers: Headers that replace the default ones (``_`` stands for ``-``); one with an
                empty value is left out.
        """
        usual = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept
            or handshake.accept_value(self.request[1]["sec-websocket-key"]),
        }
        usual |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in usual.items() if value]
        response = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""])
        self.transport.clear()
        self.send(response.encode("latin-1") + rest)

    def send(self, data: bytes) -> None:
        """Send bytes that arrive in one read."""
        self.protocol.dataReceived(data)

    def received(self) -> list[tuple[int, bytes]]:
        """Return the frames received since the last call, as pairs of opcode and payload."""
        data = self.transport.value()
        self.transport.clear()
        return read_frames(data)

    def drop(self, error: Exception | None = None) -> None:
        """End TCP, with ``ConnectionDone`` by default."""
        self.transport.end(error or ConnectionDone())

    @property
    def _lost(self) -> bool:
        return self.transport.ended

    @property
    def buffer(self) -> IPushProducer:
        """The client as the transport's producer; pause it to report a full write buffer."""
        assert self.transport.producer is not None
        return self.transport.producer


@implementer(IStreamClientEndpoint)
class MemoryServer:
    """An endpoint for the ``endpoint`` option of a client.

    Attributes:
        peers: The connections made so far.
        refusal: The exception that every attempt fails with, or None.
        silent: Whether attempts neither succeed nor fail.
        attempts: The number of attempts so far.
        cancelled: The number of attempts that were cancelled before TCP was connected.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.peers: list[Peer] = []
        self.refusal: Exception | None = None
        self.silent = False
        self.attempts = 0
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        if self.refusal is not None:
            return fail(self.refusal)
        if self.silent:
            return Deferred(self._cancel)
        protocol = factory.buildProtocol(None)
        peer = Peer(protocol, self._clock)
        self.peers.append(peer)
        connected: Deferred[Any] = Deferred()
        protocol.makeConnection(peer.transport)
        connected.callback(protocol)
        return connected

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled += 1

    @property
    def peer(self) -> Peer:
        """The last connection."""
        return self.peers[-1]
