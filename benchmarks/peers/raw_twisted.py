"""A baseline: bytes over Twisted's TCP and TLS, without a WebSocket library.

It counts the bytes received and sends prepared frames.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from benchmarks import wire
from benchmarks.peers.job import Job, Stopwatch, latency_numbers, sent_numbers
from benchmarks.peers.on_twisted import WriteBufferWatcher, endpoint, open_many, run, split_url
from benchmarks.work import Numbers

_MASKING_KEY = b"\x12\x34\x56\x78"


class Raw(Protocol):
    """Complete the opening handshake, then count bytes.

    Attributes:
        expected: The number of bytes up to the end of the last message.
        received: The number of bytes received after the opening handshake.
        opened: A Deferred that fires with this protocol after the opening handshake.
        ended: A Deferred that fires when the connection has ended.
        opened_at: The time of the opening handshake, from ``perf_counter``; 0.0 before.
        watch: Measures the time.
        times: The numbers of ``watch`` when the last message arrived; empty before.
    """

    def __init__(self, job: Job, watch: Stopwatch) -> None:
        self._job = job
        self.watch = watch
        self.times: Numbers = {}
        self._response: bytes | None = b""
        self.expected = wire.frame_size(job.size) * job.count
        self.received = 0
        self.opened: Deferred[Raw] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.opened_at = 0.0

    def connectionMade(self) -> None:
        parts = split_url(self._job)
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        self.write(wire.request(parts.netloc, f"{parts.path}?{parts.query}".rstrip("?")))

    def write(self, data: bytes) -> None:
        """Write to the transport."""
        self.transport.write(data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if self._response is not None:
            data = self._handshake(data)
        if data:
            self.received += len(data)
            if not self.times and self.received >= self.expected:
                self.times = self.watch.numbers()
            self.handle_bytes(data)

    def handle_bytes(self, data: bytes) -> None:
        """Handle bytes of frames; subclasses override this."""

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(None)

    def _handshake(self, data: bytes) -> bytes:
        assert self._response is not None
        self._response += data
        header, end, rest = self._response.partition(b"\r\n\r\n")
        if not end:
            return b""
        assert header.startswith(b"HTTP/1.1 101 ")
        self._response = None
        self.opened_at = perf_counter()
        self.opened.callback(self)
        return rest


class RawReceiver(Raw):
    """Close the connection when the close frame has arrived."""

    def handle_bytes(self, data: bytes) -> None:
        if self.received >= self.expected + len(wire.close_frame()):
            self.transport.loseConnection()  # type: ignore[union-attr]


class RawEchoer(RawReceiver):
    """Send the next frame when the last one has come back."""

    def __init__(self, job: Job, watch: Stopwatch) -> None:
        super().__init__(job, watch)
        self._frame = wire.masked_frame(job.text.encode(), _MASKING_KEY)
        self._size = wire.frame_size(job.size)
        self._next = self._size

    def handle_bytes(self, data: bytes) -> None:
        if self._next <= self.received and self._next < self.expected:
            self._next += self._size
            self.write(self._frame)
        super().handle_bytes(data)

    def begin(self) -> None:
        """Send the first frame; the time starts now."""
        self.watch = Stopwatch()
        self.write(self._frame)


class RawSender(Raw):
    """Wait for the receipt of the server."""

    def __init__(self, job: Job, watch: Stopwatch) -> None:
        super().__init__(job, watch)
        self.receipt: Deferred[bytes] = Deferred()

    def handle_bytes(self, data: bytes) -> None:
        if not self.receipt.called:  # A close frame may follow.
            self.receipt.callback(data)


class RawEndlessEchoer(Raw):
    """Send a prepared frame for each message."""

    def __init__(self, job: Job, watch: Stopwatch) -> None:
        super().__init__(job, watch)
        self._frame = wire.masked_frame(job.text.encode(), _MASKING_KEY)
        self._size = wire.frame_size(job.size)
        self._sent = 0

    def handle_bytes(self, data: bytes) -> None:
        messages = self.received // self._size
        self.write(self._frame * (messages - self._sent))
        self._sent = messages


class RawText(Raw):
    """Receive one message, which may be larger than a record.

    Attributes:
        text: A Deferred that fires with the message.
    """

    def __init__(self, job: Job, watch: Stopwatch) -> None:
        super().__init__(job, watch)
        self.text: Deferred[str] = Deferred()
        self._frames = b""

    def handle_bytes(self, data: bytes) -> None:
        self._frames += data
        if self._frames.endswith(wire.close_frame()):
            text = self._frames.removesuffix(wire.close_frame())
            self.text.callback(text[text.index(b"{") :].decode())


async def connect_with(kind: Any, reactor: Any, job: Job) -> Any:
    """Open a connection served by ``kind``; the time starts now."""
    watch = Stopwatch()
    factory = Factory.forProtocol(lambda: kind(job, watch))
    protocol = await endpoint(reactor, job).connect(factory)
    return await protocol.opened


async def connect(reactor: Any, job: Job) -> Raw:
    """Open a connection."""
    raw: Raw = await connect_with(Raw, reactor, job)
    return raw


async def receive(reactor: Any, job: Job) -> Numbers:
    """Receive a stream of messages."""
    raw = await connect_with(RawReceiver, reactor, job)
    await raw.ended
    return {**raw.times, "opening": raw.opened_at - raw.watch.started, "bytes": raw.received}


async def echo(reactor: Any, job: Job) -> Numbers:
    """Make round trips."""
    raw = await connect_with(RawEchoer, reactor, job)
    raw.begin()
    await raw.ended
    return {**raw.times, "bytes": raw.received}


async def send(reactor: Any, job: Job) -> Numbers:
    """Send a stream of copies of one prepared frame."""
    raw, watcher = await connect_with(RawSender, reactor, job), WriteBufferWatcher()
    raw.transport.registerProducer(watcher, True)
    frame = wire.masked_frame(job.text.encode(), _MASKING_KEY)
    watch = Stopwatch()
    for _ in range(job.count):
        raw.write(frame)
        if watcher.drained is not None:
            await watcher.drained
    receipt = await raw.receipt
    length = receipt[1]
    return sent_numbers(watch, receipt[2 : 2 + length].decode())


async def latency(reactor: Any, job: Job) -> Numbers:
    """Send back messages on many connections."""
    connect_echoer = partial(connect_with, RawEndlessEchoer)
    held = await open_many(connect_echoer, reactor, job, job.connections)
    watch = Stopwatch()
    held.append(await connect_with(RawText, reactor, job.measuring()))
    receipt = await held[-1].text
    return latency_numbers(watch, receipt)


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, latency=latency)
