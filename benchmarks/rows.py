"""The rows of the results: the work that every peer does, and the targets for wsx."""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace

from benchmarks.latency import Histogram
from benchmarks.work import Numbers, Work

BEST = "best"  # The best competitor of the row in the same run.
MB = 1024 * 1024
SPARE_DESCRIPTORS = 100  # For everything that is not a measured connection.
_QUICK_CONNECTIONS = 200


@dataclass(frozen=True)
class Target:
    """A target: ``factor`` times the median of a reference.

    Attributes:
        peers: The names of peers; the best of them must reach the target.
        factor: The required multiple of the reference, or the required value if there is none.
        reference: The name of a peer, ``BEST``, or None. Default ``BEST``.
        plus: What is added to the required value. Default 0.0.
    """

    peers: tuple[str, ...]
    factor: float
    reference: str | None = BEST
    plus: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row of the results.

    Attributes:
        name: The name on the command line.
        title: The title in tables and charts.
        unit: The unit of the values.
        work: The work of each run.
        quick_count: The count of the work with ``--quick``.
        targets: The targets for wsx.
        lower_is_better: Whether lower values are better, as for memory. Default False.
    """

    name: str
    title: str
    unit: str
    work: Work
    quick_count: int
    targets: tuple[Target, ...]
    lower_is_better: bool = False

    def value(self, numbers: Numbers) -> float:
        """Return the value of a run, in the unit of the row."""
        if self.work.task == "memory":
            return float(numbers["kib"])
        if self.work.task == "latency":
            return Histogram.merge([numbers["latencies"]]).percentile(99)
        count = numbers.get("connections", self.work.count)
        return float(count / numbers["seconds"])

    def cpu_cost(self, numbers: Numbers) -> float:
        """Return the client's CPU time of a run in seconds per unit of work."""
        return float(numbers["cpu_seconds"] / numbers.get("connections", self.work.count))

    def quick(self) -> Row:
        """Return the row for ``--quick``: with less work, and without targets."""
        connections = min(self.work.connections, _QUICK_CONNECTIONS)
        work = replace(self.work, count=self.quick_count, connections=connections)
        return replace(self, work=work, targets=())

    def within_limits(self) -> Row:
        """Return the row with as many connections as the limit on open files allows."""
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = limit - SPARE_DESCRIPTORS
        work = replace(self.work, connections=min(self.work.connections, most))
        if work.task in ("connects", "memory"):
            work = replace(work, count=min(work.count, most))
        return replace(self, work=work)

    def is_better(self, one: float, other: float) -> bool:
        """Return whether ``one`` is at least as good as ``other``."""
        return one <= other if self.lower_is_better else one >= other


_WSX = ("wsx",)

_ROWS = (
    Row(
        "receive",
        "Receive 100 B text messages",
        "messages/s",
        Work("receive", 500_000),
        100_000,
        (Target(_WSX, 2.5), Target(("wsx-pure",), 0.8)),
    ),
    Row(
        "receive-tls",
        "Receive 100 B text messages over TLS",
        "messages/s",
        Work("receive", 500_000, tls=True),
        100_000,
        (Target(_WSX, 2.0),),
    ),
    Row(
        "receive-ok",
        "Receive 100 B text messages, returning Ok(state)",
        "messages/s",
        Work("receive", 500_000, returns_state=True),
        100_000,
        (Target(_WSX, 2.0),),
    ),
    Row(
        "receive-ok-tls",
        "Receive 100 B text messages over TLS, returning Ok(state)",
        "messages/s",
        Work("receive", 500_000, tls=True, returns_state=True),
        100_000,
        (Target(_WSX, 2.0),),
    ),
    Row(
        "receive-1mb",
        "Receive 1 MB text messages",
        "messages/s",
        Work("receive", 1_000, MB),
        200,
        (Target(_WSX, 1.0),),
    ),
    Row(
        "receive-1mb-tls",
        "Receive 1 MB text messages over TLS",
        "messages/s",
        Work("receive", 500, MB, tls=True),
        100,
        (Target(_WSX, 1.0),),
    ),
    Row(
        "send",
        "Send 100 B text messages",
        "messages/s",
        Work("send", 300_000),
        50_000,
        (Target(_WSX, 2.5),),
    ),
    Row(
        "send-burst",
        "Send 100 B text messages in one callback, without waiting",
        "messages/s",
        Work("burst", 100_000),
        50_000,
        (Target(_WSX, 2.0),),
    ),
    Row(
        "echo",
        "Echo round trips, one at a time",
        "round trips/s",
        Work("echo", 20_000),
        3_000,
        (Target(("wsx", "wsx-uvloop"), 1.0), Target(_WSX, 1.0, "raw-twisted")),
    ),
    Row(
        "echo-tls",
        "Echo round trips over TLS, one at a time",
        "round trips/s",
        Work("echo", 10_000, tls=True),
        2_000,
        (Target(("wsx", "wsx-uvloop"), 1.0), Target(_WSX, 1.0, "raw-twisted")),
    ),
    Row(
        "latency",
        "99th percentile of echo round trips under load, over TLS",
        "s",
        Work("latency", 10_000, tls=True, connections=8_000, rate=2_000),
        4_000,
        (),
        lower_is_better=True,
    ),
    Row(
        "connects",
        "Connections made, at most 50 at a time",
        "connections/s",
        Work("connects", 2_000),
        500,
        (Target(_WSX, 0.8),),
    ),
    Row(
        "connects-tls",
        "TLS connections made, at most 50 at a time",
        "connections/s",
        Work("connects", 2_000, tls=True),
        300,
        (Target(_WSX, 0.8),),
    ),
    Row(
        "memory",
        "Memory of an idle connection",
        "KiB per connection",
        Work("memory", 2_000),
        500,
        (Target(_WSX, 10.0, None),),
        lower_is_better=True,
    ),
    Row(
        "memory-tls",
        "Memory of an idle TLS connection",
        "KiB per connection",
        Work("memory", 8_000, tls=True),
        500,
        (Target(_WSX, 1.0, "raw-pyopenssl", plus=30.0),),
        lower_is_better=True,
    ),
)

ROWS: dict[str, Row] = {row.name: row for row in _ROWS}
