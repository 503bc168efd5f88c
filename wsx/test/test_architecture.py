"""Tests of the architecture: imports, re-exports, docstrings and the layout of the tests."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.test.support.extras import require

PACKAGE = Path(wsx.__file__).resolve().parent
ROOT = PACKAGE.parent

# The layers of docs/contributing/architecture.md, from the bottom up. An entry is a module or a
# folder. A module may import from its own layer and from the layers below it, without cycles.
LAYERS: dict[str, frozenset[str]] = {
    "values": frozenset(
        {
            "_arguments",
            "_callback_names",
            "_deferreds",
            "_distribution",
            "_error_texts",
            "_failures",
            "_members",
            "_options",
            "_redaction",
            "_redactor",
            "_text",
            "_url",
            "_version",
            "backoff",
            "child",
            "conn",
            "errors",
            "frames",
            "handler",
            "limiter",
            "option_types",
            "provider",
            "reasons",
            "registry",
            "requests",
            "results",
        }
    ),
    "wire": frozenset({"_wire", "_compiled"}),
    "mechanisms": frozenset({"telemetry", "_scheduler", "_wall_clock"}),
    "transport": frozenset({"_transport"}),
    "client internals": frozenset(
        {
            "_client",
        }
    ),
    "client": frozenset({"client", "connecting", "frame_queue", "system"}),
    "supervision": frozenset({"_supervision", "supervisor", "service"}),
    "cluster": frozenset({"_cluster", "cluster", "remote"}),
    "edges": frozenset(
        {
            "__main__",
            "_console",
            "_doctor",
            "_twistd",
            "prometheus",
            "tap",
            "testing",
        }
    ),
}

# Imports for annotations that point upwards. A handler's ``client`` has a type that users read.
FOR_TYPES_ONLY: dict[str, frozenset[str]] = {
    "handler": frozenset({"client"}),
    "registry": frozenset({"client", "cluster"}),
}

# Modules and folders that import nothing but the standard library and wsx.
PURE = frozenset(
    {
        "_arguments",
        "_callback_names",
        "_error_texts",
        "_members",
        "_redaction",
        "_text",
        "_version",
        "_wire",
        "_client.class_change",
        "_client.mailbox",
        "_client.states",
        "_supervision.intensity",
        "backoff",
        "errors",
        "frames",
        "reasons",
    }
)

AUTOBAHN = frozenset({"autobahn", "txaio"})
USES_AUTOBAHN = frozenset({"_transport"})
EMBEDS_A_SERVER = frozenset({"tap", "_twistd", "testing"})

LONGEST = 500
LONGEST_TEST = 1000

# Packages without which some modules cannot be imported.
EXTRAS = ("nats", "msgpack", "prometheus_client", "prompt_toolkit")

TESTS = PACKAGE / "test"
# The version number is one assignment.
NOT_TESTED = frozenset({"_version"})


@cache
def sources() -> dict[str, Path]:
    """Return the library's modules by dotted name, without ``__init__`` and the tests."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] != "test" and parts[-1] != "__init__":
            found[".".join(parts)] = path
    return found


def belongs(module: str, entries: frozenset[str]) -> bool:
    """Return whether a module, or the folder that holds it, is among the entries of a table."""
    return module in entries or module.partition(".")[0] in entries


@cache
def parse(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def resolve(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the dotted names that an import statement can refer to.

    ``from a import b`` imports the module ``a`` and possibly a module ``a.b``; both are returned.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        base = f"wsx.{base}".rstrip(".")
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def for_types(node: ast.AST) -> bool:
    """Return whether a node is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(
    node: ast.AST, *, typing: bool = False, deep: bool = True
) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports below a node.

    Args:
        node: Where to look.
        typing: Whether to yield the imports for type checkers instead of the others.
        deep: Whether to include imports in functions, which do not run with the module.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            if not typing:
                yield child
        elif for_types(child):
            assert isinstance(child, ast.If)
            if typing:
                yield from imports(ast.Module(child.body, []))
            yield from imports(ast.Module(child.orelse, []), typing=typing, deep=deep)
        elif deep or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imports(child, typing=typing, deep=deep)


def names(tree: ast.AST, **which: bool) -> set[str]:
    """Return the dotted names of the imports of a module."""
    return {name for node in imports(tree, **which) for name in resolve(node)}


def modules_of_wsx(dotted: set[str]) -> set[str]:
    """Return the modules of wsx among dotted names; "" stands for ``wsx`` itself."""
    found = set()
    for name in dotted:
        if name.startswith("wsx."):
            inside = name.removeprefix("wsx.")
            modules = {m for m in sources() if inside == m or inside.startswith(f"{m}.")}
            folder = any(m.startswith(f"{inside}.") for m in sources())
            found |= modules or (set() if folder else {""})
    return found


def foreign(dotted: set[str]) -> set[str]:
    """Return the top-level packages among dotted names, without wsx and the standard library."""
    return {name.partition(".")[0] for name in dotted} - {"wsx"} - set(sys.stdlib_module_names)


def layer_of(module: str) -> int:
    """Return the number of the layer that holds a module, counted from the bottom up.

    Raises:
        LookupError: The module is in no layer, or in several.
    """
    layers = [n for n, entries in enumerate(LAYERS.values()) if belongs(module, entries)]
    if len(layers) != 1:
        raise LookupError(f"wsx.{module} is in {len(layers)} layers of the table")
    return layers[0]


def imported(module: str, *, typing: bool = False) -> set[str]:
    """Return the modules of wsx that a module imports."""
    return modules_of_wsx(names(parse(sources()[module]), typing=typing))


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of an import cycle, or an empty list."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if cycle := visit(target, [*path, module]):
                return cycle
        done.add(module)
        return []

    return next((cycle for module in sorted(graph) if (cycle := visit(module, []))), [])


def expected_test_path(module: str) -> Path:
    """Return the path of a module's test module: ``_wire.buffer`` is ``wire/test_buffer.py``."""
    *folders, name = [part.removeprefix("_") for part in module.split(".")]
    return Path(*folders, f"test_{name}.py")


def is_tested(module: str, tests: set[Path]) -> bool:
    """Return whether a module has a test module or several, such as ``test_client_send.py``."""
    whole = expected_test_path(module)
    return any(
        path == whole or (path.parent == whole.parent and path.name.startswith(f"{whole.stem}_"))
        for path in tests
    )


def files_of_tests() -> dict[Path, Path]:
    """Return the files of the tests, support modules included, by path below ``wsx/test``."""
    return {path.relative_to(TESTS): path for path in sorted(TESTS.rglob("*.py"))}


def modules_of_tests(dotted: set[str]) -> set[str]:
    """Return the test modules among dotted names."""
    return {name for name in dotted if re.match(r"wsx\.test\.(\w+\.)*test_\w+$", name)}


def calls_set_up(tree: ast.Module) -> bool:
    """Return whether a module calls ``self.setUp()``."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func) == "self.setUp" for call in calls)


def imports_reactor(dotted: set[str]) -> bool:
    """Return whether one of these names is the global reactor."""
    return any(
        name == "twisted.internet.reactor" or name.startswith("twisted.internet.reactor.")
        for name in dotted
    )


def is_public(name: str) -> bool:
    """Return whether a name is public."""
    return not name.startswith("_")


def undocumented(module: str, tree: ast.Module) -> list[str]:
    """Return the public functions, classes and methods without a docstring."""
    missing: list[str] = []

    def visit(body: list[ast.stmt], owner: str) -> None:
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if not is_public(node.name) or is_setter(node) or is_overload(node):
                    continue
                place = f"{owner}.{node.name}" if owner else node.name
                if not ast.get_docstring(node) and not inherited_docstring(module, place):
                    missing.append(f"{module}.{place}")
                if isinstance(node, ast.ClassDef):
                    visit(node.body, place)

    visit(tree.body, "")
    return missing


def is_setter(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is a setter or deleter, which the getter documents."""
    return any(
        isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "deleter")
        for decorator in node.decorator_list
    )


def is_overload(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is an overload, which its implementation documents."""
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


def inherited_docstring(module: str, place: str) -> str | None:
    """Return the docstring that a method inherits, or None."""
    cls_name, dot, method = place.rpartition(".")
    if not dot:
        return None
    cls: Any = importlib.import_module(f"wsx.{module}")
    for part in cls_name.split("."):
        cls = getattr(cls, part)
    above = [vars(base)[method] for base in cls.__mro__[1:] if method in vars(base)]
    declared = [spec[method].getDoc() for spec in interfaces(cls) if method in spec]
    return next((doc for doc in [*map(inspect.getdoc, above), *declared] if doc), None)


def interfaces(cls: type) -> list[Any]:
    """Return the zope interfaces that a class implements."""
    implemented = getattr(cls, "__implemented__", None)
    return [] if implemented is None else list(implemented.flattened())


def run_python(script: str) -> Any:
    """Run a script in a new interpreter and return the JSON that it printed."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


FRESH = """
import json, random, sys
random.seed(1)
before = random.getstate()
for name in {modules!r}:
    __import__(name)
print(json.dumps({{
    "reactor": "twisted.internet.reactor" in sys.modules,
    "random": random.getstate() == before,
    "test": sorted(name for name in sys.modules if f"{{name}}.".startswith("wsx.test.")),
    "kit": sorted(name for name in sys.modules if f"{{name}}.".startswith("wsx.testing.")),
}}))
"""


class ImportTests(SynchronousTestCase):
    """Imports go down only."""

    def test_layers(self) -> None:
        """Every module is in exactly one layer of the table, and every entry exists."""
        for module in sources():
            layer_of(module)

    def test_imports_go_down(self) -> None:
        """No module imports from a layer above its own."""
        for module in sources():
            above = {name for name in imported(module) - {""} if layer_of(name) > layer_of(module)}
            self.assertEqual(above, set(), f"wsx.{module} may not import these")

    def test_imports_for_types(self) -> None:
        """Imports for annotations go down as well; the exceptions are in a table."""
        for module in sources():
            found = imported(module, typing=True) - FOR_TYPES_ONLY.get(module, frozenset())
            above = {name for name in found if layer_of(name) > layer_of(module)}
            self.assertEqual(above, set(), f"wsx.{module} may not import these")

    def test_no_cycles(self) -> None:
        """No chain of imports is a cycle."""
        self.assertEqual(find_cycle({module: imported(module) for module in sources()}), [])

    def test_no_module_imports_the_package(self) -> None:
        """No library module imports from ``wsx`` itself, except for the edges."""
        for module in sources():
            if not belongs(module, LAYERS["edges"]):
                found = imported(module) | imported(module, typing=True)
                self.assertNotIn("", found, f"wsx.{module} imports from wsx itself")

    def test_no_module_imports_the_test_kit(self) -> None:
        """No library module imports ``wsx.testing`` or ``wsx.test``."""
        for module, path in sources().items():
            found = names(parse(path)) | names(parse(path), typing=True)
            if not belongs(module, frozenset({"testing"})):
                kit = {name for name in found if f"{name}.".startswith("wsx.testing.")}
                self.assertEqual(kit, set(), f"wsx.{module} imports the test kit")
            tests = {name for name in found if f"{name}.".startswith("wsx.test.")}
            self.assertEqual(tests, set(), f"wsx.{module} imports the tests")

    def test_pure_modules(self) -> None:
        """Pure modules import only the standard library and wsx."""
        for module, path in sources().items():
            if belongs(module, PURE):
                found = foreign(names(parse(path)))
                self.assertEqual(found, set(), f"wsx.{module} imports these")

    def test_autobahn(self) -> None:
        """Only ``_transport`` imports Autobahn, and the edges for an embedded server."""
        for module, path in sources().items():
            if not belongs(module, USES_AUTOBAHN | EMBEDS_A_SERVER):
                found = foreign(names(parse(path)) | names(parse(path), typing=True))
                self.assertEqual(found & AUTOBAHN, set(), f"wsx.{module} imports these")

    def test_autobahn_of_the_edges(self) -> None:
        """The edges import only servers from Autobahn, no clients."""
        for module in sources():
            if not belongs(module, EMBEDS_A_SERVER):
                continue
            clients = {name for name in names(parse(sources()[module])) if "Client" in name}
            found = {name for name in clients if name.partition(".")[0] in AUTOBAHN}
            self.assertEqual(found, set(), f"wsx.{module} imports these")

    def test_no_reactor(self) -> None:
        """Importing a module does not install the global reactor."""
        plugins = (ROOT / "twisted" / "plugins").glob("wsx*.py")
        for path in [*PACKAGE.rglob("*.py"), *plugins]:
            found = names(parse(path), deep=False)
            self.assertFalse(imports_reactor(found), f"{path} imports the reactor")


class CheckTests(SynchronousTestCase):
    """The checks above detect what they check for."""

    def test_finds_each_kind_of_import(self) -> None:
        """Every form of an import of the client is recognised."""
        for source in (
            "import wsx.client",
            "from wsx import client",
            "from wsx.client import start",
            "from . import client",
            "from .client import start",
            "def f():\n    from wsx.client import start",
            "try:\n    import wsx.client\nexcept ImportError:\n    pass",
        ):
            self.assertEqual(modules_of_wsx(names(ast.parse(source))), {"client"}, source)

    def test_finds_modules_in_folders(self) -> None:
        """Every form of an import of a module in a folder is recognised."""
        for source in (
            "from wsx._twistd import demo",
            "import wsx._twistd.demo",
            "from wsx._twistd.demo import DemoServer",
        ):
            found = modules_of_wsx(names(ast.parse(source)))
            self.assertEqual(found, {"_twistd.demo"}, source)

    def test_finds_cycles(self) -> None:
        """A cycle of imports is found; a diamond is not a cycle."""
        self.assertEqual(find_cycle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}), [])
        self.assertEqual(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}), ["b", "c"])

    def test_separates_imports_for_types(self) -> None:
        """Imports for type checkers are kept apart from the others."""
        tree = ast.parse("if TYPE_CHECKING:\n    import wsx.client\nelse:\n    import wsx.conn")
        self.assertEqual(modules_of_wsx(names(tree)), {"conn"})
        self.assertEqual(modules_of_wsx(names(tree, typing=True)), {"client"})

    def test_finds_imports_of_the_package(self) -> None:
        """An import from the package ``wsx`` itself is recognised."""
        self.assertEqual(modules_of_wsx(names(ast.parse("from wsx import Text"))), {""})

    def test_finds_the_reactor(self) -> None:
        """Every import of the reactor at module level is recognised.

        One in a function is allowed.
        """
        for source in (
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "class A:\n    from twisted.internet import reactor",
            "if True:\n    from twisted.internet import reactor",
        ):
            found = names(ast.parse(source), deep=False)
            self.assertTrue(imports_reactor(found), source)
        inside = ast.parse("def f():\n    from twisted.internet import reactor")
        self.assertFalse(imports_reactor(names(inside, deep=False)))

    def test_finds_modules_without_tests(self) -> None:
        """A test module counts for the module that it is named after, in the same folder."""
        tests = {Path("test_client_send.py"), Path("wire/test_buffer.py"), Path("test_system.py")}
        for module in ("client", "_wire.buffer", "system"):
            self.assertTrue(is_tested(module, tests), module)
        for module in ("buffer", "_wire.client", "sys", "_client.system"):
            self.assertFalse(is_tested(module, tests), module)

    def test_finds_imports_of_tests(self) -> None:
        """Every form of an import of a test module is recognised.

        The support package is not one.
        """
        for source in (
            "from wsx.test.test_conn import DEFAULTS",
            "import wsx.test.wire.test_buffer",
            "from wsx.test import test_conn",
        ):
            self.assertTrue(modules_of_tests(names(ast.parse(source))), source)
        for source in ("from wsx.test.support import case", "from wsx.test import parity"):
            self.assertFalse(modules_of_tests(names(ast.parse(source))), source)

    def test_finds_calls_of_set_up(self) -> None:
        """A call of ``self.setUp()`` is found; ``super().setUp()`` is allowed."""
        self.assertTrue(calls_set_up(ast.parse("for x in y:\n    self.setUp()")))
        self.assertFalse(calls_set_up(ast.parse("super().setUp()")))

    def test_finds_missing_docstrings(self) -> None:
        """A public function without a docstring is found; private functions are ignored."""
        tree = ast.parse("def f(): pass\ndef _g(): pass\nasync def h():\n    'Says it.'")
        self.assertEqual(undocumented("errors", tree), ["errors.f"])


class FreshTests(SynchronousTestCase):
    """The effects of imports in a new interpreter."""

    def check(self, modules: list[str]) -> Any:
        """Assert that importing these modules has no side effects; return what was seen."""
        seen = run_python(FRESH.format(modules=modules))
        self.assertFalse(seen["reactor"], "the reactor is installed by the import")
        self.assertTrue(seen["random"], "the shared random generator is changed by the import")
        self.assertEqual(seen["test"], [], "the tests are imported")
        return seen

    def test_import_wsx(self) -> None:
        """``import wsx`` installs no reactor, changes no random generator, imports no test kit."""
        self.assertEqual(self.check(["wsx"])["kit"], [])

    def test_import_each_module(self) -> None:
        """No other module installs a reactor or changes the shared random generator."""
        require(*EXTRAS)
        self.check([f"wsx.{module}" for module in sources()])


class PackageTests(SynchronousTestCase):
    """``wsx/__init__.py`` contains only re-exports and ``__all__``."""

    def package(self) -> ast.Module:
        """Return the syntax tree of ``wsx/__init__.py``."""
        return parse(PACKAGE / "__init__.py")

    def test_nothing_else(self) -> None:
        """The module has a docstring, imports and ``__all__``, and nothing else."""
        self.assertTrue(ast.get_docstring(self.package()))
        for node in self.package().body[1:]:
            is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            self.assertTrue(
                is_all or isinstance(node, (ast.Import, ast.ImportFrom)), ast.unparse(node)
            )

    def test_imports_no_private_module(self) -> None:
        """The module imports from public modules, apart from the version and the form."""
        private = {name for name in modules_of_wsx(names(self.package())) if name.startswith("_")}
        self.assertEqual(private - {"_compiled", "_version"}, set())

    def test_names_exist(self) -> None:
        """Every name of ``__all__`` exists."""
        for name in wsx.__all__:
            self.assertTrue(hasattr(wsx, name), name)

    def test_names_are_sorted(self) -> None:
        """``__all__`` is sorted and has no duplicates."""
        self.assertEqual(list(wsx.__all__), sorted(set(wsx.__all__)))

    def test_names_are_public(self) -> None:
        """No private name is re-exported except ``__version__``."""
        private = [name for name in wsx.__all__ if not is_public(name)]
        self.assertEqual(private, ["__version__"])

    def test_names_are_no_private_modules(self) -> None:
        """A module that is re-exported is public."""
        for name in wsx.__all__:
            value = getattr(wsx, name)
            if inspect.ismodule(value):
                self.assertTrue(is_public(value.__name__.rpartition(".")[2]), name)

    def test_everything_imported_is_named(self) -> None:
        """Everything that the package imports is in ``__all__``."""
        imported = {
            alias.asname or alias.name
            for node in imports(self.package())
            for alias in node.names
            if getattr(node, "module", "") != "__future__"
        }
        self.assertEqual(imported - set(wsx.__all__), set())

    def test_names_have_docstrings(self) -> None:
        """Every class, function and module of ``__all__`` has a docstring of its own."""
        for name in wsx.__all__:
            value = getattr(wsx, name)
            if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
                doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
                assert doc, name
                # The @dataclass decorator writes such a docstring if there is none.
                self.assertFalse(doc.startswith(f"{name}("), name)

    def test_names_of_modules_exist(self) -> None:
        """The ``__all__`` of each module lists existing, public names."""
        require(*EXTRAS)
        for module in sources():
            loaded = importlib.import_module(f"wsx.{module}")
            exported = getattr(loaded, "__all__", [])
            for name in exported:
                self.assertTrue(hasattr(loaded, name), f"{module}.{name}")
                self.assertTrue(is_public(name) or module == "_version", f"{module}.{name}")

    def test_names_that_others_import(self) -> None:
        """A name that another module imports is in its module's ``__all__``."""
        require(*EXTRAS)
        for path in sources().values():
            for node in imports(parse(path)):
                if not isinstance(node, ast.ImportFrom) or not node.module:
                    continue
                module = node.module.removeprefix("wsx.")
                if module in sources() and module != "_version":
                    exported = importlib.import_module(f"wsx.{module}").__all__
                    for alias in node.names:
                        self.assertIn(alias.name, exported, f"{path} imports it from {module}")


class DocstringTests(SynchronousTestCase):
    """Modules and public names have docstrings."""

    def test_modules(self) -> None:
        """Every module has a docstring."""
        missing = [name for name, path in sources().items() if not ast.get_docstring(parse(path))]
        self.assertEqual(missing, [])

    def test_public_names(self) -> None:
        """Every public function, class and method has a docstring, its own or its base's."""
        missing = [
            place
            for module, path in sources().items()
            for place in undocumented(module, parse(path))
        ]
        self.assertEqual(missing, [])

    def test_long_modules(self) -> None:
        """The docstring of a module of more than 500 lines says why it is so long."""
        for module, path in sources().items():
            if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST:
                doc = ast.get_docstring(parse(path)) or ""
                self.assertTrue(
                    re.search(r"\b(long|length|lines|split)\b", doc),
                    f"wsx.{module} is past {LONGEST} lines and does not say why",
                )


class TestFileTests(SynchronousTestCase):
    """The tests mirror the library, and each test has its own fixtures."""

    def test_each_module_has_tests(self) -> None:
        """Each module of the library has a test module at the corresponding path."""
        tests = set(files_of_tests())
        without = [
            f"wsx.{module}: no wsx/test/{expected_test_path(module)}"
            for module in sorted(sources().keys() - NOT_TESTED)
            if not is_tested(module, tests)
        ]
        self.assertEqual(without, [])

    def test_length(self) -> None:
        """No test file has more than 1,000 lines."""
        lengths = {
            str(path): len(file.read_text(encoding="utf-8").splitlines())
            for path, file in files_of_tests().items()
        }
        self.assertEqual({p: n for p, n in lengths.items() if n > LONGEST_TEST}, {})

    def test_no_imports_of_test_modules(self) -> None:
        """No test module is imported; shared code is in ``wsx.test.support``."""
        found = {str(p): modules_of_tests(names(parse(f))) for p, f in files_of_tests().items()}
        self.assertEqual({path: modules for path, modules in found.items() if modules}, {})

    def test_set_up_runs_once(self) -> None:
        """No test calls ``setUp``; ``support.each`` makes one test per case instead."""
        found = [str(path) for path, file in files_of_tests().items() if calls_set_up(parse(file))]
        self.assertEqual(found, [])
