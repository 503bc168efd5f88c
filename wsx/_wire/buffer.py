"""Messages that arrive in parts, put together. Pure; may be compiled."""

from __future__ import annotations

from typing import Final

from wsx.frames import TEXT, Binary, Frame, Text

_MOST_SPARES: Final = 2
_MOST_SPARE_MEMORY: Final = 17 * 1024 * 1024  # bytes: the default limit of a message, and some
_PIECE: Final = 262144  # bytes


class Assembly:
    """Where the parts of a message are put together.

    Its memory is kept for the next message: new memory for each large one costs more, by the
    kernel's page faults, than everything else that is done with it.
    """

    __slots__ = ("_data", "_size")

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = 0

    def add(self, part: bytes) -> None:
        """Adds a part, in place of what is left of an earlier message."""
        end = self._size + len(part)
        if end <= len(self._data):
            self._data[self._size : end] = part
        else:
            self._data[self._size :] = part  # a bytearray grows in steps of its own
        self._size = end

    def room(self, most: int) -> memoryview:
        """Gives room for what comes next, for at most so many bytes; :meth:`filled` takes them.

        It is to be released before anything else is done. New memory is added in small pieces: a
        peer that only announces a large message does not get us to set its size aside.
        """
        end = self._size + min(most, max(_PIECE, len(self._data) - self._size))
        if end > len(self._data):
            self._data += bytes(end - len(self._data))
        return memoryview(self._data)[self._size : end]

    def filled(self, size: int) -> None:
        """Adds so many bytes of the room given last."""
        self._size += size

    def frame(self, opcode: int) -> Frame:
        """Gives the whole as a frame, and its memory to whoever comes next."""
        with memoryview(self._data) as view, view[: self._size] as whole:
            frame: Frame = Text(str(whole, "utf-8")) if opcode == TEXT else Binary(whole)
        self._size = 0
        kept = 0
        for spare in _spares:
            kept += len(spare._data)
        if len(_spares) < _MOST_SPARES and kept + len(self._data) <= _MOST_SPARE_MEMORY:
            _spares.append(self)
        return frame


_spares: Final[list[Assembly]] = []  # of all connections: few messages are in progress at a time


def assembly() -> Assembly:
    """Gives one that is empty."""
    return _spares.pop() if _spares else Assembly()
