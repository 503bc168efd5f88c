"""Tests of wsx._cluster.nats_client: what it changes of nats-py, with real servers.

Each test fails if nats-py renames the private attribute that is changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from wsx._cluster.event_loop import EventLoop
from wsx.errors import ClusterSetupError
from wsx.test.support.nats import NatsCase
from wsx.test.support.sockets import global_reactor

if TYPE_CHECKING:
    from wsx._cluster.nats_client import Client


class ClientTests(NatsCase):
    """What is changed of nats-py's client."""

    def setUp(self) -> None:
        super().setUp()
        self.loop = EventLoop(global_reactor())
        self.loop.start()
        self.addCleanup(self.loop.stop)

    async def client(self, url: str, *, requires_tls: bool = False, **options: Any) -> Client:
        """Return a client that is connected."""
        from wsx._cluster.nats_client import Client

        async def ignore(error: Exception) -> None:
            """Print nothing."""

        client = Client(requires_tls=requires_tls)

        def close() -> Deferred[None]:
            self.loop.to_loop(client.abort)
            return self.loop.run(client.close)

        self.addCleanup(close)
        connecting = self.loop.run(
            lambda: client.connect(
                [url], allow_reconnect=False, error_cb=ignore, pending_size=0, **options
            )
        )
        await connecting
        return client

    async def test_requires_tls(self) -> None:
        """Nothing is sent to a server that does not offer TLS; nats-py would send the password."""
        url, servers = self.listen()
        connecting = Deferred.fromCoroutine(
            self.client(url, requires_tls=True, user="me", password="opensesame")
        )
        await self.assertFailure(connecting, ClusterSetupError)
        self.assertEqual([server.received for server in servers], [b""])

    async def test_ping_after_commands(self) -> None:
        """flush() sends its PING after the commands before it; that of nats-py overtakes them."""
        url, servers = self.listen()
        client = await self.client(url)

        async def subscribe() -> None:
            await client.subscribe("a.b")
            await client.flush()

        await self.loop.run(subscribe)
        sent = servers[0].received
        self.assertLess(sent.index(b"SUB a.b"), sent.rindex(b"PING"))

    async def test_reading_ends(self) -> None:
        """The end of reading is reported."""
        url, servers = self.listen()
        client = await self.client(url)
        ended: Deferred[None] = Deferred()
        self.loop.to_loop(
            client.when_reading_ends, lambda: self.loop.to_reactor(ended.callback, None)
        )
        servers[0].transport.loseConnection()
        await ended

    async def test_close_with_unsent_data(self) -> None:
        """What was not sent before the connection was lost is not written at the close."""
        url, servers = self.listen()
        client = await self.client(url)

        async def lose() -> None:
            client.abort()
            await client.publish("a.b", b"x")
            await client.close()

        await self.loop.run(lose)
        self.assertNotIn(b"PUB", servers[0].received)

    async def test_abort(self) -> None:
        """abort() closes the socket at once; without it, close() waits until all is sent."""
        url, servers = self.listen()
        client = await self.client(url)
        servers[0].transport.pauseProducing()

        async def close() -> None:
            await client.publish("a.b", b"x" * 50_000_000)
            while client.pending_data_size:
                await asyncio.sleep(0.001)
            closing = asyncio.ensure_future(client.close())
            await asyncio.wait({closing}, timeout=0.1)
            self.assertFalse(closing.done())
            client.abort()
            await closing

        await self.loop.run(close)
        servers[0].transport.resumeProducing()  # An asyncio reactor then notes the end.
