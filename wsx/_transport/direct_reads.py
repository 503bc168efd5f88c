"""Read from the socket of a TCP transport without the calls and the copies in between.

The functions use private attributes of Twisted's TCP transport. Nothing changes if the transport is
not a TCP transport, or if these attributes differ in a later version of Twisted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection

__all__ = ["BufferedReader", "read_directly", "read_into_buffer"]


def read_directly(transport: Any, protocol: IProtocol) -> None:
    """Make a TCP transport pass what it reads to its protocol without two calls in between.

    Nothing happens with TLS or if a protocol other than that of an endpoint is between the two.

    Args:
        transport: The transport.
        protocol: The protocol of the transport.
    """
    if not _reads_for(transport, protocol):
        return

    def read() -> ConnectionDone | ConnectionLost | None:
        try:
            data = transport.socket.recv(transport.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        protocol.dataReceived(data)
        return None

    transport.doRead = read


def _reads_for(transport: Any, reader: object) -> bool:
    """Return whether a TCP transport passes what it reads to ``reader`` unchanged."""
    if not isinstance(transport, Connection) or transport.TLS:
        return False
    protocol = transport.protocol
    # HostnameEndpoint and other endpoints wrap the protocol.
    return reader is getattr(protocol, "_wrappedProtocol", protocol)


class BufferedReader(Protocol):
    """A protocol that provides memory for the next bytes, like asyncio's ``BufferedProtocol``."""

    def get_buffer(self) -> memoryview | None:
        """Return memory for the next bytes, or None to receive them through ``dataReceived``."""

    def buffer_updated(self, size: int) -> None:
        """Process the first ``size`` bytes of the memory that ``get_buffer`` returned."""


def read_into_buffer(transport: Any, reader: BufferedReader) -> None:
    """Make a transport read directly into the memory of its protocol, without a copy.

    Nothing happens if another protocol is between the two.

    Args:
        transport: The transport. It may have a method ``read_into`` of its own.
        reader: The protocol of the transport.
    """
    if hasattr(transport, "read_into"):
        transport.read_into(reader)
        return
    if not _reads_for(transport, reader):
        return
    original_read: Callable[[], ConnectionDone | ConnectionLost | None] = transport.doRead

    def read() -> ConnectionDone | ConnectionLost | None:
        view = reader.get_buffer()
        if view is None:
            return original_read()
        try:
            with view:
                size = transport.socket.recv_into(view)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not size:
            return CONNECTION_DONE
        reader.buffer_updated(size)
        return None

    transport.doRead = read
