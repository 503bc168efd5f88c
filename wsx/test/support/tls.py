"""TLS in memory, and certificates with any kind of flaw."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from zope.interface import implementer

from wsx.test.support.extras import trustme


@implementer(IHandshakeListener)
class Side(Protocol):
    """One side of a connection; it records its events.

    Args:
        greeting: Bytes to send when the TLS handshake is complete.
    """

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.received = bytearray()
        self.secured = False
        self.lost: BaseException | None = None

    def handshakeCompleted(self) -> None:
        self.secured = True
        if self.greeting:
            assert self.transport is not None
            self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason.value


def server_options(certificate: trustme.LeafCert | bytes, **options: Any) -> CertificateOptions:
    """Return a server's TLS options.

    Args:
        certificate: The server's certificate and key, as PEM if it is bytes. Further certificates
            are sent after the first one.
        options: Further arguments of ``CertificateOptions``.
    """
    if not isinstance(certificate, bytes):
        certificate = certificate.private_key_and_cert_chain_pem.bytes()
    private = PrivateCertificate.loadPEM(certificate)
    _, *chain = re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERT", certificate, re.DOTALL)
    if chain:
        pems = [block + b"IFICATE-----\n" for block in chain]
        options["extraCertChain"] = [Certificate.loadPEM(pem).original for pem in pems]
    return CertificateOptions(
        privateKey=private.privateKey.original, certificate=private.original, **options
    )


def self_signed(host: str) -> bytes:
    """Return a self-signed certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _sign(key, _name(host), key, x509.SubjectAlternativeName([x509.DNSName(host)]))


def with_root(leaf: trustme.LeafCert, ca: trustme.CA) -> bytes:
    """Return a certificate with its key, followed by its root certificate."""
    return leaf.private_key_and_cert_chain_pem.bytes() + ca.cert_pem.bytes()


def expired(ca: trustme.CA, host: str) -> trustme.LeafCert:
    """Return a certificate that was valid in the past."""
    return _issue(ca, host, timedelta(days=-20), timedelta(days=-10))


def not_yet_valid(ca: trustme.CA, host: str) -> trustme.LeafCert:
    """Return a certificate that will be valid in the future."""
    return _issue(ca, host, timedelta(days=10), timedelta(days=20))


def _issue(ca: trustme.CA, host: str, start: timedelta, stop: timedelta) -> trustme.LeafCert:
    now = datetime.now(UTC)
    return ca.issue_cert(host, not_before=now + start, not_after=now + stop)


def for_clients_only(ca: trustme.CA, host: str) -> bytes:
    """Return a certificate with its key that must not be used by a server."""
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    return _sign_by(ca, names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))


def without_names(ca: trustme.CA) -> bytes:
    """Return a certificate with its key that has no subjectAltName extension."""
    return _sign_by(ca)


def _sign_by(ca: trustme.CA, *extensions: x509.ExtensionType) -> bytes:
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
    signer = load_pem_private_key(ca.private_key_pem.bytes(), None)
    return _sign(ec.generate_private_key(ec.SECP256R1()), issuer, signer, *extensions)


def _sign(
    key: ec.EllipticCurvePrivateKey, issuer: x509.Name, signer: Any, *extensions: x509.ExtensionType
) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name("example.test"))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(signer, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def _name(host: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])


@implementer(IStreamClientEndpoint)
class SecureServer:
    """An in-memory endpoint whose server speaks TLS.

    Attributes:
        app: The server's side, above TLS.
        greeting: Bytes to send when the TLS handshake is complete.
        mute: Whether the server accepts TCP and then sends nothing.
    """

    def __init__(self, clock: Clock, options: CertificateOptions) -> None:
        self.options = options
        self.greeting = b""
        self.mute = False
        self._clock = clock

    def connect(self, factory: Any) -> Deferred[Any]:
        self.app = Side(self.greeting)
        server: Any = Protocol()
        if not self.mute:
            app = Factory.forProtocol(lambda: self.app)
            tls = TLSMemoryBIOFactory(self.options, False, app, clock=self._clock)
            server = tls.buildProtocol(None)
        client = factory.buildProtocol(None)
        address = IPv4Address("TCP", "192.0.2.1", 443)
        self.client_io = FakeTransport(client, False, peerAddress=address)
        self._server_io = FakeTransport(server, True)
        self._pump: IOPump = connect(
            server, self._server_io, client, self.client_io, greet=False, clock=self._clock
        )
        return succeed(client)

    @property
    def app_transport(self) -> Any:
        """The transport of the server's side, above TLS."""
        return self.app.transport

    def flush(self) -> None:
        """Move bytes in both directions until none are left."""
        self._pump.flush()

    def pump(self) -> bool:
        """Move the waiting bytes once, and return whether there were any."""
        return self._pump.pump()

    def take_from_server(self) -> bytes:
        """Return the bytes that the server has written, without delivering them."""
        data = b"".join(self._server_io.stream)
        self._server_io.stream.clear()
        return data

    def end_of_server(self) -> None:
        """Deliver the end of TCP to the client, without a close_notify alert."""
        self._server_io.stream.clear()
        self._server_io.disconnecting = True
        self._pump.flush()
