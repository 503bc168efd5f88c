"""Child specifications: how a supervisor starts, restarts and stops a child, as in OTP."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import Interface

from wsx._arguments import is_hashable, is_number, require
from wsx._options import split_options
from wsx.backoff import Backoff
from wsx.option_types import ChildType, Restart
from wsx.provider import ConnSource

__all__ = ["RESTARTS", "ChildSpec", "ClientStart", "IClientParent", "as_parent", "check_fields"]

RESTARTS: Final = ("permanent", "transient", "temporary")
TYPES: Final = ("worker", "supervisor")
_ANY_RESTART: Final = '"permanent", "transient" or "temporary"'
_ANY_TYPE: Final = '"worker" or "supervisor"'


class IClientParent(Interface):
    """A parent of clients: a Supervisor, or any service collection."""

    def start_client(
        conn_or_url: Any,  # noqa: N805
        handler: Any,
        state: Any,
        options: dict[str, Any],
    ) -> Deferred[Any]:
        """Start a client that is stopped with its parent.

        The arguments are those of :func:`wsx.start_link`.

        Returns:
            A Deferred that fires with the client.
        """


def as_parent(parent: Any) -> IClientParent:
    """Adapt a service collection, an Application or a Supervisor to ``IClientParent``.

    Raises:
        TypeError: The parent cannot be adapted.
    """
    if not IClientParent.providedBy(parent):
        parent = IServiceCollection(parent)
    return IClientParent(parent)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop one child.

    Attributes:
        id: The id of the child, any hashable value; unique within its supervisor.
        start: A callable that takes the supervisor and returns a Deferred that fires with a client
            or a running :class:`Supervisor`.
        restart: ``"permanent"`` (default): always restart the child. ``"transient"``: restart it
            after an abnormal end, unless its own ``reconnect`` policy gave up. ``"temporary"``:
            never restart it.
        shutdown: The time limit in seconds for the child to stop; after that it is aborted.
            ``math.inf`` means no limit. Default 5.
        type: ``"worker"`` (default) or ``"supervisor"``.
        backoff: The delays before restarts, or None (default) to restart at once.
        reactor: The reactor for the time of the child, or None (default) for the global one.

    Raises:
        ValueError: ``restart``, ``shutdown`` or ``type`` is wrong.
        TypeError: ``start`` is not callable, ``id`` is not hashable, or ``backoff`` is not a
            Backoff.
    """

    id: Hashable
    start: Callable[[Any], Deferred[Any]]
    restart: Restart = "permanent"
    shutdown: float = 5.0
    type: ChildType = "worker"
    backoff: Backoff | None = None
    reactor: Any = None

    def __post_init__(self) -> None:
        require(is_hashable(self.id), "id", "a hashable value", self.id, TypeError)
        require(callable(self.start), "start", "a callable", self.start, TypeError)
        check_fields(self.restart, self.shutdown, self.type, self.backoff)

    def replace(self, **changes: Any) -> ChildSpec:
        """Return a copy with some fields changed.

        Args:
            **changes: The new values by field.

        Raises:
            TypeError: There is no such field, or as for the constructor.
            ValueError: As for the constructor.
        """
        return dataclasses.replace(self, **changes)


class ClientStart:
    """The ``start`` of a client's child specification.

    A hot code change outlives the client: the next client starts with the handler class that the
    previous one had at its end.

    Args:
        conn_or_url: As for :func:`wsx.start`.
        handler: As for :func:`wsx.start`.
        make_state: A callable that returns the first state of each client.
        options: As for :func:`wsx.start`.

    Raises:
        URLError: The URL is not valid.
        ValueError: An option is out of range.
        TypeError: An option is unknown or has the wrong type.
    """

    def __init__(
        self,
        conn_or_url: ConnSource,
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
        """Start a client below a parent.

        Returns:
            A Deferred that fires with the client.
        """
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
    """Check fields of a child specification.

    Raises:
        ValueError: ``restart``, ``shutdown`` or ``type`` is wrong.
        TypeError: ``backoff`` is not a Backoff or None.
    """
    require(restart in RESTARTS, "restart", _ANY_RESTART, restart)
    valid = shutdown == math.inf or (is_number(shutdown) and shutdown >= 0)  # type: ignore[operator]
    require(valid, "shutdown", "seconds, a number of at least 0 or math.inf", shutdown)
    require(type in TYPES, "type", _ANY_TYPE, type)
    valid = backoff is None or isinstance(backoff, Backoff)
    require(valid, "backoff", "a Backoff or None", backoff, TypeError)
