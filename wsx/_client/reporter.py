"""Log lines, trace lines and telemetry events of one client.

The same fact is logged once. A line about a lost connection names the reason and what happens next,
so the end of the client is logged only if its reason has not been logged already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from wsx import telemetry
from wsx._client.history import Outage
from wsx._client.tracing import Tracing
from wsx._failures import log_failure
from wsx._scheduler import Scheduler
from wsx._text import describe, escape, shorten, truncate
from wsx._wire.batch import Batch
from wsx.conn import Conn
from wsx.errors import (
    PROVIDERS,
    BadResponseError,
    CallbackTimeout,
    NameLost,
    ProviderError,
)
from wsx.frames import Frame, Pong
from wsx.limiter import ConnectLimiter
from wsx.reasons import Disconnect, LocalClose, Shutdown, is_normal

__all__ = ["Reporter"]

_log = Logger("wsx")
_NOT_REPORTED: Final = object()
_SLOW_CALLBACK_PERIOD: Final = 60.0  # seconds between two log lines about the same callback
_LONG_WAIT: Final = 1.0  # seconds; a shorter wait for the connection limit is not logged


class Reporter:
    """Report the events of one client.

    Args:
        client: The client, for telemetry.
        conn: The Conn of the client's first attempt.
        reactor: The reactor, for the times of traced events.
        scheduler: The scheduler, for the time between two log lines about a slow callback.

    Attributes:
        conn: The Conn of the current attempt or connection.
        tracing: Trace lines, the event log, statistics and the log file.
    """

    __slots__ = (
        "_blocked_at",
        "_client",
        "_redacted",
        "_reported",
        "_scheduler",
        "conn",
        "tracing",
    )

    def __init__(
        self, client: Any, conn: Conn, reactor: IReactorTime, scheduler: Scheduler
    ) -> None:
        self.conn = conn
        self.tracing = Tracing(self._trace_label, reactor)
        self._client = client
        self._scheduler = scheduler
        self._blocked_at: dict[str, float] = {}  # When a slow callback was logged, by name.
        self._redacted: tuple[Conn | None, Conn] = (None, conn)
        self._reported: object = _NOT_REPORTED  # The reason that was logged last.

    @property
    def label(self) -> str:
        """The label of the client in log lines: its name, or the class of its handler."""
        name = self._client.name
        if name is None:
            return type(self._client.handler).__qualname__
        return truncate(escape(name)) if isinstance(name, str) else shorten(name)

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
        """Notify observers of a pong that answers a keepalive ping."""
        if telemetry.observers:
            self._notify(telemetry.FRAME_RECEIVED, frame=pong)

    def sent(self, frame: Frame, traced: bool = True) -> None:
        """Report a frame that was passed to the transport.

        Args:
            frame: The frame.
            traced: Whether to trace the frame as well. Default True.
        """
        if traced and self.tracing.active:
            self.tracing.event("sending frame: {!r}", frame)
        if telemetry.observers:
            self._notify(telemetry.FRAME_SENT, frame=frame)

    def fragment_sent(self, frame: Frame) -> None:
        """Report a part of a message that is sent in fragments."""
        if self.tracing.active:
            self.tracing.event("sending fragment: {!r}", frame)
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
        """Log that replies were dropped, because the connection is no longer open."""
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

    def waiting(self, host: str, limiter: ConnectLimiter, seconds: float) -> None:
        """Report that an attempt waits for the connection limit. A short wait is only traced.

        Args:
            host: The host of the URL.
            limiter: The limit.
            seconds: The expected wait in seconds.
        """
        text = (
            f"waiting {seconds:.1f} s for the connection limit of {host} "
            f"({limiter.per_host} in {limiter.per_seconds:g} s)"
        )
        self.trace("{}", text)
        if seconds > _LONG_WAIT:
            self._info("{waiting}", waiting=text)

    def connecting(self, again: bool, waited: float | None = None) -> None:
        """Report the start of an attempt.

        Args:
            again: Whether the attempt is not the client's first one.
            waited: How long the attempt has waited for the connection limit, in seconds, or None
                (default) if it has not.
        """
        self.trace("attempting to reconnect" if again else "attempting to connect")
        self._notify(telemetry.CONNECTING, None if waited is None else {"waited": waited})

    def connected(self, conn: Conn, again: bool, outage: Outage | None, now: float) -> None:
        """Report that a connection is open, and the outage that it ended.

        Args:
            conn: The Conn with the server's response.
            again: Whether the client had a connection before.
            outage: The outage that the connection ended, or None.
            now: The time on the scheduler's clock, in seconds.
        """
        self.conn = conn
        self._reported = _NOT_REPORTED
        self.trace("successfully reconnected" if again else "successfully connected")
        url = conn.parsed.shown
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
            reason=_describe(outage.reason, conn),
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
            status: The argument of ``handle_disconnect``.
            was_open: Whether the connection was open; False for a failed attempt.
            delay: The delay in seconds before the next attempt, or None if there is none.
        """
        self._reported = status.reason
        after = "not reconnecting"
        if delay is not None:
            after = f"reconnecting in {delay:.1f} s (attempt {status.attempt_number})"
            if isinstance(status.reason, NameLost):
                after = "waiting for the name"
        emit = self._info if delay is not None or is_normal(status.reason) else self._warn
        reason = _describe(status.reason, status.conn)
        emit(
            "{what} ({reason}); {after}", what=_failed(status, was_open), reason=reason, after=after
        )

    def not_retried(self) -> None:
        """Report that an attempt is not made, because the server has refused the same request."""
        self._info("not connecting: same URL and headers as those that the server refused with 401")

    def ended(self, reason: object) -> None:
        """Report the end of the client."""
        self._notify(telemetry.TERMINATE, reason=reason)
        if reason is not self._reported:
            level = LogLevel.info if is_normal(reason) else LogLevel.warn
            shown = self.conn.redactor().text(_describe_end(reason))
            _log.emit(level, "{label}: {reason}", label=self.label, reason=shown)

    # Callbacks

    def callback_failed(
        self, failure: Failure, handler: object, callback: str, argument: object
    ) -> None:
        """Log an exception or an invalid result of a callback.

        Args:
            failure: The exception.
            handler: The handler.
            callback: The name of the callback.
            argument: The first argument of the callback. Only its type and size are logged.
        """
        self._reported = failure.value
        called_with = describe_argument(callback, argument)
        if isinstance(failure.value, BadResponseError):  # A traceback would show only wsx itself.
            shown = describe(failure.value)
            self._error("{error} ({argument})", error=shown, argument=called_with)
            return
        log_failure(
            _log,
            "{label}: {handler}.{callback} raised {error} ({argument})",
            failure,
            label=self.label,
            handler=type(handler).__qualname__,
            callback=callback,
            error=failure.type.__name__ if failure.type else "an exception",
            argument=called_with,
        )

    def reply_invalid(self, handler: object, callback: str, error: Exception) -> None:
        """Log that the frames or the close frame of a callback's result cannot be sent."""
        where = f"{type(handler).__qualname__}.{callback}"
        self._error("{where}: {error}", where=where, error=describe(error))

    def callback_finished(self, callback: str, seconds: float) -> None:
        """Notify observers of a callback's duration."""
        self._notify(telemetry.CALLBACK, {"duration": seconds}, callback=callback)

    def callback_blocked(self, callback: str, seconds: float, calls: int) -> None:
        """Report callbacks that have blocked the reactor for too long.

        Args:
            callback: The name of the callback.
            seconds: The time that the calls took together.
            calls: The number of calls, one after another.
        """
        self.trace("slow callback: {} took {}", callback, f"{seconds:.2f} s")
        self._notify(
            telemetry.SLOW_CALLBACK, {"duration": seconds, "calls": calls}, callback=callback
        )
        now = self._scheduler.seconds()
        if now - self._blocked_at.get(callback, -math.inf) < _SLOW_CALLBACK_PERIOD:
            return
        self._blocked_at[callback] = now
        handler = type(self._client.handler).__qualname__
        self._warn(
            "{callback} blocked the reactor for {seconds:.2f} s{calls}",
            callback=callback if callback in PROVIDERS else f"{handler}.{callback}",
            seconds=seconds,
            calls="" if calls == 1 else f" ({calls} calls)",
        )

    def callback_overdue(
        self, callback: str, argument: object, seconds: float, limit: float | None
    ) -> None:
        """Report a callback that has not completed for a long time.

        Args:
            callback: The name of the callback.
            argument: The first argument of the callback. Only its type and size are logged.
            seconds: The time since the callback began, in seconds.
            limit: The time in seconds after which it is cancelled, or None.
        """
        self.trace("pending callback: {} for {}", callback, f"{seconds:.0f} s")
        self._notify(telemetry.CALLBACK_OVERDUE, {"duration": seconds}, callback=callback)
        after = "nothing else is delivered until it does"
        if limit is not None:
            after = f"it will be cancelled after {limit:g} s"
        self._warn(
            "{handler}.{callback} has not completed for {seconds:.0f} s{argument}; {after}",
            handler=type(self._client.handler).__qualname__,
            callback=callback,
            seconds=seconds,
            argument=f" ({describe_argument(callback, argument)})" if argument is not None else "",
            after=after,
        )

    def callback_timed_out(self, error: CallbackTimeout, argument: object) -> None:
        """Log that a callback was cancelled, unless it is the reason of a lost connection.

        Args:
            error: The time limit that the callback has exceeded.
            argument: The first argument of the callback. Only its type and size are logged.
        """
        self._reported = error
        called_with = describe_argument(error.callback, argument)
        self._error("{error} ({argument})", error=describe(error), argument=called_with)

    def callback_cancelled(self, callback: str, error: Exception) -> None:
        """Log that a callback was cancelled before it has completed."""
        handler = type(self._client.handler).__qualname__
        what = "{handler}.{callback} was cancelled ({error})"
        self._warn(what, handler=handler, callback=callback, error=describe(error))

    def frames_dropped(self, count: int, error: Exception) -> None:
        """Log that frames which were received are not delivered."""
        frames = _count(count, "received frame")
        self._warn("{frames} not delivered ({error})", frames=frames, error=describe(error))

    # Other lines

    def terminate_timed_out(self, seconds: float) -> None:
        """Log that ``terminate`` was cancelled after so many seconds."""
        self._warn("terminate was cancelled after {seconds:g} s", seconds=round(seconds, 1))

    def not_delivered(self, count: int) -> None:
        """Log the number of casts and infos that were dropped when the client ended."""
        self._warn("ended with {n} undelivered casts and infos", n=count)

    def delayed_message_dropped(self, error: Exception) -> None:
        """Log that a message of ``send_after`` was dropped, because the mailbox is full."""
        self._error("send_after: {error}", error=describe(error))

    def log_file_failed(self, path: object, error: OSError) -> None:
        """Log that the file of the ``log_to_file`` debug option cannot be opened."""
        self._error(
            "log_to_file: cannot open {path}: {error}", path=shorten(path), error=describe(error)
        )

    def name_not_released(self, failure: Failure) -> None:
        """Log an exception that the registry of the client's name has raised."""
        text = "{label}: the registry did not release the name"
        log_failure(_log, text, failure, label=self.label)

    def trace(self, event: str, *details: object) -> None:
        """Trace an event.

        Args:
            event: A format string, such as ``"sending frame: {!r}"``.
            *details: The values for the format string.
        """
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
        """Return the current Conn without secrets. It is cached, because redacting is slow."""
        if self._redacted[0] is not self.conn:
            self._redacted = (self.conn, self.conn.redacted())
        return self._redacted[1]


def _failed(status: Disconnect, was_open: bool) -> str:
    """Return what has failed: a connection, an attempt or a callable."""
    if isinstance(status.reason, ProviderError):
        return f"{status.reason.subject} failed"
    url = status.conn.parsed.shown
    if was_open:
        return f"connection to {url} lost"
    # A client that waits for its next attempt has not failed.
    what = "cancelled" if isinstance(status.reason, LocalClose) else "failed"
    return f"connecting to {url} {what}"


def _describe(reason: object, conn: Conn) -> str:
    """Return one line about a reason, for log lines that already say "connecting failed".

    A server may repeat secrets of the request in its close message, so they are hidden.
    """
    if isinstance(reason, ProviderError):
        text = reason.cause
    else:
        text = describe(reason, detailed=True).removeprefix("connection failed: ")
    return conn.redactor().text(text)


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
    """Return the type and size of a callback's argument: ``message: Text, 812 characters``."""
    name = _ARGUMENT_NAMES.get(callback, "message")
    if isinstance(argument, Disconnect):
        return f"{name}: {_describe(argument.reason, argument.conn)}"
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
