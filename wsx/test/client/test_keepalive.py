"""Tests of the keepalive: pings at their interval, and the two time-outs."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.keepalive import Keepalive
from wsx.conn import Conn
from wsx.errors import DataTimeout, PingTimeout, WsxError

TICK = 0.125  # exact in binary, so that sums of times are


class KeepaliveCase(SynchronousTestCase):
    """With a clock; what the keepalive does is noted with its time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pings: list[bytes] = []
        self.pinged_at: list[float] = []
        self.ends: list[tuple[float, type[WsxError]]] = []

    def make(self, **options: Any) -> Keepalive:
        """Makes one; time-outs that a test does not ask for are off."""
        options = {"ping_interval": None, "ping_timeout": None} | options
        conn = Conn("ws://example.test/", **options)
        return Keepalive(self.clock, conn, self.note_ping, self.note_end)

    def watch(self, **options: Any) -> Keepalive:
        """Makes one and starts it."""
        keepalive = self.make(**options)
        keepalive.start()
        return keepalive

    def note_ping(self, payload: bytes) -> None:
        self.pings.append(payload)
        self.pinged_at.append(self.clock.seconds())

    def note_end(self, error: WsxError) -> None:
        self.ends.append((self.clock.seconds(), type(error)))

    def advance(self, seconds: float) -> None:
        """Lets time pass in small steps, so that everything has its own time."""
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    def live(self, keepalive: Keepalive, seconds: float, every: float) -> None:
        """Lets time pass, and bytes of the peer arrive in between."""
        for _ in range(round(seconds / every)):
            self.advance(every)
            keepalive.heard = True


class PingTests(KeepaliveCase):
    """Pings."""

    def test_at_the_interval(self) -> None:
        """A ping goes out at each interval, the first one after one interval."""
        self.watch(ping_interval=10.0)
        self.advance(35)
        self.assertEqual(self.pinged_at, [10.0, 20.0, 30.0])

    def test_no_interval(self) -> None:
        """Without ``ping_interval`` there are no pings, and no ping time-out either."""
        self.watch(ping_interval=None, ping_timeout=1.0)
        self.advance(100)
        self.assertEqual((self.pings, self.ends), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_defaults(self) -> None:
        """By default: a ping after 20 s of connection, the end after 20 more of silence."""
        conn = Conn("ws://example.test/")
        Keepalive(self.clock, conn, self.note_ping, self.note_end).start()
        self.advance(60)
        self.assertEqual(self.pinged_at[0], 20.0)
        self.assertEqual(self.ends, [(40.0, PingTimeout)])

    def test_nothing_before_start(self) -> None:
        """A keepalive that has not been started has no timer."""
        self.make(ping_interval=1.0, ping_timeout=1.0, data_timeout=1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_payload_begins_with_the_token(self) -> None:
        """Each ping carries the token, fits a control frame and is unlike the others."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(3)
        self.assertEqual(len(set(self.pings)), 3)
        for payload in self.pings:
            self.assertTrue(payload.startswith(keepalive.token), payload)
            self.assertLessEqual(len(payload), 125)

    def test_token_is_its_own(self) -> None:
        """Every keepalive has another token, which nobody could guess."""
        tokens = {self.make().token for _ in range(20)}
        self.assertEqual(len(tokens), 20)
        self.assertTrue(all(len(token) >= 4 for token in tokens))

    def test_pings_go_on_while_paused(self) -> None:
        """While we do not read, pings are still sent: the peer may watch us."""
        keepalive = self.watch(ping_interval=1.0, ping_timeout=1.0)
        keepalive.paused()
        self.advance(3)
        self.assertEqual(self.pinged_at, [1.0, 2.0, 3.0])


class LatencyTests(KeepaliveCase):
    """``latency``."""

    def test_none_at_first(self) -> None:
        """There is none before the first round trip is complete."""
        keepalive = self.watch(ping_interval=1.0)
        self.assertIsNone(keepalive.latency)
        self.advance(1)
        self.assertIsNone(keepalive.latency)

    def test_round_trip(self) -> None:
        """It is the time from the ping to its pong, the last one's."""
        keepalive = self.watch(ping_interval=1.0)
        for delay in (0.25, 0.5):
            self.advance(1 - self.clock.seconds() % 1)
            self.advance(delay)
            keepalive.pong(self.pings[-1])
            self.assertEqual(keepalive.latency, delay)

    def test_without_ping_timeout(self) -> None:
        """It needs no time-out."""
        keepalive = self.watch(ping_interval=1.0, ping_timeout=None)
        self.advance(1.5)
        keepalive.pong(self.pings[0])
        self.assertEqual(keepalive.latency, 0.5)

    def test_a_pong_to_no_ping_of_ours(self) -> None:
        """A payload that is not that of a ping says nothing."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(1.5)
        for payload in (b"", keepalive.token, self.pings[0] + b"x", b"x" * len(self.pings[0])):
            keepalive.pong(payload)
            self.assertIsNone(keepalive.latency, payload)

    def test_a_pong_that_comes_after_the_next_ping(self) -> None:
        """A round trip longer than the interval is measured from its own ping."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(2.5)
        keepalive.pong(self.pings[0])
        self.assertEqual(keepalive.latency, 1.5)


class PingTimeoutTests(KeepaliveCase):
    """``ping_timeout``."""

    def test_a_silent_peer(self) -> None:
        """Silence for so long after a ping is a PingTimeout, exactly then and once."""
        self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(13.875)
        self.assertEqual(self.ends, [])
        self.advance(100)
        self.assertEqual(self.ends, [(14.0, PingTimeout)])

    def test_no_timer_after_it(self) -> None:
        """After the time-out nothing is pinged or watched any more."""
        self.watch(ping_interval=10.0, ping_timeout=4.0, data_timeout=60.0)
        self.advance(14)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_any_byte_is_life(self) -> None:
        """Whatever was read after the ping will do; it need not be a pong."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(13.875)
        keepalive.heard = True
        self.advance(9)
        self.assertEqual(self.ends, [])

    def test_life_before_the_ping_does_not_count(self) -> None:
        """What was read before the ping says nothing about the peer after it."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(9.875)
        keepalive.heard = True
        self.advance(10)
        self.assertEqual(self.ends, [(14.0, PingTimeout)])

    def test_each_ping_asks_anew(self) -> None:
        """A peer that answered once and then fell silent is noticed at the next ping."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(11)
        keepalive.heard = True
        self.advance(30)
        self.assertEqual(self.ends, [(24.0, PingTimeout)])

    def test_a_live_peer(self) -> None:
        """A peer that gives a sign now and then stays for ever."""
        for timeout in (4.0, 10.0, 25.0):
            keepalive = self.watch(ping_interval=10.0, ping_timeout=timeout)
            self.live(keepalive, 200, every=2.0)
            keepalive.stop()
        self.assertEqual(self.ends, [])

    def test_no_timeout(self) -> None:
        """Without ``ping_timeout`` a silent peer is pinged and kept."""
        self.watch(ping_interval=10.0, ping_timeout=None)
        self.advance(100)
        self.assertEqual((len(self.pings), self.ends), (10, []))

    def test_longer_than_the_interval(self) -> None:
        """Pings that go out meanwhile do not put the time-out off."""
        self.watch(ping_interval=10.0, ping_timeout=25.0)
        self.advance(100)
        self.assertEqual(self.pinged_at, [10.0, 20.0, 30.0])
        self.assertEqual(self.ends, [(35.0, PingTimeout)])

    def test_equal_to_the_interval(self) -> None:
        """The next ping does not put the time-out off when both are due at once."""
        self.watch(ping_interval=10.0, ping_timeout=10.0)
        self.advance(100)
        self.assertEqual(self.ends, [(20.0, PingTimeout)])

    def test_not_while_paused(self) -> None:
        """While we have paused reading ourselves, no time-out runs."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(11)
        keepalive.paused()
        self.advance(100)
        self.assertEqual(self.ends, [])

    def test_a_full_one_after_resume(self) -> None:
        """After resuming, the peer has the whole time again, from then on."""
        for paused_for in (1.0, 3.0, 4.0, 90.0):
            keepalive = self.watch(ping_interval=1000.0, ping_timeout=4.0)
            self.advance(1002)
            keepalive.paused()
            self.advance(paused_for)
            keepalive.resumed()
            resumed_at = self.clock.seconds()
            self.advance(10)
            self.assertEqual(self.ends, [(resumed_at + 4.0, PingTimeout)], paused_for)
            self.ends.clear()

    def test_life_after_resume(self) -> None:
        """What is read after resuming counts."""
        keepalive = self.watch(ping_interval=1000.0, ping_timeout=4.0)
        self.advance(1002)
        keepalive.paused()
        self.advance(50)
        keepalive.resumed()
        self.advance(1)
        keepalive.heard = True
        self.advance(50)
        self.assertEqual(self.ends, [])

    def test_resume_starts_no_timeout_of_its_own(self) -> None:
        """Where no ping waits for life, resuming begins no time-out."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        keepalive.paused()
        keepalive.resumed()
        self.advance(13.875)
        self.assertEqual(self.ends, [])

    def test_paused_again(self) -> None:
        """A second pause stops the time-out as the first did."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(11)
        for _ in range(10):
            keepalive.paused()
            self.advance(5)
            keepalive.resumed()
            self.advance(3)
        self.assertEqual(self.ends, [])


class DataTimeoutTests(KeepaliveCase):
    """``data_timeout``."""

    def test_no_data_at_all(self) -> None:
        """No message for so long after the opening is a DataTimeout, exactly then and once."""
        self.watch(data_timeout=5.0)
        self.advance(4.875)
        self.assertEqual(self.ends, [])
        self.advance(100)
        self.assertEqual(self.ends, [(5.0, DataTimeout)])

    def test_counted_from_the_last_message(self) -> None:
        """Each message begins the time anew."""
        keepalive = self.watch(data_timeout=5.0)
        for _ in range(10):
            self.advance(3)
            keepalive.data()
        self.assertEqual(self.ends, [])
        self.advance(100)
        self.assertEqual(self.ends, [(35.0, DataTimeout)])

    def test_other_bytes_are_no_data(self) -> None:
        """Pongs and other bytes keep the connection, but are no message."""
        keepalive = self.watch(ping_interval=1.0, ping_timeout=1.0, data_timeout=5.0)
        self.live(keepalive, 10, every=0.5)
        self.assertEqual(self.ends, [(5.0, DataTimeout)])

    def test_data_is_no_life_by_itself(self) -> None:
        """Both time-outs run side by side; the first one that is due ends it."""
        self.watch(ping_interval=1.0, ping_timeout=1.0, data_timeout=5.0)
        self.advance(10)
        self.assertEqual(self.ends, [(2.0, PingTimeout)])

    def test_not_while_paused(self) -> None:
        """While we have paused reading ourselves, it does not run."""
        keepalive = self.watch(data_timeout=5.0)
        self.advance(1)
        keepalive.paused()
        self.advance(100)
        self.assertEqual(self.ends, [])

    def test_a_full_one_after_resume(self) -> None:
        """After resuming, the peer has the whole time again, from then on."""
        for paused_for in (1.0, 4.0, 5.0, 92.0):
            keepalive = self.watch(data_timeout=5.0)
            self.advance(2)
            keepalive.paused()
            self.advance(paused_for)
            keepalive.resumed()
            resumed_at = self.clock.seconds()
            self.advance(10)
            self.assertEqual(self.ends, [(resumed_at + 5.0, DataTimeout)], paused_for)
            self.ends.clear()

    def test_watches_data(self) -> None:
        """It says whether it wants to hear of messages."""
        self.assertTrue(self.make(data_timeout=5.0).watches_data)
        self.assertFalse(self.make().watches_data)

    def test_no_timeout(self) -> None:
        """Without ``data_timeout`` no timer runs for it."""
        self.watch(data_timeout=None)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StopTests(KeepaliveCase):
    """The end of the watch."""

    def all_timers(self) -> Keepalive:
        """A keepalive each of whose timers runs."""
        keepalive = self.watch(ping_interval=3.0, ping_timeout=2.0, data_timeout=60.0)
        self.advance(4)
        self.assertEqual(len(self.clock.getDelayedCalls()), 3)
        return keepalive

    def test_leaves_no_timers(self) -> None:
        """After ``stop`` no timer is left, and nothing happens any more."""
        self.all_timers().stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(100)
        self.assertEqual((len(self.pings), self.ends), (1, []))

    def test_while_paused(self) -> None:
        """``stop`` while paused leaves none either, nor does resuming after it begin one."""
        keepalive = self.all_timers()
        keepalive.paused()
        keepalive.stop()
        keepalive.resumed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """A second ``stop`` does nothing."""
        keepalive = self.all_timers()
        keepalive.stop()
        keepalive.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_a_ping_is_sent(self) -> None:
        """Sending a ping may end the connection, and with it the watch."""
        conn = Conn("ws://example.test/", ping_interval=3.0, ping_timeout=2.0, data_timeout=60.0)
        keepalive = Keepalive(self.clock, conn, lambda _: keepalive.stop(), self.note_end)
        keepalive.start()
        self.advance(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
