"""Code that the peers on Twisted share: reactor, log, TLS, opening many connections.

Neither this module nor a peer's module may import the reactor before :func:`run` has chosen one.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
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
    Stopwatch,
    collect_garbage,
    connected_numbers,
    parse_job,
    report,
    split_count,
)
from benchmarks.work import Numbers

Task = Callable[[Any, Job], Awaitable[Numbers]]
Connect = Callable[[Any, Job], Awaitable[Any]]


def run(connect: Connect, **tasks: Task) -> None:
    """Run the task of the command line and report its numbers.

    This is :func:`benchmarks.peers.on_asyncio.run` for Twisted; the functions also receive the
    reactor.
    """
    job = parse_job()
    if job.uvloop:
        _install_uvloop()
    _begin_logging()

    async def work(reactor: Any) -> None:
        collect_garbage()
        if job.task == "connects":
            report(await _connects(connect, reactor, job))
        elif job.task == "memory":
            report(await _memory(connect, reactor, job))
        else:
            report(await tasks[job.task](reactor, job))

    react(lambda reactor: Deferred.fromCoroutine(work(reactor)))


@cache
def trust_root(ca: str) -> Any:
    """Return the trust root that verifies the server."""
    from OpenSSL.crypto import FILETYPE_PEM, load_certificate
    from twisted.internet.ssl import Certificate

    loaded = load_certificate(FILETYPE_PEM, Path(ca).read_bytes())
    return trustRootFromCertificates([Certificate(loaded)])


def endpoint(reactor: Any, job: Job) -> Any:
    """Return a TCP or TLS endpoint for the job's URL."""
    parts = split_url(job)
    host, port = parts.hostname or "", parts.port or 0
    tcp = TCP4ClientEndpoint(reactor, host, port)
    if parts.scheme == "ws":
        return tcp
    assert job.ca is not None
    return wrapClientTLS(_tls_options(host, job.ca), tcp)


@cache
def _tls_options(host: str, ca: str) -> Any:
    """Return the options with the context that all connections share."""
    return optionsForClientTLS(host, trust_root(ca))


def split_url(job: Job) -> SplitResult:
    """Return the parts of the job's URL."""
    return urlsplit(job.url)


@implementer(IPushProducer)
class WriteBufferWatcher:
    """A producer that watches the write buffer, for libraries that do not apply backpressure.

    Attributes:
        drained: A Deferred that fires when the write buffer has drained, or None while it is
            below its high-water mark.
    """

    def __init__(self) -> None:
        self.drained: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """Note that the write buffer is above its high-water mark."""
        if self.drained is None:
            self.drained = Deferred()

    def resumeProducing(self) -> None:
        """Fire ``drained``."""
        drained, self.drained = self.drained, None
        if drained is not None:
            drained.callback(None)

    def stopProducing(self) -> None:
        """Fail ``drained``, because the connection has ended."""
        if self.drained is not None:
            self.drained.errback(Failure(ConnectionError("the connection ended")))


async def open_many(connect: Connect, reactor: Any, job: Job, count: int) -> list[Any]:
    """Open connections, at most ``IN_FLIGHT`` at a time.

    Returns:
        The connections. They stay open as long as the list is referenced.
    """

    async def open_some(share: int) -> list[Any]:
        return [await connect(reactor, job) for _ in range(share)]

    opened = await gatherResults(
        [Deferred.fromCoroutine(open_some(share)) for share in split_count(count)]
    )
    return [connection for share in opened for connection in share]


async def _connects(connect: Connect, reactor: Any, job: Job) -> Numbers:
    watch = Stopwatch()
    held = await open_many(connect, reactor, job, job.count)
    numbers = connected_numbers(watch)
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
    """Log warnings to stderr; before logging begins, Twisted buffers all events."""
    warnings = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [warnings])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
