"""Tests of wsx._console.limits: when the console ends, and why."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx import ConnectionDropped, LocalClose, RemoteClose, WsxError
from wsx._console.limits import (
    ExpectedClose,
    Limits,
    MessagesMayBeMissing,
    TimedOut,
    TooFewMessages,
    UnexpectedClose,
    requested_end,
)
from wsx.reasons import is_normal
from wsx.test.support.each import each


class CloseTests(SynchronousTestCase):
    """The reason after a close that is compared with ``--expect-close``."""

    @each(
        [
            ("same", 4001, RemoteClose(4001, "bye"), True),
            ("other", 4001, RemoteClose(4002, ""), False),
            ("local", 1000, LocalClose(1000, ""), False),
            ("no_code", 1005, RemoteClose(1005, ""), True),
            ("dropped", 1006, ConnectionDropped(None), True),
            ("dropped_instead", 1000, ConnectionDropped(None), False),
            ("closed_instead", 1006, RemoteClose(1000, ""), False),
            ("error", 1006, ValueError("x"), False),
        ]
    )
    def test_check(self, _: str, code: int, reason: object, matches: bool) -> None:
        """Only the code in the server's close frame counts, or 1006 for its absence."""
        result = Limits(expect_close=code).check_close(reason)
        self.assertIs(type(result), ExpectedClose if matches else UnexpectedClose)
        self.assertIs(is_normal(result), matches)

    def test_no_expectation(self) -> None:
        """Without an expectation nothing is compared."""
        self.assertIsNone(Limits().check_close(RemoteClose(4001, "")))


class RequestedEndTests(SynchronousTestCase):
    """The reason after ``/close``."""

    def test_codes(self) -> None:
        """Any close code of the user is a normal end, which names the code."""
        normal = LocalClose(1000, "bye")
        self.assertIs(requested_end(normal), normal)
        reason = requested_end(LocalClose(4001, "bye"))
        self.assertTrue(is_normal(reason))
        self.assertEqual(str(reason), 'closed by this client: 4001 "bye"')

    def test_other_end(self) -> None:
        """A connection that was lost meanwhile is a normal end too."""
        self.assertIsNone(requested_end(RemoteClose(1012, "restart")))


class WaitTests(SynchronousTestCase):
    """Whether the end of the input ends the console."""

    def test_wait(self) -> None:
        """The console waits for messages, and for a close by the server."""
        self.assertFalse(Limits().wait_for_server)
        self.assertFalse(Limits(timeout=5).wait_for_server)
        self.assertTrue(Limits(max_messages=1).wait_for_server)
        self.assertTrue(Limits(expect_close=1000).wait_for_server)


class ErrorTests(SynchronousTestCase):
    """The errors."""

    @each(
        [
            ("missing", MessagesMayBeMissing(), "messages may be missing"),
            ("timeout", TimedOut(2.5), "not finished within 2.5 s (--timeout)"),
            ("few", TooFewMessages(3, 1), "expected 3 messages, received 1"),
            ("one", TooFewMessages(1, 0), "expected 1 message, received 0"),
            (
                "close",
                UnexpectedClose(1000, RemoteClose(4001, "bye")),
                'expected close code 1000 (normal closure), got: closed by server: 4001 "bye"',
            ),
        ]
    )
    def test_text(self, _: str, error: WsxError, text: str) -> None:
        """Each says what was expected and what happened, and is an abnormal end."""
        self.assertIn(text, str(error))
        self.assertFalse(is_normal(error))

    def test_expected_close(self) -> None:
        """The expected close is named, with its code."""
        text = "closed by server with 4001 (private use), as expected"
        self.assertEqual(str(ExpectedClose(4001)), text)
