"""Tests of wsx._console.runner: the service of the console."""

from __future__ import annotations

import signal
from typing import Any

from twisted.application.service import Application, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver

from wsx import Supervisor
from wsx._console.console import Console
from wsx._console.runner import ConsoleRunner
from wsx.test.support.console import FakeFrontend
from wsx.test.support.twistd import RunCase


class SlowFrontend(FakeFrontend):
    """A front end whose end takes some time."""

    def __init__(self) -> None:
        super().__init__()
        self.ending: Deferred[None] = Deferred()

    def end(self, wait: bool) -> Deferred[None]:
        super().end(wait)
        return self.ending


class RunnerTests(RunCase):
    """The terminal around the client."""

    def runner(self, frontend: FakeFrontend, observer: Any = None) -> ConsoleRunner:
        """Return a service that runs no clients."""
        supervisor = Supervisor([])
        return ConsoleRunner(Console(frontend), supervisor, self.reactor, None, observer)

    def test_begin(self) -> None:
        """The terminal is prepared when the service starts."""
        frontend = FakeFrontend()
        service = self.runner(frontend)
        self.assertEqual(frontend.begun, 0)
        service.startService()
        self.assertEqual(frontend.begun, 1)
        self.successResultOf(service.stopService())

    def test_end(self) -> None:
        """The service has stopped when the terminal is restored."""
        frontend = SlowFrontend()
        service = self.runner(frontend)
        service.startService()
        self.reactor.run()
        stopped = service.stopService()
        self.assertEqual(frontend.ended, [True])
        self.assertNoResult(stopped)
        frontend.ending.callback(None)
        self.successResultOf(stopped)

    def test_signal(self) -> None:
        """After a signal, a slow reader of the output is not waited for."""
        frontend = FakeFrontend()
        service = self.runner(frontend)
        service.startService()
        self.reactor.run()
        for handler in self.signals.values():
            handler()
        self.step()
        self.successResultOf(service.stopService())
        self.assertEqual((self.reactor.stops, frontend.ended), (1, [False]))

    def test_hangup(self) -> None:
        """SIGHUP ends the console, because its terminal was closed."""
        frontend = FakeFrontend()
        service = self.runner(frontend)
        service.ends_on_hangup = True
        service.startService()
        self.reactor.run()
        service.reload()
        self.successResultOf(service.stopService())
        self.assertEqual((self.reactor.stops, frontend.ended), (1, [False]))

    def test_hangup_of_twistd(self) -> None:
        """Under twistd, SIGHUP is ignored."""
        service = self.runner(FakeFrontend())
        service.startService()
        self.reactor.run()
        service.reload()
        self.assertEqual(self.reactor.stops, 0)
        self.successResultOf(service.stopService())

    def test_ignored_hangup(self) -> None:
        """A SIGHUP that is ignored, as by ``nohup``, stays ignored."""
        self.patch(signal, "getsignal", lambda _: signal.SIG_IGN)
        service = self.runner(FakeFrontend())
        service.ends_on_hangup = True
        service.startService()
        self.assertNotIn(signal.SIGHUP, self.signals)
        self.successResultOf(service.stopService())

    def test_observer(self) -> None:
        """twistd finds the log observer as a component of its application."""
        observer = object()
        application = Application("wsx")
        self.runner(FakeFrontend(), observer).setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), observer)

    def test_no_observer(self) -> None:
        """Without one, twistd chooses its own."""
        application = Application("wsx")
        self.runner(FakeFrontend()).setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver))

    def test_other_parent(self) -> None:
        """The service can be part of any other service."""
        parent = MultiService()
        service = self.runner(FakeFrontend(), object())
        service.setServiceParent(parent)
        self.assertEqual(list(parent), [service])
