"""A collection of Deferreds that wait for the same event."""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["Waiters"]

T = TypeVar("T")


class Waiters(Generic[T]):
    """A set of Deferreds that fire together, in the order in which they were added.

    A cancelled Deferred is removed, even while the others fire. A Deferred that is added while the
    others fire is not fired with them.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self) -> Deferred[T]:
        """Return a new Deferred that fires with the result of :meth:`succeed` or :meth:`fail`."""
        waiter: Deferred[T] = Deferred(self._forget)
        self._waiting[waiter] = None
        return waiter

    def succeed(self, result: T) -> None:
        """Fire all Deferreds with a result."""
        for waiter in self._take():
            if not waiter.called:
                waiter.callback(result)

    def fail(self, error: Exception) -> None:
        """Fire all Deferreds with an error."""
        for waiter in self._take():
            if not waiter.called:
                waiter.errback(error)

    def _take(self) -> list[Deferred[T]]:
        waiters = list(self._waiting)
        self._waiting.clear()
        return waiters

    def _forget(self, cancelled: Deferred[T]) -> None:
        self._waiting.pop(cancelled, None)
