"""Tests of ConnectLimiter: the limit itself, and clients that share one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Backoff, ConnectLimiter, telemetry
from wsx._scheduler import scheduler_for
from wsx.limiter import Place
from wsx.test.support import MemoryCase, Recorder
from wsx.test.support.each import each
from wsx.test.support.ends import reasons, reconnecting

HOST = "example.test"


class LimiterCase(SynchronousTestCase):
    """Base class for tests of a limiter without clients."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limiter = ConnectLimiter(per_host=3, per_seconds=10.0)
        self.started: list[tuple[object, float]] = []  # Labels, and times.

    def enter(self, label: object = None, host: str = HOST, clock: Clock | None = None) -> Any:
        """Ask for an attempt; it is recorded when it starts."""
        clock = clock or self.clock

        def start() -> None:
            self.started.append((label, clock.seconds()))

        place = self.limiter.enter(host, clock, start)
        if place is None:
            start()
        return place

    def labels(self) -> list[object]:
        """Return the labels of the attempts that have started, in order."""
        return [label for label, _ in self.started]

    def waiting(self, place: Place | None) -> Place:
        """Return a place, and assert that the attempt waits."""
        assert place is not None
        return place


class WindowTests(LimiterCase):
    """How many attempts start, and when."""

    def test_burst(self) -> None:
        """As many attempts as the limit allows start at once; the others wait."""
        for number in range(5):
            self.enter(number)
        self.assertEqual(self.labels(), [0, 1, 2])
        self.clock.advance(9.99)
        self.assertEqual(self.labels(), [0, 1, 2])
        self.clock.advance(0.01)
        self.assertEqual(self.labels(), [0, 1, 2, 3, 4])

    def test_sliding(self) -> None:
        """With a limit of n, an attempt starts one period after the n-th attempt before it.

        The period is not divided into fixed parts.
        """
        for number in range(6):
            self.enter(number)
            self.clock.advance(2.0)
        self.clock.pump([1.0] * 10)
        self.assertEqual(
            self.started, [(0, 0.0), (1, 2.0), (2, 4.0), (3, 10.0), (4, 12.0), (5, 14.0)]
        )

    def test_never_more(self) -> None:
        """No period contains more attempts than the limit, for any times of arrival."""
        for step in range(400):
            for number in range((step * 7919) % 4):
                self.enter((step, number))
            self.clock.advance(0.37 + (step % 5))
        self.clock.pump([0.5] * 6000)
        times = [time for _, time in self.started]
        self.assertEqual(len(times), sum((step * 7919) % 4 for step in range(400)))
        for first, fourth in zip(times, times[3:], strict=False):
            self.assertGreaterEqual(fourth - first, 10.0 - 1e-6)

    def test_first_come_first_served(self) -> None:
        """Attempts start in the order in which they were queued."""
        for number in range(20):
            self.enter(number)
            self.clock.advance(0.1)
        self.clock.pump([1.0] * 100)
        self.assertEqual(self.labels(), list(range(20)))

    def test_new_attempt_waits_behind(self) -> None:
        """A new attempt waits behind the queue, even at the moment when one may start."""
        for number in range(4):
            self.enter(number)
        self.clock.rightNow = 10.0  # The timer has not run yet.
        self.enter("late")
        self.clock.advance(0)
        self.assertEqual(self.labels(), [0, 1, 2, 3, "late"])

    def test_expected_wait(self) -> None:
        """The expected wait is exact while no attempt leaves the queue."""
        expected = {}
        for number in range(11):
            place = self.enter(number)
            if place is not None:
                expected[number] = self.clock.seconds() + place.seconds
            self.clock.advance(0.5)
        self.clock.pump([0.25] * 400)
        started = dict(self.started)
        self.assertEqual(set(expected), set(range(3, 11)))
        for number, time in expected.items():
            self.assertAlmostEqual(started[number], time)

    def test_one_timer(self) -> None:
        """A queue of any length needs one timer, and none is left when it is empty."""
        for number in range(50):
            self.enter(number)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([5.0] * 50)
        self.assertEqual(len(self.started), 50)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rounding(self) -> None:
        """A timer that fires early by a rounding error does not fire in an endless loop."""
        self.clock.rightNow = 1_700_000_000.123
        for number in range(200):
            self.enter(number)
            self.clock.advance(0.1)
        self.clock.pump([3.3] * 300)
        self.assertEqual(self.labels(), list(range(200)))


class HostTests(LimiterCase):
    """What counts as one host."""

    def test_two_hosts(self) -> None:
        """Each host has a limit of its own."""
        for number in range(4):
            self.enter(("a", number), "a.test")
            self.enter(("b", number), "b.test")
        self.assertEqual(len(self.started), 6)
        self.clock.advance(10.0)
        self.assertEqual(self.labels()[6:], [("a", 3), ("b", 3)])

    def test_same_host(self) -> None:
        """Case and a final dot make no difference."""
        for host in ("Example.TEST", "example.test", "example.test."):
            self.assertIsNone(self.enter(host=host))
        self.assertIsNotNone(self.enter(host="EXAMPLE.test"))

    def test_two_reactors(self) -> None:
        """Attempts with different reactors are counted separately, each with its own time."""
        other = Clock()
        other.advance(1000.0)
        for number in range(4):
            self.enter(("first", number))
            self.enter(("second", number), clock=other)
        self.assertEqual(len(self.started), 6)
        other.advance(10.0)
        self.assertEqual(self.started[6:], [(("second", 3), 1010.0)])
        self.clock.advance(10.0)
        self.assertEqual(self.started[7:], [(("first", 3), 10.0)])

    def test_idle_hosts_are_forgotten(self) -> None:
        """Memory does not grow with the number of hosts that were used long ago."""
        for number in range(1000):
            self.enter(host=f"h{number}.test")
            self.clock.advance(1.0)
        [hosts] = self.limiter._windows.values()
        self.assertLessEqual(len(hosts), 11)


class LeaveTests(LimiterCase):
    """Attempts that leave the queue."""

    def test_others_move_up(self) -> None:
        """The place of an attempt that leaves is used by the next one."""
        for number in range(3):
            self.enter(number)
        leaving = self.waiting(self.enter("leaving"))
        self.clock.advance(1.0)
        self.enter("next")
        leaving.leave()
        self.clock.advance(9.0)
        self.assertEqual(self.labels(), [0, 1, 2, "next"])

    def test_last_one(self) -> None:
        """No timer is left when the queue is empty."""
        places = [self.enter(number) for number in range(5)]
        for place in places[3:]:
            self.waiting(place).leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(20.0)
        self.assertEqual(self.labels(), [0, 1, 2])

    def test_twice(self) -> None:
        """Leaving twice, or after the start, has no effect."""
        for number in range(3):
            self.enter(number)
        place = self.waiting(self.enter(3))
        other = self.waiting(self.enter(4))
        other.leave()
        other.leave()
        self.clock.advance(10.0)
        place.leave()
        self.enter(5)
        self.enter(6)
        self.assertEqual(self.labels(), [0, 1, 2, 3, 5, 6])

    def test_does_not_count(self) -> None:
        """An attempt that left the queue has not used anything of the limit."""
        for number in range(3):
            self.enter(number)
        for _ in range(10):
            self.waiting(self.enter()).leave()
        self.clock.advance(10.0)
        self.assertEqual([self.enter(number) for number in range(3)], [None] * 3)

    def test_inside_a_start(self) -> None:
        """A start may make others leave and enter the queue."""
        for number in range(3):
            self.enter(number)
        places: list[Place] = []

        def start() -> None:
            self.started.append(("first", self.clock.seconds()))
            places[1].leave()
            self.enter("new")

        for label in ("first", "second", "third"):
            callback = start if label == "first" else lambda: self.started.append(("third", 0))
            places.append(self.waiting(self.limiter.enter(HOST, self.clock, callback)))
        self.clock.advance(10.0)
        self.assertEqual(self.labels(), [0, 1, 2, "first", "third", "new"])


class ConfigureTests(LimiterCase):
    """A change of the limit."""

    def test_more(self) -> None:
        """A higher limit starts waiting attempts in the next reactor iteration."""
        for number in range(8):
            self.enter(number)
        self.limiter.configure(per_host=5, per_seconds=10.0)
        self.clock.advance(0)
        self.assertEqual(self.labels(), [0, 1, 2, 3, 4])
        self.clock.advance(10.0)
        self.assertEqual(self.labels(), list(range(8)))

    def test_fewer(self) -> None:
        """A lower limit counts the attempts that have started already."""
        for number in range(3):
            self.enter(number)
            self.clock.advance(1.0)
        self.limiter.configure(per_host=1, per_seconds=10.0)
        self.enter(3)
        self.clock.advance(8.9)
        self.assertEqual(self.labels(), [0, 1, 2])
        self.clock.advance(0.1)
        self.assertEqual(self.labels(), [0, 1, 2, 3])

    def test_shorter(self) -> None:
        """A shorter period lets waiting attempts start sooner."""
        for number in range(4):
            self.enter(number)
        self.limiter.configure(per_host=3, per_seconds=2.0)
        self.clock.advance(2.0)
        self.assertEqual(self.started[3:], [(3, 2.0)])

    def test_wrong(self) -> None:
        """A wrong limit raises ValueError and changes nothing."""
        self.assertRaises(ValueError, self.limiter.configure, per_host=0, per_seconds=1.0)
        self.assertRaises(ValueError, self.limiter.configure, per_host=1, per_seconds=0)
        shown = "ConnectLimiter(per_host=3, per_seconds=10)"
        self.assertEqual(repr(self.limiter), shown)


class ArgumentTests(SynchronousTestCase):
    """The arguments of ConnectLimiter."""

    def test_attributes(self) -> None:
        """The arguments are attributes."""
        limiter = ConnectLimiter(per_host=300, per_seconds=300.0)
        self.assertEqual((limiter.per_host, limiter.per_seconds), (300, 300.0))

    @each([0, -1, 1.5, "3", None, True, sys.maxsize])
    def test_per_host(self, value: Any) -> None:
        """per_host must be a whole number above 0."""
        error = self.assertRaises(ValueError, ConnectLimiter, per_host=value, per_seconds=1.0)
        self.assertIn("per_host: expected a whole number above 0, got", str(error))

    @each([0, -1, "3", None, True, float("inf"), float("nan")])
    def test_per_seconds(self, value: Any) -> None:
        """per_seconds must be a number above 0."""
        error = self.assertRaises(ValueError, ConnectLimiter, per_host=1, per_seconds=value)
        self.assertIn("per_seconds: expected a number above 0, got", str(error))


class ClientTests(MemoryCase):
    """Clients that share a limiter."""

    def setUp(self) -> None:
        super().setUp()
        self.limiter = ConnectLimiter(per_host=2, per_seconds=60.0)
        self.lines: list[str] = []

    def start(self, handler: Any = None, state: Any = None, **options: Any) -> Any:
        """Start a client with the limiter."""
        handler = Recorder() if handler is None else handler
        return super().start(handler, state, **{"connect_limiter": self.limiter} | options)

    def use_up(self) -> None:
        """Start as many attempts as the limit allows."""
        for _ in range(self.limiter.per_host):
            self.start(async_=True)

    @contextmanager
    def logged(self) -> Iterator[list[str]]:
        """Yield a list that receives the lines that are logged."""
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        try:
            yield lines
        finally:
            globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]

    def test_off_by_default(self) -> None:
        """Without a limiter, all clients connect at once."""
        for _ in range(5):
            self.start(connect_limiter=None, async_=True)
        self.assertEqual(self.server.attempts, 5)

    def test_start_waits(self) -> None:
        """A client over the limit is connecting, and connects when it may."""
        self.use_up()
        started = self.start()
        self.assertEqual(self.server.attempts, 2)
        self.assertNoResult(started)
        self.clock.advance(60.0)
        self.assertEqual(self.server.attempts, 3)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_status(self) -> None:
        """A client that waits for the limit is connecting."""
        self.use_up()
        client = self.successResultOf(self.start(async_=True))
        self.assertEqual(client.status, "connecting")
        error = self.failureResultOf(client.send_frame(wsx.Text("x"))).value
        self.assertEqual(error.connection_state, "opening")

    def test_no_timeout(self) -> None:
        """``socket_connect_timeout`` starts after the wait."""
        self.use_up()
        self.server.silent = True
        handler = Recorder()
        started = self.start(handler, socket_connect_timeout=5.0)
        self.clock.advance(60.0)
        self.clock.advance(4.9)
        self.assertNoResult(started)
        self.clock.advance(0.2)
        self.failureResultOf(started, wsx.ConnError)

    def test_no_failed_attempt(self) -> None:
        """After a wait, attempt numbers and delays of the policy are the same as without it."""
        policy = Backoff(initial=1.0, jitter=0)
        handler = reconnecting(after=None)
        client = self.open(handler, reconnect=policy, stable_after=0)
        self.start(async_=True)
        self.server.peers[0].drop()
        self.step()
        self.clock.advance(1.0)
        self.assertEqual((client.status, self.server.attempts), ("connecting", 2))
        self.clock.advance(59.0)
        self.assertEqual(self.server.attempts, 3)
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.peer.drop()
        self.step()
        self.assertEqual([s.attempt_number for s in handler.arguments("handle_disconnect")], [1, 1])

    def test_failed_attempts_count(self) -> None:
        """An attempt that fails counts like one that succeeds."""
        self.server.refusal = ConnectionRefusedError()
        client = self.successResultOf(
            self.start(reconnecting(after=1.0), async_=True, handle_initial_conn_failure=True)
        )
        self.clock.pump([1.0] * 30)
        self.assertEqual((self.server.attempts, client.status), (2, "connecting"))
        self.clock.pump([1.0] * 30)
        self.assertEqual(self.server.attempts, 3)

    def test_another_host(self) -> None:
        """A client of another host does not wait; an endpoint does not change the host."""
        self.use_up()
        self.start(url="ws://other.test/", async_=True)
        self.assertEqual(self.server.attempts, 3)
        self.start(url="wss://EXAMPLE.test:8443/x", async_=True)
        self.assertEqual(self.server.attempts, 3)

    def test_stop(self) -> None:
        """``stop`` ends a client that waits at once, and releases its place."""
        self.use_up()
        client = self.successResultOf(self.start(Recorder(), async_=True))
        behind = self.successResultOf(self.start(async_=True, url="ws://example.test/behind"))
        ended = client.stop()
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.clock.advance(60.0)
        self.assertEqual(self.server.attempts, 3)
        self.assertIn("/behind", self.peer.request[0])
        self.assertEqual(behind.status, "connecting")

    def test_close(self) -> None:
        """``close`` ends the wait at once, and ``handle_disconnect`` decides what follows."""
        self.use_up()
        handler = reconnecting(after=1.0)
        options = {"async_": True, "handle_initial_conn_failure": True}
        client = self.successResultOf(self.start(handler, **options))
        self.successResultOf(client.close())
        self.step()
        self.assertEqual(reasons(handler), [wsx.LocalClose(1000, "")])
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(1.0)
        self.assertEqual(client.status, "connecting")
        self.clock.advance(60.0)
        self.assertEqual(self.server.attempts, 3)

    def test_cancel(self) -> None:
        """Cancelling ``start`` ends the wait at once, without a timer left of it."""
        self.use_up()
        started = self.start()
        scheduler = scheduler_for(self.clock)
        for call in scheduler.getDelayedCalls():
            self.assertGreater(call.getTime(), 0)
        before = len(scheduler.getDelayedCalls())
        started.cancel()
        self.step()
        self.failureResultOf(started, CancelledError)
        self.assertEqual(len(scheduler.getDelayedCalls()), before - 1)
        self.clock.advance(100.0)
        self.assertEqual(self.server.attempts, 2)

    def test_abort(self) -> None:
        """``abort`` ends a client that waits."""
        self.use_up()
        client = self.successResultOf(self.start(async_=True))
        client.abort()
        self.step()
        self.assertEqual(client.status, "terminated")

    def test_stopped_by_another_start(self) -> None:
        """An observer of an attempt may stop the client that would start next."""
        self.use_up()
        waiting = [self.successResultOf(self.start(async_=True)) for _ in range(2)]

        def stop_the_second(event: str, measurements: Any, metadata: Any, config: Any) -> None:
            waiting[1].stop()

        telemetry.attach("stop", "wsx.connecting", stop_the_second)
        self.addCleanup(telemetry.detach, "stop")
        self.clock.advance(60.0)
        self.step()
        self.assertEqual([client.status for client in waiting], ["connecting", "terminated"])
        self.assertEqual(self.server.attempts, 3)

    def test_log(self) -> None:
        """A wait of more than a second is logged once, and the attempt after it not again."""
        self.use_up()
        with self.logged() as lines:
            client = self.successResultOf(self.start(async_=True, name="feed"))
            self.clock.advance(60.0)
        client.stop()
        self.step()
        text = "feed: waiting 60.0 s for the connection limit of example.test (2 in 60 s)"
        self.assertEqual([line for line in lines if line.startswith("feed:")], [text])

    def test_no_log(self) -> None:
        """A short wait is not logged."""
        self.limiter.configure(per_host=2, per_seconds=0.9)
        self.use_up()
        with self.logged() as lines:
            self.start(async_=True)
        self.assertEqual(lines, [])

    def test_trace(self) -> None:
        """Each wait is traced, before the attempt."""
        self.limiter.configure(per_host=2, per_seconds=0.9)
        self.use_up()
        client = self.successResultOf(self.start(async_=True, debug=["log"]))
        self.clock.advance(0.9)
        events = [text for _, text in client.sys.log("get")]
        wait = "waiting 0.9 s for the connection limit of example.test (2 in 0.9 s)"
        self.assertEqual(events, [wait, "attempting to connect"])

    def test_telemetry(self) -> None:
        """``wsx.connecting`` is reported when the attempt starts, with the time it has waited."""
        seen: list[tuple[float, Any]] = []

        def observe(event: str, measurements: Any, metadata: Any, config: Any) -> None:
            seen.append((self.clock.seconds(), measurements.get("waited")))

        telemetry.attach("seen", "wsx.connecting", observe)
        self.addCleanup(telemetry.detach, "seen")
        for _ in range(3):
            self.start(async_=True)
            self.clock.advance(10.0)
        self.clock.advance(60.0)
        self.assertEqual(seen, [(0.0, None), (10.0, None), (90.0, 70.0)])

    def test_reconnects_of_many(self) -> None:
        """After a restart of the server, the limit holds for the reconnects of all clients."""
        self.limiter.configure(per_host=4, per_seconds=5.0)
        options = {"reconnect": Backoff(), "async_": True, "stable_after": 0}
        handlers = [reconnecting(after=None) for _ in range(10)]
        clients = [self.successResultOf(self.start(handler, **options)) for handler in handlers]
        times = self.run_for(20.0)
        self.assertEqual({client.status for client in clients}, {"open"})
        for peer in list(self.server.peers):
            peer.drop()
        times += self.run_for(20.0)
        self.assertEqual({client.status for client in clients}, {"open"})
        self.assertEqual(self.server.attempts, 20)
        for first, fifth in zip(times, times[4:], strict=False):
            self.assertGreaterEqual(fifth - first, 5.0 - 1e-6)

    def run_for(self, seconds: float) -> list[float]:
        """Advance the time, complete each opening handshake, and return the times of attempts."""
        times: list[float] = []
        for _ in range(round(seconds * 10)):
            answered = len(self.server.peers)
            self.clock.advance(0.1)
            self.answer_all()
            times += [self.clock.seconds()] * (len(self.server.peers) - answered)
        return times

    def answer_all(self) -> None:
        """Complete all opening handshakes."""
        for peer in self.server.peers:
            if not peer.transport.ended and peer.transport.value().startswith(b"GET"):
                peer.answer()
        self.step()
