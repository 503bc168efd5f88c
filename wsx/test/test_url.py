"""Tests of wsx._url: what the messages about a wrong URL show.

The rules for URLs are tested in ``test_conn``, through ``wsx.Conn``.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._url import parse_proxy, parse_url
from wsx.test.support.each import each

SECRET = "s3cr3t"
SCHEMES = "(expected ws, wss, http or https)"
CREDENTIALS = "user name or password"


class MessageTests(SynchronousTestCase):
    """The text of a URLError shows the redacted URL and what is wrong with it."""

    @each(
        [
            ("scheme", "ftp://host/", f'"ftp://host/": unknown scheme "ftp" {SCHEMES}'),
            ("no scheme", "h.test/p", f'"h.test/p": no scheme {SCHEMES}'),
            ("no host", "ws:///p", '"ws:///p": no host'),
            ("port", "ws://h:99999", '"ws://h:99999": invalid port (expected 1 to 65535)'),
            ("port 0", "ws://h:0", '"ws://h:0": invalid port (expected 1 to 65535)'),
            ("host name", "ws://a,b/", '"ws://a,b/": invalid host name'),
            ("IPv6", "ws://[::1]x/", '"ws://[::1]x/": invalid IPv6 address'),
            ("brackets", "ws://[::1", '"ws://[::1": invalid IPv6 address'),
            ("text before brackets", "ws://a[b]/", '"ws://a[b]/": invalid IPv6 address'),
            (
                "space",
                "ws://h/a b",
                '"ws://h/a b": spaces and control characters must be percent-encoded',
            ),
            (
                "control character",
                "ws://h/\x1b[2J",
                r'"ws://h/\x1b[2J": spaces and control characters must be percent-encoded',
            ),
            ("surrogate", "ws://h/\ud800", r'"ws://h/\ud800": cannot be parsed as a URL'),
            (
                "fragment",
                f"ws://h/?t={SECRET}#{SECRET}",
                '"ws://h/?t=...#...": a WebSocket URL has no fragment (RFC 6455 section 3)',
            ),
            ("UTF-8", "ws://u:%FF@h/", f'"ws://u:...@h/": {CREDENTIALS} is not UTF-8'),
            ("LF", "ws://u:%0A@h/", f'"ws://u:...@h/": {CREDENTIALS} contains CR, LF or NUL'),
            ("password", f"ftp://u:{SECRET}@h", f'"ftp://u:...@h": unknown scheme "ftp" {SCHEMES}'),
        ]
    )
    def test_url(self, label: str, url: str, message: str) -> None:
        """The message shows the redacted URL and the rule that it breaks."""
        error = self.assertRaises(wsx.URLError, parse_url, url)
        self.assertEqual(str(error), f"URL {message}")
        self.assertEqual((error.url, error.subject), (url, "URL"))

    @each([("int", 5), ("NoneType", None), ("bytes", f"ws://u:{SECRET}@h/".encode())])
    def test_other_type(self, name: str, url: object) -> None:
        """For a value that is not a str, the type is shown."""
        error = self.assertRaises(wsx.URLError, parse_url, url)
        self.assertEqual(str(error), f"URL: expected a str, got {name}")

    @each(
        [
            (
                "scheme",
                f"socks5://u:{SECRET}@p:1",
                '"socks5://u:...@p:1": expected http://[user:password@]host:port',
            ),
            ("path", "http://p:1/x", '"http://p:1/x": expected http://[user:password@]host:port'),
            ("port", "http://p:0", '"http://p:0": invalid port (expected 1 to 65535)'),
            ("no host", "http://", '"http://": no host'),
        ]
    )
    def test_proxy(self, label: str, proxy: str, message: str) -> None:
        """The message about a wrong proxy says so."""
        error = self.assertRaises(wsx.URLError, parse_proxy, proxy)
        self.assertEqual(str(error), f"proxy {message}")
        self.assertEqual((error.url, error.subject), (proxy, "proxy"))

    def test_proxy_of_another_type(self) -> None:
        """A proxy that is not a str is refused with its type."""
        error = self.assertRaises(wsx.URLError, parse_proxy, 5)
        self.assertEqual(str(error), "proxy: expected a str, got int")

    def test_long_url(self) -> None:
        """A long URL is truncated."""
        error = self.assertRaises(wsx.URLError, parse_url, f"ftp://h/{'x' * 100_000}")
        self.assertLess(len(str(error)), 400)
