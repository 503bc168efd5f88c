"""Measure in rounds, each with one run of every peer, so that noise affects all peers alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks.curves import Curve
from benchmarks.peers import Peer
from benchmarks.processes import Bench
from benchmarks.results import CurveResult, RowResult
from benchmarks.rows import Row
from benchmarks.work import Void

T = TypeVar("T")


def rotate(items: Sequence[T], by: int) -> list[T]:
    """Return the items rotated by ``by`` places.

    Each round uses another rotation, so no peer is always first or last.
    """
    start = by % len(items) if items else 0
    return [*items[start:], *items[:start]]


def measure_row(bench: Bench, row: Row, peers: Sequence[Peer], rounds: int) -> RowResult:
    """Measure a row; skip a peer after its first void run."""
    result = RowResult(row)
    for peer in peers:
        reason = peer.unsupported_reason(row.work.task)
        if reason is not None:
            result.errors[peer.name] = f"not supported: {reason}"
    run_rounds(
        row.name, peers, rounds, lambda peer: bench.run(peer, row.work), result.runs, result.errors
    )
    return result


def measure_curve(
    bench: Bench, curve: Curve, peers: Sequence[Peer], points: Sequence[int], rounds: int
) -> CurveResult:
    """Measure a curve; skip a peer after its first void round."""
    possible = curve.possible_points(points)
    result = CurveResult(curve, possible, [point for point in points if point not in possible])

    def measure(peer: Peer) -> list[float]:
        return curve.measure(bench, peer.name, possible)

    run_rounds(curve.name, peers, rounds, measure, result.rounds, result.errors)
    return result


def run_rounds(
    name: str,
    peers: Sequence[Peer],
    rounds: int,
    measure: Callable[[Peer], T],
    measured: dict[str, list[T]],
    errors: dict[str, str],
) -> None:
    """Measure each peer once in each round, except those with an error.

    Args:
        name: The name of the row or curve.
        peers: The peers to measure.
        rounds: The number of rounds.
        measure: Measures one peer once; raises ``Void`` if the run does not count.
        measured: Receives the results of each peer, by name.
        errors: The errors so far, by peer name; receives the reasons of void runs.
    """
    for number in range(rounds):
        print_progress(f"{name}: round {number + 1} of {rounds}")
        for peer in rotate(peers, number):
            if peer.name in errors:
                continue
            try:
                result = measure(peer)
            except Void as error:
                errors[peer.name] = f"void: {error}"
                print_progress(f"{name}: {peer.name}: void: {error}")
            else:
                measured.setdefault(peer.name, []).append(result)


def print_progress(line: str) -> None:
    """Print a progress line to stderr."""
    print(line, file=sys.stderr, flush=True)
