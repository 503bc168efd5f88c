"""The endpoint for the WebSocket server: TCP, a proxy and TLS, as the Conn specifies."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    clientFromString,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import Interface

from wsx._scheduler import scheduler_for
from wsx._transport.observed import AttemptObserver, ObservedEndpoint, ObservedReactor
from wsx._transport.proxy import ProxyEndpoint
from wsx._transport.tls import TLSEndpoint, tls_wrapper
from wsx.conn import Conn, ParsedURL, parse_proxy

__all__ = ["IEndpointSource", "endpoint_for"]


class IEndpointSource(Interface):
    """A reactor that makes all connections itself, without DNS, TCP, proxy and TLS.

    The reactor of :mod:`wsx.testing` provides it.
    """

    def endpoint_for(conn: Conn) -> IStreamClientEndpoint:  # noqa: N805
        """Return the endpoint that connects to the WebSocket server."""


def endpoint_for(
    conn: Conn, reactor: Any, observer: AttemptObserver | None = None
) -> IStreamClientEndpoint:
    """Return the endpoint that connects to the WebSocket server.

    Args:
        conn: Where and how to connect.
        reactor: The reactor for connections and time.
        observer: Notified of the steps up to TLS, or None (default).

    Raises:
        OSError: A PEM file cannot be read.
        ValueError: A PEM text or an endpoint description is malformed.
    """
    if IEndpointSource.providedBy(reactor):
        return reactor.endpoint_for(conn)
    if observer is None:
        endpoint = _base_endpoint(conn, reactor)
    else:
        endpoint = _base_endpoint(conn, ObservedReactor(reactor, observer))
        endpoint = ObservedEndpoint(endpoint, "tcp", observer)
    if conn.proxy is not None:
        endpoint = ProxyEndpoint(endpoint, conn, reactor)
        if observer is not None:
            endpoint = ObservedEndpoint(endpoint, "proxy", observer)
    if conn.parsed.secure:
        endpoint = TLSEndpoint(endpoint, tls_wrapper(conn, scheduler_for(reactor)))
    return endpoint


def _base_endpoint(conn: Conn, reactor: Any) -> IStreamClientEndpoint:
    if conn.endpoint is None:
        target = conn.parsed if conn.proxy is None else parse_proxy(conn.proxy)
        return _tcp_endpoint(target, reactor)
    endpoint: IStreamClientEndpoint = conn.endpoint
    if isinstance(conn.endpoint, str):
        endpoint = clientFromString(reactor, conn.endpoint)
    return endpoint


def _tcp_endpoint(target: ParsedURL, reactor: Any) -> IStreamClientEndpoint:
    """Return an endpoint without a timeout, because Twisted's timeouts follow the wall clock.

    The attempt has a timeout of its own.
    """
    host, port = target.host, target.port
    no_timeout: Any = None  # Twisted's annotations do not allow None.
    if ":" in host:
        return TCP6ClientEndpoint(reactor, host, port, timeout=no_timeout)
    if re.fullmatch(r"[0-9.]+", host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=no_timeout)
    return HostnameEndpoint(reactor, host, port, timeout=no_timeout)
