"""The command line.

``python -m benchmarks.options ARGUMENTS`` checks the arguments before ``benchmarks/run`` builds
anything. It prints nothing, unless the arguments ask for help or for the list of names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.curves import CURVES, Curve
from benchmarks.peers import PEERS, Peer
from benchmarks.revisions import RevisionError, checkout_folder, find_revision
from benchmarks.rows import ROWS, Row

_AGAINST_PEERS = ("wsx", "wsx-uvloop")


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line.

    ``against`` becomes a ``Revision``.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds: expected a number above 0, got {options.rounds}")
    if options.against is not None:
        _check_against(parser, options)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks", description="Measure wsx and its peers.")
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="use fewer messages, rounds and peers",
    )
    for kind, things in (("row", ROWS), ("curve", CURVES), ("peer", PEERS)):
        add(
            f"--{kind}",
            action="append",
            choices=things,
            metavar="NAME",
            help=f"measure only this {kind}; repeatable",
        )
    add("--rounds", type=int, metavar="N", help="number of runs of each peer")
    add(
        "--against",
        metavar="REV",
        help="compare wsx with another revision of it, in N pairs of runs, and nothing else",
    )
    add("--output", type=Path, metavar="DIR", help="write the raw numbers and the charts to DIR")
    add("--list", action="store_true", help="list rows, curves and peers, then exit")
    return parser


def _check_against(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Replace ``against`` by the revision, and reject options that do not go with it."""
    if options.curve:
        parser.error("--against: only rows can be compared; omit --curve")
    others = [name for name in options.peer or [] if not PEERS[name].is_wsx]
    if others:
        parser.error(f"--against: only peers of wsx can be compared, got --peer {others[0]}")
    try:
        options.against = find_revision(options.against, checkout_folder())
    except RevisionError as error:
        parser.error(f"--against: {error}")


def select_rows(options: argparse.Namespace) -> list[Row]:
    """Return the selected rows; all of them if neither rows nor curves are selected."""
    names = options.row or ([] if options.curve else list(ROWS))
    rows = [ROWS[name].within_limits() for name in names]
    return [row.quick() for row in rows] if options.quick else rows


def select_curves(options: argparse.Namespace) -> list[Curve]:
    """Return the selected curves; all of them if neither rows nor curves are selected."""
    return [CURVES[name] for name in options.curve or ([] if options.row else list(CURVES))]


def select_peers(options: argparse.Namespace) -> list[Peer]:
    """Return the selected peers.

    By default, these are all peers, the main ones with ``--quick``, or wsx on epoll and on uvloop
    with ``--against``.
    """
    if options.peer or options.against:
        return [PEERS[name] for name in options.peer or _AGAINST_PEERS]
    return [peer for peer in PEERS.values() if peer.main or not options.quick]


def select_curve_peers(options: argparse.Namespace) -> list[Peer]:
    """Return the selected peers for curves; by default only wsx with ``--quick``."""
    return [PEERS["wsx"]] if options.quick and not options.peer else select_peers(options)


def print_names() -> None:
    """Print the names of all rows, curves and peers."""
    for kind, things in (("rows", ROWS), ("curves", CURVES)):
        print(f"{kind}:")
        for name, thing in things.items():
            print(f"  {name:<20}{thing.title}")
    print("peers:", *PEERS, sep="\n  ")


if __name__ == "__main__":
    if parse_options().list:
        print_names()
