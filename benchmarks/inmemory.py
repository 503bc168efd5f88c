"""The curves that need no socket: whole wsx clients, fed by the in-memory server of its tests.

``python -m benchmarks.inmemory CURVE POINT...`` prints a list: the seconds per unit at each point,
in their order. What was delivered is counted; a difference is an error.
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

READ = 64 * 1024  # bytes that Twisted reads at a time
_FRAMES = 100_000  # in all, whatever the number per read
_SIZE = 100
_BEGIN_TEXT, _CONTINUATION, _LAST = 0x01, 0x00, 0x80


class Counter(wsx.Handler[None]):
    """Counts messages, characters and casts."""

    def __init__(self) -> None:
        self.messages = self.characters = self.casts = 0

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        self.messages += 1
        self.characters += len(frame.payload)

    def handle_cast(self, message: Any, state: None) -> None:
        self.casts += 1


class Rig:
    """A client, its clock and its server."""

    def __init__(self, **options: Any) -> None:
        self.handler = Counter()
        self._clock = Clock()
        self._server = MemoryServer(self._clock)
        options |= {"reactor": self._clock, "endpoint": self._server, "ping_interval": None}
        options |= {"max_message_size": LARGEST, "async_": True}
        self.client: Any = wsx.start(URL, self.handler, None, **options).result

    def open(self) -> None:
        """Completes the opening handshake."""
        self._server.peer.answer()
        self.step()

    def step(self) -> None:
        """Lets everything happen that waits for the next step of the reactor."""
        while self._clock.calls and self._clock.calls[0].getTime() <= self._clock.seconds():
            self._clock.advance(0)

    def feed(self, data: bytes, read: int) -> None:
        """Has the client read these bytes, so many at a time."""
        receive = self._server.peer.protocol.dataReceived
        for start in range(0, len(data), read):
            receive(data[start : start + read])
            self.step()

    def timed_feed(self, data: bytes, read: int, messages: int, characters: int) -> float:
        """Measures ``feed`` on an open connection."""
        self.open()
        started = perf_counter()
        self.feed(data, read)
        seconds = perf_counter() - started
        counted = self.handler.messages, self.handler.characters
        if counted != (messages, characters):
            raise SystemExit(f"{counted} instead of {(messages, characters)}")
        return seconds


def large(size: int) -> float:
    """One message, in reads of 64 KiB: seconds per byte."""
    return Rig().timed_feed(wire.frame(b"x" * size), READ, 1, size) / size


def bytewise(size: int) -> float:
    """One message, a byte at a time: seconds per byte."""
    return Rig().timed_feed(wire.frame(b"x" * size), 1, 1, size) / size


def frames_per_read(count: int) -> float:
    """So many short messages in each read: seconds per message."""
    one = wire.frame(b"x" * _SIZE)
    data = one * _FRAMES
    return Rig().timed_feed(data, len(one) * count, _FRAMES, _FRAMES * _SIZE) / _FRAMES


def fragments(count: int) -> float:
    """Messages of so many fragments, in reads of 64 KiB: seconds per fragment."""
    messages = max(1, _FRAMES // count)
    data = _fragmented(count) * messages
    total = messages * count
    return Rig().timed_feed(data, READ, messages, total * _SIZE) / total


def _fragmented(count: int) -> bytes:
    payload = b"x" * _SIZE
    if count == 1:
        return wire.frame(payload)
    middle = wire.frame(payload, _CONTINUATION) * (count - 2)
    last = wire.frame(payload, _LAST | _CONTINUATION)
    return wire.frame(payload, _BEGIN_TEXT) + middle + last


def casts(count: int) -> float:
    """So many casts wait for the connection, and are then delivered: seconds per cast."""
    rig = Rig(mailbox_limit=count)
    started = perf_counter()
    for number in range(count):
        rig.client.cast(number)
    rig.open()
    seconds = perf_counter() - started
    if rig.handler.casts != count:
        raise SystemExit(f"{rig.handler.casts} casts instead of {count}")
    return seconds / count


CURVES: dict[str, Callable[[int], float]] = {
    "large": large,
    "bytewise": bytewise,
    "frames-per-read": frames_per_read,
    "fragments": fragments,
    "casts": casts,
}


def main() -> None:
    """Measures the points of one curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curve", choices=CURVES)
    parser.add_argument("points", type=int, nargs="+")
    options = parser.parse_args()
    measure = CURVES[options.curve]
    measure(options.points[0])  # what is only made once in a process
    print(json.dumps([measure(point) for point in options.points]))


if __name__ == "__main__":
    main()
