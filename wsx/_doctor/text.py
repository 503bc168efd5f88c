"""The report of an examination as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["format_report"]

_LABELS: Final = {
    "dns": "DNS",
    "tcp": "TCP",
    "proxy": "proxy",
    "tls": "TLS",
    "opening_handshake": "opening handshake",
    "ping": "ping",
}
_STATUSES: Final = {"not_reached": "not reached"}
_INDENT: Final = " " * 42
_MAX_NAMES: Final = 10  # of a certificate


def format_report(report: dict[str, Any]) -> str:
    """Return a report as lines of text.

    Args:
        report: The report; see :func:`wsx._doctor.report.make_report`.
    """
    lines = [report["url"], ""]
    for phase in report["phases"]:
        lines += _phase_lines(phase)
    lines += ["", *_negotiated_lines(report)]
    for warning in report["warnings"]:
        lines += _problem_lines("warning:", warning)
    if report["problem"] is not None:
        lines += _problem_lines("problem:", report["problem"])
    return "\n".join([*lines, ""])


def _problem_lines(title: str, problem: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{title:12} {_LABELS[problem['phase']]}: {problem['explanation']}"
    yield f"what to do:  {problem['suggestion']}"


def _phase_lines(phase: dict[str, Any]) -> Iterator[str]:
    details = list(_DETAILS[phase["name"]](phase))
    seconds = "" if phase["seconds"] is None else f"{phase['seconds'] * 1000:.1f} ms"
    status = _STATUSES.get(phase["status"], phase["status"])
    first = f"{_LABELS[phase['name']]:18} {status:11} {seconds:>10}"
    yield f"{first:40}  {details[0] if details else ''}".rstrip()
    yield from (f"{_INDENT}{detail}" for detail in details[1:])


def _dns(phase: dict[str, Any]) -> Iterator[str]:
    if phase["host"] is not None:
        yield f"{phase['host']}: {', '.join(phase['addresses']) or 'not found'}"


def _tcp(phase: dict[str, Any]) -> Iterator[str]:
    for attempt in phase["attempts"]:
        seconds = attempt["seconds"]
        time = "" if seconds is None else f" after {seconds * 1000:.1f} ms"
        error = "" if attempt["error"] is None else f" ({attempt['error']})"
        yield f"{attempt['address']} {attempt['status']}{time}{error}"


def _proxy(phase: dict[str, Any]) -> Iterator[str]:
    if phase["proxy"] is not None:
        yield phase["proxy"]


def _tls(phase: dict[str, Any]) -> Iterator[str]:
    parts = [part for part in (phase["version"], phase["cipher"]) if part is not None]
    parts += [f"ALPN {phase['alpn']}"] if phase["alpn"] else []
    if parts:
        yield ", ".join(parts)
    for number, certificate in enumerate(phase["certificates"], 1):
        yield from _certificate(number, certificate)
    if phase["status"] == "passed":
        yield "certificate verified" if phase["verified"] else "certificate not verified"


def _certificate(number: int, facts: dict[str, Any]) -> Iterator[str]:
    if facts["subject"] is None:
        yield f"certificate {number}: malformed"
        return
    yield f"certificate {number}: {facts['subject']}"
    yield f"  issuer: {facts['issuer']}"
    names = facts["names"]
    if names:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        yield f"  names: {', '.join(names[:_MAX_NAMES])}{more}"
    days = facts["days_left"]
    left = f"{days} days left" if days >= 0 else "expired"
    yield f"  valid: {facts['not_before'][:10]} to {facts['not_after'][:10]} ({left})"


def _opening_handshake(phase: dict[str, Any]) -> Iterator[str]:
    if phase["http_status"] is not None:
        yield f"HTTP status {phase['http_status']}"


def _ping(_: dict[str, Any]) -> Iterator[str]:
    yield from ()


_DETAILS: Final[dict[str, Callable[[dict[str, Any]], Iterator[str]]]] = {
    "dns": _dns,
    "tcp": _tcp,
    "proxy": _proxy,
    "tls": _tls,
    "opening_handshake": _opening_handshake,
    "ping": _ping,
}


def _negotiated_lines(report: dict[str, Any]) -> Iterator[str]:
    negotiated = report["negotiated"]
    if negotiated["peer"] is not None:
        yield f"peer:        {negotiated['peer']}"
        yield f"subprotocol: {negotiated['subprotocol'] or 'none'}"
        yield f"extensions:  {', '.join(negotiated['extensions']) or 'none'}"
    total = f"{report['seconds'] * 1000:.1f} ms"
    yield f"result:      {'all phases passed' if report['passed'] else 'failed'} in {total}"
