"""The requests of one client that wait for their replies."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from inspect import iscoroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsx._arguments import is_hashable
from wsx._deferreds import AnyDeferred
from wsx._redactor import Redactor
from wsx._scheduler import Scheduler, Timeout
from wsx._text import expected_type
from wsx._wire.batch import Batch
from wsx.errors import DuplicateKeyError, NoReplyError, ReplyTimeout
from wsx.frames import Binary, Frame, Text
from wsx.requests import Requests

__all__ = ["OpenRequest", "OpenRequests"]

_READ_AHEAD: Final = 1024 * 1024  # bytes of payload that may be queued for the sake of replies


class OpenRequest:
    """One request that waits for its reply.

    Attributes:
        key: The key of the request.
        reply: A Deferred that fires with the reply.
    """

    __slots__ = ("_forget", "_timer", "key", "reply")

    def __init__(self, key: Hashable, forget: Callable[[OpenRequest], None]) -> None:
        self.key = key
        self.reply: Deferred[Any] = AnyDeferred(lambda _: self._end())
        self._forget = forget
        self._timer: Timeout | None = None

    def start_timer(self, scheduler: Scheduler, timeout: float) -> None:
        """Fail the request after ``timeout`` seconds without a reply."""
        error = ReplyTimeout(self.key, timeout)
        self._timer = scheduler.timeout(timeout, lambda: self.fail(Failure(error)))

    def succeed(self, frame: Frame) -> bool:
        """Fire the Deferred with the reply. Return whether it was still waiting."""
        if self.reply.called:
            return False
        self._end()
        self.reply.callback(frame)
        return True

    def fail(self, failure: Failure) -> None:
        """Fire the Deferred with an error, unless it has fired."""
        if not self.reply.called:
            self._end()
            self.reply.errback(failure)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._forget(self)


class OpenRequests:
    """The open requests of one client.

    A callback may wait for a reply while other frames are queued for it. Reading therefore goes on
    while a request is open, until a limited number of bytes is queued.

    Args:
        scheduler: The scheduler for timeouts.
        emptied: Called when no request is open any more.

    Attributes:
        waiting: The open requests by key.
        budget: The bytes of payload that may still be queued while requests are open.
    """

    __slots__ = ("_emptied", "_scheduler", "budget", "waiting")

    def __init__(self, scheduler: Scheduler, emptied: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._emptied = emptied
        self.waiting: dict[Hashable, OpenRequest] = {}
        self.budget = _READ_AHEAD

    @property
    def may_read(self) -> bool:
        """Whether a reply is expected, and more frames may be queued until it arrives."""
        return bool(self.waiting) and self.budget > 0

    def add(self, key: Hashable, timeout: float | None) -> OpenRequest:
        """Open a request.

        Args:
            key: The key of its reply, not None.
            timeout: The time limit for the reply in seconds, or None to wait forever.

        Raises:
            DuplicateKeyError: A request with this key is open.
            TypeError: The key is None or not hashable.
        """
        if key is None or not is_hashable(key):
            raise TypeError(expected_type("key", "a hashable value other than None", key))
        if key in self.waiting:
            raise DuplicateKeyError(key)
        request = self.waiting[key] = OpenRequest(key, self._forget)
        if timeout is not None:
            request.start_timer(self._scheduler, timeout)
        return request

    def find(self, handler: object, frame: Frame) -> OpenRequest | None:
        """Return the open request to which a frame is the reply, or None.

        Args:
            handler: The handler. Its class may have changed since the request was sent.
            frame: The frame.

        Raises:
            Exception: ``reply_key`` of the handler has raised it.
            TypeError: ``reply_key`` has returned a value that cannot be a key.
        """
        may_match = self.waiting and isinstance(frame, (Text, Binary))
        if not may_match or not isinstance(handler, Requests):
            return None
        key: Any = handler.reply_key(frame)  # type: ignore[arg-type]
        if iscoroutine(key):
            key.close()  # Otherwise Python warns that it was never awaited.
        elif is_hashable(key):
            return self.waiting.get(key)
        raise TypeError(expected_type("reply_key", "a hashable value or None", key))

    def queued(self, batch: Batch) -> None:
        """Subtract the frames of a batch, which are queued, from the budget."""
        self.budget -= sum(len(frame.payload) for frame in batch.frames)

    def caught_up(self) -> None:
        """Restore the budget, because no frames are queued any more."""
        self.budget = _READ_AHEAD

    def fail_all(self, reason: object, redactor: Redactor) -> None:
        """Fail all requests, because the connection has ended.

        Args:
            reason: The reason of the connection's end.
            redactor: Hides the secrets that a server may repeat in the reason.
        """
        for request in list(self.waiting.values()):
            request.fail(Failure(NoReplyError(request.key, reason, redactor)))

    def _forget(self, request: OpenRequest) -> None:
        if self.waiting.get(request.key) is request:
            del self.waiting[request.key]
            if not self.waiting:
                self._emptied()
