"""TLS with pyOpenSSL, for the protocol of Twisted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from OpenSSL.crypto import FILETYPE_PEM, X509, load_privatekey
from OpenSSL.SSL import (
    VERIFY_FAIL_IF_NO_PEER_CERT,
    VERIFY_PEER,
    Connection,
    Error,
    ZeroReturnError,
)
from service_identity.hazmat import verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._transport.pem import certificate_blocks, read_pem, split_pem
from wsx._transport.tls_names import ServerName, server_name_of
from wsx._transport.tls_problems import certificate_problem, record_problem, wrong_host_problem
from wsx.conn import Conn

__all__ = ["TwistedTLS", "tls_creator"]


def tls_creator(conn: Conn) -> IOpenSSLClientConnectionCreator:
    """Return the object that creates the TLS connections of a Conn.

    TLS connections verify the server's certificate unless ``conn.insecure`` is set.

    Args:
        conn: The Conn, for ``cacerts``, ``ssl_options``, ``insecure`` and the host.

    Raises:
        OSError: A PEM file cannot be read.
        ValueError: A PEM text or the server name is malformed.
    """
    options = conn.ssl_options or {}
    if not isinstance(options, Mapping):
        return options  # type: ignore[no-any-return]
    name = server_name_of(conn, options)
    alpn = [_as_bytes(protocol) for protocol in options.get("alpn", ())]
    extra = _client_certificate(options)
    if options.get("minimum_version") == "TLSv1.3":
        extra["raiseMinimumTo"] = TLSVersion.TLSv1_3
    if not conn.insecure:
        extra["trustRoot"] = platformTrust() if conn.cacerts is None else _trusted(conn.cacerts)
    return _Creator(CertificateOptions(**extra), name, alpn)


class TwistedTLS(TLSMemoryBIOProtocol):
    """Twisted's TLS protocol, which does not fail if the user's creator raises.

    Attributes:
        creator_failure: What the creator has raised, or None. TCP is aborted then, and the protocol
            above is never connected.
    """

    creator_failure: Failure | None = None

    def makeConnection(self, transport: Any) -> None:
        try:
            super().makeConnection(transport)  # type: ignore[no-untyped-call]
        except Exception:
            if "_tlsConnection" in vars(self):
                raise  # The creator has returned.
            self.creator_failure = Failure()
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.creator_failure is None:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Connection(Connection):
    """A TLS connection that a close_notify alert may end within its handshake.

    Twisted fails with an IndexError if ``do_handshake`` raises ZeroReturnError, which has no
    arguments.
    """

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ZeroReturnError:
            raise Error([("SSL routines", "", "unexpected eof while reading")]) from None


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """Create TLS connections that send the server name and verify the server's certificate.

    This class replaces Twisted's ``optionsForClientTLS``, with two differences. A certificate
    without names is rejected, while Twisted 26.4 and later log an error and accept it. The reason
    why a certificate is rejected is recorded, because OpenSSL's exception does not contain it.

    Args:
        options: The certificate options, for the OpenSSL context.
        name: The name of the server.
        alpn: The protocols to offer with ALPN.
    """

    def __init__(self, options: CertificateOptions, name: ServerName, alpn: list[bytes]) -> None:
        self._context = options.getContext()
        if alpn:
            self._context.set_alpn_protos(alpn)
        self._sent = None if name.sent is None else name.sent.encode("ascii")
        self._identity = name.identity

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        connection = _Connection(self._context, None)
        if self._sent is not None:
            connection.set_tlsext_host_name(self._sent)
        if self._identity is not None:
            connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(
        self, connection: Connection, certificate: X509, code: int, depth: int, ok: int
    ) -> bool:
        """Return whether a certificate of the server's chain is accepted.

        ``ok`` is the result of OpenSSL's own checks of the chain. The server's certificate is at
        depth 0; its names must match the host.
        """
        if not ok:
            record_problem(connection, certificate_problem(code))
            return False
        if depth == 0:
            assert self._identity is not None
            try:
                verify_service_identity(extract_patterns(certificate), [self._identity], [])
            except Exception:  # A VerificationError, or the error of a malformed certificate.
                problem = wrong_host_problem(_parsed(certificate), self._identity)
                record_problem(connection, problem)
                return False
        return True


def _parsed(certificate: X509) -> x509.Certificate | None:
    """Return a certificate as an object of cryptography, or None if it is malformed."""
    try:
        return certificate.to_cryptography()
    except Exception:  # A server may send anything, and parsers raise any class.
        return None


def _client_certificate(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the client certificate, key and chain as arguments for ``CertificateOptions``."""
    if "certificate" not in options:
        return {}
    pem = read_pem(options["certificate"])
    key = read_pem(options.get("private_key", pem))
    first, *chain = split_pem(pem)
    try:
        private = PrivateCertificate.fromCertificateAndKeyPair(
            Certificate.loadPEM(first), KeyPair(load_privatekey(FILETYPE_PEM, key, b""))
        )
    except Exception as error:
        raise ValueError(f"the certificate and its key cannot be used: {error}") from None
    chosen = {"privateKey": private.privateKey.original, "certificate": private.original}
    if chain:
        chosen["extraCertChain"] = [Certificate.loadPEM(block).original for block in chain]
    return chosen


def _trusted(cacerts: Any) -> Any:
    """Return the certificates of ``cacerts`` as a trust root."""
    blocks = certificate_blocks(cacerts)
    try:
        return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])
    except Exception as error:
        raise ValueError(f"a CA certificate cannot be read: {error}") from None


def _as_bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode("ascii")
