"""Tests of wsx._client.lifecycle by itself; ``test_client_*`` test it as users see it."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone

import wsx
from wsx._client.lifecycle import Lifecycle
from wsx._options import Options
from wsx.test.support import URL, MemoryCase, Recorder


class LifecycleCase(MemoryCase):
    """A lifecycle without a client."""

    def make(self, handler: Any = None, **options: Any) -> Lifecycle[Any]:
        """Make a lifecycle that has not begun."""
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        options = {"reactor": self.clock} | options
        client: Any = object()
        return Lifecycle(client, conn, handler or Recorder(), "state", Options(**options))

    def open_it(self, life: Lifecycle[Any]) -> None:
        """Begin, and complete the opening handshake."""
        started = life.begin()
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(started), life.client)


class BeginTests(LifecycleCase):
    """The way from the construction to an open connection."""

    def test_construction_does_nothing(self) -> None:
        """A lifecycle that has not begun makes no attempt and has no timer."""
        life = self.make()
        self.assertEqual(life.status, "connecting")
        self.assertEqual(self.server.attempts, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_open(self) -> None:
        """The Deferred of ``begin`` fires with the client; the handler has it as well."""
        life = self.make()
        self.open_it(life)
        self.assertEqual(life.status, "open")
        self.assertIs(life.handler.client, life.client)
        self.assertEqual(life.conn.resp_status, 101)

    def test_end_before_begin(self) -> None:
        """One that is ended before it begins ends without an attempt."""
        life = self.make(async_=True)
        ended = life.terminated()
        life.end(wsx.Shutdown("early"))
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown("early"))
        self.assertEqual(self.server.attempts, 0)


class LabelTests(LifecycleCase):
    """What log lines call a client."""

    def test_name(self) -> None:
        """It is the name, where there is one."""
        self.assertEqual(self.make(name="feed").label, "'feed'")

    def test_without_name(self) -> None:
        """Otherwise it is the handler's class and the URL."""
        self.assertEqual(self.make().label, f"<Recorder {URL}>")


class PolicyTests(LifecycleCase):
    """The ``reconnect`` policy, and whether it gave up."""

    def status(self, attempt_number: int) -> wsx.Disconnect:
        """Return the status of a lost connection."""
        lost = wsx.ConnectionDropped(ConnectionDone())
        return wsx.Disconnect(lost, attempt_number, wsx.Conn(URL))

    def test_gave_up(self) -> None:
        """It gave up if the policy answered None when it was asked last."""
        life = self.make(reconnect=wsx.Backoff(jitter=0, max_attempts=1))
        answers = [(life.reconnect_delay(self.status(n)), life.gave_up) for n in (1, 2, 1)]
        self.assertEqual(answers, [(1.0, False), (None, True), (1.0, False)])

    def test_no_policy(self) -> None:
        """Without a policy there is no delay, and nothing gave up."""
        life = self.make()
        self.assertIsNone(life.reconnect_delay(self.status(1)))
        self.assertFalse(life.gave_up)


class LaterTests(LifecycleCase):
    """Infos that are sent later."""

    def test_cancelled_ones_are_forgotten(self) -> None:
        """Cancelled calls do not pile up, although nothing reports a cancellation."""
        life = self.make()
        self.open_it(life)
        for _ in range(1000):
            life.send_after(60, "tick").cancel()
        self.assertLess(len(life._later), 200)

    def test_pending_ones_are_kept(self) -> None:
        """No pending call is forgotten: all of them are cancelled at the end."""
        life = self.make()
        self.open_it(life)
        calls = [life.send_after(60, number) for number in range(300)]
        life.end(wsx.Shutdown())
        self.peer.drop()
        self.step()
        self.assertEqual([call for call in calls if call.active()], [])
