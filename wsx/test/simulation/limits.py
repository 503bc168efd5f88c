"""A connection limit under test: in which order and when it lets attempts start."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import wsx
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.terms import EPSILON

if TYPE_CHECKING:
    from wsx.test.simulation.subject import Subject
    from wsx.test.simulation.world import World

HOST = "Shared.example"


class WatchedLimiter(wsx.ConnectLimiter):
    """A limiter that is told of attempts to one host, and compares its decisions with a model."""

    def __init__(self, world: World, *, per_host: int, per_seconds: float) -> None:
        super().__init__(per_host=per_host, per_seconds=per_seconds)
        self._world = world
        self._changed_at = 0.0  # When the limit was changed last.
        self._started: deque[float] = deque(maxlen=1000)
        self._queued: deque[tuple[Subject, object]] = deque()

    def enter(self, host: str, reactor: Any, start: Callable[[], None]) -> Any:
        world, owner = self._world, self._world.reactor.owner
        subject: Subject = owner.subject  # type: ignore[attr-defined]
        subject.touch()
        subject.model.limit_asked()
        self._forget_gone()
        has_room = not self._queued and self._allowed_at() <= world.now + EPSILON
        token = object()
        world.reactor.owner = world.reactor.outside  # The timer of the limiter is shared.
        place = super().enter(host, reactor, lambda: self._start(subject, token, start))
        world.reactor.owner = owner
        if host != HOST.lower() or (place is None) != has_room:
            subject.fail(Rule.LIMIT, f"{host}: starts {place is None}, has room: {has_room}")
        if place is None:
            self._started.append(world.now)
            return None
        least = self._allowed_at() - world.now
        if not self._queued and abs(place.seconds - least) > EPSILON:
            subject.fail(Rule.LIMIT, f"shows a wait of {place.seconds} s instead of {least} s")
        self._queued.append((subject, token))
        subject.model.place = token
        world.note(subject, "waits for the limit", "", "")
        return place

    def _start(self, subject: Subject, token: object, start: Callable[[], None]) -> None:
        world = self._world
        self._forget_gone()
        if not self._queued or self._queued[0][1] is not token:
            subject.fail(Rule.LIMIT, "an attempt starts out of turn")
        else:
            self._queued.popleft()
        due = self._allowed_at()
        if not due - EPSILON <= world.now <= max(due, self._changed_at) + EPSILON + world.tolerance:
            subject.fail(Rule.LIMIT, f"an attempt starts at {world.now} instead of {due}")
        self._started.append(world.now)
        subject.enter()
        start()
        subject.leave()

    def change(self, per_host: int, per_seconds: float) -> None:
        """Change the limit.

        The library remembers no more attempts than the limit allows, so after a change it knows
        only as many as the lower one of both limits.
        """
        known = list(self._started)[-min(self.per_host, per_host) :]
        self._started = deque(known, maxlen=1000)
        reactor = self._world.reactor
        before, reactor.owner = reactor.owner, reactor.outside
        self._changed_at = self._world.now
        self.configure(per_host=per_host, per_seconds=per_seconds)
        reactor.owner = before

    def check(self, subject: Subject, late: float) -> None:
        """Check that no attempt waits in vain."""
        self._forget_gone()
        if self._queued and late > max(self._allowed_at(), self._changed_at):
            subject.fail(Rule.LIMIT, f"an attempt should have started at {self._allowed_at()}")

    def _forget_gone(self) -> None:
        """Forget the attempts that were cancelled."""
        self._queued = deque(each for each in self._queued if each[0].model.place is each[1])

    def _allowed_at(self) -> float:
        """Return when one more attempt may start."""
        if len(self._started) < self.per_host:
            return 0.0
        return self._started[-self.per_host] + self.per_seconds
