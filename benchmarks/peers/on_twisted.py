"""What the peers on Twisted share: the reactor, the log, TLS, and opening many connections.

Nothing here, and nothing of a peer's module, may import the reactor before :func:`run` chose one.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import SplitResult, urlsplit

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IPushProducer
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from benchmarks.peers.job import (
    WARM_UP,
    Job,
    MemoryMeter,
    connected_numbers,
    parse_job,
    report,
    shares,
)
from benchmarks.work import Numbers

Task = Callable[[Any, Job], Awaitable[Numbers]]
Connect = Callable[[Any, Job], Awaitable[Any]]


def run(connect: Connect, **tasks: Task) -> None:
    """Does the task of the command line; as :func:`benchmarks.peers.on_asyncio.run`.

    Tasks are given the reactor too.
    """
    job = parse_job()
    if job.uvloop:
        _install_uvloop()
    _begin_logging()

    async def work(reactor: Any) -> None:
        if job.task == "connects":
            report(await _connects(connect, reactor, job))
        elif job.task == "memory":
            report(await _memory(connect, reactor, job))
        else:
            report(await tasks[job.task](reactor, job))

    react(lambda reactor: Deferred.fromCoroutine(work(reactor)))


def trust_root(job: Job) -> Any:
    """Gives what the server is verified with."""
    from OpenSSL.crypto import FILETYPE_PEM, load_certificate
    from twisted.internet.ssl import Certificate

    assert job.ca is not None
    loaded = load_certificate(FILETYPE_PEM, Path(job.ca).read_bytes())
    return trustRootFromCertificates([Certificate(loaded)])


def endpoint(reactor: Any, job: Job) -> Any:
    """Gives a plain or a TLS endpoint for the job's URL."""
    parts = address(job)
    host, port = parts.hostname or "", parts.port or 0
    tcp = TCP4ClientEndpoint(reactor, host, port)
    if parts.scheme == "ws":
        return tcp
    return wrapClientTLS(optionsForClientTLS(host, trust_root(job)), tcp)


def address(job: Job) -> SplitResult:
    """Splits the job's URL."""
    return urlsplit(job.url)


@implementer(IPushProducer)
class Gate:
    """A producer that says when the transport has room; for libraries that do not wait themselves.

    Attributes:
        opening: waits for room; None where there is some.
    """

    def __init__(self) -> None:
        self.opening: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """Too much waits to be written."""
        if self.opening is None:
            self.opening = Deferred()

    def resumeProducing(self) -> None:
        """There is room again."""
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.callback(None)

    def stopProducing(self) -> None:
        """The connection ended."""
        if self.opening is not None:
            self.opening.errback(Failure(ConnectionError("the connection ended")))


async def open_many(connect: Connect, reactor: Any, job: Job, count: int) -> list[Any]:
    """Opens connections, not too many at a time; they stay open as long as the list is held."""

    async def some(share: int) -> list[Any]:
        return [await connect(reactor, job) for _ in range(share)]

    opened = await gatherResults([Deferred.fromCoroutine(some(share)) for share in shares(count)])
    return [connection for share in opened for connection in share]


async def _connects(connect: Connect, reactor: Any, job: Job) -> Numbers:
    started = perf_counter()
    held = await open_many(connect, reactor, job, job.count)
    numbers = connected_numbers(started)
    del held
    return numbers


async def _memory(connect: Connect, reactor: Any, job: Job) -> Numbers:
    held = await open_many(connect, reactor, job, WARM_UP)
    meter = MemoryMeter()
    held += await open_many(connect, reactor, job, job.count)
    return meter.numbers()


def _install_uvloop() -> None:
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())


def _begin_logging() -> None:
    """Warnings go to stderr; without a log that has begun, Twisted would keep all events."""
    warnings = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [warnings])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
