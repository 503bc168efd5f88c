"""The child specification of a client of ``twistd wsx``."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from wsx._options import with_reconnect_defaults
from wsx.child import ChildSpec, ClientStart
from wsx.handler import Handler
from wsx.provider import ConnSource

__all__ = ["CHILD_FIELDS", "client_spec"]

CHILD_FIELDS: Final = frozenset({"restart", "shutdown"})  # The user may set these.


def client_spec(
    id: str,
    conn: ConnSource,
    handler: type[Handler[Any]] | Handler[Any],
    state: Any,
    options: Mapping[str, Any],
    reactor: Any,
    **fields: Any,
) -> ChildSpec:
    """Return the child specification of a client of ``twistd wsx``.

    The client starts even if its server is down, and reconnects. By default it is transient, or
    temporary if it does not reconnect.

    Args:
        id: The id of the child.
        conn: Where and how to connect: a Conn or a connection provider.
        handler: The handler class, or an instance.
        state: The handler's first state. Each start receives a deep copy.
        options: The options of :func:`wsx.start`.
        reactor: The reactor for time and connections.
        **fields: ``restart`` and ``shutdown``. These override the keywords of the handler class.
    """
    chosen = with_reconnect_defaults(options) | {"reactor": reactor}
    restart = "transient" if chosen["reconnect"] is not None else "temporary"
    declared = {key: value for key, value in handler.child_fields().items() if key in CHILD_FIELDS}
    return ChildSpec(
        id,
        ClientStart(conn, handler, lambda: deepcopy(state), chosen),
        backoff=chosen["reconnect"],
        reactor=reactor,
        **{"restart": restart, **declared, **fields},
    )
