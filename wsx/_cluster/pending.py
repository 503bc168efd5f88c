"""Messages to send, and requests that wait for a reply."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsx._cluster.store import NoResponder
from wsx.errors import ClusterError, ClusterSetupError

__all__ = ["Message", "Requests"]


@dataclass(slots=True)
class Message:
    """A message to send.

    Attributes:
        subject: The subject.
        payload: The content.
        number: The number of the request, or None if the message is not a request.
        headers: The headers, or None.
        is_cancelled: Whether not to send the message if it has not been sent yet.
    """

    subject: str
    payload: bytes
    number: int | None = None
    headers: dict[str, str] | None = None
    is_cancelled: bool = False


class Requests:
    """The requests that wait for a reply.

    Args:
        clock: Schedules the time limits.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._waiting: dict[int, tuple[Message, Deferred[bytes], Any]] = {}

    def add(
        self, subject: str, payload: bytes, timeout: float, headers: dict[str, str] | None = None
    ) -> tuple[Message, Deferred[bytes]]:
        """Return the message of a new request, and a Deferred of its reply."""
        number = next(self._numbers)
        message = Message(subject, payload, number, headers)
        reply: Deferred[bytes] = Deferred(lambda _: self._forget(number))
        timer = self._clock.callLater(timeout, self._expire, number, timeout)
        self._waiting[number] = message, reply, timer
        return message, reply

    def finish(self, number: int, payload: bytes | None) -> None:
        """Fire the Deferred of a request with a reply, or with NoResponder if it is None."""
        found = self._waiting.pop(number, None)
        if found is not None:
            _, reply, timer = found
            timer.cancel()
            reply.callback(Failure(NoResponder()) if payload is None else payload)

    def refuse(self, subject: str) -> bool:
        """Fail the requests to a subject, for lack of a permission.

        Args:
            subject: The subject in lower case.

        Returns:
            Whether there were any.
        """
        found = [
            n for n, (message, *_) in self._waiting.items() if message.subject.lower() == subject
        ]
        for number in found:
            message = self._waiting[number][0]
            self._fail(number, ClusterSetupError(f"no permission to publish to {message.subject}"))
        return bool(found)

    def fail_all(self, reason: str) -> None:
        """Fail all requests. Those that have not been sent will not be sent."""
        for number in list(self._waiting):
            self._fail(number, ClusterError(reason))

    def _expire(self, number: int, timeout: float) -> None:
        self._fail(number, ClusterError(f"no answer from NATS within {timeout:g} s"))

    def _fail(self, number: int, error: ClusterError) -> None:
        reply = self._waiting[number][1]
        self._forget(number)
        reply.errback(error)

    def _forget(self, number: int) -> None:
        """Remove a request. If it has not been sent yet, it is not sent."""
        message, _, timer = self._waiting.pop(number)
        message.is_cancelled = True
        if timer.active():
            timer.cancel()
