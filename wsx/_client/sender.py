"""Send frames on the open connection: ``send_frame``, replies of callbacks and keepalive pings.

While a message is sent in fragments, other messages must wait (RFC 6455 section 5.4). The attribute
``_connection`` is then None, so that this costs the usual paths nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed

from wsx import telemetry
from wsx._client.drain import DrainWaiters
from wsx._client.fragmented_message import FragmentedMessage, Parts
from wsx._client.reporter import Reporter
from wsx._scheduler import Scheduler
from wsx._transport.connection import Connection
from wsx.errors import (
    FrameEncodeError,
    IncompleteMessageError,
    InvalidFrameError,
    SendTimeout,
    WsxError,
)
from wsx.frames import Binary, Frame, Ping, Pong, Text, wire_payload

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
        message_failed: Called with the error if a message that was begun cannot be completed.
    """

    __slots__ = (
        "_connection",
        "_drain",
        "_fail_message",
        "_held",
        "_held_bytes",
        "_held_waiters",
        "_late_pong",
        "_message",
        "_replied",
        "_replies_wait",
        "_reporter",
        "_scheduler",
        "_unsent",
        "_waiting",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        reporter: Reporter,
        replies_wait: Callable[[int], None],
        message_failed: Callable[[WsxError], None],
    ) -> None:
        self._scheduler = scheduler
        self._reporter = reporter
        self._replies_wait = replies_wait
        self._drain = DrainWaiters(scheduler)
        self._connection: Connection | None = None
        self._late_pong: list[Any] = []  # sent once the write buffer has drained
        self._replied = False  # to a received frame, since the last flush
        self._waiting = False  # replies wait for the write buffer
        self._fail_message = message_failed
        self._message: FragmentedMessage | None = None  # the message that is being sent
        self._held: deque[Callable[[], None]] | None = None  # what waits for its end
        self._held_bytes = 0  # of replies to received frames
        self._held_waiters: DrainWaiters | None = None
        self._unsent: list[FragmentedMessage] | None = None  # None saves memory

    def opened(self, connection: Connection) -> None:
        """Send on this connection from now on."""
        self._connection = connection
        self._late_pong = []
        self._replied = False

    def closing(self) -> None:
        """Send no more frames on this connection. Its close frame flushes buffered frames."""
        self._connection = None
        self._late_pong = []
        if self._message is not None:
            self._message.stop()
            self._message = None
        self._held, self._held_bytes = None, 0
        self._resume_replies()

    def lost(self, error: WsxError) -> None:
        """Fail the Deferreds that wait for the write buffer."""
        self._drain.fail(error)
        if self._held_waiters is not None:
            self._held_waiters.fail(error)
        unsent, self._unsent = self._unsent, None
        for message in unsent or ():
            message.fail(error)

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
        if connection is None:
            return self._send_meanwhile(frame, timeout)
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
            self._reply_meanwhile(callback, frames)
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
        connection = self._connection if self._message is None else self._message.connection
        if connection is not None:
            ping = Ping(payload)
            connection.send(ping)
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
        if self._message is not None:
            if self._held_bytes < _MAX_BUFFERED:
                self._resume_replies()
            self._drain.succeed()
            return
        # The late pong may have filled the write buffer again.
        if self._connection is None or self._connection.writable:
            self._resume_replies()
            self._drain.succeed()

    # Messages in fragments

    def send_fragments(
        self, kind: type[Text] | type[Binary], parts: Parts, timeout: float | None
    ) -> Deferred[None]:
        """Send a message in fragments, after the messages that wait already.

        Args:
            kind: ``Text`` or ``Binary``.
            parts: The parts of the message.
            timeout: The time limit in seconds for the write buffer to drain after each part, or
                None to wait forever.

        Returns:
            The Deferred of :meth:`wsx.Client.send_fragments`.
        """
        message = FragmentedMessage(kind, parts, timeout, self._scheduler, self)
        self._unsent = [*(self._unsent or ()), message]
        if self._connection is None:
            self._hold(lambda: self._start_message(message))
        else:
            self._start_message(message)
        return message.sent

    def _start_message(self, message: FragmentedMessage) -> None:
        connection = self._connection
        if message.sent.called or connection is None:  # It was cancelled while it waited.
            return
        connection.flush()
        self._message, self._connection = message, None
        message.start(connection)

    def when_drained(self, timeout: float | None) -> Deferred[None]:
        """Return a Deferred that fires once the write buffer has drained."""
        return self._drain.add(timeout)

    def fragment_sent(self, frame: Text | Binary) -> None:
        """Report a part of a message."""
        self._reporter.fragment_sent(frame)

    def message_completed(self) -> None:
        """Send the frames that wait for the end of the message."""
        message, self._message = self._message, None
        if message is None:
            return
        self._connection = message.connection
        self._unsent = [other for other in self._unsent or () if other is not message]
        while self._held and self._connection is not None:
            self._held.popleft()()
        if self._connection is not None:
            self._held_bytes = 0
            self.flush()
            if self._connection.writable:
                self._resume_replies()

    def message_failed(self, error: BaseException, begun: bool) -> None:
        """Close the connection if a part was sent; otherwise go on without the message."""
        if begun:
            self._fail_message(IncompleteMessageError(error))
        else:
            self.message_completed()

    def _hold(self, send: Callable[[], None]) -> None:
        """Call a function when the message that is being sent is complete."""
        if self._held is None:
            self._held = deque()
        self._held.append(send)

    def _send_meanwhile(self, frame: Frame, timeout: float | None) -> Deferred[None]:
        """Send a control frame between two fragments; hold a message until the end."""
        assert self._message is not None and self._message.connection is not None
        connection = self._message.connection
        try:
            wire_payload(frame)
        except (InvalidFrameError, FrameEncodeError) as error:
            return fail(error)
        if not isinstance(frame, (Text, Binary)):
            connection.send(frame)
            self._reporter.sent(frame)
            return succeed(None) if connection.writable else self._drain.add(timeout)
        if self._held_waiters is None:
            self._held_waiters = DrainWaiters(self._scheduler, _held_too_long)
        waiter = self._held_waiters.add(timeout)
        self._hold(lambda: self._send_held(frame, waiter))
        return waiter

    def _send_held(self, frame: Frame, waiter: Deferred[None]) -> None:
        def succeeded(_: None) -> None:
            if not waiter.called:
                waiter.callback(None)

        # If it fails, the connection has ended, and the waiter fails as well.
        self.send(frame, None, False).addCallbacks(succeeded, lambda _: None)

    def _reply_meanwhile(self, callback: str, frames: list[Any]) -> None:
        """Send control frames between two fragments; hold replies with messages until the end."""
        if self._message is None or self._message.connection is None:
            self._reporter.reply_dropped(callback)
            return
        connection = self._message.connection
        payloads = [wire_payload(frame) for frame in frames]
        if not any(isinstance(frame, (Text, Binary)) for frame in frames):
            self._connection = connection
            self.reply(callback, frames)
            self._connection = None
            connection.flush()
            return
        self._hold(lambda: self.reply(callback, frames))
        if callback in _REPLIES_TO_FRAMES:
            self._held_bytes += sum(map(len, payloads))
            if self._held_bytes >= _MAX_BUFFERED and not self._waiting:
                self._waiting = True
                self._replies_wait(self._held_bytes)

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


def _held_too_long(timeout: float) -> SendTimeout:
    return SendTimeout(timeout, "a message before it is still being sent in fragments")
