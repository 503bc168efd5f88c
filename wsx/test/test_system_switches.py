"""Tests of trace, log, statistics and log file, switched at run time."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import wsx
from wsx import Reply
from wsx.test.support import MemoryServer, Recorder, case, text
from wsx.test.support.system import SystemCase


class SwitchTests(SystemCase):
    """[Y5] Trace, log, statistics and log file, switched at run time."""

    LOG_BAD: tuple[Any, ...] = (None, -1, 2.5, float("nan"), "Get", "", b"get", "5", [], ("log", 5))
    STATISTICS_BAD: tuple[Any, ...] = (None, 0, 1, 5, "Get", "print", "", b"get", [])
    FILE_BAD: tuple[Any, ...] = (None, True, 0, 1, 2.5, b"path", [], ("a", "b"))

    def test_log_depth(self) -> None:
        """[Y5] True keeps ten events, a number keeps that many.

        A smaller number keeps the last ones.
        """
        client = self.opened()
        client.sys.log(True)
        for n in range(20):
            client.cast(n)
        self.assertEqual((client.sys.log("get") or [])[0], (0.0, "received cast: 10"))
        self.assertEqual(len(client.sys.log("get") or ()), 10)
        client.sys.log(3)
        self.assertEqual([e[-2:] for _, e in client.sys.log("get") or ()], ["17", "18", "19"])
        client.sys.log(15)
        for n in range(20):
            client.cast(n)
        self.assertEqual(len(client.sys.log("get") or ()), 15)

    def test_log_times(self) -> None:
        """[Y5] The times in the log are those of the client's reactor."""
        client = self.opened()
        self.clock.advance(12.5)
        client.sys.log(True)
        client.cast(1)
        self.assertEqual(client.sys.log("get"), [(12.5, "received cast: 1")])

    def test_log_off(self) -> None:
        """[Y5] False ends the log and discards its events."""
        client = self.open(Recorder(), debug=["log"])
        self.assertTrue(client.sys.log("get"))
        client.sys.log(False)
        client.cast(1)
        self.assertFalse(client.sys.log("get"))

    def test_log_print(self) -> None:
        """[Y5] ``"print"`` prints the events as trace lines, oldest first, and keeps them."""
        client = self.opened()
        client.sys.log(True)
        client.cast(1)
        client.cast(2)
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertIsNone(client.sys.log("print"))
        lines = output.getvalue().splitlines()
        self.assertEqual(len(lines), 2)
        for line, event in zip(lines, ("received cast: 1", "received cast: 2"), strict=True):
            self.assertTrue(line.startswith(f"*DBG* {client!r} "), line)
            self.assertTrue(line.endswith(event), line)
        self.assertEqual(len(client.sys.log("get") or ()), 2)

    def test_log_print_of_nothing(self) -> None:
        """[Y5] Printing a log that is off prints nothing."""
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.opened().sys.log("print")
        self.assertEqual(output.getvalue(), "")

    def test_log_bad(self) -> None:
        """[Y5] A bad argument raises ValueError and does not change the log."""
        client = self.opened()
        client.sys.log(5)
        client.cast(1)
        for bad in self.LOG_BAD:
            with case(bad):
                self.assertRaises(ValueError, client.sys.log, bad)
        self.assertEqual(len(client.sys.log("get") or ()), 1)

    def test_log_huge(self) -> None:
        """[Y5] A huge depth either works or raises ValueError."""
        client = self.opened()
        try:
            client.sys.log(10**30)
        except ValueError:
            return
        client.cast(1)
        self.assertEqual(len(client.sys.log("get") or ()), 1)

    def test_statistics(self) -> None:
        """[Y5] The kinds of events are counted from True to False."""
        client = self.opened(handle_frame=Reply(wsx.Text("x"), None))
        client.sys.statistics(True)
        self.peer.send(text("1") + text("2"))
        client.cast(1)
        self.successResultOf(client.send_frame(wsx.Text("x")))
        expected = {"received frame": 2, "replying from": 2, "received cast": 1, "sending frame": 1}
        counts = client.sys.statistics("get") or {}
        for kind, count in expected.items():
            with case(kind):
                found = [value for key, value in counts.items() if key.startswith(kind)]
                self.assertEqual(sum(found), count)
        client.sys.statistics(False)
        self.assertIsNone(client.sys.statistics("get"))

    def test_statistics_bad(self) -> None:
        """[Y5] A bad argument raises ValueError and does not stop the count."""
        client = self.opened()
        client.sys.statistics(True)
        client.cast(1)
        for bad in self.STATISTICS_BAD:
            with case(bad):
                self.assertRaises(ValueError, client.sys.statistics, bad)
        self.assertEqual(client.sys.statistics("get"), {"received cast": 1})

    def test_file(self) -> None:
        """[Y5] The log file can be set, replaced and closed."""
        client = self.opened()
        one, two = Path(self.mktemp()), Path(self.mktemp())
        client.sys.log_to_file(str(one))
        client.cast(1)
        client.sys.log_to_file(two)
        client.cast(2)
        client.sys.log_to_file(False)
        client.cast(3)
        for path, message in ((one, 1), (two, 2)):
            lines = path.read_text().splitlines()
            self.assertEqual(len(lines), 1)
            self.assertTrue(lines[0].endswith(f"received cast: {message}"), lines)

    def test_file_is_appended_to(self) -> None:
        """[Y5] Lines are appended to an existing file."""
        path = Path(self.mktemp())
        path.write_text("before\n")
        client = self.opened()
        client.sys.log_to_file(path)
        client.cast(1)
        self.assertEqual(path.read_text().splitlines()[0], "before")
        self.assertEqual(len(path.read_text().splitlines()), 2)

    def test_file_bad(self) -> None:
        """[Y5] A value that is not a path raises ValueError; the current file stays in use."""
        client = self.opened()
        path = Path(self.mktemp())
        client.sys.log_to_file(path)
        for bad in (*self.FILE_BAD, "a\0b"):
            with case(bad):
                self.assertRaises(ValueError, client.sys.log_to_file, bad)
        client.cast(1)
        self.assertEqual(len(path.read_text().splitlines()), 1)

    def test_several(self) -> None:
        """[Y5] Switching one of them off does not affect the others."""
        output = StringIO()
        self.patch(sys, "stdout", output)
        client = self.opened()
        for switch in (client.sys.trace, client.sys.log, client.sys.statistics):
            switch(True)
        client.sys.trace(False)
        client.cast(1)
        client.sys.log(False)
        client.cast(2)
        self.assertEqual(client.sys.statistics("get"), {"received cast": 2})
        self.assertEqual(output.getvalue(), "")

    def test_trace_of_a_frame(self) -> None:
        """[Y5] The trace line of a named client has its name and the frame."""
        output = StringIO()
        self.patch(sys, "stdout", output)
        client = self.open(Recorder(), name="feed")
        client.sys.trace(True)
        self.peer.send(text("Hello"))
        self.assertEqual(output.getvalue(), "*DBG* 'feed' received frame: Text('Hello')\n")
        self.end(client)

    def test_own_server(self) -> None:
        """[Y5] Each client has switches of its own."""
        one = self.open(Recorder())
        self.server = MemoryServer(self.clock)
        two = self.open(Recorder())
        one.sys.log(True)
        two.cast(1)
        self.assertEqual(one.sys.log("get"), [])
        self.assertIsNone(two.sys.statistics("get"))
