"""Inflate the messages of permessage-deflate (RFC 7692), within limits. Pure.

Autobahn negotiates the extension and deflates. Its inflating is not used: at exactly the limit it
silently truncates a message, and after a final deflate block (section 7.2.3.4) it returns an empty
payload for every later message.
"""

from __future__ import annotations

import zlib
from typing import Final

from wsx.errors import FrameError
from wsx.frames import INVALID_PAYLOAD, MESSAGE_TOO_BIG, TEXT

__all__ = ["Inflater"]

_MAX_FINAL_BLOCKS: Final = 256
_TAIL: Final = b"\x00\x00\xff\xff"  # removed by the sender, RFC 7692 section 7.2.2


class Inflater:
    """Inflates the messages of one connection.

    Args:
        window_bits: Size of the server's LZ77 window, 8 to 15.
        keep_context: Whether a message may refer to earlier ones.
    """

    def __init__(self, window_bits: int, keep_context: bool) -> None:
        self._window_bits = window_bits
        self._keep_context = keep_context
        self._stream = zlib.decompressobj(-window_bits)
        self._opcode = TEXT  # of the message in progress, for its errors
        self._final_blocks = 0

    def begin(self, opcode: int) -> None:
        """Start a message with this opcode."""
        self._opcode = opcode
        self._final_blocks = 0
        if not self._keep_context:
            self._reset()

    def inflate(self, data: bytes, limit: int | None) -> bytes:
        """Inflate a part of a message.

        Args:
            data: The next bytes.
            limit: Bytes that the result may have; None means no limit.

        Raises:
            FrameError: The result is too long (1009), or the data is corrupt (1007).
        """
        parts = []
        try:
            while data:
                # zlib takes 0 for "no limit", so ask for one byte more than is allowed.
                part = self._stream.decompress(data, 0 if limit is None else limit + 1)
                parts.append(part)
                if limit is not None:
                    limit -= len(part)
                    if limit < 0:
                        reason = "the inflated message is too long"
                        raise FrameError(reason, self._opcode, MESSAGE_TOO_BIG)
                if not self._stream.eof:
                    break
                data = self._stream.unused_data
                self._count_final_block()
                self._reset()
        except zlib.error as error:
            reason = f"the message cannot be inflated ({error})"
            raise FrameError(reason, self._opcode, INVALID_PAYLOAD) from None
        return b"".join(parts)

    def end(self, limit: int | None) -> bytes:
        """End the message and return what is left of it.

        Raises:
            FrameError: As for :meth:`inflate`.
        """
        return self.inflate(_TAIL, limit)

    def _count_final_block(self) -> None:
        """Limit the work that a message of empty final blocks can cause."""
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS:
            raise FrameError("too many final deflate blocks", self._opcode, INVALID_PAYLOAD)

    def _reset(self) -> None:
        self._stream = zlib.decompressobj(-self._window_bits)
