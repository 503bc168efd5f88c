"""One open connection with its keepalive, and the causes for which reading from it is paused."""

from __future__ import annotations

from typing import Final

from wsx._client.keepalive import Keepalive
from wsx._transport.connection import Connection

__all__ = ["FRAMES_QUEUED", "WRITE_BUFFER_FULL", "OpenConnection"]

# Causes: bits, because resume() is called after every batch and an enum.Flag is slow.
FRAMES_QUEUED: Final = 1  # the handler is slower than the server, or delivery is suspended
WRITE_BUFFER_FULL: Final = 2  # the server reads more slowly than the handler replies


class OpenConnection:
    """An open connection: backpressure on the server, and what keeps watch over it.

    While reading is paused, no keepalive timeout runs: silence says nothing about the server.

    Args:
        connection: The open connection.
        keepalive: Its keepalive.

    Attributes:
        connection: The open connection.
        keepalive: Its keepalive.
        causes: The causes for which reading is paused now; 0 if it is not.
    """

    __slots__ = ("causes", "connection", "keepalive")

    def __init__(self, connection: Connection, keepalive: Keepalive) -> None:
        self.connection = connection
        self.keepalive = keepalive
        self.causes = 0

    def pause_reading(self, cause: int) -> None:
        """Pause reading for a cause."""
        if not self.causes:
            self.keepalive.paused()
            self.connection.pause_reading()
        self.causes |= cause

    def resume_reading(self, cause: int) -> None:
        """Remove a cause, and read again if it was the last one."""
        if self.causes & cause:
            self.causes &= ~cause
            if not self.causes:
                self.keepalive.resumed()
                self.connection.resume_reading()
