"""What a client remembers of its connections: how often they failed, and what its log says."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from wsx.conn import Conn
from wsx.errors import describe
from wsx.frames import Disconnect, is_normal

__all__ = ["Journal"]

_log = Logger("wsx")


class Journal:
    """Counts attempts and writes the log lines about them.

    Args:
        reactor: for the time.
        stable_after: seconds after which an open connection counts as healthy.

    Attributes:
        ever_opened: whether there was a connection yet.
    """

    def __init__(self, reactor: IReactorTime, stable_after: float) -> None:
        self.ever_opened = False
        self._reactor = reactor
        self._stable_after = stable_after
        self._opened_at: float | None = None
        self._marked_healthy = False
        self._failures = 0  # since the last healthy connection
        self._outage: tuple[float, object] | None = None  # since when, and why

    @property
    def retrying(self) -> bool:
        """Whether the next attempt is not the first."""
        return self.ever_opened or self._failures > 0

    def opened(self, label: str, conn: Conn) -> None:
        """A connection is open: says so, and what ended the one before."""
        self.ever_opened = True
        self._opened_at = self._reactor.seconds()
        self._marked_healthy = False
        url = conn.parsed.redacted
        if self._outage is None:
            _log.info("{label}: connected to {url}", label=label, url=url)
            return
        (since, reason), self._outage = self._outage, None
        _log.info(
            "{label}: back at {url} after {seconds:.1f} s, attempt {n}; what happened: {reason}",
            label=label,
            url=url,
            seconds=self._opened_at - since,
            n=self._failures,
            reason=describe(reason),
        )

    def mark_healthy(self) -> None:
        """The open connection works."""
        self._marked_healthy = True

    def lost(self, reason: object, conn: Conn) -> Disconnect:
        """A connection ended, or could not be made: counts it."""
        now = self._reactor.seconds()
        opened_at, self._opened_at = self._opened_at, None
        healthy = opened_at is not None and (
            self._marked_healthy or now - opened_at >= self._stable_after
        )
        self._failures = 1 if healthy else self._failures + 1
        if self._outage is None:  # what follows until the next connection is not the cause
            self._outage = (now, reason)
        return Disconnect(reason, self._failures, conn)

    def decided(self, label: str, status: Disconnect, delay: float | None) -> None:
        """Says what was lost, and what follows: another attempt in ``delay`` seconds, or none."""
        _log.info(
            "{label}: {what} (attempt {n}): {reason}; {next}",
            label=label,
            what="the connection ended" if self.ever_opened else "no connection",
            n=status.attempt_number,
            reason=describe(status.reason),
            next="giving up" if delay is None else f"connecting again in {delay:.1f} s",
        )

    def ended(self, label: str, reason: object) -> None:
        """Says that the client ended."""
        level = LogLevel.info if is_normal(reason) else LogLevel.warn
        _log.emit(level, "{label}: ended: {reason}", label=label, reason=describe(reason))
