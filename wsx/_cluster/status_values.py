"""The status of a client as a value, for ``get_status`` in another process."""

from __future__ import annotations

from typing import Any

from wsx._cluster.values import check_value
from wsx._text import shorten
from wsx.conn import Conn

__all__ = ["status_to_value"]


def status_to_value(status: dict[Any, Any]) -> dict[Any, Any]:
    """Return the status of a client with the entries of wsx converted to MessagePack values.

    The state, and what the handler's ``format_status`` has added, are unchanged.

    Args:
        status: The result of ``client.sys.get_status()``.
    """
    converted = {"name": _show, "version": _show, "handler": _handler, "conn": _conn, "log": _log}
    return {
        key: converted[key](entry) if type(key) is str and key in converted else entry
        for key, entry in status.items()
    }


def _show(entry: object) -> Any:
    """Return a value unchanged, and for anything else its ``repr``."""
    try:
        check_value(entry, "entry")
    except TypeError:
        return shorten(entry)
    return entry


def _handler(entry: object) -> object:
    return f"{entry.__module__}.{entry.__qualname__}" if isinstance(entry, type) else entry


def _conn(entry: object) -> object:
    return entry.parsed.redacted if isinstance(entry, Conn) else entry


def _log(entry: object) -> object:
    if not isinstance(entry, list):
        return entry
    return [list(event) if type(event) is tuple else event for event in entry]
