"""The name of the server in TLS: what is sent to it, and what its certificate must be valid for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import idna
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    IPAddress,
    SubjectAlternativeName,
)
from service_identity.hazmat import DNS_ID, IPAddress_ID
from twisted.internet.abstract import isIPAddress, isIPv6Address

from wsx._text import expected, line
from wsx.conn import Conn

__all__ = ["ServerName", "names_in", "server_name_of"]

_SERVER_NAME: Final = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9._\-]{0,252}")  # RFC 1035 section 2.3.4


@dataclass(frozen=True)
class ServerName:
    """The name of the server.

    Attributes:
        sent: The name to send to the server (SNI), or None for an address (RFC 6066 section 3).
        identity: What the certificate must be valid for, or None if it is not verified.
    """

    sent: str | None
    identity: DNS_ID | IPAddress_ID | None

    @property
    def address(self) -> str | None:
        """The address that the certificate must be valid for, or None."""
        return str(self.identity.ip) if isinstance(self.identity, IPAddress_ID) else None


def server_name_of(conn: Conn, options: Mapping[str, Any]) -> ServerName:
    """Return the name of the server of a Conn.

    Args:
        conn: The Conn, for the host and ``insecure``.
        options: Its ``ssl_options``.

    Raises:
        ValueError: The name is malformed.
    """
    host = options.get("server_name") or conn.parsed.host.partition("%")[0]
    host = host.removesuffix(".")  # A certificate and SNI have the name without it.
    identity = None if conn.insecure else _identity_of(host)
    return ServerName(None if _is_address(host) else _checked(host), identity)


def names_in(certificate: Certificate) -> Iterator[str]:
    """Return the DNS names and IP addresses that a certificate is valid for, escaped.

    Raises:
        ValueError: The certificate is malformed; parsers raise other classes, too.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return
    for name in extension.value.get_values_for_type(DNSName):
        yield line(name)
    for address in extension.value.get_values_for_type(IPAddress):
        yield str(address)


def _is_address(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)


def _identity_of(hostname: str) -> DNS_ID | IPAddress_ID:
    """Return what the server's certificate must be valid for."""
    if _is_address(hostname):
        return IPAddress_ID(hostname)
    try:
        return DNS_ID(_to_ascii(hostname))
    except ValueError:
        raise ValueError(_wrong_name(hostname)) from None


def _checked(hostname: str) -> str:
    """Return the server name for SNI. OpenSSL would raise later for some malformed names."""
    name = _to_ascii(hostname)
    if not _SERVER_NAME.fullmatch(name) or any(
        not 0 < len(label) < 64 for label in name.split(".")
    ):
        raise ValueError(_wrong_name(hostname))
    return name


def _wrong_name(hostname: str) -> str:
    return expected("server_name", "a host name or an IP address", hostname)


def _to_ascii(hostname: str) -> str:
    if hostname.isascii():
        return hostname
    try:
        return idna.encode(hostname, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(_wrong_name(hostname)) from None
