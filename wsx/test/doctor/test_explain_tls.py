"""Tests of wsx._doctor.explain_tls: TLS, with both libraries."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.ssl import Certificate, TLSVersion, trustRootFromCertificates

from wsx._transport import tls
from wsx.test.support.doctor import SecureCase
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import (
    expired,
    for_clients_only,
    not_yet_valid,
    self_signed,
    server_options,
    with_root,
    without_names,
)

HOST = "example.test"


class StdlibTests(SecureCase):
    """TLS with the standard library."""

    uses_stdlib = True
    ca = Once(lambda: trustme.CA(organization_name="A CA"))

    def setUp(self) -> None:
        super().setUp()
        self.patch(tls, "uses_stdlib", self.uses_stdlib)
        self.pem = self.ca.cert_pem.bytes()

    def test_plain_server(self) -> None:
        """The server speaks HTTP."""
        self.examine("wss://example.test/")
        self.peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.step()
        self.assert_problem("tls", "not_tls", "does not speak TLS", "use ws:// in place of wss://")

    def test_server_that_closes(self) -> None:
        """The server closes TCP when it receives TLS."""
        self.examine("wss://example.test/")
        self.peer.drop(ConnectionDone())
        self.assert_problem("tls", "not_tls", "closed the connection during the TLS handshake")

    def test_silent_server(self) -> None:
        """The server does not answer."""
        self.examine("wss://example.test/", socket_connect_timeout=2.0)
        self.reactor.advance(2)
        self.step()
        self.assert_problem("tls", "tls_timeout", "within 2 s", "--connect-timeout")

    def test_wrong_host(self) -> None:
        """The certificate is for other names."""
        leaf = self.ca.issue_cert("other.test", "192.0.2.1")
        self.examine_tls(server_options(leaf), cacerts=self.pem)
        self.assert_problem(
            "tls",
            "certificate_wrong_host",
            'valid for "other.test", "192.0.2.1", not for "example.test"',
            "use a host name",
        )

    def test_wrong_server_name(self) -> None:
        """The name of ``ssl_options`` is the one that is expected."""
        options = server_options(self.ca.issue_cert(HOST))
        self.examine_tls(options, cacerts=self.pem, ssl_options={"server_name": "third.test"})
        self.assert_problem("tls", "certificate_wrong_host", 'not for "third.test"')

    def test_no_names(self) -> None:
        """The certificate has no names."""
        self.examine_tls(server_options(without_names(self.ca)), cacerts=self.pem)
        self.assert_problem("tls", "certificate_wrong_host", "valid for no name")

    def test_self_signed(self) -> None:
        """The certificate is self-signed."""
        self.examine_tls(server_options(self_signed(HOST)), cacerts=self.pem)
        self.assert_problem("tls", "certificate_self_signed", "self-signed", "--cacerts")

    def test_expired(self) -> None:
        """The certificate has expired."""
        leaf = expired(self.ca, HOST)
        self.examine_tls(server_options(leaf), cacerts=self.pem)
        self.assert_problem("tls", "certificate_expired", "expired on 20", "days ago", "renew")

    def test_not_yet_valid(self) -> None:
        """The certificate is valid later."""
        self.examine_tls(server_options(not_yet_valid(self.ca, HOST)), cacerts=self.pem)
        self.assert_problem("tls", "certificate_not_yet_valid", "not valid before 20", "clock")

    def test_unknown_ca(self) -> None:
        """The authority is not trusted."""
        options = server_options(self.ca.issue_cert(HOST))
        self.examine_tls(options, cacerts=trustme.CA().cert_pem.bytes())
        self.assert_problem(
            "tls", "certificate_unknown_ca", "O=A CA", "--cacerts", "intermediate certificates"
        )

    def test_unknown_root(self) -> None:
        """The server sends a root that is not trusted; its chain is complete."""
        options = server_options(with_root(self.ca.issue_cert(HOST), self.ca))
        self.examine_tls(options, cacerts=trustme.CA().cert_pem.bytes())
        self.assert_problem("tls", "certificate_unknown_ca", "not trusted", "--cacerts")
        self.assertNotIn("intermediate", self.problem()[3])
        self.assertEqual(len(self.report()["phases"][3]["certificates"]), 2)

    def test_other_purpose(self) -> None:
        """The certificate is for clients."""
        self.examine_tls(server_options(for_clients_only(self.ca, HOST)), cacerts=self.pem)
        self.assert_problem("tls", "certificate_rejected", "not for servers", "replace")

    def client_certificate(self, **options: Any) -> None:
        """Examine a server that requires a client certificate."""
        trusted = trustRootFromCertificates([Certificate.loadPEM(self.pem)])
        leaf = self.ca.issue_cert(HOST)
        self.examine_tls(server_options(leaf, trustRoot=trusted), cacerts=self.pem, **options)

    def test_client_certificate_required(self) -> None:
        """With TLS 1.3, the server rejects the client after its own handshake."""
        self.client_certificate()
        self.assert_problem(
            "tls", "client_certificate_rejected", "certificate required", "--certificate"
        )
        self.assertEqual(
            self.statuses(), ["skipped", "passed", "skipped", "failed", *["not_reached"] * 2]
        )

    def test_client_certificate_of_another_ca(self) -> None:
        """The server does not trust the client certificate."""
        own = trustme.CA().issue_cert("me").private_key_and_cert_chain_pem.bytes()
        self.client_certificate(ssl_options={"certificate": own})
        self.assert_problem(
            "tls",
            "client_certificate_rejected",
            "alert",
            "does not accept the one in --certificate",
        )

    def test_unknown_server_name(self) -> None:
        """The server does not know the name (the alert unrecognized_name)."""
        self.examine("wss://example.test/")
        self.peer.send(b"\x15\x03\x03\x00\x02\x02\x70")
        self.step()
        self.assert_problem("tls", "unknown_server_name", "does not know the server name")

    def test_other_alert(self) -> None:
        """Any other alert is shown (internal_error)."""
        self.examine("wss://example.test/")
        self.peer.send(b"\x15\x03\x03\x00\x02\x02\x50")
        self.step()
        self.assert_problem("tls", "tls_failed", "internal error", "the log of the server")

    def test_old_version(self) -> None:
        """The server supports no common version of TLS."""
        options = server_options(
            self.ca.issue_cert(HOST), lowerMaximumSecurityTo=TLSVersion.TLSv1_2
        )
        needs = {"minimum_version": "TLSv1.3"}
        self.examine_tls(options, cacerts=self.pem, ssl_options=needs)
        self.assert_problem("tls", "tls_version", "protocol version", "TLS 1.2")


class PyOpenSSLTests(StdlibTests):
    """TLS with pyOpenSSL."""

    uses_stdlib = False
