"""Tests of calls between processes: casts, frames, requests, their errors, and the end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from wsx.test.support.cluster_case import KEY, ProcessCase
from wsx.test.support.cluster_processes import WorkerProcess


class CallTests(ProcessCase):
    """A process calls the client of another one."""

    ttl = 10.0

    async def pair(self, reactor: str = "epoll", **options: Any) -> tuple[WorkerProcess, Any]:
        """Return the process of the holder, and another one."""
        servers = await self.serve()
        holder = self.spawn(servers.urls, reactor=reactor)
        other = self.spawn(servers.urls, reactor=reactor)
        await holder.call("start", self.feed.url(holder.name), KEY, options)
        return holder, other

    async def check_order(self, reactor: str) -> None:
        """Casts of two senders arrive once, each in its order."""
        holder, other = await self.pair(reactor)
        for sender in ("s", "t"):
            await other.call("send", KEY, sender)
        await self.until(lambda: len(self.events("cast", holder)) >= 100)
        for sender in ("s", "t"):
            await other.call("end_sending", sender)
        sent = len(self.events("sent"))
        await self.until(lambda: len(self.events("acknowledged")) == sent)
        self.assertEqual(len(self.events("cast", holder)), sent)
        self.check_history()

    async def test_order(self) -> None:
        """Casts keep their order."""
        await self.check_order("epoll")

    async def test_order_on_asyncio(self) -> None:
        """Casts keep their order on the reactor of asyncio, without a thread."""
        await self.check_order("asyncio")

    async def test_requests(self) -> None:
        """What a reference asks is that of the client in the other process."""
        holder, other = await self.pair()
        self.assertEqual(await other.call("lookup", KEY), holder.pid)
        self.assertEqual(await holder.call("lookup", KEY), holder.pid)
        self.assertEqual(await other.call("call", KEY, "status"), "open")
        await other.call("call", KEY, "cast", "x")
        await other.call("call", KEY, "info", {"i": [1]})
        self.assertEqual(await other.call("call", KEY, "sys.get_state"), {"casts": 1})
        self.assertIn("status", await other.call("call", KEY, "sys.get_status"))
        self.assertEqual(self.events("info", holder)[0].detail, "{'i': [1]}")
        await other.call("call", KEY, "close", 4000, "bye")
        await self.until_event("disconnected", holder)

    async def test_frames(self) -> None:
        """A frame is sent by the holder, and the errors are those of send_frame."""
        holder, other = await self.pair()
        await other.call("send_frame", KEY, 7, 5.0)
        await self.until(lambda: self.feed.received == [7])
        self.feed.pause_reading()
        kinds = await gatherResults(
            [self.kind(other.call("send_frame", KEY, 900_000, 1.0)) for _ in range(12)]
        )
        self.assertIn("SendTimeout", kinds)
        self.assertLessEqual(set(kinds), {"", "SendTimeout"})
        self.feed.resume_reading()
        error = await self.failure(other.call("send_frame", KEY, 2_000_000, 5.0))
        self.assertEqual(error.kind, "ClusterError")
        self.assertIn("not sent", error.text)
        self.assertTrue(holder.is_running)

    def kind(self, called: Deferred[Any]) -> Deferred[str]:
        """Return the kind of the failure of a command, or an empty str."""
        return called.addCallbacks(lambda _: "", lambda failure: failure.value.kind)

    async def test_wrong_message(self) -> None:
        """What is no MessagePack value is a TypeError in the caller."""
        _, other = await self.pair()
        error = await self.failure(other.call("cast_tuple", KEY))
        self.assertEqual(error.kind, "TypeError")
        self.assertIn('message["a"][0]', error.text)

    async def test_full_mailbox(self) -> None:
        """A cast to a client whose mailbox is full fails."""
        holder, other = await self.pair(mailbox_limit=2)
        await other.call("call", KEY, "cast", ["hold", 60.0])
        await self.until(lambda: self.events("connected", holder))
        kinds = [await self.kind(other.call("call", KEY, "cast", number)) for number in range(4)]
        self.assertEqual(kinds[:2], ["", ""])
        self.assertIn("MailboxFullError", kinds)

    async def test_not_connected(self) -> None:
        """A frame for a client that is not connected fails."""
        holder, other = await self.pair()
        await self.feed.stop()
        await self.until_event("disconnected", holder)
        error = await self.failure(other.call("send_frame", KEY, 7, 5.0))
        self.assertEqual(error.kind, "NotConnectedError")
        status = await other.call("call", KEY, "status")
        self.assertIn(status, ("disconnected", "connecting"))

    async def test_stop(self) -> None:
        """A process stops the client of another one; later calls find no client."""
        holder, other = await self.pair()
        self.assertIn("enough", await other.call("call", KEY, "stop", "enough"))
        await self.until_event("released", holder)
        error = await self.failure(other.call("call", KEY, "cast", "late"))
        self.assertEqual(error.kind, "UnknownNameError")
        self.assertIsNone(await other.call("lookup", KEY))
        started = await other.call("start", self.feed.url(other.name), KEY, {})
        self.assertEqual(started[:2], ["started", other.pid])
