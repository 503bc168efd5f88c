"""Handlers that do everything a handler may do, and some things that it may not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

import wsx
from wsx.test.simulation.subject import State, Subject
from wsx.test.simulation.terms import Call

if TYPE_CHECKING:
    from wsx.test.simulation.world import World

CODES = (1000, 1000, 1001, 1003, 1008, 1011, 3000, 4999)
INVALID_CODES = (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000", None)
SIZES = (0, 1, 5, 5, 20, 100, 125, 126, 1000)
LARGE = (5000, 65535, 65536, 100_000)


class Message:
    """A cast or an info, with its number."""

    __slots__ = ("due", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.due = 0.0

    def __repr__(self) -> str:
        return f"<message {self.number}>"


class AbnormalReason:
    """A reason for ``Exit`` that is not normal."""

    normal = False


class NormalReason:
    """A reason for ``Exit`` that is normal."""

    normal = True


class Temper:
    """How a client behaves: probabilities.

    Args:
        rng: The random source.
        calm: Whether the handler never ends the client by itself.
    """

    def __init__(self, rng: random.Random, handlers: bool, calm: bool) -> None:
        self.calm = calm or not handlers
        wild = 0.0 if calm or not handlers else rng.choice((0.0, 0.001, 0.01))
        self.late = rng.choice((0.0, 0.05, 0.3)) if handlers else 0.0
        self.never = wild / 2
        self.stubborn = rng.choice((0.0, 0.0, 0.5)) if handlers else 0.0
        self.raises = wild
        self.exits = wild
        self.bad = wild
        self.closes = 0.0 if calm or not handlers else rng.choice((0.0, 0.005, 0.02))
        self.invalid = wild
        self.replies = rng.choice((0.1, 0.5))
        self.nested = rng.choice((0.0, 0.05, 0.2)) if handlers and not calm else 0.0
        self.large = rng.choice((0.0, 0.02))
        self.gives_up = wild


class Behaviour:
    """The behaviour of one client's handler."""

    def __init__(self, subject: Subject, temper: Temper) -> None:
        self.subject = subject
        self.world: World = subject.world
        self.temper = temper
        self.rng = subject.rng

    # Frames

    def frame(self) -> Any:
        """Return a frame to send; each has its own number."""
        subject, rng = self.subject, self.rng
        subject.messages += 1
        mark = f"c{subject.messages}"
        size = rng.choice(LARGE if rng.random() < self.temper.large else SIZES)
        roll = rng.random()
        if roll < 0.45:
            return wsx.Text((mark + rng.choice("aé€") * size)[: max(size, len(mark))])
        if roll < 0.85:
            return wsx.Binary((mark.encode() + bytes(size))[: max(size, len(mark))])
        kind = wsx.Ping if roll < 0.93 else wsx.Pong
        return kind(b"app" + mark.encode())

    def invalid_frame(self) -> Any:
        """Return something that cannot be sent."""
        return self.rng.choice(
            (None, "text", wsx.Text(5), wsx.Text("\ud800"), wsx.Ping(b"x" * 126), wsx.Binary("x"))  # type: ignore[arg-type]
        )

    # Callbacks

    def run(self, name: str, argument: Any, state: Any) -> Any:
        """Handle one callback."""
        subject, world = self.subject, self.world
        subject.enter()
        world.begin_callback(subject, name)
        try:
            call = subject.model.callback_begins(name, argument, state)
            world.note(subject, name, "", "")
            if self.rng.random() < self.temper.nested:
                world.nested_action(subject)
            roll = self.rng.random()
            never = self.temper.stubborn if name == "terminate" else self.temper.never
            if roll < never:
                call.sync = False
                return self._never(call)
            if roll < self.temper.late:
                return self._late(call)
            return self._now(call)
        finally:
            world.end_callback()
            subject.leave()

    def _now(self, call: Call) -> Any:
        outcome = self.outcome(call)
        self.subject.model.conclude(call, outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _never(self, call: Call) -> Deferred[Any]:
        return Deferred(lambda _: self._cancelled(call))

    def _cancelled(self, call: Call) -> None:
        """The library cancels a callback."""
        model = self.subject.model
        call.settled = True
        self.world.note(self.subject, "cancelled", call.name, "")
        if call.name == "terminate":
            model.terminate_cancelled()
        elif not call.cancelled:
            self.world.fail_callback_cancelled(self.subject, call)

    def _late(self, call: Call) -> Any:
        delay = self.rng.choice((0.0, 0.01, 1.0, 6.0))
        if self.rng.random() < 0.5:
            return self._coroutine(call, delay)
        call.sync = False
        result: Deferred[Any] = Deferred(lambda _: self._cancelled(call))
        self.world.reactor.later(delay, self._fire, call, result)
        return result

    def _fire(self, call: Call, result: Deferred[Any]) -> None:
        if result.called:
            return
        outcome = self.outcome(call)
        self.subject.enter()
        self.subject.model.conclude(call, outcome)
        if isinstance(outcome, BaseException):
            self.subject.call(result.errback, Failure(outcome))
        else:
            self.subject.call(result.callback, outcome)
        self.subject.leave()

    async def _coroutine(self, call: Call, delay: float) -> Any:
        try:
            if self.rng.random() < 0.3 and self.subject.model.is_open:
                sent = self.subject.send_frame(self.frame(), self.rng.choice((0.5, 5.0, None)))
                waits = not sent.called
                call.sync = call.sync and not waits
                await sent
                if call.cancelled:  # The wait has ended because the client ends.
                    raise CancelledError
            if self.rng.random() < 0.8:
                call.sync = False
                await self.world.sleep(self.subject, delay)
        except CancelledError:
            self._cancelled(call)
            raise
        outcome = self.outcome(call)
        self.subject.touch()
        self.subject.model.conclude(call, outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    # Results

    def outcome(self, call: Call) -> Any:
        """Choose the result of a callback, or the exception that it raises."""
        if call.name == "terminate":
            return self._terminate_outcome()
        roll, temper = self.rng.random(), self.temper
        for chance, make in (
            (temper.raises, lambda: ValueError("callback")),
            (temper.exits, self._exit),
            (temper.bad, self._bad),
        ):
            if roll < chance:
                return make()
            roll -= chance
        if call.name == "handle_disconnect":
            return self._disconnect_outcome(call)
        return self._normal_outcome(call, roll)

    def _exit(self) -> Exception:
        return self.rng.choice(
            (wsx.Exit(), wsx.Exit(NormalReason()), wsx.Exit(AbnormalReason()), wsx.Exit("why"))
        )

    def _bad(self) -> Any:
        return self.rng.choice((5, "text", (1, 2), wsx.Text("bare"), object()))

    def _new_state(self) -> State:
        return State(self.subject)

    def _normal_outcome(self, call: Call, roll: float) -> Any:
        temper = self.temper
        if roll < temper.closes:
            code = self.rng.choice(CODES)
            return wsx.Close(self._new_state(), code, self.rng.choice(("", "bye", "é" * 61)))
        roll -= temper.closes
        if roll < temper.invalid:
            if self.rng.random() < 0.5:
                return wsx.Close(self._new_state(), self.rng.choice(INVALID_CODES), "")  # type: ignore[arg-type]
            return wsx.Reply([self.frame(), self.invalid_frame()], self._new_state())
        if call.name == "handle_ping" and self.rng.random() < 0.8:
            return wsx.Reply(wsx.Pong(call.argument.payload), call_state(self.subject))
        if self.rng.random() < temper.replies:
            frames = [self.frame() for _ in range(self.rng.choice((1, 1, 2, 3)))]
            return wsx.Reply(frames if len(frames) > 1 else frames[0], self._new_state())
        return self.rng.choice((None, wsx.Ok(self._new_state())))

    def _disconnect_outcome(self, call: Call) -> Any:
        subject, rng = self.subject, self.rng
        if rng.random() < 0.7:
            delay = subject.client.reconnect_delay(call.argument)
            subject.model.check_policy(call, delay)
            if delay is not None and rng.random() < 0.98:
                return wsx.Reconnect(self._new_state(), after=delay)
            if not self.temper.calm and rng.random() < 0.3:
                return None
        if rng.random() < self.temper.gives_up * 5:
            return rng.choice((None, wsx.Ok(self._new_state())))
        conn = None
        if rng.random() < 0.1:
            conn = subject.model.conn.replace(extra_headers={"X-Again": str(call.number)})
        after = rng.choice((None, 0.0, 0.5, 3.0))
        return wsx.Reconnect(self._new_state(), conn=conn, after=after)

    def _terminate_outcome(self) -> Any:
        roll = self.rng.random()
        if roll < self.temper.raises * 3:
            return ValueError("terminate")
        if roll < self.temper.raises * 6:
            return self._exit()
        return None


def call_state(subject: Subject) -> Any:
    """Return the state of the model: a callback that returns it does not change the state."""
    return subject.model.state


class SimulatedHandler(wsx.Handler[Any]):
    """A handler that passes each callback to a Behaviour."""

    version = "1"
    subject: Subject
    behaviour: Behaviour
    latest_change: Any = None  # The argument of the last ``code_change`` that has not failed.

    def handle_connect(self, conn: Any, state: Any) -> Any:
        return self.behaviour.run("handle_connect", conn, state)

    def handle_frame(self, frame: Any, state: Any) -> Any:
        return self.behaviour.run("handle_frame", frame, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return self.behaviour.run("handle_cast", message, state)

    def handle_info(self, message: Any, state: Any) -> Any:
        return self.behaviour.run("handle_info", message, state)

    def handle_ping(self, frame: Any, state: Any) -> Any:
        return self.behaviour.run("handle_ping", frame, state)

    def handle_pong(self, frame: Any, state: Any) -> Any:
        return self.behaviour.run("handle_pong", frame, state)

    def handle_disconnect(self, status: Any, state: Any) -> Any:
        return self.behaviour.run("handle_disconnect", status, state)

    def terminate(self, reason: Any, state: Any) -> Any:
        return self.behaviour.run("terminate", reason, state)

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        self.latest_change = extra
        return self.subject.code_change(old_version, state, extra)


class ChangedHandler(SimulatedHandler):
    """The class after a hot code change."""

    version = "2"
