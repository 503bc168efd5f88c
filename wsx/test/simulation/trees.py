"""Supervisors under test: their children end, and requests come; OTP's model says what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

import wsx
from wsx.test.simulation.behaviour import AbnormalReason, NormalReason, SimulatedHandler
from wsx.test.simulation.otp import SupervisorModel
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.server import Site
from wsx.test.simulation.slots import Slot, make_conn
from wsx.test.simulation.subject import Subject

if TYPE_CHECKING:
    from wsx.test.simulation.world import World

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
KINDS = ("permanent", "permanent", "transient", "temporary")
SETTLE = 90.0  # seconds within which everything that follows from one event has happened


class TreeSlot(Slot):
    """A supervisor with clients as children; one thing happens to it at a time.

    Attributes:
        events: The starts and ends of children since the last event.
        subjects: The latest client of each child.
    """

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.events: list[tuple[str, str]] = []
        self.subjects: dict[str, Subject] = {}
        self.count = 0
        self.supervisor: Any = None
        self.model: SupervisorModel | None = None
        self.reason: Any = None
        self.expected: list[tuple[str, str]] = []
        self.supervised: list[str] = []
        self.pending: list[tuple[str, Deferred[Any]]] = []

    def begin(self) -> None:
        self.world.reactor.later(self.rng.random() * 10, self.start_tree)

    # The tree

    def start_tree(self) -> None:
        """Start a new supervisor."""
        if self.world.ending:
            return
        rng = self.rng
        kinds = {self._new_id(): rng.choice(KINDS) for _ in range(rng.choice((1, 3, 4, 5)))}
        limits = (rng.choice(STRATEGIES), rng.choice((0, 1, 3, 5)), rng.choice((50.0, 600.0)))
        specs = [self.spec(id, kind) for id, kind in kinds.items()]
        self.model = SupervisorModel(*limits, kinds)
        self.reason = None
        self.supervisor = wsx.Supervisor(specs, *limits)
        self.supervisor.terminated().addCallback(self._tree_ended)
        self.events = []
        self.expected = self.model.start_all()
        self.supervisor.startService()
        self.world.reactor.later(SETTLE, self.next_event)

    def _tree_ended(self, reason: Any) -> None:
        self.reason = reason

    def _new_id(self) -> str:
        self.count += 1
        return f"child {self.number}.{self.count}"

    def spec(self, id: str, kind: str) -> wsx.ChildSpec:
        """Return the specification of a child whose start and end are recorded."""
        site = Site(self.world, self.rng, lambda: self.subjects[id], self.rng.random() < 0.3)
        conn = make_conn(self.world, self.rng, site, self.number)
        options: dict[str, Any] = {"async_": True, "handle_initial_conn_failure": True}
        handler = self._handler_class(id, conn, options)
        options = {**options, "reactor": self.world.reactor}
        spec = handler.child_spec(conn, id=id, restart=kind, **options)
        original = spec.start

        def start(parent: Any) -> Deferred[Any]:
            self.record("start", id)
            started = original(parent)
            subject = self.subjects[id]
            subject.watch_end()
            self._watch_stops(subject)
            return started

        return spec.replace(start=start, shutdown=self.rng.choice((5.0, 20.0)))

    def _watch_stops(self, subject: Subject) -> None:
        """Tell the model of a client when the supervisor stops or aborts the client."""
        client, model = subject.client, subject.model
        stop, abort = client.stop, client.abort

        def watched_stop(detail: str = "") -> Any:
            subject.touch()
            model.end(("shutdown", detail), 1001)
            return stop(detail)

        def watched_abort() -> None:
            subject.touch()
            model.killed = True
            model.end(("shutdown", ""), 1001)
            abort()

        client.stop, client.abort = watched_stop, watched_abort

    def _handler_class(self, id: str, conn: wsx.Conn, options: dict[str, Any]) -> Any:
        slot = self

        class Child(SimulatedHandler):
            def __init__(self) -> None:
                slot.generation += 1
                subject = slot.equip(self, conn, options, calm=True)
                subject.owns_timers = False
                subject.model.state = None
                subject.on_end = lambda _: slot.record("end", id)
                slot.subjects[id] = subject
                slot.world.labels[id] = subject

        Child.__qualname__ = id
        return Child

    def record(self, what: str, id: str) -> None:
        self.events.append((what, id))
        self.world.note(self.subjects.get(id), f"child {what}", id, "")

    def fail(self, text: str) -> None:
        self.world.fail(Rule.SUPERVISION, None, f"tree {self.number}: {text}")

    # Events

    def next_event(self) -> None:
        """Compare what has happened with the model, then let the next thing happen."""
        if self.world.ending:
            return
        if self.world.tolerance:  # Timers may be late.
            self.world.reactor.later(SETTLE, self.next_event)
            return
        self.compare()
        assert self.model is not None
        if self.model.given_up:
            self.start_tree()
            return
        self.events = []
        action = self.rng.choice(
            (self.end_child, self.end_child, self.end_child, self.request, self.configure)
        )
        self.world.count(f"tree {action.__name__}")
        action()
        self.world.reactor.later(SETTLE, self.next_event)

    def compare(self) -> None:
        model, supervisor = self.model, self.supervisor
        assert model is not None
        if self.events != self.expected:
            self.fail(f"{model.strategy}: {self.events}, expected {self.expected}")
        if model.given_up != isinstance(self.reason, wsx.MaxRestartsExceeded):
            self.fail(f"ended with {self.reason!r}, given up: {model.given_up}")
        rows = [(id, child is not None) for id, child, _ in supervisor.which_children()]
        expected = [(id, id in model.running) for id in model.kinds]
        counts = supervisor.count_children()
        if rows != expected or counts["active"] != len(model.running):
            self.fail(f"which_children {rows}, expected {expected}; {counts}")
        for what, deferred in self.pending:
            if not deferred.called:
                self.fail(f"{what} did not fire")
            elif isinstance(deferred.result, Failure):
                self.fail(f"{what} failed: {deferred.result.value!r}")
        self.pending = []

    def end_child(self) -> None:
        """A child ends by itself."""
        model = self.model
        assert model is not None
        if not model.running:
            self.expected = []
            return
        id = self.rng.choice(sorted(model.running))
        normal = self.rng.random() < 0.4
        self.expected = model.child_ends(id, normal, self.world.now)
        self.subjects[id].terminate(NormalReason() if normal else AbnormalReason())

    def request(self) -> None:
        """A request to the supervisor."""
        model, supervisor = self.model, self.supervisor
        assert model is not None
        self.expected = []
        stopped = [id for id in model.kinds if id not in model.running]
        if stopped and self.rng.random() < 0.7:
            id = self.rng.choice(stopped)
            if self.rng.random() < 0.5:
                self.expected = [("start", id)]
                model.running.add(id)
                self.pending = [("restart_child", supervisor.restart_child(id))]
            else:
                del model.kinds[id]
                self.pending = [("delete_child", supervisor.delete_child(id))]
        elif model.kinds and self.rng.random() < 0.6:
            id = self.rng.choice(list(model.kinds))
            self.expected = model.terminate_child(id)
            self.pending = [("terminate_child", supervisor.terminate_child(id))]
        else:
            id, kind = self._new_id(), self.rng.choice(KINDS)
            self.expected = [("start", id)]
            model.kinds[id] = kind
            model.running.add(id)
            self.pending = [("start_child", supervisor.start_child(self.spec(id, kind)))]

    def configure(self) -> None:
        """Change the strategy and the limits."""
        assert self.model is not None
        rng = self.rng
        limits = (rng.choice(STRATEGIES), rng.choice((1, 3)), rng.choice((50.0, 600.0)))
        self.expected = []
        self.model.configure(*limits)
        self.supervisor.configure(*limits)

    # The end

    def nested(self, subject: Subject) -> None:
        """Do nothing: the children of a tree end only as the model says."""

    def end(self) -> None:
        if self.supervisor is None or self.model is None:
            return
        self.events = []
        self.supervised = list(self.model.kinds)
        self.pending = [("stopService", self.supervisor.stopService())]

    def check_end(self) -> None:
        if self.model is None:
            return
        for id, subject in self.subjects.items():
            if subject.client is not None and not subject.model.has_ended:
                self.fail(f"{id} has not ended after stopService")
        ends = [id for what, id in self.events if what == "end"]
        order = [id for id in reversed(self.supervised) if id in ends]
        if [id for id in ends if id in order] != order:
            self.fail(f"stopped in the order {ends}, expected {order}")
