"""Frames on the wire, as a server sends and receives them.

Nothing here uses the code of the library. The receiving side is strict: it reports everything that
RFC 6455 forbids a client to send.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FIN = 0x80
RSV1 = 0x40
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
TAIL = b"\x00\x00\xff\xff"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_value(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` value for a key."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def is_wire_code(code: int) -> bool:
    """Return whether a close frame may contain the code."""
    return code in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= code <= 4999


def server_frame(opcode: int, payload: bytes, first_bits: int = FIN) -> bytes:
    """Return the bytes of a server's frame."""
    length = len(payload)
    if length < 126:
        return bytes((first_bits | opcode, length)) + payload
    if length < 65536:
        return bytes((first_bits | opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first_bits | opcode, 127)) + length.to_bytes(8, "big") + payload


class Deflater:
    """The server's side of permessage-deflate.

    Args:
        server_takeover: Whether the server keeps its window between messages.
        client_takeover: Whether the client does.
        bits: The size of the server's window.
        final: Whether the server ends each message with a final block (RFC 7692 section 7.2.3.4),
            if it does not keep its window.
    """

    def __init__(
        self, server_takeover: bool, client_takeover: bool, bits: int, final: bool = False
    ) -> None:
        self._server_takeover = server_takeover
        self._client_takeover = client_takeover
        self._bits = bits
        self._final = final and not server_takeover
        self._out = zlib.compressobj(wbits=-bits)
        self._in = zlib.decompressobj(-15)

    def header(self) -> str:
        """Return the value of ``Sec-WebSocket-Extensions``."""
        parts = ["permessage-deflate"]
        if not self._server_takeover:
            parts.append("server_no_context_takeover")
        if not self._client_takeover:
            parts.append("client_no_context_takeover")
        if self._bits < 15:
            parts.append(f"server_max_window_bits={self._bits}")
        return "; ".join(parts)

    def compress(self, payload: bytes) -> bytes:
        if not self._server_takeover:
            self._out = zlib.compressobj(wbits=-self._bits)
        data = self._out.compress(payload)
        if self._final:
            return data + self._out.flush(zlib.Z_FINISH) + b"\0"
        data += self._out.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(TAIL)

    def inflate(self, payload: bytes) -> bytes:
        if not self._client_takeover:
            self._in = zlib.decompressobj(-15)
        return self._in.decompress(payload + TAIL)


@dataclass(slots=True)
class Received:
    """A frame from a client: its opcode and its payload, for a close frame the code and message."""

    opcode: int
    payload: Any


class StrictDecoder:
    """Decode what a client sends after the opening handshake.

    Attributes:
        closed: Whether a close frame was received. Anything after it is an error.

    Args:
        deflater: The server's side of the compression, or None.
        is_new_mask: Returns whether a masking key is unpredictable, as far as one can tell.
    """

    def __init__(
        self, deflater: Deflater | None, is_new_mask: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        self._deflater = deflater
        self._is_new_mask = is_new_mask
        self._data = b""
        self.closed = False

    def feed(self, data: bytes) -> tuple[list[Received], str | None]:
        """Return the complete frames, and what is wrong with the bytes, or None."""
        self._data += data
        frames: list[Received] = []
        if self.closed and self._data:
            return frames, "data after a close frame"
        while self._data and not self.closed:
            problem = self._next(frames)
            if problem == "":
                break
            if problem is not None:
                return frames, problem
        if self.closed and self._data:
            return frames, "data after a close frame"
        return frames, None

    def left(self) -> int:
        """Return the number of bytes of an incomplete frame."""
        return len(self._data)

    def _next(self, frames: list[Received]) -> str | None:
        data = self._data
        if len(data) < 2:
            return ""
        first, second = data[0], data[1]
        length, start = second & 0x7F, 2
        if length > 125:
            start = 4 if length == 126 else 10
            if len(data) < start:
                return ""
            shortest = length
            length = int.from_bytes(data[2:start], "big")
            if length < (126 if shortest == 126 else 65536):
                return "the length is not in its shortest form"
        if not second & 0x80:
            return "a frame is not masked"
        if len(data) < start + 4 + length:
            return ""
        mask = data[start : start + 4]
        if not self._is_new_mask(mask):  # RFC 6455 section 5.3
            return "masking keys are repeated"
        payload = unmask(data[start + 4 : start + 4 + length], mask)
        self._data = data[start + 4 + length :]
        return self._check(first, payload, frames)

    def _check(self, first: int, payload: bytes, frames: list[Received]) -> str | None:
        opcode = first & 0x0F
        if opcode not in (TEXT, BINARY, CLOSE, PING, PONG):
            return f"opcode {opcode}"
        if not first & FIN:
            return "a fragment"
        if first & 0x30 or (first & RSV1 and (self._deflater is None or opcode & 8)):
            return "a reserved bit is set"
        if opcode & 8 and len(payload) > 125:
            return "a control frame is too long"
        if first & RSV1 and self._deflater is not None:
            try:
                payload = self._deflater.inflate(payload)
            except zlib.error as error:
                return f"cannot be inflated: {error}"
        return self._take(opcode, payload, frames)

    def _take(self, opcode: int, payload: bytes, frames: list[Received]) -> str | None:
        shown: Any = payload
        try:
            if opcode == TEXT:
                shown = payload.decode()
            elif opcode == CLOSE:
                self.closed = True
                if len(payload) == 1:
                    return "a close frame with half a code"
                code = int.from_bytes(payload[:2], "big") if payload else None
                if code is not None and not is_wire_code(code):
                    return f"close code {code}"
                shown = (code, payload[2:].decode())
        except UnicodeDecodeError:
            return "text that is not UTF-8"
        frames.append(Received(opcode, shown))
        return None


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Remove a mask."""
    length = len(payload)
    if not length:
        return payload
    key = (mask * (length // 4 + 1))[:length]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return number.to_bytes(length, "big")
