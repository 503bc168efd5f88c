"""The services of twistd runs: they run a supervisor, and stop twistd when that has ended."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._text import describe
from wsx._twistd import config
from wsx._twistd.config import ConfigError, Tree
from wsx._twistd.demo import DemoServer
from wsx.errors import ChildError
from wsx.reasons import is_normal
from wsx.supervisor import Supervisor

__all__ = ["ConfigRunner", "DemoRunner", "Runner"]

_log = Logger("wsx")


class Runner(MultiService):
    """Runs a supervisor, and stops twistd when that has ended.

    Args:
        supervisor: of the clients.
        reactor: to be stopped.
        metrics: where to serve them, if anywhere.
    """

    def __init__(self, supervisor: Supervisor, reactor: Any, metrics: str | None = None) -> None:
        super().__init__()
        self._reactor = reactor
        if metrics is not None:
            _Metrics(metrics, reactor, self._ended).setServiceParent(self)
        supervisor.setServiceParent(self)
        supervisor.terminated().addCallback(self._ended)

    def startService(self) -> None:
        """Starts the clients."""
        self._reactor.callWhenRunning(self._take_signals)
        super().startService()

    def _take_signals(self) -> None:
        """Makes SIGTERM and SIGINT a graceful end with exit status 0.

        Twisted's own handlers stop the reactor too, but then twistd kills itself with the signal.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop_reactor))

    def _ended(self, reason: object) -> None:
        if not is_normal(reason):
            atexit.register(_exit_abnormally)
        self._reactor.callWhenRunning(self._stop_reactor)

    def _stop_reactor(self) -> None:
        if self._reactor.running and not self._stopping:
            self._stopping = True
            self._reactor.stop()

    _stopping = False


def _exit_abnormally() -> None:
    """Makes the exit status of the process 1.

    twistd has none to give: it returns after the reactor has stopped, whatever happened. So this
    runs last, after its log and its pid file were cleaned up.
    """
    atexit.unregister(_exit_abnormally)
    atexit._run_exitfuncs()  # those registered before this one
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:  # twistd had put its log in the place of the first two
            stream.flush()
    os._exit(1)


class _Metrics(Service):
    """Serves metrics; where that cannot be, says so and ends the run.

    Args:
        description: a server endpoint.
        reactor: to listen with.
        failed: called with the error.
    """

    def __init__(
        self, description: str, reactor: Any, failed: Callable[[BaseException], None]
    ) -> None:
        from wsx import prometheus

        self._exporter = prometheus.Exporter()
        self._site = prometheus.metrics_site()
        self._endpoint = serverFromString(reactor, description)
        self._description = description
        self._ended = failed
        self._port: Any = None

    def startService(self) -> None:
        super().startService()
        self._exporter.attach()
        self._endpoint.listen(self._site).addCallbacks(self._listens, self._failed)

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        self._exporter.detach()
        return succeed(None) if self._port is None else self._port.stopListening()

    def _listens(self, port: Any) -> None:
        self._port = port

    def _failed(self, failure: Any) -> None:
        reason = describe(failure.value)
        _log.error("no metrics at {where}: {reason}", where=self._description, reason=reason)
        self._ended(failure.value)


class DemoRunner(Runner):
    """Starts the demo's server first, and the client once that has its port.

    Args:
        make_supervisor: makes the supervisor of a client of this URL.
        reactor, metrics: as for :class:`Runner`.
    """

    def __init__(
        self, make_supervisor: Callable[[str], Supervisor], reactor: Any, metrics: str | None
    ) -> None:
        self._server = DemoServer(reactor)
        super().__init__(make_supervisor(self._server.listen()), reactor, metrics)
        self._server.setServiceParent(self)


class ConfigRunner(Runner):
    """Runs the clients of a file, and rereads it on SIGHUP.

    Args:
        path: the file.
        tree: what was in it.
        reactor, metrics: as for :class:`Runner`.
    """

    def __init__(self, path: str, tree: Tree, reactor: Any, metrics: str | None) -> None:
        self._path = path
        self._tree = tree
        strategy, max_restarts, max_seconds = tree.limits
        self._supervisor = Supervisor(
            [client.spec for client in tree.clients.values()],
            strategy,
            max_restarts,
            max_seconds,
            id=os.path.basename(path),
            auto_shutdown="all",
        )
        super().__init__(self._supervisor, reactor, metrics)

    def _take_signals(self) -> None:
        super()._take_signals()
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reread))

    def reread(self) -> None:
        """Starts new clients, stops those that are gone, replaces those that were changed.

        The others keep their connections. A file that is wrong is one line in the log, and changes
        nothing.
        """
        if self._stopping:
            return
        try:
            tree = config.load(self._path, self._reactor)
        except ConfigError as error:
            _log.error("{path} is not taken: {error}", path=self._path, error=error)
            return
        old, self._tree = self._tree, tree
        for name in _same(old, tree):
            tree.clients[name] = old.clients[name]
        if tree.limits != old.limits:
            self._supervisor.configure(*tree.limits)
        specs = [client.spec for client in tree.clients.values()]
        changed = self._supervisor.change_children(specs)
        changed.addCallbacks(self._was_reread, self._was_not, callbackArgs=(old, tree))

    def _was_reread(self, failures: dict[Any, Exception], old: Tree, tree: Tree) -> None:
        for name, error in failures.items():
            reason = describe(error)
            _log.error("{name!r} could not be started: {reason}", name=name, reason=reason)
            del tree.clients[name]  # the next time it is new again
        kept = _same(old, tree)
        _log.info(
            "{path} was reread: {new} new, {gone} gone, {changed} changed, {kept} kept{limits}",
            limits=""
            if tree.limits == old.limits
            else "; {}, {} restarts in {} s".format(*tree.limits),
            path=self._path,
            new=len(tree.clients.keys() - old.clients.keys()),
            gone=len(old.clients.keys() - tree.clients.keys()),
            changed=len(tree.clients.keys() & old.clients.keys()) - len(kept),
            kept=len(kept),
        )

    def _was_not(self, failure: Failure) -> None:
        if not failure.check(ChildError):  # the run ends, and nobody is to be changed any more
            _log.failure("{path}: rereading failed", failure, path=self._path)


def _same(old: Tree, new: Tree) -> list[str]:
    """Gives the clients of which both say the same."""
    both = old.clients.keys() & new.clients.keys()
    return [name for name in new.clients if name in both and _says(old, name) == _says(new, name)]


def _says(tree: Tree, name: str) -> str:
    return tree.clients[name].said
