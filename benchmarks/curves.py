"""The curves: how cost grows with the amount of work."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import PEERS
from benchmarks.processes import Bench, run_client
from benchmarks.rows import MB
from benchmarks.work import Work

KIB = 1024
LINEAR = "linear"
FLAT = "flat"

_WSX = ("wsx", "wsx-pure")
_STREAM_PEERS = (*_WSX, "picows", "autobahn")
_MANY_PEERS = (*_WSX, "picows")
_SPARE_DESCRIPTORS = 100
_BURST = 200  # messages per connection and read: what there is besides them hardly shows
_FAN_MESSAGES = 1_600_000
_VOLUME = 64 * MB  # bytes for one point of the curve of sizes...
_MOST_MESSAGES = 200_000  # ...and its limit


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: as on the command line.
        title, x: for people.
        unit: of its values, the cost of one unit of work: seconds, or KiB.
        points: where it is measured.
        quick_points: the same in the quick form.
        peers: of whom.
        expectation: ``LINEAR``: the unit cost must not grow; ``FLAT``: nor fall.
        within: the largest ratio of unit costs that counts as that.
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

    def measure(self, bench: Bench, peer: str, points: Sequence[int]) -> list[float]:
        """Measures the unit cost at each point.

        Raises:
            Void: a run failed, or did something else.
        """
        return [self.measure_point(bench, peer, point) for point in points]

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        """Measures the unit cost at one point."""
        raise NotImplementedError

    def possible(self, points: Sequence[int]) -> list[int]:
        """Gives the points that this machine allows."""
        return list(points)


class Messages(Curve):
    """Time per message of a stream, without the opening of its connection."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        numbers = bench.run(PEERS[peer], Work("receive", point))
        return float((numbers["seconds"] - numbers["opening"]) / point)


class Sizes(Curve):
    """Time per byte of a stream of messages of one size."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        count = max(1, min(_MOST_MESSAGES, _VOLUME // point))
        numbers = bench.run(PEERS[peer], Work("receive", count, point))
        return float((numbers["seconds"] - numbers["opening"]) / count / point)


class Connections(Curve):
    """The process's own time per message, with all connections receiving."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        repeat = 1 + max(1, _FAN_MESSAGES // (_BURST * point))
        work = Work("fan", point, burst=_BURST, repeat=repeat)
        numbers = bench.run(PEERS[peer], work)
        return float(numbers["cpu_seconds"] / numbers["timed_messages"])

    def possible(self, points: Sequence[int]) -> list[int]:
        return within_descriptors(points)


class ConnectionMemory(Curve):
    """Memory per idle connection."""

    def measure_point(self, bench: Bench, peer: str, point: int) -> float:
        return float(bench.run(PEERS[peer], Work("memory", point))["kib"])

    def possible(self, points: Sequence[int]) -> list[int]:
        return within_descriptors(points)


class InMemory(Curve):
    """What :mod:`benchmarks.inmemory` measures; one process for all points."""

    def measure(self, bench: Bench, peer: str, points: Sequence[int]) -> list[float]:
        arguments = ["-m", "benchmarks.inmemory", self.name, *map(str, points)]
        values: list[float] = run_client(bench.cores.client, arguments, PEERS[peer])
        return values


def within_descriptors(points: Sequence[int]) -> list[int]:
    """Gives the numbers of connections that the limit on open files allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [point for point in points if point + _SPARE_DESCRIPTORS <= most]


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
        (1, 10, 100, 1_000, 10_000, 100_000, MB, 4 * MB, 16 * MB),
        (100, 10_000, MB, 16 * MB),
        _STREAM_PEERS,
        within=8.0,  # from 1 MB on the caches are too small; quadratic would be over 100
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
        (2, 10, 100, 1_000, 10_000, 100_000),  # a message of one is not fragmented
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
    ConnectionMemory(
        "connection-memory",  # ten connections are less than what an allocator takes at a time
        "Memory per idle connection, by connections",
        "connections",
        "KiB",
        (100, 1_000, 4_000, 8_000),
        (100, 1_000),
        _MANY_PEERS,
        FLAT,
        within=1.2,
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
