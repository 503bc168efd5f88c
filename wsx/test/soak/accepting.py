"""The process of a server that only accepts connections and completes opening handshakes.

It costs little CPU time, so that it is not the bottleneck of a restart storm. It imports nothing
but the standard library, so that it starts fast.

Run it with ``python accepting.py PORT``. It prints its port, and ends at the end of its input.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import sys

_KEY = re.compile(rb"\r\nsec-websocket-key:[ \t]*(\S+)", re.IGNORECASE)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_BACKLOG = 4096


class Accepting(asyncio.Protocol):
    """Complete the opening handshake, then ignore what is received."""

    def __init__(self) -> None:
        self._request = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the request when it is complete."""
        if self._open:
            return
        self._request += data
        if not self._request.endswith(b"\r\n\r\n"):
            return
        match = _KEY.search(self._request)
        assert match is not None
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {_accept_value(match[1])}",
        ]
        self._transport.write("\r\n".join([*lines, "", ""]).encode())
        self._open, self._request = True, b""


def _accept_value(key: bytes) -> str:
    return base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()


async def serve(port: int) -> None:
    """Run the server until the end of the input."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", port, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
