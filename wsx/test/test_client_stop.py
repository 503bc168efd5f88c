"""Tests of ``stop``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed

import wsx
from wsx import Close, Exit, LocalClose, Ok, Reconnect, Reply, Shutdown, Text
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import TRIGGERS, EndCase, close_frames, reconnecting


class StopTests(EndCase):
    """``client.stop()`` in every state."""

    def test_open(self) -> None:
        """On an open client: close frame 1001, ``terminate``, no ``handle_disconnect``."""
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
        """``stop`` waits for the server's close frame for at most ``close_timeout``."""
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
        """After ``stop``, no frame, cast or info is delivered, even if it already waited."""
        handler = Recorder()
        client = self.open(handler)
        client.cast("waiting")
        client.stop()
        self.peer.send(text("x") + server_frame(9))
        self.step()
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "terminate"])
        self.assertEqual(close_frames(self.peer), [(1001, "")])

    @each((True, False))
    def test_connecting_first(self, silent: bool) -> None:
        """While first connecting, ``start`` fails, TCP is aborted, no callback is called."""
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
        """While first connecting with ``async_``, ``terminate`` is called."""
        handler = Recorder()
        client = self.successResultOf(self.start(handler, async_=True))
        client.stop()
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(handler.names, ["terminate"])

    def test_reconnecting(self) -> None:
        """While reconnecting, the attempt is cancelled and ``terminate`` is called."""
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
        """While waiting for the next attempt, no attempt is made."""
        handler = reconnecting(after=9.0)
        client = self.open(handler)
        self.lose()
        client.stop()
        self.assert_ended(client, Shutdown(""))
        self.assert_terminated_once(handler, Shutdown(""))
        self.assertEqual(self.server.attempts, 1)

    @each(
        (
            lambda test, client: client.close(),
            lambda test, client: test.peer.send(close(1000)),
        )
    )
    def test_closing(self, begin: Any) -> None:
        """While closing: no second close frame, no ``handle_disconnect``, the same timer."""
        handler = Recorder()
        client = self.open(handler, close_timeout=3.0)
        begin(self, client)
        self.clock.advance(2)
        stopped = client.stop()
        self.assertEqual(close_frames(self.peer), [(1000, "")])
        self.clock.advance(1)
        self.step()
        self.assertEqual(self.successResultOf(stopped), Shutdown(""))
        self.assertEqual(handler.names, ["handle_connect", "terminate"])
        self.assert_ended(client, Shutdown(""))

    def test_closing_with_a_pending_callback(self) -> None:
        """While closing, a pending callback is cancelled and waiting events are dropped."""
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
        """Between the loss and ``handle_disconnect``, that callback is not called."""
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
        """A pending ``terminate`` is awaited, and the first reason counts."""
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
        """On an ended client, it fires with the reason at once."""
        handler = Recorder()
        client = self.open(handler)
        client.close(4000)
        self.lose()
        self.assertEqual(self.successResultOf(client.stop()), LocalClose(4000, ""))
        self.assert_ended(client, LocalClose(4000, ""))
        self.assert_terminated_once(handler, LocalClose(4000, ""))

    def test_second_stop(self) -> None:
        """A second ``stop`` sends nothing. Both Deferreds fire with the first reason."""
        handler = Recorder()
        client = self.open(handler)
        first, second = client.stop("first"), client.stop("second")
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.lose()
        self.assertEqual(self.successResultOf(first), Shutdown("first"))
        self.assertEqual(self.successResultOf(second), Shutdown("first"))
        self.assert_terminated_once(handler, Shutdown("first"))

    def test_close_after_stop(self) -> None:
        """``close`` after ``stop`` only waits for the end of the connection."""
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

    @each(TRIGGERS.items())
    def test_pending_callback_is_cancelled(self, callback: str, trigger: Any) -> None:
        """A pending callback, Deferred or coroutine, is cancelled and its result ignored."""
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
        """The plain Deferred of a callback is cancelled without an error in the log."""
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
        """A callback that catches its cancellation and waits on does not delay the end."""
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
        """If the first ``handle_connect`` is pending, ``start`` fails without ``terminate``."""
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
        """Let a callback stop its client and return this result, then drop TCP."""

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
        """In a callback, ``stop`` drops the remaining frames of the same read."""
        handler: Recorder = Recorder(
            handle_frame=lambda frame, state: handler.client.stop() and None
        )
        self.open(handler)
        self.peer.send(text("a") + text("b") + server_frame(9))
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "terminate"])

    @each(TRIGGERS, (None, Reply(Text("dropped"), "new"), Close("new", 4000)))
    def test_inside_each_callback(self, callback: str, result: Any) -> None:
        """If a callback calls ``stop``, its ``Reply`` or ``Close`` is dropped."""
        handler = self.stop_inside(callback, result)
        self.assert_terminated_once(handler, Shutdown("enough"))

    @each(TRIGGERS, (Ok("new"), Reply(Text("dropped"), "new")))
    def test_state_of_a_callback_that_stops(self, callback: str, result: Any) -> None:
        """[C3] If a callback calls ``stop``, ``terminate`` receives its state."""
        handler = self.stop_inside(callback, result)
        self.assertEqual(handler.calls[-1][2], "new", (callback, result))

    def test_inside_handle_connect(self) -> None:
        """In the first ``handle_connect``, ``stop`` fails ``start`` without ``terminate``."""
        handler: Recorder = Recorder(
            handle_connect=lambda conn, state: handler.client.stop("x") and None
        )
        started = self.start(handler)
        self.accept()
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1001])
        self.lose()
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown("x"))
        self.assertEqual(handler.names, ["handle_connect"])
        self.assert_ended(handler.client, Shutdown("x"))

    def test_inside_handle_disconnect(self) -> None:
        """In ``handle_disconnect``, ``stop`` takes precedence over its ``Reconnect``."""
        handler: Recorder = Recorder(
            handle_disconnect=lambda status, state: handler.client.stop() and Reconnect(1, after=0)
        )
        client = self.open(handler)
        self.lose()
        self.assert_ended(client, Shutdown(""))
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect", "terminate"])
        self.assertEqual(self.server.attempts, 1)

    def test_inside_terminate(self) -> None:
        """In ``terminate``, ``stop`` has no effect."""
        handler: Recorder = Recorder(terminate=lambda reason, state: handler.client.stop() and None)
        client = self.open(handler)
        client.close()
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))
        self.assert_terminated_once(handler, LocalClose(1000, ""))

    def await_stop_inside(self, first: Deferred[Any]) -> None:
        """Let a coroutine wait for ``first``, and then for its own client's end."""
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

    @each([lambda: succeed(None), Deferred])
    def test_awaited_inside_a_coroutine(self, first: Callable[[], Deferred[Any]]) -> None:
        """A callback that awaits its own client's end is cancelled."""
        self.await_stop_inside(first())

    def test_cancelling_its_deferred(self) -> None:
        """Cancelling the Deferred does not stop the client from ending."""
        client = self.open(Recorder())
        stopped = client.stop()
        stopped.cancel()
        self.failureResultOf(stopped, CancelledError)
        self.lose()
        self.assert_ended(client, Shutdown(""))

    def test_send_after_ends_with_the_client(self) -> None:
        """Infos of ``send_after`` are dropped and their timers cancelled."""
        handler = Recorder()
        client = self.open(handler)
        call = client.send_after(60, "late")
        client.stop()
        self.lose()
        self.assertFalse(call.active())
        self.assert_ended(client, Shutdown(""))

    @each(
        (
            lambda test, client: client.stop(),
            lambda test, client: test.peer.send(text("raise")),
        )
    )
    def test_send_after_that_is_due_while_ending(self, begin: Any) -> None:
        """Infos of ``send_after`` that are due during the closing handshake are dropped."""
        handler = Recorder(handle_frame=Exit())
        client = self.open(handler)
        client.send_after(1, "late")
        begin(self, client)
        self.clock.advance(2)
        self.lose()
        self.assertNotIn("handle_info", handler.names)
        self.assertEqual(client.status, "terminated")
