"""Tests of the client against an in-memory server: starting it and talking to it."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.testing import MemoryReactorClock

import wsx
from wsx._wire import handshake
from wsx.test.support import (
    URL,
    MemoryCase,
    MemoryServer,
    Recorder,
    case,
    close,
    server_frame,
    text,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

MESSAGE_CALLBACKS = (
    "handle_connect",
    "handle_frame",
    "handle_cast",
    "handle_info",
    "handle_ping",
    "handle_pong",
)


def bytes_of(frame: wsx.Frame) -> bytes:
    """A frame's payload as it goes on the wire."""
    return frame.payload.encode() if isinstance(frame.payload, str) else frame.payload


class ClientCase(MemoryCase):
    """What the tests below share."""

    def given(self, **row: Any) -> AbstractContextManager[None]:
        """Names the row of a table in its failure."""
        return case(row)

    def provoke(self, callback: str, client: wsx.Client[Any]) -> None:
        """Makes the event happen that a callback is for; ``handle_connect`` had its own."""
        events: dict[str, Callable[[], object]] = {
            "handle_connect": lambda: None,
            "handle_frame": lambda: self.peer.send(text("event")),
            "handle_cast": lambda: client.cast("event"),
            "handle_info": lambda: client.info("event"),
            "handle_ping": lambda: self.peer.send(server_frame(PING, b"event")),
            "handle_pong": lambda: self.peer.send(server_frame(PONG, b"event")),
            "handle_disconnect": lambda: self.peer.drop(),
        }
        events[callback]()
        self.step()

    def state_of(self, recorder: Recorder, client: wsx.Client[Any]) -> Any:
        """Gives the state that the next callback gets."""
        client.info("probe")
        self.step()
        name, message, state = recorder.calls[-1]
        self.assertEqual((name, message), ("handle_info", "probe"))
        return state

    def end(self, client: wsx.Client[Any]) -> None:
        """Ends a client whose last connection is open."""
        ended = client.stop()
        self.peer.drop()
        self.step()
        self.successResultOf(ended)

    def failed_start(self, started: Deferred[Any], *kinds: type[BaseException]) -> Any:
        """Gives the error of a start that failed, and checks that nothing of it is left."""
        self.step()
        error = self.failureResultOf(started, *kinds).value
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        self.assertEqual(self.flushLoggedErrors(), [])
        return error


class StartTests(ClientCase):
    """What ``start`` takes, and when its Deferred fires."""

    def test_url(self) -> None:
        """[S1] a client is started with a URL, and is open once the handshake is done."""
        client = self.open(Recorder(), url="ws://example.test/a/b?c=d")
        self.assertEqual(client.status, "open")
        self.assertEqual(client.conn.url, "ws://example.test/a/b?c=d")

    def test_request_target(self) -> None:
        """[S1] path and query of the URL are asked for, at its host."""
        self.start(Recorder(), url="ws://example.test:8080/a/b?c=d").addErrback(lambda _: None)
        line, headers = self.peer.request
        self.assertEqual(line, "GET /a/b?c=d HTTP/1.1")
        self.assertEqual(headers["host"], "example.test:8080")

    def test_conn(self) -> None:
        """[S2] a client is started with a Conn, whose options count."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None, subprotocols=["chat"])
        started = wsx.start(conn, Recorder(), reactor=self.clock)
        self.assertEqual(self.peer.request[1]["sec-websocket-protocol"], "chat")
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).conn.url, URL)

    def test_bad_url(self) -> None:
        """[S3] a bad URL fails the Deferred with URLError, and nothing is started."""
        for url in ("", "example.test", "ftp://example.test/", "ws://", "ws://a/#b", "ws://a:b/"):
            with self.given(url=url):
                error = self.failed_start(self.start(Recorder(), url=url), wsx.URLError)
                self.assertEqual(error.url, url)
                self.assertIsInstance(error, ValueError)
                self.assertEqual(self.server.attempts, 0)

    def test_default_ports(self) -> None:
        """[S4] [S5] each scheme has its default port, with http and https as synonyms."""
        ports = {"ws": 80, "http": 80, "wss": 443, "https": 443}
        for scheme, port in ports.items():
            with self.given(scheme=scheme):
                reactor = MemoryReactorClock()
                started = wsx.start(f"{scheme}://127.0.0.1", Recorder(), reactor=reactor)
                self.assertEqual([call[:2] for call in reactor.tcpClients], [("127.0.0.1", port)])
                started.cancel()
                self.failureResultOf(started, CancelledError)

    def test_port_of_the_url(self) -> None:
        """[S4] a port in the URL takes the place of the default."""
        reactor = MemoryReactorClock()
        started = wsx.start("ws://127.0.0.1:8080/", Recorder(), reactor=reactor)
        self.assertEqual([call[:2] for call in reactor.tcpClients], [("127.0.0.1", 8080)])
        started.cancel()
        self.failureResultOf(started, CancelledError)

    def test_default_path(self) -> None:
        """[S4] no path means ``/``."""
        for url, line in (
            ("ws://example.test", "GET / HTTP/1.1"),
            ("ws://example.test?a=b", "GET /?a=b HTTP/1.1"),
        ):
            with self.given(url=url):
                self.start(Recorder(), url=url)
                self.assertEqual(self.peer.request[0], line)

    def test_http_is_ws(self) -> None:
        """[S5] an http URL is a ws URL."""
        client = self.open(Recorder(), url="http://example.test/feed")
        self.assertEqual(client.status, "open")

    def test_not_before_the_handshake(self) -> None:
        """The Deferred does not fire before the opening handshake is complete."""
        started = self.start(Recorder())
        self.step()
        self.assertNoResult(started)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_not_before_handle_connect_answered(self) -> None:
        """The Deferred fires once ``handle_connect`` has been answered, and not before."""
        answer: Deferred[Any] = Deferred()
        started = self.start(Recorder(handle_connect=lambda *_: answer))
        self.peer.answer()
        self.step()
        self.assertNoResult(started)
        answer.callback(None)
        self.step()
        self.successResultOf(started)

    def test_answered_after_the_loss(self) -> None:
        """It fires, too, where the connection is lost before the answer is there."""
        answer: Deferred[Any] = Deferred()
        recorder = Recorder(handle_connect=lambda *_: answer)
        started = self.start(recorder)
        self.peer.answer()
        self.peer.drop()
        self.step()
        self.assertNoResult(started)
        self.assertEqual(recorder.names, ["handle_connect"])
        answer.callback(None)
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_disconnect", "terminate"])

    def test_handle_connect_raises(self) -> None:
        """The Deferred fails with what ``handle_connect`` raised."""
        started = self.start(Recorder(handle_connect=KeyError("no")))
        self.peer.answer()
        self.peer.drop()
        self.step()
        self.failureResultOf(started, KeyError)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_reason_that_is_no_exception(self) -> None:
        """A reason that is no exception fails the Deferred as ``ClientEnded(reason)``."""
        started = self.start(Recorder(handle_connect=wsx.Exit("enough")))
        self.peer.answer()
        self.peer.drop()
        error = self.failed_start(started, wsx.ClientEnded)
        self.assertEqual(error.reason, "enough")

    def test_exit_without_a_reason(self) -> None:
        """A normal exit in the first ``handle_connect`` is ``ClientEnded(LocalClose(1000))``."""
        started = self.start(Recorder(handle_connect=wsx.Exit()))
        self.peer.answer()
        self.peer.drop()
        error = self.failed_start(started, wsx.ClientEnded)
        self.assertEqual(error.reason, wsx.LocalClose(1000, ""))

    def test_close_is_an_answer_too(self) -> None:
        """A first ``handle_connect`` that answers ``Close`` was answered: the Deferred fires."""
        started = self.start(Recorder(handle_connect=lambda _, state: wsx.Close(state)))
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "closing")

    def test_async(self) -> None:
        """[S6] with ``async_`` the Deferred fires before there is a connection."""
        self.server.silent = True
        client = self.successResultOf(self.start(Recorder(), async_=True))
        self.assertEqual(client.status, "connecting")

    def test_async_opens(self) -> None:
        """[S6] a client started with ``async_`` connects like any other."""
        recorder = Recorder()
        client = self.successResultOf(self.start(recorder, async_=True))
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(recorder.names, ["handle_connect"])

    def test_async_failure(self) -> None:
        """[S7] a failure after an asynchronous start ends the client; the caller is not harmed."""
        for delayed in (False, True):
            with self.given(delayed=delayed):
                server = MemoryServer(self.clock)
                server.silent, refusal = delayed, ConnectionRefusedError()
                server.refusal = None if delayed else refusal
                recorder = Recorder()
                client = self.successResultOf(self.start(recorder, async_=True, endpoint=server))
                ended = client.terminated()
                self.clock.advance(6)
                self.step()
                self.assertIsInstance(self.successResultOf(ended), wsx.ConnError)
                self.assertEqual(client.status, "terminated")
                self.assertEqual(recorder.names, ["terminate"])
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_handler_class(self) -> None:
        """A handler class is instantiated without arguments, for each client anew."""
        first, second = self.open(Recorder), self.open(Recorder)
        self.assertIs(type(first.handler), Recorder)
        self.assertIsNot(first.handler, second.handler)

    def test_handler_instance(self) -> None:
        """A handler instance is used as it is."""
        recorder = Recorder()
        self.assertIs(self.open(recorder).handler, recorder)

    def test_handler_client(self) -> None:
        """``handler.client`` is the handler's own client, set before the first callback."""

        class Handler(Recorder):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                self.seen = self.client

        for handler in (Handler(), Handler):
            with self.given(handler=handler):
                client: Any = self.open(handler)
                self.assertIs(client.handler.seen, client)
                self.assertIs(client.handler.client, client)

    def test_default_state(self) -> None:
        """The state is the third argument, and None where there is none."""
        for arguments, state in (((), None), (([1],), [1])):
            recorder = Recorder()
            self.open(recorder, *arguments)
            self.assertEqual(recorder.calls[0][2], state)

    def test_never_inside_start(self) -> None:
        """No callback runs inside the caller of ``start``, however fast the server is."""

        class Fast(MemoryServer):
            def connect(self, factory: Any) -> Deferred[Any]:
                connecting = super().connect(factory)
                self.peer.answer(text("early"))
                return connecting

        recorder = Recorder()
        started = self.start(recorder, endpoint=Fast(self.clock))
        self.assertEqual(recorder.names, [])
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])

    def test_refusal_never_inside_start(self) -> None:
        """Nor when the attempt fails at once, and the handler is to be told."""
        self.server.refusal = ConnectionRefusedError()
        for option, callback in (
            ("handle_initial_conn_failure", "handle_disconnect"),
            ("async_", "terminate"),
        ):
            with self.given(option=option):
                recorder = Recorder()
                started = self.start(recorder, **{option: True})
                self.assertEqual(recorder.names, [])
                self.step()
                self.assertEqual(recorder.names, [callback])
                started.addErrback(lambda _: None)


class WrongArgumentTests(ClientCase):
    """A wrong argument fails the Deferred; nothing is raised, and nothing started."""

    def assert_refused(self, handler: Any, *kinds: type[BaseException], **options: Any) -> None:
        started = self.start(handler, **options)
        self.failed_start(started, *kinds)
        self.assertEqual(self.server.attempts, 0)

    def test_options(self) -> None:
        """Unknown options and values out of range are TypeErrors or ValueErrors."""
        wrong: list[dict[str, Any]] = [
            {"colour": "red"},
            {"async": True},
            {"socket_connect_timeout": 0},
            {"socket_recv_timeout": -1},
            {"close_timeout": "5"},
            {"ping_interval": 0},
            {"max_message_size": -1},
            {"compression": "brotli"},
            {"subprotocols": "chat"},
            {"extra_headers": [("X-A", "1\r\nX-B: 2")]},
            {"extra_headers": [("X A", "1")]},
            {"proxy": "socks://proxy.test"},
            {"reconnect": 5},
            {"reconnect": True},
            {"stable_after": -1},
            {"stable_after": "5"},
            {"mailbox_limit": -1},
            {"mailbox_limit": None},
            {"name": 42},
            {"name": b"feed"},
            {"name": ""},
        ]
        for options in wrong:
            with self.given(options=options):
                self.assert_refused(Recorder(), TypeError, ValueError, **options)

    def test_handler(self) -> None:
        """What is neither a Handler subclass nor an instance is a TypeError."""
        for handler in (None, object(), object, "Echo", lambda frame, state: None):
            with self.given(handler=handler):
                self.assert_refused(handler, TypeError)

    def test_handler_that_cannot_be_made(self) -> None:
        """A class whose instantiation fails, fails the Deferred with that error."""

        class NeedsArguments(Recorder):
            def __init__(self, argument: object) -> None:
                super().__init__()

        class Broken(Recorder):
            def __init__(self) -> None:
                raise LookupError("no such thing")

        self.assert_refused(NeedsArguments, TypeError, name="no handler")
        self.assert_refused(Broken, LookupError, name="no handler")
        self.assertIsNone(wsx.whereis("no handler"))

    def test_url_is_no_str(self) -> None:
        """What is neither a URL nor a Conn fails the Deferred."""
        for url in (None, 42, b"ws://example.test/"):
            with self.given(url=url):
                self.assert_refused(Recorder(), wsx.URLError, TypeError, url=url)

    def test_conn_and_options_of_a_conn(self) -> None:
        """Options of ``Conn`` belong to a URL; a Conn has its own."""
        conn = wsx.Conn(URL, endpoint=self.server)
        started = wsx.start(conn, Recorder(), reactor=self.clock, close_timeout=1.0)
        self.failed_start(started, TypeError)
        self.assertEqual(self.server.attempts, 0)

    def test_endpoint_that_cannot_be_used(self) -> None:
        """An endpoint that is none fails the Deferred; its name and its timers are free."""
        for endpoint in ("nonsense", "tcp:", "tcp:example.test:http", 42):
            with self.given(endpoint=endpoint):
                name = f"at {endpoint}"
                started = self.start(Recorder(), endpoint=endpoint, name=name)
                self.failed_start(started, Exception)
                self.assertIsNone(wsx.whereis(name))

    def test_endpoint_that_raises(self) -> None:
        """An endpoint whose ``connect`` raises is a failed attempt, and leaves nothing behind."""

        class Broken(MemoryServer):
            def connect(self, factory: Any) -> Deferred[Any]:
                raise RuntimeError("not today")

        started = self.start(Recorder(), endpoint=Broken(self.clock), name="broken endpoint")
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, RuntimeError)
        self.assertIsNone(wsx.whereis("broken endpoint"))


class FailedStartTests(ClientCase):
    """A synchronous start that fails, fails with the typed error, in time, and leaves nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder()

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual(self.recorder.names, [], "a client that never was is told nothing")

    def fail_with(self, response: bytes, *kinds: type[BaseException], **options: Any) -> Any:
        """Gives the error of a start that gets this response; TCP must be given up."""
        started = self.start(self.recorder, **options)
        self.peer.send(response)
        error = self.failed_start(started, *kinds)
        self.assertTrue(self.peer.transport.aborted, "TCP is left open")
        return error

    def fail_handshake(self, options: Mapping[str, Any], **answer: Any) -> wsx.HandshakeError:
        """Gives the error of a start whose handshake is answered like this."""
        started = self.start(self.recorder, **options)
        challenge = handshake.accept_value(self.peer.request[1]["sec-websocket-key"])
        self.peer.answer(**answer)
        error = self.failed_start(started, wsx.HandshakeError)
        self.assertTrue(self.peer.transport.aborted, "TCP is left open")
        self.assertEqual(error.challenge, challenge)
        return error

    def test_refused(self) -> None:
        """[S8] a refused connection is a ConnError with the error underneath."""
        for refusal in (ConnectionRefusedError(), DNSLookupError("no such host"), OSError(113)):
            with self.given(refusal=refusal):
                self.server.refusal = refusal
                error = self.failed_start(self.start(self.recorder), wsx.ConnError)
                self.assertIs(error.original, refusal)

    def test_connect_timeout(self) -> None:
        """[S8] [S17] a connection that is not there after 6 seconds is a ConnError."""
        self.server.silent = True
        started = self.start(self.recorder)
        self.clock.advance(5.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)
        self.assertEqual(self.server.cancelled, 1)

    def test_connect_timeout_option(self) -> None:
        """[S17] ``socket_connect_timeout`` says how long."""
        self.server.silent = True
        started = self.start(self.recorder, socket_connect_timeout=0.5)
        self.clock.advance(0.25)
        self.assertNoResult(started)
        self.clock.advance(0.25)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)

    def test_response_timeout(self) -> None:
        """[S8] [S17] a server that says nothing for 5 seconds is a ConnError."""
        started = self.start(self.recorder)
        self.clock.advance(4.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)
        self.assertTrue(self.peer.transport.aborted)

    def test_response_timeout_option(self) -> None:
        """[S17] ``socket_recv_timeout`` says how long."""
        started = self.start(self.recorder, socket_recv_timeout=12.0)
        self.clock.advance(11.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)

    def test_dripping_response(self) -> None:
        """[S8] [S17] the time-out is for the whole response, not for each read."""
        started = self.start(self.recorder)
        for byte in b"HTTP":
            self.clock.advance(1)
            self.peer.send(bytes([byte]))
            self.assertNoResult(started)
        self.clock.advance(1)
        self.peer.send(b"/")
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)
        self.assertTrue(self.peer.transport.aborted)

    def test_status(self) -> None:
        """[S8] another HTTP status is a RequestError with code, message, headers and body."""
        error = self.fail_with(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nSet-Cookie: a=1\r\n"
            b"set-cookie: b=2\r\nContent-Length: 5\r\n\r\nsorry",
            wsx.RequestError,
        )
        self.assertEqual((error.code, error.message), (503, "Service Unavailable"))
        self.assertEqual(
            list(error.headers),
            [
                ("Retry-After", "7"),
                ("Set-Cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("Content-Length", "5"),
            ],
        )
        self.assertEqual(error.body, b"sorry")

    def test_status_text(self) -> None:
        """[S8] the text of a RequestError names code and message only."""
        error = self.fail_with(
            b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: secret\r\nContent-Length: 4\r\n\r\nbody",
            wsx.RequestError,
        )
        self.assertIn("401 Unauthorized", str(error))
        self.assertNotIn("secret", str(error))
        self.assertNotIn("body", str(error))

    def test_any_status(self) -> None:
        """[S8] any status but 101 is a RequestError, with or without a message."""
        for status in ("200 OK", "204 No Content", "302 Found", "400", "404 Not Found", "500 Oh"):
            with self.given(status=status):
                response = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
                error = self.fail_with(response, wsx.RequestError)
                self.assertEqual(f"{error.code} {error.message}".strip(), status)
                self.assertEqual(error.body, b"")

    def test_status_in_pieces(self) -> None:
        """[S8] a refusal that comes byte by byte is waited for until it is whole."""
        response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"
        started = self.start(self.recorder)
        for byte in response:
            self.assertNoResult(started)
            self.peer.send(bytes([byte]))
        self.assertEqual(self.failed_start(started, wsx.RequestError).body, b"gone")

    def test_chunked_body(self) -> None:
        """[S8] a chunked body is put together."""
        error = self.fail_with(
            b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nfoo\r\n4;x=y\r\nbars\r\n0\r\n\r\n",
            wsx.RequestError,
        )
        self.assertEqual(error.body, b"foobars")

    def test_body_until_the_end(self) -> None:
        """[S8] without a length the body ends with the connection."""
        started = self.start(self.recorder)
        self.peer.send(b"HTTP/1.1 500 Oh\r\n\r\nthis")
        self.peer.send(b" and that")
        self.assertNoResult(started)
        self.peer.drop()
        self.assertEqual(self.failed_start(started, wsx.RequestError).body, b"this and that")

    def test_body_not_in_time(self) -> None:
        """[S8] [S17] a body that does not come in time is given as far as it came."""
        started = self.start(self.recorder)
        self.peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\npart")
        self.clock.advance(4.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        self.assertEqual(self.failed_start(started, wsx.RequestError).body, b"part")
        self.assertTrue(self.peer.transport.aborted)

    def test_long_body(self) -> None:
        """[S8] of a long body the first 64 KiB are kept, and no more is waited for."""
        for header in (b"", b"Content-Length: 1000000\r\n"):
            with self.given(header=header):
                response = b"HTTP/1.1 500 Oh\r\n" + header + b"\r\n" + bytes(65536) + b"more"
                error = self.fail_with(response, wsx.RequestError)
                self.assertEqual(error.body, bytes(65536))

    def test_hang_up(self) -> None:
        """[S8] a peer that hangs up during the handshake is a ConnError."""
        for said in (b"", b"HTT", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"):
            with self.given(said=said):
                started = self.start(self.recorder)
                if said:
                    self.peer.send(said)
                lost = ConnectionLost()
                self.peer.drop(lost)
                error = self.failed_start(started, wsx.ConnError)
                self.assertIs(error.original, lost)

    def test_wrong_accept(self) -> None:
        """[S8] a wrong accept value is a HandshakeError with what was due and what came."""
        error = self.fail_handshake({}, accept="bm90IHRoaXM=")
        self.assertEqual(error.response, "bm90IHRoaXM=")
        self.assertIn("Accept", str(error))

    def test_missing_headers(self) -> None:
        """[S8] a 101 without one of the three headers is a HandshakeError that says which."""
        for header in ("Upgrade", "Connection", "Sec-WebSocket-Accept"):
            with self.given(header=header):
                error = self.fail_handshake({}, **{header.replace("-", "_"): ""})
                self.assertIn(header, str(error))
                self.assertIsNone(error.response)

    def test_wrong_headers(self) -> None:
        """[S8] a 101 with another protocol, or without the upgrade, is a HandshakeError."""
        for header, value in (("Upgrade", "h2c"), ("Connection", "keep-alive")):
            with self.given(header=header):
                error = self.fail_handshake({}, **{header: value})
                self.assertIn(header, str(error))
                self.assertEqual(error.response, value)

    def test_header_case(self) -> None:
        """[S8] the values of Upgrade and Connection are compared without their case."""
        started = self.start(self.recorder)
        self.peer.answer(Upgrade="WebSocket", Connection="keep-alive, UPGRADE")
        self.step()
        self.successResultOf(started)
        self.assertEqual(self.recorder.names, ["handle_connect"])
        self.recorder.calls.clear()

    def test_subprotocol_not_offered(self) -> None:
        """[S8] a subprotocol that was not offered fails the handshake."""
        for offered, chosen in (((), "chat"), (("chat",), "Chat"), (("chat", "v2"), "chat, v2")):
            with self.given(offered=offered, chosen=chosen):
                error = self.fail_handshake(
                    {"subprotocols": offered}, Sec_WebSocket_Protocol=chosen
                )
                self.assertIn("subprotocol", str(error).lower())
                self.assertEqual(error.response, chosen)

    def test_extension_not_offered(self) -> None:
        """[S8] an extension that was not offered, or with wrong parameters, fails it too."""
        deflate = "permessage-deflate"
        for offered, chosen in (
            (None, deflate),
            ("deflate", "x-unknown"),
            ("deflate", f"{deflate}, x-unknown"),
            ("deflate", f"{deflate}, {deflate}"),
            ("deflate", f"{deflate}; nonsense=1"),
            ("deflate", f"{deflate}; server_max_window_bits=99"),
        ):
            with self.given(offered=offered, chosen=chosen):
                error = self.fail_handshake(
                    {"compression": offered}, Sec_WebSocket_Extensions=chosen
                )
                self.assertIn("extension", str(error).lower())
                self.assertEqual(error.response, chosen)

    def test_not_http(self) -> None:
        """[S8] a response that is not HTTP is a HandshakeError, as soon as that can be seen."""
        for said in (b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02", b"HTTP/1.1 abc\r\n\r\n"):
            with self.given(said=said):
                error = self.fail_with(said, wsx.HandshakeError)
                self.assertIn("HTTP", str(error))
                self.assertIsNotNone(error.response)

    def test_header_too_long(self) -> None:
        """[S8] a response header over ``max_header_size`` is a HandshakeError."""
        start = b"HTTP/1.1 101 Switching Protocols\r\nX-Long: "
        for options, size in (({}, 64 * 1024), ({"max_header_size": 100}, 100)):
            with self.given(options=options):
                error = self.fail_with(start + b"x" * size, wsx.HandshakeError, **options)
                self.assertIn(str(size), str(error))


class HandshakeTests(ClientCase):
    """What goes out with the request, and what the handler sees of the response."""

    def request_headers(self, **options: Any) -> dict[str, str]:
        """Gives the headers of the request of a client with these options."""
        self.start(Recorder(), **options)
        return self.peer.request[1]

    def test_extra_headers(self) -> None:
        """[S15] extra request headers are sent, given as pairs or as a mapping."""
        for headers in ([("X-A", "1"), ("X-B", "zwei")], {"X-A": "1", "X-B": "zwei"}):
            with self.given(headers=headers):
                sent = self.request_headers(extra_headers=headers)
                self.assertEqual((sent["x-a"], sent["x-b"]), ("1", "zwei"))

    def test_repeated_header(self) -> None:
        """[S15] a header that is given twice is sent twice, in order."""
        self.start(Recorder(), extra_headers=[("X-A", "1"), ("X-A", "2")])
        self.assertIn(b"\r\nX-A: 1\r\nX-A: 2\r\n", self.peer.transport.value())

    def test_basic_authorization(self) -> None:
        """[S15] user and password of the URL are percent-decoded, sent as Basic authorization."""
        sent = self.request_headers(url="ws://us%40er:pass%3Aword@example.test/")
        credentials = base64.b64encode(b"us@er:pass:word").decode()
        self.assertEqual(sent["authorization"], f"Basic {credentials}")
        self.assertEqual(sent["host"], "example.test")

    def test_subprotocols_in_order(self) -> None:
        """[S15] subprotocols are offered in their order."""
        sent = self.request_headers(subprotocols=["v2", "v1"])
        self.assertEqual(sent["sec-websocket-protocol"], "v2, v1")

    def test_response(self) -> None:
        """[S16] ``handle_connect`` sees status, headers, subprotocol, extensions and peer."""
        recorder = Recorder()
        started = self.start(recorder, subprotocols=["v2", "v1"], compression="deflate")
        self.peer.answer(Sec_WebSocket_Protocol="v1", Sec_WebSocket_Extensions="permessage-deflate")
        self.step()
        client = self.successResultOf(started)
        (conn,) = recorder.arguments("handle_connect")
        self.assertEqual(conn.resp_status, 101)
        self.assertEqual(conn.subprotocol, "v1")
        self.assertEqual(list(conn.extensions), ["permessage-deflate"])
        self.assertEqual(conn.peer, "192.168.1.1:54321")
        self.assertEqual(client.conn, conn)

    def test_response_headers(self) -> None:
        """[S16] response headers keep order and duplicates; they are read as ISO-8859-1."""
        recorder = Recorder()
        started = self.start(recorder)
        self.peer.answer(X_One="a", X_Two="caf\xe9\r\nx-one: b")
        self.step()
        self.successResultOf(started)
        (conn,) = recorder.arguments("handle_connect")
        self.assertEqual(
            [pair for pair in conn.resp_headers if pair[0].lower().startswith("x-")],
            [("X-One", "a"), ("X-Two", "caf\xe9"), ("x-one", "b")],
        )

    def test_response_header(self) -> None:
        """[S16] ``resp_header`` finds a header whatever its case, and None where there is none."""
        recorder = Recorder()
        started = self.start(recorder)
        self.peer.answer(X_One="a")
        self.step()
        self.successResultOf(started)
        (conn,) = recorder.arguments("handle_connect")
        self.assertEqual([conn.resp_header(n) for n in ("X-One", "x-ONE")], ["a", "a"])
        self.assertIsNone(conn.resp_header("X-Two"))

    def test_given_conn_is_unchanged(self) -> None:
        """[S16] the answer is in a copy: the Conn that was given says nothing of it."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        started = wsx.start(conn, Recorder(), reactor=self.clock)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).conn.resp_status, 101)
        self.assertIsNone(conn.resp_status)
        self.assertEqual(len(conn.resp_headers), 0)

    def test_frames_with_the_response(self) -> None:
        """[S19] frames that come with the handshake response are delivered, in order."""
        recorder = Recorder()
        self.start(recorder)
        self.peer.answer(text("one") + server_frame(PING, b"two") + server_frame(BINARY, b"3"))
        self.step()
        self.assertEqual(
            recorder.names, ["handle_connect", "handle_frame", "handle_ping", "handle_frame"]
        )
        self.assertEqual(
            [argument for _, argument, _ in recorder.calls[1:]],
            [wsx.Text("one"), wsx.Ping(b"two"), wsx.Binary(b"3")],
        )

    def test_half_a_frame_with_the_response(self) -> None:
        """[S19] half a frame that comes with the response is completed by the next read."""
        recorder = Recorder()
        self.start(recorder)
        self.peer.answer(text("message")[:4])
        self.peer.send(text("message")[4:])
        self.step()
        self.assertEqual(recorder.arguments("handle_frame"), [wsx.Text("message")])

    def test_frames_wait_for_handle_connect(self) -> None:
        """[S19] they wait until an asynchronous ``handle_connect`` has answered."""
        answer: Deferred[Any] = Deferred()
        recorder = Recorder(handle_connect=lambda *_: answer)
        self.start(recorder, "before")
        self.peer.answer(text("early"))
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        answer.callback(wsx.Ok("after"))
        self.step()
        self.assertEqual(recorder.calls[1:], [("handle_frame", wsx.Text("early"), "after")])


class CancelTests(ClientCase):
    """Cancelling the Deferred of ``start`` stops the attempt, in whatever phase."""

    def assert_cancelled(self, started: Deferred[Any], recorder: Recorder, *names: str) -> None:
        """It failed, nothing is left, and a client that never was is not terminated."""
        self.failed_start(started, CancelledError)
        self.assertEqual(recorder.names, list(names))
        self.assertIsNone(wsx.whereis("feed"))

    def test_while_connecting(self) -> None:
        """While TCP is being made, that is given up."""
        self.server.silent = True
        recorder = Recorder()
        started = self.start(recorder, name="feed")
        started.cancel()
        self.assert_cancelled(started, recorder)
        self.assertEqual(self.server.cancelled, 1)

    def test_during_the_handshake(self) -> None:
        """While the response is waited for, TCP is dropped."""
        for said in (b"", b"HTTP/1.1 101 Swi", b"HTTP/1.1 500 Oh\r\n\r\nbody"):
            with self.given(said=said):
                recorder = Recorder()
                started = self.start(recorder, name="feed")
                if said:
                    self.peer.send(said)
                started.cancel()
                self.assertTrue(self.peer.transport.aborted)
                self.assert_cancelled(started, recorder)

    def test_late_response(self) -> None:
        """A response that is delivered after that, with or without a frame, does no harm."""
        for rest in (b"", text("late")):
            with self.given(rest=rest):
                recorder = Recorder()
                started = self.start(recorder, name="feed")
                started.cancel()
                self.peer.answer(rest)
                self.assert_cancelled(started, recorder)

    def test_in_handle_connect(self) -> None:
        """While ``handle_connect`` is pending, it is cancelled and the connection is closed."""
        cancelled: list[object] = []
        recorder = Recorder(handle_connect=lambda *_: Deferred(cancelled.append))
        started = self.start(recorder, name="feed")
        self.peer.answer()
        self.step()
        started.cancel()
        self.step()
        self.failureResultOf(started, CancelledError)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [CLOSE])
        self.peer.drop()
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(wsx.whereis("feed"))

    def test_in_handle_connect_with_a_silent_peer(self) -> None:
        """A peer that does not answer the close frame is cut off after ``close_timeout``."""
        started = self.start(Recorder(handle_connect=lambda *_: Deferred()), name="feed")
        self.peer.answer()
        self.step()
        started.cancel()
        self.failureResultOf(started, CancelledError)
        self.clock.advance(5)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(wsx.whereis("feed"))

    def test_between_two_attempts(self) -> None:
        """While the next of several first attempts is waited for, there is none."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=3.0))
        started = self.start(recorder, name="feed", handle_initial_conn_failure=True)
        self.step()
        started.cancel()
        self.assert_cancelled(started, recorder, "handle_disconnect")
        self.clock.advance(10)
        self.assertEqual(self.server.attempts, 1)

    def test_in_handle_disconnect(self) -> None:
        """While the ``handle_disconnect`` of a first attempt is pending, it is cancelled."""
        self.server.refusal = ConnectionRefusedError()
        cancelled: list[object] = []
        recorder = Recorder(handle_disconnect=lambda *_: Deferred(cancelled.append))
        started = self.start(recorder, name="feed", handle_initial_conn_failure=True)
        self.step()
        started.cancel()
        self.assert_cancelled(started, recorder, "handle_disconnect")
        self.assertEqual(len(cancelled), 1)

    def test_too_late(self) -> None:
        """Once it has fired, cancelling it does nothing."""
        started = self.start(Recorder())
        self.peer.answer()
        self.step()
        started.cancel()
        self.step()
        self.assertEqual(self.successResultOf(started).status, "open")


class LinkTests(ClientCase):
    """``start_link``: a client that is stopped with its parent."""

    def setUp(self) -> None:
        super().setUp()
        self.parent = MultiService()
        self.parent.startService()

    def link(self, parent: Any, handler: Any, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Starts a linked client."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start_link(parent, options.pop("url", URL), handler, **options)

    def open_link(self, parent: Any, handler: Any) -> wsx.Client[Any]:
        """Starts a linked client and completes its handshake."""
        started = self.link(parent, handler)
        self.peer.answer()
        self.step()
        return self.successResultOf(started)

    def assert_ends_with(self, parent: Any) -> None:
        """Stopping the parent ends the client gracefully, and waits for that."""
        recorder = Recorder()
        client = self.open_link(parent, recorder)
        service = IService(parent)
        stopping = service.stopService()
        self.step()
        self.assertEqual(self.peer.received(), [(CLOSE, (1001).to_bytes(2, "big"))])
        self.assertNoResult(stopping)
        self.peer.send(close(1001))
        self.peer.drop()
        self.step()
        self.successResultOf(stopping)
        self.assertEqual(recorder.names, ["handle_connect", "terminate"])
        self.assertIsInstance(self.successResultOf(client.terminated()), wsx.Shutdown)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_multi_service(self) -> None:
        """[S9] the end of a MultiService ends its client."""
        self.assert_ends_with(self.parent)

    def test_application(self) -> None:
        """[S9] so does the end of an Application."""
        application = Application("test")
        IService(application).startService()
        self.assert_ends_with(application)

    def test_parent_that_runs_later(self) -> None:
        """[S9] a parent that is started after the client stops it all the same."""
        parent = MultiService()
        client = self.open_link(parent, Recorder())
        parent.startService()
        self.assertEqual(client.status, "open")
        parent.stopService()
        self.assertEqual(client.status, "closing")

    def test_parent_that_stops_first(self) -> None:
        """[S9] [V5] a parent that stops during the first attempt fails the Deferred."""
        recorder = Recorder()
        self.server.silent = True
        started = self.link(self.parent, recorder, name="feed")
        stopping = self.parent.stopService()
        error = self.failed_start(started, wsx.ClientEnded)
        self.assertIsInstance(error.reason, wsx.Shutdown)
        self.successResultOf(stopping)
        self.assertEqual(recorder.names, [])
        self.assertEqual(self.server.cancelled, 1)
        self.assertIsNone(wsx.whereis("feed"))

    def test_client_that_ends_first(self) -> None:
        """[S9] a client that has ended leaves its parent, which goes on."""
        client = self.open_link(self.parent, Recorder())
        self.assertEqual(len(list(self.parent)), 1)
        self.end(client)
        self.assertEqual(list(self.parent), [])
        self.assertTrue(self.parent.running)

    def test_start_that_fails(self) -> None:
        """[S8] [S9] a start that fails leaves nothing with the parent."""
        self.server.refusal = ConnectionRefusedError()
        self.failed_start(self.link(self.parent, Recorder()), wsx.ConnError)
        self.assertEqual(list(self.parent), [])
        self.server.refusal = None
        started = self.link(self.parent, Recorder())
        self.peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.failed_start(started, wsx.RequestError)
        self.assertEqual(list(self.parent), [])

    def test_cancelled(self) -> None:
        """[S9] so does one that is cancelled."""
        self.server.silent = True
        started = self.link(self.parent, Recorder())
        started.cancel()
        self.failed_start(started, CancelledError)
        self.assertEqual(list(self.parent), [])

    def test_wrong_arguments(self) -> None:
        """[S9] wrong arguments fail the Deferred, and neither parent nor server hears of it."""
        wrong: list[tuple[Any, Any, dict[str, Any]]] = [
            (None, Recorder(), {}),
            (object(), Recorder(), {}),
            (self.parent, object(), {}),
            (self.parent, Recorder(), {"url": "nonsense"}),
            (self.parent, Recorder(), {"colour": "red"}),
        ]
        for parent, handler, options in wrong:
            with self.given(parent=parent, handler=handler, options=options):
                self.failed_start(self.link(parent, handler, **options), TypeError, ValueError)
                self.assertEqual(list(self.parent), [])
                self.assertEqual(self.server.attempts, 0)

    def test_taken_name(self) -> None:
        """[S9] [S12] a taken name fails the Deferred, and the parent has no child of it."""
        client = self.open(Recorder(), name="feed")
        self.failed_start(self.link(self.parent, Recorder(), name="feed"), wsx.AlreadyStartedError)
        self.assertEqual(list(self.parent), [])
        self.end(client)

    def test_unlinked(self) -> None:
        """[S10] a client started with ``start`` outlives the services around it."""
        linked = self.open_link(self.parent, Recorder())
        recorder = Recorder()
        client = self.open(recorder)
        self.parent.stopService()
        self.step()
        self.assertEqual(linked.status, "closing")
        self.assertEqual(client.status, "open")
        self.assertEqual(self.peer.received(), [])


class Directory:
    """A registry of the user's own."""

    def __init__(self) -> None:
        self.clients: dict[Any, wsx.Client[Any]] = {}
        self.sent: list[tuple[Any, Any]] = []

    def register_name(self, key: Any, client: wsx.Client[Any]) -> bool:
        return self.clients.setdefault(key, client) is client

    def unregister_name(self, key: Any) -> None:
        del self.clients[key]

    def whereis_name(self, key: Any) -> wsx.Client[Any] | None:
        return self.clients.get(key)

    def send(self, key: Any, message: Any) -> None:
        self.sent.append((key, message))
        self.clients[key].info(message)


class NameTests(ClientCase):
    """Names of clients: a str, and ``Via`` a registry."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory()
        self.names: list[Any] = ["feed", wsx.Via(self.directory, ("feed", 1))]

    def tearDown(self) -> None:
        super().tearDown()
        for name in self.names:
            self.assertIsNone(wsx.whereis(name), "a test left its client behind")

    def test_name(self) -> None:
        """[S11] a client has its name, and ``whereis`` finds it."""
        for name in self.names:
            with self.given(name=name):
                client = self.open(Recorder(), name=name)
                self.assertEqual(client.name, name)
                self.assertIs(wsx.whereis(name), client)
                self.end(client)

    def test_via_asks_the_registry(self) -> None:
        """[S11] a ``Via`` name is kept by its registry."""
        client = self.open(Recorder(), name=self.names[1])
        self.assertEqual(self.directory.clients, {("feed", 1): client})
        self.end(client)
        self.assertEqual(self.directory.clients, {})

    def test_name_while_connecting(self) -> None:
        """[S11] the name is there as soon as the client is."""
        for name in self.names:
            started = self.start(Recorder(), name=name)
            self.assertEqual(getattr(wsx.whereis(name), "status", None), "connecting")
            started.cancel()
            self.failureResultOf(started, CancelledError)
            self.step()

    def test_no_name(self) -> None:
        """[S11] a client without a name has None."""
        self.assertIsNone(self.open(Recorder()).name)

    def test_taken(self) -> None:
        """[S12] a taken name fails the start with the name and its client, which goes on."""
        for name in self.names:
            with self.given(name=name):
                client = self.open(Recorder(), name=name)
                attempts = self.server.attempts
                started = self.start(Recorder(), name=name)
                error = self.failureResultOf(started, wsx.AlreadyStartedError).value
                self.assertEqual(error.name, name)
                self.assertIs(error.client, client)
                self.assertEqual(self.server.attempts, attempts)
                self.step()
                self.assertIs(wsx.whereis(name), client)
                self.assertEqual(client.status, "open")
                self.end(client)

    def test_taken_with_async(self) -> None:
        """[S12] an asynchronous start fails likewise."""
        client = self.open(Recorder(), name="feed")
        started = self.start(Recorder(), name="feed", async_=True)
        self.failureResultOf(started, wsx.AlreadyStartedError)
        self.end(client)

    def test_registry_that_raises(self) -> None:
        """[S12] what a registry raises fails the start, and nothing is started."""

        class Broken(Directory):
            def register_name(self, key: Any, client: wsx.Client[Any]) -> bool:
                raise OSError("the directory is down")

        self.failed_start(self.start(Recorder(), name=wsx.Via(Broken(), "feed")), OSError)
        self.assertEqual(self.server.attempts, 0)

    def test_cast_and_info(self) -> None:
        """[S13] ``cast`` and ``info`` take a client or its name."""
        for name in self.names:
            recorder = Recorder()
            client = self.open(recorder, name=name)
            for target in (name, client):
                with self.given(target=target):
                    recorder.calls.clear()
                    wsx.cast(target, "one")
                    wsx.info(target, "two")
                    self.step()
                    self.assertEqual(
                        recorder.calls, [("handle_cast", "one", None), ("handle_info", "two", None)]
                    )
            self.end(client)

    def test_info_via_registry(self) -> None:
        """[S13] ``info`` to a ``Via`` goes through the registry's ``send``."""
        client = self.open(Recorder(), name=self.names[1])
        wsx.info(self.names[1], "hello")
        self.assertEqual(self.directory.sent, [(("feed", 1), "hello")])
        self.end(client)

    def test_send_frame(self) -> None:
        """[S13] ``send_frame`` takes a client or its name."""
        for name in self.names:
            client = self.open(Recorder(), name=name)
            for target in (name, client):
                with self.given(target=target):
                    sent = wsx.send_frame(target, wsx.Text("hi"))
                    self.assertIsNone(self.successResultOf(sent))
                    self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
            self.end(client)

    def test_send_frame_timeout(self) -> None:
        """[S13] ``wsx.send_frame`` takes the time-out as well."""
        client = self.open(Recorder(), name="feed")
        self.peer.buffer.pauseProducing()
        sent = wsx.send_frame("feed", wsx.Text("hi"), timeout=1.0)
        self.clock.advance(1)
        self.failureResultOf(sent, wsx.SendTimeout)
        self.end(client)

    def test_unknown(self) -> None:
        """[S13] an unknown name is an UnknownNameError, also a LookupError."""
        for name in self.names:
            with self.given(name=name):
                for talk in (wsx.cast, wsx.info):
                    error = self.assertRaises(wsx.UnknownNameError, talk, name, "hello")
                    self.assertEqual(error.name, name)
                    self.assertIsInstance(error, LookupError)
                sent = wsx.send_frame(name, wsx.Text("hi"))
                self.assertEqual(self.failureResultOf(sent, wsx.UnknownNameError).value.name, name)

    def test_free_after_the_end(self) -> None:
        """[S14] a name is free once its client has ended, and may be taken again."""
        for name in self.names:
            with self.given(name=name):
                for _ in range(2):
                    client = self.open(Recorder(), name=name)
                    self.end(client)
                    self.assertIsNone(wsx.whereis(name))

    def test_free_when_terminated_fires(self) -> None:
        """[S14] whoever hears of the end may take the name at once."""
        for name in self.names:
            client = self.open(Recorder(), name=name)
            seen: list[Any] = []
            client.terminated().addCallback(lambda _, n=name, s=seen: s.append(wsx.whereis(n)))
            self.end(client)
            self.assertEqual(seen, [None])

    def test_registry_that_cannot_free(self) -> None:
        """[S14] what a registry raises at the end is logged; the client has ended all the same."""

        class Broken(Directory):
            def unregister_name(self, key: Any) -> None:
                raise OSError("the directory is down")

        client = self.open(Recorder(), name=wsx.Via(Broken(), "feed"))
        ended = client.stop()
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(client.status, "terminated")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_free_after_a_failed_start(self) -> None:
        """[S14] so it is after a start that failed, when its Deferred fails."""
        self.server.refusal = ConnectionRefusedError()
        for name in self.names:
            with self.given(name=name):
                seen: list[Any] = []
                started = self.start(Recorder(), name=name)
                started.addErrback(lambda _, n=name, s=seen: s.append(wsx.whereis(n)))
                self.step()
                self.assertEqual(seen, [None])


class CallbackTests(ClientCase):
    """Which callback is invoked when, and what it may answer."""

    def test_handle_connect(self) -> None:
        """[C1] ``handle_connect`` is invoked after the handshake, before any frame."""
        recorder = Recorder()
        started = self.start(recorder, "state")
        self.assertEqual(recorder.names, [])
        self.peer.answer(text("frame"))
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])
        _, conn, state = recorder.calls[0]
        self.assertEqual((conn.url, conn.resp_status, state), (URL, 101, "state"))

    def test_handle_connect_again(self) -> None:
        """[C1] and after each later handshake, with the new answer."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=0))
        self.open(recorder)
        for number in ("2", "3"):
            self.peer.drop()
            self.step()
            self.peer.answer(text("frame"), X_Number=number)
            self.step()
            self.assertEqual(
                recorder.names[-3:], ["handle_disconnect", "handle_connect", "handle_frame"]
            )
        numbers = [conn.resp_header("X-Number") for conn in recorder.arguments("handle_connect")]
        self.assertEqual(numbers, [None, "2", "3"])

    def test_status_in_handle_connect(self) -> None:
        """[C1] the client is open when ``handle_connect`` is invoked."""
        states: list[str] = []
        recorder = Recorder(handle_connect=lambda *_: states.append(recorder.client.status))
        self.open(recorder)
        self.assertEqual(states, ["open"])

    def answered(
        self, callback: str, answer: Callable[[Any, Any], Any]
    ) -> tuple[Recorder, wsx.Client[Any]]:
        """Gives handler and client after this callback gave this answer, to state 0."""
        recorder = Recorder(**{callback: answer})
        client = self.open(recorder, 0)
        self.provoke(callback, client)
        self.assertEqual(recorder.names.count(callback), 1)
        recorder.answers.clear()
        return recorder, client

    def test_ok(self) -> None:
        """[C2] [C3] ``Ok`` goes on with its state, and sends nothing."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda _, state: wsx.Ok(state + 1))
                self.assertEqual(self.peer.received(), [])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_none(self) -> None:
        """[C2] None goes on with the state unchanged."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda *_: None)
                self.assertEqual(self.peer.received(), [])
                self.assertEqual(self.state_of(recorder, client), 0)

    def test_reply(self) -> None:
        """[C2] ``Reply`` sends a frame and goes on with its state."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(
                    callback, lambda _, s: wsx.Reply(wsx.Text("hi"), s + 1)
                )
                self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_reply_with_each_kind(self) -> None:
        """[C2] ``Reply`` sends frames of each kind."""
        frames = [wsx.Text("a"), wsx.Binary(b"b"), wsx.Ping(b"c"), wsx.Pong(b"d")]
        for frame in frames:
            with self.given(frame=frame):
                self.open(Recorder(handle_connect=lambda _, s, f=frame: wsx.Reply(f, s)))
                self.assertEqual([p for _, p in self.peer.received()], [bytes_of(frame)])

    def test_reply_with_a_list(self) -> None:
        """[C2] ``Reply`` with a list sends each of its frames, in order."""
        frames = [wsx.Text("a"), wsx.Ping(b"b"), wsx.Binary(b"c")]
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda _, s: wsx.Reply(frames, s + 1))
                self.assertEqual(self.peer.received(), [(TEXT, b"a"), (PING, b"b"), (BINARY, b"c")])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_reply_with_an_empty_list(self) -> None:
        """[C2] ``Reply`` with an empty list sends nothing, and goes on."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, client = self.answered(callback, lambda _, s: wsx.Reply([], s + 1))
                self.assertEqual(self.peer.received(), [])
                self.assertEqual(self.state_of(recorder, client), 1)

    def test_close(self) -> None:
        """[C2] ``Close`` sends a close frame."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                _, client = self.answered(callback, lambda _, s: wsx.Close(s + 1, 4000, "bye"))
                self.assertEqual(
                    self.peer.received(), [(CLOSE, (4000).to_bytes(2, "big") + b"bye")]
                )
                self.assertEqual(client.status, "closing")

    def test_close_carries_its_state(self) -> None:
        """[C2] [C3] the state of a ``Close`` is what ``handle_disconnect`` gets."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder, _ = self.answered(callback, lambda _, s: wsx.Close(s + 1))
                self.peer.drop()
                self.step()
                self.assertEqual(recorder.names[-2:], ["handle_disconnect", "terminate"])
                self.assertEqual([state for _, _, state in recorder.calls[-2:]], [1, 1])

    def test_handle_disconnect_ends(self) -> None:
        """[C2] ``Ok`` and None in ``handle_disconnect`` end the client, with their state."""
        for answer, state in ((lambda _, s: wsx.Ok(s + 1), 1), (lambda *_: None, 0)):
            recorder = Recorder(handle_disconnect=answer)
            client = self.open(recorder, 0)
            self.provoke("handle_disconnect", client)
            self.assertEqual(client.status, "terminated")
            self.assertEqual(recorder.names[-1], "terminate")
            self.assertEqual(recorder.calls[-1][2], state)

    def test_handle_disconnect_reconnects(self) -> None:
        """[C2] [C3] ``Reconnect`` in ``handle_disconnect`` goes on with its state."""
        recorder = Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s + 1, after=2.0))
        client = self.open(recorder, 0)
        self.provoke("handle_disconnect", client)
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(2)
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(recorder.calls[-1][0], "handle_connect")
        self.assertEqual(recorder.calls[-1][2], 1)

    def test_state_is_carried(self) -> None:
        """[C3] each callback gets the state that the one before answered with."""
        recorder = Recorder()
        recorder.answers = {
            name: lambda _, state, n=name: wsx.Ok([*state, n])
            for name in (*MESSAGE_CALLBACKS, "terminate")
        }
        recorder.answers["handle_disconnect"] = lambda _, state: wsx.Ok([*state, "disconnect"])
        client = self.open(recorder, [])
        for callback in (*MESSAGE_CALLBACKS, "handle_disconnect"):
            self.provoke(callback, client)
        self.assertEqual(recorder.calls[-1][2], [*MESSAGE_CALLBACKS, "disconnect"])

    def test_state_within_one_read(self) -> None:
        """[C3] also between frames that came in one read."""
        recorder = Recorder(handle_frame=lambda frame, state: wsx.Ok(state + frame.payload))
        client = self.open(recorder, "")
        self.peer.send(text("a") + text("b") + text("c"))
        self.step()
        self.assertEqual(self.state_of(recorder, client), "abc")

    def test_clients_have_states_of_their_own(self) -> None:
        """[C3] two clients of one class do not share a state."""
        counting = {"handle_cast": lambda _, state: wsx.Ok(state + 1)}
        recorders = Recorder(**counting), Recorder(**counting)
        clients = [self.open(recorder, 0) for recorder in recorders]
        clients[0].cast("count")
        self.step()
        states = [self.state_of(r, c) for r, c in zip(recorders, clients, strict=True)]
        self.assertEqual(states, [1, 0])

    def test_asynchronous_answers(self) -> None:
        """A callback answers with a Deferred, or is an ``async def``, in each place."""

        async def coroutine(result: Any) -> Any:
            return await succeed(result)

        styles: tuple[Callable[[Any], Awaitable[Any]], ...] = (succeed, coroutine)
        for style in styles:
            for callback in MESSAGE_CALLBACKS:
                with self.given(callback=callback):
                    recorder, client = self.answered(
                        callback, lambda _, s, style=style: style(wsx.Reply(wsx.Text("hi"), s + 1))
                    )
                    self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
                    self.assertEqual(self.state_of(recorder, client), 1)

    def test_late_answers(self) -> None:
        """A Deferred that fires later is waited for, in each place; nothing comes between."""
        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                answer: Deferred[Any] = Deferred()
                recorder = Recorder(**{callback: lambda *_, a=answer: a})
                started = self.start(recorder, 0, async_=True)
                client = self.successResultOf(started)
                self.peer.answer()
                self.step()
                self.provoke(callback, client)
                count = len(recorder.calls)
                recorder.answers.clear()
                client.cast("next")
                self.peer.send(text("next"))
                self.clock.advance(60)
                self.step()
                self.assertEqual(len(recorder.calls), count)
                answer.callback(wsx.Reply(wsx.Text("hi"), 1))
                self.step()
                self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
                self.assertEqual(
                    recorder.calls[count:],
                    [("handle_cast", "next", 1), ("handle_frame", wsx.Text("next"), 1)],
                )

    def test_late_answer_of_handle_disconnect(self) -> None:
        """So is the one of ``handle_disconnect``."""
        answer: Deferred[Any] = Deferred()
        client = self.open(Recorder(handle_disconnect=lambda *_: answer))
        self.peer.drop()
        self.clock.advance(60)
        self.step()
        self.assertEqual(client.status, "disconnected")
        self.assertEqual(self.server.attempts, 1)
        answer.callback(wsx.Reconnect(None, after=0))
        self.step()
        self.assertEqual(self.server.attempts, 2)

    def test_pings_and_pongs(self) -> None:
        """[C11] ``handle_ping`` and ``handle_pong`` get the frame, with and without payload."""
        recorder = Recorder()
        self.open(recorder)
        for opcode, callback, kind in (
            (PING, "handle_ping", wsx.Ping),
            (PONG, "handle_pong", wsx.Pong),
        ):
            for payload in (b"", b"payload", bytes(range(125))):
                with self.given(callback=callback, payload=payload):
                    self.peer.send(server_frame(opcode, payload))
                    self.step()
                    self.assertEqual(recorder.calls[-1], (callback, kind(payload), None))

    def test_ping_is_answered_by_the_handler(self) -> None:
        """[C11] a handler of its own may leave a ping unanswered."""
        self.open(Recorder())
        self.peer.send(server_frame(PING, b"payload"))
        self.step()
        self.assertEqual(self.peer.received(), [])

    def test_default_ping(self) -> None:
        """[C11] the default answers a ping with its payload, and takes a pong."""

        class Silent(wsx.Handler[None]):
            pass

        client = self.open(Silent)
        for payload in (b"", b"payload"):
            self.peer.send(server_frame(PING, payload) + server_frame(PONG, payload))
            self.step()
            self.assertEqual(self.peer.received(), [(PONG, payload)])
        self.assertEqual(client.status, "open")


class ReplyCheckTests(ClientCase):
    """The frames of a reply are checked before the first is sent."""

    BAD: tuple[tuple[Any, type[Exception]], ...] = (
        ("text", wsx.InvalidFrameError),
        (None, wsx.InvalidFrameError),
        (wsx.Ping(bytes(126)), wsx.FrameEncodeError),
        (wsx.Text("\ud800"), wsx.FrameEncodeError),
    )

    def test_list(self) -> None:
        """[C2] one bad frame in a list, and none of the list is sent: close code 1011."""
        for bad, kind in self.BAD:
            for frames in ([wsx.Text("good"), bad], [bad, wsx.Text("good")], [bad]):
                with self.given(frames=frames):
                    recorder = Recorder(handle_cast=lambda _, s, f=frames: wsx.Reply(f, s))
                    client = self.open(recorder)
                    client.cast("go")
                    self.step()
                    ((opcode, payload),) = self.peer.received()
                    self.assertEqual((opcode, payload[:2]), (CLOSE, (1011).to_bytes(2, "big")))
                    self.peer.drop()
                    self.step()
                    (status,) = recorder.arguments("handle_disconnect")
                    self.assertIsInstance(status.reason, kind)

    def test_earlier_replies(self) -> None:
        """[C2] replies to earlier frames of the same read have gone out before."""
        answers = {"one": wsx.Text("first"), "two": wsx.Ping(bytes(126))}
        recorder = Recorder(handle_frame=lambda f, s: wsx.Reply(answers[f.payload], s))
        self.open(recorder)
        self.peer.send(text("one") + text("two") + text("one"))
        self.step()
        frames = self.peer.received()
        self.assertEqual(frames[0], (TEXT, b"first"))
        self.assertEqual([opcode for opcode, _ in frames], [TEXT, CLOSE])


class StepTests(ClientCase):
    """A callback runs in a step of its own."""

    def test_not_inside_cast_or_info(self) -> None:
        """No callback runs inside the caller of ``cast`` or ``info``."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast("one")
        client.info("two")
        self.assertEqual(recorder.names, ["handle_connect"])
        self.step()
        self.assertEqual(recorder.names, ["handle_connect", "handle_cast", "handle_info"])

    def test_not_inside_another(self) -> None:
        """What a callback casts, and what arrives meanwhile, comes after it."""
        events: list[str] = []

        def first(message: str, _: Any) -> None:
            events.append(f"enter {message}")
            if message == "first":
                client.cast("second")
                client.info("third")
                self.peer.send(text("fourth"))
            events.append(f"leave {message}")

        recorder = Recorder(
            handle_cast=first,
            handle_info=first,
            handle_frame=lambda frame, state: first(frame.payload, state),
        )
        client = self.open(recorder)
        client.cast("first")
        self.step()
        expected = [
            f"{what} {n}"
            for n in ("first", "second", "third", "fourth")
            for what in ("enter", "leave")
        ]
        self.assertEqual(events, expected)

    def test_not_inside_the_callers_of_start(self) -> None:
        """Nor inside a callback of the Deferred that ``start`` gave, while one is running."""
        recorder = Recorder()
        seen: list[list[str]] = []

        def on_start(client: wsx.Client[Any]) -> None:
            client.cast("one")
            self.peer.send(text("two"))
            seen.append(recorder.names)

        started = self.start(recorder)
        started.addCallback(on_start)
        self.peer.answer()
        self.step()
        self.assertEqual(seen, [["handle_connect"]])
        self.assertEqual(recorder.names, ["handle_connect", "handle_cast", "handle_frame"])

    def test_not_inside_send_frame(self) -> None:
        """Nor inside the caller of ``send_frame``, close or stop."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast("waiting")
        self.successResultOf(client.send_frame(wsx.Text("hi")))
        client.close()
        client.stop()
        self.assertEqual(recorder.names, ["handle_connect"])

    def test_order_of_arrival(self) -> None:
        """Casts, infos and frames are delivered in order of arrival."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast(1)
        self.peer.send(text("2"))
        client.info(3)
        self.peer.send(text("4") + server_frame(PING, b"5"))
        client.cast(6)
        self.step()
        self.assertEqual(
            [argument for _, argument, _ in recorder.calls[1:]],
            [1, wsx.Text("2"), 3, wsx.Text("4"), wsx.Ping(b"5"), 6],
        )

    def test_clients_do_not_wait_for_each_other(self) -> None:
        """A pending callback of one client holds no other client up."""
        pending: Deferred[Any] = Deferred()
        slow = self.open(Recorder(handle_cast=lambda *_: pending))
        recorder = Recorder()
        fast = self.open(recorder)
        slow.cast("slow")
        fast.cast("fast")
        self.step()
        self.assertEqual(recorder.arguments("handle_cast"), ["fast"])
        pending.callback(None)


class MailboxTests(ClientCase):
    """Casts and infos that cannot be delivered yet wait."""

    def connecting(self, recorder: Recorder, **options: Any) -> wsx.Client[Any]:
        """Gives a client whose handshake is under way."""
        return self.successResultOf(self.start(recorder, async_=True, **options))

    def test_before_open(self) -> None:
        """Casts and infos before the connection come after ``handle_connect``, in order."""
        recorder = Recorder()
        client = self.connecting(recorder)
        client.cast(1)
        client.info(2)
        client.cast(3)
        self.step()
        self.assertEqual(recorder.names, [])
        self.peer.answer()
        self.step()
        self.assertEqual(
            [(name, argument) for name, argument, _ in recorder.calls[1:]],
            [("handle_cast", 1), ("handle_info", 2), ("handle_cast", 3)],
        )
        self.assertEqual(recorder.names[0], "handle_connect")

    def test_pending_handle_connect(self) -> None:
        """They wait for the answer of ``handle_connect``, whose state they get."""
        answer: Deferred[Any] = Deferred()
        recorder = Recorder(handle_connect=lambda *_: answer)
        client = self.connecting(recorder)
        client.cast(1)
        self.peer.answer()
        self.step()
        client.cast(2)
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        answer.callback(wsx.Ok("connected"))
        self.step()
        self.assertEqual(
            recorder.calls[1:], [("handle_cast", 1, "connected"), ("handle_cast", 2, "connected")]
        )

    def test_while_disconnected(self) -> None:
        """What comes between two connections is delivered on the second, in order."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=5))
        client = self.open(recorder)
        self.peer.drop()
        client.cast(1)
        self.step()
        client.info(2)
        self.clock.advance(5)
        client.cast(3)
        self.step()
        self.assertEqual(recorder.names, ["handle_connect", "handle_disconnect"])
        self.peer.answer()
        self.step()
        self.assertEqual(recorder.names[2], "handle_connect")
        self.assertEqual([argument for _, argument, _ in recorder.calls[3:]], [1, 2, 3])

    def test_while_closing(self) -> None:
        """What comes while the connection closes waits for the next one."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=0))
        client = self.open(recorder)
        client.close()
        client.cast("late")
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        self.peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        self.assertEqual(
            recorder.names, ["handle_connect", "handle_disconnect", "handle_connect", "handle_cast"]
        )

    def test_limit(self) -> None:
        """Past ``mailbox_limit`` casts and infos raise, and the ones before are delivered."""
        recorder = Recorder()
        client = self.connecting(recorder, mailbox_limit=2)
        client.cast(1)
        client.info(2)
        for deliver in (client.cast, client.info):
            error = self.assertRaises(wsx.MailboxFullError, deliver, 3)
            self.assertEqual(error.limit, 2)
        self.peer.answer()
        self.step()
        self.assertEqual([argument for _, argument, _ in recorder.calls[1:]], [1, 2])
        client.cast(4)
        self.step()
        self.assertEqual(recorder.arguments("handle_cast"), [1, 4])

    def test_default_limit(self) -> None:
        """The default limit is 10,000."""
        client = self.connecting(Recorder())
        for number in range(10_000):
            client.cast(number)
        error = self.assertRaises(wsx.MailboxFullError, client.cast, "one more")
        self.assertEqual(error.limit, 10_000)

    def test_limit_by_name(self) -> None:
        """``wsx.cast`` and ``wsx.info`` raise it too."""
        client = self.connecting(Recorder(), mailbox_limit=0)
        self.assertRaises(wsx.MailboxFullError, wsx.cast, client, 1)
        self.assertRaises(wsx.MailboxFullError, wsx.info, client, 1)

    def test_ended(self) -> None:
        """[N2] on an ended client ``cast`` and ``info`` raise NotConnectedError("terminated")."""
        client = self.open(Recorder())
        self.end(client)
        for deliver in (client.cast, client.info):
            error = self.assertRaises(wsx.NotConnectedError, deliver, "late")
            self.assertEqual(error.connection_state, "terminated")

    def test_send_after(self) -> None:
        """``send_after`` delivers an info after that many seconds."""
        recorder = Recorder()
        client = self.open(recorder)
        call = client.send_after(2.0, "tick")
        self.assertTrue(IDelayedCall.providedBy(call))
        self.assertEqual(call.getTime(), 2.0)
        self.clock.advance(1.5)
        self.assertEqual(recorder.arguments("handle_info"), [])
        self.clock.advance(0.5)
        self.step()
        self.assertEqual(recorder.arguments("handle_info"), ["tick"])

    def test_send_after_now(self) -> None:
        """A delay of 0 is a later step all the same."""
        recorder = Recorder()
        self.open(recorder).send_after(0, "tick")
        self.assertEqual(recorder.arguments("handle_info"), [])
        self.step()
        self.assertEqual(recorder.arguments("handle_info"), ["tick"])

    def test_send_after_cancelled(self) -> None:
        """The IDelayedCall that ``send_after`` gives can be cancelled."""
        recorder = Recorder()
        client = self.open(recorder)
        client.send_after(1.0, "one").cancel()
        client.send_after(1.0, "two")
        self.clock.advance(1)
        self.step()
        self.assertEqual(recorder.arguments("handle_info"), ["two"])

    def test_send_after_while_connecting(self) -> None:
        """A message that is due before the connection waits for it like any other."""
        recorder = Recorder()
        client = self.connecting(recorder)
        client.send_after(1.0, "tick")
        self.clock.advance(1)
        self.assertEqual(recorder.names, [])
        self.peer.answer()
        self.step()
        self.assertEqual(recorder.names, ["handle_connect", "handle_info"])

    def test_send_after_dropped(self) -> None:
        """What is not due when the client ends is dropped."""
        recorder = Recorder()
        client = self.open(recorder)
        call = client.send_after(1000.0, "late")
        self.end(client)
        self.assertFalse(call.active())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_send_after_due_at_the_end(self) -> None:
        """What is due while the client ends is dropped, without an error."""
        recorder = Recorder()
        client = self.open(recorder)
        client.send_after(1.0, "late")
        ended = client.stop()
        self.clock.advance(2)
        self.assertNoResult(ended)
        self.peer.drop()
        self.step()
        self.successResultOf(ended)
        self.assertEqual(recorder.names, ["handle_connect", "terminate"])

    def test_send_after_on_an_ended_client(self) -> None:
        """On an ended client it leaves nothing that fails later, in the reactor."""
        recorder = Recorder()
        client = self.open(recorder)
        self.end(client)
        try:
            client.send_after(1.0, "late")
        except wsx.NotConnectedError as error:
            self.assertEqual(error.connection_state, "terminated")
        self.clock.advance(2)
        self.assertEqual(recorder.arguments("handle_info"), [])

    def test_send_after_into_a_full_mailbox(self) -> None:
        """A full mailbox drops it, with a line in the log and no error in the reactor."""
        recorder = Recorder()
        client = self.connecting(recorder, mailbox_limit=1)
        client.cast(1)
        client.send_after(1.0, 2)
        self.clock.advance(1)
        self.peer.answer()
        self.step()
        self.assertEqual([argument for _, argument, _ in recorder.calls[1:]], [1])


class BackpressureTests(ClientCase):
    """While frames wait for a slow handler, nothing is read."""

    def setUp(self) -> None:
        super().setUp()
        self.answers: list[Deferred[Any]] = []
        self.recorder = Recorder(handle_frame=self.wait, handle_cast=self.wait)

    def wait(self, *_: Any) -> Deferred[Any]:
        """An answer that the test gives later."""
        self.answers.append(Deferred())
        return self.answers[-1]

    @property
    def paused(self) -> bool:
        """Whether the client has paused reading."""
        return self.peer.transport.reading_paused

    def test_nothing_waits(self) -> None:
        """A pending callback alone does not pause reading: pings and the end are noticed."""
        self.open(self.recorder)
        self.peer.send(text("1"))
        self.step()
        self.assertEqual(len(self.answers), 1)
        self.assertFalse(self.paused)

    def test_as_soon_as_any_waits(self) -> None:
        """Reading is paused as soon as a frame waits, and goes on when none does."""
        self.open(self.recorder)
        self.peer.send(text("1"))
        self.peer.send(text("2"))
        self.assertTrue(self.paused)
        self.step()
        self.assertTrue(self.paused)
        self.answers[0].callback(None)
        self.step()
        self.assertEqual(self.recorder.arguments("handle_frame"), [wsx.Text("1"), wsx.Text("2")])
        self.assertFalse(self.paused)

    def test_in_one_read(self) -> None:
        """So it is when they came in one read, until the last one's turn."""
        self.open(self.recorder)
        self.peer.send(text("1") + text("2") + text("3"))
        for turn in (1, 2, 3):
            self.assertEqual(len(self.answers), turn)
            self.assertEqual(self.paused, turn < 3)
            self.answers[-1].callback(None)
            self.step()
        self.assertFalse(self.paused)

    def test_one_at_a_time_in_order(self) -> None:
        """What was read before the pause is delivered one by one, with the state carried."""
        self.open(self.recorder, 0)
        self.peer.send(text("1") + text("2"))
        self.peer.send(text("3"))
        for turn in (1, 2, 3):
            self.assertEqual(len(self.recorder.arguments("handle_frame")), turn)
            self.answers[-1].callback(wsx.Ok(turn))
            self.step()
        self.assertEqual(
            self.recorder.calls[1:],
            [("handle_frame", wsx.Text(str(n)), n - 1) for n in (1, 2, 3)],
        )

    def test_pending_cast(self) -> None:
        """A pending cast holds frames back just as well."""
        client = self.open(self.recorder)
        client.cast("slow")
        self.step()
        self.peer.send(server_frame(PING, b"now"))
        self.assertTrue(self.paused)
        self.answers[0].callback(None)
        self.step()
        self.assertEqual(self.recorder.names[-1], "handle_ping")
        self.assertFalse(self.paused)

    def test_pending_handle_connect(self) -> None:
        """[S19] frames that came with the response pause reading until their turn."""
        recorder = Recorder(handle_connect=self.wait)
        self.start(recorder)
        self.peer.answer(text("early"))
        self.assertTrue(self.paused)
        self.step()
        self.assertTrue(self.paused)
        self.answers[0].callback(None)
        self.step()
        self.assertFalse(self.paused)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])

    def test_fast_handler(self) -> None:
        """A handler that answers at once is not held up by its own casts."""
        recorder = Recorder()
        client = self.open(recorder)
        client.cast(1)
        self.peer.send(text("2"))
        self.step()
        self.assertFalse(self.paused)
        self.assertEqual(recorder.names[1:], ["handle_cast", "handle_frame"])

    def test_state_of_the_next_connection(self) -> None:
        """A connection that is lost while reading is paused does not pause the next one."""
        self.recorder.answers["handle_disconnect"] = lambda _, s: wsx.Reconnect(s, after=0)
        self.open(self.recorder)
        self.peer.send(text("1") + text("2"))
        self.assertTrue(self.paused)
        self.peer.drop()
        self.step()
        for _ in (1, 2):
            self.answers[-1].callback(None)
            self.step()
        self.peer.answer()
        self.step()
        self.assertFalse(self.paused)
        self.peer.send(text("3"))
        self.assertEqual(self.recorder.arguments("handle_frame")[-1], wsx.Text("3"))


class GatheringTests(ClientCase):
    """What is sent while the handler is at work goes out together, in few writes."""

    def setUp(self) -> None:
        super().setUp()
        self.writes: list[int] = []

    def open_watched(self, **answers: Any) -> wsx.Client[Any]:
        """Opens a client whose writes are noted with their sizes."""
        client = self.open(Recorder(**answers))
        transport, write = self.peer.transport, self.peer.transport.write

        def note(data: bytes) -> None:
            self.writes.append(len(data))
            write(data)

        self.patch(transport, "write", note)
        return client

    def test_one_write(self) -> None:
        """Sends and replies of all callbacks of a read are one write, in their order."""

        def answer(frame: wsx.Text, state: Any) -> Any:
            self.successResultOf(client.send_frame(wsx.Text(frame.payload + "1")))
            self.successResultOf(client.send_frame(wsx.Text(frame.payload + "2")))
            return wsx.Reply([wsx.Text(frame.payload + "3")], state)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("a") + text("b"))
        self.assertEqual(len(self.writes), 1)
        sent = [payload.decode() for _, payload in self.peer.received()]
        self.assertEqual(sent, ["a1", "a2", "a3", "b1", "b2", "b3"])

    def test_coroutine(self) -> None:
        """So where a coroutine awaits each."""

        async def answer(frame: wsx.Text, state: Any) -> None:
            for _ in range(3):
                await client.send_frame(frame)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("a"))
        self.assertEqual(len(self.writes), 1)
        self.assertEqual(self.peer.received(), [(TEXT, b"a")] * 3)

    def test_much(self) -> None:
        """A callback that sends much does not gather it all before the transport sees any."""

        def answer(_: Any, __: Any) -> None:
            for _ in range(4):
                client.send_frame(wsx.Binary(bytes(40_000)))
            self.assertGreaterEqual(len(self.writes), 2)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("go"))
        self.assertEqual(client.status, "open")
        self.assertEqual(len(self.peer.received()), 4)

    def test_outside(self) -> None:
        """From outside a callback nothing is gathered."""
        client = self.open_watched()
        for _ in range(3):
            client.send_frame(wsx.Text("a"))
        self.assertEqual(len(self.writes), 3)

    def test_request(self) -> None:
        """What a system request sends goes out at once too."""
        client = self.open_watched()

        def send(state: Any) -> Any:
            client.send_frame(wsx.Text("a"))
            return state

        self.successResultOf(client.sys.replace_state(send))
        self.assertEqual(self.peer.received(), [(TEXT, b"a")])

    def test_before_a_close_frame(self) -> None:
        """What was sent before ``Close`` was answered goes before the close frame."""

        def answer(_: Any, state: Any) -> Any:
            client.send_frame(wsx.Text("last words"))
            return wsx.Close(state)

        client = self.open_watched(handle_frame=answer)
        self.peer.send(text("go"))
        self.assertEqual([opcode for opcode, _ in self.peer.received()], [TEXT, CLOSE])


class SendFrameTests(ClientCase):
    """``send_frame``: frames from outside, and from within callbacks."""

    def test_each_kind(self) -> None:
        """[N1] each kind of frame is sent, empty ones too, and the Deferred gives None."""
        client = self.open(Recorder())
        for frame, opcode in (
            (wsx.Text("h\xe4"), TEXT),
            (wsx.Text(""), TEXT),
            (wsx.Binary(b"\x00\xff"), BINARY),
            (wsx.Binary(b""), BINARY),
            (wsx.Binary(bytearray(70000)), BINARY),
            (wsx.Ping(), PING),
            (wsx.Ping(b"p"), PING),
            (wsx.Pong(), PONG),
            (wsx.Pong(bytes(125)), PONG),
        ):
            with self.given(frame=frame):
                self.assertIsNone(self.successResultOf(client.send_frame(frame)))
                self.assertEqual(self.peer.received(), [(opcode, bytes_of(frame))])

    def test_order(self) -> None:
        """[N1] frames are sent in the order of the calls."""
        client = self.open(Recorder())
        for word in ("one", "two", "three"):
            client.send_frame(wsx.Text(word))
        self.assertEqual(self.peer.received(), [(TEXT, b"one"), (TEXT, b"two"), (TEXT, b"three")])

    def test_at_once(self) -> None:
        """[N1] also while a callback is pending."""
        client = self.open(Recorder(handle_cast=lambda *_: Deferred()))
        client.cast("slow")
        self.step()
        self.assertIsNone(self.successResultOf(client.send_frame(wsx.Text("hi"))))
        self.assertEqual(self.peer.received(), [(TEXT, b"hi")])

    def assert_not_connected(self, client: wsx.Client[Any], state: str) -> None:
        sent = client.send_frame(wsx.Text("hi"))
        error = self.failureResultOf(sent, wsx.NotConnectedError).value
        self.assertEqual(error.connection_state, state)

    def test_while_opening(self) -> None:
        """[N2] while connecting it fails with NotConnectedError("opening")."""
        for silent in (True, False):
            self.server.silent = silent
            client = self.successResultOf(self.start(Recorder(), async_=True))
            self.assert_not_connected(client, "opening")

    def test_while_reopening(self) -> None:
        """[N2] while connecting again likewise."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=0)))
        self.peer.drop()
        self.step()
        self.assertEqual(self.server.attempts, 2)
        self.assert_not_connected(client, "opening")

    def test_while_closing(self) -> None:
        """[N2] while closing, from either side, it fails with NotConnectedError("closing")."""
        client = self.open(Recorder())
        client.close()
        self.assert_not_connected(client, "closing")
        client = self.open(Recorder())
        self.peer.send(close(1000))
        self.step()
        self.assert_not_connected(client, "closing")
        client = self.open(Recorder())
        client.stop()
        self.assert_not_connected(client, "closing")

    def test_while_disconnected(self) -> None:
        """[N2] while waiting to reconnect it fails with NotConnectedError("disconnected")."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=9)))
        self.peer.drop()
        self.step()
        self.assert_not_connected(client, "disconnected")

    def test_in_handle_disconnect(self) -> None:
        """[N2] so it does while ``handle_disconnect`` is asked."""
        client = self.open(Recorder(handle_disconnect=lambda *_: Deferred()))
        self.peer.drop()
        self.step()
        self.assert_not_connected(client, "disconnected")

    def test_ended(self) -> None:
        """[N2] on an ended client it fails with NotConnectedError("terminated")."""
        client = self.open(Recorder())
        self.end(client)
        self.assert_not_connected(client, "terminated")

    def test_no_frames(self) -> None:
        """[N3] what is no frame fails with InvalidFrameError, and the client goes on."""
        client = self.open(Recorder())
        wrong: tuple[Any, ...] = (
            None,
            "text",
            b"bytes",
            42,
            wsx.Text,
            [wsx.Text("a")],
            wsx.Close(None),
            wsx.Text(b"bytes"),  # type: ignore[arg-type]
            wsx.Text(None),  # type: ignore[arg-type]
            wsx.Binary("text"),  # type: ignore[arg-type]
            wsx.Ping("text"),  # type: ignore[arg-type]
            wsx.Pong(7),  # type: ignore[arg-type]
        )
        for frame in wrong:
            with self.given(frame=frame):
                sent = client.send_frame(frame)
                error = self.failureResultOf(sent, wsx.InvalidFrameError).value
                self.assertIs(error.frame, frame)
        self.assert_unharmed(client)

    def test_frames_that_cannot_be_encoded(self) -> None:
        """[N3] what RFC 6455 forbids fails with FrameEncodeError, and the client goes on."""
        client = self.open(Recorder())
        for frame, kind in (
            (wsx.Ping(bytes(126)), "ping"),
            (wsx.Pong(bytes(126)), "pong"),
            (wsx.Text("\ud800"), "text"),
        ):
            with self.given(frame=frame):
                sent = client.send_frame(frame)
                error = self.failureResultOf(sent, wsx.FrameEncodeError).value
                self.assertEqual(error.frame_type, kind)
                self.assertEqual(error.frame_payload, frame.payload)
                self.assertIsNone(error.close_code)
                self.assertTrue(error.reason)
        self.assert_unharmed(client)

    def assert_unharmed(self, client: wsx.Client[Any]) -> None:
        """The client is open, has sent nothing, and can send."""
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.peer.received(), [])
        self.successResultOf(client.send_frame(wsx.Text("good")))
        self.assertEqual(self.peer.received(), [(TEXT, b"good")])

    def test_dead_connection(self) -> None:
        """[N4] a connection that has just died fails the caller, and leads to the handler."""
        recorder = Recorder()
        client = self.open(recorder)
        self.peer.drop()
        self.failureResultOf(
            client.send_frame(wsx.Text("hi")), wsx.NotConnectedError, wsx.ConnError
        )
        self.step()
        (status,) = recorder.arguments("handle_disconnect")
        self.assertIsInstance(status.reason, wsx.ConnectionDropped)

    def test_in_an_async_callback(self) -> None:
        """[N5] it can be awaited inside a callback, and does not deadlock."""
        recorder = Recorder()

        async def answer(_: Any, state: Any) -> Any:
            sent = await recorder.client.send_frame(wsx.Text("inside"))
            return wsx.Reply(wsx.Text("reply"), [*state, sent])

        for callback in MESSAGE_CALLBACKS:
            with self.given(callback=callback):
                recorder = Recorder(**{callback: answer})
                client = self.open(recorder, [])
                self.provoke(callback, client)
                recorder.answers.clear()
                self.assertEqual(self.peer.received(), [(TEXT, b"inside"), (TEXT, b"reply")])
                self.assertEqual(self.state_of(recorder, client), [None])

    def test_in_a_plain_callback(self) -> None:
        """[N5] it can be called inside a callback that does not wait for it."""
        results: list[Any] = []

        def answer(_: Any, state: Any) -> Any:
            recorder.client.send_frame(wsx.Text("inside")).addBoth(results.append)
            return wsx.Reply(wsx.Text("reply"), state)

        recorder = Recorder(handle_frame=answer)
        self.open(recorder)
        self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(results, [None, None])
        self.assertEqual(
            [payload for _, payload in self.peer.received()],
            [b"inside", b"reply", b"inside", b"reply"],
        )

    def test_full_buffer_in_a_callback(self) -> None:
        """[N5] with the write buffer full the callback waits, and what follows waits for it."""

        async def answer(_: Any, state: Any) -> Any:
            await recorder.client.send_frame(wsx.Text("inside"), timeout=None)

        recorder = Recorder(handle_frame=answer)
        self.open(recorder)
        self.peer.buffer.pauseProducing()
        self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(recorder.arguments("handle_frame"), [wsx.Text("1")])
        self.assertTrue(self.peer.transport.reading_paused)
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertEqual(recorder.arguments("handle_frame"), [wsx.Text("1"), wsx.Text("2")])
        self.assertFalse(self.peer.transport.reading_paused)

    def test_error_in_a_callback(self) -> None:
        """[N5] an error of it is the callback's to catch."""

        async def answer(_: Any, state: Any) -> Any:
            try:
                await recorder.client.send_frame(wsx.Ping(bytes(126)))
            except wsx.FrameEncodeError:
                return wsx.Ok("caught")

        recorder = Recorder(handle_cast=answer)
        client = self.open(recorder)
        client.cast("go")
        self.step()
        self.assertEqual(self.state_of(recorder, client), "caught")


class FullBufferTests(ClientCase):
    """``send_frame`` waits while the transport's write buffer is above its high-water mark."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.open(Recorder())
        self.peer.buffer.pauseProducing()

    def test_with_the_transport_at_once(self) -> None:
        """The frame itself is with the transport at once."""
        sent = self.client.send_frame(wsx.Text("hi"))
        self.assertNoResult(sent)
        self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
        sent.addErrback(lambda _: None)

    def test_until_there_is_room(self) -> None:
        """The Deferred fires once the buffer is below its mark, all that wait with it."""
        senders = [self.client.send_frame(wsx.Text("hi")) for _ in range(3)]
        self.clock.advance(4)
        for sent in senders:
            self.assertNoResult(sent)
        self.peer.buffer.resumeProducing()
        self.assertEqual([self.successResultOf(sent) for sent in senders], [None] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_room_again(self) -> None:
        """Once there is room again, nobody waits."""
        self.peer.buffer.resumeProducing()
        self.assertIsNone(self.successResultOf(self.client.send_frame(wsx.Text("hi"))))

    def test_timeout(self) -> None:
        """After 5 seconds it fails with SendTimeout, which harms the client not at all."""
        sent = self.client.send_frame(wsx.Text("hi"))
        self.clock.advance(4.5)
        self.assertNoResult(sent)
        self.clock.advance(0.5)
        self.failureResultOf(sent, wsx.SendTimeout)
        self.peer.buffer.resumeProducing()
        self.assertEqual(self.client.status, "open")
        self.successResultOf(self.client.send_frame(wsx.Text("more")))

    def test_timeout_argument(self) -> None:
        """``timeout`` says how long; None waits for ever."""
        short = self.client.send_frame(wsx.Text("hi"), timeout=0.5)
        endless = self.client.send_frame(wsx.Text("hi"), timeout=None)
        self.clock.advance(0.5)
        self.failureResultOf(short, wsx.SendTimeout)
        self.clock.advance(1000)
        self.assertNoResult(endless)
        self.peer.buffer.resumeProducing()
        self.assertIsNone(self.successResultOf(endless))

    def test_connection_lost(self) -> None:
        """[N4] a connection that is lost meanwhile fails it with ConnError."""
        sent = self.client.send_frame(wsx.Text("hi"))
        lost = ConnectionLost()
        self.peer.drop(lost)
        self.assertIs(self.failureResultOf(sent, wsx.ConnError).value.original, lost)
        self.step()
        self.assertEqual(self.client.status, "terminated")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        """[N4] so does the end of the client."""
        sent = self.client.send_frame(wsx.Text("hi"), timeout=None)
        self.client.stop()
        self.clock.advance(5)
        self.step()
        self.failureResultOf(sent, wsx.ConnError)
        self.assertEqual(self.client.status, "terminated")

    def test_cancelled(self) -> None:
        """Cancelling it ends the waiting, nothing else."""
        sent, other = (self.client.send_frame(wsx.Text("hi")) for _ in range(2))
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertNoResult(other)
        self.peer.buffer.resumeProducing()
        self.successResultOf(other)
        self.assertEqual(self.client.status, "open")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bad_frame(self) -> None:
        """[N3] a bad frame fails at once, without waiting."""
        self.failureResultOf(self.client.send_frame(wsx.Ping(bytes(126))), wsx.FrameEncodeError)

    def test_next_connection(self) -> None:
        """A full buffer is forgotten with its connection."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=0)))
        self.peer.buffer.pauseProducing()
        self.peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        self.assertIsNone(self.successResultOf(client.send_frame(wsx.Text("hi"))))


class LookingTests(ClientCase):
    """What a client shows of itself."""

    def test_status(self) -> None:
        """``status`` names each state of a client's life."""
        recorder = Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=1))
        client = self.successResultOf(self.start(recorder, async_=True))
        seen = [client.status]
        self.peer.answer()
        self.step()
        seen.append(client.status)
        client.close()
        seen.append(client.status)
        self.peer.drop()
        self.step()
        seen.append(client.status)
        self.clock.advance(1)
        seen.append(client.status)
        client.stop()
        self.step()
        seen.append(client.status)
        self.assertEqual(
            seen,
            ["connecting", "open", "closing", "disconnected", "connecting", "terminated"],
        )

    def test_conn_before_the_answer(self) -> None:
        """``conn`` is where the client connects to, before it is open."""
        client = self.successResultOf(self.start(Recorder(), async_=True))
        self.assertEqual(client.conn.url, URL)
        self.assertIsNone(client.conn.resp_status)

    def test_latency(self) -> None:
        """``latency`` is the last keepalive round trip in seconds, None before the first."""
        recorder = Recorder()
        client = self.open(recorder, ping_interval=10.0)
        self.assertIsNone(client.latency)
        self.clock.advance(10)
        ((opcode, payload),) = self.peer.received()
        self.assertEqual(opcode, PING)
        self.clock.advance(0.25)
        self.peer.send(server_frame(PONG, payload))
        self.assertEqual(client.latency, 0.25)
        self.assertEqual(recorder.arguments("handle_pong"), [])

    def test_repr(self) -> None:
        """The ``repr`` says what and where, and in which state."""
        client = self.open(Recorder(), url="ws://example.test/feed", name="feed")
        for part in ("feed", "Recorder", "ws://example.test/feed", "open"):
            self.assertIn(part, repr(client))
        self.end(client)
        self.assertIn("terminated", repr(client))

    def test_repr_without_secrets(self) -> None:
        """The ``repr`` shows neither passwords, nor query values, nor state."""
        client = self.open(
            Recorder(),
            {"key": "state-secret"},
            url="ws://user:pass-secret@example.test/feed?token=query-secret&bare-secret",
            extra_headers={"Authorization": "header-secret"},
        )
        self.assertNotIn("secret", repr(client))
        self.assertNotIn("secret", repr(client.conn))

    def test_when_open(self) -> None:
        """``when_open`` gives the client once ``handle_connect`` has answered."""
        answer: Deferred[Any] = Deferred()
        client = self.successResultOf(
            self.start(Recorder(handle_connect=lambda *_: answer), async_=True)
        )
        waiting = [client.when_open(), client.when_open()]
        self.peer.answer()
        self.step()
        for opened in waiting:
            self.assertNoResult(opened)
        answer.callback(None)
        self.step()
        self.assertEqual([self.successResultOf(opened) for opened in waiting], [client, client])

    def test_when_open_already(self) -> None:
        """On an open client it fires at once."""
        client = self.open(Recorder())
        self.assertIs(self.successResultOf(client.when_open()), client)

    def test_when_open_again(self) -> None:
        """Between two connections it waits for the second."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=1)))
        self.peer.drop()
        self.step()
        opened = client.when_open()
        self.clock.advance(1)
        self.assertNoResult(opened)
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(opened), client)

    def test_when_open_never(self) -> None:
        """It fails with the reason once the client has ended, ``ClientEnded`` where need be."""
        self.server.refusal = ConnectionRefusedError()
        client = self.successResultOf(self.start(Recorder(), async_=True))
        early = client.when_open()
        self.step()
        self.failureResultOf(early, wsx.ConnError)
        self.failureResultOf(client.when_open(), wsx.ConnError)
        self.server.refusal = None
        client = self.successResultOf(self.start(Recorder(), async_=True))
        early = client.when_open()
        client.stop("enough")
        self.step()
        error = self.failureResultOf(early, wsx.ClientEnded).value
        self.assertEqual(error.reason, wsx.Shutdown("enough"))

    def test_when_open_cancelled(self) -> None:
        """Cancelling it harms neither the client nor the others who wait."""
        client = self.successResultOf(self.start(Recorder(), async_=True))
        first, second = client.when_open(), client.when_open()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(second), client)
