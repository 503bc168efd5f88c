"""Tests of wsx._supervision.child: starting and stopping one child in each state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.child import Child, linked_spec
from wsx.backoff import Backoff
from wsx.child import RESTARTS, ChildSpec
from wsx.errors import ChildError
from wsx.reasons import LocalClose, Shutdown
from wsx.test.support.children import FakeClient, make_child
from wsx.test.support.each import each


class ChildCase(SynchronousTestCase):
    """A child with a FakeClient; the test records the end of the child."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.ends: list[tuple[Child, object]] = []
        self.child = self.make_child()

    def make_child(self, shutdown: float = 5.0) -> Child:
        """Return a child that may take ``shutdown`` seconds to stop."""
        spec = ChildSpec("feed", lambda parent: succeed(None), shutdown=shutdown)
        return Child(spec, lambda child, reason: self.ends.append((child, reason)))

    def start(self, begin: Callable[[], Any]) -> Deferred[Any]:
        """Start the child."""
        return Deferred.fromCoroutine(self.child.start(begin, self.clock))

    def start_successfully(self) -> None:
        """Start the child successfully."""
        self.successResultOf(self.start(lambda: succeed(self.client)))

    def stop(self) -> Deferred[None]:
        """Stop the child."""
        return Deferred.fromCoroutine(self.child.stop(self.clock))


class StartTests(ChildCase):
    """Starting a child."""

    def test_success(self) -> None:
        """A start that succeeds returns the running client."""
        starting: Deferred[Any] = Deferred()
        started = self.start(lambda: starting)
        self.assertTrue(self.child.is_starting)
        self.assertIsNone(self.child.running)
        starting.callback(self.client)
        self.assertIs(self.successResultOf(started), self.client)
        self.assertIs(self.child.running, self.client)
        self.assertTrue(self.child.should_run)
        self.assertFalse(self.child.is_starting)

    def test_failure(self) -> None:
        """A start that fails raises the error of the start function; the child does not run."""

        def begin() -> Any:
            raise ValueError("no")

        self.failureResultOf(self.start(begin), ValueError)
        self.assertIsNone(self.child.running)
        self.assertFalse(self.child.is_starting)

    def test_wrong_result(self) -> None:
        """A start function that returns neither a client nor a supervisor causes a TypeError."""
        error = self.failureResultOf(self.start(lambda: succeed("client")), TypeError).value
        self.assertEqual(
            str(error), 'result of start: expected a client or a Supervisor, got "client"'
        )

    def test_cancelled(self) -> None:
        """Cancelling a start cancels the Deferred of the start function."""
        cancelled: list[object] = []
        started = self.start(lambda: Deferred(cancelled.append))
        self.child.cancel_start(self.clock)
        self.assertEqual(len(cancelled), 1)
        self.failureResultOf(started, CancelledError)
        self.assertFalse(self.child.should_run)
        self.assertFalse(self.child.is_starting)

    def test_cancelled_after_announcement(self) -> None:
        """Cancelling a start stops the announced client, then cancels the Deferred."""
        cancelled: list[object] = []
        started = self.start(lambda: Deferred(cancelled.append))
        self.child.announced = self.client
        self.child.cancel_start(self.clock)
        self.assertEqual((self.client.calls, cancelled), (["stop"], []))
        self.client.stopped.callback(None)
        self.assertEqual(len(cancelled), 1)
        self.failureResultOf(started, CancelledError)

    def test_started_again_after_cancellation(self) -> None:
        """A start that was cancelled does not affect the next one, even if its stop is late."""
        starting: Deferred[Any] = Deferred()
        started = self.start(lambda: starting)
        self.child.announced = self.client
        self.child.cancel_start(self.clock)
        late = self.client.stopped
        self.client.stopped = succeed(None)
        starting.errback(ValueError("no"))
        self.failureResultOf(started, ValueError)
        again: Deferred[Any] = Deferred()
        started_again = self.start(lambda: again)
        late.callback(None)
        again.callback(self.client)
        self.assertIs(self.successResultOf(started_again), self.client)

    def test_failure_after_announcement(self) -> None:
        """A start that fails stops the announced client before it raises the error."""
        starting: Deferred[Any] = Deferred()
        started = self.start(lambda: starting)
        self.child.announced = self.client
        starting.errback(ValueError("no"))
        self.assertEqual(self.client.calls, ["stop"])
        self.assertNoResult(started)
        self.assertTrue(self.child.is_starting)
        self.client.stopped.callback(None)
        self.failureResultOf(started, ValueError)
        self.assertFalse(self.child.is_starting)
        self.assertIsNone(self.child.announced)

    @each([True, False])
    def test_error_was_logged(self, has_ended: bool) -> None:
        """The error counts as logged only if the announced client has ended."""
        self.client.stopped.callback(None)
        if has_ended:
            self.client.end.callback(ValueError("no"))
        starting: Deferred[Any] = Deferred()
        started = self.start(lambda: starting)
        self.child.announced = self.client
        starting.errback(ValueError("no"))
        self.failureResultOf(started, ValueError)
        self.assertIs(self.child.start_error_was_logged, has_ended)

    def test_error_was_logged_last_time(self) -> None:
        """Only the last start counts; without an announced client, the error was not logged."""
        self.child.start_error_was_logged = True
        self.failureResultOf(self.start(lambda: fail(ValueError("no"))), ValueError)
        self.assertFalse(self.child.start_error_was_logged)

    def test_stopped_by_its_own_start(self) -> None:
        """If the start function stops its own child, the client that it returns is stopped."""

        def begin() -> Deferred[Any]:
            stops.append(self.stop())
            return succeed(self.client)

        stops: list[Deferred[None]] = []
        started = self.start(begin)
        self.assertEqual(self.client.calls, ["stop"])
        self.client.stopped.callback(None)
        self.failureResultOf(started, ChildError)
        self.successResultOf(stops[0])
        self.assertIsNone(self.child.running)

    def test_late_success(self) -> None:
        """A client that is returned after its start was aborted is aborted at once."""
        starting: Deferred[Any] = Deferred()
        late: Deferred[Any] = Deferred(lambda _: None)
        starting.addErrback(lambda _: late)  # Cancelling it has no effect.
        started = self.start(lambda: starting)
        self.child.abort()
        self.failureResultOf(started, CancelledError)
        late.callback(self.client)
        self.assertEqual(self.client.calls, ["abort"])


class EndTests(ChildCase):
    """A child that ends by itself."""

    @each([True, False])
    def test_end_is_reported(self, gave_up: bool) -> None:
        """The end of a child is reported with its reason; ``gave_up`` is taken from the client."""
        self.start_successfully()
        self.client.gave_up = gave_up
        self.client.end.callback("reason")
        self.assertEqual(self.ends, [(self.child, "reason")])
        self.assertIsNone(self.child.running)
        self.assertIs(self.child.gave_up, gave_up)

    def test_stop_is_not_reported(self) -> None:
        """The end of a child that is being stopped is not reported."""
        self.start_successfully()
        self.stop()
        self.client.end.callback("reason")
        self.assertEqual(self.ends, [])


class StopTests(ChildCase):
    """Stopping a child."""

    def test_running(self) -> None:
        """A stop is complete when the client has stopped; no timer is left."""
        self.start_successfully()
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.client.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.client.calls, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_running(self) -> None:
        """Stopping a child that does not run completes at once."""
        self.successResultOf(self.stop())
        self.assertEqual(self.client.calls, [])

    def test_starting(self) -> None:
        """Stopping a child during its start cancels the start."""
        started = self.start(Deferred)
        self.successResultOf(self.stop())
        self.failureResultOf(started, CancelledError)
        self.assertIsNone(self.child.running)

    def test_starting_slowly(self) -> None:
        """With an announced client, the start ends when the client has stopped."""
        started = self.start(Deferred)
        self.child.announced = self.client
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.client.stopped.callback(None)
        self.successResultOf(stopped)
        self.failureResultOf(started, CancelledError)

    def test_too_slow(self) -> None:
        """After ``shutdown`` seconds the client is aborted, and not before."""
        self.start_successfully()
        stopped = self.stop()
        self.clock.advance(4.9)
        self.assertEqual(self.client.calls, ["stop"])
        self.clock.advance(0.1)
        self.assertEqual(self.client.calls, ["stop", "abort"])
        self.successResultOf(stopped)

    def test_no_limit(self) -> None:
        """With an infinite ``shutdown``, no timer is started."""
        self.child = self.make_child(math.inf)
        self.start_successfully()
        self.assertNoResult(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """A stop that fails is logged and counts as complete."""
        self.start_successfully()
        stopped = self.stop()
        self.client.stopped.errback(ValueError())
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class AbortTests(ChildCase):
    """Aborting a child."""

    def test_running(self) -> None:
        """A running child is aborted."""
        self.start_successfully()
        self.child.abort()
        self.assertEqual(self.client.calls, ["abort"])

    def test_stopping(self) -> None:
        """A child that is being stopped is aborted."""
        self.start_successfully()
        stopped = self.stop()
        self.child.abort()
        self.assertEqual(self.client.calls, ["stop", "abort"])
        self.successResultOf(stopped)


class LinkedTests(SynchronousTestCase):
    """The child of a linked client."""

    def test_specification(self) -> None:
        """The child of a linked client is temporary, and its id is the client."""
        client = FakeClient()
        client.reactor = Clock()  # type: ignore[attr-defined]
        spec = linked_spec(client)
        self.assertIs(spec.id, client)
        self.assertIs(spec.reactor, client.reactor)  # type: ignore[attr-defined]
        self.assertEqual(spec.restart, "temporary")
        self.assertTrue(Child(spec, lambda child, reason: None).is_linked)
        self.assertFalse(make_child().is_linked)

    def test_start(self) -> None:
        """A linked client cannot be started again."""
        client = FakeClient()
        client.reactor = Clock()  # type: ignore[attr-defined]
        self.failureResultOf(linked_spec(client).start(None), ChildError)


class RestartTests(SynchronousTestCase):
    """Whether a child is restarted, and after which delay."""

    @each(RESTARTS)
    def test_restart(self, restart: str) -> None:
        """A permanent child is always restarted, a transient one after an abnormal end only."""
        child = make_child(restart=restart)
        self.assertIs(child.is_restarted_after(ValueError()), restart != "temporary")
        for reason in (LocalClose(1000), Shutdown()):
            self.assertIs(child.is_restarted_after(reason), restart == "permanent", reason)

    @each(RESTARTS)
    def test_gave_up(self, restart: str) -> None:
        """If the reconnect policy gave up, only a permanent child is restarted."""
        child = make_child(restart=restart)
        child.gave_up = True
        self.assertIs(child.is_restarted_after(ValueError()), restart == "permanent")

    def test_no_backoff(self) -> None:
        """Without a Backoff, the delay is 0."""
        self.assertEqual(make_child().restart_delay(7), 0.0)

    def test_delays(self) -> None:
        """The Backoff computes the delay."""
        backoff = Backoff(initial=1.0, maximum=60.0, factor=2.0, jitter=0.0)
        child = make_child(backoff=backoff)
        self.assertEqual([child.restart_delay(n) for n in (1, 2, 3)], [1.0, 2.0, 4.0])

    def test_backoff_gives_up(self) -> None:
        """If the Backoff gives up, the delay is its maximum."""
        child = make_child(backoff=Backoff(maximum=8.0, max_attempts=1, jitter=0.0))
        self.assertEqual([child.restart_delay(n) for n in (1, 2)], [1.0, 8.0])

    def test_backoff_raises(self) -> None:
        """If the Backoff raises, the error is logged and the delay is its maximum."""

        class Broken(Backoff):
            def __call__(self, *arguments: Any) -> float | None:
                raise ZeroDivisionError

        child = make_child(backoff=Broken(maximum=8.0))
        with capturedLogs() as events:
            self.assertEqual(child.restart_delay(1), 8.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        (line,) = [formatEvent(event) for event in events]
        self.assertEqual(line, 'backoff of child "feed" failed; restarting the child in 8.0 s')
