"""The client side of the Autobahn|Testsuite: an echo client for each case."""

from __future__ import annotations

from typing import Any

import wsx

# Seconds. The longest cases take a few; on a busy machine the server can be slow to answer.
CASE_TIMEOUT = 600.0
OPTIONS: dict[str, Any] = {
    "compression": "deflate",
    "max_message_size": 64 * 1024 * 1024,
    "socket_connect_timeout": 60.0,
    "socket_recv_timeout": 60.0,
    "close_timeout": 60.0,
}


class Echo(wsx.Handler[None]):
    """Echo each message."""

    def handle_frame(self, frame: wsx.Text | wsx.Binary, state: None) -> wsx.Reply[None]:
        return wsx.Reply(frame, state)


class Count(wsx.Handler[int]):
    """Keep the number that the server sends as state."""

    def handle_frame(self, frame: wsx.Text | wsx.Binary, state: int) -> wsx.Ok[int]:
        return wsx.Ok(int(frame.payload))

    def terminate(self, reason: object, state: int) -> None:
        self.count = state


async def run_cases(reactor: Any, url: str, agent: str) -> int:
    """Run all test cases, request the report, and return the number of cases.

    Raises:
        twisted.internet.error.TimeoutError: A case took longer than ``CASE_TIMEOUT``.
    """
    counter = Count()
    await run_client(reactor, f"{url}/getCaseCount", counter, 0)
    for case in range(1, counter.count + 1):
        await run_client(reactor, f"{url}/runCase?case={case}&agent={agent}", Echo, None)
    await run_client(reactor, f"{url}/updateReports?agent={agent}", Echo, None)
    return counter.count


async def run_client(reactor: Any, url: str, handler: Any, state: Any) -> None:
    """Run one client until it ends."""
    client = await wsx.start(url, handler, state, **OPTIONS)
    await client.terminated().addTimeout(CASE_TIMEOUT, reactor)
