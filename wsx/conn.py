"""Where and how to connect: :class:`Conn`, the rules for URLs, and what a log may show of them."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from types import NoneType
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import idna

from wsx._arguments import is_number
from wsx._text import shorten
from wsx.errors import URLError

__all__ = ["Conn", "ParsedURL"]

_SCHEMES: Final = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_UNSAFE_IN_URL: Final = re.compile(r"[\x00-\x20\x7f]")
_UNSAFE_IN_HEADER: Final = re.compile(r"[\r\n\0]")
_SECRET_HEADERS: Final = {"authorization", "cookie", "proxy-authorization", "set-cookie"}
_OWN_HEADERS: Final = {
    "connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
}
_SSL_OPTIONS: Final = {"certificate", "private_key", "server_name", "minimum_version", "alpn"}
_SHOWN_SSL_OPTIONS: Final = {"server_name", "minimum_version", "alpn"}
_HIDDEN: Final = "..."
_MAY_HAVE_SECRETS: Final = ("extra_headers", "resp_headers", "proxy", "ssl_options", "cacerts")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class ParsedURL:
    """The parts of a WebSocket URL (RFC 6455 section 3).

    Attributes:
        scheme: ``"ws"`` or ``"wss"``.
        host: without brackets; international names in their ASCII form.
        port: the given or the default one.
        resource: path and query, percent-encoded: the request target.
        username, password: percent-decoded; None where the URL has none.
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
        """Whether the connection is made over TLS."""
        return self.scheme == "wss"

    @property
    def bracketed_host(self) -> str:
        """The host as it stands in a URL: an IPv6 literal has brackets, and no zone."""
        return f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host

    @property
    def host_header(self) -> str:
        """The value of the Host header; the scheme's default port is left out."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return self.bracketed_host
        return f"{self.bracketed_host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port, as a proxy wants them (RFC 9110 section 9.3.6)."""
        return f"{self.bracketed_host}:{self.port}"

    @property
    def redacted(self) -> str:
        """The URL as a log may show it: no password, no query values."""
        path, mark, query = self.resource.partition("?")
        user = "" if self.username is None else f"{quote(self.username, safe='')}@"
        if self.password is not None:
            user = f"{user[:-1]}:{_HIDDEN}@"
        return f"{self.scheme}://{user}{self.host_header}{path}{mark}{_redact_query(query)}"


def _redact_query(query: str) -> str:
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    return "&".join(f"{name}={_HIDDEN}" if equals else _HIDDEN for name, equals, _ in pairs)


def parse_url(url: object) -> ParsedURL:
    """Checks a WebSocket URL and takes it apart.

    Raises:
        URLError: it is none.
    """
    if not isinstance(url, str):
        raise URLError(url, f"it is not a str but {type(url).__name__}")
    return _parse_url(url)


@lru_cache(maxsize=64)  # clients connect again, and many of them to the same URL
def _parse_url(url: str) -> ParsedURL:
    if _UNSAFE_IN_URL.search(url):
        raise URLError(url, "it has spaces or control characters")
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:  # its text may quote a password
        raise URLError(url, "it cannot be taken apart") from None
    try:
        port = parts.port
    except ValueError:
        raise URLError(url, "the port is no number from 1 to 65535") from None
    if parts.scheme not in _SCHEMES:
        raise URLError(url, "its scheme is none of ws, wss, http, https")
    if "#" in url:
        raise URLError(url, "it has a fragment")  # RFC 6455 section 3
    scheme = _SCHEMES[parts.scheme]
    if port == 0:
        raise URLError(url, "the port is no number from 1 to 65535")
    return ParsedURL(
        scheme,
        _parse_host(url, parts.hostname, parts.netloc),
        port or _DEFAULT_PORTS[scheme],
        _request_target(parts.path, parts.query),
        None if parts.username is None else _credential(url, parts.username),
        None if parts.password is None else _credential(url, parts.password),
    )


def _parse_host(url: str, host: str | None, netloc: str) -> str:
    if not host:
        raise URLError(url, "it has no host")
    location = netloc.rpartition("@")[2]
    if "[" in location:
        if not re.fullmatch(r"\[[^\[\]]*\](:[0-9]*)?", location):
            raise URLError(url, "bad IPv6 address")
        return _parse_ipv6(url, unquote(host))
    try:
        return str(ip_address(host))
    except ValueError:
        pass  # not a literal: a name
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise URLError(url, "bad host name") from None
    if not re.fullmatch(r"[A-Za-z0-9._\-]+", name):
        raise URLError(url, "bad host name")
    return name.lower()


def _parse_ipv6(url: str, host: str) -> str:
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise URLError(url, "bad IPv6 address") from None


def _request_target(path: str, query: str) -> str:
    """Gives path and query with everything outside ASCII percent-encoded."""
    target = f"{path or '/'}?{query}" if query else path or "/"
    return quote(target, safe="!$%&'()*+,/:;=?@[]~")


def _credential(url: str, text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise URLError(url, "user name or password is not UTF-8") from None
    if _UNSAFE_IN_HEADER.search(decoded):
        raise URLError(url, "user name or password has control characters")
    return decoded


@dataclass(frozen=True, slots=True, repr=False)
class Conn:
    """Where and how to connect. Immutable; :meth:`replace` gives a changed copy.

    Times are seconds. ``handle_connect`` gets a copy in which the last five fields say how the
    server answered.

    Args:
        url: ``ws``, ``wss`` or their synonyms ``http``, ``https``.
        extra_headers: pairs or a mapping, added to the opening handshake's request.
        subprotocols: offered in this order.
        socket_connect_timeout: for DNS, TCP, proxy and TLS together. Default 6.
        socket_recv_timeout: for the whole response to the opening handshake. Default 5.
        close_timeout: from the first close frame until we drop the TCP connection. Default 5.
        insecure: do not verify the peer's certificate. Default False.
        cacerts: PEM as bytes or a path, or a list of them; None is the platform's trust store.
        ssl_options: a mapping with any of ``certificate``, ``private_key``, ``server_name``,
            ``minimum_version``, ``alpn``; or an ``IOpenSSLClientConnectionCreator``.
        endpoint: a stream client endpoint, or its string description, to connect through instead
            of the URL's host and port. TLS, where the URL asks for it, is made on top of it.
        proxy: ``http://[user:password@]host:port``, reached by CONNECT.
        compression: ``"deflate"`` offers permessage-deflate (RFC 7692). Default None.
        max_message_size: bytes of one whole message after inflation. Default 16 MiB.
        max_header_size: bytes of the handshake response's header. Default 64 KiB.
        ping_interval: between two keepalive pings. Default 20; None turns them off.
        ping_timeout: from a keepalive ping to any sign of life. Default 20; None waits forever.
        data_timeout: without a Text or Binary message. Default None: forever.

    Raises:
        URLError: the URL (or the proxy's) cannot be used.
        ValueError: an option's value is out of range, or a header or subprotocol has characters
            that it may not have.
    """

    url: str
    extra_headers: Any = ()
    subprotocols: Sequence[str] = ()
    socket_connect_timeout: float = 6.0
    socket_recv_timeout: float = 5.0
    close_timeout: float = 5.0
    insecure: bool = False
    cacerts: Any = None
    ssl_options: Any = None
    endpoint: Any = None
    proxy: str | None = None
    compression: str | None = None
    max_message_size: int | None = 16 * 1024 * 1024
    max_header_size: int = 64 * 1024
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    data_timeout: float | None = None
    resp_headers: Headers = field(default=(), kw_only=True)
    resp_status: int | None = field(default=None, kw_only=True)
    subprotocol: str | None = field(default=None, kw_only=True)
    extensions: tuple[str, ...] = field(default=(), kw_only=True)
    peer: str | None = field(default=None, kw_only=True)
    parsed: ParsedURL = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self._set("parsed", parse_url(self.url))
        self._set("extra_headers", _check_headers(self.extra_headers))
        self._set("subprotocols", _check_subprotocols(self.subprotocols))
        for name in ("socket_connect_timeout", "socket_recv_timeout", "close_timeout"):
            _check_number(name, getattr(self, name))
        for name in ("ping_interval", "ping_timeout", "data_timeout"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name))
        if self.max_message_size is not None:
            _check_size("max_message_size", self.max_message_size)
        _check_size("max_header_size", self.max_header_size)
        if not isinstance(self.insecure, bool):
            raise ValueError(f"insecure is True or False, not {shorten(self.insecure)}")
        self._set("cacerts", _check_cacerts(self.cacerts))
        self._set("ssl_options", _check_ssl_options(self.ssl_options))
        if not (isinstance(self.endpoint, (str, NoneType)) or hasattr(self.endpoint, "connect")):
            raise ValueError("endpoint is a str or has a connect method")
        if self.proxy is not None:
            parse_proxy(self.proxy)
        if self.compression not in (None, "deflate"):
            raise ValueError(f"compression is None or 'deflate', not {shorten(self.compression)}")

    def __hash__(self) -> int:
        return hash(self.url)  # some options cannot be hashed

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the only way around frozen, during construction

    @staticmethod
    def parse_url(url: str) -> ParsedURL:
        """Checks a URL.

        Raises:
            URLError: it cannot be used; ``URLError.reason`` says why.
        """
        return parse_url(url)

    def replace(self, **changes: Any) -> Conn:
        """Gives a copy with these fields changed.

        Raises:
            TypeError: there is no such field.
            URLError, ValueError: as at construction.
        """
        if "parsed" in changes:
            raise TypeError("'parsed' follows from the URL")
        return dataclasses.replace(self, **changes)

    def without_answer(self) -> Conn:
        """Gives a copy that says nothing of how a server answered."""
        if self.resp_status is None:
            return self
        return self.answered((), None, None, (), None)

    def answered(
        self,
        resp_headers: Headers,
        resp_status: int | None,
        subprotocol: str | None,
        extensions: tuple[str, ...],
        peer: str | None,
    ) -> Conn:
        """Gives a copy with a server's answer; what was checked already is not checked again."""
        conn = object.__new__(type(self))
        for name in _CONN_FIELDS:
            conn._set(name, getattr(self, name))
        conn._set("resp_headers", resp_headers)
        conn._set("resp_status", resp_status)
        conn._set("subprotocol", subprotocol)
        conn._set("extensions", extensions)
        conn._set("peer", peer)
        return conn

    def redacted(self) -> Conn:
        """Gives a copy without what ``repr`` does not show: itself, where there is no secret.

        The copy is for looking at, not for connecting.
        """
        shown = {name: _redact_option(name, getattr(self, name)) for name in _MAY_HAVE_SECRETS}
        if self.parsed.password is not None or "?" in self.parsed.resource:
            shown["url"] = self.parsed.redacted
        changed = {name: value for name, value in shown.items() if value != getattr(self, name)}
        return self.replace(**changed) if changed else self

    def resp_header(self, name: str, default: str | None = None) -> str | None:
        """Gives the first value of a header of the handshake response, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.resp_headers if key.lower() == wanted), default)

    def __repr__(self) -> str:
        shown = [repr(self.parsed.redacted)]
        for f in dataclasses.fields(self)[1:]:
            value = getattr(self, f.name)
            if f.name != "parsed" and value != f.default:
                seen = _redact_option(f.name, value)
                shown.append(f"{f.name}={seen if seen is _HIDDEN else repr(seen)}")
        return f"Conn({', '.join(shown)})"


_CONN_FIELDS: Final = tuple(f.name for f in dataclasses.fields(Conn))
CONN_OPTIONS: Final = frozenset(
    f.name for f in dataclasses.fields(Conn) if f.init and not f.kw_only and f.name != "url"
)


def parse_proxy(proxy: str) -> ParsedURL:
    """Checks the URL of a proxy: ``http://[user:password@]host:port``.

    Raises:
        URLError: it cannot be used.
    """
    if not (isinstance(proxy, str) and proxy.startswith("http://")):
        raise URLError(proxy, "a proxy is http://[user:password@]host:port")
    parsed = parse_url(proxy)
    if parsed.resource != "/":
        raise URLError(proxy, "a proxy is http://[user:password@]host:port")
    return parsed


def _redact_option(name: str, value: Any) -> Any:
    """Gives what may be shown of an option's value."""
    if value is None:
        return None
    if name in ("extra_headers", "resp_headers"):
        return tuple(_redact_header(*pair) for pair in value)
    if name == "proxy":
        return parse_proxy(value).redacted.replace("ws:", "http:", 1).removesuffix("/")
    if name == "ssl_options" and isinstance(value, Mapping):
        return {k: v if k in _SHOWN_SSL_OPTIONS else _HIDDEN for k, v in value.items()}
    return _HIDDEN if name == "cacerts" else value


def _redact_header(name: str, value: str) -> tuple[str, str]:
    return name, _HIDDEN if name.lower() in _SECRET_HEADERS else value


def _check_number(name: str, value: Any) -> None:
    if not (is_number(value) and value > 0):
        raise ValueError(f"{name} is a number above 0, not {shorten(value)}")


def _check_size(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < sys.maxsize:
        raise ValueError(f"{name} is a number of bytes, not {shorten(value)}")


def _check_headers(headers: Any) -> Headers:
    if isinstance(headers, Mapping):
        headers = headers.items()
    pairs = _listed(headers)
    if pairs is None or not all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError("extra_headers are pairs of name and value, or a mapping")
    return tuple(_check_header(name, value) for name, value in pairs)


def _listed(values: Any) -> list[Any] | None:
    """Gives what is in a collection; None for anything else, a str or a mapping too."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        return None
    return list(values)


def _check_header(name: str | bytes, value: str | bytes) -> tuple[str, str]:
    """Checks one header; never repeats a value, which may be a secret."""
    name, value = _to_text(name), _to_text(value)
    if not _TOKEN.fullmatch(name):
        shown = re.split(r"[:\s]", name, maxsplit=1)[0]  # what follows may be the value
        raise ValueError(f"{shorten(shown)} is no header name, or has more than a name")
    if _UNSAFE_IN_HEADER.search(value):
        raise ValueError(f"the value of header {name} has CR, LF or NUL")
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"the {name} header belongs to the handshake; see the options of Conn")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value of header {name} is not ISO-8859-1") from None
    return name, value.strip(" \t")


def _to_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise ValueError(f"header names and values are str or bytes, not {type(value).__name__}")


def _check_subprotocols(subprotocols: Any) -> tuple[str, ...]:
    offered = _listed(subprotocols)
    if offered is None:
        raise ValueError("subprotocols is a sequence of str")
    for name in offered:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):  # RFC 6455 section 4.1, item 10
            raise ValueError(f"{shorten(name)} is no subprotocol name")
    if len(set(offered)) != len(offered):
        raise ValueError("a subprotocol is offered twice")
    return tuple(offered)


def _check_cacerts(cacerts: Any) -> Any:
    """Gives what it was given; of a list a copy, as a Conn is immutable."""
    if cacerts is None or isinstance(cacerts, (bytes, str, os.PathLike)):
        sources = () if cacerts is None else (cacerts,)
    else:
        cacerts = sources = tuple(_listed(cacerts) or (None,))
    for source in sources:
        _check_pem("cacerts", source)
    return cacerts


def _check_pem(name: str, source: Any) -> None:
    """Refuses what is neither PEM nor a path; never repeats it, as it may be a private key."""
    if not isinstance(source, (bytes, str, os.PathLike)):
        raise ValueError(f"{name} is PEM as bytes or a path")
    if isinstance(source, str) and ("\n" in source or "-----BEGIN" in source):
        raise ValueError(f"{name} is a path, or PEM as bytes: this is PEM as a str")


def _check_ssl_options(options: Any) -> Any:
    if options is None or hasattr(options, "clientConnectionForTLS"):
        return options
    if not isinstance(options, Mapping):
        raise ValueError("ssl_options is a mapping or an IOpenSSLClientConnectionCreator")
    unknown = sorted(map(str, set(options) - _SSL_OPTIONS))
    if unknown:
        raise ValueError(f"unknown ssl_options: {shorten(', '.join(unknown))}")
    for name in ("certificate", "private_key"):
        if name in options:
            _check_pem(name, options[name])
    if not isinstance(options.get("server_name", ""), str):
        raise ValueError("server_name is a str")
    protocols = _listed(options.get("alpn", ()))
    if protocols is None or not all(isinstance(name, (str, bytes)) for name in protocols):
        raise ValueError("alpn is a sequence of str")
    if options.get("minimum_version", "TLSv1.2") not in ("TLSv1.2", "TLSv1.3"):
        raise ValueError("minimum_version is 'TLSv1.2' or 'TLSv1.3'")
    if ("private_key" in options) and ("certificate" not in options):
        raise ValueError("private_key needs certificate")
    return dict(options)
