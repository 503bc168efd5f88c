"""Text tables of rows and curves."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.curves import FLAT, Curve
from benchmarks.latency import PERCENTILES
from benchmarks.pairs import Estimate, PairResult
from benchmarks.peers import PEERS
from benchmarks.results import CurveResult, RowResult, Spread, Verdict
from benchmarks.rows import Row, Target

_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9))


def number(value: float, unit: str = "") -> str:
    """Format a number with three significant digits and an SI prefix."""
    if unit.startswith("KiB"):
        return f"{value:.2f}"
    for prefix, factor in _PREFIXES:
        if value >= factor:
            return f"{value / factor:.3g} {prefix}".rstrip()
    return f"{value * 1e12:.3g} p"


def row_table(result: RowResult) -> str:
    """Format a row: one line for each peer, then the targets."""
    row, spreads, best = result.row, result.spreads(), result.best_competitor()
    order = sorted(spreads, key=lambda name: spreads[name].median, reverse=not row.lower_is_better)
    lines = [
        f"{row.title} ({row.name}), {row.unit}; {row.work.count:,} in each run",
        f"  {'peer':<26}{'min':>9}{'median':>9}{'max':>9}{'x best peer':>13}{'CPU':>9}"
        f"{'server':>8}",
    ]
    shares, costs = result.server_shares(), result.cpu_costs()
    for name in order:
        ratio = f"{spreads[name].median / spreads[best].median:.2f}" if best else ""
        share = f"{shares[name]:.0%}" if name in shares else ""
        cost = f"{number(costs[name])}s" if name in costs else ""
        lines.append(
            f"{_peer_columns(name, spreads[name], row.unit)}{ratio:>13}{cost:>9}{share:>8}"
        )
    lines += [f"  {name:<26}{reason}" for name, reason in result.errors.items()]
    lines += _percentile_lines(result)
    lines += [_verdict_line(target, result.evaluate(target), row.unit) for target in row.targets]
    return "\n".join(lines)


def _percentile_lines(result: RowResult) -> list[str]:
    """Format the percentiles of all round trips of each peer."""
    found = result.histograms()
    if not found:
        return []
    columns = "".join(f"{label:>9}" for label in (*(f"p{one:g}" for one in PERCENTILES), "max"))
    lines = [f"  round trips of all runs, in s{columns:>43}"]
    for name in sorted(found, key=lambda name: found[name].percentile(99)):
        values = [*map(found[name].percentile, PERCENTILES), found[name].maximum]
        lines.append(f"  {name:<35}" + "".join(f"{number(value):>9}" for value in values))
    return lines


def _peer_columns(name: str, spread: Spread, unit: str) -> str:
    mark = "" if PEERS[name].competitor or name.startswith("wsx") else " *"  # A baseline.
    values = (spread.minimum, spread.median, spread.maximum)
    return f"  {name + mark:<26}" + "".join(f"{number(value, unit):>9}" for value in values)


def _verdict_line(target: Target, verdict: Verdict | None, unit: str) -> str:
    peers = " or ".join(target.peers)
    if verdict is None:
        return f"  target: {peers}: not measured"
    outcome = "MET" if verdict.met else "NOT MET"
    reached, required = number(verdict.reached, unit), number(verdict.due, unit)
    if verdict.reference is None:
        return f"  target: {peers}: at most {required} {unit}: reached {reached}: {outcome}"
    if target.plus:
        required = f"{target.plus:g} {unit} = {required}"
    ratio = "" if target.plus else f", {verdict.reached / verdict.due * verdict.factor:.2f} x"
    return (
        f"  target: {peers}: {verdict.factor:g} x {verdict.reference}"
        f"{' + ' if target.plus else ' = '}{required}: {verdict.peer} reached {reached}{ratio}:"
        f" {outcome}"
    )


def pair_table(row: Row, results: Sequence[PairResult]) -> str:
    """Format the comparison of two versions in a row."""
    lines = [
        f"{row.title} ({row.name}), {row.unit}; {row.work.count:,} in each run; ratios above 1:"
        " new is better",
        f"  {'':<24}{'':9}{'':9}{'ratio of':>9}    ratios of the pairs",
        f"  {'peer':<24}{'old':>9}{'new':>9}{'medians':>9}{'median':>9}  {'quartiles':<14}"
        f"{'95 % interval':<14}",
    ]
    for result in results:
        if result.error is not None:
            lines.append(f"  {result.peer:<24}{result.error}")
        else:
            lines += _estimate_lines(result)
    return "\n".join(lines)


def _estimate_lines(result: PairResult) -> list[str]:
    value, cost = result.value(), result.cpu_cost()
    lines = [_estimate_line(result.peer, value, result.row.unit)]
    return lines if cost is None else [*lines, _estimate_line("  CPU time", cost, "s")]


def _estimate_line(name: str, one: Estimate, unit: str) -> str:
    suffix = "s" if unit == "s" else ""
    values = "".join(f"{number(value, unit) + suffix:>9}" for value in (one.old, one.new))
    quartiles, interval = (f"{low:.3f}-{high:.3f}" for low, high in (one.quartiles, one.interval))
    ratios = f"{one.ratio:>9.3f}{one.paired:>9.3f}  {quartiles:<14}{interval:<14}"
    return f"  {name:<24}{values}{ratios}{one.verdict}"


def curve_table(result: CurveResult) -> str:
    """Format a curve: the median at each point, and the growth of the unit cost."""
    curve, growths = result.curve, result.growths()
    lines = [
        f"{curve.title} ({curve.name}), {curve.unit}; expected: {expectation(curve)}",
        f"  {'':<26}" + "".join(f"{point:>11,}" for point in result.points),
    ]
    for name, spreads in result.spreads().items():
        medians = "".join(f"{number(spread.median, curve.unit):>11}" for spread in spreads)
        growth = growths[name]
        lines += [
            f"  {name:<26}{medians}",
            f"  {'':<26}  largest ratio: neighbours {growth.neighbours:.2f}, extremes"
            f" {growth.extremes:.2f}: {'as expected' if growth.met else 'NOT as expected'}",
        ]
    lines += [f"  {name:<26}{reason}" for name, reason in result.errors.items()]
    if result.skipped:
        lines.append(f"  skipped because of the limit on open files: {result.skipped}")
    return "\n".join(lines)


def expectation(curve: Curve) -> str:
    """Describe what a curve is expected to look like."""
    if curve.expectation == FLAT:
        return f"flat: the largest unit cost is at most {curve.within:g} times the smallest"
    return f"linear: the unit cost grows to at most {curve.within:g} times"
