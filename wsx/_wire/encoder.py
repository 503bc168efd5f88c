"""Frames to bytes, masked (RFC 6455 sections 5.2 and 5.3). Pure; may be compiled."""

from __future__ import annotations

import os
from collections.abc import Callable
from struct import Struct
from typing import Final

from wsx.frames import Frame, wire_payload

FIN: Final = 0x80
RSV1: Final = 0x40
MASKED: Final = 0x80  # in the second byte

_SHORT_HEADER: Final = Struct("!BB4s")
_MEDIUM_HEADER: Final = Struct("!BBH4s")
_LONG_HEADER: Final = Struct("!BBQ4s")

_MASK_BATCH: Final = 1024
_LONG: Final = 4096  # bytes from which on another way of masking may pay
_COMPILED: Final = not __file__.endswith(".py")


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Masks or unmasks (RFC 6455 section 5.3)."""
    if _COMPILED:
        return _mask_bytewise(payload, mask)
    length = len(payload)  # one XOR over the whole payload, as a number
    key = (mask * (length // 4 + 1))[:length]
    number = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return number.to_bytes(length, "little")


def _mask_bytewise(payload: bytes, mask: bytes) -> bytes:
    """Does the same in steps that are quick only where they are compiled."""
    masked = bytearray(payload)
    target = masked  # a pointer of C, where this is compiled
    one, two, three, four = mask[0], mask[1], mask[2], mask[3]
    whole = len(payload) & ~3
    for i in range(0, whole, 4):
        target[i] ^= one
        target[i + 1] ^= two
        target[i + 2] ^= three
        target[i + 3] ^= four
    for i in range(whole, len(payload)):
        target[i] ^= mask[i & 3]
    return bytes(masked)


class MaskSource:
    """Fresh masking keys, unpredictable as RFC 6455 section 5.3 asks, fetched in batches.

    Attributes:
        apply_long: masks what is long; whoever knows a faster way than :func:`apply_mask` sets it.
    """

    __slots__ = ("_next", "_pool", "apply_long")

    def __init__(self) -> None:
        self.apply_long: Callable[[bytes, bytes], bytes] = apply_mask
        self._pool = b""
        self._next = 0

    def take(self) -> bytes:
        """Gives four random bytes."""
        start = self._next
        if start >= len(self._pool):
            self._pool = os.urandom(4 * _MASK_BATCH)
            start = 0
        self._next = start + 4
        return self._pool[start : start + 4]

    def forget(self) -> None:
        """Drops what is in stock: a forked process must not use its parent's."""
        self._pool = b""
        self._next = 0


masks: Final = MaskSource()
os.register_at_fork(after_in_child=masks.forget)


def encode_frame(frame: object) -> bytes:
    """Gives a frame as it goes on the wire, masked with a fresh key.

    Raises:
        InvalidFrameError: this is no frame, or its payload is of the wrong type.
        FrameEncodeError: RFC 6455 does not allow it.
    """
    payload = wire_payload(frame)
    assert isinstance(frame, Frame)
    return encode(frame.opcode, payload, masks.take())


def encode(opcode: int, payload: bytes, mask: bytes, flags: int = FIN) -> bytes:
    """Gives one masked frame.

    Args:
        opcode: RFC 6455 section 5.2.
        payload: not yet masked.
        mask: four bytes.
        flags: FIN and the reserved bits.
    """
    length = len(payload)
    first = flags | opcode
    if length < 126:
        header = _SHORT_HEADER.pack(first, MASKED | length, mask)
    elif length < 65536:
        header = _MEDIUM_HEADER.pack(first, MASKED | 126, length, mask)
    else:
        header = _LONG_HEADER.pack(first, MASKED | 127, length, mask)
    return header + (apply_mask if length < _LONG else masks.apply_long)(payload, mask)
