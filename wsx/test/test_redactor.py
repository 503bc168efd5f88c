"""Tests of wsx._redactor: secrets of a request in text of its response."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from wsx._redactor import Redactor
from wsx.test.support.each import each

SECRET = "s3cr3t"


class TextTests(SynchronousTestCase):
    """``text`` hides secrets of the request."""

    @each(
        [
            ("pair", "token=abc", "no /feed?token=abc here", "no /feed?token=... here"),
            ("short value alone", "v=1", "error 1 in v=1", "error 1 in v=..."),
            ("part of a word", "v=1", "v=10", "v=10"),
            ("long value alone", f"v={SECRET}", f"bad {SECRET}!", "bad ...!"),
            ("secret name", "token=abc", "bad abc", "bad ..."),
            ("secret name, in a word", "token=abc", "abcde", "abcde"),
            ("no name", SECRET, f"?{SECRET}", "?..."),
            ("HTML", "a=1&b=2", "a=1&amp;b=2", "a=...&amp;b=..."),
            ("JSON", "a=1&b=2", "a=1\\u0026b=2", "a=...\\u0026b=..."),
            ("decoded", "k=a%2Fb%20c", "k=a/b c", "k=..."),
            ("plus", "k=a+b", "k=a b", "k=..."),
            ("encoded", "token=a/bc", "next=token%3Da%2Fbc", "next=token%3D..."),
            ("UTF-8 as Latin-1", "token=%C3%A9%C3%A9%C3%A9", "Ã©Ã©Ã©", "..."),
            ("nothing", "", "v=1", "v=1"),
            ("encoded JWT", "", "t%3DeyJhb.eyJzd.c2ln", "t%3D..."),
        ]
    )
    def test_query(self, label: str, query: str, text: str, shown: str) -> None:
        """Values of the query are hidden beside their names, and long ones alone as well."""
        self.assertEqual(Redactor(query).text(text), shown)

    def test_credentials(self) -> None:
        """Passwords are hidden, and the value of a Basic Authorization header."""
        redactor = Redactor(credentials=[("u", "pass")])
        self.assertEqual(redactor.text("u pass dTpwYXNz"), "u ... ...")

    def test_token_as_user_name(self) -> None:
        """A user name that looks like a token is hidden; another one is not."""
        token = "zqQ7xK2mB9vT4nR8"
        for credentials in ([(token, "")], [(token, "password")]):
            self.assertEqual(Redactor(credentials=credentials).text(f"no {token}"), "no ...")
        self.assertEqual(Redactor(credentials=[("admin", "")]).text("no admin"), "no admin")

    @each(
        [
            ("whole", "X-Key", "abc", "abc", "..."),
            ("scheme", "Authorization", "Bearer abc", "abc and Bearer abc", "... and ..."),
            ("scheme alone", "Authorization", "Bearer abc", "Bearer", "Bearer"),
            ("cookie", "Cookie", "a=b; sid=12345678", "sid is 12345678", "sid is ..."),
            ("not secret", "X-User", "abcdefghij", "abcdefghij", "abcdefghij"),
        ]
    )
    def test_headers(self, label: str, name: str, value: str, text: str, shown: str) -> None:
        """The values of secret headers are hidden, whole and in parts."""
        self.assertEqual(Redactor(headers=[(name, value)]).text(text), shown)

    def test_secret_headers(self) -> None:
        """More names can be secret, in any case."""
        redactor = Redactor(headers=[("X-User", SECRET)], secret_headers=["x-USER"])
        self.assertEqual(redactor.text(SECRET), "...")

    def test_subprotocols(self) -> None:
        """A subprotocol that looks like a token is hidden, another one is not."""
        redactor = Redactor(subprotocols=["chat", "auth-abc"])
        self.assertEqual(redactor.text("chat auth-abc"), "chat ...")

    def test_json_web_token(self) -> None:
        """A JSON Web Token is hidden, even if the request had none."""
        self.assertEqual(Redactor().text("bad eyJhbGci.eyJzdWIi.c2ln!"), "bad ...!")

    @each(["eyJ", "eyJ-", "eyJa.", "%3DeyJ", "a1", "="])
    def test_time(self, part: str) -> None:
        """The time is linear in the length of the text; quadratic time would be several seconds."""
        text = part * (60_000 // len(part))
        redactor = Redactor("token=abc&v=1")
        start = time.process_time()
        redactor.text(text)
        redactor.challenge("WWW-Authenticate", text)
        redactor.location(text)
        self.assertLess(time.process_time() - start, 2)


class HeaderTests(SynchronousTestCase):
    """Headers of the response."""

    @each(
        [
            ("X-A", f"/p?v={SECRET}", "/p?v=..."),
            ("Set-Cookie", "abc", "..."),
            ("x-user", "abc", "..."),
            ("Location", "https://u:p@h/?q=zzz#f", "https://u:...@h/?q=...#..."),
            ("Sec-WebSocket-Protocol", "auth-abc", "..."),
            ("Sec-WebSocket-Protocol", "chat", "chat"),
        ]
    )
    def test_header(self, name: str, value: str, shown: str) -> None:
        """A header is hidden by its name, or shown without the secrets in it."""
        redactor = Redactor(f"v={SECRET}", secret_headers=["X-User"])
        self.assertEqual(redactor.header(name, value), (name, shown))

    def test_challenge(self) -> None:
        """A challenge is shown without tokens, unless its name was declared secret."""
        value = 'Bearer realm="x", Negotiate YIIZ1b2XkQ9aB3cD5eF7'
        name = "WWW-Authenticate"
        self.assertEqual(Redactor().challenge(name, value), 'Bearer realm="x", Negotiate ...')
        self.assertEqual(Redactor(secret_headers=[name]).challenge(name, value), "...")

    def test_location(self) -> None:
        """A location is shown without secrets, unless its name was declared secret."""
        self.assertEqual(Redactor(f"v={SECRET}").location(f"/{SECRET}?a=b"), "/...?a=...")
        self.assertEqual(Redactor(secret_headers=["LOCATION"]).location("/a"), "...")

    def test_subprotocol_after_a_marker(self) -> None:
        """A subprotocol that follows ``access_token`` in the offer is hidden."""
        redactor = Redactor(subprotocols=["access_token", "abc", "chat"])
        self.assertEqual(redactor.subprotocol("abc"), "...")
        self.assertEqual(redactor.subprotocol("chat"), "chat")
