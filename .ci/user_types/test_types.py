"""Tests of what type checkers and editors say about a user's code.

``nox -s user-types`` runs them with an installed wsx. They need mypy and pyright.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import TestCase

from language_server import LanguageServer

import wsx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MARKER = "# mistake"
FEWEST_MISTAKES = 60
README_EXAMPLE = "feed.py"
SNIPPET = re.compile(r"(?ms)^```python\n(.*?)^```")

# The language server and --verifytypes use the first Python on the path.
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
}


class UserCase(TestCase):
    """Base class: a folder of a user, outside of the checkout."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.write("pyrightconfig.json", json.dumps({"typeCheckingMode": "strict"}))

    def write(self, name: str, content: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(content)
        return path

    def run_tool(self, *arguments: str) -> str:
        """Run a tool in the folder, and return its output."""
        return self.run_python("-m", *arguments)

    def run_python(self, *arguments: str) -> str:
        """Run Python in the folder, and return its output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=ENVIRONMENT | {"MYPY_CACHE_DIR": os.path.abspath("mypy_cache")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
        return done.stdout

    def mypy(self, path: Path) -> dict[int, str]:
        """Return the errors that ``mypy --strict`` reports in a file, by line."""
        output = self.run_tool("mypy", "--strict", "--config-file=", path.name)
        self.assertRegex(output, r"(?m)^(Success: no issues|Found \d+ errors?)")
        found = re.findall(rf"(?m)^{re.escape(path.name)}:(\d+): error: (.*)", output)
        self.assertEqual(output.count(": error: "), len(found), output)
        return {int(line): text for line, text in found}

    def pyright(self, path: Path) -> dict[int, str]:
        """Return the errors that pyright reports in a file, strictly, by line."""
        report = json.loads(self.run_tool("pyright", "--outputjson", path.name))
        self.assertEqual(report["summary"]["filesAnalyzed"], 1)
        found = report["generalDiagnostics"]
        return {item["range"]["start"]["line"] + 1: item["message"] for item in found}


class GoodCodeTests(UserCase):
    """Code without mistakes."""

    def check(self, path: Path) -> None:
        """Check that neither type checker reports anything, and that Python runs the code."""
        code = f"import runpy; runpy.run_path({path.name!r}); print('has run')"
        self.assertEqual(self.run_python("-c", code), "has run\n")
        self.assertEqual(self.mypy(path), {})
        self.assertEqual(self.pyright(path), {})

    def test_good(self) -> None:
        """No errors are reported in code that uses most of what is public."""
        self.check(self.write("good.py", (HERE / "good.py").read_text()))

    def test_kit(self) -> None:
        """No errors are reported in tests with the test kit."""
        self.check(self.write("good_tests.py", (HERE / "good_tests.py").read_text()))

    def test_readme(self) -> None:
        """No errors are reported in the first example of the README, as printed."""
        readme = (ROOT / "README.md").read_text()
        snippet = SNIPPET.search(readme)
        assert snippet is not None
        self.assertIn(README_EXAMPLE, readme[: snippet.start()].splitlines()[-2])
        self.assertIn("(Handler[int])", snippet[1])
        self.check(self.write(README_EXAMPLE, snippet[1]))

    def test_page(self) -> None:
        """No errors are reported in the examples of the page about types."""
        snippets = SNIPPET.findall((ROOT / "docs" / "reference" / "types.md").read_text())
        self.assertGreater(len(snippets), 2)
        self.check(self.write("page.py", "".join(snippets)))


class MistakeTests(UserCase):
    """Code with planted mistakes."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.write("mistakes.py", (HERE / "mistakes.py").read_text())
        lines = enumerate(self.path.read_text().splitlines()[1:], 2)
        self.marked = {number: line.strip() for number, line in lines if MARKER in line}

    def check(self, errors: dict[int, str]) -> None:
        """Check that the lines with errors are those with the marker."""
        self.assertGreater(len(self.marked), FEWEST_MISTAKES)
        missed = [f"{n}: {line}" for n, line in self.marked.items() if n not in errors]
        self.assertEqual(missed, [], "not reported")
        wrong = [f"{n}: {text}" for n, text in errors.items() if n not in self.marked]
        self.assertEqual(wrong, [], "reported without a marker")

    def test_mypy(self) -> None:
        """``mypy --strict`` reports exactly the marked lines."""
        self.check(self.mypy(self.path))

    def test_pyright(self) -> None:
        """pyright reports exactly the marked lines, in strict mode."""
        self.check(self.pyright(self.path))

    def test_pyright_names_the_option(self) -> None:
        """The message about a wrong value names the option."""
        errors = self.pyright(self.path)
        options = {n: re.search(r"0, (\w+)=", line) for n, line in self.marked.items()}
        wrong = {n: option[1] for n, option in options.items() if option}
        self.assertGreater(len(wrong), 10)
        for number, option in wrong.items():
            if "No overloads" not in errors[number]:
                self.assertIn(option, errors[number])

    def test_mypy_suggests_the_option(self) -> None:
        """The message about a misspelt option suggests the right one."""
        output = self.run_tool("mypy", "--strict", "--config-file=", self.path.name)
        self.assertRegex(output, r'"recconect".*did you mean "reconnect"\?')


class PublicTypeTests(UserCase):
    """The types of everything that is public."""

    def test_complete(self) -> None:
        """pyright knows the type of each public name, and of each public attribute."""
        report = json.loads(
            self.run_tool("pyright", "--verifytypes", "wsx", "--ignoreexternal", "--outputjson")
        )
        symbols = report["typeCompleteness"]["symbols"]
        classes = tuple(f"{cls.__module__}.{cls.__qualname__}." for cls in public_classes())
        exported = {f"wsx.{name}" for name in wsx.__all__}
        public = [s for s in symbols if s["name"] in exported or s["name"].startswith(classes)]
        self.assertGreater(len(public), 300)
        self.assertEqual([s["name"] for s in public if not s["isTypeKnown"]], [])


def public_classes() -> list[type]:
    """Return the classes that wsx exports."""
    values = (getattr(wsx, name) for name in wsx.__all__)
    return [value for value in values if inspect.isclass(value)]


class EditorTests(UserCase):
    """What an editor shows, through the language server of pyright."""

    CODE = """\
from wsx import ClientService, Conn, Handler, start, start_link

class Feed(Handler[int]):
    pass

def use(url: str, state: int, service: ClientService[int]) -> None:
    start(url, Feed, 0, ping_timeout=5.0)
    start(url, Feed, state, )
    start_link(service, url, Feed, state, )
    ClientService(url, Feed, state, )
    Feed.child_spec(url, state, )
    Conn(url, ).replace(close_timeout=1.0)
"""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.write("user.py", self.CODE)
        command = [str(Path(sys.executable).with_name("pyright-langserver")), "--stdio"]
        settings = {"python": {"pythonPath": sys.executable}}
        self.server = LanguageServer(command, self.folder, settings, **ENVIRONMENT)
        self.enterContext(self.server)
        self.server.open(self.path)

    def position(self, text: str, after: str = "") -> tuple[int, int]:
        """Return the line and column of a text in the first line that also contains another."""
        lines = enumerate(self.CODE.splitlines())
        number, line = next((n, line) for n, line in lines if after in line and text in line)
        return number, line.index(text)

    def completions(self, call: str) -> dict[str, Any]:
        """Return what the server offers at the end of the arguments of a call."""
        line, column = self.position(", )", call)
        answer = self.server.at("textDocument/completion", self.path, line, column + 2)
        return {item["label"]: item for item in answer["items"]}

    def test_completion(self) -> None:
        """The names of the options are offered."""
        connecting = {"proxy=", "extra_headers=", "compression="}
        starting = connecting | {"reconnect=", "name=", "mailbox_limit="}
        for call, names in (
            ("start(", starting),
            ("start_link(", starting),
            ("ClientService(", starting | {"restart=", "max_restarts="}),
            ("child_spec(", starting | {"restart=", "shutdown="}),
            ("Conn(", connecting),
        ):
            self.assertLessEqual(names, set(self.completions(call)), call)

    def test_help(self) -> None:
        """Hovering over an option shows its type and its text."""
        for option, texts in (
            ("ping_timeout", ("float | None", "after a keepalive ping", "Default 20.")),
            ("close_timeout", ("float", "the first close frame", "Default 5.")),
        ):
            line, column = self.position(option)
            hover = self.server.at("textDocument/hover", self.path, line, column + 1)
            for text in (option, *texts):
                self.assertIn(text, hover["contents"]["value"])
