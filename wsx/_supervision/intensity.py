"""Restart intensity: how many restarts a supervisor allows within a period, as in OTP."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

from wsx._arguments import is_number
from wsx._text import expected
from wsx.errors import MaxRestartsExceeded

__all__ = ["Intensity"]


class _History:
    """The times of one child's restarts within the period, on the clock of the child."""

    __slots__ = ("child", "paused_at", "paused_seconds", "times")

    def __init__(self, child: object) -> None:
        self.child = child
        self.times: deque[float] = deque()
        self.paused_at: float | None = None
        self.paused_seconds = 0.0

    def own_time(self, now: float) -> float:
        return (now if self.paused_at is None else self.paused_at) - self.paused_seconds


class Intensity:
    """Count the restarts of a supervisor's children within a period.

    Each child has a clock, which is paused while the child waits for its ``Backoff``. Otherwise a
    child that ends immediately after each start would never exceed the limit, and would be
    restarted forever.

    Args:
        max_restarts: The number of restarts that are allowed within the period.
        max_seconds: The length of the period in seconds.

    Attributes:
        max_restarts: The number of restarts that are allowed within the period.
        max_seconds: The length of the period in seconds.
        total: The number of restarts of all children within the period.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self._histories: dict[object, _History] = {}
        # For each restart, a time at which to check whether the oldest restart of its child has
        # expired. The second item orders entries with the same time, as histories have no order.
        self._checks: list[tuple[float, int, _History]] = []
        self._order = count()
        self.total = 0
        self.configure(max_restarts, max_seconds)

    def configure(self, max_restarts: int, max_seconds: float) -> None:
        """Change the limits and forget all restarts.

        Raises:
            ValueError: An argument is out of range; nothing has changed then.
        """
        if not (is_number(max_restarts) and max_restarts >= 0):
            raise ValueError(expected("max_restarts", "a number of at least 0", max_restarts))
        if not (is_number(max_seconds) and max_seconds > 0):
            raise ValueError(expected("max_seconds", "a number above 0", max_seconds))
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.clear()

    @property
    def is_exceeded(self) -> bool:
        """Whether there were more restarts than allowed."""
        return self.total > self.max_restarts

    def add(self, child: object, now: float) -> int:
        """Count a restart of a child.

        Args:
            child: The child, any hashable object.
            now: The time in seconds.

        Returns:
            The number of this child's restarts within the period.
        """
        self._forget_expired(now)
        history = self._histories.get(child)
        if history is None:
            history = self._histories[child] = _History(child)
        history.times.append(history.own_time(now))
        self.total += 1
        self._check_at(now + self.max_seconds, history)
        return len(history.times)

    def pause(self, child: object, now: float) -> None:
        """Pause the clock of a child that begins to wait for its ``Backoff``."""
        history = self._histories.get(child)
        if history is not None:  # Otherwise its restarts were forgotten.
            history.paused_at = now

    def resume(self, child: object, now: float) -> None:
        """Resume the clock of a child if it is paused."""
        history = self._histories.get(child)
        if history is not None and history.paused_at is not None:
            history.paused_seconds += now - history.paused_at
            history.paused_at = None

    def clear(self) -> None:
        """Forget all restarts and clocks."""
        self._histories.clear()
        self._checks.clear()
        self.total = 0

    def error(self, reason: object) -> MaxRestartsExceeded:
        """Return the exception for a supervisor that gives up.

        Args:
            reason: The reason of the child whose end exceeded the restart intensity.
        """
        return MaxRestartsExceeded(self.max_restarts, self.max_seconds, reason)

    def _check_at(self, when: float, history: _History) -> None:
        heapq.heappush(self._checks, (when, next(self._order), history))

    def _forget_expired(self, now: float) -> None:
        """Forget the restarts that are older than the period.

        A restart expires later than its check if the clock of the child was paused meanwhile. The
        check is repeated then.
        """
        while self._checks and self._checks[0][0] < now:
            _, _, history = heapq.heappop(self._checks)
            age = history.own_time(now) - history.times[0]
            if age > self.max_seconds:
                history.times.popleft()
                self.total -= 1
                if not history.times:
                    del self._histories[history.child]
            else:
                self._check_at(now + (self.max_seconds - age), history)
