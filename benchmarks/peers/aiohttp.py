"""aiohttp's client."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import aiohttp

from benchmarks.peers.job import LARGEST, Job, Tally, sent_numbers
from benchmarks.peers.on_asyncio import run, tls
from benchmarks.work import Numbers

_session: aiohttp.ClientSession | None = None


async def connect(job: Job) -> aiohttp.ClientWebSocketResponse[Any]:
    """Opens a connection; all are of one session, as its documentation asks."""
    global _session
    if _session is None:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    context: Any = tls(job) or True
    return await _session.ws_connect(job.url, ssl=context, max_msg_size=LARGEST)


async def receive(job: Job) -> Numbers:
    """Receives a stream."""
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
    """Does round trips."""
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
    """Sends a stream."""
    connection = await connect(job)
    text = job.text
    started = perf_counter()
    for _ in range(job.count):
        await connection.send_str(text)
    receipt = await connection.receive_str()
    return sent_numbers(started, perf_counter(), receipt)


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send)
