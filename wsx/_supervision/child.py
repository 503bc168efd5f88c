"""One child of a supervisor: how it is started, and stopped in whatever state it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._deferreds import Waiters
from wsx._text import shorten
from wsx.child import ChildSpec
from wsx.errors import ChildError

__all__ = ["Running", "Supervised"]

_log = Logger("wsx")


class Running(Protocol):
    """What a started child can do: a client, or a Supervisor."""

    def terminated(self) -> Deferred[Any]:
        """Gives a Deferred of the reason with which it ends."""

    def stop(self) -> Deferred[Any]:
        """Ends it; gives a Deferred of the end."""

    def abort(self) -> object:
        """Ends it at once, whatever it waits for."""


class Supervised:
    """A child, running or not.

    Args:
        spec: how to start and stop it.
        ended: called with the child and the reason, when it ends by itself.

    Attributes:
        running: what was started, while it runs and is not being stopped.
        wanted: it runs, or is to run: False once it has ended for good or is to stop.
        falling: it will be stopped together with a sibling, to be started again: if it ends before
            that, that is no end of its own.
        gave_up: it ended because its own ``reconnect`` policy had enough.
        is_starting: a start is under way.
    """

    __slots__ = (
        "_ended",
        "_leaving",
        "_settled",
        "_starting",
        "born",
        "falling",
        "gave_up",
        "is_starting",
        "running",
        "spec",
        "wanted",
    )

    def __init__(self, spec: ChildSpec, ended: Callable[[Supervised, object], None]) -> None:
        self.spec = spec
        self.running: Running | None = None
        self.wanted = False
        self.falling = False
        self.is_starting = False
        self.born: Running | None = None  # what is being started, where that is known already
        self._ended = ended
        self.gave_up = False
        self._starting: Deferred[Any] | None = None
        self._settled: Waiters[None] = Waiters()
        self._leaving: Running | None = None  # what is being stopped

    async def start(self, begin: Callable[[], Deferred[Any]], reactor: Any) -> Running:
        """Starts it.

        Args:
            begin: calls the specification's ``start``.
            reactor: for the time it may take to stop, should it be stopped meanwhile.

        Raises:
            ChildError: it was stopped meanwhile.
            TypeError: what was started is neither a client nor a Supervisor.
            Exception: whatever the start fails with.
        """
        self.wanted = self.is_starting = True
        try:
            self._starting = _abandonable(begin)
            if not self.wanted:  # it was stopped by its own start function
                self.interrupt(reactor)
            running = self.born = _check(await self._starting)
            if not self.wanted:
                raise ChildError(self.spec.id, "it was stopped while it started")
            self.take(running)
            return running
        except Exception:
            if self.born is not None:
                await _stop_in_time(self.born, self.spec.shutdown, reactor)
            raise
        finally:
            self.is_starting = False
            self._starting = self.born = None
            self._settled.succeed(None)

    def take(self, running: Running) -> None:
        """Takes what runs as this child."""
        self.wanted = True
        self.running = running
        running.terminated().addCallback(self._has_ended, running)

    def interrupt(self, reactor: Any) -> None:
        """Stops what is being started; where that is not known, its Deferred is cancelled."""
        self.wanted = False
        if self.born is None:
            self._no_more()
        else:
            stopping = _stop_in_time(self.born, self.spec.shutdown, reactor)
            Deferred.fromCoroutine(stopping).addBoth(self._no_more)

    def _no_more(self, _: object = None) -> None:
        """Waits no longer for the start."""
        if self._starting is not None:
            self._starting.cancel()

    async def stop(self, reactor: Any) -> None:
        """Stops it, in whatever state, within its ``shutdown``."""
        self.wanted = self.falling = False
        if self.is_starting:
            self.interrupt(reactor)
            await self._settled.add()
        if self.running is not None:
            self._leaving, self.running = self.running, None
            await _stop_in_time(self._leaving, self.spec.shutdown, reactor)
            self._leaving = None

    def abort(self) -> None:
        """Cuts it off, also while it starts or is being stopped."""
        for running in (self.born, self.running, self._leaving):
            if running is not None:
                running.abort()
        if self.born is None:
            self._no_more()

    def _has_ended(self, reason: object, running: Running) -> None:
        if self.running is running:  # else it was stopped
            self.running = None
            self.gave_up = bool(getattr(running, "gave_up", False))
            self._ended(self, reason)


def _check(running: Any) -> Running:
    if not all(callable(getattr(running, name, None)) for name in ("terminated", "stop", "abort")):
        raise TypeError(f"a start gives a client or a Supervisor, not {shorten(running)}")
    return running  # type: ignore[no-any-return]


async def _stop_in_time(running: Running, seconds: float, reactor: Any) -> None:
    """Stops what runs; past so many seconds it is cut off."""
    stopped = maybeDeferred(running.stop)
    limit = None
    if seconds < math.inf and not stopped.called:
        limit = reactor.callLater(seconds, running.abort)
    try:
        await stopped
    except Exception:
        _log.failure("{running!r} could not be stopped", running=running)
    if limit is not None and limit.active():
        limit.cancel()


def _abandonable(begin: Callable[[], Deferred[Any]]) -> Deferred[Any]:
    """Gives a Deferred that fails when it is cancelled, whatever the start makes of that.

    What comes up later all the same is cut off.
    """
    started: Deferred[Any] = maybeDeferred(begin)
    shown: Deferred[Any] = Deferred(lambda _: started.cancel())

    def settle(outcome: Any) -> None:
        if not shown.called:
            shown.callback(outcome)
        elif not isinstance(outcome, Failure):
            _check(outcome).abort()

    started.addBoth(settle)
    return shown
