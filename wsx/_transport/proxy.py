"""Connect through an HTTP proxy with CONNECT (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx._scheduler import scheduler_for
from wsx._transport.gentle_close import GentleClose
from wsx._wire.http import (
    BodyReader,
    NotHTTP,
    ResponseReader,
    basic_credentials,
    format_request,
)
from wsx.conn import Conn, parse_proxy
from wsx.errors import HandshakeError

__all__ = ["ProxyEndpoint"]


@implementer(IStreamClientEndpoint)
class ProxyEndpoint:
    """An endpoint that connects through a proxy.

    Args:
        endpoint: The endpoint for the proxy.
        conn: The Conn, for the address of the server and the credentials for the proxy.
        reactor: The reactor for the time.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, conn: Conn, reactor: IReactorTime) -> None:
        self._endpoint = endpoint
        self._conn = conn
        self._reactor = reactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the server through the proxy.

        Args:
            protocolFactory: The factory of the protocol for the connection to the server.

        Returns:
            A Deferred that fires with the protocol. It fails with :class:`RequestError` if the
            proxy refuses, and with :class:`HandshakeError` if the proxy does not speak HTTP. If it
            is cancelled while the body of a refusal is read, it fails with that refusal.
        """
        tunnel = _Tunnel(protocolFactory, self._conn, self._reactor)
        factory = Factory.forProtocol(lambda: tunnel)
        factory.noisy = False
        connecting = self._endpoint.connect(factory)
        tunnel.stop_connecting = connecting.cancel
        connecting.addCallbacks(lambda _: None, tunnel.failed)
        return tunnel.done


class _Tunnel(Protocol):
    """The protocol that sends CONNECT, then passes its transport on to the inner protocol."""

    transport: Any

    def __init__(self, factory: IProtocolFactory, conn: Conn, reactor: IReactorTime) -> None:
        self.done: Deferred[IProtocol] = Deferred(lambda _: self._cancelled())
        self.stop_connecting: Callable[[], None] | None = None
        self._factory = factory
        self._conn = conn
        self._scheduler = scheduler_for(reactor)
        self._reader = ResponseReader(conn.max_header_size)
        self._body: BodyReader | None = None  # Of a refusal.
        self._inner: IProtocol | None = None
        self._gentle_close = GentleClose()

    def connectionMade(self) -> None:
        assert self._conn.proxy is not None
        proxy, target = parse_proxy(self._conn.proxy), self._conn.parsed.authority
        headers = [("Host", target)]
        if proxy.username is not None:
            credentials = basic_credentials(proxy.username, proxy.password or "")
            headers.append(("Proxy-Authorization", credentials))
        self.transport.write(format_request(f"CONNECT {target} HTTP/1.1", headers))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
        elif self._body is not None:
            self._read_refusal(self._body, data)
        else:
            self._read_response(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gentle_close.connection_lost()
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.done.called:
            self.done.errback(Failure(self._body.error()) if self._body is not None else reason)

    def _read_response(self, data: bytes) -> None:
        try:
            response = self._reader.feed(data)
        except NotHTTP as error:
            reason = f"proxy: {error.reason}"
            self.failed(Failure(HandshakeError("", error.received, reason)))
            return
        if response is None:
            return
        if 200 <= response.status < 300:
            self._hand_over()
        else:
            self._body = BodyReader(response, "proxy", self._conn)
            self._read_refusal(self._body, self._reader.rest)

    def _read_refusal(self, body: BodyReader, data: bytes) -> None:
        body.feed(data)
        if body.complete:
            self._refused(body)

    def _refused(self, body: BodyReader) -> None:
        """Report the refusal and close TCP with FIN, as ``Attempt._end_connection`` does."""
        if not self.done.called:
            self.done.errback(Failure(body.error()))
            self._gentle_close.start(self._scheduler, self.transport, self._abort)

    def _hand_over(self) -> None:
        inner = self._factory.buildProtocol(self.transport.getPeer())
        assert inner is not None
        self._inner = inner
        inner.makeConnection(self.transport)
        # TLS to the proxy was complete before CONNECT, so the transport does not report it again.
        if ISSLTransport.providedBy(self.transport) and IHandshakeListener.providedBy(inner):
            inner.handshakeCompleted()
        self.done.callback(inner)
        if self._reader.rest:
            inner.dataReceived(self._reader.rest)

    def failed(self, failure: Failure) -> None:
        """Report a failure unless the outcome was reported already, and abort the connection."""
        if not self.done.called:
            self.done.errback(failure)
        self._abort()

    def _cancelled(self) -> None:
        """Report a refusal whose body is incomplete; otherwise, abort the connection."""
        if self._body is not None:
            self._refused(self._body)
            return
        if self.stop_connecting is not None:
            self.stop_connecting()
        self._abort()

    def _abort(self) -> None:
        """Abort the connection to the proxy, unless the inner protocol uses it."""
        if self.transport is not None and self._inner is None:
            self.transport.abortConnection()
