"""The handler of the console: prints each message, and sends each line of its input."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from wsx._console.execution import Executor
from wsx._console.frontend import Frontend
from wsx._console.limits import (
    InvalidInput,
    Limits,
    MessagesMayBeMissing,
    TimedOut,
    TooFewMessages,
    requested_end,
)
from wsx._console.plain import Plain
from wsx._console.records import IN, OUT, Record, frame_record
from wsx._scheduler import scheduler_for
from wsx._text import describe
from wsx.conn import Conn
from wsx.errors import InvalidFrameError, NotConnectedError
from wsx.frames import Binary, Frame, Ping, Pong, Text
from wsx.handler import Answer, Close, Exit, Handler, Ok, Reconnect
from wsx.reasons import Disconnect, LocalClose, RemoteClose, is_normal

__all__ = ["Console"]

# The time without a message after which the console closes, once the input has ended.
_QUIET_SECONDS: Final = 1.0


class Console(Handler[Any], restart="temporary"):
    """Show each message, and send each line of the input as a text message.

    One instance serves all restarts of the client, because a process has only one standard input.
    The console pauses reading of its input while the write buffer is above its high-water mark and
    while there is no connection, so that no line is lost before it is sent.

    After the end of the input, the console closes the connection once no message has been received
    for one second, unless its limits tell it to wait for the server. If any connection was dropped
    or closed abnormally before, the client ends abnormally: messages may have been lost, and the
    exit status must show that.

    Args:
        frontend: The terminal or pipe. Default: standard input and output.
        limits: When the console ends on its own. Default: no limits.

    Attributes:
        last_end: Why the last connection or attempt has ended; empty before the first end.
    """

    def __init__(self, frontend: Frontend | None = None, limits: Limits | None = None) -> None:
        self.frontend: Frontend = Plain() if frontend is None else frontend
        self.received = 0
        self.sent = 0
        self._limits = Limits() if limits is None else limits
        self._executor = Executor(self)
        self._unsent: deque[Frame] = deque()
        self._sending = False
        self._line_number = 0  # Of the first unsent line, from 0.
        self._input_ended = False
        self._output_ended = False
        self._failure: Exception | None = None  # Why the input or output has ended too early.
        self._quiet_timer: IDelayedCall | None = None
        self._timeout: IDelayedCall | None = None
        self._connected = False
        self._was_lost = False  # Whether a connection has ended abnormally.
        self._requested: str | None = None  # "close" or "reconnect", by the user.
        self._retry_at: float | None = None  # The scheduler's time of the next attempt.
        self.last_end = ""

    # Around the client

    def begin(self, reactor: Any) -> None:
        """Prepare the terminal, and start the timeout. Call this before the client starts."""
        self.frontend.begin(self, reactor)
        if self._limits.timeout is not None:
            scheduler = scheduler_for(reactor)
            self._timeout = scheduler.callLater(self._limits.timeout, self._time_out)

    def end(self, wait: bool = True) -> Deferred[None]:
        """Restore the terminal. Call this after the client has ended.

        Args:
            wait: As for :meth:`Frontend.end`.
        """
        return self.frontend.end(wait)

    def _time_out(self) -> None:
        assert self._limits.timeout is not None
        self.client.sys.terminate(TimedOut(self._limits.timeout))

    # Callbacks of the client

    def handle_connect(self, conn: Conn, state: Any) -> Ok[Any] | Close[Any]:
        """Start or resume reading."""
        self._connected = True
        self._retry_at = None
        self._executor.connected()
        if self._output_ended:
            return Close(state)
        if self._is_done() and self._was_lost:  # The client was restarted after its end.
            raise Exit(MessagesMayBeMissing())
        self.frontend.connected(self, self.client.reactor)
        self._show_event("open", conn.parsed.shown)
        self._send_next()
        return Ok(state)

    def handle_frame(self, frame: Text | Binary, state: Any) -> Any:
        """Show a message. Close after the last one that is wanted.

        Messages that have arrived with the last one are delivered as well; they are not shown.
        """
        if self.received == self._limits.max_messages:
            return Ok(state)
        self.received += 1
        shown = self._show_frame(IN, frame)
        self._close_when_quiet()
        is_last = self.received == self._limits.max_messages
        answer = Close(state) if is_last else Ok(state)
        return answer if shown is None else shown.addCallback(lambda _: answer)

    def handle_ping(self, frame: Ping, state: Any) -> Any:
        """Show a ping and the pong that answers it."""
        self._show_frame(IN, frame)
        self._show_frame(OUT, Pong(frame.payload))
        return super().handle_ping(frame, state)

    def handle_pong(self, frame: Pong, state: Any) -> Ok[Any]:
        """Show a pong."""
        self._show_frame(IN, frame)
        self._executor.pong(frame.payload)
        return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: Any) -> Answer[Any]:
        """Pause reading. End the client if everything is done, otherwise follow the policy."""
        self.frontend.pause()
        was_connected, self._connected = self._connected, False
        self._show_end(status, was_connected)
        requested, self._requested = self._requested, None
        if self._output_ended or (self._failure is not None and self._is_done()):
            raise Exit(self._failure)  # Normal if the reader of the output has closed it.
        if requested == "reconnect":
            return Reconnect(state, after=0)
        if was_connected and self._limits.expect_close is not None:
            raise Exit(self._limits.check_close(status.reason))
        if requested == "close":
            raise Exit(requested_end(status.reason))
        was_lost = self._was_lost
        self._was_lost = was_lost or (was_connected and not is_normal(status.reason))
        return self._go_on(status, state, was_lost)

    def _go_on(self, status: Disconnect, state: Any, was_lost: bool) -> Answer[Any]:
        """End the client if everything is done, otherwise follow the policy."""
        wanted = self._limits.max_messages
        is_complete = wanted is not None and self.received >= wanted
        if not (self._is_done() or is_complete):
            return self._follow_policy(status, state)
        if was_lost:
            raise Exit(MessagesMayBeMissing())
        if wanted is not None and not is_complete and is_normal(status.reason):
            raise Exit(TooFewMessages(wanted, self.received))
        return Ok(state)

    def _follow_policy(self, status: Disconnect, state: Any) -> Answer[Any]:
        delay = self.client.reconnect_delay(status)
        if delay is not None:
            self._retry_at = scheduler_for(self.client.reactor).seconds() + delay
        return super().handle_disconnect(status, state)

    def terminate(self, reason: Any, state: Any) -> None:
        """Stop the timers, and report how many lines were not sent."""
        for timer in (self._quiet_timer, self._timeout):
            if timer is not None and timer.active():
                timer.cancel()
        if self._unsent:
            count = len(self._unsent)
            self.frontend.notice(f"{count} {'line was' if count == 1 else 'lines were'} not sent")

    # Requests of the user

    def request_close(self, code: int, message: str) -> None:
        """Close the connection and end, normally."""
        self._requested = "close"
        self.client.close(code, message)

    def request_reconnect(self) -> None:
        """Close the connection, or stop waiting for the next attempt, and connect at once."""
        self._requested = "reconnect"
        self.client.close()

    # Input and output

    def line(self, line: str) -> None:
        """Send a line, after the lines before it; or execute it, if a user has typed a command."""
        if self._failure is not None:
            return
        if self.frontend.interactive:
            self._executor.execute(line)
        else:
            self.send(Text(line))

    def send(self, frame: Frame) -> None:
        """Send a frame, after the frames before it, on the next connection if there is none."""
        self._unsent.append(frame)
        self._send_next()

    def end_of_input(self) -> None:
        """Close the connection once everything is sent and no more messages are received.

        A user who ends the input at a terminal wants to end at once.
        """
        self._input_ended = True
        if self.frontend.interactive:
            self.request_close(1000, "")
        else:
            self._close_when_quiet()

    def bad_input(self, problem: str) -> None:
        """Tell a user about a line that cannot be sent; in a pipe, end after the lines before it.

        Args:
            problem: What is wrong.
        """
        if self.frontend.interactive:
            self.frontend.notice(f"{problem}; not sent")
        elif self._failure is None:
            self._failure = InvalidInput(problem)
            self.frontend.pause()
            self.end_of_input()

    def end_of_output(self, error: Exception | None = None) -> None:
        """Close the connection now, because messages can no longer be printed.

        Args:
            error: Why not, or None (default) if the reader of the output has closed it.
        """
        self._output_ended = True
        self._failure = self._failure or error
        self.client.close()

    def waiting(self) -> str:
        """Return what the console waits for while it is not connected, otherwise "".

        The time left comes first, because a narrow terminal shows only the beginning.
        """
        status = self.client.status
        url = self.client.conn.parsed.shown
        left = self.retry_seconds
        if left is not None:
            return f"reconnecting in {left:.1f} s (/reconnect: now) to {url}"
        if status in ("connecting", "disconnected"):
            return f"connecting to {url}"
        return f"closing {url}" if status == "closing" else ""

    @property
    def retry_seconds(self) -> float | None:
        """The seconds until the next attempt to connect, or None if none is due."""
        if self.client.status != "disconnected" or self._retry_at is None:
            return None
        return max(0.0, self._retry_at - scheduler_for(self.client.reactor).seconds())

    @property
    def unsent(self) -> int:
        """The number of frames that wait to be sent."""
        return len(self._unsent)

    def _send_next(self) -> None:
        """Send the first unsent frame. The next one is sent when the write buffer has space."""
        if self._sending:
            return
        if not self._unsent:
            self._resume()
            self._close_when_quiet()
            return
        self._sending = True
        sent = self.client.send_frame(self._unsent[0], timeout=None)
        sent.addCallbacks(self._sent, self._not_sent)
        if self._sending:
            self.frontend.pause()

    def _sent(self, _: None) -> None:
        self.sent += 1
        self._show_frame(OUT, self._unsent[0])
        self._next_line()
        self._send_next()

    def _not_sent(self, failure: Any) -> None:
        """Keep the line for the next connection, unless it was passed to the lost connection."""
        if failure.check(NotConnectedError, InvalidFrameError) is None:
            number = self._line_number + 1
            self.frontend.notice(f"line {number} may not have reached the server")
            self._next_line()  # The server may have received the line, so do not send it again.
        self._sending = False
        self.frontend.pause()

    def _next_line(self) -> None:
        self._unsent.popleft()
        self._line_number += 1
        self._sending = False

    def _resume(self) -> None:
        if self._connected and not self._input_ended:
            self.frontend.resume()

    # Records

    def _show_frame(self, direction: str, frame: Frame) -> Deferred[None] | None:
        return self.frontend.show(frame_record(self._now(), direction, frame))

    def _show_event(self, kind: str, text: str) -> None:
        self.frontend.show(Record(self._now(), None, kind, text))

    def _show_end(self, status: Disconnect, was_connected: bool) -> None:
        """Show how a connection has ended, or why an attempt has failed."""
        reason = status.reason
        # A server may repeat secrets of the request.
        self.last_end = status.conn.redactor().text(describe(reason))
        if was_connected and isinstance(reason, (LocalClose, RemoteClose)):
            direction = OUT if isinstance(reason, LocalClose) else IN
            self.frontend.show(Record(self._now(), direction, "close", reason.message, reason.code))
        else:
            self._show_event("lost" if was_connected else "failed", self.last_end)

    def _now(self) -> float:
        return float(self.client.reactor.seconds())

    # The end

    def _is_done(self) -> bool:
        return self._input_ended and not self._unsent

    def _close_when_quiet(self) -> None:
        """Start or restart the timer that closes the connection, if everything is sent."""
        waits = self._limits.wait_for_server and self._failure is None
        if waits or not self._is_done():
            return
        if self._quiet_timer is not None and self._quiet_timer.active():
            self._quiet_timer.reset(_QUIET_SECONDS)
        else:
            close = self.client.close
            scheduler = scheduler_for(self.client.reactor)
            self._quiet_timer = scheduler.callLater(_QUIET_SECONDS, close)
