"""The reasons why a connection to NATS failed, and whether trying again can help."""

from __future__ import annotations

import re
import ssl
from typing import Final

from wsx._redaction import redact_text
from wsx.errors import ClusterError, ClusterSetupError

__all__ = ["NO_PACKAGE", "explain", "refused_subject", "why_closed"]

NO_PACKAGE: Final = 'NATS needs more packages: pip install "txwsx[nats]"'
_REFUSAL: Final = re.compile(r"authori[sz]ation|authentication (?:expired|revoked)", re.IGNORECASE)
_PERMISSION: Final = re.compile(r'permissions violation for (publish|subscription) to "(\S+)"')


def explain(error: BaseException, server: str) -> ClusterError:
    """Return the error to report after a failed attempt to connect.

    Args:
        error: The exception of the attempt.
        server: The address of the server.
    """
    if isinstance(error, ClusterError):
        return error
    if isinstance(error, ImportError):
        return ClusterSetupError(f"{NO_PACKAGE} ({error})")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ClusterSetupError(f"{server}: the certificate is not valid ({error.verify_message})")
    reason = _describe(error)
    if _REFUSAL.search(reason):
        return ClusterSetupError(f"{server} refuses the credentials ({reason})")
    if "Seed" in type(error).__name__ or type(error).__module__.startswith("nkeys"):
        return ClusterSetupError(f"the NKey seed is not valid ({type(error).__name__})")
    return ClusterError(f"cannot connect to {server} ({reason})")


def why_closed(error: Exception | None) -> str:
    """Return why a connection was closed, from the last error that nats-py has noted."""
    if error is None or type(error).__name__ == "UnexpectedEOF":
        return "the server closed the connection"
    return _describe(error)


def _describe(error: BaseException) -> str:
    """Return the failure in the words of the system or the server."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    text = str(error).removeprefix("nats: ").strip("'")
    return redact_text(text) or type(error).__name__


def refused_subject(error: BaseException) -> tuple[str, str] | None:
    """Return the operation that a server refused for lack of a permission, and its subject.

    The operation is ``"publish"`` or ``"subscription"``. The subject is in lower case, because
    nats-py converts the message of the server.
    """
    match = _PERMISSION.search(str(error).lower())
    return None if match is None else (match[1], match[2])
