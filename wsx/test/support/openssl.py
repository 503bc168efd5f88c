"""``openssl s_server`` in a process, certificates of any kind, and a relay that disturbs TLS."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.python.failure import Failure

from wsx._wire.handshake import accept_value
from wsx.test.support.sockets import HOST, global_reactor

OPENSSL = shutil.which("openssl")
_PORT = re.compile(rb"ACCEPT \S*:(\d+)")
_REQUEST = re.compile(rb"GET /.*?\r\n\r\n", re.DOTALL)
_KEY = re.compile(rb"sec-websocket-key: (\S+)", re.IGNORECASE)


class Identity:
    """A certificate with its key, and the certificates of its issuers.

    Args:
        names: The subjectAltName: host names and IP addresses. None for no such extension.
        issuer: The issuer. None for a self-signed certificate.
        start: The beginning of the validity, in days from now.
        stop: The end of the validity, in days from now.
        is_ca: Whether the certificate may issue others.
        key: The private key; a new one on the curve P-256 by default.
        common_name: The common name of the subject.

    Attributes:
        pem: The certificate.
    """

    def __init__(
        self,
        names: Iterable[str] | None = None,
        issuer: Identity | None = None,
        *,
        start: float = -1.0,
        stop: float = 1.0,
        is_ca: bool = False,
        key: Any = None,
        common_name: str = "wsx test",
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        self.issuer = issuer or self
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=start))
            .not_valid_after(now + timedelta(days=stop))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names is not None:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        self.pem = builder.sign(self.issuer.key, SHA256()).public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def sign_with_sha1(identity: Identity, name: str, folder: str) -> bytes:
    """Return a certificate for the identity's key, signed by its issuer with SHA-1.

    The package cryptography does not sign with SHA-1 any more; the program openssl does.

    Args:
        identity: The identity.
        name: The host name for the certificate.
        folder: A folder for files.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(identity.subject)
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    request = builder.add_extension(names, critical=False).sign(identity.key, SHA256())
    issuer = identity.issuer
    files = {"in": request.public_bytes(Encoding.PEM), "CA": issuer.pem, "CAkey": issuer.key_pem}
    assert OPENSSL is not None
    command = [OPENSSL, "x509", "-req", "-sha1", "-copy_extensions", "copyall", "-set_serial", "1"]
    for option, content in files.items():
        path = Path(folder, f"sha1_{option}.pem")
        path.write_bytes(content)
        command += [f"-{option}", str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class OpenSSLServer(ProcessProtocol):
    """A process of ``openssl s_server``. Its input is sent to the client.

    The first HTTP request is answered with a response that opens the connection.

    Attributes:
        port: The port.
        output: What the process has written: its messages, and what it received.
        ended: Fires when the process has ended.
    """

    port = 0
    transport: Any

    def __init__(self) -> None:
        self.output = bytearray()
        self.listening: Deferred[OpenSSLServer] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._answered = False

    def outReceived(self, data: bytes) -> None:
        self.output += data
        match = _PORT.search(self.output)
        if match and not self.listening.called:
            self.port = int(match[1])
            self.listening.callback(self)
        request = _REQUEST.search(self.output)
        if request and not self._answered:
            self._answered = True
            self._answer(request[0])

    def _answer(self, request: bytes) -> None:
        match = _KEY.search(request)
        assert match is not None
        accept = accept_value(match[1].decode())
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        self.transport.write(head.encode())

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if not self.listening.called:
            self.listening.errback(RuntimeError(self.output.decode("latin-1")))
        self.ended.callback(None)

    def command(self, command: bytes) -> None:
        """Write a command of ``s_server``, such as ``Q``: see its manual page."""
        self.transport.write(command + b"\n")

    def kill(self) -> Deferred[None]:
        """Kill the process."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        return self.ended


class Disturbance:
    """Base class: a change of the server's bytes in a relay, here none.

    Attributes:
        ends: Whether the relay closes its connections.
    """

    ends = False

    def __call__(self, data: bytes) -> bytes:
        return data


class Watch(Disturbance):
    """Report the arrival of bytes.

    Attributes:
        arrivals: A queue with one item for each read.
    """

    def __init__(self) -> None:
        self.arrivals: DeferredQueue[None] = DeferredQueue()

    def __call__(self, data: bytes) -> bytes:
        self.arrivals.put(None)
        return data


class Cut(Disturbance):
    """Close the connections after some bytes.

    Args:
        size: The number of bytes that are passed on.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def __call__(self, data: bytes) -> bytes:
        passed = data[: self._left]
        self._left -= len(passed)
        self.ends = not self._left
        return passed


class Flip(Disturbance):
    """Invert one byte.

    Args:
        position: The position of the byte.
    """

    def __init__(self, position: int) -> None:
        self._left = position

    def __call__(self, data: bytes) -> bytes:
        changed = bytearray(data)
        if 0 <= self._left < len(data):
            changed[self._left] ^= 0xFF
        self._left -= len(data)
        return bytes(changed)


class Replace(Disturbance):
    """Pass on other bytes once, and nothing more.

    Args:
        data: The bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, data: bytes) -> bytes:
        passed, self._data = self._data, b""
        return passed


class Relay(Protocol):
    """A connection that passes bytes on to a server, and the server's back with a disturbance.

    Args:
        port: The port of the server.
        disturbance: What happens to the server's bytes.
        is_proxy: Whether the client first sends a CONNECT request.
    """

    transport: Any

    def __init__(self, port: int, disturbance: Disturbance, is_proxy: bool = False) -> None:
        self._port = port
        self._disturbance = disturbance
        self._waiting = bytearray()
        self._needs_connect = is_proxy
        self._far: _Far | None = None

    def connectionMade(self) -> None:
        endpoint = HostnameEndpoint(global_reactor(), HOST, self._port)
        factory = Factory.forProtocol(lambda: _Far(self))  # type: ignore[arg-type]
        factory.noisy = False
        endpoint.connect(factory).addErrback(lambda _: self.transport.abortConnection())

    def dataReceived(self, data: bytes) -> None:
        self._waiting += data
        if self._needs_connect and b"\r\n\r\n" in self._waiting:
            self._needs_connect = False
            del self._waiting[: self._waiting.index(b"\r\n\r\n") + 4]
            self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._pass_on()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._far is not None:
            self._far.transport.loseConnection()

    def far_connected(self, far: _Far) -> None:
        """Pass on what has arrived meanwhile."""
        self._far = far
        self._pass_on()

    def _pass_on(self) -> None:
        if self._far is not None and not self._needs_connect:
            self._far.transport.write(bytes(self._waiting))
            self._waiting.clear()

    def far_received(self, far: _Far, data: bytes) -> None:
        """Pass the server's bytes on."""
        self.transport.write(self._disturbance(data))
        if self._disturbance.ends:
            self.transport.loseConnection()
            far.transport.abortConnection()

    def far_lost(self) -> None:
        """Close the connection to the client."""
        self.transport.loseConnection()


class _Far(Protocol):
    """The connection of a relay to the server."""

    transport: Any

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def connectionMade(self) -> None:
        self._relay.far_connected(self)

    def dataReceived(self, data: bytes) -> None:
        self._relay.far_received(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._relay.far_lost()
