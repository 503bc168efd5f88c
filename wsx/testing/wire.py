"""The server's side of the wire: frames to bytes, and the client's bytes to frames.

The server masks nothing, and the client masks every frame (RFC 6455 section 5.1). Everything after
the mask is the same in both directions, so the client's own decoder decodes and checks it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from wsx._text import shorten
from wsx._wire.batch import Batch, ServerClose
from wsx._wire.decoder import Decoder
from wsx._wire.encoder import FIN, MASKED, RSV1, apply_mask
from wsx._wire.handshake import parse_extensions
from wsx._wire.inflater import Inflater
from wsx.errors import FrameError
from wsx.frames import (
    CLOSE,
    CONTINUATION,
    NORMAL_CLOSURE,
    Binary,
    Frame,
    Text,
    wire_payload,
)

__all__ = [
    "AnyFrame",
    "ClientDecoder",
    "CloseFrame",
    "Deflate",
    "close_frame",
    "encode",
    "encode_fragments",
    "server_frame",
]

_DEFLATE: Final = "permessage-deflate"
_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1: the sender removes this.
_MEDIUM: Final = 126
_LONG: Final = 127
_MAX_CLOSE_MESSAGE_SHOWN: Final = 125
_AFTER_CLOSE: Final = "the client has sent bytes after its close frame"


@dataclass(frozen=True, slots=True, repr=False)
class CloseFrame:
    """A close frame that the client has sent.

    Attributes:
        code: The close code. Default 1000; 1005 for a frame without a code.
        message: The close message. Default empty.
    """

    code: int = NORMAL_CLOSURE
    message: str = ""

    def __repr__(self) -> str:
        return f"CloseFrame({self.code}, {shorten(self.message, _MAX_CLOSE_MESSAGE_SHOWN)})"


AnyFrame: TypeAlias = Frame | CloseFrame


def server_frame(opcode: int, payload: bytes = b"", flags: int = FIN, mask: bytes = b"") -> bytes:
    """Return the bytes of a server's frame.

    Args:
        opcode: The opcode (RFC 6455 section 5.2).
        payload: The payload. Default empty.
        flags: FIN and the reserved bits. Default FIN.
        mask: A masking key, which makes the frame invalid. Default none.
    """
    bit = MASKED if mask else 0
    length = len(payload)
    if length < _MEDIUM:
        head = bytes([flags | opcode, bit | length])
    elif length < 65536:
        head = bytes([flags | opcode, bit | _MEDIUM]) + length.to_bytes(2, "big")
    else:
        head = bytes([flags | opcode, bit | _LONG]) + length.to_bytes(8, "big")
    return head + mask + (apply_mask(payload, mask) if mask else payload)


def close_frame(code: int | None = None, message: str = "") -> bytes:
    """Return the bytes of a server's close frame.

    Args:
        code: The close code, which is not checked. Default: a frame without a code.
        message: The close message. Default empty.
    """
    return server_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + message.encode())


class Deflate:
    """The server's side of permessage-deflate (RFC 7692).

    Args:
        parameters: The parameters of the extension in the server's response.

    Attributes:
        inflater: Inflates the client's messages.
    """

    def __init__(self, parameters: dict[str, list[Any]]) -> None:
        self._keeps_context = "server_no_context_takeover" not in parameters
        # zlib cannot compress with a window of 2**8 bytes.
        self._window_bits = max(9, _window_bits(parameters, "server_max_window_bits"))
        self._stream = self._new_stream()
        self.inflater = Inflater(
            _window_bits(parameters, "client_max_window_bits"),
            "client_no_context_takeover" not in parameters,
        )

    @classmethod
    def negotiated(cls, header: str) -> Deflate | None:
        """Return the compression that a response accepts, or None.

        Args:
            header: The value of ``Sec-WebSocket-Extensions``.
        """
        try:
            extensions = dict(parse_extensions(header))
            return cls(extensions[_DEFLATE]) if _DEFLATE in extensions else None
        except ValueError:  # The client must refuse such a response.
            return None

    def compress(self, payload: bytes) -> bytes:
        """Return the compressed payload of a message."""
        if not self._keeps_context:
            self._stream = self._new_stream()
        data: bytes = self._stream.compress(payload) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(_TAIL)

    def _new_stream(self) -> Any:
        return zlib.compressobj(wbits=-self._window_bits)


def _window_bits(parameters: dict[str, list[Any]], name: str) -> int:
    value = parameters.get(name, [15])[0]
    return 15 if value is True else int(value)


def encode(frame: Frame, deflate: Deflate | None = None) -> bytes:
    """Return the bytes of a server's frame.

    Args:
        frame: The frame.
        deflate: The negotiated compression, or None (default).

    Raises:
        InvalidFrameError: The value is not a frame.
        FrameEncodeError: RFC 6455 does not allow the frame.
    """
    payload = wire_payload(frame)
    if deflate is not None and isinstance(frame, (Text, Binary)):
        return server_frame(frame.opcode, deflate.compress(payload), FIN | RSV1)
    return server_frame(frame.opcode, payload)


def encode_fragments(frame: Frame, sizes: list[int], deflate: Deflate | None = None) -> list[bytes]:
    """Return the bytes of each frame of a message in fragments (RFC 6455 section 5.4).

    Args:
        frame: The message.
        sizes: The sizes of the fragments in bytes, without the last one, which has the rest.
        deflate: The negotiated compression, or None (default).
    """
    payload, bits = wire_payload(frame), 0
    if deflate is not None:
        payload, bits = deflate.compress(payload), RSV1
    parts = []
    for size in sizes:
        parts.append(payload[:size])
        payload = payload[size:]
    parts.append(payload)
    last = len(parts) - 1
    return [
        server_frame(
            CONTINUATION if number else frame.opcode,
            part,
            (FIN if number == last else 0) | (0 if number else bits),
        )
        for number, part in enumerate(parts)
    ]


class ClientDecoder:
    """Decode what a client sends after the opening handshake.

    Args:
        deflate: The negotiated compression, or None (default).
    """

    def __init__(self, deflate: Deflate | None = None) -> None:
        self._decoder = Decoder(None, None if deflate is None else deflate.inflater)
        self._data = bytearray()
        self._closed = False

    def feed(self, data: bytes) -> list[AnyFrame]:
        """Return the messages and control frames that are complete now.

        Raises:
            AssertionError: The bytes violate RFC 6455.
        """
        self._data += data
        if self._closed and self._data:
            raise AssertionError(_AFTER_CLOSE)
        frames: list[AnyFrame] = []
        while (unmasked := self._take()) is not None:
            frames += self._frames_of(self._decoder.feed(unmasked))
            if self._closed and self._data:
                raise AssertionError(_AFTER_CLOSE)
        return frames

    def _take(self) -> bytes | None:
        """Remove the next complete frame, and return it as an unmasked server would send it."""
        data = self._data
        if len(data) < 2:
            return None
        if not data[1] & MASKED:
            raise AssertionError("the client has sent a frame without a mask")
        length, start = data[1] & ~MASKED, 2
        if length >= _MEDIUM:
            start = 4 if length == _MEDIUM else 10
            length = int.from_bytes(data[2:start], "big")
        end = start + 4 + length
        if len(data) < end:
            return None
        mask, payload = bytes(data[start : start + 4]), bytes(data[start + 4 : end])
        frame = server_frame(data[0] & 0x0F, apply_mask(payload, mask), data[0] & 0xF0)
        del data[:end]
        return frame

    def _frames_of(self, batch: Batch) -> list[AnyFrame]:
        frames: list[AnyFrame] = list(batch.frames)
        if isinstance(batch.end, FrameError):
            raise AssertionError(f"the client has violated RFC 6455: {batch.end.reason}")
        if isinstance(batch.end, ServerClose):
            self._closed = True
            frames.append(CloseFrame(batch.end.code, batch.end.message))
        return frames
