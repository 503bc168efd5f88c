"""The results of callbacks. May be compiled.

``results.pyi`` declares the types: the classes are generic in the type of the state, and a compiled
class cannot inherit from ``typing.Generic``.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Any

from wsx._members import use_members
from wsx.frames import NORMAL_CLOSURE

__all__ = ["Close", "Ok", "Reconnect", "Reply"]


class _Result:
    """Base class of the results, which are values: equality, representation and pickling.

    ``__match_args__`` of a class names its fields in the order of its constructor.
    """

    __slots__ = ("state",)

    @classmethod
    def __class_getitem__(cls, item: Any) -> Any:
        return GenericAlias(cls, item)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _fields(self) == _fields(other)

    def __repr__(self) -> str:
        names = type(self).__match_args__
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({shown})"

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name}: attributes of a result cannot be deleted")

    def __reduce__(self) -> Any:
        return type(self), _fields(self), getattr(self, "__dict__", None)


def _fields(result: Any) -> tuple[Any, ...]:
    return tuple([getattr(result, name) for name in type(result).__match_args__])


class Ok(_Result):
    """Continue with a state.

    Attributes:
        state: The next state.
    """

    __slots__ = ()
    __match_args__ = ("state",)

    def __init__(self, state: Any) -> None:
        self.state = state


class Reply(_Result):
    """Send one frame, or each frame of a list in order, then continue with a state.

    Attributes:
        frame: A frame, or a list of frames. All are checked before the first one is sent.
        state: The next state.
    """

    __slots__ = ("frame",)
    __match_args__ = ("frame", "state")

    def __init__(self, frame: Any, state: Any) -> None:
        self.frame = frame
        self.state = state


class Close(_Result):
    """Start the closing handshake (RFC 6455 section 7.1.2).

    Attributes:
        state: The next state.
        code: The close code. Default 1000.
        message: The close message, at most 123 bytes in UTF-8. Default empty.
    """

    __slots__ = ("code", "message")
    __match_args__ = ("state", "code", "message")

    def __init__(self, state: Any, code: Any = NORMAL_CLOSURE, message: Any = "") -> None:
        self.state = state
        self.code = code
        self.message = message


class Reconnect(_Result):
    """Connect again.

    Attributes:
        state: The next state.
        conn: Where to connect from now on: a ``Conn`` or a connection provider. None (default)
            keeps the current ``Conn`` or provider.
        after: The delay in seconds, or None (default) for the delay of the client's ``reconnect``
            policy. Without a policy, the client reconnects at once after the loss of a healthy
            connection, and with the delays of ``Backoff()`` after further failures. It makes at
            most one attempt per second.
    """

    __slots__ = ("after", "conn")
    __match_args__ = ("state", "conn", "after")

    def __init__(self, state: Any, conn: Any = None, after: Any = None) -> None:
        self.state = state
        self.conn = conn
        self.after = after


use_members(_Result, "state")
use_members(Reply, "state", "frame")
use_members(Close, "state", "code", "message")
use_members(Reconnect, "state", "conn", "after")
