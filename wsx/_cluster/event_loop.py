"""The asyncio event loop for nats-py: that of Twisted's asyncio reactor, or one in a thread.

With both kinds, :class:`Calls` passes calls from the reactor to the event loop, and back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Calls", "EventLoop"]

T = TypeVar("T")

_log = Logger("wsx")
_GRACE: Final = 1.0  # seconds for the remaining tasks of the thread to end


class Calls:
    """Call functions in another thread, in order, with one wake-up for many calls.

    Args:
        wake: Schedules the call of a function in the other thread.
    """

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake = wake
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_woken = False

    def __call__(self, function: Callable[..., object], *arguments: Any) -> None:
        """Schedule the call of a function. An exception that it raises is logged."""
        self._waiting.append((function, arguments))
        if not self._is_woken:
            self._is_woken = True
            self._wake(self._make_calls)

    def _make_calls(self) -> None:
        # This order needs no lock: a call that is added after the next line wakes the thread again.
        self._is_woken = False
        for _ in range(len(self._waiting)):
            function, arguments = self._waiting.popleft()
            try:
                function(*arguments)
            except Exception:
                _log.failure("cluster: {function} raised an exception", function=function)


class EventLoop:
    """Event loop for nats-py, next to the reactor.

    On Twisted's asyncio reactor, with asyncio's event loop or uvloop's, it is the reactor's own.
    On other reactors it runs in one thread from :meth:`start` until :meth:`stop`.

    Args:
        reactor: The reactor.

    Attributes:
        to_loop: Calls functions in the thread of the event loop.
        to_reactor: Calls functions in the reactor's thread.
    """

    to_loop: Calls
    to_reactor: Calls

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # A private attribute of AsyncioSelectorReactor. Without it, the thread is used.
        self._of_reactor: asyncio.AbstractEventLoop | None = getattr(
            reactor, "_asyncioEventloop", None
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: Deferred[None] | None = None
        self._thread: Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the event loop has been started."""
        return self._loop is not None

    def start(self) -> None:
        """Start the thread, unless the reactor has an event loop."""
        if self._of_reactor is not None:
            self._loop = self._of_reactor
            self.to_loop = self.to_reactor = Calls(self._loop.call_soon)
            return
        self._loop = loop = asyncio.new_event_loop()
        self.to_loop = Calls(lambda function: _wake(loop, function))
        self.to_reactor = Calls(self._reactor.callFromThread)
        ended: Deferred[None] = Deferred()
        self._ended = ended
        thread = Thread(target=self._run_thread, args=(loop, ended), name="wsx cluster")
        self._thread = thread
        # The thread has nothing to do after its last call, so joining it does not block.
        ended.addCallback(lambda _: thread.join())
        thread.start()

    def stop(self) -> Deferred[None]:
        """Stop the thread; the Deferred fires when it has ended. It never fails."""
        loop, ended = self._loop, self._ended
        self._loop = self._ended = None
        if loop is None or ended is None:
            return succeed(None)
        self.to_loop(loop.stop)
        return ended

    def end(self) -> None:
        """End the thread and block until it has ended, because the reactor is about to stop."""
        if self._loop is not None and self._thread is not None:
            self.to_loop(self._loop.stop)
            self._thread.join()

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Deferred[T]:
        """Run a coroutine function in the event loop.

        Args:
            function: The function. It is called in the thread of the event loop.
            arguments: Its arguments.

        Returns:
            A Deferred of its result. Cancelling the Deferred cancels the coroutine.
        """
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            if not result.called:
                assert loop is not None
                tasks.append(loop.create_task(function(*arguments)))
                tasks[0].add_done_callback(lambda task: self.to_reactor(_fire, result, task))

        def cancel(_: Deferred[T]) -> None:
            self.to_loop(lambda: [task.cancel() for task in tasks])

        loop = self._loop
        result: Deferred[T] = Deferred(cancel)
        self.to_loop(begin)
        return result

    def _run_thread(self, loop: asyncio.AbstractEventLoop, ended: Deferred[None]) -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(_cancel_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            self._reactor.callFromThread(ended.callback, None)


def _wake(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # The loop is closed; calls after stop() have no effect.
        loop.call_soon_threadsafe(function)


async def _cancel_tasks() -> None:
    """Cancel the remaining tasks of the thread's event loop."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_GRACE)


def _fire(result: Deferred[T], task: asyncio.Task[T]) -> None:
    """Fire a Deferred with the outcome of a task, unless it has been cancelled."""
    if task.cancelled():
        outcome: Any = Failure(asyncio.CancelledError())
    else:
        error = task.exception()  # If nothing asked for it, asyncio would log it.
        outcome = task.result() if error is None else Failure(error)
    if not result.called:
        result.callback(outcome)
