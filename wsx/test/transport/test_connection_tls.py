"""Tests of ``wsx._transport.connection`` over TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone

from wsx import ConnError, RequestError, Text, is_retryable
from wsx._transport.attempt import Attempt
from wsx._wire import handshake
from wsx.test.support import MemoryTransport, Peer, read_frames, text
from wsx.test.support.connections import ProtocolCase
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import SecureServer, expired, server_options

REFUSAL = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"


class TLSTests(ProtocolCase):
    """``wss`` over an in-memory transport."""

    ca = Once(lambda: trustme.CA())

    def setUp(self) -> None:
        super().setUp()
        self.secure = SecureServer(self.clock, server_options(self.ca.issue_cert("example.test")))
        self.ca_pem = self.ca.cert_pem.bytes()

    def attempt_tls(self, **options: Any) -> Attempt:
        """Start an attempt to connect with TLS, and let both sides exchange their bytes."""
        options = {"cacerts": self.ca_pem, "endpoint": self.secure} | options
        attempt = self.attempt("wss://example.test/feed", **options)
        self.secure.flush()
        return attempt

    def answer(self, rest: bytes = b"") -> None:
        """Complete the opening handshake with one write."""
        reader = Peer(None, self.clock)
        reader.transport = MemoryTransport(self.clock)
        reader.transport.write(bytes(self.secure.app.received))
        key = reader.request[1]["sec-websocket-key"]
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {handshake.accept_value(key)}\r\n\r\n"
        )
        self.secure.app.received.clear()
        self.secure.app_transport.write(head.encode() + rest)
        self.secure.flush()

    def test_nothing_on_the_global_reactor(self) -> None:
        """TLS schedules its writes on the given reactor, nothing on the global one."""
        from twisted.internet import reactor

        before = set(reactor.getDelayedCalls())
        self.attempt_tls()
        added = [call for call in reactor.getDelayedCalls() if call not in before]
        for call in added:
            call.cancel()
        self.assertEqual(added, [])
        self.assertTrue(self.secure.app.received.startswith(b"GET /feed HTTP/1.1\r\n"))

    def test_request_waits_for_tls(self) -> None:
        """The request is sent when TLS is ready, not before; then frames go both ways."""
        self.attempt_tls()
        self.answer()
        self.assertEqual(self.log.names, ["opened"])
        self.connection.buffer([Text("out")])
        self.connection.flush()
        self.secure.app_transport.write(text("in"))
        self.secure.flush()
        self.assertEqual(read_frames(bytes(self.secure.app.received)), [(1, b"out")])
        self.assertEqual(self.log.frames, [Text("in")])

    def test_frames_with_the_response(self) -> None:
        """[S19] Frames in the TLS record of the 101 are received after ``opened``."""
        self.attempt_tls()
        self.answer(text("one") + text("two"))
        self.assertEqual(
            self.log.events, [("opened",), ("frame", Text("one")), ("frame", Text("two"))]
        )

    def test_verified_by_default(self) -> None:
        """[S18] Certificates are verified by default: an unknown CA is a final ConnError."""
        self.attempt_tls(cacerts=trustme.CA().cert_pem.bytes())
        error = self.failure(ConnError)
        self.assertFalse(is_retryable(error))
        self.assertEqual(bytes(self.secure.app.received), b"")

    def test_other_host(self) -> None:
        """[S18] A certificate for another host is a final ConnError; nothing is sent."""
        self.secure.options = server_options(self.ca.issue_cert("other.test"))
        self.attempt_tls()
        self.assertFalse(is_retryable(self.failure(ConnError)))
        self.assertEqual(bytes(self.secure.app.received), b"")

    def test_insecure(self) -> None:
        """[S18] With ``insecure=True`` an unknown CA is accepted."""
        self.attempt_tls(cacerts=trustme.CA().cert_pem.bytes(), insecure=True)
        self.answer()
        self.assertEqual(self.log.names, ["opened"])

    def test_timeout_within_tls(self) -> None:
        """[S17] ``socket_connect_timeout`` includes TLS."""
        self.secure.mute = True
        self.attempt_tls(socket_connect_timeout=0.5, socket_recv_timeout=99.0)
        self.clock.advance(0.49)
        self.assertEqual(self.log.events, [])
        self.clock.advance(0.02)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)

    def test_cancelled_within_tls(self) -> None:
        """Cancelling during the TLS handshake aborts TCP and does not notify the listener."""
        self.secure.mute = True
        attempt = self.attempt_tls()
        attempt.cancel()
        self.secure.flush()
        self.clock.advance(60)
        self.assertTrue(self.secure.client_io.disconnecting)
        self.assertEqual(self.log.events, [])

    def test_dropped(self) -> None:
        """[D1] At the end of an open TLS connection ``closed`` is called once."""
        self.attempt_tls()
        self.answer()
        self.secure.app_transport.loseConnection()
        self.secure.flush()
        self.assertEqual(self.log.names, ["opened", "closed"])

    def refuse(self, response: bytes) -> None:
        """Send a refusal and hold back what the client sends after it."""
        self.secure.app_transport.write(response)
        self.secure.pump()
        self.assertEqual(self.log.names, ["failed"])

    def test_refused(self) -> None:
        """[S8] After a refusal TLS is closed with close_notify, and TCP with FIN."""
        self.attempt_tls()
        self.refuse(REFUSAL)
        self.assertEqual(self.failure(RequestError).body, b"no")
        self.assertFalse(self.secure.client_io.disconnecting)
        self.secure.flush()
        self.assertIsInstance(self.secure.app.lost, ConnectionDone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_without_close_notify(self) -> None:
        """[S8] If the server does not reply to close_notify, TCP is aborted after one second."""
        self.attempt_tls()
        self.refuse(REFUSAL)
        self.clock.advance(0.999)
        self.assertFalse(self.secure.client_io.disconnecting)
        self.clock.advance(0.002)
        self.assertTrue(self.secure.client_io.disconnecting)
        self.secure.flush()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failure(RequestError)

    def test_expired(self) -> None:
        """[S18] A certificate that has expired is a final ConnError with an explanation."""
        self.secure.options = server_options(expired(self.ca, "example.test"))
        self.attempt_tls()
        error = self.failure(ConnError)
        self.assertEqual(error.explanation, "the server's certificate has expired")
        self.assertFalse(is_retryable(error))
        self.assertEqual(bytes(self.secure.app.received), b"")
