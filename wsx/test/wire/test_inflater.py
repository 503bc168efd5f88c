"""Tests of ``wsx._wire.inflater``: inflate zlib streams, within limits (RFC 7692)."""

from __future__ import annotations

import tracemalloc
import zlib
from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.encoder import FIN, RSV1
from wsx._wire.inflater import Inflater
from wsx.errors import FrameError
from wsx.frames import BINARY, INVALID_PAYLOAD, MESSAGE_TOO_BIG, TEXT, Binary, Text
from wsx.test.support import server_frame
from wsx.test.support.decoding import RecordingDecoder

TAIL = b"\x00\x00\xff\xff"
HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692 section 7.2.3.1
HELLO_AGAIN = bytes.fromhex("f200110000")  # section 7.2.3.2, it refers to the one before
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")  # section 7.2.3.3
HELLO_FINAL = bytes.fromhex("f348cdc9c9070000")  # section 7.2.3.4
HELLO_IN_TWO_BLOCKS = bytes.fromhex("f24805000000ffffcac9c90700")  # section 7.2.3.5


class Deflater:
    """A server that compresses (RFC 7692 section 7.2.1)."""

    def __init__(
        self,
        window_bits: int = 15,
        keep_context: bool = True,
        level: int = 9,
        strategy: int = zlib.Z_DEFAULT_STRATEGY,
    ) -> None:
        self._keep_context = keep_context
        # zlib cannot create a raw stream with a window of 8 bits; short data do not need more.
        self._arguments = (level, zlib.DEFLATED, -max(window_bits, 9), 8, strategy)
        self._stream = zlib.compressobj(*self._arguments)

    def message(self, data: bytes) -> bytes:
        """Return the payload of a message."""
        if not self._keep_context:
            self._stream = zlib.compressobj(*self._arguments)
        compressed = self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        assert compressed.endswith(TAIL)
        return compressed[: -len(TAIL)] or b"\x00"  # section 7.2.3.6

    @staticmethod
    def final(*parts: bytes) -> bytes:
        """Return a payload in which each part ends with a BFINAL block (section 7.2.3.4)."""
        streams = (zlib.compressobj(9, zlib.DEFLATED, -15) for _ in parts)
        pairs = zip(streams, parts, strict=True)
        return b"".join(s.compress(part) + s.flush(zlib.Z_FINISH) for s, part in pairs) + b"\x00"


def pieces(payload: bytes, size: int) -> list[bytes]:
    """Cut a payload into parts of ``size`` bytes."""
    return [payload[pos : pos + size] for pos in range(0, len(payload), size)]


def inflate(
    inflater: Inflater, payload: bytes, limit: int | None = None, size: int | None = None
) -> bytes:
    """Inflate one message part by part, with the limit that is left for each part."""
    inflater.begin(TEXT)
    message = b""
    for part in pieces(payload, size or max(len(payload), 1)):
        left = None if limit is None else limit - len(message)
        message += b"".join(inflater.inflate(part, left))
    return message + b"".join(inflater.end(None if limit is None else limit - len(message)))


class InflaterCase(SynchronousTestCase):
    """Base class of the tests below."""

    def refused(self, inflater: Inflater, payload: bytes, limit: int | None = None) -> FrameError:
        """Return the error that refuses a message."""
        return self.assertRaises(FrameError, inflate, inflater, payload, limit)


class MessageTests(InflaterCase):
    """Messages are inflated to what was compressed."""

    def test_examples_of_the_rfc(self) -> None:
        """Each example of RFC 7692 section 7.2.3 is inflated to "Hello"."""
        for payload in (HELLO, HELLO_STORED, HELLO_FINAL, HELLO_IN_TWO_BLOCKS):
            for keep_context in (True, False):
                inflater = Inflater(15, keep_context)
                message = (payload.hex(), keep_context)
                self.assertEqual(inflate(inflater, payload), b"Hello", message)
                self.assertEqual(inflate(inflater, payload), b"Hello", message)

    def test_all_combinations(self) -> None:
        """Any window, level, strategy, context takeover and size of parts is inflated."""
        messages = [b"Hello", b"", b"Hello" * 10, bytes(range(120)), b"Hello", b"x"]
        strategies = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED)
        for case in product(range(8, 16), (True, False), (0, 1, 9), strategies, (1, 7, None)):
            bits, keep_context, level, strategy, size = case
            deflater = Deflater(bits, keep_context, level, strategy)
            inflater = Inflater(bits, keep_context)
            for data in messages:
                self.assertEqual(inflate(inflater, deflater.message(data), size=size), data, case)

    def test_long_messages(self) -> None:
        """Messages longer than the window are inflated, with each window that zlib has."""
        data = b"".join(b"%d, " % number for number in range(20_000))
        for bits, keep_context in product(range(9, 16), (True, False)):
            deflater, inflater = Deflater(bits, keep_context), Inflater(bits, keep_context)
            for _ in range(2):
                same = inflate(inflater, deflater.message(data), size=4096) == data
                self.assertTrue(same, (bits, keep_context))

    def test_parts_of_one_byte(self) -> None:
        """A message may arrive byte by byte, with and without a limit."""
        data = bytes(range(256)) * 4
        for limit in (None, len(data)):
            payload = Deflater().message(data)
            self.assertEqual(inflate(Inflater(15, True), payload, limit, size=1), data)

    def test_parts_come_as_they_are_inflated(self) -> None:
        """Each part is inflated at once, not only at the end of the message."""
        inflater = Inflater(15, True)
        inflater.begin(TEXT)
        self.assertEqual(b"".join(inflater.inflate(HELLO_IN_TWO_BLOCKS[:8], None)), b"He")
        self.assertEqual(b"".join(inflater.inflate(HELLO_IN_TWO_BLOCKS[8:], None)), b"llo")
        self.assertEqual(b"".join(inflater.end(None)), b"")

    def test_empty_messages(self) -> None:
        """Each form of an empty message is inflated to nothing."""
        forms = {"section 7.2.3.6": b"\x00", "fixed": b"\x02\x00", "final": b"\x03\x00\x00"}
        for (name, payload), keep_context in product(forms.items(), (True, False)):
            inflater = Inflater(15, keep_context)
            for limit in (None, 0, 5):
                self.assertEqual(inflate(inflater, payload, limit), b"", (name, limit))
            self.assertEqual(inflate(inflater, HELLO, 5), b"Hello", name)

    def test_empty_parts(self) -> None:
        """An empty part changes nothing."""
        inflater = Inflater(15, True)
        inflater.begin(TEXT)
        parts = [
            b"".join(inflater.inflate(part, 5)) for part in (b"", HELLO[:3], b"", HELLO[3:], b"")
        ]
        self.assertEqual(b"".join([*parts, *inflater.end(0)]), b"Hello")


class ContextTests(InflaterCase):
    """References to earlier messages."""

    def test_kept(self) -> None:
        """With context, a message refers to the one before (RFC 7692 section 7.2.3.2)."""
        inflater = Inflater(15, True)
        self.assertEqual(inflate(inflater, HELLO), b"Hello")
        self.assertEqual(inflate(inflater, HELLO_AGAIN), b"Hello")

    def test_kept_over_many(self) -> None:
        """With context, a message may refer to one long before it, also behind empty ones."""
        deflater, inflater = Deflater(), Inflater(15, True)
        data = bytes(range(256))
        first = deflater.message(data)
        self.assertEqual(inflate(inflater, first), data)
        for number in range(20):
            filler = b"" if number % 2 else b"%d" % number
            self.assertEqual(inflate(inflater, deflater.message(filler)), filler)
        again = deflater.message(data)
        self.assertLess(len(again), len(first) // 4, "it does not refer to the first")
        self.assertEqual(inflate(inflater, again), data)

    def test_not_kept(self) -> None:
        """Without context, a message that refers to the one before is corrupt."""
        inflater = Inflater(15, False)
        self.assertEqual(inflate(inflater, HELLO), b"Hello")
        self.assertEqual(self.refused(inflater, HELLO_AGAIN).close_code, INVALID_PAYLOAD)

    def test_nothing_before(self) -> None:
        """A first message that refers to an earlier one is corrupt."""
        error = self.refused(Inflater(15, True), HELLO_AGAIN)
        self.assertEqual(error.close_code, INVALID_PAYLOAD)

    def test_not_shared(self) -> None:
        """Two connections share no context."""
        inflate(Inflater(15, True), HELLO)
        error = self.refused(Inflater(15, True), HELLO_AGAIN)
        self.assertEqual(error.close_code, INVALID_PAYLOAD)

    def test_window(self) -> None:
        """A reference within the negotiated window is inflated, one beyond it is corrupt."""
        far = [bytes(range(200)), b"-" * 400, bytes(range(200))]  # A reference 600 bytes back.
        near = [far[0], b"-" * 20, far[2]]  # A reference 220 bytes back.
        for (messages, distance), bits in product(((near, 220), (far, 600)), range(8, 16)):
            deflater, inflater = Deflater(15), Inflater(bits, True)
            payloads = [deflater.message(data) for data in messages]
            self.assertLess(len(payloads[2]), 20, "it does not refer to the first")
            for payload, data in zip(payloads[:2], messages, strict=False):
                self.assertEqual(inflate(inflater, payload), data, (distance, bits))
            if distance <= 1 << bits:
                self.assertEqual(inflate(inflater, payloads[2]), messages[2], (distance, bits))
            else:
                error = self.refused(inflater, payloads[2])
                self.assertEqual(error.close_code, INVALID_PAYLOAD, (distance, bits))

    def test_window_in_each_message(self) -> None:
        """Without context the negotiated window holds for each message."""
        data = bytes(range(200)) + b"-" * 400 + bytes(range(200))
        for bits in range(8, 16):
            deflater, inflater = Deflater(15, False), Inflater(bits, False)
            for _ in range(2):
                self.assertEqual(inflate(inflater, deflater.message(b"Hello")), b"Hello")
                payload = deflater.message(data)  # Fed in parts: within one part, zlib checks less.
                if 1 << bits < 600:
                    self.assertRaises(FrameError, inflate, inflater, payload, None, 1)
                else:
                    self.assertEqual(inflate(inflater, payload, None, 1), data, bits)


class LimitTests(InflaterCase):
    """Messages up to the limit are inflated, longer ones are refused."""

    def test_around_the_limit(self) -> None:
        """Messages up to the limit are inflated, longer ones refused with 1009, in any parts."""
        limit = 64
        payloads = {
            size: (
                Deflater().message(b"a" * size),
                Deflater(level=0).message(b"a" * size),
                Deflater.final(b"a" * size),
                Deflater.final(b"a" * (size // 2), b"a" * (size - size // 2)),
            )
            for size in range(limit - 5, limit + 6)
        }
        for (size, forms), part in product(payloads.items(), (None, 1, 2, 3, 50)):
            for payload in forms:
                case = (size, part, payload.hex())
                inflater = Inflater(15, True)
                if size <= limit:
                    self.assertEqual(inflate(inflater, payload, limit, part), b"a" * size, case)
                else:
                    with self.assertRaises(FrameError, msg=str(case)) as caught:
                        inflate(inflater, payload, limit, part)
                    self.assertEqual(caught.exception.close_code, MESSAGE_TOO_BIG, case)

    def test_every_limit(self) -> None:
        """Each limit from 0 on refuses exactly the messages that are longer."""
        data = b"Hello, Hello, Hello"
        payload = Deflater().message(data)
        for limit in range(len(data) + 3):
            if limit < len(data):
                error = self.refused(Inflater(15, True), payload, limit)
                self.assertEqual(error.close_code, MESSAGE_TOO_BIG, limit)
            else:
                self.assertEqual(inflate(Inflater(15, True), payload, limit), data, limit)

    def test_at_the_limit_again_and_again(self) -> None:
        """Messages of exactly the limit may follow each other."""
        for keep_context in (True, False):
            deflater, inflater = Deflater(15, keep_context), Inflater(15, keep_context)
            for number in range(20):
                data = b"%019d" % number
                self.assertEqual(inflate(inflater, deflater.message(data), 19), data)

    def test_bomb(self) -> None:
        """A message that grows a thousandfold is not inflated beyond the limit."""
        payload = Deflater().message(bytes(10_000_000))
        self.assertLess(len(payload), 10_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        error = self.refused(Inflater(15, True), payload, 1000)
        self.assertEqual(error.close_code, MESSAGE_TOO_BIG)
        self.assertLess(tracemalloc.get_traced_memory()[1], 1_000_000, "the most that it took")

    def test_no_limit(self) -> None:
        """None means no limit."""
        payload = Deflater().message(bytes(10_000_000))
        self.assertEqual(len(inflate(Inflater(15, True), payload, None)), 10_000_000)

    def test_empty_blocks_at_the_limit(self) -> None:
        """Empty blocks are accepted at the limit."""
        payload = Deflater.final(b"Hello", b"", b"", b"")
        self.assertEqual(inflate(Inflater(15, True), payload, 5), b"Hello")
        self.assertEqual(
            inflate(Inflater(15, True), b"\x00\x00\x00\xff\xff" * 9 + HELLO, 5), b"Hello"
        )


class FinalBlockTests(InflaterCase):
    """A block with BFINAL does not end the message (RFC 7692 section 7.2.3.4)."""

    def test_across_messages(self) -> None:
        """Messages after one with a final block are inflated, with and without context."""
        for keep_context, size in product((True, False), (1, None)):
            inflater = Inflater(15, keep_context)
            for data in (b"one", b"two" * 100, b"", b"three"):
                payload = Deflater.final(data)
                self.assertEqual(inflate(inflater, payload, 300, size), data)

    def test_several_in_one_message(self) -> None:
        """Several streams in one message are joined."""
        for count, size in product(range(1, 6), (1, 3, None)):
            parts = [b"part %d, " % number * number for number in range(count)]
            payload = Deflater.final(*parts)
            message = inflate(Inflater(15, True), payload, 1000, size)
            self.assertEqual(message, b"".join(parts), (count, size))

    def test_between_other_blocks(self) -> None:
        """Blocks without BFINAL may follow one with BFINAL in the same message."""
        payload = Deflater.final(b"one, ")[:-1] + Deflater().message(b"two")
        for size in (1, None):
            self.assertEqual(inflate(Inflater(15, True), payload, 8, size), b"one, two")

    def test_between_other_messages(self) -> None:
        """Messages with and without final blocks may alternate."""
        for keep_context in (True, False):
            inflater = Inflater(15, keep_context)
            for _ in range(3):
                self.assertEqual(inflate(inflater, HELLO_FINAL), b"Hello")
                self.assertEqual(inflate(inflater, HELLO), b"Hello")

    def test_context_after_one(self) -> None:
        """After a final block, messages may refer to those behind it."""
        inflater = Inflater(15, True)
        inflate(inflater, HELLO_FINAL)
        self.assertEqual(inflate(inflater, HELLO), b"Hello")
        self.assertEqual(inflate(inflater, HELLO_AGAIN), b"Hello")

    def test_limit(self) -> None:
        """A message may have 256 final blocks; one more is refused with 1007."""
        for size in (1, None):
            inflater = Inflater(15, True)
            allowed, refused = [Deflater.final(*[b"a"] * count) for count in (256, 257)]
            self.assertEqual(inflate(inflater, allowed, None, size), b"a" * 256)
            with self.assertRaises(FrameError) as caught:
                inflate(inflater, refused, None, size)
            self.assertEqual(caught.exception.close_code, INVALID_PAYLOAD)


class CorruptTests(InflaterCase):
    """Data that cannot be inflated is refused with 1007."""

    CORRUPT = (
        b"\x07",  # The reserved block type.
        b"\x06rest",
        b"\xff" * 20,
        b"\x00\x05\x00\x00\x00Hello",  # A stored block whose lengths do not match.
        b"\x63\x00\x07",  # A reserved block type after a final block.
    )

    def test_corrupt(self) -> None:
        """Each kind of corruption is refused, in any parts and with any limit."""
        for payload, size, limit in product(self.CORRUPT, (1, None), (None, 0, 1000)):
            case = (payload.hex(), size, limit)
            with self.assertRaises(FrameError, msg=str(case)) as caught:
                inflate(Inflater(15, True), payload, limit, size)
            if limit != 0:
                self.assertEqual(caught.exception.close_code, INVALID_PAYLOAD, case)

    def test_corrupt_later(self) -> None:
        """Corruption in a later message is refused as well."""
        for keep_context, payload in product((True, False), self.CORRUPT):
            inflater = Inflater(15, keep_context)
            inflate(inflater, HELLO)
            error = self.refused(inflater, payload)
            self.assertEqual(error.close_code, INVALID_PAYLOAD, payload.hex())

    def test_every_flipped_bit(self) -> None:
        """A flipped bit changes the message or is refused."""
        payload = Deflater().message(b"Hello, Hello, hello there")
        refused = 0
        for bit in range(8 * len(payload)):
            flipped = bytearray(payload)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                message = inflate(Inflater(15, True), bytes(flipped), 1000)
            except FrameError as error:
                self.assertIn(error.close_code, (INVALID_PAYLOAD, MESSAGE_TOO_BIG))
                refused += 1
            else:
                self.assertLessEqual(len(message), 1000)
        self.assertGreater(refused, 0)

    def test_text_of_the_error(self) -> None:
        """The error names the problem and shows nothing of the message."""
        error = self.refused(Inflater(15, True), b"\x00\x05\x00\x00\x00secret")
        self.assertIn("cannot be inflated", str(error))
        self.assertNotIn("secret", str(error))
        self.assertIsNone(error.__cause__)


class DecoderTests(SynchronousTestCase):
    """The inflater together with the decoder of frames."""

    def decode(
        self, *frames: bytes, limit: int | None = None, size: int = 65536
    ) -> RecordingDecoder:
        """Decode frames that arrive in reads of ``size`` bytes."""
        decoder = RecordingDecoder(limit, Inflater(15, True))
        self.frames: list[object] = []
        for part in pieces(b"".join(frames), size):
            self.frames += decoder.feed(part)
        return decoder

    def test_fragments_with_a_final_block(self) -> None:
        """A message may be cut into frames anywhere, also at its final blocks."""
        payload = Deflater.final(b"one, ", b"two")
        for cut in range(len(payload) + 1):
            first = server_frame(TEXT, payload[:cut], RSV1)
            rest = server_frame(0, payload[cut:], FIN)
            again = server_frame(BINARY, HELLO, FIN | RSV1)
            decoder = self.decode(first, rest, again, limit=8, size=1)
            self.assertIsNone(decoder.failure, cut)
            self.assertEqual(self.frames, [Text("one, two"), Binary(b"Hello")], cut)

    def test_limit_is_of_the_inflated_message(self) -> None:
        """The limit counts the inflated bytes of all fragments."""
        for size, fits in ((99, True), (100, True), (101, False)):
            payload = Deflater().message(b"a" * size)
            frames = [server_frame(BINARY, payload[:1], RSV1), server_frame(0, payload[1:])]
            failure = self.decode(*frames, limit=100).failure
            if fits:
                self.assertEqual(self.frames, [Binary(b"a" * size)])
            else:
                assert failure is not None
                self.assertEqual((failure.close_code, self.frames), (MESSAGE_TOO_BIG, []))

    def test_opcode_of_the_error(self) -> None:
        """The error has the opcode of the message, whether it is corrupt or too long."""
        for opcode in (TEXT, BINARY):
            for payload in (b"\x07", Deflater().message(b"a" * 11)):
                frame = server_frame(opcode, payload, FIN | RSV1)
                failure = self.decode(frame, limit=10).failure
                assert failure is not None
                self.assertEqual(failure.opcode, opcode, payload.hex())
