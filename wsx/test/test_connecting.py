"""Tests of wsx.connecting: ``wsx.connect``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogLevel, capturedLogs

import wsx
from wsx.test.support import URL, MemoryCase, text
from wsx.test.support.each import each
from wsx.test.support.loops import run_in_loop, turn


class ConnectTests(MemoryCase):
    """``wsx.connect``, a client without a handler class."""

    def connect(self, source: Any = URL, **options: Any) -> wsx.Connecting:
        defaults = {"reactor": self.clock, "endpoint": self.server, "ping_interval": None}
        return wsx.connect(source, **(defaults | options))

    def test_deferred(self) -> None:
        """The result is a Deferred of the client."""
        connecting = self.connect()
        self.peer.answer()
        self.step()
        client = self.successResultOf(connecting)
        self.assertIsInstance(client.handler, wsx.FrameQueue)
        client.abort()
        self.step()

    def test_context_manager(self) -> None:
        """``async with`` stops the client at its end."""
        seen: list[Any] = []

        async def script() -> str:
            async with self.connect() as client:
                async for frame in client.frames():
                    seen.append(frame.payload)
                    if frame == wsx.Text("bye"):
                        break
            return client.status

        running = ensureDeferred(script())
        self.peer.answer(text("hello") + text("bye"))
        self.step()
        self.assertNoResult(running)  # It waits for the server's close frame.
        self.assertEqual(self.peer.received(), [(8, (1001).to_bytes(2, "big"))])
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(running), "terminated")
        self.assertEqual(seen, ["hello", "bye"])

    def test_error_in_the_body(self) -> None:
        """An exception of the body stops the client and is raised."""

        async def script() -> None:
            async with self.connect():
                raise ValueError("x")

        running = ensureDeferred(script())
        self.peer.answer()
        self.step()
        self.peer.drop()
        self.step()
        self.failureResultOf(running, ValueError)

    def test_refused(self) -> None:
        """A connection that cannot be made is an error of ``connect``."""
        self.server.refusal = ConnectionRefusedError()
        self.failureResultOf(self.connect(), wsx.ConnError)

        async def script() -> None:
            async with self.connect():
                self.fail("the body runs")

        self.failureResultOf(ensureDeferred(script()), wsx.ConnError)

    def test_wrong_option(self) -> None:
        """A wrong option is an error as well."""
        self.failureResultOf(self.connect(close_timeout=-1), ValueError)

    def test_cancel(self) -> None:
        """Cancelling stops the attempt."""
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(({}, {"callback_warning": 10.0}))
    def test_warning(self, options: dict[str, Any]) -> None:
        """A full queue that is not read for a long time is reported only on request."""
        with capturedLogs() as events:
            connecting = self.connect(**options)
            self.peer.answer(b"".join(text("x") for _ in range(40)))
            self.step()
            client = self.successResultOf(connecting)
            for _ in range(5):
                self.clock.advance(30)
                self.step()
        warned = any(event["log_level"] > LogLevel.info for event in events)
        self.assertEqual(warned, bool(options))
        client.abort()
        self.step()

    def test_provider(self) -> None:
        """A connection provider is accepted."""
        pending: Deferred[str] = Deferred()
        connecting = self.connect(lambda attempt: pending)
        pending.callback("ws://two.test/")
        self.peer.answer()
        self.step()
        client = self.successResultOf(connecting)
        self.assertEqual(client.conn.url, "ws://two.test/")
        client.abort()
        self.step()

    def test_asyncio(self) -> None:
        """A task of asyncio uses it in the same way."""

        async def script() -> Any:
            async with self.connect() as client:
                return await anext(client.frames())

        async def serve() -> None:
            await turn(self.clock)
            self.peer.answer(text("hello"))
            await turn(self.clock)
            self.peer.drop()
            await turn(self.clock)

        async def test() -> None:
            import asyncio

            task = asyncio.ensure_future(script())
            await serve()
            self.assertEqual(await task, wsx.Text("hello"))

        run_in_loop(test())
