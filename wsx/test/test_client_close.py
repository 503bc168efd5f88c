"""Tests of the closing handshake that the client starts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, race

import wsx
from wsx import Close, ConnectionDropped, LocalClose, Ok, Reconnect, RemoteClose, Reply, Text
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import (
    BAD_FRAME,
    TRIGGERS,
    Boom,
    EndCase,
    answering,
    attempt_numbers,
    close_frames,
    reasons,
    reconnecting,
)


class CloseFromCallbackTests(EndCase):
    """A callback returns ``Close`` (design section 4, point 1)."""

    def close_from(self, callback: str, result: Close[Any]) -> tuple[wsx.Client[Any], Recorder]:
        handler = Recorder(**{callback: result})
        client = self.open(handler, 0)
        if callback in TRIGGERS:
            TRIGGERS[callback](self, client)
            self.step()
        return client, handler

    @each(("handle_connect", *TRIGGERS))
    def test_close_from_each_callback(self, callback: str) -> None:
        """[C4] [D1] ``Close`` from each callback starts the closing handshake with code 1000."""
        client, handler = self.close_from(callback, Close(1))
        self.assertEqual(close_frames(self.peer), [(1000, "")], callback)
        self.assertEqual(client.status, "closing", callback)
        self.assertEqual(reasons(handler), [], callback)
        self.peer.send(close(1000))
        self.lose()
        self.assertEqual(reasons(handler), [LocalClose(1000, "")], callback)
        self.assertEqual(handler.calls[-1][2], 1, callback)
        self.assert_ended(client, LocalClose(1000, ""))

    @each(("handle_connect", *TRIGGERS))
    def test_close_with_code_and_message_from_each_callback(self, callback: str) -> None:
        """[C4] [D1] The code and message of ``Close`` are sent and appear in the LocalClose."""
        client, handler = self.close_from(callback, Close(1, 4321, "adé"))
        self.assertEqual(close_frames(self.peer), [(4321, "adé")], callback)
        self.lose()
        self.assertEqual(reasons(handler), [LocalClose(4321, "adé")], callback)
        self.assert_ended(client, LocalClose(4321, "adé"))

    def test_asynchronous_close(self) -> None:
        """[C4] A coroutine can return ``Close``."""
        handler = Recorder(handle_frame=answering(Close(1, 4000, "later")))
        self.open(handler)
        self.peer.send(text("x"))
        self.assertEqual(close_frames(self.peer), [(4000, "later")])

    @each((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999))
    def test_every_code_that_may_be_sent(self, code: int) -> None:
        """[C4] A callback can send every valid close code, including 1001 and 1011."""
        _, handler = self.close_from("handle_cast", Close(1, code))
        self.assertEqual(close_frames(self.peer), [(code, "")], code)
        self.lose()
        self.assertEqual(reasons(handler), [LocalClose(code, "")], code)

    def test_message_of_123_bytes(self) -> None:
        """A close message of exactly 123 bytes is sent completely."""
        self.close_from("handle_cast", Close(1, 1000, "a" * 123))
        self.assertEqual(close_frames(self.peer), [(1000, "a" * 123)])

    @each(
        [
            *((code, "") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000", None)),
            *((1000, message) for message in ("a" * 124, "é" * 62, "\ud800", b"bytes", None)),
        ]
    )
    def test_close_that_cannot_be_encoded(self, code: int, message: str) -> None:
        """A bad code or message sends 1011; the handler gets a FrameEncodeError."""
        _, handler = self.close_from("handle_frame", Close(1, code, message))
        [(sent, _)] = close_frames(self.peer)
        self.assertEqual(sent, 1011, (code, message))
        self.lose()
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.FrameEncodeError, (code, message))
        self.assertEqual((reason.frame_type, reason.close_code), ("close", code))

    def test_replies_before_the_close_go_out_first(self) -> None:
        """Replies to earlier frames of the same read are sent before the close frame."""
        handler = Recorder(
            handle_frame=lambda frame, state: (
                Close(state) if frame == Text("quit") else Reply(frame, state)
            )
        )
        self.open(handler)
        self.peer.send(text("a") + text("quit"))
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [1, 8])


class CloseTimeoutTests(EndCase):
    """The closing handshake takes at most ``close_timeout``."""

    def test_close_answered_late(self) -> None:
        """[D1] If the server does not answer the close frame in time, TCP is aborted."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        closed = client.close(4000, "bye")
        self.clock.advance(2.9)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.peer.transport.aborted)
        self.step()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(reasons(handler), [LocalClose(4000, "bye")])
        self.assert_ended(client, LocalClose(4000, "bye"))

    def test_close_answered_but_tcp_stays(self) -> None:
        """[D1] If the server answers the close frame but keeps TCP open, TCP is aborted."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        client.close()
        self.peer.send(close(1000))
        self.clock.advance(3.0)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])

    def test_peer_closes_but_tcp_stays(self) -> None:
        """[D1] After the server's close frame, TCP is aborted after ``close_timeout``."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        self.peer.send(close(1001, "restart"))
        self.clock.advance(2.9)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.2)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assert_ended(client, RemoteClose(1001, "restart"))

    def test_default_is_five_seconds(self) -> None:
        """The default ``close_timeout`` is 5 seconds."""
        client = self.open(Recorder())
        client.close()
        self.clock.advance(4.9)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.peer.transport.aborted)

    def test_timer_does_not_reach_the_next_connection(self) -> None:
        """The close timer of a connection is cancelled at its end."""
        handler = reconnecting(after=0.0)
        client = self.open(handler, close_timeout=3.0)
        client.close()
        self.clock.advance(2.9)
        self.come_back(after=0.0)
        self.clock.advance(10)
        self.assertEqual(client.status, "open")
        self.assertFalse(self.peer.transport.aborted)

    def test_flood_after_our_close_frame(self) -> None:
        """Data after the client's close frame is discarded, and TCP is aborted in time."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        client.close()
        for _ in range(29):
            self.clock.advance(0.1)
            self.peer.send(text("x" * 1000) * 50 + server_frame(9, b"?"))
        self.assertFalse(self.peer.transport.reading_paused)
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.clock.advance(0.2)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])

    def test_nonsense_after_our_close_frame(self) -> None:
        """A protocol error after the client's close frame has no effect."""
        handler = Recorder()
        client = self.open(handler)
        client.close()
        self.peer.send(BAD_FRAME)
        self.lose()
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])

    def test_keepalive_is_silent_while_closing(self) -> None:
        """After the close frame no keepalive ping is sent and no keepalive timeout fires."""
        handler = Recorder()
        client = self.open(handler, ping_interval=1.0, ping_timeout=1.0, data_timeout=1.0)
        client.close()
        self.pass_time(4.5)
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.lose()
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])


class ClientCloseTests(EndCase):
    """``client.close()`` in every state."""

    def test_open(self) -> None:
        """On an open connection, the Deferred fires at the end of TCP."""
        handler = Recorder()
        client = self.open(handler)
        closed = client.close(4000, "bye")
        self.assertEqual(close_frames(self.peer), [(4000, "bye")])
        self.assertEqual(client.status, "closing")
        self.peer.send(close(4000))
        self.step()
        self.assertNoResult(closed)
        self.lose()
        self.assertIsNone(self.successResultOf(closed))
        self.assert_ended(client, LocalClose(4000, "bye"))
        self.assert_terminated_once(handler, LocalClose(4000, "bye"))

    def test_while_a_callback_is_pending(self) -> None:
        """While a callback is pending, the close frame is sent at once. The callback goes on."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_cast=lambda message, state: answer)
        client = self.open(handler)
        client.cast("x")
        self.step()
        client.close()
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.lose()
        self.assertEqual(reasons(handler), [])
        answer.callback(Ok(7))
        self.step()
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])
        self.assertEqual(handler.calls[-1][2], 7)

    def test_inside_a_callback(self) -> None:
        """In a callback, the state of the callback's result is used and its reply is dropped."""
        handler: Recorder = Recorder(
            handle_frame=lambda frame, state: (
                handler.client.close(4000) and Reply(Text("dropped"), state + 1)
            )
        )
        self.open(handler, 0)
        self.peer.send(text("x"))
        self.assertEqual(close_frames(self.peer), [(4000, "")])
        self.lose()
        self.assertEqual(handler.calls[-1], ("terminate", LocalClose(4000, ""), 1))

    def test_awaited_inside_a_callback(self) -> None:
        """A callback can wait for the end of its own connection."""

        async def close_now(message: Any, state: Any) -> Any:
            await handler.client.close(4000)
            return Ok("closed")

        handler = Recorder(handle_cast=close_now)
        client = self.open(handler)
        client.cast("x")
        self.step()
        self.lose()
        self.assertEqual(handler.calls[-1], ("terminate", LocalClose(4000, ""), "closed"))

    @each((True, False))
    def test_connecting_first(self, silent: bool) -> None:
        """While first connecting, the attempt is cancelled and ``start`` fails with LocalClose."""
        self.server.silent = silent
        handler = Recorder()
        started = self.start(handler)
        closed = handler.client.close(4000, "bye")
        self.step()
        self.assertIsNone(self.successResultOf(closed))
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, LocalClose(4000, "bye"))
        self.assertEqual(handler.calls, [])
        if silent:
            self.assertEqual(self.server.cancelled, 1)
        else:
            self.assertTrue(self.peer.transport.aborted)
        self.assert_ended(handler.client, LocalClose(4000, "bye"))

    def test_connecting_first_and_handled(self) -> None:
        """With ``handle_initial_conn_failure``, ``handle_disconnect`` gets the LocalClose."""
        handler = reconnecting()
        started = self.start(handler, handle_initial_conn_failure=True)
        handler.client.close(4000, "bye")
        self.step()
        self.assertEqual(reasons(handler), [LocalClose(4000, "bye")])
        self.assertEqual(attempt_numbers(handler), [1])
        self.assertNoResult(started)
        self.clock.advance(1)
        self.accept()
        self.successResultOf(started)

    def test_connecting_asynchronously(self) -> None:
        """A connecting ``async_`` client ends with LocalClose and calls ``terminate``."""
        handler = Recorder()
        client = self.successResultOf(self.start(handler, async_=True))
        client.close()
        self.assert_ended(client, LocalClose(1000, ""))
        self.assertEqual(handler.names, ["terminate"])

    def test_reconnecting(self) -> None:
        """While reconnecting, the attempt fails with LocalClose."""
        handler = reconnecting()
        client = self.open(handler)
        self.lose()
        self.clock.advance(1)
        self.assertEqual(client.status, "connecting")
        closed = client.close(4000)
        self.step()
        self.assertIsNone(self.successResultOf(closed))
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(reasons(handler)[1:], [LocalClose(4000, "")])
        self.assertEqual(attempt_numbers(handler), [1, 2])
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 3)

    def test_waiting_to_reconnect(self) -> None:
        """While waiting to reconnect, no further attempt is made, with LocalClose as reason."""
        answers = iter([Reconnect(0, after=9.0), Ok(0)])
        handler = Recorder(handle_disconnect=lambda status, state: next(answers))
        client = self.open(handler)
        self.lose()
        self.assertEqual(client.status, "disconnected")
        closed = client.close(4000)
        self.assertIsNone(self.successResultOf(closed))
        self.step()
        self.assertEqual(reasons(handler)[1:], [LocalClose(4000, "")])
        self.assert_ended(client, LocalClose(4000, ""))
        self.assertEqual(self.server.attempts, 1)

    def test_second_close(self) -> None:
        """A second ``close`` sends nothing. The first reason counts, and both Deferreds fire."""
        handler = Recorder()
        client = self.open(handler)
        first, second = client.close(4000, "first"), client.close(4001, "second")
        self.assertEqual(close_frames(self.peer), [(4000, "first")])
        self.assertNoResult(second)
        self.lose()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(reasons(handler), [LocalClose(4000, "first")])

    def test_after_the_peers_close_frame(self) -> None:
        """After the server's close frame, ``close`` only waits for the end of the connection."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.send(close(1001))
        closed = client.close(4000)
        self.assertNoResult(closed)
        self.assertEqual(close_frames(self.peer), [(1001, "")])
        self.lose()
        self.successResultOf(closed)
        self.assertEqual(reasons(handler), [RemoteClose(1001, "")])

    def test_disconnected(self) -> None:
        """While ``handle_disconnect`` is pending, the Deferred fires at once."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_disconnect=lambda status, state: answer)
        client = self.open(handler)
        self.lose()
        self.assertEqual(client.status, "disconnected")
        self.assertIsNone(self.successResultOf(client.close()))
        answer.callback(None)
        self.step()
        self.assertEqual(len(reasons(handler)), 1)
        self.assertIsInstance(self.successResultOf(client.terminated()), ConnectionDropped)

    def test_terminated(self) -> None:
        """On an ended client, ``close`` has no effect and its Deferred fires at once."""
        handler = Recorder()
        client = self.open(handler)
        self.lose()
        calls = list(handler.calls)
        self.assertIsNone(self.successResultOf(client.close()))
        self.step()
        self.assertEqual(handler.calls, calls)
        self.assertEqual(client.status, "terminated")

    @each(("close", "stop"))
    def test_transport_that_raises(self, how: str) -> None:
        """If writing the close frame raises, the connection is lost at once."""
        client = self.open(Recorder())

        def write(data: bytes) -> None:
            raise Boom

        self.patch(self.peer.transport, "write", write)
        ended = getattr(client, how)()
        self.step()
        self.assertTrue(ended.called)
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bad_code_or_message_harms_the_caller_only(self) -> None:
        """A bad code or message fails the Deferred. The connection stays open."""
        bad: list[tuple[Any, Any]] = [
            *((code, "") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000", None)),
            *((1000, message) for message in ("a" * 124, "é" * 62, "\ud800", b"bytes", None)),
        ]
        client = self.open(Recorder())
        for code, message in bad:
            self.failureResultOf(client.close(code, message), wsx.FrameEncodeError)
        self.step()
        self.assertEqual(self.peer.received(), [])
        self.assertEqual(client.status, "open")

    def test_cancelling_its_deferred(self) -> None:
        """Cancelling the Deferred does not stop the closing handshake."""
        client = self.open(Recorder())
        closed = client.close()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))

    def test_racing_for_the_end(self) -> None:
        """A callback of one Deferred can cancel the others, as ``race`` does."""
        client = self.open(Recorder())
        closing = race([client.close(), client.close()])
        ending = race([client.terminated(), client.terminated()])
        self.lose()
        self.assertEqual(self.successResultOf(closing), (0, None))
        self.assertEqual(self.successResultOf(ending), (0, LocalClose(1000, "")))
