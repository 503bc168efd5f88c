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
        reactor: The reactor for the timers.
        deliver: Called with each message when its delay is over.
    """

    __slots__ = ("_calls", "_deliver", "_prune_at", "_reactor")

    def __init__(self, reactor: IReactorTime, deliver: Callable[[Any], None]) -> None:
        self._reactor = reactor
        self._deliver = deliver
        self._calls: set[IDelayedCall] = set()
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
            self._calls.discard(call)
            self._deliver(message)

        call: IDelayedCall = self._reactor.callLater(delay, fire)
        if len(self._calls) >= self._prune_at:
            self._prune()
        self._calls.add(call)
        return call

    def _prune(self) -> None:
        """Forget the calls that the user has cancelled: a timer does not report that."""
        self._calls = {call for call in self._calls if call.active()}
        self._prune_at = 2 * len(self._calls) + _MIN_CALLS_TO_PRUNE

    def cancel(self) -> None:
        """Cancel all timers and drop their messages."""
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()
