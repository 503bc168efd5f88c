"""Tests of children that end together, and of the restart of a group."""

from __future__ import annotations

import os
import random
import sys
from itertools import pairwise
from typing import Any

from twisted.internet.error import ConnectionRefusedError

import wsx
import wsx.supervisor
from wsx import Supervisor, _supervision
from wsx.test.support.each import each
from wsx.test.support.supervision import PLENTY, STRATEGIES, SupervisorCase, steady


class TogetherTests(SupervisorCase):
    """Several children that crash in one step or during the restart of others."""

    @each(STRATEGIES, ("ab", "ba", "ac", "ca", "bc", "cb", "abc", "cba", "bac"))
    def test_in_one_step(self, strategy: str, ids: str) -> None:
        """Children that crash in one step are all restarted, each once."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.crash(ids)
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.stop(supervisor)

    @each(("one_for_all", "rest_for_one"), ("ab", "ac", "abc", "acb", "abcd", "adcb"))
    def test_in_one_step_is_one_restart_of_the_group(self, strategy: str, ids: str) -> None:
        """[V3] As in OTP, crashes while the group is stopped do not count as further restarts."""
        supervisor = self.supervise(self.children("abcd"), strategy, 1)
        self.crash(ids)
        self.settle()
        self.assertNoResult(supervisor.terminated())
        self.assertEqual(self.up(supervisor), ["a", "b", "c", "d"])
        self.assertEqual(self.events.count("start a"), 2)

    @each(((3, True), (2, False)))
    def test_one_for_one_counts_each(self, allowed: int, is_up: bool) -> None:
        """[V3] With one_for_one, each crash counts as a restart."""
        supervisor = self.supervise(self.children("abc"), "one_for_one", allowed)
        self.crash("abc")
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"] if is_up else [])

    @each(("one_for_all", "rest_for_one"))
    def test_while_the_group_is_stopped(self, strategy: str) -> None:
        """A child that crashes while its group is stopped is restarted with the group."""
        supervisor = self.supervise(self.children("abc", close_timeout=3.0), strategy)
        self.sites["c"].hangs_up = False
        self.crash("a")
        self.settle()  # c is being stopped now, and b is still up.
        self.crash("b")
        self.settle()
        self.assertEqual(self.up(supervisor), [])
        self.sites["c"].hangs_up = True
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.assertEqual(self.events.count("start a"), 2)
        self.stop(supervisor)

    @each(("ab", "ba"))
    def test_longest_backoff(self, ids: str) -> None:
        """A group waits for the longest backoff of the children that crashed."""
        specs = [
            self.child("a", backoff=steady(2.0), async_=True),
            self.child("b", backoff=steady(9.0), async_=True),
        ]
        supervisor = self.supervise(specs, "one_for_all", PLENTY)
        self.sites["a"].hangs_up = self.sites["b"].hangs_up = False
        self.crash(ids)
        self.settle()
        self.advance(1.9)
        self.assertEqual(self.up(supervisor), [])
        self.advance(7.2, steps=9)
        self.assertEqual(self.up(supervisor), ["a", "b"])
        self.stop_hard(supervisor)

    def stop_hard(self, supervisor: Supervisor) -> None:
        """Stop a supervisor whose servers ignored close frames so far."""
        for site in self.sites.values():
            site.hangs_up = True
        self.stop(supervisor)

    def test_before_those_who_wait(self) -> None:
        """With rest_for_one, a crash also restarts the later children that wait for a restart."""
        specs = [
            self.child("a", backoff=steady(2.0)),
            self.child("b", backoff=steady(9.0)),
            self.child("c"),
        ]
        supervisor = self.supervise(specs, "rest_for_one", PLENTY)
        self.crash("b")
        self.settle()
        self.advance(8.0)
        self.assertEqual(self.up(supervisor), ["a"])
        with self.happens("end a"):
            self.crash("a")
            self.settle()
            self.advance(1.9)
        with self.happens("start a", "up a", "start b", "up b", "start c", "up c"):
            self.advance(0.2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_before_those_who_wait_longer(self) -> None:
        """The group waits as long as the child that waits longest, and starts in order."""
        specs = [self.child("a", backoff=steady(2.0)), self.child("b", backoff=steady(9.0))]
        supervisor = self.supervise(specs, "rest_for_one", PLENTY)
        self.crash("b")
        self.settle()
        self.advance(1.0)
        self.crash("a")
        self.settle()
        with self.happens():
            self.advance(7.9, steps=10)
        with self.happens("start a", "up a", "start b", "up b"):
            self.advance(0.2)
        self.stop(supervisor)

    @each(("ab", "ba", "cba", "bac"))
    def test_dependents_wait_for_a_restart_that_fails(self, ids: str) -> None:
        """With rest_for_one, a child is not started before the preceding child is up."""
        specs = self.children("abc", backoff=steady(1.0))
        supervisor = self.supervise(specs, "rest_for_one", PLENTY)
        self.sites["a"].refusal = ConnectionRefusedError()
        del self.events[:]
        self.crash(ids)
        self.settle()
        self.advance(5.5, steps=22)
        self.assertEqual({e for e in self.events if e[:3] != "end"}, {"start a"})
        self.sites["a"].refusal = None
        self.advance(2.0, steps=8)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.flushLoggedErrors()

    @each(("one_for_all", "rest_for_one"))
    def test_while_the_group_is_started(self, strategy: str) -> None:
        """A child that crashes while the rest of its group is started is restarted."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.sites["b"].answers = False
        self.crash("a")
        self.settle()
        self.assertEqual(self.events[-1], "start b")
        self.crash("a")
        self.settle()
        self.sites["b"].answers = True
        self.settle()
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])
        self.assertEqual(self.connections(), {"a": 1, "b": 1, "c": 1})
        self.stop(supervisor)

    @each("abc")
    def test_terminated_while_the_group_waits(self, gone: str) -> None:
        """A child that is terminated while its group waits stays down. The others start on time."""
        specs = self.children("abc", backoff=steady(2.0))
        supervisor = self.supervise(specs, "one_for_all")
        self.crash("a")
        self.settle()
        self.advance(1.0)
        self.successResultOf(supervisor.terminate_child(gone))
        self.advance(1.0)
        self.assertEqual(self.up(supervisor), [id for id in "abc" if id != gone])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(("one_for_all", "rest_for_one"), "abc")
    def test_terminated_while_its_start_fails(self, strategy: str, id: str) -> None:
        """If a child is terminated while its restart fails, the others of its group are started."""
        supervisor = self.supervise(self.children("abc"), strategy, PLENTY)
        self.sites[id].answers = False
        self.crash("a")
        self.settle()
        self.assertEqual(self.events[-1], f"start {id}")
        gone = supervisor.terminate_child(id)
        self.crash(id)
        self.settle()
        self.advance(1.0)
        self.successResultOf(gone)
        self.assertEqual(self.up(supervisor), [other for other in "abc" if other != id])
        self.stop(supervisor)
        self.flushLoggedErrors()

    def test_all_terminated_while_the_group_waits(self) -> None:
        """If all children of a waiting group are terminated, the timer is cancelled."""
        supervisor = self.supervise(self.children("ab", backoff=steady(2.0)), "one_for_all")
        self.crash("a")
        self.settle()
        for id in "ab":
            self.successResultOf(supervisor.terminate_child(id))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_added_while_the_group_waits(self) -> None:
        """A child added while a group waits is started at once and not restarted with the group."""
        supervisor = self.supervise(self.children("ab", backoff=steady(2.0)), "one_for_all")
        self.crash("a")
        self.settle()
        added = supervisor.start_child(self.child("c"))
        self.settle()
        self.successResultOf(added)
        with self.happens("start a", "up a", "start b", "up b"):
            self.advance(2.0)
        self.assertEqual(self.up(supervisor), ["a", "b", "c"])

    def test_two_hundred(self) -> None:
        """If 200 connections are lost at once, all children reconnect, spread over time."""
        rng = random.Random(7)
        backoff = wsx.Backoff(initial=10.0, jitter=0.5, rng=rng)
        specs = [self.child(n, async_=True, backoff=backoff) for n in range(200)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        self.assertEqual(len(self.up(supervisor)), 200)
        del self.events[:]
        for site in self.sites.values():
            site.drop()
        self.settle()
        self.assertEqual(self.up(supervisor), [])
        self.advance(4.9)
        self.assertEqual([e for e in self.events if e.startswith("start")], [])
        counts = []
        for _ in range(11):
            before = len(self.up(supervisor))
            self.advance(1.0)
            counts.append(len(self.up(supervisor)) - before)
        self.assertEqual(sum(counts), 200)
        self.assertLess(max(counts), 50, "they all come at once")
        self.assertEqual(len([e for e in self.events if e.startswith("start")]), 200)
        self.stop(supervisor)

    def test_two_hundred_again_and_again(self) -> None:
        """While a server stays down, its 50 children make fewer and fewer attempts."""
        backoff = wsx.Backoff(initial=1.0, maximum=60.0, rng=random.Random(7))
        specs = [self.child(n, async_=True, backoff=backoff) for n in range(50)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        for site in self.sites.values():
            site.refusal = ConnectionRefusedError()
            site.drop()
        self.settle()
        per_minute = []
        for _ in range(4):
            before = sum(site.attempts for site in self.sites.values())
            self.advance(60.0, steps=60)
            per_minute.append(sum(site.attempts for site in self.sites.values()) - before)
        for earlier, later in pairwise(per_minute):
            self.assertLessEqual(later, earlier, per_minute)
        self.assertLess(per_minute[-1], 120, "with 60 s each, a bit more than one a minute")
        for site in self.sites.values():
            site.refusal = None
        self.advance(61.0, steps=61)
        self.assertEqual(len(self.up(supervisor)), 50)
        self.stop(supervisor)

    @each(("one_for_all", "rest_for_one"))
    def test_many_in_a_group(self, strategy: str) -> None:
        """A large group that crashes as a whole is restarted as a whole."""
        specs = [self.child(n, async_=True, backoff=steady(1.0)) for n in range(400)]
        supervisor = self.supervise(specs, strategy, PLENTY)
        for site in self.sites.values():
            site.drop()
        self.settle()
        self.advance(1.0)
        self.assertEqual(len(self.up(supervisor)), 400)
        self.assertEqual(set(self.connections().values()), {1})

    def test_many_requests(self) -> None:
        """Many requests that wait for a slow one are all served when that one is done."""
        supervisor = self.supervise([])
        spec = self.child("slow")
        self.sites["slow"].answers = False
        supervisor.start_child(spec)
        requests = [supervisor.start_child(self.child(n, async_=True)) for n in range(400)]
        self.sites["slow"].answers = True
        self.settle()
        for request in requests:
            self.successResultOf(request)
        self.assertEqual(len(self.up(supervisor)), 401)

    def test_linear(self) -> None:
        """Restarting four times as many children costs about four times as much."""
        few, many = self.cost(50), self.cost(200)
        self.assertLess(many / few, 6.0)

    def cost(self, number: int) -> int:
        """Return how many lines of code the supervisor runs if this many children crash."""
        specs = [self.child(n, async_=True, backoff=steady(1.0)) for n in range(number)]
        supervisor = self.supervise(specs, max_restarts=PLENTY)
        folder = os.path.dirname(_supervision.__file__)
        lines = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal lines
            file = frame.f_code.co_filename
            if file != wsx.supervisor.__file__ and os.path.dirname(file) != folder:
                return None
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for site in self.sites.values():
                site.drop()
            self.settle()
            self.advance(1.0)
        finally:
            sys.settrace(before)
        self.assertEqual(len(self.up(supervisor)), number)
        self.stop(supervisor)
        self.sites.clear()
        return lines
