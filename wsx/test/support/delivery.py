"""A delivery with a fake owner, and handlers for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.delivery import Delivery
from wsx._client.mailbox import Connected, Lost, Mailbox, Message
from wsx.conn import Conn
from wsx.frames import Ping, Pong, Text
from wsx.handler import Reconnect
from wsx.reasons import ConnectionDropped, Disconnect
from wsx.test.support import Recorder, collect_garbage

CONN = Conn("ws://example.test/")

STATUS = Disconnect(ConnectionDropped(), 1, CONN)

ARGUMENTS: dict[str, Any] = {
    "handle_connect": CONN,
    "handle_frame": Text("frame"),
    "handle_cast": "cast",
    "handle_info": "info",
    "handle_ping": Ping(b"ping"),
    "handle_pong": Pong(b"pong"),
    "handle_disconnect": STATUS,
}

CALLBACKS = tuple(ARGUMENTS)

REPLYING = tuple(name for name in CALLBACKS if name != "handle_disconnect")


class FakeOwner:
    """Notes what it is told on the handler's own list, as triples like the handler's.

    Attributes:
        failures: what ``crashed`` got, with its reason.
        reading: as the delivery wants it; only changes are noted.
    """

    def __init__(self, log: list[tuple[str, Any, Any]]) -> None:
        self.log = log
        self.failures: list[tuple[object, Failure | None]] = []
        self.reading = True
        self.delivery: Delivery[Any] | None = None
        self.mailbox: Mailbox | None = None

    def reply(self, callback: str, frames: list[object]) -> None:
        self.log.append(("reply", callback, frames))

    def close_from_callback(self, code: int, message: str) -> None:
        self.log.append(("close", code, message))
        assert self.mailbox is not None
        self.mailbox.closing()

    def disconnect_answered(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        self.log.append(("disconnect_answered", status, decision))

    def answered(self, callback: str, seconds: float) -> None:
        self.log.append(("answered", callback, seconds))

    def crashed(self, reason: object, failure: Failure | None) -> None:
        self.log.append(("crashed", reason, None))
        self.failures.append((reason, failure))
        assert self.delivery is not None
        self.delivery.end()

    def flush(self) -> None:
        self.log.append(("flush", None, None))

    def pause_reading(self) -> None:
        if self.reading:
            self.reading = False
            self.log.append(("pause", None, None))

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self.log.append(("resume", None, None))


class Room:
    """A delivery, with everything around it and an open connection."""

    def __init__(self, clock: Clock, state: object = "old", **answers: Any) -> None:
        self.clock = clock
        self.handler = Recorder(**answers)
        self.log = self.handler.calls
        self.owner = FakeOwner(self.log)
        self.mailbox = Mailbox(1000)
        self.mailbox.connected(Connected(CONN, lambda: None))
        self.mailbox.take()
        self.delivery: Delivery[Any] = Delivery(
            self.handler, state, self.mailbox, clock, self.owner
        )
        self.owner.delivery = self.delivery
        self.owner.mailbox = self.mailbox

    def cast(self, *messages: object) -> None:
        """Casts as a client does."""
        for message in messages:
            self.mailbox.message(Message("handle_cast", message))
            self.delivery.wake()

    def cast_on(self) -> None:
        """Has the handler cast to itself, again and again; not for ever, or a failure hangs."""
        self.handler.answers["handle_cast"] = lambda n, state: self.cast(n + 1) if n < 20 else None

    def receive(self, *frames: Any) -> None:
        """Frames of one read."""
        self.delivery.received(list(frames))

    def lose(self) -> None:
        """The connection ends."""
        self.mailbox.closing()
        self.mailbox.lost(Lost(STATUS))
        self.delivery.wake()

    def happen(self, callback: str, answered: Callable[[], None] = lambda: None) -> None:
        """Brings about what this callback is called for, and lets it be called."""
        argument = ARGUMENTS[callback]
        if callback == "handle_connect":
            self.mailbox.connected(Connected(argument, answered))
        elif callback == "handle_disconnect":
            self.lose()
        elif callback in ("handle_cast", "handle_info"):
            self.mailbox.message(Message(callback, argument))
        else:
            self.receive(argument)
            return
        self.delivery.deliver()

    def turn(self) -> None:
        """One turn of the reactor: what is due now, but not what that makes due."""
        for call in [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]:
            if call.active():
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)

    def step(self) -> None:
        """A few turns."""
        for _ in range(5):
            self.turn()

    @property
    def events(self) -> list[str]:
        """The names of what happened, flushing aside."""
        return [name for name in self.handler.names if name != "flush"]

    @property
    def called(self) -> list[Any]:
        """The arguments of the callbacks, whichever they were."""
        return [argument for name, argument, _ in self.log if name in ARGUMENTS]

    def noted(self, name: str) -> list[tuple[Any, Any]]:
        """What else was noted under this name."""
        return [(first, second) for noted, first, second in self.log if noted == name]


async def waiting(deferred: Deferred[Any]) -> Any:
    """A coroutine that answers with what the Deferred gives."""
    return await deferred


async def answering(response: object) -> Any:
    """A coroutine that answers at once."""
    return response


def as_coroutine(deferred: Deferred[Any]) -> Any:
    """Gives a callback that is an ``async def`` and waits for the Deferred."""
    return lambda argument, state: waiting(deferred)


def as_deferred(deferred: Deferred[Any]) -> Any:
    """Gives a callback that answers with the Deferred."""
    return lambda argument, state: deferred


ASYNCHRONOUS = (as_deferred, as_coroutine)


class DeliveryCase(SynchronousTestCase):
    """With a clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    def tearDown(self) -> None:
        collect_garbage()

    def room(self, **answers: Any) -> Room:
        """Gives a room with a handler that answers so."""
        return Room(self.clock, **answers)
