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
        self.step()
        self.assertTrue(self.peer.transport.ended, "TCP is left open")
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
        self.step()
        self.assertTrue(self.peer.transport.ended)

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
        self.step()
        self.assertTrue(self.peer.transport.ended)

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
        self.step()
        self.assertTrue(self.peer.transport.ended)

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
