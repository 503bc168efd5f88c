"""Tests of messages that are encoded in fragments."""

from __future__ import annotations

import random
import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, FrameEncodeError, InvalidFrameError, Text
from wsx._transport.autobahn import Deflate
from wsx._wire.fragments import FragmentEncoder
from wsx.test.support import case
from wsx.test.support.each import each
from wsx.test.support.wire import read_frames

EURO = "€".encode()  # three bytes
FACE = "😀".encode()  # four bytes


def first_bytes(fragments: list[bytes]) -> list[int]:
    """Return the first byte of each frame: FIN, the reserved bits and the opcode."""
    return [fragment[0] for fragment in fragments if fragment]


def payloads(fragments: list[bytes]) -> list[bytes]:
    """Return the unmasked payloads."""
    return [payload for _, payload in read_frames(b"".join(fragments))]


class FragmentCase(SynchronousTestCase):
    """An encoder for one message."""

    def encode(self, kind: Any, *parts: Any, compressor: Any = None) -> list[bytes]:
        """Return the fragments of a message."""
        encoder = FragmentEncoder(kind, compressor)
        return [*(encoder.add(part)[0] for part in parts), encoder.end()]


class FrameTests(FragmentCase):
    """Headers and payloads."""

    def test_text(self) -> None:
        """The first frame has the opcode, the others continue; only the last one has FIN."""
        fragments = self.encode(Text, "a", "bc")
        self.assertEqual(first_bytes(fragments), [0x01, 0x00, 0x80])
        self.assertEqual(payloads(fragments), [b"a", b"bc", b""])

    def test_binary(self) -> None:
        """Any bytes-like object is a part of a Binary."""
        fragments = self.encode(Binary, b"a", bytearray(b"bc"), memoryview(b"def")[::2])
        self.assertEqual(first_bytes(fragments), [0x02, 0x00, 0x00, 0x80])
        self.assertEqual(payloads(fragments), [b"a", b"bc", b"df", b""])

    @each([("text", Text, 0x81), ("binary", Binary, 0x82)])
    def test_empty(self, _: str, kind: Any, first: int) -> None:
        """A message without parts, or with empty ones, is one empty frame."""
        for parts in ((), ("",) if kind is Text else (b"",), (b"", b"")):
            fragments = self.encode(kind, *parts)
            self.assertEqual(first_bytes(fragments), [first])

    def test_sizes(self) -> None:
        """Parts of any size are one frame each."""
        sizes = (1, 125, 126, 65535, 65536, 200_000)
        fragments = self.encode(Binary, *(b"x" * size for size in sizes))
        self.assertEqual([len(payload) for payload in payloads(fragments)], [*sizes, 0])

    def test_masks(self) -> None:
        """Each frame has its own masking key."""
        fragments = self.encode(Binary, *[b"x" * 8] * 20)
        self.assertEqual(len({fragment[2:6] for fragment in fragments}), 21)

    def test_begun(self) -> None:
        """A message is begun once there is something to send."""
        encoder = FragmentEncoder(Text)
        encoder.add("")
        self.assertFalse(encoder.begun)
        encoder.add("a")
        self.assertTrue(encoder.begun)

    def test_shown(self) -> None:
        """A part is shown as a frame: code points where they are complete."""
        encoder = FragmentEncoder(Text)
        shown = [encoder.add(part)[1] for part in ("a", EURO[:1], EURO[1:] + b"b")]
        self.assertEqual(shown, [Text("a"), Text(""), Text("€b")])
        self.assertEqual(FragmentEncoder(Binary).add(b"x")[1], Binary(b"x"))


class TextTests(FragmentCase):
    """UTF-8 in a Text."""

    def test_divided(self) -> None:
        """A code point may be divided between parts, at any place."""
        whole = "a€😀é".encode()
        for cut in range(len(whole) + 1):
            fragments = self.encode(Text, whole[:cut], whole[cut:])
            self.assertEqual(b"".join(payloads(fragments)), whole, cut)
        single = self.encode(Text, *(bytes([byte]) for byte in whole))
        self.assertEqual(b"".join(payloads(single)), whole)

    def test_mixed(self) -> None:
        """A str and bytes may alternate between complete code points."""
        fragments = self.encode(Text, "€", FACE, "", "a", b"b")
        self.assertEqual(b"".join(payloads(fragments)), EURO + FACE + b"ab")

    @each(
        [
            ("invalid", [b"\xff"], "invalid start byte"),
            ("surrogate", [b"\xed\xa0\x80"], "invalid continuation byte"),
            ("overlong", [b"\xc0\x80"], "invalid start byte"),
            ("divided", [b"a\xe2", b"(", b""], "invalid continuation byte"),
            ("str_after_incomplete", [EURO[:2], "a"], "a str follows an incomplete code point"),
            ("lone_surrogate", ["\ud800"], "surrogates not allowed"),
            ("incomplete", [b"a", EURO[:2]], "the last code point is incomplete"),
        ]
    )
    def test_not_utf8(self, _: str, parts: list[Any], reason: str) -> None:
        """Parts that are not UTF-8 together are refused."""
        error = self.assertRaises(FrameEncodeError, self.encode, Text, *parts)
        self.assertEqual(error.frame_type, "text")
        self.assertEqual(error.reason, f"payload: expected UTF-8 in the parts together: {reason}")

    def test_random(self) -> None:
        """Random text in random parts arrives unchanged, or is refused if it is damaged."""
        chance = random.Random(13)
        for _ in range(200):
            text = "".join(chance.choice("ab€😀é\x00") for _ in range(chance.randint(0, 12)))
            data = bytearray(text.encode())
            if data and chance.random() < 0.3:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            cuts = sorted(chance.randint(0, len(data)) for _ in range(4))
            parts = [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            with case(parts):
                try:
                    data.decode()
                except UnicodeDecodeError:
                    self.assertRaises(FrameEncodeError, self.encode, Text, *parts)
                else:
                    sent = payloads(self.encode(Text, *parts))
                    self.assertEqual(b"".join(sent), data)


class InvalidTests(FragmentCase):
    """Parts of the wrong type."""

    @each(
        [
            ("int", Text, 5),
            ("none", Binary, None),
            ("list", Binary, [1]),
            ("str_in_binary", Binary, "a"),
            ("frame", Text, Text("a")),
        ]
    )
    def test_type(self, _: str, kind: Any, part: Any) -> None:
        """A part that is neither str nor bytes, or a str in a Binary, is refused."""
        error = self.assertRaises(InvalidFrameError, self.encode, kind, part)
        self.assertIn(kind.__name__, str(error))


class DeflateTests(FragmentCase):
    """Compressed messages (RFC 7692 section 6.1)."""

    def inflate(self, fragments: list[bytes], inflater: Any = None) -> bytes:
        """Return the message."""
        inflater = inflater or zlib.decompressobj(-15)
        return bytes(inflater.decompress(b"".join(payloads(fragments)) + b"\x00\x00\xff\xff"))

    def test_first_frame(self) -> None:
        """Only the first frame has RSV1; the message is inflated as a whole."""
        parts = [bytes(random.Random(n).randbytes(50_000)) for n in range(3)]
        fragments = self.encode(Binary, *parts, compressor=Deflate({}))
        firsts = first_bytes(fragments)
        self.assertEqual((firsts[0], firsts[-1]), (0x42, 0x80))
        self.assertEqual(set(firsts[1:-1]), {0x00})
        self.assertEqual(self.inflate(fragments), b"".join(parts))

    def test_small_parts(self) -> None:
        """Parts that the compressor keeps are sent with the last frame."""
        fragments = self.encode(Text, "a", "b", "c", compressor=Deflate({}))
        self.assertEqual(first_bytes(fragments), [0xC1])
        self.assertEqual(self.inflate(fragments), b"abc")

    def test_empty(self) -> None:
        """An empty message is one compressed frame."""
        fragments = self.encode(Text, compressor=Deflate({}))
        self.assertEqual(first_bytes(fragments), [0xC1])
        self.assertEqual(self.inflate(fragments), b"")

    @each([("kept", {}), ("reset", {"client_no_context_takeover": [True]})])
    def test_messages_around(self, label: str, parameters: dict[str, Any]) -> None:
        """Messages before and after it share the LZ77 window as usual."""
        deflate = Deflate(parameters)
        text = "the same words again and again "
        inflater = zlib.decompressobj(-15)
        for _ in range(3):
            [whole] = deflate.encode([Text(text)])
            self.assertEqual(self.inflate([whole], inflater), text.encode())
            fragments = self.encode(Text, text, text, compressor=deflate)
            self.assertEqual(self.inflate(fragments, inflater), 2 * text.encode())

    def test_begun(self) -> None:
        """A message is begun once a part was compressed, even if nothing is to be sent yet."""
        encoder = FragmentEncoder(Text, Deflate({}))
        self.assertEqual(encoder.add("a")[0], b"")
        self.assertTrue(encoder.begun)
