"""Echo round trips under load, measured by the server, and their histogram.

The server sends messages at random times, whose rate does not depend on the answers, on many
connections, and the client sends back each of them. So the code that measures is the same for all
peers, and a client that pauses delays all messages that arrive meanwhile.
"""

from __future__ import annotations

import math
import random
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, cycle
from typing import Any

from benchmarks import wire
from benchmarks.tls import TlsConnection

_UNIT = 1e-6  # Seconds; the lower bound of bucket 0.
_GROWTH = 1.01  # The ratio of the bounds of neighbouring buckets.
_PATIENCE = 10.0  # Seconds to wait for the last echoes.
_SEED = 12
PERCENTILES = (50.0, 99.0, 99.9)


class Histogram:
    """The number of round trips in each bucket; the bounds of a bucket differ by one percent.

    Attributes:
        buckets: The number of round trips, by number of the bucket.
        maximum: The longest round trip in seconds.
    """

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self.buckets: Counter[int] = Counter()
        self.maximum = 0.0
        for one in seconds:
            self.buckets[_bucket(one)] += 1
            self.maximum = max(self.maximum, one)

    @classmethod
    def merge(cls, runs: Iterable[dict[str, Any]]) -> Histogram:
        """Return the sum of several histograms, each as ``as_json`` returns it."""
        merged = cls()
        for run in runs:
            merged.buckets.update({int(number): count for number, count in run["buckets"].items()})
            merged.maximum = max(merged.maximum, run["maximum"])
        return merged

    def percentile(self, percent: float) -> float:
        """Return the seconds within which ``percent`` of the round trips were complete."""
        left = math.ceil(self.buckets.total() * percent / 100)
        for number in sorted(self.buckets):
            left -= self.buckets[number]
            if left <= 0:
                return min(bucket_bound(number + 1), self.maximum)
        return self.maximum

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON-serializable dict."""
        return {"buckets": dict(sorted(self.buckets.items())), "maximum": self.maximum}


def bucket_bound(number: int) -> float:
    """Return the lower bound of a bucket in seconds."""
    return float(_UNIT * _GROWTH**number)


def _bucket(seconds: float) -> int:
    return max(0, math.floor(math.log(seconds / _UNIT) / math.log(_GROWTH)))


class Echoing:
    """A connection whose client sends back each message."""

    def __init__(self, connection: socket.socket | TlsConnection, size: int) -> None:
        self._connection = connection
        self._message = wire.frame(b"x" * size)
        self._echo_size = wire.frame_size(size, masked=True)
        self._received = 0
        self._sent: deque[float] = deque()

    def send(self) -> None:
        """Note the time and send a message."""
        self._sent.append(time.perf_counter())
        self._connection.sendall(self._message)

    def receive(self) -> list[float]:
        """Receive what has arrived; return the times at which the messages sent back were sent.

        Raises:
            OSError: The connection has ended, or more arrived than was sent.
        """
        self._received += len(self._read())
        complete, self._received = divmod(self._received, self._echo_size)
        if complete > len(self._sent):
            raise ConnectionError("the client sent more messages than it received")
        return [self._sent.popleft() for _ in range(complete)]

    def _read(self) -> bytes:
        if isinstance(self._connection, TlsConnection):
            return self._connection.receive_ready()
        data = self._connection.recv(65536)
        if not data:
            raise ConnectionError("the client closed the connection")
        return data


class Measurement:
    """Send messages on one connection after another and wait for their echoes.

    Args:
        connections: The connections.
        count: The number of messages.
        rate: The average number of messages in each second.
        size: The size of each message in bytes.
    """

    def __init__(
        self,
        connections: Sequence[socket.socket | TlsConnection],
        count: int,
        rate: int,
        size: int,
    ) -> None:
        self._echoing = {one.fileno(): Echoing(one, size) for one in connections}
        order = list(self._echoing.values())
        random.Random(_SEED).shuffle(order)
        self._turns = cycle(order)
        self._offsets = schedule(count, rate)
        self._trips: list[float] = []

    def run(self) -> Histogram:
        """Return the histogram of the round trips.

        Raises:
            OSError: A connection has ended, or no echo arrived for some time.
        """
        with select.epoll() as poll:
            for descriptor in self._echoing:
                poll.register(descriptor, select.EPOLLIN)
            started = time.perf_counter()
            for offset in self._offsets:
                while time.perf_counter() < started + offset:
                    self._receive(poll)
                next(self._turns).send()
                self._receive(poll)
            self._receive_rest(poll)
        return Histogram(self._trips)

    def _receive(self, poll: select.epoll) -> None:
        """Receive echoes without sleeping: waking up takes longer than a round trip."""
        ready = poll.poll(0)
        now = time.perf_counter()
        for descriptor, _ in ready:
            self._trips += [now - sent for sent in self._echoing[descriptor].receive()]

    def _receive_rest(self, poll: select.epoll) -> None:
        deadline = time.perf_counter() + _PATIENCE
        while len(self._trips) < len(self._offsets):
            self._receive(poll)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(self._trips)} of {len(self._offsets)} echoes arrived")


def schedule(count: int, rate: int) -> list[float]:
    """Return the times in seconds of a Poisson process; they are the same in each run."""
    source = random.Random(_SEED)
    return list(accumulate(source.expovariate(rate) for _ in range(count)))
