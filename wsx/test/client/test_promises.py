"""Tests of the Deferreds that a client has handed out."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._client.promises import Promises

CLIENT = object()
BOOM = ValueError("boom")


class PromisesTests(SynchronousTestCase):
    """Each Deferred fires at its event, once."""

    def setUp(self) -> None:
        self.promises = Promises(CLIENT)

    def test_start(self) -> None:
        """The Deferred of start fires with the client, and only once."""
        started = self.promises.start(lambda: None)
        self.assertNoResult(started)
        self.promises.fulfil_start()
        self.promises.fulfil_start()
        self.assertIs(self.successResultOf(started), CLIENT)

    def test_start_cancelled(self) -> None:
        """Cancelling the Deferred of start reports it; the end fires it no more."""
        cancelled: list[str] = []
        started = self.promises.start(lambda: cancelled.append("cancelled"))
        started.cancel()
        self.assertEqual(cancelled, ["cancelled"])
        self.failureResultOf(started)
        self.promises.end(BOOM)

    def test_start_forgotten(self) -> None:
        """A forgotten Deferred of start does not fire."""
        started = self.promises.start(lambda: None)
        self.promises.forget_start()
        self.promises.fulfil_start()
        self.promises.end(BOOM)
        self.assertNoResult(started)

    def test_open(self) -> None:
        """Every Deferred of when_open fires with the client, in order."""
        order: list[int] = []
        for number in range(3):
            self.promises.when_open().addCallback(lambda _, n: order.append(n), number)
        self.promises.fulfil_open()
        self.assertEqual(order, [0, 1, 2])

    def test_closed(self) -> None:
        """A Deferred of when_closed belongs to one connection."""
        first = self.promises.when_closed()
        self.promises.fulfil_closed()
        second = self.promises.when_closed()
        self.assertIsNone(self.successResultOf(first))
        self.assertNoResult(second)

    def test_end(self) -> None:
        """The end fires terminated with the reason, and fails start and when_open with it."""
        waiting = [self.promises.start(lambda: None), self.promises.when_open()]
        ended = self.promises.when_terminated()
        self.promises.end(BOOM)
        for deferred in waiting:
            self.assertIs(self.failureResultOf(deferred).value, BOOM)
        self.assertIs(self.successResultOf(ended), BOOM)

    def test_after_the_end(self) -> None:
        """After the end, when_terminated and when_open have their result at once."""
        self.promises.end(BOOM)
        self.assertTrue(self.promises.ended)
        self.assertIs(self.successResultOf(self.promises.when_terminated()), BOOM)
        self.assertIs(self.failureResultOf(self.promises.when_open()).value, BOOM)

    def test_reason_that_is_not_an_exception(self) -> None:
        """A reason that is not an exception fails the Deferreds wrapped in ClientEnded."""
        opening = self.promises.when_open()
        self.promises.end("enough")
        error: Any = self.failureResultOf(opening, wsx.ClientEnded).value
        self.assertEqual(error.reason, "enough")
