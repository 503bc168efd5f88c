"""Reconnect policy: the delay before the next attempt, and the reasons that are not retried."""

from __future__ import annotations

import random
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from wsx._arguments import is_number, require
from wsx._error_texts import certificate_problem
from wsx.errors import ClusterError, ConnError, RequestError
from wsx.reasons import Disconnect, LocalClose, RemoteClose

__all__ = ["Backoff", "is_retryable", "retry_after"]

_PERMANENT_STATUS: Final = frozenset(
    {200, *range(300, 400), 400, 401, 403, 404, 405, 407, 410, 426, 501, 505}
)
_PERMANENT_CLOSE_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
_LONGEST_RETRY_AFTER: Final = 3600.0  # seconds


class Backoff:
    """Exponential delays with jitter. Call it with an attempt number to get a delay in seconds.

    The delay for attempt ``n`` is uniform in ``[d * (1 - jitter), d * (1 + jitter)]`` for
    ``d = min(maximum, initial * factor ** (n - 1))``, and never exceeds ``maximum``.

    Args:
        initial: The delay after the first failure, in seconds. Default 1.
        maximum: The longest delay, in seconds. Default 60.
        factor: The factor by which the delay grows with each failure, at least 1. Default 2.
        jitter: The random share of a delay, from 0 to 1. Default 0.5.
        max_attempts: The number of attempts after which to give up, or None (default) to retry
            forever.
        rng: The random source, any object with ``uniform(a, b)``. Default: a new
            ``random.Random``.

    Attributes:
        initial: The delay after the first failure, in seconds.
        maximum: The longest delay, in seconds.
        factor: The factor by which the delay grows with each failure.
        jitter: The random share of a delay.
        max_attempts: The number of attempts after which to give up, or None.

    Raises:
        ValueError: An argument is not a number, or is out of range.
    """

    def __init__(
        self,
        initial: float = 1.0,
        maximum: float = 60.0,
        factor: float = 2.0,
        jitter: float = 0.5,
        max_attempts: int | None = None,
        rng: random.Random | None = None,
    ) -> None:
        for name, seconds in (("initial", initial), ("maximum", maximum)):
            valid = is_number(seconds) and seconds >= 0
            require(valid, name, "seconds, a number of at least 0", seconds)
        require(is_number(factor) and factor >= 1, "factor", "a number of at least 1", factor)
        require(is_number(jitter) and 0 <= jitter <= 1, "jitter", "a number from 0 to 1", jitter)
        valid = max_attempts is None or _is_count(max_attempts)
        require(valid, "max_attempts", "an int of at least 0 or None", max_attempts)
        self.initial = initial
        self.maximum = maximum
        self.factor = factor
        self.jitter = jitter
        self.max_attempts = max_attempts
        self._rng = rng if rng is not None else random.Random()

    def __call__(self, attempt_number: int) -> float | None:
        """Return the delay in seconds before retrying after the n-th failure, or None to give up.

        Args:
            attempt_number: The number n of the failure, from 1.
        """
        if self.max_attempts is not None and attempt_number > self.max_attempts:
            return None
        delay = self._without_jitter(attempt_number)
        low, high = delay * (1 - self.jitter), delay * (1 + self.jitter)
        return min(self.maximum, self._rng.uniform(low, high))

    def _without_jitter(self, attempt_number: int) -> float:
        try:
            return float(min(self.maximum, self.initial * self.factor ** (attempt_number - 1)))
        except OverflowError:  # The power is too big for a float after about 1000 attempts.
            return self.maximum if self.initial else 0.0

    def delay(self, status: Disconnect) -> float | None:
        """Return the delay in seconds before retrying after a disconnect, or None to give up.

        A ``Retry-After`` header in the server's refusal is a lower bound, up to one hour.

        Args:
            status: The argument of ``handle_disconnect``.
        """
        if not is_retryable(status.reason):
            return None
        delay = self(status.attempt_number)
        return None if delay is None else max(delay, retry_after(status.reason))

    def __repr__(self) -> str:
        return (
            f"Backoff(initial={self.initial!r}, maximum={self.maximum!r}, factor={self.factor!r}, "
            f"jitter={self.jitter!r}, max_attempts={self.max_attempts!r})"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_retryable(reason: object) -> bool:
    """Return whether another attempt can succeed after a connection ended for this reason.

    The reasons that are not retried are:

    - a :class:`LocalClose`, which was intended;
    - HTTP 200, any 3xx, 400, 401, 403, 404, 405, 407, 410, 426, 501 and 505, from the server or
      from a proxy;
    - a certificate that fails verification;
    - the server's close codes 1002, 1003 and 1007 to 1010;
    - a cluster that NATS refuses, such as for wrong credentials.

    A client with a connection provider or a headers callable retries a 401 once nevertheless, if
    the callable then returns something else.

    Args:
        reason: The reason of a :class:`Disconnect`.
    """
    if isinstance(reason, LocalClose):
        return False
    if isinstance(reason, RequestError):
        return reason.code not in _PERMANENT_STATUS
    if isinstance(reason, RemoteClose):
        return reason.code not in _PERMANENT_CLOSE_CODES
    if isinstance(reason, ClusterError):
        return not reason.is_permanent
    if isinstance(reason, ConnError):
        return certificate_problem(reason.original) is None and is_retryable(reason.original)
    return True


def retry_after(reason: object, now: float | None = None) -> float:
    """Return the delay that a refusal asks for (RFC 9110 section 10.2.3), at most one hour.

    Args:
        reason: The reason of a :class:`Disconnect`.
        now: The current time in seconds since the epoch, for a header that is a date. Default: the
            time of the system clock.

    Returns:
        The delay in seconds in the first ``Retry-After`` header of a :class:`RequestError`, which
        may be wrapped in a :class:`ConnError`; 0 if there is none.
    """
    if isinstance(reason, ConnError):
        return retry_after(reason.original, now)
    if not isinstance(reason, RequestError):
        return 0.0
    for name, value in reason.headers:
        if name.lower() == "retry-after":
            seconds = _parse_retry_after(value.strip(" \t"), time.time() if now is None else now)
            return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
    return 0.0


def _parse_retry_after(value: str, now: float) -> float:
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # HTTP dates are in GMT (RFC 9110 section 5.6.7).
            date = date.replace(tzinfo=UTC)
        return date.timestamp() - now
    except (ValueError, OverflowError):
        return 0.0  # A malformed header is ignored.
