"""Tests of ``wsx._wire.handshake``: the opening handshake's request and its validation."""

from __future__ import annotations

import base64
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.handshake import (
    accept_value,
    format_opening_request,
    make_key,
    parse_extensions,
    validate,
)
from wsx._wire.http import Response
from wsx.conn import Conn
from wsx.errors import HandshakeError
from wsx.test.support.each import each

# The example of RFC 6455 section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def format_request(
    url: str = "ws://example.test/", extensions: str | None = None, **options: Any
) -> tuple[str, list[tuple[str, str]]]:
    """Return the request line and the headers of the request for a URL."""
    data = format_opening_request(Conn(url, **options), KEY, extensions, "wsx/0")
    head, end, rest = data.partition(b"\r\n\r\n")
    assert end
    assert not rest
    line, *fields = head.decode("latin-1").split("\r\n")
    pairs = [field.partition(": ") for field in fields]
    return line, [(name, value) for name, _, value in pairs]


def request_values(name: str, url: str = "ws://example.test/", **options: Any) -> list[str]:
    """Return the values of one header of the request for a URL."""
    headers = format_request(url, **options)[1]
    return [value for key, value in headers if key.lower() == name.lower()]


def make_response(*fields: str, status: int = 101) -> Response:
    """Return a response with these header lines."""
    pairs = [field.partition(": ") for field in fields]
    return Response(status, "", tuple((name, value) for name, _, value in pairs))


class KeyTests(SynchronousTestCase):
    """Challenge and response (RFC 6455 section 1.3)."""

    def test_accept_value(self) -> None:
        """The example of RFC 6455 is computed."""
        self.assertEqual(accept_value(KEY), ACCEPT)

    def test_key(self) -> None:
        """A key is sixteen bytes in base64."""
        self.assertEqual(len(base64.b64decode(make_key(), validate=True)), 16)

    def test_key_is_random(self) -> None:
        """Each key is 16 bytes of ``os.urandom``, which is called for each."""
        given = [b"a" * 16, b"b" * 16]
        self.patch(os, "urandom", lambda size: given.pop(0)[:size])
        keys = [base64.b64decode(make_key()) for _ in range(2)]
        self.assertEqual(keys, [b"a" * 16, b"b" * 16])


class RequestTests(SynchronousTestCase):
    """The request (RFC 6455 section 4.1)."""

    def test_in_full(self) -> None:
        """[S1] The request has the headers that RFC 6455 requires, a User-Agent, and no others."""
        line, headers = format_request("ws://example.test/chat?room=1")
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
        """[S4] The target is path and query; an empty path becomes a slash."""
        for url, target in (
            ("ws://example.test", "/"),
            ("ws://example.test/", "/"),
            ("ws://example.test?a=b", "/?a=b"),
            ("ws://example.test/a/b?c=d&e", "/a/b?c=d&e"),
            ("ws://example.test/a%20b?c=%26", "/a%20b?c=%26"),
            ("ws://example.test/é", "/%C3%A9"),
        ):
            self.assertEqual(format_request(url)[0], f"GET {target} HTTP/1.1", url)

    def test_host(self) -> None:
        """[S4] The Host header has a port unless it is the default one, and IPv6 in brackets."""
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
            self.assertEqual(request_values("Host", url), [host], url)

    def test_host_of_synonyms(self) -> None:
        """[S5] Http and https have the default ports of ws and wss."""
        for url, host in (
            ("http://example.test:80/", "example.test"),
            ("http://example.test:443/", "example.test:443"),
            ("https://example.test:443/", "example.test"),
            ("https://example.test:80/", "example.test:80"),
        ):
            self.assertEqual(request_values("Host", url), [host], url)

    def test_host_of_an_international_name(self) -> None:
        """An international name is sent in its ASCII form."""
        self.assertEqual(request_values("Host", "ws://bücher.example/"), ["xn--bcher-kva.example"])

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
            values = request_values("Authorization", f"ws://{user}@example.test/")
            self.assertEqual(values, [expected], user)

    def test_credentials_are_nowhere_else(self) -> None:
        """User and password appear nowhere else in the request."""
        line, headers = format_request("ws://user:secret@example.test:81/")
        self.assertEqual(line, "GET / HTTP/1.1")
        self.assertIn(("Host", "example.test:81"), headers)
        self.assertNotIn("secret", repr(headers))

    def test_no_authorization(self) -> None:
        """Without user and password there is no Authorization header."""
        self.assertEqual(request_values("Authorization"), [])

    def test_extra_headers(self) -> None:
        """[S15] Extra headers are sent, from pairs or a mapping, in order and with duplicates."""
        pairs = (("X-One", "1"), ("Cookie", "a=b"), ("X-One", "2"))
        headers = format_request(extra_headers=pairs)[1]
        self.assertEqual([pair for pair in headers if pair in pairs], list(pairs))
        self.assertEqual(request_values("X-One", extra_headers={"X-One": "1"}), ["1"])

    def test_extra_headers_replace_defaults(self) -> None:
        """[S15] An extra Host, User-Agent or Authorization, in any case, replaces the default."""
        for name in ("Host", "User-Agent", "Authorization"):
            for given in (name, name.lower(), name.upper()):
                values = request_values(
                    name, "ws://user:pw@example.test/", extra_headers=[(given, "mine")]
                )
                self.assertEqual(values, ["mine"], given)

    def test_extra_headers_leave_the_others(self) -> None:
        """[S15] An extra header replaces only the one of its own name."""
        _, plain = format_request("ws://user:pw@example.test/")
        _, headers = format_request(
            "ws://user:pw@example.test/", extra_headers=[("User-Agent", "mine")]
        )
        expected = [pair for pair in plain if pair[0] != "User-Agent"] + [("User-Agent", "mine")]
        self.assertEqual(sorted(headers), sorted(expected))

    def test_latin_1(self) -> None:
        """[S15] Extra headers are sent in ISO-8859-1, bytes unchanged."""
        for value in ("café ü", b"caf\xe9 \xfc"):
            conn = Conn("ws://example.test/", extra_headers=[("X-Name", value)])
            self.assertIn(
                b"\r\nX-Name: caf\xe9 \xfc\r\n", format_opening_request(conn, KEY, None, "wsx/0")
            )

    def test_bytes_that_look_like_space(self) -> None:
        """[S15] A value that ends in byte A0, like "città" in UTF-8, is sent unchanged."""
        value = "città".encode()
        conn = Conn("ws://example.test/", extra_headers=[("X-City", value)])
        self.assertIn(
            b"\r\nX-City: " + value + b"\r\n", format_opening_request(conn, KEY, None, "wsx/0")
        )

    def test_subprotocols(self) -> None:
        """Subprotocols are offered in order; without any there is no such header."""
        values = request_values("Sec-WebSocket-Protocol", subprotocols=("b", "a", "c.v1"))
        self.assertEqual(values, ["b, a, c.v1"])
        self.assertEqual(request_values("Sec-WebSocket-Protocol"), [])

    def test_extensions(self) -> None:
        """Extensions are offered unchanged; without any there is no such header."""
        offer = "permessage-deflate; client_max_window_bits"
        self.assertEqual(request_values("Sec-WebSocket-Extensions", extensions=offer), [offer])
        self.assertEqual(request_values("Sec-WebSocket-Extensions"), [])


class ValidateTests(SynchronousTestCase):
    """Validate the response (RFC 6455 section 4.1)."""

    upgrade = "Upgrade: websocket"
    connection = "Connection: Upgrade"
    accept = f"Sec-WebSocket-Accept: {ACCEPT}"

    def assert_wrong(
        self, word: str, came: str | None, *fields: str, subprotocols: tuple[str, ...] = ()
    ) -> None:
        """The response raises a HandshakeError with this word and the received value."""
        conn = Conn("ws://example.test/", subprotocols=subprotocols)
        error = self.assertRaises(HandshakeError, validate, make_response(*fields), conn, KEY)
        self.assertEqual(error.challenge, ACCEPT)
        self.assertEqual(error.response, came)
        self.assertIn(word, error.reason)
        self.assertIn(error.reason, str(error))

    def accepted(self, *fields: str, subprotocols: tuple[str, ...] = ()) -> str | None:
        """Return the subprotocol of a valid response."""
        return validate(
            make_response(*fields), Conn("ws://example.test/", subprotocols=subprotocols), KEY
        )

    def test_right(self) -> None:
        """A valid response without a subprotocol is accepted."""
        self.assertIsNone(self.accepted(self.upgrade, self.connection, self.accept))

    def test_right_with_others(self) -> None:
        """Case is ignored, Connection is a list, and other headers are allowed."""
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
        """[S8] A response without an Upgrade header is refused."""
        self.assert_wrong("Upgrade", None, self.connection, self.accept)

    def test_wrong_upgrade(self) -> None:
        """[S8] An Upgrade to anything but websocket alone is refused."""
        other_space = [f"websocket{space}" for space in "\x0b\x0c\x1c\x1f\x85\xa0"]
        others = ("h2c", "websocket2", "websocket/13", "websocket, h2c", "web socket", "")
        for value in (*others, *other_space):
            fields = (f"Upgrade: {value}", self.connection, self.accept)
            self.assert_wrong("Upgrade", value, *fields)

    def test_no_connection(self) -> None:
        """[S8] A response without a Connection header is refused."""
        self.assert_wrong("Connection", None, self.upgrade, self.accept)

    def test_wrong_connection(self) -> None:
        """[S8] A Connection header without Upgrade is refused."""
        other_space = [f"close,{space}Upgrade" for space in "\x0b\x0c\x1c\x1f\x85\xa0"]
        others = ("close", "keep-alive", "Upgraded", "no-upgrade, close", "")
        for value in (*others, *other_space):
            fields = (self.upgrade, f"Connection: {value}", self.accept)
            self.assert_wrong("Connection", value, *fields)

    def test_no_accept(self) -> None:
        """[S8] A response without a Sec-WebSocket-Accept header is refused as missing it."""
        self.assert_wrong("missing", None, self.upgrade, self.connection)
        self.assert_wrong("Sec-WebSocket-Accept", None, self.upgrade, self.connection)

    def test_wrong_accept(self) -> None:
        """[S8] Any other accept value is refused: another key's, another case, the key itself."""
        for value in (accept_value("another"), ACCEPT.lower(), ACCEPT[:-1], KEY, ""):
            fields = (self.upgrade, self.connection, f"Sec-WebSocket-Accept: {value}")
            self.assert_wrong("Sec-WebSocket-Accept", value, *fields)

    def test_two_accepts(self) -> None:
        """[S8] Two accept values are refused although one of them is right."""
        for other in ("other", ACCEPT):
            fields = (self.upgrade, self.connection, self.accept, f"Sec-WebSocket-Accept: {other}")
            self.assert_wrong("Sec-WebSocket-Accept", f"{ACCEPT}, {other}", *fields)

    def test_subprotocol(self) -> None:
        """The server may choose any subprotocol that was offered."""
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
        """The server may choose no subprotocol."""
        fields = (self.upgrade, self.connection, self.accept)
        self.assertIsNone(self.accepted(*fields, subprotocols=("one",)))

    def test_wrong_subprotocol(self) -> None:
        """[S8] A subprotocol that was not offered is refused; the names are case-sensitive."""
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
        """[S8] Two subprotocol headers are refused although both were offered."""
        fields = (self.upgrade, self.connection, self.accept)
        both = ("Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: two")
        self.assert_wrong("subprotocol", "one, two", *fields, *both, subprotocols=("one", "two"))

    @each([("Content-Length", "0"), ("content-length", "5"), ("Transfer-Encoding", "chunked")])
    def test_body(self, name: str, value: str) -> None:
        """[S8] A response with a body is refused (RFC 9110 section 8.6), even an empty one."""
        fields = (self.upgrade, self.connection, self.accept, f"{name}: {value}")
        self.assert_wrong("status 101", value, *fields)

    def test_values_are_not_in_the_text(self) -> None:
        """The text names the failed check and shows no header's value, because it may be logged."""
        fields = (self.upgrade, self.connection, "Sec-WebSocket-Accept: hush")
        conn = Conn("ws://example.test/")
        error = self.assertRaises(HandshakeError, validate, make_response(*fields), conn, KEY)
        self.assertNotIn("hush", str(error))
        self.assertNotIn(ACCEPT, str(error))


class ParseExtensionsTests(SynchronousTestCase):
    """The ``Sec-WebSocket-Extensions`` header (RFC 6455 section 9.1)."""

    @each(
        {
            "name": ("a", [("a", {})]),
            "parameters": ("a; b; c=1", [("a", {"b": [True], "c": ["1"]})]),
            "several": ("a; b=1, c, d; e", [("a", {"b": ["1"]}), ("c", {}), ("d", {"e": [True]})]),
            "repeated": ("a; b=1; b; b=2", [("a", {"b": ["1", True, "2"]})]),
            "same_name": ("a; b, a; c", [("a", {"b": [True]}), ("a", {"c": [True]})]),
            "quoted": ('a; b="10"; c= "x"', [("a", {"b": ["10"], "c": ["x"]})]),
            "case": ("Per-Deflate; Max_Bits=X", [("per-deflate", {"max_bits": ["X"]})]),
            "space": ("\ta ;  b\t= 1 ;c , d", [("a", {"b": ["1"], "c": [True]}), ("d", {})]),
            "no_space": ("a;b=1,c", [("a", {"b": ["1"]}), ("c", {})]),
            "empty_elements": (", a,, b ,", [("a", {}), ("b", {})]),
            "empty": ("", []),
        }.items()
    )
    def test_parsed(self, name: str, case: tuple[str, list[Any]]) -> None:
        """Names, parameters and values are parsed; names become lower case."""
        header, expected = case
        self.assertEqual(parse_extensions(header), expected)

    @each(
        [
            "a; b=",
            "a; b=1=2",
            "a;; b",
            "a; =",
            "; b",
            'a; b="',
            'a; b=""',
            'a; b="1',
            'a; b="1 2"',
            "a b",
            "a\x0b",
            "\xa0a",
            "a; \x85b",
            "a; b=\x1c9",
            "a; b=\xa01\x85",
        ]
    )
    def test_malformed(self, header: str) -> None:
        """A name or value that is not a token is a ValueError."""
        self.assertRaises(ValueError, parse_extensions, header)

    def test_permessage_deflate(self) -> None:
        """A typical response to permessage-deflate is parsed (RFC 7692 section 7.1)."""
        header = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"
        parameters = {"server_no_context_takeover": [True], "server_max_window_bits": ["10"]}
        self.assertEqual(parse_extensions(header), [("permessage-deflate", parameters)])
