"""The terms of the reference model: phases, what is to be delivered, and rules for results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import wsx
from wsx.test.simulation import wire

EPSILON = 1e-6
BIG_READ = 64  # frames
OPCODES = {wsx.Text: 1, wsx.Binary: 2, wsx.Ping: 9, wsx.Pong: 10}
CALLBACK_OF = {
    wsx.Text: "handle_frame",
    wsx.Binary: "handle_frame",
    wsx.Ping: "handle_ping",
    wsx.Pong: "handle_pong",
}
SILENT_CLOSE_TIMEOUT = 1.0


class Phase(Enum):
    """The state of a client, with the statuses that it may show."""

    NEW = ("connecting",)
    CONNECTING = ("connecting", "connecting ")
    OPEN = ("open",)
    CLOSING = ("closing",)
    LOST = ("disconnected",)
    WAITING = ("disconnected", "disconnected ")
    ENDING = ("closing", "closing ")
    TERMINATING = ("disconnected", "terminated")
    TERMINATED = ("terminated",)

    @property
    def statuses(self) -> tuple[str, ...]:
        return self.value


ENDING_PHASES = (Phase.ENDING, Phase.TERMINATING, Phase.TERMINATED)


class Entry:
    """Something that is to be delivered.

    Attributes:
        kind: ``"connect"``, ``"frame"``, ``"message"`` or ``"lost"``.
        value: The argument of the callback, or what is known of it.
        extra: The callback of a message, the number of a loss.
        read: The number of the read that has completed a frame; for a message, the number of a
            read whose frames the message may overtake, or 0.
    """

    __slots__ = ("extra", "kind", "read", "value")

    def __init__(self, kind: str, value: Any, extra: Any = None, read: int = 0) -> None:
        self.kind = kind
        self.value = value
        self.extra = extra
        self.read = read


@dataclass(slots=True)
class Call:
    """A callback that has been invoked and has not concluded."""

    name: str
    argument: Any
    expected: Any = None
    number: int = 0
    asked: bool = False
    cancelled: bool = False
    settled: bool = False
    sync: bool = True
    began: float = 0.0


def describe(outcome: Any) -> str:
    """Return a short text about the outcome of a callback, the same in each process."""
    if isinstance(outcome, BaseException):
        return f"raises {type(outcome).__name__}"
    if isinstance(outcome, wsx.Reply):
        return f"Reply({str(outcome.frame)[:80]})"
    if isinstance(outcome, wsx.Close):
        return f"Close({outcome.code}, {outcome.message!r})"
    if isinstance(outcome, wsx.Reconnect):
        return f"Reconnect(after={outcome.after})"
    return type(outcome).__name__


def frame_error(frame: Any) -> type[Exception] | None:
    """Return the exception type for a frame that cannot be sent, or None."""
    payload = getattr(frame, "payload", None)
    if isinstance(frame, wsx.Text):
        if not isinstance(payload, str):
            return wsx.InvalidFrameError
        try:
            payload.encode()
        except UnicodeEncodeError:
            return wsx.FrameEncodeError
        return None
    if not isinstance(frame, (wsx.Binary, wsx.Ping, wsx.Pong)) or not isinstance(payload, bytes):
        return wsx.InvalidFrameError
    too_long = len(payload) > 125 and not isinstance(frame, wsx.Binary)
    return wsx.FrameEncodeError if too_long else None


def close_error(code: Any, message: Any) -> type[Exception] | None:
    """Return the exception type for a close frame that cannot be sent, or None."""
    if not isinstance(code, int) or not wire.is_wire_code(code) or not isinstance(message, str):
        return wsx.FrameEncodeError
    return wsx.FrameEncodeError if len(message.encode()) > 123 else None


def is_allowed(callback: str, result: Any) -> bool:
    """Return whether a callback may return this."""
    if result is None or isinstance(result, wsx.Ok):
        return True
    if callback == "handle_disconnect":
        return isinstance(result, wsx.Reconnect) and (result.after is None or result.after >= 0)
    return callback != "terminate" and isinstance(result, (wsx.Reply, wsx.Close))


def may_leave_a_rest(conn: wsx.Conn, complete: list[Any], size: int) -> bool:
    """Return whether the library may decode the rest of a read later.

    Args:
        conn: The Conn of the client.
        complete: The items that the read completes.
        size: The number of bytes.
    """
    inflated = 0
    if conn.compression:
        inflated = sum(len(item.value.payload) for item in complete if item.kind == "frame")
    count = len(complete)
    return count >= 500 or inflated * 4 >= 262144 or (size >= 4000 and count > 200)
