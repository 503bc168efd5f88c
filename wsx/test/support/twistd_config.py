"""Configuration files for ``twistd wsx``, and what is read from them."""

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
# A value of each type that TOML has; numbers are negative, as no option may be that.
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
# What Python says of its own functions and types; it means nothing to who wrote the file.
PYTHON_INTERNAL = re.compile(
    r"object is not|has no attribute|unexpected keyword|positional argument|__\w+__|not supported|"
    r"expected str, bytes|file descriptor|invalid literal|optionsForClientTLS|Traceback|"
    r"(Overflow|Type|Attribute|Key|Index|Recursion)Error"
)


class Feed(wsx.Handler[Any]):
    """A handler for tables."""


class Steady(wsx.Handler[Any], restart="permanent", shutdown=12.0, id="other"):
    """A handler whose class says how it is supervised."""


class Demanding(wsx.Handler[Any]):
    """A handler that wants an argument."""

    def __init__(self, argument: object) -> None:
        self.argument = argument


class NoHandler:
    """Not a subclass of Handler."""


@implementer(IClientParent)
class Parent:
    """Takes what a child's start starts, and starts nothing."""

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Any]:
        self.conn: wsx.Conn = conn_or_url
        self.handler = handler
        self.state = state
        self.options = options
        return Deferred()


def started(spec: ChildSpec) -> Parent:
    """Starts a child; gives what it was started with."""
    parent = Parent()
    spec.start(parent)
    return parent


def table(name: str = "feed", /, **keys: str) -> str:
    """Writes a client's table, with what is needed unless told otherwise; "" leaves a key out."""
    lines = [f"{key} = {value}" for key, value in (NEEDED | keys).items() if value]
    return "\n".join([f"[clients.{name}]", *lines, ""])


def policy(backoff: wsx.Backoff) -> tuple[Any, ...]:
    """What makes two policies the same."""
    names = ("initial", "maximum", "factor", "jitter", "max_attempts")
    return tuple(getattr(backoff, name) for name in names)


@contextlib.contextmanager
def guarded_standard_streams() -> Iterator[None]:
    """Has the descriptors 0 to 2 survive a reader that takes false, true or 1 for a file."""
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
    """Tests with a file, in a directory of their own."""

    def read(self, text: str, name: str = "clients.toml") -> Tree:
        """Reads a file as ``twistd wsx --config`` does."""
        tree: Tree = parse("--config", self.write(name, text))["tree"]
        return tree

    def spec(self, **keys: str) -> ChildSpec:
        """Gives the child specification that a table with these keys leads to."""
        return self.read(table(**keys)).clients["feed"].spec

    def conn(self, **keys: str) -> wsx.Conn:
        """Gives the connection that a table with these keys leads to."""
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
        """Nothing is wrong; what is, is shown in short."""
        self.assertFalse(wrong, "\n" + "\n".join(line.partition("\n")[0][:150] for line in wrong))

    def assert_clear(self, lines: Iterable[str]) -> None:
        """No line speaks of Python's own functions and types."""
        internal = [line for line in lines if PYTHON_INTERNAL.search(line)]
        self.assert_none(internal)

    def refuse_each(self, keys: Iterable[tuple[str, Callable[[str], str]]], off: str = "") -> None:
        """No type of value is right for these keys, but for those in ``off``.

        Args:
            keys: dotted paths, each with what writes the file with a value there.
            off: names of the types that are right.
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
