"""The metrics server of ``twistd wsx --metrics``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger

from wsx._twistd.invalid import InvalidValue, reason_of

__all__ = ["MetricsServer"]

_log = Logger("wsx")


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
        self._endpoint = serverFromString(reactor, description)
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
        self._port = port

    def _cannot_listen(self, failure: Any) -> None:
        reason = reason_of(failure.value)
        error = InvalidValue("an endpoint that can listen", self._description, reason)
        _log.error("{problem}", problem=error.about("--metrics"))
        self._failed()
