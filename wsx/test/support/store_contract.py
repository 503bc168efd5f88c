"""What every link to NATS must do: the same tests run with the one in memory and the real one."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from wsx._cluster.store import Entry, Link, NoResponder, WrongRevision


class LinkContract:
    """Tests of a link. A subclass is a TestCase with the method ``connect``."""

    async def connect(self) -> Link:
        """Return a connected link to a server with an empty bucket."""
        raise NotImplementedError

    async def wait_for_expiry(self) -> None:
        """Wait until entries that were written before have expired."""
        raise NotImplementedError

    @property
    def _case(self) -> TestCase:
        return cast("TestCase", self)

    async def _refusal(self, refused: Deferred[int]) -> int | None:
        error: Any = await self._case.assertFailure(refused, WrongRevision)
        last: int | None = error.last
        return last

    async def test_create(self) -> None:
        """A key without an entry is written with revision 0, and only then."""
        link = await self.connect()
        self._case.assertIsNone(await link.read("feed"))
        revision = await link.write("feed", b"one", 0)
        self._case.assertEqual(await link.read("feed"), Entry(revision, b"one"))
        self._case.assertEqual(await self._refusal(link.write("feed", b"two", 0)), revision)
        self._case.assertEqual(await link.read("feed"), Entry(revision, b"one"))

    async def test_update(self) -> None:
        """Write after the last revision, and not after any other."""
        link = await self.connect()
        first = await link.write("feed", b"one", 0)
        second = await link.write("feed", b"two", first)
        self._case.assertGreater(second, first)
        self._case.assertEqual(await self._refusal(link.write("feed", b"three", first)), second)
        self._case.assertEqual(await link.read("feed"), Entry(second, b"two"))

    async def test_erase(self) -> None:
        """A delete marker has a revision, after which the key can be written again."""
        link = await self.connect()
        first = await link.write("feed", b"one", 0)
        self._case.assertEqual(await self._refusal(link.erase("feed", first + 1)), first)
        marker = await link.erase("feed", first)
        self._case.assertEqual(await link.read("feed"), Entry(marker, b"", is_deleted=True))
        again = await link.write("feed", b"two", marker)
        self._case.assertGreater(again, marker)

    async def test_expiry(self) -> None:
        """An entry that is not written again expires, and a later revision is greater."""
        link = await self.connect()
        first = await link.write("feed", b"one", 0)
        await self.wait_for_expiry()
        self._case.assertIsNone(await link.read("feed"))
        self._case.assertGreater(await link.write("feed", b"two", 0), first)

    async def test_keys_are_independent(self) -> None:
        """Each key has its own last revision; the revisions of a bucket grow."""
        link = await self.connect()
        first = await link.write("feed", b"one", 0)
        second = await link.write("=other", b"two", 0)
        self._case.assertGreater(second, first)
        self._case.assertEqual(await link.read("feed"), Entry(first, b"one"))

    async def test_request(self) -> None:
        """A request reaches the subscription, and its reply comes back."""
        link = await self.connect()
        received = []

        def serve(payload: bytes) -> Deferred[bytes]:
            received.append(payload)
            return succeed(payload.upper())

        unsubscribe = await link.subscribe("wsx.test.call.feed", serve)
        self._case.assertEqual(await link.request("wsx.test.call.feed", b"abc", 5.0), b"ABC")
        self._case.assertEqual(received, [b"abc"])
        await unsubscribe()
        lost = link.request("wsx.test.call.feed", b"abc", 5.0)
        await self._case.assertFailure(lost, NoResponder)

    async def test_no_responder(self) -> None:
        """A request to a subject without subscription fails."""
        link = await self.connect()
        lost = link.request("wsx.test.call.feed", b"abc", 5.0)
        await self._case.assertFailure(lost, NoResponder)

    async def test_order(self) -> None:
        """Requests are served in order, before earlier ones have been answered."""
        link = await self.connect()
        received: list[bytes] = []
        replies: list[Deferred[bytes]] = []

        def serve(payload: bytes) -> Deferred[bytes]:
            received.append(payload)
            replies.append(Deferred())
            if len(replies) == 100:
                for reply, request in zip(replies, received, strict=True):
                    reply.callback(request)
            return replies[-1]

        await link.subscribe("wsx.test.call.feed", serve)
        sent = [b"%d" % number for number in range(100)]
        asked = [link.request("wsx.test.call.feed", payload, 5.0) for payload in sent]
        self._case.assertEqual([await answer for answer in asked], sent)
        self._case.assertEqual(received, sent)
