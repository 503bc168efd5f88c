"""Rounds: every peer once, then every peer again, so that noise hits all alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeVar

from benchmarks.curves import Curve
from benchmarks.peers import Peer
from benchmarks.processes import Bench
from benchmarks.results import CurveResult, RowResult
from benchmarks.rows import Row
from benchmarks.work import Void

T = TypeVar("T")


def rotated(things: Sequence[T], by: int) -> list[T]:
    """Gives another order for each round, so that nobody always follows the same."""
    start = by % len(things) if things else 0
    return [*things[start:], *things[:start]]


def measure_row(bench: Bench, row: Row, peers: Sequence[Peer], rounds: int) -> RowResult:
    """Measures a row; after its first void run, a peer is left out."""
    result = RowResult(row)
    for peer in peers:
        reason = peer.why_not(row.work.task)
        if reason is not None:
            result.errors[peer.name] = f"cannot: {reason}"
    for number in range(rounds):
        say(f"{row.name}: round {number + 1} of {rounds}")
        for peer in rotated(peers, number):
            if peer.name not in result.errors:
                _run(bench, result, peer)
    return result


def _run(bench: Bench, result: RowResult, peer: Peer) -> None:
    try:
        numbers = bench.run(peer, result.row.work)
    except Void as error:
        result.errors[peer.name] = f"void: {error}"
        say(f"{result.row.name}: {peer.name}: void: {error}")
    else:
        result.runs.setdefault(peer.name, []).append(numbers)


def measure_curve(
    bench: Bench, curve: Curve, peers: Sequence[Peer], points: Sequence[int], rounds: int
) -> CurveResult:
    """Measures a curve; after its first void round, a peer is left out."""
    possible = curve.possible(points)
    result = CurveResult(curve, possible, [point for point in points if point not in possible])
    for number in range(rounds):
        say(f"{curve.name}: round {number + 1} of {rounds}")
        for peer in rotated(peers, number):
            if peer.name not in result.errors:
                _run_curve(bench, result, peer)
    return result


def _run_curve(bench: Bench, result: CurveResult, peer: Peer) -> None:
    try:
        values = result.curve.measure(bench, peer.name, result.points)
    except Void as error:
        result.errors[peer.name] = f"void: {error}"
        say(f"{result.curve.name}: {peer.name}: void: {error}")
    else:
        result.rounds.setdefault(peer.name, []).append(values)


def say(line: str) -> None:
    """Tells who waits what is going on."""
    print(line, file=sys.stderr, flush=True)
