"""What a TLS session has negotiated, and the certificates that the server has sent.

Both are available also for a session whose certificate was rejected.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate
from OpenSSL.SSL import Connection

__all__ = ["TLSSession", "inspect_session"]


@dataclass(frozen=True, slots=True)
class TLSSession:
    """The state of a TLS session.

    Attributes:
        version: The version of TLS, such as ``"TLSv1.3"``, or None.
        cipher: OpenSSL's name of the cipher suite, or None.
        alpn: The protocol that ALPN has selected, or None.
        chain: The certificates that the server has sent, in DER, its own one first.
    """

    version: str | None
    cipher: str | None
    alpn: str | None
    chain: tuple[bytes, ...]


def inspect_session(session: object) -> TLSSession | None:
    """Return the state of a TLS session, complete or failed.

    Args:
        session: What ``getHandle`` of the transport returns.

    Returns:
        The state, or None if the object is not a TLS session.
    """
    if isinstance(session, ssl.SSLObject):
        return _inspect_stdlib(session)
    return _inspect_pyopenssl(session) if isinstance(session, Connection) else None


def _inspect_stdlib(session: ssl.SSLObject) -> TLSSession:
    name, protocol, _ = session.cipher() or (None, None, None)
    version = session.version()
    if version is None and protocol == "TLSv1.3":
        version = protocol  # Its cipher suites are not used by other versions.
    alpn = session.selected_alpn_protocol()
    return TLSSession(version, name, alpn, tuple(_stdlib_chain(session)))


def _stdlib_chain(session: ssl.SSLObject) -> list[bytes]:
    """Return the certificates in DER. The method is public since Python 3.13."""
    public = getattr(session, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    # The object below is private, and so are its certificates.
    found: Any = session._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in found or ()]


def _inspect_pyopenssl(session: Connection) -> TLSSession:
    chain = [dump_certificate(FILETYPE_ASN1, sent) for sent in session.get_peer_cert_chain() or ()]
    cipher = session.get_cipher_name()
    # Before the response of the server, OpenSSL returns the latest version that it supports.
    version = session.get_protocol_version_name() if chain or cipher else None
    alpn = session.get_alpn_proto_negotiated().decode("latin-1") or None
    return TLSSession(version, cipher, alpn, tuple(chain))
