"""The configuration file of ``twistd wsx``: a TOML file with a table for each client.

The whole file is checked before any client is started. A message names the key of the wrong value:
``clients.toml: clients.feed.ping_interval: expected a number above 0 or false, got "x"``.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

from wsx._arguments import is_number
from wsx._supervision.restarts import STRATEGIES
from wsx._text import quote
from wsx._twistd.client_table import ClientReader, ClientTable
from wsx._twistd.cluster_table import MAIN, ClusterTable, read_clusters
from wsx._twistd.config_error import ConfigError, checked, refuse_unknown
from wsx._twistd.invalid import InvalidValue, alternatives, reason_of
from wsx._twistd.toml_values import dotted_key
from wsx.limiter import ConnectLimiter
from wsx.option_types import Strategy
from wsx.registry import Global

__all__ = ["Tree", "load"]

_LIMITS: Final = {"strategy", "max_restarts", "max_seconds"}
_KEYS: Final = _LIMITS | {"connect_limit", "clients", "cluster", "clusters"}
_CONNECT_LIMIT_KEYS: Final = {"per_host", "per_seconds"}


@dataclass(frozen=True, slots=True)
class Tree:
    """The content of a configuration file.

    Attributes:
        clients: The clients by name, in the order of the file.
        strategy: The strategy of the supervisor. Default ``"one_for_one"``.
        max_restarts: The number of restarts that are allowed within ``max_seconds``. Default 3.
        max_seconds: The period in seconds. Default 5.
        connect_limit: The arguments of :class:`wsx.ConnectLimiter`, or None (default).
        limiter: The limiter that all clients share, or None (default).
        clusters: The clusters by name; that of ``[cluster]`` is :data:`MAIN`. Default none.
    """

    clients: dict[str, ClientTable]
    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0
    connect_limit: dict[str, Any] | None = None
    limiter: ConnectLimiter | None = None
    clusters: dict[str, ClusterTable] = field(default_factory=dict)

    @property
    def has_secret(self) -> bool:
        """Whether the file contains a password or a token."""
        in_clients = any(client.has_secret for client in self.clients.values())
        return in_clients or any(cluster.has_secret for cluster in self.clusters.values())

    @property
    def limits(self) -> tuple[Strategy, int, float]:
        """The arguments of :meth:`wsx.Supervisor.configure`."""
        return self.strategy, self.max_restarts, self.max_seconds


def load(path: str, reactor: Any, previous: Tree | None = None) -> Tree:
    """Read and check a configuration file.

    Args:
        path: The path of the file. Relative paths in the file are relative to its folder.
        reactor: The reactor of the clients.
        previous: The content before a change of the file, or None (default). Its limiter, which
            keeps its own limit, and its clusters whose tables are unchanged are used again.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is wrong.
    """
    content = _read_toml(path)
    refuse_unknown("", content, _KEYS)
    limits = {key: content[key] for key in content if key in _LIMITS}
    for key, value in limits.items():
        checked(key, _check_limit, key, value)
    connect_limit = content.get("connect_limit")
    new = checked("connect_limit", _make_limiter, connect_limit)
    old = None if previous is None else previous.limiter
    limiter = new if new is None or old is None else old
    tables = content.get("clients", {})
    if not (isinstance(tables, dict) and tables):
        raise ConfigError("clients", "expected at least one table [clients.NAME], got none")
    folder = os.path.dirname(os.path.abspath(path))
    known = {} if previous is None else previous.clusters
    clusters = read_clusters(content, folder, reactor, known)
    readers = [ClientReader(name, table, folder) for name, table in tables.items()]
    clients = {reader.name: reader.read(reactor, limiter, clusters) for reader in readers}
    _check_names(clients, clusters)
    for reader in readers:  # Last, because the check creates the log files.
        reader.check_log_files()
    return Tree(clients, **limits, connect_limit=connect_limit, limiter=limiter, clusters=clusters)


def _check_names(clients: dict[str, ClientTable], clusters: dict[str, ClusterTable]) -> None:
    """Check that names in a cluster differ, and that each cluster has one."""
    owners: dict[Global, str] = {}
    for name, client in clients.items():
        if isinstance(client.name, Global):
            other = owners.setdefault(client.name, name)
            if other != name:
                key = dotted_key("clients", name)
                problem = f"expected a name that no other client has, got that of {quote(other)}"
                raise ConfigError(f"{key}.global", problem)
    used = [name.cluster for name in owners]
    for name, table in clusters.items():
        if table.cluster not in used:
            key = "cluster" if name == MAIN else dotted_key("clusters", name)
            given = "global" if name == MAIN else f"global and cluster = {quote(name)}"
            raise ConfigError(key, f"expected a client with {given}, got none")


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError("", reason_of(error)) from None
    except RecursionError:
        raise ConfigError("", "not valid TOML: it is nested too deeply") from None
    except ValueError as error:  # Not TOML, not UTF-8, or an integer with too many digits.
        raise ConfigError("", f"not valid TOML: {error}") from None


def _make_limiter(table: Any) -> ConnectLimiter | None:
    """Return the limiter for the table ``[connect_limit]``, or None if there is no such table."""
    if table is None:
        return None
    if not isinstance(table, dict) or set(table) != _CONNECT_LIMIT_KEYS:
        raise InvalidValue("a table with the keys per_host and per_seconds", table)
    return ConnectLimiter(**table)


def _check_limit(key: str, value: Any) -> None:
    if key == "strategy":
        valid, expectation = value in STRATEGIES, alternatives(STRATEGIES)
    elif key == "max_restarts":
        valid = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        expectation = "a whole number of at least 0"
    else:
        valid, expectation = is_number(value) and value > 0, "a number above 0"
    if not valid:
        raise InvalidValue(expectation, value)
