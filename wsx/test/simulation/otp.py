"""A reference model of a supervisor: what OTP's supervisor does, and what wsx adds.

The model is told about each event: a child is started, its start has finished, it is stopped, it
has ended. It compares the starts and stops with those that it expects. Jobs are generators; each
yields what must happen next: ``("start", child)`` and ``("stop", child)`` must happen at once,
``("wait", child)`` takes as long as the start or the stop of the child.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

import wsx
from wsx.test.simulation.policy import backoff_bounds

EPSILON = 1e-3  # seconds

Job = Generator[tuple[str, "Kid"], None, str]


@dataclass(frozen=True)
class KidSpec:
    """What the model knows about a child specification."""

    id: str
    kind: str = "permanent"
    backoff: wsx.Backoff | None = None
    shutdown: float = 5.0


@dataclass(eq=False)
class Kid:
    """A child.

    Attributes:
        spec: Its specification.
        state: ``"idle"``, ``"starting"``, ``"running"`` or ``"stopping"``.
        wanted: Whether it runs or is going to be started.
        grouped: Whether it is going to be stopped because a sibling is restarted.
        start_failed: Whether its last start has failed.
        cancelled: Since when its start must be stopped, or None.
        since: When it was told to stop.
        restarts: The times of its restarts; they count even after it was removed.
        waits: The periods in which it has waited for its Backoff.
    """

    spec: KidSpec
    state: str = "idle"
    wanted: bool = True
    grouped: bool = False
    start_failed: bool = False
    cancelled: float | None = None
    since: float = 0.0
    restarts: list[float] = field(default_factory=list)
    waits: list[list[float]] = field(default_factory=list)

    def age(self, restart: float, now: float) -> float:
        """Return the age of a restart, without the periods in which the child has waited."""
        waited = (max(0.0, min(end, now) - max(begin, restart)) for begin, end in self.waits)
        return now - restart - sum(waited)

    def pause(self, now: float) -> None:
        self.waits.append([now, float("inf")])

    def resume(self, now: float) -> None:
        if self.waits:
            self.waits[-1][1] = min(self.waits[-1][1], now)


@dataclass(eq=False)
class Pending:
    """Children that are started together at a time."""

    kids: list[Kid]
    causes: set[Kid]
    due: float
    fired: bool = False


@dataclass(eq=False)
class Task:
    """A job that has begun."""

    job: Job
    request: Request | None
    need: tuple[str, Kid] | None = None
    since: float = 0.0


@dataclass(eq=False)
class Request:
    """A request; ``outcome`` is ``"ok"``, ``"ChildError"`` or ``"failed"`` once it has finished."""

    what: str
    outcome: str | None = None


class SupervisorModel:
    """The state of one supervisor.

    Args:
        strategy: As for ``Supervisor``.
        max_restarts: As for ``Supervisor``.
        max_seconds: As for ``Supervisor``.
        clock: Returns the time.
        lateness: Returns by how much timers may be late.
        fail: Called with a text if an event is wrong.
        auto_shutdown: As for ``Supervisor``.

    Attributes:
        specs: The specifications with which the supervisor starts.
        kids: The children by id.
        reason: ``None``, ``"stopped"``, ``"restarts"``, ``"start"`` or ``"children"``: why the
            supervisor has ended.
    """

    def __init__(
        self,
        strategy: str,
        max_restarts: int,
        max_seconds: float,
        clock: Callable[[], float],
        lateness: Callable[[], float],
        fail: Callable[[str], None],
        auto_shutdown: bool = False,
    ) -> None:
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.auto_shutdown = auto_shutdown
        self.specs: list[KidSpec] = []
        self.kids: dict[str, Kid] = {}
        self.reason: str | None = None
        self.up = False
        self._clock = clock
        self._lateness = lateness
        self._fail = fail
        self._stops = 0
        self._is_aborting = False
        self._giving_up: str | None = None
        self._restarted: set[Kid] = set()
        self._held: Callable[[], object] | None = None
        self._jobs: deque[tuple[Job, Request | None]] = deque()
        self._job: Task | None = None
        self._singles: list[Task] = []
        self._pending: list[Pending] = []
        self._is_advancing = False
        self._at: float | None = None  # The time of what should have happened before now.

    @property
    def is_ending(self) -> bool:
        return self._giving_up is not None or self._stops > 0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way, so that a change of the options is unambiguous."""
        busy = self._job or self._jobs or self._singles or self._pending
        return not busy and all(kid.state in ("idle", "running") for kid in self.kids.values())

    # What is observed

    def started(self, id: str) -> None:
        """The start function of a child is called."""
        self.audit()
        kid = self.kids.get(id)
        if kid is None or kid.state != "idle" or not self._take("start", kid):
            self._fail(f"unexpected start of {id}: {self.describe()}")
            return
        kid.state, kid.cancelled, kid.wanted = "starting", None, True
        self._advance()

    def start_finished(self, id: str, succeeded: bool) -> None:
        """The Deferred of a start function fires."""
        self.audit()
        kid = self.kids[id]
        if kid.state != "starting":
            self._fail(f"a start of {id} has finished while it is {kid.state}")
        kid.start_failed = not (succeeded and kid.wanted)
        kid.state = "idle" if kid.start_failed else "running"
        if succeeded and not kid.wanted:
            kid.state, kid.since = "stopping", self._clock()
        kid.cancelled = None
        self._advance()

    def stopped(self, id: str) -> None:
        """A child that has not ended is told to stop."""
        self.audit()
        kid = self.kids.get(id)
        if kid is None:
            self._fail(f"unexpected stop of {id}, which is no child")
        elif kid.state == "starting" and kid.cancelled is not None:
            if kid.cancelled < float("inf"):  # Another stop does not extend the shutdown limit.
                kid.cancelled, kid.since = float("inf"), self._clock()
        elif kid.state == "running" and (self._take("stop", kid) or self._is_aborting):
            kid.state, kid.since = "stopping", self._clock()
        elif kid.state == "running":
            self._fail(f"unexpected stop of {id}: {self.describe()}")
        self._advance()

    def aborted(self, id: str) -> None:
        """A child is aborted: it has not stopped in time."""
        self.audit()
        kid = self.kids.get(id)
        if self._is_aborting:
            return
        if kid is None or kid.state not in ("stopping", "starting"):
            self._fail(f"unexpected abort of {id}")
        elif self._clock() < kid.since + kid.spec.shutdown - EPSILON:
            self._fail(f"{id} was aborted before its shutdown limit")

    def ended(self, id: str, normal: bool) -> None:
        """A child has ended."""
        self.audit()
        kid = self.kids.get(id)
        if kid is None or kid.state == "idle":
            self._fail(f"unexpected end of {id}")
        elif kid.state == "stopping":
            kid.state = "idle"
        elif kid.state == "running":
            kid.state = "idle"
            self._ended_by_itself(kid, normal)
        self._advance()

    # Requests

    def start_service(self) -> None:
        """``startService`` is called."""
        self.reason = self._giving_up = None
        self._is_aborting = False
        self._add(self._start_all())

    def stop_service(self) -> None:
        """``stopService`` is called."""
        self.audit()
        self._stops += 1
        self._cancel_all()
        self._add(self._stop_service())

    def abort(self) -> None:
        """``abort`` is called, which calls ``stopService``: all children end at once."""
        self._is_aborting = True

    def start_child(self, spec: KidSpec) -> Request:
        return self._request("start_child", self._start_child(spec))

    def terminate_child(self, id: str, hold: bool = False) -> Request:
        if not hold:
            self.cancel_start(id)
        return self._request("terminate_child", self._terminate_child(id), hold)

    def restart_child(self, id: str) -> Request:
        return self._request("restart_child", self._restart_child(id))

    def delete_child(self, id: str) -> Request:
        return self._request("delete_child", self._delete_child(id))

    def change_children(self, specs: list[KidSpec], hold: bool = False) -> Request:
        if not hold:
            self._cancel_starts(kid for kid in self.kids.values() if kid.spec not in specs)
        return self._request("change_children", self._change(specs), hold)

    def cancel_start(self, id: str) -> None:
        """The start of a child is cancelled, if it is being started."""
        if id in self.kids:
            self._cancel_starts([self.kids[id]])

    def submit(self) -> None:
        """Queue the request that is held until the starts that it cancels have failed."""
        held, self._held = self._held, None
        if held is not None:
            held()

    def configure(self, strategy: str, max_restarts: int, max_seconds: float) -> None:
        """Change the limits, and forget the restarts."""
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        for kid in self._restarted:
            kid.restarts.clear()
        self._restarted.clear()

    # The ends of children

    def _ended_by_itself(self, kid: Kid, normal: bool) -> None:
        if kid.spec.kind == "temporary":
            self._remove(kid)
        if kid.grouped or self.is_ending:
            return
        if kid.spec.kind == "permanent" or (kid.spec.kind == "transient" and not normal):
            self._restart(kid)
        else:
            kid.wanted = False
            if self.auto_shutdown and not any(k.wanted for k in self.kids.values()):
                self._give_up("children")

    def _restart(self, kid: Kid) -> None:
        now = self._clock()
        kid.restarts.append(now)
        self._restarted.add(kid)
        for other in self._restarted:
            other.restarts = [t for t in other.restarts if other.age(t, now) <= self.max_seconds]
        if sum(len(other.restarts) for other in self._restarted) > self.max_restarts:
            self._give_up("restarts")
            return
        delay = self._delay(kid)
        group = self._group_of(kid)
        if group == [kid]:
            self._schedule(group, {kid}, delay)
            return
        for member in group:
            member.grouped = True
        self._add(self._restart_group(kid, group, delay))

    def _delay(self, kid: Kid) -> float:
        backoff, number = kid.spec.backoff, len(kid.restarts)
        if backoff is None:
            return 0.0
        if backoff.max_attempts is not None and number > backoff.max_attempts:
            return backoff.maximum
        return backoff_bounds(backoff, number)[0]

    def _group_of(self, kid: Kid) -> list[Kid]:
        kids = list(self.kids.values())
        if self.strategy == "one_for_one":
            return [kid]
        return kids if self.strategy == "one_for_all" else kids[kids.index(kid) :]

    def _schedule(self, kids: list[Kid], causes: set[Kid], delay: float) -> None:
        for kid in kids:
            kid.wanted = True
            self._drop_pending(kid)
        if kids:
            for kid in causes:
                kid.pause(self._clock())
            self._pending.append(Pending(list(kids), set(causes), self._clock() + delay))

    def _drop_pending(self, kid: Kid) -> None:
        for pending in list(self._pending):
            if kid in pending.kids:
                kid.resume(self._clock())
                pending.kids.remove(kid)
                pending.causes.discard(kid)
            if not pending.kids:
                self._pending.remove(pending)

    def _fire(self, pending: Pending) -> None:
        """A restart is due."""
        pending.fired = True
        for kid in pending.causes:
            kid.resume(pending.due)
        if len(pending.kids) == 1 and self.strategy == "one_for_one":
            self._singles.append(Task(self._start_pending(pending), None))
            self._advance()
        else:
            self._add(self._start_pending(pending))

    # Jobs

    def _start_all(self) -> Job:
        if self._stops:
            return "ok"
        self.kids = {spec.id: Kid(spec) for spec in self.specs}
        self._restarted.clear()
        for kid in list(self.kids.values()):
            yield from self._start(kid)
            if kid.start_failed and kid.wanted and not self.is_ending:
                self._give_up("start")
            if self.is_ending:
                return "ok"
        self.up = True
        return "ok"

    def _start(self, kid: Kid) -> Job:
        kid.wanted = True
        yield ("start", kid)
        yield ("wait", kid)
        return "ok"

    def _stop(self, kid: Kid) -> Job:
        kid.wanted = kid.grouped = False
        if kid.state == "starting":
            self._cancel_starts([kid])
            yield ("wait", kid)
        if kid.state == "running":
            yield ("stop", kid)
        if kid.state == "stopping":
            yield ("wait", kid)
        if kid.spec.kind == "temporary":
            self._remove(kid)
        return "ok"

    def _stop_all(self) -> Job:
        for kid in reversed(list(self.kids.values())):
            yield from self._stop(kid)
        return "ok"

    def _stop_service(self) -> Job:
        yield from self._stop_all()
        self._stops -= 1
        if self.reason is None:
            self._end("stopped")
        return "ok"

    def _stop_after_giving_up(self) -> Job:
        yield from self._stop_all()
        assert self._giving_up is not None
        self._end(self._giving_up)
        return "ok"

    def _restart_group(self, cause: Kid, group: list[Kid], delay: float) -> Job:
        waiting = [p for p in self._pending if any(kid in group for kid in p.kids)]
        causes = {cause}.union(*(p.causes for p in waiting))
        left = [0.0 if p.fired else p.due - self._clock() for p in waiting]
        for kid in group:
            self._drop_pending(kid)
        was_terminated = not cause.wanted
        for kid in reversed(group):
            if kid is not cause:
                yield from self._stop(kid)
        cause.grouped = False
        if self.is_ending:
            return "ok"
        kids = [kid for kid in group if self.kids.get(kid.spec.id) is kid]
        if was_terminated and cause in kids:
            kids.remove(cause)
        self._schedule(kids, causes & set(kids), max(delay, *left, 0.0))
        return "ok"

    def _start_pending(self, pending: Pending) -> Job:
        kids = list(pending.kids)
        for kid in kids:
            self._drop_pending(kid)
        while kids and not self.is_ending:
            kid = kids.pop(0)
            yield from self._start(kid)
            if kid.start_failed and kid.wanted and not self.is_ending:
                self._restart(kid)
                group = self._group_of(kid)
                kids = [other for other in kids if other not in group]
        return "ok"

    def _start_child(self, spec: KidSpec) -> Job:
        if spec.id in self.kids:
            return "ChildError"
        kid = self.kids[spec.id] = Kid(spec)
        yield from self._start(kid)
        if kid.start_failed:
            self._remove(kid)
            return "failed"
        return "ok"

    def _terminate_child(self, id: str) -> Job:
        if id not in self.kids:
            return "ChildError"
        self._drop_pending(self.kids[id])
        yield from self._stop(self.kids[id])
        return "ok"

    def _restart_child(self, id: str) -> Job:
        kid = self.kids.get(id)
        if kid is None or kid.wanted:
            return "ChildError"
        yield from self._start(kid)
        if kid.start_failed:
            kid.wanted = False
            return "failed"
        return "ok"

    def _delete_child(self, id: str) -> Job:
        kid = self.kids.get(id)
        if kid is None or kid.wanted:
            return "ChildError"
        self._remove(kid)
        return "ok"
        yield

    def _change(self, specs: list[KidSpec]) -> Job:
        for kid in reversed(list(self.kids.values())):
            if kid.spec not in specs:
                yield from self._stop(kid)
                self._drop_pending(kid)
                self._remove(kid)
        new = [spec for spec in specs if spec not in self.specs and spec.id not in self.kids]
        self.specs = list(specs)
        added = [self.kids.setdefault(spec.id, Kid(spec)) for spec in new]
        for kid in added:
            if not self.is_ending:
                yield from self._start(kid)
                if not kid.start_failed:
                    continue
            self._remove(kid)
        first = {spec.id: self.kids[spec.id] for spec in specs if spec.id in self.kids}
        self.kids = first | self.kids
        return "ok"

    # The end

    def _give_up(self, reason: str) -> None:
        if not self.is_ending:
            self._giving_up = reason
            self._cancel_all()
            self._add(self._stop_after_giving_up())

    def _cancel_all(self) -> None:
        for kid in list(self.kids.values()):
            self._drop_pending(kid)
        self._cancel_starts(self.kids.values())

    def _cancel_starts(self, kids: Iterable[Kid]) -> None:
        for kid in kids:
            if kid.state == "starting":
                kid.wanted = False
                if kid.cancelled is None:
                    kid.cancelled = self._clock()

    def _end(self, reason: str) -> None:
        self.reason = reason
        self.up = False

    def _remove(self, kid: Kid) -> None:
        kid.wanted = False
        if self.kids.get(kid.spec.id) is kid:
            del self.kids[kid.spec.id]

    # Running jobs

    def _request(self, what: str, job: Job, hold: bool = False) -> Request:
        self.audit()
        request = Request(what)
        self._held = lambda: self._add(self._checked(job), request)
        if not hold:
            self.submit()
        return request

    def _checked(self, job: Job) -> Job:
        if not self.up or self._stops or self._giving_up is not None:
            job.close()
            return "ChildError"
        return (yield from job)

    def _add(self, job: Job, request: Request | None = None) -> None:
        self._jobs.append((job, request))
        self._advance()

    def _take(self, what: str, kid: Kid) -> bool:
        """Return whether this is expected now, and let the job go on."""
        if what == "start" and not self._needs(what, kid):
            for pending in list(self._pending):
                early = pending.due > self._clock() + EPSILON
                if pending.kids[0] is kid and not pending.fired and not early:
                    self._fire(pending)
        for task in self._tasks():
            if task.need == (what, kid):
                task.need = ("wait", kid)
                return True
        return False

    def _needs(self, what: str, kid: Kid) -> bool:
        return any(task.need == (what, kid) for task in self._tasks())

    def _tasks(self) -> list[Task]:
        return [*self._singles, *([self._job] if self._job is not None else [])]

    def _advance(self) -> None:
        """Let all jobs go on as far as they can."""
        if self._is_advancing:  # A job has added another one.
            return
        self._is_advancing = True
        moved = True
        while moved:
            if self._job is None and self._jobs:
                self._job = Task(*self._jobs.popleft())
            ready = [task for task in self._tasks() if self._may_go_on(task)]
            for task in ready:
                self._step(task)
            moved = bool(ready)
        self._is_advancing = False

    def _may_go_on(self, task: Task) -> bool:
        if task.need is None:
            return True
        what, kid = task.need
        if what == "stop" and self._is_aborting:
            return kid.state == "idle"
        return what == "wait" and kid.state in ("idle", "running")

    def _step(self, task: Task) -> None:
        try:
            task.need = next(task.job)
            task.since = self._clock() if self._at is None else self._at
        except StopIteration as stop:
            if task.request is not None:
                task.request.outcome = stop.value
            if task is self._job:
                self._job = None
            else:
                self._singles.remove(task)

    # Time

    def audit(self) -> None:
        """Check that nothing is overdue."""
        late = self._clock() - self._lateness() - EPSILON
        for pending in list(self._pending):
            if not pending.fired and late > pending.due:
                self._at = pending.due
                self._fire(pending)
                self._at = None
        for task in self._tasks():
            if task.need is not None and task.need[0] != "wait" and late > task.since:
                self._fail(f"{task.need[0]} of {task.need[1].spec.id} was due at {task.since}")
        for kid in self.kids.values():
            if kid.cancelled is not None and late > kid.cancelled:
                self._fail(f"{kid.spec.id} was not stopped while starting at {kid.cancelled}")
            if kid.state == "stopping" and late > kid.since + kid.spec.shutdown:
                self._fail(f"{kid.spec.id} has not stopped since {kid.since}")

    def rows(self) -> list[tuple[str, bool]]:
        """Return the id of each child, and whether it runs."""
        return [(id, kid.state == "running") for id, kid in self.kids.items()]

    def describe(self) -> str:
        """Return what is expected."""
        needs = [f"{task.need[0]} {task.need[1].spec.id}" for task in self._tasks() if task.need]
        due = [f"{[kid.spec.id for kid in p.kids]} at {p.due:.3f}" for p in self._pending]
        kids = [f"{kid.spec.id} {kid.state}" for kid in self.kids.values()]
        return f"{self.strategy} {kids}; expected {needs}, due {due} now {self._clock():.3f}"
