"""Servers that do not speak HTTP, and servers that say nothing."""

from __future__ import annotations

import random
import zlib

from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError

from wsx import ConnError, RequestError
from wsx.test.support import text
from wsx.test.support.abuse import (
    FIN,
    RESET,
    AbuseCase,
    Chain,
    Drip,
    Failed,
    Invalid,
    Outcome,
    Script,
    Step,
    respond,
)
from wsx.test.support.connections import ProtocolCase
from wsx.test.support.each import each
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import SecureServer, server_options

NOT_HTTP = Invalid(reason="the response is not HTTP")
TLS = Invalid(reason="the response is not HTTP but TLS; did you mean wss://?")
NOISE = random.Random(1).randbytes(70_000)


class GreetingTests(AbuseCase):
    """The first bytes show that the server speaks something else: refused at once."""

    @each(
        [
            ("tls_alert", b"\x15\x03\x01\x00\x02\x02\x46", TLS),
            ("tls_1_3_alert", b"\x15\x03\x03\x00\x02\x02\x0a", TLS),
            ("tls_server_hello", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", NOT_HTTP),
            ("http_2_settings", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", NOT_HTTP),
            ("http_2_goaway", b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01", NOT_HTTP),
            ("http_2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NOT_HTTP),
            ("http_0_9", b"<html><body>It works!</body></html>", NOT_HTTP),
            ("http_request", b"GET /feed HTTP/1.1\r\nHost: x\r\n\r\n", NOT_HTTP),
            ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", NOT_HTTP),
            ("smtp", b"220 mail.example.test ESMTP\r\n", NOT_HTTP),
            ("imap", b"* OK IMAP4rev1 ready\r\n", NOT_HTTP),
            ("pop3", b"+OK ready\r\n", NOT_HTTP),
            ("redis", b"-ERR unknown command\r\n", NOT_HTTP),
            ("mysql", b"\x4a\0\0\0\x0a8.0.36\0", NOT_HTTP),
            ("postgresql", b"E\0\0\0\x8aSFATAL\0", NOT_HTTP),
            ("socks_5", b"\x05\xff", NOT_HTTP),
            ("mqtt", b"\x20\x02\x00\x05", NOT_HTTP),
            ("telnet", b"\xff\xfd\x18\xff\xfd\x20", NOT_HTTP),
            ("websocket_frame", text("hello"), NOT_HTTP),
            ("websocket_close", b"\x88\x02\x03\xe8", NOT_HTTP),
            ("nul_bytes", bytes(1000), NOT_HTTP),
            ("noise", NOISE, NOT_HTTP),
            ("deflated_http", zlib.compress(b"HTTP/1.1 101 Switching Protocols\r\n"), NOT_HTTP),
            ("utf_16", "HTTP/1.1 101 OK\r\n\r\n".encode("utf-16"), NOT_HTTP),
            ("empty_lines", b"\r\n\r\n\r\n", NOT_HTTP),
            ("one_byte", b"x", NOT_HTTP),
        ]
    )
    def test_greeting(self, label: str, data: bytes, expected: Outcome) -> None:
        """The error has the first 200 bytes."""
        self.assert_outcome([data], expected)
        self.assertEqual(self.error.response, data[:200].decode("latin-1"))

    def test_later(self) -> None:
        """A server that greets late is refused when it does."""
        script: list[Step] = [3.0, b"SSH-2.0-OpenSSH_9.6\r\n"]
        self.assert_outcome(script, Invalid(reason="not HTTP", at=3.0))

    def test_echo(self) -> None:
        """A server that echoes the request is refused; its text does not show the request."""
        self.start(self.handler, extra_headers={"Authorization": "Bearer s3cret"}).addErrback(
            self._failed
        )
        self.peer.send(self.peer.transport.value())
        self.step()
        self.assertIn("not HTTP", self.error.reason)
        self.assertNotIn("s3cret", f"{self.error} {self.error!r} {self.error.summary}")


class SilenceTests(AbuseCase):
    """Servers that do not answer."""

    @each(
        [
            ("nothing", [], Failed(at=5.0, text="took longer than 5 s")),
            ("fin", [FIN], Failed(ConnectionDone, "without answering")),
            ("reset", [RESET], Failed(ConnectionLost, "without answering")),
            ("late_fin", [2.0, FIN], Failed(ConnectionDone, at=2.0)),
            ("late_reset", [2.0, RESET], Failed(ConnectionLost, at=2.0)),
            ("fin_after_the_time_limit", [6.0, FIN], Failed(at=5.0)),
            ("empty_reads", Chain([b""] * 100), Failed(at=5.0)),
            ("prefix_of_http", Drip(b"HTTP", 1.0), Failed(at=5.0)),
        ]
    )
    def test_silence(self, label: str, script: Script, expected: Outcome) -> None:
        """The end of TCP is reported at once, silence after ``socket_recv_timeout``."""
        self.assert_outcome(script, expected)


class TCPTests(AbuseCase):
    """Servers that cannot be reached."""

    def test_refused(self) -> None:
        """A refused TCP connection is a ConnError at once."""
        self.server.refusal = ConnectionRefusedError()
        error = self.failureResultOf(self.start(self.handler), ConnError).value
        self.assertIsInstance(error.original, ConnectionRefusedError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_connected(self) -> None:
        """TCP that is never connected is a timeout after ``socket_connect_timeout``."""
        self.server.silent = True
        self.start(self.handler).addErrback(self._failed)
        self._run_timers()
        self.assertIsInstance(self.error.original, TimeoutError)
        self.assertEqual((self.outcome_at, self.server.cancelled), (6.0, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class EarlyTests(ProtocolCase):
    """Servers that send a response before they have read the request."""

    ca = Once(lambda: trustme.CA())

    def test_refusal(self) -> None:
        """A refusal that was sent before the request arrived is reported."""
        self.attempt()
        self.peer.send(respond(b"HTTP/1.1 503 Too many connections", b"Content-Length: 0"))
        self.assertEqual(self.failure(RequestError).code, 503)

    def test_refusal_with_the_tls_handshake(self) -> None:
        """The same with TLS: the refusal arrives with the end of the TLS handshake."""
        secure = SecureServer(self.clock, server_options(self.ca.issue_cert("example.test")))
        secure.greeting = respond(b"HTTP/1.1 503 Too many connections", b"Content-Length: 0")
        cacerts = self.ca.cert_pem.bytes()
        self.attempt("wss://example.test", cacerts=cacerts, endpoint=secure)
        secure.flush()
        self.assertEqual(self.failure(RequestError).code, 503)
        self.assertEqual(self.clock.getDelayedCalls(), [])
