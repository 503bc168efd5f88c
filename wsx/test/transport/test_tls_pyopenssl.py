"""Tests of ``wsx._transport.tls_pyopenssl``. ``test_tls`` tests both implementations of TLS."""

from __future__ import annotations

from typing import Any

import trustme
from OpenSSL.SSL import Connection, Error, ZeroReturnError
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._transport.tls_pyopenssl import tls_creator


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
