"""Interim (1xx) responses before the final one (RFC 9110 section 15.2)."""

from __future__ import annotations

from itertools import repeat

from twisted.internet.error import ConnectionDone, ConnectionLost

from wsx.test.support.abuse import (
    FIN,
    RESET,
    AbuseCase,
    Drip,
    Failed,
    Invalid,
    Opened,
    Outcome,
    Refused,
    Script,
    respond,
    switching,
)
from wsx.test.support.each import each

CONTINUE = respond(b"HTTP/1.1 100 Continue")
HINTS = respond(b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload", b"Link: </b>")
REFUSAL = respond(b"HTTP/1.1 403 Forbidden", b"Content-Length: 2", body=b"no")
LIMIT = 64 * 1024
BIG = respond(b"HTTP/1.1 103 Early Hints", b"Link: " + b"x" * (LIMIT - 36))  # Exactly the limit.
NOT_HTTP = Invalid(reason="not HTTP")
TOO_MANY = Invalid(reason="more than 16 interim responses")


class InterimTests(AbuseCase):
    """Interim responses are skipped."""

    @each(
        [
            ("100", [CONTINUE + switching()]),
            ("102", [respond(b"HTTP/1.1 102 Processing") + switching()]),
            ("103_with_links", [HINTS + switching()]),
            ("199_unknown", [respond(b"HTTP/1.1 199 Unknown") + switching()]),
            ("of_http_1_0", [respond(b"HTTP/1.0 100 Continue") + switching()]),
            ("with_upgrade", [respond(b"HTTP/1.1 100 Continue", b"Upgrade: h2c") + switching()]),
            ("lines_end_with_lf", [respond(b"HTTP/1.1 100 OK", eol=b"\n") + switching()]),
            ("in_separate_reads", [CONTINUE, HINTS, switching()]),
            ("16", [CONTINUE * 16 + switching()]),
            ("16_of_64_kib", [*[BIG] * 16, switching()]),
            ("16_of_64_kib_in_one_read", [BIG * 16 + switching()]),
        ]
    )
    def test_opened(self, label: str, script: Script) -> None:
        """Up to 16 interim responses, each within ``max_header_size``, may precede the 101."""
        self.assert_outcome(script, Opened())
        self.assertIsNone(self.client.conn.resp_header("link"))

    @each([("one", CONTINUE), ("16", HINTS * 16)])
    def test_refused(self, label: str, interim: bytes) -> None:
        """A refusal behind interim responses is that refusal."""
        self.assert_outcome([interim + REFUSAL], Refused(403, b"no"))

    @each(
        [
            ("17", [CONTINUE * 17 + switching()], TOO_MANY),
            ("endless", repeat(CONTINUE * 5), TOO_MANY),
            ("endless_small_reads", repeat(CONTINUE), TOO_MANY),
            ("over_64_kib", [BIG[:-4] + b"y\r\n\r\n"], Invalid(reason="longer than 65536 bytes")),
            ("with_content_length", [CONTINUE[:-2] + b"Content-Length: 2\r\n\r\nhi"], NOT_HTTP),
            ("with_chunks", [CONTINUE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"], NOT_HTTP),
            ("empty_line_behind", [CONTINUE + b"\r\n" + switching()], NOT_HTTP),
            ("malformed", [CONTINUE[:-2] + b"X\r\n\r\n"], Invalid(reason="no valid name")),
            ("099", [respond(b"HTTP/1.1 099 Low") + switching()], Refused(99)),
        ]
    )
    def test_not_skipped(self, label: str, script: Script, expected: Outcome) -> None:
        """Anything else fails at once; an interim response has no body."""
        self.assert_outcome(script, expected)

    @each(
        [
            ("then_silence", [CONTINUE], Failed(at=5.0)),
            ("then_fin", [CONTINUE, FIN], Failed(ConnectionDone)),
            ("then_reset", [CONTINUE, RESET], Failed(ConnectionLost)),
            ("one_a_second", [1.0, CONTINUE] * 16, Failed(at=5.0)),
            ("late", [4.5, CONTINUE, 1.0, switching()], Failed(at=5.0)),
            ("dripping", Drip(CONTINUE * 100, 0.05), Failed(at=5.0)),
            ("in_time", [4.5, CONTINUE, 0.4, switching()], Opened(at=4.9)),
        ]
    )
    def test_time(self, label: str, script: Script, expected: Outcome) -> None:
        """Interim responses do not extend ``socket_recv_timeout``."""
        self.assert_outcome(script, expected)
