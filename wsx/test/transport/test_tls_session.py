"""Tests of wsx._transport.tls_session: what a session has negotiated, with both libraries."""

from __future__ import annotations

import ssl
from typing import Any

from OpenSSL.SSL import WantReadError
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._transport.tls_pyopenssl import tls_creator
from wsx._transport.tls_session import TLSSession, inspect_session
from wsx._transport.tls_stdlib import settings_for
from wsx.test.support.extras import missing, trustme

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

skip = missing("trustme")
if not skip:
    ROOT = trustme.CA()
    LEAF = trustme.CA(parent_cert=ROOT).issue_cert("example.test")
    TRUSTED = {"cacerts": ROOT.cert_pem.bytes()}
    CHAIN = tuple(ssl.PEM_cert_to_DER_cert(pem.bytes().decode()) for pem in LEAF.cert_chain_pems)


def make_server(version: ssl.TLSVersion) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Return a server's session with its two buffers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    LEAF.configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing, server_side=True), incoming, outgoing


class StdlibTests(SynchronousTestCase):
    """Sessions of the standard library."""

    def shake_hands(self, conn: Conn, version: ssl.TLSVersion) -> Any:
        """Return a session after its handshake, complete or failed."""
        settings = settings_for(conn)
        assert settings is not None
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = settings.session(incoming, outgoing)
        server, to_server, from_server = make_server(version)
        for _ in range(5):
            try:
                if settings.shake_hands(session):
                    break
            except Exception:  # The certificate is not accepted.
                break
            to_server.write(outgoing.read())
            _continue(server)
            incoming.write(from_server.read())
        return session

    def unused(self) -> Any:
        """Return a session before its handshake."""
        settings = settings_for(Conn("wss://example.test/"))
        assert settings is not None
        return settings.session(ssl.MemoryBIO(), ssl.MemoryBIO())

    def inspect(self, host: str, version: ssl.TLSVersion, **options: Any) -> TLSSession:
        """Return what a session with a server has negotiated."""
        conn = Conn(f"wss://{host}/", ssl_options={"alpn": ["http/1.1"]}, **options)
        found = inspect_session(self.shake_hands(conn, version))
        assert found is not None
        return found

    def test_complete(self) -> None:
        """Version, cipher, ALPN and chain of a complete handshake."""
        for version in VERSIONS:
            found = self.inspect("example.test", version, **TRUSTED)
            self.assertEqual(found.version, version.name.replace("_", ".", 1))
            self.assertIn("AES", str(found.cipher))
            self.assertEqual(found.alpn, "http/1.1")
            self.assertEqual(len(found.chain), 2)
            self.assertEqual(found.chain, CHAIN)

    def test_chain_of_a_rejected_certificate(self) -> None:
        """The chain is known although the certificate was not accepted."""
        for version in VERSIONS:
            for host, options in (("example.test", {}), ("other.test", TRUSTED)):
                found = self.inspect(host, version, **options)
                self.assertEqual(found.chain, CHAIN)
        self.assertEqual(found.version, "TLSv1.3")

    def test_before_the_handshake(self) -> None:
        """Nothing is known before the handshake."""
        self.assertEqual(inspect_session(self.unused()), TLSSession(None, None, None, ()))


class PyOpenSSLTests(StdlibTests):
    """Sessions of pyOpenSSL."""

    def shake_hands(self, conn: Conn, version: ssl.TLSVersion) -> Any:
        session: Any = _creator(conn).clientConnectionForTLS(None)
        session.set_connect_state()
        server, to_server, from_server = make_server(version)
        for _ in range(5):
            try:
                session.do_handshake()
                break
            except WantReadError:
                to_server.write(session.bio_read(65536))
            except Exception:  # The certificate is not accepted.
                break
            _continue(server)
            session.bio_write(from_server.read())
        return session

    def unused(self) -> Any:
        return _creator(Conn("wss://example.test/")).clientConnectionForTLS(None)


class OtherTests(SynchronousTestCase):
    """Objects that are not sessions."""

    def test_no_session(self) -> None:
        """A transport without TLS has no session."""
        self.assertIsNone(inspect_session(None))
        self.assertIsNone(inspect_session(object()))


def _creator(conn: Conn) -> Any:
    return tls_creator(conn)


def _continue(server: ssl.SSLObject) -> None:
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        return
