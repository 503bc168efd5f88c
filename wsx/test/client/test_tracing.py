"""Tests of tracing: the debug options of a client, and their output."""

from __future__ import annotations

import os
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._client.tracing import Tracing, parse_options
from wsx._text import quote
from wsx.test.support import MemoryCase, Recorder, case, close, server_frame, text

NAME = "wsx.test.client.test_tracing"
SECRET = "s3cr3t"


class DebugCase(MemoryCase):
    """A client with debug options, and its standard output."""

    def setUp(self) -> None:
        super().setUp()
        self.output = StringIO()
        self.patch(sys, "stdout", self.output)
        self.addCleanup(self.end_client)  # Before standard output is restored.

    def end_client(self) -> None:
        """End the client that has the name."""
        client = wsx.whereis(NAME)
        if client is not None:
            client.stop()
            self.clock.advance(60)
            self.step()

    def traced(self, handler: Any = None, debug: Any = ("trace",), **options: Any) -> Any:
        """Open a client with a name and debug options."""
        return self.open(handler or Recorder(), name=NAME, debug=debug, **options)

    def lines(self) -> list[str]:
        """Return the trace lines so far; check that every line is one of this client."""
        prefix = f"*DBG* {NAME!r} "
        lines = self.output.getvalue().splitlines()
        for line in lines:
            self.assertTrue(line.startswith(prefix), line)
        return [line.removeprefix(prefix) for line in lines]

    def assert_line(self, beginning: str, *parts: str) -> None:
        """Check that exactly one line begins like this, and that it contains these parts."""
        found = [line for line in self.lines() if line.startswith(beginning)]
        self.assertEqual(len(found), 1, f"{beginning!r} in {self.lines()}")
        for part in parts:
            self.assertIn(part, found[0])


class TraceTests(DebugCase):
    """[Y5] the trace lines of design section 5."""

    def test_off(self) -> None:
        """[Y5] without the option, nothing is printed."""
        client = self.traced(debug=())
        client.cast("x")
        self.peer.send(text("Hello"))
        self.step()
        self.assertEqual(self.output.getvalue(), "")

    def test_connect(self) -> None:
        """[Y5] the first connection is traced."""
        self.traced()
        self.assertEqual(self.lines(), ["attempting to connect", "successfully connected"])

    def test_reconnect(self) -> None:
        """[Y5] a lost connection and the next one are traced."""

        def again(status: Any, state: Any) -> Any:
            return wsx.Reconnect(state, after=1.0)

        self.traced(Recorder(handle_disconnect=again))
        self.peer.drop()
        self.step()
        self.clock.advance(1.0)
        self.peer.answer()
        self.step()
        expected = [
            "connection dropped by the peer",
            "attempting to reconnect",
            "successfully reconnected",
        ]
        self.assertEqual([line for line in self.lines() if line in expected], expected)

    def test_unnamed(self) -> None:
        """[Y5] a client without a name is shown by its repr."""
        client = self.open(Recorder(), debug=["trace"])
        client.cast("x")
        line = self.output.getvalue().splitlines()[-1]
        self.assertEqual(line, f"*DBG* {client!r} received cast: 'x'")

    def test_received_frame(self) -> None:
        """[Y5] a message is traced."""
        self.traced()
        self.peer.send(text("Hello"))
        self.assertEqual(self.lines()[2:], ["received frame: Text('Hello')"])

    def test_fragmented_frame(self) -> None:
        """[Y5] a message that arrived in fragments is traced as such."""
        self.traced()
        self.peer.send(server_frame(1, b"Hel", flags=0))
        self.peer.send(server_frame(0, b"lo"))
        self.assert_line("completed fragmented frame: Text('Hello')")

    def test_cast_and_info(self) -> None:
        """[Y5] casts and infos are traced."""
        client = self.traced()
        client.cast({"a": 1})
        client.info("note")
        self.assertEqual(self.lines()[2:], ["received cast: {'a': 1}", "received info: 'note'"])

    def test_reply(self) -> None:
        """[Y5] a reply is traced with the name of the callback."""
        reply = wsx.Reply(wsx.Text("Hi"), None)
        client = self.traced(Recorder(handle_frame=reply, handle_ping=reply, handle_cast=reply))
        self.peer.send(text("x"))
        self.peer.send(server_frame(9))
        client.cast("x")
        self.step()
        for callback in ("handle_frame", "handle_ping", "handle_cast"):
            self.assert_line(f"replying from {callback} with Text('Hi')")

    def test_send_frame(self) -> None:
        """[Y5] a frame of ``send_frame`` is traced."""
        self.successResultOf(self.traced().send_frame(wsx.Binary(b"x")))
        self.assertEqual(self.lines()[2:], ["sending frame: Binary(b'x')"])

    def test_local_close(self) -> None:
        """[Y5] a close by the client is traced: the reason, the close frame and the end of TCP."""
        self.traced().close(4000, "bye")
        self.step()
        self.assert_line("closing with local reason: ", "4000", "bye")
        self.assert_line("sending close frame: ", "4000", "bye")
        self.peer.send(close(4000))
        self.peer.drop()
        self.step()
        self.assert_line("connection closed")
        self.assertNotIn("connection dropped by the peer", self.lines())

    def test_remote_close(self) -> None:
        """[Y5] a close by the server is traced."""
        self.traced()
        self.peer.send(close(1001, "away"))
        self.step()
        self.assert_line("closing with remote reason: ", "1001", "away")
        self.peer.drop()
        self.step()
        self.assert_line("connection closed")

    def test_error(self) -> None:
        """[Y5] a protocol error of the server is traced."""
        self.traced()
        self.peer.send(server_frame(3, b""))
        self.step()
        self.assert_line("closing due to error: ")

    def test_dropped(self) -> None:
        """[Y5] the end of TCP without a close frame is traced."""
        self.traced()
        self.peer.drop()
        self.step()
        self.assert_line("connection dropped by the peer")

    def test_close_timeout(self) -> None:
        """[Y5] a missing reply to the close frame is traced after ``close_timeout``."""
        self.traced(close_timeout=3.0).close()
        self.clock.advance(2.9)
        self.assertFalse([line for line in self.lines() if line.startswith("connection cut")])
        self.clock.advance(0.1)
        self.assert_line("connection cut: the peer took too long to close")

    def test_terminating(self) -> None:
        """[Y5] the end of the client is traced with its reason."""
        client = self.traced()
        client.stop("for the test")
        self.clock.advance(60)
        self.step()
        self.assert_line("terminating: ", "Shutdown", "for the test")

    def test_one_line_per_event(self) -> None:
        """[Y5] long payloads are truncated."""
        client = self.traced()
        self.peer.send(text("x" * 100_000))
        self.successResultOf(client.send_frame(wsx.Text("y" * 100_000)))
        for line in self.lines():
            self.assertLess(len(line), 120)

    def test_no_header_values(self) -> None:
        """[Y5] header values and the body of a refusal are not traced."""
        self.start(Recorder(), name=NAME, debug=["trace"], async_=True)
        head = f"HTTP/1.1 401 No\r\nSet-Cookie: {SECRET}\r\nContent-Length: {len(SECRET)}\r\n\r\n"
        self.peer.send(f"{head}{SECRET}".encode())
        self.step()
        self.assert_line("terminating: ", "401")
        self.assertNotIn(SECRET, self.output.getvalue())

    def test_message_without_repr(self) -> None:
        """[Y5] a message whose repr raises is delivered, and the caller gets no exception."""

        class Odd:
            def __repr__(self) -> str:
                raise ValueError("on purpose")

        handler = Recorder()
        message = Odd()
        self.traced(handler).cast(message)
        self.step()
        self.assertEqual(handler.names[1:], ["handle_cast"])
        self.assertIs(handler.arguments("handle_cast")[0], message)

    def test_output_that_fails(self) -> None:
        """[Y5] if standard output fails, messages are still delivered."""

        class Broken(StringIO):
            def write(self, s: str) -> int:
                raise BrokenPipeError("on purpose")

        handler = Recorder()
        client = self.traced(handler)
        self.patch(sys, "stdout", Broken())
        client.cast("x")
        self.step()
        self.assertEqual(handler.arguments("handle_cast"), ["x"])

    def test_message_whose_repr_has_lines(self) -> None:
        """[Y5] an event is one line even if the repr of a message has several."""

        class Table:
            def __repr__(self) -> str:
                return "[[1 2]\n [3 4]]\r\n"

        path = Path(self.mktemp())
        client = self.traced(debug=["trace", ("log_to_file", path)])
        client.cast(Table())
        self.assert_line("received cast: [[1 2]", "[3 4]]")
        self.assertEqual(len(self.lines()), 3)
        self.assertEqual(len(path.read_text().splitlines()), 3)

    def test_reason_whose_text_has_lines(self) -> None:
        """[Y5] the end is one line even if the text of the reason has several."""
        for reason in (RuntimeError("one\ntwo"), "one\ntwo"):
            with case(reason):
                self.output.truncate(self.output.seek(0))
                client = self.traced()
                client.sys.terminate(reason)
                self.clock.pump([1.0] * 10)
                self.assert_line("terminating: ", "one", "two")

    def test_output_that_fails_is_logged_once(self) -> None:
        """[Y5] if standard output fails, one line is logged, and tracing stops."""

        class Broken(StringIO):
            def write(self, s: str) -> int:
                raise BrokenPipeError("on purpose")

        closed = StringIO()
        closed.close()
        for output in (Broken(), closed):
            with case(output):
                self.patch(sys, "stdout", self.output)
                client = self.open(Recorder(), debug=["trace", "statistics"])
                self.patch(sys, "stdout", output)
                with capturedLogs() as events:
                    for n in range(5):
                        client.cast(n)
                self.assertEqual(len(events), 1, events)
                self.assertEqual((client.sys.statistics("get") or {})["received cast"], 5)

    def test_print_to_an_output_that_fails(self) -> None:
        """[Y5] if standard output fails, printing the event log writes one log line."""
        client = self.traced(debug=["log"])
        closed = StringIO()
        closed.close()
        self.patch(sys, "stdout", closed)
        with capturedLogs() as events:
            client.sys.log("print")
        self.assertEqual(len(events), 1, events)
        self.assertEqual(len(client.sys.log("get") or ()), 2)

    def test_output_in_ascii(self) -> None:
        """[Y5] characters that standard output cannot encode are escaped."""
        raw = BytesIO()
        self.patch(sys, "stdout", TextIOWrapper(raw, encoding="ascii", write_through=True))
        self.traced().cast("gr\u00fc\u00dfe \U0001f600")
        self.assertIn(b"received cast: 'gr\\xfc\\xdfe \\U0001f600'", raw.getvalue())

    def test_global_name(self) -> None:
        """[Y5] a client whose name is not a str is shown by the repr of its name."""
        name = wsx.Global((NAME, 7))
        client = self.open(Recorder(), name=name, debug=["trace"])
        client.cast("x")
        line = self.output.getvalue().splitlines()[-1]
        self.assertEqual(line, f"*DBG* {name!r} received cast: 'x'")
        client.abort()
        self.step()


class WatchedTracing:
    """A Tracing that is off, and records which of its attributes are read.

    Attributes:
        reads: The names of the attributes.
    """

    def __init__(self) -> None:
        self.reads: list[str] = []

    @property
    def active(self) -> bool:
        self.reads.append("active")
        return False

    def __getattr__(self, name: str) -> Any:
        self.reads.append(name)
        raise AttributeError(name)


class CostTests(MemoryCase):
    """[Y5] when disabled, tracing costs one attribute check."""

    def watched(self, **answers: Any) -> tuple[wsx.Client[Any], list[str]]:
        """Open a client; return it with the attributes of its Tracing that are read from now on."""
        client = self.open(Recorder(**answers))
        tracing = WatchedTracing()
        client._life.reporter.tracing = tracing  # type: ignore[assignment]
        return client, tracing.reads

    def test_per_batch(self) -> None:
        """[Y5] a read of many frames makes one check."""
        for count in (1, 100):
            with case(count):
                _, reads = self.watched()
                self.peer.send(text("x") * count)
                self.step()
                self.assertEqual(reads, ["active"])

    def test_read_without_a_frame(self) -> None:
        """[Y5] a read that completes no frame makes no check."""
        _, reads = self.watched()
        self.peer.send(text("hello")[:3])
        self.assertEqual(reads, [])

    def test_batch_that_waited(self) -> None:
        """[Y5] frames that were queued are not checked a second time."""
        client, reads = self.watched()
        client.sys.suspend()
        self.peer.send(text("x") * 100)
        client.sys.resume()
        self.step()
        self.assertEqual(reads, ["active"])

    def test_replies(self) -> None:
        """[Y5] the replies of one callback make one check."""
        several = wsx.Reply([wsx.Text("x")] * 100, None)
        _, reads = self.watched(handle_frame=several)
        self.peer.send(text("x"))
        self.assertEqual(reads, ["active"] * 2)

    def test_elsewhere(self) -> None:
        """[Y5] casts, infos and sent frames make one check each."""
        client, reads = self.watched()
        client.cast(1)
        client.info(2)
        self.successResultOf(client.send_frame(wsx.Text("x")))
        self.step()
        self.assertEqual(reads, ["active"] * 3)

    def test_reconnect_and_close(self) -> None:
        """[Y5] reconnecting, closing and ending make checks only."""
        again = wsx.Reconnect(None, after=0)
        client, reads = self.watched(handle_disconnect=again)
        self.peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        client.close()
        self.peer.drop()
        self.step()
        self.assertEqual(set(reads), {"active"})


class OptionTests(DebugCase):
    """[Y5] the debug options."""

    BAD: tuple[Any, ...] = (
        "nonsense",
        "Trace",
        "",
        None,
        5,
        {},
        (),
        ("log",),
        ("log", 0),
        ("log", -1),
        ("log", "5"),
        ("log", 2.5),
        ("log", None),
        ("log", 5, 6),
        ("log", True),
        ("trace", True),
        ("log_to_file",),
        ("log_to_file", 5),
        ("log_to_file", None),
        "log_to_file",
    )

    def warnings(self, options: Any) -> list[str]:
        """Return the log lines that parsing these options writes."""
        with capturedLogs() as events:
            parse_options(options)
        return [str(event["log_format"].format(**event)) for event in events]

    def test_good(self) -> None:
        """[Y5] the five options are accepted without a warning."""
        options = ("trace", "log", ("log", 5), "statistics", ("log_to_file", "/a/path"))
        self.assertEqual(self.warnings(options), [])
        self.assertEqual(len(parse_options(["trace", "statistics", ("log", 5)])), 3)

    def test_path_object(self) -> None:
        """[Y5] the path of ``log_to_file`` may be a Path."""
        path = Path(self.mktemp())
        self.traced(debug=[("log_to_file", path)])
        self.assertIn("successfully connected", path.read_text())

    def test_bad(self) -> None:
        """[Y5] an unknown option is ignored with one log line that names it."""
        for option in self.BAD:
            with case(option):
                lines = self.warnings([option])
                self.assertEqual(len(lines), 1, lines)
                self.assertIn(f"got {quote(option)}", lines[0])
                self.assertFalse(parse_options([option]))

    def test_bad_beside_good(self) -> None:
        """[Y5] an unknown option does not affect the others or the client."""
        client = self.traced(debug=[*self.BAD, "trace"])
        self.assertEqual(client.status, "open")
        self.assertEqual(self.lines(), ["attempting to connect", "successfully connected"])


class LogTests(DebugCase):
    """[Y5] ``"log"`` and ``"statistics"``."""

    def tracing_of(self, client: wsx.Client[Any]) -> Tracing:
        """Return the Tracing of a client."""
        return client._life.tracing

    def test_log(self) -> None:
        """[Y5] the event log holds the events of the trace with their times."""
        self.clock.advance(1234.5)
        client = self.traced(debug=["log"])
        client.cast("x")
        log = list(self.tracing_of(client).events or ())
        for what, entry in zip(
            ("attempting to connect", "successfully connected", "received cast: 'x'"),
            log,
            strict=True,
        ):
            self.assertIn(what, repr(entry).replace("\\", ""))
            self.assertIn("1234.5", repr(entry))

    def test_depth(self) -> None:
        """[Y5] ``("log", n)`` keeps the last n events."""
        client = self.traced(debug=[("log", 3)])
        for n in range(100, 110):
            client.cast(n)
        log = list(self.tracing_of(client).events or ())
        self.assertEqual(len(log), 3)
        for n, entry in zip((107, 108, 109), log, strict=True):
            self.assertIn(f"received cast: {n}", repr(entry))

    def test_log_does_not_print(self) -> None:
        """[Y5] neither the event log nor statistics are printed."""
        self.traced(debug=["log", "statistics"]).cast("x")
        self.assertEqual(self.output.getvalue(), "")

    def test_statistics(self) -> None:
        """[Y5] events are counted with the option only."""
        with_them = self.traced(debug=["statistics"])
        counts = self.tracing_of(with_them).counts
        self.assertEqual(counts, {"attempting to connect": 1, "successfully connected": 1})
        self.assertNotIn("received frame", counts or {})

    def test_kinds(self) -> None:
        """[Y5] events are counted by kind, whatever their details."""
        client = self.traced(debug=["statistics"])
        self.peer.send(text("one") + text("two: {}"))
        self.peer.send(server_frame(1, b"th", flags=0) + server_frame(0, b"ree"))
        client.cast({"a": 1})
        counts = self.tracing_of(client).counts or {}
        self.assertEqual(counts["received frame"], 2)
        self.assertEqual(counts["completed fragmented frame"], 1)
        self.assertEqual(counts["received cast"], 1)

    def test_braces(self) -> None:
        """[Y5] braces in a message are not replaced."""
        client = self.traced(debug=["trace", "log"])
        self.peer.send(text("{0} {x!r} {{}}"))
        self.assert_line("received frame: Text('{0} {x!r} {{}}')")
        self.assertEqual(client.sys.log("get")[-1][1], "received frame: Text('{0} {x!r} {{}}')")

    def test_huge_depth(self) -> None:
        """[Y5] a client starts even if the depth of the event log is huge."""
        started = self.start(Recorder(), async_=True, debug=[("log", 10**30), "statistics"])
        self.assertEqual(self.successResultOf(started).status, "connecting")


class FileTests(DebugCase):
    """[Y5] ``("log_to_file", path)``."""

    def test_events(self) -> None:
        """[Y5] the file holds the events at once, and nothing is printed."""
        path = self.mktemp()
        client = self.traced(debug=[("log_to_file", path)])
        client.cast("grüße")
        written = Path(path).read_text(encoding="utf-8").splitlines()
        expected = ["attempting to connect", "successfully connected", "received cast: 'grüße'"]
        self.assertEqual(len(written), len(expected), written)
        for line, what in zip(written, expected, strict=True):
            self.assertIn(what, line)
        self.assertEqual(self.output.getvalue(), "")

    def test_until_the_end(self) -> None:
        """[Y5] the last line is about the client's end, then the file is closed."""
        path = self.mktemp()
        client = self.traced(debug=[("log_to_file", path)])
        client.stop()
        self.clock.advance(60)
        self.step()
        self.assertIn("terminating: ", Path(path).read_text().splitlines()[-1])
        self.assert_closed(path)

    def assert_closed(self, path: str) -> None:
        """Check that this process does not have the file open."""
        open_files = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        self.assertNotIn(os.path.realpath(path), open_files)

    def test_start_that_fails(self) -> None:
        """[Y5] a client that cannot start because its name is taken leaves no file open."""
        self.traced(debug=())
        path = self.mktemp()
        started = self.start(Recorder(), name=NAME, debug=[("log_to_file", path)])
        self.failureResultOf(started, wsx.AlreadyStartedError)
        self.assert_closed(path)

    def test_with_trace(self) -> None:
        """[Y5] file and trace can be used together."""
        path = self.mktemp()
        self.traced(debug=["trace", ("log_to_file", path)])
        self.assertEqual(self.lines(), ["attempting to connect", "successfully connected"])
        self.assertEqual(len(Path(path).read_text().splitlines()), 2)

    def test_cannot_be_written(self) -> None:
        """[Y5] a file that fails later writes one log line, and is used no more."""
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full here")
        handler = Recorder()
        with capturedLogs() as events:
            client = self.traced(handler, debug=["trace", ("log_to_file", "/dev/full")])
            client.cast("x")
            self.step()
        failed = [event for event in events if event["log_level"].name in ("error", "critical")]
        self.assertEqual(len(failed), 1, failed)
        self.assertEqual(handler.arguments("handle_cast"), ["x"])
        self.assertIn("received cast: 'x'", self.lines())


class TracingTests(SynchronousTestCase):
    """Tests of Tracing without a client."""

    def test_file_that_cannot_be_opened(self) -> None:
        """[Y5] a file that cannot be opened is an OSError."""
        tracing = Tracing(lambda: "'x'", Clock())
        missing = os.path.join(self.mktemp(), "missing", "file")
        self.assertRaises(OSError, tracing.log_to_file, missing)
        self.assertFalse(tracing.active)

    def test_close_twice(self) -> None:
        """A second ``close`` does nothing, and later events are not written."""
        path = self.mktemp()
        tracing = Tracing(lambda: "'x'", Clock())
        tracing.switch_on(parse_options([("log_to_file", path)]))
        tracing.event("one")
        tracing.close()
        tracing.close()
        tracing.event("two")
        written = Path(path).read_text()
        self.assertIn("one", written)
        self.assertNotIn("two", written)
