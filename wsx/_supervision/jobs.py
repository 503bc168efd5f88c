"""The job queue of a supervisor: jobs run one after another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsx._deferreds import AnyDeferred

__all__ = ["Job", "JobQueue"]

T = TypeVar("T")

Job = Callable[[], Coroutine[Any, Any, T]]


class JobQueue:
    """Run jobs one after another, in the order in which they were added.

    A job is a function that returns a coroutine. The next job starts when that coroutine has
    returned or raised.

    Args:
        log_failure: Called with the Failure if a job that was added with :meth:`add_logged` fails.
    """

    def __init__(self, log_failure: Callable[[Failure], object]) -> None:
        self._log_failure = log_failure
        self._waiting: deque[tuple[Job[Any], Deferred[Any]]] = deque()
        self._is_running = False

    def add(self, job: Job[T]) -> Deferred[T]:
        """Add a job. It starts at once if no other job is running or waiting.

        Args:
            job: A function that returns a coroutine.

        Returns:
            A Deferred that fires with the job's result. Cancelling it does not affect the job.
        """
        done: Deferred[T] = AnyDeferred()
        self._waiting.append((job, done))
        if not self._is_running:
            Deferred.fromCoroutine(self._run())
        return done

    def add_logged(self, job: Job[Any]) -> None:
        """Add a job whose result nothing waits for. If the job fails, the Failure is logged."""
        self.add(job).addErrback(self._log_failure)

    async def _run(self) -> None:
        # This is a loop, because with many jobs a chain of callbacks would overflow the stack.
        self._is_running = True
        while self._waiting:
            job, done = self._waiting.popleft()
            try:
                result = await job()
            except (Exception, asyncio.CancelledError):  # the latter from an asyncio Future
                done.errback()
            else:
                done.callback(result)
        self._is_running = False
