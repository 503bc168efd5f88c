"""Tests of wsx._doctor.explain_connecting: DNS, TCP and the proxy."""

from __future__ import annotations

from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)

from wsx.test.support.doctor import DoctorCase

PROXY = "http://proxy.test:3128"


class DNSTests(DoctorCase):
    """DNS."""

    def test_unknown_host(self) -> None:
        """A name without addresses."""
        self.examine_network("ws://nosuch.test/")
        self.assert_problem(
            "dns", "host_not_found", '"nosuch.test" was not found', "the URL", "DNS servers"
        )

    def test_unknown_proxy(self) -> None:
        """With a proxy, its host is looked up."""
        self.examine_network(proxy=PROXY)
        self.assert_problem("dns", "host_not_found", '"proxy.test"', "--proxy")

    def test_unknown_host_of_the_endpoint(self) -> None:
        """An endpoint may look up the host as a part of TCP."""
        self.examine(endpoint="tcp:nosuch.test:80")
        self.reactor.refuse(error=DNSLookupError())
        self.assert_problem("tcp", "host_not_found", '"nosuch.test"', "--endpoint")

    def test_slow_lookup(self) -> None:
        """A lookup that exceeds the time limit."""
        self.reactor.names.silent = True
        self.examine_network(socket_connect_timeout=3.0)
        self.reactor.advance(3)
        self.step()
        self.assert_problem(
            "dns", "dns_timeout", "did not end within 3 s", "--connect-timeout", "DNS servers"
        )


class TCPTests(DoctorCase):
    """TCP."""

    def test_refused(self) -> None:
        """The only address refuses."""
        self.examine_network("ws://192.0.2.1:81/")
        self.reactor.refuse()
        self.assert_problem(
            "tcp", "connection_refused", "192.0.2.1:81 refused", "start the server", "the URL"
        )

    def test_all_refused(self) -> None:
        """All addresses refuse."""
        self.reactor.names.table["example.test"] = ["192.0.2.1", "2001:db8::1"]
        self.examine_network("ws://example.test/")
        for _ in range(2):
            self.reactor.refuse()
            self.reactor.advance(0.3)
        self.reactor.advance(0.3)
        self.assert_problem(
            "tcp", "connection_refused", "192.0.2.1:80 and [2001:db8::1]:80 refused"
        )

    def test_no_route(self) -> None:
        """There is no route to the address."""
        for error in (NoRouteError(), ConnectError(101, "Network is unreachable")):
            self.examine_network("ws://192.0.2.1/")
            self.reactor.refuse(error=error)
            self.assert_problem("tcp", "no_route", "no route to 192.0.2.1:80", "VPN")

    def test_timeout(self) -> None:
        """No address answers in time."""
        self.reactor.names.table["example.test"] = ["192.0.2.1", "192.0.2.2"]
        self.examine_network("ws://example.test/", socket_connect_timeout=2.0)
        self.reactor.pump([0.3] * 10)
        self.assert_problem(
            "tcp",
            "tcp_timeout",
            "no answer from 192.0.2.1:80 and 192.0.2.2:80 within 2 s",
            "firewall",
            "--connect-timeout",
        )

    def test_different_errors(self) -> None:
        """Each address fails in its own way."""
        self.reactor.names.table["example.test"] = ["192.0.2.1", "192.0.2.2"]
        self.examine_network("ws://example.test/")
        self.reactor.refuse()
        self.reactor.advance(0.3)
        self.reactor.refuse(error=TCPTimedOutError())
        self.reactor.advance(0.3)
        self.assert_problem("tcp", "tcp_failed", "192.0.2.1:80: connection refused", "192.0.2.2:80")

    def test_proxy_refuses_tcp(self) -> None:
        """With a proxy, TCP connects to the proxy."""
        self.examine_network(proxy="http://192.0.2.7:3128")
        self.reactor.refuse()
        self.assert_problem("tcp", "connection_refused", "192.0.2.7:3128", "--proxy")

    def test_endpoint(self) -> None:
        """An endpoint of the user fails without an address."""
        self.server.refusal = OSError("no such device")
        self.examine()
        self.assert_problem("tcp", "tcp_failed", "no such device", "--endpoint")

    def test_options(self) -> None:
        """An option of TLS cannot be used."""
        self.examine_network("wss://example.test/", ssl_options={"server_name": "a..b"})
        self.assert_problem("tcp", "tcp_failed", "server_name", "a..b", "the options of TLS")
        self.assertIsNone(self.report()["phases"][3]["server_name"])


class ProxyTests(DoctorCase):
    """The proxy."""

    def refuse(self, status: str, proxy: str = PROXY, headers: str = "") -> None:
        """Let the proxy answer CONNECT."""
        self.examine(proxy=proxy)
        head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n"
        self.peer.send(head.encode())

    def test_407(self) -> None:
        """The proxy requires credentials."""
        self.refuse("407 Who", headers='Proxy-Authenticate: Basic realm="us"\r\n')
        self.assert_problem(
            "proxy",
            "proxy_credentials_missing",
            "the proxy answered 407 Who",
            'Basic realm="us"',
            "--proxy @FILE",
        )

    def test_407_with_credentials(self) -> None:
        """The proxy does not accept the credentials, which are not shown."""
        self.refuse("407 Who", proxy="http://me:hushhush@proxy.test:3128")
        self.assert_problem("proxy", "proxy_credentials_wrong", "407", "correct the user name")
        self.assertNotIn("hushhush", str(self.report()))

    def test_403(self) -> None:
        """The proxy does not allow the target."""
        self.refuse("403 No")
        self.assert_problem("proxy", "proxy_refused", "403 No", "CONNECT to example.test:80")

    def test_502(self) -> None:
        """The proxy does not reach the target."""
        self.refuse("502 Bad Gateway")
        self.assert_problem("proxy", "proxy_cannot_connect", "502", "example.test:80")

    def test_not_http(self) -> None:
        """The proxy speaks another protocol."""
        self.examine(proxy=PROXY)
        self.peer.send(b"SSH-2.0-x\r\n")
        self.assert_problem("proxy", "proxy_failed", "the response is not HTTP", "--proxy")

    def test_closes(self) -> None:
        """The proxy closes TCP without a response."""
        self.examine(proxy=PROXY)
        self.peer.drop(ConnectionDone())
        self.assert_problem("proxy", "proxy_failed", "proxy.test:3128", "closed", "--proxy")

    def test_timeout(self) -> None:
        """The proxy does not answer in time."""
        self.examine(proxy=PROXY, socket_connect_timeout=2.0)
        self.reactor.advance(2)
        self.step()
        self.assert_problem("proxy", "proxy_timeout", "within 2 s", "example.test:80")
