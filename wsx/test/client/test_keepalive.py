"""Tests of the keepalive: pings, pongs, latency and the two timeouts."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.keepalive import Keepalive
from wsx._scheduler import scheduler_for
from wsx.conn import Conn
from wsx.errors import DataTimeout, PingTimeout, WsxError
from wsx.frames import Binary, Frame, Ping, Pong, Text
from wsx.test.support.delivery import make_batch

TICK = 0.125  # Exact in binary, so sums of it are exact as well.


class KeepaliveCase(SynchronousTestCase):
    """A clock; pings and timeouts are recorded with their times."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pings: list[bytes] = []
        self.pinged_at: list[float] = []
        self.ends: list[tuple[float, type[WsxError]]] = []

    def make(self, **options: Any) -> Keepalive:
        """Return a keepalive; timeouts that a test does not pass are off."""
        options = {"ping_interval": None, "ping_timeout": None} | options
        conn = Conn("ws://example.test/", **options)
        return Keepalive(scheduler_for(self.clock), conn, self.note_ping, self.note_end)

    def watch(self, **options: Any) -> Keepalive:
        """Return a keepalive that is started."""
        keepalive = self.make(**options)
        keepalive.start()
        return keepalive

    def note_ping(self, payload: bytes) -> None:
        self.pings.append(payload)
        self.pinged_at.append(self.clock.seconds())

    def note_end(self, error: WsxError) -> None:
        self.ends.append((self.clock.seconds(), type(error)))

    def pong(self, keepalive: Keepalive, payload: bytes) -> None:
        """Receive a pong."""
        keepalive.take_pongs(make_batch(Pong(payload)))

    def advance(self, seconds: float) -> None:
        """Advance the clock in small steps, so that every event has an exact time."""
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    def advance_with_reads(self, keepalive: Keepalive, seconds: float, every: float) -> None:
        """Advance the clock, and receive bytes every ``every`` seconds."""
        for _ in range(round(seconds / every)):
            self.advance(every)
            keepalive.heard = True


class PingTests(KeepaliveCase):
    """Pings."""

    def test_at_the_interval(self) -> None:
        """A ping is sent at each interval; the first one after one interval."""
        self.watch(ping_interval=10.0)
        self.advance(35)
        self.assertEqual(self.pinged_at, [10.0, 20.0, 30.0])

    def test_no_interval(self) -> None:
        """Without ``ping_interval`` there are no pings and no ping timeout."""
        self.watch(ping_interval=None, ping_timeout=1.0)
        self.advance(100)
        self.assertEqual((self.pings, self.ends), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_defaults(self) -> None:
        """By default, a ping is sent after 20 s, and silence times out 20 s later."""
        conn = Conn("ws://example.test/")
        Keepalive(scheduler_for(self.clock), conn, self.note_ping, self.note_end).start()
        self.advance(60)
        self.assertEqual(self.pinged_at[0], 20.0)
        self.assertEqual(self.ends, [(40.0, PingTimeout)])

    def test_nothing_before_start(self) -> None:
        """A keepalive that is not started has no timer."""
        self.make(ping_interval=1.0, ping_timeout=1.0, data_timeout=1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_payloads(self) -> None:
        """Each payload is different, fits into a control frame and has 4 bytes in common."""
        self.watch(ping_interval=1.0)
        self.advance(3)
        self.assertEqual(len(set(self.pings)), 3)
        self.assertTrue(all(len(payload) <= 125 for payload in self.pings))
        self.assertEqual(len({payload[:4] for payload in self.pings}), 1)

    def test_payloads_are_printable(self) -> None:
        """Payloads are printable ASCII: some servers decode them as UTF-8."""
        self.watch(ping_interval=1.0)
        self.advance(300)
        self.assertEqual(len(set(self.pings)), 300)
        for payload in self.pings:
            text = payload.decode("ascii")
            self.assertTrue(text.isprintable(), payload)

    def test_payloads_of_two_connections(self) -> None:
        """The payloads of two connections are different and cannot be guessed."""
        for _ in range(20):
            self.watch(ping_interval=1.0)
        self.advance(1)
        self.assertEqual(len({payload[:8] for payload in self.pings}), 20)

    def test_pings_are_sent_while_paused(self) -> None:
        """Pings are sent while reading is paused: the server may expect data."""
        keepalive = self.watch(ping_interval=1.0, ping_timeout=1.0)
        keepalive.paused()
        self.advance(3)
        self.assertEqual(self.pinged_at, [1.0, 2.0, 3.0])


class LatencyTests(KeepaliveCase):
    """``latency``."""

    def test_none_at_first(self) -> None:
        """The latency is None before the first round trip is complete."""
        keepalive = self.watch(ping_interval=1.0)
        self.assertIsNone(keepalive.latency)
        self.advance(1)
        self.assertIsNone(keepalive.latency)

    def test_round_trip(self) -> None:
        """The latency is the time from a ping to its pong, for the last one."""
        keepalive = self.watch(ping_interval=1.0)
        for delay in (0.25, 0.5):
            self.advance(1 - self.clock.seconds() % 1)
            self.advance(delay)
            self.pong(keepalive, self.pings[-1])
            self.assertEqual(keepalive.latency, delay)

    def test_without_ping_timeout(self) -> None:
        """The latency is measured without ``ping_timeout`` as well."""
        keepalive = self.watch(ping_interval=1.0, ping_timeout=None)
        self.advance(1.5)
        self.pong(keepalive, self.pings[0])
        self.assertEqual(keepalive.latency, 0.5)

    def test_other_pongs(self) -> None:
        """A pong with another payload than that of a ping does not change the latency."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(1.5)
        ping = self.pings[0]
        for payload in (b"", ping[:8], ping[:-1], ping + b"x", b"x" * len(ping)):
            self.pong(keepalive, payload)
            self.assertIsNone(keepalive.latency, payload)

    def test_a_pong_after_the_next_ping(self) -> None:
        """A round trip longer than the interval is measured from its own ping."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(2.5)
        self.pong(keepalive, self.pings[0])
        self.assertEqual(keepalive.latency, 1.5)

    def test_a_second_pong(self) -> None:
        """A second pong to the same ping does not change the latency."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(1.25)
        self.pong(keepalive, self.pings[0])
        self.advance(0.25)
        self.pong(keepalive, self.pings[0])
        self.assertEqual(keepalive.latency, 0.25)

    def test_a_pong_to_the_latest_of_several_pings(self) -> None:
        """After a pong to a later ping, earlier pings are not measured any more."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(3.25)
        self.pong(keepalive, self.pings[2])
        self.pong(keepalive, self.pings[0])
        self.assertEqual(keepalive.latency, 0.25)

    def test_a_server_that_never_sends_pongs(self) -> None:
        """The latest ping can be measured after very many pings without a pong."""
        keepalive = self.watch(ping_interval=1.0)
        self.advance(1000.5)
        self.pong(keepalive, self.pings[-1])
        self.assertEqual(keepalive.latency, 0.5)


class TakePongsTests(KeepaliveCase):
    """``take_pongs`` removes the pongs for keepalive pings from a batch."""

    def setUp(self) -> None:
        super().setUp()
        self.keepalive = self.watch(ping_interval=1.0)
        self.advance(2.5)

    def take(self, *frames: Frame) -> tuple[list[Pong], list[Frame], bool]:
        """Return the pongs, the frames that are left, and whether controls are left."""
        batch = make_batch(*frames)
        pongs = self.keepalive.take_pongs(batch)
        return pongs, batch.frames, batch.has_controls

    def test_own_pong(self) -> None:
        """The pong for a keepalive ping is removed and returned."""
        pong = Pong(self.pings[1])
        self.assertEqual(self.take(pong), ([pong], [], False))
        self.assertEqual(self.keepalive.latency, 0.5)

    def test_between_other_frames(self) -> None:
        """The other frames stay in order; no control frames are left."""
        pong = Pong(self.pings[1])
        found = self.take(Text("a"), pong, Binary(b"b"))
        self.assertEqual(found, ([pong], [Text("a"), Binary(b"b")], False))

    def test_other_control_frames(self) -> None:
        """Pings and other pongs stay, and are still reported as control frames."""
        own = Pong(self.pings[1])
        for other in (Pong(b"other"), Ping(own.payload), Pong(b"")):
            found = self.take(other, own, Text("a"))
            self.assertEqual(found, ([own], [other, Text("a")], True))

    def test_no_own_pong(self) -> None:
        """A batch without such a pong is not changed."""
        frames = [Ping(b""), Pong(b"other"), Text("a")]
        batch = make_batch(*frames)
        self.assertEqual(self.keepalive.take_pongs(batch), [])
        self.assertEqual(batch.frames, frames)
        self.assertTrue(batch.has_controls)

    def test_several(self) -> None:
        """Several such pongs in one batch are removed, in order."""
        pongs = [Pong(payload) for payload in self.pings]
        found = self.take(pongs[0], Text("a"), pongs[1])
        self.assertEqual(found, (pongs, [Text("a")], False))
        self.assertEqual(self.keepalive.latency, 0.5)

    def test_second_pong_for_a_ping(self) -> None:
        """A second pong for the same ping is removed as well."""
        pong = Pong(self.pings[1])
        self.assertEqual(self.take(pong, pong), ([pong, pong], [], False))
        self.assertEqual(self.take(pong), ([pong], [], False))

    def test_pong_of_another_connection(self) -> None:
        """The pong for a ping of another connection stays."""
        self.pings.clear()
        self.keepalive.stop()
        self.watch(ping_interval=1.0)
        self.advance(1)
        pong = Pong(self.pings[0])
        self.assertEqual(self.take(pong), ([], [pong], True))


class PingTimeoutTests(KeepaliveCase):
    """``ping_timeout``."""

    def test_a_silent_server(self) -> None:
        """Silence for ``ping_timeout`` after a ping is reported once, as a PingTimeout."""
        self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(13.875)
        self.assertEqual(self.ends, [])
        self.advance(100)
        self.assertEqual(self.ends, [(14.0, PingTimeout)])

    def test_no_timer_after_it(self) -> None:
        """No timer is left after the timeout."""
        self.watch(ping_interval=10.0, ping_timeout=4.0, data_timeout=60.0)
        self.advance(14)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_any_byte_counts(self) -> None:
        """Any read after the ping is enough; it need not be a pong."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(13.875)
        keepalive.heard = True
        self.advance(9)
        self.assertEqual(self.ends, [])

    def test_reads_before_the_ping_do_not_count(self) -> None:
        """A read before the ping does not prevent the timeout."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(9.875)
        keepalive.heard = True
        self.advance(10)
        self.assertEqual(self.ends, [(14.0, PingTimeout)])

    def test_next_ping(self) -> None:
        """A server that falls silent after one pong times out after the next ping."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(11)
        keepalive.heard = True
        self.advance(30)
        self.assertEqual(self.ends, [(24.0, PingTimeout)])

    def test_a_server_that_sends(self) -> None:
        """A server that sends now and then never times out."""
        for timeout in (4.0, 10.0, 25.0):
            keepalive = self.watch(ping_interval=10.0, ping_timeout=timeout)
            self.advance_with_reads(keepalive, 200, every=2.0)
            keepalive.stop()
        self.assertEqual(self.ends, [])

    def test_no_timeout(self) -> None:
        """Without ``ping_timeout`` a silent server does not time out."""
        self.watch(ping_interval=10.0, ping_timeout=None)
        self.advance(100)
        self.assertEqual((len(self.pings), self.ends), (10, []))

    def test_longer_than_the_interval(self) -> None:
        """Pings that are sent meanwhile do not postpone the timeout."""
        self.watch(ping_interval=10.0, ping_timeout=25.0)
        self.advance(100)
        self.assertEqual(self.pinged_at, [10.0, 20.0, 30.0])
        self.assertEqual(self.ends, [(35.0, PingTimeout)])

    def test_equal_to_the_interval(self) -> None:
        """The next ping does not postpone the timeout if both are due at once."""
        self.watch(ping_interval=10.0, ping_timeout=10.0)
        self.advance(100)
        self.assertEqual(self.ends, [(20.0, PingTimeout)])

    def test_each_ping_is_watched(self) -> None:
        """A ping that is sent within ``ping_timeout`` of an answered one is watched as well."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=10.0)
        self.advance(11)
        keepalive.heard = True
        self.advance(50)
        self.assertEqual(self.ends, [(30.0, PingTimeout)])

    def test_an_answered_ping_after_a_pause(self) -> None:
        """A pause of reading after the answer to a ping starts no timeout for this ping."""
        for seconds in (2.0, 10.0):  # Until the timeout of the ping, and beyond.
            keepalive = self.watch(ping_interval=20.0, ping_timeout=5.0)
            self.advance(21)
            keepalive.heard = True
            keepalive.paused()
            self.advance(seconds)
            keepalive.resumed()
            self.advance(18 - seconds)
            keepalive.stop()
        self.assertEqual(self.ends, [])

    def test_not_while_paused(self) -> None:
        """While the client has paused reading, the timeout does not run."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        self.advance(11)
        keepalive.paused()
        self.advance(100)
        self.assertEqual(self.ends, [])

    def test_a_full_one_after_resume(self) -> None:
        """After resuming, the timeout starts anew."""
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

    def test_read_after_resume(self) -> None:
        """A read after resuming prevents the timeout."""
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
        """Resuming starts no timeout if no ping is outstanding."""
        keepalive = self.watch(ping_interval=10.0, ping_timeout=4.0)
        keepalive.paused()
        keepalive.resumed()
        self.advance(13.875)
        self.assertEqual(self.ends, [])

    def test_paused_again(self) -> None:
        """A second pause suspends the timeout like the first one."""
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
        """No message for ``data_timeout`` after the opening is reported once, as a DataTimeout."""
        self.watch(data_timeout=5.0)
        self.advance(4.875)
        self.assertEqual(self.ends, [])
        self.advance(100)
        self.assertEqual(self.ends, [(5.0, DataTimeout)])

    def test_counted_from_the_last_message(self) -> None:
        """Each Text or Binary starts the timeout anew."""
        keepalive = self.watch(data_timeout=5.0)
        for number in range(10):
            self.advance(3)
            keepalive.received([Text("x") if number % 2 else Binary(b"x")])
        self.assertEqual(self.ends, [])
        self.advance(100)
        self.assertEqual(self.ends, [(35.0, DataTimeout)])

    def test_message_between_control_frames(self) -> None:
        """A message among control frames starts the timeout anew."""
        keepalive = self.watch(data_timeout=5.0)
        self.advance(3)
        keepalive.received([Ping(b""), Text("x"), Pong(b"")])
        self.advance(100)
        self.assertEqual(self.ends, [(8.0, DataTimeout)])

    def test_control_frames_are_no_data(self) -> None:
        """Pings and pongs do not start the timeout anew."""
        keepalive = self.watch(data_timeout=5.0)
        self.advance(3)
        keepalive.received([Ping(b""), Pong(b"")])
        keepalive.received([])
        self.advance(100)
        self.assertEqual(self.ends, [(5.0, DataTimeout)])

    def test_other_bytes_are_no_data(self) -> None:
        """Other bytes prevent a PingTimeout, but not a DataTimeout."""
        keepalive = self.watch(ping_interval=1.0, ping_timeout=1.0, data_timeout=5.0)
        self.advance_with_reads(keepalive, 10, every=0.5)
        self.assertEqual(self.ends, [(5.0, DataTimeout)])

    def test_both_timeouts(self) -> None:
        """If both timeouts run, only the first one that is due is reported."""
        self.watch(ping_interval=1.0, ping_timeout=1.0, data_timeout=5.0)
        self.advance(10)
        self.assertEqual(self.ends, [(2.0, PingTimeout)])

    def test_not_while_paused(self) -> None:
        """While the client has paused reading, the timeout does not run."""
        keepalive = self.watch(data_timeout=5.0)
        self.advance(1)
        keepalive.paused()
        self.advance(100)
        self.assertEqual(self.ends, [])

    def test_a_full_one_after_resume(self) -> None:
        """After resuming, the timeout starts anew."""
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
        """``watches_data`` is true if there is a ``data_timeout``."""
        self.assertTrue(self.make(data_timeout=5.0).watches_data)
        self.assertFalse(self.make().watches_data)

    def test_no_timeout(self) -> None:
        """Without ``data_timeout`` no timer runs."""
        self.watch(data_timeout=None)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StopTests(KeepaliveCase):
    """``stop``."""

    def all_timers(self) -> Keepalive:
        """Return a keepalive with all timers running."""
        keepalive = self.watch(ping_interval=3.0, ping_timeout=2.0, data_timeout=60.0)
        self.advance(4)
        self.assertEqual(len(scheduler_for(self.clock).getDelayedCalls()), 3)
        return keepalive

    def test_leaves_no_timers(self) -> None:
        """After ``stop`` no timer is left, and nothing is sent or reported."""
        self.all_timers().stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(100)
        self.assertEqual((len(self.pings), self.ends), (1, []))

    def test_while_paused(self) -> None:
        """``stop`` while paused leaves no timer, and resuming after it starts none."""
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
        """``stop`` may be called while a ping is sent."""
        conn = Conn("ws://example.test/", ping_interval=3.0, ping_timeout=2.0, data_timeout=60.0)
        keepalive = Keepalive(
            scheduler_for(self.clock), conn, lambda _: keepalive.stop(), self.note_end
        )
        keepalive.start()
        self.advance(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
