"""A slow consumer and a slow server in real time, on loopback sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

import wsx
from wsx.test.limits.floods import MEBIBYTE

__all__ = ["measure_slow_consumer", "measure_slow_server"]

HANDLING_SECONDS: Final = 0.01
WARM_UP_SECONDS: Final = 3.0
REPLY: Final = wsx.Text("r" * 40_000)
SENT: Final = wsx.Binary(bytes(65536))
SEND_TIMEOUT: Final = 2.0


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def server(mode: str) -> Iterator[str]:
    """Run a server in a process of its own, and return its URL."""
    command = [sys.executable, "-m", "wsx.test.limits.server", mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.kill()


class Consumer(wsx.Handler[None]):
    """A handler that takes 10 ms for each message."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.handled = 0

    async def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        """Wait."""
        await deferLater(self._reactor, HANDLING_SECONDS)
        self.handled += 1


class Replier(wsx.Handler[None]):
    """A handler that answers each message with 40,000 bytes."""

    def __init__(self) -> None:
        self.handled = 0

    def handle_frame(self, frame: wsx.Frame, state: None) -> Any:
        """Answer a message."""
        self.handled += 1
        return wsx.Reply(REPLY, state)


async def measure_slow_consumer(reactor: Any, seconds: float) -> str:
    """Return how memory grows while a server floods a slow handler."""
    handler = Consumer(reactor)
    with server("flood") as url:
        client = await wsx.start(url, handler, None)
        await deferLater(reactor, WARM_UP_SECONDS)
        first = resident()
        samples: list[int] = []
        sampling = LoopingCall(lambda: samples.append(resident()))
        sampling.clock = reactor
        sampling.start(0.1)
        await deferLater(reactor, seconds - WARM_UP_SECONDS)
        sampling.stop()
        status = client.status
        client.abort()
        await client.terminated()
    growth = (max(samples) - first) / MEBIBYTE
    return (
        f"slow consumer: {handler.handled} messages in {seconds:.0f} s, RSS "
        f"{first / MEBIBYTE:.1f} MiB after {WARM_UP_SECONDS:.0f} s, at most {growth:+.2f} MiB "
        f"later; the connection is {status}"
    )


async def measure_slow_server(reactor: Any, sends: int) -> str:
    """Return how memory grows, and when send_frame fails, if a server never reads."""
    handler = Replier()
    late: list[float] = []
    passed = 0
    with server("silent") as url:
        client = await wsx.start(url, handler, None)
        first = resident()
        while len(late) < sends:
            began = time.monotonic()
            try:
                await client.send_frame(SENT, timeout=SEND_TIMEOUT)
                passed += 1
                await _turn(reactor)
            except wsx.SendTimeout:
                late.append(time.monotonic() - began - SEND_TIMEOUT)
        growth = (resident() - first) / MEBIBYTE
        client.abort()
        await client.terminated()
    return (
        f"slow server: {handler.handled} replies of 40 KB, {passed} frames of 64 KiB sent, then "
        f"{sends} x SendTimeout, {min(late) * 1000:.1f} to {max(late) * 1000:.1f} ms after "
        f"{SEND_TIMEOUT:.1f} s; RSS {growth:+.1f} MiB"
    )


def _turn(reactor: Any) -> Deferred[None]:
    return deferLater(reactor, 0)
