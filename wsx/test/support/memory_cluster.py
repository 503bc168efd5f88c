"""A cluster of several processes in memory, and a base class for its tests."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Cluster, Global
from wsx._cluster.store import Link
from wsx.test.support import Recorder
from wsx.test.support.memory import MemoryServer
from wsx.test.support.memory_nats import MemoryLink, MemoryNats

__all__ = ["TTL", "URL", "ClusterCase", "MemoryCluster", "Process"]

URL = "ws://example.test/feed"
TTL = 10.0


class MemoryCluster(Cluster):
    """A cluster whose link is in memory.

    Attributes:
        link: The link.
        refusal: The exception with which connecting fails, or None.
    """

    def __init__(self, server: MemoryNats, clock: Clock, **options: Any) -> None:
        super().__init__("nats://nats.test", reactor=clock, ttl=TTL, **options)
        self.link = MemoryLink(server, clock, TTL / 10)
        self.refusal: Exception | None = None

    def _make_link(self) -> Link:
        if self.refusal is not None:
            self.link.start = lambda: fail(self.refusal)  # type: ignore[arg-type, method-assign]
        return self.link

    def connect(self) -> None:
        """Start the service, and connect."""
        self.startService()
        self._on_connected()


class Process:
    """A process: a cluster, and the WebSocket server that its clients connect to."""

    def __init__(self, nats: MemoryNats, clock: Clock) -> None:
        self.clock = clock
        self.cluster = MemoryCluster(nats, clock)
        self.server = MemoryServer(clock)

    def start(self, handler: Any, name: Any, **options: Any) -> Deferred[Any]:
        """Start a client."""
        options = {"reactor": self.clock, "endpoint": self.server, "ping_interval": None} | options
        return wsx.start(URL, handler, None, name=name, **options)

    def name(self, key: Any = "feed", **options: Any) -> Global:
        """Return a name in the cluster."""
        return Global(key, self.cluster, **options)


class ClusterCase(SynchronousTestCase):
    """Base class: two processes that are connected to the same server of NATS."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.nats = MemoryNats(self.clock, TTL)
        self.one, self.two = self.process(), self.process()

    def process(self) -> Process:
        """Start a process."""
        process = Process(self.nats, self.clock)
        process.cluster.connect()
        return process

    def advance(self, seconds: float = 0.0) -> None:
        """Advance the time in small steps."""
        for _ in range(max(1, round(seconds * 10))):
            self.clock.advance(0.1 if seconds else 0)
            self.clock.pump([0] * 20)

    def opened(self, process: Process, handler: Any = None, **options: Any) -> wsx.Client[Any]:
        """Start a client with the name "feed", and complete its opening handshake."""
        started = process.start(handler or Recorder(), process.name(**options))
        self.advance()
        process.server.peer.answer()
        self.advance()
        return self.successResultOf(started)

    def stopped(self, process: Process, client: wsx.Client[Any]) -> None:
        """Stop a client."""
        ended = client.stop()
        process.server.peer.drop()
        self.advance()
        self.successResultOf(ended)
