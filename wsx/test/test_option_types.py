"""Tests of the types of options: they have the options that exist, their defaults and help texts.

``nox -s user-types`` tests what type checkers report.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from twisted.trial.unittest import SynchronousTestCase

from wsx import Attempt, Conn, option_types
from wsx._options import START_OPTIONS, Options
from wsx._supervision.restarts import STRATEGIES
from wsx.child import RESTARTS, TYPES, ChildSpec
from wsx.client import Client
from wsx.conn import CONN_OPTIONS
from wsx.handler import Handler
from wsx.option_types import (
    AutoShutdown,
    ChildFields,
    ChildOptions,
    ChildType,
    Compression,
    ConnChanges,
    ConnFields,
    ConnOptions,
    Restart,
    SSLOptions,
    StartOptions,
    Status,
    Strategy,
)
from wsx.supervisor import AUTO_SHUTDOWNS


def help_texts() -> dict[str, dict[str, str]]:
    """Return the text below each key, by class and key."""
    tree = ast.parse(Path(inspect.getsourcefile(option_types) or "").read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = {}
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            texts = found.setdefault(cls.name, {})
            for key, text in zip(cls.body, cls.body[1:], strict=False):
                if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert isinstance(key.target, ast.Name)
                    assert isinstance(text.value, ast.Constant)
                    texts[key.target.id] = inspect.cleandoc(str(text.value.value))
    return found


def keys(cls: Any) -> set[str]:
    """Return all keys of a TypedDict. Each is optional."""
    assert not cls.__required_keys__
    return set(cls.__optional_keys__)


class KeyTests(SynchronousTestCase):
    """The keys of the classes."""

    def test_conn_options(self) -> None:
        """They are the fields of a Conn without the URL, the response and what wsx sets itself."""
        fields = {f.name for f in dataclasses.fields(Conn) if f.init} - {"url", "headers_provider"}
        response = {"resp_headers", "resp_status", "subprotocol", "extensions", "peer"}
        self.assertEqual(keys(ConnOptions), fields - response)
        self.assertEqual(keys(ConnFields), fields)
        self.assertEqual(keys(ConnChanges), fields | {"url"})
        self.assertEqual(CONN_OPTIONS, keys(ConnOptions))

    def test_start_options(self) -> None:
        """They are the options of Conn and those of the client."""
        self.assertEqual(keys(StartOptions), CONN_OPTIONS | START_OPTIONS)
        self.assertEqual(CONN_OPTIONS & START_OPTIONS, set())

    def test_child_options(self) -> None:
        """They are the options of ``start``, and fields of a child specification."""
        self.assertEqual(keys(ChildOptions), keys(StartOptions) | keys(ChildFields))
        self.assertLess(keys(ChildFields), {f.name for f in dataclasses.fields(ChildSpec)})
        values = {"id": "own", "restart": "transient", "shutdown": 1.0, "type": "worker"}
        cls: Any = type("Own", (Handler,), {}, **{key: values[key] for key in keys(ChildFields)})
        self.assertEqual(cls.child_fields(), values)

    def test_ssl_options(self) -> None:
        """``Conn`` accepts each key of ``ssl_options``, and names all of them in its error."""
        error = self.assertRaises(ValueError, Conn, "wss://h.test/", ssl_options={"recconect": "x"})
        for key in keys(SSLOptions):
            self.assertIn(key, str(error))

    def test_types_exist(self) -> None:
        """The annotations can be evaluated at run time, as tools for documentation do."""
        for cls in (ChildOptions, ConnChanges, SSLOptions):
            hints = get_type_hints(cls, localns={"Attempt": Attempt})
            self.assertEqual(set(hints), keys(cls))


class HelpTests(SynchronousTestCase):
    """The text below each key, which editors show."""

    def test_each_key(self) -> None:
        """Each key has a text of whole sentences."""
        texts = {key: text for own in help_texts().values() for key, text in own.items()}
        self.assertEqual(set(texts), keys(ConnChanges) | keys(ChildOptions) | keys(SSLOptions))
        for key, text in texts.items():
            self.assertRegex(text, r"\A[A-Z`\"](.|\n)*\.\Z", key)
            self.assertNotIn(": ", text, f"{key}: Sphinx shows the text before a colon as a type")

    def test_defaults(self) -> None:
        """The text of an option names its default."""
        texts = help_texts()
        for name, cls in (("ConnOptions", Conn), ("StartOptions", Options)):
            for field in dataclasses.fields(cls):
                if field.name in texts[name]:
                    shown = " ".join(texts[name][field.name].split())
                    self.assertIn("Default ", shown, field.name)
                    if type(field.default) in (bool, NoneType):
                        self.assertIn(f"Default {field.default}", shown, field.name)
                    elif isinstance(field.default, (int, float)):
                        self.assertIn(f"Default {self.shown(field.default)}", shown, field.name)

    def shown(self, value: float) -> str:
        """Return a default as it is written in a text."""
        sizes = {16 * 1024 * 1024: "16 MiB", 64 * 1024: "64 KiB"}
        return sizes.get(int(value)) or f"{value:,.10g}"


class ValueTests(SynchronousTestCase):
    """The literal types have the values that are accepted."""

    def test_values(self) -> None:
        """Each value is one that the code accepts, and the other way round."""
        for literal, values in (
            (AutoShutdown, AUTO_SHUTDOWNS),
            (ChildType, TYPES),
            (Restart, RESTARTS),
            (Strategy, STRATEGIES),
        ):
            self.assertEqual(get_args(literal), values)

    def test_status(self) -> None:
        """The values of ``client.status`` are those that its docstring names."""
        doc = inspect.getdoc(Client.status) or ""
        self.assertEqual(re.findall(r'"(\w+)"', doc), list(get_args(Status)))

    def test_compression(self) -> None:
        """``Conn`` accepts each value of ``compression``."""
        for value in get_args(Compression):
            self.assertEqual(Conn("ws://h.test/", compression=value).compression, value)
