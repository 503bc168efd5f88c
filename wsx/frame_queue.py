"""A handler that queues messages, for ``async for`` loops in scripts and REPLs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.defer import Deferred

from wsx._deferreds import Waiters
from wsx._scheduler import scheduler_for
from wsx.errors import as_exception
from wsx.frames import Binary, Text
from wsx.handler import Handler
from wsx.reasons import is_normal

if TYPE_CHECKING:
    from wsx.client import Client

__all__ = ["FrameQueue", "Frames", "Message"]

Message: TypeAlias = Text | Binary


class _Queue:
    """The messages of one client that no iterator has taken yet.

    Args:
        client: The client.
        limit: The number of messages from which on the next one is not delivered.
    """

    def __init__(self, client: Client[Any, Any], limit: int) -> None:
        self.client = client
        self.messages: deque[Message] = deque()
        self._limit = limit
        self._scheduler = scheduler_for(client.reactor)
        self._waiting: Waiters[None] = Waiters()
        self._is_waking = False
        self._space: Deferred[None] | None = None  # Fires when there is space again.
        self._has_ended = False
        self._reason: object = None
        client.terminated().addCallback(self._end)

    def put(self, message: Message) -> Deferred[None] | None:
        """Add a message; return a Deferred that fires when there is space, or None if there is."""
        self.messages.append(message)
        self._wake()
        if len(self.messages) < self._limit:
            return None
        self._space = Deferred(self._forget_space)
        return self._space

    async def take(self) -> Message:
        """Remove and return the oldest message; wait for it if necessary.

        Raises:
            StopAsyncIteration: The client has ended normally, and no message is left.
            Exception: The reason of an abnormal end.
        """
        while not self.messages:
            if self._has_ended:
                raise self._end_of_messages()
            await self._waiting.add()
        message = self.messages.popleft()
        self._report_space()
        return message

    def _end_of_messages(self) -> Exception:
        return StopAsyncIteration() if is_normal(self._reason) else as_exception(self._reason)

    def _wake(self) -> None:
        """Resume the iterators in the next reactor iteration, outside of the callback.

        All of them, because one that was cancelled at the same moment would not take the message.
        """
        if self._waiting and not self._is_waking:
            self._is_waking = True
            self._scheduler.call_soon(self._resume)

    def _resume(self) -> None:
        self._is_waking = False
        self._waiting.succeed(None)

    def _report_space(self) -> None:
        if self._space is not None and len(self.messages) < self._limit:
            space, self._space = self._space, None
            space.callback(None)

    def _forget_space(self, _: Deferred[None]) -> None:
        self._space = None

    def _end(self, reason: object) -> None:
        self._has_ended = True
        self._reason = reason
        self._resume()


class Frames:
    """An iterator over the messages of a client; :meth:`wsx.Client.frames` returns it."""

    def __init__(self, queue: _Queue) -> None:
        self._queue = queue

    def __aiter__(self) -> Frames:
        return self

    async def __anext__(self) -> Message:
        return await self._queue.take()


class FrameQueue(Handler[Any]):
    """A handler whose messages are read with ``async for frame in client.frames()``.

    :func:`wsx.connect` uses it. Derive your own class from it for the other callbacks, for example
    to subscribe in ``handle_connect``, and pass that class to :func:`wsx.start`.

    While ``limit`` messages wait, ``handle_frame`` is pending, and so reading from the server is
    paused.

    Attributes:
        limit: The number of messages that may wait. Default 16.
    """

    limit: int = 16
    _queue: _Queue | None = None

    def handle_frame(self, frame: Message, state: Any) -> Any:
        """Queue a message, and wait while the queue is full."""
        return self._queue_of_client().put(frame)

    def frames(self) -> Frames:
        """Return an iterator over the messages; :meth:`wsx.Client.frames` calls this."""
        return Frames(self._queue_of_client())

    def _queue_of_client(self) -> _Queue:
        queue = self._queue
        if queue is None or queue.client is not self.client:  # The handler has another client now.
            queue = self._queue = _Queue(self.client, self.limit)
        return queue
