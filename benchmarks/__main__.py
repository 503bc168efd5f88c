"""The command line: select rows, curves and peers, measure them and print the results."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.certificate import make_certificate
from benchmarks.curves import CURVES, Curve
from benchmarks.machine import describe_machine, summary
from benchmarks.peers import PEERS, Peer
from benchmarks.processes import Bench, Cores, Server, choose_cores
from benchmarks.report import curve_table, row_table
from benchmarks.results import CurveResult, RowResult
from benchmarks.rounds import measure_curve, measure_row
from benchmarks.rows import ROWS, Row

_ROUNDS, _QUICK_ROUNDS = 5, 3
_CURVE_ROUNDS, _QUICK_CURVE_ROUNDS = 3, 1


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("benchmarks", description="Measure wsx and its peers.")
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="use fewer messages, rounds and peers; takes about a minute",
    )
    add(
        "--row",
        action="append",
        choices=ROWS,
        metavar="NAME",
        help="measure only this row; repeatable",
    )
    add(
        "--curve",
        action="append",
        choices=CURVES,
        metavar="NAME",
        help="measure only this curve; repeatable",
    )
    add(
        "--peer",
        action="append",
        choices=PEERS,
        metavar="NAME",
        help="measure only this peer; repeatable",
    )
    add("--rounds", type=int, metavar="N", help="number of runs of each peer")
    add("--output", type=Path, metavar="DIR", help="write results.json and the charts to DIR")
    add("--list", action="store_true", help="list rows, curves and peers, then exit")
    return parser.parse_args(arguments)


def select_rows(options: argparse.Namespace) -> list[Row]:
    """Return the selected rows; all of them if neither rows nor curves are selected."""
    names = options.row or ([] if options.curve else list(ROWS))
    return [ROWS[name].quick() if options.quick else ROWS[name] for name in names]


def select_curves(options: argparse.Namespace) -> list[Curve]:
    """Return the selected curves; all of them if neither rows nor curves are selected."""
    return [CURVES[name] for name in options.curve or ([] if options.row else list(CURVES))]


def select_peers(options: argparse.Namespace) -> list[Peer]:
    """Return the selected peers; by default all, or the main ones with ``--quick``."""
    if options.peer:
        return [PEERS[name] for name in options.peer]
    return [peer for peer in PEERS.values() if peer.main or not options.quick]


def measure_rows(bench: Bench, options: argparse.Namespace) -> list[RowResult]:
    """Measure the selected rows and print a table for each."""
    results = []
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    for row in select_rows(options):
        result = measure_row(bench, row, select_peers(options), rounds)
        print(f"\n{row_table(result)}", flush=True)
        results.append(result)
    return results


def measure_curves(bench: Bench, options: argparse.Namespace) -> list[CurveResult]:
    """Measure the selected curves and print a table for each."""
    results = []
    rounds = options.rounds or (_QUICK_CURVE_ROUNDS if options.quick else _CURVE_ROUNDS)
    for curve in select_curves(options):
        peers = [peer for peer in _select_curve_peers(options) if peer.name in curve.peers]
        points = curve.quick_points if options.quick else curve.points
        result = measure_curve(bench, curve, peers, points, rounds)
        print(f"\n{curve_table(result)}", flush=True)
        results.append(result)
    return results


def _select_curve_peers(options: argparse.Namespace) -> list[Peer]:
    if options.quick and not options.peer:
        return [PEERS["wsx"]]
    return select_peers(options)


def write_results(
    folder: Path, machine: object, rows: list[RowResult], curves: list[CurveResult]
) -> None:
    """Write the raw numbers to ``results.json``, and the charts."""
    from benchmarks.charts import draw_curve, draw_row

    folder.mkdir(parents=True, exist_ok=True)
    everything = {
        "machine": machine,
        "rows": {result.row.name: result.as_json() for result in rows},
        "curves": {result.curve.name: result.as_json() for result in curves},
    }
    (folder / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    for row in rows:
        draw_row(row, folder)
    for curve in curves:
        draw_curve(curve, folder)


def print_names() -> None:
    """Print the names of all rows, curves and peers."""
    for kind, things in (("rows", ROWS), ("curves", CURVES)):
        print(f"{kind}:")
        for name, thing in things.items():
            print(f"  {name:<20}{thing.title}")
    print("peers:", *PEERS, sep="\n  ")


def print_conditions(machine: dict[str, object], cores: Cores) -> None:
    """Print the machine, the versions, and a warning if there is only one core."""
    print(summary(machine))
    if cores.shared:
        print("Only one core is available: client and server share it and slow each other down.")


def main() -> int:
    """Measure, print and write the results.

    Returns:
        The exit status: 1 if a run was void, otherwise 0.
    """
    options = parse_options()
    if options.list:
        print_names()
        return 0
    machine, cores = describe_machine(), choose_cores()
    print_conditions(machine, cores)
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        with Server(cores.server, certificate) as server:
            bench = Bench(cores, certificate, server)
            rows, curves = measure_rows(bench, options), measure_curves(bench, options)
    if options.output is not None:
        write_results(options.output, machine, rows, curves)
    errors = [result.errors for result in rows] + [result.errors for result in curves]
    return 1 if any(error.startswith("void") for one in errors for error in one.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
