"""Tests of ``wsx._transport.connection``: the opening handshake."""

from __future__ import annotations

import random

from wsx import HandshakeError, Text
from wsx._transport.connection import Connection
from wsx._wire import handshake
from wsx.test.support import read_frames, text
from wsx.test.support.connections import DEFLATE, ProtocolCase


class RandomTests(ProtocolCase):
    """The shared random generator is neither used nor changed."""

    def test_shared_generator_is_untouched(self) -> None:
        """A connection does not change the state of the shared random generator."""
        before = random.getstate()
        self.open()
        self.send(Text("hi"))
        self.connection.start_closing(1000, "")
        self.assertEqual(random.getstate(), before)

    def test_masks_cannot_be_predicted(self) -> None:
        """Masking keys do not depend on the shared generator (RFC 6455 section 5.3)."""
        before = random.getstate()
        self.addCleanup(random.setstate, before)
        wires = []
        for _ in range(2):
            random.seed(1)
            self.open()
            self.connection.buffer([Text("same")])
            self.connection.flush()
            wires.append(self.peer.transport.value())
        self.assertEqual([read_frames(wire) for wire in wires], [[(1, b"same")]] * 2)
        self.assertNotEqual(wires[0], wires[1])


class RequestTests(ProtocolCase):
    """The request of the opening handshake."""

    def test_the_connection_has_a_transport(self) -> None:
        """The endpoint's transport becomes the transport of the connection."""
        self.open()
        self.assertIsInstance(self.peer.protocol, Connection)
        self.assertIs(self.connection.transport, self.peer.transport)

    def test_host_header(self) -> None:
        """[S4] The Host header has a port unless it is the default one, and IPv6 in brackets."""
        cases = {
            "ws://example.test": "example.test",
            "ws://example.test:80/": "example.test",
            "ws://example.test:443/": "example.test:443",
            "ws://[::1]/": "[::1]",
            "ws://[2001:db8::1]:8080/": "[2001:db8::1]:8080",
            "ws://127.0.0.1:9000/": "127.0.0.1:9000",
        }
        for url, host in cases.items():
            self.attempt(url)
            self.assertEqual(self.peer.request[1]["host"], host, url)

    def test_crlf_never_reaches_the_wire(self) -> None:
        """[S15] A header with CR, LF or NUL is refused before anything is sent."""
        for header in [("X", "a\r\nY: b"), ("X\r\nY", "b"), ("X", "a\nb"), ("X", "a\0b")]:
            with self.assertRaises(ValueError, msg=header):
                self.attempt(extra_headers=[header])
        self.assertEqual(self.server.peers, [])

    def test_request_line_and_headers(self) -> None:
        """[S15] The request has path, query, extra headers, subprotocols and credentials."""
        self.attempt(
            "ws://me:pw%21@example.test/a%20b?c=d",
            extra_headers=[("X-One", "1")],
            subprotocols=["chat", "news"],
        )
        line, headers = self.peer.request
        self.assertEqual(line, "GET /a%20b?c=d HTTP/1.1")
        expected = {
            "x-one": "1",
            "sec-websocket-protocol": "chat, news",
            "sec-websocket-version": "13",
            "authorization": "Basic bWU6cHch",
            "upgrade": "websocket",
            "connection": "Upgrade",
        }
        self.assertEqual(expected, {name: headers.get(name) for name in expected})

    def test_compression_is_not_offered_by_default(self) -> None:
        """permessage-deflate is offered for ``compression="deflate"``, and not by default."""
        self.attempt()
        self.assertNotIn("sec-websocket-extensions", self.peer.request[1])
        self.attempt(compression="deflate")
        offer = self.peer.request[1]["sec-websocket-extensions"]
        self.assertEqual(offer.split(";")[0], DEFLATE)


class ResponseTests(ProtocolCase):
    """The response to the opening handshake."""

    def test_opened_has_the_response(self) -> None:
        """[S16] The Conn of ``opened`` has status, headers, subprotocol, extensions and peer."""
        self.attempt(subprotocols=["chat"], compression="deflate")
        self.peer.answer(
            Sec_WebSocket_Protocol="chat", Sec_WebSocket_Extensions=DEFLATE, X_Served_By="me"
        )
        conn = self.log.conns[0]
        self.assertEqual((conn.resp_status, conn.subprotocol), (101, "chat"))
        self.assertEqual(conn.extensions, (DEFLATE,))
        self.assertEqual(conn.resp_header("x-served-BY"), "me")
        self.assertEqual(conn.peer, "192.168.1.1:54321")

    def test_latin1_in_a_good_101(self) -> None:
        """[S16] Headers of a 101 are decoded as ISO-8859-1."""
        self.attempt()
        self.peer.answer(X_Name="caf\xe9")
        self.assertEqual(self.log.names, ["opened"])
        self.assertEqual(self.log.conns[0].resp_header("x-name"), "caf\xe9")

    def test_response_byte_by_byte(self) -> None:
        """A response may arrive byte by byte."""
        self.attempt()
        accept = handshake.accept_value(self.peer.request[1]["sec-websocket-key"])
        response = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        for byte in response.encode():
            self.assertEqual(self.log.events, [])
            self.peer.send(bytes([byte]))
        self.assertEqual(self.log.names, ["opened"])

    def test_header_is_limited(self) -> None:
        """A head that is longer than ``max_header_size`` fails the attempt before its end."""
        self.attempt(max_header_size=1000)
        self.peer.send(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
        self.peer.send(b"x" * 900)
        self.assertEqual(self.log.events, [])
        self.peer.send(b"x" * 100)
        self.assertIn("1000", str(self.failure(HandshakeError)))
        self.assertTrue(self.peer.transport.aborted)

    def test_header_limit_in_one_read(self) -> None:
        """A complete head that is too long fails the attempt as well."""
        self.attempt(max_header_size=1000)
        self.peer.answer(X_Long="x" * 1000)
        self.failure(HandshakeError)

    def test_header_limit_is_not_for_frames(self) -> None:
        """Frames in the same read do not count for ``max_header_size``."""
        self.open(text("x" * 60_000) * 2, max_header_size=1000)
        self.assertEqual(self.log.names, ["opened", "frame", "frame"])

    def test_not_http(self) -> None:
        """[S8] A server that does not speak HTTP is a HandshakeError at once."""
        self.attempt()
        self.peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.failure(HandshakeError)
        self.assertTrue(self.peer.transport.aborted)

    def test_wrong_accept(self) -> None:
        """[S8] A wrong accept value is a HandshakeError with both values."""
        self.attempt()
        key = self.peer.request[1]["sec-websocket-key"]
        self.peer.answer(accept="wrong")
        error = self.failure(HandshakeError)
        self.assertEqual(error.challenge, handshake.accept_value(key))
        self.assertEqual(error.response, "wrong")
        self.assertTrue(self.peer.transport.aborted)
