"""Tests of wsx._supervision.intensity: how many restarts are too many."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._supervision.intensity import Intensity

CHILD = object()


class IntensityTests(SynchronousTestCase):
    """The counter itself."""

    def test_counts(self) -> None:
        """[V3] ``add`` returns the number of restarts; one more than allowed exceeds the limit."""
        intensity = Intensity(3, 5.0)
        self.assertEqual([intensity.add(CHILD, 1.0) for _ in range(3)], [1, 2, 3])
        self.assertFalse(intensity.is_exceeded)
        self.assertEqual(intensity.add(CHILD, 1.0), 4)
        self.assertTrue(intensity.is_exceeded)

    def test_window(self) -> None:
        """[V3] restarts longer ago than ``max_seconds`` are forgotten, and only they."""
        for later, number in ((14.0, 3), (15.0, 3), (15.5, 2), (16.0, 2), (16.5, 1)):
            intensity = Intensity(3, 5.0)
            intensity.add(CHILD, 10.0)
            intensity.add(CHILD, 11.0)
            self.assertEqual(intensity.add(CHILD, later), number, later)
            self.assertEqual(intensity.total, number, later)

    def test_pause(self) -> None:
        """[V3] paused time does not count, however often the clock is paused."""
        intensity = Intensity(3, 5.0)
        now, counts = 0.0, []
        for _ in range(4):
            counts.append(intensity.add(CHILD, now))
            intensity.pause(CHILD, now)
            intensity.resume(CHILD, now + 100.0)
            now += 101.0
        self.assertEqual(counts, [1, 2, 3, 4])

    def test_expires_after_a_pause(self) -> None:
        """[V3] a restart expires when the child's own clock has run for ``max_seconds``."""
        intensity = Intensity(3, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.pause(CHILD, 2.0)
        intensity.resume(CHILD, 102.0)
        intensity.add("other", 104.0)
        self.assertEqual(intensity.total, 2)
        intensity.add("other", 105.5)
        self.assertEqual(intensity.total, 2, "the other's two")

    def test_while_paused(self) -> None:
        """[V3] a restart does not expire while the clock is paused."""
        intensity = Intensity(9, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.pause(CHILD, 5.0)
        for now in (5.0, 10.0, 1000.0):
            intensity.add("other", now)
        self.assertEqual(intensity.total, 2, "the child's one, and the other's last")

    def test_resume_without_pause(self) -> None:
        """[V3] ``resume`` does nothing to a clock that is not paused."""
        intensity = Intensity(3, 5.0)
        intensity.resume(CHILD, 1.0)
        intensity.add(CHILD, 2.0)
        intensity.resume(CHILD, 6.0)
        self.assertEqual(intensity.add(CHILD, 7.5), 1)

    def test_clear(self) -> None:
        """[V3] ``clear`` forgets restarts and paused time."""
        intensity = Intensity(1, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.pause(CHILD, 0.0)
        intensity.clear()
        self.assertEqual(intensity.total, 0)
        self.assertEqual(intensity.add(CHILD, 1.0), 1)
        self.assertEqual(intensity.add(CHILD, 7.0), 1)

    def test_expires_after_clear(self) -> None:
        """[V3] restarts that were cleared do not expire once more."""
        intensity = Intensity(9, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.clear()
        intensity.add(CHILD, 1.0)
        self.assertEqual(intensity.add(CHILD, 5.5), 2)
        self.assertEqual(intensity.total, 2)

    def test_configure(self) -> None:
        """[V3] ``configure`` changes the limits and forgets the restarts."""
        intensity = Intensity(1, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.configure(0, 9.0)
        self.assertEqual((intensity.total, intensity.is_exceeded), (0, False))
        intensity.add(CHILD, 0.0)
        self.assertTrue(intensity.is_exceeded)

    def test_configure_refuses(self) -> None:
        """Limits that are out of range are refused, and nothing has changed then."""
        intensity = Intensity(1, 5.0)
        intensity.add(CHILD, 0.0)
        self.assertRaises(ValueError, intensity.configure, 7, 0.0)
        self.assertEqual((intensity.max_restarts, intensity.max_seconds), (1, 5.0))
        self.assertEqual(intensity.total, 1)

    def test_error(self) -> None:
        """[V3] the exception carries the limits and the last reason."""
        error = Intensity(2, 7.0).error(wsx.Shutdown("odd"))
        self.assertEqual(
            (error.max_restarts, error.max_seconds, error.reason), (2, 7.0, wsx.Shutdown("odd"))
        )
        self.assertIsInstance(error, wsx.WsxError)
        self.assertIn("more than 2 restarts", str(error))

    def test_children_together(self) -> None:
        """[V3] all children's restarts count together; ``add`` returns the child's own number."""
        intensity = Intensity(3, 5.0)
        self.assertEqual([intensity.add(child, 1.0) for child in "abab"], [1, 1, 2, 2])
        self.assertEqual(intensity.total, 4)
        self.assertTrue(intensity.is_exceeded)

    def test_pause_of_one(self) -> None:
        """[V3] the pause of one child keeps its own restarts, and not those of others."""
        intensity = Intensity(3, 5.0)
        intensity.add("a", 0.0)
        intensity.pause("a", 0.0)
        intensity.add("b", 0.0)
        self.assertEqual(intensity.add("b", 50.0), 1, "b's first is forgotten")
        self.assertEqual(intensity.add("b", 50.0), 2)
        self.assertEqual(intensity.total, 3, "a's is still counted")

    def test_forget(self) -> None:
        """[V3] the restarts of a child that was removed count no longer."""
        intensity = Intensity(1, 5.0)
        intensity.add("a", 0.0)
        intensity.pause("a", 0.0)
        intensity.forget("a")
        self.assertEqual(intensity.add("b", 0.0), 1)
        self.assertEqual(intensity.add("a", 100.0), 1)
        self.assertEqual(intensity.total, 1)

    def test_forget_unknown(self) -> None:
        """Forgetting a child without restarts changes nothing."""
        intensity = Intensity(1, 5.0)
        intensity.add("a", 0.0)
        intensity.forget("b")
        self.assertEqual(intensity.total, 1)

    def test_limits(self) -> None:
        """Limits that are out of range are refused; the message names the value."""
        for limits, message in (
            ((-1, 5.0), "max_restarts: expected a number of at least 0, got -1"),
            ((True, 5.0), "max_restarts: expected a number of at least 0, got True"),
            ((1, 0.0), "max_seconds: expected a number above 0, got 0.0"),
            ((1, "5"), 'max_seconds: expected a number above 0, got "5"'),
        ):
            error = self.assertRaises(ValueError, Intensity, *limits)
            self.assertEqual(str(error), message)
