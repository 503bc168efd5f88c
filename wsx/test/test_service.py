"""Tests of wsx in Twisted's tree of services: linked clients and ClientService."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Application, IService, MultiService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogLevel, capturedLogs, formatEvent

import wsx
from wsx import registry
from wsx.test.support import URL, MemoryCase, Peer, Recorder, close
from wsx.test.support.each import each

GOING_AWAY = (8, (1001).to_bytes(2, "big"))
STEADY = wsx.Backoff(initial=10.0, factor=2.0, jitter=0.0)  # 10, 20, 40, 60 s


def obey(message: Any, _: Any) -> Any:
    """Answers a cast with the message itself: raises an exception, returns a result."""
    if isinstance(message, BaseException):
        raise message
    return message


class Follower(Recorder):
    """A recorder that follows its ``reconnect`` policy, and does what it is told by casts."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(**{"handle_cast": obey} | answers)

    def handle_disconnect(self, status: Any, state: Any) -> Any:
        super().handle_disconnect(status, state)
        return wsx.Handler.handle_disconnect(self, status, state)


class ServiceCase(MemoryCase):
    """What the tests below share."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(registry, "_clients", {})  # no test trips over a name that another left

    def service(self, handler: Any = None, state: Any = None, **options: Any) -> wsx.ClientService:
        """Makes a service; keepalive is off unless asked for."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        handler = Follower() if handler is None else handler
        return wsx.ClientService(options.pop("url", URL), handler, state, **options)

    def started(self, handler: Any = None, **options: Any) -> wsx.ClientService:
        """Makes a service and starts it."""
        service = self.service(handler, **options)
        service.startService()
        self.step()
        return service

    def answer(self) -> None:
        """The server completes the opening handshake."""
        self.peer.answer()
        self.step()

    def opened(self, handler: Any = None, **options: Any) -> wsx.ClientService:
        """Makes a service and starts it, up to an open connection."""
        service = self.started(handler, **options)
        self.answer()
        return service

    def present(self, service: wsx.ClientService) -> wsx.Client[Any]:
        """Gives the present client."""
        client = service.client
        assert client is not None, "there is no client"
        return client

    def end_client(self, service: wsx.ClientService, reason: BaseException) -> wsx.Client[Any]:
        """Ends the open client from a callback; gives it."""
        client = self.present(service)
        client.cast(reason)
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.flushLoggedErrors(type(reason))
        return client

    def crash(self, service: wsx.ClientService) -> wsx.Client[Any]:
        """Ends the open client abnormally; gives it."""
        return self.end_client(service, ValueError("crash"))

    def crash_again_and_again(self, service: wsx.ClientService, times: int) -> None:
        """Crashes so many clients in a row, each as soon as it is open."""
        for _ in range(times):
            self.answer()
            self.crash(service)

    def assert_down(self, service: wsx.ClientService) -> None:
        """Nothing of the service is left."""
        self.step()
        self.assertIsNone(service.client)
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        self.clock.advance(1000)
        self.assertIsNone(service.client)


class StartTests(ServiceCase):
    """How a service comes up."""

    def test_not_before_it_is_started(self) -> None:
        """Making a service connects to nothing."""
        service = self.service(name="feed")
        self.step()
        self.assertEqual((service.client, self.server.attempts), (None, 0))
        self.assertIsNone(wsx.whereis("feed"))

    def test_starts(self) -> None:
        """Starting it makes a client, with the handler and the state given."""
        recorder = Follower()
        service = self.service(recorder, "state")
        service.startService()
        client = self.present(service)
        self.assertEqual((client.status, client.handler), ("connecting", recorder))
        self.answer()
        self.assertEqual(client.status, "open")
        self.assertEqual([state for _, _, state in recorder.calls], ["state"])

    def test_conn(self) -> None:
        """A Conn is taken as well as a URL."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        service = wsx.ClientService(conn, Follower(), reactor=self.clock)
        service.startService()
        self.answer()
        self.assertEqual(self.present(service).conn.url, URL)

    def test_class(self) -> None:
        """A handler class is instantiated for each client, and not before."""
        made: list[Recorder] = []

        class Noting(Follower):
            def __init__(self) -> None:
                super().__init__()
                made.append(self)

        service = self.service(Noting, reconnect=None)
        self.assertEqual(made, [])
        service.startService()
        self.answer()
        self.crash(service)
        self.answer()
        self.assertEqual([handler.names[0] for handler in made], ["handle_connect"] * 2)
        self.assertIs(self.present(service).handler, made[1])

    def test_server_that_is_down(self) -> None:
        """It comes up while the server is down, and connects once that is back."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Follower()
        service = self.started(recorder)
        client = self.present(service)
        connected = service.whenConnected()
        self.clock.pump([60.0] * 10)
        self.assertGreater(self.server.attempts, 5)
        self.assertNoResult(connected)
        self.server.refusal = None
        self.clock.advance(60)
        self.answer()
        self.assertIs(self.successResultOf(connected), client, "it is the first client still")
        self.assertIsInstance(recorder.arguments("handle_disconnect")[0].reason, wsx.ConnError)
        self.assertNotIn("terminate", recorder.names)

    def test_default_policy(self) -> None:
        """The default policy is ``Backoff()``: a second, give or take a half of it."""
        self.server.refusal = ConnectionRefusedError()
        self.started()
        self.clock.advance(0.49)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(1.02)
        self.assertEqual(self.server.attempts, 2)

    def test_own_policy(self) -> None:
        """A policy of the user's takes its place."""
        self.server.refusal = ConnectionRefusedError()
        self.started(reconnect=STEADY)
        self.clock.advance(9.9)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.1)
        self.assertEqual(self.server.attempts, 2)

    def test_initial_failure_told_otherwise(self) -> None:
        """With ``handle_initial_conn_failure=False`` a failing first connection ends the client."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Follower()
        service = self.started(
            recorder, handle_initial_conn_failure=False, restart="temporary", name="feed"
        )
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.ConnError)
        self.assertEqual(recorder.names, ["terminate"])
        self.assertIsNone(wsx.whereis("feed"))

    def test_async_told_otherwise(self) -> None:
        """With ``async_=False`` a client that never was up is not initialised."""
        recorder = Follower()
        service = self.started(recorder, async_=False)
        stopped = service.stopService()
        self.step()
        self.successResultOf(stopped)
        self.assertEqual(recorder.names, [])

    def test_reconnects_itself(self) -> None:
        """A lost connection is the client's own affair: it is the same client after it."""
        service = self.opened(reconnect=STEADY)
        client = self.present(service)
        self.peer.drop()
        self.step()
        self.assertIs(service.client, client)
        self.clock.advance(10)
        self.answer()
        self.assertIs(service.client, client)
        self.assertEqual((client.status, self.server.attempts), ("open", 2))

    def test_started_twice(self) -> None:
        """A Supervisor of one has one client, also when it is started twice."""
        service = self.opened()
        client = self.present(service)
        service.startService()
        self.step()
        self.flushLoggedErrors(ValueError)
        self.assertIs(service.client, client)
        self.assertEqual(self.server.attempts, 1)

    def test_is_a_service(self) -> None:
        """It is an ``IService`` with Twisted's ``running`` flag and a name of its own."""
        service = self.service(name="feed")
        self.assertTrue(IService.providedBy(service))
        service.setName("of the service")
        service.startService()
        self.assertTrue(service.running)
        service.stopService()
        self.assertFalse(service.running)


class ArgumentTests(ServiceCase):
    """Wrong arguments are refused at once, in the constructor."""

    def refused(self, *kinds: type[Exception], **arguments: Any) -> Exception:
        """Gives the error, and checks that nothing was started."""
        try:
            self.service(**arguments)
        except kinds as error:
            self.assertEqual(self.server.attempts, 0)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            return error
        raise self.failureException(f"{arguments} is not refused")

    def test_url(self) -> None:
        """A bad URL."""
        for url in ("", "example.test", "ftp://example.test/", "ws://", "ws://a/#b", None):
            self.refused(wsx.URLError, url=url)

    def test_options(self) -> None:
        """Options that do not exist, or have a bad value."""
        error = self.refused(TypeError, colour="red")
        self.assertIn("colour", str(error))
        for options in (
            {"reconnect": False},
            {"stable_after": -1},
            {"mailbox_limit": -1},
            {"name": ""},
            {"name": 5},
            {"close_timeout": -1},
            {"compression": "gzip"},
            {"extra_headers": {"X": "a\r\nb"}},
        ):
            self.refused(ValueError, TypeError, **options)

    def test_options_of_a_conn(self) -> None:
        """Options of a Conn beside a Conn."""
        error = self.refused(TypeError, url=wsx.Conn(URL))
        self.assertIn("endpoint", str(error))

    def test_handler(self) -> None:
        """What is no Handler."""
        for handler in (object(), object, "Handler", 5, wsx.Conn(URL), lambda: Recorder()):
            self.refused(TypeError, handler=handler)

    def test_restart(self) -> None:
        """A restart type that does not exist; the error lists those that do."""
        for restart in ("", "always", "Permanent", None, True):
            error = self.refused(ValueError, restart=restart)
            self.assertIn("permanent, transient, temporary", str(error))

    def test_intensity(self) -> None:
        """An intensity that makes no sense."""
        for numbers in (
            {"max_restarts": -1},
            {"max_seconds": 0},
            {"max_seconds": -5.0},
            {"max_seconds": float("nan")},
            {"max_restarts": "3"},
            {"max_seconds": None},
        ):
            self.refused(ValueError, TypeError, **numbers)


class WhenConnectedTests(ServiceCase):
    """``whenConnected`` gives the open client, whenever it is asked."""

    def test_before_start(self) -> None:
        """Before the start: it fires once the client is open."""
        service = self.service()
        connected = service.whenConnected()
        service.startService()
        self.step()
        self.assertNoResult(connected)
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_connecting(self) -> None:
        """While connecting: likewise, and each call has its own Deferred."""
        service = self.started()
        first, second = service.whenConnected(), service.whenConnected()
        self.assertIsNot(first, second)
        self.answer()
        client = self.present(service)
        self.assertEqual([self.successResultOf(d) for d in (first, second)], [client, client])

    def test_open(self) -> None:
        """On an open client: it has fired."""
        service = self.opened()
        self.assertIs(self.successResultOf(service.whenConnected()), service.client)

    def test_waits_for_handle_connect(self) -> None:
        """It waits for an answer of ``handle_connect`` that is still to come."""
        answer: Deferred[None] = Deferred()
        service = self.opened(Follower(handle_connect=lambda *_: answer))
        connected = service.whenConnected()
        self.assertNoResult(connected)
        answer.callback(None)
        self.step()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_closing(self) -> None:
        """While the client closes: it fires with the next connection."""
        service = self.opened(reconnect=STEADY)
        self.peer.send(close(1011))
        self.assertEqual(self.present(service).status, "closing")
        connected = service.whenConnected()
        self.peer.drop()
        self.clock.advance(0)
        self.clock.advance(10)
        self.assertNoResult(connected)
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_after_a_loss(self) -> None:
        """While the client waits and connects again: it fires with the new connection."""
        service = self.opened(reconnect=STEADY)
        self.peer.drop()
        self.step()
        waiting = service.whenConnected()
        self.clock.advance(10)
        connecting = service.whenConnected()
        self.assertNoResult(waiting)
        self.assertNoResult(connecting)
        self.answer()
        for connected in (waiting, connecting):
            self.assertIs(self.successResultOf(connected), service.client)

    def test_between_restarts(self) -> None:
        """Between two clients: it fires with the new one, once that is open."""
        service = self.opened(reconnect=STEADY)
        old = self.crash(service)
        self.assertIsNone(service.client)
        connected = service.whenConnected()
        self.clock.advance(10)
        self.assertNoResult(connected)
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)
        self.assertIsNot(service.client, old)

    def test_client_that_ends_while_connecting(self) -> None:
        """A client that ends before it was open does not fail it; the next one fires it."""
        service = self.started(reconnect=STEADY)
        connected = service.whenConnected()
        self.present(service).stop()
        self.step()
        self.assertNoResult(connected)
        self.clock.advance(10)
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_gives_up(self) -> None:
        """When the service gives up it fails with that, and so it does afterwards."""
        service = self.opened(max_restarts=0, reconnect=STEADY)
        self.peer.drop()
        self.step()
        before = service.whenConnected()
        self.present(service).stop()
        self.step()
        self.failureResultOf(before, wsx.MaxRestartsExceeded)
        self.failureResultOf(service.whenConnected(), wsx.MaxRestartsExceeded)

    def test_not_restarted(self) -> None:
        """When the client is not to be restarted it fails with the client's reason."""
        service = self.opened(restart="temporary")
        self.crash(service)
        self.failureResultOf(service.whenConnected(), ValueError)

    def test_stopped(self) -> None:
        """When the service is stopped it fails with ClientEnded, and so it does afterwards."""
        service = self.started()
        before = service.whenConnected()
        service.stopService()
        self.step()
        for connected in (before, service.whenConnected()):
            error = self.failureResultOf(connected, wsx.ClientEnded).value
            self.assertEqual(error.reason, wsx.Shutdown())

    def test_stopped_between_restarts(self) -> None:
        """When the service is stopped while it waits to restart it fails likewise."""
        service = self.opened(reconnect=STEADY)
        self.crash(service)
        connected = service.whenConnected()
        service.stopService()
        self.failureResultOf(connected, wsx.ClientEnded)

    def test_cancelled(self) -> None:
        """Cancelling one harms neither the client nor another."""
        service = self.service()
        cancelled = [service.whenConnected()]
        service.startService()
        cancelled.append(service.whenConnected())
        other = service.whenConnected()
        for connected in cancelled:
            connected.cancel()
            self.failureResultOf(connected, CancelledError)
        self.answer()
        self.assertIs(self.successResultOf(other), service.client)

    def test_cancelled_before_the_end(self) -> None:
        """Nor is a cancelled one told of the end."""
        service = self.started()
        connected = service.whenConnected()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        service.stopService()
        self.assert_down(service)

    def test_cancelled_by_another(self) -> None:
        """One that fires may cancel another that is about to."""
        service = self.started()
        first, second = service.whenConnected(), service.whenConnected()
        first.addCallback(lambda _: second.cancel())
        self.answer()
        self.assertIsNone(self.successResultOf(first))
        self.failureResultOf(second, CancelledError)

    def test_asked_again_inside(self) -> None:
        """One that fires may ask again."""
        service = self.started()
        connected = service.whenConnected().addCallback(lambda _: service.whenConnected())
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)


End = Callable[[ServiceCase, wsx.ClientService], object]
NORMAL: dict[str, End] = {
    "Exit()": lambda test, s: test.present(s).cast(wsx.Exit()),
    "closed by us with 1000": lambda test, s: test.present(s).close(),
    "closed by the peer with 1000": lambda test, s: test.peer.send(close(1000)),
    "client.stop()": lambda test, s: test.present(s).stop(),
}
ABNORMAL: dict[str, End] = {
    "an exception": lambda test, s: test.present(s).cast(ValueError()),
    "Exit(reason)": lambda test, s: test.present(s).cast(wsx.Exit("odd")),
    "closed by us with 4000": lambda test, s: test.present(s).close(4000),
    "closed by the peer with 1011": lambda test, s: test.peer.send(close(1011)),
    "closed by the peer without a code": lambda test, s: test.peer.send(close()),
    "dropped": lambda test, s: test.peer.drop(),
    "a protocol error": lambda test, s: test.peer.send(b"\xff\xff"),
}
ENDS = [
    *((name, end, {"permanent"}) for name, end in NORMAL.items()),
    *((name, end, {"permanent", "transient"}) for name, end in ABNORMAL.items()),
]


class RestartTypeTests(ServiceCase):
    """Which ends are followed by a new client."""

    def restarted(self, restart: str, end: End) -> bool:
        """Return whether a new client comes after that end; check what the service says."""
        service = self.opened(
            Recorder(handle_cast=obey), restart=restart, reconnect=None, max_restarts=1
        )
        client = self.present(service)
        terminated, ended = service.terminated(), client.terminated()
        peer = self.peer
        end(self, service)
        self.step()
        peer.drop()
        self.step()
        self.flushLoggedErrors(ValueError)
        reason = self.successResultOf(ended)
        if service.client is None:
            self.assertEqual(self.successResultOf(terminated), reason)
            self.assert_down(service)
            return False
        self.assertNoResult(terminated)
        self.assertIsNot(service.client, client)
        self.assertEqual(self.server.attempts, 2)
        return True

    @each(("permanent", "transient", "temporary"), ENDS)
    def test_restarts(self, restart: str, name: str, end: End, restarting: set[str]) -> None:
        """[V2] permanent: always; transient: after an abnormal end; temporary: never."""
        found = self.restarted(restart, end)
        self.assertEqual(found, restart in restarting, f"{restart}, {name}")

    def test_default(self) -> None:
        """[V2] the default is permanent."""
        service = self.opened(reconnect=None)
        self.end_client(service, wsx.Exit())
        self.assertIsNotNone(service.client)

    def test_abnormal_made_normal(self) -> None:
        """[V2] an end that ``terminate`` made normal is a normal one."""
        service = self.opened(Follower(terminate=wsx.Exit()), restart="transient")
        self.crash(service)
        self.assertEqual(self.successResultOf(service.terminated()), wsx.LocalClose())

    def test_first_state(self) -> None:
        """[V2] a restarted client begins with the first state, and terminates with its last."""
        recorder = Follower(handle_connect=lambda _, state: wsx.Ok([*state, "connected"]))
        service = self.opened(recorder, state=["first"], reconnect=None)
        self.crash(service)
        self.answer()
        seen = [(name, state) for name, _, state in recorder.calls if name != "handle_cast"]
        self.assertEqual(
            seen,
            [
                ("handle_connect", ["first"]),
                ("terminate", ["first", "connected"]),
                ("handle_connect", ["first"]),
            ],
        )

    def test_instance(self) -> None:
        """[V2] a handler instance serves each client in turn, and knows the present one."""
        recorder = Follower()
        service = self.opened(recorder, reconnect=None)
        old = self.crash(service)
        self.answer()
        self.assertIs(self.present(service).handler, recorder)
        self.assertIs(recorder.client, service.client)
        self.assertIsNot(recorder.client, old)

    def test_name(self) -> None:
        """[V2] a name is free while there is no client, and the new one's afterwards."""
        service = self.opened(name="feed", reconnect=STEADY)
        self.assertIs(wsx.whereis("feed"), service.client)
        self.crash(service)
        self.assertIsNone(wsx.whereis("feed"))
        self.clock.advance(10)
        self.assertIs(wsx.whereis("feed"), self.present(service))
        service.stopService()
        self.step()
        self.assertIsNone(wsx.whereis("feed"))

    def test_log(self) -> None:
        """The log says why a client ended, and what follows."""
        service = self.opened(name="feed", reconnect=STEADY)
        with capturedLogs() as events:
            self.crash(service)
        said = [formatEvent(event) for event in events if "restart" in formatEvent(event)]
        self.assertEqual(len(said), 1, said)
        self.assertIn("feed", said[0])
        self.assertIn("ValueError: crash", said[0])
        self.assertIn("10.0 s", said[0])


class FailedStartTests(ServiceCase):
    """Clients that cannot even be made."""

    def failing(self, fails: Callable[[int], bool]) -> type[Recorder]:
        """Gives a handler class whose n-th construction raises where ``fails(n)``."""
        made = 0

        class Moody(Follower):
            def __init__(self) -> None:
                nonlocal made
                made += 1
                if fails(made):
                    raise OSError("no such thing")
                super().__init__()

        return Moody

    def test_constructor_raises_at_first(self) -> None:
        """[V2] as for a Supervisor's child, a first start that fails is the end."""
        service = self.started(self.failing(lambda n: True), reconnect=None)
        logged = self.flushLoggedErrors(OSError)
        self.assertIsInstance(self.successResultOf(service.terminated()), OSError)
        self.failureResultOf(service.whenConnected(), OSError)
        self.assertEqual(len(logged), 1)
        self.assert_down(service)

    def test_name_taken_at_first(self) -> None:
        """[V2] so is one whose name is taken."""
        other = self.open(Recorder(), name="feed")
        service = self.started(Follower, name="feed", reconnect=None)
        self.flushLoggedErrors(wsx.AlreadyStartedError)
        self.assertIs(wsx.whereis("feed"), other, "the one who had it keeps it")
        error = self.successResultOf(service.terminated())
        self.assertIsInstance(error, wsx.AlreadyStartedError)
        self.assert_down(service)

    def test_never_begun(self) -> None:
        """[C7] a client whose name is taken was never started: it has no ``terminate``."""
        self.open(Recorder(), name="feed")
        recorder = Follower()
        service = self.started(recorder, name="feed")
        self.flushLoggedErrors(wsx.AlreadyStartedError)
        self.step()
        self.assertEqual(recorder.names, [])
        self.assert_down(service)

    def test_connection_fails_at_first(self) -> None:
        """[V2] so is a first connection that fails, where the start waits for that."""
        self.server.refusal = ConnectionRefusedError()
        service = self.started(async_=False, handle_initial_conn_failure=False, reconnect=None)
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.ConnError)
        self.assertEqual(self.server.attempts, 1)
        self.assert_down(service)

    def test_constructor_raises_later(self) -> None:
        """[V3] a restart that fails counts as another restart, and is tried again."""
        service = self.opened(self.failing(lambda n: n in (2, 3)), reconnect=None)
        self.crash(service)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.answer()
        self.assertEqual(self.present(service).status, "open")
        self.crash(service)
        error = self.successResultOf(service.terminated())
        self.assertIsInstance(error, wsx.MaxRestartsExceeded)

    def test_constructor_raises_ever_after(self) -> None:
        """[V3] restarts that fail again and again exceed the intensity."""
        service = self.opened(self.failing(lambda n: n > 1), reconnect=None)
        self.crash(service)
        error = self.successResultOf(service.terminated())
        assert isinstance(error, wsx.MaxRestartsExceeded)
        self.assertIsInstance(error.reason, OSError)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 3)
        self.assert_down(service)

    def test_name_taken_later(self) -> None:
        """[V3] a restart whose name is taken waits like any other, and succeeds once it is free."""
        service = self.opened(name="feed", reconnect=STEADY)
        self.crash(service)
        other = self.open(Recorder(), name="feed")
        self.clock.advance(10)
        self.assertIsNone(service.client)
        self.assertEqual(len(self.flushLoggedErrors(wsx.AlreadyStartedError)), 1)
        other.stop()
        self.peer.drop()
        self.step()
        self.clock.advance(20)
        self.assertEqual(self.flushLoggedErrors(ValueError), [], "the handler is not free")
        self.assertIs(wsx.whereis("feed"), self.present(service))

    def test_instance_that_is_used(self) -> None:
        """[V2] an instance that has a running client elsewhere is a first start that fails."""
        recorder = Follower()
        other = self.open(recorder)
        service = self.started(recorder, restart="temporary")
        self.assertIsInstance(self.successResultOf(service.terminated()), ValueError)
        self.assertIs(recorder.client, other)
        self.flushLoggedErrors(ValueError)


class IntensityTests(ServiceCase):
    """How often it restarts before it gives up."""

    def given_up(self, service: wsx.ClientService) -> wsx.MaxRestartsExceeded:
        """Gives the error with which the service gave up."""
        reason = self.successResultOf(service.terminated())
        assert isinstance(reason, wsx.MaxRestartsExceeded), reason
        return reason

    def test_default(self) -> None:
        """[V3] three restarts in five seconds are tolerated, a fourth is not."""
        service = self.started(reconnect=None)
        terminated = service.terminated()
        self.crash_again_and_again(service, 3)
        self.assertNoResult(terminated)
        self.crash_again_and_again(service, 1)
        reason = self.successResultOf(terminated)
        assert isinstance(reason, wsx.MaxRestartsExceeded)
        self.assertEqual((reason.max_restarts, reason.max_seconds), (3, 5.0))
        self.assertIsInstance(reason.reason, ValueError)
        self.assertEqual(self.server.attempts, 4)
        self.assert_down(service)

    def test_none(self) -> None:
        """[V3] with ``max_restarts=0`` the first end is the last."""
        service = self.started(max_restarts=0, reconnect=None)
        self.crash_again_and_again(service, 1)
        self.assertEqual(self.given_up(service).max_restarts, 0)
        self.assertEqual(self.server.attempts, 1)

    def test_spread(self) -> None:
        """[V3] ends that are further apart never exceed it."""
        service = self.started(max_restarts=1, max_seconds=5.0, reconnect=None)
        for _ in range(10):
            self.answer()
            self.clock.advance(5.25)
            self.crash(service)
        self.assertNoResult(service.terminated())
        self.assertEqual(self.server.attempts, 11)

    def test_window_moves(self) -> None:
        """[V3] the seconds are counted back from each end, and not in fixed periods."""
        service = self.started(max_restarts=2, max_seconds=5.0, reconnect=None)
        for wait in (0, 3, 3, 3):
            self.clock.advance(wait)
            self.crash_again_and_again(service, 1)
        self.assertNoResult(service.terminated())
        self.clock.advance(1)
        self.crash_again_and_again(service, 1)
        self.given_up(service)

    def test_normal_ends_count(self) -> None:
        """[V3] restarts after normal ends count as any other."""
        service = self.started(max_restarts=1, reconnect=None)
        for _ in range(2):
            self.answer()
            self.end_client(service, wsx.Exit())
        self.assertEqual(self.given_up(service).reason, wsx.LocalClose())

    def test_log(self) -> None:
        """Giving up is one error in the log."""
        service = self.started(max_restarts=0, reconnect=None)
        self.answer()
        with capturedLogs() as events:
            self.crash(service)
        said = [formatEvent(e) for e in events if "more than 0 restarts" in formatEvent(e)]
        self.assertEqual(len(said), 1)
        levels = [e["log_level"] for e in events if "more than 0" in formatEvent(e)]
        self.assertEqual(levels, [LogLevel.error])

    def test_waits(self) -> None:
        """[V3] restarts wait for the policy, by their number in the present window."""
        service = self.started(reconnect=STEADY)
        for number, delay in enumerate((10, 20, 40), 1):
            self.crash_again_and_again(service, 1)
            self.clock.advance(delay - 0.25)
            self.assertEqual((service.client, self.server.attempts), (None, number))
            self.clock.advance(0.25)
            self.assertEqual(self.server.attempts, number + 1)

    def test_waits_do_not_count(self) -> None:
        """[V3] the time waited does not count: who crashes at once exceeds it all the same."""
        service = self.started(reconnect=STEADY)
        for delay in (10, 20, 40):
            self.crash_again_and_again(service, 1)
            self.clock.advance(delay)
        self.crash_again_and_again(service, 1)
        self.given_up(service)
        self.assert_down(service)

    def test_time_open_counts(self) -> None:
        """[V3] the time that clients ran does count, and brings the delay back to its first."""
        service = self.started(reconnect=STEADY)
        for number in range(1, 8):
            self.answer()
            self.clock.advance(5.25)
            self.crash(service)
            self.clock.advance(10)
            self.assertEqual(self.server.attempts, number + 1)
        self.assertNoResult(service.terminated())

    def test_policy_that_gives_up(self) -> None:
        """[V3] a policy that gives up makes no restart come sooner than one that waits."""
        policy = wsx.Backoff(initial=10.0, jitter=0.0, max_attempts=1)
        service = self.started(reconnect=policy)
        self.crash_again_and_again(service, 1)
        self.clock.advance(10)
        self.crash_again_and_again(service, 1)
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 2, "it was restarted at once")

    def test_begins_anew(self) -> None:
        """[V3] a service that is stopped and started again has all its restarts again."""
        service = self.started(max_restarts=1, reconnect=None)
        for _ in range(3):
            self.crash_again_and_again(service, 1)
            stopping = service.stopService()
            self.step()
            self.successResultOf(stopping)
            service.startService()
        self.crash_again_and_again(service, 1)
        self.assertNoResult(service.terminated())
        self.crash_again_and_again(service, 1)
        self.given_up(service)


class TerminatedTests(ServiceCase):
    """``terminated`` gives the reason why there will be no client any more."""

    def test_each_its_own(self) -> None:
        """Each call has its own Deferred, before and after."""
        service = self.started()
        first, second = service.terminated(), service.terminated()
        first.addCallback(lambda _: "changed")
        service.stopService()
        self.step()
        self.assertEqual(self.successResultOf(first), "changed")
        self.assertEqual(self.successResultOf(second), wsx.Shutdown())
        self.assertEqual(self.successResultOf(service.terminated()), wsx.Shutdown())

    def test_never_an_errback(self) -> None:
        """An exception comes as a result."""
        service = self.opened(restart="temporary")
        terminated = service.terminated()
        self.crash(service)
        self.assertIsInstance(self.successResultOf(terminated), ValueError)

    def test_not_by_a_restart(self) -> None:
        """It does not fire while there will be another client."""
        service = self.opened(reconnect=STEADY)
        terminated = service.terminated()
        self.crash(service)
        self.clock.advance(10)
        self.answer()
        self.assertNoResult(terminated)

    def test_cancelled(self) -> None:
        """Cancelling one stops nothing, and harms no other."""
        service = self.opened()
        cancelled, other = service.terminated(), service.terminated()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(self.present(service).status, "open")
        service.stopService()
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(other), wsx.Shutdown())

    def test_starts_again_inside(self) -> None:
        """A callback of it may start the service again."""
        service = self.started(max_restarts=0, reconnect=None)
        service.terminated().addCallback(lambda _: service.startService())
        self.crash_again_and_again(service, 1)
        self.answer()
        self.assertEqual(self.present(service).status, "open")
        self.assertNoResult(service.terminated())

    def test_stopped_while_it_crashes(self) -> None:
        """Stopped by its parent it is Shutdown, also when its client was crashing just then."""
        service = self.opened()
        self.present(service).cast(ValueError())
        self.step()
        self.flushLoggedErrors(ValueError)
        service.stopService()
        self.peer.drop()
        self.step()
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.Shutdown)
        self.assert_down(service)


class StopTests(ServiceCase):
    """``stopService`` in each phase: its Deferred fires when all is down."""

    def assert_stopped(self, service: wsx.ClientService, stopping: Deferred[object]) -> None:
        """Everything is down, and stays so."""
        self.successResultOf(stopping)
        self.assert_down(service)
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.Shutdown)

    def test_not_started(self) -> None:
        """[V4] before it was started: at once."""
        service = self.service()
        self.assert_stopped(service, service.stopService())
        self.assertEqual(self.server.attempts, 0)

    def test_connecting(self) -> None:
        """[V4] while TCP is being made: the attempt is given up, and ``terminate`` called."""
        self.server.silent = True
        recorder = Follower()
        service = self.started(recorder)
        stopping = service.stopService()
        self.step()
        self.assert_stopped(service, stopping)
        self.assertEqual(self.server.cancelled, 1)
        self.assertEqual(recorder.calls, [("terminate", wsx.Shutdown(), None)])

    def test_handshake(self) -> None:
        """[V4] during the opening handshake: TCP is ended."""
        service = self.started()
        stopping = service.stopService()
        self.step()
        self.assertTrue(self.peer.transport.aborted or self.peer.transport.disconnecting)
        self.assert_stopped(service, stopping)

    def test_open(self) -> None:
        """[V4] while open: close frame 1001, ``terminate``, no ``handle_disconnect``."""
        recorder = Follower()
        service = self.opened(recorder)
        stopping = service.stopService()
        self.step()
        self.assertEqual(self.peer.received(), [GOING_AWAY])
        self.assertNoResult(stopping)
        self.peer.send(close(1001))
        self.assertNoResult(stopping)
        self.peer.drop()
        self.step()
        self.assert_stopped(service, stopping)
        self.assertEqual(recorder.names, ["handle_connect", "terminate"])

    def test_peer_that_does_not_answer(self) -> None:
        """[V4] a peer that does not answer has ``close_timeout`` seconds."""
        service = self.opened(close_timeout=3.0)
        stopping = service.stopService()
        self.clock.advance(2.75)
        self.assertNoResult(stopping)
        self.clock.advance(0.25)
        self.step()
        self.assert_stopped(service, stopping)
        self.assertTrue(self.peer.transport.aborted)

    def test_closing(self) -> None:
        """[V4] while closing: it waits for the end of that, and nothing comes after."""
        service = self.opened()
        self.present(service).close(4000)
        stopping = service.stopService()
        self.assertEqual(self.peer.received(), [(8, (4000).to_bytes(2, "big"))])
        self.assertNoResult(stopping)
        self.peer.drop()
        self.step()
        self.assert_stopped(service, stopping)

    def test_waiting_to_reconnect(self) -> None:
        """[V4] while the client waits to connect again: at once, with ``terminate``."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Follower()
        service = self.started(recorder)
        self.assertEqual(self.present(service).status, "disconnected")
        stopping = service.stopService()
        self.step()
        self.assert_stopped(service, stopping)
        self.assertEqual(recorder.names, ["handle_disconnect", "terminate"])

    def test_waiting_to_restart(self) -> None:
        """[V4] while there is no client, but would be: at once."""
        service = self.opened(reconnect=STEADY)
        self.crash(service)
        self.assert_stopped(service, service.stopService())
        self.assertEqual(self.server.attempts, 1)

    def test_ended(self) -> None:
        """[V4] after the end: at once, and the reason of the end stays."""
        service = self.started(max_restarts=0, reconnect=None)
        self.crash_again_and_again(service, 1)
        self.successResultOf(service.stopService())
        self.assert_down(service)
        reason = self.successResultOf(service.terminated())
        self.assertIsInstance(reason, wsx.MaxRestartsExceeded)

    def test_waits_for_terminate(self) -> None:
        """[V4] it waits for a ``terminate`` that takes its time."""
        answer: Deferred[None] = Deferred()
        service = self.started(Follower(terminate=lambda *_: answer))
        stopping = service.stopService()
        self.step()
        self.assertNoResult(stopping)
        answer.callback(None)
        self.step()
        self.assert_stopped(service, stopping)

    def test_no_restart_after_it(self) -> None:
        """[V4] a client that crashes while it is stopped is not restarted."""
        service = self.opened(Follower(terminate=ValueError()), reconnect=None)
        stopping = service.stopService()
        self.peer.drop()
        self.step()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.successResultOf(stopping)
        self.assert_down(service)

    def test_twice(self) -> None:
        """[V4] a second stop waits for the same end."""
        service = self.opened()
        stopping = [service.stopService(), service.stopService()]
        self.peer.drop()
        self.step()
        for stopped in stopping:
            self.assert_stopped(service, stopped)
        self.assert_stopped(service, service.stopService())


class StartAgainTests(ServiceCase):
    """A service may be started again."""

    def test_after_stop(self) -> None:
        """It has a new client, the first state, and Deferreds that count anew."""
        recorder = Follower(handle_connect=lambda _, state: wsx.Ok(state + 1))
        service = self.service(recorder, 0)
        for round_ in range(3):
            service.startService()
            self.assertNoResult(service.terminated())
            connected = service.whenConnected()
            self.answer()
            self.assertIs(self.successResultOf(connected), service.client)
            stopping = service.stopService()
            self.peer.drop()
            self.step()
            self.successResultOf(stopping)
            self.assertEqual(self.server.attempts, round_ + 1)
        states = [state for name, _, state in recorder.calls if name == "handle_connect"]
        self.assertEqual(states, [0, 0, 0])

    def test_after_giving_up(self) -> None:
        """So it has after it gave up."""
        service = self.started(max_restarts=0, reconnect=None)
        self.crash_again_and_again(service, 1)
        service.stopService()
        service.startService()
        connected = service.whenConnected()
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_while_waiting_to_restart(self) -> None:
        """Stopped and started while it waited to restart, it has one client."""
        service = self.opened(reconnect=STEADY)
        self.crash(service)
        service.stopService()
        service.startService()
        self.clock.advance(30)
        self.assertEqual(self.server.attempts, 2)

    def assert_one_client_in_the_end(self, **options: Any) -> None:
        """Stops and starts the service in one go: one client is open after it."""
        service = self.opened(reconnect=STEADY, **options)
        first = self.peer
        stopping = service.stopService()
        service.startService()
        self.step()
        first.drop()
        self.step()
        self.clock.advance(0)
        self.flushLoggedErrors(wsx.AlreadyStartedError)
        self.successResultOf(stopping)
        self.assertEqual(self.server.attempts, 2)
        self.answer()
        self.assertEqual(self.present(service).status, "open")

    def test_while_stopping(self) -> None:
        """Started again while it is being stopped, it has one client, and the stop ends."""
        self.assert_one_client_in_the_end(handler=Follower)

    def test_while_stopping_with_a_name(self) -> None:
        """So it has where the client has a name."""
        self.assert_one_client_in_the_end(handler=Follower, name="feed", max_restarts=0)


class ParentTests(ServiceCase):
    """As a child in Twisted's tree of services."""

    def run_through(self, parent: Any) -> None:
        """Starts and stops the parent; the client follows."""
        service = self.service()
        service.setServiceParent(parent)
        self.assertIsNone(service.client)
        root = IService(parent)
        root.privilegedStartService()
        self.assertEqual(self.server.attempts, 0, "it connects with privileges")
        root.startService()
        self.answer()
        self.assertEqual(self.present(service).status, "open")
        stopping = root.stopService()
        self.step()
        self.assertEqual(self.peer.received(), [GOING_AWAY])
        self.assertNoResult(stopping)
        self.peer.drop()
        self.step()
        self.successResultOf(stopping)
        self.assert_down(service)

    def test_multi_service(self) -> None:
        """[V4] a MultiService starts it, stops it, and waits for its end."""
        self.run_through(MultiService())

    def test_application(self) -> None:
        """[V4] so does an Application."""
        self.run_through(Application("test"))

    def test_nested(self) -> None:
        """[V4] so does one further up."""
        root, branch = MultiService(), MultiService()
        branch.setServiceParent(root)
        service = self.service()
        service.setServiceParent(branch)
        root.startService()
        self.answer()
        stopping = root.stopService()
        self.assertNoResult(stopping)
        self.peer.drop()
        self.step()
        self.successResultOf(stopping)

    def test_parent_that_runs(self) -> None:
        """Given to a parent that runs, it starts; taken away, it stops."""
        parent = MultiService()
        parent.startService()
        service = self.service()
        service.setServiceParent(parent)
        self.answer()
        self.assertEqual(self.present(service).status, "open")
        leaving = service.disownServiceParent()
        self.peer.drop()
        self.step()
        self.successResultOf(leaving)
        self.assert_down(service)
        self.assertEqual(list(parent), [])

    def test_stays_when_it_gave_up(self) -> None:
        """A service that gave up stays with its parent, which goes on."""
        parent = MultiService()
        parent.startService()
        service = self.service(max_restarts=0, reconnect=None)
        service.setServiceParent(parent)
        self.crash_again_and_again(service, 1)
        self.assertEqual((list(parent), parent.running), ([service], True))
        self.successResultOf(parent.stopService())

    def test_several(self) -> None:
        """[V4] several services end side by side."""
        parent = MultiService()
        for _ in range(3):
            self.service().setServiceParent(parent)
        parent.startService()
        for peer in self.server.peers:
            peer.answer()
        self.step()
        stopping = parent.stopService()
        for number, peer in enumerate(self.server.peers):
            self.assertEqual(peer.received(), [GOING_AWAY], number)
            self.assertNoResult(stopping)
            peer.drop()
            self.step()
        self.successResultOf(stopping)


class LinkTests(MemoryCase):
    """``start_link``: what it adds to ``start``."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(registry, "_clients", {})
        self.parent = MultiService()
        self.parent.startService()

    def link(self, handler: Any, parent: Any = None, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Starts a linked client."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start_link(parent or self.parent, URL, handler, **options)

    def open_link(self, handler: Any, **options: Any) -> tuple[wsx.Client[Any], Peer]:
        """Starts a linked client and completes its handshake."""
        started = self.link(handler, **options)
        self.peer.answer()
        self.step()
        return self.successResultOf(started), self.peer

    def test_parent_ends(self) -> None:
        """[S9] the parent's end ends each of its clients, and waits for all."""
        clients = [self.open_link(Recorder()) for _ in range(3)]
        stopping = self.parent.stopService()
        for client, peer in clients:
            self.assertEqual(peer.received(), [GOING_AWAY])
            self.assertNoResult(stopping)
            peer.drop()
            self.step()
            self.assertEqual(self.successResultOf(client.terminated()), wsx.Shutdown())
        self.successResultOf(stopping)
        self.assertEqual(list(self.parent), [])

    def test_parent_ends_while_waiting_to_reconnect(self) -> None:
        """[S9] so it does while a client waits to connect again."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=9))
        client, peer = self.open_link(recorder)
        peer.drop()
        self.step()
        stopping = self.parent.stopService()
        self.step()
        self.successResultOf(stopping)
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grandparent_ends(self) -> None:
        """[S9] so does the end of a service further up."""
        root = MultiService()
        self.parent.setServiceParent(root)
        client, peer = self.open_link(Recorder())
        root.stopService()
        peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")

    def test_reconnects(self) -> None:
        """[S9] a client that reconnects stays linked."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=0))
        client, peer = self.open_link(recorder)
        peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        self.assertEqual((client.status, len(list(self.parent))), ("open", 1))
        self.parent.stopService()
        self.assertEqual(self.peer.received(), [GOING_AWAY])

    def test_client_that_crashes(self) -> None:
        """[S9] a client that crashes leaves its parent, which does not crash with it."""
        client, peer = self.open_link(Recorder(handle_cast=ValueError()))
        other, _ = self.open_link(Recorder())
        client.cast("crash")
        self.step()
        peer.drop()
        self.step()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(client.status, "terminated")
        self.assertEqual((len(list(self.parent)), self.parent.running), (1, True))
        self.assertEqual(other.status, "open")

    def test_async(self) -> None:
        """[S9] an asynchronously started client is stopped too, with ``terminate``."""
        recorder = Recorder()
        client = self.successResultOf(self.link(recorder, async_=True))
        self.parent.stopService()
        self.step()
        self.assertEqual(self.successResultOf(client.terminated()), wsx.Shutdown())
        self.assertEqual(recorder.names, ["terminate"])

    def test_parent_that_refuses(self) -> None:
        """[S9] a parent that takes no child fails the Deferred, and no client is left running."""

        class Full(MultiService):
            def addService(self, service: Service) -> None:
                raise RuntimeError("no room")

        self.failureResultOf(self.link(Recorder(), Full(), name="feed"), RuntimeError)
        self.step()
        self.assertIsNone(wsx.whereis("feed"), "a client runs that nobody stops")

    def test_unlinked(self) -> None:
        """[S10] the end of a service is nothing to a client that was not linked to it."""
        client = self.open(Recorder())
        linked, peer = self.open_link(Recorder())
        self.parent.stopService()
        peer.drop()
        self.step()
        self.assertEqual((client.status, linked.status), ("open", "terminated"))

    @each((True, False))
    def test_parent_ends_during_the_first_connect(self, silent: bool) -> None:
        """[V5] the parent's end during the first connect does not call ``terminate``."""
        self.server.silent = silent
        recorder = Recorder()
        started = self.link(recorder)
        stopping = self.parent.stopService()
        self.step()
        self.successResultOf(stopping)
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, wsx.Shutdown())
        self.assertEqual(recorder.names, [], silent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_parent_ends_during_the_first_handle_connect(self) -> None:
        """[V5] nor does it before the first ``handle_connect`` has answered."""
        recorder = Recorder(handle_connect=lambda *_: Deferred())
        started = self.link(recorder)
        self.peer.answer()
        self.step()
        self.assertNoResult(started)
        self.parent.stopService()
        self.step()
        self.peer.drop()
        self.step()
        self.failureResultOf(started, wsx.ClientEnded)
        self.assertEqual(recorder.names, ["handle_connect"])


class GaveUpTests(ServiceCase):
    """A transient client whose own ``reconnect`` policy gave up is not started again."""

    def refused(self, **options: Any) -> wsx.ClientService:
        """A service whose server refuses for good."""
        service = self.started(**options)
        self.peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        self.step()
        self.clock.pump([1.0] * 30)
        return service

    def test_transient(self) -> None:
        """[V2] The refusal ends the service, with its reason."""
        service = self.refused(restart="transient")
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.RequestError)
        self.assertEqual(self.server.attempts, 1)

    def test_permanent(self) -> None:
        """[V2] A permanent client is started again all the same."""
        self.refused(restart="permanent")
        self.assertGreater(self.server.attempts, 1)

    def test_no_policy(self) -> None:
        """[V2] Without a policy there is nobody to give up: an abnormal end is restarted."""
        self.refused(restart="transient", reconnect=None)
        self.assertGreater(self.server.attempts, 1)
