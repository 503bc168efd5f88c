"""Tests of ``wsx._wire.decoder``: single frames, good and bad."""

from __future__ import annotations

import itertools
import random

from wsx._wire.decoder import BATCH, MUCH, Decoder
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
        """[F1] the unmasked examples of RFC 6455 section 5.7 mean what it says."""
        self.assert_decodes(bytes.fromhex("810548656c6c6f"), Text("Hello"))
        self.assert_decodes(bytes.fromhex("010348656c80026c6f"), Text("Hello"))
        self.assert_decodes(bytes.fromhex("890548656c6c6f"), Ping(b"Hello"))
        self.assert_decodes(bytes.fromhex("827e0100") + bytes(256), Binary(bytes(256)))
        self.assert_decodes(
            bytes.fromhex("827f0000000000010000") + bytes(65536), Binary(bytes(65536))
        )

    def test_text(self) -> None:
        """[F1] text is decoded from UTF-8, of one to four bytes a code point."""
        self.assert_decodes(text("aé€😀\0"), Text("aé€😀\0"))

    def test_binary(self) -> None:
        """[F1] binary is taken as it is, every byte value of it."""
        self.assert_decodes(server_frame(BINARY, bytes(range(256))), Binary(bytes(range(256))))

    def test_empty(self) -> None:
        """[F1] empty messages and control frames are frames like others."""
        for opcode, frame in (
            (TEXT, Text("")),
            (BINARY, Binary(b"")),
            (PING, Ping()),
            (PONG, Pong()),
        ):
            self.assert_decodes(server_frame(opcode), frame)

    def test_lengths(self) -> None:
        """[F1] lengths of 7, 16 and 64 bits, on both sides of each border."""
        for length in (1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 200_000):
            data = random.Random(length).randbytes(length)
            self.assert_decodes(server_frame(BINARY, data), Binary(data))
            self.assert_decodes(text("x" * length), Text("x" * length))

    def test_control_frames_of_125_bytes(self) -> None:
        """A control frame may have 125 bytes."""
        for opcode, kind in ((PING, Ping), (PONG, Pong)):
            self.assert_decodes(server_frame(opcode, bytes(125)), kind(bytes(125)))

    def test_payload_types(self) -> None:
        """Payloads are str and bytes themselves, by whatever path they came."""
        whole = text("a") + server_frame(BINARY, b"b") + server_frame(PING, b"c")
        parts = b"".join(fragments(TEXT, b"a", b"b") + fragments(BINARY, b"c", b"d"))
        frames = Decoder().feed(whole + parts)
        kinds = [type(frame.payload) for frame in frames]
        self.assertEqual(kinds, [str, bytes, bytes, str, bytes])

    def test_several_in_one_read(self) -> None:
        """[F3] several frames in one read come in their order."""
        data = text("1") + server_frame(PING, b"2") + server_frame(BINARY, b"3") + text("4")
        self.assert_decodes(data, Text("1"), Ping(b"2"), Binary(b"3"), Text("4"))

    def test_thousands_in_one_read(self) -> None:
        """[F3] thousands of small frames in one read are all there."""
        frames = feed_all(Decoder(), [b"".join(text(str(i)) for i in range(5000))])
        self.assertEqual(frames, [Text(str(i)) for i in range(5000)])

    def test_batches(self) -> None:
        """The frames of a large read come in batches that the garbage collector does not notice."""
        decoder = Decoder()
        data = b"".join(text(str(i)) for i in range(2 * BATCH)) + server_frame(PING)
        first = decoder.feed(data)
        self.assertEqual(first, [Text(str(i)) for i in range(BATCH)])
        self.assertTrue(decoder.more)
        self.assertEqual(len(decoder.feed(b"")), BATCH)
        self.assertEqual(feed_all(decoder, [b""]), [Ping()])
        self.assertEqual(feed_all(decoder, [text("next")]), [Text("next")])

    def test_read_between_batches(self) -> None:
        """Nothing is lost where the next read comes before the batches are all taken."""
        decoder = Decoder()
        frames = decoder.feed(b"".join(text(str(i)) for i in range(BATCH + 10)) + text("cut")[:3])
        frames += feed_all(decoder, [text("cut")[3:]])
        self.assertEqual(frames, [*(Text(str(i)) for i in range(BATCH + 10)), Text("cut")])

    def test_batches_of_control_frames(self) -> None:
        """Pings inside a message come in batches too."""
        decoder = Decoder()
        start, end = fragments(TEXT, b"a", b"b")
        frames = decoder.feed(start + server_frame(PING) * (2 * BATCH) + end)
        self.assertEqual(frames, [Ping()] * BATCH)
        self.assertEqual(feed_all(decoder, [b""]), [Ping()] * BATCH + [Text("ab")])

    def test_failure_after_a_batch(self) -> None:
        """What is wrong is found in its place, and nothing comes after it."""
        decoder = Decoder()
        frames = decoder.feed(text("x") * BATCH + server_frame(3) + text("y"))
        self.assertEqual((len(frames), decoder.failure), (BATCH, None))
        self.assertEqual(feed_all(decoder, [b""]), [])
        self.assertIsInstance(decoder.failure, FrameError)
        self.assertFalse(decoder.more)

    def test_close_after_a_batch(self) -> None:
        """A close frame is found in its place, and nothing comes after it."""
        decoder = Decoder()
        frames = feed_all(decoder, [text("x") * BATCH + close(1000) + text("y")])
        self.assertEqual(len(frames), BATCH)
        self.assertIsNotNone(decoder.close)

    def test_whole_frames_and_a_beginning(self) -> None:
        """[F3] a read may end inside a frame; the whole ones do not wait for the rest."""
        decoder = Decoder()
        last = server_frame(BINARY, b"later")
        self.assertEqual(decoder.feed(text("a") + text("b") + last[:4]), [Text("a"), Text("b")])
        self.assertEqual(decoder.feed(last[4:]), [Binary(b"later")])

    def test_empty_read(self) -> None:
        """A read of nothing changes nothing, not even within a frame."""
        decoder = Decoder()
        data = text("hello")
        reads = [b"", data[:1], b"", data[1:4], b"", data[4:], b""]
        self.assertEqual(feed_all(decoder, reads), [Text("hello")])


class BadFrameTests(DecoderCase):
    """What RFC 6455 forbids in one frame."""

    def test_fragmented_control_frame(self) -> None:
        """[F7] a control frame without FIN is refused with 1002."""
        for opcode in CONTROL:
            error = self.assert_refused(server_frame(opcode, b"", 0), PROTOCOL_ERROR)
            self.assertEqual(error.opcode, opcode)

    def test_long_control_frame(self) -> None:
        """[F7] a control frame of over 125 bytes is refused with 1002, in both length forms."""
        for opcode, length in itertools.product(CONTROL, (126, 65536)):
            error = self.assert_refused(server_frame(opcode, bytes(length)), PROTOCOL_ERROR)
            self.assertEqual(error.opcode, opcode)

    def test_long_control_frame_is_not_waited_for(self) -> None:
        """[F7] two bytes are enough to refuse a control frame of over 125 bytes."""
        for opcode, length in itertools.product(CONTROL, (126, 127)):
            self.assert_refused(bytes([FIN | opcode, length]), PROTOCOL_ERROR)

    def test_close_with_half_a_code(self) -> None:
        """[F8] a close frame of one byte is refused with 1002."""
        self.assert_refused(server_frame(CLOSE, b"\x03"), PROTOCOL_ERROR)

    def test_bad_close_codes(self) -> None:
        """[F8] a close code that may not be sent is refused with 1002."""
        bad = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        for code, message in itertools.product(bad, ("", "why")):
            error = self.assert_refused(close(code, message), PROTOCOL_ERROR, what=f"{code}")
            self.assertEqual(error.opcode, CLOSE)

    def test_good_close_codes(self) -> None:
        """Close codes of the RFC, the registry, libraries and applications are taken."""
        registered = (*range(1000, 1004), *range(1007, 1015))
        for code in (*registered, 3000, 3999, 4000, 4999):
            decoder = Decoder()
            decoder.feed(close(code))
            self.assertIsNone(decoder.failure, code)
            assert decoder.close is not None
            self.assertEqual((decoder.close.code, decoder.close.message), (code, ""))

    def test_close_without_a_code(self) -> None:
        """A close frame without a code has code 1005 and no message."""
        decoder = Decoder()
        decoder.feed(close())
        assert decoder.close is not None
        self.assertEqual((decoder.close.code, decoder.close.message), (1005, ""))

    def test_close_message(self) -> None:
        """A close message is UTF-8, of up to 123 bytes."""
        for message in ("é€😀", "x" * 123):
            decoder = Decoder()
            decoder.feed(close(1000, message))
            assert decoder.close is not None
            self.assertEqual((decoder.close.code, decoder.close.message), (1000, message))

    def test_close_message_with_bad_utf8(self) -> None:
        """[F8] a close message that is not UTF-8 is refused with 1007."""
        for what, data in BAD_UTF8.items():
            frame = server_frame(CLOSE, b"\x03\xe8" + data)
            self.assert_refused(frame, INVALID_PAYLOAD, what=what)

    def test_reserved_bits(self) -> None:
        """[F10] each reserved bit and each combination is refused with 1002, on every frame."""
        for bits in range(RSV3, FIN, RSV3):
            for opcode in (TEXT, BINARY, *CONTROL):
                error = self.assert_refused(server_frame(opcode, b"", FIN | bits), PROTOCOL_ERROR)
                self.assertEqual(error.opcode, opcode)
            start = server_frame(TEXT, b"a", 0)
            more = server_frame(CONTINUATION, b"b", FIN | bits)
            self.assert_refused(start + more, PROTOCOL_ERROR, what=f"continuation {bits:#x}")

    def test_reserved_opcodes(self) -> None:
        """[F10] each reserved opcode is refused with 1002, with FIN and without."""
        for opcode in (*range(3, 8), *range(11, 16)):
            for flags, payload in itertools.product((FIN, 0), (b"", b"hi")):
                frame = server_frame(opcode, payload, flags)
                error = self.assert_refused(frame, PROTOCOL_ERROR, what=f"opcode {opcode}")
                self.assertEqual(error.opcode, opcode)

    def test_masked(self) -> None:
        """[F11] a masked frame from the server is refused with 1002, whatever its length."""
        for opcode, length in itertools.product((*DATA, *CONTROL), (0, 2, 125)):
            frame = server_frame(opcode, b"\0" * length, mask=b"\1\2\3\4")
            error = self.assert_refused(frame, PROTOCOL_ERROR, what=f"{opcode} {length}")
            self.assertIn("masked", error.reason)
        for opcode, length in itertools.product(DATA, (126, 65536)):
            frame = server_frame(opcode, bytes(length), mask=b"\1\2\3\4")
            self.assert_refused(frame, PROTOCOL_ERROR, what=f"{opcode} {length}")

    def test_masked_with_zeros(self) -> None:
        """[F11] a mask of zeros, which changes nothing, is a mask."""
        self.assert_refused(server_frame(TEXT, b"hi", mask=bytes(4)), PROTOCOL_ERROR)

    def test_length_not_minimal(self) -> None:
        """[F12] a length in more bytes than it needs is refused with 1002."""
        for size, lengths in ((2, (0, 1, 125)), (8, (0, 125, 126, 65535))):
            for opcode, length in itertools.product(DATA, lengths):
                frame = length_form(opcode, length, size) + b"a" * length
                self.assert_refused(frame, PROTOCOL_ERROR, what=f"{length} in {size} bytes")

    def test_length_not_minimal_within_a_message(self) -> None:
        """[F12] a continuation's length is held to the same rule."""
        frame = length_form(CONTINUATION, 5, 2) + b"hello"
        self.assert_refused(server_frame(BINARY, b"a", 0) + frame, PROTOCOL_ERROR)

    def test_length_with_highest_bit(self) -> None:
        """[F12] a 64-bit length with its highest bit set is refused with 1002."""
        for length in (1 << 63, (1 << 64) - 1):
            self.assert_refused(length_form(BINARY, length, 8), PROTOCOL_ERROR)

    def test_two_bytes_are_enough(self) -> None:
        """What the first two bytes give away is refused before the length is known."""
        for first, second in (
            (FIN | RSV2 | TEXT, 126),
            (FIN | 3, 127),
            (FIN | BINARY, 0x80 | 126),
            (FIN | CONTINUATION, 126),
        ):
            self.assert_refused(bytes([first, second]), PROTOCOL_ERROR)

    def test_failure_says_what_is_wrong(self) -> None:
        """The failure carries a reason, one for each mistake."""
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
        """[F9] a text message that is not UTF-8 is refused with 1007."""
        for what, data in BAD_UTF8.items():
            error = self.assert_refused(server_frame(TEXT, data), INVALID_PAYLOAD, what=what)
            self.assertEqual(error.opcode, TEXT)

    def test_long(self) -> None:
        """[F9] the same in messages with each form of length."""
        for padding in (200, 70_000):
            data = server_frame(TEXT, b"x" * padding + b"\xff")
            self.assert_refused(data, INVALID_PAYLOAD, what=f"{padding}")

    def test_across_fragments(self) -> None:
        """[F9] fragments that are not UTF-8 together are refused with 1007, wherever cut."""
        for what, data in BAD_UTF8.items():
            for cut in range(len(data) + 1):
                frames = b"".join(fragments(TEXT, data[:cut], data[cut:]))
                self.assert_refused(frames, INVALID_PAYLOAD, what=f"{what}, cut at {cut}")

    def test_with_control_frames_between(self) -> None:
        """[F9] a ping between two halves of a bad code point hides nothing."""
        first, last = fragments(TEXT, b"\xed", b"\xa0\x80")
        data = first + server_frame(PING, b"\xff") + last
        self.assert_refused(data, INVALID_PAYLOAD, Ping(b"\xff"))

    def test_fails_within_a_partial_frame(self) -> None:
        """[F9] a bad byte is refused when it comes, not when the frame is whole."""
        for what, data in BAD_UTF8.items():
            if data.endswith(b"cd"):
                whole = server_frame(TEXT, data + b"x" * 100)
                self.assert_refused(whole[: 2 + len(data)], INVALID_PAYLOAD, what=what)

    def test_fails_with_the_first_impossible_byte(self) -> None:
        """[F9] one byte at a time, the very byte that makes it impossible is refused."""
        # Surrogates are not here: Python's decoder refuses them one byte later than it could.
        for data in (b"\xff", b"a\x80", b"\xc0", b"\xe0\x80", b"\xf0\x80", b"\xf4\x90", b"\xc3a"):
            frame = server_frame(TEXT, data + b"x" * 50)
            decoder = Decoder()
            start = len(frame) - 50 - len(data)
            feed_all(decoder, one_byte_at_a_time(frame[: start + len(data) - 1]))
            self.assertIsNone(decoder.failure, f"{data!r}: too early")
            decoder.feed(data[-1:])
            assert decoder.failure is not None, f"{data!r}: too late"
            self.assertEqual(decoder.failure.close_code, INVALID_PAYLOAD)

    def test_fails_within_the_message(self) -> None:
        """[F9] a bad fragment is refused before the message is whole."""
        first, second, _ = fragments(TEXT, b"good", b"b\xffd", b"good")
        self.assert_refused(first + second, INVALID_PAYLOAD)

    def test_late_in_a_long_message(self) -> None:
        """[F9] past the first 64 KiB a bad byte is refused where the message ends, once for all."""
        for size, early in ((MUCH - 1, True), (MUCH, False)):
            first, last = fragments(TEXT, b"x" * size + b"\xff", b"x")
            decoder = Decoder()
            decoder.feed(first)
            self.assertEqual(decoder.failure is not None, early, f"{size} bytes before it")
            decoder.feed(last)
            assert decoder.failure is not None
            self.assertEqual(decoder.failure.close_code, INVALID_PAYLOAD)

    def test_incomplete_code_point_is_waited_for(self) -> None:
        """[F9] half a code point at the end of a fragment or read is no mistake yet."""
        for data in (server_frame(TEXT, b"\xe2\x82", 0), server_frame(TEXT, b"\xe2\x82\xac")[:-1]):
            self.assert_decodes(data)

    def test_binary_is_not_judged(self) -> None:
        """[F9] binary messages may hold what they like, in fragments too."""
        for data in BAD_UTF8.values():
            self.assert_decodes(server_frame(BINARY, data), Binary(data))
            self.assert_decodes(b"".join(fragments(BINARY, data, data)), Binary(data + data))


class EndTests(DecoderCase):
    """Nothing comes after a failure or a close frame."""

    def test_frames_before_an_error(self) -> None:
        """Frames before an error in the same read are still given."""
        before = text("a") + server_frame(PING, b"b") + b"".join(fragments(BINARY, b"c", b"d"))
        for what, (data, code) in BAD_STREAMS.items():
            self.assert_refused(
                before + data, code, Text("a"), Ping(b"b"), Binary(b"cd"), what=what
            )

    def test_frames_before_a_close(self) -> None:
        """Frames before a close frame in the same read are still given."""
        decoder = Decoder()
        self.assertEqual(
            decoder.feed(text("a") + server_frame(PING) + close()), [Text("a"), Ping()]
        )
        self.assertIsNotNone(decoder.close)

    def test_nothing_after_a_failure(self) -> None:
        """After a failure nothing is decoded, in the same read or later; it stays the first."""
        for what, (data, _) in BAD_STREAMS.items():
            decoder = Decoder()
            decoder.expect_pongs(b"own")
            more = text("b") + server_frame(PONG, b"own") + close(1000)
            self.assertEqual(decoder.feed(data + more), [], what)
            failure = decoder.failure
            self.assertIsNotNone(failure)
            self.assertEqual(decoder.feed(more), [], what)
            self.assertEqual(decoder.feed(server_frame(3)), [], what)
            self.assertIs(decoder.failure, failure, what)
            self.assertIsNone(decoder.close, what)
            self.assertEqual(decoder.own_pongs, [], what)

    def test_nothing_after_a_close(self) -> None:
        """After a close frame nothing is decoded, in the same read or later."""
        decoder = Decoder()
        decoder.expect_pongs(b"own")
        more = text("b") + server_frame(PONG, b"own") + close(1001)
        self.assertEqual(decoder.feed(close(1000) + more), [])
        self.assertEqual(decoder.feed(more), [])
        assert decoder.close is not None
        self.assertEqual(decoder.close.code, 1000)
        self.assertEqual(decoder.own_pongs, [])

    def test_no_failure_after_a_close(self) -> None:
        """What is wrong after a close frame is no failure any more."""
        for what, (data, _) in BAD_STREAMS.items():
            decoder = Decoder()
            decoder.feed(close(1000) + data)
            decoder.feed(data)
            self.assertIsNone(decoder.failure, what)

    def test_nothing_wrong_at_first(self) -> None:
        """A fresh decoder has neither failure nor close frame nor pongs."""
        decoder = Decoder()
        self.assertIsNone(decoder.failure)
        self.assertIsNone(decoder.close)
        self.assertEqual(decoder.own_pongs, [])


class OwnPongTests(DecoderCase):
    """Pongs to the keepalive's pings are no frames for the handler."""

    def test_separated(self) -> None:
        """Pongs that begin with the token are collected; others are frames."""
        decoder = Decoder()
        decoder.expect_pongs(b"tok")
        payloads = (b"tok1", b"to", b"tok2", b"", b"xtok", b"tok")
        frames = decoder.feed(b"".join(server_frame(PONG, payload) for payload in payloads))
        self.assertEqual(frames, [Pong(b"to"), Pong(), Pong(b"xtok")])
        self.assertEqual(decoder.own_pongs, [b"tok1", b"tok2", b"tok"])

    def test_none_expected(self) -> None:
        """Without a token all pongs are frames, empty ones too."""
        self.assert_decodes(server_frame(PONG) + server_frame(PONG, b"x"), Pong(), Pong(b"x"))

    def test_only_pongs(self) -> None:
        """Pings and messages that begin with the token stay what they are."""
        decoder = Decoder()
        decoder.expect_pongs(b"tok")
        frames = decoder.feed(server_frame(PING, b"tok1") + text("tok1"))
        self.assertEqual(frames, [Ping(b"tok1"), Text("tok1")])
        self.assertEqual(decoder.own_pongs, [])

    def test_collected_over_reads(self) -> None:
        """They are collected until the caller takes them away, and then anew."""
        decoder = Decoder()
        decoder.expect_pongs(b"t")
        feed_all(decoder, one_byte_at_a_time(server_frame(PONG, b"t1") + server_frame(PONG, b"t2")))
        self.assertEqual(decoder.own_pongs, [b"t1", b"t2"])
        decoder.own_pongs.clear()
        decoder.feed(server_frame(PONG, b"t3"))
        self.assertEqual(decoder.own_pongs, [b"t3"])

    def test_before_a_failure(self) -> None:
        """One that came before a failure or a close frame in the same read is there."""
        for end in (server_frame(3), close(1000)):
            decoder = Decoder()
            decoder.expect_pongs(b"t")
            decoder.feed(server_frame(PONG, b"t1") + end)
            self.assertEqual(decoder.own_pongs, [b"t1"])

    def test_between_fragments(self) -> None:
        """One between fragments leaves the message alone."""
        decoder = Decoder()
        decoder.expect_pongs(b"t")
        first, last = fragments(TEXT, b"a", b"b")
        self.assertEqual(decoder.feed(first + server_frame(PONG, b"t1") + last), [Text("ab")])
        self.assertEqual(decoder.own_pongs, [b"t1"])
