"""Scripts: what a server does on a connection, step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from inspect import isgenerator
from typing import TYPE_CHECKING, Any, TypeAlias

from wsx._text import safely
from wsx.testing.clock import MemoryReactor
from wsx.testing.diff import show
from wsx.testing.session import Session

if TYPE_CHECKING:
    from wsx.testing.server import ServerConnection

__all__ = ["RunningScript", "Script"]

Script: TypeAlias = Callable[["ServerConnection"], object] | Exception


class RunningScript:
    """A script on one connection.

    A script is a function of the connection. If it is a generator function, it may yield what it
    waits for: a frame or a list of frames that the client must send, or a number of seconds. The
    value of ``yield`` is the frame, or the list of frames.

    Args:
        script: The script.
        session: The connection.
        reactor: The reactor.

    Attributes:
        session: The connection.
    """

    def __init__(
        self, script: Callable[[Any], object], session: Session, reactor: MemoryReactor
    ) -> None:
        self._script = script
        self.session = session
        self._reactor = reactor
        self._generator: Generator[object, Any, object] | None = None
        self._expected: list[object] = []
        self._is_single = False
        self._delay: float | None = None

    def start(self, connection: ServerConnection) -> None:
        """Run the script up to its first wait."""
        result = self._script(connection)
        if isgenerator(result):
            self._generator = result
            self.session.arrived = self._frame_arrived
            self._continue(None)

    @property
    def left_over(self) -> str | None:
        """What the script waits for, or None if it is complete."""
        if self._generator is None:
            return None
        awaited = ", ".join(map(show, self._expected)) or f"{self._delay:g} s to pass"
        name = getattr(self._script, "__qualname__", safely(repr, self._script))
        return f"{self.session.name}: the script {name} is still waiting for {awaited}"

    def stop(self) -> None:
        """Do not continue the script: the test is over."""
        if self._generator is not None:
            self._generator.close()
            self._generator = None

    def _continue(self, value: object) -> None:
        """Run the script up to its next wait."""
        if self._generator is None:
            return
        self._expected, self._delay = [], None
        try:
            awaited = self._generator.send(value)
        except StopIteration:
            self._generator = None
        except BaseException:
            self._generator = None
            raise
        else:
            self._wait_for(awaited)

    def _wait_for(self, awaited: object) -> None:
        if isinstance(awaited, (int, float)):
            self._delay = float(awaited)
            self._reactor.later(self._delay, self._continue, None)
            return
        several = isinstance(awaited, Sequence)
        self._is_single = not several
        self._expected = list(awaited) if isinstance(awaited, Sequence) else [awaited]
        # Not now, because the script may be in a frame of the generator that has yielded.
        self._reactor.later(0, self._frame_arrived)

    def _frame_arrived(self) -> None:
        """Continue if all frames have arrived; fail if they are others."""
        inbox, expected = self.session.inbox, self._expected
        if not expected or self._generator is None:
            return
        waiting = inbox.waiting[: len(expected)]
        if len(waiting) == len(expected) or not inbox.fits(expected):
            try:
                inbox.expect(expected)
            except AssertionError:
                self.stop()
                raise
            self._continue(waiting[0] if self._is_single else waiting)
