"""Connection providers: callables that return the URL, Conn or headers of each attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from wsx.conn import Conn

__all__ = ["Attempt", "ConnSource", "Provider"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt for which a connection provider or a headers callable is called.

    Attributes:
        number: 1 for the first attempt of a client, and 1 more than the ``attempt_number`` of the
            last ``Disconnect`` for the others. So it is 2 after the loss of a healthy connection.
        reason: Why the last connection ended or the last attempt failed: the ``reason`` of the last
            ``Disconnect``. None for the first attempt.
        conn: The last ``Conn``, with the response of the server if that connection was open. None
            before a provider has returned one.
    """

    number: int
    reason: object = None
    conn: Conn | None = None


Provider: TypeAlias = Callable[[Attempt], str | Conn | Awaitable[str | Conn]]
# Where a client connects, as `start` and all other functions that start clients accept it.
ConnSource: TypeAlias = Conn | str | Provider
