"""Explanations of failures of TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsx._doctor.certificates import CertificateFacts, read_certificate
from wsx._doctor.findings import Findings, Problem
from wsx._text import line, quote
from wsx._transport.tls_problems import certificate_problem, is_wrong_host
from wsx.errors import ConnError

__all__ = ["explain_tls"]

_LIMIT: Final = 300  # characters
# OpenSSL's X509_V_ERR_* codes.
_NOT_YET_VALID: Final = certificate_problem(9)
_EXPIRED: Final = certificate_problem(10)
_SELF_SIGNED: Final = certificate_problem(18)
_UNKNOWN_CA: Final = {certificate_problem(code) for code in (2, 19, 20, 21)}


def explain_tls(findings: Findings) -> Problem:
    """Return the problem of a failed TLS handshake."""
    text = _text(findings)
    if findings.timed_out:
        return Problem(
            "tls_timeout",
            "the server did not complete the TLS handshake within "
            f"{findings.conn.socket_connect_timeout:g} s",
            "check that the server speaks TLS on this port, or allow more time with "
            "--connect-timeout",
        )
    explain = _explain_wrong_host if is_wrong_host(text) else _CERTIFICATE_PROBLEMS.get(text)
    if explain is None and text in _UNKNOWN_CA:
        explain = _explain_unknown_ca
    if explain is not None:
        return explain(_leaf(findings), findings)
    return _explain_handshake(text, findings)


def _text(findings: Findings) -> str:
    reason = findings.reason
    explanation = reason.explanation if isinstance(reason, ConnError) else None
    return explanation or line(str(reason).removeprefix("connection failed: "), _LIMIT)


def _leaf(findings: Findings) -> CertificateFacts | None:
    """Return the facts about the server's own certificate, if it has sent one."""
    chain = () if findings.session is None else findings.session.chain
    return read_certificate(chain[0]) if chain else None


def _explain_wrong_host(leaf: CertificateFacts | None, findings: Findings) -> Problem:
    host = _expected_name(findings)
    names = ", ".join(quote(name) for name in leaf.names) if leaf is not None else ""
    return Problem(
        "certificate_wrong_host",
        line(f"the server's certificate is valid for {names or 'no name'}, not for {host}", _LIMIT),
        "use a host name that the certificate is valid for, or give the server a certificate for "
        f"{host}",
    )


def _expected_name(findings: Findings) -> str:
    options = findings.conn.ssl_options
    name = options.get("server_name") if isinstance(options, dict) else None
    return quote(name or findings.conn.parsed.host)


def _explain_expired(leaf: CertificateFacts | None, _: Findings) -> Problem:
    when = "" if leaf is None else f" on {leaf.not_after:%Y-%m-%d} ({-leaf.days_left} days ago)"
    return Problem(
        "certificate_expired",
        f"the server's certificate expired{when}",
        "renew the certificate of the server; if it is newer than that, check the clock of this "
        "machine",
    )


def _explain_not_yet_valid(leaf: CertificateFacts | None, _: Findings) -> Problem:
    when = "" if leaf is None else f" before {leaf.not_before:%Y-%m-%d %H:%M} UTC"
    return Problem(
        "certificate_not_yet_valid",
        f"the server's certificate is not valid{when}",
        "check the clock of this machine, or replace the certificate of the server",
    )


def _explain_self_signed(_: CertificateFacts | None, __: Findings) -> Problem:
    return Problem(
        "certificate_self_signed",
        "the server's certificate is self-signed, and not among the trusted ones",
        "if you trust this server, save its certificate as a PEM file and pass the file as "
        "--cacerts",
    )


def _explain_unknown_ca(leaf: CertificateFacts | None, findings: Findings) -> Problem:
    issuer = "" if leaf is None else f" ({leaf.issuer})"
    alone = findings.session is not None and len(findings.session.chain) == 1
    chain = (
        "; if it is a public one, let the server send its intermediate certificates as well"
        if alone
        else ""
    )
    return Problem(
        "certificate_unknown_ca",
        line(
            f"the server's certificate is signed by an authority that is not trusted{issuer}", 300
        ),
        f"pass the root certificate of that authority, a PEM file, as --cacerts{chain}",
    )


_CERTIFICATE_PROBLEMS: Final[dict[str, Callable[[CertificateFacts | None, Findings], Problem]]] = {
    _EXPIRED: _explain_expired,
    _NOT_YET_VALID: _explain_not_yet_valid,
    _SELF_SIGNED: _explain_self_signed,
}


# Alerts (RFC 8446 section 6.2) that servers send because of the client's certificate.
_ABOUT_THE_CLIENT: Final = (
    "certificate required",
    "bad certificate",
    "unknown ca",
    "certificate unknown",
    "certificate expired",
    "certificate revoked",
    "handshake failure",
)


def _advice_for_certificate(findings: Findings) -> str:
    options = findings.conn.ssl_options
    if isinstance(options, dict) and "certificate" in options:
        return "use another client certificate: the server does not accept the one in --certificate"
    return (
        "pass a client certificate that the server accepts as --certificate, and its key as "
        "--private-key"
    )


def _explain_handshake(text: str, findings: Findings) -> Problem:
    plain = text.partition("; ")[0]  # What follows is a hint to the user of the library.
    if "did you mean ws://" in text:
        return Problem(
            "not_tls",
            plain,
            "use ws:// in place of wss://, or the port on which the server speaks TLS",
        )
    if any(alert in text for alert in _ABOUT_THE_CLIENT):
        return Problem("client_certificate_rejected", plain, _advice_for_certificate(findings))
    if "(SNI)" in text:
        return Problem("unknown_server_name", plain, "use a host name that the server knows")
    if "protocol version" in text or "unsupported protocol" in text:
        return Problem(
            "tls_version", plain, "let the server support TLS 1.2 or later; wsx uses no older one"
        )
    if text.startswith("the server's certificate") or "OpenSSL's security level" in text:
        return Problem("certificate_rejected", plain, "replace the certificate of the server")
    return Problem("tls_failed", plain, "check the TLS settings and the log of the server")
