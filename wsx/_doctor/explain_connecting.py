"""Explanations of failures of DNS, TCP and the proxy."""

from __future__ import annotations

import re
from typing import Final

from twisted.internet import error as twisted_errors

from wsx._doctor.findings import AddressAttempt, Findings, Problem
from wsx._error_texts import cause
from wsx._text import line, quote
from wsx.conn import ParsedURL, parse_proxy
from wsx.errors import HandshakeError, RequestError

__all__ = ["explain_dns", "explain_proxy", "explain_tcp"]

_LIMIT: Final = 300  # characters
_NO_ROUTE: Final = re.compile("unreachable|no route", re.IGNORECASE)
_MORE_TIME: Final = "allow more time with --connect-timeout"


def explain_dns(findings: Findings) -> Problem:
    """Return the problem of a failed DNS lookup."""
    host = quote(findings.tcp_target.host if findings.host is None else findings.host)
    if findings.timed_out:
        return Problem(
            "dns_timeout",
            f"the DNS lookup of {host} did not end within {_connect_limit(findings)}",
            f"check the DNS servers of this machine, or {_MORE_TIME}",
        )
    return _explain_unknown_host(host, findings)


def _explain_unknown_host(host: str, findings: Findings) -> Problem:
    return Problem(
        "host_not_found",
        f"the host name {host} was not found",
        f"correct the host in {_place(findings)}, or check the DNS servers of this machine",
    )


def explain_tcp(findings: Findings) -> Problem:
    """Return the problem of a TCP connection that was not established."""
    attempts = findings.attempts
    if not attempts:
        used = "the options of TLS" if findings.conn.endpoint is None else "--endpoint"
        return Problem("tcp_failed", _text(findings.original), f"correct {used}")
    if findings.timed_out:
        return Problem(
            "tcp_timeout",
            f"no answer from {_addresses(attempts)} within {_connect_limit(findings)}",
            "check that the server is running and that no firewall blocks the port, or "
            f"{_MORE_TIME}",
        )
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    # The endpoint tcp:HOST:PORT resolves the name itself, as a part of TCP.
    if errors and all(isinstance(e, twisted_errors.DNSLookupError) for e in errors):
        return _explain_unknown_host(quote(attempts[0].address.rpartition(":")[0]), findings)
    if errors and all(isinstance(e, twisted_errors.ConnectionRefusedError) for e in errors):
        return Problem(
            "connection_refused",
            f"{_addresses(attempts)} refused the connection: no server listens there",
            f"start the server, or correct the host and port in {_place(findings)}",
        )
    if errors and all(_is_no_route(error) for error in errors):
        return Problem(
            "no_route",
            f"this machine has no route to {_addresses(attempts)}",
            "check the network connection, the VPN and the routes of this machine",
        )
    return Problem(
        "tcp_failed",
        "; ".join(f"{a.address}: {a.problem}" for a in attempts if a.problem is not None),
        f"check the network and the host and port in {_place(findings)}",
    )


def explain_proxy(findings: Findings) -> Problem:
    """Return the problem of a proxy that did not connect to the server."""
    assert findings.conn.proxy is not None
    proxy, error = parse_proxy(findings.conn.proxy), findings.original
    if isinstance(error, RequestError):
        return _explain_refusal(error, proxy, findings.conn.parsed.authority)
    if findings.timed_out:
        return Problem(
            "proxy_timeout",
            f"the proxy {proxy.authority} did not connect to the server within "
            f"{_connect_limit(findings)}",
            f"check that the proxy can reach {findings.conn.parsed.authority}, or {_MORE_TIME}",
        )
    text = line(error.reason, _LIMIT) if isinstance(error, HandshakeError) else _text(error)
    return Problem(
        "proxy_failed",
        f"{proxy.authority} did not answer as an HTTP proxy ({text.removeprefix('proxy: ')})",
        "correct the host and port in --proxy: it must be an HTTP proxy that supports CONNECT",
    )


def _explain_refusal(error: RequestError, proxy: ParsedURL, target: str) -> Problem:
    if error.code == 407 and proxy.username is None:
        code, suggestion = (
            "proxy_credentials_missing",
            "add the user name and password to --proxy: http://user:password@host:port "
            "(with --proxy @FILE they do not appear on the command line)",
        )
    elif error.code == 407:
        code, suggestion = (
            "proxy_credentials_wrong",
            "correct the user name and password in --proxy, and check that the proxy accepts Basic "
            "authentication",
        )
    elif error.code in (502, 503, 504):
        code, suggestion = (
            "proxy_cannot_connect",
            f"check that {target} is right and that the proxy can reach it",
        )
    else:
        code, suggestion = (
            "proxy_refused",
            f"ask the operator of the proxy to allow CONNECT to {target}",
        )
    return Problem(code, line(error.summary, _LIMIT), suggestion)


def _place(findings: Findings) -> str:
    """Return where the user has specified the host of TCP."""
    if findings.conn.endpoint is not None:
        return "--endpoint"
    return "the URL" if findings.conn.proxy is None else "--proxy"


def _connect_limit(findings: Findings) -> str:
    return f"{findings.conn.socket_connect_timeout:g} s"


def _addresses(attempts: list[AddressAttempt]) -> str:
    return line(" and ".join(dict.fromkeys(attempt.address for attempt in attempts)), _LIMIT)


def _is_no_route(error: BaseException) -> bool:
    is_known = isinstance(error, twisted_errors.NoRouteError)
    return is_known or _NO_ROUTE.search(str(error)) is not None


def _text(error: object) -> str:
    return cause(error) if isinstance(error, BaseException) else str(error)
