"""What a supervisor must know of a child: :class:`ChildSpec`, as in OTP's ``supervisor``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import Interface

from wsx._arguments import is_number
from wsx._options import split_options
from wsx._text import shorten
from wsx.backoff import Backoff
from wsx.conn import Conn

__all__ = ["RESTARTS", "ChildSpec", "ClientStart", "IClientParent", "as_parent", "check_fields"]

RESTARTS: Final = ("permanent", "transient", "temporary")
TYPES: Final = ("worker", "supervisor")


class IClientParent(Interface):
    """Below what a client can be started: a Supervisor, or any service collection."""

    def start_client(
        conn_or_url: Any,  # noqa: N805
        handler: Any,
        state: Any,
        options: dict[str, Any],
    ) -> Deferred[Any]:
        """Starts a client that ends with its parent; arguments as for :func:`wsx.start_link`.

        Returns:
            a Deferred of the client.
        """


def as_parent(parent: Any) -> IClientParent:
    """Gives what can start a client below a service collection, an Application or a Supervisor.

    Raises:
        TypeError: it is none of these.
    """
    if not IClientParent.providedBy(parent):
        parent = IServiceCollection(parent)
    return IClientParent(parent)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop one child.

    Attributes:
        id: names the child among those of its supervisor; anything that can be hashed.
        start: called with the supervisor; gives a Deferred of a client or of a running
            :class:`Supervisor`.
        restart: ``"permanent"``: a child that ended is always started again; ``"transient"``: when
            it ended abnormally, unless its own ``reconnect`` policy gave up; ``"temporary"``:
            never.
        shutdown: seconds it may take to stop, after which it is cut off; ``math.inf`` waits.
        type: ``"worker"`` or ``"supervisor"``.
        backoff: restarts wait for this; None restarts at once.
        reactor: where the child has its time from; None is the global one.

    Raises:
        ValueError: one of these is something else.
        TypeError: ``start`` cannot be called, or ``id`` cannot be hashed.
    """

    id: Hashable
    start: Callable[[Any], Deferred[Any]]
    restart: str = "permanent"
    shutdown: float = 5.0
    type: str = "worker"
    backoff: Backoff | None = None
    reactor: Any = None

    def __post_init__(self) -> None:
        hash(self.id)
        if not callable(self.start):
            raise TypeError(f"start is a function, not {self.start!r}")
        check_fields(self.restart, self.shutdown, self.type, self.backoff)

    def replace(self, **changes: Any) -> ChildSpec:
        """Gives a copy with these fields changed.

        Raises:
            TypeError, ValueError: as at construction.
        """
        return dataclasses.replace(self, **changes)


class ClientStart:
    """The ``start`` of a client's child specification.

    A hot code change outlives the client: the next one has the class that this one ended with.

    Args:
        conn_or_url, handler, options: as for :func:`wsx.start`.
        make_state: gives the first state of each client.

    Raises:
        URLError, ValueError, TypeError: an argument is wrong.
    """

    def __init__(
        self,
        conn_or_url: Conn | str,
        handler: Any,
        make_state: Callable[[], Any],
        options: dict[str, Any],
    ) -> None:
        split_options(conn_or_url, options)
        self._conn_or_url = conn_or_url
        self._handler = handler
        self._make_state = make_state
        self._options = options

    def __call__(self, parent: Any) -> Deferred[Any]:
        """Starts a client below a parent."""
        return maybeDeferred(self._start, parent).addCallback(self._started)

    def _start(self, parent: Any) -> Deferred[Any]:
        state = self._make_state()
        return as_parent(parent).start_client(
            self._conn_or_url, self._handler, state, self._options
        )

    def _started(self, client: Any) -> Any:
        client.terminated().addCallback(self._ended, client)
        return client

    def _ended(self, _: object, client: Any) -> None:
        if isinstance(self._handler, type):
            self._handler = type(client.handler)


def check_fields(
    restart: object = "permanent",
    shutdown: object = 5.0,
    type: object = "worker",
    backoff: object = None,
) -> None:
    """Refuses wrong fields of a child specification.

    Raises:
        ValueError: one is wrong.
        TypeError: ``backoff`` is none.
    """
    if restart not in RESTARTS:
        raise ValueError(f"restart is one of {', '.join(RESTARTS)}, not {shorten(restart)}")
    if not (shutdown == math.inf or (is_number(shutdown) and shutdown >= 0)):  # type: ignore[operator]
        raise ValueError(f"shutdown is seconds, and not negative: {shorten(shutdown)}")
    if type not in TYPES:
        raise ValueError(f"type is one of {', '.join(TYPES)}, not {shorten(type)}")
    if backoff is not None and not isinstance(backoff, Backoff):
        raise TypeError(f"backoff is a Backoff or None, not {shorten(backoff)}")
