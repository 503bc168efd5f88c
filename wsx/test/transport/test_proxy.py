"""Tests of ``wsx._transport.proxy``: connect through an HTTP proxy."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from wsx import Conn, ConnError, HandshakeError, RequestError
from wsx._transport.endpoints import endpoint_for
from wsx.test.support import MemoryCase, MemoryServer, MemoryTransport, Peer, Recorder, memory, text
from wsx.test.support.connections import assert_closed_gently
from wsx.test.support.tls import Side

PROXY = "http://proxy.test:3128"


class TunnelTests(SynchronousTestCase):
    """CONNECT through an HTTP proxy."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.proxy = MemoryServer(self.clock)
        self.inner = Side()

    @property
    def peer(self) -> Peer:
        """The proxy's side of the connection."""
        return self.proxy.peer

    def connect(
        self, url: str = "ws://example.test/x", proxy: str = PROXY, **options: Any
    ) -> Deferred[Any]:
        """Connect through the proxy."""
        conn = Conn(url, proxy=proxy, endpoint=self.proxy, **options)
        factory = Factory.forProtocol(lambda: self.inner)
        return endpoint_for(conn, self.clock).connect(factory)

    def test_request(self) -> None:
        """The request names the target with its port, and has nothing of the inner request."""
        cases = {
            "ws://example.test/secret?q=1": b"example.test:80",
            "wss://example.test": b"example.test:443",
            "ws://example.test:8080": b"example.test:8080",
            "ws://[::1]": b"[::1]:80",
        }
        for url, target in cases.items():
            self.connect(url, extra_headers={"Cookie": "secret"})
            line, *headers = self.peer.transport.value().split(b"\r\n")
            self.assertEqual(line, b"CONNECT " + target + b" HTTP/1.1", url)
            self.assertEqual(headers[-2:], [b"", b""], url)
            self.assertIn(b"Host: " + target, headers, url)
            self.assertNotIn(b"secret", self.peer.transport.value(), url)

    def test_credentials(self) -> None:
        """The proxy's credentials are sent to the proxy, percent-decoded; the server's are not."""
        self.connect("ws://server:pw@example.test", "http://me:p%40ss@proxy.test:3128")
        headers = self.peer.request[1]
        self.assertEqual(headers["proxy-authorization"], "Basic bWU6cEBzcw==")
        self.assertNotIn("authorization", headers)

    def test_no_credentials(self) -> None:
        """Without credentials there is no Proxy-Authorization header."""
        self.connect()
        self.assertNotIn("proxy-authorization", self.peer.request[1])

    def test_established(self) -> None:
        """After a 200 the protocol behind the proxy reads from and writes to the tunnel."""
        connecting = self.connect()
        self.assertNoResult(connecting)
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.assertIs(self.successResultOf(connecting), self.inner)
        self.peer.send(b"in")
        self.inner.transport.write(b"out")  # type: ignore[union-attr]
        self.assertEqual((self.inner.received, self.peer.transport.value()), (b"in", b"out"))
        self.peer.drop(ConnectionLost())
        self.assertIsInstance(self.inner.lost, ConnectionLost)

    def test_response_in_pieces(self) -> None:
        """The proxy's response may arrive byte by byte."""
        connecting = self.connect()
        for byte in b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n":
            self.assertNoResult(connecting)
            self.peer.send(bytes([byte]))
        self.successResultOf(connecting)

    def test_bytes_after_the_200(self) -> None:
        """Bytes behind the 200 belong to the tunnel; Content-Length is ignored."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nearly bytes")
        self.successResultOf(connecting)
        self.assertEqual(self.inner.received, b"early bytes")

    def test_any_2xx(self) -> None:
        """Any 2xx opens the tunnel (RFC 9110 section 9.3.6)."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 204 Fine\r\n\r\n")
        self.successResultOf(connecting)

    def test_refused(self) -> None:
        """A 407 is a RequestError with its body; TCP is closed with FIN."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 5\r\n\r\nlog")
        self.assertNoResult(connecting)
        self.peer.send(b"in")
        error = self.failureResultOf(connecting, RequestError).value
        self.assertEqual((error.code, error.message, error.body), (407, "Who are you?", b"login"))
        self.assertEqual(str(error), 'the proxy answered 407 "Who are you?"')
        assert_closed_gently(self, self.peer, self.clock)

    def test_abort_after_a_second(self) -> None:
        """If the connection has not ended one second after a refusal, it is aborted."""
        connecting = self.connect()
        self.peer.transport.write_blocked = True
        self.peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        self.failureResultOf(connecting, RequestError)
        self.assertTrue(self.peer.transport.disconnecting)
        self.clock.advance(0.999)
        self.assertFalse(self.peer.transport.aborted)
        self.clock.advance(0.002)
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bytes_after_a_refusal(self) -> None:
        """Bytes that arrive after a refusal are discarded."""
        connecting = self.connect()
        refusal = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
        self.peer.send(refusal)
        self.peer.send(refusal)
        self.assertEqual(self.failureResultOf(connecting, RequestError).value.body, b"no")
        assert_closed_gently(self, self.peer, self.clock)

    def test_transport_that_ends_at_once(self) -> None:
        """If ``loseConnection`` ends TCP at once, the refusal is still reported."""
        connecting = self.connect()
        transport = self.peer.transport
        self.patch(transport, "loseConnection", lambda: transport.end(ConnectionDone()))
        self.peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        self.assertEqual(self.failureResultOf(connecting, RequestError).value.body, b"no")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refusal_that_ends_with_the_connection(self) -> None:
        """If the end of TCP completes the refusal, no timer is left."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 403 No\r\n\r\nno")
        self.peer.drop()
        self.assertEqual(self.failureResultOf(connecting, RequestError).value.body, b"no")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_interim_responses(self) -> None:
        """Interim responses before the proxy's response are skipped, wherever they are cut."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
        for cut in range(len(interim)):
            self.inner = Side()
            connecting = self.connect()
            self.peer.send(interim[:cut])
            self.assertNoResult(connecting)
            self.peer.send(interim[cut:] + b"HTTP/1.1 200 OK\r\n\r\nbytes")
            self.successResultOf(connecting)
            self.assertEqual(self.inner.received, b"bytes", cut)

    def test_refusal_after_interim_responses(self) -> None:
        """A refusal behind an interim response is a RequestError."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        self.peer.send(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
        error = self.failureResultOf(connecting, RequestError).value
        self.assertEqual((error.code, error.body), (407, b"no"))

    def test_too_many_interim_responses(self) -> None:
        """Too many interim responses are a HandshakeError; TCP is aborted."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 16)
        self.assertNoResult(connecting)
        self.peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        error = self.failureResultOf(connecting, HandshakeError).value
        self.assertIn("interim", error.reason)
        self.assertTrue(self.peer.transport.aborted)

    def test_101(self) -> None:
        """101 does not open the tunnel: it is a refusal without a body."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        self.assertEqual(self.failureResultOf(connecting, RequestError).value.code, 101)
        assert_closed_gently(self, self.peer, self.clock)

    def test_single_lf(self) -> None:
        """A response whose lines end with LF opens the tunnel."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 200 OK\nVia: x\n\nbytes")
        self.successResultOf(connecting)
        self.assertEqual(self.inner.received, b"bytes")

    def test_tls_alert(self) -> None:
        """A proxy that speaks TLS is a HandshakeError that names the proxy and TLS."""
        connecting = self.connect()
        self.peer.send(b"\x15\x03\x03\x00\x02\x02\x46")
        error = self.failureResultOf(connecting, HandshakeError).value
        self.assertIn("proxy: ", error.reason)
        self.assertIn("not HTTP but TLS", error.reason)
        self.assertNotIn("wss://", error.reason, "the URL's scheme is not to blame")

    def test_refused_with_part_of_a_body(self) -> None:
        """An incomplete refusal has the part of its body that has arrived."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 50\r\n\r\npart")
        self.peer.drop()
        self.assertEqual(self.failureResultOf(connecting, RequestError).value.body, b"part")

    def test_not_http(self) -> None:
        """A proxy that does not speak HTTP is a HandshakeError that names the proxy."""
        connecting = self.connect()
        self.peer.send(b"\x05\xff")
        error = self.failureResultOf(connecting, HandshakeError).value
        self.assertIn("proxy", str(error))
        self.assertTrue(self.peer.transport.aborted)

    def test_header_too_long(self) -> None:
        """A head that is longer than ``max_header_size`` is a HandshakeError."""
        connecting = self.connect(max_header_size=200)
        self.peer.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100)
        self.assertNoResult(connecting)
        self.peer.send(b"x" * 100)
        self.failureResultOf(connecting, HandshakeError)
        self.assertTrue(self.peer.transport.aborted)

    def test_hang_up(self) -> None:
        """If the proxy ends TCP, the connection fails with the reason."""
        for before in (b"", b"HTTP/1.1 200 OK\r\n"):
            connecting = self.connect()
            if before:
                self.peer.send(before)
            self.peer.drop()
            self.failureResultOf(connecting, ConnectionDone)

    def test_unreachable(self) -> None:
        """If the proxy cannot be reached, the connection fails with the endpoint's error."""
        self.proxy.refusal = OSError("no route")
        self.assertIs(self.failureResultOf(self.connect(), OSError).value, self.proxy.refusal)

    def test_cancelled_while_connecting(self) -> None:
        """Cancelling while connecting to the proxy cancels that."""
        self.proxy.silent = True
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.proxy.cancelled, 1)

    def test_cancelled_while_waiting(self) -> None:
        """Cancelling while waiting for the proxy's response aborts TCP."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 200 O")
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(0)
        self.assertIsNone(self.inner.transport)

    def test_tls_starts_after_the_200(self) -> None:
        """``wss`` through a proxy sends CONNECT without TLS, then starts TLS."""
        self.connect("wss://example.test")
        self.assertTrue(self.peer.transport.value().startswith(b"CONNECT"))
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(self.peer.transport.value()[:2], b"\x16\x03")


class TLSTransport(MemoryTransport):
    """A transport whose TLS handshake with the proxy is complete."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        alsoProvides(self, ISSLTransport)


class ProxyClientTests(MemoryCase):
    """A client behind a proxy."""

    def test_connected(self) -> None:
        """A client uses the tunnel; frames in the read of the 101 are delivered."""
        recorder = Recorder()
        started = self.start(recorder, proxy=PROXY)
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(self.peer.request[0], "GET /feed HTTP/1.1")
        self.peer.answer(text("hello"))
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])

    def test_connected_with_tls_to_the_proxy(self) -> None:
        """A ``ws://`` URL works through a proxy that is reached with TLS."""
        self.patch(memory, "MemoryTransport", TLSTransport)
        started = self.start(Recorder(), proxy=PROXY)
        self.assertEqual(self.peer.request[0], "CONNECT example.test:80 HTTP/1.1")
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(self.peer.request[0], "GET /feed HTTP/1.1")
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_refused(self) -> None:
        """[S8] A proxy's refusal is a ConnError whose original has status and body."""
        started = self.start(Recorder(), proxy="http://me:topsecret@proxy.test:3128")
        self.peer.send(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
        self.step()
        error = self.failureResultOf(started, ConnError).value
        self.assertIsInstance(error.original, RequestError)
        self.assertEqual((error.original.code, error.original.body), (407, b"no"))
        self.assertNotIn("topsecret", str(error))

    def test_refused_gently(self) -> None:
        """A refusal of the server behind the proxy ends the tunnel with FIN."""
        started = self.start(Recorder(), proxy=PROXY)
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        self.step()
        self.assertEqual(self.failureResultOf(started, RequestError).value.code, 403)
        assert_closed_gently(self, self.peer, self.clock)

    def test_silent_proxy(self) -> None:
        """[S17] ``socket_connect_timeout`` includes the proxy."""
        started = self.start(Recorder(), proxy=PROXY, socket_connect_timeout=0.5)
        self.clock.advance(0.49)
        self.assertNoResult(started)
        self.clock.advance(0.02)
        self.step()
        error = self.failureResultOf(started, ConnError).value
        self.assertIsInstance(error.original, TimeoutError)
        self.assertTrue(self.peer.transport.aborted)
