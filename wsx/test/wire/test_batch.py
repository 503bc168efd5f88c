"""Tests of ``wsx._wire.batch``: the result of one read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.batch import Batch, ServerClose
from wsx._wire.decoder import Decoder
from wsx.errors import FrameError
from wsx.frames import BINARY, PING, PONG, PROTOCOL_ERROR, TEXT, Binary, Ping, Pong, Text
from wsx.test.support import close, server_frame, text
from wsx.test.support.decoding import fragments


class BatchTests(SynchronousTestCase):
    """Batches without a decoder."""

    def test_empty(self) -> None:
        """A new batch has no frames, no end and no missing bytes."""
        batch = Batch()
        self.assertEqual((batch.frames, batch.fragmented), ([], []))
        self.assertIsNone(batch.end)
        self.assertFalse(batch.has_controls or batch.more)
        self.assertEqual(batch.missing, 0)

    def test_own_lists(self) -> None:
        """Two batches do not share their lists."""
        one, other = Batch(), Batch()
        one.frames.append(Text("x"))
        one.fragmented.append(Text("x"))
        self.assertEqual((other.frames, other.fragmented), ([], []))

    def test_no_other_attributes(self) -> None:
        """Neither a batch nor a close frame takes other attributes."""
        for value in (Batch(), ServerClose(1000, "")):
            with self.assertRaises(AttributeError):
                value.extra = 1  # type: ignore[union-attr]

    def test_peer_close(self) -> None:
        """A close frame has a code and a message."""
        end = ServerClose(1001, "away")
        self.assertEqual((end.code, end.message), (1001, "away"))


class DecodedBatchTests(SynchronousTestCase):
    """Batches of a decoder; the modules ``test_decoder_*`` test their frames."""

    def setUp(self) -> None:
        self.decoder = Decoder()

    def test_has_controls(self) -> None:
        """``has_controls`` is set for a batch with a ping or a pong, and only for that batch."""
        for data, expected in (
            (text("a"), False),
            (text("a") + server_frame(PING), True),
            (text("a"), False),
            (server_frame(PONG) + text("a"), True),
            (server_frame(PING)[:1], False),
            (server_frame(PING)[1:] + text("a") * 3, True),
            (b"", False),
            (close(1000), False),
        ):
            self.assertEqual(self.decoder.feed(data).has_controls, expected, data)

    def test_fragmented(self) -> None:
        """``fragmented`` has the fragmented messages of the batch, and no others."""
        first, last = fragments(TEXT, b"a", b"b")
        self.assertEqual(self.decoder.feed(text("x") + first).fragmented, [])
        batch = self.decoder.feed(last + text("y") + b"".join(fragments(BINARY, b"c", b"d")))
        self.assertEqual(batch.frames, [Text("ab"), Text("y"), Binary(b"cd")])
        self.assertEqual(len(batch.fragmented), 2)
        self.assertIs(batch.fragmented[0], batch.frames[0])
        self.assertIs(batch.fragmented[1], batch.frames[2])
        self.assertEqual(self.decoder.feed(text("z")).fragmented, [])

    def test_missing(self) -> None:
        """``missing`` counts the bytes of a data frame that are still to come."""
        data = server_frame(BINARY, bytes(200))
        for size, missing in ((4, 200), (50, 150), (149, 1), (1, 0)):
            part, data = data[:size], data[size:]
            self.assertEqual(self.decoder.feed(part).missing, missing)

    def test_close(self) -> None:
        """The batch with the close frame has it as its end, behind the frames before it."""
        batch = self.decoder.feed(text("a") + close(1001, "away") + text("b"))
        self.assertEqual(batch.frames, [Text("a")])
        assert isinstance(batch.end, ServerClose)
        self.assertEqual((batch.end.code, batch.end.message), (1001, "away"))

    def test_error(self) -> None:
        """The batch with a protocol error has it as its end, behind the frames before it."""
        batch = self.decoder.feed(text("a") + server_frame(3) + text("b"))
        self.assertEqual(batch.frames, [Text("a")])
        assert isinstance(batch.end, FrameError)
        self.assertEqual(batch.end.close_code, PROTOCOL_ERROR)
        self.assertFalse(batch.more)

    def test_one_end(self) -> None:
        """The batches after the end are empty and have no end."""
        for data in (close(1000), server_frame(3)):
            decoder = Decoder()
            self.assertIsNotNone(decoder.feed(data).end)
            for batch in (decoder.feed(text("a") + close(1000)), decoder.resume()):
                self.assertEqual((batch.frames, batch.end, batch.more), ([], None, False))

    def test_one_batch_for_each_read(self) -> None:
        """Each read has its own batch; earlier ones do not change."""
        first = self.decoder.feed(server_frame(PING, b"1"))
        second = self.decoder.feed(server_frame(PONG, b"2"))
        self.assertIsNot(first, second)
        self.assertEqual((first.frames, second.frames), ([Ping(b"1")], [Pong(b"2")]))
