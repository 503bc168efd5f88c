"""A reference model of a supervisor: what OTP's supervisor does when a child ends.

The model knows children only by their ids. It predicts the order of starts and ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SupervisorModel:
    """The state of one supervisor.

    Attributes:
        strategy: As for ``Supervisor``.
        max_restarts: As for ``Supervisor``.
        max_seconds: As for ``Supervisor``.
        kinds: The restart type of each child by id, in the order of starting.
        running: The ids of the running children.
        restarts: The times of the restarts within the period.
        given_up: Whether the restart intensity was exceeded.
    """

    strategy: str
    max_restarts: int
    max_seconds: float
    kinds: dict[str, str]
    running: set[str] = field(default_factory=set)
    restarts: list[float] = field(default_factory=list)
    given_up: bool = False

    def start_all(self) -> list[tuple[str, str]]:
        """Return the events of the first start."""
        self.running = set(self.kinds)
        return [("start", id) for id in self.kinds]

    def stop_all(self) -> list[tuple[str, str]]:
        """Return the events of a stop: the children end in reverse order."""
        events = [("end", id) for id in reversed(self.kinds) if id in self.running]
        self.running.clear()
        self.kinds = {id: kind for id, kind in self.kinds.items() if kind != "temporary"}
        return events

    def child_ends(self, id: str, normal: bool, now: float) -> list[tuple[str, str]]:
        """Return the events after a child has ended by itself, its end included."""
        kind = self.kinds[id]
        self.running.discard(id)
        events = [("end", id)]
        if kind == "temporary":
            del self.kinds[id]
        if kind == "temporary" or (kind == "transient" and normal):
            return events
        self.restarts = [t for t in self.restarts if now - t <= self.max_seconds]
        self.restarts.append(now)
        if len(self.restarts) > self.max_restarts:
            self.given_up = True
            return events + self.stop_all()
        return events + self._restart(id)

    def _restart(self, id: str) -> list[tuple[str, str]]:
        ids = list(self.kinds)
        group = [id]
        if self.strategy == "one_for_all":
            group = ids
        elif self.strategy == "rest_for_one":
            group = ids[ids.index(id) :]
        stopped = [other for other in reversed(group) if other in self.running]
        for other in stopped:
            self.running.discard(other)
            if self.kinds[other] == "temporary":
                del self.kinds[other]
        started = [other for other in group if other in self.kinds]
        self.running.update(started)
        return [("end", other) for other in stopped] + [("start", other) for other in started]

    def terminate_child(self, id: str) -> list[tuple[str, str]]:
        """Return the events of the request ``terminate_child``."""
        events = [("end", id)] if id in self.running else []
        self.running.discard(id)
        if self.kinds[id] == "temporary":
            del self.kinds[id]
        return events

    def configure(self, strategy: str, max_restarts: int, max_seconds: float) -> None:
        """Change the limits, and forget the restarts."""
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.restarts.clear()
