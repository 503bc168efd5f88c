"""Tests of the how-to pages: each snippet of Python is run."""

from __future__ import annotations

import io
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import aiohttp.web
from twisted.internet.defer import Deferred, maybeDeferred

import wsx
from wsx.test.support import MemoryCase, text
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


class TokenServer(AiohttpServer):
    """A server of tokens, each of which opens one connection.

    Attributes:
        used: The tokens of the connections.
    """

    def __init__(self) -> None:
        self.used: list[str] = []
        self.count = 0
        super().__init__()

    async def _refuse(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.count += 1
        return aiohttp.web.json_response({"access_token": f"T{self.count}"})

    async def _serve(self, request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        self.used.append(request.query["token"])
        response = aiohttp.web.WebSocketResponse()
        await response.prepare(request)
        await response.send_str(f"used {self.used[-1]}")
        if len(self.used) > 1:
            await response.receive()
        return response


class FreshTokenScriptTests(TwistdCase):
    """The first snippet of ``fresh-token.md`` as a script, with real servers."""

    async def test_script(self) -> None:
        """Two connections use two tokens."""
        server = TokenServer()
        self.addCleanup(server.close)
        code = snippets("fresh-token.md")[0]
        for port in ("8080", "8081"):
            code = code.replace(f"127.0.0.1:{port}", f"{HOST}:{server.port}")
        process = Twistd()
        global_reactor().spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-uc", code],
            env={"PYTHONPATH": REPOSITORY},
            path=str(self.directory),
        )
        self.addCleanup(process.kill)
        await process.says("received used T2")
        self.assertEqual(server.used, ["T1", "T2"])
