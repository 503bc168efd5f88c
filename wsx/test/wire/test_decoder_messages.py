"""Tests of ``wsx._wire.decoder``: message sizes, inflating, and large messages."""

from __future__ import annotations

import itertools
import random
from typing import Any

from wsx._wire.assembler import LARGE_PAYLOAD
from wsx._wire.encoder import FIN, RSV1
from wsx.frames import (
    BINARY,
    CONTINUATION,
    INVALID_PAYLOAD,
    MESSAGE_TOO_BIG,
    PING,
    PROTOCOL_ERROR,
    TEXT,
    Binary,
    Frame,
    Ping,
    Text,
)
from wsx.test.support import close, server_frame, text
from wsx.test.support.decoding import (
    CONTROL,
    DATA,
    RSV2,
    RSV3,
    DecoderCase,
    FakeInflater,
    RecordingDecoder,
    feed_all,
    fragments,
    length_form,
)


class MaxMessageSizeTests(DecoderCase):
    """``max_message_size``: a longer message is refused with close code 1009."""

    def test_exactly_the_limit(self) -> None:
        """A message of exactly the limit is accepted, in each form of length."""
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
        """The limit of a text counts bytes, not characters."""
        self.assert_decodes(text("€"), Text("€"), max_message_size=3)
        self.assert_refused(text("€"), MESSAGE_TOO_BIG, max_message_size=2)
        parts = b"".join(fragments(TEXT, b"\xe2\x82", b"\xac\xe2", b"\x82\xac"))
        self.assert_decodes(parts, Text("€€"), max_message_size=6)
        self.assert_refused(parts, MESSAGE_TOO_BIG, max_message_size=5)

    def test_fragments_are_added_up(self) -> None:
        """The fragments of a message count together."""
        parts = b"".join(fragments(BINARY, b"abc", b"def", b"gh"))
        self.assert_decodes(parts, Binary(b"abcdefgh"), max_message_size=8)
        self.assert_refused(parts, MESSAGE_TOO_BIG, max_message_size=7)

    def test_fragments_are_refused_early(self) -> None:
        """The fragment that exceeds the limit is refused before the message ends."""
        first, second, _ = fragments(BINARY, b"abc", b"def", b"gh")
        self.assert_refused(first + second, MESSAGE_TOO_BIG, max_message_size=5)

    def test_before_the_payload(self) -> None:
        """The header alone is refused, before any of the payload."""
        for length in (11, 126, 65536, (1 << 63) - 1):
            head = server_frame(BINARY, bytes(min(length, 70_000)))[:2]
            if length >= 126:
                head = length_form(BINARY, length, 2 if length < 65536 else 8)
            self.assert_refused(head, MESSAGE_TOO_BIG, what=f"{length}", max_message_size=10)

    def test_before_the_payload_of_a_fragment(self) -> None:
        """The header of the fragment that would exceed the limit is refused."""
        first, last = fragments(TEXT, b"abc", b"def")
        self.assert_refused(first + last[:2], MESSAGE_TOO_BIG, max_message_size=5)

    def test_no_limit(self) -> None:
        """Without a limit a header may announce the largest length."""
        self.assert_decodes(length_form(BINARY, (1 << 63) - 1, 8) + b"abc")

    def test_each_message_for_itself(self) -> None:
        """The limit is for each message, fragmented or not."""
        parts = b"".join(fragments(BINARY, b"ab", b"cd"))
        whole = server_frame(BINARY, b"abcd")
        self.assert_decodes(
            parts + whole + parts + whole, *[Binary(b"abcd")] * 4, max_message_size=4
        )

    def test_control_frames_do_not_count(self) -> None:
        """Control frames do not count, alone or between fragments."""
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
        """A close message that is longer than the limit is accepted."""
        decoder = RecordingDecoder(1)
        decoder.feed(close(1000, "goodbye"))
        self.assertIsNone(decoder.failure)
        assert decoder.close is not None
        self.assertEqual(decoder.close.message, "goodbye")

    def test_empty_continuation_at_the_limit(self) -> None:
        """An empty fragment after the last allowed byte is accepted."""
        parts = b"".join(fragments(BINARY, b"ab", b"", b""))
        self.assert_decodes(parts, Binary(b"ab"), max_message_size=2)

    def test_frames_before(self) -> None:
        """Messages before one that is too long are returned."""
        self.assert_refused(
            text("ab") + text("abc"), MESSAGE_TOO_BIG, Text("ab"), max_message_size=2
        )


class InflaterTests(DecoderCase):
    """Compressed messages (RFC 7692 section 6), with an inflater that records its calls."""

    def setUp(self) -> None:
        self.inflater = FakeInflater()

    def compressed(self, opcode: int, *parts: bytes) -> bytes:
        """Return a message in fragments, the first with RSV1."""
        first, *more = fragments(opcode, *parts)
        return bytes([first[0] | RSV1]) + first[1:] + b"".join(more)

    def test_whole(self) -> None:
        """A message with RSV1 is inflated between one ``begin`` and one ``end``."""
        for opcode, expected in ((TEXT, Text("aabb")), (BINARY, Binary(b"aabb"))):
            self.inflater.calls.clear()
            data = self.compressed(opcode, b"ab")
            self.assert_decodes(data, expected, inflater=self.inflater)
            self.assertEqual(self.inflater.calls, ["begin", b"ab", "end"])

    def test_long(self) -> None:
        """Long compressed messages are inflated, in each form of length."""
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
        decoder = RecordingDecoder(inflater=self.inflater)
        data = self.compressed(BINARY, b"abcd")
        self.assertEqual(decoder.feed(data[:4]), [])
        self.assertEqual(self.inflater.calls, ["begin", b"ab"])
        self.assertEqual(decoder.feed(data[4:]), [Binary(b"aabbccdd")])
        self.assertEqual(self.inflater.calls, ["begin", b"ab", b"cd", "end"])

    def test_at_every_byte(self) -> None:
        """A stream with compressed messages may be cut at every byte."""
        stream = (
            self.compressed(TEXT, b"ab", b"", b"c")
            + text("plain")
            + self.compressed(BINARY, b"d" * 130)
            + server_frame(PING)
        )
        expected = [Text("aabbcc"), Text("plain"), Binary(b"d" * 260), Ping()]
        for cut in range(len(stream)):
            decoder = RecordingDecoder(inflater=FakeInflater())
            frames = feed_all(decoder, [stream[:cut], stream[cut:]])
            self.assertEqual(frames, expected, f"cut at {cut}")

    def test_plain_messages(self) -> None:
        """A message without RSV1 is not inflated, also after a compressed one."""
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
        """Control frames between the fragments are not inflated."""
        stream = self.compressed(TEXT, b"a", b"b")
        first, last = stream[:3], stream[3:]
        data = first + server_frame(PING, b"p") + last
        self.assert_decodes(data, Ping(b"p"), Text("aabb"), inflater=self.inflater)
        self.assertEqual(self.inflater.calls, ["begin", b"a", b"b", "end"])

    def test_rsv1_without_an_inflater(self) -> None:
        """[F10] RSV1 is refused with 1002 if no compression was negotiated."""
        for opcode in DATA:
            self.assert_refused(self.compressed(opcode, b"a"), PROTOCOL_ERROR)

    def test_rsv1_on_a_continuation(self) -> None:
        """[F10] RSV1 on a continuation is refused with 1002, in compressed and plain messages."""
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
        """[F10] RSV2 and RSV3 are refused with 1002, with RSV1 and without."""
        for bits in (RSV2, RSV3, RSV2 | RSV3, RSV1 | RSV2, RSV1 | RSV3, RSV1 | RSV2 | RSV3):
            frame = server_frame(TEXT, b"a", FIN | bits)
            self.assert_refused(frame, PROTOCOL_ERROR, inflater=self.inflater)
        self.assertEqual(self.inflater.calls, [])

    def test_two_starts(self) -> None:
        """[F5] A compressed start inside a message is refused with 1002."""
        for flags in (0, RSV1):
            data = server_frame(TEXT, b"a", flags) + self.compressed(TEXT, b"b")
            self.assert_refused(data, PROTOCOL_ERROR, inflater=FakeInflater())

    def test_left(self) -> None:
        """The inflater receives for each part the number of bytes that the limit leaves."""
        data = self.compressed(BINARY, b"ab", b"c") + self.compressed(BINARY, b"d")
        self.assert_decodes(
            data,
            Binary(b"aabbcc"),
            Binary(b"dd"),
            inflater=self.inflater,
            max_message_size=6,
        )
        self.assertEqual(self.inflater.limits, [6, 2, 6])

    def test_nothing_left(self) -> None:
        """At the limit the inflater receives 0, and may return nothing."""
        data = self.compressed(BINARY, b"ab", b".")
        self.assert_decodes(data, Binary(b"aabb"), inflater=self.inflater, max_message_size=4)
        self.assertEqual(self.inflater.limits, [4, 0])

    def test_left_without_a_limit(self) -> None:
        """Without a limit the inflater receives None."""
        self.assert_decodes(
            self.compressed(BINARY, b"a", b"b"), Binary(b"aabb"), inflater=self.inflater
        )
        self.assertEqual(self.inflater.limits, [None, None])

    def test_limit_is_of_what_was_inflated(self) -> None:
        """The limit is for the inflated message, which may be shorter than the compressed one."""
        data = self.compressed(BINARY, b"." * 300 + b"a")
        self.assert_decodes(data, Binary(b"aa"), inflater=self.inflater, max_message_size=2)

    def test_too_big(self) -> None:
        """An inflated message that exceeds the limit is refused with 1009."""
        for parts in ((b"abc",), (b"ab", b"c")):
            data = text("pl") + self.compressed(BINARY, *parts)
            self.assert_refused(
                data, MESSAGE_TOO_BIG, Text("pl"), inflater=FakeInflater(), max_message_size=5
            )

    def test_plain_message_keeps_its_limit(self) -> None:
        """A plain message that exceeds the limit is refused by its header."""
        head = server_frame(BINARY, b"abcdef")[:2]
        self.assert_refused(head, MESSAGE_TOO_BIG, inflater=self.inflater, max_message_size=5)

    def test_corrupt(self) -> None:
        """An error of the inflater ends the stream, also before the message is complete."""
        self.assert_refused(self.compressed(TEXT, b"a!"), INVALID_PAYLOAD, inflater=self.inflater)
        partial = self.compressed(TEXT, b"a!bcdef")[:5]
        self.assert_refused(partial, INVALID_PAYLOAD, inflater=FakeInflater())

    def test_corrupt_at_the_end(self) -> None:
        """An error of the inflater at the end of the message ends the stream."""
        data = text("before") + self.compressed(TEXT, b"a")
        self.assert_refused(
            data, INVALID_PAYLOAD, Text("before"), inflater=FakeInflater(bad_end=True)
        )

    def test_inflated_text_is_checked(self) -> None:
        """[F9] Inflated text that is not UTF-8 is refused with 1007 as soon as it is inflated."""
        data = self.compressed(TEXT, b"a\xff")
        self.assert_refused(data, INVALID_PAYLOAD, inflater=self.inflater)
        start = server_frame(TEXT, b"a\xff", RSV1)
        self.assert_refused(start, INVALID_PAYLOAD, inflater=FakeInflater())


class LargeMessageTests(DecoderCase):
    """Large messages in many reads."""

    def assert_joined(self, data: bytes, size: int, expected: Frame, **options: Any) -> None:
        """Reads of this size are decoded to this message, which the last read completes."""
        decoder = RecordingDecoder(**options)
        reads = [data[i : i + size] for i in range(0, len(data), size)]
        self.assertEqual(feed_all(decoder, reads[:-1]), [])
        frames = decoder.feed(reads[-1])
        # assertEqual would print the megabytes.
        self.assertTrue(frames == [expected], f"a message of {len(data)} bytes came out different")
        self.assertIsNone(decoder.failure)

    def test_16_megabytes_of_binary(self) -> None:
        """16 MB of binary in reads of 64 KiB are one message, at exactly the limit."""
        payload = random.Random(16).randbytes(1 << 20) * 16
        self.assert_joined(
            server_frame(BINARY, payload), 65536, Binary(payload), max_message_size=len(payload)
        )

    def test_16_megabytes_of_text(self) -> None:
        """16 MB of text in reads of 64 KiB, which cut code points, are one message."""
        message = "aé€😀-" * (16 * (1 << 20) // 11)
        self.assert_joined(text(message), 65536, Text(message))

    def test_16_megabytes_in_fragments(self) -> None:
        """16 MB in fragments of 50 kB, in reads of 64 KiB, are one message."""
        payload = random.Random(17).randbytes(1 << 20) * 16
        parts = [payload[i : i + 50_000] for i in range(0, len(payload), 50_000)]
        self.assert_joined(b"".join(fragments(BINARY, *parts)), 65536, Binary(payload))

    def test_200_kilobytes_one_byte_at_a_time(self) -> None:
        """A message of 200 kB may arrive one byte at a time."""
        payload = random.Random(200).randbytes(200_000)
        self.assert_joined(server_frame(BINARY, payload), 1, Binary(payload))

    def test_200_kilobytes_of_text_one_byte_at_a_time(self) -> None:
        """Text of 200 kB with long code points may arrive one byte at a time."""
        message = "aé€😀" * 20_000
        self.assert_joined(text(message), 1, Text(message))


def fill_buffer(decoder: RecordingDecoder, data: bytes) -> list[Frame]:
    """Write to the decoder's buffer while it has one, and feed the rest; return the frames."""
    frames = []
    while data and (view := decoder.get_buffer()) is not None:
        with view:
            size = min(len(view), len(data))
            view[:size] = data[:size]
        frames += decoder.buffer_updated(size)
        data = data[size:]
    return frames + feed_all(decoder, [data])


class BufferTests(DecoderCase):
    """Large payloads are read directly into the message's buffer."""

    size = 300_000
    header = 10

    def begun(self, message: bytes, came: int = 0, **options: Any) -> RecordingDecoder:
        """Return a decoder that has the header and ``came`` bytes of the payload."""
        decoder = RecordingDecoder(**options)
        self.assertEqual(decoder.feed(message[: self.header + came]), [])
        return decoder

    def assert_filled(self, frames: list[Frame], *expected: Frame) -> None:
        """The frames are equal; a failure does not print megabytes."""
        self.assertTrue(frames == list(expected), f"{len(frames)} frames came out different")

    def test_whole(self) -> None:
        """A payload that is written to the buffer is decoded like one that is fed."""
        payload = random.Random(1).randbytes(self.size)
        for came in (0, 1, 1000, self.size - LARGE_PAYLOAD):
            message = server_frame(BINARY, payload)
            decoder = self.begun(message, came)
            frames = fill_buffer(decoder, message[self.header + came :] + text("next"))
            self.assert_filled(frames, Binary(payload), Text("next"))

    def test_text(self) -> None:
        """Text may be cut inside its code points."""
        message = text("aé€😀" * 40_000)
        decoder = self.begun(message, LARGE_PAYLOAD + 1)
        frames: list[Frame] = []
        for at in range(self.header + LARGE_PAYLOAD + 1, len(message), 65537):
            frames += fill_buffer(decoder, message[at : at + 65537])
        self.assert_filled(frames, Text("aé€😀" * 40_000))

    def test_by_turns(self) -> None:
        """One part of a payload may be written to the buffer, and another be fed."""
        message = "aé€😀" * 40_000
        data = text(message)
        for size in (999, 40_000):
            decoder = self.begun(data)
            frames: list[Frame] = []
            for at in range(self.header, len(data), size):
                take = fill_buffer if at // size % 2 else RecordingDecoder.feed
                frames += take(decoder, data[at : at + size])
            self.assert_filled(frames, Text(message))

    def test_fragments(self) -> None:
        """Fragments may be written to the buffer, with a ping between them."""
        parts = [random.Random(i).randbytes(self.size) for i in range(3)]
        first, second, third = fragments(BINARY, *parts)
        decoder = self.begun(first)
        frames = fill_buffer(
            decoder, first[self.header :] + server_frame(PING, b"?") + second[:500]
        )
        frames += fill_buffer(decoder, second[500:] + third[:10])
        frames += fill_buffer(decoder, third[10:])
        self.assert_filled(frames, Ping(b"?"), Binary(b"".join(parts)))
        self.assertIs(decoder.fragmented[0], frames[1])

    def test_control_frames(self) -> None:
        """``has_controls`` is for each batch."""
        message = server_frame(BINARY, bytes(self.size))
        decoder = RecordingDecoder()
        decoder.feed(server_frame(PING, b"?") + message[:100])
        self.assertTrue(decoder.controls)
        decoder.buffer_updated(100)
        self.assertFalse(decoder.controls)

    def test_only_for_large_payloads(self) -> None:
        """There is a buffer while at least 64 KiB of a payload are missing."""
        decoder = RecordingDecoder()
        self.assertIsNone(decoder.get_buffer())
        message = server_frame(BINARY, bytes(LARGE_PAYLOAD))
        decoder.feed(message[: self.header])
        view = decoder.get_buffer()
        assert view is not None
        self.assertEqual(len(view), LARGE_PAYLOAD)
        view.release()
        fill_buffer(decoder, b"x")
        self.assertIsNone(decoder.get_buffer())

    def test_not_for_compressed_messages(self) -> None:
        """There is no buffer for a compressed message."""
        message = server_frame(BINARY, bytes(self.size), FIN | RSV1)
        decoder = self.begun(message, inflater=FakeInflater())
        self.assertIsNone(decoder.get_buffer())

    def test_bad_text(self) -> None:
        """[F9] Bad text in the buffer is refused with 1007, at the latest when its message ends."""
        message = server_frame(TEXT, b"x" * self.size + b"\xff")
        decoder = self.begun(message, 100_000)
        self.assertIsNotNone(decoder.get_buffer())
        self.assertEqual(fill_buffer(decoder, message[self.header + 100_000 :] + text("late")), [])
        assert decoder.failure is not None
        self.assertEqual(decoder.failure.close_code, INVALID_PAYLOAD)

    def test_bad_beginning(self) -> None:
        """[F9] There is no buffer for the first 64 KiB of text, which are checked at once."""
        message = server_frame(TEXT, b"x" * self.size)
        for came in (0, 1, LARGE_PAYLOAD):
            self.assertIsNone(self.begun(message, came).get_buffer(), f"{came}")
        self.assertIsNotNone(self.begun(message, LARGE_PAYLOAD + 1).get_buffer())

    def test_failed(self) -> None:
        """There is no buffer after an error."""
        decoder = self.begun(server_frame(TEXT, b"\xff" * self.size), LARGE_PAYLOAD)
        self.assertIsNotNone(decoder.failure)
        self.assertIsNone(decoder.get_buffer())

    def test_limit(self) -> None:
        """A fragment that would exceed the limit is refused by its header."""
        first, second = fragments(BINARY, bytes(self.size), bytes(self.size))
        decoder = self.begun(first, max_message_size=2 * self.size - 1)
        self.assertEqual(fill_buffer(decoder, first[self.header :] + second[: self.header]), [])
        assert decoder.failure is not None
        self.assertEqual(decoder.failure.close_code, MESSAGE_TOO_BIG)
