"""Tests of ``wsx._transport.direct_reads`` on real sockets; the test has both ends."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import _WrappingProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

from wsx._transport.direct_reads import read_directly, read_into_buffer
from wsx.test.support.socket_pairs import SocketPairCase


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


class BufferedCase(SocketPairCase):
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

    def test_own_method(self) -> None:
        """A transport may have a method of its own."""
        readers: list[Any] = []
        read_into_buffer(SimpleNamespace(read_into=readers.append), self.reader)
        self.assertEqual(readers, [self.reader])
