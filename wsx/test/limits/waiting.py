"""Memory of waiting calls of send_frame, of casts, and of frames behind unsent replies."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.task import Clock

import wsx
from wsx.test.limits.floods import MEBIBYTE, READ_SIZE
from wsx.test.support import URL, MemoryServer, text

__all__ = ["measure_waiting"]

CALLS: Final = 100_000
MAILBOX_LIMIT: Final = 10_000
FRAME: Final = wsx.Ping()


class Replier(wsx.Handler[None]):
    """Answer each message with 64 KiB."""

    def handle_frame(self, frame: wsx.Frame, state: None) -> Any:
        """Answer a message."""
        return wsx.Reply(wsx.Binary(bytes(65536)), state)


def measure_waiting() -> list[str]:
    """Return a line for each measurement."""
    return [_waiting_calls(), _waiting_casts(), _frames_behind_replies()]


def _connect(handler: wsx.Handler[None]) -> tuple[wsx.Client[None], MemoryServer, Clock]:
    clock = Clock()
    server = MemoryServer(clock)
    clients: list[wsx.Client[None]] = []
    options: dict[str, Any] = {"reactor": clock, "endpoint": server, "ping_interval": None}
    wsx.start(URL, handler, None, async_=True, **options).addCallback(clients.append)
    server.peer.answer()
    clock.advance(0)
    return clients[0], server, clock


def _memory(action: Callable[[], object]) -> int:
    """Return the memory in bytes that is allocated after an action."""
    tracemalloc.start()
    result = action()
    allocated = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del result
    return allocated


def _waiting_calls() -> str:
    client, server, _ = _connect(wsx.Handler())
    server.peer.buffer.pauseProducing()

    def send() -> list[Any]:
        sent = [client.send_frame(FRAME) for _ in range(CALLS)]
        server.peer.transport.clear()
        return sent

    size = _memory(send) / CALLS
    client.abort()
    return f"send_frame without waiting, {CALLS:,} calls: {size:.0f} bytes each, and the frame"


def _waiting_casts() -> str:
    clock = Clock()
    server = MemoryServer(clock)
    server.silent = True
    clients: list[wsx.Client[None]] = []
    options: dict[str, Any] = {"reactor": clock, "endpoint": server}
    wsx.start(URL, wsx.Handler[None](), None, async_=True, **options).addCallback(clients.append)

    def cast() -> None:
        try:
            while True:
                clients[0].cast(None)
        except wsx.MailboxFullError:
            pass

    size = _memory(cast) / MAILBOX_LIMIT
    clients[0].abort()
    return f"mailbox, {MAILBOX_LIMIT:,} casts: {size:.0f} bytes each, and the message"


def _frames_behind_replies() -> str:
    client, server, clock = _connect(Replier())
    peer = server.peer
    write = peer.transport.write

    def write_and_fill(data: bytes) -> None:
        write(data)
        peer.buffer.pauseProducing()

    peer.transport.write = write_and_fill  # type: ignore[method-assign]
    read = 0

    def flood() -> None:
        nonlocal read
        while not peer.transport.reading_paused and read < 100 * MEBIBYTE:
            peer.send(text("") * (READ_SIZE // 2))
            read += READ_SIZE
            for _ in range(1000):
                clock.advance(0)

    size = _memory(flood)
    client.abort()
    return (
        f"replies to a server that does not read: {read / MEBIBYTE:.2f} MiB of empty messages "
        f"read, then reading is paused; {size / MEBIBYTE:.1f} MiB"
    )
