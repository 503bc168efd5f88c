"""Tests of wsx._transport.sockets on real sockets; the test holds both ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import SimpleNamespace
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import _WrappingProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.sockets import read_largely, read_to_taker, read_without_detour, write_now

LARGE = b"x" * 4_000_000  # more than any socket takes at once


class SocketCase(SynchronousTestCase):
    """Tests with a transport whose peer is a socket in the test's hands."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        for end in (ours, self.peer):
            end.setblocking(False)
            self.addCleanup(end.close)
        self.reactor: Any = MemoryReactor()
        self.transport: Any = Connection(ours, Protocol(), self.reactor)
        self.transport.connected = True
        self.transport.logstr = "test"


class ReadLargelyTests(SocketCase):
    """``read_largely`` reaches the TCP transport, wherever it is."""

    def setUp(self) -> None:
        super().setUp()
        self.before = self.transport.bufferSize

    def test_transport(self) -> None:
        """It reads more at once."""
        read_largely(self.transport)
        self.assertGreater(self.transport.bufferSize, self.before)

    def test_below(self) -> None:
        """So below TLS and whatever else there is."""
        below_two = SimpleNamespace(transport=SimpleNamespace(transport=self.transport))
        read_largely(below_two)
        self.assertGreater(self.transport.bufferSize, self.before)

    def test_others(self) -> None:
        """Other transports, and other connections, stay as they are."""
        read_largely(StringTransport())
        self.assertEqual(Connection.bufferSize, self.before)


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


class Listening(Protocol):
    """Takes what comes, into its room where it has some.

    Attributes:
        place: the room, or None.
        heard: what came elsewhere.
    """

    def __init__(self) -> None:
        self.place: bytearray | None = None
        self.taken = b""
        self.heard = b""
        self.ended: list[Any] = []
        self.error: BaseException | None = None

    def room(self) -> memoryview | None:
        """Says where to."""
        return None if self.place is None else memoryview(self.place)

    def fill(self, size: int) -> None:
        """Notes what is there now."""
        assert self.place is not None
        self.taken += self.place[:size]
        self.place += bytes(1)  # no view of it is left

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self.error is not None:
            raise self.error

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.append(reason.value)


class TakerCase(SocketCase):
    """Tests with a protocol that takes bytes."""

    def setUp(self) -> None:
        super().setUp()
        self.taker = self.transport.protocol = Listening()

    def reset(self) -> None:
        """Has the kernel answer the next read with an error."""
        server = socket.create_server(("127.0.0.1", 0))
        ours = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        for one in (server, ours, peer):
            self.addCleanup(one.close)
        ours.setblocking(False)
        self.transport.socket = ours
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


class ReadToTakerTests(TakerCase):
    """``read_to_taker`` reads to where the protocol wants it."""

    def test_room(self) -> None:
        """It reads there as much as there is room for, and the rest the next time."""
        read_to_taker(self.transport, self.taker)
        self.taker.place = bytearray(4)
        self.peer.send(b"hello")
        self.assertIsNone(self.transport.doRead())
        self.assertEqual((self.taker.taken, self.taker.heard), (b"hell", b""))
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.taker.taken, b"hello")

    def test_no_room(self) -> None:
        """Otherwise it reads as ever."""
        read_to_taker(self.transport, self.taker)
        self.peer.send(b"hello")
        self.assertIsNone(self.transport.doRead())
        self.assertEqual((self.taker.taken, self.taker.heard), (b"", b"hello"))

    def test_nothing_there(self) -> None:
        """A read for nothing does nothing."""
        read_to_taker(self.transport, self.taker)
        self.taker.place = bytearray(4)
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.taker.taken, b"")

    def test_end(self) -> None:
        """The peer's end is told as ever, with room and without."""
        read_to_taker(self.transport, self.taker)
        self.peer.close()
        for place in (None, bytearray(4)):
            self.taker.place = place
            self.assertIsInstance(self.transport.doRead(), ConnectionDone)

    def test_error(self) -> None:
        """So is a broken connection."""
        read_to_taker(self.transport, self.taker)
        self.reset()
        self.taker.place = bytearray(4)
        self.assertIsInstance(self.transport.doRead(), ConnectionLost)

    def test_endpoint(self) -> None:
        """The protocol that endpoints put between does not mind."""
        self.transport.protocol = _WrappingProtocol(Deferred(), self.taker)
        read_to_taker(self.transport, self.taker)
        self.taker.place = bytearray(9)
        self.peer.send(b"hello")
        self.transport.doRead()
        self.assertEqual(self.taker.taken, b"hello")

    def test_not_past_others(self) -> None:
        """Who else stands between sees everything."""
        self.transport.protocol = Listening()
        read_to_taker(self.transport, self.taker)
        self.taker.place = bytearray(9)
        self.peer.send(b"hello")
        self.transport.doRead()
        self.assertEqual((self.taker.taken, self.transport.protocol.heard), (b"", b"hello"))

    def test_not_past_tls(self) -> None:
        """What is encrypted is not for the taker."""
        self.transport.TLS = True
        read_to_taker(self.transport, self.taker)
        self.assertNotIn("doRead", vars(self.transport))

    def test_another_transport(self) -> None:
        """Any other transport stays as it is."""
        transport = StringTransport()
        read_to_taker(transport, self.taker)
        self.assertFalse(hasattr(transport, "doRead"))


class ReadWithoutDetourTests(TakerCase):
    """``read_without_detour`` has an asyncio reactor call the transport itself."""

    def setUp(self) -> None:
        super().setUp()
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.reactor = self.transport.reactor = AsyncioSelectorReactor(self.loop)
        self.addCleanup(self.reactor.removeAll)
        self.transport.startReading()
        self.prefixes = 0  # how often somebody wanted to log
        self.patch(self.transport, "logPrefix", self.count)

    def count(self) -> str:
        """What ``callWithLogger`` asks for."""
        self.prefixes += 1
        return "test"

    def turn(self) -> None:
        """Has the loop look at its sockets once."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def hear(self, data: bytes) -> None:
        """The peer says something, and the loop turns."""
        self.peer.send(data)
        self.turn()

    def test_read(self) -> None:
        """What comes is read, and nobody asks for the prefix of log lines."""
        self.hear(b"one")
        self.assertEqual(self.prefixes, 1)
        read_without_detour(self.transport)
        self.hear(b"two")
        self.assertEqual((self.taker.heard, self.prefixes), (b"onetwo", 1))

    def test_below(self) -> None:
        """So below TLS."""
        read_without_detour(SimpleNamespace(transport=self.transport))
        self.hear(b"one")
        self.assertEqual((self.taker.heard, self.prefixes), (b"one", 0))

    def test_pause(self) -> None:
        """A transport that does not read stays so, until it reads again."""
        read_without_detour(self.transport)
        self.transport.pauseProducing()
        read_without_detour(self.transport)
        self.hear(b"one")
        self.assertEqual(self.taker.heard, b"")
        self.transport.resumeProducing()
        self.turn()
        self.assertEqual(self.taker.heard, b"one")

    def test_end(self) -> None:
        """The end of the connection is told, once, and the loop forgets it."""
        read_without_detour(self.transport)
        self.peer.close()
        self.turn()
        self.turn()
        self.assertEqual([type(reason) for reason in self.taker.ended], [ConnectionDone])
        self.assertNotIn(self.transport, self.reactor.getReaders())

    def test_error(self) -> None:
        """An exception in the protocol is logged and ends the connection, as ever."""
        read_without_detour(self.transport)
        self.taker.error = ZeroDivisionError()
        self.hear(b"one")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.taker.ended, [self.taker.error])

    def test_exit(self) -> None:
        """What is no Exception does not get through to the loop; only Ctrl-C does, as ever."""
        read_without_detour(self.transport)
        self.taker.error = SystemExit()
        self.hear(b"one")
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        self.taker.error = KeyboardInterrupt()
        self.assertRaises(KeyboardInterrupt, self.hear, b"two")

    def test_other_reactors(self) -> None:
        """Other reactors, and transports of other kinds, stay as they are."""
        self.transport.reactor = MemoryReactor()
        read_without_detour(self.transport)
        read_without_detour(StringTransport())
        self.hear(b"one")
        self.assertEqual(self.prefixes, 1)
