"""Tests of wsx._cluster.event_loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from wsx._cluster.event_loop import Calls, EventLoop
from wsx.test.support.loops import run_in_loop, turn
from wsx.test.support.sockets import global_reactor


class CallsTests(SynchronousTestCase):
    """Calls in another thread."""

    def setUp(self) -> None:
        self.woken: list[Callable[[], None]] = []
        self.calls = Calls(self.woken.append)
        self.made: list[object] = []

    def wake(self) -> None:
        """Let the other thread run."""
        woken, self.woken[:] = self.woken[:], []
        for function in woken:
            function()

    def test_one_wake_up(self) -> None:
        """Many calls need one wake-up, and are made in order."""
        for number in range(100):
            self.calls(self.made.append, number)
        self.assertEqual((len(self.woken), self.made), (1, []))
        self.wake()
        self.assertEqual(self.made, list(range(100)))

    def test_next_wake_up(self) -> None:
        """A call that is added later, or by a call, wakes the thread again."""
        self.calls(self.calls, self.made.append, "nested")
        self.calls(self.made.append, "first")
        self.wake()
        self.assertEqual(self.made, ["first"])
        self.wake()
        self.calls(self.made.append, "last")
        self.wake()
        self.assertEqual(self.made, ["first", "nested", "last"])
        self.assertEqual(self.woken, [])

    def test_failure(self) -> None:
        """If a call fails, the error is logged and the others are made."""
        self.calls(lambda: 1 / 0)
        self.calls(self.made.append, "next")
        self.wake()
        self.assertEqual(self.made, ["next"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_threads(self) -> None:
        """No call is lost or overtaken if both threads run at the same time."""
        ready = threading.Semaphore(0)
        functions: list[Callable[[], None]] = []

        def wake(function: Callable[[], None]) -> None:
            functions.append(function)
            ready.release()

        def work() -> None:
            while len(self.made) < 20_000:
                ready.acquire()
                functions.pop()()

        calls = Calls(wake)
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        for number in range(20_000):
            calls(self.made.append, number)
        worker.join(30)
        self.assertEqual(self.made, list(range(20_000)))


class ThreadTests(TestCase):
    """The event loop in a thread."""

    def setUp(self) -> None:
        # Not an asyncio reactor, even if trial runs one.
        self.loop = EventLoop(SimpleNamespace(callFromThread=global_reactor().callFromThread))
        self.loop.start()
        self.addCleanup(self.loop.stop)

    async def test_result(self) -> None:
        """A coroutine runs in the thread, and its result comes back to the reactor's."""

        async def work(value: int) -> tuple[int, str]:
            await asyncio.sleep(0)
            return value, threading.current_thread().name

        self.assertEqual(await self.loop.run(work, 7), (7, "wsx cluster"))
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_error(self) -> None:
        """An exception comes back, too, and is not logged."""

        async def work() -> None:
            raise ValueError("text")

        await self.assertFailure(self.loop.run(work), ValueError)

    async def test_order(self) -> None:
        """Calls are made in order, in both directions."""
        returned: list[int] = []
        done: Deferred[None] = Deferred()
        for number in range(1000):
            self.loop.to_loop(self.loop.to_reactor, returned.append, number)
        self.loop.to_loop(self.loop.to_reactor, done.callback, None)
        await done
        self.assertEqual(returned, list(range(1000)))

    async def test_cancel(self) -> None:
        """Cancelling the Deferred cancels the coroutine."""
        outcome: Deferred[str] = Deferred()
        running: Deferred[None] = Deferred()

        async def work() -> None:
            self.loop.to_reactor(running.callback, None)
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.loop.to_reactor(outcome.callback, "cancelled")
                raise

        working = self.loop.run(work)
        await running
        working.cancel()
        await self.assertFailure(working, CancelledError)
        self.assertEqual(await outcome, "cancelled")

    async def test_cancel_early(self) -> None:
        """A coroutine that is cancelled before it begins does not run."""
        began: list[None] = []

        async def work() -> None:
            began.append(None)

        gate = threading.Event()
        self.loop.to_loop(gate.wait)  # The thread cannot begin anything before the cancellation.
        working = self.loop.run(work)
        working.cancel()
        gate.set()
        await self.assertFailure(working, CancelledError)
        await self.loop.stop()
        self.assertEqual(began, [])

    async def test_stop(self) -> None:
        """stop() cancels what still runs, and ends the thread."""
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(threading.current_thread().name)

        working = self.loop.run(work)
        await self.loop.stop()
        self.assertEqual(ended, ["wsx cluster"])
        self.assertNotIn("wsx cluster", [thread.name for thread in threading.enumerate()])
        self.assertFalse(self.loop.is_running)
        await self.assertFailure(working, asyncio.CancelledError)

    async def test_call_after_stop(self) -> None:
        """Calls after the end have no effect, and another stop() is harmless."""
        await self.loop.stop()
        self.loop.to_loop(self.fail)
        await self.loop.stop()

    async def test_end(self) -> None:
        """end() ends the thread before it returns, also if tasks still run."""

        async def work() -> None:
            await asyncio.sleep(3600)

        self.loop.run(work).addErrback(lambda failure: failure.trap(asyncio.CancelledError))
        self.loop.end()
        self.assertNotIn("wsx cluster", [thread.name for thread in threading.enumerate()])

    async def test_start_again(self) -> None:
        """It can be started again."""

        async def work() -> int:
            return 1

        await self.loop.stop()
        self.loop.start()
        self.assertEqual(await self.loop.run(work), 1)


class AsyncioReactorTests(SynchronousTestCase):
    """The event loop of an asyncio reactor."""

    def run_with(self, work: Callable[[EventLoop], Any]) -> Any:
        """Run a coroutine function with an EventLoop on the running event loop of asyncio."""

        async def main() -> Any:
            loop = EventLoop(SimpleNamespace(_asyncioEventloop=asyncio.get_running_loop()))
            loop.start()
            try:
                return await work(loop)
            finally:
                self.successResultOf(loop.stop())

        return run_in_loop(main())

    def test_no_thread(self) -> None:
        """A coroutine runs in the same thread, and its Deferred fires there."""

        async def name() -> str:
            return threading.current_thread().name

        async def main(loop: EventLoop) -> str:
            named = loop.run(name)
            self.assertNoResult(named)
            await turn()
            return self.successResultOf(named)

        self.assertEqual(self.run_with(main), threading.current_thread().name)

    def test_calls(self) -> None:
        """Calls are made later, in order, and outside of the caller."""
        made: list[int] = []

        async def main(loop: EventLoop) -> None:
            for number in range(10):
                loop.to_reactor(made.append, number)
            self.assertEqual(made, [])
            await turn()

        self.run_with(main)
        self.assertEqual(made, list(range(10)))
