"""Tests of stopping a supervisor, whatever it is doing."""

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
    """What ``stopService`` does, in every phase."""

    def test_reverse_order(self) -> None:
        """[V4] children are stopped in reverse order, with close frame 1001 and ``terminate``."""
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
        """[V4] the next is stopped once the one before has ended, ``terminate`` included."""
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
        """Stopping one that was never started is done at once; it can be started then."""
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
        """[V5] during a child's first connect: no ``terminate`` for it, no next child."""
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
        """[V4] an asynchronous child was initialised: its ``terminate`` is called."""
        specs = self.children("ab", async_=True)
        for site in self.sites.values():
            site.silent = True
        supervisor = self.supervise(specs)
        with self.happens("end b", "end a"):
            self.stop(supervisor)

    def test_handle_connect(self) -> None:
        """[V5] during the first ``handle_connect``, which is cancelled; no ``terminate``."""
        specs = self.children("ab")
        cancelled: list[Deferred[Any]] = []
        self.sites["b"].on_connect = lambda: Deferred(cancelled.append)
        supervisor = self.supervise(specs)
        with self.happens("end a"):
            self.stop(supervisor)
        self.assertEqual(len(cancelled), 1)

    def test_connection_is_gone(self) -> None:
        """The Deferred fires when the TCP connection of a handshake in progress is gone too."""
        specs = self.children("a")
        self.sites["a"].answers = False
        supervisor = self.supervise(specs)
        open_then: list[int] = []
        stopped = supervisor.stopService()
        stopped.addCallback(lambda _: open_then.append(self.sites["a"].connections))
        self.settle()
        self.assertEqual(open_then, [0])

    def test_connections_are_gone(self) -> None:
        """[V4] it fires when no connection is left, whatever the states of the children."""
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
        """[V4] a child that is closing already: its close handshake is waited for."""
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
        """In the very step in which one is up and the next begins: neither survives."""
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
        """Has the supervisor stopped from within the next ``connect`` of a child's endpoint."""
        stops: list[Deferred[Any]] = []
        self.sites[id].on_attempt = lambda: stops.append(supervisor.stopService())
        return stops

    @each((("a", ["start a"]), ("b", ["start a", "up a", "start b", "end a"])), (False, True))
    def test_during_connect(self, id: str, events: Any, silent: bool) -> None:
        """From within the endpoint's ``connect``, while the child is being made."""
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
        """From within the ``connect`` of a restart, with each strategy."""
        supervisor = self.supervise(self.children("abc"), strategy)
        stops = self.stop_at_attempt(supervisor, id)
        self.sites[id].silent = silent
        self.crash(id)
        self.settle()
        self.successResultOf(stops[0])
        self.assert_all_down(supervisor)

    @each(STRATEGIES)
    def test_while_one_waits(self, strategy: str) -> None:
        """While a child waits for its Backoff: its timer goes, the others are stopped."""
        supervisor = self.supervise(self.children("abc", backoff=steady(9.0)), strategy)
        self.crash("b")
        self.settle()
        self.advance(1.0)
        self.stop(supervisor)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())

    @each(STRATEGIES, range(8))
    def test_in_the_step_of_a_crash(self, strategy: str, steps: int) -> None:
        """Before and after a crash in one step: nothing comes back."""
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
        """[V4] a child that crashes while the others are stopped is not restarted."""
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
        """While a group is being stopped for its restart: the stop goes on from there."""
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
        """While a group is being started again, with each child in turn."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites[id].answers = False
        self.crash("a")
        self.settle()
        self.stop(supervisor)

    def test_while_giving_up(self) -> None:
        """While it gives up: the Deferred waits for the end, whose reason stays."""
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
        """After it gave up there is nothing to do."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.crash("a")
        self.settle()
        self.successResultOf(supervisor.stopService())

    @each(("S", "sS", "sSs", "sSsS", "sSSsS", "ssSS"))
    def test_while_giving_up_then_started(self, calls: str) -> None:
        """While it gives up, stopped and started: the last call counts, no child is there twice."""
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
        """So it is while a first start that failed stops the others."""
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
        """Stops (s) and starts (S) it, all in one step."""
        for call in calls:
            (supervisor.stopService if call == "s" else supervisor.startService)()

    def assert_all_up(self, supervisor: Supervisor) -> None:
        """It runs, in every respect."""
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.successResultOf(supervisor.when_up())
        self.assertNoResult(supervisor.terminated())

    @each(range(12))
    def test_twice(self, steps: int) -> None:
        """Twice, in every phase: both Deferreds fire when all is down."""
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
        """Started again while it stops: it comes up once all was down, with each phase."""
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
        """Stopped and started several times at once: the last call counts."""
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
        """[S9] a client that is linked during the second of two stops does not outlive the last."""
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
        """[V4] a child that crashes during the second of two stops: all come up at the end."""
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
        """A stop is not held up by a start between it and an earlier stop."""
        supervisor = self.supervise(self.children("ab", socket_connect_timeout=60.0))
        self.sites["a"].silent = True
        supervisor.stopService()
        supervisor.startService()
        second = supervisor.stopService()
        supervisor.startService()
        self.settle()
        self.successResultOf(second)

    def test_cancelled(self) -> None:
        """Cancelling the Deferred of a stop harms nothing: the stop goes on."""
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
        """What ``terminated`` fires may stop and start it again."""
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
        """What ``terminated`` fires may start it twice: its children are started once."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)

        def again(_: object) -> None:
            supervisor.startService()
            supervisor.startService()

        supervisor.terminated().addCallback(again)
        with self.happens("end a", "start a", "up a"):
            self.crash("a")
        self.stop(supervisor)

    def test_begins_anew(self) -> None:
        """After a stop, ``startService`` begins anew with the constructor's children."""
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
        """[V4] with peers that do not answer the close frame, each takes its ``close_timeout``."""
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
        """[V4] past its ``shutdown`` a child is cut off, ``terminate`` still called."""
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
        """[V4] the default ``shutdown`` is five seconds."""
        supervisor = self.supervise(self.children("a", close_timeout=60.0))
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(4.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)

    def test_shutdown_zero(self) -> None:
        """[V4] with ``shutdown=0`` a child is cut off at once."""
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
        """[V4] with ``math.inf`` the child's own limits are the only ones."""
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
        """[V4] an asynchronous ``terminate`` has what is left of the ``shutdown``."""
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
        """[V4] one that is cut off takes nothing from the time of those that still wait."""
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
        """[V4] a child's ``shutdown`` holds in a group's restart as well."""
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
        """[V4] a child that is stopped while it starts has its ``shutdown`` too, once."""
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
        """A child's own callback may stop the supervisor; even with its Deferred as an answer."""
        specs = self.children("ab")
        supervisor = self.supervise(specs)
        stops: list[Deferred[Any]] = []
        self.sites["a"].on_terminate = lambda: stops.append(supervisor.stopService())
        self.client(supervisor, "a").cast(wsx.Exit())
        self.settle()
        self.successResultOf(stops[0])
        self.assert_all_down(supervisor)

    def test_terminate_waits_for_the_stop(self) -> None:
        """A ``terminate`` that waits for the stop of its own supervisor is cut off, no deadlock."""
        supervisor = self.supervise(self.children("ab"))
        self.sites["a"].on_terminate = supervisor.stopService
        stopped = supervisor.stopService()
        self.advance(20.0, steps=40)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)
