"""How long to wait before the next attempt, and whether there should be one."""

from __future__ import annotations

import random
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import NoneType
from typing import Final

from wsx._arguments import is_number
from wsx.errors import ConnError, RequestError, certificate_problem
from wsx.reasons import Disconnect, LocalClose, RemoteClose

__all__ = ["Backoff", "is_retryable"]

_HOPELESS_STATUS: Final = frozenset({400, 401, 403, 404, 410})
_HOPELESS_CLOSE_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
_LONGEST_RETRY_AFTER: Final = 3600.0


class Backoff:
    """Exponential delays with jitter: called with an attempt number, gives seconds.

    The delay for attempt ``n`` is uniform in ``[d * (1 - jitter), d * (1 + jitter)]`` for
    ``d = min(maximum, initial * factor ** (n - 1))``, and never past ``maximum``.

    Args:
        initial: seconds before the first new attempt. Default 1.
        maximum: the longest delay. Default 60.
        factor: what each delay is multiplied by. Default 2.
        jitter: the share of the delay that is left to chance, from 0 to 1. Default 0.5.
        max_attempts: give up past this many; None never does.
        rng: where the chance comes from; anything with ``uniform(a, b)``. A generator of its own
            by default.

    Raises:
        ValueError: an argument is no number, or out of range.
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
        if not all(is_number(n) for n in (initial, maximum, factor, jitter)):
            raise ValueError("initial, maximum, factor and jitter are numbers")
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, (int, NoneType)):
            raise ValueError("max_attempts is a whole number or None")
        if not (0 <= initial < float("inf") and 0 <= maximum < float("inf")):
            raise ValueError("initial and maximum are seconds, and not negative")
        if not 1 <= factor < float("inf"):
            raise ValueError("factor is at least 1")
        if not 0 <= jitter <= 1:
            raise ValueError("jitter is from 0 to 1")
        if max_attempts is not None and max_attempts < 0:
            raise ValueError("max_attempts is not negative")
        self.initial = initial
        self.maximum = maximum
        self.factor = factor
        self.jitter = jitter
        self.max_attempts = max_attempts
        self._rng = rng if rng is not None else random.Random()

    def __call__(self, attempt_number: int) -> float | None:
        """Gives the seconds to wait before the attempt after the n-th failure, or None."""
        if self.max_attempts is not None and attempt_number > self.max_attempts:
            return None
        delay = self._undisturbed(attempt_number)
        low, high = delay * (1 - self.jitter), delay * (1 + self.jitter)
        return min(self.maximum, self._rng.uniform(low, high))

    def _undisturbed(self, attempt_number: int) -> float:
        try:
            return float(min(self.maximum, self.initial * self.factor ** (attempt_number - 1)))
        except OverflowError:  # after a thousand attempts or so
            return self.maximum if self.initial else 0.0

    def delay(self, status: Disconnect) -> float | None:
        """Applies the policy to a disconnect: the seconds to wait, or None to give up.

        A ``Retry-After`` of the server's refusal is a floor, up to an hour.
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


def is_retryable(reason: object) -> bool:
    """Tells whether another attempt makes sense after this reason.

    Not after a :class:`LocalClose` (we meant it), after HTTP 400, 401, 403, 404 and 410, after a
    certificate that does not verify, nor after the peer's close codes 1002, 1003, 1007 to 1010:
    the next attempt would end the same way.
    """
    if isinstance(reason, LocalClose):
        return False
    if isinstance(reason, RequestError):
        return reason.code not in _HOPELESS_STATUS
    if isinstance(reason, RemoteClose):
        return reason.code not in _HOPELESS_CLOSE_CODES
    if isinstance(reason, ConnError):
        return certificate_problem(reason.original) is None
    return True


def retry_after(reason: object, now: float | None = None) -> float:
    """Gives the seconds a refusal asks to wait (RFC 9110 section 10.2.3), at most an hour.

    Args:
        reason: a disconnect's reason; anything but a :class:`RequestError` gives 0.
        now: seconds since the epoch, for a date in the header; the wall clock by default.
    """
    if not isinstance(reason, RequestError):
        return 0.0
    for name, value in reason.headers:
        if name.lower() == "retry-after":
            seconds = _parse_retry_after(value.strip(), time.time() if now is None else now)
            return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
    return 0.0


def _parse_retry_after(value: str, now: float) -> float:
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # HTTP knows no time but GMT, section 5.6.7
            date = date.replace(tzinfo=UTC)
        return date.timestamp() - now
    except (ValueError, OverflowError):
        return 0.0  # a malformed header asks for nothing
