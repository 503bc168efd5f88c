"""Frames as they are on the wire, in both directions."""

from __future__ import annotations

from wsx._wire.encoder import apply_mask
from wsx.testing.wire import close_frame as close
from wsx.testing.wire import server_frame

__all__ = ["close", "read_frames", "server_frame", "slow_mask", "text"]


def slow_mask(payload: bytes, mask: bytes) -> bytes:
    """Apply a mask, byte by byte (RFC 6455 section 5.3)."""
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def text(payload: str) -> bytes:
    """Return a server's text message as bytes."""
    return server_frame(1, payload.encode())


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return the frames that a client sent, as pairs of opcode and payload; all must be masked."""
    frames = []
    pos = 0
    while pos < len(data):
        assert data[pos + 1] & 0x80, "a client's frame is not masked"
        length, start = data[pos + 1] & 0x7F, pos + 2
        if length == 126:
            length, start = int.from_bytes(data[pos + 2 : pos + 4], "big"), pos + 4
        elif length == 127:
            length, start = int.from_bytes(data[pos + 2 : pos + 10], "big"), pos + 10
        mask, start = data[start : start + 4], start + 4
        frames.append((data[pos] & 0x0F, apply_mask(data[start : start + length], mask)))
        pos = start + length
    return frames
