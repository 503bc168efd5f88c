"""Event names, and observers that are detached after a test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import telemetry
from wsx.test.support import (
    MemoryCase,
)

SECRET = "s3cr3t"
CONNECTING = "wsx.connecting"
CONNECTED = "wsx.connected"
DISCONNECTED = "wsx.disconnected"
RECEIVED = "wsx.frame.received"
SENT = "wsx.frame.sent"
CALLBACK = "wsx.callback"
SLOW = "wsx.callback.slow"
OVERDUE = "wsx.callback.overdue"
TERMINATE = "wsx.terminate"
NAMES = ("wsx.name.waiting", "wsx.name.acquired", "wsx.name.lost", "wsx.name.released")
CALLBACKS = (CALLBACK, SLOW, OVERDUE)
WITHOUT_NAMES = (CONNECTING, CONNECTED, DISCONNECTED, RECEIVED, SENT, *CALLBACKS, TERMINATE)
ALL = (*WITHOUT_NAMES, *NAMES)

LIFE = (CONNECTING, CONNECTED, DISCONNECTED, TERMINATE)
CODES = {wsx.Text: 1, wsx.Binary: 2, wsx.Ping: 9, wsx.Pong: 10}
Recorded = tuple[str, dict[str, Any], dict[str, Any]]


def attach(test: SynchronousTestCase, *arguments: Any) -> None:
    """Attach an observer until the end of the test."""
    telemetry.attach(*arguments)
    test.addCleanup(forget, arguments[0])


def forget(handler_id: Any) -> None:
    """Detach an observer if it is attached."""
    if any(observer.handler_id == handler_id for observer in telemetry.list_handlers()):
        telemetry.detach(handler_id)


def ids(prefix: str = "") -> list[Any]:
    """Return the ids of the attached observers."""
    return [observer.handler_id for observer in telemetry.list_handlers(prefix)]


def again(status: Any, state: Any) -> Any:
    """Reconnect after one second; a ``handle_disconnect`` callback."""
    return wsx.Reconnect(state, after=1.0)


class AttachCase(SynchronousTestCase):
    """Base class for tests of observers without a client."""

    def setUp(self) -> None:
        self.received: list[Any] = []

    def tearDown(self) -> None:
        self.assertEqual(telemetry.list_handlers(), [], "the test leaves an observer behind")

    def receive(self, event: str, _: Any, __: Any, config: Any) -> None:
        self.received.append((config, event))

    def emit(self, *events: str) -> None:
        for event in events:
            telemetry.execute(event, {})


class TelemetryCase(MemoryCase):
    """Base class for tests with a client and an observer that records the emitted events."""

    def setUp(self) -> None:
        super().setUp()
        self.recorded: list[Recorded] = []

    def watch(self, *events: str) -> None:
        """Record these events, or all events if there is no argument."""
        attach(self, self, events or ALL, self.record)

    def record(self, event: str, measurements: Any, metadata: Any, _: Any) -> None:
        self.recorded.append((event, dict(measurements), dict(metadata)))

    def events(self, wanted: Iterable[str] = ALL) -> list[str]:
        """Return the names of the recorded events that are wanted."""
        return [event for event, _, _ in self.recorded if event in wanted]

    def all_of(self, event: str, key: str) -> list[Any]:
        """Return the metadata value with this key of each recorded event of this name."""
        return [metadata[key] for name, _, metadata in self.recorded if name == event]

    def end(self, client: Any) -> None:
        """Stop the client and wait until it has ended."""
        client.stop()
        self.let_time_pass()

    def let_time_pass(self) -> None:
        """Advance the clock past all timeouts of a closing handshake."""
        for _ in range(30):
            self.clock.advance(1)

    def assert_complete(self) -> Any:
        """Assert that the events of one client are complete and without duplicates.

        Returns:
            The client.
        """
        [client] = {metadata["client"] for _, _, metadata in self.recorded}
        life = self.events(LIFE)
        self.assertEqual(life.count(TERMINATE), 1, life)
        self.assertEqual(life[-1], TERMINATE, life)
        is_open = False
        for event, _, metadata in self.recorded:
            if event == CONNECTED:
                self.assertFalse(is_open, life)
                is_open = True
            elif event == DISCONNECTED:
                # The Conn of an established connection contains the server's response.
                self.assertEqual(metadata["conn"].resp_status is not None, is_open, life)
                is_open = False
            elif event in (RECEIVED, SENT):
                self.assertTrue(is_open, f"{event} without a connection")
        self.assertFalse(is_open, life)
        self.assertEqual(
            self.all_of(TERMINATE, "reason"), [self.successResultOf(client.terminated())]
        )
        return client
