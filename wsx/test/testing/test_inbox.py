"""Tests of the frames that a server has received."""

from __future__ import annotations

from unittest.mock import ANY

from twisted.trial.unittest import SynchronousTestCase

from wsx import Ping, Text
from wsx.testing.inbox import Inbox, listed
from wsx.testing.wire import CloseFrame

A, B, C = Text("a"), Text("b"), Text("c")


class InboxTests(SynchronousTestCase):
    """An inbox."""

    def setUp(self) -> None:
        self.inbox = Inbox("connection 7")
        for frame in (A, B, C):
            self.inbox.add(frame, is_optional=False)

    def test_left_over(self) -> None:
        """Frames are left over until they are expected, taken or seen."""
        self.assertEqual(self.inbox.left_over, [A, B, C])
        self.inbox.expect([A])
        self.assertEqual(self.inbox.left_over, [B, C])
        self.assertEqual(self.inbox.take(), B)
        self.assertEqual(self.inbox.left_over, [C])
        self.assertEqual(self.inbox.look(), [A, B, C])
        self.assertEqual(self.inbox.left_over, [])
        self.inbox.add(A, is_optional=False)
        self.assertEqual(self.inbox.left_over, [A])

    def test_optional(self) -> None:
        """An optional frame may be expected, and need not be."""
        self.inbox.expect([A, B, C])
        self.inbox.add(CloseFrame(), is_optional=True)
        self.assertEqual(self.inbox.left_over, [])
        self.inbox.expect([CloseFrame()])
        self.inbox.expect([])
        self.assertIsNone(self.inbox.take())

    def test_any_message(self) -> None:
        """``unittest.mock.ANY`` stands for any message of a close frame, but not for any code."""
        self.inbox.expect([A, B, C])
        self.inbox.add(CloseFrame(1002, "a reserved bit is set"), is_optional=False)
        text = str(self.assertRaises(AssertionError, self.inbox.expect, [CloseFrame(1003, ANY)]))
        self.assertIn("- CloseFrame(1003, <ANY>)", text)
        self.inbox.expect([CloseFrame(1002, ANY)])
        self.assertEqual(self.inbox.left_over, [])

    def test_expect(self) -> None:
        """Expected frames are the next ones; a failure leaves them as they were."""
        for wrong in ([B], [A, C], [A, B, C, A], [Ping]):
            self.assertRaises(AssertionError, self.inbox.expect, wrong)
        self.inbox.expect([A, Text])
        error = self.assertRaises(AssertionError, self.inbox.expect, [])
        self.assertIn("connection 7: expected no frame", str(error))
        self.inbox.expect([C])

    def test_seen_frames_can_be_expected(self) -> None:
        """Looking at frames does not take them."""
        self.inbox.look()
        self.inbox.expect([A, B, C])

    def test_fits(self) -> None:
        """Frames fit if they are the beginning of the expected ones, or the other way round."""
        self.assertTrue(self.inbox.fits([A]))
        self.assertTrue(self.inbox.fits([A, B, C, A]))
        self.assertFalse(self.inbox.fits([A, A]))

    def test_listed(self) -> None:
        """Frames are listed one a line."""
        self.assertEqual(listed([A, Ping]), "    Text('a')\n    any Ping")
