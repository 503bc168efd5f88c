"""Detect steps of the wall clock, because the timers of a reactor depend on it.

After a step back, the reactor sleeps until the wall clock has reached the deadline of its next
timer. Only another thread, or a socket, can wake it up before.
"""

from __future__ import annotations

import time
from threading import Event, Lock, Thread
from typing import Final, Protocol
from weakref import ref

from twisted.internet.interfaces import IReactorFromThreads

__all__ = ["WallClockWatch"]

_PERIOD: Final = 1.0  # seconds
_MIN_STEP: Final = 0.1  # seconds; NTP changes the speed of the clock by less than 0.001 s a second


class Scheduler(Protocol):
    """The methods of :class:`wsx._scheduler.Scheduler` that the watch uses."""

    @property
    def is_armed(self) -> bool:
        """Whether the reactor will wake the scheduler up."""

    def wall_clock_set(self) -> None:
        """Replace the wake-ups of the reactor, because its clock was set."""


class WallClockWatch:
    """Compare the wall clock with the monotonic clock once a second, in a thread.

    The thread ends when the scheduler has no timers or no longer exists.

    Args:
        reactor: The reactor.
        scheduler: The scheduler to notify, in the reactor's thread.
    """

    def __init__(self, reactor: IReactorFromThreads, scheduler: Scheduler) -> None:
        self._reactor = reactor
        self._scheduler = ref(scheduler)
        self._lock = Lock()
        self._running = False

    def start(self) -> None:
        """Start the thread unless it runs. Call this after the scheduler was armed."""
        if self._running:
            return
        with self._lock:
            if not self._running:
                self._running = True
                Thread(target=self._watch, name="wsx-wall-clock", daemon=True).start()

    def _watch(self) -> None:
        offset = _wall_clock_offset()
        while self._is_needed():
            _sleep(_PERIOD)
            before, offset = offset, _wall_clock_offset()
            if abs(offset - before) > _MIN_STEP:
                self._notify()

    def _is_needed(self) -> bool:
        with self._lock:
            # Set before the check, because start() returns without the lock while it is True.
            self._running = False
            scheduler = self._scheduler()
            self._running = scheduler is not None and scheduler.is_armed
            return self._running

    def _notify(self) -> None:
        scheduler = self._scheduler()
        if scheduler is not None:
            self._reactor.callFromThread(scheduler.wall_clock_set)


def _sleep(seconds: float) -> None:
    Event().wait(seconds)  # time.sleep raises OSError when libfaketime sets the clock.


def _wall_clock_offset() -> float:
    return time.time() - time.monotonic()
