"""One examination: connects as a client does, observes the phases, and sends a ping."""

from __future__ import annotations

from typing import Any, Final

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import Deferred
from twisted.internet.error import UserError
from twisted.internet.interfaces import ISSLTransport

from wsx._doctor.findings import AddressAttempt, Findings
from wsx._doctor.phases import DNS, OPENING_HANDSHAKE, PING, PROXY, TCP, TLS, Timeline
from wsx._scheduler import Timeout, scheduler_for
from wsx._transport.attempt import Attempt
from wsx._transport.connection import Connection
from wsx._transport.tls_session import inspect_session
from wsx._wire.batch import Batch, ServerClose
from wsx.conn import Conn
from wsx.errors import FrameError, PingTimeout, WsxError
from wsx.frames import Ping, Pong
from wsx.reasons import ConnectionDropped, RemoteClose

__all__ = ["Examination", "Interrupted"]

PAYLOAD: Final = b"wsx doctor"
_PING_TIMEOUT: Final = 20.0  # seconds, if the Conn has no ``ping_timeout``


class Interrupted(WsxError):
    """The examination was interrupted before its end."""

    def __str__(self) -> str:
        return "the examination was interrupted"


class Examination:
    """Connect once with the code of every connection, and observe it.

    It is the listener and the observer of one :class:`wsx._transport.attempt.Attempt`.

    Args:
        conn: Where and how to connect.
        reactor: The reactor for connections and time.

    Attributes:
        findings: What was observed so far.
        done: Fires with the findings when the last phase has ended.
        ended: Fires with None after ``done``, when the connection, if any, has ended.
    """

    def __init__(self, conn: Conn, reactor: Any) -> None:
        self._conn = conn
        self._scheduler = scheduler_for(reactor)
        self._attempt = Attempt(conn, reactor, self, self)
        self._connection: Connection | None = None
        self._session: object = None
        self._timer: Timeout | None = None
        self._over = False
        self.findings = Findings(conn, Timeline(self._scheduler.monotonic, _not_needed(conn)))
        self.done: Deferred[Findings] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def start(self) -> Deferred[Findings]:
        """Start connecting, and return ``done``."""
        self.findings.timeline.start()
        self._attempt.start()
        return self.done

    def interrupt(self) -> None:
        """End the examination now. The current phase has failed."""
        if not self._over:
            self._attempt.cancel()
            self._fail(Interrupted())
            if self._connection is not None:
                self._connection.abort()
            self._end()

    # AttemptObserver

    def resolving(self, host: str) -> None:
        """Begin the DNS lookup."""
        self.findings.timeline.begin(DNS)
        self.findings.host = host

    def resolved(self, addresses: list[str]) -> None:
        """Record the addresses. A lookup without any fails."""
        self.findings.addresses = addresses
        if addresses:
            self.findings.timeline.pass_current()

    def trying(self, address: str) -> None:
        """Begin TCP, and record the attempt."""
        self.findings.timeline.begin(TCP)
        self.findings.attempts.append(AddressAttempt(address, self._scheduler.monotonic()))

    def tried(self, address: str, error: BaseException | None) -> None:
        """Record the result of the attempt. It was cancelled if another one is the first."""
        for attempt in self.findings.attempts:
            if attempt.address == address and attempt.seconds is None:
                attempt.seconds = self._scheduler.monotonic() - attempt.began
                attempt.error, attempt.connected = error, error is None
                attempt.cancelled = isinstance(error, UserError)
                return

    def reached(self, step: str) -> None:
        """End TCP or the proxy, and begin the next phase."""
        timeline = self.findings.timeline
        timeline.begin(step)
        timeline.pass_current()
        if step == TCP and self._conn.proxy is not None:
            timeline.begin(PROXY)
        elif self._conn.parsed.secure:
            timeline.begin(TLS)

    def connected(self, transport: Any) -> None:
        """Remember the TLS session, which is inspected at the end."""
        if self._conn.parsed.secure and ISSLTransport.providedBy(transport):
            self._session = transport.getHandle()  # type: ignore[attr-defined]

    def secured(self) -> None:
        """Begin the opening handshake."""
        self.findings.timeline.begin(OPENING_HANDSHAKE)

    # Listener

    def opened(self, connection: Connection, conn: Conn) -> None:
        """Send a ping."""
        self._connection = connection
        self.findings.conn = conn
        self.findings.timeline.begin(PING)
        self._timer = self._scheduler.timeout(self._ping_timeout, self._no_pong)
        connection.send(Ping(PAYLOAD))

    def failed(self, error: WsxError) -> None:
        """Report the failure."""
        self._fail(error)
        self._end()

    def received(self, batch: Batch) -> None:
        """Look for the pong, and answer pings."""
        if self._over:
            return
        for frame in batch.frames:
            if isinstance(frame, Ping) and self._connection is not None:
                self._connection.send(Pong(frame.payload))
            elif frame == Pong(PAYLOAD):
                self._pass()
                return
        if batch.end is not None:
            self._close_received(batch.end)

    def writable(self) -> None:
        """Do nothing: an examination sends little."""

    def closed(self, reason: BaseException) -> None:
        """Report the end of TCP, unless the examination is over."""
        if not self._over:
            self._fail(ConnectionDropped(reason))
        self._end()

    # Outcomes

    @property
    def _ping_timeout(self) -> float:
        return self._conn.ping_timeout or _PING_TIMEOUT

    def _pass(self) -> None:
        self.findings.timeline.pass_current()
        self._close(1000)
        self._finish()

    def _no_pong(self) -> None:
        self._timer = None
        self._fail(PingTimeout(self._ping_timeout))
        self._close(1000)

    def _close_received(self, end: ServerClose | FrameError) -> None:
        assert self._connection is not None
        if isinstance(end, FrameError):
            self._close(end.close_code)
            self._fail(end)
            return
        self._connection.answer_close(end.code)
        self._abort_later()
        self._fail(RemoteClose(end.code, end.message))

    def _close(self, code: int) -> None:
        """Send a close frame, and abort TCP if the server does not close it in time."""
        assert self._connection is not None
        self._stop_timer()
        self._connection.start_closing(code, "")
        self._abort_later()

    def _abort_later(self) -> None:
        assert self._connection is not None
        self._stop_timer()
        limit, abort = self._conn.close_timeout, self._connection.abort
        self._timer = self._scheduler.timeout(limit, abort)

    def _fail(self, reason: object) -> None:
        """Record that a phase has failed: the current one, or TLS if its failure came late."""
        findings, timeline = self.findings, self.findings.timeline
        findings.reason = reason
        findings.failed_in = self._failed_phase()
        timeline.fail(findings.failed_in)
        self._finish()

    def _failed_phase(self) -> str:
        current = self.findings.timeline.current
        if current is None:
            return DNS if self.findings.host is not None else TCP
        # With TLS 1.3, a server may reject the client's certificate after its own handshake.
        if current.name == OPENING_HANDSHAKE and isinstance(self.findings.original, TLSError):
            return TLS
        return current.name

    def _finish(self) -> None:
        self._over = True
        self.findings.seconds = self.findings.timeline.elapsed
        self.findings.session = inspect_session(self._session)
        self.done.callback(self.findings)

    def _end(self) -> None:
        self._stop_timer()
        if not self.ended.called:
            self.ended.callback(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _not_needed(conn: Conn) -> list[str]:
    """Return the phases that a connection does not need."""
    needed = {PROXY: conn.proxy is not None, TLS: conn.parsed.secure}
    return [name for name, is_needed in needed.items() if not is_needed]
