"""Tests of wsx._cluster.nats_connection, through links, with servers that misbehave."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from wsx._cluster.event_loop import EventLoop
from wsx._cluster.servers import parse_servers
from wsx.errors import ClusterError, ClusterSetupError
from wsx.test.support.nats import INFO, FakeServer, NatsCase
from wsx.test.support.sockets import global_reactor


class Recorder:
    """The observer of a connection."""

    def __init__(self) -> None:
        self.lost_for: Deferred[str] = Deferred()

    def replied(self, number: int, payload: bytes | None) -> None:
        """Ignore it."""

    def received(self, number: int, payload: bytes, reply: str, source: Any) -> None:
        """Ignore it."""

    def refused(self, subject: str) -> None:
        """Ignore it."""

    def lost(self, source: Any, reason: str) -> None:
        """Fire, once only."""
        self.lost_for.callback(reason)


class ConnectionTests(NatsCase):
    """A connection to a server that the test controls."""

    def setUp(self) -> None:
        super().setUp()
        self.loop = EventLoop(global_reactor())
        self.loop.start()
        self.addCleanup(self.loop.stop)
        self.recorder = Recorder()

    def connect(self, url: str, interval: float = 60.0, **options: Any) -> Deferred[None]:
        """Open a connection."""
        from wsx._cluster.nats_connection import NatsConnection

        (server,) = parse_servers(url)
        connection = NatsConnection(
            server, server.host, self.recorder, self.loop.to_reactor, limit=1.0, interval=interval
        )
        self.addCleanup(lambda: self.loop.run(connection.close))
        return self.loop.run(connection.open, options, False)

    async def refusal(self, **attributes: Any) -> ClusterError:
        """Return the error of an attempt to connect to a fake server."""
        url, _ = self.listen(**attributes)
        error = await self.cluster_error(self.connect(url))
        place = url.removeprefix("nats://")
        self.assertIn(place, error.reason)
        self.reason = error.reason.replace(place, "HOST")
        return error

    async def test_old_version(self) -> None:
        """A server that is too old is refused."""
        error = await self.refusal(info=INFO.replace(b"2.10", b"2.8"))
        self.assertIsInstance(error, ClusterSetupError)
        self.assertEqual(self.reason, "HOST has version 2.8 of nats-server (expected 2.9 or newer)")

    async def test_refused_credentials(self) -> None:
        """Trying again with the same credentials does not help."""
        error = await self.refusal(answer=b"-ERR 'Authorization Violation'\r\n")
        self.assertIsInstance(error, ClusterSetupError)
        self.assertEqual(self.reason, "HOST refuses the credentials (Authorization Violation)")

    async def test_other_refusal(self) -> None:
        """Other refusals may end by themselves."""
        error = await self.refusal(answer=b"-ERR 'maximum connections exceeded'\r\n")
        self.assertIs(type(error), ClusterError)
        self.assertEqual(self.reason, "cannot connect to HOST (maximum connections exceeded)")

    async def test_silent(self) -> None:
        """A server that sends nothing is given up after the time limit."""
        await self.refusal(info=b"")
        self.assertEqual(self.reason, "cannot connect to HOST (no answer in time)")
        await self.refusal(answer=b"")
        self.assertEqual(self.reason, "cannot connect to HOST (no answer in time)")

    async def test_no_nats_server(self) -> None:
        """Another kind of server is reported."""
        await self.refusal(info=b"HTTP/1.1 200 OK\r\n")
        self.assertIn("empty response from server when expecting INFO", self.reason)
        await self.refusal(info=b"INFO {\r\n")
        self.assertIn("json parse error", self.reason)

    async def test_closed_before_ready(self) -> None:
        """A server that closes the connection in place of its last reply is reported."""
        url, servers = self.listen(answer=b"")
        connecting = self.connect(url)
        await self.until(lambda: servers and b"PING" in servers[0].received)
        servers[0].transport.loseConnection()
        error = await self.cluster_error(connecting)
        self.assertIn("the server closed the connection", error.reason)

    async def test_lost(self) -> None:
        """The loss of the connection is reported once, with what the server has said."""
        for goodbye, reason in (
            (b"", "the server closed the connection"),
            (b"-ERR 'User Authentication Expired'\r\n", "user authentication expired"),
        ):
            self.recorder.lost_for = Deferred()
            url, servers = self.listen()
            await self.connect(url)
            servers[0].transport.write(goodbye)
            servers[0].transport.loseConnection()
            self.assertEqual(await self.recorder.lost_for, reason)

    async def test_no_pong(self) -> None:
        """A connection without an answer to a ping is lost."""
        url, servers = self.listen()
        await self.connect(url, interval=0.1)
        await self.until(lambda: servers[0].received.count(b"PING\r\n") > 3)
        self.assertFalse(self.recorder.lost_for.called)
        servers[0].answer = b""
        reason = await self.recorder.lost_for
        self.assertEqual(reason, "no answer from the server within 0.1 s")

    def has_pings(self, server: FakeServer, number: int) -> bool:
        """Return whether a server has received this number of pings."""
        return server.received.count(b"PING\r\n") >= number

    async def test_late_pong(self) -> None:
        """Late answers to pings, within the interval, do no harm."""
        url, servers = self.listen()
        await self.connect(url, interval=0.2)
        servers[0].answer = b""
        for count in range(servers[0].received.count(b"PING\r\n"), 6):
            await self.until(partial(self.has_pings, servers[0], count + 1))
            await self.sleep(0.02)
            servers[0].transport.write(b"PONG\r\n")
        self.assertFalse(self.recorder.lost_for.called)
