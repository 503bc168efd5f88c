"""Tests of wsx._doctor.text: the report for people."""

from __future__ import annotations

from typing import Any

from wsx._doctor.text import format_report
from wsx.test.support.doctor import DoctorCase, SecureCase
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import server_options, without_names


class PlainTests(DoctorCase):
    """Reports without TLS."""

    def test_passed(self) -> None:
        """All phases, what was negotiated, and the result."""
        self.assertEqual(
            format_report(self.succeed()).splitlines(),
            [
                "ws://example.test/feed",
                "",
                "DNS                skipped",
                "TCP                passed          0.0 ms",
                "proxy              skipped",
                "TLS                skipped",
                "opening handshake  passed          0.0 ms  HTTP status 101",
                "ping               passed          0.0 ms",
                "",
                f"peer:        {self.report()['negotiated']['peer']}",
                "subprotocol: none",
                "extensions:  none",
                "result:      all phases passed in 0.0 ms",
            ],
        )

    def test_failed(self) -> None:
        """Each address on its own line, then the problem and what to do."""
        self.reactor.names.table["example.test"] = ["192.0.2.1", "192.0.2.2"]
        self.examine_network("ws://example.test/")
        for _ in range(2):
            self.reactor.advance(0.25)
            self.reactor.refuse()
            self.reactor.advance(0.05)
        self.reactor.advance(0.3)
        self.assertEqual(
            format_report(self.report()).splitlines(),
            [
                "ws://example.test/",
                "",
                "DNS                passed          0.0 ms  example.test: 192.0.2.1, 192.0.2.2",
                "TCP                failed        600.0 ms  "
                "192.0.2.1:80 failed after 250.0 ms (connection refused)",
                " " * 42 + "192.0.2.2:80 failed after 250.0 ms (connection refused)",
                "proxy              skipped",
                "TLS                skipped",
                "opening handshake  not reached",
                "ping               not reached",
                "",
                "result:      failed in 600.0 ms",
                "",
                "problem:     TCP: 192.0.2.1:80 and 192.0.2.2:80 refused the connection: no "
                "server listens there",
                "what to do:  start the server, or correct the host and port in the URL",
            ],
        )

    def test_unknown_host(self) -> None:
        """A name that was not found."""
        self.examine_network("ws://nosuch.test/")
        self.assertIn("nosuch.test: not found", format_report(self.report()))

    def test_proxy(self) -> None:
        """The proxy, without its password."""
        self.examine(proxy="http://me:hushhush@proxy.test:3128")
        self.examination.interrupt()
        text = format_report(self.report())
        self.assertIn("proxy.test:3128", text)
        self.assertNotIn("hushhush", text)

    def test_warnings(self) -> None:
        """Warnings come before the problem, each with what to do."""
        text = format_report(self.succeed(subprotocols=["chat"]))
        warning = (
            "\nwarning:     opening handshake: the server selected none of the subprotocols that "
            "were offered\nwhat to do:  offer a subprotocol"
        )
        self.assertIn(warning, text)


class SecureTests(SecureCase):
    """Reports with TLS."""

    ca = Once(lambda: trustme.CA(organization_name="A CA"))

    def text(self, *names: str, **options: Any) -> str:
        """Return the report about a server with a certificate for these names."""
        self.examine_tls(server_options(self.ca.issue_cert(*names)), **options)
        if self.secure.app.received:
            self.accept_tls()
        return format_report(self.report())

    def test_verified(self) -> None:
        """Version, cipher and certificate."""
        text = self.text("example.test", cacerts=self.ca.cert_pem.bytes())
        for part in (
            "ms  TLSv1.3, TLS_",
            "certificate 1: ",
            "  issuer: ",
            "O=A CA",
            "  names: example.test\n",
            " days left)",
            "certificate verified",
        ):
            self.assertIn(part, text)

    def test_rejected(self) -> None:
        """The chain of a certificate that was not accepted."""
        text = self.text("example.test")
        self.assertIn("  names: example.test\n", text)
        self.assertNotIn("certificate verified", text)

    def test_not_verified(self) -> None:
        """A certificate that was not verified."""
        self.assertIn("certificate not verified", self.text("example.test", insecure=True))

    def test_many_names(self) -> None:
        """Ten names are shown."""
        text = self.text(*(f"h{number}.test" for number in range(12)))
        self.assertIn("h9.test and 2 more\n", text)

    def test_no_names(self) -> None:
        """A certificate without names."""
        self.examine_tls(server_options(without_names(self.ca)))
        self.assertNotIn("names:", format_report(self.report()))

    def test_malformed(self) -> None:
        """A malformed certificate."""
        self.text("example.test")
        session = self.examination.findings.session
        assert session is not None
        object.__setattr__(session, "chain", (b"nonsense",))
        self.assertIn("certificate 1: malformed", format_report(self.report()))
