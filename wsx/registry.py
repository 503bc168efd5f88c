"""Names of clients: a str, a :class:`Global`, or a :class:`Via` for the user's own registry."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, get_origin, overload

from wsx._arguments import is_hashable, require
from wsx._text import expected, shorten
from wsx.errors import AlreadyStartedError, UnknownNameError

if TYPE_CHECKING:
    from wsx.client import Client, HandlerOf
    from wsx.handler import Handler

__all__ = [
    "Global",
    "Name",
    "Registry",
    "Via",
    "check_name",
    "register",
    "resolve",
    "unregister",
    "whereis",
]


State = TypeVar("State")
H = TypeVar("H", bound="Handler[Any]")


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
class Global:
    """A name that is any hashable key, such as ``Global(("feed", 7))``.

    In OTP a global name is known on all nodes of a cluster. Twisted has no cluster: a ``Global``
    is known in this process. It differs from a str with the same text.

    Attributes:
        key: The key, any hashable value.
    """

    key: Hashable


Name: TypeAlias = str | Global | Via

_clients: dict[str | Global, Any] = {}


def check_name(name: object) -> None:
    """Check that a value can be the name of a client.

    Raises:
        TypeError: The value is not a str, Global or Via, or is a Global that cannot be hashed.
        ValueError: The value is an empty str.
    """
    require(isinstance(name, (str, Global, Via)), "name", "a str, Global or Via", name, TypeError)
    hashable = not isinstance(name, Global) or is_hashable(name)
    require(hashable, "name", "a Global with a hashable key", name, TypeError)
    require(name != "", "name", "a str that is not empty", name)


def register(name: Name, client: Client[Any]) -> None:
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


def unregister(name: Name) -> None:
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
        name: A str, a :class:`Global` or a :class:`Via`.
        handler: The handler class that the client must have. Type checkers then know the types of
            the client's state and handler. Default None: any handler.

    Raises:
        TypeError: The client has another handler.
    """
    if isinstance(name, Via):
        return _checked(name, name.registry.whereis_name(name.key), handler)
    return _checked(name, _clients.get(name), handler)


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
    """
    if not isinstance(client_or_name, (str, Global, Via)):
        return client_or_name
    client = whereis(client_or_name)
    if client is None:
        raise UnknownNameError(client_or_name)
    return client
