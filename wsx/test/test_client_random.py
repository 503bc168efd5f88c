"""Random tests of the order of delivery: full write buffers, pending callbacks, suspension."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx import Ok, Pong, Reconnect, Reply, Text
from wsx.frames import PING
from wsx.test.support import MemoryCase, case, close, server_frame, text
from wsx.test.support.each import each

SEEDS_PER_TEST = 25


class RandomHandler(wsx.Handler[Any]):
    """Record what is delivered, and return random results.

    Args:
        chance: The source of random numbers.
        after: Seconds to the next connection, or None to end with the first.
    """

    def __init__(self, chance: random.Random, after: float | None) -> None:
        self.chance = chance
        self.after = after
        self.seen: list[Any] = []
        self.pending: list[Deferred[Any]] = []

    def wait(self) -> Deferred[Any]:
        """Return a Deferred that the test fires later."""
        self.pending.append(Deferred())
        return self.pending[-1]

    def handle_frame(self, frame: Any, state: Any) -> Any:
        self.seen.append(frame.payload)
        choice = self.chance.random()
        if choice < 0.2:
            return self.wait()
        if choice < 0.7:
            return Reply(Text("reply"), state)
        if choice < 0.72:
            self.client.sys.suspend()
        elif choice < 0.76:
            self.client.sys.replace_state(lambda state: state)
        return None

    def handle_cast(self, message: Any, state: Any) -> Any:
        self.seen.append(message)
        if self.chance.random() < 0.3:
            return Reply(Text("reply"), state)
        return self.wait() if self.chance.random() < 0.2 else None

    def handle_ping(self, frame: Any, state: Any) -> Any:
        self.seen.append(frame.payload.decode())
        return Reply(Pong(frame.payload), state)

    def handle_disconnect(self, status: wsx.Disconnect, state: Any) -> Any:
        self.seen.append("disconnect")
        return Ok(state) if self.after is None else Reconnect(state, after=self.after)


class RandomCase(MemoryCase):
    """A client, and a server that does random things.

    Attributes:
        sent: What must be delivered, in order.
        buffer_full: Whether the write buffer of the present connection is full.
    """

    def begin(self, seed: int, after: float | None) -> None:
        """Open a new client."""
        super().setUp()
        self.chance = random.Random(seed)
        self.handler = RandomHandler(self.chance, after)
        self.client = self.open(self.handler)
        self.sent: list[Any] = []
        self.buffer_full = False
        self.number = 0

    def data(self) -> bytes:
        """Return some frames, and expect their delivery."""
        frames = b""
        for _ in range(self.chance.randint(1, 6)):
            payload = self.next_payload()
            is_text = self.chance.random() < 0.85
            frames += text(payload) if is_text else server_frame(PING, payload.encode())
        return frames

    def next_payload(self) -> str:
        """Return a new payload, and expect its delivery."""
        self.number += 1
        self.sent.append(f"f{self.number}")
        return str(self.sent[-1])

    def send(self) -> None:
        self.peer.send(self.data())

    def cast(self) -> None:
        self.client.cast(self.next_payload())

    def fill(self) -> None:
        """Report a full write buffer."""
        if not self.buffer_full:
            self.buffer_full = True
            self.peer.buffer.pauseProducing()

    def drain(self) -> None:
        """Report that the write buffer has drained."""
        if self.buffer_full:
            self.buffer_full = False
            self.peer.buffer.resumeProducing()

    def fire(self) -> None:
        """Fire the Deferred of a pending callback."""
        if self.handler.pending:
            late = self.chance.random() < 0.5
            self.handler.pending.pop().callback(Reply(Text("late"), None) if late else None)

    def act(self, weights: dict[Callable[[], object], int], times: int) -> None:
        """Do random things."""
        for _ in range(times):
            [action] = self.chance.choices(list(weights), list(weights.values()))
            action()

    def finish_delivery(self, is_complete: Callable[[], bool]) -> None:
        """Let everything be delivered that can be delivered."""
        for _ in range(3000):
            self.client.sys.resume()
            while self.handler.pending:
                self.handler.pending.pop().callback(None)
            self.clock.advance(0)
            if is_complete():
                break

    def tick(self) -> None:
        self.clock.advance(0)

    def resume(self) -> None:
        self.client.sys.resume()

    def suspend(self) -> None:
        self.client.sys.suspend()


class OneConnectionTests(RandomCase):
    """Everything is delivered once and in order, and reading is resumed."""

    def scenario(self) -> None:
        weights: dict[Callable[[], object], int] = {
            self.send: 40,
            self.cast: 10,
            self.fill: 10,
            self.drain: 15,
            self.fire: 10,
            self.resume: 5,
            self.suspend: 2,
            self.tick: 8,
        }
        self.act(weights, 200)
        self.drain()
        self.finish_delivery(lambda: len(self.handler.seen) >= len(self.sent))
        self.finish_delivery(lambda: not self.handler.pending)
        self.finish_delivery(lambda: not self.handler.pending)
        self.assertEqual(self.handler.seen, self.sent)
        self.assertFalse(self.peer.transport.reading_paused)
        self.client.stop()
        self.peer.drop()
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(range(8))
    def test_order(self, part: int) -> None:
        """Frames and casts are delivered in the order of their arrival."""
        for seed in range(part * SEEDS_PER_TEST, (part + 1) * SEEDS_PER_TEST):
            self.begin(seed, None)
            with case(seed):
                self.scenario()


class SeveralConnectionsTests(RandomCase):
    """Connections that end while frames are held."""

    def begin_connection(self) -> None:
        self.buffer_full = False
        self.waiting: list[Deferred[Any]] = []
        self.closed: Deferred[None] | None = None

    def send_frame(self) -> None:
        """Send a frame whose Deferred must fire before the next connection."""
        timeout = self.chance.choice([None, 1.0])
        sent = self.client.send_frame(Text("s"), timeout=timeout)
        self.waiting.append(sent.addErrback(lambda _: None))

    def cast(self) -> None:
        """Cast a message that counts as delivered; casts may wait for the next connection."""
        self.client.cast(None)

    def end_connection(self) -> None:
        """End the connection in one of several ways, with frames that must be delivered."""
        peer = self.peer

        def close_it() -> None:
            self.closed = self.client.close()
            peer.send(text("ignored") if self.chance.random() < 0.5 else b"")

        def answer_and_close() -> None:
            code = self.chance.choice([1000, 1008])
            peer.send(self.data() + close(code) + text("after"))

        def violate_protocol() -> None:
            peer.send(self.data() + b"\xff\xff\xff")

        self.act({peer.drop: 30, close_it: 20, answer_and_close: 30, violate_protocol: 20}, 1)
        if self.chance.random() < 0.3 and not peer.transport.ended:
            self.drain()
        self.step()
        if not peer.transport.ended:
            peer.drop()

    def scenario(self) -> None:
        weights: dict[Callable[[], object], int] = {
            self.send: 40,
            self.cast: 5,
            self.fill: 15,
            self.drain: 10,
            self.fire: 10,
            self.resume: 5,
            self.suspend: 2,
            self.send_frame: 5,
            self.tick: 8,
        }
        for _ in range(4):
            self.begin_connection()
            self.act(weights, 30)
            self.end_connection()
            self.finish_delivery(lambda: self.client.status == "connecting")
            self.sent.append("disconnect")
            seen = [payload for payload in self.handler.seen if payload is not None]
            self.assertEqual(seen, self.sent)
            self.assertEqual(self.client.status, "connecting")
            self.assertTrue(all(sent.called for sent in self.waiting))
            if self.closed is not None:
                self.successResultOf(self.closed)
            self.peer.answer()
            self.step()
        self.finish_delivery(lambda: not self.handler.pending)
        ended = self.client.stop()
        self.peer.drop()
        self.step()
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(range(8))
    def test_order(self, part: int) -> None:
        """Frames are delivered before the loss of their connection, and every Deferred fires."""
        for seed in range(part * SEEDS_PER_TEST, (part + 1) * SEEDS_PER_TEST):
            self.begin(seed, 0.0)
            with case(seed):
                self.scenario()
