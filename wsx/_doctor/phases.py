"""The phases of connecting: their order, their outcome and their times."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

__all__ = [
    "DNS",
    "FAILED",
    "NOT_REACHED",
    "OPENING_HANDSHAKE",
    "PASSED",
    "PHASES",
    "PING",
    "PROXY",
    "SKIPPED",
    "TCP",
    "TLS",
    "Phase",
    "Timeline",
]

DNS: Final = "dns"
TCP: Final = "tcp"
PROXY: Final = "proxy"
TLS: Final = "tls"
OPENING_HANDSHAKE: Final = "opening_handshake"
PING: Final = "ping"
PHASES: Final = (DNS, TCP, PROXY, TLS, OPENING_HANDSHAKE, PING)

PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
NOT_REACHED: Final = "not_reached"


@dataclass(slots=True)
class Phase:
    """One phase.

    Attributes:
        name: One of ``PHASES``.
        status: ``"passed"``, ``"failed"``, ``"skipped"`` (the connection does not need it) or
            ``"not_reached"``.
        seconds: How long it took, or None if it has not begun.
        began: When it began, on the clock of the timeline, or None.
    """

    name: str
    status: str = NOT_REACHED
    seconds: float | None = None
    began: float | None = None


class Timeline:
    """The phases of one examination, in order.

    Args:
        now: Returns the monotonic time in seconds.
        skipped: The names of phases that the connection does not need. Default none.

    Attributes:
        phases: The phases by name.
        current: The phase that has begun and not ended, or None.
    """

    def __init__(self, now: Callable[[], float], skipped: Collection[str] = ()) -> None:
        self.phases = {
            name: Phase(name, SKIPPED if name in skipped else NOT_REACHED) for name in PHASES
        }
        self.current: Phase | None = None
        self._now = now
        self._started = now()

    def start(self) -> None:
        """Measure from now on. The first phase begins now."""
        self._started = self._now()

    @property
    def elapsed(self) -> float:
        """The time in seconds since the start."""
        return self._now() - self._started

    def begin(self, name: str) -> None:
        """Begin a phase, unless it has begun. The phases before it have passed, or are skipped.

        The first one begins with the start of the timeline.
        """
        phase = self.phases[name]
        if phase.began is not None:
            return
        self.pass_current()
        for earlier in PHASES[: PHASES.index(name)]:
            if self.phases[earlier].began is None:
                self.phases[earlier].status = SKIPPED
        is_first = all(other.began is None for other in self.phases.values())
        phase.began = self._started if is_first else self._now()
        self.current = phase

    def pass_current(self) -> None:
        """End the current phase, if there is one, because it has passed."""
        self._end(PASSED)

    def fail(self, name: str) -> None:
        """Fail a phase: the current one, or one before it whose failure was noticed late.

        If the phase has not begun, it begins and fails at once.
        """
        self.begin(name)
        phase = self.phases[name]
        if phase is self.current:
            self._end(FAILED)
            return
        phase.status = FAILED
        if self.current is not None:
            later, self.current = self.current, None
            later.status, later.seconds, later.began = NOT_REACHED, None, None

    def _end(self, status: str) -> None:
        phase, self.current = self.current, None
        if phase is not None and phase.began is not None:
            phase.status = status
            phase.seconds = self._now() - phase.began
