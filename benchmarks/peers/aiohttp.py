"""The client of aiohttp."""

from __future__ import annotations

from typing import Any

import aiohttp

from benchmarks.peers.job import LARGEST, Job, Stopwatch, Tally, sent_numbers
from benchmarks.peers.on_asyncio import measure_latency, run, tls_context
from benchmarks.work import Numbers

_session: aiohttp.ClientSession | None = None


async def connect(job: Job) -> aiohttp.ClientWebSocketResponse[Any]:
    """Open a connection.

    All connections share one session, as the documentation of aiohttp recommends.
    """
    global _session
    if _session is None:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    context: Any = tls_context(job) or True
    return await _session.ws_connect(job.url, ssl=context, max_msg_size=LARGEST)


async def receive(job: Job) -> Numbers:
    """Receive a stream of messages."""
    tally = Tally()
    tally.begin(job)
    connection = await connect(job)
    tally.open()
    async for message in connection:
        tally.characters += len(message.data)
        tally.left -= 1
        if not tally.left:
            tally.finish()
    return tally.numbers()


async def echo(job: Job) -> Numbers:
    """Make round trips."""
    tally, text = Tally(), job.text
    connection = await connect(job)
    tally.begin(job)
    await connection.send_str(text)
    async for message in connection:
        tally.characters += len(message.data)
        tally.left -= 1
        if tally.left > 0:
            await connection.send_str(message.data)
        else:
            tally.finish()
    return tally.numbers()


async def send(job: Job) -> Numbers:
    """Send a stream of messages."""
    connection = await connect(job)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        await connection.send_str(text)
    receipt = await connection.receive_str()
    return sent_numbers(watch, receipt)


async def echo_endlessly(connection: aiohttp.ClientWebSocketResponse[Any]) -> None:
    """Send back each message."""
    async for message in connection:
        await connection.send_str(message.data)


async def latency(job: Job) -> Numbers:
    """Send back messages on many connections."""
    return await measure_latency(connect, echo_endlessly, lambda one: one.receive_str(), job)


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, latency=latency)
