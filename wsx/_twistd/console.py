"""The console of ``twistd wsx`` without a handler: what comes is printed, what is read is sent."""

from __future__ import annotations

import sys
import unicodedata
from collections import deque
from typing import IO, Any, Final

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from wsx._text import describe
from wsx.conn import Conn
from wsx.errors import InvalidFrameError, NotConnectedError
from wsx.frames import Binary, Text
from wsx.handler import Answer, Close, Handler, Ok
from wsx.reasons import Disconnect

__all__ = ["Console", "log_to_stderr"]

_QUIET: Final = 1.0  # seconds without a message after which a finished input is answered


def log_to_stderr() -> ILogObserver:
    """Gives the log observer of a console: standard output is for what is received."""
    return textFileLogObserver(sys.__stderr__)  # type: ignore[arg-type]


@implementer(IHalfCloseableProtocol)
class Lines(LineReceiver):
    """Standard input and output: reads lines for the console, and writes for it."""

    delimiter = b"\n"
    MAX_LENGTH = 16 * 1024 * 1024

    def __init__(self, console: Console) -> None:
        self._console = console

    def lineReceived(self, line: bytes) -> None:
        """Takes a line."""
        self._console.line(line.removesuffix(b"\r").decode("utf-8", "replace"))

    def readConnectionLost(self) -> None:
        """The input is at its end; what follows its last newline is a line too."""
        rest = self.clearLineBuffer()
        if rest:
            self.lineReceived(rest)
        self._console.end_of_input()

    def writeConnectionLost(self) -> None:
        """Nobody reads our output any more."""
        self._console.end_of_output()

    def connectionLost(self, reason: Any = None) -> None:
        """Both are at their end."""
        self._console.end_of_output()


class Console(Handler[Any]):
    """Prints each message, and sends each line.

    One instance serves every restart of the client, as there is one standard input. It is read no
    faster than the server takes it, and not at all while there is no connection, so that no line is
    lost before it was sent.
    """

    def __init__(self) -> None:
        self._lines: Lines | None = None
        self._unsent: deque[str] = deque()
        self._sending = False
        self._ended = False  # the input has
        self._output_ended = False
        self._quiet_timer: IDelayedCall | None = None

    def handle_connect(self, conn: Conn, state: Any) -> Ok[Any] | Close[Any]:
        """Begins to read, or goes on."""
        if self._output_ended:
            return Close(state)
        if self._lines is None:
            self._lines = Lines(self)
            StandardIO(self._lines, reactor=self.client.reactor)
        self._send_next()
        return Ok(state)

    def handle_frame(self, frame: Text | Binary, state: Any) -> Ok[Any]:
        """Prints the message."""
        assert self._lines is not None and self._lines.transport is not None
        self._lines.transport.write(render(frame, sys.__stdout__).encode("utf-8", "replace"))
        self._wait_for_quiet()
        return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: Any) -> Answer[Any]:
        """Reads no more for now, and follows the policy."""
        self._pause()
        return super().handle_disconnect(status, state)

    def terminate(self, reason: Any, state: Any) -> None:
        """Says which lines were never sent."""
        if self._unsent:
            print(f"twistd wsx: {len(self._unsent)} lines were not sent", file=sys.__stderr__)

    def line(self, line: str) -> None:
        """Takes a line of the input."""
        self._unsent.append(line)
        self._send_next()

    def end_of_input(self) -> None:
        """There will be no more lines."""
        self._ended = True
        self._wait_for_quiet()

    def end_of_output(self) -> None:
        """Nobody listens: there is nothing more to do."""
        self._output_ended = True
        self.client.close()

    def _send_next(self) -> None:
        """Sends line after line, each once the one before is with the transport."""
        if self._sending:
            return
        if not self._unsent:
            self._read_on()
            self._wait_for_quiet()
            return
        self._sending = True
        sent = self.client.send_frame(Text(self._unsent[0]), timeout=None)
        sent.addCallbacks(self._sent, self._not_sent)
        if self._sending:
            self._pause()

    def _sent(self, _: None) -> None:
        self._unsent.popleft()
        self._sending = False
        self._send_next()

    def _not_sent(self, failure: Any) -> None:
        """Keeps the line for the next connection."""
        self._sending = False
        if failure.check(NotConnectedError, InvalidFrameError) is None:
            self._unsent.popleft()  # it is with a transport that broke; sending twice is no better
            print(f"twistd wsx: a line may be lost: {describe(failure.value)}", file=sys.__stderr__)
        self._pause()

    def _pause(self) -> None:
        if self._lines is not None and self._lines.transport is not None and not self._ended:
            self._lines.transport.pauseProducing()  # type: ignore[attr-defined]

    def _read_on(self) -> None:
        if self._lines is not None and self._lines.transport is not None and not self._ended:
            self._lines.transport.resumeProducing()  # type: ignore[attr-defined]

    def _wait_for_quiet(self) -> None:
        """After the end of the input, and once all is sent: closes when nothing comes any more."""
        if not self._ended or self._unsent:
            return
        if self._quiet_timer is not None and self._quiet_timer.active():
            self._quiet_timer.reset(_QUIET)
        else:
            self._quiet_timer = self.client.reactor.callLater(_QUIET, self._close)

    def _close(self) -> None:
        self.client.close()


def render(frame: Text | Binary, output: IO[str] | None) -> str:
    """Gives the line that stands for a message; a terminal gets no control characters."""
    if isinstance(frame, Binary):
        return f"binary, {len(frame.payload)} bytes: {frame.payload[:64].hex(' ')}\n"
    if output is not None and output.isatty():
        return "".join(_harmless(character) for character in frame.payload) + "\n"
    return frame.payload + "\n"


def _harmless(character: str) -> str:
    if character in "\t\n" or unicodedata.category(character) != "Cc":
        return character
    return repr(character)[1:-1]
