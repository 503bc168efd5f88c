"""Call the callbacks of a handler directly: ``handler.client`` is a stand-in."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall

from wsx._arguments import check_delay
from wsx._client.reconnect import ReconnectPolicy
from wsx._text import expected
from wsx.backoff import Backoff
from wsx.client import Client, check_handler
from wsx.conn import Conn
from wsx.errors import FrameEncodeError, InvalidFrameError
from wsx.frames import NORMAL_CLOSURE, Frame, close_payload, wire_payload
from wsx.handler import Handler
from wsx.reasons import Disconnect, LocalClose, Shutdown
from wsx.testing.clock import TurnClock

__all__ = ["Message", "StandIn", "stand_in"]

H = TypeVar("H", bound=Handler[Any])


class Message(NamedTuple):
    """A message that a callback has sent to its own client.

    Attributes:
        method: ``"cast"``, ``"info"`` or ``"send_after"``.
        message: The message.
        delay: The delay of ``send_after`` in seconds; None for the others.
    """

    method: str
    message: Any
    delay: float | None = None


class StandIn(Generic[H]):
    """A stand-in for a client that is open. It records what a callback asks of the client.

    Nothing is delivered: ``cast``, ``info`` and ``send_after`` only record their messages. What
    needs a connection, such as ``sys`` and ``frames``, is an AssertionError.

    Attributes:
        handler: The handler.
        conn: The ``conn`` of the client. Default a Conn for ``ws://test/``.
        status: The ``status`` of the client, which you may set. Default ``"open"``.
        name: The ``name`` of the client. Default None.
        latency: The ``latency`` of the client. Default None.
        gave_up: Default False.
        reactor: A clock; ``advance`` runs the handler's own timers.
        sent: The frames of ``send_frame``, in order.
        messages: A :class:`Message` for each ``cast``, ``info`` and ``send_after``, in order.
        ended: The reason with which ``close``, ``stop`` or ``abort`` was called; None before.
        is_healthy: Whether ``mark_healthy`` was called.
    """

    def __init__(self, handler: H, conn: Conn, reconnect: Backoff | None = None) -> None:
        self.handler = handler
        self.conn = conn
        self.status = "open"
        self.name: Any = None
        self.latency: float | None = None
        self.gave_up = False
        self.reactor = TurnClock()
        self.sent: list[Frame] = []
        self.messages: list[Message] = []
        self.ended: object = None
        self.is_healthy = False
        self._policy = ReconnectPolicy(reconnect)

    def __getattr__(self, name: str) -> Any:
        """Fail for what a client has and a stand-in has not.

        Raises:
            AssertionError: A client has this attribute.
            AttributeError: A client has no such attribute either.
        """
        if hasattr(Client, name) or name == "sys":
            raise AssertionError(f"client.{name} needs a running client: use wsx.testing.run")
        raise AttributeError(f"a client has no attribute {name!r}")

    def cast(self, message: Any) -> None:
        """Record a cast."""
        self.messages.append(Message("cast", message))

    def info(self, message: Any) -> None:
        """Record an info."""
        self.messages.append(Message("info", message))

    def send_after(self, delay: float, message: Any) -> IDelayedCall:
        """Record a message and its delay; return a timer that does nothing."""
        check_delay(delay)
        self.messages.append(Message("send_after", message, delay))
        return self.reactor.callLater(delay, lambda: None)

    def send_frame(self, frame: Frame, timeout: float | None = 5.0) -> Deferred[None]:
        """Record a frame. A frame that cannot be sent makes the Deferred fail."""
        try:
            wire_payload(frame)
        except (InvalidFrameError, FrameEncodeError) as error:
            return fail(error)
        self.sent.append(frame)
        return succeed(None)

    def close(self, code: int = NORMAL_CLOSURE, message: str = "") -> Deferred[None]:
        """Record the reason. A close frame that cannot be sent makes the Deferred fail."""
        try:
            close_payload(code, message)
        except FrameEncodeError as error:
            return fail(error)
        self._end(LocalClose(code, message))
        return succeed(None)

    def stop(self, detail: str = "") -> Deferred[object]:
        """Record the reason."""
        self._end(Shutdown(detail))
        return succeed(self.ended)

    def abort(self) -> None:
        """Record the reason."""
        self._end(Shutdown())

    def _end(self, reason: object) -> None:
        self.ended = reason
        self.status = "terminated"

    def terminated(self) -> Deferred[object]:
        """Return a Deferred that has fired with the reason, or never fires."""
        return Deferred() if self.ended is None else succeed(self.ended)

    def when_open(self) -> Deferred[Any]:
        """Return a Deferred that has fired with this stand-in."""
        return succeed(self)

    def mark_healthy(self) -> None:
        """Record the call."""
        self.is_healthy = True

    def reconnect_delay(self, status: Disconnect) -> float | None:
        """Return the delay in seconds that the ``reconnect`` policy asks for after a loss."""
        plan = self._policy.plan(status, 0.0)
        return plan.delay if plan.reconnects else None


def stand_in(
    handler: type[H] | H,
    *,
    conn: Conn | str = "ws://test/",
    reconnect: Backoff | None = None,
) -> H:
    """Return a handler whose callbacks can be called directly, without a client.

    ``handler.client`` is a :class:`StandIn`, which records what the callbacks ask of the client.

    Args:
        handler: A subclass of :class:`wsx.Handler`, instantiated without arguments, or an instance.
        conn: The ``conn`` of the client. Default ``"ws://test/"``.
        reconnect: The policy of the default ``handle_disconnect``. Default none.

    Returns:
        The handler.

    Raises:
        TypeError: The handler is not a Handler.
        ValueError: The instance has a running client.
    """
    checked: Any = check_handler(handler)
    instance = checked() if isinstance(checked, type) else checked
    client = getattr(instance, "client", None)
    if client is not None and client.status != "terminated" and not isinstance(client, StandIn):
        raise ValueError(expected("handler", "an instance without a running client", instance))
    parsed = Conn(conn) if isinstance(conn, str) else conn
    instance.client = StandIn(instance, parsed, reconnect)
    return instance  # type: ignore[no-any-return]
