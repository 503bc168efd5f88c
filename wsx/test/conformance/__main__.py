"""Run wsx through the Autobahn|Testsuite and print the results.

The exit status is 1 if a case does not end with OK or INFORMATIONAL.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

import wsx
from wsx.test.conformance.client import run_cases
from wsx.test.conformance.results import failures, read_results, table
from wsx.test.conformance.server import ALL_CASES, QUICK_CASES, FuzzingServer


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.conformance", description=__doc__)
    parser.add_argument(
        "--wstest", default="wstest", help="command that starts the suite (default: wstest)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="run 361 of the 517 cases: less compression"
    )
    parser.add_argument("--cases", nargs="+", help='patterns such as "7.*"; default: all cases')
    parser.add_argument("--report", type=Path, help="folder for the HTML report and index.json")
    return parser.parse_args()


async def run(reactor: Any, arguments: argparse.Namespace, folder: Path) -> None:
    """Run the cases with a fuzzing server of its own, and print the results."""
    cases = arguments.cases or (QUICK_CASES if arguments.quick else ALL_CASES)
    agent = f"wsx-{wsx.__version__}-{'compiled' if wsx.compiled else 'pure'}"
    with FuzzingServer(arguments.wstest, cases, folder) as server:
        count = await run_cases(reactor, server.url, agent)
    results = read_results(folder / "index.json", agent)
    print(f"{agent}, Python {sys.version.split()[0]}\n\n{table(results)}")
    failed = failures(results)
    if len(results) != count:
        failed.append(f"{count} cases were run, but the report has {len(results)}")
    if failed:
        raise SystemExit("\n".join(failed))


def main() -> None:
    """Run the suite as the command line says."""
    arguments = parse_arguments()

    def start(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(run(reactor, arguments, folder))

    with TemporaryDirectory() as temporary:
        folder = arguments.report or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        react(start)


if __name__ == "__main__":
    main()
