"""Code that the blocking peers share: connections are opened one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.peers.job import (
    WARM_UP,
    Job,
    MemoryMeter,
    Stopwatch,
    collect_garbage,
    connected_numbers,
    parse_job,
    report,
)
from benchmarks.work import Numbers


def run(connect: Callable[[Job], Any], **tasks: Callable[[Job], Numbers]) -> None:
    """Run the task of the command line and report its numbers.

    This is :func:`benchmarks.peers.on_asyncio.run` for blocking code.
    """
    job = parse_job()
    collect_garbage()
    if job.task == "connects":
        report(_connects(connect, job))
    elif job.task == "memory":
        report(_memory(connect, job))
    else:
        report(tasks[job.task](job))


def _connects(connect: Callable[[Job], Any], job: Job) -> Numbers:
    """Open connections; threads would only compete for the GIL."""
    watch = Stopwatch()
    held = [connect(job) for _ in range(job.count)]
    numbers = connected_numbers(watch)
    del held
    return numbers


def _memory(connect: Callable[[Job], Any], job: Job) -> Numbers:
    held = [connect(job) for _ in range(WARM_UP)]
    meter = MemoryMeter()
    held += [connect(job) for _ in range(job.count)]
    return meter.numbers()
