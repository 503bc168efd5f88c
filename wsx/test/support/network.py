"""A reactor whose names, addresses and TCP connections the test controls."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx.test.support.memory import Peer


@implementer(IHostnameResolver)
class Names:
    """A resolver with a table.

    Attributes:
        table: The addresses by name.
        silent: Whether it never answers.
    """

    def __init__(self) -> None:
        self.table: dict[str, list[str]] = {}
        self.silent = False

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        resolutionReceiver.resolutionBegan(None)
        if not self.silent:
            for host in self.table.get(hostName, []):
                kind = IPv6Address if ":" in host else IPv4Address
                resolutionReceiver.addressResolved(kind("TCP", host, portNumber))
            resolutionReceiver.resolutionComplete()


class NetworkReactor(MemoryReactorClock):
    """A reactor whose DNS and TCP connections the test controls.

    Attributes:
        names: The resolver.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = Names()

    @property
    def nameResolver(self) -> Any:
        """The resolver with a table."""
        return self.names

    @nameResolver.setter
    def nameResolver(self, resolver: Any) -> None:
        """Ignore the resolver of the base class."""

    def refuse(self, number: int = -1, error: Exception | None = None) -> None:
        """Let a connection attempt fail; ConnectionRefusedError by default."""
        failure = Failure(error or ConnectionRefusedError())
        self.tcpClients[number][2].clientConnectionFailed(self.connectors[number], failure)

    def accept(self, number: int = -1) -> Peer:
        """Accept a connection attempt, and return the server's side of it."""
        protocol: Any = self.tcpClients[number][2].buildProtocol(None)
        peer = Peer(protocol, self)
        protocol.makeConnection(peer.transport)
        return peer
