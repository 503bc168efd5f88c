"""Tests of wsx._deferreds: Deferreds that wait for the same thing, also in tasks of asyncio."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from twisted.internet.defer import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    ensureDeferred,
    inlineCallbacks,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._deferreds import AnyDeferred, Waiters, fire_all
from wsx.test.support.each import each
from wsx.test.support.loops import run_in_loop, turn


class WaitersTests(SynchronousTestCase):
    """Waiters: Deferreds that are requested individually and fired together."""

    def setUp(self) -> None:
        self.waiters: Waiters[str] = Waiters()

    def test_succeed(self) -> None:
        """All fire with the result, in the order in which they were requested."""
        order: list[int] = []
        for number in range(3):
            self.waiters.add().addCallback(lambda _, number: order.append(number), number)
        self.waiters.succeed("done")
        self.assertEqual(order, [0, 1, 2])
        self.assertFalse(self.waiters)

    def test_fail(self) -> None:
        """All fail with the error."""
        asked = [self.waiters.add() for _ in range(2)]
        self.waiters.fail(ValueError())
        for waiter in asked:
            self.failureResultOf(waiter, ValueError)

    def test_cancelled(self) -> None:
        """A cancelled Deferred is removed and not fired again."""
        waiter = self.waiters.add()
        waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertFalse(self.waiters)
        self.waiters.succeed("late")

    def test_cancelled_by_the_one_before(self) -> None:
        """A callback can cancel the next Deferred, which is then not fired again."""
        first: Deferred[str] = self.waiters.add()
        second = self.waiters.add()
        first.addCallback(lambda _: second.cancel())
        self.waiters.succeed("done")
        self.failureResultOf(second, CancelledError)

    def test_asked_while_firing(self) -> None:
        """A Deferred that is requested in a callback waits for the next call."""
        later: list[Deferred[str]] = []
        self.waiters.add().addCallback(lambda _: later.append(self.waiters.add()))
        self.waiters.succeed("one")
        self.assertNoResult(later[0])
        self.waiters.succeed("two")
        self.assertEqual(self.successResultOf(later[0]), "two")


class FireAllTests(SynchronousTestCase):
    """``fire_all``."""

    def test_without_callbacks(self) -> None:
        """A Deferred without callbacks has fired with None; callbacks can be added later."""
        waiter: Deferred[None] = Deferred()
        fire_all([waiter])
        self.assertTrue(waiter.called)
        results: list[object] = []
        waiter.addCallback(results.append)
        waiter.addCallback(results.append)
        self.assertEqual(results, [None, None])
        with self.assertRaises(AlreadyCalledError):
            waiter.callback(None)
        waiter.cancel()
        self.assertIsNone(self.successResultOf(waiter))

    def test_same_as_callback(self) -> None:
        """A Deferred without callbacks has the same attributes as after ``callback``."""
        fast, slow = Deferred[None](), Deferred[None]()
        fire_all([fast])
        slow.callback(None)
        defaults = {"_chainedTo": None}
        self.assertEqual(vars(fast) | defaults, vars(slow) | defaults)

    def test_awaited(self) -> None:
        """A coroutine that awaits a Deferred continues, whether it fires before or later."""
        results: list[str] = []

        async def wait(waiter: Deferred[None], name: str) -> None:
            await waiter
            results.append(name)

        before, later = Deferred[None](), Deferred[None]()
        fire_all([before])
        for waiter, name in ((before, "before"), (later, "later")):
            Deferred.fromCoroutine(wait(waiter, name))
        fire_all([later])
        self.assertEqual(results, ["before", "later"])

    def test_paused(self) -> None:
        """The callbacks of a paused Deferred run when it is unpaused."""
        results: list[object] = []
        waiter: Deferred[None] = Deferred()
        waiter.pause()
        fire_all([waiter])
        waiter.addCallback(results.append)
        self.assertEqual(results, [])
        waiter.unpause()
        self.assertEqual(results, [None])

    def test_order(self) -> None:
        """Callbacks are called in order; a Deferred that one of them cancels is skipped."""
        waiters = [Deferred[None]() for _ in range(3)]
        order: list[tuple[int, Any]] = []
        waiters[0].addCallback(lambda _: waiters[1].cancel())
        for number, waiter in enumerate(waiters):
            waiter.addBoth(lambda result, number: order.append((number, result)), number)
        fire_all(waiters)
        self.assertEqual([number for number, _ in order], [1, 0, 2])
        self.assertIsInstance(order[0][1], Failure)

    def test_other_twisted(self) -> None:
        """If Deferreds have no list of callbacks, ``callback`` is called."""

        class Other:
            called = False
            results: ClassVar[list[object]] = []

            def callback(self, result: object) -> None:
                self.results.append(result)

        fire_all([Other()])  # type: ignore[list-item]
        self.assertEqual(Other.results, [None])


class AnyDeferredTests(SynchronousTestCase):
    """A Deferred that coroutines of Twisted and tasks of asyncio may await."""

    def test_twisted(self) -> None:
        """Without an event loop, it is a Deferred."""
        waited: AnyDeferred[str] = AnyDeferred()

        async def wait() -> str:
            return await waited

        waiting = ensureDeferred(wait())
        waited.callback("result")
        self.assertEqual(self.successResultOf(waiting), "result")

    @each((True, False))
    def test_task(self, fired: bool) -> None:
        """A task waits for it, unless it has fired already."""

        async def test() -> str:
            waited: AnyDeferred[str] = AnyDeferred()
            if fired:
                waited.callback("result")
            else:
                asyncio.get_running_loop().call_soon(waited.callback, "result")
            return await waited

        self.assertEqual(run_in_loop(test()), "result")

    def test_failure(self) -> None:
        """A task receives its exception."""

        async def test() -> None:
            waited: AnyDeferred[None] = AnyDeferred()
            asyncio.get_running_loop().call_soon(waited.errback, ValueError("x"))
            with self.assertRaises(ValueError):
                await waited

        run_in_loop(test())

    def test_cancel(self) -> None:
        """A cancelled task cancels it."""
        cancelled: list[object] = []

        async def test() -> None:
            waited: AnyDeferred[None] = AnyDeferred(cancelled.append)
            task = asyncio.ensure_future(asyncio.wait_for(waited, 60))
            await turn()
            task.cancel()
            await turn()
            self.assertEqual(cancelled, [waited])

        run_in_loop(test())

    def test_gather(self) -> None:
        """``asyncio.gather`` accepts several."""

        async def test() -> list[int]:
            several: list[AnyDeferred[int]] = [AnyDeferred(), AnyDeferred()]
            for number, one in enumerate(several):
                asyncio.get_running_loop().call_soon(one.callback, number)
            return await asyncio.gather(*several)

        self.assertEqual(run_in_loop(test()), [0, 1])

    @each((True, False))
    def test_twisted_inside_a_task(self, by_inline_callbacks: bool) -> None:
        """A coroutine that Twisted runs while a task is current waits for it as a Deferred."""
        waited: AnyDeferred[str] = AnyDeferred()

        async def wait() -> str:
            return await waited

        @inlineCallbacks
        def wait_inline() -> Any:
            return (yield ensureDeferred(wait()))

        async def test() -> None:
            waiting = wait_inline() if by_inline_callbacks else ensureDeferred(wait())
            waited.callback("result")
            self.assertEqual(self.successResultOf(waiting), "result")

        run_in_loop(test())
