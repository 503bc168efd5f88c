"""The service of ``twistd wsx --doctor``."""

from __future__ import annotations

import atexit
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from wsx._doctor.examination import Examination
from wsx._doctor.findings import Findings
from wsx._doctor.output import print_report
from wsx._twistd.runner import exit_with_failure
from wsx.conn import Conn

__all__ = ["DoctorService"]


class DoctorService(Service):
    """Examine a connection, print the report, and stop twistd.

    The exit status is 0 if all phases have passed, otherwise 1.

    Args:
        conn: Where and how to connect.
        reactor: The reactor of twistd.
        as_json: Whether to print JSON.
    """

    def __init__(self, conn: Conn, reactor: Any, *, as_json: bool) -> None:
        self._reactor = reactor
        self._as_json = as_json
        self._examination = Examination(conn, reactor)
        self._examination.ended.addCallback(lambda _: self._stop())

    def startService(self) -> None:
        """Start the examination once the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._start)

    def stopService(self) -> Deferred[None]:
        """Report what is known, and return a Deferred that fires when the connection has ended."""
        super().stopService()
        self._examination.interrupt()
        return self._examination.ended

    def _start(self) -> None:
        self._examination.start().addCallback(self._report)

    def _report(self, findings: Findings) -> None:
        print_report(findings, as_json=self._as_json)
        if not findings.passed:
            atexit.register(exit_with_failure)

    def _stop(self) -> None:
        if self.running:
            self._reactor.stop()
