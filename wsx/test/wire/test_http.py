"""Tests of ``wsx._wire.http``: reading HTTP responses, and writing requests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.http import (
    MAX_BODY,
    MAX_INTERIM_RESPONSES,
    BodyReader,
    NotHTTP,
    Response,
    ResponseReader,
    basic_credentials,
    format_request,
    parse_head,
)
from wsx.errors import RequestError
from wsx.test.support.each import each

HEADER = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"X-Twice: one\r\n"
    b"X-Twice: two\r\n"
    b"\r\n"
)
HEADERS = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("X-Twice", "one"),
    ("X-Twice", "two"),
)


def read(data: bytes, limit: int = 65536) -> Response | None:
    """Read the head of a response that arrives in one read."""
    return ResponseReader(limit).feed(data)


def make_response(*fields: str, status: int = 101) -> Response:
    """Return a response with these header lines."""
    pairs = [field.partition(": ") for field in fields]
    return Response(status, "", tuple((name, value) for name, _, value in pairs))


class RequestTests(SynchronousTestCase):
    """Write requests."""

    def test_format_request(self) -> None:
        """A request has its line, its headers in order, an empty line, and no body."""
        data = format_request("GET /x HTTP/1.1", [("A", "1"), ("B", "caf\xe9"), ("A", "2")])
        self.assertEqual(data, b"GET /x HTTP/1.1\r\nA: 1\r\nB: caf\xe9\r\nA: 2\r\n\r\n")
        self.assertEqual(format_request("GET / HTTP/1.1", []), b"GET / HTTP/1.1\r\n\r\n")

    def test_basic_credentials(self) -> None:
        """Basic credentials follow RFC 7617, also with characters outside ASCII."""
        self.assertEqual(
            basic_credentials("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        )
        self.assertEqual(basic_credentials("test", "123£"), "Basic dGVzdDoxMjPCow==")


class ResponseReaderTests(SynchronousTestCase):
    """Read the head of a response."""

    def assert_not_http(self, data: bytes, limit: int = 65536) -> NotHTTP:
        """The bytes, in one read, are refused."""
        reader = ResponseReader(limit)
        return self.assertRaises(NotHTTP, reader.feed, data)

    def outcome(self, reads: Iterable[bytes], limit: int) -> str:
        """Return the outcome of a head that arrives in these reads."""
        reader = ResponseReader(limit)
        try:
            responses = [reader.feed(data) for data in reads]
        except NotHTTP:
            return "refused"
        return "taken" if responses[-1] else "waiting"

    def test_whole(self) -> None:
        """[S16] Status, reason and headers are read; order, case and duplicates are kept."""
        response = read(HEADER)
        assert response is not None
        self.assertEqual((response.status, response.reason), (101, "Switching Protocols"))
        self.assertEqual(response.headers, HEADERS)

    def test_at_every_byte(self) -> None:
        """A head with bytes behind it may be cut at every byte."""
        stream = HEADER + b"\x81\x02hi"
        for cut in range(len(stream)):
            reader = ResponseReader(65536)
            first = reader.feed(stream[:cut])
            if cut < len(HEADER):
                self.assertIsNone(first, cut)
                first = reader.feed(stream[cut:])
            assert first is not None, cut
            self.assertEqual(first.headers, HEADERS, cut)
            behind = stream[len(HEADER) :] if cut < len(HEADER) else stream[len(HEADER) : cut]
            self.assertEqual(reader.rest, behind, cut)

    def test_one_byte_at_a_time(self) -> None:
        """A head may arrive one byte at a time; the response is returned with the last one."""
        reader = ResponseReader(65536)
        responses = [reader.feed(HEADER[i : i + 1]) for i in range(len(HEADER))]
        self.assertEqual(responses[:-1], [None] * (len(HEADER) - 1))
        assert responses[-1] is not None
        self.assertEqual(responses[-1].headers, HEADERS)
        self.assertEqual(reader.rest, b"")

    def test_rest(self) -> None:
        """[S19] The bytes behind the head are kept unchanged, also empty lines among them."""
        rest = b"\x82\x06\r\n\r\n\xff\x00\r\n\r\n"
        reader = ResponseReader(65536)
        self.assertIsNotNone(reader.feed(HEADER + rest))
        self.assertEqual(reader.rest, rest)

    def test_no_headers(self) -> None:
        """A head may be a status line alone."""
        response = read(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        assert response is not None
        self.assertEqual((response.status, response.headers), (502, ()))

    def test_status_lines(self) -> None:
        """Reason phrases may be missing, empty or long; HTTP/1.0 is accepted."""
        for line, status, reason in (
            (b"HTTP/1.1 101 Switching Protocols", 101, "Switching Protocols"),
            (b"HTTP/1.1 404 ", 404, ""),
            (b"HTTP/1.1 404", 404, ""),
            (b"HTTP/1.0 503 Service Unavailable", 503, "Service Unavailable"),
            (b"HTTP/1.1 403 Acc\xe8s interdit", 403, "Accès interdit"),
        ):
            response = read(line + b"\r\n\r\n")
            assert response is not None, line
            self.assertEqual((response.status, response.reason), (status, reason), line)

    def test_not_http(self) -> None:
        """Other protocols are refused."""
        for data in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"\r\nHTTP/1.1 101 OK\r\n\r\n",
            b" HTTP/1.1 101 OK\r\n\r\n",
            b"<html>\r\n\r\n",
            b"RTSP/1.0 200 OK\r\n\r\n",
            b"\x00",
        ):
            self.assertIn("HTTP", self.assert_not_http(data).reason, data)

    def test_not_http_is_refused_early(self) -> None:
        """The first byte that cannot be HTTP is refused at once."""
        for good, bad in ((b"", b"X"), (b"H", b"E"), (b"HTT", b"X"), (b"HTTP", b" ")):
            reader = ResponseReader(65536)
            self.assertIsNone(reader.feed(good))
            self.assertRaises(NotHTTP, reader.feed, bad)

    def test_bad_status_lines(self) -> None:
        """A status line without a known version and a code of three digits is refused."""
        for line in (
            b"HTTP/1.1",
            b"HTTP/1.1 ",
            b"HTTP/1.1 OK",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 -20 OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 1 1 OK",
            b"HTTP/1.1 10\xb9 OK",
            b"HTTP/1.1101 OK",
            b"HTTP/2 101 OK",
            b"HTTP/2.0 101 OK",
            b"HTTP/0.9 101 OK",
            b"HTTP/1.11 101 OK",
            b"HTTP/101 OK",
            b"HTTP/",
        ):
            reason = self.assert_not_http(line + b"\r\nServer: x\r\n\r\n").reason
            self.assertIn("status line", reason, line)

    def test_latin_1(self) -> None:
        """[S16] Headers are decoded as ISO-8859-1, with every byte value."""
        value = bytes(range(0x21, 0x100))
        response = read(b"HTTP/1.1 101 OK\r\nX-Name: caf\xe9\r\nX-All: " + value + b"!\r\n\r\n")
        assert response is not None
        self.assertEqual(response.values("x-name"), ["café"])
        self.assertEqual(response.values("x-all"), [value.decode("latin-1") + "!"])

    def test_bytes_that_look_like_space(self) -> None:
        """[S16] Only spaces and tabs are stripped from a value: bytes A0 and 85 belong to it."""
        for value in ("città".encode(), "…".encode()[:1] + b"\x85", b"\xa0x", b"\x85x"):
            response = read(b"HTTP/1.1 101 OK\r\nX-Name:  \t" + value + b"\t \r\n\r\n")
            assert response is not None
            self.assertEqual(response.values("x-name"), [value.decode("latin-1")], value)

    def test_whitespace_around_values(self) -> None:
        """Spaces and tabs around a value are optional and not part of it."""
        response = read(b"HTTP/1.1 101 OK\r\nA:1\r\nB: \t 2 3 \t\r\nC:\r\nD: x:y: z\r\n\r\n")
        assert response is not None
        expected = (("A", "1"), ("B", "2 3"), ("C", ""), ("D", "x:y: z"))
        self.assertEqual(response.headers, expected)

    def test_folded_lines(self) -> None:
        """A line that begins with space or tab continues the value before it."""
        response = read(b"HTTP/1.1 101 OK\r\nA: one\r\n  two\r\n\tthree: 3\r\nB: four\r\n\r\n")
        assert response is not None
        self.assertEqual(response.headers, (("A", "one two three: 3"), ("B", "four")))

    def test_folded_empty_lines(self) -> None:
        """A value has no whitespace around it, even if one of its lines is empty."""
        for lines in (("X:", " a"), ("X: a", " "), ("X:", " ", "\ta"), ("X: \t", "  a \t")):
            response = read("\r\n".join(("HTTP/1.1 101 OK", *lines, "", "")).encode())
            assert response is not None
            self.assertEqual(response.headers, (("X", "a"),), lines)

    def test_folded_line_without_a_header(self) -> None:
        """A folded line without a header before it is refused."""
        for line in (b" A: 1", b"\tA: 1", b" ", b" one"):
            self.assert_not_http(b"HTTP/1.1 101 OK\r\n" + line + b"\r\nB: 2\r\n\r\n")

    def test_lines_that_are_no_headers(self) -> None:
        """A line without a colon or a name, or with space before the colon, is refused."""
        for line in (b"nonsense", b": value", b":", b"Name : value", b"Name\t: value", b"\xff"):
            data = b"HTTP/1.1 101 OK\r\nServer: x\r\n" + line + b"\r\n\r\n"
            self.assertIn("header", self.assert_not_http(data).reason, line)

    def test_limit_without_an_end(self) -> None:
        """A head that is too long is refused before its end, in one read or several."""
        endless = b"HTTP/1.1 101 OK\r\nX: " + b"x" * 200
        self.assertIn("100", self.assert_not_http(endless, 100).reason)
        reader = ResponseReader(100)
        for i in range(100):
            self.assertIsNone(reader.feed(endless[i : i + 1]))
        self.assertRaises(NotHTTP, reader.feed, endless[100:110])

    def test_limit_with_an_end(self) -> None:
        """A head that is too long is refused although its end is in the same read."""
        data = b"HTTP/1.1 101 OK\r\nX: " + b"x" * 200 + b"\r\n\r\n"
        self.assertIn("100", self.assert_not_http(data, 100).reason)

    def test_within_the_limit(self) -> None:
        """A head of exactly the limit is accepted."""
        for reads in ([HEADER], [HEADER[i : i + 1] for i in range(len(HEADER))]):
            self.assertEqual(self.outcome(reads, len(HEADER)), "taken")

    def test_limit_does_not_depend_on_reads(self) -> None:
        """The outcome near the limit does not depend on where the head is cut."""
        for limit in range(len(HEADER) - 8, len(HEADER) + 3):
            whole = self.outcome([HEADER], limit)
            for cut in range(1, len(HEADER)):
                parts = self.outcome([HEADER[:cut], HEADER[cut:]], limit)
                self.assertEqual(parts, whole, f"limit {limit}, {len(HEADER)} bytes, cut at {cut}")

    def test_rest_is_not_limited(self) -> None:
        """[S19] The bytes behind the head do not count."""
        reader = ResponseReader(len(HEADER))
        self.assertIsNotNone(reader.feed(HEADER + bytes(100_000)))
        self.assertEqual(len(reader.rest), 100_000)

    def test_received_bytes(self) -> None:
        """The error has the first received bytes, not all of them."""
        error = self.assert_not_http(b"\xe9" + b"x" * 10_000)
        self.assertTrue(error.received.startswith("éx"))
        self.assertLess(len(error.received), 1000)
        self.assertEqual(str(error), error.reason)

    def test_values(self) -> None:
        """Values are returned in order; the case of the name is ignored."""
        response = make_response("X-A: 1", "Y: 2", "x-a: 3, 4", "X-AB: 5")
        self.assertEqual(response.values("x-a"), ["1", "3, 4"])
        self.assertEqual(response.values("z"), [])

    def test_elements(self) -> None:
        """Lists are split at commas, over several headers; empty elements are dropped."""
        response = make_response("X-A: 1,  2 ,,", "x-a: 3", "X-A: ")
        self.assertEqual(response.elements("x-a"), ["1", "2", "3"])
        self.assertEqual(response.elements("z"), [])

    def test_white_space_of_elements(self) -> None:
        """Only spaces and tabs around an element are removed (RFC 9110 section 5.6.3)."""
        for space in "\x0b\x0c\x1c\x1f\x85\xa0":
            response = make_response(f"X-A: \t1 ,{space}2")
            self.assertEqual(response.elements("x-a"), ["1", f"{space}2"])


class InterimResponseTests(SynchronousTestCase):
    """Interim responses (RFC 9110 section 15.2) are skipped."""

    early_hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nUpgrade: no\r\n\r\n"

    def assert_skipped(self, interim: bytes) -> None:
        """The final response behind these bytes is read, and nothing of them is in it."""
        reader = ResponseReader(65536)
        response = reader.feed(interim + HEADER + b"rest")
        assert response is not None
        self.assertEqual((response.status, response.headers), (101, HEADERS))
        self.assertEqual(reader.rest, b"rest")

    @each((100, 102, 103, 104, 199))
    def test_skipped(self, status: int) -> None:
        """A response with a status from 100 to 199, except 101, is skipped."""
        self.assert_skipped(b"HTTP/1.1 %d Interim\r\n\r\n" % status)
        self.assert_skipped(b"HTTP/1.1 %d\r\nServer: x\r\n\r\n" % status)

    def test_alone(self) -> None:
        """An interim response alone is no response."""
        reader = ResponseReader(65536)
        self.assertIsNone(reader.feed(self.early_hints))
        self.assertIsNone(reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n"))
        response = reader.feed(HEADER)
        assert response is not None
        self.assertEqual(response.headers, HEADERS)

    def test_several(self) -> None:
        """Several interim responses of different kinds are skipped."""
        self.assert_skipped(b"HTTP/1.1 100 Continue\r\n\r\n" + self.early_hints * 3)

    def test_101_is_final(self) -> None:
        """101 is the final response: the bytes behind it are not HTTP any more."""
        reader = ResponseReader(65536)
        response = reader.feed(HEADER + b"HTTP/1.1 200 OK\r\n\r\n")
        assert response is not None
        self.assertEqual(response.status, 101)
        self.assertEqual(reader.rest, b"HTTP/1.1 200 OK\r\n\r\n")

    def test_is_interim(self) -> None:
        """``is_interim`` is true for 1xx except 101."""
        interim = [status for status in range(100, 600) if Response(status, "", ()).is_interim]
        self.assertEqual(interim, [100, *range(102, 200)])

    def test_before_a_refusal(self) -> None:
        """The refusal behind an interim response is read, with its body."""
        reader = ResponseReader(65536)
        response = reader.feed(self.early_hints + b"HTTP/1.1 404 No\r\nX: y\r\n\r\nbody")
        assert response is not None
        self.assertEqual((response.status, response.headers), (404, (("X", "y"),)))
        self.assertEqual(reader.rest, b"body")

    def test_at_every_byte(self) -> None:
        """A stream with interim responses may be cut at every byte."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" + self.early_hints
        stream = interim + HEADER
        for cut in range(len(stream)):
            reader = ResponseReader(65536)
            self.assertIsNone(reader.feed(stream[:cut]), cut)
            response = reader.feed(stream[cut:] + b"rest")
            assert response is not None, cut
            self.assertEqual((response.status, response.headers), (101, HEADERS), cut)
            self.assertEqual(reader.rest, b"rest", cut)

    def test_one_byte_at_a_time(self) -> None:
        """The final response is returned with its last byte."""
        reader = ResponseReader(65536)
        stream = self.early_hints + HEADER
        responses = [reader.feed(stream[i : i + 1]) for i in range(len(stream))]
        self.assertEqual(responses[:-1], [None] * (len(stream) - 1))
        assert responses[-1] is not None
        self.assertEqual(responses[-1].headers, HEADERS)

    def test_most(self) -> None:
        """As many interim responses as are allowed are skipped."""
        self.assert_skipped(self.early_hints * MAX_INTERIM_RESPONSES)

    def test_too_many(self) -> None:
        """One more is refused at once, in one read or in several."""
        reader = ResponseReader(65536)
        error = self.assertRaises(
            NotHTTP, reader.feed, self.early_hints * (MAX_INTERIM_RESPONSES + 1) + HEADER
        )
        self.assertIn(f"more than {MAX_INTERIM_RESPONSES} interim responses", error.reason)
        self.assertIn("103", error.received)
        reader = ResponseReader(65536)
        for _ in range(MAX_INTERIM_RESPONSES):
            self.assertIsNone(reader.feed(self.early_hints))
        self.assertRaises(NotHTTP, reader.feed, self.early_hints)

    def test_limit_is_for_each_head(self) -> None:
        """The limit is for the head of each response, not for all of them together."""
        limit = max(len(HEADER), len(self.early_hints))
        reader = ResponseReader(limit)
        self.assertIsNotNone(reader.feed(self.early_hints * 5 + HEADER))
        too_long = b"HTTP/1.1 100 Continue\r\nX: " + b"x" * limit + b"\r\n\r\n"
        reader = ResponseReader(limit)
        self.assertRaises(NotHTTP, reader.feed, self.early_hints + too_long + HEADER)

    def test_malformed(self) -> None:
        """A malformed interim response is refused."""
        for data in (b"HTTP/1.1 100 Continue\r\nno field\r\n\r\n", b"HTTP/1.1 1000 Many\r\n\r\n"):
            self.assertRaises(NotHTTP, ResponseReader(65536).feed, data + HEADER)

    def test_not_http_after_one(self) -> None:
        """Bytes behind an interim response that are not HTTP are refused at once."""
        reader = ResponseReader(65536)
        self.assertRaises(NotHTTP, reader.feed, self.early_hints + b"\x81\x02hi")


class LineEndTests(SynchronousTestCase):
    """A single LF ends a line as well (RFC 9112 section 2.2)."""

    def variants(self) -> Iterator[bytes]:
        """Return the header with each combination of CR LF and LF."""
        lines = HEADER.split(b"\r\n")[:-1]
        for ends in itertools.product((b"\r\n", b"\n"), repeat=len(lines)):
            yield b"".join(line + end for line, end in zip(lines, ends, strict=True))

    def test_mixed(self) -> None:
        """Line ends may be mixed in any way; the rest is kept byte for byte."""
        count = 0
        for data in self.variants():
            count += 1
            for rest in (b"", b"\r\n", b"\n\n", b"\x81\x02hi", b"\r\n\r\nx"):
                reader = ResponseReader(65536)
                response = reader.feed(data + rest)
                assert response is not None, data
                self.assertEqual(response.headers, HEADERS, data)
                self.assertEqual(response.reason, "Switching Protocols", data)
                self.assertEqual(reader.rest, rest, data)
        self.assertEqual(count, 64)

    def test_at_every_byte(self) -> None:
        """A header with any line ends may be cut at every byte."""
        for data in self.variants():
            for cut in range(len(data)):
                reader = ResponseReader(65536)
                self.assertIsNone(reader.feed(data[:cut]), (data, cut))
                response = reader.feed(data[cut:] + b"\n")
                assert response is not None, (data, cut)
                self.assertEqual(response.headers, HEADERS, (data, cut))
                self.assertEqual(reader.rest, b"\n", (data, cut))

    def test_one_byte_at_a_time(self) -> None:
        """The response is returned with the last byte of its head."""
        for data in (HEADER.replace(b"\r\n", b"\n"), HEADER[:-2] + b"\n"):
            reader = ResponseReader(65536)
            responses = [reader.feed(data[i : i + 1]) for i in range(len(data))]
            self.assertEqual(responses[:-1], [None] * (len(data) - 1))
            self.assertIsNotNone(responses[-1])

    def test_limit(self) -> None:
        """The limit counts the bytes that came, whatever the line ends and the reads are."""
        for data in (HEADER, HEADER.replace(b"\r\n", b"\n")):
            self.assertIsNotNone(read(data, len(data)))
            self.assertRaises(NotHTTP, read, data, len(data) - 1)

    def test_folded_lines(self) -> None:
        """A folded line may end with a single LF."""
        response = read(b"HTTP/1.1 101 OK\nA: one\n  two\nB: three\n\n")
        assert response is not None
        self.assertEqual(response.headers, (("A", "one two"), ("B", "three")))

    def test_cr_alone(self) -> None:
        """CR alone ends no line: the response is refused once its head is complete."""
        for head in (b"A: one\rB: two", b"A: one\r", b"\rA: one", b"A\r: one"):
            self.assertRaises(NotHTTP, read, b"HTTP/1.1 101 OK\r\n" + head + b"\r\n\r\n")
        self.assertRaises(NotHTTP, read, b"HTTP/1.1 101 OK\r\r\n\r\n")
        self.assertIsNone(read(b"HTTP/1.1 101 OK\r\r"))

    def test_interim(self) -> None:
        """Interim responses may have single LFs too."""
        response = read(b"HTTP/1.1 100 Continue\n\nHTTP/1.1 101 OK\nA: 1\n\n")
        assert response is not None
        self.assertEqual((response.status, response.headers), (101, (("A", "1"),)))


class ParseHeadTests(SynchronousTestCase):
    """``parse_head`` parses what ``ResponseReader`` collects."""

    def test_parsed(self) -> None:
        """Version, status, reason and headers are parsed."""
        for version in ("HTTP/1.1", "HTTP/1.0"):
            response = parse_head(f"{version} 503 Too Busy\r\nA: 1\r\na: 2".encode())
            expected = Response(503, "Too Busy", (("A", "1"), ("a", "2")), version)
            self.assertEqual(response, expected)

    @each([b"O\0K\r\nA: 1", b"OK\r\nA: 1\x002", b"OK\r\nA: 1\r2", b"OK\r\nA\0: 1", b"O\rK"])
    def test_forbidden(self, rest: bytes) -> None:
        """A head with NUL, or CR alone, is refused (RFC 9110 section 5.5)."""
        error = self.assertRaises(NotHTTP, parse_head, b"HTTP/1.1 200 " + rest)
        self.assertIn("NUL", error.reason)

    @each([b"A B", b"A\tB", b"\x01A", b"A\x7f", b"caf\xe9", b"\xa0A", b"A(b)", b'"A"', b"\x0bA"])
    def test_names(self, name: bytes) -> None:
        """A header name that is not a token is refused (RFC 9110 section 5.1)."""
        error = self.assertRaises(NotHTTP, parse_head, b"HTTP/1.1 200 OK\r\n" + name + b": 1")
        self.assertIn("no valid name", error.reason)

    def test_every_token(self) -> None:
        """Each character of a token is accepted in a header name."""
        name = "!#$%&'*+-.^_`|~09azAZ"
        self.assertEqual(parse_head(f"HTTP/1.1 200 OK\r\n{name}: 1".encode()).headers[0][0], name)


class OtherProtocolTests(SynchronousTestCase):
    """Errors for servers that do not speak HTTP."""

    def reason(self, data: bytes) -> str:
        """Return the reason of the refusal."""
        return self.assertRaises(NotHTTP, read, data).reason

    def test_tls(self) -> None:
        """A TLS alert leads to a hint at wss."""
        for alert in (
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"\x15\x03\x03\x00\x02\x02\x0a",
            b"\x15\x03",
        ):
            self.assertIn("not HTTP but TLS", self.reason(alert), alert)

    def test_others(self) -> None:
        """Anything else leads to no hint."""
        for data in (b"\x15", b"\x16\x03\x01", b"\x15\x01", b"SSH-2.0", b"220 smtp"):
            self.assertEqual(self.reason(data), "the response is not HTTP")


class BodyReaderTests(SynchronousTestCase):
    """The body of a refusal (RFC 9112 section 6)."""

    def reader(self, *fields: str, status: int = 403, data: bytes = b"") -> BodyReader:
        """Return a reader for a response with these header lines, fed with these bytes."""
        reader = BodyReader(make_response(*fields, status=status))
        if data:
            reader.feed(data)
        return reader

    @each(("server", "proxy"))
    def test_who(self, who: str) -> None:
        """The error names the side that refused."""
        error = BodyReader(Response(407, "No", ()), who).error()
        self.assertEqual(str(error), f"the {who} answered 407 No")

    def chunked(self, data: bytes) -> BodyReader:
        """Return a reader for a chunked body, fed with these bytes."""
        return self.reader("Transfer-Encoding: chunked", data=data)

    def assert_body(self, reader: BodyReader, body: bytes, complete: bool, what: str = "") -> None:
        """The reader has this body, complete or not."""
        self.assertEqual(reader.complete, complete, what)
        # assertEqual would print 64 KiB.
        found = reader.error().body
        self.assertTrue(found == body, f"{what}: {found[:80]!r}, {len(found)} bytes")

    def test_error(self) -> None:
        """[S8] The error has status, reason, headers and body."""
        headers = (("Content-Length", "2"), ("Retry-After", "5"), ("retry-after", "6"))
        reader = BodyReader(Response(503, "Busy", headers))
        reader.feed(b"no")
        error = reader.error()
        self.assertIsInstance(error, RequestError)
        self.assertEqual((error.code, error.message, error.body), (503, "Busy", b"no"))
        self.assertEqual(error.headers, headers)

    def test_error_text(self) -> None:
        """[S8] The text of the error has only status and reason."""
        reader = BodyReader(Response(401, "Unauthorized", (("Set-Cookie", "hush"),)))
        reader.feed(b"secret")
        text = str(reader.error())
        self.assertIn("401 Unauthorized", text)
        self.assertNotIn("hush", text)
        self.assertNotIn("secret", text)

    def test_content_length(self) -> None:
        """The body is complete with its last byte; further bytes are dropped."""
        reader = self.reader("Content-Length: 5")
        for data, body, complete in (
            (b"he", b"he", False),
            (b"ll", b"hell", False),
            (b"o", b"hello", True),
            (b", more", b"hello", True),
        ):
            reader.feed(data)
            self.assert_body(reader, body, complete)

    def test_content_length_in_one_read(self) -> None:
        """Further bytes in the same read are dropped."""
        self.assert_body(self.reader("content-length: 5", data=b"hello, more"), b"hello", True)

    def test_empty_body(self) -> None:
        """An empty body is complete at once."""
        self.assert_body(self.reader("Content-Length: 0"), b"", True)
        self.assert_body(self.reader("Content-Length: 0", data=b"more"), b"", True)

    def test_what_came_in_time(self) -> None:
        """The error has the part of the body that has arrived."""
        self.assert_body(self.reader("Content-Length: 5"), b"", False)
        self.assert_body(self.reader("Content-Length: 5", data=b"he"), b"he", False)
        self.assert_body(self.chunked(b"5\r\nhello\r\n5\r\nwor"), b"hellowor", False)

    def test_long_content_length(self) -> None:
        """The first 64 KiB of a long body are kept; it is complete then."""
        body = bytes(range(256)) * 300
        for length in (MAX_BODY + 1, len(body), 10**11, 10**30):
            reader = self.reader(f"Content-Length: {length}", data=body[: MAX_BODY - 1])
            self.assert_body(reader, body[: MAX_BODY - 1], False, f"{length}")
            reader.feed(body[MAX_BODY - 1 :])
            self.assert_body(reader, body[:MAX_BODY], True, f"{length}")

    def test_exactly_64_kib(self) -> None:
        """A body of exactly 64 KiB is kept."""
        body = bytes(range(256)) * 256
        self.assertEqual(len(body), MAX_BODY)
        self.assert_body(self.reader(f"Content-Length: {MAX_BODY}", data=body), body, True)

    def test_malformed_content_length(self) -> None:
        """A length that is not a number is ignored: the body ends with the connection."""
        for length in ("-5", "+5", "five", "", "5x", "0x5", "5, 6", "\xb2", "1.5", "1_0", "5 5"):
            reader = self.reader(f"Content-Length: {length}", data=b"hello, world")
            self.assert_body(reader, b"hello, world", False, length)

    def test_leading_zeros(self) -> None:
        """Leading zeros of a length are ignored."""
        for length in ("05", "0" * 11 + "5", "0" * 40 + "5"):
            reader = self.reader(f"Content-Length: {length}", data=b"hello, more")
            self.assert_body(reader, b"hello", True, length)

    def test_until_close(self) -> None:
        """Without a length the body is not complete before 64 KiB."""
        reader = self.reader(data=b"hello")
        self.assert_body(reader, b"hello", False)
        reader.feed(b"x" * (MAX_BODY - 6))
        self.assertFalse(reader.complete)
        reader.feed(b"yz")
        self.assert_body(reader, b"hello" + b"x" * (MAX_BODY - 6) + b"y", True)

    def test_no_body(self) -> None:
        """204, 304 and interim responses have no body, whatever their headers say."""
        for status in (100, 103, 199, 204, 304):
            for fields in ((), ("Content-Length: 5",), ("Transfer-Encoding: chunked",)):
                reader = self.reader(*fields, status=status)
                self.assert_body(reader, b"", True, f"{status} {fields}")
                reader.feed(b"5\r\nhello\r\n")
                self.assert_body(reader, b"", True, f"{status} {fields}")

    def test_other_statuses(self) -> None:
        """Other statuses have a body."""
        for status in (200, 301, 400, 404, 500, 599):
            reader = self.reader("Content-Length: 5", status=status, data=b"hello")
            self.assert_body(reader, b"hello", True, f"{status}")

    def test_chunked(self) -> None:
        """Chunks are joined, up to the last one."""
        for data, body in (
            (b"0\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", b"hello, world"),
            (b"A\r\n0123456789\r\n0a\r\n0123456789\r\n000\r\n\r\n", b"0123456789" * 2),
            (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
            (b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        ):
            self.assert_body(self.chunked(data), body, True, repr(data))

    def test_chunk_extensions(self) -> None:
        """Extensions of a chunk are skipped."""
        data = b'5;a=b\r\nhello\r\n7 ; c="d"\r\n, world\r\n0;last\r\n\r\n'
        self.assert_body(self.chunked(data), b"hello, world", True)

    def test_chunked_at_every_byte(self) -> None:
        """A chunked body may be cut at every byte."""
        data = b"5\r\nhello\r\nd;x=y\r\n, big wide wo\r\n3\r\nrld\r\n0\r\n\r\n"
        body = b"hello, big wide world"
        for cut in range(len(data) + 1):
            reader = self.chunked(data[:cut])
            self.assertTrue(body.startswith(reader.error().body), cut)
            if cut < data.index(b"0\r\n\r\n"):
                self.assertFalse(reader.complete, cut)
            reader.feed(data[cut:])
            self.assert_body(reader, body, True, f"cut at {cut}")

    def test_chunked_one_byte_at_a_time(self) -> None:
        """A chunked body may arrive one byte at a time."""
        reader = self.chunked(b"")
        for byte in b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n":
            reader.feed(bytes([byte]))
        self.assert_body(reader, b"hello world", True)

    def test_chunked_is_found(self) -> None:
        """The case of the coding's name is ignored, and it may be the last of a list."""
        for value in ("chunked", "Chunked", "CHUNKED", "gzip, chunked"):
            reader = self.reader(f"transfer-encoding: {value}", data=b"1\r\nx\r\n0\r\n\r\n")
            self.assert_body(reader, b"x", True, value)

    def test_chunked_and_content_length(self) -> None:
        """A length is ignored if the body is chunked."""
        fields = ("Content-Length: 2", "Transfer-Encoding: chunked")
        for pair in (fields, fields[::-1]):
            reader = self.reader(*pair, data=b"5\r\nhello\r\n0\r\n\r\n")
            self.assert_body(reader, b"hello", True)

    def test_bad_chunks(self) -> None:
        """A malformed chunk ends the body; the chunks before it are kept."""
        for bad in (b"xyz", b"", b"-5", b"g", b";a=b", b"5 5", b"\xff"):
            data = b"5\r\nhello\r\n" + bad + b"\r\nworld\r\n0\r\n\r\n"
            self.assert_body(self.chunked(data), b"hello", True, repr(bad))

    def test_long_chunk_lines(self) -> None:
        """A chunk's size and extension have at most 4096 bytes, however they are read."""
        for size, body in ((4096, b"hello"), (4097, b"")):
            line = b"5;" + b"x" * (size - 2)
            data = line + b"\r\nhello\r\n0\r\n\r\n"
            for cut in (0, 10, size - 1, size, size + 1, size + 2, len(data)):
                reader = self.chunked(data[:cut])
                if not reader.complete:
                    reader.feed(data[cut:])
                self.assert_body(reader, body, True, f"{size} bytes, cut at {cut}")

    def test_huge_chunk(self) -> None:
        """The first 64 KiB of a chunk of any size are kept."""
        reader = self.chunked(b"f" * 100 + b"\r\n" + b"x" * (MAX_BODY - 1))
        self.assert_body(reader, b"x" * (MAX_BODY - 1), False)
        reader.feed(b"yz")
        self.assert_body(reader, b"x" * (MAX_BODY - 1) + b"y", True)

    def test_long_chunked_body(self) -> None:
        """The first 64 KiB of a long chunked body are kept; it is complete then."""
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        reader = self.chunked(chunk * 15)
        self.assert_body(reader, b"x" * 4096 * 15, False)
        reader.feed(chunk * 15)
        self.assert_body(reader, b"x" * MAX_BODY, True)

    def test_long_body_in_small_chunks(self) -> None:
        """The limit counts the bytes of the body, without the framing of its chunks."""
        reader = self.chunked(b"4\r\nabcd\r\n" * (MAX_BODY // 4) + b"0\r\n\r\n")
        self.assert_body(reader, b"abcd" * (MAX_BODY // 4), True)

    def test_endless_chunk_line(self) -> None:
        """A line with a chunk's size that does not end completes the body."""
        reader = self.chunked(b"5;" + b"x" * 65536)
        for _ in range(10):
            reader.feed(b"x" * 65536)
        self.assert_body(reader, b"", True)
