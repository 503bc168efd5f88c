"""Tests of wsx._client.coroutines: coroutines that wait or do not wait."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.coroutines import run_coroutine
from wsx.test.support import collect_garbage

variable: ContextVar[str] = ContextVar("variable", default="outside")


class RunCoroutineTests(SynchronousTestCase):
    """``run_coroutine`` runs a coroutine, and measures its steps after each await."""

    def setUp(self) -> None:
        self.now = 0.0
        self.began: list[float] = []
        self.pending: Deferred[Any] = Deferred()

    def run_it(self, coroutine: Any) -> Any:
        """Run a coroutine."""
        return run_coroutine(coroutine, self, "handle_frame")

    def monotonic(self) -> float:
        return self.now

    def check_blocked_since(self, began: float, callback: str) -> None:
        self.began.append(began)

    def test_without_await(self) -> None:
        """A coroutine that does not wait returns its result, without a Deferred."""

        async def callback() -> str:
            return "result"

        self.assertEqual(self.run_it(callback()), "result")
        self.assertEqual(self.began, [])

    def test_fired_deferred(self) -> None:
        """Awaiting a Deferred that has fired is no wait."""

        async def callback() -> str:
            return f"got {await self.pending}"

        self.pending.callback("this")
        self.assertEqual(self.run_it(callback()), "got this")

    def test_raises_at_once(self) -> None:
        """An exception before the first await is raised, also one that is no Exception."""

        async def callback(error: BaseException) -> None:
            raise error

        for error in (ValueError("x"), SystemExit(1)):
            self.assertIs(self.assertRaises(type(error), self.run_it, callback(error)), error)

    def test_steps(self) -> None:
        """After each await, the time at which the step began is passed on; results arrive."""
        pending: list[Deferred[Any]] = [Deferred(), Deferred()]

        async def callback() -> list[Any]:
            return [await each for each in pending]

        result = self.run_it(callback())
        for number, each in enumerate(pending):
            self.now = 10.0 * number
            each.callback(number)
        self.assertEqual(self.successResultOf(result), [0, 1])
        self.assertEqual(self.began, [0.0, 10.0])

    def test_failure(self) -> None:
        """A failure is raised at the await; what the coroutine then raises is the result."""

        async def callback() -> None:
            try:
                await self.pending
            except ValueError as error:
                raise KeyError("y") from error

        result = self.run_it(callback())
        self.pending.errback(ValueError("x"))
        self.assertIsInstance(self.failureResultOf(result, KeyError).value.__cause__, ValueError)

    def test_cancel(self) -> None:
        """Cancelling the result cancels what the coroutine waits for."""
        seen: list[str] = []

        async def callback() -> str:
            try:
                await self.pending
            except CancelledError:
                seen.append("cancelled")
                raise
            return "not reached"

        result = self.run_it(callback())
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(seen, ["cancelled"])

    def test_closed(self) -> None:
        """A coroutine that is dropped while it waits is closed: its ``finally`` runs."""
        seen: list[str] = []

        async def callback() -> None:
            try:
                await Deferred()
            finally:
                seen.append("closed")

        self.run_it(callback())
        collect_garbage()
        self.assertEqual(seen, ["closed"])

    def test_context(self) -> None:
        """Context variables that the coroutine sets are its own, also after an await."""
        seen: list[str] = []

        async def callback() -> None:
            variable.set("inside")
            await self.pending
            seen.append(variable.get())

        self.run_it(callback())
        self.pending.callback(None)
        self.assertEqual((variable.get(), seen), ("outside", ["inside"]))
