"""Tests of wsx._supervision.child: one child, started and stopped in each state."""

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
    """A child whose ends are noted, and what it runs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.ends: list[tuple[Child, object]] = []
        self.child = self.make()

    def make(self, shutdown: float = 5.0) -> Child:
        """Make a child with so many seconds to stop."""
        spec = ChildSpec("feed", lambda parent: succeed(None), shutdown=shutdown)
        return Child(spec, lambda child, reason: self.ends.append((child, reason)))

    def start(self, begin: Callable[[], Any]) -> Deferred[Any]:
        """Start the child."""
        return Deferred.fromCoroutine(self.child.start(begin, self.clock))

    def start_it(self) -> None:
        """Start the child, with success."""
        self.successResultOf(self.start(lambda: succeed(self.client)))

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
        starting.callback(self.client)
        self.assertIs(self.successResultOf(started), self.client)
        self.assertIs(self.child.running, self.client)
        self.assertTrue(self.child.should_run)
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
        """Cancelling a start stops the client that was announced, then cancels the Deferred."""
        cancelled: list[object] = []
        started = self.start(lambda: Deferred(cancelled.append))
        self.child.announced = self.client
        self.child.cancel_start(self.clock)
        self.assertEqual((self.client.calls, cancelled), (["stop"], []))
        self.client.stopped.callback(None)
        self.assertEqual(len(cancelled), 1)
        self.failureResultOf(started, CancelledError)

    def test_failure_after_announcement(self) -> None:
        """A start that fails stops the client that was announced, and fails after that."""
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
        """If the announced client has ended, it has logged the error; otherwise it has not."""
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
        """Only the last start counts, and without an announcement the error was not logged."""
        self.child.start_error_was_logged = True
        self.failureResultOf(self.start(lambda: fail(ValueError("no"))), ValueError)
        self.assertFalse(self.child.start_error_was_logged)

    def test_stopped_by_its_own_start(self) -> None:
        """Stopping from inside the start function stops what that gives."""

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
        """What comes up after its start was given up is ended at once."""
        starting: Deferred[Any] = Deferred()
        late: Deferred[Any] = Deferred(lambda _: None)
        starting.addErrback(lambda _: late)  # it does not end when it is cancelled
        started = self.start(lambda: starting)
        self.child.abort()
        self.failureResultOf(started, CancelledError)
        late.callback(self.client)
        self.assertEqual(self.client.calls, ["abort"])


class EndTests(ChildCase):
    """A child that ends by itself."""

    @each([True, False])
    def test_told(self, gave_up: bool) -> None:
        """Its supervisor is told, with the reason, and whether its own policy gave up."""
        self.start_it()
        self.client.gave_up = gave_up
        self.client.end.callback("reason")
        self.assertEqual(self.ends, [(self.child, "reason")])
        self.assertIsNone(self.child.running)
        self.assertIs(self.child.gave_up, gave_up)

    def test_not_told_of_a_stop(self) -> None:
        """An end that was asked for is not reported."""
        self.start_it()
        self.stop()
        self.client.end.callback("reason")
        self.assertEqual(self.ends, [])


class StopTests(ChildCase):
    """Stopping a child."""

    def test_running(self) -> None:
        """It is over once what runs has stopped; no timer is left."""
        self.start_it()
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.client.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.client.calls, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_running(self) -> None:
        """A child that does not run is stopped already."""
        self.successResultOf(self.stop())
        self.assertEqual(self.client.calls, [])

    def test_starting(self) -> None:
        """A start that can be cancelled at once is over at once."""
        started = self.start(Deferred)
        self.successResultOf(self.stop())
        self.failureResultOf(started, CancelledError)
        self.assertIsNone(self.child.running)

    def test_starting_slowly(self) -> None:
        """A start that was announced is over when the client has stopped."""
        started = self.start(Deferred)
        self.child.announced = self.client
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.client.stopped.callback(None)
        self.successResultOf(stopped)
        self.failureResultOf(started, CancelledError)

    def test_too_slow(self) -> None:
        """After ``shutdown`` seconds it is aborted, and not before."""
        self.start_it()
        stopped = self.stop()
        self.clock.advance(4.9)
        self.assertEqual(self.client.calls, ["stop"])
        self.clock.advance(0.1)
        self.assertEqual(self.client.calls, ["stop", "abort"])
        self.successResultOf(stopped)

    def test_no_limit(self) -> None:
        """With an infinite ``shutdown`` there is no timer."""
        self.child = self.make(math.inf)
        self.start_it()
        self.assertNoResult(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """A stop that fails is logged and counts as done."""
        self.start_it()
        stopped = self.stop()
        self.client.stopped.errback(ValueError())
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class AbortTests(ChildCase):
    """Aborting a child."""

    def test_running(self) -> None:
        """What runs is aborted."""
        self.start_it()
        self.child.abort()
        self.assertEqual(self.client.calls, ["abort"])

    def test_stopping(self) -> None:
        """So is what is being stopped."""
        self.start_it()
        stopped = self.stop()
        self.child.abort()
        self.assertEqual(self.client.calls, ["stop", "abort"])
        self.successResultOf(stopped)


class LinkedTests(SynchronousTestCase):
    """The child that a linked client is."""

    def test_specification(self) -> None:
        """A linked client is a temporary child, and is its own id."""
        client = FakeClient()
        client.reactor = Clock()  # type: ignore[attr-defined]
        spec = linked_spec(client)
        self.assertIs(spec.id, client)
        self.assertIs(spec.reactor, client.reactor)  # type: ignore[attr-defined]
        self.assertEqual(spec.restart, "temporary")
        self.assertTrue(Child(spec, lambda child, reason: None).is_linked)
        self.assertFalse(make_child().is_linked)

    def test_start(self) -> None:
        """It cannot be started again."""
        client = FakeClient()
        client.reactor = Clock()  # type: ignore[attr-defined]
        self.failureResultOf(linked_spec(client).start(None), ChildError)


class RestartTests(SynchronousTestCase):
    """Whether a child is restarted, and how long that waits."""

    @each(RESTARTS)
    def test_restart(self, restart: str) -> None:
        """Permanent: always. Transient: after an abnormal end. Temporary: never."""
        child = make_child(restart=restart)
        self.assertIs(child.is_restarted_after(ValueError()), restart != "temporary")
        for reason in (LocalClose(1000), Shutdown()):
            self.assertIs(child.is_restarted_after(reason), restart == "permanent", reason)

    @each(RESTARTS)
    def test_gave_up(self, restart: str) -> None:
        """A transient child whose policy gave up is not restarted; a permanent one is."""
        child = make_child(restart=restart)
        child.gave_up = True
        self.assertIs(child.is_restarted_after(ValueError()), restart == "permanent")

    def test_no_backoff(self) -> None:
        """Without a Backoff there is no delay."""
        self.assertEqual(make_child().restart_delay(7), 0.0)

    def test_delays(self) -> None:
        """The delay is that of the Backoff."""
        backoff = Backoff(initial=1.0, maximum=60.0, factor=2.0, jitter=0.0)
        child = make_child(backoff=backoff)
        self.assertEqual([child.restart_delay(n) for n in (1, 2, 3)], [1.0, 2.0, 4.0])

    def test_backoff_gives_up(self) -> None:
        """If the Backoff gives up, the delay is its maximum."""
        child = make_child(backoff=Backoff(maximum=8.0, max_attempts=1, jitter=0.0))
        self.assertEqual([child.restart_delay(n) for n in (1, 2)], [1.0, 8.0])

    def test_backoff_raises(self) -> None:
        """If the Backoff raises, this is logged, and the delay is its maximum."""

        class Broken(Backoff):
            def __call__(self, *arguments: Any) -> float | None:
                raise ZeroDivisionError

        child = make_child(backoff=Broken(maximum=8.0))
        with capturedLogs() as events:
            self.assertEqual(child.restart_delay(1), 8.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        (line,) = [formatEvent(event) for event in events]
        self.assertEqual(line, 'backoff of child "feed" failed; restarting it in 8.0 s')
