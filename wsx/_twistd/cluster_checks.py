"""Checks of the options of a cluster before anything is started.

The command line and the configuration file share these functions.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from wsx._cluster.refusals import NO_PACKAGE
from wsx._cluster.servers import Login, parse_servers, redact_server
from wsx._twistd.invalid import InvalidValue
from wsx.errors import ClusterSetupError, URLError

__all__ = ["check_credentials_file", "check_nkey_file", "check_packages", "check_server_url"]

_SERVER: Final = "nats://[user:password@]host[:port] or tls://..."
_MODULES: Final = ("nats", "msgpack")


def check_packages(*more: str) -> None:
    """Check that the packages of the extra ``txwsx[nats]`` are installed.

    Args:
        *more: More packages: ``nkeys`` for NKeys and credentials files.

    Raises:
        ValueError: A package cannot be imported.
    """
    try:
        for name in (*_MODULES, *more):
            import_module(name)
    except ImportError as error:
        raise ValueError(f"{NO_PACKAGE} ({error})") from None


def check_server_url(url: Any) -> None:
    """Check that a value is the URL of a NATS server.

    Raises:
        InvalidValue: It is not.
    """
    if not isinstance(url, str):
        raise InvalidValue(_SERVER, url)
    try:
        parse_servers(url)
    except URLError:
        raise InvalidValue(_SERVER, redact_server(url)) from None


def check_nkey_file(path: str) -> None:
    """Check a file with the seed of an NKey.

    Raises:
        InvalidValue: It cannot be read, or has no valid seed.
    """
    expectation = "a file with the seed of an NKey"
    seed = _read(Login(nkey_file=path), expectation, path)["nkeys_seed_str"]
    nkeys: Any = import_module("nkeys")
    try:
        nkeys.from_seed(seed.encode())
    except Exception as error:  # nkeys raises any class for a malformed seed.
        raise InvalidValue(expectation, path, "the seed is not valid") from error


def check_credentials_file(path: str) -> None:
    """Check a file with a user's JWT and seed.

    Raises:
        InvalidValue: It cannot be read, or has other content.
    """
    _read(Login(credentials_file=path), "a credentials file of NATS", path)


def _read(login: Login, expectation: str, path: str) -> dict[str, str]:
    try:
        Path(path).read_bytes()
        return login.options(parse_servers("localhost")[0])
    except OSError as error:
        raise InvalidValue(expectation, path, error.strerror or "") from None
    except (ValueError, ClusterSetupError):  # A ValueError is a null byte in the path.
        raise InvalidValue(expectation, path) from None
