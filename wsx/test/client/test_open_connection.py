"""Tests of pausing and resuming reading."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._client.open_connection import FRAMES_QUEUED, WRITE_BUFFER_FULL, OpenConnection
from wsx.test.support.each import each

CAUSES = (FRAMES_QUEUED, WRITE_BUFFER_FULL)


class FakeConnection:
    """Records pauses in a shared list."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def pause_reading(self) -> None:
        self._calls.append("pause_reading")

    def resume_reading(self) -> None:
        self._calls.append("resume_reading")


class FakeKeepalive:
    """Records pauses in a shared list."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def paused(self) -> None:
        self._calls.append("paused")

    def resumed(self) -> None:
        self._calls.append("resumed")


class ReadingTests(SynchronousTestCase):
    """Reading is paused while there is at least one cause."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        connection: Any = FakeConnection(self.calls)
        keepalive: Any = FakeKeepalive(self.calls)
        self.reading = OpenConnection(connection, keepalive)

    def take_calls(self) -> list[str]:
        """Return the calls since the last time."""
        calls = self.calls[:]
        self.calls.clear()
        return sorted(calls)

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
        """One cause pauses the connection and the keepalive, and its end resumes both."""
        self.reading.pause_reading(cause)
        self.assertEqual(self.reading.causes, cause)
        self.assertEqual(self.take_calls(), ["pause_reading", "paused"])
        self.reading.resume_reading(cause)
        self.assertEqual(self.reading.causes, 0)
        self.assertEqual(self.take_calls(), ["resume_reading", "resumed"])

    @each((FRAMES_QUEUED, WRITE_BUFFER_FULL))
    def test_twice(self, cause: int) -> None:
        """The same cause twice pauses once, and one ``resume`` removes it."""
        self.reading.pause_reading(cause)
        self.take_calls()
        self.reading.pause_reading(cause)
        self.assertEqual(self.take_calls(), [])
        self.reading.resume_reading(cause)
        self.assertEqual(self.take_calls(), ["resume_reading", "resumed"])

    @each(((FRAMES_QUEUED, WRITE_BUFFER_FULL), (WRITE_BUFFER_FULL, FRAMES_QUEUED)))
    def test_two_causes(self, first: int, second: int) -> None:
        """Reading is resumed after the last of two causes has ended, in either order."""
        self.reading.pause_reading(first)
        self.take_calls()
        self.reading.pause_reading(second)
        self.assertEqual(self.take_calls(), [])
        self.assertEqual(self.reading.causes, first | second)
        self.reading.resume_reading(first)
        self.assertEqual(self.take_calls(), [])
        self.assertEqual(self.reading.causes, second)
        self.reading.resume_reading(second)
        self.assertEqual(self.take_calls(), ["resume_reading", "resumed"])

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
