"""Names of clients: a str, a :class:`Global` key, or a :class:`Via` registry of the user's own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from wsx.errors import AlreadyStartedError, UnknownNameError

if TYPE_CHECKING:
    from wsx.client import Client

__all__ = ["Global", "Name", "Registry", "Via", "whereis"]


class Registry(Protocol):
    """What :class:`Via` needs of a registry; as OTP's ``via`` modules have it."""

    def register_name(self, key: Any, client: Any) -> bool:
        """Gives the client this key; False where it is taken."""

    def unregister_name(self, key: Any) -> object:
        """Frees the key."""

    def whereis_name(self, key: Any) -> Any:
        """Gives the client with this key, or None."""

    def send(self, key: Any, message: Any) -> object:
        """Delivers an info to the client with this key."""


@dataclass(frozen=True, slots=True)
class Via:
    """A name that a registry of the user's own keeps.

    Attributes:
        registry: any object with the methods of :class:`Registry`.
        key: whatever that registry takes.
    """

    registry: Registry
    key: Any


@dataclass(frozen=True, slots=True)
class Global:
    """A name that is any hashable key, such as ``Global(("feed", 7))``.

    OTP's global names reach over a cluster of nodes. Twisted has none: these are known in this
    process, apart from those that are a str.

    Attributes:
        key: anything that can be hashed.
    """

    key: Hashable


Name: TypeAlias = "str | Global | Via"

_clients: dict[str | Global, Any] = {}


def check_name(name: object) -> None:
    """Refuses what is no name.

    Raises:
        TypeError: it is no str, Global or Via, or a Global that cannot be hashed.
        ValueError: it is empty.
    """
    if not isinstance(name, (str, Global, Via)):
        raise TypeError(f"a name is a str, a Global or a Via, not {type(name).__name__}")
    if isinstance(name, Global):
        hash(name)
    if name == "":
        raise ValueError("a name is not empty")


def register(name: Name, client: Client[Any]) -> None:
    """Gives a client a name.

    Raises:
        AlreadyStartedError: it is taken.
    """
    if isinstance(name, Via):
        if not name.registry.register_name(name.key, client):
            raise AlreadyStartedError(name, whereis(name))
    elif name in _clients:
        raise AlreadyStartedError(name, _clients[name])
    else:
        _clients[name] = client


def unregister(name: Name) -> None:
    """Frees a name."""
    if isinstance(name, Via):
        name.registry.unregister_name(name.key)
    else:
        _clients.pop(name, None)


def whereis(name: Name) -> Client[Any] | None:
    """Gives the client of that name, or None."""
    if isinstance(name, Via):
        return name.registry.whereis_name(name.key)  # type: ignore[no-any-return]
    return _clients.get(name)


def resolve(client_or_name: Client[Any] | Name) -> Client[Any]:
    """Gives the client itself.

    Raises:
        UnknownNameError: nobody has that name.
    """
    if not isinstance(client_or_name, (str, Global, Via)):
        return client_or_name
    client = whereis(client_or_name)
    if client is None:
        raise UnknownNameError(client_or_name)
    return client
