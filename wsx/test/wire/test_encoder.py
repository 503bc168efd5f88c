"""Tests of ``wsx._wire.encoder``: frames to bytes, and masking keys."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._wire.encoder import FIN, RSV1, MaskSource, _mask_bytewise, apply_mask, encode, masks
from wsx.frames import BINARY, CLOSE, PING, PONG, TEXT
from wsx.test.support import slow_mask


class EncodeTests(SynchronousTestCase):
    """Frames to bytes."""

    mask = b"\x37\xfa\x21\x3d"

    def test_example_of_the_rfc(self) -> None:
        """[F1] the masked example of RFC 6455 section 5.7."""
        self.assertEqual(encode(TEXT, b"Hello", self.mask), bytes.fromhex("818537fa213d7f9f4d5158"))

    def test_headers(self) -> None:
        """[F1] lengths of 7, 16 and 64 bits take the shortest form; the mask bit is set."""
        for length, header in (
            (0, "8280"),
            (1, "8281"),
            (125, "82fd"),
            (126, "82fe007e"),
            (127, "82fe007f"),
            (65535, "82feffff"),
            (65536, "82ff0000000000010000"),
            (65537, "82ff0000000000010001"),
        ):
            data = encode(BINARY, bytes(length), self.mask)
            expected = bytes.fromhex(header)
            self.assertEqual(data[: len(expected)], expected, f"length {length}")
            self.assertEqual(len(data), len(expected) + 4 + length, f"length {length}")

    def test_payload_is_masked(self) -> None:
        """[F1] the mask follows the header, and the payload is masked with it."""
        for length, header in ((0, 2), (1, 2), (5, 2), (125, 2), (126, 4), (70_000, 10)):
            payload = random.Random(length).randbytes(length)
            data = encode(BINARY, payload, self.mask)
            self.assertEqual(data[header : header + 4], self.mask)
            self.assertTrue(data[header + 4 :] == slow_mask(payload, self.mask), f"{length}")

    def test_opcodes(self) -> None:
        """[F1] the first byte is FIN and the opcode."""
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
            self.assertEqual(encode(opcode, b"", self.mask)[0], 0x80 | opcode)

    def test_flags(self) -> None:
        """Other flags take the place of FIN: for compressed messages and fragments."""
        self.assertEqual(encode(TEXT, b"", self.mask, FIN | RSV1)[0], 0xC1)
        self.assertEqual(encode(BINARY, b"", self.mask, 0)[0], 0x02)


class ApplyMaskTests(SynchronousTestCase):
    """Masking."""

    lengths = (*range(70), 125, 126, 127, 1000, 4095, 4096, 65535, 65536, 65537)

    def test_as_the_rfc_says(self) -> None:
        """Each byte is combined with the mask's byte at its place."""
        for length in self.lengths:
            rng = random.Random(length)
            payload, mask = rng.randbytes(length), rng.randbytes(4)
            self.assertTrue(apply_mask(payload, mask) == slow_mask(payload, mask), f"{length}")

    def test_bytewise(self) -> None:
        """What the compiled form does is the same."""
        for length in self.lengths:
            rng = random.Random(length)
            payload, mask = rng.randbytes(length), rng.randbytes(4)
            self.assertTrue(_mask_bytewise(payload, mask) == slow_mask(payload, mask), f"{length}")

    def test_its_own_inverse(self) -> None:
        """Twice is not at all."""
        for length in self.lengths:
            rng = random.Random(length)
            payload, mask = rng.randbytes(length), rng.randbytes(4)
            self.assertTrue(apply_mask(apply_mask(payload, mask), mask) == payload, f"{length}")

    def test_zeros_at_the_ends(self) -> None:
        """Bytes that come out as zeros, first or last, are kept."""
        for payload in (b"abcd", b"abcdabcd", b"abc", b"abcdx", b"xbcdabcd"):
            self.assertEqual(apply_mask(payload, b"abcd"), slow_mask(payload, b"abcd"))

    def test_mask_of_zeros(self) -> None:
        """A mask of zeros changes nothing."""
        self.assertEqual(apply_mask(b"hello", bytes(4)), b"hello")


class FakeRandomness:
    """In the place of ``os.urandom``: bytes that say from which call and place they are."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        number = len(self.given) + 1
        words = (bytes([number]) + i.to_bytes(3, "big") for i in range(size // 4 + 1))
        self.given.append(b"".join(words)[:size])
        return self.given[-1]


class MaskSourceTests(SynchronousTestCase):
    """Masking keys (RFC 6455 section 5.3)."""

    def setUp(self) -> None:
        self.randomness = FakeRandomness()
        self.patch(os, "urandom", self.randomness)

    def test_from_the_system(self) -> None:
        """Masks are what ``os.urandom`` gave, all of it, in order, four bytes each."""
        source = MaskSource()
        taken = b"".join(source.take() for _ in range(5000))
        given = b"".join(self.randomness.given)
        self.assertTrue(given.startswith(taken))

    def test_in_batches(self) -> None:
        """The system is not asked for each mask."""
        source = MaskSource()
        for _ in range(1000):
            source.take()
        self.assertLess(len(self.randomness.given), 100)

    def test_fresh(self) -> None:
        """No mask is given twice, over many batches, and each has four bytes."""
        source = MaskSource()
        taken = [source.take() for _ in range(10_000)]
        self.assertGreater(len(self.randomness.given), 1)
        self.assertEqual(len(set(taken)), len(taken))
        self.assertEqual({len(mask) for mask in taken}, {4})

    def test_nothing_in_stock_at_first(self) -> None:
        """Importing or making a source asks for nothing."""
        MaskSource()
        self.assertEqual(self.randomness.given, [])

    def test_forget(self) -> None:
        """After ``forget`` the next mask is not from the old stock."""
        source = MaskSource()
        source.take()
        source.forget()
        taken = source.take()
        self.assertEqual(len(self.randomness.given), 2)
        self.assertEqual(taken, self.randomness.given[1][:4])

    def test_forget_the_shared_one(self) -> None:
        """The source that connections share drops its stock likewise."""
        self.addCleanup(masks.forget)  # or others would be given what is not random
        masks.forget()
        first = masks.take()
        masks.forget()
        second = masks.take()
        self.assertEqual(first, self.randomness.given[0][:4])
        self.assertEqual(second, self.randomness.given[1][:4])

    def test_forgotten_in_a_forked_child(self) -> None:
        """The shared source is told to forget in the child of a fork."""
        source = Path(wsx.__file__).parent / "_wire" / "encoder.py"
        spec = importlib.util.spec_from_file_location("a_copy_of_encode", source)
        assert spec is not None
        assert spec.loader is not None
        copy = importlib.util.module_from_spec(spec)
        with mock.patch.object(os, "register_at_fork") as register:
            spec.loader.exec_module(copy)
        register.assert_called_once_with(after_in_child=copy.masks.forget)
