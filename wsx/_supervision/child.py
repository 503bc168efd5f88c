"""One child of a supervisor: start it, stop it in any state, and decide whether to restart it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._deferreds import Waiters
from wsx._failures import log_failure
from wsx._text import expected, quote
from wsx.child import ChildSpec
from wsx.errors import ChildError
from wsx.reasons import is_normal

__all__ = ["Child", "Running", "linked_spec"]

_log = Logger("wsx")


class Running(Protocol):
    """The interface of a started child: a client or a Supervisor."""

    def terminated(self) -> Deferred[Any]:
        """Return a Deferred that fires with the reason when the child has ended."""

    def stop(self) -> Deferred[Any]:
        """Stop the child, and return a Deferred that fires when the child has ended."""

    def abort(self) -> object:
        """End the child without waiting for anything."""


class Child:
    """A child of a supervisor, whether it runs or not.

    Args:
        spec: The child specification.
        on_end: Called with this child and the reason when the child ends without being stopped.

    Attributes:
        spec: The child specification.
        running: The running client or supervisor; None if it is not running or is being stopped.
        announced: The client or supervisor that is being started; None if it is not known yet.
        is_starting: Whether a start has begun and has not finished.
        should_run: Whether the child runs, is being started or is to be started. False if it has
            ended and is not restarted, or if a stop was requested.
        in_group_restart: Whether the child is going to be stopped because a sibling is being
            restarted. If it ends before that, it is not restarted a second time.
        gave_up: Whether the child ended because its own ``reconnect`` policy gave up.
        start_error_was_logged: Whether the client or supervisor ended during the last start. It
            has logged the reason itself then.
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

    async def start(
        self, call_start: Callable[[], Deferred[Any]], scheduler: IReactorTime
    ) -> Running:
        """Start the child.

        Args:
            call_start: Calls the ``start`` function of the specification.
            scheduler: The scheduler for the ``shutdown`` limit, if the child is stopped meanwhile.

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
            if not self.should_run:  # The start function itself has requested a stop.
                self.cancel_start(scheduler)
            running = self.announced = _checked(await self._starting)
            if not self.should_run:
                raise ChildError(self.spec.id, "stopped during its start")
            self.attach(running)
            return running
        except Exception:
            if self.announced is not None:
                self.start_error_was_logged = self.announced.terminated().called
                await _stop_within(self.announced, self.spec.shutdown, scheduler)
            raise
        finally:
            self.is_starting = False
            self._starting = self.announced = None
            self._start_finished.succeed(None)

    def attach(self, running: Running) -> None:
        """Use a running client or supervisor as this child."""
        self.should_run = True
        self.running = running
        running.terminated().addCallback(self._ended, running)

    @property
    def is_linked(self) -> bool:
        """Whether the child is a client that was linked, and so cannot be started again."""
        return self.spec.start is _refuse_start

    def cancel_start(self, scheduler: IReactorTime) -> None:
        """Stop the client or supervisor that is being started.

        If none has been announced, cancel the Deferred of the start function.

        Args:
            scheduler: The scheduler for the ``shutdown`` limit.
        """
        self.should_run = False
        starting = self._starting
        if self.announced is None:
            self._cancel(starting)
        else:
            stopping = _stop_within(self.announced, self.spec.shutdown, scheduler)
            Deferred.fromCoroutine(stopping).addBoth(lambda _: self._cancel(starting))

    def _cancel(self, starting: Deferred[Any] | None) -> None:
        """Cancel the Deferred of a start, unless that start is over: another one may have begun."""
        if starting is not None and starting is self._starting:
            starting.cancel()

    async def stop(self, scheduler: IReactorTime) -> None:
        """Stop the child within its ``shutdown``, in any state.

        Args:
            scheduler: The scheduler for the ``shutdown`` limit.
        """
        self.should_run = self.in_group_restart = False
        if self.is_starting:
            finished = self._start_finished.add()  # First: cancelling may finish the start at once.
            self.cancel_start(scheduler)
            await finished
        if self.running is not None:
            self._stopping, self.running = self.running, None
            await _stop_within(self._stopping, self.spec.shutdown, scheduler)
            self._stopping = None

    def abort(self) -> None:
        """Abort the child, even while it is being started or stopped."""
        for running in (self.announced, self.running, self._stopping):
            if running is not None:
                running.abort()
        if self.announced is None:
            self._cancel(self._starting)

    def _ended(self, reason: object, running: Running) -> None:
        if self.running is running:  # Otherwise it was stopped.
            self.running = None
            self.gave_up = bool(getattr(running, "gave_up", False))
            self._on_end(self, reason)

    def is_restarted_after(self, reason: object) -> bool:
        """Return whether the child is restarted after it has ended for this reason."""
        if self.spec.restart == "transient":
            # If the reconnect policy gave up, for example after a 401, it would give up again.
            return not is_normal(reason) and not self.gave_up
        return self.spec.restart == "permanent"

    def restart_delay(self, restarts: int) -> float:
        """Return the delay in seconds before a restart.

        If the Backoff gives up or raises, the delay is the maximum of the Backoff, because the
        restart intensity decides when to give up.

        Args:
            restarts: The number of this child's restarts within the period, including this one.
        """
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        try:
            delay = backoff(restarts)
        except Exception:
            log_failure(
                _log,
                "backoff of child {child} failed; restarting the child in {delay:.1f} s",
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


async def _stop_within(running: Running, seconds: float, scheduler: IReactorTime) -> None:
    """Stop a client or supervisor, and abort it if it has not stopped after ``seconds``."""
    stopped = maybeDeferred(running.stop)
    limit = None
    if seconds < math.inf and not stopped.called:
        limit = scheduler.callLater(seconds, running.abort)
    try:
        await stopped
    except Exception:
        log_failure(_log, "stopping {running} failed", running=quote(running))
    if limit is not None and limit.active():
        limit.cancel()


def _cancellable(call_start: Callable[[], Deferred[Any]]) -> Deferred[Any]:
    """Call a start function and return a Deferred that can always be cancelled.

    A start function may ignore the cancellation. A client or supervisor with which its Deferred
    then fires is aborted.
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
