"""Tests of what a client logs about connections and its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogLevel, capturedLogs, formatEvent

import wsx
from wsx import Backoff, Exit, LocalClose
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import Boom, EndCase, reconnecting


class LogTests(EndCase):
    """The log lines about ends and reconnects."""

    def lines(self, events: Iterable[Any]) -> list[str]:
        """Return the lines of wsx in the log; assert that each is a single line."""
        lines = [formatEvent(event) for event in events if event["log_namespace"] == "wsx"]
        for line in lines:
            self.assertNotIn("\n", line)
        return lines

    def test_back_again(self) -> None:
        """One line says that the client has reconnected, and why the connection was lost."""
        self.open(reconnecting(), name="feed")
        self.addCleanup(self.stop_named)
        self.peer.send(close(1012, "deploying"))
        self.lose()
        self.clock.advance(1)
        with capturedLogs() as events:
            self.accept()
        [line] = self.lines(events)
        self.assertIn("feed", line)
        self.assertIn("reconnected", line)
        self.assertIn("1012", line)
        self.assertIn("deploying", line)
        self.assertEqual(events[0]["log_level"], LogLevel.info)

    def stop_named(self) -> None:
        client = wsx.whereis("feed")
        assert client is not None
        client.stop()
        self.lose()

    def test_back_after_failures(self) -> None:
        """After failed attempts, the line still names why the connection was lost."""
        self.open(reconnecting())
        self.peer.send(close(1012, "deploying"))
        self.lose()
        self.server.refusal = ConnectionRefusedError()
        for _ in range(3):
            self.clock.advance(1)
            self.step()
        self.server.refusal = None
        self.clock.advance(1)
        with capturedLogs() as events:
            self.accept()
        [line] = self.lines(events)
        self.assertIn("deploying", line)

    def test_second_outage_has_its_own_cause(self) -> None:
        """The line after the loss of a healthy connection names that loss, not an older one."""
        self.open(reconnecting())
        self.peer.send(close(1012, "deploying"))
        self.come_back()
        self.clock.advance(60)
        self.peer.send(close(1013, "overload"))
        self.lose()
        self.clock.advance(1)
        with capturedLogs() as events:
            self.accept()
        [line] = self.lines(events)
        self.assertIn("overload", line)
        self.assertNotIn("deploying", line)

    def test_first_connection(self) -> None:
        """The first connection is not logged as a reconnect."""
        with capturedLogs() as events:
            self.open(Recorder())
        [line] = self.lines(events)
        self.assertNotIn("reconnected", line)

    def test_loss(self) -> None:
        """A loss is one line, with its reason."""
        self.open(reconnecting())
        self.peer.send(close(1012, "deploying"))
        with capturedLogs() as events:
            self.lose()
        [line] = self.lines(events)
        self.assertIn("deploying", line)

    def test_crash_is_logged_once_with_its_traceback(self) -> None:
        """[C6] A crash is logged once, with its traceback."""
        self.open(Recorder(handle_frame=Boom("why")))
        with capturedLogs() as events:
            self.peer.send(text("x"))
            self.lose()
        failures = [event for event in events if "log_failure" in event]
        self.assertEqual(len(failures), 1)
        self.assertIn("Boom", failures[0]["log_failure"].getTraceback())
        self.assertIn("_answer", failures[0]["log_failure"].getTraceback())
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    @each((LocalClose(4000, "enough"), Boom("enough"), "enough"))
    def test_exit_is_logged_without_traceback(self, reason: Any) -> None:
        """[C6] An ``Exit``, normal or not, is logged once, without a traceback."""
        self.open(Recorder(handle_frame=Exit(reason)))
        with capturedLogs() as events:
            self.peer.send(text("x"))
            self.lose()
        self.assertEqual([event for event in events if "log_failure" in event], [])
        self.assertEqual(len([line for line in self.lines(events) if "enough" in line]), 1, reason)

    @each([(1000, LogLevel.info), (4000, LogLevel.warn)])
    def test_levels_of_ends(self, code: int, level: Any) -> None:
        """[D5] A normal end is logged as info, an abnormal one as warning."""
        client = self.open(Recorder())
        client.close(code)
        with capturedLogs() as events:
            self.lose()
        self.assertEqual(events[-1]["log_level"], level, code)

    def test_messages_dropped_at_the_end(self) -> None:
        """Casts and infos that are dropped at the end are logged as one line with their number."""
        client = self.open(reconnecting())
        self.lose()
        for number in range(7):
            client.cast(number)
        client.info("secret")
        with capturedLogs() as events:
            client.stop()
            self.step()
        dropped = [line for line in self.lines(events) if "8 undelivered" in line]
        self.assertEqual(len(dropped), 1)
        self.assertNotIn("secret", dropped[0])

    def test_nothing_dropped(self) -> None:
        """If nothing was dropped, no such line is logged."""
        client = self.open(Recorder())
        with capturedLogs() as events:
            client.stop()
            self.lose()
        self.assertEqual(len(self.lines(events)), 1)

    def test_policy_that_gives_up(self) -> None:
        """[D3] The log says that the policy gave up."""
        self.open(wsx.Handler, reconnect=Backoff(max_attempts=0))
        with capturedLogs() as events:
            self.lose()
        self.assertEqual(
            len([line for line in self.lines(events) if "not reconnecting" in line]), 1
        )

    @each(
        [
            (wsx.Text("x" * 812), "message: Text, 812 characters"),
            (wsx.Binary(b"12345"), "message: Binary, 5 bytes"),
        ]
    )
    def test_failed_callback(self, frame: Any, argument: str) -> None:
        """[C6] A failure names the handler, the callback, and what it was called with."""
        self.open(Recorder(handle_frame=Boom("why")), name=f"feed-{argument}")
        payload = frame.payload.encode() if isinstance(frame, wsx.Text) else frame.payload
        with capturedLogs() as events:
            self.peer.send(server_frame(frame.opcode, payload))
            self.lose()
        [failure] = [event for event in events if "log_failure" in event]
        line = formatEvent(failure)
        self.assertEqual(line, f"feed-{argument}: Recorder.handle_frame raised Boom ({argument})")
        self.assertEqual(len(self.lines(events)), 1, "the end of the client repeats nothing")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_bad_response(self) -> None:
        """[C6] An invalid result is one line: what was returned, and what was expected."""
        self.open(Recorder(handle_cast=lambda message, state: "nonsense"), name="feed")
        client = wsx.whereis("feed")
        assert client is not None
        client.cast({"password": "s3cr3t"})
        with capturedLogs() as events:
            self.step()
            self.lose()
        [line] = self.lines(events)
        for part in ("feed: ", "Recorder.handle_cast", "nonsense", "Ok", "message: dict, 1 item"):
            self.assertIn(part, line)
        self.assertNotIn("s3cr3t", line)
        self.assertNotIn("log_failure", events[0])

    def test_failed_handle_disconnect(self) -> None:
        """[C8] A failure of ``handle_disconnect`` names why the connection was lost."""
        self.open(Recorder(handle_disconnect=Boom("why")), name="feed")
        self.peer.send(close(1012, "deploying"))
        with capturedLogs() as events:
            self.lose()
        [line] = self.lines(events)
        self.assertIn("Recorder.handle_disconnect raised Boom", line)
        self.assertIn("deploying", line)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_default_callbacks_show_the_message(self) -> None:
        """[C10] The defaults of handle_cast and handle_info show the message without secrets."""
        client = self.open(wsx.Handler, name="feed")
        message = {"kind": "login", "api_key": "s3cr3t"}
        with capturedLogs() as events:
            client.info(message)
            client.cast(message)
            self.step()
            self.lose()
        shown = "\n".join(formatEvent(event) for event in events)
        [failure] = self.flushLoggedErrors(NotImplementedError)
        for text_ in (shown, str(failure.value)):
            self.assertIn("login", text_)
            self.assertNotIn("s3cr3t", text_)

    def test_recursive_messages(self) -> None:
        """[C10] The defaults of handle_cast and handle_info show a message that contains itself."""
        client = self.open(wsx.Handler)
        message: dict[str, Any] = {}
        message["self"] = message
        client.info(message)
        self.step()
        self.assertEqual(client.status, "open")
        client.cast(message)
        self.step()
        self.lose()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(len(self.flushLoggedErrors(NotImplementedError)), 1)

    def test_log_file_that_cannot_be_opened(self) -> None:
        """[Y5] If a log file cannot be opened at start, one line says so and the client starts."""
        path = "/nonexistent/folder/feed.log"
        with capturedLogs() as events:
            client = self.open(Recorder(), name="feed", debug=[("log_to_file", path), "statistics"])
        self.assertEqual(client.status, "open")
        self.assertIsNotNone(client.sys.statistics("get"), "the other options apply")
        errors = [event for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 1)
        for part in ("feed: ", "log_to_file", path, "No such file"):
            self.assertIn(part, formatEvent(errors[0]))
        self.assertRaises(OSError, client.sys.log_to_file, path)
        client.stop()
        self.lose()
