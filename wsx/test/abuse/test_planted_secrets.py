"""Planted secrets: which of them appear in which output, and in no other."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from twisted.internet.protocol import Protocol

from wsx._wire.handshake import accept_value
from wsx.test.support import close, text
from wsx.test.support.each import each
from wsx.test.support.secrets import HEADERS, PAYLOADS, SECRETS, SecretCase
from wsx.test.support.sockets import HOST
from wsx.test.support.twistd import OptionsCase, TwistdCase

NOWHERE: set[str] = set()
# Trace lines, the file of log_to_file and the event log show whole payloads and messages.
EVENTS = {"trace", "log_to_file", "status_log"}
# The attributes of a RequestError or HandshakeError are what the server sent, unchanged.
SENT_BY_SERVER = {"error_args"}
ABOUT_THE_CONNECTION = {
    *("log", "trace", "log_to_file", "telemetry"),
    *("repr", "status", "error_text", "error_args"),
}
MAY_APPEAR = {
    "url_password": SENT_BY_SERVER,
    "url_credentials": NOWHERE,
    "query_value": SENT_BY_SERVER,
    "query_token": SENT_BY_SERVER,
    "authorization": SENT_BY_SERVER,
    "cookie": SENT_BY_SERVER,
    "api_key": SENT_BY_SERVER,
    "secret_header": SENT_BY_SERVER,
    "subprotocol": SENT_BY_SERVER,
    "proxy_password": NOWHERE,
    "proxy_credentials": NOWHERE,
    "certificate_path": NOWHERE,
    "certificate_pem": NOWHERE,
    "cast_key": EVENTS,
    "info_key": EVENTS,
    "state": {"status_state"},
    "response_cookie": NOWHERE,
    "location_query": SENT_BY_SERVER,
    "frame_received": EVENTS | {"telemetry"},
    "frame_sent": EVENTS | {"telemetry"},
    "cast_text": EVENTS,
    "info_text": EVENTS | {"log"},  # Of an info that the handler does not handle.
    "close_message": EVENTS | {"log", "telemetry"},
    "handler_exception": EVENTS | {"log", "telemetry", "error_text", "error_args"},
    "path": ABOUT_THE_CONNECTION,
    "user": ABOUT_THE_CONNECTION,
}


class OutputTests(SecretCase):
    """A run with all secrets in every place; it is performed once for all tests."""

    outputs: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        super().setUp()
        if not self.outputs:
            self.outputs.update(self.perform())

    @each(list((SECRETS | PAYLOADS).items()))
    def test_secret(self, name: str, secret: str) -> None:
        """A secret appears exactly in the outputs of the table."""
        found = {output for output, shown in self.outputs.items() if secret in shown}
        self.assertEqual(found, MAY_APPEAR[name])

    def test_outputs(self) -> None:
        """Each output has text, so that a secret could be found."""
        self.assertEqual([name for name, shown in self.outputs.items() if len(shown) < 100], [])
        self.assertIn("wsx_frames_received", self.outputs["metrics"])


SECRET_URL = "://zquser:zqurlpassword@example.test/?token=zqqueryvalue"
OK = ["--url", "ws://example.test"]


class CommandLineTests(OptionsCase):
    """Command lines and configuration files that ``twistd wsx`` refuses."""

    @each(
        [
            ("scheme", ["--url", "ftp" + SECRET_URL]),
            ("port", ["--url", "ws://zquser:zqurlpassword@example.test:zq/"]),
            ("fragment", ["--url", f"ws{SECRET_URL}#zqqueryvalue"]),
            ("slash_in_password", ["--url", "ws://zquser:zqurl/password@example.test"]),
            ("handler", ["--url", "ws" + SECRET_URL, "--handler", "no.such.Handler"]),
            ("header_without_colon", [*OK, "--header", "Authorization zqauthorization"]),
            ("header_with_control", [*OK, "--header", "Cookie: zqcookievalue\0"]),
            ("header_secret_alone", [*OK, "--header", "zqA7k9X2mQ4vB8nT1rW5yU3"]),
            ("subprotocol", [*OK, "--subprotocol", "zqA7k9X2mQ4vB8nT1rW5yU3\n"]),
            ("proxy_port", [*OK, "--proxy", "http://zqu:zqproxypassword@proxy.test:zq"]),
            ("proxy_scheme", [*OK, "--proxy", "socks5://zqu:zqproxypassword@proxy.test:1"]),
            ("state", [*OK, "--state", '{"password": "zqstatevalue"']),
            ("surplus", ["--url", "ws" + SECRET_URL, "--nonsense"]),
        ]
    )
    def test_option(self, label: str, arguments: list[str]) -> None:
        """The line about a wrong option has no secret."""
        self.assert_no_secret(self.refusal(*arguments))

    @each(
        [
            ("syntax", 'url = "ws://zquser:zqurlpassword@example.test'),
            ("url", 'url = "ftp://zquser:zqurlpassword@example.test"'),
            ("unknown_key", 'url = "ws://x.test"\npasswort = "zqurlpassword"'),
            ("headers", 'url = "ws://x.test"\nextra_headers = "Cookie: zqcookievalue"'),
            ("header", 'url = "ws://x.test"\nextra_headers = {Cookie = ["zqcookievalue"]}'),
            ("header_pair", 'url = "ws://x.test"\nextra_headers = [["Cookie zqcookievalue"]]'),
            ("proxy", 'url = "ws://x.test"\nproxy = "http://zqu:zqproxypassword@proxy.test:x"'),
            ("subprotocols", 'url = "ws://x.test"\nsubprotocols = "zqA7k9X2mQ4vB8nT1rW5yU3"'),
            (
                "certificate",
                'url = "ws://x.test"\nssl_options = {certificate = ["zqcertificatepem"]}',
            ),
            ("private_key", 'url = "wss://x.test"\nprivate_key = "zqcertificatepem"'),
        ]
    )
    def test_file(self, label: str, table: str) -> None:
        """The line about a wrong value in a configuration file has no secret."""
        name = self.write("config.toml", f"[clients.feed]\nhandler = 'wsx.Handler'\n{table}\n")
        self.assert_no_secret(self.refusal("--config", name))

    def assert_no_secret(self, line: str) -> None:
        """No secret appears, whole or in part."""
        for name, secret in SECRETS.items():
            self.assertNotIn(secret, line, name)
        self.assertNotIn("zqurl", line)


class Server(Protocol):
    """A server that refuses ``/refuse`` with an echo of the request, and serves other paths."""

    def connectionMade(self) -> None:
        self.request = b""

    def dataReceived(self, data: bytes) -> None:
        self.request += data
        transport: Any = self.transport
        if not self.request.endswith(b"\r\n\r\n"):
            return
        if self.request.startswith(b"GET /refuse"):
            length = b"Content-Length: %d" % len(self.request)
            transport.write(b"HTTP/1.1 404 No\r\n%b\r\n\r\n%b" % (length, self.request))
            return
        match = re.search(rb"Sec-WebSocket-Key: (\S+)", self.request)
        assert match is not None
        accept = accept_value(match[1].decode()).encode()
        transport.write(
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Set-Cookie: zqresponsecookie\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        transport.write(text("zqframereceived") + close(1000, "zqclosemessage"))
        transport.loseConnection()


class ProcessTests(TwistdCase):
    """Standard output and standard error of ``twistd wsx``, which include its log."""

    @each([("console", "/open", 0), ("refused", "/refuse", 1)])
    async def test_process(self, label: str, path: str, status: int) -> None:
        """No secret of the command line appears; the console shows what it receives."""
        port = self.listen(Server)
        url = f"ws://zquser:zqurlpassword@{HOST}:{port}{path}?token=zqqueryvalue&zqQ7xK2mB9vT4nR8"
        headers = [f"--header={name}: {value}" for name, value in HEADERS.items()]
        arguments = ["--url", url, "--subprotocol=zqA7k9X2mQ4vB8nT1rW5yU3", *headers]
        arguments += ["--secret-header", "X-Tenant"]
        process = self.twistd(*arguments, "--debug", "trace", "--no-reconnect")
        self.assertEqual(await process.ended(), status)
        output = process.output + process.errors
        self.assertEqual([name for name, secret in SECRETS.items() if secret in output], [])
        self.assertEqual("zqframereceived" in process.output, path == "/open")
        self.assertIn("*DBG*", output)
