"""wsx in Twisted's tree of services: linked clients, and one client as a service of its own."""

from __future__ import annotations

import math
from typing import Any

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.components import registerAdapter
from zope.interface import implementer

from wsx._deferreds import Waiters
from wsx._options import patient
from wsx.child import ChildSpec, ClientStart, IClientParent, as_parent
from wsx.client import Client, check_handler, make_client
from wsx.conn import Conn
from wsx.errors import as_exception
from wsx.supervisor import Supervisor

__all__ = ["ClientService", "start_link"]


class _Link(Service):
    """Stops a client when its parent stops, and leaves the parent when the client ends."""

    def __init__(self, client: Client[Any]) -> None:
        self._client = client

    def stopService(self) -> Deferred[object]:
        super().stopService()
        return self._client.stop()

    def leave(self, _: object) -> None:
        """Leaves the parent: the client has ended."""
        if self.parent is not None:
            self.disownServiceParent()


@implementer(IClientParent)
class _LinkingParent:
    """Any service collection as a parent of clients."""

    def __init__(self, parent: IServiceCollection) -> None:
        self._parent = parent

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Client[Any]]:
        """Starts a client that is stopped when the parent stops."""
        client = make_client(conn_or_url, handler, state, options)
        link = _Link(client)
        link.setServiceParent(self._parent)
        try:
            started = client.begin()
        except Exception:
            link.leave(None)
            raise
        client.terminated().addCallback(link.leave)
        return started


registerAdapter(_LinkingParent, IServiceCollection, IClientParent)


def start_link(
    parent: Any, conn_or_url: Conn | str, handler: Any, state: Any = None, **options: Any
) -> Deferred[Client[Any]]:
    """Starts a client that is stopped when ``parent`` stops.

    Args:
        parent: any ``IServiceCollection``, such as an ``Application`` or a ``MultiService``; or a
            :class:`Supervisor`, which takes the client as a temporary child.
        conn_or_url, handler, state, **options: as for :func:`wsx.start`.

    Returns:
        the Deferred of :func:`wsx.start`. Where the parent stops first, it fails with
        :class:`ClientEnded`, whose reason is a :class:`Shutdown`.
    """

    return maybeDeferred(
        lambda: as_parent(parent).start_client(conn_or_url, handler, state, options)
    )


class ClientService(Supervisor):
    """One client as a service, for existing Twisted applications: started, restarted, stopped.

    It is a :class:`Supervisor` of one, which ends when its client has ended for good. Its client
    starts with ``async_=True``, ``handle_initial_conn_failure=True`` and ``reconnect=Backoff()``
    unless told otherwise, so that an application comes up while its server is down.

    Args:
        conn: a :class:`Conn`, or a URL.
        handler, state: as for :func:`wsx.start`.
        restart: as in :class:`ChildSpec`.
        max_restarts: with more restarts than this...
        max_seconds: ...within this many seconds the service gives up.
        **options: as for :func:`wsx.start`. Restarts wait for the ``reconnect`` policy too.

    Raises:
        URLError, ValueError, TypeError: an argument is wrong.

    Attributes:
        client: the present client, or None.
    """

    def __init__(
        self,
        conn: Conn | str,
        handler: Any,
        state: Any = None,
        *,
        restart: str = "permanent",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        **options: Any,
    ) -> None:
        chosen = patient(options)
        self.client: Client[Any] | None = None
        self._watched: Client[Any] | None = None
        self._connected: Waiters[Client[Any]] = Waiters()
        name = chosen.get("name")
        if not isinstance(name, str):
            name = type(self).__qualname__
        spec = ChildSpec(
            name,
            ClientStart(conn, check_handler(handler), lambda: state, chosen),
            restart,
            math.inf,  # the client has its own limits: close_timeout, twice
            backoff=chosen["reconnect"],
            reactor=chosen.get("reactor"),
        )
        super().__init__(
            [spec], "one_for_one", max_restarts, max_seconds, auto_shutdown="all", id=name
        )

    def stopService(self) -> Deferred[Any]:
        """Stops the client.

        Returns:
            a Deferred that fires when it has ended.
        """
        self.client = None
        return super().stopService()

    def whenConnected(self) -> Deferred[Client[Any]]:
        """Gives a Deferred of the client, once it is open and ``handle_connect`` has answered.

        It fails with the reason (:class:`ClientEnded`, where that is no exception) once there will
        be no client any more.
        """
        if self._over:
            return fail(as_exception(self._reason))
        waiter = self._connected.add()
        if self.client is not None:
            self._watch(self.client)
        return waiter

    def _tell_end(self, reason: object) -> None:
        self._connected.fail(as_exception(reason))
        super()._tell_end(reason)

    def announce(self, running: Any) -> None:
        """Takes note of the client that was started; the supervisor calls it."""
        super().announce(running)
        self.client = running
        running.terminated().addCallback(self._gone, running)
        if self._connected:
            self._watch(running)

    def _gone(self, _: object, client: Client[Any]) -> None:
        if self.client is client:
            self.client = None

    def _watch(self, client: Client[Any]) -> None:
        if self._watched is not client:
            self._watched = client
            client.when_open().addCallbacks(self._opened, lambda _: None)  # the next one, or none

    def _opened(self, client: Client[Any]) -> None:
        self._watched = None
        self._connected.succeed(client)
