"""The public interface of clients: start them, send messages and frames, close and stop them.

This module is longer than 500 lines because it contains the documentation of the public methods.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, Unpack, get_origin, overload

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from typing_extensions import TypeVar

from wsx import registry
from wsx._arguments import check_delay
from wsx._client.lifecycle import Lifecycle
from wsx._options import Options, Provided, split_options, with_reactor
from wsx._text import expected, shorten
from wsx.conn import Conn
from wsx.frame_queue import FrameQueue, Frames
from wsx.frames import NORMAL_CLOSURE, Binary, Frame, Text
from wsx.handler import Handler
from wsx.option_types import StartOptions, Status
from wsx.provider import ConnSource
from wsx.reasons import Disconnect, Shutdown
from wsx.registry import Name
from wsx.system import System

__all__ = [
    "Client",
    "FirstState",
    "H_co",
    "HandlerOf",
    "cast",
    "check_handler",
    "info",
    "make_client",
    "send_frame",
    "start",
]

State = TypeVar("State")
H = TypeVar("H", bound=Handler[Any])
# The default makes the second parameter optional: ``Client[int]`` has any handler of that state.
H_co = TypeVar("H_co", bound=Handler[Any], covariant=True, default=Handler[State])


class HandlerOf(Protocol[State, H_co]):
    """A handler of type ``H_co`` with a state of type ``State``, for annotations.

    A type variable cannot be bound by another one, so ``type[H]`` alone would not have ``State``.
    """

    @property
    def client(self) -> Client[State, H_co]:
        """The client of the handler."""


# A State; no value is a Nothing. With it, mypy infers the State from the handler first, because it
# infers the types of arguments whose annotations have a Callable last. Otherwise {"a": 1} would be
# a dict[str, int] even for a Handler[dict[str, float]].
if TYPE_CHECKING:

    class Nothing(Generic[State]):
        """No value has this type."""

    FirstState: TypeAlias = State | Nothing[Callable[[], State]]
else:

    class FirstState:
        """The type of a first state."""

        def __class_getitem__(cls, state: Any) -> Any:
            return state


class Client(Generic[State, H_co]):
    """A running client. :func:`start` creates it; its methods may be called at any time.

    ``Client[State]`` is the type of a client whose handler has a state of that type. The second
    parameter is the type of the handler, as in ``Client[State, MyHandler]``.

    Attributes:
        name: The name with which the client was started, or None.
        sys: System requests, which inspect and control the running client.
    """

    def __init__(
        self, conn: Conn | Provided, handler: H_co, state: State, options: Options
    ) -> None:
        self.name: Name | None = options.name
        self._reactor = options.reactor
        self._life = Lifecycle(self, conn, handler, state, options)
        self.sys: System[State] = System(self._life)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {shorten(self.name)}"
        kind = type(self.handler).__qualname__
        return f"<wsx.Client{name} {kind} {self.conn.parsed.shown} {self.status}>"

    # Properties

    @property
    def status(self) -> Status:
        """``"connecting"``, ``"open"``, ``"closing"``, ``"disconnected"`` or ``"terminated"``."""
        return self._life.status

    @property
    def conn(self) -> Conn:
        """Where the client connects. While it is connected, this has the server's response.

        Before a connection provider has returned something, its URL is ``ws://provider.invalid/``.
        """
        return self._life.conn

    @property
    def handler(self) -> H_co:
        """The handler instance."""
        return self._life.handler  # type: ignore[return-value]

    @property
    def reactor(self) -> Any:
        """The reactor of the client's timers and connections. Use it for your own timers."""
        return self._reactor

    @property
    def latency(self) -> float | None:
        """The duration of the last keepalive round trip on this connection in seconds, or None."""
        return self._life.latency

    @property
    def fence(self) -> int | None:
        """The fencing token of the client's name, a number that grows with each acquisition.

        Pass it to a store that refuses smaller ones, because a client may not know yet that it has
        lost its name. None if the client does not hold its name, or if the name has no fence, such
        as a str.
        """
        return self._life.fence

    @property
    def gave_up(self) -> bool:
        """Whether the client ended because its ``reconnect`` policy gave up."""
        return self._life.gave_up

    # Messages and frames

    def cast(self, message: Any) -> None:
        """Deliver a message to ``handle_cast``, in a later reactor iteration.

        Raises:
            NotConnectedError: The client has ended or is ending.
            MailboxFullError: The mailbox already holds ``mailbox_limit`` messages.
        """
        self._life.post("handle_cast", message)

    def info(self, message: Any) -> None:
        """Deliver a message to ``handle_info``, in a later reactor iteration.

        Raises:
            NotConnectedError: The client has ended or is ending.
            MailboxFullError: The mailbox already holds ``mailbox_limit`` messages.
        """
        self._life.post("handle_info", message)

    def send_after(self, delay: float, message: Any) -> IDelayedCall:
        """Deliver a message to ``handle_info`` after a delay.

        The message is dropped if the client ends before that.

        Args:
            delay: The delay in seconds.
            message: Any object.

        Returns:
            The timer, which you may cancel.

        Raises:
            TypeError: The delay is not a number.
            ValueError: The delay is negative.
        """
        check_delay(delay)
        return self._life.send_after(delay, message)

    def send_frame(self, frame: Frame, timeout: float | None = 5.0) -> Deferred[None]:
        """Send a frame. You may await the result anywhere, even inside a callback.

        Args:
            frame: The frame.
            timeout: The time limit in seconds for the write buffer to fall below its high-water
                mark, or None to wait forever. Default 5.

        Returns:
            A Deferred that fires with None once the frame has been passed to the transport and
            the transport's write buffer is below its high-water mark. It fails with
            :class:`NotConnectedError`, :class:`InvalidFrameError`, :class:`FrameEncodeError` or
            :class:`SendTimeout`. If the connection ends first, it fails with :class:`ConnError`,
            whose text names the reason that ``handle_disconnect`` receives.
        """
        return self._life.send_frame(frame, timeout)

    def frames(self) -> Frames:
        """Return an iterator over the received messages, for ``async for``.

        The handler must be a :class:`FrameQueue`, as that of :func:`connect` is. Coroutines of
        Twisted may use the iterator, and on Twisted's asyncio reactor tasks of asyncio as well.

        Messages that arrive before an iterator asks wait for it. While 16 wait, reading from the
        server is paused. Several iterators share the messages: each goes to one of them. So a loop
        may be left and continued with another iterator, and nothing is lost. The iterators go on
        when the client has reconnected.

        Once the client has ended and no message is left, an iterator stops if the end was normal.
        Otherwise it raises the reason; a reason that is not an exception is wrapped in
        :class:`ClientEnded`.

        Raises:
            TypeError: The handler is not a FrameQueue.
        """
        if not isinstance(self.handler, FrameQueue):
            text = "a client of wsx.connect, or one whose handler is derived from wsx.FrameQueue"
            raise TypeError(f"frames: expected {text}, got handler {type(self.handler).__name__}")
        return self.handler.frames()

    def request(
        self, frame: Frame, *, key: Hashable, timeout: float | None = 30.0
    ) -> Deferred[Text | Binary]:
        """Send a frame and return a Deferred of the reply. You may await it inside a callback.

        The handler must be a :class:`wsx.Requests`, whose ``reply_key`` returns the key of each
        reply. Cancelling the Deferred forgets the request. If its reply arrives nevertheless, it is
        passed to ``handle_frame``.

        Args:
            frame: The frame.
            key: The key of the reply: a hashable value that no open request has.
            timeout: The time limit for the reply in seconds, or None to wait forever. Default 30.

        Returns:
            A Deferred that fires with the reply. It fails with :class:`ReplyTimeout` after the time
            limit, with :class:`NoReplyError` if the connection ends first, with
            :class:`DuplicateKeyError` if a request with the key is open, and with
            :class:`NotConnectedError`, :class:`InvalidFrameError` or :class:`FrameEncodeError` if
            the frame cannot be sent. It fails with TypeError if the handler is not a
            :class:`wsx.Requests`.
        """
        return self._life.request(frame, key, timeout)

    def send_fragments(
        self,
        kind: type[Text] | type[Binary],
        parts: Iterable[str | bytes | bytearray | memoryview]
        | AsyncIterable[str | bytes | bytearray | memoryview],
        timeout: float | None = None,
    ) -> Deferred[None]:
        """Send one message in fragments (RFC 6455 section 5.4), without holding it in memory.

        Each part is a fragment. The next one is taken from the iterable once the transport's write
        buffer is below its high-water mark. Control frames may be sent between two fragments; other
        messages (``send_frame``, replies and ``send_fragments``) wait, in order, until the last
        fragment was sent.

        If the iterable raises, a part is wrong, ``timeout`` expires or the Deferred is cancelled,
        the message cannot be completed. If a part of it was sent, the connection is closed with
        code 1011, and ``handle_disconnect`` receives :class:`IncompleteMessageError`. Otherwise
        nothing else happens.

        Args:
            kind: ``Text`` or ``Binary``.
            parts: An iterable or async iterable of str (only for ``Text``) or bytes-like objects.
                In a ``Text``, all bytes together must be UTF-8; a code point may be divided.
            timeout: The time limit in seconds for the write buffer to fall below its high-water
                mark after each part, or None (default) to wait as long as the connection is open.

        Returns:
            A Deferred that fires with None once the last fragment has been passed to the transport
            and the transport's write buffer is below its high-water mark. It fails with the
            exception of the iterable, with :class:`InvalidFrameError`, :class:`FrameEncodeError`,
            :class:`SendTimeout` or :class:`NotConnectedError`, and with :class:`ConnError` if the
            connection ends first.
        """
        return self._life.send_fragments(kind, parts, timeout)

    def close(self, code: int = NORMAL_CLOSURE, message: str = "") -> Deferred[None]:
        """Start the closing handshake, as if a callback had returned ``Close``.

        While the client connects or waits to reconnect, this ends the attempt, which counts as
        lost with ``LocalClose``. ``handle_disconnect`` decides what follows. If ``close`` is
        called while ``handle_disconnect`` runs, it takes effect only if the callback returns
        ``Reconnect``.

        Args:
            code: The close code. Default 1000.
            message: The close message, at most 123 bytes in UTF-8. Default empty.

        Returns:
            A Deferred that fires with None when the connection has ended. It fails with
            :class:`FrameEncodeError` if RFC 6455 does not allow the code or the message.
        """
        return self._life.close(code, message)

    def stop(self, detail: str = "") -> Deferred[object]:
        """End the client permanently, with ``terminate`` and without ``handle_disconnect``.

        If the connection is open, send close code 1001 and wait at most ``close_timeout`` seconds
        for the server's close frame. A pending callback is cancelled.

        Args:
            detail: The ``detail`` of the :class:`Shutdown` reason. Default empty.

        Returns:
            A Deferred that fires with the reason once the client has ended.
        """
        self._life.end(Shutdown(detail))
        return self._life.terminated()

    def abort(self) -> None:
        """End the client like :meth:`stop`, but without waiting.

        The TCP connection is aborted, and ``terminate`` is cancelled unless it returns at once.
        """
        self._life.abort()

    def terminated(self) -> Deferred[object]:
        """Return a Deferred that fires with the reason when the client has ended.

        The Deferred never fails.
        """
        return self._life.terminated()

    def when_open(self) -> Deferred[Client[State, H_co]]:
        """Return a Deferred that fires with this client once it is open.

        The client is open once ``handle_connect`` has returned its result. If the client ends
        before that, the Deferred fails with the reason; a reason that is not an exception is
        wrapped in :class:`ClientEnded`.
        """
        return self._life.when_open()

    def mark_healthy(self) -> None:
        """Count the open connection as healthy, so that its loss is attempt number 1."""
        self._life.mark_healthy()

    def reconnect_delay(self, status: Disconnect) -> float | None:
        """Return the delay in seconds that the ``reconnect`` policy asks for after a loss.

        Args:
            status: The argument of ``handle_disconnect``.

        Returns:
            The delay in seconds; None if the policy gives up, or if there is no policy.
        """
        return self._life.reconnect_delay(status)

    def begin(self) -> Deferred[Client[State, H_co]]:
        """Register the name and start the first attempt; :func:`start` calls this.

        Returns:
            The Deferred of :func:`start`.

        Raises:
            AlreadyStartedError: The name is in use.
        """
        return self._life.begin()


def check_handler(handler: Any) -> type[Handler[Any]] | Handler[Any]:
    """Return the value if it is a Handler subclass or an instance of one.

    For a generic handler with its type argument, such as ``Feed[int]``, return the class.

    Raises:
        TypeError: The value is neither.
    """
    handler = get_origin(handler) or handler
    if isinstance(handler, Handler) or (isinstance(handler, type) and issubclass(handler, Handler)):
        return handler
    problem = expected("handler", "a subclass of wsx.Handler or an instance of one", handler)
    raise TypeError(problem)


def make_handler(handler: Any) -> Handler[Any]:
    """Return the handler instance for one client.

    Raises:
        TypeError: The value is neither a Handler subclass nor an instance of one.
        ValueError: The instance already has a running client.
    """
    checked = check_handler(handler)
    if isinstance(checked, type):
        return checked()
    client = getattr(checked, "client", None)
    if client is not None and client.status != "terminated":
        name = type(checked).__qualname__
        raise ValueError(f"handler: this instance of {name} already has a running client")
    return checked


def make_client(
    conn_or_url: ConnSource, handler: Any, state: Any, options: dict[str, Any]
) -> Client[Any]:
    """Create a client from the arguments of :func:`start`, without starting it.

    Raises:
        URLError: The URL is not valid.
        ValueError: An argument is out of range.
        TypeError: An argument is unknown or has the wrong type.
    """
    conn, start_options = split_options(conn_or_url, options)
    return Client(conn, make_handler(handler), state, with_reactor(start_options))


@overload
def start(
    conn_or_url: ConnSource,
    handler: type[HandlerOf[State, H]],
    state: FirstState[State],
    **options: Unpack[StartOptions],
) -> Deferred[Client[State, H]]: ...


@overload
def start(
    conn_or_url: ConnSource,
    handler: HandlerOf[State, H],
    state: FirstState[State],
    **options: Unpack[StartOptions],
) -> Deferred[Client[State, H]]: ...


@overload
def start(
    conn_or_url: ConnSource,
    handler: type[HandlerOf[State | None, H]] | HandlerOf[State | None, H],
    **options: Unpack[StartOptions],
) -> Deferred[Client[State | None, H]]: ...


def start(
    conn_or_url: ConnSource, handler: Any, state: Any = None, **options: Any
) -> Deferred[Client[Any, Any]]:
    """Start a client that is not linked to anything.

    Args:
        conn_or_url: A :class:`Conn`, a URL, or a connection provider: a callable that takes an
            :class:`Attempt` and returns a Conn or a URL, directly or as an awaitable. It is called
            before each attempt, and may take ``socket_connect_timeout`` seconds.
        handler: A subclass of :class:`Handler`, instantiated without arguments, or an instance.
        state: The handler's first state. It may be omitted if the state may be None.
        **options: The options of :class:`wsx.StartOptions`: those of the client and, if a URL is
            given, those of :class:`Conn`. Those of Conn beside a provider apply to a URL that it
            returns, not to a Conn.

    Returns:
        A Deferred that fires with the client once ``handle_connect`` has returned. If that never
        happens, it fails with the reason; a reason that is not an exception is wrapped in
        :class:`ClientEnded`. It fails with :class:`URLError`, ValueError or TypeError if an
        argument is wrong, and with :class:`AlreadyStartedError` if the name is in use. Cancelling
        the Deferred stops the attempt.
    """
    return maybeDeferred(lambda: make_client(conn_or_url, handler, state, options).begin())


def cast(client: Client[Any] | Name, message: Any) -> None:
    """Deliver a message to ``handle_cast`` of a client.

    Args:
        client: The client, or its name.
        message: Any object.

    Raises:
        UnknownNameError: No client has that name.
        NotConnectedError: As for :meth:`Client.cast`.
        MailboxFullError: As for :meth:`Client.cast`.
    """
    registry.resolve(client).cast(message)


def info(client: Client[Any] | Name, message: Any) -> None:
    """Deliver a message to ``handle_info`` of a client.

    Args:
        client: The client, or its name.
        message: Any object.

    Raises:
        UnknownNameError: No client has that name.
        NotConnectedError: As for :meth:`Client.info`.
        MailboxFullError: As for :meth:`Client.info`.
    """
    if isinstance(client, registry.Via):
        registry.resolve(client)
        client.registry.send(client.key, message)
    else:
        registry.resolve(client).info(message)


def send_frame(
    client: Client[Any] | Name, frame: Frame, timeout: float | None = 5.0
) -> Deferred[None]:
    """Send a frame through a client.

    Args:
        client: The client, or its name.
        frame: As for :meth:`Client.send_frame`.
        timeout: As for :meth:`Client.send_frame`. Default 5.

    Returns:
        The Deferred of :meth:`Client.send_frame`. It fails with :class:`UnknownNameError` if no
        client has the name.
    """
    return registry.find(client).addCallback(_send_frame_through, frame, timeout)


def _send_frame_through(client: Any, frame: Frame, timeout: float | None) -> Deferred[None]:
    if not callable(getattr(client, "send_frame", None)):  # whereis_name may return anything.
        raise TypeError(expected("whereis_name", "a client with send_frame", client))
    sent: Deferred[None] = client.send_frame(frame, timeout)
    return sent
