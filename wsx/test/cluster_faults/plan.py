"""Generate faults from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

__all__ = ["HOLDER_FAULTS", "SERVER_FAULTS", "Fault", "generate"]

# The kinds and how often they occur, relative to each other.
HOLDER_FAULTS: Final = {
    "kill": 5,  # SIGKILL; another process is started
    "terminate": 4,  # SIGTERM; another process is started
    "pause": 6,  # SIGSTOP, and SIGCONT later
    "cut": 4,  # its connection to NATS is reset, and refused for some time
    "stall": 4,  # nothing passes between it and NATS for some time
    "delay": 2,  # everything between it and NATS is late for some time
    "drop": 2,  # its WebSocket connection is reset
}
SERVER_FAULTS: Final = {
    "kill_server": 3,  # SIGKILL of the server of NATS; it is started again later
    "pause_server": 2,  # SIGSTOP, and SIGCONT later
}
_LONGEST: Final = 2.0  # times to live
_AT_ONCE: Final = 0.2  # the share of faults that come in pairs
_ON_STANDBY: Final = 0.15  # the share of faults of another process than the holder


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        kind: A key of ``HOLDER_FAULTS`` or ``SERVER_FAULTS``.
        ttls: How long it lasts, in times to live of a lease.
        on_standby: Whether it happens to another process than the holder.
        then: The time until the next fault after the recovery, in times to live.
        also: A fault of a process that begins at the same time, or None.
    """

    kind: str
    ttls: float
    on_standby: bool
    then: float
    also: Fault | None = None


def generate(seed: int, count: int) -> list[Fault]:
    """Return as many faults, pairs counted as two."""
    rng = random.Random(seed)
    faults: list[Fault] = []
    left = count
    while left:
        also = None
        if left > 1 and rng.random() < _AT_ONCE:
            also = _generate_one(rng, HOLDER_FAULTS, None)
        faults.append(_generate_one(rng, HOLDER_FAULTS | SERVER_FAULTS, also))
        left -= 1 if also is None else 2
    return faults


def _generate_one(rng: random.Random, kinds: dict[str, int], also: Fault | None) -> Fault:
    [kind] = rng.choices(list(kinds), list(kinds.values()))
    on_standby = rng.random() < _ON_STANDBY
    return Fault(kind, rng.uniform(0.1, _LONGEST), on_standby, rng.uniform(0.0, 0.5), also)
