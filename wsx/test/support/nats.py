"""A base class for tests with links to real NATS servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from wsx._cluster.nats_link import NatsLink
from wsx.errors import ClusterError
from wsx.test.support.extras import missing
from wsx.test.support.nats_servers import HOST, NatsServers, missing_server
from wsx.test.support.sockets import global_reactor

__all__ = ["INFO", "FakeServer", "NatsCase"]

INFO = b'INFO {"server_id":"a","version":"2.10.0","headers":true,"max_payload":100000000}\r\n'


class FakeServer(Protocol):
    """A server that sends an INFO, records what it receives, and answers each PING.

    Attributes:
        info: What it sends first.
        answer: Its answer to a PING.
        received: What it has received.
        is_lost: Whether the connection is closed.
    """

    transport: Any
    info = INFO
    answer = b"PONG\r\n"
    received = b""
    is_lost = False

    def connectionMade(self) -> None:
        self.transport.write(self.info)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.transport.write(self.answer * data.count(b"PING\r\n"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_lost = True


class NatsCase(TestCase):
    """Tests with real servers. They are skipped if nats-server or nats-py is not installed.

    Attributes:
        events: What the links have reported: ``"connected"``, or why a connection was lost.
    """

    skip = missing("nats", "nkeys") or missing_server()
    timeout = 60

    def setUp(self) -> None:
        self.events: list[str] = []
        self.addCleanup(self._check_threads)

    async def serve(self, number: int = 1, config: str = "", **options: Any) -> NatsServers:
        """Start servers, which end with the test."""
        servers = NatsServers(number, config, **options)
        self.addCleanup(servers.stop)
        await servers.start()
        return servers

    def listen(self, **attributes: Any) -> tuple[str, list[FakeServer]]:
        """Listen with fake servers; return the URL, and the list for their connections."""
        servers: list[FakeServer] = []

        def build() -> FakeServer:
            server = FakeServer()
            vars(server).update(attributes)
            servers.append(server)
            return server

        factory = Factory.forProtocol(build)
        factory.noisy = False
        port = global_reactor().listenTCP(0, factory, interface=HOST)
        self.addCleanup(self.until, lambda: all(server.is_lost for server in servers))
        self.addCleanup(port.stopListening)
        return f"nats://{HOST}:{port.getHost().port}", servers

    def link(self, urls: Any, **options: Any) -> NatsLink:
        """Return a link, which is stopped with the test."""
        options = {"bucket": "test", "ttl": 2.0, "reactor": global_reactor(), **options}
        link = NatsLink(
            urls,
            on_connected=lambda: self.events.append("connected"),
            on_problem=self.events.append,
            **options,
        )
        self.addCleanup(link.stop)
        return link

    async def connected(self, urls: Any, **options: Any) -> NatsLink:
        """Return a link that has been started."""
        link = self.link(urls, **options)
        await link.start()
        return link

    async def cluster_error(self, failing: Deferred[Any]) -> ClusterError:
        """Return the ClusterError with which something fails."""
        error: Any = await self.assertFailure(failing, ClusterError)
        return cast("ClusterError", error)

    def _check_threads(self) -> None:
        """No thread may be left after all links have stopped."""
        self.assertNotIn("wsx cluster", [thread.name for thread in threading.enumerate()])

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; the time limit is that of the test."""
        while not condition():
            await self.sleep(0.02)

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait."""
        return deferLater(global_reactor(), seconds, lambda: None)
