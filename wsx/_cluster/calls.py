"""The caller's side of calls: send the calls of one reactor iteration together; match replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsx._cluster.call_format import (
    MAX_CALLS,
    REQUEST_OVERHEAD,
    decode_reply,
    encode_request,
    subjects_for,
)
from wsx._cluster.error_values import error_from_value
from wsx._cluster.store import Link, NoResponder
from wsx._cluster.values import check_value, pack
from wsx._deferreds import AnyDeferred
from wsx._failures import cause_of
from wsx._scheduler import scheduler_for
from wsx._text import describe
from wsx.errors import ClusterError, ClusterSetupError, UnknownNameError

__all__ = ["Calls"]

# The holder performs these at once, so a common reply delays none of them.
_SENT_TOGETHER: Final = frozenset({"cast", "info"})


class _Call:
    """One call.

    Attributes:
        operation: The operation.
        packed: The call in the form of a request.
        timeout: The time limit for the reply in seconds.
        known: The attributes of errors that the holder does not send.
        answer: Fires with the result.
    """

    __slots__ = ("answer", "known", "operation", "packed", "timeout")

    def __init__(
        self, operation: str, packed: bytes, timeout: float, known: Mapping[str, Any]
    ) -> None:
        self.operation = operation
        self.packed = packed
        self.timeout = timeout
        self.known = known
        self.answer: Deferred[Any] = AnyDeferred()

    def may_follow(self, last: _Call) -> bool:
        """Return whether this call may be in the same request as the one before it."""
        together = self.operation in _SENT_TOGETHER and last.operation in _SENT_TOGETHER
        return together and self.timeout == last.timeout

    def fail(self, error: Exception) -> None:
        """Fail the answer, unless it was cancelled."""
        if not self.answer.called:
            self.answer.errback(error)

    def finish(self, succeeded: bool, value: object) -> None:
        """Fire the answer with the outcome that the holder has sent."""
        if self.answer.called:
            return
        if not succeeded:
            self.answer.errback(error_from_value(value, self.known))
        elif value is None:
            self.answer.callback(None)
        else:
            try:
                check_value(value, f"result of {self.operation}")
            except TypeError as error:
                self.answer.errback(ClusterError(f"malformed reply: {error}"))
            else:
                self.answer.callback(value)


class Calls:
    """Send the calls of this process to the holders of names.

    All calls to a name go through one object, so that they are delivered in order. Calls of one
    reactor iteration are sent together.

    Args:
        link: The link to NATS.
        bucket: The name of the bucket.
        reactor: The reactor.
    """

    def __init__(self, link: Link, bucket: str, reactor: Any) -> None:
        self._link = link
        self._bucket = bucket
        self._scheduler = scheduler_for(reactor)
        self._queues: dict[str, list[_Call]] = {}  # by subject

    def subjects(self, token: str) -> dict[str, str]:
        """Return the subject of each group of operations, for the token of a name."""
        return subjects_for(self._bucket, token)

    def add(
        self, subject: str, call: list[Any], timeout: float, known: Mapping[str, Any]
    ) -> Deferred[Any]:
        """Send a call in a later reactor iteration.

        Args:
            subject: One of the subjects of the name.
            call: The operation and its arguments, which must be MessagePack values.
            timeout: The time limit for the reply in seconds.
            known: ``name``, and the other attributes for :func:`error_from_value`.

        Returns:
            A Deferred that fires with the result, or fails with the error of the call. It fails
            with :class:`wsx.UnknownNameError` if no client has the name, and with
            :class:`wsx.ClusterError` if the call cannot be sent or there is no valid reply. A call
            whose Deferred is cancelled before it was sent is not sent.
        """
        queue = self._queues.get(subject)
        if queue is None:
            if not self._queues:
                self._scheduler.call_soon(self._flush)
            queue = self._queues[subject] = []
        queue.append(added := _Call(call[0], pack(call), timeout, known))
        return added.answer

    def _flush(self) -> None:
        queues, self._queues = self._queues, {}
        for subject, queue in queues.items():
            for batch in _batches(queue, self._link.max_payload):
                self._send(subject, batch)

    def _send(self, subject: str, batch: list[_Call]) -> None:
        request = encode_request([call.packed for call in batch])
        connected, limit = self._link.is_connected, self._link.max_payload
        if connected and len(request) > limit:
            text = f"the message has {len(request)} bytes, and NATS accepts {limit}"
            batch[0].fail(ClusterError(f"{text}; it was not sent"))
            return
        asked = self._link.request(subject, request, batch[0].timeout)
        asked.addCallbacks(partial(_finish, batch), partial(_fail, batch, connected))


def _batches(queue: list[_Call], limit: int) -> Iterator[list[_Call]]:
    """Yield the calls in order, in lists that fit into one request each.

    A call that is too large is yielded alone.
    """
    batch: list[_Call] = []
    size = REQUEST_OVERHEAD
    for call in queue:
        if call.answer.called:  # It was cancelled.
            continue
        size += len(call.packed)
        if batch and (size > limit or len(batch) == MAX_CALLS or not call.may_follow(batch[-1])):
            yield batch
            batch, size = [], REQUEST_OVERHEAD + len(call.packed)
        batch.append(call)
    if batch:
        yield batch


def _finish(batch: list[_Call], reply: bytes) -> None:
    """Fire the answers of calls with the outcomes in a reply."""
    try:
        outcomes = decode_reply(reply, len(batch))
    except ValueError as error:
        for call in batch:
            call.fail(ClusterError(f"malformed reply: {error}; {_may_have_arrived(call)}"))
        return
    for call, (succeeded, value) in zip(batch, outcomes, strict=True):
        call.finish(succeeded, value)


def _fail(batch: list[_Call], connected: bool, failure: Failure) -> None:
    """Fail the answers of calls whose request has failed.

    Args:
        batch: The calls.
        connected: Whether there was a connection to NATS when the request was sent.
        failure: The failure of the request.
    """
    error = cause_of(failure)
    reason = error.reason if isinstance(error, ClusterError) else describe(error)
    may_have_arrived = connected and not isinstance(error, ClusterSetupError)  # No permission.
    for call in batch:
        if isinstance(error, NoResponder):
            call.fail(UnknownNameError(call.known["name"]))
        elif may_have_arrived:
            call.fail(ClusterError(f"{reason}; {_may_have_arrived(call)}"))
        else:
            call.fail(ClusterError(f"{reason}; the {call.operation} was not sent"))


def _may_have_arrived(call: _Call) -> str:
    return f"the {call.operation} may have been delivered"
