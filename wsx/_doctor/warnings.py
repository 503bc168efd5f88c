"""Warnings: what may become a problem, although the phase has passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsx._doctor.certificates import CertificateFacts, read_certificate
from wsx._doctor.findings import Findings, Problem
from wsx._doctor.phases import DNS, OPENING_HANDSHAKE, PASSED, PING, PROXY, TCP, TLS

__all__ = ["EXPIRY_DAYS", "SLOW_SECONDS", "find_warnings"]

EXPIRY_DAYS: Final = 30
SLOW_SECONDS: Final = 1.0
_SLOW: Final = {
    DNS: ("the DNS lookup", "check the DNS servers of this machine"),
    TCP: ("TCP", "check the network between this machine and the server"),
    PROXY: ("the proxy", "check the load of the proxy, and whether it reaches the server"),
    TLS: ("the TLS handshake", "check the load of the server, and the network"),
    OPENING_HANDSHAKE: (
        "the response to the opening handshake",
        "check the load of the server, and what it does before it accepts a connection",
    ),
    PING: ("the answer to a ping", "check the load of the server, and the network"),
}


def find_warnings(findings: Findings) -> list[tuple[str, Problem]]:
    """Return the warnings, each with the name of its phase, in the order of the phases."""
    found = [
        *((TCP, warning) for warning in _failed_addresses(findings)),
        *((TLS, warning) for warning in _certificate_warnings(findings)),
        *((OPENING_HANDSHAKE, warning) for warning in _subprotocol_warnings(findings)),
        *_slow_phases(findings),
    ]
    order = list(findings.timeline.phases)
    return sorted(found, key=lambda pair: order.index(pair[0]))


def _failed_addresses(findings: Findings) -> Iterator[Problem]:
    if findings.timeline.phases[TCP].status != PASSED:
        return
    for attempt in findings.attempts:
        if attempt.problem is not None:
            text = f"{attempt.address} did not accept a connection ({attempt.problem})"
            yield Problem("address_failed", text, _remove(findings))


def _remove(findings: Findings) -> str:
    return f"correct the server there, or remove its address from the DNS entry of {findings.host}"


def _certificate_warnings(findings: Findings) -> Iterator[Problem]:
    session = findings.session
    if session is None or findings.timeline.phases[TLS].status != PASSED:
        return
    if findings.conn.insecure:
        yield Problem(
            "certificate_not_verified",
            "the server's certificate was not verified (--insecure)",
            "connect without --insecure; pass a private certificate authority as --cacerts",
        )
    for certificate in map(read_certificate, session.chain):
        if certificate is not None and certificate.days_left < EXPIRY_DAYS:
            yield _expiry(certificate)


def _expiry(certificate: CertificateFacts) -> Problem:
    days, when = certificate.days_left, f"{certificate.not_after:%Y-%m-%d}"
    expires = f"expires in {days} days" if days >= 0 else "has expired"
    return Problem(
        "certificate_expires_soon",
        f"the certificate {certificate.subject} {expires}, on {when}",
        "renew the certificate of the server",
    )


def _subprotocol_warnings(findings: Findings) -> Iterator[Problem]:
    conn = findings.conn
    if conn.resp_status is not None and conn.subprotocols and conn.subprotocol is None:
        yield Problem(
            "no_subprotocol",
            "the server selected none of the subprotocols that were offered",
            "offer a subprotocol that the server supports, or none",
        )


def _slow_phases(findings: Findings) -> Iterator[tuple[str, Problem]]:
    for name, phase in findings.timeline.phases.items():
        if phase.status == PASSED and (phase.seconds or 0.0) >= SLOW_SECONDS:
            what, suggestion = _SLOW[name]
            text = f"{what} took {phase.seconds:.1f} s"
            yield name, Problem("slow_phase", text, suggestion)
