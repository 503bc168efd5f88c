"""Base classes of test cases."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import FailTest, SynchronousTestCase, TestCase

import wsx
from wsx.test.support.memory import MemoryServer, Peer

URL = "ws://example.test/feed"


@contextmanager
def case(label: object) -> Iterator[None]:
    """Says which of many similar inputs a failure is about (trial knows no ``subTest``)."""
    try:
        yield
    except Exception as error:
        raise FailTest(f"{label!r}: {error!r}") from error


def collect_garbage() -> None:
    """Makes an error that was lost in a dropped Deferred or coroutine show itself.

    What survives is not looked at again, so that this costs what one test made, and not more with
    every test that has run.
    """
    gc.collect()
    gc.freeze()


class MemoryCase(SynchronousTestCase):
    """Tests of a client against an in-memory server, with a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)

    def tearDown(self) -> None:
        collect_garbage()

    def start(self, handler: Any, state: Any = None, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Starts a client; keepalive is off unless asked for."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start(options.pop("url", URL), handler, state, **options)

    def open(self, handler: Any, state: Any = None, **options: Any) -> wsx.Client[Any]:
        """Starts a client and completes its opening handshake."""
        started = self.start(handler, state, **options)
        self.server.peer.answer()
        self.step()
        return self.successResultOf(started)

    def step(self) -> None:
        """Lets everything happen that needs no time; a few steps' worth."""
        for _ in range(10):
            self.clock.advance(0)

    @property
    def peer(self) -> Peer:
        """The server's side of the last connection."""
        return self.server.peer


class LoopbackCase(TestCase):
    """Tests over real loopback sockets."""

    timeout = 30

    def tearDown(self) -> None:
        collect_garbage()
