"""Tests of replacing the state, and of requests that wait when the client ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

import wsx
from wsx import NotConnectedError, Ok, Reply
from wsx.test.support import Recorder, text
from wsx.test.support.each import each
from wsx.test.support.system import FIRST, NEW, SystemCase


class ReplaceStateTests(SystemCase):
    """[Y1] ``replace_state``, and the order of requests and events."""

    def test_only_the_state(self) -> None:
        """[Y1] The handler, its attributes and the rest of the status stay the same."""
        client = self.opened()
        before = client.sys.get_status()
        self.successResultOf(client.sys.replace_state(lambda _: NEW))
        self.assertEqual(client.sys.get_status(), before | {"state": NEW})
        self.assertIs(client.handler, self.handler)
        self.assertEqual(self.handler.names, ["handle_connect"])

    def test_failing(self) -> None:
        """[Y1] A function that fails fails the Deferred and keeps the state."""

        def fail(state: Any) -> Any:
            raise RuntimeError("on purpose")

        async def fail_later(state: Any) -> Any:
            await self.waits()
            raise RuntimeError("on purpose")

        client = self.opened()
        self.failureResultOf(client.sys.replace_state(fail), RuntimeError)
        later = client.sys.replace_state(fail_later)
        self.settle()
        self.failureResultOf(later, RuntimeError)
        wrong: Any = {"the": "new state"}
        error = self.failureResultOf(client.sys.replace_state(wrong), TypeError).value
        self.assertEqual(str(error), "function: expected a function of the state, got dict")
        self.assertEqual(client.sys.get_state(), FIRST)
        client.cast("still there")
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "still there", FIRST))

    def test_coroutine(self) -> None:
        """[Y1] An ``async def`` is awaited; meanwhile the status shows the old state."""

        async def later(state: Any) -> Any:
            return (state, await self.waits())

        client = self.opened()
        replaced = client.sys.replace_state(later)
        self.assertNoResult(replaced)
        self.assertEqual(client.sys.get_state(), FIRST)
        self.settle(NEW)
        self.assertEqual(self.successResultOf(replaced), (FIRST, NEW))
        self.assertEqual(client.sys.get_state(), (FIRST, NEW))

    def test_events_meanwhile(self) -> None:
        """[Y1] Events that arrive while the function is pending wait and get its state."""
        client = self.opened()
        replaced = client.sys.replace_state(self.waits)
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.peer.send(text("4"))
        self.step()
        self.assertEqual(self.handler.names, ["handle_connect"])
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle(NEW)
        self.successResultOf(replaced)
        expected = [wsx.Text("1"), wsx.Text("2"), "3", wsx.Text("4")]
        self.assertEqual([argument for _, argument, _ in self.handler.calls[1:]], expected)
        self.assertEqual({state for _, _, state in self.handler.calls[1:]}, {NEW})
        self.assertFalse(self.peer.transport.reading_paused)

    def test_before_what_waits(self) -> None:
        """[Y1] A request is served before the casts that already wait."""
        client = self.opened()
        client.cast("x")
        self.successResultOf(client.sys.replace_state(lambda _: NEW))
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "x", NEW))

    def test_behind_a_callback(self) -> None:
        """[Y1] After a pending callback, a request is served before waiting events."""
        client = self.opened(handle_info=self.waits)
        client.info("pending")
        self.step()
        client.cast("x")
        self.peer.send(text("y"))
        client.sys.replace_state(lambda state: (state, NEW))
        self.settle(Ok("answered"))
        self.assertEqual({state for _, _, state in self.handler.calls[2:]}, {("answered", NEW)})
        self.assertEqual(self.notes("handle_cast", "handle_frame"), ["x", wsx.Text("y")])

    def in_a_callback(self, ask: Callable[[wsx.Client[Any]], Any]) -> list[Any]:
        """Call ``ask`` in the callback of the first of three frames.

        Returns:
            The states with which the other two were handled.
        """

        def first(frame: Any, state: Any) -> Any:
            if frame == wsx.Text("1"):
                ask(client)
                return Ok("answered")
            return None

        client = self.opened(handle_frame=first)
        self.peer.send(text("1") + text("2") + text("3"))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text(n) for n in "123"])
        return [state for name, _, state in self.handler.calls if name == "handle_frame"][1:]

    def test_inside_a_callback(self) -> None:
        """[Y1] Made in a callback, a request is served before the next frame."""
        found = self.in_a_callback(lambda client: client.sys.replace_state(lambda s: (s, NEW)))
        self.assertEqual(found, [("answered", NEW)] * 2)

    def test_inside_a_callback_is_not_at_once(self) -> None:
        """[Y1] A request never replaces the state while a callback is running."""
        seen: list[Any] = []

        def ask(client: wsx.Client[Any]) -> None:
            seen.append(client.sys.replace_state(lambda _: NEW).called)
            seen.append(client.sys.get_state())

        self.in_a_callback(ask)
        self.assertEqual(seen, [False, FIRST])

    def test_several_inside_a_callback(self) -> None:
        """[Y1] Several requests of one callback are served in order before the next frame."""

        def ask(client: wsx.Client[Any]) -> None:
            for n in range(3):
                client.sys.replace_state(lambda state, n=n: f"{state} {n}")  # type: ignore[misc]

        self.assertEqual(self.in_a_callback(ask), ["answered 0 1 2"] * 2)

    def test_pending_inside_a_callback(self) -> None:
        """[Y1] If the function is asynchronous, the remaining frames of the read wait for it."""

        def first(frame: Any, state: Any) -> None:
            if frame == wsx.Text("1"):
                client.sys.replace_state(self.waits)

        client = self.opened(handle_frame=first)
        self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("1")])
        self.settle(NEW)
        self.assertEqual(self.handler.calls[-1], ("handle_frame", wsx.Text("2"), NEW))

    def test_reading_while_frames_wait_for_a_request(self) -> None:
        """[Y1] While frames wait for a request, reading is paused."""

        def first(frame: Any, state: Any) -> None:
            if frame == wsx.Text("1"):
                client.sys.replace_state(self.waits)

        client = self.opened(handle_frame=first)
        self.peer.send(text("1") + text("2"))
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle(NEW)
        self.assertFalse(self.peer.transport.reading_paused)

    def test_inside_a_batch_that_waited(self) -> None:
        """[Y1] Requests in a callback precede the next frame also if the frames had to wait."""
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        self.peer.send(text("1") + text("2"))
        self.peer.send(text("3"))

        def first(frame: Any, state: Any) -> None:
            if frame == wsx.Text("1"):
                client.sys.replace_state(lambda _: NEW)

        self.handler.answers["handle_frame"] = first
        self.settle()
        frames = [call[1:] for call in self.handler.calls if call[0] == "handle_frame"]
        expected = [(wsx.Text("1"), FIRST), (wsx.Text("2"), NEW), (wsx.Text("3"), NEW)]
        self.assertEqual(frames, expected)

    def test_inside_a_cast(self) -> None:
        """[Y1] Made in a cast's callback, a request is served before the next cast."""
        client = self.opened()
        self.handler.answers["handle_cast"] = lambda message, state: (
            client.sys.replace_state(lambda _: NEW) and None if message == 1 else None
        )
        client.cast(1)
        client.cast(2)
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", 2, NEW))

    def test_inside_handle_connect(self) -> None:
        """[Y1] Made in ``handle_connect``, a request is served before the first frame."""
        handler = Recorder()
        handler.answers["handle_connect"] = lambda conn, state: (
            handler.client.sys.replace_state(lambda _: NEW) and None
        )
        self.start(handler, FIRST)
        self.peer.answer(text("x"))
        self.step()
        self.assertEqual(handler.calls[-1], ("handle_frame", wsx.Text("x"), NEW))

    def test_reply_of_the_callback_goes_out(self) -> None:
        """[Y1] The reply of a callback that makes a request is sent."""
        client = self.opened()
        self.handler.answers["handle_frame"] = lambda frame, state: (
            client.sys.replace_state(lambda _: NEW) and Reply(frame, state)
        )
        self.peer.send(text("1"))
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"1")])

    def test_thousands_behind_a_callback(self) -> None:
        """[Y1] 5000 requests that wait for a callback are served without recursion."""
        count = 5000
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        order: list[int] = []
        done: list[int] = []
        for n in range(count):
            asked = client.sys.replace_state(lambda state, n=n: order.append(n) or n)  # type: ignore[misc, func-returns-value]
            asked.addCallback(done.append)
        self.settle()
        self.assertEqual(order, list(range(count)))
        self.assertEqual(done, order)
        self.assertEqual(client.sys.get_state(), count - 1)

    def test_thousands_that_ask_again(self) -> None:
        """[Y1] 5000 requests that each make another one are served without recursion."""
        count = 5000
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        order: list[int] = []

        def ask(n: int) -> Deferred[Any]:
            return client.sys.replace_state(lambda state: order.append(n) or n)  # type: ignore[func-returns-value]

        asked = [ask(n).addCallback(lambda n: ask(n + count)) for n in range(count)]
        self.settle()
        self.assertEqual(len(order), 2 * count)
        self.assertEqual(order, list(range(2 * count)))
        for request in asked:
            self.successResultOf(request)

    def test_thousands_inside_a_coroutine(self) -> None:
        """[Y1] 5000 requests awaited one after another are served without deep recursion."""

        async def many() -> None:
            for n in range(5000):
                await client.sys.replace_state(lambda _, n=n: n)  # type: ignore[misc]

        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        done = Deferred.fromCoroutine(many())
        self.settle()
        self.successResultOf(done)
        self.assertEqual(client.sys.get_state(), 4999)

    def test_answer_that_asks(self) -> None:
        """[Y1] A request made when another one is done is queued behind those that wait."""
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()

        def add(word: str) -> Callable[[Any], Any]:
            return lambda state: f"{state} {word}"

        first = client.sys.replace_state(add("a"))
        first.addCallback(lambda _: client.sys.replace_state(add("c")))
        client.sys.replace_state(add("b"))
        self.settle(Ok("state"))
        self.assertEqual(client.sys.get_state(), "state a b c")

    def test_awaited_inside_its_callback(self) -> None:
        """[Y1] A callback that awaits its own request waits until ``stop`` cancels it."""

        async def deadlock(message: Any, state: Any) -> None:
            await client.sys.replace_state(lambda _: NEW)

        client = self.opened(handle_cast=deadlock)
        client.cast("x")
        self.step()
        self.end(client)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), FIRST))


class RequestEndTests(SystemCase):
    """[Y1] Requests that are cancelled, or pending when the client ends."""

    def test_stop_while_waiting(self) -> None:
        """[Y1] A request that waits for a callback is served when ``stop`` cancels the callback."""
        client = self.enter("callback pending")
        replaced = client.sys.replace_state(lambda _: NEW)
        client.stop()
        self.step()
        self.assertEqual(self.successResultOf(replaced), NEW)
        self.peer.drop()
        self.step()
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), NEW))

    def test_stop_while_waiting_without_a_connection(self) -> None:
        """[Y1] A request that waits for ``handle_disconnect`` is served before ``terminate``."""
        client = self.enter("handle_disconnect pending")
        replaced = client.sys.replace_state(lambda _: NEW)
        client.stop()
        self.step()
        self.assertEqual(self.successResultOf(replaced), NEW)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), NEW))

    def test_crash_while_waiting(self) -> None:
        """[Y1] A request that waits for a callback that fails is served before ``terminate``."""
        client = self.enter("callback pending")
        replaced = client.sys.replace_state(lambda _: NEW)
        self.pending.errback(RuntimeError("on purpose"))
        self.step()
        self.assertEqual(self.successResultOf(replaced), NEW)
        self.end(client)
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(self.handler.calls[-1][::2], ("terminate", NEW))

    @each(("open", "waiting to reconnect"))
    def test_stop_while_under_way(self, state: str) -> None:
        """[Y1] A function that is pending when the client stops is cancelled. The state stays."""
        client = self.enter(state)
        replaced = client.sys.replace_state(self.waits)
        client.stop()
        self.clock.pump([1.0] * 20)
        self.assertEqual(client.status, "terminated")
        self.failureResultOf(replaced, CancelledError, NotConnectedError)
        self.assertTrue(self.cancelled)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), FIRST))
        self.assertEqual(client.sys.get_state(), FIRST)

    def test_pending_at_the_end(self) -> None:
        """[Y1] A request that begins while the client is ending fails at the end."""
        client = self.enter("ending")
        replaced = client.sys.replace_state(self.waits)
        self.clock.pump([1.0] * 20)
        self.assertEqual(client.status, "terminated")
        self.failureResultOf(replaced, CancelledError, NotConnectedError)

    def test_function_that_stops_and_waits(self) -> None:
        """[Y1] A function that stops the client and then waits is cancelled."""

        async def stop_and_wait(state: Any) -> Any:
            client.stop()
            await self.waits()

        client = self.opened()
        replaced = client.sys.replace_state(stop_and_wait)
        self.clock.pump([1.0] * 20)
        self.assertEqual(client.status, "terminated")
        self.failureResultOf(replaced, CancelledError, NotConnectedError)

    def test_function_that_stops(self) -> None:
        """[Y1] A function that stops the client and returns has replaced the state."""

        def stop(state: Any) -> Any:
            client.stop()
            return NEW

        client = self.opened()
        self.assertEqual(self.successResultOf(client.sys.replace_state(stop)), NEW)
        self.end(client)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), NEW))

    def test_cancelled_while_waiting(self) -> None:
        """[Y1] A request cancelled while it waits is not served. The next one is."""
        client = self.enter("callback pending")
        asked: list[Any] = []
        cancelled = client.sys.replace_state(lambda _: asked.append(1))
        kept = client.sys.replace_state(lambda _: NEW)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.settle()
        self.assertEqual(asked, [])
        self.assertEqual(self.successResultOf(kept), NEW)

    def test_cancelled_at_the_end(self) -> None:
        """[Y1] A request cancelled while ``terminate`` is pending has no effect."""
        client = self.enter("terminate pending")
        cancelled = client.sys.replace_state(lambda _: NEW)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.settle()
        self.assertEqual(client.status, "terminated")

    def test_cancelled_under_way(self) -> None:
        """[Y1] Cancelling a running request cancels its function. The client goes on."""
        client = self.opened()
        replaced = client.sys.replace_state(self.waits)
        client.cast("x")
        replaced.cancel()
        self.failureResultOf(replaced, CancelledError)
        self.step()
        self.assertTrue(self.cancelled)
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "x", FIRST))

    def test_errors_are_the_callers(self) -> None:
        """[Y1] A failing request fails its Deferred only; nothing is logged."""
        client = self.opened()
        with capturedLogs() as events:
            asked = client.sys.replace_state(lambda state: 1 / 0)
            self.failureResultOf(asked, ZeroDivisionError)
            self.step()
        self.assertEqual(list(events), [])
        self.assertEqual(client.status, "open")
