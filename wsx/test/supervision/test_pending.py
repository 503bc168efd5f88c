"""Tests of wsx._supervision.pending: restarts that wait for a delay."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._supervision.child import Child
from wsx._supervision.intensity import Intensity
from wsx._supervision.pending import PendingRestart, PendingRestarts
from wsx.test.support.children import make_child


class PendingCase(SynchronousTestCase):
    """Three children, and the restarts that were due."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.intensity = Intensity(99, 5.0)
        self.due: list[PendingRestart] = []
        self.pending = PendingRestarts(self.intensity, self.due.append)
        self.a, self.b, self.c = (make_child(id) for id in "abc")

    def add(self, children: list[Child], causes: set[Child], delay: float) -> None:
        """Let children wait."""
        self.pending.add(children, causes, delay, self.clock)

    def finish(self) -> list[Child]:
        """End the only restart that is due; return its children."""
        (restart,) = self.due
        self.due.clear()
        return self.pending.finish(restart)

    def recent(self, child: Child) -> int:
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
        """A restart without a delay is due in a later step, not at once."""
        self.add([self.a], {self.a}, 0.0)
        self.assertEqual(self.due, [])
        self.clock.advance(0.0)
        self.assertEqual(self.finish(), [self.a])

    def test_together(self) -> None:
        """Children of one restart are due together, in their order."""
        self.add([self.c, self.a], {self.a}, 3.0)
        self.clock.advance(3.0)
        self.assertEqual(self.finish(), [self.c, self.a])

    def test_separate(self) -> None:
        """Each restart has a delay of its own."""
        self.add([self.a], {self.a}, 3.0)
        self.add([self.b], {self.b}, 1.0)
        self.clock.advance(1.0)
        self.assertEqual(self.finish(), [self.b])
        self.clock.advance(2.0)
        self.assertEqual(self.finish(), [self.a])

    def test_waits_until_finished(self) -> None:
        """Children of a restart that is due wait until it is finished."""
        self.add([self.a], {self.a}, 1.0)
        self.clock.advance(1.0)
        self.assertIn(self.a, self.pending)
        self.finish()
        self.assertNotIn(self.a, self.pending)

    def test_add_again(self) -> None:
        """A child that is added again waits for the new delay only."""
        self.add([self.a, self.b], {self.a}, 1.0)
        self.add([self.a], {self.a}, 3.0)
        self.clock.advance(1.0)
        self.assertEqual(self.finish(), [self.b])
        self.clock.advance(2.0)
        self.assertEqual(self.finish(), [self.a])


class DiscardTests(PendingCase):
    """Children that wait no longer."""

    def test_one(self) -> None:
        """The others of the restart still wait."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.pending.discard(self.a)
        self.assertNotIn(self.a, self.pending)
        self.clock.advance(3.0)
        self.assertEqual(self.finish(), [self.b])

    def test_last(self) -> None:
        """Without children, a restart is never due, and leaves no timer."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.pending.discard(self.a)
        self.pending.discard(self.b)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_waiting(self) -> None:
        """Discarding a child that does not wait does nothing."""
        self.add([self.a], {self.a}, 3.0)
        self.pending.discard(self.b)
        self.clock.advance(3.0)
        self.assertEqual(self.finish(), [self.a])

    def test_when_due(self) -> None:
        """A child that is discarded after the restart was due is not started."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.clock.advance(3.0)
        self.pending.discard(self.a)
        self.assertEqual(self.finish(), [self.b])

    def test_clear(self) -> None:
        """After ``clear`` no child waits and no timer is left, whether due or not."""
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
        """It returns the causes and the longest time left, and the children wait no longer."""
        self.add([self.a], {self.a}, 3.0)
        self.add([self.b, self.c], {self.b}, 5.0)
        self.clock.advance(1.0)
        self.assertEqual(self.pending.take([self.a, self.b, self.c]), ({self.a, self.b}, 4.0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn(self.c, self.pending)

    def test_take_nothing(self) -> None:
        """If none of the children waits, there are no causes and no time is left."""
        self.add([self.a], {self.a}, 3.0)
        self.assertEqual(self.pending.take([self.b]), (set(), 0.0))
        self.assertIn(self.a, self.pending)

    def test_take_what_is_due(self) -> None:
        """A restart that is due has no time left, and starts none of the children taken."""
        self.add([self.a, self.b], {self.a}, 3.0)
        self.clock.advance(3.0)
        self.assertEqual(self.pending.take([self.b]), ({self.a}, 0.0))
        self.assertEqual(self.finish(), [self.a])


class ClockTests(PendingCase):
    """The time that a cause waits does not count in the restart intensity."""

    def test_wait(self) -> None:
        """The time of the wait does not count, neither of a long one."""
        self.assertEqual(self.recent(self.a), 1)
        self.add([self.a], {self.a}, 100.0)
        self.clock.advance(100.0)
        self.finish()
        self.assertEqual(self.recent(self.a), 2)

    def test_after_the_wait(self) -> None:
        """The time after the delay counts, also before the restart is finished."""
        self.assertEqual(self.recent(self.a), 1)
        self.add([self.a], {self.a}, 100.0)
        self.clock.advance(100.0)
        self.clock.advance(5.5)
        self.finish()
        self.assertEqual(self.recent(self.a), 1)

    def test_sibling(self) -> None:
        """For siblings, the time of the wait counts."""
        self.assertEqual(self.recent(self.b), 1)
        self.add([self.a, self.b], {self.a}, 100.0)
        self.clock.advance(100.0)
        self.finish()
        self.assertEqual(self.recent(self.b), 1)

    def test_discarded(self) -> None:
        """Of a wait that was cut short, only the time until then does not count."""
        self.assertEqual(self.recent(self.a), 1)
        self.add([self.a], {self.a}, 100.0)
        self.clock.advance(50.0)
        self.pending.discard(self.a)
        self.clock.advance(4.0)
        self.assertEqual(self.recent(self.a), 2)
        self.clock.advance(1.5)
        self.assertEqual(self.recent(self.a), 2, "the first is longer ago than 5 s now")

    def test_waits_again_while_the_first_restart_is_due(self) -> None:
        """A restart that is due does not end the pause of a child that waits for another one."""
        self.assertEqual(self.recent(self.a), 1)
        self.add([self.a, self.b], {self.a, self.b}, 1.0)
        self.pending.discard(self.a)
        self.add([self.a], {self.a}, 100.0)
        self.clock.pump([1.0, 99.0])
        self.assertEqual(self.recent(self.a), 2)
