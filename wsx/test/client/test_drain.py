"""Tests of the Deferreds that wait until the write buffer drains."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.drain import DrainWaiters
from wsx.errors import ConnError, SendTimeout


class CountingClock(Clock):
    """A clock that counts calls of ``callLater``.

    Attributes:
        scheduled: How many calls were scheduled so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scheduled = 0

    def callLater(self, *args: Any, **kwargs: Any) -> Any:
        self.scheduled += 1
        return super().callLater(*args, **kwargs)


class DrainCase(SynchronousTestCase):
    """Waiters with a clock; results are recorded in order."""

    def setUp(self) -> None:
        self.clock = CountingClock()
        self.waiters = DrainWaiters(self.clock)
        self.results: list[tuple[str, float, Any]] = []

    def add(self, name: str, timeout: float | None = None) -> Deferred[None]:
        """Add a waiter whose result is recorded with its name and time."""

        def record(result: Any) -> None:
            kind = getattr(result, "type", None)
            self.results.append((name, self.clock.seconds(), kind))

        return self.waiters.add(timeout).addBoth(record)

    def adding(self, name: str, timeout: float | None = None) -> Callable[[Any], None]:
        """Return a callback that adds a waiter and returns None."""

        def add(_: Any) -> None:
            self.add(name, timeout)

        return add

    def tick(self, seconds: float) -> None:
        """Advance the clock in small steps."""
        for _ in range(round(seconds / 0.125)):
            self.clock.advance(0.125)


class SucceedTests(DrainCase):
    """``succeed``."""

    def test_order(self) -> None:
        """All waiters fire with None, in the order in which they were added."""
        for name, timeout in (("a", None), ("b", 5.0), ("c", 1.0), ("d", None)):
            self.add(name, timeout)
        self.waiters.succeed()
        self.assertEqual(self.results, [(name, 0.0, None) for name in "abcd"])

    def test_result(self) -> None:
        """The result is None."""
        waiter = self.waiters.add(None)
        self.assertNoResult(waiter)
        self.waiters.succeed()
        self.assertIsNone(self.successResultOf(waiter))

    def test_no_waiters(self) -> None:
        """Without waiters nothing happens."""
        self.waiters.succeed()
        self.assertEqual(self.results, [])

    def test_no_timers_are_left(self) -> None:
        """All timers are cancelled."""
        for timeout in (1.0, 2.0, None, 1.0):
            self.add("x", timeout)
        self.waiters.succeed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_once(self) -> None:
        """A waiter fires once."""
        self.add("a", 1.0)
        self.waiters.succeed()
        self.waiters.succeed()
        self.tick(5)
        self.assertEqual(len(self.results), 1)

    def test_added_while_others_fire(self) -> None:
        """A waiter that is added while others fire waits for the next time."""
        first = self.waiters.add(None)
        first.addCallback(self.adding("added", 5.0))
        self.add("second")
        self.waiters.succeed()
        self.assertEqual([name for name, _, _ in self.results], ["second"])
        self.waiters.succeed()
        self.assertEqual([name for name, _, _ in self.results], ["second", "added"])

    def test_added_while_others_fire_times_out(self) -> None:
        """A waiter that is added while others fire has its whole timeout."""
        self.waiters.add(5.0).addCallback(self.adding("added", 5.0))
        self.tick(4)
        self.waiters.succeed()
        self.tick(4.875)
        self.assertEqual(self.results, [])
        self.tick(1)
        self.assertEqual(self.results, [("added", 9.0, SendTimeout)])


class TimeoutTests(DrainCase):
    """Timeouts."""

    def test_expiry(self) -> None:
        """A waiter fails with SendTimeout after its timeout, not before."""
        waiter = self.waiters.add(2.0)
        self.clock.advance(1.875)
        self.assertNoResult(waiter)
        self.clock.advance(0.125)
        self.failureResultOf(waiter, SendTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_timeout(self) -> None:
        """With a timeout of None nothing is scheduled."""
        waiter = self.waiters.add(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1e9)
        self.assertNoResult(waiter)

    def test_timeout_of_0(self) -> None:
        """With a timeout of 0 a waiter fails in the next reactor iteration."""
        waiter = self.waiters.add(0.0)
        self.assertNoResult(waiter)
        self.clock.advance(0)
        self.failureResultOf(waiter, SendTimeout)

    def test_different_timeouts(self) -> None:
        """Waiters with different timeouts expire at their own times."""
        self.add("a", 3.0)
        self.add("b", 1.0)
        self.tick(1)
        self.add("c", 1.0)
        self.add("d", 3.0)
        self.tick(10)
        self.assertEqual(
            self.results,
            [
                ("b", 1.0, SendTimeout),
                ("c", 2.0, SendTimeout),
                ("a", 3.0, SendTimeout),
                ("d", 4.0, SendTimeout),
            ],
        )

    def test_order(self) -> None:
        """Waiters with one timeout expire in the order in which they were added."""
        for number in range(8):
            self.add(str(number), 2.0)
            self.tick(0.25)
        self.tick(5)
        self.assertEqual(self.results, [(str(n), 2.0 + n * 0.25, SendTimeout) for n in range(8)])

    def test_order_of_overdue_waiters(self) -> None:
        """Waiters that are due in one reactor iteration expire in order."""
        for number in range(4):
            self.add(str(number), 2.0)
            self.clock.advance(0.25)
        self.clock.advance(60)
        self.assertEqual([name for name, _, _ in self.results], ["0", "1", "2", "3"])

    def test_expired_and_then_drained(self) -> None:
        """A waiter that has expired does not fire again; the others do."""
        self.add("a", 1.0)
        self.add("b", 3.0)
        self.tick(2)
        self.waiters.succeed()
        self.assertEqual(self.results, [("a", 1.0, SendTimeout), ("b", 2.0, None)])

    def test_added_while_others_expire(self) -> None:
        """A waiter that is added while others expire has its whole timeout."""
        self.waiters.add(1.0).addErrback(self.adding("added", 1.0))
        self.add("second", 1.0)
        self.tick(5)
        self.assertEqual(self.results, [("second", 1.0, SendTimeout), ("added", 2.0, SendTimeout)])

    def test_drained_while_others_expire(self) -> None:
        """If ``succeed`` is called while waiters expire, each of them fires once."""
        self.waiters.add(1.0).addErrback(lambda _: self.waiters.succeed())
        self.add("second", 1.0)
        self.add("third", 9.0)
        self.tick(20)
        self.assertEqual([name for name, _, _ in self.results], ["second", "third"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TimerTests(DrainCase):
    """How many delayed calls there are."""

    def test_many_waiters(self) -> None:
        """100,000 waiters with one timeout make exactly one delayed call."""
        for _ in range(100_000):
            self.waiters.add(5.0)
        self.assertEqual(self.clock.scheduled, 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.waiters.succeed()
        self.assertEqual(self.clock.scheduled, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_for_each_timeout(self) -> None:
        """Each timeout has one delayed call."""
        for timeout in (1.0, 2.0, 1.0, 3.0, None, 2.0):
            self.waiters.add(timeout)
        self.assertEqual(sorted(c.getTime() for c in self.clock.getDelayedCalls()), [1, 2, 3])

    def test_many_that_expire_together(self) -> None:
        """Waiters that expire together do not schedule a call each."""
        waiters = [self.waiters.add(5.0) for _ in range(1000)]
        self.clock.advance(5)
        self.assertEqual(self.clock.scheduled, 1)
        for waiter in waiters:
            self.failureResultOf(waiter, SendTimeout)


class GroupTests(DrainCase):
    """Waiters that are added within a millisecond share a deadline."""

    def test_same_millisecond(self) -> None:
        """They expire together, at the deadline of the first one."""
        for name in ("a", "b"):
            self.add(name, 2.0)
            self.clock.advance(0.0005)
        self.clock.advance(1.999)
        self.assertEqual([name for name, _, _ in self.results], ["a", "b"])

    def test_later(self) -> None:
        """A waiter that is added later has its own deadline."""
        self.add("a", 2.0)
        self.clock.advance(0.002)
        self.add("b", 2.0)
        self.clock.advance(1.998)
        self.assertEqual([name for name, _, _ in self.results], ["a"])
        self.clock.advance(0.002)
        self.assertEqual([name for name, _, _ in self.results], ["a", "b"])

    def test_expired_group(self) -> None:
        """No waiter is added to a group that has expired."""
        self.add("a", 0.0)
        self.clock.advance(0)
        self.add("b", 0.0)
        self.assertEqual([name for name, _, _ in self.results], ["a"])
        self.clock.advance(0)
        self.assertEqual([name for name, _, _ in self.results], ["a", "b"])

    def test_order_of_timeouts(self) -> None:
        """Waiters with different timeouts fire in the order in which they were added."""
        for number in range(100):
            self.add(str(number), (None, 1.0, 2.0)[number % 3])
        self.waiters.succeed()
        self.assertEqual([name for name, _, _ in self.results], [str(n) for n in range(100)])


class MemoryTests(DrainCase):
    """What is kept while the write buffer never drains."""

    def alive(self, count: int, timeout: Callable[[int], float]) -> int:
        """Return how many of so many waiters are kept after they have expired one by one."""
        waiters = []
        for number in range(count):
            waiter = self.waiters.add(timeout(number)).addErrback(lambda _: None)
            waiters.append(weakref.ref(waiter))
            del waiter
            self.clock.advance(2)
        return sum(waiter() is not None for waiter in waiters)

    def test_expired(self) -> None:
        """Expired waiters are forgotten."""
        self.assertLess(self.alive(1000, lambda _: 1.0), 130)

    def test_cancelled(self) -> None:
        """Cancelled waiters are forgotten, and those that still wait are kept."""
        first = self.waiters.add(None)
        waiters = []
        for _ in range(1000):
            waiter = self.waiters.add(None).addErrback(lambda _: None)
            waiter.cancel()
            waiters.append(weakref.ref(waiter))
        last = self.waiters.add(None)
        del waiter
        self.assertLess(sum(waiter() is not None for waiter in waiters), 130)
        self.waiters.succeed()
        for waiting in (first, last):
            self.assertIsNone(self.successResultOf(waiting))

    def test_different_timeouts(self) -> None:
        """Timeouts that nothing waits for any more are forgotten."""
        self.alive(1000, lambda number: 1.0 + number / 1e6)
        self.assertLess(len(self.waiters._timeouts), 130)

    def test_waiting_ones_are_kept(self) -> None:
        """Waiters that still wait are kept, in order, with their timeouts."""
        for number in range(300):
            self.add(str(number), 1000.0 + number % 3)
        self.alive(300, lambda _: 1.0)
        self.add("last", 5.0)
        self.waiters.succeed()
        names = [name for name, _, _ in self.results]
        self.assertEqual(names, [*map(str, range(300)), "last"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CancelTests(DrainCase):
    """Cancelled Deferreds."""

    def test_succeed(self) -> None:
        """A cancelled waiter is skipped by ``succeed``."""
        self.add("a").cancel()
        self.add("b")
        self.results.clear()
        self.waiters.succeed()
        self.assertEqual([name for name, _, _ in self.results], ["b"])

    def test_fail(self) -> None:
        """A cancelled waiter is skipped by ``fail``."""
        self.add("a").cancel()
        self.add("b")
        self.results.clear()
        self.waiters.fail(ValueError())
        self.assertEqual([name for name, _, _ in self.results], ["b"])

    def test_timeout(self) -> None:
        """A cancelled waiter does not expire; the ones behind it do, at their times."""
        first = self.add("a", 1.0)
        self.tick(0.5)
        self.add("b", 1.0)
        first.cancel()
        self.results.clear()
        self.tick(5)
        self.assertEqual(self.results, [("b", 1.5, SendTimeout)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all(self) -> None:
        """After all waiters are cancelled, the timer runs once and is not scheduled again."""
        for _ in range(3):
            self.waiters.add(1.0).addErrback(lambda _: None).cancel()
            self.tick(0.25)
        self.tick(1)
        self.assertEqual(self.clock.scheduled, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_others_fire(self) -> None:
        """A waiter that is cancelled while others fire is skipped."""
        first, second = self.waiters.add(None), self.add("second")
        first.addCallback(lambda _: second.cancel())
        self.waiters.succeed()
        [(_, _, kind)] = self.results
        self.assertIsNotNone(kind)


class FailTests(DrainCase):
    """``fail``."""

    def test_all_with_one_error(self) -> None:
        """All waiters fail with the same error, whatever their timeouts."""
        error = ConnError(ConnectionLost())
        waiters = [self.waiters.add(timeout) for timeout in (None, 1.0, 2.0)]
        self.waiters.fail(error)
        for waiter in waiters:
            self.assertIs(self.failureResultOf(waiter, ConnError).value, error)

    def test_no_timers_are_left(self) -> None:
        """All timers are cancelled, and there are no waiters left."""
        self.add("a", 1.0)
        self.waiters.fail(ValueError())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.waiters.succeed()
        self.assertEqual(len(self.results), 1)

    def test_added_while_others_fail(self) -> None:
        """A waiter that is added while others fail waits for the next time."""
        self.waiters.add(None).addErrback(self.adding("added"))
        self.waiters.fail(ValueError())
        self.assertEqual(self.results, [])
        self.waiters.succeed()
        self.assertEqual(self.results, [("added", 0.0, None)])
