"""An in-memory server, driven by hand: no sockets and no real time.

:class:`MemoryServer` is an endpoint whose connections end at :class:`Peer` objects; a ``Clock`` is
moved by the test.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._wire import handshake
from wsx.test.support.wire import read_frames


class MemoryTransport(StringTransport):
    """A transport that ends when it is told to, with its reason in a later step, as TCP's does."""

    protocol: Any

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.aborted = False

    def abortConnection(self) -> None:
        if not self.aborted:
            self.aborted = True
            self._clock.callLater(0, self._lost)

    def _lost(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def reading_paused(self) -> bool:
        """Whether the client holds us back."""
        return self.producerState == "paused"


class Peer:
    """The server's side of one connection."""

    def __init__(self, protocol: Any, clock: Clock) -> None:
        self.protocol = protocol
        self.transport = MemoryTransport(clock)
        self.transport.protocol = protocol
        self._lost = False

    @property
    def request(self) -> tuple[str, dict[str, str]]:
        """The request line, and the headers with their names in lower case."""
        line, *fields = self.transport.value().decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        return line, {k.lower(): v for k, _, v in (field.partition(": ") for field in fields)}

    def answer(self, rest: bytes = b"", accept: str | None = None, **headers: str) -> None:
        """Completes the opening handshake; ``rest`` comes in the same read.

        Headers replace the usual ones (``_`` stands for ``-``); an empty value leaves one out.
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
        """Sends bytes in one read."""
        self.protocol.dataReceived(data)

    def received(self) -> list[tuple[int, bytes]]:
        """Gives the frames that came since the last call, as pairs of opcode and payload."""
        data = self.transport.value()
        self.transport.clear()
        return read_frames(data)

    def drop(self, error: Exception | None = None) -> None:
        """Ends TCP; without a close frame before, that is a dropped connection."""
        if not self._lost:
            self._lost = True
            self.protocol.connectionLost(Failure(error or ConnectionDone()))

    @property
    def buffer(self) -> IPushProducer:
        """The client as the transport's producer: pause it, and the write buffer is full."""
        assert self.transport.producer is not None
        return self.transport.producer


@implementer(IStreamClientEndpoint)
class MemoryServer:
    """An endpoint, to be given to a client as its ``endpoint`` option.

    Attributes:
        peers: the connections made so far.
        refusal: an exception that every attempt fails with.
        silent: attempts neither succeed nor fail.
        cancelled: how many attempts were given up while TCP was being made.
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
