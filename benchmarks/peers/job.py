"""What all peers share: the arguments of their processes, counting, and the line of results."""

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
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.work import Numbers

LARGEST = 64 * 1024 * 1024  # the limit of a message's size, where a library has one
IN_FLIGHT = 50  # connections being made at a time
WARM_UP = 20  # connections that pay for what is only made once in a process


@dataclass(frozen=True)
class Job:
    """The arguments of a peer's process; see :class:`benchmarks.work.Work`."""

    task: str
    url: str
    count: int
    size: int
    burst: int
    repeat: int
    ca: str | None
    uvloop: bool

    @property
    def text(self) -> str:
        """A message to send."""
        return "x" * self.size


def parse_job(arguments: Sequence[str] | None = None) -> Job:
    """Reads the command line, and allows the process as many connections as can be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("url")
    for name in ("count", "size", "burst", "repeat"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--ca", help="a PEM file to verify the server with")
    parser.add_argument("--uvloop", action="store_true")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return Job(**vars(parser.parse_args(arguments)))


def report(numbers: Numbers) -> None:
    """Prints the one line, and ends the process at once: closing thousands would take time."""
    print(json.dumps(numbers), flush=True)
    sys.stderr.flush()
    os._exit(0)


class Tally:
    """Counts messages that arrive, and takes the time of the last one that was asked for.

    To be inherited. Who receives a message does these lines itself, because a call would cost as
    much as what is measured::

        self.characters += len(text)
        self.left -= 1
        if not self.left:
            self.finish()

    A message too many makes ``left`` negative, and the run void.
    """

    left = 0
    characters = 0
    opened = 0.0
    started = 0.0
    finished = 0.0

    def begin(self, job: Job) -> None:
        """Starts the time."""
        self.left = self._count = job.count
        self.started = perf_counter()

    def open(self) -> None:
        """The connection is there."""
        self.opened = perf_counter()

    def finish(self) -> None:
        """The last message that was asked for is there."""
        self.finished = perf_counter()

    def numbers(self) -> Numbers:
        """Gives what was counted; seconds to the connection and to the last message."""
        return {
            "seconds": self.finished - self.started,
            "opening": self.opened - self.started,
            "messages": self._count - self.left,
            "characters": self.characters,
        }


class Fan:
    """Counts over many connections: bursts on all of them, each asked for when all had the last.

    The time is the process's own, so that waiting for the server does not matter: with few
    connections, there is more of it. It begins after the first burst, in which each connection
    makes what it will keep.
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
        """Says whether there is one more to be asked for; to be called when ``left`` is 0."""
        if self.characters and not self._started:
            self._started = process_time()
        if not self._bursts:
            self.seconds = process_time() - self._started
            return False
        self._bursts -= 1
        self.left = self._per_burst
        return True

    def numbers(self) -> Numbers:
        """Gives what was counted."""
        return {
            "cpu_seconds": self.seconds,
            "timed_messages": self._messages - self._per_burst,
            "messages": self._messages - self.left,
            "characters": self.characters,
        }


def sent_numbers(started: float, finished: float, receipt: str) -> Numbers:
    """Gives the numbers of the send task; the receipt is the server's count of bytes."""
    return {"seconds": finished - started, "server_bytes": int(receipt)}


def shares(count: int) -> list[int]:
    """Divides connections among those who make one after another."""
    whole, rest = divmod(count, IN_FLIGHT)
    return [whole + 1] * rest + [whole] * (IN_FLIGHT - rest)


def open_connections() -> int:
    """Counts them as the kernel knows them, whatever a library believes."""
    return sum(map(_is_tcp, map(int, os.listdir("/proc/self/fd"))))


def _is_tcp(descriptor: int) -> bool:
    try:
        known = socket.socket(fileno=descriptor)
    except OSError:  # something else, or the descriptor of the folder itself
        return False
    known.detach()
    return known.family == socket.AF_INET


def connected_numbers(started: float) -> Numbers:
    """Gives the numbers of the connects task."""
    return {"seconds": perf_counter() - started, "connections": open_connections()}


class MemoryMeter:
    """Compares the process's memory before and after opening connections."""

    def __init__(self) -> None:
        self._connections = open_connections()
        self._before = private_kib()

    def numbers(self) -> Numbers:
        """Gives the numbers of the memory task."""
        after, connections = private_kib(), open_connections() - self._connections
        return {
            "kib": (after - self._before) / connections,
            "kib_before": self._before,
            "kib_after": after,
            "connections": connections,
        }


def private_kib() -> int:
    """Says how much memory is this process's alone, after a garbage collection."""
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE))
