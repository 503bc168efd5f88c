"""Tests of wsx._sockets: real sockets of which the test holds both ends, and no reactor turning."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from wsx._sockets import LARGE_READ, read_largely, write_now

LARGE = b"x" * 4_000_000  # more than any socket takes at once


class SocketCase(SynchronousTestCase):
    """Tests with a transport whose peer is a socket in the test's hands."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        for end in (ours, self.peer):
            end.setblocking(False)
            self.addCleanup(end.close)
        self.reactor = MemoryReactor()
        self.transport: Any = Connection(ours, Protocol(), self.reactor)
        self.transport.connected = True
        self.transport.logstr = "test"


class ReadLargelyTests(SocketCase):
    """``read_largely`` reaches the TCP transport, wherever it is."""

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(self.transport.bufferSize, LARGE_READ)

    def test_transport(self) -> None:
        """It reads more at once."""
        read_largely(self.transport)
        self.assertGreater(self.transport.bufferSize, LARGE_READ)

    def test_below(self) -> None:
        """So below TLS and whatever else there is."""
        below_two = SimpleNamespace(transport=SimpleNamespace(transport=self.transport))
        read_largely(below_two)
        self.assertGreater(self.transport.bufferSize, LARGE_READ)

    def test_others(self) -> None:
        """Other transports, and other connections, stay as they are."""
        read_largely(StringTransport())
        self.assertEqual(Connection.bufferSize, LARGE_READ)


class WriteNowTests(SocketCase):
    """``write_now`` is ``transport.write``, sooner."""

    @property
    def waits(self) -> bool:
        """Whether the transport waits for its socket to be writable."""
        return bool(self.reactor.getWriters())

    def arrived(self) -> bytes:
        """What the peer can read now."""
        data = b""
        try:
            while part := self.peer.recv(65536):
                data += part
        except BlockingIOError:
            pass
        return data

    def write_the_rest(self) -> bytes:
        """Has the transport write what it has; gives what the peer got."""
        data = self.arrived()
        while self.waits:
            self.assertIsNone(self.transport.doWrite())
            data += self.arrived()
        return data

    def test_at_once(self) -> None:
        """Where nothing waits, the peer has the bytes at once, and the reactor nothing to do."""
        write_now(self.transport, b"hello")
        self.assertEqual(self.arrived(), b"hello")
        self.assertFalse(self.waits)

    def test_after_what_waits(self) -> None:
        """What was written before goes before."""
        self.transport.write(b"first ")
        write_now(self.transport, b"second ")
        write_now(self.transport, b"third")
        self.assertEqual(self.arrived(), b"")
        self.assertEqual(self.write_the_rest(), b"first second third")

    def test_after_a_part(self) -> None:
        """So where the transport wrote a part of it."""
        self.transport.write(LARGE)
        self.transport.doWrite()
        write_now(self.transport, b"end")
        self.assertEqual(self.write_the_rest(), LARGE + b"end")

    def test_full_socket(self) -> None:
        """What the socket does not take, the transport has."""
        write_now(self.transport, LARGE)
        self.assertTrue(self.waits)
        write_now(self.transport, b"end")
        self.assertEqual(self.write_the_rest(), LARGE + b"end")

    def test_producer(self) -> None:
        """A full transport pauses its producer, as ever."""
        calls: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                calls.append("pause")

            def resumeProducing(self) -> None:
                calls.append("resume")

        self.transport.registerProducer(Producer(), True)
        write_now(self.transport, b"small")
        self.assertEqual(calls, [])
        write_now(self.transport, LARGE)
        self.assertEqual(calls, ["pause"])
        self.write_the_rest()
        self.assertEqual(calls, ["pause", "resume"])

    def test_peer_gone(self) -> None:
        """A broken connection is found by the transport, in its own time."""
        self.peer.close()
        write_now(self.transport, b"hello")
        self.assertTrue(self.waits)
        self.assertIsInstance(self.transport.doWrite(), ConnectionLost)

    def test_disconnecting(self) -> None:
        """After ``loseConnection`` nothing passes the transport by."""
        self.transport.write(b"last")
        self.transport.loseConnection()
        self.transport.dataBuffer, self.transport._tempDataBuffer = b"", []
        write_now(self.transport, b"late")
        self.assertEqual(self.arrived(), b"")

    def test_disconnected(self) -> None:
        """Once it is closed, nothing is written, as ever."""
        self.transport.connected = False
        write_now(self.transport, b"late")
        self.assertEqual(self.arrived(), b"")
        self.assertFalse(self.waits)

    def test_tls(self) -> None:
        """With TLS the socket is not ours to write to."""
        written: list[bytes] = []
        self.transport.TLS = True
        self.transport.write = written.append
        write_now(self.transport, b"secret")
        self.assertEqual((self.arrived(), written), (b"", [b"secret"]))

    def test_another_transport(self) -> None:
        """Any other transport just writes."""
        transport = StringTransport()
        write_now(transport, b"hello")
        self.assertEqual(transport.value(), b"hello")
