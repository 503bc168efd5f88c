"""Hostile HTTP proxies: their response to CONNECT."""

from __future__ import annotations

from itertools import repeat

from OpenSSL.SSL import Error as TLSError
from twisted.internet.error import ConnectionDone, ConnectionLost

from wsx import is_retryable
from wsx.test.support.abuse import (
    FIN,
    RESET,
    AbuseCase,
    Chain,
    Drip,
    Failed,
    Invalid,
    Opened,
    Outcome,
    ProxyInvalid,
    ProxyRefused,
    Refused,
    Script,
    respond,
    switching,
)
from wsx.test.support.each import each

PROXY = "http://me:topsecret@proxy.test:3128"
TUNNEL = respond(b"HTTP/1.1 200 Connection established")
CONTINUE = respond(b"HTTP/1.1 100 Continue")
EMPTY = b"Content-Length: 0"
LIMIT = 64 * 1024
CONNECT_TIMEOUT = 6.0  # seconds, the default of socket_connect_timeout


class ProxyCase(AbuseCase):
    """Base class for tests of a client behind a proxy."""

    def through_proxy(self, script: Script, expected: Outcome, url: str = "ws://h.test/") -> None:
        """Perform a script; the password for the proxy must not appear in the error."""
        self.assert_outcome(script, expected, url=url, proxy=PROXY)
        if self.error is not None:
            self.assertNotIn("topsecret", f"{self.error} {self.error!r} {self.error.summary}")


class TunnelTests(ProxyCase):
    """Responses that open the tunnel."""

    @each(
        [
            ("200", TUNNEL),
            ("200_of_http_1_0", respond(b"HTTP/1.0 200 OK")),
            ("200_without_phrase", respond(b"HTTP/1.1 200")),
            ("200_with_lf", respond(b"HTTP/1.1 200 OK", b"Via: x", eol=b"\n")),
            ("200_with_content_length", respond(b"HTTP/1.1 200 OK", b"Content-Length: 9")),
            ("200_with_chunks", respond(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked")),
            ("204", respond(b"HTTP/1.1 204 No Content")),
            ("299", respond(b"HTTP/1.1 299 Fine")),
            ("100_before", CONTINUE + TUNNEL),
            ("103_before", respond(b"HTTP/1.1 103 Early Hints", b"Link: x") + TUNNEL),
            ("16_interim_before", CONTINUE * 16 + TUNNEL),
            ("64_kib", respond(b"HTTP/1.1 200 OK", b"X: " + b"x" * (LIMIT - 24))),
        ]
    )
    def test_open(self, label: str, response: bytes) -> None:
        """The opening handshake follows, and headers about a body have no meaning."""
        self.through_proxy([response, switching()], Opened())

    @each(
        [
            (
                "body_of_content_length",
                respond(b"HTTP/1.1 200 OK", b"Content-Length: 5") + b"hello",
            ),
            ("chunks", respond(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
            ("second_200", TUNNEL + b"SSH-2.0"),
        ]
    )
    def test_bytes_behind(self, label: str, response: bytes) -> None:
        """Bytes behind the proxy's head are the server's response."""
        self.through_proxy([response], Invalid(reason="not HTTP"))
        self.assertNotIn("proxy", self.error.reason)

    @each(
        [
            ("refusal", respond(b"HTTP/1.1 503 Busy", EMPTY), Refused(503)),
            ("same_200", TUNNEL, Refused(200, at=5.0)),
            ("interim", CONTINUE * 17, Invalid(reason="interim")),
        ]
    )
    def test_response_behind(self, label: str, response: bytes, expected: Outcome) -> None:
        """A response behind the proxy's head, in the same read, is the server's."""
        self.through_proxy([TUNNEL + response], expected)

    @each([("silence", [], TimeoutError, 5.0), ("fin", [FIN], ConnectionDone, 0.0)])
    def test_server_behind(
        self, label: str, steps: Script, kind: type[BaseException], at: float
    ) -> None:
        """The server behind the tunnel has ``socket_recv_timeout`` seconds of its own."""
        self.through_proxy([4.0, TUNNEL, *steps], Failed(kind, at=4.0 + at))


class TLSTests(ProxyCase):
    """Bytes of a proxy in front of the TLS handshake."""

    @each(
        [
            ("http_body", b"hello"),
            ("http_response", respond(b"HTTP/1.1 200 OK")),
            ("html", b"<html>Sign in to use this network</html>"),
            ("noise", b"\xff" * 100),
        ]
    )
    def test_before_the_client_hello(self, label: str, data: bytes) -> None:
        """Bytes that are not TLS fail the TLS handshake at once."""
        expected = Failed(TLSError, "the server does not speak TLS on this port")
        self.through_proxy([TUNNEL + data], expected, url="wss://h.test/")

    @each(
        [
            ("silence", [], Failed(at=CONNECT_TIMEOUT)),
            ("dripping", Drip(b"\x16\x03\x03\x40\x00" + bytes(1000), 0.1), Failed(at=6.0)),
            ("fin", [1.0, FIN], Failed(ConnectionLost, "during the TLS handshake", at=1.0)),
            ("reset", [1.0, RESET], Failed(ConnectionLost, "during the TLS handshake", at=1.0)),
        ]
    )
    def test_no_tls(self, label: str, steps: Script, expected: Outcome) -> None:
        """TLS behind the proxy has what is left of ``socket_connect_timeout``."""
        self.through_proxy(Chain([TUNNEL], steps), expected, url="wss://h.test/")


class RefusalTests(ProxyCase):
    """Responses that refuse the tunnel."""

    @each(
        [
            ("101", 101, False),
            ("300", 300, False),
            ("302", 302, False),
            ("400", 400, False),
            ("403", 403, False),
            ("404", 404, False),
            ("405", 405, False),
            ("407", 407, False),
            ("429", 429, True),
            ("500", 500, True),
            ("501", 501, False),
            ("502", 502, True),
            ("503", 503, True),
            ("504", 504, True),
            ("505", 505, False),
            ("599", 599, True),
            ("999", 999, True),
        ]
    )
    def test_status(self, label: str, code: int, retryable: bool) -> None:
        """A refusal is reported at once; TCP is closed with FIN."""
        expected = ProxyRefused(code)
        self.through_proxy([respond(b"HTTP/1.1 %d No" % code, EMPTY)], expected)
        # 101 is not among the permanent refusals of a server, where it opens the connection.
        self.assertEqual(is_retryable(self.error), retryable or code == 101)

    def test_challenge(self) -> None:
        """The challenge of a 407 appears in the summary."""
        challenge = b'Proxy-Authenticate: Basic realm="office"'
        response = respond(b"HTTP/1.1 407 Who are you?", challenge, EMPTY)
        self.through_proxy([response], ProxyRefused())
        self.assertIn('Proxy-Authenticate: Basic realm="office"', self.error.summary)

    @each(
        [
            ("content_length", [EMPTY[:-1] + b"2"], [b"no"], b"no", 0.0),
            ("silence", [], [b"no"], b"no", CONNECT_TIMEOUT),
            ("fin", [], [b"no", FIN], b"no", 0.0),
            ("reset", [], [b"no", 1.0, RESET], b"no", 1.0),
            ("dripping", [], Drip(b"x" * 1000, 0.7), b"x" * 8, CONNECT_TIMEOUT),
            ("endless", [], repeat(b"x" * 1000), b"x" * LIMIT, 0.0),
            ("chunked", [b"Transfer-Encoding: chunked"], [b"2\r\nno\r\n0\r\n\r\n"], b"no", 0.0),
            ("bad_chunks", [b"Transfer-Encoding: chunked"], [b"<html>\r\n"], b"", 0.0),
        ]
    )
    def test_body(
        self, label: str, fields: list[bytes], steps: Script, body: bytes, at: float
    ) -> None:
        """A refusal has its body, or the part that arrives within ``socket_connect_timeout``."""
        script = Chain([respond(b"HTTP/1.1 407 No", *fields)], steps)
        self.through_proxy(script, ProxyRefused(407, body, at=at))


class NoResponseTests(ProxyCase):
    """Proxies that do not speak HTTP, or not soon enough."""

    @each(
        [
            ("socks_5", b"\x05\xff", ProxyInvalid("not HTTP")),
            ("tls_alert", b"\x15\x03\x03\x00\x02\x02\x46", ProxyInvalid("not HTTP but TLS")),
            ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", ProxyInvalid("not HTTP")),
            ("http_2", respond(b"HTTP/2 200"), ProxyInvalid("status line")),
            ("four_digits", respond(b"HTTP/1.1 2000 OK"), ProxyInvalid("status line")),
            ("no_colon", respond(b"HTTP/1.1 200 OK", b"Via"), ProxyInvalid("name")),
            ("space_before_colon", respond(b"HTTP/1.1 200 OK", b"X : y"), ProxyInvalid("name")),
            ("17_interim", CONTINUE * 17, ProxyInvalid("interim")),
            (
                "64_kib_plus_1",
                respond(b"HTTP/1.1 200 OK", b"X: " + b"x" * (LIMIT - 23)),
                ProxyInvalid("longer than 65536 bytes"),
            ),
            ("endless_head", b"HTTP/1.1 200 " + b"x" * LIMIT, ProxyInvalid("65536")),
        ]
    )
    def test_invalid(self, label: str, response: bytes, expected: Outcome) -> None:
        """A malformed response is refused at once; the reason names the proxy."""
        self.through_proxy([response, switching()], expected)

    @each(
        [
            ("silence", [], Failed(at=CONNECT_TIMEOUT, text="took longer than 6 s")),
            ("half_of_the_head", [TUNNEL[:20]], Failed(at=CONNECT_TIMEOUT)),
            ("dripping", Drip(b"HTTP/1.1 200 " + b"x" * 1000, 0.1), Failed(at=CONNECT_TIMEOUT)),
            ("interim_each_second", [1.0, CONTINUE] * 10, Failed(at=CONNECT_TIMEOUT)),
            ("in_time", [5.9, TUNNEL, switching()], Opened(at=5.9)),
            ("both_slow", [5.9, TUNNEL, 4.9, switching()], Opened(at=10.8)),
            ("fin", [FIN], Failed(ConnectionDone, "proxy proxy.test:3128")),
            ("reset", [RESET], Failed(ConnectionLost, "proxy proxy.test:3128")),
            ("fin_within_the_head", [TUNNEL[:20], 2.0, FIN], Failed(ConnectionDone, at=2.0)),
        ]
    )
    def test_time(self, label: str, script: Script, expected: Outcome) -> None:
        """``socket_connect_timeout`` limits the whole response of the proxy."""
        self.through_proxy(script, expected)
