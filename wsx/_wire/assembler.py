"""Joins the fragments of a message, within its limits. Pure; may be compiled.

The decoder reads frame headers; the assembler collects their payloads, inflates them, refuses a
text that is not UTF-8 as early as it can, and returns the message once its last byte is here.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Final, Protocol

from wsx._wire.buffer import MessageBuffer, take_buffer
from wsx.errors import FrameError
from wsx.frames import CONTINUATION, INVALID_PAYLOAD, MESSAGE_TOO_BIG, TEXT, Frame

__all__ = ["LARGE_PAYLOAD", "Inflater", "MessageAssembler", "invalid_utf8"]

# Bytes. A payload with this much to come is read directly into the message's buffer, and text is
# checked only once, when the whole message is decoded.
LARGE_PAYLOAD: Final = 65536


class Inflater(Protocol):
    """What the assembler needs of a compression extension (RFC 7692)."""

    def begin(self, opcode: int) -> None:
        """Start a message with this opcode."""

    def inflate(self, data: bytes, limit: int | None) -> bytes:
        """Inflate a part of a message.

        Raises:
            FrameError: The result is longer than ``limit`` bytes, or the data is corrupt.
        """

    def end(self, limit: int | None) -> bytes:
        """End the message and return what is left of it."""


class MessageAssembler:
    """Collects the payload of one message at a time.

    Args:
        max_message_size: Bytes of one message after inflation; None means no limit.
        inflater: The negotiated compression, or None.

    Attributes:
        opcode: The opcode of the message in progress; ``CONTINUATION`` if there is none.
        fragmented: Whether the message in progress has more than one fragment.
    """

    __slots__ = (
        "_buffer",
        "_checks_text",
        "_compressed",
        "_incomplete",
        "_inflater",
        "_limit",
        "_size",
        "fragmented",
        "opcode",
    )

    def __init__(self, max_message_size: int | None, inflater: Inflater | None) -> None:
        self.opcode = CONTINUATION
        self.fragmented = False
        self._limit = max_message_size
        self._inflater = inflater
        self._compressed = False
        self._size = 0  # bytes of the message in progress, inflated
        self._buffer: MessageBuffer | None = None
        self._checks_text = False
        self._incomplete = b""  # the first bytes of a code point that continues in the next part

    def begin(self, opcode: int, compressed: bool) -> None:
        """Start a message."""
        self.opcode = opcode
        self.fragmented = False
        self._checks_text = opcode == TEXT
        self._size = 0
        self._compressed = compressed
        if compressed and self._inflater is not None:
            self._inflater.begin(opcode)

    def announce(self, length: int) -> None:
        """Check a frame's length as soon as its header is here.

        Raises:
            FrameError: The message is longer than allowed.
        """
        if self._compressed or self._limit is None:  # the inflated size is not known yet
            return
        if self._size + length > self._limit:
            reason = f"the message is longer than {self._limit} bytes"
            raise FrameError(reason, self.opcode, MESSAGE_TOO_BIG)

    def add(self, part: bytes, is_last: bool) -> Frame | None:
        """Append a part of the payload.

        Args:
            part: The next bytes.
            is_last: Whether they end the message.

        Returns:
            The message if it is complete, otherwise None.

        Raises:
            FrameError: The message is too long, is not UTF-8, or cannot be inflated.
        """
        if self._compressed and self._inflater is not None:
            part = self._inflater.inflate(part, self._left())
        self._append(part, is_last)
        if not is_last:
            return None
        if self._compressed and self._inflater is not None:
            self._append(self._inflater.end(self._left()), is_last)
        return self._finish()

    def get_buffer(self, missing: int) -> memoryview | None:
        """Return memory for the rest of a large payload, or None if parts must go through ``add``.

        Args:
            missing: Bytes still to come of the present frame.
        """
        if missing < LARGE_PAYLOAD or self._compressed or self._checks_text:
            return None
        assert self._buffer is not None
        return self._buffer.get_buffer(missing)

    def buffer_updated(self, size: int, is_last: bool) -> Frame | None:
        """Append the bytes that were written to the view of ``get_buffer``.

        Returns:
            The message if it is complete, otherwise None.

        Raises:
            FrameError: A text is not UTF-8.
        """
        assert self._buffer is not None
        self._buffer.buffer_updated(size)
        self._size += size
        return self._finish() if is_last else None

    def _left(self) -> int | None:
        """Return how many bytes the message may still grow by; None means no limit."""
        return None if self._limit is None else self._limit - self._size

    def _append(self, part: bytes, is_last: bool) -> None:
        self._size += len(part)
        self._checks_text = self._checks_text and self._size <= LARGE_PAYLOAD
        if self._checks_text and not is_last:  # decoding the whole message checks the last part
            self._check_text(part)
        if self._buffer is None:
            self._buffer = take_buffer()
        self._buffer.add(part)

    def _check_text(self, part: bytes) -> None:
        """Refuse invalid UTF-8 before the message is complete (RFC 6455 section 8.1)."""
        if not self._incomplete and part.isascii():
            return
        if self._incomplete:
            part = self._incomplete + part
        try:
            _, consumed = utf_8_decode(part, "strict", False)
        except UnicodeDecodeError:
            raise invalid_utf8(TEXT) from None
        self._incomplete = part[consumed:]

    def _finish(self) -> Frame:
        buffer, self._buffer = self._buffer, None
        assert buffer is not None
        try:
            frame = buffer.frame(self.opcode)
        except UnicodeDecodeError:
            raise invalid_utf8(TEXT) from None
        self._incomplete = b""
        self.opcode = CONTINUATION
        return frame


def invalid_utf8(opcode: int) -> FrameError:
    """Return the error for text that is not UTF-8 (RFC 6455 section 8.1)."""
    return FrameError("the text is not UTF-8", opcode, INVALID_PAYLOAD)
