"""Tests of wsx.system: ``client.sys``, in every state of a client."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

import wsx
from wsx import Close, NotConnectedError, Ok, Reconnect, Reply
from wsx.test.support import MemoryCase, MemoryServer, Recorder, case, close, server_frame, text
from wsx.test.support.each import each

FIRST = "the first state"
NEW = "a new state"
DELAY = 7.0

# What a client's status is in each of them; `enter` gets it there.
STATUS = {
    "TCP outstanding": "connecting",
    "response outstanding": "connecting",
    "not initialised yet": "connecting",
    "handle_connect pending": "open",
    "open": "open",
    "callback pending": "open",
    "request pending": "open",
    "suspended": "open",
    "closing by us": "closing",
    "closing by the peer": "closing",
    "closing for an error": "closing",
    "handle_disconnect pending": "disconnected",
    "waiting to reconnect": "disconnected",
    "ending": "closing",
    "terminate pending": "disconnected",
    "terminated": "terminated",
}
LIVE = [state for state in STATUS if state != "terminated"]
# Requests that go between two events wait there, and here they are served at once.
BUSY = {
    "handle_connect pending": "handle_connect",
    "callback pending": "handle_cast",
    "handle_disconnect pending": "handle_disconnect",
    "request pending": "",
}
AT_ONCE = [state for state in LIVE if state not in BUSY and state != "terminate pending"]
ENDING = ("ending", "terminate pending")
NOT_ENDING = [state for state in LIVE if state not in ENDING]

KEYS = {
    "name",
    "status",
    "handler",
    "version",
    "conn",
    "attempt_number",
    "mailbox",
    "statistics",
    "log",
    "suspended",
    "state",
}


def again(status: Any, state: Any) -> Any:
    """An answer of ``handle_disconnect``."""
    return Reconnect(state, after=DELAY)


class Second(Recorder):
    """A later version of the tests' handler."""

    version = "2"

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        self.calls.append(("code_change", (old_version, extra), state))
        answer = self.answers.get("code_change", Ok((state, "converted")))
        if isinstance(answer, BaseException):
            raise answer
        return answer(self, state) if callable(answer) else answer


class SystemCase(MemoryCase):
    """A client and what is asked of it."""

    handler: Recorder
    pending: Deferred[Any]

    def settle(self, answer: Any = None) -> None:
        """Answers the pending callback."""
        self.pending.callback(answer)
        self.step()

    def waits(self, *_: object) -> Deferred[Any]:
        """An answer that comes with ``settle``."""
        self.cancelled = False
        self.pending = Deferred(self._cancel)
        return self.pending

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled = True

    def opened(self, **answers: Any) -> wsx.Client[Any]:
        """Opens a client whose Recorder answers so."""
        self.handler = Recorder(**answers)
        return self.open(self.handler, FIRST)

    def notes(self, *names: str) -> list[Any]:
        """The arguments of these callbacks, in order."""
        return [argument for name, argument, _ in self.handler.calls if name in names]

    def end(self, client: wsx.Client[Any]) -> Any:
        """Ends a client without waiting for anybody; gives the reason."""
        ended = client.terminated()
        client.abort()
        self.step()
        self.step()
        return self.successResultOf(ended)

    # The states

    def enter(self, state: str) -> wsx.Client[Any]:
        """Return a client in this state; a test may do so once."""
        self.handler = Recorder(handle_disconnect=again)
        method = "enter_" + state.replace(" ", "_")
        client: wsx.Client[Any] = getattr(self, method)()
        self.assertEqual(client.status, STATUS[state])
        return client

    def begun(self, **options: Any) -> wsx.Client[Any]:
        return self.successResultOf(self.start(self.handler, FIRST, async_=True, **options))

    def enter_open(self) -> wsx.Client[Any]:
        return self.open(self.handler, FIRST)

    def enter_TCP_outstanding(self) -> wsx.Client[Any]:
        self.server.silent = True
        return self.begun()

    def enter_response_outstanding(self) -> wsx.Client[Any]:
        return self.begun()

    def enter_not_initialised_yet(self) -> wsx.Client[Any]:
        self.start(self.handler, FIRST).addErrback(lambda failure: None)
        return self.handler.client

    def enter_handle_connect_pending(self) -> wsx.Client[Any]:
        self.handler.answers["handle_connect"] = self.waits
        client = self.begun()
        self.peer.answer()
        self.step()
        return client

    def enter_callback_pending(self) -> wsx.Client[Any]:
        self.handler.answers["handle_cast"] = self.waits
        client = self.enter_open()
        client.cast("x")
        self.step()
        self.assertEqual(self.handler.names[-1], "handle_cast")
        return client

    def enter_request_pending(self) -> wsx.Client[Any]:
        client = self.enter_open()
        client.sys.replace_state(self.waits).addErrback(lambda failure: None)
        return client

    def enter_suspended(self) -> wsx.Client[Any]:
        client = self.enter_open()
        client.sys.suspend()
        return client

    def enter_closing_by_us(self) -> wsx.Client[Any]:
        client = self.enter_open()
        client.close()
        return client

    def enter_closing_by_the_peer(self) -> wsx.Client[Any]:
        client = self.enter_open()
        self.peer.send(close(1000))
        return client

    def enter_closing_for_an_error(self) -> wsx.Client[Any]:
        client = self.enter_open()
        self.peer.send(server_frame(3))
        return client

    def enter_handle_disconnect_pending(self) -> wsx.Client[Any]:
        self.handler.answers["handle_disconnect"] = self.waits
        client = self.enter_open()
        self.peer.drop()
        self.step()
        return client

    def enter_waiting_to_reconnect(self) -> wsx.Client[Any]:
        client = self.enter_open()
        self.peer.drop()
        self.step()
        return client

    def enter_ending(self) -> wsx.Client[Any]:
        client = self.enter_open()
        client.stop()
        return client

    def enter_terminate_pending(self) -> wsx.Client[Any]:
        self.handler.answers["terminate"] = self.waits
        client = self.enter_ending()
        self.peer.drop()
        self.step()
        self.assertEqual(self.handler.names[-1], "terminate")
        return client

    def enter_terminated(self) -> wsx.Client[Any]:
        client = self.enter_open()
        self.end(client)
        return client


class EveryStateTests(SystemCase):
    """[Y1] [Y3] each request in each state."""

    @each(STATUS)
    def test_get_state(self, state: str) -> None:
        """[Y1] [Y3] the state is given in every state, after the end the last one."""
        client = self.enter(state)
        self.assertEqual(client.sys.get_state(), FIRST)

    @each(STATUS)
    def test_get_status(self, state: str) -> None:
        """[Y1] [Y3] the status is given in every state, with its keys and the right values."""
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
        """[Y1] [Y3] where no callback is under way, the state is replaced at once."""
        client = self.enter(state)
        replaced = client.sys.replace_state(lambda state: (state, NEW))
        self.assertEqual(self.successResultOf(replaced), (FIRST, NEW))
        self.assertEqual(client.sys.get_state(), (FIRST, NEW))

    @each(AT_ONCE)
    def test_replace_state_reaches_the_handler(self, state: str) -> None:
        """[Y1] [Y3] the next callback gets the new state, in whatever state it was replaced."""
        client = self.enter(state)
        client.sys.replace_state(lambda _: NEW)
        self.end(client)
        if state != "not initialised yet":
            self.assertEqual(self.handler.calls[-1][::2], ("terminate", NEW))

    @each(BUSY)
    def test_replace_state_waits(self, state: str) -> None:
        """[Y1] while a callback is under way, its answer comes first and is then replaced."""
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
        """[Y6] [Y3] where no callback is under way, the class is changed at once."""
        client = self.enter(state)
        self.assertIsNone(self.successResultOf(client.sys.change_code(Second, "1", "more")))
        self.assertIs(type(self.handler), Second)
        self.assertIs(client.handler, self.handler)
        self.assertEqual(self.handler.calls[-1], ("code_change", ("1", "more"), FIRST))
        self.assertEqual(client.sys.get_state(), (FIRST, "converted"))
        self.assertEqual(client.sys.get_status()["version"], "2")

    @each(BUSY)
    def test_change_code_waits(self, state: str) -> None:
        """[Y6] while a callback is under way, its answer comes before ``code_change``."""
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
        """[Y3] ``terminate``'s answer is the end: what waited for it fails."""
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
        """[Y4] [Y3] both are taken at once in every state, and shown."""
        client = self.enter(state)
        self.assertIsNone(client.sys.suspend())
        self.assertIs(client.sys.get_status()["suspended"], True)
        self.assertIsNone(client.sys.resume())
        self.assertIs(client.sys.get_status()["suspended"], False)

    @each(LIVE)
    def test_terminate_while_suspended(self, state: str) -> None:
        """[Y4] a client that was suspended in any state calls ``terminate`` all the same, once."""
        client = self.enter(state)
        client.sys.suspend()
        calls = len(self.handler.calls)
        ended = client.terminated()
        client.stop()
        self.clock.pump([1.0] * 20)
        self.assertIsNotNone(self.successResultOf(ended))
        expected = [] if state == "not initialised yet" else ["terminate"]
        if state == "terminate pending":
            expected = []  # it was called before
        self.assertEqual(self.handler.names[calls:], expected)

    @each(NOT_ENDING)
    def test_trace(self, state: str) -> None:
        """[Y5] [Y3] trace lines begin and end at once in every state."""
        client = self.enter(state)
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertIsNone(client.sys.trace(True))
        client.cast("one")
        self.assertIsNone(client.sys.trace(False))
        client.cast("two")
        expected = f"*DBG* {client!r} received cast: 'one'\n"
        self.assertEqual(output.getvalue(), expected)

    def test_trace_of_the_end(self) -> None:
        """[Y5] [Y3] tracing that begins when the client is ending still shows the end."""
        client = self.enter("ending")
        output = StringIO()
        self.patch(sys, "stdout", output)
        client.sys.trace(True)
        self.peer.drop()
        self.step()
        self.assertIn("terminating: ", output.getvalue())

    @each(LIVE)
    def test_log(self, state: str) -> None:
        """[Y5] [Y3] the log begins at once in every state, and is kept after the end."""
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
        """[Y5] [Y3] counting begins at once in every state, and is kept after the end."""
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
        """[Y5] [Y3] writing to a file begins at once in every state."""
        client = self.enter(state)
        path = Path(self.mktemp())
        self.assertIsNone(client.sys.log_to_file(path))
        if state not in ENDING:
            client.cast("one")
            self.assertIn("received cast: 'one'", path.read_text())
        self.end(client)
        if state not in ("terminate pending", "not initialised yet"):
            self.assertIn("terminating: ", path.read_text().splitlines()[-1])

    @each(NOT_ENDING)
    def test_terminate(self, state: str) -> None:
        """[Y3] the end with this reason, from every state, with ``terminate`` and 1001."""
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
        """[Y3] a client that is ending already ends for its own reason, which is told."""
        client = self.enter(state)
        ended = client.sys.terminate("another")
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(self.handler.arguments("terminate"), [wsx.Shutdown()])

    @each(LIVE)
    def test_abort(self, state: str) -> None:
        """``abort`` ends a client within a step, from every state, and calls ``terminate``."""
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
        """A second ``abort`` does nothing, wherever the first one led."""
        client = self.enter(state)
        client.abort()
        client.abort()
        self.step()
        client.abort()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertLessEqual(len(self.handler.arguments("terminate")), 1)

    def test_abort_cuts(self) -> None:
        """``abort`` does not wait for the peer's close frame: TCP is cut."""
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
    """[Y1] what is left of a client after its end."""

    def setUp(self) -> None:
        super().setUp()
        self.handler = Recorder()
        self.client = self.open(self.handler, FIRST, debug=["log", "statistics"])
        self.client.sys.replace_state(lambda _: NEW)
        self.client.cast("x")
        self.step()
        self.end(self.client)

    def test_last_values(self) -> None:
        """[Y1] [Y5] state, status, log and statistics are as they were."""
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
        """[Y4] [Y5] every switch fails, and says why."""
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
        """[Y1] [Y6] the requests that answer with a Deferred fail through it."""
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
        """[Y1] a late ``terminate`` changes nothing about how the client ended."""
        self.client.sys.terminate("too late").addErrback(lambda failure: None)
        self.assertEqual(self.successResultOf(self.client.terminated()), wsx.Shutdown())


class StatusTests(SystemCase):
    """[Y1] the values of ``get_status``."""

    def test_name_and_version(self) -> None:
        """[Y1] the client's name, and the handler's class with its version."""
        name = "wsx.test.test_system"
        client = self.open(Second(), FIRST, name=name)
        status = client.sys.get_status()
        self.assertEqual((status["name"], status["version"]), (name, "2"))
        self.assertIs(status["handler"], Second)
        self.end(client)

    def test_version_of_the_class(self) -> None:
        """[Y1] the version is the class's, whatever the object has under that name."""
        handler = Second()
        handler.version = "of the object"
        self.assertEqual(self.open(handler).sys.get_status()["version"], "2")

    def test_mailbox(self) -> None:
        """[Y1] the casts and infos that wait, frames not counted."""
        client = self.opened(handle_cast=self.waits)
        client.cast(1)
        self.step()
        for message in range(3):
            client.info(message)
        self.peer.send(text("x"))
        self.assertEqual(client.sys.get_status()["mailbox"], 3)

    def test_mailbox_while_connecting(self) -> None:
        """[Y1] what waits for a connection counts too."""
        client = self.enter("response outstanding")
        client.cast(1)
        client.info(2)
        self.assertEqual(client.sys.get_status()["mailbox"], 2)

    def test_conn(self) -> None:
        """[Y1] an open client's conn has the server's answer, a connecting one's has not."""
        client = self.enter("response outstanding")
        self.assertIsNone(client.sys.get_status()["conn"].resp_status)
        self.peer.answer()
        self.assertEqual(client.sys.get_status()["conn"].resp_status, 101)

    def test_attempt_number_counts(self) -> None:
        """[Y1] the attempt number is that of the last ``Disconnect``."""
        client = self.enter("waiting to reconnect")
        for number in (1, 2, 3):
            self.assertEqual(client.sys.get_status()["attempt_number"], number)
            self.assertEqual(self.handler.calls[-1][1].attempt_number, number)
            self.clock.advance(DELAY)
            self.peer.drop()
            self.step()

    @each(("by time", "by mark_healthy"))
    def test_attempt_number_once_healthy(self, healthy: str) -> None:
        """[Y1] with a connection that has become healthy the count is back."""
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
        """[Y1] [Y5] log and statistics that are not kept are empty."""
        status = self.opened().sys.get_status()
        self.assertFalse(status["log"])
        self.assertIsNone(status["statistics"])

    def test_copies(self) -> None:
        """[Y1] who changes what was given does not change the client."""
        client = self.open(Recorder(), debug=["log", "statistics"])
        status = client.sys.get_status()
        for given in (status["log"], status["statistics"], client.sys.log("get")):
            given.clear()
        statistics = client.sys.statistics("get")
        assert statistics is not None
        statistics.clear()
        self.assertEqual(len(client.sys.log("get") or ()), 2)
        self.assertEqual(len(client.sys.statistics("get") or ()), 2)

    def test_no_secrets(self) -> None:
        """[Y1] the repr of a status shows no password."""
        client = self.open(Recorder(), url="ws://user:s3cr3t@example.test/?token=s3cr3t")
        self.assertNotIn("s3cr3t", repr(client.sys.get_status()))


class FormatStatusTests(SystemCase):
    """[Y2] ``format_status``."""

    def status_with(self, function: Callable[[dict[str, Any]], Any]) -> tuple[Any, list[Any]]:
        """Gives the status through a handler that formats it so, and what was logged."""

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
        """[Y2] a handler without one shows the status as it is, without a word."""
        client = self.opened()
        with capturedLogs() as events:
            self.assertEqual(set(client.sys.get_status()), KEYS)
        self.assertEqual(list(events), [])

    def test_used(self) -> None:
        """[Y2] what it answers is shown."""
        status, events = self.status_with(lambda status: {"only": status["state"]})
        self.assertEqual(status, {"only": FIRST})
        self.assertEqual(list(events), [])

    def test_failing(self) -> None:
        """[Y2] where it raises, the default is shown, and the log says so once."""

        def fail(status: dict[str, Any]) -> Any:
            status.clear()
            raise RuntimeError("on purpose")

        status, events = self.status_with(fail)
        self.assertEqual(set(status), KEYS)
        self.assertEqual(status["state"], FIRST)
        self.assertEqual(len(events), 1)

    def test_odd(self) -> None:
        """[Y2] where it answers with something odd, the default is shown, and the log says so."""

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
        """[Y2] it is used in every state, also after the end."""
        client = self.enter(state)
        self.handler.format_status = lambda status: {"mine": 1}  # type: ignore[method-assign]
        self.assertEqual(client.sys.get_status(), {"mine": 1})

    def test_for_nothing_else(self) -> None:
        """[Y2] the state itself is not passed through it."""
        client = self.opened()
        self.handler.format_status = lambda status: {}  # type: ignore[method-assign]
        self.assertEqual(client.sys.get_state(), FIRST)


class ReplaceStateTests(SystemCase):
    """[Y1] ``replace_state``, and the order of requests and events."""

    def test_only_the_state(self) -> None:
        """[Y1] the handler, its attributes and the rest of the status stay."""
        client = self.opened()
        before = client.sys.get_status()
        self.successResultOf(client.sys.replace_state(lambda _: NEW))
        self.assertEqual(client.sys.get_status(), before | {"state": NEW})
        self.assertIs(client.handler, self.handler)
        self.assertEqual(self.handler.names, ["handle_connect"])

    def test_failing(self) -> None:
        """[Y1] a function that fails fails the Deferred, and the state stays."""

        def fail(state: Any) -> Any:
            raise RuntimeError("on purpose")

        async def fail_later(state: Any) -> Any:
            await self.waits()
            raise RuntimeError("on purpose")

        client = self.opened()
        self.failureResultOf(client.sys.replace_state(fail), RuntimeError)
        later = client.sys.replace_state(fail_later)
        self.settle()
        self.failureResultOf(later, RuntimeError)
        self.failureResultOf(client.sys.replace_state(None), TypeError)  # type: ignore[arg-type]
        self.assertEqual(client.sys.get_state(), FIRST)
        client.cast("still there")
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "still there", FIRST))

    def test_coroutine(self) -> None:
        """[Y1] an ``async def`` is waited for; the state before it is shown meanwhile."""

        async def later(state: Any) -> Any:
            return (state, await self.waits())

        client = self.opened()
        replaced = client.sys.replace_state(later)
        self.assertNoResult(replaced)
        self.assertEqual(client.sys.get_state(), FIRST)
        self.settle(NEW)
        self.assertEqual(self.successResultOf(replaced), (FIRST, NEW))
        self.assertEqual(client.sys.get_state(), (FIRST, NEW))

    def test_events_meanwhile(self) -> None:
        """[Y1] what arrives while its function is pending waits, in order, and finds its state."""
        client = self.opened()
        replaced = client.sys.replace_state(self.waits)
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.peer.send(text("4"))
        self.step()
        self.assertEqual(self.handler.names, ["handle_connect"])
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle(NEW)
        self.successResultOf(replaced)
        expected = [wsx.Text("1"), wsx.Text("2"), "3", wsx.Text("4")]
        self.assertEqual([argument for _, argument, _ in self.handler.calls[1:]], expected)
        self.assertEqual({state for _, _, state in self.handler.calls[1:]}, {NEW})
        self.assertFalse(self.peer.transport.reading_paused)

    def test_before_what_waits(self) -> None:
        """[Y1] a request goes before the casts that wait already."""
        client = self.opened()
        client.cast("x")
        self.successResultOf(client.sys.replace_state(lambda _: NEW))
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "x", NEW))

    def test_behind_a_callback(self) -> None:
        """[Y1] behind a pending callback it goes before frames, casts and infos that wait."""
        client = self.opened(handle_info=self.waits)
        client.info("pending")
        self.step()
        client.cast("x")
        self.peer.send(text("y"))
        client.sys.replace_state(lambda state: (state, NEW))
        self.settle(Ok("answered"))
        self.assertEqual({state for _, _, state in self.handler.calls[2:]}, {("answered", NEW)})
        self.assertEqual(self.notes("handle_cast", "handle_frame"), ["x", wsx.Text("y")])

    def in_a_callback(self, ask: Callable[[wsx.Client[Any]], Any]) -> list[Any]:
        """Asks inside the callback of the first of three frames; gives what the others found."""

        def first(frame: Any, state: Any) -> Any:
            if frame == wsx.Text("1"):
                ask(client)
                return Ok("answered")
            return None

        client = self.opened(handle_frame=first)
        self.peer.send(text("1") + text("2") + text("3"))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text(n) for n in "123"])
        return [state for name, _, state in self.handler.calls if name == "handle_frame"][1:]

    def test_inside_a_callback(self) -> None:
        """[Y1] asked inside a callback, it goes after its answer and before the next frame."""
        found = self.in_a_callback(lambda client: client.sys.replace_state(lambda s: (s, NEW)))
        self.assertEqual(found, [("answered", NEW)] * 2)

    def test_inside_a_callback_is_not_at_once(self) -> None:
        """[Y1] nothing is replaced under a callback that is at work."""
        seen: list[Any] = []

        def ask(client: wsx.Client[Any]) -> None:
            seen.append(client.sys.replace_state(lambda _: NEW).called)
            seen.append(client.sys.get_state())

        self.in_a_callback(ask)
        self.assertEqual(seen, [False, FIRST])

    def test_several_inside_a_callback(self) -> None:
        """[Y1] several, asked inside one callback, go in order before the next frame."""

        def ask(client: wsx.Client[Any]) -> None:
            for n in range(3):
                client.sys.replace_state(lambda state, n=n: f"{state} {n}")  # type: ignore[misc]

        self.assertEqual(self.in_a_callback(ask), ["answered 0 1 2"] * 2)

    def test_pending_inside_a_callback(self) -> None:
        """[Y1] with an asynchronous function the rest of the read waits for it."""

        def first(frame: Any, state: Any) -> None:
            if frame == wsx.Text("1"):
                client.sys.replace_state(self.waits)

        client = self.opened(handle_frame=first)
        self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("1")])
        self.settle(NEW)
        self.assertEqual(self.handler.calls[-1], ("handle_frame", wsx.Text("2"), NEW))

    def test_reading_while_frames_wait_for_a_request(self) -> None:
        """[Y1] frames of a read that wait for a request hold the peer back at once."""

        def first(frame: Any, state: Any) -> None:
            if frame == wsx.Text("1"):
                client.sys.replace_state(self.waits)

        client = self.opened(handle_frame=first)
        self.peer.send(text("1") + text("2"))
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle(NEW)
        self.assertFalse(self.peer.transport.reading_paused)

    def test_inside_a_batch_that_waited(self) -> None:
        """[Y1] the same holds for frames that had waited in the mailbox."""
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        self.peer.send(text("1") + text("2"))
        self.peer.send(text("3"))

        def first(frame: Any, state: Any) -> None:
            if frame == wsx.Text("1"):
                client.sys.replace_state(lambda _: NEW)

        self.handler.answers["handle_frame"] = first
        self.settle()
        frames = [call[1:] for call in self.handler.calls if call[0] == "handle_frame"]
        expected = [(wsx.Text("1"), FIRST), (wsx.Text("2"), NEW), (wsx.Text("3"), NEW)]
        self.assertEqual(frames, expected)

    def test_inside_a_cast(self) -> None:
        """[Y1] among casts that came together it goes before the next one."""
        client = self.opened()
        self.handler.answers["handle_cast"] = lambda message, state: (
            client.sys.replace_state(lambda _: NEW) and None if message == 1 else None
        )
        client.cast(1)
        client.cast(2)
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", 2, NEW))

    def test_inside_handle_connect(self) -> None:
        """[Y1] asked inside ``handle_connect``, it goes before the first frame."""
        handler = Recorder()
        handler.answers["handle_connect"] = lambda conn, state: (
            handler.client.sys.replace_state(lambda _: NEW) and None
        )
        self.start(handler, FIRST)
        self.peer.answer(text("x"))
        self.step()
        self.assertEqual(handler.calls[-1], ("handle_frame", wsx.Text("x"), NEW))

    def test_reply_of_the_callback_goes_out(self) -> None:
        """[Y1] a callback that asks and then replies, replies."""
        client = self.opened()
        self.handler.answers["handle_frame"] = lambda frame, state: (
            client.sys.replace_state(lambda _: NEW) and Reply(frame, state)
        )
        self.peer.send(text("1"))
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"1")])

    def test_thousands_behind_a_callback(self) -> None:
        """[Y1] thousands that wait for a callback go in order, and no stack runs over."""
        count = 5000
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        order: list[int] = []
        done: list[int] = []
        for n in range(count):
            asked = client.sys.replace_state(lambda state, n=n: order.append(n) or n)  # type: ignore[misc, func-returns-value]
            asked.addCallback(done.append)
        self.settle()
        self.assertEqual(order, list(range(count)))
        self.assertEqual(done, order)
        self.assertEqual(client.sys.get_state(), count - 1)

    def test_thousands_that_ask_again(self) -> None:
        """[Y1] thousands, each of whose answers asks for another, go in order as well."""
        count = 5000
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        order: list[int] = []

        def ask(n: int) -> Deferred[Any]:
            return client.sys.replace_state(lambda state: order.append(n) or n)  # type: ignore[func-returns-value]

        asked = [ask(n).addCallback(lambda n: ask(n + count)) for n in range(count)]
        self.settle()
        self.assertEqual(len(order), 2 * count)
        self.assertEqual(order, list(range(2 * count)))
        for request in asked:
            self.successResultOf(request)

    def test_thousands_inside_a_coroutine(self) -> None:
        """[Y1] one after another, each awaited, runs over no stack."""

        async def many() -> None:
            for n in range(5000):
                await client.sys.replace_state(lambda _, n=n: n)  # type: ignore[misc]

        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()
        done = Deferred.fromCoroutine(many())
        self.settle()
        self.successResultOf(done)
        self.assertEqual(client.sys.get_state(), 4999)

    def test_answer_that_asks(self) -> None:
        """[Y1] who is answered may ask again at once, and goes behind those who wait."""
        client = self.opened(handle_cast=self.waits)
        client.cast("pending")
        self.step()

        def add(word: str) -> Callable[[Any], Any]:
            return lambda state: f"{state} {word}"

        first = client.sys.replace_state(add("a"))
        first.addCallback(lambda _: client.sys.replace_state(add("c")))
        client.sys.replace_state(add("b"))
        self.settle(Ok("state"))
        self.assertEqual(client.sys.get_state(), "state a b c")

    def test_awaited_inside_its_callback(self) -> None:
        """[Y1] a callback that awaits its own request waits for itself; ``stop`` ends it."""

        async def deadlock(message: Any, state: Any) -> None:
            await client.sys.replace_state(lambda _: NEW)

        client = self.opened(handle_cast=deadlock)
        client.cast("x")
        self.step()
        self.end(client)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), FIRST))


class RequestEndTests(SystemCase):
    """[Y1] requests that the client's end, or who asked, gets in the way of."""

    def test_stop_while_waiting(self) -> None:
        """[Y1] a request behind a callback that ``stop`` cancels is served all the same."""
        client = self.enter("callback pending")
        replaced = client.sys.replace_state(lambda _: NEW)
        client.stop()
        self.step()
        self.assertEqual(self.successResultOf(replaced), NEW)
        self.peer.drop()
        self.step()
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), NEW))

    def test_stop_while_waiting_without_a_connection(self) -> None:
        """[Y1] the same while ``handle_disconnect`` is pending: it goes before ``terminate``."""
        client = self.enter("handle_disconnect pending")
        replaced = client.sys.replace_state(lambda _: NEW)
        client.stop()
        self.step()
        self.assertEqual(self.successResultOf(replaced), NEW)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), NEW))

    def test_crash_while_waiting(self) -> None:
        """[Y1] a request behind a callback that fails goes before ``terminate``."""
        client = self.enter("callback pending")
        replaced = client.sys.replace_state(lambda _: NEW)
        self.pending.errback(RuntimeError("on purpose"))
        self.step()
        self.assertEqual(self.successResultOf(replaced), NEW)
        self.end(client)
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(self.handler.calls[-1][::2], ("terminate", NEW))

    @each(("open", "waiting to reconnect"))
    def test_stop_while_under_way(self, state: str) -> None:
        """[Y1] a function that is pending when the client stops is cancelled; the state stays."""
        client = self.enter(state)
        replaced = client.sys.replace_state(self.waits)
        client.stop()
        self.clock.pump([1.0] * 20)
        self.assertEqual(client.status, "terminated")
        self.failureResultOf(replaced, CancelledError, NotConnectedError)
        self.assertTrue(self.cancelled)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), FIRST))
        self.assertEqual(client.sys.get_state(), FIRST)

    def test_pending_at_the_end(self) -> None:
        """[Y1] no request is left without an answer: one begun while ending fails at the end."""
        client = self.enter("ending")
        replaced = client.sys.replace_state(self.waits)
        self.clock.pump([1.0] * 20)
        self.assertEqual(client.status, "terminated")
        self.failureResultOf(replaced, CancelledError, NotConnectedError)

    def test_function_that_stops_and_waits(self) -> None:
        """[Y1] a function that stops the client and then waits is cancelled too."""

        async def stop_and_wait(state: Any) -> Any:
            client.stop()
            await self.waits()

        client = self.opened()
        replaced = client.sys.replace_state(stop_and_wait)
        self.clock.pump([1.0] * 20)
        self.assertEqual(client.status, "terminated")
        self.failureResultOf(replaced, CancelledError, NotConnectedError)

    def test_function_that_stops(self) -> None:
        """[Y1] a function that stops the client and answers has replaced the state."""

        def stop(state: Any) -> Any:
            client.stop()
            return NEW

        client = self.opened()
        self.assertEqual(self.successResultOf(client.sys.replace_state(stop)), NEW)
        self.end(client)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), NEW))

    def test_cancelled_while_waiting(self) -> None:
        """[Y1] a request that is cancelled while it waits is not served, the next one is."""
        client = self.enter("callback pending")
        asked: list[Any] = []
        cancelled = client.sys.replace_state(lambda _: asked.append(1))
        kept = client.sys.replace_state(lambda _: NEW)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.settle()
        self.assertEqual(asked, [])
        self.assertEqual(self.successResultOf(kept), NEW)

    def test_cancelled_at_the_end(self) -> None:
        """[Y1] one that was cancelled while ``terminate`` was pending disturbs nothing."""
        client = self.enter("terminate pending")
        cancelled = client.sys.replace_state(lambda _: NEW)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.settle()
        self.assertEqual(client.status, "terminated")

    def test_cancelled_under_way(self) -> None:
        """[Y1] cancelling one that is under way cancels its function; the client goes on."""
        client = self.opened()
        replaced = client.sys.replace_state(self.waits)
        client.cast("x")
        replaced.cancel()
        self.failureResultOf(replaced, CancelledError)
        self.step()
        self.assertTrue(self.cancelled)
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "x", FIRST))

    def test_errors_are_the_callers(self) -> None:
        """[Y1] a failing request reaches who asked, and neither the log nor the client."""
        client = self.opened()
        with capturedLogs() as events:
            asked = client.sys.replace_state(lambda state: 1 / 0)
            self.failureResultOf(asked, ZeroDivisionError)
            self.step()
        self.assertEqual(list(events), [])
        self.assertEqual(client.status, "open")


class SuspendTests(SystemCase):
    """[Y4] ``suspend`` and ``resume``."""

    def test_frames_wait(self) -> None:
        """[Y4] nothing is delivered; ``resume`` delivers all of it, in order of arrival."""
        client = self.enter("suspended")
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.peer.send(server_frame(9, b"4"))
        client.info("5")
        self.clock.advance(100)
        self.assertEqual(self.handler.names, ["handle_connect"])
        client.sys.resume()
        self.assertEqual(self.handler.names, ["handle_connect"])
        self.step()
        expected = [wsx.Text("1"), wsx.Text("2"), "3", wsx.Ping(b"4"), "5"]
        self.assertEqual([argument for _, argument, _ in self.handler.calls[1:]], expected)

    def test_reading(self) -> None:
        """[Y4] reading is paused at once, though nothing waits, and goes on after ``resume``."""
        client = self.opened()
        self.assertFalse(self.peer.transport.reading_paused)
        client.sys.suspend()
        self.assertTrue(self.peer.transport.reading_paused)
        client.sys.resume()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_reading_waits_for_what_waits(self) -> None:
        """[Y4] after ``resume`` reading goes on once the frames that waited are delivered."""
        client = self.enter("suspended")
        self.handler.answers["handle_frame"] = self.waits
        self.peer.send(text("1") + text("2"))
        client.sys.resume()
        self.step()
        self.assertTrue(self.peer.transport.reading_paused)
        self.handler.answers["handle_frame"] = None
        self.settle()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_twice(self) -> None:
        """[Y4] a second ``suspend`` does nothing, and one ``resume`` ends both."""
        client = self.enter("suspended")
        client.sys.suspend()
        self.peer.send(text("x"))
        client.sys.resume()
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("x")])

    def test_resume_without_suspend(self) -> None:
        """[Y4] ``resume`` alone delivers nothing twice and nothing early."""
        client = self.enter("callback pending")
        self.peer.send(text("x"))
        client.sys.resume()
        self.step()
        self.assertEqual(self.notes("handle_frame"), [])
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("x")])

    def test_inside_a_batch(self) -> None:
        """[Y4] inside a callback it takes effect before the next frame of the read."""
        client = self.opened()
        self.handler.answers["handle_frame"] = lambda frame, state: client.sys.suspend()
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.step()
        self.assertEqual(self.notes("handle_frame", "handle_cast"), [wsx.Text("1")])
        self.assertTrue(self.peer.transport.reading_paused)
        self.handler.answers.clear()
        client.sys.resume()
        self.step()
        expected = [wsx.Text("1"), wsx.Text("2"), "3"]
        self.assertEqual(self.notes("handle_frame", "handle_cast"), expected)

    def test_inside_a_batch_that_waited(self) -> None:
        """[Y4] the same holds for frames and casts that had waited in the mailbox."""
        client = self.enter("suspended")
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.handler.answers["handle_frame"] = lambda frame, state: client.sys.suspend()
        for expected in ([wsx.Text("1")], [wsx.Text("1"), wsx.Text("2")]):
            client.sys.resume()
            self.step()
            self.assertEqual(self.notes("handle_frame", "handle_cast"), expected)
        client.sys.resume()
        self.step()
        self.assertEqual(self.notes("handle_cast"), ["3"])

    def test_and_resume_inside_a_callback(self) -> None:
        """[Y4] a callback that suspends and resumes loses nothing and changes no order."""
        client = self.opened()

        def both(frame: Any, state: Any) -> None:
            client.sys.suspend()
            client.sys.resume()

        self.handler.answers["handle_frame"] = both
        self.peer.send(text("1") + text("2") + text("3"))
        self.peer.send(text("4"))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text(n) for n in "1234"])
        self.assertFalse(self.peer.transport.reading_paused)

    def test_reply_of_the_suspending_callback(self) -> None:
        """[Y4] a callback that suspends may still answer: its reply goes out."""
        client = self.opened()
        self.handler.answers["handle_frame"] = lambda frame, state: (
            client.sys.suspend() or Reply(frame, NEW)
        )
        self.peer.send(text("1") + text("2"))
        self.assertEqual(self.peer.received(), [(1, b"1")])
        self.assertEqual(client.sys.get_state(), NEW)

    def test_callback_under_way(self) -> None:
        """[Y4] a callback that is under way may answer; nothing follows it."""
        client = self.enter("callback pending")
        client.sys.suspend()
        client.cast("next")
        self.settle(Reply(wsx.Text("answer"), NEW))
        self.assertEqual(self.peer.received(), [(1, b"answer")])
        self.assertEqual(client.sys.get_state(), NEW)
        self.assertEqual(self.handler.arguments("handle_cast"), ["x"])
        self.assertTrue(self.peer.transport.reading_paused)

    def test_requests(self) -> None:
        """[Y4] [Y6] requests are served while suspended."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        self.assertEqual(self.successResultOf(client.sys.replace_state(lambda _: NEW)), NEW)
        self.successResultOf(client.sys.change_code(Second))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [])
        self.assertTrue(self.peer.transport.reading_paused)

    def test_pending_request(self) -> None:
        """[Y4] reading stays paused when a request that was pending while suspended is done."""
        client = self.enter("suspended")
        client.sys.replace_state(self.waits)
        self.settle(NEW)
        self.assertTrue(self.peer.transport.reading_paused)
        client.cast("x")
        self.step()
        self.assertEqual(self.notes("handle_cast"), [])

    def test_send_frame(self) -> None:
        """[Y4] ``send_frame`` is served while suspended."""
        client = self.enter("suspended")
        self.successResultOf(client.send_frame(wsx.Text("x")))
        self.assertEqual(self.peer.received(), [(1, b"x")])

    @each((True, False))
    def test_suspended_while_connecting(self, together: bool) -> None:
        """[Y4] a connection being made is made; ``handle_connect`` waits, the frames after it."""
        client = self.enter("response outstanding")
        client.sys.suspend()
        if together:
            self.peer.answer(text("1") + text("2"))
        else:
            self.peer.answer()
            self.assertTrue(self.peer.transport.reading_paused)
            self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.handler.names, [])
        self.assertTrue(self.peer.transport.reading_paused)
        client.sys.resume()
        self.step()
        names = ["handle_connect", "handle_frame", "handle_frame"]
        self.assertEqual(self.handler.names, names)
        self.assertFalse(self.peer.transport.reading_paused)

    def test_start_waits(self) -> None:
        """[Y4] the Deferred of ``start`` waits with ``handle_connect``."""
        handler = Recorder()
        started = self.start(handler, FIRST)
        handler.client.sys.suspend()
        self.peer.answer()
        self.step()
        self.assertNoResult(started)
        handler.client.sys.resume()
        self.step()
        self.assertIs(self.successResultOf(started), handler.client)

    def test_first_attempt_fails(self) -> None:
        """[Y4] a first connection that fails ends a suspended client like any other."""
        handler = Recorder()
        started = self.start(handler, FIRST)
        handler.client.sys.suspend()
        self.peer.drop()
        self.step()
        self.failureResultOf(started, wsx.ConnError)

    def test_while_waiting_to_reconnect(self) -> None:
        """[Y4] suspended in the delay before an attempt, it is made, and its callback waits."""
        client = self.enter("waiting to reconnect")
        client.sys.suspend()
        self.clock.advance(DELAY)
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.handler.names[-1], "handle_disconnect")
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[-1], "handle_connect")

    def test_drop(self) -> None:
        """[Y4] a loss while suspended: ``handle_disconnect`` waits, behind the frames."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        self.peer.drop()
        self.clock.advance(100)
        self.assertEqual(client.status, "disconnected")
        self.assertEqual(self.handler.names, ["handle_connect"])
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_disconnect"])
        self.clock.advance(DELAY)
        self.peer.answer()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.send(text("again"))
        self.assertEqual(self.notes("handle_frame")[-1], wsx.Text("again"))

    def test_close(self) -> None:
        """[Y4] ``close`` is served at once; reading goes on for the end of TCP."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        closed = client.close(4000, "bye")
        self.assertEqual(self.peer.received(), [(8, b"\x0f\xa0bye")])
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.drop()
        self.step()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.handler.names, ["handle_connect"])
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_disconnect"])

    def test_close_overdue(self) -> None:
        """[Y4] a peer that does not answer the close frame is cut while suspended too."""
        client = self.enter("suspended")
        client.close()
        self.clock.advance(client.conn.close_timeout)
        self.assertTrue(self.peer.transport.aborted)
        self.step()
        self.assertEqual(client.status, "disconnected")

    def test_peer_closes(self) -> None:
        """[Y4] the peer's close frame, should it come through, is answered at once."""
        client = self.enter("suspended")
        self.peer.send(text("x") + close(1001))
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe9")])
        self.peer.drop()
        self.step()
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_disconnect"])
        self.assertEqual(self.handler.calls[-1][1].reason, wsx.RemoteClose(1001, ""))

    def test_stop(self) -> None:
        """[Y4] ``stop`` ends a suspended client: 1001, ``terminate``, and what waits is dropped."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        ended = client.stop()
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe9")])
        self.peer.send(close(1001))
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(self.handler.names, ["handle_connect", "terminate"])

    def test_mailbox_limit(self) -> None:
        """[Y4] what waits while suspended counts for ``mailbox_limit``."""
        client = self.open(Recorder(), mailbox_limit=2)
        client.sys.suspend()
        client.cast(1)
        client.cast(2)
        self.assertRaises(wsx.MailboxFullError, client.cast, 3)

    def test_keepalive_goes_on(self) -> None:
        """[Y4] pings go out while suspended, and their missing answers are no PingTimeout."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=5.0)
        client.sys.suspend()
        for _ in range(10):
            self.clock.advance(10.0)
            self.assertEqual([opcode for opcode, _ in self.peer.received()], [9])
        self.assertEqual(client.status, "open")
        client.sys.resume()
        self.step()
        self.clock.advance(4.9)
        self.assertEqual(client.status, "open")

    def test_ping_timeout_after_resume(self) -> None:
        """[Y4] after ``resume`` a peer that stays silent is a PingTimeout again."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=5.0)
        client.sys.suspend()
        self.clock.pump([10.0] * 5)
        client.sys.resume()
        self.step()
        self.clock.pump([1.0] * 20)
        self.assertIsInstance(handler.arguments("handle_disconnect")[0].reason, wsx.PingTimeout)

    def test_data_timeout(self) -> None:
        """[Y4] no DataTimeout runs while suspended; after ``resume`` it begins anew."""
        handler = Recorder()
        client = self.open(handler, data_timeout=10.0)
        self.clock.advance(9.0)
        client.sys.suspend()
        self.clock.pump([5.0] * 20)
        self.assertEqual(client.status, "open")
        client.sys.resume()
        self.step()
        self.clock.advance(9.5)
        self.assertEqual(client.status, "open")
        self.clock.advance(10.0)
        self.step()
        self.assertEqual(client.status, "closing")

    def test_keepalive_of_a_connection_made_meanwhile(self) -> None:
        """[Y4] the same for a connection that was made while suspended."""
        self.handler = Recorder()
        client = self.begun(ping_interval=10.0, ping_timeout=5.0, data_timeout=30.0)
        client.sys.suspend()
        self.peer.answer()
        self.clock.pump([5.0] * 20)
        self.assertEqual(client.status, "open")


def fail_half_way(handler: Any, state: Any) -> Any:
    handler.added = 1
    del handler.answers
    raise RuntimeError("on purpose")


async def fail_later(handler: Any, state: Any) -> Any:
    handler.added = 1
    await succeed(None)
    raise RuntimeError("on purpose")


FAILURES: list[tuple[str, Any, type[BaseException]]] = [
    ("raises", RuntimeError("on purpose"), RuntimeError),
    ("raises half way", fail_half_way, RuntimeError),
    ("raises later", fail_later, RuntimeError),
    ("Exit", wsx.Exit("reason"), wsx.Exit),
    ("nonsense", "nonsense", wsx.BadResponseError),
    ("nonsense later", lambda *_: succeed(5), wsx.BadResponseError),
    ("Reply", Reply(wsx.Text("x"), NEW), wsx.BadResponseError),
    ("Close", Close(NEW), wsx.BadResponseError),
    ("Reconnect", Reconnect(NEW), wsx.BadResponseError),
    ("cancelled", CancelledError(), CancelledError),
]


class ChangeCodeTests(SystemCase):
    """[Y6] ``change_code``; with a module on disk: test_code_change."""

    def change(self, answer: Any, client: wsx.Client[Any], cls: Any = Second) -> Deferred[Any]:
        """Changes to a class whose ``code_change`` answers so."""
        self.handler.answers["code_change"] = answer
        return client.sys.change_code(cls, "old", "more")

    def assert_old(self, client: wsx.Client[Any]) -> None:
        """Class, object, attributes and state are the old ones, and the client works."""
        self.assertIs(type(self.handler), Recorder)
        self.assertIs(client.handler, self.handler)
        self.assertEqual(client.sys.get_state(), FIRST)
        status = client.sys.get_status()
        self.assertEqual((status["handler"], status["version"]), (Recorder, None))
        self.assertFalse(hasattr(self.handler, "added"))
        client.cast("works")
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "works", FIRST))

    def test_arguments(self) -> None:
        """[Y6] ``code_change`` of the new class gets the old version, the state and extra."""
        client = self.opened()
        self.successResultOf(self.change(Ok(NEW), client))
        self.assertEqual(self.handler.calls[-1], ("code_change", ("old", "more"), FIRST))
        self.assertEqual(client.sys.get_state(), NEW)

    def test_default(self) -> None:
        """[Y6] a class without ``code_change`` goes on with the state there is."""

        class Plain(Recorder):
            def handle_cast(self, message: Any, state: Any) -> Any:
                return Reply(wsx.Text("plain"), state)

        client = self.opened()
        self.assertIsNone(self.successResultOf(client.sys.change_code(Plain)))
        client.cast("x")
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"plain")])
        self.assertEqual(client.sys.get_state(), FIRST)

    def test_none(self) -> None:
        """[Y6] ``code_change`` may answer None: the state stays."""
        client = self.opened()
        self.successResultOf(self.change(None, client))
        self.assertIs(type(self.handler), Second)
        self.assertEqual(client.sys.get_state(), FIRST)

    def test_attributes_stay(self) -> None:
        """[Y6] the handler is the same object, with its attributes and its client."""
        client = self.opened()
        calls = self.handler.calls
        self.successResultOf(self.change(Ok(NEW), client))
        self.assertIs(client.handler, self.handler)
        self.assertIs(self.handler.calls, calls)
        self.assertIs(self.handler.client, client)

    def test_connection_stays(self) -> None:
        """[Y6] the connection goes on, without a frame more or less."""
        client = self.opened()
        self.peer.send(text("1"))
        self.successResultOf(self.change(Ok(NEW), client))
        self.peer.send(text("2"))
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("1"), wsx.Text("2")])
        self.assertEqual(self.peer.received(), [])
        self.assertEqual(self.server.attempts, 1)

    @each(FAILURES)
    def test_failing(self, way: str, answer: Any, error: type[BaseException]) -> None:
        """[Y6] each way to fail fails the Deferred, and the old class and state stay."""
        client = self.enter("open")
        self.failureResultOf(self.change(answer, client), error)
        self.assert_old(client)

    def test_bad_response(self) -> None:
        """[Y6] a wrong answer's BadResponseError says of which callback."""
        client = self.opened()
        error = self.failureResultOf(self.change("nonsense", client), wsx.BadResponseError).value
        self.assertEqual((error.response, error.callback), ("nonsense", "code_change"))
        self.assertEqual(error.arguments, ("old", FIRST, "more"))

    def test_wrong_class(self) -> None:
        """[Y6] what is no Handler subclass fails the Deferred, and nothing changes."""
        client = self.opened()
        for wrong in (None, 5, "Second", int, object, Second(), wsx.Handler[int]):
            with case(wrong):
                changed = client.sys.change_code(wrong)  # type: ignore[arg-type]
                self.failureResultOf(changed, TypeError)
        self.assert_old(client)

    def test_other_slots(self) -> None:
        """[Y6] an object that cannot become one of that class fails the Deferred."""

        class Slotted(Recorder):
            __slots__ = ("slot",)

        client = self.opened()
        self.failureResultOf(client.sys.change_code(Slotted), TypeError)
        self.assert_old(client)

    def test_same_slots(self) -> None:
        """[Y6] attributes in slots stay, and come back where ``code_change`` fails."""

        class Old(Recorder):
            __slots__ = ("slot",)
            slot: str

        class New(Recorder):
            __slots__ = ("slot",)
            slot: str

            def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
                self.slot = "changed"
                if extra == "fail":
                    raise RuntimeError("on purpose")

        handler = Old()
        handler.slot = "old"
        client = self.open(handler)
        self.failureResultOf(client.sys.change_code(New, extra="fail"), RuntimeError)
        self.assertIs(type(handler), Old)
        self.assertEqual(handler.slot, "old")
        self.successResultOf(client.sys.change_code(New))
        self.assertEqual(handler.slot, "changed")

    def test_base_class(self) -> None:
        """[Y6] any subclass of Handler will do, whatever it has to do with the old one."""

        class Stranger(wsx.Handler[Any]):
            def handle_cast(self, message: Any, state: Any) -> Any:
                return Reply(wsx.Text("stranger"), state)

        client = self.opened()
        self.successResultOf(client.sys.change_code(Stranger))
        client.cast("x")
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"stranger")])

    def test_inside_a_batch(self) -> None:
        """[Y6] inside a callback it goes after its answer, and before the next frame."""
        client = self.opened()
        seen: list[tuple[type, Any]] = []

        def frame(frame: Any, state: Any) -> Any:
            seen.append((type(self.handler), state))
            if frame == wsx.Text("1"):
                client.sys.change_code(Second)
                seen.append((type(self.handler), client.sys.get_state()))
                return Ok("answered")
            return None

        self.handler.answers["handle_frame"] = frame
        self.peer.send(text("1") + text("2") + text("3"))
        self.step()
        converted = (Second, ("answered", "converted"))
        self.assertEqual(seen, [(Recorder, FIRST), (Recorder, FIRST), converted, converted])

    def test_order_of_requests(self) -> None:
        """[Y6] [Y1] behind a callback, changes of code and of state go in order."""
        client = self.enter("callback pending")
        client.sys.replace_state(lambda state: f"{state} 1")
        client.sys.change_code(Second)
        client.sys.replace_state(lambda state: (*state, "2"))
        self.settle(Ok("answered"))
        self.assertEqual(client.sys.get_state(), ("answered 1", "converted", "2"))

    def test_coroutine(self) -> None:
        """[Y6] an asynchronous ``code_change`` is waited for; what arrives meanwhile waits."""

        async def later(handler: Any, state: Any) -> Any:
            return Ok((state, await self.waits()))

        client = self.opened()
        changed = self.change(later, client)
        self.peer.send(text("1"))
        client.cast("2")
        self.step()
        self.assertNoResult(changed)
        self.assertEqual(client.sys.get_state(), FIRST)
        self.assertEqual(self.notes("handle_frame", "handle_cast"), [])
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle(NEW)
        self.successResultOf(changed)
        self.assertEqual(self.notes("handle_frame", "handle_cast"), [wsx.Text("1"), "2"])
        self.assertEqual(self.handler.calls[-1][2], (FIRST, NEW))
        self.assertFalse(self.peer.transport.reading_paused)

    def test_failing_later(self) -> None:
        """[Y6] where it fails later, what waited is delivered to the old class."""
        client = self.opened()
        changed = self.change(self.waits, client)
        client.cast("waits")
        self.pending.errback(RuntimeError("on purpose"))
        self.step()
        self.failureResultOf(changed, RuntimeError)
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "waits", FIRST))
        self.assert_old(client)

    @each(("open", "waiting to reconnect"))
    def test_stop_meanwhile(self, state: str) -> None:
        """[Y6] a pending ``code_change`` that ``stop`` cancels leaves the old class to the end."""
        client = self.enter(state)
        changed = self.change(self.waits, client)
        client.stop()
        self.clock.pump([1.0] * 20)
        self.failureResultOf(changed, CancelledError, NotConnectedError)
        self.assertIs(type(self.handler), Recorder)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), FIRST))

    def test_cancelled_meanwhile(self) -> None:
        """[Y6] who cancels the Deferred of a pending ``code_change`` keeps the old class."""
        client = self.opened()
        changed = self.change(self.waits, client)
        changed.cancel()
        self.failureResultOf(changed, CancelledError)
        self.step()
        self.assert_old(client)

    def test_cancelled_before(self) -> None:
        """[Y6] cancelled while it waits for a callback, it never begins."""
        client = self.enter("callback pending")
        changed = self.change(Ok(NEW), client)
        changed.cancel()
        self.failureResultOf(changed, CancelledError)
        self.settle()
        self.assertNotIn("code_change", self.handler.names)
        self.handler.answers.clear()
        self.assert_old(client)

    def test_drop_meanwhile(self) -> None:
        """[Y6] a loss while ``code_change`` is pending goes to the new class's callback."""
        client = self.opened()
        changed = self.change(self.waits, client)
        self.peer.drop()
        self.step()
        self.assertEqual(self.notes("handle_disconnect"), [])
        self.settle(Ok(NEW))
        self.successResultOf(changed)
        self.assertEqual(self.handler.names[-2:], ["handle_disconnect", "terminate"])
        self.assertEqual(self.handler.calls[-1][2], NEW)

    def test_terminate_of_the_new_class(self) -> None:
        """[Y6] changed while ending, the new class's ``terminate`` is called."""
        called: list[Any] = []

        class Last(Second):
            def terminate(self, reason: Any, state: Any) -> None:
                called.append(state)

        client = self.enter("ending")
        self.successResultOf(self.change(Ok(NEW), client, Last))
        self.end(client)
        self.assertEqual(called, [NEW])

    def test_for_one_client(self) -> None:
        """[Y6] another client with a handler of the old class keeps it."""
        other = Recorder()
        self.open(other)
        self.successResultOf(self.change(Ok(NEW), self.opened()))
        self.assertIs(type(other), Recorder)

    def test_again(self) -> None:
        """[Y6] from version to version, each gets the one before it."""

        class Third(Second):
            version = "3"

        client = self.opened()
        del self.handler.answers
        self.handler.answers = {}
        for cls in (Second, Third, Second):
            self.successResultOf(client.sys.change_code(cls, client.sys.get_status()["version"]))
            self.assertEqual(client.sys.get_status()["version"], cls.version)
        changes = [argument[0] for argument in self.handler.arguments("code_change")]
        self.assertEqual(changes, [None, "2", "3"])


class SwitchTests(SystemCase):
    """[Y5] trace, log, statistics and the file, at run time."""

    LOG_BAD: tuple[Any, ...] = (None, -1, 2.5, float("nan"), "Get", "", b"get", "5", [], ("log", 5))
    STATISTICS_BAD: tuple[Any, ...] = (None, 0, 1, 5, "Get", "print", "", b"get", [])
    FILE_BAD: tuple[Any, ...] = (None, True, 0, 1, 2.5, b"path", [], ("a", "b"))

    def test_log_depth(self) -> None:
        """[Y5] True keeps ten events, a number so many, a smaller one the last of them."""
        client = self.opened()
        client.sys.log(True)
        for n in range(20):
            client.cast(n)
        self.assertEqual((client.sys.log("get") or [])[0], (0.0, "received cast: 10"))
        self.assertEqual(len(client.sys.log("get") or ()), 10)
        client.sys.log(3)
        self.assertEqual([e[-2:] for _, e in client.sys.log("get") or ()], ["17", "18", "19"])
        client.sys.log(15)
        for n in range(20):
            client.cast(n)
        self.assertEqual(len(client.sys.log("get") or ()), 15)

    def test_log_times(self) -> None:
        """[Y5] the log has the times of the client's reactor."""
        client = self.opened()
        self.clock.advance(12.5)
        client.sys.log(True)
        client.cast(1)
        self.assertEqual(client.sys.log("get"), [(12.5, "received cast: 1")])

    def test_log_off(self) -> None:
        """[Y5] False ends the log and forgets what there is."""
        client = self.open(Recorder(), debug=["log"])
        self.assertTrue(client.sys.log("get"))
        client.sys.log(False)
        client.cast(1)
        self.assertFalse(client.sys.log("get"))

    def test_log_print(self) -> None:
        """[Y5] ``"print"`` prints the events as trace lines, oldest first, and keeps them."""
        client = self.opened()
        client.sys.log(True)
        client.cast(1)
        client.cast(2)
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertIsNone(client.sys.log("print"))
        lines = output.getvalue().splitlines()
        self.assertEqual(len(lines), 2)
        for line, event in zip(lines, ("received cast: 1", "received cast: 2"), strict=True):
            self.assertTrue(line.startswith(f"*DBG* {client!r} "), line)
            self.assertTrue(line.endswith(event), line)
        self.assertEqual(len(client.sys.log("get") or ()), 2)

    def test_log_print_of_nothing(self) -> None:
        """[Y5] printing a log that is off prints nothing."""
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.opened().sys.log("print")
        self.assertEqual(output.getvalue(), "")

    def test_log_bad(self) -> None:
        """[Y5] a bad argument is a ValueError, and the log goes on as it was."""
        client = self.opened()
        client.sys.log(5)
        client.cast(1)
        for bad in self.LOG_BAD:
            with case(bad):
                self.assertRaises(ValueError, client.sys.log, bad)
        self.assertEqual(len(client.sys.log("get") or ()), 1)

    def test_log_huge(self) -> None:
        """[Y5] a depth that no memory has is kept as well as can be, or a ValueError."""
        client = self.opened()
        try:
            client.sys.log(10**30)
        except ValueError:
            return
        client.cast(1)
        self.assertEqual(len(client.sys.log("get") or ()), 1)

    def test_statistics(self) -> None:
        """[Y5] the kinds of events are counted, from True to False."""
        client = self.opened(handle_frame=Reply(wsx.Text("x"), None))
        client.sys.statistics(True)
        self.peer.send(text("1") + text("2"))
        client.cast(1)
        self.successResultOf(client.send_frame(wsx.Text("x")))
        expected = {"received frame": 2, "replying from": 2, "received cast": 1, "sending frame": 1}
        counts = client.sys.statistics("get") or {}
        for kind, count in expected.items():
            with case(kind):
                found = [value for key, value in counts.items() if key.startswith(kind)]
                self.assertEqual(sum(found), count)
        client.sys.statistics(False)
        self.assertIsNone(client.sys.statistics("get"))

    def test_statistics_bad(self) -> None:
        """[Y5] a bad argument is a ValueError, and counting goes on."""
        client = self.opened()
        client.sys.statistics(True)
        client.cast(1)
        for bad in self.STATISTICS_BAD:
            with case(bad):
                self.assertRaises(ValueError, client.sys.statistics, bad)
        self.assertEqual(client.sys.statistics("get"), {"received cast": 1})

    def test_file(self) -> None:
        """[Y5] a file, another one instead, and none."""
        client = self.opened()
        one, two = Path(self.mktemp()), Path(self.mktemp())
        client.sys.log_to_file(str(one))
        client.cast(1)
        client.sys.log_to_file(two)
        client.cast(2)
        client.sys.log_to_file(False)
        client.cast(3)
        for path, message in ((one, 1), (two, 2)):
            lines = path.read_text().splitlines()
            self.assertEqual(len(lines), 1)
            self.assertTrue(lines[0].endswith(f"received cast: {message}"), lines)

    def test_file_is_appended_to(self) -> None:
        """[Y5] what the file has is kept."""
        path = Path(self.mktemp())
        path.write_text("before\n")
        client = self.opened()
        client.sys.log_to_file(path)
        client.cast(1)
        self.assertEqual(path.read_text().splitlines()[0], "before")
        self.assertEqual(len(path.read_text().splitlines()), 2)

    def test_file_bad(self) -> None:
        """[Y5] what is no path is a ValueError, and a file from before goes on."""
        client = self.opened()
        path = Path(self.mktemp())
        client.sys.log_to_file(path)
        for bad in (*self.FILE_BAD, "a\0b"):
            with case(bad):
                self.assertRaises(ValueError, client.sys.log_to_file, bad)
        client.cast(1)
        self.assertEqual(len(path.read_text().splitlines()), 1)

    def test_several(self) -> None:
        """[Y5] ending one of them leaves the others."""
        output = StringIO()
        self.patch(sys, "stdout", output)
        client = self.opened()
        for switch in (client.sys.trace, client.sys.log, client.sys.statistics):
            switch(True)
        client.sys.trace(False)
        client.cast(1)
        client.sys.log(False)
        client.cast(2)
        self.assertEqual(client.sys.statistics("get"), {"received cast": 2})
        self.assertEqual(output.getvalue(), "")

    def test_trace_of_a_frame(self) -> None:
        """[Y5] tracing a client with a name at run time, line for line."""
        output = StringIO()
        self.patch(sys, "stdout", output)
        client = self.open(Recorder(), name="feed")
        client.sys.trace(True)
        self.peer.send(text("Hello"))
        self.assertEqual(output.getvalue(), "*DBG* 'feed' received frame: Text('Hello')\n")
        self.end(client)

    def test_own_server(self) -> None:
        """[Y5] each client has switches of its own."""
        one = self.open(Recorder())
        self.server = MemoryServer(self.clock)
        two = self.open(Recorder())
        one.sys.log(True)
        two.cast(1)
        self.assertEqual(one.sys.log("get"), [])
        self.assertIsNone(two.sys.statistics("get"))


class TerminateTests(SystemCase):
    """``sys.terminate`` with reasons of all kinds."""

    def test_start_fails(self) -> None:
        """[Y3] a client that was not initialised fails its start, without ``terminate``."""
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
        """[Y3] the close code is 1001 whatever the reason, and no traceback is logged."""
        client = self.enter("open")
        ended = client.sys.terminate(reason)
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe9")])
        self.peer.drop()
        self.step()
        self.assertIs(self.successResultOf(ended), reason)
        self.assertEqual(self.handler.names[1:], ["terminate"])

    def test_failure_as_reason(self) -> None:
        """[Y3] a Failure is a reason like any other: ``terminated`` is never an errback."""
        client = self.opened()
        failure = Failure(RuntimeError("on purpose"))
        told, ended = client.terminated(), client.sys.terminate(failure)
        self.peer.drop()
        self.step()
        for deferred in (told, ended, client.terminated()):
            reason = self.successResultOf(deferred)
            self.assertIn(reason, (failure, failure.value))

    def test_inside_a_callback(self) -> None:
        """[Y3] a callback may end its own client so."""
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
        """[Y3] cancelling the Deferred does not keep the client from ending."""
        client = self.opened()
        ended = client.sys.terminate("reason")
        ended.cancel()
        self.failureResultOf(ended, CancelledError)
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(client.terminated()), "reason")
