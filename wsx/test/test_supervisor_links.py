"""Tests of wsx.start_link with a supervisor as the parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

import wsx
from wsx import ChildError, Shutdown, Supervisor
from wsx.test.support import URL, case
from wsx.test.support.each import each
from wsx.test.support.supervision import STRATEGIES, SupervisorCase


class LinkTests(SupervisorCase):
    """A client that is linked to a supervisor is a temporary child."""

    def link(self, supervisor: Supervisor, id: str, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Start a client that is linked to the supervisor."""
        return wsx.start_link(supervisor, URL, self.handler(id), **self.options(id, **options))

    def test_sync(self) -> None:
        """[S9] A linked client is the last child in the list and the first to be stopped."""
        supervisor = self.supervise(self.children("ab"))
        started = self.link(supervisor, "x")
        self.settle()
        client = self.successResultOf(started)
        self.assertEqual([row[1] for row in supervisor.which_children()][2], client)
        self.assertEqual(supervisor.count_children()["workers"], 3)
        with self.happens("end x", "end b", "end a"):
            self.stop(supervisor)
        self.assertEqual(self.sites["x"].handlers[0].ends, [Shutdown()])
        self.assertEqual(self.listed(supervisor), ["a", "b"])

    @each(STRATEGIES, (SupervisorCase.crash, SupervisorCase.end_normally))
    def test_temporary(self, strategy: str, end: Callable[[SupervisorCase, str], None]) -> None:
        """[S9] A linked client is not restarted when it ends, and no other child is affected."""
        supervisor = self.supervise(self.children("ab"), strategy, 0)
        self.link(supervisor, "x")
        self.settle()
        with self.happens("end x"):
            end(self, "x")
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.assertEqual(self.listed(supervisor), ["a", "b"])

    def test_async(self) -> None:
        """[S9] A linked client with ``async_`` is a child at once.

        ``terminate`` is called at the stop.
        """
        supervisor = self.supervise([])
        self.options("x")
        self.sites["x"].silent = True
        client = self.successResultOf(self.link(supervisor, "x", async_=True))
        self.assertEqual([row[1] for row in supervisor.which_children()], [client])
        with self.happens("end x"):
            self.stop(supervisor)

    def test_stopped_while_it_connects(self) -> None:
        """[V5] The supervisor's end during the client's first connect calls no ``terminate``."""
        supervisor = self.supervise([])
        self.options("x")
        self.sites["x"].answers = False
        started = self.link(supervisor, "x")
        with self.happens():
            self.stop(supervisor)
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown())

    def test_fails(self) -> None:
        """[S9] A client whose start fails is not added. The supervisor goes on."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.options("x")
        self.sites["x"].refusal = ConnectionRefusedError()
        started = self.link(supervisor, "x")
        self.settle()
        self.failureResultOf(started, wsx.ConnError)
        self.assertEqual(self.listed(supervisor), ["a"])

    def test_wrong_arguments(self) -> None:
        """[S9] Wrong arguments fail the Deferred and add no child."""
        supervisor = self.supervise([])
        self.link(supervisor, "x", name="feed")
        self.settle()
        cases: list[tuple[type[Exception], Any, dict[str, Any]]] = [
            (wsx.URLError, "nonsense", {}),
            (TypeError, URL, {"colour": "red"}),
            (wsx.AlreadyStartedError, URL, {"name": "feed"}),
        ]
        for error, url, options in cases:
            with case(options):
                own = self.options("y", **options)
                started = wsx.start_link(supervisor, url, self.handler("y"), **own)
                self.failureResultOf(started, error)
                self.assertEqual(len(supervisor.which_children()), 1)
        self.assertEqual(self.sites["y"].attempts, 0)

    def test_before_the_start(self) -> None:
        """[S9] A client that is linked before the supervisor's start is one of its children."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        started = self.link(supervisor, "x")
        self.settle()
        client = self.successResultOf(started)
        supervisor.startService()
        self.settle()
        self.assertIn(client, [row[1] for row in supervisor.which_children()])
        self.assertEqual(len(self.up(supervisor)), 2)
        self.stop(supervisor)
        self.assertEqual(client.status, "terminated")

    def test_before_the_start_and_ended(self) -> None:
        """[S9] A client that ends before the supervisor's start is removed."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.link(supervisor, "x")
        self.settle()
        self.crash("x")
        self.settle()
        self.assertEqual(supervisor.which_children(), [])

    def test_never_started(self) -> None:
        """[S9] The stop of a supervisor that was never started stops its linked clients."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.link(supervisor, "x")
        self.settle()
        self.stop(supervisor)
        self.assertEqual(len(self.sites["x"].handlers[0].ends), 1)

    def test_after_the_end(self) -> None:
        """[S9] A supervisor that is ending or has ended refuses to link."""
        supervisor = self.supervise(self.children("a"))
        supervisor.stopService()
        self.failureResultOf(self.link(supervisor, "x"), ChildError)
        self.settle()
        self.failureResultOf(self.link(supervisor, "x"), ChildError)
        self.assertEqual(self.sites["x"].attempts, 0)
        self.assert_all_down(supervisor)

    def test_while_it_starts(self) -> None:
        """[S9] A client can be linked while the first child is still connecting."""
        specs = self.children("ab")
        self.sites["a"].answers = False
        supervisor = self.supervise(specs)
        started = self.link(supervisor, "x")
        self.settle()
        self.successResultOf(started)
        self.sites["a"].answers = True
        self.settle()
        self.assertEqual(len(self.up(supervisor)), 3)
        self.crash("x")
        self.settle()
        self.assertEqual(self.listed(supervisor), ["a", "b"])
        self.assertEqual(self.up(supervisor), ["a", "b"])

    @each((("one_for_one", True), ("one_for_all", False)))
    def test_group(self, strategy: str, stays: bool) -> None:
        """[S9] A linked client is stopped and removed when its group is restarted."""
        supervisor = self.supervise(self.children("ab"), strategy)
        self.link(supervisor, "x")
        self.settle()
        self.crash("b")
        self.settle()
        self.assertEqual(self.connections()["x"], 1 if stays else 0)
        self.assertEqual(len(supervisor.which_children()), 3 if stays else 2)

    def test_its_id(self) -> None:
        """A linked client can be terminated by the id that ``which_children`` shows."""
        supervisor = self.supervise(self.children("a"))
        self.link(supervisor, "x")
        self.link(supervisor, "y")
        self.settle()
        id = supervisor.which_children()[1][0]
        with self.happens("end x"):
            done = supervisor.terminate_child(id)
        self.successResultOf(done)
        self.assertEqual(len(supervisor.which_children()), 2)
        self.assertEqual(self.connections(), {"a": 1, "x": 0, "y": 1})

    def test_cancelled(self) -> None:
        """Cancelling the Deferred stops the attempt and adds no child."""
        supervisor = self.supervise([])
        self.options("x")
        self.sites["x"].answers = False
        started = self.link(supervisor, "x")
        started.cancel()
        self.settle()
        self.failureResultOf(started, CancelledError)
        self.assertEqual(supervisor.which_children(), [])
        self.assertEqual(self.connections(), {"x": 0})

    def test_from_a_callback(self) -> None:
        """[S9] A child's ``handle_connect`` can link another client to its supervisor."""
        specs = self.children("ab")
        supervisor = Supervisor(specs, reactor=self.clock)
        self.sites["a"].on_connect = lambda: self.link(supervisor, "x").addCallback(lambda _: None)
        supervisor.startService()
        self.settle()
        self.assertEqual(len(self.up(supervisor)), 3)
        self.successResultOf(supervisor.when_up())
        self.stop(supervisor)
