"""The options of ``start``: their validation, and the split into connection and client options."""

from __future__ import annotations

from asyncio.events import _get_running_loop
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Final

from wsx._arguments import is_number, require
from wsx._text import expected_type
from wsx.backoff import Backoff
from wsx.conn import CONN_OPTIONS, Conn
from wsx.limiter import ConnectLimiter
from wsx.provider import ConnSource, Provider
from wsx.registry import Name, check_name

__all__ = [
    "START_OPTIONS",
    "Options",
    "Provided",
    "is_placeholder",
    "split_options",
    "with_reactor",
    "with_reconnect_defaults",
]

_UNKNOWN_URL: Final = "ws://provider.invalid/"  # RFC 2606: no host has this name.


@dataclass(frozen=True, slots=True)
class Provided:
    """A connection provider with the options for the URLs that it returns.

    Attributes:
        provider: The provider.
        template: A Conn with the options. Its URL is a placeholder. The client shows it until the
            provider has returned something.
    """

    provider: Provider
    template: Conn

    @classmethod
    def of(cls, provider: Provider, options: Mapping[str, Any] | None = None) -> Provided:
        """Return a provider with options of ``Conn``. They are validated.

        Args:
            provider: The provider.
            options: The options by name. Default none.
        """
        return cls(provider, Conn(_UNKNOWN_URL, **(options or {})))

    def conn_for(self, provided: object) -> Conn:
        """Return the Conn for what the provider has returned.

        Raises:
            URLError: The provider has returned a URL that is not valid.
            TypeError: The provider has returned neither a URL nor a Conn.
        """
        if isinstance(provided, Conn):
            return provided.without_answer()
        if isinstance(provided, str):
            return self.template.replace(url=provided)
        raise TypeError(expected_type("result", "a URL or a Conn", provided))


@dataclass(frozen=True, slots=True)
class Options:
    """The options of :func:`wsx.start` that are not options of the connection.

    Attributes:
        async_: Whether the Deferred of ``start`` fires before the client is connected.
            Default False.
        handle_initial_conn_failure: Whether ``handle_disconnect`` is called if the first connection
            fails; otherwise the Deferred of ``start`` fails. Default False.
        reconnect: The policy of the default ``handle_disconnect``, or None (default) to end the
            client.
        connect_limiter: The limit on connection attempts that the client shares with others, or
            None (default) for no limit.
        name: The name of the client, or None (default).
        debug: Debug options, such as ``"trace"`` or ``("log_to_file", path)``. Default none.
        stable_after: The time in seconds after which an open connection counts as healthy.
            Default 5.
        slow_callback: The time in seconds after which a callback that blocks the reactor is logged,
            or None for never. Default 0.5.
        callback_warning: The time in seconds after which a callback that has not completed is
            logged, and again every minute, or None for never. Default 10.
        callback_timeout: The time in seconds after which a callback that has not completed is
            cancelled and its connection closed, or None (default) for never.
        mailbox_limit: The number of casts and infos that may wait. Default 10,000.
        reactor: The reactor for time and connections, or None (default) for the global one.

    Raises:
        TypeError: An option has the wrong type.
        ValueError: An option is out of range.
    """

    async_: bool = False
    handle_initial_conn_failure: bool = False
    reconnect: Backoff | None = None
    connect_limiter: ConnectLimiter | None = None
    name: Name | None = None
    debug: Any = ()
    stable_after: float = 5.0
    slow_callback: float | None = 0.5
    callback_warning: float | None = 10.0
    callback_timeout: float | None = None
    mailbox_limit: int = 10_000
    reactor: Any = None

    def __post_init__(self) -> None:
        for name in ("async_", "handle_initial_conn_failure"):
            value = getattr(self, name)
            require(isinstance(value, bool), name, "True or False", value, TypeError)
        valid = self.reconnect is None or isinstance(self.reconnect, Backoff)
        require(valid, "reconnect", "a Backoff or None", self.reconnect, TypeError)
        limiter = self.connect_limiter
        valid = limiter is None or isinstance(limiter, ConnectLimiter)
        require(valid, "connect_limiter", "a ConnectLimiter or None", limiter, TypeError)
        for name in ("stable_after", "mailbox_limit"):
            value = getattr(self, name)
            require(is_number(value) and value >= 0, name, "a number of at least 0", value)
        for name in ("slow_callback", "callback_warning", "callback_timeout"):
            value = getattr(self, name)
            valid = value is None or (is_number(value) and value > 0)
            require(valid, name, "a number above 0 or None", value)
        if self.name is not None:
            check_name(self.name)


START_OPTIONS: Final = frozenset(f.name for f in fields(Options))


def is_placeholder(conn: Conn) -> bool:
    """Return whether a Conn stands for one that the provider has not returned yet."""
    return conn.url == _UNKNOWN_URL


def split_options(
    conn_or_url: ConnSource, options: dict[str, Any]
) -> tuple[Conn | Provided, Options]:
    """Split the options of :func:`wsx.start` into the connection's and the client's.

    Args:
        conn_or_url: A URL, to which the connection's options are applied, a :class:`Conn`, or a
            connection provider, to whose URLs they are applied.
        options: The options by name.

    Returns:
        The Conn or the provider with its options, and the options of the client.

    Raises:
        URLError: The URL is not valid.
        ValueError: An option is out of range.
        TypeError: An option is unknown or has the wrong type, or an option of the connection was
            given together with a Conn.
    """
    unknown = sorted(set(options) - CONN_OPTIONS - START_OPTIONS)
    if unknown:
        raise TypeError(f"unknown options: {', '.join(map(_with_suggestion, unknown))}")
    for_conn = {name: value for name, value in options.items() if name in CONN_OPTIONS}
    for_start = {name: value for name, value in options.items() if name in START_OPTIONS}
    return _source(conn_or_url, for_conn), Options(**for_start)


def _with_suggestion(name: str) -> str:
    """Return the name of an unknown option, and the name of a similar option if there is one."""
    similar = get_close_matches(name, sorted(CONN_OPTIONS | START_OPTIONS), n=1)
    return f"{name} (did you mean {similar[0]}?)" if similar else name


def _source(conn_or_url: ConnSource, options: dict[str, Any]) -> Conn | Provided:
    if isinstance(conn_or_url, Conn):
        if options:
            given = ", ".join(sorted(options))
            raise TypeError(
                f"options: {given} given together with a Conn (use conn.replace instead)"
            )
        return conn_or_url.without_answer()
    if callable(conn_or_url):
        return Provided.of(conn_or_url, options)
    return Conn(conn_or_url, **options)


def with_reconnect_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with which a client starts and keeps reconnecting while its server is down.

    Args:
        options: The options that the user gave. They override these defaults.
    """
    return {
        "async_": True,
        "handle_initial_conn_failure": True,
        "reconnect": Backoff(),
        **options,
    }


def with_reactor(options: Options) -> Options:
    """Return the options with the global reactor if they have no reactor.

    Call this only when a client starts, because importing the global reactor installs it.

    Raises:
        RuntimeError: An event loop of asyncio runs, and the global reactor does not run on it.
    """
    if options.reactor is not None:
        return options
    from twisted.internet import reactor

    _check_loop(reactor)
    return replace(options, reactor=reactor)


def _check_loop(reactor: Any) -> None:
    """Raise if the reactor cannot run in this thread, because asyncio's event loop runs in it.

    Otherwise the client would never connect, and a task that awaits it would wait without end.
    """
    loop = _get_running_loop()
    if loop is None:
        return
    # The asyncio reactor runs while its loop does. Another reactor may run the loop, as with Qt.
    own = getattr(reactor, "_asyncioEventloop", None)
    if not (getattr(reactor, "running", True) if own is None else own is loop):
        raise RuntimeError(
            "asyncio's event loop runs, but Twisted's reactor does not run on it. Call "
            "asyncioreactor.install(asyncio.get_running_loop()), of twisted.internet, before "
            "anything imports twisted.internet.reactor"
        )
