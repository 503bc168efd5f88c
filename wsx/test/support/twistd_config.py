"""Configuration files for ``twistd wsx``, and what they contain when they are read."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

import wsx
from wsx._twistd.config import Tree
from wsx.child import ChildSpec, IClientParent
from wsx.test.support import URL
from wsx.test.support.twistd import OptionsCase, parse

HANDLERS = "wsx.test.support.twistd_config"
SECRET = "s3cr3t"
NEEDED = {"url": f'"{URL}"', "handler": f'"{HANDLERS}.Feed"'}
# A value of each type that TOML has. Numbers are negative, because no option accepts those.
EACH_TYPE = {
    "string": '"nonsense"',
    "empty string": '""',
    "integer": "-7",
    "float": "-1.5",
    "nan": "nan",
    "huge": "1" + "0" * 400,
    "true": "true",
    "false": "false",
    "datetime": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05",
    "array": "[[1], 2]",
    "table": "{ a = 1 }",
}
A_DATETIME = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
# Python's messages about its own functions and types, which mean nothing to the author of a file.
PYTHON_INTERNAL = re.compile(
    r"object is not|has no attribute|unexpected keyword|positional argument|__\w+__|not supported|"
    r"expected str, bytes|file descriptor|invalid literal|optionsForClientTLS|Traceback|"
    r"(Overflow|Type|Attribute|Key|Index|Recursion)Error"
)


class Feed(wsx.Handler[Any]):
    """A handler for tables."""


class Steady(wsx.Handler[Any], restart="permanent", shutdown=12.0, id="other"):
    """A handler class with class keywords for its supervision."""


class Demanding(wsx.Handler[Any]):
    """A handler whose constructor requires an argument."""

    def __init__(self, argument: object) -> None:
        self.argument = argument


class NoHandler:
    """A class that is not a subclass of Handler."""


@implementer(IClientParent)
class Parent:
    """A parent that records the arguments of a start and starts nothing."""

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Any]:
        self.conn: wsx.Conn = conn_or_url
        self.handler = handler
        self.state = state
        self.options = options
        return Deferred()


def started(spec: ChildSpec) -> Parent:
    """Start a child and return the parent, which has the arguments."""
    parent = Parent()
    spec.start(parent)
    return parent


def table(name: str = "feed", /, **keys: str) -> str:
    """Return a client's table with the required keys; "" leaves a key out."""
    lines = [f"{key} = {value}" for key, value in (NEEDED | keys).items() if value]
    return "\n".join([f"[clients.{name}]", *lines, ""])


def policy(backoff: wsx.Backoff) -> tuple[Any, ...]:
    """Return a value by which two policies can be compared."""
    names = ("initial", "maximum", "factor", "jitter", "max_attempts")
    return tuple(getattr(backoff, name) for name in names)


@contextlib.contextmanager
def guarded_standard_streams() -> Iterator[None]:
    """Keep the descriptors 0 to 2 open while a reader may close them.

    A reader that takes false, true or 1 for a file would use that descriptor and close it.
    """
    kept = [os.dup(number) for number in range(3)]
    nothing = os.open(os.devnull, os.O_RDWR)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, stand_in in ((0, nothing), (1, sink), (2, sink)):
            os.dup2(stand_in, number)
        yield
    finally:
        for number, original in enumerate(kept):
            os.dup2(original, number)
        for number in (*kept, nothing, sink):
            os.close(number)


class ConfigCase(OptionsCase):
    """Base class for tests that read a file, each in its own directory."""

    def read(self, text: str, name: str = "clients.toml") -> Tree:
        """Read a file as ``twistd wsx --config`` does."""
        tree: Tree = parse("--config", self.write(name, text))["tree"]
        return tree

    def spec(self, **keys: str) -> ChildSpec:
        """Return the child specification of a table with these keys."""
        return self.read(table(**keys)).clients["feed"].spec

    def conn(self, **keys: str) -> wsx.Conn:
        """Return the Conn of a table with these keys."""
        return started(self.spec(**keys)).conn

    def complaint(self, text: str) -> str:
        """Return what is wrong with a file: one line, without the name of the file."""
        line = self.refusal("--config", self.write("clients.toml", text))
        whole = 'twistd wsx: --config: expected a TOML file, got "clients.toml": '
        prefix = whole if line.startswith(whole) else "twistd wsx: clients.toml: "
        self.assertTrue(line.startswith(prefix), line)
        return line.removeprefix(prefix)

    def about(self, text: str, key: str) -> str:
        """Assert that the message about a file names a dotted key, or an item in it.

        Returns:
            The message after the key.
        """
        line = self.complaint(text)
        match = re.match(rf"{re.escape(key)}(\.[\w.-]+)?: ", line)
        assert match is not None, f"{line!r} is not about {key}"
        return line[match.end() :]

    def assert_none(self, wrong: list[str]) -> None:
        """Assert that the list of problems is empty; show them shortened."""
        self.assertFalse(wrong, "\n" + "\n".join(line.partition("\n")[0][:150] for line in wrong))

    def assert_clear(self, lines: Iterable[str]) -> None:
        """Assert that no line mentions Python's own functions and types."""
        internal = [line for line in lines if PYTHON_INTERNAL.search(line)]
        self.assert_none(internal)

    def refuse_each(self, keys: Iterable[tuple[str, Callable[[str], str]]], off: str = "") -> None:
        """Assert that these keys refuse each type of value that is not in ``off``.

        Args:
            keys: Dotted paths, each with a function that returns the file with a value there.
            off: The names of the accepted types, separated by ", ".
        """
        wrong, lines = [], []
        for key, write in keys:
            for kind, value in EACH_TYPE.items():
                if kind in off.split(", "):
                    continue
                try:
                    lines.append(f"{kind}: {key}: {self.about(write(value), key)}")
                except self.failureException as error:
                    wrong.append(f"{key}, {kind}: {error}")
        self.assert_none(wrong)
        self.assert_clear(lines)
