"""Tests of faults: each ends with one holder, and two processes never act at the same time."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from wsx.test.support.cluster_case import KEY, ProcessCase
from wsx.test.support.cluster_processes import WorkerProcess


class FaultCase(ProcessCase):
    """Base class of tests with faults."""

    timeout = 180

    async def assert_stays(self, holder: WorkerProcess, ttls: float = 2.0) -> None:
        """The holder stays the only one for some time."""
        acquired = len(self.events("acquired"))
        await self.sleep(ttls * self.ttl)
        self.assertEqual(self.feed.connected, [holder.name], self.logs())
        self.assertEqual(len(self.events("acquired")), acquired)


class HolderTests(FaultCase):
    """Something happens to the process of the holder."""

    async def test_killed(self) -> None:
        """One of two standbys takes over; the process that is started again is a standby."""
        servers = await self.serve()
        [first, *_] = await self.standbys(servers.urls, 1)
        standbys = [self.spawn(servers.urls), self.spawn(servers.urls)]
        for standby in standbys:
            await self.start_service(standby)
        await first.kill()
        second = await self.until_connected(first)
        self.assertIn(second, standbys)
        again = self.spawn(servers.urls)
        await self.start_service(again)
        await self.assert_stays(second)
        await self.finish()

    async def test_terminated(self) -> None:
        """SIGTERM releases the name at once: a standby does not wait for the time to live."""
        self.ttl = 60.0
        servers = await self.serve()
        [first] = await self.standbys(servers.urls, 1)
        standby = self.spawn(servers.urls)
        await self.start_service(standby)
        await self.until_begun(standby)
        ended = first.terminate()
        await self.until_connected(first)
        await ended
        await self.until_event("connected", standby)
        [exited], [connected] = self.events("exited"), self.events("connected", standby)
        self.assertLess(connected.time, exited.time + self.ttl / 2)
        self.assertEqual(len(self.events("released", first)), 1)
        await self.finish()

    async def test_stopped(self) -> None:
        """A process that did not run for too long delivers nothing more, and is a standby."""
        servers = await self.serve()
        [first] = await self.standbys(servers.urls, 1)
        second = self.spawn(servers.urls)
        await self.start_service(second)
        sender = self.spawn(servers.urls)
        await sender.call("send", KEY, "s")
        await self.until_event("cast", first)
        first.pause()
        await self.until_connected(first)
        await self.until_event("cast", second)
        first.resume()
        await self.until_event("lost", first)
        await self.until_event("disconnected", first)
        await self.assert_stays(second)
        await second.kill()
        self.assertIs(await self.until_connected(second), first)
        await self.until_event("connected", first, 2)
        await sender.call("end_sending", "s")
        await self.finish()

    async def test_stopped_for_a_moment(self) -> None:
        """A process that was stopped for less than its lease goes on as the holder."""
        self.ttl = 20.0
        servers = await self.serve()
        [first] = await self.standbys(servers.urls, 1)
        second = self.spawn(servers.urls)
        await self.start_service(second)
        first.pause()
        await self.sleep(2.0)
        first.resume()
        frames = len(self.events("frame", first))
        await self.until_event("frame", first, frames + 5)
        self.assertEqual(len(self.events("acquired")), 1)
        await self.finish()


class CutTests(FaultCase):
    """Something happens between the holder and the server of NATS."""

    async def start(
        self, on_partition: str = "stop"
    ) -> tuple[WorkerProcess, WorkerProcess, object]:
        """Return the holder, whose way to NATS has a proxy; a standby; and the proxy."""
        servers = await self.serve()
        proxy = self.proxy(servers)
        [first] = await self.standbys([proxy.url], 1, on_partition=on_partition)
        second = self.spawn(servers.urls)
        await self.start_service(second)
        self.proxy_of_first = proxy
        return first, second, proxy

    async def check_cut(self, cut: str) -> None:
        """The holder disconnects, then the standby takes over, and the holder comes back."""
        first, second, _ = await self.start()
        getattr(self.proxy_of_first, cut)()
        self.assertIs(await self.until_connected(first), second)
        await self.until_event("lost", first)
        self.proxy_of_first.heal()
        await self.assert_stays(second)
        await second.kill()
        self.assertIs(await self.until_connected(second), first)
        await self.finish()

    async def test_cut(self) -> None:
        """The connection is reset, and cannot be opened again."""
        await self.check_cut("cut")

    async def test_stalled(self) -> None:
        """Nothing passes, but the connection stays open."""
        await self.check_cut("stall")

    async def test_delayed(self) -> None:
        """A delay that is shorter than the lease changes nothing."""
        self.ttl = 5.0
        first, _, _ = await self.start()
        self.proxy_of_first.delay = 0.2
        await self.assert_stays(first)
        await self.finish()

    async def test_short_cut(self) -> None:
        """A cut that is shorter than the lease changes nothing."""
        self.ttl = 20.0
        first, _, _ = await self.start()
        self.proxy_of_first.cut()
        await self.until(lambda: b"lost (" in first.log)
        self.proxy_of_first.heal()
        await self.until(lambda: first.log.count(b"connected to NATS at") >= 2)
        await self.assert_stays(first, 0.5)
        await self.finish()

    async def test_keep(self) -> None:
        """With on_partition="keep", both are connected; once NATS answers, the newer one stays."""
        first, second, _ = await self.start("keep")
        self.proxy_of_first.cut()
        await self.until(lambda: self.feed.connected == [first.name, second.name])
        self.assertEqual(self.events("lost", first), [])
        self.proxy_of_first.heal()
        await self.until_event("lost", first)
        self.assertIs(await self.until_connected(first), second)
        await self.until(lambda: self.feed.connected == [second.name])
        await self.stop_all()


class ServerTests(FaultCase):
    """Something happens to the servers of NATS."""

    async def test_killed(self) -> None:
        """Without a server the holder disconnects; when it is back, one of both is connected."""
        servers = await self.serve()
        first, second = await self.standbys(servers.urls, 2)
        await self.until(lambda: len(self.feed.connected) == 1)
        servers.servers[0].kill()
        await self.until(lambda: not self.feed.connected)
        await servers.servers[0].start()
        await self.assert_stays(await self.until_connected())
        for worker in (first, second):
            self.assertTrue(worker.is_running)
        await self.finish()

    async def test_restarted(self) -> None:
        """A server that is back before the lease is over changes nothing."""
        self.ttl = 20.0
        servers = await self.serve()
        await self.standbys(servers.urls, 2)
        servers.servers[0].kill()
        await servers.servers[0].start()
        both = self.workers
        await self.until(lambda: all(w.log.count(b"connected to NATS at") > 1 for w in both))
        await self.sleep(self.ttl / 4)  # Its next renewal.
        self.assertEqual(len(self.events("acquired")), 1)
        await self.finish()

    async def test_killed_keep(self) -> None:
        """With on_partition="keep", the holder stays connected without a server."""
        servers = await self.serve()
        both = await self.standbys(servers.urls, 2, on_partition="keep")
        holder = await self.until_connected()
        servers.servers[0].kill()
        await self.assert_stays(holder, 3.0)
        self.assertEqual(self.events("lost"), [])
        await servers.servers[0].start()
        # The entry has expired, so either of them may have the name now.
        await self.until(lambda: all(w.log.count(b"connected to NATS at") > 1 for w in both))
        await self.sleep(self.ttl)
        await self.assert_stays(await self.until_connected())
        await self.stop_all()

    async def test_leader_killed(self) -> None:
        """Two of three servers elect a leader; in the end, one process is connected."""
        self.ttl = 5.0
        servers = await self.serve(3)
        await self.standbys(servers.urls, 2, replicas=3)
        leader = servers.leader("test")
        leader.kill()
        await self.sleep(2 * self.ttl)
        await self.assert_stays(await self.until_connected(), 1.0)
        await leader.start()
        await self.assert_stays(await self.until_connected(), 1.0)
        await self.finish()

    async def test_all_restarted(self) -> None:
        """After a restart of the whole cluster, one process is connected."""
        servers = await self.serve(3)
        await self.standbys(servers.urls, 2, replicas=3)
        for server in servers.servers:
            server.kill()
        await self.until(lambda: not self.feed.connected)
        await gatherResults([server.start() for server in servers.servers])
        await self.assert_stays(await self.until_connected())
        await self.finish()
