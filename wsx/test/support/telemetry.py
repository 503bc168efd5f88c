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
TERMINATE = "wsx.terminate"
ALL = (CONNECTING, CONNECTED, DISCONNECTED, RECEIVED, SENT, CALLBACK, TERMINATE)
LIFE = (CONNECTING, CONNECTED, DISCONNECTED, TERMINATE)
CODES = {wsx.Text: 1, wsx.Binary: 2, wsx.Ping: 9, wsx.Pong: 10}
Told = tuple[str, dict[str, Any], dict[str, Any]]


def attach(test: SynchronousTestCase, *arguments: Any) -> None:
    """Attaches an observer until the end of the test."""
    telemetry.attach(*arguments)
    test.addCleanup(forget, arguments[0])


def forget(handler_id: Any) -> None:
    """Detaches an observer, if it is attached."""
    if any(observer.handler_id == handler_id for observer in telemetry.list_handlers()):
        telemetry.detach(handler_id)


def ids(prefix: str = "") -> list[Any]:
    """Gives the ids of what is attached."""
    return [observer.handler_id for observer in telemetry.list_handlers(prefix)]


def again(status: Any, state: Any) -> Any:
    """A ``handle_disconnect`` that always connects again, after a second."""
    return wsx.Reconnect(state, after=1.0)


class AttachCase(SynchronousTestCase):
    """Observers without a client."""

    def setUp(self) -> None:
        self.heard: list[Any] = []

    def tearDown(self) -> None:
        self.assertEqual(telemetry.list_handlers(), [], "the test leaves an observer behind")

    def hear(self, event: str, _: Any, __: Any, config: Any) -> None:
        self.heard.append((config, event))

    def tell(self, *events: str) -> None:
        for event in events:
            telemetry.execute(event, {})


class TelemetryCase(MemoryCase):
    """A client, and an observer that writes down what it is told."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[Told] = []

    def watch(self, *events: str) -> None:
        """Begins to write down these events; all without an argument."""
        attach(self, self, events or ALL, self.write_down)

    def write_down(self, event: str, measurements: Any, metadata: Any, _: Any) -> None:
        self.told.append((event, dict(measurements), dict(metadata)))

    def events(self, wanted: Iterable[str] = ALL) -> list[str]:
        """Gives the names of the events so far."""
        return [event for event, _, _ in self.told if event in wanted]

    def all_of(self, event: str, key: str) -> list[Any]:
        """Gives one entry of the metadata of each telling of an event."""
        return [metadata[key] for name, _, metadata in self.told if name == event]

    def end(self, client: Any) -> None:
        """Brings a client to its end, whatever it is doing."""
        client.stop()
        self.let_time_pass()

    def let_time_pass(self) -> None:
        """Lets all time-outs of a closing run out."""
        for _ in range(30):
            self.clock.advance(1)

    def assert_complete(self) -> Any:
        """What was told of one client's life is complete and without doubles; gives the client."""
        [client] = {metadata["client"] for _, _, metadata in self.told}
        life = self.events(LIFE)
        self.assertEqual(life.count(TERMINATE), 1, life)
        self.assertEqual(life[-1], TERMINATE, life)
        is_open = False
        for event, _, metadata in self.told:
            if event == CONNECTED:
                self.assertFalse(is_open, life)
                is_open = True
            elif event == DISCONNECTED:
                # A connection that was established has the server's answer in its Conn.
                self.assertEqual(metadata["conn"].resp_status is not None, is_open, life)
                is_open = False
            elif event in (RECEIVED, SENT):
                self.assertTrue(is_open, f"{event} without a connection")
        self.assertFalse(is_open, life)
        self.assertEqual(
            self.all_of(TERMINATE, "reason"), [self.successResultOf(client.terminated())]
        )
        return client
