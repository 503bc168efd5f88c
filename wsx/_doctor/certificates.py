"""What a certificate says: subject, issuer, names and validity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from wsx._text import line
from wsx._transport.tls_names import names_in

__all__ = ["CertificateFacts", "read_certificate"]

_NAME_LIMIT: Final = 200  # characters
_MAX_NAMES: Final = 100
_DAY: Final = 86400  # seconds


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The facts about a certificate. Text is escaped and truncated.

    Attributes:
        subject: The subject, such as ``CN=example.com``.
        issuer: The subject of the issuer.
        names: The DNS names and IP addresses that it is valid for, at most 100.
        not_before: The beginning of its validity.
        not_after: The end of its validity.
        sha256: Its fingerprint in hexadecimal.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha256: str

    @property
    def days_left(self) -> int:
        """The number of whole days until it expires; negative after that."""
        return math.floor((self.not_after - datetime.now(UTC)).total_seconds() / _DAY)


def read_certificate(der: bytes) -> CertificateFacts | None:
    """Return the facts about a certificate, or None if it is malformed.

    Args:
        der: The certificate in DER.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        return CertificateFacts(
            line(certificate.subject.rfc4514_string(), _NAME_LIMIT),
            line(certificate.issuer.rfc4514_string(), _NAME_LIMIT),
            tuple(names_in(certificate))[:_MAX_NAMES],
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            certificate.fingerprint(SHA256()).hex(),
        )
    except Exception:  # A server may send anything, and parsers raise any class.
        return None
