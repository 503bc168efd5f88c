"""Tests of callbacks that raise, return an invalid result or raise ``Exit``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

import wsx
from wsx import (
    Close,
    ConnectionDropped,
    Exit,
    LocalClose,
    Ok,
    Reconnect,
    RemoteClose,
    Reply,
    Shutdown,
    Text,
)
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import (
    BAD_FRAME,
    TRIGGERS,
    Boom,
    EndCase,
    answering,
    close_frames,
    reasons,
    reconnecting,
)


class Verdict:
    """A reason with a ``normal`` attribute."""

    def __init__(self, normal: bool) -> None:
        self.normal = normal


def raising(error: BaseException) -> Callable[[Any, Any], Any]:
    """Return a coroutine function that raises this error."""

    async def answer(argument: Any, state: Any) -> Any:
        raise error

    return answer


def plainly(answer: Any) -> Any:
    """Return the result unchanged."""
    return answer


def returning(result: Any) -> Callable[[Any, Any], Any]:
    """Return a function that returns this result."""
    return lambda argument, state: result


class CrashTests(EndCase):
    """A callback raises, returns an invalid result or raises ``Exit`` (design 4, point 6)."""

    def crash(self, callback: str, answer: Any) -> tuple[wsx.Client[Any], Recorder, list[Any]]:
        """Let a callback fail on a second connection; return client, handler and close codes."""
        answers = {"handle_disconnect": Reconnect("state", after=1.0)}
        handler = Recorder(**answers)
        client = self.open(handler, "state")
        self.lose()
        handler.answers[callback] = answer
        self.clock.advance(1)
        self.accept()
        if callback in TRIGGERS:
            TRIGGERS[callback](self, client)
            self.step()
        handler.calls = [call for call in handler.calls if call[0] != "handle_connect"]
        codes = [code for code, _ in close_frames(self.peer)]
        self.assertEqual(client.status, "closing", callback)
        self.assertNotIn("terminate", handler.names, "not before the connection's end")
        self.lose()
        return client, handler, codes

    def assert_no_second_disconnect(self, handler: Recorder) -> None:
        self.assertEqual(handler.names.count("handle_disconnect"), 1)

    @each(("handle_connect", *TRIGGERS), (plainly, raising))
    def test_exception(self, callback: str, make: Any) -> None:
        """[C6] [D2] An exception sends 1011, calls ``terminate`` once and ends the client."""
        boom = Boom(callback)
        client, handler, codes = self.crash(callback, make(boom))
        self.assertEqual(codes, [1011], callback)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1, callback)
        self.assert_no_second_disconnect(handler)
        self.assert_terminated_once(handler, boom)
        self.assert_ended(client, boom)

    def test_failed_deferred(self) -> None:
        """[C6] A Deferred that fails counts as an exception."""
        boom = Boom()
        answer: Deferred[Any] = Deferred()
        client = self.open(Recorder(handle_cast=lambda message, state: answer))
        client.cast("x")
        self.step()
        answer.errback(boom)
        self.step()
        self.assertEqual([code for code, _ in close_frames(self.peer)], [1011])
        self.lose()
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assert_ended(client, boom)

    @each(
        [
            (callback, result)
            for callback in ("handle_connect", *TRIGGERS)
            for result in ("nonsense", Reconnect("state"), Ok, True, (Ok(1), 2))
            if (callback, result) != ("handle_connect", Ok)
        ],
        (returning, answering),
    )
    def test_bad_result(self, callback: str, result: Any, make: Any) -> None:
        """[C6] [D2] An invalid result sends 1011, and ``terminate`` gets a BadResponseError."""
        client, handler, codes = self.crash(callback, make(result))
        self.assertEqual(codes, [1011], (callback, result))
        [line] = self.error_lines()
        self.assertIn(f"Recorder.{callback}", line)
        [reason] = handler.arguments("terminate")
        self.assertIsInstance(reason, wsx.BadResponseError, (callback, result))
        self.assertIs(reason.response, result)
        self.assertIs(reason.handler, handler)
        self.assertEqual(reason.callback, callback)
        self.assert_no_second_disconnect(handler)
        self.assert_ended(client, reason)

    @each(("handle_connect", *TRIGGERS), (Exit(), raising(Exit())))
    def test_exit(self, callback: str, answer: Any) -> None:
        """[C6] ``Exit()`` sends 1000, ends the client normally and logs no traceback."""
        client, handler, codes = self.crash(callback, answer)
        self.assertEqual(codes, [1000], callback)
        self.assert_no_second_disconnect(handler)
        self.assert_terminated_once(handler, LocalClose(1000, ""))
        self.assert_ended(client, LocalClose(1000, ""))
        self.assertEqual(self.flushLoggedErrors(), [])

    @each(
        ("handle_connect", *TRIGGERS),
        ("enough", Boom(), Verdict(normal=True), LocalClose(4000, "x"), 0),
    )
    def test_exit_with_a_reason(self, callback: str, reason: Any) -> None:
        """[C6] ``Exit(reason)`` ends the client with any reason and logs no traceback."""
        client, handler, _ = self.crash(callback, Exit(reason))
        self.assert_no_second_disconnect(handler)
        self.assert_terminated_once(handler, reason)
        self.assert_ended(client, reason)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_peer_does_not_answer(self) -> None:
        """After a crash, the client waits for the server's close frame for ``close_timeout``."""
        handler = Recorder(handle_frame=Boom())
        client = self.open(handler, close_timeout=3.0)
        self.peer.send(text("x"))
        self.clock.advance(2.9)
        self.step()
        self.assertEqual(client.status, "closing")
        self.clock.advance(0.2)
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    @each((Boom(), "nonsense", raising(Boom())))
    def test_no_more_frames_are_delivered(self, answer: Any) -> None:
        """After a crash, no frame of the same read or of later reads is delivered."""
        handler = Recorder(handle_frame=answer)
        client = self.open(handler)
        self.peer.send(text("a") + text("b") + server_frame(9))
        self.peer.send(text("c") + close(1000))
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_frame", "terminate"])
        self.assertEqual(len(self.flushLoggedErrors(Boom)) + len(self.error_lines()), 1)
        self.assertEqual(client.status, "terminated")

    def test_no_more_messages_are_delivered(self) -> None:
        """After a crash, no waiting cast or info is delivered."""
        handler = Recorder(handle_cast=Boom())
        client = self.open(handler)
        client.cast("a")
        client.cast("b")
        client.info("c")
        self.step()
        self.lose()
        self.assertEqual(handler.names, ["handle_connect", "handle_cast", "terminate"])
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_stop_after_a_crash(self) -> None:
        """A stop after a crash does not change the reason. ``terminate`` is called once."""
        boom = Boom()
        handler = Recorder(handle_frame=boom)
        client = self.open(handler)
        self.peer.send(text("x"))
        stopped = client.stop()
        self.lose()
        self.assertIs(self.successResultOf(stopped), boom)
        self.assert_terminated_once(handler, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_state_before_the_crash(self) -> None:
        """``terminate`` receives the state from before the callback that failed."""
        handler = Recorder(handle_cast=Ok("second"), handle_info=Boom())
        client = self.open(handler, "first")
        client.cast("x")
        client.info("x")
        self.step()
        self.lose()
        self.assertEqual(handler.calls[-1][2], "second")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)


class NotInitialisedTests(EndCase):
    """``terminate`` is not called for a client that was never initialised (point 8)."""

    def assert_never_was(self, handler: Recorder, reason: object) -> None:
        self.assertNotIn("terminate", handler.names)
        self.assert_ended(handler.client, reason)

    @each(
        [
            (Boom(), Boom),
            (raising(Boom()), Boom),
            (lambda conn, state: "nonsense", wsx.BadResponseError),
            (Exit(), wsx.ClientEnded),
            (raising(Exit("enough")), wsx.ClientEnded),
            (Exit(Boom()), Boom),
        ]
    )
    def test_first_handle_connect_fails(self, answer: Any, kind: Any) -> None:
        """[C7] [C6] If the first ``handle_connect`` fails, ``terminate`` is not called."""
        handler = Recorder(handle_connect=answer)
        started = self.start(handler)
        self.accept()
        self.lose()
        error = self.failureResultOf(started, kind).value
        reason = error.reason if kind is wsx.ClientEnded else error
        self.assert_never_was(handler, reason)
        self.assertEqual(handler.names, ["handle_connect"])
        logged = 0 if isinstance(answer, Exit) or kind is wsx.ClientEnded else 1
        count = len(self.flushLoggedErrors()) + len(self.error_lines())
        self.assertEqual(count, logged, answer)

    def test_first_connection_fails(self) -> None:
        """[C7] [D4] If the first connection fails, no callback is called and ``start`` fails."""
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder()
        started = self.start(handler)
        error = self.failureResultOf(started, wsx.ConnError).value
        self.step()
        self.assertEqual(handler.calls, [])
        self.assert_never_was(handler, error)

    def test_first_failure_is_handled_and_given_up(self) -> None:
        """[C7] [D4] If ``handle_disconnect`` returns ``Ok``, ``terminate`` is not called."""
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder()
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        error = self.failureResultOf(started, wsx.ConnError).value
        self.assertEqual(handler.names, ["handle_disconnect"])
        self.assertEqual(reasons(handler), [error])
        self.assert_never_was(handler, error)

    def test_handling_the_first_failure_fails(self) -> None:
        """[C7] [C8] If ``handle_disconnect`` raises, ``start`` fails without ``terminate``."""
        boom = Boom()
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder(handle_disconnect=boom)
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        self.assertIs(self.failureResultOf(started, Boom).value, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assert_never_was(handler, boom)

    def test_stopped_while_waiting(self) -> None:
        """[C7] A stop between the attempts of a first connection does not call ``terminate``."""
        self.server.refusal = ConnectionRefusedError()
        handler = reconnecting()
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        handler.client.stop()
        self.failureResultOf(started, wsx.ClientEnded)
        self.assert_never_was(handler, Shutdown(""))

    def test_asynchronously_started(self) -> None:
        """[C7] A client started with ``async_`` counts as initialised from the beginning."""
        self.server.refusal = ConnectionRefusedError()
        handler = Recorder()
        client = self.successResultOf(self.start(handler, async_=True))
        self.step()
        self.assertEqual(handler.names, ["terminate"])
        [reason] = handler.arguments("terminate")
        self.assertIsInstance(reason, wsx.ConnError)
        self.assert_ended(client, reason)

    def test_asynchronously_started_and_crashed(self) -> None:
        """[C7] [C6] With ``async_``, ``terminate`` is called if ``handle_connect`` raises."""
        boom = Boom()
        handler = Recorder(handle_connect=boom)
        client = self.successResultOf(self.start(handler, async_=True))
        self.accept()
        self.lose()
        self.assert_terminated_once(handler, boom)
        self.assert_ended(client, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)


class HandleDisconnectTests(EndCase):
    """Results of ``handle_disconnect`` and their effects (point 7)."""

    @each((Ok("new"), None), (plainly, answering))
    def test_ok(self, result: Any, make: Any) -> None:
        """[D5] ``Ok`` or None calls ``terminate`` with the reason and ends the client with it."""
        handler = Recorder(handle_disconnect=make(result))
        client = self.open(handler, "old")
        self.peer.send(close(1001, "bye"))
        self.lose()
        state = "old" if result is None else "new"
        reason = RemoteClose(1001, "bye")
        self.assertEqual(handler.calls[-1], ("terminate", reason, state))
        self.assert_terminated_once(handler, reason)
        self.assert_ended(client, reason)

    @each((plainly, raising))
    def test_raises(self, make: Any) -> None:
        """[C8] An exception in ``handle_disconnect`` ends the client with it."""
        boom = Boom()
        handler = Recorder(handle_disconnect=make(boom))
        client = self.open(handler)
        self.lose()
        self.assert_terminated_once(handler, boom)
        self.assert_ended(client, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    @each(
        [
            Reply(Text("x"), 0),
            Close(0),
            "nonsense",
            Reconnect(0, after=-1),
            Reconnect(0, after=float("inf")),
            Reconnect(0, after=float("nan")),
            Reconnect(0, after="1"),  # type: ignore[arg-type]
            Reconnect(0, conn="ws://example.test"),  # type: ignore[arg-type]
        ]
    )
    def test_bad_result(self, result: Any) -> None:
        """[C8] An invalid result of ``handle_disconnect`` ends with a BadResponseError."""
        handler = Recorder(handle_disconnect=result)
        client = self.open(handler)
        self.lose()
        [reason] = handler.arguments("terminate")
        self.assertIsInstance(reason, wsx.BadResponseError, result)
        self.assertEqual(reason.callback, "handle_disconnect")
        self.assert_ended(client, reason)
        self.assertEqual(len(self.error_lines()), 1, result)
        self.assertEqual(self.server.attempts, 1)

    @each([(Exit(), LocalClose(1000, "")), (Exit("enough"), "enough")], (plainly, raising))
    def test_exit(self, error: Any, reason: Any, make: Any) -> None:
        """[C8] ``Exit`` in ``handle_disconnect`` ends the client without a traceback."""
        handler = Recorder(handle_disconnect=make(error))
        client = self.open(handler)
        self.lose()
        self.assert_terminated_once(handler, reason)
        self.assert_ended(client, reason)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_pending(self) -> None:
        """While ``handle_disconnect`` is pending, nothing else is delivered."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_disconnect=lambda status, state: answer)
        client = self.open(handler, 0)
        self.lose()
        client.cast("waits")
        self.clock.advance(100)
        self.assertEqual(client.status, "disconnected")
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect"])
        answer.callback(Reconnect(1, after=2.0))
        self.clock.advance(2)
        self.accept()
        self.assertEqual(
            [call[::2] for call in handler.calls[2:]], [("handle_connect", 1), ("handle_cast", 1)]
        )

    def test_status_names_the_connection(self) -> None:
        """The status has the Conn of the connection that ended, with the server's response."""
        handler = Recorder()
        client = self.open(handler)
        conn = client.conn
        self.lose()
        [status] = handler.arguments("handle_disconnect")
        self.assertEqual(status.conn, conn)
        self.assertEqual(status.conn.resp_status, 101)


class TerminateTests(EndCase):
    """``terminate`` and its effect on the reason."""

    @each(
        [
            (lambda test, client: client.close(), True),
            (lambda test, client: client.close(1001), False),
            (lambda test, client: client.close(4000), False),
            (lambda test, client: test.peer.send(close(1000)), True),
            (lambda test, client: test.peer.send(close(1001)), False),
            (lambda test, client: test.peer.send(close()), True),
            (lambda test, client: test.peer.send(BAD_FRAME), False),
            (lambda test, client: test.peer.drop(), False),
            (lambda test, client: client.stop(), True),
        ]
    )
    def test_reason_and_whether_it_is_normal(
        self, end: Callable[[EndCase, wsx.Client[Any]], Any], normal: bool
    ) -> None:
        """[D5] ``terminate`` receives the reason, whose ``normal`` is right."""
        handler = Recorder()
        client = self.open(handler)
        end(self, client)
        self.lose()
        [reason] = handler.arguments("terminate")
        self.assertIs(getattr(reason, "normal", False), normal, reason)
        self.assert_ended(client, reason)

    @each((Exit(), raising(Exit())))
    def test_exit_makes_an_abnormal_end_normal(self, answer: Any) -> None:
        """[D6] [C9] ``Exit()`` in ``terminate`` turns a drop into a normal end."""
        handler = Recorder(terminate=answer)
        client = self.open(handler)
        self.lose()
        self.assertIsInstance(handler.arguments("terminate")[0], ConnectionDropped)
        self.assert_ended(client, LocalClose(1000, ""))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_exit_after_a_crash(self) -> None:
        """[D6] [C9] ``Exit()`` in ``terminate`` makes a crash a normal end.

        Its traceback is logged.
        """
        handler = Recorder(handle_frame=Boom(), terminate=Exit())
        client = self.open(handler)
        self.peer.send(text("x"))
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_exit_with_a_reason(self) -> None:
        """[D6] [C9] ``Exit(reason)`` in ``terminate`` replaces the reason."""
        verdict = Verdict(normal=False)
        client = self.open(Recorder(terminate=Exit(verdict)))
        client.close()
        self.lose()
        self.assert_ended(client, verdict)

    @each((plainly, raising))
    def test_raises(self, make: Any) -> None:
        """[C9] An exception in ``terminate`` is logged once and becomes the reason."""
        boom = Boom()
        handler = Recorder(terminate=make(boom))
        client = self.open(handler)
        self.lose()
        self.assertEqual(handler.names.count("terminate"), 1)
        self.assert_ended(client, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    @each(
        ("nonsense", Reconnect(0), Reply(Text("x"), 0), Close(0, 4000), Ok(1)), (plainly, answering)
    )
    def test_result_is_ignored(self, result: Any, make: Any) -> None:
        """[C9] The result of ``terminate`` is ignored."""
        client = self.open(Recorder(terminate=make(result)))
        client.close()
        self.lose()
        self.assert_ended(client, LocalClose(1000, ""))

    def test_asynchronous_terminate_is_awaited(self) -> None:
        """The client ends once an asynchronous ``terminate`` has returned."""
        answer: Deferred[Any] = Deferred()

        async def terminate(reason: Any, state: Any) -> None:
            await answer

        client = self.open(Recorder(terminate=terminate))
        ended, again = client.terminated(), client.stop()
        self.lose()
        self.clock.advance(2)
        self.assertNoResult(ended)
        self.assertNotEqual(client.status, "terminated")
        answer.callback(None)
        self.assertEqual(self.successResultOf(ended), Shutdown(""))
        self.assertEqual(self.successResultOf(again), Shutdown(""))
        self.assert_ended(client, Shutdown(""))

    def test_runs_once_however_many_ends_there_are(self) -> None:
        """[D5] A crash, close, stop and drop at the same time call ``terminate`` once."""
        boom = Boom()
        handler = Recorder(handle_frame=boom)
        client = self.open(handler)
        self.peer.send(text("x") + close(1000))
        client.close(4000)
        client.stop()
        self.peer.drop()
        client.stop()
        self.assert_ended(client, boom)
        client.stop()
        self.step()
        self.assert_terminated_once(handler, boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_each_terminated_is_its_own(self) -> None:
        """Each call of ``terminated`` returns its own Deferred, before and after the end."""
        client = self.open(Recorder())
        first, second = client.terminated(), client.terminated()
        first.addCallback(lambda reason: "changed")
        self.lose()
        self.assertEqual(self.successResultOf(first), "changed")
        self.assertIsInstance(self.successResultOf(second), ConnectionDropped)
        self.assertIsInstance(self.successResultOf(client.terminated()), ConnectionDropped)

    def test_cancelling_terminated(self) -> None:
        """Cancelling a Deferred of ``terminated`` affects neither the client nor the others."""
        client = self.open(Recorder())
        first, second = client.terminated(), client.terminated()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(client.status, "open")
        self.lose()
        self.assertIsInstance(self.successResultOf(second), ConnectionDropped)

    def test_an_exception_is_no_errback(self) -> None:
        """``terminated`` fires with an exception as its result."""
        boom = Boom()
        client = self.open(Recorder(handle_frame=boom))
        ended = client.terminated()
        self.peer.send(text("x"))
        self.lose()
        self.assertIs(self.successResultOf(ended), boom)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
