"""Tests of slow callbacks, and of the time that a delivery may take in one reactor iteration."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx import Binary, Ok, Ping, Text
from wsx._client.mailbox import Message
from wsx._wire.batch import Batch
from wsx.test.support.delivery import DeliveryScenario
from wsx.test.support.each import each


class SlowCase(SynchronousTestCase):
    """Base class: a handler whose callbacks take some time.

    Attributes:
        seconds: The time that each callback takes, by the name of the callback.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.seconds: dict[str, float] = {}
        answers = {
            name: self.slow(name)
            for name in ("handle_frame", "handle_ping", "handle_cast", "handle_info", "terminate")
        }
        self.scenario = DeliveryScenario(self.clock, **answers)

    def slow(self, name: str) -> Any:
        """Return a callback that takes ``seconds``."""

        def callback(*_: Any) -> None:
            self.clock.rightNow += self.seconds.get(name, 0.0)

        return callback

    def receive(self, *frames: Any) -> None:
        """Deliver frames of one batch."""
        batch = Batch()
        batch.frames = list(frames)
        batch.has_controls = any(isinstance(frame, Ping) for frame in frames)
        self.scenario.delivery.received(batch)

    def post(self, callback: str) -> None:
        """Deliver a cast or an info."""
        self.scenario.mailbox.message(Message(callback, "message"))
        self.scenario.delivery.deliver()

    @property
    def blocked(self) -> list[tuple[str, tuple[float, int]]]:
        """The reports: callback, seconds and number of calls."""
        return [
            (what, more) for name, what, more in self.scenario.log if name == "callback_blocked"
        ]


class ReportTests(SlowCase):
    """Reports of callbacks that take at least ``slow_callback`` seconds, here 1."""

    def test_one_frame(self) -> None:
        """A slow handle_frame is reported with its duration."""
        self.seconds["handle_frame"] = 1.5
        self.receive(Text("a"))
        self.assertEqual(self.blocked, [("handle_frame", (1.5, 1))])

    def test_at_the_limit(self) -> None:
        """A callback of exactly ``slow_callback`` seconds is slow, a shorter one is not."""
        self.seconds["handle_frame"] = 0.999
        self.receive(Text("a"))
        self.assertEqual(self.blocked, [])
        self.seconds["handle_frame"] = 1.0
        self.receive(Binary(b"a"))
        self.assertEqual(len(self.blocked), 1)

    def test_several_frames(self) -> None:
        """Frames of one batch are reported together, with their number."""
        self.seconds["handle_frame"] = 0.25
        self.receive(*[Text("a")] * 8)
        self.assertEqual(self.blocked, [("handle_frame", (2.0, 8))])

    def test_ping(self) -> None:
        """Among pings, each callback is measured for itself."""
        self.seconds["handle_ping"] = 2.0
        self.receive(Text("a"), Ping(b"b"), Text("c"))
        self.assertEqual(self.blocked, [("handle_ping", (2.0, 1))])

    @each(("handle_cast", "handle_info"))
    def test_message(self, callback: str) -> None:
        """A slow handle_cast or handle_info is reported."""
        self.seconds[callback] = 3.0
        self.post(callback)
        self.assertEqual(self.blocked, [(callback, (3.0, 1))])

    def test_terminate(self) -> None:
        """A slow terminate is reported."""
        self.seconds["terminate"] = 3.0
        self.scenario.delivery.end()
        self.successResultOf(self.scenario.delivery.terminate("reason"))
        self.assertEqual(self.blocked, [("terminate", (3.0, 1))])

    def test_exception(self) -> None:
        """A callback that raises in the end is reported, too."""

        def fail(*_: Any) -> None:
            self.clock.rightNow += 2.0
            raise ZeroDivisionError

        self.scenario.handler.answers["handle_cast"] = fail
        self.post("handle_cast")
        self.assertEqual(self.blocked, [("handle_cast", (2.0, 1))])

    def test_waiting(self) -> None:
        """The time for which a callback's Deferred is pending is not counted."""
        pending: Deferred[Any] = Deferred()
        self.scenario.handler.answers["handle_frame"] = pending
        self.receive(Text("a"))
        self.clock.advance(60.0)
        pending.callback(Ok("new"))
        self.assertEqual(self.blocked, [])

    def test_coroutine(self) -> None:
        """The part of a coroutine before its first await is counted."""

        async def callback() -> None:
            self.clock.rightNow += 2.0
            await Deferred()

        self.scenario.handler.answers["handle_frame"] = lambda *_: callback()
        self.receive(Text("a"))
        self.assertEqual(self.blocked, [("handle_frame", (2.0, 1))])

    def test_after_an_await(self) -> None:
        """Each part of a coroutine after an await is counted by itself."""
        pending: list[Deferred[Any]] = [Deferred(), Deferred()]

        async def callback() -> None:
            for each_wait, seconds in zip(pending, (1.5, 0.5), strict=True):
                await each_wait
                self.clock.rightNow += seconds

        self.scenario.handler.answers["handle_frame"] = lambda *_: callback()
        self.receive(Text("a"))
        for each_wait in pending:
            self.clock.advance(60.0)
            each_wait.callback(None)
        self.assertEqual(self.blocked, [("handle_frame", (1.5, 1))])

    def test_requests(self) -> None:
        """The function of replace_state, and code_change, are counted."""
        self.scenario.delivery.request(
            lambda: self.scenario.delivery.replace_state(self.slow("replace_state"))
        )
        self.assertEqual(self.blocked, [])
        self.seconds["replace_state"] = 2.0
        self.scenario.delivery.request(
            lambda: self.scenario.delivery.replace_state(self.slow("replace_state"))
        )

        class Changed(type(self.scenario.handler)):  # type: ignore[misc]
            code_change = staticmethod(self.slow("code_change"))

        self.seconds["code_change"] = 3.0
        self.scenario.delivery.request(
            lambda: self.scenario.delivery.change_code(Changed, "1", None)
        )
        self.assertEqual(self.blocked, [("replace_state", (2.0, 1)), ("code_change", (3.0, 1))])


class TurnTests(SlowCase):
    """One reactor iteration delivers for at most 10 ms."""

    def delivered(self, callback: str) -> int:
        """Return the number of calls."""
        return sum(name == callback for name, _, _ in self.scenario.log)

    def test_frames(self) -> None:
        """The frames after that wait for the next iteration; reading is paused meanwhile."""
        self.seconds["handle_frame"] = 0.001
        self.receive(*[Text("a")] * 500)
        self.assertEqual(self.delivered("handle_frame"), 128)
        self.assertFalse(self.scenario.owner.reading)
        self.clock.advance(0)
        self.assertEqual(self.delivered("handle_frame"), 500)
        self.assertTrue(self.scenario.owner.reading)

    def test_frames_that_wait(self) -> None:
        """Frames in the mailbox are delivered for at most 10 ms, too."""
        self.seconds["handle_frame"] = 0.001
        self.scenario.delivery.suspend()
        for _ in range(3):
            self.receive(*[Text("a")] * 100)
        self.scenario.delivery.suspended = False
        self.scenario.delivery.deliver()
        self.assertEqual(self.delivered("handle_frame"), 100)

    def test_messages(self) -> None:
        """Casts and infos are delivered for at most 10 ms, too."""
        self.seconds["handle_cast"] = 0.003
        for _ in range(10):
            self.scenario.mailbox.message(Message("handle_cast", "message"))
        self.scenario.delivery.deliver()
        self.assertEqual(self.delivered("handle_cast"), 4)
        self.clock.advance(0)
        self.assertEqual(self.delivered("handle_cast"), 10)

    def test_fast(self) -> None:
        """Frames that take no time are delivered in one iteration."""
        self.receive(*[Text("a")] * 500)
        self.assertEqual(self.delivered("handle_frame"), 500)
