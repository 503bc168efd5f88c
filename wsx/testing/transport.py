"""The client's transport of a connection in memory."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from wsx.testing.clock import MemoryReactor
from wsx.testing.pipe import Pipe

__all__ = ["ClientTransport", "MemoryTransport"]

_HIGH_WATER: Final = 65536  # bytes, as for Twisted's TCP transports
_PEER: Final = IPv4Address("TCP", "192.0.2.1", 80)


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
        super().__init__()  # type: ignore[no-untyped-call]
        self.aborted = False
        self.ended = False
        self.write_blocked = False
        self._clock = clock
        self._ending: IDelayedCall | None = None

    def loseConnection(self) -> None:
        """Close the connection once everything is written."""
        if not (self.disconnecting or self.aborted or self.ended):
            self.disconnecting = True
            if not self.write_blocked:
                self._end_later(ConnectionDone())

    def abortConnection(self) -> None:
        """Abort the connection."""
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


class ClientTransport(MemoryTransport):
    """A transport whose bytes reach the server through one pipe, and the client through another.

    Args:
        reactor: The reactor.
        protocol: The client's protocol.

    Attributes:
        to_server: What the client sends. The server sets its reader.
        to_client: What the server sends.
    """

    def __init__(self, reactor: MemoryReactor, protocol: Any) -> None:
        super().__init__(reactor)
        self.peerAddr = _PEER
        self.protocol = protocol
        self.to_server = Pipe(reactor)
        self.to_server.drained = self._drained
        self.to_client = Pipe(reactor)
        self.to_client.received = protocol.dataReceived
        self.to_client.finished = lambda: self.end(ConnectionDone())

    def write(self, data: bytes) -> None:
        """Send bytes to the server. They are dropped once the connection is closing."""
        if self.ended or self.aborted or self.disconnecting:
            return
        self.to_server.put(data)
        if self.to_server.unread > _HIGH_WATER and not self.write_blocked:
            self.write_blocked = True
            if self.producer is not None:
                self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """Send several pieces of bytes to the server."""
        self.write(b"".join(data))

    def _drained(self) -> None:
        """Continue, because the server has read everything."""
        if self.write_blocked:
            self.write_blocked = False
            if self.producer is not None and not self.ended:
                self.producer.resumeProducing()
            if self.disconnecting:
                self._end_later(ConnectionDone())

    # The engine pauses and resumes reading at any time, which Twisted's TCP transports allow.

    def pauseProducing(self) -> None:
        """Stop reading."""
        self.producerState = "paused"
        self.to_client.hold()

    def resumeProducing(self) -> None:
        """Read again."""
        self.producerState = "producing"
        self.to_client.release()

    def end(self, reason: Exception) -> None:
        """Call ``connectionLost`` of the protocol, and let the server notice the end."""
        if not self.ended:
            self.to_client.discard()
            self.to_server.finish()
        super().end(reason)
