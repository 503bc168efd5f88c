"""Run coroutine callbacks, and measure each step between two awaits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ["run_coroutine"]


def run_coroutine(
    coroutine: Coroutine[Any, Any, Any],
    monotonic: Callable[[], float],
    resumed: Callable[[float], None],
) -> Any:
    """Run a coroutine up to its first await. Most callbacks never wait, and need no Deferred.

    Args:
        coroutine: The coroutine.
        monotonic: Returns the monotonic time in seconds.
        resumed: Called after each later step with the time at which the step began.

    Returns:
        The result of the coroutine, or a Deferred of it if the coroutine waits. Cancelling the
        Deferred cancels what the coroutine waits for.

    Raises:
        BaseException: Whatever the first step raises.
    """
    context = copy_context()
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as stop:
        return stop.value
    return context.run(Deferred.fromCoroutine, _later_steps(coroutine, awaited, monotonic, resumed))


def _later_steps(
    coroutine: Coroutine[Any, Any, Any],
    awaited: Any,
    monotonic: Callable[[], float],
    resumed: Callable[[float], None],
) -> Generator[Any, Any, Any]:
    """Continue a coroutine, measure each step, and return its result."""
    while True:
        try:
            step = partial(coroutine.send, (yield awaited))
        except BaseException as error:  # Also GeneratorExit, which closes the coroutine.
            step = partial(coroutine.throw, error)
        began = monotonic()
        try:
            awaited = step()
        except StopIteration as stop:
            return stop.value
        finally:
            resumed(began)
