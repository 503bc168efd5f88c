"""A clock that the test advances, in the place of a reactor: no real time and no sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from wsx._scheduler import scheduler_for
from wsx._transport.endpoints import IEndpointSource
from wsx.conn import Conn

__all__ = ["EndpointSource", "MemoryReactor", "TurnClock"]

_RESOLUTION: Final = 1e-9  # seconds; sums of delays are rounded
_MAX_TURNS: Final = 100_000


class EndpointSource(Protocol):
    """What a :class:`MemoryReactor` connects to."""

    def endpoint_for(self, conn: Conn) -> IStreamClientEndpoint:
        """Return the endpoint for an attempt to connect."""


class TurnClock(Clock):
    """A clock that runs one reactor iteration at a time.

    ``Clock.advance`` also runs the calls that the calls which are due have added. A reactor runs
    them in its next iteration.
    """

    def turn(self) -> None:
        """Run the calls that are due now; calls that they add wait for the next iteration."""
        self._sortCalls()
        limit = self.seconds() + _RESOLUTION
        for call in list(self.calls):
            if call.active() and call.getTime() <= limit:
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


@implementer(IEndpointSource)
class MemoryReactor(TurnClock):
    """The reactor of a client under test. Its time passes only in :meth:`advance`.

    All connections of its clients, to any URL, are made by ``source``.

    Args:
        source: Returns the endpoints.
    """

    def __init__(self, source: EndpointSource) -> None:
        super().__init__()
        self._source = source
        self._is_running = False

    def endpoint_for(self, conn: Conn) -> IStreamClientEndpoint:
        """Return the endpoint for an attempt to connect."""
        return self._source.endpoint_for(conn)

    def later(self, delay: float, function: Callable[..., object], *args: object) -> None:
        """Call a function of the network after ``delay`` seconds. It is no timer of the client."""
        self.callLater(delay, _NetworkCall(function, args))

    def advance(self, amount: float) -> None:
        """Let time pass. Each timer runs at its own time.

        Args:
            amount: The time in seconds.

        Raises:
            ValueError: The time is negative.
            AssertionError: The client does not come to rest.
        """
        if not amount >= 0:
            raise ValueError(f"advance: expected at least 0 seconds, got {amount!r}")
        target = self.rightNow + amount
        while (when := self.next_at()) is not None and when <= target + _RESOLUTION:
            self.rightNow = max(self.rightNow, when)
            self.settle()
        self.rightNow = max(self.rightNow, target)

    def settle(self) -> None:
        """Run reactor iterations until nothing is due at the present time.

        In a callback of the client this does nothing, because the iteration is not over.

        Raises:
            AssertionError: The client does not come to rest.
        """
        if self._is_running:
            return
        self._is_running = True
        try:
            for _ in range(_MAX_TURNS):
                when = self.next_at()
                if when is None or when > self.rightNow + _RESOLUTION:
                    return
                self.turn()
        finally:
            self._is_running = False
        raise AssertionError(
            f"the client still had work to do after {_MAX_TURNS:,} reactor iterations; "
            "a handler that casts to itself in every callback never comes to rest"
        )

    def next_at(self) -> float | None:
        """Return the time of the next call in seconds, or None if there is none."""
        return min((call.getTime() for call in self.calls), default=None)

    def timers(self) -> list[DelayedCall]:
        """Return the pending timers of the client and of the handler, in the order of their time.

        The timers of the network are not among them.
        """
        scheduler = scheduler_for(self)
        own = [
            call
            for call in self.calls
            if not isinstance(call.func, _NetworkCall)
            and getattr(call.func, "__self__", None) is not scheduler
        ]
        found = [*own, *scheduler.getDelayedCalls()]
        return sorted(found, key=lambda call: call.getTime())


class _NetworkCall:
    """A function of the network, to tell its calls from the timers of the client."""

    def __init__(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._function = function
        self._arguments = arguments

    def __call__(self) -> None:
        self._function(*self._arguments)
