"""Tests of wsx._twistd.metrics: the service behind --metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, capturedLogs, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from wsx import telemetry
from wsx._twistd.metrics import MetricsServer
from wsx.test.support.each import each
from wsx.test.support.extras import missing
from wsx.test.support.sockets import HOST
from wsx.test.support.twistd import RunCase

skip = missing("prometheus_client")
if not skip:
    from prometheus_client import CollectorRegistry

    from wsx import prometheus
    from wsx.prometheus import Exporter

ENDPOINT = "tcp:9100:interface=127.0.0.1"


class ListeningReactor(MemoryReactorClock):
    """A reactor in memory whose ports know their interfaces."""

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> SimpleNamespace:
        listening = super().listenTCP(port, factory, backlog, interface)
        address = IPv4Address("TCP", interface, port)
        return SimpleNamespace(getHost=lambda: address, stopListening=listening.stopListening)


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

    def lines(self, description: str) -> list[tuple[str, str]]:
        """Serve metrics; return the level and the text of each log line, and the interface."""
        self.reactor = ListeningReactor()
        service = MetricsServer(description, self.reactor, lambda: self.failures.append(None))
        with capturedLogs() as events:
            service.startService()
        service.stopService()
        return [(event["log_level"].name, formatEvent(event) or "") for event in events]

    @each(
        [
            ("tcp:9100", "127.0.0.1", "127.0.0.1:9100"),
            ("tcp:9100:backlog=5", "127.0.0.1", "127.0.0.1:9100"),
            ("tcp:port=9100:interface=127.0.0.1", "127.0.0.1", "127.0.0.1:9100"),
            ("tcp6:9100", "::1", "[::1]:9100"),
            (r"tcp6:9100:interface=\:\:1", "::1", "[::1]:9100"),
        ]
    )
    def test_loopback(self, description: str, interface: str, place: str) -> None:
        """The default interface is the loopback; one log line says where the server listens."""
        line = ("info", f"metrics are served at http://{place}/metrics")
        self.assertEqual(self.lines(description), [line])
        self.assertEqual([server[3] for server in self.reactor.tcpServers], [interface])

    @each(
        [
            ("tcp:9100:interface=0.0.0.0", "0.0.0.0:9100"),
            ("tcp:9100:192.0.2.1", "192.0.2.1:9100"),
            (r"tcp6:9100:interface=\:\:", "[::]:9100"),
        ]
    )
    def test_other_interfaces(self, description: str, place: str) -> None:
        """A warning says that other hosts can read the metrics, and where."""
        text = f"metrics are served at http://{place}/metrics, and other hosts can read them"
        self.assertEqual(self.lines(description), [("warn", text)])

    def test_other_transports(self) -> None:
        """A server that listens on a Unix socket says so."""
        [(level, text)] = self.lines("unix:/run/m")
        self.assertEqual(level, "info")
        self.assertIn("/run/m", text)

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
