"""Tests of ``wsx._transport.connection`` over TLS."""

from __future__ import annotations

from typing import Any

import trustme

from wsx import ConnError, Text, is_retryable
from wsx._transport.connection import Attempt
from wsx._wire import handshake
from wsx.test.support import MemoryTransport, Peer, read_frames, text
from wsx.test.support.connections import ProtocolCase
from wsx.test.support.tls import SecureServer, server_options


class TLSTests(ProtocolCase):
    """``wss`` over an in-memory transport."""

    ca = trustme.CA()

    def setUp(self) -> None:
        super().setUp()
        self.secure = SecureServer(self.clock, server_options(self.ca.issue_cert("example.test")))
        self.ca_pem = self.ca.cert_pem.bytes()

    def attempt_tls(self, **options: Any) -> Attempt:
        """Starts an attempt to connect by TLS, as far as it gets."""
        options = {"cacerts": self.ca_pem, "endpoint": self.secure} | options
        attempt = self.attempt("wss://example.test/feed", **options)
        self.secure.flush()
        return attempt

    def answer(self, rest: bytes = b"") -> None:
        """Completes the opening handshake with one write."""
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
        """Trap: wss over an in-memory transport. TLS buffers with the given reactor as well."""
        from twisted.internet import reactor

        before = set(reactor.getDelayedCalls())
        self.attempt_tls()
        added = [call for call in reactor.getDelayedCalls() if call not in before]
        for call in added:
            call.cancel()
        self.assertEqual(added, [])
        self.assertTrue(self.secure.app.received.startswith(b"GET /feed HTTP/1.1\r\n"))

    def test_request_waits_for_tls(self) -> None:
        """The request goes out when TLS is made, not before; then frames go both ways."""
        self.attempt_tls()
        self.answer()
        self.assertEqual(self.log.names, ["opened"])
        self.connection.gather([Text("out")])
        self.connection.flush()
        self.secure.app_transport.write(text("in"))
        self.secure.flush()
        self.assertEqual(read_frames(bytes(self.secure.app.received)), [(1, b"out")])
        self.assertEqual(self.log.frames, [Text("in")])

    def test_frames_with_the_response(self) -> None:
        """[S19] Frames in the TLS record of the 101 come after ``opened``."""
        self.attempt_tls()
        self.answer(text("one") + text("two"))
        self.assertEqual(
            self.log.events, [("opened",), ("frame", Text("one")), ("frame", Text("two"))]
        )

    def test_verified_by_default(self) -> None:
        """[S18] Trap: ``connectWS`` does not verify TLS. An unknown CA is a ConnError, for good."""
        self.attempt_tls(cacerts=trustme.CA().cert_pem.bytes())
        error = self.failure(ConnError)
        self.assertFalse(is_retryable(error))
        self.assertEqual(bytes(self.secure.app.received), b"")

    def test_other_host(self) -> None:
        """[S18] A certificate for another host is a ConnError, for good; nothing is sent."""
        self.secure.options = server_options(self.ca.issue_cert("other.test"))
        self.attempt_tls()
        self.assertFalse(is_retryable(self.failure(ConnError)))
        self.assertEqual(bytes(self.secure.app.received), b"")

    def test_insecure(self) -> None:
        """[S18] ``insecure=True`` connects all the same."""
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
        """An attempt that is cancelled during TLS drops TCP and says nothing."""
        self.secure.mute = True
        attempt = self.attempt_tls()
        attempt.cancel()
        self.secure.flush()
        self.clock.advance(60)
        self.assertTrue(self.secure.client_io.disconnecting)
        self.assertEqual(self.log.events, [])

    def test_dropped(self) -> None:
        """[D1] The end of an open TLS connection is ``closed``, once."""
        self.attempt_tls()
        self.answer()
        self.secure.app_transport.loseConnection()
        self.secure.flush()
        self.assertEqual(self.log.names, ["opened", "closed"])
