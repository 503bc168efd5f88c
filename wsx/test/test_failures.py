"""Tests of wsx._failures: exceptions of Failures, and tracebacks in the log."""

from __future__ import annotations

from io import StringIO

from twisted.logger import Logger, capturedLogs, eventAsText
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._failures import cause_of, log_failure

log = Logger("wsx.test")


class CauseOfTests(SynchronousTestCase):
    """``cause_of``."""

    def test_exception(self) -> None:
        """The exception is the one of the Failure."""
        error = ValueError("x")
        self.assertIs(cause_of(Failure(error)), error)


class LogFailureTests(SynchronousTestCase):
    """``log_failure`` logs a message and a traceback."""

    def text(self, error: Exception) -> str:
        """Return the text that is logged for an exception."""
        with capturedLogs() as events:
            try:
                raise error
            except Exception:
                log_failure(log, "{what} failed", what="a test")
        self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)
        [event] = events
        return eventAsText(event, includeTimestamp=False, includeSystem=False)

    def test_message_and_traceback(self) -> None:
        """The message is formatted; the traceback names the function and the exception."""
        text = self.text(ValueError("why"))
        self.assertTrue(text.startswith("a test failed\n"), text)
        self.assertIn("in text", text)
        self.assertTrue(text.rstrip().endswith("ValueError: why"), text)

    def test_given_failure(self) -> None:
        """A Failure that is passed is logged; it is not changed."""
        failure = Failure(ValueError("a\x1bb"))
        with capturedLogs() as events:
            log_failure(log, "failed", failure)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        logged = events[0]["log_failure"]
        self.assertIs(logged.value, failure.value)
        self.assertEqual(logged.getErrorMessage(), "a\\x1bb")
        self.assertEqual(failure.getErrorMessage(), "a\x1bb")

    def test_escaped(self) -> None:
        """Text of the exception is escaped, also in the brief form and in ``repr``."""
        hostile = "\x1b[31m\x07\x9b\u202e\u2028\ud800"
        for text in (self.text(ValueError(hostile)), self.text(ValueError(f"a\n{hostile}"))):
            for line in text.split("\n"):
                self.assertTrue(line.isprintable(), repr(line))
            self.assertIn("\\x1b[31m\\x07\\x9b\\u202e", text)
        with capturedLogs() as events:
            log_failure(log, "failed", Failure(ValueError(hostile)))
        self.flushLoggedErrors(ValueError)
        failure = events[0]["log_failure"]
        for text in (failure.getBriefTraceback().rstrip("\n"), repr(failure)):
            self.assertTrue(text.isprintable(), repr(text))

    def test_truncated(self) -> None:
        """A line has at most 600 characters, and a traceback about 200 lines."""
        text = self.text(ValueError("x" * 60_000))
        self.assertEqual(max(map(len, text.split("\n"))), 600)
        text = self.text(ValueError("x\n" * 60_000))
        self.assertLess(text.count("\n"), 210)

    def test_to_a_file(self) -> None:
        """``printTraceback`` writes the same text to a file."""
        with capturedLogs() as events:
            log_failure(log, "failed", Failure(ValueError("a\x1bb")))
        self.flushLoggedErrors(ValueError)
        file = StringIO()
        events[0]["log_failure"].printTraceback(file)
        self.assertIn("a\\x1bb", file.getvalue())
