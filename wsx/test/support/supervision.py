"""In-memory servers for the children of a supervisor, and the base class for supervision tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

import wsx
import wsx.supervisor
from wsx import ChildSpec, Supervisor, registry
from wsx.option_types import Strategy
from wsx.test.support import URL, MemoryCase, MemoryServer, Peer, close

GOING_AWAY = (8, (1001).to_bytes(2, "big"))
STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "transient", "temporary")
PLENTY = 10_000  # restarts


def steady(seconds: float) -> wsx.Backoff:
    """Return a policy whose delay is always this number of seconds."""
    return wsx.Backoff(initial=seconds, factor=1.0, maximum=seconds, jitter=0.0)


class Site(MemoryServer):
    """An in-memory server for one child; by default it accepts connections and closing handshakes.

    Attributes:
        id: The id of the child.
        answers: Whether the server completes opening handshakes.
        hangs_up: Whether the server ends TCP after it received a close frame.
        on_attempt: Called for each attempt to connect.
        on_connect: Called in ``handle_connect``; its result is the callback's result.
        on_terminate: Called in ``terminate``; its result is the callback's result.
        handlers: All handlers of this child, the current one last.
    """

    def __init__(self, clock: Clock, id: Any, events: list[str]) -> None:
        super().__init__(clock)
        self.id = id
        self.events = events
        self.answers = self.hangs_up = True
        self.on_attempt: Callable[[], Any] = lambda: None
        self.on_connect: Callable[[], Any] = lambda: None
        self.on_terminate: Callable[[], Any] = lambda: None
        self.handlers: list[Puppet] = []
        self._served: dict[Peer, str] = {}

    def note(self, what: str) -> None:
        """Record an event of the child."""
        self.events.append(f"{what} {self.id}")

    def connect(self, factory: Any) -> Deferred[Any]:
        """Record the attempt and connect."""
        self.note("start")
        self.on_attempt()
        before = len(self.peers)
        connected = super().connect(factory)
        if len(self.peers) > before:
            self._watch(self.peer)
        return connected

    def _watch(self, peer: Peer) -> None:
        self._served[peer] = "new"
        lost = peer.protocol.connectionLost

        def connection_lost(*arguments: Any) -> None:
            # A transport reports the end of its connection only once.
            if self._served.pop(peer, None) is not None:
                lost(*arguments)

        peer.protocol.connectionLost = connection_lost

    @property
    def connections(self) -> int:
        """The number of open TCP connections."""
        return len(self._served)

    def serve(self) -> bool:
        """Accept connections and end closing handshakes.

        Return whether there was anything to do.
        """
        busy = False
        for peer, phase in list(self._served.items()):
            if phase == "new" and self.answers and not peer.transport.aborted:
                self._served[peer] = "answered"
                peer.answer()
                busy = True
            elif phase == "answered" and self.hangs_up and 8 in dict(peer.received()):
                peer.drop()
                busy = True
        return busy

    def drop(self) -> None:
        """Drop all connections."""
        for peer in list(self._served):
            peer.drop()


class Puppet(wsx.Handler[Any]):
    """Record connects and ends; raise each exception that is cast to it."""

    site: Site

    def __init__(self) -> None:
        self.ends: list[object] = []
        self.was_up = False
        self.site.handlers.append(self)

    def handle_connect(self, conn: Any, state: Any) -> Any:
        self.site.note("up")
        self.was_up = True
        return self.site.on_connect()

    def handle_cast(self, message: Any, state: Any) -> Any:
        raise message

    def terminate(self, reason: Any, state: Any) -> Any:
        self.site.note("end")
        self.ends.append(reason)
        return self.site.on_terminate()


class SupervisorCase(MemoryCase):
    """Base class: each child has a server, and all servers record into one list of events."""

    def setUp(self) -> None:
        super().setUp()
        # A name that another test left registered must not affect this test.
        self.patch(registry, "_clients", {})
        self.events: list[str] = []
        self.sites: dict[Any, Site] = {}

    def options(self, id: Any, **more: Any) -> dict[str, Any]:
        """Return the options of a client that connects to its own server; keepalive is off."""
        site = self.sites.setdefault(id, Site(self.clock, id, self.events))
        return {"reactor": self.clock, "endpoint": site, "ping_interval": None} | more

    def handler(self, id: Any) -> type[Puppet]:
        """Return a handler class that records events for this id."""
        self.options(id)
        return type("Own", (Puppet,), {"site": self.sites[id]})

    def child(
        self,
        id: Any,
        restart: Any = "permanent",
        *,
        backoff: wsx.Backoff | None = None,
        **options: Any,
    ) -> ChildSpec:
        """Return the specification of a client, which by default is started synchronously."""
        own = self.options(id, **options)
        spec = self.handler(id).child_spec(URL, id=id, restart=restart, **own)
        return spec.replace(backoff=backoff)

    def children(self, ids: str, **options: Any) -> list[ChildSpec]:
        """Return several specifications; each letter is an id."""
        return [self.child(id, **options) for id in ids]

    def supervise(
        self, children: Iterable[ChildSpec | Supervisor], *arguments: Any, **options: Any
    ) -> Supervisor:
        """Make and start a supervisor."""
        supervisor = Supervisor(children, *arguments, **{"reactor": self.clock} | options)
        supervisor.startService()
        self.settle()
        return supervisor

    def settle(self) -> None:
        """Run everything that is due now, on the client's and on the servers' side."""
        for _ in range(20_000):
            busy = sum(site.serve() for site in list(self.sites.values()))
            due = [c for c in self.clock.getDelayedCalls() if c.getTime() <= self.clock.seconds()]
            if not (busy or due):
                return
            self.clock.advance(0)
        self.fail("it never settles")

    def advance(self, seconds: float, steps: int = 1) -> None:
        """Advance the clock, and run everything that is due."""
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.settle()

    @contextmanager
    def happens(self, *events: str) -> Iterator[None]:
        """Assert that exactly these events happen in the context, in this order."""
        del self.events[:]
        yield
        self.settle()
        self.assertEqual(self.events, list(events))

    def client(self, supervisor: Supervisor, id: Any) -> Any:
        """Return the running child with this id, or None."""
        return {row[0]: row[1] for row in supervisor.which_children()}[id]

    def up(self, supervisor: Supervisor) -> list[Any]:
        """Return the ids of the running children."""
        return [id for id, child, _ in supervisor.which_children() if child is not None]

    def listed(self, supervisor: Supervisor) -> list[Any]:
        """Return the ids of all children."""
        return [id for id, _, _ in supervisor.which_children()]

    def crash(self, ids: str) -> None:
        """Drop the connections of these children in one step, which makes them end abnormally."""
        for id in ids:
            self.sites[id].drop()

    def end_normally(self, id: Any) -> None:
        """Let the server of a child close the connection normally."""
        self.sites[id].peer.send(close(1000))

    def assert_all_down(self, supervisor: Supervisor) -> None:
        """Assert that no child, connection or timer is left, and that nothing restarts."""
        self.assertEqual(self.up(supervisor), [])
        self.assertEqual(self.connections(), dict.fromkeys(self.sites, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        attempts = {id: site.attempts for id, site in self.sites.items()}
        self.clock.advance(10_000)
        self.assertEqual({id: site.attempts for id, site in self.sites.items()}, attempts)

    def connections(self) -> dict[Any, int]:
        """Return the number of TCP connections of each child."""
        return {id: site.connections for id, site in self.sites.items()}

    def stop(self, supervisor: Supervisor) -> None:
        """Stop a supervisor and assert that everything is down."""
        stopped = supervisor.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)
