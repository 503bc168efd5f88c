"""A process with a client of a cluster, which a test controls through pipes.

``python -m wsx.test.support.cluster_worker OPTIONS`` reads commands from its standard input, one in
each line: a JSON list of the number of the command, its name, and its arguments. It writes lines of
JSON to its standard output: ``["done", number, result]`` or ``["failed", number, type, text]`` when
a command is done, and ``["event", time, kind, fence, sender, number, detail]`` for what happens to
its client (see :mod:`wsx.test.cluster_faults.history`). The time is that of a monotonic clock,
which all processes of the machine share.

OPTIONS is a JSON object: ``nats`` (URLs), ``bucket``, ``ttl``, ``replicas``, ``reactor``, and
``broken`` (whether its leases do not end in time, to show that this is found).
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import signal
import sys
import time
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.logger import globalLogPublisher, textFileLogObserver
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

import wsx
from wsx._cluster import lease
from wsx.reasons import Disconnect
from wsx.test.support.reactors import install_reactor

__all__ = ["main", "now"]

_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)
_CAST_SECONDS: Final = 0.02  # between two casts of a sender
_CAST_LIMIT: Final = 2.0


def now() -> float:
    """Return the time in seconds, on the clock that all processes of the machine share."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def write(*values: Any) -> None:
    """Write a line. It is complete even if the process is killed at once."""
    os.write(1, json.dumps(values).encode() + b"\n")


def note(
    kind: str, fence: int | None = 0, sender: str = "", number: int = 0, detail: str = ""
) -> None:
    """Write an event."""
    write("event", now(), kind, fence or 0, sender, number, detail)


class Holder(wsx.Handler[dict[str, Any]]):
    """Records each callback, and obeys casts: ``["hold", seconds]`` keeps its callback pending."""

    def handle_connect(self, conn: wsx.Conn, state: dict[str, Any]) -> None:
        note("connected", self.client.fence)

    def handle_frame(self, frame: wsx.Frame, state: dict[str, Any]) -> None:
        note("frame", self.client.fence, detail=str(frame.payload)[:40])

    def handle_cast(self, message: Any, state: dict[str, Any]) -> Any:
        state["casts"] = state.get("casts", 0) + 1
        if isinstance(message, list) and message[0] == "hold":
            held: Deferred[None] = Deferred()
            self.client.reactor.callLater(message[1], held.callback, None)
            return held
        if isinstance(message, list) and message[0] == "cast":
            note("cast", self.client.fence, message[1], message[2])
        return None

    def handle_info(self, message: Any, state: dict[str, Any]) -> None:
        note("info", self.client.fence, detail=repr(message))

    def handle_disconnect(self, status: Disconnect, state: dict[str, Any]) -> Any:
        note("disconnected", detail=repr(status.reason))
        return wsx.Reconnect(state)

    def terminate(self, reason: object, state: dict[str, Any]) -> None:
        note("disconnected", detail=repr(reason))


class Worker(LineReceiver):
    """Performs commands."""

    delimiter = b"\n"
    MAX_LENGTH = 10_000_000

    def __init__(self, reactor: Any, cluster: wsx.Cluster) -> None:
        self._reactor = reactor
        self._cluster = cluster
        self._services: list[wsx.ClientService[Any]] = []
        self._clients: list[wsx.Client[Any]] = []
        self._remotes: dict[str, wsx.RemoteClient] = {}
        self._sending: set[str] = set()

    def connectionMade(self) -> None:
        note("started")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The test has ended: so does this process."""
        os._exit(0)

    def lineReceived(self, line: bytes) -> None:
        number, name, *arguments = json.loads(line)
        done = maybeDeferred(getattr(self, f"do_{name}"), *arguments)
        done.addCallback(lambda result: write("done", number, result))
        done.addErrback(lambda failure: self._failed(number, failure))

    def _failed(self, number: int, failure: Failure) -> None:
        write("failed", number, type(failure.value).__name__, str(failure.value))

    # Clients

    def _name(self, key: Any, options: dict[str, Any]) -> wsx.Global:
        known = {"standby", "on_partition"}
        chosen = {name: options.pop(name) for name in known & options.keys()}
        return wsx.Global(key, self._cluster, **chosen)

    async def do_start(self, url: str, key: Any, options: dict[str, Any]) -> Any:
        """Start a client; return None, or what the reference in AlreadyStartedError says."""
        name = self._name(key, options)
        try:
            client = await wsx.start(url, Holder, {}, name=name, **options)
        except wsx.AlreadyStartedError as error:
            remote: Any = error.client
            return ["in use", remote.holder.pid, await remote.status()]
        self._clients.append(client)
        return ["started", os.getpid(), client.status]

    def do_serve(self, url: str, key: Any, options: dict[str, Any]) -> None:
        """Start a service with a client."""
        name = self._name(key, options)
        service = wsx.ClientService(url, Holder, {}, name=name, **options)
        service.startService()
        self._services.append(service)

    def do_stop(self) -> Deferred[Any]:
        """Stop all clients."""
        clients, self._clients = self._clients, []
        services, self._services = self._services, []
        ending = [client.stop() for client in clients]
        ending += [maybeDeferred(service.stopService) for service in services]
        return DeferredList(ending).addCallback(lambda _: None)

    def do_exit(self) -> Deferred[Any]:
        """Stop everything, as at SIGTERM, and end."""
        ending = self.do_stop().addCallback(lambda _: self._cluster.stopService())
        return ending.addCallback(lambda _: self._reactor.callLater(0, self._reactor.stop))

    # Calls

    async def do_lookup(self, key: Any) -> Any:
        """Return the process id of the holder, or None; keep the reference."""
        found = await wsx.lookup(self._name(key, {}))
        if isinstance(found, wsx.RemoteClient):
            self._remotes[json.dumps(key)] = found
            return found.holder.pid
        return None if found is None else os.getpid()

    async def _remote(self, key: Any) -> Any:
        if json.dumps(key) not in self._remotes:
            await self.do_lookup(key)
        found = self._remotes.get(json.dumps(key))
        if found is None:
            raise wsx.UnknownNameError(self._name(key, {}))
        return found

    async def do_call(self, key: Any, method: str, *arguments: Any) -> Any:
        """Call a method of the RemoteClient, such as ``sys.get_state``."""
        found = await self._remote(key)
        for part in method.split("."):
            found = getattr(found, part)
        result = await found(*arguments)
        return sorted(result) if method == "sys.get_status" else result

    async def do_send_frame(self, key: Any, size: int, timeout: float) -> None:
        """Send a frame."""
        remote = await self._remote(key)
        await remote.send_frame(wsx.Text("x" * size), timeout)

    async def do_cast_tuple(self, key: Any) -> None:
        """Cast what is no MessagePack value."""
        await (await self._remote(key)).cast({"a": [(1, 2)]})

    async def do_casts(self, key: Any, count: int, at_once: bool) -> float:
        """Cast many messages; return how long it has taken until all were acknowledged."""
        remote = await self._remote(key)
        begun = now()
        if at_once:
            for sent in [remote.cast(["count", number], 60.0) for number in range(count)]:
                await sent
        else:
            for number in range(count):
                await remote.cast(["count", number])
        return now() - begun

    # A sender, for the history

    async def do_send(self, key: Any, sender: str) -> None:
        """Cast numbers, until told to pause; record each outcome."""
        self._sending.add(sender)
        remote: Any = None
        while remote is None and sender in self._sending:
            try:
                remote = await self._remote(key)
            except wsx.WsxError:
                await self._sleep(_CAST_SECONDS)
        self._cast(remote, sender, 1)

    def _cast(self, remote: wsx.RemoteClient, sender: str, number: int) -> None:
        if sender not in self._sending:
            return
        note("sent", 0, sender, number)
        sent = remote.cast(["cast", sender, number], _CAST_LIMIT)
        sent.addCallbacks(
            lambda _: note("acknowledged", 0, sender, number),
            partial(self._refused, sender, number),
        )
        self._reactor.callLater(_CAST_SECONDS, self._cast, remote, sender, number + 1)

    def _refused(self, sender: str, number: int, failure: Failure) -> None:
        note("refused", 0, sender, number, str(failure.value)[:100])

    def do_end_sending(self, sender: str) -> None:
        """End a sender."""
        self._sending.discard(sender)

    def _sleep(self, seconds: float) -> Deferred[None]:
        slept: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, slept.callback, None)
        return slept

    # The process

    def do_resources(self) -> list[float]:
        """Return the resident memory in MB, and the CPU time in seconds."""
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return [pages * resource.getpagesize() / 1e6, usage.ru_utime + usage.ru_stime]


def observe_names(_event: str, _measurements: Any, metadata: Any, _config: object) -> None:
    """Write what happens to names."""
    note(_event.rpartition(".")[2], metadata.get("fence", 0), detail=metadata.get("reason", ""))


def main(options: dict[str, Any]) -> None:
    """Run the worker until its standard input ends, or until SIGTERM."""
    if sys.platform == "linux":  # Elsewhere, the end of the standard input must be enough.
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    globalLogPublisher.addObserver(textFileLogObserver(sys.stderr))
    if options["broken"]:
        lease._MARGIN = -10.0  # type: ignore[misc]
        lease.Lease.seconds_left = lambda self: math.inf  # type: ignore[method-assign]
    reactor = install_reactor(options["reactor"])
    from twisted.internet.stdio import StandardIO

    events = ["wsx.name.acquired", "wsx.name.lost", "wsx.name.released"]
    wsx.telemetry.attach("worker", events, observe_names, None)
    chosen = {name: options[name] for name in ("bucket", "ttl", "replicas")}
    cluster = wsx.Cluster(options["nats"], **chosen)
    cluster.startService()
    worker = Worker(reactor, cluster)
    StandardIO(worker)
    reactor.addSystemEventTrigger("before", "shutdown", worker.do_stop)
    reactor.addSystemEventTrigger("before", "shutdown", cluster.stopService)
    reactor.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
