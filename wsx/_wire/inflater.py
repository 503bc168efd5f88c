"""Inflate the messages of permessage-deflate (RFC 7692), within limits. Pure.

Autobahn negotiates the extension and compresses, but its decompression is not used. At exactly the
limit it silently truncates a message, and after a final deflate block (RFC 7692 section 7.2.3.4) it
returns an empty payload for every later message.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from wsx.errors import FrameError
from wsx.frames import INVALID_PAYLOAD, MESSAGE_TOO_BIG, TEXT

__all__ = ["Inflater"]

_MAX_FINAL_BLOCKS: Final = 256
_MAX_PART: Final = 262144  # bytes that are inflated at once
_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.2: the receiver appends this.


class Inflater:
    """Inflate the messages of one connection.

    Args:
        window_bits: The base-2 logarithm of the size of the server's LZ77 window, 8 to 15.
        keep_context: Whether messages share one LZ77 window (context takeover).
    """

    def __init__(self, window_bits: int, keep_context: bool) -> None:
        self._window_bits = window_bits
        self._keep_context = keep_context
        self._stream = zlib.decompressobj(-window_bits)
        self._opcode = TEXT  # Of the message in progress, for errors.
        self._final_blocks = 0

    def begin(self, opcode: int) -> None:
        """Start a message with this opcode."""
        self._opcode = opcode
        self._final_blocks = 0
        if not self._keep_context:
            self._reset()

    def inflate(self, data: bytes, limit: int | None) -> Iterator[bytes]:
        """Inflate a part of a message, in parts of at most 256 KiB, so that memory stays small.

        Args:
            data: The next bytes.
            limit: The maximum size of the result in bytes, or None for no limit.

        Raises:
            FrameError: The result is too long (close code 1009), or the data is corrupt (1007).
        """
        left = _MAX_PART if limit is None else limit
        more = bool(data)
        while more:
            # For zlib 0 means no limit, so ask for one byte more than is allowed.
            size = left + 1 if left < _MAX_PART else _MAX_PART
            try:
                part = self._stream.decompress(data, size)
            except zlib.error as error:
                reason = f"the message cannot be inflated ({error})"
                raise FrameError(reason, self._opcode, INVALID_PAYLOAD) from None
            if limit is not None:
                left -= len(part)
                if left < 0:
                    reason = "the inflated message is too long"
                    raise FrameError(reason, self._opcode, MESSAGE_TOO_BIG)
            yield part
            if self._stream.eof:
                data = self._stream.unused_data
                more = bool(data)
                self._count_final_block()
                self._reset()
            else:
                data = self._stream.unconsumed_tail
                more = len(part) == size  # zlib may hold a rest after it has consumed all input.

    def end(self, limit: int | None) -> Iterator[bytes]:
        """End the message and inflate its remaining bytes (RFC 7692 section 7.2.2).

        Args:
            limit: As for :meth:`inflate`.

        Raises:
            FrameError: As for :meth:`inflate`.
        """
        return self.inflate(_TAIL, limit)

    def _count_final_block(self) -> None:
        """Count a final block: their number limits the work for a message of empty blocks."""
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS:
            raise FrameError("too many final deflate blocks", self._opcode, INVALID_PAYLOAD)

    def _reset(self) -> None:
        self._stream = zlib.decompressobj(-self._window_bits)
