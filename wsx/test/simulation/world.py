"""A simulation: clients, servers and faults, from a seed."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

import wsx
import wsx.backoff
from wsx import registry
from wsx._client import reconnect
from wsx._scheduler import set_scheduler
from wsx._wire.encoder import masks
from wsx.test.simulation.books import KINDS, telemetry_value
from wsx.test.simulation.clocks import TimeFaults, TimerError
from wsx.test.simulation.limits import WatchedLimiter
from wsx.test.simulation.reactor import Owner, Reactor, Timer
from wsx.test.simulation.rules import STEP_CHECKS, Rule
from wsx.test.simulation.scheduler import OwnedScheduler
from wsx.test.simulation.slots import Slot
from wsx.test.simulation.subject import Subject, SubjectOwner

FAULTS = (
    "attempts",  # refused, slow, silent and invalid opening handshakes
    "network",  # reset, half-open connections, stalls, server restarts
    "silence",  # servers that do not answer pings or close frames
    "frames",  # close frames, protocol errors, floods, large messages
    "handlers",  # callbacks that are late, wrong, raise, and call the client
    "api",  # casts, infos, send_frame, close
    "sys",  # sys requests
    "ends",  # stop, abort, terminate
    "trees",  # supervisors and services
    "time",  # process pauses and steps of the wall clock
)
DRAIN = 400.0  # seconds after the end, within which everything ends
WALL_OFFSET = 1_700_000_000.0


@dataclass(frozen=True)
class Config:
    """What to simulate.

    Attributes:
        seed: The seed.
        clients: The number of clients.
        hours: The virtual time in hours.
        faults: The kinds of faults, of ``FAULTS``.
        trace: Whether to print each event.
    """

    seed: int
    clients: int = 8
    hours: float = 1.0
    faults: tuple[str, ...] = FAULTS
    trace: bool = False

    def command(self) -> str:
        """Return the command that replays this simulation with a trace."""
        faults = "" if self.faults == FAULTS else f" --faults {','.join(self.faults) or 'none'}"
        return (
            f"python -m wsx.test.simulation --seed {self.seed} --clients {self.clients} "
            f"--hours {self.hours:g}{faults} --trace"
        )


@dataclass(slots=True)
class Violation:
    """A rule that was violated."""

    rule: Rule
    subject: str
    text: str
    at: float

    def __str__(self) -> str:
        return (
            f"{self.rule.name} ({self.rule.value})\n  {self.subject} at {self.at:.6f}: {self.text}"
        )


@dataclass
class Result:
    """The result of a simulation."""

    config: Config
    digest: str
    violation: Violation | None
    events: int
    seconds: float
    client_hours: float
    counts: dict[str, int] = field(default_factory=dict)


class World:
    """A running simulation.

    Attributes:
        touched: The clients that the current step has touched.
        calls: The number of API calls on the stack.
        stack: The clients whose callbacks are on the stack.
        expected_failures: Exceptions of start functions that supervisors may log.
        tolerance: By how much timers may be late, after a pause or a step of the wall clock.
        violation: The first violation, or None.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rng = random.Random(f"world {config.seed}")
        self.reactor = Reactor(self.after_step, WALL_OFFSET)
        self.reactor.fire = self._fire  # type: ignore[method-assign]
        self.reactor.failed = self._event_raised  # type: ignore[method-assign]
        self.scheduler = OwnedScheduler(self.reactor, self._timer_raised, self.after_step)
        self.reactor.scheduler = self.scheduler
        set_scheduler(self.reactor, self.scheduler)
        self.time_faults = TimeFaults(self)
        self.touched: dict[Subject, None] = {}
        self.calls = 0
        self.stack: list[Subject] = []
        self.tolerance = 0.0
        self.violation: Violation | None = None
        self.limiter = WatchedLimiter(
            self,
            per_host=self.rng.choice((1, 2, 4)),
            per_seconds=self.rng.choice((1.0, 10.0, 30.0)),
        )
        self.telemetry_kinds = self._choose_telemetry()
        self.events = 0
        self.counts: dict[str, int] = {}
        self.slots: list[Slot] = []
        self.labels: dict[str, Subject] = {}
        self.ending = False
        self.expected_failures: list[Exception] = []
        self.samples: list[int] = []
        self._digest = hashlib.blake2b(digest_size=8)
        self._keys: set[str] = set()
        self._masks: set[bytes] = set()
        self._repeated_masks = 0
        self._output = sys.stdout
        self._tolerant_until = 0.0

    def has(self, kind: str) -> bool:
        """Return whether a kind of fault is simulated."""
        return kind in self.config.faults

    @property
    def now(self) -> float:
        """The time of the library, in seconds."""
        return self.scheduler.seconds()

    def _choose_telemetry(self) -> frozenset[str]:
        every = frozenset({*KINDS.values(), "pong"})
        return self.rng.choice((frozenset(), every, every - {"callback"}))

    # Events

    def note(self, subject: Subject | None, what: str, detail: Any, more: Any) -> None:
        """Add an event to the digest, and print it if asked to."""
        self.events += 1
        label = "" if subject is None else subject.label
        line = f"{self.reactor.monotonic_now:.6f} {label} {what} {detail} {more}"
        self._digest.update(line.encode(errors="replace"))
        if self.config.trace:
            print(line if len(line) < 200 else line[:200] + "...", file=self._output)

    def count(self, what: str) -> None:
        """Count an action or a fault."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def fail(self, rule: Rule, subject: Subject | None, text: str) -> None:
        """Record the first violation. The simulation stops after the current step."""
        if self.violation is None:
            label = "world" if subject is None else subject.label
            self.violation = Violation(rule, label, text, self.reactor.monotonic_now)
            if self.config.trace:
                print(f"VIOLATION {self.violation}", file=self._output)

    def fail_callback_cancelled(self, subject: Subject, call: Any) -> None:
        """A callback was cancelled although its client has not ended."""
        self.fail(Rule.ENDED, subject, f"{call.name} was cancelled before the end")

    def is_new_key(self, key: str) -> bool:
        """Return whether a ``Sec-WebSocket-Key`` was not used before."""
        if len(self._keys) > 5000:
            self._keys.clear()
        new = key not in self._keys
        self._keys.add(key)
        return new

    def is_new_mask(self, mask: bytes) -> bool:
        """Return whether masking keys are not repeated; a few coincidences are accepted."""
        if mask in self._masks:
            self._repeated_masks += 1
        elif len(self._masks) > 20_000:
            self._masks.clear()
        self._masks.add(mask)
        return self._repeated_masks < 4

    def sleep(self, subject: Subject, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after a delay, for a callback of a client."""
        done: Deferred[None] = Deferred()

        def fire() -> None:
            if not done.called:
                subject.call(done.callback, None)

        self.reactor.later(seconds, fire)
        return done

    # Callbacks

    def begin_callback(self, subject: Subject, name: str) -> None:
        """A callback is invoked: nothing else may be on the stack."""
        if self.stack or self.calls:
            where = f"{self.stack[-1].label}'s callback" if self.stack else "a call of the API"
            self.fail(Rule.ONE_AT_A_TIME, subject, f"{name} inside {where}")
        self.stack.append(subject)

    def end_callback(self) -> None:
        self.stack.pop()

    def nested_action(self, subject: Subject) -> None:
        """Let a callback call a client."""
        self.slots[self.rng.randrange(len(self.slots))].nested(subject)

    # Steps

    def after_step(self) -> None:
        """Check the clients that the step has touched."""
        if self.violation is not None:
            return
        for subject in list(self.touched):
            if subject.client is None:
                continue
            for check in STEP_CHECKS:
                problem = check.check(subject)
                if problem is not None:
                    self.fail(check.rule, subject, problem)
        self.touched.clear()
        if self.tolerance and self.reactor.monotonic_now > self._tolerant_until:
            self.tolerance = 0.0

    def _fire(self, timer: Timer) -> None:
        try:
            timer.function(*timer.args, **timer.keywords)
        except Exception as error:
            self._timer_raised(timer.owner, error)

    def _event_raised(self, error: Exception) -> None:
        where = "".join(traceback.format_tb(error.__traceback__)[-2:])
        self.fail(Rule.NO_INTERNAL_ERROR, None, f"an event raised {error!r}\n{where}")

    def _timer_raised(self, owner: Owner, error: Exception) -> None:
        if isinstance(error, TimerError):
            return
        subject = owner.subject if isinstance(owner, SubjectOwner) else None
        self.fail(Rule.NO_INTERNAL_ERROR, subject, f"a timer raised {error!r}")

    # Observers

    def _on_telemetry(self, event: str, measurements: Any, metadata: Any, config: Any) -> None:
        subject = getattr(metadata["client"].handler, "subject", None)
        if subject is None:
            return
        kind = KINDS[event]
        if kind == "received" and isinstance(metadata["frame"], wsx.Pong):
            token = subject.model.token
            if token and metadata["frame"].payload[:8] == token:
                kind = "pong"
        if kind == "terminate":
            subject.enter()
            subject.client_ended(metadata["reason"])
            subject.leave()
        value = (
            metadata["frame"] if kind == "pong" else telemetry_value(kind, metadata, measurements)
        )
        subject.telemetry.saw(kind, value)

    def _on_log(self, event: dict[str, Any]) -> None:
        if not str(event.get("log_namespace", "")).startswith("wsx") and (
            event.get("log_level") not in (LogLevel.critical, LogLevel.error)
        ):
            return
        subject = self._subject_of(event)
        failure = event.get("log_failure")
        if failure is not None:
            if failure.value in self.expected_failures:
                self.expected_failures.remove(failure.value)
            elif subject is None or not subject.log.failure(failure.value):
                self.fail(Rule.LOG, subject, f"unexpected failure in the log: {failure.value!r}")
        elif subject is not None and not subject.log.line(event):
            self.fail(
                Rule.LOG_LINES, subject, f"unexpected line: {event.get('log_format')} {event}"
            )

    def _subject_of(self, event: dict[str, Any]) -> Subject | None:
        subject = self.labels.get(str(event.get("label")))
        if subject is None:
            owner = self.reactor.owner
            subject = owner.subject if isinstance(owner, SubjectOwner) else None
        return subject

    # Running

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """Replace sources of randomness and of the wall clock, and observe the log."""
        rng = random.Random(f"system {self.config.seed}")
        masks.forget()
        clock = mock.Mock(time=self.reactor.seconds)
        events = [event for event, kind in KINDS.items() if kind in self.telemetry_kinds]
        with (
            mock.patch.object(os, "urandom", rng.randbytes),
            mock.patch.object(reconnect._DEFAULT, "_rng", random.Random(f"d {self.config.seed}")),
            mock.patch.object(wsx.backoff, "time", clock),
            contextlib.redirect_stdout(io.StringIO()) as sink,
        ):
            self._sink = sink
            globalLogPublisher.addObserver(self._on_log)  # type: ignore[arg-type]
            if events:
                wsx.telemetry.attach(self, events, self._on_telemetry)
            try:
                yield
            finally:
                globalLogPublisher.removeObserver(self._on_log)  # type: ignore[arg-type]
                if events and any(o.handler_id is self for o in wsx.telemetry.list_handlers()):
                    wsx.telemetry.detach(self)
                masks.forget()
                registry._clients.clear()  # After a violation, clients are left.

    def run(self) -> Result:
        """Run the simulation."""
        began = time.process_time()
        enabled = gc.isenabled()
        with self._patched():
            self._build()
            self._run_hours()
            if self.violation is None:
                self._end()
        if enabled:
            gc.enable()
        config = self.config
        hours = min(self.reactor.monotonic_now / 3600, config.hours) * config.clients
        seconds = time.process_time() - began
        digest = self._digest.hexdigest()
        return Result(config, digest, self.violation, self.events, seconds, hours, self.counts)

    def _build(self) -> None:
        from wsx.test.simulation.slots import make_slots

        self.slots = make_slots(self)
        for slot in self.slots:
            slot.begin()
        if self.has("time"):
            self.time_faults.begin()

    def _run_hours(self) -> None:
        seconds = self.config.hours * 3600
        for part in range(1, 11):
            self.reactor.run_until(seconds * part / 10, self._has_failed)
            if self._has_failed():
                return
            self._sink.seek(0)
            self._sink.truncate()
            if self.config.clients * self.config.hours >= 50:
                gc.collect()
                self.samples.append(sys.getallocatedblocks())
        self._check_memory()

    def _has_failed(self) -> bool:
        return self.violation is not None

    def _check_memory(self) -> None:
        if len(self.samples) == 10:
            early, late = max(self.samples[2:5]), min(self.samples[7:])
            if late > early * 1.3 + 30_000:
                self.fail(Rule.MEMORY, None, f"allocated blocks: {self.samples}")

    def tolerate(self, seconds: float) -> None:
        """Accept for some time that timers are late."""
        self.tolerance = seconds
        self._tolerant_until = self.reactor.monotonic_now + 120.0

    def _end(self) -> None:
        """Stop everything, and check that nothing is left."""
        self.ending = True
        for slot in self.slots:
            slot.end()
        self.after_step()
        until = self.reactor.monotonic_now + DRAIN
        self.reactor.run_until(until, self._has_failed)
        if self.violation is not None:
            return
        for slot in self.slots:
            slot.check_end()
        left = self.scheduler.getDelayedCalls()
        if left:
            self.fail(Rule.TIMERS, None, f"timers at the end: {left}"[:300])
        if self.config.seed % 8 == 0:  # Reports errors in Deferreds that are in cycles; it is slow.
            gc.collect()


def simulate(config: Config) -> Result:
    """Run one simulation."""
    return World(config).run()
