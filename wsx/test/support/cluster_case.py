"""A base class for tests of clusters with several OS processes and real servers of NATS."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from wsx.test.cluster_faults.history import Event, find_double, find_problems
from wsx.test.support.cluster_processes import CommandFailed, FeedServer, Proxy, WorkerProcess
from wsx.test.support.cluster_worker import now
from wsx.test.support.extras import missing
from wsx.test.support.nats_servers import NatsServers, missing_server
from wsx.test.support.sockets import global_reactor

__all__ = ["KEY", "ProcessCase"]

KEY: Final = "feed"  # the name
_STEP: Final = 0.02  # seconds


def not_wanted() -> str | None:
    """Return why tests that take minutes are skipped, or None."""
    return (
        None if os.environ.get("WSX_PROCESSES") else "takes long: nox -s nats, or WSX_PROCESSES=1"
    )


class ProcessCase(TestCase):
    """Tests with several processes, which take minutes together.

    They are skipped unless the environment variable ``WSX_PROCESSES`` is set, and nats-server and
    nats-py are installed.

    Attributes:
        limit: The time limit of each wait in seconds.
        ttl: The time to live of the leases in seconds.
        history: The events of all processes.
        feed: The WebSocket server.
        workers: The processes.
    """

    skip = missing("nats", "msgpack") or missing_server() or not_wanted()
    timeout = 120
    limit = 90  # seconds
    ttl = 2.0

    def setUp(self) -> None:
        self.history: list[Event] = []
        self.workers: list[WorkerProcess] = []
        self.feed = FeedServer()
        self.addCleanup(self.feed.stop)

    async def serve(self, number: int = 1) -> NatsServers:
        """Start servers of NATS, which end with the test."""
        servers = NatsServers(number)
        self.addCleanup(servers.stop)
        await servers.start()
        return servers

    def proxy(self, servers: NatsServers) -> Proxy:
        """Return a proxy before the first server, which ends with the test."""
        proxy = Proxy(servers.servers[0].port)
        self.addCleanup(proxy.stop)
        return proxy

    def spawn(self, urls: list[str], **options: Any) -> WorkerProcess:
        """Start a process, which ends with the test."""
        name = f"p{len(self.workers) + 1}"
        options = {"ttl": self.ttl, **options}
        worker = WorkerProcess(name, self.history.append, urls, **options)
        self.workers.append(worker)
        self.addCleanup(worker.kill)
        return worker

    async def standbys(self, urls: list[str], number: int, **options: Any) -> list[WorkerProcess]:
        """Start processes with services that want the name; return them once they have begun.

        One of them is connected then, and the others wait for the name.
        """
        on_partition = options.pop("on_partition", "stop")
        found = [self.spawn(urls, **options) for _ in range(number)]
        for worker in found:
            await self.start_service(worker, on_partition=on_partition)
        for worker in found:
            await self.until_begun(worker)
        return found

    async def until_begun(self, worker: WorkerProcess) -> None:
        """Wait until a process is connected, or waits for the name."""
        await self.until(lambda: worker.name in self.feed.connected or b"is held by" in worker.log)

    def start_service(self, worker: WorkerProcess, **options: Any) -> Deferred[Any]:
        """Start a service that wants the name in a process."""
        options = {"standby": True, **options}
        return worker.call("serve", self.feed.url(worker.name), KEY, options)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        limit = now() + self.limit
        while not condition():
            if now() > limit:
                connected = ", ".join(self.feed.connected)
                self.fail(f"after {self.limit} s; connected: {connected}\n{self.logs()}")
            await self.sleep(_STEP)

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait."""
        return deferLater(global_reactor(), seconds, lambda: None)

    async def until_connected(self, *but_not: WorkerProcess) -> WorkerProcess:
        """Wait until one process is connected, but not one of these; return it."""
        excluded = {worker.name for worker in but_not}
        found: list[WorkerProcess] = []

        def is_connected() -> bool:
            names = set(self.feed.connected) - excluded
            found[:] = [worker for worker in self.workers if worker.name in names]
            return len(found) == 1

        await self.until(is_connected)
        return found[0]

    def events(self, kind: str, worker: WorkerProcess | None = None) -> list[Event]:
        """Return the events of a kind, of one process or of all."""
        name = None if worker is None else worker.name
        return [e for e in self.history if e.kind == kind and name in (None, e.process)]

    async def until_event(self, kind: str, worker: WorkerProcess, number: int = 1) -> None:
        """Wait until there are as many events of a kind."""
        await self.until(lambda: len(self.events(kind, worker)) >= number)

    async def failure(self, called: Deferred[Any]) -> CommandFailed:
        """Return the failure of a command."""
        error: Any = await self.assertFailure(called, CommandFailed)
        assert isinstance(error, CommandFailed)
        return error

    async def finish(self) -> None:
        """Stop all processes, and check the history of what has happened."""
        await self.stop_all()
        self.check_history()

    async def stop_all(self) -> None:
        """Stop all processes in order."""
        for worker in self.workers:
            if worker.is_stopped:
                worker.resume()
        await gatherResults([worker.terminate() for worker in self.workers if worker.is_running])

    def check_history(self) -> None:
        """The history has no contradiction."""
        problems = find_problems(self.history, self.ttl)
        if not self.events("stopped"):  # A stopped process cannot end its connection.
            problems += find_double(self.feed.events)
        self.assertEqual(problems, [], self.logs())

    def logs(self) -> str:
        """Return what all processes have logged."""
        return "\n".join(
            f"process {worker.name}:\n{worker.log.decode(errors='replace')}"
            for worker in self.workers
        )
