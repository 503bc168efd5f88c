"""Tests of clients whose callbacks await asyncio code, while asyncio's event loop runs or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

import wsx
from wsx import Ok, Reply, Text
from wsx.test.support import URL, Recorder, text
from wsx.test.support.clients import MESSAGE_CALLBACKS, ClientCase
from wsx.test.support.each import each
from wsx.test.support.loops import run_in_loop, turn


class Waiting(wsx.Handler[int]):
    """A handler one of whose callbacks awaits something.

    Args:
        callback: The name of the callback.
        awaited: Called in the callback; returns what it awaits.
    """

    def __init__(self, callback: str, awaited: Callable[[], Awaitable[Any]]) -> None:
        self.seen: list[Any] = []

        async def wait(argument: Any, state: int) -> Any:
            try:
                self.seen.append(await awaited())
            except asyncio.CancelledError:
                self.seen.append("cancelled")
                raise
            return None if callback == "terminate" else Ok(state + 1)

        setattr(self, callback, wait)

    def handle_info(self, message: Any, state: int) -> Any:
        self.seen.append((message, state))


class AsyncioCase(ClientCase):
    """Base class: tests that run in an event loop of asyncio."""

    def in_loop(self, test: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        run_in_loop(test())

    async def open_in_loop(self, handler: Any, **options: Any) -> wsx.Client[Any]:
        """Start a client whose ``handle_connect`` may wait."""
        started = self.start(handler, 0, **options)
        self.peer.answer()
        await turn(self.clock)
        return await started

    async def stop_in_loop(self, client: wsx.Client[Any]) -> object:
        """Stop an open client."""
        stopped = client.stop()
        self.peer.drop()
        await turn(self.clock)
        return self.successResultOf(stopped)


class AwaitTests(AsyncioCase):
    """Callbacks that await asyncio code."""

    @each([name for name in MESSAGE_CALLBACKS if name != "handle_info"])
    def test_callbacks(self, callback: str) -> None:
        """Each callback may await it; its result counts, and events wait meanwhile."""

        async def test() -> None:
            handler = Waiting(callback, lambda: asyncio.sleep(0, "slept"))
            client = await self.open_in_loop(handler)
            self.provoke(callback, client)
            client.info("later")
            await turn(self.clock)
            self.assertEqual(handler.seen, ["slept", ("later", 1)])
            await self.stop_in_loop(client)

        self.in_loop(test)

    def test_disconnect_and_terminate(self) -> None:
        """``handle_disconnect`` and ``terminate`` as well."""

        async def test() -> None:
            for callback in ("handle_disconnect", "terminate"):
                handler = Waiting(callback, lambda: asyncio.sleep(0, "slept"))
                client = await self.open_in_loop(handler)
                self.peer.drop()
                await turn(self.clock)
                self.assertEqual(handler.seen, ["slept"], callback)
                self.assertEqual(client.status, "terminated")

        self.in_loop(test)

    def test_messages_in_order(self) -> None:
        """Messages are delivered one after another, and backpressure applies."""
        seen: list[str] = []

        class Slow(wsx.Handler[Any]):
            async def handle_frame(self, frame: Any, state: Any) -> Any:
                await asyncio.sleep(0)
                seen.append(frame.payload)
                return Reply(Text(frame.payload), state)

        async def test() -> None:
            client = await self.open_in_loop(Slow)
            self.peer.send(text("a") + text("b") + text("c"))
            self.assertTrue(self.peer.transport.reading_paused)
            for _ in range(5):
                await turn(self.clock)
            self.assertEqual(seen, ["a", "b", "c"])
            self.assertEqual(self.peer.received(), [(1, b"a"), (1, b"b"), (1, b"c")])
            await self.stop_in_loop(client)

        self.in_loop(test)

    def test_provider(self) -> None:
        """A connection provider and a headers callable may await it."""

        async def provide(attempt: wsx.Attempt) -> str:
            return await asyncio.sleep(0, "ws://two.test/")

        def authorize(attempt: wsx.Attempt) -> Any:
            return asyncio.ensure_future(asyncio.sleep(0, {"Token": "t"}))

        async def test() -> None:
            started = self.start(Recorder(), url=provide, extra_headers=authorize)
            await turn(self.clock)
            self.assertEqual(self.peer.request[1]["token"], "t")
            self.peer.answer()
            await turn(self.clock)
            client = await started
            self.assertEqual(client.conn.url, "ws://two.test/")
            await self.stop_in_loop(client)

        self.in_loop(test)


class CancelTests(AsyncioCase):
    """Ending a client while a callback awaits asyncio code."""

    @each((lambda client: client.stop(), lambda client: client.abort()))
    def test_end(self, end: Callable[[wsx.Client[Any]], Any]) -> None:
        """The awaited task is cancelled, and nothing is logged."""
        tasks: list[asyncio.Future[Any]] = []

        def sleep() -> Awaitable[Any]:
            tasks.append(asyncio.ensure_future(asyncio.sleep(60)))
            return tasks[0]

        async def test() -> None:
            handler = Waiting("handle_frame", sleep)
            client = await self.open_in_loop(handler)
            self.peer.send(text("a"))
            await turn(self.clock)
            end(client)
            self.peer.drop()
            await turn(self.clock)
            self.assertEqual(client.status, "terminated")
            self.assertTrue(tasks[0].cancelled())
            self.assertEqual(handler.seen, ["cancelled"])

        self.in_loop(test)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_terminate(self) -> None:
        """``terminate`` is cancelled after its time limit."""

        async def test() -> None:
            handler = Waiting("terminate", lambda: asyncio.sleep(60))
            client = await self.open_in_loop(handler, close_timeout=1.0)
            client.stop()
            self.peer.drop()
            await turn(self.clock)
            await turn(self.clock, 1.1)
            self.assertEqual((client.status, handler.seen), ("terminated", ["cancelled"]))

        self.in_loop(test)

    def test_provider(self) -> None:
        """A provider that hangs is cancelled after its time limit."""
        seen: list[str] = []

        async def provide(attempt: wsx.Attempt) -> str:
            try:
                return await asyncio.sleep(60, "ws://two.test/")
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def test() -> None:
            started = self.start(Recorder(), url=provide)
            await turn(self.clock)
            await turn(self.clock, 6.1)
            self.failureResultOf(started, wsx.ProviderError)

        self.in_loop(test)
        self.assertEqual(seen, ["cancelled"])


class Echoes(wsx.Requests, wsx.Handler[Any]):
    """A handler for requests whose replies repeat them."""

    def reply_key(self, frame: Any) -> Any:
        return frame.payload


class TaskTests(AsyncioCase):
    """Tasks of asyncio await what the methods of a client return."""

    async def result_of(self, deferred: Deferred[Any], *actions: Callable[[], object]) -> Any:
        """Await a Deferred in a task, while something happens."""

        async def wait() -> Any:
            return await deferred

        task = asyncio.ensure_future(wait())
        for action in actions:
            await turn(self.clock)
            action()
        await turn(self.clock)
        return await task

    def test_methods(self) -> None:
        """Each Deferred that is pending can be awaited."""

        async def test() -> None:
            client = await self.result_of(self.start(Echoes), lambda: self.peer.answer())
            requested = client.request(Text("a"), key="a")
            reply = await self.result_of(requested, lambda: self.peer.send(text("a")))
            self.assertEqual(reply, Text("a"))
            self.peer.buffer.pauseProducing()
            sent = client.send_frame(Text("b"))
            await self.result_of(sent, self.peer.buffer.resumeProducing)
            await self.result_of(client.send_fragments(Text, ["c", "d"]))
            self.assertEqual(await self.result_of(client.sys.replace_state(lambda _: 5)), 5)
            ended = client.terminated()
            self.assertEqual(await self.result_of(client.stop(), self.peer.drop), wsx.Shutdown())
            self.assertEqual(await ended, wsx.Shutdown())

        self.in_loop(test)

    def test_supervisor(self) -> None:
        """The requests of a supervisor as well."""

        async def test() -> None:
            options: dict[str, Any] = {"endpoint": self.server, "reactor": self.clock}
            spec = Echoes.child_spec(URL, None, id="echoes", async_=True, **options)
            supervisor = wsx.Supervisor([spec])
            supervisor.startService()
            await self.result_of(supervisor.when_up(), lambda: self.peer.answer())
            await self.result_of(supervisor.terminate_child("echoes"), self.peer.drop)
            await self.result_of(maybeDeferred(supervisor.stopService))

        self.in_loop(test)


class OtherReactorTests(ClientCase):
    """The same without an event loop."""

    def test_callback(self) -> None:
        """The client ends with a RuntimeError that says what to do."""
        handler = Waiting("handle_frame", lambda: asyncio.sleep(1))
        client = self.open(handler, 0)
        self.peer.send(text("a"))
        self.peer.drop()
        self.step()
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, RuntimeError)
        self.assertIn("handle_frame awaits asyncio code", str(reason))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_provider(self) -> None:
        """An attempt fails with it."""

        async def provide(attempt: wsx.Attempt) -> str:
            return await asyncio.sleep(1, "ws://two.test/")

        error = self.failed_start(self.start(Recorder(), url=provide), wsx.ProviderError)
        self.assertIn("connection provider awaits asyncio code", str(error.original))

    def test_deferreds(self) -> None:
        """Deferreds may be awaited as before."""
        pending: Deferred[str] = Deferred()
        handler = Waiting("handle_frame", lambda: pending)
        client = self.open(handler, 0)
        self.peer.send(text("a"))
        pending.callback("fired")
        self.step()
        self.assertEqual(handler.seen, ["fired"])
        self.end(client)
