"""A yardstick, no competitor: bytes over Twisted's TCP and TLS, with nobody who looks at them.

It counts bytes, and sends frames that were made before.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from benchmarks import wire
from benchmarks.peers.job import Job, sent_numbers
from benchmarks.peers.on_twisted import Gate, address, endpoint, run
from benchmarks.work import Numbers

_MASK = b"\x12\x34\x56\x78"


class Raw(Protocol):
    """Shakes hands, and then counts until the server is done.

    Attributes:
        due: bytes up to the end of the last message.
        came: bytes after the handshake.
        opened: fires once the handshake is done.
        ended: fires at the connection's end.
        last: when the last message was there.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._answer: bytes | None = b""
        self.due = wire.frame_size(job.size) * job.count
        self.came = 0
        self.opened: Deferred[Raw] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.opened_at = 0.0
        self.last = 0.0

    def connectionMade(self) -> None:
        parts = address(self._job)
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        self.write(wire.request(parts.netloc, f"{parts.path}?{parts.query}".rstrip("?")))

    def write(self, data: bytes) -> None:
        """Writes to the transport."""
        self.transport.write(data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if self._answer is not None:
            data = self._handshake(data)
        if data:
            self.came += len(data)
            if not self.last and self.came >= self.due:
                self.last = perf_counter()
            self.received(data)

    def received(self, data: bytes) -> None:
        """Bytes of frames came."""

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(None)

    def _handshake(self, data: bytes) -> bytes:
        assert self._answer is not None
        self._answer += data
        header, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end:
            return b""
        assert header.startswith(b"HTTP/1.1 101 ")
        self._answer = None
        self.opened_at = perf_counter()
        self.opened.callback(self)
        return rest


class RawReceiver(Raw):
    """Hangs up once the close frame is there."""

    def received(self, data: bytes) -> None:
        if self.came >= self.due + len(wire.close_frame()):
            self.transport.loseConnection()  # type: ignore[union-attr]


class RawEchoer(RawReceiver):
    """Sends the next frame once the last one is back."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._frame = wire.masked_frame(job.text.encode(), _MASK)
        self._size = wire.frame_size(job.size)
        self._next = self._size

    def received(self, data: bytes) -> None:
        if self._next <= self.came and self._next < self.due:
            self._next += self._size
            self.write(self._frame)
        super().received(data)

    def begin(self) -> None:
        """Sends the first one."""
        self.write(self._frame)


class RawSender(Raw):
    """Keeps what comes: the receipt."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.receipt: Deferred[bytes] = Deferred()

    def received(self, data: bytes) -> None:
        if not self.receipt.called:  # a close frame may follow
            self.receipt.callback(data)


async def connect_with(kind: Any, reactor: Any, job: Job) -> Any:
    """Opens a connection that ``kind`` serves."""
    protocol = await endpoint(reactor, job).connect(Factory.forProtocol(lambda: kind(job)))
    return await protocol.opened


async def connect(reactor: Any, job: Job) -> Raw:
    """Opens a connection."""
    raw: Raw = await connect_with(Raw, reactor, job)
    return raw


async def receive(reactor: Any, job: Job) -> Numbers:
    """Receives a stream."""
    started = perf_counter()
    raw = await connect_with(RawReceiver, reactor, job)
    await raw.ended
    opening = raw.opened_at - started
    return {"seconds": raw.last - started, "opening": opening, "bytes": raw.came}


async def echo(reactor: Any, job: Job) -> Numbers:
    """Does round trips."""
    raw = await connect_with(RawEchoer, reactor, job)
    started = perf_counter()
    raw.begin()
    await raw.ended
    return {"seconds": raw.last - started, "bytes": raw.came}


async def send(reactor: Any, job: Job) -> Numbers:
    """Sends a stream of one and the same frame."""
    raw, gate = await connect_with(RawSender, reactor, job), Gate()
    raw.transport.registerProducer(gate, True)
    frame = wire.masked_frame(job.text.encode(), _MASK)
    started = perf_counter()
    for _ in range(job.count):
        raw.write(frame)
        if gate.opening is not None:
            await gate.opening
    receipt = await raw.receipt
    length = receipt[1]
    return sent_numbers(started, perf_counter(), receipt[2 : 2 + length].decode())


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send)
