"""The report of an examination, as values that JSON can represent.

docs/debugging.md documents the keys. Keys may be added, but are not renamed or removed. All keys
are always present. No value contains a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsx._doctor.certificates import read_certificate
from wsx._doctor.explanations import explain
from wsx._doctor.findings import AddressAttempt, Findings, Problem
from wsx._doctor.phases import DNS, OPENING_HANDSHAKE, PASSED, PING, PROXY, TCP, TLS, Phase
from wsx._doctor.warnings import find_warnings
from wsx._text import line
from wsx._transport.tls_names import server_name_of
from wsx._version import __version__
from wsx.conn import parse_proxy
from wsx.errors import RequestError

__all__ = ["make_report"]

_VALUE_LIMIT: Final = 300  # characters of a header
_MAX_HEADERS: Final = 100


def make_report(findings: Findings) -> dict[str, Any]:
    """Return the report of an examination that is over.

    Args:
        findings: What the examination has observed.
    """
    conn, problem = findings.conn, explain(findings)
    return {
        "wsx": __version__,
        "url": conn.parsed.shown,
        "passed": findings.passed,
        "seconds": _rounded(findings.seconds),
        "phases": [_phase(phase, findings) for phase in findings.timeline.phases.values()],
        "negotiated": _negotiated(findings),
        "problem": None if problem is None else _problem(findings.failed_in, problem),
        "warnings": [_problem(name, warning) for name, warning in find_warnings(findings)],
    }


def _phase(phase: Phase, findings: Findings) -> dict[str, Any]:
    common = {"name": phase.name, "status": phase.status, "seconds": _rounded(phase.seconds)}
    return common | _DETAILS[phase.name](findings)


def _dns(findings: Findings) -> dict[str, Any]:
    return {"host": findings.host, "addresses": findings.addresses}


def _tcp(findings: Findings) -> dict[str, Any]:
    return {"attempts": [_address(attempt) for attempt in findings.attempts]}


def _address(attempt: AddressAttempt) -> dict[str, Any]:
    return {
        "address": attempt.address,
        "status": attempt.status,
        "seconds": _rounded(attempt.seconds),
        "error": attempt.problem,
    }


def _proxy(findings: Findings) -> dict[str, Any]:
    proxy = findings.conn.proxy
    return {"proxy": None if proxy is None else parse_proxy(proxy).authority}


def _tls(findings: Findings) -> dict[str, Any]:
    session, conn = findings.session, findings.conn
    return {
        "server_name": _server_name(findings),
        "version": None if session is None else session.version,
        "cipher": None if session is None else session.cipher,
        "alpn": None if session is None or session.alpn is None else line(session.alpn),
        "verified": findings.timeline.phases[TLS].status == PASSED and not conn.insecure,
        "certificates": [_certificate(der) for der in session.chain] if session else [],
    }


def _server_name(findings: Findings) -> str | None:
    conn = findings.conn
    options = conn.ssl_options if isinstance(conn.ssl_options, dict) else {}
    if not conn.parsed.secure:
        return None
    try:
        return server_name_of(conn, options).sent
    except ValueError:
        return None


def _certificate(der: bytes) -> dict[str, Any]:
    facts = read_certificate(der)
    if facts is None:
        return dict.fromkeys(_CERTIFICATE_KEYS)
    values = (
        facts.subject,
        facts.issuer,
        list(facts.names),
        facts.not_before.isoformat(),
        facts.not_after.isoformat(),
        facts.days_left,
        facts.sha256,
    )
    return dict(zip(_CERTIFICATE_KEYS, values, strict=True))


_CERTIFICATE_KEYS: Final = (
    "subject",
    "issuer",
    "names",
    "not_before",
    "not_after",
    "days_left",
    "sha256",
)


def _opening_handshake(findings: Findings) -> dict[str, Any]:
    conn, reason = findings.conn, findings.reason
    status, headers = conn.resp_status, conn.resp_headers
    if isinstance(reason, RequestError) and findings.failed_in == OPENING_HANDSHAKE:
        status, headers = reason.code, reason.headers
    redactor = conn.redactor()
    shown = [redactor.header(name, value) for name, value in headers[:_MAX_HEADERS]]
    return {
        "http_status": status,
        "headers": [[line(name), line(value, _VALUE_LIMIT)] for name, value in shown],
    }


def _ping(_: Findings) -> dict[str, Any]:
    return {}


_DETAILS: Final[dict[str, Callable[[Findings], dict[str, Any]]]] = {
    DNS: _dns,
    TCP: _tcp,
    PROXY: _proxy,
    TLS: _tls,
    OPENING_HANDSHAKE: _opening_handshake,
    PING: _ping,
}


def _negotiated(findings: Findings) -> dict[str, Any]:
    conn = findings.conn
    redactor = conn.redactor()
    subprotocol = conn.subprotocol
    return {
        "peer": conn.peer,
        "subprotocol": None if subprotocol is None else line(redactor.subprotocol(subprotocol)),
        "extensions": [line(redactor.text(text), _VALUE_LIMIT) for text in conn.extensions],
    }


def _problem(phase: str | None, problem: Problem) -> dict[str, Any]:
    return {
        "phase": phase,
        "code": problem.code,
        "explanation": problem.explanation,
        "suggestion": problem.suggestion,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
