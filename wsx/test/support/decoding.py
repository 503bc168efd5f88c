"""Base class and helpers for the tests of the decoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.batch import Batch, ServerClose
from wsx._wire.decoder import Decoder
from wsx._wire.encoder import FIN
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
    Frame,
)
from wsx.test.support import close, server_frame, text

RSV2 = 0x20

RSV3 = 0x10

CONTROL = (CLOSE, PING, PONG)

DATA = (TEXT, BINARY)


class RecordingDecoder:
    """A decoder that records the results of its batches.

    Attributes:
        failure: The protocol error, or None.
        close: The server's close frame, or None.
        fragmented: All fragmented messages.
        batch: The last batch.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.decoder = Decoder(*arguments, **options)
        self.failure: FrameError | None = None
        self.close: ServerClose | None = None
        self.fragmented: list[Frame] = []
        self.batch = Batch()

    def feed(self, data: bytes) -> list[Frame]:
        """Decode one read, or the next batch of a read; return the frames."""
        return self._record(self.decoder.feed(data))

    def get_buffer(self) -> memoryview | None:
        """Return memory for a large payload."""
        return self.decoder.get_buffer()

    def buffer_updated(self, size: int) -> list[Frame]:
        """Decode what was written to that memory, and return the frames."""
        return self._record(self.decoder.buffer_updated(size))

    def _record(self, batch: Batch) -> list[Frame]:
        self.batch = batch
        self.fragmented += batch.fragmented
        if isinstance(batch.end, FrameError):
            self.failure = batch.end
        elif batch.end is not None:
            self.close = batch.end
        return batch.frames

    @property
    def more(self) -> bool:
        """Whether further frames are waiting."""
        return self.batch.more

    @property
    def controls(self) -> bool:
        """Whether the last batch has pings or pongs."""
        return self.batch.has_controls

    @property
    def missing(self) -> int:
        """Bytes that the present data frame still lacks."""
        return self.batch.missing


def length_form(opcode: int, length: int, size: int) -> bytes:
    """Return a header whose length field takes ``size`` bytes, minimal or not."""
    return bytes([FIN | opcode, {2: 126, 8: 127}[size]]) + length.to_bytes(size, "big")


# A frame and the close code with which it is refused. Each is complete, so that only its content is
# wrong.
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
    """Split into reads of one byte."""
    return (data[i : i + 1] for i in range(len(data)))


def feed_all(decoder: RecordingDecoder, reads: Iterable[bytes]) -> list[Frame]:
    """Feed one read after another and return all frames."""
    frames = []
    for read in reads:
        frames += decoder.feed(read)
        while decoder.more:
            frames += decoder.feed(b"")
    return frames


def fragments(opcode: int, *parts: bytes) -> list[bytes]:
    """Return the frames of one message in fragments."""
    last = len(parts) - 1
    return [
        server_frame(CONTINUATION if i else opcode, part, FIN if i == last else 0)
        for i, part in enumerate(parts)
    ]


class FakeInflater:
    """Inflate a byte to two of it, and a dot to nothing; "!" is corrupt. Record the calls."""

    def __init__(self, bad_end: bool = False) -> None:
        self.calls: list[Any] = []
        self.limits: list[int | None] = []
        self._bad_end = bad_end

    def begin(self, opcode: int) -> None:
        self.calls.append("begin")

    def inflate(self, data: bytes, limit: int | None) -> Iterator[bytes]:
        if data:
            self.calls.append(data)
            self.limits.append(limit)
        inflated = bytes(byte for byte in data.replace(b".", b"") for _ in range(2))
        if b"!" in data:
            raise FrameError("corrupt", TEXT, INVALID_PAYLOAD)
        if limit is not None and len(inflated) > limit:
            raise FrameError("too big", TEXT, MESSAGE_TOO_BIG)
        yield inflated

    def end(self, limit: int | None) -> Iterator[bytes]:
        self.calls.append("end")
        if self._bad_end:
            raise FrameError("corrupt", TEXT, INVALID_PAYLOAD)
        yield b""


class DecoderCase(SynchronousTestCase):
    """Base class for tests of a decoder."""

    def assert_decodes(self, data: bytes, *expected: Frame, **options: Any) -> None:
        """Assert that one read is decoded to these frames without an error."""
        decoder = RecordingDecoder(**options)
        self.assertEqual(decoder.feed(data), list(expected))
        self.assertIsNone(decoder.failure)

    def assert_refused(
        self, data: bytes, code: int, *before: Frame, what: str = "", **options: Any
    ) -> FrameError:
        """Assert that one read is decoded to these frames and an error with this close code."""
        decoder = RecordingDecoder(**options)
        self.assertEqual(decoder.feed(data), list(before), what)
        self.assertIsInstance(decoder.failure, FrameError, f"{what or data[:20]!r} was accepted")
        assert decoder.failure is not None
        self.assertEqual(decoder.failure.close_code, code, what)
        self.assertIsNone(decoder.close, what)
        return decoder.failure
