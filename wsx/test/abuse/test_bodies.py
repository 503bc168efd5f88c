"""Hostile bodies of refusals: their framing, size and time."""

from __future__ import annotations

import gzip
from itertools import repeat

from wsx.test.support.abuse import (
    FIN,
    RESET,
    AbuseCase,
    Chain,
    Drip,
    Refused,
    Script,
    Step,
    respond,
)
from wsx.test.support.each import each

STATUS = b"HTTP/1.1 403 Forbidden"
KEPT = 64 * 1024  # bytes of a body
CHUNKED = b"Transfer-Encoding: chunked"
GZIP = gzip.compress(b"no access", mtime=0)


def refuse(*fields: bytes, body: bytes = b"") -> bytes:
    """Return a refusal."""
    return respond(STATUS, *fields, body=body)


def length(*values: object) -> bytes:
    """Return a refusal with these ``Content-Length`` fields and a body of five bytes."""
    return refuse(*[b"Content-Length: %b" % str(v).encode() for v in values], body=b"hello")


def chunked(data: bytes) -> bytes:
    """Return a refusal with a chunked body."""
    return refuse(CHUNKED, body=data)


class ContentLengthTests(AbuseCase):
    """Bodies with ``Content-Length``, and without."""

    @each(
        [
            ("0", [length(0)], b""),
            ("exact", [length(5)], b"hello"),
            ("short", [length(3)], b"hel"),
            ("leading_zeros", [length("0005")], b"hello"),
            ("white_space", [length(" 5\t")], b"hello"),
            ("in_two_reads", [refuse(b"Content-Length: 4", body=b"no"), b"pe"], b"nope"),
            ("65536", [refuse(b"Content-Length: 65536", body=b"x" * KEPT)], b"x" * KEPT),
            ("65537", [refuse(b"Content-Length: 65537", body=b"x" * KEPT)], b"x" * KEPT),
            ("huge", [refuse(b"Content-Length: " + b"9" * 5000), b"x" * 70_000], b"x" * KEPT),
            ("none", [refuse(body=b"x" * 70_000)], b"x" * KEPT),
            ("endless", Chain([refuse()], repeat(b"x" * 1000)), b"x" * KEPT),
        ]
    )
    def test_complete(self, label: str, script: Script, body: bytes) -> None:
        """A refusal is reported as soon as its body, or 64 KiB of it, has arrived."""
        self.assert_outcome(script, Refused(403, body))

    @each(
        [
            ("none", refuse(body=b"hello")),
            ("long", length(6)),
            ("negative", length(-5)),
            ("plus_sign", length("+5")),
            ("fraction", length("5.0")),
            ("hexadecimal", length("0x5")),
            ("word", length("five")),
            ("empty", length("")),
            ("list", length("5, 5")),
            ("superscript_digit", length("\xb2")),
            ("two_different", length(9, 5)),
        ],
        [("fin", [FIN], 0.0), ("reset", [RESET], 0.0), ("silence", [], 5.0)],
    )
    def test_incomplete(
        self, label: str, response: bytes, end: str, steps: list[Step], at: float
    ) -> None:
        """If the length is missing or wrong, the end of TCP or the time limit ends the body."""
        self.assert_outcome([response, *steps], Refused(403, b"hello", at=at))

    @each(
        [
            ("dripping", Drip(b"x" * 1000, 0.2), b"x" * 24),
            ("dripping_below_the_length", Chain([0.5], [b""] * 3, [b"xy"]), b"xy"),
            ("nothing", [], b""),
        ]
    )
    def test_slow(self, label: str, steps: Script, body: bytes) -> None:
        """The time limit covers the body: a refusal is reported with what has arrived."""
        script = Chain([refuse(b"Content-Length: 10000")], steps)
        self.assert_outcome(script, Refused(403, body, at=5.0))

    def test_slow_own_limit(self) -> None:
        """``socket_recv_timeout`` changes the limit."""
        script = Chain([refuse()], Drip(b"x" * 100, 0.2))
        self.assert_outcome(script, Refused(403, b"xx", at=0.5), socket_recv_timeout=0.5)


class ChunkedTests(AbuseCase):
    """Bodies with ``Transfer-Encoding: chunked`` (RFC 9112 section 7.1)."""

    @each(
        [
            ("one_chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            ("two_chunks", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
            ("empty", b"0\r\n\r\n", b""),
            ("upper_case_size", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            ("leading_zeros", b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
            ("extension", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b"hello"),
            ("trailers", b"5\r\nhello\r\n0\r\nX: y\r\nZ: z\r\n\r\n", b"hello"),
            ("endless_trailers", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 10_000, b"hello"),
            ("size_is_a_word", b"5\r\nhello\r\nmany\r\n", b"hello"),
            ("size_is_negative", b"5\r\nhello\r\n-1\r\n", b"hello"),
            ("size_is_empty", b"5\r\nhello\r\n\r\n", b"hello"),
            ("size_has_a_prefix", b"5\r\nhello\r\n0x5\r\n", b"hello"),
            ("size_has_an_underscore", b"5\r\nhello\r\n1_0\r\n", b"hello"),
            ("html_instead_of_chunks", b"<html>\r\n", b""),
            ("line_of_4097_bytes", b"5\r\nhello\r\n5;" + b"x" * 4095, b"hello"),
            ("huge_chunk", b"f" * 16 + b"\r\n" + b"x" * 70_000, b"x" * KEPT),
            ("chunk_of_70000", b"11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n", b"x" * KEPT),
            ("70000_chunks", b"1\r\nx\r\n" * 70_000, b"x" * KEPT),
        ]
    )
    def test_complete(self, label: str, data: bytes, body: bytes) -> None:
        """The last chunk, a malformed one, or 64 KiB end the body at once."""
        self.assert_outcome([chunked(data)], Refused(403, body))

    @each(
        [
            ("no_chunk", b""),
            ("size_only", b"5\r\n"),
            ("size_without_line_end", b"5"),
            ("line_of_4096_bytes", b"5;" + b"x" * 4094),
        ]
    )
    def test_incomplete(self, label: str, data: bytes) -> None:
        """An incomplete chunk is waited for until the time limit."""
        self.assert_outcome([chunked(data)], Refused(at=5.0))

    @each([("fin", FIN), ("reset", RESET)])
    def test_cut(self, label: str, end: Step) -> None:
        """If TCP ends within a chunk, its part is reported at once."""
        self.assert_outcome([chunked(b"9\r\nhel"), 1.0, b"lo", end], Refused(403, b"hello", at=1.0))

    def test_dripping(self) -> None:
        """Chunks that drip are reported at the time limit."""
        script = Chain([chunked(b"")], Drip(b"1\r\nx\r\n" * 100, 0.2))
        self.assert_outcome(script, Refused(403, b"xxxx", at=5.0))

    def test_endless_chunk_line(self) -> None:
        """A line with the size of a chunk that does not end is limited to 4,096 bytes."""
        self.sent = 0

        def script():
            yield chunked(b"")
            while True:
                self.sent += 100
                yield b"1" * 100

        self.assert_outcome(script(), Refused())
        self.assertEqual(self.sent, 4100)

    def test_with_content_length(self) -> None:
        """``Transfer-Encoding`` overrides ``Content-Length`` (RFC 9112 section 6.3)."""
        response = refuse(b"Content-Length: 3", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")
        self.assert_outcome([response], Refused(403, b"hello"))

    def test_upper_case(self) -> None:
        """The name of the coding is case-insensitive (RFC 9112 section 7)."""
        response = refuse(b"Transfer-Encoding: Chunked", body=b"2\r\nno\r\n0\r\n\r\n")
        self.assert_outcome([response], Refused(403, b"no"))


class CodingTests(AbuseCase):
    """Bodies with other codings are not decoded."""

    @each(
        [
            ("content_encoding", refuse(b"Content-Encoding: gzip", b"Content-Length: 29")),
            ("transfer_encoding", refuse(b"Transfer-Encoding: gzip")),
        ]
    )
    def test_gzip(self, label: str, head: bytes) -> None:
        """A compressed body is kept as it is, and does not appear in the text."""
        self.assert_outcome([head + GZIP, FIN], Refused(403, GZIP))
        self.assertNotIn("body", self.error.summary)

    def test_gzip_and_chunked(self) -> None:
        """Of ``gzip, chunked`` only the chunks are decoded."""
        response = refuse(b"Transfer-Encoding: gzip, chunked", body=b"2\r\n\x1f\x8b\r\n0\r\n\r\n")
        self.assert_outcome([response], Refused(403, b"\x1f\x8b"))

    @each(
        [
            ("html", b"<h1>No</h1>", b"text/html"),
            ("escape_sequences", b"\x1b[2J\x1b[31mno\x07", b"text/plain"),
            ("invalid_utf_8", b"\xff\xfe\xfd", b"text/plain"),
            ("bidi_marks", "\u202eon\u202c".encode(), b"text/plain"),
            ("one_long_line", b"x" * 60_000, b"text/plain"),
        ]
    )
    def test_text_in_the_summary(self, label: str, body: bytes, kind: bytes) -> None:
        """The first line of a text body appears escaped and truncated in the summary only."""
        fields = (b"Content-Type: " + kind, b"Content-Length: %d" % len(body))
        self.assert_outcome([refuse(*fields, body=body)], Refused(403, body))
        self.assertNotIn("body", str(self.error))
        summary = self.error.summary
        self.assertIn("; body: ", summary)
        self.assertTrue(summary.isprintable(), summary)
        self.assertLess(len(summary), 250)
