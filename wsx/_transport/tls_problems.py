"""TLS errors: why a certificate was rejected, and what an error means to the user."""

from __future__ import annotations

import re
import ssl
from typing import Any, Final
from weakref import WeakKeyDictionary

from OpenSSL.SSL import Error
from twisted.internet.interfaces import ISSLTransport

__all__ = [
    "WRONG_HOST",
    "WrongHostError",
    "certificate_problem",
    "explain",
    "openssl_error",
    "record_problem",
]

WRONG_HOST: Final = "the server's certificate is not for this host"
_REJECTED: Final = "certificate verify failed"  # OpenSSL's reason

# OpenSSL's X509_V_ERR_* codes; see its manual page X509_STORE_CTX_get_error(3).
_CERTIFICATE_PROBLEMS: Final = {
    2: "the issuer of the trusted certificate is not trusted; add its root certificate to cacerts",
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: "the server's certificate is self-signed, and not among the trusted ones",
    19: "the server's certificate is signed by a root certificate that is not trusted",
    20: "the server's certificate is signed by an authority that is not trusted",
    21: "the server's certificate is signed by an authority that is not trusted",
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
