"""Tests of child specifications with a user-defined start function, below a supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

import wsx
from wsx import ChildSpec, MaxRestartsExceeded, Shutdown, Supervisor
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.supervision import STRATEGIES, SupervisorCase, steady


class OwnStartTests(SupervisorCase):
    """Child specifications with a user-defined start function."""

    def spec(self, start: Callable[[Any], Any], id: str = "own", **fields: Any) -> ChildSpec:
        return ChildSpec(id, start, reactor=self.clock, **fields)

    def start_client(self, id: str, **options: Any) -> Deferred[wsx.Client[Any]]:
        return wsx.start(URL, self.handler(id), **self.options(id, **options))

    def test_cancelled(self) -> None:
        """A start that fails with ``asyncio.CancelledError`` leaves a supervisor that can stop."""
        spec = self.spec(lambda _: fail(Failure(asyncio.CancelledError())))
        supervisor = Supervisor([spec], reactor=self.clock)
        supervisor.startService()
        self.settle()
        stopped = supervisor.stop()
        self.advance(10.0)
        self.successResultOf(stopped)
        self.flushLoggedErrors(asyncio.CancelledError)

    def test_client(self) -> None:
        """An unlinked client from a start function is restarted and stopped like any other."""
        spec = self.spec(lambda _: self.start_client("a"))
        supervisor = self.supervise([spec, self.child("b")], "one_for_all")
        self.assertEqual(self.up(supervisor), ["own", "b"])
        with self.happens("end b", "end a", "start a", "up a", "start b", "up b"):
            self.crash("b")
        with self.happens("end a", "end b", "start a", "up a", "start b", "up b"):
            self.crash("a")
        with self.happens("end b", "end a"):
            self.stop(supervisor)

    def test_gets_the_supervisor(self) -> None:
        """The start function is called with the supervisor."""
        parents: list[Any] = []

        def start(parent: Any) -> Deferred[Any]:
            parents.append(parent)
            return self.start_client("a")

        supervisor = self.supervise([self.spec(start)])
        self.crash("a")
        self.settle()
        self.assertEqual(parents, [supervisor, supervisor])

    def test_supervisor(self) -> None:
        """The start function can make and start a new Supervisor each time."""
        made: list[Supervisor] = []

        def start(_: Any) -> Deferred[Supervisor]:
            made.append(Supervisor(self.children("ab"), max_restarts=0, reactor=self.clock))
            made[-1].startService()
            return made[-1].when_up()

        outer = self.supervise([self.spec(start, type="supervisor")])
        with self.happens("end a", "end b", "start a", "up a", "start b", "up b"):
            self.crash("a")
        self.assertEqual(len(made), 2)
        self.assertEqual(outer.which_children(), [("own", made[1], "supervisor")])
        with self.happens("end b", "end a"):
            self.stop(outer)
        self.assertEqual(self.successResultOf(made[1].terminated()), Shutdown())

    def test_supervisor_stopped_while_it_starts(self) -> None:
        """A stop while an announced Supervisor starts leaves nothing running."""
        self.child("b")
        self.sites["b"].answers = False

        def start(parent: Supervisor) -> Deferred[Supervisor]:
            inner = Supervisor(self.children("ab"), reactor=self.clock)
            parent.announce(inner)
            inner.startService()
            return inner.when_up()

        outer = self.supervise([self.spec(start, type="supervisor")])
        self.assertEqual(self.events[-1], "start b")
        self.stop(outer)

    def test_linked(self) -> None:
        """If the start function links its client to the supervisor, it is still one child."""

        def start(parent: Any) -> Deferred[Any]:
            return wsx.start_link(parent, URL, self.handler("a"), **self.options("a"))

        supervisor = self.supervise([self.spec(start)])
        self.assertEqual(self.listed(supervisor), ["own"])
        with self.happens("end a", "start a", "up a"):
            self.crash("a")
        self.assertEqual(self.listed(supervisor), ["own"])

    def test_linked_later(self) -> None:
        """A coroutine that links its client later also adds one child only."""
        looked_up: list[Deferred[None]] = []

        async def connect(parent: Any) -> Any:
            looked_up.append(Deferred())
            await looked_up[-1]
            return await wsx.start_link(parent, URL, self.handler("a"), **self.options("a"))

        spec = self.spec(lambda parent: Deferred.fromCoroutine(connect(parent)))
        supervisor = self.supervise([spec])
        looked_up[0].callback(None)
        self.settle()
        self.assertEqual(self.listed(supervisor), ["own"])
        self.assertEqual(supervisor.count_children()["active"], 1)

    def test_coroutine(self) -> None:
        """The start function can be an ``async def``."""

        async def start(_: Any) -> Any:
            return await self.start_client("a")

        supervisor = self.supervise([self.spec(start)])
        self.assertEqual(self.up(supervisor), ["own"])
        self.stop(supervisor)

    def test_raises(self) -> None:
        """A start function that raises is a failed start."""
        supervisor = self.supervise([self.child("a"), self.spec(lambda _: 1 / 0)])
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), ZeroDivisionError)
        self.assertEqual(self.events, ["start a", "up a", "end a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @each(STRATEGIES)
    def test_fails_again_and_again(self, strategy: str) -> None:
        """[V3] If a start always fails, the supervisor gives up, with any strategy."""
        calls: list[Any] = []

        def start(_: Any) -> Any:
            calls.append(None)
            return self.start_client("a") if len(calls) == 1 else 1 / 0

        supervisor = self.supervise([self.spec(start)], strategy, 3)
        self.crash("a")
        self.settle()
        reason = self.successResultOf(supervisor.terminated())
        self.assertIsInstance(reason, MaxRestartsExceeded)
        self.assertEqual(len(calls), 1 + 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    @each((None, 42, succeed(None), "client"))
    def test_nonsense(self, nonsense: Any) -> None:
        """A start function that returns neither a client nor a Supervisor is a failed start."""
        supervisor = self.supervise([self.child("a"), self.spec(lambda _: nonsense)])
        reason = self.successResultOf(supervisor.terminated())
        self.assertIsInstance(reason, Exception)
        self.assert_all_down(supervisor)
        self.flushLoggedErrors()

    def test_ended_already(self) -> None:
        """[V3] If the returned client has already ended, that counts as an end at that time."""
        ended = self.successResultOf(self.start_client("a", async_=True))
        ended.stop()
        self.settle()
        supervisor = self.supervise([self.spec(lambda _: succeed(ended))], max_restarts=3)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)
        self.assert_all_down(supervisor)

    @each(("tcp", "handshake", "handle_connect"))
    def test_stopped_while_it_starts(self, phase: str) -> None:
        """A stop cancels a pending start whose child was not announced."""
        self.options("a")
        self.sites["a"].silent = phase == "tcp"
        self.sites["a"].answers = phase != "handshake"
        self.sites["a"].on_connect = Deferred if phase == "handle_connect" else int
        supervisor = self.supervise([self.spec(lambda _: self.start_client("a"))])
        stopped = supervisor.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_cannot_be_cancelled(self) -> None:
        """If a start function ignores cancellation and returns a client, that client is stopped."""

        async def start(_: Any) -> Any:
            client = await self.start_client("a", async_=True)
            try:
                await client.when_open()
            except CancelledError:
                self.events.append("cancelled")
            return client

        self.options("a")
        self.sites["a"].answers = False
        spec = self.spec(lambda parent: Deferred.fromCoroutine(start(parent)))
        supervisor = self.supervise([spec])
        self.stop(supervisor)
        self.assertEqual(self.events, ["start a", "cancelled", "end a"])

    @each(STRATEGIES, (False, True), (False, True))
    def test_stops_its_supervisor(self, strategy: str, restarted: bool, is_first: bool) -> None:
        """The start function can stop its supervisor. The child that it starts is stopped too."""
        supervisor = self.stopping_itself(strategy, restarted, is_first)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assert_all_down(supervisor)

    def stopping_itself(self, strategy: str, restarted: bool, is_first: bool) -> Supervisor:
        """Return a supervisor that its child stops in its first start or its first restart."""

        def start(parent: Any) -> Deferred[Any]:
            if ("start a" in self.events) == restarted:
                parent.stopService()
            return self.start_client("a")

        specs = [self.spec(start), self.child("b")]
        supervisor = self.supervise(specs if is_first else specs[::-1], strategy)
        if restarted:
            self.crash("a")
        self.settle()
        return supervisor

    def test_asks_its_supervisor(self) -> None:
        """Requests made in the start function are served after the start."""
        spec = self.child("b", async_=True)
        results: list[Any] = []

        def start(parent: Any) -> Deferred[Any]:
            if not results:
                parent.start_child(spec).addBoth(results.append)
            return self.start_client("a")

        supervisor = self.supervise([self.spec(start)])
        self.assertEqual(self.up(supervisor), ["own", "b"])
        self.assertIs(results[0], self.client(supervisor, "b"))

    def test_no_reactor(self) -> None:
        """The supervisor's own ``reactor`` is used if no child has one."""
        spec = ChildSpec("own", lambda _: self.start_client("a"), backoff=steady(3.0))
        supervisor = self.supervise([spec], reactor=self.clock)
        self.crash("a")
        self.settle()
        self.advance(3.0)
        self.assertEqual(self.up(supervisor), ["own"])
        self.stop(supervisor)
