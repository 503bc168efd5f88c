"""The part of the reference model that watches keepalive pings and idle timeouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wsx
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.terms import EPSILON

if TYPE_CHECKING:
    from wsx.test.simulation.network import Link
    from wsx.test.simulation.subject import Subject
    from wsx.test.simulation.world import World


class Watch:
    """The rules about keepalive pings and idle timeouts; a part of the model of one client.

    Attributes:
        next_ping: When the next keepalive ping is due, or None.
        token: The first bytes of the payload of keepalive pings, once one was sent.
        pings: When the pings without a pong were sent, by payload.
        watched: When the pings were sent after which nothing was received.
        last_data: When the last message was received.
        expected_latency: The duration of the last round trip, or None.
        unclear_until: Until then timeouts depend on the write buffer.
    """

    subject: Subject
    world: World
    conn: wsx.Conn
    link: Link | None
    suspended: bool
    has_frames: int
    relaxed: bool
    write_held: bool

    def __init__(self) -> None:
        self.next_ping: float | None = None
        self.token = b""
        self.pings: dict[bytes, float] = {}
        self.watched: list[float] = []
        self.last_data = 0.0
        self.expected_latency: float | None = None
        self.unclear_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        raise NotImplementedError

    @property
    def now(self) -> float:
        """The time of the library, in seconds."""
        return self.world.now

    def fail(self, rule: Rule, text: str) -> None:
        """Record a violation."""
        self.world.fail(rule, self.subject, text)

    def _audit_keepalive(self, late: float) -> None:
        if self.next_ping is not None and late > self.next_ping:
            self.fail(Rule.PING_SENT, f"a keepalive ping was due at {self.next_ping}")
        if self._reading_is_paused() or self.write_held or late < self.unclear_until:
            return
        timeout = self.conn.ping_timeout
        if timeout is not None and self.watched and late > self.watched[0] + timeout:
            self.fail(Rule.PING_TIMEOUT, f"no answer to the ping of {self.watched[0]}")
        limit = self.conn.data_timeout
        if limit is not None and late > self.last_data + limit:
            self.fail(Rule.DATA_TIMEOUT, f"no message since {self.last_data}")

    def _reading_is_paused(self) -> bool:
        return self.link is not None and self.link.read_paused

    def _pong_arrives(self, payload: bytes) -> None:
        sent_at = self.pings.get(payload)
        if sent_at is None:
            return
        self.expected_latency = self.now - sent_at
        for older in [ping for ping, at in self.pings.items() if at <= sent_at]:
            del self.pings[older]

    def check_latency(self) -> None:
        """Compare ``client.latency`` with the last keepalive round trip."""
        found, expected = self.subject.client.latency, self.expected_latency
        if not self.is_open or self.world.tolerance or self.relaxed:
            return
        if (found is None) != (expected is None) or (
            found is not None and expected is not None and abs(found - expected) > EPSILON
        ):
            self.fail(Rule.LATENCY, f"latency {found}, expected {expected}")

    def _ping_written(self, payload: bytes) -> None:
        now = self.now
        if self.next_ping is None or not self.is_open:
            self.fail(Rule.PING_SENT, "an unexpected keepalive ping")
            return
        if not -EPSILON <= now - self.next_ping <= EPSILON + self.world.tolerance:
            self.fail(Rule.PING_SENT, f"a ping at {now}, due at {self.next_ping}")
        if self.token and payload[:8] != self.token:
            self.fail(Rule.PING_SENT, "the token of the pings has changed")
        if payload in self.pings:
            self.fail(Rule.PING_SENT, "two pings with the same payload")
        self.token = payload[:8]
        if len(self.pings) >= 16:
            self.pings.clear()
        self.pings[payload] = now
        assert self.conn.ping_interval is not None
        self.next_ping = now + self.conn.ping_interval
        self.watched.append(now)
        self.subject.telemetry.expect("sent", wsx.Ping(payload))

    def _check_ping_timeout(self) -> None:
        timeout = self.conn.ping_timeout
        if timeout is None:
            self.fail(Rule.NO_FALSE_TIMEOUT, "an abort without ping_timeout")
            return
        if self.write_held or self.relaxed or self.now < self.unclear_until:
            return
        silent = self.watched and self.now >= self.watched[0] + timeout - EPSILON
        if not silent or self._paused_for_frames():
            self.fail(Rule.NO_FALSE_TIMEOUT, f"PingTimeout; unanswered pings: {self.watched[:3]}")

    def _paused_for_frames(self) -> bool:
        return (self.suspended or self.has_frames > 0) and not self.write_held

    def _restart_watch(self) -> None:
        """Reading is resumed: time limits begin again."""
        if self.watched:
            self.watched = [self.now]
        self.last_data = max(self.last_data, self.now)
