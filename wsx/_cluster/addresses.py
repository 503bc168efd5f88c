"""The IP addresses of a host, from the resolver of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

__all__ = ["resolve"]


def resolve(reactor: Any, host: str) -> Deferred[list[str]]:
    """Return the IP addresses of a host, without duplicates.

    asyncio would look them up in its own threads, which would not end with the link.
    """
    if isIPAddress(host) or isIPv6Address(host):
        return succeed([host])
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host, 0)
    return receiver.found


@implementer(IResolutionReceiver)
class _Addresses:
    """Collect addresses."""

    def __init__(self) -> None:
        self.found: Deferred[list[str]] = Deferred()
        self._hosts: dict[str, None] = {}

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Do nothing: the resolver has its own time limit."""

    def addressResolved(self, address: IAddress) -> None:
        """Add an address."""
        self._hosts[address.host] = None  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """Fire with all addresses."""
        if not self.found.called:
            self.found.callback(list(self._hosts))
