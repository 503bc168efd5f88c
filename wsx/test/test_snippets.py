"""Tests that the code blocks of the README and of the tutorial run as printed."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.support.snippets import Snippet, SnippetCase, pattern_of, snippets_of
from wsx.test.support.twistd import REPOSITORY

ROOT = Path(REPOSITORY)
START = ROOT / "docs" / "start"

# For the whole module: the installed package includes the tests, but not the documentation.
skip = None if START.is_dir() else "docs is not here; run the tests in a checkout"


class ReadmeTests(SnippetCase):
    """The README."""

    async def test_readme(self) -> None:
        """Run every block as a reader does, in a folder with the files that ./run needs."""
        for name in ("run", "pyproject.toml", "setup.py"):
            shutil.copy(ROOT / name, self.directory)
        await self.run_page((ROOT / "README.md").read_text())
        await self.end()


class TutorialTests(SnippetCase):
    """The tutorial."""

    async def test_tutorial(self) -> None:
        """Run all parts in one folder, which is empty at first."""
        for part in sorted(START.glob("tutorial-*.md")):
            await self.run_page(part.read_text())
        await self.end()


class ParserTests(SynchronousTestCase):
    """What a block is."""

    def test_kinds(self) -> None:
        """A block is a file, commands, output or unknown."""
        page = (
            "Put this in `a/b.py`, as above:\n\n```python\nx\n```\n\n```sh\nls\n```\n\n"
            "It prints:\n\n```text\nout\n```\n\nSee `c.py`.\n\n```python\ny\n```\n"
        )
        expected = [
            Snippet("file", "x\n", "a/b.py"),
            Snippet("sh", "ls\n"),
            Snippet("text", "out\n"),
            Snippet("?", "y\n"),
        ]
        self.assertEqual(list(snippets_of(page)), expected)

    def test_pattern(self) -> None:
        """Numbers and dots match others; lines must be there, in this order."""
        pattern = pattern_of("... port 80: 1.5 s\nend\n")
        self.assertTrue(pattern.search("a\nlog port 8080: 0.25 s\nb\nend of it"))
        for output in ("log port 80: x s\nend", "end\nlog port 80: 1 s", "port 80: 1.5 s\n end"):
            self.assertIsNone(pattern.search(output), output)
