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
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseFailed, readBody

import wsx
from wsx import Disconnect, Handler, NotConnectedError, Ok, Text

PAGE = "data:text/html,<title>Hello from wsx</title>"

Json: TypeAlias = dict[str, Any]


class DevToolsError(Exception):
    """The browser rejected a command, or failed to execute it."""


class DevTools(Handler[None]):
    """Send commands to a browser and receive its events.

    The Deferred of a command fails with ``DevToolsError`` if the browser rejects the command, and
    with ``ConnectionError`` if the connection ends first. A listener must not await a command: the
    answer is a frame, and no frame is delivered until the listener has returned.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: defaultdict[int | str, list[Deferred[Json]]] = defaultdict(list)
        self._listeners: defaultdict[str, list[Callable[[Json], object]]] = defaultdict(list)

    def call(self, method: str, /, **params: object) -> Deferred[Json]:
        """Send a command. Return a Deferred that fires with its result."""
        number = next(self._numbers)
        command = json.dumps({"id": number, "method": method, "params": params})
        answer = self._wait(number)
        sent = self.client.send_frame(Text(command))
        sent.addErrback(lambda failure: self._settle(number, failure))
        return answer

    def next_event(self, event: str) -> Deferred[Json]:
        """Return a Deferred that fires with the parameters of the next such event."""
        if self.client.status != "open":
            return fail(NotConnectedError(self.client.status))
        return self._wait(event)

    def on(self, event: str, listener: Callable[[Json], object]) -> None:
        """Call a function with the parameters of each such event."""
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
        return super().handle_disconnect(status, state)  # follow the reconnect policy

    def terminate(self, reason: object, state: None) -> None:
        self._fail(reason)

    def _wait(self, key: int | str) -> Deferred[Json]:
        """Return a Deferred for the answer to a command, by number, or for an event, by name."""
        waiter: Deferred[Json] = Deferred()
        self._waiting[key].append(waiter)
        return waiter

    def _settle(self, key: int | str, outcome: Json | Failure) -> None:
        """Fire the waiting Deferreds. A number without one is not an error."""
        for waiter in self._waiting.pop(key, []):
            waiter.callback(outcome)

    def _fail(self, reason: object) -> None:
        """Fail all waiting Deferreds, because no answer will arrive."""
        for key in list(self._waiting):
            self._settle(key, Failure(ConnectionError(f"no answer came: {reason}")))


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
    except (DevToolsError, ConnectionError, wsx.WsxError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Using readBody")  # twisted/twisted#8227
    react(main, sys.argv[1:])
