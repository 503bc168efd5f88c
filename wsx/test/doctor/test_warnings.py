"""Tests of wsx._doctor.warnings: what may become a problem."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from wsx.test.support.doctor import DoctorCase, SecureCase
from wsx.test.support.each import each
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import server_options


def shown(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return phase and code of each warning."""
    return [(warning["phase"], warning["code"]) for warning in report["warnings"]]


class WarningTests(DoctorCase):
    """Warnings without TLS."""

    def test_none(self) -> None:
        """A healthy connection has no warnings."""
        self.assertEqual(self.succeed()["warnings"], [])

    def test_slow_phases(self) -> None:
        """A phase that takes a second or longer is slow; the exit status does not change."""
        self.examine()
        self.reactor.advance(1.5)
        self.peer.answer()
        self.reactor.advance(0.9)
        self.answer_ping()
        report = self.report()
        self.assertTrue(report["passed"])
        self.assertEqual(shown(report), [("opening_handshake", "slow_phase")])
        self.assertIn("took 1.5 s", report["warnings"][0]["explanation"])

    def test_slow_everywhere(self) -> None:
        """Each phase can be slow."""
        self.reactor.names.table["proxy.test"] = ["192.0.2.1"]
        self.examine_network(proxy="http://proxy.test:3128")
        self.reactor.advance(1)
        peer = self.reactor.accept()
        self.reactor.advance(1)
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.transport.value().partition(b"\r\n\r\n")
        peer.transport.clear()
        self.reactor.advance(1)
        self.examination.interrupt()
        self.assertEqual(shown(self.report()), [("tcp", "slow_phase"), ("proxy", "slow_phase")])

    def test_address_that_failed(self) -> None:
        """One of several addresses refuses."""
        self.reactor.names.table["example.test"] = ["2001:db8::1", "192.0.2.1"]
        self.examine_network("ws://example.test/")
        self.reactor.refuse()
        self.reactor.advance(0.3)
        peer = self.reactor.accept()
        peer.answer()
        self.examination.interrupt()
        (warning,) = self.report()["warnings"]
        self.assertEqual((warning["phase"], warning["code"]), ("tcp", "address_failed"))
        self.assertIn("[2001:db8::1]:80", warning["explanation"])
        self.assertIn("example.test", warning["suggestion"])

    def test_no_subprotocol(self) -> None:
        """The server selects none of the subprotocols."""
        report = self.succeed(subprotocols=["chat"])
        self.assertEqual(shown(report), [("opening_handshake", "no_subprotocol")])


class CertificateTests(SecureCase):
    """Warnings about certificates."""

    ca = Once(lambda: trustme.CA())

    def open(self, days: float, **options: Any) -> dict[str, Any]:
        """Return the report about a server whose certificate expires in some days."""
        later = datetime.now(UTC) + timedelta(days=days)
        leaf = self.ca.issue_cert("example.test", not_after=later)
        options = {"cacerts": self.ca.cert_pem.bytes()} | options
        self.examine_tls(server_options(leaf), **options)
        self.accept_tls()
        return self.report()

    @each([(29.5, 1), (1.5, 1), (31.0, 0)])
    def test_expires_soon(self, days: float, warnings: int) -> None:
        """A certificate that expires within 30 days causes a warning."""
        report = self.open(days)
        self.assertEqual(shown(report), [("tls", "certificate_expires_soon")] * warnings)
        self.assertTrue(report["passed"])
        if warnings:
            self.assertIn(f"in {int(days)} day", report["warnings"][0]["explanation"])

    def test_insecure(self) -> None:
        """A certificate that is not verified causes a warning; it may have expired."""
        report = self.open(-1, insecure=True, cacerts=None)
        found = [("tls", "certificate_not_verified"), ("tls", "certificate_expires_soon")]
        self.assertEqual(shown(report), found)
        self.assertIn("has expired", report["warnings"][1]["explanation"])
        self.assertFalse(report["phases"][3]["verified"])

    def test_not_after_a_failure(self) -> None:
        """If TLS has failed, the problem says enough."""
        self.examine_tls(server_options(self.ca.issue_cert("other.test")))
        self.assertEqual(self.report()["warnings"], [])
