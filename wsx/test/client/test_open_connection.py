"""Tests of pausing and resuming reading, and of the budget while replies wait."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._client.open_connection import FRAMES_QUEUED, WRITE_BUFFER_FULL, OpenConnection
from wsx.frames import Binary, Ping, Pong, Text
from wsx.test.support.delivery import make_batch
from wsx.test.support.each import each

PAUSE = {FRAMES_QUEUED: ["pause_reading", "paused"], WRITE_BUFFER_FULL: ["pause_reading"]}
RESUME = {FRAMES_QUEUED: ["resume_reading", "resumed"], WRITE_BUFFER_FULL: ["resume_reading"]}

MIN_BUDGET = 256 * 1024


class FakeConnection:
    """Records pauses in a shared list."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def pause_reading(self) -> None:
        self._calls.append("pause_reading")

    def resume_reading(self) -> None:
        self._calls.append("resume_reading")


class FakeKeepalive:
    """Records pauses in a shared list.

    Attributes:
        heard: Whether the server counts as alive.
    """

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self.heard = False

    def paused(self) -> None:
        self._calls.append("paused")

    def resumed(self) -> None:
        self._calls.append("resumed")


class ReadingCase(SynchronousTestCase):
    """An open connection whose calls are recorded."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        connection: Any = FakeConnection(self.calls)
        self.keepalive = FakeKeepalive(self.calls)
        keepalive: Any = self.keepalive
        self.reading = OpenConnection(connection, keepalive)

    def take_calls(self) -> list[str]:
        """Return the calls since the last time."""
        calls = self.calls[:]
        self.calls.clear()
        return sorted(calls)


class ReadingTests(ReadingCase):
    """Reading is paused while there is at least one cause."""

    def test_at_first(self) -> None:
        """At first there are no causes, and nothing is called."""
        self.assertEqual(self.reading.causes, 0)
        self.assertEqual(self.calls, [])

    def test_causes_are_distinct(self) -> None:
        """The causes are different bits."""
        self.assertEqual(FRAMES_QUEUED & WRITE_BUFFER_FULL, 0)
        self.assertTrue(FRAMES_QUEUED and WRITE_BUFFER_FULL)

    @each((FRAMES_QUEUED, WRITE_BUFFER_FULL))
    def test_one_cause(self, cause: int) -> None:
        """One cause pauses reading, and its end resumes it.

        Only queued frames pause the keepalive as well.
        """
        self.reading.pause_reading(cause)
        self.assertEqual(self.reading.causes, cause)
        self.assertEqual(self.take_calls(), PAUSE[cause])
        self.reading.resume_reading(cause)
        self.assertEqual(self.reading.causes, 0)
        self.assertEqual(self.take_calls(), RESUME[cause])

    @each((FRAMES_QUEUED, WRITE_BUFFER_FULL))
    def test_twice(self, cause: int) -> None:
        """The same cause twice pauses once, and one ``resume`` removes it."""
        self.reading.pause_reading(cause)
        self.take_calls()
        self.reading.pause_reading(cause)
        self.assertEqual(self.take_calls(), [])
        self.reading.resume_reading(cause)
        self.assertEqual(self.take_calls(), RESUME[cause])
        self.reading.resume_reading(cause)
        self.assertEqual(self.take_calls(), [])

    @each(((FRAMES_QUEUED, WRITE_BUFFER_FULL), (WRITE_BUFFER_FULL, FRAMES_QUEUED)))
    def test_two_causes(self, first: int, second: int) -> None:
        """Reading is resumed after the last of two causes has ended, in either order.

        The keepalive is paused exactly while frames are queued.
        """
        expected = {FRAMES_QUEUED: (["paused"], ["resumed"]), WRITE_BUFFER_FULL: ([], [])}
        self.reading.pause_reading(first)
        self.assertEqual(self.take_calls(), PAUSE[first])
        self.reading.pause_reading(second)
        self.assertEqual(self.take_calls(), expected[second][0])
        self.assertEqual(self.reading.causes, first | second)
        self.reading.resume_reading(first)
        self.assertEqual(self.take_calls(), expected[first][1])
        self.assertEqual(self.reading.causes, second)
        self.reading.resume_reading(second)
        self.assertEqual(self.take_calls(), RESUME[second])

    @each(((FRAMES_QUEUED, WRITE_BUFFER_FULL), (WRITE_BUFFER_FULL, FRAMES_QUEUED)))
    def test_resume_for_another_cause(self, cause: int, other: int) -> None:
        """``resume`` for a cause that does not exist changes nothing."""
        self.reading.resume_reading(other)
        self.reading.pause_reading(cause)
        self.take_calls()
        self.reading.resume_reading(other)
        self.assertEqual(self.reading.causes, cause)
        self.assertEqual(self.take_calls(), [])

    def test_again(self) -> None:
        """Reading can be paused again after it was resumed."""
        for _ in range(3):
            self.reading.pause_reading(FRAMES_QUEUED)
            self.assertEqual(self.take_calls(), ["pause_reading", "paused"])
            self.reading.resume_reading(FRAMES_QUEUED)
            self.assertEqual(self.take_calls(), ["resume_reading", "resumed"])


class BudgetTests(ReadingCase):
    """How much is read while replies wait for a full write buffer."""

    def read(self, size: int) -> list[str]:
        """Read a frame that costs ``size`` bytes, and return the calls."""
        self.reading.spend_budget(make_batch(Binary(bytes(size - 2))))
        return self.take_calls()

    def test_at_first(self) -> None:
        """At first no replies wait, so there is no budget."""
        self.assertIsNone(self.reading.budget)

    def test_spent(self) -> None:
        """Reading goes on up to 256 KiB and the size of the replies, and is then paused."""
        self.reading.limit_reading(1000)
        self.assertEqual(self.take_calls(), [])
        self.assertEqual(self.read(MIN_BUDGET), [])
        self.assertEqual(self.read(999), [])
        self.assertEqual(self.reading.causes, 0)
        self.assertEqual(self.read(2), ["pause_reading"])
        self.assertEqual(self.reading.causes, WRITE_BUFFER_FULL)

    def test_exactly_spent(self) -> None:
        """Reading is paused when the last byte of the budget is spent."""
        self.reading.limit_reading(1000)
        self.assertEqual(self.read(MIN_BUDGET + 1000), ["pause_reading"])

    def test_one_big_read(self) -> None:
        """One read may exceed the budget; reading is paused after it."""
        self.reading.limit_reading(1)
        self.assertEqual(self.read(10 * MIN_BUDGET), ["pause_reading"])
        self.assertEqual(self.read(10), [])

    def test_cost(self) -> None:
        """Every frame costs its payload and two bytes, so empty frames cost something, too."""
        self.reading.limit_reading(10)
        self.reading.spend_budget(make_batch(Text("abc"), Ping(b""), Pong(b"x"), Binary(b"12")))
        self.assertEqual(self.reading.budget, MIN_BUDGET + 10 - (5 + 2 + 3 + 4))

    def test_more_replies(self) -> None:
        """Further replies that wait extend the budget by their size."""
        self.reading.limit_reading(1000)
        self.read(500)
        self.reading.limit_reading(300)
        self.assertEqual(self.reading.budget, MIN_BUDGET + 1000 - 500 + 300)

    def test_end(self) -> None:
        """After ``end_limit`` reading is resumed and unlimited, and the server is alive."""
        self.reading.limit_reading(1)
        self.read(10 * MIN_BUDGET)
        self.reading.end_limit()
        self.assertEqual(self.take_calls(), ["resume_reading"])
        self.assertEqual(self.reading.causes, 0)
        self.assertIsNone(self.reading.budget)
        self.assertTrue(self.keepalive.heard)

    def test_end_before_it_is_spent(self) -> None:
        """``end_limit`` resumes nothing if the budget was not spent."""
        self.reading.limit_reading(1)
        self.read(100)
        self.reading.end_limit()
        self.assertEqual(self.take_calls(), [])
        self.assertIsNone(self.reading.budget)

    def test_end_while_frames_are_queued(self) -> None:
        """``end_limit`` does not resume reading while frames are queued."""
        self.reading.limit_reading(1)
        self.read(10 * MIN_BUDGET)
        self.reading.pause_reading(FRAMES_QUEUED)
        self.take_calls()
        self.reading.end_limit()
        self.assertEqual(self.take_calls(), [])
        self.assertEqual(self.reading.causes, FRAMES_QUEUED)

    def test_again(self) -> None:
        """The next time the budget is new."""
        self.reading.limit_reading(5000)
        self.read(100)
        self.reading.end_limit()
        self.reading.limit_reading(7)
        self.assertEqual(self.reading.budget, MIN_BUDGET + 7)
