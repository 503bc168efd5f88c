"""Tests of the reporter: log lines, trace lines and telemetry of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import telemetry
from wsx._client.history import Outage
from wsx._client.reporter import Reporter, describe_argument
from wsx._scheduler import scheduler_for
from wsx._text import describe
from wsx.test.support import URL, MemoryCase, Recorder
from wsx.test.support.delivery import make_batch
from wsx.test.support.each import each

CONN = wsx.Conn(URL)
DROPPED = wsx.ConnectionDropped(ConnectionDone())
REFUSED = wsx.ConnError(ConnectionRefusedError())
RESTARTING = wsx.RemoteClose(1012, "restart")
SECRET = "s3cr3t"

ARGUMENTS: tuple[tuple[str, object, str], ...] = (
    ("handle_frame", wsx.Text("x" * 812), "message: Text, 812 characters"),
    ("handle_frame", wsx.Binary(b"abc"), "message: Binary, 3 bytes"),
    ("handle_ping", wsx.Ping(b""), "message: Ping, 0 bytes"),
    ("handle_cast", SECRET, "message: str, 6 characters"),
    ("handle_cast", b"12345", "message: bytes, 5 bytes"),
    ("handle_info", {"key": SECRET}, "message: dict, 1 item"),
    ("handle_info", [1, 2, 3], "message: list, 3 items"),
    ("handle_cast", (), "message: tuple, 0 items"),
    ("handle_cast", 42, "message: int"),
    ("handle_cast", None, "message: NoneType"),
    ("handle_connect", CONN, "conn: Conn"),
    ("handle_disconnect", wsx.Disconnect(DROPPED, 3, CONN), f"status: {describe(DROPPED)}"),
    ("terminate", wsx.Shutdown(), "reason: Shutdown"),
)


class Feed(Recorder):
    """A handler with the name that the documentation uses."""


class FakeClient:
    """The attributes of a client that a reporter uses."""

    def __init__(self, name: Any) -> None:
        self.name = name
        self.handler: Any = Feed()

    def __repr__(self) -> str:
        return "<FakeClient>"


def cause(error: wsx.ConnError) -> str:
    """Return the text of an error without the words that the log line itself contains."""
    return describe(error).removeprefix("connection failed: ")


class Refusal(wsx.RequestError):
    """A refusal with a fixed summary."""

    summary: Any = "503 Busy, Retry-After: 7"


class MultiLine:
    """A value whose repr has several lines."""

    def __repr__(self) -> str:
        return "one\ntwo\r\nthree"


class ReporterCase(SynchronousTestCase):
    """A reporter of a client with the name ``feed``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reporter = self.make("feed")

    def make(self, name: Any, conn: wsx.Conn = CONN) -> Reporter:
        """Return the reporter of a client with this name."""
        self.client = FakeClient(name)
        return Reporter(self.client, conn, self.clock, scheduler_for(self.clock))

    def log(self, function: Callable[..., object], *arguments: Any) -> list[Any]:
        """Call a function, and return the events that it logs."""
        with capturedLogs() as events:
            function(*arguments)
        return list(events)

    def line(self, level: Any, function: Callable[..., object], *arguments: Any) -> str:
        """Call a function that logs one line at this level, and return the line."""
        [event] = self.log(function, *arguments)
        self.assertEqual(event["log_level"], level)
        self.assertEqual(event["log_namespace"], "wsx")
        line = formatEvent(event)
        self.assertNotRegex(line, "[\r\n]")
        return line

    def info(self, function: Callable[..., object], *arguments: Any) -> str:
        """Return the line that is logged at level info."""
        return self.line(LogLevel.info, function, *arguments)

    def warning(self, function: Callable[..., object], *arguments: Any) -> str:
        """Return the line that is logged at level warn."""
        return self.line(LogLevel.warn, function, *arguments)

    def error(self, function: Callable[..., object], *arguments: Any) -> str:
        """Return the line that is logged at level error."""
        return self.line(LogLevel.error, function, *arguments)

    def lose(self, reason: object, delay: float | None, was_open: bool = True) -> str:
        """Return the line about a loss, whatever its level."""
        [event] = self.log(self.reporter.lost, wsx.Disconnect(reason, 2, CONN), was_open, delay)
        return formatEvent(event)


class LabelTests(ReporterCase):
    """What log lines call the client."""

    def test_name(self) -> None:
        """A name is shown without quotes."""
        self.assertEqual(self.make("feed").label, "feed")

    def test_name_is_escaped(self) -> None:
        """Control characters in a name are escaped."""
        self.assertEqual(self.make("a\nb\x1b[1m").label, "a\\nb\\x1b[1m")

    def test_without_name(self) -> None:
        """Without a name it is the class of the handler."""
        self.assertEqual(self.make(None).label, "Feed")

    def test_other_name(self) -> None:
        """A name that is not a str is shown by its repr."""
        name = wsx.Global(("feed", 7))
        self.assertEqual(self.make(name).label, repr(name))

    def test_handler_that_was_replaced(self) -> None:
        """The label follows the present class of the handler."""
        reporter = self.make(None)
        self.client.handler = Recorder()
        self.assertEqual(reporter.label, "Recorder")

    def test_braces(self) -> None:
        """Braces in a name are not replaced."""
        self.reporter = self.make("{url} {nothing}")
        line = self.info(self.reporter.connected, CONN, False, None, 0.0)
        self.assertEqual(line, f"{{url}} {{nothing}}: connected to {URL}")


class ConnectedTests(ReporterCase):
    """Lines about a connection that is open."""

    def connected(self, again: bool, outage: Outage | None, now: float = 0.0) -> str:
        """Return the line."""
        return self.info(self.reporter.connected, CONN, again, outage, now)

    def test_first(self) -> None:
        """The first connection is logged with its URL."""
        self.assertEqual(self.connected(False, None), f"feed: connected to {URL}")

    def test_again(self) -> None:
        """A later connection is logged with its outage: time, failed attempts and reason."""
        self.assertEqual(
            self.connected(True, Outage(RESTARTING, 100.0, 2), 103.2),
            f"feed: reconnected to {URL} after 3.2 s and 2 failed attempts "
            f"(connection lost: {describe(RESTARTING)})",
        )

    @each(
        (
            (0, "after 1.0 s (connection lost: "),
            (1, "after 1.0 s and 1 failed attempt (connection lost: "),
            (2, "after 1.0 s and 2 failed attempts (connection lost: "),
        )
    )
    def test_failed_attempts(self, count: int, expected: str) -> None:
        """Failed attempts are counted."""
        self.assertIn(expected, self.connected(True, Outage(DROPPED, 1.0, count), 2.0))

    def test_first_after_failures(self) -> None:
        """A first connection after failed attempts is logged with the first failure."""
        self.assertEqual(
            self.connected(False, Outage(REFUSED, 0.0, 1), 2.0),
            f"feed: connected to {URL} after 2.0 s and 1 failed attempt "
            f"(first failure: {cause(REFUSED)})",
        )

    def test_insecure(self) -> None:
        """A certificate that is not verified is a warning for each connection."""
        conn = wsx.Conn("wss://example.test/", insecure=True)
        first, second = self.log(self.reporter.connected, conn, False, None, 0.0)
        self.assertEqual(first["log_level"], LogLevel.warn)
        self.assertEqual(
            formatEvent(first),
            "feed: the certificate of wss://example.test/ is not verified (insecure=True)",
        )
        self.assertEqual(formatEvent(second), "feed: connected to wss://example.test/")

    def test_not_insecure(self) -> None:
        """There is no warning without TLS, or if the certificate is verified."""
        for conn in (wsx.Conn(URL, insecure=True), wsx.Conn("wss://example.test/")):
            self.info(self.reporter.connected, conn, False, None, 0.0)

    def test_conn(self) -> None:
        """``conn`` is the Conn of the open connection."""
        conn = wsx.Conn("ws://other.test/")
        self.info(self.reporter.connected, conn, False, None, 0.0)
        self.assertIs(self.reporter.conn, conn)

    def test_redacted(self) -> None:
        """Passwords and query values are not logged."""
        conn = wsx.Conn(f"ws://user:{SECRET}@example.test/feed?token={SECRET}")
        line = self.info(self.reporter.connected, conn, False, None, 0.0)
        self.assertNotIn(SECRET, line)
        self.assertIn("example.test/feed?token=", line)


class LostTests(ReporterCase):
    """Lines about lost connections and failed attempts."""

    def test_reconnecting(self) -> None:
        """A lost connection is logged with its reason, the delay and the attempt."""
        status = wsx.Disconnect(RESTARTING, 2, CONN)
        self.assertEqual(
            self.info(self.reporter.lost, status, True, 1.5),
            f"feed: connection to {URL} lost ({describe(RESTARTING)}); "
            "reconnecting in 1.5 s (attempt 2)",
        )

    def test_failed_attempt(self) -> None:
        """A failed attempt is logged as such."""
        status = wsx.Disconnect(REFUSED, 3, CONN)
        self.assertEqual(
            self.info(self.reporter.lost, status, False, 60.0),
            f"feed: connecting to {URL} failed ({cause(REFUSED)}); "
            "reconnecting in 60.0 s (attempt 3)",
        )

    def test_not_reconnecting(self) -> None:
        """Without another attempt, an abnormal reason is a warning."""
        self.assertEqual(
            self.warning(self.reporter.lost, wsx.Disconnect(REFUSED, 1, CONN), False, None),
            f"feed: connecting to {URL} failed ({cause(REFUSED)}); not reconnecting",
        )

    def test_not_reconnecting_after_a_normal_reason(self) -> None:
        """Without another attempt, a normal reason is an info."""
        reason = wsx.RemoteClose(1000)
        self.assertEqual(
            self.info(self.reporter.lost, wsx.Disconnect(reason, 1, CONN), True, None),
            f"feed: connection to {URL} lost ({describe(reason)}); not reconnecting",
        )

    def test_at_once(self) -> None:
        """A delay of 0 is not the end."""
        self.assertTrue(self.lose(DROPPED, 0.0).endswith("; reconnecting in 0.0 s (attempt 2)"))

    def test_redacted(self) -> None:
        """Passwords and query values are not logged."""
        conn = wsx.Conn(f"ws://user:{SECRET}@example.test/feed?token={SECRET}")
        line = self.info(self.reporter.lost, wsx.Disconnect(DROPPED, 1, conn), True, 1.0)
        self.assertNotIn(SECRET, line)

    def test_refusal(self) -> None:
        """A refusal is logged with its summary."""
        line = self.lose(Refusal(503, "Busy"), 1.0, was_open=False)
        self.assertIn("(503 Busy, Retry-After: 7); ", line)

    def test_refusal_of_an_outage(self) -> None:
        """A refusal that began an outage is logged with its summary."""
        outage = Outage(Refusal(503, "Busy"), 0.0, 1)
        line = self.info(self.reporter.connected, CONN, False, outage, 1.0)
        self.assertIn("(first failure: 503 Busy, Retry-After: 7)", line)

    def test_braces(self) -> None:
        """Braces in a reason are not replaced."""
        self.assertIn("{label} {nothing}", self.lose(wsx.RemoteClose(1001, "{label} {nothing}"), 1))

    @each(
        (
            wsx.RemoteClose(1001, "a\nb"),
            ValueError("a\nb\r\nc"),
            wsx.ConnError(OSError("a\nb")),
            "a\nb",
        )
    )
    def test_one_line(self, reason: object) -> None:
        """Line breaks in a reason are escaped."""
        self.assertNotRegex(self.lose(reason, None), "[\r\n]")
        [event] = self.log(self.make("feed").ended, reason)
        self.assertNotRegex(formatEvent(event), "[\r\n]")


class EndTests(ReporterCase):
    """Lines about the end of a client. A reason is logged once."""

    @each(
        (
            ("local_close", wsx.LocalClose(), LogLevel.info),
            ("remote_close", wsx.RemoteClose(1000), LogLevel.info),
            ("remote_error", wsx.RemoteClose(1011), LogLevel.warn),
            ("dropped", DROPPED, LogLevel.warn),
            ("refused", REFUSED, LogLevel.warn),
            ("exception", ValueError("odd"), LogLevel.warn),
            ("str", "whatever", LogLevel.warn),
        )
    )
    def test_reason(self, _: str, reason: object, level: Any) -> None:
        """The end is an info for a normal reason, and a warning for another one."""
        line = self.line(level, self.reporter.ended, reason)
        self.assertEqual(line, f"feed: ended: {describe(reason)}")

    def test_stopped(self) -> None:
        """A client that was stopped is logged as such."""
        self.assertEqual(self.info(self.reporter.ended, wsx.Shutdown()), "feed: stopped")

    def test_stopped_with_detail(self) -> None:
        """The detail of ``stop`` is logged."""
        reason = wsx.Shutdown("enough")
        line = self.info(self.reporter.ended, reason)
        self.assertEqual(line, f"feed: {describe(reason)}")
        self.assertIn("enough", line)

    def test_after_the_loss(self) -> None:
        """The end is not logged if the line about the loss named its reason."""
        self.lose(DROPPED, None)
        self.assertEqual(self.log(self.reporter.ended, DROPPED), [])

    def test_after_a_loss_for_another_reason(self) -> None:
        """The end is logged if its reason is another one."""
        self.lose(DROPPED, 1.0)
        self.assertEqual(self.info(self.reporter.ended, wsx.Shutdown()), "feed: stopped")

    def test_equal_reason(self) -> None:
        """The end is logged if its reason is an equal one, but not the same object."""
        self.lose(wsx.RemoteClose(1011), None)
        self.warning(self.reporter.ended, wsx.RemoteClose(1011))

    def test_after_a_connection(self) -> None:
        """The end is logged if there was a connection after the loss."""
        self.lose(DROPPED, 1.0)
        self.log(self.reporter.connected, CONN, True, None, 0.0)
        self.warning(self.reporter.ended, DROPPED)

    def test_none(self) -> None:
        """The end is logged if its reason is None."""
        self.assertEqual(self.warning(self.reporter.ended, None), "feed: ended: None")

    def test_after_a_failed_callback(self) -> None:
        """The end is not logged if the line about a callback named the exception."""
        error = ValueError("on purpose")
        handler = Feed()
        self.log(self.reporter.callback_failed, Failure(error), handler, "handle_cast", "x")
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.log(self.reporter.ended, error), [])

    def test_after_an_invalid_result(self) -> None:
        """The end is not logged if the line about an invalid result named it."""
        error = wsx.BadResponseError("yes", Feed(), "handle_cast", ("x", None))
        self.log(self.reporter.callback_failed, Failure(error), Feed(), "handle_cast", "x")
        self.assertEqual(self.log(self.reporter.ended, error), [])


class CallbackTests(ReporterCase):
    """Lines about callbacks that fail."""

    def fail_callback(self, error: Exception, callback: str, argument: object) -> Any:
        """Return the event about a failed callback."""
        failure = Failure(error)
        [event] = self.log(self.reporter.callback_failed, failure, Feed(), callback, argument)
        return event

    def test_exception(self) -> None:
        """An exception is logged with its traceback, the callback and its argument."""
        error = ValueError("on purpose")
        event = self.fail_callback(error, "handle_frame", wsx.Text("x" * 812))
        self.assertEqual(
            formatEvent(event),
            "feed: Feed.handle_frame raised ValueError (message: Text, 812 characters)",
        )
        self.assertEqual(event["log_level"], LogLevel.critical)
        self.assertIs(event["log_failure"].value, error)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_invalid_result(self) -> None:
        """An invalid result is one line without a traceback, which would be wsx's own."""
        error = wsx.BadResponseError("yes", Feed(), "handle_cast", ("x", None))
        event = self.fail_callback(error, "handle_cast", "x")
        self.assertEqual(event["log_level"], LogLevel.error)
        self.assertNotIn("log_failure", event)
        self.assertEqual(formatEvent(event), f"feed: {describe(error)} (message: str, 1 character)")
        self.assertIn("Feed.handle_cast", formatEvent(event))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_invalid_result_is_one_line(self) -> None:
        """Line breaks in the repr of an invalid result are escaped."""
        error = wsx.BadResponseError(MultiLine(), Feed(), "handle_cast", ("x", None))
        line = formatEvent(self.fail_callback(error, "handle_cast", "x"))
        self.assertNotRegex(line, "[\r\n]")

    def test_invalid_reply(self) -> None:
        """An invalid reply is one line with the callback and the error."""
        error = wsx.InvalidFrameError("text")
        line = self.error(self.reporter.reply_invalid, Feed(), "handle_frame", error)
        self.assertEqual(line, f"feed: Feed.handle_frame: {describe(error)}")

    def test_invalid_reply_is_one_line(self) -> None:
        """Line breaks in the repr of an invalid reply are escaped."""
        error = wsx.InvalidFrameError(MultiLine())
        self.error(self.reporter.reply_invalid, Feed(), "handle_frame", error)

    def test_dropped_reply(self) -> None:
        """A reply that is dropped is a debug line."""
        line = self.line(LogLevel.debug, self.reporter.reply_dropped, "handle_cast")
        self.assertEqual(line, "feed: reply of handle_cast dropped: the connection is not open")

    @each([(str(n), *row) for n, row in enumerate(ARGUMENTS)])
    def test_arguments(self, _: str, callback: str, argument: object, text: str) -> None:
        """An argument is described by its kind and size, without its content."""
        self.assertEqual(describe_argument(callback, argument), text)
        self.assertNotIn(SECRET, describe_argument(callback, argument))


class OtherLineTests(ReporterCase):
    """Other lines."""

    def test_terminate_timed_out(self) -> None:
        """The time is shown without needless digits."""
        for seconds, shown in ((5.0, "5"), (5.00511, "5"), (0.000386, "0"), (2.34, "2.3")):
            self.assertEqual(
                self.warning(self.reporter.terminate_timed_out, seconds),
                f"feed: terminate was cancelled after {shown} s",
            )

    def test_not_delivered(self) -> None:
        """Casts and infos that were dropped are counted."""
        self.assertEqual(
            self.warning(self.reporter.not_delivered, 3),
            "feed: ended with 3 undelivered casts and infos",
        )

    def test_delayed_message_dropped(self) -> None:
        """An info of ``send_after`` that was not accepted is logged with the reason."""
        error = wsx.MailboxFullError(10)
        line = self.error(self.reporter.delayed_message_dropped, error)
        self.assertEqual(line, f"feed: send_after: {describe(error)}")

    def test_log_file_failed(self) -> None:
        """A log file that cannot be opened is logged with its path and the error."""
        error = PermissionError(13, "Permission denied")
        line = self.error(self.reporter.log_file_failed, "/a/path", error)
        self.assertEqual(line, f"feed: log_to_file: cannot open '/a/path': {describe(error)}")

    def test_name_not_released(self) -> None:
        """An exception of the user's registry is logged with its traceback."""

        def release() -> None:
            try:
                raise KeyError("on purpose")
            except KeyError:
                self.reporter.name_not_released(Failure())

        line = self.line(LogLevel.critical, release)
        self.assertEqual(line, "feed: the registry did not release the name")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class TraceTests(ReporterCase):
    """Trace lines, by means of the event log."""

    def setUp(self) -> None:
        super().setUp()
        self.reporter.tracing.log(100)

    def traced(self, function: Callable[..., object], *arguments: Any) -> list[str]:
        """Call a function, and return the events that it traces."""
        self.reporter.tracing.log(False)
        self.reporter.tracing.log(100)
        self.log(function, *arguments)
        return [text for _, text in self.reporter.tracing.events or ()]

    def test_off(self) -> None:
        """When disabled, nothing is traced."""
        self.reporter.tracing.log(False)
        self.reporter.trace("event")
        self.reporter.sent(wsx.Text("x"))
        self.assertIsNone(self.reporter.tracing.events)

    def test_connecting(self) -> None:
        """Attempts are traced."""
        self.assertEqual(self.traced(self.reporter.connecting, False), ["attempting to connect"])
        self.assertEqual(self.traced(self.reporter.connecting, True), ["attempting to reconnect"])

    def test_connected(self) -> None:
        """Open connections are traced."""
        connected = self.reporter.connected
        found = self.traced(connected, CONN, False, None, 0.0)
        self.assertEqual(found, ["successfully connected"])
        found = self.traced(connected, CONN, True, None, 0.0)
        self.assertEqual(found, ["successfully reconnected"])

    def test_frames(self) -> None:
        """Received frames are traced in order; own pongs are not."""
        batch = make_batch(wsx.Text("a"), wsx.Ping(b"b"))
        batch.fragmented = batch.frames[:1]
        self.assertEqual(
            self.traced(self.reporter.received, batch),
            ["completed fragmented frame: Text('a')", "received frame: Ping(b'b')"],
        )
        self.assertEqual(self.traced(self.reporter.pong_received, wsx.Pong(b"")), [])

    def test_sent(self) -> None:
        """Sent frames are traced, except keepalive pings."""
        self.assertEqual(
            self.traced(self.reporter.sent, wsx.Text("a")), ["sending frame: Text('a')"]
        )
        self.assertEqual(self.traced(self.reporter.sent, wsx.Ping(b""), False), [])

    def test_replies(self) -> None:
        """Each reply is traced with the callback."""
        frames = [wsx.Text("a"), wsx.Text("b")]
        self.assertEqual(
            self.traced(self.reporter.replied, "handle_cast", frames),
            [
                "replying from handle_cast with Text('a')",
                "replying from handle_cast with Text('b')",
            ],
        )

    def test_messages(self) -> None:
        """Casts and infos are traced."""
        for callback, text in (("handle_cast", "cast"), ("handle_info", "info")):
            self.assertEqual(
                self.traced(self.reporter.message_queued, callback, {"a": 1}),
                [f"received {text}: {{'a': 1}}"],
            )

    def test_event(self) -> None:
        """An event is traced with its details."""
        found = self.traced(self.reporter.trace, "closing due to error: {}", "{x}")
        self.assertEqual(found, ["closing due to error: {x}"])


class TelemetryTests(ReporterCase):
    """Telemetry events."""

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[tuple[str, Any, Any]] = []
        telemetry.attach(self, telemetry.EVENTS, self.record)
        self.addCleanup(telemetry.detach, self)

    def record(self, event: str, measurements: Any, metadata: Any, _: Any) -> None:
        """Record an event."""
        self.seen.append((event, measurements, metadata))

    def notified(self, function: Callable[..., object], *arguments: Any) -> list[tuple[str, Any]]:
        """Call a function, and return its events with their own metadata."""
        self.seen.clear()
        self.log(function, *arguments)
        common = {"client", "name", "handler", "conn"}
        return [
            (event, {key: value for key, value in metadata.items() if key not in common})
            for event, _, metadata in self.seen
        ]

    def test_common_metadata(self) -> None:
        """Each event has the client, its name, its handler's class and its Conn."""
        self.notified(self.reporter.connecting, False)
        [(_, _, metadata)] = self.seen
        self.assertIs(metadata["client"], self.client)
        self.assertEqual((metadata["name"], metadata["handler"]), ("feed", Feed))
        self.assertEqual(metadata["conn"].parsed.redacted, URL)

    def test_redacted_conn(self) -> None:
        """The Conn has no secrets, is made once, and follows the present Conn."""
        url = f"ws://user:{SECRET}@example.test/"
        self.reporter.conn = wsx.Conn(url, extra_headers={"Cookie": SECRET})
        self.notified(self.reporter.connecting, False)
        first = self.seen[-1][2]["conn"]
        self.assertNotIn(SECRET, repr(first))
        self.assertNotIn(SECRET, repr(first.extra_headers))
        self.assertNotIn(SECRET, first.url)
        self.notified(self.reporter.connecting, False)
        self.assertIs(self.seen[-1][2]["conn"], first)
        self.reporter.conn = wsx.Conn("ws://other.test/")
        self.notified(self.reporter.connecting, False)
        self.assertEqual(self.seen[-1][2]["conn"].parsed.redacted, "ws://other.test/")

    def test_connections(self) -> None:
        """Attempts, connections and losses are reported once each."""
        reporter = self.reporter
        self.assertEqual(self.notified(reporter.connecting, False), [("wsx.connecting", {})])
        self.assertEqual(self.notified(reporter.connected, CONN, False, None, 0.0), [])
        self.assertEqual(self.notified(reporter.telemetry_connected), [("wsx.connected", {})])
        self.assertEqual(
            self.notified(reporter.disconnected, DROPPED),
            [("wsx.disconnected", {"reason": DROPPED})],
        )
        self.assertEqual(
            self.notified(reporter.lost, wsx.Disconnect(DROPPED, 1, CONN), True, 1.0), []
        )

    def test_end(self) -> None:
        """The end is reported, even if its reason has been logged already."""
        self.lose(DROPPED, None)
        self.assertEqual(
            self.notified(self.reporter.ended, DROPPED), [("wsx.terminate", {"reason": DROPPED})]
        )

    def test_frames(self) -> None:
        """Each received and each sent frame is reported, including keepalive frames."""
        one, two = wsx.Text("1"), wsx.Text("2")
        self.assertEqual(
            self.notified(self.reporter.received, make_batch(one, two)),
            [("wsx.frame.received", {"frame": one}), ("wsx.frame.received", {"frame": two})],
        )
        pong, ping = wsx.Pong(b""), wsx.Ping(b"")
        self.assertEqual(
            self.notified(self.reporter.pong_received, pong),
            [("wsx.frame.received", {"frame": pong})],
        )
        self.assertEqual(
            self.notified(self.reporter.sent, ping, False), [("wsx.frame.sent", {"frame": ping})]
        )
        self.assertEqual(
            self.notified(self.reporter.replied, "handle_cast", [one, two]),
            [("wsx.frame.sent", {"frame": one}), ("wsx.frame.sent", {"frame": two})],
        )

    def test_callback(self) -> None:
        """The duration of a callback is reported as a measurement."""
        found = self.notified(self.reporter.callback_finished, "handle_cast", 0.25)
        self.assertEqual(found, [("wsx.callback", {"callback": "handle_cast"})])
        self.assertEqual(self.seen[-1][1]["duration"], 0.25)


class ClientLogTests(MemoryCase):
    """The log of a whole client."""

    def lines(self, events: Any) -> list[str]:
        """Return the lines of wsx's log."""
        return [formatEvent(event) for event in events if event["log_namespace"] == "wsx"]

    def run_client(self, handler: Any, **options: Any) -> list[str]:
        """Return the lines of a client that is refused, connects, is dropped, and is stopped."""
        with capturedLogs() as events:
            options = {"handle_initial_conn_failure": True, "async_": True} | options
            client = self.successResultOf(self.start(handler, **options))
            # Only the first line of the body is logged.
            headers = f"Set-Cookie: {SECRET}\r\nContent-Length: 11\r\n\r\nbusy\n{SECRET}"
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
        return self.lines(events)

    def make_handler(self) -> Recorder:
        """Return a handler that reconnects after two seconds."""
        return Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=2))

    def test_lines(self) -> None:
        """There is one line for each failure, loss, connection and end."""
        found = self.run_client(self.make_handler(), name="feed")
        dropped = describe(DROPPED)
        expected = [
            (f"feed: connecting to {URL} failed (", "503", "; reconnecting in 2.0 s (attempt 1)"),
            (
                f"feed: connected to {URL} after 2.0 s and 1 failed attempt (first failure: ",
                "503",
                ")",
            ),
            (
                f"feed: connection to {URL} lost ({dropped}); ",
                "",
                "reconnecting in 2.0 s (attempt 1)",
            ),
            (f"feed: reconnected to {URL} after 3.0 s (connection lost: {dropped})", "", ""),
            ("feed: stopped", "", ""),
        ]
        self.assertEqual(len(found), len(expected), found)
        for line, (beginning, middle, end) in zip(found, expected, strict=True):
            self.assertTrue(line.startswith(beginning), line)
            self.assertIn(middle, line)
            self.assertTrue(line.endswith(end), line)

    def test_label_without_a_name(self) -> None:
        """The lines of a client without a name begin with the class of its handler."""
        for line in self.run_client(self.make_handler()):
            self.assertTrue(line.startswith("Recorder: "), line)

    def test_no_secrets(self) -> None:
        """No password, query value or header value is logged, sent or received."""
        found = self.run_client(
            self.make_handler(),
            url=f"ws://user:{SECRET}@example.test/feed?token={SECRET}&{SECRET}",
            extra_headers={"Cookie": SECRET, "Proxy-Authorization": SECRET, "X-Key": SECRET},
        )
        self.assertEqual(len(found), 5)
        self.assertNotIn(SECRET, "\n".join(found))
        self.assertIn("example.test/feed?token=", found[1])

    def test_first_attempt_that_fails(self) -> None:
        """A first attempt that fails and ends the client is logged once."""
        self.server.refusal = ConnectionRefusedError()
        with capturedLogs() as events:
            started = self.start(Recorder(), name="feed")
            error = self.failureResultOf(started, wsx.ConnError).value
        self.assertEqual(
            self.lines(events),
            [f"feed: connecting to {URL} failed ({cause(error)}); not reconnecting"],
        )

    def test_lost_connection_that_ends_the_client(self) -> None:
        """A lost connection that ends the client is logged once."""
        with capturedLogs() as events:
            client = self.open(Recorder(), name="feed")
            self.peer.drop()
            self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(
            self.lines(events),
            [
                f"feed: connected to {URL}",
                f"feed: connection to {URL} lost ({describe(DROPPED)}); not reconnecting",
            ],
        )

    def test_exception(self) -> None:
        """An exception that ends the client is logged once."""
        with capturedLogs() as events:
            client = self.open(Feed(handle_cast=ValueError("on purpose")), name="feed")
            client.cast({"key": SECRET})
            self.step()
            self.peer.drop()
            self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(
            self.lines(events),
            [
                f"feed: connected to {URL}",
                "feed: Feed.handle_cast raised ValueError (message: dict, 1 item)",
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exit(self) -> None:
        """An Exit is logged with its reason."""
        with capturedLogs() as events:
            client = self.open(Feed(handle_cast=wsx.Exit("enough")), name="feed")
            client.cast("x")
            self.step()
            self.peer.drop()
            self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.lines(events), [f"feed: connected to {URL}", "feed: ended: enough"])


class BlockedTests(ReporterCase):
    """Callbacks that block the reactor."""

    def blocked(self, callback: str = "handle_frame", calls: int = 1) -> list[str]:
        """Report a slow callback; return the logged lines."""
        events = self.log(self.reporter.callback_blocked, callback, 0.75, calls)
        return [str(formatEvent(event)) for event in events]

    def test_line(self) -> None:
        """The line names the handler, the callback and the time."""
        handler = type(self.client.handler).__qualname__
        expected = f"feed: {handler}.handle_frame blocked the reactor for 0.75 s"
        self.assertEqual(self.blocked(), [expected])

    def test_calls(self) -> None:
        """If several calls took so long together, the line says so."""
        [line] = self.blocked(calls=12)
        self.assertTrue(line.endswith("blocked the reactor for 0.75 s (12 calls)"), line)

    def test_once_a_minute(self) -> None:
        """Each callback is logged at most once a minute."""
        self.assertEqual(len(self.blocked()), 1)
        self.assertEqual(len(self.blocked("handle_cast")), 1)
        self.clock.advance(59.9)
        self.assertEqual(self.blocked(), [])
        self.clock.advance(0.1)
        self.assertEqual(len(self.blocked()), 1)
        self.assertEqual(self.blocked(), [])

    def test_counted(self) -> None:
        """Statistics and telemetry count each one."""
        seen: list[Any] = []
        telemetry.attach(self, telemetry.SLOW_CALLBACK, lambda *what: seen.append(what[1:3]))
        self.addCleanup(telemetry.detach, self)
        self.reporter.tracing.statistics(True)
        for _ in range(3):
            self.blocked()
        self.assertEqual(self.reporter.tracing.counts, {"slow callback": 3})
        self.assertEqual(len(seen), 3)
        measurements, metadata = seen[0]
        self.assertEqual((measurements["duration"], measurements["calls"]), (0.75, 1))
        self.assertEqual(metadata["callback"], "handle_frame")
