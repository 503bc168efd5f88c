"""Tests of ``wsx._wire.decoder``: valid and invalid frames."""

from __future__ import annotations

import itertools
import random

from wsx._wire.assembler import LARGE_PAYLOAD
from wsx._wire.decoder import BATCH_SIZE
from wsx._wire.encoder import FIN
from wsx.errors import FrameError
from wsx.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_PAYLOAD,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Binary,
    Ping,
    Pong,
    Text,
)
from wsx.test.support import close, server_frame, text
from wsx.test.support.decoding import (
    BAD_STREAMS,
    CONTROL,
    DATA,
    RSV2,
    RSV3,
    DecoderCase,
    RecordingDecoder,
    feed_all,
    fragments,
    length_form,
    one_byte_at_a_time,
)

# Invalid each for a reason of its own (RFC 3629), with text around that is valid.
BAD_UTF8 = {
    "a byte that never occurs": b"ab\xffcd",
    "a lone continuation byte": b"ab\x80cd",
    "an overlong form": b"ab\xc0\x80cd",
    "an overlong form of three bytes": b"ab\xe0\x80\x80cd",
    "a surrogate": b"ab\xed\xa0\x80cd",
    "past U+10FFFF": b"ab\xf4\x90\x80\x80cd",
    "a code point cut by ASCII": b"ab\xe2\x82cd",
    "a code point cut by the end": b"ab\xe2\x82",
    "a first byte at the end": b"ab\xc3",
}


class WholeFrameTests(DecoderCase):
    """Messages in one frame."""

    def test_examples_of_the_rfc(self) -> None:
        """[F1] The unmasked examples of RFC 6455 section 5.7 are decoded."""
        self.assert_decodes(bytes.fromhex("810548656c6c6f"), Text("Hello"))
        self.assert_decodes(bytes.fromhex("010348656c80026c6f"), Text("Hello"))
        self.assert_decodes(bytes.fromhex("890548656c6c6f"), Ping(b"Hello"))
        self.assert_decodes(bytes.fromhex("827e0100") + bytes(256), Binary(bytes(256)))
        self.assert_decodes(
            bytes.fromhex("827f0000000000010000") + bytes(65536), Binary(bytes(65536))
        )

    def test_text(self) -> None:
        """[F1] Text is decoded from UTF-8, with code points of one to four bytes."""
        self.assert_decodes(text("aé€😀\0"), Text("aé€😀\0"))

    def test_binary(self) -> None:
        """[F1] Binary payloads may have every byte value."""
        self.assert_decodes(server_frame(BINARY, bytes(range(256))), Binary(bytes(range(256))))

    def test_empty(self) -> None:
        """[F1] Messages and control frames may be empty."""
        for opcode, frame in (
            (TEXT, Text("")),
            (BINARY, Binary(b"")),
            (PING, Ping()),
            (PONG, Pong()),
        ):
            self.assert_decodes(server_frame(opcode), frame)

    def test_lengths(self) -> None:
        """[F1] Lengths of 7, 16 and 64 bits are decoded, on both sides of each boundary."""
        for length in (1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 200_000):
            data = random.Random(length).randbytes(length)
            self.assert_decodes(server_frame(BINARY, data), Binary(data))
            self.assert_decodes(text("x" * length), Text("x" * length))

    def test_control_frames_of_125_bytes(self) -> None:
        """A control frame may have 125 bytes."""
        for opcode, kind in ((PING, Ping), (PONG, Pong)):
            self.assert_decodes(server_frame(opcode, bytes(125)), kind(bytes(125)))

    def test_payload_types(self) -> None:
        """Payloads are exactly str or bytes, in one frame and in fragments."""
        whole = text("a") + server_frame(BINARY, b"b") + server_frame(PING, b"c")
        parts = b"".join(fragments(TEXT, b"a", b"b") + fragments(BINARY, b"c", b"d"))
        frames = RecordingDecoder().feed(whole + parts)
        kinds = [type(frame.payload) for frame in frames]
        self.assertEqual(kinds, [str, bytes, bytes, str, bytes])

    def test_several_in_one_read(self) -> None:
        """[F3] Several frames in one read are returned in order."""
        data = text("1") + server_frame(PING, b"2") + server_frame(BINARY, b"3") + text("4")
        self.assert_decodes(data, Text("1"), Ping(b"2"), Binary(b"3"), Text("4"))

    def test_thousands_in_one_read(self) -> None:
        """[F3] Thousands of small frames in one read are all returned."""
        frames = feed_all(RecordingDecoder(), [b"".join(text(str(i)) for i in range(5000))])
        self.assertEqual(frames, [Text(str(i)) for i in range(5000)])

    def test_batches(self) -> None:
        """The frames of a large read are returned in batches of ``BATCH_SIZE``."""
        decoder = RecordingDecoder()
        data = b"".join(text(str(i)) for i in range(2 * BATCH_SIZE)) + server_frame(PING)
        first = decoder.feed(data)
        self.assertEqual(first, [Text(str(i)) for i in range(BATCH_SIZE)])
        self.assertTrue(decoder.more)
        self.assertEqual(len(decoder.feed(b"")), BATCH_SIZE)
        self.assertEqual(feed_all(decoder, [b""]), [Ping()])
        self.assertEqual(feed_all(decoder, [text("next")]), [Text("next")])

    def test_read_between_batches(self) -> None:
        """No frame is lost if the next read is fed before all batches were taken."""
        decoder = RecordingDecoder()
        frames = decoder.feed(
            b"".join(text(str(i)) for i in range(BATCH_SIZE + 10)) + text("cut")[:3]
        )
        frames += feed_all(decoder, [text("cut")[3:]])
        self.assertEqual(frames, [*(Text(str(i)) for i in range(BATCH_SIZE + 10)), Text("cut")])

    def test_batches_of_control_frames(self) -> None:
        """Pings inside a message are returned in batches as well."""
        decoder = RecordingDecoder()
        start, end = fragments(TEXT, b"a", b"b")
        frames = decoder.feed(start + server_frame(PING) * (2 * BATCH_SIZE) + end)
        self.assertEqual(frames, [Ping()] * BATCH_SIZE)
        self.assertEqual(feed_all(decoder, [b""]), [Ping()] * BATCH_SIZE + [Text("ab")])

    def test_failure_after_a_batch(self) -> None:
        """An error behind a full batch is reported with the next batch; nothing follows it."""
        decoder = RecordingDecoder()
        frames = decoder.feed(text("x") * BATCH_SIZE + server_frame(3) + text("y"))
        self.assertEqual((len(frames), decoder.failure), (BATCH_SIZE, None))
        self.assertEqual(feed_all(decoder, [b""]), [])
        self.assertIsInstance(decoder.failure, FrameError)
        self.assertFalse(decoder.more)

    def test_close_after_a_batch(self) -> None:
        """A close frame behind a full batch ends the stream; nothing follows it."""
        decoder = RecordingDecoder()
        frames = feed_all(decoder, [text("x") * BATCH_SIZE + close(1000) + text("y")])
        self.assertEqual(len(frames), BATCH_SIZE)
        self.assertIsNotNone(decoder.close)

    def test_whole_frames_and_a_beginning(self) -> None:
        """[F3] The complete frames of a read are returned although it ends inside another one."""
        decoder = RecordingDecoder()
        last = server_frame(BINARY, b"later")
        self.assertEqual(decoder.feed(text("a") + text("b") + last[:4]), [Text("a"), Text("b")])
        self.assertEqual(decoder.feed(last[4:]), [Binary(b"later")])

    def test_empty_read(self) -> None:
        """An empty read changes nothing, also inside a frame."""
        decoder = RecordingDecoder()
        data = text("hello")
        reads = [b"", data[:1], b"", data[1:4], b"", data[4:], b""]
        self.assertEqual(feed_all(decoder, reads), [Text("hello")])


class BadFrameTests(DecoderCase):
    """Frames that RFC 6455 forbids."""

    def test_fragmented_control_frame(self) -> None:
        """[F7] A control frame without FIN is refused with 1002."""
        for opcode in CONTROL:
            error = self.assert_refused(server_frame(opcode, b"", 0), PROTOCOL_ERROR)
            self.assertEqual(error.opcode, opcode)

    def test_long_control_frame(self) -> None:
        """[F7] A control frame of over 125 bytes is refused with 1002, in both length forms."""
        for opcode, length in itertools.product(CONTROL, (126, 65536)):
            error = self.assert_refused(server_frame(opcode, bytes(length)), PROTOCOL_ERROR)
            self.assertEqual(error.opcode, opcode)

    def test_long_control_frame_is_not_waited_for(self) -> None:
        """[F7] A control frame of over 125 bytes is refused after its first two bytes."""
        for opcode, length in itertools.product(CONTROL, (126, 127)):
            self.assert_refused(bytes([FIN | opcode, length]), PROTOCOL_ERROR)

    def test_close_with_half_a_code(self) -> None:
        """[F8] A close frame of one byte is refused with 1002."""
        self.assert_refused(server_frame(CLOSE, b"\x03"), PROTOCOL_ERROR)

    def test_bad_close_codes(self) -> None:
        """[F8] A close code that must not be sent is refused with 1002."""
        bad = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        for code, message in itertools.product(bad, ("", "why")):
            error = self.assert_refused(close(code, message), PROTOCOL_ERROR, what=f"{code}")
            self.assertEqual(error.opcode, CLOSE)

    def test_good_close_codes(self) -> None:
        """Close codes of RFC 6455, the IANA registry, libraries and applications are accepted."""
        registered = (*range(1000, 1004), *range(1007, 1015))
        for code in (*registered, 3000, 3999, 4000, 4999):
            decoder = RecordingDecoder()
            decoder.feed(close(code))
            self.assertIsNone(decoder.failure, code)
            assert decoder.close is not None
            self.assertEqual((decoder.close.code, decoder.close.message), (code, ""))

    def test_close_without_a_code(self) -> None:
        """A close frame without a code has code 1005 and no message."""
        decoder = RecordingDecoder()
        decoder.feed(close())
        assert decoder.close is not None
        self.assertEqual((decoder.close.code, decoder.close.message), (1005, ""))

    def test_close_message(self) -> None:
        """A close message is UTF-8, of up to 123 bytes."""
        for message in ("é€😀", "x" * 123):
            decoder = RecordingDecoder()
            decoder.feed(close(1000, message))
            assert decoder.close is not None
            self.assertEqual((decoder.close.code, decoder.close.message), (1000, message))

    def test_close_message_with_bad_utf8(self) -> None:
        """[F8] A close message that is not UTF-8 is refused with 1007."""
        for what, data in BAD_UTF8.items():
            frame = server_frame(CLOSE, b"\x03\xe8" + data)
            self.assert_refused(frame, INVALID_PAYLOAD, what=what)

    def test_reserved_bits(self) -> None:
        """[F10] Each reserved bit and each combination is refused with 1002, on every frame."""
        for bits in range(RSV3, FIN, RSV3):
            for opcode in (TEXT, BINARY, *CONTROL):
                error = self.assert_refused(server_frame(opcode, b"", FIN | bits), PROTOCOL_ERROR)
                self.assertEqual(error.opcode, opcode)
            start = server_frame(TEXT, b"a", 0)
            more = server_frame(CONTINUATION, b"b", FIN | bits)
            self.assert_refused(start + more, PROTOCOL_ERROR, what=f"continuation {bits:#x}")

    def test_reserved_opcodes(self) -> None:
        """[F10] Each reserved opcode is refused with 1002, with FIN and without."""
        for opcode in (*range(3, 8), *range(11, 16)):
            for flags, payload in itertools.product((FIN, 0), (b"", b"hi")):
                frame = server_frame(opcode, payload, flags)
                error = self.assert_refused(frame, PROTOCOL_ERROR, what=f"opcode {opcode}")
                self.assertEqual(error.opcode, opcode)

    def test_masked(self) -> None:
        """[F11] A masked frame from the server is refused with 1002, whatever its length."""
        for opcode, length in itertools.product((*DATA, *CONTROL), (0, 2, 125)):
            frame = server_frame(opcode, b"\0" * length, mask=b"\1\2\3\4")
            error = self.assert_refused(frame, PROTOCOL_ERROR, what=f"{opcode} {length}")
            self.assertIn("masked", error.reason)
        for opcode, length in itertools.product(DATA, (126, 65536)):
            frame = server_frame(opcode, bytes(length), mask=b"\1\2\3\4")
            self.assert_refused(frame, PROTOCOL_ERROR, what=f"{opcode} {length}")

    def test_masked_with_zeros(self) -> None:
        """[F11] A frame with a masking key of zeros is refused as well."""
        self.assert_refused(server_frame(TEXT, b"hi", mask=bytes(4)), PROTOCOL_ERROR)

    def test_length_not_minimal(self) -> None:
        """[F12] A length in more bytes than necessary is refused with 1002."""
        for size, lengths in ((2, (0, 1, 125)), (8, (0, 125, 126, 65535))):
            for opcode, length in itertools.product(DATA, lengths):
                frame = length_form(opcode, length, size) + b"a" * length
                self.assert_refused(frame, PROTOCOL_ERROR, what=f"{length} in {size} bytes")

    def test_length_not_minimal_within_a_message(self) -> None:
        """[F12] The same rule holds for a continuation."""
        frame = length_form(CONTINUATION, 5, 2) + b"hello"
        self.assert_refused(server_frame(BINARY, b"a", 0) + frame, PROTOCOL_ERROR)

    def test_length_with_highest_bit(self) -> None:
        """[F12] A 64-bit length with its highest bit set is refused with 1002."""
        for length in (1 << 63, (1 << 64) - 1):
            self.assert_refused(length_form(BINARY, length, 8), PROTOCOL_ERROR)

    def test_two_bytes_are_enough(self) -> None:
        """An error in the first two bytes is refused before the length is known."""
        for first, second in (
            (FIN | RSV2 | TEXT, 126),
            (FIN | 3, 127),
            (FIN | BINARY, 0x80 | 126),
            (FIN | CONTINUATION, 126),
        ):
            self.assert_refused(bytes([first, second]), PROTOCOL_ERROR)

    def test_reasons(self) -> None:
        """Each kind of error has a reason of its own."""
        reasons = set()
        for data in (
            server_frame(TEXT, b"", FIN | RSV2),
            server_frame(3),
            server_frame(TEXT, mask=b"abcd"),
            server_frame(CONTINUATION),
            server_frame(PING, flags=0),
            server_frame(CLOSE, b"x"),
            close(1005),
        ):
            reasons.add(self.assert_refused(data, PROTOCOL_ERROR).reason)
        self.assertEqual(len(reasons), 7, reasons)


class Utf8Tests(DecoderCase):
    """Text that is not UTF-8 (RFC 6455 section 8.1)."""

    def test_whole(self) -> None:
        """[F9] A text message that is not UTF-8 is refused with 1007."""
        for what, data in BAD_UTF8.items():
            error = self.assert_refused(server_frame(TEXT, data), INVALID_PAYLOAD, what=what)
            self.assertEqual(error.opcode, TEXT)

    def test_long(self) -> None:
        """[F9] Long messages that are not UTF-8 are refused with 1007."""
        for padding in (200, 70_000):
            data = server_frame(TEXT, b"x" * padding + b"\xff")
            self.assert_refused(data, INVALID_PAYLOAD, what=f"{padding}")

    def test_across_fragments(self) -> None:
        """[F9] Fragments that are not UTF-8 are refused with 1007, wherever they are cut."""
        for what, data in BAD_UTF8.items():
            for cut in range(len(data) + 1):
                frames = b"".join(fragments(TEXT, data[:cut], data[cut:]))
                self.assert_refused(frames, INVALID_PAYLOAD, what=f"{what}, cut at {cut}")

    def test_with_control_frames_between(self) -> None:
        """[F9] A bad code point with a ping between its halves is refused."""
        first, last = fragments(TEXT, b"\xed", b"\xa0\x80")
        data = first + server_frame(PING, b"\xff") + last
        self.assert_refused(data, INVALID_PAYLOAD, Ping(b"\xff"))

    def test_fails_within_a_partial_frame(self) -> None:
        """[F9] A bad byte is refused when it arrives, before its frame is complete."""
        for what, data in BAD_UTF8.items():
            if data.endswith(b"cd"):
                whole = server_frame(TEXT, data + b"x" * 100)
                self.assert_refused(whole[: 2 + len(data)], INVALID_PAYLOAD, what=what)

    def test_fails_with_the_first_impossible_byte(self) -> None:
        """[F9] One byte at a time, the first byte that makes the text invalid is refused."""
        # Surrogates are not included: Python's decoder refuses them one byte later than possible.
        for data in (b"\xff", b"a\x80", b"\xc0", b"\xe0\x80", b"\xf0\x80", b"\xf4\x90", b"\xc3a"):
            frame = server_frame(TEXT, data + b"x" * 50)
            decoder = RecordingDecoder()
            start = len(frame) - 50 - len(data)
            feed_all(decoder, one_byte_at_a_time(frame[: start + len(data) - 1]))
            self.assertIsNone(decoder.failure, f"{data!r}: too early")
            decoder.feed(data[-1:])
            assert decoder.failure is not None, f"{data!r}: too late"
            self.assertEqual(decoder.failure.close_code, INVALID_PAYLOAD)

    def test_fails_within_the_message(self) -> None:
        """[F9] A bad fragment is refused before the message is complete."""
        first, second, _ = fragments(TEXT, b"good", b"b\xffd", b"good")
        self.assert_refused(first + second, INVALID_PAYLOAD)

    def test_late_in_a_long_message(self) -> None:
        """[F9] Behind the first 64 KiB a bad byte is refused when the message is complete."""
        for size, early in ((LARGE_PAYLOAD - 1, True), (LARGE_PAYLOAD, False)):
            first, last = fragments(TEXT, b"x" * size + b"\xff", b"x")
            decoder = RecordingDecoder()
            decoder.feed(first)
            self.assertEqual(decoder.failure is not None, early, f"{size} bytes before it")
            decoder.feed(last)
            assert decoder.failure is not None
            self.assertEqual(decoder.failure.close_code, INVALID_PAYLOAD)

    def test_incomplete_code_point_is_waited_for(self) -> None:
        """[F9] Half a code point at the end of a fragment or read is no error yet."""
        for data in (server_frame(TEXT, b"\xe2\x82", 0), server_frame(TEXT, b"\xe2\x82\xac")[:-1]):
            self.assert_decodes(data)

    def test_binary_is_not_checked(self) -> None:
        """[F9] Binary messages are not checked, in one frame or in fragments."""
        for data in BAD_UTF8.values():
            self.assert_decodes(server_frame(BINARY, data), Binary(data))
            self.assert_decodes(b"".join(fragments(BINARY, data, data)), Binary(data + data))


class EndTests(DecoderCase):
    """Nothing comes after a failure or a close frame."""

    def test_frames_before_an_error(self) -> None:
        """Frames before an error in the same read are returned."""
        before = text("a") + server_frame(PING, b"b") + b"".join(fragments(BINARY, b"c", b"d"))
        for what, (data, code) in BAD_STREAMS.items():
            self.assert_refused(
                before + data, code, Text("a"), Ping(b"b"), Binary(b"cd"), what=what
            )

    def test_frames_before_a_close(self) -> None:
        """Frames before a close frame in the same read are returned."""
        decoder = RecordingDecoder()
        self.assertEqual(
            decoder.feed(text("a") + server_frame(PING) + close()), [Text("a"), Ping()]
        )
        self.assertIsNotNone(decoder.close)

    def test_nothing_after_a_failure(self) -> None:
        """After an error nothing is decoded, in the same read or later."""
        for what, (data, _) in BAD_STREAMS.items():
            decoder = RecordingDecoder()
            more = text("b") + server_frame(PONG, b"own") + close(1000)
            self.assertEqual(decoder.feed(data + more), [], what)
            failure = decoder.failure
            self.assertIsNotNone(failure)
            self.assertEqual(decoder.feed(more), [], what)
            self.assertEqual(decoder.feed(server_frame(3)), [], what)
            self.assertIs(decoder.failure, failure, what)
            self.assertIsNone(decoder.close, what)

    def test_nothing_after_a_close(self) -> None:
        """After a close frame nothing is decoded, in the same read or later."""
        decoder = RecordingDecoder()
        more = text("b") + server_frame(PONG, b"own") + close(1001)
        self.assertEqual(decoder.feed(close(1000) + more), [])
        self.assertEqual(decoder.feed(more), [])
        assert decoder.close is not None
        self.assertEqual(decoder.close.code, 1000)

    def test_no_failure_after_a_close(self) -> None:
        """An invalid frame after a close frame is not an error."""
        for what, (data, _) in BAD_STREAMS.items():
            decoder = RecordingDecoder()
            decoder.feed(close(1000) + data)
            decoder.feed(data)
            self.assertIsNone(decoder.failure, what)

    def test_nothing_wrong_at_first(self) -> None:
        """A new decoder has neither an error nor a close frame."""
        decoder = RecordingDecoder()
        self.assertIsNone(decoder.failure)
        self.assertIsNone(decoder.close)
