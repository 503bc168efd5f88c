"""The curves: how cost grows with the amount of work."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import PEERS
from benchmarks.processes import Bench, run_client
from benchmarks.rows import MB, SPARE_DESCRIPTORS
from benchmarks.work import Work

KIB = 1024
LINEAR = "linear"
FLAT = "flat"

_WSX = ("wsx", "wsx-pure")
_STREAM_PEERS = (*_WSX, "picows+aiofastnet", "autobahn")
_MANY_PEERS = (*_WSX, "picows+aiofastnet")
# Messages per connection and read: enough to make the cost of the read itself negligible.
_BURST = 200
_FAN_MESSAGES = 1_600_000
# Bytes and largest number of messages for one point of the curve "sizes".
_VOLUME = 64 * MB
_MAX_MESSAGES = 200_000


@dataclass(frozen=True)
class Curve:
    """A curve: the cost of one unit of work as a function of the amount of work.

    Attributes:
        name: The name on the command line.
        title: The title in tables and charts.
        x: The label of the x axis.
        unit: The unit of the cost, for example ``"s/message"`` or ``"KiB"``.
        points: The amounts of work that are measured.
        quick_points: The amounts that are measured with ``--quick``.
        peers: The names of the peers that can be measured.
        expectation: ``LINEAR`` if the unit cost must not grow, ``FLAT`` if it must neither grow
            nor fall. Default ``LINEAR``.
        within: The largest ratio of unit costs that meets the expectation. Default 2.0.
        tls: Whether to use TLS; not for curves in memory. Default False.
    """

    name: str
    title: str
    x: str
    unit: str
    points: tuple[int, ...]
    quick_points: tuple[int, ...]
    peers: tuple[str, ...] = _WSX
    expectation: str = LINEAR
    within: float = 2.0
    tls: bool = False

    def measure(self, bench: Bench, peer: str, points: Sequence[int]) -> list[float]:
        """Measure the unit cost at each point.

        Raises:
            Void: A run failed or did not do exactly the requested work.
        """
        return [self.measure_point(bench, peer, point) for point in points]

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        """Measure the unit cost at one point."""
        raise NotImplementedError

    def possible_points(self, points: Sequence[int]) -> list[int]:
        """Return the points that can be measured on this machine."""
        return list(points)


class Messages(Curve):
    """Time per message of a stream, without the opening handshake."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        numbers = bench.run(PEERS[peer], Work("receive", point, tls=self.tls))
        return float((numbers["seconds"] - numbers["opening"]) / point)


class Sizes(Curve):
    """Time per byte of a stream of messages of the same size."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        count = max(1, min(_MAX_MESSAGES, _VOLUME // point))
        numbers = bench.run(PEERS[peer], Work("receive", count, point, tls=self.tls))
        return float((numbers["seconds"] - numbers["opening"]) / count / point)


class Connections(Curve):
    """CPU time of the client process per message while all connections receive."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        repeat = 1 + max(1, _FAN_MESSAGES // (_BURST * point))
        work = Work("fan", point, tls=self.tls, burst=_BURST, repeat=repeat)
        numbers = bench.run(PEERS[peer], work)
        return float(numbers["cpu_seconds"] / numbers["timed_messages"])

    def possible_points(self, points: Sequence[int]) -> list[int]:
        return filter_by_descriptors(points)


class ConnectionMemory(Curve):
    """Memory per idle connection."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        return float(bench.run(PEERS[peer], Work("memory", point, tls=self.tls))["kib"])

    def possible_points(self, points: Sequence[int]) -> list[int]:
        return filter_by_descriptors(points)


class InMemory(Curve):
    """A curve of :mod:`benchmarks.inmemory`; one process measures all points."""

    def measure(self, bench: Bench, peer: str, points: Sequence[int]) -> list[float]:
        arguments = ["-m", "benchmarks.inmemory", self.name, *map(str, points)]
        values: list[float] = run_client(bench.cores.client, arguments, PEERS[peer])
        return values


def filter_by_descriptors(points: Sequence[int]) -> list[int]:
    """Return the numbers of connections that the limit on open files allows."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [point for point in points if point + SPARE_DESCRIPTORS <= limit]


_SIZES = (1, 10, 100, 1_000, 10_000, 100_000, MB, 4 * MB, 16 * MB)  # bytes
_QUICK_SIZES = (100, 10_000, MB, 16 * MB)

_CURVES: tuple[Curve, ...] = (
    Messages(
        "messages",
        "Time per message, by messages received",
        "messages of 100 B",
        "s/message",
        (10_000, 30_000, 100_000, 300_000, 1_000_000),
        (10_000, 100_000),
        _STREAM_PEERS,
    ),
    Sizes(
        "sizes",
        "Time per byte, by size of the messages received",
        "bytes of a message",
        "s/byte",
        _SIZES,
        _QUICK_SIZES,
        _STREAM_PEERS,
        # From 1 MB on, messages exceed the CPU caches. Quadratic cost would exceed a ratio of 100.
        within=8.0,
    ),
    Sizes(
        "sizes-tls",
        "Time per byte over TLS, by size of the messages received",
        "bytes of a message",
        "s/byte",
        _SIZES,
        _QUICK_SIZES,
        _STREAM_PEERS,
        within=8.0,
        tls=True,
    ),
    InMemory(
        "large",
        "Time per byte of one message in reads of 64 KiB, in memory",
        "bytes of the message",
        "s/byte",
        (MB, 2 * MB, 4 * MB, 8 * MB, 16 * MB),
        (MB, 4 * MB, 16 * MB),
    ),
    InMemory(
        "bytewise",
        "Time per byte of one message that arrives a byte at a time, in memory",
        "bytes of the message",
        "s/byte",
        (64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, MB),
        (64 * KIB, 256 * KIB),
    ),
    InMemory(
        "frames-per-read",
        "Time per message, by messages in each read, in memory",
        "messages of 100 B in a read",
        "s/message",
        (1, 10, 100, 1_000, 10_000),
        (1, 100, 10_000),
    ),
    InMemory(
        "fragments",
        "Time per fragment, by fragments of each message, in memory",
        "fragments of 100 B",
        "s/fragment",
        (2, 10, 100, 1_000, 10_000, 100_000),  # A single fragment is not a fragmented message.
        (2, 100, 100_000),
    ),
    Connections(
        "connections",
        "Process time per message, by connections that all receive",
        "connections",
        "s/message",
        (10, 100, 1_000, 4_000, 8_000),
        (10, 1_000),
        _MANY_PEERS,
        FLAT,
        within=1.2,
    ),
    Connections(
        "connections-tls",
        "Process time per message over TLS, by connections that all receive",
        "connections",
        "s/message",
        (10, 100, 1_000, 4_000, 8_000),
        (10, 500),
        _MANY_PEERS,
        FLAT,
        within=1.2,
        tls=True,
    ),
    ConnectionMemory(
        "connection-memory",  # Fewer than 100 use less memory than the allocator's granularity.
        "Memory per idle connection, by connections",
        "connections",
        "KiB",
        (100, 1_000, 4_000, 8_000),
        (100, 1_000),
        _MANY_PEERS,
        FLAT,
        within=1.2,
    ),
    ConnectionMemory(
        "connection-memory-tls",
        "Memory per idle TLS connection, by connections",
        "connections",
        "KiB",
        (500, 1_000, 4_000, 8_000),  # What the first 100 allocate is used by later ones, too.
        (500, 1_000),
        (*_MANY_PEERS, "raw-pyopenssl"),
        FLAT,
        within=1.2,
        tls=True,
    ),
    InMemory(
        "casts",
        "Time per cast, by casts that wait for the connection, in memory",
        "pending casts",
        "s/cast",
        (100, 1_000, 10_000, 100_000),
        (100, 10_000),
    ),
)

CURVES: dict[str, Curve] = {curve.name: curve for curve in _CURVES}
