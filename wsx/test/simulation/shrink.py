"""Reduce a failing simulation: fewer kinds of faults, fewer clients, less time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from wsx.test.simulation.world import Config, Result, simulate


def candidates(config: Config) -> Iterator[Config]:
    """Yield configurations that are smaller by one step."""
    for fault in config.faults:
        yield replace(config, faults=tuple(f for f in config.faults if f != fault))
    for clients in sorted({1, config.clients // 2, config.clients - 1}):
        if 0 < clients < config.clients:
            yield replace(config, clients=clients)
    if config.hours > 0.01:
        yield replace(config, hours=config.hours / 2)


def shrink(config: Config, run: Callable[[Config], Result] = simulate) -> Result:
    """Return the failing result of the smallest configuration that still violates the same rule.

    Args:
        config: A failing configuration.
        run: Runs a simulation.
    """
    config = replace(config, trace=False)
    smallest = run(config)
    assert smallest.violation is not None, "the simulation does not fail"
    rule = smallest.violation.rule
    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in candidates(smallest.config):
            result = run(candidate)
            if result.violation is not None and result.violation.rule is rule:
                smallest = result
                shrunk = True
                break
    at = smallest.violation
    assert at is not None
    exact = replace(smallest.config, hours=round(at.at / 3600 + 0.001, 3))
    result = run(exact)
    return result if result.violation is not None else smallest
