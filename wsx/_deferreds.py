"""Deferreds that wait for the same thing."""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["Waiters"]

T = TypeVar("T")


class Waiters(Generic[T]):
    """Gives a Deferred to each who asks, and fires them all at once, in the order of asking.

    A Deferred that is cancelled is forgotten, also when the one fired before it does so.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self) -> Deferred[T]:
        """Gives a new Deferred."""
        waiter: Deferred[T] = Deferred(self._forget)
        self._waiting[waiter] = None
        return waiter

    def succeed(self, result: T) -> None:
        """Fires all with this result."""
        for waiter in self._take():
            if not waiter.called:
                waiter.callback(result)

    def fail(self, error: Exception) -> None:
        """Fails all with this error."""
        for waiter in self._take():
            if not waiter.called:
                waiter.errback(error)

    def _take(self) -> list[Deferred[T]]:
        """Those who ask from now on wait for the next time."""
        waiters = list(self._waiting)
        self._waiting.clear()
        return waiters

    def _forget(self, cancelled: Deferred[T]) -> None:
        self._waiting.pop(cancelled, None)
