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

from wsx import _config
from wsx._config import ConfigError, Tree
from wsx._demo import DemoServer
from wsx.errors import describe, shorten
from wsx.frames import is_normal
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
        self._rereading = False
        self._again = False
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
        nothing. Asked for while it is under way, it is done once more.
        """
        self._again = self._rereading
        if self._rereading:
            return
        try:
            tree = _config.load(self._path, self._reactor)
        except ConfigError as error:
            _log.error("{path} is not taken: {error}", path=self._path, error=error)
            return
        self._rereading = True
        done = Deferred.fromCoroutine(self._become(tree))
        done.addErrback(lambda f: _log.failure("{path}: rereading failed", f, path=self._path))
        done.addBoth(self._reread_is_done)

    def _reread_is_done(self, _: object) -> None:
        self._rereading = False
        if self._again:
            self.reread()

    async def _become(self, tree: Tree) -> None:
        old, self._tree = self._tree, tree
        kept = {
            name
            for name, client in tree.clients.items()
            if name in old.clients and old.clients[name].table == client.table
        }
        if tree.limits != old.limits:
            self._supervisor.configure(*tree.limits)
        for name in reversed([name for name in old.clients if name not in kept]):
            await self._remove(name)
        for name in [name for name in tree.clients if name not in kept]:
            await self._add(name)
        self._supervisor.reorder(tree.clients)
        _log.info(
            "{path} was reread: {new} clients are new, {gone} gone, {changed} changed, {kept} kept",
            path=self._path,
            new=len(tree.clients.keys() - old.clients.keys()),
            gone=len(old.clients.keys() - tree.clients.keys()),
            changed=len(tree.clients.keys() & old.clients.keys()) - len(kept),
            kept=len(kept),
        )

    async def _remove(self, name: str) -> None:
        if any(id == name for id, _, _ in self._supervisor.which_children()):
            await self._supervisor.terminate_child(name)
        if any(id == name for id, _, _ in self._supervisor.which_children()):  # not temporary
            await self._supervisor.delete_child(name)

    async def _add(self, name: str) -> None:
        try:
            await self._supervisor.start_child(self._tree.clients[name].spec)
        except Exception as error:
            _log.error(
                "{name} could not be started: {reason}", name=shorten(name), reason=describe(error)
            )
            del self._tree.clients[name]  # the next time, it is new again
