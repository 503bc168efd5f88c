"""Tests of the reference model of a supervisor."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.test.simulation.otp import KidSpec, SupervisorModel


class SupervisorModelTests(SynchronousTestCase):
    """Restarts by strategy, restart type and intensity; each wrong event is reported."""

    def setUp(self) -> None:
        self.now = 0.0
        self.problems: list[str] = []

    def make(
        self, strategy: str, *, most: int = 3, backoff: wsx.Backoff | None = None, **kinds: str
    ) -> SupervisorModel:
        """Return a model whose children have been started."""
        model = SupervisorModel(
            strategy, most, 5.0, lambda: self.now, lambda: 0.0, self.problems.append
        )
        model.specs = [KidSpec(id, kind, backoff, math.inf) for id, kind in kinds.items()]
        model.start_service()
        self.start(model, *kinds)
        return model

    def start(self, model: SupervisorModel, *ids: str) -> None:
        for id in ids:
            model.started(id)
            model.start_finished(id, True)

    def stop(self, model: SupervisorModel, *ids: str) -> None:
        for id in ids:
            model.stopped(id)
            model.ended(id, True)

    def passes(self, model: SupervisorModel, *running: str) -> None:
        """Check that nothing was wrong and nothing is overdue."""
        self.now += 1.0
        model.audit()
        self.assertEqual(self.problems, [])
        self.assertEqual([id for id, runs in model.rows() if runs], list(running))

    def test_one_for_one(self) -> None:
        """Only the child that has ended is restarted."""
        model = self.make("one_for_one", a="permanent", b="permanent")
        model.ended("a", True)
        self.start(model, "a")
        self.passes(model, "a", "b")

    def test_one_for_all(self) -> None:
        """The others end in reverse order; temporary ones are not started again."""
        model = self.make("one_for_all", a="permanent", b="temporary", c="permanent")
        model.ended("a", False)
        self.stop(model, "c", "b")
        self.start(model, "a", "c")
        self.passes(model, "a", "c")

    def test_rest_for_one(self) -> None:
        """Children after the one that has ended are restarted with it."""
        model = self.make("rest_for_one", a="permanent", b="transient", c="permanent")
        model.ended("b", False)
        self.stop(model, "c")
        self.start(model, "b", "c")
        self.passes(model, "a", "b", "c")

    def test_overlapping(self) -> None:
        """A sibling that ends while the group is being stopped is not restarted twice."""
        model = self.make("one_for_all", most=1, a="permanent", b="permanent", c="permanent")
        model.ended("a", False)
        model.stopped("c")
        model.ended("b", False)
        model.ended("c", True)
        self.start(model, "a", "b", "c")
        self.passes(model, "a", "b", "c")

    def test_not_restarted(self) -> None:
        """A transient child that ended normally stays listed; a temporary one is removed."""
        model = self.make("one_for_all", a="transient", b="temporary")
        model.ended("a", True)
        model.ended("b", False)
        self.passes(model)
        self.assertEqual(list(model.kids), ["a"])

    def test_backoff(self) -> None:
        """A restart waits for the Backoff of the child, neither longer nor shorter."""
        backoff = wsx.Backoff(2.0, jitter=0.0)
        model = self.make("one_for_one", backoff=backoff, a="permanent")
        model.ended("a", True)
        self.passes(model)
        self.now += 1.0
        self.start(model, "a")
        self.passes(model, "a")
        model.ended("a", True)
        self.now += 2.0
        model.started("a")
        self.assertIn("unexpected start of a", self.problems[0])

    def test_overdue(self) -> None:
        """A restart that does not happen is reported."""
        model = self.make("one_for_one", a="permanent")
        model.ended("a", True)
        self.now += 1.0
        model.audit()
        self.assertIn("start of a was due", self.problems[0])

    def test_wrong_order(self) -> None:
        """A sibling that is stopped too early is reported."""
        model = self.make("one_for_all", a="permanent", b="permanent", c="permanent")
        model.ended("a", True)
        model.stopped("b")
        self.assertIn("unexpected stop of b", self.problems[0])

    def test_intensity(self) -> None:
        """One restart too many within the period ends the supervisor."""
        model = self.make("one_for_one", most=1, a="permanent", b="permanent")
        for seconds in (0.0, 6.0):
            self.now = seconds
            model.ended("a", True)
            self.start(model, "a")
        self.now = 7.0
        model.ended("a", True)
        self.stop(model, "b")
        self.passes(model)
        self.assertEqual(model.reason, "restarts")

    def test_waiting_does_not_count(self) -> None:
        """The time in which a child waits for its Backoff is not part of the period."""
        backoff = wsx.Backoff(4.0, jitter=0.0, factor=1.0)
        model = self.make("one_for_one", most=1, backoff=backoff, a="permanent")
        model.ended("a", True)
        self.now = 4.0
        self.start(model, "a")
        self.now = 8.0
        model.ended("a", True)
        self.assertEqual((self.problems, model.reason), ([], "restarts"))

    def test_failed_start(self) -> None:
        """A restart that fails counts as another one; a first start that fails is the end."""
        model = self.make("one_for_one", most=1, a="permanent", b="permanent")
        model.ended("a", True)
        model.started("a")
        model.start_finished("a", False)
        self.stop(model, "b")
        self.assertEqual((self.problems, model.reason), ([], "restarts"))
        model.start_service()
        model.started("a")
        model.start_finished("a", False)
        self.assertEqual((self.problems, model.reason), ([], "start"))

    def test_requests(self) -> None:
        """Requests have the outcome that the state of the child allows."""
        model = self.make("one_for_one", a="permanent")
        self.assertEqual(model.delete_child("a").outcome, "ChildError")
        terminated = model.terminate_child("a")
        self.assertIsNone(terminated.outcome)
        self.stop(model, "a")
        self.assertEqual(terminated.outcome, "ok")
        restarted = model.restart_child("a")
        model.started("a")
        model.start_finished("a", False)
        self.assertEqual(restarted.outcome, "failed")
        self.assertEqual(model.delete_child("a").outcome, "ok")
        self.passes(model)

    def test_change_children(self) -> None:
        """Children that are gone end in reverse order; new ones are started."""
        model = self.make("one_for_one", a="permanent", b="permanent", c="permanent")
        changed = model.change_children([KidSpec("d"), model.specs[1]])
        self.stop(model, "c", "a")
        self.start(model, "d")
        self.assertEqual(changed.outcome, "ok")
        self.passes(model, "d", "b")

    def test_shutdown(self) -> None:
        """A child may be aborted after its shutdown limit, not before."""
        model = self.make("one_for_one", a="permanent")
        model.terminate_child("a")
        model.stopped("a")
        model.aborted("a")
        self.assertIn("before its shutdown limit", self.problems[0])
