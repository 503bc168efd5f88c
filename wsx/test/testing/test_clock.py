"""Tests of the clock that the test advances."""

from __future__ import annotations

from wsx._scheduler import scheduler_for
from wsx.test.support.kit import KitCase
from wsx.testing.clock import TurnClock
from wsx.testing.server import MemoryServer


class TurnClockTests(KitCase):
    """One reactor iteration at a time."""

    def test_turn(self) -> None:
        """Calls that are added by a call wait for the next turn; a cancelled one does not run."""
        clock = TurnClock()
        ran: list[str] = []

        def first() -> None:
            ran.append("first")
            clock.callLater(0, ran.append, "added")
            cancelled.cancel()

        clock.callLater(0, first)
        cancelled = clock.callLater(0, ran.append, "cancelled")
        clock.callLater(1, ran.append, "later")
        clock.turn()
        self.assertEqual(ran, ["first"])
        clock.turn()
        self.assertEqual(ran, ["first", "added"])

    def test_order(self) -> None:
        """Calls run in the order of their times, also after a reset."""
        clock = TurnClock()
        ran: list[str] = []
        moved = clock.callLater(5, ran.append, "moved")
        clock.callLater(1, ran.append, "one")
        moved.reset(0.5)
        clock.rightNow = 2.0
        clock.turn()
        self.assertEqual(ran, ["moved", "one"])


class MemoryReactorTests(KitCase):
    """The reactor of a client under test."""

    def setUp(self) -> None:
        self.reactor = MemoryServer().reactor

    def test_advance(self) -> None:
        """Each call runs at its own time, and what it adds as well."""
        seen: list[float] = []

        def tick() -> None:
            seen.append(self.reactor.seconds())
            self.reactor.callLater(2, tick)

        self.reactor.callLater(1, tick)
        self.reactor.advance(6)
        self.assertEqual((seen, self.reactor.seconds()), ([1, 3, 5], 6))

    def test_errors(self) -> None:
        """An exception of a call is raised to the test, and the reactor works on."""
        ran: list[str] = []
        self.reactor.callLater(0, self.fail, "stop")
        self.reactor.callLater(0, ran.append, "next")
        self.assertEqual(self.failure_of(self.reactor.settle), "stop")
        self.reactor.settle()
        self.assertEqual(ran, ["next"])

    def test_advance_inside(self) -> None:
        """A call that settles the reactor does not run others inside itself."""
        ran: list[str] = []

        def outer() -> None:
            self.reactor.settle()
            ran.append("outer")

        self.reactor.callLater(0, outer)
        self.reactor.callLater(0, ran.append, "inner")
        self.reactor.settle()
        self.assertEqual(ran, ["outer", "inner"])

    def test_timers(self) -> None:
        """The timers are those of the client and its handler, not those of the network."""
        scheduler = scheduler_for(self.reactor)
        late = scheduler.callLater(2, print)
        own = self.reactor.callLater(1, print)
        self.reactor.later(0.5, print)
        self.assertEqual(self.reactor.timers(), [own, late])
        late.cancel()
        self.assertEqual(self.reactor.timers(), [own])
        self.assertEqual(self.reactor.next_at(), 0.5)
