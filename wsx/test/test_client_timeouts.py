"""Tests of the keepalive and the timeouts of an open connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx import Backoff, Text
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import BAD_FRAME, EndCase, reasons, reconnecting


class TimeoutTests(EndCase):
    """The reasons ``PingTimeout`` and ``DataTimeout``."""

    def pings(self) -> int:
        return [opcode for opcode, _ in self.peer.received()].count(9)

    def test_ping_timeout(self) -> None:
        """A server that sends nothing after a ping is dropped with PingTimeout."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(9.5)
        self.assertEqual(self.pings(), 0)
        self.pass_time(4)
        self.assertEqual(self.pings(), 1)
        self.assertFalse(self.peer.transport.aborted)
        self.pass_time(1)
        self.assertTrue(self.peer.transport.aborted)
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.PingTimeout)
        self.assertEqual(self.pings(), 0)
        self.assert_ended(client, reason)

    def test_defaults(self) -> None:
        """By default, a ping is sent after 20 seconds, and the timeout is 20 seconds."""
        handler = Recorder()
        started = wsx.start("ws://x.test", handler, reactor=self.clock, endpoint=self.server)
        self.accept()
        self.successResultOf(started)
        self.pass_time(19.5)
        self.assertEqual(self.pings(), 0)
        self.pass_time(1)
        self.assertEqual(self.pings(), 1)
        self.pass_time(19)
        self.assertEqual(reasons(handler), [])
        self.pass_time(1)
        self.assertIsInstance(reasons(handler)[0], wsx.PingTimeout)

    @each((text("x"), server_frame(9), server_frame(10, b"other"), text("x")[:1]))
    def test_any_bytes_are_life(self, life: bytes) -> None:
        """Any bytes after the ping reset the timeout: a message, ping, pong, partial frame."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(12)
        self.peer.send(life)
        self.pass_time(7)
        self.assertEqual(client.status, "open", life)

    def test_silence_after_life(self) -> None:
        """Bytes received before the ping do not count."""
        handler = Recorder()
        self.open(handler, ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(9.5)
        self.peer.send(text("x"))
        self.pass_time(5)
        self.assertIsInstance(reasons(handler)[0], wsx.PingTimeout)

    def test_timeout_of_the_last_connection(self) -> None:
        """A stop after a timeout and a reconnect waits for the whole ``close_timeout``."""
        client = self.open(reconnecting(after=0), data_timeout=3.0, close_timeout=5.0)
        self.pass_time(3)
        self.lose()
        self.accept()
        self.assertEqual((client.status, self.server.attempts), ("open", 2))
        client.stop()
        self.pass_time(4.5)
        self.assertFalse(self.peer.transport.aborted)
        self.pass_time(1)
        self.assertTrue(self.peer.transport.aborted)

    def test_keepalive_off(self) -> None:
        """With ``ping_interval=None``, there are no pings and no timeout."""
        client = self.open(Recorder(), ping_interval=None, ping_timeout=4.0)
        self.pass_time(200)
        self.assertEqual(client.status, "open")
        self.assertEqual(self.pings(), 0)

    def test_ping_timeout_off(self) -> None:
        """With ``ping_timeout=None``, there are pings but no timeout."""
        client = self.open(Recorder(), ping_interval=10.0, ping_timeout=None)
        self.pass_time(200)
        self.assertEqual(client.status, "open")
        self.assertEqual(self.pings(), 20)

    def pause(self, **options: Any) -> tuple[Recorder, Deferred[Any]]:
        """Open a client that has paused reading: a callback is pending and a frame waits."""
        answer: Deferred[Any] = Deferred()
        handler = Recorder(handle_frame=lambda frame, state: answer if frame == Text("a") else None)
        self.open(handler, **options)
        self.peer.send(text("a") + text("b"))
        self.assertTrue(self.peer.transport.reading_paused)
        return handler, answer

    def test_ping_timeout_while_reading_is_paused(self) -> None:
        """While the client has paused reading, no ping timeout runs. It restarts afterwards."""
        handler, answer = self.pause(ping_interval=10.0, ping_timeout=4.0)
        self.pass_time(101)
        self.assertEqual(handler.client.status, "open")
        answer.callback(None)
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.pass_time(3.5)
        self.assertEqual(handler.client.status, "open")
        self.pass_time(14.5)
        self.assertIsInstance(reasons(handler)[0], wsx.PingTimeout)

    def test_data_timeout(self) -> None:
        """Without messages for ``data_timeout`` seconds: DataTimeout. Pings do not count."""
        handler = Recorder()
        client = self.open(handler, data_timeout=10.0, close_timeout=3.0)
        for _ in range(2):
            self.pass_time(9)
            self.peer.send(text("x"))
        for _ in range(19):
            self.pass_time(0.5)
            self.peer.send(server_frame(9) + server_frame(10, b"x"))
        self.assertEqual(client.status, "open")
        self.pass_time(0.5)
        self.assertEqual(client.status, "closing")
        self.pass_time(0.5)
        self.assertFalse(self.peer.transport.aborted)
        self.pass_time(0.5)  # A silent server has one second to answer, not close_timeout.
        self.assertTrue(self.peer.transport.aborted)
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.DataTimeout)
        self.assertEqual(reason.timeout, 10.0)
        self.assert_ended(client, reason)

    def test_binary_is_data(self) -> None:
        """A Binary message counts like a Text message."""
        client = self.open(Recorder(), data_timeout=10.0)
        for _ in range(3):
            self.pass_time(9)
            self.peer.send(server_frame(2, b"x"))
        self.assertEqual(client.status, "open")

    def test_no_data_timeout_by_default(self) -> None:
        """Without ``data_timeout``, a silent server is never closed."""
        client = self.open(Recorder())
        self.pass_time(500)
        self.assertEqual(client.status, "open")

    def test_data_timeout_while_reading_is_paused(self) -> None:
        """While the client has paused reading, no data timeout runs. It restarts afterwards."""
        handler, answer = self.pause(data_timeout=10.0)
        self.pass_time(101)
        self.assertEqual(handler.client.status, "open")
        answer.callback(None)
        self.step()
        self.pass_time(9.5)
        self.assertEqual(handler.client.status, "open")
        self.pass_time(1)
        self.lose()
        self.assertIsInstance(reasons(handler)[0], wsx.DataTimeout)

    @each(({"ping_interval": 10.0, "ping_timeout": 4.0}, {"data_timeout": 14.0}))
    def test_timers_are_the_connections_own(self, options: dict[str, Any]) -> None:
        """The next connection has its own timeouts."""
        handler = reconnecting(after=1.0)
        client = self.open(handler, **options)
        self.pass_time(11)
        self.come_back()
        self.pass_time(9.5)
        self.assertEqual(client.status, "open", options)
        self.assertEqual(self.pings(), 0, options)

    @each(
        [
            lambda test, client: test.peer.drop(),
            lambda test, client: client.close(),
            lambda test, client: client.stop(),
            lambda test, client: test.peer.send(close(1000)),
            lambda test, client: test.peer.send(BAD_FRAME),
        ]
    )
    def test_timers_end_with_the_connection(
        self, end: Callable[[EndCase, wsx.Client[Any]], Any]
    ) -> None:
        """However a connection ends, no keepalive timer is left."""
        client = self.open(Recorder(), ping_interval=10.0, ping_timeout=4.0, data_timeout=100.0)
        self.pass_time(11)
        ended = client.terminated()
        end(self, client)
        self.lose()
        self.assert_ended(client, self.successResultOf(ended))

    @each(({"ping_interval": 10.0, "ping_timeout": 4.0}, {"data_timeout": 14.0}))
    def test_time_outs_are_retried(self, options: dict[str, Any]) -> None:
        """[D3] PingTimeout and DataTimeout are retried."""
        client = self.open(wsx.Handler, reconnect=Backoff(jitter=0), **options)
        self.pass_time(14)
        self.lose()
        self.pass_time(1)
        self.assertEqual(self.server.attempts, 2, options)
        self.accept()
        self.assertEqual(client.status, "open", options)
