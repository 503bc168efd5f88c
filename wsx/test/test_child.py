"""Tests of wsx.child: specifications, made by handlers or by users, and clients that are linked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.application.service import Application, IService, MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import ChildError, ChildSpec, MaxRestartsExceeded, Shutdown, Supervisor, registry
from wsx.child import IClientParent, as_parent
from wsx.test.support import URL, MemoryCase, case
from wsx.test.support.each import each
from wsx.test.test_supervisor import STRATEGIES, SupervisorCase, steady

S = TypeVar("S")


def nothing(_: Any) -> Deferred[Any]:
    """Starts a child that never comes."""
    return Deferred()


class Feed(wsx.Handler[Any]):
    """A handler without class keywords."""


class ChildSpecTests(SynchronousTestCase):
    """The value itself."""

    def test_defaults(self) -> None:
        """[V1] id and start are enough."""
        spec = ChildSpec("a", nothing)
        self.assertEqual(
            (spec.id, spec.start, spec.restart, spec.shutdown, spec.type, spec.backoff),
            ("a", nothing, "permanent", 5.0, "worker", None),
        )

    def test_positions(self) -> None:
        """[V1] the fields have the order in which they are documented."""
        backoff = wsx.Backoff()
        spec = ChildSpec("a", nothing, "transient", 2, "supervisor", backoff)
        self.assertEqual(
            (spec.restart, spec.shutdown, spec.type, spec.backoff),
            ("transient", 2, "supervisor", backoff),
        )

    def test_immutable(self) -> None:
        """A specification does not change; ``replace`` gives another."""
        spec = ChildSpec("a", nothing)
        self.assertRaises(AttributeError, setattr, spec, "id", "b")
        self.assertRaises(AttributeError, setattr, spec, "shutdown", 1.0)
        other = spec.replace(id="b", shutdown=math.inf)
        self.assertEqual((other.id, other.shutdown, other.start), ("b", math.inf, nothing))
        self.assertEqual((spec.id, spec.shutdown), ("a", 5.0))

    def test_equal(self) -> None:
        """Two with the same fields are equal, also as keys."""
        self.assertEqual(ChildSpec("a", nothing), ChildSpec("a", nothing))
        self.assertEqual(len({ChildSpec("a", nothing), ChildSpec("a", nothing)}), 1)
        self.assertNotEqual(ChildSpec("a", nothing), ChildSpec("b", nothing))

    def test_right(self) -> None:
        """Every documented value is taken."""
        for fields in (
            *({"restart": restart} for restart in ("permanent", "transient", "temporary")),
            *({"shutdown": shutdown} for shutdown in (0, 0.0, 1, 0.5, math.inf)),
            *({"type": kind} for kind in ("worker", "supervisor")),
        ):
            with case(fields):
                ((name, value),) = fields.items()
                self.assertEqual(getattr(ChildSpec("a", nothing, **fields), name), value)

    def test_wrong(self) -> None:
        """Wrong fields are refused at construction and by ``replace``."""
        spec = ChildSpec("a", nothing)
        cases: list[tuple[type[Exception], dict[str, Any]]] = [
            *((ValueError, {"restart": value}) for value in ("always", "Permanent", "", None, 1)),
            *(
                (ValueError, {"shutdown": value})
                for value in (-1, -0.1, math.nan, -math.inf, None, "5", "brutal_kill", True)
            ),
            *((ValueError, {"type": value}) for value in ("process", None)),
            *((TypeError, {"start": value}) for value in (None, "start", Deferred())),
            *((TypeError, {"id": value}) for value in ([], {}, set())),
            (TypeError, {"modules": []}),
        ]
        for error, fields in cases:
            with case(fields):
                arguments: dict[str, Any] = {"id": "a", "start": nothing} | fields
                self.assertRaises(error, lambda it=arguments: ChildSpec(**it))
                self.assertRaises(error, lambda it=fields: spec.replace(**it))

    def test_unhashable_field(self) -> None:
        """A wrong value that cannot be hashed is refused like any other."""
        for fields in ({"restart": []}, {"type": {}}, {"shutdown": []}):
            with case(fields):
                self.assertRaises(ValueError, lambda it=fields: ChildSpec("a", nothing, **it))


class KeywordTests(SynchronousTestCase):
    """Class keywords and options that set the fields."""

    def fields(self, handler: type[wsx.Handler[Any]], **options: Any) -> tuple[Any, ...]:
        spec = handler.child_spec(URL, **options)
        return spec.id, spec.restart, spec.shutdown, spec.type

    def test_defaults(self) -> None:
        """[V1] by default a child is permanent, and its id is the class's qualified name."""

        class Inner(wsx.Handler[Any]):
            pass

        self.assertEqual(self.fields(Feed), ("Feed", "permanent", 5.0, "worker"))
        self.assertEqual(self.fields(Inner)[0], Inner.__qualname__)
        self.assertIn(".", Inner.__qualname__)

    def test_keywords(self) -> None:
        """[V1] class keywords set each of the fields."""

        class Own(wsx.Handler[Any], restart="transient", id="feed", shutdown=2, type="supervisor"):
            pass

        self.assertEqual(self.fields(Own), ("feed", "transient", 2, "supervisor"))

    def test_options(self) -> None:
        """[V1] options override them, one by one, for this specification only."""

        class Own(wsx.Handler[Any], restart="transient", id="feed", shutdown=2):
            pass

        overrides = {"id": "x", "restart": "temporary", "shutdown": math.inf, "type": "supervisor"}
        before = self.fields(Own)
        for position, (name, value) in enumerate(overrides.items()):
            with case(name):
                expected = [*before]
                expected[position] = value
                self.assertEqual(self.fields(Own, **{name: value}), tuple(expected))
        self.assertEqual(self.fields(Own, **overrides), ("x", "temporary", math.inf, "supervisor"))
        self.assertEqual(self.fields(Own), before)

    def test_id_of_any_kind(self) -> None:
        """[V1] an id is anything that can be hashed, also one that is not true."""
        for id in (0, "", None, ("feed", 7)):
            with case(id):
                own = type("Own", (wsx.Handler,), {}, id=id)
                self.assertEqual(own.child_spec(URL).id, id)
                self.assertEqual(Feed.child_spec(URL, id=id).id, id)

    def test_inheritance(self) -> None:
        """[V1] a subclass inherits them, the id apart, and may change each."""

        class Base(wsx.Handler[Any], restart="transient", shutdown=2.0, id="base"):
            pass

        class Derived(Base):
            pass

        class Changed(Base, restart="temporary"):
            pass

        class Further(Changed, shutdown=7):
            pass

        self.assertEqual(self.fields(Derived), (Derived.__qualname__, "transient", 2.0, "worker"))
        self.assertEqual(self.fields(Changed), (Changed.__qualname__, "temporary", 2.0, "worker"))
        self.assertEqual(self.fields(Further), (Further.__qualname__, "temporary", 7, "worker"))
        self.assertEqual(self.fields(Base), ("base", "transient", 2.0, "worker"))

    def test_siblings(self) -> None:
        """[V1] one class's keywords are nothing to another's."""

        class First(wsx.Handler[Any], restart="temporary"):
            pass

        class Second(wsx.Handler[Any], shutdown=1.0):
            pass

        self.assertEqual(self.fields(First)[1:], ("temporary", 5.0, "worker"))
        self.assertEqual(self.fields(Second)[1:], ("permanent", 1.0, "worker"))
        self.assertEqual(self.fields(Feed), ("Feed", "permanent", 5.0, "worker"))

    def test_mixin(self) -> None:
        """[V1] keywords come through two bases, as attributes do: the first has precedence."""

        class Slow(wsx.Handler[Any], shutdown=30.0, restart="transient"):
            pass

        class Brief(wsx.Handler[Any], restart="temporary"):
            pass

        class Both(Brief, Slow):
            pass

        self.assertEqual(self.fields(Both)[1], "temporary")
        self.assertEqual(self.fields(Both)[2], 30.0)

    def test_generic(self) -> None:
        """[V1] they go with a type of state, and with handlers that are generic themselves."""

        class Typed(wsx.Handler[dict[str, int]], restart="transient", id="typed"):
            pass

        class Open(wsx.Handler[S], Generic[S], shutdown=1.0):
            pass

        class Closed(Open[int], restart="temporary"):
            pass

        self.assertEqual(self.fields(Typed), ("typed", "transient", 5.0, "worker"))
        self.assertEqual(self.fields(Closed)[1:], ("temporary", 1.0, "worker"))
        self.assertEqual(Closed.__parameters__, ())  # type: ignore[attr-defined]

    def test_wrong_keywords(self) -> None:
        """[V1] wrong values and unknown keywords are refused with the class statement."""
        cases: list[tuple[type[Exception], dict[str, Any]]] = [
            (ValueError, {"restart": "always"}),
            (ValueError, {"shutdown": -1}),
            (ValueError, {"shutdown": "5"}),
            (ValueError, {"type": "process"}),
            (TypeError, {"colour": "red"}),
        ]
        for error, keywords in cases:
            with case(keywords):
                make = self.maker(keywords)
                self.assertRaises(error, make)

    def maker(self, keywords: dict[str, Any]) -> Callable[[], object]:
        return lambda: type("Wrong", (wsx.Handler,), {}, **keywords)

    def test_wrong_options(self) -> None:
        """[V1] so are wrong options and URLs, when the specification is made."""
        for options in ({"restart": "always"}, {"shutdown": -1}, {"type": "process"}):
            with case(options):
                self.assertRaises(ValueError, lambda it=options: Feed.child_spec(URL, **it))
        self.assertRaises(TypeError, Feed.child_spec, URL, id=[])
        for url in ("nonsense", "ftp://example.test/", "ws://"):
            with case(url):
                self.assertRaises(wsx.URLError, Feed.child_spec, url)

    def test_other_hook(self) -> None:
        """Keywords for another base of the class get through to it."""
        seen: list[str] = []

        class Plugin:
            def __init_subclass__(cls, plugin: str = "", **keywords: Any) -> None:
                super().__init_subclass__(**keywords)
                seen.append(plugin)

        class Own(wsx.Handler[Any], Plugin, restart="transient", plugin="own"):
            pass

        self.assertEqual(seen, ["own"])
        self.assertEqual(self.fields(Own)[1], "transient")

    def test_backoff(self) -> None:
        """[V1] restarts wait for the ``reconnect`` policy; without one for nothing."""
        policy = wsx.Backoff()
        self.assertIs(Feed.child_spec(URL, reconnect=policy).backoff, policy)
        self.assertIsNone(Feed.child_spec(URL).backoff)

    def test_reactor(self) -> None:
        """[V1] where the child has its time from is in the specification."""
        clock = object()
        self.assertIs(Feed.child_spec(URL, reactor=clock).reactor, clock)
        self.assertIsNone(Feed.child_spec(URL).reactor)


class StartTests(MemoryCase):
    """What ``start`` does with a parent."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(registry, "_clients", {})

    def spec(
        self, handler: type[wsx.Handler[Any]] = Feed, state: Any = None, **more: Any
    ) -> ChildSpec:
        own = {"reactor": self.clock, "endpoint": self.server, "ping_interval": None}
        return handler.child_spec(URL, state, **own | more)

    def answer(self) -> None:
        self.peer.answer()
        self.step()

    def test_nothing_before(self) -> None:
        """[V1] making a specification starts nothing, and takes no name."""
        self.spec(name="feed")
        self.step()
        self.assertEqual(self.server.attempts, 0)
        self.assertIsNone(wsx.whereis("feed"))

    def test_parents(self) -> None:
        """[V1][S9] below a MultiService, an Application or a Supervisor, whose end ends it."""
        supervisor = Supervisor([], reactor=self.clock)
        for parent in (MultiService(), Application("test"), supervisor):
            with case(parent):
                IService(parent).startService()
                started = self.spec(state="state").start(parent)
                self.assertNoResult(started)
                self.answer()
                client = self.successResultOf(started)
                self.assertEqual((client.status, client.sys.get_state()), ("open", "state"))
                stopped = IService(parent).stopService()
                self.assertNoResult(stopped)
                self.assertEqual(self.peer.received(), [(8, (1001).to_bytes(2, "big"))])
                self.peer.drop()
                self.step()
                self.successResultOf(stopped)
                self.assertEqual(self.successResultOf(client.terminated()), Shutdown())
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaves_its_parent(self) -> None:
        """[S9] a client that ends leaves a MultiService, and is not restarted by one."""
        parent = MultiService()
        self.spec(restart="permanent").start(parent)
        self.answer()
        self.assertEqual(len(list(parent)), 1)
        self.peer.drop()
        self.step()
        self.assertEqual(list(parent), [])
        self.clock.advance(100)
        self.assertEqual(self.server.attempts, 1)

    def test_start_fails(self) -> None:
        """[V1] a start that fails fails the Deferred, and leaves nothing with the parent."""
        parent = MultiService()
        self.server.refusal = ConnectionRefusedError()
        started = self.spec(name="feed").start(parent)
        self.step()
        self.failureResultOf(started, wsx.ConnError)
        self.assertEqual(list(parent), [])
        self.assertIsNone(wsx.whereis("feed"))

    def test_parent_ends_during_the_first_connect(self) -> None:
        """[V5] the parent's end during the first connect does not call ``terminate``."""
        seen: list[str] = []

        class Own(Feed):
            def terminate(self, reason: Any, state: Any) -> None:
                seen.append("terminate")

        for parent in (MultiService(), Supervisor([], reactor=self.clock)):
            with case(parent):
                parent.startService()
                started = self.spec(Own).start(parent)
                stopped = parent.stopService()
                self.step()
                self.successResultOf(stopped)
                error = self.failureResultOf(started, wsx.ClientEnded).value
                self.assertEqual((error.reason, seen), (Shutdown(), []))

    def test_each_its_own(self) -> None:
        """[V1] one specification starts as many clients as wanted, each with its own handler."""
        parent = MultiService()
        spec = self.spec(state=7)
        clients = []
        for _ in range(2):
            started = spec.start(parent)
            self.answer()
            clients.append(self.successResultOf(started))
        self.assertIsNot(clients[0], clients[1])
        self.assertIsNot(clients[0].handler, clients[1].handler)
        self.assertEqual([client.sys.get_state() for client in clients], [7, 7])

    def test_options_are_the_clients(self) -> None:
        """[V1] options that are no fields are the client's."""
        started = self.spec(async_=True, name="feed", id="child", restart="temporary").start(
            MultiService()
        )
        client = self.successResultOf(started)
        self.assertIs(wsx.whereis("feed"), client)
        self.assertEqual(client.name, "feed")

    def test_unknown_option(self) -> None:
        """[V1] an unknown option is a TypeError, and leaves nothing with the parent."""
        parent = MultiService()
        started = maybeDeferred(lambda: self.spec(colour="red").start(parent))
        self.failureResultOf(started, TypeError)
        self.assertEqual(list(parent), [])

    def test_conn(self) -> None:
        """[V1] a Conn does instead of a URL."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        started = Feed.child_spec(conn, "state", reactor=self.clock).start(MultiService())
        self.answer()
        self.assertEqual(self.successResultOf(started).sys.get_state(), "state")

    def test_no_parent(self) -> None:
        """What cannot have children is no parent: a TypeError."""
        for parent in (None, "parent", Service()):
            with case(parent):
                self.failureResultOf(maybeDeferred(self.spec().start, parent), TypeError)
        self.assertEqual(self.server.attempts, 0)

    def test_as_parent(self) -> None:
        """A Supervisor is a parent of clients itself, other services by an adapter."""
        supervisor = Supervisor([])
        self.assertIs(as_parent(supervisor), supervisor)
        for parent in (MultiService(), Application("test")):
            with case(parent):
                self.assertTrue(IClientParent.providedBy(as_parent(parent)))

    def test_subclass_of_its_class(self) -> None:
        """[V1] the client's handler is of the class whose ``child_spec`` was asked."""

        class Own(Feed):
            pass

        started = self.spec(Own).start(MultiService())
        self.answer()
        self.assertIs(type(self.successResultOf(started).handler), Own)

    def test_running_of_a_supervisor(self) -> None:
        """[V1] a Supervisor's specification: its own fields, and itself once it is up."""
        inner = Supervisor(
            [self.spec()], id="inner", restart="temporary", shutdown=9, reactor=self.clock
        )
        spec = inner.child_spec()
        self.assertEqual(
            (spec.id, spec.restart, spec.shutdown, spec.type),
            ("inner", "temporary", 9, "supervisor"),
        )
        started = spec.start(Supervisor([], reactor=self.clock))
        self.assertNoResult(started)
        self.answer()
        self.assertIs(self.successResultOf(started), inner)

    def test_changed_specification(self) -> None:
        """[V1] ``replace`` makes a second child of a supervisor out of one specification."""
        spec = self.spec(async_=True)
        self.assertRaises(ChildError, Supervisor, [spec, spec])
        supervisor = Supervisor([spec, spec.replace(id="other")])
        supervisor.startService()
        self.step()
        self.assertEqual([row[0] for row in supervisor.which_children()], ["Feed", "other"])
        self.assertEqual(self.server.attempts, 2)

    def test_nothing_fires_it_twice(self) -> None:
        """A start function that gives its client at once is as good as any."""
        started = self.start(Feed, async_=True)
        client = self.successResultOf(started)
        supervisor = Supervisor([ChildSpec("a", lambda _: succeed(client), reactor=self.clock)])
        supervisor.startService()
        self.successResultOf(supervisor.when_up())
        self.assertEqual(supervisor.which_children(), [("a", client, "worker")])


class LinkTests(SupervisorCase):
    """``start_link`` to a supervisor: a temporary child."""

    def link(self, supervisor: Supervisor, id: str, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Starts a client below a supervisor."""
        return wsx.start_link(supervisor, URL, self.handler(id), **self.options(id, **options))

    def test_sync(self) -> None:
        """[S9] it is a child, at the end of the list, and is stopped with the others, first."""
        supervisor = self.supervise(self.children("ab"))
        started = self.link(supervisor, "x")
        self.settle()
        client = self.successResultOf(started)
        self.assertEqual([row[1] for row in supervisor.which_children()][2], client)
        self.assertEqual(supervisor.count_children()["workers"], 3)
        with self.happens("end x", "end b", "end a"):
            self.stop(supervisor)
        self.assertEqual(self.sites["x"].handlers[0].ends, [Shutdown()])
        self.assertEqual(self.listed(supervisor), ["a", "b"])

    @each(STRATEGIES, (SupervisorCase.crash, SupervisorCase.end_normally))
    def test_temporary(self, strategy: str, end: Callable[[SupervisorCase, str], None]) -> None:
        """[S9] it is not restarted, leaves, and takes nobody along."""
        supervisor = self.supervise(self.children("ab"), strategy, 0)
        self.link(supervisor, "x")
        self.settle()
        with self.happens("end x"):
            end(self, "x")
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.assertEqual(self.listed(supervisor), ["a", "b"])

    def test_async(self) -> None:
        """[S9] an asynchronous one is there at once, and stopped with ``terminate``."""
        supervisor = self.supervise([])
        self.options("x")
        self.sites["x"].silent = True
        client = self.successResultOf(self.link(supervisor, "x", async_=True))
        self.assertEqual([row[1] for row in supervisor.which_children()], [client])
        with self.happens("end x"):
            self.stop(supervisor)

    def test_stopped_while_it_connects(self) -> None:
        """[V5] the supervisor's end during its first connect does not call ``terminate``."""
        supervisor = self.supervise([])
        self.options("x")
        self.sites["x"].answers = False
        started = self.link(supervisor, "x")
        with self.happens():
            self.stop(supervisor)
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, Shutdown())

    def test_fails(self) -> None:
        """[S9] one whose start fails is no child; the supervisor goes on."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.options("x")
        self.sites["x"].refusal = ConnectionRefusedError()
        started = self.link(supervisor, "x")
        self.settle()
        self.failureResultOf(started, wsx.ConnError)
        self.assertEqual(self.listed(supervisor), ["a"])

    def test_wrong_arguments(self) -> None:
        """[S9] wrong arguments fail the Deferred and leave nothing."""
        supervisor = self.supervise([])
        self.link(supervisor, "x", name="feed")
        self.settle()
        cases: list[tuple[type[Exception], Any, dict[str, Any]]] = [
            (wsx.URLError, "nonsense", {}),
            (TypeError, URL, {"colour": "red"}),
            (wsx.AlreadyStartedError, URL, {"name": "feed"}),
        ]
        for error, url, options in cases:
            with case(options):
                own = self.options("y", **options)
                started = wsx.start_link(supervisor, url, self.handler("y"), **own)
                self.failureResultOf(started, error)
                self.assertEqual(len(supervisor.which_children()), 1)
        self.assertEqual(self.sites["y"].attempts, 0)

    def test_before_the_start(self) -> None:
        """[S9] linked before the supervisor was started, it is one of its children later."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        started = self.link(supervisor, "x")
        self.settle()
        client = self.successResultOf(started)
        supervisor.startService()
        self.settle()
        self.assertIn(client, [row[1] for row in supervisor.which_children()])
        self.assertEqual(len(self.up(supervisor)), 2)
        self.stop(supervisor)
        self.assertEqual(client.status, "terminated")

    def test_before_the_start_and_ended(self) -> None:
        """[S9] if it ends before the start, it has left."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.link(supervisor, "x")
        self.settle()
        self.crash("x")
        self.settle()
        self.assertEqual(supervisor.which_children(), [])

    def test_never_started(self) -> None:
        """[S9] the stop of a supervisor that was never started stops it."""
        supervisor = Supervisor(self.children("a"), reactor=self.clock)
        self.link(supervisor, "x")
        self.settle()
        self.stop(supervisor)
        self.assertEqual(len(self.sites["x"].handlers[0].ends), 1)

    def test_after_the_end(self) -> None:
        """[S9] after the end, and while it ends, the supervisor takes nobody any more."""
        supervisor = self.supervise(self.children("a"))
        supervisor.stopService()
        self.failureResultOf(self.link(supervisor, "x"), ChildError)
        self.settle()
        self.failureResultOf(self.link(supervisor, "x"), ChildError)
        self.assertEqual(self.sites["x"].attempts, 0)
        self.assert_all_down(supervisor)

    def test_while_it_starts(self) -> None:
        """[S9] linked while the first child connects, it does not take that one's place."""
        specs = self.children("ab")
        self.sites["a"].answers = False
        supervisor = self.supervise(specs)
        started = self.link(supervisor, "x")
        self.settle()
        self.successResultOf(started)
        self.sites["a"].answers = True
        self.settle()
        self.assertEqual(len(self.up(supervisor)), 3)
        self.crash("x")
        self.settle()
        self.assertEqual(self.listed(supervisor), ["a", "b"])
        self.assertEqual(self.up(supervisor), ["a", "b"])

    @each((("one_for_one", True), ("one_for_all", False)))
    def test_group(self, strategy: str, stays: bool) -> None:
        """[S9] as a temporary child it is stopped, and gone, when its group is restarted."""
        supervisor = self.supervise(self.children("ab"), strategy)
        self.link(supervisor, "x")
        self.settle()
        self.crash("b")
        self.settle()
        self.assertEqual(self.connections()["x"], 1 if stays else 0)
        self.assertEqual(len(supervisor.which_children()), 3 if stays else 2)

    def test_its_id(self) -> None:
        """It can be found and terminated by the id that ``which_children`` shows."""
        supervisor = self.supervise(self.children("a"))
        self.link(supervisor, "x")
        self.link(supervisor, "y")
        self.settle()
        id = supervisor.which_children()[1][0]
        with self.happens("end x"):
            done = supervisor.terminate_child(id)
        self.successResultOf(done)
        self.assertEqual(len(supervisor.which_children()), 2)
        self.assertEqual(self.connections(), {"a": 1, "x": 0, "y": 1})

    def test_cancelled(self) -> None:
        """Cancelling the Deferred stops the attempt, as with every start."""
        supervisor = self.supervise([])
        self.options("x")
        self.sites["x"].answers = False
        started = self.link(supervisor, "x")
        started.cancel()
        self.settle()
        self.failureResultOf(started, CancelledError)
        self.assertEqual(supervisor.which_children(), [])
        self.assertEqual(self.connections(), {"x": 0})

    def test_from_a_callback(self) -> None:
        """[S9] a child's ``handle_connect`` may link another client to its supervisor."""
        specs = self.children("ab")
        supervisor = Supervisor(specs, reactor=self.clock)
        self.sites["a"].on_connect = lambda: self.link(supervisor, "x").addCallback(lambda _: None)
        supervisor.startService()
        self.settle()
        self.assertEqual(len(self.up(supervisor)), 3)
        self.successResultOf(supervisor.when_up())
        self.stop(supervisor)


class OwnStartTests(SupervisorCase):
    """Child specifications with a user's own start function."""

    def spec(self, start: Callable[[Any], Any], id: str = "own", **fields: Any) -> ChildSpec:
        return ChildSpec(id, start, reactor=self.clock, **fields)

    def start_client(self, id: str, **options: Any) -> Deferred[wsx.Client[Any]]:
        return wsx.start(URL, self.handler(id), **self.options(id, **options))

    def test_client(self) -> None:
        """It may start an unlinked client: that is restarted and stopped like another."""
        spec = self.spec(lambda _: self.start_client("a"))
        supervisor = self.supervise([spec, self.child("b")], "one_for_all")
        self.assertEqual(self.up(supervisor), ["own", "b"])
        with self.happens("end b", "end a", "start a", "up a", "start b", "up b"):
            self.crash("b")
        with self.happens("end a", "end b", "start a", "up a", "start b", "up b"):
            self.crash("a")
        with self.happens("end b", "end a"):
            self.stop(supervisor)

    def test_gets_the_supervisor(self) -> None:
        """It is called with the supervisor."""
        parents: list[Any] = []

        def start(parent: Any) -> Deferred[Any]:
            parents.append(parent)
            return self.start_client("a")

        supervisor = self.supervise([self.spec(start)])
        self.crash("a")
        self.settle()
        self.assertEqual(parents, [supervisor, supervisor])

    def test_supervisor(self) -> None:
        """It may make a Supervisor anew each time, and start it."""
        made: list[Supervisor] = []

        def start(_: Any) -> Deferred[Supervisor]:
            made.append(Supervisor(self.children("ab"), max_restarts=0, reactor=self.clock))
            made[-1].startService()
            return made[-1].when_up()

        outer = self.supervise([self.spec(start, type="supervisor")])
        with self.happens("end a", "end b", "start a", "up a", "start b", "up b"):
            self.crash("a")
        self.assertEqual(len(made), 2)
        self.assertEqual(outer.which_children(), [("own", made[1], "supervisor")])
        with self.happens("end b", "end a"):
            self.stop(outer)
        self.assertEqual(self.successResultOf(made[1].terminated()), Shutdown())

    def test_supervisor_stopped_while_it_starts(self) -> None:
        """A stop while such a Supervisor starts leaves nothing of it behind."""
        self.child("b")
        self.sites["b"].answers = False

        def start(parent: Supervisor) -> Deferred[Supervisor]:
            inner = Supervisor(self.children("ab"), reactor=self.clock)
            parent.announce(inner)
            inner.startService()
            return inner.when_up()

        outer = self.supervise([self.spec(start, type="supervisor")])
        self.assertEqual(self.events[-1], "start b")
        self.stop(outer)

    def test_linked(self) -> None:
        """It may link a client to the supervisor: that is the child, and no other one."""

        def start(parent: Any) -> Deferred[Any]:
            return wsx.start_link(parent, URL, self.handler("a"), **self.options("a"))

        supervisor = self.supervise([self.spec(start)])
        self.assertEqual(self.listed(supervisor), ["own"])
        with self.happens("end a", "start a", "up a"):
            self.crash("a")
        self.assertEqual(self.listed(supervisor), ["own"])

    def test_linked_later(self) -> None:
        """So it is where it has something to do before, a coroutine for instance."""
        looked_up: list[Deferred[None]] = []

        async def connect(parent: Any) -> Any:
            looked_up.append(Deferred())
            await looked_up[-1]
            return await wsx.start_link(parent, URL, self.handler("a"), **self.options("a"))

        spec = self.spec(lambda parent: Deferred.fromCoroutine(connect(parent)))
        supervisor = self.supervise([spec])
        looked_up[0].callback(None)
        self.settle()
        self.assertEqual(self.listed(supervisor), ["own"])
        self.assertEqual(supervisor.count_children()["active"], 1)

    def test_coroutine(self) -> None:
        """It may be an ``async def``, as callbacks may."""

        async def start(_: Any) -> Any:
            return await self.start_client("a")

        supervisor = self.supervise([self.spec(start)])
        self.assertEqual(self.up(supervisor), ["own"])
        self.stop(supervisor)

    def test_raises(self) -> None:
        """One that raises has failed to start."""
        supervisor = self.supervise([self.child("a"), self.spec(lambda _: 1 / 0)])
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), ZeroDivisionError)
        self.assertEqual(self.events, ["start a", "up a", "end a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @each(STRATEGIES)
    def test_fails_again_and_again(self, strategy: str) -> None:
        """[V3] one that fails for ever is given up, at any strategy, without a hot loop."""
        calls: list[Any] = []

        def start(_: Any) -> Any:
            calls.append(None)
            return self.start_client("a") if len(calls) == 1 else 1 / 0

        supervisor = self.supervise([self.spec(start)], strategy, 3)
        self.crash("a")
        self.settle()
        reason = self.successResultOf(supervisor.terminated())
        self.assertIsInstance(reason, MaxRestartsExceeded)
        self.assertEqual(len(calls), 1 + 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    @each((None, 42, succeed(None), "client"))
    def test_nonsense(self, nonsense: Any) -> None:
        """One that gives what is neither client nor Supervisor has failed to start."""
        supervisor = self.supervise([self.child("a"), self.spec(lambda _: nonsense)])
        reason = self.successResultOf(supervisor.terminated())
        self.assertIsInstance(reason, Exception)
        self.assert_all_down(supervisor)
        self.flushLoggedErrors()

    def test_ended_already(self) -> None:
        """[V3] a client that has ended when it is given counts as one that ended then."""
        ended = self.successResultOf(self.start_client("a", async_=True))
        ended.stop()
        self.settle()
        supervisor = self.supervise([self.spec(lambda _: succeed(ended))], max_restarts=3)
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)
        self.assert_all_down(supervisor)

    @each(("tcp", "handshake", "handle_connect"))
    def test_stopped_while_it_starts(self, phase: str) -> None:
        """A stop cancels a start that is under way and was not announced."""
        self.options("a")
        self.sites["a"].silent = phase == "tcp"
        self.sites["a"].answers = phase != "handshake"
        self.sites["a"].on_connect = Deferred if phase == "handle_connect" else int
        supervisor = self.supervise([self.spec(lambda _: self.start_client("a"))])
        stopped = supervisor.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assert_all_down(supervisor)

    def test_cannot_be_cancelled(self) -> None:
        """A start that does not mind being cancelled and succeeds: its client is stopped too."""

        async def start(_: Any) -> Any:
            client = await self.start_client("a", async_=True)
            try:
                await client.when_open()
            except CancelledError:
                self.events.append("cancelled")
            return client

        self.options("a")
        self.sites["a"].answers = False
        spec = self.spec(lambda parent: Deferred.fromCoroutine(start(parent)))
        supervisor = self.supervise([spec])
        self.stop(supervisor)
        self.assertEqual(self.events, ["start a", "cancelled", "end a"])

    @each(STRATEGIES, (False, True), (False, True))
    def test_stops_its_supervisor(self, strategy: str, restarted: bool, is_first: bool) -> None:
        """It may stop the supervisor that calls it, and what it starts is stopped too."""
        supervisor = self.stopping_itself(strategy, restarted, is_first)
        self.assertEqual(self.successResultOf(supervisor.terminated()), Shutdown())
        self.assert_all_down(supervisor)

    def stopping_itself(self, strategy: str, restarted: bool, is_first: bool) -> Supervisor:
        """Gives a supervisor that its child stops at the first start, or at the first restart."""

        def start(parent: Any) -> Deferred[Any]:
            if ("start a" in self.events) == restarted:
                parent.stopService()
            return self.start_client("a")

        specs = [self.spec(start), self.child("b")]
        supervisor = self.supervise(specs if is_first else specs[::-1], strategy)
        if restarted:
            self.crash("a")
        self.settle()
        return supervisor

    def test_asks_its_supervisor(self) -> None:
        """It may make requests of the supervisor that calls it: they come after its start."""
        spec = self.child("b", async_=True)
        results: list[Any] = []

        def start(parent: Any) -> Deferred[Any]:
            if not results:
                parent.start_child(spec).addBoth(results.append)
            return self.start_client("a")

        supervisor = self.supervise([self.spec(start)])
        self.assertEqual(self.up(supervisor), ["own", "b"])
        self.assertIs(results[0], self.client(supervisor, "b"))

    def test_no_reactor(self) -> None:
        """The supervisor's own ``reactor`` is used where the children tell of none."""
        spec = ChildSpec("own", lambda _: self.start_client("a"), backoff=steady(3.0))
        supervisor = self.supervise([spec], reactor=self.clock)
        self.crash("a")
        self.settle()
        self.advance(3.0)
        self.assertEqual(self.up(supervisor), ["own"])
        self.stop(supervisor)


class CodeChangeTests(SupervisorCase):
    """What a restart makes of a hot code change."""

    def test_restarts_have_the_new_class(self) -> None:
        """[Y6] as in OTP, a child that is restarted runs the code that it ended with."""
        old = self.handler("a")
        new = type("New", (old,), {})
        spec = old.child_spec(URL, id="a", **self.options("a"))
        supervisor = self.supervise([spec])
        before = supervisor.child("a")
        self.successResultOf(before.sys.change_code(new))
        self.crash("a")
        self.settle()
        after = supervisor.child("a")
        self.assertIsNot(after, before)
        self.assertIs(type(after.handler), new)

    def test_failed_change(self) -> None:
        """[Y6] a change that failed is forgotten."""
        old = self.handler("a")

        class Refuses(old):  # type: ignore[misc, valid-type]
            def code_change(self, *_: Any) -> Any:
                raise LookupError("no way")

        supervisor = self.supervise([old.child_spec(URL, id="a", **self.options("a"))])
        self.failureResultOf(supervisor.child("a").sys.change_code(Refuses), LookupError)
        self.crash("a")
        self.settle()
        self.assertIs(type(supervisor.child("a").handler), old)


class EarlyTests(SynchronousTestCase):
    """Wrong arguments are refused where they are given."""

    def test_options(self) -> None:
        """Unknown options and wrong values are found out before anything is started."""
        for options in ({"foo": 1}, {"ping_interval": "a"}, {"name": 3}, {"reconnect": 1}):
            with case(options), self.assertRaises((TypeError, ValueError)):
                wsx.Handler.child_spec(URL, **options)

    def test_class_keyword(self) -> None:
        """A class keyword that is none is named, with those that there are."""
        with self.assertRaisesRegex(TypeError, "restrat; there are id, restart"):
            type("Q", (wsx.Handler,), {}, restrat="permanent")

    def test_one_child_alone(self) -> None:
        """One child is no list of children."""
        with self.assertRaisesRegex(TypeError, "a list"):
            Supervisor(wsx.Handler.child_spec(URL))  # type: ignore[arg-type]
