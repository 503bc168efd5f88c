"""Tests of limits on what a server can make a client do; see docs/contributing/reliability.md."""

from __future__ import annotations

import tracemalloc
from typing import Any, Final

import wsx
from wsx import Binary, Ping, Text
from wsx._wire.batch import Batch
from wsx.frames import BINARY, CONTINUATION, PING, PONG, TEXT
from wsx.test.support import MemoryCase, MemoryServer, Recorder, server_frame
from wsx.test.support.connections import DEFLATE, FIN_RSV1, Deflater
from wsx.test.support.each import each
from wsx.testing.clock import TurnClock

READ: Final = 65536  # bytes
RSV1: Final = 0x40
LIMIT: Final = 5000  # bytes: the max_message_size of the tests


class SlowListener:
    """A listener of a connection that takes 4 ms for each batch, and counts the batches."""

    def __init__(self, listener: Any, clock: TurnClock) -> None:
        self._listener = listener
        self._clock = clock
        self.batches = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def received(self, batch: Batch) -> None:
        """Count a batch and pass it on."""
        self.batches += 1
        self._clock.rightNow += 0.004
        self._listener.received(batch)

    def take_count(self) -> int:
        """Return the number of batches since the last call."""
        count, self.batches = self.batches, 0
        return count


class Answering(Recorder):
    """Record every call, and answer pings."""

    def handle_ping(self, frame: Any, state: Any) -> Any:
        super().handle_ping(frame, state)
        return wsx.Reply(wsx.Pong(frame.payload), state)


class LimitsCase(MemoryCase):
    """Base class: a client with compression that counts what it receives."""

    def setUp(self) -> None:
        super().setUp()
        self.turns = self.clock = TurnClock()
        self.server = MemoryServer(self.clock)
        self.handler = Answering()

    def connect(self, **options: Any) -> wsx.Client[Any]:
        """Open a connection."""
        started = self.start(self.handler, compression="deflate", **options)
        self.peer.answer(Sec_WebSocket_Extensions=DEFLATE)
        self.step()
        self.handler.calls.clear()
        self.peer.received()
        return self.successResultOf(started)

    @property
    def reason(self) -> Any:
        """The reason of the only loss."""
        [status] = self.handler.arguments("handle_disconnect")
        return status.reason


class FloodTests(LimitsCase):
    """A read with as much work as possible is decoded in several reactor iterations."""

    FLOODS: Final = {
        "pings": server_frame(PING),
        "pongs": server_frame(PONG),
        "empty_messages": server_frame(TEXT),
        "compressed_empty_messages": server_frame(TEXT, b"\x00", FIN_RSV1),
        "final_blocks": server_frame(TEXT, b"\x03\x00" * 256 + b"\x00", FIN_RSV1),
        "empty_fragments": server_frame(TEXT, b"", 0) + server_frame(CONTINUATION),
        "large_messages": server_frame(BINARY, Deflater().compress(bytes(1 << 20)), FIN_RSV1),
    }

    def flood(self, data: bytes) -> None:
        """Receive one read, and assert that each iteration decodes at most three batches."""
        listener = SlowListener(self.peer.protocol._listener, self.turns)
        self.peer.protocol._listener = listener
        self.peer.send(data)
        turns = 0
        while self.peer.transport.reading_paused:
            self.assertEqual(listener.take_count(), 3)
            self.peer.received()
            self.turns.turn()
            turns += 1
        self.assertLessEqual(listener.take_count(), 3)
        self.assertGreater(turns, 2)

    @each(FLOODS)
    def test_iterations(self, name: str) -> None:
        """All messages arrive, and other clients get their turn in between."""
        self.connect()
        frame = self.FLOODS[name]
        count = min(READ // len(frame), 20_000)
        self.flood(frame * count)
        self.assertEqual(len(self.handler.calls), count)

    def test_fragments_of_1_byte(self) -> None:
        """Fragments count like messages."""
        self.connect()
        count = READ // 3
        first = server_frame(BINARY, b"", 0)
        last = server_frame(CONTINUATION)
        self.flood(first + server_frame(CONTINUATION, b"x", 0) * count + last)
        self.assertEqual(self.handler.arguments("handle_frame"), [Binary(b"x" * count)])

    def test_pings_to_a_server_that_does_not_read(self) -> None:
        """Pongs take no memory while the write buffer is full; the last ping is answered."""
        self.connect()
        self.handler.calls = EmptyList()
        self.peer.buffer.pauseProducing()
        data = server_frame(PING, bytes(100)) * (READ // 102) + server_frame(PING, b"last")
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(10):
            self.peer.send(data)
            self.step()
        self.assertLess(tracemalloc.get_traced_memory()[0], 200_000)
        self.assertEqual(self.peer.received(), [])
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.buffer.resumeProducing()
        self.assertEqual(self.peer.received(), [(PONG, b"last")])


class EmptyList(list[Any]):
    """A list that stays empty."""

    def append(self, value: Any) -> None:
        """Discard a value."""


class MessageSizeTests(LimitsCase):
    """A message of exactly ``max_message_size`` is delivered; one more byte is a FrameError."""

    def message(self, size: int, compressed: bool, fragment: int) -> bytes:
        """Return a binary message in fragments."""
        payload = bytes(size)
        if compressed:
            payload = Deflater().compress(payload)
        parts = [payload[i : i + fragment] for i in range(0, len(payload), fragment)]
        flags = RSV1 if compressed else 0
        frames = [server_frame(BINARY, parts[0], flags)]
        frames += [server_frame(CONTINUATION, part, 0) for part in parts[1:]]
        return b"".join([*frames, server_frame(CONTINUATION)])

    @each((False, True), (1, 7, LIMIT * 2), (READ, 100))
    def test_size(self, compressed: bool, fragment: int, read: int) -> None:
        """The limit is exact for plain and compressed messages, any fragments and any reads."""
        client = self.connect(max_message_size=LIMIT)
        data = self.message(LIMIT, compressed, fragment)
        for start in range(0, len(data), read):
            self.peer.send(data[start : start + read])
        self.step()
        self.assertEqual(self.handler.arguments("handle_frame"), [Binary(bytes(LIMIT))])
        self.assertEqual(client.status, "open")
        self.peer.send(self.message(LIMIT + 1, compressed, fragment))
        self.assert_too_big(client)

    @each((b"", b"x"))
    def test_empty_fragments(self, payload: bytes) -> None:
        """Fragments without an end fail the connection, empty ones after 4,096."""
        client = self.connect(max_message_size=LIMIT)
        self.peer.send(server_frame(BINARY, b"", 0))
        data = server_frame(CONTINUATION, payload, 0) * (LIMIT if payload else 4095)
        self.peer.send(data)
        self.step()
        self.assertEqual(client.status, "open")
        self.peer.send(server_frame(CONTINUATION, payload, 0))
        self.assert_too_big(client)

    def assert_too_big(self, client: wsx.Client[Any]) -> None:
        """Assert that the client closes with 1009, and discards what arrives then."""
        calls = len(self.handler.calls)
        self.step()
        self.assertEqual(client.status, "closing")
        self.peer.send(server_frame(TEXT, b"later") * 1000)
        self.step()
        [(opcode, payload)] = self.peer.received()
        self.assertEqual((opcode, payload[:2]), (8, (1009).to_bytes(2, "big")))
        self.peer.drop()
        self.step()
        self.assertEqual(self.handler.names[calls:], ["handle_disconnect", "terminate"])
        self.assertIsInstance(self.reason, wsx.FrameError)
        self.assertEqual(self.reason.close_code, 1009)


class SendTests(LimitsCase):
    """``send_frame`` without waiting, to a server that does not read."""

    COUNT: Final = 10_000

    def test_waiting_calls(self) -> None:
        """Each call fails after exactly its timeout and takes less than 1 KiB beyond its frame."""
        client = self.connect()
        self.peer.buffer.pauseProducing()
        errors: list[Any] = []
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(self.COUNT):
            client.send_frame(Ping(), timeout=3.0).addErrback(errors.append)
            self.peer.transport.clear()
        self.assertLess(tracemalloc.get_traced_memory()[0], self.COUNT * 1024)
        self.clock.advance(2.999)
        self.step()
        self.assertEqual(errors, [])
        self.clock.advance(0.001)
        self.assertEqual(len(errors), self.COUNT)
        for error in errors:
            self.assertIsInstance(error.value, wsx.SendTimeout)

    def test_awaited_calls(self) -> None:
        """A program that awaits each call has one frame in the write buffer, and goes on later."""
        client = self.connect()
        self.peer.buffer.pauseProducing()
        done: list[Any] = []
        client.send_frame(Text("a")).addCallback(done.append)
        self.clock.advance(4.999)
        self.assertEqual((done, len(self.peer.received())), ([], 1))
        self.peer.buffer.resumeProducing()
        self.assertEqual(done, [None])
