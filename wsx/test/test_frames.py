"""Tests of wsx.frames: frame values, close codes, and what can be sent."""

from __future__ import annotations

from array import array
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.frames import close_payload, is_wire_close_code, wire_payload
from wsx.test.support import case
from wsx.test.support.each import each

KINDS: list[tuple[type[Any], Any]] = [
    (wsx.Text, "payload"),
    (wsx.Binary, b"payload"),
    (wsx.Ping, b"payload"),
    (wsx.Pong, b"payload"),
]
BYTES_KINDS = (wsx.Binary, wsx.Ping, wsx.Pong)
CONTROL_KINDS = (wsx.Ping, wsx.Pong)

# RFC 6455 section 7.4.1 and the IANA registry.
SENDABLE = (
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    *(3000, 3999, 4000, 4999),
)
UNSENDABLE = (-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535, 65536)


class FrameValueTests(SynchronousTestCase):
    """Frames as values."""

    def test_payload(self) -> None:
        """The only attribute of a frame is its payload."""
        for kind, payload in KINDS:
            with case(kind):
                self.assertEqual(kind(payload).payload, payload)
                self.assertIs(type(kind(payload).payload), type(payload))

    def test_empty(self) -> None:
        """Text and Binary may be empty."""
        self.assertEqual(wsx.Text("").payload, "")
        self.assertEqual(wsx.Binary(b"").payload, b"")

    def test_control_frames_default_to_empty(self) -> None:
        """``Ping()`` and ``Pong()`` have no payload."""
        for kind in CONTROL_KINDS:
            self.assertEqual(kind().payload, b"")

    def test_messages_have_no_default(self) -> None:
        """``Text()`` and ``Binary()`` raise TypeError."""
        for kind in (wsx.Text, wsx.Binary):
            self.assertRaises(TypeError, kind)

    def test_bytes_like(self) -> None:
        """Binary, Ping and Pong accept any bytes-like object, and store bytes."""
        numbers = array("H", [1, 2])
        likes: list[tuple[Any, bytes]] = [
            (bytearray(b"abc"), b"abc"),
            (memoryview(b"abc"), b"abc"),
            (memoryview(b"a-b-c")[::2], b"abc"),
            (numbers, numbers.tobytes()),
        ]
        for kind in BYTES_KINDS:
            for like, expected in likes:
                with case((kind, like)):
                    frame = kind(like)
                    self.assertIs(type(frame.payload), bytes)
                    self.assertEqual(frame.payload, expected)

    def test_copy_of_a_mutable_payload(self) -> None:
        """Changing a bytearray afterwards does not change the frame."""
        payload = bytearray(b"abc")
        frame = wsx.Binary(payload)
        payload[0] = 0
        self.assertEqual(frame.payload, b"abc")

    def test_equality(self) -> None:
        """Frames of the same type and payload are equal and have the same hash."""
        for kind, payload in KINDS:
            with case(kind):
                self.assertEqual(kind(payload), kind(payload))
                self.assertEqual(hash(kind(payload)), hash(kind(payload)))
                self.assertNotEqual(kind(payload), kind(payload + payload))

    def test_bytes_like_equality(self) -> None:
        """A frame made from a bytearray equals the one made from bytes, and is hashable."""
        self.assertEqual(wsx.Binary(bytearray(b"a")), wsx.Binary(b"a"))
        self.assertEqual(hash(wsx.Binary(bytearray(b"a"))), hash(wsx.Binary(b"a")))

    def test_types_differ(self) -> None:
        """Frames of different types are never equal, and a frame never equals its payload."""
        for kind, payload in KINDS:
            for other, other_payload in KINDS:
                if kind is not other:
                    self.assertNotEqual(kind(payload), other(other_payload))
            self.assertNotEqual(kind(payload), payload)

    def test_set_of_frames(self) -> None:
        """Frames can be members of sets and keys."""
        frames = {wsx.Ping(b"a"), wsx.Ping(b"a"), wsx.Pong(b"a"), wsx.Binary(b"a")}
        self.assertEqual(len(frames), 3)

    def test_match(self) -> None:
        """Frames can be matched by position."""
        for kind, payload in KINDS:
            match kind(payload):
                case wsx.Text(found) | wsx.Binary(found) | wsx.Ping(found) | wsx.Pong(found):
                    self.assertEqual(found, payload)
                case _:
                    self.fail(f"{kind} does not match by position")

    def test_match_of_another_type(self) -> None:
        """A Pong does not match as a Ping, nor Text("a") as Text("b")."""
        match wsx.Pong(b"x"):
            case wsx.Ping(_):
                self.fail("a Pong matches as a Ping")
        match wsx.Text("a"):
            case wsx.Text("b"):
                self.fail("the payload is not matched")

    def test_delete(self) -> None:
        """The payload of a frame cannot be deleted."""
        for frame in (wsx.Text("hi"), wsx.Binary(b"hi"), wsx.Ping(), wsx.Pong()):
            before = repr(frame)
            with self.assertRaises(AttributeError):
                del frame.payload
            self.assertEqual(repr(frame), before)

    def test_no_other_attributes(self) -> None:
        """A frame has no attribute other than its payload."""
        for kind, payload in KINDS:
            with self.assertRaises(AttributeError):
                kind(payload).extra = 1


class FrameReprTests(SynchronousTestCase):
    """``repr`` of frames."""

    def test_short(self) -> None:
        """A short frame's repr is its constructor call."""
        cases = [
            (wsx.Text("hi"), "Text('hi')"),
            (wsx.Text("it's"), 'Text("it\'s")'),
            (wsx.Binary(b"\x00a"), "Binary(b'\\x00a')"),
            (wsx.Ping(), "Ping(b'')"),
            (wsx.Pong(b"x"), "Pong(b'x')"),
        ]
        for frame, expected in cases:
            self.assertEqual(repr(frame), expected)

    def test_boundary(self) -> None:
        """A repr of 75 characters is complete; a longer one is truncated to 75."""
        fits = "x" * (75 - len("Text('')"))
        self.assertEqual(repr(wsx.Text(fits)), f"Text('{fits}')")
        cut = repr(wsx.Text(fits + "x"))
        self.assertEqual(len(cut), 75)
        self.assertIn("...", cut)

    def test_cut_in_the_middle(self) -> None:
        """The repr of a long payload shows its beginning and its end."""
        for length in (80, 149, 150, 151, 1000, 1_000_000):
            for frame in (
                wsx.Text("begin" + "x" * length + "end"),
                wsx.Binary(b"begin" + b"\xff" * length + b"end"),
            ):
                text = repr(frame)
                with case((length, text)):
                    self.assertLessEqual(len(text), 75)
                    self.assertRegex(text, r"^(Text\('|Binary\(b')begin.*\.\.\..*end'\)$")


class WirePayloadTests(SynchronousTestCase):
    """[F13] What can be sent, and what is refused."""

    def test_text(self) -> None:
        """Text is sent as UTF-8."""
        self.assertEqual(wire_payload(wsx.Text("grüße €")), "grüße €".encode())

    def test_bytes(self) -> None:
        """Binary, Ping and Pong are sent unchanged."""
        for kind in BYTES_KINDS:
            self.assertEqual(wire_payload(kind(b"\x00\xff")), b"\x00\xff")

    def test_empty(self) -> None:
        """Every kind of frame can be empty."""
        for kind, payload in KINDS:
            self.assertEqual(wire_payload(kind(payload[:0])), b"")

    def test_subclass(self) -> None:
        """An instance of a subclass is a frame."""

        class Note(wsx.Text):
            pass

        self.assertEqual(wire_payload(Note("x")), b"x")

    def test_control_payload_limit(self) -> None:
        """[F13] A control frame of 125 bytes can be sent.

        One of 126 bytes is a FrameEncodeError.
        """
        for kind, name in ((wsx.Ping, "ping"), (wsx.Pong, "pong")):
            with case(kind):
                self.assertEqual(wire_payload(kind(b"x" * 125)), b"x" * 125)
                error = self.assertRaises(wsx.FrameEncodeError, wire_payload, kind(b"x" * 126))
                self.assertEqual(error.frame_type, name)
                self.assertEqual(error.frame_payload, b"x" * 126)
                self.assertIsNone(error.close_code)

    @each(
        [
            ("ping", wsx.Ping(b"x" * 126), "payload: expected at most 125 bytes, got 126"),
            (
                "text",
                wsx.Text("\ud800"),
                "payload: expected text that can be encoded as UTF-8: surrogates not allowed",
            ),
        ]
    )
    def test_message(self, kind: str, frame: wsx.Frame, reason: str) -> None:
        """The error names the frame, the limit and the size."""
        error = self.assertRaises(wsx.FrameEncodeError, wire_payload, frame)
        self.assertEqual(str(error), f"cannot send {kind} frame: {reason}")

    def test_messages_have_no_such_limit(self) -> None:
        """[F13] The limit of control frames does not apply to messages."""
        self.assertEqual(len(wire_payload(wsx.Binary(b"x" * 70_000))), 70_000)
        self.assertEqual(len(wire_payload(wsx.Text("x" * 70_000))), 70_000)

    def test_lone_surrogate(self) -> None:
        """[F13] Text with a lone surrogate is a FrameEncodeError."""
        error = self.assertRaises(wsx.FrameEncodeError, wire_payload, wsx.Text("a\ud800"))
        self.assertEqual(error.frame_type, "text")
        self.assertEqual(error.frame_payload, "a\ud800")

    def test_not_a_frame(self) -> None:
        """[F13] A value that is not a frame is an InvalidFrameError with that value."""
        things: list[Any] = [None, "text", b"bytes", 5, ("text", "hi"), [wsx.Text("a")], object()]
        things += [wsx.Text, wsx.Frame("x"), wsx.LocalClose(), wsx.Ok(None)]
        for thing in things:
            with case(type(thing)):
                error = self.assertRaises(wsx.InvalidFrameError, wire_payload, thing)
                self.assertIs(error.frame, thing)

    def test_wrong_payload_type(self) -> None:
        """[F13] A payload of the wrong type is an InvalidFrameError with the frame."""
        wrong: list[tuple[type[Any], list[Any]]] = [
            (wsx.Text, [b"bytes", bytearray(b"x"), None, 5, ["x"]]),
            (wsx.Binary, ["text", None, 5, [1, 2]]),
            (wsx.Ping, ["text", None, 5, [1, 2]]),
            (wsx.Pong, ["text", None, 5, [1, 2]]),
        ]
        for kind, payloads in wrong:
            for payload in payloads:
                with case((kind, payload)):
                    frame = kind(payload)
                    error = self.assertRaises(wsx.InvalidFrameError, wire_payload, frame)
                    self.assertIs(error.frame, frame)
                    self.assertTrue(str(error))


class ClosePayloadTests(SynchronousTestCase):
    """[F13] What can be in a close frame."""

    def test_codes_that_may_be_sent(self) -> None:
        """[F13] Each close code that RFC 6455 and IANA allow can be sent."""
        for code in SENDABLE:
            with case(code):
                self.assertTrue(is_wire_close_code(code))
                self.assertEqual(close_payload(code, "bye"), code.to_bytes(2, "big") + b"bye")

    def test_codes_that_may_not(self) -> None:
        """[F13] A close code out of range is a FrameEncodeError with that code."""
        for code in UNSENDABLE:
            with case(code):
                self.assertFalse(is_wire_close_code(code))
                error = self.assertRaises(wsx.FrameEncodeError, close_payload, code, "bye")
                self.assertEqual(error.frame_type, "close")
                self.assertEqual(error.close_code, code)
                self.assertEqual(error.frame_payload, "bye")

    def test_code_of_another_type(self) -> None:
        """[F13] A close code must be an int."""
        for code in ("1000", 1000.0, None, True, b"\x03\xe8"):
            with case(code):
                self.assertRaises(wsx.FrameEncodeError, close_payload, code, "")

    @each(
        [
            (
                "code",
                1005,
                "",
                "close code: expected 1000 to 1003, 1007 to 1014 or 3000 to 4999, got 1005",
            ),
            ("type", 1000, b"x", "close message: expected a str, got bytes"),
            ("length", 1000, "\u20ac" * 42, "close message: expected at most 123 bytes, got 126"),
            (
                "surrogate",
                1000,
                "\ud800",
                "close message: expected text that can be encoded as UTF-8: surrogates not allowed",
            ),
        ]
    )
    def test_text(self, label: str, code: int, message: object, reason: str) -> None:
        """The error names the expectation and the value, its size or its type."""
        error = self.assertRaises(wsx.FrameEncodeError, close_payload, code, message)
        self.assertEqual(str(error), f"cannot send close frame: {reason}")

    def test_empty_message(self) -> None:
        """The message of a close frame can be empty."""
        self.assertEqual(close_payload(1000, ""), b"\x03\xe8")

    def test_message_limit(self) -> None:
        """[F13] A message of 123 bytes can be sent; one of 124 bytes is a FrameEncodeError."""
        self.assertEqual(len(close_payload(1000, "x" * 123)), 125)
        error = self.assertRaises(wsx.FrameEncodeError, close_payload, 1000, "x" * 124)
        self.assertEqual((error.frame_type, error.close_code), ("close", 1000))

    def test_message_limit_is_in_bytes(self) -> None:
        """[F13] The limit counts bytes of UTF-8, not characters."""
        self.assertEqual(len(close_payload(1000, "€" * 41)), 125)
        self.assertRaises(wsx.FrameEncodeError, close_payload, 1000, "€" * 41 + "x")

    def test_message_of_another_type(self) -> None:
        """[F13] A message must be a str."""
        for message in (b"bye", None, 5):
            with case(message):
                self.assertRaises(wsx.FrameEncodeError, close_payload, 1000, message)

    def test_message_with_lone_surrogate(self) -> None:
        """[F13] A message with a lone surrogate is a FrameEncodeError."""
        self.assertRaises(wsx.FrameEncodeError, close_payload, 1000, "\udfff")
