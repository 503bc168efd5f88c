"""Frames and opening handshakes as bytes, for the server and the baseline ``raw-twisted``.

This module does not use wsx, so a defect in wsx cannot hide itself.
"""

from __future__ import annotations

import base64
import hashlib

TEXT = 0x81
CLOSE = 0x88

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REQUEST = (
    "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def accept_value(key: bytes) -> bytes:
    """Return the ``Sec-WebSocket-Accept`` value for a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def request(host: str, target: str) -> bytes:
    """Return a client's opening handshake, with the sample key of RFC 6455 section 1.2."""
    return _REQUEST.format(host=host, target=target).encode()


def response(key: bytes) -> bytes:
    """Return a server's opening handshake."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_value(key) + b"\r\n\r\n"
    )


def frame(payload: bytes, first: int = TEXT) -> bytes:
    """Return an unmasked frame, as a server sends it."""
    return bytes([first]) + _length(len(payload), 0) + payload


def masked_frame(payload: bytes, key: bytes, first: int = TEXT) -> bytes:
    """Return a masked frame, as a client sends it."""
    return bytes([first]) + _length(len(payload), 0x80) + key + xor(payload, key)


def xor(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask a payload with a masking key of 4 bytes."""
    length = len(payload)
    pad = int.from_bytes((key * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ pad).to_bytes(length, "big")


def close_frame(code: int = 1000) -> bytes:
    """Return a server's close frame."""
    return frame(code.to_bytes(2, "big"), CLOSE)


def frame_size(size: int, masked: bool = False) -> int:
    """Return the number of bytes on the wire of a message of ``size`` bytes."""
    return 1 + len(_length(size, 0)) + (4 if masked else 0) + size


def _length(length: int, bit: int) -> bytes:
    if length < 126:
        return bytes([bit | length])
    if length < 65536:
        return bytes([bit | 126]) + length.to_bytes(2, "big")
    return bytes([bit | 127]) + length.to_bytes(8, "big")
