"""A ClientService under test: which client it has, when it restarts it, and how it ends."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

import wsx
from wsx.option_types import Restart
from wsx.test.simulation.behaviour import SimulatedHandler
from wsx.test.simulation.policy import matches
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.slots import Slot, make_conn, make_options
from wsx.test.simulation.subject import Subject
from wsx.test.simulation.terms import EPSILON

if TYPE_CHECKING:
    from wsx.test.simulation.world import World


class WatchedService(wsx.ClientService):
    """A service that reports the clients that it starts."""

    slot: ServiceSlot

    def announce(self, running: Any) -> None:
        super().announce(running)
        self.slot.started()


class ServiceSlot(Slot):
    """A ClientService whose clients behave like those of other slots.

    Attributes:
        restart_at: When the next client must start, or None.
    """

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.service: Any = None
        self.kind = "permanent"
        self.limits = (0, 0.0)
        self.restarts: list[float] = []  # On a clock without the waits for the Backoff.
        self.waited = 0.0
        self.restart_at: float | None = None
        self.reason: Any = None  # What the service must have ended with, as an expectation.
        self.waiting: list[Deferred[Any]] = []
        self.actions += [self.when_connected, self.stop_service]
        self.weights += [4.0, 0.1]

    def start_client(self) -> None:
        """Start a service, with a new client for each restart."""
        if self.world.ending:
            return
        rng, slot = self.rng, self
        conn = make_conn(self.world, rng, self.site, self.number)
        first, longest = rng.choice(((0.1, 1.0), (2.0, 30.0)))
        options = make_options(self.world, rng) | {
            "name": self.name,
            "async_": True,
            "handle_initial_conn_failure": True,
            "reconnect": wsx.Backoff(
                initial=first,
                maximum=longest,
                jitter=0.0,
                max_attempts=rng.choice((None, 2)),
                rng=random.Random(rng.random()),
            ),
        }

        class ServiceHandler(SimulatedHandler):
            def __init__(self) -> None:
                subject = slot.make_service_subject(self, conn, options)
                subject.model.state = None

        ServiceHandler.__qualname__ = f"service {self.number}"
        kind: Restart = rng.choice(("permanent", "transient", "temporary"))
        self.kind = kind
        self.limits = limits = (rng.choice((0, 1, 3)), rng.choice((50.0, 600.0)))
        self.restarts, self.waited = [], 0.0
        self.reason = None
        self.service = WatchedService(
            conn,
            ServiceHandler,
            restart=kind,
            max_restarts=limits[0],
            max_seconds=limits[1],
            **options,
        )
        self.service.slot = self
        self.service.terminated().addCallback(self.service_ended)
        self.restart_at = self.world.now
        self.service.startService()

    def make_service_subject(self, handler: Any, conn: wsx.Conn, options: dict[str, Any]) -> Any:
        """Create the subject of the next client."""
        self.generation += 1
        subject = self.subject = self.equip(handler, conn, options, calm=False)
        subject.owns_timers = False
        subject.on_end = self.client_ended
        return subject

    def fail(self, text: str) -> None:
        self.world.fail(Rule.SUPERVISION, self.subject, f"service {self.number}: {text}")

    def started(self) -> None:
        """The service has started a client."""
        subject, at = self.current(), self.restart_at
        now = self.world.now
        if at is None or not at - EPSILON <= now <= at + EPSILON + self.world.tolerance:
            self.fail(f"a client is started at {now}, expected at {at}")
        self.restart_at = None
        subject.watch_end()
        client, model = subject.client, subject.model
        self.world.labels[client.sys._label] = subject
        stop = client.stop

        def watched_stop(detail: str = "") -> Any:
            subject.touch()
            model.end(("shutdown", detail), 1001)
            return stop(detail)

        client.stop = watched_stop

    def client_ended(self, subject: Subject) -> None:
        """A client has ended: by itself, or because the service was stopped."""
        self.world.count("client ended")
        if self.reason is not None:
            return
        is_over = subject.ended_normally() or subject.model.gave_up
        if self.kind == "temporary" or (self.kind == "transient" and is_over):
            self.reason = subject.exit_reason()
            return
        most, seconds = self.limits
        now = self.world.now - self.waited
        self.restarts = [each for each in self.restarts if now - each <= seconds] + [now]
        if len(self.restarts) > most:
            self.reason = "given up"
            return
        backoff = subject.options["reconnect"]
        delay = backoff(len(self.restarts))
        delay = backoff.maximum if delay is None else delay
        self.waited += delay
        self.restart_at = self.world.now + delay

    def service_ended(self, reason: Any) -> None:
        """The service has ended."""
        expected = self.reason
        if expected is None:
            self.fail(f"the service has ended: {reason!r}")
        elif expected == "given up":
            if not isinstance(reason, wsx.MaxRestartsExceeded):
                self.fail(f"the service has ended with {reason!r}, expected to give up")
        elif not matches(expected, reason):
            self.fail(f"the service has ended with {reason!r}, expected {expected}")
        self.restart_at = None
        self.service = None
        self.world.reactor.later(self.rng.choice((1.0, 30.0)), self.start_client)

    # The driver

    def act(self) -> None:
        self.check()
        if self.service is not None:
            super().act()
            self.check()

    def nested(self, subject: Subject) -> None:
        if self.service is not None:
            super().nested(subject)

    def check(self) -> None:
        """Compare the service with its model, between two steps."""
        at, subject, service = self.restart_at, self.subject, self.service
        if at is not None and self.world.now > at + EPSILON + self.world.tolerance:
            self.fail(f"no client was started at {at}")
        if self.reason is not None and service is not None and not service.running:
            return  # It is being stopped.
        if self.reason is not None and service is not None:
            self.fail(f"the service has not ended: {self.reason}")
        alive = subject is not None and subject.is_alive and service is not None
        if service is not None and (service.client is not None) != alive:
            self.fail(f"client is {service.client!r}, alive: {alive}")
        is_open = alive and subject is not None and subject.is_ready
        is_open = is_open and subject is not None and subject.client.status == "open"
        self.waiting = [each for each in self.waiting if not each.called]
        if self.waiting and (is_open or service is None):
            self.fail("whenConnected did not fire")

    def when_connected(self) -> None:
        connected = self.service.whenConnected()
        connected.addBoth(self._connected)
        self.waiting.append(connected)

    def _connected(self, result: Any) -> None:
        if isinstance(result, Failure):
            if self.reason is None:
                self.fail(f"whenConnected failed with {result.value!r}")
        elif result is not self.current().client or not self.current().is_ready:
            self.fail(f"whenConnected fired with {result!r}")

    def stop_service(self) -> None:
        if self.reason is None:
            self.reason = ("shutdown", "")
            self.restart_at = None
            self.service.stopService()

    def end(self) -> None:
        if self.service is not None:
            self.stop_service()
