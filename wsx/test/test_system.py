"""Tests of wsx.system: the requests of ``client.sys`` in each state, status, and ``terminate``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, succeed
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

import wsx
from wsx import NotConnectedError, Ok, Reconnect
from wsx.test.support import Recorder, case, text
from wsx.test.support.each import each
from wsx.test.support.system import (
    AT_ONCE,
    BUSY,
    DELAY,
    ENDING,
    FIRST,
    KEYS,
    LIVE,
    NEW,
    NOT_ENDING,
    STATUS,
    Second,
    SystemCase,
)


class EveryStateTests(SystemCase):
    """[Y1] [Y3] Each request in each state."""

    @each(STATUS)
    def test_get_state(self, state: str) -> None:
        """[Y1] [Y3] ``get_state`` works in every state of the client, also after its end."""
        client = self.enter(state)
        self.assertEqual(client.sys.get_state(), FIRST)

    @each(STATUS)
    def test_get_status(self, state: str) -> None:
        """[Y1] [Y3] ``get_status`` has its keys and the right values in every state."""
        client = self.enter(state)
        status = client.sys.get_status()
        self.assertEqual(set(status), KEYS)
        self.assertEqual(status["status"], STATUS[state])
        self.assertIs(status["handler"], Recorder)
        self.assertIsNone(status["version"])
        self.assertEqual(status["state"], FIRST)
        self.assertEqual(status["conn"], client.conn)
        self.assertEqual(status["mailbox"], 0)
        self.assertIs(status["suspended"], state == "suspended")

    @each(AT_ONCE)
    def test_replace_state_at_once(self, state: str) -> None:
        """[Y1] [Y3] While no callback is running, the state is replaced at once."""
        client = self.enter(state)
        replaced = client.sys.replace_state(lambda state: (state, NEW))
        self.assertEqual(self.successResultOf(replaced), (FIRST, NEW))
        self.assertEqual(client.sys.get_state(), (FIRST, NEW))

    @each(AT_ONCE)
    def test_replace_state_reaches_the_handler(self, state: str) -> None:
        """[Y1] [Y3] The next callback receives the new state, in whatever state it was replaced."""
        client = self.enter(state)
        client.sys.replace_state(lambda _: NEW)
        self.end(client)
        if state != "not initialised yet":
            self.assertEqual(self.handler.calls[-1][::2], ("terminate", NEW))

    @each(BUSY)
    def test_replace_state_waits(self, state: str) -> None:
        """[Y1] While a callback is running, its result is applied before the state is replaced."""
        client = self.enter(state)
        replaced = client.sys.replace_state(lambda state: (state, NEW))
        self.assertNoResult(replaced)
        self.assertEqual(client.sys.get_state(), FIRST)
        callback = BUSY[state]
        answer = Reconnect("answered") if callback == "handle_disconnect" else Ok("answered")
        self.settle(answer if callback else "answered")
        self.assertEqual(self.successResultOf(replaced), ("answered", NEW))

    @each(AT_ONCE)
    def test_change_code_at_once(self, state: str) -> None:
        """[Y6] [Y3] While no callback is running, the class is changed at once."""
        client = self.enter(state)
        self.assertIsNone(self.successResultOf(client.sys.change_code(Second, "1", "more")))
        self.assertIs(type(self.handler), Second)
        self.assertIs(client.handler, self.handler)
        self.assertEqual(self.handler.calls[-1], ("code_change", ("1", "more"), FIRST))
        self.assertEqual(client.sys.get_state(), (FIRST, "converted"))
        self.assertEqual(client.sys.get_status()["version"], "2")

    @each(BUSY)
    def test_change_code_waits(self, state: str) -> None:
        """[Y6] While a callback is running, its result is applied before ``code_change``."""
        client = self.enter(state)
        changed = client.sys.change_code(Second)
        self.assertNoResult(changed)
        self.assertIs(client.sys.get_status()["handler"], Recorder)
        callback = BUSY[state]
        answer = Reconnect("answered") if callback == "handle_disconnect" else Ok("answered")
        self.settle(answer if callback else "answered")
        self.successResultOf(changed)
        self.assertEqual(client.sys.get_state(), ("answered", "converted"))

    @each(
        (
            lambda client: client.sys.replace_state(lambda _: NEW),
            lambda client: client.sys.change_code(Second),
        )
    )
    def test_while_terminate_is_pending(self, request: Any) -> None:
        """[Y3] A request that waits for ``terminate`` fails when the client has ended."""
        client = self.enter("terminate pending")
        asked = request(client)
        self.assertNoResult(asked)
        self.settle()
        error = self.failureResultOf(asked, NotConnectedError).value
        self.assertEqual(error.connection_state, "terminated")
        self.assertEqual(client.sys.get_state(), FIRST)
        self.assertIs(type(self.handler), Recorder)

    @each(LIVE)
    def test_suspend_and_resume(self, state: str) -> None:
        """[Y4] [Y3] ``suspend`` and ``resume`` take effect at once in every state.

        The status shows it.
        """
        client = self.enter(state)
        self.assertIsNone(client.sys.suspend())  # type: ignore[func-returns-value]
        self.assertIs(client.sys.get_status()["suspended"], True)
        self.assertIsNone(client.sys.resume())  # type: ignore[func-returns-value]
        self.assertIs(client.sys.get_status()["suspended"], False)

    @each(LIVE)
    def test_terminate_while_suspended(self, state: str) -> None:
        """[Y4] A client that was suspended in any state calls ``terminate`` once."""
        client = self.enter(state)
        client.sys.suspend()
        calls = len(self.handler.calls)
        ended = client.terminated()
        client.stop()
        self.clock.pump([1.0] * 20)
        self.assertIsNotNone(self.successResultOf(ended))
        expected = [] if state == "not initialised yet" else ["terminate"]
        if state == "terminate pending":
            expected = []  # ``terminate`` was called before.
        self.assertEqual(self.handler.names[calls:], expected)

    @each(NOT_ENDING)
    def test_trace(self, state: str) -> None:
        """[Y5] [Y3] Trace lines begin and end at once in every state."""
        client = self.enter(state)
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertIsNone(client.sys.trace(True))  # type: ignore[func-returns-value]
        client.cast("one")
        self.assertIsNone(client.sys.trace(False))  # type: ignore[func-returns-value]
        client.cast("two")
        expected = f"*DBG* {client!r} received cast: 'one'\n"
        self.assertEqual(output.getvalue(), expected)

    def test_trace_of_the_end(self) -> None:
        """[Y5] [Y3] A trace that begins while the client is ending still shows the end."""
        client = self.enter("ending")
        output = StringIO()
        self.patch(sys, "stdout", output)
        client.sys.trace(True)
        self.peer.drop()
        self.step()
        self.assertIn("terminating: ", output.getvalue())

    @each(LIVE)
    def test_log(self, state: str) -> None:
        """[Y5] [Y3] The log begins at once in every state, and is kept after the end."""
        client = self.enter(state)
        self.assertIsNone(client.sys.log(True))
        if state not in ENDING:
            client.cast("one")
            self.assertEqual(client.sys.log("get"), [(0.0, "received cast: 'one'")])
        self.end(client)
        if state not in (*ENDING, "not initialised yet"):
            self.assertIn("terminating", str(client.sys.log("get")))

    @each(LIVE)
    def test_statistics(self, state: str) -> None:
        """[Y5] [Y3] Statistics begin at once in every state, and are kept after the end."""
        client = self.enter(state)
        self.assertIsNone(client.sys.statistics(True))
        self.assertEqual(client.sys.statistics("get"), {})
        if state not in ENDING:
            client.cast("one")
            self.assertEqual(client.sys.statistics("get"), {"received cast": 1})
        self.end(client)
        if state not in (*ENDING, "not initialised yet"):
            self.assertEqual((client.sys.statistics("get") or {})["terminating"], 1)

    @each(LIVE)
    def test_log_to_file(self, state: str) -> None:
        """[Y5] [Y3] Logging to a file begins at once in every state."""
        client = self.enter(state)
        path = Path(self.mktemp())
        self.assertIsNone(client.sys.log_to_file(path))  # type: ignore[func-returns-value]
        if state not in ENDING:
            client.cast("one")
            self.assertIn("received cast: 'one'", path.read_text())
        self.end(client)
        if state not in ("terminate pending", "not initialised yet"):
            self.assertIn("terminating: ", path.read_text().splitlines()[-1])

    @each(NOT_ENDING)
    def test_terminate(self, state: str) -> None:
        """[Y3] In every state, ``terminate`` ends the client with this reason and 1001."""
        reason = object()
        client = self.enter(state)
        told = client.terminated()
        was_open = client.status == "open"
        ended = client.sys.terminate(reason)
        if was_open:
            self.assertEqual(self.peer.received(), [(8, (1001).to_bytes(2, "big"))])
            self.assertNoResult(ended)
        self.clock.pump([1.0] * 20)
        self.assertIs(self.successResultOf(ended), reason)
        self.assertIs(self.successResultOf(told), reason)
        terminated = self.handler.arguments("terminate")
        self.assertEqual(terminated, [] if state == "not initialised yet" else [reason])

    @each(ENDING)
    def test_terminate_while_ending(self, state: str) -> None:
        """[Y3] A client that is already ending keeps its own reason."""
        client = self.enter(state)
        ended = client.sys.terminate("another")
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(self.handler.arguments("terminate"), [wsx.Shutdown()])

    @each(LIVE)
    def test_abort(self, state: str) -> None:
        """``abort`` ends a client within a step in every state, and calls ``terminate``."""
        client = self.enter(state)
        ended = client.terminated()
        client.abort()
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        terminated = self.handler.arguments("terminate")
        expected = [] if state == "not initialised yet" else [wsx.Shutdown()]
        self.assertEqual(terminated, expected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(STATUS)
    def test_abort_twice(self, state: str) -> None:
        """A second ``abort`` has no effect."""
        client = self.enter(state)
        client.abort()
        client.abort()
        self.step()
        client.abort()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertLessEqual(len(self.handler.arguments("terminate")), 1)

    def test_abort_cuts(self) -> None:
        """``abort`` aborts TCP without waiting for the server's close frame."""
        client = self.opened()
        client.abort()
        self.assertTrue(self.peer.transport.aborted)

    def test_abort_cancels_terminate(self) -> None:
        """``abort`` cancels a ``terminate`` that takes longer than a step."""
        client = self.opened(terminate=self.waits)
        client.abort()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertTrue(self.cancelled)


class EndedTests(SystemCase):
    """[Y1] What remains of a client after its end."""

    def setUp(self) -> None:
        super().setUp()
        self.handler = Recorder()
        self.client = self.open(self.handler, FIRST, debug=["log", "statistics"])
        self.client.sys.replace_state(lambda _: NEW)
        self.client.cast("x")
        self.step()
        self.end(self.client)

    def test_last_values(self) -> None:
        """[Y1] [Y5] State, status, log and statistics keep their last values."""
        self.assertEqual(self.client.sys.get_state(), NEW)
        status = self.client.sys.get_status()
        self.assertEqual((status["state"], status["status"]), (NEW, "terminated"))
        log = self.client.sys.log("get")
        assert log is not None
        self.assertIn("terminating: ", log[-1][1])
        self.assertEqual(status["log"], log)
        counts = self.client.sys.statistics("get")
        assert counts is not None
        self.assertEqual((counts["received cast"], counts["terminating"]), (1, 1))
        self.assertEqual(status["statistics"], counts)

    def test_switches(self) -> None:
        """[Y4] [Y5] Every switch fails with an error that says why."""
        path = self.mktemp()
        requests: dict[str, Callable[[], Any]] = {
            "suspend": self.client.sys.suspend,
            "resume": self.client.sys.resume,
            "trace on": lambda: self.client.sys.trace(True),
            "trace off": lambda: self.client.sys.trace(False),
            "log": lambda: self.client.sys.log(True),
            "log off": lambda: self.client.sys.log(False),
            "log n": lambda: self.client.sys.log(5),
            "log print": lambda: self.client.sys.log("print"),
            "statistics": lambda: self.client.sys.statistics(True),
            "statistics off": lambda: self.client.sys.statistics(False),
            "log_to_file": lambda: self.client.sys.log_to_file(path),
            "log_to_file off": lambda: self.client.sys.log_to_file(False),
        }
        for name, request in requests.items():
            with case(name):
                error = self.assertRaises(NotConnectedError, request)
                self.assertEqual(error.connection_state, "terminated")
        self.assertFalse(Path(path).exists())
        self.assertEqual(self.client.sys.get_status()["suspended"], False)

    def test_deferreds(self) -> None:
        """[Y1] [Y6] Requests that return a Deferred fail through it."""
        calls = len(self.handler.calls)
        for asked in (
            self.client.sys.replace_state(lambda _: "too late"),
            self.client.sys.change_code(Second),
            self.client.sys.terminate("too late"),
        ):
            error = self.failureResultOf(asked, NotConnectedError).value
            self.assertEqual(error.connection_state, "terminated")
        self.assertEqual(self.client.sys.get_state(), NEW)
        self.assertIs(type(self.handler), Recorder)
        self.assertEqual(len(self.handler.calls), calls)

    def test_the_reason_stays(self) -> None:
        """[Y1] ``terminate`` does not change the reason of a client that has ended."""
        self.client.sys.terminate("too late").addErrback(lambda failure: None)
        self.assertEqual(self.successResultOf(self.client.terminated()), wsx.Shutdown())


class StatusTests(SystemCase):
    """[Y1] The values of ``get_status``."""

    def test_name_and_version(self) -> None:
        """[Y1] The status has the client's name, and the handler's class with its version."""
        name = "wsx.test.test_system"
        client = self.open(Second(), FIRST, name=name)
        status = client.sys.get_status()
        self.assertEqual((status["name"], status["version"]), (name, "2"))
        self.assertIs(status["handler"], Second)
        self.end(client)

    def test_conn_is_redacted(self) -> None:
        """The Conn in the status has no secrets; ``client.conn`` has them."""
        client = self.open(Second(), extra_headers={"X-Token": "s3cr3t"})
        self.assertEqual(client.sys.get_status()["conn"].extra_headers, (("X-Token", "..."),))
        self.assertEqual(client.conn.extra_headers, (("X-Token", "s3cr3t"),))

    def test_version_of_the_class(self) -> None:
        """[Y1] The version is that of the class, not an attribute of the instance."""
        handler = Second()
        handler.version = "of the object"
        self.assertEqual(self.open(handler).sys.get_status()["version"], "2")

    def test_mailbox(self) -> None:
        """[Y1] ``mailbox`` counts the casts and infos that wait, but not frames."""
        client = self.opened(handle_cast=self.waits)
        client.cast(1)
        self.step()
        for message in range(3):
            client.info(message)
        self.peer.send(text("x"))
        self.assertEqual(client.sys.get_status()["mailbox"], 3)

    def test_mailbox_while_connecting(self) -> None:
        """[Y1] ``mailbox`` counts messages that wait for a connection."""
        client = self.enter("response outstanding")
        client.cast(1)
        client.info(2)
        self.assertEqual(client.sys.get_status()["mailbox"], 2)

    def test_conn(self) -> None:
        """[Y1] ``conn`` of an open client has the server's response.

        While connecting it has none.
        """
        client = self.enter("response outstanding")
        self.assertIsNone(client.sys.get_status()["conn"].resp_status)
        self.peer.answer()
        self.assertEqual(client.sys.get_status()["conn"].resp_status, 101)

    def test_attempt_number_counts(self) -> None:
        """[Y1] The attempt number is that of the last ``Disconnect``."""
        client = self.enter("waiting to reconnect")
        for number in (1, 2, 3):
            self.assertEqual(client.sys.get_status()["attempt_number"], number)
            self.assertEqual(self.handler.calls[-1][1].attempt_number, number)
            self.clock.advance(DELAY)
            self.peer.drop()
            self.step()

    @each(("by time", "by mark_healthy"))
    def test_attempt_number_once_healthy(self, healthy: str) -> None:
        """[Y1] The attempt number is reset once a connection is healthy."""
        client = self.enter("waiting to reconnect")
        self.clock.advance(DELAY)
        self.peer.drop()
        self.step()
        self.assertEqual(client.sys.get_status()["attempt_number"], 2)
        self.clock.advance(DELAY)
        self.peer.answer()
        self.step()
        self.assertEqual(client.sys.get_status()["attempt_number"], 2)
        if healthy == "by time":
            self.clock.advance(5.0)
        else:
            client.mark_healthy()
        self.assertLessEqual(client.sys.get_status()["attempt_number"], 1)

    def test_off(self) -> None:
        """[Y1] [Y5] Log and statistics are empty if they are off."""
        status = self.opened().sys.get_status()
        self.assertFalse(status["log"])
        self.assertIsNone(status["statistics"])

    def test_copies(self) -> None:
        """[Y1] Changing the returned values does not change the client."""
        client = self.open(Recorder(), debug=["log", "statistics"])
        status = client.sys.get_status()
        log = client.sys.log("get")
        assert log is not None
        for given in (status["log"], status["statistics"], log):
            given.clear()
        statistics = client.sys.statistics("get")
        assert statistics is not None
        statistics.clear()
        self.assertEqual(len(client.sys.log("get") or ()), 2)
        self.assertEqual(len(client.sys.statistics("get") or ()), 2)

    def test_no_secrets(self) -> None:
        """[Y1] The ``repr`` of a status shows no password."""
        client = self.open(Recorder(), url="ws://user:s3cr3t@example.test/?token=s3cr3t")
        self.assertNotIn("s3cr3t", repr(client.sys.get_status()))


class FormatStatusTests(SystemCase):
    """[Y2] ``format_status``."""

    def status_with(self, function: Callable[[dict[str, Any]], Any]) -> tuple[Any, Sequence[Any]]:
        """Return the status of a client with this ``format_status``, and the logged events."""

        class Formatting(Recorder):
            def format_status(self, status: dict[str, Any]) -> Any:
                return function(status)

        client = self.open(Formatting(), FIRST)
        with capturedLogs() as events:
            status = client.sys.get_status()
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(client.status, "open")
        return status, events

    def test_optional(self) -> None:
        """[Y2] By default, the status is shown as it is and nothing is logged."""
        client = self.opened()
        with capturedLogs() as events:
            self.assertEqual(set(client.sys.get_status()), KEYS)
        self.assertEqual(list(events), [])

    def test_used(self) -> None:
        """[Y2] The result of ``format_status`` is shown."""
        status, events = self.status_with(lambda status: {"only": status["state"]})
        self.assertEqual(status, {"only": FIRST})
        self.assertEqual(list(events), [])

    def test_failing(self) -> None:
        """[Y2] If ``format_status`` raises, the default is shown, and the error is logged once."""

        def fail(status: dict[str, Any]) -> Any:
            status.clear()
            raise RuntimeError("on purpose")

        status, events = self.status_with(fail)
        self.assertEqual(set(status), KEYS)
        self.assertEqual(status["state"], FIRST)
        self.assertEqual(len(events), 1)

    def test_odd(self) -> None:
        """[Y2] If the result is not a dict, the default is shown, and the error is logged."""

        async def coroutine() -> dict[str, Any]:
            return {}

        odd: dict[str, Callable[[], Any]] = {
            "None": lambda: None,
            "a str": lambda: "status",
            "a list": lambda: [("state", 1)],
            "a coroutine": coroutine,
            "a Deferred": lambda: succeed({}),
            "the class dict": lambda: dict,
        }
        for label, give in odd.items():
            with case(label):
                status, events = self.status_with(lambda _, give=give: give())  # type: ignore[misc]
                self.assertEqual(set(status), KEYS)
                self.assertEqual(len(events), 1)

    @each(STATUS)
    def test_every_state(self, state: str) -> None:
        """[Y2] ``format_status`` is used in every state, also after the end."""
        client = self.enter(state)
        self.handler.format_status = lambda status: {"mine": 1}  # type: ignore[method-assign]
        self.assertEqual(client.sys.get_status(), {"mine": 1})

    def test_for_nothing_else(self) -> None:
        """[Y2] ``get_state`` does not use ``format_status``."""
        client = self.opened()
        self.handler.format_status = lambda status: {}  # type: ignore[method-assign]
        self.assertEqual(client.sys.get_state(), FIRST)


class TerminateTests(SystemCase):
    """``sys.terminate`` with reasons of all kinds."""

    def test_start_fails(self) -> None:
        """[Y3] If a client was not initialised, ``start`` fails without ``terminate``."""
        error = RuntimeError("on purpose")
        for reason, expected in ((error, RuntimeError), ("odd", wsx.ClientEnded)):
            with case(reason):
                handler = Recorder()
                started = self.start(handler)
                ended = handler.client.sys.terminate(reason)
                self.step()
                self.failureResultOf(started, expected)
                self.assertIs(self.successResultOf(ended), reason)
                self.assertEqual(handler.names, [])

    @each((RuntimeError("x"), None, wsx.LocalClose(1000, ""), 5))
    def test_abnormal_reason(self, reason: Any) -> None:
        """[Y3] The close code is 1001 for every reason, and no traceback is logged."""
        client = self.enter("open")
        ended = client.sys.terminate(reason)
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe9")])
        self.peer.drop()
        self.step()
        self.assertIs(self.successResultOf(ended), reason)
        self.assertEqual(self.handler.names[1:], ["terminate"])

    def test_failure_as_reason(self) -> None:
        """[Y3] A Failure can be a reason; ``terminated`` still fires with a result."""
        client = self.opened()
        failure = Failure(RuntimeError("on purpose"))
        told, ended = client.terminated(), client.sys.terminate(failure)
        self.peer.drop()
        self.step()
        for deferred in (told, ended, client.terminated()):
            reason = self.successResultOf(deferred)
            self.assertIn(reason, (failure, failure.value))

    def test_inside_a_callback(self) -> None:
        """[Y3] A callback can terminate its own client."""
        client = self.opened()
        self.handler.answers["handle_cast"] = lambda message, state: (
            client.sys.terminate("reason") and None
        )
        client.cast("x")
        client.cast("dropped")
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_cast", "terminate"])
        self.assertEqual(self.handler.calls[-1][1], "reason")

    def test_cancelled(self) -> None:
        """[Y3] Cancelling the Deferred does not stop the client from ending."""
        client = self.opened()
        ended = client.sys.terminate("reason")
        ended.cancel()
        self.failureResultOf(ended, CancelledError)
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(client.terminated()), "reason")
