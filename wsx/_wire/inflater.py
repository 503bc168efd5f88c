"""Inflating the messages of permessage-deflate (RFC 7692), within limits. Pure.

Autobahn negotiates the extension and deflates. Its inflating is not used: at exactly the limit it
cuts a message short without a word, and after a final deflate block (section 7.2.3.4) it finds
every later message empty.
"""

from __future__ import annotations

import zlib
from typing import Final

from wsx.errors import FrameError
from wsx.frames import INVALID_PAYLOAD, MESSAGE_TOO_BIG, TEXT

__all__ = ["Inflater"]

_MOST_FINAL_BLOCKS: Final = 256
_TAIL: Final = b"\x00\x00\xff\xff"  # what the sender left out, section 7.2.2


class Inflater:
    """Inflates one connection's messages.

    Args:
        window_bits: the peer's LZ77 window, 8 to 15.
        keep_context: whether a message may refer to those before it.
    """

    def __init__(self, window_bits: int, keep_context: bool) -> None:
        self._window_bits = window_bits
        self._keep_context = keep_context
        self._stream = zlib.decompressobj(-window_bits)
        self._opcode = TEXT  # of the message in progress, for its errors
        self._final_blocks = 0

    def begin(self, opcode: int) -> None:
        """Starts a message of that opcode."""
        self._opcode = opcode
        self._final_blocks = 0
        if not self._keep_context:
            self._renew()

    def inflate(self, data: bytes, room: int | None) -> bytes:
        """Inflates a part of a message.

        Raises:
            FrameError: it gives more than ``room`` bytes (1009), or cannot be inflated (1007).
        """
        parts = []
        try:
            while data:
                # zlib takes 0 for "no limit"; one byte too many shows that there is no room.
                part = self._stream.decompress(data, 0 if room is None else room + 1)
                parts.append(part)
                if room is not None:
                    room -= len(part)
                    if room < 0:
                        reason = "the inflated message is too big"
                        raise FrameError(reason, self._opcode, MESSAGE_TOO_BIG)
                if not self._stream.eof:
                    break
                data = self._stream.unused_data
                self._count_final_block()
                self._renew()
        except zlib.error as error:
            reason = f"the message cannot be inflated ({error})"
            raise FrameError(reason, self._opcode, INVALID_PAYLOAD) from None
        return b"".join(parts)

    def end(self, room: int | None) -> bytes:
        """Ends the message; gives what was still to come of it.

        Raises:
            FrameError: as ``inflate``.
        """
        return self.inflate(_TAIL, room)

    def _count_final_block(self) -> None:
        """Bounds what a message of nothing but empty final blocks can cost."""
        self._final_blocks += 1
        if self._final_blocks > _MOST_FINAL_BLOCKS:
            raise FrameError("too many final blocks", self._opcode, INVALID_PAYLOAD)

    def _renew(self) -> None:
        self._stream = zlib.decompressobj(-self._window_bits)
