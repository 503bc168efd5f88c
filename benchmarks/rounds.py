"""Rounds: every peer once, then every peer again, so that noise hits all alike."""

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
    take_turns(
        row.name, peers, rounds, lambda peer: bench.run(peer, row.work), result.runs, result.errors
    )
    return result


def measure_curve(
    bench: Bench, curve: Curve, peers: Sequence[Peer], points: Sequence[int], rounds: int
) -> CurveResult:
    """Measures a curve; after its first void round, a peer is left out."""
    possible = curve.possible(points)
    result = CurveResult(curve, possible, [point for point in points if point not in possible])

    def measure(peer: Peer) -> list[float]:
        return curve.measure(bench, peer.name, possible)

    take_turns(curve.name, peers, rounds, measure, result.rounds, result.errors)
    return result


def take_turns(
    name: str,
    peers: Sequence[Peer],
    rounds: int,
    measure: Callable[[Peer], T],
    measured: dict[str, list[T]],
    errors: dict[str, str],
) -> None:
    """Measures each peer once in each round; not those that have an error."""
    for number in range(rounds):
        say(f"{name}: round {number + 1} of {rounds}")
        for peer in rotated(peers, number):
            if peer.name in errors:
                continue
            try:
                found = measure(peer)
            except Void as error:
                errors[peer.name] = f"void: {error}"
                say(f"{name}: {peer.name}: void: {error}")
            else:
                measured.setdefault(peer.name, []).append(found)


def say(line: str) -> None:
    """Tells who waits what is going on."""
    print(line, file=sys.stderr, flush=True)
