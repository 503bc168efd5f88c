"""Check whether other users can read the secrets in a configuration file."""

from __future__ import annotations

import os
import stat
from typing import Final

from wsx._redaction import is_secret_name, redact_subprotocols, redact_user
from wsx.conn import Conn, parse_proxy

__all__ = ["exposed_mode", "has_secret"]

_READABLE: Final = stat.S_IRGRP | stat.S_IROTH


def has_secret(conn: Conn) -> bool:
    """Return whether the options of a connection contain a password or a token.

    These are the password of the URL or the proxy, a value of the URL's query with a secret name,
    the value of a secret header, and a user name or subprotocol that looks like a token.
    """
    urls = [conn.parsed] if conn.proxy is None else [conn.parsed, parse_proxy(conn.proxy)]
    if any(url.password is not None or _is_token(url.username) for url in urls):
        return True
    more = [name.lower() for name in conn.secret_headers]
    query = conn.parsed.resource.partition("?")[2]
    names = [part.partition("=")[0] for part in query.split("&")]
    return (
        any(is_secret_name(name, more) for name, _ in conn.known_headers)
        or any(is_secret_name(name) for name in names)
        or redact_subprotocols(conn.subprotocols) != conn.subprotocols
    )


def _is_token(username: str | None) -> bool:
    return username is not None and redact_user(username) != username


def exposed_mode(path: str) -> int | None:
    """Return the mode of a file if its group or others can read it, otherwise None."""
    if os.name != "posix":
        return None
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:  # The file was removed after it was read.
        return None
    return mode if mode & _READABLE else None
