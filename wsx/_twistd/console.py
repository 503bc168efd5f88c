"""The console of ``twistd wsx``: prints each message, and sends each line of standard input."""

from __future__ import annotations

import sys
from collections import deque
from typing import IO, Any, Final

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from wsx._scheduler import scheduler_for
from wsx._text import escape
from wsx.conn import Conn
from wsx.errors import InvalidFrameError, NotConnectedError, WsxError
from wsx.frames import Binary, Text
from wsx.handler import Answer, Close, Exit, Handler, Ok
from wsx.reasons import Disconnect, is_normal

__all__ = ["Console", "Lines", "MessagesMayBeMissing", "log_to_stderr", "render"]

# The time without a message after which the console closes, once the input has ended.
_QUIET_SECONDS: Final = 1.0
_SHOWN_BYTES: Final = 64  # bytes of a binary message


def log_to_stderr() -> ILogObserver:
    """Return a log observer for standard error, because standard output is for messages."""
    return textFileLogObserver(sys.__stderr__)  # type: ignore[arg-type]


@implementer(IHalfCloseableProtocol)
class Lines(LineReceiver):
    """The protocol of standard input and output.

    Args:
        console: The console that receives the lines.
    """

    delimiter = b"\n"
    MAX_LENGTH = 16 * 1024 * 1024

    def __init__(self, console: Console) -> None:
        self._console = console

    def lineReceived(self, line: bytes) -> None:
        """Pass a line to the console."""
        self._console.line(line.removesuffix(b"\r").decode("utf-8", "replace"))

    def readConnectionLost(self) -> None:
        """Pass the text after the last newline to the console, then the end of the input."""
        rest = self.clearLineBuffer()
        if rest:
            self.lineReceived(rest)
        self._console.end_of_input()

    def writeConnectionLost(self) -> None:
        """Pass the end of the output to the console: the reader of the output has closed it."""
        self._console.end_of_output()

    def connectionLost(self, reason: Any = None) -> None:
        """Pass the end of the output to the console."""
        self._console.end_of_output()


class MessagesMayBeMissing(WsxError):
    """A connection was lost before the end of the input, so messages may be missing.

    The loss itself has been logged. The rest of the input was sent on another connection.
    """

    def __str__(self) -> str:
        return "a connection was lost before the end of the input; messages may be missing"


class Console(Handler[Any], restart="temporary"):
    """Print each message, and send each line of standard input as a text message.

    One instance serves all restarts of the client, because a process has only one standard input.
    The console pauses reading of standard input while the write buffer is above its high-water mark
    and while there is no connection, so that no line is lost before it is sent.

    After the end of the input, the console closes the connection once no message has been received
    for one second. If any connection was dropped or closed abnormally before, the client ends
    abnormally: messages may have been lost, and the exit status must show that.
    """

    def __init__(self) -> None:
        self._lines: Lines | None = None
        self._unsent: deque[str] = deque()
        self._sending = False
        self._line_number = 0  # Of the first unsent line, from 0.
        self._input_ended = False
        self._output_ended = False
        self._quiet_timer: IDelayedCall | None = None
        self._connected = False
        self._was_lost = False  # Whether a connection has ended abnormally.

    # Callbacks of the client

    def handle_connect(self, conn: Conn, state: Any) -> Ok[Any] | Close[Any]:
        """Start or resume reading."""
        self._connected = True
        if self._output_ended:
            return Close(state)
        if self._is_done() and self._was_lost:  # The client was restarted after its end.
            raise Exit(MessagesMayBeMissing())
        if self._lines is None:
            _explain_keys()
            self._lines = Lines(self)
            StandardIO(self._lines, reactor=self.client.reactor)
        self._send_next()
        return Ok(state)

    def handle_frame(self, frame: Text | Binary, state: Any) -> Ok[Any]:
        """Print a message."""
        assert self._lines is not None and self._lines.transport is not None
        self._lines.transport.write(render(frame, sys.__stdout__).encode("utf-8", "replace"))
        self._close_when_quiet()
        return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: Any) -> Answer[Any]:
        """Pause reading. End the client if everything is sent, otherwise follow the policy."""
        self._pause()
        was_lost, self._was_lost = self._was_lost, self._was_lost or self._is_loss(status)
        self._connected = False
        if self._output_ended:
            raise Exit  # A normal end, because the reader of the output has closed it.
        if not self._is_done():
            return super().handle_disconnect(status, state)
        if was_lost:
            raise Exit(MessagesMayBeMissing())
        return Ok(state)

    def _is_loss(self, status: Disconnect) -> bool:
        return self._connected and not is_normal(status.reason)

    def terminate(self, reason: Any, state: Any) -> None:
        """Report how many lines were not sent."""
        if self._quiet_timer is not None and self._quiet_timer.active():
            self._quiet_timer.cancel()
        if self._unsent:
            count = len(self._unsent)
            _tell(f"{count} {'line was' if count == 1 else 'lines were'} not sent")

    # Standard input and output

    def line(self, line: str) -> None:
        """Send a line, after the lines before it."""
        self._unsent.append(line)
        self._send_next()

    def end_of_input(self) -> None:
        """Close the connection once everything is sent and no more messages are received."""
        self._input_ended = True
        self._close_when_quiet()

    def end_of_output(self) -> None:
        """Close the connection now, because messages can no longer be printed."""
        self._output_ended = True
        self.client.close()

    def _send_next(self) -> None:
        """Send the first unsent line. The next line is sent when the write buffer has space."""
        if self._sending:
            return
        if not self._unsent:
            self._resume()
            self._close_when_quiet()
            return
        self._sending = True
        sent = self.client.send_frame(Text(self._unsent[0]), timeout=None)
        sent.addCallbacks(self._sent, self._not_sent)
        if self._sending:
            self._pause()

    def _sent(self, _: None) -> None:
        self._next_line()
        self._send_next()

    def _not_sent(self, failure: Any) -> None:
        """Keep the line for the next connection, unless it was passed to the lost connection."""
        if failure.check(NotConnectedError, InvalidFrameError) is None:
            _tell(f"line {self._line_number + 1} may not have reached the server")
            self._next_line()  # The server may have received the line, so do not send it again.
        self._sending = False
        self._pause()

    def _next_line(self) -> None:
        self._unsent.popleft()
        self._line_number += 1
        self._sending = False

    def _pause(self) -> None:
        if self._lines is not None and self._lines.transport is not None and not self._input_ended:
            self._lines.transport.pauseProducing()  # type: ignore[attr-defined]

    def _resume(self) -> None:
        if self._lines is not None and self._lines.transport is not None and not self._input_ended:
            self._lines.transport.resumeProducing()  # type: ignore[attr-defined]

    # The end

    def _is_done(self) -> bool:
        return self._input_ended and not self._unsent

    def _close_when_quiet(self) -> None:
        """Start or restart the timer that closes the connection, if everything is sent."""
        if not self._is_done():
            return
        if self._quiet_timer is not None and self._quiet_timer.active():
            self._quiet_timer.reset(_QUIET_SECONDS)
        else:
            close = self.client.close
            scheduler = scheduler_for(self.client.reactor)
            self._quiet_timer = scheduler.callLater(_QUIET_SECONDS, close)


def _explain_keys() -> None:
    """Print which keys to press, if standard input is a terminal."""
    if sys.__stdin__ is not None and sys.__stdin__.isatty():
        _tell("type a line and press Enter to send it; press Ctrl-D to close the connection")


def _tell(message: str) -> None:
    """Print a line for the user on standard error."""
    print(f"twistd wsx: {message}", file=sys.__stderr__)


def render(frame: Text | Binary, output: IO[str] | None) -> str:
    """Return the text that is printed for a message.

    Args:
        frame: The message.
        output: The file to which the text will be printed, or None. If the file is a terminal,
            characters that are not printable are escaped.
    """
    if isinstance(frame, Binary):
        return _render_binary(frame.payload)
    if output is not None and output.isatty():
        return "".join(_escaped(character) for character in frame.payload) + "\n"
    return frame.payload + "\n"


def _render_binary(payload: bytes) -> str:
    shown = payload[:_SHOWN_BYTES].hex(" ")
    more = " ..." if len(payload) > _SHOWN_BYTES else ""
    return f"binary message, {len(payload)} bytes: {shown}{more}\n"


def _escaped(character: str) -> str:
    """Return a character, escaped if it is neither printable nor tab or newline.

    A malicious server could otherwise send escape sequences to the terminal, or reorder its text.
    """
    return character if character in "\t\n" else escape(character)
