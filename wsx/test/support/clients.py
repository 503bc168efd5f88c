"""Base class and helpers for the tests of a client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx.frames import PING, PONG
from wsx.test.support import MemoryCase, Recorder, case, server_frame, text

MESSAGE_CALLBACKS = (
    "handle_connect",
    "handle_frame",
    "handle_cast",
    "handle_info",
    "handle_ping",
    "handle_pong",
)


def bytes_of(frame: wsx.Frame) -> bytes:
    """Return the payload of a frame as bytes."""
    return frame.payload.encode() if isinstance(frame.payload, str) else frame.payload


class ClientCase(MemoryCase):
    """Base class for tests of a client."""

    def given(self, **row: Any) -> AbstractContextManager[None]:
        """Name the row of a table in its failure."""
        return case(row)

    def provoke(self, callback: str, client: wsx.Client[Any]) -> None:
        """Cause the event that a callback handles; ``handle_connect`` was already called."""
        events: dict[str, Callable[[], object]] = {
            "handle_connect": lambda: None,
            "handle_frame": lambda: self.peer.send(text("event")),
            "handle_cast": lambda: client.cast("event"),
            "handle_info": lambda: client.info("event"),
            "handle_ping": lambda: self.peer.send(server_frame(PING, b"event")),
            "handle_pong": lambda: self.peer.send(server_frame(PONG, b"event")),
            "handle_disconnect": lambda: self.peer.drop(),
        }
        events[callback]()
        self.step()

    def state_of(self, recorder: Recorder, client: wsx.Client[Any]) -> Any:
        """Return the state that the next callback receives."""
        client.info("probe")
        self.step()
        name, message, state = recorder.calls[-1]
        self.assertEqual((name, message), ("handle_info", "probe"))
        return state

    def end(self, client: wsx.Client[Any]) -> None:
        """Stop a client whose last connection is open."""
        ended = client.stop()
        self.peer.drop()
        self.step()
        self.successResultOf(ended)

    def failed_start(self, started: Deferred[Any], *kinds: type[BaseException]) -> Any:
        """Return the error of a failed start, and assert that nothing is left of the client."""
        self.step()
        error = self.failureResultOf(started, *kinds).value
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        self.assertEqual(self.flushLoggedErrors(), [])
        return error
