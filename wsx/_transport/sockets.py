"""What can be had of Twisted's TCP transport beyond its interfaces, where that is what it is.

Where it is something else, or a later Twisted has other insides, everything works all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.logger import Logger

__all__ = ["Taker", "read_largely", "read_to_taker", "read_without_detour", "write_now"]

_log = Logger("wsx")

_LARGER_READ: Final = 262144  # bytes; twice as much is slower again


def write_now(transport: Any, data: bytes) -> None:
    """Writes like ``transport.write``, sooner where that is safe.

    A plain TCP transport waits until the reactor finds its socket writable, which nearly always
    it is: two changes of what the reactor watches, and one more turn of it, for each answer. Where
    nothing waits in its buffers, the socket is tried at once; what it does not take, and what goes
    wrong, is the transport's affair as ever.
    """
    if isinstance(transport, Connection) and _is_idle(transport):
        try:
            sent = transport.socket.send(data)
        except OSError:  # full, or broken, which the transport will find itself
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


def read_largely(transport: Any) -> None:
    """Has the TCP transport at the bottom read more at once, where much is coming.

    It is also its high-water mark for writing. It stays so: small reads cost more with it only
    until the C library has seen a large one freed.
    """
    connection = _bottom(transport)
    if connection is not None:
        connection.bufferSize = _LARGER_READ


def _bottom(transport: Any) -> Any:
    """Gives the TCP transport below TLS and whatever else there is, if there is one."""
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    return transport


def read_without_detour(transport: Any) -> None:
    """Has an asyncio reactor call the TCP transport at the bottom for each read, and nobody else.

    It has ``callWithLogger`` do it, which takes as long as a short message needs from the socket to
    its handler, to tell Twisted's old log who is speaking. To be said again when reading was
    resumed.
    """
    connection = _bottom(transport)
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
    except BaseException:  # so does callWithLogger
        _log.failure("while reading")


class Taker(Protocol):
    """A protocol that knows where the bytes belong that come next."""

    def room(self) -> memoryview | None:
        """Gives room for them, or None to be given them as ever."""

    def fill(self, size: int) -> None:
        """Takes the bytes that were read to the beginning of the room."""


def read_to_taker(transport: Any, taker: Taker) -> None:
    """Has a plain TCP transport read to where its protocol wants it, with no copy between.

    Only where nothing is between the two that may want to see the bytes.
    """
    if not isinstance(transport, Connection) or transport.TLS:
        return
    protocol = transport.protocol
    if getattr(protocol, "_wrappedProtocol", protocol) is not taker:  # so endpoints wrap it
        return
    read_as_ever = transport.doRead

    def read() -> ConnectionDone | ConnectionLost | None:
        room = taker.room()
        if room is None:
            return read_as_ever()
        try:
            with room:
                size = transport.socket.recv_into(room)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not size:
            return CONNECTION_DONE
        taker.fill(size)
        return None

    transport.doRead = read  # type: ignore[method-assign]
