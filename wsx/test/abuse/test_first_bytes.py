"""Bytes that a server sends behind its response with status 101."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from wsx import ConnectionDropped, FrameError, Ping, RemoteClose, Text
from wsx.test.support import close, server_frame, text
from wsx.test.support.abuse import FIN, RESET, AbuseCase, Invalid, Opened, Script, Step, switching
from wsx.test.support.each import each

CLOSE_TIMEOUT = 5.0  # seconds, the default of close_timeout
HELLO = (Text("hello"),)


def behind(data: bytes) -> bytes:
    """Return a 101 with bytes behind it in the same read."""
    return switching(rest=data)


class BodyTests(AbuseCase):
    """A response with status 101 has no body (RFC 9110 section 8.6, RFC 9112 section 6.1)."""

    @each(
        [
            ("length_0", b"Content-Length: 0", b""),
            ("length_5", b"Content-Length: 5", b"hello"),
            ("length_of_a_frame", b"Content-Length: 7", text("hello")),
            ("length_garbage", b"Content-Length: x", b""),
            ("chunked", b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
            ("chunked_frame", b"Transfer-Encoding: chunked", text("hello")),
            ("identity", b"Transfer-Encoding: identity", b""),
        ]
    )
    def test_header_about_a_body(self, label: str, field: bytes, rest: bytes) -> None:
        """A header about a body is refused at once, and the header is named."""
        name = field.partition(b":")[0].decode()
        expected = Invalid(reason=f"{name} header: expected no such header")
        self.assert_outcome([switching(field, rest=rest)], expected)

    def test_content_type(self) -> None:
        """``Content-Type`` alone promises no body."""
        self.assert_outcome([switching(b"Content-Type: text/html")], Opened())


class FramesTests(AbuseCase):
    """The bytes behind the response are the server's first frames."""

    @each(
        [
            ("nothing", [behind(b"")], ()),
            ("one_read", [behind(text("hello"))], HELLO),
            ("two_reads", [switching(), text("hello")], HELLO),
            ("half_of_a_frame", [behind(text("hello")[:3]), text("hello")[3:]], HELLO),
            ("half_of_a_frame_then_silence", [behind(text("hello")[:3])], ()),
            ("500_messages", [behind(text("hello") * 500)], HELLO * 500),
        ]
    )
    def test_open(self, label: str, script: Script, frames: tuple[Any, ...]) -> None:
        """The connection is open, and complete messages are delivered."""
        self.assert_outcome(script, Opened(frames))

    @each(
        [
            ("fin", [switching(), FIN], (), ConnectionDropped),
            ("reset", [switching(), RESET], (), ConnectionDropped),
            ("frame_and_fin", [behind(text("hello")), FIN], HELLO, ConnectionDropped),
            ("frame_and_reset", [behind(text("hello")), RESET], HELLO, ConnectionDropped),
            ("part_of_a_frame_and_fin", [behind(b"\x81"), FIN], (), ConnectionDropped),
            (
                "close_frame_and_fin",
                [behind(close(1000, "bye")), FIN],
                (),
                RemoteClose(1000, "bye"),
            ),
            ("close_frame_and_reset", [behind(close(1012)), RESET], (), RemoteClose(1012)),
            ("empty_close_frame", [behind(close()), FIN], (), RemoteClose()),
        ]
    )
    def test_tcp_ends(
        self, label: str, script: Script, frames: tuple[Any, ...], reason: Any
    ) -> None:
        """The end of TCP is reported at once, behind the messages before it."""
        self.assert_outcome(script, Opened(frames, ended=reason))

    @each(
        [
            ("close_frame", close(1008, "no"), RemoteClose(1008, "no")),
            ("close_frame_twice", close(1008) * 2, RemoteClose(1008)),
            ("text_behind_close_frame", close(1008) + text("x"), RemoteClose(1008)),
            ("reserved_opcode", server_frame(3), FrameError),
            ("reserved_bit", server_frame(1, b"x", 0xC0), FrameError),
            ("masked", server_frame(1, b"x", mask=b"abcd"), FrameError),
            ("continuation", server_frame(0, b"x"), FrameError),
            ("ping_of_126_bytes", server_frame(9, b"x" * 126), FrameError),
            ("close_code_1005", close(1005), FrameError),
            ("invalid_utf_8", server_frame(1, b"\xff"), FrameError),
            ("length_of_2_63", b"\x81\x7f\x80" + bytes(7), FrameError),
            ("over_max_message_size", b"\x81\x7f" + (2**24 + 1).to_bytes(8, "big"), FrameError),
            ("http_body", b"hello", FrameError),
            ("html", b"<!DOCTYPE html>", FrameError),
            ("another_response", switching(), FrameError),
        ]
    )
    def test_server_that_keeps_tcp_open(self, label: str, data: bytes, reason: Any) -> None:
        """If a server does not end TCP, the client aborts it after ``close_timeout``."""
        self.assert_outcome([behind(data)], Opened(ended=reason, ended_at=CLOSE_TIMEOUT))
        self.assertTrue(self.peer.transport.aborted)

    def test_frame_before_an_error(self) -> None:
        """A message before an invalid frame is delivered."""
        script: list[Step] = [behind(text("hello") + server_frame(3)), FIN]
        self.assert_outcome(script, Opened(HELLO, ended=FrameError))

    def test_reset_is_reported(self) -> None:
        """The reason of a reset carries Twisted's exception."""
        self.play([switching(), RESET])
        (status,) = self.handler.arguments("handle_disconnect")
        self.assertIsInstance(status.reason.original, ConnectionLost)

    def test_ping(self) -> None:
        """A ping behind the response is delivered."""
        self.play([behind(server_frame(9, b"x"))])
        self.assertEqual(self.handler.arguments("handle_ping"), [Ping(b"x")])
        self.peer.drop()
        self.step()
