"""Tests of ``wsx._transport.sockets`` on real sockets; the test has both ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock, StringTransport

from wsx._transport.sockets import (
    close_aborted,
    increase_read_size,
    write_now,
)
from wsx.test.support.socket_pairs import SocketPairCase

LARGE = b"x" * 4_000_000  # More than any socket accepts at once.


class IncreaseReadSizeTests(SocketPairCase):
    """``increase_read_size`` finds the TCP transport."""

    def setUp(self) -> None:
        super().setUp()
        self.before = self.transport.bufferSize

    def test_transport(self) -> None:
        """The read size of a TCP transport is increased."""
        increase_read_size(self.transport)
        self.assertGreater(self.transport.bufferSize, self.before)

    def test_below(self) -> None:
        """The TCP transport below TLS and other wrappers is found."""
        below_two = SimpleNamespace(transport=SimpleNamespace(transport=self.transport))
        increase_read_size(below_two)
        self.assertGreater(self.transport.bufferSize, self.before)

    def test_others(self) -> None:
        """Other transports and other connections do not change."""
        increase_read_size(StringTransport())
        self.assertEqual(Connection.bufferSize, self.before)


class CloseAbortedTests(SocketPairCase):
    """``close_aborted`` closes the socket of an aborted connection."""

    def test_closes(self) -> None:
        """The socket is closed and the end is reported once, before the reactor does both."""
        self.reactor = self.transport.reactor = MemoryReactorClock()
        losses: list[Any] = []
        self.transport.protocol.connectionLost = losses.append
        self.transport.abortConnection()
        close_aborted(SimpleNamespace(transport=self.transport))
        self.assertEqual(self.server.recv(1), b"")
        close_aborted(self.transport)
        self.reactor.advance(1)
        self.assertEqual([loss.type for loss in losses], [ConnectionAborted])

    def test_others(self) -> None:
        """Other transports do not change."""
        transport = StringTransport()
        close_aborted(transport)
        self.assertTrue(transport.connected)


class WriteNowTests(SocketPairCase):
    """``write_now`` writes at once if it can."""

    @property
    def waits(self) -> bool:
        """Whether the transport waits for its socket to be writable."""
        return bool(self.reactor.getWriters())

    def arrived(self) -> bytes:
        """Return the bytes that have arrived at the server."""
        data = b""
        try:
            while part := self.server.recv(65536):
                data += part
        except BlockingIOError:
            pass
        return data

    def write_the_rest(self) -> bytes:
        """Let the transport write its buffer; return the bytes that arrive at the server."""
        data = self.arrived()
        while self.waits:
            self.assertIsNone(self.transport.doWrite())
            data += self.arrived()
        return data

    def test_at_once(self) -> None:
        """If the write buffer is empty, the bytes are sent at once, without the reactor."""
        write_now(self.transport, b"hello")
        self.assertEqual(self.arrived(), b"hello")
        self.assertFalse(self.waits)

    def test_after_buffered_bytes(self) -> None:
        """Bytes that are already buffered are sent first."""
        self.transport.write(b"first ")
        write_now(self.transport, b"second ")
        write_now(self.transport, b"third")
        self.assertEqual(self.arrived(), b"")
        self.assertEqual(self.write_the_rest(), b"first second third")

    def test_after_a_part(self) -> None:
        """The order is kept if the transport has written only a part."""
        self.transport.write(LARGE)
        self.transport.doWrite()
        write_now(self.transport, b"end")
        self.assertEqual(self.write_the_rest(), LARGE + b"end")

    def test_full_socket(self) -> None:
        """Bytes that the socket does not accept are passed to the transport."""
        write_now(self.transport, LARGE)
        self.assertTrue(self.waits)
        write_now(self.transport, b"end")
        self.assertEqual(self.write_the_rest(), LARGE + b"end")

    def test_producer(self) -> None:
        """A full write buffer pauses the producer."""
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

    def test_broken_connection(self) -> None:
        """A broken connection is noticed by the transport later."""
        self.server.close()
        write_now(self.transport, b"hello")
        self.assertTrue(self.waits)
        self.assertIsInstance(self.transport.doWrite(), ConnectionLost)

    def test_disconnecting(self) -> None:
        """After ``loseConnection`` nothing is sent directly."""
        self.transport.write(b"last")
        self.transport.loseConnection()
        self.transport.dataBuffer, self.transport._tempDataBuffer = b"", []
        write_now(self.transport, b"late")
        self.assertEqual(self.arrived(), b"")

    def test_disconnected(self) -> None:
        """After the end of the connection nothing is written."""
        self.transport.connected = False
        write_now(self.transport, b"late")
        self.assertEqual(self.arrived(), b"")
        self.assertFalse(self.waits)

    def test_tls(self) -> None:
        """With TLS the bytes go through the transport."""
        written: list[bytes] = []
        self.transport.TLS = True
        self.transport.write = written.append
        write_now(self.transport, b"secret")
        self.assertEqual((self.arrived(), written), (b"", [b"secret"]))

    def test_another_transport(self) -> None:
        """Any other transport writes as usual."""
        transport = StringTransport()
        write_now(transport, b"hello")
        self.assertEqual(transport.value(), b"hello")
