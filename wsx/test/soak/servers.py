"""The process of one WebSocket server, of the library ``websockets`` or of aiohttp.

It echoes text messages, except commands, which begin with ``!``::

    !flood N      send N numbered messages
    !fragments N  send one message in N fragments
    !pings N      send N pings
    !slow         read nothing for a while
    !close CODE   start the closing handshake
    !drop         send a message, then reset the TCP connection

Until it receives SIGUSR1, it refuses some opening handshakes with status 503.

Run it with ``python -m wsx.test.soak.servers LIBRARY PORT SEED [PEM]``. It prints its port. It
ends at the end of its input, so that it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp.web
import websockets.asyncio.server
import websockets.exceptions

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST.
_REFUSED = 0.04  # The share of opening handshakes that is refused.
_SLOW = 1.5  # seconds


class Peer:
    """One connection, with the same methods for both libraries.

    Args:
        send: Sends a text message.
        fragments: Sends one message in fragments.
        ping: Sends a ping.
        close: Starts the closing handshake.
        transport: The asyncio transport.
    """

    def __init__(
        self,
        send: Callable[[str], Awaitable[Any]],
        fragments: Callable[[list[str]], Awaitable[Any]],
        ping: Callable[[], Awaitable[Any]],
        close: Callable[[int], Awaitable[Any]],
        transport: Any,
    ) -> None:
        self.send = send
        self._fragments = fragments
        self._ping = ping
        self._close = close
        self._transport = transport

    async def received(self, message: str) -> None:
        """Echo a message, or execute a command."""
        if not message.startswith("!"):
            await self.send(message)
            return
        command, _, number = message[1:].partition(" ")
        count = int(number or 0)
        if command == "flood":
            for index in range(count):
                await self.send(f"flood {index} {count}")
        elif command == "fragments":
            await self._fragments(["fragments ", *("x" * 10 for _ in range(count))])
        elif command == "pings":
            for _ in range(count):
                await self._ping()
        elif command == "slow":
            await asyncio.sleep(_SLOW)
        elif command == "close":
            await self._close(count)
        elif command == "drop":
            await self.send("bye")
            reset(self._transport)


def reset(transport: Any) -> None:
    """End a TCP connection with RST."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if hasattr(transport, "abort"):
        transport.abort()


async def serve_websockets(
    port: int, tls: ssl.SSLContext | None, refuses: Callable[[], bool]
) -> int:
    """Start a server of the library ``websockets`` and return its port."""

    async def handle(connection: Any) -> None:
        async def close(code: int) -> None:
            await connection.close(code)

        peer = Peer(connection.send, connection.send, connection.ping, close, connection.transport)
        with suppress(websockets.exceptions.ConnectionClosed):
            async for message in connection:
                await peer.received(message)

    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(503, "try again\n") if refuses() else None

    server = await websockets.asyncio.server.serve(
        handle, HOST, port, ssl=tls, process_request=refuse, ping_interval=None, close_timeout=2
    )
    return int(next(iter(server.sockets)).getsockname()[1])


async def serve_aiohttp(port: int, tls: ssl.SSLContext | None, refuses: Callable[[], bool]) -> int:
    """Start a server of aiohttp and return its port."""

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if refuses():
            return aiohttp.web.Response(status=503, text="try again\n")
        socket = aiohttp.web.WebSocketResponse(timeout=2)
        await socket.prepare(request)

        async def fragments(parts: list[str]) -> None:  # aiohttp does not fragment.
            await socket.send_str("".join(parts))

        async def close(code: int) -> None:
            await socket.close(code=code)

        peer = Peer(socket.send_str, fragments, socket.ping, close, request.transport)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await peer.received(message.data)
        return socket

    app = aiohttp.web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, HOST, port, ssl_context=tls)
    await site.start()
    return int(runner.addresses[0][1])


async def serve(library: str, port: int, seed: str, pem: str | None = None) -> None:
    """Run a server until the end of the input."""
    logging.disable()  # The libraries log every fault of the network.
    loop = asyncio.get_running_loop()
    rng, calm = random.Random(seed), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, calm.set)

    def refuses() -> bool:
        return not calm.is_set() and rng.random() < _REFUSED

    tls = None
    if pem is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
    start = {"websockets": serve_websockets, "aiohttp": serve_aiohttp}[library]
    print(await start(port, tls, refuses), flush=True)
    ended = asyncio.Event()

    def read() -> None:
        if not os.read(0, 1):
            ended.set()

    loop.add_reader(0, read)
    await ended.wait()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
