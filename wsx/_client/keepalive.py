"""Notices a peer that is gone, or silent: keepalive pings and the two time-outs around them."""

from __future__ import annotations

import os
from collections.abc import Callable
from struct import Struct
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from wsx.conn import Conn
from wsx.errors import DataTimeout, PingTimeout, WsxError

__all__ = ["Keepalive"]

_COUNTER: Final = Struct("!I")
_MOST_OUTSTANDING: Final = 16  # a peer that lives but never answers pings costs no more than this


class Keepalive:
    """Watches one open connection.

    While reading is paused by us, no time-out runs: silence is no sign of a dead peer then.

    Args:
        reactor: for the time.
        conn: has ``ping_interval``, ``ping_timeout`` and ``data_timeout``.
        ping: sends a ping with this payload.
        gone: called once, with :class:`PingTimeout` or :class:`DataTimeout`.

    Attributes:
        token: the beginning of the payload of each of our pings; nobody else's has it.
        heard: the caller sets it to True for each read.
        latency: seconds of the last round trip, or None.
        watches_data: whether ``data`` wants to be called at all.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        conn: Conn,
        ping: Callable[[bytes], None],
        gone: Callable[[WsxError], None],
    ) -> None:
        self.token = os.urandom(4)
        self.heard = False
        self.latency: float | None = None
        self.watches_data = conn.data_timeout is not None
        self._reactor = reactor
        self._conn = conn
        self._send_ping = ping
        self._gone = gone
        self._paused = False
        self._pings = 0
        self._sent_at: dict[bytes, float] = {}  # the pings whose pong is still to come
        self._data_at = 0.0
        self._interval_timer: IDelayedCall | None = None
        self._pong_timer: IDelayedCall | None = None
        self._data_timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._schedule_ping()
        self.data()
        if self._conn.data_timeout is not None:
            self._data_timer = self._reactor.callLater(self._conn.data_timeout, self._check_data)

    def stop(self) -> None:
        """Ends all timers."""
        for timer in (self._interval_timer, self._pong_timer, self._data_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._interval_timer = self._pong_timer = self._data_timer = None

    def data(self) -> None:
        """Says that a Text or Binary message came."""
        self._data_at = self._reactor.seconds()

    def pong(self, payload: bytes) -> None:
        """Takes a pong to one of our pings."""
        sent_at = self._sent_at.get(payload)
        if sent_at is None:
            return
        self.latency = self._reactor.seconds() - sent_at
        # RFC 6455 section 5.5.3: the peer may answer only the latest of several pings.
        for older in [ping for ping, at in self._sent_at.items() if at <= sent_at]:
            del self._sent_at[older]

    def paused(self) -> None:
        """Says that we read no more for now."""
        self._paused = True

    def resumed(self) -> None:
        """Says that we read again: time-outs begin anew."""
        self._paused = False
        self.data()
        if self._pong_timer is not None:
            self._pong_timer.cancel()
            self._expect_life()

    def _schedule_ping(self) -> None:
        if self._conn.ping_interval is not None:
            self._interval_timer = self._reactor.callLater(self._conn.ping_interval, self._ping)

    def _ping(self) -> None:
        self._schedule_ping()
        self._pings = (self._pings + 1) & 0xFFFFFFFF
        payload = self.token + _COUNTER.pack(self._pings)
        if len(self._sent_at) >= _MOST_OUTSTANDING:
            self._sent_at.clear()
        self._sent_at[payload] = self._reactor.seconds()
        if self._pong_timer is None:
            self._expect_life()
        self._send_ping(payload)

    def _expect_life(self) -> None:
        if self._conn.ping_timeout is not None:
            self.heard = False
            self._pong_timer = self._reactor.callLater(self._conn.ping_timeout, self._check_life)

    def _check_life(self) -> None:
        self._pong_timer = None
        if self._paused:
            self._expect_life()
        elif not self.heard:
            self._report(PingTimeout())

    def _check_data(self) -> None:
        self._data_timer = None
        timeout = self._conn.data_timeout
        assert timeout is not None
        left = timeout if self._paused else self._data_at + timeout - self._reactor.seconds()
        if left > 0:
            self._data_timer = self._reactor.callLater(left, self._check_data)
        else:
            self._report(DataTimeout())

    def _report(self, error: WsxError) -> None:
        self.stop()
        self._gone(error)
