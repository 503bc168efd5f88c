"""The reconnect policy of one client: whether and when to reconnect after a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsx.backoff import Backoff, retry_after
from wsx.errors import NameLost
from wsx.reasons import Disconnect

__all__ = ["Plan", "ReconnectPolicy"]

_MIN_SECONDS_BETWEEN_ATTEMPTS: Final = 1.0
_DEFAULT: Final = Backoff()  # Shared by all clients: its random generator takes 2.5 KB.


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision of the policy about one loss.

    Attributes:
        reconnects: Whether the default ``handle_disconnect`` reconnects.
        delay: The delay in seconds before the next attempt, for a ``Reconnect`` without ``after``.
        gave_up: Whether the client has a ``reconnect`` policy and the policy gave up.
        requires_other: Whether the next attempt must have another URL or other headers, because the
            server has refused these. Default False.
    """

    reconnects: bool
    delay: float
    gave_up: bool
    requires_other: bool = False


class ReconnectPolicy:
    """Return a plan for each loss.

    Args:
        backoff: The client's ``reconnect`` option: a Backoff or None.
    """

    __slots__ = ("_backoff",)

    def __init__(self, backoff: Backoff | None) -> None:
        self._backoff = backoff

    def plan(
        self, status: Disconnect, seconds_since_attempt: float, may_change: bool = False
    ) -> Plan:
        """Return the plan for one loss.

        Args:
            status: The argument of ``handle_disconnect``.
            seconds_since_attempt: The time in seconds since the latest attempt began.
            may_change: Whether the server has refused the credentials, and a callable may return
                others for the next attempt. Default False.
        """
        if isinstance(status.reason, NameLost):  # The attempt waits for the name.
            return Plan(reconnects=True, delay=0.0, gave_up=False)
        if self._backoff is None:
            delay = self._default_delay(status.attempt_number, seconds_since_attempt)
            return Plan(reconnects=False, delay=delay, gave_up=False)
        chosen = self._backoff.delay(status)
        if chosen is None and may_change:
            chosen = self._backoff(status.attempt_number)
            if chosen is not None:
                delay = max(chosen, retry_after(status.reason))
                return Plan(reconnects=True, delay=delay, gave_up=False, requires_other=True)
        if chosen is None:  # A handler may reconnect nevertheless; then use the longest delay.
            return Plan(reconnects=False, delay=self._backoff.maximum, gave_up=True)
        return Plan(reconnects=True, delay=chosen, gave_up=False)

    def _default_delay(self, attempt_number: int, seconds_since_attempt: float) -> float:
        """Return the delay in seconds for a ``Reconnect`` without ``after`` and without a policy.

        After the loss of a healthy connection there is no delay, and the delay grows with each
        further failure. There is at most one attempt per second.
        """
        backoff = 0.0 if attempt_number <= 1 else _DEFAULT(attempt_number - 1) or 0.0
        return max(backoff, _MIN_SECONDS_BETWEEN_ATTEMPTS - seconds_since_attempt)
