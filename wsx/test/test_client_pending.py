"""Tests of callbacks that do not complete: ``callback_warning`` and ``callback_timeout``."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, formatEvent

import wsx
from wsx import Backoff, CallbackTimeout, Ok, Text, telemetry
from wsx.frames import INTERNAL_ERROR
from wsx.test.support import Recorder, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import TRIGGERS, EndCase, close_frames, reasons, reconnecting

MESSAGE = "a callback of the client timed out"


class Feed(Recorder):
    """A handler with the name that the documentation uses."""


async def waiting_for(answer: Deferred[Any]) -> Any:
    """Wait for a Deferred; return its result."""
    return await answer


class PendingCase(EndCase):
    """A client with a callback that does not complete.

    Attributes:
        cancelled: The Deferreds of callbacks that were cancelled.
    """

    def setUp(self) -> None:
        super().setUp()
        self.cancelled: list[Deferred[Any]] = []

    def never(self, *_: Any) -> Deferred[Any]:
        """Return a Deferred that does not fire until it is cancelled; a callback."""
        return Deferred(self.cancelled.append)

    def lines(self, words: str = "") -> list[str]:
        """Return the lines of wsx at level warn or higher that contain these words."""
        found = [
            str(formatEvent(event))
            for event in self.logged
            if event.get("log_namespace") == "wsx" and event["log_level"] >= LogLevel.warn
        ]
        return [line for line in found if words in line]


class WarningTests(PendingCase):
    """``callback_warning``."""

    def test_log(self) -> None:
        """A pending callback is named after 10 seconds, and again every minute."""
        client = self.open(Feed(handle_frame=self.never), name="feed")
        self.addCleanup(self.step)
        self.addCleanup(client.abort)
        self.peer.send(text("x" * 812))
        self.pass_time(9.5)
        self.assertEqual(self.lines(), [])
        self.pass_time(61)
        more = "(message: Text, 812 characters); nothing else is delivered until it does"
        self.assertEqual(
            self.lines(),
            [
                f"feed: Feed.handle_frame has not completed for 10 s {more}",
                f"feed: Feed.handle_frame has not completed for 70 s {more}",
            ],
        )

    def test_with_a_limit(self) -> None:
        """With ``callback_timeout``, the line says when the callback will be cancelled."""
        self.open(Feed(handle_cast=self.never), callback_timeout=30.0).cast("x")
        self.step()
        self.pass_time(10)
        self.assertEqual(
            self.lines(),
            [
                "Feed: Feed.handle_cast has not completed for 10 s (message: str, 1 character); "
                "it will be cancelled after 30 s"
            ],
        )

    @each(tuple(TRIGGERS))
    def test_callbacks(self, callback: str) -> None:
        """Every callback of an open connection is watched."""
        client = self.open(Feed(**{callback: self.never}), callback_warning=2.0)
        TRIGGERS[callback](self, client)
        self.step()
        self.pass_time(2)
        self.assertEqual(len(self.lines(f"Feed.{callback} has not completed for 2 s")), 1)

    def test_connect(self) -> None:
        """``handle_connect`` is watched."""
        self.start(Feed(handle_connect=self.never))
        self.accept()
        self.pass_time(10)
        self.assertEqual(len(self.lines("Feed.handle_connect has not completed for 10 s")), 1)

    def test_disconnect(self) -> None:
        """``handle_disconnect`` is watched, and the reason of the loss is named."""
        self.open(Feed(handle_disconnect=self.never))
        self.lose()
        self.pass_time(10)
        [line] = self.lines()
        self.assertIn("Feed.handle_disconnect has not completed for 10 s (status: server", line)

    def test_terminate(self) -> None:
        """``terminate`` is watched until ``close_timeout``."""
        client = self.open(Feed(terminate=self.never), callback_warning=2.0, close_timeout=5.0)
        client.stop()
        self.lose()
        self.pass_time(4)
        self.assertEqual(client.sys.get_status()["pending_callback"]["callback"], "terminate")
        self.pass_time(2)
        self.assertEqual(
            self.lines(),
            [
                "Feed: Feed.terminate has not completed for 2 s (reason: Shutdown); "
                "nothing else is delivered until it does",
                "Feed: terminate was cancelled after 5 s",
            ],
        )
        self.assert_ended(client, wsx.Shutdown())

    def test_code_change(self) -> None:
        """``code_change`` is watched."""

        class Changed(Feed):
            code_change = self.never  # type: ignore[assignment]

        client = self.open(Feed())
        client.sys.change_code(Changed)
        self.pass_time(10)
        self.assertEqual(len(self.lines("Changed.code_change has not completed for 10 s")), 1)
        self.assertEqual(client.sys.get_status()["pending_callback"]["callback"], "code_change")

    def test_off(self) -> None:
        """With None, nothing is logged and no timer runs."""
        client = self.open(Feed(handle_cast=self.never), callback_warning=None)
        client.cast("x")
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pass_time(200)
        self.assertEqual(self.lines(), [])

    def test_completed(self) -> None:
        """A callback that completes in time is not named; no timer is left after the end."""
        answer: Deferred[Any] = Deferred()
        client = self.open(Feed(handle_cast=answer))
        client.cast("x")
        self.pass_time(9)
        answer.callback(Ok("new"))
        self.pass_time(100)
        self.assertEqual(self.lines(), [])
        client.stop()
        self.lose()
        self.assert_ended(client, wsx.Shutdown())

    def test_at_once(self) -> None:
        """Callbacks that complete at once start no timer."""
        client = self.open(Feed(handle_frame=lambda *_: Deferred.fromCoroutine(nothing())))
        self.peer.send(text("x") * 3)
        client.cast("x")
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_status(self) -> None:
        """``get_status`` names the pending callback, and the seconds since it began."""
        client = self.open(Feed(handle_frame=self.never))
        self.assertIsNone(client.sys.get_status()["pending_callback"])
        self.peer.send(text("x"))
        self.pass_time(12.5)
        status = client.sys.get_status()["pending_callback"]
        self.assertEqual(status, {"callback": "handle_frame", "seconds": 12.5})

    def test_status_afterwards(self) -> None:
        """``get_status`` names no callback once it has completed, or after the end."""
        answers: list[Deferred[Any]] = [Deferred(), Deferred()]
        client = self.open(Feed(handle_cast=lambda n, state: answers[n]))
        client.cast(0)
        self.step()
        answers[0].callback(None)
        self.assertIsNone(client.sys.get_status()["pending_callback"])
        client.cast(1)
        self.step()
        client.stop()
        self.lose()
        self.assertIsNone(client.sys.get_status()["pending_callback"])

    def test_telemetry(self) -> None:
        """Observers are notified with each line."""
        seen: list[Any] = []
        telemetry.attach(self, "wsx.callback.overdue", lambda *event: seen.append(event))
        self.addCleanup(telemetry.detach, self)
        client = self.open(Feed(handle_frame=self.never))
        self.peer.send(text("x"))
        self.pass_time(70)
        self.assertEqual([event[1]["duration"] for event in seen], [10.0, 70.0])
        self.assertEqual({event[2]["callback"] for event in seen}, {"handle_frame"})
        self.assertEqual({event[2]["client"] for event in seen}, {client})


class TimeoutTests(PendingCase):
    """``callback_timeout``."""

    @each(tuple(TRIGGERS))
    def test_callbacks(self, callback: str) -> None:
        """The callback is cancelled and the connection is closed with 1011."""
        handler = Feed(**{callback: self.never})
        client = self.open(handler, "state", callback_timeout=3.0)
        TRIGGERS[callback](self, client)
        self.step()
        self.pass_time(2.5)
        self.assertEqual((client.status, self.cancelled), ("open", []))
        self.pass_time(0.5)
        self.assertEqual((client.status, len(self.cancelled)), ("closing", 1))
        self.assertEqual(close_frames(self.peer), [(INTERNAL_ERROR, MESSAGE)])
        self.lose()
        [reason] = reasons(handler)
        self.assertIsInstance(reason, CallbackTimeout)
        self.assertEqual(
            (reason.handler, reason.callback, reason.timeout), (handler, callback, 3.0)
        )
        self.assert_ended(client, reason)
        self.assert_terminated_once(handler, reason)
        self.assertEqual(handler.calls[-1][2], "state")

    def test_log(self) -> None:
        """The timeout is logged once: as the reason for which the connection was lost."""
        self.open(Feed(handle_frame=self.never), callback_timeout=3.0, reconnect=Backoff(jitter=0))
        self.peer.send(text("x"))
        self.pass_time(3)
        self.lose()
        self.assertEqual(len(self.lines("did not complete")), 1)
        [line] = self.lines()
        self.assertIn(
            "lost (Feed.handle_frame did not complete within 3 s and was cancelled); ", line
        )

    def test_reconnect(self) -> None:
        """A reconnect policy connects again; the state is that before the callback."""
        handler = reconnecting(handle_frame=self.never)
        client = self.open(handler, "state", callback_timeout=3.0)
        self.peer.send(text("x"))
        self.pass_time(3)
        self.come_back()
        self.assertEqual((client.status, client.sys.get_state()), ("open", "state"))

    def test_retryable(self) -> None:
        """The default policy retries."""
        self.assertTrue(wsx.is_retryable(CallbackTimeout(Feed(), "handle_frame", 1.0)))

    def test_first_connect(self) -> None:
        """If the first ``handle_connect`` takes too long, ``start`` fails with the timeout."""
        handler = Feed(handle_connect=self.never)
        started = self.start(handler, callback_timeout=3.0)
        self.accept()
        self.pass_time(3)
        self.assertEqual(close_frames(self.peer), [(INTERNAL_ERROR, MESSAGE)])
        self.lose()
        error = self.failureResultOf(started, CallbackTimeout).value
        self.assertEqual(error.callback, "handle_connect")
        self.assertEqual(handler.names, ["handle_connect", "handle_disconnect"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_disconnect(self) -> None:
        """If ``handle_disconnect`` takes too long, the client ends with the timeout."""
        handler = Feed(handle_disconnect=self.never)
        client = self.open(handler, callback_timeout=3.0)
        self.lose()
        self.pass_time(3)
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, CallbackTimeout)
        self.assert_ended(client, reason)
        self.assert_terminated_once(handler, reason)
        [line] = self.lines()
        self.assertEqual(
            line,
            "Feed: Feed.handle_disconnect did not complete within 3 s and was cancelled (status: "
            "server closed the TCP connection without a close frame)",
        )

    def test_after_the_loss(self) -> None:
        """A callback that outlives its connection is cancelled and logged; the reason stays."""
        handler = Feed(handle_frame=self.never)
        client = self.open(handler, callback_timeout=3.0)
        self.peer.send(text("x"))
        self.lose()
        self.pass_time(3)
        [reason] = reasons(handler)
        self.assertIsInstance(reason, wsx.ConnectionDropped)
        self.assert_ended(client, reason)
        self.assertEqual(len(self.lines("Feed.handle_frame did not complete within 3 s")), 1)

    def test_terminate(self) -> None:
        """``terminate`` is cancelled after the smaller one of the two limits."""
        client = self.open(Feed(terminate=self.never), callback_timeout=2.0, close_timeout=5.0)
        client.stop()
        self.lose()
        self.pass_time(1.5)
        self.assertEqual(client.status, "disconnected")
        self.pass_time(0.5)
        self.assert_ended(client, wsx.Shutdown())

    def test_code_change(self) -> None:
        """A ``code_change`` that takes too long fails; the class and the connection stay."""

        class Changed(Feed):
            code_change = self.never  # type: ignore[assignment]

        client = self.open(Feed(), "state", callback_timeout=3.0)
        changed = client.sys.change_code(Changed)
        self.pass_time(3)
        error = self.failureResultOf(changed, CallbackTimeout).value
        self.assertEqual(error.callback, "code_change")
        self.assertEqual((type(client.handler), client.status), (Feed, "open"))
        client.cast("x")
        self.step()
        self.assertEqual(client.handler.names, ["handle_connect", "handle_cast"])  # type: ignore[attr-defined]

    def test_replace_state(self) -> None:
        """A function of ``replace_state`` that takes too long fails; the state stays."""
        client = self.open(Feed(), "state", callback_timeout=3.0)
        replaced = client.sys.replace_state(self.never)
        self.pass_time(3)
        self.failureResultOf(replaced, CallbackTimeout)
        self.assertEqual((client.sys.get_state(), client.status), ("state", "open"))

    def test_frames_that_wait(self) -> None:
        """Frames that had arrived are delivered before ``handle_disconnect``."""
        handler = Feed(handle_frame=lambda frame, _: self.never() if frame == Text("a") else None)
        self.open(handler, callback_timeout=3.0)
        self.peer.send(text("a") + text("b"))
        self.pass_time(3)
        self.lose()
        self.assertEqual(handler.arguments("handle_frame"), [Text("a"), Text("b")])
        self.assertEqual(handler.names[-2:], ["handle_disconnect", "terminate"])

    def test_result_of_the_cancellation(self) -> None:
        """A result that a cancelled callback returns does not count."""
        late: Deferred[Any] = Deferred(lambda deferred: deferred.callback(Ok("late")))
        handler = reconnecting(handle_frame=late)
        client = self.open(handler, "state", callback_timeout=3.0)
        self.peer.send(text("x"))
        self.pass_time(3)
        self.come_back()
        self.assertEqual((client.status, client.sys.get_state()), ("open", "state"))

    def test_ignores_cancellation(self) -> None:
        """The connection is closed even if the callback ignores its cancellation."""
        waiting: Deferred[Any] = Deferred()
        stubborn = self.never().addErrback(lambda _: waiting)
        handler = reconnecting(handle_frame=stubborn)
        client = self.open(handler, "state", callback_timeout=3.0)
        self.peer.send(text("x"))
        self.pass_time(3)
        self.come_back()
        waiting.callback(Ok("late"))
        self.assertEqual((client.status, client.sys.get_state()), ("open", "state"))

    def test_coroutine(self) -> None:
        """The cancellation is raised in a coroutine, which may clean up."""
        seen: list[Any] = []

        class Waits(wsx.Handler[Any]):
            async def handle_frame(self, frame: Any, state: Any) -> None:
                try:
                    await Deferred()
                except CancelledError:
                    seen.append(self.client.status)
                    raise

        client = self.open(Waits(), callback_timeout=3.0)
        self.peer.send(text("x"))
        self.pass_time(3)
        self.assertEqual((seen, client.status), (["closing"], "closing"))

    def test_in_time(self) -> None:
        """A callback that completes in time is not cancelled; the next one has its own time."""
        answers: list[Deferred[Any]] = [Deferred(self.cancelled.append) for _ in range(2)]
        client = self.open(Feed(handle_cast=lambda n, state: answers[n]), callback_timeout=3.0)
        for number in range(2):
            client.cast(number)
            self.pass_time(2.5)
            answers[number].callback(None)
        self.pass_time(10)
        self.assertEqual((self.cancelled, client.status), ([], "open"))

    def test_chain(self) -> None:
        """A Deferred that fires with another awaitable does not start the time again."""
        answers: list[Deferred[Any]] = [Deferred(self.cancelled.append) for _ in range(3)]
        client = self.open(Feed(handle_cast=lambda *_: answers[0]), callback_timeout=3.0)
        client.cast("x")
        self.step()
        self.pass_time(2)
        answers[0].callback(waiting_for(answers[1]))
        self.pass_time(0.5)
        answers[1].callback(waiting_for(answers[2]))
        self.assertEqual(client.sys.get_status()["pending_callback"]["seconds"], 2.5)
        self.assertEqual((self.cancelled, client.status), ([], "open"))
        self.pass_time(0.5)
        self.assertEqual((self.cancelled, client.status), ([answers[2]], "closing"))

    def test_chain_in_time(self) -> None:
        """After such a chain of awaitables, the next callback has its own time."""
        answers: list[Deferred[Any]] = [Deferred(self.cancelled.append) for _ in range(3)]
        client = self.open(Feed(handle_cast=lambda n, _: answers[n]), callback_timeout=3.0)
        client.cast(0)
        self.step()
        self.pass_time(2)
        answers[0].callback(waiting_for(answers[2]))
        answers[2].callback(None)
        client.cast(1)
        self.pass_time(2.5)
        answers[1].callback(None)
        self.pass_time(10)
        self.assertEqual((self.cancelled, client.status), ([], "open"))

    def test_stop(self) -> None:
        """After ``stop`` no limit of a pending callback is left."""
        client = self.open(Feed(handle_cast=self.never), callback_timeout=3.0)
        client.cast("x")
        self.step()
        client.stop()
        self.lose()
        self.assert_ended(client, wsx.Shutdown())


class DataTimeoutTests(PendingCase):
    """``data_timeout`` while a callback is pending."""

    def test_reading(self) -> None:
        """It runs while only the handler is slow, and reading is not paused."""
        answer: Deferred[Any] = Deferred()
        handler = Feed(handle_frame=answer)
        client = self.open(handler, data_timeout=10.0)
        self.peer.send(text("a"))
        self.assertFalse(self.peer.transport.reading_paused)
        self.pass_time(9.5)
        self.assertEqual(client.status, "open")
        self.pass_time(0.5)
        self.assertEqual(client.status, "closing")
        self.lose()
        self.assertEqual(reasons(handler), [])  # The callback is still pending.
        answer.callback(None)
        self.step()
        self.assertIsInstance(reasons(handler)[0], wsx.DataTimeout)

    def test_controls(self) -> None:
        """A ping that waits for the handler pauses reading, and with it the timeout."""
        client = self.open(Feed(handle_frame=self.never), data_timeout=10.0)
        self.peer.send(text("a") + server_frame(9))
        self.assertTrue(self.peer.transport.reading_paused)
        self.pass_time(30)
        self.assertEqual(client.status, "open")


async def nothing() -> None:
    """Return at once."""


class RandomHandler(wsx.Handler[int]):
    """A handler whose callbacks take some time.

    Attributes:
        seen: The messages that were delivered, in order.
        calls: The duration of each call in seconds, and whether it was cancelled.
    """

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self.clock = clock
        self.chance = chance
        self.seen: list[str] = []
        self.calls: list[tuple[float, bool]] = []
        self.running = 0

    async def wait(self) -> None:
        """Take a random time, often more than the limit."""
        seconds = self.chance.choice((0.0, 0.0, 1.0, 2.5, 3.5, 100.0))
        assert self.running == 0, "two callbacks run at once"
        self.running += 1
        began = self.clock.seconds()
        try:
            await deferLater(self.clock, seconds)  # type: ignore[arg-type]
        except CancelledError:
            self.calls.append((self.clock.seconds() - began, True))
            raise
        else:
            self.calls.append((self.clock.seconds() - began, False))
        finally:
            self.running -= 1

    async def handle_connect(self, conn: wsx.Conn, state: int) -> wsx.Answer[int]:
        await self.wait()
        return Ok(state)

    async def handle_frame(self, frame: Any, state: int) -> wsx.Answer[int]:
        self.seen.append(frame.payload)
        await self.wait()
        return Ok(state + 1)

    async def handle_cast(self, message: str, state: int) -> wsx.Answer[int]:
        self.seen.append(message)
        await self.wait()
        return Ok(state + 1)

    def handle_disconnect(self, status: wsx.Disconnect, state: int) -> wsx.Answer[int]:
        return wsx.Reconnect(state, after=1.0)


class RandomTests(EndCase):
    """Callbacks that take a random time, with a limit of three seconds."""

    @each(tuple(range(15)))
    def test_limit(self, seed: int) -> None:
        """No callback is pending for longer, none runs beside another, and no message is lost."""
        chance = random.Random(seed)
        handler = RandomHandler(self.clock, chance)
        options = {"callback_timeout": 3.0, "async_": True, "handle_initial_conn_failure": True}
        client = self.successResultOf(self.start(handler, 0, **options))
        sent: list[str] = []
        for number in range(60):
            self.answer()
            if client.status == "open" and not self.peer.transport.reading_paused:
                new = [f"f{number}", f"g{number}"][: chance.randint(1, 2)]
                sent += new
                self.peer.send(b"".join(map(text, new)))
            if chance.random() < 0.3:
                client.cast(f"c{number}")
                sent.append(f"c{number}")
            self.pass_time(chance.choice((0.5, 1.0, 3.0)))
        for _ in range(1000):
            self.answer()
            self.pass_time(0.5)
        self.assertEqual(sorted(handler.seen), sorted(sent))
        self.assertTrue(all(seconds == 3.0 for seconds, cancelled in handler.calls if cancelled))
        self.assertTrue(all(seconds < 3.0 for seconds, cancelled in handler.calls if not cancelled))
        self.assertTrue(any(cancelled for _, cancelled in handler.calls))
        client.abort()
        self.step()

    def answer(self) -> None:
        """Complete a new opening handshake, and end a connection that is closing."""
        transport = self.peer.transport
        if b"GET " in transport.value():
            self.accept()
        elif b"\x88" in transport.value() and not transport.ended:
            self.lose()
