"""Tests of supervisors that are children of a supervisor."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError

import wsx
import wsx.supervisor
from wsx import ChildSpec, MaxRestartsExceeded, Shutdown, Supervisor
from wsx.option_types import Restart
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.supervision import STRATEGIES, SupervisorCase, steady


class NestedTests(SupervisorCase):
    """Supervisors as children of supervisors."""

    def test_starts_in_order(self) -> None:
        """A nested supervisor is up when all its children are up."""
        inner = Supervisor(self.children("bc"), id="inner")
        with self.happens(*(f"{what} {id}" for id in "abcd" for what in ("start", "up"))):
            outer = self.supervise([self.child("a"), inner, self.child("d")])
        self.assertEqual(
            [(id, kind) for id, _, kind in outer.which_children()],
            [("a", "worker"), ("inner", "supervisor"), ("d", "worker")],
        )
        self.assertIs(self.client(outer, "inner"), inner)
        self.assertEqual(
            outer.count_children(), {"specs": 3, "active": 3, "supervisors": 1, "workers": 2}
        )

    def test_stops_in_reverse(self) -> None:
        """A nested supervisor is stopped in its turn, its children in reverse order."""
        inner = Supervisor(self.children("bc"))
        outer = self.supervise([self.child("a"), inner, self.child("d")])
        with self.happens("end d", "end c", "end b", "end a"):
            self.stop(outer)
        self.assertEqual(self.successResultOf(inner.terminated()), Shutdown())
        self.assertEqual(self.successResultOf(outer.terminated()), Shutdown())

    def test_restart_while_it_stops(self) -> None:
        """A nested supervisor that is restarted as soon as it has stopped is started again."""
        inner = Supervisor(self.children("bc"), id="inner")
        outer = self.supervise([inner])
        terminated = outer.terminate_child("inner")
        restarted = outer.restart_child("inner")
        self.assertNoResult(terminated)
        self.settle()
        self.successResultOf(terminated)
        self.assertIs(self.successResultOf(restarted), inner)
        self.assertEqual(sorted(self.connections()), ["b", "c"])
        self.assertNoResult(inner.terminated())
        self.stop(outer)

    def test_clock(self) -> None:
        """A supervisor uses the reactor of its children, however deep they are nested."""
        deep = Supervisor([Supervisor([self.child("a", backoff=steady(2.0))])])
        deep.startService()
        self.settle()
        self.crash("a")
        self.settle()
        self.advance(2.0)
        self.assertEqual(self.connections(), {"a": 1})
        self.stop(deep)

    @each(STRATEGIES)
    def test_gives_up(self, strategy: str) -> None:
        """[V3] Giving up is an abnormal end, which the outer supervisor treats by its strategy.

        It counts as one restart there.
        """
        restarts = {
            "one_for_one": ["start b", "up b"],
            "one_for_all": [
                *("end c", "end a"),
                *("start a", "up a", "start b", "up b", "start c", "up c"),
            ],
            "rest_for_one": ["end c", "start b", "up b", "start c", "up c"],
        }
        inner = Supervisor([self.child("b")], max_restarts=0, id="inner")
        children: list[ChildSpec | Supervisor] = [self.child("a"), inner, self.child("c")]
        outer = self.supervise(children, strategy, 1)
        with self.happens("end b", *restarts[strategy]):
            self.crash("b")
        self.assertEqual(self.up(outer), ["a", "inner", "c"])
        self.assertEqual(self.up(inner), ["b"])
        with self.happens("end b", "end c", "end a"):
            self.crash("b")
        reason = self.successResultOf(outer.terminated())
        assert isinstance(reason, MaxRestartsExceeded), reason
        self.assertIsInstance(reason.reason, MaxRestartsExceeded)
        self.assert_all_down(outer)

    @each(
        (
            ("permanent", True, True),
            ("transient", True, True),
            ("temporary", False, False),
        )
    )
    def test_gives_up_restart(self, restart: Restart, is_up: bool, is_listed: bool) -> None:
        """[V2] Its ``restart`` decides whether a nested supervisor is restarted after giving up."""
        inner = Supervisor([self.child("b")], max_restarts=0, id="inner", restart=restart)
        outer = self.supervise([inner])
        self.crash("b")
        self.settle()
        self.assertEqual(self.up(outer), ["inner"] if is_up else [])
        self.assertEqual(self.listed(outer), ["inner"] if is_listed else [])

    @each((("permanent", True), ("transient", False), ("temporary", False)))
    def test_ends_normally(self, restart: Restart, is_up: bool) -> None:
        """[V2] A nested supervisor that is stopped directly has ended normally."""
        inner = Supervisor([self.child("b")], id="inner", restart=restart)
        outer = self.supervise([inner])
        inner.stopService()
        self.settle()
        self.assertEqual(self.up(outer), ["inner"] if is_up else [])
        self.assertEqual(self.connections(), {"b": 1 if is_up else 0})
        self.stop(outer)

    def test_three_levels(self) -> None:
        """[V3] Each level gives up after its own number of restarts."""
        low = Supervisor([self.child("c")], max_restarts=1, id="low")
        mid = Supervisor([self.child("b"), low], "one_for_all", max_restarts=1, id="mid")
        top = self.supervise([self.child("a"), mid], "rest_for_one", 1)
        seen = []
        for _ in range(8):
            del self.events[:]
            self.crash("c")
            self.settle()
            seen.append("".join(e[-1] for e in self.events if e.startswith("up")))
        self.assertEqual(seen, ["c", "bc", "c", "bc", "c", "bc", "c", ""])
        reasons = []
        reason = self.successResultOf(top.terminated())
        while isinstance(reason, MaxRestartsExceeded):
            reasons.append(reason)
            reason = reason.reason
        self.assertEqual(len(reasons), 3)
        self.assertIsInstance(reason, wsx.ConnectionDropped)
        self.assert_all_down(top)

    def test_first_start_fails_inside(self) -> None:
        """If a nested first start fails, the outer start fails with the same reason."""
        specs = self.children("abc")
        inner = Supervisor([specs[1], specs[2]])
        self.sites["c"].refusal = ConnectionRefusedError()
        with self.happens("start a", "up a", "start b", "up b", "start c", "end b", "end a"):
            outer = self.supervise([specs[0], inner])
        error = self.failureResultOf(outer.when_up(), wsx.ConnError).value
        self.assertIs(self.successResultOf(inner.terminated()), error)
        self.assert_all_down(outer)

    def test_restart_fails_inside(self) -> None:
        """[V3] A nested restart that fails counts in the outer supervisor and is tried again."""
        inner = Supervisor(self.children("bc"), max_restarts=0, id="inner")
        outer = self.supervise([self.child("a"), inner], max_restarts=3)
        self.sites["c"].refusal = ConnectionRefusedError()
        with self.happens("end b", "end c", *("start b", "up b", "start c", "end b") * 3, "end a"):
            self.crash("b")
        self.assertIsInstance(self.successResultOf(outer.terminated()), MaxRestartsExceeded)
        self.assert_all_down(outer)
        self.flushLoggedErrors()

    def test_stop_while_nested_starts(self) -> None:
        """A stop while a nested supervisor starts stops the children that it has started."""
        specs = self.children("abc")
        self.sites["c"].answers = False
        inner = Supervisor([specs[1], specs[2]])
        outer = self.supervise([specs[0], inner])
        up = outer.when_up()
        with self.happens("end b", "end a"):
            self.stop(outer)
        self.failureResultOf(up, wsx.ClientEnded)

    def test_stop_while_nested_gives_up(self) -> None:
        """A stop while a nested supervisor gives up waits for it."""
        specs = self.children("bc", close_timeout=3.0)
        inner = Supervisor(specs, max_restarts=0)
        outer = self.supervise([self.child("a"), inner])
        self.sites["c"].hangs_up = False
        self.crash("b")
        self.settle()
        stopped = outer.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assert_all_down(outer)
        self.assertIsInstance(self.successResultOf(inner.terminated()), MaxRestartsExceeded)
        self.assertEqual(self.successResultOf(outer.terminated()), Shutdown())

    def test_shutdown_of_nested(self) -> None:
        """[V4] A nested supervisor that exceeds its ``shutdown`` is aborted with its children."""
        specs = self.children("bc", close_timeout=60.0)
        inner = Supervisor([spec.replace(shutdown=60.0) for spec in specs], shutdown=2.0)
        outer = self.supervise([self.child("a"), inner])
        for id in "bc":
            self.sites[id].hangs_up = False
        stopped = outer.stopService()
        self.settle()
        self.advance(1.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assert_all_down(outer)
        self.assertEqual(self.events[-3:], ["end c", "end b", "end a"])

    def test_added_later(self) -> None:
        """``start_child`` accepts a Supervisor."""
        outer = self.supervise([])
        inner = Supervisor(self.children("a"), id="inner")
        self.assertNoResult(started := outer.start_child(inner))
        self.settle()
        self.assertIs(self.successResultOf(started), inner)
        self.stop(outer)

    def test_requests_go_to_one(self) -> None:
        """A nested supervisor is terminated, restarted and deleted like any child."""
        inner = Supervisor(self.children("bc"), id="inner")
        outer = self.supervise([inner])
        with self.happens("end c", "end b"):
            terminated = outer.terminate_child("inner")
        self.successResultOf(terminated)
        with self.happens("start b", "up b", "start c", "up c"):
            restarted = outer.restart_child("inner")
        self.assertIs(self.successResultOf(restarted), inner)
        self.assertNoResult(inner.terminated())

    def test_crash_within_own_intensity(self) -> None:
        """[V3] Restarts within a nested supervisor's intensity do not count in the outer one."""
        inner = Supervisor(self.children("b"), max_restarts=5)
        outer = self.supervise([inner], max_restarts=0)
        for _ in range(5):
            self.crash("b")
            self.settle()
        self.assertNoResult(outer.terminated())

    def test_client_service(self) -> None:
        """A ClientService can be a child like any other supervisor."""
        own = self.options("b")
        service = wsx.ClientService(URL, self.handler("b"), max_restarts=0, **own)
        outer = self.supervise([self.child("a"), service], "one_for_all")
        self.assertEqual(self.up(outer), ["a", "ClientService"])
        client = service.client
        assert client is not None
        client.cast(ValueError("crash"))
        self.settle()
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.up(outer), ["a", "ClientService"])
        self.assertEqual(self.events.count("start a"), 2)
        self.stop(outer)
