"""Tests of logged errors and of the description of timers."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.task import Clock, LoopingCall
from twisted.logger import Logger
from twisted.python import log

from wsx.test.support.kit import KitCase
from wsx.testing.leftovers import LoggedErrors, describe_timer


class LoggedErrorsTests(KitCase):
    """The collector of logged errors."""

    def setUp(self) -> None:
        self.logged = LoggedErrors()
        self.addCleanup(self.logged.stop)

    def test_levels(self) -> None:
        """Errors and critical events count; warnings do not."""
        logger = Logger("app")
        for level in ("debug", "info", "warn", "error", "critical"):
            getattr(logger, level)("as {name}", name=level)
        self.assertEqual([str(one) for one in self.logged.errors], ["as error", "as critical"])

    def test_failures(self) -> None:
        """A failure has its exception and its traceback, whichever interface logs it."""
        try:
            raise KeyError("price")
        except KeyError:
            Logger("app").failure("not stored: {what}", what="x")
            log.err(None, "why")
            log.err()
        texts = [one.text for one in self.logged.errors]
        self.assertEqual(texts, ["not stored: x", "why", "Unhandled Error"])
        for one in self.logged.errors:
            self.assertIsInstance(one.error, KeyError)
            self.assertIn("KeyError: 'price'", one.traceback)
            self.assertIn("raise KeyError", str(one))
        self.assertEqual(len(self.logged.flush((KeyError,))), 3)

    def test_unhandled(self) -> None:
        """The two events of an unhandled error in a Deferred are one error."""
        fail(KeyError("price"))
        fail(ValueError("other"))
        self.logged.collect_garbage()
        self.assertEqual(
            [one.text for one in self.logged.errors], 2 * ["Unhandled error in Deferred:"]
        )
        self.assertEqual(len(self.logged.flush((KeyError,))), 1)
        [error] = self.logged.flush((ValueError,))
        self.assertIn("ValueError: other", str(error))
        self.assertEqual(self.logged.errors, [])

    def test_stop(self) -> None:
        """After ``stop``, nothing is collected."""
        self.logged.stop()
        Logger("app").error("late")
        self.assertEqual(self.logged.errors, [])
        self.logged = LoggedErrors()

    def test_flush(self) -> None:
        """Errors are flushed by class, here and in trial."""
        log.err(KeyError("a"))
        log.err(ValueError("b"))
        Logger("app").error("c")
        self.assertEqual(len(self.logged.flush((LookupError,))), 1)
        self.assertEqual(len(self.logged.errors), 2)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual([one.text for one in self.logged.flush(())], ["Unhandled Error", "c"])


class TimerTests(KitCase):
    """The description of a timer."""

    def poll(self, number: int = 0) -> None:
        """Do what a timer of a handler does."""

    def test_descriptions(self) -> None:
        """The function of the user is named, whatever it is wrapped in."""
        clock = Clock()
        rows: list[tuple[Any, tuple[Any, ...], str]] = [
            (self.poll, (1, "x"), "TimerTests.poll(1, 'x')"),
            (partial(self.poll, 1), (2,), "TimerTests.poll(1, 2)"),
            (partial(partial(self.poll, 1), 2), (), "TimerTests.poll(1, 2)"),
            (LoopingCall(self.poll), (), "LoopingCall(TimerTests.poll)()"),
            (print, ("y" * 500,), "print('yyy"),
        ]
        for function, arguments, expected in rows:
            call = clock.callLater(2.5, function, *arguments)
            text = describe_timer(call, clock.seconds())  # type: ignore[arg-type]
            self.assertTrue(text.startswith(f"in 2.5 s: {expected}"), text)
            self.assertLess(len(text), 200)

    def test_callable_object(self) -> None:
        """An object without a name is shown by its repr, even if that fails."""

        class Odd:
            def __call__(self) -> None:
                pass

            def __repr__(self) -> str:
                raise ValueError

        clock = Clock()
        call = clock.callLater(1, Odd())
        self.assertIn("Odd", describe_timer(call, 0.0))  # type: ignore[arg-type]
