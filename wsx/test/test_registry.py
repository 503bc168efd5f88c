"""Tests of wsx.registry: names of clients, kept here or by a registry of the user's own."""

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
    """A registry of the user's own, as ``Via`` asks for it."""

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
    """Clients with names, which are free again after the test."""

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
        """Starts a client as MemoryCase does, and remembers its name."""
        if isinstance(options.get("name"), (str, wsx.Global, wsx.Via)):
            self.used.append(options["name"])
        return super().start(handler, state, **options)

    def stopped(self, client: Any) -> Any:
        """Stops a client whose peer answers as it should; gives the reason."""
        ending = client.stop()
        self.step()
        self.clock.advance(client.conn.close_timeout)
        self.step()
        return self.successResultOf(ending)


class AnyNameTests(NamesCase):
    """What holds for a name of each kind; the subclasses give the kind."""

    def name(self, key: str = NAME) -> Any:
        """Gives a name, the same for the same key."""
        return key

    def test_whereis(self) -> None:
        """[S11] a client is found by its name, and knows it."""
        client = self.open(Recorder(), name=self.name())
        self.assertIs(wsx.whereis(self.name()), client)
        self.assertEqual(client.name, self.name())

    def test_whereis_unknown(self) -> None:
        """[S11] a name that nobody has leads to None."""
        self.open(Recorder(), name=self.name())
        self.assertIsNone(wsx.whereis(self.name("nobody")))

    def test_whereis_while_connecting(self) -> None:
        """[S11] a client has its name from the start."""
        self.server.silent = True
        self.start(Recorder(), name=self.name(), async_=True)
        client = wsx.whereis(self.name())
        assert client is not None
        self.assertEqual(client.status, "connecting")

    def test_two_names(self) -> None:
        """[S11] clients with different names do not meet."""
        one = self.open(Recorder(), name=self.name("one"))
        two = self.open(Recorder(), name=self.name("two"))
        self.assertIs(wsx.whereis(self.name("one")), one)
        self.assertIs(wsx.whereis(self.name("two")), two)

    def test_taken(self) -> None:
        """[S12] a taken name fails the start with the name and the client that has it."""
        first = self.open(Recorder(), name=self.name())
        handler = Recorder()
        second = self.start(handler, name=self.name())
        self.step()
        error = self.failureResultOf(second, wsx.AlreadyStartedError).value
        self.assertEqual(error.name, self.name())
        self.assertIs(error.client, first)
        self.assertEqual(handler.names, [])

    def test_taken_starts_nothing(self) -> None:
        """[S12] the second client makes no attempt, and the first keeps name and connection."""
        first = self.open(Recorder(), name=self.name())
        second = self.start(Recorder(), name=self.name())
        self.clock.advance(100)
        self.failureResultOf(second, wsx.AlreadyStartedError)
        self.assertEqual(self.server.attempts, 1)
        self.assertIs(wsx.whereis(self.name()), first)
        self.assertEqual(first.status, "open")

    def test_taken_while_connecting(self) -> None:
        """[S12] a client that is not connected yet has its name already."""
        self.server.silent = True
        self.start(Recorder(), name=self.name(), async_=True)
        second = self.start(Recorder(), name=self.name(), async_=True)
        self.failureResultOf(second, wsx.AlreadyStartedError)

    def test_cast(self) -> None:
        """[S13] a cast by name reaches ``handle_cast``."""
        handler = Recorder()
        self.open(handler, name=self.name())
        wsx.cast(self.name(), "message")
        self.step()
        self.assertEqual(handler.arguments("handle_cast"), ["message"])

    def test_info(self) -> None:
        """[S13] an info by name reaches ``handle_info``."""
        handler = Recorder()
        self.open(handler, name=self.name())
        wsx.info(self.name(), "message")
        self.step()
        self.assertEqual(handler.arguments("handle_info"), ["message"])

    def test_send_frame(self) -> None:
        """[S13] a frame sent by name reaches the peer."""
        self.open(Recorder(), name=self.name())
        sent = wsx.send_frame(self.name(), wsx.Text("frame"))
        self.assertIsNone(self.successResultOf(sent))
        self.assertEqual(self.peer.received(), [(1, b"frame")])

    def test_unknown(self) -> None:
        """[S13] an unknown name is an UnknownNameError that has it."""
        name = self.name("nobody")
        for function in (wsx.cast, wsx.info):
            with case(function):
                error = self.assertRaises(wsx.UnknownNameError, function, name, "message")
                self.assertEqual(error.name, name)
        failure = self.failureResultOf(wsx.send_frame(name, wsx.Text("x")), wsx.UnknownNameError)
        self.assertEqual(failure.value.name, name)

    def test_free_after_stop(self) -> None:
        """[S14] a name is free again after ``stop``, and can be taken."""
        client = self.open(Recorder(), name=self.name())
        self.stopped(client)
        self.assertIsNone(wsx.whereis(self.name()))
        self.assertRaises(wsx.UnknownNameError, wsx.cast, self.name(), "message")
        self.assertIs(self.open(Recorder(), name=self.name()), wsx.whereis(self.name()))

    def test_free_after_a_crash(self) -> None:
        """[S14] a name is free again after a callback raised."""
        client = self.open(Recorder(handle_cast=RuntimeError("on purpose")), name=self.name())
        client.cast("crash")
        self.step()
        self.clock.advance(60)
        self.step()
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(client.status, "terminated")
        self.assertIsNone(wsx.whereis(self.name()))

    def test_free_after_a_failed_start(self) -> None:
        """[S14] a name is free again after a first connection that failed."""
        self.server.refusal = OSError("refused")
        started = self.start(Recorder(), name=self.name())
        self.step()
        self.failureResultOf(started, wsx.ConnError)
        self.assertIsNone(wsx.whereis(self.name()))

    def test_free_after_a_cancelled_start(self) -> None:
        """[S14] a name is free again after the start was cancelled."""
        self.server.silent = True
        started = self.start(Recorder(), name=self.name())
        started.addErrback(lambda failure: None)
        started.cancel()
        self.step()
        self.assertIsNone(wsx.whereis(self.name()))

    def test_free_when_the_end_is_told(self) -> None:
        """[S14] who hears of the end may start the next client under the same name at once."""
        client = self.open(Recorder(), name=self.name())
        seen: list[Any] = []
        client.terminated().addCallback(lambda _: seen.append(wsx.whereis(self.name())))
        self.stopped(client)
        self.assertEqual(seen, [None])

    def test_kept_while_reconnecting(self) -> None:
        """[S14] between two connections the client keeps its name."""

        def again(status: Any, state: Any) -> Any:
            return wsx.Reconnect(state, after=5.0)

        client = self.open(Recorder(handle_disconnect=again), name=self.name())
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "disconnected")
        self.assertIs(wsx.whereis(self.name()), client)

    def test_old_end_leaves_the_new_name(self) -> None:
        """[S14] an ended client's name belongs to the next one, whatever the old one still does."""
        old = self.open(Recorder(), name=self.name())
        self.stopped(old)
        new = self.open(Recorder(), name=self.name())
        self.stopped(old)
        self.assertIs(wsx.whereis(self.name()), new)


class GlobalTests(AnyNameTests):
    """Names that are any key: ``Global(key)``."""

    def name(self, key: str = NAME) -> Any:
        """A key that is no str."""
        return wsx.Global((key, 7))

    def test_keys(self) -> None:
        """[S11] a key is whatever can be hashed, and equal keys are the same name."""
        one, two = (NAME, frozenset({1}), None), (NAME, frozenset({2}), None)
        client = self.open(Recorder(), name=wsx.Global(one))
        self.assertIs(wsx.whereis(wsx.Global((NAME, frozenset({1}), None))), client)
        self.assertIsNone(wsx.whereis(wsx.Global(two)))

    def test_not_local(self) -> None:
        """[S11] a global name is neither the str that is its key nor a Via with that key."""
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
        """[S11] a key may be empty, or None: it is only a key."""
        for key in ("", None, ()):
            with case(key):
                client = self.open(Recorder(), name=wsx.Global(key))
                self.assertIs(wsx.whereis(wsx.Global(key)), client)

    def test_cannot_be_hashed(self) -> None:
        """[S11] a key that cannot be hashed fails the start with a TypeError."""
        key: Any
        for key in ([], {}, (1, [])):
            with case(key):
                started = self.start(Recorder(), name=wsx.Global(key))
                self.failureResultOf(started, TypeError)
                self.used.clear()  # tearDown could not look it up
        self.assertEqual(self.server.attempts, 0)

    def test_value(self) -> None:
        """Two Globals of equal keys are equal and hash alike; they do not change."""
        self.assertEqual(wsx.Global((1, 2)), wsx.Global((1, 2)))
        self.assertEqual(hash(wsx.Global((1, 2))), hash(wsx.Global((1, 2))))
        self.assertNotEqual(wsx.Global(1), wsx.Global(2))
        self.assertNotEqual(wsx.Global("x"), "x")
        self.assertRaises(AttributeError, setattr, wsx.Global(1), "key", 2)

    def test_shown(self) -> None:
        """[S11] the client's repr has the name."""
        name = wsx.Global(NAME)
        self.assertIn(repr(name), repr(self.open(Recorder(), name=name)))

    def test_in_the_status(self) -> None:
        """[S11] so has its status."""
        client = self.open(Recorder(), name=self.name())
        self.assertEqual(client.sys.get_status()["name"], self.name())


class ViaTests(AnyNameTests):
    """Names that a registry of the user's own keeps: ``Via(registry, key)``."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory()

    def name(self, key: str = NAME) -> Any:
        """A name in the test's own directory."""
        return wsx.Via(self.directory, key)

    def test_registry_is_asked(self) -> None:
        """[S11] the registry has the client under the key, once, until its end."""
        client = self.open(Recorder(), name=self.name())
        self.assertEqual(self.directory.clients, {NAME: client})
        self.stopped(client)
        self.assertEqual(self.directory.calls, [("register", NAME), ("unregister", NAME)])

    def test_info_by_send(self) -> None:
        """[S13] an info goes through the registry's ``send``."""
        self.open(Recorder(), name=self.name())
        wsx.info(self.name(), "message")
        self.assertIn(("send", NAME), self.directory.calls)

    def test_any_key(self) -> None:
        """[S11] a key is whatever the registry takes."""
        name = wsx.Via(self.directory, ("feed", 7))
        client = self.open(Recorder(), name=name)
        self.assertIs(wsx.whereis(wsx.Via(self.directory, ("feed", 7))), client)

    def test_taken_by_nobody_to_be_found(self) -> None:
        """[S12] a registry that refuses, and cannot say for whom, is a taken name too."""
        self.directory.register_name = lambda key, client: False  # type: ignore[method-assign]
        started = self.start(Recorder(), name=self.name())
        error = self.failureResultOf(started, wsx.AlreadyStartedError).value
        self.assertEqual((error.name, error.client), (self.name(), None))

    def test_registry_that_fails_to_register(self) -> None:
        """[S11] a registry that raises fails the start, and nothing is started."""

        def fail(key: Any, client: Any) -> bool:
            raise RuntimeError("on purpose")

        self.directory.register_name = fail  # type: ignore[method-assign]
        started = self.start(Recorder(), name=self.name())
        self.step()
        self.failureResultOf(started, RuntimeError)
        self.assertEqual(self.server.attempts, 0)

    def test_registry_that_fails_to_unregister(self) -> None:
        """[S14] a registry that raises does not keep a client from ending, and is logged."""

        def fail(key: Any) -> None:
            raise RuntimeError("on purpose")

        client = self.open(Recorder(), name=self.name())
        self.directory.unregister_name = fail  # type: ignore[method-assign]
        self.directory.clients.clear()  # nothing to be found by tearDown
        ended = client.terminated()
        client.stop()
        self.clock.advance(60)
        self.step()
        logged = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(len(logged), 1)

    def test_not_local(self) -> None:
        """[S11] a key is no local name, and two registries do not share keys."""
        other = wsx.Via(Directory(), NAME)
        one = self.open(Recorder(), name=self.name())
        two = self.open(Recorder(), name=NAME)
        self.assertIs(wsx.whereis(self.name()), one)
        self.assertIs(wsx.whereis(NAME), two)
        self.assertIsNone(wsx.whereis(other))


class ClientAsNameTests(NamesCase):
    """[S13] the functions take a client in place of a name."""

    def test_client(self) -> None:
        """[S13] cast, info and send_frame to a client that has no name."""
        handler = Recorder()
        client = self.open(handler)
        wsx.cast(client, 1)
        wsx.info(client, 2)
        self.successResultOf(wsx.send_frame(client, wsx.Text("x")))
        self.step()
        self.assertEqual(handler.names[1:], ["handle_cast", "handle_info"])
        self.assertEqual(self.peer.received(), [(1, b"x")])

    def test_no_name(self) -> None:
        """A client without a name has None for one."""
        self.assertIsNone(self.open(Recorder()).name)


class BadNameTests(NamesCase):
    """What is no name."""

    def test_refused(self) -> None:
        """[S11] a start with something that is no name fails, and nothing is started."""
        for name in (5, b"feed", ["feed"], ("feed",), object()):
            with case(name):
                started = self.start(Recorder(), name=name)
                self.failureResultOf(started, TypeError, ValueError)
        self.assertEqual(self.server.attempts, 0)


class CheckNameTests(SynchronousTestCase):
    """``check_name`` says what is wrong with a name."""

    @each(
        [
            ("type", 5, TypeError, "name: expected a str, Global or Via, got 5"),
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
        """The error shows what was expected and the value."""
        self.assertEqual(str(self.assertRaises(kind, check_name, name)), message)


class LowLevelTests(SynchronousTestCase):
    """The functions that the client uses."""

    def setUp(self) -> None:
        self.addCleanup(registry.unregister, NAME)

    def test_register(self) -> None:
        """[S11] [S14] a registered name is found until it is unregistered."""
        client: Any = object()
        registry.register(NAME, client)
        self.assertIs(registry.whereis(NAME), client)
        registry.unregister(NAME)
        self.assertIsNone(registry.whereis(NAME))

    def test_taken(self) -> None:
        """[S12] the second to register is told who was first."""
        first: Any = object()
        second: Any = object()
        registry.register(NAME, first)
        error = self.assertRaises(wsx.AlreadyStartedError, registry.register, NAME, second)
        self.assertEqual((error.name, error.client), (NAME, first))
        self.assertIs(registry.whereis(NAME), first)

    def test_unregister_twice(self) -> None:
        """Freeing a free name does nothing."""
        registry.unregister(NAME)
        registry.unregister(NAME)
        self.assertIsNone(registry.whereis(NAME))

    def test_via_is_a_value(self) -> None:
        """Two Vias of the same registry and key are equal and hash alike; they do not change."""
        directory = Directory()
        self.assertEqual(wsx.Via(directory, "a"), wsx.Via(directory, "a"))
        self.assertEqual(hash(wsx.Via(directory, "a")), hash(wsx.Via(directory, "a")))
        self.assertNotEqual(wsx.Via(directory, "a"), wsx.Via(directory, "b"))
        self.assertNotEqual(wsx.Via(directory, "a"), wsx.Via(Directory(), "a"))
        self.assertRaises(AttributeError, setattr, wsx.Via(directory, "a"), "key", "b")
