"""A name that only one client of all processes can hold, on Redis.

    pip install txredisapi
    python redis_names.py ws://127.0.0.1:8080/

Start it twice: the second process is a standby and connects when the first one ends.

The name is a key that expires after ``ttl`` seconds unless its holder renews it. Redis does not
guarantee that there is only one holder. For a time, there may be two if

* a replica becomes the master: Redis answers before it replicates, so the key may be unknown there;
* Redis is restarted without ``appendfsync always``, or removes the key because its memory is full
  (set ``maxmemory-policy noeviction``);
* the clock of the server is set forward, since keys expire by that clock.

The fence protects a store: if it keeps the greatest fence, it can refuse the earlier holder.
:class:`wsx.Cluster` uses NATS, which can confirm a write only when most of its servers have stored
it, and which carries calls to the holder. Use this registry if you have Redis and no NATS.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NoReturn
from uuid import uuid4

import txredisapi
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react
from twisted.logger import Logger
from twisted.python.failure import Failure

import wsx
from wsx.registry import Registration

log = Logger("redis_names")

STEP = 0.2  # of ``ttl``: between two renewals, and the time limit for an answer of Redis
MARGIN = 0.15  # of ``ttl``: before the key expires, for the client to disconnect
POLL = 1.0  # seconds between two attempts of a standby

# KEYS: of the name and of its fence. ARGV: the value of the holder, the time to live in ms.
# The fence is the time of the server, since a counter is behind after Redis has lost data.
ACQUIRE = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return -1 - redis.call('pttl', KEYS[1]) end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
local now, last = redis.call('time'), redis.call('get', KEYS[2]) or 0
local fence = math.max(last + 1, now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('set', KEYS[2], string.format('%.0f', fence))
return fence
"""
RENEW = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""
RELEASE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
"""


def steady() -> float:
    """Return the monotonic time in seconds. On Linux it includes times of suspension."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def raise_timeout(_: object, seconds: float) -> NoReturn:
    raise txredisapi.TimeoutError(f"no answer within {seconds:.2g} s")


@dataclass(frozen=True)
class Holder:
    """The process that holds a name. It is not a client: it cannot be called."""

    host: str
    pid: int
    id: str  # of this registration


class Lease:
    """The key of one name in Redis, which expires unless it is renewed."""

    def __init__(self, names: "RedisNames", key: str, client: Any) -> None:
        self.names = names
        self.key = key
        self.client = client
        self.value = json.dumps(asdict(Holder(socket.gethostname(), os.getpid(), uuid4().hex)))
        self.expires_at = 0.0

    def seconds_left(self) -> float:
        """Return the time in seconds until another client may hold the name."""
        return self.expires_at - self.names.clock()

    def spare(self) -> float:
        """Return the time in seconds until the client must disconnect."""
        return self.seconds_left() - self.names.ttl * MARGIN

    async def run(self, script: str, limit: float) -> int:
        """Run a script. If its result is greater than 0, Redis has the value of this lease."""
        names = self.names
        keys = [f"wsx:name:{self.key}", f"wsx:fence:{self.key}"]
        sent = names.clock()  # Redis counts from a later time, so this process is done first.
        running = names.redis.eval(script, keys, [self.value, int(names.ttl * 1000)])
        result: int = await running.addTimeout(limit, names.reactor, raise_timeout)
        if result > 0:
            self.expires_at = sent + names.ttl
        return result

    async def acquire(self, standby: bool) -> int:
        """Return the fence, or 0 if another client holds the name."""
        problem = ""
        while True:
            wait = POLL
            try:
                result = await self.run(ACQUIRE, self.names.ttl * STEP)
            except txredisapi.RedisError as error:
                if not standby:
                    raise wsx.ClusterError(f"Redis: {error}") from error
                if str(error) != problem:
                    problem = str(error)
                    log.warn("{key}: Redis: {error}; trying again", key=self.key, error=error)
            else:
                if result > 0 and self.spare() > 0:
                    return result
                if result <= 0 and not standby:
                    return 0
                if result < 0:  # The key of the holder expires in -result milliseconds.
                    wait = min(POLL, -result / 1000)
            await deferLater(self.names.reactor, wait)

    def hold(self, lost: Callable[[str], None]) -> None:
        """Start to renew the key, and report when that fails."""
        self.lost = lost
        self.keeping = Deferred.fromCoroutine(self.keep())
        self.keeping.addCallbacks(self.end, self.failed)

    async def keep(self) -> str:
        """Renew the key for as long as possible; return why the name is lost."""
        problem = "the process did not run"
        step = wait = self.names.ttl * STEP
        while True:
            await deferLater(self.names.reactor, min(wait, max(0.0, self.spare())))
            spare = self.spare()
            if spare <= 0:
                return f"not renewed in time: {problem}"
            try:
                if not await self.run(RENEW, min(step, spare)):
                    return "its key has expired, or another client has it"
                wait = step
            except txredisapi.RedisError as error:
                problem = str(error)
                wait = step / 4

    def failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.end(failure.getErrorMessage())

    def end(self, reason: str) -> None:
        del self.names.leases[self.key]
        self.keeping.cancel()
        self.lost(reason)

    async def release(self) -> None:
        """Delete the key, so that another client can have the name at once."""
        await self.run(RELEASE, self.names.ttl * STEP)


class RedisNames:
    """A registry for :class:`wsx.AsyncVia` on Redis 5 or newer. Its keys are str.

    Args:
        redis: A single connection of txredisapi, not a pool, so that commands keep their order. Its
            ``replyTimeout`` must be less than a fifth of ``ttl``: it replaces a dead connection.
        reactor: The reactor.
        ttl: The time to live of a key in seconds. Default 10.
        clock: Returns the monotonic time in seconds.
    """

    def __init__(
        self, redis: Any, reactor: Any, ttl: float = 10.0, clock: Callable[[], float] = steady
    ) -> None:
        self.redis = redis
        self.reactor = reactor
        self.ttl = ttl
        self.clock = clock
        self.leases: dict[str, Lease] = {}  # of this process

    async def register_name(
        self, key: str, client: Any, *, standby: bool, lost: Callable[[str], None]
    ) -> Registration | None:
        lease = Lease(self, key, client)
        try:
            fence = await lease.acquire(standby)
        except (CancelledError, wsx.ClusterError):
            # Redis may have the value without its answer. If the release fails, the key expires.
            Deferred.fromCoroutine(lease.release()).addErrback(lambda _: None)
            raise
        if not fence:
            return None
        if key in self.leases:  # Its client has not noticed yet, since the process did not run.
            self.leases[key].end("the process did not run")
        self.leases[key] = lease
        lease.hold(lost)
        return Registration(fence, lease.seconds_left)

    async def unregister_name(self, key: str, client: Any) -> None:
        lease = self.leases.get(key)
        if lease is not None and lease.client is client:
            del self.leases[key]
            lease.keeping.cancel()
            await lease.release()

    async def whereis_name(self, key: str) -> Any:
        """Return the client if it is in this process, else a :class:`Holder` or None."""
        if key in self.leases:
            return self.leases[key].client
        try:
            reading = self.redis.get(f"wsx:name:{key}")
            value = await reading.addTimeout(self.ttl * STEP, self.reactor, raise_timeout)
        except txredisapi.RedisError as error:
            raise wsx.ClusterError(f"Redis: {error}") from error
        return None if value is None else Holder(**json.loads(value))


class Printer(wsx.Handler[None]):
    """Print what the server sends."""

    def handle_connect(self, conn: wsx.Conn, state: None) -> None:
        print("Connected with fence", self.client.fence)

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        print("Received", frame)

    def handle_disconnect(self, status: wsx.Disconnect, state: None) -> Any:
        print("Disconnected:", status.reason)
        return super().handle_disconnect(status, state)


async def main(reactor: Any, url: str, port: str = "6379") -> None:
    """Wait for the name, then connect, until Ctrl-C."""
    redis = txredisapi.lazyConnection(port=int(port), connectTimeout=1.0, replyTimeout=1.0)
    name = wsx.AsyncVia(RedisNames(redis, reactor), "feed", standby=True)
    service = wsx.ClientService(url, Printer, name=name, reconnect=wsx.Backoff())
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    service.startService()
    print("Ended:", await service.terminated())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    react(main, sys.argv[1:])
