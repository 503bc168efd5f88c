"""Tests of wsx._console.console: the handler of the console, in memory."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.protocols.basic import LineReceiver

from wsx import Backoff, Client, ConnectionDropped, RemoteClose, Shutdown
from wsx._console.console import Console
from wsx._console.limits import (
    InvalidInput,
    Limits,
    MessagesMayBeMissing,
    OutputFailed,
    TimedOut,
)
from wsx._console.plain import Lines
from wsx.reasons import is_normal
from wsx.test.support import close, server_frame, text
from wsx.test.support.console import POLICY, PlainCase, Terminal, TypedCase
from wsx.test.support.each import each

PATIENT: dict[str, Any] = {"handle_initial_conn_failure": True}


class OutputTests(PlainCase):
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

    def test_failed_output(self) -> None:
        """A standard output that cannot be written ends the console, and not normally."""
        client = self.console()
        self.stdio.lines._output_error = OutputFailed()
        self.stdio.lines.writeConnectionLost()
        self.step()
        self.assert_closes()
        self.answer_close()
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, OutputFailed)
        self.assertFalse(is_normal(reason))
        self.assertIn("standard output cannot be written", str(reason))

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


class InputTests(PlainCase):
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

    def assert_refuses(self, client: Any, problem: str) -> None:
        """Assert that the console has ended because of its input."""
        self.assertFalse(self.stdio.reading)
        self.clock.advance(1)
        self.step()
        self.assert_closes()
        self.answer_close()
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, InvalidInput)
        self.assertEqual(reason.problem, problem)
        self.assertEqual(str(reason), f"{problem}; this line and the lines after it were not sent")

    def test_no_utf8(self) -> None:
        """A line that is not UTF-8 cannot be sent as it is: the lines before it are sent."""
        client = self.console()
        self.read(b"one\ncaf\xe9\nnext\n\xe9\n")
        self.assertEqual(self.sent(), ["one"])
        self.assert_refuses(client, "line 2 of the input is not UTF-8 (byte 4)")

    def test_too_long(self) -> None:
        """A line that is too long is not sent, and neither is the rest of the input."""
        self.patch(Lines, "MAX_LENGTH", 2 * 1024 * 1024)
        for data in (b"x" * 2**21 + b"y\nnext\n", b"x" * 2**21 + b"y"):
            client = self.console()
            self.read(b"one\n")
            self.read(data)
            self.read(b"next\n")
            self.assertEqual(self.sent(), ["one"])
            self.assert_refuses(client, "line 2 of the input is longer than 2 MiB")
            self.stdios.clear()

    def test_too_long_while_waiting_for_messages(self) -> None:
        """With --max-messages, such an input ends the console as well."""
        client = self.console(Console(limits=Limits(max_messages=3)))
        self.read(b"\xe9\n")
        self.assert_refuses(client, "line 1 of the input is not UTF-8 (byte 1)")

    def test_pieces_of_a_long_line(self) -> None:
        """The pieces of a long line are not copied for each further piece."""
        self.console()
        calls: list[int] = []
        received = LineReceiver.dataReceived

        def receive(lines: Any, data: bytes) -> None:
            calls.append(len(data))
            received(lines, data)

        self.patch(LineReceiver, "dataReceived", receive)
        for _ in range(100):
            self.read(b"x" * 100)
        self.read(b"\n")
        self.assertEqual(calls, [10_001])
        self.assertEqual([len(line) for line in self.sent()], [10_000])

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


class EndTests(PlainCase):
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


class ReasonTests(PlainCase):
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


class TerminalTests(PlainCase):
    """What a user at a terminal without line editing sees."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(sys, "__stdin__", Terminal())

    def test_keys(self) -> None:
        """At a terminal the first connection tells what to type; the next one does not."""
        self.console()
        self.assertRegex(
            self.errors.getvalue(), r"\A\d\d:[\d:.]+ - type a line [^\n]*Ctrl-D[^\n]*\n"
        )
        self.drop()
        self.reconnect()
        self.assertEqual(self.errors.getvalue().count("Ctrl-D"), 1)

    def test_no_terminal(self) -> None:
        """In a pipe it tells nothing."""
        self.patch(sys, "__stdin__", StringIO())
        self.console()
        self.assertEqual(self.errors.getvalue(), "")

    def test_commands(self) -> None:
        """At a terminal a line that begins with a slash is a command."""
        self.console()
        self.read(b"/status\n//text\n")
        self.assertEqual(self.sent(), ["/text"])
        self.assertIn("open: ws://example.test/feed", self.errors.getvalue())

    def test_no_utf8(self) -> None:
        """A typed line that is not UTF-8 is refused, and the session goes on."""
        self.console()
        self.read(b"caf\xe9\nnext\n")
        self.assertEqual(self.sent(), ["next"])
        self.assertIn("is not UTF-8 (byte 4); not sent", self.errors.getvalue())

    def test_no_commands(self) -> None:
        """In a pipe it is sent."""
        self.patch(sys, "__stdin__", StringIO())
        self.console()
        self.read(b"/status\n//text\n")
        self.assertEqual(self.sent(), ["/status", "//text"])

    def test_end(self) -> None:
        """The end of the input closes at once: the user wants to end."""
        client = self.console()
        self.end_input()
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_end_while_waiting(self) -> None:
        """It ends at once while there is no connection too, and counts what was not sent."""
        client = self.console()
        self.drop()
        self.read(b"one\n")
        self.end_input()
        self.assert_ends_normally(client)
        self.assertTrue(self.errors.getvalue().endswith("- 1 line was not sent\n"))


class NoticeTests(PlainCase):
    """The notices on standard error in a pipe."""

    def test_one_unsent_line(self) -> None:
        """One line that was not sent is not "1 lines"."""
        client = self.console()
        self.drop()
        self.read(b"one\n")
        client.stop()
        self.step()
        self.assertEqual(self.errors.getvalue(), "twistd wsx: 1 line was not sent\n")


class CountTests(PlainCase):
    """``--once`` and ``--max-messages``."""

    def limited(self, number: int = 2, **options: Any) -> Client[Any]:
        """Open a console that closes after a number of messages."""
        return self.console(Console(limits=Limits(max_messages=number)), **options)

    def receive(self, *texts: str) -> None:
        """Receive messages in one read."""
        self.peer.send(b"".join(map(text, texts)))
        self.step()

    def test_closes(self) -> None:
        """It closes after the last message, and prints no more than that."""
        client = self.limited()
        self.receive("one")
        self.assertEqual(self.sent(), [])
        self.receive("two", "three", "four")
        self.assertEqual(self.stdio.printed(), b"one\ntwo\n")
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)
        self.assertEqual(self.server.attempts, 1)

    def test_after_the_close(self) -> None:
        """A message that arrives after the close frame was sent is not printed."""
        client = self.limited(1)
        self.receive("one")
        self.receive("two")
        self.assertEqual(self.stdio.printed(), b"one\n")
        self.answer_close()
        self.assert_ends_normally(client)

    def test_waits(self) -> None:
        """It waits for the messages after the end of the input."""
        client = self.limited(1)
        self.read(b"request\n")
        self.end_input()
        self.clock.advance(3600)
        self.step()
        self.assertEqual(self.sent(), ["request"])
        self.receive("response")
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_too_few(self) -> None:
        """A normal close by the server before the last message is an abnormal end."""
        client = self.limited()
        self.end_input()
        self.receive("one")
        self.peer.send(close(1000))
        self.drop()
        reason = self.successResultOf(client.terminated())
        self.assertEqual(str(reason), "expected 2 messages, received 1")
        self.assertFalse(is_normal(reason))

    def test_counts_over_connections(self) -> None:
        """The messages of all connections count."""
        client = self.limited()
        self.receive("one")
        self.peer.send(close(1000))
        self.drop()
        self.reconnect()
        self.receive("two")
        self.assert_closes()
        self.answer_close()
        self.assert_ends_normally(client)

    def test_lost_before(self) -> None:
        """A connection that was dropped before the last message is an abnormal end."""
        client = self.limited()
        self.receive("one")
        self.drop()
        self.reconnect()
        self.receive("two")
        self.answer_close()
        self.assertIsInstance(self.successResultOf(client.terminated()), MessagesMayBeMissing)


class ExpectCloseTests(PlainCase):
    """``--expect-close``."""

    def expecting(self, code: int) -> Client[Any]:
        """Open a console that expects a close code."""
        return self.console(Console(limits=Limits(expect_close=code)))

    def end_with(self, frame: bytes) -> Any:
        """Let the server end the connection."""
        self.peer.send(frame)
        self.step()
        self.drop()

    @each([(4001, True), (1000, False), (4002, False)])
    def test_close(self, code: int, normal: bool) -> None:
        """The end is normal if the server closes with that code; it does not reconnect."""
        client = self.expecting(4001)
        self.end_with(close(code))
        self.assertIs(is_normal(self.successResultOf(client.terminated())), normal)
        self.assertEqual(self.server.attempts, 1)

    @each([(1006, True), (1000, False)])
    def test_dropped(self, code: int, normal: bool) -> None:
        """1006 stands for an end without a close frame."""
        client = self.expecting(code)
        self.drop()
        self.assertIs(is_normal(self.successResultOf(client.terminated())), normal)

    def test_waits(self) -> None:
        """It waits for the server after the end of the input."""
        client = self.expecting(1000)
        self.end_input()
        self.clock.advance(3600)
        self.step()
        self.assertEqual(self.sent(), [])
        self.end_with(close(1000))
        self.assertTrue(is_normal(self.successResultOf(client.terminated())))

    def test_failed_attempts(self) -> None:
        """Attempts that fail before there is a connection decide nothing."""
        self.server.refusal = ConnectionRefusedError()
        handler = Console(limits=Limits(expect_close=4001))
        started = self.start(handler, async_=True, reconnect=POLICY, **PATIENT)
        self.step()
        self.server.refusal = None
        self.reconnect()
        self.end_with(close(4001))
        client = self.successResultOf(started)
        self.assertTrue(is_normal(self.successResultOf(client.terminated())))


class TimeoutTests(PlainCase):
    """``--timeout``."""

    def timed(self) -> Console:
        """Return a console that ends after five seconds."""
        handler = Console(limits=Limits(timeout=5.0))
        handler.begin(self.clock)
        return handler

    def test_open(self) -> None:
        """It ends an open connection, with close code 1001, abnormally."""
        client = self.console(self.timed())
        self.clock.advance(4.9)
        self.assertEqual(self.sent(), [])
        self.clock.advance(0.2)
        self.assertEqual(self.peer.received(), [(8, (1001).to_bytes(2, "big"))])
        self.answer_close()
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, TimedOut)
        self.assertFalse(is_normal(reason))

    def test_without_connection(self) -> None:
        """It ends the attempts to connect."""
        self.server.refusal = ConnectionRefusedError()
        started = self.start(self.timed(), async_=True, reconnect=POLICY, **PATIENT)
        for _ in range(6):
            self.clock.advance(1)
            self.step()
        client = self.successResultOf(started)
        self.assertIsInstance(self.successResultOf(client.terminated()), TimedOut)

    def test_ended_before(self) -> None:
        """It has no effect on a console that has ended."""
        client = self.console(self.timed())
        self.end_input()
        self.clock.advance(1.01)
        self.answer_close()
        self.assert_ends_normally(client)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BackpressureTests(PlainCase):
    """A reader of standard output that is slow."""

    def test_slow_reader(self) -> None:
        """While standard output is full, messages stay with the server."""
        self.console()
        assert self.stdio.producer is not None
        self.stdio.producer.pauseProducing()
        self.peer.send(text("one") + text("two"))
        self.step()
        self.assertEqual(self.stdio.printed(), b"one\n")
        self.assertTrue(self.peer.transport.reading_paused)
        self.stdio.producer.resumeProducing()
        self.step()
        self.assertEqual(self.stdio.printed(), b"two\n")
        self.assertFalse(self.peer.transport.reading_paused)

    def test_stopped(self) -> None:
        """A console that waits for the reader can be stopped."""
        client = self.console()
        assert self.stdio.producer is not None
        self.stdio.producer.pauseProducing()
        self.peer.send(text("one"))
        self.step()
        client.stop()
        self.answer_close()
        self.assertEqual(client.status, "terminated")
        self.stdio.producer.resumeProducing()


class RecordTests(TypedCase):
    """The calls of the front end."""

    def test_frames(self) -> None:
        """Every frame in both directions is a record, in order."""
        self.console()
        self.type("mine")
        self.peer.send(text("theirs") + server_frame(2, b"\x00") + server_frame(9, b"x"))
        self.step()
        self.assertEqual(
            self.frontend.kinds(),
            [("out", "text"), ("in", "text"), ("in", "binary"), ("in", "ping"), ("out", "pong")],
        )

    def test_connections(self) -> None:
        """So are connections, failed attempts, losses and close frames."""
        self.console()
        self.drop()
        self.assertEqual(self.frontend.kinds(), [(None, "lost")])
        self.server.refusal = ConnectionRefusedError()
        self.clock.advance(1)
        self.step()
        self.assertEqual(self.frontend.kinds(), [(None, "failed")])
        self.server.refusal = None
        self.reconnect()
        self.assertEqual(self.frontend.kinds(), [(None, "open")])
        self.peer.send(close(4001, "bye"))
        self.drop()
        record = self.frontend.records[0]
        self.assertEqual((record.direction, record.kind), ("in", "close"))
        self.assertEqual((record.code, record.payload), (4001, "bye"))

    def test_time(self) -> None:
        """A record has the time of the reactor."""
        self.console()
        self.clock.advance(12.5)
        self.type("mine")
        self.assertEqual(self.frontend.records[0].time, 12.5)

    def test_secrets(self) -> None:
        """A record repeats no secret of the request."""
        self.server.refusal = ValueError("no host opensesame")
        self.start(
            self.handler,
            async_=True,
            reconnect=POLICY,
            extra_headers=[("Authorization", "opensesame")],
            **PATIENT,
        )
        self.step()
        self.assertEqual([record.kind for record in self.frontend.records], ["failed"])
        self.assertNotIn("opensesame", str(self.frontend.records))

    def test_full(self) -> None:
        """While the front end is full, messages stay with the server."""
        self.console()
        self.frontend.full = True
        self.peer.send(text("one") + text("two"))
        self.step()
        self.assertEqual(self.frontend.kinds(), [("in", "text")])
        self.frontend.full = False
        self.frontend.waiters[0].callback(None)
        self.step()
        self.assertEqual(self.frontend.kinds(), [("in", "text")])


class WaitingTests(TypedCase):
    """What the line above the prompt says."""

    def test_states(self) -> None:
        """It says what the console waits for, and the seconds that are left."""
        self.server.silent = True
        started = self.start(self.handler, async_=True, reconnect=POLICY, **PATIENT)
        url = "ws://example.test/feed"
        self.assertEqual(self.handler.waiting(), f"connecting to {url}")
        self.server.silent = False
        self.clock.advance(7)  # The attempt times out.
        self.step()
        waiting = f"reconnecting in 1.0 s (/reconnect: now) to {url}"
        self.assertEqual(self.handler.waiting(), waiting)
        self.clock.advance(0.75)
        self.assertAlmostEqual(self.handler.retry_seconds or 0.0, 0.25)
        self.reconnect()
        self.assertEqual(self.handler.waiting(), "")
        self.successResultOf(started).close()
        self.assertEqual(self.handler.waiting(), f"closing {url}")
        self.answer_close()
