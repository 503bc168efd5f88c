"""Encode frames into masked bytes (RFC 6455 sections 5.2 and 5.3). Pure; may be compiled."""

from __future__ import annotations

import os
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NoReturn

from wsx.frames import TEXT, Frame, Text, wire_payload

__all__ = ["FIN", "MASKED", "RSV1", "MaskSource", "apply_mask", "encode", "encode_frame", "masks"]

# Bits of the first byte of a frame, and of the second (RFC 6455 section 5.2).
FIN: Final = 0x80
RSV1: Final = 0x40
MASKED: Final = 0x80

_SHORT_HEADER: Final = Struct("!BB4s")
_MEDIUM_HEADER: Final = Struct("!BBH4s")
_LONG_HEADER: Final = Struct("!BBQ4s")

_KEYS_PER_REFILL: Final = 1024
_LONG_PAYLOAD: Final = 4096  # bytes; Autobahn's native masker is faster for this size and more
_COMPILED: Final = not __file__.endswith(".py")


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455 section 5.3).

    Args:
        payload: The payload.
        mask: The masking key, four bytes.
    """
    length = len(payload)
    if _COMPILED:
        masked = bytearray(length)
        _mask_bytewise(payload, length, mask, masked, 0)
        return bytes(masked)
    # In pure Python, one XOR of two large integers is fastest.
    key = (mask * (length // 4 + 1))[:length]
    number = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return number.to_bytes(length, "little")


def _mask_bytewise(payload: bytes, length: int, mask: bytes, target: bytearray, start: int) -> None:
    """Mask a payload byte by byte into ``target``, which is only fast when compiled.

    In the compiled form, ``payload``, ``mask`` and ``target`` are C pointers; see encoder.pxd.
    """
    one, two, three, four = mask[0], mask[1], mask[2], mask[3]
    whole = length & ~3
    for i in range(0, whole, 4):
        target[start + i] = payload[i] ^ one
        target[start + i + 1] = payload[i + 1] ^ two
        target[start + i + 2] = payload[i + 2] ^ three
        target[start + i + 3] = payload[i + 3] ^ four
    for i in range(whole, length):
        target[start + i] = payload[i] ^ mask[i & 3]


class MaskSource:
    """Source of unpredictable masking keys (RFC 6455 section 5.3), read from the system in blocks.

    Attributes:
        apply_long: The masker for payloads of 4096 bytes and more. Default :func:`apply_mask`;
            replaced by Autobahn's native masker where it is available.
    """

    __slots__ = ("_next", "_pool", "apply_long")

    def __init__(self) -> None:
        self.apply_long: Callable[[bytes, bytes], bytes] = apply_mask
        self._pool = b""
        self._next = 0

    def take(self) -> bytes:
        """Return the next masking key: four random bytes."""
        start = self._next
        if start >= len(self._pool):
            self._pool = os.urandom(4 * _KEYS_PER_REFILL)
            start = 0
        self._next = start + 4
        return self._pool[start : start + 4]

    def forget(self) -> None:
        """Drop the stored keys. A forked process must not use the keys of its parent process."""
        self._pool = b""
        self._next = 0

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # A copy would use the same masking keys again.
        raise TypeError("a MaskSource cannot be pickled or copied: its masking keys are secret")


masks: Final = MaskSource()
os.register_at_fork(after_in_child=masks.forget)


def encode_frame(frame: object) -> bytes:
    """Return the bytes of a frame, masked with a new masking key.

    Raises:
        InvalidFrameError: The value is not a frame, or its payload has the wrong type.
        FrameEncodeError: RFC 6455 does not allow the frame.
    """
    payload = wire_payload(frame)
    source = masks
    if type(frame) is Text:  # Most frames are; reading the attribute would take longer in C.
        return encode(TEXT, payload, source.take())
    assert isinstance(frame, Frame)
    return encode(frame.opcode, payload, source.take())


def encode(opcode: int, payload: bytes, mask: bytes, flags: int = FIN) -> bytes:
    """Return the bytes of one masked frame.

    Args:
        opcode: The opcode (RFC 6455 section 5.2).
        payload: The payload before masking.
        mask: The masking key, four bytes.
        flags: FIN and the reserved bits, as in the first byte of a frame. Default FIN.
    """
    length = len(payload)
    first = flags | opcode
    if _COMPILED and length < _LONG_PAYLOAD:
        return _encode_bytewise(first, payload, mask)
    if length < 126:
        header = _SHORT_HEADER.pack(first, MASKED | length, mask)
    elif length < 65536:
        header = _MEDIUM_HEADER.pack(first, MASKED | 126, length, mask)
    else:
        header = _LONG_HEADER.pack(first, MASKED | 127, length, mask)
    masked = (
        apply_mask(payload, mask) if length < _LONG_PAYLOAD else masks.apply_long(payload, mask)
    )
    return header + masked


def _encode_bytewise(first: int, payload: bytes, mask: bytes) -> bytes:
    """Encode a frame of less than 64 KiB byte by byte, which is only fast when compiled.

    Args:
        first: The first byte of the frame.
        payload: The payload before masking.
        mask: The masking key, four bytes.
    """
    length = len(payload)
    start = 6 if length < 126 else 8
    frame = _allocate(start + length)
    target = frame  # A C pointer in the compiled form; see encoder.pxd.
    target[0] = first
    if length < 126:
        target[1] = MASKED | length
    else:
        target[1] = MASKED | 126
        target[2] = length >> 8
        target[3] = length & 0xFF
    for i in range(4):
        target[start - 4 + i] = mask[i]
    _mask_bytewise(payload, length, mask, target, start)
    return frame if _COMPILED else bytes(frame)


def _allocate(size: int) -> Any:
    """Return memory for a frame: bytes that C code may write to, or a bytearray in pure Python."""
    if _COMPILED:
        return new_bytes(size)  # type: ignore[name-defined]  # noqa: F821
    return bytearray(size)
