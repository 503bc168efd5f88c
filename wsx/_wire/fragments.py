"""Encode one message in fragments (RFC 6455 section 5.4). Pure."""

from __future__ import annotations

import codecs
from typing import Final, Protocol

from wsx._wire.encoder import FIN, RSV1, encode, masks
from wsx.errors import FrameEncodeError, InvalidFrameError
from wsx.frames import CONTINUATION, Binary, Text

__all__ = ["Compressor", "FragmentEncoder", "Part"]

Part = str | bytes | bytearray | memoryview

_NOT_UTF8: Final = "payload: expected UTF-8 in the parts together"


class Compressor(Protocol):
    """The interface of a compression extension for one message at a time."""

    def begin(self) -> None:
        """Begin a message."""

    def add(self, payload: bytes) -> bytes:
        """Compress a part of the message. The result may be empty."""

    def end(self) -> bytes:
        """Return the last compressed bytes of the message."""


class FragmentEncoder:
    """Encode one message in fragments.

    The last fragment is empty (except for the rest of compressed data), so that no part has to wait
    for the next one, which may come much later.

    Args:
        kind: The type of the message.
        compressor: Compresses the message, or None (default).

    Attributes:
        begun: Whether the message must be completed, because a part was encoded.
    """

    __slots__ = ("_compressor", "_decoder", "_flags", "_kind", "_opcode", "begun")

    def __init__(
        self, kind: type[Text] | type[Binary], compressor: Compressor | None = None
    ) -> None:
        self.begun = False
        self._kind = kind
        self._opcode = kind.opcode
        self._compressor = compressor
        self._flags = 0 if compressor is None else RSV1
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def add(self, part: Part) -> tuple[bytes, Text | Binary]:
        """Encode a part of the message.

        Args:
            part: A str, or bytes; in a ``Text``, bytes may end in the middle of a code point.

        Returns:
            The bytes of the fragment, empty if there is nothing to send yet; and the part as a
            frame, for reports.

        Raises:
            InvalidFrameError: The part is neither, or it is a str in a ``Binary``.
            FrameEncodeError: The part does not continue UTF-8.
        """
        payload, shown = self._payload(part)
        if not payload:
            return b"", shown
        if self._compressor is not None:
            if not self.begun:
                self._compressor.begin()
            payload = self._compressor.add(payload)
        self.begun = True
        return (self._encode(payload, 0) if payload else b""), shown

    def end(self) -> bytes:
        """Return the bytes of the last fragment.

        Raises:
            FrameEncodeError: The last code point of a ``Text`` is incomplete.
        """
        incomplete = self._decoder.getstate()[0]
        if incomplete:
            reason = f"{_NOT_UTF8}: the last code point is incomplete"
            raise FrameEncodeError(reason, self._kind.kind, incomplete)
        payload = b""
        if self._compressor is not None:
            if not self.begun:
                self._compressor.begin()
            payload = self._compressor.end()
        self.begun = True
        return self._encode(payload, FIN)

    def _payload(self, part: Part) -> tuple[bytes, Text | Binary]:
        if isinstance(part, (bytes, bytearray, memoryview)):
            payload = bytes(part)
            if self._kind is Binary:
                return payload, Binary(payload)
            return payload, Text(self._decode(payload))
        if isinstance(part, str) and self._kind is Text:
            return self._encode_text(part), Text(part)
        raise InvalidFrameError(self._kind(part))  # type: ignore[arg-type]

    def _decode(self, payload: bytes) -> str:
        try:
            return self._decoder.decode(payload)
        except UnicodeDecodeError as error:
            reason = f"{_NOT_UTF8}: {error.reason}"
            raise FrameEncodeError(reason, self._kind.kind, payload) from None

    def _encode_text(self, part: str) -> bytes:
        if part and self._decoder.getstate()[0]:
            reason = f"{_NOT_UTF8}: a str follows an incomplete code point"
            raise FrameEncodeError(reason, self._kind.kind, part)
        try:
            return part.encode()
        except UnicodeEncodeError as error:
            reason = f"{_NOT_UTF8}: {error.reason}"
            raise FrameEncodeError(reason, self._kind.kind, part) from None

    def _encode(self, payload: bytes, fin: int) -> bytes:
        encoded = encode(self._opcode, payload, masks.take(), fin | self._flags)
        self._opcode, self._flags = CONTINUATION, 0
        return encoded
