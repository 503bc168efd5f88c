"""The result of a Deferred or a coroutine that has fired, in tests of any framework."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

__all__ = ["result_of"]

__tracebackhide__ = True  # pytest shows the line of the test instead.

T = TypeVar("T")


def result_of(awaitable: Deferred[T] | Coroutine[Any, Any, T]) -> T:
    """Return the result of a Deferred that has fired, or of a coroutine that does not wait.

    It does the same as ``successResultOf`` of trial's test cases, and works with pytest too.

    Args:
        awaitable: The Deferred or the coroutine.

    Raises:
        AssertionError: It has no result yet.
        BaseException: What it has failed with.
    """
    outcomes: list[Any] = []
    ensureDeferred(awaitable).addBoth(outcomes.append)
    if not outcomes:
        is_deferred = isinstance(awaitable, Deferred)
        what = f"{awaitable!r} has not fired" if is_deferred else f"{_name(awaitable)} still waits"
        raise AssertionError(f"{what}; send what it waits for, or advance the clock, first")
    outcome = outcomes[0]
    if isinstance(outcome, Failure):
        outcome.raiseException()
    return outcome  # type: ignore[no-any-return]


def _name(coroutine: object) -> str:
    return str(getattr(coroutine, "__qualname__", coroutine))
