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
    DeliveryScenario,
    answering,
    as_deferred,
)

INVALID: tuple[object, ...] = ("yes", 0, False, True, object(), Ok, ("ok", 1), [Ok(1)], Text("x"))


async def raising(error: Exception) -> Any:
    """Raise an error at once."""
    raise error


class LostTests(DeliveryCase):
    """Lost connections."""

    def test_frames_before_it(self) -> None:
        """Frames that arrived before the loss are delivered before ``handle_disconnect``."""
        pending: Deferred[Any] = Deferred()
        answers = [pending]
        scenario = self.scenario(
            handle_frame=lambda frame, state: answers.pop() if answers else Ok(frame.payload)
        )
        scenario.receive(Text("1"), Text("2"))
        scenario.receive(Text("3"))
        scenario.lose()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1")])
        pending.callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), Text("3"), STATUS])
        self.assertIn(("handle_disconnect", STATUS, "3"), scenario.log)

    def test_casts_wait(self) -> None:
        """Casts that are not delivered yet wait for the next connection."""
        pending: Deferred[Any] = Deferred()
        scenario = self.scenario(handle_frame=as_deferred(pending))
        scenario.receive(Text("1"))
        scenario.cast("early")
        scenario.lose()
        scenario.cast("late")
        pending.callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), STATUS])
        scenario.mailbox.connected(Connected(CONN, lambda: None))
        scenario.delivery.deliver()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), STATUS, CONN, "early", "late"])

    def test_in_a_later_iteration(self) -> None:
        """``handle_disconnect`` is called in a later reactor iteration than the loss."""
        scenario = self.scenario()
        scenario.lose()
        self.assertEqual(scenario.called, [])
        scenario.iterate()
        self.assertEqual(scenario.called, [STATUS])

    def test_inside_a_callback(self) -> None:
        """If a connection is lost inside a callback, ``handle_disconnect`` is called after it."""
        scenario = self.scenario()
        scenario.handler.answers["handle_frame"] = lambda frame, state: scenario.lose()
        scenario.receive(Text("1"))
        self.assertEqual(scenario.called, [Text("1")])
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), STATUS])


class FailureTests(DeliveryCase):
    """[C6] Exceptions, Exit and invalid results of each callback."""

    def failing_responses(self, error: Exception) -> tuple[Any, ...]:
        """Return the responses that make a callback fail directly and asynchronously."""
        return (
            error,
            lambda argument, state: fail(error),
            lambda argument, state: raising(error),
        )

    def call(self, callback: str, response: Any) -> DeliveryScenario:
        """Return a scenario in which the callback was called and responded like this."""
        scenario = self.scenario(**{callback: response})
        scenario.trigger(callback)
        return scenario

    def test_exception(self) -> None:
        """[C6, C8] An exception is passed on with its traceback, the callback and its argument."""
        for callback in CALLBACKS:
            for response in self.failing_responses(error := ValueError(callback)):
                scenario = self.call(callback, response)
                self.assertEqual(scenario.events, [callback, "callback_failed"])
                [(failure, failed, argument)] = scenario.owner.failures
                self.assertIs(failure.value, error)
                self.assertEqual(failed, callback)
                self.assertIs(argument, ARGUMENTS[callback])

    def test_exception_later(self) -> None:
        """[C6, C8] The exception of a pending callback is passed on in the same way."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                scenario = self.call(callback, way(pending))
                self.assertEqual(scenario.owner.failures, [])
                pending.errback(error := ValueError(callback))
                [(failure, failed, argument)] = scenario.owner.failures
                self.assertIs(failure.value, error)
                self.assertEqual(failed, callback)
                self.assertIs(argument, ARGUMENTS[callback])

    def test_exit(self) -> None:
        """[C6, C8] Exit ends the client with its reason, and is not a failure."""
        for callback in CALLBACKS:
            for response in self.failing_responses(Exit("enough")):
                scenario = self.call(callback, response)
                self.assertEqual(scenario.owner.exits, ["enough"], callback)
                self.assertEqual(scenario.owner.failures, [], callback)
                self.assertEqual(scenario.events, [callback, "exited"])

    def test_exit_without_a_reason(self) -> None:
        """[C6, C8] Exit without a reason is a normal close."""
        for callback in CALLBACKS:
            for response in self.failing_responses(Exit()):
                scenario = self.call(callback, response)
                self.assertEqual(scenario.owner.exits, [LocalClose(1000, "")], callback)
                self.assertEqual(scenario.owner.failures, [], callback)

    def check_invalid(self, callback: str, response: object) -> None:
        """Check that this response of the callback is refused, directly and asynchronously."""
        for wrap in (lambda response: response, succeed, answering):
            scenario = self.call(callback, lambda _, state, wrap=wrap: wrap(response))
            [(failure, failed, argument)] = scenario.owner.failures
            reason = failure.value
            assert isinstance(reason, BadResponseError), (callback, response)
            self.assertIs(reason.response, response)
            self.assertIs(reason.handler, scenario.handler)
            self.assertEqual(reason.callback, callback)
            self.assertEqual(reason.arguments, (ARGUMENTS[callback], "old"))
            self.assertEqual(failed, callback)
            self.assertIs(argument, ARGUMENTS[callback])
            self.assertEqual(scenario.events, [callback, "callback_failed"])
            self.assertEqual(scenario.delivery.state, "old")

    def test_invalid(self) -> None:
        """[C6, C8] An object that is not a result fails with a complete BadResponseError."""
        for callback in CALLBACKS:
            for response in INVALID:
                self.check_invalid(callback, response)

    def test_result_of_another_callback(self) -> None:
        """[C6, C8] A result that this callback may not return is a BadResponseError."""
        for callback in REPLYING:
            self.check_invalid(callback, Reconnect("new"))
        for response in (Reply(Text("hi"), "new"), Close("new")):
            self.check_invalid("handle_disconnect", response)

    def test_invalid_later(self) -> None:
        """[C6] The invalid result of a pending callback is a BadResponseError."""
        for way in ASYNCHRONOUS:
            for callback in CALLBACKS:
                pending: Deferred[Any] = Deferred()
                scenario = self.call(callback, way(pending))
                pending.callback("invalid")
                [(failure, failed, _)] = scenario.owner.failures
                self.assertIsInstance(failure.value, BadResponseError)
                self.assertEqual(failed, callback)

    def test_nothing_after_it(self) -> None:
        """After a failure, the rest of the read and queued casts are not delivered."""
        for response, event in (
            (ValueError(), "callback_failed"),
            (Exit(), "exited"),
            (lambda frame, state: "invalid", "callback_failed"),
        ):
            scenario = self.scenario(handle_frame=response)
            scenario.receive(Text("1"), Text("2"), Ping())
            scenario.cast(1)
            scenario.settle()
            self.assertEqual(scenario.events, ["handle_frame", event])

    def test_replies_before_it_are_flushed(self) -> None:
        """Replies before the failure are flushed."""
        scenario = self.scenario(
            handle_frame=lambda frame, state: Reply(frame, state), handle_ping=Exit()
        )
        scenario.receive(Text("1"), Ping())
        self.assertEqual(
            scenario.handler.names, ["handle_frame", "reply", "handle_ping", "exited", "flush"]
        )


class EndTests(DeliveryCase):
    """``Delivery.end``."""

    def test_queued_events_are_dropped(self) -> None:
        """Nothing more is delivered, and the number of dropped casts and infos is returned."""
        scenario = self.scenario()
        scenario.cast(1, 2)
        scenario.mailbox.frames(iter([Text("3")]), False)
        self.assertEqual(scenario.delivery.end(), 2)
        scenario.delivery.deliver()
        scenario.settle()
        self.assertEqual(scenario.events, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wake_after_it(self) -> None:
        """``wake`` after the end schedules nothing."""
        scenario = self.scenario()
        scenario.delivery.end()
        scenario.cast(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        scenario.settle()
        self.assertEqual(scenario.events, [])

    def test_frames_after_it(self) -> None:
        """Frames that arrive after the end are not delivered."""
        scenario = self.scenario()
        scenario.delivery.end()
        scenario.receive(Text("late"))
        scenario.settle()
        self.assertEqual(scenario.called, [])

    def test_inside_a_read(self) -> None:
        """If a callback ends the delivery, the rest of its read is not delivered."""
        for response in (None, Ok(1), Reply(Text("late"), 1)):
            scenario = self.scenario()

            def handle_frame(
                *_: object, response: Any = response, scenario: DeliveryScenario = scenario
            ) -> Any:
                scenario.delivery.end()
                return response

            scenario.handler.answers["handle_frame"] = handle_frame
            scenario.receive(Text("1"), Text("2"), Text("3"))
            scenario.settle()
            self.assertEqual(scenario.events, ["handle_frame"], response)

    def test_inside_a_batch_of_casts(self) -> None:
        """If a callback ends the delivery, queued casts and frames are not delivered."""
        scenario = self.scenario()
        scenario.handler.answers["handle_cast"] = lambda n, state: scenario.delivery.end() and None
        scenario.cast(1, 2, 3)
        scenario.mailbox.frames(iter([Text("4")]), False)
        scenario.settle()
        self.assertEqual(scenario.called, [1])

    def test_pending_callback_is_cancelled(self) -> None:
        """A pending callback is cancelled in the next reactor iteration."""
        for way in ASYNCHRONOUS:
            cancelled: list[Deferred[Any]] = []
            pending: Deferred[Any] = Deferred(cancelled.append)
            scenario = self.scenario(handle_cast=way(pending))
            scenario.cast(1)
            scenario.iterate()
            scenario.delivery.end()
            self.assertEqual(cancelled, [])
            scenario.iterate()
            self.assertEqual(cancelled, [pending])
            scenario.settle()
            self.assertEqual(scenario.events, ["handle_cast"])

    def test_pending_coroutine_is_cancelled(self) -> None:
        """CancelledError is raised in a pending coroutine."""
        seen: list[Exception] = []

        async def handle_cast(message: object, state: object) -> None:
            try:
                await Deferred()
            except CancelledError as error:
                seen.append(error)
                raise

        scenario = self.scenario(handle_cast=handle_cast)
        scenario.cast(1)
        scenario.iterate()
        scenario.delivery.end()
        scenario.settle()
        self.assertEqual(len(seen), 1)
        self.assertEqual(scenario.owner.failures, [])

    def test_result_after_it(self) -> None:
        """The result of a callback that is pending at the end is ignored; an error is logged."""
        answers = (Ok("new"), Reply(Text("late"), "new"), "invalid", Failure(ValueError()))
        for response in answers:
            pending: Deferred[Any] = Deferred()
            scenario = self.scenario(handle_cast=as_deferred(pending))
            scenario.cast(1)
            scenario.iterate()
            scenario.delivery.end()
            pending.callback(response)
            scenario.settle()
            self.assertEqual(scenario.events, ["handle_cast"], response)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_callback_that_ends_it_and_waits(self) -> None:
        """A callback that ends the delivery and then waits is cancelled."""
        for way in ASYNCHRONOUS:
            cancelled: list[Deferred[Any]] = []
            pending: Deferred[Any] = Deferred(cancelled.append)
            scenario = self.scenario()

            def handle_cast(
                *_: object,
                scenario: DeliveryScenario = scenario,
                response: Any = way(pending),  # noqa: B008
            ) -> Any:
                scenario.delivery.end()
                return response(None, None)

            scenario.handler.answers["handle_cast"] = handle_cast
            scenario.cast(1)
            scenario.settle()
            self.assertEqual(cancelled, [pending])
            self.assertEqual(scenario.events, ["handle_cast"])

    def test_a_callback_that_ends_it_and_waits_in_a_chain(self) -> None:
        """A callback that ends the delivery and waits for a chained Deferred is cancelled."""
        cancelled: list[Deferred[Any]] = []
        inner: Deferred[Any] = Deferred(cancelled.append)
        scenario = self.scenario()

        def handle_cast(*_: object) -> Deferred[Any]:
            scenario.delivery.end()
            return succeed(None).addCallback(lambda _: inner)

        scenario.handler.answers["handle_cast"] = handle_cast
        scenario.cast(1)
        scenario.settle()
        self.assertEqual(cancelled, [inner])

    def test_reading_is_resumed(self) -> None:
        """Reading does not stay paused if the delivery ends inside a batch."""
        pending: Deferred[Any] = Deferred()
        scenario = self.scenario(handle_frame=as_deferred(pending))
        scenario.handler.answers["handle_ping"] = lambda *_: scenario.delivery.end() and None
        scenario.receive(Text("1"), Ping(), Ping())
        self.assertFalse(scenario.owner.reading)
        pending.callback(None)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Ping()])
        self.assertTrue(scenario.owner.reading)


class TerminateTests(DeliveryCase):
    """Calling ``terminate``."""

    def terminate(
        self, response: Any, reason: object = "why"
    ) -> tuple[Deferred[Any], DeliveryScenario]:
        """Return the Deferred of ``terminate`` after the end, and the scenario."""
        scenario = self.scenario(terminate=response)
        scenario.delivery.end()
        return scenario.delivery.terminate(reason), scenario

    def test_arguments(self) -> None:
        """[D5] ``terminate`` receives the reason and the last state."""
        _, scenario = self.terminate(None)
        self.assertEqual(scenario.log, [("terminate", "why", "old")])

    def test_result_is_ignored(self) -> None:
        """The result of ``terminate`` is ignored."""
        for response in (None, "invalid", Ok(1), Close(1), Reconnect(1)):
            for wrap in (lambda response: response, succeed, answering):
                ended, scenario = self.terminate(lambda *_, a=response, w=wrap: w(a))
                self.assertEqual(self.successResultOf(ended), "why")
                self.assertEqual(scenario.events, ["terminate"])

    def test_it_is_waited_for(self) -> None:
        """A Deferred or a coroutine of ``terminate`` is waited for."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            ended, _ = self.terminate(way(pending))
            self.assertNoResult(ended)
            pending.callback(None)
            self.assertEqual(self.successResultOf(ended), "why")

    def test_exception(self) -> None:
        """[C9] An exception in ``terminate`` becomes the reason, and is passed on as a failure."""
        error = ValueError("in terminate")
        for response in (error, lambda *_: fail(error), lambda *_: raising(error)):
            ended, scenario = self.terminate(response)
            self.assertIs(self.successResultOf(ended), error)
            [(failure, failed, argument)] = scenario.owner.failures
            self.assertIs(failure.value, error)
            self.assertEqual((failed, argument), ("terminate", "why"))

    def test_exit(self) -> None:
        """[C9, D6] Exit in ``terminate`` replaces the reason; Exit() makes it normal."""
        for error, reason in ((Exit(), LocalClose(1000, "")), (Exit("other"), "other")):
            for response in (error, lambda *_, e=error: fail(e), lambda *_, e=error: raising(e)):
                ended, scenario = self.terminate(response, ValueError("abnormal"))
                self.assertEqual(self.successResultOf(ended), reason)
                self.assertEqual(scenario.events, ["terminate"])

    def test_exception_later(self) -> None:
        """[C9] An exception or Exit of a pending ``terminate`` becomes the reason."""
        for error, expected in ((ValueError("late"), None), (Exit("other"), "other")):
            for way in ASYNCHRONOUS:
                pending: Deferred[Any] = Deferred()
                ended, scenario = self.terminate(way(pending))
                pending.errback(error)
                self.assertEqual(self.successResultOf(ended), expected or error)
                self.assertEqual(len(scenario.owner.failures), 0 if expected else 1)

    def test_cancelling(self) -> None:
        """Cancelling the Deferred cancels ``terminate``; the reason stays."""
        for way in ASYNCHRONOUS:
            cancelled: list[Deferred[Any]] = []
            pending: Deferred[Any] = Deferred(cancelled.append)
            ended, _ = self.terminate(way(pending))
            ended.cancel()
            self.assertEqual(cancelled, [pending])
            self.assertEqual(self.successResultOf(ended), "why")
