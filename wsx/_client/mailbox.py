"""The mailbox: events and messages that wait for delivery to the handler.

The mailbox holds connection events (opened, frames, lost) and messages (casts and infos). While the
connection is open, all are delivered in order of arrival. While it is not, messages wait until
after ``handle_connect`` of the next connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import length_hint
from typing import Any, Final

from wsx._wire.batch import Batch
from wsx.conn import Conn
from wsx.errors import MailboxFullError
from wsx.frames import Frame
from wsx.reasons import Disconnect

__all__ = ["Connected", "Frames", "Item", "Lost", "Mailbox", "Message", "Rest"]


@dataclass(slots=True)
class Connected:
    """The event that a connection is open.

    Attributes:
        conn: The argument of ``handle_connect``.
        concluded: Called after ``handle_connect`` has returned its result.
    """

    conn: Conn
    concluded: Callable[[], None]


@dataclass(slots=True)
class Frames:
    """The frames of one batch that are not delivered yet.

    Attributes:
        frames: An iterator over the frames.
        has_controls: Whether the frames may include pings or pongs.
    """

    frames: Iterator[Frame]
    has_controls: bool


@dataclass(slots=True)
class Rest:
    """The frames of the last read that were not decoded before the connection was closing.

    They are decoded one batch at a time, because they may inflate to any size.

    Attributes:
        next_batch: Decodes and returns the next batch.
    """

    next_batch: Callable[[], Batch]


@dataclass(slots=True)
class Lost:
    """The event that a connection was lost or an attempt failed.

    Attributes:
        status: The argument of ``handle_disconnect``.
    """

    status: Disconnect


@dataclass(slots=True)
class Message:
    """A cast or an info.

    Attributes:
        callback: ``"handle_cast"`` or ``"handle_info"``.
        message: The first argument of the callback.
    """

    callback: str
    message: Any


Item = Connected | Frames | Rest | Lost | Message

# Shared by all idle clients, because an empty deque takes 700 bytes.
_EMPTY: Final[deque[Item]] = deque(maxlen=0)


class Mailbox:
    """The mailbox of one client.

    Args:
        limit: The number of casts and infos that may wait.

    Attributes:
        queue: The items that may be delivered now. Do not change it outside this class.
        batches: The number of batches of frames that wait.
        waiting: The number of casts and infos that wait.
    """

    __slots__ = ("_held", "_limit", "_open", "batches", "queue", "waiting")

    def __init__(self, limit: int) -> None:
        self.queue = _EMPTY
        self.batches = 0
        self.waiting = 0
        self._limit = limit
        self._open = False
        self._held: list[Message] = []  # Messages that wait for a connection.

    @property
    def starts_with_frames(self) -> bool:
        """Whether the next item is frames."""
        return bool(self.queue) and type(self.queue[0]) is Frames

    def connected(self, item: Connected) -> None:
        """Queue the opening of a connection, then the messages that have waited for it."""
        self._open = True
        self._own_queue().append(item)
        self.queue.extend(self._held)
        self._held.clear()

    def frames(self, frames: Iterator[Frame], has_controls: bool) -> None:
        """Queue frames of the open connection."""
        self.batches += 1
        self._own_queue().append(Frames(frames, has_controls))

    def put_back(self, frames: Iterator[Frame], has_controls: bool) -> None:
        """Queue the rest of the frames that were taken last, as the first item."""
        self.batches += 1
        self._own_queue().appendleft(Frames(frames, has_controls))

    def closing(self) -> None:
        """Hold messages from now on, because the connection is no longer open."""
        self._open = False
        queue, self.queue = self.queue, _EMPTY
        for item in queue:
            if type(item) is Message:
                self._held.append(item)
            else:
                self._own_queue().append(item)

    def drop_connection(self) -> int:
        """Drop the opening of the connection and its frames; keep its loss and all messages.

        Returns:
            The number of frames.
        """
        queue, self.queue = self.queue, _EMPTY
        self.batches = 0
        dropped = 0
        for item in queue:
            if type(item) is Lost or type(item) is Message:
                self._own_queue().append(item)
            elif type(item) is Frames:
                dropped += length_hint(item.frames)
        return dropped

    def rest(self, item: Rest) -> None:
        """Queue the rest of the last read, after the frames that were decoded before."""
        self._own_queue().append(item)

    def put_back_rest(self, item: Rest) -> None:
        """Put the rest that was taken last back as the first item."""
        self._own_queue().appendleft(item)

    def lost(self, item: Lost) -> None:
        """Queue the loss of the connection, or the failure of an attempt."""
        self._own_queue().append(item)

    def message(self, item: Message) -> None:
        """Queue a cast or an info.

        Raises:
            MailboxFullError: The mailbox already holds ``limit`` messages.
        """
        if self.waiting >= self._limit:
            raise MailboxFullError(self._limit)
        self.waiting += 1
        if self._open:
            self._own_queue().append(item)
        else:
            self._held.append(item)

    def take(self) -> Item | None:
        """Remove and return the next item; None if nothing may be delivered."""
        if not self.queue:
            return None
        item = self.queue.popleft()
        if not self.queue:
            self.queue = _EMPTY
        if type(item) is Message:
            self.waiting -= 1
        elif type(item) is Frames:
            self.batches -= 1
        return item

    def clear(self) -> None:
        """Drop all items."""
        self.queue = _EMPTY
        self._held.clear()
        self.waiting = 0
        self.batches = 0

    def _own_queue(self) -> deque[Item]:
        """Return a queue to which items can be appended: not the shared empty one."""
        if self.queue is _EMPTY:
            self.queue = deque()
        return self.queue
