"""Count attempts and outages of one client's connections."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from wsx.conn import Conn
from wsx.reasons import Disconnect

__all__ = ["History", "Outage"]


@dataclass(slots=True)
class Outage:
    """The time without a connection between two connections.

    Attributes:
        reason: Why the connection before it was lost.
        since: When that was, in seconds of the reactor.
        failed_attempts: How many attempts failed since then.
    """

    reason: object
    since: float
    failed_attempts: int = 0


class History:
    """Counts the failures since the last healthy connection.

    A connection is healthy once it has been open for ``stable_after`` seconds, or the handler has
    said so.

    Args:
        reactor: For the time.
        stable_after: Seconds after which an open connection is healthy.

    Attributes:
        ever_opened: Whether there has been a connection.
        was_open: Whether the attempt that began last led to a connection.
        failures: Losses and failed attempts since the last healthy connection.
    """

    __slots__ = (
        "_attempt_at",
        "_healthy",
        "_opened_at",
        "_outage",
        "_reactor",
        "_stable_after",
        "ever_opened",
        "failures",
        "was_open",
    )

    def __init__(self, reactor: IReactorTime, stable_after: float) -> None:
        self.ever_opened = False
        self.was_open = False
        self.failures = 0
        self._reactor = reactor
        self._stable_after = stable_after
        self._attempt_at: float | None = None
        self._opened_at: float | None = None
        self._healthy = False  # the open connection, or the last one
        self._outage: Outage | None = None

    @property
    def retrying(self) -> bool:
        """Whether the next attempt is not the first one."""
        return self.ever_opened or self.failures > 0

    @property
    def attempt_number(self) -> int:
        """Failures since the last healthy connection; 0 while there is one."""
        return 0 if self._is_healthy() else self.failures

    @property
    def seconds_since_attempt(self) -> float:
        """Seconds since the last attempt began; infinite if there was none."""
        if self._attempt_at is None:
            return math.inf
        return self._reactor.seconds() - self._attempt_at

    def _is_healthy(self) -> bool:
        if self._opened_at is None:
            return False
        return self._healthy or self._reactor.seconds() - self._opened_at >= self._stable_after

    def attempting(self) -> None:
        """Note that an attempt begins."""
        self._attempt_at = self._reactor.seconds()
        self.was_open = False

    def opened(self) -> Outage | None:
        """Note that a connection is open, and return the outage that it ended, if any."""
        self.ever_opened = self.was_open = True
        self._opened_at = self._reactor.seconds()
        self._healthy = False
        outage, self._outage = self._outage, None
        return outage

    def mark_healthy(self) -> None:
        """Note that the handler calls the open connection healthy."""
        self._healthy = True

    def closing(self) -> None:
        """Note that the connection is no longer open. Its closing handshake does not count."""
        if self._opened_at is not None:
            self._healthy = self._is_healthy()
            self._opened_at = None

    def lost(self, reason: object, conn: Conn) -> Disconnect:
        """Count a lost connection or a failed attempt, and return what the handler is told."""
        self.failures = 1 if self._healthy else self.failures + 1
        self._healthy = False
        if self._outage is None:  # later failures until the next connection are not its cause
            self._outage = Outage(reason, self._reactor.seconds())
        if not self.was_open:
            self._outage.failed_attempts += 1
        return Disconnect(reason, self.failures, conn)
