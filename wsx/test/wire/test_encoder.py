"""Tests of ``wsx._wire.encoder``: encode frames, and masking keys."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._wire.encoder import FIN, RSV1, MaskSource, _encode_bytewise, apply_mask, encode, masks
from wsx.frames import BINARY, CLOSE, PING, PONG, TEXT
from wsx.test.support import slow_mask
from wsx.test.support.each import each


class EncodeTests(SynchronousTestCase):
    """Encode frames."""

    mask = b"\x37\xfa\x21\x3d"

    def test_example_of_the_rfc(self) -> None:
        """[F1] The masked example of RFC 6455 section 5.7 is encoded."""
        self.assertEqual(encode(TEXT, b"Hello", self.mask), bytes.fromhex("818537fa213d7f9f4d5158"))

    def test_headers(self) -> None:
        """[F1] A length takes the shortest of 7, 16 and 64 bits; the mask bit is set."""
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
        """[F1] The masking key follows the header, and the payload is masked with it."""
        for length, header in ((0, 2), (1, 2), (5, 2), (125, 2), (126, 4), (70_000, 10)):
            payload = random.Random(length).randbytes(length)
            data = encode(BINARY, payload, self.mask)
            self.assertEqual(data[header : header + 4], self.mask)
            self.assertTrue(data[header + 4 :] == slow_mask(payload, self.mask), f"{length}")

    def test_opcodes(self) -> None:
        """[F1] The first byte is FIN and the opcode."""
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
            self.assertEqual(encode(opcode, b"", self.mask)[0], 0x80 | opcode)

    def test_flags(self) -> None:
        """Other flags replace FIN, for compressed messages and fragments."""
        self.assertEqual(encode(TEXT, b"", self.mask, FIN | RSV1)[0], 0xC1)
        self.assertEqual(encode(BINARY, b"", self.mask, 0)[0], 0x02)


class ApplyMaskTests(SynchronousTestCase):
    """Masking."""

    lengths = (*range(70), 125, 126, 127, 1000, 4095, 4096, 65535, 65536, 65537)

    def test_as_the_rfc_says(self) -> None:
        """Each byte is XORed with the key's byte at its position."""
        for length in self.lengths:
            rng = random.Random(length)
            payload, mask = rng.randbytes(length), rng.randbytes(4)
            self.assertTrue(apply_mask(payload, mask) == slow_mask(payload, mask), f"{length}")

    def test_bytewise(self) -> None:
        """The function of the compiled form returns the same frames."""
        for length in self.lengths[:-2]:
            rng = random.Random(length)
            payload, mask = rng.randbytes(length), rng.randbytes(4)
            size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
            header = b"\x81" + bytes([size[0] | 0x80]) + size[1:] + mask
            expected = header + slow_mask(payload, mask)
            self.assertTrue(_encode_bytewise(0x81, payload, mask) == expected, f"{length}")

    def test_its_own_inverse(self) -> None:
        """Masking twice yields the original payload."""
        for length in self.lengths:
            rng = random.Random(length)
            payload, mask = rng.randbytes(length), rng.randbytes(4)
            self.assertTrue(apply_mask(apply_mask(payload, mask), mask) == payload, f"{length}")

    def test_zeros_at_the_ends(self) -> None:
        """Masked bytes of zero at the beginning or the end are kept."""
        for payload in (b"abcd", b"abcdabcd", b"abc", b"abcdx", b"xbcdabcd"):
            self.assertEqual(apply_mask(payload, b"abcd"), slow_mask(payload, b"abcd"))

    def test_mask_of_zeros(self) -> None:
        """A mask of zeros changes nothing."""
        self.assertEqual(apply_mask(b"hello", bytes(4)), b"hello")


class FakeRandomness:
    """Replaces ``os.urandom``; its bytes show the call and the position that they come from."""

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
        """Masking keys are the bytes of ``os.urandom``, in order, four bytes each."""
        source = MaskSource()
        taken = b"".join(source.take() for _ in range(5000))
        given = b"".join(self.randomness.given)
        self.assertTrue(given.startswith(taken))

    def test_in_batches(self) -> None:
        """``os.urandom`` is not called for each masking key."""
        source = MaskSource()
        for _ in range(1000):
            source.take()
        self.assertLess(len(self.randomness.given), 100)

    def test_fresh(self) -> None:
        """No masking key is returned twice, over many blocks, and each has four bytes."""
        source = MaskSource()
        taken = [source.take() for _ in range(10_000)]
        self.assertGreater(len(self.randomness.given), 1)
        self.assertEqual(len(set(taken)), len(taken))
        self.assertEqual({len(mask) for mask in taken}, {4})

    def test_nothing_in_stock_at_first(self) -> None:
        """Creating a source does not call ``os.urandom``."""
        MaskSource()
        self.assertEqual(self.randomness.given, [])

    def test_forget(self) -> None:
        """After ``forget`` the next masking key is from a new block."""
        source = MaskSource()
        source.take()
        source.forget()
        taken = source.take()
        self.assertEqual(len(self.randomness.given), 2)
        self.assertEqual(taken, self.randomness.given[1][:4])

    @each([("copy", copy.copy), ("deepcopy", copy.deepcopy), ("pickle", pickle.dumps)])
    def test_no_copies(self, name: str, function: Callable[[Any], object]) -> None:
        """A source cannot be copied or pickled: a copy would return the same masking keys."""
        error = self.assertRaises(TypeError, function, MaskSource())
        self.assertIn("masking keys are secret", str(error))

    def test_forget_the_shared_one(self) -> None:
        """The source that connections share drops its block likewise."""
        self.addCleanup(masks.forget)  # Other tests must not use its bytes.
        masks.forget()
        first = masks.take()
        masks.forget()
        second = masks.take()
        self.assertEqual(first, self.randomness.given[0][:4])
        self.assertEqual(second, self.randomness.given[1][:4])

    def test_forgotten_in_a_forked_child(self) -> None:
        """``forget`` of the shared source is registered for the child of a fork."""
        source = Path(wsx.__file__).parent / "_wire" / "encoder.py"
        spec = importlib.util.spec_from_file_location("a_copy_of_encode", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with mock.patch.object(os, "register_at_fork") as register:
            spec.loader.exec_module(module)
        register.assert_called_once_with(after_in_child=module.masks.forget)
