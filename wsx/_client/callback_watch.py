"""Watch the callback that is pending: report it when it takes long, and end it after a limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from wsx._scheduler import Scheduler

__all__ = ["CallbackWatch"]

_REPEAT: Final = 60.0  # seconds between two reports of the same callback
_PRECISION: Final = 0.001  # seconds by which a timer may be early


class CallbackWatch:
    """The time limits of a handler's callbacks.

    At most one callback is pending at a time, and most of them complete soon. The timer is
    therefore not cancelled when a callback completes: the next callback uses it, so that a handler
    with a million asynchronous callbacks starts few timers.

    Args:
        scheduler: The scheduler for the timer.
        warning: The time in seconds after which a pending callback is reported, or None for never.
        timeout: The time in seconds after which it expires, or None for never.
        overdue: Called with the seconds for which the callback has been pending; again every
            minute.
        expired: Called once if the callback exceeds ``timeout``. The reactor has then read once
            more, because what the callback waits for may have arrived.
    """

    __slots__ = (
        "_began",
        "_expired",
        "_expires_at",
        "_overdue",
        "_scheduler",
        "_timeout",
        "_timer",
        "_wakes_at",
        "_warning",
        "_warns_at",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        warning: float | None,
        timeout: float | None,
        overdue: Callable[[float], None],
        expired: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._warning = math.inf if warning is None else warning
        self._timeout = math.inf if timeout is None else timeout
        self._overdue = overdue
        self._expired = expired
        self._began: float | None = None  # The time at which the callback began, while pending.
        self._warns_at = math.inf
        self._expires_at = math.inf
        self._timer: IDelayedCall | None = None
        self._wakes_at = math.inf

    @property
    def seconds(self) -> float | None:
        """How long the callback has been pending, in seconds; None if none is pending."""
        return None if self._began is None else self._scheduler.seconds() - self._began

    def begin(self, expires: bool = True) -> float:
        """Watch a callback that has just become pending.

        Args:
            expires: Whether ``timeout`` applies to it. Default True.

        Returns:
            The time at which it has become pending, for :meth:`resume`.
        """
        now = self._began = self._scheduler.seconds()
        self._warns_at = now + self._warning
        self._expires_at = now + self._timeout if expires else math.inf
        self._arm(now)
        return now

    def resume(self, began: float) -> None:
        """Watch a callback again whose result is another awaitable. Its limits continue.

        Args:
            began: The time at which it has become pending, as returned by :meth:`begin`.
        """
        self._began = began
        self._arm(self._scheduler.seconds())

    def finish(self) -> None:
        """Stop watching the callback, because it has completed."""
        self._began = None

    def stop(self) -> None:
        """Stop watching, and cancel the timer."""
        self._began = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, now: float) -> None:
        due = min(self._warns_at, self._expires_at)
        if self._timer is not None:
            if self._wakes_at <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due < math.inf:
            self._wakes_at = due
            self._timer = self._scheduler.callLater(max(0.0, due - now), self._check)

    def _check(self) -> None:
        self._timer = None
        if self._began is None:
            return
        now = self._scheduler.seconds()
        if now + _PRECISION >= self._expires_at:
            began, self._expires_at = self._began, math.inf
            self._scheduler.after_reading(lambda: self._expire(began))
        elif now + _PRECISION >= self._warns_at:
            self._warns_at = now + _REPEAT
            self._overdue(now - self._began)
        if self._began is not None:  # The report may have ended the client.
            self._arm(now)

    def _expire(self, began: float) -> None:
        if self._began == began:
            self._expired()
