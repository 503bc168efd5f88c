"""The process of the network: the proxy, and the servers, which it kills and starts again.

The parent writes one word a line to its input: ``calm`` ends all faults, ``report`` asks for the
counts of faults. It prints JSON: first its port, later the counts. At the end of its input it ends
with all its servers.

Run it with ``python -m wsx.test.soak.network SEED CRASHES [PEM]``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process

from wsx.test.soak.proxy import Proxy

LIBRARIES = ("websockets", "aiohttp")
_BETWEEN_CRASHES = (8.0, 25.0)  # seconds
_DOWN = (0.1, 2.0)  # seconds
_STOPPED = (0.5, 4.0)  # seconds


class Server:
    """A server process that always listens on the same port.

    Args:
        library: The library of the server.
        arguments: The further arguments of the process.
    """

    def __init__(self, library: str, *arguments: str) -> None:
        self.port = 0
        self._library = library
        self._arguments = arguments
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it listens."""
        command = ["-m", "wsx.test.soak.servers", self._library, str(self.port), *self._arguments]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=PIPE, stdout=PIPE
        )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def crash(self, seconds: float) -> None:
        """Kill the process, and start it again after some time."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        await asyncio.sleep(seconds)
        await self.start()


class Network:
    """The proxy and the servers.

    Args:
        seed: The seed of all faults.
        crashes: Whether servers are killed and stopped.
        arguments: The further arguments of the servers.
    """

    def __init__(self, seed: str, crashes: bool, *arguments: str) -> None:
        self._rng = random.Random(f"{seed} network")
        self._crashes = crashes
        self._servers = [Server(name, seed, *arguments) for name in LIBRARIES]
        self._proxy = Proxy(lambda: self._rng.choice(self._servers).port, f"{seed} proxy")
        self._crashing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Start, then execute the commands of the parent until the end of the input."""
        await asyncio.gather(*(server.start() for server in self._servers))
        print(json.dumps({"port": await self._proxy.listen()}), flush=True)
        if self._crashes:
            self._crashing = asyncio.create_task(self._crash_servers())
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "calm":
                await self._calm()
            print(json.dumps(self._proxy.counts), flush=True)

    async def _calm(self) -> None:
        self._proxy.calm = True
        if self._crashing is not None:
            await self._crashing
        for server in self._servers:
            server.signal(signal.SIGUSR1)

    async def _crash_servers(self) -> None:
        """Kill or stop a server from time to time. It runs again when this returns."""
        next_at = _now() + self._rng.uniform(*_BETWEEN_CRASHES)
        while not self._proxy.calm:
            await asyncio.sleep(0.1)
            if _now() < next_at:
                continue
            server = self._rng.choice(self._servers)
            if self._rng.random() < 0.7:
                self._proxy.counts["server killed"] += 1
                await server.crash(self._rng.uniform(*_DOWN))
            else:
                self._proxy.counts["server stopped"] += 1
                server.signal(signal.SIGSTOP)
                await asyncio.sleep(self._rng.uniform(*_STOPPED))
                server.signal(signal.SIGCONT)
            next_at = _now() + self._rng.uniform(*_BETWEEN_CRASHES)


def _now() -> float:
    return asyncio.get_running_loop().time()


if __name__ == "__main__":
    logging.disable()  # asyncio logs every write to a connection that has ended.
    asyncio.run(Network(sys.argv[1], sys.argv[2] == "True", *sys.argv[3:]).run())
