"""One open connection with its keepalive, and the causes for which reading from it is paused."""

from __future__ import annotations

from typing import Final

from wsx._client.keepalive import Keepalive
from wsx._transport.connection import Connection

__all__ = ["FRAMES_QUEUED", "WRITE_BUFFER_FULL", "OpenConnection"]

# Causes, as bits: resume_reading() runs after every batch, and an enum.Flag would be slow there.
FRAMES_QUEUED: Final = 1  # The handler is slower than the server, or delivery is suspended.
WRITE_BUFFER_FULL: Final = 2  # The server reads more slowly than the handler replies.


class OpenConnection:
    """An open connection, its keepalive, and backpressure on the server.

    While reading is paused, no keepalive timeout runs.

    Args:
        connection: The open connection.
        keepalive: The keepalive of the connection.

    Attributes:
        connection: The open connection.
        keepalive: The keepalive of the connection.
        causes: The causes for which reading is paused, as bits; 0 if reading is not paused.
    """

    __slots__ = ("causes", "connection", "keepalive")

    def __init__(self, connection: Connection, keepalive: Keepalive) -> None:
        self.connection = connection
        self.keepalive = keepalive
        self.causes = 0

    def pause_reading(self, cause: int) -> None:
        """Pause reading for a cause, ``FRAMES_QUEUED`` or ``WRITE_BUFFER_FULL``."""
        if not self.causes:
            self.keepalive.paused()
            self.connection.pause_reading()
        self.causes |= cause

    def resume_reading(self, cause: int) -> None:
        """Remove a cause, and resume reading if no cause is left."""
        if self.causes & cause:
            self.causes &= ~cause
            if not self.causes:
                self.keepalive.resumed()
                self.connection.resume_reading()
