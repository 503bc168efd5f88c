"""Execute what a user types at the console."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from wsx._console.commands import Command, CommandError, help_text, parse
from wsx._console.frontend import Frontend
from wsx._scheduler import scheduler_for
from wsx._text import quote
from wsx.frames import Frame, Ping, Text

__all__ = ["Executor"]

_MAX_PINGS: Final = 16  # Limits the memory if the server never sends pongs.


class ConsoleControl(Protocol):
    """The console, as its commands use it.

    Attributes:
        client: The client.
        frontend: The terminal.
        received: The number of messages that were received.
        sent: The number of frames that were sent.
    """

    client: Any
    frontend: Frontend
    received: int
    sent: int

    @property
    def unsent(self) -> int:
        """The number of frames that wait to be sent."""

    @property
    def retry_seconds(self) -> float | None:
        """The seconds until the next attempt to connect, or None if none is due."""

    @property
    def last_end(self) -> str:
        """Why the last connection or attempt has ended; empty before the first end."""

    def send(self, frame: Frame) -> None:
        """Send a frame."""

    def request_close(self, code: int, message: str) -> None:
        """Close the connection and end."""

    def request_reconnect(self) -> None:
        """Connect again."""


class Executor:
    """Execute typed lines.

    Args:
        console: The console.
    """

    def __init__(self, console: ConsoleControl) -> None:
        self._console = console
        self._pings: dict[bytes, float] = {}  # When each unanswered ping was sent, by payload.
        self._connected_at: float | None = None

    def execute(self, line: str) -> None:
        """Send a text, or execute a command. A wrong command is only shown."""
        try:
            command = parse(line)
        except CommandError as error:
            self._console.frontend.notice(str(error))
            return
        run: Callable[[Command], None] = getattr(self, f"_{command.name}")
        run(command)

    def connected(self) -> None:
        """Note that a connection is open."""
        self._connected_at = self._seconds()
        self._pings.clear()

    def pong(self, payload: bytes) -> None:
        """Show the round-trip time of a ping of the user."""
        sent_at = self._pings.pop(payload, None)
        if sent_at is not None:
            milliseconds = (self._seconds() - sent_at) * 1000
            self._console.frontend.notice(f"round trip {milliseconds:.1f} ms")

    def _seconds(self) -> float:
        return scheduler_for(self._console.client.reactor).seconds()

    # Commands

    def _send(self, command: Command) -> None:
        if self._console.client.status != "open":
            shown = _describe_frame(command.value)
            text = f"not connected: {shown} is sent after the next connection is open"
            self._console.frontend.notice(text)
        self._console.send(command.value)

    def _ping(self, command: Command) -> None:
        if self._require_connection("/ping"):
            ping: Ping = command.value
            if not ping.payload:  # A payload of its own tells this pong from other pongs.
                ping = Ping(os.urandom(4).hex().encode("ascii"))
            if len(self._pings) >= _MAX_PINGS:
                self._pings.clear()
            self._pings[ping.payload] = self._seconds()
            self._console.send(ping)

    def _pong(self, command: Command) -> None:
        if self._require_connection("/pong"):
            self._console.send(command.value)

    def _require_connection(self, command: str) -> bool:
        is_open = bool(self._console.client.status == "open")
        if not is_open:
            self._console.frontend.notice(f"{command}: not connected")
        return is_open

    def _close(self, command: Command) -> None:
        self._console.request_close(*command.value)

    def _reconnect(self, _: Command) -> None:
        self._console.request_reconnect()

    def _trace(self, command: Command) -> None:
        self._console.client.sys.trace(command.value)
        self._console.frontend.notice(f"trace is {'on' if command.value else 'off'}")

    def _help(self, _: Command) -> None:
        self._console.frontend.notice(help_text())

    def _status(self, _: Command) -> None:
        self._console.frontend.notice("\n".join(self._status_lines()))

    def _status_lines(self) -> list[str]:
        client = self._console.client
        conn = client.conn
        lines = [f"{client.status}: {conn.parsed.shown}"]
        if client.status == "open":
            lines[0] += f" for {self._seconds() - (self._connected_at or 0.0):.1f} s"
            lines.append(f"peer {conn.peer}; {_negotiated(conn)}")
        elif self._console.last_end:
            left = self._console.retry_seconds
            after = "" if left is None else f"next attempt in {left:.1f} s; "
            lines.append(f"{after}{self._console.last_end}")
        counts = f"received {_count(self._console.received, 'message')}, sent {self._console.sent}"
        lines.append(f"{counts}, waiting to be sent {self._console.unsent}")
        if client.latency is not None:
            lines.append(f"last keepalive round trip {client.latency * 1000:.1f} ms")
        return lines


def _negotiated(conn: Any) -> str:
    extensions = ", ".join(map(str, conn.extensions or ())) or "none"
    return f"subprotocol {conn.subprotocol or 'none'}; extensions {extensions}"


def _describe_frame(frame: Frame) -> str:
    if isinstance(frame, Text):
        return quote(frame.payload)
    return f"binary message, {_count(len(frame.payload), 'byte')},"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
