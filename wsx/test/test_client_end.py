"""Tests of how connections and clients end, and how they come back, against the memory server."""

# Past 500 lines because the ways to end are many; one class for each of them.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, race, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.logger import LogLevel, capturedLogs, formatEvent

import wsx
from wsx import (
    Backoff,
    Binary,
    Close,
    ConnectionDropped,
    Exit,
    LocalClose,
    Ok,
    Ping,
    Reconnect,
    RemoteClose,
    Reply,
    Shutdown,
    Text,
)
from wsx.test.support import MemoryCase, Peer, Recorder, close, server_frame, text

BAD_FRAME = server_frame(3)  # a reserved opcode


class Boom(Exception):
    """What a broken callback raises."""


class Verdict:
    """A reason that says itself whether it is normal."""

    def __init__(self, normal: bool) -> None:
        self.normal = normal


TRIGGERS: dict[str, Callable[[MemoryCase, wsx.Client[Any]], None]] = {
    "handle_frame": lambda case, client: case.peer.send(text("x")),
    "handle_cast": lambda case, client: client.cast("x"),
    "handle_info": lambda case, client: client.info("x"),
    "handle_ping": lambda case, client: case.peer.send(server_frame(9, b"x")),
    "handle_pong": lambda case, client: case.peer.send(server_frame(10, b"x")),
}


def raising(error: BaseException) -> Callable[[Any, Any], Any]:
    """An asynchronous answer that raises."""

    async def answer(argument: Any, state: Any) -> Any:
        raise error

    return answer


def answering(result: Any) -> Callable[[Any, Any], Any]:
    """An asynchronous answer that gives this."""

    async def answer(argument: Any, state: Any) -> Any:
        return result

    return answer


def reconnecting(
    after: float | None = 1.0, conn: wsx.Conn | None = None, **answers: Any
) -> Recorder:
    """A handler that always connects again."""
    return Recorder(
        handle_disconnect=lambda status, state: Reconnect(state, conn, after), **answers
    )


def reasons(handler: Recorder) -> list[Any]:
    """The reasons that ``handle_disconnect`` was told."""
    return [status.reason for status in handler.arguments("handle_disconnect")]


def attempt_numbers(handler: Recorder) -> list[int]:
    """The attempt numbers that ``handle_disconnect`` was told."""
    return [status.attempt_number for status in handler.arguments("handle_disconnect")]


def close_frames(peer: Peer) -> list[tuple[int | None, str]]:
    """What the client sent, which must be close frames only, as pairs of code and message."""
    frames = peer.received()
    assert {opcode for opcode, _ in frames} <= {8}, frames
    return [
        (int.from_bytes(payload[:2], "big") if payload else None, payload[2:].decode())
        for _, payload in frames
    ]


def refuse(peer: Peer, status: int, *headers: str) -> None:
    """Answers the opening handshake with another status, and with no body."""
    lines = [f"HTTP/1.1 {status} No", *headers, "Content-Length: 0", "", ""]
    peer.send("\r\n".join(lines).encode())


class EndCase(MemoryCase):
    """What the tests of ends share."""

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Moves the clock in small steps, so that each timer fires at its time."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
        self.step()

    def lose(self) -> None:
        """Drops the connection, and lets the client notice."""
        self.peer.drop()
        self.step()

    def accept(self) -> None:
        """Completes the opening handshake of the last connection."""
        self.peer.answer()
        self.step()

    def come_back(self, after: float = 1.0) -> None:
        """Loses the connection, waits, and lets the next one open."""
        self.lose()
        self.clock.advance(after)
        self.accept()

    def assert_ended(self, client: wsx.Client[Any], reason: object) -> None:
        """The client has ended with this reason and left nothing behind."""
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.successResultOf(client.terminated()), reason)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assert_terminated_once(self, handler: Recorder, reason: object) -> None:
        """``terminate`` was the last callback, and was called once, with this reason."""
        self.assertEqual(handler.arguments("terminate"), [reason])
        self.assertEqual(handler.names[-1], "terminate")


class CloseFromCallbackTests(EndCase):
    """A callback answers ``Close`` (design section 4, point 1)."""

    def close_from(self, callback: str, result: Close[Any]) -> tuple[wsx.Client[Any], Recorder]:
        self.setUp()
        handler = Recorder(**{callback: result})
        client = self.open(handler, 0)
        if callback in TRIGGERS:
            TRIGGERS[callback](self, client)
            self.step()
        return client, handler

    def test_close_from_each_callback(self) -> None:
        """[C4] [D1] ``Close`` from each callback starts the closing handshake with code 1000."""
        for callback in ("handle_connect", *TRIGGERS):
            client, handler = self.close_from(callback, Close(1))
            self.assertEqual(close_frames(self.peer), [(1000, "")], callback)
            self.assertEqual(client.status, "closing", callback)
            self.assertEqual(reasons(handler), [], callback)
            self.peer.send(close(1000))
            self.lose()
            self.assertEqual(reasons(handler), [LocalClose(1000, "")], callback)
            self.assertEqual(handler.calls[-1][2], 1, callback)
            self.assert_ended(client, LocalClose(1000, ""))

    def test_close_with_code_and_message_from_each_callback(self) -> None:
        """[C4] [D1] ``Close`` with a code and a message says them to the peer and to us."""
        for callback in ("handle_connect", *TRIGGERS):
            client, handler = self.close_from(callback, Close(1, 4321, "adé"))
            self.assertEqual(close_frames(self.peer), [(4321, "adé")], callback)
            self.lose()
            self.assertEqual(reasons(handler), [LocalClose(4321, "adé")], callback)
            self.assert_ended(client, LocalClose(4321, "adé"))

    def test_asynchronous_close(self) -> None:
        """[C4] ``Close`` may come from a coroutine."""
        handler = Recorder(handle_frame=answering(Close(1, 4000, "later")))
        self.open(handler)
        self.peer.send(text("x"))
        self.assertEqual(close_frames(self.peer), [(4000, "later")])

    def test_every_code_that_may_be_sent(self) -> None:
        """[C4] 1001 and 1011, too, may be sent by a callback."""
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999):
            _, handler = self.close_from("handle_cast", Close(1, code))
            self.assertEqual(close_frames(self.peer), [(code, "")], code)
            self.lose()
            self.assertEqual(reasons(handler), [LocalClose(code, "")], code)

    def test_message_of_123_bytes(self) -> None:
        """A close message of exactly 123 bytes is sent whole."""
        self.close_from("handle_cast", Close(1, 1000, "a" * 123))
        self.assertEqual(close_frames(self.peer), [(1000, "a" * 123)])

    def test_close_that_cannot_be_encoded(self) -> None:
        """A bad code or message from a callback: close 1011, FrameEncodeError to the handler."""
        bad: list[tuple[Any, Any]] = [
            *((code, "") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000", None)),
            *((1000, message) for message in ("a" * 124, "é" * 62, "\ud800", b"bytes", None)),
        ]
        for code, message in bad:
            _, handler = self.close_from("handle_frame", Close(1, code, message))
            [(sent, _)] = close_frames(self.peer)
            self.assertEqual(sent, 1011, (code, message))
            self.lose()
            [reason] = reasons(handler)
            self.assertIsInstance(reason, wsx.FrameEncodeError, (code, message))
            self.assertEqual((reason.frame_type, reason.close_code), ("close", code))

    def test_replies_before_the_close_go_out_first(self) -> None:
        """Replies to earlier frames of the same read are sent, and then the close frame."""
        handler = Recorder(
            handle_frame=lambda frame, state: (
                Close(state) if frame == Text("quit") else Reply(frame, state)
            )
        )
        self.open(handler)
        self.peer.send(text("a") + text("quit"))
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [1, 8])


class CloseTimeoutTests(EndCase):
    """The closing handshake takes ``close_timeout`` at most."""

    def test_close_answered_late(self) -> None:
        """[D1] a peer that does not answer our close frame in time is cut off: LocalClose."""
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
        """[D1] a peer that answers the close frame but keeps TCP open is cut off as well."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        client.close()
        self.peer.send(close(1000))
        self.clock.advance(3.0)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])

    def test_peer_closes_but_tcp_stays(self) -> None:
        """[D1] after the peer's close frame, TCP is cut by us once ``close_timeout`` is over."""
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
        """``close_timeout`` is 5 seconds unless told otherwise."""
        client = self.open(Recorder())
        client.close()
        self.clock.advance(4.9)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.peer.transport.aborted)

    def test_timer_does_not_reach_the_next_connection(self) -> None:
        """The close timer of one connection ends with it."""
        handler = reconnecting(after=0.0)
        client = self.open(handler, close_timeout=3.0)
        client.close()
        self.clock.advance(2.9)
        self.come_back(after=0.0)
        self.clock.advance(10)
        self.assertEqual(client.status, "open")
        self.assertFalse(self.peer.transport.aborted)

    def test_flood_after_our_close_frame(self) -> None:
        """A server that goes on sending after our close frame is not heard, and cut in time."""
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
        """What breaks the protocol after our close frame changes nothing."""
        handler = Recorder()
        client = self.open(handler)
        client.close()
        self.peer.send(BAD_FRAME)
        self.lose()
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])

    def test_keepalive_is_silent_while_closing(self) -> None:
        """After the close frame no keepalive ping is sent, and its time-out is no reason."""
        handler = Recorder()
        client = self.open(handler, ping_interval=1.0, ping_timeout=1.0, data_timeout=1.0)
        client.close()
        self.pass_time(4.5)
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.lose()
        self.assertEqual(reasons(handler), [LocalClose(1000, "")])


class RemoteEndTests(EndCase):
    """The peer or the network ends the connection (design section 4, points 2 to 4)."""

    def test_remote_close(self) -> None:
        """[D1] the peer's close frame is answered with its code and told to the handler."""
        for code, message in [(1000, ""), (1001, "away"), (1011, "é"), (3000, ""), (4999, "x")]:
            self.setUp()
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
        """[D1] a close frame without a code is answered likewise, and is a 1005 here."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.send(close())
        self.assertEqual(close_frames(self.peer), [(None, "")])
        self.lose()
        self.assert_ended(client, RemoteClose(1005, ""))
        self.assertEqual(reasons(handler), [RemoteClose(1005, "")])

    def test_drop(self) -> None:
        """[D1] TCP ends without a close frame: ConnectionDropped, with the original."""
        for error in (ConnectionDone(), ConnectionLost()):
            self.setUp()
            handler = Recorder()
            client = self.open(handler, "state")
            self.peer.drop(error)
            self.step()
            self.assertEqual(reasons(handler), [ConnectionDropped(error)])
            self.assertEqual(handler.calls[-1], ("terminate", ConnectionDropped(error), "state"))
            self.assertEqual(self.peer.received(), [])
            self.assert_ended(client, ConnectionDropped(error))

    def test_drop_while_closing(self) -> None:
        """[D1] TCP that ends during the closing handshake does not change the reason."""
        handler = Recorder()
        client = self.open(handler)
        client.close(4000, "bye")
        self.peer.drop(ConnectionLost())
        self.step()
        self.assertEqual(reasons(handler), [LocalClose(4000, "bye")])
        self.setUp()
        handler = Recorder()
        self.open(handler)
        self.peer.send(close(4001))
        self.peer.drop(ConnectionLost())
        self.step()
        self.assertEqual(reasons(handler), [RemoteClose(4001, "")])

    def test_both_sides_close(self) -> None:
        """[D1] a peer's close frame that crosses ours does not change the reason."""
        handler = Recorder()
        client = self.open(handler)
        client.close(4000)
        self.peer.send(close(4001))
        self.lose()
        self.assertEqual(close_frames(self.peer), [(4000, "")])
        self.assertEqual(reasons(handler), [LocalClose(4000, "")])

    def test_protocol_errors(self) -> None:
        """A frame that breaks the protocol: close 1002, 1007 or 1009, then FrameError."""
        wrong = {
            BAD_FRAME: 1002,
            server_frame(1, b"\xff"): 1007,
            server_frame(2, b"x" * 101): 1009,
        }
        for data, code in wrong.items():
            self.setUp()
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
        """After a protocol error, too, TCP is cut once ``close_timeout`` is over."""
        handler = Recorder()
        self.open(handler, close_timeout=3.0)
        self.peer.send(BAD_FRAME)
        self.clock.advance(3.0)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertIsInstance(reasons(handler)[0], wsx.FrameError)

    def test_replies_that_cannot_be_encoded(self) -> None:
        """A ``Reply`` that cannot be encoded: close 1011, and the error to the handler."""
        replies: list[tuple[Any, type[Exception]]] = [
            (Ping(b"x" * 126), wsx.FrameEncodeError),
            (Text("\ud800"), wsx.FrameEncodeError),
            (Text(5), wsx.InvalidFrameError),  # type: ignore[arg-type]
            ("text", wsx.InvalidFrameError),
            ([Text("fine"), Binary("text")], wsx.InvalidFrameError),  # type: ignore[arg-type]
        ]
        for reply, error in replies:
            self.setUp()
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

    def test_unencodable_reply_of_each_callback(self) -> None:
        """A bad ``Reply`` is told to ``handle_disconnect`` whichever callback gave it."""
        for callback in ("handle_connect", *TRIGGERS):
            self.setUp()
            handler = Recorder(**{callback: Reply(Ping(b"x" * 126), 1)})
            client = self.open(handler, 0)
            if callback in TRIGGERS:
                TRIGGERS[callback](self, client)
                self.step()
            self.lose()
            self.assertIsInstance(reasons(handler)[0], wsx.FrameEncodeError, callback)

    def test_reply_to_a_dead_connection(self) -> None:
        """[C5] a reply that finds its connection gone leads to ``handle_disconnect``, no crash."""
        for callback, trigger in TRIGGERS.items():
            self.setUp()
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
        """``handle_connect`` answers before ``handle_disconnect`` of the same connection."""
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


class LastFramesTests(EndCase):
    """Frames that arrived whole before the end are delivered before ``handle_disconnect``."""

    def frames_then(self, end: bytes, **options: Any) -> Recorder:
        """Sends two messages and more in one read, then drops TCP."""
        handler = Recorder(handle_frame=lambda frame, state: Reply(frame, [*state, frame]))
        self.open(handler, [], **options)
        self.peer.send(text("a") + text("b") + end)
        self.lose()
        return handler

    def test_frames_before_the_end_of_the_same_read(self) -> None:
        """Messages of the read that ends the connection are delivered first, with their state."""
        for end in (b"", close(1000), BAD_FRAME, server_frame(1, b"\xff"), text("c")[:2]):
            self.setUp()
            handler = self.frames_then(end)
            self.assertEqual(handler.arguments("handle_frame"), [Text("a"), Text("b")], end)
            self.assertEqual(handler.names[3:], ["handle_disconnect", "terminate"], end)
            self.assertEqual(handler.calls[-1][2], [Text("a"), Text("b")], end)

    def end_with_frames_waiting(self, end: Callable[[wsx.Client[Any]], None], wire: bytes) -> Any:
        """Ends the connection while one message is being handled and another waits."""
        self.setUp()
        self.answer: Deferred[Any] = Deferred()
        handler = Recorder(
            handle_frame=lambda frame, state: (
                self.answer if frame == Text("a") else Reply(Text("lost"), state + 1)
            )
        )
        client = self.open(handler, 0)
        self.peer.send(text("a") + text("b") + wire)
        end(client)
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame"])
        return handler

    def ends(self) -> list[tuple[str, Callable[[wsx.Client[Any]], None], bytes, type]]:
        return [
            ("drop", lambda client: self.peer.drop(), b"", ConnectionDropped),
            ("peer's close", lambda client: self.peer.drop(), close(1001), RemoteClose),
            ("bad frame", lambda client: self.peer.drop(), BAD_FRAME, wsx.FrameError),
            ("our close", lambda client: self.close_and_drop(client), b"", LocalClose),
        ]

    def close_and_drop(self, client: wsx.Client[Any]) -> None:
        client.close()
        self.peer.drop()

    def test_frames_waiting_for_a_pending_callback(self) -> None:
        """Waiting messages are delivered before ``handle_disconnect``; states are kept."""
        for name, end, wire, kind in self.ends():
            handler = self.end_with_frames_waiting(end, wire)
            self.answer.callback(Ok(10))
            self.step()
            self.assertEqual(handler.calls[2], ("handle_frame", Text("b"), 10), name)
            self.assertEqual(handler.names[3:], ["handle_disconnect", "terminate"], name)
            self.assertIsInstance(reasons(handler)[0], kind, name)
            self.assertEqual(handler.calls[-1][2], 11, name)
            self.assertNotIn(1, [opcode for opcode, _ in self.peer.received()], name)

    def test_late_answers_of_other_kinds(self) -> None:
        """A ``Close`` or a bad ``Reply`` that comes after the end does not change the reason."""
        late: list[Any] = [Close(10, 4000), Reply(Ping(b"x" * 126), 10), Reply(Text("x"), 10)]
        for result in late:
            for name, end, wire, kind in self.ends():
                handler = self.end_with_frames_waiting(end, wire)
                self.answer.callback(result)
                self.step()
                self.assertEqual(len(handler.arguments("handle_frame")), 2, (name, result))
                self.assertIsInstance(reasons(handler)[0], kind, (name, result))
                self.assertEqual(handler.calls[-1][2], 11, (name, result))

    def test_waiting_frames_while_still_closing(self) -> None:
        """Waiting messages are delivered while the closing handshake is still under way."""
        handler = self.end_with_frames_waiting(lambda client: None, close(1001))
        self.answer.callback(Ok(10))
        self.step()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "handle_frame"])
        self.lose()
        self.assertEqual(reasons(handler), [RemoteClose(1001, "")])

    def test_crash_in_a_waiting_frame(self) -> None:
        """A callback that raises after the end ends the client, without ``handle_disconnect``."""
        for name, end, wire, _ in self.ends():
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
        """Messages that had arrived when a callback answered ``Close`` are still delivered."""
        handler = Recorder(
            handle_frame=lambda frame, state: (
                Close(state + 1) if frame == Text("a") else Reply(Text("lost"), state + 1)
            )
        )
        self.open(handler, 0)
        self.peer.send(text("a") + text("b"))
        self.peer.send(text("after our close frame"))
        self.lose()
        self.assertEqual(handler.arguments("handle_frame"), [Text("a"), Text("b")])
        self.assertEqual(handler.calls[-1][2], 2)
        self.assertEqual(close_frames(self.peer), [(1000, "")])

    def test_frames_behind_the_handshake_that_is_answered_with_close(self) -> None:
        """[C4] so are those that came with the response, where ``handle_connect`` closes."""
        handler = Recorder(handle_connect=Close(1))
        self.start(handler, 0)
        self.peer.answer(text("a"))
        self.lose()
        self.assertEqual(
            handler.names, ["handle_connect", "handle_frame", "handle_disconnect", "terminate"]
        )

    def test_nothing_after_our_close_frame(self) -> None:
        """Nothing that arrives once our close frame is out is delivered, nor answered."""
        arriving = (text("x"), server_frame(9, b"p"), server_frame(10, b"p"), BAD_FRAME)
        for data in arriving:
            self.setUp()
            handler = Recorder()
            client = self.open(handler)
            client.close()
            self.peer.send(data)
            self.lose()
            self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])
            self.assertEqual(close_frames(self.peer), [(1000, "")])

    def test_nothing_after_the_answer_to_the_peers_close_frame(self) -> None:
        """Data behind the peer's own close frame is thrown away."""
        handler = Recorder()
        self.open(handler)
        self.peer.send(close(1000) + text("same read"))
        self.peer.send(text("next read"))
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])

    def test_reading_goes_on_while_closing(self) -> None:
        """A connection whose reading was paused reads again, so that its end is noticed."""
        handler = self.end_with_frames_waiting(lambda client: None, b"")
        self.assertTrue(self.peer.transport.reading_paused)
        handler.client.close()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_messages_wait_for_the_next_connection(self) -> None:
        """Casts that wait when the connection ends are delivered on the next one, in order."""
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
        """Frames of the old connection come before its end, and none on the next one."""
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


class ClientCloseTests(EndCase):
    """``client.close()`` in every state."""

    def test_open(self) -> None:
        """On an open connection: as a callback's ``Close``; its Deferred fires at TCP's end."""
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
        """``close`` is served at once while a callback is pending; that goes on undisturbed."""
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
        """``close`` inside a callback takes the callback's state, and drops its reply."""
        handler = Recorder(
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
        """A callback may wait for the end of its own connection."""

        async def close_now(message: Any, state: Any) -> Any:
            await handler.client.close(4000)
            return Ok("closed")

        handler = Recorder(handle_cast=close_now)
        client = self.open(handler)
        client.cast("x")
        self.step()
        self.lose()
        self.assertEqual(handler.calls[-1], ("terminate", LocalClose(4000, ""), "closed"))

    def test_connecting_first(self) -> None:
        """While first connecting: the attempt is given up, and ``start`` fails with LocalClose."""
        for silent in (True, False):
            self.setUp()
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
        """With ``handle_initial_conn_failure`` the given-up attempt goes to the handler."""
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
        """A client started with ``async_`` ends with LocalClose, and ``terminate``."""
        handler = Recorder()
        client = self.successResultOf(self.start(handler, async_=True))
        client.close()
        self.assert_ended(client, LocalClose(1000, ""))
        self.assertEqual(handler.names, ["terminate"])

    def test_reconnecting(self) -> None:
        """While connecting again: the attempt counts as lost with LocalClose."""
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
        """While waiting for the next attempt: that is given up, with LocalClose."""
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
        """A second ``close`` sends nothing more; the first reason counts; both Deferreds fire."""
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
        """``close`` after the peer's close frame changes nothing, and waits for the end."""
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
        """While ``handle_disconnect`` is pending there is no connection: fired at once."""
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
        """On an ended client ``close`` does nothing, and its Deferred has fired."""
        handler = Recorder()
        client = self.open(handler)
        self.lose()
        calls = list(handler.calls)
        self.assertIsNone(self.successResultOf(client.close()))
        self.step()
        self.assertEqual(handler.calls, calls)
        self.assertEqual(client.status, "terminated")

    def test_bad_code_or_message_harms_the_caller_only(self) -> None:
        """A bad code or message fails the Deferred; the connection stays open."""
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
        """Cancelling the Deferred gives up waiting, not closing."""
        client = self.open(Recorder())
        closed = client.close()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))

    def test_racing_for_the_end(self) -> None:
        """Whoever is told of the end first may cancel the others, as ``race`` does."""
        client = self.open(Recorder())
        closing = race([client.close(), client.close()])
        ending = race([client.terminated(), client.terminated()])
        self.lose()
        self.assertEqual(self.successResultOf(closing), (0, None))
        self.assertEqual(self.successResultOf(ending), (0, LocalClose(1000, "")))


class StopTests(EndCase):
    """``client.stop()`` in every state."""

    def test_open(self) -> None:
        """Stop: close frame 1001, the peer's answer, ``terminate``, no ``handle_disconnect``."""
        handler = Recorder()
        client = self.open(handler, "state")
        stopped = client.stop("maintenance")
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.assertEqual(client.status, "closing")
        self.peer.send(close(1001))
        self.step()
        self.assertNoResult(stopped)
        self.lose()
        self.assertEqual(self.successResultOf(stopped), Shutdown("maintenance"))
        self.assertEqual(handler.calls[1:], [("terminate", Shutdown("maintenance"), "state")])
        self.assert_ended(client, Shutdown("maintenance"))

    def test_peer_does_not_answer(self) -> None:
        """Stop waits for the peer ``close_timeout`` at most."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        client.stop()
        self.clock.advance(2.9)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.2)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assert_ended(client, Shutdown(""))

    def test_nothing_is_delivered_any_more(self) -> None:
        """After stop no frame, cast or info is delivered, also none that waited."""
        handler = Recorder()
        client = self.open(handler)
        client.cast("waiting")
        client.stop()
        self.peer.send(text("x") + server_frame(9))
        self.step()
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "terminate"])
        self.assertEqual(close_frames(self.peer), [(1001, "")])

    def test_connecting_first(self) -> None:
        """While first connecting: ``start`` fails, TCP is given up, nothing is called."""
        for silent in (True, False):
            self.setUp()
            self.server.silent = silent
            handler = Recorder()
            started = self.start(handler)
            stopped = handler.client.stop("x")
            self.step()
            error = self.failureResultOf(started, wsx.ClientEnded).value
            self.assertEqual(error.reason, Shutdown("x"))
            self.assertEqual(self.successResultOf(stopped), Shutdown("x"))
            self.assertEqual(handler.calls, [])
            if silent:
                self.assertEqual(self.server.cancelled, 1)
            else:
                self.assertTrue(self.peer.transport.aborted)
            self.assert_ended(handler.client, Shutdown("x"))

    def test_connecting_asynchronously(self) -> None:
        """While first connecting with ``async_``: ``terminate`` is called."""
        handler = Recorder()
        client = self.successResultOf(self.start(handler, async_=True))
        client.stop()
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(handler.names, ["terminate"])

    def test_reconnecting(self) -> None:
        """While connecting again: the attempt is given up, ``terminate`` is called."""
        handler = reconnecting()
        client = self.open(handler)
        self.lose()
        self.clock.advance(1)
        client.stop()
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(self.peer.transport.value().count(b"\r\n\r\n"), 1, "only the request")
        self.assert_ended(client, Shutdown(""))
        self.assert_terminated_once(handler, Shutdown(""))

    def test_waiting_to_reconnect(self) -> None:
        """While waiting for the next attempt: there is none."""
        handler = reconnecting(after=9.0)
        client = self.open(handler)
        self.lose()
        client.stop()
        self.assert_ended(client, Shutdown(""))
        self.assert_terminated_once(handler, Shutdown(""))
        self.assertEqual(self.server.attempts, 1)

    def test_closing(self) -> None:
        """While closing: no second close frame, no ``handle_disconnect``; the timer goes on."""
        for begin in (lambda client: client.close(), lambda client: self.peer.send(close(1000))):
            self.setUp()
            handler = Recorder()
            client = self.open(handler, close_timeout=3.0)
            begin(client)
            self.clock.advance(2)
            stopped = client.stop()
            self.assertEqual(close_frames(self.peer), [(1000, "")])
            self.clock.advance(1)
            self.step()
            self.assertEqual(self.successResultOf(stopped), Shutdown(""))
            self.assertEqual(handler.names, ["handle_connect", "terminate"])
            self.assert_ended(client, Shutdown(""))

    def test_closing_with_a_pending_callback(self) -> None:
        """While closing, too, a pending callback is cancelled, and what waits is dropped."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda frame, state: answer)
        client = self.open(handler)
        self.peer.send(text("a") + text("b") + close(1000))
        client.stop()
        self.step()
        self.assertTrue(answer.called)
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "terminate"])
        self.assert_ended(client, Shutdown(""))

    def test_before_handle_disconnect(self) -> None:
        """Between the loss and ``handle_disconnect``: that is not called any more."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.drop()
        client.stop()
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(handler.names, ["handle_connect", "terminate"])

    def test_while_handle_disconnect_is_pending(self) -> None:
        """A pending ``handle_disconnect`` is cancelled."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_disconnect=lambda status, state: answer)
        client = self.open(handler)
        self.lose()
        client.stop()
        self.assert_ended(client, Shutdown(""))
        self.assertTrue(answer.called)
        self.assert_terminated_once(handler, Shutdown(""))

    def test_while_terminate_is_pending(self) -> None:
        """While ``terminate`` is pending: it is waited for, the first reason counts."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(terminate=lambda reason, state: answer)
        client = self.open(handler)
        client.close()
        self.lose()
        stopped = client.stop()
        self.step()
        self.assertNoResult(stopped)
        answer.callback(None)
        self.assertEqual(self.successResultOf(stopped), LocalClose(1000, ""))
        self.assert_ended(client, LocalClose(1000, ""))
        self.assert_terminated_once(handler, LocalClose(1000, ""))

    def test_terminated(self) -> None:
        """On an ended client: its reason, at once."""
        handler = Recorder()
        client = self.open(handler)
        client.close(4000)
        self.lose()
        self.assertEqual(self.successResultOf(client.stop()), LocalClose(4000, ""))
        self.assert_ended(client, LocalClose(4000, ""))
        self.assert_terminated_once(handler, LocalClose(4000, ""))

    def test_second_stop(self) -> None:
        """A second stop sends nothing more; both Deferreds fire, with the first's reason."""
        handler = Recorder()
        client = self.open(handler)
        first, second = client.stop("first"), client.stop("second")
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.lose()
        self.assertEqual(self.successResultOf(first), Shutdown("first"))
        self.assertEqual(self.successResultOf(second), Shutdown("first"))
        self.assert_terminated_once(handler, Shutdown("first"))

    def test_close_after_stop(self) -> None:
        """``close`` after ``stop`` changes nothing, and waits for the connection's end."""
        handler = Recorder()
        client = self.open(handler)
        client.stop()
        closed = client.close(4000)
        self.assertNoResult(closed)
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.lose()
        self.successResultOf(closed)
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(handler.names, ["handle_connect", "terminate"])

    def test_pending_callback_is_cancelled(self) -> None:
        """A pending callback, Deferred or coroutine, is cancelled; its answer counts no more."""
        for callback, trigger in TRIGGERS.items():
            self.setUp()
            waiting: Deferred[Any] = Deferred()
            cancelled: list[str] = []

            async def wait(
                argument: Any,
                state: Any,
                waiting: Deferred[Any] = waiting,
                cancelled: list[str] = cancelled,
            ) -> Any:
                try:
                    await waiting
                except CancelledError:
                    cancelled.append("cancelled")
                return Reply(Text("too late"), "new")

            handler = Recorder(**{callback: wait})
            client = self.open(handler, "old")
            trigger(self, client)
            self.step()
            stopped = client.stop()
            self.assertEqual([code for code, _ in close_frames(self.peer)], [1001], callback)
            self.step()
            self.assertEqual(cancelled, ["cancelled"], callback)
            self.assertEqual(self.peer.received(), [], callback)
            self.lose()
            self.successResultOf(stopped)
            self.assertEqual(handler.names, ["handle_connect", callback, "terminate"])
            self.assert_ended(client, Shutdown(""))

    def test_cancelled_deferred(self) -> None:
        """A callback's plain Deferred is cancelled, and that is no error in the log."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_cast=lambda message, state: answer)
        client = self.open(handler)
        client.cast("x")
        self.step()
        client.stop()
        self.step()
        self.assertTrue(answer.called)
        self.lose()
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_callback_that_does_not_let_itself_be_cancelled(self) -> None:
        """A callback that swallows its cancellation and waits on does not hold up the end."""
        forever: Deferred[Any] = Deferred()

        async def stubborn(message: Any, state: Any) -> Any:
            try:
                await Deferred()
            except CancelledError:
                await forever

        handler = Recorder(handle_cast=stubborn)
        client = self.open(handler)
        client.cast("x")
        self.step()
        client.stop()
        self.step()
        self.lose()
        self.assert_ended(client, Shutdown(""))
        self.assert_terminated_once(handler, Shutdown(""))
        forever.callback(None)
        self.assert_terminated_once(handler, Shutdown(""))

    def test_pending_first_handle_connect(self) -> None:
        """Stop while the first ``handle_connect`` is pending: ``start`` fails, no terminate."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_connect=lambda conn, state: answer)
        started = self.start(handler)
        self.accept()
        handler.client.stop("x")
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.step()
        self.lose()
        self.assertTrue(answer.called)
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown("x"))
        self.assertEqual(handler.names, ["handle_connect"])
        self.assert_ended(handler.client, Shutdown("x"))

    def stop_inside(self, callback: str, result: Any) -> Recorder:
        """Has a callback stop its client and answer with this, then drops TCP."""
        self.setUp()

        def stop(argument: Any, state: Any) -> Any:
            handler.client.stop("enough")
            self.assertNotIn("terminate", handler.names, "a callback inside a callback")
            return result

        handler = Recorder(**{callback: stop})
        client = self.open(handler, "old")
        TRIGGERS[callback](self, client)
        self.step()
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001], callback)
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", callback, "terminate"])
        self.assert_ended(client, Shutdown("enough"))
        return handler

    def test_inside_a_callback_with_more_frames_of_the_same_read(self) -> None:
        """Stop inside a callback: the frames behind it, in the same read, are not delivered."""
        handler = Recorder(handle_frame=lambda frame, state: handler.client.stop() and None)
        self.open(handler)
        self.peer.send(text("a") + text("b") + server_frame(9))
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "terminate"])

    def test_inside_each_callback(self) -> None:
        """Stop inside a callback that answers None, or asks for something: that is dropped."""
        for callback in TRIGGERS:
            for result in (None, Reply(Text("dropped"), "new"), Close("new", 4000)):
                handler = self.stop_inside(callback, result)
                self.assert_terminated_once(handler, Shutdown("enough"))

    def test_state_of_a_callback_that_stops(self) -> None:
        """[C3] the state with which such a callback answers reaches ``terminate``."""
        for callback in TRIGGERS:
            for result in (Ok("new"), Reply(Text("dropped"), "new")):
                handler = self.stop_inside(callback, result)
                self.assertEqual(handler.calls[-1][2], "new", (callback, result))

    def test_inside_handle_connect(self) -> None:
        """Stop inside the first ``handle_connect``: ``start`` fails, no ``terminate``."""
        handler = Recorder(handle_connect=lambda conn, state: handler.client.stop("x") and None)
        started = self.start(handler)
        self.accept()
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.lose()
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown("x"))
        self.assertEqual(handler.names, ["handle_connect"])
        self.assert_ended(handler.client, Shutdown("x"))

    def test_inside_handle_disconnect(self) -> None:
        """Stop inside ``handle_disconnect`` wins over its ``Reconnect``."""
        handler = Recorder(
            handle_disconnect=lambda status, state: handler.client.stop() and Reconnect(1, after=0)
        )
        client = self.open(handler)
        self.lose()
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])
        self.assertEqual(self.server.attempts, 1)

    def test_inside_terminate(self) -> None:
        """Stop inside ``terminate`` changes nothing."""
        handler = Recorder(terminate=lambda reason, state: handler.client.stop() and None)
        client = self.open(handler)
        client.close()
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))
        self.assert_terminated_once(handler, LocalClose(1000, ""))

    def await_stop_inside(self, first: Deferred[Any]) -> None:
        """Has a coroutine wait for ``first``, and then for its own client's end."""
        outcome: list[BaseException] = []

        async def stop(message: Any, state: Any) -> None:
            await first
            try:
                await handler.client.stop()
            except CancelledError as error:
                outcome.append(error)
                raise

        handler = Recorder(handle_cast=stop)
        client = self.open(handler)
        client.cast("x")
        self.step()
        if not first.called:
            first.callback(None)
            self.step()
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.lose()
        self.assertEqual(len(outcome), 1)
        self.assert_ended(client, Shutdown(""))
        self.assert_terminated_once(handler, Shutdown(""))

    def test_awaited_inside_a_coroutine(self) -> None:
        """A callback that awaits its own client's end is cancelled, and nothing hangs."""
        self.await_stop_inside(succeed(None))
        self.setUp()
        self.await_stop_inside(Deferred())

    def test_cancelling_its_deferred(self) -> None:
        """Cancelling the Deferred gives up waiting, not stopping."""
        client = self.open(Recorder())
        stopped = client.stop()
        stopped.cancel()
        self.failureResultOf(stopped, CancelledError)
        self.lose()
        self.assert_ended(client, Shutdown(""))

    def test_send_after_ends_with_the_client(self) -> None:
        """What ``send_after`` was to deliver is dropped, and its timer with it."""
        handler = Recorder()
        client = self.open(handler)
        call = client.send_after(60, "late")
        client.stop()
        self.lose()
        self.assertFalse(call.active())
        self.assert_ended(client, Shutdown(""))

    def test_send_after_that_is_due_while_ending(self) -> None:
        """What is due while the closing handshake is under way is dropped as well."""
        for begin in (
            lambda client: client.stop(),
            lambda client: self.peer.send(text("raise")),
        ):
            self.setUp()
            handler = Recorder(handle_frame=Exit())
            client = self.open(handler)
            client.send_after(1, "late")
            begin(client)
            self.clock.advance(2)
            self.lose()
            self.assertNotIn("handle_info", handler.names)
            self.assertEqual(client.status, "terminated")


class CrashTests(EndCase):
    """A callback raises, answers nonsense, or raises ``Exit`` (design section 4, point 6)."""

    def crash(self, callback: str, answer: Any) -> tuple[wsx.Client[Any], Recorder, list[Any]]:
        """Has a callback answer so on a second connection; gives the close codes sent."""
        self.setUp()
        answers = {"handle_disconnect": Reconnect("state", after=1.0)}
        handler = Recorder(**answers)
        client = self.open(handler, "state")
        self.lose()
        handler.answers[callback] = answer
        self.clock.advance(1)
        self.accept()
        if callback in TRIGGERS:
            TRIGGERS[callback](self, client)
            self.step()
        handler.calls = [call for call in handler.calls if call[0] != "handle_connect"]
        codes = [code for code, _ in close_frames(self.peer)]
        self.assertEqual(client.status, "closing", callback)
        self.assertNotIn("terminate", handler.names, "not before the connection's end")
        self.lose()
        return client, handler, codes

    def assert_no_second_disconnect(self, handler: Recorder) -> None:
        self.assertEqual(handler.names.count("handle_disconnect"), 1)

    def test_exception(self) -> None:
        """[C6] [D2] an exception: close 1011, ``terminate`` once, the client ends with it."""
        for callback in ("handle_connect", *TRIGGERS):
            for make in (lambda error: error, raising):
                boom = Boom(callback)
                client, handler, codes = self.crash(callback, make(boom))
                self.assertEqual(codes, [1011], callback)
                self.assertEqual(len(self.flushLoggedErrors(Boom)), 1, callback)
                self.assert_no_second_disconnect(handler)
                self.assert_terminated_once(handler, boom)
                self.assert_ended(client, boom)

    def test_failed_deferred(self) -> None:
        """[C6] a Deferred that fails is an exception as well."""
        boom = Boom()
        answer: Deferred[Any] = Deferred()
        client = self.open(Recorder(handle_cast=lambda message, state: answer))
        client.cast("x")
        self.step()
        answer.errback(boom)
        self.step()
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1011])
        self.lose()
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assert_ended(client, boom)

    def test_bad_result(self) -> None:
        """[C6] [D2] nonsense: close 1011, ``terminate(BadResponseError)``, the end."""
        for callback in ("handle_connect", *TRIGGERS):
            for result in ("nonsense", Reconnect("state"), Ok, True, (Ok(1), 2)):
                for answer in (lambda argument, state, r=result: r, answering(result)):
                    if result is Ok and callback == "handle_connect":
                        continue
                    client, handler, codes = self.crash(callback, answer)
                    self.assertEqual(codes, [1011], (callback, result))
                    self.assertEqual(len(self.flushLoggedErrors(wsx.BadResponseError)), 1)
                    [reason] = handler.arguments("terminate")
                    self.assertIsInstance(reason, wsx.BadResponseError, (callback, result))
                    self.assertIs(reason.response, result)
                    self.assertIs(reason.handler, handler)
                    self.assertEqual(reason.callback, callback)
                    self.assert_no_second_disconnect(handler)
                    self.assert_ended(client, reason)

    def test_exit(self) -> None:
        """[C6] ``Exit()``: close 1000, the normal reason, no traceback in the log."""
        for callback in ("handle_connect", *TRIGGERS):
            for answer in (Exit(), raising(Exit())):
                client, handler, codes = self.crash(callback, answer)
                self.assertEqual(codes, [1000], callback)
                self.assert_no_second_disconnect(handler)
                self.assert_terminated_once(handler, LocalClose(1000, ""))
                self.assert_ended(client, LocalClose(1000, ""))
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_exit_with_a_reason(self) -> None:
        """[C6] ``Exit(reason)``: that reason, whatever it is, and no traceback in the log."""
        for callback in ("handle_connect", *TRIGGERS):
            for reason in ("enough", Boom(), Verdict(normal=True), LocalClose(4000, "x"), 0):
                client, handler, _ = self.crash(callback, Exit(reason))
                self.assert_no_second_disconnect(handler)
                self.assert_terminated_once(handler, reason)
                self.assert_ended(client, reason)
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_peer_does_not_answer(self) -> None:
        """After a crash the peer has ``close_timeout`` to answer; then the client ends."""
        handler = Recorder(handle_frame=Boom())
        client = self.open(handler, close_timeout=3.0)
        self.peer.send(text("x"))
        self.clock.advance(2.9)
        self.step()
        self.assertEqual(client.status, "closing")
        self.clock.advance(0.2)
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_no_more_frames_are_delivered(self) -> None:
        """After a crash no frame of the same read, nor of later ones, is delivered."""
        for answer in (Boom(), "nonsense", raising(Boom())):
            self.setUp()
            handler = Recorder(handle_frame=answer)
            client = self.open(handler)
            self.peer.send(text("a") + text("b") + server_frame(9))
            self.peer.send(text("c") + close(1000))
            self.lose()
            self.assertEqual(handler.names, ["handle_connect", "handle_frame", "terminate"])
            self.assertEqual(len(self.flushLoggedErrors(Boom, wsx.BadResponseError)), 1)
            self.assertEqual(client.status, "terminated")

    def test_no_more_messages_are_delivered(self) -> None:
        """After a crash no cast or info that waited is delivered."""
        handler = Recorder(handle_cast=Boom())
        client = self.open(handler)
        client.cast("a")
        client.cast("b")
        client.info("c")
        self.step()
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_cast", "terminate"])
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_stop_after_a_crash(self) -> None:
        """Stop after a crash: the crash stays the reason, ``terminate`` runs once."""
        boom = Boom()
        handler = Recorder(handle_frame=boom)
        client = self.open(handler)
        self.peer.send(text("x"))
        stopped = client.stop()
        self.lose()
        self.assertIs(self.successResultOf(stopped), boom)
        self.assert_terminated_once(handler, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_state_before_the_crash(self) -> None:
        """``terminate`` gets the state from before the callback that failed."""
        handler = Recorder(handle_cast=Ok("second"), handle_info=Boom())
        client = self.open(handler, "first")
        client.cast("x")
        client.info("x")
        self.step()
        self.lose()
        self.assertEqual(handler.calls[-1][2], "second")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)


class NotInitialisedTests(EndCase):
    """``terminate`` is not called for a client that never was initialised (point 8)."""

    def assert_never_was(self, handler: Recorder, reason: object) -> None:
        self.assertNotIn("terminate", handler.names)
        self.assert_ended(handler.client, reason)

    def test_first_handle_connect_fails(self) -> None:
        """[C7] [C6] an exception, nonsense or Exit in the first ``handle_connect``."""
        boom = Boom()
        answers: list[tuple[Any, type[Exception]]] = [
            (boom, Boom),
            (raising(boom), Boom),
            (lambda conn, state: "nonsense", wsx.BadResponseError),
            (Exit(), wsx.ClientEnded),
            (raising(Exit("enough")), wsx.ClientEnded),
            (Exit(boom), Boom),
        ]
        for answer, kind in answers:
            self.setUp()
            handler = Recorder(handle_connect=answer)
            started = self.start(handler)
            self.accept()
            self.lose()
            error = self.failureResultOf(started, kind).value
            reason = error.reason if kind is wsx.ClientEnded else error
            self.assert_never_was(handler, reason)
            self.assertEqual(handler.names, ["handle_connect"])
            logged = 0 if isinstance(answer, Exit) or kind is wsx.ClientEnded else 1
            self.assertEqual(len(self.flushLoggedErrors()), logged, answer)

    def test_first_connection_fails(self) -> None:
        """[C7] [D4] a first connection that fails calls nothing; ``start`` fails with it."""
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder()
        started = self.start(handler)
        error = self.failureResultOf(started, wsx.ConnError).value
        self.step()
        self.assertEqual(handler.calls, [])
        self.assert_never_was(handler, error)

    def test_first_failure_is_handled_and_given_up(self) -> None:
        """[C7] [D4] ``handle_disconnect`` answers ``Ok``: ``start`` fails, no terminate."""
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder()
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        error = self.failureResultOf(started, wsx.ConnError).value
        self.assertEqual(handler.names, ["handle_disconnect"])
        self.assertEqual(reasons(handler), [error])
        self.assert_never_was(handler, error)

    def test_handling_the_first_failure_fails(self) -> None:
        """[C7] [C8] ``handle_disconnect`` raises: ``start`` fails with that, no terminate."""
        boom = Boom()
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder(handle_disconnect=boom)
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        self.assertIs(self.failureResultOf(started, Boom).value, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assert_never_was(handler, boom)

    def test_stopped_while_waiting(self) -> None:
        """[C7] stop between the attempts of a first connection: no terminate."""
        self.server.refusal = ConnectionRefusedError()
        handler = reconnecting()
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        handler.client.stop()
        self.failureResultOf(started, wsx.ClientEnded)
        self.assert_never_was(handler, Shutdown(""))

    def test_asynchronously_started(self) -> None:
        """[C7] a client started with ``async_`` is initialised from the beginning."""
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder()
        client = self.successResultOf(self.start(handler, async_=True))
        self.step()
        self.assertEqual(handler.names, ["terminate"])
        [reason] = handler.arguments("terminate")
        self.assertIsInstance(reason, wsx.ConnError)
        self.assert_ended(client, reason)

    def test_asynchronously_started_and_crashed(self) -> None:
        """[C7] [C6] so ``terminate`` is called when its first ``handle_connect`` raises."""
        boom = Boom()
        handler = Recorder(handle_connect=boom)
        client = self.successResultOf(self.start(handler, async_=True))
        self.accept()
        self.lose()
        self.assert_terminated_once(handler, boom)
        self.assert_ended(client, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)


class HandleDisconnectTests(EndCase):
    """What ``handle_disconnect`` answers, and what becomes of it (point 7)."""

    def test_ok(self) -> None:
        """[D5] ``Ok`` or None: ``terminate`` with the reason, the client ends with it."""
        for result in (Ok("new"), None):
            for answer in (result, answering(result)):
                self.setUp()
                handler = Recorder(handle_disconnect=answer)
                client = self.open(handler, "old")
                self.peer.send(close(1001, "bye"))
                self.lose()
                state = "old" if result is None else "new"
                reason = RemoteClose(1001, "bye")
                self.assertEqual(handler.calls[-1], ("terminate", reason, state))
                self.assert_terminated_once(handler, reason)
                self.assert_ended(client, reason)

    def test_raises(self) -> None:
        """[C8] an exception in ``handle_disconnect`` ends the client with it."""
        boom = Boom()
        for answer in (boom, raising(boom)):
            self.setUp()
            handler = Recorder(handle_disconnect=answer)
            client = self.open(handler)
            self.lose()
            self.assert_terminated_once(handler, boom)
            self.assert_ended(client, boom)
            self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_bad_result(self) -> None:
        """[C8] nonsense in ``handle_disconnect`` ends the client with a BadResponseError."""
        bad = [
            Reply(Text("x"), 0),
            Close(0),
            "nonsense",
            Reconnect(0, after=-1),
            Reconnect(0, after=float("inf")),
            Reconnect(0, after=float("nan")),
            Reconnect(0, after="1"),  # type: ignore[arg-type]
            Reconnect(0, conn="ws://example.test"),  # type: ignore[arg-type]
        ]
        for result in bad:
            self.setUp()
            handler = Recorder(handle_disconnect=result)
            client = self.open(handler)
            self.lose()
            [reason] = handler.arguments("terminate")
            self.assertIsInstance(reason, wsx.BadResponseError, result)
            self.assertEqual(reason.callback, "handle_disconnect")
            self.assert_ended(client, reason)
            self.assertEqual(len(self.flushLoggedErrors(wsx.BadResponseError)), 1, result)
            self.assertEqual(self.server.attempts, 1)

    def test_exit(self) -> None:
        """[C8] ``Exit`` in ``handle_disconnect``: its reason, no traceback."""
        for error, reason in [(Exit(), LocalClose(1000, "")), (Exit("enough"), "enough")]:
            for answer in (error, raising(error)):
                self.setUp()
                handler = Recorder(handle_disconnect=answer)
                client = self.open(handler)
                self.lose()
                self.assert_terminated_once(handler, reason)
                self.assert_ended(client, reason)
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_pending(self) -> None:
        """A pending ``handle_disconnect`` is waited for; nothing else is delivered meanwhile."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_disconnect=lambda status, state: answer)
        client = self.open(handler, 0)
        self.lose()
        client.cast("waits")
        self.clock.advance(100)
        self.assertEqual(client.status, "disconnected")
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect"])
        answer.callback(Reconnect(1, after=2.0))
        self.clock.advance(2)
        self.accept()
        self.assertEqual(
            [call[::2] for call in handler.calls[2:]], [("handle_connect", 1), ("handle_cast", 1)]
        )

    def test_status_names_the_connection(self) -> None:
        """The status has the Conn of the connection that ended, with the server's answer."""
        handler = Recorder()
        client = self.open(handler)
        conn = client.conn
        self.lose()
        [status] = handler.arguments("handle_disconnect")
        self.assertEqual(status.conn, conn)
        self.assertEqual(status.conn.resp_status, 101)


class TerminateTests(EndCase):
    """``terminate`` and what it makes of the end."""

    def test_reason_and_whether_it_is_normal(self) -> None:
        """[D5] ``terminate`` gets the reason; normal and abnormal ends are told apart."""
        ends: list[tuple[Callable[[wsx.Client[Any]], Any], bool]] = [
            (lambda client: client.close(), True),
            (lambda client: client.close(1001), False),
            (lambda client: client.close(4000), False),
            (lambda client: self.peer.send(close(1000)), True),
            (lambda client: self.peer.send(close(1001)), False),
            (lambda client: self.peer.send(close()), False),
            (lambda client: self.peer.send(BAD_FRAME), False),
            (lambda client: self.peer.drop(), False),
            (lambda client: client.stop(), True),
        ]
        for index, (end, normal) in enumerate(ends):
            self.setUp()
            handler = Recorder()
            client = self.open(handler)
            end(client)
            self.lose()
            [reason] = handler.arguments("terminate")
            self.assertIs(getattr(reason, "normal", False), normal, (index, reason))
            self.assert_ended(client, reason)

    def test_exit_makes_an_abnormal_end_normal(self) -> None:
        """[D6] [C9] ``Exit()`` from ``terminate`` turns a drop into a normal end."""
        for answer in (Exit(), raising(Exit())):
            self.setUp()
            handler = Recorder(terminate=answer)
            client = self.open(handler)
            self.lose()
            self.assertIsInstance(handler.arguments("terminate")[0], ConnectionDropped)
            self.assert_ended(client, LocalClose(1000, ""))
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_exit_after_a_crash(self) -> None:
        """[D6] [C9] so it does after a crash, whose traceback is logged all the same."""
        handler = Recorder(handle_frame=Boom(), terminate=Exit())
        client = self.open(handler)
        self.peer.send(text("x"))
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_exit_with_a_reason(self) -> None:
        """[D6] [C9] ``Exit(reason)`` from ``terminate`` replaces the reason."""
        verdict = Verdict(normal=False)
        client = self.open(Recorder(terminate=Exit(verdict)))
        client.close()
        self.lose()
        self.assert_ended(client, verdict)

    def test_raises(self) -> None:
        """[C9] an exception in ``terminate``: called once, logged once, the end's reason."""
        boom = Boom()
        for answer in (boom, raising(boom)):
            self.setUp()
            handler = Recorder(terminate=answer)
            client = self.open(handler)
            self.lose()
            self.assertEqual(handler.names.count("terminate"), 1)
            self.assert_ended(client, boom)
            self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_result_is_ignored(self) -> None:
        """[C9] whatever ``terminate`` answers is ignored."""
        for result in ("nonsense", Reconnect(0), Reply(Text("x"), 0), Close(0, 4000), Ok(1)):
            for answer in (result, answering(result)):
                self.setUp()
                client = self.open(Recorder(terminate=answer))
                client.close()
                self.lose()
                self.assert_ended(client, LocalClose(1000, ""))

    def test_asynchronous_terminate_is_awaited(self) -> None:
        """The client ends once an asynchronous ``terminate`` has answered."""
        answer: Deferred[Any] = Deferred()

        async def terminate(reason: Any, state: Any) -> None:
            await answer

        client = self.open(Recorder(terminate=terminate))
        ended, again = client.terminated(), client.stop()
        self.lose()
        self.clock.advance(2)
        self.assertNoResult(ended)
        self.assertNotEqual(client.status, "terminated")
        answer.callback(None)
        self.assertEqual(self.successResultOf(ended), Shutdown(""))
        self.assertEqual(self.successResultOf(again), Shutdown(""))
        self.assert_ended(client, Shutdown(""))

    def test_runs_once_however_many_ends_there_are(self) -> None:
        """[D5] crash, close, stop and drop at the same time: one ``terminate``."""
        boom = Boom()
        handler = Recorder(handle_frame=boom)
        client = self.open(handler)
        self.peer.send(text("x") + close(1000))
        client.close(4000)
        client.stop()
        self.peer.drop()
        client.stop()
        self.assert_ended(client, boom)
        client.stop()
        self.step()
        self.assert_terminated_once(handler, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_each_terminated_is_its_own(self) -> None:
        """Each call of ``terminated`` gives a Deferred of its own, before and after the end."""
        client = self.open(Recorder())
        first, second = client.terminated(), client.terminated()
        first.addCallback(lambda reason: "changed")
        self.lose()
        self.assertEqual(self.successResultOf(first), "changed")
        self.assertIsInstance(self.successResultOf(second), ConnectionDropped)
        self.assertIsInstance(self.successResultOf(client.terminated()), ConnectionDropped)

    def test_cancelling_terminated(self) -> None:
        """Cancelling ``terminated`` harms neither the client nor the others."""
        client = self.open(Recorder())
        first, second = client.terminated(), client.terminated()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(client.status, "open")
        self.lose()
        self.assertIsInstance(self.successResultOf(second), ConnectionDropped)

    def test_an_exception_is_no_errback(self) -> None:
        """``terminated`` gives an exception as its result."""
        boom = Boom()
        client = self.open(Recorder(handle_frame=boom))
        ended = client.terminated()
        self.peer.send(text("x"))
        self.lose()
        self.assertIs(self.successResultOf(ended), boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)


class ReconnectTests(EndCase):
    """``Reconnect``: when, where to, and what is fresh."""

    def test_several_times(self) -> None:
        """[D3] a client reconnects again and again, the attempt number counting."""
        handler = reconnecting()
        client = self.open(handler)
        for number in range(1, 5):
            self.come_back()
            self.assertEqual(attempt_numbers(handler), list(range(1, number + 1)))
            self.assertEqual(client.status, "open")
        self.assertEqual(handler.names.count("handle_connect"), 5)

    def test_after(self) -> None:
        """[D3] the next attempt is made after that many seconds, not before."""
        client = self.open(reconnecting(after=7.5))
        self.lose()
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(7.4)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.2)
        self.assertEqual(self.server.attempts, 2)
        self.assertEqual(client.status, "connecting")

    def test_after_zero(self) -> None:
        """[D3] ``after=0`` is at once, though in a later step."""
        self.open(reconnecting(after=0))
        self.lose()
        self.assertEqual(self.server.attempts, 2)

    def test_without_after(self) -> None:
        """[D3] without ``after`` a healthy connection's loss is answered within a second."""
        handler = reconnecting(after=None)
        self.open(handler)
        self.clock.advance(10)
        self.lose()
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 2)

    def test_without_after_the_policy_says(self) -> None:
        """[D3] without ``after`` the client's policy says how long."""
        self.open(reconnecting(after=None), reconnect=Backoff(initial=8.0, jitter=0))
        self.lose()
        self.clock.advance(7.9)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.2)
        self.assertEqual(self.server.attempts, 2)

    def count_attempts(self, seconds: float) -> int:
        """Counts the attempts while a server accepts each of them and drops it at once."""
        known = len(self.server.peers)
        self.lose()
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)
            while len(self.server.peers) > known and self.server.attempts < 200:
                known += 1
                self.accept()
                self.lose()
        return self.server.attempts

    def test_no_hot_loop_when_the_server_accepts_and_drops(self) -> None:
        """[D3] a server that accepts and drops at once is not asked all the time."""
        self.open(reconnecting(after=None))
        attempts = self.count_attempts(10)
        self.assertGreaterEqual(attempts, 3)
        self.assertLessEqual(attempts, 10)

    def test_no_hot_loop_of_connections_that_count_as_healthy(self) -> None:
        """[D3] nor where each handshake makes healthy: a few attempts a second are enough."""
        marking = reconnecting(
            after=None, handle_connect=lambda conn, state: marking.client.mark_healthy()
        )
        for handler, options in ((marking, {}), (reconnecting(after=None), {"stable_after": 0})):
            self.setUp()
            self.open(handler, **options)
            self.assertLessEqual(self.count_attempts(5), 100, options)

    def test_no_hot_loop_when_the_server_refuses(self) -> None:
        """[D3] [D4] nor is one that refuses each attempt."""
        self.server.refusal = ConnectionRefusedError()
        self.start(reconnecting(after=None), handle_initial_conn_failure=True)
        self.pass_time(10, step=0.01)
        self.assertGreaterEqual(self.server.attempts, 3)
        self.assertLessEqual(self.server.attempts, 10)

    def test_no_hot_loop_when_the_server_closes_and_lingers(self) -> None:
        """[D3] nor one that closes at once and leaves the end of TCP to our ``close_timeout``."""
        self.open(reconnecting(after=None))
        known = 0
        for _ in range(1200):
            if len(self.server.peers) > known:
                if known:
                    self.accept()
                known += 1
                self.peer.send(close(1013))
            self.clock.advance(0.1)
            self.step()
        self.assertLessEqual(self.server.attempts, 12, "attempts in two minutes")

    def test_changed_conn(self) -> None:
        """[D3] with ``conn`` the next attempt goes there, and so do those after it."""
        answers: list[Any] = []
        handler = Recorder(handle_disconnect=lambda status, state: answers.pop(0))
        client = self.open(handler, url="ws://one.test/a")
        other = client.conn.replace(url="ws://two.test/b", close_timeout=1.0)
        answers += [Reconnect(0, other, after=1.0), Reconnect(0, after=1.0), Ok(0)]
        self.lose()
        self.clock.advance(1)
        for _ in range(2):
            line, headers = self.peer.request
            self.assertEqual((line, headers["host"]), ("GET /b HTTP/1.1", "two.test"))
            self.accept()
            self.assertEqual(client.conn.url, "ws://two.test/b")
            self.assertEqual(handler.arguments("handle_connect")[-1].url, "ws://two.test/b")
            self.lose()
            self.clock.advance(1)
        self.assertEqual(
            [status.conn.url for status in handler.arguments("handle_disconnect")],
            ["ws://one.test/a", "ws://two.test/b", "ws://two.test/b"],
        )

    def test_failing_attempts(self) -> None:
        """[D3] attempts that fail go to ``handle_disconnect`` with their reason, counting."""
        handler = reconnecting()
        self.open(handler)
        self.lose()
        self.server.refusal = ConnectionRefusedError()
        self.clock.advance(1)
        self.step()
        self.server.refusal = None
        self.clock.advance(1)
        refuse(self.peer, 503)
        self.step()
        self.clock.advance(1)
        self.peer.answer(accept="wrong")
        self.step()
        kinds = [type(reason) for reason in reasons(handler)]
        self.assertEqual(
            kinds, [ConnectionDropped, wsx.ConnError, wsx.RequestError, wsx.HandshakeError]
        )
        self.assertEqual(attempt_numbers(handler), [1, 2, 3, 4])
        self.clock.advance(1)
        self.accept()
        self.assertEqual(handler.client.status, "open")

    def test_attempt_that_times_out(self) -> None:
        """[D3] an attempt that takes too long is a failed one; the client goes on."""
        handler = reconnecting()
        self.open(handler, socket_connect_timeout=6.0)
        self.server.silent = True
        self.lose()
        self.clock.advance(1)
        self.clock.advance(6)
        self.step()
        self.assertIsInstance(reasons(handler)[1], wsx.ConnError)
        self.assertIsInstance(reasons(handler)[1].original, TimeoutError)
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 3)

    def test_given_up_while_reconnecting(self) -> None:
        """[D3] [D5] ``Ok`` for a failed attempt: the client ends with that failure."""
        answers = iter([Reconnect(0, after=1.0), Ok(0)])
        handler = Recorder(handle_disconnect=lambda status, state: next(answers))
        client = self.open(handler)
        self.server.refusal = ConnectionRefusedError()
        self.lose()
        self.clock.advance(1)
        self.step()
        [reason] = handler.arguments("terminate")
        self.assertIsInstance(reason, wsx.ConnError)
        self.assert_ended(client, reason)

    def test_initial_failure_is_retried(self) -> None:
        """[D4] with ``handle_initial_conn_failure`` the first connection is retried."""
        self.server.refusal = ConnectionRefusedError()
        handler = reconnecting()
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        self.clock.advance(1)
        self.step()
        self.assertNoResult(started)
        self.assertEqual(attempt_numbers(handler), [1, 2])
        self.server.refusal = None
        self.clock.advance(1)
        self.accept()
        self.assertEqual(self.successResultOf(started).status, "open")
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3])

    def test_initial_failure_is_retried_elsewhere(self) -> None:
        """[D4] also with a changed Conn."""
        other = wsx.Conn("ws://two.test/b", endpoint=self.server, ping_interval=None)
        handler = reconnecting(conn=other)
        started = self.start(handler, handle_initial_conn_failure=True)
        refuse(self.peer, 500)
        self.step()
        self.clock.advance(1)
        self.assertEqual(self.peer.request[1]["host"], "two.test")
        self.accept()
        self.assertEqual(self.successResultOf(started).conn.url, "ws://two.test/b")

    def test_initial_failure_of_the_handshake(self) -> None:
        """[D4] without the option each kind of failure fails ``start``, handler not asked."""
        answers: list[tuple[Callable[[], None], type[Exception]]] = [
            (lambda: refuse(self.peer, 503), wsx.RequestError),
            (lambda: self.peer.answer(accept="wrong"), wsx.HandshakeError),
            (lambda: self.peer.drop(), wsx.ConnError),
        ]
        for answer, error in answers:
            self.setUp()
            handler = reconnecting()
            started = self.start(handler)
            answer()
            self.step()
            self.failureResultOf(started, error)
            self.assertEqual(handler.calls, [])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fresh_receive_buffer(self) -> None:
        """[F14] half a frame, or half a message, of the old connection is forgotten."""
        for rest in (
            text("x" * 300)[:100],
            server_frame(1, b"half", flags=0),
            server_frame(1, b"a", flags=0) + server_frame(0, b"\xc3", flags=0),
        ):
            self.setUp()
            handler = reconnecting()
            self.open(handler)
            self.peer.send(rest)
            self.come_back()
            self.peer.send(text("fresh"))
            self.assertEqual(handler.arguments("handle_frame"), [Text("fresh")])
            self.assertEqual(handler.client.status, "open")

    def test_fresh_receive_buffer_after_a_protocol_error(self) -> None:
        """[F14] the same after an error of the protocol, and after a close."""
        for end in (BAD_FRAME, close(1000) + b"\x81"):
            self.setUp()
            handler = reconnecting()
            self.open(handler)
            self.peer.send(end)
            self.come_back()
            self.peer.send(text("fresh"))
            self.assertEqual(handler.arguments("handle_frame"), [Text("fresh")])

    def test_nothing_unsent_reaches_the_next_connection(self) -> None:
        """Replies of the old connection are not sent on the next one."""
        answer: Deferred[Any] = Deferred()
        handler = reconnecting(handle_frame=lambda frame, state: answer)
        self.open(handler)
        self.peer.send(text("x"))
        self.lose()
        answer.callback(Reply([Text("a"), Text("b")], 0))
        self.step()
        self.clock.advance(1)
        self.accept()
        self.assertEqual(self.peer.received(), [])


class AttemptNumberTests(EndCase):
    """When the attempt number goes back to 1."""

    def test_loss_of_a_connection_that_was_stable(self) -> None:
        """[D3] after ``stable_after`` seconds the next loss is number 1 again."""
        handler = reconnecting()
        self.open(handler, stable_after=5.0)
        self.come_back()
        self.come_back()
        self.clock.advance(5.0)
        self.come_back()
        self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 2, 1, 2])

    def test_not_quite_stable(self) -> None:
        """[D3] a handshake alone, or less than ``stable_after``, is not enough."""
        handler = reconnecting()
        self.open(handler)
        for _ in range(3):
            self.clock.advance(4.9)
            self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3])

    def test_closing_is_not_open(self) -> None:
        """[D3] the time of the closing handshake does not make a connection stable."""
        handler = reconnecting()
        self.open(handler, stable_after=5.0, close_timeout=10.0)
        for _ in range(3):
            self.peer.send(close(1013))
            self.clock.advance(6)
            self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3])

    def test_waiting_does_not_count(self) -> None:
        """[D3] the time between connections makes nothing stable."""
        handler = reconnecting(after=60.0)
        self.open(handler)
        self.come_back(after=60.0)
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 2])

    def test_stable_after_zero(self) -> None:
        """[D3] with ``stable_after=0`` a handshake is enough, a failed attempt still counts."""
        handler = reconnecting()
        self.open(handler, stable_after=0)
        self.come_back()
        self.server.refusal = ConnectionRefusedError()
        self.lose()
        self.clock.advance(1)
        self.step()
        self.assertEqual(attempt_numbers(handler), [1, 1, 2])

    def test_mark_healthy(self) -> None:
        """[D3] ``mark_healthy`` makes the next loss number 1, and only that."""
        handler = reconnecting()
        client = self.open(handler)
        self.come_back()
        client.mark_healthy()
        self.come_back()
        self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 1, 2])

    def test_mark_healthy_in_handle_connect(self) -> None:
        """[D3] it may be called in ``handle_connect``."""
        handler = reconnecting(handle_connect=lambda conn, state: handler.client.mark_healthy())
        self.open(handler)
        self.come_back()
        self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 1])

    def test_mark_healthy_without_a_connection(self) -> None:
        """[D3] called while there is no connection it says nothing about the next one."""
        handler = reconnecting()
        client = self.open(handler)
        self.lose()
        client.mark_healthy()
        self.clock.advance(1)
        client.mark_healthy()
        self.accept()
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 2])

    def test_mark_healthy_again_while_closing(self) -> None:
        """[D3] a second ``mark_healthy``, in a frame delivered late, does not undo the first."""
        handler = reconnecting()
        client = self.open(handler)
        self.come_back()
        client.mark_healthy()
        self.peer.send(close(1001))
        client.mark_healthy()
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 1])

    def test_failed_attempts_after_a_healthy_connection(self) -> None:
        """[D3] the loss of a healthy connection is 1, each attempt that fails adds one."""
        handler = reconnecting()
        self.open(handler)
        self.clock.advance(60)
        self.server.refusal = ConnectionRefusedError()
        self.lose()
        for _ in range(3):
            self.clock.advance(1)
            self.step()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3, 4])


class PolicyTests(EndCase):
    """A ``Backoff`` as the policy of the default ``handle_disconnect``."""

    def open_with(self, **policy: Any) -> wsx.Client[Any]:
        self.setUp()
        return self.open(wsx.Handler, reconnect=Backoff(**{"jitter": 0} | policy))

    def assert_next_attempt_after(self, seconds: float, message: object = None) -> None:
        """There is one more attempt in so many seconds, and not before."""
        self.step()
        before = self.server.attempts
        self.clock.advance(seconds - 0.1)
        self.assertEqual(self.server.attempts, before, message)
        self.clock.advance(0.2)
        self.assertEqual(self.server.attempts, before + 1, message)

    def test_without_a_policy(self) -> None:
        """[D5] without one the default ``handle_disconnect`` ends the client."""
        client = self.open(wsx.Handler)
        self.peer.drop(error := ConnectionLost())
        self.assert_ended(client, ConnectionDropped(error))

    def test_delays(self) -> None:
        """[D3] the client reconnects with the policy's delays, by attempt number."""
        client = self.open_with(initial=2.0, factor=3.0, maximum=10.0)
        for delay in (2.0, 6.0, 10.0, 10.0):
            self.peer.drop()
            self.assert_next_attempt_after(delay, delay)
            self.accept()
        self.clock.advance(5)
        self.peer.drop()
        self.assert_next_attempt_after(2.0, "healthy again")
        self.accept()
        self.assertEqual(client.status, "open")

    def test_giving_up(self) -> None:
        """[D3] [D5] past ``max_attempts`` the client ends with the last reason."""
        client = self.open_with(initial=1.0, max_attempts=2)
        self.lose()
        self.server.refusal = ConnectionRefusedError()
        self.assert_next_attempt_after(1.0)
        self.assert_next_attempt_after(2.0)
        self.step()
        self.assertEqual(client.status, "terminated")
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, wsx.ConnError)
        self.assert_ended(client, reason)

    def test_reasons_that_are_not_retried(self) -> None:
        """[D5] a LocalClose and the peer's hopeless close codes end the client."""
        ends: list[Callable[[wsx.Client[Any]], Any]] = [
            lambda client: client.close(),
            lambda client: client.close(4000),
            *(
                lambda client, code=code: self.peer.send(close(code))
                for code in (1002, 1003, 1007, 1008, 1009, 1010)
            ),
        ]
        for index, end in enumerate(ends):
            client = self.open_with()
            end(client)
            self.lose()
            self.assertEqual(client.status, "terminated", index)
            reason = self.successResultOf(client.terminated())
            self.assertFalse(wsx.is_retryable(reason), reason)
            self.assert_ended(client, reason)

    def test_reasons_that_are_retried(self) -> None:
        """[D3] everything else is retried."""
        ends: list[Callable[[], None]] = [
            lambda: self.peer.drop(),
            lambda: self.peer.send(BAD_FRAME),
            *(
                lambda code=code: self.peer.send(close(code))
                for code in (None, 1000, 1001, 1011, 1012, 1013, 4000)
            ),
        ]
        for index, end in enumerate(ends):
            client = self.open_with()
            end()
            self.lose()
            self.assertEqual(client.status, "disconnected", index)
            self.assert_next_attempt_after(1.0, index)

    def test_refusals_that_are_not_retried(self) -> None:
        """[D4] HTTP 400, 401, 403, 404 and 410 end a client that reconnects."""
        for status in (400, 401, 403, 404, 410):
            client = self.open_with()
            self.lose()
            self.clock.advance(1)
            refuse(self.peer, status)
            self.step()
            self.assertEqual(client.status, "terminated", status)
            self.assertEqual(self.successResultOf(client.terminated()).code, status)

    def test_refusals_that_are_retried(self) -> None:
        """[D4] other statuses, and refused connections, are retried."""
        for status in (302, 408, 429, 500, 502, 503):
            client = self.open_with()
            self.lose()
            self.clock.advance(1)
            refuse(self.peer, status)
            self.assert_next_attempt_after(2.0, status)
            self.assertEqual(client.status, "connecting")

    def test_certificate_that_does_not_verify(self) -> None:
        """[D4] a certificate that does not verify ends the client."""
        client = self.open_with()
        self.lose()
        self.server.refusal = SSL.Error(
            [("SSL routines", "tls_process_server_certificate", "certificate verify failed")]
        )
        self.clock.advance(1)
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertIsInstance(self.successResultOf(client.terminated()), wsx.ConnError)

    def test_initial_failure(self) -> None:
        """[D4] with ``handle_initial_conn_failure`` the policy retries the first connection."""
        self.server.refusal = ConnectionRefusedError()
        started = self.start(
            wsx.Handler, handle_initial_conn_failure=True, reconnect=Backoff(jitter=0)
        )
        self.assert_next_attempt_after(1.0)
        self.assert_next_attempt_after(2.0)
        self.server.refusal = None
        self.step()
        self.clock.advance(4)
        self.accept()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_initial_failure_without_the_option(self) -> None:
        """[D4] a policy alone does not retry the first connection."""
        self.server.refusal = ConnectionRefusedError()
        started = self.start(wsx.Handler, reconnect=Backoff())
        self.failureResultOf(started, wsx.ConnError)
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_retry_after(self) -> None:
        """[D4] ``Retry-After`` is a floor, past the maximum too, and at most an hour."""
        floors = {
            "120": 120.0,
            "1": 2.0,
            "0": 2.0,
            "7200": 3600.0,
            "Fri, 31 Dec 9999 23:59:59 GMT": 3600.0,
            "Sat, 01 Jan 2000 00:00:00 GMT": 2.0,
            "soon": 2.0,
            "-5": 2.0,
        }
        for value, delay in floors.items():
            self.open_with(maximum=60.0)
            self.lose()
            self.clock.advance(1)
            refuse(self.peer, 503, f"retry-after: {value}")
            self.assert_next_attempt_after(delay, value)

    def test_retry_after_does_not_revive_a_hopeless_refusal(self) -> None:
        """[D4] ``Retry-After`` with a status that is not retried changes nothing."""
        client = self.open_with()
        self.lose()
        self.clock.advance(1)
        refuse(self.peer, 403, "Retry-After: 1")
        self.step()
        self.assertEqual(client.status, "terminated")


class TimeoutTests(EndCase):
    """``PingTimeout`` and ``DataTimeout`` disconnects."""

    def pings(self) -> int:
        return [opcode for opcode, _ in self.peer.received()].count(9)

    def test_ping_timeout(self) -> None:
        """A peer that gives no sign of life after a ping is dropped: PingTimeout."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(9.5)
        self.assertEqual(self.pings(), 0)
        self.pass_time(4)
        self.assertEqual(self.pings(), 1)
        self.assertFalse(self.peer.transport.aborted)
        self.pass_time(1)
        self.assertTrue(self.peer.transport.aborted)
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.PingTimeout)
        self.assertEqual(self.pings(), 0)
        self.assert_ended(client, reason)

    def test_defaults(self) -> None:
        """The keepalive is on by default: a ping after 20 seconds, and 20 to answer."""
        handler = Recorder()
        started = wsx.start("ws://x.test", handler, reactor=self.clock, endpoint=self.server)
        self.accept()
        self.successResultOf(started)
        self.pass_time(19.5)
        self.assertEqual(self.pings(), 0)
        self.pass_time(1)
        self.assertEqual(self.pings(), 1)
        self.pass_time(19)
        self.assertEqual(reasons(handler), [])
        self.pass_time(1)
        self.assertIsInstance(reasons(handler)[0], wsx.PingTimeout)

    def test_any_bytes_are_life(self) -> None:
        """A message, a ping, a pong, or half a frame after the ping is a sign of life."""
        for life in (text("x"), server_frame(9), server_frame(10, b"other"), text("x")[:1]):
            self.setUp()
            handler = Recorder()
            client = self.open(handler, ping_interval=10.0, ping_timeout=4.0)
            self.pass_time(12)
            self.peer.send(life)
            self.pass_time(7)
            self.assertEqual(client.status, "open", life)

    def test_silence_after_life(self) -> None:
        """Life before the ping is none after it."""
        handler = Recorder()
        self.open(handler, ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(9.5)
        self.peer.send(text("x"))
        self.pass_time(5)
        self.assertIsInstance(reasons(handler)[0], wsx.PingTimeout)

    def test_keepalive_off(self) -> None:
        """``ping_interval=None``: no pings, no time-out; ``ping_timeout=None``: no time-out."""
        client = self.open(Recorder(), ping_interval=None, ping_timeout=4.0)
        self.pass_time(200)
        self.assertEqual(client.status, "open")
        self.assertEqual(self.pings(), 0)
        self.setUp()
        client = self.open(Recorder(), ping_interval=10.0, ping_timeout=None)
        self.pass_time(200)
        self.assertEqual(client.status, "open")
        self.assertEqual(self.pings(), 20)

    def pause(self, **options: Any) -> tuple[Recorder, Deferred[Any]]:
        """Opens a client that has paused reading: a callback is pending and a frame waits."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda frame, state: answer if frame == Text("a") else None)
        self.open(handler, **options)
        self.peer.send(text("a") + text("b"))
        self.assertTrue(self.peer.transport.reading_paused)
        return handler, answer

    def test_ping_timeout_while_reading_is_paused(self) -> None:
        """While we have paused reading no time-out runs; afterwards it runs anew."""
        handler, answer = self.pause(ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(101)
        self.assertEqual(handler.client.status, "open")
        answer.callback(None)
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.pass_time(3.5)
        self.assertEqual(handler.client.status, "open")
        self.pass_time(14.5)
        self.assertIsInstance(reasons(handler)[0], wsx.PingTimeout)

    def test_data_timeout(self) -> None:
        """No message for ``data_timeout`` seconds: DataTimeout; pings and pongs do not help."""
        handler = Recorder()
        client = self.open(handler, data_timeout=10.0, close_timeout=3.0)
        for _ in range(2):
            self.pass_time(9)
            self.peer.send(text("x"))
        for _ in range(19):
            self.pass_time(0.5)
            self.peer.send(server_frame(9) + server_frame(10, b"x"))
        self.assertEqual(client.status, "open")
        self.pass_time(0.5)
        self.assertEqual(client.status, "closing")
        self.pass_time(3)
        self.assertTrue(self.peer.transport.aborted)
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.DataTimeout)
        self.assert_ended(client, reason)

    def test_binary_is_data(self) -> None:
        """A Binary message counts as a Text does."""
        client = self.open(Recorder(), data_timeout=10.0)
        for _ in range(3):
            self.pass_time(9)
            self.peer.send(server_frame(2, b"x"))
        self.assertEqual(client.status, "open")

    def test_no_data_timeout_by_default(self) -> None:
        """Without ``data_timeout`` a silent server is left alone."""
        client = self.open(Recorder())
        self.pass_time(500)
        self.assertEqual(client.status, "open")

    def test_data_timeout_while_reading_is_paused(self) -> None:
        """While we have paused reading it does not run; afterwards it runs anew."""
        handler, answer = self.pause(data_timeout=10.0)
        self.pass_time(101)
        self.assertEqual(handler.client.status, "open")
        answer.callback(None)
        self.step()
        self.pass_time(9.5)
        self.assertEqual(handler.client.status, "open")
        self.pass_time(1)
        self.lose()
        self.assertIsInstance(reasons(handler)[0], wsx.DataTimeout)

    def test_timers_are_the_connections_own(self) -> None:
        """The next connection begins with time-outs of its own: those of the last are over."""
        for options in ({"ping_interval": 10.0, "ping_timeout": 4.0}, {"data_timeout": 14.0}):
            self.setUp()
            handler = reconnecting(after=1.0)
            client = self.open(handler, **options)
            self.pass_time(11)
            self.come_back()
            self.pass_time(9.5)
            self.assertEqual(client.status, "open", options)
            self.assertEqual(self.pings(), 0, options)

    def test_timers_end_with_the_connection(self) -> None:
        """However a connection ends, no timer of its keepalive is left."""
        ends: list[Callable[[wsx.Client[Any]], Any]] = [
            lambda client: self.peer.drop(),
            lambda client: client.close(),
            lambda client: client.stop(),
            lambda client: self.peer.send(close(1000)),
            lambda client: self.peer.send(BAD_FRAME),
        ]
        for end in ends:
            self.setUp()
            client = self.open(Recorder(), ping_interval=10.0, ping_timeout=4.0, data_timeout=100.0)
            self.pass_time(11)
            ended = client.terminated()
            end(client)
            self.lose()
            self.assert_ended(client, self.successResultOf(ended))

    def test_time_outs_are_retried(self) -> None:
        """[D3] PingTimeout and DataTimeout are reasons to reconnect."""
        for options in ({"ping_interval": 10.0, "ping_timeout": 4.0}, {"data_timeout": 14.0}):
            self.setUp()
            client = self.open(wsx.Handler, reconnect=Backoff(jitter=0), **options)
            self.pass_time(14)
            self.lose()
            self.pass_time(1)
            self.assertEqual(self.server.attempts, 2, options)
            self.accept()
            self.assertEqual(client.status, "open", options)


class LogTests(EndCase):
    """What the log says of ends and returns."""

    def lines(self, events: list[Any]) -> list[str]:
        """The lines of wsx in the log, each of which must be one line."""
        lines = [formatEvent(event) for event in events if event["log_namespace"] == "wsx"]
        for line in lines:
            self.assertNotIn("\n", line)
        return lines

    def test_back_again(self) -> None:
        """One line says that the client is back, and why it was gone."""
        self.open(reconnecting(), name="feed")
        self.addCleanup(self.stop_named)
        self.peer.send(close(1012, "deploying"))
        self.lose()
        self.clock.advance(1)
        with capturedLogs() as events:
            self.accept()
        [line] = self.lines(events)
        self.assertIn("feed", line)
        self.assertIn("back", line)
        self.assertIn("1012", line)
        self.assertIn("deploying", line)
        self.assertEqual(events[0]["log_level"], LogLevel.info)

    def stop_named(self) -> None:
        client = wsx.whereis("feed")
        assert client is not None
        client.stop()
        self.lose()

    def test_back_after_failures(self) -> None:
        """After attempts that failed, too, the line names why the connection was lost."""
        self.open(reconnecting())
        self.peer.send(close(1012, "deploying"))
        self.lose()
        self.server.refusal = ConnectionRefusedError()
        for _ in range(3):
            self.clock.advance(1)
            self.step()
        self.server.refusal = None
        self.clock.advance(1)
        with capturedLogs() as events:
            self.accept()
        [line] = self.lines(events)
        self.assertIn("deploying", line)

    def test_second_outage_has_its_own_cause(self) -> None:
        """The line after a healthy connection's loss names that loss, not an older one."""
        self.open(reconnecting())
        self.peer.send(close(1012, "deploying"))
        self.come_back()
        self.clock.advance(60)
        self.peer.send(close(1013, "overload"))
        self.lose()
        self.clock.advance(1)
        with capturedLogs() as events:
            self.accept()
        [line] = self.lines(events)
        self.assertIn("overload", line)
        self.assertNotIn("deploying", line)

    def test_first_connection(self) -> None:
        """The first connection is not said to be back."""
        with capturedLogs() as events:
            self.open(Recorder())
        [line] = self.lines(events)
        self.assertNotIn("back", line)

    def test_loss(self) -> None:
        """A loss is one line, with its reason."""
        self.open(reconnecting())
        self.peer.send(close(1012, "deploying"))
        with capturedLogs() as events:
            self.lose()
        [line] = self.lines(events)
        self.assertIn("deploying", line)

    def test_crash_is_logged_once_with_its_traceback(self) -> None:
        """[C6] a crash is logged once, with its traceback."""
        self.open(Recorder(handle_frame=Boom("why")))
        with capturedLogs() as events:
            self.peer.send(text("x"))
            self.lose()
        failures = [event for event in events if "log_failure" in event]
        self.assertEqual(len(failures), 1)
        self.assertIn("Boom", failures[0]["log_failure"].getTraceback())
        self.assertIn("_answer", failures[0]["log_failure"].getTraceback())
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_exit_is_logged_without_traceback(self) -> None:
        """[C6] an ``Exit``, normal or not, is logged without a traceback, its reason once."""
        for reason in (LocalClose(4000, "enough"), Boom("enough"), "enough"):
            self.setUp()
            self.open(Recorder(handle_frame=Exit(reason)))
            with capturedLogs() as events:
                self.peer.send(text("x"))
                self.lose()
            self.assertEqual([event for event in events if "log_failure" in event], [])
            self.assertEqual(
                len([line for line in self.lines(events) if "enough" in line]), 1, reason
            )

    def test_levels_of_ends(self) -> None:
        """[D5] a normal end is an info, an abnormal one a warning."""
        for code, level in [(1000, LogLevel.info), (4000, LogLevel.warn)]:
            self.setUp()
            client = self.open(Recorder())
            client.close(code)
            with capturedLogs() as events:
                self.lose()
            self.assertEqual(events[-1]["log_level"], level, code)

    def test_messages_dropped_at_the_end(self) -> None:
        """Casts and infos that are dropped at the end are logged, as one line with their number."""
        client = self.open(reconnecting())
        self.lose()
        for number in range(7):
            client.cast(number)
        client.info("secret")
        with capturedLogs() as events:
            client.stop()
            self.step()
        dropped = [line for line in self.lines(events) if "not delivered: 8" in line]
        self.assertEqual(len(dropped), 1)
        self.assertNotIn("secret", dropped[0])

    def test_nothing_dropped(self) -> None:
        """Where nothing was dropped, nothing is said of it."""
        client = self.open(Recorder())
        with capturedLogs() as events:
            client.stop()
            self.lose()
        self.assertEqual(len(self.lines(events)), 1)

    def test_policy_that_gives_up(self) -> None:
        """[D3] a policy that gives up says so."""
        self.open(wsx.Handler, reconnect=Backoff(max_attempts=0))
        with capturedLogs() as events:
            self.lose()
        self.assertEqual(
            len([line for line in self.lines(events) if "not connecting again" in line]), 1
        )
