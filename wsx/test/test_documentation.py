"""Tests of what ``docs/`` contains besides text: pictures, and names of the API."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._options import START_OPTIONS
from wsx.conn import CONN_OPTIONS
from wsx.test.support.twistd_config import ConfigCase

DOCS = Path(wsx.__file__).resolve().parents[1] / "docs"

# For the whole module: the installed package includes the tests, but not the documentation.
skip = None if DOCS.is_dir() else "docs is not here; run the tests in a checkout"

FLAGS = re.MULTILINE | re.DOTALL


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


class SnippetTests(SynchronousTestCase):
    """The snippets of all pages; ``test_snippets`` and ``test_how_to`` run those of some pages."""

    def test_syntax(self) -> None:
        """Each snippet of Python is valid Python, and TOML is valid TOML."""
        for path in DOCS.rglob("*.md"):
            for language, text in re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(), FLAGS):
                if language == "python":
                    compile(text, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                elif language == "toml":
                    tomllib.loads(text)

    def test_public_names(self) -> None:
        """What a snippet imports from wsx exists."""
        found: set[tuple[str, str]] = set()
        for path in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
            for module, names in re.findall(
                r"^from (wsx[\w.]*) import ([^\n]+)$", path.read_text(), FLAGS
            ):
                found |= {(module, name.strip()) for name in names.strip("()").split(",")}
        for module, name in found:
            self.assertTrue(hasattr(import_module(module), name), f"{module}.{name}")
        self.assertGreater(len(found), 10)


class ApiTests(SynchronousTestCase):
    """The page with the API."""

    def test_all_names(self) -> None:
        """Each public name is on the page; ``.ci/api.py`` finds private ones on the built page."""
        page = (DOCS / "reference" / "api.md").read_text()
        shown = re.findall(
            r"^\.\. (?:auto\w+|data|exception):: (?:wsx\.)?(\w+)$", page, re.MULTILINE
        )
        self.assertEqual(set(wsx.__all__) - {*shown, "telemetry"}, set())


class ErrorTests(SynchronousTestCase):
    """The page with the errors."""

    def test_all_errors(self) -> None:
        """Each exception is on the page, with its cause and what to do."""
        page = (DOCS / "reference" / "errors.md").read_text()
        rows = re.findall(r"^\| `(\w+)`[^|]* \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
        errors: list[type] = [wsx.ConnError, *wsx.WsxError.__subclasses__()]
        names = {error.__name__ for error in errors} & set(wsx.__all__)
        self.assertEqual(names - set(rows), set())


class OptionTests(SynchronousTestCase):
    """The pages with options."""

    def test_all_options(self) -> None:
        """Each option is on the page once."""
        page = (DOCS / "reference" / "options.md").read_text()
        tables = page.partition("## Options of the connection")[2]
        shown = re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE)
        keys = {"certificate", "private_key", "server_name", "minimum_version", "alpn"}
        self.assertEqual(sorted(shown), sorted(CONN_OPTIONS | START_OPTIONS | keys))


class ConfigurationFileTests(ConfigCase):
    """The page about the configuration file."""

    FLAGS = frozenset({"async_", "handle_initial_conn_failure", "insecure", "reconnect"})

    def is_accepted(self, name: str) -> bool:
        """Return whether an option may be false."""
        try:
            self.spec(**{name: "false"})
        except SystemExit:
            return False
        return True

    def test_turned_off(self) -> None:
        """It names every option that false turns off."""
        page = (DOCS / "reference" / "configuration-file.md").read_text()
        sentence = page.partition("Use `false` to turn off ")[2].partition(". ")[0]
        accepted = set(filter(self.is_accepted, CONN_OPTIONS | START_OPTIONS))
        self.assertEqual(set(re.findall(r"`(\w+)`", sentence)), accepted - self.FLAGS)

    def test_callable_of_a_file(self) -> None:
        """The headers callable reads the token."""
        page = (DOCS / "reference" / "configuration-file.md").read_text()
        (code,) = re.findall(r"^```python\n(.*?)^```", page, FLAGS)
        token = self.mktemp()
        Path(token).write_text("Bearer s3cret\n")
        names: dict[str, Any] = {}
        exec(code.replace("/run/secrets/token", token), names)
        headers = names["authorize"](wsx.Attempt(1))
        self.assertEqual(headers, {"Authorization": "Bearer s3cret"})
