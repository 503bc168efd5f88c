"""Tests of faults that are generated from a seed.

The environment variable ``WSX_FAULTS`` is the number of faults, by default 8, and ``WSX_SEED`` the
seed, by default a random one, which a failure shows.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from wsx.test.cluster_faults.history import count, find_problems, to_lines
from wsx.test.cluster_faults.plan import Fault, generate
from wsx.test.support.cluster_case import KEY, ProcessCase
from wsx.test.support.cluster_processes import Proxy, WorkerProcess

FAULTS: Final = int(os.environ.get("WSX_FAULTS", "8"))
SEED: Final = int(os.environ.get("WSX_SEED") or random.randrange(1_000_000))
REACTORS: Final = ("epoll", "asyncio")  # nats-py has a thread of its own on the first
_SECONDS: Final = 30  # for a fault, at most


class GeneratedFaultTests(ProcessCase):
    """Three processes want a name, and a fourth one casts to it, while faults happen."""

    timeout = 120 + FAULTS * _SECONDS

    async def prepare(self, **options: Any) -> None:
        """Start the server and the processes."""
        self.rng = random.Random(SEED)
        servers = await self.serve()
        self.nats = servers.servers[0]
        self.proxies: dict[WorkerProcess, Proxy] = {}
        for _ in range(3):
            await self.join(self.proxy(servers), **options)
        sender = self.spawn(servers.urls)
        await self.until_connected()
        await sender.call("send", KEY, "s")
        self.sender = sender

    async def join(self, proxy: Proxy, **options: Any) -> None:
        """Start a process that wants the name, on one of two reactors."""
        worker = self.spawn([proxy.url], reactor=self.rng.choice(REACTORS), **options)
        self.proxies[worker] = proxy
        await self.start_service(worker)

    async def test_generated(self) -> None:
        """Never two holders, one after each fault, and no acknowledged cast is lost."""
        await self.prepare()
        for fault in generate(SEED, FAULTS):
            await self.disturb(fault)
            await self.until(self.is_settled)
            await self.sleep(fault.then * self.ttl)
        await self.sender.call("end_sending", "s")
        await self.sleep(0.5)
        await self.stop_all()
        problems = find_problems(self.history, self.ttl)
        with open("history.txt", "w") as file:  # in the folder of trial
            file.write(to_lines(self.history))
        found = "\n".join(problems)
        self.assertEqual(problems, [], f"seed {SEED}\n{found}\n{self.logs()}")
        print(f"seed {SEED}, {FAULTS} faults: {count(self.history)}")

    async def test_broken_lease(self) -> None:
        """A lease that does not end in time is found."""
        await self.prepare(broken=True)
        first = await self.until_connected()
        self.proxies[first].cut()
        await self.until(lambda: len(self.feed.connected) == 2)
        second = await self.until_connected(first)
        await self.until_event("frame", second)
        await self.until_event("frame", first, len(self.events("frame", first)) + 3)
        await gatherResults([worker.kill() for worker in self.workers])
        problems = find_problems(self.history, self.ttl)
        self.assertTrue(any(line.startswith("two holders") for line in problems), problems)

    def is_settled(self) -> bool:
        """Whether one process is connected, and it runs."""
        connected = self.feed.connected
        found = [worker for worker in self.proxies if worker.name in connected]
        return len(connected) == 1 and len(found) == 1 and found[0].is_running

    async def disturb(self, fault: Fault) -> None:
        """Let a fault happen; return when it is over."""
        wanted = [one for one in (fault, fault.also) if one is not None]
        await gatherResults(
            [Deferred.fromCoroutine(self.disturb_one(one)) for one in wanted], consumeErrors=True
        )

    async def disturb_one(self, fault: Fault) -> None:
        """Let one of two faults happen."""
        seconds = fault.ttls * self.ttl
        if fault.kind == "kill_server":
            self.nats.kill()
            await self.sleep(seconds)
            await self.nats.start()
        elif fault.kind == "pause_server":
            await self.during(seconds, self.nats.pause, self.nats.resume)
        else:
            await self.disturb_process(fault.kind, self.target(fault.on_standby), seconds)

    def target(self, on_standby: bool) -> WorkerProcess:
        """Return the process for a fault."""
        connected = self.feed.connected
        running = [worker for worker in self.proxies if worker.is_running]
        fitting = [worker for worker in running if (worker.name in connected) != on_standby]
        return self.rng.choice(fitting or running)

    async def disturb_process(self, kind: str, worker: WorkerProcess, seconds: float) -> None:
        """Let a fault of a process happen."""
        proxy = self.proxies[worker]
        if kind == "kill":
            await worker.kill()
            await self.replace(worker)
        elif kind == "terminate":
            await worker.terminate()
            await self.replace(worker)
        elif kind == "pause":
            await self.during(seconds, worker.pause, worker.resume)
        elif kind == "drop":
            dropped = list(self.feed.connections)
            for connection in dropped:
                connection.transport.abortConnection()
            await self.until(lambda: self.feed.connections.isdisjoint(dropped))
        elif kind == "delay":
            proxy.delay = self.rng.uniform(0.02, 0.3) * self.ttl
            await self.during(seconds, lambda: None, proxy.heal)
        else:
            await self.during(seconds, getattr(proxy, kind), proxy.heal)

    async def during(
        self, seconds: float, begin: Callable[[], object], end: Callable[[], object]
    ) -> None:
        """Begin a fault, and end it later."""
        begin()
        await self.sleep(seconds)
        end()

    async def replace(self, worker: WorkerProcess) -> None:
        """Start a process in place of one that has ended, unless that was done already."""
        proxy = self.proxies.pop(worker, None)
        if proxy is not None:
            await self.join(proxy)
