"""Supervisors under test: children end and fail to start, requests come; OTP's model follows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

import wsx
from wsx.option_types import Restart, Strategy
from wsx.test.simulation.behaviour import AbnormalReason, NormalReason, SimulatedHandler
from wsx.test.simulation.otp import KidSpec, Request, SupervisorModel
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.server import Site
from wsx.test.simulation.slots import Slot, make_conn
from wsx.test.simulation.subject import Subject

if TYPE_CHECKING:
    from wsx.test.simulation.world import World

STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")
KINDS: tuple[Restart, ...] = ("permanent", "permanent", "transient", "temporary")
REASONS = {
    "stopped": wsx.Shutdown,
    "restarts": wsx.MaxRestartsExceeded,
    "start": Exception,
    "children": object,
}


class StartError(Exception):
    """The start of a child fails, as the simulation has decided."""


class Run:
    """One start of a child, and the client or supervisor of that start.

    Attributes:
        over: Whether the start has failed, or the client has ended: nothing more is reported.
    """

    def __init__(self, tree: Tree, id: str) -> None:
        self.tree = tree
        self.id = id
        self.over = False
        tree.note("child start", id)
        tree.model.started(id)

    def finished(self, result: Any) -> Any:
        """The Deferred of the start function fires."""
        if not self.over:
            failed = isinstance(result, Failure)
            self.tree.note("child start finished", f"{self.id} {'failed' if failed else 'ok'}")
            self.over = failed
            self.tree.model.start_finished(self.id, not failed)
        return result

    def stopped(self) -> None:
        if not self.over:
            self.tree.model.stopped(self.id)

    def aborted(self) -> None:
        if not self.over:
            self.tree.model.aborted(self.id)

    def ended(self, normal: bool) -> None:
        """The client or supervisor has ended."""
        self.tree.note("child end", self.id)
        if not self.over and self.tree.model.kids.get(self.id) is not None:
            if self.tree.model.kids[self.id].state == "starting":
                return  # The start fails because of this.
            self.over = True
            self.tree.model.ended(self.id, normal)


class Tree:
    """A supervisor under test.

    Attributes:
        failing: The number of starts that fail next, by child.
        subjects: The latest client of each child.
        nested: The supervisors below this one.
        specs: The specifications of all children so far.
    """

    def __init__(self, slot: TreeSlot, depth: int = 0, id: str | None = None) -> None:
        self.slot = slot
        self.world = slot.world
        self.rng = random.Random(slot.rng.random())
        self.failing: dict[str, int] = {}
        self.subjects: dict[str, Subject] = {}
        self.nested: dict[str, Tree] = {}
        self.specs: dict[str, wsx.ChildSpec] = {}
        self.known: dict[str, KidSpec] = {}
        self.requests: list[tuple[Request, list[str]]] = []
        self.reason: Any = None
        self.depth = depth
        limits = self._limits()
        world = self.world
        self.model = SupervisorModel(
            *limits, clock=lambda: world.now, lateness=lambda: world.tolerance, fail=self.fail
        )
        self.build(limits, id)
        self._watch_cancellations()

    def build(self, limits: tuple[Strategy, int, float], id: str | None) -> None:
        """Create the supervisor and its children."""
        ids = [self.new_child() for _ in range(self.rng.choice((1, 2, 3, 5)))]
        self.model.specs = [self.known[id] for id in ids]
        self.supervisor: Any = wsx.Supervisor(
            [self.specs[id] for id in ids], *limits, id=id, reactor=self.world.reactor
        )

    def _watch_cancellations(self) -> None:
        """Tell the model which starts a request cancels, and when all are cancelled.

        While one start is cancelled, the next one may begin, and is cancelled too.
        """
        children = self.supervisor._children
        cancel = children.cancel_starts
        depth = 0

        def noted(which: Any) -> Any:
            for child in which:
                self.model.cancel_start(child.spec.id)
                yield child

        def cancel_starts(which: Any) -> None:
            nonlocal depth
            depth += 1
            cancel(noted(which))
            depth -= 1
            if not depth:
                self.model.submit()

        children.cancel_starts = cancel_starts

    def _limits(self) -> tuple[Strategy, int, float]:
        """Return strategy, max_restarts and max_seconds.

        The period is no sum of timeouts: whether a restart of exactly that age counts would depend
        on rounding.
        """
        rng = self.rng
        period = rng.choice((5.0, 50.0, 600.0)) + 0.0173
        return rng.choice(STRATEGIES), rng.choice((0, 1, 3, 5)), period

    def note(self, what: str, detail: str) -> None:
        self.world.note(None, what, detail, "")

    def fail(self, text: str) -> None:
        self.world.fail(Rule.SUPERVISION, None, f"tree {self.slot.number}: {text}")

    def start(self) -> None:
        """Start the supervisor."""
        self.model.start_service()
        self.supervisor.startService()
        self.supervisor.terminated().addCallback(self._ended)

    def stop(self) -> Deferred[Any]:
        """Stop the supervisor."""
        self.model.stop_service()
        stopped: Deferred[Any] = self.supervisor.stopService()
        return stopped

    def abort(self) -> None:
        """Abort the supervisor, which may be stopping already."""
        self.model.abort()
        self.model.stop_service()
        self.supervisor.abort()

    def _ended(self, reason: Any) -> None:
        self.reason = reason

    # Children

    def new_child(self) -> str:
        """Create the specification of a new child, and return its id."""
        slot, rng = self.slot, self.rng
        slot.count += 1
        id, kind = f"child {slot.number}.{slot.count}", rng.choice(KINDS)
        backoff = None
        if rng.random() < 0.4:
            most = rng.choice((None, None, 1))
            backoff = wsx.Backoff(rng.choice((0.5, 3.0)), 20.0, 2.0, 0.0, most)
        if self.depth == 0 and rng.random() < 0.2:
            self._nested_spec(id, kind, backoff)
        else:
            self._client_spec(id, kind, backoff)
        return id

    def _client_spec(self, id: str, kind: str, backoff: wsx.Backoff | None) -> None:
        """Create the specification of a client whose start and end are recorded."""
        world, rng = self.world, self.rng
        site = Site(world, rng, lambda: self.subjects[id], rng.random() < 0.3)
        conn = make_conn(world, rng, site, self.slot.number)
        asynchronous = rng.random() < 0.7
        options: dict[str, Any] = {"async_": asynchronous, "reconnect": backoff}
        options["handle_initial_conn_failure"] = asynchronous
        handler = self.handler_class(id, conn, options)
        spec = handler.child_spec(conn, id=id, restart=kind, **options, reactor=world.reactor)
        original = spec.start

        def start(parent: Any) -> Deferred[Any]:
            run = Run(self, id)
            if self.failing.get(id):
                return self._fail_start(run)
            started = original(parent)
            self.watch(run, self.subjects[id])
            return started.addBoth(run.finished)

        shutdown = rng.choice((5.0, 20.0, math.inf))
        self.specs[id] = spec.replace(start=start, shutdown=shutdown)
        self.known[id] = KidSpec(id, kind, backoff, shutdown)

    def _nested_spec(self, id: str, kind: str, backoff: wsx.Backoff | None) -> None:
        """Create the specification of a supervisor."""
        tree = self.nested[id] = Tree(self.slot, self.depth + 1, id)
        spec = tree.supervisor.child_spec()
        original, runs = spec.start, [None]

        def start(parent: Any) -> Deferred[Any]:
            run: Any = Run(self, id)
            runs[0] = run
            if self.failing.get(id):
                return self._fail_start(run)
            tree.reason = None
            tree.model.start_service()
            started: Deferred[Any] = original(parent)
            tree.supervisor.terminated().addCallback(ended, run)
            return started.addBoth(run.finished)

        def ended(reason: Any, run: Run) -> None:
            tree.reason = reason
            run.ended(isinstance(reason, wsx.Shutdown))

        stop_service = tree.supervisor.stopService

        def stop() -> Deferred[Any]:
            run: Any = runs[0]
            run.stopped()
            tree.model.stop_service()
            stopped: Deferred[Any] = stop_service()
            return stopped

        abort_supervisor = tree.supervisor.abort

        def abort() -> None:
            run: Any = runs[0]
            run.aborted()
            tree.model.abort()
            abort_supervisor()

        tree.supervisor.stopService, tree.supervisor.abort = stop, abort
        spec = spec.replace(start=start, restart=kind, shutdown=math.inf, backoff=backoff)
        self.specs[id] = spec
        self.known[id] = KidSpec(id, kind, backoff, math.inf)

    def _fail_start(self, run: Run) -> Deferred[Any]:
        """Let a start fail: at once, with an exception, or later."""
        self.failing[run.id] -= 1
        error = StartError(run.id)
        self.world.expected_failures.append(error)
        roll = self.rng.random()
        if roll < 0.3:
            return fail(error).addBoth(run.finished)
        if roll < 0.5:
            run.finished(Failure(error))
            raise error
        delayed: Deferred[Any] = Deferred(lambda _: run.stopped())

        def fire() -> None:
            if not delayed.called:
                delayed.errback(error)

        self.world.reactor.later(self.rng.choice((0.1, 2.0)), fire)
        return delayed.addBoth(run.finished)

    def handler_class(self, id: str, conn: wsx.Conn, options: dict[str, Any]) -> Any:
        tree = self

        class Child(SimulatedHandler):
            def __init__(self) -> None:
                tree.slot.generation += 1
                subject = tree.slot.equip(self, conn, options, calm=True)
                subject.owns_timers = False
                subject.model.state = None
                tree.subjects[id] = subject
                tree.world.labels[id] = subject

        Child.__qualname__ = id
        return Child

    def watch(self, run: Run, subject: Subject) -> None:
        """Tell the models when a client ends, and when the supervisor stops or aborts it."""
        client, model = subject.client, subject.model
        stop, abort = client.stop, client.abort

        def watched_stop(detail: str = "") -> Any:
            if not model.has_ended:
                run.stopped()
            subject.touch()
            model.end(("shutdown", detail), 1001)
            return stop(detail)

        def watched_abort() -> None:
            if not model.has_ended:
                run.aborted()
            subject.touch()
            model.killed = True
            model.end(("shutdown", ""), 1001)
            abort()

        client.stop, client.abort = watched_stop, watched_abort
        subject.on_end = lambda _: run.ended(subject.ended_normally())
        subject.watch_end()

    # Events

    def act(self) -> None:
        """Let something happen."""
        rng = self.rng
        below = [tree for id, tree in self.nested.items() if self._runs(id)]
        if below and rng.random() < 0.3:
            rng.choice(below).act()
            return
        if self.reason is not None:
            return
        actions: list[Callable[[], None]] = [
            self.end_child,
            self.end_child,
            self.end_several,
            self.fail_starts,
            self.request,
            self.request,
            self.change_children,
            self.configure,
            self.crowd,
        ]
        action = rng.choice(actions)
        self.world.count(f"tree {action.__name__}")
        self.note("tree", action.__name__)
        action()

    def _runs(self, id: str) -> bool:
        kid = self.model.kids.get(id)
        return kid is not None and kid.state == "running"

    def end_child(self) -> None:
        """A client ends by itself."""
        running = [id for id in self.model.kids if self._runs(id) and id not in self.nested]
        if running:
            subject = self.subjects[self.rng.choice(running)]
            normal = self.rng.random() < 0.4
            subject.terminate(NormalReason() if normal else AbnormalReason())

    def end_several(self) -> None:
        """Several children end within a short time."""
        for _ in range(self.rng.choice((2, 3))):
            if self.rng.random() < 0.5:
                self.end_child()
            else:
                delay = self.rng.choice((0.01, 0.1, 1.0))
                self.world.reactor.later(delay, self._end_later)

    def _end_later(self) -> None:
        if not self.world.ending:
            self.end_child()

    def fail_starts(self) -> None:
        """The next starts of a child fail."""
        if self.model.kids:
            self.failing[self.rng.choice(list(self.model.kids))] = self.rng.choice((1, 2, 8))
        self.end_child()

    def crowd(self) -> None:
        """Several children end, and several requests come, at the same time."""
        for _ in range(4):
            self.rng.choice((self.end_child, self.request))()

    def request(self) -> None:
        """A request to the supervisor, sensible or not."""
        rng, model, supervisor = self.rng, self.model, self.supervisor
        roll = rng.random()
        ids = list(model.kids)
        stopped = [id for id in ids if not model.kids[id].wanted]
        waiting = [id for id in ids if model.kids[id].wanted and not self._runs(id)]
        if roll < 0.3 or not ids:
            id = self.new_child()
            self.failing[id] = rng.choice((0, 0, 0, 1))
            pair = (model.start_child(self.known[id]), supervisor.start_child(self.specs[id]))
        elif roll < 0.6:
            id = rng.choice(waiting if waiting and rng.random() < 0.5 else [*ids, "unknown"])
            pair = (model.terminate_child(id, hold=True), supervisor.terminate_child(id))
        else:
            id = rng.choice(stopped if stopped and rng.random() < 0.8 else ids)
            if rng.random() < 0.6:
                pair = (model.restart_child(id), supervisor.restart_child(id))
            else:
                pair = (model.delete_child(id), supervisor.delete_child(id))
        self._track(*pair)

    def _track(self, request: Request, deferred: Deferred[Any]) -> None:
        outcomes: list[str] = []
        self.requests.append((request, outcomes))
        deferred.addBoth(lambda result: outcomes.append(_outcome(result)))

    def change_children(self) -> None:
        """Replace the list of children."""
        rng = self.rng
        ids = [id for id in self.model.kids if rng.random() < 0.7]
        ids += [self.new_child() for _ in range(rng.choice((0, 1, 2)))]
        rng.shuffle(ids)
        if ids and rng.random() < 0.3:
            self.failing[rng.choice(ids)] = 1
        request = self.model.change_children([self.known[id] for id in ids], hold=True)
        self._track(request, self.supervisor.change_children([self.specs[id] for id in ids]))

    def configure(self) -> None:
        """Change the strategy and the limits."""
        if self.model.is_quiet:
            limits = self._limits()
            self.model.configure(*limits)
            self.supervisor.configure(*limits)

    # Checks

    def check(self) -> None:
        """Compare the supervisor with the model."""
        model, supervisor = self.model, self.supervisor
        model.audit()
        if self.world.tolerance:
            return
        rows = [(id, child is not None) for id, child, _ in supervisor.which_children()]
        if rows != model.rows():
            self.fail(f"which_children {rows}, expected {model.rows()}; {model.describe()}")
        counts = supervisor.count_children()
        if counts["active"] != sum(up for _, up in rows) or counts["specs"] != len(rows):
            self.fail(f"count_children {counts}, expected {rows}")
        expected = None if model.reason is None else REASONS[model.reason]
        if (expected is None) != (self.reason is None) or (
            expected is not None and not isinstance(self.reason, expected)
        ):
            self.fail(f"ended with {self.reason!r}, expected {model.reason}; {model.describe()}")
        self._check_requests()
        for id, tree in self.nested.items():
            if self._runs(id):
                tree.check()

    def _check_requests(self) -> None:
        for pair in list(self.requests):
            request, outcomes = pair
            if outcomes != ([] if request.outcome is None else [request.outcome]):
                self.fail(f"{request.what}: {outcomes}, expected {request.outcome}")
            if outcomes:
                self.requests.remove(pair)


def _outcome(result: Any) -> str:
    """Return the outcome of a request in the words of the model."""
    if isinstance(result, Failure):
        return "ChildError" if result.check(wsx.ChildError) else "failed"
    return "ok"


class Service(Tree):
    """A ``ClientService`` under test."""

    def build(self, limits: tuple[Strategy, int, float], id: str | None) -> None:
        slot, world, rng = self.slot, self.world, self.rng
        slot.count += 1
        child, kind = f"child {slot.number}.{slot.count}", rng.choice(KINDS[1:])
        site = Site(world, rng, lambda: self.subjects[child], rng.random() < 0.3)
        conn = make_conn(world, rng, site, slot.number)
        backoff = wsx.Backoff(rng.choice((0.5, 3.0)), 20.0, 2.0, 0.0)
        options: dict[str, Any] = {"reconnect": backoff}
        effective = {"async_": True, "handle_initial_conn_failure": True, **options}
        handler = self.handler_class(child, conn, effective)
        tree = self

        class WatchedService(wsx.ClientService):
            def announce(self, running: Any) -> None:
                run = Run(tree, child)
                tree.watch(run, tree.subjects[child])
                super().announce(running)
                run.finished(None)

        WatchedService.__qualname__ = child
        _, most, period = limits
        self.supervisor = WatchedService(
            conn,
            handler,
            restart=kind,
            max_restarts=most,
            max_seconds=period,
            reactor=world.reactor,
            **options,
        )
        self.model.strategy, self.model.auto_shutdown = "one_for_one", True
        self.model.specs = [KidSpec(child, kind, backoff, math.inf)]
        self.waiting: list[Deferred[Any]] = []

    def act(self) -> None:
        action = self.rng.choice((self.end_child, self.when_connected, self.when_connected))
        self.world.count(f"service {action.__name__}")
        action()

    def when_connected(self) -> None:
        """Call ``whenConnected``."""
        connected = self.supervisor.whenConnected()
        connected.addCallbacks(self._connected, self._not_connected)
        self.waiting.append(connected)

    def _connected(self, client: Any) -> None:
        subject = client.handler.subject
        if client is not self.supervisor.client or not subject.connect_has_returned:
            self.fail(f"whenConnected fired with {client!r}, which is {client.status}")

    def _not_connected(self, failure: Failure) -> None:
        if self.model.reason is None:
            self.fail(f"whenConnected failed before the end: {failure.value!r}")

    def check(self) -> None:
        super().check()
        if self.world.tolerance:
            return
        client = self.supervisor.client
        running = [id for id in self.model.kids if self._runs(id)]
        if (client is not None) != bool(running):
            self.fail(f"client is {client!r}, running: {running}")
        over = self.model.reason is not None or (
            client is not None and self._is_open(client.handler.subject)
        )
        self.waiting = [deferred for deferred in self.waiting if not deferred.called]
        if self.waiting and over:
            self.fail(f"{len(self.waiting)} Deferreds of whenConnected did not fire")

    def _is_open(self, subject: Subject) -> bool:
        """Return whether the client is open, and has delivered everything."""
        model = subject.model
        idle = model.pending is None and not model.queue and not model.suspended
        return model.is_open and idle and subject.connect_has_returned


class TreeSlot(Slot):
    """A place for one supervisor after the other."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.count = 0
        self.tree: Tree | None = None
        self.stopped: Deferred[Any] | None = None

    def begin(self) -> None:
        self.world.reactor.later(self.rng.random() * 10, self.start_tree)

    def start_tree(self) -> None:
        """Start a new supervisor."""
        if self.world.ending:
            return
        self.stopped = None
        kind = Service if self.rng.random() < 0.25 else Tree
        tree = self.tree = kind(self)
        tree.start()
        self.world.reactor.later(self.rng.random() * 20, self.next_event)

    def next_event(self) -> None:
        """Compare what has happened with the model, then let the next thing happen."""
        tree = self.tree
        if self.world.ending or tree is None:
            return
        tree.check()
        if tree.reason is not None and tree.model.reason is not None:
            self.world.reactor.later(30.0, self.start_tree)
            return
        if self.world.tolerance or self.rng.random() < 0.02:
            # After a pause it is not certain which restarts are within the period.
            self.stopped = tree.stop()
            if self.rng.random() < 0.5:
                self.world.reactor.later(self.rng.choice((0.0, 0.5, 3.0)), self._abort)
            self.world.reactor.later(130.0, self._after_stop)
            return
        tree.act()
        pause = self.rng.expovariate(1 / self.pace) if self.rng.random() < 0.8 else 0.02
        self.world.reactor.later(pause, self.next_event)

    def _abort(self) -> None:
        if self.tree is not None and not self.world.ending:
            self.tree.abort()
            self.world.reactor.later(1.0, self._after_abort)

    def _after_abort(self) -> None:
        if self.tree is not None and self.stopped is not None and not self.stopped.called:
            self.tree.fail("abort has not ended the supervisor")

    def _after_stop(self) -> None:
        if self.world.ending:
            return
        if self.world.tolerance:  # After a pause, the children have had less time to stop.
            self.world.reactor.later(130.0, self._after_stop)
        else:
            self.check_end()
            self.start_tree()

    # The end

    def nested(self, subject: Subject) -> None:
        """Do nothing: the children of a tree end only as the model says."""

    def end(self) -> None:
        if self.tree is not None and self.stopped is None:
            self.stopped = self.tree.stop()

    def check_end(self) -> None:
        tree = self.tree
        if tree is None or self.stopped is None:
            return
        tree.check()
        if not self.stopped.called:
            tree.fail("stopService did not fire")
        if tree.model.reason is None:
            tree.fail(f"the model has not ended: {tree.model.describe()}")
        for id, subject in tree.subjects.items():
            if subject.client is not None and not subject.model.has_ended:
                tree.fail(f"{id} has not ended after stopService")
