"""Helpers for tests of the ways in which connections and clients end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

import wsx
from wsx import Reconnect
from wsx.test.support import MemoryCase, Peer, Recorder, server_frame, text

BAD_FRAME = server_frame(3)  # Opcode 3 is reserved.


class Boom(Exception):
    """Raised by broken callbacks."""


TRIGGERS: dict[str, Callable[[MemoryCase, wsx.Client[Any]], None]] = {
    "handle_frame": lambda case, client: case.peer.send(text("x")),
    "handle_cast": lambda case, client: client.cast("x"),
    "handle_info": lambda case, client: client.info("x"),
    "handle_ping": lambda case, client: case.peer.send(server_frame(9, b"x")),
    "handle_pong": lambda case, client: case.peer.send(server_frame(10, b"x")),
}


def answering(result: Any) -> Callable[[Any, Any], Any]:
    """Return a coroutine function that returns this result."""

    async def answer(argument: Any, state: Any) -> Any:
        return result

    return answer


def reconnecting(
    after: float | None = 1.0, conn: wsx.Conn | None = None, **answers: Any
) -> Recorder:
    """Return a handler that always reconnects."""
    return Recorder(
        handle_disconnect=lambda status, state: Reconnect(state, conn, after), **answers
    )


def reasons(handler: Recorder) -> list[Any]:
    """Return the reasons passed to ``handle_disconnect``."""
    return [status.reason for status in handler.arguments("handle_disconnect")]


def attempt_numbers(handler: Recorder) -> list[int]:
    """Return the attempt numbers passed to ``handle_disconnect``."""
    return [status.attempt_number for status in handler.arguments("handle_disconnect")]


def close_frames(peer: Peer) -> list[tuple[int | None, str]]:
    """Return the close frames that the client sent, as pairs of code and message.

    The client must have sent nothing else.
    """
    frames = peer.received()
    assert {opcode for opcode, _ in frames} <= {8}, frames
    return [
        (int.from_bytes(payload[:2], "big") if payload else None, payload[2:].decode())
        for _, payload in frames
    ]


class EndCase(MemoryCase):
    """Base class for tests of ends."""

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[LogEvent] = []
        observer: Any = self.logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def error_lines(self) -> list[str]:
        """Return the lines that wsx has logged as errors without a traceback."""
        return [
            formatEvent(event)
            for event in self.logged
            if event.get("log_namespace") == "wsx"
            and event["log_level"] is LogLevel.error
            and "log_failure" not in event
        ]

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Advance the clock in small steps, so that each timer fires at its time."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
        self.step()

    def lose(self) -> None:
        """Drop the connection, and let the client notice."""
        self.peer.drop()
        self.step()

    def accept(self) -> None:
        """Complete the opening handshake of the last connection."""
        self.peer.answer()
        self.step()

    def come_back(self, after: float = 1.0) -> None:
        """Drop the connection, wait, and complete the next opening handshake."""
        self.lose()
        self.clock.advance(after)
        self.accept()

    def assert_ended(self, client: wsx.Client[Any], reason: object) -> None:
        """Assert that the client has ended with this reason and no timer is left."""
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.successResultOf(client.terminated()), reason)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assert_terminated_once(self, handler: Recorder, reason: object) -> None:
        """Assert that ``terminate`` was called once, last, and with this reason."""
        self.assertEqual(handler.arguments("terminate"), [reason])
        self.assertEqual(handler.names[-1], "terminate")
