"""Tests of the server's side of a connection: what it does by itself."""

from __future__ import annotations

from typing import Any

from wsx import Close, LocalClose, Ping, RemoteClose, Reply, Text
from wsx.test.support.kit import KitCase, Listener, run_echo, run_listener
from wsx.testing import CloseFrame, run


class AnswerTests(KitCase):
    """Answers that a server sends without being told to."""

    def test_pings(self) -> None:
        """Pings of the handler and of the keepalive are answered."""

        class Pinger(Listener):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                return Reply(Ping(b"mine"), [])

        with run(Pinger, ping_interval=5.0, ping_timeout=1.0) as feed:
            feed.server.accept().expect(Ping(b"mine"))
            self.assertEqual([frame.payload for frame in feed.state or ()], [b"mine"])
            feed.advance(100.0)
            self.assertEqual(feed.client.status, "open")

    def test_close(self) -> None:
        """A close frame is answered with its code, and TCP ends without delay."""
        for code, message in [(1000, ""), (4000, "why")]:

            class Quitter(Listener):
                def handle_frame(self, frame: Any, state: Any) -> Any:
                    return Close(state, code, message)  # noqa: B023

            with run(Quitter) as feed:
                feed.server.accept().send(Text("a")).expect(CloseFrame(code, message))
                self.assertEqual(feed.reason, LocalClose(code, message))
                self.assertEqual(feed.reactor.seconds(), 0.0)

    def test_close_frame(self) -> None:
        """The answer to a close frame has the same code, or none (RFC 6455 section 5.5.1)."""
        for code, expected in [(4000, b"\x88\x02\x0f\xa0"), (1000, b"\x88\x02\x03\xe8")]:
            with run_listener(reconnect=None) as feed:
                connection = feed.server.accept()
                sent: list[bytes] = []
                self.patch(connection._session, "send", sent.append)
                feed.client.close(code)
                connection.expect(CloseFrame(code))
                self.assertEqual(sent, [expected])

    def test_late_answer(self) -> None:
        """A server that was silent may answer the client's close frame after all."""
        with run_listener(reconnect=None) as feed:
            connection = feed.server.accept().silence()
            feed.client.close(4000)
            connection.expect(CloseFrame(4000)).silence(False).close(4000)
            self.assertEqual((feed.reason, feed.reactor.seconds()), (LocalClose(4000), 0.0))

    def test_both_close(self) -> None:
        """Close frames that cross each other end the connection as well."""
        with run_listener(reconnect=None) as feed:
            connection = feed.server.accept().delay(1.0)
            feed.client.close(4000)
            connection.close(4001)
            feed.advance(3.0)
            self.assertEqual(feed.reason, LocalClose(4000))
            self.assertEqual(connection.received, [CloseFrame(4000)])

    def test_no_pong_after_close(self) -> None:
        """After its close frame, the server sends nothing (RFC 6455 section 5.5.1)."""
        with run_listener(reconnect=None) as feed:
            connection = feed.server.accept().delay(1.0)
            feed.client.send_frame(Ping(b"late"))
            connection.close()
            feed.advance(5.0)
            self.assertEqual(feed.reason, RemoteClose(1000))
            self.assertEqual(connection.received, [Ping(b"late"), CloseFrame(1000)])

    def test_frames_after_the_end(self) -> None:
        """What arrives after the server has dropped the connection is not received."""
        with run_echo() as feed:
            connection = feed.server.accept().delay(1.0)
            feed.client.cast("late")
            connection.drop()
            feed.advance(1.0)
            self.assertEqual(connection.received, [])
