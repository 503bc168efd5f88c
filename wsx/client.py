"""Start clients, send through them and end them. Their lifecycle is in :mod:`wsx._client`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall

from wsx import registry
from wsx._client.lifecycle import Lifecycle
from wsx._options import Options, split_options, with_reactor
from wsx._text import shorten
from wsx.conn import Conn
from wsx.frames import NORMAL_CLOSURE, Frame
from wsx.handler import Handler
from wsx.reasons import Disconnect, Shutdown
from wsx.registry import Name
from wsx.system import System

__all__ = ["Client", "cast", "info", "send_frame", "start"]

S = TypeVar("S")


class Client(Generic[S]):
    """A running client. Made by :func:`start`; its methods may be called at any time.

    Attributes:
        name: the name it was started with, or None.
        sys: system requests, to look inside and to switch things while it runs.
    """

    def __init__(self, conn: Conn, handler: Handler[S], state: S, options: Options) -> None:
        self.name = options.name
        self._reactor = options.reactor
        self._life = Lifecycle(self, conn, handler, state, options)
        self.sys = System(self._life)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {shorten(self.name)}"
        kind = type(self.handler).__qualname__
        return f"<wsx.Client{name} {kind} {self.conn.parsed.redacted} {self.status}>"

    # Looking at it

    @property
    def status(self) -> str:
        """``"connecting"``, ``"open"``, ``"closing"``, ``"disconnected"`` or ``"terminated"``."""
        return self._life.status

    @property
    def conn(self) -> Conn:
        """Where it is connected or connecting to; with the server's answer once it is open."""
        return self._life.conn

    @property
    def handler(self) -> Handler[S]:
        """The handler."""
        return self._life.handler

    @property
    def reactor(self) -> Any:
        """What the client uses for time and connections; use it for your own timers."""
        return self._reactor

    @property
    def latency(self) -> float | None:
        """Seconds of the last keepalive round trip on this connection, or None."""
        return self._life.latency

    @property
    def gave_up(self) -> bool:
        """Whether its ``reconnect`` policy had enough when it was asked last."""
        return self._life.gave_up

    # Talking to it

    def cast(self, message: Any) -> None:
        """Delivers a message to ``handle_cast``, in a later step.

        Raises:
            NotConnectedError: the client has ended, or is about to.
            MailboxFullError: ``mailbox_limit`` messages wait already.
        """
        self._life.post("handle_cast", message)

    def info(self, message: Any) -> None:
        """Delivers a message to ``handle_info``, in a later step.

        Raises:
            NotConnectedError, MailboxFullError: as ``cast``.
        """
        self._life.post("handle_info", message)

    def send_after(self, delay: float, message: Any) -> IDelayedCall:
        """Delivers an info after that many seconds, unless the client ends before.

        Returns:
            the timer, which may be cancelled.
        """
        return self._life.send_after(delay, message)

    def send_frame(self, frame: Frame, timeout: float | None = 5.0) -> Deferred[None]:
        """Sends a frame; may be awaited anywhere, also inside a callback.

        Args:
            frame: what to send.
            timeout: seconds for the write buffer to get below its high-water mark; None waits.

        Returns:
            a Deferred of None, once the frame is with the transport and the transport's write
            buffer is below its high-water mark. It fails with :class:`NotConnectedError`,
            :class:`InvalidFrameError`, :class:`FrameEncodeError`, :class:`ConnError` (the
            connection ended while waiting) or :class:`SendTimeout`.
        """
        return self._life.send_frame(frame, timeout)

    def close(self, code: int = NORMAL_CLOSURE, message: str = "") -> Deferred[None]:
        """Starts the closing handshake, as if a callback had answered ``Close``.

        While connecting, or waiting to, the attempt is given up and counts as lost with
        ``LocalClose``. What follows is up to ``handle_disconnect``.

        Returns:
            a Deferred of the connection's end; it fails with :class:`FrameEncodeError` where the
            code or the message may not be sent.
        """
        return self._life.close(code, message)

    def stop(self, detail: str = "") -> Deferred[object]:
        """Ends the client for good, with ``terminate`` and without ``handle_disconnect``.

        An open connection gets close frame 1001 and ``close_timeout`` seconds to answer it. A
        pending callback is cancelled.

        Returns:
            a Deferred of the end, with its reason.
        """
        self._life.end(Shutdown(detail))
        return self._life.terminated()

    def abort(self) -> None:
        """Ends the client like :meth:`stop`, and waits for nobody.

        TCP is cut, and ``terminate`` is cancelled where it takes longer than a step.
        """
        self._life.abort()

    def terminated(self) -> Deferred[object]:
        """Gives a Deferred of the reason with which the client ends; never an errback."""
        return self._life.terminated()

    def when_open(self) -> Deferred[Client[S]]:
        """Gives a Deferred of this client, once it is open and ``handle_connect`` has answered.

        It fails with the reason (:class:`ClientEnded`, where that is no exception) once the client
        has ended.
        """
        return self._life.when_open()

    def mark_healthy(self) -> None:
        """Says that this connection works: its loss will be attempt number 1."""
        self._life.mark_healthy()

    def reconnect_delay(self, status: Disconnect) -> float | None:
        """Applies the ``reconnect`` policy; None to give up, and without a policy."""
        return self._life.reconnect_delay(status)

    def begin(self) -> Deferred[Client[S]]:
        """Registers the name and makes the first attempt; :func:`start` has called it.

        Returns:
            the Deferred that :func:`start` gives.

        Raises:
            AlreadyStartedError: the name is taken.
            OSError: the file to log to cannot be opened.
        """
        return self._life.begin()


def check_handler(handler: Any) -> type[Handler[Any]] | Handler[Any]:
    """Refuses what is neither a Handler subclass nor an instance.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(handler, Handler) or (isinstance(handler, type) and issubclass(handler, Handler)):
        return handler
    raise TypeError(f"a handler is a subclass of wsx.Handler or an instance, not {handler!r}")


def make_handler(handler: Any) -> Handler[Any]:
    """Gives the instance for one client.

    Raises:
        TypeError: this is no handler.
        ValueError: the instance has a running client already.
    """
    checked = check_handler(handler)
    if isinstance(checked, type):
        return checked()
    present = getattr(checked, "client", None)
    if present is not None and present.status != "terminated":
        raise ValueError("this handler instance has a running client already")
    return checked


def make_client(
    conn_or_url: Conn | str, handler: Any, state: Any, options: dict[str, Any]
) -> Client[Any]:
    """Makes a client that has not begun, out of the arguments of :func:`start`.

    Raises:
        URLError, ValueError, TypeError: an argument is wrong.
    """
    conn, start_options = split_options(conn_or_url, options)
    return Client(conn, make_handler(handler), state, with_reactor(start_options))


def start(
    conn_or_url: Conn | str,
    handler: type[Handler[S]] | Handler[S],
    state: S = None,  # type: ignore[assignment]
    **options: Any,
) -> Deferred[Client[S]]:
    """Starts a client that is linked to nothing.

    Args:
        conn_or_url: a :class:`Conn`, or a URL.
        handler: a subclass of :class:`Handler`, instantiated without arguments, or an instance.
        state: the handler's first state.
        **options: those of :class:`Conn`, when a URL is given, and:
            ``async_`` (False): fire at once, before the client is connected;
            ``handle_initial_conn_failure`` (False): a failing first connection goes to
            ``handle_disconnect``;
            ``reconnect`` (None): a :class:`Backoff` for the default ``handle_disconnect``;
            ``name`` (None): a str, a :class:`Global` or a :class:`Via`;
            ``debug`` (()): any of ``"trace"``, ``"log"``, ``("log", n)``, ``"statistics"``,
            ``("log_to_file", path)``;
            ``stable_after`` (5.0): seconds after which a connection counts as healthy;
            ``mailbox_limit`` (10,000): how many casts and infos may wait;
            ``reactor``: for time and connections.

    Returns:
        a Deferred of the client, once ``handle_connect`` has been answered. It fails with the
        reason where that never happens; a reason that is no exception comes as
        :class:`ClientEnded`. Cancelling it stops the attempt. A wrong argument fails it too, with
        :class:`URLError`, :class:`AlreadyStartedError`, ValueError or TypeError.
    """
    return maybeDeferred(lambda: make_client(conn_or_url, handler, state, options).begin())


def cast(client: Client[Any] | Name, message: Any) -> None:
    """Delivers a message to ``handle_cast`` of a client or of the client with that name.

    Raises:
        UnknownNameError: nobody has that name.
        NotConnectedError, MailboxFullError: as :meth:`Client.cast`.
    """
    registry.resolve(client).cast(message)


def info(client: Client[Any] | Name, message: Any) -> None:
    """Delivers a message to ``handle_info`` of a client or of the client with that name.

    Raises:
        UnknownNameError: nobody has that name.
        NotConnectedError, MailboxFullError: as :meth:`Client.info`.
    """
    if isinstance(client, registry.Via):
        registry.resolve(client)
        client.registry.send(client.key, message)
    else:
        registry.resolve(client).info(message)


def send_frame(
    client: Client[Any] | Name, frame: Frame, timeout: float | None = 5.0
) -> Deferred[None]:
    """Sends a frame through a client or the client with that name.

    Returns:
        the Deferred of :meth:`Client.send_frame`; it fails with :class:`UnknownNameError` too.
    """
    return maybeDeferred(lambda: registry.resolve(client).send_frame(frame, timeout))
