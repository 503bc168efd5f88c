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
from wsx._scheduler import scheduler_for
from wsx._wire.batch import Batch
from wsx.conn import Conn
from wsx.errors import CallbackTimeout
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


def make_batch(*frames: Any) -> Batch:
    """Return the batch of a read that completed these frames."""
    batch = Batch()
    batch.frames = list(frames)
    batch.has_controls = any(isinstance(frame, (Ping, Pong)) for frame in frames)
    return batch


def do_nothing() -> None:
    """Do nothing."""


class FakeOwner:
    """The owner of a delivery. It records its calls in the handler's list, as triples.

    Attributes:
        failures: The arguments of each ``callback_failed``.
        exits: The reason of each ``exited``.
        reading: Whether the delivery wants to read; only changes are recorded.
        on_reply: Called at the end of ``reply``.
        on_flush: Called at the end of ``flush``.
    """

    def __init__(self, log: list[tuple[str, Any, Any]]) -> None:
        self.log = log
        self.failures: list[tuple[Failure, str, object]] = []
        self.exits: list[object] = []
        self.reading = True
        self.delivery: Delivery[Any] | None = None
        self.mailbox: Mailbox | None = None
        self.on_reply: Callable[[], None] = do_nothing
        self.on_flush: Callable[[], None] = do_nothing

    def reply(self, callback: str, frames: list[object]) -> None:
        self.log.append(("reply", callback, frames))
        self.on_reply()

    def close_from_callback(self, callback: str, code: int, message: str) -> None:
        self.log.append(("close_from_callback", callback, (code, message)))
        assert self.mailbox is not None
        self.mailbox.closing()

    def disconnect_decided(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        self.log.append(("disconnect_decided", status, decision))

    def callback_finished(self, callback: str, seconds: float) -> None:
        self.log.append(("callback_finished", callback, seconds))

    def callback_blocked(self, callback: str, seconds: float, calls: int) -> None:
        self.log.append(("callback_blocked", callback, (seconds, calls)))

    def callback_overdue(self, callback: str, argument: object, seconds: float) -> None:
        self.log.append(("callback_overdue", callback, (argument, seconds)))

    def callback_timed_out(self, error: CallbackTimeout, argument: object) -> None:
        self.log.append(("callback_timed_out", error.callback, argument))

    def callback_failed(self, failure: Failure, callback: str, argument: object) -> None:
        self.log.append(("callback_failed", callback, argument))
        self.failures.append((failure, callback, argument))
        self._end()

    def exited(self, reason: object) -> None:
        self.log.append(("exited", reason, None))
        self.exits.append(reason)
        self._end()

    def _end(self) -> None:
        assert self.delivery is not None
        self.delivery.end()

    def flush(self) -> None:
        self.log.append(("flush", None, None))
        self.on_flush()

    def pause_reading(self) -> None:
        if self.reading:
            self.reading = False
            self.log.append(("pause_reading", None, None))

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self.log.append(("resume_reading", None, None))


class DeliveryScenario:
    """A delivery with a handler, a mailbox, a fake owner and an open connection.

    Args:
        clock: The reactor.
        state: The handler's initial state.
        answers: The results of the callbacks; see ``Recorder``.
    """

    def __init__(self, clock: Clock, state: object = "old", **answers: Any) -> None:
        self.clock = clock
        self.handler = Recorder(**answers)
        self.log = self.handler.calls
        self.owner = FakeOwner(self.log)
        self.mailbox = Mailbox(1000)
        self.mailbox.connected(Connected(CONN, do_nothing))
        self.mailbox.take()
        self.delivery: Delivery[Any] = Delivery(
            self.handler, state, self.mailbox, scheduler_for(clock), self.owner, slow_callback=1.0
        )
        self.owner.delivery = self.delivery
        self.owner.mailbox = self.mailbox

    def cast(self, *messages: object) -> None:
        """Queue casts as a client does."""
        for message in messages:
            self.mailbox.message(Message("handle_cast", message))
            self.delivery.wake()

    def cast_repeatedly(self) -> None:
        """Let the handler cast to itself 20 times; the limit keeps a failing test from hanging."""
        self.handler.answers["handle_cast"] = lambda n, state: self.cast(n + 1) if n < 20 else None

    def receive(self, *frames: Any) -> None:
        """Receive the frames of one read."""
        self.delivery.received(make_batch(*frames))

    def lose(self) -> None:
        """Lose the connection."""
        self.mailbox.closing()
        self.mailbox.lost(Lost(STATUS))
        self.delivery.wake()

    def trigger(self, callback: str, concluded: Callable[[], None] = do_nothing) -> None:
        """Queue the event that this callback handles, and deliver it."""
        argument = ARGUMENTS[callback]
        if callback == "handle_connect":
            self.mailbox.connected(Connected(argument, concluded))
        elif callback == "handle_disconnect":
            self.lose()
        elif callback in ("handle_cast", "handle_info"):
            self.mailbox.message(Message(callback, argument))
        else:
            self.receive(argument)
            return
        self.delivery.deliver()

    def iterate(self) -> int:
        """Run one reactor iteration: the calls that are due now, without those they schedule.

        Returns:
            How many calls ran.
        """
        count = 0
        for call in [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]:
            if call.active():
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
                count += 1
        return count

    def settle(self) -> int:
        """Run five reactor iterations, and return how many calls ran."""
        return sum(self.iterate() for _ in range(5))

    @property
    def events(self) -> list[str]:
        """The names of the calls of the handler and the owner, without ``flush``."""
        return [name for name in self.handler.names if name != "flush"]

    @property
    def called(self) -> list[Any]:
        """The arguments of all callbacks, in order."""
        return [argument for name, argument, _ in self.log if name in ARGUMENTS]


async def waiting(deferred: Deferred[Any]) -> Any:
    """Wait for the Deferred, and return its result."""
    return await deferred


async def answering(response: object) -> Any:
    """Return a response at once."""
    return response


def as_coroutine(deferred: Deferred[Any]) -> Any:
    """Return an ``async def`` callback that waits for the Deferred."""
    return lambda argument, state: waiting(deferred)


def as_deferred(deferred: Deferred[Any]) -> Any:
    """Return a callback that returns the Deferred."""
    return lambda argument, state: deferred


ASYNCHRONOUS = (as_deferred, as_coroutine)


class DeliveryCase(SynchronousTestCase):
    """Tests of a delivery, with a clock as its reactor."""

    def setUp(self) -> None:
        self.clock = Clock()

    def tearDown(self) -> None:
        collect_garbage()

    def scenario(self, **answers: Any) -> DeliveryScenario:
        """Return a scenario whose handler returns these results."""
        return DeliveryScenario(self.clock, **answers)
