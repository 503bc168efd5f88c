"""Tests of wsx._doctor.findings: what was observed."""

from __future__ import annotations

import os

from twisted.internet.error import ConnectError, ConnectionRefusedError, UserError
from twisted.trial.unittest import SynchronousTestCase

from wsx import ConnError, PingTimeout
from wsx._doctor.findings import AddressAttempt
from wsx.test.support.doctor import make_findings


class AttemptTests(SynchronousTestCase):
    """The status of a connection to one address."""

    def test_status(self) -> None:
        """An address has accepted, has failed, or was given up."""
        pending = AddressAttempt("a", 0.0)
        failed = AddressAttempt("a", 0.0, 1.0, ConnectionRefusedError())
        given_up = AddressAttempt("a", 0.0, 1.0, UserError(), cancelled=True)
        connected = AddressAttempt("a", 0.0, 1.0, connected=True)
        found = [attempt.status for attempt in (pending, failed, given_up, connected)]
        self.assertEqual(found, ["cancelled", "failed", "cancelled", "connected"])

    def test_problem(self) -> None:
        """A failed address has one line; a system error has its plain text."""
        errors = [ConnectionRefusedError(), ConnectError(113, "odd"), ConnectError("odd"), None]
        found = [AddressAttempt("a", 0.0, 1.0, error).problem for error in errors]
        self.assertEqual(found[:2], ["connection refused", os.strerror(113).lower()])
        self.assertIn("ConnectError", str(found[2]))
        self.assertIsNone(found[3])
        self.assertIsNone(AddressAttempt("a", 0.0, 1.0, UserError(), cancelled=True).problem)


class FindingsTests(SynchronousTestCase):
    """The findings of an examination."""

    def test_target(self) -> None:
        """TCP connects to the proxy if there is one."""
        self.assertEqual(make_findings().tcp_target.host, "example.test")
        proxied = make_findings(proxy="http://proxy.test:3128")
        self.assertEqual(proxied.tcp_target.authority, "proxy.test:3128")

    def test_original(self) -> None:
        """The cause of a ConnError, or the reason itself."""
        findings = make_findings()
        self.assertIsNone(findings.original)
        findings.reason = PingTimeout(3)
        self.assertIs(findings.original, findings.reason)
        self.assertFalse(findings.timed_out)
        findings.reason = ConnError(TimeoutError("connecting took longer than 6 s"))
        self.assertTrue(findings.timed_out)

    def test_passed(self) -> None:
        """All phases have passed unless one has failed."""
        findings = make_findings()
        self.assertTrue(findings.passed)
        findings.failed_in = "tcp"
        self.assertFalse(findings.passed)
