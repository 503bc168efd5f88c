"""Tests of the how-to pages about subscriptions, applications, logging and migration.

The handlers of the pages run with ``wsx.testing``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

import wsx
from wsx import Binary, Text
from wsx.testing import CloseFrame, MemoryServer, result_of, run

HOW_TO = Path(wsx.__file__).resolve().parents[1] / "docs" / "how-to"

# For the whole module: the installed package includes the tests, but not the documentation.
skip = None if HOW_TO.is_dir() else "docs is not here; run the tests in a checkout"


def snippets(page: str) -> list[str]:
    """Return the snippets of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", (HOW_TO / page).read_text(), re.DOTALL | re.M)


def define(code: str, **names: Any) -> dict[str, Any]:
    """Run a snippet without its last line that calls ``react``, and return what it defines."""
    found: dict[str, Any] = {"__name__": "page", "wsx": wsx} | names
    exec(re.sub(r"^react\(.*\n", "", code, flags=re.M), found)
    return found


class SubscribeTests(SynchronousTestCase):
    """``subscribe-again.md``."""

    def test_again(self) -> None:
        """All symbols are subscribed to again after a reconnect, also those added later."""
        feed_class = define(snippets("subscribe-again.md")[0], print=lambda _: None)["Feed"]
        policy = wsx.Backoff(jitter=0)
        with run(feed_class, frozenset({"EURUSD"}), reconnect=policy) as feed:
            feed.server.accept().expect(Text("subscribe EURUSD"))
            feed.client.cast(("subscribe", "GBPUSD"))
            feed.server.expect(Text("subscribe GBPUSD"))
            feed.server.drop()
            feed.advance(1.0)
            feed.server.accept().expect(Text("subscribe EURUSD"), Text("subscribe GBPUSD"))
            feed.client.cast(("unsubscribe", "EURUSD"))
            feed.server.expect(Text("unsubscribe EURUSD"))
            self.assertEqual(feed.state, {"GBPUSD"})

    def test_cast_that_waits(self) -> None:
        """A subscription that waits for the connection is sent once."""
        feed_class = define(snippets("subscribe-again.md")[0])["Feed"]
        with run(feed_class, frozenset(), async_=True) as feed:
            feed.client.cast(("subscribe", "EURUSD"))
            feed.server.accept().expect(Text("subscribe EURUSD"))

    def test_symbols_survive_a_restart(self) -> None:
        """A new client subscribes to the symbols that the one before it has added."""
        codes = snippets("subscribe-again.md")
        server = MemoryServer()
        names = define(codes[0], print=lambda _: None)
        names |= {"wsx": wsx, "url": "ws://test/"}
        with_server = partial(wsx.ClientService, reactor=server.reactor)
        self.patch(wsx, "ClientService", with_server)
        exec(codes[2], names)
        service = names["service"]
        service.startService()
        server.accept().expect(Text("subscribe EURUSD"))
        service.client.cast("GBPUSD")
        server.expect(Text("subscribe GBPUSD"))
        service.client.stop()
        server.expect(CloseFrame(1001))
        server.reactor.advance(2.0)  # the longest delay of the first restart
        server.accept().expect(Text("subscribe EURUSD"), Text("subscribe GBPUSD"))
        stopped = service.stopService()
        server.expect(CloseFrame(1001))
        result_of(stopped)
        self.assertEqual(server.left_over(), [])


class MigrationTests(SynchronousTestCase):
    """The handlers of the pages for users of other libraries."""

    def test_autobahn(self) -> None:
        """Collect text messages, and no others."""
        printed: list[object] = []
        names = define(snippets("from-autobahn.md")[1], print=lambda *row: printed.append(row))
        with run(names["Feed"], []) as feed:
            feed.server.accept().expect(Text("subscribe EURUSD"))
            feed.server.send(Text("1"), Binary(b"2"), Text("3"))
            self.assertEqual(feed.state, ["1", "3"])
            feed.server.close(1012)
        self.assertEqual(printed, [("closed", wsx.RemoteClose(1012, ""))])

    def test_websocket_client(self) -> None:
        """Print messages."""
        printed: list[object] = []
        code = snippets("from-websocket-client.md")[1]
        names = define(code, print=lambda *row: printed.append(row))
        with run(names["Feed"]) as feed:
            feed.server.accept().expect(Text("subscribe EURUSD"))
            feed.server.send(Text("1"))
            feed.server.close(1012)
        self.assertEqual(printed, [("1",), ("closed", wsx.RemoteClose(1012, ""))])

    def test_factory(self) -> None:
        """The policy with the delays of ReconnectingClientFactory."""
        code = next(
            code for code in snippets("from-reconnectingclientfactory.md") if "math" in code
        )
        policy = define(code)["policy"]
        self.assertEqual((policy.initial, policy.maximum), (1.0, 3600.0))
        self.assertAlmostEqual(policy.factor, 2.7182818284590451)


class StatusTests(SynchronousTestCase):
    """The status page of ``twisted-application.md``."""

    def render(self, client: Any) -> tuple[int, Any]:
        """Return the status and the JSON that the page shows for a client."""
        code = next(
            code for code in snippets("twisted-application.md") if "Status(Resource)" in code
        )
        service = type("Service", (), {"client": client})
        request: Any = DummyRequest([b""])
        body = define(code)["Status"](service).render_GET(request)
        return request.responseCode, json.loads(body)

    def test_status(self) -> None:
        """200 while the client is open, 503 otherwise."""
        self.assertEqual(self.render(None), (503, {"status": "not running"}))
        with run(wsx.Handler, reconnect=wsx.Backoff(jitter=0)) as feed:
            feed.server.accept()
            code, shown = self.render(feed.client)
            self.assertEqual((code, shown["status"], shown["waiting"]), (200, "open", 0))
            feed.server.drop()
            code, shown = self.render(feed.client)
            self.assertEqual((code, shown["status"], shown["failures"]), (503, "disconnected", 1))


class LogTests(SynchronousTestCase):
    """``json-logging.md``."""

    def lines(self, output: StringIO) -> Iterator[Any]:
        """Return the lines of the log, decoded."""
        return map(json.loads, output.getvalue().splitlines())

    def test_observer(self) -> None:
        """Each event is one line of JSON, also one with a traceback."""
        output = StringIO()
        names = define(snippets("json-logging.md")[0])
        self.patch(names["sys"], "stdout", output)
        observer = names["observer"]()
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        log = Logger("wsx")
        log.info("feed: {what}", what="connected\n")
        try:
            raise ValueError("x")
        except ValueError:
            log.failure("raised")
        self.flushLoggedErrors(ValueError)
        first, second = self.lines(output)
        self.assertEqual(
            (first["level"], first["logger"], first["message"]),
            ("info", "wsx", "feed: connected\n"),
        )
        self.assertRegex(first["time"], r"\A\d{4}-\d\d-\d\dT")
        self.assertIn("Traceback", second["message"])
