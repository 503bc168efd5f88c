"""Reusable memory in which the parts of a message are joined. Pure; may be compiled."""

from __future__ import annotations

from typing import Final

from wsx.frames import TEXT, Binary, Frame, Text

__all__ = ["MessageBuffer", "take_buffer"]

_MAX_SPARE_BUFFERS: Final = 2
# One message of the default max_message_size, 16 MiB, with overallocation.
_MAX_SPARE_BYTES: Final = 17 * 1024 * 1024
_GROWTH: Final = 262144  # bytes


class MessageBuffer:
    """The parts of one message, joined.

    The memory is reused for later messages. For a large message, the page faults of new memory cost
    more time than all other processing.
    """

    __slots__ = ("_data", "_size")

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = 0

    def add(self, part: bytes) -> None:
        """Append a part."""
        end = self._size + len(part)
        if end <= len(self._data):
            self._data[self._size : end] = part
        else:
            self._data[self._size :] = part  # A bytearray overallocates when it grows.
        self._size = end

    def get_buffer(self, max_size: int) -> memoryview:
        """Return writable memory after the parts.

        Release the view before any other call. The memory grows in steps of at least 256 KiB, at
        most doubling, so that a server cannot make the client allocate memory for a message that
        the server announces but does not send.

        Args:
            max_size: The maximum size of the memory in bytes.
        """
        end = self._size + min(max_size, max(_GROWTH, len(self._data) - self._size))
        if end > len(self._data):
            self._data += bytes(end - len(self._data))
        return memoryview(self._data)[self._size : end]

    def buffer_updated(self, size: int) -> None:
        """Append the first ``size`` bytes of the view of ``get_buffer``."""
        self._size += size

    def frame(self, opcode: int) -> Frame:
        """Return the whole message as a frame, and keep the memory for another message.

        Args:
            opcode: ``TEXT`` or ``BINARY``.

        Raises:
            UnicodeDecodeError: A text is not UTF-8.
        """
        with memoryview(self._data) as view, view[: self._size] as whole:
            frame: Frame = Text(str(whole, "utf-8")) if opcode == TEXT else Binary(whole)
        self._size = 0
        kept = 0
        for spare in _spares:
            kept += len(spare._data)
        if len(_spares) < _MAX_SPARE_BUFFERS and kept + len(self._data) <= _MAX_SPARE_BYTES:
            _spares.append(self)
        return frame


# Shared by all connections, because few messages are in progress at the same time.
_spares: Final[list[MessageBuffer]] = []


def take_buffer() -> MessageBuffer:
    """Return an empty buffer: a spare one if available, otherwise a new one."""
    return _spares.pop() if _spares else MessageBuffer()
