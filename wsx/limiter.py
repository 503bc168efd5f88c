"""A limit on connection attempts per host, shared by clients of one process."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from wsx._arguments import is_number, require

__all__ = ["ConnectLimiter", "Place"]

_ROUNDING: Final = 2e-6  # seconds; a timer may fire this early because of rounding


class ConnectLimiter:
    """Limit the number of connection attempts to each host in a sliding period.

    Pass the same limiter to all clients that share the limit, as the ``connect_limiter`` option.
    An attempt over the limit waits until it may start, behind those that wait already. The wait
    does not count as connecting time or as a failed attempt.

    A host is the host of the client's URL, in lower case and without its port. This holds also
    for a client that connects through a proxy or an ``endpoint``. Every attempt counts when it
    starts, whether it succeeds or fails. Clients with different reactors do not share a limit,
    because the clocks of two reactors cannot be compared.

    Args:
        per_host: The number of attempts to one host that may start in any period of
            ``per_seconds``, at least 1.
        per_seconds: The length of the period in seconds, above 0.

    Attributes:
        per_host: The number of attempts.
        per_seconds: The length of the period in seconds.

    Raises:
        ValueError: An argument is out of range or not a number.
    """

    def __init__(self, *, per_host: int, per_seconds: float) -> None:
        self._set_limit(per_host, per_seconds)
        # By scheduler and host. The host that was used least recently comes first.
        self._windows: dict[IReactorTime, OrderedDict[str, _Window]] = {}

    def __repr__(self) -> str:
        return f"ConnectLimiter(per_host={self.per_host}, per_seconds={self.per_seconds:g})"

    def configure(self, *, per_host: int, per_seconds: float) -> None:
        """Change the limit. It applies at once, also to attempts that wait already.

        Args:
            per_host: As for the constructor.
            per_seconds: As for the constructor.

        Raises:
            ValueError: As for the constructor.
        """
        self._set_limit(per_host, per_seconds)
        windows = [window for hosts in self._windows.values() for window in hosts.values()]
        for window in windows:
            window.configure(per_host, per_seconds)

    def enter(self, host: str, scheduler: IReactorTime, start: Callable[[], None]) -> Place | None:
        """Count an attempt that starts now, or queue it if the limit is reached.

        Args:
            host: The host of the URL.
            scheduler: The scheduler of the client's reactor, for the time.
            start: Called later, when a queued attempt may start.

        Returns:
            None if the attempt may start now; otherwise its place in the queue.
        """
        hosts = self._windows.setdefault(scheduler, OrderedDict())
        key = host.lower().rstrip(".")
        window = hosts.get(key)
        if window is None:
            self._forget_idle(hosts, scheduler.seconds())
            window = hosts[key] = _Window(self.per_host, self.per_seconds, scheduler)
        hosts.move_to_end(key)
        return window.enter(start)

    def _set_limit(self, per_host: int, per_seconds: float) -> None:
        valid = isinstance(per_host, int) and not isinstance(per_host, bool)
        valid = valid and 0 < per_host < sys.maxsize
        require(valid, "per_host", "a whole number above 0", per_host)
        valid = is_number(per_seconds) and per_seconds > 0
        require(valid, "per_seconds", "a number above 0", per_seconds)
        self.per_host = per_host
        self.per_seconds = per_seconds

    def _forget_idle(self, hosts: OrderedDict[str, _Window], now: float) -> None:
        """Remove the hosts without an attempt in the current period, so that memory is bounded."""
        while hosts:
            host, window = next(iter(hosts.items()))
            if not window.is_idle(now):
                return
            del hosts[host]


class Place:
    """The place of one attempt in the queue of a host.

    Attributes:
        seconds: The time in seconds that the attempt will wait if all before it stay in the queue.
        start: Called when the attempt may start.
    """

    __slots__ = ("_since", "_window", "seconds", "start")

    def __init__(
        self, window: _Window, since: float, seconds: float, start: Callable[[], None]
    ) -> None:
        self._window = window
        self._since = since
        self.seconds: float = seconds
        self.start: Callable[[], None] = start

    @property
    def waited(self) -> float:
        """The time in seconds since the attempt was queued."""
        return self._window.now - self._since

    def leave(self) -> None:
        """Leave the queue. The attempts behind then start earlier."""
        self._window.leave(self)


class _Window:
    """The latest attempts to one host, and the queue of those that wait."""

    def __init__(self, limit: int, period: float, scheduler: IReactorTime) -> None:
        self._limit = limit
        self._period = period
        self._scheduler = scheduler
        self._started: deque[float] = deque(maxlen=limit)  # When the latest attempts started.
        self._queue: OrderedDict[Place, None] = OrderedDict()
        self._timer: IDelayedCall | None = None

    @property
    def now(self) -> float:
        """The time on the scheduler's clock, in seconds."""
        return self._scheduler.seconds()

    def is_idle(self, now: float) -> bool:
        """Return whether nothing waits and no attempt has started in the current period."""
        return not self._queue and (not self._started or self._started[-1] + self._period <= now)

    def enter(self, start: Callable[[], None]) -> Place | None:
        """Count an attempt and return None, or queue it and return its place."""
        if not self._queue and self._seconds_to_next() <= 0:
            self._started.append(self.now)
            return None
        place = Place(self, self.now, self._seconds_to_wait(), start)
        self._queue[place] = None
        self._set_timer()
        return place

    def leave(self, place: Place) -> None:
        """Remove a place from the queue if it is still there."""
        self._queue.pop(place, None)
        self._set_timer()

    def configure(self, limit: int, period: float) -> None:
        """Change the limit and the period."""
        self._limit, self._period = limit, period
        self._started = deque(self._started, maxlen=limit)
        self._stop_timer()
        self._set_timer()

    def _seconds_to_next(self) -> float:
        """Return the time in seconds until one more attempt may start; 0 if it may start now."""
        if len(self._started) < self._limit:
            return 0.0
        seconds = self._started[0] + self._period - self.now
        return seconds if seconds > _ROUNDING else 0.0

    def _seconds_to_wait(self) -> float:
        """Return the time in seconds that one more attempt would wait in the queue."""
        rounds, index = divmod(len(self._queue), self._limit)
        if index >= len(self._started):  # The limit was raised a moment ago.
            return rounds * self._period
        at = self._started[index] + (rounds + 1) * self._period
        return max(at - self.now, 0.0)

    def _set_timer(self) -> None:
        if not self._queue:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self._scheduler.callLater(self._seconds_to_next(), self._start_next)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_next(self) -> None:
        """Start the attempts at the head of the queue that may start."""
        self._timer = None
        while self._queue and self._seconds_to_next() <= 0:
            place, _ = self._queue.popitem(last=False)
            self._started.append(self.now)
            place.start()  # It may run user code, which may change the queue.
        self._set_timer()
