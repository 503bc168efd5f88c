"""The history of one client's connections: failures, healthy connections and outages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from wsx.conn import Conn
from wsx.reasons import Disconnect

__all__ = ["History", "Outage"]


@dataclass(slots=True)
class Outage:
    """A period without a connection.

    Attributes:
        reason: Why the previous connection was lost, or why the first attempt failed.
        since: The time of that failure on the scheduler's clock, in seconds.
        failed_attempts: The number of attempts that have failed since then. Default 0.
    """

    reason: object
    since: float
    failed_attempts: int = 0


class History:
    """Count the failures since the last healthy connection.

    A connection is healthy once it has been open for ``stable_after`` seconds, or once the handler
    has called ``mark_healthy``.

    Args:
        scheduler: The scheduler for the time.
        stable_after: The time in seconds after which an open connection is healthy.

    Attributes:
        ever_opened: Whether any attempt has led to an open connection.
        was_open: Whether the latest attempt has led to an open connection.
        failures: The number of lost connections and failed attempts since the last healthy
            connection.
        last: The last value that :meth:`lost` has returned, or None.
    """

    __slots__ = (
        "_attempt_at",
        "_healthy",
        "_opened_at",
        "_outage",
        "_scheduler",
        "_stable_after",
        "ever_opened",
        "failures",
        "last",
        "was_open",
    )

    def __init__(self, scheduler: IReactorTime, stable_after: float) -> None:
        self.ever_opened = False
        self.was_open = False
        self.failures = 0
        self.last: Disconnect | None = None
        self._scheduler = scheduler
        self._stable_after = stable_after
        self._attempt_at: float | None = None
        self._opened_at: float | None = None
        self._healthy = False  # Of the open connection, or of the last one if none is open.
        self._outage: Outage | None = None

    @property
    def retrying(self) -> bool:
        """Whether the next attempt is not the first one."""
        return self.ever_opened or self.failures > 0

    @property
    def attempt_number(self) -> int:
        """The number of failures since the last healthy connection; 0 while one is open."""
        return 0 if self._is_healthy() else self.failures

    @property
    def seconds_since_attempt(self) -> float:
        """The time in seconds since the latest attempt began; ``math.inf`` before the first."""
        if self._attempt_at is None:
            return math.inf
        return self._scheduler.seconds() - self._attempt_at

    def _is_healthy(self) -> bool:
        if self._opened_at is None:
            return False
        return self._healthy or self._scheduler.seconds() - self._opened_at >= self._stable_after

    def attempting(self) -> None:
        """Record that an attempt begins."""
        self._attempt_at = self._scheduler.seconds()
        self.was_open = False

    def opened(self) -> Outage | None:
        """Record that a connection is open, and return the outage that it ended, or None."""
        self.ever_opened = self.was_open = True
        self._opened_at = self._scheduler.seconds()
        self._healthy = False
        outage, self._outage = self._outage, None
        return outage

    def mark_healthy(self) -> None:
        """Record that the handler has called ``mark_healthy``."""
        self._healthy = True

    def closing(self) -> None:
        """Record that the connection is closing: the closing handshake does not count as open."""
        if self._opened_at is not None:
            self._healthy = self._is_healthy()
            self._opened_at = None

    def lost(self, reason: object, conn: Conn) -> Disconnect:
        """Count a lost connection or a failed attempt.

        Args:
            reason: Why the connection was lost or the attempt failed.
            conn: The Conn of the connection or attempt.

        Returns:
            The argument of ``handle_disconnect``.
        """
        self.failures = 1 if self._healthy else self.failures + 1
        self._healthy = False
        if self._outage is None:  # The first failure is the reason of the outage.
            self._outage = Outage(reason, self._scheduler.seconds())
        if not self.was_open:
            self._outage.failed_attempts += 1
        self.last = Disconnect(reason, self.failures, conn)
        return self.last
