"""The holder's side of calls: perform those of other processes on the local client."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger

from wsx._arguments import require
from wsx._cluster.call_format import (
    DONE,
    OPERATIONS,
    check_timeout,
    decode_request,
    encode_refusal,
    encode_reply,
    subjects_for,
)
from wsx._cluster.error_values import error_to_value
from wsx._cluster.frame_values import frame_from_value
from wsx._cluster.status_values import status_to_value
from wsx._cluster.store import Link
from wsx._cluster.values import check_value
from wsx._failures import cause_of
from wsx._scheduler import scheduler_for
from wsx._text import describe, expected, line, quote, shorten
from wsx.client import Client
from wsx.errors import ClusterError, UnknownNameError

__all__ = ["Serving"]

_log = Logger("wsx")

_LOST: Final = (
    "the process that replied has lost the name; another process may hold it and may have received "
    "the call"
)
_LOG_INTERVAL: Final = 60.0  # seconds between two log lines about rejected requests of one name


class Serving:
    """Serve the requests for one name, as long as a client of this process holds it.

    The calls of a request are performed in order. A call that takes time, such as ``send_frame``,
    does not delay the next ones. The reply is sent when all calls are done.

    Args:
        link: The link to NATS.
        client: The client.
        name: The name, for messages.
        token: The token for the name.
        bucket: The name of the bucket.
        is_held: Returns whether the client may still use the name. Otherwise requests fail with
            :class:`wsx.ClusterError`, because another process may hold the name, and may also have
            performed them. Default: always.
    """

    def __init__(
        self,
        link: Link,
        client: Client[Any],
        name: object,
        token: str,
        bucket: str,
        is_held: Callable[[], bool] = lambda: True,
    ) -> None:
        self._link = link
        self._client = client
        self._name = name
        self._subjects = subjects_for(bucket, token)
        self._is_held = is_held
        self._has_stopped = False
        self._subscriptions: list[Callable[[], Deferred[None]]] = []
        self._scheduler = scheduler_for(client.reactor)
        self._logged_at = -math.inf
        # Each function, and the number of its arguments.
        self._functions: dict[str, tuple[Callable[..., Any], int]] = {
            "cast": (client.cast, 1),
            "info": (client.info, 1),
            "send_frame": (self._send_frame, 2),
            "status": (lambda: client.status, 0),
            "get_state": (client.sys.get_state, 0),
            "get_status": (lambda: status_to_value(client.sys.get_status()), 0),
            "trace": (client.sys.trace, 1),
            "close": (client.close, 2),
            "stop": (self._stop_client, 1),
        }

    # The subscriptions

    def start(self) -> Deferred[None]:
        """Subscribe.

        Returns:
            A Deferred that fires with None when all requests are served. If a subscription fails,
            the others are ended, and the Deferred fails with :class:`wsx.ClusterError`.
        """
        subscribing = [
            self._link.subscribe(subject, partial(self._serve, group)).addCallback(self._add)
            for group, subject in self._subjects.items()
        ]
        return DeferredList(subscribing, consumeErrors=True).addCallback(self._check_started)

    def _add(self, unsubscribe: Callable[[], Deferred[None]]) -> Deferred[None] | None:
        if self._has_stopped:
            return unsubscribe()
        self._subscriptions.append(unsubscribe)
        return None

    def _check_started(self, outcomes: list[tuple[bool, Any]]) -> Any:
        failures = [outcome for succeeded, outcome in outcomes if not succeeded]
        return self.stop().addCallback(lambda _: failures[0]) if failures else None

    def stop(self) -> Deferred[None]:
        """Refuse new requests, and unsubscribe. Earlier requests are completed.

        Returns:
            A Deferred that fires with None when all subscriptions have ended. It never fails.
        """
        self._has_stopped = True
        subscriptions, self._subscriptions = self._subscriptions, []
        # A failure means that the connection has ended, and the subscription with it.
        ending = DeferredList([end() for end in subscriptions], consumeErrors=True)
        return ending.addCallback(lambda _: None)

    # Requests

    def _serve(self, group: str, request: bytes) -> Deferred[bytes]:
        """Perform the calls of a request, and return a Deferred of the reply."""
        if not self._is_held():
            return succeed(encode_refusal(ClusterError(_LOST)))
        if self._has_stopped:
            return succeed(encode_refusal(UnknownNameError(self._name)))
        try:
            calls = decode_request(request)
        except ValueError as error:
            self._log_rejected(group, str(error))
            return succeed(encode_refusal(ClusterError(f"the holder rejected a request: {error}")))
        outcomes: list[Any] = [self._perform(group, call) for call in calls]
        # Faster than isinstance, because Deferred is a subclass of an abstract base class.
        pending = [outcome for outcome in outcomes if type(outcome) is not list]
        if not pending:
            return succeed(self._reply(outcomes))

        def reply(done: list[tuple[bool, list[Any]]]) -> bytes:
            late = iter(done)
            return self._reply([o if type(o) is list else next(late)[1] for o in outcomes])

        return DeferredList(pending).addCallback(reply)

    def _reply(self, outcomes: list[list[Any]]) -> bytes:
        reply = encode_reply(outcomes)
        limit = self._link.max_payload
        if len(reply) <= limit:
            return reply
        what = f"the reply has {len(reply)} bytes, and NATS accepts {limit}"
        return encode_refusal(ClusterError(f"{what}; the call was performed"))

    def _perform(self, group: str, call: list[Any]) -> list[Any] | Deferred[list[Any]]:
        """Perform one call, and return its outcome."""
        operation, arguments = call[0], call[1:]
        try:
            self._check(group, operation, arguments)
        except (ClusterError, TypeError) as error:
            self._log_rejected(group, str(error))
            return _failed(error)
        try:
            result = self._functions[operation][0](*arguments)
        except Exception as error:
            return _failed(error)
        if result is None:
            return DONE
        if isinstance(result, Deferred):
            result.addCallback(partial(_succeeded, operation))
            return result.addErrback(lambda failure: _failed(cause_of(failure)))
        return _succeeded(operation, result)

    def _check(self, group: str, operation: str, arguments: list[Any]) -> None:
        """Check a call.

        Raises:
            ClusterError: The call is not allowed, or has the wrong number of arguments.
            TypeError: An argument is not a MessagePack value.
        """
        if operation not in OPERATIONS[group]:
            subject = self._subjects[group]
            raise ClusterError(f"operation {quote(operation)} is not allowed on {subject}")
        count = self._functions[operation][1]
        if len(arguments) != count:
            raise ClusterError(expected(operation, f"{count} arguments", len(arguments)))
        for argument in arguments:
            check_value(argument, "argument")

    def _log_rejected(self, group: str, problem: str) -> None:
        now = self._scheduler.seconds()
        if now - self._logged_at >= _LOG_INTERVAL:
            self._logged_at = now
            _log.warn(
                "{name}: rejected a request on {subject}: {problem} "
                "(others are not logged for {seconds:g} s)",
                name=shorten(self._name),
                subject=self._subjects[group],
                problem=line(problem, 300),
                seconds=_LOG_INTERVAL,
            )

    # Operations

    def _send_frame(self, frame: Any, timeout: Any) -> Deferred[None]:
        check_timeout(timeout)
        return self._client.send_frame(frame_from_value(frame), timeout)

    def _stop_client(self, detail: Any) -> Deferred[str]:
        require(isinstance(detail, str), "detail", "a str", detail, TypeError)
        return self._client.stop(detail).addCallback(describe)


def _succeeded(operation: str, result: Any) -> list[Any]:
    """Return the outcome for a result."""
    if result is None:
        return DONE
    try:
        check_value(result, operation.removeprefix("get_"))
    except TypeError as error:
        return _failed(error)
    return [True, result]


def _failed(error: BaseException) -> list[Any]:
    """Return the outcome for an exception."""
    return [False, error_to_value(error)]
