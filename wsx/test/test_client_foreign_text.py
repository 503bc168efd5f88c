"""Tests of text from a server, a proxy or a library: it is escaped and truncated in all output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher, textFileLogObserver

import wsx
from wsx import Backoff
from wsx.option_types import DebugOption
from wsx.test.support import MemoryCase, Recorder, close, text
from wsx.test.support.each import each
from wsx.test.support.ends import Boom

# ESC, BEL and C1, which HTTP can carry, and then marks and separators of Unicode.
LATIN = "\x1b[31m\x07\x9b2J\x85"
HOSTILE = f"{LATIN}\u202e\u2028\u2066"
LONG = "x" * 60_000
# Characters, more than docs/explanation/security.md promises for each part of a line.
LINE_LIMIT = 1000
SECRET = "s3cr3t-value"
PATH = f"/feed?token={SECRET}&v=1"
PROXY = "http://user:pr0xy-pass@p.test:3128"


class Returning(wsx.Handler[Any]):
    """A handler that follows the reconnect policy."""


class OutputCase(MemoryCase):
    """Base class: a client with all its output, as text."""

    def setUp(self) -> None:
        super().setUp()
        self.trace = StringIO()
        self.patch(sys, "stdout", self.trace)
        self.file = Path(self.mktemp())
        self.seen: list[str] = []

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Collect what Twisted's log observer for text files writes."""
        log = StringIO()
        observer = textFileLogObserver(log)
        globalLogPublisher.addObserver(observer)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(observer)
            self.seen.append(log.getvalue())

    def begin(self, handler: Any = None, url: str = "ws://h.test/", **options: Any) -> None:
        """Start a client with every kind of tracing; the first connection may fail."""
        debug: list[DebugOption] = ["trace", "log", "statistics", ("log_to_file", str(self.file))]
        started = wsx.start(
            wsx.Conn(url, endpoint=self.server, **options),
            handler or Recorder(),
            debug=debug,
            async_=True,
            handle_initial_conn_failure=True,
            reconnect=Backoff(initial=600, maximum=600, jitter=0),
            reactor=self.clock,
        )
        self.client = self.successResultOf(started)
        self.step()

    def output(self) -> str:
        """Return all output of the client so far."""
        status = self.client.sys.get_status()
        self.client._life.tracing.print_log()  # sys.log("print") needs a client that runs.
        shown = [repr(status["conn"]), repr(self.client), repr(self.client.conn)]
        shown += [line for _, line in self.client.sys.log("get") or ()]
        for call in self.client.handler.calls if isinstance(self.client.handler, Recorder) else ():
            shown += [repr(call[1]), str(getattr(call[1], "reason", ""))]
        return "\n".join([*self.seen, self.trace.getvalue(), self.file.read_text(), *shown])

    def assert_safe(self, *marks: str) -> None:
        """Assert that no line of the output has a dangerous character or is too long."""
        whole = self.output()
        for mark in marks:
            self.assertIn(mark, whole)
        for line in whole.split("\n"):
            plain = line.removeprefix("\t")  # Twisted indents the lines of a traceback.
            self.assertTrue(plain.isprintable(), repr(line[:300]))
            self.assertLess(len(line), LINE_LIMIT, line[:300])


class ForeignTextTests(OutputCase):
    """Hostile text in each place where a server, a proxy or a library can put it."""

    @each([("hostile", LATIN), ("long", LONG)])
    def test_refusal(self, label: str, bad: str) -> None:
        """A refusal with a hostile phrase, headers and body."""
        with self.logged():
            self.begin()
            fields = f"Retry-After: {bad}\r\nX-A: 1\r\nContent-Length: {len(bad)}"
            head = f"HTTP/1.1 503 {bad}" if label == "hostile" else "HTTP/1.1 503 Busy"
            self.peer.send(f"{head}\r\n{fields}\r\n\r\n{bad}".encode("latin-1"))
            self.step()
        self.assert_safe("503")

    def test_long_phrase(self) -> None:
        """A phrase of 60,000 characters."""
        with self.logged():
            self.begin()
            self.peer.send(f"HTTP/1.1 503 {LONG}\r\nContent-Length: 0\r\n\r\n".encode())
            self.step()
        self.assert_safe("503")

    @each([("hostile", LATIN), ("long", LONG)])
    def test_redirect(self, label: str, bad: str) -> None:
        """The target of a redirect."""
        with self.logged():
            self.begin()
            response = f"HTTP/1.1 302 Found\r\nLocation: /{bad}\r\nContent-Length: 0\r\n\r\n"
            self.peer.send(response.encode("latin-1"))
            self.step()
        self.assert_safe("302")

    @each(
        [
            (f"{name} {label}", name, bad)
            for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Upgrade")
            for label, bad in (("hostile", LATIN), ("long", LONG))
        ]
    )
    def test_response(self, label: str, name: str, bad: str) -> None:
        """A wrong extension, subprotocol or other header of the response."""
        with self.logged():
            self.begin(compression="deflate", subprotocols=["chat"])
            headers: dict[str, Any] = {name.replace("-", "_"): bad}
            self.peer.answer(**headers)
            self.step()
        self.assert_safe("opening handshake failed")

    @each([("hostile", LATIN), ("long", LONG)])
    def test_extension_parameter(self, label: str, bad: str) -> None:
        """A wrong parameter of an extension that was offered."""
        with self.logged():
            self.begin(compression="deflate")
            self.peer.answer(Sec_WebSocket_Extensions=f"permessage-deflate; a{bad}")
            self.step()
        self.assert_safe("opening handshake failed")

    @each([("hostile", LATIN), ("long", LONG)])
    def test_accepted_response(self, label: str, bad: str) -> None:
        """The headers of an accepted response, in ``repr(conn)`` and ``get_status``."""
        with self.logged():
            self.begin()
            self.peer.answer(X_A=bad)
            self.step()
        self.assertEqual(self.client.status, "open")
        self.assertEqual(self.client.conn.resp_header("x-a"), bad.strip(" \t"))
        self.assert_safe("resp_headers")

    @each([("hostile", LATIN), ("long", LONG)])
    def test_proxy(self, label: str, bad: str) -> None:
        """The phrase of a proxy's 407."""
        with self.logged():
            self.begin(proxy=PROXY)
            self.peer.send(f"HTTP/1.1 407 {bad}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
            self.step()
        self.assert_safe("407")

    def test_close_message(self) -> None:
        """The message of a close frame."""
        with self.logged():
            self.begin()
            self.peer.answer()
            self.step()
            self.peer.send(close(4000, HOSTILE))
            self.peer.drop()
            self.step()
        self.assert_safe("4000", "\\x1b[31m", "\\u202e")

    @each([("hostile", HOSTILE), ("long", LONG)])
    def test_library(self, label: str, bad: str) -> None:
        """The text of an exception of another library."""
        self.server.refusal = ValueError(bad)
        with self.logged():
            self.begin()
        self.assert_safe("ValueError")

    @each([("hostile", HOSTILE), ("long", LONG), ("lines", "x\n" * 30_000)])
    def test_handler(self, label: str, bad: str) -> None:
        """The text of an exception of a handler, which may repeat a message, in its traceback."""
        with self.logged():
            self.begin(Recorder(handle_frame=Boom(bad)))
            self.peer.answer()
            self.step()
            self.peer.send(text("hi"))
            self.step()
        self.flushLoggedErrors(Boom)
        self.assert_safe("Boom", "Traceback")
        self.assertLess(self.seen[0].count("\n"), 500)

    @each([("hostile", HOSTILE), ("long", LONG)])
    def test_message(self, label: str, bad: str) -> None:
        """A message, which trace lines show."""
        with self.logged():
            self.begin()
            self.peer.answer()
            self.step()
            self.peer.send(text(bad))
            self.step()
        self.assert_safe("received frame: Text(")


class EchoTests(OutputCase):
    """A server that repeats secrets of the request; the output does not show them."""

    def assert_hidden(self, *secrets: str) -> None:
        """Assert that the output so far does not contain the secrets."""
        whole = self.output()
        for secret in secrets:
            self.assertNotIn(secret, whole)

    @each(
        [
            ("phrase", f"404 No route for {PATH}", ""),
            ("body", "404 No", f"Cannot GET {PATH}"),
            ("decoded value", "403 No", f"bad token {SECRET}"),
            ("HTML", "404 No", f"<p>/feed?v=1&amp;token={SECRET}</p>"),
            ("JSON", "404 No", f'{{"path": "/feed?v=1\\u0026token={SECRET}"}}'),
            ("header", "401 Who", "bad header Bearer h3ader-value"),
            ("cut", "404 No", "x" * 995 + SECRET),
        ]
    )
    def test_refusal(self, label: str, status: str, body: str) -> None:
        """The path and query in a refusal, and the value of a secret header."""
        with self.logged():
            self.begin(
                url=f"ws://h.test{PATH}", extra_headers={"Authorization": "Bearer h3ader-value"}
            )
            self.peer.send(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            self.step()
        self.assertIn(status[:3], self.output())
        self.assert_hidden(SECRET, SECRET[:6], "h3ader-value")

    def test_redirect(self) -> None:
        """The path and query in the target of a redirect, also percent-encoded."""
        with self.logged():
            self.begin(url=f"ws://h.test{PATH}")
            target = f"https://h.test/login/{SECRET}?next=%2Ffeed%3Ftoken%3D{SECRET}"
            self.peer.send(
                f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            self.step()
        self.assertIn("Location: https://h.test/login/...?next=...", self.output())
        self.assertEqual(self.server.attempts, 1)  # The redirect is not followed.
        self.assert_hidden(SECRET)

    def test_proxy(self) -> None:
        """The proxy's password, plain and as Basic credentials."""
        with self.logged():
            self.begin(proxy=PROXY)
            body = "user:pr0xy-pass dXNlcjpwcjB4eS1wYXNz"
            self.peer.send(f"HTTP/1.1 407 No\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            self.step()
        self.assertIn("407", self.output())
        self.assert_hidden("pr0xy-pass", "dXNlcjpwcjB4eS1wYXNz")

    def test_accepted_response(self) -> None:
        """The request line and a subprotocol with a token in the headers of the response."""
        token = "base64url.bearer.authorization.k8s.io.c2VjcmV0"
        with self.logged():
            self.begin(url=f"ws://h.test{PATH}", subprotocols=[token, "chat"])
            self.peer.answer(Sec_WebSocket_Protocol=token, X_Original_URI=PATH)
            self.step()
        self.assertEqual(self.client.conn.subprotocol, token)
        self.assert_hidden(SECRET, token)

    def test_close_message(self) -> None:
        """The message of a close frame, in log lines."""
        with self.logged():
            self.begin(url=f"ws://h.test{PATH}")
            self.peer.answer()
            self.step()
            self.peer.send(close(4001, f"bad token {SECRET}"))
            self.peer.drop()
            self.step()
        self.assertIn("4001", self.seen[0])
        self.assertNotIn(SECRET, self.seen[0])

    def test_close_message_after_reconnect(self) -> None:
        """The message of a close frame, in the log line about the next connection."""
        with self.logged():
            self.begin(Returning(), url=f"ws://h.test{PATH}")
            self.peer.answer()
            self.step()
            self.peer.send(close(4001, f"bad token {SECRET}"))
            self.peer.drop()
            self.step()
            self.clock.advance(600)
            self.step()
            self.peer.answer()
            self.step()
        self.assertIn("reconnected", self.seen[0])
        self.assertNotIn(SECRET, self.seen[0])

    def test_close_message_while_sending(self) -> None:
        """The message of a close frame, in the error of a ``send_frame`` that waits."""
        self.begin(url=f"ws://h.test{PATH}")
        self.peer.answer()
        self.step()
        self.peer.buffer.pauseProducing()
        sent = self.client.send_frame(wsx.Text("x"))
        self.peer.send(close(4001, f"bad token {SECRET}"))
        self.peer.drop()
        self.step()
        error = self.failureResultOf(sent, wsx.ConnError).value
        self.assertEqual(str(error), 'connection failed: closed by server: 4001 "bad token ..."')

    @each(
        [
            (["auth-s3cr3t-value "], "auth-"),
            (["a", "auth-s3cr3t-value", "auth-s3cr3t-value"], "auth-"),
            (["dGhlIHNhbXBsZSBub25jZQ=="], "dGhl"),
            (["access_token", "s3cr3t-value"] * 2, "s3cr3t"),
            (["access_token", "s3cr3t value"], "s3cr3t"),
            ("auth-s3cr3t-value", "s3cr3t"),
        ]
    )
    def test_wrong_subprotocols(self, names: Any, secret: str) -> None:
        """The error about wrong subprotocols does not show tokens among them."""
        error = self.assertRaises(ValueError, wsx.Conn, "ws://h/", subprotocols=names)
        self.assertNotIn(secret, str(error))
        self.assertIn("subprotocols: expected", str(error))

    def test_attributes(self) -> None:
        """The attributes of the exception have what the server sent."""
        recorder = Recorder()
        self.begin(recorder, url=f"ws://h.test{PATH}")
        body = f"Cannot GET {PATH}"
        self.peer.send(
            f"HTTP/1.1 404 No {PATH}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        self.step()
        [error] = [call[1].reason for call in recorder.calls if call[0] == "handle_disconnect"]
        self.assertEqual((error.message, error.body), (f"No {PATH}", body.encode()))
        for shown in (str(error), error.summary, repr(error)):
            self.assertNotIn(SECRET, shown)
