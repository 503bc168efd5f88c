"""Read and summarize the report of the Autobahn|Testsuite."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

PASSED = ("OK", "INFORMATIONAL")
GROUPS = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "closing handshake",
    9: "limits and performance",
    10: "miscellaneous",
    12: "compression (different payloads)",
    13: "compression (different parameters)",
}

Results = dict[str, dict[str, str]]
"""The result of each case by its number, such as ``"7.1.6"``."""


def read_results(path: Path, agent: str) -> Results:
    """Read ``index.json``."""
    results: Results = json.loads(path.read_text())[agent]
    return results


def group_of(case: str) -> int:
    """Return the first number of a case."""
    return int(case.partition(".")[0])


def is_passed(result: dict[str, str]) -> bool:
    """Return whether both the behaviour and the closing handshake of a case are acceptable."""
    return result["behavior"] in PASSED and result["behaviorClose"] in PASSED


def status(result: dict[str, str]) -> str:
    """Return ``"failed"``, ``"informational"`` or ``"OK"``."""
    if not is_passed(result):
        return "failed"
    return "OK" if result["behavior"] == "OK" else "informational"


def table(results: Results) -> str:
    """Return a Markdown table with a row for each group and one for their sum."""
    counts: dict[int, Counter[str]] = {}
    for case, result in results.items():
        counts.setdefault(group_of(case), Counter())[status(result)] += 1
    lines = ["| group | cases | OK | informational | failed |", "|---|---|---|---|---|"]
    for group in sorted(counts):
        lines.append(row(f"{group} {GROUPS.get(group, '')}".strip(), counts[group]))
    lines.append(row("all", sum(counts.values(), Counter())))
    return "\n".join(lines)


def row(name: str, count: Counter[str]) -> str:
    """Return one row of the table."""
    columns = (count["OK"], count["informational"], count["failed"])
    return f"| {name} | {count.total()} | {' | '.join(map(str, columns))} |"


def failures(results: Results) -> list[str]:
    """Return a line for each case that failed."""
    return [
        f"case {case} failed: behavior {result['behavior']}, close {result['behaviorClose']}"
        for case, result in results.items()
        if not is_passed(result)
    ]
