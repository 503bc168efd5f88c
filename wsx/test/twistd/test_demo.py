"""Tests of wsx._twistd.demo: what ``twistd wsx --demo`` shows, and its embedded server."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from twisted.internet.error import ConnectionRefusedError

import wsx
from wsx import Backoff, Client, LocalClose, Text
from wsx._twistd.demo import DemoHandler, DemoServer
from wsx.test.support import LoopbackCase, MemoryCase, Probe, close, server_frame, text
from wsx.test.support.sockets import global_reactor
from wsx.test.support.twistd import TwistdCase


class HandlerTests(MemoryCase):
    """The demo's handler, against an in-memory server."""

    def setUp(self) -> None:
        super().setUp()
        self.output = StringIO()
        self.patch(sys, "__stdout__", self.output)

    def demo(self, **options: Any) -> Client[Any]:
        """Opens a client with the demo's handler, as --demo does."""
        policy = Backoff(initial=1.0, jitter=0.0)
        return self.open(DemoHandler, **({"reconnect": policy} | options))

    def lines(self) -> list[str]:
        """Return the lines that it showed."""
        return self.output.getvalue().splitlines()

    def test_shows(self) -> None:
        """What comes is shown."""
        self.demo()
        self.peer.send(text("reading 1: 20.00 °C") + text("echo: hello"))
        self.step()
        self.assertEqual(self.lines(), ["reading 1: 20.00 °C", "echo: hello"])

    def test_counts(self) -> None:
        """The state counts readings, over a reconnect; a greeting with it is sent each time."""
        self.demo()
        self.assertEqual(self.peer.received(), [(1, b"hello; readings so far: 0")])
        self.peer.send(text("reading 1: x") + text("echo: y") + text("reading 2: z"))
        self.peer.drop()
        self.step()
        self.clock.advance(1)
        self.step()
        self.peer.answer()
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"hello; readings so far: 2")])

    def test_lost(self) -> None:
        """A lost connection is followed by another attempt; only the log has a line about it."""
        for data in (b"", close(1012, "restarting")):
            self.demo()
            attempts = self.server.attempts
            self.peer.send(data)
            self.peer.drop()
            self.step()
            self.clock.advance(1)
            self.step()
            self.assertEqual(self.server.attempts, attempts + 1)
        self.assertEqual(self.lines(), [])

    def test_healthy(self) -> None:
        """Each reading makes the connection a healthy one: the delay does not grow."""
        self.demo()
        for attempts in (2, 3, 4):
            self.peer.send(text("reading 1: x"))
            self.step()
            self.peer.drop()
            self.step()
            self.clock.advance(1)
            self.step()
            self.assertEqual(self.server.attempts, attempts)
            self.peer.answer()
            self.step()

    def test_no_policy(self) -> None:
        """With --no-reconnect it ends where a handler without a handle_disconnect does."""
        client = self.demo(reconnect=None)
        self.peer.send(close(1000))
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.server.attempts, 1)

    def test_end(self) -> None:
        """The end is shown, with the number of readings."""
        client = self.demo()
        self.peer.send(text("reading 1: x"))
        client.stop()
        self.peer.send(close(1001))
        self.peer.drop()
        self.step()
        self.assertRegex(self.lines()[-1], r"\Ademo: ended; readings received: \d+\Z")

    def test_binary(self) -> None:
        """A binary message is printed, and the client stays open."""
        client = self.demo()
        self.peer.send(server_frame(2, b"\x00\xff"))
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(len(self.lines()), 1)


class ServerTests(LoopbackCase):
    """The demo's server, over a loopback socket."""

    async def test_serves(self) -> None:
        """It listens on loopback only, streams readings, echoes, and is gone after its stop."""
        output = StringIO()
        self.patch(sys, "__stdout__", output)
        server = DemoServer(global_reactor())
        url = server.listen()
        server.startService()
        self.assertIn(f"demo: the server at {url} ", output.getvalue())
        self.assertIn("Ctrl-C", output.getvalue())
        self.addCleanup(lambda: server.running and server.stopService())
        self.assertRegex(url, r"\Aws://127\.0\.0\.1:\d+/")
        probe = Probe()
        client = await wsx.start(url, probe)
        self.addCleanup(client.stop)
        await client.send_frame(Text("to be echoed"))
        seen = [(await probe.frames.get()).payload for _ in range(3)]
        self.assertIn("echo: to be echoed", seen)
        self.assertRegex(str(next(x for x in seen if x != "echo: to be echoed")), "reading 1: ")
        await client.close()
        self.assertEqual(await client.terminated(), LocalClose(1000, ""))
        await server.stopService()
        error: Any = await self.assertFailure(wsx.start(url, Probe()), wsx.ConnError)
        self.assertIsInstance(error.original, ConnectionRefusedError)


class ProcessTests(TwistdCase):
    """``twistd wsx --demo`` in a real process."""

    async def test_demo(self) -> None:
        """It explains itself and shows readings and a reconnect within ten seconds; SIGTERM: 0."""
        process = self.twistd("--demo")
        await process.says("reading 1: ")
        began = global_reactor().seconds()
        await process.says("echo: hello; ", times=2)
        self.assertLess(global_reactor().seconds() - began, 10)
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertRegex(process.output, r"(?m)^echo: hello; readings so far: 0$")
        self.assertRegex(process.output, r"(?m)^echo: hello; readings so far: [1-9]\d*$")
        self.assertRegex(process.output, r"(?m)^demo: ended; readings received: [1-9]\d*$")
        self.assertRegex(process.output, r"\A(?s:.*)demo: the server at ws://(?s:.*)reading 1: ")
        self.assertNotIn("Traceback", process.output + process.errors)

    async def test_demo_with_a_handler(self) -> None:
        """A handler of the user's own may be tried with the demo's server."""
        process = self.twistd("--demo", "--handler", "probe.Probe")
        await process.says("probe received Text('reading 1: ")
        process.transport.signalProcess("INT")
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertIn("probe terminated with Shutdown", process.output)
