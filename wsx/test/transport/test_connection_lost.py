"""Tests of transports that raise, and of transports that do not report their end."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone

from wsx import ConnError, Text
from wsx.test.support import text
from wsx.test.support.connections import ProtocolCase
from wsx.test.support.each import each


class Boom(Exception):
    """The exception that a transport raises."""


class TransportCase(ProtocolCase):
    """Base class for tests of transports that misbehave."""

    def break_transport(self, *methods: str) -> None:
        """Make methods of the server's last transport raise."""

        def broken(*_: Any) -> None:
            raise Boom

        for method in methods:
            self.patch(self.peer.transport, method, broken)

    def turn(self) -> None:
        """Run what is due without a delay."""
        self.clock.advance(0)

    def assert_closed(self, reason: type[BaseException] = Boom) -> None:
        """Assert that the listener was notified once of the end, and that no timer is left."""
        self.turn()
        self.assertEqual(self.log.names, ["opened", "closed"])
        self.assertIs(self.log.only("closed"), reason)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RaisingTests(TransportCase):
    """A method of the transport that raises means that the connection is lost."""

    @each(("send", "flush", "flush_now", "start_closing", "answer_close", "pause", "resume"))
    def test_open(self, how: str) -> None:
        """The caller sees no exception; the listener is notified in a later iteration."""
        connection = self.open()
        self.break_transport("write", "pauseProducing", "resumeProducing")
        calls: dict[str, Any] = {
            "send": lambda: connection.send(Text("a")),
            "flush": connection.flush,
            "flush_now": connection.flush_now,
            "start_closing": lambda: connection.start_closing(1000, ""),
            "answer_close": lambda: connection.answer_close(1000),
            "pause": connection.pause_reading,
            "resume": connection.resume_reading,
        }
        if how.startswith("flush"):
            connection.buffer([Text("a")])
        calls[how]()
        self.assertEqual(self.log.names, ["opened"])
        self.assertFalse(connection.writable)
        self.assert_closed()
        self.assertTrue(self.peer.transport.aborted)

    def test_opening_handshake(self) -> None:
        """If the request cannot be written, the attempt fails with the exception."""

        def broken(_: Any, data: bytes) -> None:
            raise Boom

        self.patch(type(self.make_transport()), "write", broken)
        self.attempt()
        self.assertIsInstance(self.failure(ConnError).original, Boom)

    def make_transport(self) -> Any:
        """Return a transport of an attempt that was cancelled."""
        self.attempt().cancel()
        self.turn()
        return self.peer.transport

    def test_register_producer(self) -> None:
        """A transport that takes no producer is lost after the connection was open."""
        self.attempt()
        self.break_transport("registerProducer")
        self.peer.answer()
        self.assert_closed()

    def test_abort(self) -> None:
        """If even the abort raises, the end is reported."""
        connection = self.open()
        self.break_transport("write", "abortConnection")
        connection.send(Text("a"))
        self.assert_closed()

    def test_options_of_tcp(self) -> None:
        """An option that a TCP transport refuses makes the attempt fail."""
        from twisted.internet.interfaces import ITCPTransport
        from zope.interface import directlyProvides

        self.attempt()
        late = self.peer.protocol
        transport = self.make_transport()
        directlyProvides(transport, ITCPTransport)
        self.break_transport("setTcpNoDelay")
        late.makeConnection(transport)
        self.assertIsInstance(self.failure(ConnError).original, Boom)

    def test_next_sends(self) -> None:
        """Until the end is reported, sending raises nothing."""
        connection = self.open()
        self.break_transport("write")
        for _ in range(3):
            connection.send(Text("a"))
        self.assert_closed()


class SilentEndTests(TransportCase):
    """A transport that does not report its end."""

    def silence(self) -> None:
        """Make the transport ignore the abort."""
        self.patch(self.peer.transport, "abortConnection", lambda: None)

    def test_abort(self) -> None:
        """After an abort, the end is reported within two reactor iterations."""
        connection = self.open()
        self.silence()
        connection.abort()
        self.assertEqual(self.log.names, ["opened"])
        self.assert_closed(ConnectionAborted)

    def test_late(self) -> None:
        """An end that the transport reports later is ignored."""
        connection = self.open()
        self.silence()
        connection.abort()
        self.turn()
        self.peer.drop()
        self.assert_closed(ConnectionAborted)

    def test_reported(self) -> None:
        """An end that the transport reports before is reported once, with its reason."""
        connection = self.open()
        self.silence()
        connection.abort()
        self.peer.drop(ConnectionDone())
        self.assert_closed(ConnectionDone)


class RestTests(TransportCase):
    """The frames of a read that one reactor iteration does not decode."""

    COUNT = 3000

    def setUp(self) -> None:
        super().setUp()
        self.pause_after = -1
        self.seconds = 0.0
        self.received = 0

    def slow(self) -> None:
        """Open a connection whose listener needs ``seconds`` for each batch."""
        self.open()
        original = self.log.received

        def received(batch: Any) -> None:
            original(batch)
            self.received += 1
            self.clock.rightNow += self.seconds
            if self.received == self.pause_after:
                self.connection.pause_reading()

        self.patch(self.log, "received", received)

    def send_many(self) -> list[Text]:
        """Send many messages in one read; return them."""
        expected = [Text(str(number)) for number in range(self.COUNT)]
        self.peer.send(b"".join(text(frame.payload) for frame in expected))
        return expected

    def test_fast(self) -> None:
        """A read is decoded in one iteration if that does not take long."""
        self.slow()
        self.assertEqual(self.send_many(), self.log.frames)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow(self) -> None:
        """After 10 ms, decoding continues in the next iteration; nothing is read meanwhile."""
        self.slow()
        self.seconds = 0.006
        expected = self.send_many()
        self.assertLess(len(self.log.frames), len(expected))
        self.assertTrue(self.peer.transport.reading_paused)
        self.turn()
        self.assertEqual(self.log.frames, expected)
        self.assertFalse(self.peer.transport.reading_paused)

    def test_first_batch(self) -> None:
        """If the first batch alone takes 10 ms, the next one is decoded in the next iteration."""
        self.slow()
        self.seconds = 0.01
        expected = self.send_many()
        self.assertEqual(self.log.frames, expected[:512])
        self.turn()
        self.assertEqual(self.log.frames, expected)

    def test_order(self) -> None:
        """Bytes that arrive meanwhile, as from TLS, are decoded after the rest."""
        self.slow()
        self.seconds = 0.02
        expected = self.send_many()
        self.peer.send(text("last")[:3])
        self.peer.send(text("last")[3:])
        self.turn()
        self.assertEqual(self.log.frames, [*expected, Text("last")])

    def test_pause(self) -> None:
        """While reading is paused, the rest is not decoded."""
        self.slow()
        self.pause_after = 1
        expected = self.send_many()
        self.turn()
        self.assertEqual(len(self.log.frames), 512)
        self.connection.resume_reading()
        self.assertEqual(len(self.log.frames), 512)
        self.turn()
        self.assertEqual(self.log.frames, expected)
        self.assertFalse(self.peer.transport.reading_paused)

    def test_lost(self) -> None:
        """The end of TCP is reported after the rest."""
        self.slow()
        self.pause_after = 1
        expected = self.send_many()
        self.peer.drop()
        self.turn()
        self.assertNotIn("closed", self.log.names)
        self.assertFalse(self.connection.writable)
        self.connection.resume_reading()
        self.turn()
        self.assertEqual(self.log.frames, expected)
        self.assertEqual(self.log.events[-1], ("closed", ConnectionDone))

    def test_taken(self) -> None:
        """If the listener takes the rest, the connection decodes no more and reports its end."""
        self.slow()
        self.pause_after = 1
        expected = self.send_many()
        self.peer.drop()
        decoder = self.connection.take_rest()
        assert decoder is not None
        self.assertIsNone(self.connection.take_rest())
        self.connection.start_closing(1000, "")
        self.turn()
        self.assertEqual(self.log.events[-1], ("closed", ConnectionDone))
        self.assertEqual(self.log.frames, expected[:512])
        frames = self.log.frames
        batch = decoder.resume()
        while batch.more:
            frames += batch.frames
            batch = decoder.resume()
        self.assertEqual(frames + batch.frames, expected)

    def test_nothing_left(self) -> None:
        """There is no rest after a read that was decoded."""
        self.slow()
        self.send_many()
        self.assertIsNone(self.connection.take_rest())

    def test_taken_by_the_listener(self) -> None:
        """The listener may take the rest while it receives a batch."""
        self.open()
        original = self.log.received
        rests: list[Any] = []

        def received(batch: Any) -> None:
            original(batch)
            rests.append(self.connection.take_rest())

        self.patch(self.log, "received", received)
        self.send_many()
        self.turn()
        self.assertEqual((len(self.log.frames), len(rests)), (512, 1))
        self.assertIsNotNone(rests[0])
