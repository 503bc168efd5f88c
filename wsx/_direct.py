"""Writing to a socket at once, where its transport would only do so in the next step."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection

__all__ = ["write_now"]


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
