"""Tests of the delivery: lost connections, crashes and the end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from wsx._client.mailbox import Connected
from wsx.errors import BadResponseError
from wsx.frames import Ping, Text
from wsx.handler import Close, Exit, Ok, Reconnect, Reply
from wsx.reasons import LocalClose
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
    as_deferred,
)

NONSENSE: tuple[object, ...] = ("yes", 0, False, True, object(), Ok, ("ok", 1), [Ok(1)], Text("x"))


async def raising(error: Exception) -> Any:
    """A coroutine that raises at once."""
    raise error


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
