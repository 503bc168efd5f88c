"""Tests of ``twistd wsx`` with a configuration file or metrics, as a process."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.web.client import Agent, readBody

from wsx.test.support.extras import missing
from wsx.test.support.sockets import HOST, AiohttpServer, WebsocketsServer, global_reactor
from wsx.test.support.twistd import TwistdCase

# Real processes


PATIENT = '[clients.{name}]\nurl = "{url}"\nhandler = "probe.Probe"\nstate = "{state}"\n'


class ConfigProcessTests(TwistdCase):
    """twistd itself, with a file."""

    timeout = 60

    def config(self, *clients: str) -> None:
        """Writes the file."""
        (self.directory / "clients.toml").write_text("".join(clients))

    async def test_sighup(self) -> None:
        """[V4] A changed client is replaced, a new one started, one is untouched; SIGTERM: 0."""
        first, second = self.serve(WebsocketsServer), self.serve(AiohttpServer)
        kept = PATIENT.format(name="kept", url=first.url(), state="kept")
        self.config(kept, PATIENT.format(name="other", url=second.url(), state="one"))
        process = self.twistd("--config", "clients.toml")
        await process.says("probe connected with kept")
        await process.says("probe connected with one")
        self.config(
            kept,
            PATIENT.format(name="other", url=second.url(), state="two"),
            PATIENT.format(name="new", url=second.url(), state="new"),
        )
        process.transport.signalProcess("HUP")
        await process.says("probe connected with two")
        await process.says("probe connected with new")
        await process.says("clients.toml reloaded: 1 started, 0 stopped, 1 replaced, 1 unchanged")
        self.assertEqual(await second.closes.get(), 1001)
        self.config("nonsense")
        process.transport.signalProcess("HUP")
        await process.says("clients.toml: not valid TOML: ")
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertEqual(await first.closes.get(), 1001)
        self.assertEqual([await second.closes.get() for _ in range(2)], [1001, 1001])
        self.assertEqual(process.output.count("probe connected with kept"), 1)
        self.assertEqual(process.output.count("probe connected"), 4)
        self.assertEqual(process.output.count("probe terminated with Shutdown"), 4)
        self.assertEqual(process.errors, "")
        self.assertNotIn("Traceback", process.output)

    async def test_wrong_file(self) -> None:
        """A wrong file is one line on standard error and status 1; nothing is started."""
        server = self.serve()
        url = server.url()
        good = PATIENT.format(name="good", url=url, state="good")
        self.config(good, PATIENT.format(name="bad", url=url, state="bad"), "ping_interval = -1\n")
        process = self.twistd("--config", "clients.toml")
        self.assertEqual(await process.ended(), 1)
        self.assertEqual(process.output, "probe is cleaned up\n")  # by the handler's module
        self.assertRegex(
            process.errors,
            r"\Atwistd wsx: clients\.toml: clients\.bad\.ping_interval: [^\n]+\n\Z",
        )

    async def test_all_end(self) -> None:
        """When all have ended for good twistd ends, with the status of the worst."""
        server = self.serve()
        talker = PATIENT.replace("probe.Probe", "probe.Talker")
        crasher = PATIENT.replace("probe.Probe", "probe.Crasher") + 'restart = "temporary"\n'
        talkers = [talker.format(name=name, url=server.url(), state=name) for name in "ab"]
        self.config(*talkers)
        normal = self.twistd("--config", "clients.toml")
        self.assertEqual(await normal.ended(), 0)
        self.config(*talkers, crasher.format(name="c", url=server.url(), state="c"))
        abnormal = self.twistd("--config", "clients.toml")
        self.assertEqual(await abnormal.ended(), 1)

    async def test_daemon(self) -> None:
        """A daemon that works in another directory finds its file, and what that names, again."""
        server = self.serve()
        os.mkdir(self.directory / "run")
        one = PATIENT.format(name="one", url=server.url(), state="one")
        self.config(one, 'debug = [["log_to_file", "events.log"]]\n')
        process = self.run_twistd(
            *("-n", "--pidfile=", "--rundir=run", "wsx", "--config", "clients.toml")
        )
        await process.says("probe connected with one")
        self.config(PATIENT.format(name="two", url=server.url(), state="two"))
        process.transport.signalProcess("HUP")
        await process.says("probe connected with two")
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertTrue((self.directory / "events.log").exists())
        self.assertEqual(os.listdir(self.directory / "run"), [])


class MetricsProcessTests(TwistdCase):
    """twistd itself, with --metrics."""

    skip = missing("prometheus_client")
    timeout = 60

    async def get(self, port: int, path: str) -> tuple[int, str]:
        """Asks by HTTP; gives status and body."""
        agent: Any = Agent(global_reactor())
        response = await agent.request(b"GET", f"http://{HOST}:{port}{path}".encode())
        return response.code, (await readBody(response)).decode()

    async def test_served(self) -> None:
        """The metrics of the file's clients are at /metrics, also after a SIGHUP."""
        server = self.serve()
        port = self.unused_port()
        config = self.directory / "clients.toml"
        config.write_text(PATIENT.format(name="one", url=server.url(), state="one"))
        process = self.twistd(
            *("--config", "clients.toml", "--metrics", f"tcp:{port}:interface={HOST}")
        )
        await process.says("probe connected with one")
        status, body = await self.get(port, "/metrics")
        self.assertEqual(status, 200)
        self.assertIn('wsx_connections_open{client="one"} 1.0', body)
        with config.open("a") as file:
            file.write(PATIENT.format(name="two", url=server.url(), state="two"))
        process.transport.signalProcess("HUP")
        await process.says("probe connected with two")
        _, body = await self.get(port, "/metrics")
        for name in ("one", "two"):
            self.assertIn(f'wsx_connections_open{{client="{name}"}} 1.0', body)
        status, _ = await self.get(port, "/")
        self.assertEqual(status, 404)
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertEqual(process.errors, "")

    async def test_one_client(self) -> None:
        """The same with --url."""
        server = self.serve()
        port = self.unused_port()
        process = self.twistd(
            *("--url", server.url(), "--handler", "probe.Probe", "--name", "feed"),
            *("--metrics", f"tcp:{port}:interface={HOST}"),
        )
        await process.says("probe connected")
        _, body = await self.get(port, "/metrics")
        self.assertIn('wsx_connections_open{client="feed"} 1.0', body)
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)

    async def test_port_in_use(self) -> None:
        """A port that is in use is one line on standard error and status 1; nothing is started."""
        server = self.serve()
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]
            process = self.twistd(
                *("--url", server.url(), "--handler", "probe.Probe"),
                *("--metrics", f"tcp:{port}:interface={HOST}"),
            )
            self.assertEqual(await process.ended(), 1)
        self.assertEqual(process.output, "")
        endpoint = f"tcp:{port}:interface={HOST}"
        message = f'twistd wsx: --metrics: expected an endpoint that can listen, got "{endpoint}": '
        self.assertTrue(process.errors.startswith(f"{message}Address already in use"))
        self.assertEqual(process.errors.count("\n"), 1)

    async def test_sigterm_while_scraped(self) -> None:
        """A scraper that keeps its connection open does not keep twistd."""
        server = self.serve()
        port = self.unused_port()
        process = self.twistd(
            *("--url", server.url(), "--handler", "probe.Probe"),
            *("--metrics", f"tcp:{port}:interface={HOST}"),
        )
        await process.says("probe connected")
        with socket.create_connection((HOST, port), timeout=10) as scraper:
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            process.transport.signalProcess("TERM")
            self.assertEqual(await process.ended(), 0)
