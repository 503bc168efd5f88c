"""Tests of ``wsx._wire.decoder``: message sizes, inflating, and large messages."""

from __future__ import annotations

import itertools
import random
from typing import Any

from wsx._wire.decoder import MUCH, Decoder
from wsx._wire.encoder import FIN, RSV1
from wsx.errors import FrameError
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
    feed_all,
    fragments,
    length_form,
)


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
