"""Tests of docs/how-to/testing.md and its examples, in trial and in plain pytest."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.test.support import collect_garbage

ROOT = Path(wsx.__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "testing.md"
EXAMPLES = ROOT / "docs" / "examples"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

# For the whole module: the installed package includes the tests, but not the pages.
skip = None if PAGE.is_file() else "docs is not here; run the tests in a checkout"
NO_PYTEST = None if importlib.util.find_spec("pytest") else "pytest is not installed"

NO_REACTOR = """
import sys
from wsx import Handler, Text
from wsx.testing import run

class Silent(Handler[None]):
    def handle_frame(self, frame, state):
        pass

def test_no_reactor():
    with run(Silent) as feed:
        feed.wait_open().send(Text("a"))
        feed.advance(60.0)
    assert "twisted.internet.reactor" not in sys.modules

def test_failure():
    with run(Silent) as feed:
        feed.client.reactor.callLater(5, print)
"""


def run_command(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m ...`` in a folder, with this wsx."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class PageTests(SynchronousTestCase):
    """The snippets of the page."""

    def tearDown(self) -> None:
        collect_garbage()

    def blocks(self) -> list[str]:
        """Return the snippets of Python."""
        return BLOCK.findall(PAGE.read_text(encoding="utf-8"))

    def test_snippets(self) -> None:
        """Every snippet runs as printed, one after another, and every test in them passes."""
        names: dict[str, Any] = {}
        tests = 0
        for block in self.blocks():
            if "Mock()" not in block:
                exec(compile(block, str(PAGE), "exec"), names)
            for name in [name for name in names if name.startswith("test_")]:
                names.pop(name)() if "FeedTests" not in block else None
                tests += 1
        self.assertGreaterEqual(tests, 6)

    def test_first_test_has_ten_lines(self) -> None:
        """The first test of the page, with its handler around it, has ten lines."""
        first = self.blocks()[0]
        body = first[first.index("def test_") :].strip().split("\n")
        self.assertLessEqual(len(body) - 1, 10)

    def test_examples(self) -> None:
        """The page shows the code of the two examples."""
        feed = (EXAMPLES / "test_feed.py").read_text(encoding="utf-8")
        first, second, *rest = self.blocks()
        for part in first.split("\n\n\n"):
            self.assertIn(part.strip(), feed)
        self.assertIn(second.split("\n\n\n")[1].strip(), feed)
        mock = (EXAMPLES / "test_feed_mock.py").read_text(encoding="utf-8")
        (shown,) = [block for block in rest if "Mock()" in block]
        self.assertIn(shown, mock)


class RunnerCase(SynchronousTestCase):
    """Base class for tests in processes of their own."""

    def folder(self) -> Path:
        """Return an empty folder."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        return folder


class TrialTests(RunnerCase):
    """The examples in trial."""

    def test_trial(self) -> None:
        """trial runs the examples."""
        paths = [str(EXAMPLES / name) for name in ("test_feed.py", "test_feed_mock.py")]
        done = run_command(self.folder(), "twisted.trial", *paths)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Ran 2 tests", done.stdout)
        self.assertIn("PASSED (successes=2)", done.stdout)

    def test_command(self) -> None:
        """The command of the page finds a test, and a handler in a file beside it."""
        [arguments] = re.findall(r"`python -m (twisted\.trial \S+)`", PAGE.read_text("utf-8"))
        folder = self.folder()
        example = (EXAMPLES / "test_feed.py").read_text("utf-8")
        handler = example[example.index("import wsx") : example.index("def test_")]
        (folder / "feed.py").write_text(handler)
        (folder / "test_feed.py").write_text(
            example.replace("class Feed(", "class Other(").replace(
                "def test_", "from feed import Feed\n\n\ndef test_", 1
            )
        )
        done = run_command(folder, *arguments.split())
        self.assertIn("PASSED (successes=1)", done.stdout, done.stderr)


class PytestCase(RunnerCase):
    """Base class for tests in plain pytest, without plug-ins."""

    def pytest(self, *paths: str) -> subprocess.CompletedProcess[str]:
        """Run pytest without plug-ins of other packages."""
        self.patch(os, "environ", os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
        options = ("-q", "-p", "no:cacheprovider", "--rootdir=.")
        return run_command(self.folder(), "pytest", *options, *paths)


class PytestExampleTests(PytestCase):
    """The examples in pytest."""

    skip = skip or NO_PYTEST

    def test_examples(self) -> None:
        """pytest runs both forms of the examples: functions and test cases."""
        paths = [str(EXAMPLES / name) for name in ("test_feed.py", "test_feed_mock.py")]
        done = self.pytest(*paths)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("4 passed", done.stdout)


class PytestTests(PytestCase):
    """The kit in pytest."""

    skip = NO_PYTEST

    def test_no_reactor(self) -> None:
        """The kit does not import the reactor; a leftover fails a test of pytest, too."""
        path = self.folder() / "test_own.py"
        path.write_text(NO_REACTOR)
        done = self.pytest(str(path.resolve()))
        self.assertIn("1 failed, 1 passed", done.stdout, done.stderr)
        self.assertIn("timers are still pending after the client has ended:", done.stdout)
        self.assertIn("in 5 s: print()", done.stdout)
