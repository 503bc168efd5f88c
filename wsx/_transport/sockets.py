"""Optional fast paths that use private attributes of Twisted's TCP transport.

Each falls back to the public interface if the transport is not a TCP transport, or if the private
attributes differ in a later version of Twisted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

__all__ = [
    "BufferedReader",
    "close_aborted",
    "increase_read_size",
    "read_directly",
    "read_into_buffer",
    "tcp_transport",
    "write_now",
]

_LARGE_READ_SIZE: Final = 262144  # bytes; reads of twice that size were slower


def write_now(transport: Any, data: bytes) -> None:
    """Write to the socket at once if the transport is a TCP transport with an empty write buffer.

    ``transport.write`` waits until the reactor finds the socket writable, which it nearly always
    is. That costs two changes of the reactor's writers and one reactor iteration for each reply.
    The bytes that the socket does not accept are passed to ``transport.write``.
    """
    if (
        isinstance(transport, Connection)
        and transport.connected
        and not (transport.TLS or transport.disconnecting or transport.dataBuffer)
        and not getattr(transport, "_tempDataBuffer", True)
    ):
        try:
            sent = transport.socket.send(data)
        except OSError:  # The buffer is full, or transport.write will report the error.
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


def increase_read_size(transport: Any) -> None:
    """Make the TCP transport read up to 256 KiB at once, for connections with large messages.

    The size is also the high-water mark of the transport's write buffer. It is not reduced later,
    because it slows small reads only until the C library has freed a large block once.
    """
    connection = tcp_transport(transport)
    if connection is not None:
        connection.bufferSize = _LARGE_READ_SIZE


def tcp_transport(transport: Any) -> Any:
    """Return the TCP transport below TLS and other wrappers, or None."""
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    return transport


def close_aborted(transport: Any) -> None:
    """Close the socket of a TCP transport that was aborted, unless it is closed already.

    Twisted closes it in the next reactor iteration by the wall clock: an hour later if the clock
    was set back by an hour meanwhile.
    """
    connection = tcp_transport(transport)
    if connection is not None and hasattr(connection, "socket"):
        connection.connectionLost(Failure(ConnectionAborted()))


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
    """Make a TCP transport read directly into the memory of its protocol, without a copy.

    Nothing happens with TLS or if another protocol is between the two.

    Args:
        transport: The transport.
        reader: The protocol of the transport.
    """
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
