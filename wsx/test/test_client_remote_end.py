"""Tests of connections that the server or the network ends, and of the last frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost

import wsx
from wsx import Binary, Close, ConnectionDropped, LocalClose, Ok, Ping, RemoteClose, Reply, Text
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import (
    BAD_FRAME,
    TRIGGERS,
    Boom,
    EndCase,
    close_frames,
    reasons,
    reconnecting,
)


class RemoteEndTests(EndCase):
    """The server or the network ends the connection (design section 4, points 2 to 4)."""

    @each([(1000, ""), (1001, "away"), (1011, "é"), (3000, ""), (4999, "x")])
    def test_remote_close(self, code: int, message: str) -> None:
        """[D1] The server's close frame is answered with its code and passed to the handler."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.send(close(code, message))
        self.assertEqual(client.status, "closing")
        [(sent, _)] = close_frames(self.peer)
        self.assertEqual(sent, code)
        self.step()
        self.assertEqual(reasons(handler), [], "TCP is still there")
        self.lose()
        self.assertEqual(reasons(handler), [RemoteClose(code, message)])
        self.assert_ended(client, RemoteClose(code, message))

    def test_remote_close_without_payload(self) -> None:
        """[D1] A close frame without a code is answered without a code; the reason has 1005."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.send(close())
        self.assertEqual(close_frames(self.peer), [(None, "")])
        self.lose()
        self.assert_ended(client, RemoteClose(1005, ""))
        self.assertEqual(reasons(handler), [RemoteClose(1005, "")])

    @each((ConnectionDone(), ConnectionLost()))
    def test_drop(self, error: Any) -> None:
        """[D1] A TCP end without a close frame is ConnectionDropped with the original error."""
        handler = Recorder()
        client = self.open(handler, "state")
        self.peer.drop(error)
        self.step()
        self.assertEqual(reasons(handler), [ConnectionDropped(error)])
        self.assertEqual(handler.calls[-1], ("terminate", ConnectionDropped(error), "state"))
        self.assertEqual(self.peer.received(), [])
        self.assert_ended(client, ConnectionDropped(error))

    def test_drop_while_closing(self) -> None:
        """[D1] A TCP end during the client's closing handshake does not change the reason."""
        handler = Recorder()
        client = self.open(handler)
        client.close(4000, "bye")
        self.peer.drop(ConnectionLost())
        self.step()
        self.assertEqual(reasons(handler), [LocalClose(4000, "bye")])

    def test_drop_while_answering_a_close(self) -> None:
        """[D1] A TCP end during the server's closing handshake does not change the reason."""
        handler = Recorder()
        self.open(handler)
        self.peer.send(close(4001))
        self.peer.drop(ConnectionLost())
        self.step()
        self.assertEqual(reasons(handler), [RemoteClose(4001, "")])

    def test_both_sides_close(self) -> None:
        """[D1] A close frame that crosses the client's does not change the reason."""
        handler = Recorder()
        client = self.open(handler)
        client.close(4000)
        self.peer.send(close(4001))
        self.lose()
        self.assertEqual(close_frames(self.peer), [(4000, "")])
        self.assertEqual(reasons(handler), [LocalClose(4000, "")])

    @each(
        {
            BAD_FRAME: 1002,
            server_frame(1, b"\xff"): 1007,
            server_frame(2, b"x" * 101): 1009,
        }.items()
    )
    def test_protocol_errors(self, data: bytes, code: int) -> None:
        """A protocol error sends 1002, 1007 or 1009, with a FrameError as reason."""
        handler = Recorder()
        client = self.open(handler, max_message_size=100)
        self.peer.send(data)
        [(sent, _)] = close_frames(self.peer)
        self.assertEqual(sent, code)
        self.lose()
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.FrameError, code)
        self.assertEqual(reason.close_code, code)
        self.assert_ended(client, reason)

    def test_peer_stays_after_protocol_error(self) -> None:
        """After a protocol error, TCP is aborted after ``close_timeout``."""
        handler = Recorder()
        self.open(handler, close_timeout=3.0)
        self.peer.send(BAD_FRAME)
        self.clock.advance(3.0)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertIsInstance(reasons(handler)[0], wsx.FrameError)

    @each(
        [
            (Ping(b"x" * 126), wsx.FrameEncodeError),
            (Text("\ud800"), wsx.FrameEncodeError),
            (Text(5), wsx.InvalidFrameError),  # type: ignore[arg-type]
            ("text", wsx.InvalidFrameError),
            ([Text("fine"), Binary("text")], wsx.InvalidFrameError),  # type: ignore[arg-type]
        ]
    )
    def test_replies_that_cannot_be_encoded(self, reply: Any, error: Any) -> None:
        """A ``Reply`` that cannot be encoded sends 1011; ``handle_disconnect`` gets the error."""
        handler = Recorder(handle_frame=Reply(reply, 1))
        client = self.open(handler, 0)
        self.peer.send(text("x"))
        [(sent, _)] = close_frames(self.peer)
        self.assertEqual(sent, 1011)
        self.lose()
        [reason] = reasons(handler)
        self.assertIsInstance(reason, error)
        self.assertEqual(handler.calls[-1][2], 1)
        self.assert_ended(client, reason)

    @each(("handle_connect", *TRIGGERS))
    def test_unencodable_reply_of_each_callback(self, callback: str) -> None:
        """``handle_disconnect`` gets the error of a bad ``Reply`` of each callback."""
        handler = Recorder(**{callback: Reply(Ping(b"x" * 126), 1)})
        client = self.open(handler, 0)
        if callback in TRIGGERS:
            TRIGGERS[callback](self, client)
            self.step()
        self.lose()
        self.assertIsInstance(reasons(handler)[0], wsx.FrameEncodeError, callback)

    @each(TRIGGERS.items())
    def test_reply_to_a_dead_connection(self, callback: str, trigger: Any) -> None:
        """[C5] A reply after the connection has ended is dropped.

        ``handle_disconnect`` is called.
        """
        answer: Deferred[Any] = Deferred()
        handler = Recorder(**{callback: lambda argument, state, d=answer: d})
        client = self.open(handler, 0)
        trigger(self, client)
        self.step()
        self.lose()
        self.assertEqual(reasons(handler), [], callback)
        answer.callback(Reply(Text("too late"), 1))
        self.step()
        self.assertEqual(self.peer.received(), [], callback)
        [(_, status, state)] = handler.calls[-2:-1]
        self.assertIsInstance(status.reason, ConnectionDropped, callback)
        self.assertEqual(state, 1, callback)
        self.assert_ended(client, status.reason)

    def test_connection_lost_while_handle_connect_is_pending(self) -> None:
        """A pending ``handle_connect`` completes before ``handle_disconnect`` is called."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_connect=lambda conn, state: answer)
        started = self.start(handler, 0)
        self.accept()
        self.lose()
        self.assertEqual(handler.names, ["handle_connect"])
        answer.callback(Ok(1))
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])
        self.assertEqual(handler.calls[-1][2], 1)
        self.successResultOf(started)


End = Callable[[EndCase, wsx.Client[Any]], None]


def drop(test: EndCase, client: wsx.Client[Any]) -> None:
    """End TCP."""
    test.peer.drop()


def close_and_drop(test: EndCase, client: wsx.Client[Any]) -> None:
    """Close, and end TCP before the server has answered."""
    client.close()
    test.peer.drop()


# Name, function that ends the connection, bytes received last, class of the reason.
ENDS: list[tuple[str, End, bytes, type]] = [
    ("drop", drop, b"", ConnectionDropped),
    ("server's close", drop, close(1001), RemoteClose),
    ("bad frame", drop, BAD_FRAME, wsx.FrameError),
    ("client's close", close_and_drop, b"", LocalClose),
]


class LastFramesTests(EndCase):
    """Complete frames that arrived before the end precede ``handle_disconnect``."""

    def frames_then(self, end: bytes, **options: Any) -> Recorder:
        """Send two messages and more bytes in one read, then drop TCP."""
        handler = Recorder(handle_frame=lambda frame, state: Reply(frame, [*state, frame]))
        self.open(handler, [], **options)
        self.peer.send(text("a") + text("b") + end)
        self.lose()
        return handler

    @each((b"", close(1000), BAD_FRAME, server_frame(1, b"\xff"), text("c")[:2]))
    def test_frames_before_the_end_of_the_same_read(self, end: bytes) -> None:
        """Messages of the read that ends the connection are delivered, with their state."""
        handler = self.frames_then(end)
        self.assertEqual(handler.arguments("handle_frame"), [Text("a"), Text("b")], end)
        self.assertEqual(handler.names[3:], ["handle_disconnect", "terminate"], end)
        self.assertEqual(handler.calls[-1][2], [Text("a"), Text("b")], end)

    def end_with_frames_waiting(self, end: End, wire: bytes) -> Any:
        """End the connection while one message is being handled and another waits."""
        self.answer: Deferred[Any] = Deferred()
        handler = Recorder(
            handle_frame=lambda frame, state: (
                self.answer if frame == Text("a") else Reply(Text("lost"), state + 1)
            )
        )
        client = self.open(handler, 0)
        self.peer.send(text("a") + text("b") + wire)
        end(self, client)
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame"])
        return handler

    @each(ENDS)
    def test_frames_waiting_for_a_pending_callback(
        self, name: str, end: End, wire: bytes, kind: type
    ) -> None:
        """Waiting messages are delivered before ``handle_disconnect``, with their state."""
        handler = self.end_with_frames_waiting(end, wire)
        self.answer.callback(Ok(10))
        self.step()
        self.assertEqual(handler.calls[2], ("handle_frame", Text("b"), 10), name)
        self.assertEqual(handler.names[3:], ["handle_disconnect", "terminate"], name)
        self.assertIsInstance(reasons(handler)[0], kind, name)
        self.assertEqual(handler.calls[-1][2], 11, name)
        self.assertNotIn(1, [opcode for opcode, _ in self.peer.received()], name)

    @each([Close(10, 4000), Reply(Ping(b"x" * 126), 10), Reply(Text("x"), 10)], ENDS)
    def test_late_answers_of_other_kinds(
        self, result: Any, name: str, end: End, wire: bytes, kind: type
    ) -> None:
        """A ``Close`` or bad ``Reply`` returned after the end does not change the reason."""
        handler = self.end_with_frames_waiting(end, wire)
        self.answer.callback(result)
        self.step()
        self.assertEqual(len(handler.arguments("handle_frame")), 2, (name, result))
        self.assertIsInstance(reasons(handler)[0], kind, (name, result))
        self.assertEqual(handler.calls[-1][2], 11, (name, result))

    def test_waiting_frames_while_still_closing(self) -> None:
        """Waiting messages are delivered during the closing handshake."""
        handler = self.end_with_frames_waiting(lambda test, client: None, close(1001))
        self.answer.callback(Ok(10))
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "handle_frame"])
        self.lose()
        self.assertEqual(reasons(handler), [RemoteClose(1001, "")])

    @each(ENDS)
    def test_crash_in_a_waiting_frame(self, name: str, end: End, wire: bytes, _: type) -> None:
        """If a callback raises after the end, ``handle_disconnect`` is not called."""
        handler = self.end_with_frames_waiting(end, wire)
        boom = Boom(name)
        self.answer.errback(boom)
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "terminate"], name)
        self.assert_terminated_once(handler, boom)
        self.assertEqual(len(close_frames(self.peer)), 0 if name == "drop" else 1, name)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1, name)
        self.assert_ended(handler.client, boom)

    def test_frames_behind_a_close_in_the_same_read(self) -> None:
        """Messages that arrived before a callback returned ``Close`` are delivered."""
        handler = Recorder(
            handle_frame=lambda frame, state: (
                Close(state + 1) if frame == Text("a") else Reply(Text("lost"), state + 1)
            )
        )
        self.open(handler, 0)
        self.peer.send(text("a") + text("b"))
        self.peer.send(text("after the close frame"))
        self.lose()
        self.assertEqual(handler.arguments("handle_frame"), [Text("a"), Text("b")])
        self.assertEqual(handler.calls[-1][2], 2)
        self.assertEqual(close_frames(self.peer), [(1000, "")])

    def test_frames_behind_the_handshake_that_is_answered_with_close(self) -> None:
        """[C4] Messages that arrived with the response are delivered after a ``Close``."""
        handler = Recorder(handle_connect=Close(1))
        self.start(handler, 0)
        self.peer.answer(text("a"))
        self.lose()
        self.assertEqual(
            handler.names, ["handle_connect", "handle_frame", "handle_disconnect", "terminate"]
        )

    @each((text("x"), server_frame(9, b"p"), server_frame(10, b"p"), BAD_FRAME))
    def test_nothing_after_our_close_frame(self, data: bytes) -> None:
        """What arrives after the client's close frame is neither delivered nor answered."""
        handler = Recorder()
        client = self.open(handler)
        client.close()
        self.peer.send(data)
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])
        self.assertEqual(close_frames(self.peer), [(1000, "")])

    def test_nothing_after_the_answer_to_the_peers_close_frame(self) -> None:
        """Data after the server's close frame is discarded."""
        handler = Recorder()
        self.open(handler)
        self.peer.send(close(1000) + text("same read"))
        self.peer.send(text("next read"))
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])

    def test_reading_goes_on_while_closing(self) -> None:
        """Paused reading resumes while closing, so that the end is noticed."""
        handler = self.end_with_frames_waiting(lambda test, client: None, b"")
        self.assertTrue(self.peer.transport.reading_paused)
        handler.client.close()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_messages_wait_for_the_next_connection(self) -> None:
        """Casts that wait at the end are delivered on the next connection, in order."""
        handler = reconnecting()
        client = self.open(handler)
        client.cast(1)
        client.info(2)
        self.lose()
        client.cast(3)
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect"])
        self.clock.advance(1)
        self.accept()
        self.assertEqual(
            [call[:2] for call in handler.calls[3:]],
            [("handle_cast", 1), ("handle_info", 2), ("handle_cast", 3)],
        )

    def test_reconnect_after_close_while_frames_wait(self) -> None:
        """Frames of the old connection are delivered before its end, none on the next one."""
        answer: Deferred[Any] = Deferred()
        handler = reconnecting(
            handle_frame=lambda frame, state: answer if frame == Text("a") else Reply(frame, 1)
        )
        client = self.open(handler)
        self.peer.send(text("a") + text("b") + text("c"))
        client.close()
        self.lose()
        answer.callback(None)
        self.step()
        self.clock.advance(1)
        self.accept()
        self.assertEqual(
            handler.names,
            [
                "handle_connect",
                *["handle_frame"] * 3,
                "handle_disconnect",
                "handle_connect",
            ],
        )
        self.assertEqual(self.peer.received(), [])
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.send(text("new"))
        self.assertEqual(self.peer.received(), [(1, b"new")])
