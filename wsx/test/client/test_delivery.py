"""Tests of the delivery: one event at a time, in order, each in a step of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed

from wsx._client.mailbox import Connected, Message
from wsx.frames import Binary, Ping, Pong, Text
from wsx.handler import Close, Exit, Ok, Reconnect, Reply
from wsx.test.support.delivery import (
    ARGUMENTS,
    ASYNCHRONOUS,
    CALLBACKS,
    CONN,
    REPLYING,
    STATUS,
    DeliveryCase,
    Room,
    answering,
)


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
            room.happen("handle_connect", partial(room.log.append, ("told", None, None)))
            self.assertEqual(room.events[-1], "told", result)
            self.assertEqual(room.events.count("told"), 1, result)

    def test_connect_is_answered_later(self) -> None:
        """A pending handle_connect is no answer yet."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            room = self.room(handle_connect=way(pending))
            told: list[bool] = []
            room.happen("handle_connect", partial(told.append, True))
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
