"""Tests of wsx.test.cluster_faults.plan: the same seed gives the same faults."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.cluster_faults.plan import HOLDER_FAULTS, SERVER_FAULTS, generate


class PlanTests(SynchronousTestCase):
    """Generate faults."""

    def test_seed(self) -> None:
        """The seed determines the faults."""
        self.assertEqual(generate(1, 200), generate(1, 200))
        self.assertNotEqual(generate(1, 200), generate(2, 200))

    def test_count(self) -> None:
        """There are as many faults as asked for, and each kind is among 200."""
        for count in (1, 2, 7, 200):
            faults = generate(3, count)
            self.assertEqual(len(faults) + sum(f.also is not None for f in faults), count)
        self.assertEqual({f.kind for f in generate(3, 200)}, {*HOLDER_FAULTS, *SERVER_FAULTS})
