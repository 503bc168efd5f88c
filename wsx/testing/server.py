"""An in-memory WebSocket server for tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from wsx._text import expected
from wsx.conn import Conn
from wsx.testing.clock import MemoryReactor
from wsx.testing.faults import Faults
from wsx.testing.inbox import listed
from wsx.testing.scripts import RunningScript, Script
from wsx.testing.session import Session

__all__ = ["MemoryServer", "ServerConnection"]

__tracebackhide__ = True  # pytest shows the line of the test instead.


class ServerConnection(Faults):
    """The server's side of one connection."""

    def __init__(self, server: MemoryServer, session: Session) -> None:
        self._server = server
        self._session = session

    def __repr__(self) -> str:
        state = self._session.ended or ("open" if self.is_open else "waiting for an answer")
        return f"<ServerConnection {self.number}: {state}>"

    @property
    def number(self) -> int:
        """The number of the connection among those of the server, from 1 on."""
        return self._session.number

    @property
    def is_open(self) -> bool:
        """Whether the opening handshake was accepted, and TCP has not ended."""
        self._server.reactor.settle()
        return self._session.is_open and self._session.ended is None

    @property
    def is_read(self) -> bool:
        """Whether the client reads. It pauses reading while its handler is busy."""
        self._server.reactor.settle()
        return not self._session.transport.reading_paused

    @property
    def unread(self) -> int:
        """The number of the server's bytes that the client has not read."""
        self._server.reactor.settle()
        return self._session.transport.to_client.unread

    def _current(self, action: str) -> Session:
        self._server.reactor.settle()
        return self._session

    def _done(self, session: Session) -> ServerConnection:
        self._server.reactor.settle()
        return self

    def _problem(self, text: str) -> AssertionError:
        return self._server.problem(text)


class MemoryServer(Faults):
    """An in-memory server, which all connections of its clients lead to, with any URL.

    Its actions concern the last connection. There is no DNS, no TCP, no proxy and no TLS: a client
    of a ``wss`` URL speaks without encryption.

    Args:
        *scripts: A script for each connection, in order: a function of the
            :class:`ServerConnection`, which may be a generator, or an exception, with which that
            attempt fails. The test itself serves the connections after these.

    Attributes:
        reactor: The reactor for the clients of this server.
        attempts: The number of attempts to connect so far.
    """

    def __init__(self, *scripts: Script) -> None:
        self.reactor = MemoryReactor(self)
        self.attempts = 0
        self._connections: list[ServerConnection] = []
        self._scripts: deque[Script] = deque()
        self._running: list[RunningScript] = []
        self._failure: Exception | None = None
        self._hangs = False
        self._situation: Callable[[], str] = lambda: ""
        self.script(*scripts)

    @property
    def connections(self) -> list[ServerConnection]:
        """All connections so far, in order."""
        self.reactor.settle()
        return list(self._connections)

    @property
    def connection(self) -> ServerConnection:
        """The last connection.

        Raises:
            AssertionError: The client has not connected.
        """
        self.reactor.settle()
        if not self._connections:
            raise self.problem("connection: the client has not connected")
        return self._connections[-1]

    def script(self, *scripts: Script) -> None:
        """Add scripts for the next connections.

        Raises:
            TypeError: A script is neither a function nor an exception.
        """
        for one in scripts:
            if not (callable(one) or isinstance(one, Exception)):
                raise TypeError(expected("script", "a function or an exception", one))
        self._scripts += scripts

    def down(self, error: Exception | None = None, *, hang: bool = False) -> None:
        """Let the next attempts fail before there is a TCP connection, until :meth:`up`.

        Args:
            error: The error. Default: a ``ConnectionRefusedError``.
            hang: Whether attempts hang instead, until the client's timeout. Default False.
        """
        self._failure = error or ConnectionRefusedError()
        self._hangs = hang

    def up(self) -> None:
        """Let attempts succeed again."""
        self._failure = None
        self._hangs = False

    # For the client

    def endpoint_for(self, conn: Conn) -> IStreamClientEndpoint:
        """Return the endpoint for an attempt to connect."""
        return _Endpoint(self, conn)

    def connect(self, conn: Conn, factory: Any) -> Deferred[Any]:
        """Connect a client in the next reactor iteration.

        Args:
            conn: Where the client connects.
            factory: The factory of the client's protocol.
        """
        self.attempts += 1
        if self._hangs:
            return Deferred()
        if self._failure is not None:
            return fail(self._failure)
        script = self._scripts.popleft() if self._scripts else None
        if isinstance(script, Exception):
            return fail(script)
        connected: Deferred[Any] = Deferred()
        self.reactor.later(0, self._connect, conn, factory, script, connected)
        return connected

    def _connect(self, conn: Conn, factory: Any, script: Any, connected: Deferred[Any]) -> None:
        if connected.called:  # The client has cancelled its attempt.
            return
        protocol = factory.buildProtocol(None)
        number = len(self._connections) + 1
        session = Session(number, conn, self.reactor, protocol, lambda _: self._run(script, number))
        self._connections.append(ServerConnection(self, session))
        protocol.makeConnection(session.transport)
        connected.callback(protocol)

    def _run(self, script: Any, number: int) -> None:
        if script is not None:
            connection = self._connections[number - 1]
            running = RunningScript(script, connection._session, self.reactor)
            self._running.append(running)
            running.start(connection)

    # For the test

    def explain_with(self, situation: Callable[[], str]) -> None:
        """Add a text to each failure: what the client does now."""
        self._situation = situation

    def problem(self, text: str) -> AssertionError:
        """Return the error for an action that is not possible, with what the client does now."""
        return AssertionError("\n".join(filter(None, [text, self._situation()])))

    @property
    def waiting(self) -> ServerConnection | None:
        """The last connection if it waits for ``accept`` or ``refuse`` from the test."""
        self.reactor.settle()
        if not self._connections:
            return None
        session = self._connections[-1]._session
        scripted = any(running.session is session for running in self._running)
        if scripted or session.is_answered or session.is_silent or session.request is None:
            return None
        return None if session.ended is not None else self._connections[-1]

    def left_over(self) -> list[str]:
        """Return what the test has not noticed: frames, and scripts that are not complete."""
        found = []
        for connection in self._connections:
            session = connection._session
            if frames := session.inbox.left_over:
                text = f"{session.name}: the client has sent frames that were not expected:"
                found.append(f"{text}\n{listed(frames)}")
        found += filter(None, [running.left_over for running in self._running])
        if self._scripts:
            found.append(
                f"{len(self._scripts)} scripts were not used: "
                f"the client has made {self.attempts} attempts to connect"
            )
        return found

    def stop_scripts(self) -> None:
        """Let the scripts do nothing more, because the test is over."""
        self._scripts.clear()
        for running in self._running:
            running.stop()

    def _current(self, action: str) -> Session:
        self.reactor.settle()
        if not self._connections:
            raise self.problem(f"{action}: the client has not connected")
        return self._connections[-1]._session

    def _done(self, session: Session) -> ServerConnection:
        self.reactor.settle()
        return self._connections[session.number - 1]

    def _problem(self, text: str) -> AssertionError:
        return self.problem(text)


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """The endpoint for one attempt."""

    def __init__(self, server: MemoryServer, conn: Conn) -> None:
        self._server = server
        self._conn = conn

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        return self._server.connect(self._conn, protocolFactory)
