"""Values for the reasons why a connection or a client ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from wsx._error_texts import is_clean_close, tcp_detail
from wsx._text import line, quote, shorten
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

_MESSAGE_LIMIT = 125  # characters, enough for every close message that RFC 6455 allows
_DETAIL_LIMIT = 300  # characters


@dataclass(frozen=True, slots=True, repr=False)
class LocalClose:
    """The client closed the connection.

    Attributes:
        code: The close code that was sent. Default 1000.
        message: The close message that was sent. Default empty.
    """

    code: int = NORMAL_CLOSURE
    message: str = ""

    @property
    def normal(self) -> bool:
        """Whether the code is 1000."""
        return self.code == NORMAL_CLOSURE

    def __str__(self) -> str:
        return _with_message(f"closed by this client: {self.code}", self.message)

    def __repr__(self) -> str:
        return f"LocalClose({_show_close(self)})"


@dataclass(frozen=True, slots=True, repr=False)
class RemoteClose:
    """The server sent a close frame.

    Attributes:
        code: The close code that was received; 1005 (default) if the frame had none (RFC 6455
            section 7.1.5).
        message: The close message that was received. Default empty.
    """

    code: int = NO_STATUS_RECEIVED
    message: str = ""

    @property
    def normal(self) -> bool:
        """Whether the code is 1000, or 1005 for a close frame without a code."""
        return self.code in (NORMAL_CLOSURE, NO_STATUS_RECEIVED)

    def __str__(self) -> str:
        shown = " (no close code)" if self.code == NO_STATUS_RECEIVED else ""
        return _with_message(f"closed by server: {self.code}{shown}", self.message)

    def __repr__(self) -> str:
        return f"RemoteClose({_show_close(self)})"


def _show_close(close: LocalClose | RemoteClose) -> str:
    message = shorten(close.message, _MESSAGE_LIMIT + len("''"))
    return f"code={close.code!r}, message={message}"


def _with_message(text: str, message: str) -> str:
    return f"{text} {quote(message, _MESSAGE_LIMIT)}" if message else text


@dataclass(frozen=True, slots=True, repr=False)
class ConnectionDropped:
    """The TCP connection ended without a close frame.

    Attributes:
        original: The exception that the transport reported, or None (default) if there is none.
    """

    original: BaseException | None = None
    normal: ClassVar[bool] = False

    def __str__(self) -> str:
        if is_clean_close(self.original):
            return "server closed the TCP connection without a close frame"
        lost = "TCP connection broken without a close frame"
        detail = None if self.original is None else tcp_detail(self.original)
        return lost if detail is None else f"{lost}: {detail}"

    def __repr__(self) -> str:
        return f"ConnectionDropped(original={shorten(self.original, _DETAIL_LIMIT)})"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The client was stopped by its parent or by ``stop``.

    Attributes:
        detail: The detail that was given to ``stop``. Default empty.
    """

    detail: str = ""
    normal: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"stopped: {line(str(self.detail), _DETAIL_LIMIT)}" if self.detail else "stopped"


def is_normal(reason: object) -> bool:
    """Return whether a client that ended for this reason ended normally.

    Args:
        reason: The reason: a value of this module or any other object.

    Returns:
        True if the reason has an attribute ``normal`` that is True.
    """
    try:
        return getattr(reason, "normal", False) is True
    except Exception:  # A property of the user's own class failed: the reason is abnormal.
        return False


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The argument of ``handle_disconnect``.

    Attributes:
        reason: Why the connection ended, or why it could not be made: a value of this module or an
            exception.
        attempt_number: 1 for the loss of a healthy connection, incremented with each attempt that
            fails after it.
        conn: The :class:`wsx.Conn` of the connection.
    """

    reason: Any
    attempt_number: int
    conn: Conn
