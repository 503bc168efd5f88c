"""The reasons why a connection or a client ends: values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from wsx._text import describe
from wsx.frames import NO_STATUS_RECEIVED, NORMAL_CLOSURE

if TYPE_CHECKING:
    from wsx.conn import Conn

__all__ = [
    "ConnectionDropped",
    "Disconnect",
    "LocalClose",
    "RemoteClose",
    "Shutdown",
    "is_normal",
]


@dataclass(frozen=True, slots=True)
class LocalClose:
    """This side closed the connection, with this code and message."""

    code: int = NORMAL_CLOSURE
    message: str = ""

    @property
    def normal(self) -> bool:
        """True for code 1000."""
        return self.code == NORMAL_CLOSURE

    def __str__(self) -> str:
        return f"closed by this side with {_code_and_message(self)}"


@dataclass(frozen=True, slots=True)
class RemoteClose:
    """The peer sent a close frame; code 1005 stands for one without a code."""

    code: int = NO_STATUS_RECEIVED
    message: str = ""

    @property
    def normal(self) -> bool:
        """True for code 1000."""
        return self.code == NORMAL_CLOSURE

    def __str__(self) -> str:
        return f"closed by the peer with {_code_and_message(self)}"


def _code_and_message(close: LocalClose | RemoteClose) -> str:
    """The message is the peer's: its repr keeps it on one line of the log."""
    return f"{close.code} {close.message!r}" if close.message else str(close.code)


@dataclass(frozen=True, slots=True)
class ConnectionDropped:
    """The connection ended without a close frame.

    Attributes:
        original: how the transport put it.
    """

    original: BaseException | None = None
    normal: ClassVar[bool] = False

    def __str__(self) -> str:
        cause = "" if self.original is None else f" ({describe(self.original)})"
        return f"dropped without a close frame{cause}"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The client was stopped, by its parent or by ``stop``."""

    detail: str = ""
    normal: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"stopped: {self.detail}" if self.detail else "stopped"


def is_normal(reason: object) -> bool:
    """Tells whether a client that ended for this reason ended normally."""
    try:
        return getattr(reason, "normal", False) is True
    except Exception:  # a property of the user's own reason: without an answer it is abnormal
        return False


@dataclass(frozen=True, slots=True)
class Disconnect:
    """What ``handle_disconnect`` is told.

    Attributes:
        reason: why the connection ended, or could not be made.
        attempt_number: 1 for the loss of a healthy connection, and one more for each attempt
            that failed after it.
        conn: the :class:`wsx.Conn` of that connection.
    """

    reason: Any
    attempt_number: int
    conn: Conn
