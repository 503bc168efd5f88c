"""Tests of requests and responses; test_actions.py has those with the real client."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx.testing.request import Request, RequestHeaders, format_acceptance, format_refusal

HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: test\r\nX-A: 1\r\nx-a: 2\r\nSec-WebSocket-Key: a2V5"


class RequestTests(SynchronousTestCase):
    """Requests."""

    def test_headers(self) -> None:
        """Names are case-insensitive, duplicates are joined, and pairs keep everything."""
        request = Request.parse(HEAD, "ws://test/a?b=c")
        self.assertEqual(request.path, "/a?b=c")
        self.assertEqual(request.headers["X-a"], "1, 2")
        self.assertEqual(request.headers.get("nothing"), None)
        self.assertEqual(list(request.headers), ["host", "x-a", "sec-websocket-key"])
        self.assertEqual(len(request.headers), 3)
        self.assertEqual(request.headers.pairs[1:3], (("X-A", "1"), ("x-a", "2")))
        self.assertIn("HOST", request.headers)

    def test_repr(self) -> None:
        """The repr shows the pairs."""
        self.assertEqual(repr(RequestHeaders([("A", "b")])), "RequestHeaders([('A', 'b')])")


class ResponseTests(SynchronousTestCase):
    """Responses."""

    def test_acceptance(self) -> None:
        """The response has what RFC 6455 asks for, and what the test adds."""
        request = Request.parse(HEAD, "ws://test/")
        lines = format_acceptance(request, {"X-B": "3"}, "v1", "x").decode().split("\r\n")
        self.assertEqual(lines[0], "HTTP/1.1 101 Switching Protocols")
        self.assertIn("Upgrade: websocket", lines)
        self.assertIn("Sec-WebSocket-Protocol: v1", lines)
        self.assertIn("Sec-WebSocket-Extensions: x", lines)
        self.assertEqual(lines[-3:], ["X-B: 3", "", ""])
        self.assertNotIn(b"Protocol", format_acceptance(request).split(b"\r\n", 1)[1])

    def test_refusal(self) -> None:
        """A refusal has the length of its body, unless the test says otherwise."""
        self.assertEqual(
            format_refusal(403, [("A", "b")], "né"),
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nA: b\r\n\r\nn\xc3\xa9",
        )
        self.assertEqual(
            format_refusal(599, {"content-length": "9"}),
            b"HTTP/1.1 599 Unknown\r\ncontent-length: 9\r\n\r\n",
        )
