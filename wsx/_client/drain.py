"""Deferreds that wait until the write buffer drains; many of them share one timer."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from wsx._deferreds import AnyDeferred, fire_all
from wsx.errors import SendTimeout

__all__ = ["DrainWaiters"]

_PRECISION: Final = 0.001  # seconds: a waiter may expire so much earlier than its timeout
_MAX_GROUP: Final = 32  # waiters
_MIN_GROUPS_TO_PRUNE: Final = 2


class DrainWaiters:
    """The ``send_frame`` calls of one client that wait for the write buffer to drain.

    Waiters that are added within a millisecond with the same timeout form a group with one
    deadline, because a callback may add 100,000 of them.

    Cancelled Deferreds are not removed. ``called`` is True for them, so they are skipped later.

    Args:
        scheduler: The scheduler for timeouts.
        timed_out: Returns the error for a timeout in seconds. Default :class:`SendTimeout`.
    """

    __slots__ = ("_current", "_groups", "_prune_at", "_scheduler", "_timed_out", "_timeouts")

    def __init__(
        self, scheduler: IReactorTime, timed_out: Callable[[float], Exception] = SendTimeout
    ) -> None:
        self._scheduler = scheduler
        self._timed_out = timed_out
        self._prune_at = _MIN_GROUPS_TO_PRUNE
        self._groups: list[_Group] = []
        self._current: _Group | None = None  # The group that was added last.
        self._timeouts: dict[float, _Timeouts] = {}  # By timeout, in seconds.

    def add(self, timeout: float | None) -> Deferred[None]:
        """Return a Deferred that fires with None once the write buffer has drained.

        Args:
            timeout: The time in seconds after which the Deferred fails with :class:`SendTimeout`,
                or None to wait forever.
        """
        now = self._scheduler.seconds()
        group = self._current
        if group is None or now >= group.open_until or group.timeout != timeout:
            group = self._add_group(timeout, now)
        waiter: Deferred[None] = AnyDeferred()
        group.waiters.append(waiter)
        if len(group.waiters) >= _MAX_GROUP:
            group.close()
        return waiter

    def _add_group(self, timeout: float | None, now: float) -> _Group:
        if len(self._groups) >= self._prune_at:
            self._prune()
        group = self._current = _Group(timeout, now)
        self._groups.append(group)
        if timeout is not None:
            timeouts = self._timeouts.get(timeout)
            if timeouts is None:
                timeouts = _Timeouts(self._scheduler, timeout, self._timed_out)
                self._timeouts[timeout] = timeouts
            timeouts.add(group)
        return group

    def _prune(self) -> None:
        """Forget waiters that have timed out or were cancelled."""
        for group in self._groups:
            group.waiters = group.pending()
        self._groups = [group for group in self._groups if group.waiters]
        self._prune_at = 2 * len(self._groups) + _MIN_GROUPS_TO_PRUNE
        self._timeouts = {key: each for key, each in self._timeouts.items() if each.is_active}

    def succeed(self) -> None:
        """Fire all Deferreds with None, in the order in which they were added."""
        fire_all(self._take())

    def fail(self, error: Exception) -> None:
        """Fire all Deferreds with the same error."""
        for waiter in self._take():
            if not waiter.called:
                waiter.errback(error)

    def _take(self) -> chain[Deferred[None]]:
        """Remove and return all waiters. Firing them may add new ones, which must not fire."""
        groups, self._groups = self._groups, []
        timeouts, self._timeouts = self._timeouts, {}
        self._current = None
        for each in timeouts.values():
            each.stop()
        return chain.from_iterable(group.waiters for group in groups)


class _Group:
    """Waiters that were added at about the same time with the same timeout.

    Attributes:
        timeout: Their timeout in seconds, or None.
        deadline: The time in seconds at which they expire.
        open_until: The time in seconds from which on no more waiters may be added.
        waiters: The waiters, in the order in which they were added.
    """

    __slots__ = ("deadline", "open_until", "timeout", "waiters")

    def __init__(self, timeout: float | None, now: float) -> None:
        self.timeout = timeout
        self.deadline = math.inf if timeout is None else now + timeout
        self.open_until = now + _PRECISION
        self.waiters: list[Deferred[None]] = []

    def close(self) -> None:
        """Let no more waiters be added."""
        self.open_until = -math.inf

    def pending(self) -> list[Deferred[None]]:
        """Return the waiters that have not fired and were not cancelled."""
        return [waiter for waiter in self.waiters if not waiter.called]


class _Timeouts:
    """Groups with the same timeout. Their deadlines are in order, so they share one timer."""

    __slots__ = ("_groups", "_scheduler", "_timed_out", "_timeout", "_timer")

    def __init__(
        self, scheduler: IReactorTime, timeout: float, timed_out: Callable[[float], Exception]
    ) -> None:
        self._scheduler = scheduler
        self._timeout = timeout
        self._timed_out = timed_out
        self._groups: deque[_Group] = deque()
        self._timer: IDelayedCall | None = None

    def add(self, group: _Group) -> None:
        self._groups.append(group)
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
        expired: list[Deferred[None]] = []
        while self._groups and (self._groups[0].deadline <= now or not self._groups[0].pending()):
            group = self._groups.popleft()
            group.close()
            expired += group.waiters
        if self._groups:
            self._timer = self._scheduler.callLater(self._groups[0].deadline - now, self._expire)
        for waiter in expired:
            if not waiter.called:
                waiter.errback(self._timed_out(self._timeout))
