"""A TCP proxy between clients and servers that injects one fault per connection, from a seed."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from wsx.test.soak.servers import HOST, reset

# The faults and how often they occur, relative to each other.
FAULTS = {
    "pass": 30,  # no fault
    "delay": 10,  # each read is forwarded late
    "drip": 8,  # a few bytes at a time
    "cut": 10,  # FIN in both directions
    "reset": 5,  # RST in both directions
    "reset after data": 14,  # RST directly behind data that the client has not read yet
    "half-open": 6,  # nothing is forwarded any more, and no connection ends
    "stall": 6,  # nothing is read for a while
    "corrupt": 5,  # one byte from the server is changed, then FIN
    "refuse": 5,  # RST at once
    "silent": 3,  # the connection is accepted, and nothing is forwarded at all
}
_READ = 64 * 1024
_DRIP = 0.01  # seconds between two parts
_LONGEST_DELAY = 0.25  # seconds
_LONGEST_STALL = 4.0  # seconds
_AT_ONCE = 0.2  # The share of faults that concern the first read.
_LONGEST_LIFE = 12.0  # seconds until a fault at the latest


class Proxy:
    """Accept connections and forward them to a random server.

    Args:
        choose_server: Returns the port of the server for a new connection.
        seed: The seed of the faults.

    Attributes:
        calm: Whether there are no more faults.
        counts: How often each fault has occurred.
    """

    def __init__(self, choose_server: Callable[[], int], seed: str) -> None:
        self.calm = False
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(seed)
        self._choose_server = choose_server
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> int:
        """Start listening and return the port."""
        server = await asyncio.start_server(self._accept, HOST, 0, backlog=4096, limit=_READ)
        return int(server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = "pass"
        if not self.calm:
            [fault] = self.rng.choices(list(FAULTS), list(FAULTS.values()))
        self.counts[fault] += 1
        try:
            await Link(self, fault, reader, writer).run(self._choose_server())
        except (OSError, asyncio.IncompleteReadError):
            pass  # One of the two connections has ended.
        finally:
            writer.transport.abort()


class Link:
    """One connection of a client, and the connection to its server.

    Args:
        proxy: The proxy.
        fault: A key of ``FAULTS``.
        reader: Reads from the client.
        writer: Writes to the client.
    """

    def __init__(
        self,
        proxy: Proxy,
        fault: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._fault = fault
        self._reader = reader
        self._writer = writer
        self._delay = proxy.rng.uniform(0.01, _LONGEST_DELAY)
        self._part = proxy.rng.randint(1, 40)
        self._strikes_at = 0.0
        self._struck = False

    async def run(self, port: int) -> None:
        """Forward until one of the connections ends."""
        if self._fault == "refuse":
            reset(self._writer.transport)
            return
        if self._fault == "silent":
            await self._until_client_ends()
            return
        reader, writer = await asyncio.open_connection(HOST, port, limit=_READ)
        for one in (writer, self._writer):
            sock = one.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at_once = self._proxy.rng.random() < _AT_ONCE
        after = 0.0 if at_once else self._proxy.rng.uniform(0.0, _LONGEST_LIFE)
        self._strikes_at = _now() + after
        up = asyncio.ensure_future(self._pump(self._reader, writer, False))
        down = asyncio.ensure_future(self._pump(reader, self._writer, True))
        striker = asyncio.ensure_future(self._strike_later())
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            # After FIN in one direction, the other one has a moment for its last bytes.
            await asyncio.wait({up, down}, timeout=3.0)
        finally:
            for task in (up, down, striker):
                task.cancel()
            await asyncio.gather(up, down, striker, return_exceptions=True)
            writer.transport.abort()

    async def _until_client_ends(self) -> None:
        while await self._reader.read(_READ):
            pass

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_client: bool
    ) -> None:
        while data := await reader.read(_READ):
            if self._struck and self._fault == "half-open":
                continue
            await self._forward(data, writer, to_client)
            if to_client and self._is_due("reset after data"):
                self._strike()
                reset(writer.transport)
                return
        if not (self._struck and self._fault == "half-open"):
            writer.write_eof() if writer.can_write_eof() else writer.close()
        else:
            await asyncio.sleep(3600)

    async def _forward(self, data: bytes, writer: asyncio.StreamWriter, to_client: bool) -> None:
        if self._proxy.calm:
            writer.write(data)
        elif self._fault == "drip":
            await self._drip(data, writer)
        else:
            if self._fault == "delay":
                await asyncio.sleep(self._delay)
            elif self._is_due("stall"):
                self._strike()
                await asyncio.sleep(self._proxy.rng.uniform(0.5, _LONGEST_STALL))
            elif to_client and self._is_due("corrupt"):
                self._strike()
                data = self._corrupt(data)
                asyncio.get_running_loop().call_later(0.2, writer.transport.close)
            writer.write(data)
        await writer.drain()

    async def _drip(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        for start in range(0, min(len(data), 50 * self._part), self._part):
            writer.write(data[start : start + self._part])
            await asyncio.sleep(_DRIP)
        writer.write(data[50 * self._part :])

    def _corrupt(self, data: bytes) -> bytes:
        position = self._proxy.rng.randrange(len(data))
        changed = bytearray(data)
        changed[position] ^= self._proxy.rng.randint(1, 255)
        return bytes(changed)

    async def _strike_later(self) -> None:
        """Inject the faults that do not wait for data."""
        await asyncio.sleep(self._strikes_at - _now())
        if self._proxy.calm:
            return
        if self._fault == "cut":
            self._strike()
            self._writer.close()
        elif self._fault == "reset":
            self._strike()
            reset(self._writer.transport)
        elif self._fault == "half-open":
            self._strike()

    def _is_due(self, fault: str) -> bool:
        return (
            self._fault == fault
            and not (self._struck or self._proxy.calm)
            and _now() >= self._strikes_at
        )

    def _strike(self) -> None:
        self._struck = True
        self._proxy.counts[f"{self._fault}, injected"] += 1


def _now() -> float:
    return asyncio.get_running_loop().time()


__all__: list[Any] = ["FAULTS", "Proxy"]
