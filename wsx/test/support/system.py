"""A client in each of its states, for tests of ``client.sys``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx import Ok, Reconnect
from wsx.test.support import MemoryCase, Recorder, close, server_frame

FIRST = "the first state"
NEW = "a new state"
DELAY = 7.0
# The client's status in each state; `enter` brings a client into a state.
STATUS = {
    "TCP outstanding": "connecting",
    "response outstanding": "connecting",
    "not initialised yet": "connecting",
    "handle_connect pending": "open",
    "open": "open",
    "callback pending": "open",
    "request pending": "open",
    "suspended": "open",
    "closing by client": "closing",
    "closing by server": "closing",
    "closing for an error": "closing",
    "handle_disconnect pending": "disconnected",
    "waiting to reconnect": "disconnected",
    "ending": "closing",
    "terminate pending": "disconnected",
    "terminated": "terminated",
}
LIVE = [state for state in STATUS if state != "terminated"]
# In these states a request waits for a callback or another request.
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
    "pending_callback",
    "statistics",
    "log",
    "suspended",
    "state",
}


def again(status: Any, state: Any) -> Any:
    """Reconnect after ``DELAY`` seconds; a ``handle_disconnect`` callback."""
    return Reconnect(state, after=DELAY)


class Second(Recorder):
    """A later version of the recording handler."""

    version = "2"

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        self.calls.append(("code_change", (old_version, extra), state))
        answer = self.answers.get("code_change", Ok((state, "converted")))
        if isinstance(answer, BaseException):
            raise answer
        return answer(self, state) if callable(answer) else answer


class SystemCase(MemoryCase):
    """Base class for tests of system requests."""

    handler: Recorder
    pending: Deferred[Any]

    def settle(self, answer: Any = None) -> None:
        """Fire the Deferred of the pending callback."""
        self.pending.callback(answer)
        self.step()

    def waits(self, *_: object) -> Deferred[Any]:
        """Return a Deferred that ``settle`` fires; the result of a pending callback."""
        self.cancelled = False
        self.pending = Deferred(self._cancel)
        return self.pending

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled = True

    def opened(self, **answers: Any) -> wsx.Client[Any]:
        """Open a client whose Recorder returns these results."""
        self.handler = Recorder(**answers)
        return self.open(self.handler, FIRST)

    def notes(self, *names: str) -> list[Any]:
        """Return the arguments of the calls of these callbacks, in order."""
        return [argument for name, argument, _ in self.handler.calls if name in names]

    def end(self, client: wsx.Client[Any]) -> Any:
        """Abort a client and return the reason of its end."""
        ended = client.terminated()
        client.abort()
        self.step()
        self.step()
        return self.successResultOf(ended)

    # States

    def enter(self, state: str) -> wsx.Client[Any]:
        """Return a client in this state; a test can do so once."""
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

    def enter_closing_by_client(self) -> wsx.Client[Any]:
        client = self.enter_open()
        client.close()
        return client

    def enter_closing_by_server(self) -> wsx.Client[Any]:
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
