"""Tests of wsx._doctor.explain_opening: the opening handshake."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from wsx.test.support.doctor import DoctorCase
from wsx.test.support.each import each

LENGTH = "Content-Length: 0\r\n"
NGINX = "<title>400 The plain HTTP request was sent to HTTPS port</title>"
GO = "Client sent an HTTP request to an HTTPS server.\n"


class RefusalTests(DoctorCase):
    """A status other than 101."""

    def refuse(self, status: str, headers: str = "", body: str = "", **options: Any) -> None:
        """Let the server refuse the opening handshake."""
        self.examine(**options)
        head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.peer.send((head + body).encode())

    @each(
        [
            ("200 OK", "not_a_websocket", "a web page or an API", "the path of the URL"),
            ("204 No Content", "not_a_websocket", "204", "the path of the URL"),
            ("301 Moved", "redirected", "301 Moved", "the path of the URL"),
            ("400 Bad Request", "refused", "400", "--subprotocol"),
            ("401 Unauthorized", "unauthorized", "401", "--header @FILE"),
            ("403 Forbidden", "forbidden", "403", "Origin"),
            ("404 Not Found", "not_found", "404", "the path of the URL"),
            ("405 Method Not Allowed", "not_found", "405", "the path of the URL"),
            ("426 Upgrade Required", "upgrade_required", "426", "reverse proxy"),
            ("429 Too Many Requests", "too_many_requests", "429", "try again later"),
            ("500 Oops", "server_error", "500", "the log of the server"),
            ("502 Bad Gateway", "server_error", "502", "reverse proxy"),
            ("503 Unavailable", "unavailable", "503", "try again later"),
            ("599 Strange", "server_error", "599", "the log of the server"),
        ]
    )
    def test_status(self, status: str, code: str, explanation: str, suggestion: str) -> None:
        """Each status has an explanation and a suggestion."""
        self.refuse(status)
        self.assert_problem("opening_handshake", code, f"the server answered {status}")
        self.assertIn(explanation, self.problem()[2])
        self.assertIn(suggestion, self.problem()[3])
        self.assertEqual(self.report()["phases"][4]["http_status"], int(status[:3]))

    def test_redirect(self) -> None:
        """The target of a redirect is shown, without the values of its query."""
        self.refuse("302 Found", "Location: https://x.test/login?ticket=hushhush\r\n")
        self.assert_problem("opening_handshake", "redirected", "https://x.test/login?ticket=...")
        self.assertNotIn("hushhush", str(self.report()))

    @each(
        [
            ("https://x.test/", '"https://x.test/" with wss:// or ws://, if'),
            ("/elsewhere", '"/elsewhere" with wss:// or ws://, if'),
            ("wss://x.test/", '"wss://x.test/", if it is a WebSocket'),
        ]
    )
    def test_redirect_scheme(self, target: str, part: str) -> None:
        """Only an address that is not one of a WebSocket needs another scheme."""
        self.refuse("302 Found", f"Location: {target}\r\n")
        self.assert_problem("opening_handshake", "redirected", f"use the address {part}")

    def test_credentials_that_are_not_accepted(self) -> None:
        """With credentials, the suggestion is to replace them."""
        for options in (
            {"extra_headers": {"authorization": "Bearer hushhush"}},
            {"url": "ws://me:hushhush@example.test/"},
        ):
            self.refuse("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", **options)
            self.assert_problem("opening_handshake", "unauthorized", "Bearer", "replace")
            self.assertNotIn("hushhush", str(self.report()))

    def test_retry_after(self) -> None:
        """Retry-After says when to try again: seconds or a date."""
        self.refuse("503 Busy", "Retry-After: 120\r\n")
        self.assert_problem("opening_handshake", "unavailable", "try again in 120 seconds")
        self.refuse("429 Busy", "Retry-After: Fri, 27 Nov 2026 20:00:00 GMT\r\n")
        self.assert_problem("opening_handshake", "too_many_requests", "try again after Fri, 27 Nov")

    @each([("nginx", NGINX), ("Go", GO)])
    def test_http_to_a_tls_port(self, server: str, body: str) -> None:
        """Some servers say that they expect TLS."""
        self.refuse("400 Bad Request", body=body)
        self.assert_problem("opening_handshake", "server_needs_tls", "use wss://")

    def test_part_of_a_refusal(self) -> None:
        """A refusal whose body is incomplete is reported at the time limit."""
        self.examine(socket_recv_timeout=2.0)
        self.peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nbe")
        self.reactor.advance(2)
        self.step()
        self.assert_problem("opening_handshake", "forbidden", "403 No")


class InvalidTests(DoctorCase):
    """A response that is not valid."""

    def test_tls_server(self) -> None:
        """The server speaks TLS, and answers with an alert."""
        self.examine()
        self.peer.send(b"\x15\x03\x01\x00\x02\x02\x46")
        self.assert_problem(
            "opening_handshake", "server_needs_tls", "speaks TLS", "use wss:// in place of ws://"
        )

    def test_not_http(self) -> None:
        """The server speaks another protocol."""
        self.examine()
        self.peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.assert_problem("opening_handshake", "not_http", "not HTTP", "the port in the URL")

    def test_wrong_accept(self) -> None:
        """The accept key belongs to another handshake."""
        self.examine()
        self.peer.answer(accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assert_problem("opening_handshake", "wrong_accept", "a wrong Sec-WebSocket-Accept")

    def test_no_accept(self) -> None:
        """There is no accept key."""
        self.examine()
        self.peer.answer(Sec_WebSocket_Accept="")
        self.assert_problem("opening_handshake", "wrong_accept", "has no Sec-WebSocket-Accept")

    @each([("Upgrade", {"Upgrade": ""}), ("Connection", {"Connection": ""})])
    def test_no_upgrade(self, header: str, headers: dict[str, Any]) -> None:
        """A header of the upgrade is missing."""
        self.examine()
        self.peer.answer(**headers)
        self.assert_problem("opening_handshake", "not_upgraded", header, "reverse proxy")

    def test_subprotocol_that_was_not_offered(self) -> None:
        """The server selects its own subprotocol."""
        self.examine(subprotocols=["chat"])
        self.peer.answer(Sec_WebSocket_Protocol="graphql-ws")
        self.assert_problem(
            "opening_handshake",
            "subprotocol_not_offered",
            '"graphql-ws", which was not offered',
            "--subprotocol",
        )

    def test_secret_subprotocol(self) -> None:
        """A subprotocol that looks like a token is not shown."""
        token = "zqA7k9X2mQ4vB8nT1rW5yU3"
        self.examine(subprotocols=["chat"])
        self.peer.answer(Sec_WebSocket_Protocol=token)
        self.assert_problem("opening_handshake", "subprotocol_not_offered", '"..."')
        self.assertNotIn(token, str(self.report()))

    def test_extension(self) -> None:
        """The server accepts an extension that was not offered."""
        self.examine()
        self.peer.answer(Sec_WebSocket_Extensions="permessage-deflate")
        self.assert_problem("opening_handshake", "extension_not_offered", "--compression deflate")

    def test_long_head(self) -> None:
        """The head of the response is too long."""
        self.examine(max_header_size=100)
        self.peer.send(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 200)
        self.assert_problem("opening_handshake", "invalid_response", "longer than 100 bytes")


class EndTests(DoctorCase):
    """No response."""

    def test_timeout(self) -> None:
        """The server is slow."""
        self.examine(socket_recv_timeout=2.0)
        self.reactor.advance(2)
        self.step()
        self.assert_problem("opening_handshake", "no_response", "within 2 s", "overloaded")

    def test_closed(self) -> None:
        """The server closes TCP without a response."""
        self.examine()
        self.peer.drop(ConnectionDone())
        self.assert_problem(
            "opening_handshake",
            "closed_during_handshake",
            "without answering the opening handshake",
            "use wss://",
        )

    def test_closed_within_the_response(self) -> None:
        """The server closes TCP within its response."""
        self.examine()
        self.peer.send(b"HTTP/1.1 101")
        self.peer.drop(ConnectionLost())
        self.assert_problem(
            "opening_handshake", "closed_during_handshake", "within its response", "log"
        )
