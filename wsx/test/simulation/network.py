"""Connections in memory, and what can happen to their bytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from wsx.test.simulation.rules import Rule
from wsx.test.simulation.wire import PING, StrictDecoder

if TYPE_CHECKING:
    from wsx.test.simulation.server import Session
    from wsx.test.simulation.subject import Subject
    from wsx.test.simulation.world import World

FIN = object()  # The end of the server's bytes.


@dataclass(slots=True)
class Item:
    """A part of what a server sends, with its position in the stream of bytes.

    Attributes:
        kind: ``"response"``, ``"head"``, ``"frame"``, ``"close"`` or ``"error"``.
        value: What it is.
        start: The position of its first byte.
        end: The position after its last byte.
    """

    kind: str
    value: Any
    start: int
    end: int


@implementer(ITCPTransport)
class Link:
    """One TCP connection. It is the transport of the client's protocol.

    Attributes:
        read_paused: Whether the client has paused reading.
        write_paused: Whether the client was told that the write buffer is full.
        lost: Whether ``connectionLost`` was called.
        aborted: Whether the client has aborted the connection.
        dead: Whether nothing arrives any more, in both directions.
        stalled: Whether the server does not read.
        raises: Whether the methods of the transport raise.
        abort_is_lost: Whether an abort never leads to ``connectionLost``.
        chunk: How bytes arrive: 0 as they were sent, 1 byte by byte, more in random parts of at
            most that size.
    """

    def __init__(self, world: World, subject: Subject, session: Session, protocol: Any) -> None:
        self.world = world
        self.subject = subject
        self.session = session
        self.protocol = protocol
        self.rng = session.rng
        self.latency = self.rng.choice((0.0, 0.001, 0.02, 0.02, 0.3))
        self.chunk = self.rng.choice((0, 0, 0, 1, 7, 1000))
        self.reads_into_buffer = self.rng.random() < 0.5
        self.read_paused = self.write_paused = False
        self.lost = self.aborted = self.disconnecting = False
        self.dead = self.stalled = self.raises = self.abort_is_lost = False
        self.fin_sent = False
        self.high_water = 65536
        self.buffered = 0
        self.producer: Any = None
        self.options: list[str] = []
        self.request = b""
        self.decoder: StrictDecoder | None = None
        self.opened = False
        self.sent_total = 0
        self.delivered_total = 0
        self.items: deque[Item] = deque()
        self._on_the_way: deque[Any] = deque()
        self._arriving: deque[Any] = deque()  # Arrived while reading was paused.
        self._last_arrival = 0.0
        self._original_lost = protocol.connectionLost
        protocol.connectionLost = self._protocol_lost
        self._unsent: list[Any] = []  # Frames that the stalled server has not read.
        self.reading_now = False

    # From the server to the client

    def send(self, data: bytes, items: list[tuple[str, Any, int, int]]) -> None:
        """Send bytes to the client.

        Args:
            data: The bytes.
            items: What they are, with the first and last position within these bytes.
        """
        if self.lost or self.dead or self.fin_sent:
            return
        for kind, value, start, end in items:
            self.items.append(Item(kind, value, self.sent_total + start, self.sent_total + end))
        self.sent_total += len(data)
        for part in self._parts(data):
            self._later(part)

    def finish(self) -> None:
        """Close the server's side."""
        if not self.fin_sent:
            self.fin_sent = True
            self._later(FIN)

    def reset(self) -> None:
        """End the connection at once; what is on its way is lost."""
        if not self.dead:
            self.world.reactor.later(self.latency, self.lose, ConnectionLost())
            self.fin_sent = True

    def _parts(self, data: bytes) -> list[bytes]:
        size = self.chunk
        if size == 0 or len(data) > 40000:
            return [data]
        if size == 1 and len(data) > 150:
            size = 50
        parts, pos = [], 0
        while pos < len(data):
            step = 1 if size == 1 else self.rng.randint(1, size)
            parts.append(data[pos : pos + step])
            pos += step
        return parts

    def _later(self, part: Any) -> None:
        reactor = self.world.reactor
        when = max(self._last_arrival, reactor.monotonic_now + self.latency)
        if self.chunk and self.rng.random() < 0.3:
            when += self.rng.random() * 0.2
        self._last_arrival = when
        self._on_the_way.append(part)
        reactor.later(when - reactor.monotonic_now, self._arrive)

    def _arrive(self) -> None:
        part = self._on_the_way.popleft()  # The order of the timers depends on rounding.
        if self.lost or self.dead:
            return
        self._arriving.append(part)
        if not self.read_paused and len(self._arriving) == 1:
            self._read()

    def _read(self) -> None:
        """Read what has arrived, like a reactor that finds a socket readable."""
        while self._arriving and not (self.read_paused or self.lost or self.dead):
            if self._arriving[0] is FIN:
                self.lose(ConnectionDone())
                return
            parts = [self._arriving.popleft()]
            size = len(parts[0])
            while self._arriving and self._arriving[0] is not FIN and size < 65536:
                parts.append(self._arriving.popleft())
                size += len(parts[-1])
            self._hand_over(parts[0] if len(parts) == 1 else b"".join(parts))

    def _hand_over(self, data: bytes) -> None:
        subject, protocol = self.subject, self.protocol
        subject.enter()
        self.reading_now = True
        try:
            done = 0
            view = None
            while done < len(data) and not self.lost:
                if self.reads_into_buffer and self.opened:
                    view = protocol.get_buffer()
                part = data[done:]
                if view is None:
                    self._count(len(part))
                    protocol.dataReceived(part)
                else:
                    with view:
                        part = part[: len(view)]
                        view[: len(part)] = part
                    view = None
                    self._count(len(part))
                    protocol.buffer_updated(len(part))
                done += len(part)
        except Exception as error:
            self.world.fail(Rule.NO_INTERNAL_ERROR, subject, f"dataReceived raised {error!r}")
        finally:
            self.reading_now = False
            subject.leave()

    def _count(self, size: int) -> None:
        """Tell the model what the next bytes complete."""
        self.delivered_total += size
        complete = []
        while self.items and self.items[0].end <= self.delivered_total:
            complete.append(self.items.popleft())
        begun = None
        if self.items and self.items[0].start < self.delivered_total:
            begun = self.items[0]
        self.subject.model.bytes_arrive(self, complete, begun, size)

    def lose(self, reason: Exception) -> None:
        """Report the end of the connection to the client."""
        if self.lost:
            return
        self.subject.enter()
        try:
            producer, self.producer = self.producer, None
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(Failure(reason))
        except Exception as error:
            self.world.fail(
                Rule.NO_INTERNAL_ERROR, self.subject, f"connectionLost raised {error!r}"
            )
        finally:
            self.subject.leave()

    def _protocol_lost(self, reason: Failure) -> None:
        """``connectionLost`` of the protocol is called, by this transport or by the library."""
        first, self.lost = not self.lost, True
        self.subject.touch()
        if first:
            assert reason.value is not None
            self.subject.model.connection_lost(self, reason.value)
        self._original_lost(reason)
        if first:
            self.subject.model.connection_was_lost(self)
            self._arriving.clear()
            self.session.lost()

    # Faults

    def die(self) -> None:
        """Let nothing arrive any more, in both directions, without an end."""
        self.dead = True

    def break_down(self) -> None:
        """Lose the connection without noticing it: every method of the transport raises."""
        self.dead = self.raises = True

    def lose_abort(self) -> None:
        """Never report an abort."""
        self.abort_is_lost = True

    @property
    def aborted_in_vain(self) -> bool:
        """Whether the client has aborted the connection, but the transport has not ended it."""
        return self.aborted and (self.raises or self.abort_is_lost)

    def _check_raises(self) -> None:
        if self.raises:
            self.subject.model.write_paused(self)  # The library buffers nothing any more.
            raise RuntimeError("unable to perform operation; the handle is closed")

    def stall(self, high_water: int) -> None:
        """Do not read what the client sends."""
        self.stalled = True
        self.high_water = high_water

    def end_stall(self) -> None:
        """Read again."""
        if self.lost or not self.stalled or self.dead:
            return
        self.stalled = False
        self.buffered = 0
        unsent, self._unsent = self._unsent, []
        for frame in unsent:
            self.world.reactor.later(self.latency, self.session.receive, frame)
        if self.write_paused and self.producer is not None:
            self.write_paused = False
            self.subject.enter()
            try:
                self.subject.model.draining(self)
                self.producer.resumeProducing()
                self.subject.model.drained(self)
            finally:
                self.subject.leave()
        if self.disconnecting and not self.write_paused:
            self.world.reactor.later(0, self.lose, ConnectionDone())

    # The transport

    def _use(self, what: str) -> None:
        self.subject.touch()
        if self.lost and not self.subject.model.relaxed:
            self.world.fail(Rule.NO_USE_AFTER_LOSS, self.subject, f"{what} after connectionLost")

    def write(self, data: bytes) -> None:
        self._use("write")
        if self.aborted and not self.raises:
            self.world.fail(Rule.NO_USE_AFTER_LOSS, self.subject, "write after an abort")
        if not isinstance(data, bytes):
            self.world.fail(Rule.RFC6455, self.subject, f"write of {type(data).__name__}")
        frames = self.subject.model.written(self, data)
        self._check_raises()
        if self.fin_sent and self.read_paused:
            self.world.reactor.later(self.latency, self.lose, ConnectionLost())
        if self.dead or self.stalled:
            self._unsent += frames
            self.buffered += len(data)
            if self.buffered > self.high_water and not self.write_paused and self.producer:
                self.write_paused = True
                self.subject.model.write_paused(self)
                self.producer.pauseProducing()
        else:
            for frame in frames:
                self.world.reactor.later(self.latency, self.session.receive, frame)
                if getattr(frame, "opcode", None) == PING and self.world.has("time"):
                    self.world.time_faults.ping_sent()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.subject.touch()
        self.subject.model.ends_tcp(self, gently=True)
        self._check_raises()
        if not (self.lost or self.disconnecting or self.aborted):
            self.disconnecting = True
            if not (self.stalled or self.dead):
                self.world.reactor.later(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.subject.touch()
        self.subject.model.ends_tcp(self, gently=False)
        first = not self.aborted
        self.aborted = True
        self._check_raises()
        if first and not self.lost and not self.abort_is_lost:
            self.world.reactor.later(0, self.lose, ConnectionAborted())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None or not streaming:
            self.world.fail(Rule.NO_INTERNAL_ERROR, self.subject, "registerProducer")
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.subject.touch()
        self._check_raises()
        self.read_paused = True

    def resumeProducing(self) -> None:
        self.subject.touch()
        self._check_raises()
        if self.read_paused:
            self.read_paused = False
            if self._arriving:
                self.world.reactor.later(0, self._read)

    def stopProducing(self) -> None:
        self.loseConnection()

    def getPeer(self) -> Any:
        return IPv4Address("TCP", "192.0.2.1", 443)

    def getHost(self) -> Any:
        return IPv4Address("TCP", "192.0.2.2", 50000)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options.append(f"nodelay {enabled}")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options.append(f"keepalive {enabled}")

    def getTcpNoDelay(self) -> bool:
        return "nodelay True" in self.options

    def getTcpKeepAlive(self) -> bool:
        return "keepalive True" in self.options

    def loseWriteConnection(self) -> None:
        self.world.fail(Rule.NO_INTERNAL_ERROR, self.subject, "loseWriteConnection")


@implementer(ISSLTransport)
class SecureLink(Link):
    """A connection whose protocol is told when the TLS handshake is done; nothing is encrypted."""

    def getPeerCertificate(self) -> None:
        return None

    def shake_hands(self) -> None:
        """End the TLS handshake."""
        if self.lost or self.aborted:
            return
        self.subject.enter()
        try:
            self.subject.model.secured(self)
            self.protocol.handshakeCompleted()
        finally:
            self.subject.leave()
