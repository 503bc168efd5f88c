"""Tests of the restart intensity of a supervisor, and of ``configure``."""

from __future__ import annotations

import wsx
import wsx.supervisor
from wsx import MaxRestartsExceeded
from wsx.option_types import Strategy
from wsx.test.support import URL, case
from wsx.test.support.each import each
from wsx.test.support.supervision import PLENTY, STRATEGIES, SupervisorCase, steady


class IntensityTests(SupervisorCase):
    """More than ``max_restarts`` restarts in ``max_seconds``: the supervisor gives up."""

    @each(STRATEGIES)
    def test_each_strategy(self, strategy: str) -> None:
        """[V3] One restart too many stops all children in reverse order and ends the supervisor."""
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
        assert isinstance(reason, MaxRestartsExceeded), reason
        self.assertEqual((reason.max_restarts, reason.max_seconds), (2, 10.0))
        self.assertIsInstance(reason.reason, wsx.ConnectionDropped)
        self.failureResultOf(supervisor.when_up(), MaxRestartsExceeded)
        self.assert_all_down(supervisor)

    def test_default(self) -> None:
        """[V3] Three restarts in five seconds are tolerated, four are not."""
        supervisor = self.supervise(self.children("a"))
        for _ in range(3):
            self.crash("a")
            self.settle()
        self.assertEqual(self.up(supervisor), ["a"])
        self.crash("a")
        self.settle()
        reason = self.successResultOf(supervisor.terminated())
        assert isinstance(reason, MaxRestartsExceeded), reason
        self.assertEqual((reason.max_restarts, reason.max_seconds), (3, 5.0))

    def test_several_children(self) -> None:
        """[V3] The restarts of all children count together."""
        supervisor = self.supervise(self.children("abcd"))
        for id in "abc":
            self.crash(id)
            self.settle()
        self.assertNoResult(supervisor.terminated())
        self.crash("d")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)

    def test_window(self) -> None:
        """[V3] Restarts that are longer ago than ``max_seconds`` do not count."""
        supervisor = self.supervise(self.children("ab"), max_restarts=2, max_seconds=5.0)
        for id in "abababab":
            self.crash(id)
            self.advance(2.6)
        self.assertEqual(self.up(supervisor), ["a", "b"])

    def test_none_tolerated(self) -> None:
        """[V3] With ``max_restarts=0``, the first crash ends the supervisor."""
        supervisor = self.supervise(self.children("a"), max_restarts=0)
        self.crash("a")
        self.settle()
        self.assertIsInstance(self.successResultOf(supervisor.terminated()), MaxRestartsExceeded)

    def test_what_does_not_count(self) -> None:
        """[V3] Ends without a restart do not count, nor do restarts by request."""
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
        """[V3] The time spent waiting for a backoff does not count towards ``max_seconds``."""
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
        """[V3] A child that runs long enough between crashes is always restarted."""
        spec = self.child("a", backoff=steady(100.0))
        supervisor = self.supervise([spec], max_restarts=1, max_seconds=5.0)
        for _ in range(5):
            self.crash("a")
            self.settle()
            self.advance(100.0)
            self.advance(5.1)
        self.assertEqual(self.up(supervisor), ["a"])

    def test_wait_that_was_cut_short(self) -> None:
        """[V3] If a request ends a wait, only the time that was really waited is left out."""
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
        """[V3] Each restart within the period waits longer.

        After a quiet time the delay is reset.
        """
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
        """[V3] Past its ``max_attempts``, a Backoff counts as its maximum.

        ``max_restarts`` decides.
        """
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
        """``configure`` changes strategy and intensity while running, and resets the count."""
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
        assert isinstance(reason, MaxRestartsExceeded), reason
        self.assertEqual(reason.max_restarts, 2)

    def test_configure_refuses(self) -> None:
        """``configure`` refuses what the constructor refuses, and then changes nothing."""
        supervisor = self.supervise(self.children("ab"))
        for arguments in (("all", 1, 1.0), ("one_for_all", -1, 1.0), ("one_for_all", 1, 0.0)):
            with case(arguments):
                self.assertRaises(ValueError, supervisor.configure, *arguments)
        with self.happens("end b", "start b", "up b"):
            self.crash("b")

    @each(STRATEGIES)
    def test_configure_while_a_child_waits(self, strategy: Strategy) -> None:
        """A restart that waits for its backoff is still made after ``configure``."""
        supervisor = self.supervise(self.children("ab", backoff=steady(2.0)))
        self.crash("a")
        self.settle()
        supervisor.configure(strategy, 1, 1.0)
        self.advance(2.0)
        self.assertEqual(self.up(supervisor), ["a", "b"])

    def test_begins_anew(self) -> None:
        """[V3] After giving up, ``startService`` starts the children again and resets the count."""
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
        """Children keep their names over restarts. The names are free after the end."""
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
        """[V3] A restart whose name is taken fails, counts, and is tried again."""
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
        """[V3] A restart whose handler's constructor raises fails, counts, and is tried again."""
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
