"""The timers of ``send_after``: infos that are delivered after a delay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["DelayedMessages"]

_MIN_CALLS_TO_PRUNE: Final = 64


class DelayedMessages:
    """The pending ``send_after`` calls of one client.

    Args:
        scheduler: The scheduler for the timers.
        deliver: Called with each message when its delay is over.
    """

    __slots__ = ("_calls", "_deliver", "_prune_at", "_scheduler")

    def __init__(self, scheduler: IReactorTime, deliver: Callable[[Any], None]) -> None:
        self._scheduler = scheduler
        self._deliver = deliver
        self._calls: set[IDelayedCall] | None = None  # None before the first: a set takes 216 bytes
        self._prune_at = _MIN_CALLS_TO_PRUNE

    def add(self, delay: float, message: Any) -> IDelayedCall:
        """Deliver a message after a delay.

        Args:
            delay: The delay in seconds.
            message: The argument of ``handle_info``.

        Returns:
            The timer, which the user may cancel.
        """

        def fire() -> None:
            if self._calls is not None:
                self._calls.discard(call)
            self._deliver(message)

        call: IDelayedCall = self._scheduler.callLater(delay, fire)
        if self._calls is None:
            self._calls = set()
        elif len(self._calls) >= self._prune_at:
            self._calls = self._prune(self._calls)
        self._calls.add(call)
        return call

    def _prune(self, calls: set[IDelayedCall]) -> set[IDelayedCall]:
        """Return the calls that are pending: a timer does not report that it was cancelled."""
        pending = {call for call in calls if call.active()}
        self._prune_at = 2 * len(pending) + _MIN_CALLS_TO_PRUNE
        return pending

    def cancel(self) -> None:
        """Cancel all timers and drop their messages."""
        for call in self._calls or ():
            if call.active():
                call.cancel()
        self._calls = None
