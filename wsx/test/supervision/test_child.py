"""Tests of wsx._supervision.child: one child, started and stopped in each state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.child import Supervised
from wsx.child import ChildSpec
from wsx.errors import ChildError
from wsx.test.support.each import each


class Runner:
    """What a start gives: it ends when the test says so.

    Attributes:
        calls: ``"stop"`` and ``"abort"``, in order.
    """

    gave_up = False

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.end: Deferred[object] = Deferred()
        self.stopped: Deferred[None] = Deferred()

    def terminated(self) -> Deferred[object]:
        return self.end

    def stop(self) -> Deferred[None]:
        self.calls.append("stop")
        return self.stopped

    def abort(self) -> None:
        self.calls.append("abort")
        if not self.stopped.called:
            self.stopped.callback(None)


class ChildCase(SynchronousTestCase):
    """A child whose ends are noted, and what it runs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.runner = Runner()
        self.ends: list[tuple[Supervised, object]] = []
        self.child = self.make()

    def make(self, shutdown: float = 5.0) -> Supervised:
        """Make a child with so many seconds to stop."""
        spec = ChildSpec("feed", lambda parent: succeed(None), shutdown=shutdown)
        return Supervised(spec, lambda child, reason: self.ends.append((child, reason)))

    def start(self, begin: Callable[[], Any]) -> Deferred[Any]:
        """Start the child."""
        return Deferred.fromCoroutine(self.child.start(begin, self.clock))

    def run_it(self) -> None:
        """Start the child, with success."""
        self.successResultOf(self.start(lambda: succeed(self.runner)))

    def stop(self) -> Deferred[None]:
        """Stop the child."""
        return Deferred.fromCoroutine(self.child.stop(self.clock))


class StartTests(ChildCase):
    """Starting a child."""

    def test_success(self) -> None:
        """A child that was started runs, and its start gives what runs."""
        starting: Deferred[Any] = Deferred()
        started = self.start(lambda: starting)
        self.assertTrue(self.child.is_starting)
        self.assertIsNone(self.child.running)
        starting.callback(self.runner)
        self.assertIs(self.successResultOf(started), self.runner)
        self.assertIs(self.child.running, self.runner)
        self.assertTrue(self.child.wanted)
        self.assertFalse(self.child.is_starting)

    def test_failure(self) -> None:
        """A start that fails fails with its error, and nothing runs."""

        def begin() -> Any:
            raise ValueError("no")

        self.failureResultOf(self.start(begin), ValueError)
        self.assertIsNone(self.child.running)
        self.assertFalse(self.child.is_starting)

    def test_wrong_result(self) -> None:
        """A start that gives something else than a client or a supervisor is a TypeError."""
        error = self.failureResultOf(self.start(lambda: succeed("client")), TypeError).value
        self.assertIn("'client'", str(error))

    def test_interrupted(self) -> None:
        """Interrupting cancels the start, which then fails."""
        cancelled: list[object] = []
        started = self.start(lambda: Deferred(cancelled.append))
        self.child.interrupt(self.clock)
        self.assertEqual(len(cancelled), 1)
        self.failureResultOf(started, CancelledError)
        self.assertFalse(self.child.wanted)
        self.assertFalse(self.child.is_starting)

    def test_stopped_by_its_own_start(self) -> None:
        """Stopping from inside the start function stops what that gives."""

        def begin() -> Deferred[Any]:
            stops.append(self.stop())
            return succeed(self.runner)

        stops: list[Deferred[None]] = []
        started = self.start(begin)
        self.assertEqual(self.runner.calls, ["stop"])
        self.runner.stopped.callback(None)
        self.failureResultOf(started, ChildError)
        self.successResultOf(stops[0])
        self.assertIsNone(self.child.running)

    def test_late_success(self) -> None:
        """What comes up after its start was given up is ended at once."""
        starting: Deferred[Any] = Deferred()
        late: Deferred[Any] = Deferred(lambda _: None)
        starting.addErrback(lambda _: late)  # it does not end when it is cancelled
        started = self.start(lambda: starting)
        self.child.abort()
        self.failureResultOf(started, CancelledError)
        late.callback(self.runner)
        self.assertEqual(self.runner.calls, ["abort"])


class EndTests(ChildCase):
    """A child that ends by itself."""

    @each([True, False])
    def test_told(self, gave_up: bool) -> None:
        """Its supervisor is told, with the reason, and whether its own policy gave up."""
        self.run_it()
        self.runner.gave_up = gave_up
        self.runner.end.callback("reason")
        self.assertEqual(self.ends, [(self.child, "reason")])
        self.assertIsNone(self.child.running)
        self.assertIs(self.child.gave_up, gave_up)

    def test_not_told_of_a_stop(self) -> None:
        """An end that was asked for is not reported."""
        self.run_it()
        self.stop()
        self.runner.end.callback("reason")
        self.assertEqual(self.ends, [])


class StopTests(ChildCase):
    """Stopping a child."""

    def test_running(self) -> None:
        """It is over once what runs has stopped; no timer is left."""
        self.run_it()
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.runner.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.runner.calls, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_running(self) -> None:
        """A child that does not run is stopped already."""
        self.successResultOf(self.stop())
        self.assertEqual(self.runner.calls, [])

    def test_too_slow(self) -> None:
        """After ``shutdown`` seconds it is aborted, and not before."""
        self.run_it()
        stopped = self.stop()
        self.clock.advance(4.9)
        self.assertEqual(self.runner.calls, ["stop"])
        self.clock.advance(0.1)
        self.assertEqual(self.runner.calls, ["stop", "abort"])
        self.successResultOf(stopped)

    def test_no_limit(self) -> None:
        """With an infinite ``shutdown`` there is no timer."""
        self.child = self.make(math.inf)
        self.run_it()
        self.assertNoResult(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """A stop that fails is logged and counts as done."""
        self.run_it()
        stopped = self.stop()
        self.runner.stopped.errback(ValueError())
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class AbortTests(ChildCase):
    """Aborting a child."""

    def test_running(self) -> None:
        """What runs is aborted."""
        self.run_it()
        self.child.abort()
        self.assertEqual(self.runner.calls, ["abort"])

    def test_stopping(self) -> None:
        """So is what is being stopped."""
        self.run_it()
        stopped = self.stop()
        self.child.abort()
        self.assertEqual(self.runner.calls, ["stop", "abort"])
        self.successResultOf(stopped)
