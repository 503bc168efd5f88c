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
        """The client logs why it ended, and the service when it is restarted."""
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
