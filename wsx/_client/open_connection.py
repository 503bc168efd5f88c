"""One open connection with its keepalive, and the causes for which reading from it is paused."""

from __future__ import annotations

from typing import Final

from wsx._client.keepalive import Keepalive
from wsx._transport.connection import Connection
from wsx._wire.batch import Batch

__all__ = ["FRAMES_QUEUED", "WRITE_BUFFER_FULL", "OpenConnection"]

# Causes, as bits: resume_reading() runs after every batch, and an enum.Flag would be slow there.
FRAMES_QUEUED: Final = 1  # The handler is slower than the server, or delivery is suspended.
WRITE_BUFFER_FULL: Final = 2  # The server does not read the replies, and the budget is spent.

_MIN_BUDGET: Final = 262144  # bytes that may be read while replies wait, at least
_FRAME_OVERHEAD: Final = 2  # bytes: the shortest header


class OpenConnection:
    """An open connection, its keepalive, and backpressure on the server.

    While frames are queued, reading is paused and no keepalive timeout runs: silence says nothing
    about the server.

    While replies wait for a full write buffer, reading goes on up to a budget, so that a server
    which echoes under backpressure can write its answers and then read on. Without that, both sides
    would wait for each other forever. Past the budget reading is paused, and the ping timeout runs
    on, because nothing else would detect a server that has stopped reading.

    Args:
        connection: The open connection.
        keepalive: The keepalive of the connection.

    Attributes:
        connection: The open connection.
        keepalive: Its keepalive.
        causes: The causes for which reading is paused now; 0 if it is not.
        budget: Bytes that may still be read while replies wait; None if none wait.
    """

    __slots__ = ("budget", "causes", "connection", "keepalive")

    def __init__(self, connection: Connection, keepalive: Keepalive) -> None:
        self.connection = connection
        self.keepalive = keepalive
        self.causes = 0
        self.budget: int | None = None

    def pause_reading(self, cause: int) -> None:
        """Pause reading for a cause."""
        if cause == FRAMES_QUEUED and not self.causes & FRAMES_QUEUED:
            self.keepalive.paused()
        if not self.causes:
            self.connection.pause_reading()
        self.causes |= cause

    def resume_reading(self, cause: int) -> None:
        """Remove a cause, and read again if it was the last one."""
        if not self.causes & cause:
            return
        self.causes &= ~cause
        if cause == FRAMES_QUEUED:
            self.keepalive.resumed()
        if not self.causes:
            self.connection.resume_reading()

    def limit_reading(self, size: int) -> None:
        """Limit what is read while ``size`` bytes of replies wait.

        A server that echoes sends back as much as it gets, so the budget is at least that.
        """
        self.budget = (_MIN_BUDGET if self.budget is None else self.budget) + size

    def spend_budget(self, batch: Batch) -> None:
        """Subtract the frames of a batch from the budget, and pause reading once it is spent."""
        assert self.budget is not None
        self.budget -= sum(len(frame.payload) + _FRAME_OVERHEAD for frame in batch.frames)
        if self.budget <= 0:
            self.pause_reading(WRITE_BUFFER_FULL)

    def end_limit(self) -> None:
        """Read without a limit again: the write buffer has drained."""
        self.budget = None
        self.keepalive.heard = True  # the server has read, so it is alive
        self.resume_reading(WRITE_BUFFER_FULL)
