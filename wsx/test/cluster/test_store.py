"""Tests of wsx._cluster.store: the contract of a link, with the one in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase, TestCase

from wsx._cluster.store import Entry, Link
from wsx.errors import ClusterError
from wsx.test.support.memory_nats import MemoryLink, MemoryNats
from wsx.test.support.store_contract import LinkContract


class MemoryLinkTests(LinkContract, TestCase):
    """The link in memory, which the other tests of the cluster use."""

    async def connect(self) -> Link:
        """Connect, and let the clock follow the reactor."""
        self.clock = Clock()
        turning = LoopingCall(self.clock.advance, 0)
        turning.start(0)
        self.addCleanup(turning.stop)
        link = MemoryLink(MemoryNats(self.clock), self.clock)
        await link.start()
        return link

    async def wait_for_expiry(self) -> None:
        """Advance the clock."""
        self.clock.advance(10)


class FaultTests(SynchronousTestCase):
    """The faults of the link in memory."""

    def setUp(self) -> None:
        """Connect."""
        self.clock = Clock()
        self.server = MemoryNats(self.clock)
        self.link = MemoryLink(self.server, self.clock)
        self.successResultOf(self.link.start())

    def lost_write(self) -> None:
        """Write, and expect no reply."""
        lost = self.link.write("feed", b"one", 0)
        self.clock.pump([0, 0, 1.9])
        self.assertNoResult(lost)
        self.clock.advance(0.1)
        self.failureResultOf(lost, ClusterError)

    def test_lost_request(self) -> None:
        """A lost request fails after the time limit, and has no effect."""
        self.link.loses_requests = True
        self.lost_write()
        self.assertIsNone(self.server.read("feed"))

    def test_lost_reply(self) -> None:
        """If the reply is lost, the request fails after the time limit, but has an effect."""
        self.link.loses_replies = True
        self.lost_write()
        self.assertEqual(self.server.read("feed"), Entry(1, b"one"))

    def test_not_connected(self) -> None:
        """Without a connection everything fails at once."""
        self.successResultOf(self.link.stop())
        operations: list[Deferred[Any]] = [
            self.link.write("feed", b"", 0),
            self.link.read("feed"),
            self.link.erase("feed", 1),
            self.link.request("subject", b"", 1.0),
            self.link.subscribe("subject", lambda _: Deferred()),
        ]
        for operation in operations:
            self.failureResultOf(operation, ClusterError)
