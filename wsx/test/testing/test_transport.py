"""Tests of the transport in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol

from wsx.test.support.kit import KitCase
from wsx.testing.clock import MemoryReactor
from wsx.testing.server import MemoryServer
from wsx.testing.transport import ClientTransport, MemoryTransport


class Recording(Protocol):
    """Record what the transport calls."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append(type(reason.value))

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")


class TransportTests(KitCase):
    """How a transport ends, and its write buffer."""

    def setUp(self) -> None:
        self.connect()

    def connect(self) -> None:
        """Make a new transport."""
        self.reactor: MemoryReactor = MemoryServer().reactor
        self.protocol = Recording()
        self.transport = ClientTransport(self.reactor, self.protocol)
        self.received: list[Any] = []
        self.transport.to_server.received = self.received.append
        self.transport.to_server.finished = lambda: self.received.append("end")
        self.transport.registerProducer(self.protocol, True)

    def test_ends(self) -> None:
        """A connection ends in the next iteration, once, as it was ended first."""
        for method, expected in [
            (MemoryTransport.loseConnection, ConnectionDone),
            (MemoryTransport.abortConnection, ConnectionLost),
        ]:
            self.connect()
            method(self.transport)
            self.transport.write(b"too late")
            self.assertEqual(self.protocol.events, [])
            self.reactor.settle()
            self.transport.abortConnection()
            self.transport.loseConnection()
            self.reactor.settle()
            self.assertEqual(self.protocol.events, [expected])
            self.assertEqual(self.received, ["end"])

    def test_abort_after_lose(self) -> None:
        """An abort replaces a close that has not happened yet."""
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.reactor.settle()
        self.assertEqual(self.protocol.events, [ConnectionLost])

    def test_write_buffer(self) -> None:
        """The producer is paused above 64 KiB, and resumed once the server has read all of it."""
        self.transport.to_server.hold()
        self.transport.write(bytes(65536))
        self.assertEqual(self.protocol.events, [])
        self.transport.writeSequence([b"a", b"b"])
        self.assertEqual(self.protocol.events, ["pause"])
        self.transport.to_server.release()
        self.reactor.settle()
        self.assertEqual(self.protocol.events, ["pause", "resume"])
        self.assertEqual(sum(map(len, self.received)), 65538)

    def test_close_with_a_full_write_buffer(self) -> None:
        """The connection is not closed before everything is written."""
        self.transport.to_server.hold()
        self.transport.write(bytes(70_000))
        self.transport.loseConnection()
        self.reactor.settle()
        self.assertEqual(self.protocol.events, ["pause"])
        self.transport.to_server.release()
        self.reactor.settle()
        self.assertEqual(self.protocol.events, ["pause", "resume", ConnectionDone])
        self.assertEqual(self.received[-1], "end")

    def test_reading(self) -> None:
        """A client that has paused reading receives nothing, not even the end."""
        self.transport.pauseProducing()
        self.transport.to_client.put(b"a")
        self.transport.to_client.finish()
        self.reactor.settle()
        self.assertEqual((self.protocol.events, self.transport.reading_paused), ([], True))
        self.transport.resumeProducing()
        self.reactor.settle()
        self.assertEqual(self.protocol.events, [b"a", ConnectionDone])

    def test_after_the_end(self) -> None:
        """After the end, nothing is received."""
        self.transport.to_client.put(b"a")
        self.transport.end(ConnectionLost())
        self.transport.resumeProducing()
        self.reactor.settle()
        self.assertEqual(self.protocol.events, [ConnectionLost])
