"""Tests of the faults, each on the real client."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from wsx import (
    Binary,
    ConnectionDropped,
    ConnError,
    FrameError,
    HandshakeError,
    LocalClose,
    Ok,
    Ping,
    PingTimeout,
    Pong,
    SendTimeout,
    Text,
)
from wsx.test.support.kit import AGAIN, Echo, KitCase, Listener, run_echo, run_listener
from wsx.testing import CloseFrame, MemoryServer, result_of, run


class EndTests(KitCase):
    """Faults that end the TCP connection."""

    def reason(self, feed: Any) -> Any:
        """Return the reason of the last loss."""
        losses = [call.argument for call in feed.calls if call.callback == "handle_disconnect"]
        return losses[-1].reason

    def test_drop(self) -> None:
        """The client gets everything that was sent before, then loses the connection."""
        with run_echo() as feed:
            feed.server.accept().send(Text("last")).expect(Text("last")).drop()
            self.assertEqual(
                str(self.reason(feed)), "server closed the TCP connection without a close frame"
            )
            self.assertEqual((feed.state, feed.client.status), (1, "disconnected"))

    def test_drop_delivers_the_rest(self) -> None:
        """Bytes that are on their way arrive before the end."""
        with run_listener() as feed:
            connection = feed.server.accept()
            connection.delay(1.0)
            connection.send(Text("late"))
            connection.drop()
            self.assertEqual(feed.client.status, "open")
            feed.advance(1.0)
            self.assertEqual(feed.state, [Text("late")])
            self.assertIsInstance(self.reason(feed), ConnectionDropped)

    def test_drop_before_accept(self) -> None:
        """A connection that ends without a response is a failed attempt."""
        with run_echo(handle_initial_conn_failure=True) as feed:
            feed.server.drop()
            self.assertIn("without answering the opening handshake", str(self.reason(feed)))
            feed.advance(1.0)
            feed.server.accept()
            self.assertEqual(feed.client.status, "open")

    def test_cut(self) -> None:
        """The connection ends within a frame: the message is not delivered."""
        with run_listener() as feed:
            feed.server.accept().cut(after=8).send(Text("whole"), Text("half"))
            self.assertEqual(feed.state, [Text("whole")])
            self.assertIsInstance(self.reason(feed), ConnectionDropped)

    def test_cut_now(self) -> None:
        """By default, the connection ends at once."""
        with run_listener() as feed:
            feed.server.accept().cut()
            self.assertEqual(feed.client.status, "disconnected")

    def test_cut_within_the_response(self) -> None:
        """The response to the opening handshake may be cut, too."""
        with run_echo(handle_initial_conn_failure=True) as feed:
            feed.server.cut(after=20)
            feed.server.accept()
            self.assertIn("within its response to the opening handshake", str(self.reason(feed)))

    def test_cut_between_two_actions(self) -> None:
        """The bytes are counted over several actions, and nothing arrives after them."""
        with run_listener() as feed:
            connection = feed.server.accept().cut(after=6)
            connection.send(Text("a"))
            connection.send(Text("b"))
            self.assertEqual(feed.state, [Text("a"), Text("b")])
            self.assertEqual(feed.client.status, "disconnected")

    def test_reset(self) -> None:
        """A reset is no clean end, and drops what the client has not read."""
        with run_listener() as feed:
            connection = feed.server.accept().delay(1.0)
            connection.send(Text("lost"))
            connection.reset()
            feed.advance(0)
            self.assertEqual(feed.client.status, "disconnected")
            self.assertEqual(feed.state, [])
            self.assertIn("TCP connection broken", str(self.reason(feed)))

    def test_reset_in_a_script(self) -> None:
        """What the server has sent just before the reset is lost as well."""

        def script(connection: Any) -> Any:
            connection.accept()
            yield 1.0
            connection.send(Text("lost")).reset()

        with run_listener(server=MemoryServer(script)) as feed:
            feed.advance(1.0)
            self.assertEqual((feed.state, feed.client.status), ([], "disconnected"))

    def test_reset_after(self) -> None:
        """A reset may follow some bytes."""
        with run_listener() as feed:
            feed.server.accept().reset(after=3).send(Text("a"), Text("b"))
            self.assertEqual(feed.client.status, "disconnected")
            self.assertIn("TCP connection broken", str(self.reason(feed)))

    def test_arguments(self) -> None:
        """Numbers below zero are errors that name the action."""
        with run_listener() as feed:
            connection = feed.server.accept()
            for action in ("cut", "reset", "corrupt"):
                text = self.failure_of(getattr(connection, action), -1, kind=ValueError)
                self.assertEqual(text, f"{action}: expected at least 0 bytes, got -1")
            text = self.failure_of(connection.delay, -1, kind=ValueError)
            self.assertEqual(text, "delay: expected at least 0 seconds, got -1")
            for size, interval in [(0, 0.0), (1, -1.0)]:
                text = self.failure_of(connection.drip, size, interval, kind=ValueError)
                self.assertIn("drip: expected a size of at least 1", text)


class NoEndTests(KitCase):
    """Faults that leave the TCP connection open."""

    def test_silence(self) -> None:
        """A silent server answers no ping: the client gives it up after its ping_timeout."""
        with run_echo(ping_interval=20.0, ping_timeout=5.0) as feed:
            feed.server.accept().silence()
            feed.advance(24.0)
            self.assertEqual(feed.client.status, "open")
            feed.advance(1.0)
            self.assertIsInstance(feed.calls[-1].argument.reason, PingTimeout)

    def test_silence_in_the_closing_handshake(self) -> None:
        """A silent server answers no close frame: the client waits for its close_timeout."""
        with run_echo(close_timeout=3.0) as feed:
            feed.server.accept().silence()
            feed.client.close()
            feed.server.expect(CloseFrame())
            feed.advance(2.9)
            self.assertEqual(feed.client.status, "closing")
            feed.advance(0.1)
            self.assertEqual(feed.reason, LocalClose(1000))

    def test_end_of_silence(self) -> None:
        """A server that answers again keeps the client."""
        with run_echo(ping_interval=20.0, ping_timeout=5.0) as feed:
            feed.server.accept().silence()
            feed.advance(21.0)
            feed.server.silence(False).send(Text("here")).expect(Text("here"))
            feed.advance(100.0)
            self.assertEqual((feed.client.status, feed.server.attempts), ("open", 1))

    def test_silence_before_accept(self) -> None:
        """A server that never answers the opening handshake costs socket_recv_timeout."""
        with run_echo(handle_initial_conn_failure=True, socket_recv_timeout=2.0) as feed:
            feed.server.silence()
            feed.advance(2.0)
            error = feed.calls[-1].argument.reason
            self.assertIsInstance(error, ConnError)
            self.assertIsInstance(error.original, TimeoutError)

    def test_half_open(self) -> None:
        """Nothing arrives in either direction, and no end; only the keepalive notices it."""
        with run_listener(ping_interval=20.0, ping_timeout=5.0) as feed:
            connection = feed.server.accept().half_open()
            connection.send(Text("lost"))
            feed.client.send_frame(Text("lost, too"))
            feed.advance(24.0)
            self.assertEqual((feed.client.status, feed.state), ("open", []))
            feed.advance(1.0)
            self.assertIsInstance(feed.calls[-1].argument.reason, PingTimeout)
            self.assertEqual(connection.received, [])
            feed.advance(1.0)
            feed.server.accept().send(Text("new"))
            self.assertEqual(feed.state, [Text("new")])

    def test_half_open_fills_the_write_buffer(self) -> None:
        """What the client sends into a half-open connection stays in its write buffer."""
        with run_listener() as feed:
            feed.server.accept().half_open()
            sent = feed.client.send_frame(Binary(bytes(70_000)), timeout=1.0)
            feed.advance(1.0)
            self.assertRaises(SendTimeout, result_of, sent)

    def test_stop_reading(self) -> None:
        """The write buffer fills, send_frame waits, and continues once the server reads."""
        with run_listener() as feed:
            connection = feed.server.accept().stop_reading()
            sent = feed.client.send_frame(Binary(bytes(70_000)), timeout=10.0)
            late = feed.client.send_frame(Text("late"), timeout=10.0)
            feed.advance(5.0)
            self.assertEqual(connection.received, [])
            self.assertIn("has not fired", self.failure_of(result_of, sent))
            connection.read()
            connection.expect(Binary(bytes(70_000)), Text("late"))
            self.assertIsNone(result_of(late))

    def test_stop_reading_too_long(self) -> None:
        """A frame that is not written in time is a SendTimeout."""
        with run_listener() as feed:
            feed.server.accept().stop_reading()
            sent = feed.client.send_frame(Binary(bytes(70_000)), timeout=1.0)
            feed.advance(1.0)
            self.assertRaises(SendTimeout, result_of, sent)


class BytesTests(KitCase):
    """Faults of the bytes on their way."""

    def test_delay(self) -> None:
        """Bytes take their time in each direction; the client measures the round trip."""
        with run_echo(ping_interval=20.0) as feed:
            connection = feed.server.accept().delay(0.5)
            connection.send(Text("a"))
            feed.advance(0.4)
            self.assertEqual(feed.state, 0)
            feed.advance(0.1)
            self.assertEqual((feed.state, connection.received), (1, []))
            feed.advance(0.5)
            connection.expect(Text("a"))
            feed.advance(20.0)
            self.assertAlmostEqual(feed.client.latency or 0.0, 1.0)

    def test_delay_keeps_the_order(self) -> None:
        """Bytes that were sent with a shorter delay do not overtake others."""
        with run_listener() as feed:
            connection = feed.server.accept().delay(1.0)
            connection.send(Text("first"))
            connection.delay(0.0)
            connection.send(Text("second"))
            self.assertEqual(feed.state, [])
            feed.advance(1.0)
            self.assertEqual(feed.state, [Text("first"), Text("second")])

    def test_delay_of_the_response(self) -> None:
        """A response that is late by more than socket_recv_timeout is a failed attempt."""
        with run_echo(handle_initial_conn_failure=True, socket_recv_timeout=2.0) as feed:
            feed.server.delay(2.5)
            feed.server.accept()
            feed.advance(2.0)
            self.assertIsInstance(feed.calls[-1].argument.reason, ConnError)

    def test_drip(self) -> None:
        """Each byte arrives in a read of its own: the opening handshake, and then frames."""
        with run_listener() as feed:
            feed.server.drip()
            connection = feed.server.accept()
            connection.send(Text("é"), Binary(b"\0" * 200)).fragment(Text("parts"), [1, 2])
            self.assertEqual(feed.state, [Text("é"), Binary(b"\0" * 200), Text("parts")])

    def test_drip_slowly(self) -> None:
        """Parts arrive at intervals, so that a message is complete only after the last one."""
        with run_listener() as feed:
            feed.server.accept().drip(2, interval=1.0).send(Text("abcd"))
            feed.advance(1.9)
            self.assertEqual(feed.state, [])
            feed.advance(0.1)
            self.assertEqual(feed.state, [Text("abcd")])

    def test_drip_large(self) -> None:
        """A large message may drip, too."""
        with run_listener() as feed:
            feed.server.accept().drip(7).send(Binary(bytes(30_000)))
            self.assertEqual(feed.state, [Binary(bytes(30_000))])

    def test_corrupt(self) -> None:
        """A byte of a frame's header is wrong: the client ends the connection with 1002."""
        with run_listener() as feed:
            feed.server.accept().corrupt().send(Text("a"))
            feed.server.expect(CloseFrame(1002, "a reserved bit is set"))
            self.assertIsInstance(feed.calls[-1].argument.reason, FrameError)

    def test_corrupt_text(self) -> None:
        """A byte of a text is wrong: the client ends the connection with 1007."""
        with run_listener() as feed:
            connection = feed.server.accept().corrupt(offset=6)
            connection.send(Text("a"))
            connection.send(Text("bcd"))
            frame = connection.receive()
            assert isinstance(frame, CloseFrame)
            self.assertEqual(frame.code, 1007)
            self.assertEqual(feed.calls[-1].argument.reason.close_code, 1007)

    def test_corrupt_the_next_but_one(self) -> None:
        """The offset counts the bytes of several actions."""
        with run_listener() as feed:
            connection = feed.server.accept().corrupt(offset=3)
            connection.send(Text("a"))
            self.assertEqual(feed.state, [Text("a")])
            connection.send(Text("b")).expect(CloseFrame(1002, "a reserved bit is set"))

    def test_corrupt_response(self) -> None:
        """A byte of the response is wrong: this is no WebSocket server."""
        with run_echo(handle_initial_conn_failure=True) as feed:
            feed.server.corrupt()
            feed.server.accept()
            self.assertIsInstance(feed.calls[-1].argument.reason, HandshakeError)

    def test_flood(self) -> None:
        """All messages of a flood are delivered, in order."""
        with run_echo() as feed:
            connection = feed.server.accept().flood(Text("a"), Text("b"), times=3000)
            self.assertEqual(feed.state, 6000)
            self.assertEqual(connection.received[-2:], [Text("a"), Text("b")])

    def test_flood_of_a_slow_handler(self) -> None:
        """A client whose handler is busy pauses reading, and does not fill its memory."""
        busy: Deferred[Any] = Deferred()

        class Slow(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                if not busy.called:
                    return busy
                return Ok((state or 0) + 1)

        with run(Slow) as feed:
            connection = feed.server.accept().flood(Text("x" * 1000), times=1000)
            self.assertFalse(connection.is_read)
            self.assertGreater(connection.unread, 900_000)
            busy.callback(Ok(1))
            self.assertEqual((feed.state, connection.unread), (1000, 0))
            self.assertTrue(connection.is_read)

    def test_flood_of_pings(self) -> None:
        """A server that floods with pings and reads nothing gets no more than the last pong."""
        with run_echo() as feed:
            connection = feed.server.accept().stop_reading()
            feed.client.send_frame(Binary(bytes(70_000)))
            connection.flood(Ping(b"a"), times=500)
            connection.send(Ping(b"last"))
            connection.read().expect(Binary(bytes(70_000)), Pong(b"last")).expect()


class ScriptedTests(KitCase):
    """Faults in scripts, and of several connections."""

    def test_each_connection_has_its_own_faults(self) -> None:
        """A fault of one connection does not concern the next one."""

        def first(connection: Any) -> None:
            connection.corrupt()
            connection.accept()

        def second(connection: Any) -> Any:
            connection.accept().drip(1)
            connection.send(Text("a"))
            yield Text("a")
            connection.reset()

        def third(connection: Any) -> None:
            connection.accept()

        server = MemoryServer(first, second, third)
        with run(Echo, 0, server=server, reconnect=AGAIN, handle_initial_conn_failure=True) as feed:
            feed.advance(10.0)
            losses = [c.argument.reason for c in feed.calls if c.callback == "handle_disconnect"]
            self.assertEqual([type(one) for one in losses], [HandshakeError, ConnectionDropped])
            self.assertEqual((feed.client.status, feed.server.attempts), ("open", 3))

    def test_faults_before_tcp(self) -> None:
        """Attempts may be refused or hang before there is a connection."""
        server = MemoryServer()
        server.down()
        with run(Echo, 0, server=server, reconnect=AGAIN, handle_initial_conn_failure=True) as feed:
            self.assertIn("refused", str(feed.calls[-1].argument.reason))
            server.down(hang=True)
            feed.advance(1.0)
            self.assertEqual(feed.client.status, "connecting")
            feed.advance(6.0)
            self.assertIsInstance(feed.calls[-1].argument.reason.original, TimeoutError)
            server.down(OSError("no route"))
            feed.advance(2.0)
            self.assertIn("no route", str(feed.calls[-1].argument.reason))
            server.up()
            feed.wait_open().send(Text("a")).expect(Text("a"))

    def test_on_a_lost_connection(self) -> None:
        """A fault of a connection that has ended is an error that says how it ended."""
        with run_echo() as feed:
            connection = feed.server.accept()
            connection.drop()
            for action in ("drop", "cut", "reset", "silence", "half_open", "read", "flood"):
                text = self.failure_of(getattr(connection, action))
                self.assertEqual(
                    text,
                    f"{action}: connection 1 has ended: the server has dropped it\n"
                    "The client's status is disconnected. "
                    "Its next timer is due in 1 s: advance(1).",
                )
