"""TLS for client connections: certificate verification, an endpoint, and error explanations."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import idna
from OpenSSL.crypto import FILETYPE_PEM, X509, load_privatekey
from OpenSSL.SSL import (
    VERIFY_FAIL_IF_NO_PEER_CERT,
    VERIFY_PEER,
    Connection,
    Error,
    ZeroReturnError,
)
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from wsx._text import expected
from wsx.conn import Conn

__all__ = ["TLSEndpoint", "explain", "tls_creator"]

_PEM_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)

_SERVER_NAME: Final = re.compile(r"[A-Za-z0-9._\-]{1,253}")  # RFC 1035 section 2.3.4

# OpenSSL's X509_V_ERR_* codes; see its manual page X509_STORE_CTX_get_error(3).
_CERTIFICATE_PROBLEMS: Final = {
    2: "the issuer of the trusted certificate is not trusted; add its root certificate to cacerts",
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: "the server's certificate is self-signed, and not among the trusted ones",
    19: "the server's certificate is signed by a root certificate that is not trusted",
    20: "the server's certificate is signed by an authority that is not trusted",
    21: "the server's certificate is signed by an authority that is not trusted",
    23: "the server's certificate is revoked",
    26: "the server's certificate is not for servers",
    66: "the key of the server's certificate is too short for OpenSSL's security level",
    67: "the key of an authority is too short for OpenSSL's security level",
    68: "a certificate has a signature that is too weak for OpenSSL's security level",
    79: "the server's certificate is signed by a certificate that is not an authority",
}
# The reason why each connection's certificate was rejected. OpenSSL's exception lacks it.
_problems: Final[WeakKeyDictionary[Connection, str]] = WeakKeyDictionary()
# Reasons that OpenSSL gives for bytes that are not TLS records.
_NOT_TLS: Final = {
    "http request",
    "https proxy request",
    "packet length too long",
    "unknown protocol",
    "wrong version number",
}


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
    hostname = options.get("server_name") or conn.parsed.host.partition("%")[0]
    hostname = hostname.removesuffix(".")  # A certificate and SNI have the name without it.
    alpn = [_as_bytes(name) for name in options.get("alpn", ())]
    extra = _client_certificate(options)
    if options.get("minimum_version") == "TLSv1.3":
        extra["raiseMinimumTo"] = TLSVersion.TLSv1_3
    if conn.insecure:
        return _Creator(CertificateOptions(**extra), hostname, alpn, verifies=False)
    root = platformTrust()
    if conn.cacerts is not None:
        root = trustRootFromCertificates(_certificates(conn.cacerts))
    return _Creator(CertificateOptions(trustRoot=root, **extra), hostname, alpn, verifies=True)


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
        hostname: A host name, which may be internationalized, or an IP address.
        alpn: The protocols to offer with ALPN.
        verifies: Whether to verify the server's certificate.
    """

    def __init__(
        self, options: CertificateOptions, hostname: str, alpn: list[bytes], *, verifies: bool
    ) -> None:
        self._context = options.getContext()
        if alpn:
            self._context.set_alpn_protos(alpn)
        self._server_name: bytes | None = None
        self._identity = _identity_of(hostname) if verifies else None
        if not (isIPAddress(hostname) or isIPv6Address(hostname)):
            # RFC 6066 section 3: an address is not a server name.
            self._server_name = _server_name(hostname)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        connection = _Connection(self._context, None)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name)
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
            unknown = f"the server's certificate is not accepted (OpenSSL verify code {code})"
            _problems[connection] = _CERTIFICATE_PROBLEMS.get(code, unknown)
            return False
        if depth == 0:
            assert self._identity is not None
            try:
                verify_service_identity(extract_patterns(certificate), [self._identity], [])
            except Exception:  # A VerificationError, or the error of a malformed certificate.
                _problems[connection] = "the server's certificate is not for this host"
                return False
        return True


def _identity_of(hostname: str) -> DNS_ID | IPAddress_ID:
    """Return what the server's certificate must be valid for."""
    if isIPAddress(hostname) or isIPv6Address(hostname):
        return IPAddress_ID(hostname)
    try:
        return DNS_ID(_to_ascii(hostname))
    except ValueError:
        raise ValueError(_wrong_name(hostname)) from None


def _server_name(hostname: str) -> bytes:
    """Return the server name for SNI. OpenSSL would raise later for some malformed names."""
    name = _to_ascii(hostname)
    if not _SERVER_NAME.fullmatch(name):
        raise ValueError(_wrong_name(hostname))
    return name.encode("ascii")


def _wrong_name(hostname: str) -> str:
    return expected("server_name", "a host name or an IP address", hostname)


def _to_ascii(hostname: str) -> str:
    if hostname.isascii():
        return hostname
    try:
        return idna.encode(hostname, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(_wrong_name(hostname)) from None


def explain(error: BaseException, transport: Any) -> str | None:
    """Return a sentence that explains a TLS error to the user, or None if the cause is unknown.

    Args:
        error: The exception with which the connection ended.
        transport: The transport of the connection, with or without TLS.
    """
    if not isinstance(error, Error) or not ISSLTransport.providedBy(transport):
        return None
    problem = _problems.get(transport.getHandle())  # type: ignore[attr-defined]
    if problem is not None:
        return problem
    reasons = {str(part[-1]) for part in (error.args[0] if error.args else ())}
    if reasons & _NOT_TLS:
        return "the server does not speak TLS on this port; did you mean ws://?"
    if any("unrecognized name" in reason for reason in reasons):
        return "the server does not know the server name in the TLS handshake (SNI)"
    alert = next((reason for reason in sorted(reasons) if "alert" in reason), None)
    if alert is None:
        return None
    hint = "; set certificate in ssl_options" if "certificate required" in alert else ""
    return f"the server ended the TLS handshake with an alert: {alert}{hint}"


def _client_certificate(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the client certificate, key and chain as arguments for ``CertificateOptions``."""
    if "certificate" not in options:
        return {}
    pem = _read_pem(options["certificate"])
    key = _read_pem(options.get("private_key", pem))
    first, *chain = _split_pem(pem)
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


def _certificates(cacerts: Any) -> list[Certificate]:
    sources = [cacerts] if isinstance(cacerts, (bytes, str, os.PathLike)) else list(cacerts)
    blocks = [block for source in sources for block in _split_pem(_read_pem(source))]
    try:
        return [Certificate.loadPEM(block) for block in blocks]
    except Exception as error:
        raise ValueError(f"a CA certificate cannot be read: {error}") from None


def _split_pem(pem: bytes) -> list[bytes]:
    blocks = _PEM_CERTIFICATE.findall(pem)
    if not blocks:
        raise ValueError("no PEM certificate found")
    return blocks


def _read_pem(source: Any) -> bytes:
    if isinstance(source, bytes):
        return source
    with open(source, "rb") as file:
        return file.read()


def _as_bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode("ascii")


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """An endpoint that adds TLS to another endpoint, like Twisted's ``wrapClientTLS``.

    ``wrapClientTLS`` uses the global reactor to buffer writes; older versions of Twisted do not
    have its ``clock`` argument.

    Args:
        endpoint: The endpoint for the server.
        creator: Creates the TLS connections.
        clock: The reactor for the time.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        creator: IOpenSSLClientConnectionCreator,
        clock: IReactorTime,
    ) -> None:
        self._endpoint = endpoint
        self._creator = creator
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the server.

        Args:
            protocolFactory: The factory of the protocol above TLS.

        Returns:
            A Deferred that fires with the protocol above TLS, before the TLS handshake.
        """
        factory = TLSMemoryBIOFactory(self._creator, True, protocolFactory, self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda tls: tls.wrappedProtocol)
