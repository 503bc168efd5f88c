"""Tests of ``wsx._wire.assembler``: join the fragments of a message."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.assembler import LARGE_PAYLOAD, MessageAssembler, invalid_utf8
from wsx.errors import FrameError
from wsx.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_PAYLOAD,
    MESSAGE_TOO_BIG,
    TEXT,
    Binary,
    Frame,
    Text,
)
from wsx.test.support.decoding import FakeInflater


class AssemblerCase(SynchronousTestCase):
    """Base class: an assembler with a message in progress."""

    def begin(
        self,
        opcode: int,
        limit: int | None = None,
        inflater: FakeInflater | None = None,
        compressed: bool = False,
    ) -> MessageAssembler:
        """Return an assembler that has started a message."""
        assembler = MessageAssembler(limit, inflater)
        assembler.begin(opcode, compressed)
        return assembler

    def assert_refused(self, code: int, function: Any, *arguments: Any) -> FrameError:
        """The call raises a FrameError with this close code."""
        error = self.assertRaises(FrameError, function, *arguments)
        self.assertEqual(error.close_code, code)
        return error


class JoinTests(AssemblerCase):
    """Join the parts of plain messages."""

    def test_one_part(self) -> None:
        """A message may have one part, which may be empty."""
        self.assertEqual(self.begin(TEXT).add(b"gr\xc3\xbcn", True), Text("grün"))
        self.assertEqual(self.begin(BINARY).add(b"\xff", True), Binary(b"\xff"))
        self.assertEqual(self.begin(TEXT).add(b"", True), Text(""))
        self.assertEqual(self.begin(BINARY).add(b"", True), Binary(b""))

    def test_parts(self) -> None:
        """Parts are joined in order; only the last one completes the message."""
        for opcode, expected in ((TEXT, Text("abc")), (BINARY, Binary(b"abc"))):
            assembler = self.begin(opcode)
            for part in (b"", b"a", b"b", b""):
                self.assertIsNone(assembler.add(part, False))
            self.assertEqual(assembler.add(b"c", True), expected)

    def test_opcode(self) -> None:
        """``opcode`` is that of the message in progress, otherwise ``CONTINUATION``."""
        assembler = MessageAssembler(None, None)
        self.assertEqual(assembler.opcode, CONTINUATION)
        for opcode in (TEXT, BINARY):
            assembler.begin(opcode, False)
            assembler.add(b"a", False)
            self.assertEqual(assembler.opcode, opcode)
            assembler.add(b"b", True)
            self.assertEqual(assembler.opcode, CONTINUATION)

    def test_fragmented(self) -> None:
        """``fragmented`` is reset when a message starts."""
        assembler = self.begin(TEXT)
        self.assertFalse(assembler.fragmented)
        assembler.fragmented = True
        assembler.add(b"a", True)
        self.assertTrue(assembler.fragmented)
        assembler.begin(TEXT, False)
        self.assertFalse(assembler.fragmented)

    def test_message_after_message(self) -> None:
        """A message has nothing of the one before it."""
        assembler = self.begin(TEXT, limit=4)
        frames: list[Frame | None] = []
        for opcode in (TEXT, BINARY, TEXT):
            assembler.begin(opcode, False)
            assembler.announce(4)
            assembler.add(b"ab", False)
            frames.append(assembler.add(b"cd", True))
        self.assertEqual(frames, [Text("abcd"), Binary(b"abcd"), Text("abcd")])

    def test_two_at_a_time(self) -> None:
        """Messages of two connections do not mix."""
        one, other = self.begin(TEXT), self.begin(TEXT)
        one.add(b"a", False)
        other.add(b"b", False)
        frames = [one.add(b"1", True), other.add(b"2", True)]
        self.assertEqual(frames, [Text("a1"), Text("b2")])


class TextTests(AssemblerCase):
    """Refuse text that is not UTF-8 (RFC 6455 section 8.1)."""

    def test_code_point_in_parts(self) -> None:
        """A code point may be cut between parts, at each of its bytes."""
        data = "aé€😀b".encode()
        for cut in range(len(data) + 1):
            assembler = self.begin(TEXT)
            assembler.add(data[:cut], False)
            self.assertEqual(assembler.add(data[cut:], True), Text("aé€😀b"), cut)
        assembler = self.begin(TEXT)
        for byte in data:
            self.assertIsNone(assembler.add(bytes([byte]), False))
        self.assertEqual(assembler.add(b"", True), Text("aé€😀b"))

    def test_early(self) -> None:
        """[F9] Invalid UTF-8 is refused in the part that has it, before the message is complete."""
        for first, bad in (
            (b"a", b"\xff"),
            (b"\xe2", b"a"),
            (b"\xe2\x82", b"\xe2"),
            (b"", b"\x80"),
        ):
            assembler = self.begin(TEXT)
            assembler.add(first, False)
            error = self.assert_refused(INVALID_PAYLOAD, assembler.add, bad, False)
            self.assertEqual(error.opcode, TEXT)

    def test_last_part(self) -> None:
        """[F9] Invalid UTF-8 in the last part, or a cut code point, is refused."""
        for bad in (b"a\xff", b"\xe2\x82", b"\xc3"):
            assembler = self.begin(TEXT)
            assembler.add(b"good", False)
            self.assert_refused(INVALID_PAYLOAD, assembler.add, bad, True)

    def test_incomplete_until_the_end(self) -> None:
        """[F9] A code point that the message does not complete is refused at its end."""
        assembler = self.begin(TEXT)
        self.assertIsNone(assembler.add(b"a\xe2\x82", False))
        self.assert_refused(INVALID_PAYLOAD, assembler.add, b"", True)

    def test_large(self) -> None:
        """[F9] Text behind the first 64 KiB is checked when the message is complete."""
        for size, early in ((LARGE_PAYLOAD - 1, True), (LARGE_PAYLOAD, False)):
            assembler = self.begin(TEXT)
            part = b"x" * size + b"\xff"
            if early:
                self.assert_refused(INVALID_PAYLOAD, assembler.add, part, False)
            else:
                self.assertIsNone(assembler.add(part, False))
                self.assert_refused(INVALID_PAYLOAD, assembler.add, b"x", True)

    def test_binary(self) -> None:
        """Binary messages are not checked."""
        assembler = self.begin(BINARY)
        assembler.add(b"\xff", False)
        self.assertEqual(assembler.add(b"\x80", True), Binary(b"\xff\x80"))

    def test_error(self) -> None:
        """The error has the opcode of the frame and close code 1007."""
        for opcode in (TEXT, CLOSE):
            error = invalid_utf8(opcode)
            self.assertEqual((error.opcode, error.close_code), (opcode, INVALID_PAYLOAD))
            self.assertIn("UTF-8", error.reason)


class LimitTests(AssemblerCase):
    """``announce`` refuses a message as soon as a frame's length is known."""

    def test_announced(self) -> None:
        """A frame may announce as many bytes as the limit allows, and no more."""
        for opcode in (TEXT, BINARY):
            assembler = self.begin(opcode, limit=5)
            assembler.announce(5)
            error = self.assert_refused(MESSAGE_TOO_BIG, assembler.announce, 6)
            self.assertEqual(error.opcode, opcode)
            self.assertIn("5", error.reason)

    def test_added_up(self) -> None:
        """The fragments of a message count together."""
        assembler = self.begin(BINARY, limit=5)
        assembler.announce(3)
        assembler.add(b"abc", False)
        assembler.announce(2)
        self.assert_refused(MESSAGE_TOO_BIG, assembler.announce, 3)

    def test_buffer_counts(self) -> None:
        """Bytes that were read into the buffer count as well."""
        assembler = self.begin(BINARY, limit=2 * LARGE_PAYLOAD)
        assembler.add(b"", False)
        view = assembler.get_buffer(LARGE_PAYLOAD)
        assert view is not None
        view.release()
        assembler.buffer_updated(LARGE_PAYLOAD, False)
        assembler.announce(LARGE_PAYLOAD)
        self.assert_refused(MESSAGE_TOO_BIG, assembler.announce, LARGE_PAYLOAD + 1)

    def test_no_limit(self) -> None:
        """Without a limit a frame may announce any length."""
        self.begin(BINARY).announce((1 << 63) - 1)

    def test_compressed(self) -> None:
        """The length of a compressed frame is not checked: the limit is for the inflated size."""
        self.begin(BINARY, 5, FakeInflater(), compressed=True).announce(1000)


class CompressedTests(AssemblerCase):
    """Inflate compressed messages (RFC 7692 section 6.2)."""

    def setUp(self) -> None:
        self.inflater = FakeInflater()

    def test_inflated(self) -> None:
        """Each part is inflated as it arrives, between ``begin`` and ``end``."""
        assembler = self.begin(TEXT, None, self.inflater, compressed=True)
        self.assertIsNone(assembler.add(b"a", False))
        self.assertEqual(self.inflater.calls, ["begin", b"a"])
        self.assertEqual(assembler.add(b"b", True), Text("aabb"))
        self.assertEqual(self.inflater.calls, ["begin", b"a", b"b", "end"])

    def test_plain(self) -> None:
        """A message that is not compressed does not reach the inflater."""
        assembler = self.begin(TEXT, None, self.inflater)
        self.assertEqual(assembler.add(b"a", True), Text("a"))
        self.assertEqual(self.inflater.calls, [])

    def test_limit(self) -> None:
        """The inflater receives the number of bytes by which the message may still grow."""
        assembler = self.begin(BINARY, 6, self.inflater, compressed=True)
        assembler.add(b"ab", False)
        assembler.add(b"c", True)
        self.assertEqual(self.inflater.limits, [6, 2])

    def test_errors(self) -> None:
        """Errors of the inflater are passed on."""
        assembler = self.begin(BINARY, 3, self.inflater, compressed=True)
        self.assert_refused(MESSAGE_TOO_BIG, assembler.add, b"ab", False)
        assembler = self.begin(BINARY, None, self.inflater, compressed=True)
        self.assert_refused(INVALID_PAYLOAD, assembler.add, b"!", False)
        assembler = self.begin(BINARY, None, FakeInflater(bad_end=True), compressed=True)
        self.assert_refused(INVALID_PAYLOAD, assembler.add, b"a", True)

    def test_text(self) -> None:
        """[F9] Text is checked after inflation."""
        assembler = self.begin(TEXT, None, self.inflater, compressed=True)
        self.assert_refused(INVALID_PAYLOAD, assembler.add, b"\xff", False)


class BufferTests(AssemblerCase):
    """Read large payloads directly into the message's buffer."""

    def write(self, assembler: MessageAssembler, data: bytes, is_last: bool) -> Frame | None:
        """Write to the assembler's buffer."""
        view = assembler.get_buffer(max(len(data), LARGE_PAYLOAD))
        assert view is not None
        with view:
            view[: len(data)] = data
        return assembler.buffer_updated(len(data), is_last)

    def test_binary(self) -> None:
        """Bytes written to the buffer follow the parts that were added."""
        assembler = self.begin(BINARY)
        assembler.add(b"one ", False)
        self.assertIsNone(self.write(assembler, b"two ", False))
        self.assertIsNone(assembler.add(b"three ", False))
        self.assertEqual(self.write(assembler, b"four", True), Binary(b"one two three four"))
        self.assertEqual(assembler.opcode, CONTINUATION)

    def test_size(self) -> None:
        """The buffer has no more bytes than are missing."""
        assembler = self.begin(BINARY)
        assembler.add(b"", False)
        view = assembler.get_buffer(LARGE_PAYLOAD)
        assert view is not None
        with view:
            self.assertEqual(len(view), LARGE_PAYLOAD)

    def test_little_is_missing(self) -> None:
        """There is no buffer for less than 64 KiB."""
        assembler = self.begin(BINARY)
        assembler.add(b"", False)
        self.assertIsNone(assembler.get_buffer(LARGE_PAYLOAD - 1))

    def test_compressed(self) -> None:
        """There is no buffer for a compressed message."""
        assembler = self.begin(BINARY, None, FakeInflater(), compressed=True)
        assembler.add(b"a", False)
        self.assertIsNone(assembler.get_buffer(10 * LARGE_PAYLOAD))

    def test_text(self) -> None:
        """There is a buffer for text once it is only checked at its end."""
        assembler = self.begin(TEXT)
        assembler.add(b"x" * LARGE_PAYLOAD, False)
        self.assertIsNone(assembler.get_buffer(10 * LARGE_PAYLOAD))
        assembler.add(b"x", False)
        frame = self.write(assembler, "é".encode(), True)
        self.assertEqual(frame, Text("x" * (LARGE_PAYLOAD + 1) + "é"))

    def test_invalid_text(self) -> None:
        """[F9] Text in the buffer that is not UTF-8 is refused when the message is complete."""
        assembler = self.begin(TEXT)
        assembler.add(b"x" * (LARGE_PAYLOAD + 1), False)
        self.assertIsNone(self.write(assembler, b"\xff", False))
        self.assert_refused(INVALID_PAYLOAD, assembler.buffer_updated, 0, True)
