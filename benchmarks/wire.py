"""Frames and handshakes as bytes: what the server and the raw yardstick have in common.

Nothing of wsx is used here, so that an error of wsx cannot hide itself.
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
    """Answers a handshake's key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def request(host: str, target: str) -> bytes:
    """Gives a client's opening handshake, with the RFC's sample key."""
    return _REQUEST.format(host=host, target=target).encode()


def response(key: bytes) -> bytes:
    """Gives a server's opening handshake."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_value(key) + b"\r\n\r\n"
    )


def frame(payload: bytes, first: int = TEXT) -> bytes:
    """Gives a frame as a server sends it."""
    return bytes([first]) + _length(len(payload), 0) + payload


def masked_frame(payload: bytes, mask: bytes, first: int = TEXT) -> bytes:
    """Gives a frame as a client sends it."""
    return bytes([first]) + _length(len(payload), 0x80) + mask + xor(payload, mask)


def xor(payload: bytes, mask: bytes) -> bytes:
    """Masks or unmasks."""
    length = len(payload)
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")


def close_frame(code: int = 1000) -> bytes:
    """Gives a server's close frame."""
    return frame(code.to_bytes(2, "big"), CLOSE)


def frame_size(size: int, masked: bool = False) -> int:
    """Says how long a message of ``size`` bytes is on the wire."""
    return 1 + len(_length(size, 0)) + (4 if masked else 0) + size


def _length(length: int, bit: int) -> bytes:
    if length < 126:
        return bytes([bit | length])
    if length < 65536:
        return bytes([bit | 126]) + length.to_bytes(2, "big")
    return bytes([bit | 127]) + length.to_bytes(8, "big")
