"""Hostile status lines, and their effect on a client."""

from __future__ import annotations

from wsx import RequestError
from wsx.test.support.abuse import (
    AbuseCase,
    Failed,
    Invalid,
    Opened,
    Outcome,
    Refused,
    respond,
    switching,
)
from wsx.test.support.each import each

NOT_HTTP = Invalid(reason="not HTTP")
STATUS_LINE = Invalid(reason="status line")
NO_BODY = b"Content-Length: 0"


class StatusLineTests(AbuseCase):
    """The status line of a response that is otherwise a correct 101."""

    @each(
        [
            ("http_1_0", b"HTTP/1.0 101 Switching Protocols", Invalid(reason="HTTP version")),
            ("http_1_2", b"HTTP/1.2 101 Switching Protocols", STATUS_LINE),
            ("http_2", b"HTTP/2 101 Switching Protocols", STATUS_LINE),
            ("http_2_0", b"HTTP/2.0 101 Switching Protocols", STATUS_LINE),
            ("http_11", b"HTTP/11 101 Switching Protocols", STATUS_LINE),
            ("http_1_1_1", b"HTTP/1.1.1 101 Switching Protocols", STATUS_LINE),
            ("lower_case", b"http/1.1 101 Switching Protocols", NOT_HTTP),
            ("mixed_case", b"Http/1.1 101 Switching Protocols", NOT_HTTP),
            ("icy", b"ICY 101 Switching Protocols", NOT_HTTP),
            ("rtsp", b"RTSP/1.0 101 Switching Protocols", NOT_HTTP),
            ("leading_space", b" HTTP/1.1 101 Switching Protocols", NOT_HTTP),
            ("leading_empty_line", b"\r\nHTTP/1.1 101 Switching Protocols", NOT_HTTP),
            ("byte_order_mark", b"\xef\xbb\xbfHTTP/1.1 101 Switching Protocols", NOT_HTTP),
            ("nul_in_phrase", b"HTTP/1.1 101 a\0b", Invalid(reason="NUL, or CR without LF")),
            ("cr_in_phrase", b"HTTP/1.1 101 a\rb", Invalid(reason="NUL, or CR without LF")),
            ("no_status", b"HTTP/1.1", STATUS_LINE),
            ("phrase_only", b"HTTP/1.1 Switching Protocols", STATUS_LINE),
            ("no_phrase", b"HTTP/1.1 101", Opened()),
            ("empty_phrase", b"HTTP/1.1 101 ", Opened()),
            ("latin_1_phrase", b"HTTP/1.1 101 \xc4ndern", Opened()),
            ("tab_as_separator", b"HTTP/1.1\t101\tSwitching Protocols", STATUS_LINE),
            ("negative", b"HTTP/1.1 -101 Switching Protocols", STATUS_LINE),
            ("plus_sign", b"HTTP/1.1 +101 Switching Protocols", STATUS_LINE),
            ("two_digits", b"HTTP/1.1 10 Switching Protocols", STATUS_LINE),
            ("four_digits", b"HTTP/1.1 1010 Switching Protocols", STATUS_LINE),
            ("leading_zero", b"HTTP/1.1 0101 Switching Protocols", STATUS_LINE),
            ("hexadecimal", b"HTTP/1.1 0x65 Switching Protocols", STATUS_LINE),
            ("exponent", b"HTTP/1.1 1e2 Switching Protocols", STATUS_LINE),
            ("fraction", b"HTTP/1.1 1.1 Switching Protocols", STATUS_LINE),
            ("underscore", b"HTTP/1.1 1_1 Switching Protocols", STATUS_LINE),
            ("superscript_digits", b"HTTP/1.1 \xb9\xb2\xb3 Switching Protocols", STATUS_LINE),
            (
                "arabic_digits",
                "HTTP/1.1 \u0661\u0660\u0661 Switching Protocols".encode(),
                STATUS_LINE,
            ),
            ("many_digits", b"HTTP/1.1 " + b"1" * 5000 + b" Switching Protocols", STATUS_LINE),
        ]
    )
    def test_status_line(self, label: str, status: bytes, expected: Outcome) -> None:
        """Only HTTP/1.1 and a status of three ASCII digits open the connection."""
        self.assert_outcome([switching(status=status)], expected)

    def test_long_phrase_of_a_101(self) -> None:
        """The length of the phrase is limited by ``max_header_size`` only."""
        long = b"HTTP/1.1 101 " + b"x" * 60_000
        self.assert_outcome([switching(status=long)], Opened())


class PhraseTests(AbuseCase):
    """The phrase of a refusal, which error texts show."""

    @each(
        [
            ("long", b"x" * 60_000),
            ("escape_sequence", b"\x1b[31mred\x1b[0m"),
            ("bell", b"\a" * 10),
            ("c1_control", b"\x9b31m"),
            ("delete", b"\x7f"),
            ("tab", b"a\tb"),
            ("empty", b""),
        ]
    )
    def test_phrase(self, label: str, phrase: bytes) -> None:
        """The error's text is one short line of printable characters."""
        self.assert_outcome([respond(b"HTTP/1.1 403 " + phrase, NO_BODY)], Refused())
        self.assertIsInstance(self.error, RequestError)
        self.assertEqual(self.error.message, phrase.decode("latin-1"))
        for shown in (str(self.error), repr(self.error), self.error.summary):
            self.assertTrue(shown.isprintable() and shown.isascii(), shown)
            self.assertLess(len(shown), 200)

    def test_incomplete(self) -> None:
        """A status line that never ends is a timeout."""
        self.assert_outcome([b"HTTP/1.1 101 Switch"], Failed(at=5.0))

    def test_prefix_only(self) -> None:
        """Bytes that may become HTTP are waited for; the first other byte is refused at once."""
        self.assert_outcome([b"HTT", 1.0, b"Q"], Invalid(at=1.0, reason="not HTTP"))
