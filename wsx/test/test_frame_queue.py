"""Tests of wsx.frame_queue: ``async for frame in client.frames()``."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, inlineCallbacks

import wsx
from wsx import Binary, FrameQueue, RemoteClose, Reply, Text
from wsx.test.support import MemoryCase, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.loops import run_in_loop, turn

LIMIT = FrameQueue.limit


class QueueCase(MemoryCase):
    """Base class: an open client with a queue, and loops over its messages.

    Attributes:
        client: The client.
        seen: The payloads that the loops have received, in order.
    """

    def begin(self, handler: Any = FrameQueue, **options: Any) -> None:
        self.client = self.open(handler, **options)
        self.seen: list[Any] = []

    def loop(self, limit: int | None = None) -> Deferred[str]:
        """Run a loop until it ends, or until it has received so many messages."""
        return ensureDeferred(self.iterate(limit))

    async def iterate(self, limit: int | None = None) -> str:
        count = 0
        async for frame in self.client.frames():
            self.seen.append(frame.payload)
            count += 1
            if count == limit:
                return "left"
        return "ended"

    def send(self, *payloads: str) -> None:
        """Send messages, and let them be delivered."""
        self.peer.send(b"".join(map(text, payloads)))
        self.step()

    def end(self, reason: int | None = 1000) -> None:
        """End the connection with a close code, or without."""
        if reason is not None:
            self.peer.send(close(reason))
        self.peer.drop()
        self.step()

    def stop(self) -> None:
        self.client.stop()
        self.peer.drop()
        self.step()


class IterationTests(QueueCase):
    """Loops in coroutines of Twisted."""

    def test_order(self) -> None:
        """Messages arrive in order, those that were sent before the loop as well."""
        self.begin()
        self.send("a", "b")
        looping = self.loop()
        self.assertEqual(self.seen, ["a", "b"])
        self.send("c")
        self.peer.send(server_frame(2, b"d"))
        self.step()
        self.assertEqual(self.seen, ["a", "b", "c", b"d"])
        self.assertNoResult(looping)
        self.stop()
        self.assertEqual(self.successResultOf(looping), "ended")

    def test_frames(self) -> None:
        """The items are the frames themselves."""
        self.begin()
        self.peer.send(text("a") + server_frame(2, b"b"))
        self.step()
        frames = self.client.frames()
        for expected in (Text("a"), Binary(b"b")):
            taken = ensureDeferred(anext(frames))
            self.assertEqual(self.successResultOf(taken), expected)
        self.stop()

    def test_inline_callbacks(self) -> None:
        """A function with ``inlineCallbacks`` can take one message at a time."""
        self.begin()

        @inlineCallbacks
        def take() -> Any:
            frames = self.client.frames()
            first = yield ensureDeferred(anext(frames))
            second = yield ensureDeferred(anext(frames))
            return [first, second]

        taken = take()
        self.send("a", "b")
        self.assertEqual(self.successResultOf(taken), [Text("a"), Text("b")])
        self.stop()

    def test_outside_of_the_callback(self) -> None:
        """The body of a loop does not run inside ``handle_frame``."""
        self.begin()
        busy: list[bool] = []

        async def look() -> None:
            async for _ in self.client.frames():
                busy.append(self.client._life.delivery.busy)

        looking = ensureDeferred(look())
        self.send("a")
        self.assertEqual(busy, [False])
        self.stop()
        self.successResultOf(looking)

    def test_sends_in_the_loop(self) -> None:
        """The body may await ``send_frame``."""
        self.begin()

        async def echo() -> None:
            async for frame in self.client.frames():
                await self.client.send_frame(frame)

        echoing = ensureDeferred(echo())
        self.send("a", "b")
        self.assertEqual(self.peer.received(), [(1, b"a"), (1, b"b")])
        self.stop()
        self.successResultOf(echoing)

    def test_subclass(self) -> None:
        """A subclass may have the other callbacks."""

        class Feed(FrameQueue):
            def handle_connect(self, conn: wsx.Conn, state: Any) -> Any:
                return Reply(Text("subscribe"), state)

        self.begin(Feed)
        self.assertEqual(self.peer.received(), [(1, b"subscribe")])
        self.send("a")
        self.assertEqual(self.successResultOf(self.loop(1)), "left")
        self.stop()

    def test_other_handler(self) -> None:
        """Another handler has no iterator."""
        self.begin(wsx.Handler)
        error = self.assertRaises(TypeError, self.client.frames)
        self.assertIn("wsx.connect", str(error))
        self.stop()

    def test_next_client(self) -> None:
        """A handler that is used again has the messages of its new client only."""
        handler = FrameQueue()
        self.begin(handler)
        self.send("old")
        self.stop()
        self.begin(handler)
        self.send("new")
        self.successResultOf(self.loop(1))
        self.assertEqual(self.seen, ["new"])
        self.stop()


class EndTests(QueueCase):
    """What happens in a loop when the client ends."""

    @each((1000, 1005))
    def test_normal(self, code: int) -> None:
        """A normal end stops the loop."""
        self.begin()
        looping = self.loop()
        self.peer.send(close(code) if code == 1000 else server_frame(8, b""))
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(looping), "ended")

    def test_close_code(self) -> None:
        """Another close code is raised, in a ClientEnded."""
        self.begin()
        looping = self.loop()
        self.end(1011)
        error: Any = self.failureResultOf(looping, wsx.ClientEnded).value
        self.assertIsInstance(error.reason, RemoteClose)

    def test_dropped(self) -> None:
        """A dropped connection is raised."""
        self.begin()
        looping = self.loop()
        self.end(None)
        self.failureResultOf(looping, wsx.ClientEnded)

    def test_exception(self) -> None:
        """A reason that is an exception is raised as it is."""
        self.begin()
        looping = self.loop()
        self.peer.send(b"\xff\xff")
        self.peer.drop()
        self.step()
        self.failureResultOf(looping, wsx.FrameError)

    def test_messages_first(self) -> None:
        """The messages before the end come first."""
        self.begin()
        self.peer.send(text("a") + text("b") + close(1011))
        self.peer.drop()
        self.step()
        self.failureResultOf(self.loop(), wsx.ClientEnded)
        self.assertEqual(self.seen, ["a", "b"])

    def test_after_the_end(self) -> None:
        """A loop that begins after the end ends at once, again and again."""
        self.begin()
        self.stop()
        for _ in range(2):
            self.assertEqual(self.successResultOf(self.loop()), "ended")

    def test_reconnect(self) -> None:
        """A loop goes on after a reconnect."""
        self.begin(reconnect=wsx.Backoff(jitter=0))
        looping = self.loop()
        self.send("a")
        self.peer.drop()
        self.step()
        self.clock.advance(1)
        self.step()
        self.peer.answer(text("b"))
        self.step()
        self.assertEqual(self.seen, ["a", "b"])
        self.assertNoResult(looping)
        self.stop()
        self.successResultOf(looping)


class BackpressureTests(QueueCase):
    """Reading is paused while no iterator takes the messages."""

    def test_limit(self) -> None:
        """From ``limit`` messages on, further ones are not delivered, and reading is paused."""
        self.begin()
        numbers = [str(number) for number in range(3 * LIMIT)]
        for number in numbers:
            self.send(number)
        self.assertTrue(self.peer.transport.reading_paused)
        handler: Any = self.client.handler
        self.assertEqual(len(handler._queue.messages), LIMIT)
        looping = self.loop()
        self.step()
        self.step()
        self.step()
        self.step()
        self.assertEqual(self.seen, numbers)
        self.assertFalse(self.peer.transport.reading_paused)
        self.stop()
        self.successResultOf(looping)

    def test_below_the_limit(self) -> None:
        """Below the limit, reading goes on."""
        self.begin()
        self.send(*"abc")
        self.assertFalse(self.peer.transport.reading_paused)
        self.stop()

    def test_slow_loop(self) -> None:
        """A loop whose body waits applies backpressure as well."""
        self.begin()
        gate: Deferred[None] = Deferred()

        async def slow() -> None:
            async for frame in self.client.frames():
                self.seen.append(frame.payload)
                await gate

        looping = ensureDeferred(slow())
        for number in range(2 * LIMIT):
            self.send(str(number))
        self.assertTrue(self.peer.transport.reading_paused)
        self.assertEqual(self.seen, ["0"])
        gate.callback(None)
        for _ in range(5):
            self.step()
        self.assertEqual(len(self.seen), 2 * LIMIT)
        self.stop()
        self.successResultOf(looping)

    def test_stop_while_full(self) -> None:
        """A client with a full queue can be stopped; the queued messages can still be taken."""
        self.begin()
        for number in range(2 * LIMIT):
            self.send(str(number))
        self.stop()
        self.assertEqual(self.client.status, "terminated")
        self.assertEqual(self.successResultOf(self.loop()), "ended")
        self.assertEqual(len(self.seen), LIMIT)
        self.assertEqual(self.flushLoggedErrors(), [])


class SharingTests(QueueCase):
    """Several iterators, one after another or at once."""

    def test_in_turn(self) -> None:
        """A loop that is left and continued with another iterator loses nothing."""
        self.begin()
        self.send(*"abcd")
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.loop(1)), "left")
        self.assertEqual(self.seen, ["a", "b", "c"])
        self.stop()

    def test_at_once(self) -> None:
        """Each message goes to one of several iterators; the end ends all."""
        self.begin()
        loops = [self.loop() for _ in range(3)]
        self.send(*"abcdef")
        self.assertEqual(sorted(self.seen), list("abcdef"))
        self.stop()
        self.assertEqual([self.successResultOf(each) for each in loops], ["ended"] * 3)

    def test_cancel(self) -> None:
        """A cancelled iterator takes nothing away from the others."""
        self.begin()
        cancelled, other = self.loop(), self.loop()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.send("a")
        self.assertEqual(self.seen, ["a"])
        self.stop()
        self.successResultOf(other)

    def test_cancel_at_the_same_moment(self) -> None:
        """A message that arrives just before the cancellation stays for the next iterator."""
        self.begin()
        cancelled = self.loop()
        self.peer.send(text("a"))
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.step()
        self.assertEqual(self.successResultOf(self.loop(1)), "left")
        self.assertEqual(self.seen, ["a"])
        self.stop()


class AsyncioTests(QueueCase):
    """Loops in tasks of asyncio, while its event loop runs."""

    def test_task(self) -> None:
        """A task iterates, and awaits the Deferreds of the client as they are."""

        async def echo() -> str:
            async for frame in self.client.frames():
                self.seen.append(frame.payload)
                await self.client.send_frame(frame)
            await self.client.terminated()
            return "ended"

        async def test() -> None:
            task = asyncio.ensure_future(echo())
            await turn(self.clock)
            self.peer.send(text("a"))
            await turn(self.clock)
            self.peer.send(text("b"))
            await turn(self.clock)
            self.assertEqual(self.seen, ["a", "b"])
            stopped = self.client.stop()
            self.peer.drop()
            await turn(self.clock)
            self.assertEqual(await task, "ended")
            self.assertEqual(await stopped, wsx.Shutdown())

        self.begin()
        run_in_loop(test())

    def test_error(self) -> None:
        """An abnormal end is raised in a task."""

        async def test() -> None:
            task = asyncio.ensure_future(self.iterate())
            await turn(self.clock)
            self.peer.drop()
            await turn(self.clock)
            with self.assertRaises(wsx.ClientEnded):
                await task

        self.begin()
        run_in_loop(test())

    def test_cancel(self) -> None:
        """A cancelled task takes no message, even at the same moment."""

        async def test() -> None:
            task = asyncio.ensure_future(self.iterate())
            await turn(self.clock)
            self.peer.send(text("a"))
            self.clock.advance(0)
            task.cancel()
            await turn(self.clock)
            self.assertTrue(task.cancelled())
            self.assertEqual(await self.iterate(1), "left")
            self.assertEqual(self.seen, ["a"])

        self.begin()
        run_in_loop(test())
        self.stop()

    def test_timeout(self) -> None:
        """``asyncio.timeout`` works around a loop."""

        async def test() -> None:
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await self.iterate()

        self.begin()
        run_in_loop(test())
        self.stop()

    def test_twisted_inside_a_task(self) -> None:
        """A coroutine that Twisted runs inside a task of asyncio waits as everywhere."""

        async def test() -> None:
            looping = self.loop(1)
            self.peer.send(text("a"))
            await turn(self.clock)
            self.assertEqual(self.successResultOf(looping), "left")

        self.begin()
        run_in_loop(test())
        self.stop()

    def test_several_tasks(self) -> None:
        """Tasks share the messages."""

        async def test() -> None:
            tasks = [asyncio.ensure_future(self.iterate()) for _ in range(3)]
            await turn(self.clock)
            self.peer.send(b"".join(map(text, "abcdef")))
            await turn(self.clock)
            self.assertEqual(sorted(self.seen), list("abcdef"))
            self.client.stop()
            self.peer.drop()
            await turn(self.clock)
            self.assertEqual(await asyncio.gather(*tasks), ["ended"] * 3)

        self.begin()
        run_in_loop(test())
