"""Tests of ``wsx._transport.opening``: the client side of the opening handshake."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn, HandshakeError, RequestError
from wsx._transport.opening import Accepted, OpeningHandshake
from wsx._version import __version__
from wsx._wire.handshake import accept_value
from wsx.test.support import URL
from wsx.test.support.connections import DEFLATE
from wsx.test.support.each import each


class OpeningCase(SynchronousTestCase):
    """Base class: one opening handshake without a connection."""

    def begin(self, **options: Any) -> None:
        """Start a handshake."""
        self.handshake = OpeningHandshake(Conn(URL, **options))
        line, *fields = self.handshake.request().decode().split("\r\n\r\n")[0].split("\r\n")
        self.line = line
        self.headers = dict(field.split(": ", 1) for field in fields)
        self.accept = accept_value(self.headers["Sec-WebSocket-Key"])

    def response(self, *fields: str, accept: str = "", version: str = "HTTP/1.1") -> bytes:
        """Return a response with status 101."""
        lines = [
            f"{version} 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept or self.accept}",
            *fields,
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def accepted(self, data: bytes) -> Accepted:
        """Return the outcome of a response that is accepted."""
        accepted = self.handshake.feed(data)
        assert accepted is not None
        return accepted

    def assert_wrong(self, data: bytes, *words: str) -> HandshakeError:
        """The response raises a HandshakeError whose reason has these words."""
        error = self.assertRaises(HandshakeError, self.handshake.feed, data)
        self.assertEqual(error.challenge, self.accept)
        for word in words:
            self.assertIn(word, error.reason)
        return error


class RequestTests(OpeningCase):
    """The request."""

    def test_request(self) -> None:
        """[S1] The request has a fresh key and names wsx as the user agent."""
        self.begin()
        self.assertEqual(self.line, "GET /feed HTTP/1.1")
        self.assertEqual(self.headers["User-Agent"], f"wsx/{__version__}")
        key = self.headers["Sec-WebSocket-Key"]
        self.begin()
        self.assertNotEqual(self.headers["Sec-WebSocket-Key"], key)

    def test_same_key(self) -> None:
        """One handshake has one key."""
        self.begin()
        self.assertEqual(self.handshake.request(), self.handshake.request())

    def test_extensions(self) -> None:
        """permessage-deflate is offered if ``compression`` asks for it."""
        self.begin()
        self.assertNotIn("Sec-WebSocket-Extensions", self.headers)
        self.begin(compression="deflate")
        self.assertEqual(self.headers["Sec-WebSocket-Extensions"].split(";")[0], DEFLATE)


class AcceptTests(OpeningCase):
    """Responses with status 101."""

    def test_accepted(self) -> None:
        """The outcome has the response, and the bytes behind it."""
        self.begin()
        accepted = self.accepted(self.response("X: y") + b"frames")
        self.assertEqual(accepted.response.status, 101)
        self.assertEqual(accepted.response.values("x"), ["y"])
        self.assertEqual((accepted.subprotocol, accepted.extensions), (None, ()))
        self.assertIsNone(accepted.deflate)
        self.assertEqual(accepted.rest, b"frames")

    def test_byte_by_byte(self) -> None:
        """The outcome is returned with the last byte of the response."""
        self.begin()
        data = self.response()
        for i in range(len(data) - 1):
            self.assertIsNone(self.handshake.feed(data[i : i + 1]))
        self.assertEqual(self.accepted(data[-1:]).rest, b"")

    def test_interim_responses(self) -> None:
        """Interim responses before the 101 are skipped, wherever the stream is cut."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nUpgrade: no\r\n\r\n"
        self.begin()
        for cut in range(len(interim)):
            self.begin()
            data = interim + self.response() + b"rest"
            self.assertIsNone(self.handshake.feed(data[:cut]))
            self.assertEqual(self.accepted(data[cut:]).rest, b"rest", cut)

    def test_single_lf(self) -> None:
        """[S16] A response whose lines end with LF is accepted."""
        self.begin()
        data = self.response("X: y").replace(b"\r\n", b"\n")
        accepted = self.accepted(data + b"\n\nrest")
        self.assertEqual((accepted.response.values("x"), accepted.rest), (["y"], b"\n\nrest"))

    def test_subprotocol(self) -> None:
        """The server's choice of a subprotocol is in the outcome."""
        self.begin(subprotocols=["chat"])
        accepted = self.accepted(self.response("Sec-WebSocket-Protocol: chat"))
        self.assertEqual(accepted.subprotocol, "chat")

    def test_deflate(self) -> None:
        """An accepted permessage-deflate is in the outcome, as the server wrote it."""
        self.begin(compression="deflate")
        header = f"{DEFLATE} ; Server_Max_Window_Bits=10"
        accepted = self.accepted(self.response(f"Sec-WebSocket-Extensions: {header}"))
        self.assertEqual(accepted.extensions, (header,))
        self.assertIsNotNone(accepted.deflate)

    def test_two_extension_headers(self) -> None:
        """Several extension headers are one list (RFC 6455 section 9.1)."""
        self.begin(compression="deflate")
        empty, header = "Sec-WebSocket-Extensions:", f"Sec-WebSocket-Extensions: {DEFLATE}"
        self.assertIsNotNone(self.accepted(self.response(empty, header)).deflate)
        self.begin(compression="deflate")
        self.assert_wrong(self.response(header, header), "extension")


class InvalidResponseTests(OpeningCase):
    """[S8] Responses that are not valid."""

    def test_accept(self) -> None:
        """[S8] A wrong accept value is a HandshakeError with both values."""
        self.begin()
        error = self.assert_wrong(self.response(accept="wrong"), "Sec-WebSocket-Accept")
        self.assertEqual(error.response, "wrong")

    def test_version(self) -> None:
        """[S8] A response with HTTP/1.0 cannot upgrade the connection."""
        self.begin()
        error = self.assert_wrong(self.response(version="HTTP/1.0"), "HTTP/1.1")
        self.assertEqual(error.response, "HTTP/1.0")

    def test_not_http(self) -> None:
        """[S8] Bytes that are not HTTP are a HandshakeError that shows their beginning."""
        self.begin()
        error = self.assert_wrong(b"SSH-2.0-OpenSSH\r\n", "not HTTP")
        self.assertEqual(error.response, "SSH-2.0-OpenSSH\r\n")

    def test_tls(self) -> None:
        """[S8] A TLS alert is a HandshakeError that suggests wss."""
        self.begin()
        self.assert_wrong(b"\x15\x03\x03\x00\x02\x02\x46", "TLS", "did you mean wss://?")

    def test_too_long(self) -> None:
        """[S8] A head that is longer than ``max_header_size`` is a HandshakeError."""
        self.begin(max_header_size=200)
        self.assert_wrong(self.response("X: " + "x" * 200), "200")

    @each(
        {
            "not offered": "",
            "another": "x-other",
            "two": f"{DEFLATE}, x-other",
            "twice": f"{DEFLATE}, {DEFLATE}",
        }.items()
    )
    def test_extensions(self, name: str, header: str) -> None:
        """[S8] An extension that was not offered is a HandshakeError that shows the header."""
        self.begin(compression="deflate" if header else None)
        header = header or DEFLATE
        error = self.assert_wrong(
            self.response(f"Sec-WebSocket-Extensions: {header}"), "extension that was not offered"
        )
        self.assertEqual(error.response, header)

    def test_malformed_extensions(self) -> None:
        """[S8] An extension header that is malformed is a HandshakeError that shows the header."""
        self.begin(compression="deflate")
        for header in ("; b", f"{DEFLATE};\xa0server_no_context_takeover", f"{DEFLATE}\x0b"):
            error = self.assert_wrong(
                self.response(f"Sec-WebSocket-Extensions: {header}"), "Sec-WebSocket-Extensions"
            )
            self.assertEqual(error.response, header)
            self.begin(compression="deflate")

    def test_parameters(self) -> None:
        """[S8] Wrong parameters of permessage-deflate are a HandshakeError."""
        self.begin(compression="deflate")
        header = f"{DEFLATE}; server_max_window_bits=7"
        error = self.assert_wrong(
            self.response(f"Sec-WebSocket-Extensions: {header}"), "parameters are wrong"
        )
        self.assertEqual(error.response, header)


class RefusalTests(OpeningCase):
    """Responses with another status."""

    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\n"

    def setUp(self) -> None:
        self.begin()

    def test_refused(self) -> None:
        """[S8] A complete refusal is a RequestError with status, headers and body."""
        error = self.assertRaises(RequestError, self.handshake.feed, self.head + b"full")
        self.assertEqual((error.code, error.message, error.body), (503, "Busy", b"full"))
        self.assertEqual(error.headers, (("Retry-After", "7"), ("Content-Length", "4")))
        self.assertEqual(str(error), "the server answered 503 Busy")

    def test_in_parts(self) -> None:
        """The refusal is raised when its body is complete."""
        self.assertIsNone(self.handshake.feed(self.head))
        self.assertIsNone(self.handshake.feed(b"fu"))
        error = self.assertRaises(RequestError, self.handshake.feed, b"ll")
        self.assertEqual(error.body, b"full")

    def test_incomplete(self) -> None:
        """``refusal`` returns the refusal with the part of the body that has arrived."""
        self.assertIsNone(self.handshake.refusal())
        self.handshake.feed(self.head[:20])
        self.assertIsNone(self.handshake.refusal())
        self.handshake.feed(self.head[20:] + b"fu")
        refusal = self.handshake.refusal()
        assert refusal is not None
        self.assertEqual((refusal.code, refusal.body), (503, b"fu"))

    def test_other_statuses(self) -> None:
        """[S8] A success or a redirect is a refusal too."""
        for status in (200, 204, 301, 401):
            self.begin()
            data = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
            error = self.assertRaises(RequestError, self.handshake.feed, data)
            self.assertEqual(error.code, status)

    def test_after_interim_responses(self) -> None:
        """[S8] A refusal behind an interim response is raised."""
        data = b"HTTP/1.1 100 Continue\r\n\r\n" + self.head + b"full"
        error = self.assertRaises(RequestError, self.handshake.feed, data)
        self.assertEqual((error.code, error.body), (503, b"full"))
