"""wsx with its clients as children of a supervisor, to measure the memory of idle connections."""

from __future__ import annotations

from typing import Any

import wsx
from benchmarks.peers.job import Job
from benchmarks.peers.on_twisted import run
from benchmarks.peers.wsx import start

_supervisor = wsx.Supervisor([])
_ids = iter(range(10**9))


async def connect(reactor: Any, job: Job) -> Any:
    """Open a connection as a child of the supervisor."""
    if not _supervisor.running:
        _supervisor.startService()
    child = wsx.ChildSpec(next(_ids), lambda parent: start(job, wsx.Handler))
    return await _supervisor.start_child(child)


if __name__ == "__main__":
    run(connect)
