"""Tests of ``wsx._wire.decoder``: the wire, in both directions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.decoder import BATCH, MUCH, Decoder
from wsx._wire.encoder import FIN, RSV1
from wsx.errors import FrameError
from wsx.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_PAYLOAD,
    MESSAGE_TOO_BIG,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Binary,
    Frame,
    Ping,
    Pong,
    Text,
)
from wsx.test.support import close, server_frame, text

RSV2 = 0x20
RSV3 = 0x10
CONTROL = (CLOSE, PING, PONG)
DATA = (TEXT, BINARY)

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


def length_form(opcode: int, length: int, size: int) -> bytes:
    """A header whose length takes ``size`` bytes, whether that is the shortest form or not."""
    return bytes([FIN | opcode, {2: 126, 8: 127}[size]]) + length.to_bytes(size, "big")


# A stream, and the code it is refused with; each is whole, so that only what it says is wrong.
BAD_STREAMS: dict[str, tuple[bytes, int]] = {
    "reserved bit": (server_frame(TEXT, b"hi", FIN | RSV2), PROTOCOL_ERROR),
    "reserved opcode": (server_frame(3, b"hi"), PROTOCOL_ERROR),
    "reserved control opcode": (server_frame(11, b"hi"), PROTOCOL_ERROR),
    "masked": (server_frame(TEXT, b"hi", mask=b"abcd"), PROTOCOL_ERROR),
    "two starts": (server_frame(TEXT, b"a", 0) + text("b"), PROTOCOL_ERROR),
    "continuation of nothing": (server_frame(CONTINUATION, b"a"), PROTOCOL_ERROR),
    "fragmented ping": (server_frame(PING, b"a", 0), PROTOCOL_ERROR),
    "long ping": (server_frame(PING, bytes(126)), PROTOCOL_ERROR),
    "half a close code": (server_frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
    "bad close code": (close(1005), PROTOCOL_ERROR),
    "bad close message": (server_frame(CLOSE, b"\x03\xe8\xff"), INVALID_PAYLOAD),
    "bad text": (server_frame(TEXT, b"a\xffb"), INVALID_PAYLOAD),
    "cut text": (server_frame(TEXT, b"a\xe2\x82"), INVALID_PAYLOAD),
    "not minimal, 16 bits": (length_form(BINARY, 5, 2) + b"hello", PROTOCOL_ERROR),
    "not minimal, 64 bits": (length_form(BINARY, 5, 8) + b"hello", PROTOCOL_ERROR),
}


def one_byte_at_a_time(data: bytes) -> Iterator[bytes]:
    """Cuts into reads of one byte."""
    return (data[i : i + 1] for i in range(len(data)))


def feed_all(decoder: Decoder, reads: Iterable[bytes]) -> list[Frame]:
    """Feeds one read after another; gives all frames."""
    frames = []
    for read in reads:
        frames += decoder.feed(read)
        while decoder.more:
            frames += decoder.feed(b"")
    return frames


def fragments(opcode: int, *parts: bytes) -> list[bytes]:
    """The frames of one message in fragments."""
    last = len(parts) - 1
    return [
        server_frame(CONTINUATION if i else opcode, part, FIN if i == last else 0)
        for i, part in enumerate(parts)
    ]


class DecoderCase(SynchronousTestCase):
    """What the tests of a decoder share."""

    def assert_decodes(self, data: bytes, *expected: Frame, **options: Any) -> None:
        """The bytes, in one read, are these frames and nothing is wrong with them."""
        decoder = Decoder(**options)
        self.assertEqual(decoder.feed(data), list(expected))
        self.assertIsNone(decoder.failure)

    def assert_refused(
        self, data: bytes, code: int, *before: Frame, what: str = "", **options: Any
    ) -> FrameError:
        """The bytes, in one read, are these frames and then an error with this close code."""
        decoder = Decoder(**options)
        self.assertEqual(decoder.feed(data), list(before), what)
        self.assertIsInstance(decoder.failure, FrameError, f"{what or data[:20]!r} was accepted")
        assert decoder.failure is not None
        self.assertEqual(decoder.failure.close_code, code, what)
        self.assertIsNone(decoder.close, what)
        return decoder.failure


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


class SplitTests(DecoderCase):
    """Reads end where they please."""

    stream = b"".join(
        [
            text("é€😀"),
            server_frame(PING, b"p"),
            server_frame(BINARY, bytes(range(130))),
            *fragments(TEXT, b"a\xe2", b"\x82", b"", b"\xacb"),
            server_frame(TEXT),
            server_frame(BINARY, b"1", 0),
            server_frame(PONG, b"in between"),
            server_frame(CONTINUATION, bytes(200), 0),
            server_frame(PING),
            server_frame(CONTINUATION, b"3"),
            text("x" * 126),
        ]
    )
    frames = (
        Text("é€😀"),
        Ping(b"p"),
        Binary(bytes(range(130))),
        Text("a€b"),
        Text(""),
        Pong(b"in between"),
        Ping(),
        Binary(b"1" + bytes(200) + b"3"),
        Text("x" * 126),
    )

    def test_each_kind_at_every_byte(self) -> None:
        """[F2] a frame of each kind, with short and medium length, is cut at every byte."""
        for opcode, kind in ((BINARY, Binary), (PING, Ping), (PONG, Pong)):
            for length in (0, 1, 2, 125) + ((126, 300) if opcode == BINARY else ()):
                payload = random.Random(length).randbytes(length)
                data = server_frame(opcode, payload)
                for cut in range(len(data) + 1):
                    frames = feed_all(Decoder(), [data[:cut], data[cut:]])
                    self.assertEqual(frames, [kind(payload)], f"{kind} {length} cut at {cut}")

    def test_text_at_every_byte(self) -> None:
        """[F2] text is cut inside its code points."""
        data = text("aé€😀")
        for cut in range(len(data) + 1):
            self.assertEqual(feed_all(Decoder(), [data[:cut], data[cut:]]), [Text("aé€😀")])

    def test_close_at_every_byte(self) -> None:
        """[F2] a close frame is cut at every byte."""
        data = close(1001, "away")
        for cut in range(len(data)):
            decoder = Decoder()
            decoder.feed(data[:cut])
            self.assertIsNone(decoder.close, cut)
            decoder.feed(data[cut:])
            assert decoder.close is not None, cut
            self.assertEqual((decoder.close.code, decoder.close.message), (1001, "away"))

    def test_long_header_at_every_byte(self) -> None:
        """[F2] a 64-bit length is cut at every byte of the header, and about the end."""
        payload = random.Random(1).randbytes(70_000)
        data = server_frame(BINARY, payload)
        for cut in [*range(12), *range(len(data) - 3, len(data) + 1)]:
            frames = feed_all(Decoder(), [data[:cut], data[cut:]])
            self.assertTrue(frames == [Binary(payload)], f"cut at {cut}")

    def test_mixed_stream_at_every_byte(self) -> None:
        """[F2] a stream of all kinds of frames is cut at every byte."""
        for cut in range(len(self.stream) + 1):
            decoder = Decoder()
            frames = feed_all(decoder, [self.stream[:cut], self.stream[cut:]])
            self.assertEqual(frames, list(self.frames), f"cut at {cut}")
            self.assertIsNone(decoder.failure)

    def test_mixed_stream_in_equal_reads(self) -> None:
        """[F2] a stream of all kinds of frames comes in reads of each size from one byte on."""
        for size in range(1, 40):
            reads = [self.stream[i : i + size] for i in range(0, len(self.stream), size)]
            self.assertEqual(feed_all(Decoder(), reads), list(self.frames), f"reads of {size}")

    def test_frames_come_with_their_last_byte(self) -> None:
        """[F2] a frame is there with the read that completes it, not with a later one."""
        for data, frame in (
            (text("hello"), Text("hello")),
            (server_frame(BINARY, bytes(126)), Binary(bytes(126))),
            (server_frame(PING, b"x"), Ping(b"x")),
            (server_frame(TEXT), Text("")),
        ):
            decoder = Decoder()
            self.assertEqual(feed_all(decoder, one_byte_at_a_time(data[:-1])), [])
            self.assertEqual(decoder.feed(data[-1:]), [frame])

    def test_errors_at_every_byte(self) -> None:
        """[F2] what is refused in one read is refused wherever the stream is cut."""
        for what, (data, code) in BAD_STREAMS.items():
            stream = text("before") + data
            for cut in range(len(stream)):
                decoder = Decoder()
                frames = feed_all(decoder, [stream[:cut], stream[cut:]])
                self.assertEqual(frames, [Text("before")], f"{what}, cut at {cut}")
                assert decoder.failure is not None, f"{what}, cut at {cut}"
                self.assertEqual(decoder.failure.close_code, code, f"{what}, cut at {cut}")

    def test_errors_one_byte_at_a_time(self) -> None:
        """[F2] what is refused in one read is refused one byte at a time."""
        for what, (data, code) in BAD_STREAMS.items():
            decoder = Decoder()
            self.assertEqual(feed_all(decoder, one_byte_at_a_time(data)), [], what)
            assert decoder.failure is not None, what
            self.assertEqual(decoder.failure.close_code, code, what)

    def test_incomplete_frame_gives_nothing(self) -> None:
        """[F15] a frame that never becomes whole gives no frame and no error."""
        for data in (
            text("hello"),
            server_frame(BINARY, bytes(300)),
            server_frame(PING, b"ping"),
            close(1000, "bye"),
            b"".join(fragments(TEXT, b"one", b"two")),
        ):
            for cut in range(len(data)):
                decoder = Decoder()
                self.assertEqual(decoder.feed(data[:cut]), [], f"{data[:4]!r} cut at {cut}")
                self.assertIsNone(decoder.failure)
                self.assertIsNone(decoder.close)

    def test_incomplete_frame_stays_with_its_decoder(self) -> None:
        """[F15] what one connection left incomplete is not seen by the next one's decoder."""
        for left_over in (b"\x81", text("hello")[:4], server_frame(TEXT, b"a", 0), b"\x82\x7e\x01"):
            Decoder().feed(left_over)
            self.assert_decodes(text("fresh"), Text("fresh"))


class FragmentTests(DecoderCase):
    """Messages in several frames (RFC 6455 section 5.4)."""

    def test_joined(self) -> None:
        """[F4] a message in two, three or many fragments is one frame."""
        for count in (2, 3, 50):
            parts = [str(i).encode() for i in range(count)]
            whole = b"".join(parts)
            self.assert_decodes(b"".join(fragments(TEXT, *parts)), Text(whole.decode()))
            self.assert_decodes(b"".join(fragments(BINARY, *parts)), Binary(whole))

    def test_empty_fragments(self) -> None:
        """[F4] fragments may be empty: the first, one between, the last, all of them."""
        for parts in ((b"", b"ab"), (b"a", b"", b"b"), (b"ab", b""), (b"", b"", b"ab", b"")):
            self.assert_decodes(b"".join(fragments(TEXT, *parts)), Text("ab"))
            self.assert_decodes(b"".join(fragments(BINARY, *parts)), Binary(b"ab"))
        self.assert_decodes(b"".join(fragments(TEXT, b"", b"", b"")), Text(""))
        self.assert_decodes(b"".join(fragments(BINARY, b"", b"")), Binary(b""))

    def test_control_frames_between(self) -> None:
        """[F4] control frames between fragments come at once, before the message."""
        first, second, third = fragments(TEXT, b"a", b"b", b"c")
        data = first + server_frame(PING, b"1") + second + server_frame(PONG, b"2") + third
        self.assert_decodes(data, Ping(b"1"), Pong(b"2"), Text("abc"))

    def test_control_frame_comes_before_the_message_is_whole(self) -> None:
        """[F4] a control frame does not wait for the message that it interrupts."""
        decoder = Decoder()
        first, last = fragments(BINARY, b"a", b"b")
        self.assertEqual(decoder.feed(first + server_frame(PING)), [Ping()])
        self.assertEqual(decoder.feed(last), [Binary(b"ab")])

    def test_close_between(self) -> None:
        """[F4] a close frame between fragments ends it all; the message is dropped."""
        decoder = Decoder()
        first, last = fragments(TEXT, b"a", b"b")
        self.assertEqual(decoder.feed(first + close(1001) + last), [])
        assert decoder.close is not None
        self.assertEqual(decoder.close.code, 1001)
        self.assertIsNone(decoder.failure)

    def test_code_point_across_fragments(self) -> None:
        """[F4] a code point may be cut by the end of a fragment, at each of its bytes."""
        data = "aé€😀b".encode()
        for cut in range(len(data) + 1):
            frames = fragments(TEXT, data[:cut], data[cut:])
            self.assert_decodes(b"".join(frames), Text("aé€😀b"))
        self.assert_decodes(b"".join(fragments(TEXT, *one_byte_at_a_time(data))), Text("aé€😀b"))

    def test_message_after_message(self) -> None:
        """[F4] nothing of a message is left in the next one."""
        data = b"".join(
            fragments(TEXT, b"a", b"b")
            + fragments(BINARY, b"c", b"d")
            + [text("e"), server_frame(BINARY, b"f")]
            + fragments(TEXT, b"g", b"h")
        )
        self.assert_decodes(data, Text("ab"), Binary(b"cd"), Text("e"), Binary(b"f"), Text("gh"))

    def test_two_starts(self) -> None:
        """[F5] a second start inside a message is refused with 1002."""
        for outer, inner, flags in itertools.product(DATA, DATA, (FIN, 0)):
            first = server_frame(outer, b"a", 0)
            second = server_frame(inner, b"b", flags)
            self.assert_refused(first + second, PROTOCOL_ERROR, what=f"{outer} {inner} {flags}")

    def test_two_starts_after_a_continuation(self) -> None:
        """[F5] a second start is refused after a continuation and a ping, too."""
        first, second, _ = fragments(TEXT, b"a", b"b", b"c")
        data = first + second + server_frame(PING) + text("d")
        self.assert_refused(data, PROTOCOL_ERROR, Ping())

    def test_continuation_without_start(self) -> None:
        """[F6] a continuation of nothing is refused with 1002."""
        for flags, payload in itertools.product((FIN, 0), (b"", b"a")):
            self.assert_refused(server_frame(CONTINUATION, payload, flags), PROTOCOL_ERROR)

    def test_continuation_after_the_end(self) -> None:
        """[F6] a continuation of a message that is over is refused with 1002."""
        more = server_frame(CONTINUATION, b"more")
        self.assert_refused(text("a") + more, PROTOCOL_ERROR, Text("a"))
        self.assert_refused(server_frame(PING) + more, PROTOCOL_ERROR, Ping())
        parts = b"".join(fragments(BINARY, b"a", b"b"))
        self.assert_refused(parts + more, PROTOCOL_ERROR, Binary(b"ab"))


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


class MaxMessageSizeTests(DecoderCase):
    """``max_message_size``: past it, close code 1009."""

    def test_exactly_the_limit(self) -> None:
        """A message of exactly the limit is taken, in each form of length."""
        for limit in (1, 125, 126, 65535, 65536):
            self.assert_decodes(
                server_frame(BINARY, bytes(limit)), Binary(bytes(limit)), max_message_size=limit
            )
            self.assert_decodes(text("x" * limit), Text("x" * limit), max_message_size=limit)

    def test_one_byte_more(self) -> None:
        """One byte more is refused with 1009, in each form of length."""
        for opcode, limit in itertools.product(DATA, (1, 124, 125, 126, 65534, 65535, 65536)):
            frame = server_frame(opcode, b"x" * (limit + 1))
            error = self.assert_refused(
                frame, MESSAGE_TOO_BIG, what=f"{limit}", max_message_size=limit
            )
            self.assertEqual(error.opcode, opcode)

    def test_bytes_count(self) -> None:
        """Of text the bytes count, not the characters."""
        self.assert_decodes(text("€"), Text("€"), max_message_size=3)
        self.assert_refused(text("€"), MESSAGE_TOO_BIG, max_message_size=2)
        parts = b"".join(fragments(TEXT, b"\xe2\x82", b"\xac\xe2", b"\x82\xac"))
        self.assert_decodes(parts, Text("€€"), max_message_size=6)
        self.assert_refused(parts, MESSAGE_TOO_BIG, max_message_size=5)

    def test_fragments_are_added_up(self) -> None:
        """Fragments count together."""
        parts = b"".join(fragments(BINARY, b"abc", b"def", b"gh"))
        self.assert_decodes(parts, Binary(b"abcdefgh"), max_message_size=8)
        self.assert_refused(parts, MESSAGE_TOO_BIG, max_message_size=7)

    def test_fragments_are_refused_early(self) -> None:
        """The fragment that goes past the limit is refused, not the message's end awaited."""
        first, second, _ = fragments(BINARY, b"abc", b"def", b"gh")
        self.assert_refused(first + second, MESSAGE_TOO_BIG, max_message_size=5)

    def test_before_the_payload(self) -> None:
        """The header alone is refused; nothing of the payload need come."""
        for length in (11, 126, 65536, (1 << 63) - 1):
            head = server_frame(BINARY, bytes(min(length, 70_000)))[:2]
            if length >= 126:
                head = length_form(BINARY, length, 2 if length < 65536 else 8)
            self.assert_refused(head, MESSAGE_TOO_BIG, what=f"{length}", max_message_size=10)

    def test_before_the_payload_of_a_fragment(self) -> None:
        """The header of the fragment that would go past the limit is refused."""
        first, last = fragments(TEXT, b"abc", b"def")
        self.assert_refused(first + last[:2], MESSAGE_TOO_BIG, max_message_size=5)

    def test_no_limit(self) -> None:
        """Without a limit a header that promises the most there is is waited for."""
        self.assert_decodes(length_form(BINARY, (1 << 63) - 1, 8) + b"abc")

    def test_each_message_for_itself(self) -> None:
        """Messages do not count together, fragmented or not."""
        parts = b"".join(fragments(BINARY, b"ab", b"cd"))
        whole = server_frame(BINARY, b"abcd")
        self.assert_decodes(
            parts + whole + parts + whole, *[Binary(b"abcd")] * 4, max_message_size=4
        )

    def test_control_frames_do_not_count(self) -> None:
        """Control frames are not messages, alone and between fragments."""
        ping = server_frame(PING, bytes(125))
        first, last = fragments(BINARY, b"a", b"b")
        self.assert_decodes(
            ping + first + ping + last,
            Ping(bytes(125)),
            Ping(bytes(125)),
            Binary(b"ab"),
            max_message_size=2,
        )

    def test_close_frame_does_not_count(self) -> None:
        """A close message longer than the limit is taken."""
        decoder = Decoder(1)
        decoder.feed(close(1000, "goodbye"))
        self.assertIsNone(decoder.failure)
        assert decoder.close is not None
        self.assertEqual(decoder.close.message, "goodbye")

    def test_empty_continuation_at_the_limit(self) -> None:
        """An empty fragment after the last allowed byte is taken."""
        parts = b"".join(fragments(BINARY, b"ab", b"", b""))
        self.assert_decodes(parts, Binary(b"ab"), max_message_size=2)

    def test_frames_before(self) -> None:
        """Messages before one that is too big are still given."""
        self.assert_refused(
            text("ab") + text("abc"), MESSAGE_TOO_BIG, Text("ab"), max_message_size=2
        )


class FakeInflater:
    """Inflates each byte to itself twice, or to nothing where it is a dot; notes its calls."""

    def __init__(self, bad_end: bool = False) -> None:
        self.calls: list[Any] = []
        self.rooms: list[int | None] = []
        self._bad_end = bad_end

    def begin(self, opcode: int) -> None:
        self.calls.append("begin")

    def inflate(self, data: bytes, room: int | None) -> bytes:
        if data:
            self.calls.append(data)
            self.rooms.append(room)
        inflated = bytes(byte for byte in data.replace(b".", b"") for _ in range(2))
        if b"!" in data:
            raise FrameError("corrupt", TEXT, INVALID_PAYLOAD)
        if room is not None and len(inflated) > room:
            raise FrameError("too big", TEXT, MESSAGE_TOO_BIG)
        return inflated

    def end(self, room: int | None) -> bytes:
        self.calls.append("end")
        if self._bad_end:
            raise FrameError("corrupt", TEXT, INVALID_PAYLOAD)
        return b""


class InflaterTests(DecoderCase):
    """Compressed messages (RFC 7692 section 6), with an inflater that can be watched."""

    def setUp(self) -> None:
        self.inflater = FakeInflater()

    def compressed(self, opcode: int, *parts: bytes) -> bytes:
        """A message in fragments, the first with RSV1."""
        first, *more = fragments(opcode, *parts)
        return bytes([first[0] | RSV1]) + first[1:] + b"".join(more)

    def test_whole(self) -> None:
        """A message with RSV1 is inflated, between one ``begin`` and one ``end``."""
        for opcode, expected in ((TEXT, Text("aabb")), (BINARY, Binary(b"aabb"))):
            self.inflater.calls.clear()
            data = self.compressed(opcode, b"ab")
            self.assert_decodes(data, expected, inflater=self.inflater)
            self.assertEqual(self.inflater.calls, ["begin", b"ab", "end"])

    def test_long(self) -> None:
        """The same with each form of length."""
        for length in (200, 70_000):
            data = self.compressed(BINARY, b"a" * length)
            self.assert_decodes(data, Binary(b"a" * 2 * length), inflater=self.inflater)

    def test_fragments(self) -> None:
        """Continuations, which have no RSV1, belong to the compressed message."""
        data = self.compressed(TEXT, b"a", b"b", b"c")
        self.assert_decodes(data, Text("aabbcc"), inflater=self.inflater)
        self.assertEqual(self.inflater.calls, ["begin", b"a", b"b", b"c", "end"])

    def test_as_it_arrives(self) -> None:
        """A frame's payload is inflated as it arrives."""
        decoder = Decoder(inflater=self.inflater)
        data = self.compressed(BINARY, b"abcd")
        self.assertEqual(decoder.feed(data[:4]), [])
        self.assertEqual(self.inflater.calls, ["begin", b"ab"])
        self.assertEqual(decoder.feed(data[4:]), [Binary(b"aabbccdd")])
        self.assertEqual(self.inflater.calls, ["begin", b"ab", b"cd", "end"])

    def test_at_every_byte(self) -> None:
        """A stream with compressed messages is cut at every byte."""
        stream = (
            self.compressed(TEXT, b"ab", b"", b"c")
            + text("plain")
            + self.compressed(BINARY, b"d" * 130)
            + server_frame(PING)
        )
        expected = [Text("aabbcc"), Text("plain"), Binary(b"d" * 260), Ping()]
        for cut in range(len(stream)):
            decoder = Decoder(inflater=FakeInflater())
            frames = feed_all(decoder, [stream[:cut], stream[cut:]])
            self.assertEqual(frames, expected, f"cut at {cut}")

    def test_plain_messages(self) -> None:
        """A message without RSV1 does not meet the inflater, after a compressed one too."""
        data = self.compressed(TEXT, b"a") + b"".join(fragments(TEXT, b"b", b"c")) + text("d")
        self.assert_decodes(data, Text("aa"), Text("bc"), Text("d"), inflater=self.inflater)
        self.assertEqual(self.inflater.calls, ["begin", b"a", "end"])

    def test_message_after_message(self) -> None:
        """Each compressed message has its own ``begin`` and ``end``."""
        data = self.compressed(TEXT, b"a") + self.compressed(BINARY, b"b")
        self.assert_decodes(data, Text("aa"), Binary(b"bb"), inflater=self.inflater)
        self.assertEqual(self.inflater.calls, ["begin", b"a", "end", "begin", b"b", "end"])

    def test_empty(self) -> None:
        """A compressed message may be empty, or inflate to nothing."""
        for parts in ((b"",), (b".",), (b"", b"."), (b".", b"")):
            self.inflater.calls.clear()
            data = self.compressed(TEXT, *parts)
            self.assert_decodes(data, Text(""), inflater=self.inflater)
            self.assertEqual((self.inflater.calls[0], self.inflater.calls[-1]), ("begin", "end"))

    def test_control_frames_between(self) -> None:
        """Control frames between the fragments do not meet the inflater."""
        stream = self.compressed(TEXT, b"a", b"b")
        first, last = stream[:3], stream[3:]
        data = first + server_frame(PING, b"p") + last
        self.assert_decodes(data, Ping(b"p"), Text("aabb"), inflater=self.inflater)
        self.assertEqual(self.inflater.calls, ["begin", b"a", b"b", "end"])

    def test_rsv1_without_an_inflater(self) -> None:
        """[F10] RSV1 is refused with 1002 where no compression was agreed on."""
        for opcode in DATA:
            self.assert_refused(self.compressed(opcode, b"a"), PROTOCOL_ERROR)

    def test_rsv1_on_a_continuation(self) -> None:
        """[F10] RSV1 on a continuation is refused with 1002, in either kind of message."""
        more = server_frame(CONTINUATION, b"b", FIN | RSV1)
        for start in (RSV1, 0):
            data = server_frame(TEXT, b"a", start) + more
            self.assert_refused(data, PROTOCOL_ERROR, inflater=FakeInflater())

    def test_rsv1_on_a_control_frame(self) -> None:
        """[F10] RSV1 on a control frame is refused with 1002."""
        for opcode in CONTROL:
            frame = server_frame(opcode, b"", FIN | RSV1)
            self.assert_refused(frame, PROTOCOL_ERROR, inflater=self.inflater)
        self.assertEqual(self.inflater.calls, [])

    def test_other_reserved_bits(self) -> None:
        """[F10] RSV2 and RSV3 stay reserved, with RSV1 and without."""
        for bits in (RSV2, RSV3, RSV2 | RSV3, RSV1 | RSV2, RSV1 | RSV3, RSV1 | RSV2 | RSV3):
            frame = server_frame(TEXT, b"a", FIN | bits)
            self.assert_refused(frame, PROTOCOL_ERROR, inflater=self.inflater)
        self.assertEqual(self.inflater.calls, [])

    def test_two_starts(self) -> None:
        """[F5] a compressed start inside a message is refused with 1002."""
        for flags in (0, RSV1):
            data = server_frame(TEXT, b"a", flags) + self.compressed(TEXT, b"b")
            self.assert_refused(data, PROTOCOL_ERROR, inflater=FakeInflater())

    def test_room(self) -> None:
        """The inflater is told what room the limit leaves, part by part and message by message."""
        data = self.compressed(BINARY, b"ab", b"c") + self.compressed(BINARY, b"d")
        self.assert_decodes(
            data,
            Binary(b"aabbcc"),
            Binary(b"dd"),
            inflater=self.inflater,
            max_message_size=6,
        )
        self.assertEqual(self.inflater.rooms, [6, 2, 6])

    def test_no_room_left(self) -> None:
        """At the limit the inflater is told that there is no room, and may still give nothing."""
        data = self.compressed(BINARY, b"ab", b".")
        self.assert_decodes(data, Binary(b"aabb"), inflater=self.inflater, max_message_size=4)
        self.assertEqual(self.inflater.rooms, [4, 0])

    def test_room_without_a_limit(self) -> None:
        """Without a limit the inflater has all the room."""
        self.assert_decodes(
            self.compressed(BINARY, b"a", b"b"), Binary(b"aabb"), inflater=self.inflater
        )
        self.assertEqual(self.inflater.rooms, [None, None])

    def test_limit_is_of_what_was_inflated(self) -> None:
        """A compressed message may be longer on the wire than the limit, which is for its text."""
        data = self.compressed(BINARY, b"." * 300 + b"a")
        self.assert_decodes(data, Binary(b"aa"), inflater=self.inflater, max_message_size=2)

    def test_too_big(self) -> None:
        """Past the room the inflater's 1009 is the failure, in the first part or a later one."""
        for parts in ((b"abc",), (b"ab", b"c")):
            data = text("pl") + self.compressed(BINARY, *parts)
            self.assert_refused(
                data, MESSAGE_TOO_BIG, Text("pl"), inflater=FakeInflater(), max_message_size=5
            )

    def test_plain_message_keeps_its_limit(self) -> None:
        """A message that is not compressed is held to the limit by its header."""
        head = server_frame(BINARY, b"abcdef")[:2]
        self.assert_refused(head, MESSAGE_TOO_BIG, inflater=self.inflater, max_message_size=5)

    def test_corrupt(self) -> None:
        """An error of the inflater is the failure, before the message is whole too."""
        self.assert_refused(self.compressed(TEXT, b"a!"), INVALID_PAYLOAD, inflater=self.inflater)
        partial = self.compressed(TEXT, b"a!bcdef")[:5]
        self.assert_refused(partial, INVALID_PAYLOAD, inflater=FakeInflater())

    def test_corrupt_at_the_end(self) -> None:
        """An error at the end of the message is the failure; there is no message."""
        data = text("before") + self.compressed(TEXT, b"a")
        self.assert_refused(
            data, INVALID_PAYLOAD, Text("before"), inflater=FakeInflater(bad_end=True)
        )

    def test_inflated_text_is_judged(self) -> None:
        """[F9] inflated text that is not UTF-8 is refused with 1007, as soon as it is inflated."""
        data = self.compressed(TEXT, b"a\xff")
        self.assert_refused(data, INVALID_PAYLOAD, inflater=self.inflater)
        start = server_frame(TEXT, b"a\xff", RSV1)
        self.assert_refused(start, INVALID_PAYLOAD, inflater=FakeInflater())


class LargeMessageTests(DecoderCase):
    """Large messages in many reads."""

    def assert_joined(self, data: bytes, size: int, expected: Frame, **options: Any) -> None:
        """Reads of this size give this message, with the last of them."""
        decoder = Decoder(**options)
        reads = [data[i : i + size] for i in range(0, len(data), size)]
        self.assertEqual(feed_all(decoder, reads[:-1]), [])
        frames = decoder.feed(reads[-1])
        # Compared without assertEqual, which would print the megabytes.
        self.assertTrue(frames == [expected], f"a message of {len(data)} bytes came out different")
        self.assertIsNone(decoder.failure)

    def test_16_megabytes_of_binary(self) -> None:
        """16 MB of binary in reads of 64 KiB are one right message, at exactly the limit."""
        payload = random.Random(16).randbytes(1 << 20) * 16
        self.assert_joined(
            server_frame(BINARY, payload), 65536, Binary(payload), max_message_size=len(payload)
        )

    def test_16_megabytes_of_text(self) -> None:
        """16 MB of text in reads of 64 KiB, which cut code points, are one right message."""
        message = "aé€😀-" * (16 * (1 << 20) // 11)
        self.assert_joined(text(message), 65536, Text(message))

    def test_16_megabytes_in_fragments(self) -> None:
        """16 MB in fragments of 50 kB, in reads of 64 KiB, are one right message."""
        payload = random.Random(17).randbytes(1 << 20) * 16
        parts = [payload[i : i + 50_000] for i in range(0, len(payload), 50_000)]
        self.assert_joined(b"".join(fragments(BINARY, *parts)), 65536, Binary(payload))

    def test_200_kilobytes_one_byte_at_a_time(self) -> None:
        """A message of 200 kB is right one byte at a time."""
        payload = random.Random(200).randbytes(200_000)
        self.assert_joined(server_frame(BINARY, payload), 1, Binary(payload))

    def test_200_kilobytes_of_text_one_byte_at_a_time(self) -> None:
        """Text of 200 kB, with long code points, is right one byte at a time."""
        message = "aé€😀" * 20_000
        self.assert_joined(text(message), 1, Text(message))


def fill(decoder: Decoder, data: bytes) -> list[Frame]:
    """Writes to the decoder's room what it has room for, and feeds the rest."""
    frames = []
    while data and (room := decoder.room()) is not None:
        with room:
            size = min(len(room), len(data))
            room[:size] = data[:size]
        frames += decoder.fill(size)
        data = data[size:]
    return frames + feed_all(decoder, [data])


class RoomTests(DecoderCase):
    """Large payloads read to where they belong."""

    size = 300_000
    header = 10

    def begun(self, message: bytes, came: int = 0, **options: Any) -> Decoder:
        """A decoder that knows the header, and so many bytes of the payload."""
        decoder = Decoder(**options)
        self.assertEqual(decoder.feed(message[: self.header + came]), [])
        return decoder

    def assert_filled(self, frames: list[Frame], *expected: Frame) -> None:
        """These are the frames; compared without printing the megabytes."""
        self.assertTrue(frames == list(expected), f"{len(frames)} frames came out different")

    def test_whole(self) -> None:
        """A payload that is written to the room is the same as one that is fed."""
        payload = random.Random(1).randbytes(self.size)
        for came in (0, 1, 1000, self.size - MUCH):
            message = server_frame(BINARY, payload)
            decoder = self.begun(message, came)
            frames = fill(decoder, message[self.header + came :] + text("next"))
            self.assert_filled(frames, Binary(payload), Text("next"))

    def test_text(self) -> None:
        """Text that is cut inside its code points comes out whole."""
        message = text("aé€😀" * 40_000)
        decoder = self.begun(message, MUCH + 1)
        frames: list[Frame] = []
        for at in range(self.header + MUCH + 1, len(message), 65537):
            frames += fill(decoder, message[at : at + 65537])
        self.assert_filled(frames, Text("aé€😀" * 40_000))

    def test_by_turns(self) -> None:
        """Some may be written to the room, and some be fed."""
        message = "aé€😀" * 40_000
        data = text(message)
        for size in (999, 40_000):
            decoder = self.begun(data)
            frames: list[Frame] = []
            for at in range(self.header, len(data), size):
                take = fill if at // size % 2 else Decoder.feed
                frames += take(decoder, data[at : at + size])
            self.assert_filled(frames, Text(message))

    def test_fragments(self) -> None:
        """Fragments find their place, with a ping between them."""
        parts = [random.Random(i).randbytes(self.size) for i in range(3)]
        first, second, third = fragments(BINARY, *parts)
        decoder = self.begun(first)
        frames = fill(decoder, first[self.header :] + server_frame(PING, b"?") + second[:500])
        frames += fill(decoder, second[500:] + third[:10])
        frames += fill(decoder, third[10:])
        self.assert_filled(frames, Ping(b"?"), Binary(b"".join(parts)))
        self.assertIs(decoder.joined[0], frames[1])

    def test_control_frames(self) -> None:
        """``controls`` is of the frames given last here too."""
        message = server_frame(BINARY, bytes(self.size))
        decoder = Decoder()
        decoder.feed(server_frame(PING, b"?") + message[:100])
        self.assertTrue(decoder.controls)
        decoder.fill(100)
        self.assertFalse(decoder.controls)

    def test_only_for_much(self) -> None:
        """There is room while at least 64 KiB of a payload are to come, and never for more."""
        decoder = Decoder()
        self.assertIsNone(decoder.room())
        message = server_frame(BINARY, bytes(MUCH))
        decoder.feed(message[: self.header])
        room = decoder.room()
        assert room is not None
        self.assertEqual(len(room), MUCH)
        room.release()
        fill(decoder, b"x")
        self.assertIsNone(decoder.room())

    def test_not_for_what_is_inflated(self) -> None:
        """What is compressed must be fed."""
        message = server_frame(BINARY, bytes(self.size), FIN | RSV1)
        decoder = self.begun(message, inflater=FakeInflater())
        self.assertIsNone(decoder.room())

    def test_bad_text(self) -> None:
        """[F9] bad text is refused with 1007, at the latest where its message ends."""
        message = server_frame(TEXT, b"x" * self.size + b"\xff")
        decoder = self.begun(message, 100_000)
        self.assertIsNotNone(decoder.room())
        self.assertEqual(fill(decoder, message[self.header + 100_000 :] + text("late")), [])
        assert decoder.failure is not None
        self.assertEqual(decoder.failure.close_code, INVALID_PAYLOAD)

    def test_bad_beginning(self) -> None:
        """[F9] in the first 64 KiB that is seen at once: there is room only past them."""
        message = server_frame(TEXT, b"x" * self.size)
        for came in (0, 1, MUCH):
            self.assertIsNone(self.begun(message, came).room(), f"{came}")
        self.assertIsNotNone(self.begun(message, MUCH + 1).room())

    def test_failed(self) -> None:
        """There is none once something was wrong."""
        decoder = self.begun(server_frame(TEXT, b"\xff" * self.size), MUCH)
        self.assertIsNotNone(decoder.failure)
        self.assertIsNone(decoder.room())

    def test_limit(self) -> None:
        """A fragment that would be too much is refused before it comes."""
        first, second = fragments(BINARY, bytes(self.size), bytes(self.size))
        decoder = self.begun(first, max_message_size=2 * self.size - 1)
        self.assertEqual(fill(decoder, first[self.header :] + second[: self.header]), [])
        assert decoder.failure is not None
        self.assertEqual(decoder.failure.close_code, MESSAGE_TOO_BIG)


class RandomStreamTests(DecoderCase):
    """Streams that nobody thought of; the same ones in every run."""

    alphabet = "ab é€😀\0\U0010ffff"
    sizes = (0, 1, 2, 3, 10, 124, 125, 126, 127, 300, 65535, 65536)
    weights = (4, 4, 4, 4, 8, 4, 4, 4, 4, 4, 1, 1)

    def random_message(self, rng: random.Random) -> tuple[int, bytes, Frame]:
        """Gives opcode, payload and frame of some message."""
        size = rng.choices(self.sizes, self.weights)[0]
        if rng.random() < 0.5:
            payload = rng.randbytes(size)
            return BINARY, payload, Binary(payload)
        message = "".join(rng.choices(self.alphabet, k=size))
        return TEXT, message.encode(), Text(message)

    def random_control(self, rng: random.Random) -> tuple[bytes, Frame]:
        """Gives the bytes and the frame of some ping or pong."""
        payload = rng.randbytes(rng.choice((0, 1, 4, 125)))
        opcode, kind = rng.choice(((PING, Ping), (PONG, Pong)))
        return server_frame(opcode, payload), kind(payload)

    def random_cuts(self, rng: random.Random, data: bytes, most: int) -> list[bytes]:
        """Cuts at up to ``most`` random places, some of which may be the same."""
        cuts = sorted(rng.choices(range(len(data) + 1), k=rng.randint(0, most)))
        return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]

    def random_stream(self, rng: random.Random) -> tuple[bytes, list[Frame]]:
        """Gives the bytes of some valid stream, and the frames in it."""
        stream = bytearray()
        expected: list[Frame] = []
        for _ in range(rng.randint(1, 8)):
            opcode, payload, message = self.random_message(rng)
            for part in fragments(opcode, *self.random_cuts(rng, payload, rng.choice((0, 0, 4)))):
                while rng.random() < 0.25:
                    data, control = self.random_control(rng)
                    stream += data
                    expected.append(control)
                stream += part
            expected.append(message)
        return bytes(stream), expected

    def test_random_streams(self) -> None:
        """[F2] [F3] [F4] random valid streams, cut at random places, give the frames put in."""
        rng = random.Random(6455)
        for number in range(300):
            stream, expected = self.random_stream(rng)
            reads = self.random_cuts(rng, stream, rng.choice((0, 3, 30, 300)))
            decoder = Decoder()
            frames = feed_all(decoder, reads)
            self.assertIsNone(decoder.failure, f"stream {number}")
            self.assertTrue(frames == expected, f"stream {number}: {frames!r} for {expected!r}")

    def test_random_streams_that_break_off(self) -> None:
        """[F15] random streams that break off give a beginning of the frames put in."""
        rng = random.Random(1006)
        for number in range(100):
            stream, expected = self.random_stream(rng)
            decoder = Decoder()
            kept = stream[: rng.randrange(len(stream))]
            frames = feed_all(decoder, self.random_cuts(rng, kept, 10))
            self.assertIsNone(decoder.failure, f"stream {number}")
            self.assertLess(len(frames), len(expected), f"stream {number}")
            self.assertTrue(frames == expected[: len(frames)], f"stream {number}")

    def test_random_streams_that_go_bad(self) -> None:
        """Random streams that end in an error give all frames before it, and the error."""
        rng = random.Random(1002)
        bad_streams = list(BAD_STREAMS.items())
        for number in range(100):
            stream, expected = self.random_stream(rng)
            what, (bad, code) = rng.choice(bad_streams)
            decoder = Decoder()
            frames = feed_all(decoder, self.random_cuts(rng, stream + bad, 10))
            self.assertTrue(frames == expected, f"stream {number}, {what}")
            assert decoder.failure is not None, f"stream {number}, {what}"
            self.assertEqual(decoder.failure.close_code, code, f"stream {number}, {what}")
