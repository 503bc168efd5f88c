"""Tests of wsx._client.lifecycle by itself; ``test_client_*`` test it through ``wsx.Client``."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionRefusedError

import wsx
from wsx._client.lifecycle import Lifecycle
from wsx._options import Options
from wsx.frames import TEXT
from wsx.test.support import URL, MemoryCase, Recorder, text


class FakeClient:
    """The attributes of a client that a lifecycle uses."""

    def __init__(self, handler: Any, name: Any) -> None:
        self.handler = handler
        self.name = name


class BrokenRandom(random.Random):
    """A random generator that raises."""

    def random(self) -> float:
        raise LookupError("no entropy")

    def uniform(self, a: float, b: float) -> float:
        raise LookupError("no entropy")


class LifecycleCase(MemoryCase):
    """A lifecycle without a client."""

    def make(self, handler: Any = None, **options: Any) -> Lifecycle[Any]:
        """Make a lifecycle that has not begun."""
        handler = handler or Recorder()
        conn = wsx.Conn(URL, endpoint=self.server, ping_interval=None)
        options = {"reactor": self.clock} | options
        self.client: Any = FakeClient(handler, options.get("name"))
        return Lifecycle(self.client, conn, handler, "state", Options(**options))

    def open_it(self, life: Lifecycle[Any]) -> None:
        """Begin, and complete the opening handshake."""
        started = life.begin()
        self.peer.answer()
        self.step()
        self.assertIs(self.successResultOf(started), self.client)


class BeginTests(LifecycleCase):
    """From the construction to an open connection."""

    def test_construction_does_nothing(self) -> None:
        """A lifecycle that has not begun makes no attempt and has no timer."""
        life = self.make()
        self.assertEqual(life.status, "connecting")
        self.assertEqual(self.server.attempts, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_open(self) -> None:
        """The Deferred of ``begin`` fires with the client, which the handler has as well."""
        life = self.make()
        self.open_it(life)
        self.assertEqual(life.status, "open")
        self.assertIs(life.handler.client, self.client)
        self.assertEqual(life.conn.resp_status, 101)

    def test_end_before_begin(self) -> None:
        """A lifecycle that is ended before it begins ends without an attempt."""
        life = self.make(async_=True)
        ended = life.terminated()
        life.end(wsx.Shutdown("early"))
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown("early"))
        self.assertEqual(self.server.attempts, 0)


class PolicyTests(LifecycleCase):
    """The ``reconnect`` policy: the planned delay, and whether it gave up."""

    def fail_attempts(self, count: int, **options: Any) -> tuple[Lifecycle[Any], list[Any]]:
        """Let attempts fail, a minute after each other.

        Returns:
            The lifecycle, and ``reconnect_delay`` in each ``handle_disconnect``.
        """
        delays: list[Any] = []

        def handle_disconnect(status: wsx.Disconnect, state: Any) -> Any:
            delay = life.reconnect_delay(status)
            delays.append(delay)
            return None if delay is None else wsx.Reconnect(state)

        handler = Recorder(handle_disconnect=handle_disconnect)
        life = self.make(handler, async_=True, handle_initial_conn_failure=True, **options)
        self.server.refusal = ConnectionRefusedError()
        life.begin()
        for _ in range(count):
            self.step()
            self.clock.advance(60)
        return life, delays

    def make_status(self, attempt_number: int) -> wsx.Disconnect:
        """Return the status of a lost connection."""
        lost = wsx.ConnectionDropped(ConnectionDone())
        return wsx.Disconnect(lost, attempt_number, wsx.Conn(URL))

    def test_delays(self) -> None:
        """``reconnect_delay`` returns the delay of the policy, or None if it gives up."""
        life = self.make(reconnect=wsx.Backoff(jitter=0, max_attempts=1))
        delays = [life.reconnect_delay(self.make_status(n)) for n in (1, 2, 1)]
        self.assertEqual(delays, [1.0, None, 1.0])
        self.assertFalse(life.gave_up)

    def test_read_twice(self) -> None:
        """The policy is called once for each loss, so jitter does not change the delay."""
        life = self.make(reconnect=wsx.Backoff(jitter=1))
        status = self.make_status(3)
        self.assertEqual(len({life.reconnect_delay(status) for _ in range(20)}), 1)

    def test_planned_delay_is_used(self) -> None:
        """The next attempt is made after the delay that the handler received."""
        delays: list[Any] = []

        def handle_disconnect(status: wsx.Disconnect, state: Any) -> Any:
            delays.append(life.reconnect_delay(status))
            return wsx.Reconnect(state)

        life = self.make(
            Recorder(handle_disconnect=handle_disconnect),
            reconnect=wsx.Backoff(initial=10, jitter=1),
        )
        self.open_it(life)
        self.peer.drop()
        self.step()
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime() - self.clock.seconds(), delays[0])

    def test_gave_up(self) -> None:
        """A policy that gives up ends the client."""
        policy = wsx.Backoff(jitter=0, max_attempts=2)
        life, delays = self.fail_attempts(5, reconnect=policy)
        self.assertEqual(delays, [1.0, 2.0, None])
        self.assertEqual(life.status, "terminated")
        self.assertTrue(life.gave_up)

    def test_did_not_give_up(self) -> None:
        """A client that is stopped while it reconnects was not given up."""
        life, delays = self.fail_attempts(2, reconnect=wsx.Backoff(jitter=0))
        self.assertGreaterEqual(len(delays), 2)
        self.assertNotIn(None, delays)
        self.assertFalse(life.gave_up)
        life.abort()
        self.step()
        self.assertEqual(life.status, "terminated")
        self.assertFalse(life.gave_up)

    def test_handler_that_does_not_reconnect(self) -> None:
        """If the handler ends the client against the policy, the policy did not give up."""
        handler = Recorder(handle_disconnect=wsx.Ok("state"))
        life = self.make(handler, reconnect=wsx.Backoff())
        self.open_it(life)
        self.peer.drop()
        self.step()
        self.assertEqual(life.status, "terminated")
        self.assertFalse(life.gave_up)

    def test_handler_that_does_not_ask(self) -> None:
        """If the handler ends the client without asking the policy, the policy did not give up."""
        life = self.make(Recorder(handle_disconnect=wsx.Ok("state")), reconnect=wsx.Backoff())
        self.open_it(life)
        life.close()
        self.peer.drop()
        self.step()
        self.assertEqual(life.status, "terminated")
        self.assertFalse(life.gave_up)

    def broken_policy(self, after: float | None) -> Lifecycle[Any]:
        """Lose a connection with a policy that raises, and reconnect after this delay."""
        handler = Recorder(handle_disconnect=wsx.Reconnect("state", after=after))
        life = self.make(handler, reconnect=wsx.Backoff(rng=BrokenRandom()))
        self.open_it(life)
        self.peer.drop()
        self.step()
        return life

    def test_policy_is_not_needed(self) -> None:
        """A policy is not called if the handler returns the delay, so it cannot fail."""
        life = self.broken_policy(after=1)
        self.assertEqual(life.status, "disconnected")
        self.clock.advance(1)
        self.assertEqual(life.status, "connecting")
        self.assertEqual(self.server.attempts, 2)

    def test_policy_that_raises(self) -> None:
        """An exception of the policy ends the client, as one of ``handle_disconnect`` does."""
        life = self.broken_policy(after=None)
        self.assertEqual(life.status, "terminated")
        self.assertIsInstance(self.successResultOf(life.terminated()), LookupError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_no_policy(self) -> None:
        """Without a policy there is no planned delay, and nothing gives up."""
        life, delays = self.fail_attempts(1)
        self.assertEqual(delays, [None])
        self.assertEqual(life.status, "terminated")
        self.assertFalse(life.gave_up)


class DelayedTests(LifecycleCase):
    """``send_after``."""

    def test_pending_ones_are_cancelled(self) -> None:
        """All pending calls are cancelled at the end."""
        life = self.make()
        self.open_it(life)
        calls = [life.send_after(60, number) for number in range(300)]
        life.end(wsx.Shutdown())
        self.peer.drop()
        self.step()
        self.assertEqual([call for call in calls if call.active()], [])

    def test_delivered_as_info(self) -> None:
        """A message is delivered to ``handle_info`` after its delay."""
        handler = Recorder()
        life = self.make(handler)
        self.open_it(life)
        life.send_after(2, "x")
        self.clock.advance(1)
        self.step()
        self.assertEqual(handler.arguments("handle_info"), [])
        self.clock.advance(1)
        self.step()
        self.assertEqual(handler.arguments("handle_info"), ["x"])


class BackpressureTests(LifecycleCase):
    """Replies that wait for a full write buffer."""

    def full(self) -> tuple[Lifecycle[Any], Recorder]:
        """Open a connection whose write buffer is full after the reply to "1"."""
        handler = Recorder(
            handle_frame=lambda frame, state: wsx.Reply(frame, state),
            handle_cast=wsx.Ok("state"),
        )
        life = self.make(handler)
        self.open_it(life)
        self.peer.buffer.pauseProducing()
        self.peer.send(text("1"))
        return life, handler

    def frames(self, handler: Recorder) -> list[str]:
        """Return the payloads of the delivered frames."""
        return [frame.payload for frame in handler.arguments("handle_frame")]

    def test_frames_are_held(self) -> None:
        """While the write buffer is full, no frame is delivered."""
        _, handler = self.full()
        self.peer.send(text("2"))
        self.step()
        self.assertEqual(self.frames(handler), ["1"])

    def test_budget(self) -> None:
        """While the write buffer is full, 256 KiB are read and no more."""
        _, handler = self.full()
        self.peer.send(text("2"))
        self.peer.send(text("x" * 262_000))
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.send(text("x" * 200))
        self.assertTrue(self.peer.transport.reading_paused)
        self.step()
        self.assertEqual(self.frames(handler), ["1"])
        self.peer.buffer.resumeProducing()
        self.assertFalse(self.peer.transport.reading_paused)
        self.step()
        self.assertEqual([len(payload) for payload in self.frames(handler)], [1, 1, 262_000, 200])

    def test_messages_are_delivered(self) -> None:
        """While the write buffer is full, casts are delivered."""
        life, handler = self.full()
        life.post("handle_cast", "x")
        self.step()
        self.assertEqual(handler.arguments("handle_cast"), ["x"])

    def test_drained(self) -> None:
        """After the write buffer has drained, reading and delivery are resumed."""
        _, handler = self.full()
        self.peer.send(text("2"))
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertEqual(self.frames(handler), ["1", "2"])
        self.assertFalse(self.peer.transport.reading_paused)
        self.assertEqual(self.peer.received(), [(TEXT, b"1"), (TEXT, b"2")])

    def test_lost(self) -> None:
        """If the connection is lost, held frames and ``handle_disconnect`` are delivered."""
        _, handler = self.full()
        self.peer.send(text("2"))
        self.peer.drop()
        self.step()
        self.assertEqual(self.frames(handler), ["1", "2"])
        self.assertEqual(len(handler.arguments("handle_disconnect")), 1)

    def test_next_connection(self) -> None:
        """The next connection is not affected by the full write buffer of the last one."""
        life, handler = self.full()
        handler.answers["handle_disconnect"] = wsx.Reconnect("state", after=1)
        self.peer.drop()
        self.step()
        self.clock.advance(1)
        self.peer.answer()
        self.peer.send(text("2"))
        self.step()
        self.assertEqual(life.status, "open")
        self.assertEqual(self.frames(handler), ["1", "2"])
        self.assertFalse(self.peer.transport.reading_paused)

    def test_close(self) -> None:
        """Closing delivers held frames, then ``handle_disconnect``."""
        life, handler = self.full()
        self.peer.send(text("2"))
        life.close()
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(self.frames(handler), ["1", "2"])
        self.assertEqual(len(handler.arguments("handle_disconnect")), 1)
