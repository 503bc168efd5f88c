"""A reactor with virtual time.

There are two clocks, as in a real process. Timers follow the wall clock (:meth:`seconds`), which
may be stepped. The network follows the monotonic clock, and goes on while the process is paused.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from zope.interface import implementer

PENDING, CALLED, CANCELLED = range(3)


class Owner:
    """Something to which timers are attributed: a client, a supervisor, or the simulation.

    Attributes:
        timers: The number of its pending timers.
    """

    __slots__ = ("timers",)

    def __init__(self) -> None:
        self.timers = 0


@implementer(IDelayedCall)
class Timer:
    """A pending call, like Twisted's DelayedCall."""

    __slots__ = ("_reactor", "args", "function", "keywords", "owner", "status", "time")

    def __init__(
        self, reactor: Reactor, time: float, function: Any, args: Any, keywords: Any
    ) -> None:
        self._reactor = reactor
        self.time = time
        self.function = function
        self.args = args
        self.keywords = keywords
        self.status = PENDING
        # The wake-up of the scheduler belongs to all.
        is_shared = getattr(function, "__self__", None) is reactor.scheduler
        self.owner = reactor.outside if is_shared else reactor.owner
        self.owner.timers += 1

    def getTime(self) -> float:
        return self.time

    def active(self) -> bool:
        return self.status == PENDING

    def _check(self) -> None:
        if self.status == CANCELLED:
            raise AlreadyCancelled
        if self.status == CALLED:
            raise AlreadyCalled

    def cancel(self) -> None:
        self._check()
        self.status = CANCELLED
        self.owner.timers -= 1
        self.function = self.args = self.keywords = None

    def reset(self, secondsFromNow: float) -> None:
        self._check()
        self.time = self._reactor.seconds() + secondsFromNow
        self._reactor.push(self)

    def delay(self, secondsLater: float) -> None:
        self._check()
        self.time += secondsLater
        self._reactor.push(self)


class Reactor(Clock):
    """A reactor whose time is advanced by :meth:`iterate`.

    Attributes:
        monotonic_now: The monotonic time in seconds.
        wall_offset: The difference between the wall clock and the monotonic clock.
        owner: The owner of timers that are created now.
        outside: The owner of what belongs to nothing else.
        steps: The number of calls so far.
    """

    def __init__(self, after_step: Callable[[], None], wall_offset: float = 0.0) -> None:
        super().__init__()
        self.monotonic_now = 0.0
        self.wall_offset = wall_offset
        self.outside = Owner()
        self.owner = self.outside
        self.steps = 0
        self.scheduler: Any = None
        self._after_step = after_step
        self._count = 0
        self._timers: list[tuple[float, int, Timer]] = []
        self._network: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def seconds(self) -> float:
        return self.monotonic_now + self.wall_offset

    def monotonic(self) -> float:
        return self.monotonic_now

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:
        assert delay >= 0, f"{delay} is not greater than or equal to 0 seconds"
        if delay > 0:  # Below this, the wall clock has no resolution, and time would not pass.
            delay = max(delay, 1e-6)
        timer = Timer(self, self.seconds() + delay, callable, args, kw)
        self.push(timer)
        return timer

    def push(self, timer: Timer) -> None:
        self._count += 1
        heapq.heappush(self._timers, (timer.time, self._count, timer))

    def getDelayedCalls(self) -> list[Any]:
        return list(dict.fromkeys(t for _, _, t in self._timers if t.active()))

    def later(self, delay: float, function: Callable[..., object], *args: Any) -> None:
        """Call a function of the simulation: the network, or a scheduled action."""
        self._count += 1
        heapq.heappush(self._network, (self.monotonic_now + delay, self._count, function, args))

    def advance(self, amount: float) -> None:
        self.run_until(self.monotonic_now + amount)

    def step_wall_clock(self, seconds: float) -> None:
        """Step the wall clock."""
        self.wall_offset += seconds

    def pause(self, seconds: float) -> None:
        """Do nothing for some time, as a stopped process."""
        self.monotonic_now += seconds

    def next_at(self) -> float | None:
        """Return the monotonic time of the next call, or None."""
        timers = self._timers
        while timers and (timers[0][2].status != PENDING or timers[0][2].time != timers[0][0]):
            heapq.heappop(timers)
        times = []
        if timers:
            times.append(timers[0][0] - self.wall_offset)
        if self._network:
            times.append(self._network[0][0])
        return min(times, default=None)

    def run_until(self, deadline: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Run all calls up to a monotonic time."""
        while not stop():
            when = self.next_at()
            if when is None or when > deadline:
                break
            if when > self.monotonic_now:
                self.monotonic_now = when
            self.iterate()
        if not stop():
            self.monotonic_now = max(self.monotonic_now, deadline)

    def iterate(self) -> None:
        """Run the timers that are due, then read from the network, like a reactor iteration."""
        last = self._count
        now = self.seconds()
        timers, network = self._timers, self._network
        while timers and timers[0][0] <= now + 1e-9 and timers[0][1] <= last:
            time, _, timer = heapq.heappop(timers)
            if timer.status == PENDING and timer.time == time:
                self._fire(timer)
        last = self._count
        mono = self.monotonic_now
        while network and network[0][0] <= mono and network[0][1] <= last:
            _, _, function, args = heapq.heappop(network)
            self.owner = self.outside
            try:
                function(*args)
            except Exception as error:
                self.failed(error)
            self.steps += 1
            self._after_step()

    def _fire(self, timer: Timer) -> None:
        timer.status = CALLED
        timer.owner.timers -= 1
        self.owner = timer.owner
        self.fire(timer)
        self.steps += 1
        self._after_step()

    def failed(self, error: Exception) -> None:
        """Handle an exception of a network event; the simulation replaces this."""
        raise error

    def fire(self, timer: Timer) -> None:
        """Call the function of a timer; the simulation replaces this to catch exceptions."""
        timer.function(*timer.args, **timer.keywords)
