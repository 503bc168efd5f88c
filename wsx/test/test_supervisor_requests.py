"""Tests of start_child, terminate_child, restart_child, delete_child and change_children."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure

import wsx
import wsx.supervisor
from wsx import ChildError, ChildSpec, Shutdown, Supervisor
from wsx.test.support import URL, case
from wsx.test.support.each import each
from wsx.test.support.supervision import PLENTY, STRATEGIES, Puppet, SupervisorCase, steady


class RequestTests(SupervisorCase):
    """``start_child``, ``terminate_child``, ``restart_child``, ``delete_child``, queries."""

    def fails(self, deferred: Deferred[Any], id: Any) -> None:
        """Assert that a request fails with a ChildError, also a ValueError, about this id."""
        self.settle()
        error = self.failureResultOf(deferred, ChildError).value
        self.assertIsInstance(error, ValueError)
        self.assertEqual(error.id, id)

    def requests(self, supervisor: Supervisor, id: str) -> list[Callable[[], Deferred[Any]]]:
        """Return one request of each kind for this id."""
        spec = self.child(id)
        return [
            lambda: supervisor.start_child(spec),
            lambda: supervisor.terminate_child(id),
            lambda: supervisor.restart_child(id),
            lambda: supervisor.delete_child(id),
        ]

    def row(self, supervisor: Supervisor) -> list[tuple[Any, bool]]:
        return [(id, child is not None) for id, child, _ in supervisor.which_children()]

    def test_start_child(self) -> None:
        """A new child is added at the end; the Deferred fires with it once it is up."""
        supervisor = self.supervise(self.children("ab"))
        spec = self.child("c")
        self.sites["c"].answers = False
        started = supervisor.start_child(spec)
        self.settle()
        self.assertNoResult(started)
        self.assertEqual(self.row(supervisor), [("a", True), ("b", True), ("c", False)])
        self.sites["c"].answers = True
        self.settle()
        client = self.successResultOf(started)
        self.assertEqual(client.status, "open")
        self.assertEqual(supervisor.which_children()[2], ("c", client, "worker"))
        with self.happens("end c", "end b", "end a"):
            self.stop(supervisor)

    def test_start_child_restarts(self) -> None:
        """[V2] An added child is restarted like the others."""
        supervisor = self.supervise([])
        supervisor.start_child(self.child("a"))
        self.settle()
        self.crash("a")
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])

    def test_start_child_fails(self) -> None:
        """If the start fails, the child is not added.

        The other children and the supervisor go on.
        """
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        spec = self.child("b")
        self.sites["b"].refusal = ConnectionRefusedError()
        self.failureResultOf(supervisor.start_child(spec), wsx.ConnError)
        self.settle()
        self.assertEqual(self.row(supervisor), [("a", True)])
        self.sites["b"].refusal = None
        again = supervisor.start_child(spec)
        self.settle()
        self.successResultOf(again)

    def test_start_child_duplicate(self) -> None:
        """An id that is in use is refused: of a running, an ended and a starting child."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")])
        self.end_normally("b")
        self.settle()
        spec = self.child("c")
        self.sites["c"].answers = False
        supervisor.start_child(spec)
        for id in "ab":
            self.assertNoResult(refused := supervisor.start_child(self.child(id)))
            refused.addErrback(lambda _: None)
        later = supervisor.start_child(self.child("c"))
        self.sites["c"].answers = True
        self.fails(later, "c")
        self.fails(supervisor.start_child(self.child("a")), "a")
        self.fails(supervisor.start_child(self.child("b")), "b")
        self.assertEqual(self.sites["b"].attempts, 1)
        self.assertEqual(self.listed(supervisor), ["a", "b", "c"])

    def test_start_child_wrong(self) -> None:
        """A value that is not a child specification fails the Deferred with TypeError."""
        supervisor = self.supervise([])
        for wrong in (None, "a", Puppet):
            with case(wrong):
                self.failureResultOf(supervisor.start_child(wrong), TypeError)  # type: ignore
        self.assertEqual(supervisor.which_children(), [])

    def test_start_child_cancelled(self) -> None:
        """Cancelling the Deferred does not stop the start of the child."""
        supervisor = self.supervise([])
        started = supervisor.start_child(self.child("a"))
        started.cancel()
        self.failureResultOf(started, CancelledError)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        self.stop(supervisor)

    @each(range(4))
    def test_cancelled(self, number: int) -> None:
        """Cancelling the Deferred of any request is harmless, also while the request waits."""
        supervisor = self.supervise(self.children("ab"))
        supervisor.terminate_child("b")
        self.settle()
        blocking = self.child("x")
        self.sites["x"].answers = False
        supervisor.start_child(blocking)
        request = self.requests(supervisor, "b" if number else "c")[number]()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.sites["x"].answers = True
        self.settle()
        self.successResultOf(after := supervisor.start_child(self.child("z", async_=True)))
        self.settle()
        self.assertIsNotNone(after)
        self.stop(supervisor)

    def test_terminate_child(self) -> None:
        """A terminated child stays listed; the Deferred fires when the child has ended."""
        supervisor = self.supervise(self.children("abc"), "one_for_all", 0)
        self.sites["b"].hangs_up = False
        done = supervisor.terminate_child("b")
        self.settle()
        self.assertNoResult(done)
        with self.happens("end b"):
            self.crash("b")
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.row(supervisor), [("a", True), ("b", False), ("c", True)])
        self.assertEqual(self.sites["b"].handlers[0].ends, [Shutdown()])
        self.advance(100.0)
        self.assertEqual(self.sites["b"].attempts, 1)

    def test_terminate_child_twice(self) -> None:
        """Terminating a child that is already down succeeds at once, as in OTP."""
        supervisor = self.supervise(self.children("a"))
        first, second = supervisor.terminate_child("a"), supervisor.terminate_child("a")
        self.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(supervisor.terminate_child("a"))

    def test_terminate_child_temporary(self) -> None:
        """A temporary child is removed when it is terminated, as in OTP."""
        supervisor = self.supervise([self.child("a", "temporary")])
        supervisor.terminate_child("a")
        self.settle()
        self.assertEqual(supervisor.which_children(), [])
        self.fails(supervisor.terminate_child("a"), "a")

    @each(STRATEGIES)
    def test_terminate_child_waiting(self, strategy: str) -> None:
        """A child that waits for its backoff is not restarted, and its timer is cancelled."""
        supervisor = self.supervise([self.child("a", backoff=steady(5.0))], strategy)
        self.crash("a")
        self.settle()
        self.successResultOf(supervisor.terminate_child("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(10.0)
        self.assertEqual(self.row(supervisor), [("a", False)])
        again = supervisor.restart_child("a")
        self.settle()
        self.successResultOf(again)

    @each(("tcp", "handshake"))
    def test_terminate_child_restarting(self, phase: str) -> None:
        """A child whose restart waits for a silent server is stopped and not tried again."""
        supervisor = self.supervise(self.children("ab"), max_restarts=1)
        self.sites["a"].silent = phase == "tcp"
        self.sites["a"].answers = phase == "tcp"
        self.crash("a")
        self.settle()
        self.assertEqual(self.row(supervisor), [("a", False), ("b", True)])
        done = supervisor.terminate_child("a")
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.connections(), {"a": 0, "b": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.sites["a"].attempts, 2)
        self.sites["a"].silent, self.sites["a"].answers = False, True
        again = supervisor.restart_child("a")
        self.settle()
        self.assertEqual(self.successResultOf(again).status, "open")

    @each(STRATEGIES, range(10))
    def test_terminate_child_in_the_step_of_its_crash(self, strategy: str, steps: int) -> None:
        """At every step of a crash and restart, the child ends down and can be restarted."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.crash("b")
        for _ in range(steps):
            self.clock.advance(0)
            for site in self.sites.values():
                site.serve()
        done = supervisor.terminate_child("b")
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.row(supervisor)[1], ("b", False))
        self.assertEqual(self.connections()["b"], 0)
        self.assertEqual(self.up(supervisor), ["a", "c"])
        again = supervisor.restart_child("b")
        self.settle()
        self.assertIs(self.successResultOf(again), self.client(supervisor, "b"))
        self.stop(supervisor)

    def test_restart_child(self) -> None:
        """A child that was terminated or has ended is started again, in its old position."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")])
        supervisor.terminate_child("a")
        self.end_normally("b")
        self.settle()
        for id in "ab":
            started = supervisor.restart_child(id)
            self.settle()
            client = self.successResultOf(started)
            self.assertEqual(client.status, "open")
            self.assertIs(self.client(supervisor, id), client)
        self.assertEqual(self.listed(supervisor), ["a", "b"])

    def test_restart_child_twice(self) -> None:
        """The second of two simultaneous requests is refused; there is only one client."""
        supervisor = self.supervise(self.children("a"))
        supervisor.terminate_child("a")
        first, second = supervisor.restart_child("a"), supervisor.restart_child("a")
        self.settle()
        self.successResultOf(first)
        self.fails(second, "a")
        self.assertEqual(self.connections(), {"a": 1})

    def test_restart_child_fails(self) -> None:
        """If the start fails, the Deferred fails; the child stays down and is not retried."""
        supervisor = self.supervise(self.children("ab"), "one_for_all", 0)
        supervisor.terminate_child("a")
        self.settle()
        self.sites["a"].refusal = ConnectionRefusedError()
        self.failureResultOf(supervisor.restart_child("a"), wsx.ConnError)
        self.settle()
        self.assertEqual(self.row(supervisor), [("a", False), ("b", True)])
        self.assertNoResult(supervisor.terminated())
        self.sites["a"].refusal = None
        again = supervisor.restart_child("a")
        self.settle()
        self.successResultOf(again)

    def test_down_is_needed(self) -> None:
        """``restart_child`` and ``delete_child`` refuse a running or waiting child, as in OTP."""
        supervisor = self.supervise([self.child("a"), self.child("b", backoff=steady(5.0))])
        self.crash("b")
        self.settle()
        for id in "ab":
            self.fails(supervisor.restart_child(id), id)
            self.fails(supervisor.delete_child(id), id)
        self.advance(5.0)
        self.assertEqual(self.row(supervisor), [("a", True), ("b", True)])
        self.sites["a"].silent = True
        self.crash("a")
        self.settle()
        self.fails(supervisor.restart_child("a"), "a")
        self.fails(supervisor.delete_child("a"), "a")
        self.assertEqual(self.sites["a"].attempts, 2)

    def test_delete_child(self) -> None:
        """A child that is down is removed, and its id is free."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")])
        supervisor.terminate_child("a")
        self.end_normally("b")
        self.settle()
        for id in "ab":
            self.assertIsNone(self.successResultOf(supervisor.delete_child(id)))
        self.assertEqual(supervisor.which_children(), [])
        self.fails(supervisor.delete_child("a"), "a")
        started = supervisor.start_child(self.child("a"))
        self.settle()
        self.successResultOf(started)

    def test_restarts_of_deleted_children(self) -> None:
        """[V3] The restarts of a deleted child still count, as in OTP."""
        supervisor = self.supervise(self.children("ab"), max_restarts=1)
        self.crash("a")
        self.settle()
        supervisor.terminate_child("a")
        supervisor.delete_child("a")
        self.settle()
        self.crash("b")
        self.settle()
        ended = self.successResultOf(supervisor.terminated())
        self.assertIsInstance(ended, wsx.MaxRestartsExceeded)

    def test_unknown(self) -> None:
        """An unknown id is refused."""
        supervisor = self.supervise(self.children("a"))
        for request in self.requests(supervisor, "x")[1:]:
            self.fails(request(), "x")

    def test_not_running(self) -> None:
        """All requests are refused before the start, during the stop and after it."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock, id="top")
        for request in self.requests(supervisor, "a"):
            self.fails(request(), "top")
        supervisor.startService()
        self.settle()
        supervisor.stopService()
        errors: list[Failure] = []
        for request in self.requests(supervisor, "a"):
            request().addErrback(errors.append)
        self.settle()
        for request in self.requests(supervisor, "a"):
            self.fails(request(), "top")
        self.assertEqual([error.type for error in errors], 4 * [ChildError])
        self.assertEqual(supervisor.which_children(), [("a", None, "worker")])
        self.assert_all_down(supervisor)

    def test_gave_up(self) -> None:
        """All requests are refused after the supervisor gave up."""
        supervisor = self.supervise(self.children("a"), max_restarts=0, id="top")
        self.crash("a")
        self.settle()
        for request in self.requests(supervisor, "a"):
            self.fails(request(), "top")

    def test_while_it_starts(self) -> None:
        """A request made while the supervisor starts waits until the start is complete."""
        specs = self.children("ab")
        self.sites["b"].answers = False
        supervisor = self.supervise(specs)
        added = supervisor.start_child(self.child("c"))
        gone = supervisor.terminate_child("a")
        self.settle()
        self.assertNoResult(added)
        self.assertEqual(self.up(supervisor), ["a"])
        self.sites["b"].answers = True
        self.settle()
        self.successResultOf(added)
        self.successResultOf(gone)
        self.assertEqual(self.up(supervisor), ["b", "c"])

    def test_while_the_start_fails(self) -> None:
        """Requests made during a start that fails are refused."""
        specs = self.children("ab")
        self.sites["b"].answers = False
        supervisor = self.supervise(specs, id="top")
        requests = [request() for request in self.requests(supervisor, "c")]
        self.sites["b"].drop()
        for request in requests:
            self.fails(request, "top")

    @each(("one_for_all", "rest_for_one"), ("stop", "start"))
    def test_while_a_group_restarts(self, strategy: str, phase: str) -> None:
        """A request made while a group is restarted waits until the restart is complete."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites["b"].hangs_up = phase != "stop"
        self.sites["b"].answers = phase != "start"
        self.crash("a")
        self.settle()
        requests = [
            supervisor.start_child(self.child("d")),
            supervisor.terminate_child("a"),
            supervisor.restart_child("a"),
        ]
        refused = supervisor.delete_child("c")
        self.settle()
        for request in requests:
            self.assertNoResult(request)
        self.sites["b"].hangs_up = self.sites["b"].answers = True
        self.settle()
        for request in requests:
            self.successResultOf(request)
        self.fails(refused, "c")
        self.assertEqual(self.up(supervisor), list("abcd"))
        self.stop(supervisor)

    def test_terminates_what_starts(self) -> None:
        """A silent server blocks no request: ``terminate_child`` stops a starting child."""
        supervisor = self.supervise(self.children("ab"))
        spec = self.child("c")
        self.sites["c"].answers = False
        starting = supervisor.start_child(spec)
        waiting = supervisor.start_child(self.child("d"))
        gone = supervisor.terminate_child("c")
        self.settle()
        self.failureResultOf(starting)
        self.successResultOf(waiting)
        self.fails(gone, "c")
        self.assertEqual(self.up(supervisor), list("abd"))

    def test_stop_while_they_wait(self) -> None:
        """A stop fails waiting requests and stops the child that is being started."""
        supervisor = self.supervise(self.children("a"), id="top")
        spec = self.child("b")
        self.sites["b"].answers = False
        starting = supervisor.start_child(spec)
        waiting = [request() for request in self.requests(supervisor, "c")]
        self.stop(supervisor)
        self.failureResultOf(starting, wsx.ClientEnded)
        for request in waiting:
            self.fails(request, "top")

    def test_stop_while_one_terminates(self) -> None:
        """A stop waits for a child that is being terminated; both Deferreds fire."""
        supervisor = self.supervise(self.children("ab", close_timeout=3.0))
        self.sites["b"].hangs_up = False
        done = supervisor.terminate_child("b")
        stopped = supervisor.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(done)
        self.successResultOf(stopped)
        self.assertEqual(self.events[-2:], ["end b", "end a"])
        self.assert_all_down(supervisor)

    def test_from_a_callback(self) -> None:
        """A child's callback can make requests and wait for them, except for its own end."""
        supervisor = self.supervise([*self.children("a"), self.child("b", "temporary")])
        results: list[Any] = []
        self.sites["a"].on_terminate = lambda: supervisor.terminate_child("b").addBoth(
            results.append
        )
        self.client(supervisor, "a").cast(wsx.Exit())
        self.settle()
        self.assertEqual(results, [None])
        self.assertEqual(self.row(supervisor), [("a", True)])

    def test_child_terminates_itself(self) -> None:
        """A callback can request the termination of its own child."""
        supervisor = self.supervise(self.children("ab"), "one_for_all")
        done: list[Deferred[Any]] = []

        class Quitter(self.handler("q")):  # type: ignore[misc]
            def handle_info(self, message: Any, state: Any) -> None:
                done.append(supervisor.terminate_child("q"))

        own = self.options("q")
        supervisor.start_child(Quitter.child_spec(URL, id="q", **own))
        self.settle()
        self.client(supervisor, "q").info("go")
        self.settle()
        self.successResultOf(done[0])
        self.assertEqual(self.row(supervisor), [("a", True), ("b", True), ("q", False)])

    def test_counts(self) -> None:
        """``count_children`` and ``which_children`` agree at all times."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        supervisor.startService()
        self.settle()
        inner = Supervisor([], id="inner")

        def counts() -> tuple[int, ...]:
            count = supervisor.count_children()
            self.assertEqual(sorted(count), ["active", "specs", "supervisors", "workers"])
            rows = supervisor.which_children()
            self.assertEqual(count["specs"], len(rows))
            self.assertEqual(count["active"], len([row for row in rows if row[1] is not None]))
            return count["specs"], count["active"], count["supervisors"], count["workers"]

        self.assertEqual(counts(), (1, 1, 0, 1))
        supervisor.start_child(inner)
        self.assertEqual(counts(), (2, 2, 1, 1))
        supervisor.terminate_child("inner")
        self.assertEqual(counts(), (2, 1, 1, 1))
        supervisor.start_child(self.child("t", "temporary", async_=True))
        self.settle()
        self.assertEqual(counts(), (3, 2, 1, 2))
        self.crash("t")
        self.settle()
        self.assertEqual(counts(), (2, 1, 1, 1))
        supervisor.delete_child("inner")
        self.assertEqual(counts(), (1, 1, 0, 1))
        self.stop(supervisor)
        self.assertEqual(counts(), (1, 0, 0, 1))

    def test_which_children_is_a_copy(self) -> None:
        """Changing the results of ``which_children`` and ``count_children`` has no effect."""
        supervisor = self.supervise(self.children("a"))
        supervisor.which_children().clear()
        supervisor.count_children().clear()
        self.assertEqual(self.listed(supervisor), ["a"])
        self.assertEqual(supervisor.count_children()["specs"], 1)

    def test_ids(self) -> None:
        """An id is any hashable value, including false ones."""
        ids = (0, "", None, ("feed", 7), frozenset("a"), wsx.Text("x"))
        supervisor = self.supervise([self.child(id) for id in ids])
        for id in ids:
            with case(id):
                supervisor.terminate_child(id)
                self.settle()
                self.assertIsNone(self.client(supervisor, id))
                supervisor.restart_child(id)
                self.settle()
                self.assertIsNotNone(self.client(supervisor, id))


class ChangeTests(SupervisorCase):
    """``change_children`` replaces the list of children."""

    def change(
        self, supervisor: Supervisor, specs: Sequence[ChildSpec | Supervisor]
    ) -> dict[Any, Exception]:
        """Change the children, wait until that is done, and return the failures."""
        changed = supervisor.change_children(specs)
        self.settle()
        return self.successResultOf(changed)

    def test_keeps_stops_and_starts(self) -> None:
        """Equal children are kept, others are stopped in reverse order, new ones are started."""
        specs = self.children("abcd")
        supervisor = self.supervise(specs)
        kept = supervisor.child("b")
        new = [self.child("e"), specs[1], self.child("f")]
        with self.happens("end d", "end c", "end a", "start e", "up e", "start f", "up f"):
            self.assertEqual(self.change(supervisor, new), {})
        self.assertIs(supervisor.child("b"), kept)
        self.assertEqual(self.listed(supervisor), ["e", "b", "f"])
        self.stop(supervisor)

    def test_changed_one(self) -> None:
        """A child whose specification has changed is replaced."""
        supervisor = self.supervise(self.children("a"))
        before = supervisor.child("a")
        self.change(supervisor, [self.child("a", "temporary")])
        self.assertEqual(before.status, "terminated")
        self.assertEqual(supervisor.child("a").status, "open")

    def test_ended_one_stays_down(self) -> None:
        """A kept child that has ended for good stays down."""
        specs = [self.child("a", "temporary"), self.child("b", "transient"), self.child("c")]
        supervisor = self.supervise(specs)
        for id in "ab":
            self.end_normally(id)
        self.settle()
        self.change(supervisor, [*specs, self.child("d")])
        self.assertEqual(self.up(supervisor), ["c", "d"])

    def test_one_ends_meanwhile(self) -> None:
        """If a temporary child ends while others are stopped, the others are still stopped."""
        specs = [self.child("a", "temporary"), *self.children("bcd")]
        supervisor = self.supervise(specs)
        self.sites["d"].hangs_up = False
        changed = supervisor.change_children(specs[:1])
        self.settle()
        self.assertNoResult(changed)
        self.end_normally("a")
        self.sites["d"].hangs_up = True
        self.sites["d"].drop()
        self.settle()
        self.assertEqual(self.successResultOf(changed), {})
        self.assertEqual(supervisor.which_children(), [])
        self.assertEqual({id: n for id, n in self.connections().items() if n}, {})

    def test_linked_meanwhile(self) -> None:
        """A client that is linked while others are stopped becomes a child and is stopped later."""
        supervisor = self.supervise(self.children("a"))
        self.sites["a"].hangs_up = False
        changed = supervisor.change_children([self.child("b")])
        linked = wsx.start_link(supervisor, URL, self.handler("c"), **self.options("c"))
        self.sites["a"].drop()
        self.settle()
        self.successResultOf(changed)
        client = self.successResultOf(linked)
        self.assertEqual(self.listed(supervisor), ["b", client])
        self.stop(supervisor)
        self.assertEqual(client.status, "terminated")

    def test_start_that_fails(self) -> None:
        """A child that cannot be started is returned with its error and not added.

        The others are.
        """
        supervisor = self.supervise(self.children("a"))
        bad = self.child("b")
        self.sites["b"].refusal = ConnectionRefusedError()
        failures = self.change(supervisor, [bad, self.child("c")])
        self.assertIsInstance(failures["b"], wsx.ConnError)
        self.assertEqual(self.listed(supervisor), ["c"])

    def test_refused(self) -> None:
        """A change is refused while the supervisor is stopped, and for duplicate ids."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.failureResultOf(supervisor.change_children([]), wsx.ChildError)
        with self.assertRaises(wsx.ChildError):
            supervisor.change_children([self.child("a"), self.child("a")])

    def test_one_that_was_added(self) -> None:
        """A child that ``start_child`` has added already is kept, and listed once."""
        specs = self.children("abc")
        supervisor = self.supervise(specs[:1])
        added = supervisor.start_child(specs[2])
        self.settle()
        with self.happens("start b", "up b"):
            self.assertEqual(self.change(supervisor, specs), {})
        self.assertEqual(self.listed(supervisor), ["a", "b", "c"])
        self.assertIs(supervisor.child("c"), self.successResultOf(added))
        self.stop(supervisor)

    def test_cancelled(self) -> None:
        """Cancelling does not end the change; ``auto_shutdown`` waits until it is complete."""
        specs = [self.child("a", "temporary"), self.child("b")]
        supervisor = self.supervise(specs, auto_shutdown="all")
        self.sites["b"].hangs_up = False
        changed = supervisor.change_children([specs[0], self.child("c")])
        changed.cancel()
        self.failureResultOf(changed, CancelledError)
        self.end_normally("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.sites["b"].drop()
        self.settle()
        self.assertEqual(self.up(supervisor), ["c"])
        self.stop(supervisor)

    def test_nested(self) -> None:
        """A nested supervisor that is passed again is kept."""
        inner = Supervisor(self.children("a"), id="inner")
        supervisor = self.supervise([inner])
        with self.happens("start b", "up b"):
            self.assertEqual(self.change(supervisor, [inner, self.child("b")]), {})
        self.assertEqual(self.listed(supervisor), ["inner", "b"])
        self.stop(supervisor)

    def test_one_that_waits(self) -> None:
        """A removed child that waits for its restart is not started."""
        specs = self.children("ab", backoff=steady(2.0))
        supervisor = self.supervise(specs)
        self.crash("a")
        self.settle()
        self.assertEqual(self.change(supervisor, specs[1:]), {})
        with self.happens():
            self.advance(2.0)
        self.stop(supervisor)

    def test_auto_shutdown_afterwards(self) -> None:
        """``auto_shutdown`` works after the change."""
        specs = [self.child(id, "temporary") for id in "ab"]
        supervisor = self.supervise(specs[:1], auto_shutdown="all")
        self.change(supervisor, specs)
        self.end_normally("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.end_normally("b")
        self.settle()
        self.successResultOf(supervisor.terminated())
