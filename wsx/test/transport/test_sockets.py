"""Tests of ``wsx._transport.sockets`` on real sockets; the test has both ends."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import _WrappingProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.sockets import (
    close_aborted,
    increase_read_size,
    read_directly,
    read_into_buffer,
    write_now,
)

LARGE = b"x" * 4_000_000  # More than any socket accepts at once.


class SocketCase(SynchronousTestCase):
    """Base class: a transport connected to a socket of the test."""

    def setUp(self) -> None:
        client, self.server = socket.socketpair()
        for end in (client, self.server):
            end.setblocking(False)
            self.addCleanup(end.close)
        self.reactor: Any = MemoryReactor()
        self.transport: Any = Connection(client, Protocol(), self.reactor)
        self.transport.connected = True
        self.transport.logstr = "test"


class IncreaseReadSizeTests(SocketCase):
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


class CloseAbortedTests(SocketCase):
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


class WriteNowTests(SocketCase):
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


class RecordingReader(Protocol):
    """Records received bytes.

    Attributes:
        memory: The memory for the next bytes, or None.
        written: Bytes that were written to the memory.
        passed: Bytes that were passed to ``dataReceived``.
        ended: The reasons of ``connectionLost``.
        error: An exception that ``dataReceived`` raises.
    """

    def __init__(self) -> None:
        self.memory: bytearray | None = None
        self.written = b""
        self.passed = b""
        self.ended: list[Any] = []
        self.error: BaseException | None = None

    def get_buffer(self) -> memoryview | None:
        """Return the memory of the test, or None."""
        return None if self.memory is None else memoryview(self.memory)

    def buffer_updated(self, size: int) -> None:
        """Record the received bytes."""
        assert self.memory is not None
        self.written += self.memory[:size]
        self.memory += bytes(1)  # Fails if a view of the memory still exists.

    def dataReceived(self, data: bytes) -> None:
        self.passed += data
        if self.error is not None:
            raise self.error

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.append(reason.value)


class BufferedCase(SocketCase):
    """Base class: a transport whose protocol is a ``BufferedReader``."""

    def setUp(self) -> None:
        super().setUp()
        self.reader = self.transport.protocol = RecordingReader()

    def reset(self) -> None:
        """Make the next read fail with an error of the kernel."""
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        for one in (server, client, accepted):
            self.addCleanup(one.close)
        client.setblocking(False)
        self.transport.socket = client
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()


class ReadDirectlyTests(BufferedCase):
    """``read_directly`` passes what is read to the protocol itself."""

    def test_endpoint(self) -> None:
        """The wrapper protocol of endpoints is skipped."""
        wrapper = self.transport.protocol = _WrappingProtocol(Deferred(), self.reader)
        self.patch(wrapper, "dataReceived", self.fail)
        read_directly(self.transport, self.reader)
        self.server.send(b"hello")
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.reader.passed, b"hello")

    def test_size(self) -> None:
        """A read returns at most ``bufferSize`` bytes, also after a change of it."""
        read_directly(self.transport, self.reader)
        self.server.send(b"hello")
        for size, passed in ((2, b"he"), (10, b"hello")):
            self.transport.bufferSize = size
            self.assertIsNone(self.transport.doRead())
            self.assertEqual(self.reader.passed, passed)

    def test_no_bytes(self) -> None:
        """A read without received bytes does nothing."""
        read_directly(self.transport, self.reader)
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.reader.passed, b"")

    def test_end(self) -> None:
        """The end of the connection is reported."""
        read_directly(self.transport, self.reader)
        self.server.close()
        self.assertIsInstance(self.transport.doRead(), ConnectionDone)

    def test_error(self) -> None:
        """A broken connection is reported."""
        read_directly(self.transport, self.reader)
        self.reset()
        self.assertIsInstance(self.transport.doRead(), ConnectionLost)

    def test_aborted(self) -> None:
        """An aborted connection reads nothing more."""
        read_directly(self.transport, self.reader)
        self.server.send(b"hello")
        self.transport.reactor = MemoryReactorClock()
        self.transport.abortConnection()
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.reader.passed, b"")

    def test_unchanged(self) -> None:
        """With TLS, or with another protocol between the two, nothing changes."""
        self.transport.TLS = True
        read_directly(self.transport, self.reader)
        self.transport.TLS = False
        read_directly(self.transport, RecordingReader())
        self.assertNotIn("doRead", vars(self.transport))

    def test_another_transport(self) -> None:
        """Any other transport does not change."""
        transport = StringTransport()
        read_directly(transport, self.reader)
        self.assertFalse(hasattr(transport, "doRead"))


class ReadIntoBufferTests(BufferedCase):
    """``read_into_buffer`` reads directly into the protocol's memory."""

    def test_memory(self) -> None:
        """A read fills at most the memory; the rest follows with the next read."""
        read_into_buffer(self.transport, self.reader)
        self.reader.memory = bytearray(4)
        self.server.send(b"hello")
        self.assertIsNone(self.transport.doRead())
        self.assertEqual((self.reader.written, self.reader.passed), (b"hell", b""))
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.reader.written, b"hello")

    def test_no_memory(self) -> None:
        """Without memory the bytes go to ``dataReceived``."""
        read_into_buffer(self.transport, self.reader)
        self.server.send(b"hello")
        self.assertIsNone(self.transport.doRead())
        self.assertEqual((self.reader.written, self.reader.passed), (b"", b"hello"))

    def test_no_bytes(self) -> None:
        """A read without received bytes does nothing."""
        read_into_buffer(self.transport, self.reader)
        self.reader.memory = bytearray(4)
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.reader.written, b"")

    def test_end(self) -> None:
        """The end of the connection is reported, with memory and without."""
        read_into_buffer(self.transport, self.reader)
        self.server.close()
        for memory in (None, bytearray(4)):
            self.reader.memory = memory
            self.assertIsInstance(self.transport.doRead(), ConnectionDone)

    def test_error(self) -> None:
        """A broken connection is reported."""
        read_into_buffer(self.transport, self.reader)
        self.reset()
        self.reader.memory = bytearray(4)
        self.assertIsInstance(self.transport.doRead(), ConnectionLost)

    def test_endpoint(self) -> None:
        """The wrapper protocol of endpoints is skipped."""
        self.transport.protocol = _WrappingProtocol(Deferred(), self.reader)
        read_into_buffer(self.transport, self.reader)
        self.reader.memory = bytearray(9)
        self.server.send(b"hello")
        self.transport.doRead()
        self.assertEqual(self.reader.written, b"hello")

    def test_other_protocols(self) -> None:
        """Another protocol between the two receives everything."""
        self.transport.protocol = RecordingReader()
        read_into_buffer(self.transport, self.reader)
        self.reader.memory = bytearray(9)
        self.server.send(b"hello")
        self.transport.doRead()
        self.assertEqual((self.reader.written, self.transport.protocol.passed), (b"", b"hello"))

    def test_tls(self) -> None:
        """With TLS nothing changes."""
        self.transport.TLS = True
        read_into_buffer(self.transport, self.reader)
        self.assertNotIn("doRead", vars(self.transport))

    def test_another_transport(self) -> None:
        """Any other transport does not change."""
        transport = StringTransport()
        read_into_buffer(transport, self.reader)
        self.assertFalse(hasattr(transport, "doRead"))
