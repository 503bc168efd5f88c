"""Send frames on the open connection: ``send_frame``, replies of callbacks and keepalive pings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from wsx import telemetry
from wsx._client.drain import DrainWaiters
from wsx._client.reporter import Reporter
from wsx._transport.connection import Connection
from wsx.errors import FrameEncodeError, InvalidFrameError, WsxError
from wsx.frames import Frame, Ping, Pong, wire_payload

__all__ = ["Sender"]

_MAX_BUFFERED: Final = 65536  # bytes: the high-water mark of Twisted's transports
_REPLIES_TO_FRAMES: Final = frozenset({"handle_frame", "handle_ping", "handle_pong"})


class Sender:
    """Pass frames to the open connection, and wait for its write buffer to drain.

    Args:
        scheduler: The scheduler for timeouts.
        reporter: Notified of each frame.
        replies_wait: Called with the size in bytes of replies to received frames that wait for a
            full write buffer, so that no more of them are made, and with 0 once it has drained.
    """

    __slots__ = (
        "_connection",
        "_drain",
        "_late_pong",
        "_replied",
        "_replies_wait",
        "_reporter",
        "_waiting",
    )

    def __init__(
        self, scheduler: IReactorTime, reporter: Reporter, replies_wait: Callable[[int], None]
    ) -> None:
        self._reporter = reporter
        self._replies_wait = replies_wait
        self._drain = DrainWaiters(scheduler)
        self._connection: Connection | None = None
        self._late_pong: list[Any] = []  # sent once the write buffer has drained
        self._replied = False  # to a received frame, since the last flush
        self._waiting = False  # replies wait for the write buffer

    def opened(self, connection: Connection) -> None:
        """Send on this connection from now on."""
        self._connection = connection
        self._late_pong = []
        self._replied = False

    def closing(self) -> None:
        """Send no more frames on this connection. Its close frame flushes buffered frames."""
        self._connection = None
        self._late_pong = []
        self._resume_replies()

    def lost(self, error: WsxError) -> None:
        """Fail the Deferreds that wait for the write buffer."""
        self._drain.fail(error)

    def send(self, frame: Frame, timeout: float | None, in_callback: bool) -> Deferred[None]:
        """Send one frame on the open connection.

        Args:
            frame: The frame.
            timeout: The time limit in seconds for the write buffer to drain, or None to wait
                forever.
            in_callback: Whether a callback is running, so that :meth:`flush` is called after it.

        Returns:
            The Deferred of :meth:`wsx.Client.send_frame`.
        """
        connection = self._connection
        assert connection is not None
        try:
            if in_callback:
                connection.buffer_one(frame)
                if connection.buffered >= _MAX_BUFFERED:
                    self._flush_early(connection)
            else:
                connection.send(frame)
        except (InvalidFrameError, FrameEncodeError) as error:
            return fail(error)
        if self._reporter.tracing.active or telemetry.observers:  # The call would cost 3 % here.
            self._reporter.sent(frame)
        return succeed(None) if connection.writable else self._drain.add(timeout)

    def reply(self, callback: str, frames: list[Any]) -> None:
        """Send the replies of a callback at the end of the current batch: all of them or none.

        Args:
            callback: The name of the callback.
            frames: The replies, in the order of sending.

        Raises:
            InvalidFrameError: One of the replies is not a frame.
            FrameEncodeError: RFC 6455 does not allow one of the replies.
        """
        connection = self._connection
        if connection is None:
            self._reporter.reply_dropped(callback)
            return
        if not connection.writable and all(isinstance(frame, Pong) for frame in frames):
            # RFC 6455 section 5.5.3 allows answering only the latest ping. A server that sends
            # pings and does not read the pongs cannot fill the memory.
            for frame in frames:
                wire_payload(frame)  # raises now what would be raised when it is sent
            self._late_pong = frames[-1:]
            return
        if len(frames) == 1:  # Nearly every reply is one frame.
            connection.buffer_one(frames[0])
        else:
            connection.buffer(frames)
        self._replied = self._replied or callback in _REPLIES_TO_FRAMES
        if self._reporter.tracing.active or telemetry.observers:
            self._reporter.replied(callback, frames)
        if connection.buffered >= _MAX_BUFFERED:
            self._flush_early(connection)

    def ping(self, payload: bytes) -> None:
        """Send a keepalive ping."""
        if self._connection is not None:
            ping = Ping(payload)
            self._connection.send(ping)
            self._reporter.sent(ping, traced=False)

    def flush(self) -> None:
        """Write the frames that the callbacks of a batch have sent."""
        connection = self._connection
        if connection is not None and connection.buffered:
            size = connection.buffered
            connection.flush_now()
            if self._replied:
                self._check_writable(connection, size)

    def drained(self) -> None:
        """Continue sending, because the write buffer has drained."""
        pong, self._late_pong = self._late_pong, []
        if pong:
            self.reply("handle_ping", pong)
            self.flush()
        # The late pong may have filled the write buffer again.
        if self._connection is None or self._connection.writable:
            self._resume_replies()
            self._drain.succeed()

    def _flush_early(self, connection: Connection) -> None:
        """Pass the frames of a batch to the transport before the end of the batch."""
        size = connection.buffered
        connection.flush()
        if self._replied:
            self._check_writable(connection, size)

    def _check_writable(self, connection: Connection, size: int) -> None:
        """Make no more replies while ``size`` bytes of replies to received frames wait.

        Replies to casts and infos do not count: received frames cause no more of them.
        """
        self._replied = False
        if not connection.writable:
            self._waiting = True
            self._replies_wait(size)

    def _resume_replies(self) -> None:
        if self._waiting:
            self._waiting = False
            self._replies_wait(0)
