"""Tests of the reference model of a supervisor."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.simulation.otp import SupervisorModel


class SupervisorModelTests(SynchronousTestCase):
    """Restarts by strategy, restart type and intensity."""

    def make(self, strategy: str, most: int = 3, **kinds: str) -> SupervisorModel:
        model = SupervisorModel(strategy, most, 5.0, kinds)
        model.start_all()
        return model

    def test_one_for_one(self) -> None:
        """Only the child that has ended is restarted."""
        model = self.make("one_for_one", a="permanent", b="permanent")
        self.assertEqual(model.child_ends("a", True, 0.0), [("end", "a"), ("start", "a")])

    def test_one_for_all(self) -> None:
        """The others end in reverse order; temporary ones are not started again."""
        model = self.make("one_for_all", a="permanent", b="temporary", c="permanent")
        expected = [("end", "a"), ("end", "c"), ("end", "b"), ("start", "a"), ("start", "c")]
        self.assertEqual(model.child_ends("a", False, 0.0), expected)

    def test_rest_for_one(self) -> None:
        """Children after the one that has ended are restarted with it."""
        model = self.make("rest_for_one", a="permanent", b="transient", c="permanent")
        expected = [("end", "b"), ("end", "c"), ("start", "b"), ("start", "c")]
        self.assertEqual(model.child_ends("b", False, 0.0), expected)

    def test_not_restarted(self) -> None:
        """A transient child that ended normally stays listed; a temporary one is removed."""
        model = self.make("one_for_all", a="transient", b="temporary")
        self.assertEqual(model.child_ends("a", True, 0.0), [("end", "a")])
        self.assertEqual(model.child_ends("b", False, 0.0), [("end", "b")])
        self.assertEqual(list(model.kinds), ["a"])

    def test_intensity(self) -> None:
        """One restart too many within the period ends the supervisor."""
        model = self.make("one_for_one", 1, a="permanent", b="permanent")
        model.child_ends("a", True, 0.0)
        model.child_ends("a", True, 6.0)
        self.assertFalse(model.given_up)
        self.assertEqual(model.child_ends("a", True, 7.0), [("end", "a"), ("end", "b")])
        self.assertTrue(model.given_up)
