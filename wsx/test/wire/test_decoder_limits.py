"""Tests of the limits of the work for one batch, and of empty fragments."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Final

from wsx._wire.assembler import MAX_EMPTY_FRAGMENTS
from wsx._wire.decoder import BATCH_SIZE, Decoder
from wsx._wire.inflater import Inflater
from wsx.frames import BINARY, CONTINUATION, MESSAGE_TOO_BIG, PING, TEXT, Binary, Ping, Text
from wsx.test.support import server_frame, text
from wsx.test.support.decoding import DecoderCase, RecordingDecoder, feed_all, fragments

MEBIBYTE: Final = 1 << 20
FIN_RSV1: Final = 0xC0
TAIL: Final = b"\x00\x00\xff\xff"


def compressed(payload: bytes) -> bytes:
    """Return the frame of a compressed binary message, without context takeover."""
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return server_frame(BINARY, body.removesuffix(TAIL), FIN_RSV1)


class InflatedLimitTests(DecoderCase):
    """A batch has few inflated bytes, so that few messages are in memory at once."""

    def setUp(self) -> None:
        super().setUp()
        self.decoder = RecordingDecoder(inflater=Inflater(15, False))

    def test_one_large_message(self) -> None:
        """A batch ends after a message that inflates to more than 256 KiB."""
        data = compressed(bytes(MEBIBYTE))
        self.assertEqual(self.decoder.feed(data * 3), [Binary(bytes(MEBIBYTE))])
        self.assertTrue(self.decoder.more)
        self.assertEqual(feed_all(self.decoder, [b""]), [Binary(bytes(MEBIBYTE))] * 2)
        self.assertFalse(self.decoder.more)

    def test_small_messages(self) -> None:
        """Messages that stay below 256 KiB together are in one batch."""
        data = compressed(bytes(1000))
        self.assertEqual(len(self.decoder.feed(data * 200)), 200)
        self.assertFalse(self.decoder.more)

    def test_sum(self) -> None:
        """The messages of a batch are added up."""
        data = compressed(bytes(100_000))
        self.assertEqual(len(self.decoder.feed(data * 9)), 3)

    def test_final_blocks(self) -> None:
        """A batch has at most about 2,048 final blocks, each of which costs time."""
        data = server_frame(BINARY, b"\x03\x00" * 256, FIN_RSV1)
        self.assertEqual(self.decoder.feed(data * 100), [Binary(b"")] * 8)
        self.assertTrue(self.decoder.more)
        self.assertEqual(feed_all(self.decoder, [b""]), [Binary(b"")] * 92)

    def test_plain_messages(self) -> None:
        """Plain messages do not count: their bytes have been received."""
        data = server_frame(BINARY, bytes(100_000))
        self.assertEqual(len(self.decoder.feed(data * 9)), 9)

    def test_memory(self) -> None:
        """At most two messages are in memory while 50 messages of one read are decoded."""
        size = 2 * MEBIBYTE
        data = compressed(bytes(size)) * 50
        decoder = Decoder(None, Inflater(15, False))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        count = 0
        batch = decoder.feed(data)
        while True:
            count += len(batch.frames)
            more = batch.more
            del batch
            if not more:
                break
            batch = decoder.resume()
        _, peak = tracemalloc.get_traced_memory()
        self.assertEqual(count, 50)
        self.assertLess(peak, 4 * size)


class FragmentLimitTests(DecoderCase):
    """A batch has a limited number of fragments."""

    def test_fragments(self) -> None:
        """Many small fragments are decoded in several batches."""
        decoder = RecordingDecoder()
        count = 10_000
        data = b"".join(fragments(TEXT, *([b"x"] * count)))
        batches = 1
        frames = decoder.feed(data)
        while decoder.more:
            self.assertEqual(frames, [])
            frames = decoder.feed(b"")
            batches += 1
        self.assertEqual(frames, [Text("x" * count)])
        self.assertGreater(batches, 3)

    def test_append(self) -> None:
        """The bytes of another read follow those that are not decoded yet."""
        decoder = Decoder()
        batch = decoder.feed(text("x") * (BATCH_SIZE + 5) + text("cut")[:3])
        decoder.append(text("cut")[3:])
        frames = batch.frames
        while batch.more:
            batch = decoder.resume()
            frames += batch.frames
        self.assertEqual(frames, [Text("x")] * (BATCH_SIZE + 5) + [Text("cut")])


class EmptyFragmentTests(DecoderCase):
    """The number of empty fragments of a message is limited."""

    def feed(self, count: int) -> RecordingDecoder:
        """Return a decoder that received a message with this many empty fragments in between."""
        decoder = RecordingDecoder()
        empty = server_frame(CONTINUATION, b"", 0)
        data = [server_frame(TEXT, b"a", 0), empty * count, server_frame(CONTINUATION, b"b")]
        self.frames = feed_all(decoder, data)
        return decoder

    def test_limit(self) -> None:
        """A message may have 4,096 empty fragments."""
        self.assertIsNone(self.feed(MAX_EMPTY_FRAGMENTS).failure)
        self.assertEqual(self.frames, [Text("ab")])

    def test_beyond(self) -> None:
        """One more fails the connection with close code 1009."""
        failure = self.feed(MAX_EMPTY_FRAGMENTS + 1).failure
        assert failure is not None
        self.assertEqual(failure.close_code, MESSAGE_TOO_BIG)
        self.assertIn("empty fragments", failure.reason)

    def test_each_message(self) -> None:
        """Each message has its own count; empty messages and pings have none."""
        decoder = RecordingDecoder()
        message = b"".join([server_frame(TEXT, b"", 0), server_frame(CONTINUATION, b"")])
        data = (message + text("") + server_frame(PING)) * MAX_EMPTY_FRAGMENTS
        frames = feed_all(decoder, [data])
        self.assertEqual(frames, [Text(""), Text(""), Ping()] * MAX_EMPTY_FRAGMENTS)
        self.assertIsNone(decoder.failure)
