"""Tests of the first connection: how it fails, and the opening handshake."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError

import wsx
from wsx._wire import handshake
from wsx.frames import BINARY, PING
from wsx.test.support import URL, Recorder, server_frame, text
from wsx.test.support.clients import ClientCase


class FailedStartTests(ClientCase):
    """A synchronous start that fails has a typed error and leaves nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder()

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual(self.recorder.names, [], "a client that never was is told nothing")

    def fail_with(self, response: bytes, *kinds: type[BaseException], **options: Any) -> Any:
        """Return the error of a start that receives this response; TCP must be closed."""
        started = self.start(self.recorder, **options)
        self.peer.send(response)
        error = self.failed_start(started, *kinds)
        self.step()
        self.assertTrue(self.peer.transport.ended, "TCP is left open")
        return error

    def fail_handshake(self, options: Mapping[str, Any], **answer: Any) -> wsx.HandshakeError:
        """Return the error of a start whose handshake is answered like this."""
        started = self.start(self.recorder, **options)
        challenge = handshake.accept_value(self.peer.request[1]["sec-websocket-key"])
        self.peer.answer(**answer)
        error = self.failed_start(started, wsx.HandshakeError)
        self.assertTrue(self.peer.transport.aborted, "TCP is left open")
        self.assertEqual(error.challenge, challenge)
        return error

    def test_refused(self) -> None:
        """[S8] A refused connection is a ConnError with the original error."""
        for refusal in (ConnectionRefusedError(), DNSLookupError("no such host"), OSError(113)):
            with self.given(refusal=refusal):
                self.server.refusal = refusal
                error = self.failed_start(self.start(self.recorder), wsx.ConnError)
                self.assertIs(error.original, refusal)

    def test_connect_timeout(self) -> None:
        """[S8] [S17] A connection that takes more than 6 seconds is a ConnError."""
        self.server.silent = True
        started = self.start(self.recorder)
        self.clock.advance(5.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)
        self.assertEqual(self.server.cancelled, 1)

    def test_connect_timeout_option(self) -> None:
        """[S17] ``socket_connect_timeout`` sets the connect timeout."""
        self.server.silent = True
        started = self.start(self.recorder, socket_connect_timeout=0.5)
        self.clock.advance(0.25)
        self.assertNoResult(started)
        self.clock.advance(0.25)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)

    def test_response_timeout(self) -> None:
        """[S8] [S17] A server that sends nothing for 5 seconds is a ConnError."""
        started = self.start(self.recorder)
        self.clock.advance(4.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)
        self.step()
        self.assertTrue(self.peer.transport.ended)

    def test_response_timeout_option(self) -> None:
        """[S17] ``socket_recv_timeout`` sets the response timeout."""
        started = self.start(self.recorder, socket_recv_timeout=12.0)
        self.clock.advance(11.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)

    def test_dripping_response(self) -> None:
        """[S8] [S17] The timeout applies to the whole response, not to each read."""
        started = self.start(self.recorder)
        for byte in b"HTTP":
            self.clock.advance(1)
            self.peer.send(bytes([byte]))
            self.assertNoResult(started)
        self.clock.advance(1)
        self.peer.send(b"/")
        error = self.failed_start(started, wsx.ConnError)
        self.assertIsInstance(error.original, TimeoutError)
        self.step()
        self.assertTrue(self.peer.transport.ended)

    def test_status(self) -> None:
        """[S8] Another HTTP status is a RequestError with code, message, headers and body."""
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
        """[S8] The text of a RequestError has code and message only."""
        error = self.fail_with(
            b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: secret\r\nContent-Length: 4\r\n\r\nbody",
            wsx.RequestError,
        )
        self.assertIn("401 Unauthorized", str(error))
        self.assertNotIn("secret", str(error))
        self.assertNotIn("body", str(error))

    def test_any_status(self) -> None:
        """[S8] Any status but 101 is a RequestError, with or without a message."""
        for status in ("200 OK", "204 No Content", "302 Found", "400", "404 Not Found", "500 Oh"):
            with self.given(status=status):
                response = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
                error = self.fail_with(response, wsx.RequestError)
                self.assertEqual(f"{error.code} {error.message}".strip(), status)
                self.assertEqual(error.body, b"")

    def test_status_in_pieces(self) -> None:
        """[S8] A refusal that arrives byte by byte is read completely."""
        response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"
        started = self.start(self.recorder)
        for byte in response:
            self.assertNoResult(started)
            self.peer.send(bytes([byte]))
        self.assertEqual(self.failed_start(started, wsx.RequestError).body, b"gone")

    def test_chunked_body(self) -> None:
        """[S8] A chunked body is joined."""
        error = self.fail_with(
            b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nfoo\r\n4;x=y\r\nbars\r\n0\r\n\r\n",
            wsx.RequestError,
        )
        self.assertEqual(error.body, b"foobars")

    def test_body_until_the_end(self) -> None:
        """[S8] A body without a length ends with the connection."""
        started = self.start(self.recorder)
        self.peer.send(b"HTTP/1.1 500 Oh\r\n\r\nthis")
        self.peer.send(b" and that")
        self.assertNoResult(started)
        self.peer.drop()
        self.assertEqual(self.failed_start(started, wsx.RequestError).body, b"this and that")

    def test_body_not_in_time(self) -> None:
        """[S8] [S17] If the body does not arrive in time, the received part is in the error."""
        started = self.start(self.recorder)
        self.peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\npart")
        self.clock.advance(4.5)
        self.assertNoResult(started)
        self.clock.advance(0.5)
        self.assertEqual(self.failed_start(started, wsx.RequestError).body, b"part")
        self.step()
        self.assertTrue(self.peer.transport.ended)

    def test_long_body(self) -> None:
        """[S8] Only the first 64 KiB of a body are read."""
        for header in (b"", b"Content-Length: 1000000\r\n"):
            with self.given(header=header):
                response = b"HTTP/1.1 500 Oh\r\n" + header + b"\r\n" + bytes(65536) + b"more"
                error = self.fail_with(response, wsx.RequestError)
                self.assertEqual(error.body, bytes(65536))

    def test_hang_up(self) -> None:
        """[S8] A server that hangs up during the handshake is a ConnError."""
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
        """[S8] A wrong accept value is a HandshakeError with the expected and received values."""
        error = self.fail_handshake({}, accept="bm90IHRoaXM=")
        self.assertEqual(error.response, "bm90IHRoaXM=")
        self.assertIn("Accept", str(error))

    def test_missing_headers(self) -> None:
        """[S8] A 101 without one of the three headers is a HandshakeError that names it."""
        for header in ("Upgrade", "Connection", "Sec-WebSocket-Accept"):
            with self.given(header=header):
                error = self.fail_handshake({}, **{header.replace("-", "_"): ""})
                self.assertIn(header, str(error))
                self.assertIsNone(error.response)

    def test_wrong_headers(self) -> None:
        """[S8] A 101 with another protocol or without the upgrade is a HandshakeError."""
        for header, value in (("Upgrade", "h2c"), ("Connection", "keep-alive")):
            with self.given(header=header):
                error = self.fail_handshake({}, **{header: value})
                self.assertIn(header, str(error))
                self.assertEqual(error.response, value)

    def test_header_case(self) -> None:
        """[S8] The values of Upgrade and Connection are compared case-insensitively."""
        started = self.start(self.recorder)
        self.peer.answer(Upgrade="WebSocket", Connection="keep-alive, UPGRADE")
        self.step()
        self.successResultOf(started)
        self.assertEqual(self.recorder.names, ["handle_connect"])
        self.recorder.calls.clear()

    def test_subprotocol_not_offered(self) -> None:
        """[S8] A subprotocol that was not offered fails the handshake."""
        for offered, chosen in (((), "chat"), (("chat",), "Chat"), (("chat", "v2"), "chat, v2")):
            with self.given(offered=offered, chosen=chosen):
                error = self.fail_handshake(
                    {"subprotocols": offered}, Sec_WebSocket_Protocol=chosen
                )
                self.assertIn("subprotocol", str(error).lower())
                self.assertEqual(error.response, chosen)

    def test_extension_not_offered(self) -> None:
        """[S8] An extension that was not offered or has wrong parameters fails the handshake."""
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
        """[S8] A response that is not HTTP is a HandshakeError as soon as this is certain."""
        for said in (b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02", b"HTTP/1.1 abc\r\n\r\n"):
            with self.given(said=said):
                error = self.fail_with(said, wsx.HandshakeError)
                self.assertIn("HTTP", str(error))
                self.assertIsNotNone(error.response)

    def test_header_too_long(self) -> None:
        """[S8] A response header longer than ``max_header_size`` is a HandshakeError."""
        start = b"HTTP/1.1 101 Switching Protocols\r\nX-Long: "
        for options, size in (({}, 64 * 1024), ({"max_header_size": 100}, 100)):
            with self.given(options=options):
                error = self.fail_with(start + b"x" * size, wsx.HandshakeError, **options)
                self.assertIn(str(size), str(error))


class HandshakeTests(ClientCase):
    """What the request contains, and what the handler sees of the response."""

    def request_headers(self, **options: Any) -> dict[str, str]:
        """Return the request headers of a client with these options."""
        self.start(Recorder(), **options)
        return self.peer.request[1]

    def test_extra_headers(self) -> None:
        """[S15] Extra request headers are sent, from pairs or a mapping."""
        for headers in ([("X-A", "1"), ("X-B", "zwei")], {"X-A": "1", "X-B": "zwei"}):
            with self.given(headers=headers):
                sent = self.request_headers(extra_headers=headers)
                self.assertEqual((sent["x-a"], sent["x-b"]), ("1", "zwei"))

    def test_repeated_header(self) -> None:
        """[S15] A header that occurs twice is sent twice, in order."""
        self.start(Recorder(), extra_headers=[("X-A", "1"), ("X-A", "2")])
        self.assertIn(b"\r\nX-A: 1\r\nX-A: 2\r\n", self.peer.transport.value())

    def test_basic_authorization(self) -> None:
        """[S15] User and password of the URL are decoded and sent as Basic authorization."""
        sent = self.request_headers(url="ws://us%40er:pass%3Aword@example.test/")
        credentials = base64.b64encode(b"us@er:pass:word").decode()
        self.assertEqual(sent["authorization"], f"Basic {credentials}")
        self.assertEqual(sent["host"], "example.test")

    def test_subprotocols_in_order(self) -> None:
        """[S15] Subprotocols are offered in their order."""
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
        """[S16] Response headers keep order and duplicates; they are decoded as ISO-8859-1."""
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
        """[S16] ``resp_header`` ignores case, and returns None for a missing header."""
        recorder = Recorder()
        started = self.start(recorder)
        self.peer.answer(X_One="a")
        self.step()
        self.successResultOf(started)
        (conn,) = recorder.arguments("handle_connect")
        self.assertEqual([conn.resp_header(n) for n in ("X-One", "x-ONE")], ["a", "a"])
        self.assertIsNone(conn.resp_header("X-Two"))

    def test_given_conn_is_unchanged(self) -> None:
        """[S16] The response is in a copy; the Conn passed to ``start`` does not change."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        started = wsx.start(conn, Recorder(), reactor=self.clock)
        self.peer.answer()
        self.step()
        self.assertEqual(self.successResultOf(started).conn.resp_status, 101)
        self.assertIsNone(conn.resp_status)
        self.assertEqual(len(conn.resp_headers), 0)

    def test_frames_with_the_response(self) -> None:
        """[S19] Frames that arrive with the handshake response are delivered in order."""
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
        """[S19] A partial frame that arrives with the response is completed by the next read."""
        recorder = Recorder()
        self.start(recorder)
        self.peer.answer(text("message")[:4])
        self.peer.send(text("message")[4:])
        self.step()
        self.assertEqual(recorder.arguments("handle_frame"), [wsx.Text("message")])

    def test_frames_wait_for_handle_connect(self) -> None:
        """[S19] Early frames wait until an asynchronous ``handle_connect`` has returned."""
        answer: Deferred[Any] = Deferred()
        recorder = Recorder(handle_connect=lambda *_: answer)
        self.start(recorder, "before")
        self.peer.answer(text("early"))
        self.step()
        self.assertEqual(recorder.names, ["handle_connect"])
        answer.callback(wsx.Ok("after"))
        self.step()
        self.assertEqual(recorder.calls[1:], [("handle_frame", wsx.Text("early"), "after")])
