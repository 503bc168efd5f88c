"""What a twistd run consists of: one client from the command line, or a tree from a TOML file.

Everything is checked before anything is started, and whatever is wrong is said with its place:
``clients.toml: clients.feed.ping_interval: ...``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any, Final, TypeVar

from twisted.internet.endpoints import serverFromString

from wsx._client.log_file import check_path
from wsx._client.tracing import parse_option
from wsx._options import START_OPTIONS, Options, patient
from wsx._supervision.intensity import Intensity
from wsx._text import describe, escape, shorten, truncate
from wsx._transport.endpoints import endpoint_for
from wsx._transport.tls import tls_creator
from wsx.backoff import Backoff
from wsx.child import ChildSpec, ClientStart, check_fields
from wsx.conn import CONN_OPTIONS, Conn
from wsx.handler import Handler
from wsx.registry import check_name
from wsx.supervisor import STRATEGIES

__all__ = [
    "ClientTable",
    "ConfigError",
    "Tree",
    "check_conn",
    "check_server",
    "client_spec",
    "find_handler",
    "load",
]

T = TypeVar("T")

_OF_THE_TREE: Final = {"strategy", "max_restarts", "max_seconds", "clients"}
_OF_THE_CHILD: Final = {"restart", "shutdown"}
_OF_BACKOFF: Final = set(signature(Backoff).parameters) - {"rng"}
_OF_A_CLIENT: Final = (
    {"url", "handler", "state"}
    | _OF_THE_CHILD
    | CONN_OPTIONS
    | (START_OPTIONS - {"name", "reactor"})
)
# TOML has no null: false turns these off.
_CAN_BE_OFF: Final = {"ping_interval", "ping_timeout", "data_timeout", "max_message_size"}


_BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")
_LONGEST: Final = 400  # characters of a complaint


class ConfigError(ValueError):
    """Something is wrong with a configuration.

    Attributes:
        key: the dotted path of what is wrong; empty for the whole.
        problem: what is wrong with it.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        text = f"{self.key}: {self.problem}" if self.key else self.problem
        return escape(truncate(text, _LONGEST))


@dataclass(frozen=True, slots=True, repr=False)  # its repr would have passwords
class ClientTable:
    """One client of a tree.

    Attributes:
        said: all that the file says of it; where that is the same, so is the client.
        spec: the child specification made of it.
    """

    said: str
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class Tree:
    """What a file says."""

    clients: dict[str, ClientTable]
    strategy: str = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0

    @property
    def limits(self) -> tuple[str, int, float]:
        """The arguments of :meth:`wsx.Supervisor.configure`."""
        return self.strategy, self.max_restarts, self.max_seconds


def load(path: str, reactor: Any) -> Tree:
    """Reads a tree from a TOML file; relative paths in it begin at its folder.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise ConfigError("", error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise ConfigError("", f"it is not TOML: {error}") from None
    _refuse_unknown("", content, _OF_THE_TREE)
    folder = os.path.dirname(os.path.abspath(path))
    limits = {key: content[key] for key in content if key != "clients"}
    _check_limits(**limits)
    tables = content.get("clients", {})
    if not (isinstance(tables, dict) and tables):
        raise ConfigError("clients", "there is no table [clients.NAME]")
    clients = {name: _read_client(name, table, folder, reactor) for name, table in tables.items()}
    for name, table in tables.items():  # last, as it may create them
        _check_log_files(_place(name), table, folder)
    return Tree(clients, **limits)


def _check_log_files(place: str, table: Mapping[str, Any], folder: str) -> None:
    for option in _read_debug(table.get("debug", ()), folder):
        if option[0] == "log_to_file":
            _at(f"{place}.debug", check_path, option[1])


def _check_limits(
    strategy: Any = "one_for_one", max_restarts: Any = 3, max_seconds: Any = 5.0
) -> None:
    if strategy not in STRATEGIES:
        problem = f"it is one of {', '.join(STRATEGIES)}, not {shorten(strategy)}"
        raise ConfigError("strategy", problem)
    if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 0:
        problem = f"it is a whole number from 0 on, not {shorten(max_restarts)}"
        raise ConfigError("max_restarts", problem)
    _at("max_seconds", Intensity, max_restarts, max_seconds)


def _read_client(name: str, table: Any, folder: str, reactor: Any) -> ClientTable:
    place = _place(name)
    _at(place, check_name, name)
    if not isinstance(table, dict):
        raise ConfigError(place, "it is not a table")
    _refuse_unknown(f"{place}.", table, _OF_A_CLIENT)
    for key in ("url", "handler"):
        if key not in table:
            raise ConfigError(f"{place}.{key}", "it is missing")
    handler = _at(f"{place}.handler", find_handler, table["handler"])
    for key in sorted(_OF_THE_CHILD & set(table)):
        _at(f"{place}.{key}", check_fields, **{key: table[key]})
    conn = _read_conn(place, table, folder)
    for key in ("cacerts", "ssl_options", "endpoint"):
        alone = Conn(conn.url).replace(**{key: getattr(conn, key)})
        _at(f"{place}.{key}", check_conn, alone, reactor)
    options = _read_options(place, table, folder)
    fields = {key: table[key] for key in _OF_THE_CHILD & set(table)}
    state = table.get("state")
    spec = client_spec(name, conn, handler, state, options | {"name": name}, reactor, **fields)
    return ClientTable(_canonical(table), spec)


def _canonical(value: Any) -> str:
    """Gives a text that is the same for the same value and type, in whatever order of keys."""
    if isinstance(value, dict):
        return repr([(key, _canonical(value[key])) for key in sorted(value)])
    if isinstance(value, list):
        return repr([_canonical(item) for item in value])
    return repr(value)


def _place(name: str) -> str:
    """Gives the dotted path of a client, as TOML writes it."""
    return f"clients.{name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)}"


def _read_conn(place: str, table: Mapping[str, Any], folder: str) -> Conn:
    conn = _at(f"{place}.url", Conn, table["url"])
    for key in table:
        if key in CONN_OPTIONS:
            conn = _at(f"{place}.{key}", conn.replace, **{key: _value(key, table[key], folder)})
    return conn


def _value(key: str, value: Any, folder: str) -> Any:
    """Gives an option's value as ``Conn`` wants it."""
    if key in _CAN_BE_OFF and value is False:
        return None
    if key == "cacerts":
        return (
            [_path(v, folder) for v in value] if isinstance(value, list) else _path(value, folder)
        )
    if key == "ssl_options" and isinstance(value, dict):
        files = {name: _path(value[name], folder) for name in _PEM_FILES & set(value)}
        return value | files
    return value


_PEM_FILES: Final = {"certificate", "private_key"}


def _path(value: Any, folder: str) -> Any:
    return os.path.join(folder, value) if isinstance(value, str) else value


def _read_options(place: str, table: Mapping[str, Any], folder: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key in table:
        if key == "reconnect":
            options[key] = _at(f"{place}.{key}", _read_backoff, table[key])
        elif key == "debug":
            options[key] = _at(f"{place}.{key}", _read_debug, table[key], folder)
        elif key in START_OPTIONS:
            options[key] = table[key]
        else:
            continue
        _at(f"{place}.{key}", Options, **{key: options[key]})
    return options


def _read_backoff(value: Any) -> Backoff | None:
    if isinstance(value, bool):
        return Backoff() if value else None
    if not isinstance(value, dict):
        raise ValueError("it is a table of the arguments of Backoff, true or false")
    unknown = sorted(set(value) - _OF_BACKOFF)
    if unknown:
        raise ValueError(f"Backoff has no {shorten(unknown[0])}")
    return Backoff(**value)


def _read_debug(value: Any, folder: str) -> list[Any]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError("it is a list of debug options")
    options = []
    for given in value:
        option = tuple(given) if isinstance(given, list) else given
        if parse_option(option) is None:
            raise ValueError(f"there is no debug option {shorten(given)}")
        if option[0] == "log_to_file":
            option = ("log_to_file", _path(option[1], folder))
        options.append(option)
    return options


def find_handler(name: Any) -> type[Handler[Any]]:
    """Imports a handler's class, also from the current directory.

    Raises:
        ValueError: there is none, or it is no Handler that can be made without arguments.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as "python -m" does, unlike console scripts
    module, dot, attribute = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not (dot and module and attribute):
        raise ValueError("it is module.Class")
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module may exit when it is imported
        raise ValueError(f"{name} cannot be imported: {describe(error)}") from error
    if not (isinstance(found, type) and issubclass(found, Handler)):
        raise ValueError(f"{name} is no subclass of wsx.Handler")
    try:
        signature(found).bind()
    except TypeError as error:
        raise ValueError(f"{name} cannot be made: {describe(error)}") from None
    return found


def check_conn(conn: Conn, reactor: Any) -> None:
    """Finds out now what the first attempt would find out: reads PEM files, parses endpoints.

    Raises:
        Exception: whatever is wrong.
    """
    if conn.parsed.secure or conn.ssl_options or conn.cacerts:
        tls_creator(conn.replace(insecure=False))
    if conn.endpoint is not None:
        try:
            endpoint_for(conn, reactor)
        except Exception as error:
            raise ValueError(f"{shorten(conn.endpoint)} is no client endpoint") from error


def check_server(description: str, reactor: Any) -> None:
    """Refuses what is no server endpoint.

    Raises:
        ValueError: it is none.
    """
    try:
        serverFromString(reactor, description)
    except Exception as error:
        raise ValueError(f"{shorten(description)} is no server endpoint") from error


def client_spec(
    id: str,
    conn: Conn,
    handler: type[Handler[Any]] | Handler[Any],
    state: Any,
    options: Mapping[str, Any],
    reactor: Any,
    **fields: Any,
) -> ChildSpec:
    """Gives the specification of a client under twistd.

    It comes up while its server is down, reconnects, and is transient unless its class or
    ``fields`` say otherwise; temporary where it is not to reconnect. Each start has its own copy of
    the state.
    """
    chosen = patient(options) | {"reactor": reactor}
    restart = "transient" if chosen["reconnect"] is not None else "temporary"
    declared = {key: value for key, value in handler.child_fields().items() if key in _OF_THE_CHILD}
    return ChildSpec(
        id,
        ClientStart(conn, handler, lambda: deepcopy(state), chosen),
        backoff=chosen["reconnect"],
        reactor=reactor,
        **{"restart": restart, **declared, **fields},
    )


def _refuse_unknown(prefix: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{prefix}{key}", "there is no such option")


def _at(key: str, function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
    """Calls a function; what it raises is said to be about a key."""
    try:
        return function(*arguments, **keywords)
    except Exception as error:
        plain = isinstance(error, (ValueError, TypeError))  # ours, and they say it all
        text = str(error) if plain else describe(error)
        raise ConfigError(key, " ".join(text.split())) from error
