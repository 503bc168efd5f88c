"""Restart strategies: which children are restarted when one of them has ended, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from wsx._supervision.child import Child
from wsx._supervision.children import Children
from wsx._supervision.intensity import Intensity
from wsx._supervision.jobs import JobQueue
from wsx._supervision.log import SupervisorLog
from wsx._supervision.pending import PendingRestart, PendingRestarts
from wsx._text import expected
from wsx.errors import MaxRestartsExceeded

__all__ = ["STRATEGIES", "Restarts"]

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")


class Restarts:
    """Restart children according to the strategy, within the limits of the restart intensity.

    The restart of a single child does not wait for jobs. The restart of a group is a job.

    Args:
        children: The children of the supervisor.
        jobs: The job queue of the supervisor.
        log: The log of the supervisor.
        is_ending: Returns whether the supervisor is ending. No child is restarted then.
        give_up: Called with a :class:`MaxRestartsExceeded` when there are too many restarts.
    """

    def __init__(
        self,
        children: Children,
        jobs: JobQueue,
        log: SupervisorLog,
        is_ending: Callable[[], bool],
        give_up: Callable[[MaxRestartsExceeded], None],
    ) -> None:
        self._children = children
        self._jobs = jobs
        self._log = log
        self._is_ending = is_ending
        self._give_up = give_up
        self._strategy = "one_for_one"
        self._intensity = Intensity(3, 5.0)
        self._pending = PendingRestarts(self._intensity, self._is_due)

    def configure(self, strategy: str, max_restarts: int, max_seconds: float) -> None:
        """Set the strategy and the restart intensity, and forget the restarts so far.

        Raises:
            ValueError: An argument is out of range; nothing has changed then.
        """
        if strategy not in STRATEGIES:
            any_strategy = '"one_for_one", "one_for_all" or "rest_for_one"'
            raise ValueError(expected("strategy", any_strategy, strategy))
        self._intensity.configure(max_restarts, max_seconds)
        self._strategy = strategy

    def restart(self, child: Child, reason: object) -> None:
        """Count a restart of a child, and schedule it together with its siblings.

        Args:
            child: A child that has ended, or could not be started.
            reason: The reason of the end, or the exception of the start.
        """
        restarts = self._intensity.add(child, self._children.scheduler.seconds())
        if self._intensity.is_exceeded:
            self._log.too_many_restarts(self._intensity)
            self._give_up(self._intensity.error(reason))
            return
        delay = child.restart_delay(restarts)
        group = self._group_of(child)
        self._log.restarting(child, len(group) - 1, delay, self._intensity)
        if group == [child]:
            self._schedule(group, {child}, delay)
            return
        for member in group:
            member.in_group_restart = True
        self._jobs.add_logged(lambda: self._restart_group(child, group, delay))

    def cancel(self, child: Child) -> None:
        """Cancel the pending restart of a child."""
        self._pending.discard(child)

    def cancel_all(self) -> None:
        """Cancel all pending restarts."""
        self._pending.clear()

    def forget_all(self) -> None:
        """Forget the restarts of all children."""
        self._intensity.clear()

    def _group_of(self, child: Child) -> list[Child]:
        """Return the child and the siblings that the strategy restarts with it, in order."""
        if self._strategy == "one_for_one":
            return [child]
        if self._strategy == "one_for_all":
            return list(self._children)
        return self._children.starting_with(child)

    async def _restart_group(self, cause: Child, group: list[Child], delay: float) -> None:
        """Stop the siblings of a child that has ended, then schedule the restart of all."""
        causes, seconds_left = self._pending.take(group)
        causes.add(cause)
        # A request may have terminated the child meanwhile. Its siblings are restarted anyway.
        was_terminated = not cause.should_run
        await self._children.stop_in_reverse(child for child in group if child is not cause)
        cause.in_group_restart = False
        if not self._is_ending():
            restarted = [child for child in group if child in self._children]
            if was_terminated and cause in restarted:
                restarted.remove(cause)
            self._schedule(restarted, causes & set(restarted), max(delay, seconds_left))

    def _schedule(self, children: list[Child], causes: set[Child], delay: float) -> None:
        for child in children:
            child.should_run = True
        self._pending.add(children, causes, delay, self._children.scheduler)

    def _is_due(self, restart: PendingRestart) -> None:
        if len(restart.children) == 1 and self._strategy == "one_for_one":
            starting = Deferred.fromCoroutine(self._start(restart))
            starting.addErrback(self._log.internal_error)
        else:
            self._jobs.add_logged(lambda: self._start(restart))

    async def _start(self, restart: PendingRestart) -> None:
        """Start the children of a restart. A start that fails counts as another restart."""
        children = self._pending.finish(restart)
        while children and not self._is_ending():
            child = children.pop(0)
            try:
                await self._children.start(child)
            except Exception as error:
                # If a stop was requested, the stop has caused the error.
                if child.should_run and not self._is_ending():
                    self._log.restart_failed(child, error)
                    self.restart(child, error)
                    group = self._group_of(child)
                    children = [child for child in children if child not in group]
