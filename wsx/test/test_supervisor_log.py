"""Tests of the log lines of a supervisor. A reason is logged only if nothing else logs it."""

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
    """The log lines of a supervisor named "feeds"."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Record what is logged in the context and in the rest of the step."""
        with capturedLogs() as events:
            yield
            self.settle()
        self.lines += [formatEvent(e) for e in events if e.get("log_namespace") == "wsx"]

    def supervisor_lines(self) -> list[str]:
        """Return the lines of supervisors."""
        return [line for line in self.lines if line.startswith("supervisor ")]

    def assert_told_once(self, reason: str) -> None:
        """Assert that the reason is in the client's lines and not in those of the supervisor."""
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
        """The number in the line counts the restarts of all children within the period."""
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
        """The line of a restart has the number of siblings that are restarted."""
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
            [
                'supervisor "feeds": more than 0 restarts within 5 s, not counting delays; '
                "stopping all children"
            ],
        )
        self.assert_told_once("without a close frame")

    def test_nested(self) -> None:
        """A nested supervisor logs that it gives up; the outer one logs only what it does then."""
        inner = Supervisor(self.children("a"), max_restarts=0, id="inner")
        self.supervise([inner], id="feeds")
        with self.logging():
            self.crash("a")
        self.assertEqual(
            self.supervisor_lines(),
            [
                'supervisor "inner": more than 0 restarts within 5 s, not counting delays; '
                "stopping all children",
                'supervisor "feeds": restarting child "inner" now (restart 1 of 3 within 5 s)',
            ],
        )

    def test_not_restarted(self) -> None:
        """One line says that a temporary child is not restarted, but not after a normal end."""
        self.supervise([self.child(id, "temporary") for id in "ab"], id="feeds")
        with self.logging():
            self.crash("a")
            self.end_normally("b")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": not restarting child "a" (its restart type is temporary)'],
        )

    def test_policy_gave_up(self) -> None:
        """One line says that a transient child whose policy gave up is not restarted."""
        policy = wsx.Backoff(max_attempts=0)
        self.supervise([self.child("a", "transient", reconnect=policy)], id="feeds")
        with self.logging():
            self.crash("a")
        self.assertEqual(
            self.supervisor_lines(),
            ['supervisor "feeds": not restarting child "a" (its reconnect policy gave up)'],
        )

    def test_first_connection_fails(self) -> None:
        """If a client cannot connect at the first start, only the client logs the reason."""
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
        """If a callback fails during the start, there is one traceback."""
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
        """If a nested supervisor fails to start, the reason is not logged again."""
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
        """If a client cannot connect at a restart, only the next restart is logged."""
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
        """If a restart fails without a client, the supervisor logs the reason with a traceback."""
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
        """If the first start fails without a client, the line says what follows."""
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
