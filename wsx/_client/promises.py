"""The Deferreds of ``start``, ``when_open``, ``close`` and ``terminated`` of one client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from wsx._deferreds import AnyDeferred, Waiters
from wsx.errors import as_exception

__all__ = ["Promises"]


class Promises:
    """The Deferreds of one client.

    Args:
        client: The client, with which the Deferreds of ``start`` and ``when_open`` fire.

    Attributes:
        ended: Whether the client has ended.
        reason: The reason of the client's end, or None before it has ended.
    """

    __slots__ = ("_client", "_closed", "_opening", "_started", "_terminated", "ended", "reason")

    def __init__(self, client: Any) -> None:
        self.ended = False
        self.reason: object = None
        self._client = client
        self._started: Deferred[Any] | None = None
        self._opening: Waiters[Any] = Waiters()
        self._closed: Waiters[None] = Waiters()
        self._terminated: Waiters[object] = Waiters()

    def start(self, cancelled: Callable[[], None]) -> Deferred[Any]:
        """Return the Deferred of ``start``, which fires once ``handle_connect`` has returned.

        Args:
            cancelled: Called if the user cancels the Deferred.
        """

        def cancel(_: Deferred[Any]) -> None:
            self._started = None
            cancelled()

        self._started = AnyDeferred(cancel)
        return self._started

    def forget_start(self) -> None:
        """Drop the Deferred of ``start``: starting raises instead."""
        self._started = None

    def when_open(self) -> Deferred[Any]:
        """Return a Deferred that fires with the client once it is open."""
        return fail(as_exception(self.reason)) if self.ended else self._opening.add()

    def when_closed(self) -> Deferred[None]:
        """Return a Deferred that fires with None when the current connection has ended."""
        return self._closed.add()

    def when_terminated(self) -> Deferred[object]:
        """Return a Deferred that fires with the reason when the client has ended."""
        return succeed(self.reason) if self.ended else self._terminated.add()

    def fulfil_start(self) -> None:
        """Fire the Deferred of ``start``."""
        started, self._started = self._started, None
        if started is not None:
            started.callback(self._client)

    def fulfil_open(self) -> None:
        """Fire the Deferreds of ``when_open``."""
        self._opening.succeed(self._client)

    def fulfil_closed(self) -> None:
        """Fire the Deferreds of ``when_closed``."""
        self._closed.succeed(None)

    def end(self, reason: object) -> None:
        """Fire the Deferreds of ``terminated`` with the reason, and fail the others with it."""
        self.ended, self.reason = True, reason
        started, self._started = self._started, None
        if started is not None:
            started.errback(as_exception(reason))
        self._opening.fail(as_exception(reason))
        self._terminated.succeed(reason)
