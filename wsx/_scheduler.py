"""Timers on monotonic time, on top of a reactor.

``reactor.seconds()`` is the wall clock, and ``reactor.callLater`` uses it. If the wall clock is set
back by an hour, no timer of the reactor runs for an hour; if it is set forward, all of them run at
once. A :class:`Scheduler` therefore keeps its timers in a heap of monotonic deadlines and uses one
``callLater`` of the reactor to wake up.

The time during which the reactor did not run, because the process was stopped or something blocked
it, does not count. After such a pause, the reactor reads from its sockets once before any timer
runs, so that a timeout does not end a connection whose data has arrived meanwhile.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakValueDictionary

from twisted.internet.base import DelayedCall, ReactorBase
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from wsx._wall_clock import WallClockWatch

__all__ = [
    "MAX_WORK_SECONDS",
    "Scheduler",
    "SoonCall",
    "Timeout",
    "scheduler_for",
    "set_scheduler",
]

_log = Logger("wsx")

# One client works for at most this long in one reactor iteration, so that the others are not late.
MAX_WORK_SECONDS: Final = 0.01

_MAX_SLEEP: Final = 1.0  # seconds between two wake-ups: the precision of a measured pause
_MIN_PAUSE: Final = 1.0  # seconds by which a wake-up must be late to count as a pause
_LATE: Final = 0.05  # seconds by which a wake-up must be late to let the reactor read first
_RESOLUTION: Final = 1e-6  # seconds; the reactor may round a deadline
_MIN_ENTRIES_TO_PRUNE: Final = 64

_Entry = tuple[float, int, DelayedCall]  # deadline, sequence number, call


@implementer(IReactorTime)
class Scheduler:
    """Run functions after a delay of monotonic time.

    Args:
        reactor: The reactor that wakes the scheduler up.
        monotonic: Returns the monotonic time in seconds. None (default) means the clock of the
            reactor. A late wake-up is no pause then, because a test may advance a ``Clock`` by any
            time at once.

    Attributes:
        monotonic: Returns the monotonic time in seconds, pauses included. Use it to measure how
            long something has taken.
        watch: Calls :meth:`wall_clock_set`, or None (default).
    """

    def __init__(self, reactor: Any, monotonic: Callable[[], float] | None = None) -> None:
        self._reactor = reactor
        self.monotonic: Callable[[], float] = reactor.seconds if monotonic is None else monotonic
        self._excludes_pauses = monotonic is not None
        self._excluded = 0.0  # Seconds that do not count.
        self._unreported = 0.0  # The part of these that was not logged.
        self._seen = -math.inf  # The latest time that seconds() has returned.
        self._heap: list[_Entry] = []
        self._sequence = 0  # Keeps calls with the same deadline in order.
        self._active = 0  # Number of calls in the heap that were not cancelled.
        self._wakeup: IDelayedCall | None = None
        self._wakes_at = math.inf
        self._soon: deque[SoonCall] = deque()
        self._soon_active = 0  # Number of calls in _soon that were not cancelled.
        self._soon_wakeup: IDelayedCall | None = None
        self._was_running = False  # Whether the reactor ran when the wake-up was scheduled.
        self.watch: WallClockWatch | None = None

    # IReactorTime

    def seconds(self) -> float:
        """Return the time in seconds, without the time during which the reactor did not run."""
        now = self.monotonic() - self._excluded
        if self._excludes_pauses:
            if now - self._wakes_at > _MIN_PAUSE:
                pause = now - max(self._wakes_at, self._seen)  # What has not been counted yet.
                self._excluded += pause
                self._unreported += pause
                now -= pause
            self._seen = now
        return now

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall:
        """Call a function after ``delay`` seconds.

        Raises:
            ValueError: The delay is negative or not a number.
        """
        if not delay >= 0:
            raise ValueError(f"expected a delay of at least 0 seconds, got {delay!r}")
        deadline = self.seconds() + delay
        call = DelayedCall(deadline, callable, args, kw, self._cancel, self._push, self.seconds)
        self._active += 1
        self._push(call)
        return call

    def call_soon(self, function: Callable[[], object]) -> SoonCall:
        """Call a function in a later reactor iteration; cheaper than ``callLater(0, function)``."""
        call = SoonCall(self, function)
        self._soon.append(call)
        self._soon_active += 1
        if self._soon_wakeup is None:
            self._wake_soon()
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the calls that are pending, in no particular order."""
        return [entry[2] for entry in self._heap if _is_valid(entry)]

    def timeout(self, seconds: float, function: Callable[[], object]) -> Timeout:
        """Call a function after some time, and after the reactor has then read once.

        The data that is waited for may have arrived while the reactor was busy.
        """
        return Timeout(self, seconds, function)

    def after_reading(self, function: Callable[[], object]) -> None:
        """Call a function after the reactor has read from its sockets once.

        uvloop makes the first of the two calls before it polls its sockets.
        """
        self.call_soon(lambda: self.call_soon(function))

    # The heap

    def _push(self, call: DelayedCall) -> None:
        """Add a call, or add it again at its new time: its old entry is no longer valid."""
        self._sequence += 1
        heapq.heappush(self._heap, (call.time, self._sequence, call))
        if call.time < self._wakes_at:
            self._arm()

    def _cancel(self, call: DelayedCall) -> None:
        """Remove a call that is being cancelled."""
        self._active -= 1
        if not self._active:
            self._disarm()
            self._clear()
        elif len(self._heap) > 2 * self._active + _MIN_ENTRIES_TO_PRUNE:
            self._heap = [e for e in self._heap if _is_valid(e) and e[2] is not call]
            heapq.heapify(self._heap)

    def _clear(self) -> None:
        """Handle that no call is pending: no wake-up reports a pause then."""
        self._heap.clear()
        self._report_pause()

    def _pop(self, now: float, last: int) -> DelayedCall | None:
        """Remove and return the next call that is due, or return None.

        Args:
            now: The time in seconds.
            last: The greatest sequence number to return. Calls that were added by a call of the
                same wake-up wait for the next reactor iteration.
        """
        while self._heap and self._heap[0][0] <= now + _RESOLUTION and self._heap[0][1] <= last:
            entry = heapq.heappop(self._heap)
            call = entry[2]
            if not _is_valid(entry):
                continue
            if call.delayed_time > 0:
                call.activate_delay()
                self._push(call)
                continue
            self._active -= 1
            return call
        return None

    # Waking up

    @property
    def is_armed(self) -> bool:
        """Whether the reactor will wake the scheduler up."""
        return self._wakeup is not None or self._soon_wakeup is not None

    def wall_clock_set(self) -> None:
        """Replace the wake-ups of the reactor, because its clock was set."""
        if self._wakeup is not None:
            self._arm()
        if self._soon_wakeup is not None:
            self._soon_wakeup.cancel()
            self._wake_soon()

    def _arm(self) -> None:
        """Schedule a wake-up for the next call."""
        self._disarm()
        if self._active:
            self._wake_after(self._heap[0][0] - self.seconds())
        else:
            self._clear()

    def _wake_after(self, delay: float) -> None:
        delay = max(0.0, min(delay, _MAX_SLEEP) if self._excludes_pauses else delay)
        self._wakes_at = self.seconds() + delay
        self._was_running = getattr(self._reactor, "running", True)
        self._wakeup = self._reactor.callLater(delay, self._wake)
        if self.watch is not None:
            self.watch.start()

    def _disarm(self) -> None:
        if self._wakeup is not None:
            self.seconds()  # Notices a pause, which only the time of the wake-up shows.
            self._wakeup.cancel()
            self._wakeup = None
        self._wakes_at = math.inf

    def _wake(self) -> None:
        """Run the calls that are due. If that is late, the reactor reads first."""
        self._wakeup = None
        late = self._is_late(self.seconds())
        self._report_pause()
        if late:
            self.after_reading(self._run)
        else:
            self._run()

    def _is_late(self, now: float) -> bool:
        return self._unreported > 0 or (self._excludes_pauses and now - self._wakes_at > _LATE)

    def _report_pause(self) -> None:
        pause, self._unreported = self._unreported, 0.0
        if pause and self._was_running:
            _log.warn("the reactor did not run for {seconds:.1f} s", seconds=pause)

    def _run_soon(self) -> None:
        """Run the calls of :meth:`call_soon`, without those that they add."""
        self._soon_wakeup = None
        left = len(self._soon)
        try:
            while left and self._soon:
                left -= 1
                self._soon.popleft().run()
        finally:
            if self._soon and self._soon_wakeup is None:  # One call has raised.
                self._wake_soon()

    def _wake_soon(self) -> None:
        self._soon_wakeup = self._reactor.callLater(0, self._run_soon)
        if self.watch is not None:
            self.watch.start()

    def soon_ended(self) -> None:
        """Record that one of the calls of :meth:`call_soon` runs or was cancelled."""
        self._soon_active -= 1
        if not self._soon_active:
            self._soon.clear()
            if self._soon_wakeup is not None:
                self._soon_wakeup.cancel()
                self._soon_wakeup = None

    def _run(self) -> None:
        now, last = self.seconds(), self._sequence
        self._wakes_at = now  # Added calls are later, and need no wake-up of their own.
        try:
            while (call := self._pop(now, last)) is not None:
                call.called = 1
                call.func(*call.args, **call.kw)
        finally:
            self._arm()


class SoonCall:
    """A call in a later reactor iteration; see :meth:`Scheduler.call_soon`."""

    __slots__ = ("_function", "_scheduler")

    def __init__(self, scheduler: Scheduler, function: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self._function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """Do not call the function. Nothing happens if it was called."""
        if self._function is not None:
            self._function = None
            self._scheduler.soon_ended()

    def run(self) -> None:
        """Call the function unless the call was cancelled."""
        function, self._function = self._function, None
        if function is not None:
            self._scheduler.soon_ended()
            function()


class Timeout:
    """A time limit; see :meth:`Scheduler.timeout`."""

    __slots__ = ("_call", "_function", "_scheduler")

    def __init__(
        self, scheduler: Scheduler, seconds: float, function: Callable[[], object]
    ) -> None:
        self._scheduler = scheduler
        self._function: Callable[[], object] | None = function
        self._call: IDelayedCall | None = scheduler.callLater(seconds, self._overdue)

    def cancel(self) -> None:
        """Do not call the function. Nothing happens if it was called."""
        self._function = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _overdue(self) -> None:
        self._call = None
        self._scheduler.after_reading(self._expire)

    def _expire(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()


def _is_valid(entry: _Entry) -> bool:
    """Return whether an entry of the heap is the current one of a call that is pending."""
    return entry[2].active() and entry[0] == entry[2].time


_schedulers: WeakValueDictionary[int, Scheduler] = WeakValueDictionary()


def scheduler_for(reactor: Any) -> Scheduler:
    """Return the scheduler that all users of a reactor share.

    It is deleted when no user refers to it.

    Args:
        reactor: A reactor, or a ``Clock`` or another ``IReactorTime``. Only a reactor that runs in
            real time gets monotonic time.
    """
    scheduler = _schedulers.get(id(reactor))  # A scheduler refers to its reactor: ids are unique.
    if scheduler is None:
        scheduler = _schedulers[id(reactor)] = _make_scheduler(reactor)
    return scheduler


def set_scheduler(reactor: Any, scheduler: Scheduler) -> None:
    """Set the scheduler of a reactor, for tests."""
    _schedulers[id(reactor)] = scheduler


def _make_scheduler(reactor: Any) -> Scheduler:
    if not isinstance(reactor, ReactorBase):
        return Scheduler(reactor)
    scheduler = Scheduler(reactor, time.monotonic)
    scheduler.watch = WallClockWatch(reactor, scheduler)
    return scheduler
