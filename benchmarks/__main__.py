"""Measure the selected rows, curves and peers, and print the results."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.certificate import make_certificate
from benchmarks.machine import describe_machine, describe_wsx, form, summary
from benchmarks.options import (
    parse_options,
    select_curve_peers,
    select_curves,
    select_peers,
    select_rows,
)
from benchmarks.pairs import PairResult, measure_pairs
from benchmarks.processes import Bench, Cores, Server, choose_cores
from benchmarks.report import curve_table, pair_table, row_table
from benchmarks.results import CurveResult, RowResult
from benchmarks.revisions import (
    RevisionError,
    checkout_folder,
    copy_installed,
    describe_checkout,
    install,
)
from benchmarks.rounds import measure_curve, measure_row

_ROUNDS, _QUICK_ROUNDS = 5, 3
_CURVE_ROUNDS, _QUICK_CURVE_ROUNDS = 3, 1
_PAIRS, _QUICK_PAIRS = 10, 6


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
        peers = [peer for peer in select_curve_peers(options) if peer.name in curve.peers]
        points = curve.quick_points if options.quick else curve.points
        result = measure_curve(bench, curve, peers, points, rounds)
        print(f"\n{curve_table(result)}", flush=True)
        results.append(result)
    return results


def write_results(
    folder: Path, machine: object, rows: list[RowResult], curves: list[CurveResult]
) -> None:
    """Write the raw numbers to ``results.json``, and the charts."""
    from benchmarks.charts import draw_curve, draw_histograms, draw_row

    everything = {
        "machine": machine,
        "rows": {result.row.name: result.as_json() for result in rows},
        "curves": {result.curve.name: result.as_json() for result in curves},
    }
    write_json(folder / "results.json", everything)
    for row in rows:
        draw_row(row, folder)
        draw_histograms(row, folder)
    for curve in curves:
        draw_curve(curve, folder)


def write_json(path: Path, everything: object) -> None:
    """Write a file of raw numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(everything, indent=1) + "\n")


def print_conditions(machine: dict[str, Any], cores: Cores) -> None:
    """Print the machine, the versions, and a warning if there is only one core."""
    print(summary(machine))
    if cores.shared:
        print("Only one core is available: client and server share it and slow each other down.")


@contextmanager
def running_bench(cores: Cores) -> Iterator[Bench]:
    """Run the server while the context is entered."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        with Server(cores.server, certificate) as server:
            yield Bench(cores, certificate, server)


def measure_peers(options: argparse.Namespace, machine: dict[str, Any], cores: Cores) -> int:
    """Measure the selected rows and curves, and return the exit status."""
    with running_bench(cores) as bench:
        rows, curves = measure_rows(bench, options), measure_curves(bench, options)
    if options.output is not None:
        write_results(options.output, machine, rows, curves)
    errors = [result.errors for result in rows] + [result.errors for result in curves]
    return exit_status(error for one in errors for error in one.values())


def compare(options: argparse.Namespace, machine: dict[str, Any], cores: Cores) -> int:
    """Compare this checkout with another revision, and return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            old = str(install(options.against, Path(folder)))
            new = str(copy_installed(Path(folder)))
        except RevisionError as error:
            sys.exit(f"benchmarks: error: --against: {error}")
        titles = print_versions(options, describe_wsx(new), describe_wsx(old))
        with running_bench(cores) as bench:
            versions = replace(bench, python=old), replace(bench, python=new)
            results = compare_rows(versions, options)
    if options.output is not None:
        everything = {"machine": machine, **titles, "rows": [one.as_json() for one in results]}
        write_json(options.output / "against.json", everything)
    return exit_status(result.error or "" for result in results)


def print_versions(
    options: argparse.Namespace, new: dict[str, Any], old: dict[str, Any]
) -> dict[str, str]:
    """Print which two versions are compared, and return their titles."""
    titles = {"old": options.against.title, "new": describe_checkout(checkout_folder())}
    print(f"new: this checkout ({titles['new']}), {form(new)}")
    print(f"old: {titles['old']}, {form(old)}")
    if form(new) != form(old):
        print("Only one of them is compiled, so the ratios say nothing about the change.")
    return titles


def compare_rows(versions: tuple[Bench, Bench], options: argparse.Namespace) -> list[PairResult]:
    """Compare two versions in the selected rows and print a table for each."""
    results = []
    rounds = options.rounds or (_QUICK_PAIRS if options.quick else _PAIRS)
    for row in select_rows(options):
        found = measure_pairs(versions, row, select_peers(options), rounds)
        print(f"\n{pair_table(row, found)}", flush=True)
        results += found
    return results


def exit_status(errors: Iterable[str]) -> int:
    """Return 1 if a run was void, otherwise 0."""
    return 1 if any(error.startswith("void") for error in errors) else 0


def main() -> int:
    """Measure, print and write the results.

    Returns:
        The exit status: 1 if a run was void, otherwise 0.
    """
    options = parse_options()
    machine, cores = describe_machine(), choose_cores()
    print_conditions(machine, cores)
    measure = measure_peers if options.against is None else compare
    return measure(options, machine, cores)


if __name__ == "__main__":
    sys.exit(main())
