"""Tests of ``wsx._wire.handshake``: the request, and what is made of the response."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.handshake import (
    MAX_BODY,
    BodyReader,
    HeaderReader,
    NotHTTP,
    Response,
    accept_value,
    basic_credentials,
    check,
    make_key,
    request,
)
from wsx.conn import Conn
from wsx.errors import HandshakeError, RequestError

# The example of RFC 6455 section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

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


def ask(
    url: str = "ws://example.test/", extensions: str | None = None, **options: Any
) -> tuple[str, list[tuple[str, str]]]:
    """Gives the request line and the headers of the request for a URL."""
    data = request(Conn(url, **options), KEY, extensions, "wsx/0")
    head, end, rest = data.partition(b"\r\n\r\n")
    assert end
    assert not rest
    line, *fields = head.decode("latin-1").split("\r\n")
    pairs = [field.partition(": ") for field in fields]
    return line, [(name, value) for name, _, value in pairs]


def asked(name: str, url: str = "ws://example.test/", **options: Any) -> list[str]:
    """Gives the values of one header of the request for a URL."""
    headers = ask(url, **options)[1]
    return [value for key, value in headers if key.lower() == name.lower()]


def read(data: bytes, limit: int = 65536) -> Response | None:
    """Reads a response's header that comes in one read."""
    return HeaderReader(limit).feed(data)


def answer(*fields: str, status: int = 101) -> Response:
    """A response with these header lines."""
    pairs = [field.partition(": ") for field in fields]
    return Response(status, "", tuple((name, value) for name, _, value in pairs))


class KeyTests(SynchronousTestCase):
    """Challenge and response (RFC 6455 section 1.3)."""

    def test_accept_value(self) -> None:
        """The example of RFC 6455 gives what it says."""
        self.assertEqual(accept_value(KEY), ACCEPT)

    def test_key(self) -> None:
        """A key is sixteen bytes in base64."""
        self.assertEqual(len(base64.b64decode(make_key(), validate=True)), 16)

    def test_key_is_random(self) -> None:
        """A key is what the system's randomness gave, asked for each key."""
        given = [b"a" * 16, b"b" * 16]
        self.patch(os, "urandom", lambda size: given.pop(0)[:size])
        keys = [base64.b64decode(make_key()) for _ in range(2)]
        self.assertEqual(keys, [b"a" * 16, b"b" * 16])

    def test_basic_credentials(self) -> None:
        """Basic credentials are RFC 7617's, its example in UTF-8 too."""
        self.assertEqual(
            basic_credentials("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        )
        self.assertEqual(basic_credentials("test", "123£"), "Basic dGVzdDoxMjPCow==")


class RequestTests(SynchronousTestCase):
    """The request (RFC 6455 section 4.1)."""

    def test_in_full(self) -> None:
        """[S1] the request has what RFC 6455 asks for, and a User-Agent, and no more."""
        line, headers = ask("ws://example.test/chat?room=1")
        self.assertEqual(line, "GET /chat?room=1 HTTP/1.1")
        self.assertEqual(
            sorted(headers),
            [
                ("Connection", "Upgrade"),
                ("Host", "example.test"),
                ("Sec-WebSocket-Key", KEY),
                ("Sec-WebSocket-Version", "13"),
                ("Upgrade", "websocket"),
                ("User-Agent", "wsx/0"),
            ],
        )

    def test_request_target(self) -> None:
        """[S4] the target is path and query; no path is a slash."""
        for url, target in (
            ("ws://example.test", "/"),
            ("ws://example.test/", "/"),
            ("ws://example.test?a=b", "/?a=b"),
            ("ws://example.test/a/b?c=d&e", "/a/b?c=d&e"),
            ("ws://example.test/a%20b?c=%26", "/a%20b?c=%26"),
            ("ws://example.test/é", "/%C3%A9"),
        ):
            self.assertEqual(ask(url)[0], f"GET {target} HTTP/1.1", url)

    def test_host(self) -> None:
        """[S4] the Host header has no default port, any other port, and IPv6 in brackets."""
        for url, host in (
            ("ws://example.test/", "example.test"),
            ("ws://example.test:80/", "example.test"),
            ("ws://example.test:443/", "example.test:443"),
            ("ws://example.test:8080/", "example.test:8080"),
            ("wss://example.test/", "example.test"),
            ("wss://example.test:443/", "example.test"),
            ("wss://example.test:80/", "example.test:80"),
            ("ws://127.0.0.1/", "127.0.0.1"),
            ("ws://127.0.0.1:9000/", "127.0.0.1:9000"),
            ("ws://[::1]/", "[::1]"),
            ("ws://[::1]:80/", "[::1]"),
            ("ws://[::1]:9000/", "[::1]:9000"),
            ("wss://[2001:db8::1]:443/", "[2001:db8::1]"),
            ("wss://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
        ):
            self.assertEqual(asked("Host", url), [host], url)

    def test_host_of_synonyms(self) -> None:
        """[S5] http and https have the default ports of ws and wss."""
        for url, host in (
            ("http://example.test:80/", "example.test"),
            ("http://example.test:443/", "example.test:443"),
            ("https://example.test:443/", "example.test"),
            ("https://example.test:80/", "example.test:80"),
        ):
            self.assertEqual(asked("Host", url), [host], url)

    def test_host_of_an_international_name(self) -> None:
        """An international name is sent in its ASCII form."""
        self.assertEqual(asked("Host", "ws://bücher.example/"), ["xn--bcher-kva.example"])

    def test_basic_authorization(self) -> None:
        """User and password of the URL, percent-decoded, are sent as Basic authorization."""
        for user, credentials in (
            ("user:password", b"user:password"),
            ("user", b"user:"),
            ("user:", b"user:"),
            ("us%20er:p%40ss%3Aword", b"us er:p@ss:word"),
            ("%C3%BCser:p%C3%A4ss", "üser:päss".encode()),
        ):
            expected = "Basic " + base64.b64encode(credentials).decode()
            values = asked("Authorization", f"ws://{user}@example.test/")
            self.assertEqual(values, [expected], user)

    def test_credentials_are_nowhere_else(self) -> None:
        """User and password are in no other place of the request."""
        line, headers = ask("ws://user:secret@example.test:81/")
        self.assertEqual(line, "GET / HTTP/1.1")
        self.assertIn(("Host", "example.test:81"), headers)
        self.assertNotIn("secret", repr(headers))

    def test_no_authorization(self) -> None:
        """Without user and password there is no Authorization header."""
        self.assertEqual(asked("Authorization"), [])

    def test_extra_headers(self) -> None:
        """[S15] extra headers are sent, from pairs or a mapping, in order and with duplicates."""
        pairs = (("X-One", "1"), ("Cookie", "a=b"), ("X-One", "2"))
        headers = ask(extra_headers=pairs)[1]
        self.assertEqual([pair for pair in headers if pair in pairs], list(pairs))
        self.assertEqual(asked("X-One", extra_headers={"X-One": "1"}), ["1"])

    def test_extra_headers_replace_ours(self) -> None:
        """[S15] an extra Host, User-Agent or Authorization, in any case, replaces ours."""
        for name in ("Host", "User-Agent", "Authorization"):
            for given in (name, name.lower(), name.upper()):
                values = asked(name, "ws://user:pw@example.test/", extra_headers=[(given, "mine")])
                self.assertEqual(values, ["mine"], given)

    def test_extra_headers_leave_the_others(self) -> None:
        """[S15] an extra header replaces only the one of its own name."""
        _, plain = ask("ws://user:pw@example.test/")
        _, headers = ask("ws://user:pw@example.test/", extra_headers=[("User-Agent", "mine")])
        expected = [pair for pair in plain if pair[0] != "User-Agent"] + [("User-Agent", "mine")]
        self.assertEqual(sorted(headers), sorted(expected))

    def test_latin_1(self) -> None:
        """[S15] extra headers are sent in ISO-8859-1; bytes as they are."""
        for value in ("café ü", b"caf\xe9 \xfc"):
            conn = Conn("ws://example.test/", extra_headers=[("X-Name", value)])
            self.assertIn(b"\r\nX-Name: caf\xe9 \xfc\r\n", request(conn, KEY, None, "wsx/0"))

    def test_bytes_that_look_like_space(self) -> None:
        """[S15] a value that ends in byte A0, as "città" in UTF-8 does, is sent whole."""
        value = "città".encode()
        conn = Conn("ws://example.test/", extra_headers=[("X-City", value)])
        self.assertIn(b"\r\nX-City: " + value + b"\r\n", request(conn, KEY, None, "wsx/0"))

    def test_subprotocols(self) -> None:
        """Subprotocols are offered in their order; without any there is no such header."""
        values = asked("Sec-WebSocket-Protocol", subprotocols=("b", "a", "c.v1"))
        self.assertEqual(values, ["b, a, c.v1"])
        self.assertEqual(asked("Sec-WebSocket-Protocol"), [])

    def test_extensions(self) -> None:
        """Extensions are offered as they were given; without any there is no such header."""
        offer = "permessage-deflate; client_max_window_bits"
        self.assertEqual(asked("Sec-WebSocket-Extensions", extensions=offer), [offer])
        self.assertEqual(asked("Sec-WebSocket-Extensions"), [])


class HeaderReaderTests(SynchronousTestCase):
    """The header of a response."""

    def assert_not_http(self, data: bytes, limit: int = 65536) -> NotHTTP:
        """The bytes, in one read, are refused."""
        reader = HeaderReader(limit)
        return self.assertRaises(NotHTTP, reader.feed, data)

    def outcome(self, reads: Iterable[bytes], limit: int) -> str:
        """Says what becomes of a header that comes in these reads."""
        reader = HeaderReader(limit)
        try:
            responses = [reader.feed(data) for data in reads]
        except NotHTTP:
            return "refused"
        return "taken" if responses[-1] else "waiting"

    def test_whole(self) -> None:
        """[S16] status, reason and headers are read; order, case and duplicates are kept."""
        response = read(HEADER)
        assert response is not None
        self.assertEqual((response.status, response.reason), (101, "Switching Protocols"))
        self.assertEqual(response.headers, HEADERS)

    def test_at_every_byte(self) -> None:
        """A header with something behind it is cut at every byte."""
        stream = HEADER + b"\x81\x02hi"
        for cut in range(len(stream)):
            reader = HeaderReader(65536)
            first = reader.feed(stream[:cut])
            if cut < len(HEADER):
                self.assertIsNone(first, cut)
                first = reader.feed(stream[cut:])
            assert first is not None, cut
            self.assertEqual(first.headers, HEADERS, cut)
            behind = stream[len(HEADER) :] if cut < len(HEADER) else stream[len(HEADER) : cut]
            self.assertEqual(reader.rest, behind, cut)

    def test_one_byte_at_a_time(self) -> None:
        """A header comes one byte at a time, and is whole with its last one."""
        reader = HeaderReader(65536)
        responses = [reader.feed(HEADER[i : i + 1]) for i in range(len(HEADER))]
        self.assertEqual(responses[:-1], [None] * (len(HEADER) - 1))
        assert responses[-1] is not None
        self.assertEqual(responses[-1].headers, HEADERS)
        self.assertEqual(reader.rest, b"")

    def test_rest(self) -> None:
        """[S19] what comes after the header is kept byte for byte, ends of header in it too."""
        rest = b"\x82\x06\r\n\r\n\xff\x00\r\n\r\n"
        reader = HeaderReader(65536)
        self.assertIsNotNone(reader.feed(HEADER + rest))
        self.assertEqual(reader.rest, rest)

    def test_no_headers(self) -> None:
        """A status line alone is a header."""
        response = read(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        assert response is not None
        self.assertEqual((response.status, response.headers), (502, ()))

    def test_status_lines(self) -> None:
        """Reason phrases may be missing, empty or long; HTTP/1.0 can refuse as well."""
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
        """The first byte that HTTP cannot have is refused, not the end of a header awaited."""
        for good, bad in ((b"", b"X"), (b"H", b"E"), (b"HTT", b"X"), (b"HTTP", b" ")):
            reader = HeaderReader(65536)
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
        """[S16] headers are read as ISO-8859-1, every byte of it."""
        value = bytes(range(0x21, 0x100))
        response = read(b"HTTP/1.1 101 OK\r\nX-Name: caf\xe9\r\nX-All: " + value + b"!\r\n\r\n")
        assert response is not None
        self.assertEqual(response.values("x-name"), ["café"])
        self.assertEqual(response.values("x-all"), [value.decode("latin-1") + "!"])

    def test_bytes_that_look_like_space(self) -> None:
        """[S16] only spaces and tabs are around a value: bytes A0 and 85 belong to it."""
        for value in ("città".encode(), "…".encode()[:1] + b"\x85", b"\xa0x", b"\x85x"):
            response = read(b"HTTP/1.1 101 OK\r\nX-Name:  \t" + value + b"\t \r\n\r\n")
            assert response is not None
            self.assertEqual(response.values("x-name"), [value.decode("latin-1")], value)

    def test_whitespace_around_values(self) -> None:
        """Spaces and tabs around a value are not part of it, and need not be there."""
        response = read(b"HTTP/1.1 101 OK\r\nA:1\r\nB: \t 2 3 \t\r\nC:\r\nD: x:y: z\r\n\r\n")
        assert response is not None
        expected = (("A", "1"), ("B", "2 3"), ("C", ""), ("D", "x:y: z"))
        self.assertEqual(response.headers, expected)

    def test_folded_lines(self) -> None:
        """A line that begins with space or tab goes on with the value before it."""
        response = read(b"HTTP/1.1 101 OK\r\nA: one\r\n  two\r\n\tthree: 3\r\nB: four\r\n\r\n")
        assert response is not None
        self.assertEqual(response.headers, (("A", "one two three: 3"), ("B", "four")))

    def test_folded_line_without_a_header(self) -> None:
        """A folded line with nothing to go on with is refused."""
        for line in (b" A: 1", b"\tA: 1", b" ", b" one"):
            self.assert_not_http(b"HTTP/1.1 101 OK\r\n" + line + b"\r\nB: 2\r\n\r\n")

    def test_lines_that_are_no_headers(self) -> None:
        """A line without a colon or a name, or with space before the colon, is refused."""
        for line in (b"nonsense", b": value", b":", b"Name : value", b"Name\t: value", b"\xff"):
            data = b"HTTP/1.1 101 OK\r\nServer: x\r\n" + line + b"\r\n\r\n"
            self.assertIn("header", self.assert_not_http(data).reason, line)

    def test_limit_without_an_end(self) -> None:
        """More bytes than the limit without an end are refused, in one read or many."""
        endless = b"HTTP/1.1 101 OK\r\nX: " + b"x" * 200
        self.assertIn("100", self.assert_not_http(endless, 100).reason)
        reader = HeaderReader(100)
        for i in range(100):
            self.assertIsNone(reader.feed(endless[i : i + 1]))
        self.assertRaises(NotHTTP, reader.feed, endless[100:110])

    def test_limit_with_an_end(self) -> None:
        """A header longer than the limit is refused though its end came in the same read."""
        data = b"HTTP/1.1 101 OK\r\nX: " + b"x" * 200 + b"\r\n\r\n"
        self.assertIn("100", self.assert_not_http(data, 100).reason)

    def test_within_the_limit(self) -> None:
        """A header that has no more bytes than the limit is taken."""
        for reads in ([HEADER], [HEADER[i : i + 1] for i in range(len(HEADER))]):
            self.assertEqual(self.outcome(reads, len(HEADER)), "taken")

    def test_limit_does_not_depend_on_reads(self) -> None:
        """About the limit, a header is taken or refused whatever the reads it comes in."""
        for limit in range(len(HEADER) - 8, len(HEADER) + 3):
            whole = self.outcome([HEADER], limit)
            for cut in range(1, len(HEADER)):
                parts = self.outcome([HEADER[:cut], HEADER[cut:]], limit)
                self.assertEqual(parts, whole, f"limit {limit}, {len(HEADER)} bytes, cut at {cut}")

    def test_rest_is_not_limited(self) -> None:
        """[S19] what comes behind the header does not count."""
        reader = HeaderReader(len(HEADER))
        self.assertIsNotNone(reader.feed(HEADER + bytes(100_000)))
        self.assertEqual(len(reader.rest), 100_000)

    def test_what_is_said_of_a_refused_one(self) -> None:
        """The error shows a beginning of what came, not all of it."""
        error = self.assert_not_http(b"\xe9" + b"x" * 10_000)
        self.assertTrue(error.received.startswith("éx"))
        self.assertLess(len(error.received), 1000)
        self.assertEqual(str(error), error.reason)

    def test_values(self) -> None:
        """Values are found whatever the case of the name, in order."""
        response = answer("X-A: 1", "Y: 2", "x-a: 3, 4", "X-AB: 5")
        self.assertEqual(response.values("x-a"), ["1", "3, 4"])
        self.assertEqual(response.values("z"), [])

    def test_elements(self) -> None:
        """Lists are split at commas, over several headers; empty elements do not count."""
        response = answer("X-A: 1,  2 ,,", "x-a: 3", "X-A: ")
        self.assertEqual(response.elements("x-a"), ["1", "2", "3"])
        self.assertEqual(response.elements("z"), [])


class CheckTests(SynchronousTestCase):
    """What a right answer to the handshake is (RFC 6455 section 4.1)."""

    upgrade = "Upgrade: websocket"
    connection = "Connection: Upgrade"
    accept = f"Sec-WebSocket-Accept: {ACCEPT}"

    def assert_wrong(
        self, word: str, came: str | None, *fields: str, subprotocols: tuple[str, ...] = ()
    ) -> None:
        """The answer is a HandshakeError which says this word and what came."""
        conn = Conn("ws://example.test/", subprotocols=subprotocols)
        error = self.assertRaises(HandshakeError, check, answer(*fields), conn, KEY)
        self.assertEqual(error.challenge, ACCEPT)
        self.assertEqual(error.response, came)
        self.assertIn(word, error.reason)
        self.assertIn(error.reason, str(error))

    def accepted(self, *fields: str, subprotocols: tuple[str, ...] = ()) -> str | None:
        """Gives the subprotocol of a right answer."""
        return check(answer(*fields), Conn("ws://example.test/", subprotocols=subprotocols), KEY)

    def test_right(self) -> None:
        """A right answer has no subprotocol where none was chosen."""
        self.assertIsNone(self.accepted(self.upgrade, self.connection, self.accept))

    def test_right_with_others(self) -> None:
        """Case does not matter, Connection is a list, and other headers are let be."""
        for connection in (
            "connection: upgrade",
            "CONNECTION: UPGRADE",
            "Connection: keep-alive, Upgrade",
            "Connection: Upgrade,keep-alive",
        ):
            fields = ("UPGRADE: WebSocket", connection, self.accept.upper()[:20] + self.accept[20:])
            self.assertIsNone(self.accepted("Server: x", *fields, "Date: today"), connection)
        two = ("Connection: keep-alive", "Connection: Upgrade")
        self.assertIsNone(self.accepted(self.upgrade, *two, self.accept))

    def test_no_upgrade(self) -> None:
        """[S8] without an Upgrade header it is wrong."""
        self.assert_wrong("Upgrade", None, self.connection, self.accept)

    def test_wrong_upgrade(self) -> None:
        """[S8] an Upgrade to anything but websocket alone is wrong."""
        for value in ("h2c", "websocket2", "websocket/13", "websocket, h2c", "web socket", ""):
            fields = (f"Upgrade: {value}", self.connection, self.accept)
            self.assert_wrong("Upgrade", value, *fields)

    def test_no_connection(self) -> None:
        """[S8] without a Connection header it is wrong."""
        self.assert_wrong("Connection", None, self.upgrade, self.accept)

    def test_wrong_connection(self) -> None:
        """[S8] a Connection header without Upgrade is wrong."""
        for value in ("close", "keep-alive", "Upgraded", "no-upgrade, close", ""):
            fields = (self.upgrade, f"Connection: {value}", self.accept)
            self.assert_wrong("Connection", value, *fields)

    def test_no_accept(self) -> None:
        """[S8] without a Sec-WebSocket-Accept header it is wrong, and says that it is missing."""
        self.assert_wrong("missing", None, self.upgrade, self.connection)
        self.assert_wrong("Sec-WebSocket-Accept", None, self.upgrade, self.connection)

    def test_wrong_accept(self) -> None:
        """[S8] any other accept value is wrong: another key's, another case, the key itself."""
        for value in (accept_value("another"), ACCEPT.lower(), ACCEPT[:-1], KEY, ""):
            fields = (self.upgrade, self.connection, f"Sec-WebSocket-Accept: {value}")
            self.assert_wrong("Sec-WebSocket-Accept", value, *fields)

    def test_two_accepts(self) -> None:
        """[S8] two accept values are wrong, though one of them is right."""
        for other in ("other", ACCEPT):
            fields = (self.upgrade, self.connection, self.accept, f"Sec-WebSocket-Accept: {other}")
            self.assert_wrong("Sec-WebSocket-Accept", f"{ACCEPT}, {other}", *fields)

    def test_subprotocol(self) -> None:
        """The chosen subprotocol is one that was offered, not only the first."""
        for name in ("one", "two"):
            chosen = self.accepted(
                self.upgrade,
                self.connection,
                self.accept,
                f"Sec-WebSocket-Protocol: {name}",
                subprotocols=("one", "two"),
            )
            self.assertEqual(chosen, name)

    def test_no_subprotocol_chosen(self) -> None:
        """A server may choose none of those offered."""
        fields = (self.upgrade, self.connection, self.accept)
        self.assertIsNone(self.accepted(*fields, subprotocols=("one",)))

    def test_wrong_subprotocol(self) -> None:
        """[S8] a subprotocol that was not offered is wrong; the names are case-sensitive."""
        for offered, value in (
            ((), "one"),
            (("one",), "two"),
            (("one",), "ONE"),
            (("one", "two"), "one, two"),
            (("one",), ""),
        ):
            fields = (self.upgrade, self.connection, self.accept)
            protocol = f"Sec-WebSocket-Protocol: {value}"
            self.assert_wrong("subprotocol", value, *fields, protocol, subprotocols=offered)

    def test_two_subprotocols(self) -> None:
        """[S8] two subprotocol headers are wrong, though both were offered."""
        fields = (self.upgrade, self.connection, self.accept)
        both = ("Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: two")
        self.assert_wrong("subprotocol", "one, two", *fields, *both, subprotocols=("one", "two"))

    def test_values_are_not_in_the_text(self) -> None:
        """The text says which check failed and shows no header's value: it may reach a log."""
        fields = (self.upgrade, self.connection, "Sec-WebSocket-Accept: hush")
        conn = Conn("ws://example.test/")
        error = self.assertRaises(HandshakeError, check, answer(*fields), conn, KEY)
        self.assertNotIn("hush", str(error))
        self.assertNotIn(ACCEPT, str(error))


class BodyReaderTests(SynchronousTestCase):
    """The body of a refusal (RFC 9112 section 6)."""

    def reader(self, *fields: str, status: int = 403, data: bytes = b"") -> BodyReader:
        """A reader for a response with these header lines, fed with these bytes."""
        reader = BodyReader(answer(*fields, status=status))
        if data:
            reader.feed(data)
        return reader

    def chunked(self, data: bytes) -> BodyReader:
        """A reader for a chunked body, fed with these bytes."""
        return self.reader("Transfer-Encoding: chunked", data=data)

    def assert_body(self, reader: BodyReader, body: bytes, complete: bool, what: str = "") -> None:
        """The body so far, and whether it is complete."""
        self.assertEqual(reader.complete, complete, what)
        # Compared without assertEqual, which would print 64 KiB.
        found = reader.error().body
        self.assertTrue(found == body, f"{what}: {found[:80]!r}, {len(found)} bytes")

    def test_error(self) -> None:
        """[S8] the error has status, reason, headers and body."""
        headers = (("Content-Length", "2"), ("Retry-After", "5"), ("retry-after", "6"))
        reader = BodyReader(Response(503, "Busy", headers))
        reader.feed(b"no")
        error = reader.error()
        self.assertIsInstance(error, RequestError)
        self.assertEqual((error.code, error.message, error.body), (503, "Busy", b"no"))
        self.assertEqual(error.headers, headers)

    def test_error_text(self) -> None:
        """[S8] its text names code and message only."""
        reader = BodyReader(Response(401, "Unauthorized", (("Set-Cookie", "hush"),)))
        reader.feed(b"secret")
        text = str(reader.error())
        self.assertIn("401 Unauthorized", text)
        self.assertNotIn("hush", text)
        self.assertNotIn("secret", text)

    def test_content_length(self) -> None:
        """The body is complete with its last byte; what comes after is not of it."""
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
        """The same with what comes after in the same read."""
        self.assert_body(self.reader("content-length: 5", data=b"hello, more"), b"hello", True)

    def test_empty_body(self) -> None:
        """A body of no bytes is complete at once."""
        self.assert_body(self.reader("Content-Length: 0"), b"", True)
        self.assert_body(self.reader("Content-Length: 0", data=b"more"), b"", True)

    def test_what_came_in_time(self) -> None:
        """The error has what came, though the body is not complete."""
        self.assert_body(self.reader("Content-Length: 5"), b"", False)
        self.assert_body(self.reader("Content-Length: 5", data=b"he"), b"he", False)
        self.assert_body(self.chunked(b"5\r\nhello\r\n5\r\nwor"), b"hellowor", False)

    def test_long_content_length(self) -> None:
        """Of a long body the first 64 KiB are kept, and no more is waited for."""
        body = bytes(range(256)) * 300
        for length in (MAX_BODY + 1, len(body), 10**11, 10**30):
            reader = self.reader(f"Content-Length: {length}", data=body[: MAX_BODY - 1])
            self.assert_body(reader, body[: MAX_BODY - 1], False, f"{length}")
            reader.feed(body[MAX_BODY - 1 :])
            self.assert_body(reader, body[:MAX_BODY], True, f"{length}")

    def test_exactly_64_kib(self) -> None:
        """A body of 64 KiB is complete and whole."""
        body = bytes(range(256)) * 256
        self.assertEqual(len(body), MAX_BODY)
        self.assert_body(self.reader(f"Content-Length: {MAX_BODY}", data=body), body, True)

    def test_nonsense_content_length(self) -> None:
        """A length that is negative or no number is none: the body goes to the end of TCP."""
        for length in ("-5", "+5", "five", "", "5x", "0x5", "5, 6", "\xb2", "1.5", "1_0", "5 5"):
            reader = self.reader(f"Content-Length: {length}", data=b"hello, world")
            self.assert_body(reader, b"hello, world", False, length)

    def test_leading_zeros(self) -> None:
        """Zeros before a length do not change it, however many."""
        for length in ("05", "0" * 11 + "5", "0" * 40 + "5"):
            reader = self.reader(f"Content-Length: {length}", data=b"hello, more")
            self.assert_body(reader, b"hello", True, length)

    def test_until_close(self) -> None:
        """Without a length the body is never complete before 64 KiB."""
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
        """Others have one: 200, a redirect, errors."""
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
        """A chunked body is cut at every byte; it gives what came and never more."""
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
        """A chunked body comes one byte at a time."""
        reader = self.chunked(b"")
        for byte in b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n":
            reader.feed(bytes([byte]))
        self.assert_body(reader, b"hello world", True)

    def test_chunked_is_found(self) -> None:
        """The coding's name has no case, and may be the last of a list."""
        for value in ("chunked", "Chunked", "CHUNKED", "gzip, chunked"):
            reader = self.reader(f"transfer-encoding: {value}", data=b"1\r\nx\r\n0\r\n\r\n")
            self.assert_body(reader, b"x", True, value)

    def test_chunked_and_content_length(self) -> None:
        """Where there are both, the length does not count."""
        fields = ("Content-Length: 2", "Transfer-Encoding: chunked")
        for pair in (fields, fields[::-1]):
            reader = self.reader(*pair, data=b"5\r\nhello\r\n0\r\n\r\n")
            self.assert_body(reader, b"hello", True)

    def test_bad_chunks(self) -> None:
        """What cannot be understood ends the body; what came before it is kept."""
        for bad in (b"xyz", b"", b"-5", b"g", b";a=b", b"5 5", b"\xff"):
            data = b"5\r\nhello\r\n" + bad + b"\r\nworld\r\n0\r\n\r\n"
            self.assert_body(self.chunked(data), b"hello", True, repr(bad))

    def test_huge_chunk(self) -> None:
        """A chunk that promises the most is taken as far as 64 KiB."""
        reader = self.chunked(b"f" * 100 + b"\r\n" + b"x" * (MAX_BODY - 1))
        self.assert_body(reader, b"x" * (MAX_BODY - 1), False)
        reader.feed(b"yz")
        self.assert_body(reader, b"x" * (MAX_BODY - 1) + b"y", True)

    def test_long_chunked_body(self) -> None:
        """Of a long chunked body the first 64 KiB are kept, and no more is waited for."""
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        reader = self.chunked(chunk * 15)
        self.assert_body(reader, b"x" * 4096 * 15, False)
        reader.feed(chunk * 15)
        self.assert_body(reader, b"x" * MAX_BODY, True)

    def test_long_body_in_small_chunks(self) -> None:
        """The first 64 KiB are of the body, however small the chunks it comes in."""
        reader = self.chunked(b"4\r\nabcd\r\n" * (MAX_BODY // 4) + b"0\r\n\r\n")
        self.assert_body(reader, b"abcd" * (MAX_BODY // 4), True)

    def test_endless_chunk_line(self) -> None:
        """A chunk's line that never ends is not waited for without limit."""
        reader = self.chunked(b"5;" + b"x" * 65536)
        for _ in range(10):
            reader.feed(b"x" * 65536)
        self.assert_body(reader, b"", True)
