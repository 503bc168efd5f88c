"""Tests of wsx.registry: names of clients, local, global and in user-defined registries."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import registry
from wsx.registry import check_name
from wsx.test.support import MemoryCase, Recorder, case
from wsx.test.support.each import each

NAME = "wsx.test.test_registry"


class Directory:
    """A user-defined registry for ``Via``."""

    def __init__(self) -> None:
        self.clients: dict[Any, Any] = {}
        self.calls: list[tuple[str, Any]] = []

    def register_name(self, key: Any, client: Any) -> bool:
        self.calls.append(("register", key))
        if key in self.clients:
            return False
        self.clients[key] = client
        return True

    def unregister_name(self, key: Any) -> None:
        self.calls.append(("unregister", key))
        self.clients.pop(key, None)

    def whereis_name(self, key: Any) -> Any:
        return self.clients.get(key)

    def send(self, key: Any, message: Any) -> None:
        self.calls.append(("send", key))
        self.clients[key].info(message)


class NamesCase(MemoryCase):
    """Base class: clients with names, which are free again after the test."""

    def setUp(self) -> None:
        super().setUp()
        self.used: list[Any] = []

    def tearDown(self) -> None:
        for name in self.used:
            client = wsx.whereis(name)
            if client is not None:
                client.stop()
                self.clock.advance(60)
                self.step()
        super().tearDown()

    def start(self, handler: Any, state: Any = None, **options: Any) -> Deferred[Any]:
        """Start a client like MemoryCase, and remember its name."""
        if isinstance(options.get("name"), (str, wsx.Global, wsx.Via)):
            self.used.append(options["name"])
        return super().start(handler, state, **options)

    def stopped(self, client: Any) -> Any:
        """Stop a client, wait until it has ended, and return the reason."""
        ending = client.stop()
        self.step()
        self.clock.advance(client.conn.close_timeout)
        self.step()
        return self.successResultOf(ending)


class AnyNameTests(NamesCase):
    """Tests for each kind of name; subclasses define ``name``."""

    def name(self, key: str = NAME) -> Any:
        """Return a name; the same key leads to the same name."""
        return key

    def test_whereis(self) -> None:
        """[S11] ``whereis`` finds a client by its name."""
        client = self.open(Recorder(), name=self.name())
        self.assertIs(wsx.whereis(self.name()), client)
        self.assertEqual(client.name, self.name())

    def test_whereis_unknown(self) -> None:
        """[S11] ``whereis`` returns None for an unknown name."""
        self.open(Recorder(), name=self.name())
        self.assertIsNone(wsx.whereis(self.name("nobody")))

    def test_whereis_with_a_handler(self) -> None:
        """``whereis`` returns a client whose handler has the given class or a subclass."""

        class Own(Recorder):
            pass

        client = self.open(Own(), name=self.name())
        for cls in (Own, Recorder, wsx.Handler, wsx.Handler[Any]):
            self.assertIs(wsx.whereis(self.name(), cls), client)
        self.assertIsNone(wsx.whereis(self.name("nobody"), Own))

    def test_whereis_with_another_handler(self) -> None:
        """A client with another handler raises TypeError, which names the class and the client."""

        class Other(Recorder):
            pass

        self.open(Recorder(), name=self.name())
        error = self.assertRaises(TypeError, wsx.whereis, self.name(), Other)
        message = f"expected a client with the handler {Other.__qualname__}, got one with Recorder"
        self.assertIn(message, str(error))

    def test_whereis_while_connecting(self) -> None:
        """[S11] A client has its name from the start."""
        self.server.silent = True
        self.start(Recorder(), name=self.name(), async_=True)
        client = wsx.whereis(self.name())
        assert client is not None
        self.assertEqual(client.status, "connecting")

    def test_two_names(self) -> None:
        """[S11] Clients can have different names."""
        one = self.open(Recorder(), name=self.name("one"))
        two = self.open(Recorder(), name=self.name("two"))
        self.assertIs(wsx.whereis(self.name("one")), one)
        self.assertIs(wsx.whereis(self.name("two")), two)

    def test_taken(self) -> None:
        """[S12] A taken name fails the start; the error has the name and its client."""
        first = self.open(Recorder(), name=self.name())
        handler = Recorder()
        second = self.start(handler, name=self.name())
        self.step()
        error = self.failureResultOf(second, wsx.AlreadyStartedError).value
        self.assertEqual(error.name, self.name())
        self.assertIs(error.client, first)
        self.assertEqual(handler.names, [])

    def test_taken_starts_nothing(self) -> None:
        """[S12] The second client makes no attempt; the first keeps its name and connection."""
        first = self.open(Recorder(), name=self.name())
        second = self.start(Recorder(), name=self.name())
        self.clock.advance(100)
        self.failureResultOf(second, wsx.AlreadyStartedError)
        self.assertEqual(self.server.attempts, 1)
        self.assertIs(wsx.whereis(self.name()), first)
        self.assertEqual(first.status, "open")

    def test_taken_while_connecting(self) -> None:
        """[S12] A client that is still connecting already has its name."""
        self.server.silent = True
        self.start(Recorder(), name=self.name(), async_=True)
        second = self.start(Recorder(), name=self.name(), async_=True)
        self.failureResultOf(second, wsx.AlreadyStartedError)

    def test_cast(self) -> None:
        """[S13] A cast by name is delivered to ``handle_cast``."""
        handler = Recorder()
        self.open(handler, name=self.name())
        wsx.cast(self.name(), "message")
        self.step()
        self.assertEqual(handler.arguments("handle_cast"), ["message"])

    def test_info(self) -> None:
        """[S13] An info by name is delivered to ``handle_info``."""
        handler = Recorder()
        self.open(handler, name=self.name())
        wsx.info(self.name(), "message")
        self.step()
        self.assertEqual(handler.arguments("handle_info"), ["message"])

    def test_send_frame(self) -> None:
        """[S13] A frame sent by name reaches the server."""
        self.open(Recorder(), name=self.name())
        sent = wsx.send_frame(self.name(), wsx.Text("frame"))
        self.assertIsNone(self.successResultOf(sent))
        self.assertEqual(self.peer.received(), [(1, b"frame")])

    def test_unknown(self) -> None:
        """[S13] An unknown name is an UnknownNameError with that name."""
        name = self.name("nobody")
        for function in (wsx.cast, wsx.info):
            with case(function):
                error = self.assertRaises(wsx.UnknownNameError, function, name, "message")
                self.assertEqual(error.name, name)
        failure = self.failureResultOf(wsx.send_frame(name, wsx.Text("x")), wsx.UnknownNameError)
        self.assertEqual(failure.value.name, name)

    def test_free_after_stop(self) -> None:
        """[S14] A name is free after ``stop``."""
        client = self.open(Recorder(), name=self.name())
        self.stopped(client)
        self.assertIsNone(wsx.whereis(self.name()))
        self.assertRaises(wsx.UnknownNameError, wsx.cast, self.name(), "message")
        self.assertIs(self.open(Recorder(), name=self.name()), wsx.whereis(self.name()))

    def test_free_after_a_crash(self) -> None:
        """[S14] A name is free after a callback raised."""
        client = self.open(Recorder(handle_cast=RuntimeError("on purpose")), name=self.name())
        client.cast("crash")
        self.step()
        self.clock.advance(60)
        self.step()
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(client.status, "terminated")
        self.assertIsNone(wsx.whereis(self.name()))

    def test_free_after_a_failed_start(self) -> None:
        """[S14] A name is free after a failed first connection."""
        self.server.refusal = OSError("refused")
        started = self.start(Recorder(), name=self.name())
        self.step()
        self.failureResultOf(started, wsx.ConnError)
        self.assertIsNone(wsx.whereis(self.name()))

    def test_free_after_a_cancelled_start(self) -> None:
        """[S14] A name is free after a cancelled start."""
        self.server.silent = True
        started = self.start(Recorder(), name=self.name())
        started.addErrback(lambda failure: None)
        started.cancel()
        self.step()
        self.assertIsNone(wsx.whereis(self.name()))

    def test_free_when_the_end_is_told(self) -> None:
        """[S14] A callback of ``terminated`` finds the name free."""
        client = self.open(Recorder(), name=self.name())
        seen: list[Any] = []
        client.terminated().addCallback(lambda _: seen.append(wsx.whereis(self.name())))
        self.stopped(client)
        self.assertEqual(seen, [None])

    def test_kept_while_reconnecting(self) -> None:
        """[S14] A client keeps its name while it reconnects."""

        def again(status: Any, state: Any) -> Any:
            return wsx.Reconnect(state, after=5.0)

        client = self.open(Recorder(handle_disconnect=again), name=self.name())
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "disconnected")
        self.assertIs(wsx.whereis(self.name()), client)

    def test_old_end_leaves_the_new_name(self) -> None:
        """[S14] Stopping an ended client does not free the name of its successor."""
        old = self.open(Recorder(), name=self.name())
        self.stopped(old)
        new = self.open(Recorder(), name=self.name())
        self.stopped(old)
        self.assertIs(wsx.whereis(self.name()), new)


class GlobalTests(AnyNameTests):
    """Names that are any key: ``Global(key)``."""

    def name(self, key: str = NAME) -> Any:
        """Return a name whose key is not a str."""
        return wsx.Global((key, 7))

    def test_keys(self) -> None:
        """[S11] A key is any hashable value, and equal keys are the same name."""
        one, two = (NAME, frozenset({1}), None), (NAME, frozenset({2}), None)
        client = self.open(Recorder(), name=wsx.Global(one))
        self.assertIs(wsx.whereis(wsx.Global((NAME, frozenset({1}), None))), client)
        self.assertIsNone(wsx.whereis(wsx.Global(two)))

    def test_not_local(self) -> None:
        """[S11] A global name differs from a local name and a ``Via`` with the same key."""
        directory = Directory()
        local = self.open(Recorder(), name=NAME)
        everywhere = self.open(Recorder(), name=wsx.Global(NAME))
        via = self.open(Recorder(), name=wsx.Via(directory, NAME))
        self.assertIs(wsx.whereis(NAME), local)
        self.assertIs(wsx.whereis(wsx.Global(NAME)), everywhere)
        self.assertIs(wsx.whereis(wsx.Via(directory, NAME)), via)
        self.stopped(local)
        self.assertIs(wsx.whereis(wsx.Global(NAME)), everywhere)

    def test_empty_key(self) -> None:
        """[S11] A key can be empty or None."""
        for key in ("", None, ()):
            with case(key):
                client = self.open(Recorder(), name=wsx.Global(key))
                self.assertIs(wsx.whereis(wsx.Global(key)), client)

    def test_cannot_be_hashed(self) -> None:
        """[S11] A key that is not hashable fails the start with a TypeError."""
        key: Any
        for key in ([], {}, (1, [])):
            with case(key):
                started = self.start(Recorder(), name=wsx.Global(key))
                self.failureResultOf(started, TypeError)
                self.used.clear()  # tearDown cannot look up this name.
        self.assertEqual(self.server.attempts, 0)

    def test_value(self) -> None:
        """Two Globals with equal keys are equal, have the same hash, and are immutable."""
        self.assertEqual(wsx.Global((1, 2)), wsx.Global((1, 2)))
        self.assertEqual(hash(wsx.Global((1, 2))), hash(wsx.Global((1, 2))))
        self.assertNotEqual(wsx.Global(1), wsx.Global(2))
        self.assertNotEqual(wsx.Global("x"), "x")
        self.assertRaises(AttributeError, setattr, wsx.Global(1), "key", 2)

    def test_shown(self) -> None:
        """[S11] The client's repr shows the name."""
        name = wsx.Global(NAME)
        self.assertIn(repr(name), repr(self.open(Recorder(), name=name)))

    def test_in_the_status(self) -> None:
        """[S11] The client's status has the name."""
        client = self.open(Recorder(), name=self.name())
        self.assertEqual(client.sys.get_status()["name"], self.name())


class ViaTests(AnyNameTests):
    """Names in a user-defined registry: ``Via(registry, key)``."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory()

    def name(self, key: str = NAME) -> Any:
        """Return a name in the test's own directory."""
        return wsx.Via(self.directory, key)

    def test_registry_is_asked(self) -> None:
        """[S11] The registry has the client under the key, until its end."""
        client = self.open(Recorder(), name=self.name())
        self.assertEqual(self.directory.clients, {NAME: client})
        self.stopped(client)
        self.assertEqual(self.directory.calls, [("register", NAME), ("unregister", NAME)])

    def test_info_by_send(self) -> None:
        """[S13] An info is sent with the registry's ``send``."""
        self.open(Recorder(), name=self.name())
        wsx.info(self.name(), "message")
        self.assertIn(("send", NAME), self.directory.calls)

    def test_any_key(self) -> None:
        """[S11] A key is any value that the registry accepts."""
        name = wsx.Via(self.directory, ("feed", 7))
        client = self.open(Recorder(), name=name)
        self.assertIs(wsx.whereis(wsx.Via(self.directory, ("feed", 7))), client)

    def test_taken_without_a_client(self) -> None:
        """[S12] A registry that refuses without having a client counts as a taken name."""
        self.directory.register_name = lambda key, client: False  # type: ignore[method-assign]
        started = self.start(Recorder(), name=self.name())
        error = self.failureResultOf(started, wsx.AlreadyStartedError).value
        self.assertEqual((error.name, error.client), (self.name(), None))

    def test_registry_that_fails_to_register(self) -> None:
        """[S11] An exception of ``register_name`` fails the start, and nothing is started."""

        def fail(key: Any, client: Any) -> bool:
            raise RuntimeError("on purpose")

        self.directory.register_name = fail  # type: ignore[method-assign]
        started = self.start(Recorder(), name=self.name())
        self.step()
        self.failureResultOf(started, RuntimeError)
        self.assertEqual(self.server.attempts, 0)

    def test_registry_that_fails_to_unregister(self) -> None:
        """[S14] An exception of ``unregister_name`` is logged, and the client ends."""

        def fail(key: Any) -> None:
            raise RuntimeError("on purpose")

        client = self.open(Recorder(), name=self.name())
        self.directory.unregister_name = fail  # type: ignore[method-assign]
        self.directory.clients.clear()  # Leave no client for tearDown.
        ended = client.terminated()
        client.stop()
        self.clock.advance(60)
        self.step()
        logged = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(len(logged), 1)

    def test_not_local(self) -> None:
        """[S11] A key is not a local name, and two registries do not share keys."""
        other = wsx.Via(Directory(), NAME)
        one = self.open(Recorder(), name=self.name())
        two = self.open(Recorder(), name=NAME)
        self.assertIs(wsx.whereis(self.name()), one)
        self.assertIs(wsx.whereis(NAME), two)
        self.assertIsNone(wsx.whereis(other))


class ClientAsNameTests(NamesCase):
    """[S13] The functions accept a client in place of a name."""

    def test_client(self) -> None:
        """[S13] cast, info and send_frame work with a client that has no name."""
        handler = Recorder()
        client = self.open(handler)
        wsx.cast(client, 1)
        wsx.info(client, 2)
        self.successResultOf(wsx.send_frame(client, wsx.Text("x")))
        self.step()
        self.assertEqual(handler.names[1:], ["handle_cast", "handle_info"])
        self.assertEqual(self.peer.received(), [(1, b"x")])

    def test_no_name(self) -> None:
        """The name of a client without a name is None."""
        self.assertIsNone(self.open(Recorder()).name)


class BadNameTests(NamesCase):
    """Invalid names."""

    def test_refused(self) -> None:
        """[S11] A start with an invalid name fails, and nothing is started."""
        for name in (5, b"feed", ["feed"], ("feed",), object()):
            with case(name):
                started = self.start(Recorder(), name=name)
                self.failureResultOf(started, TypeError, ValueError)
        self.assertEqual(self.server.attempts, 0)


class CheckNameTests(SynchronousTestCase):
    """``check_name`` raises an error that describes what is wrong with a name."""

    @each(
        [
            ("type", 5, TypeError, "name: expected a str, Global, Via or AsyncVia, got 5"),
            ("empty", "", ValueError, 'name: expected a str that is not empty, got ""'),
            (
                "not hashable",
                wsx.Global([]),  # type: ignore[arg-type]
                TypeError,
                "name: expected a Global with a hashable key, got Global(key=[])",
            ),
        ]
    )
    def test_message(self, label: str, name: Any, kind: type[Exception], message: str) -> None:
        """The error has the expectation and the value."""
        self.assertEqual(str(self.assertRaises(kind, check_name, name)), message)


class LowLevelTests(SynchronousTestCase):
    """The functions that the client uses."""

    def setUp(self) -> None:
        self.addCleanup(registry.unregister, NAME)

    def test_register(self) -> None:
        """[S11] [S14] A registered name is found until it is unregistered."""
        client: Any = object()
        registry.register(NAME, client)
        self.assertIs(registry.whereis(NAME), client)
        registry.unregister(NAME)
        self.assertIsNone(registry.whereis(NAME))

    def test_taken(self) -> None:
        """[S12] Registering a taken name raises an error with its client."""
        first: Any = object()
        second: Any = object()
        registry.register(NAME, first)
        error = self.assertRaises(wsx.AlreadyStartedError, registry.register, NAME, second)
        self.assertEqual((error.name, error.client), (NAME, first))
        self.assertIs(registry.whereis(NAME), first)

    def test_unregister_twice(self) -> None:
        """Unregistering a free name has no effect."""
        registry.unregister(NAME)
        registry.unregister(NAME)
        self.assertIsNone(registry.whereis(NAME))

    def test_via_is_a_value(self) -> None:
        """Two Vias with the same registry and key are equal, hash alike and are immutable."""
        directory = Directory()
        self.assertEqual(wsx.Via(directory, "a"), wsx.Via(directory, "a"))
        self.assertEqual(hash(wsx.Via(directory, "a")), hash(wsx.Via(directory, "a")))
        self.assertNotEqual(wsx.Via(directory, "a"), wsx.Via(directory, "b"))
        self.assertNotEqual(wsx.Via(directory, "a"), wsx.Via(Directory(), "a"))
        self.assertRaises(AttributeError, setattr, wsx.Via(directory, "a"), "key", "b")
