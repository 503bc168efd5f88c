"""Code that the peers on asyncio share: event loop, TLS, opening many connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Any

from benchmarks.peers.job import (
    WARM_UP,
    Job,
    MemoryMeter,
    Stopwatch,
    collect_garbage,
    connected_numbers,
    latency_numbers,
    parse_job,
    report,
    split_count,
)
from benchmarks.work import Numbers

Task = Callable[[Job], Awaitable[Numbers]]
Connect = Callable[[Job], Awaitable[Any]]


def run(connect: Connect, **tasks: Task) -> None:
    """Run the task of the command line and report its numbers.

    Args:
        connect: Opens a connection and returns it.
        **tasks: The functions for all tasks except "connects" and "memory", by name.
    """
    job = parse_job()

    async def work() -> None:
        collect_garbage()
        if job.task == "connects":
            report(await _connects(connect, job))
        elif job.task == "memory":
            report(await _memory(connect, job))
        else:
            report(await tasks[job.task](job))

    with asyncio.Runner(loop_factory=_uvloop if job.uvloop else None) as runner:
        runner.run(work())


def tls_context(job: Job) -> ssl.SSLContext | None:
    """Return the context, shared by all connections, that verifies the server.

    Return None without TLS.
    """
    return _context(job.ca) if job.url.startswith("wss:") else None


@cache
def _context(ca: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


async def open_many(connect: Connect, job: Job, count: int) -> list[Any]:
    """Open connections, at most ``IN_FLIGHT`` at a time.

    Returns:
        The connections. They stay open as long as the list is referenced.
    """

    async def open_some(share: int) -> list[Any]:
        return [await connect(job) for _ in range(share)]

    opened = await asyncio.gather(*(open_some(share) for share in split_count(count)))
    return [connection for share in opened for connection in share]


async def measure_latency(
    connect: Connect,
    echo_endlessly: Callable[[Any], Coroutine[Any, Any, None]],
    receive: Callable[[Any], Awaitable[str]],
    job: Job,
) -> Numbers:
    """Send back messages on many connections, each of which has a task.

    Args:
        connect: Opens a connection.
        echo_endlessly: Sends back each message of a connection.
        receive: Receives one message of a connection.
        job: The job.
    """
    held = await open_many(connect, job, job.connections)
    tasks = [asyncio.create_task(echo_endlessly(connection)) for connection in held]
    watch = Stopwatch()
    measuring = await connect(job.measuring())
    receipt = await receive(measuring)
    numbers = latency_numbers(watch, receipt)
    del tasks  # It kept the tasks alive.
    return numbers


async def _connects(connect: Connect, job: Job) -> Numbers:
    watch = Stopwatch()
    held = await open_many(connect, job, job.count)
    numbers = connected_numbers(watch)
    del held
    return numbers


async def _memory(connect: Connect, job: Job) -> Numbers:
    held = await open_many(connect, job, WARM_UP)
    meter = MemoryMeter()
    held += await open_many(connect, job, job.count)
    return meter.numbers()


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
