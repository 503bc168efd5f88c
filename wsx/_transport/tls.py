"""TLS on top of any endpoint: with the standard library's ``ssl``, or with pyOpenSSL.

The environment variable ``WSX_TLS=pyopenssl`` selects pyOpenSSL and Twisted's TLS protocol, which
an ``IOpenSSLClientConnectionCreator`` as ``ssl_options`` always uses.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from wsx._transport.tls_protocol import TLSFactory
from wsx._transport.tls_pyopenssl import TwistedTLS, tls_creator
from wsx._transport.tls_stdlib import settings_for
from wsx.conn import Conn

__all__ = ["TLSEndpoint", "tls_wrapper"]

uses_stdlib = os.environ.get("WSX_TLS") != "pyopenssl"


def tls_wrapper(conn: Conn, clock: Any) -> Callable[[Any], Any]:
    """Return a function that wraps the factory of a protocol in one for TLS.

    Args:
        conn: The Conn, for ``cacerts``, ``ssl_options``, ``insecure`` and the host.
        clock: The reactor for the time.

    Raises:
        OSError: A PEM file cannot be read.
        ValueError: A PEM text or the server name is malformed.
    """
    settings = settings_for(conn) if uses_stdlib else None
    if settings is not None:
        return partial(TLSFactory, settings)
    creator = tls_creator(conn)

    def wrap(factory: Any) -> TLSMemoryBIOFactory:
        wrapping = TLSMemoryBIOFactory(creator, True, factory, clock)
        wrapping.protocol = TwistedTLS
        return wrapping

    return wrap


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """An endpoint that adds TLS to another endpoint, like Twisted's ``wrapClientTLS``.

    Args:
        endpoint: The endpoint for the server.
        wrap: Wraps the factory of a protocol in one for TLS; see :func:`tls_wrapper`.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, wrap: Callable[[Any], Any]) -> None:
        self._endpoint = endpoint
        self._wrap = wrap

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the server.

        Args:
            protocolFactory: The factory of the protocol above TLS.

        Returns:
            A Deferred that fires with the protocol above TLS, before the TLS handshake.
        """
        connecting: Deferred[Any] = self._endpoint.connect(self._wrap(protocolFactory))
        return connecting.addCallback(_protocol_above)


def _protocol_above(tls: Any) -> Any:
    """Return the protocol above TLS, or a Failure if the user's creator has raised."""
    failure = getattr(tls, "creator_failure", None)
    return tls.wrappedProtocol if failure is None else failure
