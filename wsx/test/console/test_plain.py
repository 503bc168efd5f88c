"""Tests of wsx._console.plain: standard input and output."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, Text
from wsx._console import plain
from wsx._console.plain import Lines, Plain, is_terminal, show_at_terminal
from wsx._console.records import IN, OUT, frame_record
from wsx.test.support.console import FakeStdio, Terminal


class FakeConsole:
    """A console that records what a front end reports."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ends: list[str] = []

    def line(self, line: str) -> None:
        self.lines.append(line)

    def end_of_input(self) -> None:
        self.ends.append("input")

    def bad_input(self, problem: str) -> None:
        self.ends.append(problem)

    def end_of_output(self, error: Exception | None = None) -> None:
        self.ends.append("output")

    def waiting(self) -> str:
        return ""


class PlainCase(SynchronousTestCase):
    """Base class: in-memory standard streams that are no terminals."""

    def setUp(self) -> None:
        self.stdios: list[FakeStdio] = []
        self.patch(plain, "StandardIO", self._open_stdio)
        self.patch(plain, "has_reader", lambda descriptor: True)
        self.errors = StringIO()
        self.patch(sys, "__stderr__", self.errors)
        self.patch(sys, "__stdout__", StringIO())
        self.patch(sys, "__stdin__", StringIO())
        self.patch(os, "environ", {"TERM": "xterm"})
        self.console = FakeConsole()

    def _open_stdio(self, lines: Lines, reactor: Any) -> FakeStdio:
        self.stdios.append(FakeStdio(lines, reactor))
        return self.stdios[-1]

    def connected(self, **options: Any) -> Plain:
        """Return a front end that reads."""
        frontend = Plain(**options)
        frontend.begin(self.console, Clock())
        frontend.connected(self.console, Clock())
        return frontend


class StreamTests(SynchronousTestCase):
    """The kind of the standard streams."""

    def test_terminal(self) -> None:
        """A stream that is closed is no terminal."""
        self.assertFalse(is_terminal(None))
        self.assertFalse(is_terminal(StringIO()))
        self.assertTrue(is_terminal(Terminal()))


class ShowTests(PlainCase):
    """What is written."""

    def test_pipe(self) -> None:
        """Only received messages are written to a pipe, unchanged."""
        frontend = self.connected()
        frontend.show(frame_record(0.0, IN, Text("a\x1bb")))
        frontend.show(frame_record(0.0, OUT, Text("mine")))
        self.assertEqual(self.stdios[0].printed(), b"a\x1bb\n")

    def test_json(self) -> None:
        """As JSON, both directions are written; no terminal changes that."""
        self.patch(sys, "__stdout__", Terminal())
        frontend = self.connected(as_json=True)
        frontend.show(frame_record(0.0, IN, Text("a")))
        frontend.show(frame_record(0.0, OUT, Binary(b"b")))
        lines = self.stdios[0].printed().decode().splitlines()
        self.assertEqual([line[0] for line in lines], ["{", "{"])

    def test_terminal(self) -> None:
        """A terminal shows received messages with the time, escaped and in colour."""
        self.patch(sys, "__stdout__", Terminal())
        self.connected().show(frame_record(0.0, IN, Text("a\x1bb")))
        text = self.stdios[0].printed().decode()
        self.assertIn("\x1b[32m< \x1b[0ma\x1b[7m\\x1b\x1b[0mb\n", text)

    def test_what_the_user_typed(self) -> None:
        """What was sent is on the terminal already."""
        self.assertEqual(show_at_terminal(frame_record(0.0, OUT, Text("mine"))), "")

    def test_no_colours(self) -> None:
        """NO_COLOR and a dumb terminal have no colours."""
        for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            self.patch(os, "environ", {name: value})
            self.assertNotIn("\x1b", show_at_terminal(frame_record(0.0, IN, Text("a"))))

    def test_before_a_connection(self) -> None:
        """A record before the first connection is not lost in an error."""
        self.assertIsNone(Plain().show(frame_record(0.0, IN, Text("a"))))

    def test_full(self) -> None:
        """While standard output is full, ``show`` asks to wait."""
        frontend = self.connected()
        producer = self.stdios[0].producer
        assert producer is not None
        record = frame_record(0.0, IN, Text("a"))
        self.assertIsNone(frontend.show(record))
        producer.pauseProducing()
        producer.pauseProducing()
        waiting = [frontend.show(record), frontend.show(record)]
        for waiter in waiting:
            assert waiter is not None
            self.assertNoResult(waiter)
        producer.resumeProducing()
        for waiter in waiting:
            assert waiter is not None
            self.assertIsNone(self.successResultOf(waiter))
        self.assertIsNone(frontend.show(record))

    def test_closed_while_full(self) -> None:
        """Nothing waits for a standard output that is closed."""
        frontend = self.connected()
        producer: Any = self.stdios[0].producer
        producer.pauseProducing()
        waiter = frontend.show(frame_record(0.0, IN, Text("a")))
        assert waiter is not None
        producer.stopProducing()
        self.assertIsNone(self.successResultOf(waiter))


class ReadTests(PlainCase):
    """When the input is read."""

    def test_pipe(self) -> None:
        """A pipe is read once there is a connection, and can be paused."""
        frontend = Plain()
        frontend.begin(self.console, Clock())
        self.assertEqual(self.stdios, [])
        frontend.connected(self.console, Clock())
        self.assertTrue(self.stdios[0].reading)
        frontend.pause()
        self.assertFalse(self.stdios[0].reading)

    def test_terminal(self) -> None:
        """What a user types is read from the start, and without a connection: it may be /close."""
        self.patch(sys, "__stdin__", Terminal())
        frontend = Plain()
        frontend.begin(self.console, Clock())
        frontend.pause()
        self.assertTrue(self.stdios[0].reading)
        frontend.connected(self.console, Clock())
        self.assertEqual(len(self.stdios), 1)


class NoticeTests(PlainCase):
    """Texts for the user."""

    def test_pipe(self) -> None:
        """In a pipe a notice names the program."""
        Plain(program="wsx").notice("2 lines were not sent")
        self.assertEqual(self.errors.getvalue(), "wsx: 2 lines were not sent\n")

    def test_terminal(self) -> None:
        """At a terminal it has the time."""
        self.patch(sys, "__stdin__", Terminal())
        Plain().notice("round trip 1 ms")
        self.assertRegex(self.errors.getvalue(), r"\A\d\d:[\d:.]+ - round trip 1 ms\n\Z")

    def test_extra(self) -> None:
        """At a terminal without prompt_toolkit, the first notice says how to get it."""
        self.patch(sys, "__stdin__", Terminal())
        for spec, said in ((None, True), (object(), False)):
            self.patch(plain, "find_spec", lambda _, spec=spec: spec)
            self.errors.truncate(0)
            self.connected()
            self.assertIs("pip install" in self.errors.getvalue(), said)


class EndTests(PlainCase):
    """The end of the console."""

    def test_flush(self) -> None:
        """What is left is written before the process ends."""
        frontend = self.connected()
        ended = frontend.end(True)
        self.assertTrue(self.stdios[0].disconnecting)
        self.assertNoResult(ended)
        self.stdios[0].lines.connectionLost()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(self.console.ends, [])

    def test_no_wait(self) -> None:
        """After a signal nothing is waited for."""
        frontend = self.connected()
        self.assertIsNone(self.successResultOf(frontend.end(False)))

    def test_closed_output(self) -> None:
        """Nothing is waited for if the reader of standard output has closed it."""
        frontend = self.connected()
        self.stdios[0].lines.writeConnectionLost()
        self.assertIsNone(self.successResultOf(frontend.end(True)))
        self.assertEqual(self.console.ends, ["output"])

    def test_never_connected(self) -> None:
        """Without a connection there is nothing to write."""
        self.assertIsNone(self.successResultOf(Plain().end(True)))

    def test_blocking_mode(self) -> None:
        """The mode of the terminal is restored: it belongs to the shell as well."""
        modes = {0: True, 1: False}
        self.patch(os, "isatty", lambda descriptor: True)
        self.patch(os, "get_blocking", modes.__getitem__)
        changed: dict[int, bool] = {}
        self.patch(os, "set_blocking", changed.__setitem__)
        frontend = self.connected()
        frontend.end(False)
        self.assertEqual(changed, modes)
