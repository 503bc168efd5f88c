"""The task that asyncio code sees inside a callback, where Twisted's asyncio reactor runs.

Callbacks are coroutines of Twisted, but aiohttp, ``asyncio.timeout`` and others work only inside an
``asyncio.Task``: they ask for the current task, and cancel it. A :class:`CallbackTask` takes that
place while a step of a callback runs. asyncio documents the functions for this under "Extending".
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any

from twisted.internet.defer import Deferred, fail

__all__ = ["CallbackTask"]


class CallbackTask:
    """One callback as a task of asyncio, with the methods that code inside the callback may use.

    Args:
        loop: The event loop that runs.
        coroutine: The coroutine of the callback.
    """

    # Defaults in the class, because most callbacks do not wait and never set these. The names
    # _must_cancel and _fut_waiter are those of asyncio.Task, because anyio reads them.
    _cancels = 0
    _must_cancel = False
    _message: object = None  # of the last cancellation
    _waiting: Deferred[Any] | None = None
    _fut_waiter: asyncio.Future[Any] | None = None

    def __init__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]
    ) -> None:
        self._loop = loop
        self._coroutine = coroutine

    # The interface of asyncio.Task

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop."""
        return self._loop

    def get_coro(self) -> Coroutine[Any, Any, Any]:
        """Return the coroutine of the callback."""
        return self._coroutine

    def get_name(self) -> str:
        """Return the name of the callback."""
        return str(getattr(self._coroutine, "__qualname__", "callback"))

    def done(self) -> bool:
        """Return whether the callback has returned or raised."""
        return getcoroutinestate(self._coroutine) == CORO_CLOSED

    def cancel(self, msg: object = None) -> bool:
        """Raise ``asyncio.CancelledError`` in the callback, at its present or next await.

        Args:
            msg: The argument of the exception, or None (default) for no argument.

        Returns:
            Whether the callback has not ended yet.
        """
        if self.done():
            return False
        self._cancels += 1
        self._must_cancel = True
        self._message = msg
        if self._waiting is not None:
            self._loop.call_soon(self._interrupt, self._waiting)
        return True

    def cancelling(self) -> int:
        """Return the number of calls of :meth:`cancel` minus those of :meth:`uncancel`."""
        return self._cancels

    def uncancel(self) -> int:
        """Take back one call of :meth:`cancel`, and return the number of the others."""
        self._cancels = max(0, self._cancels - 1)
        if not self._cancels:
            self._must_cancel = False
        return self._cancels

    # The interface for the coroutine runner

    def enter(self) -> asyncio.Task[Any] | None:
        """Become the current task, for one step of the coroutine.

        Returns:
            The current task so far, for :meth:`leave`.
        """
        loop = self._loop
        outer = asyncio.current_task(loop)
        if outer is not None:  # A task of asyncio has called the client, which calls back at once.
            _leave_task(loop, outer)
        _enter_task(loop, self)  # type: ignore[arg-type]
        return outer

    def leave(self, outer: asyncio.Task[Any] | None) -> None:
        """Restore the current task after a step."""
        _leave_task(self._loop, self)  # type: ignore[arg-type]
        if outer is not None:
            _enter_task(self._loop, outer)

    def wait_for(self, awaited: Any) -> Deferred[Any]:
        """Return a Deferred for what the coroutine awaits.

        Args:
            awaited: A Deferred, a future of asyncio, or None, which stands for the next iteration
                of the event loop.
        """
        waiting = self._waiting = self._as_deferred(awaited)
        if self._must_cancel:
            self._loop.call_soon(self._interrupt, waiting)
        return waiting

    def _as_deferred(self, awaited: Any) -> Deferred[Any]:
        if isinstance(awaited, Deferred):
            return awaited
        if awaited is None:
            return self._next_iteration()
        if getattr(awaited, "_asyncio_future_blocking", None):
            awaited._asyncio_future_blocking = False
            self._fut_waiter = awaited
            return Deferred.fromFuture(awaited)
        return fail(RuntimeError(f"cannot await an object of type {type(awaited).__name__}"))

    def _next_iteration(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred(lambda _: handle.cancel())
        handle = self._loop.call_soon(waiting.callback, None)
        return waiting

    def _interrupt(self, waiting: Deferred[Any]) -> None:
        if self._waiting is waiting and self._must_cancel:
            waiting.cancel()

    def resumed(self) -> asyncio.CancelledError | None:
        """Record that the wait is over; return an exception if the callback was cancelled."""
        self._waiting = self._fut_waiter = None
        if not self._must_cancel:
            return None
        self._must_cancel = False
        # anyio recognises its own cancellations by the argument.
        return asyncio.CancelledError(*([] if self._message is None else [self._message]))
