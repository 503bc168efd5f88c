"""Reading of the table ``[clients.NAME]`` of a configuration file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from types import MappingProxyType
from typing import Any, Final, TypeVar

from wsx._client.tracing import parse_option
from wsx._options import START_OPTIONS, Options, Provided
from wsx._redaction import is_token_like
from wsx._twistd import checks
from wsx._twistd.client_name import NAME_KEYS, read_name
from wsx._twistd.clients import CHILD_FIELDS, client_spec
from wsx._twistd.cluster_table import ClusterTable
from wsx._twistd.config_error import ConfigError, checked, refuse_unknown
from wsx._twistd.exposure import has_secret
from wsx._twistd.invalid import InvalidValue
from wsx._twistd.toml_values import canonical, dotted_key
from wsx.backoff import Backoff
from wsx.child import ChildSpec, check_fields
from wsx.conn import CONN_OPTIONS, Conn
from wsx.limiter import ConnectLimiter
from wsx.provider import ConnSource
from wsx.registry import Global

__all__ = ["ClientReader", "ClientTable"]

T = TypeVar("T")

_REQUIRED: Final = {"url": "a WebSocket URL", "handler": '"module.Class"'}
_PROVIDER: Final = "provider"  # In place of "url".
_NOT_IN_FILES: Final = {"name", "reactor", "connect_limiter"}  # Options of start that are not keys.
_KEYS: Final = (
    {*_REQUIRED, _PROVIDER, "state"}
    | NAME_KEYS
    | CHILD_FIELDS
    | CONN_OPTIONS
    | (START_OPTIONS - _NOT_IN_FILES)
)
_BACKOFF_KEYS: Final = set(signature(Backoff).parameters) - {"rng"}
_SECONDS_OR_FALSE: Final = "a number above 0 or false"
# TOML has no null, so false means None for these options.
_OPTIONAL: Final = {
    "ping_interval": _SECONDS_OR_FALSE,
    "ping_timeout": _SECONDS_OR_FALSE,
    "data_timeout": _SECONDS_OR_FALSE,
    "slow_callback": _SECONDS_OR_FALSE,
    "callback_warning": _SECONDS_OR_FALSE,
    "callback_timeout": _SECONDS_OR_FALSE,
    "max_message_size": "a number of bytes above 0 or false",
}
_FLAGS: Final = dict.fromkeys(
    ("insecure", "async_", "handle_initial_conn_failure"), "true or false"
)
_EXPECTATIONS: Final = _OPTIONAL | _FLAGS  # With the words of TOML instead of Python.
_PEM_FILES: Final = {"certificate", "private_key"}
_DEBUG_OPTION: Final = '"trace", "log", ["log", N], "statistics" or ["log_to_file", "path"]'


@dataclass(frozen=True, slots=True, repr=False)  # The repr would contain passwords.
class ClientTable:
    """A client of a configuration file.

    Attributes:
        content: The content of the table and of its cluster as a str, and whether there is a
            connection limit. It is equal for equal tables, in any order of keys, and shows whether
            a client has changed.
        spec: The child specification.
        name: The name of the client.
        has_secret: Whether the table contains a password or a token.
    """

    content: str
    spec: ChildSpec
    name: str | Global
    has_secret: bool


class ClientReader:
    """Read the table of one client.

    Args:
        name: The name of the client.
        table: The table of the client.
        folder: The folder of the configuration file, to which paths are relative.

    Attributes:
        name: The name of the client.

    Raises:
        ConfigError: The name is empty, or the table is another TOML value.
    """

    def __init__(self, name: str, table: Any, folder: str) -> None:
        self.name = name
        self._table = table
        self._folder = folder
        self._key = dotted_key("clients", name)
        if not name:
            raise ConfigError(self._key, "expected a name that is not empty")
        if not isinstance(table, dict):
            raise ConfigError(self._key, f"expected a table, got {type(table).__name__}")

    def read(
        self,
        reactor: Any,
        limiter: ConnectLimiter | None = None,
        clusters: Mapping[str, ClusterTable] = MappingProxyType({}),
    ) -> ClientTable:
        """Return the client.

        Args:
            reactor: The reactor of the client.
            limiter: The limit on connection attempts, or None (default) for no limit.
            clusters: The clusters of the file by name. Default none.

        Raises:
            ConfigError: A key is missing, unknown or has a wrong value.
        """
        self._check_keys()
        handler = self._checked("handler", checks.import_handler, self._table["handler"])
        fields = {key: self._table[key] for key in CHILD_FIELDS & set(self._table)}
        for key, value in fields.items():
            self._checked(key, check_fields, **{key: value})
        conn = self._read_conn()
        self._check_conn(conn, reactor)
        name, cluster = read_name(self.name, self._key, self._table, clusters)
        options = self._read_options() | {"name": name, "connect_limiter": limiter}
        state = self._table.get("state")
        source: ConnSource = conn
        if _PROVIDER in self._table:
            source = self._import(_PROVIDER)
            options |= {key: getattr(conn, key) for key in CONN_OPTIONS & self._table.keys()}
        spec = client_spec(self.name, source, handler, state, options, reactor, **fields)
        in_cluster = "" if cluster is None else cluster.content
        content = canonical([self._table, limiter is not None, in_cluster])
        return ClientTable(content, spec, name, has_secret(conn))

    def check_log_files(self) -> None:
        """Check that the client can append to its log files, and create them."""
        for option in self._read_debug():
            if option[0] == "log_to_file":
                self._checked("debug", checks.check_log_file, option[1])

    def _checked(self, key: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return checked(f"{self._key}.{key}", function, *args, **kwargs)

    def _check_keys(self) -> None:
        refuse_unknown(f"{self._key}.", self._table, _KEYS)
        if _PROVIDER in self._table and "url" in self._table:
            raise ConfigError(f"{self._key}.{_PROVIDER}", "expected no url beside it, got both")
        for key, expectation in _REQUIRED.items():
            if key not in self._table and not (key == "url" and _PROVIDER in self._table):
                raise ConfigError(f"{self._key}.{key}", f"expected {expectation}, got nothing")

    # The connection

    def _read_conn(self) -> Conn:
        if _PROVIDER in self._table:
            conn = Provided.of(self._import(_PROVIDER)).template
        else:
            self._checked("url", checks.check_url, self._table["url"])
            conn = Conn(self._table["url"])
        for key in self._table:
            if key in CONN_OPTIONS:
                conn = self._checked(key, self._set_option, conn, key)
        return conn

    def _import(self, key: str) -> Any:
        return self._checked(key, checks.import_callable, self._table[key])

    def _set_option(self, conn: Conn, key: str) -> Conn:
        value = self._table[key]
        if key == "proxy":
            checks.check_proxy(value)
        try:
            return conn.replace(**{key: self._convert(key, value)})
        except ValueError:
            if key not in _EXPECTATIONS:
                raise
            raise InvalidValue(_EXPECTATIONS[key], value) from None

    def _convert(self, key: str, value: Any) -> Any:
        """Return the value of a key as ``Conn`` accepts it."""
        if value is False and key in _OPTIONAL:
            return None
        if key == "extra_headers" and _is_dotted_name(value):
            return checks.import_callable(value)
        if key == "cacerts":
            is_list = isinstance(value, list)
            return [self._path(item) for item in value] if is_list else self._path(value)
        if key == "ssl_options" and isinstance(value, dict):
            return value | {name: self._path(value[name]) for name in _PEM_FILES & set(value)}
        return value

    def _path(self, value: Any) -> Any:
        return os.path.join(self._folder, value) if isinstance(value, str) else value

    def _check_conn(self, conn: Conn, reactor: Any) -> None:
        if conn.cacerts is not None:
            for path in [conn.cacerts] if isinstance(conn.cacerts, str) else conn.cacerts:
                self._checked("cacerts", checks.check_certificates, path)
        if conn.ssl_options is not None:
            self._check_ssl_options(conn.ssl_options)
        if conn.endpoint is not None:
            self._checked("endpoint", checks.check_client_endpoint, conn.endpoint, reactor)

    def _check_ssl_options(self, options: Mapping[str, Any]) -> None:
        certificate, private_key = options.get("certificate"), options.get("private_key")
        key = "ssl_options"
        if certificate is not None and private_key is None:
            self._checked(f"{key}.certificate", checks.check_certificate_and_key, certificate)
        elif certificate is not None:
            self._checked(f"{key}.certificate", checks.check_certificates, certificate)
            self._checked(f"{key}.private_key", checks.check_private_key, private_key, certificate)
        self._checked(key, checks.check_ssl_options, options)

    # The options of the client

    def _read_options(self) -> dict[str, Any]:
        options = {key: self._table[key] for key in self._table if key in START_OPTIONS}
        if "reconnect" in options:
            value = options["reconnect"]
            options["reconnect"] = self._checked("reconnect", self._read_backoff, value)
        if "debug" in options:
            options["debug"] = self._read_debug()
        for key in _OPTIONAL.keys() & options.keys():
            options[key] = self._convert(key, options[key])
        for key, value in options.items():
            self._checked(key, _check_start_option, key, value)
        return options

    def _read_backoff(self, value: Any) -> Backoff | None:
        if isinstance(value, bool):
            return Backoff() if value else None
        if not isinstance(value, dict):
            raise InvalidValue("a table of arguments of Backoff, true or false", value)
        refuse_unknown(f"{self._key}.reconnect.", value, _BACKOFF_KEYS)
        return Backoff(**value)

    def _read_debug(self) -> list[Any]:
        return self._checked("debug", self._parse_debug, self._table.get("debug", ()))

    def _parse_debug(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)):
            raise InvalidValue("an array of debug options", value)
        return [self._debug_option(item) for item in value]

    def _debug_option(self, value: Any) -> Any:
        option = tuple(value) if isinstance(value, list) else value
        if parse_option(option) is None:
            raise InvalidValue(_DEBUG_OPTION, option)
        if option[0] == "log_to_file":
            return "log_to_file", self._path(option[1])
        return option


def _is_dotted_name(value: Any) -> bool:
    """Return whether a value may be the name of a callable, and is no header or token."""
    if not isinstance(value, str) or is_token_like(value):
        return False
    return all(part.isidentifier() for part in value.split("."))


def _check_start_option(key: str, value: Any) -> None:
    try:
        Options(**{key: value})
    except (TypeError, ValueError):
        if key not in _EXPECTATIONS:
            raise
        raise InvalidValue(_EXPECTATIONS[key], value) from None
