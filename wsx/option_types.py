"""The types of options, for type checkers and editors; an editor shows the text below each option.

To add an option, add its key to one of these classes, and its validation to ``Conn`` or to
``_options.Options``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

from wsx.backoff import Backoff
from wsx.limiter import ConnectLimiter
from wsx.registry import Name

if TYPE_CHECKING:
    from wsx.provider import Attempt

__all__ = [
    "AutoShutdown",
    "CACerts",
    "ChildFields",
    "ChildOptions",
    "ChildType",
    "Compression",
    "ConnChanges",
    "ConnFields",
    "ConnOptions",
    "DebugOption",
    "Endpoint",
    "ExtraHeaders",
    "HeaderItems",
    "Headers",
    "Names",
    "Pem",
    "Restart",
    "SSLOptions",
    "StartOptions",
    "Status",
    "Strategy",
    "TLSCreator",
]

AutoShutdown: TypeAlias = Literal["never", "all"]
ChildType: TypeAlias = Literal["worker", "supervisor"]
Compression: TypeAlias = Literal["deflate"]
Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Status: TypeAlias = Literal["connecting", "open", "closing", "disconnected", "terminated"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]

DebugOption: TypeAlias = (
    Literal["trace", "log", "statistics"]
    | tuple[Literal["log"], int]
    | tuple[Literal["log_to_file"], str | PathLike[str]]
)
Headers: TypeAlias = tuple[tuple[str, str], ...]
HeaderItems: TypeAlias = (
    Mapping[str, str | bytes]
    | Mapping[bytes, str | bytes]
    | Mapping[str | bytes, str | bytes]
    | Iterable[tuple[str | bytes, str | bytes]]
)
ExtraHeaders: TypeAlias = (
    HeaderItems | Callable[["Attempt"], HeaderItems] | Callable[["Attempt"], Awaitable[HeaderItems]]
)
# Not Sequence[str]: a str is one, but is never a list of names.
Names: TypeAlias = list[str] | tuple[str, ...]
Pem: TypeAlias = bytes | str | PathLike[str]
CACerts: TypeAlias = Pem | Sequence[Pem]


class Endpoint(Protocol):
    """A stream client endpoint, such as ``HostnameEndpoint``."""

    def connect(self, protocolFactory: Any, /) -> Any:
        """Connect, and return a Deferred of the protocol."""


class TLSCreator(Protocol):
    """An ``IOpenSSLClientConnectionCreator``, such as ``optionsForClientTLS`` returns."""

    def clientConnectionForTLS(self, tlsProtocol: Any, /) -> Any:
        """Return an OpenSSL connection."""


class SSLOptions(TypedDict, total=False):
    """The keys of the option ``ssl_options``."""

    certificate: Pem
    """The client's certificate with its chain, as PEM or the path of a file."""
    private_key: Pem
    """The client's private key, as PEM or the path of a file."""
    server_name: str
    """The name to send and to verify, instead of the host of the URL."""
    minimum_version: Literal["TLSv1.2", "TLSv1.3"]
    """The lowest version of TLS. Default TLSv1.2."""
    alpn: list[str] | list[bytes] | list[str | bytes] | tuple[str | bytes, ...]
    """The protocols to offer with ALPN."""


class ConnOptions(TypedDict, total=False):
    """The options of :class:`wsx.Conn`. All times are in seconds."""

    extra_headers: ExtraHeaders
    """Headers to add to the request. Pairs or a mapping, or a callable that returns them for each
    attempt. Default none."""
    subprotocols: Names
    """The subprotocols to offer, in this order. Default none."""
    socket_connect_timeout: float
    """The time limit for DNS, TCP, proxy and TLS together. Default 6."""
    socket_recv_timeout: float
    """The time limit for the complete response to the opening handshake. Default 5."""
    close_timeout: float
    """The time limit from the first close frame until the connection is dropped. Default 5."""
    insecure: bool
    """Whether to skip the verification of the server's certificate. Default False."""
    cacerts: CACerts | None
    """The trusted certificates. PEM as bytes, a path, or a list of these. Default None, for the
    platform's trust store."""
    ssl_options: SSLOptions | TLSCreator | None
    """A mapping with any of ``certificate``, ``private_key``, ``server_name``, ``minimum_version``
    and ``alpn``, or an ``IOpenSSLClientConnectionCreator``. Default None."""
    endpoint: Endpoint | str | None
    """A stream client endpoint, or its string description, to connect through instead of the URL's
    host and port. Default None."""
    proxy: str | None
    """A proxy for CONNECT, ``http://[user:password@]host:port``. Default None."""
    compression: Compression | None
    """``"deflate"`` to offer permessage-deflate (RFC 7692). Default None."""
    max_message_size: int | None
    """The limit in bytes for one complete message after inflation, or None for no limit. Default
    16 MiB."""
    max_header_size: int
    """The limit in bytes for the header of the response to the opening handshake. Default
    64 KiB."""
    ping_interval: float | None
    """The time between two keepalive pings, or None for no pings. Default 20."""
    ping_timeout: float | None
    """The time within which something must be received after a keepalive ping, or None for no
    limit. Default 20."""
    data_timeout: float | None
    """The time within which a Text or Binary message must be received. Default None,
    for no limit."""
    secret_headers: Names
    """More names of headers whose values are never shown. Default none."""


class ConnFields(ConnOptions, total=False):
    """The keyword arguments of :class:`wsx.Conn`: the options, and the server's response."""

    resp_headers: Headers
    """The headers of the response, as pairs of names and values, in order."""
    resp_status: int | None
    """The HTTP status code of the response, or None before the response."""
    subprotocol: str | None
    """The subprotocol that the server selected, or None."""
    extensions: tuple[str, ...]
    """The extensions that the server accepted."""
    peer: str | None
    """The address of the server, or None."""


class ConnChanges(ConnFields, total=False):
    """The arguments of ``Conn.replace``."""

    url: str
    """The URL, with the scheme ``ws``, ``wss`` or their synonyms ``http``, ``https``."""


class StartOptions(ConnOptions, total=False):
    """The options of :func:`wsx.start`: those of the client, and those of :class:`wsx.Conn`.

    The options of ``Conn`` are only for a URL; a ``Conn`` has its own. All times are in seconds.
    """

    async_: bool
    """Whether to fire with the client at once, before it is connected. Default False."""
    handle_initial_conn_failure: bool
    """Whether a failure of the first connection is passed to ``handle_disconnect`` instead of
    failing the Deferred. Default False."""
    reconnect: Backoff | None
    """The policy that the default ``handle_disconnect`` follows. Default None, to end the
    client."""
    connect_limiter: ConnectLimiter | None
    """The limit on connection attempts of all clients that share it. Default None, for no
    limit."""
    name: Name | None
    """The name of the client, a str, a ``Global``, a ``Via`` or an ``AsyncVia``. Default None."""
    debug: Iterable[DebugOption]
    """Any of ``"trace"``, ``"log"``, ``("log", n)``, ``"statistics"`` and
    ``("log_to_file", path)``. Default none."""
    stable_after: float
    """The time after which an open connection counts as healthy. Default 5."""
    slow_callback: float | None
    """The time after which a callback that blocks the reactor is logged, or None for never.
    Default 0.5."""
    callback_warning: float | None
    """The time after which a callback that has not completed is logged, and again every minute, or
    None for never. Default 10."""
    callback_timeout: float | None
    """The time after which a callback that has not completed is cancelled and its connection
    closed, or None for never. Default None."""
    mailbox_limit: int
    """The number of casts and infos that may wait. Default 10,000."""
    reactor: Any
    """The reactor for time and connections. Default None, for the global one."""


class ChildFields(TypedDict, total=False):
    """The fields of a child specification that a handler class or ``child_spec`` may set."""

    id: Hashable
    """The id of the child, unique within its supervisor. Default the name of the class."""
    restart: Restart
    """When to restart the child after its end. Default ``"permanent"``, always."""
    shutdown: float
    """The time limit for the child to stop; ``math.inf`` means no limit. Default 5."""
    type: ChildType
    """The type that ``which_children`` returns. Default ``"worker"``."""


class ChildOptions(StartOptions, ChildFields, total=False):
    """The options of ``Handler.child_spec``: those of :func:`wsx.start` and of the child."""
