"""Tests of docs/examples/redis_names.py on a real Redis or Valkey server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.task import Clock, deferLater

import wsx
from wsx.test.support.examples import ScriptCase, load, missing_examples
from wsx.test.support.extras import missing
from wsx.test.support.memory_redis import MemoryRedis, RedisLink
from wsx.test.support.redis_servers import RedisServerCase, missing_server
from wsx.test.support.sockets import HOST, global_reactor
from wsx.test.support.twistd import TwistdCase

skip = missing_examples() or missing("txredisapi")

TTL = 1.0  # seconds


def sleep(seconds: float) -> Deferred[None]:
    """Wait in real time."""
    return deferLater(global_reactor(), seconds)


class Scripts:
    """What the scripts of the example do, on a server in memory and on a real one."""

    assertEqual: Any
    assertGreater: Any
    assertIn: Any

    redis: Any
    pass_time: Callable[[float], Deferred[None]]

    async def run_script(self, script: str, value: str, milliseconds: int = 60_000) -> int:
        """Run a script of the example for one name."""
        code = getattr(load("redis_names"), script)
        result: int = await self.redis.eval(code, ["name", "fence"], [value, milliseconds])
        return result

    async def test_acquire(self) -> None:
        """The first value is set; another one is refused with the time that is left."""
        first = await self.run_script("ACQUIRE", "a")
        self.assertGreater(first, 1_700_000_000_000)
        self.assertEqual(await self.redis.get("name"), "a")
        self.assertIn(await self.run_script("ACQUIRE", "b"), range(-60_001, -50_000))
        again = await self.run_script("ACQUIRE", "a")
        self.assertGreater(again, first)
        self.assertEqual(int(await self.redis.get("fence")), again)

    async def test_fence_does_not_fall(self) -> None:
        """If the clock of the server was set back, the fence grows by one."""
        await self.redis.set("fence", 9_000_000_000_000)
        self.assertEqual(await self.run_script("ACQUIRE", "a"), 9_000_000_000_001)

    async def test_never_expires(self) -> None:
        """For a key that does not expire, the result is 0."""
        await self.redis.set("name", "other")
        self.assertEqual(await self.run_script("ACQUIRE", "a"), 0)

    async def test_renew(self) -> None:
        """Only the own value is renewed."""
        self.assertEqual(await self.run_script("RENEW", "a"), 0)
        await self.run_script("ACQUIRE", "a")
        self.assertEqual(await self.run_script("RENEW", "b"), 0)
        self.assertEqual(await self.run_script("RENEW", "a", 90_000), 1)
        self.assertIn(await self.run_script("ACQUIRE", "b"), range(-90_001, -80_000))

    async def test_release(self) -> None:
        """Only the own value is deleted."""
        self.assertEqual(await self.run_script("RELEASE", "a"), 0)
        await self.run_script("ACQUIRE", "a")
        self.assertEqual(await self.run_script("RELEASE", "b"), 0)
        self.assertEqual(await self.run_script("RELEASE", "a"), 1)
        self.assertEqual(await self.redis.get("name"), None)

    async def test_expires(self) -> None:
        """A key expires as soon as the result of ACQUIRE has said."""
        await self.run_script("ACQUIRE", "a", 50)
        left = await self.run_script("ACQUIRE", "b", 50)
        await self.pass_time(-left / 1000)
        self.assertEqual(await self.run_script("RENEW", "a"), 0)
        self.assertGreater(await self.run_script("ACQUIRE", "b"), 0)


class MemoryScriptTests(Scripts, TwistdCase):
    """The scripts, as the server in memory has them."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.redis = RedisLink(MemoryRedis(self.clock, load("redis_names")))

    def pass_time(self, seconds: float) -> Deferred[None]:
        """Let time pass."""
        return maybeDeferred(self.clock.advance, seconds)


class ServerCase(RedisServerCase):
    """Base class: a real server, and connections to it."""

    skip = skip or missing_server()

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        super().setUp()
        self.example = load("redis_names")
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        """Start the server and connect to it."""
        self.server = await self.start_server()
        self.redis = self.connect()

    def connect(self) -> Any:
        """Return a connection."""
        redis = self.example.txredisapi.lazyConnection(HOST, self.redis_port, replyTimeout=0.1)
        self.addCleanup(redis.disconnect)
        return redis

    def names(self, ttl: float = TTL) -> Any:
        """Return a registry with a connection of its own."""
        return self.example.RedisNames(self.connect(), global_reactor(), ttl)

    def pass_time(self, seconds: float) -> Deferred[None]:
        """Let time pass."""
        return sleep(seconds)


class ServerScriptTests(Scripts, ServerCase):
    """The scripts on a real server."""

    async def test_script_cache_lost(self) -> None:
        """A server that was restarted receives the scripts again."""
        await self.run_script("ACQUIRE", "a")
        await self.redis.execute_command("SCRIPT", "FLUSH")
        self.assertEqual(await self.run_script("RELEASE", "a"), 1)


class ServerRegistryTests(ServerCase):
    """The registry on a real server."""

    def register(
        self, names: Any, standby: bool = True, lost: Callable[[str], None] = lambda _: None
    ) -> Deferred[Any]:
        """Register a client."""
        asked = Deferred.fromCoroutine(
            names.register_name("feed", "client", standby=standby, lost=lost)
        )
        self.addCleanup(self.release, names, asked)
        return asked

    def release(self, names: Any, asked: Deferred[Any]) -> Any:
        """Give up a registration."""
        if not asked.called:
            asked.addErrback(lambda _: None).cancel()
        if "feed" in names.leases:
            released = Deferred.fromCoroutine(names.unregister_name("feed", "client"))
            return released.addErrback(lambda _: None)
        return None

    async def test_race(self) -> None:
        """One of ten registries has the name; the others find its process."""
        registries = [self.names(60.0) for _ in range(10)]
        results = await gatherResults([self.register(one, False) for one in registries])
        self.assertEqual(results.count(None), 9)
        found = [await one.whereis_name("feed") for one in registries]
        self.assertEqual(found.count("client"), 1)
        (holder,) = set(found) - {"client"}
        self.assertEqual(holder.pid, os.getpid())

    async def test_handover(self) -> None:
        """Three registries have the name one after another, with growing fences."""
        waiting = {self.names(60.0): Deferred[Any]() for _ in range(3)}
        for names in waiting:
            waiting[names] = self.register(names)
        fences = []
        while waiting:
            _, position = await DeferredList(waiting.values(), fireOnOneCallback=True)
            names = list(waiting)[position]
            self.assertEqual([one.called for one in waiting.values()].count(True), 1)
            fences.append((await waiting.pop(names)).fence)
            await names.unregister_name("feed", "client")
        self.assertEqual(fences, sorted(set(fences)))
        self.assertEqual(await self.redis.get("wsx:name:feed"), None)

    async def test_renewed(self) -> None:
        """A holder keeps the name for longer than its time to live."""
        names, losses = self.names(2.0), list[str]()
        registration = await self.register(names, lost=losses.append)
        await sleep(2.5)
        self.assertEqual(losses, [])
        self.assertGreater(registration.seconds_left(), 0)
        self.assertIsNone(await self.register(self.names(), False))

    async def test_server_hangs(self) -> None:
        """A server that does not answer: the name is lost in time, and there again later."""
        names, lost = self.names(), Deferred[str]()
        registration = await self.register(names, lost=lost.callback)
        self.server.transport.signalProcess(signal.SIGSTOP)
        self.assertRegex(await lost, "^not renewed in time: ")
        again = self.register(names)
        await sleep(0.5)
        self.server.transport.signalProcess(signal.SIGCONT)
        self.assertGreater((await again).fence, registration.fence)

    async def test_server_dies(self) -> None:
        """A server that forgets everything: the fence grows nevertheless."""
        names, lost = self.names(), Deferred[str]()
        registration = await self.register(names, lost=lost.callback)
        await self.server.kill()
        self.assertRegex(await lost, "^not renewed in time: ")
        again = self.register(names)
        await self.start_server(self.redis_port)
        self.assertGreater((await again).fence, registration.fence)

    async def test_server_is_not_there(self) -> None:
        """Without a server, a client that does not wait gets an error."""
        await self.server.kill()
        names = self.names()
        for asked in (self.register(names, False), maybeDeferred(names.whereis_name, "feed")):
            with self.assertRaises(wsx.ClusterError) as caught:
                await asked
            self.assertIn("Redis: no answer within 0.2 s", str(caught.exception))
        await sleep(0.3)  # The registry tries to delete its key.


class ServerScriptRunTests(ScriptCase, ServerCase):
    """The example as a script, in two processes."""

    async def test_two_processes(self) -> None:
        """The second process connects when the first one is stopped."""
        url, port = self.serve().url(), str(self.redis_port)
        first = self.script("redis_names", url, port)
        await first.says("Connected with fence")
        second = self.script("redis_names", url, port)
        await sleep(1.0)
        first.transport.signalProcess("TERM")
        await second.says("Connected with fence")
        second.transport.signalProcess("TERM")
        for process in (first, second):
            await process.ended()
            self.assertIn("Ended: stopped", process.output)
            self.assertEqual(process.errors, "")
        fences = [int(process.output.split()[3]) for process in (first, second)]
        self.assertLess(*fences)
        self.assertEqual(await self.redis.get("wsx:name:feed"), None)
