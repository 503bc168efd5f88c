"""Frames and close codes: values, and what makes them valid. Pure; may be compiled."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from wsx._text import shorten
from wsx.errors import FrameEncodeError, InvalidFrameError

__all__ = ["Binary", "Frame", "Ping", "Pong", "Text"]

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

MAX_CONTROL_PAYLOAD: Final = 125  # RFC 6455 section 5.5
MAX_CLOSE_MESSAGE: Final = MAX_CONTROL_PAYLOAD - 2

_REPR_LIMIT: Final = 75


class Frame:
    """A whole message or a control frame; equal when type and payload are.

    Immutable by contract, hashable, matched by position: ``case Text("hi")``.

    Attributes:
        payload: what it carries.
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

    def __repr__(self) -> str:
        name, payload = type(self).__name__, self.payload
        if isinstance(payload, (str, bytes)) and len(payload) > 2 * _REPR_LIMIT:
            # A short stand-in gives the same two ends without the repr of megabytes.
            payload = payload[:_REPR_LIMIT] + payload[-_REPR_LIMIT:]  # type: ignore[operator]
        return f"{name}({shorten(payload, _REPR_LIMIT - len(name) - 2)})"


class Text(Frame):
    """A text message. ``payload`` is a str."""

    __slots__ = ()
    opcode = TEXT
    kind = "text"
    payload: str

    def __init__(self, payload: str) -> None:
        self.payload = payload


class _Bytes(Frame):
    """A frame of bytes: any bytes-like object will do, and is copied unless it is bytes."""

    __slots__ = ()
    payload: bytes

    def __init__(self, payload: bytes | bytearray | memoryview) -> None:
        self.payload = payload if type(payload) is bytes else _to_bytes(payload)


class Binary(_Bytes):
    """A binary message. ``payload`` is bytes."""

    __slots__ = ()
    opcode = BINARY
    kind = "binary"


class _Control(_Bytes):
    """A control frame, empty unless told otherwise."""

    __slots__ = ()

    def __init__(self, payload: bytes | bytearray | memoryview = b"") -> None:
        super().__init__(payload)


class Ping(_Control):
    """A ping (RFC 6455 section 5.5.2). ``payload`` is at most 125 bytes."""

    __slots__ = ()
    opcode = PING
    kind = "ping"


class Pong(_Control):
    """A pong (RFC 6455 section 5.5.3). ``payload`` is at most 125 bytes."""

    __slots__ = ()
    opcode = PONG
    kind = "pong"


def _to_bytes(payload: object) -> Any:
    """Copies a bytes-like object; leaves anything else for ``wire_payload`` to refuse."""
    try:
        return bytes(memoryview(payload))  # type: ignore[arg-type]
    except TypeError:
        return payload


def wire_payload(frame: object) -> bytes:
    """Gives the payload of a frame as it goes on the wire, after checking that it may.

    Raises:
        InvalidFrameError: this is no frame, or its payload is of the wrong type.
        FrameEncodeError: RFC 6455 does not allow it.
    """
    if isinstance(frame, Text) and isinstance(frame.payload, str):
        try:
            return frame.payload.encode()
        except UnicodeEncodeError as error:
            raise FrameEncodeError(
                f"it cannot be encoded as UTF-8: {error.reason}", frame.kind, frame.payload
            ) from None
    if isinstance(frame, _Bytes) and isinstance(frame.payload, bytes):
        if isinstance(frame, _Control) and len(frame.payload) > MAX_CONTROL_PAYLOAD:
            raise FrameEncodeError(
                "the payload of a control frame is at most 125 bytes", frame.kind, frame.payload
            )
        return frame.payload
    raise InvalidFrameError(frame)


def is_wire_close_code(code: int) -> bool:
    """Tells whether a close code may stand in a close frame (RFC 6455 section 7.4)."""
    if code <= 1003:
        return code >= 1000
    return 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_payload(code: object, message: object) -> bytes:
    """Gives the payload of a close frame (RFC 6455 section 5.5.1).

    Raises:
        FrameEncodeError: the code may not be sent, or the message is not a str of at most
            123 bytes in UTF-8.
    """
    if not isinstance(code, int) or not is_wire_close_code(code):
        raise FrameEncodeError(f"close code {code!r} may not be sent", "close", message, code)
    if not isinstance(message, str):
        raise FrameEncodeError("the message is not a str", "close", message, code)
    try:
        encoded = message.encode()
    except UnicodeEncodeError as error:
        raise FrameEncodeError(
            f"the message cannot be encoded as UTF-8: {error.reason}", "close", message, code
        ) from None
    if len(encoded) > MAX_CLOSE_MESSAGE:
        raise FrameEncodeError("the message is over 123 bytes", "close", message, code)
    return code.to_bytes(2, "big") + encoded
