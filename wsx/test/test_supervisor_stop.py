"""Tests of stopping a supervisor in every phase."""

from __future__ import annotations

import math
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

import wsx
import wsx.supervisor
from wsx import MaxRestartsExceeded, Shutdown, Supervisor
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.supervision import GOING_AWAY, PLENTY, STRATEGIES, SupervisorCase, steady


class StopTests(SupervisorCase):
    """``stopService`` in every phase."""

    def test_reverse_order(self) -> None:
        """[V4] Children are stopped in reverse order, with close code 1001 and ``terminate``."""
        supervisor = self.supervise(self.children("abc"))
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        for id in "cba":
            others = [other for other in "abc" if other < id]
            self.settle()
            peer = self.sites[id].peer
            self.assertEqual(peer.received(), [GOING_AWAY])
            for other in others:
                self.assertEqual(self.sites[other].peer.received(), [])
            self.assertNoResult(stopped)
            peer.drop()
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.events[-3:], ["end c", "end b", "end a"])
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assertEqual(
            [site.handlers[0].ends for site in self.sites.values()], 3 * [[Shutdown()]]
        )
        self.assert_all_down(supervisor)

    def test_one_after_another(self) -> None:
        """[V4] A child is stopped once the previous one has ended, including its ``terminate``."""
        supervisor = self.supervise(self.children("ab"))
        answer: Deferred[None] = Deferred()
        self.sites["b"].on_terminate = lambda: answer
        with self.happens("end b"):
            stopped = supervisor.stopService()
        self.assertNoResult(stopped)
        with self.happens("end a"):
            answer.callback(None)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_before_the_start(self) -> None:
        """Stopping a supervisor that was never started succeeds at once.

        It can be started afterwards.
        """
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        self.successResultOf(supervisor.stopService())
        self.assertEqual(self.events, [])
        supervisor.startService()
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.assertNoResult(supervisor.terminated())
        self.stop(supervisor)

    @each(("tcp", "handshake"), enumerate("abc"))
    def test_first_connect(self, phase: str, number: int, id: str) -> None:
        """[V5] A stop during a first connect calls no ``terminate`` and starts no other child."""
        specs = self.children("abc")
        self.sites[id].silent = phase == "tcp"
        self.sites[id].answers = phase != "handshake"
        supervisor = self.supervise(specs)
        up = supervisor.when_up()
        with self.happens(*(f"end {other}" for other in reversed("abc"[:number]))):
            self.stop(supervisor)
        error = self.failureResultOf(up, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown())
        self.assertEqual(self.sites[id].handlers[0].ends, [])

    def test_first_connect_of_an_asynchronous_child(self) -> None:
        """[V4] ``terminate`` is called for an asynchronous child that is still connecting."""
        specs = self.children("ab", async_=True)
        for site in self.sites.values():
            site.silent = True
        supervisor = self.supervise(specs)
        with self.happens("end b", "end a"):
            self.stop(supervisor)

    def test_handle_connect(self) -> None:
        """[V5] A stop cancels a pending first ``handle_connect`` and calls no ``terminate``."""
        specs = self.children("ab")
        cancelled: list[Deferred[Any]] = []
        self.sites["b"].on_connect = lambda: Deferred(cancelled.append)
        supervisor = self.supervise(specs)
        with self.happens("end a"):
            self.stop(supervisor)
        self.assertEqual(len(cancelled), 1)

    def test_connection_is_gone(self) -> None:
        """The Deferred fires after the TCP connection of an unfinished handshake is closed."""
        specs = self.children("a")
        self.sites["a"].answers = False
        supervisor = self.supervise(specs)
        open_then: list[int] = []
        stopped = supervisor.stopService()
        stopped.addCallback(lambda _: open_then.append(self.sites["a"].connections))
        self.settle()
        self.assertEqual(open_then, [0])

    def test_connections_are_gone(self) -> None:
        """[V4] The Deferred fires when no connection is left, in any state of the children."""
        specs = [
            *self.children("abcde", async_=True, close_timeout=2.0),
            self.child("f", reconnect=steady(9.0)),
            self.child("g", backoff=steady(9.0)),
        ]
        self.sites["a"].silent = True
        self.sites["b"].answers = False
        self.sites["c"].hangs_up = False
        supervisor = self.supervise(specs)
        self.crash("fg")
        self.client(supervisor, "d").close()
        self.settle()
        left: list[dict[str, int]] = []
        supervisor.stopService().addCallback(lambda _: left.append(self.connections()))
        self.advance(10.0, steps=100)
        self.assertEqual(left, [dict.fromkeys("abcdefg", 0)])
        self.assert_all_down(supervisor)
        for site in self.sites.values():
            for handler in site.handlers:
                self.assertEqual(len(handler.ends), 1, site.id)

    def test_closing(self) -> None:
        """[V4] A stop waits for the closing handshake of a child that is already closing."""
        supervisor = self.supervise(self.children("a", close_timeout=3.0))
        self.sites["a"].hangs_up = False
        self.client(supervisor, "a").close()
        self.settle()
        self.advance(2.0)
        stopped = supervisor.stopService()
        self.settle()
        self.advance(0.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assertEqual(self.sites["a"].handlers[0].ends, [Shutdown()])

    def test_between_children(self) -> None:
        """If a child's ``handle_connect`` stops the supervisor, the next child is not started."""
        specs = self.children("abc")
        supervisor = Supervisor(specs, reactor=self.clock)
        stopped: list[Deferred[Any]] = []
        self.sites["b"].on_connect = lambda: stopped.append(supervisor.stopService())
        supervisor.startService()
        self.settle()
        self.successResultOf(stopped[0])
        self.assertNotIn("start c", self.events)
        self.assertEqual(self.events[-1], "end a")
        self.assert_all_down(supervisor)

    def stop_at_attempt(self, supervisor: Supervisor, id: str) -> list[Deferred[Any]]:
        """Stop the supervisor in the next ``connect`` of a child's endpoint."""
        stops: list[Deferred[Any]] = []
        self.sites[id].on_attempt = lambda: stops.append(supervisor.stopService())
        return stops

    @each((("a", ["start a"]), ("b", ["start a", "up a", "start b", "end a"])), (False, True))
    def test_during_connect(self, id: str, events: Any, silent: bool) -> None:
        """The supervisor can be stopped in the endpoint's ``connect`` of a starting child."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        stops = self.stop_at_attempt(supervisor, id)
        self.sites[id].silent = silent
        supervisor.startService()
        self.settle()
        self.successResultOf(stops[0])
        self.assertEqual(self.events, events)
        self.assert_all_down(supervisor)

    @each(STRATEGIES, "abc", (False, True))
    def test_during_a_restart(self, strategy: str, id: str, silent: bool) -> None:
        """The supervisor can be stopped in the endpoint's ``connect`` of a restart."""
        supervisor = self.supervise(self.children("abc"), strategy)
        stops = self.stop_at_attempt(supervisor, id)
        self.sites[id].silent = silent
        self.crash(id)
        self.settle()
        self.successResultOf(stops[0])
        self.assert_all_down(supervisor)

    @each(STRATEGIES)
    def test_while_one_waits(self, strategy: str) -> None:
        """A stop while a child waits for its backoff cancels the timer and stops the others."""
        supervisor = self.supervise(self.children("abc", backoff=steady(9.0)), strategy)
        self.crash("b")
        self.settle()
        self.advance(1.0)
        self.stop(supervisor)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())

    @each(STRATEGIES, range(8))
    def test_in_the_step_of_a_crash(self, strategy: str, steps: int) -> None:
        """A stop at any step of a crash and restart leaves nothing running."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.crash("b")
        for _ in range(steps):
            self.clock.advance(0)
            for site in self.sites.values():
                site.serve()
        self.stop(supervisor)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())

    @each(STRATEGIES)
    def test_crash_while_stopping(self, strategy: str) -> None:
        """[V4] A child that crashes while the others are stopped is not restarted."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites["c"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        with self.happens("end a", "end b"):
            self.crash("ab")
        self.sites["c"].hangs_up = True
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assert_all_down(supervisor)

    @each(("one_for_all", "rest_for_one"))
    def test_group_is_stopped(self, strategy: str) -> None:
        """A stop while a group is stopped for its restart ends the restart."""
        supervisor = self.supervise(self.children("abc", close_timeout=3.0), strategy)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()
        stopped = supervisor.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assertEqual(self.events.count("start a"), 1)
        self.assert_all_down(supervisor)

    @each(("one_for_all", "rest_for_one"), "abc")
    def test_group_is_started(self, strategy: str, id: str) -> None:
        """A stop while a group is started again stops it, whichever child is starting."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites[id].answers = False
        self.crash("a")
        self.settle()
        self.stop(supervisor)

    def test_while_giving_up(self) -> None:
        """A stop while the supervisor gives up waits for that; the reason stays the same."""
        specs = self.children("abc", close_timeout=3.0)
        supervisor = self.supervise(specs, max_restarts=0)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        stopped = supervisor.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)
        self.assert_all_down(supervisor)

    def test_after_giving_up(self) -> None:
        """A stop after the supervisor gave up succeeds at once."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.crash("a")
        self.settle()
        self.successResultOf(supervisor.stopService())

    @each(("S", "sS", "sSs", "sSsS", "sSSsS", "ssSS"))
    def test_while_giving_up_then_started(self, calls: str) -> None:
        """Of stops and starts while the supervisor gives up, the last one counts."""
        specs = self.children("abc", close_timeout=3.0)
        supervisor = self.supervise(specs, max_restarts=0)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()
        self.call(supervisor, calls)
        self.sites["c"].hangs_up = True
        self.advance(3.0)
        self.assertEqual(len(supervisor.which_children()), 3)
        if calls[-2:] == "sS" or calls == "ssSS":
            self.assert_all_up(supervisor)
        else:
            self.successResultOf(supervisor.terminated())
        self.stop(supervisor)

    @each(("sS", "sSs", "sSsS"))
    def test_while_the_start_fails_then_started(self, calls: str) -> None:
        """Of stops and starts while a failed first start is undone, the last one counts."""
        specs = self.children("abc", close_timeout=3.0)
        self.sites["c"].refusal = ConnectionRefusedError()
        self.sites["b"].hangs_up = False
        supervisor = self.supervise(specs)
        self.sites["c"].refusal = None
        self.call(supervisor, calls)
        self.sites["b"].hangs_up = True
        self.advance(3.0)
        self.assertEqual(len(supervisor.which_children()), 3)
        if calls[-1] == "S":
            self.assert_all_up(supervisor)
        self.stop(supervisor)

    def call(self, supervisor: Supervisor, calls: str) -> None:
        """Call ``stopService`` for each "s" and ``startService`` for each "S", in one step."""
        for call in calls:
            (supervisor.stopService if call == "s" else supervisor.startService)()

    def assert_all_up(self, supervisor: Supervisor) -> None:
        """Assert that all children are up and the supervisor runs."""
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.successResultOf(supervisor.when_up())
        self.assertNoResult(supervisor.terminated())

    @each(range(12))
    def test_twice(self, steps: int) -> None:
        """Two stops, any number of steps apart, both fire when everything is down."""
        supervisor = self.supervise(self.children("abc"))
        left: list[dict[str, int]] = []
        for wait in (steps, 0):
            done = supervisor.stopService()
            done.addCallback(lambda _: left.append(self.connections()))
            for _ in range(wait):
                self.clock.advance(0)
                for site in self.sites.values():
                    site.serve()
        self.settle()
        self.assertEqual(left, 2 * [{"a": 0, "b": 0, "c": 0}])
        self.assert_all_down(supervisor)

    @each(range(14))
    def test_started_while_stopping(self, steps: int) -> None:
        """A supervisor that is started during a stop starts its children once all are down."""
        supervisor = self.supervise([self.child(id, name=id) for id in "abc"])
        terminated = supervisor.terminated()
        del self.events[:]
        stopped = supervisor.stopService()
        for _ in range(steps):
            self.clock.advance(0)
            for site in self.sites.values():
                site.serve()
        was_over = terminated.called
        supervisor.startService()
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(
            self.events,
            [f"end {id}" for id in "cba"]
            + [f"{what} {id}" for id in "abc" for what in ("start", "up")],
        )
        self.assertEqual(terminated.called, was_over)
        self.assertNoResult(supervisor.terminated())
        self.successResultOf(supervisor.when_up())
        self.stop(supervisor)

    @each(("sS", "sSs", "sSsS", "sSsSs", "ssSS", "SsSsSS", "ssSSss"), (True, False))
    def test_to_and_fro(self, calls: str, connected: bool) -> None:
        """Of several stops and starts in one step, the last one counts."""
        specs = self.children("ab")
        self.sites["b"].silent = not connected
        supervisor = self.supervise(specs)
        stops = []
        for call in calls:
            if call == "s":
                stops.append(supervisor.stopService())
            else:
                supervisor.startService()
        self.sites["b"].silent = False
        self.settle()
        for stopped in stops:
            self.successResultOf(stopped)
        self.assertEqual(self.up(supervisor), ["a", "b"] if calls[-1] == "S" else [])
        if calls[-1] == "S":
            self.assertNoResult(supervisor.terminated())
        else:
            self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.stop(supervisor)

    def test_linked_during_a_stop_after_another(self) -> None:
        """[S9] A client linked during the second of two stops ends with the last stop."""
        supervisor = self.supervise(self.children("ab", close_timeout=3.0))
        self.sites["b"].hangs_up = False
        self.call(supervisor, "sSsS")
        self.settle()
        self.advance(3.0)
        for id in "xy":
            own = self.options(id, async_=True)
            wsx.start_link(supervisor, URL, self.handler(id), **own).addErrback(lambda _: None)
            self.settle()
        stopped = supervisor.stopService()
        self.settle()
        self.advance(30.0, steps=30)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    @each(STRATEGIES)
    def test_crash_during_a_stop_after_another(self, strategy: str) -> None:
        """[V4] If a child crashes during the second of two stops, all are up in the end."""
        specs = self.children("ab", close_timeout=3.0)
        supervisor = self.supervise(specs, strategy, PLENTY)
        self.sites["b"].hangs_up = False
        self.call(supervisor, "sSsS")
        self.settle()
        self.advance(3.0)
        self.crash("a")
        self.settle()
        self.sites["b"].hangs_up = True
        self.advance(3.0)
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1})
        self.assertNoResult(supervisor.terminated())
        self.stop(supervisor)

    def test_to_and_fro_with_a_silent_server(self) -> None:
        """A start between two stops does not delay the second stop."""
        supervisor = self.supervise(self.children("ab", socket_connect_timeout=60.0))
        self.sites["a"].silent = True
        supervisor.stopService()
        supervisor.startService()
        second = supervisor.stopService()
        supervisor.startService()
        self.settle()
        self.successResultOf(second)

    def test_cancelled(self) -> None:
        """Cancelling the Deferred of a stop does not end the stop."""
        supervisor = self.supervise(self.children("ab"))
        stopped, other = supervisor.stopService(), supervisor.stopService()
        stopped.cancel()
        self.failureResultOf(stopped, CancelledError)
        self.settle()
        self.successResultOf(other)
        self.assertEqual(self.events[-2:], ["end b", "end a"])
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assert_all_down(supervisor)

    @each((False, True))
    def test_end_asks_again(self, start: bool) -> None:
        """A callback of ``terminated`` can stop and start the supervisor again."""
        supervisor = self.supervise(self.children("ab"))
        inner: list[Deferred[Any]] = []

        def again(_: object) -> None:
            inner.append(supervisor.stopService())
            if start:
                supervisor.startService()

        supervisor.terminated().addCallback(again)
        supervisor.stopService()
        self.settle()
        self.successResultOf(inner[0])
        self.assertEqual(self.up(supervisor), ["a", "b"] if start else [])
        self.stop(supervisor)

    def test_end_starts_it_twice(self) -> None:
        """If callbacks of ``terminated`` start the supervisor twice, its children start once."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)

        def again(_: object) -> None:
            supervisor.startService()
            supervisor.startService()

        supervisor.terminated().addCallback(again)
        with self.happens("end a", "start a", "up a"):
            self.crash("a")
        self.stop(supervisor)

    def test_begins_anew(self) -> None:
        """After a stop, ``startService`` starts the children given to the constructor."""
        supervisor = self.supervise([self.child("a"), self.child("b", "temporary")])
        supervisor.start_child(self.child("c"))
        self.settle()
        supervisor.terminate_child("a")
        self.settle()
        supervisor.delete_child("a")
        self.stop(supervisor)
        with self.happens("start a", "up a", "start b", "up b"):
            supervisor.startService()
        self.assertEqual(self.listed(supervisor), ["a", "b"])
        self.stop(supervisor)

    def test_peer_that_does_not_answer(self) -> None:
        """[V4] A child whose server does not answer the close frame takes ``close_timeout``."""
        supervisor = self.supervise(self.children("ab", close_timeout=2.0))
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        for seconds, ends in ((1.9, []), (0.2, ["end b"]), (1.7, []), (0.3, ["end a"])):
            self.assertNoResult(stopped)
            with self.happens(*ends):
                self.settle()
                self.advance(seconds)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_shutdown(self) -> None:
        """[V4] A child that exceeds its ``shutdown`` is aborted; ``terminate`` is still called."""
        specs = [
            self.child("a", close_timeout=60.0).replace(shutdown=3.0),
            self.child("b", close_timeout=60.0).replace(shutdown=2.0),
        ]
        supervisor = self.supervise(specs)
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        for seconds, ends in ((1.9, []), (0.2, ["end b"]), (2.8, []), (0.2, ["end a"])):
            self.assertNoResult(stopped)
            with self.happens(*ends):
                self.advance(seconds)
        self.successResultOf(stopped)
        self.assertTrue(all(site.peer.transport.aborted for site in self.sites.values()))
        self.assert_all_down(supervisor)

    def test_shutdown_default(self) -> None:
        """[V4] The default ``shutdown`` is five seconds."""
        supervisor = self.supervise(self.children("a", close_timeout=60.0))
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(4.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)

    def test_shutdown_zero(self) -> None:
        """[V4] A child with ``shutdown=0`` is aborted at once."""
        specs = [spec.replace(shutdown=0) for spec in self.children("ab", close_timeout=60.0)]
        supervisor = self.supervise(specs)
        for site in self.sites.values():
            site.hangs_up = False
        with self.happens("end b", "end a"):
            stopped = supervisor.stopService()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.seconds(), 0.0)
        self.assert_all_down(supervisor)

    def test_shutdown_infinite(self) -> None:
        """[V4] With ``shutdown=math.inf``, only the child's own timeouts apply."""
        spec = self.child("a", close_timeout=5000.0).replace(shutdown=math.inf)
        supervisor = self.supervise([spec])
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(4999.0)
        self.assertNoResult(stopped)
        self.advance(1.0)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_shutdown_of_terminate(self) -> None:
        """[V4] An asynchronous ``terminate`` can use the rest of the ``shutdown`` time."""
        spec = self.child("a", close_timeout=60.0).replace(shutdown=4.0)
        supervisor = self.supervise([spec, self.child("b")])
        cancelled: list[Any] = []
        self.sites["a"].on_terminate = lambda: Deferred(cancelled.append)
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(3.0)
        self.crash("a")
        self.settle()
        self.assertEqual(self.events[-1], "end a")
        self.advance(0.9)
        self.assertNoResult(stopped)
        self.assertEqual(cancelled, [])
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assertEqual(len(cancelled), 1)
        self.assert_all_down(supervisor)

    def test_each_its_own_shutdown(self) -> None:
        """[V4] A child that is aborted does not shorten the ``shutdown`` of others."""
        specs = [
            self.child("a", close_timeout=60.0).replace(shutdown=10.0),
            self.child("b", close_timeout=60.0).replace(shutdown=1.0),
        ]
        supervisor = self.supervise(specs)
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(1.0)
        self.assertEqual(self.events[-1], "end b")
        self.advance(9.0)
        self.assertNoResult(stopped)
        self.crash("a")
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shutdown_in_a_group(self) -> None:
        """[V4] A child's ``shutdown`` also applies to the restart of its group."""
        specs = [self.child("a"), self.child("b", close_timeout=60.0).replace(shutdown=2.0)]
        supervisor = self.supervise(specs, "one_for_all")
        self.sites["b"].hangs_up = False
        self.crash("a")
        self.settle()
        self.advance(1.9)
        self.assertEqual(self.events[-1], "end a")
        with self.happens("end b", "start a", "up a", "start b", "up b"):
            self.advance(0.2)
        self.sites["b"].hangs_up = True
        self.stop(supervisor)

    def test_shutdown_while_starting(self) -> None:
        """[V4] ``shutdown`` also applies to a child that is stopped while it starts."""
        specs = [self.child("a"), self.child("b", close_timeout=60.0).replace(shutdown=2.0)]
        self.sites["b"].on_connect = Deferred
        self.sites["b"].hangs_up = False
        supervisor = self.supervise(specs)
        stopped = supervisor.stopService()
        self.settle()
        self.advance(1.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_stopped_by_a_callback(self) -> None:
        """A child's callback can stop the supervisor and return the Deferred of the stop."""
        specs = self.children("ab")
        supervisor = self.supervise(specs)
        stops: list[Deferred[Any]] = []
        self.sites["a"].on_terminate = lambda: stops.append(supervisor.stopService())
        self.client(supervisor, "a").cast(wsx.Exit())
        self.settle()
        self.successResultOf(stops[0])
        self.assert_all_down(supervisor)

    def test_terminate_waits_for_the_stop(self) -> None:
        """A ``terminate`` that waits for the stop of its own supervisor is aborted."""
        supervisor = self.supervise(self.children("ab"))
        self.sites["a"].on_terminate = supervisor.stopService
        stopped = supervisor.stopService()
        self.advance(20.0, steps=40)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)
