"""Pending restarts: children that are started together after a delay."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from wsx._supervision.child import Child
from wsx._supervision.intensity import Intensity

__all__ = ["PendingRestart", "PendingRestarts"]


class PendingRestart:
    """Children that are started together after one delay.

    Attributes:
        children: The children that still wait, in the order in which they are started.
        causes: The children among these that ended by themselves. The others are siblings that were
            stopped.
        scheduler: The scheduler for the delay.
        timer: The timer of the delay, or None before it is started.
    """

    __slots__ = ("causes", "children", "scheduler", "timer")

    def __init__(self, children: list[Child], causes: set[Child], scheduler: IReactorTime) -> None:
        self.children = children
        self.causes = causes
        self.scheduler = scheduler
        self.timer: IDelayedCall | None = None

    def seconds_left(self) -> float:
        """Return the remaining delay in seconds."""
        if self.timer is None or not self.timer.active():
            return 0.0
        return max(0.0, self.timer.getTime() - self.scheduler.seconds())

    def cancel(self) -> None:
        """Cancel the timer, unless it has fired."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


class PendingRestarts:
    """The restarts of a supervisor that wait for their delay.

    While a restart waits, the restart intensity pauses the clocks of the children that caused it.

    Args:
        intensity: The restart intensity of the supervisor.
        on_due: Called with a :class:`PendingRestart` when its delay is over. The restart remains
            pending until :meth:`finish` is called, because it may have to wait for other jobs.
    """

    def __init__(self, intensity: Intensity, on_due: Callable[[PendingRestart], object]) -> None:
        self._intensity = intensity
        self._on_due = on_due
        self._by_child: dict[Child, PendingRestart] = {}

    def __contains__(self, child: Child) -> bool:
        return child in self._by_child

    def add(
        self, children: list[Child], causes: set[Child], delay: float, scheduler: IReactorTime
    ) -> None:
        """Add a restart.

        Args:
            children: The children to start, in this order.
            causes: The children among these that ended by themselves.
            delay: The delay in seconds.
            scheduler: The scheduler for the time.
        """
        restart = PendingRestart(list(children), set(causes), scheduler)
        for child in restart.children:
            self.discard(child)
            self._by_child[child] = restart
        for child in causes:
            self._intensity.pause(child, scheduler.seconds())
        restart.timer = scheduler.callLater(delay, self._due, restart)

    def discard(self, child: Child) -> None:
        """Remove a child from its restart. A restart without children is cancelled."""
        restart = self._by_child.pop(child, None)
        if restart is None:
            return
        self._intensity.resume(child, restart.scheduler.seconds())
        restart.children.remove(child)
        restart.causes.discard(child)
        if not restart.children:
            restart.cancel()

    def take(self, children: list[Child]) -> tuple[set[Child], float]:
        """Remove children from their restarts, because the restart of a sibling includes them.

        Returns:
            The causes of these restarts, and the longest of their remaining delays in seconds.
        """
        restarts = {self._by_child[child] for child in children if child in self._by_child}
        causes = {child for restart in restarts for child in restart.causes}
        seconds_left = max((restart.seconds_left() for restart in restarts), default=0.0)
        for child in children:
            self.discard(child)
        return causes, seconds_left

    def finish(self, restart: PendingRestart) -> list[Child]:
        """Remove a restart that is due.

        Returns:
            The children to start, without those that were discarded meanwhile.
        """
        children = list(restart.children)
        for child in children:
            self.discard(child)
        return children

    def clear(self) -> None:
        """Remove all children from their restarts, which cancels the restarts."""
        for child in list(self._by_child):
            self.discard(child)

    def _due(self, restart: PendingRestart) -> None:
        for child in restart.causes:
            self._intensity.resume(child, restart.scheduler.seconds())
        self._on_due(restart)
