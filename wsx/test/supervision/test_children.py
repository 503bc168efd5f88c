"""Tests of wsx._supervision.children: the children of a supervisor, by id and in order."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.children import Children
from wsx.errors import ChildError
from wsx.test.support.children import FakeClient, make_child


class ChildrenTests(SynchronousTestCase):
    """Adding, finding, removing and ordering children."""

    def setUp(self) -> None:
        self.children = Children()
        self.a, self.b, self.c = (make_child(id) for id in "abc")
        for child in (self.a, self.b, self.c):
            self.children.add(child)

    def ids(self) -> list[Any]:
        """Return the ids, in order."""
        return [child.spec.id for child in self.children]

    def test_order(self) -> None:
        """Children are in the order in which they were added."""
        self.assertEqual(list(self.children), [self.a, self.b, self.c])

    def test_add_again(self) -> None:
        """An id that is taken is a ChildError that names it."""
        error = self.assertRaises(ChildError, self.children.add, make_child("b"))
        self.assertEqual((error.id, error.reason), ("b", "another child has this id"))
        self.assertEqual(list(self.children), [self.a, self.b, self.c])

    def test_contains(self) -> None:
        """A child is among them, and another child with the same id is not."""
        self.assertIn(self.a, self.children)
        self.assertNotIn(make_child("a"), self.children)
        self.assertNotIn(make_child("d"), self.children)

    def test_find(self) -> None:
        """A child is found by its id."""
        self.assertIs(self.children.find("b"), self.b)
        self.assertIs(self.children.get("b"), self.b)

    def test_find_unknown(self) -> None:
        """An unknown id is a ChildError, also one that no child can have."""
        ids: list[Any] = ["d", None, [], {}]
        for id in ids:
            error = self.assertRaises(ChildError, self.children.find, id)
            self.assertEqual((error.id, error.reason), (id, "no child has this id"))
            self.assertIsNone(self.children.get(id))

    def test_remove(self) -> None:
        """A child that was removed is not there, and its id is free."""
        self.children.remove(self.b)
        self.assertEqual(self.ids(), ["a", "c"])
        self.children.add(make_child("b"))
        self.assertEqual(self.ids(), ["a", "c", "b"])

    def test_remove_other(self) -> None:
        """Removing a child that is not there changes nothing, even if its id is taken."""
        self.children.remove(make_child("d"))
        self.children.remove(make_child("a"))
        self.assertEqual(list(self.children), [self.a, self.b, self.c])

    def test_remove_during_iteration(self) -> None:
        """Children may be removed and added during an iteration, which does not change."""
        seen = []
        for child in self.children:
            seen.append(child.spec.id)
            self.children.remove(self.b)
            if child is self.a:
                self.children.add(make_child("d"))
        self.assertEqual(seen, ["a", "b", "c"])
        self.assertEqual(self.ids(), ["a", "c", "d"])

    def test_starting_with(self) -> None:
        """A child and those after it."""
        self.assertEqual(self.children.starting_with(self.a), [self.a, self.b, self.c])
        self.assertEqual(self.children.starting_with(self.b), [self.b, self.c])
        self.assertEqual(self.children.starting_with(self.c), [self.c])

    def test_sort(self) -> None:
        """The ids come in the order that is given, the others after them in their own."""
        self.children.add(make_child("d"))
        self.children.sort(["d", "unknown", "b"])
        self.assertEqual(self.ids(), ["d", "b", "a", "c"])

    def test_rows(self) -> None:
        """A row has the id, what runs, and the type."""
        client = FakeClient()
        self.a.attach(client)
        self.children.add(make_child("d", type="supervisor"))
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
        """Specifications, running children, and types are counted."""
        self.children.add(make_child("d", type="supervisor"))
        self.a.attach(FakeClient())
        self.b.attach(FakeClient())
        stopping = Deferred.fromCoroutine(self.b.stop(Clock()))
        self.assertNoResult(stopping)
        self.assertEqual(
            self.children.counts(), {"specs": 4, "active": 1, "supervisors": 1, "workers": 3}
        )
