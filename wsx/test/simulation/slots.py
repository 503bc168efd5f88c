"""The clients of a simulation: each slot has one client after the other."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService

import wsx
from wsx.test.simulation.behaviour import (
    CODES,
    INVALID_CODES,
    AbnormalReason,
    Behaviour,
    ChangedHandler,
    Message,
    NormalReason,
    SimulatedHandler,
    Temper,
)
from wsx.test.simulation.limits import HOST
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.server import Session, Site
from wsx.test.simulation.subject import State, Subject

if TYPE_CHECKING:
    from wsx.test.simulation.world import World


class Directory:
    """A registry of the user's, for ``Via``."""

    def __init__(self) -> None:
        self.clients: dict[Any, Any] = {}

    def register_name(self, key: Any, client: Any) -> bool:
        return self.clients.setdefault(key, client) is client

    def unregister_name(self, key: Any) -> None:
        del self.clients[key]

    def whereis_name(self, key: Any) -> Any:
        return self.clients.get(key)

    def send(self, key: Any, message: Any) -> None:
        self.clients[key].info(message)


def make_conn(world: World, rng: random.Random, site: Site, number: int) -> wsx.Conn:
    """Return a Conn with random options."""
    silent = world.has("silence") or world.has("network")
    interval = rng.choice((20.0, 20.0, 5.0, 60.0, None)) if not silent else None
    if silent:
        interval = rng.choice((20.0, 20.0, 5.0, 60.0))
    return wsx.Conn(
        f"ws://server{number}.example:{8000 + number}/path?n={number}",
        extra_headers=rng.choice(((), (("X-One", "1"), ("Cookie", "a=b")))),
        subprotocols=rng.choice(((), ("chat", "superchat"))),
        socket_connect_timeout=rng.choice((6.0, 1.0)),
        socket_recv_timeout=rng.choice((5.0, 1.0)),
        close_timeout=rng.choice((5.0, 1.0)),
        endpoint=site,
        compression=rng.choice((None, None, "deflate")),
        max_message_size=rng.choice((16 * 1024 * 1024, 16 * 1024 * 1024, 200_000, 1000)),
        max_header_size=rng.choice((64 * 1024, 2048)),
        ping_interval=interval,
        ping_timeout=rng.choice((20.0, 20.0, 4.0, 70.0)),
        data_timeout=rng.choice((None, None, None, 120.0)),
    )


def make_options(world: World, rng: random.Random) -> dict[str, Any]:
    """Return random options of ``start``."""
    options: dict[str, Any] = {
        "async_": rng.random() < 0.3,
        "handle_initial_conn_failure": rng.random() < 0.7,
        "stable_after": rng.choice((5.0, 0.0, 60.0)),
        "mailbox_limit": rng.choice((10_000, 10_000, 3, 0)) if world.has("api") else 10_000,
        "reactor": world.reactor,
    }
    if rng.random() < 0.6:
        options["reconnect"] = wsx.Backoff(
            initial=rng.choice((1.0, 0.1)),
            maximum=rng.choice((60.0, 5.0)),
            factor=rng.choice((2.0, 1.5)),
            jitter=rng.choice((0.5, 0.0, 1.0)),
            max_attempts=rng.choice((None, None, 6)),
            rng=random.Random(rng.random()),
        )
    if rng.random() < 0.4:
        options["debug"] = rng.choice((("statistics",), ("statistics", ("log", 5)), ("trace",)))
    return options


class Slot:
    """A place for one client at a time, with its server and the faults of both.

    Attributes:
        subject: The current client.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.rng = random.Random(f"slot {world.config.seed} {number}")
        self.site = Site(world, self.rng, lambda: self.current(), self.rng.random() < 0.3)
        self.subject: Subject | None = None
        self.generation = 0
        self.pace = self.rng.choice((5.0, 15.0, 15.0, 60.0))
        self.directory = Directory()
        self.name = self.rng.choice(
            (None, f"name {number}", wsx.Global(("g", number)), wsx.Via(self.directory, number))
        )
        self.actions, self.weights = self._choose_actions()

    def current(self) -> Subject:
        assert self.subject is not None
        return self.subject

    def begin(self) -> None:
        """Start the first client, and the driver."""
        self.world.reactor.later(self.rng.random() * 10, self.start_client)
        self.world.reactor.later(10 + self.rng.random() * self.pace, self.drive)

    # Clients

    def start_client(self) -> None:
        if self.world.ending:
            return
        subject = self.subject = self.make_subject()
        options = subject.options
        subject.on_end = self.client_ended
        parent = subject.parent = self._make_parent()
        start = wsx.start if parent is None else partial(wsx.start_link, parent)
        subject.start(lambda: start(subject.conn, subject.handler, subject.model.state, **options))
        if isinstance(parent, wsx.Supervisor) and subject.client is not None:
            self._watch_abort(subject)
        if self.rng.random() < 0.3 and self.world.has("ends"):
            life = self.rng.expovariate(1 / 900)
            self.world.reactor.later(life, self._end_life, subject)

    def _make_parent(self) -> Any:
        """Return a parent for ``start_link``, or None for ``start``."""
        roll = self.rng.random()
        if roll < 0.6:
            return None
        parent: Any = MultiService()
        if roll < 0.8:
            parent = wsx.Supervisor([], id="parent", reactor=self.world.reactor)
        parent.startService()
        return parent

    def _watch_abort(self, subject: Subject) -> None:
        """Tell the model when the supervisor aborts the client, 5 s after it has stopped it."""
        client, model = subject.client, subject.model
        abort = client.abort

        def watched() -> None:
            subject.touch()
            model.killed = True
            model.end(("shutdown", ""), 1001)
            abort()

        client.abort = watched

    def stop_parent(self) -> None:
        """Stop the parent of the client."""
        subject = self.current()
        parent = subject.parent
        if parent is None or not subject.is_alive or not parent.running:
            return
        subject.shutdown_timers = int(isinstance(parent, wsx.Supervisor))
        subject.enter()
        subject.model.end(("shutdown", ""), 1001)
        stopped = subject.call(parent.stopService)
        subject.leave()
        stopped.addCallback(lambda _: self._parent_stopped(subject))

    def _parent_stopped(self, subject: Subject) -> None:
        if subject.is_alive:
            self.world.fail(Rule.SUPERVISION, subject, "the parent has stopped before the client")

    def _check_parent(self, subject: Subject) -> None:
        """Check that the parent has the client as long as the client is alive."""
        parent = subject.parent
        if parent is None:
            return
        if isinstance(parent, wsx.Supervisor):
            found = [row[1] for row in parent.which_children() if row[1] is not None]
            expected = [subject.client] if subject.is_alive and parent.running else []
        else:
            found, expected = list(parent), list(parent)[:1] if subject.is_alive else []
        if found != expected:
            self.world.fail(Rule.SUPERVISION, subject, f"the parent has {found}")

    def make_subject(self) -> Subject:
        self.generation += 1
        rng = self.rng
        options = make_options(self.world, rng)
        options["name"] = self.name
        conn = make_conn(self.world, rng, self.site, self.number)
        if rng.random() < 0.3:
            options["connect_limiter"] = self.world.limiter
            conn = conn.replace(url=f"ws://{HOST}:{8000 + self.number}/path?n={self.number}")
        handler = SimulatedHandler()
        return self.equip(handler, conn, options, calm=False)

    def equip(self, handler: Any, conn: wsx.Conn, options: dict[str, Any], calm: bool) -> Subject:
        """Create the subject of a handler."""
        label = f"{self.number}.{self.generation}"
        subject = Subject(self.world, label, self.site, conn, options, self.rng, handler)
        subject.model.state = State(subject)
        handler.subject = subject
        temper = Temper(self.rng, self.world.has("handlers"), calm)
        handler.behaviour = Behaviour(subject, temper)
        return subject

    def client_ended(self, subject: Subject) -> None:
        self.world.count("client ended")
        if not self.world.ending and subject is self.subject:
            self.world.reactor.later(self.rng.choice((0.1, 1.0, 30.0)), self.restart, subject)

    def restart(self, subject: Subject) -> None:
        if subject is self.subject:
            self._check_parent(subject)
            self.start_client()

    def _end_life(self, subject: Subject) -> None:
        if subject.is_alive and not self.world.ending:
            subject.stop("the end of its life")

    def end(self) -> None:
        """Stop the client."""
        subject = self.subject
        if subject is not None and subject.is_alive:
            subject.stop("the end of the simulation")

    def check_end(self) -> None:
        """Check that nothing is left."""
        subject = self.subject
        if subject is None or subject.client is None:
            return
        subject.touch()
        if subject.is_alive:
            self.world.fail(Rule.END_IN_TIME, subject, "the client has not ended")
        if subject.promises:
            self.world.fail(Rule.DEFERREDS, subject, f"{list(subject.promises)} did not fire")
        if subject.owner.timers and subject.owns_timers:
            self.world.fail(Rule.TIMERS, subject, f"{subject.owner.timers} timers are left")
        link = subject.model.link
        if link is not None and not (link.lost or link.aborted_in_vain):
            self.world.fail(Rule.CONNECTIONS, subject, "a connection is left")

    # The driver

    def _choose_actions(self) -> tuple[list[Callable[[], None]], list[float]]:
        kinds: dict[str, list[tuple[Callable[[], None], float]]] = {
            "": [(self.server_message, 30), (self.server_ping, 4), (self.inspect, 3)],
            "frames": [
                (self.server_burst, 3),
                (self.server_large, 1),
                (self.server_close, 2),
                (self.server_violation, 2),
                (self.server_largest, 1),
            ],
            "network": [
                (self.reset, 2),
                (self.drop, 2),
                (self.die, 1),
                (self.break_down, 0.5),
                (self.lose_abort, 0.5),
                (self.stall, 3),
                (self.congest, 0.5),
                (self.server_restart, 1),
            ],
            "silence": [(self.no_pongs, 1)],
            "api": [
                (self.cast, 15),
                (self.info, 5),
                (self.several_casts, 2),
                (self.send_after, 5),
                (self.send_frame, 15),
                (self.send_several, 2),
                (self.close, 1.5),
                (self.mark_healthy, 0.5),
                (self.when_open, 2),
                (self.cancel, 1),
                (self.change_limit, 0.3),
                (self.start_again, 0.3),
            ],
            "sys": [
                (self.suspend, 2),
                (self.replace_state, 2),
                (self.change_code, 2),
                (self.switch, 1),
            ],
            "ends": [
                (self.stop, 0.4),
                (self.abort, 0.2),
                (self.terminate, 0.3),
                (self.stop_parent, 0.4),
            ],
        }
        chosen = [
            pair
            for kind, pairs in kinds.items()
            if not kind or self.world.has(kind)
            for pair in pairs
        ]
        # Each slot has its own mixture.
        weights = [weight * self.rng.choice((0.3, 1, 1, 2)) for _, weight in chosen]
        return [action for action, _ in chosen], weights

    def drive(self) -> None:
        """Do something, and come again."""
        if self.world.ending:
            return
        self.act()
        pause = self.rng.expovariate(1 / self.pace) if self.rng.random() < 0.9 else 0.0
        self.world.reactor.later(pause, self.drive)

    def act(self) -> None:
        subject = self.subject
        if subject is None or subject.client is None:
            return
        [action] = self.rng.choices(self.actions, self.weights)
        self.world.count(action.__name__)
        self.world.note(subject, "action", action.__name__, "")
        action()

    def nested(self, subject: Subject) -> None:
        """Call a client from a callback: mostly its own."""
        target = subject
        if self.rng.random() < 0.2 and self.subject is not None and self.subject.client is not None:
            target = self.subject
        driver = Nested(self, target)
        driver.act()

    # Actions of the server

    @property
    def session(self) -> Session | None:
        session = self.site.session
        if session is None or session.link.lost or not session.is_open:
            return None
        return session

    def server_message(self) -> None:
        if self.session is not None:
            self.session.message()

    def server_large(self) -> None:
        if self.session is not None and self.current().conn.max_message_size != 1000:
            limit = self.current().conn.max_message_size or 0
            if limit >= 200_000:
                self.session.message(large=True)

    def server_largest(self) -> None:
        if self.session is not None:
            self.session.largest()

    def server_burst(self) -> None:
        if self.session is not None:
            count = self.rng.choice((2, 5, 20, 60, 511, 512, 513, 1100))
            if count > 60 and self.rng.random() < 0.4:
                count = 10
            self.session.burst(count, self.rng.random() < 0.3)

    def server_ping(self) -> None:
        if self.session is not None:
            self.session.ping()

    def server_close(self) -> None:
        if self.session is not None:
            self.session.close()

    def server_violation(self) -> None:
        if self.session is not None:
            self.session.violate()

    def no_pongs(self) -> None:
        if self.session is not None:
            self.session.answers_pings = False

    def reset(self) -> None:
        if self.session is not None:
            if self.rng.random() < 0.5:
                self.session.message()
            self.session.link.reset()

    def drop(self) -> None:
        if self.session is not None:
            self.session.link.finish()

    def die(self) -> None:
        if self.session is not None:
            self.session.link.die()

    def break_down(self) -> None:
        if self.session is not None:
            self.session.link.break_down()

    def lose_abort(self) -> None:
        if self.session is not None:
            self.session.link.lose_abort()
            self.session.link.die()

    def stall(self) -> None:
        session = self.session
        if session is not None:
            session.link.stall(self.rng.choice((0, 0, 100, 65536)))
            seconds = self.rng.choice((0.5, 3.0, 10.0, 100.0))
            self.world.reactor.later(seconds, session.link.end_stall)

    def congest(self) -> None:
        """Let the server send much and read nothing for some time; sometimes suspend the client."""
        session = self.session
        if session is None:
            return
        session.link.stall(0)
        self.current().send_frame(wsx.Text("x"), None)
        for _ in range(self.rng.choice((3, 10))):
            session.ping()
            session.message(large=self.current().conn.max_message_size != 1000)
        if self.world.has("sys") and self.rng.random() < 0.7:
            self.world.reactor.later(self.rng.choice((0.1, 0.5)), self._suspend_for_long)
        self.world.reactor.later(self.rng.choice((0.7, 3.0)), session.link.end_stall)

    def _suspend_for_long(self) -> None:
        subject = self.subject
        if subject is not None and subject.client is not None and not self.world.ending:
            subject.suspend()
            self.world.reactor.later(10.0, self._resume, subject)

    def server_restart(self) -> None:
        self.site.down = True
        if self.site.session is not None and not self.site.session.link.lost:
            self.site.session.link.reset()
        self.world.reactor.later(self.rng.choice((0.1, 5.0, 60.0, 300.0)), self._server_up)

    def _server_up(self) -> None:
        self.site.down = False

    # Actions of the client

    def inspect(self) -> None:
        self.current().inspect()
        if self.current().is_alive:
            self._check_parent(self.current())

    def message(self) -> Message:
        subject = self.current()
        subject.messages += 1
        return Message(subject.messages)

    def cast(self) -> None:
        self.current().post("cast", self.message())

    def info(self) -> None:
        self.current().post("info", self.message())

    def several_casts(self) -> None:
        for _ in range(self.rng.choice((2, 5, 20))):
            self.cast()

    def send_after(self) -> None:
        if self.current().is_alive and self.current().owns_timers:
            delay = self.rng.choice((0.0, 1.0, 30.0))
            self.current().send_after(delay, self.message())
            if self.rng.random() < 0.2 and self.current().delayed:
                call = self.rng.choice(self.current().delayed)
                if call.active():
                    call.cancel()

    def send_frame(self) -> None:
        subject = self.current()
        behaviour = subject.handler.behaviour
        invalid = self.rng.random() < 0.05
        frame = behaviour.invalid_frame() if invalid else behaviour.frame()
        timeout = self.rng.choice((5.0, 5.0, 1.0, 0.0, None))
        subject.send_frame(frame, timeout, cancel=self.rng.random() < 0.1)

    def send_several(self) -> None:
        for _ in range(self.rng.choice((2, 5, 20))):
            self.send_frame()

    def close(self) -> None:
        code = self.rng.choice(INVALID_CODES if self.rng.random() < 0.1 else CODES)
        self.current().close(code, self.rng.choice(("", "bye", "é" * 61, "x" * 123)))

    def mark_healthy(self) -> None:
        self.current().mark_healthy()

    def change_limit(self) -> None:
        """Change the connection limit of all clients."""
        rng = self.rng
        self.world.limiter.change(rng.choice((1, 2, 4)), rng.choice((1.0, 10.0, 30.0)))

    def when_open(self) -> None:
        self.current().when_open()

    def cancel(self) -> None:
        """Cancel a Deferred of the client."""
        kinds = ("open", "close", *(("start",) if self.world.has("ends") else ()))
        self.current().cancel(self.rng.choice(kinds))

    def start_again(self) -> None:
        """Start a second client with the same name, or with the same handler."""
        subject = self.current()
        if subject.name is None or not subject.is_alive:
            return
        started = subject.call(
            lambda: wsx.start(
                subject.conn, wsx.Handler, reactor=self.world.reactor, name=subject.name
            )
        )
        subject.track("start", started, extra=wsx.AlreadyStartedError)

    def suspend(self) -> None:
        subject = self.current()
        subject.suspend()
        self.world.reactor.later(self.rng.choice((0.0, 1.0, 30.0, 120.0)), self._resume, subject)

    def _resume(self, subject: Subject) -> None:
        if subject.client is not None:
            subject.resume()

    def replace_state(self) -> None:
        self.current().replace_state(self.rng.random() < 0.1, self.rng.random() < 0.1)

    def change_code(self) -> None:
        subject = self.current()
        kind = type(subject.handler)
        new = subject_class(kind, self.rng)
        subject.change_code(new, self.rng.random() < 0.1, self.rng.random() < 0.1)

    def switch(self) -> None:
        subject = self.current()
        if not subject.is_alive:
            return
        sys, rng = subject.client.sys, self.rng
        kind = rng.randrange(3)
        if kind == 0:
            subject.call(sys.trace, rng.random() < 0.5)
        elif kind == 1:
            subject.call(sys.log, rng.choice((True, False, 3, "print", "get")))
        elif not subject.counts_all:
            subject.call(sys.statistics, rng.choice((True, False, "get")))

    def stop(self) -> None:
        self.current().stop(self.rng.choice(("", "detail")))

    def abort(self) -> None:
        self.current().abort()

    def terminate(self) -> None:
        reason = self.rng.choice((NormalReason(), AbnormalReason(), wsx.Shutdown("x")))
        self.current().terminate(reason)


def subject_class(kind: type, rng: random.Random) -> type:
    """Return the class for a hot code change."""
    if kind in (SimulatedHandler, ChangedHandler):
        return rng.choice((SimulatedHandler, ChangedHandler))
    return kind


class Nested:
    """Calls of a client from inside a callback."""

    def __init__(self, slot: Slot, target: Subject) -> None:
        self.slot = slot
        self.target = target

    def act(self) -> None:
        slot, target, rng = self.slot, self.target, self.slot.rng
        before = slot.subject
        slot.subject = target
        names = [slot.cast, slot.info, slot.inspect]
        if slot.world.has("api"):
            names += [slot.send_frame, slot.send_frame, slot.send_several, slot.mark_healthy]
            names += [slot.send_after, slot.cast, slot.cast, slot.when_open]
            if rng.random() < 0.1:
                names = [slot.close]
        if slot.world.has("sys"):
            names += [slot.suspend, slot.replace_state, slot.change_code, slot.switch]
        if slot.world.has("ends") and rng.random() < 0.02:
            names = [slot.stop, slot.terminate, slot.abort]
        action = rng.choice(names)
        slot.world.note(target, "nested", action.__name__, "")
        try:
            action()
        finally:
            slot.subject = before


def make_slots(world: World) -> list[Slot]:
    """Return the slots of a simulation."""
    from wsx.test.simulation.services import ServiceSlot
    from wsx.test.simulation.trees import TreeSlot

    def make(number: int) -> Slot:
        roll = world.rng.random() if world.has("trees") else 1.0
        if roll < 0.25:
            return TreeSlot(world, number)
        return ServiceSlot(world, number) if roll < 0.4 else Slot(world, number)

    return [make(number) for number in range(world.config.clients)]
