"""Tests of wsx.service.ClientService: start, stop, and ``whenConnected``."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

import wsx
from wsx.test.support import URL, Recorder, close
from wsx.test.support.services import GOING_AWAY, STEADY, Follower, ServiceCase


class StartTests(ServiceCase):
    """How a service starts."""

    def test_not_before_it_is_started(self) -> None:
        """Creating a service connects to nothing."""
        service = self.service(name="feed")
        self.step()
        self.assertEqual((service.client, self.server.attempts), (None, 0))
        self.assertIsNone(wsx.whereis("feed"))

    def test_starts(self) -> None:
        """Starting the service starts a client with the given handler and state."""
        recorder = Follower()
        service = self.service(recorder, "state")
        service.startService()
        client = self.present(service)
        self.assertEqual((client.status, client.handler), ("connecting", recorder))
        self.answer()
        self.assertEqual(client.status, "open")
        self.assertEqual([state for _, _, state in recorder.calls], ["state"])

    def test_conn(self) -> None:
        """A Conn is accepted in place of a URL."""
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
        """A service started while the server is down connects once the server is back."""
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
        """The default policy is ``Backoff()``: it waits 0.5 to 1.5 seconds first."""
        self.server.refusal = ConnectionRefusedError()
        self.started()
        self.clock.advance(0.49)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(1.02)
        self.assertEqual(self.server.attempts, 2)

    def test_own_policy(self) -> None:
        """A ``reconnect`` policy replaces the default policy."""
        self.server.refusal = ConnectionRefusedError()
        self.started(reconnect=STEADY)
        self.clock.advance(9.9)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.1)
        self.assertEqual(self.server.attempts, 2)

    def test_initial_failure_told_otherwise(self) -> None:
        """With ``handle_initial_conn_failure=False``, a failed first connection ends the client."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Follower()
        service = self.started(
            recorder, handle_initial_conn_failure=False, restart="temporary", name="feed"
        )
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.ConnError)
        self.assertEqual(recorder.names, ["terminate"])
        self.assertIsNone(wsx.whereis("feed"))

    def test_async_told_otherwise(self) -> None:
        """With ``async_=False``, ``terminate`` is not called if the client was never open."""
        recorder = Follower()
        service = self.started(recorder, async_=False)
        stopped = service.stopService()
        self.step()
        self.successResultOf(stopped)
        self.assertEqual(recorder.names, [])

    def test_reconnects_itself(self) -> None:
        """The client itself reconnects after a loss; the service keeps the same client."""
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
        """A second ``startService`` does not start a second client."""
        service = self.opened()
        client = self.present(service)
        service.startService()
        self.step()
        self.flushLoggedErrors(ValueError)
        self.assertIs(service.client, client)
        self.assertEqual(self.server.attempts, 1)

    def test_is_a_service(self) -> None:
        """A service provides ``IService``, with the ``running`` flag and a name."""
        service = self.service(name="feed")
        self.assertTrue(IService.providedBy(service))
        service.setName("of the service")
        service.startService()
        self.assertTrue(service.running)
        service.stopService()
        self.assertFalse(service.running)


class ArgumentTests(ServiceCase):
    """The constructor refuses wrong arguments."""

    def refused(self, *kinds: type[Exception], **arguments: Any) -> Exception:
        """Return the error, and assert that nothing was started."""
        try:
            self.service(**arguments)
        except kinds as error:
            self.assertEqual(self.server.attempts, 0)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            return error
        raise self.failureException(f"{arguments} is not refused")

    def test_url(self) -> None:
        """A bad URL is refused."""
        for url in ("", "example.test", "ftp://example.test/", "ws://", "ws://a/#b", None):
            self.refused(wsx.URLError, url=url)

    def test_options(self) -> None:
        """Unknown options and bad values are refused."""
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
        """Options of a Conn are refused beside a Conn."""
        error = self.refused(TypeError, url=wsx.Conn(URL))
        self.assertIn("endpoint", str(error))

    def test_handler(self) -> None:
        """A handler that is not a Handler is refused."""
        for handler in (object(), object, "Handler", 5, wsx.Conn(URL), lambda: Recorder()):
            self.refused(TypeError, handler=handler)

    def test_restart(self) -> None:
        """An unknown restart type is refused; the error lists the known ones."""
        for restart in ("", "always", "Permanent", None, True):
            error = self.refused(ValueError, restart=restart)
            self.assertIn('"permanent", "transient" or "temporary"', str(error))

    def test_intensity(self) -> None:
        """An invalid restart intensity is refused."""
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
    """``whenConnected`` returns a Deferred that fires with the open client."""

    def test_before_start(self) -> None:
        """Called before the start, it fires once the client is open."""
        service = self.service()
        connected = service.whenConnected()
        service.startService()
        self.step()
        self.assertNoResult(connected)
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_connecting(self) -> None:
        """Called while connecting, it fires once the client is open.

        Each call has its own Deferred.
        """
        service = self.started()
        first, second = service.whenConnected(), service.whenConnected()
        self.assertIsNot(first, second)
        self.answer()
        client = self.present(service)
        self.assertEqual([self.successResultOf(d) for d in (first, second)], [client, client])

    def test_open(self) -> None:
        """Called on an open client, it fires at once."""
        service = self.opened()
        self.assertIs(self.successResultOf(service.whenConnected()), service.client)

    def test_waits_for_handle_connect(self) -> None:
        """It waits for a pending ``handle_connect``."""
        answer: Deferred[None] = Deferred()
        service = self.opened(Follower(handle_connect=lambda *_: answer))
        connected = service.whenConnected()
        self.assertNoResult(connected)
        answer.callback(None)
        self.step()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_closing(self) -> None:
        """Called while the client closes, it fires with the next connection."""
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
        """Called after a loss, it fires once the client has reconnected."""
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
        """Called between two clients, it fires once the new client is open."""
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
        """If a client ends before it is open, it fires with the next client."""
        service = self.started(reconnect=STEADY)
        connected = service.whenConnected()
        self.present(service).stop()
        self.step()
        self.assertNoResult(connected)
        self.clock.advance(10)
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_gives_up(self) -> None:
        """If the service gives up, it fails with that error, also when it is called later."""
        service = self.opened(max_restarts=0, reconnect=STEADY)
        self.peer.drop()
        self.step()
        before = service.whenConnected()
        self.present(service).stop()
        self.step()
        self.failureResultOf(before, wsx.MaxRestartsExceeded)
        self.failureResultOf(service.whenConnected(), wsx.MaxRestartsExceeded)

    def test_not_restarted(self) -> None:
        """If the client is not restarted, it fails with the client's reason."""
        service = self.opened(restart="temporary")
        self.crash(service)
        self.failureResultOf(service.whenConnected(), ValueError)

    def test_stopped(self) -> None:
        """If the service is stopped, it fails with ClientEnded, also when it is called later."""
        service = self.started()
        before = service.whenConnected()
        service.stopService()
        self.step()
        for connected in (before, service.whenConnected()):
            error = self.failureResultOf(connected, wsx.ClientEnded).value
            self.assertEqual(error.reason, wsx.Shutdown())

    def test_stopped_between_restarts(self) -> None:
        """If the service is stopped while it waits to restart, it fails with ClientEnded."""
        service = self.opened(reconnect=STEADY)
        self.crash(service)
        connected = service.whenConnected()
        service.stopService()
        self.failureResultOf(connected, wsx.ClientEnded)

    def test_cancelled(self) -> None:
        """Cancelling one Deferred affects neither the client nor other Deferreds."""
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
        """A cancelled Deferred is not fired at the end of the service."""
        service = self.started()
        connected = service.whenConnected()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        service.stopService()
        self.assert_down(service)

    def test_cancelled_by_another(self) -> None:
        """A callback can cancel another Deferred that is about to fire."""
        service = self.started()
        first, second = service.whenConnected(), service.whenConnected()
        first.addCallback(lambda _: second.cancel())
        self.answer()
        self.assertIsNone(self.successResultOf(first))
        self.failureResultOf(second, CancelledError)

    def test_asked_again_inside(self) -> None:
        """A callback can call ``whenConnected`` again."""
        service = self.started()
        connected = service.whenConnected().addCallback(lambda _: service.whenConnected())
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)


class TerminatedTests(ServiceCase):
    """``terminated`` returns a Deferred that fires with the reason of the service's end."""

    def test_each_its_own(self) -> None:
        """Each call has its own Deferred, before and after the end."""
        service = self.started()
        first, second = service.terminated(), service.terminated()
        first.addCallback(lambda _: "changed")
        service.stopService()
        self.step()
        self.assertEqual(self.successResultOf(first), "changed")
        self.assertEqual(self.successResultOf(second), wsx.Shutdown())
        self.assertEqual(self.successResultOf(service.terminated()), wsx.Shutdown())

    def test_never_an_errback(self) -> None:
        """An exception is a result, never a failure."""
        service = self.opened(restart="temporary")
        terminated = service.terminated()
        self.crash(service)
        self.assertIsInstance(self.successResultOf(terminated), ValueError)

    def test_not_by_a_restart(self) -> None:
        """It does not fire while another client will be started."""
        service = self.opened(reconnect=STEADY)
        terminated = service.terminated()
        self.crash(service)
        self.clock.advance(10)
        self.answer()
        self.assertNoResult(terminated)

    def test_cancelled(self) -> None:
        """Cancelling one Deferred affects neither the service nor other Deferreds."""
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
        """A callback can start the service again."""
        service = self.started(max_restarts=0, reconnect=None)
        service.terminated().addCallback(lambda _: service.startService())
        self.crash_again_and_again(service, 1)
        self.answer()
        self.assertEqual(self.present(service).status, "open")
        self.assertNoResult(service.terminated())

    def test_stopped_while_it_crashes(self) -> None:
        """The reason is Shutdown if the service is stopped while its client crashes."""
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
    """The Deferred of ``stopService`` fires when everything is down."""

    def assert_stopped(self, service: wsx.ClientService, stopping: Deferred[object]) -> None:
        """Assert that everything is down and stays down."""
        self.successResultOf(stopping)
        self.assert_down(service)
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.Shutdown)

    def test_not_started(self) -> None:
        """[V4] A service that was not started stops at once."""
        service = self.service()
        self.assert_stopped(service, service.stopService())
        self.assertEqual(self.server.attempts, 0)

    def test_connecting(self) -> None:
        """[V4] While TCP is being connected, a stop cancels the attempt and calls ``terminate``."""
        self.server.silent = True
        recorder = Follower()
        service = self.started(recorder)
        stopping = service.stopService()
        self.step()
        self.assert_stopped(service, stopping)
        self.assertEqual(self.server.cancelled, 1)
        self.assertEqual(recorder.calls, [("terminate", wsx.Shutdown(), None)])

    def test_handshake(self) -> None:
        """[V4] During the opening handshake, a stop closes TCP."""
        service = self.started()
        stopping = service.stopService()
        self.step()
        self.assertTrue(self.peer.transport.aborted or self.peer.transport.disconnecting)
        self.assert_stopped(service, stopping)

    def test_open(self) -> None:
        """[V4] On an open client, a stop sends close code 1001 and calls ``terminate`` only."""
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
        """[V4] A server that does not answer the close frame has ``close_timeout`` seconds."""
        service = self.opened(close_timeout=3.0)
        stopping = service.stopService()
        self.clock.advance(2.75)
        self.assertNoResult(stopping)
        self.clock.advance(0.25)
        self.step()
        self.assert_stopped(service, stopping)
        self.assertTrue(self.peer.transport.aborted)

    def test_closing(self) -> None:
        """[V4] While the client closes, a stop waits for the end of the connection."""
        service = self.opened()
        self.present(service).close(4000)
        stopping = service.stopService()
        self.assertEqual(self.peer.received(), [(8, (4000).to_bytes(2, "big"))])
        self.assertNoResult(stopping)
        self.peer.drop()
        self.step()
        self.assert_stopped(service, stopping)

    def test_waiting_to_reconnect(self) -> None:
        """[V4] While the client waits to reconnect, a stop fires at once, after ``terminate``."""
        self.server.refusal = ConnectionRefusedError()
        recorder = Follower()
        service = self.started(recorder)
        self.assertEqual(self.present(service).status, "disconnected")
        stopping = service.stopService()
        self.step()
        self.assert_stopped(service, stopping)
        self.assertEqual(recorder.names, ["handle_disconnect", "terminate"])

    def test_waiting_to_restart(self) -> None:
        """[V4] While the service waits to restart its client, a stop fires at once."""
        service = self.opened(reconnect=STEADY)
        self.crash(service)
        self.assert_stopped(service, service.stopService())
        self.assertEqual(self.server.attempts, 1)

    def test_ended(self) -> None:
        """[V4] After the end, a stop fires at once and does not change the reason."""
        service = self.started(max_restarts=0, reconnect=None)
        self.crash_again_and_again(service, 1)
        self.successResultOf(service.stopService())
        self.assert_down(service)
        reason = self.successResultOf(service.terminated())
        self.assertIsInstance(reason, wsx.MaxRestartsExceeded)

    def test_waits_for_terminate(self) -> None:
        """[V4] A stop waits for an asynchronous ``terminate``."""
        answer: Deferred[None] = Deferred()
        service = self.started(Follower(terminate=lambda *_: answer))
        stopping = service.stopService()
        self.step()
        self.assertNoResult(stopping)
        answer.callback(None)
        self.step()
        self.assert_stopped(service, stopping)

    def test_no_restart_after_it(self) -> None:
        """[V4] A client that crashes during a stop is not restarted."""
        service = self.opened(Follower(terminate=ValueError()), reconnect=None)
        stopping = service.stopService()
        self.peer.drop()
        self.step()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.successResultOf(stopping)
        self.assert_down(service)

    def test_twice(self) -> None:
        """[V4] A second stop waits for the same end."""
        service = self.opened()
        stopping = [service.stopService(), service.stopService()]
        self.peer.drop()
        self.step()
        for stopped in stopping:
            self.assert_stopped(service, stopped)
        self.assert_stopped(service, service.stopService())


class StartAgainTests(ServiceCase):
    """A service can be started again."""

    def test_after_stop(self) -> None:
        """A service started again has a new client, the initial state and new Deferreds."""
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
        """A service can be started again after it gave up."""
        service = self.started(max_restarts=0, reconnect=None)
        self.crash_again_and_again(service, 1)
        service.stopService()
        service.startService()
        connected = service.whenConnected()
        self.answer()
        self.assertIs(self.successResultOf(connected), service.client)

    def test_while_waiting_to_restart(self) -> None:
        """Stopped and started while it waits to restart, a service starts one client only."""
        service = self.opened(reconnect=STEADY)
        self.crash(service)
        service.stopService()
        service.startService()
        self.clock.advance(30)
        self.assertEqual(self.server.attempts, 2)

    def assert_one_client_in_the_end(self, **options: Any) -> None:
        """Stop and start the service in one step, and assert that one client is open in the end."""
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
        """A service that is started while it stops has one client, and the stop completes."""
        self.assert_one_client_in_the_end(handler=Follower)

    def test_while_stopping_with_a_name(self) -> None:
        """A service with a named client can be started while it stops."""
        self.assert_one_client_in_the_end(handler=Follower, name="feed", max_restarts=0)


class ParentTests(ServiceCase):
    """A service as a child in Twisted's tree of services."""

    def run_through(self, parent: Any) -> None:
        """Start and stop the parent, and assert that the client follows."""
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
        """[V4] A MultiService starts the service, stops it, and waits for its end."""
        self.run_through(MultiService())

    def test_application(self) -> None:
        """[V4] An Application starts the service, stops it, and waits for its end."""
        self.run_through(Application("test"))

    def test_nested(self) -> None:
        """[V4] A service further up in the tree starts and stops it, and waits for its end."""
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
        """A service starts when it is added to a running parent, and stops when disowned."""
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
        """[V4] Several services stop at the same time."""
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
