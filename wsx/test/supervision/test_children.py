"""Tests of wsx._supervision.children: the ordered children of a supervisor."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._scheduler import scheduler_for
from wsx._supervision.child import Child
from wsx._supervision.children import Children
from wsx.errors import ChildError
from wsx.test.support.children import FakeClient, make_child, make_spec

PARENT = object()


class ChildrenCase(SynchronousTestCase):
    """Three children that do not run."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ends: list[tuple[Child, object]] = []
        self.children = Children(PARENT, lambda *end: self.ends.append(end), self.clock)
        self.a, self.b, self.c = (self.children.add(make_spec(id)) for id in "abc")

    def ids(self) -> list[Any]:
        """Return the ids, in order."""
        return [child.spec.id for child in self.children]

    def start(self, child: Child) -> Deferred[Any]:
        """Start a child."""
        return Deferred.fromCoroutine(self.children.start(child))

    def start_now(self, child: Child) -> FakeClient:
        """Start a child and return its client."""
        return self.successResultOf(self.start(child))


class ListTests(ChildrenCase):
    """Adding, finding, removing and ordering children."""

    def test_order(self) -> None:
        """Children are listed in the order in which they were added, and should run."""
        self.assertEqual(list(self.children), [self.a, self.b, self.c])
        self.assertTrue(self.a.should_run)

    def test_add_again(self) -> None:
        """Adding a second child with the same id raises ChildError with the id."""
        error = self.assertRaises(ChildError, self.children.add, make_spec("b"))
        self.assertEqual((error.id, error.reason), ("b", "another child has this id"))
        self.assertEqual(list(self.children), [self.a, self.b, self.c])

    def test_contains(self) -> None:
        """``in`` compares children, not ids."""
        self.assertIn(self.a, self.children)
        self.assertNotIn(make_child("a"), self.children)
        self.assertNotIn(make_child("d"), self.children)

    def test_find(self) -> None:
        """A child is found by its id."""
        self.assertIs(self.children.find("b"), self.b)
        self.assertIs(self.children.get("b"), self.b)

    def test_find_unknown(self) -> None:
        """An unknown id raises ChildError, even an id that no child can have."""
        ids: list[Any] = ["d", None, [], {}]
        for id in ids:
            error = self.assertRaises(ChildError, self.children.find, id)
            self.assertEqual((error.id, error.reason), (id, "no child has this id"))
            self.assertIsNone(self.children.get(id))

    def test_find_stopped(self) -> None:
        """``find_stopped`` raises ChildError for a child that should run and for an unknown id."""
        self.b.should_run = False
        self.assertIs(self.children.find_stopped("b"), self.b)
        for id in ("a", "d"):
            error = self.assertRaises(ChildError, self.children.find_stopped, id)
            self.assertEqual(error.id, id)

    def test_remove(self) -> None:
        """A removed child is not listed and should not run; its id can be used again."""
        self.children.remove(self.b)
        self.assertEqual(self.ids(), ["a", "c"])
        self.assertFalse(self.b.should_run)
        self.children.add(make_spec("b"))
        self.assertEqual(self.ids(), ["a", "c", "b"])

    def test_remove_other(self) -> None:
        """Removing a child that is not listed does nothing, even if its id is listed."""
        self.children.remove(make_child("d"))
        self.children.remove(make_child("a"))
        self.assertEqual(list(self.children), [self.a, self.b, self.c])

    def test_remove_during_iteration(self) -> None:
        """Removing and adding children during an iteration does not affect the iteration."""
        seen = []
        for child in self.children:
            seen.append(child.spec.id)
            self.children.remove(self.b)
            if child is self.a:
                self.children.add(make_spec("d"))
        self.assertEqual(seen, ["a", "b", "c"])
        self.assertEqual(self.ids(), ["a", "c", "d"])

    def test_starting_with(self) -> None:
        """``starting_with`` returns a child and the children after it."""
        self.assertEqual(self.children.starting_with(self.a), [self.a, self.b, self.c])
        self.assertEqual(self.children.starting_with(self.b), [self.b, self.c])
        self.assertEqual(self.children.starting_with(self.c), [self.c])

    def test_sort(self) -> None:
        """The given ids come first, in the given order; the others keep their order."""
        self.children.add(make_spec("d"))
        self.children.sort(["d", "unknown", "b"])
        self.assertEqual(self.ids(), ["d", "b", "a", "c"])

    def test_rows(self) -> None:
        """A row contains the id, the running client or None, and the type."""
        client = self.start_now(self.a)
        self.children.add(make_spec("d", type="supervisor"))
        self.assertEqual(
            self.children.rows(),
            [
                ("a", client, "worker"),
                ("b", None, "worker"),
                ("c", None, "worker"),
                ("d", None, "supervisor"),
            ],
        )

    def test_counts(self) -> None:
        """The counts are by specification, activity and type; a stopping child is not active."""
        self.children.add(make_spec("d", type="supervisor"))
        self.start_now(self.a)
        self.start_now(self.b)
        self.assertNoResult(Deferred.fromCoroutine(self.children.stop(self.b)))
        self.assertEqual(
            self.children.counts(), {"specs": 4, "active": 1, "supervisors": 1, "workers": 3}
        )

    def test_scheduler(self) -> None:
        """The reactor for the time is the given one, or else that of the first child with one."""
        self.children.add(make_spec("d", reactor=Clock()))
        self.assertIs(self.children.scheduler, scheduler_for(self.clock))
        children = Children(PARENT, lambda child, reason: None, None)
        for id, reactor in (("a", None), ("b", self.clock), ("c", Clock())):
            children.add(make_spec(id, reactor=reactor))
        self.assertIs(children.scheduler, scheduler_for(self.clock))


class StartTests(ChildrenCase):
    """Starting children."""

    def test_start(self) -> None:
        """The start function receives the parent; the child runs the client that it returns."""
        client = FakeClient()
        parents: list[object] = []

        def start(parent: object) -> Deferred[FakeClient]:
            parents.append(parent)
            return succeed(client)

        child = self.children.add(make_spec("d", start))
        self.assertIs(self.start_now(child), client)
        self.assertIs(child.running, client)
        self.assertEqual(parents, [PARENT])

    def test_end(self) -> None:
        """The end of a child is reported with its reason."""
        self.start_now(self.a).end.callback("reason")
        self.assertEqual(self.ends, [(self.a, "reason")])

    def test_started_again(self) -> None:
        """Starting a child again removes the reason of its end."""
        self.children.end_reasons = {"a": "reason", "b": "another"}
        self.start_now(self.a)
        self.assertEqual(self.children.end_reasons, {"b": "another"})

    def test_announce(self) -> None:
        """A client is announced only while a start function runs, and only once."""
        client = FakeClient()
        seen: list[bool] = []

        def start(_: object) -> Deferred[FakeClient]:
            seen.append(self.children.is_start_unannounced)
            self.children.announce(client)
            seen.append(self.children.is_start_unannounced)
            return Deferred()

        child = self.children.add(make_spec("d", start))
        self.children.announce(client)
        self.assertFalse(self.children.is_start_unannounced)
        self.start(child)
        self.assertFalse(self.children.is_start_unannounced)
        self.assertEqual(seen, [True, False])
        self.assertIs(child.announced, client)
        self.assertIsNone(self.a.announced)

    def test_start_in_start(self) -> None:
        """An announcement applies to the innermost running start function."""
        inner_client, outer_client = FakeClient(), FakeClient()

        def start_inner(_: object) -> Deferred[FakeClient]:
            self.children.announce(inner_client)
            return Deferred()

        def start_outer(_: object) -> Deferred[FakeClient]:
            self.start(inner)
            self.children.announce(outer_client)
            return Deferred()

        inner = self.children.add(make_spec("inner", start_inner))
        outer = self.children.add(make_spec("outer", start_outer))
        self.start(outer)
        self.assertIs(inner.announced, inner_client)
        self.assertIs(outer.announced, outer_client)

    def test_cancel_starts(self) -> None:
        """``cancel_starts`` stops those of the given children that are being started."""
        cancelled: list[object] = []
        starting = self.children.add(make_spec("d", lambda _: Deferred(cancelled.append)))
        other = self.children.add(make_spec("e", lambda _: Deferred(cancelled.append)))
        self.start(starting).addErrback(lambda _: None)
        self.start(other)
        client = self.start_now(self.a)
        self.children.cancel_starts([starting, self.a, self.b])
        self.assertEqual(len(cancelled), 1)
        self.assertFalse(starting.is_starting)
        self.assertTrue(other.is_starting)
        self.assertEqual(client.calls, [])


class LinkTests(ChildrenCase):
    """Linking clients."""

    def test_link(self) -> None:
        """Linking a client starts it as a child whose id is the client."""
        client = FakeClient(self.clock)
        self.assertIs(self.children.link(client), client.begun)
        self.assertEqual(client.calls, ["begin"])
        child = self.children.find(client)
        self.assertIs(child.running, client)
        self.assertTrue(child.is_linked)
        client.end.callback("reason")
        self.assertEqual(self.ends, [(child, "reason")])

    def test_link_fails(self) -> None:
        """A client that cannot begin is not added."""

        class Broken(FakeClient):
            def begin(self) -> Any:
                raise ValueError("no")

        self.assertRaises(ValueError, self.children.link, Broken(self.clock))
        self.assertEqual(self.ids(), ["a", "b", "c"])

    def test_linked_by_its_start(self) -> None:
        """A start function that returns a linked client takes over that client as its child."""
        client = FakeClient(self.clock)
        starting: Deferred[FakeClient] = Deferred()
        child = self.children.add(make_spec("d", lambda _: starting))
        started = self.start(child)
        self.children.link(client)
        self.assertEqual(self.ids(), ["a", "b", "c", "d", client])
        starting.callback(client)
        self.assertIs(self.successResultOf(started), client)
        self.assertEqual(self.ids(), ["a", "b", "c", "d"])


class StopTests(ChildrenCase):
    """Stopping children."""

    def test_stop(self) -> None:
        """A stopped child stays listed."""
        client = self.start_now(self.a)
        stopped = Deferred.fromCoroutine(self.children.stop(self.a))
        self.assertNoResult(stopped)
        client.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.ids(), ["a", "b", "c"])
        self.assertEqual(self.ends, [])

    def test_stop_temporary(self) -> None:
        """A stopped temporary child is removed."""
        child = self.children.add(make_spec("d", restart="temporary"))
        self.successResultOf(Deferred.fromCoroutine(self.children.stop(child)))
        self.assertEqual(self.ids(), ["a", "b", "c"])

    def test_stop_in_reverse(self) -> None:
        """``stop_in_reverse`` stops children one at a time, the last one first."""
        clients = [self.start_now(child) for child in (self.a, self.b)]
        stopped = Deferred.fromCoroutine(self.children.stop_in_reverse([self.a, self.b]))
        self.assertEqual([client.calls for client in clients], [[], ["stop"]])
        clients[1].stopped.callback(None)
        self.assertEqual([client.calls for client in clients], [["stop"], ["stop"]])
        self.assertNoResult(stopped)
        clients[0].stopped.callback(None)
        self.successResultOf(stopped)
