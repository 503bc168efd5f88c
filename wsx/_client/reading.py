"""Pause reading from the server while there is a cause: backpressure."""

from __future__ import annotations

from typing import Final

from wsx._client.keepalive import Keepalive
from wsx._transport.connection import Connection

__all__ = ["FRAMES_QUEUED", "WRITE_BUFFER_FULL", "Reading"]

# Causes: bits, because resume() is called after every batch and an enum.Flag is slow.
FRAMES_QUEUED: Final = 1  # the handler is slower than the server, or delivery is suspended
WRITE_BUFFER_FULL: Final = 2  # the server reads more slowly than the handler replies


class Reading:
    """Pauses and resumes reading on one open connection.

    While reading is paused, no keepalive timeout runs: silence says nothing about the server.

    Args:
        connection: The open connection.
        keepalive: Its keepalive.

    Attributes:
        causes: The causes for which reading is paused now; 0 if it is not.
    """

    __slots__ = ("_connection", "_keepalive", "causes")

    def __init__(self, connection: Connection, keepalive: Keepalive) -> None:
        self._connection = connection
        self._keepalive = keepalive
        self.causes = 0

    def pause(self, cause: int) -> None:
        """Pause reading for a cause."""
        if not self.causes:
            self._keepalive.paused()
            self._connection.pause_reading()
        self.causes |= cause

    def resume(self, cause: int) -> None:
        """Remove a cause, and read again if it was the last one."""
        if self.causes & cause:
            self.causes &= ~cause
            if not self.causes:
                self._keepalive.resumed()
                self._connection.resume_reading()
