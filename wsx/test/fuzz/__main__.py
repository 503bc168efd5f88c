"""Compare wsx with other libraries on random input, for a number of seconds.

The exit status is 1 if two implementations disagree. Each disagreement is printed with the command
that repeats it.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import wsx
from wsx.test.fuzz import decoder, encoder, http, url
from wsx.test.fuzz.coverage_guided import run_atheris

TARGETS: dict[str, Callable[[random.Random], None]] = {
    "decoder": decoder.check_random,
    "http": http.check_random,
    "url": url.check_random,
    "encoder": encoder.check_random,
}
MAX_PROBLEMS = 10
MAX_SHOWN = 3000  # characters of a problem


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="time to run (default: 60)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--target", choices=TARGETS, nargs="+", default=list(TARGETS))
    parser.add_argument("--case", type=int, help="run only the case with this number")
    parser.add_argument(
        "--atheris",
        type=Path,
        metavar="FOLDER",
        help="guide the input by coverage; the folder keeps inputs that reach new code",
    )
    return parser.parse_args()


def main() -> None:
    """Run the fuzzer as the command line says."""
    arguments = parse_arguments()
    print(f"wsx {wsx.__version__}, {'compiled and pure' if wsx.compiled else 'pure only'}")
    print(f"seed {arguments.seed}", flush=True)
    if arguments.atheris:
        run_atheris(arguments.seconds, arguments.seed, arguments.atheris)
        return
    started = time.monotonic()
    cases: Iterable[int] = count()
    if arguments.case is not None:
        cases = [arguments.case]
    done, problems = run(arguments, cases, started + arguments.seconds)
    counts = ", ".join(f"{done[name]} {name}" for name in arguments.target)
    print(f"{time.monotonic() - started:.0f} s, cases: {counts}; {problems} disagreements")
    sys.exit(problems > 0)


def run(
    arguments: argparse.Namespace, cases: Iterable[int], end: float
) -> tuple[Counter[str], int]:
    """Run cases until the time is over; return their numbers by target, and that of problems."""
    done: Counter[str] = Counter()
    problems = 0
    for number in cases:
        for name in arguments.target:
            problem = run_case(name, arguments.seed, number)
            done[name] += 1
            if problem:
                problems += 1
                print(f"{problem[:MAX_SHOWN]}\nrepeat: {command(name, arguments.seed, number)}\n")
        if time.monotonic() >= end or problems >= MAX_PROBLEMS:
            break
    return done, problems


def run_case(name: str, seed: int, number: int) -> str:
    """Run one case; return the traceback of what it raised, or an empty str."""
    try:
        TARGETS[name](random.Random(f"{seed}:{name}:{number}"))
    except Exception:  # Also an exception of wsx or of a reference is a finding.
        return traceback.format_exc(limit=-3)
    return ""


def command(name: str, seed: int, number: int) -> str:
    """Return the command that repeats a case."""
    return f"python -m wsx.test.fuzz --target {name} --seed {seed} --case {number}"


if __name__ == "__main__":
    main()
