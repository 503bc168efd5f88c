"""A hostile server for one client, as a process: ``python -m wsx.test.limits.server MODE``.

The mode ``flood`` sends messages of 1 KiB as fast as the client reads them; ``silent`` does the
same and never reads. The first line of its output is the port.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

from wsx._wire.handshake import accept_value
from wsx.test.support import server_frame

MESSAGES: Final = server_frame(1, b"x" * 1020) * 64


def shake_hands(client: socket.socket) -> None:
    """Complete the opening handshake."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r")[0].decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_value(key)}",
        "",
        "",
    ]
    client.sendall("\r\n".join(lines).encode())


def main(mode: str) -> None:
    """Serve one client until it ends the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
    if mode == "silent":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    shake_hands(client)
    try:
        while True:
            client.sendall(MESSAGES)
    except OSError:
        return


if __name__ == "__main__":
    main(sys.argv[1])
