"""Measure the limits on what a server can make a client do, and print the figures.

Floods are measured in memory, in CPU time: what one reactor iteration takes, with a handler that
returns at once and with one that is pending. A slow consumer and a slow server run in real time.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

import wsx
from wsx.test.limits.floods import FLOODS, MEBIBYTE, Figures, measure
from wsx.test.limits.peers import measure_slow_consumer, measure_slow_server
from wsx.test.limits.waiting import measure_waiting

HEADINGS = ("flood", "handler", "read", "calls", "s per MiB", "longest", "peak", "close code")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of the slow consumer")
    parser.add_argument("--timeouts", type=int, default=5, help="of send_frame")
    parser.add_argument("--flood", default="", help="only the floods with this in their name")
    return parser.parse_args()


def print_row(cells: Sequence[object]) -> None:
    """Print a row of the table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def cells_of(name: str, handler: str, figures: Figures) -> list[str]:
    """Return the cells of a flood."""
    read = figures.read / MEBIBYTE
    return [
        name,
        handler,
        f"{read:.2f} MiB",
        f"{figures.callbacks:,}",
        f"{figures.cpu / read:.2f}",
        f"{figures.longest * 1000:.1f} ms",
        f"{figures.peak / MEBIBYTE:.1f} MiB",
        str(figures.close_code or ""),
    ]


def print_floods(part: str) -> None:
    """Measure and print the floods."""
    print_row(HEADINGS)
    print_row(["---"] * len(HEADINGS))
    for flood in FLOODS:
        if part in flood.name:
            print_row(cells_of(flood.name, "at once", measure(flood, False)))
            print_row(cells_of(flood.name, "pending", measure(flood, True)))


async def run(reactor: Any, arguments: argparse.Namespace) -> None:
    """Measure everything."""
    form = "compiled" if wsx.compiled else "pure"
    print(f"wsx {wsx.__version__} ({form}), Python {platform.python_version()}")
    if not arguments.flood:
        print(await measure_slow_consumer(reactor, arguments.seconds), flush=True)
        print(await measure_slow_server(reactor, arguments.timeouts), flush=True)
        for line in measure_waiting():
            print(line, flush=True)
    print_floods(arguments.flood)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments()

    def start(reactor: Any) -> Deferred[None]:
        return ensureDeferred(run(reactor, arguments))

    react(start)


if __name__ == "__main__":
    main()
