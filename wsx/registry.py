"""Names of clients: a str, a :class:`Global`, or one in the user's own registry.

The registry of a :class:`Via` returns its results at once. That of an :class:`AsyncVia`, and the
cluster of a :class:`Global`, may return Deferreds, and may take a name away again.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    get_origin,
    overload,
)

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from wsx._arguments import is_hashable, require
from wsx._text import expected, shorten
from wsx.errors import AlreadyStartedError, UnknownNameError

if TYPE_CHECKING:
    from wsx.client import Client, HandlerOf
    from wsx.cluster import Cluster
    from wsx.handler import Handler

__all__ = [
    "ON_PARTITION",
    "AsyncRegistry",
    "AsyncVia",
    "Global",
    "Name",
    "Registration",
    "Registry",
    "Via",
    "as_async",
    "check_name",
    "find",
    "lookup",
    "register",
    "resolve",
    "unregister",
    "whereis",
]


State = TypeVar("State")
T = TypeVar("T")
H = TypeVar("H", bound="Handler[Any]")

MaybeAwaitable: TypeAlias = T | Awaitable[T]
OnPartition: TypeAlias = Literal["stop", "keep"]


class Registry(Protocol):
    """The methods that :class:`Via` calls, as in the ``via`` modules of OTP."""

    def register_name(self, key: Any, client: Any) -> bool:
        """Register a client under a key.

        Returns:
            True if the client is registered now, False if the key is in use.
        """

    def unregister_name(self, key: Any) -> object:
        """Free a key. The result is ignored."""

    def whereis_name(self, key: Any) -> Any:
        """Return the client with this key, or None."""

    def send(self, key: Any, message: Any) -> object:
        """Deliver an info to the client with this key. The result is ignored."""


@dataclass(frozen=True, slots=True)
class Via:
    """A name in a registry that the user provides.

    Attributes:
        registry: The registry, any object with the methods of :class:`wsx.registry.Registry`.
        key: The key of the client in that registry.
    """

    registry: Registry
    key: Any


@dataclass(frozen=True, slots=True)
class Registration:
    """The result of an :class:`AsyncRegistry` that has registered a client.

    Attributes:
        fence: A number that grows with each registration of the name, or None (default). A store
            that keeps the greatest fence can refuse the writes of an earlier holder.
        seconds_left: Returns the time in seconds until another client may hold the name, measured
            with a monotonic clock. The client calls it before it delivers messages and sends
            frames, because the registry's timer may be late: make it fast. If the result is not
            above 0, the name is lost, as if the registry had called ``lost``. Default: always
            infinite.
    """

    fence: int | None = None
    seconds_left: Callable[[], float] = lambda: math.inf


class AsyncRegistry(Protocol):
    """The methods that :class:`AsyncVia` calls. Each may return a Deferred or a coroutine."""

    def register_name(
        self, key: Any, client: Any, *, standby: bool, lost: Callable[[str], None]
    ) -> MaybeAwaitable[Registration | None]:
        """Register a client under a key.

        The client calls this before it connects, and again after it has lost the name. It keeps the
        name when it only reconnects. If the client is stopped first, the Deferred is cancelled:
        delete what was written.

        Args:
            key: The key.
            client: The client.
            standby: Whether to wait while the key is in use or the store cannot be reached. It is
                also True for a client that has held the name before.
            lost: Call this once, with a short reason, when the client may no longer use the name,
                and before ``seconds_left`` is 0: the closing handshake takes up to half of the time
                that is left. Stop renewing first: ``unregister_name`` is not called for a name that
                is lost, and ``register_name`` may be called again before ``lost`` returns.

        Returns:
            The registration; None if the key is in use and ``standby`` is False.

        Raises:
            ClusterError: The store cannot be reached. After any :class:`WsxError`, the attempt has
                failed, and the reconnect policy decides. Any other exception ends the client.
        """

    def unregister_name(self, key: Any, client: Any) -> MaybeAwaitable[object]:
        """Free the key of a holder that has ended.

        Do nothing if another client holds the key. ``client.terminated()`` fires after this method
        has completed. The result is ignored; an exception is logged.
        """

    def whereis_name(self, key: Any) -> MaybeAwaitable[Any]:
        """Return the client with this key, a description of it, or None.

        :func:`lookup` and :func:`send_frame` call this. The client calls it after
        ``register_name`` has returned None, for the attribute ``client`` of
        :class:`AlreadyStartedError`. For a client in another process, return any description of it.
        :func:`send_frame` needs one with a method ``send_frame(frame, timeout)``.

        Raises:
            ClusterError: The store cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class AsyncVia:
    """A name in a registry that the user provides, and whose methods may return Deferreds.

    Attributes:
        registry: The registry, any object with the methods of :class:`wsx.registry.AsyncRegistry`.
        key: The key of the client in that registry.
        standby: Whether the client waits while the name is in use. Default False: its start then
            fails with :class:`AlreadyStartedError`.
    """

    registry: AsyncRegistry = field(repr=False)
    key: Any
    standby: bool = field(default=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Global:
    """A name that is any hashable key, such as ``Global(("feed", 7))``.

    With a cluster, at most one client of all its processes holds the name. Without one, the name is
    known in this process only. ``Global("feed")`` and ``"feed"`` are different names.

    Attributes:
        key: The key, any hashable value. With a cluster: a str, number, bool or None, or a tuple of
            these.
        cluster: The :class:`Cluster`, or None (default).
        standby: Whether the client waits while another one holds the name. Default False: its start
            then fails with :class:`AlreadyStartedError`. Only with a cluster.
        on_partition: What happens when NATS cannot be reached. ``"stop"`` (default): the client
            disconnects before another one may hold the name. ``"keep"``: it stays connected, so two
            clients may be connected. Only with a cluster.
    """

    key: Hashable
    cluster: Cluster | None = field(default=None, repr=False)
    standby: bool = field(default=False, repr=False, compare=False)
    on_partition: OnPartition = field(default="stop", repr=False, compare=False)


Name: TypeAlias = str | Global | Via | AsyncVia
SyncName: TypeAlias = str | Global | Via

_NAMES: Final = (str, Global, Via, AsyncVia)
ON_PARTITION: Final = ("stop", "keep")

_clients: dict[str | Global, Any] = {}


def check_name(name: object) -> None:
    """Check that a value can be the name of a client.

    Raises:
        TypeError: The value is not a name, or is a Global with a wrong key or cluster.
        ValueError: The value is an empty str, or an option of a Global is wrong.
    """
    require(isinstance(name, _NAMES), "name", "a str, Global, Via or AsyncVia", name, TypeError)
    require(name != "", "name", "a str that is not empty", name)
    if isinstance(name, (Global, AsyncVia)):
        require(isinstance(name.standby, bool), "standby", "True or False", name.standby, TypeError)
    if isinstance(name, Global):
        _check_global(name)


def _check_global(name: Global) -> None:
    require(is_hashable(name.key), "name", "a Global with a hashable key", name, TypeError)
    valid = name.on_partition in ON_PARTITION
    require(valid, "on_partition", '"stop" or "keep"', name.on_partition)
    if name.cluster is None:
        changed = name.standby or name.on_partition != "stop"
        require(not changed, "name", "a Global with a cluster for standby or on_partition", name)
    else:
        as_async(name)  # It checks the cluster and the key.


def as_async(name: Name | None) -> AsyncVia | None:
    """Return the registry and the key of a name whose registry may return Deferreds.

    Returns:
        The name in the registry, or None if the name is known in this process.

    Raises:
        TypeError: The cluster of a Global is not a Cluster, or its key has the wrong type.
        ValueError: The key of a Global with a cluster is too long.
    """
    if isinstance(name, AsyncVia):
        return name
    if not isinstance(name, Global) or name.cluster is None:
        return None
    registry_for = getattr(name.cluster, "registry", None)
    require(callable(registry_for), "cluster", "a wsx.Cluster", name.cluster, TypeError)
    via: AsyncVia = name.cluster.registry(name)
    return via


def _require_local(name: Name) -> SyncName:
    """Return a name that is known in this process.

    Raises:
        TypeError: The registry of the name may return a Deferred.
    """
    if isinstance(name, AsyncVia) or as_async(name) is not None:
        problem = expected("name", "the name of a client in this process", name)
        raise TypeError(f"{problem} (use the result of await wsx.lookup(name))")
    return name


def register(name: SyncName, client: Client[Any]) -> None:
    """Register a client under a name.

    Raises:
        AlreadyStartedError: The name is in use.
    """
    if isinstance(name, Via):
        if not name.registry.register_name(name.key, client):
            raise AlreadyStartedError(name, whereis(name))
    elif name in _clients:
        raise AlreadyStartedError(name, _clients[name])
    else:
        _clients[name] = client


def unregister(name: SyncName) -> None:
    """Free a name."""
    if isinstance(name, Via):
        name.registry.unregister_name(name.key)
    else:
        _clients.pop(name, None)


@overload
def whereis(name: Name, handler: type[HandlerOf[State, H]]) -> Client[State, H] | None: ...


@overload
def whereis(name: Name) -> Client[Any] | None: ...


def whereis(name: Name, handler: Any = None) -> Any:
    """Return the client with this name, or None.

    Args:
        name: A str, a :class:`Via`, or a :class:`Global` without a cluster.
        handler: The handler class that the client must have. Type checkers then know the types of
            the client's state and handler. Default None: any handler.

    Raises:
        TypeError: The client has another handler, or the name is one for :func:`lookup`.
    """
    name = _require_local(name)
    if isinstance(name, Via):
        return _checked(name, name.registry.whereis_name(name.key), handler)
    return _checked(name, _clients.get(name), handler)


def lookup(name: Name) -> Deferred[Any]:
    """Find the client with a name, also in other processes.

    Args:
        name: Any name.

    Returns:
        A Deferred that fires with the client if it is in this process; with a
        :class:`RemoteClient` if it is in another process of the cluster, or with whatever else the
        registry of an :class:`AsyncVia` returns; with None if no client has the name. For a Global
        with a cluster it fails with :class:`ClusterError` if NATS cannot be reached.
    """
    found = as_async(name)
    if found is None:
        return maybeDeferred(whereis, name)
    return maybeDeferred(found.registry.whereis_name, found.key)


def _checked(name: Name, client: Any, handler: Any) -> Any:
    """Return a client, or None, if it has such a handler."""
    handler = get_origin(handler) or handler  # The class of a generic one, such as Feed[int].
    if client is None or handler is None or isinstance(client.handler, handler):
        return client
    found = type(client.handler).__qualname__
    expectation = f"a client with the handler {handler.__qualname__}"
    raise TypeError(f"{expected(f'name {shorten(name)}', expectation)}, got one with {found}")


def resolve(client_or_name: Client[Any] | Name) -> Client[Any]:
    """Return the client for a client or a name.

    Raises:
        UnknownNameError: No client has this name.
        TypeError: The name is one for :func:`lookup`.
    """
    if not isinstance(client_or_name, _NAMES):
        return client_or_name
    client = whereis(client_or_name)
    if client is None:
        raise UnknownNameError(client_or_name)
    return client


def find(client_or_name: Client[Any] | Name) -> Deferred[Any]:
    """Find the client for a client or a name, also in other processes.

    Returns:
        A Deferred that fires with the client, or with what :func:`lookup` returns for a client in
        another process. It fails with :class:`UnknownNameError` if no client has the name.
    """
    if not isinstance(client_or_name, _NAMES):
        return succeed(client_or_name)
    name = client_or_name

    def check(client: Any) -> Any:
        if client is None:
            raise UnknownNameError(name)
        return client

    return lookup(name).addCallback(check)
