"""Handler base class, and the validation of callback results."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Self,
    TypeAlias,
    TypeVar,
    Unpack,
    overload,
)

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._callback_names import warn_about_names
from wsx._redaction import show_message
from wsx.child import ChildSpec, ClientStart, check_fields
from wsx.conn import Conn
from wsx.errors import BadResponseError
from wsx.frames import Binary, Frame, Ping, Pong, Text
from wsx.option_types import ChildFields, ChildOptions
from wsx.provider import ConnSource
from wsx.reasons import Disconnect, LocalClose
from wsx.results import Close, Ok, Reconnect, Reply

if TYPE_CHECKING:
    from wsx.client import Client

__all__ = [
    "MAY_REPLY",
    "Answer",
    "Close",
    "Exit",
    "Handler",
    "Ok",
    "Reconnect",
    "Reply",
    "as_reason",
    "frames_of",
    "validate_result",
]

State = TypeVar("State")
T = TypeVar("T")

_log = Logger("wsx.handler")
# The fields of a child specification that class keywords may set.
_FIELDS: Final[tuple[str, ...]] = ("id", "restart", "shutdown", "type")


class Exit(Exception):
    """Raise this in a callback to end the client without calling ``handle_disconnect``.

    Args:
        reason: The reason for ``terminate`` and ``terminated()``. The end is normal if its
            attribute ``normal`` is True. Default: ``LocalClose(1000, "")``, a normal end.

    Attributes:
        reason: The reason for ``terminate`` and ``terminated()``.

    Raises:
        TypeError: The reason is a Deferred.
    """

    def __init__(self, reason: object = None) -> None:
        super().__init__(reason)
        self.reason: object = LocalClose() if reason is None else as_reason(reason)


def as_reason(reason: object) -> object:
    """Return a reason in a form with which a Deferred can fire: a Failure becomes its exception.

    Raises:
        TypeError: The reason is a Deferred.
    """
    if isinstance(reason, Deferred):
        raise TypeError("reason: expected a value, got a Deferred")
    return reason.value if isinstance(reason, Failure) else reason


# What a callback may return: ``def handle_cast(...) -> Answer[MyState]``, or ``async def``. A
# Deferred and a coroutine are awaitables.
if TYPE_CHECKING:
    Answer: TypeAlias = (
        Ok[State]
        | Reply[State]
        | Close[State]
        | Reconnect[State]
        | Awaitable["Answer[State]"]
        | None
    )
else:

    class Answer:
        """What a callback may return.

        Python evaluates annotations, and a recursive alias in quotes cannot be subscripted.
        """

        def __class_getitem__(cls, state: Any) -> Any:
            return Ok | Reply | Close | Reconnect | Awaitable[Any] | None


MAY_REPLY = frozenset(
    {
        "handle_connect",
        "handle_frame",
        "handle_cast",
        "handle_info",
        "handle_ping",
        "handle_pong",
    }
)
_CALLBACKS: Final = (*sorted(MAY_REPLY), "handle_disconnect")


class Handler(Generic[State]):
    """Base class of handlers, generic in the type of the state.

    Every callback receives the state and returns a result with the next state: ``Ok``, ``Reply``,
    ``Close``, ``Reconnect`` (only in ``handle_disconnect``), or None to keep the state. A callback
    may also be an ``async def`` or return a Deferred that fires with a result. Until then nothing
    else is delivered to this client.

    Attributes:
        client: The client of this handler, set before the first callback.
        version: The version of the class, any object, for a hot code change. Default None.
    """

    client: Client[State, Self]
    version: object = None
    _own_child_fields: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **keywords: Unpack[ChildFields]) -> None:
        """Set fields of the child specification: ``class Feed(Handler, restart="transient")``.

        Subclasses inherit them, except for ``id``. A method whose name is similar to that of a
        callback causes a ``RuntimeWarning``.

        Raises:
            TypeError: There is no such class keyword.
            ValueError: A field is out of range.
        """
        others: dict[str, Any] = {**keywords}
        own = {name: others.pop(name) for name in _FIELDS if name in others}
        try:
            super().__init_subclass__(**others)
        except TypeError as error:
            if others:
                unknown = ", ".join(others)
                raise TypeError(
                    f"{cls.__qualname__}: unknown class keyword {unknown} "
                    f"(expected any of {', '.join(_FIELDS)})"
                ) from error
            raise
        check_fields(**{name: value for name, value in own.items() if name != "id"})
        cls._own_child_fields = own
        warn_about_names(cls, Handler, _CALLBACKS)

    @classmethod
    def child_fields(cls) -> dict[str, Any]:
        """Return the fields of the child specification that class keywords set, by name."""
        fields: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            fields.pop("id", None)
            fields |= vars(base).get("_own_child_fields", {})
        return fields

    @overload
    @classmethod
    def child_spec(
        cls, conn_or_url: ConnSource, state: State, **options: Unpack[ChildOptions]
    ) -> ChildSpec: ...

    @overload
    @classmethod
    def child_spec(
        cls: type[Handler[T | None]], conn_or_url: ConnSource, **options: Unpack[ChildOptions]
    ) -> ChildSpec: ...

    @classmethod
    def child_spec(cls, conn_or_url: ConnSource, state: Any = None, **options: Any) -> ChildSpec:
        """Return a child specification for a :class:`wsx.Supervisor`.

        Args:
            conn_or_url: As for :func:`wsx.start`.
            state: As for :func:`wsx.start`.
            **options: As for :func:`wsx.start`; ``id``, ``restart``, ``shutdown`` and ``type``
                override the class keywords. Restarts wait for the ``reconnect`` policy.

        Raises:
            URLError: The URL is not valid.
            ValueError: An option is out of range.
            TypeError: An option is unknown or has the wrong type.
        """
        own = {name: options.pop(name) for name in _FIELDS if name in options}
        fields: dict[str, Any] = {"id": cls.__qualname__, **cls.child_fields(), **own}
        return ChildSpec(
            start=ClientStart(conn_or_url, cls, lambda: state, options),
            backoff=options.get("reconnect"),
            reactor=options.get("reactor"),
            **fields,
        )

    def handle_connect(self, conn: Conn, state: State, /) -> Answer[State]:
        """Handle a completed opening handshake, before any frame of that connection."""
        return Ok(state)

    def handle_frame(self, frame: Text | Binary, state: State, /) -> Answer[State]:
        """Handle a complete text or binary message.

        Raises:
            NotImplementedError: The default implementation ends the client.
        """
        kind, size = type(frame).__name__, len(frame.payload)
        name = type(self).__qualname__
        raise NotImplementedError(f"{name} has no handle_frame (message: {kind}, length {size})")

    def handle_cast(self, message: Any, state: State, /) -> Answer[State]:
        """Handle a ``cast``.

        Raises:
            NotImplementedError: The default implementation ends the client.
        """
        name, shown = type(self).__qualname__, show_message(message)
        raise NotImplementedError(f"{name} has no handle_cast (message: {shown})")

    def handle_info(self, message: Any, state: State, /) -> Answer[State]:
        """Handle an ``info`` or ``send_after``; the default logs an error and continues."""
        _log.error(
            "{handler} has no handle_info (message: {shown})",
            handler=type(self).__qualname__,
            shown=show_message(message),
        )
        return Ok(state)

    def handle_ping(self, frame: Ping, state: State, /) -> Answer[State]:
        """Handle a ping; the default replies with a pong (RFC 6455 section 5.5.2)."""
        return Reply(Pong(frame.payload), state)

    def handle_pong(self, frame: Pong, state: State, /) -> Answer[State]:
        """Handle a pong that does not answer a keepalive ping."""
        return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: State, /) -> Answer[State]:
        """Handle the end of a connection, or a failed attempt.

        The default follows the client's ``reconnect`` policy; without one it ends the client.
        """
        delay = self.client.reconnect_delay(status)
        return Ok(state) if delay is None else Reconnect(state, after=delay)

    def terminate(self, reason: Any, state: State, /) -> Any:
        """Clean up: the client is about to end. The result is ignored."""

    def code_change(self, old_version: Any, state: State, extra: Any, /) -> Answer[State]:
        """Convert the state after the handler's class was replaced at run time."""
        return Ok(state)

    def format_status(self, status: dict[str, Any], /) -> dict[str, Any]:
        """Edit what ``client.sys.get_status()`` returns."""
        return status


def validate_result(
    handler: object, callback: str, arguments: tuple[object, ...], response: object
) -> Any:
    """Return a callback's response if the callback may return it.

    Args:
        handler: The handler, for the error.
        callback: The name of the callback.
        arguments: The arguments of the call, for the error.
        response: The object that the callback returned.

    Raises:
        BadResponseError: The callback may not return this response.
    """
    if response is None or type(response) is Ok:
        return response
    if callback in MAY_REPLY:
        fits = isinstance(response, (Ok, Reply, Close))
    elif callback == "handle_disconnect":
        fits = isinstance(response, (Ok, Reconnect)) and _fits_disconnect(response)
    else:
        fits = isinstance(response, Ok)
    if not fits:
        raise BadResponseError(response, handler, callback, arguments)
    return response


def _fits_disconnect(response: object) -> bool:
    if not isinstance(response, Reconnect):
        return True
    conn, after = response.conn, response.after
    if not (conn is None or isinstance(conn, Conn) or callable(conn)):
        return False
    return after is None or (isinstance(after, (int, float)) and 0 <= after < float("inf"))


def frames_of(reply: Reply[Any]) -> list[object]:
    """Return the frames of a reply as a list."""
    frame = reply.frame
    if isinstance(frame, Frame):
        return [frame]
    several = isinstance(frame, Sequence) and not isinstance(frame, (str, bytes, bytearray))
    return list(frame) if several else [frame]
