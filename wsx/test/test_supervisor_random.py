"""Tests of supervisors with random, repeatable sequences of operations."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

import wsx
import wsx.supervisor
from wsx import ChildSpec, Supervisor, registry
from wsx.test.support import URL, close
from wsx.test.support.each import each
from wsx.test.support.supervision import PLENTY, STRATEGIES, Site, SupervisorCase, steady


class Chaos:
    """Random, repeatable operations on a tree of supervisors."""

    IDS = "abcdefgh"

    def __init__(self, test: SupervisorCase, seed: int) -> None:
        self.test = test
        self.rng = random.Random(seed)
        self.done: list[str] = []
        self.deferreds: list[Deferred[Any]] = []
        self.touched: set[str] = set()  # These children were changed by requests.
        self.stopped = False
        self.extra = 0
        strategy, inner_strategy = self.rng.choices(STRATEGIES, k=2)
        specs = {id: self.spec(id) for id in self.IDS}
        self.inner = Supervisor(
            [specs[id] for id in "efgh"], inner_strategy, PLENTY, reactor=test.clock, id="inner"
        )
        inner = self.inner.child_spec().replace(backoff=steady(1.0))
        children = [specs["a"], specs["b"], inner, specs["c"], specs["d"]]
        self.outer = Supervisor(children, strategy, PLENTY, reactor=test.clock, shutdown=20.0)
        for site in test.sites.values():
            site.answers = True
        self.done.append(f"{strategy}/{inner_strategy}")

    def spec(self, id: str) -> ChildSpec:
        rng = self.rng
        # Without a backoff there would be 10,000 restarts in a row.
        backoff = steady(rng.choice([0.1, 0.5, 3.0]))
        spec = self.test.child(
            id,
            rng.choice(["permanent", "permanent", "transient", "temporary"]),
            backoff=backoff,
            async_=rng.random() < 0.5,
            name=rng.choice([None, f"name {id}"]),
            close_timeout=rng.choice([1.0, 4.0]),
            socket_recv_timeout=2.0,
            socket_connect_timeout=2.0,
        )
        return spec.replace(shutdown=rng.choice([0, 1.0, 5.0, math.inf]))

    def keep(self, deferred: Deferred[Any]) -> None:
        """Keep or cancel the Deferred of a request.

        A kept Deferred must have fired in the end. Its failure is ignored.
        """
        if self.rng.random() < 0.1:
            deferred.addErrback(lambda _: None)
            deferred.cancel()
        else:
            self.deferreds.append(deferred.addErrback(lambda _: None))

    def one(self) -> None:
        """Perform one random operation."""
        operations = [
            *(self.drop, self.drop, self.say_goodbye, self.advance, self.advance, self.step),
            *(self.request, self.request, self.refuse, self.hush, self.hang, self.link),
            *(self.stop_client, self.all_at_once, self.end_inner, self.restart_service),
        ]
        operation = self.rng.choice(operations)
        self.done.append(operation.__name__)
        operation()

    def site(self) -> Site:
        site = self.rng.choice(list(self.test.sites.values()))
        self.done.append(str(site.id))
        return site

    def drop(self) -> None:
        self.site().drop()

    def say_goodbye(self) -> None:
        for peer in list(self.site()._served):
            if not peer.transport.aborted:
                peer.send(close(1000))

    def advance(self) -> None:
        self.test.advance(self.rng.choice([0.1, 0.5, 1.0, 3.0]))

    def step(self) -> None:
        self.test.clock.advance(0)

    def supervisor(self) -> Supervisor:
        return self.rng.choice([self.outer, self.inner])

    def request(self) -> None:
        supervisor = self.supervisor()
        id = self.rng.choice([*self.IDS, "inner", "nobody"])
        self.touched.add(id)
        kind = self.rng.choice(["terminate_child", "restart_child", "delete_child", "start_child"])
        self.done.append(f"{kind} {id} of {supervisor.id}")
        if kind == "start_child":
            if id not in (*self.test.sites, "inner"):
                return
            argument = self.test.child(id, "permanent") if id != "inner" else self.link_spec()
        else:
            argument = id
        self.keep(getattr(supervisor, kind)(argument))

    def link_spec(self) -> ChildSpec:
        self.extra += 1
        return self.test.child(f"extra {self.extra}", "temporary", async_=True)

    def refuse(self) -> None:
        site = self.site()
        site.refusal = None if site.refusal else ConnectionRefusedError()

    def hush(self) -> None:
        site = self.site()
        site.silent, site.answers = self.rng.choice([(True, True), (False, False), (False, True)])

    def hang(self) -> None:
        site = self.site()
        site.hangs_up = not site.hangs_up

    def link(self) -> None:
        self.extra += 1
        id = f"link {self.extra}"
        test = self.test
        options = test.options(id, async_=self.rng.random() < 0.5, close_timeout=1.0)
        self.keep(wsx.start_link(self.supervisor(), URL, test.handler(id), **options))

    def stop_client(self) -> None:
        running = [child for _, child, kind in self.outer.which_children() if kind == "worker"]
        client = self.rng.choice([*running, None])
        if client is not None:
            self.keep(self.rng.choice([client.stop, client.close])())

    def all_at_once(self) -> None:
        for site in self.test.sites.values():
            if self.rng.random() < 0.7:
                site.drop()

    def end_inner(self) -> None:
        if self.rng.random() < 0.3:
            self.keep(self.inner.stopService())

    def restart_service(self) -> None:
        if self.rng.random() < 0.5:
            self.keep(self.outer.stopService())
            for _ in range(self.rng.randrange(5)):
                self.test.clock.advance(0)
            self.outer.startService()
            self.touched.clear()

    def heal(self) -> None:
        """Make all servers work again, and let time pass."""
        for site in self.test.sites.values():
            site.refusal, site.silent, site.answers, site.hangs_up = None, False, True, True
        self.test.settle()
        self.test.advance(200.0, steps=200)


class RandomTests(SupervisorCase):
    """Invariants that hold after any sequence of operations."""

    def check(self, supervisor: Supervisor) -> None:
        """Assert that the list of children is consistent."""
        rows = supervisor.which_children()
        self.assertEqual(len({row[0] for row in rows}), len(rows), "an id is there twice")
        count = supervisor.count_children()
        self.assertEqual(count["active"], len([row for row in rows if row[1] is not None]))
        for id, child, kind in rows:
            if kind == "worker" and child is not None:
                self.assertNotEqual(child.status, "terminated", id)

    def run_one(self, seed: int) -> Chaos:
        chaos = Chaos(self, seed)
        chaos.outer.startService()
        chaos.deferreds.append(chaos.outer.terminated())
        for _ in range(60):
            chaos.one()
            self.check(chaos.outer)
            self.check(chaos.inner)
        return chaos

    def check_end(self, chaos: Chaos) -> None:
        """Assert that after the stop nothing is left and every Deferred has fired."""
        for deferred in chaos.deferreds:
            self.assertTrue(deferred.called, f"{deferred} never fires")
        self.assertEqual({id: n for id, n in self.connections().items() if n}, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for site in self.sites.values():
            for handler in site.handlers:
                ends = len(handler.ends)
                self.assertEqual(ends or not handler.was_up, 1, f"{site.id}: terminate {ends}")
        for supervisor in (chaos.outer, chaos.inner):
            self.assertEqual(self.up(supervisor), [])
        self.assertEqual(registry._clients, {})

    def after(self, seed: int, scenario: Callable[[Chaos], None]) -> None:
        """Run a scenario after the operations that the seed yields."""
        chaos: Chaos | None = None
        try:
            chaos = self.run_one(seed)
            scenario(chaos)
            self.check_end(chaos)
        except Exception as error:
            done = "" if chaos is None else " ".join(chaos.done)
            raise self.failureException(f"seed {seed}: {error}\n{done}") from error
        self.flushLoggedErrors(wsx.AlreadyStartedError, wsx.ClientEnded)

    def stop_and_wait(self, chaos: Chaos) -> None:
        stopped = chaos.outer.stopService()
        chaos.inner.stopService()  # The outer supervisor may have deleted it.
        self.advance(100.0, steps=100)
        self.successResultOf(stopped)

    @each(range(40))
    def test_stop_in_the_middle(self, seed: int) -> None:
        """A stop at any time ends everything and fires every Deferred."""
        self.after(seed, self.stop_and_wait)

    @each(range(100, 140))
    def test_recovers(self, seed: int) -> None:
        """When all servers work again, every untouched permanent child is up."""

        def heal(chaos: Chaos) -> None:
            chaos.heal()
            chaos.outer.startService()
            chaos.heal()
            rows = chaos.outer.which_children()
            if self.client_or_none(rows, "inner") is not None:
                rows += chaos.inner.which_children()
            for id, child, _ in rows:
                permanent = id in list(chaos.IDS) and self.restart_of(chaos, id) == "permanent"
                if permanent and id not in chaos.touched:
                    assert child is not None, f"{id} is not up"
                    self.assertEqual(child.status, "open", id)
            self.stop_and_wait(chaos)

        self.after(seed, heal)

    def client_or_none(self, rows: list[tuple[Any, Any, str]], id: str) -> Any:
        return next((child for other, child, _ in rows if other == id), None)

    def restart_of(self, chaos: Chaos, id: str) -> str:
        for supervisor in (chaos.outer, chaos.inner):
            for spec in supervisor._specs:
                if spec.id == id:
                    return spec.restart
        raise LookupError(id)
