"""What may be delivered to a handler now, and in which order.

Two kinds of things wait here. What belongs to a connection (its opening, its frames, its end) keeps
its order and is always delivered. Casts and infos are delivered in order of arrival among those
while the connection is open; while there is none they wait, and go after the next connection's
``handle_connect``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from wsx.conn import Conn
from wsx.errors import MailboxFullError
from wsx.frames import Frame
from wsx.reasons import Disconnect

__all__ = ["Connected", "Frames", "Lost", "Mailbox", "Message"]


@dataclass(slots=True)
class Connected:
    """A connection is open; ``answered`` is called once ``handle_connect`` has answered."""

    conn: Conn
    answered: Callable[[], None]


@dataclass(slots=True)
class Frames:
    """Frames that came together, those that were delivered already left out.

    Attributes:
        controls: whether there may be pings or pongs among them.
    """

    frames: Iterator[Frame]
    controls: bool = True


@dataclass(slots=True)
class Lost:
    """A connection ended, or could not be made."""

    status: Disconnect


@dataclass(slots=True)
class Message:
    """A cast or an info, for the callback of that name."""

    callback: str
    message: Any


Item = Connected | Frames | Lost | Message

# Idle clients share it: an empty deque has 700 bytes.
_NOTHING: Final[deque[Item]] = deque(maxlen=0)


class Mailbox:
    """The queue of one client.

    Args:
        limit: how many casts and infos may wait.

    Attributes:
        queue: what may be delivered, for others to see whether there is something.
        batches: how many batches of frames wait.
    """

    __slots__ = ("_held", "_limit", "_messages", "_open", "batches", "queue")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = False
        self._messages = 0  # casts and infos in both queues
        self.batches = 0
        self.queue = _NOTHING
        self._held: list[Message] = []  # what waits for a connection

    @property
    def waiting(self) -> int:
        """How many casts and infos wait."""
        return self._messages

    def connected(self, item: Connected) -> None:
        """A connection is open: what waited for one goes after its ``handle_connect``."""
        self._open = True
        self._filling().append(item)
        self.queue.extend(self._held)
        self._held.clear()

    def frames(self, frames: list[Frame], controls: bool = True) -> None:
        """Takes frames of the open connection."""
        self.batches += 1
        self._filling().append(Frames(iter(frames), controls))

    def put_back(self, frames: Iterator[Frame], controls: bool = True) -> None:
        """Takes back the rest of the frames that were taken last."""
        self.batches += 1
        self._filling().appendleft(Frames(frames, controls))

    def closing(self) -> None:
        """The connection is open no more: from now on casts and infos wait for the next one."""
        self._open = False
        queue, self.queue = self.queue, _NOTHING
        for item in queue:
            if type(item) is Message:
                self._held.append(item)
            else:
                self._filling().append(item)

    def lost(self, item: Lost) -> None:
        """The connection has ended, or could not be made."""
        self._filling().append(item)

    def message(self, item: Message) -> None:
        """Takes a cast or an info.

        Raises:
            MailboxFullError: too many wait already.
        """
        if self._messages >= self._limit:
            raise MailboxFullError(self._limit)
        self._messages += 1
        if self._open:
            self._filling().append(item)
        else:
            self._held.append(item)

    def take(self) -> Item | None:
        """Gives what is next, or None where nothing may be delivered."""
        if not self.queue:
            return None
        item = self.queue.popleft()
        if not self.queue:
            self.queue = _NOTHING
        if type(item) is Message:
            self._messages -= 1
        elif type(item) is Frames:
            self.batches -= 1
        return item

    def clear(self) -> None:
        """Drops everything."""
        self.queue = _NOTHING
        self._held.clear()
        self._messages = 0
        self.batches = 0

    def _filling(self) -> deque[Item]:
        """Gives the queue, to add something."""
        if self.queue is _NOTHING:
            self.queue = deque()
        return self.queue
