"""What can be had of Twisted's TCP transport beyond its interfaces, where that is what it is."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.tcp import Connection

__all__ = ["LARGE_READ", "read_largely", "write_now"]

LARGE_READ: Final = 65536  # bytes: what such a transport reads at most, unless told otherwise
_LARGER_READ: Final = 262144  # twice as much is slower again


def write_now(transport: Any, data: bytes) -> None:
    """Writes like ``transport.write``, sooner where that is safe.

    A plain TCP transport waits until the reactor finds its socket writable, which nearly always
    it is: two changes of what the reactor watches, and one more turn of it, for each answer. Where
    nothing waits in its buffers, the socket is tried at once, in the transport's own way; what it
    does not take, and what goes wrong, is the transport's affair as ever.
    """
    if isinstance(transport, Connection) and _is_idle(transport):
        written = transport.writeSomeData(data)
        if isinstance(written, int):  # or ConnectionLost, which the transport will notice itself
            data = data[written:]
            if not data:
                return
    transport.write(data)


def _is_idle(transport: Connection) -> bool:
    return (
        bool(transport.connected)
        and not transport.TLS
        and not transport.disconnecting
        and not transport.dataBuffer
        and not transport._tempDataBuffer
    )


def read_largely(transport: Any) -> None:
    """Has the TCP transport at the bottom read more at once, where much is coming.

    It is also its high-water mark for writing. It stays so: small reads cost more with it only
    until the C library has seen a large one freed.
    """
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    if transport is not None:
        transport.bufferSize = _LARGER_READ
