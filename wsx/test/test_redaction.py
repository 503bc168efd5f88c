"""Tests of wsx._redaction: secret header names, and the visible parts of a URL."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._redaction import (
    is_secret_name,
    is_token_like,
    redact_header,
    redact_query,
    redact_subprotocols,
    redact_url,
    show_message,
)
from wsx.test.support.each import each

SECRET = "s3cr3t"


class SecretNameTests(SynchronousTestCase):
    """``is_secret_name`` decides by the words in a name."""

    @each(
        [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Auth",
            "X-Access-Token",
            "X-Api-Key",
            "Sec-WebSocket-Key",
            "Client-Secret",
            "X-Password",
            "X-Amz-Signature",
        ]
    )
    def test_secret(self, name: str) -> None:
        """A name with one of the words is secret, in any case."""
        for spelling in (name, name.lower(), name.upper()):
            self.assertIs(is_secret_name(spelling), True, spelling)

    @each(
        ["Sec-WebSocket-Accept", "Keep-Alive", "Host", "Server", "Location", "Retry-After", "X-A"]
    )
    def test_visible(self, name: str) -> None:
        """Any other name is not secret."""
        for spelling in (name, name.lower(), name.upper()):
            self.assertIs(is_secret_name(spelling), False, spelling)

    def test_redact_header(self) -> None:
        """The name of a header stays; its value is hidden if the name is secret."""
        self.assertEqual(redact_header("x-token", SECRET), ("x-token", "..."))
        self.assertEqual(redact_header("Server", "nginx"), ("Server", "nginx"))

    def test_more_names(self) -> None:
        """More names can be secret, in any case."""
        self.assertIs(is_secret_name("X-User", ["x-user"]), True)
        self.assertEqual(redact_header("x-USER", SECRET, ["x-user"]), ("x-USER", "..."))


class TokenTests(SynchronousTestCase):
    """``is_token_like`` and ``redact_subprotocols`` recognise credentials by their form."""

    @each(
        [
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "DEADBEEFDEADBEEF",
            "1234567890123456",
            "123e4567-e89b-12d3-a456-426614174000",
            "dGhlIHNhbXBsZSBub25jZQ==",
            "abc.aB3dE5gH7jK9mN1pQ3sT",
        ]
    )
    def test_tokens(self, text: str) -> None:
        """JSON Web Tokens, UUIDs, and long base64 or hexadecimal text look like tokens."""
        self.assertIs(is_token_like(text), True)
        self.assertEqual(redact_subprotocols(["chat", text]), ("chat", "..."))

    @each(
        [
            "chat",
            "graphql-transport-ws",
            "wamp.2.msgpack.batched",
            "v4.channel.k8s.io",
            "base64.channel.k8s.io",
            "actioncable-v1-json",
            "actioncable-unsupported",
            "MyCompanyTradingProtocol",
            "long-protocol-name-version2",
            "ocpp2.0.1",
        ]
    )
    def test_names(self, name: str) -> None:
        """Names of subprotocols do not look like tokens."""
        self.assertIs(is_token_like(name), False)
        self.assertEqual(redact_subprotocols([name]), (name,))

    @each(
        [
            "base64url.bearer.authorization.k8s.io.c2Vj",
            "access_token.abc",
            "auth-abc",
            "realProtocol.jwt.abc",
            "X-Api-Key-1",
        ]
    )
    def test_conventions(self, name: str) -> None:
        """A subprotocol with a word of a secret name is hidden."""
        self.assertEqual(redact_subprotocols([name, "chat"]), ("...", "chat"))

    @each(["access_token", "Authorization", "bearer", "jwt", "auth", "token"])
    def test_markers(self, marker: str) -> None:
        """A subprotocol that is only such a word is shown, and the next one is hidden."""
        offered = [marker, "abc", "chat"]
        self.assertEqual(redact_subprotocols(offered), (marker, "...", "chat"))

    def test_user(self) -> None:
        """A user name that looks like a token is hidden in a URL."""
        url = "wss://4bf92f3577b34da6a3ce929d0e0e4736@h/"
        self.assertEqual(redact_url(url), "wss://...@h/")
        self.assertEqual(redact_url("wss://alice@h/"), "wss://alice@h/")


class MessageTests(SynchronousTestCase):
    """``show_message`` hides the values of secret keys."""

    @each(
        [
            ("dict", {"password": SECRET, "a": 1}, {"password": "...", "a": 1}),
            ("nested", {"a": {"api_key": SECRET}}, {"a": {"api_key": "..."}}),
            ("list", [{"password": SECRET}, 2], [{"password": "..."}, 2]),
            ("tuple", ("login", {"password": SECRET}), ("login", {"password": "..."})),
            ("bytes key", {b"Password": SECRET}, {b"Password": "..."}),
            ("other keys", {1: "a", None: "b", ("x",): "c"}, {1: "a", None: "b", ("x",): "c"}),
            ("container", {"tokens": [SECRET]}, {"tokens": "..."}),
            ("four levels", [[[["x"]]]], [[[["x"]]]]),
            ("five levels", [[[[["x"]]]]], [[[["..."]]]]),
            ("text", "hello", "hello"),
        ]
    )
    def test_show_message(self, label: str, message: Any, shown: Any) -> None:
        """Dicts, lists and tuples are shown to a depth of four; the message stays as it is."""
        before = repr(message)
        self.assertEqual(show_message(message), repr(shown))
        self.assertEqual(repr(message), before)

    def test_recursive(self) -> None:
        """A message that contains itself is shown to a depth of four."""
        message: dict[str, Any] = {}
        message["self"] = message
        self.assertEqual(show_message(message), "{'self': {'self': {'self': {'self': '...'}}}}")


class QueryTests(SynchronousTestCase):
    """``redact_query`` hides values."""

    @each(
        [
            ("empty", "", ""),
            ("pairs", f"a={SECRET}&b={SECRET}", "a=...&b=..."),
            ("equals sign in a value", f"a={SECRET}={SECRET}", "a=..."),
            ("no name", SECRET, "..."),
            ("one without a name", f"a=1&{SECRET}", "a=...&..."),
        ]
    )
    def test_redact_query(self, label: str, query: str, shown: str) -> None:
        """Names are kept; a part without an equals sign is a value."""
        self.assertEqual(redact_query(query), shown)


class URLTests(SynchronousTestCase):
    """``redact_url`` shows only what cannot be a secret."""

    @each(
        [
            "ftp://host/",
            "h.test",
            "h.test:80",
            "ws://h/a b",
            "ws://h:99999",
            "ws://[::1]:80/p",
            "ws://[fe80::1%25eth0]/",
            "ws://::1/",
            "ws://user@h/",
            "https://h.test/@user",
            "/login",
            "",
        ]
    )
    def test_nothing_to_hide(self, url: str) -> None:
        """A URL without a secret is shown as it is."""
        self.assertEqual(redact_url(url), url)

    @each(
        [
            ("password", f"wss://user:{SECRET}@h:81/p", "wss://user:...@h:81/p"),
            ("password with an at sign", f"ws://u:a@{SECRET}@h/", "ws://u:...@h/"),
            ("no user", f"ws://:{SECRET}@h/", "ws://:...@h/"),
            ("no scheme", f"//u:{SECRET}@h/", "//u:...@h/"),
            ("scheme in capitals", f"HTTP://u:{SECRET}@h", "HTTP://u:...@h"),
            ("query", f"/login?next={SECRET}", "/login?next=..."),
            ("fragment", f"https://h/#access_token={SECRET}", "https://h/#..."),
            ("empty fragment", "ws://h/#", "ws://h/#"),
            ("bracket", f"ws://[u:{SECRET}@h/", "ws://[u:...@h/"),
        ]
    )
    def test_hidden(self, label: str, url: str, shown: str) -> None:
        """Password, values of the query and fragment are hidden; the rest is shown."""
        self.assertEqual(redact_url(url), shown)

    @each(
        [
            ("slash", f"ws://u:{SECRET}/x@h/", "ws://..."),
            ("question mark", f"ws://u:{SECRET}?x@h/", "ws://..."),
            ("hash", f"ws://u:{SECRET}#x@h/", "ws://..."),
            ("slash after an at sign", f"ws://u:p@{SECRET}/w@h/", "ws://..."),
            ("slash in the user", f"ws://u/x:{SECRET}@h", "ws://..."),
            ("no authority", f"u:{SECRET}@h/", "..."),
            ("one slash", f"ws:/u:{SECRET}@h/", "..."),
            ("encoded at sign", f"ws://u:{SECRET}%40h/", "ws://u:.../"),
            ("no host", f"ws://u:{SECRET}", "ws://u:..."),
        ]
    )
    def test_misplaced_password(self, label: str, url: str, shown: str) -> None:
        """What may be a misplaced password is hidden."""
        self.assertEqual(redact_url(url), shown)
