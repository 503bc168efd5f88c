"""An in-memory server for tests without sockets and without real time.

The connections of a :class:`MemoryServer`, which is an endpoint, end at :class:`Peer` objects.
The test advances a ``Clock``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._wire import handshake
from wsx.test.support.wire import read_frames


class MemoryTransport(StringTransport):
    """A transport that ends asynchronously, like a TCP transport.

    ``loseConnection`` ends with ``ConnectionDone``, ``abortConnection`` with ``ConnectionLost``.

    Attributes:
        disconnecting: Whether ``loseConnection`` was called.
        aborted: Whether ``abortConnection`` was called.
        ended: Whether ``connectionLost`` of the protocol was called.
        write_blocked: Whether written bytes wait in the write buffer; ``loseConnection`` does not
            end a connection before they are written.
    """

    protocol: Any

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.aborted = False
        self.ended = False
        self.write_blocked = False
        self._clock = clock
        self._ending: IDelayedCall | None = None

    def loseConnection(self) -> None:
        if not (self.disconnecting or self.aborted or self.ended):
            self.disconnecting = True
            if not self.write_blocked:
                self._end_later(ConnectionDone())

    def abortConnection(self) -> None:
        if not (self.aborted or self.ended):
            self.aborted = True
            self._end_later(ConnectionLost())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing; a TLS transport passes this call on to the transport below it."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Do nothing."""

    def end(self, reason: Exception) -> None:
        """Call ``connectionLost`` of the protocol, unless it was called before."""
        self._cancel_ending()
        if not self.ended:
            self.ended = True
            self.protocol.connectionLost(Failure(reason))

    def _end_later(self, reason: Exception) -> None:
        self._cancel_ending()
        self._ending = self._clock.callLater(0, self._end_now, reason)

    def _end_now(self, reason: Exception) -> None:
        self._ending = None
        self.end(reason)

    def _cancel_ending(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    @property
    def reading_paused(self) -> bool:
        """Whether the client applies backpressure to the server."""
        return self.producerState == "paused"


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
