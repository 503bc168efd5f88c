"""Tests of how a Conn hides its secrets."""

from __future__ import annotations

import dataclasses
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.conn import parse_proxy
from wsx.test.support import case
from wsx.test.support.each import each

URL = "ws://h.test/"
SECRET = "s3cr3t"


def reachable(value: Any) -> list[Any]:
    """Return a value and everything that can be reached through attributes and items."""
    found: list[Any] = []
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if any(value is seen for seen in found):
            continue
        found.append(value)
        if isinstance(value, dict):
            waiting.extend([*value.keys(), *value.values()])
        elif isinstance(value, (tuple, list)):
            waiting.extend(value)
        elif dataclasses.is_dataclass(value):
            waiting.extend(getattr(value, field.name) for field in dataclasses.fields(value))
            waiting.extend(getattr(value, "__dict__", {}).values())
    return found


class RedactedTests(SynchronousTestCase):
    """``redacted`` returns a copy without secrets."""

    def assert_clean(self, conn: wsx.Conn, *secrets: str) -> wsx.Conn:
        """Assert that the secrets are in the Conn and not in its copy; return the copy."""
        own = [str(value) for value in reachable(conn)]
        copy = conn.redacted()
        for secret in secrets or (SECRET,):
            self.assertTrue(any(secret in text for text in own), "the secret is not in the Conn")
            for value in reachable(copy):
                self.assertNotIn(secret, str(value))
        self.assertEqual([str(value) for value in reachable(conn)], own, "the Conn was changed")
        return copy

    def test_walk(self) -> None:
        """The traversal of attributes finds values deep inside a Conn."""
        options: wsx.SSLOptions = {"certificate": "/c", "private_key": b"deep"}
        conn = wsx.Conn("ws://h.test/?a=b", extra_headers={"X-A": "header"}, ssl_options=options)
        for value in ("ws://h.test/?a=b", "/?a=b", "X-A", "header", "private_key", b"deep"):
            self.assertIn(value, reachable(conn))

    def test_password(self) -> None:
        """The URL's password is hidden, also a percent-encoded one; the rest is kept."""
        copy = self.assert_clean(wsx.Conn(f"wss://user:{SECRET}@h.test:81/path"))
        parsed = copy.parsed
        self.assertEqual((parsed.username, parsed.host, parsed.port), ("user", "h.test", 81))
        self.assertEqual((parsed.scheme, parsed.resource), ("wss", "/path"))
        self.assert_clean(wsx.Conn("ws://user:%73ecret%40@h.test/"), "%73ecret%40", "secret@")

    def test_odd_users(self) -> None:
        """A copy can be made for any user name that accompanies a password."""
        for user in ("", "a%40b", "a%3Ab", "%C3%A9", "%25"):
            with case(user):
                conn = wsx.Conn(f"ws://{user}:{SECRET}@h.test/")
                self.assertEqual(self.assert_clean(conn).parsed.username, conn.parsed.username)

    def test_query_values(self) -> None:
        """Query values are hidden, and so is a query without names; names are kept."""
        for query in (f"token={SECRET}", SECRET, f"a&{SECRET}", f"a=b;c={SECRET}", f"?{SECRET}"):
            with case(query):
                self.assert_clean(wsx.Conn(f"ws://h.test/p?{query}"))
        copy = wsx.Conn("ws://h.test/p?token=1&user=2").redacted()
        self.assertIn("token=", copy.url)
        self.assertIn("user=", copy.parsed.resource)

    def test_hosts(self) -> None:
        """The copy has the same host and port, of any kind."""
        for host in ("h.test", "h.test:81", "1.2.3.4", "[::1]", "[::1]:81", "bücher.test"):
            with case(host):
                conn = wsx.Conn(f"ws://user:{SECRET}@{host}/?t={SECRET}")
                copy = self.assert_clean(conn)
                self.assertEqual(copy.parsed.authority, conn.parsed.authority)

    def test_secret_headers(self) -> None:
        """Values of secret headers are hidden, whatever their case.

        Names and other headers are kept.
        """
        for name in ("Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie"):
            for spelling in (name, name.lower(), name.upper()):
                with case(spelling):
                    headers = [(spelling, f"Bearer {SECRET}"), ("X-A", "shown"), (spelling, SECRET)]
                    copy = self.assert_clean(wsx.Conn(URL, extra_headers=headers))
                    names = [name for name, _ in copy.extra_headers]
                    self.assertEqual(names, [spelling, "X-A", spelling])
                    self.assertIn(("X-A", "shown"), copy.extra_headers)

    def test_more_secret_headers(self) -> None:
        """``secret_headers`` hides more headers of the request and of the response, in any case."""
        headers = [("X-User", SECRET), ("X-A", "shown")]
        conn = wsx.Conn(URL, extra_headers=headers, secret_headers=["x-user", "X-TRACE"])
        conn = conn.replace(resp_headers=(("X-Trace", SECRET),), resp_status=101)
        copy = self.assert_clean(conn)
        self.assertEqual(copy.extra_headers, (("X-User", "..."), ("X-A", "shown")))
        self.assertEqual(copy.secret_headers, ("x-user", "X-TRACE"))

    def test_subprotocols(self) -> None:
        """Subprotocols that carry tokens are hidden in the offer and in the response."""
        names = [f"auth-{SECRET}", "chat", "access_token", f"x{SECRET}"]
        conn = wsx.Conn(URL, subprotocols=names)
        answer = (("Sec-WebSocket-Protocol", names[3]),)
        copy = self.assert_clean(conn.answered(answer, 101, names[3], (), None))
        self.assertEqual(copy.subprotocols, ("...", "chat", "access_token", "..."))
        self.assertEqual(copy.subprotocol, "...")

    def test_repeated_request(self) -> None:
        """Secrets of the request that the response repeats are hidden."""
        conn = wsx.Conn(f"ws://h.test/?token={SECRET}")
        self.assert_clean(conn.answered((("X-URI", f"/?token={SECRET}"),), 101, None, (), None))

    def test_response_headers(self) -> None:
        """Secret response headers are hidden; the rest of the response is kept."""
        headers = (("Set-Cookie", SECRET), ("Server", "shown"), ("set-cookie", f"a={SECRET}"))
        answer: Any = {
            "resp_status": 101,
            "subprotocol": "chat",
            "extensions": ("x",),
            "peer": "1:2",
        }
        conn = wsx.Conn(URL).replace(resp_headers=headers, **answer)
        copy = self.assert_clean(conn)
        self.assertEqual(copy.resp_header("server"), "shown")
        self.assertEqual({name: getattr(copy, name) for name in answer}, answer)

    def test_proxy_password(self) -> None:
        """The proxy's password is hidden; its user, host and port are kept."""
        for proxy in ("p.test:3128", "p.test", "[::1]:3128"):
            with case(proxy):
                copy = self.assert_clean(wsx.Conn(URL, proxy=f"http://user:{SECRET}@{proxy}"))
                self.assertIn("user", copy.proxy or "")
                self.assertEqual(
                    parse_proxy(copy.proxy or "").authority,
                    parse_proxy(f"http://{proxy}").authority,
                )

    def test_private_key(self) -> None:
        """Key and certificate, which may include a key, are hidden; other options are kept."""
        for certificate in (f"cert {SECRET}".encode(), f"/{SECRET}.pem"):
            options: wsx.SSLOptions = {
                "certificate": certificate,
                "private_key": SECRET.encode(),
                "server_name": "x.test",
                "alpn": ["h"],
            }
            copy = self.assert_clean(wsx.Conn(URL, ssl_options=options))
            self.assertEqual(copy.ssl_options["server_name"], "x.test")
            self.assertEqual(set(copy.ssl_options), set(options))

    def test_private_key_in_cacerts(self) -> None:
        """Trusted certificates are hidden, because such files may include a key."""
        for cacerts in (SECRET.encode(), [b"a", SECRET.encode()]):
            with case(cacerts):
                self.assert_clean(wsx.Conn(URL, cacerts=cacerts))

    def test_everything_at_once(self) -> None:
        """A Conn with each kind of secret is redacted completely and itself unchanged."""
        conn = wsx.Conn(
            "wss://user:url-password@h.test/p?token=query-value",
            extra_headers=[("Authorization", "auth-value"), ("cookie", "cookie-value")],
            proxy="http://user:proxy-password@p.test:1",
            ssl_options={"certificate": b"cert-pem", "private_key": b"key-pem"},
            compression="deflate",
        ).replace(resp_headers=(("set-cookie", "server-cookie"),), resp_status=101)
        copy = self.assert_clean(
            conn,
            "url-password",
            "query-value",
            "auth-value",
            "cookie-value",
            "proxy-password",
            "key-pem",
            "server-cookie",
        )
        self.assertEqual((copy.compression, copy.resp_status), ("deflate", 101))

    def test_repr(self) -> None:
        """The copy and the original have the same ``repr``."""
        for conn in (
            wsx.Conn(f"ws://u:{SECRET}@h.test/?a={SECRET}", extra_headers={"Cookie": SECRET}),
            wsx.Conn(URL, proxy=f"http://u:{SECRET}@p.test:1", cacerts=b"pem", ping_timeout=1.0),
            wsx.Conn(URL, ssl_options={"certificate": "/c", "private_key": "/k"}),
        ):
            with case(conn):
                self.assertEqual(repr(conn.redacted()), repr(conn))

    def test_twice(self) -> None:
        """Redacting a redacted copy does not change it."""
        copy = wsx.Conn(f"ws://u:{SECRET}@h.test/?a={SECRET}", cacerts=b"pem").redacted()
        self.assertEqual(copy.redacted(), copy)

    def test_nothing_to_hide(self) -> None:
        """Without a secret, ``redacted`` returns the Conn itself."""
        for conn in (
            wsx.Conn(URL),
            wsx.Conn("ws://user@h.test/p", extra_headers={"X-A": "b"}, proxy="http://p.test:1"),
            wsx.Conn(URL, ssl_options={"server_name": "x.test"}),
        ):
            with case(conn):
                self.assertIs(conn.redacted(), conn)


class ReprTests(SynchronousTestCase):
    """What ``repr`` shows, and what it hides."""

    def assert_hidden(self, conn: wsx.Conn, *shown: str) -> None:
        """Assert that no text of the Conn has the secret, and that its ``repr`` has the parts."""
        for text in (repr(conn), str(conn), f"{conn}", f"{conn!r:>5}"):
            self.assertNotIn(SECRET, text)
            for part in shown:
                self.assertIn(part, text)

    def test_password(self) -> None:
        """The URL's password is hidden; the rest of the URL is shown."""
        self.assert_hidden(
            wsx.Conn(f"wss://user:{SECRET}@h.test:81/path"), "user", "h.test:81/path"
        )

    def test_encoded_password(self) -> None:
        """Neither the encoded nor the decoded password is shown."""
        text = repr(wsx.Conn("ws://user:%73ecret%40@h.test/"))
        for part in ("%73", "ecret"):
            self.assertNotIn(part, text)

    def test_query_values(self) -> None:
        """Query values are hidden; their names are shown."""
        conn = wsx.Conn(f"ws://h.test/p?token={SECRET}&user={SECRET}={SECRET}&x=")
        self.assert_hidden(conn, "h.test/p", "token", "user")

    def test_query_without_names(self) -> None:
        """A query without names is hidden."""
        for query in (SECRET, f"a&{SECRET}", f"a=b;c={SECRET}", f"={SECRET}", f"?{SECRET}"):
            with case(query):
                self.assert_hidden(wsx.Conn(f"ws://h.test/?{query}"), "h.test")

    def test_secret_headers(self) -> None:
        """Authorization, Cookie and Proxy-Authorization are hidden, as str and as bytes."""
        for name in ("Authorization", "Cookie", "Proxy-Authorization"):
            for spelling in (name, name.lower(), name.upper(), name.encode()):
                for headers in ({spelling: f"Bearer {SECRET}"}, [(spelling, SECRET.encode())]):
                    with case(headers):
                        self.assert_hidden(wsx.Conn(URL, extra_headers=headers), "h.test")

    @each(["X-Api-Key", "X-CSRF-Token", "Client-Secret", "X-Password", "X-Hub-Signature-256"])
    def test_headers_that_are_secret_by_rule(self, name: str) -> None:
        """Headers with one of the words that Conn documents in their name are hidden."""
        self.assert_hidden(wsx.Conn(URL, extra_headers={name: SECRET}), name)
        headers = ((name, SECRET), ("Sec-WebSocket-Accept", "shown"), ("Keep-Alive", "shown too"))
        conn = wsx.Conn(URL).replace(resp_headers=headers, resp_status=101)
        self.assert_hidden(conn, name, "'shown'", "'shown too'")

    def test_other_headers(self) -> None:
        """Other headers are shown."""
        self.assertIn("visible", repr(wsx.Conn(URL, extra_headers={"X-A": "visible"})))

    def test_response_cookies(self) -> None:
        """The server's cookies are hidden in the copy that ``handle_connect`` receives."""
        headers = (("Set-Cookie", SECRET), ("Server", "visible"))
        conn = wsx.Conn(URL).replace(resp_headers=headers, resp_status=101)
        self.assert_hidden(conn, "visible")

    def test_proxy_password(self) -> None:
        """The proxy's password is hidden."""
        conn = wsx.Conn(URL, proxy=f"http://user:{SECRET}@p.test:3128")
        self.assert_hidden(conn, "user:", "p.test:3128")

    def test_private_key(self) -> None:
        """The private key is hidden; the name of the option is shown."""
        options: wsx.SSLOptions = {
            "certificate": "/c.pem",
            "private_key": SECRET.encode(),
            "server_name": "x.test",
        }
        self.assert_hidden(wsx.Conn(URL, ssl_options=options), "x.test")

    def test_private_key_in_the_certificate(self) -> None:
        """A PEM value with certificate and key is hidden."""
        pem = f"-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n{SECRET}".encode()
        self.assert_hidden(wsx.Conn(URL, ssl_options={"certificate": pem}), "h.test")

    def test_more_secret_headers(self) -> None:
        """Headers in ``secret_headers`` are hidden."""
        conn = wsx.Conn(URL, extra_headers={"X-User": SECRET}, secret_headers=["x-user"])
        self.assert_hidden(conn, "X-User", "secret_headers=('x-user',)")

    def test_subprotocols(self) -> None:
        """A subprotocol that carries a token is hidden."""
        self.assert_hidden(wsx.Conn(URL, subprotocols=[f"auth-{SECRET}", "chat"]), "'chat'")

    def test_long(self) -> None:
        """Each value is truncated to 75 characters, and the whole text to 2,000."""
        long = "x" * 60_000
        headers = tuple((f"X-{number}", long) for number in range(100))
        conn = wsx.Conn(f"ws://h.test/{long}", extra_headers=headers, subprotocols=[long])
        conn = conn.answered(headers, 101, long, (long,), long)
        self.assertLessEqual(len(repr(conn)), 2000)
        one = wsx.Conn(URL).answered((("X-A", long),), 101, None, (), None)
        self.assertLess(len(repr(one)), 200)
        many = wsx.Conn(URL).answered((("X-A", "b"),) * 12, 101, None, (), None)
        self.assertIn("... 2 more", repr(many))

    def test_escaped(self) -> None:
        """Control characters, bidirectional marks and separators are escaped."""
        hostile = "\x1b[31m\x07\x9b\u202e\u2028"
        conn = wsx.Conn(URL).answered((("X-A", hostile),), 101, hostile, (hostile,), hostile)
        self.assertTrue(repr(conn).isprintable())

    def test_parsed_url(self) -> None:
        """The result of ``parse_url`` hides the same parts."""
        parsed = wsx.Conn.parse_url(f"ws://user:{SECRET}@h.test/?token={SECRET}")
        self.assertNotIn(SECRET, repr(parsed))

    def test_options(self) -> None:
        """Options that differ from their default are shown, others are not."""
        text = repr(wsx.Conn(URL, ping_interval=7.5, compression="deflate"))
        self.assertIn("ping_interval=7.5", text)
        self.assertIn("compression='deflate'", text)
        self.assertNotIn("ping_timeout", text)
