"""Records of what the console receives and sends, and their form on a pipe."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from wsx._console.close_codes import name_of
from wsx.frames import Frame

__all__ = ["IN", "OUT", "Record", "frame_record", "to_json", "to_line"]

IN: Final = "in"
OUT: Final = "out"

_SHOWN_BYTES: Final = 64  # bytes of a binary message


@dataclass(frozen=True, slots=True)
class Record:
    """An event of the connection.

    Attributes:
        time: The time in seconds since the epoch.
        direction: ``"in"`` for what was received, ``"out"`` for what was sent, None for an event of
            the connection itself.
        kind: ``"text"``, ``"binary"``, ``"ping"``, ``"pong"`` or ``"close"``, with a direction;
            ``"open"``, ``"lost"`` (without a close frame) or ``"failed"`` (an attempt), without.
        payload: The payload of the frame, the close message, the URL of ``open``, or the reason of
            ``lost`` and ``failed``.
        code: The close code, or None (default) for another kind.
    """

    time: float
    direction: str | None
    kind: str
    payload: str | bytes
    code: int | None = None

    @property
    def is_message(self) -> bool:
        """Whether this is a text or binary message."""
        return self.kind in ("text", "binary")


def frame_record(time: float, direction: str, frame: Frame) -> Record:
    """Return the record of a frame."""
    return Record(time, direction, frame.kind, frame.payload)


def to_json(record: Record) -> str:
    """Return a record as one line of JSON in ASCII, with a newline.

    A payload of bytes is encoded with base64, and ``encoding`` says so.
    """
    fields: dict[str, Any] = {
        "time": _stamp(record.time),
        "direction": record.direction,
        "kind": record.kind,
    }
    if record.code is not None:
        fields |= {"code": record.code, "name": name_of(record.code)}
    if isinstance(record.payload, str):
        fields["payload"] = record.payload
    else:
        fields |= {"payload": b64encode(record.payload).decode("ascii"), "encoding": "base64"}
    return json.dumps(fields) + "\n"


def _stamp(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def to_line(record: Record) -> str:
    """Return the text of a received message with a newline, and "" for any other record."""
    if record.direction != IN or not record.is_message:
        return ""
    if isinstance(record.payload, str):
        return record.payload + "\n"
    shown = record.payload[:_SHOWN_BYTES].hex(" ")
    more = " ..." if len(record.payload) > _SHOWN_BYTES else ""
    return f"binary message, {len(record.payload)} bytes: {shown}{more}\n"
