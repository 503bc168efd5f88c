"""Tests of ``wsx._transport.tls_names``: the name of the server in TLS."""

from __future__ import annotations

from typing import Any

from service_identity.hazmat import DNS_ID, IPAddress_ID
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._transport.tls_names import ServerName, server_name_of
from wsx.test.support.each import each


def name_of(url: str, insecure: bool = False, **options: Any) -> ServerName:
    """Return the name for a URL."""
    return server_name_of(Conn(url, insecure=insecure), options)


class ServerNameTests(SynchronousTestCase):
    """What is sent to the server, and what its certificate must be valid for."""

    @each(
        {
            "name": ("wss://example.test", "example.test", DNS_ID("example.test")),
            "trailing dot": ("wss://example.test.", "example.test", DNS_ID("example.test")),
            "IPv4": ("wss://127.0.0.1", None, IPAddress_ID("127.0.0.1")),
            "IPv6": ("wss://[::1]", None, IPAddress_ID("::1")),
            "zone": ("wss://[::1%25lo]", None, IPAddress_ID("::1")),
            "international": (
                "wss://b\xfccher.example",
                "xn--bcher-kva.example",
                DNS_ID("xn--bcher-kva.example"),
            ),
        }.items()
    )
    def test_host(self, name: str, case: tuple[str, str | None, Any]) -> None:
        """The host of the URL; an address is not sent."""
        url, sent, identity = case
        self.assertEqual(name_of(url), ServerName(sent, identity))
        self.assertEqual(name_of(url, insecure=True), ServerName(sent, None))

    def test_option(self) -> None:
        """``server_name`` replaces the host."""
        found = name_of("wss://127.0.0.1", server_name="example.test")
        self.assertEqual(found, ServerName("example.test", DNS_ID("example.test")))

    @each(
        [
            "a\0b",
            "a b",
            "x" * 254,
            "x" * 64 + ".test",
            "xn--\xff",
            "-\xfc.example",
            ".",
            "..",
            "a..b",
        ]
    )
    def test_malformed(self, name: str) -> None:
        """A malformed name is a ValueError, verified or not."""
        for insecure in (False, True):
            with self.assertRaises(ValueError):
                name_of("wss://example.test", insecure, server_name=name)
