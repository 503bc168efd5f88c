"""Tests of wsx._cluster.lease: at most one holder, and soon another one."""

from __future__ import annotations

import math
import random
import time
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.lease import Lease, Terms, steady_clock
from wsx._cluster.store import Entry
from wsx._scheduler import Scheduler, scheduler_for
from wsx.errors import ClusterError, ClusterSetupError
from wsx.test.support.each import each
from wsx.test.support.memory_nats import MemoryLink, MemoryNats
from wsx.test.support.sockets import global_reactor

TTL = 10.0


class Process:
    """A process with a lease of the name "feed".

    Attributes:
        events: What the lease has reported, in order.
        is_paused: Whether the process is stopped, as by SIGSTOP.
        values: The number of values that were made.
    """

    def __init__(self, server: MemoryNats, now: float, name: str, keep: bool = False) -> None:
        self.clock = Clock()
        self.clock.rightNow = now
        self.link = MemoryLink(server, self.clock, TTL / 10)
        self.link.is_connected = True
        self.name = name
        self.events: list[str] = []
        self.is_paused = False
        prefix = name.encode()
        terms = Terms(
            self.link,
            TTL,
            Scheduler(self.clock),
            self.clock.seconds,
            lambda value: value.startswith(prefix),
            lambda value: f"process {value.decode()}",
        )
        self.values = 0
        self.lease = Lease(terms, "feed", self.new_value, keep, self.lost, self.taken)

    def new_value(self) -> bytes:
        """Return the name of the process and a number."""
        self.values += 1
        return f"{self.name}{self.values}".encode()

    def lost(self, reason: str) -> None:
        """Record a loss."""
        self.events.append(f"lost: {reason}")

    def taken(self, entry: Entry) -> None:
        """Record the holder that was seen."""
        self.events.append(f"taken by {entry.value.decode()[0]}")

    def acquire(self, standby: bool = False) -> Deferred[bool]:
        """Acquire the lease."""
        return Deferred.fromCoroutine(self.lease.acquire(standby))

    @property
    def may_act(self) -> bool:
        """Whether the process runs, and believes that it has the lease."""
        return not self.is_paused and self.lease.is_held and self.lease.seconds_left() > 0


class LeaseCase(SynchronousTestCase):
    """Base class: processes and a server, whose clocks advance together."""

    def setUp(self) -> None:
        self.server_clock = Clock()
        self.server = MemoryNats(self.server_clock, TTL)
        self.processes: list[Process] = []

    def process(self, keep: bool = False) -> Process:
        """Start another process."""
        name = "abcdefgh"[len(self.processes)]
        process = Process(self.server, self.server_clock.seconds(), name, keep)
        self.processes.append(process)
        return process

    def advance(self, seconds: float, step: float = 0.05) -> None:
        """Advance all clocks except those of paused processes, and check the invariant."""
        for _ in range(round(seconds / step)):
            self.server_clock.advance(step)
            self.run_processes()

    def run_processes(self) -> None:
        """Let each process run until now."""
        now = self.server_clock.seconds()
        for process in self.processes:
            if not process.is_paused:
                process.clock.advance(max(0.0, now - process.clock.seconds()))
                process.clock.pump([0] * 4)
        holders = [process.name for process in self.processes if process.may_act]
        self.assertLess(len(holders), 2, f"at {now:.2f} s")

    def acquired(self, process: Process, standby: bool = False) -> Process:
        """Let a process acquire the lease."""
        acquiring = process.acquire(standby)
        self.advance(0.1)
        self.assertTrue(self.successResultOf(acquiring))
        return process


class AcquireTests(LeaseCase):
    """Acquire a lease."""

    def test_free(self) -> None:
        """A free name is acquired, and the fence is the revision."""
        process = self.acquired(self.process())
        self.assertTrue(process.lease.is_held)
        self.assertEqual(process.lease.fence, 1)
        self.assertEqual(round(process.lease.seconds_left()), TTL)

    def test_taken(self) -> None:
        """A name that another process has is not acquired."""
        self.acquired(self.process())
        second = self.process()
        acquiring = second.acquire()
        self.advance(0.1)
        self.assertFalse(self.successResultOf(acquiring))
        self.assertEqual(second.events, [])
        self.assertFalse(second.lease.is_held)

    def test_no_answer(self) -> None:
        """Without an answer, acquiring fails."""
        process = self.process()
        process.link.loses_requests = True
        acquiring = process.acquire()
        self.advance(2.5)
        self.failureResultOf(acquiring, ClusterError)

    def test_lost_reply(self) -> None:
        """An own entry whose reply was lost is replaced."""
        process = self.process()
        process.link.loses_replies = True
        acquiring = process.acquire()
        self.advance(2.5)
        self.failureResultOf(acquiring, ClusterError)
        process.link.loses_replies = False
        self.acquired(process)
        self.assertEqual(process.lease.fence, 2)

    def test_paused_before_the_reply(self) -> None:
        """A reply that a stopped process reads after the time of its entry is no lease."""
        process, standby = self.process(), self.process()
        process.link.latency = 0.2
        acquiring = process.acquire()
        self.advance(0.3)
        process.is_paused = True
        waiting = standby.acquire(standby=True)
        self.advance(1.5 * TTL)
        self.assertTrue(self.successResultOf(waiting))
        process.is_paused = False
        self.run_processes()
        self.assertFalse(process.lease.is_held)
        self.advance(1)
        self.assertFalse(self.successResultOf(acquiring))

    def test_standby_survives_a_partition(self) -> None:
        """A standby keeps trying while there is no answer."""
        process = self.process()
        process.link.loses_requests = True
        acquiring = process.acquire(standby=True)
        self.advance(60)
        process.link.loses_requests = False
        self.advance(3)
        self.assertTrue(self.successResultOf(acquiring))

    def test_standby_without_permission(self) -> None:
        """A standby that may not write does not wait in vain."""
        process = self.process()
        process.link.write = lambda *_: fail(ClusterSetupError("no"))  # type: ignore[method-assign]
        self.failureResultOf(process.acquire(standby=True), ClusterSetupError)

    def test_cancel(self) -> None:
        """A cancelled standby asks no more."""
        self.acquired(self.process())
        standby = self.process()
        acquiring = standby.acquire(standby=True)
        self.advance(5)
        acquiring.cancel()
        self.failureResultOf(acquiring, CancelledError)
        self.assertEqual(standby.clock.getDelayedCalls(), [])


class HoldTests(LeaseCase):
    """Hold a lease."""

    def test_renewed(self) -> None:
        """The lease is held as long as the process runs, with the same fence."""
        process = self.acquired(self.process())
        standby = self.process()
        standby.acquire(standby=True)
        self.advance(30 * TTL, 0.1)
        self.assertTrue(process.may_act)
        self.assertEqual((process.lease.fence, process.events), (1, []))
        self.assertEqual(set(standby.events), {"taken by a"})

    def test_partition(self) -> None:
        """Without an answer, the lease ends 15 % of the time to live before it expires."""
        process = self.acquired(self.process())
        self.advance(0.4 * TTL)
        process.link.loses_requests = True
        renewed = process.lease._renewed_at
        while process.lease.is_held:
            self.advance(0.05)
        (event,) = process.events
        self.assertRegex(event, r"lost: not renewed for 8\.\d s: no answer from NATS within 1 s")
        self.assertLess(abs(self.server_clock.seconds() - renewed - 0.87 * TTL), 0.6)
        self.assertGreater(process.lease.seconds_left(), 0.09 * TTL)

    @each(range(10))
    def test_short_partition(self, start: int) -> None:
        """A partition of half of the time to live changes nothing, whenever it begins."""
        process = self.acquired(self.process())
        self.advance(3 + start * 0.2)
        process.link.loses_requests = True
        self.advance(0.5 * TTL)
        process.link.loses_requests = False
        self.advance(2 * TTL)
        self.assertEqual((process.may_act, process.events), (True, []))

    def test_lost_replies(self) -> None:
        """A renewal whose reply was lost is recognised as an own one."""
        process = self.acquired(self.process())
        self.advance(1.9)
        process.link.loses_replies = True
        self.advance(3)
        process.link.loses_replies = False
        self.advance(3 * TTL)
        self.assertEqual((process.may_act, process.events, process.lease.fence), (True, [], 1))

    def test_paused(self) -> None:
        """A process that was stopped for longer has lost its lease, and notices at once."""
        process = self.acquired(self.process())
        standby = self.process()
        waiting = standby.acquire(standby=True)
        process.is_paused = True
        self.advance(1.2 * TTL)
        self.assertTrue(self.successResultOf(waiting))
        process.is_paused = False
        self.run_processes()
        self.assertRegex(process.events[-1], r"lost: not renewed for 1\d\.\d s: the process did")
        self.assertFalse(process.lease.is_held)

    def test_slow_network(self) -> None:
        """The time of the holder is over before that of the server."""
        process = self.process()
        process.link.latency = 0.4
        process.acquire()
        for _ in range(60):
            self.advance(0.2)
            expires = self.server._entries.get("feed", (None, math.inf))[1]
            if process.lease.is_held:
                left = expires - self.server_clock.seconds()
                self.assertLessEqual(process.lease.seconds_left(), left)

    def test_late_reply(self) -> None:
        """A reply that arrives after the loss has no effect."""
        process = self.acquired(self.process())
        process.link.latency = 0.3
        while process.lease._renewing is None:
            self.advance(0.05)
        self.server.write("feed", b"other", self.server._revision)
        process.lease._end("the test says so")
        self.advance(TTL)
        self.assertEqual(process.events, ["lost: the test says so"])

    def test_entry_gone(self) -> None:
        """The lease ends if its entry was deleted."""
        process = self.acquired(self.process())
        self.server.write("feed", b"", process.lease._revision, deletes=True)
        self.advance(3)
        self.assertEqual(process.events, ["lost: its entry was deleted"])

    def test_keep(self) -> None:
        """With ``keep``, the lease outlasts a partition if no other process has acquired it."""
        process = self.acquired(self.process(keep=True))
        process.link.loses_requests = True
        self.advance(5 * TTL)
        self.assertEqual((process.may_act, process.lease.fence), (True, 1))
        self.assertEqual(process.lease.seconds_left(), math.inf)
        process.link.loses_requests = False
        self.advance(5)
        self.assertEqual((process.may_act, process.events), (True, []))
        self.assertGreater(process.lease.fence, 1)

    def test_keep_but_taken(self) -> None:
        """With ``keep``, the lease ends as soon as another process is known to have it."""
        process = self.acquired(self.process(keep=True))
        process.link.loses_requests = True
        self.advance(2 * TTL)
        self.server.write("feed", b"other", 0)
        process.link.loses_requests = False
        self.advance(5)
        self.assertEqual(process.events, ["lost: it is held by process other"])


class HandOverTests(LeaseCase):
    """A standby follows the holder."""

    @each(range(8))
    def test_holder_dies(self, moment: int) -> None:
        """After the death of the holder, the lease is acquired once it has expired, and soon."""
        holder = self.acquired(self.process())
        standby = self.process()
        waiting = standby.acquire(standby=True)
        self.advance(5 + moment * 0.7)
        died = self.server_clock.seconds()
        holder.is_paused = True
        while not waiting.called:
            self.advance(0.05)
        seconds = self.server_clock.seconds() - died
        self.assertGreater(seconds, 0.75 * TTL)
        self.assertLess(seconds, 1.1 * TTL)
        self.assertGreater(standby.lease.fence, holder.lease.fence)

    def test_release(self) -> None:
        """A released name is free at once: a standby that is told so acquires it."""
        holder = self.acquired(self.process())
        standby = self.process()
        waiting = standby.acquire(standby=True)
        self.advance(1)
        released = Deferred.fromCoroutine(holder.lease.release())
        self.advance(0.1)
        self.successResultOf(released)
        self.assertNoResult(waiting)
        standby.lease.try_now()
        self.advance(0.1)
        self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(holder.events, [])

    def test_release_during_a_renewal(self) -> None:
        """A renewal that is under way does not survive the release."""
        holder = self.acquired(self.process())
        holder.link.latency = 0.2
        while holder.lease._renewing is None:
            self.advance(0.05)
        released = Deferred.fromCoroutine(holder.lease.release())
        self.advance(2)
        self.successResultOf(released)
        self.acquired(self.process())

    def test_release_without_answer(self) -> None:
        """A release that gets no answer fails."""
        holder = self.acquired(self.process())
        holder.link.loses_requests = True
        released = Deferred.fromCoroutine(holder.lease.release())
        self.advance(2.1)
        self.failureResultOf(released, ClusterError)

    def test_abandoned_write(self) -> None:
        """Release deletes the entry of a write that was cancelled."""
        process = self.process()
        process.link.latency = 0.3
        acquiring = process.acquire()
        self.advance(0.2)
        acquiring.cancel()
        self.failureResultOf(acquiring, CancelledError)
        released = Deferred.fromCoroutine(process.lease.release())
        self.advance(5)
        self.successResultOf(released)
        self.acquired(self.process())

    def test_value(self) -> None:
        """The value is made when the lease is acquired, not when the standby began to wait."""
        holder = self.acquired(self.process())
        standby = self.process()
        standby.acquire(standby=True)
        self.advance(2 * TTL)
        Deferred.fromCoroutine(holder.lease.release())
        self.advance(0.1)
        waited = standby.values
        standby.lease.try_now()
        self.advance(TTL)
        self.assertGreater(waited, 1)
        self.assertEqual(standby.values, waited + 1)
        entry = self.server.read("feed")
        assert entry is not None
        self.assertEqual(entry.value, f"b{standby.values}".encode())

    def test_one_of_many(self) -> None:
        """Exactly one of many standbys follows."""
        holder = self.acquired(self.process())
        standbys = [self.process() for _ in range(5)]
        waiting = [standby.acquire(standby=True) for standby in standbys]
        self.advance(1)
        Deferred.fromCoroutine(holder.lease.release())
        self.advance(0.1)
        for standby in standbys:
            standby.lease.try_now()
        self.advance(1)
        self.assertEqual([one.called for one in waiting].count(True), 1)


class RandomFaultTests(LeaseCase):
    """Random faults: never two holders, and always one again."""

    @each(range(30))
    def test_faults(self, seed: int) -> None:
        """Three processes compete, with a fault every few seconds: pauses, losses and delays."""
        choose = random.Random(seed)
        waiting: dict[str, Deferred[Any]] = {}
        for _ in range(3):
            self.process(keep=False)
        for _ in range(150):
            for process in self.processes:
                self.compete(process, waiting)
            self.fault(choose.choice(self.processes), choose)
            self.advance(choose.choice([0.3, 1.0, 6.0, 15.0]), 0.15)
        for process in self.processes:
            process.is_paused = process.link.loses_requests = process.link.loses_replies = False
            process.link.is_connected, process.link.latency = True, 0.0
        for _ in range(20):
            for process in self.processes:
                self.compete(process, waiting)
            self.advance(1.0, 0.15)
        self.assertEqual([process.may_act for process in self.processes].count(True), 1)

    def compete(self, process: Process, waiting: dict[str, Deferred[Any]]) -> None:
        """Let a process wait for the lease unless it has it or waits already."""
        asking = waiting.get(process.name)
        if not process.is_paused and not process.lease.is_held and (not asking or asking.called):
            waiting[process.name] = process.acquire(standby=True)

    def fault(self, process: Process, choose: random.Random) -> None:
        """Begin or end a fault of one process."""
        match choose.randrange(6):
            case 0:
                process.is_paused = not process.is_paused
            case 1:
                process.link.loses_requests = not process.link.loses_requests
            case 2:
                process.link.loses_replies = not process.link.loses_replies
            case 3:
                process.link.is_connected = not process.link.is_connected
            case 4:
                process.link.latency = choose.choice([0.0, 0.1, 0.4, 0.9])
            case 5 if process.lease.is_held and not process.is_paused:
                Deferred.fromCoroutine(process.lease.release()).addErrback(
                    lambda failure: failure.trap(ClusterError)
                )


class ClockTests(SynchronousTestCase):
    """The clock of the leases."""

    def test_real(self) -> None:
        """With a real reactor, the clock also counts the time of a suspended machine."""
        clock = steady_clock(scheduler_for(global_reactor()))
        now = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        self.assertLess(abs(clock() - time.clock_gettime(now)), 5)

    def test_memory(self) -> None:
        """In tests it is the clock of the test."""
        memory = Clock()
        memory.advance(7)
        self.assertEqual(steady_clock(Scheduler(memory))(), 7)
