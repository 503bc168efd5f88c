"""Tests of the delivery: frames that are held while replies wait for a full write buffer."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from wsx._client.mailbox import Connected, Message
from wsx.frames import Binary, Ping, Pong, Text
from wsx.handler import Ok, Reply
from wsx.test.support.delivery import (
    ASYNCHRONOUS,
    CONN,
    STATUS,
    DeliveryCase,
    DeliveryScenario,
    answering,
    as_deferred,
    do_nothing,
)


def echo(frame: Any, state: Any) -> Reply[Any]:
    """Reply with the frame itself."""
    return Reply(frame, state)


class HoldCase(DeliveryCase):
    """Scenarios in which a reply makes the owner hold frames."""

    def hold_after(self, payload: Any, **answers: Any) -> DeliveryScenario:
        """Return a scenario whose owner holds frames in ``reply`` to this payload."""
        scenario = self.scenario(**({"handle_frame": echo, "handle_ping": echo} | answers))

        def on_reply() -> None:
            [frame] = scenario.log[-1][2]
            if frame.payload == payload:
                scenario.delivery.hold_frames()

        scenario.owner.on_reply = on_reply
        return scenario

    def held(self, *frames: Any) -> DeliveryScenario:
        """Return a scenario with held frames; nothing is scheduled."""
        scenario = self.scenario()
        scenario.delivery.hold_frames()
        if frames:
            scenario.receive(*frames)
        scenario.settle()
        self.assertEqual(scenario.called, [])
        return scenario


class BatchTests(HoldCase):
    """``hold_frames`` in the middle of a batch."""

    def test_rest_is_kept(self) -> None:
        """The rest of the batch is not delivered before ``release_frames``, then in order."""
        scenario = self.hold_after("2")
        scenario.receive(*(Text(str(n)) for n in range(1, 6)))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2")])
        self.assertTrue(scenario.owner.reading)
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text(str(n)) for n in range(1, 6)])
        self.assertNotIn("pause_reading", scenario.events)

    def test_control_frames(self) -> None:
        """The rest is kept as well if there are control frames in the batch."""
        scenario = self.hold_after(b"2")
        scenario.receive(Text("1"), Ping(b"2"), Pong(b"3"), Binary(b"4"), Ping(b"5"))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Ping(b"2")])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called[2:], [Pong(b"3"), Binary(b"4"), Ping(b"5")])

    def test_results_in_each_way(self) -> None:
        """The rest is kept if the reply comes from a fired Deferred or a coroutine."""
        for wrap in (succeed, answering):
            scenario = self.hold_after(
                "1", handle_frame=lambda frame, state, wrap=wrap: wrap(Reply(frame, state))
            )
            scenario.receive(Text("1"), Text("2"))
            scenario.settle()
            self.assertEqual(scenario.called, [Text("1")])
            scenario.delivery.release_frames()
            scenario.settle()
            self.assertEqual(scenario.called, [Text("1"), Text("2")])

    def test_reply_of_a_pending_callback(self) -> None:
        """The rest is kept if the reply comes from a callback that was pending."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            scenario = self.hold_after("1", handle_frame=way(pending))
            scenario.receive(Text("1"), Text("2"))
            scenario.handler.answers.clear()
            pending.callback(Reply(Text("1"), None))
            scenario.settle()
            self.assertEqual(scenario.called, [Text("1")])
            scenario.delivery.release_frames()
            scenario.settle()
            self.assertEqual(scenario.called, [Text("1"), Text("2")])

    def test_state(self) -> None:
        """The state of the last delivered frame is kept."""
        scenario = self.hold_after(
            "2", handle_frame=lambda frame, state: Reply(frame, state + frame.payload)
        )
        scenario.delivery.state = ""
        scenario.receive(Text("1"), Text("2"), Text("3"))
        self.assertEqual(scenario.delivery.state, "12")
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.delivery.state, "123")

    def test_queued_batch(self) -> None:
        """A batch that is delivered from the mailbox is interrupted as well."""
        scenario = self.hold_after("2")
        scenario.delivery.suspend()
        scenario.receive(Text("1"), Text("2"), Text("3"))
        scenario.receive(Text("4"))
        scenario.delivery.resume()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2")])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text(str(n)) for n in (1, 2, 3, 4)])

    def test_twice_in_a_batch(self) -> None:
        """Frames may be held again after ``release_frames``."""
        scenario = self.hold_after("x")
        scenario.receive(Text("x"), Text("x"), Text("y"))
        for count in (1, 2):
            scenario.settle()
            self.assertEqual(len(scenario.called), count)
            scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("x"), Text("x"), Text("y")])

    def test_last_frame(self) -> None:
        """``hold_frames`` at the last frame of a batch holds the frames of the next read."""
        scenario = self.hold_after("1")
        scenario.receive(Text("1"))
        self.assertTrue(scenario.owner.reading)
        scenario.receive(Text("2"))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1")])
        self.assertTrue(scenario.owner.reading)
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2")])
        self.assertNotIn("pause_reading", scenario.events)

    def test_in_flush(self) -> None:
        """``hold_frames`` in ``flush``, after a batch, holds the frames of the next read."""
        scenario = self.scenario()
        scenario.owner.on_flush = scenario.delivery.hold_frames
        scenario.receive(Text("1"), Text("2"))
        scenario.owner.on_flush = do_nothing
        scenario.receive(Text("3"))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2")])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), Text("3")])

    def test_released_in_the_same_callback(self) -> None:
        """Frames that are held and released during one reply are all delivered, in order."""
        scenario = self.scenario(handle_frame=echo)

        def on_reply() -> None:
            scenario.delivery.hold_frames()
            scenario.delivery.release_frames()

        scenario.owner.on_reply = on_reply
        scenario.receive(Text("1"), Text("2"), Text("3"))
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), Text("3")])
        self.assertTrue(scenario.owner.reading)


class ReadingTests(HoldCase):
    """Held frames alone do not pause reading: the owner limits what is read."""

    def test_held(self) -> None:
        """Frames of several reads are queued while they are held, and reading goes on."""
        scenario = self.held(Text("1"), Text("2"))
        scenario.receive(Text("3"))
        scenario.settle()
        self.assertTrue(scenario.owner.reading)
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), Text("3")])
        self.assertNotIn("pause_reading", scenario.events)

    def test_suspended(self) -> None:
        """If delivery is suspended as well, reading is paused until both have ended."""
        scenario = self.held()
        scenario.delivery.suspend()
        scenario.receive(Text("1"))
        self.assertFalse(scenario.owner.reading)
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertFalse(scenario.owner.reading)
        scenario.delivery.resume()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1")])
        self.assertTrue(scenario.owner.reading)

    def test_pending_callback(self) -> None:
        """If a callback is pending as well, reading is paused until it has returned."""
        for way in ASYNCHRONOUS:
            pending: Deferred[Any] = Deferred()
            scenario = self.scenario(handle_cast=way(pending))
            scenario.delivery.hold_frames()
            scenario.cast(1)
            scenario.iterate()
            scenario.receive(Text("2"))
            self.assertFalse(scenario.owner.reading)
            pending.callback(None)
            scenario.settle()
            self.assertEqual(scenario.called, [1])
            self.assertTrue(scenario.owner.reading)


class MessageTests(HoldCase):
    """Casts and infos while frames are held."""

    def test_without_frames(self) -> None:
        """Casts and infos are delivered if no frames are queued."""
        scenario = self.held()
        scenario.cast(1)
        scenario.mailbox.message(Message("handle_info", 2))
        scenario.settle()
        self.assertEqual(scenario.called, [1, 2])

    def test_before_frames(self) -> None:
        """Casts before the held frames are delivered."""
        scenario = self.held()
        scenario.cast(1, 2)
        scenario.receive(Text("3"))
        scenario.settle()
        self.assertEqual(scenario.called, [1, 2])

    def test_behind_frames(self) -> None:
        """A cast behind held frames keeps its place."""
        scenario = self.held(Text("1"), Text("2"))
        scenario.cast(3)
        scenario.receive(Text("4"))
        scenario.settle()
        self.assertEqual(scenario.called, [])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), 3, Text("4")])

    def test_behind_the_rest_of_a_batch(self) -> None:
        """A cast behind the rest of an interrupted batch keeps its place."""
        scenario = self.hold_after("1")
        scenario.receive(Text("1"), Text("2"))
        scenario.cast(3)
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1")])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), 3])

    def test_reply_to_a_cast(self) -> None:
        """If the reply to a cast holds frames, the frames behind the cast wait."""
        scenario = self.scenario(handle_cast=lambda message, state: Reply(Text("reply"), state))
        scenario.owner.on_reply = scenario.delivery.hold_frames
        scenario.cast(1, 2)
        scenario.receive(Text("3"))
        scenario.settle()
        self.assertEqual(scenario.called, [1, 2])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [1, 2, Text("3")])

    def test_requests(self) -> None:
        """Requests are served while frames are held, and do not release them."""
        scenario = self.held(Text("1"))
        served = scenario.delivery.request(lambda: scenario.delivery.state)
        self.assertEqual(self.successResultOf(served), "old")
        scenario.settle()
        self.assertEqual(scenario.called, [])

    def test_resume_does_not_release(self) -> None:
        """``resume`` does not deliver held frames, and ``release_frames`` not suspended ones."""
        scenario = self.held(Text("1"))
        scenario.delivery.suspend()
        scenario.delivery.resume()
        scenario.settle()
        self.assertEqual(scenario.called, [])
        scenario.delivery.suspend()
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [])
        scenario.delivery.resume()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1")])


class WakeupTests(HoldCase):
    """Reactor calls while frames are held."""

    def test_held_frames_schedule_nothing(self) -> None:
        """Held frames schedule no reactor calls."""
        scenario = self.held(Text("1"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        scenario.receive(Text("2"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest_of_a_batch_schedules_nothing(self) -> None:
        """The rest of an interrupted batch schedules no reactor calls."""
        scenario = self.hold_after("1")
        scenario.receive(Text("1"), Text("2"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cast_behind_held_frames(self) -> None:
        """A cast behind held frames wakes the delivery at most once."""
        scenario = self.held(Text("1"))
        scenario.cast(2)
        self.assertLessEqual(scenario.settle(), 1)
        self.assertEqual(scenario.settle(), 0)

    def test_request(self) -> None:
        """A request while frames are held wakes the delivery at most once."""
        scenario = self.held(Text("1"))
        self.successResultOf(scenario.delivery.request(do_nothing))
        self.assertLessEqual(scenario.settle(), 1)
        self.assertEqual(scenario.settle(), 0)

    def test_pending_callback(self) -> None:
        """The end of a pending callback does not wake the delivery endlessly."""
        pending: Deferred[Any] = Deferred()
        scenario = self.scenario(handle_cast=as_deferred(pending))
        scenario.delivery.hold_frames()
        scenario.cast(1)
        scenario.iterate()
        scenario.receive(Text("2"))
        pending.callback(Ok("new"))
        self.assertLessEqual(scenario.settle(), 1)
        self.assertEqual(scenario.settle(), 0)
        self.assertEqual(scenario.called, [1])

    def test_release_of_nothing(self) -> None:
        """``release_frames`` without queued frames schedules nothing."""
        scenario = self.held()
        scenario.delivery.release_frames()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        scenario.receive(Text("1"))
        self.assertEqual(scenario.called, [Text("1")])

    def test_release_calls_no_callback(self) -> None:
        """``release_frames`` calls no callback itself; the next reactor iteration does."""
        scenario = self.held(Text("1"))
        scenario.delivery.release_frames()
        self.assertEqual(scenario.called, [])
        scenario.iterate()
        self.assertEqual(scenario.called, [Text("1")])


class EndTests(HoldCase):
    """Lost connections and the end while frames are held."""

    def test_lost(self) -> None:
        """After a loss and ``release_frames``, frames and then the loss are delivered."""
        scenario = self.held(Text("1"), Text("2"))
        scenario.cast(3)
        scenario.lose()
        scenario.settle()
        self.assertEqual(scenario.called, [])
        scenario.delivery.release_frames()
        scenario.settle()
        self.assertEqual(scenario.called, [Text("1"), Text("2"), STATUS])
        scenario.mailbox.connected(Connected(CONN, do_nothing))
        scenario.delivery.deliver()
        scenario.receive(Text("4"))
        scenario.settle()
        self.assertEqual(scenario.called[3:], [CONN, 3, Text("4")])

    def test_lost_without_frames(self) -> None:
        """A loss is delivered at once if no frames are held."""
        scenario = self.held()
        scenario.lose()
        scenario.settle()
        self.assertEqual(scenario.called, [STATUS])

    def test_end(self) -> None:
        """Held frames are dropped at the end; ``release_frames`` after it does nothing."""
        scenario = self.held(Text("1"))
        scenario.cast(2)
        self.assertEqual(scenario.delivery.end(), 1)
        scenario.delivery.release_frames()
        self.assertEqual(scenario.settle(), 0)
        self.assertEqual(scenario.called, [])
