"""The figures of a soak run as text."""

from __future__ import annotations

from wsx.test.soak.run import Run

__all__ = ["HEADER", "details", "row"]

HEADER = (
    "| reactor | TLS | clients | seconds | seed | connects | lost | failed | casts | send_frame "
    "| received | server crashes | recovered | longest stop | RSS | RSS spread | violations |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def row(run: Run) -> str:
    """Return the row of a run, for the table with ``HEADER``."""
    options, counts, memory = run.options, run.ledger.counts, run.memory
    killed = run.faults.get("server killed", 0) + run.faults.get("server stopped", 0)
    cells = [
        options.reactor,
        "yes" if options.tls else "no",
        options.clients,
        f"{options.seconds:g}",
        options.seed,
        f"{counts['wsx.connected']:,}",
        f"{counts['lost']:,}",
        f"{counts['failed']:,}",
        f"{counts['casts']:,}",
        f"{counts['send_frame']:,}",
        f"{counts['messages received']:,}",
        killed,
        f"{run.recovery:.1f} s",
        f"{run.ledger.longest.get('stop', 0.0):.2f} s",
        f"{memory.samples[-1][1]:.1f} MiB",
        f"{memory.spread():.2f} MiB",
        run.ledger.violated,
    ]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def details(run: Run) -> str:
    """Return the counts, the faults, the memory over time and the violations."""
    step = max(1, len(run.memory.samples) // 18)
    memory = ", ".join(f"{mib:.1f}" for _, mib in run.memory.samples[::step])
    lines = [
        f"counts: {_pairs(run.ledger.counts)}",
        f"faults: {_pairs(run.faults)}",
        f"longest: {', '.join(f'{k} {v:.2f} s' for k, v in sorted(run.ledger.longest.items()))}",
        f"memory in MiB: {memory}; growth in the last two thirds {run.memory.growth():.2f}",
        *(f"VIOLATION: {text}" for text in run.ledger.violations),
    ]
    return "\n".join(lines)


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{key} {counts[key]:,}" for key in sorted(counts))
