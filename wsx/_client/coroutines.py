"""Run coroutine callbacks, beside asyncio if its event loop runs, and measure each step.

Most callbacks never wait. Their only step is a call of ``coroutine.send``, without a Deferred. The
others continue as a Deferred, whatever they wait for: a Deferred, or an asyncio future.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from inspect import iscoroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, fail

from wsx._client.asyncio_task import CallbackTask

__all__ = ["Watcher", "as_coroutine", "is_awaitable", "run_coroutine"]

# The texts of RuntimeErrors with which asyncio, aiohttp and anyio report that no event loop runs.
_NO_LOOP: Final = (
    "no running event loop",
    "no current event loop",
    "should be used inside a task",
    "unknown async library",
)


def is_awaitable(result: object) -> bool:
    """Return whether a result is a Deferred, a coroutine or another object that can be awaited."""
    return hasattr(type(result), "__await__")


def as_coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that awaits an object, or the object itself if it is a coroutine."""
    return awaitable if iscoroutine(awaitable) else _await(awaitable)


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class Watcher(Protocol):
    """Measures how long the steps of callbacks block the reactor."""

    @property
    def monotonic(self) -> Callable[[], float]:
        """Returns the monotonic time in seconds."""

    def check_blocked_since(self, began: float, callback: str) -> None:
        """Report a callback if it has blocked the reactor since a monotonic time in seconds."""


def run_coroutine(coroutine: Coroutine[Any, Any, Any], watcher: Watcher, name: str) -> Any:
    """Run a coroutine up to its first await. Most callbacks never wait, and need no Deferred.

    Args:
        coroutine: The coroutine.
        watcher: Told about each later step.
        name: The name of the callback, for messages.

    Returns:
        The result of the coroutine, or a Deferred of it if the coroutine waits. Cancelling the
        Deferred cancels what the coroutine waits for. The result may be another awaitable; that of
        the Deferred has been awaited.

    Raises:
        BaseException: Whatever the first step raises. A RuntimeError explains what to do if the
            coroutine needs asyncio's event loop, which does not run.
    """
    context = copy_context()
    loop = _get_running_loop()
    task = outer = None
    if loop is not None:
        task = CallbackTask(loop, coroutine)
        outer = task.enter()
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as stop:
        return stop.value
    except (RuntimeError, asyncio.CancelledError) as error:
        if (translated := _translate(error, name, task)) is error:
            raise
        raise translated from error
    finally:
        if task is not None:
            task.leave(outer)
    steps = _later_steps(coroutine, awaited, watcher, name, task)
    return context.run(Deferred.fromCoroutine, steps)


def _later_steps(
    coroutine: Coroutine[Any, Any, Any],
    awaited: Any,
    watcher: Watcher,
    name: str,
    task: CallbackTask | None,
) -> Generator[Any, Any, Any]:
    """Continue a coroutine, measure each step, and return its result."""
    while True:
        step = yield from _wait(coroutine, awaited, name, task)
        began = watcher.monotonic()
        outer = None if task is None else task.enter()
        try:
            awaited = step()
        except StopIteration as stop:
            result = stop.value
            break
        except (RuntimeError, asyncio.CancelledError) as error:
            if (translated := _translate(error, name, task)) is error:
                raise
            raise translated from error
        finally:
            if task is not None:
                task.leave(outer)
            watcher.check_blocked_since(began, name)
    while is_awaitable(result):
        if isinstance(result, Deferred):
            result = yield result
        else:
            result = run_coroutine(as_coroutine(result), watcher, name)
    return result


def _wait(
    coroutine: Coroutine[Any, Any, Any], awaited: Any, name: str, task: CallbackTask | None
) -> Generator[Any, Any, Callable[[], Any]]:
    """Wait for what a coroutine awaits, and return its next step."""
    if task is not None:
        waiting = task.wait_for(awaited)
    else:
        waiting = awaited if isinstance(awaited, Deferred) else fail(_needs_asyncio(name))
    try:
        step = partial(coroutine.send, (yield waiting))
    except BaseException as error:  # Also GeneratorExit, which closes the coroutine.
        step = partial(coroutine.throw, error)
    cancelled = None if task is None else task.resumed()
    return step if cancelled is None else partial(coroutine.throw, cancelled)


def _translate(
    error: RuntimeError | asyncio.CancelledError, name: str, task: CallbackTask | None
) -> BaseException:
    """Return the exception of a callback as the client reports it.

    Args:
        error: An exception that the callback has raised.
        name: The name of the callback.
        task: The task of the callback, or None if asyncio's event loop does not run.
    """
    if isinstance(error, asyncio.CancelledError):
        return CancelledError(*error.args)
    if task is None and any(text in str(error) for text in _NO_LOOP):
        return _needs_asyncio(name)
    return error


def _needs_asyncio(name: str) -> RuntimeError:
    return RuntimeError(
        f"{name} awaits asyncio code, but Twisted's asyncio reactor does not run. Await a Deferred "
        "instead (of treq for HTTP, of deferLater for a delay, of deferToThread for blocking "
        "code), or run the asyncio reactor: twistd --reactor asyncio, or asyncioreactor.install() "
        "before the reactor is imported"
    )
