"""The addresses of NATS servers, and the credentials of a client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from twisted.internet.abstract import isIPAddress, isIPv6Address

from wsx._arguments import as_list
from wsx._redaction import HIDDEN, redact_url
from wsx._text import expected
from wsx.errors import ClusterSetupError, URLError

__all__ = ["Login", "ServerAddress", "parse_servers", "redact_server"]

_PORT: Final = 4222
_URLS: Final = "the URL of a NATS server, or several"
_EXPECTED: Final = "expected nats://[user:password@]host[:port] or tls://..."
_SCHEME: Final = re.compile("[A-Za-z]+://")
_CREDENTIALS_MARKS: Final = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The address of a NATS server.

    Attributes:
        host: The host: a name or an IP address.
        port: The port.
        is_secure: Whether its scheme is ``tls``.
        user: The user name, or the token if there is no password, or None.
        password: The password, or None.
        tls_host: The name that the certificate must have. Default: the host.
    """

    host: str
    port: int
    is_secure: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls_host: str | None = None

    def neighbour(self, place: str) -> ServerAddress | None:
        """Return the address of another server of the cluster, or None if it is not valid.

        Args:
            place: The host and port that this server has announced.
        """
        try:
            parts = urlsplit(f"//{place}")
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if not host or not port:
            return None
        is_name = not (isIPAddress(self.host) or isIPv6Address(self.host))
        has_no_name = isIPAddress(host) or isIPv6Address(host)
        # Certificates rarely contain IP addresses, but the servers of a cluster often share a name.
        tls_host = (self.tls_host or self.host) if is_name and has_no_name else None
        return replace(self, host=host, port=port, tls_host=tls_host)

    @property
    def shown(self) -> str:
        """The address for messages, without credentials."""
        return f"{self.bracketed}:{self.port}"

    @property
    def bracketed(self) -> str:
        """The host as in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_servers(urls: str | Sequence[str]) -> tuple[ServerAddress, ...]:
    """Return the addresses in one URL or several.

    Raises:
        URLError: A URL is not one of a NATS server.
        ValueError: There is no URL.
        TypeError: A URL is not a str.
    """
    given = [urls] if isinstance(urls, str) else as_list(urls)
    if given is None:
        raise TypeError(expected("url", _URLS, urls))
    if not given:
        raise ValueError(expected("url", _URLS, urls))
    return tuple(map(_parse_server, given))


def _parse_server(url: str) -> ServerAddress:
    if not isinstance(url, str):
        raise TypeError(expected("url", _URLS, url))
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        port = parts.port
    except ValueError:
        raise URLError(redact_server(url), _EXPECTED, "NATS URL") from None
    if not _is_valid(parts):
        raise URLError(redact_server(url), _EXPECTED, "NATS URL")
    user, password = (None if part is None else unquote(part) for part in _userinfo(parts))
    is_secure = parts.scheme == "tls"
    return ServerAddress(parts.hostname or "", port or _PORT, is_secure, user or None, password)


def redact_server(url: str) -> str:
    """Return a URL, valid or not, without user name and password.

    A user name without a password is a token, which :func:`redact_url` may show.
    """
    before, at, place = url.rpartition("@")
    if not at:
        return redact_url(url)
    scheme = _SCHEME.match(before)
    return f"{scheme[0] if scheme else ''}{HIDDEN}@{redact_url(f'//{place}').removeprefix('//')}"


def _is_valid(parts: SplitResult) -> bool:
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment
    return parts.scheme in ("nats", "tls") and bool(parts.hostname) and not has_more


def _userinfo(parts: SplitResult) -> tuple[str | None, str | None]:
    return parts.username, parts.password


@dataclass(frozen=True, slots=True)
class Login:
    """The credentials of a client. All are optional, and take precedence over those in a URL.

    Attributes:
        user: The user name.
        password: The password.
        token: The token.
        nkey_file: The file with the seed of an NKey.
        credentials_file: The file with a user's JWT and seed, as ``nsc`` creates it.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey_file: str | Path | None = None
    credentials_file: str | Path | None = None

    def options(self, address: ServerAddress) -> dict[str, str]:
        """Return the options for nats-py, without None. The files are read at each call.

        nats-py would read a credentials file itself, but without end if the file has no JWT.

        Raises:
            ClusterSetupError: A file cannot be read, or has other content.
        """
        user, password, token = self.user, self.password, self.token
        if user is None and token is None:
            user, password = address.user, address.password
            if password is None:
                user, token = None, user
        found = {"user": user, "password": password, "token": token}
        if self.nkey_file is not None:
            found["nkeys_seed_str"] = _read(self.nkey_file, "NKey seed file").strip()
        if self.credentials_file is not None:
            found["user_credentials"] = _read_credentials(self.credentials_file)
        return {name: value for name, value in found.items() if value is not None}


def _read_credentials(path: str | Path) -> str:
    text = _read(path, "credentials file")
    if not all(mark in text for mark in _CREDENTIALS_MARKS):
        raise ClusterSetupError(
            f"{path} is not a credentials file of NATS (expected a JWT and a seed)"
        )
    return text


def _read(path: str | Path, purpose: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise ClusterSetupError(f"cannot read the {purpose} {path} ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ClusterSetupError(f"{path} is not a {purpose} (expected ASCII text)") from None
