"""Tests of wsx._doctor.report: the keys, and no secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SkipTest

import wsx
from wsx.test.support.doctor import DoctorCase, SecureCase
from wsx.test.support.each import each
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import server_options

PAGE = Path(wsx.__file__).parents[1] / "docs" / "how-to" / "debugging.md"
KEYS = {
    "report": ["wsx", "url", "passed", "seconds", "phases", "negotiated", "problem", "warnings"],
    "dns": ["name", "status", "seconds", "host", "addresses"],
    "tcp": ["name", "status", "seconds", "attempts"],
    "proxy": ["name", "status", "seconds", "proxy"],
    "tls": [
        "name",
        "status",
        "seconds",
        "server_name",
        "version",
        "cipher",
        "alpn",
        "verified",
        "certificates",
    ],
    "opening_handshake": ["name", "status", "seconds", "http_status", "headers"],
    "ping": ["name", "status", "seconds"],
    "negotiated": ["peer", "subprotocol", "extensions"],
    "problem": ["phase", "code", "explanation", "suggestion"],
    "attempt": ["address", "status", "seconds", "error"],
    "certificate": [
        "subject",
        "issuer",
        "names",
        "not_before",
        "not_after",
        "days_left",
        "sha256",
    ],
}
# Secrets of the request, which a server may repeat.
SECRET = "zqQ7xK2mB9vT4nR8"


class KeyTests(DoctorCase):
    """The keys are stable: these tests fail if one is renamed or removed."""

    def assert_keys(self, report: dict[str, Any]) -> None:
        """Assert which keys a report has."""
        self.assertEqual(list(report), KEYS["report"])
        self.assertEqual(list(report["negotiated"]), KEYS["negotiated"])
        for phase in report["phases"]:
            self.assertEqual(list(phase), KEYS[phase["name"]])
        for attempt in report["phases"][1]["attempts"]:
            self.assertEqual(list(attempt), KEYS["attempt"])
        for problem in filter(None, [report["problem"], *report["warnings"]]):
            self.assertEqual(list(problem), KEYS["problem"])
        json.dumps(report)

    def test_passed(self) -> None:
        """All phases have passed."""
        report = self.succeed(subprotocols=["chat"])
        self.assert_keys(report)
        self.assertIs(report["passed"], True)
        self.assertEqual(len(report["phases"]), 6)

    def test_failed(self) -> None:
        """A phase has failed."""
        self.examine_network("ws://192.0.2.1/")
        self.reactor.refuse()
        self.assert_keys(self.report())

    def test_documented(self) -> None:
        """The documentation names each key."""
        if not PAGE.exists():
            raise SkipTest("wsx is installed without its documentation")
        page = PAGE.read_text(encoding="utf-8")
        missing = {key for keys in KEYS.values() for key in keys if f"`{key}`" not in page}
        self.assertEqual(missing, set())


class SecureKeyTests(SecureCase):
    """The keys of a certificate."""

    ca = Once(lambda: trustme.CA())

    def test_certificate(self) -> None:
        """Each certificate has all keys."""
        self.examine_tls(server_options(self.ca.issue_cert("example.test")))
        phase = self.report()["phases"][3]
        self.assertEqual(list(phase["certificates"][0]), KEYS["certificate"])
        self.assertEqual(phase["server_name"], "example.test")

    def test_malformed_certificate(self) -> None:
        """A malformed certificate has all keys, without values."""
        self.examine_tls(server_options(self.ca.issue_cert("example.test")))
        session = self.examination.findings.session
        assert session is not None
        object.__setattr__(session, "chain", (b"nonsense",))
        certificate = self.report()["phases"][3]["certificates"][0]
        self.assertEqual(certificate, dict.fromkeys(KEYS["certificate"]))


class NegotiatedTests(DoctorCase):
    """What was negotiated."""

    def test_all(self) -> None:
        """Peer, subprotocol, extensions and the headers of the response."""
        self.examine(subprotocols=["chat"], compression="deflate")
        self.peer.answer(
            Sec_WebSocket_Protocol="chat",
            Sec_WebSocket_Extensions="permessage-deflate",
            Server="a server",
        )
        self.examination.interrupt()
        report = self.report()
        self.assertEqual(report["negotiated"]["subprotocol"], "chat")
        self.assertEqual(report["negotiated"]["extensions"], ["permessage-deflate"])
        self.assertIsNotNone(report["negotiated"]["peer"])
        self.assertIn(["Server", "a server"], report["phases"][4]["headers"])

    def test_nothing(self) -> None:
        """Without a connection, nothing was negotiated."""
        self.server.refusal = OSError("no")
        self.examine()
        nothing: dict[str, Any] = {"peer": None, "subprotocol": None, "extensions": []}
        self.assertEqual(self.report()["negotiated"], nothing)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("password", {"url": f"ws://me:{SECRET}@example.test/"}),
    ("user", {"url": f"ws://{SECRET}@example.test/"}),
    ("query", {"url": f"ws://example.test/?t={SECRET}"}),
    ("header", {"extra_headers": {"Authorization": f"Bearer {SECRET}"}}),
    ("secret_header", {"extra_headers": {"Tenant": SECRET}, "secret_headers": ["tenant"]}),
    ("subprotocol", {"subprotocols": ["access_token", SECRET]}),
]


class SecretTests(DoctorCase):
    """No secret appears in a report, even if the server repeats it."""

    def assert_hidden(self) -> None:
        """Assert that the report does not contain the secret."""
        self.assertNotIn(SECRET, json.dumps(self.report()))

    @each(OPTIONS)
    def test_refused(self, _: str, options: dict[str, Any]) -> None:
        """The server repeats it in its refusal."""
        self.examine(**options)
        self.peer.send(
            f"HTTP/1.1 403 no {SECRET}\r\nX-Echo: {SECRET}\r\nLocation: /?t={SECRET}\r\n"
            f"Set-Cookie: {SECRET}\r\nContent-Length: 16\r\n\r\n{SECRET}".encode()
        )
        self.assertEqual(self.report()["problem"]["code"], "forbidden")
        self.assert_hidden()

    @each(OPTIONS)
    def test_accepted(self, _: str, options: dict[str, Any]) -> None:
        """The server repeats it in its response and in its close message."""
        self.examine(**options)
        offered = options.get("subprotocols", [""])[-1]
        self.peer.answer(X_Echo=SECRET, Sec_WebSocket_Protocol=offered)
        self.peer.send(b"\x88\x12\x03\xf0" + SECRET.encode())
        self.assertEqual(self.report()["problem"]["code"], "closed_at_once")
        self.assert_hidden()

    def test_proxy(self) -> None:
        """The password for the proxy is hidden."""
        self.examine(proxy=f"http://me:{SECRET}@proxy.test:3128")
        self.peer.send(f"HTTP/1.1 407 {SECRET}\r\nContent-Length: 0\r\n\r\n".encode())
        self.assert_hidden()

    def test_certificate(self) -> None:
        """The client certificate is hidden."""
        own = trustme.CA().issue_cert("me").private_key_and_cert_chain_pem.bytes()
        self.examine("wss://example.test/", ssl_options={"certificate": own})
        self.peer.drop(ConnectionDone())
        self.assertNotIn("BEGIN", json.dumps(self.report()))


class ForeignTextTests(DoctorCase):
    """Text from outside."""

    def test_escaped(self) -> None:
        """Control characters of the server are escaped, and long text is truncated."""
        self.examine()
        head = "HTTP/1.1 403 \x1b[31mred\r\nX-Long: " + "x" * 5000 + "\r\nContent-Length: 0\r\n\r\n"
        self.peer.send(head.encode("latin-1"))
        report = self.report()
        self.assertNotIn("\x1b", str(report["problem"]["explanation"]))
        self.assertTrue(all(len(value) <= 300 for _, value in report["phases"][4]["headers"]))
