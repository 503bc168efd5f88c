"""Tests of ``wsx._transport.tls_problems``: TLS errors. ``test_tls`` tests their explanations."""

from __future__ import annotations

import ssl
from typing import Any

from cryptography.x509 import load_pem_x509_certificate
from OpenSSL.SSL import Error
from service_identity.hazmat import DNS_ID, IPAddress_ID
from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.tls_problems import (
    WRONG_HOST,
    certificate_problem,
    is_wrong_host,
    openssl_error,
    wrong_host_problem,
)
from wsx.test.support.each import each
from wsx.test.support.extras import Once, trustme


class OpenSSLErrorTests(SynchronousTestCase):
    """The exceptions of the standard library become those of pyOpenSSL."""

    @each(
        {
            "reason": (
                ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
                "wrong version number",
            ),
            "unknown to Python": (
                ssl.SSLError(1, "[SSL] tlsv13 alert certificate required (_ssl.c:2570)"),
                "tlsv13 alert certificate required",
            ),
            "certificate": (
                ssl.SSLCertVerificationError(
                    1, "[SSL: X] certificate verify failed: no (_ssl.c:1)"
                ),
                "certificate verify failed",
            ),
        }.items()
    )
    def test_reason(self, name: str, case: tuple[ssl.SSLError, str]) -> None:
        """The reason is OpenSSL's own text."""
        error, reason = case
        found: Any = openssl_error(error)
        self.assertIsInstance(found, Error)
        self.assertEqual(found.args, ([("SSL routines", "", reason)],))


class CertificateProblemTests(SynchronousTestCase):
    """Verify codes have sentences."""

    def test_codes(self) -> None:
        """A code without a sentence of its own is named."""
        self.assertEqual(certificate_problem(10), "the server's certificate has expired")
        unknown = "the server's certificate is not accepted (OpenSSL verify code 99)"
        self.assertEqual(certificate_problem(99), unknown)


class WrongHostTests(SynchronousTestCase):
    """What is shown of a certificate for another host."""

    ca = Once(lambda: trustme.CA())

    def problem(self, *names: str, host: Any = None) -> str:
        """Return the sentence about a certificate with these names."""
        pem = self.ca.issue_cert(*names).cert_chain_pems[0].bytes()
        problem = wrong_host_problem(load_pem_x509_certificate(pem), host or DNS_ID("x.test"))
        self.assertTrue(is_wrong_host(problem))
        return problem

    def test_names(self) -> None:
        """The names of the certificate and the host are shown, with the first three names."""
        start = "the server's certificate is valid for"
        self.assertEqual(self.problem("a.test"), f'{start} "a.test", not for "x.test"')
        four = self.problem("a.test", "b.test", "c.test", "d.test", host=IPAddress_ID("::1"))
        self.assertEqual(four, f'{start} "a.test", "b.test", "c.test" and 1 more, not for "::1"')

    def test_length(self) -> None:
        """A server cannot make the sentence long."""
        name = ".".join(["a" * 60] * 4)
        self.assertLessEqual(len(self.problem(*(f"{n}.{name}" for n in range(3)))), 300)

    def test_malformed(self) -> None:
        """A certificate that cannot be read has the general sentence."""
        malformed: Any = object()
        for certificate in (None, malformed):
            problem = wrong_host_problem(certificate, DNS_ID("x.test"))
            self.assertEqual(problem, WRONG_HOST)
            self.assertTrue(is_wrong_host(problem))
        self.assertFalse(is_wrong_host(certificate_problem(10)))
