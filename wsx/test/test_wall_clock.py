"""Tests of the watch over the wall clock. Its thread runs, but time is that of the test."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import _wall_clock
from wsx._wall_clock import WallClockWatch


class FakeTime:
    """A ``time`` module with a ``sleep`` that returns at once.

    Args:
        steps: The seconds by which the wall clock is set during each call of ``sleep``.
        slept: Called after each ``sleep``, with the number of calls so far.
    """

    def __init__(self, steps: list[float], slept: Callable[[int], None]) -> None:
        self._steps = steps
        self._slept = slept
        self._monotonic = 0.0
        self._offset = 1.7e9
        self._calls = 0

    def time(self) -> float:
        return self._monotonic + self._offset

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self._monotonic += seconds
        self._offset += self._steps[self._calls]
        self._calls += 1
        self._slept(self._calls)


class FakeScheduler:
    """A scheduler that counts notifications.

    Attributes:
        is_armed: Whether timers are pending.
        notified: The number of notifications.
    """

    def __init__(self) -> None:
        self.is_armed = True
        self.notified = 0

    def wall_clock_set(self) -> None:
        self.notified += 1


class FakeReactor:
    """A reactor whose ``callFromThread`` calls at once."""

    def callFromThread(self, function: Callable[[], object]) -> None:
        function()


class WatchTests(SynchronousTestCase):
    """The thread of a watch."""

    def setUp(self) -> None:
        self.scheduler: FakeScheduler | None = FakeScheduler()
        self.threads: list[Thread] = []
        self.watch = WallClockWatch(FakeReactor(), self.scheduler)  # type: ignore[arg-type]
        self.patch(_wall_clock, "Thread", self.make_thread)

    def make_thread(self, **arguments: Any) -> Thread:
        self.threads.append(Thread(**arguments))
        return self.threads[-1]

    def use_time(self, fake: FakeTime) -> None:
        self.patch(_wall_clock, "time", fake)
        self.patch(_wall_clock, "_sleep", fake.sleep)

    def run_watch(self, steps: list[float], slept: Callable[[int], None] | None = None) -> int:
        """Run the thread until it has slept once for each step; return the notifications."""

        def count(calls: int) -> None:
            if slept is not None:
                slept(calls)
            if calls == len(steps) and self.scheduler is not None:
                self.scheduler.is_armed = False

        scheduler = self.scheduler
        assert scheduler is not None
        self.use_time(FakeTime(steps, count))
        self.watch.start()
        self.threads[-1].join(60)
        self.assertFalse(self.threads[-1].is_alive())
        return scheduler.notified

    def test_steps(self) -> None:
        """Each step of the wall clock, forward or back, is notified once."""
        self.assertEqual(self.run_watch([0.0, 3600.0, 0.0, -3600.0, 0.0]), 2)

    def test_slewing(self) -> None:
        """A clock that NTP slows down or speeds up is not set."""
        self.assertEqual(self.run_watch([0.0005, -0.0005] * 5), 0)

    def test_restart(self) -> None:
        """The thread ends when no timers are left; a later start starts another one."""
        self.run_watch([0.0])
        assert self.scheduler is not None
        self.scheduler.is_armed = True
        self.assertEqual(self.run_watch([60.0]), 1)
        self.assertEqual(len(self.threads), 2)

    def test_one_thread(self) -> None:
        """Starting a watch that runs does nothing."""
        self.run_watch([0.0, 0.0], lambda _: self.watch.start())
        self.assertEqual(len(self.threads), 1)

    def test_collected(self) -> None:
        """The thread ends when the scheduler no longer exists."""

        def forget(_: int) -> None:
            self.scheduler = None

        self.use_time(FakeTime([0.0, 0.0], forget))
        self.watch.start()
        self.threads[-1].join(60)
        self.assertFalse(self.threads[-1].is_alive())

    def test_daemon(self) -> None:
        """The thread does not keep the process alive."""
        self.run_watch([0.0])
        self.assertTrue(self.threads[-1].daemon)
