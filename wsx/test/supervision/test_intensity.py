"""Tests of wsx._supervision.intensity: counting restarts within a period."""

from __future__ import annotations

import weakref

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._supervision.intensity import Intensity

CHILD = object()


class Removed:
    """A child that is removed."""


class IntensityTests(SynchronousTestCase):
    """Counting restarts."""

    def test_counts(self) -> None:
        """[V3] ``add`` returns the number of restarts; one more than allowed exceeds the limit."""
        intensity = Intensity(3, 5.0)
        self.assertEqual([intensity.add(CHILD, 1.0) for _ in range(3)], [1, 2, 3])
        self.assertFalse(intensity.is_exceeded)
        self.assertEqual(intensity.add(CHILD, 1.0), 4)
        self.assertTrue(intensity.is_exceeded)

    def test_window(self) -> None:
        """[V3] Only restarts within the last ``max_seconds`` count."""
        for later, number in ((14.0, 3), (15.0, 3), (15.5, 2), (16.0, 2), (16.5, 1)):
            intensity = Intensity(3, 5.0)
            intensity.add(CHILD, 10.0)
            intensity.add(CHILD, 11.0)
            self.assertEqual(intensity.add(CHILD, later), number, later)
            self.assertEqual(intensity.total, number, later)

    def test_pause(self) -> None:
        """[V3] Paused time does not count, however often the clock is paused."""
        intensity = Intensity(3, 5.0)
        now, counts = 0.0, []
        for _ in range(4):
            counts.append(intensity.add(CHILD, now))
            intensity.pause(CHILD, now)
            intensity.resume(CHILD, now + 100.0)
            now += 101.0
        self.assertEqual(counts, [1, 2, 3, 4])

    def test_expires_after_a_pause(self) -> None:
        """[V3] A restart expires when the child's own clock has run for ``max_seconds``."""
        intensity = Intensity(3, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.pause(CHILD, 2.0)
        intensity.resume(CHILD, 102.0)
        intensity.add("other", 104.0)
        self.assertEqual(intensity.total, 2)
        intensity.add("other", 105.5)
        self.assertEqual(intensity.total, 2, "only the two of the other child")

    def test_while_paused(self) -> None:
        """[V3] A restart does not expire while the clock is paused."""
        intensity = Intensity(9, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.pause(CHILD, 5.0)
        for now in (5.0, 10.0, 1000.0):
            intensity.add("other", now)
        self.assertEqual(intensity.total, 2, "the child's restart and the last of the other child")

    def test_resume_without_pause(self) -> None:
        """[V3] ``resume`` has no effect on a clock that is not paused."""
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
        """[V3] Cleared restarts do not expire a second time."""
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

    def test_configure_rejects(self) -> None:
        """``configure`` rejects limits that are out of range and changes nothing."""
        intensity = Intensity(1, 5.0)
        intensity.add(CHILD, 0.0)
        self.assertRaises(ValueError, intensity.configure, 7, 0.0)
        self.assertEqual((intensity.max_restarts, intensity.max_seconds), (1, 5.0))
        self.assertEqual(intensity.total, 1)

    def test_error(self) -> None:
        """[V3] The exception carries the limits and the last reason."""
        error = Intensity(2, 7.0).error(wsx.Shutdown("odd"))
        self.assertEqual(
            (error.max_restarts, error.max_seconds, error.reason), (2, 7.0, wsx.Shutdown("odd"))
        )
        self.assertIsInstance(error, wsx.WsxError)
        self.assertIn("more than 2 restarts", str(error))

    def test_children_together(self) -> None:
        """[V3] The total includes the restarts of all children; ``add`` returns the child's own."""
        intensity = Intensity(3, 5.0)
        self.assertEqual([intensity.add(child, 1.0) for child in "abab"], [1, 1, 2, 2])
        self.assertEqual(intensity.total, 4)
        self.assertTrue(intensity.is_exceeded)

    def test_pause_of_one(self) -> None:
        """[V3] Pausing the clock of one child does not affect the restarts of others."""
        intensity = Intensity(3, 5.0)
        intensity.add("a", 0.0)
        intensity.pause("a", 0.0)
        intensity.add("b", 0.0)
        self.assertEqual(intensity.add("b", 50.0), 1, "the first of b has expired")
        self.assertEqual(intensity.add("b", 50.0), 2)
        self.assertEqual(intensity.total, 3, "the restart of a still counts")

    def test_expired(self) -> None:
        """Nothing is left of a child whose restarts have expired."""
        intensity = Intensity(1, 5.0)
        child = Removed()
        intensity.add(child, 0.0)
        intensity.pause(child, 0.0)
        intensity.resume(child, 1.0)
        reference = weakref.ref(child)
        del child
        intensity.add("b", 5.5)
        self.assertEqual(intensity.total, 2, "the clock of the child was paused for 1 s")
        intensity.add("b", 6.5)
        self.assertEqual(intensity.total, 2)
        self.assertIsNone(reference())

    def test_limits(self) -> None:
        """Limits that are out of range raise a ValueError whose message shows the value."""
        for limits, message in (
            ((-1, 5.0), "max_restarts: expected a number of at least 0, got -1"),
            ((True, 5.0), "max_restarts: expected a number of at least 0, got True"),
            ((1, 0.0), "max_seconds: expected a number above 0, got 0.0"),
            ((1, "5"), 'max_seconds: expected a number above 0, got "5"'),
        ):
            error = self.assertRaises(ValueError, Intensity, *limits)
            self.assertEqual(str(error), message)
