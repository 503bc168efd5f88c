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
    """Name the input in a failure; trial has no ``subTest``."""
    try:
        yield
    except Exception as error:
        raise FailTest(f"{label!r}: {error!r}") from error


def collect_garbage() -> None:
    """Collect garbage, so that errors of dropped Deferreds and coroutines are reported.

    Objects that survive are not examined again, so that the cost does not grow with the number of
    tests that have run.
    """
    gc.collect()
    gc.freeze()


class MemoryCase(SynchronousTestCase):
    """Base class for tests of a client with an in-memory server and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)

    def tearDown(self) -> None:
        collect_garbage()

    def start(self, handler: Any, state: Any = None, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Start a client; keepalive is off by default."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start(options.pop("url", URL), handler, state, **options)

    def open(self, handler: Any, state: Any = None, **options: Any) -> wsx.Client[Any]:
        """Start a client and complete its opening handshake."""
        started = self.start(handler, state, **options)
        self.server.peer.answer()
        self.step()
        return self.successResultOf(started)

    def step(self) -> None:
        """Run several reactor iterations without advancing the time."""
        for _ in range(10):
            self.clock.advance(0)

    @property
    def peer(self) -> Peer:
        """The server's side of the last connection."""
        return self.server.peer


class LoopbackCase(TestCase):
    """Base class for tests over real loopback sockets."""

    timeout = 30

    def tearDown(self) -> None:
        collect_garbage()
