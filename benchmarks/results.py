"""The raw numbers of each run, and the statistics computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from benchmarks.curves import FLAT, Curve
from benchmarks.latency import Histogram
from benchmarks.peers import PEERS
from benchmarks.rows import BEST, Row, Target
from benchmarks.work import Numbers


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of several measurements."""

    minimum: float
    median: float
    maximum: float


def spread(values: Sequence[float]) -> Spread:
    """Summarize measurements."""
    return Spread(min(values), median(values), max(values))


@dataclass
class RowResult:
    """The results of a row.

    Attributes:
        row: The row that was measured.
        runs: The numbers of each run, by peer name.
        errors: Why a run was void, or why a peer did not run, by peer name.
    """

    row: Row
    runs: dict[str, list[Numbers]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def spreads(self) -> dict[str, Spread]:
        """Summarize the runs of each peer without an error."""
        return {
            peer: spread([self.row.value(numbers) for numbers in runs])
            for peer, runs in self.runs.items()
            if runs and peer not in self.errors
        }

    def server_shares(self) -> dict[str, float]:
        """Return the fraction of the time in which the server was busy, by peer name.

        A value near 1 means that the server was the bottleneck. Latencies are left out, because
        the server opens the connections before and never sleeps.
        """
        return {
            peer: median(numbers["server_cpu_seconds"] / numbers["seconds"] for numbers in runs)
            for peer, runs in self.runs.items()
            if all("seconds" in numbers and "latencies" not in numbers for numbers in runs)
        }

    def cpu_costs(self) -> dict[str, float]:
        """Return the client's median CPU time in seconds per unit of work, by peer name."""
        return {
            peer: median(self.row.cpu_cost(numbers) for numbers in runs)
            for peer, runs in self.runs.items()
            if all("cpu_seconds" in numbers for numbers in runs)
        }

    def histograms(self) -> dict[str, Histogram]:
        """Return the histogram of all runs of each peer; empty unless the row has latencies."""
        return {
            peer: Histogram.merge(numbers["latencies"] for numbers in self.runs[peer])
            for peer in self.spreads()
            if all("latencies" in numbers for numbers in self.runs[peer])
        }

    def best_competitor(self) -> str | None:
        """Return the name of the competitor with the best median, or None if there is none."""
        return self._best([name for name in self.spreads() if PEERS[name].competitor])

    def evaluate(self, target: Target) -> Verdict | None:
        """Compare the row with a target; return None if a peer or the reference is missing."""
        spreads = self.spreads()
        peer = self._best([name for name in target.peers if name in spreads])
        reference = self.best_competitor() if target.reference == BEST else target.reference
        if peer is None or (target.reference is not None and reference not in spreads):
            return None
        due = target.factor * (spreads[reference].median if reference is not None else 1.0)
        due += target.plus
        reached = spreads[peer].median
        met = self.row.is_better(reached, due)
        return Verdict(peer, reference, target.factor, due, reached, met)

    def _best(self, names: Sequence[str]) -> str | None:
        spreads = self.spreads()
        if not names:
            return None
        choose = min if self.row.lower_is_better else max
        return choose(names, key=lambda name: spreads[name].median)

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON-serializable dict, raw numbers first."""
        verdicts = [self.evaluate(target) for target in self.row.targets]
        return {
            "title": self.row.title,
            "unit": self.row.unit,
            "work": asdict(self.row.work),
            "runs": self.runs,
            "errors": self.errors,
            "summary": {peer: asdict(found) for peer, found in self.spreads().items()},
            "best_competitor": self.best_competitor(),
            "targets": [asdict(verdict) for verdict in verdicts if verdict is not None],
        }


@dataclass(frozen=True)
class Verdict:
    """Whether a target was met, and by how much.

    Attributes:
        peer: The best of the target's peers.
        reference: The peer that the target refers to, or None.
        factor: The required multiple of the reference.
        due: The required value, in the row's unit.
        reached: The median of ``peer``, in the row's unit.
        met: Whether ``reached`` is at least as good as ``due``.
    """

    peer: str
    reference: str | None
    factor: float
    due: float
    reached: float
    met: bool


@dataclass
class CurveResult:
    """The results of a curve.

    Attributes:
        curve: The curve that was measured.
        points: The points that were measured.
        skipped: The points that this machine does not allow.
        rounds: The unit costs of each round, in the order of the points, by peer name.
        errors: Why a round was void, by peer name.
    """

    curve: Curve
    points: list[int]
    skipped: list[int]
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def spreads(self) -> dict[str, list[Spread]]:
        """Summarize each point of each peer without an error."""
        return {
            peer: [spread(values) for values in zip(*rounds, strict=True)]
            for peer, rounds in self.rounds.items()
            if rounds and peer not in self.errors
        }

    def growths(self) -> dict[str, Growth]:
        """Return the growth of the unit cost, by peer name."""
        return {
            peer: growth([found.median for found in spreads], self.curve)
            for peer, spreads in self.spreads().items()
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON-serializable dict."""
        return {
            "title": self.curve.title,
            "x": self.curve.x,
            "unit": self.curve.unit,
            "expectation": self.curve.expectation,
            "within": self.curve.within,
            "points": self.points,
            "skipped": self.skipped,
            "rounds": self.rounds,
            "errors": self.errors,
            "growth": {peer: asdict(found) for peer, found in self.growths().items()},
        }


@dataclass(frozen=True)
class Growth:
    """How the unit cost changes along a curve.

    Attributes:
        neighbours: The largest ratio of the unit costs of two neighbouring points.
        extremes: The largest ratio of the unit costs of any two points. Unless the curve is
            expected to be flat, only ratios of a later point to an earlier one count.
        met: Whether the expectation of the curve is met.
    """

    neighbours: float
    extremes: float
    met: bool


def growth(values: Sequence[float], curve: Curve) -> Growth:
    """Compare the unit costs of a curve with its expectation.

    The unit cost of a linear curve may fall, because more work shares the fixed costs.
    """
    rises = [later / earlier for earlier, later in pairwise(values)] or [1.0]
    if curve.expectation == FLAT:
        neighbours = max(max(rise, 1 / rise) for rise in rises)
        extremes = max(values) / min(values)
        return Growth(neighbours, extremes, extremes <= curve.within)
    extremes = max(value / min(values[: at + 1]) for at, value in enumerate(values))
    return Growth(max(rises), extremes, extremes <= curve.within)
