"""Tests of wsx.cluster: several processes with clients, and NATS in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Cluster, Global, telemetry
from wsx.errors import ClusterError
from wsx.test.support import Recorder
from wsx.test.support.each import each
from wsx.test.support.memory_cluster import TTL, URL, ClusterCase, MemoryCluster, Process


class NameTests(ClusterCase):
    """One client of the cluster has a name."""

    def test_in_use(self) -> None:
        """A second client fails with a reference to the first one."""
        self.opened(self.one)
        started = self.two.start(Recorder(), self.two.name())
        self.advance()
        error: Any = self.failureResultOf(started, wsx.AlreadyStartedError).value
        self.assertIsInstance(error.client, wsx.RemoteClient)
        self.assertEqual(error.client.holder.client, f"Recorder {URL}")
        self.assertRegex(
            str(error), r"in use by a client that has not ended \(process \d+ on \S+\)"
        )
        self.assertEqual(self.two.server.attempts, 0)

    def test_other_names(self) -> None:
        """Different names, and names of different clusters, are independent."""
        self.opened(self.one)
        for name in (self.two.name("other"), self.two.name(("feed", 7)), "feed"):
            started = self.two.start(Recorder(), name)
            self.advance()
            self.two.server.peer.answer()
            self.advance()
            self.stopped(self.two, self.successResultOf(started))

    def test_same_process(self) -> None:
        """A second client of the same process fails with the first client itself."""
        client = self.opened(self.one)
        started = self.one.start(Recorder(), self.one.name())
        self.advance()
        error: Any = self.failureResultOf(started, wsx.AlreadyStartedError).value
        self.assertIs(error.client, client)

    def test_free_again(self) -> None:
        """A name is free at once when its client has ended, and the fence grows."""
        first = self.opened(self.one)
        fence = first.fence
        self.stopped(self.one, first)
        second = self.opened(self.two)
        assert fence is not None and second.fence is not None
        self.assertGreater(second.fence, fence)
        self.assertIsNone(first.fence)

    def test_lookup(self) -> None:
        """Lookup returns the client in its process, and a reference elsewhere."""
        self.assertIsNone(self.looked_up(self.one))
        client = self.opened(self.one)
        self.assertIs(self.looked_up(self.one), client)
        remote = self.looked_up(self.two)
        self.assertIsInstance(remote, wsx.RemoteClient)
        self.assertEqual(remote.name, self.two.name())
        self.stopped(self.one, client)
        self.assertIsNone(self.looked_up(self.two))

    def test_not_served_yet(self) -> None:
        """The reference to a client that has just got the name works at once."""
        self.one.cluster.link.latency = 0.4
        self.one.start(Recorder(), self.one.name())
        self.advance(0.5)  # Its entry is written; its subscriptions are on their way.
        started = self.two.start(Recorder(), self.two.name())

        def ask(failure: Any) -> Deferred[Any]:
            found: Deferred[Any] = failure.value.client.status()
            return found

        asked = started.addErrback(ask)
        self.advance(2)
        self.assertEqual(self.successResultOf(asked), "connecting")

    def test_never_served(self) -> None:
        """A reference to a client that has died is returned after a moment."""
        self.opened(self.one)
        self.nats.subscriptions.clear()
        found = wsx.lookup(self.two.name())
        self.advance(1)
        self.assertNoResult(found)
        self.advance(4)
        remote = self.successResultOf(found)
        late = remote.cast("late")
        self.advance(0.1)
        self.failureResultOf(late, wsx.UnknownNameError)

    def looked_up(self, process: Process) -> Any:
        """Return what lookup finds."""
        found = wsx.lookup(process.name())
        self.advance()
        return self.successResultOf(found)

    def test_calls(self) -> None:
        """A reference delivers messages to the client."""
        recorder = Recorder()
        client = self.opened(self.one, recorder)
        remote = self.looked_up(self.two)
        done = [remote.cast({"a": [1, b"x"]}), remote.info("i"), remote.send_frame(wsx.Text("t"))]
        asked = [remote.status(), remote.sys.get_status()]
        self.advance(0.1)
        for call in done:
            self.successResultOf(call)
        self.assertEqual(recorder.arguments("handle_cast"), [{"a": [1, b"x"]}])
        self.assertEqual(recorder.arguments("handle_info"), ["i"])
        self.assertEqual(self.one.server.peer.received(), [(1, b"t")])
        self.assertEqual(self.successResultOf(asked[0]), "open")
        self.assertEqual(self.successResultOf(asked[1])["status"], "open")
        ended = remote.stop("by the other process")
        self.advance(0.1)
        self.one.server.peer.drop()
        self.advance(0.1)
        self.assertIn("by the other process", self.successResultOf(ended))
        self.assertEqual(client.status, "terminated")
        self.advance(0.1)
        late = remote.cast("late")
        self.advance(0.1)
        self.failureResultOf(late, wsx.UnknownNameError)

    def test_send_frame_by_name(self) -> None:
        """wsx.send_frame finds the client in the other process."""
        self.opened(self.one)
        sent = wsx.send_frame(self.two.name(), wsx.Text("t"))
        self.advance(0.1)
        self.successResultOf(sent)
        self.assertEqual(self.one.server.peer.received(), [(1, b"t")])


class StandbyTests(ClusterCase):
    """A standby follows the holder."""

    def standby(self, **options: Any) -> wsx.Client[Any]:
        """Start a standby in the second process."""
        started = self.two.start(Defaults(), self.two.name(standby=True), async_=True, **options)
        self.advance(1)
        client = self.successResultOf(started)
        self.assertEqual((client.status, self.two.server.attempts), ("connecting", 0))
        return client

    def test_orderly(self) -> None:
        """After an orderly end, the standby connects within a second."""
        first = self.opened(self.one)
        standby = self.standby()
        self.stopped(self.one, first)
        self.advance(0.5)
        self.two.server.peer.answer()
        self.advance()
        self.assertEqual(standby.status, "open")

    def test_death(self) -> None:
        """After the death of the holder, the standby connects once the time to live is over."""
        self.opened(self.one)
        standby = self.standby()
        self.one.cluster.link.loses_requests = True  # It dies: nothing of it arrives any more.
        self.one.cluster._holdings.clear()
        self.advance(0.7 * TTL)
        self.assertEqual(self.two.server.attempts, 0)
        self.advance(0.5 * TTL)
        self.two.server.peer.answer()
        self.advance()
        self.assertEqual(standby.status, "open")

    def test_partition(self) -> None:
        """The isolated holder disconnects first, then the standby connects; later it is one."""
        first = self.opened(self.one, Defaults())
        standby = self.standby()
        self.one.cluster.link.loses_requests = True
        while not self.two.server.attempts:
            self.advance(0.1)
            if self.two.server.attempts:
                self.assertEqual(first.status, "connecting")
                self.assertTrue(self.one.server.peer._lost)
        self.two.server.peer.answer()
        self.advance()
        self.one.cluster.link.loses_requests = False
        self.advance(2 * TTL)
        self.assertEqual((first.status, standby.status), ("connecting", "open"))
        self.assertEqual((self.one.server.attempts, self.two.server.attempts), (1, 1))
        self.stopped(self.two, standby)
        self.advance(1)
        self.one.server.peer.answer()
        self.advance()
        self.assertEqual(first.status, "open")

    def test_keep(self) -> None:
        """With on_partition="keep", an isolated holder stays connected."""
        first = self.opened(self.one, Defaults(), on_partition="keep")
        self.one.cluster.link.loses_requests = True
        self.advance(5 * TTL)
        self.assertEqual(first.status, "open")
        self.one.cluster.link.loses_requests = False
        self.advance(TTL)
        self.assertEqual(first.status, "open")

    def test_log(self) -> None:
        """The log says who has the name, and why that changes."""
        with capturedLogs() as events:
            first = self.opened(self.one)
            self.standby()
            self.stopped(self.one, first)
            self.advance(1)
        lines = [formatEvent(event) for event in events]
        named = [line for line in lines if line.startswith("cluster wsx: ") and '"feed"' in line]
        self.assertRegex(named[0], r'this process has the name "feed" \(fence 1; it was free\)')
        self.assertRegex(named[1], r'the name "feed" is held by process \d+ on \S+ since .* UTC')
        self.assertRegex(named[2], r'released the name "feed"$')
        self.assertRegex(named[3], r'process has the name "feed" \(fence \d; before: process \d+')
        self.assertEqual(len(named), 4, named)

    def test_telemetry(self) -> None:
        """Telemetry has an event for each change."""
        seen: list[Any] = []

        def observe(event: str, _: Any, metadata: Any, __: Any) -> None:
            seen.append((event, metadata["cluster"], metadata["client"]))

        names = [name for name in telemetry.EVENTS if name.startswith("wsx.name.")]
        telemetry.attach("test", names, observe)
        self.addCleanup(telemetry.detach, "test")
        first = self.opened(self.one, Defaults())
        standby = self.standby()
        self.stopped(self.one, first)
        self.advance(1)
        self.two.server.peer.answer()
        self.two.cluster.link.loses_requests = True
        self.advance(TTL)
        self.assertEqual(
            seen,
            [
                ("wsx.name.acquired", "wsx", first),
                ("wsx.name.waiting", "wsx", standby),
                ("wsx.name.released", "wsx", first),
                ("wsx.name.acquired", "wsx", standby),
                ("wsx.name.lost", "wsx", standby),
            ],
        )


class Defaults(wsx.Handler[Any]):
    """A handler with the default callbacks."""


class ServiceTests(ClusterCase):
    """The service of the cluster."""

    def test_not_released(self) -> None:
        """A name that cannot be released is logged; the client ends."""
        client = self.opened(self.one)
        self.one.cluster.link.loses_requests = True
        with capturedLogs() as events:
            ended = client.stop()
            self.one.server.peer.drop()
            self.advance(2)
        self.successResultOf(ended)
        self.assertIn(
            'cluster wsx: could not release the name "feed" (no answer from NATS within 1 s); '
            "it will be free in 10 s or less",
            [formatEvent(event) for event in events],
        )

    def test_stop(self) -> None:
        """Stopping the service stops its clients, releases their names, and disconnects."""
        first = self.opened(self.one)
        waiting = self.one.start(Recorder(), self.one.name(standby=True))
        stopped: Deferred[Any] = self.one.cluster.stopService()
        self.advance()
        self.assertNoResult(stopped)
        self.one.server.peer.drop()
        self.advance(0.1)
        self.successResultOf(stopped)
        self.failureResultOf(waiting, wsx.ClientEnded)
        self.assertEqual(first.status, "terminated")
        self.assertFalse(self.one.cluster.link.is_connected)
        entry = self.nats.read("feed")
        assert entry is not None
        self.assertTrue(entry.is_deleted)

    def test_not_started(self) -> None:
        """A client waits ten seconds for the cluster, then its start fails."""
        cluster = MemoryCluster(self.nats, self.clock)
        started = self.one.start(Recorder(), Global("feed", cluster))
        self.advance(9.9)
        self.assertNoResult(started)
        self.advance(0.2)
        error = self.failureResultOf(started, ClusterError).value
        self.assertEqual(
            str(error),
            "cluster: not connected to NATS within 10 s: the service has not been started",
        )

    def test_started_later(self) -> None:
        """A client waits for a cluster that is started after it."""
        cluster = MemoryCluster(self.nats, self.clock)
        started = self.one.start(Recorder(), Global("feed", cluster))
        self.advance(5)
        cluster.connect()
        cluster.link.is_connected = True
        self.advance()
        self.one.server.peer.answer()
        self.advance()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_refused(self) -> None:
        """If trying again cannot help, the reason is logged once, and clients fail with it."""
        cluster = MemoryCluster(self.nats, self.clock)
        cluster.refusal = ClusterError("NATS refuses the credentials")
        early = self.one.start(Recorder(), Global("feed", cluster))
        with capturedLogs() as events:
            cluster.startService()
        late = self.one.start(Recorder(), Global("feed", cluster))
        self.advance()
        for started in (early, late):
            error = self.failureResultOf(started, ClusterError).value
            self.assertEqual(str(error), "cluster: NATS refuses the credentials")
            self.assertIsInstance(error, wsx.ClusterSetupError)
        self.assertEqual(
            [formatEvent(event) for event in events if event["log_level"].name == "error"],
            ["cluster wsx: NATS refuses the credentials; not trying again"],
        )

    def test_stopped_while_connecting(self) -> None:
        """A service that is stopped before it is connected logs no error; clients may try again."""
        cluster = MemoryCluster(self.nats, self.clock)
        connecting: Deferred[None] = Deferred()
        cluster.link.start = lambda: connecting  # type: ignore[method-assign]
        cluster.startService()
        started = self.one.start(Recorder(), Global("feed", cluster))
        with capturedLogs() as events:
            self.successResultOf(cluster.stopService())
            connecting.errback(ClusterError("stopped"))
            self.advance()
        self.assertEqual([e for e in events if e["log_level"].name == "error"], [])
        error = self.failureResultOf(started, ClusterError).value
        self.assertEqual(str(error), "cluster: the service has been stopped")
        self.assertNotIsInstance(error, wsx.ClusterSetupError)

    def test_client_service(self) -> None:
        """A ClientService tries again, as its policy says, while NATS cannot be reached."""
        cluster = MemoryCluster(self.nats, self.clock)
        service = wsx.ClientService(
            URL,
            Defaults,
            None,
            name=Global("feed", cluster),
            reactor=self.clock,
            endpoint=self.one.server,
            ping_interval=None,
        )
        service.startService()
        self.advance(30)
        cluster.connect()
        cluster.link.is_connected = True
        while not self.one.server.attempts:
            self.advance(0.1)
        self.one.server.peer.answer()
        self.advance()
        assert service.client is not None
        self.assertEqual(service.client.status, "open")
        service.stopService()


class ArgumentTests(SynchronousTestCase):
    """The arguments of Cluster and Global."""

    @each(
        [
            ({"bucket": "a b"}, ValueError, "bucket: expected at most 64 letters, digits"),
            ({"bucket": ""}, ValueError, "bucket: expected at most 64 letters"),
            ({"ttl": 0.5}, ValueError, "ttl: expected a number from 1 to 3600, got 0.5"),
            ({"ttl": "10"}, ValueError, 'ttl: expected a number from 1 to 3600, got "10"'),
            ({"replicas": 0}, ValueError, "replicas: expected a number from 1 to 5, got 0"),
            ({"replicas": True}, ValueError, "replicas: expected a number from 1 to 5, got True"),
            ({"user": 5}, TypeError, "user: expected a str or None, got int"),
            ({"password": b"x"}, TypeError, "password: expected a str or None, got bytes"),
            ({"token": b"x"}, TypeError, "token: expected a str or None, got bytes"),
            ({"nkey_file": 5}, TypeError, "nkey_file: expected a path or None, got int"),
            ({"credentials_file": 5}, TypeError, "credentials_file: expected a path or None"),
            ({"tls": "x"}, TypeError, "tls: expected an SSLContext, a bool or None, got str"),
            ({"url": 5}, TypeError, "url: expected the URL of a NATS server, or several, got 5"),
            ({"url": []}, ValueError, "url: expected the URL of a NATS server, or several"),
            ({"url": "http://x"}, wsx.URLError, 'NATS URL "http://x"'),
        ]
    )
    def test_wrong(self, arguments: Any, kind: type[Exception], message: str) -> None:
        """A wrong argument is refused at once."""
        arguments = {"url": "nats://x"} | arguments
        error = self.assertRaises(kind, Cluster, arguments.pop("url"), **arguments)
        self.assertIn(message, str(error))

    def test_repr(self) -> None:
        """The repr shows the servers without credentials."""
        cluster = Cluster(["nats://me:secret@a.test", "nats://[::1]:4223"], bucket="feeds")
        self.assertEqual(repr(cluster), "<wsx.Cluster feeds at a.test:4222, [::1]:4223>")

    def test_global(self) -> None:
        """The options of a Global are checked."""
        cluster = Cluster("nats://x")
        name: Any
        for name, problem in (
            (Global("x", standby=True), "expected a Global with a cluster for standby"),
            (Global("x", on_partition="keep"), "expected a Global with a cluster for standby"),
            (Global("x", cluster, on_partition="go"), 'on_partition: expected "stop" or "keep"'),  # type: ignore[arg-type]
            (Global("x", cluster, standby=1), "standby: expected True or False"),  # type: ignore[arg-type]
            (Global("x", "nats://x"), "cluster: expected a wsx.Cluster"),  # type: ignore[arg-type]
            (Global(b"x", cluster), "name: expected a str, number"),
            (Global("x" * 999, cluster), "name: expected a str, number"),
        ):
            error = self.failureResultOf(wsx.start(URL, Recorder(), name=name)).value
            self.assertIn(problem, str(error))
