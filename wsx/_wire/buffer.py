"""Memory in which the parts of a message are joined. Pure; may be compiled."""

from __future__ import annotations

from typing import Final

from wsx.frames import TEXT, Binary, Frame, Text

__all__ = ["MessageBuffer", "take_buffer"]

_MAX_SPARE_BUFFERS: Final = 2
# Room for one message of the default limit, 16 MiB, and a little more.
_MAX_SPARE_BYTES: Final = 17 * 1024 * 1024
_GROWTH: Final = 262144  # bytes


class MessageBuffer:
    """The parts of one message, joined.

    Its memory is reused for later messages: for large ones, the kernel's page faults on new
    memory cost more than everything else that happens to the message.
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
            self._data[self._size :] = part  # a bytearray over-allocates by itself
        self._size = end

    def get_buffer(self, most: int) -> memoryview:
        """Return writable memory behind the parts, for at most ``most`` bytes.

        Release the view before calling anything else. The memory grows in small steps, so a
        server that announces a large message cannot make the client allocate its whole size.
        """
        end = self._size + min(most, max(_GROWTH, len(self._data) - self._size))
        if end > len(self._data):
            self._data += bytes(end - len(self._data))
        return memoryview(self._data)[self._size : end]

    def buffer_updated(self, size: int) -> None:
        """Append the first ``size`` bytes that were written to the view of ``get_buffer``."""
        self._size += size

    def frame(self, opcode: int) -> Frame:
        """Return the whole message as a frame, and keep the memory for another message.

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


# All connections share them, because few messages are in progress at the same time.
_spares: Final[list[MessageBuffer]] = []


def take_buffer() -> MessageBuffer:
    """Return an empty buffer, a spare one if there is one."""
    return _spares.pop() if _spares else MessageBuffer()
