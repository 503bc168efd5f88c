"""Tests of wsx._twistd.uvloop: the reactor that twistd and trial know as "uvloop"."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.application.reactors import getReactorTypes
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._twistd import uvloop

FOLDER = Path(wsx.__file__).parents[1]
SCRIPT = """
import sys
from wsx._twistd.uvloop import install
assert "twisted.internet.reactor" not in sys.modules
install()
from twisted.internet import reactor
print(type(reactor).__name__, type(reactor._asyncioEventloop).__module__)
"""


class InstallTests(SynchronousTestCase):
    """Choosing the reactor."""

    def test_known(self) -> None:
        """It is among the reactors that ``--help-reactors`` lists."""
        kinds: list[Any] = list(getReactorTypes())
        (found,) = [kind for kind in kinds if kind.shortName == "uvloop"]
        self.assertEqual(found.moduleName, "wsx._twistd.uvloop")
        self.assertIn("pip install uvloop", found.description)

    def test_install(self) -> None:
        """It is Twisted's asyncio reactor, on a loop of uvloop's."""
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout, done.stderr), ("AsyncioSelectorReactor uvloop\n", ""))

    def test_not_there(self) -> None:
        """Without uvloop it is an ImportError, which twistd tells in a line."""
        with mock.patch.dict(sys.modules, {"uvloop": None}):
            error = self.assertRaises(ImportError, uvloop.install)
        self.assertIn("pip install uvloop", str(error))
