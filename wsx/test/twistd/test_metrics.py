"""Tests of wsx._twistd.metrics: the service behind --metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import fail
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from wsx import prometheus, telemetry
from wsx._twistd.metrics import MetricsServer
from wsx.prometheus import Exporter
from wsx.test.support.sockets import HOST
from wsx.test.support.twistd import RunCase

ENDPOINT = "tcp:9100:interface=127.0.0.1"


class MetricsServerTests(SynchronousTestCase):
    """The service, with a reactor in memory."""

    def setUp(self) -> None:
        self.patch(prometheus, "Exporter", lambda: Exporter(CollectorRegistry()))
        self.reactor = MemoryReactorClock()
        self.failures: list[None] = []
        self.service = MetricsServer(ENDPOINT, self.reactor, lambda: self.failures.append(None))

    def test_listens(self) -> None:
        """It listens while it runs."""
        self.assertEqual(self.reactor.tcpServers, [])
        self.service.startService()
        (server,) = self.reactor.tcpServers
        self.assertEqual((server[0], server[3]), (9100, "127.0.0.1"))
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.failures, [])

    def test_counts(self) -> None:
        """It observes telemetry while it runs."""
        before = len(telemetry.list_handlers())
        self.service.startService()
        self.assertGreater(len(telemetry.list_handlers()), before)
        self.service.stopService()
        self.assertEqual(len(telemetry.list_handlers()), before)

    def test_cannot_listen(self) -> None:
        """If it cannot listen, one line of the log says so, and the runner is told."""
        logged: list[LogEvent] = []
        observer: Any = logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        error = CannotListenError("127.0.0.1", 9100, OSError(98, "Address already in use"))
        endpoint: Any = self.service._endpoint
        self.patch(endpoint, "listen", lambda factory: fail(error))
        self.service.startService()
        self.assertEqual(self.failures, [None])
        (line,) = [formatEvent(event) for event in logged if event["log_namespace"] == "wsx"]
        message = f'--metrics: expected an endpoint that can listen, got "{ENDPOINT}": '
        self.assertEqual(line.partition("CannotListenError")[0], message)
        self.assertIn("Address already in use", line)
        self.successResultOf(self.service.stopService())


class RunnerTests(RunCase):
    """The runner's part."""

    def test_ends_the_run(self) -> None:
        """A port that was taken after the command line was checked ends the run with status 1."""

        def listen(*arguments: Any, **options: Any) -> None:
            raise CannotListenError(HOST, 9100, OSError(98, "Address already in use"))

        self.patch(prometheus, "Exporter", lambda: Exporter(CollectorRegistry()))
        self.reactor.__dict__["listenTCP"] = listen
        service = self.run_service("--metrics", f"tcp:0:interface={HOST}")
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 1))
        service.stopService()
        self.step()
