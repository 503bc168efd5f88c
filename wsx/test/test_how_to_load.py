"""Tests of the how-to pages about requests and slow handlers: their snippets are run."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SkipTest

import wsx
from wsx import NoReplyError, Text
from wsx._twistd.demo_server import StandaloneServer
from wsx.test.support import LoopbackCase, MemoryCase, text
from wsx.test.support.sockets import global_reactor

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@cache
def source(page: str) -> str:
    """Return the Python snippets of a page as one module, without the call of ``react``."""
    path = PAGES / page
    if not path.exists():
        raise SkipTest("wsx is installed without its documentation")
    snippets = re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    return "\n".join(snippets).replace("\nreact(main)\n", "\n")


def load(page: str, **replacements: str) -> dict[str, Any]:
    """Run the snippets of a page, and return their names."""
    code = source(page)
    for old, new in replacements.items():
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {"__name__": page}
    exec(compile(code, page, "exec"), names)
    return names


class RequestScriptTests(LoopbackCase):
    """The script of the page about requests, with the demo server."""

    async def test_run(self) -> None:
        """The script prints the reply that the page shows."""
        server = StandaloneServer(0, global_reactor())
        server.startService()
        self.addCleanup(server.stopService)
        printed: list[Any] = []
        names = load("request-response.md")
        names["print"] = lambda *values: printed.extend(values)
        start = wsx.start
        self.patch(wsx, "start", lambda url, *arguments: start(server.url, *arguments))
        await names["main"](global_reactor())
        self.assertEqual(printed, [{"id": 1, "method": "add", "params": [1, 2]}])
        self.assertIn(f"    {printed[0]!r}\n", (PAGES / "request-response.md").read_text())


class RequestTests(MemoryCase):
    """The handlers of the page about requests."""

    def say(self, **message: Any) -> None:
        """Send a message from the server."""
        self.peer.send(text(json.dumps(message)))
        self.step()

    def load(self) -> dict[str, Any]:
        """Return the names of the page; what it prints goes to ``printed``."""
        self.printed: list[Any] = []
        names = load("request-response.md")
        names["print"] = lambda *values: self.printed.append(values)
        return names

    def test_others(self) -> None:
        """Other messages are passed to ``handle_frame``."""
        client: Any = self.open(self.load()["Api"])
        answer = Deferred.fromCoroutine(client.handler.call("add", 1))
        self.say(event="tick")
        self.say(id=1, result=3)
        self.assertEqual(self.successResultOf(answer), {"id": 1, "result": 3})
        self.assertEqual(self.printed, [("not a reply:", Text('{"event": "tick"}'))])

    def test_login(self) -> None:
        """A handler can log in before anything else is delivered."""
        handler = self.load()["Account"]
        started = self.start(handler)
        self.peer.answer()
        self.step()
        [(_, login)] = self.peer.received()
        self.assertEqual(json.loads(login), {"id": 1, "method": "login", "params": ["token"]})
        self.say(event="tick")
        self.assertNoResult(started)
        self.say(id=1)
        self.successResultOf(started)
        self.assertEqual([words[0] for words in self.printed], ["logged in", "not a reply:"])

    def test_json_rpc(self) -> None:
        """Results are returned, errors raised."""
        client: Any = self.open(self.load()["JsonRpc"])
        answers = [Deferred.fromCoroutine(client.handler.call("m")) for _ in range(2)]
        self.say(id=2, error={"code": -1, "message": "no"})
        self.say(id=1, result=[])
        self.assertEqual(self.successResultOf(answers[0]), [])
        self.assertEqual(str(self.failureResultOf(answers[1], ValueError).value), "no")

    def test_failures(self) -> None:
        """A timeout and the end of the connection are caught as the page shows."""
        names = self.load()
        client = self.open(names["Api"])
        for end in (lambda: self.clock.advance(10), lambda: self.peer.drop()):
            answer = Deferred.fromCoroutine(names["price"](client))
            end()
            self.step()
            self.assertIsNone(self.successResultOf(answer))
        self.assertEqual(self.printed[0][1].timeout, 10.0)
        self.assertIsInstance(self.printed[1][1], NoReplyError)

    def test_ocpp(self) -> None:
        """The key function of OCPP finds results and errors, but not calls."""
        handler = self.load()["ChargePoint"]()
        for message, key in (
            ('[3, "a", {}]', "a"),
            ('[4, "b", "", "", {}]', "b"),
            ('[2, "c"]', None),
        ):
            self.assertEqual(handler.reply_key(Text(message)), key)


class SlowCase(MemoryCase):
    """A handler of the page about slow handlers, with a store that is slow.

    Attributes:
        storing: The values that the store has received, with the Deferreds that it returned.
    """

    def begin(self, name: str) -> None:
        """Open a client with this handler."""
        self.names = load("slow-handlers.md")
        self.storing: list[tuple[Any, Deferred[None]]] = []
        self.handler = self.names[name](self.store)
        self.client = self.open(self.handler)

    def store(self, value: Any) -> Deferred[None]:
        """Store a value; it takes until :meth:`finish`."""
        stored: Deferred[None] = Deferred()
        self.storing.append((value, stored))
        return stored

    def finish(self) -> None:
        """Finish what has been stored for the longest time."""
        waiting = [stored for _, stored in self.storing if not stored.called]
        waiting[0].callback(None)
        self.step()

    def quote(self, symbol: str, price: int) -> None:
        """Send a quote."""
        self.peer.send(text(json.dumps({"symbol": symbol, "price": price})))

    @property
    def stored(self) -> list[Any]:
        """The values that the store has received."""
        return [value for value, _ in self.storing]


class LatestTests(SlowCase):
    """Conflation: only the latest message of each key."""

    @property
    def prices(self) -> list[tuple[str, int]]:
        return [(quote["symbol"], quote["price"]) for quote in self.stored]

    def test_latest(self) -> None:
        """While the store is slow, only the latest quote of each symbol is kept."""
        self.begin("Latest")
        self.quote("A", 0)
        for price in range(1, 100):
            for symbol in "BA":
                self.quote(symbol, price)
            self.assertFalse(self.peer.transport.reading_paused)
        for _ in range(3):
            self.finish()
        self.assertEqual(self.prices, [("A", 0), ("B", 99), ("A", 99)])
        self.quote("A", 100)
        self.assertEqual(self.prices[3:], [("A", 100)])

    def test_fast(self) -> None:
        """A store that is fast enough receives every quote."""
        self.begin("Latest")

        def store_at_once(quote: Any) -> Deferred[None]:
            self.storing.append((quote, Deferred()))
            return succeed(None)

        self.handler.store = store_at_once
        for price in range(5):
            self.quote("A", price)
        self.assertEqual(self.prices, [("A", price) for price in range(5)])

    def test_fair(self) -> None:
        """A symbol that changes all the time does not keep others from being stored."""
        self.begin("Latest")
        for symbol in "ABC":
            self.quote(symbol, 0)
        for price in range(1, 4):
            self.quote("B", price)
            self.finish()
        self.assertEqual(self.prices, [("A", 0), ("B", 1), ("C", 0), ("B", 3)])

    def test_failure(self) -> None:
        """A quote that cannot be stored is logged; the next one follows."""
        self.begin("Latest")
        self.quote("A", 0)
        self.quote("B", 0)
        self.storing[0][1].errback(OSError("disk full"))
        self.assertEqual(self.prices, [("A", 0), ("B", 0)])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_end(self) -> None:
        """When the client ends, nothing more is stored."""
        self.begin("Latest")
        self.quote("A", 0)
        self.quote("B", 0)
        self.client.stop()
        self.peer.drop()
        self.step()
        self.finish()
        self.assertEqual(self.prices, [("A", 0)])

    def test_fresh(self) -> None:
        """The variant that forgets outdated quotes does so when the connection is lost."""
        self.begin("Fresh")
        self.quote("A", 0)
        self.quote("B", 0)
        self.peer.drop()
        self.step()
        self.assertEqual(self.handler.latest, {})


class SheddingTests(SlowCase):
    """Shedding: never more than a number of messages."""

    def test_newest(self) -> None:
        """The oldest messages are dropped and counted."""
        self.begin("Newest")
        self.handler.limit = 3
        for number in range(10):
            self.peer.send(text(str(number)))
        for _ in range(4):
            self.finish()
        self.assertEqual([frame.payload for frame in self.stored], ["0", "7", "8", "9"])
        self.assertEqual(self.handler.dropped, 6)


class SeveralTests(SlowCase):
    """Work on several messages at once."""

    def test_limit(self) -> None:
        """At most ten messages are stored at once; then reading is paused."""
        self.begin("Several")
        for number in range(12):
            self.peer.send(text(str(number)))
        self.assertEqual(len(self.stored), 10)
        self.assertTrue(self.peer.transport.reading_paused)
        self.finish()
        self.finish()
        self.assertEqual(len(self.stored), 12)
        self.assertFalse(self.peer.transport.reading_paused)
