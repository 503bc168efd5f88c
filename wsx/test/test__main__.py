"""Tests of wsx.__main__: python -m wsx."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx.__main__ import main
from wsx._console import main as console
from wsx.test.support.twistd import REPOSITORY, OptionsCase


class MainTests(SynchronousTestCase):
    """The first argument."""

    def test_doctor(self) -> None:
        """``doctor`` gets the arguments after it."""
        errors = StringIO()
        self.patch(sys, "stderr", errors)
        self.assertEqual(main(["doctor"]), 2)
        self.assertIn("python -m wsx doctor: URL", errors.getvalue())

    def test_console(self) -> None:
        """A URL runs the console."""
        calls: list[Any] = []
        self.patch(console, "main", calls.append)
        self.assertEqual(main(["ws://host/", "--once"]), 0)
        self.assertEqual(calls, [["ws://host/", "--once"]])


class ErrorTests(OptionsCase):
    """A wrong command line."""

    def test_nothing(self) -> None:
        """Without arguments, one line says what is missing; the exit status is 2."""
        errors = StringIO()
        self.patch(sys, "stderr", errors)
        self.assertEqual(main([]), 2)
        self.assertEqual(errors.getvalue(), "python -m wsx: URL: expected one URL, got none\n")

    def test_help(self) -> None:
        """The help text is no error."""
        for arguments in (["--help"], ["doctor", "--help"]):
            error = self.assertRaises(SystemExit, main, arguments)
            self.assertEqual(error.code, 0)


class ProcessTests(SynchronousTestCase):
    """The real process."""

    def test_status(self) -> None:
        """The exit status is that of the subcommand."""
        path = os.pathsep.join(filter(None, [REPOSITORY, os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "wsx", "doctor", "ws://127.0.0.1:1/"],
            env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("problem:     TCP: 127.0.0.1:1 refused", done.stdout)
