"""Tests of wsx._twistd.uvloop: the reactor that twistd and trial offer as "uvloop"."""

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
from wsx.test.support.extras import require

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
    """Installing the reactor."""

    def test_listed(self) -> None:
        """``--help-reactors`` lists the reactor."""
        kinds: list[Any] = list(getReactorTypes())
        (found,) = [kind for kind in kinds if kind.shortName == "uvloop"]
        self.assertEqual(found.moduleName, "wsx._twistd.uvloop")
        self.assertIn("pip install uvloop", found.description)

    def test_install(self) -> None:
        """``install`` installs Twisted's asyncio reactor on a uvloop event loop."""
        require("uvloop")
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout, done.stderr), ("AsyncioSelectorReactor uvloop\n", ""))

    def test_uvloop_missing(self) -> None:
        """Without uvloop, ``install`` raises an ImportError, which twistd reports in one line."""
        with mock.patch.dict(sys.modules, {"uvloop": None}):
            error = self.assertRaises(ImportError, uvloop.install)
        self.assertIn("pip install uvloop", str(error))
