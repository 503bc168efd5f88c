"""Tests of wsx._supervision.restarts: which children are restarted, and when."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.child import Child
from wsx._supervision.children import Children
from wsx._supervision.jobs import JobQueue
from wsx._supervision.log import SupervisorLog
from wsx._supervision.restarts import STRATEGIES, Restarts
from wsx.backoff import Backoff
from wsx.errors import MaxRestartsExceeded
from wsx.test.support.children import FakeClient, make_spec
from wsx.test.support.each import each


class RestartsCase(SynchronousTestCase):
    """Three running children; the test records each start and stop.

    Attributes:
        events: The recorded starts and stops, for example ``"start a"``, in order.
        clients: The last client of each child, by id.
        failing: The ids of children whose start fails.
        slow: The ids of children that stop only when the test fires ``stopped``.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[str] = []
        self.clients: dict[str, FakeClient] = {}
        self.failing: set[str] = set()
        self.slow: set[str] = set()
        self.is_ending = False
        self.ends: list[MaxRestartsExceeded] = []
        self.children = Children(None, self.ended, self.clock)
        self.jobs = JobQueue(lambda failure: failure.raiseException())
        self.restarts = Restarts(
            self.children,
            self.jobs,
            SupervisorLog("feeds"),
            lambda: self.is_ending,
            self.ends.append,
        )
        backoff = Backoff(initial=1.0, maximum=60.0, factor=2.0, jitter=0.0)
        for id in "abc":
            spec = make_spec(id, lambda _, id=id: self.start(id), backoff=backoff)
            self.run_now(self.children.start(self.children.add(spec)))
        self.events.clear()

    def run_now(self, coroutine: Any) -> None:
        """Run a coroutine that completes at once."""
        self.successResultOf(Deferred.fromCoroutine(coroutine))

    def start(self, id: str) -> Deferred[FakeClient]:
        """Start a child; this is the start function of all specifications."""
        self.events.append(f"start {id}")
        if id in self.failing:
            return fail(OSError("no"))
        client = self.clients[id] = FakeClient()
        if id not in self.slow:
            client.stopped.callback(None)
        stop = client.stop

        def recording_stop() -> Deferred[None]:
            self.events.append(f"stop {id}")
            return stop()

        client.stop = recording_stop  # type: ignore[method-assign]
        return succeed(client)

    def ended(self, child: Child, reason: object) -> None:
        """Restart a child that has ended, as a supervisor does."""
        if not child.in_group_restart:
            self.restarts.restart(child, reason)

    def add_slow_job(self) -> Deferred[None]:
        """Add a job that runs until the returned Deferred fires."""
        blocker: Deferred[None] = Deferred()

        async def job() -> None:
            await blocker

        self.jobs.add_logged(job)
        return blocker

    def crash(self, id: str) -> None:
        """End a child with an error."""
        self.clients[id].end.callback(ValueError("crash"))

    def assert_events(self, *events: str) -> None:
        """Assert which children were started and stopped since the last call."""
        self.assertEqual(self.events, list(events))
        self.events.clear()


class StrategyTests(RestartsCase):
    """Which children are stopped and started, in which order."""

    @each(
        [
            ("one_for_one", [], ["start b"]),
            ("one_for_all", ["stop c", "stop a"], ["start a", "start b", "start c"]),
            ("rest_for_one", ["stop c"], ["start b", "start c"]),
        ]
    )
    def test_strategy(self, strategy: str, stops: list[str], starts: list[str]) -> None:
        """Siblings are stopped at once, in reverse; after the delay, all are started in order."""
        self.restarts.configure(strategy, 3, 5.0)
        self.crash("b")
        self.assert_events(*stops)
        self.clock.advance(0.9)
        self.assert_events()
        self.clock.advance(0.1)
        self.assert_events(*starts)

    def test_delay_grows(self) -> None:
        """The child's Backoff computes the delay from the number of restarts."""
        for delay in (1.0, 2.0, 4.0):
            self.crash("a")
            (timer,) = self.clock.getDelayedCalls()
            self.assertEqual(timer.getTime() - self.clock.seconds(), delay)
            self.clock.advance(delay)

    def test_alone_does_not_wait_for_jobs(self) -> None:
        """The restart of a single child does not wait for a running job."""
        self.add_slow_job()
        self.crash("a")
        self.clock.advance(1.0)
        self.assert_events("start a")

    @each(["one_for_all", "rest_for_one"])
    def test_group_waits_for_jobs(self, strategy: str) -> None:
        """The restart of a group waits for a running job."""
        self.restarts.configure(strategy, 3, 5.0)
        blocker = self.add_slow_job()
        self.crash("b")
        self.assert_events()
        blocker.callback(None)
        self.assertEqual(self.events[0], "stop c")

    def test_last_waits_for_jobs(self) -> None:
        """With rest_for_one, even the restart of the last child waits for a running job."""
        self.restarts.configure("rest_for_one", 3, 5.0)
        blocker = self.add_slow_job()
        self.crash("c")
        self.clock.advance(1.0)
        self.assert_events()
        blocker.callback(None)
        self.assert_events("start c")

    def test_terminated_before_its_group_is_stopped(self) -> None:
        """A child that was stopped before its group is not restarted with the group."""
        self.restarts.configure("one_for_all", 3, 5.0)
        blocker = self.add_slow_job()
        child = self.children.find("b")
        self.jobs.add_logged(lambda: self.children.stop(child))
        self.crash("b")
        blocker.callback(None)
        self.assert_events("stop c", "stop a")
        self.clock.advance(1.0)
        self.assert_events("start a", "start c")
        self.assertFalse(child.should_run)

    def test_time_in_another_restart(self) -> None:
        """If a restart includes a pending one, the delays of both do not count."""
        self.restarts.configure("rest_for_one", 9, 0.8)
        self.crash("c")
        self.clock.advance(0.5)
        self.crash("a")
        self.clock.advance(1.0)
        self.crash("c")
        (timer,) = self.clock.getDelayedCalls()
        self.assertEqual(timer.getTime() - self.clock.seconds(), 2.0)

    def test_sibling_ends_meanwhile(self) -> None:
        """A sibling that ends before it is stopped does not cause another restart."""
        self.slow.add("c")
        self.restarts.configure("one_for_all", 3, 5.0)
        self.crash("b")
        self.clock.advance(1.0)
        self.events.clear()
        self.crash("b")  # The job now waits for c to stop.
        self.crash("a")
        self.clients["c"].stopped.callback(None)
        self.clock.advance(2.0)
        self.assert_events("stop c", "start a", "start b", "start c")
        self.assertEqual(self.ends, [])


class LimitTests(RestartsCase):
    """The restart intensity."""

    @each(STRATEGIES)
    def test_too_many(self, strategy: str) -> None:
        """One restart more than allowed ends with the limits and the reason."""
        self.restarts.configure(strategy, 1, 7.0)
        self.crash("a")
        self.clock.advance(1.0)
        self.events.clear()
        self.crash("a")
        (error,) = self.ends
        self.assertEqual((error.max_restarts, error.max_seconds), (1, 7.0))
        self.assertIsInstance(error.reason, ValueError)
        self.assert_events()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_configure_forgets(self) -> None:
        """After ``configure`` and ``forget_all``, earlier restarts do not count."""
        self.restarts.configure("one_for_one", 1, 5.0)
        for forget in (
            lambda: self.restarts.configure("one_for_one", 1, 5.0),
            self.restarts.forget_all,
        ):
            self.crash("a")
            self.clock.advance(1.0)
            forget()
        self.crash("a")
        self.assertEqual(self.ends, [])

    def test_configure_rejects(self) -> None:
        """``configure`` rejects an unknown strategy and changes nothing."""
        self.restarts.configure("rest_for_one", 3, 5.0)
        error = self.assertRaises(ValueError, self.restarts.configure, "one_for_two", 3, 5.0)
        expectation = '"one_for_one", "one_for_all" or "rest_for_one"'
        self.assertEqual(str(error), f'strategy: expected {expectation}, got "one_for_two"')
        self.assertRaises(ValueError, self.restarts.configure, "one_for_all", -1, 5.0)
        self.crash("b")
        self.assert_events("stop c")

    def test_failing_start(self) -> None:
        """A failed start counts as another restart and uses the next delay."""
        self.failing.add("a")
        self.crash("a")
        self.clock.advance(1.0)
        self.assert_events("start a")
        self.clock.advance(1.9)
        self.assert_events()
        self.failing.clear()
        self.clock.advance(0.1)
        self.assert_events("start a")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_failing_start_in_a_group(self) -> None:
        """If a child of a group cannot be started, the strategy is applied to that child."""
        self.restarts.configure("rest_for_one", 9, 5.0)
        self.failing.add("b")
        self.crash("a")
        self.clock.advance(1.0)
        self.assert_events("stop c", "stop b", "start a", "start b")
        self.failing.clear()
        self.clock.advance(1.0)
        self.assert_events("start b", "start c")
        self.flushLoggedErrors(OSError)


class CancelTests(RestartsCase):
    """Cancelling restarts."""

    def test_cancel(self) -> None:
        """A cancelled restart does not happen; others do."""
        self.crash("a")
        self.crash("b")
        self.restarts.cancel(self.children.find("a"))
        self.clock.advance(1.0)
        self.assert_events("start b")

    def test_cancel_all(self) -> None:
        """``cancel_all`` leaves no timer."""
        self.crash("a")
        self.crash("b")
        self.restarts.cancel_all()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ending_while_the_group_is_stopped(self) -> None:
        """If the supervisor ends while siblings are being stopped, no child is restarted."""
        self.restarts.configure("one_for_all", 3, 5.0)
        self.is_ending = True
        self.crash("b")
        self.assert_events("stop c", "stop a")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ending_when_due(self) -> None:
        """If the supervisor is ending when a restart is due, the restart does not happen."""
        self.crash("a")
        self.is_ending = True
        self.clock.advance(1.0)
        self.assert_events()

    def test_terminated_during_its_start(self) -> None:
        """A start that fails because the child was stopped does not cause a restart."""
        starting: Deferred[Any] = Deferred()
        self.start = lambda id: starting  # type: ignore[method-assign]
        self.crash("a")
        self.clock.advance(1.0)
        child = self.children.find("a")
        self.assertTrue(child.is_starting)
        self.run_now(self.children.stop(child))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(child.should_run)
