"""Tests of what a server does on a connection, each on the real client."""

from __future__ import annotations

from typing import Any

import wsx
from wsx import (
    Binary,
    Conn,
    HandshakeError,
    Ok,
    Ping,
    Pong,
    Reconnect,
    RemoteClose,
    Reply,
    RequestError,
    Text,
)
from wsx.test.support.kit import Echo, KitCase, Listener, run_echo, run_listener
from wsx.testing import CloseFrame, MemoryServer, result_of, run


class AcceptTests(KitCase):
    """Accept and refuse."""

    def test_accept(self) -> None:
        """The client is open, and the connection is returned."""
        with run_echo() as feed:
            connection = feed.server.accept()
            self.assertEqual((feed.client.status, connection.number), ("open", 1))
            self.assertIs(feed.server.connection, connection)

    def test_headers(self) -> None:
        """Headers reach handle_connect, as a mapping or as pairs with duplicates."""
        several: tuple[Any, ...] = ({"X-Id": "7"}, [("X-Id", "7"), ("X-Id", "8")])
        for headers in several:
            with run_echo() as feed:
                feed.server.accept(headers=headers)
                self.assertEqual(feed.client.conn.resp_header("x-id"), "7")
                values = [v for k, v in feed.client.conn.resp_headers if k == "X-Id"]
                self.assertEqual(len(values), len(headers))

    def test_wrong_headers(self) -> None:
        """A header of the response can be replaced or removed, which the client notices."""
        rows: list[tuple[dict[str, str | None], str]] = [
            ({"Upgrade": "h2c"}, "Upgrade"),
            ({"connection": None}, "Connection"),
            ({"Sec-WebSocket-Accept": "no"}, "Sec-WebSocket-Accept"),
        ]
        for headers, word in rows:
            with run_echo() as feed:
                feed.server.accept(headers=headers)
                self.assertIsInstance(feed.reason, HandshakeError)
                self.assertIn(word, str(feed.reason))

    def test_subprotocol(self) -> None:
        """The client accepts a subprotocol that it has offered, and no other."""
        with run_echo(subprotocols=["v2", "v1"]) as feed:
            self.assertEqual(feed.server.request.headers["Sec-WebSocket-Protocol"], "v2, v1")
            feed.server.accept(subprotocol="v1")
            self.assertEqual(feed.client.conn.subprotocol, "v1")
        with run_echo() as feed:
            feed.server.accept(subprotocol="v1")
            self.assertIsInstance(feed.reason, HandshakeError)

    def test_compression(self) -> None:
        """Messages are compressed in both directions, with the negotiated parameters."""
        for extensions in (
            "permessage-deflate",
            ["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
        ):
            with run_echo(compression="deflate") as feed:
                connection = feed.server.accept(extensions=extensions)
                sizes: list[int] = []
                transport: Any = connection._session.transport
                write = transport.write

                def measure(data: bytes, sizes: Any = sizes, write: Any = write) -> None:
                    sizes.append(len(data))
                    write(data)

                transport.write = measure
                for _ in range(3):
                    text = Text("a long message " * 100)
                    connection.send(text).expect(text)
                connection.fragment(Text("in parts " * 50), [3, 4]).expect(Text("in parts " * 50))
                self.assertTrue(all(0 < size < 100 for size in sizes), sizes)
                self.assertEqual(feed.client.conn.extensions[0].split(";")[0], "permessage-deflate")

    def test_compression_that_was_not_offered(self) -> None:
        """The client refuses an extension that it has not offered."""
        for extensions in ("permessage-deflate", "x-unknown", "not a token@"):
            with run_echo() as feed:
                feed.server.accept(extensions=extensions)
                self.assertIsInstance(feed.reason, HandshakeError)

    def test_refuse(self) -> None:
        """The client gets the status, the headers and the body."""
        with run_echo() as feed:
            feed.server.refuse(503, headers={"Retry-After": "7"}, body="later")
            error = feed.reason
            assert isinstance(error, RequestError)
            self.assertEqual(
                (error.code, error.message, error.body), (503, "Service Unavailable", b"later")
            )
            self.assertIn(("Retry-After", "7"), list(error.headers))

    def test_refuse_and_retry(self) -> None:
        """A client whose policy retries waits as long as Retry-After asks for."""
        with run_echo(handle_initial_conn_failure=True) as feed:
            feed.server.refuse(503, headers=[("Retry-After", "7")])
            feed.advance(6.9)
            self.assertEqual(feed.server.attempts, 1)
            feed.advance(0.1)
            feed.server.accept()
            self.assertEqual(feed.client.status, "open")

    def test_refuse_without_content_length(self) -> None:
        """Without a length, the body ends with the connection."""
        with run_echo() as feed:
            feed.server.refuse(599, headers={"content-length": None}, body=b"rest")
            error = feed.reason
            assert isinstance(error, RequestError)
            self.assertEqual((error.code, error.message, error.body), (599, "Unknown", b"rest"))

    def test_refuse_with_101(self) -> None:
        """101 is no refusal, and 99 is no status."""
        with run_echo() as feed:
            for status in (101, 99, 1000):
                text = self.failure_of(feed.server.refuse, status, kind=ValueError)
                self.assertEqual(
                    text,
                    f"status: expected a status code other than 101, such as 503, got {status}",
                )

    def test_request(self) -> None:
        """The request has the path with the query, the headers and the URL."""
        url = "wss://user:secret@test:444/feed?since=7"
        with run(Echo, 0, url, extra_headers={"X-Key": "k"}) as feed:
            request = feed.server.request
            self.assertEqual((request.path, request.url), ("/feed?since=7", url))
            self.assertEqual(request.headers["x-key"], "k")
            self.assertEqual(request.headers["host"], "test:444")
            self.assertTrue(request.headers["AUTHORIZATION"].startswith("Basic "))
            self.assertNotIn("Cookie", request.headers)

    def test_wss(self) -> None:
        """A wss URL works without TLS, with its options, an endpoint of its own and a proxy."""
        conn = Conn("wss://test/", insecure=True, proxy="http://proxy:3128")
        with run(Echo, 0, conn) as feed:
            feed.server.accept().send(Text("a")).expect(Text("a"))
            self.assertEqual(feed.client.conn.url, "wss://test/")

    def test_other_server(self) -> None:
        """A handler that reconnects to another URL reaches the same server."""

        class Mover(Listener):
            def handle_disconnect(self, status: Any, state: Any) -> Any:
                return Reconnect(state, conn=Conn("ws://other:81/b"), after=1.0)

        with run(Mover) as feed:
            feed.server.accept().drop()
            feed.advance(1.0)
            self.assertEqual(feed.server.request.url, "ws://other:81/b")
            feed.server.accept()
            self.assertEqual(feed.client.conn.url, "ws://other:81/b")

    def test_twice(self) -> None:
        """A second answer is an error that says what has become of the connection."""
        with run_echo(handle_initial_conn_failure=True) as feed:
            feed.server.accept()
            for action in (feed.server.accept, feed.server.refuse):
                text = self.failure_of(action)
                self.assertIn(
                    f"{action.__name__}: connection 1 has been accepted, "
                    "and the client has not connected again\nThe client's status is open.",
                    text,
                )
            feed.server.drop()
            text = self.failure_of(feed.server.accept)
            self.assertIn("Its next timer is due in 1 s: advance(1).", text)
            feed.advance(1.0)
            feed.server.refuse(503)
            self.assertIn("connection 2 has been refused", self.failure_of(feed.server.accept))
            feed.advance(5.0)
            feed.server.drop()
            text = self.failure_of(feed.server.accept)
            self.assertIn("connection 3 has ended: the server has dropped it, and", text)

    def test_too_early(self) -> None:
        """A request that is still on its way cannot be answered."""
        server = MemoryServer()
        texts: list[str] = []

        def connect(conn: Any, factory: Any) -> Any:
            connected = original(conn, factory)
            server.reactor.turn()  # The client has connected, and its request is on its way.
            for name in ("accept", "refuse"):
                texts.append(self.failure_of(getattr(server, name)))
            texts.append(self.failure_of(lambda: server.request))
            return connected

        original, server.connect = server.connect, connect  # type: ignore[method-assign]
        server.reactor.settle = lambda: None  # type: ignore[method-assign]
        running = run(Echo, 0, server=server)
        with running:
            del server.reactor.settle
            for name, text in zip(("accept", "refuse", "request"), texts, strict=True):
                expected = f"{name}: connection 1: the request has not arrived yet"
                self.assertTrue(text.startswith(expected), text)


class SendTests(KitCase):
    """Frames and bytes of the server."""

    def test_send(self) -> None:
        """All kinds of frames arrive, in order and in one read."""
        with run_listener() as feed:
            frames = [Text("é"), Binary(b"\0"), Ping(b"p"), Pong(b"q"), Text("x" * 70_000)]
            feed.server.accept().send(*frames)
            self.assertEqual(feed.state, frames)

    def test_fragment(self) -> None:
        """A message in fragments arrives whole, and control frames between them before it."""
        with run_listener() as feed:
            connection = feed.server.accept()
            connection.fragment(Text("héllo"))
            connection.fragment(Binary(b"abcdef"), [0, 2, 2, 9])
            connection.fragment(Text("rest"), [1, 1], between=[Ping(b"p")])
            self.assertEqual(
                feed.state, [Text("héllo"), Binary(b"abcdef"), Ping(b"p"), Text("rest")]
            )

    def test_fragment_of_a_ping(self) -> None:
        """Only messages have fragments, and only control frames fit between them."""
        with run_listener() as feed:
            connection = feed.server.accept()
            text = self.failure_of(connection.fragment, Ping(b"p"), kind=ValueError)
            self.assertEqual(text, "fragment: expected a Text or a Binary, got Ping(b'p')")
            text = self.failure_of(
                connection.fragment, Text("a"), between=[Text("b")], kind=ValueError
            )
            self.assertIn("fragment: between: expected control frames", text)

    def test_raw(self) -> None:
        """Bytes are sent as they are, before and after the opening handshake."""
        with run_listener() as feed:
            feed.server.accept().raw(b"\x81\x01").raw(b"a")
            self.assertEqual(feed.state, [Text("a")])
        with run_listener() as feed:
            feed.server.raw(b"SSH-2.0-OpenSSH_9.6\r\n")
            self.assertIsInstance(feed.reason, HandshakeError)

    def test_ping(self) -> None:
        """The default handle_ping replies, which the test expects or sees."""
        with run_echo() as feed:
            feed.server.accept().ping(b"are you there?").expect(Pong(b"are you there?"))

    def test_close(self) -> None:
        """The client answers with the same code; TCP ends; handle_disconnect is called."""
        for code, expected in [(1000, 1000), (4001, 4001), (None, 1005)]:
            with run_echo() as feed:
                connection = feed.server.accept().close(code, "" if code is None else "bye")
                reason = feed.calls[-1].argument.reason
                self.assertEqual(reason, RemoteClose(expected, "" if code is None else "bye"))
                self.assertEqual(connection.received, [CloseFrame(expected)])

    def test_invalid_close(self) -> None:
        """An invalid close code is a protocol error."""
        with run_echo() as feed:
            feed.server.accept().close(1005)
            self.assertEqual(feed.calls[-1].argument.reason.close_code, 1002)

    def test_not_open(self) -> None:
        """Frames need an open connection."""
        with run_echo() as feed:
            for action, arguments in [("send", (Text("a"),)), ("close", ()), ("flood", ())]:
                text = self.failure_of(getattr(feed.server, action), *arguments)
                expected = f"{action}: connection 1 is not open; call accept() first\n"
                self.assertIn(expected, text)

    def test_before_the_first_connection(self) -> None:
        """Without any connection, each action says so."""
        server = MemoryServer()
        for action in ("accept", "refuse", "drop", "expect", "receive", "ping"):
            text = self.failure_of(getattr(server, action))
            name = "send" if action == "ping" else action
            self.assertEqual(text, f"{name}: the client has not connected")
        for name in ("connection", "request", "received"):
            text = self.failure_of(lambda name=name: getattr(server, name))
            self.assertEqual(text, f"{name}: the client has not connected")


class ExpectTests(KitCase):
    """What the client has sent."""

    def test_expect(self) -> None:
        """Frames are expected in order, one after another or several at once."""
        with run_echo() as feed:
            connection = feed.server.accept().send(Text("a"), Text("b"), Binary(b"c"))
            connection.expect(Text("a")).expect(Text("b"), Binary(b"c")).expect()

    def test_casts(self) -> None:
        """What the test asks the client to do is done before it is expected."""
        with run_echo() as feed:
            feed.server.accept()
            feed.client.cast("now")
            feed.server.expect(Text("now"))

    def test_fragments(self) -> None:
        """A message that the client sends in fragments is joined, compressed or not."""
        for options, extensions in [({}, None), ({"compression": "deflate"}, "permessage-deflate")]:
            with run_listener(**options) as feed:
                connection = feed.server.accept(extensions=extensions)
                feed.client.send_fragments(Text, ["é", "€" * 50_000, ""])
                connection.expect(Text("é" + "€" * 50_000))

    def test_requests(self) -> None:
        """A handler with requests gets its replies from the server."""

        class Calls(wsx.Requests, wsx.Handler[None]):
            def reply_key(self, frame: Text | Binary) -> Any:
                return frame.payload[:1]

        with run(Calls, callback_timeout=5.0) as feed:
            connection = feed.server.accept()
            reply = feed.client.request(Text("1 question"), key="1", timeout=3.0)
            late = feed.client.request(Text("2 question"), key="2", timeout=3.0)
            connection.expect(Text, Text).send(Text("1 answer"))
            self.assertEqual(result_of(reply), Text("1 answer"))
            feed.advance(3.0)
            self.assertRaises(wsx.ReplyTimeout, result_of, late)

    def test_classes(self) -> None:
        """A class stands for any of its frames."""
        with run_echo() as feed:
            feed.server.accept().send(Text("a"), Binary(b"b")).expect(Text, Binary)

    def test_difference(self) -> None:
        """The failure has a diff, and what the client does."""
        with run_echo() as feed:
            connection = feed.server.accept().send(Text("a"), Text("b"), Text("c"))
            text = self.failure_of(connection.expect, Text("a"), Text("x"), Text("c"))
            self.assertEqual(
                text,
                "connection 1: the client has not sent the expected frames "
                "(- expected, + received):\n"
                "    Text('a')\n"
                "  - Text('x')\n"
                "  + Text('b')\n"
                "    Text('c')\n"
                "The client's status is open.",
            )
            connection.expect(Text("a"), Text("b"), Text("c"))

    def test_too_few(self) -> None:
        """Frames that are missing are shown."""
        with run_echo() as feed:
            connection = feed.server.accept()
            text = self.failure_of(connection.expect, Text("a"), Ping)
            self.assertIn(
                "the client has sent no frame, expected:\n    Text('a')\n    any Ping", text
            )
            connection.send(Text("a"))
            text = self.failure_of(connection.expect, Text("a"), Text)
            self.assertIn("\n    Text('a')\n  - any Text\n", text)
            connection.expect(Text("a"))

    def test_nothing(self) -> None:
        """``expect()`` fails if there is any other frame."""
        with run_echo() as feed:
            connection = feed.server.accept().send(Text("a"))
            text = self.failure_of(connection.expect)
            self.assertIn("expected no frame, but the client has sent:\n    Text('a')\n", text)
            connection.expect(Text("a")).expect()

    def test_explanation(self) -> None:
        """A failure shows the cause: the handler has failed, or has not completed."""

        class Failing(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                raise KeyError("price")

        with run(Failing) as feed:
            connection = feed.server.accept().send(Text("a"))
            text = self.failure_of(connection.expect, Text("b"))
            self.assertIn("The client has ended: KeyError: 'price'.", text)
            self.assertIn("Failing.handle_frame raised KeyError (message: Text, 1 character)", text)
            self.assertEqual(len(feed.errors(KeyError)), 1)
            connection.expect(CloseFrame(1011))

    def test_receive(self) -> None:
        """``receive`` returns the next frame, for a check of its own."""
        with run_echo() as feed:
            connection = feed.server.accept().send(Text("a"), Text("b"))
            self.assertEqual([connection.receive(), connection.receive()], [Text("a"), Text("b")])
            text = self.failure_of(connection.receive)
            self.assertIn("receive: connection 1: the client has sent no other frame", text)

    def test_received(self) -> None:
        """``received`` has all frames of the connection, whatever was expected before."""
        with run_echo() as feed:
            connection = feed.server.accept().send(Text("a"), Text("b")).expect(Text("a"))
            self.assertEqual(connection.received, [Text("a"), Text("b")])

    def test_keepalive(self) -> None:
        """Keepalive pings are answered and are no frames of the handler; its own pings are."""

        class Pinger(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                return Reply(Ping(b"mine"), state)

            def handle_pong(self, frame: Any, state: Any) -> Any:
                return Ok([*state, frame])

        with run(Pinger) as feed:
            connection = feed.server.accept()
            feed.advance(200.0)
            connection.send(Text("a")).expect(Ping(b"mine"))
            self.assertEqual((feed.state, feed.client.latency), ([Pong(b"mine")], 0.0))
