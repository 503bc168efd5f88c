"""TLS in memory: a server that speaks it, and its options."""

from __future__ import annotations

from typing import Any

import trustme
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from zope.interface import implementer


@implementer(IHandshakeListener)
class Side(Protocol):
    """One side of a connection: notes what happens to it.

    Args:
        greeting: is sent as soon as TLS is there.
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


def server_options(leaf: trustme.LeafCert, **options: Any) -> CertificateOptions:
    """A server's TLS options, from its certificate and key."""
    private = PrivateCertificate.loadPEM(leaf.private_key_and_cert_chain_pem.bytes())
    return CertificateOptions(
        privateKey=private.privateKey.original, certificate=private.original, **options
    )


@implementer(IStreamClientEndpoint)
class SecureServer:
    """An in-memory endpoint whose server speaks TLS.

    Attributes:
        app: the server's side, on top of TLS.
        mute: the server accepts TCP and then says nothing.
    """

    def __init__(self, clock: Clock, options: CertificateOptions) -> None:
        self.options = options
        self.mute = False
        self._clock = clock

    def connect(self, factory: Any) -> Deferred[Any]:
        self.app = Side()
        server: Any = Protocol()
        if not self.mute:
            app = Factory.forProtocol(lambda: self.app)
            tls = TLSMemoryBIOFactory(self.options, False, app, clock=self._clock)
            server = tls.buildProtocol(None)
        client = factory.buildProtocol(None)
        address = IPv4Address("TCP", "192.0.2.1", 443)
        self.client_io = FakeTransport(client, False, peerAddress=address)
        server_io = FakeTransport(server, True)
        self._pump: IOPump = connect(
            server, server_io, client, self.client_io, greet=False, clock=self._clock
        )
        return succeed(client)

    @property
    def app_transport(self) -> Any:
        """The transport of the server's side, on top of TLS."""
        return self.app.transport

    def flush(self) -> None:
        """Moves bytes to and fro until there are none."""
        self._pump.flush()
