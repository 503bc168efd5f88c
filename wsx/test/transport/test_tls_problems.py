"""Tests of ``wsx._transport.tls_problems``: TLS errors. ``test_tls`` tests their explanations."""

from __future__ import annotations

import ssl
from typing import Any

from OpenSSL.SSL import Error
from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.tls_problems import certificate_problem, openssl_error
from wsx.test.support.each import each


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
