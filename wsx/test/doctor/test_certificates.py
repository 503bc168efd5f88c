"""Tests of wsx._doctor.certificates: what a certificate says."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

from wsx._doctor.certificates import CertificateFacts, read_certificate
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import expired, self_signed, without_names


def read(pem: bytes) -> CertificateFacts:
    """Return the facts about the first certificate of a PEM text."""
    start = pem.index(b"-----BEGIN CERTIFICATE")
    end = pem.index(b"-----END CERTIFICATE-----") + len(b"-----END CERTIFICATE-----\n")
    facts = read_certificate(ssl.PEM_cert_to_DER_cert(pem[start:end].decode()))
    assert facts is not None
    return facts


class ReadTests(SynchronousTestCase):
    """Reading a certificate."""

    ca = Once(lambda: trustme.CA(organization_name="A CA"))

    def leaf(self, *names: str) -> CertificateFacts:
        """Return the facts about a new certificate of the CA."""
        return read(self.ca.issue_cert(*names, common_name=names[0]).cert_chain_pems[0].bytes())

    def test_names(self) -> None:
        """Subject, issuer, DNS names and IP addresses."""
        facts = self.leaf("example.test", "*.example.test", "192.0.2.1", "2001:db8::1")
        self.assertIn("CN=example.test", facts.subject)
        self.assertIn("O=A CA", facts.issuer)
        names = ("example.test", "*.example.test", "192.0.2.1", "2001:db8::1")
        self.assertEqual(facts.names, names)

    def test_no_names(self) -> None:
        """A certificate without a subjectAltName extension has no names."""
        self.assertEqual(read(without_names(self.ca)).names, ())

    def test_many_names(self) -> None:
        """At most 100 names are kept."""
        self.assertEqual(len(self.leaf(*(f"h{n}.test" for n in range(150))).names), 100)

    def test_validity(self) -> None:
        """The days until the end, in whole days, also after it."""
        later = datetime.now(UTC) + timedelta(days=12, hours=1)
        leaf = self.ca.issue_cert("example.test", not_after=later).cert_chain_pems[0]
        self.assertEqual(read(leaf.bytes()).days_left, 12)
        self.assertEqual(read(expired(self.ca, "x.test").cert_chain_pems[0].bytes()).days_left, -11)

    def test_fingerprint(self) -> None:
        """The fingerprint is SHA-256 in hexadecimal."""
        self.assertEqual(len(bytes.fromhex(self.leaf("example.test").sha256)), 32)

    def test_self_signed(self) -> None:
        """Subject and issuer of a self-signed certificate are the same."""
        facts = read(self_signed("example.test"))
        self.assertEqual(facts.subject, facts.issuer)
        self.assertNotEqual(self.leaf("example.test").subject, self.leaf("example.test").issuer)

    def test_malformed(self) -> None:
        """Bytes that are not a certificate have no facts."""
        self.assertIsNone(read_certificate(b"nonsense"))
