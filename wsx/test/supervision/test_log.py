"""Tests of wsx._supervision.log: the log lines of a supervisor."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.intensity import Intensity
from wsx._supervision.log import SupervisorLog
from wsx.errors import ConnError
from wsx.test.support.children import make_child
from wsx.test.support.each import each


class LogCase(SynchronousTestCase):
    """The log of a supervisor named "feeds"."""

    def setUp(self) -> None:
        self.log = SupervisorLog("feeds")
        self.child = make_child("orders")

    def line(self, method: Any, *arguments: Any) -> tuple[LogLevel, str]:
        """Call a method that logs one line; return the level and the text of the line."""
        with capturedLogs() as events:
            method(*arguments)
        (event,) = events
        return event["log_level"], formatEvent(event)


class RestartTests(LogCase):
    """Lines about restarts."""

    @each(
        [
            (0, 1.54, 'child "orders" in 1.5 s'),
            (0, 0.0, 'child "orders" now'),
            (1, 2.0, 'child "orders" and 1 sibling in 2.0 s'),
            (7, 0.0, 'child "orders" and 7 siblings now'),
        ]
    )
    def test_restarting(self, siblings: int, delay: float, expected: str) -> None:
        """The line names the children, the delay, and the number of restarts so far."""
        intensity = Intensity(3, 5.0)
        intensity.add("another child", 0.0)
        intensity.add(self.child, 0.0)
        self.assertEqual(
            self.line(self.log.restarting, self.child, siblings, delay, intensity),
            (
                LogLevel.info,
                f'supervisor "feeds": restarting {expected} (restart 2 of 3 within 5 s)',
            ),
        )

    def test_not_restarting(self) -> None:
        """A temporary child is not restarted."""
        child = make_child("orders", restart="temporary")
        self.assertEqual(
            self.line(self.log.not_restarting, child),
            (
                LogLevel.debug,
                'supervisor "feeds": not restarting child "orders" (its restart type is temporary)',
            ),
        )

    def test_policy_gave_up(self) -> None:
        """A transient child whose reconnect policy gave up is not restarted."""
        self.child.gave_up = True
        self.assertEqual(
            self.line(self.log.not_restarting, self.child),
            (
                LogLevel.debug,
                'supervisor "feeds": not restarting child "orders" (its reconnect policy gave up)',
            ),
        )

    def test_too_many(self) -> None:
        """A supervisor with too many restarts stops all children."""
        self.assertEqual(
            self.line(self.log.too_many_restarts, Intensity(3, 2.5)),
            (
                LogLevel.error,
                'supervisor "feeds": more than 3 restarts within 2.5 s, not counting delays; '
                "stopping all children",
            ),
        )

    def test_id(self) -> None:
        """An id that is not a str is shown as its ``repr``; a long id is shortened."""
        log = SupervisorLog(("feeds", 7))
        _, text = self.line(log.too_many_restarts, Intensity(3, 5.0))
        self.assertTrue(text.startswith("supervisor ('feeds', 7): "), text)
        _, text = self.line(self.log.not_restarting, make_child("\n" + "x" * 999))
        self.assertNotIn("\n", text)
        self.assertLess(len(text), 200)


class StartTests(LogCase):
    """Lines about failed starts."""

    START_FAILED = 'supervisor "feeds": child "orders" could not be started'

    def test_first(self) -> None:
        """After a failed first start, the line has the reason, the consequence and a traceback."""
        level, text = self.line(self.log.first_start_failed, self.child, ValueError("bad price"))
        self.assertEqual(level, LogLevel.critical)
        self.assertEqual(text, f"{self.START_FAILED}: ValueError: bad price; stopping all children")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_first_network_error(self) -> None:
        """A network error has no traceback."""
        error = ConnError(ConnectionRefusedError())
        level, text = self.line(self.log.first_start_failed, self.child, error)
        self.assertEqual(level, LogLevel.error)
        self.assertTrue(text.startswith(f"{self.START_FAILED}: connection failed: "), text)
        self.assertTrue(text.endswith("; stopping all children"), text)

    def test_first_was_logged(self) -> None:
        """A reason that the client has already logged is not repeated."""
        self.child.start_error_was_logged = True
        self.assertEqual(
            self.line(self.log.first_start_failed, self.child, ValueError("bad price")),
            (LogLevel.error, f"{self.START_FAILED}; stopping all children"),
        )

    def test_restart(self) -> None:
        """After a failed restart, the line has the reason and a traceback, but no consequence."""
        level, text = self.line(self.log.restart_failed, self.child, ValueError("bad price"))
        self.assertEqual(level, LogLevel.critical)
        self.assertEqual(text, f"{self.START_FAILED}: ValueError: bad price")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_restart_was_logged(self) -> None:
        """If the client has already logged the reason, nothing is logged."""
        self.child.start_error_was_logged = True
        with capturedLogs() as events:
            self.log.restart_failed(self.child, ValueError("bad price"))
        self.assertEqual(list(events), [])


class InternalErrorTests(LogCase):
    """Lines about defects."""

    def test_internal_error(self) -> None:
        """An internal error names the supervisor and has a traceback."""
        line = self.line(self.log.internal_error, Failure(ZeroDivisionError()))
        self.assertEqual(line, (LogLevel.critical, 'supervisor "feeds": internal error'))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
