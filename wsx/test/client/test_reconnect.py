"""Tests of the reconnect policy: whether and when a client reconnects."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._client.reconnect import Plan, ReconnectPolicy
from wsx.test.support import URL
from wsx.test.support.each import each

CONN = wsx.Conn(URL)
DROPPED = wsx.ConnectionDropped(ConnectionDone())
REFUSED = wsx.ConnError(ConnectionRefusedError())
LONG_AGO = 1000.0


def status(attempt_number: int, reason: object = DROPPED) -> wsx.Disconnect:
    """Return what ``handle_disconnect`` receives."""
    return wsx.Disconnect(reason, attempt_number, CONN)


class WithPolicyTests(SynchronousTestCase):
    """A client with a ``reconnect`` policy."""

    def setUp(self) -> None:
        self.policy = ReconnectPolicy(wsx.Backoff(jitter=0, maximum=30, max_attempts=3))

    @each(((1, 1.0), (2, 2.0), (3, 4.0)))
    def test_reconnects(self, number: int, delay: float) -> None:
        """The client reconnects after the delay of the policy."""
        plan = self.policy.plan(status(number), LONG_AGO)
        self.assertEqual(plan, Plan(reconnects=True, delay=delay, gave_up=False))

    def test_too_many_attempts(self) -> None:
        """After ``max_attempts`` the policy gives up; a handler may wait the longest delay."""
        plan = self.policy.plan(status(4), LONG_AGO)
        self.assertEqual(plan, Plan(reconnects=False, delay=30, gave_up=True))

    @each(
        (
            wsx.LocalClose(),
            wsx.RemoteClose(1008),
            wsx.RequestError(404, "Not Found"),
        )
    )
    def test_not_retryable(self, reason: object) -> None:
        """The policy gives up if another attempt would end in the same way."""
        plan = self.policy.plan(status(1, reason), LONG_AGO)
        self.assertEqual(plan, Plan(reconnects=False, delay=30, gave_up=True))

    @each((DROPPED, REFUSED, wsx.RemoteClose(1012), wsx.RequestError(503, "Busy")))
    def test_retryable(self, reason: object) -> None:
        """The client reconnects after any other loss or failure."""
        self.assertTrue(self.policy.plan(status(1, reason), LONG_AGO).reconnects)

    def test_retry_after(self) -> None:
        """The delay is at least the ``Retry-After`` of a refusal."""
        refusal = wsx.RequestError(503, "Busy", [("Retry-After", "17")])
        plan = self.policy.plan(status(1, refusal), LONG_AGO)
        self.assertEqual(plan, Plan(reconnects=True, delay=17.0, gave_up=False))

    def test_time_of_the_attempt(self) -> None:
        """The time of the last attempt does not change the delay of a policy."""
        plans = {self.policy.plan(status(2), seconds) for seconds in (0.0, 0.5, math.inf)}
        self.assertEqual(plans, {Plan(reconnects=True, delay=2.0, gave_up=False)})

    def test_delay_of_0(self) -> None:
        """A delay of 0 is not giving up."""
        policy = ReconnectPolicy(wsx.Backoff(initial=0, jitter=0))
        plan = policy.plan(status(1), LONG_AGO)
        self.assertEqual(plan, Plan(reconnects=True, delay=0.0, gave_up=False))

    def test_jitter(self) -> None:
        """The delay includes the jitter of the policy."""
        policy = ReconnectPolicy(wsx.Backoff(initial=10, jitter=0.5))
        delays = [policy.plan(status(1), LONG_AGO).delay for _ in range(50)]
        self.assertGreater(len(set(delays)), 1)
        self.assertTrue(all(5 <= delay <= 15 for delay in delays), delays)

    def test_pure(self) -> None:
        """Without jitter, the same input leads to the same plan, whatever was planned before."""
        inputs = [(n, seconds) for n in (1, 4, 2, 1, 3, 4) for seconds in (0.0, 5.0)]
        first = [self.policy.plan(status(n), seconds) for n, seconds in inputs]
        again = [self.policy.plan(status(n), seconds) for n, seconds in reversed(inputs)]
        self.assertEqual(first, again[::-1])


class WithoutPolicyTests(SynchronousTestCase):
    """A client without a ``reconnect`` policy: the handler decides."""

    def setUp(self) -> None:
        self.policy = ReconnectPolicy(None)

    def delay(self, attempt_number: int, seconds_since_attempt: float = LONG_AGO) -> float:
        """Return the delay of a Reconnect without ``after``."""
        return self.policy.plan(status(attempt_number), seconds_since_attempt).delay

    @each((1, 2, 100))
    def test_does_not_reconnect(self, number: int) -> None:
        """The default ``handle_disconnect`` does not reconnect, and no policy gave up."""
        plan = self.policy.plan(status(number), LONG_AGO)
        self.assertFalse(plan.reconnects)
        self.assertFalse(plan.gave_up)

    def test_reason_does_not_matter(self) -> None:
        """A handler may reconnect after any reason."""
        plan = self.policy.plan(status(1, wsx.LocalClose()), LONG_AGO)
        self.assertEqual(plan, Plan(reconnects=False, delay=0.0, gave_up=False))

    def test_healthy_connection(self) -> None:
        """After the loss of a healthy connection the next attempt is made at once."""
        self.assertEqual(self.delay(1), 0.0)

    @each(((0, 1.0), (0.25, 0.75), (0.75, 0.25), (1, 0.0), (2, 0.0)))
    def test_one_attempt_a_second(self, seconds: float, delay: float) -> None:
        """There is at most one attempt a second, whatever a connection's health."""
        self.assertEqual(self.delay(1, seconds), delay)

    @each(range(2, 12))
    def test_later_failures(self, number: int) -> None:
        """Each failure after the first one waits as ``Backoff()`` says."""
        usual = min(60.0, 2.0 ** (number - 2))
        for _ in range(20):
            delay = self.delay(number)
            self.assertGreaterEqual(delay, usual / 2)
            self.assertLessEqual(delay, min(60.0, usual * 1.5))

    def test_later_failures_and_one_attempt_a_second(self) -> None:
        """The longer of both delays is used."""
        self.assertTrue(all(self.delay(2, 0.0) >= 1.0 for _ in range(50)))

    def test_before_any_attempt(self) -> None:
        """Without an attempt there is no delay."""
        self.assertEqual(self.delay(1, math.inf), 0.0)

    @each((0.0, 0.5, 1.0, 1e6, math.inf))
    def test_never_negative(self, seconds: float) -> None:
        """A delay is never negative."""
        for number in (1, 2, 50, 5000):
            self.assertGreaterEqual(self.delay(number, seconds), 0.0)

    def test_pure(self) -> None:
        """Without jitter, the same input leads to the same plan, whatever was planned before."""
        first = [self.policy.plan(status(1), seconds) for seconds in (0.0, 0.5, 2.0)]
        self.delay(7)
        again = [self.policy.plan(status(1), seconds) for seconds in (0.0, 0.5, 2.0)]
        self.assertEqual(first, again)


class PlanTests(SynchronousTestCase):
    """Plans are values."""

    def test_frozen(self) -> None:
        """A plan cannot be changed."""
        plan = Plan(reconnects=True, delay=1.0, gave_up=False)
        self.assertRaises(FrozenInstanceError, setattr, plan, "delay", 2.0)
