"""When the console ends on its own, and with which reason: the exit status depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from wsx._console.close_codes import name_of
from wsx._text import describe
from wsx.errors import WsxError
from wsx.reasons import ConnectionDropped, LocalClose, RemoteClose, is_normal

__all__ = [
    "ExpectedClose",
    "InvalidInput",
    "Limits",
    "MessagesMayBeMissing",
    "OutputFailed",
    "RequestedClose",
    "TimedOut",
    "TooFewMessages",
    "UnexpectedClose",
    "requested_end",
]

_NO_CLOSE_FRAME: Final = 1006  # RFC 6455 section 7.1.5: never in a close frame


class MessagesMayBeMissing(WsxError):
    """A connection was lost before the end of the input, so messages may be missing.

    The loss itself has been logged. The rest of the input was sent on another connection.
    """

    def __str__(self) -> str:
        return "a connection was lost before the end of the input; messages may be missing"


class InvalidInput(WsxError):
    """The input contains a line that cannot be sent; it and the rest of the input were not sent.

    Attributes:
        problem: What is wrong.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.problem}; this line and the lines after it were not sent"


class OutputFailed(WsxError):
    """Standard output, which is not a pipe or a terminal, could not be written."""

    def __str__(self) -> str:
        return "standard output cannot be written; messages are missing there"


class TimedOut(WsxError):
    """The run has not ended within the seconds of ``--timeout``.

    Attributes:
        seconds: The limit.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"not finished within {self.seconds:g} s (--timeout)"


class TooFewMessages(WsxError):
    """The connection ended before the number of messages of ``--max-messages``.

    Attributes:
        wanted: The number of messages that were to be received.
        received: The number of messages that were received.
    """

    def __init__(self, wanted: int, received: int) -> None:
        super().__init__(wanted, received)
        self.wanted = wanted
        self.received = received

    def __str__(self) -> str:
        plural = "" if self.wanted == 1 else "s"
        return f"expected {self.wanted} message{plural}, received {self.received}"


class UnexpectedClose(WsxError):
    """The connection did not end with the close code of ``--expect-close``.

    Attributes:
        code: The close code that was expected.
        reason: Why the connection ended.
    """

    def __init__(self, code: int, reason: object) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"expected close code {self.code} ({name_of(self.code)}), got: {describe(self.reason)}"
        )


@dataclass(frozen=True, slots=True)
class ExpectedClose:
    """The connection ended with the close code of ``--expect-close``: a normal end.

    Attributes:
        code: The close code.
    """

    code: int
    normal: bool = True

    def __str__(self) -> str:
        return f"closed by server with {self.code} ({name_of(self.code)}), as expected"


@dataclass(frozen=True, slots=True)
class RequestedClose:
    """The user has closed the connection: a normal end with any close code.

    Attributes:
        close: The close code and message.
    """

    close: LocalClose
    normal: bool = True

    def __str__(self) -> str:
        return describe(self.close)


@dataclass(frozen=True, slots=True)
class Limits:
    """When the console ends on its own.

    Attributes:
        max_messages: The number of messages after which the console closes the connection, or None
            (default) for no limit.
        expect_close: The close code with which the server must end the connection, or None
            (default). 1006 stands for an end without a close frame.
        timeout: The time in seconds after which the console ends with an error, or None (default).
    """

    max_messages: int | None = None
    expect_close: int | None = None
    timeout: float | None = None

    @property
    def wait_for_server(self) -> bool:
        """Whether the console waits for the server after the end of its input."""
        return self.max_messages is not None or self.expect_close is not None

    def check_close(self, reason: object) -> Any:
        """Return the reason with which the client ends after its connection has ended.

        Args:
            reason: Why the connection ended.

        Returns:
            An :class:`ExpectedClose` or an :class:`UnexpectedClose`; None without ``expect_close``.
        """
        if self.expect_close is None:
            return None
        if self.expect_close == _received_code(reason):
            return ExpectedClose(self.expect_close)
        return UnexpectedClose(self.expect_close, reason)


def requested_end(reason: object) -> object:
    """Return the normal reason with which the client ends after the user has closed it.

    Args:
        reason: Why the connection or the attempt has ended.

    Returns:
        None for ``LocalClose(1000, "")``, if the connection has ended in another way before.
    """
    if not isinstance(reason, LocalClose):
        return None
    return reason if is_normal(reason) else RequestedClose(reason)


def _received_code(reason: object) -> int | None:
    if isinstance(reason, RemoteClose):
        return reason.code
    return _NO_CLOSE_FRAME if isinstance(reason, ConnectionDropped) else None
