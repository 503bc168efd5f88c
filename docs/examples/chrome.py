"""Control a page of Chrome over the DevTools protocol.

    chromium --headless --remote-debugging-port=9222 &
    python chrome.py --url https://example.com/ --expression document.title

The protocol is documented at https://chromedevtools.github.io/devtools-protocol/
"""

import argparse
import itertools
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectError
from twisted.internet.task import react
from twisted.web.client import Agent, ResponseFailed, readBody

import wsx
from wsx import Binary, Disconnect, Handler, NoReplyError, NotConnectedError, Requests, Text

PAGE = "data:text/html,<title>Hello from wsx</title>"

Json: TypeAlias = dict[str, Any]


class DevToolsError(Exception):
    """The browser rejected a command, or failed to execute it."""


class DevTools(Requests, Handler[None]):
    """Send commands to a browser and receive its events.

    The Deferred of a command fails with ``DevToolsError`` if the browser rejects the command, and
    with ``NoReplyError`` if the connection ends first.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: defaultdict[str, list[Deferred[Json]]] = defaultdict(list)
        self._listeners: defaultdict[str, list[Callable[[Json], object]]] = defaultdict(list)

    def reply_key(self, frame: Text | Binary) -> Any:
        return json.loads(frame.payload).get("id")

    def call(self, method: str, /, **params: object) -> Deferred[Json]:
        """Send a command. Return a Deferred that fires with its result."""
        number = next(self._numbers)
        command = json.dumps({"id": number, "method": method, "params": params})
        reply = self.client.request(Text(command), key=number, timeout=None)
        return reply.addCallback(read_result)

    def next_event(self, event: str) -> Deferred[Json]:
        """Return a Deferred that fires with the parameters of the next such event."""
        if self.client.status != "open":
            return fail(NotConnectedError(self.client.status))
        waiter: Deferred[Json] = Deferred()
        self._waiting[event].append(waiter)
        return waiter

    def on(self, event: str, listener: Callable[[Json], object]) -> None:
        """Call a function with the parameters of each such event."""
        self._listeners[event].append(listener)

    def handle_frame(self, frame: Text | Binary, state: None) -> None:
        match json.loads(frame.payload):
            case {"method": str(event), "params": params}:
                for listener in self._listeners[event]:
                    listener(params)
                for waiter in self._waiting.pop(event, []):
                    waiter.callback(params)

    def handle_disconnect(self, status: Disconnect, state: None) -> Any:
        self._fail(status.reason)
        return super().handle_disconnect(status, state)  # follow the reconnect policy

    def terminate(self, reason: object, state: None) -> None:
        self._fail(reason)

    def _fail(self, reason: object) -> None:
        """Fail the Deferreds of events, because the connection has ended."""
        for event in list(self._waiting):
            for waiter in self._waiting.pop(event):
                waiter.errback(NoReplyError(event, reason))


def read_result(frame: Text | Binary) -> Json:
    """Return the result in a reply of the browser."""
    reply: Json = json.loads(frame.payload)
    if "error" in reply:
        raise DevToolsError(reply["error"]["message"])
    return dict(reply["result"])


class Page(DevTools):
    """A page of the browser: navigate and evaluate."""

    async def navigate(self, url: str) -> None:
        """Open a URL, and wait until the page has loaded."""
        await self.call("Page.enable")
        loaded = self.next_event("Page.loadEventFired")  # may come before the answer
        try:
            match await self.call("Page.navigate", url=url):
                case {"errorText": str(text)}:
                    raise DevToolsError(f"cannot navigate: {text}")
            await loaded
        finally:
            loaded.addErrback(lambda _: None)  # the command has reported the failure

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, after awaiting it if it is a promise."""
        options = {"returnByValue": True, "awaitPromise": True}
        match await self.call("Runtime.evaluate", expression=expression, **options):
            case {"exceptionDetails": {"exception": {"description": text}} | {"text": text}}:
                raise DevToolsError(text)
            case {"result": {"value": value}}:
                return value
        return None  # undefined, or a value that JSON cannot represent


async def find_page(reactor: Any, port: int) -> str:
    """Return the WebSocket URL of the browser's first page."""
    url = f"http://127.0.0.1:{port}/json/list"
    try:
        response = await Agent(reactor, connectTimeout=5.0).request(b"GET", url.encode())
        targets = json.loads(await readBody(response))
    except (ConnectError, ResponseFailed, ValueError) as error:
        raise DevToolsError(f"no browser at port {port}: {error}") from error
    for target in targets:
        match target:
            case {"type": "page", "webSocketDebuggerUrl": str(address)}:
                return address
    raise DevToolsError("the browser has no page open")


async def show_value(reactor: Any, port: int, url: str, expression: str) -> None:
    """Open a URL and print the value of an expression in it."""
    page = Page()
    page.on("Page.frameNavigated", lambda event: print("Navigated to", event["frame"]["url"]))
    client = await wsx.start(await find_page(reactor, port), page)
    try:
        await page.navigate(url)
        print(expression, "is", repr(await page.evaluate(expression)))
    finally:
        await client.close()


async def main(reactor: Any, *argv: str) -> None:
    """Parse the command line. Report a failure in one line."""
    parser = argparse.ArgumentParser(description="Evaluate an expression in a page of Chrome.")
    parser.add_argument("--port", type=int, default=9222, help="the remote debugging port")
    parser.add_argument("--url", default=PAGE, help="the page to open")
    parser.add_argument("--expression", default="document.title", help="a JavaScript expression")
    try:
        await show_value(reactor, **vars(parser.parse_args(argv)))
    except (DevToolsError, wsx.WsxError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Using readBody")  # twisted/twisted#8227
    react(main, sys.argv[1:])
