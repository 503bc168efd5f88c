"""Tests of wsx.supervisor: start, failing first starts, automatic shutdown, services."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from zope.interface.verify import verifyObject

import wsx
import wsx.supervisor
from wsx import ChildError, Supervisor
from wsx.test.support import case
from wsx.test.support.each import each
from wsx.test.support.supervision import RESTARTS, Puppet, SupervisorCase, steady


class StartTests(SupervisorCase):
    """How a supervisor starts."""

    def test_is_a_service(self) -> None:
        """A Supervisor provides ``IService``."""
        verifyObject(IService, Supervisor([]))

    def test_nothing_before(self) -> None:
        """Creating a Supervisor starts no child and lists none."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        self.settle()
        self.assertEqual((self.events, self.up(supervisor)), ([], []))
        self.assertNoResult(supervisor.when_up())

    def test_one_after_another(self) -> None:
        """Each child is started once the previous one is up."""
        with self.happens("start a", "up a", "start b", "up b", "start c", "up c"):
            supervisor = self.supervise(self.children("abc"))
        self.assertIs(self.successResultOf(supervisor.when_up()), supervisor)

    def test_waits_for_handle_connect(self) -> None:
        """A synchronous child is up once its ``handle_connect`` has returned."""
        specs = self.children("ab")
        answer: Deferred[Any] = Deferred()
        self.sites["a"].on_connect = lambda: answer
        with self.happens("start a", "up a"):
            supervisor = self.supervise(specs)
        up = supervisor.when_up()
        self.assertEqual(self.up(supervisor), [])
        self.assertNoResult(up)
        with self.happens("start b", "up b"):
            answer.callback(None)
        self.assertIs(self.successResultOf(up), supervisor)

    def test_asynchronous_at_once(self) -> None:
        """Children with ``async_`` are all started at once."""
        specs = self.children("abc", async_=True)
        supervisor = Supervisor(specs, reactor=self.clock)
        supervisor.startService()
        self.assertEqual(self.events, ["start a", "start b", "start c"])
        self.assertIs(self.successResultOf(supervisor.when_up()), supervisor)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    def test_mixed(self) -> None:
        """An asynchronous child delays no other child. A synchronous one delays those after it."""
        a, b, c = self.child("a", async_=True), self.child("b"), self.child("c", async_=True)
        self.sites["a"].silent = self.sites["b"].silent = True
        with self.happens("start a", "start b"):
            supervisor = self.supervise([a, b, c])
        self.assertEqual(self.up(supervisor), ["a"])
        self.assertEqual(self.listed(supervisor), ["a", "b", "c"])

    def test_no_children(self) -> None:
        """A supervisor without children is up at once and goes on."""
        supervisor = self.supervise([])
        self.successResultOf(supervisor.when_up())
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(supervisor.which_children(), [])
        self.stop(supervisor)

    def test_twice(self) -> None:
        """A second ``startService`` does not start the children again."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        supervisor.startService()
        supervisor.startService()
        self.settle()
        supervisor.startService()
        self.settle()
        self.assertEqual(self.events, ["start a", "up a", "start b", "up b"])

    @each("abc")
    def test_first_start_fails(self, failing: str) -> None:
        """If a first start fails, the others are stopped and the supervisor ends."""
        specs = self.children("abc")
        self.sites[failing].refusal = ConnectionRefusedError()
        supervisor = Supervisor(specs, reactor=self.clock)
        up, terminated = supervisor.when_up(), supervisor.terminated()
        supervisor.startService()
        self.settle()
        before = "abc"[: "abc".index(failing)]
        expected = [f"{what} {id}" for id in before for what in ("start", "up")]
        expected += [f"start {failing}", *(f"end {id}" for id in reversed(before))]
        self.assertEqual(self.events, expected)
        error = self.failureResultOf(up, wsx.ConnError).value
        self.assertIs(self.successResultOf(terminated), error)
        self.failureResultOf(supervisor.when_up(), wsx.ConnError)
        self.assertIs(self.successResultOf(supervisor.terminated()), error)
        self.assert_all_down(supervisor)

    @each(RESTARTS)
    def test_first_start_of_a_temporary_fails(self, restart: str) -> None:
        """A failing first start ends the supervisor for every ``restart``."""
        spec = self.child("a", restart)
        self.sites["a"].refusal = ConnectionRefusedError()
        supervisor = self.supervise([spec])
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), wsx.ConnError)

    def test_first_start_times_out(self) -> None:
        """A server that never responds makes the first start fail after its timeout."""
        specs = self.children("ab", socket_recv_timeout=3.0)
        self.sites["b"].answers = False
        supervisor = self.supervise(specs)
        self.advance(2.9)
        self.assertNoResult(supervisor.terminated())
        self.advance(0.2)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), wsx.ConnError)
        self.assert_all_down(supervisor)

    def test_handle_connect_fails(self) -> None:
        """An exception in the first ``handle_connect`` fails the start with that exception."""
        specs = self.children("ab")
        self.sites["b"].on_connect = lambda: 1 / 0
        supervisor = self.supervise(specs)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), ZeroDivisionError)
        self.failureResultOf(supervisor.when_up(), ZeroDivisionError)
        self.assert_all_down(supervisor)

    def test_handle_connect_exits(self) -> None:
        """A reason that is not an exception fails ``when_up`` as a ``ClientEnded``."""
        spec = self.child("a")

        def leave() -> None:
            raise wsx.Exit(wsx.LocalClose(1000, "not today"))

        self.sites["a"].on_connect = leave
        supervisor = self.supervise([spec])
        error = self.failureResultOf(supervisor.when_up(), wsx.ClientEnded).value
        self.assertEqual(error.reason, wsx.LocalClose(1000, "not today"))
        self.flushLoggedErrors(wsx.ClientEnded)

    def test_asynchronous_first_connection_fails(self) -> None:
        """The failing first connection of an asynchronous child is an end, not a failing start."""
        spec = self.child("a", async_=True, backoff=steady(10.0))
        self.sites["a"].refusal = ConnectionRefusedError()
        supervisor = self.supervise([spec])
        self.assertNoResult(supervisor.terminated())
        self.sites["a"].refusal = None
        self.advance(10.0)
        self.assertEqual(self.up(supervisor), ["a"])

    def test_again_after_a_failure(self) -> None:
        """``startService`` starts again after a failed first start."""
        specs = self.children("ab")
        self.sites["b"].refusal = ConnectionRefusedError()
        supervisor = self.supervise(specs)
        self.successResultOf(supervisor.terminated())
        self.sites["b"].refusal = None
        with self.happens("start a", "up a", "start b", "up b"):
            supervisor.startService()
        self.assertNoResult(supervisor.terminated())
        self.successResultOf(supervisor.when_up())
        self.stop(supervisor)

    def test_when_up_cancelled(self) -> None:
        """Cancelling Deferreds of ``when_up`` and ``terminated`` does not affect others."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        up, terminated, other = supervisor.when_up(), supervisor.terminated(), supervisor.when_up()
        supervisor.startService()
        up.cancel()
        terminated.cancel()
        self.settle()
        self.failureResultOf(up, CancelledError)
        self.failureResultOf(terminated, CancelledError)
        self.successResultOf(other)
        self.stop(supervisor)

    def test_arguments(self) -> None:
        """The constructor refuses arguments that are out of range."""
        cases: list[dict[str, Any]] = [
            {"strategy": "simple_one_for_one"},
            {"strategy": None},
            {"max_restarts": -1},
            {"max_seconds": 0},
            {"max_seconds": -1},
            {"restart": "always"},
            {"shutdown": -1},
            {"shutdown": "5"},
            {"auto_shutdown": "any"},
        ]
        for options in cases:
            with case(options):
                self.assertRaises(ValueError, Supervisor, [], **options)

    def test_positions(self) -> None:
        """The positional arguments are in the documented order."""
        supervisor = Supervisor([], "rest_for_one", 2, 7.0, "top", "transient", 9.0)
        spec = supervisor.child_spec()
        self.assertEqual(
            (spec.id, spec.restart, spec.shutdown, spec.type),
            ("top", "transient", 9.0, "supervisor"),
        )

    def test_duplicate_ids(self) -> None:
        """Two children with the same id raise ValueError, including nested supervisors."""
        nested = Supervisor([], id="a")
        for children in ([self.child("a"), self.child("a")], [self.child("a"), nested]):
            with case(children):
                error = self.assertRaises(ValueError, Supervisor, children)
                self.assertIsInstance(error, ChildError)
                self.assertEqual(error.id, "a")

    def test_no_children_of_that_kind(self) -> None:
        """A child that is neither a ChildSpec nor a Supervisor raises TypeError."""
        for child in (None, Puppet, "a", MultiService()):
            with case(child):
                self.assertRaises(TypeError, Supervisor, [child])

    def test_default_id(self) -> None:
        """The default id of a supervisor is the qualified name of its class."""

        class Feeds(Supervisor):
            pass

        self.assertEqual(Supervisor([]).child_spec().id, "Supervisor")
        self.assertEqual(Feeds([]).child_spec().id, Feeds.__qualname__)
        self.assertEqual(Supervisor([], id=0).child_spec().id, 0)


class AutoShutdownTests(SupervisorCase):
    """With ``auto_shutdown="all"``, the supervisor ends when its last child has ended."""

    def test_never(self) -> None:
        """By default, a supervisor without running children goes on."""
        supervisor = self.supervise([self.child("a", "temporary")])
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(supervisor.running, 1)

    @each(
        [
            ("aN bN", wsx.RemoteClose),
            ("aC bN", wsx.ConnectionDropped),
            ("aN bC", wsx.ConnectionDropped),
        ]
    )
    def test_all(self, ends: str, kind: type[object]) -> None:
        """The reason is that of the first abnormal end, otherwise that of the last end."""
        specs = [self.child(id, "temporary") for id in "ab"]
        supervisor = self.supervise(specs, auto_shutdown="all")
        terminated = supervisor.terminated()
        for end in ends.split():
            self.assertNoResult(terminated)
            (self.crash if end[1] == "C" else self.end_normally)(end[0])
            self.settle()
        self.assertIsInstance(self.successResultOf(terminated), kind)
        self.assert_all_down(supervisor)

    def test_not_while_one_waits(self) -> None:
        """A child that waits for its backoff has not ended."""
        specs = [self.child("a", "temporary"), self.child("b", "transient", backoff=steady(2.0))]
        supervisor = self.supervise(specs, auto_shutdown="all")
        self.crash("b")
        self.settle()
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.advance(2.0)
        self.end_normally("b")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), wsx.ConnectionDropped)

    def test_not_before_all_were_started(self) -> None:
        """A child that ends while later children start does not end the supervisor."""
        specs = [self.child("a", "temporary"), self.child("b")]
        self.sites["b"].answers = False
        supervisor = self.supervise(specs, auto_shutdown="all")
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.sites["b"].answers = True
        self.settle()
        self.assertEqual(self.up(supervisor), ["b"])

    @each([(SupervisorCase.end_normally, False), (SupervisorCase.crash, True)])
    def test_nested(self, end: Callable[[SupervisorCase, str], None], is_up: bool) -> None:
        """For an outer supervisor, it is a normal end if its reason is normal."""
        specs = [self.child("a", "temporary")]
        inner = Supervisor(specs, auto_shutdown="all", restart="transient", id="inner")
        outer = self.supervise([inner])
        end(self, "a")
        self.settle()
        self.assertEqual(self.up(outer), ["inner"] if is_up else [])


class ServiceTests(SupervisorCase):
    """A supervisor in a tree of Twisted services."""

    @each((functools.partial(Application, "test"), MultiService))
    def test_application(self, make_parent: Callable[[], Any]) -> None:
        """[S9] A supervisor starts with its Application, which waits for it when it stops."""
        parent = make_parent()
        supervisor = Supervisor(self.children("ab", close_timeout=3.0))
        supervisor.setServiceParent(parent)
        service = IService(parent)
        self.settle()
        self.assertEqual(self.events, [])
        service.privilegedStartService()
        service.startService()
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.sites["a"].hangs_up = False
        stopped = service.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)
        with self.happens("start a", "up a", "start b", "up b"):
            service.startService()
        service.stopService()

    def test_running(self) -> None:
        """``running`` follows ``startService`` and ``stopService``."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.assertFalse(supervisor.running)
        supervisor.startService()
        self.assertTrue(supervisor.running)
        supervisor.stopService()
        self.assertFalse(supervisor.running)
        self.settle()
        self.assertFalse(supervisor.running)

    def test_added_to_a_running_parent(self) -> None:
        """A supervisor starts when it is added to a running parent, and stops when disowned."""
        parent = MultiService()
        parent.startService()
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        supervisor.setServiceParent(parent)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        gone = supervisor.disownServiceParent()
        self.settle()
        self.successResultOf(gone)
        self.assert_all_down(supervisor)

    def test_siblings(self) -> None:
        """If a supervisor gives up, its siblings under the same parent go on."""
        parent = MultiService()
        first = Supervisor(self.children("a"), max_restarts=0, reactor=self.clock)
        second = Supervisor(self.children("b"), reactor=self.clock)
        for supervisor in (first, second):
            supervisor.setServiceParent(parent)
        parent.startService()
        self.settle()
        self.crash("a")
        self.settle()
        self.successResultOf(first.terminated())
        self.assertEqual(self.up(second), ["b"])
        stopped = parent.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assert_all_down(second)

    def test_repr(self) -> None:
        """``repr`` shows the id and how many children are up."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")], id="feeds")
        self.end_normally("b")
        self.settle()
        self.assertIn("feeds", repr(supervisor))
        self.assertIn("1 of 2", repr(supervisor))
