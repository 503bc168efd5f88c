"""The options of ``start``: which there are, and which belong to the connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from wsx._arguments import is_number
from wsx._text import shorten
from wsx.backoff import Backoff
from wsx.conn import CONN_OPTIONS, Conn
from wsx.registry import Name, check_name

__all__ = ["START_OPTIONS", "Options", "patient", "split_options", "with_reactor"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of :func:`wsx.start` that are not the connection's."""

    async_: bool = False
    handle_initial_conn_failure: bool = False
    reconnect: Backoff | None = None
    name: Name | None = None
    debug: Any = ()
    stable_after: float = 5.0
    mailbox_limit: int = 10_000
    reactor: Any = None

    def __post_init__(self) -> None:
        for name in ("async_", "handle_initial_conn_failure"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is True or False, not {shorten(getattr(self, name))}")
        if self.reconnect is not None and not isinstance(self.reconnect, Backoff):
            raise TypeError(f"reconnect is a Backoff or None, not {shorten(self.reconnect)}")
        if not (is_number(self.stable_after) and self.stable_after >= 0):
            raise ValueError(
                f"stable_after is a number from 0 on, not {shorten(self.stable_after)}"
            )
        if not (is_number(self.mailbox_limit) and self.mailbox_limit >= 0):
            raise ValueError(
                f"mailbox_limit is a number from 0 on, not {shorten(self.mailbox_limit)}"
            )
        if self.name is not None:
            check_name(self.name)


START_OPTIONS: Final = frozenset(f.name for f in fields(Options))


def split_options(conn_or_url: Conn | str, options: dict[str, Any]) -> tuple[Conn, Options]:
    """Sorts the options of :func:`wsx.start` into the connection's and the rest.

    Raises:
        URLError, ValueError, TypeError: an argument is wrong.
    """
    unknown = sorted(set(options) - CONN_OPTIONS - START_OPTIONS)
    if unknown:
        raise TypeError(f"unknown options: {', '.join(unknown)}")
    for_conn = {name: value for name, value in options.items() if name in CONN_OPTIONS}
    for_start = {name: value for name, value in options.items() if name in START_OPTIONS}
    if not isinstance(conn_or_url, Conn):
        conn = Conn(conn_or_url, **for_conn)
    elif for_conn:
        raise TypeError(f"a Conn has these options itself: {', '.join(sorted(for_conn))}")
    else:
        conn = conn_or_url.without_answer()
    return conn, Options(**for_start)


def patient(options: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the options of a client that comes up, and comes back, while its server is down."""
    return {
        "async_": True,
        "handle_initial_conn_failure": True,
        "reconnect": Backoff(),
        **options,
    }


def with_reactor(options: Options) -> Options:
    """Gives the options with a reactor: the global one, where none was given.

    Only when a client begins, since looking for it installs it.
    """
    if options.reactor is not None:
        return options
    from twisted.internet import reactor

    return replace(options, reactor=reactor)
