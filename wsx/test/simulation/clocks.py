"""Faults of time: pauses of the process, steps of the wall clock, timers that raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wsx._scheduler import Scheduler
from wsx.test.simulation.rules import Rule

if TYPE_CHECKING:
    from wsx.test.simulation.world import World

STEPS = (-3600.0, -30.0, 30.0, 3600.0, 86400.0)  # seconds
PAUSES = (0.3, 5.0, 30.0, 600.0)  # seconds
PAUSE_PRECISION = 2.5  # seconds of a pause that may count
STEP_PRECISION = 1.5  # seconds after which a step has been noticed
CHECK_AFTER = 10.0  # seconds


class TimerError(Exception):
    """A timer raises, as the simulation has decided."""


class TimeFaults:
    """Disturb the time of a simulation, and check that the library's scheduler copes with it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._reactor = world.reactor
        self._disturbances = 0

    def begin(self) -> None:
        """Wait until the next disturbance."""
        self._reactor.later(self._rng.expovariate(1 / 900), self._disturb)

    def _disturb(self) -> None:
        if self._world.ending:
            return
        self._disturbances += 1
        kinds: list[Callable[[], None]] = [self.step, self.step, self.pause, self.pause]
        self._rng.choice([*kinds, self.raise_in_timer])()
        self.begin()

    def ping_sent(self) -> None:
        """Sometimes pause the process before the answer to a ping has been read."""
        if self._rng.random() < 0.01:
            self._reactor.later(0.0, self._pause_now)

    def _pause_now(self) -> None:
        if not self._world.ending:
            self._disturbances += 1
            self.pause()

    def step(self) -> None:
        """Step the wall clock."""
        world, reactor = self._world, self._reactor
        if self._rng.random() < 0.5:
            self._expect_soon()
        seconds = self._rng.choice(STEPS)
        world.note(None, "step", seconds, "")
        world.count("wall clock step")
        reactor.step_wall_clock(seconds)
        reactor.later(self._rng.random(), world.scheduler.wall_clock_set)  # WallClockWatch
        world.tolerate(STEP_PRECISION)

    def _expect_soon(self) -> None:
        """Check that a call in the next iteration does not wait for the wall clock."""
        calls: list[None] = []
        self._world.scheduler.call_soon(lambda: calls.append(None))

        def check() -> None:
            if len(calls) != 1:
                self._fail(f"call_soon: {len(calls)} calls after a step of the wall clock")

        self._reactor.later(STEP_PRECISION, check)

    def pause(self) -> None:
        """Pause the process."""
        world, reactor = self._world, self._reactor
        seconds = self._rng.choice(PAUSES)
        world.note(None, "pause", seconds, "")
        world.count("pause")
        counted, monotonic = world.scheduler.seconds(), reactor.monotonic_now
        is_noticed = bool(world.scheduler.getDelayedCalls())
        reactor.pause(seconds)
        world.tolerate(min(seconds, PAUSE_PRECISION))
        number = self._disturbances

        def check() -> None:
            if is_noticed and number == self._disturbances:
                passed = reactor.monotonic_now - monotonic - seconds
                self._check_pause(world.scheduler.seconds() - counted - passed, seconds)

        reactor.later(CHECK_AFTER, check)

    def _check_pause(self, excess: float, seconds: float) -> None:
        """Check by how much the scheduler's time is ahead of the time that should count."""
        if not -1e-6 <= excess <= min(seconds, PAUSE_PRECISION) + 1e-6:
            self._fail(f"after a pause of {seconds} s, the scheduler is {excess} s ahead")

    def raise_in_timer(self) -> None:
        """Let a timer of the library's scheduler raise: the other timers must go on."""
        self._world.count("timer that raises")

        def fail() -> None:
            raise TimerError

        call = Scheduler.callLater(self._world.scheduler, self._rng.random(), fail)
        call.owner = self._reactor.outside  # type: ignore[attr-defined]

    def _fail(self, text: str) -> None:
        self._world.fail(Rule.TIME, None, text)
