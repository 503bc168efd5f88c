"""Optional fast paths that use private attributes of Twisted's TCP transport.

Each falls back to the public interface if the transport is not a TCP transport, or if the private
attributes differ in a later version of Twisted.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import ConnectionAborted
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from wsx._transport.tls_protocol import TLSProtocol

__all__ = [
    "close_aborted",
    "increase_read_size",
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
    if isinstance(transport, TLSProtocol):
        data, transport = transport.encrypt(data), transport.transport
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
