"""Tests of wsx._transport.connection against an in-memory server."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import trustme
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer

import wsx
from wsx import (
    Binary,
    Conn,
    ConnError,
    FrameEncodeError,
    FrameError,
    HandshakeError,
    Ping,
    Pong,
    RequestError,
    Text,
    is_retryable,
)
from wsx._transport import connection as connection_module
from wsx._transport.connection import Attempt, Connection
from wsx._wire import handshake
from wsx._wire.encoder import apply_mask, masks
from wsx.test.support import (
    URL,
    MemoryCase,
    MemoryServer,
    MemoryTransport,
    Peer,
    Recorder,
    case,
    close,
    read_frames,
    server_frame,
    text,
)
from wsx.test.transport.test_endpoints import SecureServer, server_options

FIN_RSV1 = 0xC0
RSV1 = 0x40
DEFLATE = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1


class Log:
    """A listener that notes what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.connections: list[Connection] = []
        self.conns: list[Conn] = []
        self.on_opened: Callable[[Connection], None] = lambda connection: None

    def opened(self, connection: Connection, conn: Conn) -> None:
        self.events.append(("opened",))
        self.connections.append(connection)
        self.conns.append(conn)
        self.on_opened(connection)

    def failed(self, error: wsx.WsxError) -> None:
        self.events.append(("failed", error))

    def received(self, frames: list[wsx.Frame], joined: list[wsx.Frame], controls: bool) -> None:
        self.events.extend(("frame", frame) for frame in frames)

    def own_pong(self, payload: bytes) -> None:
        self.events.append(("own_pong", payload))

    def peer_closed(self, code: int, message: str) -> None:
        self.events.append(("peer_closed", code, message))

    def violated(self, error: FrameError) -> None:
        self.events.append(("violated", error))

    def writable(self) -> None:
        self.events.append(("writable",))

    def closed(self, reason: BaseException) -> None:
        self.events.append(("closed", type(reason)))

    @property
    def names(self) -> list[str]:
        """What happened, without the details."""
        return [event[0] for event in self.events]

    @property
    def frames(self) -> list[wsx.Frame]:
        """The frames that came."""
        return [event[1] for event in self.events if event[0] == "frame"]

    def only(self, name: str) -> Any:
        """The argument of the one event of that name."""
        (argument,) = [event[1] for event in self.events if event[0] == name]
        return argument


class ProtocolCase(SynchronousTestCase):
    """Tests of attempts that reach an in-memory server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)
        self.log = Log()

    @property
    def peer(self) -> Peer:
        """The server's side of the last connection."""
        return self.server.peer

    @property
    def connection(self) -> Connection:
        """The connection that was opened last."""
        return self.log.connections[-1]

    def attempt(self, url: str = URL, **options: Any) -> Attempt:
        """Starts an attempt to connect."""
        options = {"endpoint": self.server} | options
        attempt = Attempt(Conn(url, **options), self.clock, self.log)
        attempt.start()
        return attempt

    def open(self, rest: bytes = b"", extensions: str = "", **options: Any) -> Connection:
        """Makes a connection; its server answers with these extensions."""
        self.attempt(**options)
        self.peer.answer(rest, Sec_WebSocket_Extensions=extensions)
        return self.connection

    def send(self, *frames: wsx.Frame) -> list[tuple[int, bytes]]:
        """Sends frames; gives what the server gets."""
        self.connection.gather(list(frames))
        self.connection.flush()
        return self.peer.received()

    def failure(self, kind: type[Exception]) -> Any:
        """The error of a failed attempt, which was all that happened."""
        self.assertEqual(self.log.names, ["failed"])
        error = self.log.only("failed")
        self.assertIsInstance(error, kind)
        return error


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


class OrderTests(ProtocolCase):
    """The order of what the listener hears."""

    def test_frames_with_the_response(self) -> None:
        """[S19] Trap: messages before ``onOpen``. Frames that come with the 101 come after it."""
        self.attempt()
        self.peer.answer(text("one") + server_frame(9, b"p") + text("two") + close(1000, "bye"))
        self.assertEqual(
            self.log.events,
            [
                ("opened",),
                ("frame", Text("one")),
                ("frame", Ping(b"p")),
                ("frame", Text("two")),
                ("peer_closed", 1000, "bye"),
            ],
        )

    def test_response_split_inside_a_frame(self) -> None:
        """[S19] A frame that begins in the read of the 101 is completed by the next one."""
        frame = text("hello")
        self.open(frame[:3])
        self.peer.send(frame[3:])
        self.assertEqual(self.log.events, [("opened",), ("frame", Text("hello"))])

    def test_cut_in_opened(self) -> None:
        """A listener that cuts the connection in ``opened`` gets no frame of it."""
        self.log.on_opened = lambda connection: connection.cut()
        self.open(text("one"))
        self.clock.advance(0)
        self.assertEqual(self.log.names, ["opened", "closed"])

    def test_closing_in_opened(self) -> None:
        """A listener that closes in ``opened`` gets the frames of that read, and no others."""
        self.log.on_opened = lambda connection: connection.start_closing(1000, "")
        self.open(text("one"))
        self.peer.send(text("two"))
        self.assertEqual(self.log.events, [("opened",), ("frame", Text("one"))])

    def test_closed_comes_once_and_last(self) -> None:
        """``closed`` comes at the end of TCP, after the frames that were whole."""
        self.open()
        self.peer.send(text("one") + text("incomplete")[:4])
        self.peer.drop()
        self.assertEqual(
            self.log.events, [("opened",), ("frame", Text("one")), ("closed", ConnectionDone)]
        )

    def test_own_pongs(self) -> None:
        """Pongs that begin with our token are ours, the others are frames."""
        self.open().expect_pongs(b"tok")
        self.peer.send(server_frame(10, b"token 1") + server_frame(10, b"other"))
        self.assertCountEqual(
            self.log.events[1:], [("own_pong", b"token 1"), ("frame", Pong(b"other"))]
        )

    def test_buffers_are_fresh(self) -> None:
        """[F14] Nothing of one connection's half a frame is seen by the next one."""
        self.open()
        self.peer.send(text("lost")[:3])
        self.peer.drop()
        self.open(text("new"))
        self.assertEqual(self.log.frames, [Text("new")])


class CloseTests(ProtocolCase):
    """The closing handshake."""

    def test_codes_that_autobahn_refuses(self) -> None:
        """Trap: ``sendClose`` refuses 1001 and 1011. Every code that may be sent is."""
        for code in (1000, 1001, 1002, 1007, 1009, 1011, 3000, 4999):
            self.open().start_closing(code, "why")
            self.assertEqual(self.peer.received(), [(8, code.to_bytes(2, "big") + b"why")])

    def test_codes_that_may_not_be_sent(self) -> None:
        """[F13] A code or message that may not be sent raises, and nothing was done."""
        connection = self.open()
        for code, message in [(999, ""), (1005, ""), (1006, ""), (5000, ""), (1000, "x" * 124)]:
            with self.assertRaises(FrameEncodeError, msg=code):
                connection.start_closing(code, message)
        self.peer.send(text("still open"))
        self.assertEqual((self.peer.received(), self.log.frames), ([], [Text("still open")]))

    def test_second_close_frame_is_not_sent(self) -> None:
        """Only one close frame goes out (RFC 6455 section 5.5.1)."""
        connection = self.open()
        connection.start_closing(1000, "")
        connection.start_closing(1001, "")
        connection.answer_close(1000)
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe8")])

    def test_answer(self) -> None:
        """[D1] The peer's close frame is answered with its code; one without by one without."""
        for code, answer in [(1000, b"\x03\xe8"), (4000, b"\x0f\xa0"), (1005, b"")]:
            connection = self.open(close(None if code == 1005 else code))
            self.assertEqual(self.log.events[-1], ("peer_closed", code, ""))
            connection.answer_close(code)
            self.assertEqual(self.peer.received(), [(8, answer)])

    def test_deaf_after_the_close_frame(self) -> None:
        """Once our close frame is out, what still arrives is thrown away, the end apart."""
        self.open().start_closing(1000, "")
        self.peer.send(text("late") + b"\xff\xff" + close(1000))
        self.peer.drop()
        self.assertEqual(self.log.names, ["opened", "closed"])

    def test_gathered_frames_go_before_the_close_frame(self) -> None:
        """What was gathered is not lost by a close frame, and does not follow it."""
        connection = self.open()
        connection.gather([Text("last words")])
        connection.start_closing(1000, "")
        self.assertEqual(self.peer.received(), [(1, b"last words"), (8, b"\x03\xe8")])

    def test_closing_reads_on(self) -> None:
        """A paused connection reads again when it is closed, or TCP's end would go unnoticed."""
        for closing in (lambda c: c.start_closing(1000, ""), lambda c: c.answer_close(1000)):
            connection = self.open()
            connection.pause_reading()
            self.assertTrue(self.peer.transport.reading_paused)
            closing(connection)
            self.assertFalse(self.peer.transport.reading_paused)
            connection.pause_reading()
            self.assertFalse(self.peer.transport.reading_paused)


class ReadTests(ProtocolCase):
    """How the transport is asked to read; see wsx._transport.sockets for what it makes of it."""

    def test_without_detour(self) -> None:
        """It is asked to read without a detour when the connection opens, and after each pause."""
        asked: list[object] = []
        self.patch(connection_module, "read_without_detour", asked.append)
        connection = self.open()
        self.assertEqual(asked, [self.peer.transport])
        connection.pause_reading()
        self.assertEqual(len(asked), 1)
        connection.resume_reading()
        self.assertEqual(asked, [self.peer.transport] * 2)

    def test_to_taker(self) -> None:
        """It is asked to read to the connection's room once much is to come."""
        asked: list[tuple[object, object]] = []
        self.patch(connection_module, "read_to_taker", lambda *what: asked.append(what))
        connection = self.open(text("little"))
        self.assertEqual(asked, [])
        for _ in range(2):
            self.peer.send(text("x" * 70_000))
        self.assertEqual(asked, [(self.peer.transport, connection)])

    def fill(self, data: bytes) -> None:
        """Reads to the connection's room."""
        room = self.connection.room()
        assert room is not None
        with room:
            room[: len(data)] = data
        self.connection.fill(len(data))

    def begin(self, payload: bytes) -> None:
        """The header of a text message comes, and what is looked at as it comes."""
        self.open()
        self.peer.send(server_frame(1, payload)[: 10 + 65537])
        self.assertEqual(self.log.names, ["opened"])

    def test_room(self) -> None:
        """What is read there is told as ever, when it is whole."""
        self.begin(b"x" * 200_000)
        self.fill(b"x" * 30_000)
        self.assertEqual(self.log.frames, [])
        self.fill(b"x" * (200_000 - 65537 - 30_000))
        self.assertTrue(self.log.frames == [Text("x" * 200_000)])

    def test_violation_in_the_room(self) -> None:
        """Text that is not UTF-8 is told as a violation there too."""
        self.begin(b"x" * 200_000)
        self.fill(b"x" * (200_000 - 65537 - 1) + b"\xff")
        self.assertEqual(self.log.only("violated").close_code, 1007)
        self.assertEqual(self.log.frames, [])

    def test_no_room_while_closing(self) -> None:
        """Once our close frame is out there is no room: what comes is thrown away as ever."""
        self.begin(b"x" * 200_000)
        self.connection.start_closing(1000, "")
        self.assertIsNone(self.connection.room())

    def test_no_room_before_and_after(self) -> None:
        """Nor is there before the handshake is done, or after the end."""
        self.attempt()
        protocol = self.peer.transport.protocol
        self.assertIsNone(protocol.room())
        self.begin(b"x" * 200_000)
        self.peer.drop()
        self.assertIsNone(self.connection.room())


class SendTests(ProtocolCase):
    """What goes out on an open connection."""

    def test_each_kind(self) -> None:
        """[N1] Every kind of frame goes out, in order, in one write."""
        sent = self.send(Text("h\xe9"), Binary(b"\xff"), Ping(b"p"), Pong(), Text(""))
        expected = [(1, "h\xe9".encode()), (2, b"\xff"), (9, b"p"), (10, b""), (1, b"")]
        self.assertEqual(sent, expected)

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_all_are_checked_before_the_first(self) -> None:
        """[F13] A bad frame in a list: none of the list is sent."""
        for bad in (Ping(b"x" * 126), Text("\ud800"), Text(b"no str"), "no frame"):  # type: ignore
            with self.assertRaises((FrameEncodeError, wsx.InvalidFrameError), msg=repr(bad)):
                self.connection.gather([Text("good"), bad])
        self.connection.flush()
        self.assertEqual(self.peer.received(), [])

    def test_write_buffer(self) -> None:
        """The transport's write buffer is watched: full, and with room again."""
        self.assertTrue(self.connection.writable)
        self.peer.buffer.pauseProducing()
        self.assertFalse(self.connection.writable)
        self.peer.buffer.resumeProducing()
        self.assertTrue(self.connection.writable)
        self.assertEqual(self.log.names, ["opened", "writable"])

    def test_reading_is_paused_and_resumed(self) -> None:
        """The peer can be held back."""
        self.connection.pause_reading()
        self.assertTrue(self.peer.transport.reading_paused)
        self.connection.resume_reading()
        self.assertFalse(self.peer.transport.reading_paused)


class CountingBytes(bytes):
    """Bytes that count how many of them are copied by slicing."""

    copied = 0

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        if isinstance(part, bytes):
            self.copied += len(part)
        return part


class FastPathTests(ProtocolCase):
    """What Autobahn spends on each frame for nothing."""

    def test_many_small_frames_in_one_read(self) -> None:
        """[F3] Trap: the receive buffer is sliced twice per frame. Each byte is copied once."""
        if wsx.compiled:
            raise SkipTest("what compiled code slices does not pass through __getitem__")
        self.open()
        data = CountingBytes(text("tiny") * 1000)
        self.peer.send(data)
        self.assertEqual(self.log.frames, [Text("tiny")] * 1000)
        self.assertGreater(data.copied, 0)
        self.assertLessEqual(data.copied, 2 * len(data))

    def test_large_reads(self) -> None:
        """Where much comes, more is read at once; the transport is told so once."""
        told: list[object] = []
        self.patch(connection_module, "read_largely", told.append)
        small = text("x" * 1000)
        for first, second in (
            (text("x" * 70_000), small),  # in one read
            (text("x" * 70_000)[:1000], small),  # said by a frame's header
        ):
            with case(first[:20]):
                self.open()
                self.peer.send(small)
                self.assertEqual(told, [])
                self.peer.send(first)
                self.peer.send(second)
                self.assertEqual(told, [self.peer.transport])
                told.clear()

    def test_long_masks(self) -> None:
        """The way of masking what is long gives what ours gives."""
        for length in (1, 4096, 4097, 100_003):
            payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
            for mask in (b"abcd", b"\x00\xff\x00\x01"):
                self.assertEqual(masks.apply_long(payload, mask), apply_mask(payload, mask))

    def test_no_log_lines(self) -> None:
        """Trap: arguments of debug lines nobody reads. No frame touches Autobahn's log."""
        self.open().log = None  # an AttributeError for whoever uses it
        self.peer.send(text("in") + server_frame(9, b"p"))
        self.assertEqual(self.send(Text("out"), Pong(b"p")), [(1, b"out"), (10, b"p")])
        self.assertEqual(self.log.frames, [Text("in"), Ping(b"p")])


class ViolationTests(ProtocolCase):
    """The peer breaks the protocol."""

    def test_close_codes(self) -> None:
        """[F5][F6][F7][F9][F10][F11] Each is one FrameError with the right close code."""
        cases = {
            "reserved bit": (server_frame(1, b"x", 0xA0), 1002),
            "compressed without an extension": (server_frame(1, b"x", FIN_RSV1), 1002),
            "reserved opcode": (server_frame(3), 1002),
            "masked": (server_frame(1, b"x", mask=b"mask"), 1002),
            "continuation of nothing": (server_frame(0, b"x"), 1002),
            "two starts": (server_frame(1, b"x", 0) + text("y"), 1002),
            "long ping": (server_frame(9, b"x" * 126), 1002),
            "bad close code": (close(1005), 1002),
            "bad UTF-8": (server_frame(1, b"\xff"), 1007),
        }
        for name, (data, code) in cases.items():
            self.log.events.clear()
            self.open()
            self.peer.send(text("before") + data + text("after"))
            self.assertEqual(self.log.names, ["opened", "frame", "violated"], name)
            self.assertEqual(self.log.only("violated").close_code, code, name)

    def test_message_too_big(self) -> None:
        """Trap: no message size limit by default. Past ``max_message_size`` it is 1009."""
        header = server_frame(2, b"x" * 1001)[:4]
        cases = {
            "whole": text("x" * 1001),
            "known from its header": header,
            "fragments": server_frame(2, b"x" * 600, 0) + server_frame(0, b"x" * 401),
        }
        for name, data in cases.items():
            self.log.events.clear()
            self.open(max_message_size=1000)
            self.peer.send(text("y" * 1000) + data)
            self.assertEqual(self.log.names, ["opened", "frame", "violated"], name)
            self.assertEqual(self.log.only("violated").close_code, 1009, name)

    def test_default_limit(self) -> None:
        """16 MiB is the default limit of a message: announcing one byte more is too much."""
        self.open()
        self.peer.send(b"\x82\x7f" + (16 * 1024 * 1024 + 1).to_bytes(8, "big"))
        self.assertEqual(self.log.only("violated").close_code, 1009)

    def test_no_limit(self) -> None:
        """``max_message_size=None`` is no limit."""
        self.open(max_message_size=None)
        payload = bytes(17 * 1024 * 1024)
        self.peer.send(server_frame(2, payload))
        self.assertEqual(len(self.log.frames[0].payload), len(payload))


class ViolationCloseTests(MemoryCase):
    """What the peer sees of its own protocol error."""

    def test_close_frame_instead_of_a_drop(self) -> None:
        """Trap: ``failByDrop`` sends no close code. The peer gets 1002, 1007 or 1009."""
        bomb = Deflater().compress(bytes(5000))
        cases = {
            1002: server_frame(3),
            1007: server_frame(1, b"\xff"),
            1009: server_frame(2, bomb, FIN_RSV1),
        }
        for code, data in cases.items():
            recorder = Recorder()
            started = self.start(recorder, compression="deflate", max_message_size=4000)
            self.peer.answer(Sec_WebSocket_Extensions=DEFLATE)
            self.step()
            self.successResultOf(started)
            self.peer.send(data)
            self.step()
            self.assertFalse(self.peer.transport.aborted)
            ((opcode, payload),) = self.peer.received()
            self.assertEqual((opcode, payload[:2]), (8, code.to_bytes(2, "big")))
            self.peer.drop()
            self.step()
            (status,) = recorder.arguments("handle_disconnect")
            self.assertIsInstance(status.reason, FrameError)
            self.assertEqual(status.reason.close_code, code)


class Deflater:
    """A server's side of permessage-deflate, with zlib alone."""

    def __init__(self, takeover: bool = True, bits: int = 15) -> None:
        self._takeover = takeover
        self._bits = bits
        self._reset()

    def _reset(self) -> None:
        self._out = zlib.compressobj(wbits=-self._bits)
        self._in = zlib.decompressobj(-self._bits)

    def compress(self, payload: bytes) -> bytes:
        """Deflates a message."""
        if not self._takeover:
            self._reset()
        data = self._out.compress(payload) + self._out.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(TAIL)

    def decompress(self, payload: bytes) -> bytes:
        """Inflates a message."""
        if not self._takeover:
            self._reset()
        return self._in.decompress(payload + TAIL)

    def text(self, payload: str) -> bytes:
        """A compressed text message on the wire."""
        return server_frame(1, self.compress(payload.encode()), FIN_RSV1)


def final_block(payload: bytes) -> bytes:
    """Deflates into one block with BFINAL set (RFC 7692 section 7.2.3.4)."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(payload) + deflater.flush(zlib.Z_FINISH)


SAMPLE = "the quick brown fox jumps over the lazy dog " * 3


class DeflateTests(ProtocolCase):
    """permessage-deflate (RFC 7692)."""

    def open_deflated(self, extensions: str = DEFLATE, **options: Any) -> Connection:
        """Makes a connection with the extension."""
        return self.open(extensions=extensions, compression="deflate", **options)

    def sent_payloads(self, deflater: Deflater, *payloads: str) -> list[bytes]:
        """Sends texts; gives their payloads on the wire, after checking what they inflate to."""
        wire = []
        for payload in payloads:
            self.connection.gather([Text(payload)])
            self.connection.flush()
            data = self.peer.transport.value()
            ((opcode, deflated),) = self.peer.received()
            self.assertEqual((opcode, data[0]), (1, FIN_RSV1 | 1))
            self.assertEqual(deflater.decompress(deflated).decode(), payload)
            wire.append(deflated)
        return wire

    def test_received_with_context(self) -> None:
        """Messages that refer to earlier ones are inflated: context takeover by the server."""
        self.open_deflated()
        deflater = Deflater()
        first, second = deflater.text(SAMPLE), deflater.text(SAMPLE)
        self.assertLess(len(second), len(first))
        self.peer.send(first + second)
        self.assertEqual(self.log.frames, [Text(SAMPLE)] * 2)

    def test_sent_with_context(self) -> None:
        """What is sent refers to earlier messages: context takeover by us."""
        self.open_deflated()
        first, second = self.sent_payloads(Deflater(), SAMPLE, SAMPLE)
        self.assertLess(len(second), len(first))

    def test_received_without_context(self) -> None:
        """``server_no_context_takeover``: each message stands alone."""
        self.open_deflated(f"{DEFLATE}; server_no_context_takeover")
        deflater = Deflater(takeover=False)
        self.peer.send(deflater.text(SAMPLE) + deflater.text("x") + deflater.text(SAMPLE))
        self.assertEqual(self.log.frames, [Text(SAMPLE), Text("x"), Text(SAMPLE)])

    def test_sent_without_context(self) -> None:
        """``client_no_context_takeover``: each message that we send stands alone."""
        self.open_deflated(f"{DEFLATE}; client_no_context_takeover")
        first, second = self.sent_payloads(Deflater(takeover=False), SAMPLE, SAMPLE)
        self.assertEqual(first, second)

    def test_window_bits(self) -> None:
        """The server's window sizes are obeyed in both directions."""
        self.open_deflated(f"{DEFLATE}; client_max_window_bits=9; server_max_window_bits=10")
        noise = "".join(chr(33 + (i * i * 7) % 90) for i in range(5000))
        self.sent_payloads(Deflater(bits=9), noise, noise)
        self.peer.send(Deflater(bits=10).text(noise))
        self.assertEqual(self.log.frames, [Text(noise)])

    def test_empty_messages(self) -> None:
        """[F1] Empty messages survive, several in a row, in both directions."""
        self.open_deflated()
        self.sent_payloads(Deflater(), "", "", "x", "", "")
        deflater = Deflater()
        self.peer.send(deflater.text("") + server_frame(1, b"\x00", FIN_RSV1) + deflater.text("x"))
        self.assertEqual(self.log.frames, [Text(""), Text(""), Text("x")])

    def test_uncompressed_messages_between(self) -> None:
        """The server may leave a message uncompressed."""
        self.open_deflated()
        deflater = Deflater()
        self.peer.send(deflater.text("a") + text("b") + deflater.text("c"))
        self.assertEqual(self.log.frames, [Text("a"), Text("b"), Text("c")])

    def test_control_frames_are_not_compressed(self) -> None:
        """Pings and pongs go out as they are (RFC 7692 section 6), and come in so."""
        self.open_deflated()
        self.assertEqual(self.send(Ping(b"p"), Pong(b"q")), [(9, b"p"), (10, b"q")])
        self.peer.send(server_frame(9, b"p", FIN_RSV1))
        self.assertEqual(self.log.only("violated").close_code, 1002)

    def test_fragmented(self) -> None:
        """[F4] A compressed message in fragments, with a ping between, even byte by byte."""
        data = Deflater().compress(("h\xe9llo " * 50).encode())
        fragments = [data[i : i + 1] for i in range(len(data))]
        wire = server_frame(1, fragments[0], RSV1) + server_frame(9, b"p")
        wire += b"".join(server_frame(0, part, 0) for part in fragments[1:]) + server_frame(0)
        self.open_deflated()
        for byte in wire:
            self.peer.send(bytes([byte]))
        self.assertEqual(self.log.frames, [Ping(b"p"), Text("h\xe9llo " * 50)])

    def test_reserved_bit_in_a_continuation(self) -> None:
        """Only a message's first frame has RSV1 (RFC 7692 section 6.1)."""
        data = Deflater().compress(b"hello")
        self.open_deflated()
        self.peer.send(server_frame(1, data[:2], RSV1) + server_frame(0, data[2:], FIN_RSV1))
        self.assertEqual(self.log.only("violated").close_code, 1002)

    def test_final_block(self) -> None:
        """A message that ends with a BFINAL block is whole, and so are the messages after it."""
        self.open_deflated()
        first = server_frame(1, final_block(b"first") + b"\x00", FIN_RSV1)
        self.peer.send(first + Deflater().text("second") + first)
        self.assertEqual(self.log.frames, [Text("first"), Text("second"), Text("first")])

    def test_final_block_inside_a_message(self) -> None:
        """Blocks after a BFINAL block belong to the message (RFC 7692 section 7.2.1)."""
        rest = Deflater().compress(b"world")
        wholes = {
            "one frame": server_frame(1, final_block(b"hello ") + rest, FIN_RSV1),
            "two frames": server_frame(1, final_block(b"hello "), RSV1) + server_frame(0, rest),
        }
        for name, data in wholes.items():
            self.log.events.clear()
            self.open_deflated()
            self.peer.send(data)
            self.assertEqual(self.log.frames, [Text("hello world")], name)

    def test_corrupt(self) -> None:
        """What cannot be inflated is 1007."""
        for data in (b"\xff\xff\xff\xff", b"\x07garbage", b"\x01\x05\x00\x00\x00hello"):
            self.log.events.clear()
            self.open_deflated()
            self.peer.send(server_frame(1, data, FIN_RSV1))
            self.assertEqual(self.log.only("violated").close_code, 1007, data)

    def test_bad_utf8_after_inflation(self) -> None:
        """[F9] Text is checked after inflation."""
        self.open_deflated()
        self.peer.send(server_frame(1, Deflater().compress(b"ab\xff"), FIN_RSV1))
        self.assertEqual(self.log.only("violated").close_code, 1007)

    def test_bomb(self) -> None:
        """Trap: inflating is unlimited. A bomb is 1009, and is not inflated to its end."""
        bomb = server_frame(2, Deflater().compress(bytes(64 * 1024 * 1024)), FIN_RSV1)
        self.open_deflated(max_message_size=100_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.peer.send(bomb)
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 * 1024 * 1024)
        self.assertEqual(self.log.only("violated").close_code, 1009)
        self.assertEqual(self.log.frames, [])

    def test_bomb_in_fragments(self) -> None:
        """The limit is for the message, not for each of its fragments."""
        data = Deflater().compress(bytes(5000))
        self.open_deflated(max_message_size=4000)
        self.peer.send(server_frame(2, data[:4], RSV1) + server_frame(0, data[4:]))
        self.assertEqual(self.log.only("violated").close_code, 1009)

    def test_limit_is_after_inflation(self) -> None:
        """A message that grows by compression is measured as it was before."""
        noise = bytes(random.Random(1).randbytes(1000))
        data = Deflater().compress(noise)
        self.assertGreater(len(data), 1000)
        self.open_deflated(max_message_size=1000)
        self.peer.send(server_frame(2, data, FIN_RSV1))
        self.assertEqual(self.log.frames, [Binary(noise)])

    def test_limit_is_exact(self) -> None:
        """A message of the limit's size comes whole; one that is longer never comes cut."""
        for size, excess in [(2067, 1), (2326, 257), (2424, 100), (1000, 1), (1, 1), (50, 3)]:
            for length in (size, size + excess):
                self.log.events.clear()
                self.open_deflated(max_message_size=size)
                data = Deflater().compress(b"a" * length)
                self.peer.send(server_frame(2, data, FIN_RSV1))
                sizes = [len(frame.payload) for frame in self.log.frames]
                expected = [length] if length == size else []
                self.assertEqual(sizes, expected, f"{length} bytes, limit {size}")
                self.assertEqual("violated" in self.log.names, length > size)

    def test_no_limit(self) -> None:
        """``max_message_size=None`` inflates without limit."""
        payload = bytes(17 * 1024 * 1024)
        self.open_deflated(max_message_size=None)
        self.peer.send(server_frame(2, Deflater().compress(payload), FIN_RSV1))
        self.assertEqual(len(self.log.frames[0].payload), len(payload))

    def test_not_accepted(self) -> None:
        """A server that takes no notice of the offer gets and sends plain messages."""
        self.open_deflated("")
        self.assertEqual(self.log.conns[0].extensions, ())
        self.assertEqual(self.send(Text("plain")), [(1, b"plain")])
        self.peer.send(Deflater().text("x"))
        self.assertEqual(self.log.only("violated").close_code, 1002)

    def test_wrong_answers(self) -> None:
        """[S8] An extension that was not offered, or with wrong parameters: HandshakeError."""
        answers = [
            "x-webkit-deflate-frame",
            f"{DEFLATE}, x-other",
            f"{DEFLATE}, {DEFLATE}",
            f"{DEFLATE}; bogus",
            f"{DEFLATE}; server_max_window_bits=7",
            f"{DEFLATE}; server_max_window_bits=16",
            f"{DEFLATE}; server_max_window_bits=x",
            f"{DEFLATE}; server_max_window_bits",
            f"{DEFLATE}; client_max_window_bits",
            f"{DEFLATE}; client_no_context_takeover=1",
            f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover",
            f"{DEFLATE}; =; ;",
            f"{DEFLATE}; \xe9",
            ";;",
        ]
        for answer in answers:
            self.log.events.clear()
            self.attempt(compression="deflate")
            self.peer.answer(Sec_WebSocket_Extensions=answer)
            self.assertEqual(self.log.names, ["failed"], answer)
            self.assertIsInstance(self.log.only("failed"), HandshakeError, answer)
            self.assertTrue(self.peer.transport.aborted, answer)

    def test_unasked(self) -> None:
        """[S8] permessage-deflate that we did not offer is a HandshakeError."""
        self.attempt()
        self.peer.answer(Sec_WebSocket_Extensions=DEFLATE)
        self.failure(HandshakeError)


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
        self.secure.app.transport.write(head.encode() + rest)
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
        self.secure.app.transport.write(text("in"))
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
        self.secure.app.transport.loseConnection()
        self.secure.flush()
        self.assertEqual(self.log.names, ["opened", "closed"])
