"""Deferreds that wait until the write buffer drains; many of them share one timer."""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from wsx.errors import SendTimeout

__all__ = ["DrainWaiters"]

_MIN_WAITERS_TO_PRUNE: Final = 64


class DrainWaiters:
    """The ``send_frame`` calls of one client that wait for the write buffer to drain.

    Cancelled Deferreds are not removed. ``called`` is True for them, so they are skipped later.

    Args:
        scheduler: The scheduler for timeouts.
    """

    __slots__ = ("_prune_at", "_scheduler", "_timeouts", "_waiting")

    def __init__(self, scheduler: IReactorTime) -> None:
        self._scheduler = scheduler
        self._prune_at = _MIN_WAITERS_TO_PRUNE
        self._waiting: list[Deferred[None]] = []
        self._timeouts: dict[float, _Timeouts] = {}  # By timeout, in seconds.

    def add(self, timeout: float | None) -> Deferred[None]:
        """Return a Deferred that fires with None once the write buffer has drained.

        Args:
            timeout: The time in seconds after which the Deferred fails with :class:`SendTimeout`,
                or None to wait forever.
        """
        if len(self._waiting) >= self._prune_at:
            self._prune()
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if timeout is not None:
            timeouts = self._timeouts.get(timeout)
            if timeouts is None:
                timeouts = self._timeouts[timeout] = _Timeouts(self._scheduler, timeout)
            timeouts.add(waiter)
        return waiter

    def _prune(self) -> None:
        """Forget waiters that have timed out or were cancelled."""
        self._waiting = [waiter for waiter in self._waiting if not waiter.called]
        self._prune_at = 2 * len(self._waiting) + _MIN_WAITERS_TO_PRUNE
        self._timeouts = {key: each for key, each in self._timeouts.items() if each.is_active}

    def succeed(self) -> None:
        """Fire all Deferreds with None, in the order in which they were added."""
        for waiter in self._take():
            if not waiter.called:
                waiter.callback(None)

    def fail(self, error: Exception) -> None:
        """Fire all Deferreds with the same error."""
        for waiter in self._take():
            if not waiter.called:
                waiter.errback(error)

    def _take(self) -> list[Deferred[None]]:
        """Remove and return all waiters. Firing them may add new ones, which must not fire."""
        waiting, self._waiting = self._waiting, []
        timeouts, self._timeouts = self._timeouts, {}
        for each in timeouts.values():
            each.stop()
        return waiting


class _Timeouts:
    """Waiters with the same timeout. Their deadlines are in order, so they share one timer."""

    __slots__ = ("_deadlines", "_scheduler", "_timeout", "_timer", "_waiters")

    def __init__(self, scheduler: IReactorTime, timeout: float) -> None:
        self._scheduler = scheduler
        self._timeout = timeout
        self._waiters: deque[Deferred[None]] = deque()
        self._deadlines: deque[float] = deque()
        self._timer: IDelayedCall | None = None

    def add(self, waiter: Deferred[None]) -> None:
        self._waiters.append(waiter)
        self._deadlines.append(self._scheduler.seconds() + self._timeout)
        if self._timer is None:
            self._timer = self._scheduler.callLater(self._timeout, self._expire)

    @property
    def is_active(self) -> bool:
        return self._timer is not None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        """Fail the waiters whose deadline is over, and restart the timer for the others."""
        self._timer = None
        now = self._scheduler.seconds()
        expired = []
        while self._waiters and (self._waiters[0].called or self._deadlines[0] <= now):
            self._deadlines.popleft()
            expired.append(self._waiters.popleft())
        if self._waiters:
            self._timer = self._scheduler.callLater(self._deadlines[0] - now, self._expire)
        for waiter in expired:
            if not waiter.called:
                waiter.errback(SendTimeout(self._timeout))
