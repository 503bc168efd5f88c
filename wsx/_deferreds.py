"""Deferreds that coroutines of Twisted and of asyncio may await, and that wait for one event."""

from __future__ import annotations

import asyncio
import sys
from asyncio.events import _get_running_loop
from collections.abc import Generator, Iterable
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["AnyDeferred", "Waiters", "fire_all"]

T = TypeVar("T")

_RESUMABLE: Final = CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR  # flags of code objects


class AnyDeferred(Deferred[T]):
    """A Deferred that may also be awaited in a task of asyncio, on Twisted's asyncio reactor.

    A plain Deferred needs ``asFuture`` there, because a task cannot wait for a Deferred.
    """

    def __await__(self) -> Generator[Any, None, T]:
        loop = None if self.called and not self.paused else _loop_of_caller()
        if loop is None:
            return super().__await__()
        future: asyncio.Future[T] = self.asFuture(loop)
        return future.__await__()


def _loop_of_caller() -> asyncio.AbstractEventLoop | None:
    """Return the event loop if a task of asyncio awaits the caller's object, else None.

    There may be a current task even if Twisted runs the coroutine that awaits: the task has called
    ``ensureDeferred`` or the like. Then there is a plain function between the two.
    """
    loop = _get_running_loop()
    task = None if loop is None else asyncio.current_task(loop)
    if not isinstance(task, asyncio.Task):  # A callback of wsx awaits Deferreds as they are.
        return None
    coroutine: Any = task.get_coro()
    outermost = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    frame = sys._getframe(2)  # The coroutine that awaits.
    while frame is not None and frame.f_code.co_flags & _RESUMABLE:
        if frame is outermost:
            return loop
        frame = frame.f_back  # type: ignore[assignment]
    return None


def fire_all(waiters: Iterable[Deferred[None]]) -> None:
    """Fire Deferreds with None, in order, except for those that were cancelled.

    If a Deferred has no callbacks, this does what ``callback`` does, seven times faster. The list
    of its callbacks is a private attribute; without that attribute, ``callback`` is called.
    """
    for waiter in waiters:
        if not waiter.called:
            if getattr(waiter, "_callbacks", True):
                waiter.callback(None)
            else:
                waiter.called, waiter.result = True, None


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
        waiter: Deferred[T] = AnyDeferred(self._forget)
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
