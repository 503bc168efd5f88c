"""Processes with clients of a cluster, their WebSocket server, and a proxy before a NATS server."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from wsx.test.cluster_faults.history import Event
from wsx.test.support.cluster_worker import now
from wsx.test.support.sockets import HOST, global_reactor

__all__ = ["CommandFailed", "FeedServer", "Proxy", "WorkerProcess"]

_TICK_SECONDS: Final = 0.05  # between two messages of the server


class CommandFailed(Exception):
    """A worker could not perform a command.

    Attributes:
        kind: The name of the type of the exception in the worker.
        text: Its text.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text


class WorkerProcess(ProcessProtocol):
    """A process of :mod:`wsx.test.support.cluster_worker`.

    Args:
        name: Its name in the history.
        note: Called with each event.
        nats: The URLs of the servers of NATS.
        bucket: The bucket.
        ttl: The time to live of a lease in seconds.
        replicas: How many servers store the bucket. Default 1.
        reactor: The name of its reactor. Default "epoll".
        broken: Whether its leases do not end in time. Default False.

    Attributes:
        name: Its name.
        is_stopped: Whether it was stopped with SIGSTOP.
        log: What it has logged.
        ended: Fires with None when the process has ended.
    """

    def __init__(
        self,
        name: str,
        note: Callable[[Event], None],
        nats: list[str],
        *,
        bucket: str = "test",
        ttl: float = 2.0,
        replicas: int = 1,
        reactor: str = "epoll",
        broken: bool = False,
    ) -> None:
        self.name = name
        self.is_stopped = False
        self.log = b""
        self.ended: Deferred[None] = Deferred()
        self._note = note
        self._numbers = count(1)
        self._commands: dict[int, Deferred[Any]] = {}
        self._rest = b""
        options = {
            "nats": nats,
            "bucket": bucket,
            "ttl": ttl,
            "replicas": replicas,
            "reactor": reactor,
            "broken": broken,
        }
        arguments = [sys.executable, "-m", "wsx.test.support.cluster_worker", json.dumps(options)]
        self._process = global_reactor().spawnProcess(self, sys.executable, arguments, os.environ)

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self._process.pid)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return not self.ended.called

    def call(self, name: str, *arguments: Any) -> Deferred[Any]:
        """Send a command.

        Returns:
            A Deferred of its result. It fails with :class:`CommandFailed`.
        """
        number = next(self._numbers)
        done: Deferred[Any] = Deferred()
        self._commands[number] = done
        self._process.write(json.dumps([number, name, *arguments]).encode() + b"\n")
        return done

    # Signals

    def kill(self) -> Deferred[None]:
        """End the process with SIGKILL; the Deferred fires when it has ended."""
        if self.is_running:
            self._signal(signal.SIGKILL, "killed")
        return self.until_ended()

    def terminate(self) -> Deferred[None]:
        """End the process with SIGTERM; the Deferred fires when it has ended."""
        self._signal(signal.SIGTERM, "")
        return self.until_ended()

    def pause(self) -> None:
        """Stop the process with SIGSTOP."""
        self._signal(signal.SIGSTOP, "stopped")
        self.is_stopped = True

    def resume(self) -> None:
        """Continue the process, unless it has ended."""
        if not self.is_running:
            return
        self.is_stopped = False
        self._note(Event(now(), self.name, "continued"))
        self._signal(signal.SIGCONT, "")

    def _signal(self, number: int, kind: str) -> None:
        os.kill(self.pid, number)
        if kind:
            self._note(Event(now(), self.name, kind))

    def until_ended(self) -> Deferred[None]:
        """Return a Deferred that fires when the process has ended."""
        if self.ended.called:
            return succeed(None)
        waiting: Deferred[None] = Deferred()

        def fire(result: None) -> None:
            if not waiting.called:
                waiting.callback(None)

        self.ended.addCallback(fire)
        return waiting

    # ProcessProtocol

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(*json.loads(line))

    def _take(self, kind: str, *values: Any) -> None:
        if kind == "event":
            time, what, fence, sender, number, detail = values
            self._note(Event(time, self.name, what, fence, sender, number, detail))
            return
        done = self._commands.pop(values[0])
        if kind == "done":
            done.callback(values[1])
        else:
            done.errback(CommandFailed(*values[1:]))

    def errReceived(self, data: bytes) -> None:
        self.log += data

    def processEnded(self, reason: Failure) -> None:
        self._note(Event(now(), self.name, "exited"))
        commands, self._commands = self._commands, {}
        for done in commands.values():
            if not done.called:
                done.errback(CommandFailed("ProcessEnded", f"process {self.name} has ended"))
        self.ended.callback(None)


class _FeedConnection(WebSocketServerProtocol):  # type: ignore[misc]
    """A connection of a client: it gets a message every 50 ms."""

    def onConnect(self, request: Any) -> None:
        self.client = request.params["process"][0]

    def onOpen(self) -> None:
        self.factory.feed.connections.add(self)
        self.factory.feed.note(Event(now(), self.client, "connected"))
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = self.factory.reactor
        if self.factory.feed.ticks:
            self._ticks.start(_TICK_SECONDS, now=False)

    def _tick(self) -> None:
        if self.state == self.STATE_OPEN:
            self.sendMessage(b"%d" % next(self.factory.feed.numbers))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.feed.received.append(len(payload))

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        if self in self.factory.feed.connections:
            self.factory.feed.connections.discard(self)
            self.factory.feed.note(Event(now(), self.client, "disconnected"))
            if self._ticks.running:
                self._ticks.stop()


class FeedServer:
    """A WebSocket server in this process: the second witness of who is connected at what time.

    Args:
        ticks: Whether it sends a message to each client every 50 ms. Default True.

    Attributes:
        ticks: The argument.
        connections: The open connections.
        events: When connections were opened and have ended.
        received: The sizes of the messages that were received.
        numbers: The messages to send.
    """

    def __init__(self, ticks: bool = True) -> None:
        self.ticks = ticks
        self.connections: set[Any] = set()
        self.events: list[Event] = []
        self.received: list[int] = []
        self.numbers = count(1)
        factory = WebSocketServerFactory(reactor=global_reactor())
        factory.protocol = _FeedConnection
        factory.noisy = False
        factory.feed = self
        factory.setProtocolOptions(closeHandshakeTimeout=5)
        self._port = global_reactor().listenTCP(0, factory, interface=HOST)

    def note(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    def url(self, process: str) -> str:
        """Return the URL for a process."""
        return f"ws://{HOST}:{self._port.getHost().port}/?process={process}"

    @property
    def connected(self) -> list[str]:
        """The names of the processes that are connected."""
        return sorted(connection.client for connection in self.connections)

    def pause_reading(self) -> None:
        """Read nothing more from the open connections."""
        for connection in self.connections:
            connection.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Read again."""
        for connection in self.connections:
            connection.transport.resumeProducing()

    def stop(self) -> Any:
        """Stop listening, and end all connections."""
        for connection in list(self.connections):
            connection.transport.abortConnection()
        return self._port.stopListening()


class _Side(Protocol):
    """One side of a connection through the proxy."""

    transport: Any
    other: _Side | None = None
    is_open = False

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.waiting: list[bytes] = []
        self.late: deque[bytes] = deque()

    def connectionMade(self) -> None:
        self.is_open = True
        self.proxy.sides.add(self)
        if self.proxy.is_stalled:
            self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        if self.proxy.delay or self.late:  # Otherwise data could overtake what is late.
            self.late.append(data)
            self.proxy.later(self._pass_late)
        else:
            self.pass_on(data)

    def _pass_late(self) -> None:
        self.pass_on(self.late.popleft())

    def pass_on(self, data: bytes) -> None:
        """Send data to the other side, or keep it until there is one."""
        if self.other is None:
            self.waiting.append(data)
        elif self.other.is_open:
            self.other.transport.write(data)

    def join(self, other: _Side) -> None:
        """Connect this side to the other one."""
        self.other = other
        waiting, self.waiting = self.waiting, []
        for data in waiting:
            self.pass_on(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False
        self.proxy.sides.discard(self)
        if self.other is not None and self.other.is_open:
            self.other.transport.loseConnection()


class _Clients(Factory):
    """Builds the sides of the clients.

    Args:
        accept: Returns a side, or None to refuse the connection.
    """

    def __init__(self, accept: Callable[[], _Side | None]) -> None:
        self._accept = accept

    def buildProtocol(self, addr: object) -> _Side | None:
        return self._accept()


class Proxy:
    """A TCP proxy between one process and a server, which can cut, stall and delay.

    Args:
        port: The port of the server.

    Attributes:
        sides: The open sides of connections.
        delay: The time in seconds by which data is late. Default 0.
        is_stalled: Whether nothing passes, although the connections stay open.
        is_cut: Whether connections are refused.
    """

    def __init__(self, port: int) -> None:
        self.sides: set[_Side] = set()
        self.delay = 0.0
        self.is_stalled = False
        self.is_cut = False
        self._timers: list[Any] = []
        self._server = TCP4ClientEndpoint(global_reactor(), HOST, port, timeout=5)
        factory = _Clients(self._accept)
        factory.noisy = False
        self._port = global_reactor().listenTCP(0, factory, interface=HOST)

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"nats://{HOST}:{self._port.getHost().port}"

    def _accept(self) -> _Side | None:
        if self.is_cut:
            return None
        client, server = _Side(self), _Side(self)
        factory = Factory.forProtocol(lambda: server)
        factory.noisy = False

        def connected(_: object) -> None:
            client.join(server)
            server.join(client)
            if not client.is_open:
                server.transport.abortConnection()

        def failed(_: object) -> None:
            if client.is_open:
                client.transport.abortConnection()

        self._server.connect(factory).addCallbacks(connected, failed)
        return client

    def later(self, function: Callable[[], None]) -> None:
        """Call a function after the delay."""

        def call() -> None:
            self._timers.remove(timer)
            function()

        timer = global_reactor().callLater(self.delay, call)
        self._timers.append(timer)

    def cut(self) -> None:
        """Reset all connections, and refuse new ones until :meth:`heal`."""
        self.is_cut = True
        for side in list(self.sides):
            side.transport.abortConnection()

    def stall(self) -> None:
        """Let nothing pass until :meth:`heal`; connections stay open."""
        self.is_stalled = True
        for side in self.sides:
            side.transport.pauseProducing()

    def heal(self) -> None:
        """Let everything pass again, without delay."""
        self.is_cut = self.is_stalled = False
        self.delay = 0.0
        for side in self.sides:
            side.transport.resumeProducing()

    def stop(self) -> Any:
        """End all connections, and stop listening."""
        self.cut()
        for timer in self._timers:
            timer.cancel()
        return self._port.stopListening()
