"""Tests of ``wsx._transport.tls_protocol``: TLS in memory, against Twisted's TLS."""

from __future__ import annotations

from functools import cache
from typing import Any

from OpenSSL.SSL import Error
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._transport.sockets import write_now
from wsx._transport.tls_problems import WrongHostError
from wsx._transport.tls_protocol import TLSFactory, TLSProtocol
from wsx._transport.tls_stdlib import settings_for
from wsx.test.support.extras import trustme
from wsx.test.support.tls import SecureServer, Side, server_options

# Before and since OpenSSL 3.6.
BAD_RECORD = "bad record mac|record layer failure"


@cache
def authority() -> trustme.CA:
    """Return the authority that issues the certificates."""
    return trustme.CA()


class Receiver(Side):
    """A side that records each call of ``dataReceived``, and may react to it.

    Attributes:
        parts: The arguments of ``dataReceived``.
        reaction: Called after each one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.reaction: Any = lambda: None

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.parts.append(data)
        self.reaction()


class LargeReader(Receiver):
    """A receiver that provides memory.

    Attributes:
        memory: The memory for the next bytes; empty if there is none.
        filled: What was written there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = bytearray()
        self.filled = bytearray()

    def get_buffer(self) -> memoryview | None:
        """Return the memory, or None."""
        return memoryview(self.memory) if self.memory else None

    def buffer_updated(self, size: int) -> None:
        """Record what was written, and keep only the rest of the memory."""
        self.filled += self.memory[:size]
        del self.memory[:size]  # Fails if a view of the memory still exists.


class ProtocolCase(SynchronousTestCase):
    """Base class: a client above TLS, and a server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connect("wss://example.test")

    def connect(self, url: str) -> None:
        """Connect the client to a server whose certificate is for example.test."""
        ca = authority()
        self.secure = SecureServer(self.clock, server_options(ca.issue_cert("example.test")))
        settings = settings_for(Conn(url, cacerts=ca.cert_pem.bytes()))
        assert settings is not None
        self.client = self.make_client()
        self.secure.connect(TLSFactory(settings, Factory.forProtocol(lambda: self.client)))
        self.tls: Any = self.client.transport

    def make_client(self) -> Any:
        """Return the protocol above TLS."""
        return Receiver()

    def shake_hands(self) -> None:
        """Complete the TLS handshake."""
        self.secure.flush()
        self.assertTrue(self.client.secured)

    @property
    def server(self) -> Side:
        """The server's side, above TLS."""
        return self.secure.app

    @property
    def tcp(self) -> Any:
        """The client's transport below TLS."""
        return self.secure.client_io

    def encrypted(self, *writes: bytes) -> bytes:
        """Return the bytes that the server sends for some writes, without delivering them."""
        for data in writes:
            self.secure.app_transport.write(data)
            self.clock.advance(0)  # Twisted collects small writes.
        return self.secure.take_from_server()


class HandshakeTests(ProtocolCase):
    """The TLS handshake, and what is written before its end."""

    def test_early_writes(self) -> None:
        """What is written before the end of the handshake is sent after it, in order."""
        self.tls.write(b"one ")
        self.tls.writeSequence([b"two ", b"three"])
        self.shake_hands()
        self.secure.flush()
        self.assertEqual(bytes(self.server.received), b"one two three")

    def test_early_writes_come_first(self) -> None:
        """What is written in ``handshakeCompleted`` follows what was written before."""
        self.client.greeting = b"second"
        self.tls.write(b"first ")
        self.shake_hands()
        self.secure.flush()
        self.assertEqual(bytes(self.server.received), b"first second")

    def test_wrong_host(self) -> None:
        """A server with the certificate of another host does not see the end of the handshake."""
        self.connect("wss://other.test")
        self.secure.flush()
        self.assertIsInstance(self.client.lost, WrongHostError)
        self.assertFalse(self.server.secured)

    def test_lost(self) -> None:
        """The end of TCP within the handshake is reported as a loss."""
        self.secure.end_of_server()
        self.assertIsInstance(self.client.lost, ConnectionLost)
        self.assertFalse(self.client.secured)

    def test_closed(self) -> None:
        """``loseConnection`` before the end of the handshake aborts TCP."""
        aborts: list[None] = []
        self.tcp.abortConnection = lambda: aborts.append(None)
        self.tls.loseConnection()
        self.assertEqual(aborts, [None])
        self.tls.write(b"late")
        self.secure.flush()
        self.assertFalse(self.client.secured)

    def test_information(self) -> None:
        """After the handshake, the certificate of the server is known."""
        self.assertIsNone(self.tls.getPeerCertificate())
        self.shake_hands()
        self.assertIn("trustme", self.tls.getPeerCertificate().get_subject().O)
        self.assertIsNone(self.tls.negotiatedProtocol)
        self.assertEqual(self.tls.getPeer(), self.tcp.getPeer())
        self.assertEqual(self.tls.getHost(), self.tcp.getHost())


class ReceiveTests(ProtocolCase):
    """Received records."""

    def setUp(self) -> None:
        super().setUp()
        self.shake_hands()

    def test_together(self) -> None:
        """All records of one read are delivered together."""
        self.tcp.protocol.dataReceived(self.encrypted(b"one ", b"two ", b"three"))
        self.assertEqual(self.client.parts, [b"one two three"])

    def test_split(self) -> None:
        """A record that arrives in parts is delivered when it is complete."""
        data = self.encrypted(b"first", b"second")
        for byte in data[:-1]:
            self.tcp.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.client.parts, [b"first"])
        self.tcp.protocol.dataReceived(data[-1:])
        self.assertEqual(self.client.parts, [b"first", b"second"])

    def test_corrupt(self) -> None:
        """A corrupt record ends the connection with an error, after the records before it."""
        good, bad = self.encrypted(b"good"), bytearray(self.encrypted(b"bad"))
        bad[-1] ^= 1
        self.tcp.protocol.dataReceived(good + bytes(bad))
        self.assertEqual(self.client.parts, [b"good"])
        self.secure.flush()
        self.assertIsInstance(self.client.lost, Error)
        self.assertIsInstance(self.server.lost, Error, "the server has received an alert")

    def test_closed_by_server(self) -> None:
        """A close_notify alert of the server is answered, and is a clean end."""
        self.secure.app_transport.write(b"bye")
        self.secure.app_transport.loseConnection()
        self.clock.advance(0)
        self.secure.flush()
        self.assertEqual(self.client.parts, [b"bye"])
        self.assertIsInstance(self.client.lost, ConnectionDone)
        self.assertIsInstance(self.server.lost, ConnectionDone)

    def test_after_the_close(self) -> None:
        """What follows the close_notify alert is ignored; TCP loses its producer and is closed."""
        calls: list[str] = []
        self.tcp.unregisterProducer = lambda: calls.append("unregister")
        self.secure.app_transport.loseConnection()
        alert = self.secure.take_from_server()
        self.tcp.protocol.dataReceived(alert)
        self.tcp.protocol.dataReceived(b"more")
        self.assertEqual((self.client.parts, calls), ([], ["unregister"]))
        self.assertTrue(self.tcp.disconnecting)

    def test_reply_to_a_broken_connection(self) -> None:
        """A reply to messages that are followed by a corrupt record does not raise."""
        self.client.reaction = lambda: write_now(self.tls, b"reply")
        good, bad = self.encrypted(b"good"), bytearray(self.encrypted(b"bad"))
        bad[-1] ^= 1
        self.tcp.protocol.dataReceived(good + bytes(bad))
        self.assertIsInstance(self.tls._error, Error)
        self.assertRegex(str(self.tls._error), BAD_RECORD)

    def test_cut(self) -> None:
        """Without a close_notify alert, the end of TCP is a loss: data may be missing."""
        self.secure.end_of_server()
        self.assertIsInstance(self.client.lost, ConnectionLost)

    def test_aborted_meanwhile(self) -> None:
        """After an abort, nothing more is delivered."""
        self.client.reaction = self.tls.abortConnection
        one, two = self.encrypted(b"one"), self.encrypted(b"two")
        self.tcp.protocol.dataReceived(one)
        self.tcp.protocol.dataReceived(two)
        self.assertEqual(self.client.parts, [b"one"])


class SendTests(ProtocolCase):
    """Sending and closing."""

    def setUp(self) -> None:
        super().setUp()
        self.shake_hands()
        self.secure.flush()

    def test_at_once(self) -> None:
        """A small write is passed to TCP at once."""
        self.tls.write(b"now")
        self.assertTrue(self.tcp.stream)

    def test_sizes(self) -> None:
        """Nothing, one record and many records arrive unchanged."""
        for size in (0, 1, 16384, 16385, 100_000):
            data = bytes(range(256)) * (size // 256 + 1)
            self.server.received.clear()
            self.tls.write(data[:size])
            self.secure.flush()
            self.assertEqual(bytes(self.server.received), data[:size])

    def test_close(self) -> None:
        """``loseConnection`` sends a close_notify alert, and closes TCP after the server's."""
        self.tls.write(b"last")
        self.tls.loseConnection()
        self.assertTrue(self.tls.disconnecting)
        self.assertFalse(self.tcp.disconnecting)
        self.tls.write(b"ignored")
        self.secure.flush()
        self.assertEqual(bytes(self.server.received), b"last")
        self.assertIsInstance(self.server.lost, ConnectionDone)
        self.assertIsInstance(self.client.lost, ConnectionDone)

    def test_data_while_closing(self) -> None:
        """Data that the server has sent before its own alert does not disturb the close."""
        data = self.encrypted(b"late")
        self.tls.loseConnection()
        self.tcp.protocol.dataReceived(data)
        self.secure.flush()
        self.assertIsInstance(self.client.lost, ConnectionDone)

    def test_write_now_while_closing(self) -> None:
        """``write_now`` writes nothing once the connection is being closed."""
        self.tls.loseConnection()
        self.secure.flush()
        write_now(self.tls, b"late")
        self.assertEqual(bytes(self.server.received), b"")

    def test_other_ways_to_close(self) -> None:
        """``stopProducing`` and ``loseWriteConnection`` close the connection too."""
        for close in (self.tls.stopProducing, self.tls.loseWriteConnection):
            close()
            self.assertTrue(self.tls.disconnecting)

    def test_producers(self) -> None:
        """Producers and pauses are those of TCP."""
        calls: list[tuple[Any, ...]] = []
        expected: list[tuple[Any, ...]] = [
            ("registerProducer", "producer", True),
            ("pauseProducing",),
            ("resumeProducing",),
            ("unregisterProducer",),
        ]
        for name, *_ in expected:
            setattr(self.tcp, name, lambda *arguments, name=name: calls.append((name, *arguments)))
        for name, *arguments in expected:
            getattr(self.tls, name)(*arguments)
        self.assertEqual(calls, expected)

    def test_not_tcp(self) -> None:
        """The options of TCP have no effect on another transport."""
        self.tls.setTcpNoDelay(True)
        self.tls.setTcpKeepAlive(True)
        self.assertFalse(self.tls.disconnecting)


class LargeReadTests(ProtocolCase):
    """Large payloads are decrypted into the memory of the protocol above."""

    def make_client(self) -> LargeReader:
        return LargeReader()

    def setUp(self) -> None:
        super().setUp()
        self.shake_hands()
        self.tls.read_into(self.client)
        self.payload = bytes(range(256)) * 400
        self.client.memory = bytearray(len(self.payload))

    def read(self, data: bytes) -> None:
        """Pass bytes to the TLS protocol as one large read of TCP."""
        protocol: TLSProtocol = self.tls
        with protocol.get_buffer() as view:
            view[: len(data)] = data
        protocol.buffer_updated(len(data))

    def test_into_memory(self) -> None:
        """Records are decrypted into the memory, and what is behind it is received."""
        self.read(self.encrypted(self.payload + b"next", b" and more"))
        self.assertEqual(bytes(self.client.filled), self.payload)
        self.assertEqual(bytes(self.client.received), b"next and more")

    def test_in_parts(self) -> None:
        """A read may end within a record."""
        data = self.encrypted(self.payload)
        for start in range(0, len(data), 30_000):
            self.read(data[start : start + 30_000])
        self.assertEqual(bytes(self.client.filled), self.payload)

    def test_no_memory(self) -> None:
        """Without memory, everything is received as usual."""
        self.client.memory.clear()
        self.read(self.encrypted(self.payload))
        self.assertEqual(bytes(self.client.received), self.payload)

    def test_corrupt(self) -> None:
        """A corrupt record ends the connection, after the records before it."""
        good, bad = self.encrypted(self.payload[:20_000]), bytearray(self.encrypted(b"bad"))
        bad[-1] ^= 1
        self.read(good + bytes(bad))
        self.assertEqual(bytes(self.client.filled), self.payload[:20_000])
        self.secure.flush()
        self.assertIsInstance(self.client.lost, Error)

    def test_corrupt_before_more(self) -> None:
        """The first error is the reason, although more bytes follow in the same read."""
        bad, more = bytearray(self.encrypted(b"bad")), self.encrypted(b"more")
        bad[-1] ^= 1
        self.read(bytes(bad) + more)
        self.secure.flush()
        self.assertRegex(str(self.client.lost), BAD_RECORD)

    def test_closed_by_server(self) -> None:
        """A close_notify alert within a large payload is a clean end."""
        data = self.encrypted(self.payload[:20_000])
        self.secure.app_transport.loseConnection()
        self.read(data + self.secure.take_from_server())
        self.assertEqual(bytes(self.client.filled), self.payload[:20_000])
        self.secure.flush()
        self.assertIsInstance(self.client.lost, ConnectionDone)
