"""Run simulations from the command line."""

from __future__ import annotations

import argparse
import os
import random
import time

from twisted.logger import globalLogBeginner

from wsx.test.simulation.shrink import shrink
from wsx.test.simulation.world import FAULTS, Config, Result, simulate


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="the seed (default: a fresh one)")
    parser.add_argument("--hours", type=float, help="virtual hours (default: 1)")
    parser.add_argument("--clients", type=int, help="number of clients (default: 8)")
    parser.add_argument("--faults", help=f"kinds of faults, of {','.join(FAULTS)}, or none")
    parser.add_argument("--trace", action="store_true", help="print each event")
    parser.add_argument("--shrink", action="store_true", help="reduce a failing simulation")
    parser.add_argument(
        "--budget", type=float, help="run fresh seeds for this many seconds of CPU time"
    )
    return parser.parse_args(arguments)


def config_of(options: argparse.Namespace, seed: int) -> Config:
    """Return the configuration for a seed; what is not given depends on the seed."""
    faults: tuple[str, ...] = FAULTS
    if options.faults is not None:
        names = [] if options.faults == "none" else options.faults.split(",")
        unknown = set(names) - set(FAULTS)
        if unknown:
            raise SystemExit(f"--faults: unknown: {', '.join(sorted(unknown))}")
        faults = tuple(name for name in FAULTS if name in names)
    return Config(
        seed,
        8 if options.clients is None else options.clients,
        1.0 if options.hours is None else options.hours,
        faults,
        options.trace,
    )


def varied_config(seed: int, options: argparse.Namespace | None = None) -> Config:
    """Return a configuration whose size depends on the seed unless the options name it."""
    chance = random.Random(f"size {seed}")
    varied = parse([]) if options is None else argparse.Namespace(**vars(options))
    varied.clients = varied.clients or chance.choice((1, 3, 6))
    varied.hours = varied.hours or chance.choice((0.3, 0.5, 1.0))
    return config_of(varied, seed)


def fresh_seed() -> int:
    """Return a seed that was not used before."""
    return int.from_bytes(os.urandom(4), "big")


def report(result: Result) -> None:
    """Print the result of one simulation."""
    config = result.config
    speed = result.client_hours / max(result.seconds, 1e-9)
    print(
        f"seed {config.seed}: {config.clients} clients, {config.hours:g} h, "
        f"{result.events} events, digest {result.digest}, {result.seconds:.2f} s of CPU time, "
        f"{speed:.0f} client-hours per CPU-second",
        flush=True,
    )
    if result.violation is not None:
        print(f"FAILED: {result.violation}\nreplay: {config.command()}", flush=True)


def run_budget(options: argparse.Namespace) -> int:
    """Run fresh seeds, one after another; return the exit status."""
    first = fresh_seed() if options.seed is None else options.seed
    began = time.process_time()
    total, count = 0.0, 0
    while time.process_time() - began < options.budget:
        result = simulate(varied_config(first + count, options))
        report(result)
        if result.violation is not None:
            spent = time.process_time() - began
            print(f"found after {spent:.1f} s of CPU time: {result.violation.rule.name}")
            return 1
        total += result.client_hours
        count += 1
    seconds = time.process_time() - began
    print(
        f"{count} seeds passed: {total:.0f} client-hours in {seconds:.1f} s of CPU time "
        f"({total / seconds:.0f} per second); first seed {first}"
    )
    return 0


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return the exit status."""
    options = parse(arguments)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    if options.budget is not None:
        return run_budget(options)
    seed = fresh_seed() if options.seed is None else options.seed
    result = simulate(config_of(options, seed))
    report(result)
    if result.violation is None:
        return 0
    if options.shrink:
        smallest = shrink(result.config)
        print(f"smallest: {smallest.violation}\nreplay: {smallest.config.command()}")
    return 1
