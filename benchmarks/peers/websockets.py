"""The asyncio client of websockets, with the C extension that its wheels contain."""

from __future__ import annotations

import websockets.speedups  # noqa: F401  # Fail without the extension.
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_connection

from benchmarks.peers.job import LARGEST, Job, Stopwatch, Tally, sent_numbers
from benchmarks.peers.on_asyncio import measure_latency, run, tls_context
from benchmarks.work import Numbers


async def connect(job: Job) -> ClientConnection:
    """Open a connection."""
    return await open_connection(
        job.url,
        ssl=tls_context(job),
        compression=None,
        ping_interval=None,
        max_size=LARGEST,
        proxy=None,
    )


async def receive(job: Job) -> Numbers:
    """Receive a stream of messages."""
    tally = Tally()
    tally.begin(job)
    connection = await connect(job)
    tally.open()
    async for message in connection:
        tally.characters += len(message)
        tally.left -= 1
        if not tally.left:
            tally.finish()
    return tally.numbers()


async def echo(job: Job) -> Numbers:
    """Make round trips."""
    tally, text = Tally(), job.text
    connection = await connect(job)
    tally.begin(job)
    await connection.send(text)
    async for message in connection:
        tally.characters += len(message)
        tally.left -= 1
        if tally.left > 0:
            await connection.send(message)
        else:
            tally.finish()
    return tally.numbers()


async def send(job: Job) -> Numbers:
    """Send a stream of messages."""
    connection = await connect(job)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        await connection.send(text)
    receipt = await connection.recv(decode=True)
    return sent_numbers(watch, receipt)


async def echo_endlessly(connection: ClientConnection) -> None:
    """Send back each message."""
    async for message in connection:
        await connection.send(message)


async def latency(job: Job) -> Numbers:
    """Send back messages on many connections."""
    return await measure_latency(connect, echo_endlessly, lambda one: one.recv(decode=True), job)


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, latency=latency)
