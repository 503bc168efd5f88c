"""Where and how to connect: :class:`Conn`, its options and their validation.

The module is longer than 500 lines because each option is documented, validated and redacted here.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Unpack

from wsx._arguments import as_list, is_number, require
from wsx._redaction import HIDDEN, redact_header, redact_subprotocols
from wsx._redactor import Redactor
from wsx._text import callable_name, expected, expected_type, shorten, truncate
from wsx._url import ParsedURL, parse_proxy, parse_url
from wsx.option_types import (
    Compression,
    ConnChanges,
    ConnFields,
    ConnOptions,
    Headers,
)

__all__ = [
    "CONN_OPTIONS",
    "TOKEN",
    "Conn",
    "Headers",
    "ParsedURL",
    "parse_proxy",
]

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_UNSAFE_IN_HEADER: Final = re.compile(r"[\r\n\0]")  # RFC 9110 section 5.5
_OWN_HEADERS: Final = {
    "connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
}
_OPTIONS_FOR_HEADERS: Final = {
    "sec-websocket-extensions": "compression",
    "sec-websocket-protocol": "subprotocols",
}
_SSL_OPTIONS: Final = ("certificate", "private_key", "server_name", "minimum_version", "alpn")
_SHOWN_SSL_OPTIONS: Final = {"server_name", "minimum_version", "alpn"}
_HEADERS: Final = "a mapping or a list of pairs"
_PEM: Final = "PEM as bytes or a path"
_PEMS: Final = "PEM as bytes, a path or a list of these that is not empty"
# Limits of repr.
_OPTION_LIMIT: Final = 300  # characters of one option
_REPR_LIMIT: Final = 2000  # characters
_MAX_SHOWN: Final = 10  # headers, subprotocols and extensions each


@dataclass(frozen=True, slots=True, repr=False)
class Conn:
    """Where and how to connect. Immutable; :meth:`replace` returns a changed copy.

    All times are in seconds. ``handle_connect`` receives a copy with the server's response:
    ``resp_headers``, ``resp_status``, ``subprotocol``, ``extensions`` and ``peer``.

    ``repr``, logs and telemetry show a redacted form (see :meth:`redacted`). They never contain the
    password of the URL or of the proxy, the values of the URL's query, certificates and keys,
    subprotocols that look like tokens, or the value of a header in ``secret_headers`` or of a
    header whose name contains ``auth``, ``token``, ``key``, ``secret``, ``cookie``, ``password`` or
    ``signature`` in any case, such as ``Authorization``, ``Cookie`` and ``X-Api-Key``. ``repr`` is
    escaped and truncated as well.

    Attributes:
        url: The URL, with the scheme ``ws``, ``wss`` or their synonyms ``http``, ``https``.
        extra_headers: Headers that are added to the request: pairs or a mapping, or a callable
            that takes a :class:`wsx.Attempt` and returns them, directly or as an awaitable. It is
            called before each attempt, and may take ``socket_connect_timeout`` seconds. Default
            none.
        subprotocols: The subprotocols to offer, in this order. Default none.
        socket_connect_timeout: The time limit for DNS, TCP, proxy and TLS together. Default 6.
        socket_recv_timeout: The time limit for the complete response to the opening handshake.
            Default 5.
        close_timeout: The time limit from the first close frame, sent or received, until the TCP
            connection is dropped. Default 5.
        insecure: Whether to skip the verification of the server's certificate. Default False.
        cacerts: The trusted certificates: PEM as bytes, a path, or a list of these. None (default)
            for the platform's trust store.
        ssl_options: A mapping with any of ``certificate``, ``private_key``, ``server_name``,
            ``minimum_version`` and ``alpn``, or an ``IOpenSSLClientConnectionCreator``, or None
            (default).
        endpoint: A stream client endpoint, or its string description, to connect through instead
            of the URL's host and port, or None (default). For ``wss``, TLS is added on top of it.
        proxy: A proxy for CONNECT, ``http://[user:password@]host:port``, or None (default).
        compression: ``"deflate"`` to offer permessage-deflate (RFC 7692), or None (default).
        max_message_size: The limit in bytes for one complete message after inflation, or None for
            no limit. Default 16 MiB.
        max_header_size: The limit in bytes for the header of the response to the opening handshake.
            Default 64 KiB.
        ping_interval: The time between two keepalive pings, or None for no pings. Default 20.
        ping_timeout: The time within which something must be received after a keepalive ping, or
            None for no limit. Default 20.
        data_timeout: The time within which a Text or Binary message must be received, or None
            (default) for no limit.
        secret_headers: More names of headers whose values are never shown, in any case. Default
            none.
        resp_headers: The headers of the response: pairs of names and values, in order.
        resp_status: The HTTP status code of the response, or None before the response.
        subprotocol: The subprotocol that the server selected, or None.
        extensions: The extensions that the server accepted.
        peer: The address of the server, or None.
        headers_provider: The callable that has returned ``extra_headers`` for this attempt, or
            None. Further attempts call it again.
        parsed: The parts of the URL.

    Raises:
        URLError: The URL, or the URL of the proxy, is not valid.
        ValueError: An option has a wrong value.
    """

    url: str
    _: KW_ONLY
    extra_headers: Headers = ()
    subprotocols: tuple[str, ...] = ()
    socket_connect_timeout: float = 6.0
    socket_recv_timeout: float = 5.0
    close_timeout: float = 5.0
    insecure: bool = False
    cacerts: Any = None
    ssl_options: Any = None
    endpoint: Any = None
    proxy: str | None = None
    compression: Compression | None = None
    max_message_size: int | None = 16 * 1024 * 1024
    max_header_size: int = 64 * 1024
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    data_timeout: float | None = None
    secret_headers: tuple[str, ...] = ()
    resp_headers: Headers = ()
    resp_status: int | None = None
    subprotocol: str | None = None
    extensions: tuple[str, ...] = ()
    peer: str | None = None
    headers_provider: Any = field(default=None, compare=False)
    parsed: ParsedURL = field(init=False, compare=False)

    if TYPE_CHECKING:  # Some options accept more types than the attributes have.

        def __init__(self, url: str, **options: Unpack[ConnFields]) -> None: ...

    def __post_init__(self) -> None:
        self._set("parsed", parse_url(self.url))
        self._set("extra_headers", _check_headers_option(self.extra_headers))
        self._set("subprotocols", _check_subprotocols(self.subprotocols))
        self._set("secret_headers", _check_secret_headers(self.secret_headers))
        self._check_times()
        self._check_sizes()
        require(isinstance(self.insecure, bool), "insecure", "True or False", self.insecure)
        self._set("cacerts", _check_cacerts(self.cacerts))
        self._set("ssl_options", _check_ssl_options(self.ssl_options))
        _check_endpoint(self.endpoint)
        if self.proxy is not None:
            parse_proxy(self.proxy)
        valid = self.compression in (None, "deflate")
        require(valid, "compression", '"deflate" or None', self.compression)

    def _check_times(self) -> None:
        for name in ("socket_connect_timeout", "socket_recv_timeout", "close_timeout"):
            value = getattr(self, name)
            require(_is_positive(value), name, "a number above 0", value)
        for name in ("ping_interval", "ping_timeout", "data_timeout"):
            value = getattr(self, name)
            valid = value is None or _is_positive(value)
            require(valid, name, "a number above 0 or None", value)

    def _check_sizes(self) -> None:
        size = self.max_message_size
        valid = size is None or _is_size(size)
        require(valid, "max_message_size", "a number of bytes above 0 or None", size)
        size = self.max_header_size
        require(_is_size(size), "max_header_size", "a number of bytes above 0", size)

    def __hash__(self) -> int:
        return hash(self.url)  # The values of some options cannot be hashed.

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # A frozen dataclass allows nothing else.

    @staticmethod
    def parse_url(url: str) -> ParsedURL:
        """Return the parts of a URL.

        Args:
            url: The WebSocket URL.

        Raises:
            URLError: The URL is not valid; ``URLError.reason`` is the reason.
        """
        return parse_url(url)

    def replace(self, **changes: Unpack[ConnChanges]) -> Conn:
        """Return a copy with some options changed.

        Args:
            **changes: The new values by option.

        Raises:
            TypeError: There is no such option.
            URLError: As for the constructor.
            ValueError: As for the constructor.
        """
        if "parsed" in changes:
            raise TypeError("parsed: cannot be replaced, because it is derived from url")
        if "extra_headers" in changes:
            changes = {"headers_provider": None, **changes}  # type: ignore[typeddict-unknown-key]
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # see __init__

    def without_answer(self) -> Conn:
        """Return a copy without the server's response, for another attempt.

        If a callable has returned the headers, the copy has the callable as its ``extra_headers``.
        """
        conn = self
        if self.headers_provider is not None:
            headers = self.headers_provider
            conn = self._changed({"extra_headers": headers, "headers_provider": None})
        return conn if self.resp_status is None else conn.answered((), None, None, (), None)

    def with_headers(self, headers: Any) -> Conn:
        """Return a copy with the headers that the callable has returned for one attempt.

        Args:
            headers: Pairs or a mapping.

        Raises:
            ValueError: The headers are not valid.
        """
        checked = _check_headers(headers)
        return self._changed({"extra_headers": checked, "headers_provider": self.extra_headers})

    def answered(
        self,
        resp_headers: Headers,
        resp_status: int | None,
        subprotocol: str | None,
        extensions: tuple[str, ...],
        peer: str | None,
    ) -> Conn:
        """Return a copy with the server's response.

        The copy is made without validation, because the options have been validated already.

        Args:
            resp_headers: The headers of the response: pairs of names and values, in order.
            resp_status: The HTTP status code of the response.
            subprotocol: The subprotocol that the server selected, or None.
            extensions: The extensions that the server accepted.
            peer: The address of the server, or None.
        """
        conn = self._changed({})
        conn._set("resp_headers", resp_headers)
        conn._set("resp_status", resp_status)
        conn._set("subprotocol", subprotocol)
        conn._set("extensions", extensions)
        conn._set("peer", peer)
        return conn

    def redacted(self) -> Conn:
        """Return a copy without secrets, or the Conn itself if it has none.

        Each secret is replaced by ``...``. The copy is for display, not for connecting.
        """
        shown = self._shown_options()
        if self.parsed.redacted != self.parsed.complete:
            shown |= {"url": self.parsed.redacted, "parsed": parse_url(self.parsed.redacted)}
        changed = {name: value for name, value in shown.items() if value != getattr(self, name)}
        return self._changed(changed) if changed else self

    def redactor(self) -> Redactor:
        """Return an object that hides the secrets of the request in text of the response."""
        urls = [self.parsed] if self.proxy is None else [self.parsed, parse_proxy(self.proxy)]
        return Redactor(
            self.parsed.resource.partition("?")[2],
            [(url.username, url.password or "") for url in urls if url.username is not None],
            self.known_headers,
            self.secret_headers,
            self.subprotocols,
        )

    @property
    def known_headers(self) -> Headers:
        """The extra headers; empty if they are a callable that was not called yet."""
        return () if callable(self.extra_headers) else self.extra_headers

    def _shown_options(self) -> dict[str, Any]:
        """Return the options that may have secrets, redacted."""
        redactor = self.redactor()
        names = [name.lower() for name in self.secret_headers]
        shown = {name: _redact_option(name, getattr(self, name)) for name in _HIDDEN_OPTIONS}
        headers = tuple(redact_header(name, value, names) for name, value in self.known_headers)
        return shown | {
            "extra_headers": self.extra_headers if callable(self.extra_headers) else headers,
            "headers_provider": None,  # Its attributes may have secrets.
            "subprotocols": redact_subprotocols(self.subprotocols),
            "resp_headers": tuple(redactor.header(*pair) for pair in self.resp_headers),
            "subprotocol": self.subprotocol and redactor.subprotocol(self.subprotocol),
            "extensions": tuple(redactor.text(value) for value in self.extensions),
        }

    def _changed(self, changes: Mapping[str, Any]) -> Conn:
        """Return a copy with changes that are not validated."""
        conn = object.__new__(type(self))
        for name in _CONN_FIELDS:
            conn._set(name, changes.get(name, getattr(self, name)))
        return conn

    def resp_header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header of the response.

        Args:
            name: The name of the header, in any case.
            default: The value to return if the response has no such header. Default None.
        """
        wanted = name.lower()
        return next((value for key, value in self.resp_headers if key.lower() == wanted), default)

    def __repr__(self) -> str:
        shown = [repr(self.parsed.shown)]
        options = self._shown_options()
        for f in dataclasses.fields(self)[1:]:
            value = getattr(self, f.name)
            if f.name not in ("parsed", "headers_provider") and value != f.default:
                shown.append(f"{f.name}={_show_option(options.get(f.name, value))}")
        return truncate(f"Conn({', '.join(shown)})", _REPR_LIMIT)


_CONN_FIELDS: Final = tuple(f.name for f in dataclasses.fields(Conn))
CONN_OPTIONS: Final = ConnOptions.__optional_keys__


_HIDDEN_OPTIONS: Final = ("proxy", "ssl_options", "cacerts")


def _redact_option(name: str, value: Any) -> Any:
    """Return the part of an option's value that may be shown."""
    if value is None:
        return None
    if name == "proxy":
        return parse_proxy(value).redacted.replace("ws:", "http:", 1).removesuffix("/")
    if name == "ssl_options" and isinstance(value, Mapping):
        return {k: v if k in _SHOWN_SSL_OPTIONS else HIDDEN for k, v in value.items()}
    return HIDDEN if name == "cacerts" else value


def _show_option(value: Any) -> str:
    """Return the value of an option for ``repr``, truncated."""
    if value is HIDDEN:
        return HIDDEN
    if callable(value):
        return f"<{callable_name(value)}>"
    if not isinstance(value, tuple):
        return shorten(value, _OPTION_LIMIT)
    shown = [_show_item(item) for item in value[:_MAX_SHOWN]]
    if len(value) > len(shown):
        shown.append(f"... {len(value) - len(shown)} more")
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _show_item(item: Any) -> str:
    """Return one item of an option; the name and the value of a header are truncated each."""
    if isinstance(item, tuple):
        return f"({', '.join(shorten(part) for part in item)})"
    return shorten(item)


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < sys.maxsize


def _check_headers_option(headers: Any) -> Any:
    if callable(headers) and not isinstance(headers, Iterable):
        return headers
    return _check_headers(headers)


def _check_headers(headers: Any) -> Headers:
    pairs = as_list(headers.items() if isinstance(headers, Mapping) else headers)
    if pairs is None or not all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError(expected_type("extra_headers", _HEADERS, headers))
    return tuple(_check_header(name, value) for name, value in pairs)


def _check_header(name: str | bytes, value: str | bytes) -> tuple[str, str]:
    """Return a header as text. No message contains its value, which may be a secret."""
    name = _check_header_name(_to_text("extra_headers", "names", name))
    subject = f"header {name}"
    value = _to_text(subject, "a value", value)
    if _UNSAFE_IN_HEADER.search(value):
        raise ValueError(expected(subject, "a value without CR, LF and NUL"))
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(expected(subject, "a value in ISO-8859-1")) from None
    return name, value.strip(" \t")


def _check_header_name(name: str) -> str:
    if not TOKEN.fullmatch(name):
        shown = re.split(r"[:\s]", name, maxsplit=1)[0]  # The rest may be a secret value.
        cut = ' followed by ":" or white space' if shown != name else ""
        wrong = expected("extra_headers", "names without separators (RFC 9110 section 5.1)", shown)
        raise ValueError(wrong + cut)
    if name.lower() in _OWN_HEADERS:
        instead = _OPTIONS_FOR_HEADERS.get(name.lower())
        hint = "" if instead is None else f"; use the option {instead}"
        raise ValueError(f"header {name}: set by wsx and cannot be replaced{hint}")
    return name


def _to_text(subject: str, what: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise ValueError(expected_type(subject, f"{what} of type str or bytes", value))


def _check_subprotocols(subprotocols: Any) -> tuple[str, ...]:
    offered = as_list(subprotocols)
    if offered is None:
        raise ValueError(expected_type("subprotocols", "a list of str", subprotocols))
    for position, name in enumerate(offered):
        # RFC 6455 section 4.1, item 10.
        if not (isinstance(name, str) and TOKEN.fullmatch(name)):
            shown = _show_subprotocols(offered)[position]
            raise ValueError(expected("subprotocols", "names without spaces and separators", shown))
        if offered.count(name) > 1:
            raise ValueError(
                expected("subprotocols", "each name once", _show_subprotocols(offered))
            )
    return tuple(offered)


def _show_subprotocols(offered: list[Any]) -> list[Any]:
    """Return subprotocols for a message: a name may be a token, even if it is malformed."""
    shown = redact_subprotocols([name if isinstance(name, str) else "" for name in offered])
    pairs = zip(offered, shown, strict=True)
    return [seen if isinstance(name, str) else type(name) for name, seen in pairs]


def _check_secret_headers(names: Any) -> tuple[str, ...]:
    listed = as_list(names)
    if listed is None:
        raise ValueError(expected("secret_headers", "a list of str", names))
    for name in listed:
        valid = isinstance(name, str) and TOKEN.fullmatch(name)
        require(valid, "secret_headers", "names of headers (RFC 9110 section 5.1)", name)
    return tuple(listed)


def _check_cacerts(cacerts: Any) -> Any:
    """Return the option; a list is copied, because a Conn is immutable."""
    if cacerts is None or isinstance(cacerts, (bytes, str, os.PathLike)):
        sources = () if cacerts is None else (cacerts,)
    else:
        listed = as_list(cacerts)
        if not listed:
            raise ValueError(expected_type("cacerts", _PEMS, cacerts))
        cacerts = sources = tuple(listed)
    for source in sources:
        _check_pem("cacerts", source)
    return cacerts


def _check_pem(subject: str, source: Any) -> None:
    """Check that a value is PEM or a path. No message shows the value: it may be a private key."""
    if not isinstance(source, (bytes, str, os.PathLike)):
        raise ValueError(expected_type(subject, _PEM, source))
    if isinstance(source, str) and ("\n" in source or "-----BEGIN" in source):
        raise ValueError(f"{expected(subject, _PEM)}, got PEM as a str")


def _check_ssl_options(options: Any) -> Any:
    if options is None or hasattr(options, "clientConnectionForTLS"):
        return options
    if not isinstance(options, Mapping):
        allowed = "a mapping or an IOpenSSLClientConnectionCreator"
        raise ValueError(expected_type("ssl_options", allowed, options))
    for name in options:
        require(name in _SSL_OPTIONS, "ssl_options", f"keys among {', '.join(_SSL_OPTIONS)}", name)
    for name in ("certificate", "private_key"):
        if name in options:
            _check_pem(f"ssl_options {name}", options[name])
    _check_tls_values(options)
    if ("private_key" in options) and ("certificate" not in options):
        raise ValueError("ssl_options: private_key requires certificate")
    return dict(options)


def _check_tls_values(options: Mapping[str, Any]) -> None:
    name = options.get("server_name", "")
    require(isinstance(name, str), "ssl_options server_name", "a str", name)
    protocols = as_list(options.get("alpn", ()))
    valid = protocols is not None and all(isinstance(item, (str, bytes)) for item in protocols)
    require(valid, "ssl_options alpn", "a list of str", options.get("alpn"))
    version = options.get("minimum_version", "TLSv1.2")
    valid = version in ("TLSv1.2", "TLSv1.3")
    require(valid, "ssl_options minimum_version", '"TLSv1.2" or "TLSv1.3"', version)


def _check_endpoint(endpoint: Any) -> None:
    valid = isinstance(endpoint, (str, NoneType)) or hasattr(endpoint, "connect")
    allowed = "a client endpoint, its string description or None"
    require(valid, "endpoint", allowed, endpoint)
