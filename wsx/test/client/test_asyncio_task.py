"""Tests of wsx._client.asyncio_task: the task that asyncio code sees inside a callback."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.coroutines import run_coroutine
from wsx.test.support import collect_garbage
from wsx.test.support.each import each
from wsx.test.support.extras import aiohttp, require
from wsx.test.support.loops import run_in_loop, turn


class Unwatched:
    """A watcher that measures nothing."""

    def monotonic(self) -> float:
        return 0.0

    def check_blocked_since(self, began: float, callback: str) -> None:
        """Do nothing."""


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as a callback."""
    return run_coroutine(coroutine, Unwatched(), "handle_frame")


async def result_of(outcome: Any) -> Any:
    """Return the result of a callback, in a task of asyncio."""
    return await outcome.asFuture(asyncio.get_running_loop())


class TaskCase(SynchronousTestCase):
    """Base class: each test runs in an event loop."""

    def tearDown(self) -> None:
        collect_garbage()

    def in_loop(self, test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine function in an event loop."""
        return run_in_loop(test())


class AwaitTests(TaskCase):
    """What a callback may await."""

    def test_without_await(self) -> None:
        """A callback that does not wait returns its result at once."""

        async def callback() -> str:
            return "result"

        async def test() -> None:
            self.assertEqual(run(callback()), "result")

        self.in_loop(test)

    @each(
        (
            lambda: asyncio.sleep(0, "result"),
            lambda: asyncio.sleep(0.001, "result"),
            lambda: asyncio.ensure_future(asyncio.sleep(0, "result")),
            lambda: asyncio.wait_for(asyncio.sleep(0, "result"), 5),
            lambda: asyncio.shield(asyncio.sleep(0, "result")),
        )
    )
    def test_awaitables(self, make: Callable[[], Any]) -> None:
        """Awaitables of asyncio."""

        async def callback() -> Any:
            return await make()

        async def test() -> Any:
            outcome = run(callback())
            self.assertIsInstance(outcome, Deferred)
            return await result_of(outcome)

        self.assertEqual(self.in_loop(test), "result")

    def test_thread(self) -> None:
        """A function that runs in a thread."""
        release = threading.Event()

        async def callback() -> bool:
            return await asyncio.to_thread(release.wait)

        async def test() -> Any:
            outcome = run(callback())
            self.assertIsInstance(outcome, Deferred)
            release.set()
            return await result_of(outcome)

        self.assertTrue(self.in_loop(test))

    def test_mixed(self) -> None:
        """Deferreds and futures in turn; a Deferred resumes the callback at once."""
        first: Deferred[int] = Deferred()
        last: Deferred[int] = Deferred()

        async def callback() -> list[Any]:
            return [await first, await asyncio.sleep(0, 2), await last]

        async def test() -> None:
            outcome = run(callback())
            first.callback(1)
            await turn()
            last.callback(3)
            self.assertEqual(self.successResultOf(outcome), [1, 2, 3])

        self.in_loop(test)

    def test_error(self) -> None:
        """An exception of the awaited future arrives in the callback."""

        async def fails() -> None:
            raise ValueError("x")

        async def callback() -> str:
            try:
                await asyncio.ensure_future(fails())
            except ValueError as error:
                return str(error)
            return "no error"

        async def test() -> Any:
            return await result_of(run(callback()))

        self.assertEqual(self.in_loop(test), "x")

    def test_unknown(self) -> None:
        """Anything else that is awaited is an error."""

        class Odd:
            def __await__(self) -> Any:
                yield 5

        async def callback() -> None:
            await Odd()

        async def test() -> None:
            outcome = run(callback())
            self.assertIn("type int", str(self.failureResultOf(outcome, RuntimeError).value))

        self.in_loop(test)

    def test_aiohttp(self) -> None:
        """The client of aiohttp, which requires a current task, works."""

        async def respond(request: aiohttp.web.Request) -> aiohttp.web.Response:
            return aiohttp.web.Response(text="hello")

        async def callback(port: int) -> str:
            url = f"http://127.0.0.1:{port}/"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return await response.text()

        async def test() -> Any:
            app = aiohttp.web.Application()
            app.router.add_get("/", respond)
            runner = aiohttp.web.AppRunner(app)
            await runner.setup()
            await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
            outcome: Any = await result_of(run(callback(runner.addresses[0][1])))
            await runner.cleanup()
            return outcome

        self.assertEqual(self.in_loop(test), "hello")

    def test_task_group(self) -> None:
        """A TaskGroup works."""

        async def callback() -> list[int]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0, n)) for n in (1, 2)]
            return [task.result() for task in tasks]

        async def test() -> Any:
            return await result_of(run(callback()))

        self.assertEqual(self.in_loop(test), [1, 2])

    def test_failed_task_group(self) -> None:
        """A TaskGroup whose task fails cancels the callback's own await."""

        async def fails() -> None:
            raise ValueError("x")

        async def callback() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await Deferred()

        async def test() -> None:
            outcome = run(callback())
            await turn()
            self.failureResultOf(outcome, ExceptionGroup)

        self.in_loop(test)


class CurrentTaskTests(TaskCase):
    """``asyncio.current_task()`` inside a callback."""

    def test_same_in_each_step(self) -> None:
        """It is the same object in each step, and none between the steps."""
        seen: list[Any] = []
        pending: Deferred[None] = Deferred()

        async def callback() -> None:
            seen.append(asyncio.current_task())
            await pending
            seen.append(asyncio.current_task())

        async def outside() -> None:
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: run(callback()))
            loop.call_soon(lambda: seen.append(asyncio.current_task()))
            loop.call_soon(pending.callback, None)
            await turn()

        self.in_loop(outside)
        self.assertIs(seen[0], seen[2])
        self.assertIsNone(seen[1])
        task = seen[0]
        self.assertTrue(task.done())
        self.assertFalse(task.cancel())
        self.assertIn("callback", task.get_name())

    def test_inside_another_task(self) -> None:
        """A callback that runs inside a task of asyncio hides that task meanwhile."""

        async def callback() -> Any:
            return asyncio.current_task()

        async def test() -> None:
            own = asyncio.current_task()
            self.assertIsNot(run(callback()), own)
            self.assertIs(asyncio.current_task(), own)

        self.in_loop(test)

    def test_task_api(self) -> None:
        """The task knows its loop and its coroutine."""

        async def callback() -> None:
            task: Any = asyncio.current_task()
            self.assertIs(task.get_loop(), asyncio.get_running_loop())
            self.assertIs(task.get_coro().cr_frame, sys._getframe())
            self.assertEqual((task.cancelling(), task.uncancel()), (0, 0))

        async def test() -> None:
            self.assertIsNone(run(callback()))

        self.in_loop(test)


class TimeoutTests(TaskCase):
    """``asyncio.timeout`` cancels what a callback awaits."""

    @each((lambda: asyncio.Event().wait(), Deferred))
    def test_timeout(self, make: Callable[[], Any]) -> None:
        """A future or a Deferred is cancelled, and the callback goes on with a TimeoutError."""

        async def callback() -> str:
            try:
                async with asyncio.timeout(0.001):
                    await make()
            except TimeoutError:
                await asyncio.sleep(0)
                return "timed out"
            return "no time-out"

        async def test() -> Any:
            return await result_of(run(callback()))

        self.assertEqual(self.in_loop(test), "timed out")

    def test_cancelled_in_its_own_step(self) -> None:
        """A callback that cancels its own task is interrupted at its next await."""

        async def callback() -> str:
            task: Any = asyncio.current_task()
            task.cancel()
            try:
                await Deferred()
            except asyncio.CancelledError:
                return f"cancelled {task.uncancel()}"
            return "not cancelled"

        async def test() -> Any:
            return await result_of(run(callback()))

        self.assertEqual(self.in_loop(test), "cancelled 0")

    def test_message(self) -> None:
        """The argument of ``cancel`` is that of the exception: anyio depends on it."""
        seen: list[Any] = []
        tasks: list[Any] = []

        async def callback() -> None:
            tasks.append(asyncio.current_task())
            try:
                await Deferred()
            except asyncio.CancelledError as error:
                seen.append(error.args)

        async def test() -> None:
            for arguments in ((), ("by a scope",)):
                outcome = run(callback())
                tasks[-1].cancel(*arguments)
                await turn()
                self.assertIsNone(self.successResultOf(outcome))

        self.in_loop(test)
        self.assertEqual(seen, [(), ("by a scope",)])

    def test_result_and_cancellation(self) -> None:
        """A cancellation wins over a result that arrives at the same time."""
        pending: Deferred[int] = Deferred()
        tasks: list[Any] = []

        async def callback() -> str:
            tasks.append(asyncio.current_task())
            try:
                return f"got {await pending}"
            except asyncio.CancelledError:
                return "cancelled"

        async def test() -> None:
            outcome = run(callback())
            tasks[0].cancel()
            pending.callback(1)
            await turn()
            self.assertEqual(self.successResultOf(outcome), "cancelled")

        self.in_loop(test)


class CancelTests(TaskCase):
    """Cancelling the Deferred of a callback."""

    @each((lambda: asyncio.get_running_loop().create_future(), lambda: asyncio.sleep(60)))
    def test_awaitables(self, make: Callable[[], Any]) -> None:
        """The future is cancelled, the callback sees asyncio's error, the Deferred Twisted's."""
        seen: list[Any] = []
        awaited: list[Any] = []

        async def callback() -> None:
            awaited.append(asyncio.ensure_future(make()))
            try:
                await awaited[0]
            except asyncio.CancelledError:
                seen.append("asyncio")
                raise

        async def test() -> None:
            outcome = run(callback())
            await turn()
            outcome.cancel()
            await turn()
            self.failureResultOf(outcome, CancelledError)
            self.assertTrue(awaited[0].cancelled())

        self.in_loop(test)
        self.assertEqual(seen, ["asyncio"])

    def test_next_iteration(self) -> None:
        """``asyncio.sleep(0)`` is cancelled as well."""

        async def callback() -> None:
            await asyncio.sleep(0)

        async def test() -> None:
            outcome = run(callback())
            outcome.cancel()
            await turn()
            self.failureResultOf(outcome, CancelledError)

        self.in_loop(test)

    def test_clean_up(self) -> None:
        """A cancelled callback may wait for asyncio code before it ends."""

        async def callback() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return await asyncio.sleep(0, "cleaned up")
            return "slept"

        async def test() -> None:
            outcome = run(callback())
            outcome.cancel()
            await turn()
            self.assertEqual(self.successResultOf(outcome), "cleaned up")

        self.in_loop(test)

    def test_raised_at_once(self) -> None:
        """asyncio's error from the first step is Twisted's."""

        async def callback() -> None:
            raise asyncio.CancelledError

        async def test() -> None:
            self.assertRaises(CancelledError, run, callback())

        self.in_loop(test)


class OtherReactorTests(SynchronousTestCase):
    """Without a running event loop, a RuntimeError says what to do."""

    def tearDown(self) -> None:
        collect_garbage()

    def check(self, error: BaseException | None) -> None:
        self.assertIn("handle_frame awaits asyncio code", str(error))
        for part in ("twistd --reactor asyncio", "deferToThread", "treq"):
            self.assertIn(part, str(error))

    @each((lambda: asyncio.sleep(1), lambda: aiohttp.ClientSession().get("http://127.0.0.1/")))
    def test_first_step(self, make: Callable[[], Any]) -> None:
        """asyncio finds no loop."""
        require("aiohttp")

        async def callback() -> None:
            await make()

        self.check(self.assertRaises(RuntimeError, run, callback()))

    def test_later_step(self) -> None:
        """The same after a Deferred."""
        pending: Deferred[None] = Deferred()

        async def callback() -> None:
            await pending
            await asyncio.sleep(1)

        outcome = run(callback())
        pending.callback(None)
        self.check(self.failureResultOf(outcome, RuntimeError).value)

    @each((lambda loop: loop.create_future(), lambda loop: asyncio.sleep(0)))
    def test_future(self, make: Callable[[Any], Any]) -> None:
        """A future of another loop, or nothing, is awaited."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def callback() -> None:
            await make(loop)

        self.check(self.failureResultOf(run(callback()), RuntimeError).value)

    def test_other_error(self) -> None:
        """Other RuntimeErrors are unchanged."""

        async def callback() -> None:
            raise RuntimeError("mine")

        self.assertEqual(str(self.assertRaises(RuntimeError, run, callback())), "mine")
