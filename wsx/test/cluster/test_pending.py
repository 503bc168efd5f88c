"""Tests of wsx._cluster.pending."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.pending import Requests
from wsx._cluster.store import NoResponder
from wsx.errors import ClusterError


class RequestsTests(SynchronousTestCase):
    """Requests that wait for a reply."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests = Requests(self.clock)
        self.message, self.reply = self.requests.add("call.Feed", b"ask", 2.0)
        assert self.message.number is not None
        self.number = self.message.number

    def tearDown(self) -> None:
        """No timer is left, and late replies are ignored."""
        self.requests.finish(self.number, b"late")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reply(self) -> None:
        """A reply fires the Deferred of its request only."""
        other, no_reply = self.requests.add("call.other", b"ask", 2.0)
        self.assertNotEqual(self.number, other.number)
        self.requests.finish(self.number, b"answer")
        self.assertEqual(self.successResultOf(self.reply), b"answer")
        self.assertNoResult(no_reply)
        no_reply.addErrback(lambda _: None)
        no_reply.cancel()

    def test_no_responder(self) -> None:
        """None stands for a subject without subscription."""
        self.requests.finish(self.number, None)
        self.failureResultOf(self.reply, NoResponder)

    def test_time_limit(self) -> None:
        """A request fails after its time limit, and is not sent any more."""
        self.clock.advance(1.9)
        self.assertNoResult(self.reply)
        self.clock.advance(0.1)
        failure = self.failureResultOf(self.reply, ClusterError)
        self.assertEqual(str(failure.value), "cluster: no answer from NATS within 2 s")
        self.assertTrue(self.message.is_cancelled)

    def test_cancel(self) -> None:
        """A cancelled request is not sent any more."""
        self.reply.cancel()
        self.failureResultOf(self.reply, CancelledError)
        self.assertTrue(self.message.is_cancelled)

    def test_fail_all(self) -> None:
        """All requests fail with the reason, and are not sent any more."""
        self.requests.fail_all("lost")
        self.assertEqual(self.failureResultOf(self.reply, ClusterError).value.reason, "lost")
        self.assertTrue(self.message.is_cancelled)

    def test_refuse(self) -> None:
        """Only the requests to a refused subject fail."""
        self.assertFalse(self.requests.refuse("call.other"))
        self.assertNoResult(self.reply)
        self.assertTrue(self.requests.refuse("call.feed"))
        failure = self.failureResultOf(self.reply, ClusterError)
        self.assertEqual(failure.value.reason, "no permission to publish to call.Feed")
