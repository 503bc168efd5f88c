"""The services that twistd runs. Each runs a supervisor, and stops twistd when it has ended."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._failures import log_failure
from wsx._text import describe, quote
from wsx._twistd import config
from wsx._twistd.config import Tree
from wsx._twistd.config_error import ConfigError
from wsx._twistd.demo import DemoServer
from wsx._twistd.exposure import exposed_mode
from wsx._twistd.metrics import MetricsServer
from wsx.cluster import Cluster
from wsx.errors import ChildError
from wsx.reasons import is_normal
from wsx.supervisor import Supervisor

__all__ = ["ConfigRunner", "DemoRunner", "Runner", "exit_with_failure"]

_log = Logger("wsx")


class Runner(MultiService):
    """Run a supervisor, and stop twistd when the supervisor has ended.

    Args:
        supervisor: The supervisor of the clients.
        reactor: The reactor of twistd.
        metrics: The string description of the server endpoint for metrics, or None (default).
        clusters: The clusters in which the clients have names. Default none. They are started
            before the clients, and stopped after them.

    Attributes:
        program: The name of the program in the log. Default ``"twistd"``.
    """

    program = "twistd"

    def __init__(
        self,
        supervisor: Supervisor,
        reactor: Any,
        metrics: str | None = None,
        clusters: Iterable[Cluster] = (),
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._stopping = False
        self._was_signalled = False  # Whether SIGTERM or SIGINT has stopped the reactor.
        if metrics is not None:
            MetricsServer(metrics, reactor, lambda: self._end(1)).setServiceParent(self)
        # Not among the children, because a MultiService stops all of them at the same time.
        self._clusters = MultiService()
        for cluster in clusters:
            cluster.setServiceParent(self._clusters)
        supervisor.setServiceParent(self)
        supervisor.terminated().addCallback(self._supervisor_ended)

    def startService(self) -> None:
        """Start the clients."""
        self._handle_hangup()
        self._reactor.callWhenRunning(self._handle_signals)
        self._clusters.startService()
        super().startService()

    def stopService(self) -> Deferred[Any]:
        """Stop the clients, which releases their names, then the clusters.

        Returns:
            A Deferred that fires when this is done.
        """
        stopped: Deferred[Any] = maybeDeferred(super().stopService)
        return stopped.addBoth(self._stop_clusters)

    def _stop_clusters(self, result: Any) -> Deferred[Any]:
        stopped: Deferred[Any] = maybeDeferred(self._clusters.stopService)
        return stopped.addCallback(lambda _: result)

    def _handle_hangup(self) -> None:
        """Handle SIGHUP, which would end the process without a close frame.

        The reactor does not replace this signal handler, so it is set before the reactor runs.
        """
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))

    def reload(self) -> None:
        """Log that there is no file to reload. SIGHUP calls this."""
        _log.info("SIGHUP ignored: only a file of --config can be reloaded")

    def _handle_signals(self) -> None:
        """Let SIGTERM and SIGINT stop the reactor, with exit status 0.

        With Twisted's own handlers, twistd would end by the signal after the reactor has stopped.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop_by_signal))

    def _stop_by_signal(self) -> None:
        self._was_signalled = True
        self._stop_reactor()

    def _supervisor_ended(self, reason: object) -> None:
        self._end(0 if is_normal(reason) else 1)

    def _end(self, status: int) -> None:
        """Stop twistd with an exit status."""
        if status:
            atexit.register(exit_with_failure)
        if not self._stopping:
            _log.info(
                "{program} stops with exit status {status}", program=self.program, status=status
            )
            self._reactor.callWhenRunning(self._stop_reactor)

    def _stop_reactor(self) -> None:
        if self._reactor.running and not self._stopping:
            self._stopping = True
            self._reactor.stop()


def exit_with_failure() -> None:
    """End the process with exit status 1.

    twistd has no way to set its exit status. Register this function with ``atexit``: it runs as the
    last of these functions, after twistd has closed its log and removed its pid file.
    """
    atexit.unregister(exit_with_failure)
    atexit._run_exitfuncs()  # The functions that were registered before this one.
    # twistd replaces sys.stdout and sys.stderr by its log. A stream may be None if it is closed.
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)


class DemoRunner(Runner):
    """Run the demo server and a client that connects to it.

    Args:
        make_supervisor: Returns the supervisor of a client that connects to the given URL.
        reactor: The reactor of twistd.
        metrics: As for :class:`Runner`.
    """

    def __init__(
        self, make_supervisor: Callable[[str], Supervisor], reactor: Any, metrics: str | None
    ) -> None:
        server = DemoServer(reactor)
        supervisor = make_supervisor(server.listen())
        super().__init__(supervisor, reactor, metrics)
        server.setServiceParent(self)


class ConfigRunner(Runner):
    """Run the clients of a configuration file, and reload the file on SIGHUP.

    Args:
        path: The absolute path of the file.
        tree: The content of the file.
        reactor: The reactor of twistd.
        metrics: As for :class:`Runner`.
    """

    def __init__(self, path: str, tree: Tree, reactor: Any, metrics: str | None) -> None:
        self._path = path
        self._tree = tree
        self._warned = False  # Whether a warning about the mode of the file was logged.
        strategy, max_restarts, max_seconds = tree.limits
        self._supervisor = Supervisor(
            [client.spec for client in tree.clients.values()],
            strategy,
            max_restarts,
            max_seconds,
            id=os.path.basename(path),
            auto_shutdown="all",
        )
        clusters = [table.cluster for table in tree.clusters.values()]
        super().__init__(self._supervisor, reactor, metrics, clusters)

    def startService(self) -> None:
        """Start the clients, and warn if other users can read secrets in the file."""
        super().startService()
        self._check_mode()

    def _check_mode(self) -> None:
        """Log one warning if the file contains a secret and other users can read it."""
        mode = exposed_mode(self._path) if self._tree.has_secret else None
        if mode is not None and not self._warned:
            _log.warn(
                "{path}: contains a password or token, and its mode {mode:04o} allows other users "
                "to read it (expected 0600)",
                path=self._path,
                mode=mode,
            )
        self._warned = mode is not None

    def reload(self) -> None:
        """Read the file again: start new clients, stop removed ones and replace changed ones.

        The other clients keep their connections. A client is also replaced if the table of its
        cluster has changed. If the file is not valid, the error is logged and no client changes.
        """
        if self._stopping:
            return
        try:
            tree = config.load(self._path, self._reactor, self._tree)
        except ConfigError as error:
            _log.error("{path}: {error}; no client was changed", path=self._path, error=error)
            return
        old, self._tree = self._tree, tree
        self._check_mode()
        for name in _unchanged(old, tree):
            tree.clients[name] = old.clients[name]
        if tree.limiter is not None and tree.connect_limit is not None:
            tree.limiter.configure(**tree.connect_limit)
        if tree.limits != old.limits:
            self._supervisor.configure(*tree.limits)
        self._start_clusters(tree)
        specs = [client.spec for client in tree.clients.values()]
        changing = self._supervisor.change_children(specs)
        changing.addBoth(self._stop_clusters_of, old, tree)
        changing.addCallbacks(self._changed, self._not_changed, callbackArgs=(old, tree))

    def _start_clusters(self, tree: Tree) -> None:
        for table in tree.clusters.values():
            if table.cluster.parent is None:
                table.cluster.setServiceParent(self._clusters)

    def _stop_clusters_of(self, result: Any, old: Tree, tree: Tree) -> Any:
        """Stop the clusters that have changed, now that their clients have ended."""
        kept = [table.cluster for table in tree.clusters.values()]
        for table in old.clusters.values():
            if table.cluster not in kept and table.cluster.parent is not None:
                table.cluster.disownServiceParent()
        return result

    def _changed(self, failures: dict[Any, Exception], old: Tree, tree: Tree) -> None:
        for name, error in failures.items():
            reason = describe(error)
            _log.error("client {name} not started: {reason}", name=quote(name), reason=reason)
            del tree.clients[name]  # The next reload starts it as a new client.
        _log.info("{path} reloaded: {changes}", path=self._path, changes=_changes(old, tree))

    def _not_changed(self, failure: Failure) -> None:
        if not failure.check(ChildError):  # A ChildError means that the supervisor has ended.
            log_failure(_log, "{path}: reload failed", failure, path=self._path)


def _unchanged(old: Tree, new: Tree) -> list[str]:
    """Return the names of the clients that have the same table in both trees."""
    both = old.clients.keys() & new.clients.keys()
    return [
        name
        for name in new.clients
        if name in both and old.clients[name].content == new.clients[name].content
    ]


def _changes(old: Tree, new: Tree) -> str:
    """Return the numbers of clients that a reload started, stopped, replaced and kept."""
    kept = len(_unchanged(old, new))
    both = len(old.clients.keys() & new.clients.keys())
    counts = (
        f"{len(new.clients) - both} started, {len(old.clients) - both} stopped, "
        f"{both - kept} replaced, {kept} unchanged"
    )
    if new.limits == old.limits:
        return counts
    strategy, max_restarts, max_seconds = new.limits
    return f"{counts}; {strategy}, {max_restarts} restarts in {max_seconds:g} s"
