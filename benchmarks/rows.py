"""The rows of the table: what is measured of every peer, and what wsx must reach."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.work import Numbers, Work

BEST = "best"  # the best competitor of the row, in the same run
MB = 1024 * 1024


@dataclass(frozen=True)
class Target:
    """What has to be reached: ``factor`` times what a reference reaches.

    Attributes:
        peers: the best of these counts.
        factor: of the reference; where there is none, the value itself.
        reference: a peer's name, ``BEST``, or None.
    """

    peers: tuple[str, ...]
    factor: float
    reference: str | None = BEST


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as on the command line.
        title: for people.
        unit: of its values.
        work: in the full form.
        quick_count: replaces the work's count in the quick form.
        targets: what must be reached.
        lower_is_better: so it is with memory.
    """

    name: str
    title: str
    unit: str
    work: Work
    quick_count: int
    targets: tuple[Target, ...]
    lower_is_better: bool = False

    def value(self, numbers: Numbers) -> float:
        """Gives what a run reached, in the row's unit."""
        if self.work.task == "memory":
            return float(numbers["kib"])
        count = numbers.get("connections", self.work.count)
        return float(count / numbers["seconds"])

    def quick(self) -> Row:
        """Gives the row with less to do: too little to judge targets by."""
        work = replace(self.work, count=self.quick_count)
        return replace(self, work=work, targets=())

    def is_better(self, one: float, other: float) -> bool:
        """Says whether one value is at least as good as another."""
        return one <= other if self.lower_is_better else one >= other


_WSX = ("wsx",)

_ROWS = (
    Row(
        "receive",
        "Receive 100 B text messages",
        "messages/s",
        Work("receive", 500_000),
        100_000,
        (Target(_WSX, 2.0), Target(("wsx-pure",), 0.8)),
    ),
    Row(
        "receive-tls",
        "Receive 100 B text messages over TLS",
        "messages/s",
        Work("receive", 500_000, tls=True),
        100_000,
        (Target(_WSX, 1.5),),
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
        (Target(_WSX, 0.95, "raw-twisted"),),
    ),
    Row(
        "send",
        "Send 100 B text messages",
        "messages/s",
        Work("send", 300_000),
        50_000,
        (Target(_WSX, 1.5),),
    ),
    Row(
        "send-burst",
        "Send 100 B text messages in one callback, without waiting",
        "messages/s",
        Work("burst", 100_000),
        50_000,
        (Target(_WSX, 1.0, "autobahn"),),
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
        "connects",
        "Connections made, at most 50 at a time",
        "connections/s",
        Work("connects", 2_000),
        500,
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
)

ROWS: dict[str, Row] = {row.name: row for row in _ROWS}
