"""Tests of wsx._supervision.pending: restarts that are delayed."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.child import Child
from wsx._supervision.intensity import Intensity
from wsx._supervision.pending import PendingRestart, PendingRestarts
from wsx.test.support.children import make_child


class PendingCase(SynchronousTestCase):
    """Three children, and the restarts that are due."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.intensity = Intensity(99, 5.0)
        self.due: list[PendingRestart] = []
        self.pending = PendingRestarts(self.intensity, self.due.append)
        self.a, self.b, self.c = (make_child(id) for id in "abc")

    def add(self, children: list[Child], causes: set[Child], delay: float) -> None:
        """Add a pending restart of ``children``."""
        self.pending.add(children, causes, delay, self.clock)

    def finish(self) -> list[Child]:
        """Finish the only restart that is due and return its children."""
        (restart,) = self.due
        self.due.clear()
        return self.pending.finish(restart)

    def count_restart(self, child: Child) -> int:
        """Count a restart now; return the number of the child's restarts within the period."""
        return self.intensity.add(child, self.clock.seconds())


class DelayTests(PendingCase):
    """When a restart is due, and for which children."""

    def test_due(self) -> None:
        """A restart is due after its delay, and not before."""
        self.add([self.a], {self.a}, 3.0)
        self.clock.advance(2.9)
        self.assertEqual(self.due, [])
        self.clock.advance(0.1)
        self.assertEqual(self.finish(), [self.a])
        self.assertNotIn(self.a, self.pending)

    def test_without_delay(self) -> None:
        """A restart without a delay is due in a later reactor iteration."""
        self.add([self.a], {self.a}, 0.0)
        self.assertEqual(self.due, [])
        self.clock.advance(0.0)
        self.assertEqual(self.finish(), [self.a])

    def test_together(self) -> None:
        """The children of one restart are due together, in the given order."""
        self.add([self.c, self.a], {self.a}, 3.0)
        self.clock.advance(3.0)
        self.assertEqual(self.finish(), [self.c, self.a])

    def test_separate(self) -> None:
        """Each restart has its own delay."""
        self.add([self.a], {self.a}, 3.0)
        self.add([self.b], {self.b}, 1.0)
        self.clock.advance(1.0)
        self.assertEqual(self.finish(), [self.b])
        self.clock.advance(2.0)
        self.assertEqual(self.finish(), [self.a])

    def test_waits_until_finished(self) -> None:
        """The children of a due restart are pending until the restart is finished."""
        self.add([self.a], {self.a}, 1.0)
        self.clock.advance(1.0)
        self.assertIn(self.a, self.pending)
        self.finish()
        self.assertNotIn(self.a, self.pending)

    def test_add_again(self) -> None:
        """A child that is added again is removed from its earlier restart."""
        self.add([self.a, self.b], {self.a}, 1.0)
        self.add([self.a], {self.a}, 3.0)
        self.clock.advance(1.0)
        self.assertEqual(self.finish(), [self.b])
        self.clock.advance(2.0)
        self.assertEqual(self.finish(), [self.a])


class DiscardTests(PendingCase):
    """Removing children from pending restarts."""

    def test_one(self) -> None:
        """The other children of the restart stay pending."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.pending.discard(self.a)
        self.assertNotIn(self.a, self.pending)
        self.clock.advance(3.0)
        self.assertEqual(self.finish(), [self.b])

    def test_last(self) -> None:
        """A restart without children is cancelled and leaves no timer."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.pending.discard(self.a)
        self.pending.discard(self.b)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_waiting(self) -> None:
        """Discarding a child that is not pending does nothing."""
        self.add([self.a], {self.a}, 3.0)
        self.pending.discard(self.b)
        self.clock.advance(3.0)
        self.assertEqual(self.finish(), [self.a])

    def test_when_due(self) -> None:
        """A child that is discarded while the restart is due is not started."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.clock.advance(3.0)
        self.pending.discard(self.a)
        self.assertEqual(self.finish(), [self.b])

    def test_clear(self) -> None:
        """After ``clear``, no child is pending and no timer is left, even if a restart was due."""
        self.add([self.a], {self.a}, 1.0)
        self.add([self.b, self.c], {self.b}, 3.0)
        self.clock.advance(1.0)
        self.pending.clear()
        self.assertEqual(self.finish(), [])
        for child in (self.a, self.b, self.c):
            self.assertNotIn(child, self.pending)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TakeTests(PendingCase):
    """Children that are included in the restart of a sibling."""

    def test_take(self) -> None:
        """``take`` removes the children and returns the causes and the longest remaining delay."""
        self.add([self.a], {self.a}, 3.0)
        self.add([self.b, self.c], {self.b}, 5.0)
        self.clock.advance(1.0)
        self.assertEqual(self.pending.take([self.a, self.b, self.c]), ({self.a, self.b}, 4.0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn(self.c, self.pending)

    def test_take_nothing(self) -> None:
        """If none of the children is pending, there are no causes and no remaining delay."""
        self.add([self.a], {self.a}, 3.0)
        self.assertEqual(self.pending.take([self.b]), (set(), 0.0))
        self.assertIn(self.a, self.pending)

    def test_take_what_is_due(self) -> None:
        """A due restart has no remaining delay and does not start the children taken."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.clock.advance(3.0)
        self.assertEqual(self.pending.take([self.b]), ({self.a}, 0.0))
        self.assertEqual(self.finish(), [self.a])


class ClockTests(PendingCase):
    """The delay of a cause does not count in the restart intensity."""

    def test_wait(self) -> None:
        """The delay does not count, even a long one."""
        self.assertEqual(self.count_restart(self.a), 1)
        self.add([self.a], {self.a}, 100.0)
        self.clock.advance(100.0)
        self.finish()
        self.assertEqual(self.count_restart(self.a), 2)

    def test_after_the_wait(self) -> None:
        """The time after the delay counts, even before the restart is finished."""
        self.assertEqual(self.count_restart(self.a), 1)
        self.add([self.a], {self.a}, 100.0)
        self.clock.advance(100.0)
        self.clock.advance(5.5)
        self.finish()
        self.assertEqual(self.count_restart(self.a), 1)

    def test_sibling(self) -> None:
        """The delay counts for siblings."""
        self.assertEqual(self.count_restart(self.b), 1)
        self.add([self.a, self.b], {self.a}, 100.0)
        self.clock.advance(100.0)
        self.finish()
        self.assertEqual(self.count_restart(self.b), 1)

    def test_discarded(self) -> None:
        """If a child is discarded, only its delay until then does not count."""
        self.assertEqual(self.count_restart(self.a), 1)
        self.add([self.a], {self.a}, 100.0)
        self.clock.advance(50.0)
        self.pending.discard(self.a)
        self.clock.advance(4.0)
        self.assertEqual(self.count_restart(self.a), 2)
        self.clock.advance(1.5)
        self.assertEqual(self.count_restart(self.a), 2, "the first restart has expired")

    def test_waits_again_while_the_first_restart_is_due(self) -> None:
        """A due restart does not end the pause of a child that has moved to another restart."""
        self.assertEqual(self.count_restart(self.a), 1)
        self.add([self.a, self.b], {self.a, self.b}, 1.0)
        self.pending.discard(self.a)
        self.add([self.a], {self.a}, 100.0)
        self.clock.pump([1.0, 99.0])
        self.assertEqual(self.count_restart(self.a), 2)
