"""Tests of what a client remembers of its connections: attempt numbers, health, log lines."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._client.history import Journal
from wsx.test.support import URL, MemoryCase, Recorder
from wsx.test.support.each import each

CONN = wsx.Conn(URL)
DROPPED = wsx.ConnectionDropped(ConnectionDone())
REFUSED = wsx.ConnError(ConnectionRefusedError())
SECRET = "s3cr3t"


def lines(events: Any) -> list[str]:
    """Gives the lines of wsx's log."""
    return [formatEvent(event) for event in events if event["log_namespace"] == "wsx"]


class JournalCase(SynchronousTestCase):
    """A journal with a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.journal = Journal(self.clock, 5.0)

    def fail_attempt(self, reason: object = REFUSED) -> int:
        """An attempt fails; gives its number."""
        self.journal.trying()
        return self.journal.lost(reason, CONN).attempt_number

    def open(self) -> None:
        """An attempt succeeds."""
        self.journal.trying()
        self.journal.opened("feed", CONN)

    def lose(self, closing: float = 0.0) -> int:
        """The connection ends, after ``closing`` seconds of closing; gives its number."""
        self.journal.closing()
        self.clock.advance(closing)
        return self.journal.lost(DROPPED, CONN).attempt_number

    def live(self, seconds: float, closing: float = 0.0) -> int:
        """A connection is made, is open for that long, and ends; gives its number."""
        self.open()
        self.clock.advance(seconds)
        return self.lose(closing)


class AttemptTests(JournalCase):
    """The attempt number: 1 for the loss of a healthy connection, then one more each time."""

    def test_first_failure(self) -> None:
        """The failure of the first connection is 1, and those after it count up."""
        self.assertEqual([self.fail_attempt() for _ in range(4)], [1, 2, 3, 4])

    @each((0, 1, 5, 100))
    def test_first_loss(self, seconds: float) -> None:
        """The loss of the first connection is 1, healthy or not."""
        self.assertEqual(self.live(seconds), 1, seconds)

    def test_failures_after_a_loss(self) -> None:
        """Attempts that fail after the loss of a healthy connection count up from 2."""
        numbers = [self.live(10), *(self.fail_attempt() for _ in range(3))]
        self.assertEqual(numbers, [1, 2, 3, 4])

    def test_handshake_is_not_enough(self) -> None:
        """A server that accepts and drops does not bring the number back to 1."""
        self.assertEqual([self.live(0) for _ in range(4)], [1, 2, 3, 4])

    def test_failures_and_short_connections(self) -> None:
        """Failed attempts and unhealthy connections count alike."""
        numbers = [self.fail_attempt(), self.live(1), self.fail_attempt(), self.live(4.9)]
        self.assertEqual(numbers, [1, 2, 3, 4])

    @each(((4.75, 3), (5.0, 1), (5.25, 1)))
    def test_stable(self, seconds: float, number: int) -> None:
        """The number is back at 1 once a connection was open for ``stable_after`` seconds."""
        self.fail_attempt()
        self.fail_attempt()
        self.assertEqual(self.live(seconds), number, seconds)

    def test_counts_again_after_health(self) -> None:
        """After the loss of a healthy connection, unhealthy ones count up from 2."""
        self.assertEqual([self.live(5), self.live(1), self.live(1), self.live(5)], [1, 2, 3, 1])

    def test_closing_does_not_count(self) -> None:
        """The time that closing takes does not make a connection healthy."""
        self.assertEqual([self.live(4, closing=3), self.live(4, closing=3)], [1, 2])
        self.open()
        self.clock.advance(4)
        self.journal.closing()
        self.clock.advance(3)
        self.assertEqual(self.lose(3), 3, "told twice that it closes")

    def test_closing_takes_no_health(self) -> None:
        """Nor does it take its health away; it is judged once."""
        self.fail_attempt()
        self.open()
        self.clock.advance(5)
        self.journal.closing()
        self.journal.closing()
        self.assertEqual(self.lose(3), 1)

    def test_waiting_does_not_count(self) -> None:
        """Nor does the time without a connection."""
        self.live(1)
        self.clock.advance(100)
        self.assertEqual(self.fail_attempt(), 2)
        self.clock.advance(100)
        self.assertEqual(self.live(1), 3)

    def test_mark_healthy(self) -> None:
        """A connection that was marked is healthy at once."""
        self.fail_attempt()
        self.open()
        self.journal.mark_healthy()
        self.assertEqual(self.lose(), 1)
        self.assertEqual(self.fail_attempt(), 2)

    def test_mark_is_for_one_connection(self) -> None:
        """The next connection has to earn it anew."""
        self.open()
        self.journal.mark_healthy()
        self.assertEqual([self.lose(), self.live(0), self.live(0)], [1, 2, 3])

    def test_stable_after_0(self) -> None:
        """With ``stable_after=0`` the handshake is enough, as in WebSockex."""
        self.journal = Journal(self.clock, 0.0)
        self.assertEqual([self.fail_attempt(), self.fail_attempt()], [1, 2])
        self.assertEqual([self.live(0), self.live(0), self.fail_attempt()], [1, 1, 2])

    def test_status(self) -> None:
        """The status carries the reason and the connection."""
        status = self.journal.lost(REFUSED, CONN)
        self.assertEqual(status, wsx.Disconnect(REFUSED, 1, CONN))

    def test_retrying(self) -> None:
        """Every attempt but the first is another one."""
        self.assertFalse(self.journal.retrying)
        self.journal.trying()
        self.assertFalse(self.journal.retrying)
        self.fail_attempt()
        self.assertTrue(self.journal.retrying)

    def test_retrying_after_a_connection(self) -> None:
        """An attempt after a connection is another one."""
        self.open()
        self.assertTrue(self.journal.retrying)

    def test_ever_opened(self) -> None:
        """It remembers whether there ever was a connection."""
        self.fail_attempt()
        self.assertFalse(self.journal.ever_opened)
        self.live(0)
        self.fail_attempt()
        self.assertTrue(self.journal.ever_opened)


class GentleDelayTests(JournalCase):
    """The delay where neither handler nor policy says one."""

    def test_healthy_connection(self) -> None:
        """The loss of a healthy connection is answered at once."""
        self.live(5)
        self.assertEqual(self.journal.gentle_delay(), 0.0)

    @each(((0, 1.0), (0.25, 0.75), (0.75, 0.25), (1, 0.0), (2, 0.0)))
    def test_one_attempt_a_second(self, seconds: float, delay: float) -> None:
        """There is at most one attempt a second, whatever a connection's health."""
        self.open()
        self.journal.mark_healthy()
        self.clock.advance(seconds)
        self.lose()
        self.assertEqual(self.journal.gentle_delay(), delay, seconds)

    def test_later_each_time(self) -> None:
        """Each failure after it waits as ``Backoff()`` says."""
        self.live(5)
        for number in range(2, 12):
            self.clock.advance(100)
            self.assertEqual(self.fail_attempt(), number)
            self.clock.advance(1)
            usual = min(60.0, 2.0 ** (number - 2))
            self.assertGreaterEqual(self.journal.gentle_delay(), usual / 2, number)
            self.assertLessEqual(self.journal.gentle_delay(), min(60.0, usual * 1.5), number)

    def test_attempt_that_took_long(self) -> None:
        """The delay counts from the loss, and not from the beginning of the attempt."""
        self.live(5)
        self.journal.trying()
        self.clock.advance(6)
        self.journal.lost(REFUSED, CONN)
        self.assertGreaterEqual(self.journal.gentle_delay(), 0.5)

    def test_before_any_attempt(self) -> None:
        """Without any attempt there is nothing to wait for."""
        self.assertEqual(self.journal.gentle_delay(), 0.0)

    def test_never_negative(self) -> None:
        """A delay is never negative."""
        self.live(1000)
        self.clock.advance(1000)
        self.assertEqual(self.journal.gentle_delay(), 0.0)


class LogTests(JournalCase):
    """The lines themselves."""

    def decide(self, status: wsx.Disconnect, delay: float | None) -> str:
        """Gives the line about a loss."""
        with capturedLogs() as events:
            self.journal.decided("'feed'", status, delay)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.info])
        return formatEvent(events[0])

    def back(self) -> str:
        """Gives the line about a connection."""
        with capturedLogs() as events:
            self.journal.opened("'feed'", CONN)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.info])
        return formatEvent(events[0])

    def test_connected(self) -> None:
        """The first connection is told with its URL."""
        self.journal.trying()
        self.assertEqual(self.back(), f"'feed': connected to {URL}")

    def test_back(self) -> None:
        """One that is back: for how long it was away, which attempt, and what had happened."""
        self.live(10)
        self.clock.advance(7.25)
        self.fail_attempt()
        self.clock.advance(0.05)
        self.fail_attempt()
        self.assertEqual(
            self.back(),
            f"'feed': back at {URL} after 7.3 s and 2 failed attempts; what happened: {DROPPED}",
        )

    def test_back_tells_the_cause(self) -> None:
        """What happened is what ended the connection, and no failed attempt after it."""
        self.live(10)
        self.fail_attempt()
        line = self.back()
        self.assertIn("server closed the TCP connection without a close frame", line)
        self.assertNotIn("refused", line.lower())

    def test_away_is_counted_once(self) -> None:
        """Each absence is told by itself."""
        self.live(10)
        self.clock.advance(3)
        self.assertIn("after 3.0 s; what", self.back())
        self.clock.advance(10)
        self.lose()
        self.clock.advance(1.5)
        self.assertIn("after 1.5 s; what", self.back())

    def test_ended_connection(self) -> None:
        """The end of a connection: which attempt, why, and what follows."""
        self.open()
        line = self.decide(wsx.Disconnect(wsx.RemoteClose(1001, "bye"), 1, CONN), 2.25)
        self.assertEqual(
            line,
            "'feed': the connection ended (attempt_number 1): closed by server: 1001 \"bye\"; "
            "connecting again in 2.2 s",
        )

    def test_no_connection(self) -> None:
        """A first attempt that fails is no connection that ended."""
        line = self.decide(wsx.Disconnect(REFUSED, 2, CONN), None)
        self.assertTrue(
            line.startswith("'feed': no connection (attempt_number 2): connection failed: ")
        )
        self.assertTrue(line.endswith("; not connecting again"), line)

    def test_no_connection_later(self) -> None:
        """Neither is one that fails after a connection was lost."""
        self.live(10)
        self.journal.trying()
        line = self.decide(self.journal.lost(REFUSED, CONN), 1.0)
        self.assertTrue(line.startswith("'feed': no connection (attempt_number 2): "), line)

    def test_at_once(self) -> None:
        """A delay of 0 is no giving up."""
        line = self.decide(wsx.Disconnect(DROPPED, 1, CONN), 0.0)
        self.assertTrue(line.endswith("; connecting again in 0.0 s"), line)

    def test_end(self) -> None:
        """The end of a client is an info when it is normal, else a warning."""
        for reason, level in (
            (wsx.LocalClose(), LogLevel.info),
            (wsx.RemoteClose(1000), LogLevel.info),
            (wsx.Shutdown("enough"), LogLevel.info),
            (wsx.RemoteClose(1011), LogLevel.warn),
            (DROPPED, LogLevel.warn),
            (REFUSED, LogLevel.warn),
            (ValueError("odd"), LogLevel.warn),
            ("whatever", LogLevel.warn),
        ):
            with capturedLogs() as events:
                self.journal.ended("'feed'", reason)
            self.assertEqual([event["log_level"] for event in events], [level], reason)
            self.assertTrue(formatEvent(events[0]).startswith("'feed': ended: "), reason)

    def test_one_line(self) -> None:
        """A peer's or an exception's line breaks make no lines of the log."""
        for reason in (
            wsx.RemoteClose(1001, "a\nb"),
            ValueError("a\nb\r\nc"),
            wsx.ConnError(OSError("a\nb")),
            "a\nb",  # of an Exit
        ):
            status = wsx.Disconnect(reason, 1, CONN)
            self.assertNotRegex(self.decide(status, None), "[\r\n]")
            with capturedLogs() as events:
                self.journal.ended("'feed'", reason)
            self.assertNotRegex(formatEvent(events[0]), "[\r\n]")

    def test_braces(self) -> None:
        """Braces in a reason or a label are no placeholders."""
        reason = wsx.RemoteClose(1001, "{label} {nothing}")
        self.assertIn("{label} {nothing}", self.decide(wsx.Disconnect(reason, 1, CONN), None))


class ClientLogTests(MemoryCase):
    """The log of a whole client."""

    def life(self, handler: Any, **options: Any) -> list[str]:
        """Gives the lines of a client that is refused, connects, is dropped, and is stopped."""
        with capturedLogs() as events:
            options = {"handle_initial_conn_failure": True, "async_": True} | options
            client = self.successResultOf(self.start(handler, **options))
            headers = f"Set-Cookie: {SECRET}\r\nContent-Length: 6\r\n\r\n{SECRET}"
            self.peer.send(f"HTTP/1.1 503 Busy\r\n{headers}".encode())
            self.peer.drop()
            self.step()
            self.clock.advance(2)
            self.peer.answer(Set_Cookie=SECRET)
            self.step()
            self.clock.advance(6)
            self.peer.drop()
            self.step()
            self.clock.advance(3)
            self.peer.answer()
            self.step()
            client.stop()
            self.peer.drop()
            self.step()
        self.assertEqual(client.status, "terminated")
        return lines(events)

    def again(self) -> Recorder:
        """A handler that reconnects after two seconds."""
        return Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=2))

    def test_lines(self) -> None:
        """One line for each failure and each end, and one when it is back."""
        found = self.life(self.again(), name="feed")
        beginnings = [
            "'feed': no connection (attempt_number 1): ",
            f"'feed': connected to {URL} after 2.0 s and a failed attempt; what ",
            "'feed': the connection ended (attempt_number 1): server closed the TCP connection ",
            f"'feed': back at {URL} after 3.0 s; what happened: server closed ",
            "'feed': ended: stopped",
        ]
        self.assertEqual(len(found), len(beginnings), found)
        for line, beginning in zip(found, beginnings, strict=True):
            self.assertTrue(line.startswith(beginning), line)

    def test_label_without_a_name(self) -> None:
        """A client without a name is called by its handler and URL."""
        for line in self.life(self.again()):
            self.assertTrue(line.startswith(f"<Recorder {URL}>: "), line)

    def test_no_secrets(self) -> None:
        """No password, query value or header value is in any line, sent or received."""
        found = self.life(
            self.again(),
            url=f"ws://user:{SECRET}@example.test/feed?token={SECRET}&{SECRET}",
            extra_headers={"Cookie": SECRET, "Proxy-Authorization": SECRET, "X-Key": SECRET},
        )
        self.assertEqual(len(found), 5)
        self.assertNotIn(SECRET, "\n".join(found))
        self.assertIn("example.test/feed?token=", found[1])

    def test_failing_for_good(self) -> None:
        """A first attempt that nobody handles is told once, with its end."""
        self.server.refusal = ConnectionRefusedError()
        with capturedLogs() as events:
            self.failureResultOf(self.start(Recorder(), name="feed"), wsx.ConnError)
        first, second = lines(events)
        self.assertTrue(first.startswith("'feed': no connection (attempt_number 1): "), first)
        self.assertTrue(first.endswith("; not connecting again"), first)
        self.assertTrue(second.startswith("'feed': ended: connection failed: "), second)
