"""Tests of the timers on monotonic time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IReactorTime
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wsx._scheduler import Scheduler, SoonCall, scheduler_for, set_scheduler
from wsx._wall_clock import WallClockWatch


class TwoClocks(Clock):
    """A reactor whose wall clock and whose monotonic clock differ.

    Attributes:
        running: Whether the reactor runs.
        monotonic_seconds: The monotonic time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.running = True
        self.monotonic_seconds = 1000.0

    def monotonic(self) -> float:
        return self.monotonic_seconds

    def run_for(self, seconds: float) -> None:
        """Let the reactor run: both clocks go forward, in steps of a tenth of a second."""
        for _ in range(round(seconds * 10)):
            self.monotonic_seconds += 0.1
            self.advance(0.1)

    def stop_for(self, seconds: float) -> None:
        """Stop the process for some time: both clocks go forward at once."""
        self.monotonic_seconds += seconds
        self.advance(seconds)

    def set_wall_clock(self, by: float) -> None:
        """Set the wall clock forward or back, without running timers."""
        self.rightNow += by


class SchedulerTestCase(SynchronousTestCase):
    """Base class: a scheduler on the clock of its reactor.

    Attributes:
        clock: The reactor.
        scheduler: The scheduler.
        ran: What :meth:`note` was called with.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.ran: list[object] = []

    def note(self, what: object) -> None:
        self.ran.append(what)


class CallTests(SchedulerTestCase):
    """Calls after a delay."""

    def test_interface(self) -> None:
        """A scheduler has the interface of a reactor's time."""
        verifyObject(IReactorTime, self.scheduler)

    def test_deadline(self) -> None:
        """A call runs at its deadline, not before."""
        self.scheduler.callLater(5.0, self.note, "call")
        self.clock.advance(4.999)
        self.assertEqual(self.ran, [])
        self.clock.advance(0.001)
        self.assertEqual(self.ran, ["call"])

    def test_order(self) -> None:
        """Calls run in the order of their deadlines; equal deadlines keep their order."""
        for delay, what in ((2.0, "c"), (1.0, "a"), (2.0, "d"), (1.0, "b")):
            self.scheduler.callLater(delay, self.note, what)
        self.clock.advance(2.0)
        self.assertEqual(self.ran, ["a", "b", "c", "d"])

    def test_keywords(self) -> None:
        """Positional and keyword arguments reach the function."""
        self.scheduler.callLater(0, lambda *args, **kw: self.note((args, kw)), 1, two=2)
        self.clock.advance(0)
        self.assertEqual(self.ran, [((1,), {"two": 2})])

    def test_one_wakeup(self) -> None:
        """Thousands of calls need one timer of the reactor."""
        for number in range(3000):
            self.scheduler.callLater(20.0 + number / 1000, self.note, number)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(23.0)
        self.assertEqual(self.ran, list(range(3000)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rounding(self) -> None:
        """A deadline that the reactor rounds down does not stop the reactor."""
        self.clock.advance(0.1)
        self.scheduler.callLater(0.2, self.note, "call")
        self.clock.advance(0.2)
        self.assertEqual(self.ran, ["call"])

    def test_negative_delay(self) -> None:
        """A negative delay, or one that is not a number, is refused."""
        for delay in (-1.0, float("nan")):
            with self.assertRaisesRegex(ValueError, "at least 0 seconds, got"):
                self.scheduler.callLater(delay, self.note, "call")

    def test_exception(self) -> None:
        """If a call raises, the reactor handles that, and the other calls run."""
        self.scheduler.callLater(1.0, lambda: 1 / 0)
        self.scheduler.callLater(1.0, self.note, "call")
        with self.assertRaises(ZeroDivisionError):
            self.clock.advance(1.0)
        self.clock.advance(0)
        self.assertEqual(self.ran, ["call"])

    def test_pending_calls(self) -> None:
        """getDelayedCalls returns each pending call once."""
        call = self.scheduler.callLater(5.0, self.note, "a")
        other = self.scheduler.callLater(1.0, self.note, "b")
        other.cancel()
        call.reset(1.0)
        self.assertEqual(self.scheduler.getDelayedCalls(), [call])


class ChangeTests(SchedulerTestCase):
    """Cancelling and moving calls."""

    def test_cancel(self) -> None:
        """A cancelled call does not run, and the reactor keeps no timer for it."""
        call = self.scheduler.callLater(1.0, self.note, "call")
        call.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(2.0)
        self.assertEqual(self.ran, [])
        self.assertRaises(AlreadyCancelled, call.cancel)

    def test_cancel_too_late(self) -> None:
        """A call that has run cannot be cancelled."""
        call = self.scheduler.callLater(1.0, self.note, "call")
        self.clock.advance(1.0)
        self.assertRaises(AlreadyCalled, call.cancel)

    def test_cancelled_by_another(self) -> None:
        """A call may cancel another one that is due at the same time."""
        self.scheduler.callLater(1.0, lambda: call.cancel())
        call = self.scheduler.callLater(1.0, self.note, "call")
        self.clock.advance(1.0)
        self.assertEqual(self.ran, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reset(self) -> None:
        """A call can be moved in both directions."""
        later = self.scheduler.callLater(1.0, self.note, "later")
        earlier = self.scheduler.callLater(9.0, self.note, "earlier")
        later.reset(5.0)
        earlier.reset(2.0)
        self.clock.advance(2.0)
        self.assertEqual(self.ran, ["earlier"])
        self.clock.advance(2.9)
        self.assertEqual(self.ran, ["earlier"])
        self.clock.advance(0.1)
        self.assertEqual(self.ran, ["earlier", "later"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_delay(self) -> None:
        """A call can be delayed further."""
        call = self.scheduler.callLater(1.0, self.note, "call")
        call.delay(1.5)
        self.clock.advance(2.4)
        self.assertEqual(self.ran, [])
        self.clock.advance(0.1)
        self.assertEqual(self.ran, ["call"])

    def test_memory(self) -> None:
        """Cancelled calls do not accumulate while others are pending."""
        self.scheduler.callLater(3600.0, self.note, "call")
        for _ in range(1000):
            self.scheduler.callLater(60.0, self.note, "cancelled").cancel()
        self.assertLess(len(self.scheduler._heap), 100)


class TurnTests(SchedulerTestCase):
    """Calls that add calls."""

    def test_next_iteration(self) -> None:
        """A call without a delay that a call adds runs in a later reactor iteration."""

        def call() -> None:
            self.scheduler.callLater(0, self.note, "added")
            self.note(len(self.clock.getDelayedCalls()))

        self.scheduler.callLater(1.0, call)
        self.scheduler.callLater(1.0, self.note, "other")
        self.clock.callLater(1.0, self.note, "reactor")
        self.clock.advance(1.0)
        self.assertEqual(self.ran[1:], ["other", "reactor", "added"])

    def test_after_reading(self) -> None:
        """after_reading waits until a later reactor iteration than a call without a delay."""
        self.scheduler.after_reading(lambda: self.note("read"))
        self.scheduler.callLater(0, self.note, "next")
        self.clock.callLater(0, self.note, "reactor")
        self.clock.advance(0)
        self.assertEqual(self.ran, ["next", "reactor", "read"])


class TimeoutTests(SchedulerTestCase):
    """A time limit lets the reactor read before it decides."""

    def read(self, function: Callable[[], object]) -> None:
        """Call a function when the reactor reads in the iteration in which one second is over."""
        self.clock.callLater(1.0, lambda: self.clock.callLater(0, function))

    def test_expires(self) -> None:
        """The function is called after the reactor has read."""
        self.scheduler.timeout(1.0, lambda: self.note("timeout"))
        self.read(lambda: self.note("read"))
        self.clock.advance(1.0)
        self.assertEqual(self.ran, ["read", "timeout"])

    def test_data_has_arrived(self) -> None:
        """Data that is read in the iteration in which the time is over prevents the call."""
        timeout = self.scheduler.timeout(1.0, lambda: self.note("timeout"))
        self.read(timeout.cancel)
        self.clock.advance(1.0)
        self.assertEqual(self.ran, [])


class SoonTests(SchedulerTestCase):
    """Calls in a later reactor iteration."""

    def note_soon(self, what: object) -> SoonCall:
        """Ask for a call that records a value."""
        return self.scheduler.call_soon(lambda: self.note(what))

    def test_order(self) -> None:
        """Calls run in order, with one timer of the reactor."""
        for number in range(100):
            self.note_soon(number)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.ran, list(range(100)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_added(self) -> None:
        """A call that a call adds runs in a later iteration."""
        self.scheduler.call_soon(lambda: self.note_soon("added"))
        self.clock.callLater(0, self.note, "reactor")
        self.clock.advance(0)
        self.assertEqual(self.ran, ["reactor", "added"])

    def test_cancel(self) -> None:
        """A cancelled call does not run; when all are cancelled, no timer is left."""
        first, second = self.note_soon(1), self.note_soon(2)
        first.cancel()
        first.cancel()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        second.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.note_soon(3)
        self.clock.advance(0)
        self.assertEqual(self.ran, [3])

    def test_cancelled_by_another(self) -> None:
        """A call may cancel the next ones, and add one."""

        def meddle() -> None:
            second.cancel()
            self.note_soon(4)

        self.scheduler.call_soon(meddle)
        second, _ = self.note_soon(2), self.note_soon(3)
        self.clock.advance(0)
        self.assertEqual(self.ran, [3, 4])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancel_too_late(self) -> None:
        """Cancelling a call that has run does nothing."""
        call = self.note_soon(1)
        self.clock.advance(0)
        self.note_soon(2)
        call.cancel()
        self.clock.advance(0)
        self.assertEqual(self.ran, [1, 2])

    def test_exception(self) -> None:
        """If a call raises, the others run."""
        self.scheduler.call_soon(lambda: 1 / 0)
        self.note_soon(2)
        with self.assertRaises(ZeroDivisionError):
            self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.ran, [2])


class PauseTestCase(SchedulerTestCase):
    """Base class: a scheduler on monotonic time."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = self.clock = TwoClocks()
        self.scheduler = Scheduler(self.reactor, self.reactor.monotonic)


class PauseTests(PauseTestCase):
    """Time during which the reactor does not run."""

    def test_excluded(self) -> None:
        """A pause does not count for a delay."""
        self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        with capturedLogs():
            self.reactor.stop_for(3600.0)
        self.reactor.run_for(13.9)
        self.assertEqual(self.ran, [])
        self.reactor.run_for(2.0)
        self.assertEqual(self.ran, ["call"])

    def test_seconds(self) -> None:
        """Time goes on without a jump after a pause, and never goes back."""
        self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        before = self.scheduler.seconds()
        self.reactor.monotonic_seconds += 0.95  # Less than a pause, seen before the wake-up.
        almost = self.scheduler.seconds()
        self.reactor.monotonic_seconds += 31.0
        after = self.scheduler.seconds()
        self.assertEqual(almost, before + 0.95)
        self.assertLessEqual(almost, after)
        self.assertLess(after, almost + 2.0)

    def test_logged(self) -> None:
        """One line reports how long the reactor did not run."""
        self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        with capturedLogs() as logs:
            self.reactor.stop_for(31.2)
            self.reactor.run_for(5.0)
        self.assertEqual(
            [event["log_format"] for event in logs], ["the reactor did not run for {seconds:.1f} s"]
        )
        self.assertApproximates(logs[0]["seconds"], 31.2, 1.0)

    def test_cancelled(self) -> None:
        """A pause is detected even if the only call is cancelled at its end."""
        call = self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        before = self.scheduler.seconds()
        self.reactor.monotonic_seconds += 60.0
        with capturedLogs() as logs:
            call.cancel()
        self.assertEqual(len(logs), 1)
        self.assertLess(self.scheduler.seconds(), before + 2.0)
        self.scheduler.callLater(1.0, self.note, "next")
        with capturedLogs() as logs:
            self.reactor.run_for(1.1)
        self.assertEqual((len(logs), self.ran), (0, ["next"]))

    def test_asked_meanwhile(self) -> None:
        """A pause is detected although what blocks the reactor often asks for the time."""
        self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        before = self.scheduler.seconds()
        self.block(9.6)
        self.assertLess(self.scheduler.seconds(), before + 3.0)
        with capturedLogs() as logs:
            self.reactor.run_for(1.1)
        self.assertEqual(len(logs), 1)
        self.assertApproximates(logs[0]["seconds"], 9.6, 2.5)

    def test_blocked_by_a_call(self) -> None:
        """A pause is detected although a call of the scheduler itself blocks the reactor."""
        self.scheduler.callLater(5.0, self.block, 9.6)
        self.scheduler.callLater(9.0, self.note, "later")
        with capturedLogs() as logs:
            self.reactor.run_for(5.0)
            self.reactor.run_for(2.5)
        self.assertEqual(self.ran, [])
        self.assertEqual(len(logs), 1)
        self.reactor.run_for(1.5)
        self.assertEqual(self.ran, ["later"])

    def block(self, seconds: float) -> None:
        """Block the reactor, and ask for the time meanwhile."""
        for _ in range(12):
            self.reactor.monotonic_seconds += seconds / 12
            self.scheduler.seconds()

    def test_short(self) -> None:
        """A wake-up that is late by less than a second counts as time."""
        self.scheduler.callLater(20.0, self.note, "call")
        with capturedLogs() as logs:
            for _ in range(11):
                self.reactor.stop_for(1.9)
        self.assertEqual(self.ran, ["call"])
        self.assertEqual(logs, [])

    def test_before_run(self) -> None:
        """The time before the reactor runs is excluded as well, but no line says so."""
        self.reactor.running = False
        self.scheduler.callLater(20.0, self.note, "call")
        with capturedLogs() as logs:
            self.reactor.stop_for(60.0)
        self.assertEqual((self.ran, logs), ([], []))

    def test_reads_first(self) -> None:
        """After a pause, a call that is due waits for two reactor iterations."""
        self.scheduler.callLater(0.5, self.note, "call")
        self.reactor.callLater(0.5, lambda: self.reactor.callLater(0, self.note, "first"))
        with capturedLogs():
            self.reactor.stop_for(10.0)
        self.assertEqual(self.ran, ["first", "call"])

    def test_progress(self) -> None:
        """Calls run even if every iteration of the reactor is slow."""
        self.scheduler.callLater(0.5, self.note, "call")
        original = self.scheduler._wake_after

        def slow(delay: float) -> None:
            original(delay)
            self.reactor.monotonic_seconds += 0.5

        self.patch(self.scheduler, "_wake_after", slow)
        self.reactor.stop_for(0.9)
        self.assertEqual(self.ran, ["call"])

    def test_no_timers(self) -> None:
        """Without timers, the scheduler does not wake up, and notices no pause."""
        with capturedLogs() as logs:
            self.reactor.stop_for(3600.0)
        self.assertEqual((self.reactor.getDelayedCalls(), logs), ([], []))


class WallClockTests(PauseTestCase):
    """A wall clock that is set."""

    def test_back(self) -> None:
        """After a step back, calls run in time once the scheduler has been notified."""
        self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        self.reactor.set_wall_clock(-3600.0)
        self.reactor.run_for(1.0)
        self.scheduler.wall_clock_set()
        self.reactor.run_for(13.9)
        self.assertEqual(self.ran, [])
        self.reactor.run_for(0.2)
        self.assertEqual(self.ran, ["call"])

    def test_back_unnoticed(self) -> None:
        """The reactor alone does not wake up after a step back."""
        self.scheduler.callLater(2.0, self.note, "call")
        self.reactor.set_wall_clock(-3600.0)
        self.reactor.run_for(10.0)
        self.assertEqual(self.ran, [])

    def test_forward(self) -> None:
        """After a step forward, no call runs early."""
        self.scheduler.callLater(20.0, self.note, "call")
        self.reactor.run_for(5.0)
        self.reactor.set_wall_clock(3600.0)
        self.reactor.run_for(14.9)
        self.assertEqual(self.ran, [])
        self.reactor.run_for(0.2)
        self.assertEqual(self.ran, ["call"])

    def test_soon(self) -> None:
        """A step back just before a call in the next iteration does not delay it."""
        self.scheduler.call_soon(lambda: self.note("soon"))
        self.assertTrue(self.scheduler.is_armed)
        self.reactor.set_wall_clock(-3600.0)
        self.reactor.run_for(1.0)
        self.assertEqual(self.ran, [])
        self.scheduler.wall_clock_set()
        self.reactor.run_for(0.1)
        self.assertEqual(self.ran, ["soon"])
        self.assertFalse(self.scheduler.is_armed)

    def test_idle(self) -> None:
        """Without timers there is nothing to do."""
        self.scheduler.wall_clock_set()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class SharedTests(SynchronousTestCase):
    """The scheduler of a reactor."""

    def test_shared(self) -> None:
        """All users of a reactor share one scheduler; reactors do not."""
        clock, other = Clock(), Clock()
        scheduler = scheduler_for(clock)
        self.assertIs(scheduler_for(clock), scheduler)
        self.assertIsNot(scheduler_for(other), scheduler)

    def test_collected(self) -> None:
        """A scheduler does not outlive its users."""
        scheduler = ref(scheduler_for(Clock()))
        gc.collect()
        self.assertIsNone(scheduler())

    def test_clock(self) -> None:
        """The scheduler of a Clock uses the time of the Clock."""
        clock = Clock()
        clock.advance(5.0)
        self.assertEqual(scheduler_for(clock).seconds(), 5.0)

    def test_reactor(self) -> None:
        """A real reactor gets monotonic time and a watch over the wall clock."""

        class Reactor(SelectReactor):
            def installWaker(self) -> None:
                """Open no sockets."""

        reactor: Any = Reactor()
        self.patch(Reactor, "seconds", lambda _: 10.0)
        scheduler = scheduler_for(reactor)
        self.assertGreater(scheduler.seconds(), 0.0)
        self.assertNotEqual(scheduler.seconds(), 10.0)
        self.assertIsInstance(scheduler.watch, WallClockWatch)

    def test_set(self) -> None:
        """A test can set the scheduler of a reactor."""
        clock = Clock()
        scheduler = Scheduler(clock)
        set_scheduler(clock, scheduler)
        self.assertIs(scheduler_for(clock), scheduler)
