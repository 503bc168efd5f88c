"""The service of the console."""

from __future__ import annotations

import signal
from typing import Any

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver
from twisted.python.components import Componentized

from wsx._console.console import Console
from wsx._twistd.runner import Runner
from wsx.supervisor import Supervisor

__all__ = ["ConsoleRunner"]


class ConsoleRunner(Runner):
    """Run the supervisor of the console's client, and restore the terminal at the end.

    Args:
        console: The console.
        supervisor: As for :class:`Runner`.
        reactor: As for :class:`Runner`.
        metrics: As for :class:`Runner`.
        observer: The log observer, or None for twistd's own.

    Attributes:
        ends_on_hangup: Whether SIGHUP ends the console. Default False: twistd ignores it.
    """

    ends_on_hangup = False

    def __init__(
        self,
        console: Console,
        supervisor: Supervisor,
        reactor: Any,
        metrics: str | None,
        observer: ILogObserver | None,
    ) -> None:
        super().__init__(supervisor, reactor, metrics)
        self.observer = observer
        self._console = console

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Tell twistd which log observer to use, as a component of its application."""
        if self.observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.observer)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """Prepare the terminal, and start the client."""
        self._console.begin(self._reactor)
        super().startService()

    def _handle_hangup(self) -> None:
        """Handle SIGHUP; leave it ignored if it is, as by ``nohup``, where it would end wsx."""
        ignored = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        if not (self.ends_on_hangup and ignored):
            super()._handle_hangup()

    def reload(self) -> None:
        """End the console if SIGHUP ends it: its terminal was closed."""
        if self.ends_on_hangup:
            self._stop_by_signal()
        else:
            super().reload()

    def stopService(self) -> Deferred[Any]:
        """Stop the client, then restore the terminal.

        Returns:
            A Deferred that fires when this is done. After a signal it does not wait for a slow
            reader of standard output.
        """
        stopped = maybeDeferred(super().stopService)
        return stopped.addBoth(self._restore)

    def _restore(self, result: Any) -> Deferred[Any]:
        restored = self._console.end(wait=not self._was_signalled)
        return restored.addCallback(lambda _: result)
