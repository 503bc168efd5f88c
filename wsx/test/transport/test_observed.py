"""Tests of wsx._transport.observed: the steps of an attempt."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError, UserError
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTCP
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._transport.attempt import Attempt
from wsx._transport.observed import ObservedEndpoint, ObservedReactor
from wsx.test.support import MemoryServer
from wsx.test.support.connections import Log
from wsx.test.support.network import NetworkReactor


class Steps:
    """An observer that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def resolving(self, host: str) -> None:
        self.calls.append(("resolving", host))

    def resolved(self, addresses: list[str]) -> None:
        self.calls.append(("resolved", *addresses))

    def trying(self, address: str) -> None:
        self.calls.append(("trying", address))

    def tried(self, address: str, error: BaseException | None) -> None:
        self.calls.append(("tried", address, type(error).__name__))

    def reached(self, step: str) -> None:
        self.calls.append(("reached", step))

    def connected(self, transport: Any) -> None:
        self.calls.append(("connected",))

    def secured(self) -> None:
        self.calls.append(("secured",))


class ObservedCase(SynchronousTestCase):
    """Base class for tests with a reactor whose network the test controls."""

    def setUp(self) -> None:
        self.reactor = NetworkReactor()
        self.steps = Steps()

    def attempt(self, url: str, **options: Any) -> Attempt:
        """Start an attempt with an observer."""
        attempt = Attempt(Conn(url, **options), self.reactor, Log(), self.steps)
        attempt.start()
        return attempt


class AttemptTests(ObservedCase):
    """The steps of whole attempts."""

    def test_name(self) -> None:
        """A name: the lookup, both addresses, and the connection of the second."""
        self.reactor.names.table["example.test"] = ["2001:db8::1", "192.0.2.1"]
        self.attempt("ws://example.test:8080/")
        self.reactor.refuse()
        self.reactor.advance(1)
        self.reactor.accept()
        self.assertEqual(
            self.steps.calls,
            [
                ("resolving", "example.test"),
                ("resolved", "2001:db8::1", "192.0.2.1"),
                ("trying", "[2001:db8::1]:8080"),
                ("tried", "[2001:db8::1]:8080", "ConnectionRefusedError"),
                ("trying", "192.0.2.1:8080"),
                ("tried", "192.0.2.1:8080", "NoneType"),
                ("reached", "tcp"),
                ("connected",),
                ("secured",),
            ],
        )

    def test_unknown_name(self) -> None:
        """A name without addresses: an empty result."""
        self.attempt("ws://nosuch.test/")
        self.assertEqual(self.steps.calls, [("resolving", "nosuch.test"), ("resolved",)])

    def test_address(self) -> None:
        """An address: no lookup."""
        self.attempt("ws://192.0.2.1/")
        self.assertEqual(self.steps.calls, [("trying", "192.0.2.1:80")])

    def test_proxy(self) -> None:
        """A proxy: TCP to the proxy, then the end of CONNECT, then the server."""
        self.attempt("ws://example.test/", proxy="http://192.0.2.7:3128")
        peer = self.reactor.accept()
        self.assertEqual(self.steps.calls[-1], ("reached", "tcp"))
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(
            self.steps.calls[-3:], [("reached", "proxy"), ("connected",), ("secured",)]
        )

    def test_tls(self) -> None:
        """TLS: connected before its handshake, and not secured after a failure."""
        self.attempt("wss://192.0.2.1/")
        self.reactor.accept().send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.steps.calls[-2:], [("reached", "tcp"), ("connected",)])

    def test_unix(self) -> None:
        """A UNIX socket is an address."""
        self.attempt("ws://example.test/", endpoint="unix:/run/sock")
        self.assertEqual(self.steps.calls, [("trying", "/run/sock")])
        factory = self.reactor.unixClients[-1][1]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertEqual(self.steps.calls[-1], ("tried", "/run/sock", "ConnectionRefusedError"))

    def test_endpoint_object(self) -> None:
        """An endpoint of the user: only the end of TCP."""
        self.attempt("ws://example.test/", endpoint=MemoryServer(self.reactor))
        self.assertEqual(self.steps.calls, [("reached", "tcp"), ("connected",), ("secured",)])

    def test_no_observer(self) -> None:
        """Without an observer, the reactor and the endpoints are not wrapped."""
        Attempt(Conn("ws://192.0.2.1/"), self.reactor, Log()).start()
        factory = self.reactor.tcpClients[-1][2]
        self.assertNotIn("observed", type(factory).__module__)


class ReactorTests(ObservedCase):
    """The observed reactor."""

    def test_delegates(self) -> None:
        """It provides the interfaces, the methods and the attributes of the reactor."""
        observed = ObservedReactor(self.reactor, self.steps)
        self.assertTrue(IReactorTCP.providedBy(observed))
        self.assertTrue(IReactorPluggableNameResolver.providedBy(observed))
        self.reactor.advance(3)
        self.assertEqual(observed.seconds(), 3)

    def test_factory_is_passed_all_calls(self) -> None:
        """The factory gets the events of its connection, also those that are not observed."""
        events = []

        class Client(Factory):
            def startedConnecting(self, connector: Any) -> None:
                events.append("startedConnecting")

            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                events.append(type(reason.value).__name__)

            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                events.append("clientConnectionLost")

        ObservedReactor(self.reactor, self.steps).connectTCP("192.0.2.1", 80, Client(), timeout=3)
        factory: Any = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(UserError()))
        factory.clientConnectionLost(None, Failure(UserError()))
        self.assertEqual(events, ["startedConnecting", "UserError", "clientConnectionLost"])
        self.assertEqual(self.reactor.tcpClients[-1][3], 3)


class EndpointTests(ObservedCase):
    """The observed endpoint."""

    def test_reported_before_the_protocol_is_connected(self) -> None:
        """The end of the step is reported before the protocol sends anything."""
        calls = self.steps.calls

        class Client(Protocol):
            def connectionMade(self) -> None:
                calls.append(("made",))

        server = MemoryServer(self.reactor)
        ObservedEndpoint(server, "tcp", self.steps).connect(Factory.forProtocol(Client))
        self.assertEqual(calls, [("reached", "tcp"), ("made",)])
