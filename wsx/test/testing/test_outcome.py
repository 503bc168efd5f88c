"""Tests of the results of Deferreds and coroutines."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from wsx.test.support.kit import KitCase
from wsx.testing import result_of


class ResultTests(KitCase):
    """``result_of``."""

    def test_result(self) -> None:
        """The result of a Deferred or a coroutine is returned."""

        async def double(number: int) -> int:
            return 2 * await succeed(number)

        self.assertEqual(result_of(succeed(1)), 1)
        self.assertEqual(result_of(double(2)), 4)

    def test_failure(self) -> None:
        """An exception is raised, and is no unhandled error."""

        async def fails() -> None:
            raise KeyError("a")

        self.assertRaises(ValueError, result_of, fail(ValueError("b")))
        self.assertRaises(KeyError, result_of, fails())

    def test_no_result(self) -> None:
        """Without a result, the failure says what to do."""
        waiting: Deferred[Any] = Deferred()
        advice = "; send what it waits for, or advance the clock, first"
        self.assertIn(f"has not fired{advice}", self.failure_of(result_of, waiting))

        async def wait() -> None:
            await waiting

        text = self.failure_of(result_of, wait())
        self.assertIn(f"test_no_result.<locals>.wait still waits{advice}", text)
        waiting.callback(None)
