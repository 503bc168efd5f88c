"""Parsing and validation of WebSocket URLs (RFC 6455 section 3) and proxy URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import idna

from wsx import _text
from wsx._redaction import HIDDEN, redact_query, redact_user
from wsx.errors import URLError

__all__ = ["ParsedURL", "parse_proxy", "parse_url"]

_SCHEMES: Final = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")  # RFC 3986 section 2
_UNSAFE_IN_HEADER: Final = re.compile(r"[\r\n\0]")  # RFC 9110 section 5.5
_EXPECTED_PROXY: Final = "expected http://[user:password@]host:port"
_SHOWN_LIMIT: Final = 200  # characters
_BRACKET_IN_HOST: Final = re.compile(r"[^/?#]*//[^/?#]*[\[\]]")
_BAD_IPV6: Final = "invalid IPv6 address"
_BAD_PORT: Final = "invalid port (expected 1 to 65535)"


@dataclass(frozen=True, slots=True, repr=False)
class ParsedURL:
    """The parts of a WebSocket URL (RFC 6455 section 3).

    Attributes:
        scheme: ``"ws"`` or ``"wss"``.
        host: The host without brackets; an international name in its ASCII form.
        port: The port. If the URL has none: 80 for ``ws``, 443 for ``wss``.
        resource: The request target: path and query, percent-encoded.
        username: The user name, percent-decoded, or None.
        password: The password, percent-decoded, or None.
    """

    scheme: str
    host: str
    port: int
    resource: str
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"ParsedURL({self.redacted!r})"

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme == "wss"

    @property
    def bracketed_host(self) -> str:
        """The host as in a URL: an IPv6 address is in brackets and without its zone."""
        return f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host

    @property
    def host_header(self) -> str:
        """The value of the Host header: without the port if it is the default of the scheme."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return self.bracketed_host
        return f"{self.bracketed_host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port, the target of a CONNECT request (RFC 9110 section 9.3.6)."""
        return f"{self.bracketed_host}:{self.port}"

    @property
    def redacted(self) -> str:
        """The URL as a log may show it: without password and query values."""
        path, mark, query = self.resource.partition("?")
        username = None if self.username is None else redact_user(self.username)
        password = None if self.password is None else HIDDEN
        resource = f"{path}{mark}{redact_query(query)}"
        return self._join(username, password, resource)

    @property
    def complete(self) -> str:
        """The URL with its secrets, in a normal form."""
        return self._join(self.username, self.password, self.resource)

    def _join(self, username: str | None, password: str | None, resource: str) -> str:
        user = "" if username is None else quote(username, safe="")
        secret = "" if password is None else f":{quote(password, safe='')}"
        at = "" if username is None else "@"
        return f"{self.scheme}://{user}{secret}{at}{self.host_header}{resource}"

    @property
    def shown(self) -> str:
        """The redacted URL, truncated to 200 characters, for log lines."""
        return _text.truncate(self.redacted, _SHOWN_LIMIT)


def parse_url(url: object) -> ParsedURL:
    """Return the parts of a WebSocket URL.

    Raises:
        URLError: The URL is not valid.
    """
    if not isinstance(url, str):
        raise URLError(url, "not a str")
    return _parse_url(url)


def parse_proxy(proxy: object) -> ParsedURL:
    """Return the parts of a proxy URL, ``http://[user:password@]host:port``.

    Raises:
        URLError: The URL is not valid.
    """
    try:
        if not (isinstance(proxy, str) and proxy.startswith("http://")):
            raise URLError(proxy, _EXPECTED_PROXY)
        parsed = parse_url(proxy)
        if parsed.resource != "/":
            raise URLError(proxy, _EXPECTED_PROXY)
    except URLError as error:
        raise URLError(proxy, error.reason, "proxy") from None
    return parsed


# Cached, because each copy of a Conn parses the URL again, and many clients share a URL.
@lru_cache(maxsize=64)
def _parse_url(url: str) -> ParsedURL:
    parts, port = _split(url)
    scheme = _SCHEMES[parts.scheme]
    return ParsedURL(
        scheme,
        _parse_host(url, parts.hostname, parts.netloc),
        port or _DEFAULT_PORTS[scheme],
        _request_target(parts.path, parts.query),
        None if parts.username is None else _credential(url, parts.username),
        None if parts.password is None else _credential(url, parts.password),
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL and its port, after checking that scheme and port are valid."""
    if _UNSAFE.search(url):
        raise URLError(url, "spaces and control characters must be percent-encoded")
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:  # The text of the exception may contain the password.
        # Versions of Python differ in the brackets that they accept; see also _parse_host.
        problem = _BAD_IPV6 if _BRACKET_IN_HOST.match(url) else "cannot be parsed as a URL"
        raise URLError(url, problem) from None
    try:
        port = parts.port
    except ValueError:
        raise URLError(url, _BAD_PORT) from None
    _check_scheme(url, parts.scheme)
    if "#" in url:
        raise URLError(url, "a WebSocket URL has no fragment (RFC 6455 section 3)")
    if port == 0:
        raise URLError(url, _BAD_PORT)
    return parts, port


def _check_scheme(url: str, scheme: str) -> None:
    if scheme not in _SCHEMES:
        found = f"unknown scheme {_text.quote(scheme)}" if scheme else "no scheme"
        raise URLError(url, f"{found} (expected ws, wss, http or https)")


def _parse_host(url: str, host: str | None, netloc: str) -> str:
    if not host:
        raise URLError(url, "no host")
    location = netloc.rpartition("@")[2]
    if "[" in location:
        if not re.fullmatch(r"\[[^\[\]]*\](:[0-9]*)?", location):
            raise URLError(url, _BAD_IPV6)
        return _parse_ipv6(url, unquote(host))
    try:
        return str(ip_address(host))
    except ValueError:
        return _parse_name(url, host)


def _parse_ipv6(url: str, host: str) -> str:
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise URLError(url, _BAD_IPV6) from None


def _parse_name(url: str, host: str) -> str:
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise URLError(url, "invalid host name") from None
    if not re.fullmatch(r"[A-Za-z0-9._\-]+", name):
        raise URLError(url, "invalid host name")
    return name.lower()


def _request_target(path: str, query: str) -> str:
    """Return path and query with all characters outside ASCII percent-encoded."""
    target = f"{path or '/'}?{query}" if query else path or "/"
    return quote(target, safe="!$%&'()*+,/:;=?@[]~")


def _credential(url: str, text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise URLError(url, "user name or password is not UTF-8") from None
    if _UNSAFE_IN_HEADER.search(decoded):
        raise URLError(url, "user name or password contains CR, LF or NUL")
    return decoded
