"""TLS with the standard library's ``ssl``: contexts, which connections share, and sessions.

``ssl`` needs a third of the time that pyOpenSSL needs for a small message, because it is written in
C. Certificates are verified by OpenSSL and by service-identity, as with pyOpenSSL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography.x509 import load_der_x509_certificate
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import verify_service_identity
from twisted.internet.error import ConnectionLost

from wsx._transport.pem import as_sources, certificate_blocks, read_pem, split_pem
from wsx._transport.tls_names import ServerName, server_name_of
from wsx._transport.tls_problems import (
    WrongHostError,
    certificate_problem,
    openssl_error,
    record_problem,
    wrong_host_problem,
)
from wsx.conn import Conn

__all__ = ["TLSSettings", "settings_for"]

# The ciphers of Twisted's CertificateOptions; those of TLS 1.3 are always allowed.
_CIPHERS: Final = (
    "ECDH+AESGCM:ECDH+CHACHA20:DH+AESGCM:DH+CHACHA20:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:"
    "RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS:!AESCCM8"
)
_MAX_CONTEXTS: Final = 16
_contexts: Final[OrderedDict[object, ssl.SSLContext]] = OrderedDict()


class TLSSettings:
    """The TLS context and the server's name for the connections of a Conn.

    Args:
        context: The context.
        name: The name of the server.
    """

    __slots__ = ("_context", "_name")

    def __init__(self, context: ssl.SSLContext, name: ServerName) -> None:
        self._context = context
        self._name = name

    def session(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """Return a session that reads from one buffer and writes to another."""
        name = self._name.sent
        if name is None and self._context.check_hostname:
            name = self._name.address
        return self._context.wrap_bio(incoming, outgoing, server_hostname=name)

    def shake_hands(self, session: ssl.SSLObject) -> bool:
        """Continue the TLS handshake, and verify the server's certificate at its end.

        Returns:
            Whether the handshake is complete. Otherwise it needs bytes of the server.

        Raises:
            ConnectionLost: The server has closed the connection.
            Error: The handshake failed, or the certificate is not accepted.
        """
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            raise ConnectionLost from None
        except ssl.SSLCertVerificationError as error:
            record_problem(session, certificate_problem(error.verify_code))
            raise openssl_error(error) from None
        except ssl.SSLError as error:
            raise openssl_error(error) from None
        if self._name.identity is not None:
            self._verify_name(session)
        return True

    def _verify_name(self, session: ssl.SSLObject) -> None:
        host, certificate = self._name.identity, None
        assert host is not None
        try:
            certificate = load_der_x509_certificate(session.getpeercert(True) or b"")
            verify_service_identity(extract_patterns(certificate), [host], [])
        except Exception:  # A VerificationError, or the error of a malformed certificate.
            record_problem(session, wrong_host_problem(certificate, host))
            raise WrongHostError from None


def settings_for(conn: Conn) -> TLSSettings | None:
    """Return the TLS settings of a Conn, or None if only pyOpenSSL can provide them.

    Raises:
        OSError: A PEM file cannot be read.
        ValueError: A PEM text, a protocol for ALPN or the server name is malformed.
    """
    options = conn.ssl_options or {}
    if not isinstance(options, Mapping) or not _can_use(conn, options):
        return None
    return TLSSettings(_context_for(conn, options), server_name_of(conn, options))


def _can_use(conn: Conn, options: Mapping[str, Any]) -> bool:
    """Return whether the standard library can provide what a Conn needs.

    It needs files for a client certificate, ASCII for ALPN, and it knows only one place for the
    certificates of the platform, which differs between distributions.
    """
    has_bytes = any(isinstance(options.get(key), bytes) for key in ("certificate", "private_key"))
    if has_bytes and not hasattr(os, "memfd_create"):
        return False
    if any(isinstance(name, bytes) and not name.isascii() for name in options.get("alpn", ())):
        return False
    if conn.insecure or conn.cacerts is not None:
        return True
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or paths.capath)


def _context_for(conn: Conn, options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a context; connections with the same options and the same files share one."""
    protocols = tuple(_as_text(name) for name in options.get("alpn", ()))
    trust = () if conn.insecure else _trust_key(conn.cacerts)
    files = tuple(_file_key(options[k]) for k in ("certificate", "private_key") if k in options)
    key = (conn.insecure, trust, files, options.get("minimum_version"), protocols)
    context = _contexts.pop(key, None)
    if context is None:
        context = _make_context(conn, options, list(protocols))
    _contexts[key] = context
    if len(_contexts) > _MAX_CONTEXTS:
        _contexts.popitem(last=False)
    return context


def _trust_key(cacerts: Any) -> object:
    if cacerts is None:
        paths = ssl.get_default_verify_paths()
        return _file_key(paths.cafile), _file_key(paths.capath)
    return tuple(_file_key(source) for source in as_sources(cacerts))


def _file_key(source: Any) -> object:
    """Return what identifies a PEM text: its hash, or the identity and the time of its file."""
    if source is None:
        return None
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    status = os.stat(source)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return os.fspath(source), status.st_dev, status.st_ino, status.st_size, times


def _make_context(conn: Conn, options: Mapping[str, Any], protocols: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # service-identity checks the name after the handshake. OpenSSL checks it as well if the client
    # would otherwise present its certificate to a wrong server.
    context.check_hostname = "certificate" in options and not conn.insecure
    newest = options.get("minimum_version") == "TLSv1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest else ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    if conn.insecure:
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, conn.cacerts)
    if protocols:
        _offer(context, protocols)
    if "certificate" in options:
        _use_certificate(context, options)
    return context


def _trust(context: ssl.SSLContext, cacerts: Any) -> None:
    if cacerts is None:
        context.set_default_verify_paths()
        return
    pem = b"\n".join(certificate_blocks(cacerts))
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError(f"a CA certificate cannot be read: {error}") from None


def _offer(context: ssl.SSLContext, protocols: list[str]) -> None:
    try:
        context.set_alpn_protocols(protocols)
    except (ssl.SSLError, UnicodeEncodeError) as error:
        raise ValueError(f"alpn: {error}") from None


def _use_certificate(context: ssl.SSLContext, options: Mapping[str, Any]) -> None:
    certificate = options["certificate"]
    private_key = options.get("private_key", certificate)
    split_pem(read_pem(certificate))
    try:
        with _as_file(certificate) as certificate_path, _as_file(private_key) as key_path:
            context.load_cert_chain(certificate_path, key_path, _no_pass_phrase)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"the certificate and its key cannot be used: {error}") from None


@contextlib.contextmanager
def _as_file(source: Any) -> Iterator[Any]:
    """Provide the path of a PEM text; a text in memory gets a file in memory."""
    if not isinstance(source, bytes):
        yield source
        return
    descriptor = os.memfd_create("wsx", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(source)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_pass_phrase() -> str:
    """Prevent that OpenSSL asks for the pass phrase of a key on the terminal."""
    raise ValueError("the key has a pass phrase")


def _as_text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("latin-1")
