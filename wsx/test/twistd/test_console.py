"""Tests of wsx._twistd.console: the console of ``twistd wsx``, in memory and in real processes."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from wsx import (
    Backoff,
    Binary,
    Client,
    ConnectionDropped,
    LocalClose,
    RemoteClose,
    Shutdown,
    Text,
)
from wsx._twistd import console
from wsx._twistd.console import Console, Lines, MessagesMayBeMissing, log_to_stderr, render
from wsx.reasons import is_normal
from wsx.test.support import MemoryCase, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.twistd import Twistd, TwistdCase

NORMAL = (8, (1000).to_bytes(2, "big"))
PATIENT: dict[str, Any] = {"handle_initial_conn_failure": True}


class Terminal(StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


class RenderTests(SynchronousTestCase):
    """How a message is shown."""

    def test_text(self) -> None:
        """A text is its line, unchanged where that is no terminal."""
        for payload in ("hello", "", "h\xe9llo \U0001f600", "\x1b[31mred\r\x07", "two\nlines"):
            for output in (None, StringIO()):
                self.assertEqual(render(Text(payload), output), payload + "\n")

    def test_terminal(self) -> None:
        """On a terminal what is not printable is escaped; tabs, newlines and letters are not."""
        for payload, line in (
            ("\x1b[2J", "\\x1b[2J"),
            ("a\rb", "a\\rb"),
            ("\x07\x08\x00", "\\x07\\x08\\x00"),
            ("\x7f", "\\x7f"),
            ("\x9b31m", "\\x9b31m"),
            ("a\u202eb\u2028c", "a\\u202eb\\u2028c"),
            ("tab\there\nand h\xe9llo \U0001f600", "tab\there\nand h\xe9llo \U0001f600"),
        ):
            self.assertEqual(render(Text(payload), Terminal()), line + "\n")

    def test_binary(self) -> None:
        """A binary message is its first 64 bytes in hexadecimal, on one line."""
        for payload, digits in (
            (b"\x00\xff", "00 ff"),
            (bytes(range(64)), bytes(range(64)).hex(" ")),
        ):
            for output in (StringIO(), Terminal()):
                line = render(Binary(payload), output)
                self.assertIn(digits, line)
                self.assertIn(f"{len(payload)} bytes", line)
                self.assertEqual(line.count("\n"), 1)

    def test_long_binary(self) -> None:
        """Of a long one no more is shown, but its length."""
        line = render(Binary(b"\xaa" * 64 + b"\xbb" * 1000), StringIO())
        self.assertEqual((line.count("aa"), line.count("bb")), (64, 0))
        self.assertIn("1064 bytes", line)

    def test_empty_binary(self) -> None:
        """An empty one is a line too."""
        self.assertRegex(render(Binary(b""), None), r"\A.*\b0 bytes.*\n\Z")


class LogTests(SynchronousTestCase):
    """Where the log goes."""

    def test_standard_error(self) -> None:
        """The console's log observer writes to standard error."""
        errors, output = StringIO(), StringIO()
        self.patch(sys, "__stderr__", errors)
        self.patch(sys, "__stdout__", output)
        observer: Any = log_to_stderr()
        observer({"log_format": "an event", "log_time": 0.0})
        self.assertIn("an event\n", errors.getvalue())
        self.assertEqual(output.getvalue(), "")


class FakeStdio(StringTransport):
    """Standard input and output, in memory."""

    def __init__(self, lines: Lines, reactor: Any) -> None:
        super().__init__()
        self.lines = lines
        lines.makeConnection(self)

    def read(self, data: bytes) -> None:
        """Standard input has something to read, whether that is wanted or not."""
        self.lines.dataReceived(data)

    def printed(self) -> bytes:
        """Return what was written since the last call."""
        data: bytes = self.value()
        self.clear()
        return data

    @property
    def reading(self) -> bool:
        """Whether the console reads."""
        return self.producerState == "producing"


class ConsoleCase(MemoryCase):
    """A console with a real client, an in-memory server, and an in-memory standard input."""

    def setUp(self) -> None:
        super().setUp()
        self.stdios: list[FakeStdio] = []
        self.patch(console, "StandardIO", self._open_stdio)
        self.errors = StringIO()
        self.patch(sys, "__stderr__", self.errors)
        self.patch(sys, "__stdout__", StringIO())

    def _open_stdio(self, lines: Lines, reactor: Any) -> FakeStdio:
        self.assertIs(reactor, self.clock)
        self.stdios.append(FakeStdio(lines, reactor))
        return self.stdios[-1]

    @property
    def stdio(self) -> FakeStdio:
        """The one standard input and output of the process."""
        self.assertEqual(len(self.stdios), 1)
        return self.stdios[0]

    def console(self, **options: Any) -> Client[Any]:
        """Opens a console whose client reconnects after a second, unless told otherwise."""
        policy = Backoff(initial=1.0, jitter=0.0, factor=1.0)
        options = {"reconnect": policy, "handle_initial_conn_failure": True} | options
        return self.open(Console, **options)

    def read(self, data: bytes) -> None:
        """Something is typed."""
        self.stdio.read(data)
        self.step()

    def end_input(self) -> None:
        """Standard input is at its end."""
        self.stdio.lines.readConnectionLost()
        self.step()

    def sent(self) -> list[str]:
        """Return the texts that the server got since the last call, and nothing else."""
        frames = self.peer.received()
        self.assertEqual({opcode for opcode, _ in frames} - {1}, set(), f"{frames}")
        return [payload.decode() for _, payload in frames]

    def reconnect(self) -> None:
        """Lets the client connect again."""
        self.clock.advance(1)
        self.step()
        self.peer.answer()
        self.step()

    def drop(self) -> None:
        """Ends TCP."""
        self.peer.drop()
        self.step()

    def answer_close(self) -> None:
        """Lets the server answer the client's close frame."""
        self.peer.send(close(1000))
        self.drop()

    def assert_closes(self) -> None:
        """The client has sent a normal close frame, and nothing after it."""
        self.assertEqual(self.peer.received(), [NORMAL])

    def assert_ends_normally(self, client: Client[Any]) -> None:
        """The client has ended, normally."""
        self.assertEqual(self.successResultOf(client.terminated()), LocalClose(1000, ""))


class OutputTests(ConsoleCase):
    """What is received is printed."""

    def test_messages(self) -> None:
        """Each message is a line of standard output, in order, in UTF-8."""
        self.console()
        self.peer.send(text("one") + text("") + text("zw\xf6lf") + server_frame(2, b"\x01\xfe"))
        self.step()
        lines = self.stdio.printed().decode().split("\n")
        self.assertEqual(lines[:3], ["one", "", "zw\xf6lf"])
        self.assertIn("01 fe", lines[3])
        self.assertEqual(lines[4:], [""])

    def test_after_a_reconnect(self) -> None:
        """Standard output is the same after a reconnect."""
        self.console()
        self.drop()
        self.reconnect()
        self.peer.send(text("again"))
        self.step()
        self.assertEqual(self.stdio.printed(), b"again\n")

    def test_control_messages(self) -> None:
        """Nothing is printed for a ping, a pong and a close."""
        self.console()
        self.peer.send(server_frame(9, b"ping") + server_frame(10, b"pong") + close(1000, "bye"))
        self.step()
        self.assertEqual(self.stdio.printed(), b"")

    def test_after_the_end_of_output(self) -> None:
        """A reader that goes away ends the console: it closes normally."""
        client = self.console()
        self.stdio.lines.writeConnectionLost()
        self.step()
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_lost_altogether(self) -> None:
        """So does the loss of both."""
        client = self.console()
        self.stdio.lines.connectionLost()
        self.step()
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_end_of_output_while_waiting(self) -> None:
        """A reader that goes away while there is no connection ends it too."""
        client = self.console()
        self.drop()
        self.stdio.lines.writeConnectionLost()
        self.step()
        self.assert_ends_normally(client)

    def test_end_of_output_while_closing(self) -> None:
        """A reader that goes away while the server closes ends it too, normally.

        After an abnormal end, the console would be restarted without a reader.
        """
        client = self.console()
        self.peer.send(close(1012))
        self.step()
        self.stdio.lines.writeConnectionLost()
        self.step()
        self.drop()
        if client.status != "terminated":
            self.reconnect()
            self.assert_closes()
            self.answer_close()
        self.assert_ends_normally(client)

    def test_end_of_output_after_the_end(self) -> None:
        """The end of the output after the client's end has no effect."""
        client = self.console()
        client.stop()
        self.answer_close()
        self.stdio.lines.writeConnectionLost()
        self.stdio.lines.connectionLost()
        self.step()
        self.assertEqual(client.status, "terminated")


class InputTests(ConsoleCase):
    """What is read is sent."""

    def test_lines(self) -> None:
        """Each line is a text message, without its end, in order; empty ones too."""
        self.console()
        self.read(b"one\ntwo\r\n\nzw\xc3\xb6lf\n with spaces \n")
        self.assertEqual(self.sent(), ["one", "two", "", "zw\xf6lf", " with spaces "])

    def test_in_pieces(self) -> None:
        """A line may come in pieces; it is sent once it is complete."""
        self.console()
        for piece in (b"o", b"ne", b"\ntw", b"o"):
            self.read(piece)
        self.assertEqual(self.sent(), ["one"])
        self.read(b"\n")
        self.assertEqual(self.sent(), ["two"])

    def test_no_utf8(self) -> None:
        """What is no UTF-8 is replaced, and harms nothing."""
        self.console()
        self.read(b"caf\xe9\nnext\n")
        self.assertEqual(self.sent(), ["caf\ufffd", "next"])

    def test_last_line(self) -> None:
        """The last line may lack its newline."""
        self.console()
        self.read(b"one\ntwo")
        self.end_input()
        self.assertEqual(self.sent(), ["one", "two"])

    def test_last_newline(self) -> None:
        """After a last newline there is no further, empty line."""
        self.console()
        self.read(b"one\n")
        self.end_input()
        self.assertEqual(self.sent(), ["one"])

    def test_long_line(self) -> None:
        """A line may be longer than LineReceiver's usual 16 KiB."""
        self.console()
        self.read(b"x" * 100_000 + b"\n")
        self.assertEqual([len(line) for line in self.sent()], [100_000])

    def test_not_read_before(self) -> None:
        """Nothing is read before there is a connection."""
        self.start(Console, async_=True)
        self.step()
        self.assertEqual(self.stdios, [])

    def test_read_while_open(self) -> None:
        """While there is a connection that takes what is sent, input is read."""
        self.console()
        self.assertTrue(self.stdio.reading)
        self.read(b"one\n")
        self.assertTrue(self.stdio.reading)

    def test_not_read_while_disconnected(self) -> None:
        """Input is not read while there is no connection, and is read again afterwards."""
        self.console()
        self.drop()
        self.assertFalse(self.stdio.reading, "reads while waiting to reconnect")
        self.reconnect()
        self.assertTrue(self.stdio.reading)

    def test_not_read_after_a_line_without_connection(self) -> None:
        """At the latest a line that cannot be sent stops the reading."""
        self.console()
        self.drop()
        self.read(b"one\n")
        self.assertFalse(self.stdio.reading)

    def test_not_read_while_the_buffer_is_full(self) -> None:
        """Input is read no faster than the server takes it."""
        self.console()
        self.peer.buffer.pauseProducing()
        self.read(b"one\n")
        self.assertFalse(self.stdio.reading, "reads while the write buffer is full")
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertTrue(self.stdio.reading)

    def test_one_line_at_a_time(self) -> None:
        """While the write buffer is full no further line goes into it; then all do, in order."""
        self.console()
        self.peer.buffer.pauseProducing()
        self.read(b"one\ntwo\nthree\n")
        self.assertEqual(self.sent(), ["one"])
        self.clock.advance(100)
        self.assertEqual(self.sent(), [])
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertEqual(self.sent(), ["two", "three"])

    def test_kept_for_the_next_connection(self) -> None:
        """Lines that come while there is no connection are sent on the next one, in order."""
        self.console()
        self.drop()
        self.read(b"one\ntwo\n")
        self.read(b"three\n")
        self.reconnect()
        self.read(b"four\n")
        self.assertEqual(self.sent(), ["one", "two", "three", "four"])

    def test_kept_while_closing(self) -> None:
        """So are lines that come while the server closes."""
        self.console()
        self.peer.send(close(1012))
        self.step()
        self.read(b"one\n")
        self.drop()
        self.reconnect()
        self.assertEqual(self.sent(), ["one"])

    def test_lost_in_a_full_buffer(self) -> None:
        """A line in the buffer of a connection that broke is told, not sent twice."""
        self.console()
        self.peer.buffer.pauseProducing()
        self.read(b"one\ntwo\n")
        self.drop()
        told = "twistd wsx: line 1 may not have reached the server\n"
        self.assertEqual(self.errors.getvalue(), told)
        self.reconnect()
        self.assertEqual(self.sent(), ["two"])

    def test_unsent_lines(self) -> None:
        """Lines that were never sent are counted on standard error at the end."""
        client = self.console()
        self.drop()
        self.read(b"one\ntwo\n")
        client.stop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertRegex(self.errors.getvalue(), r"\A[^\n]*\b2 lines[^\n]*\n\Z")

    def test_silent_end(self) -> None:
        """Where all were sent the end is silent."""
        client = self.console()
        self.read(b"one\n")
        client.stop()
        self.answer_close()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.errors.getvalue(), "")


class EndTests(ConsoleCase):
    """After the end of the input: a second of quiet, then a normal close."""

    def test_quiet(self) -> None:
        """It closes a second after the end of the input, with 1000, and ends normally."""
        client = self.console()
        self.read(b"one\n")
        self.end_input()
        self.assertEqual(self.sent(), ["one"])
        self.clock.advance(0.99)
        self.assertEqual(self.sent(), [])
        self.clock.advance(0.02)
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_empty_input(self) -> None:
        """An empty input is answered likewise."""
        client = self.console()
        self.end_input()
        self.clock.advance(1.01)
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_messages(self) -> None:
        """Each message begins the second anew."""
        self.console()
        self.end_input()
        for _ in range(5):
            self.clock.advance(0.9)
            self.peer.send(text("still here"))
            self.step()
            self.assertEqual(self.sent(), [])
        self.assertEqual(self.stdio.printed(), b"still here\n" * 5)
        self.clock.advance(1.01)
        self.assert_closes()

    def test_open_input(self) -> None:
        """Without an end of the input it waits for ever."""
        self.console()
        self.read(b"one\n")
        self.sent()
        self.clock.advance(3600)
        self.step()
        self.assertEqual(self.sent(), [])

    def test_unsent_lines(self) -> None:
        """It does not close before everything is sent."""
        self.console()
        self.peer.buffer.pauseProducing()
        self.read(b"one\ntwo\n")
        self.end_input()
        self.clock.advance(10)
        self.step()
        self.assertEqual(self.sent(), ["one"])
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertEqual(self.sent(), ["two"])
        self.clock.advance(0.99)
        self.assertEqual(self.sent(), [])
        self.clock.advance(0.02)
        self.assert_closes()

    def test_unsent_lines_without_connection(self) -> None:
        """Nor before a lost connection is made again to send the rest."""
        self.console()
        self.drop()
        self.read(b"one\nlast")
        self.end_input()
        self.reconnect()
        self.assertEqual(self.sent(), ["one", "last"])
        self.clock.advance(1.01)
        self.assert_closes()

    def test_without_connection(self) -> None:
        """With nothing to send it ends without a connection too."""
        client = self.console(reconnect=Backoff(initial=50.0, jitter=0.0))
        self.peer.send(close(1000))
        self.drop()
        self.end_input()
        self.clock.advance(1.01)
        self.step()
        self.assert_ends_normally(client)

    def test_second_of_a_closing_server(self) -> None:
        """A second that ends while the server closes sends no second close frame."""
        client = self.console()
        self.end_input()
        self.peer.send(close(1012))
        self.clock.advance(1.5)
        self.step()
        self.assertEqual(self.peer.received(), [(8, (1012).to_bytes(2, "big"))])
        self.drop()
        self.assertEqual(self.successResultOf(client.terminated()), RemoteClose(1012, ""))

    def test_after_the_end(self) -> None:
        """Nothing is left to do once the client has ended."""
        client = self.console()
        self.end_input()
        client.stop()
        self.answer_close()
        self.clock.advance(5)
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReasonTests(ConsoleCase):
    """The reason with which the console ends: it decides about the exit status of a pipe."""

    def lose(self, frame: bytes = b"") -> None:
        """Let the server send a close frame, or nothing, and end TCP."""
        self.peer.send(frame)
        self.step()
        self.drop()

    @each([(1000, close(1000)), (1005, server_frame(8, b""))])
    def test_normal_close_after_the_input(self, code: int, frame: bytes) -> None:
        """A normal close by the server after the end of the input is a normal end."""
        client = self.console()
        self.end_input()
        self.lose(frame)
        reason = self.successResultOf(client.terminated())
        self.assertEqual(reason, RemoteClose(code, ""))
        self.assertTrue(is_normal(reason))
        self.assertEqual(self.server.attempts, 1)

    @each([1001, 1011, 1012, 4001])
    def test_abnormal_close_after_the_input(self, code: int) -> None:
        """Any other close by the server after the end of the input is an abnormal end."""
        client = self.console()
        self.end_input()
        self.lose(close(code, "as told"))
        reason = self.successResultOf(client.terminated())
        self.assertEqual(reason, RemoteClose(code, "as told"))
        self.assertFalse(is_normal(reason))
        self.assertEqual(self.server.attempts, 1)

    def test_dropped_after_the_input(self) -> None:
        """So is a connection that the server drops."""
        client = self.console()
        self.end_input()
        self.lose()
        self.assertIsInstance(self.successResultOf(client.terminated()), ConnectionDropped)
        self.assertEqual(self.server.attempts, 1)

    def test_abnormal_close_before_the_end_of_the_input(self) -> None:
        """A connection lost earlier decides too, although the rest was sent on the next one."""
        client = self.console()
        self.lose(close(4001))
        self.reconnect()
        self.read(b"rest\n")
        self.end_input()
        self.assertEqual(self.sent(), ["rest"])
        self.clock.advance(1.01)
        self.assert_closes()
        self.answer_close()
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, MessagesMayBeMissing)
        self.assertFalse(is_normal(reason))
        self.assertIn("lost before the end of the input", str(reason))

    def test_lost_before_the_rest_is_sent(self) -> None:
        """Lines that wait at the end of the input are sent on the next connection first."""
        client = self.console()
        self.peer.buffer.pauseProducing()
        self.read(b"one\ntwo\n")
        self.end_input()
        self.lose()
        self.assertNoResult(client.terminated())
        self.reconnect()
        self.assertEqual(self.sent(), ["two"])
        self.clock.advance(1.01)
        self.answer_close()
        self.assertIsInstance(self.successResultOf(client.terminated()), MessagesMayBeMissing)

    def test_normal_close_before_the_end_of_the_input(self) -> None:
        """A normal close by the server, followed by another connection, decides nothing."""
        client = self.console()
        self.lose(close(1000))
        self.reconnect()
        self.end_input()
        self.clock.advance(1.01)
        self.answer_close()
        self.assert_ends_normally(client)
        self.assertEqual(self.errors.getvalue(), "")

    def test_first_connection(self) -> None:
        """Attempts that fail before there is a connection decide nothing."""
        self.server.refusal = ConnectionRefusedError()
        policy = Backoff(initial=1.0, jitter=0.0, factor=1.0)
        client = self.start(Console, async_=True, reconnect=policy, **PATIENT)
        self.step()
        self.server.refusal = None
        self.reconnect()
        self.end_input()
        self.clock.advance(1.01)
        self.answer_close()
        self.assert_ends_normally(self.successResultOf(client))

    def test_stopped(self) -> None:
        """A client that is stopped after a loss ends normally: SIGTERM means exit status 0."""
        client = self.console()
        self.lose()
        client.stop()
        self.step()
        self.assertEqual(self.successResultOf(client.terminated()), Shutdown(""))

    def test_restarted_after_its_end(self) -> None:
        """A console that is restarted after it has ended abnormally ends again, abnormally."""
        handler = Console()
        policy = Backoff(initial=1.0, jitter=0.0, factor=1.0)
        first = self.open(handler, reconnect=policy)
        self.end_input()
        self.lose(close(4001))
        again = self.successResultOf(self.start(handler, async_=True, reconnect=policy))
        self.step()
        self.peer.answer()
        self.step()
        self.drop()
        self.assertEqual(self.successResultOf(first.terminated()), RemoteClose(4001, ""))
        self.assertIsInstance(self.successResultOf(again.terminated()), MessagesMayBeMissing)


class TerminalTests(ConsoleCase):
    """What a user at a terminal sees."""

    def test_keys(self) -> None:
        """At a terminal the first connection tells what to type; the next one does not."""
        self.patch(sys, "__stdin__", Terminal())
        self.console()
        self.assertRegex(
            self.errors.getvalue(), r"\Atwistd wsx: type a line [^\n]*Ctrl-D[^\n]*\n\Z"
        )
        self.drop()
        self.reconnect()
        self.assertEqual(self.errors.getvalue().count("Ctrl-D"), 1)

    def test_no_terminal(self) -> None:
        """In a pipe it tells nothing."""
        self.patch(sys, "__stdin__", StringIO())
        self.console()
        self.assertEqual(self.errors.getvalue(), "")

    def test_one_unsent_line(self) -> None:
        """One line that was not sent is not "1 lines"."""
        client = self.console()
        self.drop()
        self.read(b"one\n")
        client.stop()
        self.step()
        self.assertEqual(self.errors.getvalue(), "twistd wsx: 1 line was not sent\n")


class ProcessTests(TwistdCase):
    """The console in a real process, between real pipes."""

    def type(self, process: Twistd, data: bytes, end: bool = True) -> None:
        """Writes into its standard input, and ends that."""
        transport: Any = process.transport
        transport.write(data)
        if end:
            transport.closeStdin()

    async def assert_echoes(self, process: Twistd, output: str) -> None:
        """It ends with status 0, and wrote this; its log is on standard error."""
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.output, output)
        self.assertIn("Main loop terminated", process.errors)

    async def test_pipes(self) -> None:
        """[Y5] Lines are echoed, with or without a last newline; an empty input is; status 0.

        Trace lines go where the log goes: standard output has the messages only.
        """
        server = self.serve()
        echoes = {b"one\ntwo\n": "one\ntwo\n", b"one\nzw\xc3\xb6lf": "one\nzw\xf6lf\n", b"": ""}
        processes = {
            data: self.twistd("--url", server.url(), "--debug", "trace") for data in echoes
        }
        for data, process in processes.items():
            self.type(process, data)
        for data, process in processes.items():
            await self.assert_echoes(process, echoes[data])
            self.assertEqual(await server.closes.get(), 1000)
            self.assertRegex(process.errors, r"\*DBG\* <wsx.Client Console .*> sending close frame")

    async def test_files(self) -> None:
        """Input may be a file, also an empty one, and output too."""
        server = self.serve()
        (self.directory / "lines").write_bytes(b"one\ntwo\n" * 200)
        processes = []
        for path in (self.directory / "lines", os.devnull):
            with open(path, "rb") as file:
                processes.append(self.twistd("--url", server.url(), stdin=file.fileno()))
        with (
            open(self.directory / "lines", "rb") as source,
            open(self.directory / "out", "wb") as out,
        ):
            to_file = self.twistd("--url", server.url(), stdin=source.fileno(), stdout=out.fileno())
        await self.assert_echoes(processes[0], "one\ntwo\n" * 200)
        await self.assert_echoes(processes[1], "")
        await self.assert_echoes(to_file, "")
        self.assertEqual((self.directory / "out").read_bytes(), b"one\ntwo\n" * 200)

    async def test_closed_output(self) -> None:
        """A reader that goes away, as ``head`` does, ends it with status 0."""
        server = self.serve()
        process = self.twistd("--url", server.url())
        self.type(process, b"one\n", end=False)
        await process.says("one\n")
        transport: Any = process.transport
        transport.closeChildFD(1)
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(await server.closes.get(), 1000)

    async def test_sigterm(self) -> None:
        """[V4] SIGTERM ends the console with close code 1001 and status 0."""
        server = self.serve()
        process = self.twistd("--url", server.url())
        self.type(process, b"one\n", end=False)
        await process.says("one\n")
        process.transport.signalProcess("TERM")
        await self.assert_echoes(process, "one\n")
        self.assertEqual(await server.closes.get(), 1001)

    async def test_restarted(self) -> None:
        """A console whose client ended and was restarted goes on: lines are sent, and it ends."""
        server = self.serve()
        process = self.twistd(
            "--url", server.url(), "--no-reconnect", "--restart", "transient", "--debug", "trace"
        )
        self.type(process, b"drop\n", end=False)
        await process.says("successfully connected", times=2)
        self.type(process, b"two\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertEqual(process.output, "two\n")
        self.assertIn("a connection was lost before the end of the input", process.errors)

    test_restarted.timeout = 20  # type: ignore[attr-defined]

    async def test_exit_status(self) -> None:
        """The exit status tells a normal close by the server from any other end."""
        expected = {b"close 1000 bye\n": 0, b"close 4001 bye\n": 1, b"drop\n": 1}
        # One server each, because "drop" drops all connections of a server.
        processes = {data: self.twistd("--url", self.serve().url()) for data in expected}
        for data, process in processes.items():
            self.type(process, b"one\n", end=False)
            await process.says("one\n")  # A reset discards what the client has not read.
            self.type(process, data)
        for data, process in processes.items():
            self.assertEqual(await process.ended(), expected[data], process.errors)
            self.assertEqual(process.output, "one\n")
            self.assertIn(f"twistd stops with exit status {expected[data]}\n", process.errors)

    async def test_exit_status_after_a_reconnect(self) -> None:
        """A connection that was dropped before the end of the input is exit status 1 too."""
        server = self.serve()
        process = self.twistd("--url", server.url(), "--debug", "trace")
        self.type(process, b"drop\n", end=False)
        await process.says("successfully reconnected")
        self.type(process, b"two\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertEqual(process.output, "two\n")

    async def test_no_reconnect(self) -> None:
        """With --no-reconnect the exit statuses are the same."""
        server = self.serve()
        for data, status in ((b"close 1000 bye\n", 0), (b"close 4001 bye\n", 1), (b"drop\n", 1)):
            process = self.twistd("--url", server.url(), "--no-reconnect")
            self.type(process, data)
            self.assertEqual(await process.ended(), status, process.errors)
