"""Tests of wsx._supervision.jobs: running jobs one at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.jobs import Job, JobQueue
from wsx.test.support import collect_garbage


class JobQueueTests(SynchronousTestCase):
    """The order of jobs, and their results."""

    def setUp(self) -> None:
        self.failures: list[Failure] = []
        self.jobs = JobQueue(self.failures.append)
        self.events: list[str] = []

    def job(self, name: str, wait_for: Deferred[Any] | None = None) -> Job[str]:
        """Return a job that records its start and end and waits for a Deferred in between."""

        async def run() -> str:
            self.events.append(f"start {name}")
            if wait_for is not None:
                await wait_for
            self.events.append(f"end {name}")
            return name

        return run

    def failing(self) -> Job[Any]:
        """Return a job that raises."""

        async def run() -> Any:
            raise ValueError("no")

        return run

    def test_at_once(self) -> None:
        """A job starts at once if the queue is empty; its Deferred fires with its result."""
        self.assertEqual(self.successResultOf(self.jobs.add(self.job("a"))), "a")
        self.assertEqual(self.successResultOf(self.jobs.add(self.job("b"))), "b")

    def test_one_after_another(self) -> None:
        """Jobs run in the order in which they were added, each after the previous one has ended."""
        blocker: Deferred[None] = Deferred()
        first = self.jobs.add(self.job("a", blocker))
        others = [self.jobs.add(self.job("b")), self.jobs.add(self.job("c"))]
        self.assertEqual(self.events, ["start a"])
        for done in (first, *others):
            self.assertNoResult(done)
        blocker.callback(None)
        self.assertEqual(self.events, ["start a", "end a", "start b", "end b", "start c", "end c"])
        self.assertEqual([self.successResultOf(done) for done in (first, *others)], list("abc"))

    def test_added_by_a_job(self) -> None:
        """A job that is added by a running job starts when the running job has ended."""

        async def run() -> None:
            self.jobs.add(self.job("b"))
            self.events.append("end a")

        self.successResultOf(self.jobs.add(run))
        self.assertEqual(self.events, ["end a", "start b", "end b"])

    def test_added_by_a_callback(self) -> None:
        """A job that is added by the callback of another job starts after the queued jobs."""
        blocker: Deferred[None] = Deferred()
        first = self.jobs.add(self.job("a", blocker))
        first.addCallback(lambda _: self.jobs.add_logged(self.job("c")))
        self.jobs.add(self.job("b"))
        blocker.callback(None)
        self.assertEqual(self.events[2:], ["start b", "end b", "start c", "end c"])

    def test_failure(self) -> None:
        """A job that raises fails its Deferred, and the next one runs."""
        self.failureResultOf(self.jobs.add(self.failing()), ValueError)
        self.assertEqual(self.successResultOf(self.jobs.add(self.job("b"))), "b")
        self.assertEqual(self.failures, [])

    def test_cancelled(self) -> None:
        """A job that raises ``asyncio.CancelledError``, no Exception, does not block the next."""
        blocker: Deferred[None] = Deferred()
        done = self.jobs.add(self.job("a", blocker))
        other = self.jobs.add(self.job("b"))
        blocker.errback(Failure(asyncio.CancelledError()))
        self.failureResultOf(done, asyncio.CancelledError)
        self.assertEqual(self.successResultOf(other), "b")

    def test_dropped(self) -> None:
        """A queue that is garbage-collected while a job waits does not run the next job."""
        blocker: Deferred[None] = Deferred()
        self.jobs.add(self.job("a", blocker))
        self.jobs.add(self.job("b"))
        del self.jobs, blocker
        collect_garbage()
        self.assertEqual(self.events, ["start a"])

    def test_failure_is_logged(self) -> None:
        """The failure of a job that was added with ``add_logged`` is logged."""
        self.jobs.add_logged(self.failing())
        (failure,) = self.failures
        self.assertIsInstance(failure.value, ValueError)

    def test_cancel_waiting(self) -> None:
        """Cancelling the Deferred of a queued job does not affect the job."""
        blocker: Deferred[None] = Deferred()
        self.jobs.add_logged(self.job("a", blocker))
        done = self.jobs.add(self.job("b"))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        blocker.callback(None)
        self.assertEqual(self.events[2:], ["start b", "end b"])

    def test_cancel_running(self) -> None:
        """Cancelling the Deferred of a running job affects neither that job nor the next."""
        blocker: Deferred[None] = Deferred()
        done = self.jobs.add(self.job("a", blocker))
        self.jobs.add(self.job("b"))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.events, ["start a"])
        blocker.callback(None)
        self.assertEqual(self.events, ["start a", "end a", "start b", "end b"])

    def test_many(self) -> None:
        """Thousands of queued jobs do not overflow the stack."""
        blocker: Deferred[None] = Deferred()
        self.jobs.add_logged(self.job("first", blocker))
        for _ in range(5000):
            self.jobs.add_logged(self.job("other"))
        last = self.jobs.add(self.job("last"))
        blocker.callback(None)
        self.assertEqual(self.successResultOf(last), "last")
