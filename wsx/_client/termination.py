"""Call ``terminate`` once, within a time limit."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Termination"]


class Termination:
    """The call of ``terminate`` when a client ends.

    Args:
        scheduler: The scheduler for the time limit.
        timed_out: Called with the elapsed time in seconds if ``terminate`` exceeds the limit.
        finished: Called once with the reason with which the client ends.
    """

    __slots__ = (
        "_began",
        "_finished",
        "_hurried",
        "_pending",
        "_scheduler",
        "_timed_out",
        "_timer",
    )

    def __init__(
        self,
        scheduler: IReactorTime,
        timed_out: Callable[[float], None],
        finished: Callable[[object], None],
    ) -> None:
        self._scheduler = scheduler
        self._timed_out = timed_out
        self._finished = finished
        self._hurried = False
        self._began = 0.0
        self._pending: tuple[Deferred[object], object] | None = None
        self._timer: IDelayedCall | None = None

    def start(
        self, terminate: Callable[[object], Deferred[object]], reason: object, limit: float
    ) -> None:
        """Call ``terminate``.

        Args:
            terminate: Returns a Deferred that fires with the reason with which the client ends.
            reason: The reason so far. The client ends with it if ``terminate`` exceeds the limit.
            limit: The time limit in seconds.
        """
        self._began = self._scheduler.seconds()
        returned = terminate(reason)
        self._pending = (returned, reason)
        seconds = 0.0 if self._hurried else limit  # terminate itself may have called hurry().
        self._timer = self._scheduler.callLater(seconds, self._expire)
        returned.addCallback(self._returned)

    def hurry(self) -> None:
        """Stop waiting for ``terminate``, whether it is pending or has not been called yet."""
        self._hurried = True
        if self._pending is not None:
            self._expire()

    def _returned(self, reason: object) -> None:
        if self._pending is not None:
            self._finish(reason)

    def _expire(self) -> None:
        """End the client even if ``terminate`` ignores its cancellation."""
        assert self._pending is not None
        returned, reason = self._pending
        self._timed_out(self._scheduler.seconds() - self._began)
        self._pending = None
        returned.cancel()
        self._finish(reason)

    def _finish(self, reason: object) -> None:
        self._pending = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._finished(reason)
