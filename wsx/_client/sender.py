"""Send frames on the open connection: ``send_frame``, replies of callbacks and keepalive pings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from wsx._client.drain import DrainWaiters
from wsx._client.reporter import Reporter
from wsx._transport.connection import Connection
from wsx.errors import FrameEncodeError, InvalidFrameError, WsxError
from wsx.frames import Frame, Ping, Pong

__all__ = ["Sender"]

_MAX_BUFFERED: Final = 65536  # bytes, the high-water mark of Twisted's transports


class Sender:
    """Pass frames to the open connection, and wait for its write buffer to drain.

    Args:
        reactor: The reactor for timeouts.
        reporter: Notified of each frame.
        replies_wait: Called with True when the write buffer is full of replies, to stop the
            delivery of frames, and with False once the write buffer has drained.
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
        self, reactor: IReactorTime, reporter: Reporter, replies_wait: Callable[[bool], None]
    ) -> None:
        self._reporter = reporter
        self._replies_wait = replies_wait
        self._drain = DrainWaiters(reactor)
        self._connection: Connection | None = None
        self._late_pong: list[Any] = []  # Sent once the write buffer has drained.
        self._replied = False  # Whether a callback has replied since the last flush.
        self._waiting = False  # Whether replies wait for the write buffer.

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
                    connection.flush()
                    self._after_flush(connection)
            else:
                connection.send(frame)
        except (InvalidFrameError, FrameEncodeError) as error:
            return fail(error)
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
            # RFC 6455 section 5.5.3 allows a pong for the latest ping only. This limits the memory
            # if the server sends pings and does not read the pongs.
            self._late_pong = frames[-1:]
            return
        connection.buffer(frames)
        self._replied = True
        self._reporter.replied(callback, frames)
        if connection.buffered >= _MAX_BUFFERED:
            connection.flush()
            self._after_flush(connection)

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
            connection.flush_now()
            self._after_flush(connection)

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

    def _after_flush(self, connection: Connection) -> None:
        """Stop the delivery of frames if the flushed replies have filled the write buffer."""
        replied, self._replied = self._replied, False
        if replied and not connection.writable and not self._waiting:
            self._waiting = True
            self._replies_wait(True)

    def _resume_replies(self) -> None:
        if self._waiting:
            self._waiting = False
            self._replies_wait(False)
