"""Tests of the restarts of a ClientService: after which ends, how often, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogLevel, capturedLogs, formatEvent

import wsx
from wsx.test.support import Recorder, close
from wsx.test.support.each import each
from wsx.test.support.services import STEADY, Follower, ServiceCase, obey

End = Callable[[ServiceCase, wsx.ClientService], object]
NORMAL: dict[str, End] = {
    "Exit()": lambda test, s: test.present(s).cast(wsx.Exit()),
    "closed by us with 1000": lambda test, s: test.present(s).close(),
    "closed by the peer with 1000": lambda test, s: test.peer.send(close(1000)),
    "closed by the peer without a code": lambda test, s: test.peer.send(close()),
    "client.stop()": lambda test, s: test.present(s).stop(),
}
ABNORMAL: dict[str, End] = {
    "an exception": lambda test, s: test.present(s).cast(ValueError()),
    "Exit(reason)": lambda test, s: test.present(s).cast(wsx.Exit("odd")),
    "closed by us with 4000": lambda test, s: test.present(s).close(4000),
    "closed by the peer with 1011": lambda test, s: test.peer.send(close(1011)),
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
        """Return whether a new client is started after this end, and check ``terminated``."""
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
        """[V2] Permanent: always. Transient: after an abnormal end. Temporary: never."""
        found = self.restarted(restart, end)
        self.assertEqual(found, restart in restarting, f"{restart}, {name}")

    def test_default(self) -> None:
        """[V2] The default restart type is permanent."""
        service = self.opened(reconnect=None)
        self.end_client(service, wsx.Exit())
        self.assertIsNotNone(service.client)

    def test_abnormal_made_normal(self) -> None:
        """[V2] An end that ``terminate`` made normal counts as normal."""
        service = self.opened(Follower(terminate=wsx.Exit()), restart="transient")
        self.crash(service)
        self.assertEqual(self.successResultOf(service.terminated()), wsx.LocalClose())

    def test_first_state(self) -> None:
        """[V2] A restarted client begins with the initial state.

        ``terminate`` gets the last state.
        """
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
        """[V2] A handler instance is used for each client in turn.

        Its ``client`` is the current one.
        """
        recorder = Follower()
        service = self.opened(recorder, reconnect=None)
        old = self.crash(service)
        self.answer()
        self.assertIs(self.present(service).handler, recorder)
        self.assertIs(recorder.client, service.client)
        self.assertIsNot(recorder.client, old)

    def test_name(self) -> None:
        """[V2] The name is free while there is no client, and then belongs to the new client."""
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
        """The client logs why it ended; the service logs the restart."""
        service = self.opened(name="feed", reconnect=STEADY)
        with capturedLogs() as events:
            self.crash(service)
        lines = [formatEvent(event) for event in events]
        restarts = [line for line in lines if "restart" in line]
        self.assertEqual(
            restarts,
            ['supervisor "feed": restarting child "feed" in 10.0 s (restart 1 of 3 within 5 s)'],
        )
        self.assertTrue(any("raised ValueError" in line for line in lines), lines)


class FailedStartTests(ServiceCase):
    """Clients that cannot be created."""

    def failing(self, fails: Callable[[int], bool]) -> type[Recorder]:
        """Return a handler class whose n-th construction raises if ``fails(n)``."""
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
        """[V2] A constructor that raises at the first start ends the service."""
        service = self.started(self.failing(lambda n: True), reconnect=None)
        logged = self.flushLoggedErrors(OSError)
        self.assertIsInstance(self.successResultOf(service.terminated()), OSError)
        self.failureResultOf(service.whenConnected(), OSError)
        self.assertEqual(len(logged), 1)
        self.assert_down(service)

    def test_name_taken_at_first(self) -> None:
        """[V2] A name that is taken at the first start ends the service."""
        other = self.open(Recorder(), name="feed")
        service = self.started(Follower, name="feed", reconnect=None)
        self.flushLoggedErrors(wsx.AlreadyStartedError)
        self.assertIs(wsx.whereis("feed"), other, "the one who had it keeps it")
        error = self.successResultOf(service.terminated())
        self.assertIsInstance(error, wsx.AlreadyStartedError)
        self.assert_down(service)

    def test_never_begun(self) -> None:
        """[C7] ``terminate`` is not called for a client whose name is taken."""
        self.open(Recorder(), name="feed")
        recorder = Follower()
        service = self.started(recorder, name="feed")
        self.flushLoggedErrors(wsx.AlreadyStartedError)
        self.step()
        self.assertEqual(recorder.names, [])
        self.assert_down(service)

    def test_connection_fails_at_first(self) -> None:
        """[V2] A first connection that fails ends the service if ``async_`` is False."""
        self.server.refusal = ConnectionRefusedError()
        service = self.started(async_=False, handle_initial_conn_failure=False, reconnect=None)
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.ConnError)
        self.assertEqual(self.server.attempts, 1)
        self.assert_down(service)

    def test_constructor_raises_later(self) -> None:
        """[V3] A constructor that raises at a restart counts and is tried again."""
        service = self.opened(self.failing(lambda n: n in (2, 3)), reconnect=None)
        self.crash(service)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.answer()
        self.assertEqual(self.present(service).status, "open")
        self.crash(service)
        error = self.successResultOf(service.terminated())
        self.assertIsInstance(error, wsx.MaxRestartsExceeded)

    def test_constructor_raises_ever_after(self) -> None:
        """[V3] A constructor that keeps raising exceeds the restart intensity."""
        service = self.opened(self.failing(lambda n: n > 1), reconnect=None)
        self.crash(service)
        error = self.successResultOf(service.terminated())
        assert isinstance(error, wsx.MaxRestartsExceeded)
        self.assertIsInstance(error.reason, OSError)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 3)
        self.assert_down(service)

    def test_name_taken_later(self) -> None:
        """[V3] A restart whose name is taken is tried again, and succeeds once the name is free."""
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
        """[V2] A handler instance that another client uses makes the first start fail."""
        recorder = Follower()
        other = self.open(recorder)
        service = self.started(recorder, restart="temporary")
        self.assertIsInstance(self.successResultOf(service.terminated()), ValueError)
        self.assertIs(recorder.client, other)
        self.flushLoggedErrors(ValueError)


class IntensityTests(ServiceCase):
    """How often a service restarts before it gives up."""

    def given_up(self, service: wsx.ClientService) -> wsx.MaxRestartsExceeded:
        """Return the error with which the service gave up."""
        reason = self.successResultOf(service.terminated())
        assert isinstance(reason, wsx.MaxRestartsExceeded), reason
        return reason

    def test_default(self) -> None:
        """[V3] Three restarts in five seconds are tolerated, a fourth is not."""
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
        """[V3] With ``max_restarts=0``, the first end is the last."""
        service = self.started(max_restarts=0, reconnect=None)
        self.crash_again_and_again(service, 1)
        self.assertEqual(self.given_up(service).max_restarts, 0)
        self.assertEqual(self.server.attempts, 1)

    def test_spread(self) -> None:
        """[V3] Ends that are further apart than ``max_seconds`` never exceed the intensity."""
        service = self.started(max_restarts=1, max_seconds=5.0, reconnect=None)
        for _ in range(10):
            self.answer()
            self.clock.advance(5.25)
            self.crash(service)
        self.assertNoResult(service.terminated())
        self.assertEqual(self.server.attempts, 11)

    def test_window_moves(self) -> None:
        """[V3] The period is counted back from each end; it is not a fixed interval."""
        service = self.started(max_restarts=2, max_seconds=5.0, reconnect=None)
        for wait in (0, 3, 3, 3):
            self.clock.advance(wait)
            self.crash_again_and_again(service, 1)
        self.assertNoResult(service.terminated())
        self.clock.advance(1)
        self.crash_again_and_again(service, 1)
        self.given_up(service)

    def test_normal_ends_count(self) -> None:
        """[V3] Restarts after normal ends count like any other."""
        service = self.started(max_restarts=1, reconnect=None)
        for _ in range(2):
            self.answer()
            self.end_client(service, wsx.Exit())
        self.assertEqual(self.given_up(service).reason, wsx.LocalClose())

    def test_log(self) -> None:
        """Giving up is logged as one error."""
        service = self.started(max_restarts=0, reconnect=None)
        self.answer()
        with capturedLogs() as events:
            self.crash(service)
        said = [formatEvent(e) for e in events if "more than 0 restarts" in formatEvent(e)]
        self.assertEqual(len(said), 1)
        levels = [e["log_level"] for e in events if "more than 0" in formatEvent(e)]
        self.assertEqual(levels, [LogLevel.error])

    def test_waits(self) -> None:
        """[V3] Restarts wait for the policy's delay, by their number within the period."""
        service = self.started(reconnect=STEADY)
        for number, delay in enumerate((10, 20, 40), 1):
            self.crash_again_and_again(service, 1)
            self.clock.advance(delay - 0.25)
            self.assertEqual((service.client, self.server.attempts), (None, number))
            self.clock.advance(0.25)
            self.assertEqual(self.server.attempts, number + 1)

    def test_waits_do_not_count(self) -> None:
        """[V3] The time waited does not count, so immediate crashes exceed the intensity."""
        service = self.started(reconnect=STEADY)
        for delay in (10, 20, 40):
            self.crash_again_and_again(service, 1)
            self.clock.advance(delay)
        self.crash_again_and_again(service, 1)
        self.given_up(service)
        self.assert_down(service)

    def test_time_open_counts(self) -> None:
        """[V3] The time that clients ran counts, and resets the delay."""
        service = self.started(reconnect=STEADY)
        for number in range(1, 8):
            self.answer()
            self.clock.advance(5.25)
            self.crash(service)
            self.clock.advance(10)
            self.assertEqual(self.server.attempts, number + 1)
        self.assertNoResult(service.terminated())

    def test_policy_that_gives_up(self) -> None:
        """[V3] After its ``max_attempts``, a policy still delays the restarts."""
        policy = wsx.Backoff(initial=10.0, jitter=0.0, max_attempts=1)
        service = self.started(reconnect=policy)
        self.crash_again_and_again(service, 1)
        self.clock.advance(10)
        self.crash_again_and_again(service, 1)
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 2, "it was restarted at once")

    def test_begins_anew(self) -> None:
        """[V3] A service that is stopped and started again counts its restarts from zero."""
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


class GaveUpTests(ServiceCase):
    """A transient client whose own ``reconnect`` policy gave up is not restarted."""

    def refused(self, **options: Any) -> wsx.ClientService:
        """Return a service whose server refuses with a status that is not retried."""
        service = self.started(**options)
        self.peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        self.step()
        self.clock.pump([1.0] * 30)
        return service

    def test_transient(self) -> None:
        """[V2] For a transient client, the refusal is the reason of the service's end."""
        service = self.refused(restart="transient")
        self.assertIsInstance(self.successResultOf(service.terminated()), wsx.RequestError)
        self.assertEqual(self.server.attempts, 1)

    def test_permanent(self) -> None:
        """[V2] A permanent client is restarted."""
        self.refused(restart="permanent")
        self.assertGreater(self.server.attempts, 1)

    def test_no_policy(self) -> None:
        """[V2] Without a policy, nothing gave up: the abnormal end is followed by a restart."""
        self.refused(restart="transient", reconnect=None)
        self.assertGreater(self.server.attempts, 1)
