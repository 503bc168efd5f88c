"""Tests of what a supervisor logs: what it does, and a reason only if nothing else logs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import capturedLogs, formatEvent

import wsx
from wsx import ChildSpec, Supervisor
from wsx.test.support.supervision import SupervisorCase, steady


class LogTests(SupervisorCase):
    """The lines of a supervisor that is called "feeds"."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Note what is logged meanwhile, and what happens in the same step."""
        with capturedLogs() as events:
            yield
            self.settle()
        self.lines += [formatEvent(e) for e in events if e.get("log_namespace") == "wsx"]

    def supervisor_lines(self) -> list[str]:
        """Return the lines of supervisors."""
        return [line for line in self.lines if line.startswith("supervisor ")]

    def assert_told_once(self, reason: str) -> None:
        """The reason is in the lines of the client, and not in those of the supervisor."""
        self.assertTrue(any(reason in line for line in self.lines), self.lines)
        self.assertFalse(any(reason in line for line in self.supervisor_lines()), self.lines)

    def test_restart(self) -> None:
        """A restart is one line, without the reason, which the client has logged."""
        self.supervise([self.child("a", backoff=steady(3.0))], id="feeds")
        with self.logging():
            self.crash("a")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": restarting child "a" in 3.0 s (restart 1 of 3 within 5 s)'],
        )
        self.assert_told_once("without a close frame")

    def test_restarts_of_all_children_count(self) -> None:
        """The number of restarts is that of all children within the period."""
        self.supervise(self.children("ab"), "one_for_one", 9, 10.0, id="feeds")
        for id, seconds in (("a", 0.0), ("b", 8.0), ("a", 4.0)):
            self.advance(seconds)
            with self.logging():
                self.crash(id)
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "feeds": restarting child "a" now (restart 1 of 9 within 10 s)',
                'supervisor "feeds": restarting child "b" now (restart 2 of 9 within 10 s)',
                'supervisor "feeds": restarting child "a" now (restart 2 of 9 within 10 s)',
            ],
        )

    def test_siblings(self) -> None:
        """The line of a restart tells how many siblings are restarted."""
        self.supervise(self.children("abc"), "one_for_all", id="feeds")
        with self.logging():
            self.crash("b")
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "feeds": restarting child "b" and 2 siblings now '
                "(restart 1 of 3 within 5 s)"
            ],
        )

    def test_too_many(self) -> None:
        """Giving up is one line, without the reason."""
        self.supervise(self.children("ab"), max_restarts=0, id="feeds")
        with self.logging():
            self.crash("a")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": more than 0 restarts within 5 s; stopping all children'],
        )
        self.assert_told_once("without a close frame")

    def test_nested(self) -> None:
        """A supervisor that gives up logs that, and the one above only what it does about it."""
        inner = Supervisor(self.children("a"), max_restarts=0, id="inner")
        self.supervise([inner], id="feeds")
        with self.logging():
            self.crash("a")
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "inner": more than 0 restarts within 5 s; stopping all children',
                'supervisor "feeds": restarting child "inner" now (restart 1 of 3 within 5 s)',
            ],
        )

    def test_not_restarted(self) -> None:
        """A temporary child that ends abnormally is not restarted; after a normal end, no line."""
        self.supervise([self.child(id, "temporary") for id in "ab"], id="feeds")
        with self.logging():
            self.crash("a")
            self.end_normally("b")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": not restarting child "a" (its restart type is temporary)'],
        )

    def test_policy_gave_up(self) -> None:
        """A transient child whose policy gave up is not restarted."""
        policy = wsx.Backoff(max_attempts=0)
        self.supervise([self.child("a", "transient", reconnect=policy)], id="feeds")
        with self.logging():
            self.crash("a")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": not restarting child "a" (its reconnect policy gave up)'],
        )

    def test_first_connection_fails(self) -> None:
        """If a client could not connect at the first start, it has logged why."""
        specs = self.children("ab")
        self.sites["b"].refusal = ConnectionRefusedError()
        with self.logging():
            self.supervise(specs, id="feeds")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": child "b" could not be started; stopping all children'],
        )
        self.assert_told_once("refused")

    def test_handle_connect_fails(self) -> None:
        """If a callback of the client fails during the start, there is one traceback."""
        specs = self.children("a")
        self.sites["a"].on_connect = lambda: 1 / 0
        with self.logging():
            self.supervise(specs, id="feeds")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": child "a" could not be started; stopping all children'],
        )

    def test_start_of_nested_fails(self) -> None:
        """If a child of a nested supervisor could not be started, no reason is repeated."""
        inner = Supervisor(self.children("a"), id="inner")
        self.sites["a"].refusal = ConnectionRefusedError()
        with self.logging():
            self.supervise([inner], id="feeds")
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "inner": child "a" could not be started; stopping all children',
                'supervisor "feeds": child "inner" could not be started; stopping all children',
            ],
        )
        self.assert_told_once("refused")

    def test_restart_fails(self) -> None:
        """If a client could not connect at a restart, only the next restart is logged."""
        self.supervise([self.child("a", backoff=steady(1.0))], id="feeds")
        self.sites["a"].refusal = ConnectionRefusedError()
        with self.logging():
            self.crash("a")
            self.settle()
            self.advance(1.0)
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "feeds": restarting child "a" in 1.0 s (restart 1 of 3 within 5 s)',
                'supervisor "feeds": restarting child "a" in 1.0 s (restart 2 of 3 within 5 s)',
            ],
        )
        self.assert_told_once("refused")

    def start_again(self, error: Exception) -> None:
        """Supervise a child whose first start succeeds and whose second start fails."""
        first = self.child("a").start
        starts: list[Any] = [first, lambda _: fail(error), first]
        spec = ChildSpec("a", lambda parent: starts.pop(0)(parent), reactor=self.clock)
        self.supervise([spec], id="feeds")
        with self.logging():
            self.crash("a")

    def test_restart_fails_without_a_client(self) -> None:
        """If there was no client, the line of the supervisor has the reason, with a traceback."""
        self.start_again(OSError("no such file"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "feeds": restarting child "a" now (restart 1 of 3 within 5 s)',
                'supervisor "feeds": child "a" could not be started: OSError: no such file',
                'supervisor "feeds": restarting child "a" now (restart 2 of 3 within 5 s)',
            ],
        )

    def test_first_start_fails_without_a_client(self) -> None:
        """At the first start too, and the line tells what follows."""
        spec = ChildSpec("b", lambda _: fail(OSError("no such file")))
        with self.logging():
            self.supervise([self.child("a"), spec], id="feeds")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "feeds": child "b" could not be started: OSError: no such file; '
                "stopping all children"
            ],
        )
