"""A clock that runs one reactor iteration at a time."""

from __future__ import annotations

from twisted.internet.task import Clock

__all__ = ["TurnClock"]


class TurnClock(Clock):
    """A clock on which a call that takes time does not make later calls run in the same iteration.

    ``Clock.advance`` also runs the calls that the calls which are due have added.
    """

    def turn(self) -> None:
        """Run the calls that are due now; calls that they add wait for the next iteration."""
        now = self.seconds()
        for call in list(self.calls):
            if call.active() and call.getTime() <= now:
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
