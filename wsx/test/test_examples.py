"""Tests of docs/examples: each is run as a reader would run it, and its module is tested."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Conn, ConnectionDropped, LocalClose, NoReplyError, NotConnectedError, Ping, Pong
from wsx.test.support import MemoryCase, close, text
from wsx.test.support.examples import EXAMPLES, ScriptCase, load, missing_examples
from wsx.test.support.extras import aiohttp
from wsx.test.support.sockets import HOST, Server, WebsocketsServer, global_reactor
from wsx.test.support.twistd import Twistd

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

skip = missing_examples()  # For the whole module.

GREETING = "Yo Homies!"
QUESTION = "Can you please reply yourself?"
LAST_WORDS = "Close the things!"
TOKEN = "Bearer s3cret"


class FolderTests(SynchronousTestCase):
    """The folder of examples."""

    def test_readme(self) -> None:
        """The README shows how to run each example, and has no dead links."""
        page = (EXAMPLES / "README.md").read_text()
        scripts = {path.name for path in EXAMPLES.glob("*.py")}
        self.assertEqual(
            set(re.findall(r"(?:python|pytest) docs/examples/(\w+\.py)", page)), scripts
        )
        for link in re.findall(r"\]\(([^)]+)\)", page):
            self.assertTrue((EXAMPLES / link).exists(), link)


# The echo client


class Mute(WebsocketsServer):
    """A server that never sends a message."""

    async def _serve(self, connection: Any) -> None:
        await connection.wait_closed()
        self.note_close(connection.close_code)


class EchoTests(MemoryCase):
    """The handler of the echo client."""

    def test_conversation(self) -> None:
        """The handler greets, sends casts, replies to the question, and closes at the end."""
        self.patch(sys, "stdout", StringIO())
        client = self.open(load("echo_client").EchoClient)
        self.assertEqual(self.peer.received(), [(1, GREETING.encode())])
        client.cast("hello")
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"hello")])
        for heard, said in [
            ("hello", []),
            (QUESTION, [(1, b"Sure can!")]),
            ("Sure can!", [(1, LAST_WORDS.encode())]),
            (LAST_WORDS, [(8, (1000).to_bytes(2, "big"))]),
        ]:
            self.peer.send(text(heard))
            self.step()
            self.assertEqual(self.peer.received(), said, heard)


class EchoScriptTests(ScriptCase):
    """The echo client as a script."""

    async def test_conversation(self) -> None:
        """Every message is echoed in order; then the script closes with 1000 and status 0."""
        server = self.serve()
        process = self.script("echo_client", server.url())
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.errors, "")
        self.assertEqual(
            re.findall(r"Received Text\('(.*)'\)", process.output),
            [GREETING, "This and That!", QUESTION, "Sure can!", LAST_WORDS],
        )
        self.assertIn("closed by this client: 1000", process.output)
        self.assertEqual(await server.closes.get(), 1000)

    async def test_failures(self) -> None:
        """A refused connection is one line, a missing URL prints the usage; both have status 1."""
        refused = self.script("echo_client", f"ws://{HOST}:{self.unused_port()}/")
        usage = self.script("echo_client")
        await self.assert_complains(refused, "No conversation: connection failed: .*refused")
        self.assertEqual(await usage.ended(), 1)
        self.assertIn("python echo_client.py ws://", usage.errors)

    async def test_silence(self) -> None:
        """The script gives up if the server sends nothing."""
        server = self.serve(Mute)
        self.patch(sys, "stdout", StringIO())
        with self.assertRaises(SystemExit) as caught:
            await load("echo_client").main(global_reactor(), server.url(), patience=0.1)
        self.assertIn("no message received from server", str(caught.exception))
        self.assertEqual(await server.closes.get(), 1001)

    async def test_twistd(self) -> None:
        """Under twistd, in its own folder, the handler greets and runs until SIGTERM."""
        shutil.copy(EXAMPLES / "echo_client.py", self.directory)
        server = self.serve()
        process = self.twistd("--url", server.url(), "--handler", "echo_client.EchoClient")
        await process.says(f"Received Text('{GREETING}')")
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0, process.output)
        self.assertEqual(await server.closes.get(), 1001)


# The Authorization header


class Guard(WebsocketsServer):
    """A server that greets authorized clients; it closes ``/short`` at once."""

    def _refuse(self, connection: Any, request: Any) -> Any:
        if request.headers.get("Authorization") == TOKEN:
            return None
        response = connection.respond(401, "who are you?")
        response.headers["WWW-Authenticate"] = 'Bearer realm="feed"'
        return response

    async def _serve(self, connection: Any) -> None:
        await connection.send("welcome")
        if connection.request.path == "/short":
            await connection.close(1000, "that is all")
        await connection.wait_closed()
        self.note_close(connection.close_code)


class AuthorizationTests(MemoryCase):
    """The Authorization header on the wire."""

    def test_header(self) -> None:
        """The value from the environment is sent unchanged and never printed."""
        self.patch(os, "environ", {"AUTHORIZATION": TOKEN})
        conn: Conn = load("authorization_header").authorized("ws://example.test/feed")
        self.assertNotIn("s3cret", repr(conn))
        conn = conn.replace(endpoint=self.server, ping_interval=None)
        wsx.start(conn, load("authorization_header").Printer, reactor=self.clock)
        self.assertEqual(self.peer.request[1]["authorization"], TOKEN)


class AuthorizationScriptTests(ScriptCase):
    """The Authorization example as a script."""

    name = "authorization_header"

    async def test_accepted(self) -> None:
        """The script prints messages and the reason of the end, but not the secret."""
        server = self.serve(Guard)
        process = self.script(self.name, server.url("/short"), AUTHORIZATION=TOKEN)
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertIn("Received Text('welcome')", process.output)
        self.assertIn('Ended: closed by server: 1000 "that is all"', process.output)
        self.assertNotIn("s3cret", process.output)
        self.assertEqual(process.errors, "")

    async def test_ctrl_c(self) -> None:
        """On Ctrl-C, the script closes the connection before it ends."""
        server = self.serve(Guard)
        process = self.script(self.name, server.url(), AUTHORIZATION=TOKEN)
        await process.says("Received Text('welcome')")
        process.transport.signalProcess("INT")
        await process.ended()
        self.assertEqual(await server.closes.get(), 1001)
        self.assertIn("Ended: stopped", process.output)
        self.assertNotIn("Traceback", process.errors)

    async def test_refused(self) -> None:
        """A 401 is one line with the server's challenge and without the secret; status 1."""
        server = self.serve(Guard)
        process = self.script(self.name, server.url(), AUTHORIZATION="Bearer wr0ng")
        await self.assert_complains(process, r"401: .*Bearer realm=\"feed\"")
        self.assertNotIn("wr0ng", process.output + process.errors)

    async def test_failures(self) -> None:
        """A missing authorization and a missing server are one line each, and status 1."""
        url = f"ws://{HOST}:{self.unused_port()}/"
        unset = self.script(self.name, url)
        refused = self.script(self.name, url, AUTHORIZATION=TOKEN)
        await self.assert_complains(unset, "Set the environment variable AUTHORIZATION")
        await self.assert_complains(refused, "No connection: connection failed: .*refused")


# Chrome: the handler


class DevToolsTests(MemoryCase):
    """The DevTools handler; the test plays the browser."""

    def setUp(self) -> None:
        super().setUp()
        self.chrome = load("chrome")
        self.page = self.chrome.Page()
        self.client = self.open(self.page)

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands received since the last call."""
        return [json.loads(payload) for _, payload in self.peer.received()]

    def say(self, *messages: dict[str, Any]) -> None:
        """Send these messages from the browser in one read."""
        self.peer.send(b"".join(text(json.dumps(message)) for message in messages))
        self.step()

    def test_commands(self) -> None:
        """A command has a number, a method and parameters; a parameter can be named ``method``."""
        self.page.call("Page.enable")
        self.page.call("Fetch.continueRequest", method="PUT")
        self.assertEqual(
            self.commands(),
            [
                {"id": 1, "method": "Page.enable", "params": {}},
                {"id": 2, "method": "Fetch.continueRequest", "params": {"method": "PUT"}},
            ],
        )

    def test_answers_out_of_order(self) -> None:
        """Each result is matched to its command by number, in any order."""
        answers = [self.page.call(f"Some.{word}") for word in ("first", "second", "third")]
        for number in (3, 1):
            self.say({"id": number, "result": {"of": number}})
        self.assertEqual(self.successResultOf(answers[2]), {"of": 3})
        self.assertEqual(self.successResultOf(answers[0]), {"of": 1})
        self.assertNoResult(answers[1])
        self.say({"id": 2, "result": {}})
        self.assertEqual(self.successResultOf(answers[1]), {})

    def test_refused_command(self) -> None:
        """An error fails only its command, with the browser's message."""
        wrong, right = self.page.call("Nonsense.do"), self.page.call("Page.enable")
        self.say(
            {"id": 1, "error": {"code": -32601, "message": "'Nonsense.do' wasn't found"}},
            {"id": 2, "result": {}},
        )
        error = self.failureResultOf(wrong, self.chrome.DevToolsError).value
        self.assertEqual(str(error), "'Nonsense.do' wasn't found")
        self.assertEqual(self.successResultOf(right), {})

    def test_events(self) -> None:
        """An event calls its listeners each time, and fires each waiting Deferred once."""
        heard: list[Any] = []
        self.page.on("Page.frameNavigated", heard.append)
        waiters = [self.page.next_event("Page.frameNavigated") for _ in range(2)]
        other = self.page.next_event("Page.loadEventFired")
        for url in ("a", "b"):
            self.say({"method": "Page.frameNavigated", "params": {"url": url}})
        self.assertEqual(heard, [{"url": "a"}, {"url": "b"}])
        self.assertEqual([self.successResultOf(waiter) for waiter in waiters], [{"url": "a"}] * 2)
        self.assertNoResult(other)

    def test_unknown_messages(self) -> None:
        """Unknown messages are ignored; the next result is still matched."""
        answer = self.page.call("Page.enable")
        self.say({"id": 99, "result": {}}, {"method": "New.event", "params": {}}, {"new": "kind"})
        self.assertNoResult(answer)
        self.say({"id": 1, "result": {}})
        self.assertEqual(self.successResultOf(answer), {})

    def test_time_out(self) -> None:
        """A command can have a timeout; a late result is ignored."""
        answer = self.page.call("Runtime.evaluate").addTimeout(5, self.clock)
        self.clock.advance(5)
        self.failureResultOf(answer, TimeoutError)
        self.say({"id": 1, "result": {}})
        self.assertEqual(self.client.status, "open")

    def assert_all_fail(self, outstanding: list[Deferred[Any]], reason: str) -> None:
        """Assert that each Deferred fails with a NoReplyError that has the reason."""
        for deferred in outstanding:
            error = self.failureResultOf(deferred, NoReplyError).value
            self.assertIn(reason, str(error))

    def outstanding(self) -> list[Deferred[Any]]:
        """Return the Deferreds of two commands and an event."""
        commands = [self.page.call("Page.enable"), self.page.call("Page.reload")]
        return [*commands, self.page.next_event("Page.loadEventFired")]

    def test_drop(self) -> None:
        """When the connection drops, pending and later calls fail."""
        outstanding = self.outstanding()
        self.peer.drop()
        self.step()
        self.assert_all_fail(outstanding, "server closed the TCP connection without a close frame")
        for late in (self.page.call("Page.enable"), self.page.next_event("Page.loadEventFired")):
            error = self.failureResultOf(late, NotConnectedError).value
            self.assertEqual(error.connection_state, "terminated")

    def test_close(self) -> None:
        """When the browser closes, pending calls fail with its close message."""
        outstanding = self.outstanding()
        self.peer.send(close(1001, "target closed"))
        self.peer.drop()
        self.step()
        self.assert_all_fail(outstanding, 'closed by server: 1001 "target closed"')

    def test_crash(self) -> None:
        """When a listener raises, the client ends and pending calls fail with that error."""
        outstanding = self.outstanding()
        self.page.on("Page.frameNavigated", lambda event: event["nothing"])
        self.say({"method": "Page.frameNavigated", "params": {}})
        self.peer.drop()
        self.step()
        self.assert_all_fail(outstanding, "nothing")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_reconnect(self) -> None:
        """After a reconnect, numbers are not reused, so that old results do not match."""
        self.page = self.chrome.Page()
        self.open(self.page, reconnect=wsx.Backoff(initial=1, jitter=0))
        lost = self.page.call("Page.enable")
        self.peer.drop()
        self.step()
        self.failureResultOf(lost, NoReplyError)
        self.clock.advance(1)
        self.peer.answer()
        self.step()
        again = self.page.call("Page.enable")
        self.assertEqual([command["id"] for command in self.commands()], [2])
        self.say({"id": 1, "result": {"old": True}}, {"id": 2, "result": {"old": False}})
        self.assertEqual(self.successResultOf(again), {"old": False})

    def test_navigate(self) -> None:
        """``navigate`` waits for the load event, which may precede the result."""
        loaded = {"method": "Page.loadEventFired", "params": {"timestamp": 1}}
        for number, order in [(2, (0, 1)), (4, (1, 0))]:
            going = ensureDeferred(self.page.navigate("http://example.test/"))
            self.say({"id": number - 1, "result": {}})
            messages: list[dict[str, Any]] = [{"id": number, "result": {"frameId": "F"}}, loaded]
            for which in order:
                self.assertNoResult(going)
                self.say(messages[which])
            self.successResultOf(going)
        self.assertEqual(self.commands()[-1]["params"], {"url": "http://example.test/"})

    def test_navigate_in_vain(self) -> None:
        """``navigate`` fails once if the page cannot be loaded or the connection drops."""
        vain = ensureDeferred(self.page.navigate("http://nowhere.test/"))
        self.say({"id": 1, "result": {}})
        self.say({"id": 2, "result": {"errorText": "net::ERR_NAME_NOT_RESOLVED"}})
        error = self.failureResultOf(vain, self.chrome.DevToolsError).value
        self.assertIn("net::ERR_NAME_NOT_RESOLVED", str(error))
        cut = ensureDeferred(self.page.navigate("http://example.test/"))
        self.say({"id": 3, "result": {}})
        self.peer.drop()
        self.step()
        self.failureResultOf(cut, NoReplyError)

    def evaluate(self, number: int, result: dict[str, Any]) -> Deferred[Any]:
        """Evaluate an expression for which the browser returns this result."""
        value = ensureDeferred(self.page.evaluate("document.title"))
        self.say({"id": number, "result": result})
        return value

    def test_evaluate(self) -> None:
        """A value is returned unchanged, ``undefined`` as None; an exception is a DevToolsError."""
        value = self.evaluate(1, {"result": {"type": "string", "value": "wsx"}})
        nothing = self.evaluate(2, {"result": {"type": "undefined"}})
        thrown = self.evaluate(
            3, {"result": {}, "exceptionDetails": {"text": "Uncaught", "exception": {"value": 3}}}
        )
        raised = self.evaluate(
            4, {"result": {}, "exceptionDetails": {"exception": {"description": "TypeError: x"}}}
        )
        self.assertEqual(self.successResultOf(value), "wsx")
        self.assertIsNone(self.successResultOf(nothing))
        for failed, words in [(thrown, "Uncaught"), (raised, "TypeError: x")]:
            error = self.failureResultOf(failed, self.chrome.DevToolsError).value
            self.assertEqual(str(error), words)


# Chrome: the script


class Browser(Server):
    """A browser with a service worker and one page, which supports three commands.

    The page's load event precedes the result of the navigation.
    """

    async def listen(self) -> int:
        app = aiohttp.web.Application()
        app.router.add_get("/json/list", self._list)
        app.router.add_get("/devtools/page/1", self._serve)
        self._runner = aiohttp.web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await aiohttp.web.TCPSite(self._runner, HOST, 0).start()
        return int(self._runner.addresses[0][1])

    async def unlisten(self) -> None:
        await self._runner.cleanup()

    async def _list(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        url = self.url("/devtools/page/1")
        targets = [{"type": "service_worker"}, {"type": "page", "webSocketDebuggerUrl": url}]
        return aiohttp.web.json_response(targets)

    async def _serve(self, request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        response = aiohttp.web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await self._obey(response, **json.loads(message.data))
        self.note_close(response.close_code)
        return response

    async def _obey(self, page: Any, id: int, method: str, params: dict[str, Any]) -> None:
        result: dict[str, Any] = {}
        if method == "Page.navigate":
            frame = {"frame": {"url": params["url"]}}
            await page.send_json({"method": "Page.frameNavigated", "params": frame})
            await page.send_json({"method": "Page.loadEventFired", "params": {}})
        elif method == "Runtime.evaluate":
            result = {"result": {"value": f"the value of {params['expression']}"}}
        await page.send_json({"id": id, "result": result})


class NoPage(Browser):
    """A browser without a page."""

    async def _list(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response([{"type": "service_worker"}])


class ChromeScriptTests(ScriptCase):
    """The Chrome script with a fake browser."""

    async def test_run(self) -> None:
        """The script finds the page, navigates, prints the expression and closes with 1000."""
        browser = self.serve(Browser)
        process = self.script(
            *("chrome", "--port", str(browser.port)),
            *("--url", "http://example.test/", "--expression", "1 + 1"),
        )
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.errors, "")
        self.assertEqual(
            process.output,
            "Navigated to http://example.test/\n1 + 1 is 'the value of 1 + 1'\n",
        )
        self.assertEqual(await browser.closes.get(), 1000)

    async def test_failures(self) -> None:
        """No server, no browser and no page are one line each, and status 1."""
        nobody = self.script("chrome", "--port", str(self.unused_port()))
        empty = self.script("chrome", "--port", str(self.serve(NoPage).port))
        other = self.script("chrome", "--port", str(self.serve(Guard).port))
        await self.assert_complains(nobody, "DevToolsError: no browser at port .*refused")
        await self.assert_complains(empty, "DevToolsError: the browser has no page open")
        await self.assert_complains(other, "DevToolsError: no browser at port .*: Expecting value")


FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-allow-origins=*",
    "--remote-debugging-port=0",
)


class ChromiumTests(ScriptCase):
    """The Chrome example with a real browser."""

    skip = skip or (
        None if BROWSER else "no Chromium or Chrome on the PATH; try: apt-get install chromium"
    )

    async def browse(self) -> tuple[Twistd, int]:
        """Start a browser with a new profile; return its process and its debugging port."""
        assert BROWSER is not None
        process = Twistd()
        profile = self.directory / "profile"
        # The browser leaves its sockets there, and their paths must be short.
        sockets = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, sockets)
        global_reactor().spawnProcess(
            process,
            BROWSER,
            [BROWSER, *FLAGS, f"--user-data-dir={profile}"],
            env=os.environ | {"HOME": str(self.directory), "TMPDIR": sockets},
            path=str(self.directory),
        )
        self.addCleanup(self.quit, process)
        # The same port is in the file DevToolsActivePort of the profile, a moment after this line.
        await process.says("DevTools listening on ws://")
        found = re.search(r"DevTools listening on ws://[^/]*:(\d+)/", process.errors)
        assert found is not None
        return process, int(found[1])

    def quit(self, process: Twistd) -> Deferred[Any]:
        """Terminate a browser, and kill it if it does not end."""
        with contextlib.suppress(ProcessExitedAlready):
            process.transport.signalProcess("TERM")
        ended = process.ended().addTimeout(5, global_reactor())
        return ended.addErrback(lambda _: process.kill())

    async def open(self, port: int) -> tuple[Any, wsx.Client[None]]:
        """Connect to the browser's page."""
        chrome = load("chrome")
        page = chrome.Page()
        client = await wsx.start(await chrome.find_page(global_reactor(), port), page)
        self.addCleanup(client.stop)
        self.flushWarnings()  # Discard the warning of readBody, twisted/twisted#8227.
        return page, client

    async def test_script(self) -> None:
        """The script prints a page's title and leaves the browser running."""
        browser, port = await self.browse()
        process = self.script("chrome", "--port", str(port))
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertIn("document.title is 'Hello from wsx'\n", process.output)
        self.assertEqual(process.errors, "")
        self.assertIsNone(browser.status)
        raising = self.script("chrome", "--port", str(port), "--expression", "nowhere.near")
        self.assertEqual(await raising.ended(), 1)
        self.assertIn("DevToolsError: ReferenceError: nowhere is not defined", raising.errors)

    async def test_page(self) -> None:
        """Commands, promises, events, refusals and pings work with a real page."""
        _, port = await self.browse()
        page, client = await self.open(port)
        await page.navigate("data:text/html,<title>one</title><p>two</p>")
        values = [page.evaluate(e) for e in ("document.title", "Promise.resolve([1])", "void 0")]
        results = await gatherResults([ensureDeferred(value) for value in values])
        self.assertEqual(results, ["one", [1], None])
        await page.call("Runtime.enable")
        logged = page.next_event("Runtime.consoleAPICalled")
        await page.evaluate("console.log('from the page')")
        self.assertEqual((await logged)["args"][0]["value"], "from the page")
        for refused in (page.call("Nonsense.do"), page.evaluate("throw new Error('no')")):
            with self.assertRaises(load("chrome").DevToolsError):
                await refused
        pong: Deferred[Pong] = Deferred()
        self.patch(page, "handle_pong", lambda frame, state: pong.callback(frame))
        await client.send_frame(Ping(b"still there?"))
        self.assertEqual(await pong, Pong(b"still there?"))
        await client.close()
        self.assertEqual(await client.terminated(), LocalClose(1000))

    async def test_death(self) -> None:
        """When the browser is killed, pending calls fail and the client ends as dropped."""
        browser, port = await self.browse()
        page, client = await self.open(port)
        await page.navigate("data:text/html,<title>still here</title>")
        never = ensureDeferred(page.evaluate("new Promise(() => {})"))
        self.assertEqual(await page.evaluate("document.title"), "still here")
        browser.transport.signalProcess("KILL")
        with self.assertRaises(NoReplyError) as caught:
            await never
        self.assertIn("closed the TCP connection without a close frame", str(caught.exception))
        self.assertIsInstance(await client.terminated(), ConnectionDropped)
