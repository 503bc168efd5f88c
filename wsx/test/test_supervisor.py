"""Tests of wsx.supervisor: what is started, restarted and stopped, when, and in which order."""

from __future__ import annotations

import functools
import math
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from zope.interface.verify import verifyObject

import wsx
import wsx.supervisor
from wsx import ChildError, ChildSpec, MaxRestartsExceeded, Shutdown, Supervisor, registry
from wsx._supervision import intensity
from wsx.test.support import URL, MemoryCase, MemoryServer, Peer, case, close
from wsx.test.support.each import each

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


class StartTests(SupervisorCase):
    """How a supervisor comes up."""

    def test_is_a_service(self) -> None:
        """A Supervisor is an ``IService``."""
        verifyObject(IService, Supervisor([]))

    def test_nothing_before(self) -> None:
        """Making one starts nothing, and there are no children to see."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        self.settle()
        self.assertEqual((self.events, self.up(supervisor)), ([], []))
        self.assertNoResult(supervisor.when_up())

    def test_one_after_another(self) -> None:
        """Each child is started once the one before is up."""
        with self.happens("start a", "up a", "start b", "up b", "start c", "up c"):
            supervisor = self.supervise(self.children("abc"))
        self.assertIs(self.successResultOf(supervisor.when_up()), supervisor)

    def test_waits_for_handle_connect(self) -> None:
        """A synchronous child is up when its ``handle_connect`` has answered, and not before."""
        specs = self.children("ab")
        answer: Deferred[Any] = Deferred()
        self.sites["a"].on_connect = lambda: answer
        with self.happens("start a", "up a"):
            supervisor = self.supervise(specs)
        up = supervisor.when_up()
        self.assertEqual(self.up(supervisor), [])
        self.assertNoResult(up)
        with self.happens("start b", "up b"):
            answer.callback(None)
        self.assertIs(self.successResultOf(up), supervisor)

    def test_asynchronous_at_once(self) -> None:
        """Asynchronously started clients are all started at once."""
        specs = self.children("abc", async_=True)
        supervisor = Supervisor(specs, reactor=self.clock)
        supervisor.startService()
        self.assertEqual(self.events, ["start a", "start b", "start c"])
        self.assertIs(self.successResultOf(supervisor.when_up()), supervisor)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    def test_mixed(self) -> None:
        """An asynchronous one holds up nobody, a synchronous one those after it."""
        a, b, c = self.child("a", async_=True), self.child("b"), self.child("c", async_=True)
        self.sites["a"].silent = self.sites["b"].silent = True
        with self.happens("start a", "start b"):
            supervisor = self.supervise([a, b, c])
        self.assertEqual(self.up(supervisor), ["a"])
        self.assertEqual(self.listed(supervisor), ["a", "b", "c"])

    def test_no_children(self) -> None:
        """One without children is up at once, and stays so."""
        supervisor = self.supervise([])
        self.successResultOf(supervisor.when_up())
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(supervisor.which_children(), [])
        self.stop(supervisor)

    def test_twice(self) -> None:
        """Starting it twice starts the children once, before they are up and after."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        supervisor.startService()
        supervisor.startService()
        self.settle()
        supervisor.startService()
        self.settle()
        self.assertEqual(self.events, ["start a", "up a", "start b", "up b"])

    @each("abc")
    def test_first_start_fails(self, failing: str) -> None:
        """A child whose first start fails stops the others in reverse and ends the supervisor."""
        specs = self.children("abc")
        self.sites[failing].refusal = ConnectionRefusedError()
        supervisor = Supervisor(specs, reactor=self.clock)
        up, terminated = supervisor.when_up(), supervisor.terminated()
        supervisor.startService()
        self.settle()
        before = "abc"[: "abc".index(failing)]
        expected = [f"{what} {id}" for id in before for what in ("start", "up")]
        expected += [f"start {failing}", *(f"end {id}" for id in reversed(before))]
        self.assertEqual(self.events, expected)
        error = self.failureResultOf(up, wsx.ConnError).value
        self.assertIs(self.successResultOf(terminated), error)
        self.failureResultOf(supervisor.when_up(), wsx.ConnError)
        self.assertIs(self.successResultOf(supervisor.terminated()), error)
        self.assert_all_down(supervisor)

    @each(RESTARTS)
    def test_first_start_of_a_temporary_fails(self, restart: str) -> None:
        """That is so for every ``restart``: it says what follows an end, not a start."""
        spec = self.child("a", restart)
        self.sites["a"].refusal = ConnectionRefusedError()
        supervisor = self.supervise([spec])
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), wsx.ConnError)

    def test_first_start_times_out(self) -> None:
        """A server that never answers is a first start that fails, in its own time."""
        specs = self.children("ab", socket_recv_timeout=3.0)
        self.sites["b"].answers = False
        supervisor = self.supervise(specs)
        self.advance(2.9)
        self.assertNoResult(supervisor.terminated())
        self.advance(0.2)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), wsx.ConnError)
        self.assert_all_down(supervisor)

    def test_handle_connect_fails(self) -> None:
        """A first ``handle_connect`` that raises fails the start with what it raised."""
        specs = self.children("ab")
        self.sites["b"].on_connect = lambda: 1 / 0
        supervisor = self.supervise(specs)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1 + 1)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), ZeroDivisionError)
        self.failureResultOf(supervisor.when_up(), ZeroDivisionError)
        self.assert_all_down(supervisor)

    def test_handle_connect_exits(self) -> None:
        """A reason that is no exception comes in a ``ClientEnded``."""
        spec = self.child("a")

        def leave() -> None:
            raise wsx.Exit(wsx.LocalClose(1000, "not today"))

        self.sites["a"].on_connect = leave
        supervisor = self.supervise([spec])
        error = self.failureResultOf(supervisor.when_up(), wsx.ClientEnded).value
        self.assertEqual(error.reason, wsx.LocalClose(1000, "not today"))
        self.flushLoggedErrors(wsx.ClientEnded)

    def test_asynchronous_first_connection_fails(self) -> None:
        """An asynchronous child has been started: its failing connection is an end like others."""
        spec = self.child("a", async_=True, backoff=steady(10.0))
        self.sites["a"].refusal = ConnectionRefusedError()
        supervisor = self.supervise([spec])
        self.assertNoResult(supervisor.terminated())
        self.sites["a"].refusal = None
        self.advance(10.0)
        self.assertEqual(self.up(supervisor), ["a"])

    def test_again_after_a_failure(self) -> None:
        """``startService`` after a first start that failed begins anew."""
        specs = self.children("ab")
        self.sites["b"].refusal = ConnectionRefusedError()
        supervisor = self.supervise(specs)
        self.successResultOf(supervisor.terminated())
        self.sites["b"].refusal = None
        with self.happens("start a", "up a", "start b", "up b"):
            supervisor.startService()
        self.assertNoResult(supervisor.terminated())
        self.successResultOf(supervisor.when_up())
        self.stop(supervisor)

    def test_when_up_cancelled(self) -> None:
        """Cancelling the Deferreds of ``when_up`` and ``terminated`` harms nobody."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        up, terminated, other = supervisor.when_up(), supervisor.terminated(), supervisor.when_up()
        supervisor.startService()
        up.cancel()
        terminated.cancel()
        self.settle()
        self.failureResultOf(up, CancelledError)
        self.failureResultOf(terminated, CancelledError)
        self.successResultOf(other)
        self.stop(supervisor)

    def test_arguments(self) -> None:
        """Arguments out of range are refused when it is made."""
        cases: list[dict[str, Any]] = [
            {"strategy": "simple_one_for_one"},
            {"strategy": None},
            {"max_restarts": -1},
            {"max_seconds": 0},
            {"max_seconds": -1},
            {"restart": "always"},
            {"shutdown": -1},
            {"shutdown": "5"},
            {"auto_shutdown": "any"},
        ]
        for options in cases:
            with case(options):
                self.assertRaises(ValueError, Supervisor, [], **options)

    def test_positions(self) -> None:
        """The arguments have the positions that they are documented with."""
        supervisor = Supervisor([], "rest_for_one", 2, 7.0, "top", "transient", 9.0)
        spec = supervisor.child_spec()
        self.assertEqual(
            (spec.id, spec.restart, spec.shutdown, spec.type),
            ("top", "transient", 9.0, "supervisor"),
        )

    def test_duplicate_ids(self) -> None:
        """Two children with one id are a ValueError, a nested supervisor's included."""
        nested = Supervisor([], id="a")
        for children in ([self.child("a"), self.child("a")], [self.child("a"), nested]):
            with case(children):
                error = self.assertRaises(ValueError, Supervisor, children)
                self.assertIsInstance(error, ChildError)
                self.assertEqual(error.id, "a")

    def test_no_children_of_that_kind(self) -> None:
        """What is neither a ChildSpec nor a Supervisor is a TypeError."""
        for child in (None, Puppet, "a", MultiService()):
            with case(child):
                self.assertRaises(TypeError, Supervisor, [child])

    def test_default_id(self) -> None:
        """A supervisor is called like its class, unless it is given an id."""

        class Feeds(Supervisor):
            pass

        self.assertEqual(Supervisor([]).child_spec().id, "Supervisor")
        self.assertEqual(Feeds([]).child_spec().id, Feeds.__qualname__)
        self.assertEqual(Supervisor([], id=0).child_spec().id, 0)


class RestartTests(SupervisorCase):
    """Which children are restarted, and in which order."""

    WITH_SIBLINGS: ClassVar[dict[str, list[str]]] = {
        "one_for_one": ["end b", "start b", "up b"],
        "one_for_all": [
            *("end b", "end c", "end a"),
            *("start a", "up a", "start b", "up b", "start c", "up c"),
        ],
        "rest_for_one": ["end b", "end c", "start b", "up b", "start c", "up c"],
    }

    @each(STRATEGIES, RESTARTS, (SupervisorCase.crash, SupervisorCase.end_normally))
    def test_matrix(
        self, strategy: str, restart: str, end: Callable[[SupervisorCase, str], None]
    ) -> None:
        """[V2] each strategy, ``restart`` and kind of end: who is stopped and started, in order."""
        specs = [self.child("a"), self.child("b", restart), self.child("c")]
        supervisor = self.supervise(specs, strategy)
        crashes = end is SupervisorCase.crash
        restarted = restart == "permanent" or (restart == "transient" and crashes)
        expected = self.WITH_SIBLINGS[strategy] if restarted else ["end b"]
        with self.happens(*expected):
            end(self, "b")
        self.assertEqual(self.up(supervisor), list("abc") if restarted else list("ac"))
        self.assertEqual(self.listed(supervisor), list("ac" if restart == "temporary" else "abc"))
        self.assertNoResult(supervisor.terminated())
        self.stop(supervisor)

    @each(
        [
            ("one_for_all", "a", "end a,end c,end b,start a,up a,start b,up b,start c,up c"),
            ("one_for_all", "c", "end c,end b,end a,start a,up a,start b,up b,start c,up c"),
            ("rest_for_one", "a", "end a,end c,end b,start a,up a,start b,up b,start c,up c"),
            ("rest_for_one", "c", "end c,start c,up c"),
        ]
    )
    def test_first_and_last(self, strategy: str, id: str, events: str) -> None:
        """[V2] the strategies when the first or the last child crashes."""
        self.supervise(self.children("abc"), strategy)
        with self.happens(*events.split(",")):
            self.crash(id)

    @each(
        [
            (lambda client, site: client.cast(wsx.Exit()), False),
            (lambda client, site: client.cast(wsx.Exit(Shutdown())), False),
            (lambda client, site: client.cast(wsx.Exit(wsx.RemoteClose(1000, ""))), False),
            (lambda client, site: client.stop(), False),
            (lambda client, site: client.close(), False),
            (lambda client, site: client.sys.terminate(Shutdown("enough")), False),
            (lambda client, site: site.peer.send(close(1000)), False),
            (lambda client, site: client.close(1001), True),
            (lambda client, site: client.cast(wsx.Exit("odd")), True),
            (lambda client, site: client.cast(ValueError("crash")), True),
            (lambda client, site: client.sys.terminate(ValueError("odd")), True),
            (lambda client, site: client.abort(), False),
            (lambda client, site: site.peer.send(close(1011)), True),
            (lambda client, site: site.peer.send(close()), True),
            (lambda client, site: site.drop(), True),
        ]
    )
    def test_kinds_of_end(self, end: Callable[[Any, Site], object], restarted: bool) -> None:
        """[V2] a transient child is restarted after each abnormal end, and no normal one."""
        supervisor = self.supervise([self.child("a", "transient")])
        end(self.client(supervisor, "a"), self.sites["a"])
        self.settle()
        self.assertEqual(self.sites["a"].attempts, 2 if restarted else 1)
        self.assertEqual(self.up(supervisor), ["a"] if restarted else [])
        self.assertEqual(self.listed(supervisor), ["a"])
        self.flushLoggedErrors(ValueError)

    def test_fresh_client(self) -> None:
        """A restarted child is a new client, with a new handler and the first state."""
        supervisor = self.supervise([self.child("a")])
        old = self.client(supervisor, "a")
        self.crash("a")
        self.settle()
        new = self.client(supervisor, "a")
        self.assertIsNot(new, old)
        self.assertIsNot(new.handler, old.handler)
        self.assertEqual((old.status, new.status), ("terminated", "open"))

    @each((("transient", 3), ("permanent", 6)))
    def test_policy_of_its_own(self, restart: str, attempts: int) -> None:
        """[V2] a transient client whose own policy gave up is not restarted, a permanent one is."""
        policy = wsx.Backoff(initial=1.0, jitter=0.0, max_attempts=2)
        supervisor = self.supervise([self.child("a", restart, reconnect=policy)])
        self.sites["a"].refusal = ConnectionRefusedError()
        self.crash("a")
        self.settle()
        self.clock.pump([0.5] * 9)
        self.assertEqual(self.sites["a"].attempts, attempts)
        self.assertEqual(self.listed(supervisor), ["a"])
        self.flushLoggedErrors()

    def test_crash_after_a_policy_gave_up(self) -> None:
        """[V2] a transient client that went on all the same and crashes later is restarted."""
        own = self.options("a", reconnect=wsx.Backoff(initial=1.0, max_attempts=0))

        class Stubborn(self.handler("a")):  # type: ignore[misc]
            def handle_disconnect(self, status: Any, state: Any) -> Any:
                if self.client.reconnect_delay(status) is None:
                    return wsx.Reconnect(state, after=2.0)
                return wsx.Ok(state)

        supervisor = self.supervise([Stubborn.child_spec(URL, restart="transient", **own)])
        self.crash("a")
        self.settle()
        self.advance(2.0)
        client = self.client(supervisor, Stubborn.__qualname__)
        self.assertEqual(client.status, "open")
        client.cast(ValueError("crash"))
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertGreaterEqual(self.clock.seconds(), 2.0)
        self.advance(60.0)  # the policy, asked for a restart, gives no delay: its longest
        self.assertIsNot(self.client(supervisor, Stubborn.__qualname__), None)

    @each(("one_for_all", "rest_for_one"))
    def test_ended_children_return_with_a_group(self, strategy: str) -> None:
        """[V2] as in OTP, a group's restart starts those too who had ended or were stopped."""
        specs = [self.child("a"), self.child("b", "transient"), self.child("c")]
        supervisor = self.supervise(specs, strategy)
        self.end_normally("b")
        self.settle()
        supervisor.terminate_child("c")
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        with self.happens("end a", "start a", "up a", "start b", "up b", "start c", "up c"):
            self.crash("a")
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    @each(("one_for_all", "rest_for_one"))
    def test_temporary_siblings_leave_with_a_group(self, strategy: str) -> None:
        """[V2] as in OTP, temporary siblings are stopped, forgotten and not started again."""
        specs = [self.child("a"), self.child("b", "temporary"), self.child("c")]
        supervisor = self.supervise(specs, strategy)
        with self.happens("end a", "end c", "end b", "start a", "up a", "start c", "up c"):
            self.crash("a")
        self.assertEqual(self.listed(supervisor), ["a", "c"])

    def test_temporary_before_it_stays(self) -> None:
        """[V2] with rest_for_one those before the one that crashed are left alone."""
        specs = [self.child("a", "temporary"), self.child("b"), self.child("c")]
        supervisor = self.supervise(specs, "rest_for_one")
        a = self.client(supervisor, "a")
        self.crash("b")
        self.settle()
        self.assertIs(self.client(supervisor, "a"), a)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    @each(STRATEGIES)
    def test_failing_restart(self, strategy: str) -> None:
        """[V3] a restart that fails counts as another, and is tried again, by strategy."""
        trying = {
            "one_for_one": ["end b", "start b", "start b", "start b"],
            "one_for_all": [
                *("end b", "end c", "end a"),
                *("start a", "up a", "start b", "end a") * 2,
                *("start a", "up a", "start b"),
            ],
            "rest_for_one": ["end b", "end c", "start b", "start b", "start b"],
        }
        endings = {
            "one_for_one": ["end c", "end a"],
            "one_for_all": ["end a"],
            "rest_for_one": ["end a"],
        }
        supervisor = self.supervise(self.children("abc"), strategy, 3)
        self.sites["b"].refusal = ConnectionRefusedError()
        with self.happens(*trying[strategy], *endings[strategy]):
            self.crash("b")
        reason = self.successResultOf(supervisor.terminated())
        self.assertIsInstance(reason, MaxRestartsExceeded)
        self.assertIsInstance(reason.reason, wsx.ConnError)
        self.assert_all_down(supervisor)
        self.flushLoggedErrors()

    @each(STRATEGIES)
    def test_failing_restart_that_succeeds_later(self, strategy: str) -> None:
        """[V3] until it succeeds: then all are up again."""
        specs = self.children("abc", backoff=steady(1.0))
        supervisor = self.supervise(specs, strategy, PLENTY)
        self.sites["b"].refusal = ConnectionRefusedError()
        self.crash("b")
        self.settle()
        self.advance(7.5, steps=15)
        self.sites["b"].refusal = None
        self.advance(2.0, steps=4)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.stop(supervisor)
        self.flushLoggedErrors()

    def test_failing_restart_of_another(self) -> None:
        """[V3] with rest_for_one, the group restarts from the one that could not be started."""
        supervisor = self.supervise(self.children("abc", backoff=steady(1.0)), "rest_for_one", 9)
        self.sites["b"].refusal = ConnectionRefusedError()
        self.crash("a")
        self.settle()
        self.advance(1.0)
        self.assertEqual(self.up(supervisor), ["a"])
        with self.happens("start b"):
            self.advance(1.0)
        self.sites["b"].refusal = None
        with self.happens("start b", "up b", "start c", "up c"):
            self.advance(1.0)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    def test_slow_restart_holds_up_nobody(self) -> None:
        """With one_for_one, a child whose server is slow does not hold up others' restarts."""
        supervisor = self.supervise(self.children("ab"))
        self.sites["a"].silent = True
        self.crash("ab")
        self.settle()
        self.assertEqual(self.up(supervisor), ["b"])
        self.assertEqual(self.sites["a"].attempts, 2)

    @each(STRATEGIES)
    def test_crash_while_later_ones_start(self, strategy: str) -> None:
        """A child that crashes while those after it are started for the first time comes back."""
        specs = self.children("abc")
        self.sites["b"].silent = True
        supervisor = self.supervise(specs, strategy)
        self.crash("a")
        self.settle()
        self.sites["b"].silent = False
        self.assertNoResult(supervisor.when_up())
        self.advance(0.0)
        self.assertIn("end a", self.events)

    def test_started_dynamically(self) -> None:
        """Children added later take part in a group's restart, in the order of adding."""
        supervisor = self.supervise(self.children("a"), "one_for_all")
        for id in "bc":
            supervisor.start_child(self.child(id))
            self.settle()
        with self.happens(*self.WITH_SIBLINGS["one_for_all"]):
            self.crash("b")

    def test_log(self) -> None:
        """A restart is one line in the log, with who, why and when."""
        supervisor = self.supervise([self.child("a", backoff=steady(3.0))], id="feeds")
        with capturedLogs() as logs:
            self.crash("a")
            self.settle()
        lines = [event for event in logs if event.get("log_namespace") == "wsx"]
        said = [event for event in lines if event["log_level"] is LogLevel.info]
        restarts = [e for e in said if e.get("child") == "'a'" or e.get("child") == "a"]
        self.assertEqual(len(restarts), 1, said)
        self.assertEqual((restarts[0]["n"], restarts[0]["delay"]), (1, 3.0))
        self.stop(supervisor)


class TogetherTests(SupervisorCase):
    """Several children that crash at once, or while others are being restarted."""

    @each(STRATEGIES, ("ab", "ba", "ac", "ca", "bc", "cb", "abc", "cba", "bac"))
    def test_in_one_step(self, strategy: str, ids: str) -> None:
        """Two or three that crash in one step: all come back, each once."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.crash(ids)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.stop(supervisor)

    @each(("one_for_all", "rest_for_one"), ("ab", "ac", "abc", "acb", "abcd", "adcb"))
    def test_in_one_step_is_one_restart_of_the_group(self, strategy: str, ids: str) -> None:
        """[V3] as in OTP, those who crash while their group is stopped are no further restarts."""
        supervisor = self.supervise(self.children("abcd"), strategy, 1)
        self.crash(ids)
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(self.up(supervisor), ["a", "b", "c", "d"])
        self.assertEqual(self.events.count("start a"), 2)

    @each(((3, True), (2, False)))
    def test_one_for_one_counts_each(self, allowed: int, is_up: bool) -> None:
        """[V3] with one_for_one each of them is a restart."""
        supervisor = self.supervise(self.children("abc"), "one_for_one", allowed)
        self.crash("abc")
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"] if is_up else [])

    @each(("one_for_all", "rest_for_one"))
    def test_while_the_group_is_stopped(self, strategy: str) -> None:
        """One that crashes while its group is being stopped comes back with the group."""
        supervisor = self.supervise(self.children("abc", close_timeout=3.0), strategy)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()  # now c is being stopped, and b is still up
        self.crash("b")
        self.settle()
        self.assertEqual(self.up(supervisor), [])
        self.sites["c"].hangs_up = True
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.assertEqual(self.events.count("start a"), 2)
        self.stop(supervisor)

    @each(("ab", "ba"))
    def test_longest_backoff(self, ids: str) -> None:
        """A group waits for the longest of the Backoffs of those who crashed."""
        specs = [
            self.child("a", backoff=steady(2.0), async_=True),
            self.child("b", backoff=steady(9.0), async_=True),
        ]
        supervisor = self.supervise(specs, "one_for_all", PLENTY)
        self.sites["a"].hangs_up = self.sites["b"].hangs_up = False
        self.crash(ids)
        self.settle()
        self.advance(1.9)
        self.assertEqual(self.up(supervisor), [])
        self.advance(7.2, steps=9)
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.stop_hard(supervisor)

    def stop_hard(self, supervisor: Supervisor) -> None:
        """Stops one whose servers do not hang up."""
        for site in self.sites.values():
            site.hangs_up = True
        self.stop(supervisor)

    def test_before_those_who_wait(self) -> None:
        """With rest_for_one, one that crashes while those after it wait takes them along."""
        specs = [
            self.child("a", backoff=steady(2.0)),
            self.child("b", backoff=steady(9.0)),
            self.child("c"),
        ]
        supervisor = self.supervise(specs, "rest_for_one", PLENTY)
        self.crash("b")
        self.settle()
        self.advance(8.0)
        self.assertEqual(self.up(supervisor), ["a"])
        with self.happens("end a"):
            self.crash("a")
            self.settle()
            self.advance(1.9)
        with self.happens("start a", "up a", "start b", "up b", "start c", "up c"):
            self.advance(0.2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_before_those_who_wait_longer(self) -> None:
        """They all wait as long as the one that waits longest, and start in order."""
        specs = [self.child("a", backoff=steady(2.0)), self.child("b", backoff=steady(9.0))]
        supervisor = self.supervise(specs, "rest_for_one", PLENTY)
        self.crash("b")
        self.settle()
        self.advance(1.0)
        self.crash("a")
        self.settle()
        with self.happens():
            self.advance(7.9, steps=10)
        with self.happens("start a", "up a", "start b", "up b"):
            self.advance(0.2)
        self.stop(supervisor)

    @each(("ab", "ba", "cba", "bac"))
    def test_dependents_wait_for_a_restart_that_fails(self, ids: str) -> None:
        """With rest_for_one, nobody is started before the one that it follows is up."""
        specs = self.children("abc", backoff=steady(1.0))
        supervisor = self.supervise(specs, "rest_for_one", PLENTY)
        self.sites["a"].refusal = ConnectionRefusedError()
        del self.events[:]
        self.crash(ids)
        self.settle()
        self.advance(5.5, steps=22)
        self.assertEqual({e for e in self.events if e[:3] != "end"}, {"start a"})
        self.sites["a"].refusal = None
        self.advance(2.0, steps=8)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.flushLoggedErrors()

    @each(("one_for_all", "rest_for_one"))
    def test_while_the_group_is_started(self, strategy: str) -> None:
        """One that crashes while the rest of its group is started comes back."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.sites["b"].answers = False
        self.crash("a")
        self.settle()
        self.assertEqual(self.events[-1], "start b")
        self.crash("a")
        self.settle()
        self.sites["b"].answers = True
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.stop(supervisor)

    @each("abc")
    def test_terminated_while_the_group_waits(self, gone: str) -> None:
        """One that is terminated while its group waits stays down; the others start in time."""
        specs = self.children("abc", backoff=steady(2.0))
        supervisor = self.supervise(specs, "one_for_all")
        self.crash("a")
        self.settle()
        self.advance(1.0)
        self.successResultOf(supervisor.terminate_child(gone))
        self.advance(1.0)
        self.assertEqual(self.up(supervisor), [id for id in "abc" if id != gone])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(("one_for_all", "rest_for_one"), "abc")
    def test_terminated_while_its_start_fails(self, strategy: str, id: str) -> None:
        """One that is terminated while its group's start fails at it: the others are started."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.sites[id].answers = False
        self.crash("a")
        self.settle()
        self.assertEqual(self.events[-1], f"start {id}")
        gone = supervisor.terminate_child(id)
        self.crash(id)
        self.settle()
        self.advance(1.0)
        self.successResultOf(gone)
        self.assertEqual(self.up(supervisor), [other for other in "abc" if other != id])
        self.stop(supervisor)
        self.flushLoggedErrors()

    def test_all_terminated_while_the_group_waits(self) -> None:
        """Where nobody is left to wait, the timer goes too."""
        supervisor = self.supervise(self.children("ab", backoff=steady(2.0)), "one_for_all")
        self.crash("a")
        self.settle()
        for id in "ab":
            self.successResultOf(supervisor.terminate_child(id))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_added_while_the_group_waits(self) -> None:
        """A child that is added while a group waits is started at once, and left alone then."""
        supervisor = self.supervise(self.children("ab", backoff=steady(2.0)), "one_for_all")
        self.crash("a")
        self.settle()
        added = supervisor.start_child(self.child("c"))
        self.settle()
        self.successResultOf(added)
        with self.happens("start a", "up a", "start b", "up b"):
            self.advance(2.0)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    def test_two_hundred(self) -> None:
        """200 children of one server that restarts: none is lost, none stampedes."""
        rng = random.Random(7)
        backoff = wsx.Backoff(initial=10.0, jitter=0.5, rng=rng)
        specs = [self.child(n, async_=True, backoff=backoff) for n in range(200)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        self.assertEqual(len(self.up(supervisor)), 200)
        del self.events[:]
        for site in self.sites.values():
            site.drop()
        self.settle()
        self.assertEqual(self.up(supervisor), [])
        self.advance(4.9)
        self.assertEqual([e for e in self.events if e.startswith("start")], [])
        counts = []
        for _ in range(11):
            before = len(self.up(supervisor))
            self.advance(1.0)
            counts.append(len(self.up(supervisor)) - before)
        self.assertEqual(sum(counts), 200)
        self.assertLess(max(counts), 50, "they all come at once")
        self.assertEqual(len([e for e in self.events if e.startswith("start")]), 200)
        self.stop(supervisor)

    def test_two_hundred_again_and_again(self) -> None:
        """A server that stays down for long gets fewer and fewer attempts of 50 children."""
        backoff = wsx.Backoff(initial=1.0, maximum=60.0, rng=random.Random(7))
        specs = [self.child(n, async_=True, backoff=backoff) for n in range(50)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        for site in self.sites.values():
            site.refusal = ConnectionRefusedError()
            site.drop()
        self.settle()
        per_minute = []
        for _ in range(4):
            before = sum(site.attempts for site in self.sites.values())
            self.advance(60.0, steps=60)
            per_minute.append(sum(site.attempts for site in self.sites.values()) - before)
        for earlier, later in pairwise(per_minute):
            self.assertLessEqual(later, earlier, per_minute)
        self.assertLess(per_minute[-1], 120, "with 60 s each, a bit more than one a minute")
        for site in self.sites.values():
            site.refusal = None
        self.advance(61.0, steps=61)
        self.assertEqual(len(self.up(supervisor)), 50)
        self.stop(supervisor)

    @each(("one_for_all", "rest_for_one"))
    def test_many_in_a_group(self, strategy: str) -> None:
        """A large group that crashes as a whole comes back as a whole."""
        specs = [self.child(n, async_=True, backoff=steady(1.0)) for n in range(400)]
        supervisor = self.supervise(specs, strategy, PLENTY)
        for site in self.sites.values():
            site.drop()
        self.settle()
        self.advance(1.0)
        self.assertEqual(len(self.up(supervisor)), 400)
        self.assertEqual(set(self.connections().values()), {1})

    def test_many_requests(self) -> None:
        """Many requests that wait for a slow one are all served when it is done."""
        supervisor = self.supervise([])
        spec = self.child("slow")
        self.sites["slow"].answers = False
        supervisor.start_child(spec)
        requests = [supervisor.start_child(self.child(n, async_=True)) for n in range(400)]
        self.sites["slow"].answers = True
        self.settle()
        for request in requests:
            self.successResultOf(request)
        self.assertEqual(len(self.up(supervisor)), 401)

    def test_linear(self) -> None:
        """Four times as many children that crash and return cost about four times as much."""
        few, many = self.cost(50), self.cost(200)
        self.assertLess(many / few, 6.0)

    def cost(self, number: int) -> int:
        """How many lines the supervisor runs for so many children that crash and return."""
        specs = [self.child(n, async_=True, backoff=steady(1.0)) for n in range(number)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        counted = (wsx.supervisor.__file__, intensity.__file__)
        lines = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal lines
            if frame.f_code.co_filename not in counted:
                return None
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for site in self.sites.values():
                site.drop()
            self.settle()
            self.advance(1.0)
        finally:
            sys.settrace(before)
        self.assertEqual(len(self.up(supervisor)), number)
        self.stop(supervisor)
        self.sites.clear()
        return lines


class IntensityTests(SupervisorCase):
    """More restarts than ``max_restarts`` in ``max_seconds``: the supervisor gives up."""

    @each(STRATEGIES)
    def test_each_strategy(self, strategy: str) -> None:
        """[V3] one too many ends the supervisor, with all children stopped in reverse."""
        expected = {
            "one_for_one": ["end b", "end c", "end a"],
            "one_for_all": ["end b", "end c", "end a"],
            "rest_for_one": ["end b", "end c", "end a"],
        }
        supervisor = self.supervise(self.children("abc"), strategy, 2, 10.0)
        terminated = supervisor.terminated()
        for _ in range(2):
            self.crash("b")
            self.settle()
            self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        with self.happens(*expected[strategy]):
            self.crash("b")
        reason = self.successResultOf(terminated)
        self.assertIsInstance(reason, MaxRestartsExceeded)
        self.assertEqual((reason.max_restarts, reason.max_seconds), (2, 10.0))
        self.assertIsInstance(reason.reason, wsx.ConnectionDropped)
        self.failureResultOf(supervisor.when_up(), MaxRestartsExceeded)
        self.assert_all_down(supervisor)

    def test_default(self) -> None:
        """[V3] three restarts in five seconds are tolerated, four are not."""
        supervisor = self.supervise(self.children("a"))
        for _ in range(3):
            self.crash("a")
            self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        self.crash("a")
        self.settle()
        reason = self.successResultOf(supervisor.terminated())
        self.assertEqual((reason.max_restarts, reason.max_seconds), (3, 5.0))

    def test_several_children(self) -> None:
        """[V3] the restarts of all children count together."""
        supervisor = self.supervise(self.children("abcd"))
        for id in "abc":
            self.crash(id)
            self.settle()
        self.assertNoResult(supervisor.terminated())
        self.crash("d")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)

    def test_window(self) -> None:
        """[V3] restarts longer ago than ``max_seconds`` do not count."""
        supervisor = self.supervise(self.children("ab"), max_restarts=2, max_seconds=5.0)
        for id in "abababab":
            self.crash(id)
            self.advance(2.6)
        self.assertEqual(self.up(supervisor), ["a", "b"])

    def test_none_tolerated(self) -> None:
        """[V3] with ``max_restarts=0`` the first is one too many."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.crash("a")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)

    def test_what_does_not_count(self) -> None:
        """[V3] ends that restart nothing do not count, nor do requests."""
        specs = [self.child("a"), *(self.child(id, "temporary") for id in "bcd")]
        specs.append(self.child("e", "transient"))
        supervisor = self.supervise(specs, max_restarts=0)
        self.crash("bcd")
        self.end_normally("e")
        self.settle()
        for _ in range(3):
            supervisor.terminate_child("a")
            self.settle()
            supervisor.restart_child("a")
            self.settle()
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(self.up(supervisor), ["a"])

    def test_waits_do_not_count(self) -> None:
        """[V3] waiting for a Backoff does not count towards ``max_seconds``."""
        spec = self.child("a", backoff=steady(100.0))
        supervisor = self.supervise([spec], max_restarts=2, max_seconds=5.0)
        for _ in range(2):
            self.crash("a")
            self.settle()
            self.advance(100.0)
            self.assertEqual(self.up(supervisor), ["a"])
        self.crash("a")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)

    def test_time_up_counts(self) -> None:
        """[V3] a child that runs long between its crashes is restarted for ever."""
        spec = self.child("a", backoff=steady(100.0))
        supervisor = self.supervise([spec], max_restarts=1, max_seconds=5.0)
        for _ in range(5):
            self.crash("a")
            self.settle()
            self.advance(100.0)
            self.advance(5.1)
        self.assertEqual(self.up(supervisor), ["a"])

    def test_wait_that_was_cut_short(self) -> None:
        """[V3] of a wait that a request ended, only what was waited is left out."""
        spec = self.child("a", backoff=steady(100.0))
        supervisor = self.supervise([spec], max_restarts=1, max_seconds=5.0)
        self.crash("a")
        self.settle()
        self.advance(1.0)
        supervisor.terminate_child("a")
        supervisor.restart_child("a")
        self.settle()
        self.advance(20.0)
        self.assertEqual(self.up(supervisor), ["a"])
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())

    def test_backoff_grows(self) -> None:
        """[V3] each restart in the window waits longer; after a quiet time it begins anew."""
        backoff = wsx.Backoff(initial=1.0, factor=2.0, jitter=0.0)
        specs = [self.child("a", backoff=backoff), self.child("b", backoff=backoff)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        waits = []
        for id in "aaabaa":
            self.crash(id)
            self.settle()
            (timer,) = self.clock.getDelayedCalls()
            waits.append(timer.getTime() - self.clock.seconds())
            self.advance(waits[-1])
        self.assertEqual(waits, [1.0, 2.0, 4.0, 1.0, 8.0, 16.0])
        self.advance(60.0)
        self.crash("a")
        self.settle()
        self.advance(1.0)
        self.assertEqual(self.up(supervisor), ["a", "b"])

    def test_backoff_that_gives_up(self) -> None:
        """[V3] past its ``max_attempts`` a Backoff is its maximum: ``max_restarts`` decides."""
        backoff = wsx.Backoff(initial=1.0, maximum=8.0, jitter=0.0, max_attempts=1)
        supervisor = self.supervise([self.child("a", backoff=backoff)], max_restarts=9)
        self.crash("a")
        self.settle()
        self.advance(1.0)
        self.crash("a")
        self.settle()
        self.advance(7.9)
        self.assertEqual(self.up(supervisor), [])
        self.advance(0.2)
        self.assertEqual(self.up(supervisor), ["a"])

    def test_configure(self) -> None:
        """``configure`` changes strategy and intensity while it runs, and begins to count anew."""
        supervisor = self.supervise(self.children("ab"), max_restarts=1)
        self.crash("a")
        self.settle()
        supervisor.configure("one_for_all", 2, 5.0)
        for _ in range(2):
            with self.happens("end b", "end a", "start a", "up a", "start b", "up b"):
                self.crash("b")
        self.crash("b")
        self.settle()
        reason = self.successResultOf(supervisor.terminated())
        self.assertEqual(reason.max_restarts, 2)

    def test_configure_refuses(self) -> None:
        """It refuses what the constructor refuses, and then nothing has changed."""
        supervisor = self.supervise(self.children("ab"))
        for arguments in (("all", 1, 1.0), ("one_for_all", -1, 1.0), ("one_for_all", 1, 0.0)):
            with case(arguments):
                self.assertRaises(ValueError, supervisor.configure, *arguments)
        with self.happens("end b", "start b", "up b"):
            self.crash("b")

    @each(STRATEGIES)
    def test_configure_while_a_child_waits(self, strategy: str) -> None:
        """A restart that waits for its Backoff is made after ``configure`` too."""
        supervisor = self.supervise(self.children("ab", backoff=steady(2.0)))
        self.crash("a")
        self.settle()
        supervisor.configure(strategy, 1, 1.0)
        self.advance(2.0)
        self.assertEqual(self.up(supervisor), ["a", "b"])

    def test_begins_anew(self) -> None:
        """[V3] after giving up, ``startService`` begins anew, with a fresh count."""
        supervisor = self.supervise(self.children("ab"), max_restarts=1)
        for _ in range(2):
            self.crash("a")
            self.settle()
        self.successResultOf(supervisor.terminated())
        with self.happens("start a", "up a", "start b", "up b"):
            supervisor.startService()
        self.assertNoResult(supervisor.terminated())
        self.crash("a")
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.stop(supervisor)

    def test_names_are_free_again(self) -> None:
        """Named children have their names over restarts, and they are free after the end."""
        specs = [self.child(id, name=f"feed {id}") for id in "abc"]
        supervisor = self.supervise(specs, "one_for_all", 5)
        for _ in range(5):
            self.crash("b")
            self.settle()
            for id in "abc":
                self.assertIs(wsx.whereis(f"feed {id}"), self.client(supervisor, id))
        self.crash("b")
        self.settle()
        self.assertEqual([wsx.whereis(f"feed {id}") for id in "abc"], [None] * 3)

    def test_name_is_taken(self) -> None:
        """[V3] a restart whose name was taken meanwhile fails, counts and is tried again."""
        spec = self.child("a", name="feed", backoff=steady(1.0))
        supervisor = self.supervise([spec], max_restarts=9)
        self.crash("a")
        self.settle()
        thief = self.successResultOf(
            wsx.start(URL, self.handler("t"), name="feed", async_=True, **self.options("t"))
        )
        self.advance(2.0, steps=2)
        self.assertEqual(self.up(supervisor), [])
        thief.stop()
        self.settle()
        self.advance(1.0)
        self.assertIs(wsx.whereis("feed"), self.client(supervisor, "a"))
        self.flushLoggedErrors(wsx.AlreadyStartedError)

    def test_constructor_raises(self) -> None:
        """[V3] a restart whose handler cannot be made fails, counts and is tried again."""
        supervisor = self.supervise([self.child("a", backoff=steady(1.0))], max_restarts=9)
        self.crash("a")
        self.settle()
        handlers, self.sites["a"].handlers = self.sites["a"].handlers, None  # type: ignore
        self.advance(2.0, steps=2)
        self.assertEqual(self.up(supervisor), [])
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 2)
        self.sites["a"].handlers = handlers
        self.advance(1.0)
        self.assertEqual(self.up(supervisor), ["a"])


class NestedTests(SupervisorCase):
    """Supervisors as children of supervisors."""

    def test_starts_in_order(self) -> None:
        """A nested supervisor is up when all its children are."""
        inner = Supervisor(self.children("bc"), id="inner")
        with self.happens(*(f"{what} {id}" for id in "abcd" for what in ("start", "up"))):
            outer = self.supervise([self.child("a"), inner, self.child("d")])
        self.assertEqual(
            [(id, kind) for id, _, kind in outer.which_children()],
            [("a", "worker"), ("inner", "supervisor"), ("d", "worker")],
        )
        self.assertIs(self.client(outer, "inner"), inner)
        self.assertEqual(
            outer.count_children(), {"specs": 3, "active": 3, "supervisors": 1, "workers": 2}
        )

    def test_stops_in_reverse(self) -> None:
        """It is stopped in its turn, with its own children in reverse."""
        inner = Supervisor(self.children("bc"))
        outer = self.supervise([self.child("a"), inner, self.child("d")])
        with self.happens("end d", "end c", "end b", "end a"):
            self.stop(outer)
        self.assertEqual(self.successResultOf(inner.terminated()), Shutdown())
        self.assertEqual(self.successResultOf(outer.terminated()), Shutdown())

    def test_clock(self) -> None:
        """Time is that of the children, however deep."""
        deep = Supervisor([Supervisor([self.child("a", backoff=steady(2.0))])])
        deep.startService()
        self.settle()
        self.crash("a")
        self.settle()
        self.advance(2.0)
        self.assertEqual(self.connections(), {"a": 1})
        self.stop(deep)

    @each(STRATEGIES)
    def test_gives_up(self, strategy: str) -> None:
        """[V3] giving up is an abnormal end, seen by the supervisor above, as each strategy says.

        It counts there as one restart.
        """
        restarts = {
            "one_for_one": ["start b", "up b"],
            "one_for_all": [
                *("end c", "end a"),
                *("start a", "up a", "start b", "up b", "start c", "up c"),
            ],
            "rest_for_one": ["end c", "start b", "up b", "start c", "up c"],
        }
        inner = Supervisor([self.child("b")], max_restarts=0, id="inner")
        children = [self.child("a"), inner, self.child("c")]
        outer = self.supervise(children, strategy, 1)
        with self.happens("end b", *restarts[strategy]):
            self.crash("b")
        self.assertEqual(self.up(outer), ["a", "inner", "c"])
        self.assertEqual(self.up(inner), ["b"])
        with self.happens("end b", "end c", "end a"):
            self.crash("b")
        reason = self.successResultOf(outer.terminated())
        self.assertIsInstance(reason, MaxRestartsExceeded)
        self.assertIsInstance(reason.reason, MaxRestartsExceeded)
        self.assert_all_down(outer)

    @each(
        (
            ("permanent", True, True),
            ("transient", True, True),
            ("temporary", False, False),
        )
    )
    def test_gives_up_restart(self, restart: str, is_up: bool, is_listed: bool) -> None:
        """[V2] whether it is restarted then is up to its own ``restart``."""
        inner = Supervisor([self.child("b")], max_restarts=0, id="inner", restart=restart)
        outer = self.supervise([inner])
        self.crash("b")
        self.settle()
        self.assertEqual(self.up(outer), ["inner"] if is_up else [])
        self.assertEqual(self.listed(outer), ["inner"] if is_listed else [])

    @each((("permanent", True), ("transient", False), ("temporary", False)))
    def test_ends_normally(self, restart: str, is_up: bool) -> None:
        """[V2] a nested one that is stopped by itself has ended normally."""
        inner = Supervisor([self.child("b")], id="inner", restart=restart)
        outer = self.supervise([inner])
        inner.stopService()
        self.settle()
        self.assertEqual(self.up(outer), ["inner"] if is_up else [])
        self.assertEqual(self.connections(), {"b": 1 if is_up else 0})
        self.stop(outer)

    def test_three_levels(self) -> None:
        """[V3] giving up climbs as many levels as there are, each with its own count."""
        low = Supervisor([self.child("c")], max_restarts=1, id="low")
        mid = Supervisor([self.child("b"), low], "one_for_all", max_restarts=1, id="mid")
        top = self.supervise([self.child("a"), mid], "rest_for_one", 1)
        seen = []
        for _ in range(8):
            del self.events[:]
            self.crash("c")
            self.settle()
            seen.append("".join(e[-1] for e in self.events if e.startswith("up")))
        self.assertEqual(seen, ["c", "bc", "c", "bc", "c", "bc", "c", ""])
        reasons = []
        reason = self.successResultOf(top.terminated())
        while isinstance(reason, MaxRestartsExceeded):
            reasons.append(reason)
            reason = reason.reason
        self.assertEqual(len(reasons), 3)
        self.assertIsInstance(reason, wsx.ConnectionDropped)
        self.assert_all_down(top)

    def test_first_start_fails_inside(self) -> None:
        """A nested first start that fails fails the one above, with the same reason."""
        specs = self.children("abc")
        inner = Supervisor([specs[1], specs[2]])
        self.sites["c"].refusal = ConnectionRefusedError()
        with self.happens("start a", "up a", "start b", "up b", "start c", "end b", "end a"):
            outer = self.supervise([specs[0], inner])
        error = self.failureResultOf(outer.when_up(), wsx.ConnError).value
        self.assertIs(self.successResultOf(inner.terminated()), error)
        self.assert_all_down(outer)

    def test_restart_fails_inside(self) -> None:
        """[V3] a nested restart that fails counts above and is tried again."""
        inner = Supervisor(self.children("bc"), max_restarts=0, id="inner")
        outer = self.supervise([self.child("a"), inner], max_restarts=3)
        self.sites["c"].refusal = ConnectionRefusedError()
        with self.happens("end b", "end c", *("start b", "up b", "start c", "end b") * 3, "end a"):
            self.crash("b")
        self.assertIsInstance(self.successResultOf(outer.terminated()), MaxRestartsExceeded)
        self.assert_all_down(outer)
        self.flushLoggedErrors()

    def test_stop_while_nested_starts(self) -> None:
        """A stop while a nested supervisor is starting stops what it has started."""
        specs = self.children("abc")
        self.sites["c"].answers = False
        inner = Supervisor([specs[1], specs[2]])
        outer = self.supervise([specs[0], inner])
        up = outer.when_up()
        with self.happens("end b", "end a"):
            self.stop(outer)
        self.failureResultOf(up, wsx.ClientEnded)

    def test_stop_while_nested_gives_up(self) -> None:
        """A stop while a nested supervisor is giving up waits for it."""
        specs = self.children("bc", close_timeout=3.0)
        inner = Supervisor(specs, max_restarts=0)
        outer = self.supervise([self.child("a"), inner])
        self.sites["c"].hangs_up = False
        self.crash("b")
        self.settle()
        stopped = outer.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assert_all_down(outer)
        self.assertIsInstance(self.successResultOf(inner.terminated()), MaxRestartsExceeded)
        self.assertEqual(self.successResultOf(outer.terminated()), Shutdown())

    def test_shutdown_of_nested(self) -> None:
        """[V4] a nested supervisor past its ``shutdown`` is cut off, children and all."""
        specs = self.children("bc", close_timeout=60.0)
        inner = Supervisor([spec.replace(shutdown=60.0) for spec in specs], shutdown=2.0)
        outer = self.supervise([self.child("a"), inner])
        for id in "bc":
            self.sites[id].hangs_up = False
        stopped = outer.stopService()
        self.settle()
        self.advance(1.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assert_all_down(outer)
        self.assertEqual(self.events[-3:], ["end c", "end b", "end a"])

    def test_added_later(self) -> None:
        """``start_child`` takes a Supervisor too."""
        outer = self.supervise([])
        inner = Supervisor(self.children("a"), id="inner")
        self.assertNoResult(started := outer.start_child(inner))
        self.settle()
        self.assertIs(self.successResultOf(started), inner)
        self.stop(outer)

    def test_requests_go_to_one(self) -> None:
        """A nested supervisor is terminated, restarted and deleted like any child."""
        inner = Supervisor(self.children("bc"), id="inner")
        outer = self.supervise([inner])
        with self.happens("end c", "end b"):
            terminated = outer.terminate_child("inner")
        self.successResultOf(terminated)
        with self.happens("start b", "up b", "start c", "up c"):
            restarted = outer.restart_child("inner")
        self.assertIs(self.successResultOf(restarted), inner)
        self.assertNoResult(inner.terminated())

    def test_crash_below_is_nobodys_business(self) -> None:
        """[V3] restarts that a nested supervisor copes with do not count above."""
        inner = Supervisor(self.children("b"), max_restarts=5)
        outer = self.supervise([inner], max_restarts=0)
        for _ in range(5):
            self.crash("b")
            self.settle()
        self.assertNoResult(outer.terminated())

    def test_client_service(self) -> None:
        """A ClientService is a child like any other supervisor."""
        own = self.options("b")
        service = wsx.ClientService(URL, self.handler("b"), max_restarts=0, **own)
        outer = self.supervise([self.child("a"), service], "one_for_all")
        self.assertEqual(self.up(outer), ["a", "ClientService"])
        client = service.client
        assert client is not None
        client.cast(ValueError("crash"))
        self.settle()
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.up(outer), ["a", "ClientService"])
        self.assertEqual(self.events.count("start a"), 2)
        self.stop(outer)


class StopTests(SupervisorCase):
    """What ``stopService`` does, in every phase."""

    def test_reverse_order(self) -> None:
        """[V4] children are stopped in reverse order, with close frame 1001 and ``terminate``."""
        supervisor = self.supervise(self.children("abc"))
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        for id in "cba":
            others = [other for other in "abc" if other < id]
            self.settle()
            peer = self.sites[id].peer
            self.assertEqual(peer.received(), [GOING_AWAY])
            for other in others:
                self.assertEqual(self.sites[other].peer.received(), [])
            self.assertNoResult(stopped)
            peer.drop()
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.events[-3:], ["end c", "end b", "end a"])
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assertEqual(
            [site.handlers[0].ends for site in self.sites.values()], 3 * [[Shutdown()]]
        )
        self.assert_all_down(supervisor)

    def test_one_after_another(self) -> None:
        """[V4] the next is stopped once the one before has ended, ``terminate`` included."""
        supervisor = self.supervise(self.children("ab"))
        answer: Deferred[None] = Deferred()
        self.sites["b"].on_terminate = lambda: answer
        with self.happens("end b"):
            stopped = supervisor.stopService()
        self.assertNoResult(stopped)
        with self.happens("end a"):
            answer.callback(None)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_before_the_start(self) -> None:
        """Stopping one that was never started is done at once; it can be started then."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        self.successResultOf(supervisor.stopService())
        self.assertEqual(self.events, [])
        supervisor.startService()
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.assertNoResult(supervisor.terminated())
        self.stop(supervisor)

    @each(("tcp", "handshake"), enumerate("abc"))
    def test_first_connect(self, phase: str, number: int, id: str) -> None:
        """[V5] during a child's first connect: no ``terminate`` for it, no next child."""
        specs = self.children("abc")
        self.sites[id].silent = phase == "tcp"
        self.sites[id].answers = phase != "handshake"
        supervisor = self.supervise(specs)
        up = supervisor.when_up()
        with self.happens(*(f"end {other}" for other in reversed("abc"[:number]))):
            self.stop(supervisor)
        error = self.failureResultOf(up, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown())
        self.assertEqual(self.sites[id].handlers[0].ends, [])

    def test_first_connect_of_an_asynchronous_child(self) -> None:
        """[V4] an asynchronous child was initialised: its ``terminate`` is called."""
        specs = self.children("ab", async_=True)
        for site in self.sites.values():
            site.silent = True
        supervisor = self.supervise(specs)
        with self.happens("end b", "end a"):
            self.stop(supervisor)

    def test_handle_connect(self) -> None:
        """[V5] during the first ``handle_connect``, which is cancelled; no ``terminate``."""
        specs = self.children("ab")
        cancelled: list[Deferred[Any]] = []
        self.sites["b"].on_connect = lambda: Deferred(cancelled.append)
        supervisor = self.supervise(specs)
        with self.happens("end a"):
            self.stop(supervisor)
        self.assertEqual(len(cancelled), 1)

    def test_connection_is_gone(self) -> None:
        """The Deferred fires when the TCP connection of a handshake in progress is gone too."""
        specs = self.children("a")
        self.sites["a"].answers = False
        supervisor = self.supervise(specs)
        open_then: list[int] = []
        stopped = supervisor.stopService()
        stopped.addCallback(lambda _: open_then.append(self.sites["a"].connections))
        self.settle()
        self.assertEqual(open_then, [0])

    def test_connections_are_gone(self) -> None:
        """[V4] it fires when no connection is left, whatever the states of the children."""
        specs = [
            *self.children("abcde", async_=True, close_timeout=2.0),
            self.child("f", reconnect=steady(9.0)),
            self.child("g", backoff=steady(9.0)),
        ]
        self.sites["a"].silent = True
        self.sites["b"].answers = False
        self.sites["c"].hangs_up = False
        supervisor = self.supervise(specs)
        self.crash("fg")
        self.client(supervisor, "d").close()
        self.settle()
        left: list[dict[str, int]] = []
        supervisor.stopService().addCallback(lambda _: left.append(self.connections()))
        self.advance(10.0, steps=100)
        self.assertEqual(left, [dict.fromkeys("abcdefg", 0)])
        self.assert_all_down(supervisor)
        for site in self.sites.values():
            for handler in site.handlers:
                self.assertEqual(len(handler.ends), 1, site.id)

    def test_closing(self) -> None:
        """[V4] a child that is closing already: its close handshake is waited for."""
        supervisor = self.supervise(self.children("a", close_timeout=3.0))
        self.sites["a"].hangs_up = False
        self.client(supervisor, "a").close()
        self.settle()
        self.advance(2.0)
        stopped = supervisor.stopService()
        self.settle()
        self.advance(0.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assertEqual(self.sites["a"].handlers[0].ends, [Shutdown()])

    def test_between_children(self) -> None:
        """In the very step in which one is up and the next begins: neither survives."""
        specs = self.children("abc")
        supervisor = Supervisor(specs, reactor=self.clock)
        stopped: list[Deferred[Any]] = []
        self.sites["b"].on_connect = lambda: stopped.append(supervisor.stopService())
        supervisor.startService()
        self.settle()
        self.successResultOf(stopped[0])
        self.assertNotIn("start c", self.events)
        self.assertEqual(self.events[-1], "end a")
        self.assert_all_down(supervisor)

    def stop_at_attempt(self, supervisor: Supervisor, id: str) -> list[Deferred[Any]]:
        """Has the supervisor stopped from within the next ``connect`` of a child's endpoint."""
        stops: list[Deferred[Any]] = []
        self.sites[id].on_attempt = lambda: stops.append(supervisor.stopService())
        return stops

    @each((("a", ["start a"]), ("b", ["start a", "up a", "start b", "end a"])), (False, True))
    def test_during_connect(self, id: str, events: Any, silent: bool) -> None:
        """From within the endpoint's ``connect``, while the child is being made."""
        supervisor = Supervisor(self.children("ab"), reactor=self.clock)
        stops = self.stop_at_attempt(supervisor, id)
        self.sites[id].silent = silent
        supervisor.startService()
        self.settle()
        self.successResultOf(stops[0])
        self.assertEqual(self.events, events)
        self.assert_all_down(supervisor)

    @each(STRATEGIES, "abc", (False, True))
    def test_during_a_restart(self, strategy: str, id: str, silent: bool) -> None:
        """From within the ``connect`` of a restart, with each strategy."""
        supervisor = self.supervise(self.children("abc"), strategy)
        stops = self.stop_at_attempt(supervisor, id)
        self.sites[id].silent = silent
        self.crash(id)
        self.settle()
        self.successResultOf(stops[0])
        self.assert_all_down(supervisor)

    @each(STRATEGIES)
    def test_while_one_waits(self, strategy: str) -> None:
        """While a child waits for its Backoff: its timer goes, the others are stopped."""
        supervisor = self.supervise(self.children("abc", backoff=steady(9.0)), strategy)
        self.crash("b")
        self.settle()
        self.advance(1.0)
        self.stop(supervisor)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())

    @each(STRATEGIES, range(8))
    def test_in_the_step_of_a_crash(self, strategy: str, steps: int) -> None:
        """Before and after a crash in one step: nothing comes back."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.crash("b")
        for _ in range(steps):
            self.clock.advance(0)
            for site in self.sites.values():
                site.serve()
        self.stop(supervisor)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())

    @each(STRATEGIES)
    def test_crash_while_stopping(self, strategy: str) -> None:
        """[V4] a child that crashes while the others are stopped is not restarted."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites["c"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        with self.happens("end a", "end b"):
            self.crash("ab")
        self.sites["c"].hangs_up = True
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assert_all_down(supervisor)

    @each(("one_for_all", "rest_for_one"))
    def test_group_is_stopped(self, strategy: str) -> None:
        """While a group is being stopped for its restart: the stop goes on from there."""
        supervisor = self.supervise(self.children("abc", close_timeout=3.0), strategy)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()
        stopped = supervisor.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assertEqual(self.events.count("start a"), 1)
        self.assert_all_down(supervisor)

    @each(("one_for_all", "rest_for_one"), "abc")
    def test_group_is_started(self, strategy: str, id: str) -> None:
        """While a group is being started again, with each child in turn."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites[id].answers = False
        self.crash("a")
        self.settle()
        self.stop(supervisor)

    def test_while_giving_up(self) -> None:
        """While it gives up: the Deferred waits for the end, whose reason stays."""
        specs = self.children("abc", close_timeout=3.0)
        supervisor = self.supervise(specs, max_restarts=0)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        stopped = supervisor.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)
        self.assert_all_down(supervisor)

    def test_after_giving_up(self) -> None:
        """After it gave up there is nothing to do."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.crash("a")
        self.settle()
        self.successResultOf(supervisor.stopService())

    @each(("S", "sS", "sSs", "sSsS", "sSSsS", "ssSS"))
    def test_while_giving_up_then_started(self, calls: str) -> None:
        """While it gives up, stopped and started: the last call counts, no child is there twice."""
        specs = self.children("abc", close_timeout=3.0)
        supervisor = self.supervise(specs, max_restarts=0)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()
        self.call(supervisor, calls)
        self.sites["c"].hangs_up = True
        self.advance(3.0)
        self.assertEqual(len(supervisor.which_children()), 3)
        if calls[-2:] == "sS" or calls == "ssSS":
            self.assert_all_up(supervisor)
        else:
            self.successResultOf(supervisor.terminated())
        self.stop(supervisor)

    @each(("sS", "sSs", "sSsS"))
    def test_while_the_start_fails_then_started(self, calls: str) -> None:
        """So it is while a first start that failed stops the others."""
        specs = self.children("abc", close_timeout=3.0)
        self.sites["c"].refusal = ConnectionRefusedError()
        self.sites["b"].hangs_up = False
        supervisor = self.supervise(specs)
        self.sites["c"].refusal = None
        self.call(supervisor, calls)
        self.sites["b"].hangs_up = True
        self.advance(3.0)
        self.assertEqual(len(supervisor.which_children()), 3)
        if calls[-1] == "S":
            self.assert_all_up(supervisor)
        self.stop(supervisor)

    def call(self, supervisor: Supervisor, calls: str) -> None:
        """Stops (s) and starts (S) it, all in one step."""
        for call in calls:
            (supervisor.stopService if call == "s" else supervisor.startService)()

    def assert_all_up(self, supervisor: Supervisor) -> None:
        """It runs, in every respect."""
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.successResultOf(supervisor.when_up())
        self.assertNoResult(supervisor.terminated())

    @each(range(12))
    def test_twice(self, steps: int) -> None:
        """Twice, in every phase: both Deferreds fire when all is down."""
        supervisor = self.supervise(self.children("abc"))
        left: list[dict[str, int]] = []
        for wait in (steps, 0):
            done = supervisor.stopService()
            done.addCallback(lambda _: left.append(self.connections()))
            for _ in range(wait):
                self.clock.advance(0)
                for site in self.sites.values():
                    site.serve()
        self.settle()
        self.assertEqual(left, 2 * [{"a": 0, "b": 0, "c": 0}])
        self.assert_all_down(supervisor)

    @each(range(14))
    def test_started_while_stopping(self, steps: int) -> None:
        """Started again while it stops: it comes up once all was down, with each phase."""
        supervisor = self.supervise([self.child(id, name=id) for id in "abc"])
        terminated = supervisor.terminated()
        del self.events[:]
        stopped = supervisor.stopService()
        for _ in range(steps):
            self.clock.advance(0)
            for site in self.sites.values():
                site.serve()
        was_over = terminated.called
        supervisor.startService()
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(
            self.events,
            [f"end {id}" for id in "cba"]
            + [f"{what} {id}" for id in "abc" for what in ("start", "up")],
        )
        self.assertEqual(terminated.called, was_over)
        self.assertNoResult(supervisor.terminated())
        self.successResultOf(supervisor.when_up())
        self.stop(supervisor)

    @each(("sS", "sSs", "sSsS", "sSsSs", "ssSS", "SsSsSS", "ssSSss"), (True, False))
    def test_to_and_fro(self, calls: str, connected: bool) -> None:
        """Stopped and started several times at once: the last call counts."""
        specs = self.children("ab")
        self.sites["b"].silent = not connected
        supervisor = self.supervise(specs)
        stops = []
        for call in calls:
            if call == "s":
                stops.append(supervisor.stopService())
            else:
                supervisor.startService()
        self.sites["b"].silent = False
        self.settle()
        for stopped in stops:
            self.successResultOf(stopped)
        self.assertEqual(self.up(supervisor), ["a", "b"] if calls[-1] == "S" else [])
        if calls[-1] == "S":
            self.assertNoResult(supervisor.terminated())
        else:
            self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.stop(supervisor)

    def test_linked_during_a_stop_after_another(self) -> None:
        """[S9] a client that is linked during the second of two stops does not outlive the last."""
        supervisor = self.supervise(self.children("ab", close_timeout=3.0))
        self.sites["b"].hangs_up = False
        self.call(supervisor, "sSsS")
        self.settle()
        self.advance(3.0)
        for id in "xy":
            own = self.options(id, async_=True)
            wsx.start_link(supervisor, URL, self.handler(id), **own).addErrback(lambda _: None)
            self.settle()
        stopped = supervisor.stopService()
        self.settle()
        self.advance(30.0, steps=30)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    @each(STRATEGIES)
    def test_crash_during_a_stop_after_another(self, strategy: str) -> None:
        """[V4] a child that crashes during the second of two stops: all come up at the end."""
        specs = self.children("ab", close_timeout=3.0)
        supervisor = self.supervise(specs, strategy, PLENTY)
        self.sites["b"].hangs_up = False
        self.call(supervisor, "sSsS")
        self.settle()
        self.advance(3.0)
        self.crash("a")
        self.settle()
        self.sites["b"].hangs_up = True
        self.advance(3.0)
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1})
        self.assertNoResult(supervisor.terminated())
        self.stop(supervisor)

    def test_to_and_fro_with_a_silent_server(self) -> None:
        """A stop is not held up by a start between it and an earlier stop."""
        supervisor = self.supervise(self.children("ab", socket_connect_timeout=60.0))
        self.sites["a"].silent = True
        supervisor.stopService()
        supervisor.startService()
        second = supervisor.stopService()
        supervisor.startService()
        self.settle()
        self.successResultOf(second)

    def test_cancelled(self) -> None:
        """Cancelling the Deferred of a stop harms nothing: the stop goes on."""
        supervisor = self.supervise(self.children("ab"))
        stopped, other = supervisor.stopService(), supervisor.stopService()
        stopped.cancel()
        self.failureResultOf(stopped, CancelledError)
        self.settle()
        self.successResultOf(other)
        self.assertEqual(self.events[-2:], ["end b", "end a"])
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assert_all_down(supervisor)

    @each((False, True))
    def test_end_asks_again(self, start: bool) -> None:
        """What ``terminated`` fires may stop and start it again."""
        supervisor = self.supervise(self.children("ab"))
        inner: list[Deferred[Any]] = []

        def again(_: object) -> None:
            inner.append(supervisor.stopService())
            if start:
                supervisor.startService()

        supervisor.terminated().addCallback(again)
        supervisor.stopService()
        self.settle()
        self.successResultOf(inner[0])
        self.assertEqual(self.up(supervisor), ["a", "b"] if start else [])
        self.stop(supervisor)

    def test_begins_anew(self) -> None:
        """After a stop, ``startService`` begins anew with the constructor's children."""
        supervisor = self.supervise([self.child("a"), self.child("b", "temporary")])
        supervisor.start_child(self.child("c"))
        self.settle()
        supervisor.terminate_child("a")
        self.settle()
        supervisor.delete_child("a")
        self.stop(supervisor)
        with self.happens("start a", "up a", "start b", "up b"):
            supervisor.startService()
        self.assertEqual(self.listed(supervisor), ["a", "b"])
        self.stop(supervisor)

    def test_peer_that_does_not_answer(self) -> None:
        """[V4] with peers that do not answer the close frame, each takes its ``close_timeout``."""
        supervisor = self.supervise(self.children("ab", close_timeout=2.0))
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        for seconds, ends in ((1.9, []), (0.2, ["end b"]), (1.7, []), (0.3, ["end a"])):
            self.assertNoResult(stopped)
            with self.happens(*ends):
                self.settle()
                self.advance(seconds)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_shutdown(self) -> None:
        """[V4] past its ``shutdown`` a child is cut off, ``terminate`` still called."""
        specs = [
            self.child("a", close_timeout=60.0).replace(shutdown=3.0),
            self.child("b", close_timeout=60.0).replace(shutdown=2.0),
        ]
        supervisor = self.supervise(specs)
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        for seconds, ends in ((1.9, []), (0.2, ["end b"]), (2.8, []), (0.2, ["end a"])):
            self.assertNoResult(stopped)
            with self.happens(*ends):
                self.advance(seconds)
        self.successResultOf(stopped)
        self.assertTrue(all(site.peer.transport.aborted for site in self.sites.values()))
        self.assert_all_down(supervisor)

    def test_shutdown_default(self) -> None:
        """[V4] the default ``shutdown`` is five seconds."""
        supervisor = self.supervise(self.children("a", close_timeout=60.0))
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(4.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)

    def test_shutdown_zero(self) -> None:
        """[V4] with ``shutdown=0`` a child is cut off at once."""
        specs = [spec.replace(shutdown=0) for spec in self.children("ab", close_timeout=60.0)]
        supervisor = self.supervise(specs)
        for site in self.sites.values():
            site.hangs_up = False
        with self.happens("end b", "end a"):
            stopped = supervisor.stopService()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.seconds(), 0.0)
        self.assert_all_down(supervisor)

    def test_shutdown_infinite(self) -> None:
        """[V4] with ``math.inf`` the child's own limits are the only ones."""
        spec = self.child("a", close_timeout=5000.0).replace(shutdown=math.inf)
        supervisor = self.supervise([spec])
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(4999.0)
        self.assertNoResult(stopped)
        self.advance(1.0)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_shutdown_of_terminate(self) -> None:
        """[V4] an asynchronous ``terminate`` has what is left of the ``shutdown``."""
        spec = self.child("a", close_timeout=60.0).replace(shutdown=4.0)
        supervisor = self.supervise([spec, self.child("b")])
        cancelled: list[Any] = []
        self.sites["a"].on_terminate = lambda: Deferred(cancelled.append)
        self.sites["a"].hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(3.0)
        self.crash("a")
        self.settle()
        self.assertEqual(self.events[-1], "end a")
        self.advance(0.9)
        self.assertNoResult(stopped)
        self.assertEqual(cancelled, [])
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assertEqual(len(cancelled), 1)
        self.assert_all_down(supervisor)

    def test_each_its_own_shutdown(self) -> None:
        """[V4] one that is cut off takes nothing from the time of those that still wait."""
        specs = [
            self.child("a", close_timeout=60.0).replace(shutdown=10.0),
            self.child("b", close_timeout=60.0).replace(shutdown=1.0),
        ]
        supervisor = self.supervise(specs)
        for site in self.sites.values():
            site.hangs_up = False
        stopped = supervisor.stopService()
        self.settle()
        self.advance(1.0)
        self.assertEqual(self.events[-1], "end b")
        self.advance(9.0)
        self.assertNoResult(stopped)
        self.crash("a")
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shutdown_in_a_group(self) -> None:
        """[V4] a child's ``shutdown`` holds in a group's restart as well."""
        specs = [self.child("a"), self.child("b", close_timeout=60.0).replace(shutdown=2.0)]
        supervisor = self.supervise(specs, "one_for_all")
        self.sites["b"].hangs_up = False
        self.crash("a")
        self.settle()
        self.advance(1.9)
        self.assertEqual(self.events[-1], "end a")
        with self.happens("end b", "start a", "up a", "start b", "up b"):
            self.advance(0.2)
        self.sites["b"].hangs_up = True
        self.stop(supervisor)

    def test_shutdown_while_starting(self) -> None:
        """[V4] a child that is stopped while it starts has its ``shutdown`` too, once."""
        specs = [self.child("a"), self.child("b", close_timeout=60.0).replace(shutdown=2.0)]
        self.sites["b"].on_connect = Deferred
        self.sites["b"].hangs_up = False
        supervisor = self.supervise(specs)
        stopped = supervisor.stopService()
        self.settle()
        self.advance(1.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_stopped_by_a_callback(self) -> None:
        """A child's own callback may stop the supervisor; even with its Deferred as an answer."""
        specs = self.children("ab")
        supervisor = self.supervise(specs)
        stops: list[Deferred[Any]] = []
        self.sites["a"].on_terminate = lambda: stops.append(supervisor.stopService())
        self.client(supervisor, "a").cast(wsx.Exit())
        self.settle()
        self.successResultOf(stops[0])
        self.assert_all_down(supervisor)

    def test_terminate_waits_for_the_stop(self) -> None:
        """A ``terminate`` that waits for the stop of its own supervisor is cut off, no deadlock."""
        supervisor = self.supervise(self.children("ab"))
        self.sites["a"].on_terminate = supervisor.stopService
        stopped = supervisor.stopService()
        self.advance(20.0, steps=40)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)


class AutoShutdownTests(SupervisorCase):
    """``auto_shutdown="all"``: the end of the last child is the end of the supervisor."""

    def test_never(self) -> None:
        """The default: a supervisor without running children goes on."""
        supervisor = self.supervise([self.child("a", "temporary")])
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(supervisor.running, 1)

    @each(
        [
            ("aN bN", wsx.RemoteClose),
            ("aC bN", wsx.ConnectionDropped),
            ("aN bC", wsx.ConnectionDropped),
        ]
    )
    def test_all(self, ends: str, kind: type[object]) -> None:
        """The reason is that of the first that ended abnormally, else of the last."""
        specs = [self.child(id, "temporary") for id in "ab"]
        supervisor = self.supervise(specs, auto_shutdown="all")
        terminated = supervisor.terminated()
        for end in ends.split():
            self.assertNoResult(terminated)
            (self.crash if end[1] == "C" else self.end_normally)(end[0])
            self.settle()
        self.assertIsInstance(self.successResultOf(terminated), kind)
        self.assert_all_down(supervisor)

    def test_not_while_one_waits(self) -> None:
        """A child that waits for its Backoff has not ended for good."""
        specs = [self.child("a", "temporary"), self.child("b", "transient", backoff=steady(2.0))]
        supervisor = self.supervise(specs, auto_shutdown="all")
        self.crash("b")
        self.settle()
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.advance(2.0)
        self.end_normally("b")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), wsx.ConnectionDropped)

    def test_not_before_all_were_started(self) -> None:
        """One that ends while the next ones start does not end it."""
        specs = [self.child("a", "temporary"), self.child("b")]
        self.sites["b"].answers = False
        supervisor = self.supervise(specs, auto_shutdown="all")
        self.crash("a")
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.sites["b"].answers = True
        self.settle()
        self.assertEqual(self.up(supervisor), ["b"])

    @each([(SupervisorCase.end_normally, False), (SupervisorCase.crash, True)])
    def test_nested(self, end: Callable[[SupervisorCase, str], None], is_up: bool) -> None:
        """Seen from above it is a normal end where its reason is normal."""
        specs = [self.child("a", "temporary")]
        inner = Supervisor(specs, auto_shutdown="all", restart="transient", id="inner")
        outer = self.supervise([inner])
        end(self, "a")
        self.settle()
        self.assertEqual(self.up(outer), ["inner"] if is_up else [])


class RequestTests(SupervisorCase):
    """``start_child``, ``terminate_child``, ``restart_child``, ``delete_child``, and the looks."""

    def fails(self, deferred: Deferred[Any], id: Any) -> None:
        """A request fails, about this id, with what is a ValueError too."""
        self.settle()
        error = self.failureResultOf(deferred, ChildError).value
        self.assertIsInstance(error, ValueError)
        self.assertEqual(error.id, id)

    def requests(self, supervisor: Supervisor, id: str) -> list[Callable[[], Deferred[Any]]]:
        """One of each, for a child of this id."""
        spec = self.child(id)
        return [
            lambda: supervisor.start_child(spec),
            lambda: supervisor.terminate_child(id),
            lambda: supervisor.restart_child(id),
            lambda: supervisor.delete_child(id),
        ]

    def row(self, supervisor: Supervisor) -> list[tuple[Any, bool]]:
        return [(id, child is not None) for id, child, _ in supervisor.which_children()]

    def test_start_child(self) -> None:
        """A new child is the last, and its Deferred gives it once it is up."""
        supervisor = self.supervise(self.children("ab"))
        spec = self.child("c")
        self.sites["c"].answers = False
        started = supervisor.start_child(spec)
        self.settle()
        self.assertNoResult(started)
        self.assertEqual(self.row(supervisor), [("a", True), ("b", True), ("c", False)])
        self.sites["c"].answers = True
        self.settle()
        client = self.successResultOf(started)
        self.assertEqual(client.status, "open")
        self.assertEqual(supervisor.which_children()[2], ("c", client, "worker"))
        with self.happens("end c", "end b", "end a"):
            self.stop(supervisor)

    def test_start_child_restarts(self) -> None:
        """[V2] it is restarted like the others."""
        supervisor = self.supervise([])
        supervisor.start_child(self.child("a"))
        self.settle()
        self.crash("a")
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])

    def test_start_child_fails(self) -> None:
        """One whose start fails is not there, and the others and the supervisor go on."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        spec = self.child("b")
        self.sites["b"].refusal = ConnectionRefusedError()
        self.failureResultOf(supervisor.start_child(spec), wsx.ConnError)
        self.settle()
        self.assertEqual(self.row(supervisor), [("a", True)])
        self.sites["b"].refusal = None
        again = supervisor.start_child(spec)
        self.settle()
        self.successResultOf(again)

    def test_start_child_duplicate(self) -> None:
        """An id that is taken is refused: by one that runs, one that ended, one that starts."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")])
        self.end_normally("b")
        self.settle()
        spec = self.child("c")
        self.sites["c"].answers = False
        supervisor.start_child(spec)
        for id in "ab":
            self.assertNoResult(refused := supervisor.start_child(self.child(id)))
            refused.addErrback(lambda _: None)
        later = supervisor.start_child(self.child("c"))
        self.sites["c"].answers = True
        self.fails(later, "c")
        self.fails(supervisor.start_child(self.child("a")), "a")
        self.fails(supervisor.start_child(self.child("b")), "b")
        self.assertEqual(self.sites["b"].attempts, 1)
        self.assertEqual(self.listed(supervisor), ["a", "b", "c"])

    def test_start_child_wrong(self) -> None:
        """What is no child fails the Deferred, it does not raise."""
        supervisor = self.supervise([])
        for wrong in (None, "a", Puppet):
            with case(wrong):
                self.failureResultOf(supervisor.start_child(wrong), TypeError)  # type: ignore
        self.assertEqual(supervisor.which_children(), [])

    def test_start_child_cancelled(self) -> None:
        """Cancelling its Deferred harms nothing: the child comes up."""
        supervisor = self.supervise([])
        started = supervisor.start_child(self.child("a"))
        started.cancel()
        self.failureResultOf(started, CancelledError)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        self.stop(supervisor)

    @each(range(4))
    def test_cancelled(self, number: int) -> None:
        """So it is with all requests, also while they wait for their turn."""
        supervisor = self.supervise(self.children("ab"))
        supervisor.terminate_child("b")
        self.settle()
        blocking = self.child("x")
        self.sites["x"].answers = False
        supervisor.start_child(blocking)
        request = self.requests(supervisor, "b" if number else "c")[number]()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.sites["x"].answers = True
        self.settle()
        self.successResultOf(after := supervisor.start_child(self.child("z", async_=True)))
        self.settle()
        self.assertIsNotNone(after)
        self.stop(supervisor)

    def test_terminate_child(self) -> None:
        """A child that is terminated stays listed and down; its Deferred fires when it is."""
        supervisor = self.supervise(self.children("abc"), "one_for_all", 0)
        self.sites["b"].hangs_up = False
        done = supervisor.terminate_child("b")
        self.settle()
        self.assertNoResult(done)
        with self.happens("end b"):
            self.crash("b")
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.row(supervisor), [("a", True), ("b", False), ("c", True)])
        self.assertEqual(self.sites["b"].handlers[0].ends, [Shutdown()])
        self.advance(100.0)
        self.assertEqual(self.sites["b"].attempts, 1)

    def test_terminate_child_twice(self) -> None:
        """Again, it is done at once, as in OTP."""
        supervisor = self.supervise(self.children("a"))
        first, second = supervisor.terminate_child("a"), supervisor.terminate_child("a")
        self.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(supervisor.terminate_child("a"))

    def test_terminate_child_temporary(self) -> None:
        """A temporary one leaves, as in OTP."""
        supervisor = self.supervise([self.child("a", "temporary")])
        supervisor.terminate_child("a")
        self.settle()
        self.assertEqual(supervisor.which_children(), [])
        self.fails(supervisor.terminate_child("a"), "a")

    @each(STRATEGIES)
    def test_terminate_child_waiting(self, strategy: str) -> None:
        """One that waits for its Backoff does not come back, and its timer is gone."""
        supervisor = self.supervise([self.child("a", backoff=steady(5.0))], strategy)
        self.crash("a")
        self.settle()
        self.successResultOf(supervisor.terminate_child("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(10.0)
        self.assertEqual(self.row(supervisor), [("a", False)])
        again = supervisor.restart_child("a")
        self.settle()
        self.successResultOf(again)

    @each(("tcp", "handshake"))
    def test_terminate_child_restarting(self, phase: str) -> None:
        """One that is being restarted, and its server is silent, is stopped; no further try."""
        supervisor = self.supervise(self.children("ab"), max_restarts=1)
        self.sites["a"].silent = phase == "tcp"
        self.sites["a"].answers = phase == "tcp"
        self.crash("a")
        self.settle()
        self.assertEqual(self.row(supervisor), [("a", False), ("b", True)])
        done = supervisor.terminate_child("a")
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.connections(), {"a": 0, "b": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.sites["a"].attempts, 2)
        self.sites["a"].silent, self.sites["a"].answers = False, True
        again = supervisor.restart_child("a")
        self.settle()
        self.assertEqual(self.successResultOf(again).status, "open")

    @each(STRATEGIES, range(10))
    def test_terminate_child_in_the_step_of_its_crash(self, strategy: str, steps: int) -> None:
        """At whatever step of its crash and restart: it ends down, and can be restarted."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.crash("b")
        for _ in range(steps):
            self.clock.advance(0)
            for site in self.sites.values():
                site.serve()
        done = supervisor.terminate_child("b")
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.row(supervisor)[1], ("b", False))
        self.assertEqual(self.connections()["b"], 0)
        self.assertEqual(self.up(supervisor), ["a", "c"])
        again = supervisor.restart_child("b")
        self.settle()
        self.assertIs(self.successResultOf(again), self.client(supervisor, "b"))
        self.stop(supervisor)

    def test_restart_child(self) -> None:
        """A child that was terminated or ended is started again, in its old place."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")])
        supervisor.terminate_child("a")
        self.end_normally("b")
        self.settle()
        for id in "ab":
            started = supervisor.restart_child(id)
            self.settle()
            client = self.successResultOf(started)
            self.assertEqual(client.status, "open")
            self.assertIs(self.client(supervisor, id), client)
        self.assertEqual(self.listed(supervisor), ["a", "b"])

    def test_restart_child_twice(self) -> None:
        """The second of two at once is refused: there is only one client."""
        supervisor = self.supervise(self.children("a"))
        supervisor.terminate_child("a")
        first, second = supervisor.restart_child("a"), supervisor.restart_child("a")
        self.settle()
        self.successResultOf(first)
        self.fails(second, "a")
        self.assertEqual(self.connections(), {"a": 1})

    def test_restart_child_fails(self) -> None:
        """Where the start fails so does the Deferred; the child stays down and is not retried."""
        supervisor = self.supervise(self.children("ab"), "one_for_all", 0)
        supervisor.terminate_child("a")
        self.settle()
        self.sites["a"].refusal = ConnectionRefusedError()
        self.failureResultOf(supervisor.restart_child("a"), wsx.ConnError)
        self.settle()
        self.assertEqual(self.row(supervisor), [("a", False), ("b", True)])
        self.assertNoResult(supervisor.terminated())
        self.sites["a"].refusal = None
        again = supervisor.restart_child("a")
        self.settle()
        self.successResultOf(again)

    def test_down_is_needed(self) -> None:
        """``restart_child`` and ``delete_child`` refuse one that runs or waits, as in OTP."""
        supervisor = self.supervise([self.child("a"), self.child("b", backoff=steady(5.0))])
        self.crash("b")
        self.settle()
        for id in "ab":
            self.fails(supervisor.restart_child(id), id)
            self.fails(supervisor.delete_child(id), id)
        self.advance(5.0)
        self.assertEqual(self.row(supervisor), [("a", True), ("b", True)])
        self.sites["a"].silent = True
        self.crash("a")
        self.settle()
        self.fails(supervisor.restart_child("a"), "a")
        self.fails(supervisor.delete_child("a"), "a")
        self.assertEqual(self.sites["a"].attempts, 2)

    def test_delete_child(self) -> None:
        """A child that is down is forgotten; its id is free again."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")])
        supervisor.terminate_child("a")
        self.end_normally("b")
        self.settle()
        for id in "ab":
            self.assertIsNone(self.successResultOf(supervisor.delete_child(id)))
        self.assertEqual(supervisor.which_children(), [])
        self.fails(supervisor.delete_child("a"), "a")
        started = supervisor.start_child(self.child("a"))
        self.settle()
        self.successResultOf(started)

    def test_unknown(self) -> None:
        """An id that nobody has is refused."""
        supervisor = self.supervise(self.children("a"))
        for request in self.requests(supervisor, "x")[1:]:
            self.fails(request(), "x")

    def test_not_running(self) -> None:
        """All requests are refused before the start, while it ends and after it."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock, id="top")
        for request in self.requests(supervisor, "a"):
            self.fails(request(), "top")
        supervisor.startService()
        self.settle()
        supervisor.stopService()
        for request in self.requests(supervisor, "a"):
            request().addBoth(self.events.append)
        self.settle()
        for request in self.requests(supervisor, "a"):
            self.fails(request(), "top")
        errors = [event for event in self.events if not isinstance(event, str)]
        self.assertEqual([error.type for error in errors], 4 * [ChildError])
        self.assertEqual(supervisor.which_children(), [("a", None, "worker")])
        self.assert_all_down(supervisor)

    def test_gave_up(self) -> None:
        """So it is where it gave up."""
        supervisor = self.supervise(self.children("a"), max_restarts=0, id="top")
        self.crash("a")
        self.settle()
        for request in self.requests(supervisor, "a"):
            self.fails(request(), "top")

    def test_while_it_starts(self) -> None:
        """While it starts, a request waits its turn."""
        specs = self.children("ab")
        self.sites["b"].answers = False
        supervisor = self.supervise(specs)
        added = supervisor.start_child(self.child("c"))
        gone = supervisor.terminate_child("a")
        self.settle()
        self.assertNoResult(added)
        self.assertEqual(self.up(supervisor), ["a"])
        self.sites["b"].answers = True
        self.settle()
        self.successResultOf(added)
        self.successResultOf(gone)
        self.assertEqual(self.up(supervisor), ["b", "c"])

    def test_while_the_start_fails(self) -> None:
        """Where the start fails then, so do they."""
        specs = self.children("ab")
        self.sites["b"].answers = False
        supervisor = self.supervise(specs, id="top")
        requests = [request() for request in self.requests(supervisor, "c")]
        self.sites["b"].drop()
        for request in requests:
            self.fails(request, "top")

    @each(("one_for_all", "rest_for_one"), ("stop", "start"))
    def test_while_a_group_restarts(self, strategy: str, phase: str) -> None:
        """While a group is restarted, a request waits for its end."""
        supervisor = self.supervise(self.children("abc"), strategy)
        self.sites["b"].hangs_up = phase != "stop"
        self.sites["b"].answers = phase != "start"
        self.crash("a")
        self.settle()
        requests = [
            supervisor.start_child(self.child("d")),
            supervisor.terminate_child("a"),
            supervisor.restart_child("a"),
        ]
        refused = supervisor.delete_child("c")
        self.settle()
        for request in requests:
            self.assertNoResult(request)
        self.sites["b"].hangs_up = self.sites["b"].answers = True
        self.settle()
        for request in requests:
            self.successResultOf(request)
        self.fails(refused, "c")
        self.assertEqual(self.up(supervisor), list("abcd"))
        self.stop(supervisor)

    def test_terminates_what_starts(self) -> None:
        """One that is starting is stopped at once: else a silent server would hold up all."""
        supervisor = self.supervise(self.children("ab"))
        spec = self.child("c")
        self.sites["c"].answers = False
        starting = supervisor.start_child(spec)
        waiting = supervisor.start_child(self.child("d"))
        gone = supervisor.terminate_child("c")
        self.settle()
        self.failureResultOf(starting)
        self.successResultOf(waiting)
        self.fails(gone, "c")
        self.assertEqual(self.up(supervisor), list("abd"))

    def test_stop_while_they_wait(self) -> None:
        """A stop fails those that wait, and stops one that is starting a child."""
        supervisor = self.supervise(self.children("a"), id="top")
        spec = self.child("b")
        self.sites["b"].answers = False
        starting = supervisor.start_child(spec)
        waiting = [request() for request in self.requests(supervisor, "c")]
        self.stop(supervisor)
        self.failureResultOf(starting, wsx.ClientEnded)
        for request in waiting:
            self.fails(request, "top")

    def test_stop_while_one_terminates(self) -> None:
        """A stop while a child is being terminated waits for it; both Deferreds fire."""
        supervisor = self.supervise(self.children("ab", close_timeout=3.0))
        self.sites["b"].hangs_up = False
        done = supervisor.terminate_child("b")
        stopped = supervisor.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(done)
        self.successResultOf(stopped)
        self.assertEqual(self.events[-2:], ["end b", "end a"])
        self.assert_all_down(supervisor)

    def test_from_a_callback(self) -> None:
        """A child's callback may use them, and wait for them where that is no circle."""
        supervisor = self.supervise([*self.children("a"), self.child("b", "temporary")])
        results: list[Any] = []
        self.sites["a"].on_terminate = lambda: supervisor.terminate_child("b").addBoth(
            results.append
        )
        self.client(supervisor, "a").cast(wsx.Exit())
        self.settle()
        self.assertEqual(results, [None])
        self.assertEqual(self.row(supervisor), [("a", True)])

    def test_child_terminates_itself(self) -> None:
        """A child may have itself terminated."""
        supervisor = self.supervise(self.children("ab"), "one_for_all")
        done: list[Deferred[Any]] = []

        class Quitter(self.handler("q")):  # type: ignore[misc]
            def handle_info(self, message: Any, state: Any) -> None:
                done.append(supervisor.terminate_child("q"))

        own = self.options("q")
        supervisor.start_child(Quitter.child_spec(URL, id="q", **own))
        self.settle()
        self.client(supervisor, "q").info("go")
        self.settle()
        self.successResultOf(done[0])
        self.assertEqual(self.row(supervisor), [("a", True), ("b", True), ("q", False)])

    def test_counts(self) -> None:
        """``count_children`` and ``which_children`` agree, throughout."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        supervisor.startService()
        self.settle()
        inner = Supervisor([], id="inner")

        def counts() -> tuple[int, ...]:
            count = supervisor.count_children()
            self.assertEqual(sorted(count), ["active", "specs", "supervisors", "workers"])
            rows = supervisor.which_children()
            self.assertEqual(count["specs"], len(rows))
            self.assertEqual(count["active"], len([row for row in rows if row[1] is not None]))
            return count["specs"], count["active"], count["supervisors"], count["workers"]

        self.assertEqual(counts(), (1, 1, 0, 1))
        supervisor.start_child(inner)
        self.assertEqual(counts(), (2, 2, 1, 1))
        supervisor.terminate_child("inner")
        self.assertEqual(counts(), (2, 1, 1, 1))
        supervisor.start_child(self.child("t", "temporary", async_=True))
        self.settle()
        self.assertEqual(counts(), (3, 2, 1, 2))
        self.crash("t")
        self.settle()
        self.assertEqual(counts(), (2, 1, 1, 1))
        supervisor.delete_child("inner")
        self.assertEqual(counts(), (1, 1, 0, 1))
        self.stop(supervisor)
        self.assertEqual(counts(), (1, 0, 0, 1))

    def test_which_children_is_a_copy(self) -> None:
        """What ``which_children`` and ``count_children`` give is the caller's own."""
        supervisor = self.supervise(self.children("a"))
        supervisor.which_children().clear()
        supervisor.count_children().clear()
        self.assertEqual(self.listed(supervisor), ["a"])
        self.assertEqual(supervisor.count_children()["specs"], 1)

    def test_ids(self) -> None:
        """An id is anything that can be hashed, and need not be true."""
        ids = (0, "", None, ("feed", 7), frozenset("a"), wsx.Text("x"))
        supervisor = self.supervise([self.child(id) for id in ids])
        for id in ids:
            with case(id):
                supervisor.terminate_child(id)
                self.settle()
                self.assertIsNone(self.client(supervisor, id))
                supervisor.restart_child(id)
                self.settle()
                self.assertIsNotNone(self.client(supervisor, id))


class ServiceTests(SupervisorCase):
    """A supervisor among Twisted's services."""

    @each((functools.partial(Application, "test"), MultiService))
    def test_application(self, make_parent: Callable[[], Any]) -> None:
        """[S9] under an Application it starts and stops with it, and holds up its stop."""
        parent = make_parent()
        supervisor = Supervisor(self.children("ab", close_timeout=3.0))
        supervisor.setServiceParent(parent)
        service = IService(parent)
        self.settle()
        self.assertEqual(self.events, [])
        service.privilegedStartService()
        service.startService()
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.sites["a"].hangs_up = False
        stopped = service.stopService()
        self.settle()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)
        with self.happens("start a", "up a", "start b", "up b"):
            service.startService()
        service.stopService()

    def test_running(self) -> None:
        """``running`` follows ``startService`` and ``stopService``."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.assertFalse(supervisor.running)
        supervisor.startService()
        self.assertTrue(supervisor.running)
        supervisor.stopService()
        self.assertFalse(supervisor.running)
        self.settle()
        self.assertFalse(supervisor.running)

    def test_added_to_a_running_parent(self) -> None:
        """Added to a parent that runs, it starts; disowned, it stops."""
        parent = MultiService()
        parent.startService()
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        supervisor.setServiceParent(parent)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        gone = supervisor.disownServiceParent()
        self.settle()
        self.successResultOf(gone)
        self.assert_all_down(supervisor)

    def test_siblings(self) -> None:
        """Supervisors below one parent are independent: one that gives up leaves the other."""
        parent = MultiService()
        first = Supervisor(self.children("a"), max_restarts=0, reactor=self.clock)
        second = Supervisor(self.children("b"), reactor=self.clock)
        for supervisor in (first, second):
            supervisor.setServiceParent(parent)
        parent.startService()
        self.settle()
        self.crash("a")
        self.settle()
        self.successResultOf(first.terminated())
        self.assertEqual(self.up(second), ["b"])
        stopped = parent.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assert_all_down(second)

    def test_repr(self) -> None:
        """``repr`` says which it is and how many are up."""
        supervisor = self.supervise([self.child("a"), self.child("b", "transient")], id="feeds")
        self.end_normally("b")
        self.settle()
        self.assertIn("feeds", repr(supervisor))
        self.assertIn("1 of 2", repr(supervisor))


class Chaos:
    """Random but repeatable operations on a tree of supervisors."""

    IDS = "abcdefgh"

    def __init__(self, test: SupervisorCase, seed: int) -> None:
        self.test = test
        self.rng = random.Random(seed)
        self.done: list[str] = []
        self.deferreds: list[Deferred[Any]] = []
        self.touched: set[str] = set()  # by requests
        self.stopped = False
        self.extra = 0
        strategy, inner_strategy = self.rng.choices(STRATEGIES, k=2)
        specs = {id: self.spec(id) for id in self.IDS}
        self.inner = Supervisor(
            [specs[id] for id in "efgh"], inner_strategy, PLENTY, reactor=test.clock, id="inner"
        )
        inner = self.inner.child_spec().replace(backoff=steady(1.0))
        children = [specs["a"], specs["b"], inner, specs["c"], specs["d"]]
        self.outer = Supervisor(children, strategy, PLENTY, reactor=test.clock, shutdown=20.0)
        for site in test.sites.values():
            site.answers = True
        self.done.append(f"{strategy}/{inner_strategy}")

    def spec(self, id: str) -> ChildSpec:
        rng = self.rng
        backoff = steady(rng.choice([0.1, 0.5, 3.0]))  # without one: 10,000 restarts in a row
        spec = self.test.child(
            id,
            rng.choice(["permanent", "permanent", "transient", "temporary"]),
            backoff=backoff,
            async_=rng.random() < 0.5,
            name=rng.choice([None, f"name {id}"]),
            close_timeout=rng.choice([1.0, 4.0]),
            socket_recv_timeout=2.0,
            socket_connect_timeout=2.0,
        )
        return spec.replace(shutdown=rng.choice([0, 1.0, 5.0, math.inf]))

    def keep(self, deferred: Deferred[Any]) -> None:
        """A request's Deferred: it must fire in the end, and its failures are no news."""
        if self.rng.random() < 0.1:
            deferred.addErrback(lambda _: None)
            deferred.cancel()
        else:
            self.deferreds.append(deferred.addErrback(lambda _: None))

    def one(self) -> None:
        """One operation, chosen at random."""
        operations = [
            *(self.drop, self.drop, self.say_goodbye, self.advance, self.advance, self.step),
            *(self.request, self.request, self.refuse, self.hush, self.hang, self.link),
            *(self.stop_client, self.all_at_once, self.end_inner, self.restart_service),
        ]
        operation = self.rng.choice(operations)
        self.done.append(operation.__name__)
        operation()

    def site(self) -> Site:
        site = self.rng.choice(list(self.test.sites.values()))
        self.done.append(str(site.id))
        return site

    def drop(self) -> None:
        self.site().drop()

    def say_goodbye(self) -> None:
        for peer in list(self.site()._served):
            if not peer.transport.aborted and self.site:
                peer.send(close(1000))

    def advance(self) -> None:
        self.test.advance(self.rng.choice([0.1, 0.5, 1.0, 3.0]))

    def step(self) -> None:
        self.test.clock.advance(0)

    def supervisor(self) -> Supervisor:
        return self.rng.choice([self.outer, self.inner])

    def request(self) -> None:
        supervisor = self.supervisor()
        id = self.rng.choice([*self.IDS, "inner", "nobody"])
        self.touched.add(id)
        kind = self.rng.choice(["terminate_child", "restart_child", "delete_child", "start_child"])
        self.done.append(f"{kind} {id} of {supervisor.id}")
        if kind == "start_child":
            if id not in (*self.test.sites, "inner"):
                return
            argument = self.test.child(id, "permanent") if id != "inner" else self.link_spec()
        else:
            argument = id
        self.keep(getattr(supervisor, kind)(argument))

    def link_spec(self) -> ChildSpec:
        self.extra += 1
        return self.test.child(f"extra {self.extra}", "temporary", async_=True)

    def refuse(self) -> None:
        site = self.site()
        site.refusal = None if site.refusal else ConnectionRefusedError()

    def hush(self) -> None:
        site = self.site()
        site.silent, site.answers = self.rng.choice([(True, True), (False, False), (False, True)])

    def hang(self) -> None:
        site = self.site()
        site.hangs_up = not site.hangs_up

    def link(self) -> None:
        self.extra += 1
        id = f"link {self.extra}"
        test = self.test
        options = test.options(id, async_=self.rng.random() < 0.5, close_timeout=1.0)
        self.keep(wsx.start_link(self.supervisor(), URL, test.handler(id), **options))

    def stop_client(self) -> None:
        running = [child for _, child, kind in self.outer.which_children() if kind == "worker"]
        client = self.rng.choice([*running, None])
        if client is not None:
            self.keep(self.rng.choice([client.stop, client.close])())

    def all_at_once(self) -> None:
        for site in self.test.sites.values():
            if self.rng.random() < 0.7:
                site.drop()

    def end_inner(self) -> None:
        if self.rng.random() < 0.3:
            self.keep(self.inner.stopService())

    def restart_service(self) -> None:
        if self.rng.random() < 0.5:
            self.keep(self.outer.stopService())
            for _ in range(self.rng.randrange(5)):
                self.test.clock.advance(0)
            self.outer.startService()
            self.touched.clear()

    def heal(self) -> None:
        """All servers work again, and time passes."""
        for site in self.test.sites.values():
            site.refusal, site.silent, site.answers, site.hangs_up = None, False, True, True
        self.test.settle()
        self.test.advance(200.0, steps=200)


class RandomTests(SupervisorCase):
    """Whatever happens, in whatever order: what must always be so."""

    def check(self, supervisor: Supervisor) -> None:
        """What is listed is so."""
        rows = supervisor.which_children()
        self.assertEqual(len({row[0] for row in rows}), len(rows), "an id is there twice")
        count = supervisor.count_children()
        self.assertEqual(count["active"], len([row for row in rows if row[1] is not None]))
        for id, child, kind in rows:
            if kind == "worker" and child is not None:
                self.assertNotEqual(child.status, "terminated", id)

    def run_one(self, seed: int) -> Chaos:
        chaos = Chaos(self, seed)
        chaos.outer.startService()
        chaos.deferreds.append(chaos.outer.terminated())
        for _ in range(60):
            chaos.one()
            self.check(chaos.outer)
            self.check(chaos.inner)
        return chaos

    def check_end(self, chaos: Chaos) -> None:
        """After the stop nothing is left, every promise is kept."""
        for deferred in chaos.deferreds:
            self.assertTrue(deferred.called, f"{deferred} never fires")
        self.assertEqual({id: n for id, n in self.connections().items() if n}, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for site in self.sites.values():
            for handler in site.handlers:
                ends = len(handler.ends)
                self.assertEqual(ends or not handler.was_up, 1, f"{site.id}: terminate {ends}")
        for supervisor in (chaos.outer, chaos.inner):
            self.assertEqual(self.up(supervisor), [])
        self.assertEqual(registry._clients, {})

    def after(self, seed: int, scenario: Callable[[Chaos], None]) -> None:
        """Run a scenario after the history that a seed makes."""
        chaos: Chaos | None = None
        try:
            chaos = self.run_one(seed)
            scenario(chaos)
            self.check_end(chaos)
        except Exception as error:
            done = "" if chaos is None else " ".join(chaos.done)
            raise self.failureException(f"seed {seed}: {error}\n{done}") from error
        self.flushLoggedErrors(wsx.AlreadyStartedError, wsx.ClientEnded)

    def stop_and_wait(self, chaos: Chaos) -> None:
        stopped = chaos.outer.stopService()
        chaos.inner.stopService()  # it may have been deleted from above
        self.advance(100.0, steps=100)
        self.successResultOf(stopped)

    @each(range(40))
    def test_stop_in_the_middle(self, seed: int) -> None:
        """A stop in the middle of trouble: everything is down, every Deferred has fired."""
        self.after(seed, self.stop_and_wait)

    @each(range(100, 140))
    def test_recovers(self, seed: int) -> None:
        """When trouble is over, every permanent child that nobody touched is up again."""

        def heal(chaos: Chaos) -> None:
            chaos.heal()
            chaos.outer.startService()
            chaos.heal()
            rows = chaos.outer.which_children()
            if self.client_or_none(rows, "inner") is not None:
                rows += chaos.inner.which_children()
            for id, child, _ in rows:
                permanent = id in list(chaos.IDS) and self.restart_of(chaos, id) == "permanent"
                if permanent and id not in chaos.touched:
                    assert child is not None, f"{id} is not up"
                    self.assertEqual(child.status, "open", id)
            self.stop_and_wait(chaos)

        self.after(seed, heal)

    def client_or_none(self, rows: list[tuple[Any, Any, str]], id: str) -> Any:
        return next((child for other, child, _ in rows if other == id), None)

    def restart_of(self, chaos: Chaos, id: str) -> str:
        for supervisor in (chaos.outer, chaos.inner):
            for spec in supervisor._specs:
                if spec.id == id:
                    return spec.restart
        raise LookupError(id)


class ChangeTests(SupervisorCase):
    """``change_children``: other children from now on."""

    def change(self, supervisor: Supervisor, specs: list[ChildSpec]) -> dict[Any, Exception]:
        """Changes the children, and waits until that is done."""
        changed = supervisor.change_children(specs)
        self.settle()
        return self.successResultOf(changed)

    def test_keeps_stops_and_starts(self) -> None:
        """Equal ones go on, others are stopped in reverse order, new ones started in order."""
        specs = self.children("abcd")
        supervisor = self.supervise(specs)
        kept = supervisor.child("b")
        new = [self.child("e"), specs[1], self.child("f")]
        with self.happens("end d", "end c", "end a", "start e", "up e", "start f", "up f"):
            self.assertEqual(self.change(supervisor, new), {})
        self.assertIs(supervisor.child("b"), kept)
        self.assertEqual(self.listed(supervisor), ["e", "b", "f"])
        self.stop(supervisor)

    def test_changed_one(self) -> None:
        """One whose specification is another with the same id is replaced."""
        supervisor = self.supervise(self.children("a"))
        before = supervisor.child("a")
        self.change(supervisor, [self.child("a", "temporary")])
        self.assertEqual(before.status, "terminated")
        self.assertEqual(supervisor.child("a").status, "open")

    def test_ended_one_stays_down(self) -> None:
        """One that has ended for good and is kept stays down."""
        specs = [self.child("a", "temporary"), self.child("b", "transient"), self.child("c")]
        supervisor = self.supervise(specs)
        for id in "ab":
            self.end_normally(id)
        self.settle()
        self.change(supervisor, [*specs, self.child("d")])
        self.assertEqual(self.up(supervisor), ["c", "d"])

    def test_one_ends_meanwhile(self) -> None:
        """A temporary child that ends while others are being stopped leaves none of them behind."""
        specs = [self.child("a", "temporary"), *self.children("bcd")]
        supervisor = self.supervise(specs)
        self.sites["d"].hangs_up = False
        changed = supervisor.change_children(specs[:1])
        self.settle()
        self.assertNoResult(changed)
        self.end_normally("a")
        self.sites["d"].hangs_up = True
        self.sites["d"].drop()
        self.settle()
        self.assertEqual(self.successResultOf(changed), {})
        self.assertEqual(supervisor.which_children(), [])
        self.assertEqual({id: n for id, n in self.connections().items() if n}, {})

    def test_linked_meanwhile(self) -> None:
        """A client that is linked while others are being stopped is a child, and is stopped."""
        supervisor = self.supervise(self.children("a"))
        self.sites["a"].hangs_up = False
        changed = supervisor.change_children([self.child("b")])
        linked = wsx.start_link(supervisor, URL, self.handler("c"), **self.options("c"))
        self.sites["a"].drop()
        self.settle()
        self.successResultOf(changed)
        client = self.successResultOf(linked)
        self.assertEqual(self.listed(supervisor), ["b", client])
        self.stop(supervisor)
        self.assertEqual(client.status, "terminated")

    def test_start_that_fails(self) -> None:
        """One that cannot be started is told, is no child, and the others are."""
        supervisor = self.supervise(self.children("a"))
        bad = self.child("b")
        self.sites["b"].refusal = ConnectionRefusedError()
        failures = self.change(supervisor, [bad, self.child("c")])
        self.assertIsInstance(failures["b"], wsx.ConnError)
        self.assertEqual(self.listed(supervisor), ["c"])

    def test_refused(self) -> None:
        """Not while it does not run, and not with two of one id."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.failureResultOf(supervisor.change_children([]), wsx.ChildError)
        with self.assertRaises(wsx.ChildError):
            supervisor.change_children([self.child("a"), self.child("a")])
