"""Start the server and the clients as separate processes, each pinned to a core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from benchmarks.certificate import Certificate
from benchmarks.peers import Peer
from benchmarks.work import Numbers, Void, Work

_TIMEOUT = 600.0  # Seconds for one client; some open 8,000 TLS connections on a busy machine.


@dataclass(frozen=True)
class Cores:
    """The numbers of the cores for the client and the server; equal if there is only one."""

    client: int
    server: int

    @property
    def shared(self) -> bool:
        """Whether client and server run on the same core."""
        return self.client == self.server


def choose_cores() -> Cores:
    """Return the first two cores that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[min(1, len(usable) - 1)])


def start_pinned(core: int, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process that is pinned to a core before its first instruction."""
    pin = partial(os.sched_setaffinity, 0, {core})
    return subprocess.Popen(command, preexec_fn=pin, text=True, stdout=subprocess.PIPE, **options)


class Server:
    """A context manager that runs the benchmark server."""

    def __init__(self, core: int, certificate: Certificate) -> None:
        self._core = core
        self._certificate = certificate

    def __enter__(self) -> Server:
        option = f"--certificate={self._certificate.chain_and_key}"
        command = [sys.executable, "-m", "benchmarks.server", option]
        self._process = start_pinned(self._core, command)
        assert self._process.stdout is not None
        self._ports = json.loads(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server process, which shows whether it was the bottleneck."""
        clock = ~self._process.pid << 3 | 2  # As clock_getcpuclockid(3) computes it on Linux.
        return time.clock_gettime(clock)

    def url(self, work: Work) -> str:
        """Return the URL that serves a piece of work."""
        if work.tls:
            return f"wss://127.0.0.1:{self._ports['tls']}{work.target}"
        return f"ws://127.0.0.1:{self._ports['plain']}{work.target}"


@dataclass(frozen=True)
class Bench:
    """Run peers against a server.

    Attributes:
        cores: The cores of client and server.
        certificate: What the clients trust.
        server: The server.
        python: The interpreter of the clients, which decides which wsx they use. Default: the
            interpreter of this process.
    """

    cores: Cores
    certificate: Certificate
    server: Server
    python: str = sys.executable

    def run(self, peer: Peer, work: Work) -> Numbers:
        """Run a peer once and return its numbers.

        Raises:
            Void: The peer failed or did not do exactly the requested work.
        """
        module = f"benchmarks.peers.{peer.module}"
        arguments = ["-m", module, work.task, self.server.url(work), *work.arguments]
        if work.tls:
            arguments.append(f"--ca={self.certificate.ca}")
        before = self.server.cpu_seconds()
        arguments += peer.arguments
        numbers: Numbers = run_client(self.cores.client, arguments, peer, self.python)
        work.check(numbers)
        return {**numbers, "server_cpu_seconds": self.server.cpu_seconds() - before}


def run_client(
    core: int, arguments: Sequence[str], peer: Peer, python: str = sys.executable
) -> Any:
    """Run a process to its end and return the JSON that it printed.

    Raises:
        Void: The process failed or timed out.
    """
    environment = {name: value for name, value in os.environ.items() if name != "WSX_PURE"}
    process = start_pinned(
        core, [python, *arguments], env=environment | peer.environment, stderr=subprocess.PIPE
    )
    try:
        output, errors = process.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Void(f"timed out after {_TIMEOUT:g} s") from None
    if process.returncode:
        raise Void(_last_line(errors) or f"exit status {process.returncode}")
    return json.loads(output)


def _last_line(errors: str) -> str:
    lines = errors.strip().splitlines()
    return lines[-1].strip() if lines else ""
