"""A reactor and endpoints that report the steps of an attempt to connect to an observer.

An attempt without an observer uses the reactor and the endpoints themselves, so observation costs
it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from wsx._failures import cause_of
from wsx._text import line

__all__ = ["AttemptObserver", "ObservedEndpoint", "ObservedReactor"]


class AttemptObserver(Protocol):
    """The interface that is notified of the steps of one attempt, in their order.

    Its methods must not raise. The outcome is reported to the listener of the attempt.
    """

    def resolving(self, host: str) -> None:
        """Handle the start of a DNS lookup."""

    def resolved(self, addresses: list[str]) -> None:
        """Handle the result of a DNS lookup. It is empty if the name was not found."""

    def trying(self, address: str) -> None:
        """Handle the start of a TCP connection to one address."""

    def tried(self, address: str, error: BaseException | None) -> None:
        """Handle the result for one address. ``error`` is None if it accepted the connection."""

    def reached(self, step: str) -> None:
        """Handle the end of a step: ``"tcp"``, or ``"proxy"`` after CONNECT."""

    def connected(self, transport: Any) -> None:
        """Handle the TCP connection to the server, before TLS."""

    def secured(self) -> None:
        """Handle that the opening handshake starts, because TLS, if any, is established."""


class ObservedReactor:
    """A reactor whose DNS lookups and client connections are reported.

    All other attributes and methods are those of the reactor.

    Args:
        reactor: The reactor.
        observer: The observer.
    """

    def __init__(self, reactor: Any, observer: AttemptObserver) -> None:
        self._reactor = reactor
        self._observer = observer
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        """The resolver of the reactor, observed."""
        return _ObservedResolver(self._reactor.nameResolver, self._observer)

    def connectTCP(self, host: str, port: int, factory: Any, *args: Any, **kw: Any) -> Any:
        """Connect to one address; see ``IReactorTCP``."""
        address = _join(host, port)
        self._observer.trying(address)
        observed = _ObservedFactory(factory, address, self._observer)
        return self._reactor.connectTCP(host, port, observed, *args, **kw)

    def connectUNIX(self, path: str, factory: Any, *args: Any, **kw: Any) -> Any:
        """Connect to a UNIX socket; see ``IReactorUNIX``."""
        self._observer.trying(path)
        observed = _ObservedFactory(factory, path, self._observer)
        return self._reactor.connectUNIX(path, observed, *args, **kw)


@implementer(IHostnameResolver)
class _ObservedResolver:
    def __init__(self, resolver: IHostnameResolver, observer: AttemptObserver) -> None:
        self._resolver = resolver
        self._observer = observer

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self._observer.resolving(hostName)
        observed = _ObservedReceiver(resolutionReceiver, self._observer)
        return self._resolver.resolveHostName(
            observed, hostName, portNumber, addressTypes, transportSemantics
        )


@implementer(IResolutionReceiver)
class _ObservedReceiver:
    def __init__(self, receiver: IResolutionReceiver, observer: AttemptObserver) -> None:
        self._receiver = receiver
        self._observer = observer
        self._addresses: list[str] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(line(str(getattr(address, "host", address))))
        self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        self._observer.resolved(self._addresses)
        self._receiver.resolutionComplete()


class _ObservedFactory:
    """The client factory for one address; all calls are passed on."""

    noisy = False

    def __init__(self, factory: Any, address: str, observer: AttemptObserver) -> None:
        self._factory = factory
        self._address = address
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def buildProtocol(self, addr: IAddress) -> Any:
        self._observer.tried(self._address, None)
        return self._factory.buildProtocol(addr)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._observer.tried(self._address, cause_of(reason))
        self._factory.clientConnectionFailed(connector, reason)


@implementer(IStreamClientEndpoint)
class ObservedEndpoint:
    """An endpoint that reports when it has connected, before the protocol learns of it.

    Args:
        endpoint: The endpoint.
        step: The step that ends when it has connected; see :meth:`AttemptObserver.reached`.
        observer: The observer.
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, step: str, observer: AttemptObserver
    ) -> None:
        self._endpoint = endpoint
        self._step = step
        self._observer = observer

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect as the endpoint does.

        Args:
            protocolFactory: The factory of the protocol for the connection.
        """
        return self._endpoint.connect(_StepFactory(protocolFactory, self._step, self._observer))


@implementer(IProtocolFactory)
class _StepFactory:
    """The factory of a protocol; all calls are passed on."""

    noisy = False

    def __init__(self, factory: IProtocolFactory, step: str, observer: AttemptObserver) -> None:
        self._factory = factory
        self._step = step
        self._observer = observer

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress) -> Any:
        self._observer.reached(self._step)
        return self._factory.buildProtocol(addr)


def _join(host: str, port: object) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
