"""One explanation and one suggestion for the phase that failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsx._doctor.examination import Interrupted
from wsx._doctor.explain_connecting import explain_dns, explain_proxy, explain_tcp
from wsx._doctor.explain_opening import explain_opening
from wsx._doctor.explain_ping import explain_ping
from wsx._doctor.explain_tls import explain_tls
from wsx._doctor.findings import Findings, Problem
from wsx._doctor.phases import DNS, OPENING_HANDSHAKE, PING, PROXY, TCP, TLS

__all__ = ["explain"]

_EXPLAIN: Final[dict[str, Callable[[Findings], Problem]]] = {
    DNS: explain_dns,
    TCP: explain_tcp,
    PROXY: explain_proxy,
    TLS: explain_tls,
    OPENING_HANDSHAKE: explain_opening,
    PING: explain_ping,
}


def explain(findings: Findings) -> Problem | None:
    """Return what is wrong and what to do, or None if all phases have passed.

    Args:
        findings: The findings of an examination that is over.
    """
    if findings.failed_in is None:
        return None
    if isinstance(findings.reason, Interrupted):
        return Problem("interrupted", str(findings.reason), "run the command again")
    return _EXPLAIN[findings.failed_in](findings)
