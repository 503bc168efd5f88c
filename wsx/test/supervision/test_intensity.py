"""Tests of wsx._supervision.intensity: how many restarts are too many."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._supervision.intensity import Intensity

CHILD = object()


class IntensityTests(SynchronousTestCase):
    """The counter itself."""

    def test_counts(self) -> None:
        """[V3] it gives the number of restarts lately, and None for one too many."""
        intensity = Intensity(3, 5.0)
        self.assertEqual([intensity.add(CHILD, 1.0) for _ in range(4)], [1, 2, 3, None])

    def test_window(self) -> None:
        """[V3] restarts longer ago than ``max_seconds`` are forgotten, and only they."""
        for later, number in ((14.0, 3), (15.0, 3), (15.5, 2), (16.0, 2), (16.5, 1)):
            intensity = Intensity(3, 5.0)
            intensity.add(CHILD, 10.0)
            intensity.add(CHILD, 11.0)
            self.assertEqual(intensity.add(CHILD, later), number, later)

    def test_pause(self) -> None:
        """[V3] paused time does not count, however often there is some."""
        intensity = Intensity(3, 5.0)
        now, counts = 0.0, []
        for _ in range(4):
            counts.append(intensity.add(CHILD, now))
            intensity.pause(CHILD, 100.0)
            now += 101.0
        self.assertEqual(counts, [1, 2, 3, None])

    def test_forget(self) -> None:
        """[V3] it begins anew, paused time included."""
        intensity = Intensity(1, 5.0)
        intensity.add(CHILD, 0.0)
        intensity.pause(CHILD, 100.0)
        intensity.forget()
        self.assertEqual(intensity.add(CHILD, 1.0), 1)
        self.assertEqual(intensity.add(CHILD, 7.0), 1)

    def test_error(self) -> None:
        """[V3] the error carries the limits and the last reason."""
        error = Intensity(2, 7.0).exceeded(wsx.Shutdown("odd"))
        self.assertEqual(
            (error.max_restarts, error.max_seconds, error.reason), (2, 7.0, wsx.Shutdown("odd"))
        )
        self.assertIsInstance(error, wsx.WsxError)
        self.assertIn("more than 2 restarts in 7 s", str(error))

    def test_children_together(self) -> None:
        """[V3] all children's restarts count; each hears its own number."""
        intensity = Intensity(3, 5.0)
        self.assertEqual([intensity.add(child, 1.0) for child in "abab"], [1, 1, 2, None])

    def test_pause_of_one(self) -> None:
        """[V3] the pause of one child keeps its own restarts, and not those of others."""
        intensity = Intensity(3, 5.0)
        intensity.add("a", 0.0)
        intensity.pause("a", 100.0)
        intensity.add("b", 0.0)
        self.assertEqual(intensity.add("b", 50.0), 1, "b's first is forgotten")
        self.assertEqual(intensity.add("b", 50.0), 2, "and only a's is still there")
        self.assertIsNone(intensity.add("b", 50.0))

    def test_forget_one(self) -> None:
        """[V3] a child that is gone counts no more."""
        intensity = Intensity(1, 5.0)
        intensity.add("a", 0.0)
        intensity.forget("a")
        self.assertEqual(intensity.add("b", 0.0), 1)

    def test_limits(self) -> None:
        """Limits that make no sense are refused."""
        for max_restarts, max_seconds in ((-1, 5.0), (1, 0.0), (1, -1.0)):
            self.assertRaises(ValueError, Intensity, max_restarts, max_seconds)
