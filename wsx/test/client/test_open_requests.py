"""Tests of the open requests of a client: keys, time limits and the limit of queued bytes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Binary, DuplicateKeyError, NoReplyError, Ping, ReplyTimeout, Text
from wsx._client.open_requests import OpenRequests
from wsx._redactor import Redactor
from wsx._scheduler import scheduler_for
from wsx.test.support.delivery import make_batch


class Keys(wsx.Requests):
    """The key is the first word of a message."""

    def reply_key(self, frame: Any) -> Any:
        return frame.payload.split()[0]


class OpenRequestsTests(SynchronousTestCase):
    """Requests that wait for their replies."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.emptied = 0
        self.requests = OpenRequests(scheduler_for(self.clock), self.count)

    def count(self) -> None:
        """Count how often there was no open request any more."""
        self.emptied += 1

    def test_find(self) -> None:
        """A message is a reply if its key is that of an open request."""
        request = self.requests.add("a", None)
        self.assertIs(self.requests.find(Keys(), Text("a 1")), request)
        self.assertIsNone(self.requests.find(Keys(), Text("b 1")))
        self.assertIsNone(self.requests.find(Keys(), Ping(b"a")))
        self.assertIsNone(self.requests.find(object(), Text("a 1")))
        self.assertTrue(request.succeed(Text("a 1")))
        self.assertEqual(self.successResultOf(request.reply), Text("a 1"))
        self.assertIsNone(self.requests.find(Keys(), Text("a 2")))
        self.assertFalse(request.succeed(Text("a 2")))

    def test_binary(self) -> None:
        """A binary message may be a reply."""
        request = self.requests.add(b"a", None)
        self.assertIs(self.requests.find(Keys(), Binary(b"a 1")), request)

    def test_emptied(self) -> None:
        """``emptied`` is called when the last request has ended, in whatever way."""
        answered, cancelled, late = (self.requests.add(key, 5.0) for key in "abc")
        answered.succeed(Text("a"))
        cancelled.reply.cancel()
        self.failureResultOf(cancelled.reply, CancelledError)
        self.assertEqual((self.emptied, self.requests.may_read), (0, True))
        self.clock.pump([5.0, 0.0, 0.0])
        self.failureResultOf(late.reply, ReplyTimeout)
        self.assertEqual((self.emptied, self.requests.may_read), (1, False))

    def test_timers(self) -> None:
        """No timer is left when the requests have ended."""
        self.requests.add("a", 5.0).succeed(Text("a"))
        self.requests.add("b", 5.0).reply.addErrback(lambda _: None).cancel()
        failed = self.requests.add("c", 5.0)
        self.requests.fail_all(wsx.LocalClose(), Redactor())
        self.failureResultOf(failed.reply, NoReplyError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_duplicate(self) -> None:
        """A key is free again once its request has ended."""
        self.requests.add("a", None).succeed(Text("a"))
        self.requests.add("a", None)
        self.assertRaises(DuplicateKeyError, self.requests.add, "a", None)

    def test_reused_key(self) -> None:
        """The failure of an ended request does not affect a new one with its key."""
        old = self.requests.add("a", None)
        old.succeed(Text("a"))
        new = self.requests.add("a", None)
        old.fail(NoReplyError("a", None))  # type: ignore[arg-type]
        self.assertNoResult(new.reply)
        self.assertIs(self.requests.find(Keys(), Text("a")), new)

    def test_requests_sent_by_failures(self) -> None:
        """A request that is made when another one fails is not failed with it."""
        again: list[Any] = []
        first = self.requests.add("a", None)
        first.reply.addErrback(lambda _: again.append(self.requests.add("a", None)))
        self.requests.fail_all(wsx.LocalClose(), Redactor())
        self.assertNoResult(again[0].reply)

    def test_budget(self) -> None:
        """More may be queued until a mebibyte has been; then only after catching up."""
        self.requests.add("a", None)
        self.requests.queued(make_batch(Text("x" * 1_000_000)))
        self.assertTrue(self.requests.may_read)
        self.requests.queued(make_batch(Binary(b"x" * 50_000), Ping(b"")))
        self.assertFalse(self.requests.may_read)
        self.requests.caught_up()
        self.assertTrue(self.requests.may_read)
