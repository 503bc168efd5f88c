"""Tests of the how-to pages: each snippet of Python is run."""

from __future__ import annotations

import io
import json
import re
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredQueue, maybeDeferred

import wsx
from wsx.test.support import MemoryCase, text
from wsx.test.support.each import each
from wsx.test.support.extras import aiohttp
from wsx.test.support.sockets import HOST, AiohttpServer, global_reactor
from wsx.test.support.twistd import REPOSITORY, Twistd, TwistdCase

HOW_TO = Path(wsx.__file__).resolve().parents[1] / "docs" / "how-to"

# For the whole module: the installed package includes the tests, but not the documentation.
skip = None if HOW_TO.is_dir() else "docs is not here; run the tests in a checkout"


def snippets(page: str) -> list[str]:
    """Return the snippets of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", (HOW_TO / page).read_text(), re.DOTALL | re.M)


class PageCase(MemoryCase):
    """Base class: run the snippets of a page one after another, with a server in memory.

    Attributes:
        page: The file of the page.
        names: The names that the snippets have defined.
    """

    page: ClassVar[str]

    def setUp(self) -> None:
        super().setUp()
        self.output = io.StringIO()
        self.patch(sys, "stdout", self.output)
        options = {"reactor": self.clock, "endpoint": self.server, "ping_interval": None}
        self.patch(wsx, "ClientService", partial(wsx.ClientService, **options))
        self.patch(wsx, "start", partial(wsx.start, **options))
        self.names: dict[str, Any] = {"__name__": "page"}
        self.left = snippets(self.page)

    def run_next(self, **replaced: Any) -> None:
        """Run the next snippet without its call of ``react``, then replace some names."""
        code = self.left.pop(0)
        exec(re.sub(r"^react\(.*\n", "", code, flags=re.M), self.names)
        self.names |= replaced

    def run_service(self) -> Any:
        """Start the service of the last snippet, and return the request of its client."""
        service = self.names["service"]
        service.startService()
        self.step()
        return service

    def stop(self, service: Any) -> None:
        """Stop a service whose last connection is open."""
        stopped = service.stopService()
        self.peer.drop()
        self.step()
        self.successResultOf(stopped)


class FreshTokenTests(PageCase):
    """``fresh-token.md``."""

    page = "fresh-token.md"

    def setUp(self) -> None:
        super().setUp()
        self.fetched = 0
        self.run_next(urlopen=self.urlopen, deferToThread=maybeDeferred)

    def urlopen(self, url: str, timeout: float) -> Any:
        self.fetched += 1
        return io.StringIO(json.dumps({"access_token": f"T{self.fetched}"}))

    def lose(self) -> None:
        """Open the last connection, then end it and wait for the next one."""
        self.peer.answer()
        self.step()
        self.peer.drop()
        self.step()
        self.clock.advance(4)
        self.step()

    def refuse(self) -> None:
        """Refuse the last connection, and wait for the next one."""
        self.peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        self.step()
        self.clock.advance(4)
        self.step()

    def test_first(self) -> None:
        """Each connection has a new token; messages are printed."""
        main: Deferred[Any] = Deferred.fromCoroutine(self.names["main"](self.clock))
        self.step()
        self.assertTrue(self.peer.request[0].startswith("GET /?token=T1 "))
        self.lose()
        self.assertTrue(self.peer.request[0].startswith("GET /?token=T2 "))
        self.peer.answer(text("hello"))
        self.step()
        self.assertEqual(self.output.getvalue(), "received hello\n")
        main.cancel()
        self.failureResultOf(main)

    def test_header(self) -> None:
        """The header has a new token each time."""
        self.run_next()
        service = self.run_service()
        self.assertEqual(self.peer.request[1]["authorization"], "Bearer T1")
        self.lose()
        self.assertEqual(self.peer.request[1]["authorization"], "Bearer T2")
        self.stop(service)

    def test_kept_token(self) -> None:
        """A token is kept until the server refuses it."""
        self.run_next()
        self.run_next()
        service = self.run_service()
        self.lose()
        self.assertEqual(self.peer.request[1]["authorization"], "Bearer T1")
        self.refuse()
        self.assertEqual(self.peer.request[1]["authorization"], "Bearer T2")
        self.stop(service)

    def test_hosts(self) -> None:
        """The hosts take turns."""
        for _ in range(3):
            self.run_next()
        urls = [self.names["alternate"](wsx.Attempt(number)) for number in (1, 2, 3)]
        first, second = self.names["HOSTS"]
        self.assertEqual(urls, [first, second, first])
        self.assertEqual(self.left, [])


class HelperServer(AiohttpServer):
    """A server that echoes, and has pages that the scripts of the how-to pages fetch.

    Attributes:
        count: The number of tokens that it has issued.
        used: The tokens of the connections.
        messages: The messages that it has received.
    """

    def __init__(self) -> None:
        self.messages: DeferredQueue[str | bytes] = DeferredQueue()
        self.count = 0
        self.used: list[str] = []
        super().__init__()

    async def _refuse(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        if request.path == "/symbols":
            return aiohttp.web.Response(text="BTC")
        self.count += 1
        return aiohttp.web.json_response({"access_token": f"T{self.count}"})

    async def obey(self, message: str | bytes, *arguments: Any) -> None:
        global_reactor().callFromThread(self.messages.put, message)
        await super().obey(message, *arguments)

    async def _serve(self, request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        if "token" not in request.query:
            return await super()._serve(request)
        self.used.append(request.query["token"])
        response = aiohttp.web.WebSocketResponse()
        await response.prepare(request)
        await response.send_str(f"used {self.used[-1]}")
        if len(self.used) > 1:  # The first connection is dropped at once.
            await response.receive()
        return response


class ScriptCase(TwistdCase):
    """Base class for snippets that are run as scripts, with a real server.

    Attributes:
        helper: The server.
    """

    def setUp(self) -> None:
        super().setUp()
        self.helper = HelperServer()
        self.addCleanup(self.helper.close)

    def run_python(self, *arguments: str) -> Twistd:
        """Run Python. The addresses of the page become that of the server."""
        process = Twistd()
        local = [
            re.sub(r"127\.0\.0\.1:808\d", f"{HOST}:{self.helper.port}", argument)
            for argument in arguments
        ]
        global_reactor().spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-u", *local],
            env={"PYTHONPATH": REPOSITORY},
            path=str(self.directory),
        )
        self.addCleanup(process.kill)
        return process

    async def assert_prints(self, code: str, output: str) -> None:
        """Run a script to its end, and compare its output."""
        process = self.run_python("-c", code)
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual((process.output, process.errors), (output, ""))


class FreshTokenScriptTests(ScriptCase):
    """The first snippet of ``fresh-token.md`` as a script, with real servers."""

    async def test_script(self) -> None:
        """Two connections use two tokens."""
        process = self.run_python("-c", snippets("fresh-token.md")[0])
        await process.says("received used T2")
        self.assertEqual(self.helper.used, ["T1", "T2"])


class MigrationScriptTests(ScriptCase):
    """The scripts of the pages for users of other libraries."""

    def run_page(self, page: str, url: str) -> Twistd:
        """Run the script of a page with another URL and shorter delays."""
        code = snippets(page)[1].replace("wss://example.com/feed", url)
        return self.run_python("-c", re.sub(r"Backoff\(.*?\)", "Backoff(initial=0.1)", code))

    @each(("from-autobahn.md", "from-websocket-client.md"))
    async def test_server_is_down(self, page: str) -> None:
        """The script prints each failed attempt, and tries again."""
        with socket.create_server((HOST, 0)) as server:
            port = server.getsockname()[1]
        process = self.run_page(page, f"ws://{HOST}:{port}/")
        await process.says("closed connection failed: connection refused\n", times=2)
        self.assertIsNone(process.status)

    @each(("from-autobahn.md", "from-websocket-client.md"))
    async def test_interrupt(self, page: str) -> None:
        """Ctrl-C sends a close frame."""
        process = self.run_page(page, f"ws://{HOST}:{self.helper.port}/")
        self.assertEqual(await self.helper.messages.get(), "subscribe EURUSD")
        process.transport.signalProcess("INT")
        self.assertIn(await process.ended(), (0, -2), process.errors)
        self.assertEqual(await self.helper.closes.get(), 1001)


class AsyncioScriptTests(ScriptCase):
    """The snippets of ``asyncio.md``."""

    @each((0, 1, 2, 3))
    async def test_script(self, number: int) -> None:
        """Each snippet prints what its server sends, and ends."""
        scripts = snippets("asyncio.md")
        self.assertEqual(len(scripts), 4)
        output = [
            "received hello\n",
            "received Text('hello')\n",
            "received BTC\n",
            "received subscribe\n",
        ]
        await self.assert_prints(scripts[number], output[number])

    async def test_another_reactor(self) -> None:
        """The snippet with aiohttp ends with a text that says what to do on another reactor."""
        code = snippets("asyncio.md")[2].replace("asyncioreactor.install()", "")
        process = self.run_python("-c", code)
        self.assertEqual(await process.ended(), 1)
        self.assertIn("handle_connect awaits asyncio code", process.errors)
        self.assertIn("twistd --reactor asyncio", process.errors)

    async def test_repl(self) -> None:
        """The session in a REPL prints what the page shows."""
        page = (HOW_TO / "asyncio.md").read_text()
        (session,) = re.findall(r"^```pycon\n(.*?)^```", page, re.DOTALL | re.M)
        command, *lines = session.splitlines()
        self.assertEqual(command, "$ python -m asyncio")
        process = self.run_python("-m", "asyncio")
        typed = [line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")]
        text = "".join(f"{line}\n" for line in typed)
        local = re.sub(r"127\.0\.0\.1:808\d", f"{HOST}:{self.helper.port}", text)
        process.transport.write(local.encode())  # type: ignore[attr-defined]
        await process.ended()
        shown = [line for line in lines if not line.startswith(">>> ")]
        printed = process.output.replace(">>> ", "").split("\n")
        self.assertEqual([line for line in printed if line], shown, process.errors)
