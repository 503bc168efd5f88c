"""Tests of ``wsx._distribution``: a distribution named wsx beside txwsx."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._distribution import conflict

# The records of the unrelated project on the index, and of wsx before it was called txwsx.
UNRELATED = "wui/__init__.py,sha256=x,25\nwsx-1.0.2.dist-info/RECORD,,\n"
OLD = "twisted/plugins/wsx_plugin.py,sha256=x,9\nwsx/__init__.py,sha256=x,25\n"


class ConflictTests(SynchronousTestCase):
    """Distributions whose names and files are like those of wsx."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.install("txwsx-0.1.0", OLD)

    def install(self, name: str, record: str) -> None:
        """Create the metadata of a distribution."""
        info = self.folder / f"{name}.dist-info"
        info.mkdir(parents=True)
        (info / "RECORD").write_text(record)

    def test_alone(self) -> None:
        """txwsx alone is no conflict."""
        self.assertIsNone(conflict(self.folder))

    def test_unrelated(self) -> None:
        """A distribution that is only called wsx is no conflict, and neither are other names."""
        self.install("wsx-1.0.2", UNRELATED)
        self.install("wsx_tools-1.0", OLD)
        self.assertIsNone(conflict(self.folder))

    def test_no_record(self) -> None:
        """A distribution without a record, as some systems install it, is no conflict."""
        (self.folder / "wsx-1.0.dist-info").mkdir()
        self.assertIsNone(conflict(self.folder))

    def test_same_files(self) -> None:
        """A distribution with the same package is named, and the text says what to do."""
        self.install("wsx-0.1.0", OLD)
        found = str(conflict(self.folder))
        self.assertTrue(found.startswith('the distribution "wsx" 0.1.0 contains the package wsx'))
        self.assertIn('"pip uninstall wsx txwsx" and then "pip install txwsx"', found)

    def test_warning(self) -> None:
        """Importing wsx warns of such a distribution."""
        self.install("wsx-0.1.0", OLD)
        source = Path(wsx.__file__).parent
        (self.folder / "wsx").mkdir()
        (self.folder / "wsx" / "__init__.py").touch()
        for name in ("_distribution.py", "_version.py"):
            shutil.copy(source / name, self.folder / "wsx")
        done = subprocess.run(
            [sys.executable, "-c", "import wsx._version"],
            env=os.environ | {"PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn('RuntimeWarning: the distribution "wsx" 0.1.0 contains', done.stderr)
