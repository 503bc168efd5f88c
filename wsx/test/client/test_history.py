"""Tests of the history: attempt numbers, the health of connections, and outages."""

from __future__ import annotations

import math

from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._client.history import History, Outage
from wsx.test.support import URL
from wsx.test.support.each import each

CONN = wsx.Conn(URL)
DROPPED = wsx.ConnectionDropped(ConnectionDone())
REFUSED = wsx.ConnError(ConnectionRefusedError())


class HistoryCase(SynchronousTestCase):
    """A history with a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.history = History(self.clock, 5.0)

    def fail_attempt(self, reason: object = REFUSED) -> int:
        """Make an attempt that fails, and return the attempt number."""
        self.history.attempting()
        return self.history.lost(reason, CONN).attempt_number

    def open(self) -> Outage | None:
        """Make an attempt that succeeds, and return the outage that it ended."""
        self.history.attempting()
        return self.history.opened()

    def lose(self, closing: float = 0.0, reason: object = DROPPED) -> int:
        """Lose the connection after ``closing`` seconds of closing; return the attempt number."""
        self.history.closing()
        self.clock.advance(closing)
        return self.history.lost(reason, CONN).attempt_number

    def connect_for(self, seconds: float, closing: float = 0.0) -> int:
        """Open a connection for that long, and lose it; return the attempt number."""
        self.open()
        self.clock.advance(seconds)
        return self.lose(closing)


class AttemptTests(HistoryCase):
    """The attempt number: 1 for the loss of a healthy connection, one more for each failure."""

    def test_first_failure(self) -> None:
        """Failures of the first connection count from 1."""
        self.assertEqual([self.fail_attempt() for _ in range(4)], [1, 2, 3, 4])

    @each((0, 1, 5, 100))
    def test_first_loss(self, seconds: float) -> None:
        """The loss of the first connection is 1, whether it is healthy or not."""
        self.assertEqual(self.connect_for(seconds), 1, seconds)

    def test_failures_after_a_loss(self) -> None:
        """Failed attempts after the loss of a healthy connection count from 2."""
        numbers = [self.connect_for(10), *(self.fail_attempt() for _ in range(3))]
        self.assertEqual(numbers, [1, 2, 3, 4])

    def test_handshake_is_not_enough(self) -> None:
        """A server that accepts and drops connections does not reset the number."""
        self.assertEqual([self.connect_for(0) for _ in range(4)], [1, 2, 3, 4])

    def test_failures_and_short_connections(self) -> None:
        """Failed attempts and unhealthy connections count in the same way."""
        numbers = [
            self.fail_attempt(),
            self.connect_for(1),
            self.fail_attempt(),
            self.connect_for(4.9),
        ]
        self.assertEqual(numbers, [1, 2, 3, 4])

    @each(((4.75, 3), (5.0, 1), (5.25, 1)))
    def test_stable(self, seconds: float, number: int) -> None:
        """The number is reset once a connection has been open for ``stable_after`` seconds."""
        self.fail_attempt()
        self.fail_attempt()
        self.assertEqual(self.connect_for(seconds), number, seconds)

    def test_counts_again_after_health(self) -> None:
        """After the loss of a healthy connection, unhealthy ones count from 2."""
        numbers = [self.connect_for(seconds) for seconds in (5, 1, 1, 5)]
        self.assertEqual(numbers, [1, 2, 3, 1])

    def test_closing_does_not_count(self) -> None:
        """The time of the closing handshake does not make a connection healthy."""
        numbers = [self.connect_for(4, closing=3), self.connect_for(4, closing=3)]
        self.assertEqual(numbers, [1, 2])
        self.open()
        self.clock.advance(4)
        self.history.closing()
        self.clock.advance(3)
        self.assertEqual(self.lose(3), 3, "closing was called twice")

    def test_closing_keeps_health(self) -> None:
        """A healthy connection stays healthy if ``closing`` is called twice."""
        self.fail_attempt()
        self.open()
        self.clock.advance(5)
        self.history.closing()
        self.history.closing()
        self.assertEqual(self.lose(3), 1)

    def test_waiting_does_not_count(self) -> None:
        """The time without a connection does not make a connection healthy."""
        self.connect_for(1)
        self.clock.advance(100)
        self.assertEqual(self.fail_attempt(), 2)
        self.clock.advance(100)
        self.assertEqual(self.connect_for(1), 3)

    def test_mark_healthy(self) -> None:
        """A connection that is marked is healthy at once."""
        self.fail_attempt()
        self.open()
        self.history.mark_healthy()
        self.assertEqual(self.lose(), 1)
        self.assertEqual(self.fail_attempt(), 2)

    def test_mark_is_for_one_connection(self) -> None:
        """The mark does not apply to the next connection."""
        self.open()
        self.history.mark_healthy()
        self.assertEqual([self.lose(), self.connect_for(0), self.connect_for(0)], [1, 2, 3])

    def test_stable_after_0(self) -> None:
        """With ``stable_after=0`` the opening handshake is enough, as in WebSockex."""
        self.history = History(self.clock, 0.0)
        self.assertEqual([self.fail_attempt(), self.fail_attempt()], [1, 2])
        numbers = [self.connect_for(0), self.connect_for(0), self.fail_attempt()]
        self.assertEqual(numbers, [1, 1, 2])

    def test_status(self) -> None:
        """``lost`` returns the reason, the number and the Conn."""
        status = self.history.lost(REFUSED, CONN)
        self.assertEqual(status, wsx.Disconnect(REFUSED, 1, CONN))
        self.assertIs(status.reason, REFUSED)
        self.assertIs(status.conn, CONN)

    def test_attempt_number(self) -> None:
        """``attempt_number`` is the number of the last failure, and 0 once healthy."""
        self.assertEqual(self.history.attempt_number, 0)
        self.fail_attempt()
        self.fail_attempt()
        self.assertEqual(self.history.attempt_number, 2)
        self.open()
        self.assertEqual(self.history.attempt_number, 2)
        self.clock.advance(5)
        self.assertEqual(self.history.attempt_number, 0)
        self.lose()
        self.assertEqual(self.history.attempt_number, 1)

    def test_attempt_number_of_a_marked_connection(self) -> None:
        """``attempt_number`` is 0 after the connection is marked as healthy."""
        self.fail_attempt()
        self.open()
        self.history.mark_healthy()
        self.assertEqual(self.history.attempt_number, 0)

    def test_failures(self) -> None:
        """``failures`` counts since the last healthy connection, also while one is open."""
        self.fail_attempt()
        self.fail_attempt()
        self.open()
        self.clock.advance(5)
        self.assertEqual(self.history.failures, 2)
        self.lose()
        self.assertEqual(self.history.failures, 1)


class FlagTests(HistoryCase):
    """``retrying``, ``ever_opened``, ``was_open`` and ``seconds_since_attempt``."""

    def test_retrying(self) -> None:
        """The first attempt is not a retry; the attempt after a failure is."""
        self.assertFalse(self.history.retrying)
        self.history.attempting()
        self.assertFalse(self.history.retrying)
        self.fail_attempt()
        self.assertTrue(self.history.retrying)

    def test_retrying_after_a_connection(self) -> None:
        """An attempt after a connection is a retry."""
        self.open()
        self.assertTrue(self.history.retrying)

    def test_ever_opened(self) -> None:
        """``ever_opened`` is true from the first connection on."""
        self.fail_attempt()
        self.assertFalse(self.history.ever_opened)
        self.connect_for(0)
        self.fail_attempt()
        self.assertTrue(self.history.ever_opened)

    def test_was_open(self) -> None:
        """``was_open`` is about the attempt that began last, also after the loss."""
        self.assertFalse(self.history.was_open)
        self.fail_attempt()
        self.assertFalse(self.history.was_open)
        self.open()
        self.assertTrue(self.history.was_open)
        self.lose()
        self.assertTrue(self.history.was_open)
        self.history.attempting()
        self.assertFalse(self.history.was_open)

    def test_seconds_since_attempt(self) -> None:
        """The seconds count from the beginning of the last attempt."""
        self.assertEqual(self.history.seconds_since_attempt, math.inf)
        self.open()
        self.clock.advance(7)
        self.assertEqual(self.history.seconds_since_attempt, 7.0)
        self.lose(closing=2)
        self.assertEqual(self.history.seconds_since_attempt, 9.0)
        self.history.attempting()
        self.assertEqual(self.history.seconds_since_attempt, 0.0)


class OutageTests(HistoryCase):
    """The time without a connection."""

    def test_first_connection(self) -> None:
        """A first attempt that succeeds ends no outage."""
        self.assertIsNone(self.open())

    def test_first_connection_after_failures(self) -> None:
        """An outage begins with the first failed attempt if there was no connection."""
        self.clock.advance(1)
        self.fail_attempt()
        self.clock.advance(2)
        self.fail_attempt(DROPPED)
        self.assertEqual(self.open(), Outage(REFUSED, 1.0, 2))

    def test_lost_connection(self) -> None:
        """An outage begins with the loss of the connection, after its closing handshake."""
        self.open()
        self.clock.advance(10)
        self.lose(closing=3)
        self.clock.advance(4)
        self.assertEqual(self.open(), Outage(DROPPED, 13.0, 0))

    def test_failed_attempts(self) -> None:
        """Failed attempts are counted, and do not replace reason and time of the loss."""
        self.connect_for(10)
        for _ in range(3):
            self.clock.advance(1)
            self.fail_attempt()
        self.assertEqual(self.open(), Outage(DROPPED, 10.0, 3))

    def test_reason_is_the_object(self) -> None:
        """The reason is the object itself, not a copy."""
        self.connect_for(1)
        outage = self.open()
        assert outage is not None
        self.assertIs(outage.reason, DROPPED)

    def test_each_outage_is_separate(self) -> None:
        """The next outage begins with the next loss, without earlier failures."""
        self.connect_for(10)
        self.fail_attempt()
        self.open()
        self.clock.advance(10)
        self.lose(reason=wsx.RemoteClose(1012))
        self.assertEqual(self.open(), Outage(wsx.RemoteClose(1012), 20.0, 0))
        self.assertIsNone(self.history.opened())

    def test_short_connections(self) -> None:
        """Each connection ends an outage, however short it is."""
        self.connect_for(0)
        self.assertEqual(self.open(), Outage(DROPPED, 0.0, 0))
        self.clock.advance(1)
        self.lose()
        self.assertEqual(self.open(), Outage(DROPPED, 1.0, 0))
