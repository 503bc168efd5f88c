"""TLS errors: why a certificate was rejected, and what an error means to the user."""

from __future__ import annotations

import re
import ssl
from typing import Any, Final
from weakref import WeakKeyDictionary

from cryptography.x509 import Certificate
from OpenSSL.SSL import Error
from service_identity.hazmat import DNS_ID, IPAddress_ID
from twisted.internet.interfaces import ISSLTransport

from wsx._text import line, quote
from wsx._transport.tls_names import names_in

__all__ = [
    "WRONG_HOST",
    "WrongHostError",
    "certificate_problem",
    "explain",
    "is_wrong_host",
    "openssl_error",
    "record_problem",
    "wrong_host_problem",
]

WRONG_HOST: Final = "the server's certificate is not for this host"
_VALID_FOR: Final = "the server's certificate is valid for "
_SHOWN_NAMES: Final = 3
_LIMIT: Final = 300  # characters
_UNKNOWN_CA: Final = (
    "the server's certificate is signed by {} that is not trusted; if you trust it, add its root "
    "certificate to cacerts"
)
_REJECTED: Final = "certificate verify failed"  # OpenSSL's reason

# OpenSSL's X509_V_ERR_* codes; see its manual page X509_STORE_CTX_get_error(3).
_CERTIFICATE_PROBLEMS: Final = {
    2: "the issuer of the trusted certificate is not trusted; add its root certificate to cacerts",
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: "the server's certificate is self-signed, and not among the trusted ones; if you trust it, "
    "add it to cacerts",
    19: _UNKNOWN_CA.format("a root certificate"),
    20: _UNKNOWN_CA.format("an authority"),
    21: _UNKNOWN_CA.format("an authority"),
    23: "the server's certificate is revoked",
    26: "the server's certificate is not for servers",
    62: WRONG_HOST,
    64: WRONG_HOST,
    66: "the key of the server's certificate is too short for OpenSSL's security level",
    67: "the key of an authority is too short for OpenSSL's security level",
    68: "a certificate has a signature that is too weak for OpenSSL's security level",
    79: "the server's certificate is signed by a certificate that is not an authority",
}
# The reason why the certificate of a TLS session was rejected. OpenSSL's exception lacks it.
_problems: Final[WeakKeyDictionary[object, str]] = WeakKeyDictionary()
# Reasons that OpenSSL gives for bytes that are not TLS records.
_NOT_TLS: Final = {
    "http request",
    "https proxy request",
    "packet length too long",
    "unknown protocol",
    "wrong version number",
}
# What the standard library adds: ``[SSL: HTTP_REQUEST] http request (_ssl.c:1006)``
_STDLIB_DETAILS: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")


class WrongHostError(Error):
    """The certificate of the server is for another host."""

    def __init__(self) -> None:
        super().__init__([("SSL routines", "", _REJECTED)])


def certificate_problem(code: int) -> str:
    """Return a sentence about a certificate that OpenSSL rejected with this verify code."""
    unknown = f"the server's certificate is not accepted (OpenSSL verify code {code})"
    return _CERTIFICATE_PROBLEMS.get(code, unknown)


def wrong_host_problem(certificate: Certificate | None, host: DNS_ID | IPAddress_ID) -> str:
    """Return a sentence about a certificate that is not valid for a host.

    Args:
        certificate: The certificate, or None if it is malformed.
        host: The host that was expected.
    """
    if certificate is None:
        return WRONG_HOST
    try:
        names = [quote(name) for name in names_in(certificate)]
    except Exception:  # A server may send anything, and parsers raise any class.
        return WRONG_HOST
    more = len(names) - _SHOWN_NAMES
    shown = ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
    expected = host.hostname.decode("ascii") if isinstance(host, DNS_ID) else str(host.ip)
    return line(f"{_VALID_FOR}{shown or 'no name'}, not for {quote(expected)}", _LIMIT)


def is_wrong_host(problem: str) -> bool:
    """Return whether a sentence is about a certificate that is not valid for the host."""
    return problem == WRONG_HOST or problem.startswith(_VALID_FOR)


def record_problem(session: object, problem: str) -> None:
    """Record why the certificate of a TLS session was rejected, for :func:`explain`.

    Args:
        session: What ``getHandle`` of the transport returns.
        problem: A sentence.
    """
    _problems[session] = problem


def openssl_error(error: ssl.SSLError) -> Error:
    """Return pyOpenSSL's exception for one of the standard library.

    Users see the same exceptions with both implementations of TLS.
    """
    reason = _STDLIB_DETAILS.sub("", str(error.strerror))
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = _REJECTED
    return Error([("SSL routines", "", reason)])


def explain(error: BaseException, transport: Any) -> str | None:
    """Return a sentence that explains a TLS error to the user, or None if the cause is unknown.

    Args:
        error: The exception with which the connection ended.
        transport: The transport of the connection, with or without TLS.
    """
    if not isinstance(error, Error) or not ISSLTransport.providedBy(transport):
        return None
    problem = _problems.get(transport.getHandle())  # type: ignore[attr-defined]
    if problem is not None:
        return problem
    reasons = {str(part[-1]) for part in (error.args[0] if error.args else ())}
    if reasons & _NOT_TLS:
        return "the server does not speak TLS on this port; did you mean ws://?"
    if any("unrecognized name" in reason for reason in reasons):
        return "the server does not know the server name in the TLS handshake (SNI)"
    alert = next((reason for reason in sorted(reasons) if "alert" in reason), None)
    if alert is None:
        return None
    hint = "; set certificate in ssl_options" if "certificate required" in alert else ""
    return f"the server ended the TLS handshake with an alert: {alert}{hint}"
