"""Reading of the tables ``[cluster]`` and ``[clusters.NAME]`` of a configuration file."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from wsx._cluster.servers import parse_servers
from wsx._twistd import checks, cluster_checks
from wsx._twistd.config_error import ConfigError, checked, refuse_unknown
from wsx._twistd.invalid import InvalidValue
from wsx._twistd.toml_values import canonical, dotted_key
from wsx.cluster import Cluster

__all__ = ["MAIN", "ClusterTable", "read_clusters"]

MAIN: Final = ""  # The name of [cluster].
_PLAIN: Final = ("bucket", "ttl", "replicas")  # Cluster checks their values.
_LOGIN: Final = ("user", "password", "token")
_FILES: Final[dict[str, Callable[[str], None]]] = {
    "nkey_file": cluster_checks.check_nkey_file,
    "credentials_file": cluster_checks.check_credentials_file,
}
_KEYS: Final = {"url", *_PLAIN, *_LOGIN, *_FILES, "tls"}
_TLS: Final = {"cacerts", "certificate", "private_key"}
_NO_CLUSTERS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)  # The repr would contain passwords.
class ClusterTable:
    """A cluster of a configuration file.

    Attributes:
        content: The content of the table as a str, which is equal for equal tables.
        cluster: The cluster.
        has_secret: Whether the table contains a password or a token.
    """

    content: str
    cluster: Cluster
    has_secret: bool


def read_clusters(
    content: Mapping[str, Any],
    folder: str,
    reactor: Any,
    previous: Mapping[str, ClusterTable] = _NO_CLUSTERS,
) -> dict[str, ClusterTable]:
    """Return the clusters of a file by name; that of ``[cluster]`` is :data:`MAIN`.

    Args:
        content: The content of the file.
        folder: The folder of the file, to which paths are relative.
        reactor: The reactor of the clusters.
        previous: The clusters of the file before a change. Those whose table is the same are
            used again. Default none.

    Raises:
        ConfigError: A key or value is wrong.
    """
    tables: dict[str, tuple[str, Any]] = {}
    if "cluster" in content:
        tables[MAIN] = "cluster", content["cluster"]
    named = content.get("clusters", {})
    if not isinstance(named, dict):
        raise ConfigError("clusters", f"expected tables [clusters.NAME], got {_kind(named)}")
    for name, table in named.items():
        key = dotted_key("clusters", name)
        if not name:
            raise ConfigError(key, "expected a name that is not empty")
        tables[name] = key, table
    clusters = {}
    for name, (key, table) in tables.items():
        new = _Reader(key, table, folder).read(reactor)
        old = previous.get(name)
        clusters[name] = new if old is None or old.content != new.content else old
    return clusters


class _Reader:
    """Read the table of one cluster.

    Args:
        key: The dotted key of the table.
        table: The table.
        folder: The folder of the file.

    Raises:
        ConfigError: The table is another TOML value, or has an unknown key.
    """

    def __init__(self, key: str, table: Any, folder: str) -> None:
        if not isinstance(table, dict):
            raise ConfigError(key, f"expected a table, got {_kind(table)}")
        refuse_unknown(f"{key}.", table, _KEYS)
        if "url" not in table:
            raise ConfigError(f"{key}.url", "expected the URL of a NATS server, got nothing")
        self._key = key
        self._table = table
        self._folder = folder

    def read(self, reactor: Any) -> ClusterTable:
        """Return the cluster.

        Raises:
            ConfigError: A value is wrong.
        """
        with_keys = ["nkeys"] if _FILES.keys() & self._table.keys() else []
        checked(self._key, cluster_checks.check_packages, *with_keys)
        urls = checked(f"{self._key}.url", _read_urls, self._table["url"])
        options = {key: self._table[key] for key in _PLAIN if key in self._table}
        for key in _LOGIN:
            if key in self._table:
                options[key] = checked(f"{self._key}.{key}", _read_secret, self._table[key])
        for key, check in _FILES.items():
            if key in self._table:
                path = checked(f"{self._key}.{key}", self._read_path, self._table[key])
                checked(f"{self._key}.{key}", check, path)
                options[key] = path
        if "tls" in self._table:
            options["tls"] = checked(f"{self._key}.tls", self._read_tls, self._table["tls"])
        cluster = checked(self._key, Cluster, urls, reactor=reactor, **options)
        return ClusterTable(canonical(self._table), cluster, self._has_secret(urls))

    def _has_secret(self, urls: list[str]) -> bool:
        in_url = any(server.user is not None for server in parse_servers(urls))
        return in_url or any(key in self._table for key in ("password", "token"))

    def _read_path(self, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidValue("a path", value)
        return os.path.join(self._folder, value)

    def _read_tls(self, value: Any) -> ssl.SSLContext | bool:
        if isinstance(value, bool):
            return value
        if not isinstance(value, dict):
            raise InvalidValue("true, false or a table", value)
        refuse_unknown(f"{self._key}.tls.", value, _TLS)
        paths = {
            key: checked(f"{self._key}.tls.{key}", self._read_path, path)
            for key, path in value.items()
        }
        return self._make_context(**paths)

    def _make_context(
        self,
        cacerts: str | None = None,
        certificate: str | None = None,
        private_key: str | None = None,
    ) -> ssl.SSLContext:
        prefix = f"{self._key}.tls"
        if cacerts is not None:
            checked(f"{prefix}.cacerts", checks.check_certificates, cacerts)
        context = ssl.create_default_context(cafile=cacerts)
        if certificate is not None:
            check = checks.check_certificate_and_key
            if private_key is not None:
                check = checks.check_certificates
            checked(f"{prefix}.certificate", check, certificate)
        if private_key is not None:
            check_key = checks.check_private_key
            checked(f"{prefix}.private_key", check_key, private_key, certificate)
        if certificate is not None:
            context.load_cert_chain(certificate, private_key)
        return context


def _read_urls(value: Any) -> list[str]:
    urls = value if isinstance(value, list) else [value]
    if not urls:
        raise InvalidValue("the URL of a NATS server, or an array of URLs", value)
    for url in urls:
        cluster_checks.check_server_url(url)
    return urls


def _read_secret(value: Any) -> str:
    if not (isinstance(value, str) and value):
        raise ValueError("expected a string that is not empty")  # It may be a password.
    return value


def _kind(value: object) -> str:
    return type(value).__name__
