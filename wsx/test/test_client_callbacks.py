"""Tests of the callbacks of a client: their results, and the step in which each is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, succeed

import wsx
from wsx.frames import BINARY, CLOSE, PING, PONG, TEXT
from wsx.test.support import URL, Recorder, server_frame, text
from wsx.test.support.clients import MESSAGE_CALLBACKS, ClientCase, bytes_of
from wsx.test.support.ends import Boom


class Awaited:
    """An object that can be awaited, and is neither a Deferred nor a coroutine."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from succeed(None).__await__()
        return self.result


async def coroutine(result: Any) -> Any:
    """Return a result, or raise it."""
    if isinstance(result, Exception):
        raise result
    return result


async def at_once(waiting: Deferred[Any], result: Any) -> Any:
    """Return a result without waiting."""
    return result


async def late(waiting: Deferred[Any], result: Any) -> Any:
    """Return a result after waiting."""
    await waiting
    return result


def fire(waiting: Deferred[Any], result: Any) -> Deferred[Any]:
    """Return a Deferred that fires with a result."""
    return waiting.addCallback(lambda _: result)


class CallbackTests(ClientCase):
    """Which callback is called when, and what it may return."""

    def test_handle_connect(self) -> None:
        """[C1] ``handle_connect`` is called after the handshake and before any frame."""
        recorder = Recorder()
        started = self.start(recorder, "state")
        self.assertEqual(recorder.names, [])
        self.peer.answer(text("frame"))
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])
        _, conn, state = recorder.calls[0]
        self.assertEqual((conn.url, conn.resp_status, state), (URL, 101, "state"))

    def test_handle_connect_again(self) -> None:
        """[C1] ``handle_connect`` is called after each later handshake, with the new response."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=0))
        self.open(recorder)
        for number in ("2", "3"):
            self.peer.drop()
            self.step()
            self.peer.answer(text("frame"), X_Number=number)
            self.step()
            self.assertEqual(
                recorder.names[-3:], ["handle_disconnect", "handle_connect", "handle_frame"]
            )
        numbers = [conn.resp_header("X-Number") for conn in recorder.arguments("handle_connect")]
        self.assertEqual(numbers, [None, "2", "3"])

    def test_status_in_handle_connect(self) -> None:
        """[C1] The client is open when ``handle_connect`` is called."""
        states: list[str] = []
        recorder: Recorder = Recorder(
            handle_connect=lambda *_: states.append(recorder.client.status)
        )
        self.open(recorder)
        self.assertEqual(states, ["open"])

    def answered(
        self, callback: str, answer: Callable[[Any, Any], Any]
    ) -> tuple[Recorder, wsx.Client[Any]]:
        """Return handler and client after this callback returned this result, from state 0."""
        recorder = Recorder(**{callback: answer})
        client = self.open(recorder, 0)
        self.provoke(callback, client)
        self.assertEqual(recorder.names.count(callback), 1)
        recorder.answers.clear()
        return recorder, client

    def test_ok(self) -> None:
        """[C2] [C3] ``Ok`` sets the state and sends nothing."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda _, state: wsx.Ok(state + 1))
                self.assertEqual(self.peer.received(), [])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_none(self) -> None:
        """[C2] None keeps the state."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda *_: None)
                self.assertEqual(self.peer.received(), [])
                self.assertEqual(self.state_of(recorder, client), 0)

    def test_reply(self) -> None:
        """[C2] ``Reply`` sends a frame and sets the state."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(
                    callback, lambda _, s: wsx.Reply(wsx.Text("hi"), s + 1)
                )
                self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_reply_with_each_kind(self) -> None:
        """[C2] ``Reply`` can send each kind of frame."""
        frames = [wsx.Text("a"), wsx.Binary(b"b"), wsx.Ping(b"c"), wsx.Pong(b"d")]
        for frame in frames:
            with self.given(frame=frame):
                self.open(Recorder(handle_connect=lambda _, s, f=frame: wsx.Reply(f, s)))
                self.assertEqual([p for _, p in self.peer.received()], [bytes_of(frame)])

    def test_reply_with_a_list(self) -> None:
        """[C2] ``Reply`` with a list sends each of its frames, in order."""
        frames = [wsx.Text("a"), wsx.Ping(b"b"), wsx.Binary(b"c")]
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda _, s: wsx.Reply(frames, s + 1))
                self.assertEqual(self.peer.received(), [(TEXT, b"a"), (PING, b"b"), (BINARY, b"c")])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_reply_with_an_empty_list(self) -> None:
        """[C2] ``Reply`` with an empty list sends nothing and sets the state."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda _, s: wsx.Reply([], s + 1))
                self.assertEqual(self.peer.received(), [])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_close(self) -> None:
        """[C2] ``Close`` sends a close frame."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                _, client = self.answered(callback, lambda _, s: wsx.Close(s + 1, 4000, "bye"))
                self.assertEqual(
                    self.peer.received(), [(CLOSE, (4000).to_bytes(2, "big") + b"bye")]
                )
                self.assertEqual(client.status, "closing")

    def test_close_carries_its_state(self) -> None:
        """[C2] [C3] ``handle_disconnect`` receives the state of a ``Close``."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, _ = self.answered(callback, lambda _, s: wsx.Close(s + 1))
                self.peer.drop()
                self.step()
                self.assertEqual(recorder.names[-2:], ["handle_disconnect", "terminate"])
                self.assertEqual([state for _, _, state in recorder.calls[-2:]], [1, 1])

    def test_handle_disconnect_ends(self) -> None:
        """[C2] ``Ok`` and None from ``handle_disconnect`` end the client, with their state."""
        for answer, state in ((lambda _, s: wsx.Ok(s + 1), 1), (lambda *_: None, 0)):
            recorder = Recorder(handle_disconnect=answer)
            client = self.open(recorder, 0)
            self.provoke("handle_disconnect", client)
            self.assertEqual(client.status, "terminated")
            self.assertEqual(recorder.names[-1], "terminate")
            self.assertEqual(recorder.calls[-1][2], state)

    def test_handle_disconnect_reconnects(self) -> None:
        """[C2] [C3] ``Reconnect`` from ``handle_disconnect`` reconnects, with its state."""
        recorder = Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s + 1, after=2.0))
        client = self.open(recorder, 0)
        self.provoke("handle_disconnect", client)
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(2)
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(recorder.calls[-1][0], "handle_connect")
        self.assertEqual(recorder.calls[-1][2], 1)

    def test_state_is_carried(self) -> None:
        """[C3] Each callback receives the state that the previous one returned."""
        recorder = Recorder()
        recorder.answers = {
            name: lambda _, state, n=name: wsx.Ok([*state, n])
            for name in (*MESSAGE_CALLBACKS, "terminate")
        }
        recorder.answers["handle_disconnect"] = lambda _, state: wsx.Ok([*state, "disconnect"])
        client = self.open(recorder, [])
        for callback in (*MESSAGE_CALLBACKS, "handle_disconnect"):
            self.provoke(callback, client)
        self.assertEqual(recorder.calls[-1][2], [*MESSAGE_CALLBACKS, "disconnect"])

    def test_state_within_one_read(self) -> None:
        """[C3] The state is passed on between frames of one read."""
        recorder = Recorder(handle_frame=lambda frame, state: wsx.Ok(state + frame.payload))
        client = self.open(recorder, "")
        self.peer.send(text("a") + text("b") + text("c"))
        self.step()
        self.assertEqual(self.state_of(recorder, client), "abc")

    def test_clients_have_states_of_their_own(self) -> None:
        """[C3] Two clients of one class do not share their state."""
        counting = {"handle_cast": lambda _, state: wsx.Ok(state + 1)}
        recorders = Recorder(**counting), Recorder(**counting)
        clients = [self.open(recorder, 0) for recorder in recorders]
        clients[0].cast("count")
        self.step()
        states = [self.state_of(r, c) for r, c in zip(recorders, clients, strict=True)]
        self.assertEqual(states, [1, 0])

    def test_asynchronous_answers(self) -> None:
        """Every callback can return a Deferred or be an ``async def``."""

        async def coroutine(result: Any) -> Any:
            return await succeed(result)

        def answer(style: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, Any], Any]:
            return lambda _, state: style(wsx.Reply(wsx.Text("hi"), state + 1))

        for style in (succeed, coroutine):
            for callback in MESSAGE_CALLBACKS:
                with self.given(callback=callback):
                    recorder, client = self.answered(callback, answer(style))
                    self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
                    self.assertEqual(self.state_of(recorder, client), 1)

    def test_nested_answers(self) -> None:
        """An awaitable whose result is awaitable is awaited to the end.

        ``Answer`` allows this: an ``async def`` may return ``super().handle_frame(...)``.
        """
        for callback in set(MESSAGE_CALLBACKS) - {"handle_connect"}:  # open() waits for that.
            for inner in (coroutine, Awaited, lambda result: coroutine(coroutine(result))):
                with self.given(callback=callback, inner=inner):
                    self.check_nested(callback, inner)

    def check_nested(self, callback: str, inner: Callable[[Any], Any]) -> None:
        """Check that the result of an awaitable counts, alone and in others, now and later."""
        for outer in (at_once, late, fire):
            waiting: Deferred[None] = Deferred()
            answer = inner(wsx.Reply(wsx.Text("hi"), 1))
            answers = iter([outer(waiting, answer)])
            recorder, client = self.answered(callback, lambda *_, answers=answers: next(answers))
            waiting.callback(None)
            self.step()
            self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
            self.assertEqual(self.state_of(recorder, client), 1)

    def test_nested_failure(self) -> None:
        """An exception of the inner awaitable ends the client as any other exception."""
        waiting: Deferred[None] = Deferred()
        client = self.open(Recorder(handle_cast=lambda *_: late(waiting, coroutine(Boom()))))
        ended = client.terminated()
        client.cast("go")
        self.step()
        waiting.callback(None)
        self.clock.advance(client.conn.close_timeout)
        self.step()
        self.assertIsInstance(self.successResultOf(ended), Boom)
        self.flushLoggedErrors(Boom)

    def test_late_answers(self) -> None:
        """While the Deferred of a callback is pending, nothing else is delivered."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                answer: Deferred[Any] = Deferred()
                recorder = Recorder(**{callback: lambda *_, a=answer: a})
                started = self.start(recorder, 0, async_=True)
                client = self.successResultOf(started)
                self.peer.answer()
                self.step()
                self.provoke(callback, client)
                count = len(recorder.calls)
                recorder.answers.clear()
                client.cast("next")
                self.peer.send(text("next"))
                self.clock.advance(60)
                self.step()
                self.assertEqual(len(recorder.calls), count)
                answer.callback(wsx.Reply(wsx.Text("hi"), 1))
                self.step()
                self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
                self.assertEqual(
                    recorder.calls[count:],
                    [("handle_cast", "next", 1), ("handle_frame", wsx.Text("next"), 1)],
                )

    def test_late_answer_of_handle_disconnect(self) -> None:
        """A pending Deferred of ``handle_disconnect`` is awaited."""
        answer: Deferred[Any] = Deferred()
        client = self.open(Recorder(handle_disconnect=lambda *_: answer))
        self.peer.drop()
        self.clock.advance(60)
        self.step()
        self.assertEqual(client.status, "disconnected")
        self.assertEqual(self.server.attempts, 1)
        answer.callback(wsx.Reconnect(None, after=0))
        self.step()
        self.assertEqual(self.server.attempts, 2)

    def test_pings_and_pongs(self) -> None:
        """[C11] ``handle_ping`` and ``handle_pong`` receive the frame, with and without payload."""
        recorder = Recorder()
        self.open(recorder)
        for opcode, callback, kind in (
            (PING, "handle_ping", wsx.Ping),
            (PONG, "handle_pong", wsx.Pong),
        ):
            for payload in (b"", b"payload", bytes(range(125))):
                with self.given(callback=callback, payload=payload):
                    self.peer.send(server_frame(opcode, payload))
                    self.step()
                    self.assertEqual(recorder.calls[-1], (callback, kind(payload), None))

    def test_ping_is_answered_by_the_handler(self) -> None:
        """[C11] A ``handle_ping`` that returns None sends no pong."""
        self.open(Recorder())
        self.peer.send(server_frame(PING, b"payload"))
        self.step()
        self.assertEqual(self.peer.received(), [])

    def test_default_ping(self) -> None:
        """[C11] By default, a ping is answered with its payload, and a pong is ignored."""

        class Silent(wsx.Handler[None]):
            pass

        client = self.open(Silent)
        for payload in (b"", b"payload"):
            self.peer.send(server_frame(PING, payload) + server_frame(PONG, payload))
            self.step()
            self.assertEqual(self.peer.received(), [(PONG, payload)])
        self.assertEqual(client.status, "open")


class ReplyCheckTests(ClientCase):
    """All frames of a reply are checked before the first is sent."""

    BAD: tuple[tuple[Any, type[Exception]], ...] = (
        ("text", wsx.InvalidFrameError),
        (None, wsx.InvalidFrameError),
        (wsx.Ping(bytes(126)), wsx.FrameEncodeError),
        (wsx.Text("\ud800"), wsx.FrameEncodeError),
    )

    def test_list(self) -> None:
        """[C2] If one frame of a list is bad, none is sent, and the close code is 1011."""
        for bad, kind in self.BAD:
            for frames in ([wsx.Text("good"), bad], [bad, wsx.Text("good")], [bad]):
                with self.given(frames=frames):
                    recorder = Recorder(handle_cast=lambda _, s, f=frames: wsx.Reply(f, s))
                    client = self.open(recorder)
                    client.cast("go")
                    self.step()
                    ((opcode, payload),) = self.peer.received()
                    self.assertEqual((opcode, payload[:2]), (CLOSE, (1011).to_bytes(2, "big")))
                    self.peer.drop()
                    self.step()
                    (status,) = recorder.arguments("handle_disconnect")
                    self.assertIsInstance(status.reason, kind)

    def test_earlier_replies(self) -> None:
        """[C2] Replies to earlier frames of the same read are sent before the close frame."""
        answers = {"one": wsx.Text("first"), "two": wsx.Ping(bytes(126))}
        recorder = Recorder(handle_frame=lambda f, s: wsx.Reply(answers[f.payload], s))
        self.open(recorder)
        self.peer.send(text("one") + text("two") + text("one"))
        self.step()
        frames = self.peer.received()
        self.assertEqual(frames[0], (TEXT, b"first"))
        self.assertEqual([opcode for opcode, _ in frames], [TEXT, CLOSE])


class StepTests(ClientCase):
    """Callbacks run in a later reactor iteration."""

    def test_not_inside_cast_or_info(self) -> None:
        """No callback runs inside a call of ``cast`` or ``info``."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast("one")
        client.info("two")
        self.assertEqual(recorder.names, ["handle_connect"])
        self.step()
        self.assertEqual(recorder.names, ["handle_connect", "handle_cast", "handle_info"])

    def test_not_inside_another(self) -> None:
        """What a callback casts and what arrives meanwhile is delivered after the callback."""
        events: list[str] = []

        def first(message: str, _: Any) -> None:
            events.append(f"enter {message}")
            if message == "first":
                client.cast("second")
                client.info("third")
                self.peer.send(text("fourth"))
            events.append(f"leave {message}")

        recorder = Recorder(
            handle_cast=first,
            handle_info=first,
            handle_frame=lambda frame, state: first(frame.payload, state),
        )
        client = self.open(recorder)
        client.cast("first")
        self.step()
        expected = [
            f"{what} {n}"
            for n in ("first", "second", "third", "fourth")
            for what in ("enter", "leave")
        ]
        self.assertEqual(events, expected)

    def test_not_inside_the_callers_of_start(self) -> None:
        """No callback runs inside a callback of the Deferred of ``start``."""
        recorder = Recorder()
        seen: list[list[str]] = []

        def on_start(client: wsx.Client[Any]) -> None:
            client.cast("one")
            self.peer.send(text("two"))
            seen.append(recorder.names)

        started = self.start(recorder)
        started.addCallback(on_start)
        self.peer.answer()
        self.step()
        self.assertEqual(seen, [["handle_connect"]])
        self.assertEqual(recorder.names, ["handle_connect", "handle_cast", "handle_frame"])

    def test_not_inside_send_frame(self) -> None:
        """No callback runs inside a call of ``send_frame``, ``close`` or ``stop``."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast("waiting")
        self.successResultOf(client.send_frame(wsx.Text("hi")))
        client.close()
        client.stop()
        self.assertEqual(recorder.names, ["handle_connect"])

    def test_order_of_arrival(self) -> None:
        """Casts, infos and frames are delivered in order of arrival."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast(1)
        self.peer.send(text("2"))
        client.info(3)
        self.peer.send(text("4") + server_frame(PING, b"5"))
        client.cast(6)
        self.step()
        self.assertEqual(
            [argument for _, argument, _ in recorder.calls[1:]],
            [1, wsx.Text("2"), 3, wsx.Text("4"), wsx.Ping(b"5"), 6],
        )

    def test_clients_do_not_wait_for_each_other(self) -> None:
        """A pending callback of one client does not delay another client."""
        pending: Deferred[Any] = Deferred()
        slow = self.open(Recorder(handle_cast=lambda *_: pending))
        recorder = Recorder()
        fast = self.open(recorder)
        slow.cast("slow")
        fast.cast("fast")
        self.step()
        self.assertEqual(recorder.arguments("handle_cast"), ["fast"])
        pending.callback(None)
