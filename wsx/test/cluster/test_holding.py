"""Tests of wsx._cluster.holding: the registration of one client, step by step."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import capturedLogs, formatEvent

from wsx._cluster.calls import Calls
from wsx._cluster.holding import Holding, Shared
from wsx._cluster.lease import Terms
from wsx._cluster.store import NoResponder
from wsx._scheduler import Scheduler
from wsx.errors import ClusterError, ClusterSetupError
from wsx.test.support import MemoryCase, Recorder
from wsx.test.support.memory_nats import MemoryLink, MemoryNats

SUBJECTS = [f"wsx.feeds.{group}.feed" for group in ("call", "read", "control")]


class HoldingCase(MemoryCase):
    """Base class: a client without a name, and NATS in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.nats = MemoryNats(self.clock)
        self.link = MemoryLink(self.nats, self.clock, 1.0)
        self.link.start()
        self.recorder = Recorder()
        self.client = self.open(self.recorder)
        self.addCleanup(self.step)
        self.addCleanup(self.client.abort)
        self.losses: list[str] = []
        self.paused = 0.0  # How long the process was stopped, in seconds.
        self.holding = self.new_holding(b"a")

    def new_holding(self, value: bytes) -> Holding:
        """Return a registration of the client."""
        scheduler = Scheduler(self.clock)
        terms = Terms(
            self.link,
            10.0,
            scheduler,
            lambda: self.clock.seconds() + self.paused,
            lambda _: False,
            lambda value: value.decode(),
        )
        shared = Shared(self.link, "feeds", terms, Calls(self.link, "feeds", self.clock))
        return Holding(shared, "feed", self.client, lambda: value, False, self.losses.append)

    def register(self, holding: Holding, standby: bool = False) -> Deferred[bool]:
        """Register the client, and let NATS answer."""
        registering = Deferred.fromCoroutine(holding.register(standby))
        self.step()
        return registering

    def served(self) -> list[str]:
        """Return the subjects that are served."""
        return sorted(s for s, functions in self.nats.subscriptions.items() if functions)


class RegisterTests(HoldingCase):
    """Register a client, and release its name."""

    def test_registered(self) -> None:
        """A registered client has a fence, and calls to it are served."""
        self.assertTrue(self.successResultOf(self.register(self.holding)))
        self.assertTrue(self.holding.is_registered)
        self.assertEqual(self.holding.fence, 1)
        self.assertEqual(self.served(), sorted(SUBJECTS))

    def test_taken(self) -> None:
        """If the name is in use, nothing is served."""
        self.nats.write("feed", b"other", 0)
        self.assertFalse(self.successResultOf(self.register(self.holding)))
        self.assertEqual((self.holding.is_registered, self.served()), (False, []))

    def test_released(self) -> None:
        """After the release, nothing is served, and the name is free."""
        self.register(self.holding)
        released = Deferred.fromCoroutine(self.holding.release())
        self.step()
        self.successResultOf(released)
        self.assertEqual((self.holding.is_registered, self.served()), (False, []))
        again = self.register(self.new_holding(b"b"))
        self.assertTrue(self.successResultOf(again))

    def test_not_released(self) -> None:
        """A release without an answer is logged."""
        self.register(self.holding)
        self.link.loses_requests = True
        with capturedLogs() as events:
            released = Deferred.fromCoroutine(self.holding.release())
            self.clock.pump([0, 1, 0])
        self.successResultOf(released)
        self.assertIn("could not release the name", formatEvent(events[-1]))

    def test_lost(self) -> None:
        """A loss is reported once, and nothing is served any more."""
        self.register(self.holding)
        self.link.loses_requests = True
        self.clock.pump([0.1] * 100)
        (reason,) = self.losses
        self.assertRegex(reason, r"not renewed for \d\.\d s: no answer from NATS within 1 s")
        self.assertEqual((self.holding.is_registered, self.served()), (False, []))

    def test_call_after_a_pause(self) -> None:
        """A call that arrives before the late timer of the lease is refused, not performed."""
        self.register(self.holding)
        self.paused = 10.5
        calls = Calls(self.link, "feeds", self.clock)
        cast = calls.add("wsx.feeds.call.feed", ["cast", "late"], 1.0, {"name": "feed"})
        self.step()
        error = self.failureResultOf(cast, ClusterError).value
        self.assertIn("has lost the name", str(error))
        self.assertEqual(self.recorder.arguments("handle_cast"), [])

    def test_calls_cannot_be_served(self) -> None:
        """A client to which calls cannot be served does not keep the name."""

        def refuse(*_: Any) -> Any:
            raise ClusterError("no permission to subscribe")

        self.link.subscribe = lambda *_: Deferred.fromCoroutine(fails())  # type: ignore

        async def fails() -> Any:
            refuse()

        failed = self.register(self.holding)
        self.failureResultOf(failed, ClusterError)
        entry = self.nats.read("feed")
        assert entry is not None
        self.assertTrue(entry.is_deleted)


class CancelTests(HoldingCase):
    """A registration that ends while calls begin to be served."""

    def erased(self) -> bool:
        """Return whether the entry was deleted."""
        entry = self.nats.read("feed")
        return entry is not None and entry.is_deleted

    def test_cancelled(self) -> None:
        """Nothing is served later, and the name is free."""
        subscribe = self.link.subscribe

        def subscribe_to_one(subject: str, serve: Any) -> Any:
            return subscribe(subject, serve) if subject == SUBJECTS[0] else Deferred()

        self.patch(self.link, "subscribe", subscribe_to_one)
        registering = self.register(self.holding)
        self.assertEqual(self.served(), SUBJECTS[:1])
        registering.cancel()
        self.failureResultOf(registering, CancelledError)
        self.step()
        self.assertEqual(self.served(), [])
        self.assertTrue(self.erased())

    def test_no_permission(self) -> None:
        """A standby that may not serve calls does not try again."""
        refusal = ClusterSetupError("no permission to subscribe")
        self.patch(self.link, "subscribe", lambda *_: fail(refusal))
        waiting = self.register(self.holding, standby=True)
        self.failureResultOf(waiting, ClusterSetupError)
        self.step()
        self.assertTrue(self.erased())


class StandbyTests(HoldingCase):
    """A standby."""

    def test_notice(self) -> None:
        """A standby is told that the name is free, and listens no longer once it has it."""
        self.register(self.holding)
        other = self.new_holding(b"b")
        waiting = self.register(other, standby=True)
        self.assertEqual(self.served(), sorted([*SUBJECTS, "wsx.feeds.free.feed"]))
        Deferred.fromCoroutine(self.holding.release())
        self.step()
        self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(self.served(), sorted(SUBJECTS))

    def test_notice_before_the_end(self) -> None:
        """A release waits for the answer to the notice, because a link that stops drops it."""
        self.register(self.holding)
        self.register(self.new_holding(b"b"), standby=True)
        self.link.latency = 0.1
        releasing = Deferred.fromCoroutine(self.holding.release())
        self.clock.pump([0.1] * 2)
        entry = self.nats.read("feed")
        assert entry is not None
        self.assertTrue(entry.is_deleted)
        self.assertNoResult(releasing)
        self.clock.pump([0.1] * 2)
        self.successResultOf(releasing)

    def test_no_answer_to_the_notice(self) -> None:
        """A release waits one second at most for the answer to the notice."""
        self.register(self.holding)
        self.link.subscribe("wsx.feeds.free.feed", lambda _: Deferred())
        releasing = Deferred.fromCoroutine(self.holding.release())
        self.step()
        self.assertNoResult(releasing)
        self.clock.advance(1.0)
        self.successResultOf(releasing)

    def test_no_standby(self) -> None:
        """A notice that nothing listens to is no error."""
        self.register(self.holding)
        Deferred.fromCoroutine(self.holding.release())
        self.step()
        self.failureResultOf(self.asked("wsx.feeds.free.feed"), NoResponder)

    def asked(self, subject: str) -> Deferred[bytes]:
        """Send an empty request."""
        asked = self.link.request(subject, b"", 1.0)
        self.step()
        return asked

    def test_cancelled(self) -> None:
        """A cancelled standby listens no longer, and leaves no timer."""
        self.register(self.holding)
        other = self.new_holding(b"b")
        waiting = self.register(other, standby=True)
        waiting.cancel()
        self.step()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.served(), sorted(SUBJECTS))

    def test_cancelled_while_writing(self) -> None:
        """An entry that arrives after the cancellation is deleted again."""
        self.link.latency = 0.2
        registering = self.register(self.holding)
        self.clock.advance(0.1)
        registering.cancel()
        self.failureResultOf(registering, CancelledError)
        self.clock.pump([0.1] * 20)
        entry = self.nats.read("feed")
        assert entry is not None
        self.assertTrue(entry.is_deleted)
