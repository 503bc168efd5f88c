"""Optional fast paths that use private attributes of Twisted's TCP transport.

Each of them falls back to the public interface if the transport is something else, or if a later
version of Twisted looks different inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.logger import Logger

__all__ = [
    "GENTLE_CLOSE_TIMEOUT",
    "BufferedReader",
    "increase_read_size",
    "read_into_buffer",
    "read_without_logging_context",
    "write_now",
]

_log = Logger("wsx")

GENTLE_CLOSE_TIMEOUT: Final = 1.0  # seconds from loseConnection to abortConnection
_LARGE_READ_SIZE: Final = 262144  # bytes; reads of twice that size were slower


def write_now(transport: Any, data: bytes) -> None:
    """Write to the socket at once if nothing else waits to be written.

    A plain TCP transport writes only after the reactor has found its socket writable, which it
    nearly always is. That costs two changes of the reactor's watch list and one iteration for
    each reply. Whatever the socket does not take goes through ``transport.write``, and so do
    errors.
    """
    if isinstance(transport, Connection) and _is_idle(transport):
        try:
            sent = transport.socket.send(data)
        except OSError:  # full or broken: transport.write will find out which
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


def _is_idle(transport: Connection) -> bool:
    return (
        bool(transport.connected)
        and not transport.TLS
        and not transport.disconnecting
        and not transport.dataBuffer
        and not getattr(transport, "_tempDataBuffer", True)
    )


def increase_read_size(transport: Any) -> None:
    """Make the TCP transport read up to 256 KiB at once, for connections with large messages.

    The size is also the transport's high-water mark for writing. It is not reduced again: small
    reads cost more with it only until the C library has once freed a large block.
    """
    connection = _tcp_transport(transport)
    if connection is not None:
        connection.bufferSize = _LARGE_READ_SIZE


def _tcp_transport(transport: Any) -> Any:
    """Return the TCP transport below TLS and other wrappers, or None."""
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    return transport


def read_without_logging_context(transport: Any) -> None:
    """Bypass ``callWithLogger`` for reads on asyncio reactors.

    It sets a context for Twisted's legacy log, and costs as much as the whole path of a short
    message from the socket to the handler. Call this again whenever reading is resumed.
    """
    connection = _tcp_transport(transport)
    reactor = getattr(connection, "reactor", None)
    loop = getattr(reactor, "_asyncioEventloop", None)
    read = getattr(reactor, "_readOrWrite", None)
    if loop is not None and read is not None and connection in getattr(reactor, "_readers", ()):
        loop.add_reader(connection.fileno(), _read, read, connection)


def _read(read: Callable[[Connection, bool], None], connection: Connection) -> None:
    try:
        read(connection, True)
    except KeyboardInterrupt:
        raise
    except BaseException:  # callWithLogger handles the same exceptions
        _log.failure("reading from a connection failed")


class BufferedReader(Protocol):
    """A protocol that can provide memory for the next bytes, like asyncio's BufferedProtocol."""

    def get_buffer(self) -> memoryview | None:
        """Return memory for the next bytes, or None to get them through ``dataReceived``."""

    def buffer_updated(self, size: int) -> None:
        """Take the bytes that were written to the beginning of that memory."""


def read_into_buffer(transport: Any, reader: BufferedReader) -> None:
    """Make a plain TCP transport read directly into its protocol's memory, without a copy.

    Nothing happens if there is anything between the two that may need to see the bytes.
    """
    if not isinstance(transport, Connection) or transport.TLS:
        return
    protocol = transport.protocol
    # HostnameEndpoint and its relatives wrap the protocol.
    if getattr(protocol, "_wrappedProtocol", protocol) is not reader:
        return
    read_as_usual = transport.doRead

    def read() -> ConnectionDone | ConnectionLost | None:
        view = reader.get_buffer()
        if view is None:
            return read_as_usual()
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

    transport.doRead = read  # type: ignore[method-assign]
