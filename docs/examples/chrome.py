"""Chrome remote debugging: drives a page of a browser over the DevTools protocol.

    chromium --headless --remote-debugging-port=9222 &
    python chrome.py --url https://example.com/ --expression document.title

The protocol: https://chromedevtools.github.io/devtools-protocol/
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
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseFailed, readBody

import wsx
from wsx import Disconnect, Handler, NotConnectedError, Ok, Text

PAGE = "data:text/html,<title>Hello from wsx</title>"

Json: TypeAlias = dict[str, Any]


class DevToolsError(Exception):
    """The browser refused a command, or could not do what it asked for."""


class DevTools(Handler[None]):
    """A connection to a browser: commands that can be awaited, and events.

    What is awaited fails with a ``DevToolsError`` where the browser says no, and with a
    ``ConnectionError`` where the connection ends first. A listener must not await a command: the
    answer is a frame, and no frame is delivered before the listener is done.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: defaultdict[int | str, list[Deferred[Json]]] = defaultdict(list)
        self._listeners: defaultdict[str, list[Callable[[Json], object]]] = defaultdict(list)

    def call(self, method: str, /, **params: object) -> Deferred[Json]:
        """Sends a command; gives its result."""
        number = next(self._numbers)
        command = json.dumps({"id": number, "method": method, "params": params})
        answer = self._wait(number)
        sent = self.client.send_frame(Text(command))
        sent.addErrback(lambda failure: self._settle(number, failure))
        return answer

    def next_event(self, event: str) -> Deferred[Json]:
        """Waits for an event; gives its parameters."""
        if self.client.status != "open":
            return fail(NotConnectedError(self.client.status))
        return self._wait(event)

    def on(self, event: str, listener: Callable[[Json], object]) -> None:
        """Calls a function with the parameters of each such event."""
        self._listeners[event].append(listener)

    def handle_frame(self, frame: wsx.Frame, state: None) -> Ok[None]:
        match json.loads(frame.payload):
            case {"id": int(number), "error": {"message": message}}:
                self._settle(number, Failure(DevToolsError(message)))
            case {"id": int(number), "result": result}:
                self._settle(number, result)
            case {"method": str(event), "params": params}:
                for listener in self._listeners[event]:
                    listener(params)
                self._settle(event, params)
        return Ok(state)

    def handle_disconnect(self, status: Disconnect, state: None) -> Any:
        self._fail(status.reason)
        return super().handle_disconnect(status, state)  # as the client's reconnect= says

    def terminate(self, reason: object, state: None) -> None:
        self._fail(reason)

    def _wait(self, key: int | str) -> Deferred[Json]:
        """Waits for a command's number or an event's name."""
        waiter: Deferred[Json] = Deferred()
        self._waiting[key].append(waiter)
        return waiter

    def _settle(self, key: int | str, outcome: Json | Failure) -> None:
        """Tells those who wait; a number that nobody waits for any more is no error."""
        for waiter in self._waiting.pop(key, []):
            waiter.callback(outcome)

    def _fail(self, reason: object) -> None:
        """Fails everything outstanding: the answers will never come."""
        for key in list(self._waiting):
            self._settle(key, Failure(ConnectionError(f"no answer came: {reason}")))


class Page(DevTools):
    """A page: the two things that everybody wants from one."""

    async def navigate(self, url: str) -> None:
        """Goes to a URL, and waits until the page is loaded."""
        await self.call("Page.enable")
        loaded = self.next_event("Page.loadEventFired")  # before the command: it may be quick
        try:
            match await self.call("Page.navigate", url=url):
                case {"errorText": str(text)}:
                    raise DevToolsError(f"cannot navigate: {text}")
            await loaded
        finally:
            loaded.addErrback(lambda _: None)  # where both failed, the command has told it

    async def evaluate(self, expression: str) -> Any:
        """Gives the value of a JavaScript expression; a promise is waited for."""
        options = {"returnByValue": True, "awaitPromise": True}
        match await self.call("Runtime.evaluate", expression=expression, **options):
            case {"exceptionDetails": {"exception": {"description": text}} | {"text": text}}:
                raise DevToolsError(text)
            case {"result": {"value": value}}:
                return value
        return None  # undefined, or what JSON cannot say


async def find_page(reactor: Any, port: int) -> str:
    """Asks the browser for the WebSocket URL of its first page."""
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


async def look(reactor: Any, port: int, url: str, expression: str) -> None:
    """Shows a page's value of an expression."""
    page = Page()
    page.on("Page.frameNavigated", lambda event: print("Navigated to", event["frame"]["url"]))
    client = await wsx.start(await find_page(reactor, port), page)
    try:
        await page.navigate(url)
        print(expression, "is", repr(await page.evaluate(expression)))
    finally:
        await client.close()


async def main(reactor: Any, *argv: str) -> None:
    """Reads the command line; says plainly what went wrong."""
    parser = argparse.ArgumentParser(description="Evaluate an expression in a page of Chrome.")
    parser.add_argument("--port", type=int, default=9222, help="its --remote-debugging-port")
    parser.add_argument("--url", default=PAGE, help="where to go")
    parser.add_argument("--expression", default="document.title", help="JavaScript")
    try:
        await look(reactor, **vars(parser.parse_args(argv)))
    except (DevToolsError, ConnectionError, wsx.WsxError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Using readBody")  # twisted/twisted#8227
    react(main, sys.argv[1:])
