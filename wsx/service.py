"""Clients as Twisted services: clients linked to a service, and one client as a service."""

from __future__ import annotations

import math
from typing import Any, Generic, Unpack, overload

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.components import registerAdapter
from typing_extensions import TypeVar
from zope.interface import implementer

from wsx._deferreds import Waiters
from wsx._options import with_reconnect_defaults
from wsx.child import ChildSpec, ClientStart, IClientParent, as_parent
from wsx.client import Client, FirstState, H_co, HandlerOf, check_handler, make_client
from wsx.errors import as_exception
from wsx.handler import Handler
from wsx.option_types import Restart, StartOptions
from wsx.provider import ConnSource
from wsx.supervisor import Supervisor

__all__ = ["ClientService", "start_link"]

State = TypeVar("State")
T = TypeVar("T")
H = TypeVar("H", bound=Handler[Any])


class _Link(Service):
    """A child service that stops a client when its parent service stops."""

    def __init__(self, client: Client[Any]) -> None:
        self._client = client

    def stopService(self) -> Deferred[object]:
        super().stopService()
        return self._client.stop()

    def leave_parent(self, _: object = None) -> None:
        """Remove this service from its parent."""
        if self.parent is not None:
            self.disownServiceParent()


@implementer(IClientParent)
class _LinkingParent:
    """Adapt any service collection to :class:`IClientParent`."""

    def __init__(self, parent: IServiceCollection) -> None:
        self._parent = parent

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Client[Any]]:
        """Start a client that is stopped when the parent stops."""
        client = make_client(conn_or_url, handler, state, options)
        link = _Link(client)
        link.setServiceParent(self._parent)
        try:
            started = client.begin()
        except Exception:
            link.leave_parent()
            raise
        client.terminated().addCallback(link.leave_parent)
        return started


registerAdapter(_LinkingParent, IServiceCollection, IClientParent)


@overload
def start_link(
    parent: Any,
    conn_or_url: ConnSource,
    handler: type[HandlerOf[State, H]],
    state: FirstState[State],
    **options: Unpack[StartOptions],
) -> Deferred[Client[State, H]]: ...


@overload
def start_link(
    parent: Any,
    conn_or_url: ConnSource,
    handler: HandlerOf[State, H],
    state: FirstState[State],
    **options: Unpack[StartOptions],
) -> Deferred[Client[State, H]]: ...


@overload
def start_link(
    parent: Any,
    conn_or_url: ConnSource,
    handler: type[HandlerOf[State | None, H]] | HandlerOf[State | None, H],
    **options: Unpack[StartOptions],
) -> Deferred[Client[State | None, H]]: ...


def start_link(
    parent: Any, conn_or_url: ConnSource, handler: Any, state: Any = None, **options: Any
) -> Deferred[Client[Any, Any]]:
    """Start a client that is stopped when its parent stops.

    Args:
        parent: An ``IServiceCollection``, such as an ``Application`` or a ``MultiService``, or a
            :class:`Supervisor`, which adds the client as a temporary child.
        conn_or_url: As for :func:`wsx.start`.
        handler: As for :func:`wsx.start`.
        state: As for :func:`wsx.start`.
        **options: As for :func:`wsx.start`.

    Returns:
        The Deferred of :func:`wsx.start`. If the parent stops first, it fails with
        :class:`ClientEnded`, whose reason is a :class:`Shutdown`.
    """
    return maybeDeferred(
        lambda: as_parent(parent).start_client(conn_or_url, handler, state, options)
    )


class ClientService(Supervisor, Generic[State, H_co]):
    """Run one client as a service of an existing Twisted application.

    A ClientService is a :class:`Supervisor` with one child. It ends when its client has ended and
    is not restarted. The client starts with ``async_=True``, ``handle_initial_conn_failure=True``
    and ``reconnect=Backoff()`` unless the options say otherwise, so an application can start while
    its server is down.

    ``ClientService[State]`` is the type of a service whose handler has a state of that type. The
    second parameter is the type of the handler, as in ``ClientService[State, MyHandler]``.

    Args:
        conn: A :class:`Conn`, a URL or a connection provider, as for :func:`wsx.start`.
        handler: As for :func:`wsx.start`.
        state: As for :func:`wsx.start`. Every client starts with it. Default None.
        restart: As in :class:`ChildSpec`. Default ``"permanent"``.
        max_restarts: As for :class:`Supervisor`. Default 3.
        max_seconds: As for :class:`Supervisor`. Default 5.
        **options: As for :func:`wsx.start`. Restarts wait for the ``reconnect`` policy as well.

    Raises:
        URLError: The URL is not valid.
        ValueError: An argument is out of range.
        TypeError: An argument has the wrong type, or an option is unknown.

    Attributes:
        client: The current client, or None.
    """

    @overload
    def __init__(
        self,
        conn: ConnSource,
        handler: type[HandlerOf[State, H_co]],
        state: FirstState[State],
        *,
        restart: Restart = ...,
        max_restarts: int = ...,
        max_seconds: float = ...,
        **options: Unpack[StartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        conn: ConnSource,
        handler: HandlerOf[State, H_co],
        state: FirstState[State],
        *,
        restart: Restart = ...,
        max_restarts: int = ...,
        max_seconds: float = ...,
        **options: Unpack[StartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: ClientService[T | None, H],
        conn: ConnSource,
        handler: type[HandlerOf[T | None, H]] | HandlerOf[T | None, H],
        *,
        restart: Restart = ...,
        max_restarts: int = ...,
        max_seconds: float = ...,
        **options: Unpack[StartOptions],
    ) -> None: ...

    def __init__(
        self,
        conn: ConnSource,
        handler: Any,
        state: Any = None,
        *,
        restart: Restart = "permanent",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        **options: Any,
    ) -> None:
        options = with_reconnect_defaults(options)
        self.client: Client[State, H_co] | None = None
        self._watched: Client[State, H_co] | None = None  # The client whose when_open() is pending.
        self._connected: Waiters[Client[State, H_co]] = Waiters()
        name = options.get("name")
        spec = ChildSpec(
            name if isinstance(name, str) else type(self).__qualname__,
            ClientStart(conn, check_handler(handler), lambda: state, options),
            restart,
            math.inf,  # The client limits this time itself, to twice its close_timeout.
            backoff=options["reconnect"],
            reactor=options.get("reactor"),
        )
        super().__init__(
            [spec], "one_for_one", max_restarts, max_seconds, auto_shutdown="all", id=spec.id
        )

    def stopService(self) -> Deferred[Any]:
        """Stop the client.

        Returns:
            A Deferred that fires when the client has ended.
        """
        self.client = None
        return super().stopService()

    def whenConnected(self) -> Deferred[Client[State, H_co]]:
        """Return a Deferred that fires with the client when it is open.

        The client is open once ``handle_connect`` has returned its result. If the service has ended
        or ends before that, the Deferred fails with the reason; a reason that is not an exception
        is wrapped in :class:`ClientEnded`.
        """
        if self._has_ended:
            return fail(as_exception(self._reason))
        connected = self._connected.add()
        if self.client is not None:
            self._watch(self.client)
        return connected

    def announce(self, running: Any) -> None:
        """Remember the client that is being started. The start function calls this."""
        super().announce(running)
        self.client = running
        running.terminated().addCallback(self._client_ended, running)
        if self._connected:
            self._watch(running)

    def _client_ended(self, _: object, client: Client[State, H_co]) -> None:
        if self.client is client:
            self.client = None

    def _watch(self, client: Client[State, H_co]) -> None:
        if self._watched is not client:
            self._watched = client
            # If this client ends before it is open, announce() watches the next one.
            client.when_open().addCallbacks(self._client_is_open, lambda _: None)

    def _client_is_open(self, client: Client[State, H_co]) -> None:
        self._watched = None
        self._connected.succeed(client)

    def _notify_end(self, reason: object) -> None:
        self._connected.fail(as_exception(reason))
        super()._notify_end(reason)
