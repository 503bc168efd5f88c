"""Tests of ``wsx._transport.gentle_close``."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.gentle_close import GentleClose


class GentleCloseTests(SynchronousTestCase):
    """FIN first; an abort after one second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.close = GentleClose()

    def start(self) -> None:
        self.close.start(self.clock, self.transport, self.transport.abortConnection)

    def test_fin_first(self) -> None:
        """The transport is closed at once and not aborted within the time limit."""
        self.start()
        self.assertTrue(self.transport.disconnecting)
        self.clock.advance(0.99)
        self.assertFalse(self.transport.disconnected)

    def test_abort(self) -> None:
        """A connection that still exists after one second is aborted."""
        self.start()
        self.clock.advance(1.0)
        self.assertTrue(self.transport.disconnected)

    def test_connection_lost(self) -> None:
        """The end of the connection stops the time limit."""
        self.start()
        self.close.connection_lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1.0)
        self.assertFalse(self.transport.disconnected)

    def test_connection_lost_without_start(self) -> None:
        """A connection that was not closed gently has no time limit to stop."""
        self.close.connection_lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connection_lost_because_of_the_abort(self) -> None:
        """After the abort, the end of the connection does not cancel the time limit again."""
        self.start()
        self.clock.advance(1.0)
        self.close.connection_lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])
