"""The library's scheduler, with an owner for each timer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall

from wsx._scheduler import Scheduler, SoonCall
from wsx.test.simulation.reactor import Owner, Reactor


class OwnedScheduler(Scheduler):
    """A scheduler that counts the timers of each owner.

    Args:
        reactor: The virtual reactor.
        failed: Called with the owner and the exception of a timer that has raised.
        after_step: Called after each timer.
    """

    def __init__(
        self,
        reactor: Reactor,
        failed: Callable[[Owner, Exception], None],
        after_step: Callable[[], None],
    ) -> None:
        super().__init__(reactor, reactor.monotonic)
        self._virtual = reactor
        self._failed = failed
        self._after_step = after_step

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall:
        owner = self._virtual.owner
        # A call in the next reactor iteration is not worth counting: it cannot be left over.
        counted = owner if delay else self._virtual.outside
        counted.timers += 1
        call = super().callLater(delay, self._run_owned, owner, counted, callable, args, kw)
        call.owner = counted  # type: ignore[attr-defined]
        return call

    def call_soon(self, function: Callable[[], object]) -> SoonCall:
        owner = self._virtual.owner
        return super().call_soon(lambda: self._run_as(owner, function))

    def _cancel(self, call: Any) -> None:
        call.owner.timers -= 1
        super()._cancel(call)

    def _run_owned(
        self, owner: Owner, counted: Owner, function: Callable[..., object], args: Any, kw: Any
    ) -> None:
        counted.timers -= 1
        self._run_as(owner, lambda: function(*args, **kw))

    def _run_as(self, owner: Owner, function: Callable[[], object]) -> None:
        reactor = self._virtual
        before, reactor.owner = reactor.owner, owner
        try:
            function()
        except Exception as error:
            self._failed(owner, error)
        reactor.owner = before
        self._after_step()
