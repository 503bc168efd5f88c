"""Tests of ``wsx._transport.tls_stdlib``: contexts that connections share.

``test_tls`` tests what the contexts accept.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._transport import tls_stdlib
from wsx._transport.tls_stdlib import settings_for
from wsx.test.support.extras import Once, trustme


class Pem:
    """Texts in PEM form: two authorities, and a certificate with its key."""

    _ca = Once(lambda: trustme.CA())
    ca = Once(lambda: Pem._ca.cert_pem.bytes())
    other_ca = Once(lambda: trustme.CA().cert_pem.bytes())
    both = Once(
        lambda: Pem._ca.issue_cert("me@example.test").private_key_and_cert_chain_pem.bytes()
    )


class ContextTests(SynchronousTestCase):
    """Connections with the same options and the same files share a context."""

    def setUp(self) -> None:
        tls_stdlib._contexts.clear()
        self.addCleanup(tls_stdlib._contexts.clear)

    def context(self, url: str = "wss://example.test", **options: Any) -> ssl.SSLContext:
        """Return the context for a Conn."""
        settings = settings_for(Conn(url, **options))
        assert settings is not None
        return settings._context

    def test_shared(self) -> None:
        """The host and other options of the Conn make no difference."""
        pem = Pem.ca
        one = self.context(cacerts=pem)
        two = self.context("wss://other.test/path", cacerts=bytes(bytearray(pem)), ping_timeout=3.0)
        self.assertIs(one, two)

    def test_not_shared(self) -> None:
        """Each option that concerns the context makes a difference."""
        variants: list[dict[str, Any]] = [
            {},
            {"insecure": True},
            {"cacerts": Pem.ca},
            {"cacerts": [Pem.ca, Pem.other_ca]},
            {"ssl_options": {"minimum_version": "TLSv1.3"}},
            {"ssl_options": {"alpn": ["http/1.1"]}},
            {"ssl_options": {"certificate": Pem.both}},
        ]
        contexts = {id(self.context(**variant)) for variant in variants}
        self.assertEqual(len(contexts), len(variants))

    def test_changed_file(self) -> None:
        """A file that was replaced is read again, for example after a certificate was renewed."""
        path = Path(self.mktemp())
        path.write_bytes(Pem.ca)
        before = self.context(cacerts=path)
        self.assertIs(self.context(cacerts=path), before)
        os.utime(path, ns=(1, 1))
        self.assertIsNot(self.context(cacerts=path), before)

    def test_changed_folder(self) -> None:
        """The folder of the platform's certificates is read again after a change of it."""
        folder = self.mktemp()
        os.mkdir(folder)
        paths = SimpleNamespace(cafile=None, capath=folder)
        self.patch(ssl, "get_default_verify_paths", lambda: paths)
        before = self.context()
        self.assertIs(self.context(), before)
        os.utime(folder, ns=(1, 1))
        self.assertIsNot(self.context(), before)

    def test_name_with_a_client_certificate(self) -> None:
        """OpenSSL checks the name within the handshake before a certificate is presented."""
        self.assertTrue(self.context(ssl_options={"certificate": Pem.both}).check_hostname)
        insecure = self.context(ssl_options={"certificate": Pem.both}, insecure=True)
        self.assertFalse(insecure.check_hostname)
        self.assertFalse(self.context().check_hostname)

    def test_number(self) -> None:
        """The contexts that were used last are kept, 16 at most."""
        first = self.context(ssl_options={"alpn": ["0"]})
        for number in range(1, 17):
            self.context(ssl_options={"alpn": [str(number)]})
        self.assertEqual(len(tls_stdlib._contexts), 16)
        self.assertIsNot(self.context(ssl_options={"alpn": ["0"]}), first)
        last = self.context(ssl_options={"alpn": ["16"]})
        self.assertIs(self.context(ssl_options={"alpn": ["16"]}), last)

    def test_no_secrets(self) -> None:
        """The private key is not kept outside of the context."""
        self.context(ssl_options={"certificate": Pem.both})
        self.assertNotIn("PRIVATE KEY", repr(list(tls_stdlib._contexts)))

    def test_renegotiation(self) -> None:
        """The server cannot renegotiate, and nothing is compressed."""
        options = self.context().options
        for option in (ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION):
            self.assertTrue(options & option)

    def test_failed_context(self) -> None:
        """Options that cannot be used leave no context behind."""
        with self.assertRaises(ValueError):
            self.context(ssl_options={"alpn": ["\u1234"]})
        self.assertEqual(len(tls_stdlib._contexts), 0)


class UsableTests(SynchronousTestCase):
    """What only pyOpenSSL can provide."""

    def test_creator(self) -> None:
        """An ``IOpenSSLClientConnectionCreator`` needs pyOpenSSL."""
        creator = SimpleNamespace(clientConnectionForTLS=None)
        self.assertIsNone(settings_for(Conn("wss://example.test", ssl_options=creator)))

    def test_no_platform_trust(self) -> None:
        """Without certificates of the platform where OpenSSL expects them, pyOpenSSL is used."""
        nothing = SimpleNamespace(cafile=None, capath=None)
        self.patch(ssl, "get_default_verify_paths", lambda: nothing)
        self.assertIsNone(settings_for(Conn("wss://example.test")))
        self.assertIsNotNone(settings_for(Conn("wss://example.test", insecure=True)))
        given = Conn("wss://example.test", cacerts=Pem.ca)
        self.assertIsNotNone(settings_for(given))

    def test_alpn(self) -> None:
        """ALPN names that are not ASCII need pyOpenSSL."""
        for name, usable in ((b"h2", True), (b"\xff\x01", False)):
            conn = Conn("wss://x.test", insecure=True, ssl_options={"alpn": [name]})
            self.assertEqual(settings_for(conn) is not None, usable)

    def test_no_files_in_memory(self) -> None:
        """Where the system has no files in memory, a certificate as bytes needs pyOpenSSL."""
        self.patch(tls_stdlib, "os", SimpleNamespace(stat=os.stat, fspath=os.fspath))
        as_bytes = Conn("wss://x.test", insecure=True, ssl_options={"certificate": Pem.both})
        self.assertIsNone(settings_for(as_bytes))
        path = Path(self.mktemp())
        path.write_bytes(Pem.both)
        as_path = Conn("wss://x.test", insecure=True, ssl_options={"certificate": path})
        self.assertIsNotNone(settings_for(as_path))
