"""Tests of what ``docs/`` contains besides text: pictures, and names of the API."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx

DOCS = Path(wsx.__file__).resolve().parents[1] / "docs"

# For the whole module: the installed package includes the tests, but not the documentation.
skip = None if DOCS.is_dir() else "docs is not here; run the tests in a checkout"


def load(path: Path) -> Any:
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(f"wsx_docs_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PictureTests(SynchronousTestCase):
    """The pictures."""

    def test_current(self) -> None:
        """The files are what the script draws."""
        drawn = dict(load(DOCS / "pictures" / "draw.py").draw())
        self.assertEqual(set(drawn), set((DOCS / "pictures").glob("*.svg")))
        for path, content in drawn.items():
            self.assertEqual(path.read_text(), content, path.name)

    def test_used(self) -> None:
        """Each picture is on a page."""
        pages = "".join(path.read_text() for path in DOCS.rglob("*.md"))
        for path in (DOCS / "pictures").glob("*.svg"):
            self.assertTrue(f"pictures/{path.name})" in pages, path.name)


class ApiTests(SynchronousTestCase):
    """The page with the API."""

    def test_all_names(self) -> None:
        """Each public name is on the page, and none that is not public."""
        page = (DOCS / "reference" / "api.md").read_text()
        shown = re.findall(
            r"^\.\. (?:auto\w+|data|exception):: (?:wsx\.)?(\w+)$", page, re.MULTILINE
        )
        modules = {"telemetry", "prometheus"}
        self.assertEqual(sorted(set(shown) - modules), sorted(set(wsx.__all__) - modules))
