"""Checks of a soak run: counts of events, violations, and Deferreds that have not fired."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ["Ledger", "Promise"]

_SHOWN = 20  # violations


class Promise:
    """A Deferred that must fire once, within a time limit.

    Args:
        what: The call that returned it.
        client: The name of the client.
        deadline: The time until which it must have fired.
    """

    def __init__(self, what: str, client: str, deadline: float) -> None:
        self.what = what
        self.client = client
        self.deadline = deadline


class Ledger:
    """Count events, and record violations.

    Args:
        seconds: Returns the time in seconds.

    Attributes:
        counts: The numbers of events.
        longest: The longest time in seconds that each kind of Deferred took to fire.
        violations: The first violations, as text.
        violated: The number of violations.
        promises: The promises that have not been kept yet, in the order of the calls.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self.longest: dict[str, float] = {}
        self.violations: list[str] = []
        self.violated = 0
        self.promises: OrderedDict[Promise, None] = OrderedDict()
        self._seconds = seconds

    def check(self, valid: object, text: str, *values: object) -> None:
        """Record a violation unless a condition is true."""
        if not valid:
            self.violated += 1
            if len(self.violations) < _SHOWN:
                self.violations.append(text.format(*values))

    def promise(self, what: str, client: str, fires: Deferred[Any], limit: float) -> None:
        """Expect a Deferred to fire within ``limit`` seconds, and count how it does."""
        now = self._seconds()
        promise = Promise(what, client, now + limit)
        self.promises[promise] = None
        self.counts[what] += 1

        def kept(result: object, outcome: str) -> None:
            self.check(promise in self.promises, "{}: {} fired twice", client, what)
            self.promises.pop(promise, None)
            self.counts[f"{what} {outcome}"] += 1
            took = self._seconds() - now
            self.longest[what] = max(self.longest.get(what, 0.0), took)
            self.check(took <= limit, "{}: {} fired after {:.1f} s", client, what, took)

        fires.addCallbacks(kept, kept, callbackArgs=("succeeded",), errbackArgs=("failed",))

    def check_promises(self) -> None:
        """Record a violation for each promise that is overdue, and forget it."""
        now = self._seconds()
        overdue = [promise for promise in self.promises if promise.deadline < now]
        for promise in overdue:
            del self.promises[promise]
            self.check(False, "{}: {} did not fire in time", promise.client, promise.what)
