"""What the tests of the decoder share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._wire.decoder import Decoder
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
    Frame,
)
from wsx.test.support import close, server_frame, text

RSV2 = 0x20

RSV3 = 0x10

CONTROL = (CLOSE, PING, PONG)

DATA = (TEXT, BINARY)


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
