"""Frames, opcodes and close codes, and the rules that make them valid. May be compiled."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from wsx._members import leave_untracked, use_members
from wsx._text import expected, expected_type, shorten
from wsx.errors import FrameEncodeError, InvalidFrameError

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "GOING_AWAY",
    "INTERNAL_ERROR",
    "INVALID_PAYLOAD",
    "MAX_CLOSE_MESSAGE",
    "MAX_CONTROL_PAYLOAD",
    "MESSAGE_TOO_BIG",
    "NORMAL_CLOSURE",
    "NO_STATUS_RECEIVED",
    "PING",
    "PONG",
    "PROTOCOL_ERROR",
    "TEXT",
    "Binary",
    "Frame",
    "Ping",
    "Pong",
    "Text",
    "close_payload",
    "is_wire_close_code",
    "wire_payload",
]

# Opcodes, RFC 6455 section 5.2.
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# Close codes, RFC 6455 section 7.4.1 and the IANA registry.
NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS_RECEIVED: Final = 1005
INVALID_PAYLOAD: Final = 1007
MESSAGE_TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

MAX_CONTROL_PAYLOAD: Final = 125  # bytes, RFC 6455 section 5.5
MAX_CLOSE_MESSAGE: Final = MAX_CONTROL_PAYLOAD - 2  # bytes, without the two of the close code

_CLOSE_CODES: Final = "1000 to 1003, 1007 to 1014 or 3000 to 4999"
_REPR_LIMIT: Final = 75  # characters


class Frame:
    """Base class of the frames: complete messages and control frames.

    Frames are equal if type and payload are equal. They are hashable, immutable by contract, and
    matched by position: ``case Text("hi")``.

    Attributes:
        payload: The payload: a str for ``Text``, bytes for the others.
        opcode: The opcode of the class (RFC 6455 section 5.2).
        kind: The name of the frame type in messages and metrics, such as ``"text"``.
    """

    __slots__ = ("payload",)
    __match_args__ = ("payload",)

    opcode: ClassVar[int] = -1
    kind: ClassVar[str] = ""
    payload: str | bytes

    def __init__(self, payload: str | bytes) -> None:
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self.payload == other.payload)

    def __hash__(self) -> int:
        return hash((type(self), self.payload))

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name}: attributes of a frame cannot be deleted")

    def __repr__(self) -> str:
        name, payload = type(self).__name__, self.payload
        if isinstance(payload, (str, bytes)) and len(payload) > 2 * _REPR_LIMIT:
            # Only the two ends are shown, so do not build the repr of a whole large payload.
            payload = payload[:_REPR_LIMIT] + payload[-_REPR_LIMIT:]  # type: ignore[operator]
        return f"{name}({shorten(payload, _REPR_LIMIT - len(name) - 2)})"


use_members(Frame, "payload")


class Text(Frame):
    """A text message.

    Attributes:
        payload: The text, a str.
    """

    __slots__ = ()
    opcode = TEXT
    kind = "text"
    payload: str

    def __init__(self, payload: str) -> None:
        self.payload = payload


class _Bytes(Frame):
    """Base class of the frames whose payload is bytes; any bytes-like object is accepted."""

    __slots__ = ()
    payload: bytes

    def __init__(self, payload: bytes | bytearray | memoryview) -> None:
        self.payload = payload if type(payload) is bytes else _to_bytes(payload)


class Binary(_Bytes):
    """A binary message.

    Attributes:
        payload: The message, as bytes. Any other bytes-like object is copied.
    """

    __slots__ = ()
    opcode = BINARY
    kind = "binary"


class _Control(_Bytes):
    """Base class of the control frames that can be sent."""

    __slots__ = ()

    def __init__(self, payload: bytes | bytearray | memoryview = b"") -> None:
        super().__init__(payload)


class Ping(_Control):
    """A ping (RFC 6455 section 5.5.2).

    Attributes:
        payload: The payload, at most 125 bytes. Default empty.
    """

    __slots__ = ()
    opcode = PING
    kind = "ping"


class Pong(_Control):
    """A pong (RFC 6455 section 5.5.3).

    Attributes:
        payload: The payload, at most 125 bytes. Default empty.
    """

    __slots__ = ()
    opcode = PONG
    kind = "pong"


# A read of many messages would otherwise start a garbage collection.
leave_untracked(Text, Binary, Ping, Pong)


def _to_bytes(payload: object) -> Any:
    """Return a bytes-like object as bytes, and anything else unchanged.

    The constructor of a frame accepts any payload; ``wire_payload`` rejects a wrong one.
    """
    try:
        return bytes(memoryview(payload))  # type: ignore[arg-type]
    except TypeError:
        return payload


def wire_payload(frame: object) -> bytes:
    """Return the payload of a frame in the form in which it is sent.

    Args:
        frame: The frame.

    Returns:
        The payload as bytes; that of a ``Text`` is encoded as UTF-8 (RFC 6455 section 5.6).

    Raises:
        InvalidFrameError: The value is not a frame, or its payload has the wrong type.
        FrameEncodeError: The text cannot be encoded as UTF-8, or a control frame has more than 125
            bytes (RFC 6455 section 5.5).
    """
    if not isinstance(frame, Frame):
        raise InvalidFrameError(frame)
    known = frame  # Has a C type in the compiled form; see frames.pxd.
    payload = known.payload
    if isinstance(known, Text) and isinstance(payload, str):
        try:
            return payload.encode()
        except UnicodeEncodeError as error:
            raise FrameEncodeError(_not_utf8("payload", error), known.kind, payload) from None
    if isinstance(known, _Bytes) and isinstance(payload, bytes):
        if isinstance(known, _Control) and len(payload) > MAX_CONTROL_PAYLOAD:
            reason = _too_long("payload", MAX_CONTROL_PAYLOAD, len(payload))
            raise FrameEncodeError(reason, known.kind, payload)
        return payload
    raise InvalidFrameError(frame)


def is_wire_close_code(code: int) -> bool:
    """Return whether a close frame may contain the close code (RFC 6455 section 7.4)."""
    if code <= 1003:
        return code >= 1000
    return 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_payload(code: object, message: object) -> bytes:
    """Return the payload of a close frame (RFC 6455 section 5.5.1).

    Args:
        code: The close code, an int that :func:`is_wire_close_code` accepts.
        message: The close message, a str of at most 123 bytes in UTF-8.

    Returns:
        The code as two bytes in network order, followed by the message in UTF-8.

    Raises:
        FrameEncodeError: The code may not be sent, or the message is not such a str.
    """
    if not isinstance(code, int) or not is_wire_close_code(code):
        reason = expected("close code", _CLOSE_CODES, code)
        raise FrameEncodeError(reason, "close", message, code)
    if not isinstance(message, str):
        reason = expected_type("close message", "a str", message)
        raise FrameEncodeError(reason, "close", message, code)
    try:
        encoded = message.encode()
    except UnicodeEncodeError as error:
        reason = _not_utf8("close message", error)
        raise FrameEncodeError(reason, "close", message, code) from None
    if len(encoded) > MAX_CLOSE_MESSAGE:
        reason = _too_long("close message", MAX_CLOSE_MESSAGE, len(encoded))
        raise FrameEncodeError(reason, "close", message, code)
    return code.to_bytes(2, "big") + encoded


def _not_utf8(subject: str, error: UnicodeEncodeError) -> str:
    return f"{expected(subject, 'text that can be encoded as UTF-8')}: {error.reason}"


def _too_long(subject: str, limit: int, size: int) -> str:
    return f"{expected(subject, f'at most {limit} bytes')}, got {size}"
