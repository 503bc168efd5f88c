"""Tests of ``wsx._transport.endpoints``: the endpoint for a Conn."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._scheduler import scheduler_for
from wsx._transport import tls
from wsx._transport.endpoints import endpoint_for
from wsx.test.support import MemoryServer
from wsx.test.support.tls import Side

PROXY = "http://proxy.test:3128"


class EndpointTests(SynchronousTestCase):
    """The endpoint for a Conn."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.factory = Factory.forProtocol(Side)

    def connect(self, url: str, **options: Any) -> Deferred[Any]:
        """Connect to the endpoint of a Conn; the attempt is cancelled at the end of the test."""
        connecting = endpoint_for(Conn(url, **options), self.reactor).connect(self.factory)
        connecting.addErrback(lambda _: None)  # The test cancels it at its end.
        self.addCleanup(connecting.cancel)
        return connecting

    def test_targets(self) -> None:
        """[S4] An address in the URL is connected to unchanged, with the URL's port."""
        cases = {
            "ws://127.0.0.2": ("127.0.0.2", 80),
            "ws://127.0.0.2:8080/x": ("127.0.0.2", 8080),
            "http://127.0.0.2": ("127.0.0.2", 80),
            "wss://127.0.0.2": ("127.0.0.2", 443),
            "https://127.0.0.2": ("127.0.0.2", 443),
            "ws://[::1]": ("::1", 80),
            "wss://[2001:db8::1]:8443": ("2001:db8::1", 8443),
            "ws://[fe80::1%25eth0]:81": ("fe80::1%eth0", 81),
        }
        for url, target in cases.items():
            self.connect(url)
            self.assertEqual(self.reactor.tcpClients[-1][:2], target, url)

    def test_name(self) -> None:
        """[S4] A name is resolved by the given reactor, with the URL's port."""
        asked = []
        resolve = self.reactor.nameResolver.resolveHostName

        def note(*args: Any, **kwargs: Any) -> Any:
            asked.append((args[1], kwargs["portNumber"]))
            return resolve(*args, **kwargs)

        self.patch(self.reactor.nameResolver, "resolveHostName", note)
        self.connect("ws://example.test:8080")
        self.reactor.advance(0)
        self.assertEqual(asked, [("example.test", 8080)])
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("127.0.0.1", 8080))

    def test_no_timeout(self) -> None:
        """Twisted's timeout, which follows the wall clock, is not used."""
        for url in ("ws://127.0.0.1", "ws://[::1]", "ws://example.test"):
            self.connect(url)
            self.reactor.advance(0)
            self.assertIsNone(self.reactor.tcpClients[-1][3], url)

    def test_clock_of_tls(self) -> None:
        """Twisted's TLS uses the scheduler of wsx, which does not follow the wall clock."""
        clocks: list[Any] = []
        factory = TLSMemoryBIOFactory

        def note(*arguments: Any) -> Any:
            clocks.append(arguments[-1])
            return factory(*arguments)

        self.patch(tls, "TLSMemoryBIOFactory", note)
        self.patch(tls, "uses_stdlib", False)
        self.connect("wss://127.0.0.1")
        self.assertEqual(clocks, [scheduler_for(self.reactor)])

    def test_endpoint_object(self) -> None:
        """``endpoint``: an endpoint replaces the URL's host and port."""
        endpoint = TCP4ClientEndpoint(self.reactor, "192.0.2.9", 99)
        self.assertIs(endpoint_for(Conn("ws://example.test", endpoint=endpoint), None), endpoint)

    def test_endpoint_string(self) -> None:
        """``endpoint``: a string description replaces the URL's host and port."""
        self.connect("ws://example.test", endpoint="tcp:192.0.2.9:99")
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("192.0.2.9", 99))
        self.connect("ws://example.test", endpoint="unix:/run/sock")
        self.assertEqual(self.reactor.unixClients[-1][0], "/run/sock")

    def test_tls_goes_on_top_of_an_endpoint(self) -> None:
        """``wss`` with ``endpoint`` uses TLS on top of it; ``ws`` does not."""
        for url, first in [("wss://example.test", b"\x16\x03"), ("ws://example.test", b"")]:
            server = MemoryServer(self.reactor)
            self.connect(url, endpoint=server)
            self.assertEqual(server.peer.transport.value()[:2], first, url)

    def test_bad_descriptions(self) -> None:
        """A malformed description raises; the attempt turns that into a ConnError."""
        for description in ("nonsense:1", "", "tcp:host:port", "tcp:host", "tcp:h:80:bogus=1"):
            conn = Conn("ws://example.test", endpoint=description)
            with self.assertRaises((ValueError, TypeError), msg=description):
                endpoint_for(conn, self.reactor)

    def test_proxy_instead_of_host(self) -> None:
        """With ``proxy`` the proxy is connected to, by address or by name."""
        cases = {
            "http://192.0.2.7:3128": ("192.0.2.7", 3128),
            "http://[::1]:3128": ("::1", 3128),
            "http://192.0.2.7": ("192.0.2.7", 80),
            PROXY: ("127.0.0.1", 3128),
        }
        for proxy, target in cases.items():
            self.connect("wss://example.test", proxy=proxy)
            self.reactor.advance(0)
            self.assertEqual(self.reactor.tcpClients[-1][:2], target, proxy)
