"""Base class and helpers for the tests of the test kit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Backoff, Ok, Reply, Text
from wsx.test.support import collect_garbage
from wsx.testing import Run, run

AGAIN = Backoff(initial=1.0, jitter=0.0)


class Echo(wsx.Handler[Any]):
    """Reply with each message, count them in the state, and send each cast."""

    def handle_frame(self, frame: Any, state: Any) -> Any:
        return Reply(frame, (state or 0) + 1)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return Reply(Text(message), state)


class Listener(wsx.Handler[Any]):
    """Collect everything in the state, a list, and send nothing."""

    def handle_connect(self, conn: Any, state: Any) -> Any:
        return Ok([])

    def handle_frame(self, frame: Any, state: Any) -> Any:
        return Ok([*state, frame])

    handle_ping = handle_pong = handle_frame


class KitCase(SynchronousTestCase):
    """Base class for tests of the kit."""

    def tearDown(self) -> None:
        collect_garbage()

    def failure_of(
        self,
        function: Callable[..., object],
        *arguments: Any,
        kind: type[Exception] = AssertionError,
        **options: Any,
    ) -> str:
        """Return the text of the AssertionError that a function raises."""
        return str(self.assertRaises(kind, function, *arguments, **options))

    def left_over(self, running: Run[Any], body: Callable[[Run[Any]], object]) -> str:
        """Return the text of the AssertionError at the end of a block."""

        def block() -> None:
            with running as entered:
                body(entered)

        return self.failure_of(block)

    def open(self, running: Run[Any]) -> Any:
        """Enter a block whose client is open until the end of the test."""
        entered = running.__enter__()
        self.addCleanup(self._leave, running)
        entered.server.accept()
        return entered

    def _leave(self, running: Run[Any]) -> None:
        running.__exit__(None, None, None)


def run_echo(**options: Any) -> Run[Any]:
    """Return a run of :class:`Echo`, which reconnects after a second."""
    return run(Echo, 0, **({"reconnect": AGAIN} | options))


def run_listener(**options: Any) -> Run[Any]:
    """Return a run of :class:`Listener`, which reconnects after a second."""
    return run(Listener, **({"reconnect": AGAIN} | options))
