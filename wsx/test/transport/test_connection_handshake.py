"""Tests of ``wsx._transport.connection``: attempts and the opening handshake."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from wsx import ConnError, HandshakeError, Ping, RequestError, Text
from wsx._transport.connection import Connection
from wsx._wire import handshake
from wsx.test.support import Peer, close, read_frames, server_frame, text
from wsx.test.support.connections import DEFLATE, ProtocolCase


class TimerTests(ProtocolCase):
    """Autobahn's timers go to a global loop in whole seconds; ours go to the given reactor."""

    def test_nothing_on_the_global_reactor(self) -> None:
        """Trap: Autobahn's timers are global. A connection's whole life schedules nothing there."""
        from twisted.internet import reactor

        before = set(reactor.getDelayedCalls())
        connection = self.open()
        self.send(Text("hi"), Ping(b"p"))
        self.peer.send(text("hi") + server_frame(9, b"p"))
        connection.start_closing(1000, "")
        self.peer.send(close(1000))
        self.assertEqual(set(reactor.getDelayedCalls()), before)
        self.peer.drop()
        self.assertEqual(set(reactor.getDelayedCalls()), before)

    def test_connect_timeout_is_exact(self) -> None:
        """[S17] Trap: timers cut to whole seconds. A connect time-out of 0.25 s takes that long."""
        self.server.silent = True
        self.attempt(socket_connect_timeout=0.25)
        self.clock.advance(0.249)
        self.assertEqual(self.log.events, [])
        self.clock.advance(0.002)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)
        self.assertEqual(self.server.cancelled, 1)

    def test_response_timeout_is_exact(self) -> None:
        """[S17] The response has ``socket_recv_timeout`` seconds, however short; then TCP ends."""
        self.attempt(socket_connect_timeout=99.0, socket_recv_timeout=0.3)
        self.clock.advance(0.299)
        self.assertEqual(self.log.events, [])
        self.clock.advance(0.002)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)
        self.assertTrue(self.peer.transport.aborted)

    def test_dripping_response(self) -> None:
        """[S17] The response's time is for all of it: a server that drips does not prolong it."""
        self.attempt(socket_recv_timeout=1.0)
        for byte in b"HTTP/1.1 101":
            self.peer.send(bytes([byte]))
            self.clock.advance(0.1)
        self.assertIsInstance(self.failure(ConnError).original, TimeoutError)

    def test_connect_timeout_ends_with_the_connection(self) -> None:
        """[S17] The connect time-out does not go on into the response's time."""
        self.attempt(socket_connect_timeout=1.0, socket_recv_timeout=5.0)
        self.clock.advance(4.9)
        self.peer.answer()
        self.assertEqual(self.log.names, ["opened"])

    def test_no_timer_is_left(self) -> None:
        """An open connection has no timer of the attempt any more."""
        self.open()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RandomTests(ProtocolCase):
    """Autobahn's factory reseeds the shared generator, and its masks come from it."""

    def test_shared_generator_is_untouched(self) -> None:
        """Trap: ``random.seed()`` on the shared generator. We leave its state as it was."""
        before = random.getstate()
        self.open()
        self.send(Text("hi"))
        self.connection.start_closing(1000, "")
        self.assertEqual(random.getstate(), before)

    def test_masks_cannot_be_predicted(self) -> None:
        """Masks do not follow from the state of the shared generator (RFC 6455 section 5.3)."""
        before = random.getstate()
        self.addCleanup(random.setstate, before)
        wires = []
        for _ in range(2):
            random.seed(1)
            self.open()
            self.connection.gather([Text("same")])
            self.connection.flush()
            wires.append(self.peer.transport.value())
        self.assertEqual([read_frames(wire) for wire in wires], [[(1, b"same")]] * 2)
        self.assertNotEqual(wires[0], wires[1])


class RequestTests(ProtocolCase):
    """What goes out, where Autobahn's request is wrong."""

    def test_the_connection_has_a_transport(self) -> None:
        """Trap: a factory without ``.protocol`` builds the base class, which has no transport."""
        self.open()
        self.assertIsInstance(self.peer.protocol, Connection)
        self.assertIs(self.connection.transport, self.peer.transport)

    def test_host_header(self) -> None:
        """[S4] Trap: the IPv6 Host header has no brackets, a default port is sent always."""
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
        """[S15] Trap: CR/LF in headers reaches the wire. Such a Conn cannot be made."""
        for header in [("X", "a\r\nY: b"), ("X\r\nY", "b"), ("X", "a\nb"), ("X", "a\0b")]:
            with self.assertRaises(ValueError, msg=header):
                self.attempt(extra_headers=[header])
        self.assertEqual(self.server.peers, [])

    def test_request_line_and_headers(self) -> None:
        """[S15] The request has path and query, our headers, the offers and the credentials."""
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

    def test_compression_is_offered_only_when_asked_for(self) -> None:
        """``compression="deflate"`` offers permessage-deflate, and nothing does by default."""
        self.attempt()
        self.assertNotIn("sec-websocket-extensions", self.peer.request[1])
        self.attempt(compression="deflate")
        offer = self.peer.request[1]["sec-websocket-extensions"]
        self.assertEqual(offer.split(";")[0], DEFLATE)


class ResponseTests(ProtocolCase):
    """What comes back, where Autobahn's reading of it is wrong."""

    def test_opened_says_how_it_was_answered(self) -> None:
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
        """[S16] Trap: one latin-1 byte in a good 101 raises. It is read as ISO-8859-1."""
        self.attempt()
        self.peer.answer(X_Name="caf\xe9")
        self.assertEqual(self.log.names, ["opened"])
        self.assertEqual(self.log.conns[0].resp_header("x-name"), "caf\xe9")

    def test_response_byte_by_byte(self) -> None:
        """A response that comes byte by byte is the same as one in one piece."""
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
        """Trap: the header is buffered without limit. Past ``max_header_size`` the attempt ends."""
        self.attempt(max_header_size=1000)
        self.peer.send(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
        self.peer.send(b"x" * 900)
        self.assertEqual(self.log.events, [])
        self.peer.send(b"x" * 100)
        self.assertIn("1000", str(self.failure(HandshakeError)))
        self.assertTrue(self.peer.transport.aborted)

    def test_header_limit_in_one_read(self) -> None:
        """A whole header that is too long is refused as well."""
        self.attempt(max_header_size=1000)
        self.peer.answer(X_Long="x" * 1000)
        self.failure(HandshakeError)

    def test_header_limit_is_not_for_frames(self) -> None:
        """Frames that come with a short header do not count for ``max_header_size``."""
        self.open(text("x" * 60_000) * 2, max_header_size=1000)
        self.assertEqual(self.log.names, ["opened", "frame", "frame"])

    def test_not_http(self) -> None:
        """[S8] A server that does not speak HTTP is a HandshakeError, at once."""
        self.attempt()
        self.peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.failure(HandshakeError)
        self.assertTrue(self.peer.transport.aborted)

    def test_wrong_accept(self) -> None:
        """[S8] A wrong accept value is a HandshakeError with what was due and what came."""
        self.attempt()
        key = self.peer.request[1]["sec-websocket-key"]
        self.peer.answer(accept="wrong")
        error = self.failure(HandshakeError)
        self.assertEqual(error.challenge, handshake.accept_value(key))
        self.assertEqual(error.response, "wrong")
        self.assertTrue(self.peer.transport.aborted)

    def test_refused(self) -> None:
        """[S8] Trap: of a refusal only a line of text is kept. Status, headers and body are."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nnot")
        self.assertEqual(self.log.events, [])
        self.peer.send(b" today")
        error = self.failure(RequestError)
        self.assertEqual((error.code, error.message, error.body), (503, "Busy", b"not today"))
        self.assertIn(("Retry-After", "7"), error.headers)
        self.assertTrue(self.peer.transport.aborted)

    def test_refused_with_part_of_a_body(self) -> None:
        """[S8] A refusal whose body stops half-way has what came: at a hang-up and a time-out."""
        ends: dict[str, Callable[[], None]] = {
            "hang-up": lambda: self.peer.drop(),
            "time-out": lambda: self.clock.advance(5.1),
        }
        for name, end in ends.items():
            self.log.events.clear()
            self.attempt()
            self.peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\npart")
            self.assertEqual(self.log.events, [], name)
            end()
            self.assertEqual(self.failure(RequestError).body, b"part", name)

    def test_refusal_without_length(self) -> None:
        """[S8] A refusal whose body ends with the connection is whole then."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 404 Not Found\r\n\r\nwhere?")
        self.peer.drop()
        error = self.failure(RequestError)
        self.assertEqual((error.code, error.body), (404, b"where?"))

    def test_hang_up_before_the_response(self) -> None:
        """[S8] Trap: a dropped handshake never fails. It is a ConnError."""
        self.attempt()
        self.peer.send(b"HTTP/1.1 10")
        self.peer.drop(ConnectionLost())
        self.assertIsInstance(self.failure(ConnError).original, ConnectionLost)

    def test_refused_tcp(self) -> None:
        """[S8] An endpoint that fails is a ConnError with its exception, and no timer is left."""
        self.server.refusal = OSError("no way")
        self.attempt()
        self.assertIs(self.failure(ConnError).original, self.server.refusal)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unusable_options(self) -> None:
        """[S8] What ``endpoint_for`` cannot use fails the attempt, it does not raise."""
        cases: list[dict[str, Any]] = [
            {"endpoint": "nonsense:1"},
            {"endpoint": "tcp:host"},
            {"endpoint": "tcp:host:80:bogus=1"},
            {"url": "wss://example.test", "cacerts": "/no/such/file.pem"},
            {"url": "wss://example.test", "cacerts": b"no PEM"},
        ]
        for options in cases:
            self.log.events.clear()
            try:
                self.attempt(**options)
            except Exception as error:
                self.fail(f"{options}: start raised {error!r}")
            self.failure(ConnError)
            self.assertEqual(self.clock.getDelayedCalls(), [], options)


@implementer(IStreamClientEndpoint)
class DeafEndpoint:
    """An endpoint that takes no notice of being cancelled."""

    def __init__(self) -> None:
        self.factory: Any = None

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        return Deferred(lambda deferred: deferred.callback(None))


class CancelTests(ProtocolCase):
    """Giving an attempt up."""

    def test_while_tcp_is_being_made(self) -> None:
        """A cancelled attempt stops connecting, and its listener hears nothing more."""
        self.server.silent = True
        self.attempt().cancel()
        self.clock.advance(60)
        self.assertEqual((self.server.cancelled, self.log.events), (1, []))

    def test_while_waiting_for_the_response(self) -> None:
        """Cancelled while the response is due: TCP is dropped, its end is not heard of."""
        attempt = self.attempt()
        self.peer.send(b"HTTP/1.1 101 ")
        attempt.cancel()
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(60)
        self.assertEqual(self.log.events, [])

    def test_while_a_refusal_is_coming_in(self) -> None:
        """Cancelled while the body of a refusal comes in: nothing is reported."""
        attempt = self.attempt()
        self.peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nab")
        attempt.cancel()
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(60)
        self.assertEqual(self.log.events, [])

    def test_connection_that_comes_too_late(self) -> None:
        """An endpoint that connects after the attempt was cancelled has its connection cut."""
        endpoint = DeafEndpoint()
        self.attempt(endpoint=endpoint).cancel()
        late = Peer(endpoint.factory.buildProtocol(None), self.clock)
        late.protocol.makeConnection(late.transport)
        self.assertTrue(late.transport.aborted)
        self.clock.advance(60)
        self.assertEqual(self.log.events, [])

    def test_after_the_end(self) -> None:
        """Cancelling a failed attempt, or cancelling twice, is harmless."""
        attempt = self.attempt()
        self.peer.drop()
        attempt.cancel()
        attempt.cancel()
        self.failure(ConnError)

    def test_closing_while_connecting(self) -> None:
        """Trap: closing while connecting raises. A connection can be cut at any time."""
        self.attempt()
        self.peer.protocol.cut()
        self.clock.advance(0)
        self.failure(ConnError)
