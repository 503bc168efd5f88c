"""Decide whether and when to reconnect after a connection was lost or an attempt failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsx.backoff import Backoff
from wsx.reasons import Disconnect

__all__ = ["Plan", "ReconnectPolicy"]

_MIN_SECONDS_BETWEEN_ATTEMPTS: Final = 1.0
_DEFAULT: Final = Backoff()  # one for all clients: its random generator takes 2.5 KB


@dataclass(frozen=True, slots=True)
class Plan:
    """What the policy says about one loss.

    Attributes:
        reconnects: Whether the default ``handle_disconnect`` reconnects.
        delay: Seconds before the next attempt, if one is made and the handler names no delay.
        gave_up: Whether the client has a ``reconnect`` policy, and it gave up.
    """

    reconnects: bool
    delay: float
    gave_up: bool


class ReconnectPolicy:
    """Makes a plan for each loss.

    Args:
        backoff: The client's ``reconnect`` option.
    """

    __slots__ = ("_backoff",)

    def __init__(self, backoff: Backoff | None) -> None:
        self._backoff = backoff

    def plan(self, status: Disconnect, seconds_since_attempt: float) -> Plan:
        """Return the plan for one loss.

        Args:
            status: What ``handle_disconnect`` receives.
            seconds_since_attempt: Seconds since the last attempt began.
        """
        if self._backoff is None:
            delay = self._default_delay(status.attempt_number, seconds_since_attempt)
            return Plan(reconnects=False, delay=delay, gave_up=False)
        chosen = self._backoff.delay(status)
        if chosen is None:  # a handler that reconnects all the same waits as long as allowed
            return Plan(reconnects=False, delay=self._backoff.maximum, gave_up=True)
        return Plan(reconnects=True, delay=chosen, gave_up=False)

    def _default_delay(self, attempt_number: int, seconds_since_attempt: float) -> float:
        """Return the delay of a ``Reconnect`` without ``after`` and without a policy.

        The loss of a healthy connection is answered at once, each failure after it later, and
        there is at most one attempt a second.
        """
        backoff = 0.0 if attempt_number <= 1 else _DEFAULT(attempt_number - 1) or 0.0
        return max(backoff, _MIN_SECONDS_BETWEEN_ATTEMPTS - seconds_since_attempt)
