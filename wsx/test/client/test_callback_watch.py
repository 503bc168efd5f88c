"""Tests of the watch of pending callbacks."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.callback_watch import CallbackWatch
from wsx._scheduler import scheduler_for
from wsx.test.support.each import each


class CountingClock(Clock):
    """A clock that counts the timers that were started."""

    timers = 0

    def callLater(self, *arguments: object, **keywords: object) -> object:  # type: ignore[override]
        self.timers += 1
        return super().callLater(*arguments, **keywords)  # type: ignore[arg-type]


class WatchCase(SynchronousTestCase):
    """A watch whose reports are recorded with their times."""

    def setUp(self) -> None:
        self.clock = CountingClock()
        self.overdue: list[tuple[float, float]] = []
        self.expired: list[float] = []

    def make(self, warning: float | None = 10.0, timeout: float | None = None) -> CallbackWatch:
        """Return a watch."""
        self.watch = CallbackWatch(
            scheduler_for(self.clock),
            warning,
            timeout,
            lambda seconds: self.overdue.append((self.clock.seconds(), seconds)),
            lambda: self.expired.append(self.clock.seconds()),
        )
        return self.watch

    def pass_time(self, seconds: float) -> None:
        """Advance the clock in steps of a quarter of a second."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
        self.clock.advance(0)
        self.clock.advance(0)


class WarningTests(WatchCase):
    """Reports of callbacks that have not completed."""

    def test_every_minute(self) -> None:
        """The first report comes after the time of the option, the next ones every minute."""
        self.make(10.0).begin()
        self.pass_time(9.75)
        self.assertEqual(self.overdue, [])
        self.pass_time(121)
        self.assertEqual(self.overdue, [(10.0, 10.0), (70.0, 70.0), (130.0, 130.0)])

    def test_completed(self) -> None:
        """A callback that has completed is not reported."""
        watch = self.make()
        watch.begin()
        self.pass_time(9.75)
        watch.finish()
        self.pass_time(100)
        self.assertEqual(self.overdue, [])

    def test_next_callback(self) -> None:
        """The time of the next callback begins with it, whatever timer runs."""
        watch = self.make()
        watch.begin()
        self.pass_time(6)
        watch.finish()
        watch.begin()
        self.pass_time(9.75)
        self.assertEqual(self.overdue, [])
        self.pass_time(0.25)
        self.assertEqual(self.overdue, [(16.0, 10.0)])

    def test_next_callback_after_a_report(self) -> None:
        """A callback after one that was reported is reported in time, not after a minute."""
        watch = self.make()
        watch.begin()
        self.pass_time(11)
        watch.finish()
        watch.begin()
        self.pass_time(10)
        self.assertEqual(self.overdue, [(10.0, 10.0), (21.0, 10.0)])

    def test_off(self) -> None:
        """Without limits no timer is started."""
        self.make(None).begin()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_few_timers(self) -> None:
        """Callbacks that complete soon do not start a timer each."""
        watch = self.make()
        for _ in range(1000):
            watch.begin()
            watch.finish()
        self.assertEqual(self.clock.timers, 1)

    def test_seconds(self) -> None:
        """``seconds`` is the time since the callback began, and None if none is pending."""
        watch = self.make()
        self.assertIsNone(watch.seconds)
        watch.begin()
        self.clock.advance(2.5)
        self.assertEqual(watch.seconds, 2.5)
        watch.finish()
        self.assertIsNone(watch.seconds)


class TimeoutTests(WatchCase):
    """The time limit of callbacks."""

    def test_once(self) -> None:
        """A callback expires once, when its time is over."""
        self.make(None, 4.0).begin()
        self.pass_time(3.75)
        self.assertEqual(self.expired, [])
        self.pass_time(100)
        self.assertEqual(self.expired, [4.0])

    def test_reads_first(self) -> None:
        """A callback that completes in the reactor iteration of its limit does not expire."""
        watch = self.make(None, 4.0)
        self.clock.callLater(4.0, lambda: self.clock.callLater(0, watch.finish))
        watch.begin()
        self.pass_time(5)
        self.assertEqual(self.expired, [])

    def test_with_warnings(self) -> None:
        """Until it expires, a callback is reported."""
        self.make(10.0, 75.0).begin()
        self.pass_time(200)
        self.assertEqual(self.overdue[:2], [(10.0, 10.0), (70.0, 70.0)])
        self.assertEqual(self.expired, [75.0])

    def test_resume(self) -> None:
        """A callback that continues with another awaitable keeps its time, and its next report."""
        watch = self.make(2.0, 4.0)
        began = watch.begin()
        self.pass_time(3)
        watch.finish()
        watch.resume(began)
        self.assertEqual(watch.seconds, 3.0)
        self.pass_time(0.75)
        self.assertEqual((self.expired, self.overdue), ([], [(2.0, 2.0)]))
        self.pass_time(60)
        self.assertEqual((self.expired, self.overdue), ([4.0], [(2.0, 2.0), (62.0, 62.0)]))

    def test_not_for_this_callback(self) -> None:
        """A callback with a limit of its own does not expire, but is reported."""
        self.make(10.0, 4.0).begin(expires=False)
        self.pass_time(12)
        self.assertEqual((self.expired, self.overdue), ([], [(10.0, 10.0)]))

    @each(
        [
            ("warning", 10.0, None),
            ("timeout", None, 10.0),
        ]
    )
    def test_stop(self, _: str, warning: float | None, timeout: float | None) -> None:
        """``stop`` leaves no timer and causes no report."""
        watch = self.make(warning, timeout)
        watch.begin()
        watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(watch.seconds)

    def test_stop_in_a_report(self) -> None:
        """A report may stop the watch."""
        self.make()
        stop: Callable[[float], None] = lambda _: self.watch.stop()  # noqa: E731
        self.watch = CallbackWatch(scheduler_for(self.clock), 10.0, 20.0, stop, self.fail)
        self.watch.begin()
        self.pass_time(30)
        self.assertEqual(self.clock.getDelayedCalls(), [])
