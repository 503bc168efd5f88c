"""How many restarts a supervisor tolerates: OTP's restart intensity."""

from __future__ import annotations

from collections import deque

from wsx._arguments import is_number
from wsx.errors import MaxRestartsExceeded

__all__ = ["Intensity"]


class Intensity:
    """How many restarts there were lately.

    The time that a child waits for its ``Backoff`` does not count: otherwise one that crashes at
    once would never exceed anything, and be restarted for ever.

    Args:
        max_restarts: so many are tolerated...
        max_seconds: ...within so many seconds.

    Raises:
        ValueError: one of them is out of range.
    """

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        if not (is_number(max_restarts) and is_number(max_seconds)):
            raise ValueError("max_restarts and max_seconds are numbers")
        if not (max_restarts >= 0 and max_seconds > 0):
            raise ValueError("max_restarts is not negative, and max_seconds is above 0")
        self._max_restarts = max_restarts
        self._max_seconds = max_seconds
        self._times: dict[object, deque[float]] = {}  # each on the clock of its child,
        self._waited: dict[object, float] = {}  # which is behind by this
        self._total = 0  # of all children, some of it perhaps too long ago

    def add(self, child: object, now: float) -> int | None:
        """Counts a restart.

        Returns:
            how many this child had lately; None when all together had too many.
        """
        own = self._times.setdefault(child, deque())
        own.append(now - self._waited.get(child, 0.0))
        self._total += 1
        self._prune(child, now)
        if self._total > self._max_restarts:  # only now it matters what of it is long ago
            for other in list(self._times):
                self._prune(other, now)
        return None if self._total > self._max_restarts else len(own)

    def _prune(self, child: object, now: float) -> None:
        """Forgets a child's restarts that were too long ago."""
        times = self._times[child]
        oldest = now - self._waited.get(child, 0.0) - self._max_seconds
        while times and times[0] < oldest:
            times.popleft()
            self._total -= 1
        if not times:
            del self._times[child]

    def pause(self, child: object, seconds: float) -> None:
        """Leaves out these seconds of a child's, which begin now; negative ones count again."""
        self._waited[child] = self._waited.get(child, 0.0) + seconds

    def forget(self, child: object = None) -> None:
        """Begins anew, for one child or for all."""
        if child is None:
            self._times.clear()
            self._waited.clear()
            self._total = 0
        else:
            self._total -= len(self._times.pop(child, ()))
            self._waited.pop(child, None)

    def exceeded(self, reason: object) -> MaxRestartsExceeded:
        """Gives the error that says so."""
        return MaxRestartsExceeded(self._max_restarts, self._max_seconds, reason)
