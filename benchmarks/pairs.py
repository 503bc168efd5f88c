"""Compare two versions of wsx: alternate runs in pairs, and the ratios of each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import comb
from statistics import median, quantiles
from typing import Any

from benchmarks.peers import Peer
from benchmarks.processes import Bench
from benchmarks.rounds import print_progress
from benchmarks.rows import Row
from benchmarks.work import Numbers, Void

_CONFIDENCE = 0.95
# With fewer pairs, even the smallest and the largest ratio do not bound the median this surely.
FEWEST = 6


@dataclass(frozen=True)
class Estimate:
    """How this checkout compares with the other revision; ratios above 1 are in its favour.

    Attributes:
        old: The median of the other revision.
        new: The median of this checkout.
        ratio: The ratio of these medians.
        paired: The median of the ratios of the pairs.
        quartiles: The first and the third quartile of the ratios of the pairs.
        interval: An interval that contains the true median of these ratios with a confidence of
            at least 95 %; the smallest and the largest ratio if there are fewer than ``FEWEST``.
        pairs: The number of pairs.
    """

    old: float
    new: float
    ratio: float
    paired: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]
    pairs: int

    @property
    def verdict(self) -> str:
        """What the interval shows."""
        low, high = self.interval
        if self.pairs < FEWEST:
            return "too few pairs"
        if low > 1:
            return "better"
        return "WORSE" if high < 1 else "no difference shown"


@dataclass
class PairResult:
    """The pairs of a peer in a row.

    Attributes:
        row: The row.
        peer: The name of the peer.
        pairs: The numbers of the other revision and of this checkout, for each pair.
        error: Why a run was void or the peer did not run, or None.
    """

    row: Row
    peer: str
    pairs: list[tuple[Numbers, Numbers]] = field(default_factory=list)
    error: str | None = None

    def value(self) -> Estimate:
        """Compare the values of the row."""
        pairs = [(self.row.value(old), self.row.value(new)) for old, new in self.pairs]
        return estimate(pairs, lower_is_better=self.row.lower_is_better)

    def cpu_cost(self) -> Estimate | None:
        """Compare the CPU time for each unit of work; return None if it was not measured."""
        if any("cpu_seconds" not in numbers for pair in self.pairs for numbers in pair):
            return None
        pairs = [(self.row.cpu_cost(old), self.row.cpu_cost(new)) for old, new in self.pairs]
        return estimate(pairs, lower_is_better=True)

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON-serializable dict."""
        result: dict[str, Any] = {"row": self.row.name, "peer": self.peer, "error": self.error}
        result["pairs"] = [{"old": old, "new": new} for old, new in self.pairs]
        if self.error is None:
            cost = self.cpu_cost()
            result |= {"value": asdict(self.value()), "cpu": cost and asdict(cost)}
        return result


def estimate(pairs: Sequence[tuple[float, float]], *, lower_is_better: bool) -> Estimate:
    """Compare the second values of pairs with the first ones."""
    olds, news = zip(*pairs, strict=True)
    ratios = sorted(_ratio(old, new, lower_is_better) for old, new in pairs)
    old, new = median(olds), median(news)
    lower, _, upper = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    skipped = _skipped(len(ratios))
    interval = ratios[skipped], ratios[-1 - skipped]
    ratio, paired = _ratio(old, new, lower_is_better), median(ratios)
    return Estimate(old, new, ratio, paired, (lower, upper), interval, len(pairs))


def _ratio(old: float, new: float, lower_is_better: bool) -> float:
    return old / new if lower_is_better else new / old


def _skipped(count: int) -> int:
    """Return how many of the sorted ratios lie outside the interval, at each end.

    The number of ratios below the true median has a binomial distribution, whatever the
    distribution of the ratios. This needs no assumption about the noise, and no random numbers.
    """
    skipped, tail = 0, 1 / 2**count
    while tail + comb(count, skipped + 1) / 2**count <= (1 - _CONFIDENCE) / 2:
        skipped += 1
        tail += comb(count, skipped) / 2**count
    return skipped


def measure_pairs(
    versions: tuple[Bench, Bench], row: Row, peers: Sequence[Peer], rounds: int
) -> list[PairResult]:
    """Measure a row with two versions, in the order ABBA; skip a peer after its first void run.

    Args:
        versions: The other revision and this checkout.
        row: The row.
        peers: The peers, which use either version.
        rounds: The number of pairs of each peer.
    """
    results = {peer.name: PairResult(row, peer.name) for peer in peers}
    for peer in peers:
        reason = peer.unsupported_reason(row.work.task)
        results[peer.name].error = f"not supported: {reason}" if reason else None
    for number in range(rounds):
        print_progress(f"{row.name}: pair {number + 1} of {rounds}")
        for peer in peers:
            result = results[peer.name]
            if result.error is None:
                _measure_pair(versions, peer, result, reverse=number % 2 == 1)
    return list(results.values())


def _measure_pair(
    versions: tuple[Bench, Bench], peer: Peer, result: PairResult, *, reverse: bool
) -> None:
    """Run both versions; the second one first if ``reverse``."""
    numbers: dict[int, Numbers] = {}
    for which in (1, 0) if reverse else (0, 1):
        try:
            numbers[which] = versions[which].run(peer, result.row.work)
        except Void as error:
            result.error = f"void: {('the other revision', 'this checkout')[which]}: {error}"
            print_progress(f"{result.row.name}: {peer.name}: {result.error}")
            return
    result.pairs.append((numbers[0], numbers[1]))
