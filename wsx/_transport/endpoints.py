"""How to reach the server: from a :class:`Conn` to a Twisted endpoint, through proxy and TLS."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from OpenSSL.crypto import FILETYPE_PEM, load_privatekey
from OpenSSL.SSL import Connection
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    clientFromString,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._wire.handshake import BodyReader, HeaderReader, NotHTTP, basic_credentials, request_bytes
from wsx.conn import Conn, ParsedURL, parse_proxy
from wsx.errors import HandshakeError

__all__ = ["endpoint_for", "tls_creator"]

_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


def endpoint_for(conn: Conn, reactor: Any) -> IStreamClientEndpoint:
    """Gives the endpoint whose connections end at the WebSocket server.

    Raises:
        OSError: a PEM file cannot be read.
        ValueError: a PEM text or an endpoint description cannot be understood.
    """
    endpoint = _base_endpoint(conn, reactor)
    if conn.proxy is not None:
        endpoint = ProxyEndpoint(endpoint, conn)
    if conn.parsed.secure:
        endpoint = TLSEndpoint(endpoint, tls_creator(conn), reactor)
    return endpoint


def _base_endpoint(conn: Conn, reactor: Any) -> IStreamClientEndpoint:
    if conn.endpoint is None:
        target = conn.parsed if conn.proxy is None else parse_proxy(conn.proxy)
        return _tcp_endpoint(target, reactor, conn.socket_connect_timeout)
    endpoint: IStreamClientEndpoint = conn.endpoint
    if isinstance(conn.endpoint, str):
        endpoint = clientFromString(reactor, conn.endpoint)
    return endpoint


def _tcp_endpoint(target: ParsedURL, reactor: Any, timeout: float) -> IStreamClientEndpoint:
    host, port = target.host, target.port
    if ":" in host:
        return TCP6ClientEndpoint(reactor, host, port, timeout=timeout)
    if _is_ip4(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=timeout)
    return HostnameEndpoint(reactor, host, port, timeout=timeout)


def _is_ip4(host: str) -> bool:
    return re.fullmatch(r"[0-9.]+", host) is not None


def tls_creator(conn: Conn) -> IOpenSSLClientConnectionCreator:
    """Gives what makes the TLS side of a connection: verifying, unless the user said not to.

    Raises:
        OSError: a PEM file cannot be read.
        ValueError: a PEM text cannot be understood.
    """
    options = conn.ssl_options or {}
    if not isinstance(options, Mapping):
        return options  # type: ignore[no-any-return]
    hostname = options.get("server_name") or conn.parsed.host.partition("%")[0]
    private, chain = _client_certificate(options)
    extra: dict[str, Any] = {"extraCertChain": chain} if chain else {}
    if options.get("minimum_version") == "TLSv1.3":
        extra["raiseMinimumTo"] = TLSVersion.TLSv1_3
    alpn = [_as_bytes(name) for name in options.get("alpn", ())]
    if conn.insecure:
        return _UnverifiedCreator(hostname, private, alpn, extra)
    root = None if conn.cacerts is None else trustRootFromCertificates(_certificates(conn.cacerts))
    return optionsForClientTLS(
        hostname,
        trustRoot=root,
        clientCertificate=private,
        acceptableProtocols=alpn or None,
        extraCertificateOptions=extra or None,
    )


@implementer(IOpenSSLClientConnectionCreator)
class _UnverifiedCreator:
    """TLS for ``insecure=True``: the server's name is sent, its certificate is not looked at."""

    def __init__(
        self,
        hostname: str,
        private: PrivateCertificate | None,
        alpn: list[bytes],
        extra: dict[str, Any],
    ) -> None:
        if private is not None:
            extra = extra | {
                "privateKey": private.privateKey.original,
                "certificate": private.original,
            }
        options = CertificateOptions(**extra)
        self._context = options.getContext()
        self._hostname = hostname
        self._alpn = alpn

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        connection = Connection(self._context, None)
        if self._alpn:
            connection.set_alpn_protos(self._alpn)
        if not (":" in self._hostname or _is_ip4(self._hostname)):
            # RFC 6066 section 3: no addresses here
            connection.set_tlsext_host_name(self._hostname.encode("ascii"))
        return connection


def _client_certificate(
    options: Mapping[str, Any],
) -> tuple[PrivateCertificate | None, list[Any]]:
    """Gives our own certificate with its key, and the intermediate ones that go with it."""
    if "certificate" not in options:
        return None, []
    pem = _read_pem(options["certificate"])
    key = _read_pem(options.get("private_key", pem))
    first, *chain = _split_pem(pem)
    try:
        private = PrivateCertificate.fromCertificateAndKeyPair(
            Certificate.loadPEM(first), KeyPair(load_privatekey(FILETYPE_PEM, key, b""))
        )
    except Exception as error:
        raise ValueError(f"the certificate and its key cannot be used: {error}") from None
    return private, [Certificate.loadPEM(block).original for block in chain]


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
        raise ValueError("there is no PEM certificate in what was given")
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
    """Makes TLS on top of another endpoint, as Twisted's ``wrapClientTLS`` does.

    That one buffers writes with the global reactor; its ``clock`` argument is too new to rely on.

    Args:
        endpoint: leads to the server.
        creator: makes the TLS side of a connection.
        clock: for the time.
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
        """Connects; the TLS handshake is still to come then.

        Returns:
            a Deferred of the protocol above TLS.
        """
        factory = TLSMemoryBIOFactory(self._creator, True, protocolFactory, self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda tls: tls.wrappedProtocol)


@implementer(IStreamClientEndpoint)
class ProxyEndpoint:
    """Connects through an HTTP proxy by CONNECT (RFC 9110 section 9.3.6).

    Args:
        endpoint: leads to the proxy.
        conn: says where the proxy shall lead, and with which credentials.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, conn: Conn) -> None:
        self._endpoint = endpoint
        self._conn = conn

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects.

        Returns:
            a Deferred of the protocol; it fails with :class:`RequestError` where the proxy
            refuses, or :class:`HandshakeError` where it does not speak HTTP.
        """
        tunnel = _Tunnel(protocolFactory, self._conn)
        connecting = self._endpoint.connect(Factory.forProtocol(lambda: tunnel))
        tunnel.stop_connecting = connecting.cancel
        connecting.addCallbacks(lambda _: None, tunnel.failed)
        return tunnel.done


class _Tunnel(Protocol):
    """Asks the proxy, then hands its transport over to the protocol behind it."""

    def __init__(self, factory: IProtocolFactory, conn: Conn) -> None:
        self.done: Deferred[IProtocol] = Deferred(lambda _: self._cancelled())
        self.stop_connecting: Callable[[], None] | None = None
        self._factory = factory
        self._conn = conn
        self._header = HeaderReader(conn.max_header_size)
        self._refusal: BodyReader | None = None
        self._inner: IProtocol | None = None

    def connectionMade(self) -> None:
        assert self._conn.proxy is not None and self.transport is not None
        proxy, target = parse_proxy(self._conn.proxy), self._conn.parsed.authority
        headers = [("Host", target)]
        if proxy.username is not None:
            credentials = basic_credentials(proxy.username, proxy.password or "")
            headers.append(("Proxy-Authorization", credentials))
        self.transport.write(request_bytes(f"CONNECT {target} HTTP/1.1", headers))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
        elif self._refusal is not None:
            self._read_refusal(data)
        else:
            self._read_header(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif self._refusal is not None:
            self._refused()
        else:
            self.failed(reason)

    def _read_header(self, data: bytes) -> None:
        try:
            response = self._header.feed(data)
        except NotHTTP as error:
            reason = f"the proxy: {error.reason}"
            self.failed(Failure(HandshakeError("", error.received, reason)))
            return
        if response is None:
            return
        if 200 <= response.status < 300:
            self._hand_over()
        else:
            self._refusal = BodyReader(response)
            self._read_refusal(self._header.rest)

    def _read_refusal(self, data: bytes) -> None:
        assert self._refusal is not None
        self._refusal.feed(data)
        if self._refusal.complete:
            self._refused()

    def _refused(self) -> None:
        assert self._refusal is not None
        error = self._refusal.error()
        error.who = "the proxy"
        self.failed(Failure(error))

    def _hand_over(self) -> None:
        assert self.transport is not None
        inner = self._factory.buildProtocol(self.transport.getPeer())
        assert inner is not None
        self._inner = inner
        inner.makeConnection(self.transport)
        self.done.callback(inner)
        if self._header.rest:
            inner.dataReceived(self._header.rest)

    def failed(self, failure: Failure) -> None:
        """Reports a failure, unless the outcome is known."""
        if not self.done.called:
            self.done.errback(failure)
        self._cut()

    def _cancelled(self) -> None:
        if self.stop_connecting is not None:
            self.stop_connecting()
        self._cut()

    def _cut(self) -> None:
        """Drops the connection to the proxy, if there is one and nobody uses it."""
        if self.transport is not None and self._inner is None:
            self.transport.abortConnection()  # type: ignore[attr-defined]
