"""Tests of wsx.__main__: python -m wsx."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from wsx.__main__ import main
from wsx.test.support.twistd import REPOSITORY


class MainTests(SynchronousTestCase):
    """The first argument."""

    def setUp(self) -> None:
        self.errors = StringIO()
        self.patch(sys, "stderr", self.errors)

    def test_doctor(self) -> None:
        """``doctor`` gets the arguments after it."""
        self.assertEqual(main(["doctor"]), 2)
        self.assertIn("python -m wsx doctor: arguments", self.errors.getvalue())

    def test_nothing(self) -> None:
        """Without arguments, one line shows the usage."""
        self.assertEqual(main([]), 2)
        self.assertIn("usage: python -m wsx", self.errors.getvalue())


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
