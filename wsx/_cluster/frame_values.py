"""Frames as values, for ``send_frame`` in another process."""

from __future__ import annotations

from typing import Any, Final

from wsx.errors import InvalidFrameError
from wsx.frames import Binary, Frame, Ping, Pong, Text, wire_payload

__all__ = ["frame_from_value", "frame_to_value"]

_CLASSES: Final[dict[str, Any]] = {cls.kind: cls for cls in (Text, Binary, Ping, Pong)}


def frame_to_value(frame: Frame) -> list[Any]:
    """Return the value for a frame: its kind and its payload.

    Raises:
        InvalidFrameError: The value is not a frame, or its payload has the wrong type.
        FrameEncodeError: RFC 6455 does not allow the frame.
    """
    payload = wire_payload(frame)
    # The payload may be an instance of a subclass of str or bytes.
    return [frame.kind, payload.decode() if isinstance(frame, Text) else bytes(payload)]


def frame_from_value(value: object) -> Frame:
    """Return the frame for its value.

    Raises:
        InvalidFrameError: The value does not describe a frame.
    """
    match value:
        case [str(kind), str() | bytes() as payload] if kind in _CLASSES:
            frame: Frame = _CLASSES[kind](payload)
            return frame
        case _:
            raise InvalidFrameError(value)
