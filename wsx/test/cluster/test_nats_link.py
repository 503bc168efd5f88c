"""Tests of wsx._cluster.nats_link with real servers."""

from __future__ import annotations

import contextlib
import gc
import sys
from inspect import iscoroutine
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from zope.interface import implementer

from wsx._cluster.nats_link import NatsLink
from wsx._cluster.servers import Login
from wsx._cluster.store import Entry, Link, NoResponder
from wsx.errors import ClusterError
from wsx.test.support import collect_garbage
from wsx.test.support.nats import NatsCase
from wsx.test.support.nats_servers import HOST, free_ports
from wsx.test.support.sockets import global_reactor
from wsx.test.support.store_contract import LinkContract

USERS = """
authorization {{ users: [
  {{ user: me, password: opensesame {permissions} }}
] }}
"""


def echo(payload: bytes) -> Deferred[bytes]:
    """Serve a request with its content."""
    return succeed(payload)


class NatsLinkTests(LinkContract, NatsCase):
    """The contract of a link."""

    async def connect(self) -> Link:
        """Connect to a server of its own."""
        servers = await self.serve()
        return await self.connected(servers.urls, ttl=1.0)

    async def wait_for_expiry(self) -> None:
        """Wait a little longer than the time to live."""
        await self.sleep(1.5)


class SetupTests(NatsCase):
    """What is wrong with the setup is reported by start()."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    async def refusal(self, url: str, **options: Any) -> str:
        """Return why start() fails; neither that nor the log may show the password."""
        link = self.link(url, **options)
        error = await self.cluster_error(link.start())
        self.assertIs(type(error), ClusterError)
        self.assertNotIn("opensesame", "\n".join([*self.lines, repr(error), repr(link)]))
        self.assertFalse(link.is_connected)
        place = url.rpartition("/")[2].rpartition("@")[2]
        return error.reason.replace(place, "HOST")

    async def test_password(self) -> None:
        """User and password, from the URL or not."""
        servers = await self.serve(config=USERS.format(permissions=""))
        url = servers.urls[0]
        with_password = url.replace("//", "//me:opensesame@")
        await self.connected(with_password)
        await self.connected(url, login=Login(user="me", password="opensesame"))
        refused = "HOST refuses the credentials (Authorization Violation)"
        self.assertEqual(await self.refusal(with_password.replace("me:", "you:")), refused)
        self.assertEqual(await self.refusal(url), refused)

    async def test_token(self) -> None:
        """A token, from the URL or not."""
        servers = await self.serve(config="authorization { token: opensesame }")
        url = servers.urls[0]
        await self.connected(url.replace("//", "//opensesame@"))
        await self.connected(url, login=Login(token="opensesame"))
        refused = "HOST refuses the credentials (Authorization Violation)"
        self.assertEqual(await self.refusal(url, login=Login(token="wrong")), refused)

    async def test_jetstream_off(self) -> None:
        """A server without JetStream, and an account without it."""
        servers = await self.serve(jetstream=False)
        reason = await self.refusal(servers.urls[0])
        self.assertEqual(reason, "JetStream is not enabled on the NATS server")
        servers = await self.serve(
            config="accounts { A: { users: [ { user: me, password: x } ] } }"
        )
        reason = await self.refusal(servers.urls[0], login=Login(user="me", password="x"))
        self.assertEqual(reason, "JetStream is not enabled for this account of the NATS server")

    async def test_other_ttl(self) -> None:
        """A bucket that was created with another time to live."""
        servers = await self.serve()
        await self.connected(servers.urls)
        reason = await self.refusal(servers.urls[0], ttl=3.0)
        self.assertIn('bucket "test" has ttl=2, expected 3', reason)

    async def test_replicas(self) -> None:
        """More replicas than servers."""
        servers = await self.serve()
        reason = await self.refusal(servers.urls[0], replicas=3)
        self.assertIn("replicas > 1 not supported in non-clustered mode", reason)

    async def test_permissions(self) -> None:
        """A user who may not use JetStream, or not receive replies."""
        for permissions, refused in (
            ('publish: "a"', "no permission to publish to $JS.API.STREAM.INFO.KV_test"),
            ('subscribe: "a"', "no permission to subscribe to _INBOX."),
        ):
            config = USERS.format(permissions=f", permissions: {{ {permissions} }}")
            servers = await self.serve(config=config)
            login = Login(user="me", password="opensesame")
            self.assertIn(refused, await self.refusal(servers.urls[0], login=login))

    async def test_refused_replies(self) -> None:
        """A holder that may not reply logs one line; the caller gets an error."""
        config = USERS.format(permissions=', permissions: { publish: { deny: "_INBOX.>" } }')
        servers = await self.serve(config=config)
        link = await self.connected(servers.urls, login=Login(user="me", password="opensesame"))
        await link.subscribe("a", echo)
        for _ in range(3):
            await self.cluster_error(link.request("a", b"", 0.3))
        lines = [line for line in self.lines if "NATS refuses replies" in line]
        self.assertEqual(len(lines), 1)

    async def test_no_package(self) -> None:
        """Without nats-py, start() says what to install."""
        with patch.dict(sys.modules, {"wsx._cluster.nats_connection": None}):
            reason = await self.refusal("nats://unused")
        self.assertEqual(reason, 'NATS needs more packages: pip install "txwsx[nats]"')

    async def test_no_file(self) -> None:
        """A missing file with credentials."""
        reason = await self.refusal("nats://unused", login=Login(nkey_file="/no/file"))
        self.assertIn("cannot read the NKey seed file /no/file", reason)


class StartTests(NatsCase):
    """The start and the end of a link."""

    async def test_no_server(self) -> None:
        """start() tries again until there is a server."""
        servers = await self.serve()
        servers.servers[0].stop()
        link = self.link(servers.urls)
        starting = link.start()
        await self.sleep(0.5)
        self.assertNoResult(starting)
        await self.assertFailure(link.read("feed"), ClusterError)
        await servers.servers[0].restart()
        await starting
        refused = f"cannot connect to {servers.urls[0].rpartition('/')[2]} (connection refused)"
        self.assertEqual((self.events[0], self.events[-1]), (refused, "connected"))
        self.assertIsNone(await link.read("feed"))

    async def test_second_address(self) -> None:
        """All servers of the list are tried."""
        servers = await self.serve()
        for _ in range(3):
            await self.connected([f"nats://{HOST}:{free_ports(1)[0]}", *servers.urls])

    async def test_name(self) -> None:
        """A host name is looked up by the reactor."""
        servers = await self.serve()
        await self.connected(servers.urls[0].replace(HOST, "localhost"))

    async def test_unknown_name(self) -> None:
        """An unknown host is no reason to give up."""
        link = self.link("nats://unknown.invalid")
        starting = link.start()
        await self.sleep(0.3)
        self.assertNoResult(starting)
        await link.stop()
        await self.assertFailure(starting, ClusterError)

    async def test_stop_while_connecting(self) -> None:
        """stop() ends a start, at any time."""
        url, _ = self.listen(info=b"")
        servers = await self.serve()
        for place in (url, servers.urls[0], f"nats://{HOST}:{free_ports(1)[0]}"):
            for seconds in (0, 0.001, 0.005, 0.01, 0.02, 0.05):
                link = self.link(place)
                starting = link.start()
                await self.sleep(seconds)
                await link.stop()
                if "connected" not in self.events:
                    error = await self.cluster_error(starting)
                    self.assertIn("stopped", error.reason)
                self.events.clear()

    async def test_cancel(self) -> None:
        """A start can be cancelled."""
        url, _ = self.listen(info=b"")
        link = self.link(url)
        starting = link.start()
        await self.sleep(0.05)
        starting.cancel()
        await self.assertFailure(starting, CancelledError)
        await link.stop()

    async def test_stop_in_callback(self) -> None:
        """stop() may be called where start() fires, and where a loss is reported."""
        servers = await self.serve()
        link = self.link(servers.urls)
        stopped: Deferred[None] = Deferred()
        link.start().addCallback(lambda _: link.stop().chainDeferred(stopped))
        await stopped
        self.assertEqual(self.events, ["connected"])
        # Cancelling a coroutine that runs has no effect; it would stay suspended.
        suspended = [one for one in gc.get_objects() if iscoroutine(one) and one.cr_frame]
        self.assertNotIn("_stay_connected", [one.__name__ for one in suspended])
        ended: Deferred[None] = Deferred()
        again = NatsLink(
            servers.urls,
            bucket="test",
            ttl=2.0,
            reactor=global_reactor(),
            on_problem=lambda _: again.stop().chainDeferred(ended),
        )
        await again.start()
        servers.servers[0].kill()
        await ended
        collect_garbage()
        self.assertFalse(self.flushLoggedErrors())

    async def test_stop_again(self) -> None:
        """stop() can be called more than once, and without a start."""
        servers = await self.serve()
        link = await self.connected(servers.urls)
        for stopping in [link.stop(), link.stop()]:
            await stopping
        await link.stop()
        await self.link(servers.urls).stop()

    async def test_start_again(self) -> None:
        """A link can be started again after its end."""
        servers = await self.serve()
        link = await self.connected(servers.urls)
        await link.stop()
        await self.assertFailure(link.read("feed"), ClusterError)
        await link.start()
        self.assertIsNone(await link.read("feed"))

    async def test_pending(self) -> None:
        """stop() fails what waits for an answer."""
        servers = await self.serve()
        link = await self.connected(servers.urls)
        await link.subscribe("a", lambda _: Deferred())
        waiting = [link.request("a", b"", 60.0) for _ in range(3)]
        stopped = link.stop()
        for one in waiting:
            await self.assertFailure(one, ClusterError)
        await stopped

    async def test_sent_before_stop(self) -> None:
        """Replies that were given before stop() are sent."""
        servers = await self.serve()
        serving = await self.connected(servers.urls)
        calling = await self.connected(servers.urls)
        replies: list[Deferred[bytes]] = [Deferred() for _ in range(100)]
        received: list[bytes] = []

        def serve(payload: bytes) -> Deferred[bytes]:
            received.append(payload)
            return replies[len(received) - 1]

        await serving.subscribe("a", serve)
        asked = [calling.request("a", b"", 10.0) for _ in replies]
        await self.until(lambda: len(received) == len(replies))
        for reply in replies:
            reply.callback(b"x")
        await serving.stop()
        self.assertEqual([await one for one in asked], [b"x"] * 100)

    async def test_no_socket_left(self) -> None:
        """No socket is left behind, neither by a link nor by a failed attempt."""
        servers = await self.serve()
        link: NatsLink = await self.connected(servers.urls)
        await link.stop()
        before = sockets()
        for url in (*servers.urls, f"nats://{HOST}:{free_ports(1)[0]}"):
            link = self.link(url)
            link.start().addErrback(lambda _: None)
            await self.sleep(0.3)
            await link.stop()
        self.assertEqual(sockets(), before)


class LossTests(NatsCase):
    """Connections that are lost."""

    async def test_restart(self) -> None:
        """After the server was killed and started again, everything works again."""
        servers = await self.serve()
        link = await self.connected(servers.urls)
        await link.subscribe("a", echo)
        unsubscribe = await link.subscribe("b", echo)
        revision = await link.write("feed", b"one", 0)
        waiting = link.request("c", b"", 60.0)
        await self.assertFailure(waiting, NoResponder)
        servers.servers[0].kill()
        await self.until(lambda: len(self.events) > 1)
        self.assertFalse(link.is_connected)
        await unsubscribe()
        failing: list[Deferred[Any]] = [
            link.read("feed"),
            link.request("a", b"late", 60.0),
            link.subscribe("d", echo),
        ]
        for one in failing:
            error = await self.cluster_error(one)
            self.assertEqual(error.reason, "not connected to NATS")
        await servers.servers[0].restart()
        await self.until(lambda: self.events.count("connected") == 2)
        self.assertEqual(self.events[:2], ["connected", "the server closed the connection"])
        self.assertEqual(await link.read("feed"), Entry(revision, b"one"))
        self.assertEqual(await link.request("a", b"new", 5.0), b"new")
        await self.assertFailure(link.request("b", b"", 5.0), NoResponder)

    async def test_waiting_requests(self) -> None:
        """A request that waits for a reply fails when the connection is lost."""
        servers = await self.serve()
        link = await self.connected(servers.urls)
        await link.subscribe("a", lambda _: Deferred())
        waiting = link.request("a", b"", 60.0)
        await self.sleep(0.05)
        servers.servers[0].kill()
        error = await self.cluster_error(waiting)
        self.assertIn("connection to NATS is lost", error.reason)

    async def test_pause(self) -> None:
        """A server that stops answering is noticed by pings; requests have time limits."""
        servers = await self.serve()
        link = await self.connected(servers.urls)
        servers.servers[0].pause()
        error = await self.cluster_error(link.request("a", b"", 0.1))
        self.assertEqual(error.reason, "no answer from NATS within 0.1 s")
        await self.until(lambda: len(self.events) > 1)
        self.assertEqual(self.events[1], "no answer from the server within 0.25 s")
        servers.servers[0].resume()
        await self.until(lambda: self.events.count("connected") == 2)
        self.assertIsNone(await link.read("feed"))

    async def test_stop_while_paused(self) -> None:
        """stop() does not wait for a server that does not answer, even with unsent data."""
        servers = await self.serve()
        link = await self.connected(servers.urls, ttl=60.0)
        servers.servers[0].pause()
        for _ in range(20):
            link.request("a", b"x" * 1_000_000, 60.0).addErrback(lambda _: None)
        await self.sleep(0.1)
        await link.stop()
        self.assertEqual(self.events, ["connected"])

    async def test_nothing_is_sent_late(self) -> None:
        """What was not sent before the loss is not sent after it."""
        servers = await self.serve()
        link = await self.connected(servers.urls, ttl=1.0)
        received: list[bytes] = []

        def serve(payload: bytes) -> Deferred[bytes]:
            received.append(payload[:4])
            return succeed(b"")

        await link.subscribe("a", serve)
        servers.servers[0].pause()
        for _ in range(30):  # More than the buffers of the sockets take.
            link.request("a", b"late" * 200_000, 60.0).addErrback(lambda _: None)
        await self.until(lambda: len(self.events) > 1)
        servers.servers[0].kill()
        await servers.servers[0].restart()
        await self.until(lambda: self.events.count("connected") == 2)
        await link.request("a", b"new", 5.0)
        self.assertEqual(received, [b"new"])

    async def test_leader(self) -> None:
        """Another server takes over if that with the bucket is killed."""
        servers = await self.serve(3)
        link = await self.connected(servers.urls[0], replicas=3, ttl=10.0)
        revision = await link.write("feed", b"one", 0)
        leader = servers.leader("test")
        leader.kill()
        written = None
        while written is None:
            if link.is_connected:
                with contextlib.suppress(ClusterError):
                    written = await link.write("feed", b"two", revision)
            await self.sleep(0.1)
        self.assertEqual(await link.read("feed"), Entry(written, b"two"))
        self.assertIsNot(servers.leader("test"), leader)


def sockets() -> int:
    """Return the number of open sockets of this process."""
    links = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(path.readlink().name)
    return sum(link.startswith("socket:") for link in links)
