"""Tests of the strategies: which children are restarted after an end, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.error import ConnectionRefusedError

import wsx
import wsx.supervisor
from wsx import MaxRestartsExceeded, Shutdown
from wsx.test.support import URL, close
from wsx.test.support.each import each
from wsx.test.support.supervision import PLENTY, RESTARTS, STRATEGIES, Site, SupervisorCase, steady


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
        """[V2] Each strategy, ``restart`` and kind of end restarts the right children."""
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
        """[V2] The strategies when the first or the last child crashes."""
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
            (lambda client, site: site.peer.send(close()), False),
            (lambda client, site: site.drop(), True),
        ]
    )
    def test_kinds_of_end(self, end: Callable[[Any, Site], object], restarted: bool) -> None:
        """[V2] A transient child is restarted after each abnormal end and after no normal end."""
        supervisor = self.supervise([self.child("a", "transient")])
        end(self.client(supervisor, "a"), self.sites["a"])
        self.settle()
        self.assertEqual(self.sites["a"].attempts, 2 if restarted else 1)
        self.assertEqual(self.up(supervisor), ["a"] if restarted else [])
        self.assertEqual(self.listed(supervisor), ["a"])
        self.flushLoggedErrors(ValueError)

    def test_fresh_client(self) -> None:
        """A restarted child is a new client, with a new handler and the initial state."""
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
        """[V2] A transient client whose policy gave up is not restarted, a permanent one is."""
        policy = wsx.Backoff(initial=1.0, jitter=0.0, max_attempts=2)
        supervisor = self.supervise([self.child("a", restart, reconnect=policy)])
        self.sites["a"].refusal = ConnectionRefusedError()
        self.crash("a")
        self.settle()
        self.clock.pump([0.5] * 9)
        self.assertEqual(self.sites["a"].attempts, attempts)
        self.assertEqual(self.listed(supervisor), ["a"])
        self.flushLoggedErrors()

    def test_policy_that_is_not_asked(self) -> None:
        """[V2] A transient client that ends itself abnormally is restarted, whatever its policy."""
        own = self.options("a", reconnect=wsx.Backoff())

        class Ending(self.handler("a")):  # type: ignore[misc]
            def handle_disconnect(self, status: Any, state: Any) -> Any:
                return wsx.Ok(state)

        self.supervise([Ending.child_spec(URL, restart="transient", **own)])
        self.sites["a"].peer.send(close(1008, "bye"))
        self.sites["a"].peer.drop()
        self.settle()
        self.advance(120.0)
        self.assertEqual(self.sites["a"].attempts, 2)

    def test_crash_after_a_policy_gave_up(self) -> None:
        """[V2] A transient client that crashes after its policy gave up is restarted."""
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
        # The policy returns no delay for a restart; the supervisor uses its maximum.
        self.advance(60.0)
        self.assertIsNot(self.client(supervisor, Stubborn.__qualname__), None)

    @each(("one_for_all", "rest_for_one"))
    def test_ended_children_return_with_a_group(self, strategy: str) -> None:
        """[V2] As in OTP, restarting a group also starts its children that had ended."""
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
        """[V2] As in OTP, temporary siblings are removed when their group is restarted."""
        specs = [self.child("a"), self.child("b", "temporary"), self.child("c")]
        supervisor = self.supervise(specs, strategy)
        with self.happens("end a", "end c", "end b", "start a", "up a", "start c", "up c"):
            self.crash("a")
        self.assertEqual(self.listed(supervisor), ["a", "c"])

    def test_temporary_before_it_stays(self) -> None:
        """[V2] With rest_for_one, temporary children before the crashed child are not affected."""
        specs = [self.child("a", "temporary"), self.child("b"), self.child("c")]
        supervisor = self.supervise(specs, "rest_for_one")
        a = self.client(supervisor, "a")
        self.crash("b")
        self.settle()
        self.assertIs(self.client(supervisor, "a"), a)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    @each(STRATEGIES)
    def test_failing_restart(self, strategy: str) -> None:
        """[V3] A restart that fails counts as another restart and is tried again, by strategy."""
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
        assert isinstance(reason, MaxRestartsExceeded), reason
        self.assertIsInstance(reason.reason, wsx.ConnError)
        self.assert_all_down(supervisor)
        self.flushLoggedErrors()

    @each(STRATEGIES)
    def test_failing_restart_that_succeeds_later(self, strategy: str) -> None:
        """[V3] Once a restart succeeds after failures, all children are up again."""
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
        """[V3] With rest_for_one, the group restarts from the child that could not be started."""
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

    def test_slow_restart_delays_no_other(self) -> None:
        """With one_for_one, a slow restart does not delay the restarts of other children."""
        supervisor = self.supervise(self.children("ab"))
        self.sites["a"].silent = True
        self.crash("ab")
        self.settle()
        self.assertEqual(self.up(supervisor), ["b"])
        self.assertEqual(self.sites["a"].attempts, 2)

    @each(STRATEGIES)
    def test_crash_while_later_ones_start(self, strategy: str) -> None:
        """A child that crashes while later children start for the first time is restarted."""
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
        """Children that were added later are restarted with their group, in the order of adding."""
        supervisor = self.supervise(self.children("a"), "one_for_all")
        for id in "bc":
            supervisor.start_child(self.child(id))
            self.settle()
        with self.happens(*self.WITH_SIBLINGS["one_for_all"]):
            self.crash("b")

    def test_temporary_sibling_that_ends_meanwhile(self) -> None:
        """A temporary child that ends while its group is stopped is removed at once."""
        specs = [self.child("a", "temporary"), *self.children("bc")]
        supervisor = self.supervise(specs, "one_for_all")
        self.sites["c"].hangs_up = False
        self.crash("b")
        self.settle()
        self.end_normally("a")
        self.settle()
        self.assertEqual(self.listed(supervisor), ["b", "c"])
        with self.happens("end c", "start b", "up b", "start c", "up c"):
            self.sites["c"].drop()
