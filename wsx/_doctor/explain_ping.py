"""Explanations of failures after the opening handshake, before the first pong."""

from __future__ import annotations

from typing import Final

from wsx._doctor.findings import Findings, Problem
from wsx.errors import FrameError, PingTimeout
from wsx.reasons import RemoteClose

__all__ = ["explain_ping"]

_SEE_LOG: Final = "see the log of the server for the reason"
_CODES: Final = {
    1001: "try again: the server is restarting or shutting down",
    1003: "check which messages the server accepts",
    1008: "check the credentials and the headers that the server requires",
    1011: "see the log of the server: it has failed",
    1012: "try again: the server is restarting",
    1013: "try again later: the server is overloaded",
}


def explain_ping(findings: Findings) -> Problem:
    """Return the problem of a connection that ended before a pong, or of a missing pong."""
    reason = findings.reason
    if isinstance(reason, PingTimeout):
        return Problem(
            "no_pong",
            f"the server did not answer a ping within {reason.timeout:g} s",
            "check the server, or connect with --ping-interval none if it does not answer pings",
        )
    if isinstance(reason, RemoteClose):
        return _explain_close(reason, findings)
    if isinstance(reason, FrameError):
        return Problem("protocol_error", str(reason), "report this to the operator of the server")
    return Problem(
        "dropped",
        f"the connection ended right after the opening handshake ({reason})",
        "check the credentials and the headers that the server requires, and see its log",
    )


def _explain_close(close: RemoteClose, findings: Findings) -> Problem:
    message = findings.conn.redactor().text(close.message)
    shown = str(RemoteClose(close.code, message)).partition(": ")[2]
    return Problem(
        "closed_at_once",
        f"the server closed the connection right after the opening handshake: close code {shown}",
        _CODES.get(close.code, _SEE_LOG),
    )
