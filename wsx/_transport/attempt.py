"""One attempt to connect: DNS, TCP, proxy, TLS and the opening handshake, within time limits."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._error_texts import cause
from wsx._failures import cause_of, log_failure
from wsx._scheduler import Scheduler, Timeout, scheduler_for
from wsx._text import quote
from wsx._transport.connection import Connection, Listener, Opening
from wsx._transport.endpoints import endpoint_for
from wsx._transport.observed import AttemptObserver
from wsx.conn import Conn, parse_proxy
from wsx.errors import ConnError, RequestError, WsxError

__all__ = ["Attempt"]

_log = Logger("wsx")


class Attempt:
    """Connect once.

    Args:
        conn: Where and how to connect.
        reactor: The reactor for connections and time.
        listener: Notified of the outcome: ``opened`` or ``failed`` is called once, unless the
            attempt is cancelled first.
        observer: Notified of each step, or None (default).
    """

    __slots__ = (
        "_conn",
        "_connecting",
        "_connection",
        "_listener",
        "_observer",
        "_over",
        "_reactor",
        "_scheduler",
        "_timeout",
        "_timer",
    )

    def __init__(
        self,
        conn: Conn,
        reactor: Any,
        listener: Listener,
        observer: AttemptObserver | None = None,
    ) -> None:
        self._conn = conn
        self._listener = listener
        self._observer = observer
        self._reactor = reactor
        self._scheduler = scheduler_for(reactor)
        self._connecting: Any = None
        self._connection: Connection | None = None
        self._timer: Timeout | None = None
        self._timeout: ConnError | None = None  # The error of a time limit that is exceeded.
        self._over = False

    def start(self) -> None:
        """Start connecting. The attempt may fail before this returns."""
        self._expect("connecting", self._conn.socket_connect_timeout)
        try:
            endpoint = endpoint_for(self._conn, self._reactor, self._observer)
            factory = _Factory(self._conn, self._scheduler, self, self._listener)
            self._connecting = endpoint.connect(factory)
            self._connecting.addErrback(self._connecting_failed)
        except Exception as error:  # The user's endpoint raised, or an option cannot be used.
            self._connecting = None
            self.failed(ConnError(error))

    def cancel(self) -> bool:
        """End the attempt without notifying the listener.

        Returns:
            Whether there was a TCP connection. It ends in the next reactor iteration.
        """
        if self._finish():
            self._stop_connecting()
            if self._connection is not None:
                self._connection.abort()
        return self._connection is not None

    def connected(self, connection: Connection) -> None:
        """Remember the TCP connection, which leads to the server or through the proxy to it."""
        self._connection = connection
        if self._over:
            connection.abort()
        elif self._observer is not None:
            self._observer.connected(connection.transport)

    def secured(self) -> None:
        """Start the time limit for the response, because TLS, if any, is established."""
        if not self._over:
            if self._observer is not None:
                self._observer.secured()
            self._expect("the response to the opening handshake", self._conn.socket_recv_timeout)

    def succeeded(self, connection: Connection, conn: Conn) -> None:
        """Report the open connection."""
        if self._finish():
            self._listener.opened(connection, conn)

    def failed(self, error: WsxError) -> None:
        """Report the failure, and end the TCP connection if there is one."""
        if self._finish():
            self._stop_connecting()
            if self._connection is not None:
                self._end_connection(self._connection, error)
            self._listener.failed(error)

    def _end_connection(self, connection: Connection, error: WsxError) -> None:
        """Close the TCP connection with FIN after a refusal; abort it otherwise.

        An abort sends RST, which crashes some servers that have no error handler.
        """
        if isinstance(error, RequestError):
            connection.close_gently()
        else:
            connection.abort()

    def _expect(self, what: str, seconds: float) -> None:
        self._stop_timer()
        timed_out = partial(self._timed_out, what, seconds)
        self._timer = self._scheduler.timeout(seconds, timed_out)

    def _timed_out(self, what: str, seconds: float) -> None:
        self._timer = None
        self._timeout = ConnError(TimeoutError(f"{what} took longer than {seconds:g} s"))
        if self._connection is None:
            self._stop_connecting()  # Reports the proxy's refusal if its body is incomplete.
            refusal = None
        else:
            refusal = self._connection.refusal()
        self.failed(refusal or self._timeout)

    def _connecting_failed(self, failure: Failure) -> None:
        """Report an error of DNS or TCP. The URL does not name a proxy or endpoint."""
        error, explanation = cause_of(failure), None
        if not isinstance(error, WsxError):
            if self._timeout is not None:  # The attempt itself was the cause, and reports it.
                return
            if self._conn.proxy is not None:
                explanation = f"proxy {parse_proxy(self._conn.proxy).authority}: {cause(error)}"
            elif isinstance(self._conn.endpoint, str):
                explanation = f"endpoint {quote(self._conn.endpoint)}: {cause(error)}"
        self.failed(ConnError(error, explanation))

    def _finish(self) -> bool:
        """Mark the attempt as over, and return whether it was not over before."""
        first = not self._over
        self._over = True
        self._stop_timer()
        return first

    def _stop_connecting(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            try:
                connecting.cancel()
            except Exception:  # Raised by the user's endpoint.
                log_failure(_log, "an endpoint's connection attempt could not be cancelled")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Factory(Factory):
    """Factory for the connection of one attempt."""

    noisy = False

    def __init__(
        self, conn: Conn, scheduler: Scheduler, opening: Opening, listener: Listener
    ) -> None:
        self._conn = conn
        self._scheduler = scheduler
        self._opening = opening
        self._listener = listener

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return Connection(self._conn, self._scheduler, self._opening, self._listener)
