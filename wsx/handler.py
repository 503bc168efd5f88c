"""What a user writes: :class:`Handler`, the results of its callbacks, and who judges them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx.child import ChildSpec, ClientStart, check_fields
from wsx.conn import Conn
from wsx.errors import BadResponseError
from wsx.frames import NORMAL_CLOSURE, Binary, Frame, Ping, Pong, Text
from wsx.reasons import Disconnect, LocalClose

if TYPE_CHECKING:
    from wsx.client import Client

__all__ = ["Answer", "Close", "Exit", "Handler", "Ok", "Reconnect", "Reply", "Result"]

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

_log = Logger("wsx.handler")
_FIELDS: Final[tuple[str, ...]] = ("id", "restart", "shutdown", "type")  # of a child specification


@dataclass(slots=True)
class Ok(Generic[S_co]):
    """Go on with this state."""

    state: S_co


@dataclass(slots=True)
class Reply(Generic[S_co]):
    """Send one frame, or each of a list in order, then go on with this state."""

    frame: Frame | Sequence[Frame]
    state: S_co


@dataclass(slots=True)
class Close(Generic[S_co]):
    """Start the closing handshake (RFC 6455 section 7.1.2) with this code and message."""

    state: S_co
    code: int = NORMAL_CLOSURE
    message: str = ""


@dataclass(slots=True)
class Reconnect(Generic[S_co]):
    """Connect again, to ``conn`` where given, after that many seconds.

    Without ``after`` the client's ``reconnect`` policy says how long; without one the loss of a
    healthy connection is answered at once, and each failure after it waits as ``Backoff()`` says,
    with at most one attempt a second.
    """

    state: S_co
    conn: Conn | None = None
    after: float | None = None


class Exit(Exception):
    """Raised in a callback: end the client for this reason, without ``handle_disconnect``.

    Attributes:
        reason: what ``terminate`` and ``terminated()`` get. Default ``LocalClose(1000, "")``, the
            normal one.

    Raises:
        TypeError: the reason is a Deferred.
    """

    def __init__(self, reason: object = None) -> None:
        super().__init__(reason)
        self.reason: object = LocalClose() if reason is None else as_reason(reason)


def as_reason(reason: object) -> object:
    """Gives what a Deferred can carry as a result: of a Failure its exception.

    Raises:
        TypeError: it is a Deferred.
    """
    if isinstance(reason, Deferred):
        raise TypeError("a reason is not a Deferred")
    return reason.value if isinstance(reason, Failure) else reason


# For the annotations of callbacks: ``async def ... -> Result[MyState]``, or
# ``def ... -> Answer[MyState]``.
Result: TypeAlias = Ok[S] | Reply[S] | Close[S] | Reconnect[S] | None
Answer: TypeAlias = Result[S] | Deferred[Any] | Coroutine[Any, Any, Result[S]]

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


class Handler(Generic[S]):
    """The base class of every handler; generic in the type of its state.

    Every callback gets the state and answers with a result that carries the next one: ``Ok``,
    ``Reply``, ``Close``, ``Reconnect`` (only in ``handle_disconnect``), or None for "go on, state
    unchanged". It may answer with a Deferred of a result, or be an ``async def``: nothing else is
    delivered to this client until that is settled.

    Attributes:
        client: the handler's own client, set before the first callback.
        version: whatever names this version of the class for a hot code change.
    """

    client: Client[S]
    version: object = None
    _own_child_fields: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Takes fields of a child specification: ``class Feed(Handler, restart="transient")``.

        Subclasses inherit them, except for ``id``.

        Raises:
            ValueError: a field is wrong.
        """
        own = {name: keywords.pop(name) for name in _FIELDS if name in keywords}
        try:
            super().__init_subclass__(**keywords)
        except TypeError as error:
            if keywords:
                what = f"{', '.join(keywords)}; there are {', '.join(_FIELDS)}"
                raise TypeError(f"{cls.__qualname__}: no such class keyword: {what}") from error
            raise
        check_fields(**{name: value for name, value in own.items() if name != "id"})
        cls._own_child_fields = own

    @classmethod
    def child_fields(cls) -> dict[str, Any]:
        """Gives the fields of the child specification that the class keywords set."""
        fields: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            fields.pop("id", None)
            fields |= vars(base).get("_own_child_fields", {})
        return fields

    @classmethod
    def child_spec(cls, conn_or_url: Conn | str, state: Any = None, **options: Any) -> ChildSpec:
        """Gives a child specification, for a :class:`wsx.Supervisor`.

        Args:
            conn_or_url, state: as for :func:`wsx.start`.
            **options: as for :func:`wsx.start`; ``id``, ``restart``, ``shutdown`` and ``type``
                replace what the class keywords say. Restarts wait for the ``reconnect`` policy.

        Raises:
            URLError, ValueError, TypeError: an argument is wrong.
        """
        own = {name: options.pop(name) for name in _FIELDS if name in options}
        fields: dict[str, Any] = {"id": cls.__qualname__, **cls.child_fields(), **own}
        return ChildSpec(
            start=ClientStart(conn_or_url, cls, lambda: state, options),
            backoff=options.get("reconnect"),
            reactor=options.get("reactor"),
            **fields,
        )

    def handle_connect(self, conn: Conn, state: S) -> Answer[S]:
        """Called after each completed opening handshake, before any frame of that connection."""
        return Ok(state)

    def handle_frame(self, frame: Text | Binary, state: S) -> Answer[S]:
        """Called for each whole message.

        Raises:
            NotImplementedError: the default; it ends the client.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_frame for {frame!r}")

    def handle_cast(self, message: Any, state: S) -> Answer[S]:
        """Called for each ``cast``.

        Raises:
            NotImplementedError: the default; it ends the client.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} has no handle_cast for a {type(message).__name__}"
        )

    def handle_info(self, message: Any, state: S) -> Answer[S]:
        """Called for each ``info`` and ``send_after``; the default logs an error and goes on."""
        _log.error(
            "{handler} has no handle_info for a {kind}",
            handler=type(self).__qualname__,
            kind=type(message).__name__,
        )
        return Ok(state)

    def handle_ping(self, frame: Ping, state: S) -> Answer[S]:
        """Called for each ping; the default answers as RFC 6455 section 5.5.2 asks."""
        return Reply(Pong(frame.payload), state)

    def handle_pong(self, frame: Pong, state: S) -> Answer[S]:
        """Called for each pong that does not answer the client's own keepalive."""
        return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: S) -> Answer[S]:
        """Called when a connection ended, or could not be made.

        The default follows the client's ``reconnect`` policy, and ends the client without one.
        """
        delay = self.client.reconnect_delay(status)
        return Ok(state) if delay is None else Reconnect(state, after=delay)

    def terminate(self, reason: Any, state: S) -> Any:
        """Called once, when the client is about to end; what it answers is ignored."""

    def code_change(self, old_version: Any, state: S, extra: Any) -> Answer[S]:
        """Called when the handler's class was replaced at run time; converts the state."""
        return Ok(state)

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Called to edit what a look at the client's status shows."""
        return status


def judge(handler: object, callback: str, arguments: tuple[object, ...], response: object) -> Any:
    """Passes a callback's settled response on, or refuses it: the one place that decides.

    Returns:
        the response, which is a result that this callback may give.

    Raises:
        BadResponseError: it is none.
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
    if conn is not None and not isinstance(conn, Conn):
        return False
    return after is None or (isinstance(after, (int, float)) and 0 <= after < float("inf"))


def frames_of(reply: Reply[Any]) -> list[object]:
    """Gives the frames of a reply as a list, one alone as well."""
    frame = reply.frame
    if isinstance(frame, Frame):
        return [frame]
    several = isinstance(frame, Sequence) and not isinstance(frame, (str, bytes, bytearray))
    return list(frame) if several else [frame]
