"""Tests of the call of ``terminate``: once, within a time limit."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.termination import Termination

LIMIT = 5.0


class TerminationCase(SynchronousTestCase):
    """A termination whose callbacks are recorded with their times."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.called_with: list[object] = []
        self.timeouts: list[tuple[float, float]] = []
        self.finished: list[tuple[float, object]] = []
        self.termination = Termination(self.clock, self.record_timeout, self.record_end)

    def record_timeout(self, limit: float) -> None:
        """Record the time limit."""
        self.timeouts.append((self.clock.seconds(), limit))

    def record_end(self, reason: object) -> None:
        """Record the reason."""
        self.finished.append((self.clock.seconds(), reason))

    def start(self, returned: Deferred[Any], limit: float = LIMIT) -> None:
        """Start with a ``terminate`` that returns this Deferred."""

        def terminate(reason: object) -> Deferred[object]:
            self.called_with.append(reason)
            return returned

        self.termination.start(terminate, "reason", limit)

    def pending(self, ignores_cancellation: bool = False) -> Deferred[Any]:
        """Return a Deferred as ``Delivery.terminate`` does: cancelling it keeps the reason.

        Args:
            ignores_cancellation: Whether it stays pending after it was cancelled.
        """
        self.cancelled = 0
        inner: Deferred[Any] = Deferred(self.count_cancellation)

        def keep_reason(failure: Any) -> object:
            failure.trap(CancelledError)
            return "reason"

        outer = inner.addErrback(keep_reason)
        if ignores_cancellation:
            outer.addBoth(lambda result: Deferred(lambda _: None) if self.cancelled else result)
        return outer

    def count_cancellation(self, _: Deferred[Any]) -> None:
        """Count a cancellation."""
        self.cancelled += 1

    def check_end(self, *finished: tuple[float, object]) -> None:
        """Check the calls of ``finished``, now and later, and that no timer is left."""
        self.assertEqual(self.finished, list(finished))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.termination.hurry()
        self.assertEqual(self.finished, list(finished))


class ReturnTests(TerminationCase):
    """``terminate`` returns within its limit."""

    def test_called_once(self) -> None:
        """``terminate`` is called once, with the reason."""
        self.start(succeed("reason"))
        self.assertEqual(self.called_with, ["reason"])

    def test_at_once(self) -> None:
        """If ``terminate`` returns at once, the client ends at once."""
        self.start(succeed("reason"))
        self.check_end((0.0, "reason"))
        self.assertEqual(self.timeouts, [])

    def test_at_once_with_another_reason(self) -> None:
        """The client ends with the reason of the Deferred."""
        self.start(succeed("other"))
        self.check_end((0.0, "other"))

    def test_at_once_without_a_limit(self) -> None:
        """With a limit of 0, a ``terminate`` that returns at once does not time out."""
        self.start(succeed("other"), 0.0)
        self.check_end((0.0, "other"))
        self.assertEqual(self.timeouts, [])

    def test_later(self) -> None:
        """If the Deferred fires within the limit, the client ends then, without a timeout."""
        returned: Deferred[Any] = Deferred()
        self.start(returned)
        self.clock.advance(4.875)
        self.assertEqual(self.finished, [])
        returned.callback("other")
        self.check_end((4.875, "other"))
        self.assertEqual(self.timeouts, [])


class TimeoutTests(TerminationCase):
    """``terminate`` takes too long."""

    def test_too_late(self) -> None:
        """After the limit, ``terminate`` is cancelled and the client ends with the reason."""
        self.start(self.pending())
        self.clock.advance(4.875)
        self.assertEqual((self.timeouts, self.cancelled), ([], 0))
        self.clock.advance(0.125)
        self.assertEqual((self.timeouts, self.cancelled), ([(5.0, LIMIT)], 1))
        self.check_end((5.0, "reason"))

    def test_result_of_the_cancellation(self) -> None:
        """A result that ``terminate`` returns after its cancellation does not count."""
        returned: Deferred[Any] = Deferred(lambda deferred: deferred.callback("too late"))
        self.start(returned)
        self.clock.advance(LIMIT)
        self.check_end((5.0, "reason"))

    def test_ignores_cancellation(self) -> None:
        """The client ends even if ``terminate`` ignores its cancellation."""
        self.start(self.pending(ignores_cancellation=True))
        self.clock.advance(LIMIT)
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(len(self.timeouts), 1)
        self.check_end((5.0, "reason"))

    def test_returns_after_ignored_cancellation(self) -> None:
        """A result long after an ignored cancellation does not count."""
        inner: Deferred[Any] = Deferred(lambda _: None)
        waiting: Deferred[Any] = Deferred()
        returned = inner.addErrback(lambda _: waiting)
        self.start(returned)
        self.clock.advance(LIMIT)
        waiting.callback("too late")
        self.check_end((5.0, "reason"))


class HurryTests(TerminationCase):
    """``hurry``."""

    def test_before_start(self) -> None:
        """After ``hurry``, ``terminate`` is called, but not waited for beyond this iteration."""
        self.termination.hurry()
        self.assertEqual((self.called_with, self.finished), ([], []))
        self.start(self.pending())
        self.assertEqual(self.called_with, ["reason"])
        self.clock.advance(0)
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(len(self.timeouts), 1)
        self.check_end((0.0, "reason"))

    def test_before_start_at_once(self) -> None:
        """After ``hurry``, a ``terminate`` that returns at once does not time out."""
        self.termination.hurry()
        self.start(succeed("other"))
        self.check_end((0.0, "other"))
        self.assertEqual(self.timeouts, [])

    def test_while_pending(self) -> None:
        """``hurry`` cancels a pending ``terminate`` and ends the client at once."""
        self.start(self.pending())
        self.clock.advance(1)
        self.termination.hurry()
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(len(self.timeouts), 1)
        self.check_end((1.0, "reason"))

    def test_while_pending_ignores_cancellation(self) -> None:
        """``hurry`` ends the client even if ``terminate`` ignores its cancellation."""
        self.start(self.pending(ignores_cancellation=True))
        self.termination.hurry()
        self.assertEqual(self.cancelled, 1)
        self.check_end((0.0, "reason"))

    def test_twice(self) -> None:
        """A second ``hurry`` does nothing."""
        self.start(self.pending())
        self.termination.hurry()
        self.termination.hurry()
        self.assertEqual((self.cancelled, len(self.timeouts)), (1, 1))
        self.check_end((0.0, "reason"))

    def test_while_terminate_runs(self) -> None:
        """``hurry`` inside ``terminate`` works like ``hurry`` before it."""
        returned = self.pending()

        def terminate(reason: object) -> Deferred[object]:
            self.termination.hurry()
            return returned

        self.termination.start(terminate, "reason", LIMIT)
        self.clock.advance(0)
        self.assertEqual(self.cancelled, 1)
        self.check_end((0.0, "reason"))

    def test_after_the_end(self) -> None:
        """``hurry`` after the end does nothing."""
        self.start(succeed("reason"))
        self.termination.hurry()
        self.assertEqual(self.timeouts, [])
        self.check_end((0.0, "reason"))
