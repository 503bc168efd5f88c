"""Tests of wsx._cluster.refusals."""

from __future__ import annotations

import ssl

from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.refusals import explain, refused_subject, why_closed
from wsx.errors import ClusterError, ClusterSetupError


class ExplainTests(SynchronousTestCase):
    """Errors of an attempt to connect."""

    def test_transient(self) -> None:
        """Errors after which trying again can help."""
        expected = {
            "no answer in time": TimeoutError(),
            "connection refused": ConnectionRefusedError(111, "Connect call failed ('::1', 1)"),
            "No route to host": OSError(113, "No route to host"),
            "maximum connections exceeded": Exception("nats: 'maximum connections exceeded'"),
            "EOFError": EOFError(),
        }
        for reason, error in expected.items():
            found = explain(error, "h:1")
            self.assertIs(type(found), ClusterError)
            self.assertEqual(found.reason, f"cannot connect to h:1 ({reason})")

    def test_credentials(self) -> None:
        """Errors of authentication are final."""
        for text in (
            "Authorization Violation",
            "User Authentication Expired",
            "Account Authentication Expired",
            "User Authentication Revoked",
        ):
            found = explain(Exception(f"nats: '{text}'"), "h:1")
            self.assertIsInstance(found, ClusterSetupError)
            self.assertEqual(found.reason, f"h:1 refuses the credentials ({text})")

    def test_packages(self) -> None:
        """A missing package is final, and the error says what to install."""
        found = explain(ImportError("No module named 'nkeys'"), "h:1")
        self.assertIsInstance(found, ClusterSetupError)
        self.assertIn('pip install "txwsx[nats]"', found.reason)

    def test_certificate(self) -> None:
        """A certificate that is not valid is final."""
        error = ssl.SSLCertVerificationError(1, "text")
        error.verify_message = "self-signed"
        found = explain(error, "h:1")
        self.assertIsInstance(found, ClusterSetupError)
        self.assertEqual(found.reason, "h:1: the certificate is not valid (self-signed)")

    def test_explained(self) -> None:
        """An error of wsx stays as it is."""
        error = ClusterSetupError("text")
        self.assertIs(explain(error, "h:1"), error)

    def test_secrets(self) -> None:
        """Credentials in the texts of other libraries are not shown."""
        found = explain(Exception("bad nats://me:opensesame@h"), "h:1")
        self.assertNotIn("opensesame", found.reason)


class RefusedSubjectTests(SynchronousTestCase):
    """Errors for lack of a permission."""

    def test_subject(self) -> None:
        """The kind and the subject are found."""
        error = Exception('nats: permissions violation for publish to "$js.api.info"')
        self.assertEqual(refused_subject(error), ("publish", "$js.api.info"))
        error = Exception('nats: Permissions Violation for Subscription to "a.*" using queue "q"')
        self.assertEqual(refused_subject(error), ("subscription", "a.*"))

    def test_other(self) -> None:
        """Other errors have none."""
        self.assertIsNone(refused_subject(Exception("nats: 'stale connection'")))


class WhyClosedTests(SynchronousTestCase):
    """Reasons for the end of a connection."""

    def test_reason(self) -> None:
        """The last error, or else that the server closed it."""
        closed = "the server closed the connection"
        unexpected_eof = type("UnexpectedEOF", (Exception,), {})("nats: unexpected EOF")
        self.assertEqual(why_closed(None), closed)
        self.assertEqual(why_closed(unexpected_eof), closed)
        self.assertEqual(
            why_closed(OSError(104, "Connection reset by peer")), "Connection reset by peer"
        )
