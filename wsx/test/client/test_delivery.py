"""Tests of the delivery: one event at a time, in order, each in a step of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.delivery import Delivery
from wsx._client.mailbox import Connected, Lost, Mailbox, Message
from wsx.conn import Conn
from wsx.errors import BadResponseError
from wsx.frames import Binary, Ping, Pong, Text
from wsx.handler import Close, Exit, Ok, Reconnect, Reply
from wsx.reasons import ConnectionDropped, Disconnect, LocalClose
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

NONSENSE: tuple[object, ...] = ("yes", 0, False, True, object(), Ok, ("ok", 1), [Ok(1)], Text("x"))


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


async def raising(error: Exception) -> Any:
    """A coroutine that raises at once."""
    raise error


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


class OrderTests(DeliveryCase):
    """One event at a time, in order of arrival, each in its own step."""

    def test_each_event_has_its_callback(self) -> None:
        """Every kind of event goes to its callback, with what it carries and the state."""
        for callback, argument in ARGUMENTS.items():
            room = self.room()
            room.happen(callback)
            self.assertEqual(
                [entry for entry in room.log if entry[0] != "flush" and "answered" not in entry[0]],
                [(callback, argument, "old")],
            )

    def test_binary(self) -> None:
        """Binary messages go to handle_frame as Text does."""
        room = self.room()
        room.receive(Binary(b"1"))
        self.assertEqual(room.log[0], ("handle_frame", Binary(b"1"), "old"))

    def test_order_of_arrival(self) -> None:
        """Casts, infos and frames are delivered as they came."""
        room = self.room()
        room.cast(1)
        room.mailbox.message(Message("handle_info", 2))
        room.receive(Text("3"), Ping(b"4"))
        room.cast(5)
        room.receive(Pong(b"6"))
        room.step()
        self.assertEqual(room.called, [1, 2, Text("3"), Ping(b"4"), 5, Pong(b"6")])

    def test_frames_of_a_read(self) -> None:
        """Where nothing waits, the frames of a read are delivered in the step of that read."""
        room = self.room()
        room.receive(Text("1"), Binary(b"2"), Ping(b"3"), Pong(b"4"))
        self.assertEqual(
            room.events, ["handle_frame", "handle_frame", "handle_ping", "handle_pong"]
        )
        self.assertEqual(room.called, [Text("1"), Binary(b"2"), Ping(b"3"), Pong(b"4")])

    def test_replies_go_out_together(self) -> None:
        """The replies to the frames of a read are flushed once, after the last."""
        room = self.room(handle_frame=lambda frame, state: Reply(frame, state))
        room.receive(Text("1"), Text("2"))
        once = ["handle_frame", "reply"]
        self.assertEqual(room.handler.names, [*once, *once, "flush"])

    def test_not_in_the_step_of_the_caller(self) -> None:
        """``wake`` calls nobody; the next step does, once."""
        room = self.room()
        room.cast(1, 2)
        self.assertEqual(room.events, [])
        room.turn()
        self.assertEqual(room.called, [1, 2])
        room.step()
        self.assertEqual(room.called, [1, 2])

    def test_no_timer_without_need(self) -> None:
        """Delivery leaves no timer behind once everything is delivered."""
        room = self.room()
        room.cast(1)
        room.receive(Text("2"))
        room.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_cast_inside_a_callback(self) -> None:
        """It is delivered neither inside that callback nor in its step."""
        for callback in REPLYING:
            room = self.room()
            room.handler.answers[callback] = lambda _, state, room=room: room.cast("inner")
            room.happen(callback)
            self.assertNotIn("inner", room.called, callback)
            room.turn()
            if callback == "handle_cast":
                self.assertEqual(room.called[:2], ["cast", "inner"])
            else:
                self.assertEqual(room.called, [ARGUMENTS[callback], "inner"])

    def test_a_cast_inside_a_callback_comes_after_what_waits(self) -> None:
        """It is behind the casts and frames that came before it."""
        room = self.room()
        room.handler.answers["handle_frame"] = lambda frame, _: (
            room.cast("inner") if frame == Text("1") else None
        )
        room.cast("before")
        room.receive(Text("1"), Text("2"))
        room.step()
        self.assertEqual(room.called, ["before", Text("1"), Text("2"), "inner"])

    def test_a_read_inside_a_callback(self) -> None:
        """Frames that arrive inside a callback (it wrote, and the peer is quick) wait for it."""
        room = self.room()

        def handle_frame(frame: object, state: object) -> None:
            if frame == Text("1"):
                room.receive(Text("3"))
                self.assertEqual(room.called, [Text("1")])

        room.handler.answers["handle_frame"] = handle_frame
        room.receive(Text("1"), Text("2"))
        room.step()
        self.assertEqual(room.called, [Text("1"), Text("2"), Text("3")])
        self.assertTrue(room.owner.reading)

    def test_a_handler_that_casts_to_itself(self) -> None:
        """It does not starve the reactor: each cast takes a turn."""
        room = self.room()
        room.cast_on()
        room.cast(0)
        for turn in range(1, 5):
            room.turn()
            self.assertEqual(room.called, list(range(turn)))

    def test_frames_come_through_to_a_handler_that_casts_to_itself(self) -> None:
        """Nor does it starve the peer."""
        room = self.room()
        room.cast_on()
        room.cast(0)
        room.turn()
        room.receive(Text("frame"))
        room.turn()
        self.assertEqual(room.called[:3], [0, 1, Text("frame")])

    def test_casts_of_a_callback_that_closes_wait(self) -> None:
        """Once a callback closes, the casts behind it wait for the next connection."""
        room = self.room(handle_cast=lambda n, state: Close(state) if n == 1 else None)
        room.cast(1, 2)
        room.step()
        self.assertEqual(room.called, [1])
        self.assertEqual(room.mailbox.waiting, 1)


class StateTests(DeliveryCase):
    """[C3] The state is carried from callback to callback."""

    def test_from_callback_to_callback(self) -> None:
        """[C3] Each callback gets the state that the one before answered with."""
        room = self.room(
            **dict.fromkeys(REPLYING, lambda argument, state: Ok([*state, argument])),
        )
        room.delivery.state = []
        for callback in REPLYING:
            room.happen(callback)
        seen = [state for name, _, state in room.log if name in ARGUMENTS]
        arguments = [ARGUMENTS[callback] for callback in REPLYING]
        self.assertEqual(seen, [arguments[:n] for n in range(len(arguments))])
        self.assertEqual(room.delivery.state, arguments)

    def test_within_a_read(self) -> None:
        """[C3] The frames of one read carry it along."""
        room = self.room(handle_frame=lambda frame, state: Ok(state + frame.payload))
        room.delivery.state = ""
        room.receive(Text("a"), Text("b"), Text("c"))
        self.assertEqual(room.delivery.state, "abc")

    def test_within_a_read_with_replies(self) -> None:
        """[C3] So where they are answered, or some of them."""
        answers = {"a": Reply, "b": Ok, "c": Reply}

        def answer(frame: Text, state: str) -> Any:
            kind, after = answers[frame.payload], state + frame.payload
            return Ok(after) if kind is Ok else Reply(frame, after)

        room = self.room(handle_frame=answer)
        room.delivery.state = ""
        room.receive(*(Text(letter) for letter in "abcba"))
        self.assertEqual(room.delivery.state, "abcba")

    def test_none_leaves_it(self) -> None:
        """None is "go on, state unchanged"."""
        for callback in CALLBACKS:
            room = self.room()
            room.happen(callback)
            self.assertEqual(room.delivery.state, "old", callback)

    def test_over_a_lost_connection(self) -> None:
        """[C3] ``handle_disconnect`` gets it and hands it on."""
        room = self.room(
            handle_frame=lambda frame, state: Ok("framed"),
            handle_disconnect=lambda status, state: Reconnect([state]),
        )
        room.receive(Text(""))
        room.lose()
        room.step()
        room.happen("handle_connect")
        self.assertEqual(room.log[-2][:2], ("handle_connect", CONN))
        self.assertEqual(room.log[-2][2], ["framed"])


class ResultTests(DeliveryCase):
    """[C2] Each result in each callback that allows it, directly and asynchronously."""

    def answers(self, callback: str, result: object) -> list[Room]:
        """Gives rooms in which the callback answered with the result in each possible way."""
        ways: tuple[Any, ...] = (
            lambda argument, state: result,
            lambda argument, state: succeed(result),
            lambda argument, state: answering(result),
        )
        rooms = [self.room(**{callback: way}) for way in ways]
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            rooms.append(self.room(**{callback: way(pending)}))
            rooms[-1].happen(callback)
            pending.callback(result)
        for room in rooms[:3]:
            room.happen(callback)
        return rooms

    def check(self, callbacks: tuple[str, ...], result: Any, *expected: Any) -> None:
        """Checks what follows the callback, and the state."""
        for callback in callbacks:
            for n, room in enumerate(self.answers(callback, result)):
                said = [
                    entry for entry in room.log[1:] if entry[0] not in ("flush", "pause", "resume")
                ]
                told = [
                    tuple(callback if part == "CALLBACK" else part for part in entry)
                    for entry in expected
                ]
                self.assertEqual(said, told, (callback, n))
                self.assertEqual(room.handler.names[-1], "flush", (callback, n))
                state = "old" if result is None else result.state
                self.assertEqual(room.delivery.state, state, (callback, n))

    def test_ok(self) -> None:
        """[C2] Ok: go on with this state."""
        self.check(REPLYING, Ok("new"))

    def test_none(self) -> None:
        """[C2] None: go on."""
        self.check(REPLYING, None)

    def test_reply(self) -> None:
        """[C2] Reply: send one frame."""
        self.check(REPLYING, Reply(Text("hi"), "new"), ("reply", "CALLBACK", [Text("hi")]))

    def test_reply_with_a_list(self) -> None:
        """[C2] Reply with a list: send each in order."""
        frames = [Text("a"), Ping(), Binary(b"b")]
        self.check(REPLYING, Reply(frames, "new"), ("reply", "CALLBACK", frames))

    def test_close(self) -> None:
        """[C2, C4] Close without a code: 1000."""
        self.check(REPLYING, Close("new"), ("close", 1000, ""))

    def test_close_with_code_and_message(self) -> None:
        """[C2, C4] Close with code and message."""
        self.check(REPLYING, Close("new", 4001, "bye"), ("close", 4001, "bye"))

    def test_disconnect_ok(self) -> None:
        """[C2] Ok in handle_disconnect: no further attempt."""
        expected = ("disconnect_answered", STATUS, None)
        self.check(("handle_disconnect",), Ok("new"), expected)

    def test_disconnect_none(self) -> None:
        """[C2] None in handle_disconnect is the same as Ok."""
        self.check(("handle_disconnect",), None, ("disconnect_answered", STATUS, None))

    def test_disconnect_reconnect(self) -> None:
        """[C2] Reconnect in handle_disconnect is handed on as it is."""
        result = Reconnect("new", CONN.replace(close_timeout=1.0), 2.5)
        self.check(("handle_disconnect",), result, ("disconnect_answered", STATUS, result))

    def test_connect_is_answered(self) -> None:
        """The connection counts as answered once handle_connect has given any good result."""
        for result in (None, Ok(1), Reply(Text("hi"), 1), Close(1)):
            room = self.room(handle_connect=lambda conn, state, result=result: result)
            room.happen("handle_connect", lambda room=room: room.log.append(("told", None, None)))
            self.assertEqual(room.events[-1], "told", result)
            self.assertEqual(room.events.count("told"), 1, result)

    def test_connect_is_answered_later(self) -> None:
        """A pending handle_connect is no answer yet."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            room = self.room(handle_connect=way(pending))
            told: list[bool] = []
            room.happen("handle_connect", lambda told=told: told.append(True))
            room.step()
            self.assertEqual(told, [])
            pending.callback(None)
            room.step()
            self.assertEqual(told, [True])

    def test_connect_is_not_answered(self) -> None:
        """Neither an exception nor nonsense nor Exit is an answer of handle_connect."""
        for answer in (ValueError(), Exit(), lambda conn, state: "nonsense"):
            room = self.room(handle_connect=answer)
            room.happen("handle_connect", lambda: self.fail("it was answered"))
            self.assertEqual(room.events, ["handle_connect", "crashed"])


class PendingTests(DeliveryCase):
    """A callback that answers with a Deferred or is a coroutine."""

    def test_nothing_else_is_delivered(self) -> None:
        """While one is pending nothing else is delivered; after it everything is, in order."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                room = self.room(**{callback: way(pending)})
                room.happen(callback)
                room.handler.answers.clear()
                room.mailbox.connected(Connected(CONN, lambda: None))
                room.cast("cast")
                room.receive(Text("1"), Text("2"))
                room.receive(Ping())
                room.step()
                self.assertEqual(room.called, [ARGUMENTS[callback]], callback)
                pending.callback(None)
                room.step()
                self.assertEqual(
                    room.called[1:], [CONN, "cast", Text("1"), Text("2"), Ping()], callback
                )

    def test_state_before_the_answer(self) -> None:
        """Until the answer is there the state is the one before it."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                room = self.room(**{callback: way(pending)})
                room.happen(callback)
                room.step()
                self.assertEqual(room.delivery.state, "old", callback)
                pending.callback(Ok("new"))
                self.assertEqual(room.delivery.state, "new", callback)

    def test_what_waits_comes_in_a_later_step(self) -> None:
        """Whoever fires the Deferred does not find the next callback on its stack."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            room = self.room(handle_frame=way(pending))
            room.receive(Text("1"), Ping(b"2"))
            room.cast(3)
            pending.callback(None)
            self.assertEqual(room.called, [Text("1")])
            room.turn()
            self.assertEqual(room.called, [Text("1"), Ping(b"2"), 3])

    def test_answered_already(self) -> None:
        """A Deferred with a result, or a coroutine that never waits, delays nothing."""
        for wrap in (succeed, answering):
            room = self.room(handle_frame=lambda frame, state, wrap=wrap: wrap(Ok(frame)))
            room.receive(Text("1"), Text("2"))
            self.assertEqual(room.called, [Text("1"), Text("2")])
            self.assertEqual(room.delivery.state, Text("2"))
            self.assertNotIn("pause", room.events)

    def test_two_in_a_row(self) -> None:
        """Each of several pending callbacks is waited for."""
        answers: list[Deferred[Any]] = [Deferred(), Deferred()]
        room = self.room(handle_frame=lambda frame, state: answers[int(frame.payload)])
        room.receive(Text("0"), Text("1"), Ping())
        answers[0].callback(None)
        room.step()
        self.assertEqual(room.called, [Text("0"), Text("1")])
        answers[1].callback(None)
        room.step()
        self.assertEqual(room.called, [Text("0"), Text("1"), Ping()])

    def test_cast_of_a_coroutine_to_itself(self) -> None:
        """What a callback casts while it is pending waits for it."""
        pending: Deferred[Any] = Deferred()
        room = self.room()

        async def handle_frame(frame: object, state: object) -> None:
            room.cast("inner")
            await pending

        room.handler.answers["handle_frame"] = handle_frame
        room.receive(Text("1"))
        room.step()
        self.assertEqual(room.called, [Text("1")])
        pending.callback(None)
        room.step()
        self.assertEqual(room.called, [Text("1"), "inner"])


class ReadingTests(DeliveryCase):
    """Reading is paused as soon as frames wait, and only then."""

    def pending(self, callback: str = "handle_frame") -> tuple[Deferred[Any], Room]:
        """Gives a Deferred and a room in which this callback waits for it the first time."""
        pending: Deferred[Any] = Deferred()
        answers = [pending]
        handler = {callback: lambda argument, state: answers.pop() if answers else None}
        return pending, self.room(**handler)

    def test_not_for_a_pending_callback_alone(self) -> None:
        """A pending callback with nothing behind it does not pause reading."""
        for callback in CALLBACKS:
            _, room = self.pending(callback)
            room.happen(callback)
            room.step()
            self.assertTrue(room.owner.reading, callback)

    def test_not_for_casts(self) -> None:
        """Casts that wait do not pause it."""
        _, room = self.pending()
        room.receive(Text("1"))
        room.cast(1, 2, 3)
        room.step()
        self.assertTrue(room.owner.reading)

    def test_rest_of_a_read(self) -> None:
        """The frames behind the pending one pause it at once."""
        pending, room = self.pending()
        room.receive(Text("1"), Text("2"))
        self.assertFalse(room.owner.reading)
        pending.callback(None)
        room.step()
        self.assertEqual(room.called, [Text("1"), Text("2")])
        self.assertTrue(room.owner.reading)

    def test_next_read(self) -> None:
        """So do those of a later read."""
        for callback in CALLBACKS:
            pending, room = self.pending(callback)
            room.happen(callback)
            room.receive(Ping(b"later"))
            self.assertFalse(room.owner.reading, callback)
            pending.callback(None)
            room.step()
            self.assertEqual(room.called[-1], Ping(b"later"), callback)
            self.assertTrue(room.owner.reading, callback)

    def test_resumed_after_the_last_frame(self) -> None:
        """Reading goes on once no frame waits any more, not before."""
        answers: list[Deferred[Any]] = [Deferred(), Deferred()]
        room = self.room(handle_frame=lambda frame, state: answers[int(frame.payload)])
        room.receive(Text("0"), Text("1"), Ping())
        answers[0].callback(None)
        room.step()
        self.assertFalse(room.owner.reading)
        answers[1].callback(None)
        room.step()
        self.assertEqual(room.events[-2:], ["handle_ping", "resume"])

    def test_paused_once(self) -> None:
        """It is paused before the frames wait and resumed after, once each."""
        pending, room = self.pending()
        room.receive(Text("1"), Text("2"))
        room.receive(Text("3"))
        pending.callback(None)
        room.step()
        self.assertEqual(
            room.events,
            ["handle_frame", "pause", "handle_frame", "handle_frame", "resume"],
        )

    def test_no_frames(self) -> None:
        """A read that completes no frame changes nothing."""
        room = self.room()
        room.receive()
        self.assertEqual(room.events, [])


class LostTests(DeliveryCase):
    """The end of a connection."""

    def test_frames_before_it(self) -> None:
        """Frames that arrived before the end are delivered before ``handle_disconnect``."""
        pending: Deferred[Any] = Deferred()
        answers = [pending]
        room = self.room(
            handle_frame=lambda frame, state: answers.pop() if answers else Ok(frame.payload)
        )
        room.receive(Text("1"), Text("2"))
        room.receive(Text("3"))
        room.lose()
        room.step()
        self.assertEqual(room.called, [Text("1")])
        pending.callback(None)
        room.step()
        self.assertEqual(room.called, [Text("1"), Text("2"), Text("3"), STATUS])
        self.assertIn(("handle_disconnect", STATUS, "3"), room.log)

    def test_casts_wait(self) -> None:
        """Casts that were not delivered wait for the next connection."""
        pending: Deferred[Any] = Deferred()
        room = self.room(handle_frame=as_deferred(pending))
        room.receive(Text("1"))
        room.cast("early")
        room.lose()
        room.cast("late")
        pending.callback(None)
        room.step()
        self.assertEqual(room.called, [Text("1"), STATUS])
        room.mailbox.connected(Connected(CONN, lambda: None))
        room.delivery.deliver()
        room.step()
        self.assertEqual(room.called, [Text("1"), STATUS, CONN, "early", "late"])

    def test_in_a_later_step(self) -> None:
        """``handle_disconnect`` is not called in the step in which the connection ended."""
        room = self.room()
        room.lose()
        self.assertEqual(room.called, [])
        room.turn()
        self.assertEqual(room.called, [STATUS])

    def test_inside_a_callback(self) -> None:
        """A connection that ends inside a callback is reported after it."""
        room = self.room()
        room.handler.answers["handle_frame"] = lambda frame, state: room.lose()
        room.receive(Text("1"))
        self.assertEqual(room.called, [Text("1")])
        room.step()
        self.assertEqual(room.called, [Text("1"), STATUS])


class CrashTests(DeliveryCase):
    """[C6] Exceptions, Exit and bad results in each callback."""

    def ways(self, error: Exception) -> tuple[Any, ...]:
        """Gives what fails a callback at once, and in each asynchronous way."""
        return (
            error,
            lambda argument, state: fail(error),
            lambda argument, state: raising(error),
        )

    def crash(self, callback: str, answer: Any) -> Room:
        """Gives a room in which the callback was called and answers so."""
        room = self.room(**{callback: answer})
        room.happen(callback)
        return room

    def test_exception(self) -> None:
        """[C6, C8] It ends the client with that exception, and comes with its traceback."""
        for callback in CALLBACKS:
            for answer in self.ways(error := ValueError(callback)):
                room = self.crash(callback, answer)
                self.assertEqual(room.events, [callback, "crashed"])
                [(reason, failure)] = room.owner.failures
                self.assertIs(reason, error)
                assert failure is not None
                self.assertIs(failure.value, error)

    def test_exception_later(self) -> None:
        """[C6, C8] So does one that comes while the callback is pending."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                room = self.crash(callback, way(pending))
                self.assertEqual(room.owner.failures, [])
                pending.errback(error := ValueError(callback))
                self.assertEqual([reason for reason, _ in room.owner.failures], [error])
                self.assertIsNotNone(room.owner.failures[0][1])

    def test_exit(self) -> None:
        """[C6, C8] Exit ends it with its reason and no traceback."""
        for callback in CALLBACKS:
            for answer in self.ways(Exit("enough")):
                room = self.crash(callback, answer)
                self.assertEqual(room.owner.failures, [("enough", None)], callback)
                self.assertEqual(room.events, [callback, "crashed"])

    def test_exit_without_a_reason(self) -> None:
        """[C6, C8] Exit without a reason is a normal close."""
        for callback in CALLBACKS:
            for answer in self.ways(Exit()):
                room = self.crash(callback, answer)
                self.assertEqual(room.owner.failures, [(LocalClose(1000, ""), None)], callback)

    def check_bad(self, callback: str, response: object) -> None:
        """Checks that this response of the callback is refused, whichever way it comes."""
        for wrap in (lambda response: response, succeed, answering):
            room = self.crash(callback, lambda _, state, wrap=wrap: wrap(response))
            [(reason, failure)] = room.owner.failures
            assert isinstance(reason, BadResponseError), (callback, response)
            self.assertIs(reason.response, response)
            self.assertIs(reason.handler, room.handler)
            self.assertEqual(reason.callback, callback)
            self.assertEqual(reason.arguments, (ARGUMENTS[callback], "old"))
            self.assertIsNotNone(failure)
            self.assertEqual(room.events, [callback, "crashed"])
            self.assertEqual(room.delivery.state, "old")

    def test_nonsense(self) -> None:
        """[C6, C8] Whatever is no result is a BadResponseError, with all that it knows."""
        for callback in CALLBACKS:
            for response in NONSENSE:
                self.check_bad(callback, response)

    def test_result_of_another_callback(self) -> None:
        """[C6, C8] So is a result that this callback may not give."""
        for callback in REPLYING:
            self.check_bad(callback, Reconnect("new"))
        for response in (Reply(Text("hi"), "new"), Close("new")):
            self.check_bad("handle_disconnect", response)

    def test_nonsense_later(self) -> None:
        """[C6] A pending callback's nonsense is refused too."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                room = self.crash(callback, way(pending))
                pending.callback("nonsense")
                [(reason, _)] = room.owner.failures
                self.assertIsInstance(reason, BadResponseError)

    def test_nothing_after_it(self) -> None:
        """A callback that failed is the last one: the rest of the read is not delivered."""
        for answer in (ValueError(), Exit(), lambda frame, state: "nonsense"):
            room = self.room(handle_frame=answer)
            room.receive(Text("1"), Text("2"), Ping())
            room.cast(1)
            room.step()
            self.assertEqual(room.events, ["handle_frame", "crashed"])

    def test_replies_before_it_go_out(self) -> None:
        """What was replied before the failure is flushed."""
        room = self.room(handle_frame=lambda frame, state: Reply(frame, state), handle_ping=Exit())
        room.receive(Text("1"), Ping())
        self.assertEqual(
            room.handler.names, ["handle_frame", "reply", "handle_ping", "crashed", "flush"]
        )


class EndTests(DeliveryCase):
    """The end of delivery."""

    def test_what_waits_is_dropped(self) -> None:
        """Nothing is delivered any more; it says how many casts and infos that cost."""
        room = self.room()
        room.cast(1, 2)
        room.mailbox.frames([Text("3")])
        self.assertEqual(room.delivery.end(), 2)
        room.delivery.deliver()
        room.step()
        self.assertEqual(room.events, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wake_after_it(self) -> None:
        """Nothing is scheduled any more."""
        room = self.room()
        room.delivery.end()
        room.cast(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        room.step()
        self.assertEqual(room.events, [])

    def test_frames_after_it(self) -> None:
        """Frames that arrive later are not delivered."""
        room = self.room()
        room.delivery.end()
        room.receive(Text("late"))
        room.step()
        self.assertEqual(room.called, [])

    def test_inside_a_read(self) -> None:
        """A callback that ends it stops the rest of its read."""
        for answer in (None, Ok(1), Reply(Text("late"), 1)):
            room = self.room()

            def handle_frame(*_: object, answer: Any = answer, room: Room = room) -> Any:
                room.delivery.end()
                return answer

            room.handler.answers["handle_frame"] = handle_frame
            room.receive(Text("1"), Text("2"), Text("3"))
            room.step()
            self.assertEqual(room.events, ["handle_frame"], answer)

    def test_inside_a_batch_of_casts(self) -> None:
        """A callback that ends it stops the casts and frames behind it."""
        room = self.room()
        room.handler.answers["handle_cast"] = lambda n, state: room.delivery.end() and None
        room.cast(1, 2, 3)
        room.mailbox.frames([Text("4")])
        room.step()
        self.assertEqual(room.called, [1])

    def test_pending_callback_is_cancelled(self) -> None:
        """A pending callback is cancelled, in a later step, and its answer is not missed."""
        for way in ASYNCHRONOUS:
            cancelled: list[Deferred[Any]] = []
            pending: Deferred[Any] = Deferred(cancelled.append)
            room = self.room(handle_cast=way(pending))
            room.cast(1)
            room.turn()
            room.delivery.end()
            self.assertEqual(cancelled, [])
            room.turn()
            self.assertEqual(cancelled, [pending])
            room.step()
            self.assertEqual(room.events, ["handle_cast"])

    def test_coroutine_may_clear_up(self) -> None:
        """A cancelled coroutine sees a CancelledError."""
        seen: list[Exception] = []

        async def handle_cast(message: object, state: object) -> None:
            try:
                await Deferred()
            except CancelledError as error:
                seen.append(error)
                raise

        room = self.room(handle_cast=handle_cast)
        room.cast(1)
        room.turn()
        room.delivery.end()
        room.step()
        self.assertEqual(len(seen), 1)
        self.assertEqual(room.owner.failures, [])

    def test_answer_after_it(self) -> None:
        """A pending callback that answers before it is cancelled decides nothing any more.

        What it raised is logged: nothing else would tell of it.
        """
        answers = (Ok("new"), Reply(Text("late"), "new"), "nonsense", Failure(ValueError()))
        for answer in answers:
            pending: Deferred[Any] = Deferred()
            room = self.room(handle_cast=as_deferred(pending))
            room.cast(1)
            room.turn()
            room.delivery.end()
            pending.callback(answer)
            room.step()
            self.assertEqual(room.events, ["handle_cast"], answer)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_callback_that_ends_it_and_waits(self) -> None:
        """Whoever ends it and then waits is cancelled too."""
        for way in ASYNCHRONOUS:
            cancelled: list[Deferred[Any]] = []
            pending: Deferred[Any] = Deferred(cancelled.append)
            room = self.room()

            def handle_cast(
                *_: object,
                room: Room = room,
                answer: Any = way(pending),  # noqa: B008
            ) -> Any:
                room.delivery.end()
                return answer(None, None)

            room.handler.answers["handle_cast"] = handle_cast
            room.cast(1)
            room.step()
            self.assertEqual(cancelled, [pending])
            self.assertEqual(room.events, ["handle_cast"])

    def test_a_callback_that_ends_it_and_waits_in_a_chain(self) -> None:
        """So is one whose Deferred has fired, but waits for another one within."""
        cancelled: list[Deferred[Any]] = []
        inner: Deferred[Any] = Deferred(cancelled.append)
        room = self.room()

        def handle_cast(*_: object) -> Deferred[Any]:
            room.delivery.end()
            return succeed(None).addCallback(lambda _: inner)

        room.handler.answers["handle_cast"] = handle_cast
        room.cast(1)
        room.step()
        self.assertEqual(cancelled, [inner])

    def test_reading_goes_on_after_it(self) -> None:
        """Ended inside a batch with frames waiting, it does not leave the peer held back."""
        pending: Deferred[Any] = Deferred()
        room = self.room(handle_frame=as_deferred(pending))
        room.handler.answers["handle_ping"] = lambda *_: room.delivery.end() and None
        room.receive(Text("1"), Ping(), Ping())
        self.assertFalse(room.owner.reading)
        pending.callback(None)
        room.step()
        self.assertEqual(room.called, [Text("1"), Ping()])
        self.assertTrue(room.owner.reading)


class TerminateTests(DeliveryCase):
    """Calling ``terminate``."""

    def terminate(self, answer: Any, reason: object = "why") -> tuple[Deferred[Any], Room]:
        """Gives what becomes of a terminate that answers so, at the end of the client."""
        room = self.room(terminate=answer)
        room.delivery.end()
        return room.delivery.terminate(reason), room

    def test_arguments(self) -> None:
        """[D5] It gets the reason and the last state."""
        _, room = self.terminate(None)
        self.assertEqual(room.log, [("terminate", "why", "old")])

    def test_result_is_ignored(self) -> None:
        """Whatever it answers, the client ends with the reason."""
        for answer in (None, "nonsense", Ok(1), Close(1), Reconnect(1)):
            for wrap in (lambda answer: answer, succeed, answering):
                ended, room = self.terminate(lambda *_, a=answer, w=wrap: w(a))
                self.assertEqual(self.successResultOf(ended), "why")
                self.assertEqual(room.events, ["terminate"])

    def test_it_is_waited_for(self) -> None:
        """The end waits for a Deferred or a coroutine."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            ended, _ = self.terminate(way(pending))
            self.assertNoResult(ended)
            pending.callback(None)
            self.assertEqual(self.successResultOf(ended), "why")

    def test_exception(self) -> None:
        """[C9] An exception becomes the reason, and comes with its traceback."""
        error = ValueError("in terminate")
        for answer in (error, lambda *_: fail(error), lambda *_: raising(error)):
            ended, room = self.terminate(answer)
            self.assertIs(self.successResultOf(ended), error)
            [(reason, failure)] = room.owner.failures
            self.assertIs(reason, error)
            assert failure is not None
            self.assertIs(failure.value, error)

    def test_exit(self) -> None:
        """[C9, D6] Exit replaces the reason, without a traceback; Exit() makes it normal."""
        for error, reason in ((Exit(), LocalClose(1000, "")), (Exit("other"), "other")):
            for answer in (error, lambda *_, e=error: fail(e), lambda *_, e=error: raising(e)):
                ended, room = self.terminate(answer, ValueError("abnormal"))
                self.assertEqual(self.successResultOf(ended), reason)
                self.assertEqual(room.events, ["terminate"])

    def test_exception_later(self) -> None:
        """[C9] So with an exception or an Exit while it is pending."""
        for error, expected in ((ValueError("late"), None), (Exit("other"), "other")):
            for way in ASYNCHRONOUS:
                pending: Deferred[Any] = Deferred()
                ended, room = self.terminate(way(pending))
                pending.errback(error)
                self.assertEqual(self.successResultOf(ended), expected or error)
                self.assertEqual(len(room.owner.failures), 0 if expected else 1)

    def test_cancelling(self) -> None:
        """Cancelling the Deferred cancels terminate, and ends without an errback."""
        for way in ASYNCHRONOUS:
            cancelled: list[Deferred[Any]] = []
            pending: Deferred[Any] = Deferred(cancelled.append)
            ended, _ = self.terminate(way(pending))
            ended.cancel()
            self.assertEqual(cancelled, [pending])
            self.successResultOf(ended)
