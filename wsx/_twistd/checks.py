"""Checks of option values before anything is started.

The command line and the configuration file share these functions. Each raises
:class:`InvalidValue` if the value is wrong.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from typing import Any, Final, cast

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from wsx._client.log_file import check_path
from wsx._redaction import redact_url
from wsx._text import describe
from wsx._transport.endpoints import endpoint_for
from wsx._transport.tls import tls_wrapper
from wsx._twistd.invalid import InvalidValue, reason_of
from wsx._twistd.metrics import metrics_endpoint
from wsx._url import parse_proxy
from wsx.conn import Conn
from wsx.errors import URLError
from wsx.handler import Handler
from wsx.option_types import SSLOptions

__all__ = [
    "check_certificate_and_key",
    "check_certificates",
    "check_client_endpoint",
    "check_log_file",
    "check_port",
    "check_private_key",
    "check_proxy",
    "check_server_endpoint",
    "check_ssl_options",
    "check_url",
    "import_callable",
    "import_handler",
]

_ANY_URL: Final = "wss://localhost/"
_CERTIFICATES: Final = "a PEM file of certificates"
_CERTIFICATE_AND_KEY: Final = "a PEM file of a certificate and its private key"
_PRIVATE_KEY: Final = "a PEM file of the certificate's private key"
_CLIENT_ENDPOINT: Final = "a Twisted client endpoint such as tcp:localhost:8080"
_SERVER_ENDPOINT: Final = "a Twisted server endpoint such as tcp:9100"


def check_url(url: Any) -> None:
    """Check that a client can connect to a URL."""
    _check_url(url, "a WebSocket URL", Conn.parse_url)


def check_proxy(url: Any) -> None:
    """Check that a client can connect through a proxy."""
    _check_url(url, "http://[user:password@]host:port", parse_proxy)


def _check_url(url: Any, expectation: str, parse: Callable[[str], object]) -> None:
    if not isinstance(url, str):
        raise InvalidValue(expectation, url)
    try:
        parse(url)
    except URLError as error:
        # Such a reason repeats the expectation.
        reason = "" if error.reason.startswith("expected") else error.reason
        raise InvalidValue(expectation, redact_url(url), reason) from None


def import_handler(name: Any) -> type[Handler[Any]]:
    """Import a handler class by its dotted name. The current directory is on the path.

    Args:
        name: ``"module.Class"``.

    Returns:
        The class.

    Raises:
        InvalidValue: The name cannot be imported, or is not a subclass of :class:`Handler` that
            can be instantiated without arguments.
    """
    return _check_handler(_import(name, '"module.Class"', "a class"), name)


def import_callable(name: Any) -> Callable[..., Any]:
    """Import a function by its dotted name. The current directory is on the path.

    Args:
        name: ``"module.function"``.

    Returns:
        The function, or another callable.

    Raises:
        InvalidValue: The name cannot be imported, or is not callable.
    """
    found = _import(name, '"module.function"', "a callable")
    if not callable(found):
        raise InvalidValue("a callable", name, f"it has type {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _import(name: Any, form: str, kind: str) -> Any:
    parts = name.split(".") if isinstance(name, str) else []
    if len(parts) < 2 or not all(parts):
        raise InvalidValue(form, name)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # "python -m" does this too; the twistd script does not.
    try:
        return getattr(import_module(".".join(parts[:-1])), parts[-1])
    except (Exception, SystemExit) as error:  # A module may call sys.exit() when imported.
        raise InvalidValue(f"{kind} that can be imported", name, describe(error)) from error


def _check_handler(found: Any, name: str) -> type[Handler[Any]]:
    if not (isinstance(found, type) and issubclass(found, Handler)):
        is_class = isinstance(found, type)
        reason = "it has other bases" if is_class else f"it has type {type(found).__name__}"
        raise InvalidValue("a subclass of wsx.Handler", name, reason)
    try:
        signature(found).bind()
    except TypeError as error:
        raise InvalidValue("a class that takes no arguments", name, str(error)) from None
    return found


def check_certificates(path: str) -> None:
    """Check a PEM file of certificates."""
    try:
        tls_wrapper(Conn(_ANY_URL, cacerts=path), None)
    except Exception as error:
        raise InvalidValue(_CERTIFICATES, path, reason_of(error)) from error


def check_certificate_and_key(path: str) -> None:
    """Check a PEM file that holds both a certificate and its private key."""
    check_certificates(path)
    _check_key({"certificate": path}, _CERTIFICATE_AND_KEY, path)


def check_private_key(path: str, certificate: str | None) -> None:
    """Check a PEM file that holds the private key of a certificate in another file."""
    if certificate is None:
        raise InvalidValue("a certificate as well", path)
    _check_key({"certificate": certificate, "private_key": path}, _PRIVATE_KEY, path)


def _check_key(ssl_options: SSLOptions, expectation: str, path: str) -> None:
    try:
        tls_wrapper(Conn(_ANY_URL, ssl_options=ssl_options), None)
    except Exception as error:
        raise InvalidValue(expectation, path, reason_of(error)) from error


def check_ssl_options(options: Mapping[str, Any]) -> None:
    """Check that the TLS options can be used together, as the first attempt will use them."""
    try:
        tls_wrapper(Conn(_ANY_URL, ssl_options=cast(SSLOptions, options)), None)
    except Exception as error:
        raise InvalidValue("options for TLS", dict(options), reason_of(error)) from error


def check_client_endpoint(description: Any, reactor: Any) -> None:
    """Check the description of a client endpoint."""
    try:
        endpoint_for(Conn("ws://localhost/", endpoint=description), reactor)
    except Exception as error:  # Endpoint parsers raise any class, with texts for developers.
        raise InvalidValue(_CLIENT_ENDPOINT, description) from error


def check_server_endpoint(description: str, reactor: Any) -> None:
    """Check the description of a server endpoint and, for TCP, that its port is free."""
    try:
        metrics_endpoint(reactor, description)
    except Exception as error:
        raise InvalidValue(_SERVER_ENDPOINT, description) from error
    failures: list[Failure] = []
    probing = maybeDeferred(metrics_endpoint(_PortProbe(), description).listen, Factory())
    probing.addErrback(failures.append)
    if failures and isinstance(failures[0].value, OSError):
        reason = reason_of(failures[0].value)
        raise InvalidValue("an endpoint that can listen", description, reason)


def check_port(port: int) -> None:
    """Check that a server can listen on a port of the loopback."""
    try:
        _PortProbe().listenTCP(port, None, interface="127.0.0.1")
    except OSError as error:
        raise InvalidValue("a port that is free", port, reason_of(error)) from error


class _PortProbe:
    """A substitute for the reactor whose ``listenTCP`` binds a port and closes it at once.

    A port of the real reactor would stay bound until the reactor runs. Endpoints for other
    transports call other methods, which raise ``AttributeError``, so they are not checked.
    """

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> None:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        socket.create_server((interface, port), family=family, backlog=backlog).close()


def check_log_file(path: str) -> None:
    """Check that a file can be appended to; create it if it does not exist."""
    try:
        check_path(path)
    except (OSError, ValueError) as error:
        raise InvalidValue("a file that can be written", path, reason_of(error)) from error
