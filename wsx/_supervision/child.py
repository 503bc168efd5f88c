"""One child of a supervisor: start it, stop it in any state, and decide whether to restart it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._deferreds import Waiters
from wsx._text import expected, quote
from wsx.child import ChildSpec
from wsx.errors import ChildError
from wsx.reasons import is_normal

__all__ = ["Child", "Running", "linked_spec"]

_log = Logger("wsx")


class Running(Protocol):
    """A started child: a client or a Supervisor."""

    def terminated(self) -> Deferred[Any]:
        """Return a Deferred that fires with the reason when it has ended."""

    def stop(self) -> Deferred[Any]:
        """Stop it and return a Deferred that fires when it has ended."""

    def abort(self) -> object:
        """End it without waiting for anything."""


class Child:
    """A child of a supervisor, whether it runs or not.

    Args:
        spec: Its specification.
        on_end: Called with this child and the reason when it ends without having been stopped.

    Attributes:
        spec: Its specification.
        running: The client or supervisor, or None unless it runs and is not being stopped.
        announced: The client or supervisor that is being started, if it is known already.
        is_starting: Whether a start has begun and not finished.
        should_run: Whether it runs, is being started or is to be started. False once it has ended
            for good or a stop was requested.
        in_group_restart: Whether it is still to be stopped because a sibling is being restarted.
            If it ends before that, this is no reason for another restart.
        gave_up: Whether it ended because its own ``reconnect`` policy gave up.
        start_error_was_logged: Whether the last start failed because the client or supervisor
            ended. It has logged the reason then.
    """

    __slots__ = (
        "_on_end",
        "_start_finished",
        "_starting",
        "_stopping",
        "announced",
        "gave_up",
        "in_group_restart",
        "is_starting",
        "running",
        "should_run",
        "spec",
        "start_error_was_logged",
    )

    def __init__(self, spec: ChildSpec, on_end: Callable[[Child, object], None]) -> None:
        self.spec = spec
        self.running: Running | None = None
        self.announced: Running | None = None
        self.is_starting = False
        self.should_run = False
        self.in_group_restart = False
        self.gave_up = False
        self.start_error_was_logged = False
        self._on_end = on_end
        self._starting: Deferred[Any] | None = None
        self._start_finished: Waiters[None] = Waiters()
        self._stopping: Running | None = None

    async def start(self, call_start: Callable[[], Deferred[Any]], reactor: Any) -> Running:
        """Start the child.

        Args:
            call_start: Calls the ``start`` function of the specification.
            reactor: Limits the time for stopping, if a stop is requested during the start.

        Returns:
            The client or supervisor.

        Raises:
            ChildError: A stop was requested during the start.
            TypeError: The start function returned something else.
            Exception: Any exception of the start function.
        """
        self.should_run = self.is_starting = True
        self.start_error_was_logged = False
        try:
            self._starting = _cancellable(call_start)
            if not self.should_run:  # The start function itself requested the stop.
                self.cancel_start(reactor)
            running = self.announced = _checked(await self._starting)
            if not self.should_run:
                raise ChildError(self.spec.id, "stopped during its start")
            self.attach(running)
            return running
        except Exception:
            if self.announced is not None:
                self.start_error_was_logged = self.announced.terminated().called
                await _stop_within(self.announced, self.spec.shutdown, reactor)
            raise
        finally:
            self.is_starting = False
            self._starting = self.announced = None
            self._start_finished.succeed(None)

    def attach(self, running: Running) -> None:
        """Make a running client or supervisor this child."""
        self.should_run = True
        self.running = running
        running.terminated().addCallback(self._ended, running)

    @property
    def is_linked(self) -> bool:
        """Whether it is a client that was linked to the supervisor and cannot be started again."""
        return self.spec.start is _refuse_start

    def cancel_start(self, reactor: Any) -> None:
        """Stop the client or supervisor that is being started.

        If it has not been announced, cancel the Deferred of the start function.
        """
        self.should_run = False
        if self.announced is None:
            self._cancel_starting()
        else:
            stopping = _stop_within(self.announced, self.spec.shutdown, reactor)
            Deferred.fromCoroutine(stopping).addBoth(self._cancel_starting)

    def _cancel_starting(self, _: object = None) -> None:
        if self._starting is not None:
            self._starting.cancel()

    async def stop(self, reactor: Any) -> None:
        """Stop the child within its ``shutdown``, in whatever state it is."""
        self.should_run = self.in_group_restart = False
        if self.is_starting:
            finished = self._start_finished.add()  # First: cancelling may finish the start at once.
            self.cancel_start(reactor)
            await finished
        if self.running is not None:
            self._stopping, self.running = self.running, None
            await _stop_within(self._stopping, self.spec.shutdown, reactor)
            self._stopping = None

    def abort(self) -> None:
        """Abort the child, also while it is being started or stopped."""
        for running in (self.announced, self.running, self._stopping):
            if running is not None:
                running.abort()
        if self.announced is None:
            self._cancel_starting()

    def _ended(self, reason: object, running: Running) -> None:
        if self.running is running:  # Otherwise it was stopped.
            self.running = None
            self.gave_up = bool(getattr(running, "gave_up", False))
            self._on_end(self, reason)

    def is_restarted_after(self, reason: object) -> bool:
        """Return whether ``restart`` of the specification asks for a restart after this end."""
        if self.spec.restart == "transient":
            # A reconnect policy that gave up (because of a 401, say) would only give up again.
            return not is_normal(reason) and not self.gave_up
        return self.spec.restart == "permanent"

    def restart_delay(self, restarts: int) -> float:
        """Return the delay in seconds before a restart.

        The restart intensity decides when to give up, not the Backoff: the delay is its maximum
        if it gives up, or raises.

        Args:
            restarts: The number of this child's restarts within the period, this one included.
        """
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        try:
            delay = backoff(restarts)
        except Exception:
            _log.failure(
                "backoff of child {child} failed; restarting it in {delay:.1f} s",
                child=quote(self.spec.id),
                delay=backoff.maximum,
            )
            delay = None
        return backoff.maximum if delay is None else max(0.0, delay)


def linked_spec(client: Any) -> ChildSpec:
    """Return the specification of a linked client: a temporary child whose id is the client."""
    return ChildSpec(client, _refuse_start, "temporary", reactor=client.reactor)


def _refuse_start(_: Any) -> Deferred[Any]:
    return fail(ChildError("a linked client", "it cannot be started again"))


def _checked(running: Any) -> Running:
    if not all(callable(getattr(running, name, None)) for name in ("terminated", "stop", "abort")):
        raise TypeError(expected("result of start", "a client or a Supervisor", running))
    return running  # type: ignore[no-any-return]


async def _stop_within(running: Running, seconds: float, reactor: Any) -> None:
    """Stop a client or supervisor, and abort it if that takes longer than so many seconds."""
    stopped = maybeDeferred(running.stop)
    limit = None
    if seconds < math.inf and not stopped.called:
        limit = reactor.callLater(seconds, running.abort)
    try:
        await stopped
    except Exception:
        _log.failure("stopping {running} failed", running=quote(running))
    if limit is not None and limit.active():
        limit.cancel()


def _cancellable(call_start: Callable[[], Deferred[Any]]) -> Deferred[Any]:
    """Call a start function and return a Deferred that can always be cancelled.

    A start function may ignore the cancellation. What it starts after that is aborted.
    """
    started: Deferred[Any] = maybeDeferred(call_start)
    outcome_or_cancelled: Deferred[Any] = Deferred(lambda _: started.cancel())

    def pass_on(outcome: Any) -> None:
        if not outcome_or_cancelled.called:
            outcome_or_cancelled.callback(outcome)
        elif not isinstance(outcome, Failure):
            _checked(outcome).abort()

    started.addBoth(pass_on)
    return outcome_or_cancelled
