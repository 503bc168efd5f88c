"""Tests of ``wsx._transport.tls_pyopenssl``. ``test_tls`` tests both implementations of TLS."""

from __future__ import annotations

from typing import Any

from OpenSSL.SSL import Connection, Error, ZeroReturnError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from wsx import Conn, ConnError
from wsx._transport.attempt import Attempt
from wsx._transport.tls_pyopenssl import tls_creator
from wsx.test.support.connections import Log
from wsx.test.support.extras import trustme
from wsx.test.support.tls import SecureServer, server_options


class CreatorTests(SynchronousTestCase):
    """The object that creates TLS connections."""

    def test_given(self) -> None:
        """[S18] An ``IOpenSSLClientConnectionCreator`` is used unchanged."""
        root = trustRootFromCertificates([Certificate.loadPEM(trustme.CA().cert_pem.bytes())])
        creator = optionsForClientTLS("example.test", trustRoot=root)
        self.assertIs(tls_creator(Conn("wss://anything.test", ssl_options=creator)), creator)

    def test_closed_within_the_handshake(self) -> None:
        """A close_notify alert within the handshake is an error with arguments, for Twisted."""

        def fail(_: Any) -> None:
            raise ZeroReturnError

        self.patch(Connection, "do_handshake", fail)
        tls_protocol: Any = None
        creator = tls_creator(Conn("wss://example.test", insecure=True))
        connection = creator.clientConnectionForTLS(tls_protocol)
        self.assertTrue(self.assertRaises(Error, connection.do_handshake).args)

    def test_raises(self) -> None:
        """If the creator raises, the attempt fails with its exception at once."""

        @implementer(IOpenSSLClientConnectionCreator)
        class Broken:
            def clientConnectionForTLS(self, _: Any) -> Connection:
                raise LookupError("broken")

        clock, log = Clock(), Log()
        secure = SecureServer(clock, server_options(trustme.CA().issue_cert("example.test")))
        conn = Conn("wss://example.test", endpoint=secure, ssl_options=Broken())
        Attempt(conn, clock, log).start()
        error = log.only("failed")
        self.assertIsInstance(error, ConnError)
        self.assertIsInstance(error.original, LookupError)
        secure.flush()
        clock.advance(60.0)
        self.assertEqual(len(log.names), 1)
        self.assertEqual(self.flushLoggedErrors(), [])
