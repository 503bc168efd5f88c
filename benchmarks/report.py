"""Tables for people."""

from __future__ import annotations

from benchmarks.curves import FLAT, Curve
from benchmarks.peers import PEERS
from benchmarks.results import CurveResult, RowResult, Spread, Verdict
from benchmarks.rows import Target

_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9))


def number(value: float, unit: str = "") -> str:
    """Writes a number with three digits and a prefix."""
    if unit.startswith("KiB"):
        return f"{value:.2f}"
    for prefix, factor in _PREFIXES:
        if value >= factor:
            return f"{value / factor:.3g} {prefix}".rstrip()
    return f"{value * 1e12:.3g} p"


def row_table(result: RowResult) -> str:
    """Writes a row: each peer, and the targets."""
    row, spreads, best = result.row, result.spreads(), result.best_competitor()
    order = sorted(spreads, key=lambda name: spreads[name].median, reverse=not row.lower_is_better)
    lines = [
        f"{row.title} ({row.name}), {row.unit}; {row.work.count:,} in each run",
        f"  {'peer':<20}{'min':>9}{'median':>9}{'max':>9}{'x best peer':>13}{'server':>8}",
    ]
    shares = result.server_shares()
    for name in order:
        ratio = f"{spreads[name].median / spreads[best].median:.2f}" if best else ""
        share = f"{shares[name]:.0%}" if name in shares else ""
        lines.append(f"{_peer_columns(name, spreads[name], row.unit)}{ratio:>13}{share:>8}")
    lines += [f"  {name:<20}{reason}" for name, reason in result.errors.items()]
    lines += [_verdict_line(target, result.judge(target), row.unit) for target in row.targets]
    return "\n".join(lines)


def _peer_columns(name: str, found: Spread, unit: str) -> str:
    mark = "" if PEERS[name].competitor or name.startswith("wsx") else " *"  # a yardstick
    values = (found.minimum, found.median, found.maximum)
    return f"  {name + mark:<20}" + "".join(f"{number(value, unit):>9}" for value in values)


def _verdict_line(target: Target, verdict: Verdict | None, unit: str) -> str:
    who = " or ".join(target.peers)
    if verdict is None:
        return f"  target: {who}: not measured here"
    said = "MET" if verdict.met else "NOT MET"
    reached, due = number(verdict.reached, unit), number(verdict.due, unit)
    if verdict.reference is None:
        return f"  target: {who}: at most {due} {unit}: {reached}: {said}"
    ratio = verdict.reached / verdict.due * verdict.factor
    return (
        f"  target: {who}: {verdict.factor:g} x {verdict.reference} = {due}:"
        f" {verdict.peer} has {reached}, {ratio:.2f} x: {said}"
    )


def curve_table(result: CurveResult) -> str:
    """Writes a curve: the medians at its points, and how they grow."""
    curve, growths = result.curve, result.growths()
    lines = [
        f"{curve.title} ({curve.name}), {curve.unit}; expected: {expectation(curve)}",
        f"  {'':<20}" + "".join(f"{point:>11,}" for point in result.points),
    ]
    for name, spreads in result.spreads().items():
        medians = "".join(f"{number(found.median, curve.unit):>11}" for found in spreads)
        found = growths[name]
        lines += [
            f"  {name:<20}{medians}",
            f"  {'':<20}  largest ratio: neighbours {found.neighbours:.2f}, extremes"
            f" {found.extremes:.2f}: {'as expected' if found.met else 'NOT as expected'}",
        ]
    lines += [f"  {name:<20}{reason}" for name, reason in result.errors.items()]
    if result.skipped:
        lines.append(f"  skipped, by the limit on open files: {result.skipped}")
    return "\n".join(lines)


def expectation(curve: Curve) -> str:
    """Says what a curve must look like."""
    if curve.expectation == FLAT:
        return f"flat: its unit costs are within {curve.within:g} times of each other"
    return f"linear: its unit cost never grows over {curve.within:g} times"
