"""Tests of wsx.child: child specifications, and how they start a client."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.application.service import Application, IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import ChildError, ChildSpec, Shutdown, Supervisor, registry
from wsx.child import IClientParent, as_parent
from wsx.test.support import URL, MemoryCase, case
from wsx.test.support.each import each
from wsx.test.support.supervision import SupervisorCase

S = TypeVar("S")


def nothing(_: Any) -> Deferred[Any]:
    """Return a Deferred that never fires; a start function."""
    return Deferred()


class Feed(wsx.Handler[Any]):
    """A handler without class keywords."""


class ChildSpecTests(SynchronousTestCase):
    """The fields of a ChildSpec."""

    def test_defaults(self) -> None:
        """[V1] Only ``id`` and ``start`` are required."""
        spec = ChildSpec("a", nothing)
        self.assertEqual(
            (spec.id, spec.start, spec.restart, spec.shutdown, spec.type, spec.backoff),
            ("a", nothing, "permanent", 5.0, "worker", None),
        )

    def test_positions(self) -> None:
        """[V1] The fields have their documented order."""
        backoff = wsx.Backoff()
        spec = ChildSpec("a", nothing, "transient", 2, "supervisor", backoff)
        self.assertEqual(
            (spec.restart, spec.shutdown, spec.type, spec.backoff),
            ("transient", 2, "supervisor", backoff),
        )

    def test_immutable(self) -> None:
        """A specification is immutable; ``replace`` returns another one."""
        spec = ChildSpec("a", nothing)
        self.assertRaises(AttributeError, setattr, spec, "id", "b")
        self.assertRaises(AttributeError, setattr, spec, "shutdown", 1.0)
        other = spec.replace(id="b", shutdown=math.inf)
        self.assertEqual((other.id, other.shutdown, other.start), ("b", math.inf, nothing))
        self.assertEqual((spec.id, spec.shutdown), ("a", 5.0))

    def test_equal(self) -> None:
        """Two specifications with the same fields are equal, also as keys."""
        self.assertEqual(ChildSpec("a", nothing), ChildSpec("a", nothing))
        self.assertEqual(len({ChildSpec("a", nothing), ChildSpec("a", nothing)}), 1)
        self.assertNotEqual(ChildSpec("a", nothing), ChildSpec("b", nothing))

    def test_right(self) -> None:
        """Every documented value is accepted."""
        right: list[dict[str, Any]] = [
            *({"restart": restart} for restart in ("permanent", "transient", "temporary")),
            *({"shutdown": shutdown} for shutdown in (0, 0.0, 1, 0.5, math.inf)),
            *({"type": kind} for kind in ("worker", "supervisor")),
        ]
        for fields in right:
            with case(fields):
                ((name, value),) = fields.items()
                self.assertEqual(getattr(ChildSpec("a", nothing, **fields), name), value)

    def test_wrong(self) -> None:
        """Wrong fields are refused by the constructor and by ``replace``."""
        spec = ChildSpec("a", nothing)
        no_starts: list[Any] = [None, "start", Deferred()]
        no_ids: list[Any] = [[], {}, set()]
        cases: list[tuple[type[Exception], dict[str, Any]]] = [
            *((ValueError, {"restart": value}) for value in ("always", "Permanent", "", None, 1)),
            *(
                (ValueError, {"shutdown": value})
                for value in (-1, -0.1, math.nan, -math.inf, None, "5", "brutal_kill", True)
            ),
            *((ValueError, {"type": value}) for value in ("process", None)),
            *((TypeError, {"start": value}) for value in no_starts),
            *((TypeError, {"id": value}) for value in no_ids),
            (TypeError, {"modules": []}),
        ]
        for error, fields in cases:
            with case(fields):
                arguments: dict[str, Any] = {"id": "a", "start": nothing} | fields
                self.assertRaises(error, lambda it=arguments: ChildSpec(**it))
                self.assertRaises(error, lambda it=fields: spec.replace(**it))

    @each(
        [
            (
                "restart",
                "x",
                'restart: expected "permanent", "transient" or "temporary", got "x"',
            ),
            (
                "shutdown",
                -1,
                "shutdown: expected seconds, a number of at least 0 or math.inf, got -1",
            ),
            ("type", "x", 'type: expected "worker" or "supervisor", got "x"'),
            ("backoff", 5, "backoff: expected a Backoff or None, got 5"),
            ("start", 5, "start: expected a callable, got 5"),
            ("id", [], "id: expected a hashable value, got []"),
        ]
    )
    def test_message(self, field: str, value: Any, message: str) -> None:
        """The error names the field, the value and what was expected."""
        fields: dict[str, Any] = {"id": "a", "start": nothing, field: value}
        error = self.assertRaises((TypeError, ValueError), lambda: ChildSpec(**fields))
        self.assertEqual(str(error), message)

    def test_unhashable_field(self) -> None:
        """A wrong value that is not hashable is refused like any other."""
        wrong: list[dict[str, Any]] = [{"restart": []}, {"type": {}}, {"shutdown": []}]
        for fields in wrong:
            with case(fields):
                self.assertRaises(ValueError, lambda it=fields: ChildSpec("a", nothing, **it))


class KeywordTests(SynchronousTestCase):
    """Class keywords and options that set the fields."""

    def fields(self, handler: type[wsx.Handler[Any]], **options: Any) -> tuple[Any, ...]:
        spec = handler.child_spec(URL, **options)
        return spec.id, spec.restart, spec.shutdown, spec.type

    def test_defaults(self) -> None:
        """[V1] By default a child is permanent, and its id is the class's qualified name."""

        class Inner(wsx.Handler[Any]):
            pass

        self.assertEqual(self.fields(Feed), ("Feed", "permanent", 5.0, "worker"))
        self.assertEqual(self.fields(Inner)[0], Inner.__qualname__)
        self.assertIn(".", Inner.__qualname__)

    def test_keywords(self) -> None:
        """[V1] Class keywords set each of the fields."""

        class Own(wsx.Handler[Any], restart="transient", id="feed", shutdown=2, type="supervisor"):
            pass

        self.assertEqual(self.fields(Own), ("feed", "transient", 2, "supervisor"))

    def test_options(self) -> None:
        """[V1] Options override class keywords individually, for one specification."""

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
        """[V1] An id can be any hashable value, also a false one."""
        for id in (0, "", None, ("feed", 7)):
            with case(id):
                own: Any = type("Own", (wsx.Handler,), {}, id=id)
                self.assertEqual(own.child_spec(URL).id, id)
                self.assertEqual(Feed.child_spec(URL, id=id).id, id)

    def test_inheritance(self) -> None:
        """[V1] A subclass inherits the class keywords except the id, and can override each."""

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
        """[V1] The keywords of a class do not affect its sibling classes."""

        class First(wsx.Handler[Any], restart="temporary"):
            pass

        class Second(wsx.Handler[Any], shutdown=1.0):
            pass

        self.assertEqual(self.fields(First)[1:], ("temporary", 5.0, "worker"))
        self.assertEqual(self.fields(Second)[1:], ("permanent", 1.0, "worker"))
        self.assertEqual(self.fields(Feed), ("Feed", "permanent", 5.0, "worker"))

    def test_mixin(self) -> None:
        """[V1] Keywords of two bases follow the method resolution order."""

        class Slow(wsx.Handler[Any], shutdown=30.0, restart="transient"):
            pass

        class Brief(wsx.Handler[Any], restart="temporary"):
            pass

        class Both(Brief, Slow):
            pass

        self.assertEqual(self.fields(Both)[1], "temporary")
        self.assertEqual(self.fields(Both)[2], 30.0)

    def test_generic(self) -> None:
        """[V1] Class keywords work with a type of state and with generic handlers."""

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
        """[V1] Wrong values and unknown keywords are refused by the class statement."""
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
        """[V1] Wrong options and URLs are refused when the specification is made."""
        for options in ({"restart": "always"}, {"shutdown": -1}, {"type": "process"}):
            with case(options):
                self.assertRaises(ValueError, lambda it=options: Feed.child_spec(URL, **it))
        self.assertRaises(TypeError, Feed.child_spec, URL, id=[])
        for url in ("nonsense", "ftp://example.test/", "ws://"):
            with case(url):
                self.assertRaises(wsx.URLError, Feed.child_spec, url)

    def test_other_hook(self) -> None:
        """Keywords for another base of the class are passed on to it."""
        seen: list[str] = []

        class Plugin:
            def __init_subclass__(cls, plugin: str = "", **keywords: Any) -> None:
                super().__init_subclass__(**keywords)
                seen.append(plugin)

        class Own(  # type: ignore[call-arg]
            wsx.Handler[Any], Plugin, restart="transient", plugin="own"
        ):
            pass

        self.assertEqual(seen, ["own"])
        self.assertEqual(self.fields(Own)[1], "transient")

    def test_backoff(self) -> None:
        """[V1] Restarts wait for the ``reconnect`` policy; without one, they do not wait."""
        policy = wsx.Backoff()
        self.assertIs(Feed.child_spec(URL, reconnect=policy).backoff, policy)
        self.assertIsNone(Feed.child_spec(URL).backoff)

    def test_reactor(self) -> None:
        """[V1] The specification has the reactor of the child."""
        clock = object()
        self.assertIs(Feed.child_spec(URL, reactor=clock).reactor, clock)
        self.assertIsNone(Feed.child_spec(URL).reactor)


class StartTests(MemoryCase):
    """``start`` with different parents."""

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
        """[V1] Making a specification starts nothing and registers no name."""
        self.spec(name="feed")
        self.step()
        self.assertEqual(self.server.attempts, 0)
        self.assertIsNone(wsx.whereis("feed"))

    def test_parents(self) -> None:
        """[V1][S9] A child of a MultiService, Application or Supervisor ends with its parent."""
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
        """[S9] A client that ends leaves a MultiService, which does not restart it."""
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
        """[V1] A start that fails fails the Deferred, and leaves nothing with the parent."""
        parent = MultiService()
        self.server.refusal = ConnectionRefusedError()
        started = self.spec(name="feed").start(parent)
        self.step()
        self.failureResultOf(started, wsx.ConnError)
        self.assertEqual(list(parent), [])
        self.assertIsNone(wsx.whereis("feed"))

    def test_parent_ends_during_the_first_connect(self) -> None:
        """[V5] The parent's end during the first connect does not call ``terminate``."""
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
        """[V1] One specification can start several clients, each with its own handler."""
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
        """[V1] Options that are not fields are passed to the client."""
        started = self.spec(async_=True, name="feed", id="child", restart="temporary").start(
            MultiService()
        )
        client = self.successResultOf(started)
        self.assertIs(wsx.whereis("feed"), client)
        self.assertEqual(client.name, "feed")

    def test_unknown_option(self) -> None:
        """[V1] An unknown option raises TypeError, and leaves nothing with the parent."""
        parent = MultiService()
        started = maybeDeferred(lambda: self.spec(colour="red").start(parent))
        self.failureResultOf(started, TypeError)
        self.assertEqual(list(parent), [])

    def test_conn(self) -> None:
        """[V1] A Conn is accepted in place of a URL."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        started = Feed.child_spec(conn, "state", reactor=self.clock).start(MultiService())
        self.answer()
        self.assertEqual(self.successResultOf(started).sys.get_state(), "state")

    def test_no_parent(self) -> None:
        """A parent that cannot have children is a TypeError."""
        for parent in (None, "parent", Service()):
            with case(parent):
                self.failureResultOf(maybeDeferred(self.spec().start, parent), TypeError)
        self.assertEqual(self.server.attempts, 0)

    def test_as_parent(self) -> None:
        """A Supervisor is a parent of clients; other services are adapted."""
        supervisor = Supervisor([])
        self.assertIs(as_parent(supervisor), supervisor)
        for parent in (MultiService(), Application("test")):
            with case(parent):
                self.assertTrue(IClientParent.providedBy(as_parent(parent)))

    def test_subclass_of_its_class(self) -> None:
        """[V1] The client's handler has the class whose ``child_spec`` was called."""

        class Own(Feed):
            pass

        started = self.spec(Own).start(MultiService())
        self.answer()
        self.assertIs(type(self.successResultOf(started).handler), Own)

    def test_running_of_a_supervisor(self) -> None:
        """[V1] A Supervisor's specification has its fields.

        ``start`` fires with it once it is up.
        """
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
        """[V1] ``replace`` makes another child from one specification."""
        spec = self.spec(async_=True)
        self.assertRaises(ChildError, Supervisor, [spec, spec])
        supervisor = Supervisor([spec, spec.replace(id="other")])
        supervisor.startService()
        self.step()
        self.assertEqual([row[0] for row in supervisor.which_children()], ["Feed", "other"])
        self.assertEqual(self.server.attempts, 2)

    def test_nothing_fires_it_twice(self) -> None:
        """A start function can return a Deferred that has already fired."""
        started = self.start(Feed, async_=True)
        client = self.successResultOf(started)
        supervisor = Supervisor([ChildSpec("a", lambda _: succeed(client), reactor=self.clock)])
        supervisor.startService()
        self.successResultOf(supervisor.when_up())
        self.assertEqual(supervisor.which_children(), [("a", client, "worker")])


class CodeChangeTests(SupervisorCase):
    """Restarts after a hot code change."""

    def test_restarts_have_the_new_class(self) -> None:
        """[Y6] As in OTP, a restarted child runs the code that it ended with."""
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
        """[Y6] A restarted child does not use the class of a failed change."""
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
    """Wrong arguments are refused as early as possible."""

    def test_options(self) -> None:
        """Unknown options and wrong values are refused before anything is started."""
        for options in ({"foo": 1}, {"ping_interval": "a"}, {"name": 3}, {"reconnect": 1}):
            with case(options), self.assertRaises((TypeError, ValueError)):
                wsx.Handler.child_spec(URL, **options)

    def test_class_keyword(self) -> None:
        """The error of an unknown class keyword names it and the known ones."""
        with self.assertRaisesRegex(
            TypeError, r"unknown class keyword restrat \(expected any of id, restart"
        ):
            type("Q", (wsx.Handler,), {}, restrat="permanent")

    def test_one_child_alone(self) -> None:
        """A single child in place of a list raises TypeError."""
        with self.assertRaisesRegex(TypeError, "a list"):
            Supervisor(wsx.Handler[None].child_spec(URL))  # type: ignore[arg-type]
