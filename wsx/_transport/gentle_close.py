"""Close a TCP connection with FIN, and with an abort only if the server delays the close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["GentleClose"]

_TIME_LIMIT: Final = 1.0  # seconds from loseConnection to the abort


class GentleClose:
    """The close of one TCP connection."""

    def __init__(self) -> None:
        self._timer: IDelayedCall | None = None

    def start(self, scheduler: IReactorTime, transport: Any, abort: Callable[[], None]) -> None:
        """Close the transport with FIN, and start the time limit.

        Args:
            scheduler: The scheduler for the time limit.
            transport: The transport.
            abort: Called if the connection still exists after one second.
        """
        self._timer = scheduler.callLater(_TIME_LIMIT, abort)
        transport.loseConnection()

    def connection_lost(self) -> None:
        """Stop the time limit, if it runs, because the connection ended."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
