"""Tests of the script ``./run``, with a Python that installs nothing."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.support.twistd import REPOSITORY

ROOT = Path(REPOSITORY)
FILES = ("run", "pyproject.toml", "setup.py")

# For the whole module: the installed package includes the tests, but not the script.
skip = None if all((ROOT / name).is_file() for name in FILES) else "run is only in a checkout"

# A Python whose module venv creates an environment with a pip that leaves twistd out once the file
# "interrupted" was found: it ends in the middle then, and later regards everything as installed.
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec "{python}" "$@"
echo created
rm -rf .venv
mkdir -p .venv/bin
cp "$0" .venv/bin/python
cp pip .venv/bin/pip
"""
PIP = """#!/bin/sh
[ "$1" = install ] || exit 0
if [ -e interrupted ]; then
    touch .venv/partial
    exit 1
fi
[ -e .venv/partial ] || cp twistd .venv/bin/twistd
"""


class InstallTests(SynchronousTestCase):
    """The environment that ./run creates."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        for name in FILES:
            shutil.copy(ROOT / name, self.directory)
        self.write("python", PYTHON.format(python=sys.executable))
        self.write("pip", PIP)
        self.write("twistd", '#!/bin/sh\necho "twistd $*"\n')

    def write(self, name: str, script: str) -> None:
        """Write an executable file."""
        path = self.directory / name
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_demo(self) -> subprocess.CompletedProcess[str]:
        """Run ``./run demo``."""
        return subprocess.run(
            ["./run", "demo"],
            cwd=self.directory,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHON": "./python"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def test_installs_once(self) -> None:
        """The second run uses the environment of the first one."""
        first, second = self.run_demo().stdout.splitlines(), self.run_demo().stdout.splitlines()
        self.assertEqual((first[0], first[-1]), ("created", "twistd -n wsx --demo"))
        self.assertEqual(second, ["twistd -n wsx --demo"])

    def test_interrupted(self) -> None:
        """After an interrupted installation, the next run creates the environment anew."""
        interrupted = self.directory / "interrupted"
        interrupted.touch()
        self.assertEqual(self.run_demo().returncode, 1)
        interrupted.unlink()
        output = self.run_demo().stdout.splitlines()
        self.assertEqual((output[0], output[-1]), ("created", "twistd -n wsx --demo"))
