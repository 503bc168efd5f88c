"""Code that all peers share: command-line arguments, counters and the line of results."""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import resource
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.work import Numbers

LARGEST = 64 * 1024 * 1024  # The limit on the message size, for libraries that have one.
IN_FLIGHT = 50  # The number of connections that are opened at a time.
WARM_UP = 20  # Connections opened before a measurement of memory.


@dataclass(frozen=True)
class Job:
    """The arguments of a peer's process; see :class:`benchmarks.work.Work`."""

    task: str
    url: str
    count: int
    size: int
    burst: int
    repeat: int
    connections: int
    ca: str | None
    uvloop: bool
    aiofastnet: bool
    returns_state: bool

    @property
    def text(self) -> str:
        """A message to send."""
        return "x" * self.size

    def measuring(self) -> Job:
        """Return the job with the URL that starts a measurement of the task "latency"."""
        return replace(self, url=self.url.replace("/latency?", "/measure?"))


def parse_job(arguments: Sequence[str] | None = None) -> Job:
    """Parse the command line and raise the limit on open files as far as allowed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("url")
    for name in ("count", "size", "burst", "repeat", "connections"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--ca", help="PEM file with the CA certificate of the server")
    for name in ("uvloop", "aiofastnet", "returns-state"):
        parser.add_argument(f"--{name}", action="store_true")
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return Job(**vars(parser.parse_args(arguments)))


def collect_garbage() -> None:
    """Collect what the imports left; call this when everything is imported, before the work.

    Otherwise a full collection, which takes 20 ms, becomes due within the measured time or not,
    depending on a few allocations before it.
    """
    gc.collect()


def report(numbers: Numbers) -> None:
    """Print the numbers as one line of JSON and exit.

    The process exits at once, because closing thousands of connections takes time.
    """
    print(json.dumps(numbers), flush=True)
    sys.stderr.flush()
    os._exit(0)


class Stopwatch:
    """Measure the time, and the CPU time of this process, since it was created.

    Attributes:
        started: When it was created, from ``perf_counter``.
    """

    def __init__(self) -> None:
        self.started = perf_counter()
        self._cpu_started = process_time()

    def numbers(self) -> Numbers:
        """Return the seconds and the seconds of CPU time until now."""
        return {
            "seconds": perf_counter() - self.started,
            "cpu_seconds": process_time() - self._cpu_started,
        }


class Tally:
    """Base class that counts received messages and notes the time of the last requested one.

    Subclasses contain these lines themselves, because a call would cost as much as the code that
    is measured::

        self.characters += len(text)
        self.left -= 1
        if not self.left:
            self.finish()

    An unexpected additional message makes ``left`` negative, and the run void.
    """

    left = 0
    characters = 0
    watch: Stopwatch
    opened = 0.0

    def begin(self, job: Job, watch: Stopwatch | None = None) -> None:
        """Start to count, and to measure the time unless ``watch`` does so already."""
        self.left = self._count = job.count
        self.watch = watch or Stopwatch()
        self._times: Numbers = {}

    def restart(self) -> None:
        """Start to measure the time only now, when the connection has opened."""
        self.watch = Stopwatch()
        self.opened = self.watch.started

    def open(self) -> None:
        """Note the time at which the connection opened."""
        self.opened = perf_counter()

    def finish(self) -> None:
        """Note the times at which the last requested message arrived."""
        self._times = self.watch.numbers()

    def numbers(self) -> Numbers:
        """Return the counts, and the times until the connection opened and the last message."""
        return {
            **self._times,
            "opening": self.opened - self.watch.started,
            "messages": self._count - self.left,
            "characters": self.characters,
        }


class Fan:
    """Count the messages on many connections that receive bursts.

    The next burst is requested when all connections have received the last one. The time is CPU
    time, so it does not include waiting for the server, which takes a larger part of the time
    with few connections. It starts after the first burst, in which each connection allocates what
    it keeps.
    """

    def __init__(self, job: Job) -> None:
        self._per_burst = job.count * job.burst
        self._bursts = job.repeat
        self._messages = self._per_burst * job.repeat
        self.left = 0
        self.characters = 0
        self._started = 0.0
        self.seconds = 0.0

    def next_burst(self) -> bool:
        """Return whether to request another burst; call this when ``left`` is 0."""
        if self.characters and not self._started:
            self._started = process_time()
        if not self._bursts:
            self.seconds = process_time() - self._started
            return False
        self._bursts -= 1
        self.left = self._per_burst
        return True

    def numbers(self) -> Numbers:
        """Return the counts and the CPU time."""
        return {
            "cpu_seconds": self.seconds,
            "timed_messages": self._messages - self._per_burst,
            "messages": self._messages - self.left,
            "characters": self.characters,
        }


def sent_numbers(watch: Stopwatch, receipt: str) -> Numbers:
    """Return the numbers of the tasks "send" and "burst"; call this when the receipt arrives.

    Args:
        watch: A stopwatch created before the first send.
        receipt: The message in which the server reports the number of bytes received.
    """
    return {**watch.numbers(), "server_bytes": int(receipt)}


def latency_numbers(watch: Stopwatch, receipt: str) -> Numbers:
    """Return the numbers of the task "latency"; call this when the receipt arrives.

    Args:
        watch: A stopwatch created before the measurement.
        receipt: The message in which the server reports the round trips.
    """
    latencies = json.loads(receipt)
    round_trips = sum(latencies["buckets"].values())
    return {**watch.numbers(), "round_trips": round_trips, "latencies": latencies}


def split_count(count: int) -> list[int]:
    """Divide a number of connections among ``IN_FLIGHT`` loops that open one at a time."""
    whole, rest = divmod(count, IN_FLIGHT)
    return [whole + 1] * rest + [whole] * (IN_FLIGHT - rest)


def open_connections() -> int:
    """Return the number of TCP connections of this process, as known to the kernel."""
    return sum(map(_is_tcp, map(int, os.listdir("/proc/self/fd"))))


def _is_tcp(descriptor: int) -> bool:
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:  # Not a socket, or the descriptor that listdir has closed.
        return False
    connection.detach()
    return connection.family == socket.AF_INET


def connected_numbers(watch: Stopwatch) -> Numbers:
    """Return the numbers of the task "connects"; call this when the last connection is open."""
    return {**watch.numbers(), "connections": open_connections()}


class MemoryMeter:
    """Compare the memory of the process before and after opening connections."""

    def __init__(self) -> None:
        self._connections = open_connections()
        self._before = private_kib()

    def numbers(self) -> Numbers:
        """Return the numbers of the task "memory"."""
        after, connections = private_kib(), open_connections() - self._connections
        return {
            "kib": (after - self._before) / connections,
            "kib_before": self._before,
            "kib_after": after,
            "connections": connections,
        }


def private_kib() -> int:
    """Return the private memory of this process in KiB, after a garbage collection."""
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE))
