"""The keys of a client's table in a configuration file for a name in a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wsx._twistd.cluster_table import MAIN, ClusterTable
from wsx._twistd.config_error import ConfigError, checked
from wsx._twistd.invalid import InvalidValue, alternatives
from wsx.registry import ON_PARTITION, Global, check_name

__all__ = ["NAME_KEYS", "read_name"]

_OPTIONS: Final = frozenset({"cluster", "standby", "on_partition"})  # They need "global".
NAME_KEYS: Final = _OPTIONS | {"global"}
_KEY: Final = "true, a string that is not empty, or an array of strings, numbers and booleans"


def read_name(
    name: str, prefix: str, table: Mapping[str, Any], clusters: Mapping[str, ClusterTable]
) -> tuple[str | Global, ClusterTable | None]:
    """Return the name of a client, and the cluster of this name or None.

    Args:
        name: The name of the table.
        prefix: The dotted key of the table.
        table: The table.
        clusters: The clusters of the file by name.

    Raises:
        ConfigError: A key is wrong, or there is no such cluster.
    """
    key = checked(f"{prefix}.global", _read_key, name, table.get("global", False))
    if key is None:
        for option in table:
            if option in _OPTIONS:
                raise ConfigError(f"{prefix}.{option}", "expected global as well, got only this")
        return name, None
    standby = checked(f"{prefix}.standby", _read_standby, table.get("standby", True))
    given = table.get("on_partition", "stop")
    on_partition = checked(f"{prefix}.on_partition", _read_on_partition, given)
    cluster = _find_cluster(prefix, table, clusters)
    found = Global(key, cluster.cluster, standby, on_partition)
    checked(f"{prefix}.global", _check_name, found)
    return found, cluster


def _read_key(name: str, value: Any) -> Any:
    """Return the key of the name, or None if the client has no name in a cluster."""
    if isinstance(value, bool):
        return name if value else None
    if value and isinstance(value, (str, list)):
        return _as_tuple(value)
    raise InvalidValue(_KEY, value)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _check_name(name: Global) -> None:
    try:
        check_name(name)
    except TypeError:
        raise InvalidValue(_KEY, name.key) from None
    except ValueError:
        raise InvalidValue("a key whose JSON has at most 146 bytes", name.key) from None


def _read_standby(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue("true or false", value)
    return value


def _read_on_partition(value: Any) -> Any:
    if value not in ON_PARTITION:
        raise InvalidValue(alternatives(ON_PARTITION), value)
    return value


def _find_cluster(
    prefix: str, table: Mapping[str, Any], clusters: Mapping[str, ClusterTable]
) -> ClusterTable:
    if "cluster" not in table:
        if MAIN in clusters:
            return clusters[MAIN]
        names = [name for name in clusters if name != MAIN]
        expectation = "a table [cluster]" if not names else f"cluster = {alternatives(names)}"
        raise ConfigError(f"{prefix}.global", f"expected {expectation} as well, got none")
    given = table["cluster"]
    if not isinstance(given, str) or given == MAIN or given not in clusters:
        error = InvalidValue("the name of a table [clusters.NAME]", given)
        raise ConfigError(f"{prefix}.cluster", error.about("x").removeprefix("x: "))
    return clusters[given]
