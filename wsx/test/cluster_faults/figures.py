"""Measure names in a cluster: ``python -m wsx.test.cluster_faults.figures`` (about 15 minutes).

It prints the tables of the page "one feed on three hosts": how soon another process takes over,
what the loss of the leader of three servers costs, how many casts per second go from one process to
another, and the memory and the CPU time of a process.

Options: ``--quick`` for one run of each, and the names of tables to measure only these.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from wsx.test.cluster_faults.history import Event
from wsx.test.support.nats_servers import NatsServers, missing_server
from wsx.test.support.reactors import install_reactor, run_until_done

if TYPE_CHECKING:
    from wsx.test.support.cluster_processes import WorkerProcess

__all__ = ["Bench", "main"]

KEY: Final = "feed"
_STEP: Final = 0.01  # seconds
_PROBE: Final = 0.1  # seconds between two updates
_CASTS: Final = 1000
_SECONDS: Final = 20  # for CPU time


class Bench:
    """Processes, a WebSocket server and servers of NATS.

    Args:
        reactor: The reactor.
        ticks: Whether the WebSocket server sends messages. Default True.
    """

    def __init__(self, reactor: Any, ticks: bool = True) -> None:
        from wsx.test.support.cluster_processes import FeedServer

        self.reactor = reactor
        self.history: list[Event] = []
        self.workers: list[WorkerProcess] = []
        self.feed = FeedServer(ticks)
        self.servers: NatsServers | None = None

    async def serve(self, number: int = 1) -> NatsServers:
        """Start servers of NATS."""
        self.servers = NatsServers(number)
        await self.servers.start()
        return self.servers

    def spawn(self, ttl: float, **options: Any) -> WorkerProcess:
        """Start a process."""
        from wsx.test.support.cluster_processes import WorkerProcess

        assert self.servers is not None
        name = f"p{len(self.workers) + 1}"
        worker = WorkerProcess(name, self.history.append, self.servers.urls, ttl=ttl, **options)
        self.workers.append(worker)
        return worker

    async def service(self, ttl: float, **options: Any) -> WorkerProcess:
        """Start a process with a service; return it when it has the name, or waits for it."""
        worker = self.spawn(ttl, **options)
        await worker.call("serve", self.feed.url(worker.name), KEY, {"standby": True})
        await self.until(lambda: worker.name in self.feed.connected or b"is held by" in worker.log)
        return worker

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        while not condition():
            await self.sleep(_STEP)

    async def until_connected(self, worker: WorkerProcess) -> None:
        """Wait until a process is connected."""
        await self.until(lambda: worker.name in self.feed.connected)

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait."""
        return deferLater(self.reactor, seconds, lambda: None)

    async def stop(self) -> None:
        """End everything."""
        await gatherResults([worker.kill() for worker in self.workers])
        await self.feed.stop()
        if self.servers is not None:
            self.servers.stop()


async def take_over(bench: Bench, ttl: float, signal: str, runs: int) -> list[float]:
    """Return the times in seconds from a signal to the connection of the standby."""
    from wsx.test.support.cluster_worker import now

    await bench.serve()
    holder = await bench.service(ttl)
    times = []
    for _ in range(runs):
        standby = await bench.service(ttl)
        await bench.sleep(random.uniform(1.0, 1.5) * ttl / 2)
        begun = now()
        ended = getattr(holder, signal)()
        await bench.until_connected(standby)
        connected = next(e for e in bench.feed.events if e.process == standby.name)
        times.append(connected.time - begun)
        await ended
        holder = standby
    return times


async def take_over_table(reactor: Any, runs: int) -> None:
    """Print how soon another process takes over."""
    print("| the holder ends by | ttl | min | median | max |")
    print("|---|---|---|---|---|")
    for signal, ttl in (("kill", 2.0), ("kill", 5.0), ("kill", 10.0), ("terminate", 10.0)):
        bench = Bench(reactor)
        try:
            times = await take_over(bench, ttl, signal, runs)
        finally:
            await bench.stop()
        shown = {"kill": "`kill -9`", "terminate": "SIGTERM"}[signal]
        digits = 1 if signal == "kill" else 3
        found = (min(times), statistics.median(times), max(times))
        cells = " | ".join(f"{value:.{digits}f} s" for value in found)
        print(f"| {shown} | {ttl:g} s | {cells} |", flush=True)


async def kill_leader(bench: Bench, ttl: float) -> tuple[float, str]:
    """Return the time in seconds until updates work again, and what the holder has done."""
    from wsx._cluster.nats_link import NatsLink
    from wsx.test.support.cluster_worker import now

    servers = await bench.serve(3)
    holder = await bench.service(ttl, replicas=3)
    leader = servers.leader("test")
    other = next(server for server in servers.servers if server is not leader)
    link = NatsLink(other.url, bucket="test", ttl=ttl, replicas=3, reactor=bench.reactor)
    await link.start()
    await bench.sleep(random.uniform(0.5, 0.7) * ttl)
    begun = now()
    leader.kill()
    updated: list[float] = []
    number = 0
    while not updated:
        writing = link.write(f"probe{number}", b"x", 0)
        writing.addCallbacks(lambda _: updated.append(now() - begun), lambda _: None)
        number += 1
        await bench.sleep(_PROBE)
    await bench.until(lambda: now() - begun > 2 * ttl)
    await bench.until(lambda: bench.feed.connected)
    await link.stop()
    lost = [event for event in bench.history if event.kind == "lost"]
    if not lost:
        return updated[0], "survives"
    again = [e for e in bench.feed.events if e.kind == "connected"][1]
    away = again.time - next(e for e in bench.feed.events if e.kind == "disconnected").time
    assert holder.is_running
    return updated[0], f"disconnected for {away:.1f} s"


async def leader_table(reactor: Any, runs: int) -> None:
    """Print what the loss of the leader of three servers costs."""
    print("| ttl | updates work again after | the holder |")
    print("|---|---|---|")
    for ttl in (5.0, 10.0, 15.0, 20.0):
        found = []
        for _ in range(min(runs, 3)):
            bench = Bench(reactor)
            try:
                found.append(await kill_leader(bench, ttl))
            finally:
                await bench.stop()
        times = ", ".join(f"{seconds:.1f} s" for seconds, _ in found)
        print(f"| {ttl:g} s | {times} | {', '.join(what for _, what in found)} |", flush=True)


async def casts_table(reactor: Any, runs: int) -> None:
    """Print how many casts per second go from one process to another."""
    print("| reactor | one at a time | 1,000 at once |")
    print("|---|---|---|")
    for name, shown in (("epoll", "any other (a thread)"), ("asyncio", "asyncio (no thread)")):
        bench = Bench(reactor, ticks=False)
        try:
            await bench.serve()
            await bench.service(10.0, reactor=name)
            sender = bench.spawn(10.0, reactor=name)
            rates = []
            for at_once in (False, True):
                times = [await sender.call("casts", KEY, _CASTS, at_once) for _ in range(runs)]
                rates.append(_CASTS / statistics.median(times))
        finally:
            await bench.stop()
        print(f"| {shown} | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s |", flush=True)


async def resources_table(reactor: Any, _runs: int) -> None:
    """Print the memory and the CPU time of processes."""
    print("| process | names | memory | CPU time for each second |")
    print("|---|---|---|---|")
    for names in (0, 1, 200):
        bench = Bench(reactor, ticks=False)
        try:
            await bench.serve()
            for shown in ("holder", "standby"):
                memory, cpu = await _resources(bench, names)
                what = shown if names else "connected to NATS"
                print(f"| {what} | {names} | {memory:.0f} MB | {cpu * 1000:.1f} ms |", flush=True)
                if not names:
                    break
        finally:
            await bench.stop()


async def _resources(bench: Bench, names: int) -> tuple[float, float]:
    """Start a process that wants names; return its memory in MB and its share of a core."""
    worker = bench.spawn(10.0)
    url = bench.feed.url(worker.name)
    for number in range(names):
        await worker.call("serve", url, f"{KEY}-{number}", {"standby": True})
    await bench.until(
        lambda: (
            bench.feed.connected.count(worker.name) == names
            or worker.log.count(b"is held by") >= names
        )
    )
    await bench.sleep(5.0)
    _, before = await worker.call("resources")
    await bench.sleep(_SECONDS)
    memory, after = await worker.call("resources")
    return memory, (after - before) / _SECONDS


TABLES: Final[dict[str, Callable[[Any, int], Coroutine[Any, Any, None]]]] = {
    "take-over": take_over_table,
    "leader": leader_table,
    "casts": casts_table,
    "resources": resources_table,
}


def main(arguments: list[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.cluster_faults.figures")
    parser.add_argument("--quick", action="store_true", help="one run of each")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.tables) - TABLES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    reason = missing_server()
    if reason:
        sys.exit(reason)
    reactor = install_reactor("epoll")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}\n")

    async def run() -> None:
        for name in options.tables or TABLES:
            await TABLES[name](reactor, 1 if options.quick else 5)
            print(flush=True)

    run_until_done(reactor, run)


if __name__ == "__main__":
    main(sys.argv[1:])
