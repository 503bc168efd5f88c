"""Tests of the delivery: order, results, pending callbacks, and pausing of reading."""

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
    DeliveryScenario,
    answering,
)


class OrderTests(DeliveryCase):
    """Events are delivered one at a time, in order of arrival, in later reactor iterations."""

    def test_each_event_has_its_callback(self) -> None:
        """Each kind of event is delivered to its callback, with its argument and the state."""
        for callback, argument in ARGUMENTS.items():
            scenario = self.scenario()
            scenario.trigger(callback)
            self.assertEqual(
                [
                    entry
                    for entry in scenario.log
                    if entry[0] not in ("flush", "disconnect_decided")
                ],
                [(callback, argument, "old")],
            )

    def test_binary(self) -> None:
        """A Binary message is delivered to ``handle_frame``, like a Text."""
        scenario = self.scenario()
        scenario.receive(Binary(b"1"))
        self.assertEqual(scenario.log[0], ("handle_frame", Binary(b"1"), "old"))

    def test_order_of_arrival(self) -> None:
        """Casts, infos and frames are delivered in order of arrival."""
        scenario = self.scenario()
        scenario.cast(1)
        scenario.mailbox.message(Message("handle_info", 2))
        scenario.receive(Text("3"), Ping(b"4"))
        scenario.cast(5)
        scenario.receive(Pong(b"6"))
        scenario.settle()
        self.assertEqual(scenario.called, [1, 2, Text("3"), Ping(b"4"), 5, Pong(b"6")])

    def test_frames_of_a_read(self) -> None:
        """If nothing is queued, the frames of a read are delivered at once."""
        scenario = self.scenario()
        scenario.receive(Text("1"), Binary(b"2"), Ping(b"3"), Pong(b"4"))
        self.assertEqual(
            scenario.events, ["handle_frame", "handle_frame", "handle_ping", "handle_pong"]
        )
        self.assertEqual(scenario.called, [Text("1"), Binary(b"2"), Ping(b"3"), Pong(b"4")])

    def test_replies_are_flushed_together(self) -> None:
        """The replies to the frames of a read are flushed once, after the last frame."""
        scenario = self.scenario(handle_frame=lambda frame, state: Reply(frame, state))
        scenario.receive(Text("1"), Text("2"))
        once = ["handle_frame", "reply"]
        self.assertEqual(scenario.handler.names, [*once, *once, "flush"])

    def test_wake(self) -> None:
        """``wake`` calls no callback itself; the next reactor iteration does, once."""
        scenario = self.scenario()
        scenario.cast(1, 2)
        self.assertEqual(scenario.events, [])
        scenario.iterate()
        self.assertEqual(scenario.called, [1, 2])
        scenario.settle()
        self.assertEqual(scenario.called, [1, 2])

    def test_no_timer_is_left(self) -> None:
        """No delayed call is left after everything is delivered."""
        scenario = self.scenario()
        scenario.cast(1)
        scenario.receive(Text("2"))
        scenario.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_cast_inside_a_callback(self) -> None:
        """A cast inside a callback is delivered in the next reactor iteration."""
        for callback in REPLYING:
            scenario = self.scenario()
            scenario.handler.answers[callback] = lambda _, state, scenario=scenario: scenario.cast(
                "inner"
            )
            scenario.trigger(callback)
            self.assertNotIn("inner", scenario.called, callback)
            scenario.iterate()
            if callback == "handle_cast":
                self.assertEqual(scenario.called[:2], ["cast", "inner"])
            else:
                self.assertEqual(scenario.called, [ARGUMENTS[callback], "inner"])

    def test_a_cast_inside_a_callback_is_last(self) -> None:
        """A cast inside a callback is delivered after the casts and frames before it."""
        scenario = self.scenario()
        scenario.handler.answers["handle_frame"] = lambda frame, _: (
            scenario.cast("inner") if frame == Text("1") else None
        )
        scenario.cast("before")
        scenario.receive(Text("1"), Text("2"))
        scenario.settle()
        self.assertEqual(scenario.called, ["before", Text("1"), Text("2"), "inner"])

    def test_a_read_inside_a_callback(self) -> None:
        """Frames that arrive while a callback runs are delivered after it."""
        scenario = self.scenario()

        def handle_frame(frame: object, state: object) -> None:
            if frame == Text("1"):
                scenario.receive(Text("3"))
                self.assertEqual(scenario.called, [Text("1")])

        scenario.handler.answers["handle_frame"] = handle_frame
        scenario.receive(Text("1"), Text("2"))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), Text("3")])
        self.assertTrue(scenario.owner.reading)

    def test_a_handler_that_casts_to_itself(self) -> None:
        """A handler that casts to itself does not starve the reactor: one cast an iteration."""
        scenario = self.scenario()
        scenario.cast_repeatedly()
        scenario.cast(0)
        for count in range(1, 5):
            scenario.iterate()
            self.assertEqual(scenario.called, list(range(count)))

    def test_frames_for_a_handler_that_casts_to_itself(self) -> None:
        """Frames are delivered between the casts of a handler that casts to itself."""
        scenario = self.scenario()
        scenario.cast_repeatedly()
        scenario.cast(0)
        scenario.iterate()
        scenario.receive(Text("frame"))
        scenario.iterate()
        self.assertEqual(scenario.called[:3], [0, 1, Text("frame")])

    def test_casts_of_a_callback_that_closes_wait(self) -> None:
        """After a callback returned Close, further casts wait for the next connection."""
        scenario = self.scenario(handle_cast=lambda n, state: Close(state) if n == 1 else None)
        scenario.cast(1, 2)
        scenario.settle()
        self.assertEqual(scenario.called, [1])
        self.assertEqual(scenario.mailbox.waiting, 1)


class StateTests(DeliveryCase):
    """[C3] Each callback receives the state that the previous one returned."""

    def test_from_callback_to_callback(self) -> None:
        """[C3] Each callback receives the state that the previous one returned."""
        scenario = self.scenario(
            **dict.fromkeys(REPLYING, lambda argument, state: Ok([*state, argument])),
        )
        scenario.delivery.state = []
        for callback in REPLYING:
            scenario.trigger(callback)
        seen = [state for name, _, state in scenario.log if name in ARGUMENTS]
        arguments = [ARGUMENTS[callback] for callback in REPLYING]
        self.assertEqual(seen, [arguments[:n] for n in range(len(arguments))])
        self.assertEqual(scenario.delivery.state, arguments)

    def test_within_a_read(self) -> None:
        """[C3] The state changes between the frames of one read."""
        scenario = self.scenario(handle_frame=lambda frame, state: Ok(state + frame.payload))
        scenario.delivery.state = ""
        scenario.receive(Text("a"), Text("b"), Text("c"))
        self.assertEqual(scenario.delivery.state, "abc")

    def test_within_a_read_with_replies(self) -> None:
        """[C3] The state changes between the frames of one read if the handler replies to some."""
        answers = {"a": Reply, "b": Ok, "c": Reply}

        def answer(frame: Text, state: str) -> Any:
            kind, after = answers[frame.payload], state + frame.payload
            return Ok(after) if kind is Ok else Reply(frame, after)

        scenario = self.scenario(handle_frame=answer)
        scenario.delivery.state = ""
        scenario.receive(*(Text(letter) for letter in "abcba"))
        self.assertEqual(scenario.delivery.state, "abcba")

    def test_none_leaves_it(self) -> None:
        """A callback that returns None leaves the state unchanged."""
        for callback in CALLBACKS:
            scenario = self.scenario()
            scenario.trigger(callback)
            self.assertEqual(scenario.delivery.state, "old", callback)

    def test_over_a_lost_connection(self) -> None:
        """[C3] ``handle_disconnect`` receives the state, and returns it for the next connection."""
        scenario = self.scenario(
            handle_frame=lambda frame, state: Ok("framed"),
            handle_disconnect=lambda status, state: Reconnect([state]),
        )
        scenario.receive(Text(""))
        scenario.lose()
        scenario.settle()
        scenario.trigger("handle_connect")
        self.assertEqual(scenario.log[-2][:2], ("handle_connect", CONN))
        self.assertEqual(scenario.log[-2][2], ["framed"])


class ResultTests(DeliveryCase):
    """[C2] Each result of each callback that may return it, directly and asynchronously."""

    def run_in_each_way(self, callback: str, result: object) -> list[DeliveryScenario]:
        """Return scenarios in which the callback returned the result in each possible way."""
        ways: tuple[Any, ...] = (
            lambda argument, state: result,
            lambda argument, state: succeed(result),
            lambda argument, state: answering(result),
        )
        scenarios = [self.scenario(**{callback: way}) for way in ways]
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            scenarios.append(self.scenario(**{callback: way(pending)}))
            scenarios[-1].trigger(callback)
            pending.callback(result)
        for scenario in scenarios[:3]:
            scenario.trigger(callback)
        return scenarios

    def check(self, callbacks: tuple[str, ...], result: Any, *expected: Any) -> None:
        """Check the calls of the owner after the callback, and the state."""
        ignored = ("flush", "pause_reading", "resume_reading")
        for callback in callbacks:
            for n, scenario in enumerate(self.run_in_each_way(callback, result)):
                calls = [entry for entry in scenario.log[1:] if entry[0] not in ignored]
                wanted = [
                    tuple(callback if part == "CALLBACK" else part for part in entry)
                    for entry in expected
                ]
                self.assertEqual(calls, wanted, (callback, n))
                self.assertEqual(scenario.handler.names[-1], "flush", (callback, n))
                state = "old" if result is None else result.state
                self.assertEqual(scenario.delivery.state, state, (callback, n))

    def test_ok(self) -> None:
        """[C2] Ok changes the state."""
        self.check(REPLYING, Ok("new"))

    def test_none(self) -> None:
        """[C2] None changes nothing."""
        self.check(REPLYING, None)

    def test_reply(self) -> None:
        """[C2] Reply sends one frame."""
        self.check(REPLYING, Reply(Text("hi"), "new"), ("reply", "CALLBACK", [Text("hi")]))

    def test_reply_with_a_list(self) -> None:
        """[C2] Reply with a list sends its frames in order."""
        frames = [Text("a"), Ping(), Binary(b"b")]
        self.check(REPLYING, Reply(frames, "new"), ("reply", "CALLBACK", frames))

    def test_close(self) -> None:
        """[C2, C4] Close without a code closes with 1000."""
        self.check(REPLYING, Close("new"), ("close_from_callback", "CALLBACK", (1000, "")))

    def test_close_with_code_and_message(self) -> None:
        """[C2, C4] Close closes with its code and message."""
        expected = ("close_from_callback", "CALLBACK", (4001, "bye"))
        self.check(REPLYING, Close("new", 4001, "bye"), expected)

    def test_disconnect_ok(self) -> None:
        """[C2] Ok of ``handle_disconnect`` is a decision not to reconnect."""
        expected = ("disconnect_decided", STATUS, None)
        self.check(("handle_disconnect",), Ok("new"), expected)

    def test_disconnect_none(self) -> None:
        """[C2] None of ``handle_disconnect`` is the same as Ok."""
        self.check(("handle_disconnect",), None, ("disconnect_decided", STATUS, None))

    def test_disconnect_reconnect(self) -> None:
        """[C2] Reconnect of ``handle_disconnect`` is passed on unchanged."""
        result = Reconnect("new", CONN.replace(close_timeout=1.0), 2.5)
        self.check(("handle_disconnect",), result, ("disconnect_decided", STATUS, result))

    def test_connect_is_concluded(self) -> None:
        """``concluded`` is called once, after ``handle_connect`` has returned any valid result."""
        for result in (None, Ok(1), Reply(Text("hi"), 1), Close(1)):
            scenario = self.scenario(handle_connect=lambda conn, state, result=result: result)
            scenario.trigger(
                "handle_connect", partial(scenario.log.append, ("concluded", None, None))
            )
            self.assertEqual(scenario.events[-1], "concluded", result)
            self.assertEqual(scenario.events.count("concluded"), 1, result)

    def test_connect_is_concluded_later(self) -> None:
        """``concluded`` is not called while ``handle_connect`` is pending."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            scenario = self.scenario(handle_connect=way(pending))
            concluded: list[bool] = []
            scenario.trigger("handle_connect", partial(concluded.append, True))
            scenario.settle()
            self.assertEqual(concluded, [])
            pending.callback(None)
            scenario.settle()
            self.assertEqual(concluded, [True])

    def test_connect_is_not_concluded(self) -> None:
        """``concluded`` is not called after an exception, an Exit or an invalid result."""
        for answer, event in (
            (ValueError(), "callback_failed"),
            (Exit(), "exited"),
            (lambda conn, state: "invalid", "callback_failed"),
        ):
            scenario = self.scenario(handle_connect=answer)
            scenario.trigger("handle_connect", lambda: self.fail("it was concluded"))
            self.assertEqual(scenario.events, ["handle_connect", event])


class PendingTests(DeliveryCase):
    """A callback that returns a Deferred or is a coroutine."""

    def test_nothing_else_is_delivered(self) -> None:
        """Nothing is delivered while a callback is pending; after it everything is, in order."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                scenario = self.scenario(**{callback: way(pending)})
                scenario.trigger(callback)
                scenario.handler.answers.clear()
                scenario.mailbox.connected(Connected(CONN, lambda: None))
                scenario.cast("cast")
                scenario.receive(Text("1"), Text("2"))
                scenario.receive(Ping())
                scenario.settle()
                self.assertEqual(scenario.called, [ARGUMENTS[callback]], callback)
                pending.callback(None)
                scenario.settle()
                self.assertEqual(
                    scenario.called[1:], [CONN, "cast", Text("1"), Text("2"), Ping()], callback
                )

    def test_state_while_pending(self) -> None:
        """The state does not change while the callback is pending."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                scenario = self.scenario(**{callback: way(pending)})
                scenario.trigger(callback)
                scenario.settle()
                self.assertEqual(scenario.delivery.state, "old", callback)
                pending.callback(Ok("new"))
                self.assertEqual(scenario.delivery.state, "new", callback)

    def test_queued_events_are_delivered_later(self) -> None:
        """Firing the Deferred does not call the next callback; the next iteration does."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            scenario = self.scenario(handle_frame=way(pending))
            scenario.receive(Text("1"), Ping(b"2"))
            scenario.cast(3)
            pending.callback(None)
            self.assertEqual(scenario.called, [Text("1")])
            scenario.iterate()
            self.assertEqual(scenario.called, [Text("1"), Ping(b"2"), 3])

    def test_fired_already(self) -> None:
        """A Deferred with a result, or a coroutine that never waits, delays nothing."""
        for wrap in (succeed, answering):
            scenario = self.scenario(handle_frame=lambda frame, state, wrap=wrap: wrap(Ok(frame)))
            scenario.receive(Text("1"), Text("2"))
            self.assertEqual(scenario.called, [Text("1"), Text("2")])
            self.assertEqual(scenario.delivery.state, Text("2"))
            self.assertNotIn("pause_reading", scenario.events)

    def test_two_in_a_row(self) -> None:
        """Two consecutive callbacks may be pending, one after the other."""
        answers: list[Deferred[Any]] = [Deferred(), Deferred()]
        scenario = self.scenario(handle_frame=lambda frame, state: answers[int(frame.payload)])
        scenario.receive(Text("0"), Text("1"), Ping())
        answers[0].callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("0"), Text("1")])
        answers[1].callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("0"), Text("1"), Ping()])

    def test_cast_of_a_coroutine_to_itself(self) -> None:
        """A cast from a pending callback is delivered after it."""
        pending: Deferred[Any] = Deferred()
        scenario = self.scenario()

        async def handle_frame(frame: object, state: object) -> None:
            scenario.cast("inner")
            await pending

        scenario.handler.answers["handle_frame"] = handle_frame
        scenario.receive(Text("1"))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1")])
        pending.callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), "inner"])


class ReadingTests(DeliveryCase):
    """Reading is paused while frames are queued."""

    def pending(self, callback: str = "handle_frame") -> tuple[Deferred[Any], DeliveryScenario]:
        """Return a Deferred, and a scenario whose callback returns it once."""
        pending: Deferred[Any] = Deferred()
        answers = [pending]
        handler = {callback: lambda argument, state: answers.pop() if answers else None}
        return pending, self.scenario(**handler)

    def test_not_for_a_pending_callback_alone(self) -> None:
        """A pending callback with nothing queued does not pause reading."""
        for callback in CALLBACKS:
            _, scenario = self.pending(callback)
            scenario.trigger(callback)
            scenario.settle()
            self.assertTrue(scenario.owner.reading, callback)

    def test_not_for_casts(self) -> None:
        """Queued casts do not pause reading."""
        _, scenario = self.pending()
        scenario.receive(Text("1"))
        scenario.cast(1, 2, 3)
        scenario.settle()
        self.assertTrue(scenario.owner.reading)

    def test_rest_of_a_read(self) -> None:
        """The frames behind a pending one pause reading at once."""
        pending, scenario = self.pending()
        scenario.receive(Text("1"), Text("2"))
        self.assertFalse(scenario.owner.reading)
        pending.callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2")])
        self.assertTrue(scenario.owner.reading)

    def test_next_read(self) -> None:
        """The frames of a read during a pending callback pause reading."""
        for callback in CALLBACKS:
            pending, scenario = self.pending(callback)
            scenario.trigger(callback)
            scenario.receive(Ping(b"later"))
            self.assertFalse(scenario.owner.reading, callback)
            pending.callback(None)
            scenario.settle()
            self.assertEqual(scenario.called[-1], Ping(b"later"), callback)
            self.assertTrue(scenario.owner.reading, callback)

    def test_resumed_after_the_last_frame(self) -> None:
        """Reading is resumed after the last queued frame, not before."""
        answers: list[Deferred[Any]] = [Deferred(), Deferred()]
        scenario = self.scenario(handle_frame=lambda frame, state: answers[int(frame.payload)])
        scenario.receive(Text("0"), Text("1"), Ping())
        answers[0].callback(None)
        scenario.settle()
        self.assertFalse(scenario.owner.reading)
        answers[1].callback(None)
        scenario.settle()
        self.assertEqual(scenario.events[-2:], ["handle_ping", "resume_reading"])

    def test_paused_once(self) -> None:
        """Reading is paused once and resumed once."""
        pending, scenario = self.pending()
        scenario.receive(Text("1"), Text("2"))
        scenario.receive(Text("3"))
        pending.callback(None)
        scenario.settle()
        self.assertEqual(
            scenario.events,
            [
                "handle_frame",
                "pause_reading",
                "handle_frame",
                "handle_frame",
                "resume_reading",
            ],
        )

    def test_no_frames(self) -> None:
        """A read that completes no frame changes nothing."""
        scenario = self.scenario()
        scenario.receive()
        self.assertEqual(scenario.events, [])
