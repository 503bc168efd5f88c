"""The curves without sockets: complete wsx clients connected to the in-memory server of the tests.

``python -m benchmarks.inmemory CURVE POINT...`` prints a JSON list of the seconds per unit of work,
one for each point, in the same order. The process fails if a client did not receive exactly what
the server sent.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

from twisted.internet.task import Clock

import wsx
from benchmarks import wire
from benchmarks.peers.job import LARGEST
from wsx.test.support import URL, MemoryServer

READ = 64 * 1024  # The number of bytes that Twisted reads at a time.
_FRAMES = 100_000  # The total, independent of the number per read.
_SIZE = 100
_BEGIN_TEXT, _CONTINUATION, _LAST = 0x01, 0x00, 0x80


class Counter(wsx.Handler[None]):
    """Count messages, characters and casts."""

    def __init__(self) -> None:
        self.messages = self.characters = self.casts = 0

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        self.messages += 1
        self.characters += len(frame.payload)

    def handle_cast(self, message: Any, state: None) -> None:
        self.casts += 1


class Harness:
    """A client, its clock and its server."""

    def __init__(self, **options: Any) -> None:
        self.handler = Counter()
        self._clock = Clock()
        self._server = MemoryServer(self._clock)
        options |= {"reactor": self._clock, "endpoint": self._server, "ping_interval": None}
        options |= {"max_message_size": LARGEST, "async_": True}
        self.client: Any = wsx.start(URL, self.handler, None, **options).result

    def open(self) -> None:
        """Complete the opening handshake."""
        self._server.peer.answer()
        self.step()

    def step(self) -> None:
        """Run all calls that are due now, as the next reactor iteration would."""
        while self._clock.calls and self._clock.calls[0].getTime() <= self._clock.seconds():
            self._clock.advance(0)

    def feed(self, data: bytes, read: int) -> None:
        """Deliver ``data`` to the client in reads of ``read`` bytes."""
        receive = self._server.peer.protocol.dataReceived
        for start in range(0, len(data), read):
            receive(data[start : start + read])
            self.step()

    def timed_feed(self, data: bytes, read: int, messages: int, characters: int) -> float:
        """Return the seconds that ``feed`` takes on an open connection."""
        self.open()
        started = perf_counter()
        self.feed(data, read)
        seconds = perf_counter() - started
        counted = self.handler.messages, self.handler.characters
        if counted != (messages, characters):
            raise SystemExit(
                f"(messages, characters): expected {(messages, characters)}, got {counted}"
            )
        return seconds


def large(size: int) -> float:
    """Return the seconds per byte of one message in reads of 64 KiB."""
    return Harness().timed_feed(wire.frame(b"x" * size), READ, 1, size) / size


def bytewise(size: int) -> float:
    """Return the seconds per byte of one message that arrives one byte at a time."""
    return Harness().timed_feed(wire.frame(b"x" * size), 1, 1, size) / size


def frames_per_read(count: int) -> float:
    """Return the seconds per message with ``count`` short messages in each read."""
    one = wire.frame(b"x" * _SIZE)
    data = one * _FRAMES
    return Harness().timed_feed(data, len(one) * count, _FRAMES, _FRAMES * _SIZE) / _FRAMES


def fragments(count: int) -> float:
    """Return the seconds per fragment of messages of ``count`` fragments in reads of 64 KiB."""
    messages = max(1, _FRAMES // count)
    data = _fragmented(count) * messages
    total = messages * count
    return Harness().timed_feed(data, READ, messages, total * _SIZE) / total


def _fragmented(count: int) -> bytes:
    payload = b"x" * _SIZE
    if count == 1:
        return wire.frame(payload)
    middle = wire.frame(payload, _CONTINUATION) * (count - 2)
    last = wire.frame(payload, _LAST | _CONTINUATION)
    return wire.frame(payload, _BEGIN_TEXT) + middle + last


def casts(count: int) -> float:
    """Return the seconds per cast with ``count`` casts queued before the connection opens."""
    harness = Harness(mailbox_limit=count)
    started = perf_counter()
    for number in range(count):
        harness.client.cast(number)
    harness.open()
    seconds = perf_counter() - started
    if harness.handler.casts != count:
        raise SystemExit(f"casts: expected {count}, got {harness.handler.casts}")
    return seconds / count


CURVES: dict[str, Callable[[int], float]] = {
    "large": large,
    "bytewise": bytewise,
    "frames-per-read": frames_per_read,
    "fragments": fragments,
    "casts": casts,
}


def main() -> None:
    """Measure the points of one curve and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curve", choices=CURVES)
    parser.add_argument("points", type=int, nargs="+")
    options = parser.parse_args()
    measure = CURVES[options.curve]
    measure(options.points[0])  # Warm up: some work is done only once in a process.
    print(json.dumps([measure(point) for point in options.points]))


if __name__ == "__main__":
    main()
