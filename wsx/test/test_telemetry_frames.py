"""Tests of the telemetry of frames and callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx._wire.encoder import FIN
from wsx.test.support import (
    Recorder,
    case,
    close,
    read_frames,
    server_frame,
    text,
)
from wsx.test.support.telemetry import CALLBACK, CODES, RECEIVED, SENT, TelemetryCase, again, forget


class ReceivedTests(TelemetryCase):
    """``wsx.frame.received``."""

    def setUp(self) -> None:
        super().setUp()
        self.handler = Recorder()
        self.watch(RECEIVED)

    def frames(self) -> list[Any]:
        """Return the frames of the events."""
        return self.all_of(RECEIVED, "frame")

    def test_each_kind(self) -> None:
        """[T3] Each message, ping and pong emits an event, alone or with others in a read."""
        expected = [wsx.Text("t"), wsx.Binary(b"b"), wsx.Ping(b"i"), wsx.Pong(b"o"), wsx.Text("")]
        self.open(self.handler)
        wire = [
            text("t"),
            server_frame(2, b"b"),
            server_frame(9, b"i"),
            server_frame(10, b"o"),
            text(""),
        ]
        self.peer.send(b"".join(wire))
        self.assertEqual(self.frames(), expected)
        for frame in wire:
            self.peer.send(frame)
        self.assertEqual(self.frames(), expected * 2)

    def test_fragments(self) -> None:
        """[T3] A fragmented message emits one event.

        A ping between the fragments is reported before it.
        """
        self.open(self.handler)
        self.peer.send(server_frame(1, b"a", 0) + server_frame(0, b"b", 0))
        self.assertEqual(self.frames(), [])
        self.peer.send(server_frame(9) + server_frame(0, b"c", FIN))
        self.assertEqual(self.frames(), [wsx.Ping(), wsx.Text("abc")])

    def test_with_the_handshake(self) -> None:
        """[T3] A frame that arrives in the same read as the handshake response emits an event."""
        self.start(self.handler)
        self.peer.answer(text("early"))
        self.step()
        self.assertEqual(self.frames(), [wsx.Text("early")])

    def test_own_pong(self) -> None:
        """[T3] The pong for a keepalive ping emits an event, although no callback receives it."""
        self.open(self.handler, ping_interval=5.0)
        self.clock.advance(5)
        [(_, payload)] = self.peer.received()
        self.peer.send(server_frame(10, payload))
        self.assertEqual(self.frames(), [wsx.Pong(payload)])
        self.assertNotIn("handle_pong", self.handler.names)

    def test_no_close_frame(self) -> None:
        """[T3] A close frame emits no event."""
        self.open(self.handler)
        self.peer.send(text("last") + close(1000))
        self.assertEqual(self.frames(), [wsx.Text("last")])

    def test_before_a_violation(self) -> None:
        """[T3] Frames before a protocol violation emit events; the violating frame does not."""
        self.open(self.handler)
        self.peer.send(text("whole") + server_frame(1, b"\xff"))
        self.assertEqual(self.frames(), [wsx.Text("whole")])

    def test_after_our_close_frame(self) -> None:
        """[T3] Frames that are discarded after the client's close frame emit no events."""
        client = self.open(self.handler)
        client.close()
        self.peer.send(text("late"))
        self.assertEqual(self.frames(), [])

    def test_while_a_callback_is_pending(self) -> None:
        """[T3] A frame emits one event when it arrives, even if its delivery has to wait."""
        pending: Deferred[Any] = Deferred()
        self.handler.answers["handle_frame"] = lambda frame, state: pending
        self.open(self.handler)
        self.peer.send(text("1"))
        self.peer.send(text("2") + text("3"))
        expected = [wsx.Text(number) for number in "123"]
        self.assertEqual(self.frames(), expected)
        self.handler.answers.clear()
        pending.callback(None)
        self.step()
        self.assertEqual(self.handler.arguments("handle_frame"), expected)
        self.assertEqual(self.frames(), expected)

    def test_reconnect(self) -> None:
        """[T3] [T6] Frames of later connections emit events."""
        self.handler.answers["handle_disconnect"] = again
        self.open(self.handler)
        for number in "123":
            self.peer.send(text(number))
            self.peer.drop()
            self.step()
            self.clock.advance(1)
            self.peer.answer()
        self.assertEqual(self.frames(), [wsx.Text(number) for number in "123"])


class SentTests(TelemetryCase):
    """``wsx.frame.sent``."""

    def setUp(self) -> None:
        super().setUp()
        self.watch(SENT)

    def frames(self) -> list[Any]:
        """Return the frames of the events."""
        return self.all_of(SENT, "frame")

    def assert_recorded_what_was_sent(self) -> None:
        """Assert that the events have the frames that the server received, except close frames."""
        recorded = [
            (
                CODES[type(frame)],
                frame.payload.encode() if type(frame) is wsx.Text else frame.payload,
            )
            for frame in self.frames()
        ]
        sent = [frame for frame in read_frames(self.peer.transport.value()) if frame[0] != 8]
        self.assertEqual(recorded, sent)
        self.assertTrue(recorded)

    def test_send_frame(self) -> None:
        """[T4] Each kind of frame sent with ``send_frame`` emits an event."""
        frames = [wsx.Text("t"), wsx.Binary(b"b"), wsx.Ping(b"i"), wsx.Pong(b"o")]
        client = self.open(Recorder())
        for frame in frames:
            client.send_frame(frame)
        self.assertEqual(self.frames(), frames)
        self.assert_recorded_what_was_sent()

    def test_replies(self) -> None:
        """[T4] [T6] Replies of every callback emit events, each frame of a list in order."""

        def answer(name: str) -> Callable[[Any, Any], Any]:
            return lambda _, state: wsx.Reply([wsx.Text(name), wsx.Ping(name.encode())], state)

        names = ["connect", "frame", "ping", "pong", "cast", "info"]
        handler = Recorder(**{f"handle_{name}": answer(name) for name in names})
        client = self.open(handler)
        self.peer.send(text("") + server_frame(9) + server_frame(10))
        client.cast("")
        client.info("")
        self.step()
        expected = [frame for name in names for frame in (wsx.Text(name), wsx.Ping(name.encode()))]
        self.assertEqual(self.frames(), expected)
        self.assert_recorded_what_was_sent()

    def test_asynchronous_reply(self) -> None:
        """[T4] An asynchronous reply emits an event when it is sent."""
        pending: Deferred[Any] = Deferred()
        self.open(Recorder(handle_frame=lambda *_: pending))
        self.peer.send(text(""))
        self.assertEqual(self.frames(), [])
        pending.callback(wsx.Reply(wsx.Text("late"), None))
        self.assertEqual(self.frames(), [wsx.Text("late")])

    def test_default_pong(self) -> None:
        """[T4] The default pong emits an event."""

        class Plain(wsx.Handler[Any]):
            pass

        self.open(Plain)
        self.peer.send(server_frame(9, b"x"))
        self.assertEqual(self.frames(), [wsx.Pong(b"x")])

    def test_keepalive(self) -> None:
        """[T4] Each keepalive ping emits an event."""
        self.open(Recorder(), ping_interval=5.0, ping_timeout=None)
        self.clock.pump([5, 5, 5])
        self.assertEqual([type(frame) for frame in self.frames()], [wsx.Ping] * 3)
        self.assert_recorded_what_was_sent()

    def test_no_close_frame(self) -> None:
        """[T4] A close frame emits no event, whichever side begins the closing handshake."""
        ends: list[Callable[[Any], object]] = [
            lambda client: client.close(),
            lambda client: client.stop(),
            lambda client: self.peer.send(close(1000)),
            lambda client: self.peer.send(b"\xff\xff"),
        ]
        for number, end in enumerate(ends):
            with case(number):
                end(self.open(Recorder()))
                self.assertEqual([code for code, _ in self.peer.received()], [8])
                self.assertEqual(self.frames(), [])

    def test_refused_frames(self) -> None:
        """[T4] A frame that ``send_frame`` refuses emits no event."""
        client = self.open(Recorder())
        wrong: list[Any] = ["no frame", wsx.Text(7), wsx.Ping(b"x" * 126), wsx.Text("\ud800")]  # type: ignore[arg-type]
        for frame in wrong:
            with case(frame):
                self.failureResultOf(client.send_frame(frame))
        client.close()
        self.failureResultOf(client.send_frame(wsx.Text("late")), wsx.NotConnectedError)
        self.assertEqual(self.frames(), [])

    def test_bad_reply(self) -> None:
        """[T4] A reply with a frame that cannot be encoded is not sent and emits no event."""
        bad = wsx.Reply([wsx.Text("good"), wsx.Ping(b"x" * 126)], None)
        self.open(Recorder(handle_frame=bad))
        self.peer.send(text(""))
        self.assertEqual(self.frames(), [])

    def test_reply_that_comes_too_late(self) -> None:
        """[T4] A reply to a closed connection is dropped and emits no event."""
        pending: Deferred[Any] = Deferred()
        self.open(Recorder(handle_frame=lambda *_: pending))
        self.peer.send(text(""))
        self.peer.drop()
        pending.callback(wsx.Reply(wsx.Text("late"), None))
        self.step()
        self.assertEqual(self.frames(), [])

    def test_pongs_to_a_peer_that_does_not_read(self) -> None:
        """[T4] Superseded pongs emit no events; the pong that is sent emits one when it is sent."""
        self.open(
            Recorder(handle_ping=lambda ping, state: wsx.Reply(wsx.Pong(ping.payload), state))
        )
        self.peer.buffer.pauseProducing()
        self.peer.send(b"".join(server_frame(9, number) for number in (b"1", b"2", b"3")))
        self.assertEqual(self.frames(), [])
        self.peer.buffer.resumeProducing()
        self.assertEqual(self.frames(), [wsx.Pong(b"3")])
        self.assert_recorded_what_was_sent()

    def test_full_buffer(self) -> None:
        """[T4] A frame that waits in the write buffer counts as sent: it emits one event."""
        client = self.open(Recorder())
        self.peer.buffer.pauseProducing()
        sent = client.send_frame(wsx.Text("x"))
        self.assertEqual(self.frames(), [wsx.Text("x")])
        self.peer.buffer.resumeProducing()
        self.successResultOf(sent)
        self.assertEqual(self.frames(), [wsx.Text("x")])


class CallbackTests(TelemetryCase):
    """``wsx.callback``: a callback has returned."""

    def setUp(self) -> None:
        super().setUp()
        self.watch(CALLBACK)

    def durations(self) -> list[tuple[str, float]]:
        """Return the names and durations of the recorded callbacks."""
        return [(metadata["callback"], m["duration"]) for _, m, metadata in self.recorded]

    def names(self) -> list[str]:
        """Return the names of the recorded callbacks."""
        return [name for name, _ in self.durations()]

    def test_each_callback(self) -> None:
        """Every callback emits an event with its name, in order."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.send(text("") + server_frame(2) + server_frame(9) + server_frame(10))
        client.cast("")
        client.info("")
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(self.names(), [name for name in handler.names if name != "terminate"])
        self.assertEqual(set(self.names()) | {"terminate"}, set(handler.names))

    def test_duration(self) -> None:
        """The duration is measured with the client's clock, in seconds."""

        def work(frame: Any, state: Any) -> None:
            self.clock.rightNow += 0.25

        self.open(Recorder(handle_frame=work))
        self.recorded.clear()
        self.peer.send(text(""))
        self.assertEqual(self.durations(), [("handle_frame", 0.25)])

    def test_deferred(self) -> None:
        """The duration of an asynchronous callback ends when its Deferred fires."""
        pending: Deferred[Any] = Deferred()
        self.open(Recorder(handle_frame=lambda *_: pending))
        self.recorded.clear()
        self.peer.send(text(""))
        self.clock.advance(3)
        self.assertEqual(self.recorded, [])
        pending.callback(None)
        self.assertEqual(self.durations(), [("handle_frame", 3.0)])

    def test_coroutine(self) -> None:
        """The duration of a coroutine ends when it returns."""
        pending: Deferred[Any] = Deferred()

        async def wait(*_: Any) -> None:
            await pending

        self.open(Recorder(handle_cast=wait)).cast("")
        self.step()
        self.recorded.clear()
        self.clock.advance(2)
        pending.callback(None)
        self.assertEqual(self.durations(), [("handle_cast", 2.0)])

    def test_raising(self) -> None:
        """A callback that raises emits an event, also if it raises asynchronously."""
        pending: Deferred[Any] = Deferred()
        for answer in (ZeroDivisionError(), wsx.Exit(), lambda *_: pending):
            with case(answer):
                client = self.open(Recorder(handle_frame=answer))
                self.recorded.clear()
                self.peer.send(text(""))
                if callable(answer):
                    pending.errback(ZeroDivisionError())
                self.assertEqual(self.names(), ["handle_frame"])
                self.end(client)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_cancelled(self) -> None:
        """A cancelled callback emits no event."""
        client = self.open(Recorder(handle_frame=lambda *_: Deferred()))
        self.peer.send(text(""))
        self.recorded.clear()
        self.end(client)
        self.assertNotIn("handle_frame", self.names())

    def test_attached_while_pending(self) -> None:
        """An observer attached while a callback is pending receives the next events."""
        forget(self)
        pending: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda *_: pending)
        self.open(handler)
        self.peer.send(text(""))
        self.watch(CALLBACK)
        pending.callback(None)
        handler.answers.clear()
        self.peer.send(text("") + text(""))
        self.step()
        self.assertEqual(self.names()[-2:], ["handle_frame", "handle_frame"])

    def test_detached_while_pending(self) -> None:
        """An observer that is detached while a callback is pending receives nothing.

        The client goes on.
        """
        pending: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda *_: pending)
        self.open(handler)
        self.peer.send(text(""))
        self.recorded.clear()
        forget(self)
        pending.callback(None)
        self.peer.send(server_frame(9))
        self.assertIn("handle_ping", handler.names)
        self.assertEqual(self.recorded, [])

    def test_delivery_is_the_same(self) -> None:
        """An observer does not change delivery: order, replies and state are the same."""

        def count(frame: Any, state: Any) -> Any:
            return wsx.Reply(wsx.Text(f"{state}"), state + 1) if state % 2 else wsx.Ok(state + 1)

        handler = Recorder(handle_frame=count)
        client = self.open(handler, 0)
        self.peer.send(b"".join(text(f"{number}") for number in range(6)))
        self.assertEqual(client.sys.get_state(), 6)
        self.assertEqual([int(f.payload) for f in handler.arguments("handle_frame")], [*range(6)])
        self.assertEqual(self.peer.received(), [(1, b"1"), (1, b"3"), (1, b"5")])
