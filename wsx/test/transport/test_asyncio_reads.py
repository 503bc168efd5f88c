"""Tests of ``wsx._transport.asyncio_reads`` on real sockets; the test has both ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import SimpleNamespace
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.asyncio_reads import AsyncioReads
from wsx.test.support.extras import missing, uvloop


class RecordingProtocol(Protocol):
    """A protocol that records what it receives.

    Attributes:
        received: The received bytes.
        ended: The reasons of connectionLost.
        error: An exception to raise for received bytes, or None.
    """

    def __init__(self) -> None:
        self.received = b""
        self.ended: list[BaseException | None] = []
        self.error: BaseException | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.error is not None:
            raise self.error

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.append(reason.value)


class ReadsCase(SynchronousTestCase):
    """Base class: a TCP transport on an asyncio reactor that reads from a socket of the test.

    Attributes:
        server: The other end.
        transport: The transport.
        protocol: Its protocol.
        prefixes: The number of calls of ``logPrefix``, which ``callWithLogger`` calls.
        reads: The reads of the transport.
    """

    def setUp(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        self.server, _ = listener.accept()
        for one in (listener, client, self.server):
            self.addCleanup(one.close)
        client.setblocking(False)
        self.loop = self.make_loop()
        self.addCleanup(self.loop.close)
        self.reactor: Any = AsyncioSelectorReactor(self.loop)
        self.addCleanup(self.reactor.removeAll)
        self.protocol = RecordingProtocol()
        self.transport: Any = Connection(client, self.protocol, self.reactor)
        self.transport.connected = True
        self.transport.logstr = "test"
        self.transport.startReading()
        self.prefixes = 0
        self.patch(self.transport, "logPrefix", self.count)
        self.reads = AsyncioReads(self.transport)

    def make_loop(self) -> Any:
        """Return the event loop."""
        return asyncio.SelectorEventLoop()

    def count(self) -> str:
        self.prefixes += 1
        return "test"

    def iterate(self, times: int = 1) -> None:
        """Run the event loop a few times."""
        for _ in range(times):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def receive(self, data: bytes) -> None:
        """Send bytes from the server, and run the event loop until they have arrived."""
        size = len(self.protocol.received) + len(data)
        self.server.send(data)
        for _ in range(100):
            self.iterate()
            if len(self.protocol.received) >= size or self.protocol.ended:
                break

    def reset(self) -> None:
        """Let the server reset the connection."""
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.close()

    def reset_unnoticed(self) -> int:
        """Send data, reset the connection, and leave the reset undetected; return the size."""
        self.reads.start()
        self.transport.bufferSize = 1000
        patch = self.patch(self.reads, "dropped", lambda number: None)
        sent = self.server.send(b"x" * 10_000)
        self.reset()
        self.iterate(3)
        patch.restore()
        return sent

    def assert_lost_after(self, size: int) -> None:
        """Assert that ``size`` bytes are received before the loss is reported once."""
        self.iterate(100)
        self.assertEqual(len(self.protocol.received), size)
        self.assertEqual([type(reason) for reason in self.protocol.ended], [ConnectionLost])


class AsyncioReadsTests(ReadsCase):
    """Reads bypass ``callWithLogger``."""

    def test_read(self) -> None:
        """Bytes are read, and ``logPrefix`` is not called."""
        self.receive(b"one")
        before = self.prefixes
        self.reads.start()
        self.receive(b"two")
        self.assertEqual((self.protocol.received, self.prefixes), (b"onetwo", before))

    def test_below(self) -> None:
        """The TCP transport below TLS is found."""
        AsyncioReads(SimpleNamespace(transport=self.transport)).start()
        self.receive(b"one")
        self.assertEqual((self.protocol.received, self.prefixes), (b"one", 0))

    def test_pause(self) -> None:
        """A paused transport stays paused until it is resumed."""
        self.reads.start()
        self.transport.pauseProducing()
        self.reads.start()
        self.server.send(b"one")
        self.iterate(5)
        self.assertEqual(self.protocol.received, b"")
        self.transport.resumeProducing()
        self.reads.start()
        self.receive(b"")
        self.assertEqual((self.protocol.received, self.prefixes), (b"one", 0))

    def test_end(self) -> None:
        """The end of the connection is reported once, and the reactor stops reading."""
        self.reads.start()
        self.server.close()
        self.iterate(10)
        self.assertEqual([type(reason) for reason in self.protocol.ended], [ConnectionDone])
        self.assertNotIn(self.transport, self.reactor.getReaders())

    def test_reset_after_data(self) -> None:
        """After a reset, all data that arrived before it is read, then the loss is reported."""
        self.reads.start()
        self.transport.bufferSize = 1000
        sent = self.server.send(b"x" * 10_000)
        self.reset()
        self.assert_lost_after(sent)
        self.assertNotIn(self.transport, self.reactor.getReaders())

    def test_start_after_reset(self) -> None:
        """Starting again after a reset, but before it was noticed, does not raise."""
        sent = self.reset_unnoticed()
        self.reads.start()
        self.assert_lost_after(sent)

    def test_reset_while_paused(self) -> None:
        """A reset while reading is paused is noticed after it is resumed."""
        self.reads.start()
        self.transport.pauseProducing()
        self.server.send(b"data")
        self.reset()
        self.iterate(10)
        self.assertEqual(self.protocol.ended, [])
        self.transport.resumeProducing()
        self.reads.start()
        self.iterate(20)
        self.assertEqual(self.protocol.received, b"data")
        self.assertEqual([type(reason) for reason in self.protocol.ended], [ConnectionLost])

    def test_many_starts(self) -> None:
        """Starting again and again leaves one callback, and nothing is done for the old ones."""
        for _ in range(5):
            self.reads.start()
            self.iterate(2)
        calls: list[int] = []
        self.patch(self.reads, "start", lambda: calls.append(1))
        self.iterate(5)
        self.receive(b"one")
        self.assertEqual((self.protocol.received, calls), (b"one", []))

    def test_error(self) -> None:
        """An exception in the protocol is logged and ends the connection."""
        self.reads.start()
        self.protocol.error = ZeroDivisionError()
        self.receive(b"one")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.protocol.ended, [self.protocol.error])

    def test_exit(self) -> None:
        """SystemExit does not reach the event loop."""
        self.reads.start()
        self.protocol.error = SystemExit()
        self.receive(b"one")
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_other_reactors(self) -> None:
        """Other reactors and other transports do not change."""
        self.transport.reactor = MemoryReactor()
        AsyncioReads(self.transport).start()
        AsyncioReads(StringTransport()).start()
        self.receive(b"one")
        self.assertGreater(self.prefixes, 0)


class KeyboardInterruptTests(ReadsCase):
    """KeyboardInterrupt."""

    def test_interrupt(self) -> None:
        """Of all exceptions, only KeyboardInterrupt reaches the event loop."""
        self.protocol.error = KeyboardInterrupt()
        self.server.send(b"one")
        with self.assertRaises(KeyboardInterrupt):
            self.reads.read()


class UvloopReadsTests(AsyncioReadsTests):
    """The same with uvloop, which stops polling after an error of the socket."""

    skip = missing("uvloop")

    def make_loop(self) -> Any:
        return uvloop.new_event_loop()

    def test_write_after_reset(self) -> None:
        """Writing after a reset, but before it was noticed, does not raise."""
        sent = self.reset_unnoticed()
        self.transport.write(b"y")
        self.reads.start()
        self.assert_lost_after(sent)

    def test_write(self) -> None:
        """Writing works."""
        self.reads.start()
        self.transport.write(b"one")
        self.iterate(5)
        self.assertEqual(self.server.recv(10), b"one")

    def test_write_while_paused(self) -> None:
        """An exception is not hidden if no read will report the loss."""
        self.reads.start()
        self.transport.pauseProducing()

        def add_writer(writer: object) -> None:
            raise RuntimeError

        self.patch(self.reactor, "addWriter", add_writer)
        self.assertRaises(RuntimeError, self.transport.write, b"one")

    def test_closed_loop(self) -> None:
        """A callback that is deleted after the loop was closed does nothing."""
        self.reads.start()
        self.reactor.removeAll()
        self.loop.close()
        self.reads.dropped(1)
