"""Report what a client does: log lines, trace lines and telemetry.

A fact is logged once. A line about a lost connection names the reason and what happens next, so
the client's end is logged only if its reason has not been logged already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from wsx import telemetry
from wsx._client.history import Outage
from wsx._client.tracing import Tracing
from wsx._text import describe, escape, shorten
from wsx._wire.batch import Batch
from wsx.conn import Conn
from wsx.errors import BadResponseError
from wsx.frames import Frame, Pong
from wsx.reasons import Disconnect, Shutdown, is_normal

__all__ = ["Reporter"]

_log = Logger("wsx")
_NOT_REPORTED: Final = object()


class Reporter:
    """Reports for one client.

    Args:
        client: The client, for telemetry.
        conn: Where it connects.
        reactor: For the time of traced events.

    Attributes:
        conn: Where the client connects, or is connected, at present.
        tracing: Trace lines, the event log, statistics and the log file.
    """

    __slots__ = ("_client", "_redacted", "_reported", "conn", "tracing")

    def __init__(self, client: Any, conn: Conn, reactor: IReactorTime) -> None:
        self.conn = conn
        self.tracing = Tracing(self._trace_label, reactor)
        self._client = client
        self._redacted: tuple[Conn | None, Conn] = (None, conn)
        self._reported: object = _NOT_REPORTED  # the reason that the last line named

    @property
    def label(self) -> str:
        """What log lines call the client: its name, or its handler's class."""
        name = self._client.name
        if name is None:
            return type(self._client.handler).__qualname__
        return escape(name) if isinstance(name, str) else shorten(name)

    def _trace_label(self) -> str:
        name = self._client.name
        return repr(self._client) if name is None else shorten(name)

    # Frames

    def received(self, batch: Batch) -> None:
        """Report the frames of a batch."""
        if self.tracing.active:
            self.tracing.received(batch)
        if telemetry.observers:
            for frame in batch.frames:
                self._notify(telemetry.FRAME_RECEIVED, frame=frame)

    def pong_received(self, pong: Pong) -> None:
        """Notify observers of the answer to a keepalive ping."""
        if telemetry.observers:
            self._notify(telemetry.FRAME_RECEIVED, frame=pong)

    def sent(self, frame: Frame, traced: bool = True) -> None:
        """Report a frame that was passed to the transport."""
        if traced and self.tracing.active:
            self.tracing.event("sending frame: {!r}", frame)
        if telemetry.observers:
            self._notify(telemetry.FRAME_SENT, frame=frame)

    def replied(self, callback: str, frames: Sequence[Any]) -> None:
        """Report the replies of a callback."""
        if self.tracing.active:
            for frame in frames:
                self.tracing.event("replying from {} with {!r}", callback, frame)
        if telemetry.observers:
            for frame in frames:
                self._notify(telemetry.FRAME_SENT, frame=frame)

    def reply_dropped(self, callback: str) -> None:
        """Report that the connection was not open any more."""
        _log.debug(
            "{label}: reply of {callback} dropped: the connection is not open",
            label=self.label,
            callback=callback,
        )

    def message_queued(self, callback: str, message: Any) -> None:
        """Report a cast or an info."""
        if self.tracing.active:
            self.tracing.event(f"received {callback.removeprefix('handle_')}: {{!r}}", message)

    # Connections

    def connecting(self, again: bool) -> None:
        """Report that an attempt begins."""
        self.trace("attempting to reconnect" if again else "attempting to connect")
        self._notify(telemetry.CONNECTING)

    def connected(self, conn: Conn, again: bool, outage: Outage | None, now: float) -> None:
        """Report that a connection is open, and the outage that it ended.

        Args:
            conn: The connection's Conn, with the server's answer.
            again: Whether there was a connection before.
            outage: What the connection ended, or None.
            now: Seconds of the reactor.
        """
        self.conn = conn
        self._reported = _NOT_REPORTED
        self.trace("successfully reconnected" if again else "successfully connected")
        url = conn.parsed.redacted
        if conn.parsed.secure and conn.insecure:
            self._warn("the certificate of {url} is not verified (insecure=True)", url=url)
        if outage is None:
            self._info("connected to {url}", url=url)
            return
        self._info(
            "{what} to {url} after {seconds:.1f} s{failed} ({lost}: {reason})",
            what="reconnected" if again else "connected",
            url=url,
            seconds=now - outage.since,
            failed=_count_failed(outage.failed_attempts),
            lost="connection lost" if again else "first failure",
            reason=_describe(outage.reason),
        )

    def telemetry_connected(self) -> None:
        """Notify observers of the open connection, after its ``handle_connect`` is queued."""
        self._notify(telemetry.CONNECTED)

    def disconnected(self, reason: object) -> None:
        """Notify observers of a lost connection or a failed attempt."""
        self._notify(telemetry.DISCONNECTED, reason=reason)

    def lost(self, status: Disconnect, was_open: bool, delay: float | None) -> None:
        """Log a lost connection or a failed attempt, and what happens next.

        Args:
            status: What ``handle_disconnect`` received.
            was_open: Whether there was a connection.
            delay: Seconds until the next attempt; None if there is none.
        """
        self._reported = status.reason
        url = status.conn.parsed.redacted
        what = f"connection to {url} lost" if was_open else f"connecting to {url} failed"
        after = "not reconnecting"
        if delay is not None:
            after = f"reconnecting in {delay:.1f} s (attempt {status.attempt_number})"
        emit = self._info if delay is not None or is_normal(status.reason) else self._warn
        emit("{what} ({reason}); {after}", what=what, reason=_describe(status.reason), after=after)

    def ended(self, reason: object) -> None:
        """Report the end of the client."""
        self._notify(telemetry.TERMINATE, reason=reason)
        if reason is not self._reported:
            level = LogLevel.info if is_normal(reason) else LogLevel.warn
            _log.emit(level, "{label}: {reason}", label=self.label, reason=_describe_end(reason))

    # Callbacks

    def callback_failed(
        self, failure: Failure, handler: object, callback: str, argument: object
    ) -> None:
        """Log an exception or an invalid result of a callback, with what it was called with.

        Args:
            failure: The exception.
            handler: The handler.
            callback: The name of the callback.
            argument: Its first argument; only its kind and size are logged.
        """
        self._reported = failure.value
        called_with = describe_argument(callback, argument)
        if isinstance(failure.value, BadResponseError):  # the traceback would be wsx's own
            shown = describe(failure.value)
            self._error("{error} ({argument})", error=shown, argument=called_with)
            return
        _log.failure(
            "{label}: {handler}.{callback} raised {error} ({argument})",
            failure,
            label=self.label,
            handler=type(handler).__qualname__,
            callback=callback,
            error=failure.type.__name__ if failure.type else "an exception",
            argument=called_with,
        )

    def reply_invalid(self, handler: object, callback: str, error: Exception) -> None:
        """Log a reply or a close that cannot be encoded."""
        where = f"{type(handler).__qualname__}.{callback}"
        self._error("{where}: {error}", where=where, error=describe(error))

    def callback_finished(self, callback: str, seconds: float) -> None:
        """Notify observers of a callback's duration."""
        self._notify(telemetry.CALLBACK, {"duration": seconds}, callback=callback)

    # Other lines

    def terminate_timed_out(self, seconds: float) -> None:
        """Log that ``terminate`` was cancelled, after how many seconds."""
        self._warn("terminate was cancelled after {seconds:g} s", seconds=seconds)

    def not_delivered(self, count: int) -> None:
        """Log casts and infos that the client's end has dropped."""
        self._warn("ended with {n} undelivered casts and infos", n=count)

    def delayed_message_dropped(self, error: Exception) -> None:
        """Log an info of ``send_after`` that the mailbox did not take."""
        self._error("send_after: {error}", error=describe(error))

    def log_file_failed(self, path: object, error: OSError) -> None:
        """Log that the file of the ``log_to_file`` debug option cannot be opened."""
        self._error(
            "log_to_file: cannot open {path}: {error}", path=shorten(path), error=describe(error)
        )

    def name_not_released(self) -> None:
        """Log that the user's registry raised."""
        _log.failure("{label}: its registry did not release the name", label=self.label)

    def trace(self, event: str, *details: object) -> None:
        """Trace an event: a format string and its details."""
        if self.tracing.active:
            self.tracing.event(event, *details)

    def _info(self, text: str, **values: Any) -> None:
        _log.info("{label}: " + text, label=self.label, **values)

    def _warn(self, text: str, **values: Any) -> None:
        _log.warn("{label}: " + text, label=self.label, **values)

    def _error(self, text: str, **values: Any) -> None:
        _log.error("{label}: " + text, label=self.label, **values)

    # Telemetry

    def _notify(
        self, event: str, measurements: dict[str, Any] | None = None, **metadata: Any
    ) -> None:
        """Notify telemetry observers of an event if there are any."""
        if event in telemetry.observers:
            metadata |= {
                "client": self._client,
                "name": self._client.name,
                "handler": type(self._client.handler),
                "conn": self._redacted_conn(),
            }
            telemetry.execute(event, metadata, **(measurements or {}))

    def _redacted_conn(self) -> Conn:
        """Return the present Conn without secrets; cached, because making it is slow."""
        if self._redacted[0] is not self.conn:
            self._redacted = (self.conn, self.conn.redacted())
        return self._redacted[1]


def _describe(reason: object) -> str:
    """Return one line about a reason, for lines that say themselves that connecting failed."""
    return describe(reason, detailed=True).removeprefix("connection failed: ")


def _describe_end(reason: object) -> str:
    text = describe(reason, detailed=True)
    return text if isinstance(reason, Shutdown) else f"ended: {text}"


def _count_failed(attempts: int) -> str:
    if not attempts:
        return ""
    return f" and {_count(attempts, 'failed attempt')}"


_ARGUMENT_NAMES: Final = {
    "handle_connect": "conn",
    "handle_disconnect": "status",
    "terminate": "reason",
}


def describe_argument(callback: str, argument: object) -> str:
    """Return a callback's argument by kind and size: ``message: Text, 812 characters``."""
    name = _ARGUMENT_NAMES.get(callback, "message")
    if isinstance(argument, Disconnect):
        return f"{name}: {_describe(argument.reason)}"
    value = argument.payload if isinstance(argument, Frame) else argument
    kind = f"{name}: {type(argument).__qualname__}"
    if isinstance(value, str):
        return f"{kind}, {_count(len(value), 'character')}"
    if isinstance(value, (bytes, bytearray)):
        return f"{kind}, {_count(len(value), 'byte')}"
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return f"{kind}, {_count(len(value), 'item')}"
    return kind


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
