"""A running event loop of asyncio, as where Twisted's asyncio reactor runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from twisted.internet.task import Clock


def run_in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a new event loop, and return its result.

    Callbacks of clients that the coroutine drives find a running loop, as on the asyncio reactor.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def turn(clock: Clock | None = None, seconds: float = 0) -> None:
    """Run several iterations of the event loop, and of a clock."""
    if clock is not None:
        clock.advance(seconds)
    for _ in range(10):
        await asyncio.sleep(0)
        if clock is not None:
            clock.advance(0)
