"""Tests of wsx.conn: the rules for URLs, headers and options, and the request of a Conn."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._wire import handshake
from wsx.conn import parse_proxy
from wsx.test.support import MemoryCase, Recorder, case
from wsx.test.support.each import each
from wsx.test.support.options import DEFAULTS

URL = "ws://h.test/"
SECRET = "s3cr3t"
NUMBERS = (
    "socket_connect_timeout",
    "socket_recv_timeout",
    "close_timeout",
    "max_message_size",
    "max_header_size",
    "ping_interval",
    "ping_timeout",
    "data_timeout",
)
MAY_BE_NONE = ("max_message_size", "ping_interval", "ping_timeout", "data_timeout")


def request_of(conn: wsx.Conn) -> tuple[str, list[tuple[str, str]]]:
    """Return the request line and the headers of a Conn's opening request."""
    head = handshake.format_opening_request(conn, "a key", None, "an agent").decode("latin-1")
    line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    return line, [(name, value) for name, _, value in (f.partition(": ") for f in fields)]


def header_of(conn: wsx.Conn, wanted: str) -> list[str]:
    """Return the values of one header of the request."""
    return [value for name, value in request_of(conn)[1] if name.lower() == wanted.lower()]


def target_of(url: str) -> str:
    """Return the request target for a URL."""
    return request_of(wsx.Conn(url))[0].removeprefix("GET ").removesuffix(" HTTP/1.1")


def credentials_of(url: str) -> list[bytes]:
    """Return the decoded values of the Basic Authorization headers of the request."""
    values = header_of(wsx.Conn(url), "authorization")
    return [base64.b64decode(value.removeprefix("Basic ")) for value in values]


class URLCase(SynchronousTestCase):
    """Base class for tests of URLs."""

    def assert_bad(self, *urls: Any) -> None:
        """Assert that each of these raises a URLError that has the URL."""
        for url in urls:
            with case(url):
                error = self.assertRaises(wsx.URLError, wsx.Conn.parse_url, url)
                self.assertIs(error.url, url)
                self.assertRaises(wsx.URLError, wsx.Conn, url)

    def assert_place(self, cases: dict[str, tuple[str, int]]) -> None:
        """Assert that each URL leads to this host and port."""
        for url, place in cases.items():
            with case(url):
                parsed = wsx.Conn(url).parsed
                self.assertEqual((parsed.host, parsed.port), place)


class BadURLTests(URLCase):
    """[S3] Values that are not WebSocket URLs raise URLError."""

    def test_unknown_scheme(self) -> None:
        """[S3] The scheme must be ws, wss, http or https."""
        self.assert_bad("ftp://h", "wsss://h", "file:///h", "mailto:h", "ws+unix://h", "s://h")

    def test_no_scheme(self) -> None:
        """[S3] A URL must have a scheme."""
        self.assert_bad("", "h.test", "h.test/path", "//h.test", "/path", "h.test:80", "://h")

    def test_no_host(self) -> None:
        """[S3] A URL must have a host."""
        self.assert_bad("ws://", "ws:///path", "ws://:80/", "ws://u:p@/", "ws://?q", "ws:h", "ws:")

    def test_fragment(self) -> None:
        """[S3] A fragment is refused, even an empty one."""
        self.assert_bad("ws://h/#a", "ws://h#a", "ws://h/#", "ws://h#", "ws://h/?q#", "ws://h/?q#a")

    def test_port_out_of_range(self) -> None:
        """[S3] A port must be from 1 to 65535."""
        self.assert_bad("ws://h:0", "ws://h:65536", "ws://h:99999/", "ws://[::1]:0", "wss://h:00/")

    def test_port_that_is_no_number(self) -> None:
        """[S3] A port must be decimal."""
        self.assert_bad("ws://h:abc", "ws://h:-1", "ws://h:+80", "ws://h:8 0", "ws://h:0x50")
        self.assert_bad("ws://h:80:80", "ws://h:\u0663", "ws://h:8_0")

    def test_spaces(self) -> None:
        """[S3] Spaces are refused, also around the URL."""
        self.assert_bad("ws://h/a b", "ws://h t/", " ws://h", "ws://h ", "ws://h/?a b", "ws: //h")

    def test_control_characters(self) -> None:
        """[S3] Control characters are refused in every position."""
        for character in [*map(chr, range(0x20)), "\x7f"]:
            self.assert_bad(
                f"ws://h{character}",
                f"ws://h/a{character}b",
                f"{character}ws://h",
                f"ws{character}://h",
            )

    def test_header_injection(self) -> None:
        """[S3] CR and LF in path or query are refused."""
        self.assert_bad("ws://h/\r\nX: y", "ws://h/?\r\n\r\n", "ws://h\r\nX:y/")

    def test_bad_host(self) -> None:
        """[S3] Characters that are not allowed in a host name are refused."""
        self.assert_bad(
            "ws://a%20b/", "ws://a<b/", "ws://a,b/", "ws://h%2e/", "ws://a|b", "ws://%68/"
        )

    def test_bad_international_name(self) -> None:
        """[S3] A name that IDNA does not allow is refused."""
        self.assert_bad(
            "ws://\u00ad/", "ws://a\u200b\u2028b/", f"ws://{'ä' * 64}.test/", "ws://\ud800/"
        )

    def test_bad_ipv6(self) -> None:
        """[S3] Brackets must contain an IPv6 address and nothing else."""
        self.assert_bad(
            "ws://[::1", "ws://::1]/", "ws://::1/", "ws://[]/", "ws://[1:2]/", "ws://[h]/"
        )
        self.assert_bad("ws://[127.0.0.1]/", "ws://[v1.a]/", "ws://[::g]/", "ws://[::1%25]/")

    def test_rest_around_brackets(self) -> None:
        """[S3] Only a port may follow the brackets, and nothing may precede them."""
        self.assert_bad("ws://[::1]x/", "ws://x[::1]/", "ws://[::1]80/", "ws://[::1][::2]/")

    def test_not_a_str(self) -> None:
        """[S3] A URL must be a str."""
        self.assert_bad(None, 5, b"ws://h", ["ws://h"], object())

    def test_lone_surrogates(self) -> None:
        """[S3] A lone surrogate in path or query is refused."""
        self.assert_bad("ws://h/\ud800", "ws://h/?\udfff")

    def test_lone_surrogates_in_credentials(self) -> None:
        """[S3] A lone surrogate in user name or password is refused."""
        self.assert_bad("ws://u\ud800@h/", "ws://u:\ud800@h/")

    def test_text_hides_a_misplaced_password(self) -> None:
        """The error's text never contains the password, even if that needs encoding."""
        for url in (
            f"ws://u:{SECRET}/x@h/",
            f"ws://u:{SECRET}?x@h/",
            f"ws://u:{SECRET}#x@h/",
            f"ws://u:{SECRET}\u2100@h/",
            f"ws://u:[{SECRET}]@h/",
            f"ws://u:{SECRET} @h/",
            f"ws://u:{SECRET}@h:0/",
            f"ws://u:{SECRET}@h:x/",
            f"ws://u:{SECRET}@/",
            f"ftp://u:{SECRET}@h/",
        ):
            with case(url):
                error = self.assertRaises(wsx.URLError, wsx.Conn.parse_url, url)
                self.assertNotIn(SECRET, str(error))

    def test_also_a_value_error(self) -> None:
        """[S3] A URLError is a ValueError."""
        self.assertRaises(ValueError, wsx.Conn, "nonsense")


class BadURLStartTests(MemoryCase):
    """[S3] Nothing is started with a bad URL."""

    def test_nothing_started(self) -> None:
        """[S3] The Deferred fails with URLError; no attempt is made and no name is registered."""
        handler = Recorder()
        started = self.start(handler, url="ws://h/#fragment", name="conn-s3")
        self.step()
        self.failureResultOf(started, wsx.URLError)
        self.assertEqual(self.server.attempts, 0)
        self.assertEqual(handler.names, [])
        self.assertIsNone(wsx.whereis("conn-s3"))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class GoodURLTests(URLCase):
    """Host, port, path and scheme of valid URLs."""

    def test_default_ports(self) -> None:
        """[S4] The default port is 80 for ws and 443 for wss, also if the port is empty."""
        self.assert_place(
            {
                "ws://h": ("h", 80),
                "wss://h": ("h", 443),
                "ws://h:": ("h", 80),
                "wss://h:/path": ("h", 443),
                "ws://[::1]:": ("::1", 80),
            }
        )

    def test_given_ports(self) -> None:
        """Any port up to 65535 can be given."""
        self.assert_place(
            {
                "ws://h:1": ("h", 1),
                "ws://h:443": ("h", 443),
                "wss://h:80": ("h", 80),
                "ws://h:65535/x": ("h", 65535),
                "ws://[::1]:8080": ("::1", 8080),
            }
        )

    def test_default_path(self) -> None:
        """[S4] An empty path means ``/``."""
        cases = {"ws://h": "/", "ws://h/": "/", "ws://h?a=b": "/?a=b", "ws://h:81": "/"}
        for url, target in cases.items():
            with case(url):
                self.assertEqual(target_of(url), target)

    def test_synonyms(self) -> None:
        """[S5] http is ws and https is wss, for ports and TLS."""
        cases = {
            "ws://h/p": (False, 80, "h"),
            "http://h/p": (False, 80, "h"),
            "wss://h/p": (True, 443, "h"),
            "https://h/p": (True, 443, "h"),
            "http://h:443/p": (False, 443, "h:443"),
            "https://h:80/p": (True, 80, "h:80"),
        }
        for url, expected in cases.items():
            with case(url):
                conn = wsx.Conn(url)
                found = (conn.parsed.secure, conn.parsed.port, header_of(conn, "host")[0])
                self.assertEqual(found, expected)
                self.assertEqual(target_of(url), "/p")

    def test_case(self) -> None:
        """Scheme and host are case-insensitive; path and query keep their case."""
        self.assert_place({"WSS://EXAMPLE.Test/": ("example.test", 443), "Http://H": ("h", 80)})
        self.assertEqual(target_of("WS://H/Path?Query"), "/Path?Query")

    def test_ipv4(self) -> None:
        """IPv4 literals are accepted."""
        self.assert_place(
            {"ws://127.0.0.1/": ("127.0.0.1", 80), "ws://10.0.0.1:81": ("10.0.0.1", 81)}
        )

    def test_ipv6(self) -> None:
        """IPv6 literals lose their brackets."""
        self.assert_place(
            {
                "ws://[::1]": ("::1", 80),
                "ws://[2001:db8::7]:81/": ("2001:db8::7", 81),
                "wss://[2001:DB8:0:0::7]/": ("2001:db8::7", 443),
                "ws://u:p@[::1]:81/": ("::1", 81),
            }
        )

    def test_ipv6_zone(self) -> None:
        """A zone, percent-encoded (RFC 6874) or plain, is kept in its own case."""
        self.assert_place(
            {
                "ws://[fe80::1%25eth0]/": ("fe80::1%eth0", 80),
                "ws://[fe80::1%eth0]:81/": ("fe80::1%eth0", 81),
                "ws://[FE80::1%25Eth0]/": ("fe80::1%Eth0", 80),
            }
        )

    def test_international_name(self) -> None:
        """International names are converted to their ASCII form."""
        self.assert_place(
            {
                "ws://bücher.example/": ("xn--bcher-kva.example", 80),
                "wss://BÜCHER.Example:81": ("xn--bcher-kva.example", 81),
                "ws://xn--bcher-kva.example/": ("xn--bcher-kva.example", 80),
                "ws://例え.テスト": ("xn--r8jz45g.xn--zckzah", 80),
            }
        )

    def test_other_names(self) -> None:
        """Names that are common although DNS does not allow them are accepted."""
        self.assert_place(
            {
                "ws://localhost:81": ("localhost", 81),
                "ws://my_service:81": ("my_service", 81),
                "ws://h.test./": ("h.test.", 80),
                "ws://a-b.c1/": ("a-b.c1", 80),
            }
        )


class HostHeaderTests(SynchronousTestCase):
    """The Host header."""

    def assert_host(self, cases: dict[str, str]) -> None:
        """Assert that each URL leads to one Host header with this value."""
        for url, value in cases.items():
            with case(url):
                self.assertEqual(header_of(wsx.Conn(url), "host"), [value])

    def test_default_port_is_left_out(self) -> None:
        """The scheme's default port is left out, even if it was given."""
        self.assert_host({"ws://h": "h", "ws://h:80": "h", "wss://h": "h", "wss://h:443": "h"})
        self.assert_host({"http://h:80": "h", "https://h:443": "h", "ws://h:": "h"})

    def test_other_port(self) -> None:
        """Any other port is included, also the default port of the other scheme."""
        self.assert_host({"ws://h:81": "h:81", "ws://h:443": "h:443", "wss://h:80": "h:80"})

    def test_ipv6(self) -> None:
        """An IPv6 literal has its brackets, with and without port."""
        self.assert_host({"ws://[::1]": "[::1]", "ws://[::1]:80": "[::1]"})
        self.assert_host({"ws://[::1]:81": "[::1]:81", "wss://[2001:db8::7]": "[2001:db8::7]"})

    def test_ipv6_zone(self) -> None:
        """A zone is left out: it means nothing to the server (RFC 6874 section 4)."""
        self.assert_host({"ws://[fe80::1%25eth0]": "[fe80::1]"})
        self.assert_host({"ws://[fe80::1%eth0]:81": "[fe80::1]:81"})

    def test_international_name(self) -> None:
        """An international name has its ASCII form."""
        self.assert_host({"ws://bücher.example": "xn--bcher-kva.example"})
        self.assert_host({"ws://bücher.example:81": "xn--bcher-kva.example:81"})

    def test_no_credentials(self) -> None:
        """User name and password are left out."""
        self.assert_host({"ws://u:p@h/": "h", "ws://u@h:81/": "h:81", "ws://u:p@[::1]": "[::1]"})


class CredentialsTests(SynchronousTestCase):
    """User name and password in the URL."""

    def test_basic_authorization(self) -> None:
        """They are sent as one Basic Authorization header, and nowhere else."""
        conn = wsx.Conn(f"ws://user:{SECRET}@h/path?q")
        self.assertEqual(credentials_of(conn.url), [f"user:{SECRET}".encode()])
        line, headers = request_of(conn)
        self.assertNotIn(SECRET, line + repr(headers))

    def test_none(self) -> None:
        """A URL without them sends no Authorization header."""
        self.assertEqual(header_of(wsx.Conn(URL), "authorization"), [])

    def test_percent_decoded(self) -> None:
        """Percent-encoded characters are decoded once."""
        cases = {
            "ws://us%40er:p%3Aw@h/": b"us@er:p:w",
            "ws://u:a%2Fb%3Fc%23d@h/": b"u:a/b?c#d",
            "ws://u:%2520@h/": b"u:%20",
            "ws://u:a%20b@h/": b"u:a b",
            "ws://u:%5B%5D@h/": b"u:[]",
            "ws://u:%C3%A9@h/": "u:é".encode(),
        }
        for url, expected in cases.items():
            with case(url):
                self.assertEqual(credentials_of(url), [expected])

    def test_special_characters(self) -> None:
        """Characters that need no encoding are kept."""
        cases = {
            "ws://u:a+b@h/": b"u:a+b",
            "ws://u:a:b:c@h/": b"u:a:b:c",
            "ws://u:!$&'()*,;=-._~@h/": b"u:!$&'()*,;=-._~",
            "ws://a@b:c@h/": b"a@b:c",
            "ws://ü:é@h/": "ü:é".encode(),
        }
        for url, expected in cases.items():
            with case(url):
                self.assertEqual(credentials_of(url), [expected])

    def test_parts_left_out(self) -> None:
        """The password can be missing or empty, and the name can be empty."""
        cases = {"ws://u@h/": b"u:", "ws://u:@h/": b"u:", "ws://:p@h/": b":p"}
        for url, expected in cases.items():
            with case(url):
                self.assertEqual(credentials_of(url), [expected])

    def test_bytes_outside_utf8(self) -> None:
        """A percent-encoded byte that is not UTF-8 is sent or refused, but never replaced."""
        try:
            sent = credentials_of("ws://u:%FF@h/")
        except wsx.URLError:
            return
        self.assertEqual(sent, [b"u:\xff"])

    def test_own_authorization_wins(self) -> None:
        """An Authorization header in ``extra_headers`` replaces the credentials of the URL."""
        conn = wsx.Conn("ws://u:p@h/", extra_headers={"authorization": "Bearer x"})
        self.assertEqual(header_of(conn, "authorization"), ["Bearer x"])


class RequestTargetTests(SynchronousTestCase):
    """The request target: path and query."""

    def assert_targets(self, cases: dict[str, str]) -> None:
        """Assert that each URL leads to this request target."""
        for url, target in cases.items():
            with case(url):
                self.assertEqual(target_of(url), target)

    def test_kept(self) -> None:
        """Characters that are encoded already or need no encoding are kept."""
        for target in (
            "/a/b.c",
            "/a%2Fb%20c",
            "/a;b=c,d",
            "/?a=b&c=d",
            "/p?x=%C3%A9",
            "/~user/-_.!$&'()*+,;=:@",
            "/?a=/?:@",
            "//a//b",
            "/a/../b",
            "/?a=b=c&&",
        ):
            with case(target):
                self.assertEqual(target_of(f"ws://h{target}"), target)

    def test_international(self) -> None:
        """Characters outside ASCII are percent-encoded as UTF-8."""
        self.assert_targets(
            {"ws://h/é": "/%C3%A9", "ws://h/?q=€": "/?q=%E2%82%AC", "ws://h/\u00a0": "/%C2%A0"}
        )

    def test_not_allowed_in_a_request_line(self) -> None:
        """Characters that are not allowed in a request line are percent-encoded."""
        self.assert_targets({'ws://h/"<>{}|\\^`': "/%22%3C%3E%7B%7D%7C%5C%5E%60"})

    def test_empty_query(self) -> None:
        """An empty query is left out (RFC 6455 section 3)."""
        self.assert_targets({"ws://h/p?": "/p", "ws://h?": "/"})

    def test_request_is_ascii(self) -> None:
        """For any URL, the request line is ASCII and has exactly two spaces."""
        line = request_of(wsx.Conn("ws://bücher.example/ü%20€?ß=\u2028"))[0]
        self.assertTrue(line.isascii())
        self.assertEqual(line.count(" "), 2)


class HeaderTests(SynchronousTestCase):
    """``extra_headers``."""

    def test_forms(self) -> None:
        """Pairs, a mapping, an iterator and bytes lead to the same headers."""
        pairs = [("X-A", "1"), ("X-B", "2")]
        forms: list[Any] = [
            pairs,
            tuple(pairs),
            dict(pairs),
            iter(pairs),
            [list(pair) for pair in pairs],
            [(b"X-A", b"1"), ("X-B", b"2")],
            {b"X-A": b"1", b"X-B": "2"},
        ]
        for form in forms:
            with case(form):
                sent = request_of(wsx.Conn(URL, extra_headers=form))[1]
                self.assertEqual([pair for pair in sent if pair[0].startswith("X-")], pairs)

    def test_default(self) -> None:
        """By default, no header is added."""
        self.assertEqual(wsx.Conn(URL).extra_headers, ())

    def test_duplicates(self) -> None:
        """A header can be given twice; both are sent, in order."""
        conn = wsx.Conn(URL, extra_headers=[("X-A", "1"), ("X-B", "2"), ("X-A", "3")])
        self.assertEqual(header_of(conn, "x-a"), ["1", "3"])

    def test_latin_1(self) -> None:
        """Bytes and characters of ISO-8859-1 are sent unchanged."""
        conn = wsx.Conn(URL, extra_headers=[("X-A", "é"), ("X-B", b"\xe9")])
        head = handshake.format_opening_request(conn, "a key", None, "an agent")
        self.assertIn(b"X-A: \xe9\r\n", head)
        self.assertIn(b"X-B: \xe9\r\n", head)

    def test_injection(self) -> None:
        """CR, LF and NUL in a name or value raise ValueError, in str and bytes."""
        for character in ("\r", "\n", "\0", "\r\n", "\r\nX-B: y"):
            for text in (f"a{character}b", f"{character}b", f"a{character}"):
                for pair in (
                    (text, "v"),
                    ("N", text),
                    (text.encode(), b"v"),
                    (b"N", text.encode()),
                ):
                    with case(pair):
                        self.assertRaises(ValueError, wsx.Conn, URL, extra_headers=[pair])
                        self.assertRaises(ValueError, wsx.Conn, URL, extra_headers=dict([pair]))

    def test_bad_names(self) -> None:
        """A name must be a token (RFC 9110 section 5.1)."""
        for name in ("", "a b", "a:", "é", " a", "a\t", "(a)", "a,b", b"\xe9"):
            with case(name):
                self.assertRaises(ValueError, wsx.Conn, URL, extra_headers=[(name, "v")])

    def test_bad_types(self) -> None:
        """Names and values must be str or bytes."""
        for pair in (("a", 1), ("a", None), (1, "a"), ("a", ["b"])):
            with case(pair):
                self.assertRaises(ValueError, wsx.Conn, URL, extra_headers=[pair])

    def test_outside_latin_1(self) -> None:
        """A value that is not ISO-8859-1 raises ValueError at construction."""
        self.assertRaises(ValueError, wsx.Conn, URL, extra_headers={"X-A": "€"})

    def test_error_hides_the_value(self) -> None:
        """The error for a bad value names the header and does not show the value."""
        for value in (f"{SECRET}\r\n", f"{SECRET}€", f"{SECRET}\0"):
            with case(value):
                error = self.assertRaises(
                    ValueError, wsx.Conn, URL, extra_headers={"Authorization": value}
                )
                self.assertIn("Authorization", str(error))
                self.assertNotIn(SECRET, str(error))


class OptionTests(SynchronousTestCase):
    """The options' defaults, and which values are refused."""

    def assert_refused(self, **option: Any) -> None:
        """Assert that construction and ``replace`` raise ValueError."""
        with case(option):
            self.assertRaises(ValueError, wsx.Conn, URL, **option)
            self.assertRaises(ValueError, wsx.Conn(URL).replace, **option)

    def test_defaults(self) -> None:
        """Every option of the design has its default."""
        conn = wsx.Conn(URL)
        self.assertEqual({name: getattr(conn, name) for name in DEFAULTS}, DEFAULTS)

    def test_accepted(self) -> None:
        """Every option accepts the values in the design."""
        creator = optionsForClientTLS("h.test")
        values: dict[str, list[Any]] = {
            "subprotocols": [["a", "b"], ("a",), ["v1.json+x"]],
            "socket_connect_timeout": [0.1, 1, 600],
            "socket_recv_timeout": [0.1, 1],
            "close_timeout": [0.1, 1],
            "insecure": [True, False],
            "cacerts": [b"PEM", "/a/path", None],
            "ssl_options": [None, {}, {"server_name": "x"}, creator],
            "endpoint": ["tcp:h.test:80", TCP4ClientEndpoint(Clock(), "h.test", 80), None],
            "proxy": ["http://p:1", "http://u:p@p:1", "http://[::1]:1", None],
            "compression": ["deflate", None],
            "max_message_size": [1, 2**40, None],
            "max_header_size": [1000],
            "ping_interval": [0.5, 1, None],
            "ping_timeout": [0.5, 1, None],
            "data_timeout": [0.5, 1, None],
        }
        for name, accepted in values.items():
            for value in accepted:
                with case((name, value)):
                    found = getattr(wsx.Conn(URL, **{name: value}), name)
                    self.assertEqual(found, tuple(value) if name == "subprotocols" else value)

    def test_bad_numbers(self) -> None:
        """Times and sizes must be finite numbers above 0."""
        for name in NUMBERS:
            for value in (-1, -0.5, float("nan"), float("inf"), "5", True, [5], b"5"):
                self.assert_refused(**{name: value})

    def test_zero(self) -> None:
        """Zero is refused for timeouts and limits."""
        for name in NUMBERS:
            if name != "close_timeout":
                self.assert_refused(**{name: 0})

    def test_none(self) -> None:
        """Only options that can be switched off accept None."""
        for name in NUMBERS:
            with case(name):
                if name in MAY_BE_NONE:
                    options: dict[str, Any] = {name: None}
                    self.assertIsNone(getattr(wsx.Conn(URL, **options), name))
                else:
                    self.assertRaises(ValueError, wsx.Conn, URL, **{name: None})

    def test_unknown_option(self) -> None:
        """An unknown option raises TypeError."""
        self.assertRaises(TypeError, wsx.Conn, URL, timeout=5)

    def test_positional_option(self) -> None:
        """Options are keywords, so that a list of headers is never taken for another option."""
        self.assertRaises(TypeError, wsx.Conn, URL, [("X-A", "1")])

    def test_bad_subprotocols(self) -> None:
        """Subprotocols must be distinct tokens (RFC 6455 section 4.1)."""
        for value in ("chat", [""], ["a b"], ["a,b"], ["a\r\nX: y"], ["é"], [b"a"], [1]):
            self.assert_refused(subprotocols=value)
        self.assert_refused(subprotocols=["a", "b", "a"])

    def test_subprotocols_in_order(self) -> None:
        """Subprotocols are offered in the given order."""
        conn = wsx.Conn(URL, subprotocols=["b", "a"])
        self.assertEqual(header_of(conn, "sec-websocket-protocol"), ["b, a"])

    def test_compression(self) -> None:
        """The only compression is deflate."""
        for value in ("gzip", "", True, "DEFLATE", ["deflate"]):
            self.assert_refused(compression=value)

    def test_ssl_options(self) -> None:
        """All keys of the design can be used together."""
        options: wsx.SSLOptions = {
            "certificate": "/cert.pem",
            "private_key": b"PEM",
            "server_name": "other.test",
            "minimum_version": "TLSv1.3",
            "alpn": ["http/1.1"],
        }
        self.assertEqual(dict(wsx.Conn(URL, ssl_options=options).ssl_options), options)
        wsx.Conn(URL, ssl_options={"minimum_version": "TLSv1.2"})

    def test_bad_ssl_options(self) -> None:
        """An unknown key, another TLS version, and a key without a certificate are refused."""
        for value in (
            {"verify": False},
            {"server_name": "x", "cert": "y"},
            {"minimum_version": "TLSv1.1"},
            {"minimum_version": "SSLv3"},
            {"minimum_version": None},
            {"private_key": b"PEM"},
        ):
            self.assert_refused(ssl_options=value)

    def test_ssl_options_of_another_type(self) -> None:
        """A value that is neither a mapping nor a connection creator is refused at construction."""
        for value in (5, "TLSv1.3", ["server_name"], object()):
            with case(value):
                self.assertRaises((TypeError, ValueError), wsx.Conn, URL, ssl_options=value)

    def test_bad_proxy(self) -> None:
        """A proxy must have the form ``http://[user:password@]host:port``."""
        for value in (
            "p:3128",
            "https://p:1",
            "ws://p:1",
            "socks5://p:1",
            "http://",
            "http://p:0",
            "http://p:x",
            "http://p:1/path",
            "http://p:1/?q",
            "http://p:1#f",
            "",
            5,
            b"http://p:1",
        ):
            with case(value):
                error = self.assertRaises(wsx.URLError, wsx.Conn, URL, proxy=value)
                self.assertEqual(error.url, value)

    def test_proxy_parts(self) -> None:
        """A proxy's parts are parsed like those of a URL."""
        parsed = parse_proxy("http://us%40er:p%3Aw@[::1]:3128")
        self.assertEqual((parsed.host, parsed.port), ("::1", 3128))
        self.assertEqual((parsed.username, parsed.password), ("us@er", "p:w"))


PEM = "PEM as bytes or a path"


class MessageTests(SynchronousTestCase):
    """The error for a wrong option names it, the expectation, and the value or its type."""

    @each(
        [
            ("time", {"ping_interval": "x"}, 'ping_interval: expected {number} or None, got "x"'),
            ("no time", {"close_timeout": None}, "close_timeout: expected {number}, got None"),
            ("size", {"max_header_size": 0}, "max_header_size: expected {size}, got 0"),
            (
                "limit",
                {"max_message_size": -1},
                "max_message_size: expected {size} or None, got -1",
            ),
            ("flag", {"insecure": 1}, "insecure: expected True or False, got 1"),
            (
                "compression",
                {"compression": "gzip"},
                'compression: expected "deflate" or None, got "gzip"',
            ),
            (
                "endpoint",
                {"endpoint": 5},
                "endpoint: expected a client endpoint, its string description or None, got 5",
            ),
            (
                "subprotocols",
                {"subprotocols": "chat"},
                "subprotocols: expected a list of str, got str",
            ),
            (
                "subprotocol",
                {"subprotocols": ["a b"]},
                'subprotocols: expected names without spaces and separators, got "a b"',
            ),
            (
                "subprotocol twice",
                {"subprotocols": ["a", "a"]},
                "subprotocols: expected each name once, got ['a', 'a']",
            ),
        ]
    )
    def test_option(self, label: str, option: dict[str, Any], message: str) -> None:
        """The value is shown."""
        error = self.assertRaises(ValueError, wsx.Conn, URL, **option)
        words = {"number": "a number above 0", "size": "a number of bytes above 0"}
        self.assertEqual(str(error), message.format(**words))

    @each(
        [
            (
                "type",
                5,
                "cacerts: expected PEM as bytes, a path or a list of these that is not empty, "
                "got int",
            ),
            ("text", f"-----BEGIN {SECRET}", f"cacerts: expected {PEM}, got PEM as a str"),
            ("item", [b"PEM", 5], f"cacerts: expected {PEM}, got int"),
        ]
    )
    def test_cacerts(self, label: str, value: Any, message: str) -> None:
        """For PEM data only the type is shown."""
        error = self.assertRaises(ValueError, wsx.Conn, URL, cacerts=value)
        self.assertEqual(str(error), message)

    @each(
        [
            (
                "type",
                5,
                "ssl_options: expected a mapping or an IOpenSSLClientConnectionCreator, got int",
            ),
            (
                "key",
                {"verify": SECRET},
                "ssl_options: expected keys among certificate, private_key, server_name, "
                'minimum_version, alpn, got "verify"',
            ),
            (
                "private key",
                {"certificate": b"PEM", "private_key": f"-----BEGIN {SECRET}"},
                f"ssl_options private_key: expected {PEM}, got PEM as a str",
            ),
            (
                "no certificate",
                {"private_key": SECRET},
                "ssl_options: private_key requires certificate",
            ),
            ("server name", {"server_name": 5}, "ssl_options server_name: expected a str, got 5"),
            ("alpn", {"alpn": "h"}, 'ssl_options alpn: expected a list of str, got "h"'),
            (
                "version",
                {"minimum_version": "SSLv3"},
                'ssl_options minimum_version: expected "TLSv1.2" or "TLSv1.3", got "SSLv3"',
            ),
        ]
    )
    def test_ssl_options(self, label: str, value: Any, message: str) -> None:
        """The key of the mapping is named; a value that may be a secret is not shown."""
        error = self.assertRaises(ValueError, wsx.Conn, URL, ssl_options=value)
        self.assertEqual(str(error), message)

    @each(
        [
            ("no pairs", 5, "extra_headers: expected a mapping or a list of pairs, got int"),
            ("no pair", [SECRET], "extra_headers: expected a mapping or a list of pairs, got list"),
            ("name", [("\u20ac", SECRET)], '{name}, got "\u20ac"'),
            (
                "value in the name",
                [(f"Authorization: {SECRET}", "")],
                '{name}, got "Authorization" followed by ":" or white space',
            ),
            (
                "type of the name",
                [(5, SECRET)],
                "extra_headers: expected names of type str or bytes, got int",
            ),
            (
                "type of the value",
                [("X-A", [SECRET])],
                "header X-A: expected a value of type str or bytes, got list",
            ),
            (
                "line feed",
                [("X-A", f"{SECRET}\n")],
                "header X-A: expected a value without CR, LF and NUL",
            ),
            (
                "character",
                [("X-A", f"{SECRET}\u20ac")],
                "header X-A: expected a value in ISO-8859-1",
            ),
            ("own", [("Upgrade", SECRET)], "header Upgrade: set by wsx and cannot be replaced"),
            (
                "own with an option",
                [("sec-websocket-protocol", SECRET)],
                "header sec-websocket-protocol: set by wsx and cannot be replaced; "
                "use the option subprotocols",
            ),
        ]
    )
    def test_headers(self, label: str, headers: Any, message: str) -> None:
        """The value of a header is never shown."""
        error = self.assertRaises(ValueError, wsx.Conn, URL, extra_headers=headers)
        name = "extra_headers: expected names without separators (RFC 9110 section 5.1)"
        self.assertEqual(str(error), message.format(name=name))

    def test_replace_parsed(self) -> None:
        """Attributes that are derived from the URL cannot be replaced."""
        error = self.assertRaises(TypeError, wsx.Conn(URL).replace, parsed=None)
        message = "parsed: cannot be replaced, because it is derived from url"
        self.assertEqual(str(error), message)


class ImmutabilityTests(SynchronousTestCase):
    """A Conn is immutable."""

    def test_fields(self) -> None:
        """No field can be set or deleted, and none can be added."""
        conn = wsx.Conn(URL)
        names = [f.name for f in dataclasses.fields(conn)]
        # CPython 3.11 raises a TypeError for the last one.
        with self.assertRaises((AttributeError, TypeError)):
            conn.other = "x"  # type: ignore[attr-defined]
        for name in names:
            with case(name):
                self.assertRaises(AttributeError, setattr, conn, name, "x")
        for name in names:
            with case(name):
                self.assertRaises(AttributeError, delattr, conn, name)

    def test_sequences_are_copied(self) -> None:
        """Changing the headers or subprotocols afterwards has no effect."""
        headers, mapping, names = [("X-A", "1")], {"X-A": "1"}, ["a"]
        conns = [
            wsx.Conn(URL, extra_headers=headers, subprotocols=names),
            wsx.Conn(URL, extra_headers=mapping, subprotocols=names),
        ]
        headers.clear()
        mapping.clear()
        names.clear()
        for conn in conns:
            self.assertEqual(conn.extra_headers, (("X-A", "1"),))
            self.assertEqual(tuple(conn.subprotocols), ("a",))

    def test_ssl_options_are_copied(self) -> None:
        """Changing the ``ssl_options`` afterwards has no effect."""
        options: wsx.SSLOptions = {"server_name": "a.test"}
        conn = wsx.Conn(URL, ssl_options=options)
        options["server_name"] = "b.test"
        self.assertEqual(conn.ssl_options["server_name"], "a.test")

    def test_cacerts_are_copied(self) -> None:
        """Changing the list of ``cacerts`` afterwards has no effect."""
        cacerts = [b"PEM"]
        conn = wsx.Conn(URL, cacerts=cacerts)
        cacerts.clear()
        self.assertEqual(list(conn.cacerts), [b"PEM"])

    def test_replace(self) -> None:
        """``replace`` returns a changed copy and keeps the original."""
        conn = wsx.Conn(URL, ping_interval=7.0, extra_headers={"X-A": "1"})
        changed = conn.replace(url="wss://other.test:81/x", close_timeout=1.0)
        self.assertIsNot(changed, conn)
        self.assertEqual((changed.url, changed.close_timeout), ("wss://other.test:81/x", 1.0))
        self.assertEqual((changed.ping_interval, changed.extra_headers), (7.0, (("X-A", "1"),)))
        self.assertEqual((conn.url, conn.close_timeout), (URL, 5.0))

    def test_replace_reads_the_new_url(self) -> None:
        """Everything that is derived from the URL is derived from the new one."""
        changed = wsx.Conn("ws://u:p@a.test/x").replace(url="wss://b.test:81/y")
        self.assertEqual((changed.parsed.host, changed.parsed.port), ("b.test", 81))
        self.assertEqual(header_of(changed, "host"), ["b.test:81"])
        self.assertEqual(header_of(changed, "authorization"), [])

    def test_replace_without_changes(self) -> None:
        """A copy without changes is equal."""
        conn = wsx.Conn(URL, subprotocols=["a"], compression="deflate")
        self.assertEqual(conn.replace(), conn)
        self.assertNotEqual(conn.replace(compression=None), conn)

    def test_replace_checks(self) -> None:
        """``replace`` refuses what the constructor refuses."""
        conn = wsx.Conn(URL)
        self.assertRaises(wsx.URLError, conn.replace, url="nonsense")
        self.assertRaises(ValueError, conn.replace, extra_headers={"X": "\r\n"})
        self.assertRaises(TypeError, conn.replace, nonsense=1)


class AnswerTests(SynchronousTestCase):
    """The server's response in a Conn."""

    HEADERS = (("Set-Cookie", "a"), ("X-A", "é"), ("set-cookie", "b"))

    def test_nothing_before_the_handshake(self) -> None:
        """A new Conn has no response."""
        conn = wsx.Conn(URL)
        known = (conn.resp_headers, conn.resp_status, conn.subprotocol, conn.extensions, conn.peer)
        self.assertEqual(known, ((), None, None, (), None))

    def test_resp_header(self) -> None:
        """Header names are case-insensitive; a missing header is None."""
        conn = wsx.Conn(URL).replace(resp_headers=self.HEADERS, resp_status=101)
        for name in ("x-a", "X-A", "x-A"):
            self.assertEqual(conn.resp_header(name), "é")
        self.assertEqual(conn.resp_header("SET-COOKIE"), "a")
        self.assertIsNone(conn.resp_header("X-B"))

    def test_resp_headers(self) -> None:
        """Order and duplicates of the headers are kept."""
        conn = wsx.Conn(URL).replace(resp_headers=self.HEADERS, resp_status=101)
        self.assertEqual(tuple(conn.resp_headers), self.HEADERS)

    def test_without_answer(self) -> None:
        """The Conn for the next attempt has no response."""
        conn = wsx.Conn(URL, ping_interval=7.0)
        answered = conn.replace(
            resp_headers=self.HEADERS, resp_status=101, subprotocol="a", extensions=("x",), peer="p"
        )
        self.assertEqual(answered.without_answer(), conn)
