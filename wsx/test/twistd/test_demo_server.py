"""Tests of wsx._twistd.demo_server: the server of the README and of the tutorial."""

from __future__ import annotations

import json
from typing import Any

import wsx
from wsx import Binary, Client, ConnectionDropped, RemoteClose, Text
from wsx._twistd.demo_server import StandaloneServer
from wsx.test.support import LoopbackCase, Probe
from wsx.test.support.sockets import global_reactor
from wsx.test.support.twistd import OptionsCase, TwistdCase, parse


class ServerCase(LoopbackCase):
    """Base class for tests with a server on a free port."""

    def run_server(self, **times: float) -> StandaloneServer:
        """Start the server, and stop it after the test."""
        server = StandaloneServer(0, global_reactor(), **times)
        server.startService()
        self.addCleanup(lambda: server.running and server.stopService())
        return server

    async def connect(self, url: str) -> tuple[Client[Any], Probe]:
        """Open a client, and stop it after the test."""
        probe = Probe()
        client = await wsx.start(url, probe)
        self.addCleanup(client.stop)
        return client, probe


class EchoTests(ServerCase):
    """The echo."""

    async def test_echo(self) -> None:
        """Send text and binary messages back unchanged."""
        client, probe = await self.connect(self.run_server().url)
        for frame in (Text("hello"), Text(""), Binary(b"\0\xff"), Binary(b"drop")):
            await client.send_frame(frame)
            self.assertEqual(await probe.frames.get(), frame)

    async def test_drop(self) -> None:
        """The message drop ends the TCP connection."""
        client, probe = await self.connect(self.run_server().url)
        await client.send_frame(Text("drop"))
        self.assertIsInstance((await probe.lost.get()).reason, ConnectionDropped)

    async def test_close(self) -> None:
        """The message close causes a close frame."""
        client, probe = await self.connect(self.run_server().url)
        await client.send_frame(Text("close"))
        self.assertEqual((await probe.lost.get()).reason, RemoteClose(1012, "restarting"))

    async def test_close_timeout(self) -> None:
        """A client has seconds to answer a close frame, whatever the fraction of the time is."""
        server = self.run_server()
        await self.connect(server.url)
        (connection,) = server._factory.connections
        self.assertGreater(connection.closeHandshakeTimeout, 2)

    async def test_other_path(self) -> None:
        """Refuse any other path."""
        url = self.run_server().url
        error: Any = await self.assertFailure(wsx.start(f"{url}fed", Probe()), wsx.RequestError)
        self.assertEqual(error.code, 404)

    async def test_stop(self) -> None:
        """Clients receive close code 1001 when the server stops."""
        server = self.run_server()
        _, probe = await self.connect(server.url)
        await server.stopService()
        reason = (await probe.lost.get()).reason
        self.assertEqual(reason, RemoteClose(1001, "the demo server stops"))


class FeedTests(ServerCase):
    """The feed."""

    async def ticks(self, probe: Probe, count: int) -> list[Any]:
        """Return the next messages, decoded."""
        return [json.loads((await probe.frames.get()).payload) for _ in range(count)]

    async def test_subscribe(self) -> None:
        """Send ticks of all subscribed symbols, with growing numbers."""
        server = self.run_server(tick_seconds=0.01)
        client, probe = await self.connect(f"{server.url}feed")
        for symbol in ("EURUSD", "GBPUSD", "EURUSD"):
            await client.send_frame(Text(f"subscribe {symbol}"))
        ticks = await self.ticks(probe, 6)
        self.assertEqual([tick["number"] for tick in ticks], list(range(1, 7)))
        self.assertEqual({tick["symbol"] for tick in ticks}, {"EURUSD", "GBPUSD"})
        self.assertTrue(all(90 <= tick["price"] <= 110 for tick in ticks), ticks)

    async def test_wrong_messages(self) -> None:
        """Answer any other message with an error, and keep the connection."""
        client, probe = await self.connect(f"{self.run_server().url}feed")
        wrong = ["subscribe", "subscribe ", "subscribe A B", "subscribe " + "X" * 13, "x"]
        for message in wrong:
            await client.send_frame(Text(message))
        await client.send_frame(Binary(b"\xff"))
        for answer in await self.ticks(probe, len(wrong) + 1):
            self.assertEqual(list(answer), ["error"])
        self.assertEqual(client.status, "open")

    async def test_symbols_are_limited(self) -> None:
        """One connection may subscribe to twenty symbols."""
        client, probe = await self.connect(f"{self.run_server(tick_seconds=60).url}feed")
        for number in range(21):
            await client.send_frame(Text(f"subscribe S{number}"))
        *ticks, error = await self.ticks(probe, 21)
        self.assertEqual([tick["symbol"] for tick in ticks], [f"S{n}" for n in range(20)])
        self.assertEqual(error, {"error": "expected at most 20 symbols"})

    async def test_tick_while_closing(self) -> None:
        """A tick that is due while the connection closes is dropped."""
        server = self.run_server(tick_seconds=60)
        client, probe = await self.connect(f"{server.url}feed")
        await client.send_frame(Text("subscribe EURUSD"))
        await self.ticks(probe, 1)
        (connection,) = server._factory.connections
        connection._restart()
        connection._ticks.f()
        self.assertEqual((await probe.lost.get()).reason, RemoteClose(1012, "restarting"))

    async def test_ends(self) -> None:
        """Each connection ends after a while, in turn by a drop and by a close frame."""
        server = self.run_server(feed_seconds=0.01)
        reasons = []
        for _ in range(4):
            _, probe = await self.connect(f"{server.url}feed")
            reasons.append((await probe.lost.get()).reason)
        closed = [reason == RemoteClose(1012, "restarting") for reason in reasons]
        self.assertEqual(closed, [False, True, False, True])


class OptionTests(OptionsCase):
    """The options --demo-server and --port."""

    def test_port(self) -> None:
        """The port is checked before anything is started."""
        for port in ("x", "-1", "65536", ""):
            line = self.refusal("--demo-server", "--port", port)
            self.assertIn(f'--port: expected a port from 0 to 65535, got "{port}"', line)
        self.assertEqual(parse("--demo-server", "--port", "0")["port"], 0)

    def test_port_alone(self) -> None:
        """--port needs --demo-server."""
        line = self.refusal("--demo", "--port", "0")
        self.assertIn("--port: expected --demo-server as well", line)

    def test_other_options(self) -> None:
        """No option of a client may be given with it."""
        for option in (["--name", "x"], ["--header", "A: 1"], ["--insecure"]):
            line = self.refusal("--demo-server", *option)
            self.assertIn(f"expected no other option except --port, got {option[0]}", line)
        self.assertIn("--url and --demo-server", self.refusal("--url", "ws://a", "--demo-server"))


class ProcessTests(TwistdCase):
    """``twistd wsx --demo-server`` in a real process."""

    async def test_run(self) -> None:
        """It shows its URLs, serves, and refuses a port that is in use."""
        port = self.unused_port()
        process = self.twistd("--demo-server", "--port", str(port))
        await process.says(f"ticks at ws://127.0.0.1:{port}/feed")
        client = await wsx.start(f"ws://127.0.0.1:{port}/", Probe())
        await process.says("a client connected to /")
        second = self.twistd("--demo-server", "--port", str(port))
        self.assertEqual(await second.ended(), 1)
        self.assertIn(f"--port: expected a port that is free, got {port}: ", second.errors)
        await client.stop()
        await process.says("the connection to / ended")
        process.transport.signalProcess("TERM")
        await process.ended()
        self.assertIn("Server Shut Down", process.output)
        self.assertNotIn("Traceback", process.output + process.errors)
