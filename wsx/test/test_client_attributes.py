"""Tests of the attributes of a client."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

import wsx
from wsx.frames import PING, PONG
from wsx.test.support import URL, Recorder, server_frame
from wsx.test.support.clients import ClientCase


class LookingTests(ClientCase):
    """The attributes of a client."""

    def test_status(self) -> None:
        """``status`` names each state of a client's life."""
        recorder = Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=1))
        client = self.successResultOf(self.start(recorder, async_=True))
        seen = [client.status]
        self.peer.answer()
        self.step()
        seen.append(client.status)
        client.close()
        seen.append(client.status)
        self.peer.drop()
        self.step()
        seen.append(client.status)
        self.clock.advance(1)
        seen.append(client.status)
        client.stop()
        self.step()
        seen.append(client.status)
        self.assertEqual(
            seen,
            ["connecting", "open", "closing", "disconnected", "connecting", "terminated"],
        )

    def test_conn_before_the_answer(self) -> None:
        """Before the connection is open, ``conn`` says where the client connects to."""
        client = self.successResultOf(self.start(Recorder(), async_=True))
        self.assertEqual(client.conn.url, URL)
        self.assertIsNone(client.conn.resp_status)

    def test_latency(self) -> None:
        """``latency`` is the last keepalive round trip in seconds, or None before the first."""
        recorder = Recorder()
        client = self.open(recorder, ping_interval=10.0)
        self.assertIsNone(client.latency)
        self.clock.advance(10)
        ((opcode, payload),) = self.peer.received()
        self.assertEqual(opcode, PING)
        self.clock.advance(0.25)
        self.peer.send(server_frame(PONG, payload))
        self.assertEqual(client.latency, 0.25)
        self.assertEqual(recorder.arguments("handle_pong"), [])

    def test_repr(self) -> None:
        """The ``repr`` shows the name, the URL and the status."""
        client = self.open(Recorder(), url="ws://example.test/feed", name="feed")
        for part in ("feed", "Recorder", "ws://example.test/feed", "open"):
            self.assertIn(part, repr(client))
        self.end(client)
        self.assertIn("terminated", repr(client))

    def test_repr_without_secrets(self) -> None:
        """The ``repr`` shows neither passwords, nor query values, nor the state."""
        client = self.open(
            Recorder(),
            {"key": "state-secret"},
            url="ws://user:pass-secret@example.test/feed?token=query-secret&bare-secret",
            extra_headers={"Authorization": "header-secret"},
        )
        self.assertNotIn("secret", repr(client))
        self.assertNotIn("secret", repr(client.conn))

    def test_when_open(self) -> None:
        """``when_open`` fires with the client once ``handle_connect`` has returned."""
        answer: Deferred[Any] = Deferred()
        client = self.successResultOf(
            self.start(Recorder(handle_connect=lambda *_: answer), async_=True)
        )
        waiting = [client.when_open(), client.when_open()]
        self.peer.answer()
        self.step()
        for opened in waiting:
            self.assertNoResult(opened)
        answer.callback(None)
        self.step()
        self.assertEqual([self.successResultOf(opened) for opened in waiting], [client, client])

    def test_when_open_after_start_has_closed(self) -> None:
        """``when_open`` waits for the next connection if a callback of ``start`` closes one."""

        def close(client: wsx.Client[Any]) -> None:
            client.close()

        retry = Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=1))
        started = self.start(retry).addCallback(close)
        opened = retry.client.when_open()
        self.peer.answer()
        self.step()
        self.successResultOf(started)
        self.assertNoResult(opened)
        self.peer.drop()
        self.step()
        self.clock.advance(1)
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(opened), retry.client)

    def test_when_open_already(self) -> None:
        """``when_open`` on an open client fires at once."""
        client = self.open(Recorder())
        self.assertIs(self.successResultOf(client.when_open()), client)

    def test_when_open_again(self) -> None:
        """``when_open`` between two connections fires when the second is open."""
        client = self.open(Recorder(handle_disconnect=lambda _, s: wsx.Reconnect(s, after=1)))
        self.peer.drop()
        self.step()
        opened = client.when_open()
        self.clock.advance(1)
        self.assertNoResult(opened)
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(opened), client)

    def test_when_open_never(self) -> None:
        """``when_open`` fails with the reason once the client has ended."""
        self.server.refusal = ConnectionRefusedError()
        client = self.successResultOf(self.start(Recorder(), async_=True))
        early = client.when_open()
        self.step()
        self.failureResultOf(early, wsx.ConnError)
        self.failureResultOf(client.when_open(), wsx.ConnError)
        self.server.refusal = None
        client = self.successResultOf(self.start(Recorder(), async_=True))
        early = client.when_open()
        client.stop("enough")
        self.step()
        error = self.failureResultOf(early, wsx.ClientEnded).value
        self.assertEqual(error.reason, wsx.Shutdown("enough"))

    def test_when_open_cancelled(self) -> None:
        """Cancelling a Deferred of ``when_open`` affects neither the client nor the others."""
        client = self.successResultOf(self.start(Recorder(), async_=True))
        first, second = client.when_open(), client.when_open()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(second), client)
