"""Tests of wsx._console.streams: the standard streams."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from wsx._console.streams import columns_of, has_reader, print_error

# Standard input and output are closed; a descriptor that is opened later must not replace them.
_SCRIPT = """
import os, socket
from wsx._console.streams import open_missing_streams
open_missing_streams()
with socket.socket() as opened:
    number = opened.fileno()
assert number > 2, number
assert os.read(0, 1) == b""
try:
    os.write(1, b"a")
except OSError:
    raise SystemExit(7)
"""


class MissingStreamsTests(SynchronousTestCase):
    """Streams that are closed when the process starts."""

    def test_closed(self) -> None:
        """Closed input is empty, and closed output cannot be written."""
        command = 'exec "$0" -c "$1" <&- >&-'
        done = subprocess.run(
            ["/bin/sh", "-c", command, sys.executable, _SCRIPT],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (7, b""))


class ReaderTests(SynchronousTestCase):
    """Output that has a reader."""

    def test_readers(self) -> None:
        """A pipe, a socket and a terminal have one."""
        one, other = socket.socketpair()
        for descriptors in (os.pipe(), pty.openpty(), (one.detach(), other.detach())):
            self.assertTrue(has_reader(descriptors[1]))
            for descriptor in descriptors:
                os.close(descriptor)

    def test_files(self) -> None:
        """A file and a device have none."""
        for path in (self.mktemp(), os.devnull):
            with open(path, "wb") as file:
                self.assertFalse(has_reader(file.fileno()))


class ColumnTests(SynchronousTestCase):
    """The width of a terminal."""

    def test_terminal(self) -> None:
        """A terminal has a width; None stands for a terminal that does not know its width."""
        descriptors = pty.openpty()
        for columns, expected in ((0, None), (77, 77)):
            fcntl.ioctl(descriptors[1], termios.TIOCSWINSZ, struct.pack("HHHH", 9, columns, 0, 0))
            self.assertEqual(columns_of(descriptors[1]), expected)
        for descriptor in descriptors:
            os.close(descriptor)

    def test_file(self) -> None:
        """A file has none."""
        with open(os.devnull) as file:
            self.assertIsNone(columns_of(file.fileno()))


class ErrorTests(SynchronousTestCase):
    """Text on standard error."""

    def test_open(self) -> None:
        """The text is written."""
        errors = StringIO()
        self.patch(sys, "__stderr__", errors)
        print_error("a\n")
        self.assertEqual(errors.getvalue(), "a\n")

    def test_closed(self) -> None:
        """Without standard error the text is dropped; standard output does not get it."""
        self.patch(sys, "__stderr__", None)
        output = StringIO()
        self.patch(sys, "stdout", output)
        print_error("a\n")
        self.assertEqual(output.getvalue(), "")
