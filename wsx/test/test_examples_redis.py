"""Tests of docs/examples/redis_names.py: names on Redis, in memory and on a real server."""

from __future__ import annotations

import os
import random
import re
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.registry import Registration
from wsx.test.support import MemoryCase, Recorder
from wsx.test.support.each import each
from wsx.test.support.examples import EXAMPLES, load, missing_examples
from wsx.test.support.extras import missing
from wsx.test.support.memory_redis import MemoryRedis, RedisLink

skip = missing_examples() or missing("txredisapi")

TTL = 10.0
KEY = "wsx:name:feed"
ENOUGH = 200.0  # seconds


class Process:
    """A process with a registry on a server in memory, and a clock of its own.

    Attributes:
        clock: Its clock, which does not run while the process is stopped.
        registration: The registration, or None.
        losses: The reasons of the losses of its registrations.
        is_stopped: Whether the process is stopped.
    """

    def __init__(self, server: MemoryRedis, now: float) -> None:
        self.clock = Clock()
        self.clock.rightNow = now
        self.losses: list[str] = []
        self.link = RedisLink(server)
        self.names = load("redis_names").RedisNames(self.link, self.clock, TTL, self.clock.seconds)
        self.registration: Registration | None = None
        self.is_stopped = False

    def register(self, standby: bool = False, client: object = "client") -> Deferred[Any]:
        """Register a client with the name "feed"."""

        def done(registration: Any) -> Any:
            self.registration = registration
            return registration

        return Deferred.fromCoroutine(
            self.names.register_name("feed", client, standby=standby, lost=self._lost)
        ).addCallback(done)

    def _lost(self, reason: str) -> None:
        self.registration = None
        self.losses.append(reason)

    def unregister(self) -> Deferred[Any]:
        """Free the name."""
        self.registration = None
        client = self.names.leases["feed"].client
        return Deferred.fromCoroutine(self.names.unregister_name("feed", client))

    def whereis(self) -> Deferred[Any]:
        """Find who has the name."""
        return Deferred.fromCoroutine(self.names.whereis_name("feed"))

    def advance(self, now: float) -> None:
        """Advance the clock to a time, unless the process is stopped."""
        if not self.is_stopped:
            self.clock.advance(now - self.clock.seconds())

    def stop(self) -> None:
        """Stop the process, as SIGSTOP does. Replies stay in the socket."""
        self.is_stopped = True
        self.link.holds_replies = True

    def resume(self, now: float, reads_first: bool) -> None:
        """Let the process continue. It either reads from the socket first or runs its timers."""
        self.is_stopped = False
        self.clock.rightNow = now
        if reads_first:
            self.link.release_replies()
        self.clock.advance(0)
        self.link.release_replies()

    @property
    def fence(self) -> int | None:
        """The fence of the registration, or None."""
        return None if self.registration is None else self.registration.fence

    def uses_the_name(self) -> bool:
        """Return whether a client in this process would use the name now."""
        registration = self.registration
        return not self.is_stopped and registration is not None and registration.seconds_left() > 0


class RedisCase(SynchronousTestCase):
    """Base class: processes on one server in memory."""

    def setUp(self) -> None:
        self.example = load("redis_names")
        self.clock = Clock()
        self.redis = MemoryRedis(self.clock, self.example)
        self.processes: list[Process] = []

    def process(self) -> Process:
        """Return a process."""
        self.processes.append(Process(self.redis, self.clock.seconds()))
        return self.processes[-1]

    def holder(self) -> Process:
        """Return a process that has the name."""
        process = self.process()
        self.assertIsInstance(self.successResultOf(process.register()), Registration)
        return process

    def advance(self, seconds: float, step: float = 0.1) -> None:
        """Advance all clocks in steps."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            for process in self.processes:
                process.advance(self.clock.seconds())

    def assert_no_timers(self) -> None:
        """Assert that no process has a timer left."""
        self.assertEqual(
            [
                process.clock.getDelayedCalls()
                for process in self.processes
                if process.clock.getDelayedCalls()
            ],
            [],
        )

    def refusal(self) -> Exception:
        """Return an error that Redis replies with."""
        error: Exception = self.example.txredisapi.ResponseError("READONLY")
        return error

    def disconnected(self) -> Exception:
        """Return the error of txredisapi for a lost connection."""
        error: Exception = self.example.txredisapi.ConnectionError("Lost connection")
        return error


class AcquireTests(RedisCase):
    """``register_name`` and ``whereis_name``."""

    def test_granted(self) -> None:
        """The client has the name, a fence, and the whole time to live."""
        process = self.process()
        self.assertIsNone(self.successResultOf(process.whereis()))
        registration = self.successResultOf(process.register(client="me"))
        self.assertEqual(registration.fence, 1_800_000_000_000)
        self.assertEqual(registration.seconds_left(), TTL)
        self.assertEqual(self.successResultOf(process.whereis()), "me")

    def test_taken(self) -> None:
        """The name of another process is refused at once; that process can be found."""
        self.holder()
        other = self.process()
        self.assertIsNone(self.successResultOf(other.register()))
        found = self.successResultOf(other.whereis())
        self.assertEqual((found.host, found.pid), (socket.gethostname(), os.getpid()))
        self.assertEqual(other.names.leases, {})

    def test_key_without_expiry(self) -> None:
        """A key that never expires, which another program has set, is not replaced."""
        self.redis.set(KEY, "other")
        process = self.process()
        self.assertIsNone(self.successResultOf(process.register()))
        waiting = process.register(standby=True)
        self.advance(20)
        self.assertNoResult(waiting)
        self.assertLessEqual(process.link.commands, 23)
        waiting.addErrback(lambda _: None).cancel()

    def test_fence_grows(self) -> None:
        """Each registration has a greater fence, also after Redis has lost its data."""
        fences = []
        for loses in (False, False, True, False):
            process = self.process()
            fences.append(self.successResultOf(process.register()).fence)
            self.successResultOf(process.unregister())
            if loses:
                self.redis.values.clear()
                self.advance(1)
        self.assertEqual(fences, sorted(set(fences)))

    def test_refused(self) -> None:
        """An error of Redis is a ClusterError, so the reconnect policy decides."""
        process = self.process()
        process.link.error = self.refusal()
        for asked in (process.register(), process.whereis()):
            error: Any = self.failureResultOf(asked, wsx.ClusterError).value
            self.assertEqual(error.reason, "Redis: READONLY")

    def test_no_answer(self) -> None:
        """Wait for a fifth of the time to live; then delete the key that Redis may have."""
        process = self.process()
        process.link.holds_replies = True
        asked = process.register()
        self.advance(1.9)
        self.assertNoResult(asked)
        self.assertIsNotNone(self.redis.get(KEY))
        self.advance(0.2)
        error: Any = self.failureResultOf(asked, wsx.ClusterError).value
        self.assertEqual(error.reason, "Redis: no answer within 2 s")
        self.assertIsNone(self.redis.get(KEY))

    def test_no_connection(self) -> None:
        """Without a connection, an attempt does not stay queued."""
        process = self.process()
        process.link.drop(self.disconnected())
        asked = process.register()
        self.advance(2.1)
        self.failureResultOf(asked, wsx.ClusterError)
        self.advance(2.1)
        process.link.connect()
        self.assertEqual(process.link.commands, 0)
        self.assert_no_timers()

    def test_cancel(self) -> None:
        """A registration that is cancelled leaves no key, wherever it is."""
        process = self.process()
        process.link.holds_replies = True
        asked = process.register()
        asked.cancel()
        self.failureResultOf(asked)
        self.assertIsNone(self.redis.get(KEY))
        process.link.release_replies()
        holder = self.holder()
        value = self.redis.get(KEY)
        waiting = process.register(standby=True)
        self.advance(3)
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual(self.redis.get(KEY), value)
        self.successResultOf(holder.unregister())
        self.assert_no_timers()
        self.assertEqual(process.names.leases, {})

    def test_late_answer(self) -> None:
        """An answer that arrives after the time to live does not count: the process tries again."""
        process = self.process()
        process.link.holds_replies = True
        asked = process.register()
        process.stop()
        self.advance(TTL)
        process.resume(self.clock.seconds(), reads_first=True)
        self.assertNoResult(asked)
        self.advance(self.example.POLL + 0.1)
        registration = self.successResultOf(asked)
        self.assertGreater(registration.seconds_left(), TTL - 0.2)


class HoldTests(RedisCase):
    """A name that is held, and lost."""

    def test_renewed(self) -> None:
        """The holder keeps the name for as long as it renews it, with one command in 2 s."""
        process = self.process()
        registration = self.successResultOf(process.register())
        for _ in range(600):
            self.advance(0.1)
            self.assertGreater(registration.seconds_left(), TTL * 0.7)
            self.assertIsNotNone(self.redis.get(KEY))
        self.assertEqual(process.losses, [])
        self.assertIn(process.link.commands, range(28, 33))

    def assert_lost_in_time(self, process: Process, registration: Registration) -> str:
        """Assert that the name is lost when 15 % of its time are left; return the reason."""
        self.advance(8.3)
        self.assertEqual(process.losses, [])
        self.advance(0.3)
        self.assertGreater(registration.seconds_left(), TTL * 0.13)
        self.assertIsNotNone(self.redis.get(KEY))
        self.assertEqual(process.names.leases, {})
        commands = process.link.commands
        process.link.error = None
        process.link.connect()
        self.advance(20)
        self.assertEqual(process.link.commands, commands)
        (reason,) = process.losses
        return reason

    def test_connection_lost(self) -> None:
        """Without a connection, the name is lost before it expires, and not renewed later."""
        process = self.process()
        registration = self.successResultOf(process.register())
        process.link.drop(self.disconnected())
        reason = self.assert_lost_in_time(process, registration)
        self.assertRegex(reason, r"^not renewed in time: no answer within [\d.]+ s$")

    def test_refused(self) -> None:
        """The same if Redis refuses, as a replica does."""
        process = self.process()
        registration = self.successResultOf(process.register())
        process.link.error = self.refusal()
        reason = self.assert_lost_in_time(process, registration)
        self.assertEqual(reason, "not renewed in time: READONLY")

    def test_short_interruption(self) -> None:
        """A connection that is back in time is used, and the name is kept."""
        process = self.holder()
        process.link.holds_replies = True
        self.advance(2.5)
        process.link.drop(self.disconnected())
        self.advance(4)
        process.link.connect()
        process.link.holds_replies = False
        self.advance(ENOUGH)
        self.assertEqual(process.losses, [])

    def test_time_counts_from_sending(self) -> None:
        """A slow answer does not give the holder more time than the key has."""
        process = self.process()
        registration = self.successResultOf(process.register())
        self.advance(1.9)
        process.link.holds_replies = True
        self.advance(1.5)
        process.link.release_replies()
        self.assertLess(registration.seconds_left(), TTL - 1.2)

    def test_key_is_gone(self) -> None:
        """A key that is gone, or has another value, is noticed at the next renewal."""
        for value in (None, "other"):
            process = self.holder()
            self.redis.delete(KEY)
            if value is not None:
                self.redis.set(KEY, value)
            self.advance(2.1)
            (reason,) = process.losses
            self.assertEqual(reason, "its key has expired, or another client has it")
            self.assertEqual(self.redis.get(KEY), value)

    def test_process_stopped(self) -> None:
        """A process that was stopped for longer than the time to live does not renew the name."""
        for reads_first in (True, False):
            process = self.holder()
            process.stop()
            self.advance(TTL + 1)
            process.resume(self.clock.seconds(), reads_first)
            self.assertEqual(process.losses, ["not renewed in time: the process did not run"])
            self.assertEqual(process.link.commands, 1)

    def test_other_exception(self) -> None:
        """An unexpected exception ends the registration, too: nothing would renew it."""
        process = self.holder()
        process.link.error = TypeError("unexpected")
        self.advance(2.1)
        self.assertEqual(process.losses, ["unexpected"])


class StandbyTests(RedisCase):
    """Clients that wait for the name."""

    def test_handover(self) -> None:
        """After a release, one standby has the name within a second."""
        holder = self.holder()
        processes = [self.process() for _ in range(3)]
        waiting = [process.register(standby=True) for process in processes]
        self.advance(20)
        self.successResultOf(holder.unregister())
        self.advance(1.1)
        self.assertEqual([one.called for one in waiting].count(True), 1)
        for one in waiting:
            one.addErrback(lambda _: None).cancel()

    def test_holder_dies(self) -> None:
        """The name of a dead process is taken over when it expires, and not before."""
        holder = self.holder()
        waiting = self.process().register(standby=True)
        holder.link.drop(self.disconnected())
        self.advance(9.9)
        self.assertNoResult(waiting)
        self.assertEqual(len(holder.losses), 1)
        self.advance(0.2)
        self.assertGreater(self.successResultOf(waiting).fence, 0)

    def test_polls(self) -> None:
        """A standby asks once in a second."""
        self.holder()
        process = self.process()
        waiting = process.register(standby=True)
        self.advance(100)
        self.assertIn(process.link.commands, range(90, 103))
        waiting.addErrback(lambda _: None).cancel()

    def test_outage(self) -> None:
        """A standby waits while Redis refuses or does not answer, and logs each problem once."""
        process = self.process()
        process.link.error = self.refusal()
        with capturedLogs() as events:
            waiting = process.register(standby=True)
            self.advance(20)
            process.link.error = None
            process.link.drop(self.disconnected())
            self.advance(20)
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "feed: Redis: READONLY; trying again",
                "feed: Redis: no answer within 2 s; trying again",
            ],
        )
        process.link.connect()
        self.advance(1.1)
        self.assertGreater(self.successResultOf(waiting).fence, 0)

    def test_reply_lost(self) -> None:
        """A standby whose answer was lost recognises its own key."""
        process = self.process()
        process.link.holds_replies = True
        waiting = process.register(standby=True)
        self.advance(0.5)
        process.link.drop(self.disconnected())
        process.link.holds_replies = False
        process.link.connect()
        self.advance(1.1)
        registration = self.successResultOf(waiting)
        self.assertGreater(registration.seconds_left(), TTL - 0.2)

    def test_same_process(self) -> None:
        """A standby may be in the process of the holder."""
        process = self.process()
        self.successResultOf(process.register(client="first"))
        waiting = process.register(standby=True, client="second")
        self.advance(5)
        self.assertEqual(self.successResultOf(process.whereis()), "first")
        self.successResultOf(process.unregister())
        self.advance(1.1)
        self.successResultOf(waiting)
        self.assertEqual(self.successResultOf(process.whereis()), "second")

    def test_same_process_was_stopped(self) -> None:
        """The holder loses the name before the standby in its process has it."""
        process = self.process()
        self.successResultOf(process.register(client="first"))
        process.stop()
        self.advance(TTL + 1)
        process.clock.rightNow = self.clock.seconds()
        process.link.release_replies()
        self.successResultOf(process.register(client="second"))
        self.assertEqual(process.losses, ["the process did not run"])
        process.resume(self.clock.seconds(), reads_first=True)
        self.advance(5)
        self.assertEqual(len(process.losses), 1)
        self.assertEqual(self.successResultOf(process.whereis()), "second")


class ReleaseTests(RedisCase):
    """``unregister_name``."""

    def test_release(self) -> None:
        """The key is deleted, and no timer is left."""
        process = self.holder()
        self.successResultOf(process.unregister())
        self.assertIsNone(self.redis.get(KEY))
        self.assertIsNone(self.successResultOf(process.whereis()))
        self.assert_no_timers()
        self.assertEqual(process.losses, [])

    def test_name_of_another(self) -> None:
        """A name that another process has by now is not released."""
        process = self.holder()
        self.redis.delete(KEY)
        self.holder()
        value = self.redis.get(KEY)
        self.successResultOf(process.unregister())
        self.assertEqual(self.redis.get(KEY), value)

    def test_not_reachable(self) -> None:
        """A failed release is reported; the key expires."""
        process = self.holder()
        process.link.drop(self.disconnected())
        released = process.unregister()
        self.advance(2.1)
        self.failureResultOf(released, self.example.txredisapi.RedisError)
        self.assertIsNotNone(self.redis.get(KEY))
        self.advance(8)
        self.assertIsNone(self.redis.get(KEY))

    def test_during_a_renewal(self) -> None:
        """A renewal whose answer arrives after the release changes nothing."""
        process = self.holder()
        process.link.holds_replies = True
        self.advance(2.1)
        released = process.unregister()
        process.link.release_replies()
        self.successResultOf(released)
        self.advance(20)
        self.assertIsNone(self.redis.get(KEY))
        self.assertEqual(process.losses, [])


class RandomTests(RedisCase):
    """Random faults."""

    @each(range(20))
    def test_never_two(self, seed: int) -> None:
        """Among four processes with random faults, there is one holder at a time."""
        source = random.Random(seed)
        fences: list[Any] = []
        waiting: dict[Process, Deferred[Any]] = {}
        for process in [self.process() for _ in range(4)]:
            waiting[process] = process.register(standby=True)
        for _ in range(3000):
            for process in self.processes:
                self.disturb(process, source)
                if waiting[process].called and process.registration is None:
                    waiting[process] = process.register(standby=True)
            self.advance(0.1)
            held = [process.fence for process in self.processes if process.uses_the_name()]
            self.assertLessEqual(len(held), 1)
            fences += [fence for fence in held if fence not in fences[-1:]]
        self.assertGreater(len(fences), 2)
        self.assertEqual(fences, sorted(set(fences)))
        for process in self.processes:
            waiting[process].addErrback(lambda _: None).cancel()

    def disturb(self, process: Process, source: random.Random) -> None:
        """Let something happen to a process, or end that."""
        now = self.clock.seconds()
        chance = source.random()
        if process.is_stopped:
            if chance < 0.02:
                process.resume(now, source.random() < 0.5)
        elif chance < 0.002:
            process.stop()
        elif chance < 0.004:
            process.link.drop(self.disconnected())
        elif chance < 0.02:
            process.link.connect()
        elif chance < 0.1:
            process.link.holds_replies = True
        elif chance < 0.2:
            process.link.release_replies()
        elif chance < 0.202 and process.registration is not None:
            process.unregister().addErrback(lambda _: None)


class ClientTests(MemoryCase):
    """Clients with a name on Redis."""

    def setUp(self) -> None:
        super().setUp()
        example = load("redis_names")
        self.redis = MemoryRedis(self.clock, example)
        self.link = RedisLink(self.redis)
        self.names = example.RedisNames(self.link, self.clock, TTL, self.clock.seconds)
        self.lost = example.txredisapi.ConnectionError("Lost connection")

    def name(self, standby: bool = False) -> wsx.AsyncVia:
        """Return a name of this process."""
        return wsx.AsyncVia(self.names, "feed", standby)

    def other(self) -> Process:
        """Return another process that has the name."""
        other = Process(self.redis, self.clock.seconds())
        self.successResultOf(other.register())
        return other

    def advance(self, seconds: float) -> None:
        """Advance the clock in steps."""
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)

    def test_in_use(self) -> None:
        """The start fails with the process that has the name."""
        self.other()
        error: Any = self.failureResultOf(
            self.start(Recorder(), name=self.name()), wsx.AlreadyStartedError
        ).value
        self.assertEqual(error.client.pid, os.getpid())
        self.assertEqual(self.successResultOf(wsx.lookup(self.name())), error.client)

    def test_start_without_redis(self) -> None:
        """Without Redis, the start fails, or the policy repeats it."""
        self.link.drop(self.lost)
        started = self.start(Recorder(), name=self.name())
        self.advance(2.1)
        self.failureResultOf(started, wsx.ClusterError)
        started = self.start(
            wsx.Handler(),
            name=self.name(),
            reconnect=wsx.Backoff(jitter=0),
            handle_initial_conn_failure=True,
        )
        self.advance(2.1)
        self.link.connect()
        self.advance(1.1)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_life(self) -> None:
        """A client disconnects when it loses the name, waits for it, and frees it at its end."""
        client = self.open(wsx.Handler(), name=self.name())
        fence = client.fence
        self.link.drop(self.lost)
        self.advance(8.6)
        self.assertEqual(client.status, "closing")
        self.peer.drop()
        self.step()
        self.assertEqual((client.status, client.fence), ("connecting", None))
        other = Process(self.redis, self.clock.seconds())
        taken = other.register(standby=True)
        self.advance(1.6)
        other.advance(self.clock.seconds())
        self.successResultOf(taken)
        self.link.connect()
        self.advance(5)
        self.assertEqual(self.server.attempts, 1)
        self.successResultOf(other.unregister())
        self.advance(1.1)
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertGreater(client.fence or 0, fence or 0)
        ended = client.stop()
        self.peer.drop()
        self.step()
        self.assertIsInstance(self.successResultOf(ended), wsx.Shutdown)
        self.assertIsNone(self.redis.get(KEY))

    def test_stop_while_waiting(self) -> None:
        """A client that is stopped while it waits does not touch the name."""
        self.other()
        value = self.redis.get(KEY)
        started = self.start(Recorder(), name=self.name(standby=True), async_=True)
        client = self.successResultOf(started)
        self.advance(3)
        ended = client.stop()
        self.step()
        self.assertIsInstance(self.successResultOf(ended), wsx.Shutdown)
        self.assertEqual(self.redis.get(KEY), value)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PageTests(MemoryCase):
    """``docs/how-to/names-in-your-own-store.md``."""

    def test_snippets(self) -> None:
        """The page shows the code of the example, and its first snippet runs."""
        page = (EXAMPLES.parent / "how-to" / "names-in-your-own-store.md").read_text()
        code = (EXAMPLES / "redis_names.py").read_text()
        first, *others = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        self.assertEqual(len(others), 3)
        for snippet in others:  # They are not indented on the page.
            self.assertIn(" ".join(snippet.split()), " ".join(code.split()))
        example = load("redis_names")
        link = RedisLink(MemoryRedis(self.clock, example))
        self.patch(example.txredisapi, "lazyConnection", lambda **_: link)
        names = vars(example) | {"reactor": self.clock, "url": "ws://x.test/", "Feed": wsx.Handler}
        exec(first, names)
        self.assertEqual(names["service"].client, None)
        self.assertTrue(names["name"].standby)
