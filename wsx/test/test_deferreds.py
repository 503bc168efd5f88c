"""Tests of wsx._deferreds: Deferreds that wait for the same thing."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from wsx._deferreds import Waiters


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
