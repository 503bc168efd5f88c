"""Run a soak: ``python -m wsx.test.soak --clients 150 --seconds 120 --reactor uvloop --tls``.

The exit status is 1 if anything that must hold was violated.
"""

from __future__ import annotations

import argparse
import random
import sys

from wsx.test.support.reactors import REACTORS, install_reactor, run_until_done

_FLAT = 2.0  # MiB
_LONG = 1800.0  # seconds; shorter runs are not long enough for the check of memory


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.soak", description=__doc__)
    parser.add_argument("--clients", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--reactor", choices=REACTORS, default="epoll")
    parser.add_argument("--rate", type=float, default=1.0, help="actions per client and second")
    parser.add_argument("--crashes", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--compressed",
        type=float,
        default=0.33,
        help="share of the clients with compression; 0 for a run that measures memory, because "
        "zlib takes 0.3 MiB for each open connection",
    )
    parser.add_argument("--verbose", action="store_true", help="print memory over time")
    tls = parser.add_mutually_exclusive_group()
    tls.add_argument("--tls", action="store_true", default=False)
    tls.add_argument("--plain", dest="tls", action="store_false")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.randrange(1_000_000)
    return options


def main() -> None:
    """Run a soak and print its figures."""
    options = parse(sys.argv[1:])
    reactor = install_reactor(options.reactor)
    from wsx.test.soak.report import HEADER, details, row
    from wsx.test.soak.run import Run

    print(f"seed {options.seed}", flush=True)
    run = Run(options, reactor)
    run_until_done(reactor, run.run)
    if options.seconds >= _LONG:
        spread = run.memory.spread()
        run.ledger.check(spread <= _FLAT, "resident memory changed by {:.2f} MiB", spread)
    print(details(run))
    print(HEADER)
    print(row(run))
    raise SystemExit(1 if run.ledger.violated else 0)


if __name__ == "__main__":
    main()
