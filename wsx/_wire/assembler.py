"""Assemble messages from fragments (RFC 6455 section 5.4), within limits. Pure; may be compiled.

The decoder reads frame headers. The assembler collects and inflates the payloads, rejects text that
is not UTF-8 as early as possible, and returns the message when its last byte has been received.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Iterator
from typing import Final, Protocol

from wsx._wire.buffer import MessageBuffer, take_buffer
from wsx.errors import FrameError
from wsx.frames import CONTINUATION, INVALID_PAYLOAD, MESSAGE_TOO_BIG, TEXT, Frame

__all__ = ["LARGE_PAYLOAD", "MAX_EMPTY_FRAGMENTS", "Inflater", "MessageAssembler", "invalid_utf8"]

# In bytes. A payload of which this much is missing is read directly into the message's buffer.
# UTF-8 is checked early only up to this size; the whole message is checked when it is decoded.
LARGE_PAYLOAD: Final = 65536
# In bytes. Inflating a part costs some time even if the part is empty.
_COST_OF_A_PART: Final = 128
# Per message. A server could otherwise send empty fragments forever: no other limit counts them.
MAX_EMPTY_FRAGMENTS: Final = 4096


class Inflater(Protocol):
    """The methods of a compression extension (RFC 7692) that the assembler calls."""

    def begin(self, opcode: int) -> None:
        """Start a message with this opcode."""

    def inflate(self, data: bytes, limit: int | None) -> Iterator[bytes]:
        """Inflate a part of a message, in parts.

        Args:
            data: The next bytes.
            limit: The maximum size of the result in bytes, or None for no limit.

        Raises:
            FrameError: The result is longer than ``limit`` bytes, or the data is corrupt.
        """

    def end(self, limit: int | None) -> Iterator[bytes]:
        """End the message and inflate its remaining bytes."""


class MessageAssembler:
    """Collect the payload of one message at a time.

    Args:
        max_message_size: The limit in bytes for one message after inflation, or None for no limit.
        inflater: The inflater of the negotiated compression, or None.

    Attributes:
        opcode: The opcode of the message in progress; ``CONTINUATION`` if there is none.
        fragmented: Whether the message in progress has more than one fragment.
        inflated: The work of inflating the last message: its size in bytes, and 128 for each part
            in which it was inflated; 0 if it was not compressed.
    """

    __slots__ = (
        "_buffer",
        "_checks_text",
        "_compressed",
        "_empty_fragments",
        "_incomplete",
        "_inflater",
        "_limit",
        "_parts",
        "_size",
        "fragmented",
        "inflated",
        "opcode",
    )

    def __init__(self, max_message_size: int | None, inflater: Inflater | None) -> None:
        self.opcode = CONTINUATION
        self.fragmented = False
        self.inflated = 0
        self._limit = max_message_size
        self._inflater = inflater
        self._compressed = False
        self._size = 0  # Bytes of the message in progress, after inflation.
        self._parts = 0  # In which the message in progress was inflated.
        self._empty_fragments = 0
        self._buffer: MessageBuffer | None = None
        self._checks_text = False
        self._incomplete = b""  # The first bytes of a code point that the next part completes.

    def begin(self, opcode: int, compressed: bool) -> None:
        """Start a message.

        Args:
            opcode: ``TEXT`` or ``BINARY``.
            compressed: Whether RSV1 is set (RFC 7692 section 6).
        """
        self.opcode = opcode
        self.fragmented = False
        self._checks_text = opcode == TEXT
        self._size = 0
        self._parts = 0
        self._empty_fragments = 0
        self._compressed = compressed
        if compressed and self._inflater is not None:
            self._inflater.begin(opcode)

    def announce(self, length: int) -> None:
        """Check the length of a frame before its payload has been received.

        Args:
            length: The payload length in bytes.

        Raises:
            FrameError: The message is longer than ``max_message_size``, or has more than
                ``MAX_EMPTY_FRAGMENTS`` empty fragments.
        """
        if not length:
            self._empty_fragments += 1
            if self._empty_fragments > MAX_EMPTY_FRAGMENTS:
                reason = f"the message has more than {MAX_EMPTY_FRAGMENTS} empty fragments"
                raise FrameError(reason, self.opcode, MESSAGE_TOO_BIG)
        if self._compressed or self._limit is None:  # The inflated size is not known yet.
            return
        if self._size + length > self._limit:
            reason = f"the message is longer than {self._limit} bytes"
            raise FrameError(reason, self.opcode, MESSAGE_TOO_BIG)

    def add(self, part: bytes, is_last: bool) -> Frame | None:
        """Append a part of the payload.

        Args:
            part: The next bytes.
            is_last: Whether these bytes end the message.

        Returns:
            The message if it is complete, otherwise None.

        Raises:
            FrameError: The message is too long, cannot be inflated, or is a text that is not UTF-8.
        """
        if self._compressed:
            self._inflate(part, is_last)
        else:
            self._append(part, is_last)
        return self._finish() if is_last else None

    def _inflate(self, part: bytes, is_last: bool) -> None:
        assert self._inflater is not None
        for inflated in self._inflater.inflate(part, self._left()):
            self._parts += 1
            self._append(inflated, is_last)
        if is_last:
            for inflated in self._inflater.end(self._left()):
                self._parts += 1
                self._append(inflated, is_last)

    def get_buffer(self, missing: int) -> memoryview | None:
        """Return memory to read a large payload into, or None if the caller must use ``add``.

        Args:
            missing: The number of bytes of the current frame that have not been received.
        """
        if missing < LARGE_PAYLOAD or self._compressed or self._checks_text:
            return None
        assert self._buffer is not None
        return self._buffer.get_buffer(missing)

    def buffer_updated(self, size: int, is_last: bool) -> Frame | None:
        """Append the bytes that were written to the view of ``get_buffer``.

        Args:
            size: The number of bytes.
            is_last: Whether these bytes end the message.

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
        """Return the number of bytes by which the message may still grow; None means no limit."""
        return None if self._limit is None else self._limit - self._size

    def _append(self, part: bytes, is_last: bool) -> None:
        self._size += len(part)
        self._checks_text = self._checks_text and self._size <= LARGE_PAYLOAD
        if self._checks_text and not is_last:  # Decoding the message checks the last part.
            self._check_text(part)
        if self._buffer is None:
            self._buffer = take_buffer()
        self._buffer.add(part)

    def _check_text(self, part: bytes) -> None:
        """Reject invalid UTF-8 before the message is complete (RFC 6455 section 8.1)."""
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
        self.inflated = self._size + self._parts * _COST_OF_A_PART if self._compressed else 0
        return frame


def invalid_utf8(opcode: int) -> FrameError:
    """Return the error for text that is not UTF-8 (RFC 6455 section 8.1)."""
    return FrameError("the text is not UTF-8", opcode, INVALID_PAYLOAD)
