"""Tests of ``send_after``: messages that are delivered later."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.delayed import DelayedMessages


class Payload:
    """A message whose lifetime a test can observe."""


class DelayedCase(SynchronousTestCase):
    """Delayed messages with a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.delivered: list[Any] = []
        self.delayed = DelayedMessages(self.clock, self.delivered.append)


class DeliverTests(DelayedCase):
    """Delivery after a delay."""

    def test_after_the_delay(self) -> None:
        """A message is delivered once, after its delay and not before."""
        self.delayed.add(2.0, "x")
        self.clock.advance(1.875)
        self.assertEqual(self.delivered, [])
        self.clock.advance(0.125)
        self.assertEqual(self.delivered, ["x"])
        self.clock.advance(60)
        self.assertEqual(self.delivered, ["x"])

    def test_delay_of_0(self) -> None:
        """A message without a delay is delivered in the next reactor iteration."""
        self.delayed.add(0, "x")
        self.assertEqual(self.delivered, [])
        self.clock.advance(0)
        self.assertEqual(self.delivered, ["x"])

    def test_order(self) -> None:
        """Messages are delivered in the order of their times."""
        for delay, message in ((3, "c"), (1, "a"), (2, "b")):
            self.delayed.add(delay, message)
        self.clock.pump([1, 1, 1])
        self.assertEqual(self.delivered, ["a", "b", "c"])

    def test_timer(self) -> None:
        """The returned timer may be read, reset and cancelled."""
        call = self.delayed.add(2.0, "x")
        self.assertEqual(call.getTime(), 2.0)
        call.reset(5.0)
        self.clock.advance(4)
        self.assertEqual(self.delivered, [])
        self.clock.advance(1)
        self.assertEqual(self.delivered, ["x"])
        self.assertFalse(call.active())

    def test_cancelled_by_the_user(self) -> None:
        """A cancelled message is not delivered, and does not disturb the others."""
        call = self.delayed.add(1.0, "x")
        self.delayed.add(1.0, "y")
        call.cancel()
        self.clock.advance(1)
        self.assertEqual(self.delivered, ["y"])
        self.delayed.cancel()

    def test_added_during_delivery(self) -> None:
        """A message may be added while another one is delivered."""

        def deliver(number: int) -> None:
            self.delivered.append(number)
            if number < 3:
                delayed.add(1.0, number + 1)

        delayed = DelayedMessages(self.clock, deliver)
        delayed.add(1.0, 1)
        self.clock.pump([1, 1, 1, 1])
        self.assertEqual(self.delivered, [1, 2, 3])


class CancelTests(DelayedCase):
    """``cancel`` drops all messages."""

    def test_all_are_dropped(self) -> None:
        """No pending message is forgotten, however many there are."""
        calls = [self.delayed.add(60, number) for number in range(300)]
        self.delayed.cancel()
        self.assertEqual([call for call in calls if call.active()], [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(60)
        self.assertEqual(self.delivered, [])

    def test_with_cancelled_ones_between(self) -> None:
        """No pending message is forgotten if others were cancelled or delivered meanwhile."""
        for number in range(300):
            self.delayed.add(60, number)
            self.delayed.add(60, "cancelled").cancel()
            self.delayed.add(0, "delivered")
            self.clock.advance(0)
        self.assertEqual(self.delivered, ["delivered"] * 300)
        self.delayed.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """A second ``cancel`` does nothing."""
        self.delayed.add(1, "x")
        self.delayed.cancel()
        self.delayed.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MemoryTests(DelayedCase):
    """What is kept in memory."""

    def alive(self, references: list[weakref.ref[Any]]) -> int:
        """Return how many of the objects are still in memory."""
        gc.collect()
        return sum(reference() is not None for reference in references)

    def test_cancelled_ones_are_forgotten(self) -> None:
        """Cancelled calls do not accumulate, although nothing reports a cancellation."""
        references = []
        for _ in range(1000):
            call = self.delayed.add(60, "x")
            call.cancel()
            references.append(weakref.ref(call))
        del call
        self.assertLess(self.alive(references), 200)

    def test_delivered_ones_are_forgotten(self) -> None:
        """Delivered calls and their messages are not kept."""
        references: list[weakref.ref[Any]] = []
        for _ in range(100):
            message = Payload()
            references += [weakref.ref(self.delayed.add(0, message)), weakref.ref(message)]
        del message
        self.clock.advance(0)
        self.assertEqual(len(self.delivered), 100)
        self.delivered.clear()
        self.assertEqual(self.alive(references), 0)
