"""The metrics server of ``twistd wsx --metrics``."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger

from wsx._text import line
from wsx._twistd.invalid import InvalidValue, reason_of

__all__ = ["MetricsServer", "metrics_endpoint"]

_log = Logger("wsx")
_LOOPBACK: Final = "127.0.0.1"
# The interface is the third argument, or it has a name.
_TCP6_INTERFACE: Final = re.compile(r":interface=|^tcp6:[^:=]*:[^:=]*:[^:=]")


def metrics_endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """Return the server endpoint of a description. Its default interface is the loopback.

    Args:
        reactor: The reactor that listens.
        description: The string description, as for ``serverFromString``.

    Raises:
        ValueError: The description is malformed.
    """
    if description.startswith("tcp6:") and not _TCP6_INTERFACE.search(description):
        description += r":interface=\:\:1"
    endpoint: IStreamServerEndpoint = serverFromString(_LoopbackByDefault(reactor), description)
    return endpoint


class _LoopbackByDefault:
    """A reactor that listens on 127.0.0.1 where Twisted's listens on all interfaces."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        return self._reactor.listenTCP(port, factory, backlog, interface or _LOOPBACK)

    def listenSSL(
        self, port: int, factory: Any, context: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        return self._reactor.listenSSL(port, factory, context, backlog, interface or _LOOPBACK)


class MetricsServer(Service):
    """Serve Prometheus metrics while the service runs.

    Args:
        description: The string description of the server endpoint.
        reactor: The reactor that listens.
        failed: Called if the endpoint cannot listen, after the error has been logged.

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(self, description: str, reactor: Any, failed: Callable[[], object]) -> None:
        from wsx import prometheus

        self._exporter = prometheus.Exporter()
        self._site = prometheus.metrics_site()
        self._endpoint = metrics_endpoint(reactor, description)
        self._description = description
        self._failed = failed
        self._port: Any = None

    def startService(self) -> None:
        """Start counting telemetry events, and listen for scrapes."""
        super().startService()
        self._exporter.attach()
        self._endpoint.listen(self._site).addCallbacks(self._listens, self._cannot_listen)

    def stopService(self) -> Deferred[Any]:
        """Stop counting telemetry events, and stop listening.

        Returns:
            A Deferred that fires when the port is closed.
        """
        super().stopService()
        self._exporter.detach()
        if self._port is None:
            return succeed(None)
        return maybeDeferred(self._port.stopListening)

    def _listens(self, port: Any) -> None:
        """Log where the server listens; warn if other hosts can connect to it."""
        self._port = port
        address = port.getHost()
        host = getattr(address, "host", None)
        if host is None:  # The server listens on something other than TCP.
            _log.info("metrics are served at {address}", address=line(str(address)))
            return
        place = f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
        if ip_address(host.partition("%")[0]).is_loopback:
            _log.info("metrics are served at http://{place}/metrics", place=place)
        else:
            _log.warn(
                "metrics are served at http://{place}/metrics, and other hosts can read them",
                place=place,
            )

    def _cannot_listen(self, failure: Any) -> None:
        reason = reason_of(failure.value)
        error = InvalidValue("an endpoint that can listen", self._description, reason)
        _log.error("{problem}", problem=error.about("--metrics"))
        self._failed()
