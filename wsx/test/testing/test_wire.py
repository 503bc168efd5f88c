"""Tests of the server's side of the wire."""

from __future__ import annotations

from wsx import Binary, Frame, FrameEncodeError, InvalidFrameError, Ping, Pong, Text
from wsx._transport.autobahn import Deflate as ClientDeflate
from wsx._wire.decoder import Decoder
from wsx._wire.encoder import encode as encode_masked
from wsx._wire.encoder import encode_frame
from wsx._wire.handshake import parse_extensions
from wsx.test.support.kit import KitCase
from wsx.testing.wire import (
    ClientDecoder,
    CloseFrame,
    Deflate,
    close_frame,
    encode,
    encode_fragments,
    server_frame,
)

FRAMES: list[Frame] = [
    Text(""),
    Text("é€😀"),
    Binary(b"\0" * 125),
    Binary(b"\1" * 126),
    Binary(b"\2" * 65535),
    Binary(b"\3" * 65536),
    Ping(b"p"),
    Pong(b""),
]


class EncodeTests(KitCase):
    """What the server sends, decoded by the client's decoder."""

    def test_frames(self) -> None:
        """Frames of each size and kind are what the client decodes."""
        batch = Decoder().feed(b"".join(map(encode, FRAMES)))
        self.assertEqual((batch.frames, batch.end), (FRAMES, None))

    def test_fragments(self) -> None:
        """Fragments are joined to the message; the sizes are those asked for."""
        for sizes in ([1], [0, 0], [3, 2], [100]):
            parts = encode_fragments(Text("é€😀"), sizes)
            self.assertEqual(len(parts), len(sizes) + 1)
            batch = Decoder().feed(b"".join(parts))
            self.assertEqual((batch.frames, batch.fragmented), ([Text("é€😀")], [Text("é€😀")]))

    def test_invalid_frames(self) -> None:
        """Frames that RFC 6455 does not allow are errors; ``raw`` can send them."""
        self.assertRaises(InvalidFrameError, encode, "text")
        self.assertRaises(FrameEncodeError, encode, Ping(bytes(126)))

    def test_close(self) -> None:
        """A close frame may have a code and a message, or nothing."""
        end = Decoder().feed(close_frame(4000, "é")).end
        self.assertEqual((end.code, end.message), (4000, "é"))  # type: ignore[union-attr]
        self.assertEqual(close_frame(), b"\x88\x00")

    def test_mask(self) -> None:
        """A server's frame may be masked, which is invalid."""
        self.assertEqual(server_frame(1, b"ab", mask=b"\0\0\0\1"), b"\x81\x82\0\0\0\1ab")


class DecodeTests(KitCase):
    """What the client sends, encoded by the client's encoder."""

    def test_frames(self) -> None:
        """Frames of each size and kind are decoded, however they arrive."""
        data = b"".join(map(encode_frame, FRAMES))
        self.assertEqual(ClientDecoder().feed(data), FRAMES)
        decoder, frames = ClientDecoder(), []
        for start in range(0, len(data), 997):
            frames += decoder.feed(data[start : start + 997])
        self.assertEqual(frames, FRAMES)

    def test_byte_by_byte(self) -> None:
        """Frames may arrive byte by byte."""
        data = b"".join(map(encode_frame, FRAMES[:4]))
        decoder, frames = ClientDecoder(), []
        for byte in data:
            frames += decoder.feed(bytes([byte]))
        self.assertEqual(frames, FRAMES[:4])

    def test_fragments(self) -> None:
        """A message that the client sends in fragments is joined."""
        mask = b"abcd"
        parts = [(1, b"a", 0), (9, b"p", 0x80), (0, b"b", 0), (0, b"c", 0x80)]
        data = b"".join(encode_masked(opcode, part, mask, fin) for opcode, part, fin in parts)
        self.assertEqual(ClientDecoder().feed(data), [Ping(b"p"), Text("abc")])

    def test_close(self) -> None:
        """A close frame is the last one: bytes after it are an error, now or later."""
        close = encode_masked(8, b"\x0f\xa0why", b"abcd")
        decoder = ClientDecoder()
        self.assertEqual(decoder.feed(close), [CloseFrame(4000, "why")])
        self.assertEqual(decoder.feed(b""), [])
        text = self.failure_of(decoder.feed, encode_frame(Text("a")))
        self.assertEqual(text, "the client has sent bytes after its close frame")
        text = self.failure_of(ClientDecoder().feed, close + encode_frame(Text("a")))
        self.assertEqual(text, "the client has sent bytes after its close frame")
        empty = encode_masked(8, b"", b"abcd")
        self.assertEqual(ClientDecoder().feed(empty), [CloseFrame(1005)])

    def test_violations(self) -> None:
        """A client that violates RFC 6455 fails the test."""
        for data, words in [
            (encode(Text("a")), "a frame without a mask"),
            (encode_masked(3, b"", b"abcd"), "opcode 3 is reserved"),
            (encode_masked(1, b"\xff", b"abcd"), "has violated RFC 6455: "),
            (encode_masked(1, b"a", b"abcd", 0xC0), "a reserved bit is set"),
            (encode_masked(8, b"\x03\xed", b"abcd"), "close code 1005 must not be sent"),
        ]:
            self.assertIn(words, self.failure_of(ClientDecoder().feed, data))


class DeflateTests(KitCase):
    """Compression, against the client's."""

    def test_both_directions(self) -> None:
        """What one side compresses, the other side inflates, with each set of parameters."""
        for header in (
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=12; client_no_context_takeover",
        ):
            server = Deflate.negotiated(header)
            assert server is not None
            client = ClientDeflate(parse_extensions(header)[0][1])
            decoder = Decoder(None, client.inflater())
            received = ClientDecoder(server)
            for frame in (Text("a" * 1000), Binary(bytes(500_000)), Ping(b"p"), Text("a" * 1000)):
                data = encode(frame, server)
                self.assertLess(len(data), 2000)
                self.assertEqual(decoder.feed(data).frames, [frame])
                (encoded,) = client.encode([frame])
                self.assertEqual(received.feed(encoded), [frame])

    def test_not_negotiated(self) -> None:
        """Other extensions, and what is no extension at all, mean no compression."""
        for header in (
            "x-other",
            "",
            "not a token@",
            "permessage-deflate; server_max_window_bits=x",
        ):
            self.assertIsNone(Deflate.negotiated(header), header)
