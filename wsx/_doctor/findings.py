"""What an examination has observed, for its report."""

from __future__ import annotations

from dataclasses import dataclass, field

from wsx._doctor.phases import Timeline
from wsx._error_texts import cause
from wsx._transport.tls_session import TLSSession
from wsx.conn import Conn, ParsedURL, parse_proxy

__all__ = ["AddressAttempt", "Findings", "Problem"]


@dataclass(slots=True)
class AddressAttempt:
    """A TCP connection to one address.

    Attributes:
        address: The address with its port.
        began: When the attempt began, on the clock of the timeline.
        seconds: How long it took, or None while it is pending.
        error: Why it failed, or None.
        connected: Whether the address accepted the connection.
        cancelled: Whether this side ended the attempt, because another address was faster or a
            time limit was exceeded.
    """

    address: str
    began: float
    seconds: float | None = None
    error: BaseException | None = None
    connected: bool = False
    cancelled: bool = False

    @property
    def status(self) -> str:
        """``"connected"``, ``"failed"`` or ``"cancelled"``."""
        if self.connected:
            return "connected"
        return "cancelled" if self.cancelled or self.error is None else "failed"

    @property
    def problem(self) -> str | None:
        """One line about the error, or None if the address has not failed."""
        if self.status != "failed" or self.error is None:
            return None
        return cause(self.error)


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure or a warning, in words.

    Attributes:
        code: A short name for programs, such as ``"certificate_expired"``.
        explanation: What is wrong, one sentence without a full stop.
        suggestion: What to do, one sentence without a full stop.
    """

    code: str
    explanation: str
    suggestion: str


@dataclass(slots=True)
class Findings:
    """What an examination has observed so far.

    Attributes:
        conn: Where and how to connect. After the opening handshake, it has the server's response.
        timeline: The phases.
        host: The name that was looked up, or None.
        addresses: The addresses of the name.
        attempts: The attempts to connect to an address, in order.
        session: The TLS session, or None.
        failed_in: The name of the phase that failed, or None.
        reason: Why it failed: an exception or a value of :mod:`wsx.reasons`; None if it passed.
        seconds: The time of all phases together, once the examination is over.
    """

    conn: Conn
    timeline: Timeline
    host: str | None = None
    addresses: list[str] = field(default_factory=list)
    attempts: list[AddressAttempt] = field(default_factory=list)
    session: TLSSession | None = None
    failed_in: str | None = None
    reason: object = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no phase has failed."""
        return self.failed_in is None

    @property
    def tcp_target(self) -> ParsedURL:
        """The URL of the host that TCP connects to: the proxy, if there is one, or the server."""
        return self.conn.parsed if self.conn.proxy is None else parse_proxy(self.conn.proxy)

    @property
    def original(self) -> object:
        """The exception behind the reason: the ``original`` of a ConnError, or the reason."""
        return getattr(self.reason, "original", self.reason)

    @property
    def timed_out(self) -> bool:
        """Whether a time limit of the attempt was exceeded."""
        return isinstance(self.original, TimeoutError)
