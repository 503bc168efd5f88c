"""What was measured, and what follows from it: the raw numbers of each run are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from benchmarks.curves import FLAT, Curve
from benchmarks.peers import PEERS
from benchmarks.rows import BEST, Row, Target
from benchmarks.work import Numbers


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    minimum: float
    median: float
    maximum: float


def spread(values: Sequence[float]) -> Spread:
    """Sums up measurements."""
    return Spread(min(values), median(values), max(values))


@dataclass
class RowResult:
    """What the peers reached in a row.

    Attributes:
        runs: by peer, the numbers of each run.
        errors: by peer, why a run was void, or why it did not run.
    """

    row: Row
    runs: dict[str, list[Numbers]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def spreads(self) -> dict[str, Spread]:
        """Sums up each peer whose runs all count."""
        return {
            peer: spread([self.row.value(numbers) for numbers in runs])
            for peer, runs in self.runs.items()
            if runs and peer not in self.errors
        }

    def server_shares(self) -> dict[str, float]:
        """Says for what part of the time the server was busy, by peer; near 1, it was the limit."""
        return {
            peer: median(numbers["server_cpu_seconds"] / numbers["seconds"] for numbers in runs)
            for peer, runs in self.runs.items()
            if all("seconds" in numbers for numbers in runs)
        }

    def best_competitor(self) -> str | None:
        """Names the competitor with the best median."""
        return self._best([name for name in self.spreads() if PEERS[name].competitor])

    def judge(self, target: Target) -> Verdict | None:
        """Compares with a target; None where somebody is missing for that."""
        spreads = self.spreads()
        peer = self._best([name for name in target.peers if name in spreads])
        reference = self.best_competitor() if target.reference == BEST else target.reference
        if peer is None or (target.reference is not None and reference not in spreads):
            return None
        due = target.factor * (spreads[reference].median if reference is not None else 1.0)
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
        """Gives everything, raw numbers first."""
        verdicts = [self.judge(target) for target in self.row.targets]
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
    """How a target was met."""

    peer: str
    reference: str | None
    factor: float
    due: float
    reached: float
    met: bool


@dataclass
class CurveResult:
    """What a curve looks like.

    Attributes:
        points: those that were possible.
        skipped: those that were not.
        rounds: by peer, the unit costs of each round, in the order of the points.
        errors: by peer, why a round was void.
    """

    curve: Curve
    points: list[int]
    skipped: list[int]
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def spreads(self) -> dict[str, list[Spread]]:
        """Sums up each point of each peer whose rounds all count."""
        return {
            peer: [spread(values) for values in zip(*rounds, strict=True)]
            for peer, rounds in self.rounds.items()
            if rounds and peer not in self.errors
        }

    def growths(self) -> dict[str, Growth]:
        """Says how the unit cost of each peer grows."""
        return {
            peer: growth([found.median for found in spreads], self.curve)
            for peer, spreads in self.spreads().items()
        }

    def as_json(self) -> dict[str, Any]:
        """Gives everything."""
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
    """How unit costs change along a curve.

    Attributes:
        neighbours: the largest ratio of a point's unit cost to that of the point before.
        extremes: of any point's to that of any point before; of a flat curve, largest to smallest.
        met: whether that is as expected.
    """

    neighbours: float
    extremes: float
    met: bool


def growth(values: Sequence[float], curve: Curve) -> Growth:
    """Judges the unit costs of a curve; linear ones may fall, as fixed costs are shared by more."""
    rises = [later / earlier for earlier, later in pairwise(values)] or [1.0]
    if curve.expectation == FLAT:
        neighbours = max(max(rise, 1 / rise) for rise in rises)
        extremes = max(values) / min(values)
        return Growth(neighbours, extremes, extremes <= curve.within)
    extremes = max(value / min(values[: at + 1]) for at, value in enumerate(values))
    return Growth(max(rises), extremes, extremes <= curve.within)
