"""websocket-client, a blocking library; connections are opened one at a time."""

from __future__ import annotations

from typing import Any

import websocket

from benchmarks.peers.blocking import run
from benchmarks.peers.job import Job, Stopwatch, Tally, sent_numbers
from benchmarks.work import Numbers


def connect(job: Job) -> Any:
    """Open a connection without locks.

    UTF-8 is not validated separately, because ``recv`` decodes each message anyway.
    """
    return websocket.create_connection(
        job.url,
        timeout=60,
        enable_multithread=False,
        skip_utf8_validation=True,
        sslopt={"ca_certs": job.ca} if job.ca else {},
    )


def receive(job: Job) -> Numbers:
    """Receive a stream of messages."""
    tally = Tally()
    tally.begin(job)
    connection = connect(job)
    tally.open()
    while connection.connected:
        text = connection.recv()
        if not text and tally.left <= 0:  # The close frame.
            break
        tally.characters += len(text)
        tally.left -= 1
        if not tally.left:
            tally.finish()
    return tally.numbers()


def echo(job: Job) -> Numbers:
    """Make round trips."""
    tally, text = Tally(), job.text
    connection = connect(job)
    tally.begin(job)
    while tally.left:
        connection.send(text)
        text = connection.recv()
        tally.characters += len(text)
        tally.left -= 1
    tally.finish()
    return tally.numbers()


def send(job: Job) -> Numbers:
    """Send a stream of messages."""
    connection = connect(job)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        connection.send(text)
    receipt = connection.recv()
    return sent_numbers(watch, receipt)


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send)
