"""What a client remembers of its connections: how often they failed, and what its log says."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from wsx._text import describe
from wsx.backoff import Backoff
from wsx.conn import Conn
from wsx.reasons import Disconnect, is_normal

__all__ = ["Journal"]

_log = Logger("wsx")
_gentle = Backoff()
_LEAST_PERIOD: Final = 1.0  # seconds


class Journal:
    """Counts attempts and writes the log lines about them.

    Args:
        reactor: for the time.
        stable_after: seconds after which an open connection counts as healthy.

    Attributes:
        ever_opened: whether there was a connection yet.
        failures: since the last healthy connection.
    """

    def __init__(self, reactor: IReactorTime, stable_after: float) -> None:
        self.ever_opened = False
        self._reactor = reactor
        self._stable_after = stable_after
        self._tried_at: float | None = None
        self._was_open = False  # the attempt that began last
        self._opened_at: float | None = None
        self._healthy = False  # of the connection that is open, or was the last
        self.failures = 0
        self._outage: tuple[float, object] | None = None  # since when, and why
        self._missed = 0  # attempts that failed in it

    @property
    def retrying(self) -> bool:
        """Whether the next attempt is not the first."""
        return self.ever_opened or self.failures > 0

    @property
    def attempt_number(self) -> int:
        """Failures since there was a healthy connection; 0 while there is."""
        return 0 if self._is_healthy() else self.failures

    def _is_healthy(self) -> bool:
        if self._opened_at is None:
            return False
        return self._healthy or self._reactor.seconds() - self._opened_at >= self._stable_after

    def trying(self) -> None:
        """An attempt begins."""
        self._tried_at = self._reactor.seconds()
        self._was_open = False

    def gentle_delay(self) -> float:
        """The delay before the next attempt, where nobody says one.

        The loss of a healthy connection is answered at once, each failure after it later; and
        there is at most one attempt a second.
        """
        backoff = 0.0 if self.failures <= 1 else _gentle(self.failures - 1) or 0.0
        if self._tried_at is None:
            return backoff
        return max(backoff, self._tried_at + _LEAST_PERIOD - self._reactor.seconds())

    def opened(self, label: str, conn: Conn) -> None:
        """A connection is open: says so, and what happened before."""
        what = "back at" if self.ever_opened else "connected to"
        self.ever_opened = self._was_open = True
        self._opened_at = self._reactor.seconds()
        self._healthy = False
        url = conn.parsed.redacted
        if conn.parsed.secure and conn.insecure:
            _log.warn("{label}: the certificate of {url} is not verified", label=label, url=url)
        if self._outage is None:
            _log.info("{label}: connected to {url}", label=label, url=url)
            return
        (since, reason), self._outage = self._outage, None
        _log.info(
            "{label}: {what} {url} after {seconds:.1f} s{failed}; what happened: {reason}",
            label=label,
            what=what,
            url=url,
            seconds=self._opened_at - since,
            failed=_failed(self._missed),
            reason=describe(reason),
        )

    def mark_healthy(self) -> None:
        """The open connection works."""
        self._healthy = True

    def closing(self) -> None:
        """The connection is open no more; the time that its closing takes does not count."""
        if self._opened_at is not None:
            self._healthy = self._is_healthy()
            self._opened_at = None

    def lost(self, reason: object, conn: Conn) -> Disconnect:
        """A connection ended, or could not be made: counts it."""
        self.failures = 1 if self._healthy else self.failures + 1
        self._healthy = False
        if self._outage is None:  # what follows until the next connection is not the cause
            self._outage = (self._reactor.seconds(), reason)
            self._missed = 0
        if not self._was_open:
            self._missed += 1
        return Disconnect(reason, self.failures, conn)

    def decided(self, label: str, status: Disconnect, delay: float | None) -> None:
        """Says what was lost, and what follows: another attempt in ``delay`` seconds, or none."""
        _log.info(
            "{label}: {what} (attempt_number {n}): {reason}; {next}",
            label=label,
            what="the connection ended" if self._was_open else "no connection",
            n=status.attempt_number,
            reason=describe(status.reason),
            next="not connecting again" if delay is None else f"connecting again in {delay:.1f} s",
        )

    def ended(self, label: str, reason: object) -> None:
        """Says that the client ended."""
        level = LogLevel.info if is_normal(reason) else LogLevel.warn
        _log.emit(level, "{label}: ended: {reason}", label=label, reason=describe(reason))


def _failed(attempts: int) -> str:
    if attempts < 2:
        return " and a failed attempt" if attempts else ""
    return f" and {attempts} failed attempts"
