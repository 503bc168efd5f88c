"""A server for each child of a supervisor, and the base class of tests of supervision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

import wsx
import wsx.supervisor
from wsx import ChildSpec, Supervisor, registry
from wsx.test.support import URL, MemoryCase, MemoryServer, Peer, close

GOING_AWAY = (8, (1001).to_bytes(2, "big"))
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "transient", "temporary")
PLENTY = 10_000  # restarts


def steady(seconds: float) -> wsx.Backoff:
    """A policy that always waits so long."""
    return wsx.Backoff(initial=seconds, factor=1.0, maximum=seconds, jitter=0.0)


class Site(MemoryServer):
    """The server of one child. It notes attempts, and unless told otherwise it serves.

    Attributes:
        id: the child's.
        answers: completes opening handshakes.
        hangs_up: ends TCP after a close frame.
        on_attempt: called when somebody connects.
        on_connect, on_terminate: what the handler's callbacks do, if anything.
        handlers: all that there were, the present one last.
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
        """Notes what happens to the child."""
        self.events.append(f"{what} {self.id}")

    def connect(self, factory: Any) -> Deferred[Any]:
        """Notes the attempt."""
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
            if self._served.pop(peer, None) is not None:  # as TCP does: once
                lost(*arguments)

        peer.protocol.connectionLost = connection_lost

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._served)

    def serve(self) -> bool:
        """Does what a server does by itself; tells whether there was anything."""
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
        """All its connections break."""
        for peer in list(self._served):
            peer.drop()


class Puppet(wsx.Handler[Any]):
    """Notes when it is up and when it ends; raises what is cast."""

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
    """Children of which each has a server of its own, and one list of what happens to them."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(registry, "_clients", {})  # no test trips over a name that another left
        self.events: list[str] = []
        self.sites: dict[Any, Site] = {}

    def options(self, id: Any, **more: Any) -> dict[str, Any]:
        """The options of a client to its own server; keepalive is off."""
        site = self.sites.setdefault(id, Site(self.clock, id, self.events))
        return {"reactor": self.clock, "endpoint": site, "ping_interval": None} | more

    def handler(self, id: Any) -> type[Puppet]:
        """A handler class that notes for this id."""
        self.options(id)
        return type("Own", (Puppet,), {"site": self.sites[id]})

    def child(
        self,
        id: Any,
        restart: str = "permanent",
        *,
        backoff: wsx.Backoff | None = None,
        **options: Any,
    ) -> ChildSpec:
        """A child: a client that is started synchronously, unless told otherwise."""
        own = self.options(id, **options)
        spec = self.handler(id).child_spec(URL, id=id, restart=restart, **own)
        return spec.replace(backoff=backoff)

    def children(self, ids: str, **options: Any) -> list[ChildSpec]:
        """Several of them, each named by a letter."""
        return [self.child(id, **options) for id in ids]

    def supervise(
        self, children: Iterable[ChildSpec | Supervisor], *arguments: Any, **options: Any
    ) -> Supervisor:
        """Makes a supervisor and starts it."""
        supervisor = Supervisor(children, *arguments, **{"reactor": self.clock} | options)
        supervisor.startService()
        self.settle()
        return supervisor

    def settle(self) -> None:
        """Lets everything happen that needs no time, servers included."""
        for _ in range(20_000):
            busy = sum(site.serve() for site in list(self.sites.values()))
            due = [c for c in self.clock.getDelayedCalls() if c.getTime() <= self.clock.seconds()]
            if not (busy or due):
                return
            self.clock.advance(0)
        self.fail("it never settles")

    def advance(self, seconds: float, steps: int = 1) -> None:
        """Lets time pass, and everything happen that is due."""
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.settle()

    @contextmanager
    def happens(self, *events: str) -> Iterator[None]:
        """Exactly this happens meanwhile, in this order."""
        del self.events[:]
        yield
        self.settle()
        self.assertEqual(self.events, list(events))

    def client(self, supervisor: Supervisor, id: Any) -> Any:
        """The running child of that id, or None."""
        return {row[0]: row[1] for row in supervisor.which_children()}[id]

    def up(self, supervisor: Supervisor) -> list[Any]:
        """The ids of the children that run."""
        return [id for id, child, _ in supervisor.which_children() if child is not None]

    def listed(self, supervisor: Supervisor) -> list[Any]:
        """The ids of all children."""
        return [id for id, _, _ in supervisor.which_children()]

    def crash(self, ids: str) -> None:
        """The connections of these children break in one step: abnormal ends."""
        for id in ids:
            self.sites[id].drop()

    def end_normally(self, id: Any) -> None:
        """The server of a child closes normally."""
        self.sites[id].peer.send(close(1000))

    def assert_all_down(self, supervisor: Supervisor) -> None:
        """Nothing is left: no child, no connection, no timer; and nothing comes back."""
        self.assertEqual(self.up(supervisor), [])
        self.assertEqual(self.connections(), dict.fromkeys(self.sites, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        attempts = {id: site.attempts for id, site in self.sites.items()}
        self.clock.advance(10_000)
        self.assertEqual({id: site.attempts for id, site in self.sites.items()}, attempts)

    def connections(self) -> dict[Any, int]:
        """How many TCP connections each child has."""
        return {id: site.connections for id, site in self.sites.items()}

    def stop(self, supervisor: Supervisor) -> None:
        """Stops a supervisor; all must be down then."""
        stopped = supervisor.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)
