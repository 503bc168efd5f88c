"""Keepalive pings and idle timeouts of one open connection."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final, TypeGuard

from twisted.internet.interfaces import IDelayedCall

from wsx._scheduler import Scheduler, Timeout
from wsx._wire.batch import Batch
from wsx.conn import Conn
from wsx.errors import DataTimeout, PingTimeout, WsxError
from wsx.frames import Binary, Frame, Ping, Pong, Text

__all__ = ["Keepalive", "is_keepalive_ping"]

_PAYLOAD: Final = re.compile(rb"[0-9a-f]{16}")  # see Keepalive._ping
_MAX_OUTSTANDING_PINGS: Final = 16  # Limits the memory if the server never sends pongs.


class Keepalive:
    """Send keepalive pings on one open connection, and detect a server that does not respond.

    No timeout runs while the client itself has paused reading, because the server may have sent
    data that was not read. For the same reason, the reactor reads once before a timeout ends the
    connection.

    Args:
        scheduler: The scheduler for the timers.
        conn: The Conn, for ``ping_interval``, ``ping_timeout`` and ``data_timeout``.
        ping: Called with the payload of each ping, to send the ping.
        silent: Called once, with a :class:`PingTimeout` or :class:`DataTimeout`.

    Attributes:
        heard: Whether bytes were received since the timeout of a ping started. The caller sets this
            to True for each read.
        latency: The duration of the last round trip in seconds, or None.
        watches_data: Whether the caller must call :meth:`received` for each batch.
    """

    __slots__ = (
        "_conn",
        "_data_at",
        "_data_timer",
        "_interval_timer",
        "_paused",
        "_pings",
        "_pong_timer",
        "_scheduler",
        "_send_ping",
        "_sent_at",
        "_silent",
        "_token",
        "heard",
        "latency",
        "watches_data",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        conn: Conn,
        ping: Callable[[bytes], None],
        silent: Callable[[WsxError], None],
    ) -> None:
        self.heard = False
        self.latency: float | None = None
        self.watches_data = conn.data_timeout is not None
        # Printable ASCII: some servers decode the payload of a ping as UTF-8.
        self._token = os.urandom(4).hex().encode("ascii")
        self._scheduler = scheduler
        self._conn = conn
        self._send_ping = ping
        self._silent = silent
        self._paused = False
        self._pings = 0
        self._sent_at: dict[bytes, float] = {}  # The pings without a pong, by payload.
        self._data_at = 0.0
        self._interval_timer: IDelayedCall | None = None
        self._pong_timer: Timeout | None = None
        self._data_timer: Timeout | None = None

    def start(self) -> None:
        """Start the timers."""
        self._schedule_ping()
        self._note_data()
        if self._conn.data_timeout is not None:
            self._data_timer = self._scheduler.timeout(self._conn.data_timeout, self._check_data)

    def stop(self) -> None:
        """Cancel all timers."""
        for timer in (self._interval_timer, self._pong_timer, self._data_timer):
            if timer is not None:
                timer.cancel()
        self._interval_timer = self._pong_timer = self._data_timer = None

    def received(self, frames: list[Frame]) -> None:
        """Restart ``data_timeout`` if there is a message among the frames."""
        if any(isinstance(frame, (Text, Binary)) for frame in frames):
            self._note_data()

    def _note_data(self) -> None:
        self._data_at = self._scheduler.seconds()

    def take_pongs(self, batch: Batch) -> list[Pong]:
        """Remove the pongs that answer keepalive pings from a batch, and return them."""
        pongs = [frame for frame in batch.frames if self._is_own(frame)]
        if pongs:
            for pong in pongs:
                self._pong(pong.payload)
            batch.frames = [frame for frame in batch.frames if not self._is_own(frame)]
            batch.has_controls = any(isinstance(f, (Ping, Pong)) for f in batch.frames)
        return pongs

    def _is_own(self, frame: Frame) -> TypeGuard[Pong]:
        return isinstance(frame, Pong) and frame.payload.startswith(self._token)

    def _pong(self, payload: bytes) -> None:
        sent_at = self._sent_at.get(payload)
        if sent_at is None:
            return
        self.latency = self._scheduler.seconds() - sent_at
        # RFC 6455 section 5.5.3: the server may answer only the latest of several pings.
        for older in [ping for ping, at in self._sent_at.items() if at <= sent_at]:
            del self._sent_at[older]

    def paused(self) -> None:
        """Suspend the timeouts, because the client has paused reading."""
        self._paused = True

    def resumed(self) -> None:
        """Restart the timeouts, because the client has resumed reading."""
        self._paused = False
        self._note_data()
        if self._pong_timer is not None and not self.heard:
            self._pong_timer.cancel()
            self._expect_life()

    def _schedule_ping(self) -> None:
        if self._conn.ping_interval is not None:
            self._interval_timer = self._scheduler.callLater(self._conn.ping_interval, self._ping)

    def _ping(self) -> None:
        self._schedule_ping()
        self._pings = (self._pings + 1) & 0xFFFFFFFF
        payload = self._token + b"%08x" % self._pings
        if len(self._sent_at) >= _MAX_OUTSTANDING_PINGS:
            self._sent_at.clear()
        self._sent_at[payload] = self._scheduler.seconds()
        if self._pong_timer is not None and self.heard:  # It belongs to an earlier ping.
            self._pong_timer.cancel()
            self._pong_timer = None
        if self._pong_timer is None:
            self._expect_life()
        self._send_ping(payload)

    def _expect_life(self) -> None:
        if self._conn.ping_timeout is not None:
            self.heard = False
            self._pong_timer = self._scheduler.timeout(self._conn.ping_timeout, self._check_life)

    def _check_life(self) -> None:
        self._pong_timer = None
        if self.heard:
            return
        if self._paused:
            self._expect_life()
        else:
            self._report(PingTimeout(self._conn.ping_timeout))

    def _check_data(self) -> None:
        self._data_timer = None
        timeout = self._conn.data_timeout
        assert timeout is not None
        remaining = timeout if self._paused else self._data_at + timeout - self._scheduler.seconds()
        if remaining > 0:
            self._data_timer = self._scheduler.timeout(remaining, self._check_data)
        else:
            self._report(DataTimeout(timeout))

    def _report(self, error: WsxError) -> None:
        self.stop()
        self._silent(error)


def is_keepalive_ping(ping: Ping) -> bool:
    """Return whether a ping has the form of a keepalive ping: 16 hexadecimal digits."""
    return _PAYLOAD.fullmatch(ping.payload) is not None
