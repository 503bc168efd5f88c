"""Tests of wsx._console.log: where the console's log goes."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from wsx._console.log import BriefLog, log_to_stderr, print_to_stderr


class StandardErrorTests(SynchronousTestCase):
    """The log of twistd."""

    def setUp(self) -> None:
        self.errors, self.output = StringIO(), StringIO()
        self.patch(sys, "__stderr__", self.errors)
        self.patch(sys, "__stdout__", self.output)

    def test_standard_error(self) -> None:
        """The console's log observer writes to standard error."""
        observer: Any = log_to_stderr()
        observer({"log_format": "an event", "log_time": 0.0})
        self.assertIn("an event\n", self.errors.getvalue())
        self.assertEqual(self.output.getvalue(), "")

    def test_brief(self) -> None:
        """A brief line has the time of day and the escaped text, without colours."""
        print_to_stderr(0.0, "error", "lost\x1b")
        self.assertRegex(self.errors.getvalue(), r"\A\d\d:\d\d:\d\d\.000 - lost\\x1b\n\Z")
        self.assertEqual(self.output.getvalue(), "")


class BriefTests(SynchronousTestCase):
    """Which events a user sees."""

    def setUp(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self.publisher = LogPublisher(BriefLog(lambda _, style, text: self._note(style, text)))

    def _note(self, style: str, text: str) -> None:
        self.shown.append((style, text))

    def log(self, namespace: str, level: LogLevel, text: str = "text") -> None:
        """Log an event."""
        Logger(namespace, observer=self.publisher).emit(level, text)

    def test_levels(self) -> None:
        """Warnings and errors have styles of their own; debug events are not shown."""
        for level in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error):
            self.log("wsx", level)
        self.assertEqual([style for style, _ in self.shown], ["log", "warning", "error"])

    def test_twisted(self) -> None:
        """Twisted's own lines are not shown, except for warnings and errors."""
        self.log("twisted.application.app.AppLogger", LogLevel.info, "starting up")
        self.log("log_legacy", LogLevel.info, "Main loop terminated.")
        self.log("asyncio", LogLevel.error, "exception")
        self.assertEqual(self.shown, [("error", "exception")])

    def test_printed(self) -> None:
        """Trace lines, which are printed, are shown."""
        self.log("stdout", LogLevel.info, "*DBG* ...")
        self.assertEqual(self.shown, [("log", "*DBG* ...")])

    def test_traceback(self) -> None:
        """An exception is shown with its traceback."""
        try:
            raise ValueError("as told")
        except ValueError:
            Logger("wsx", observer=self.publisher).failure("a callback failed")
        [(style, text)] = self.shown
        self.assertEqual(style, "error")
        self.assertIn("a callback failed\nTraceback", text)
        self.assertIn("ValueError: as told", text)
