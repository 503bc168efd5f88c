"""Tests of frames that were received, but not yet decoded, when something else happens."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx import Ok, Ping, Reconnect, Text
from wsx.test.support import MemoryCase, Recorder, close, server_frame, text
from wsx.test.support.each import each

COUNT = 3000
MEBIBYTE = 1 << 20


class RestCase(MemoryCase):
    """Base class: a server that sends more than one batch in one read.

    Attributes:
        pending: The Deferred that the handler returns for the first message.
        handler: The handler.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pending: Deferred[Any] = Deferred()
        self.handler = Recorder(handle_frame=self.first_waits)

    def first_waits(self, frame: Any, state: Any) -> Any:
        return self.pending if frame == Text("0") else None

    def send_many(self, after: bytes = b"") -> list[Text]:
        """Send many messages in one read; return them."""
        messages = [Text(str(number)) for number in range(COUNT)]
        self.peer.send(b"".join(text(message.payload) for message in messages) + after)
        self.step()
        return messages

    def proceed(self) -> None:
        """Let the callback return."""
        self.pending.callback(Ok(None))
        for _ in range(3):
            self.step()

    @property
    def received(self) -> list[Any]:
        """The messages that the handler has received."""
        return self.handler.arguments("handle_frame")


class EndTests(RestCase):
    """Frames that arrived before an end are delivered before its handle_disconnect."""

    def assert_delivered(self, messages: list[Text], reason: object) -> None:
        """Assert that all messages were delivered once, then one loss with this reason."""
        self.assertEqual(self.received, messages)
        names = [name for name in self.handler.names if name != "handle_ping"]
        last = ["handle_disconnect", "terminate"]
        self.assertEqual(names, ["handle_connect"] + ["handle_frame"] * len(messages) + last)
        self.assertEqual(self.handler.arguments("handle_disconnect")[0].reason, reason)

    def test_dropped(self) -> None:
        """TCP ends while most frames are not decoded."""
        self.open(self.handler)
        messages = self.send_many()
        error = ConnectionResetError()
        self.peer.drop(error)
        self.step()
        self.proceed()
        self.assert_delivered(messages, wsx.ConnectionDropped(error))

    def test_close_frame_of_the_server(self) -> None:
        """The reason is the close frame behind these frames, although TCP has ended."""
        self.open(self.handler)
        messages = self.send_many(close(4000, "enough"))
        self.peer.drop()
        self.proceed()
        self.assert_delivered(messages, wsx.RemoteClose(4000, "enough"))

    def test_close(self) -> None:
        """The client closes; frames that arrived before are delivered, later ones are not."""
        client = self.open(self.handler)
        messages = self.send_many()
        closed = client.close(1000, "bye")
        self.peer.send(text("later"))
        self.peer.drop()
        self.step()
        self.successResultOf(closed)
        self.assertEqual(client.status, "disconnected")
        self.proceed()
        self.assert_delivered(messages, wsx.LocalClose(1000, "bye"))

    def test_control_frames(self) -> None:
        """Pings among the rest are delivered, but not answered."""
        client = self.open(self.handler)
        messages = self.send_many(server_frame(9, b"ping"))
        client.close()
        self.peer.received()
        self.peer.drop()
        self.proceed()
        self.assert_delivered(messages, wsx.LocalClose(1000, ""))
        self.assertEqual(self.handler.arguments("handle_ping"), [Ping(b"ping")])
        self.assertEqual(self.peer.received(), [])

    def test_stop(self) -> None:
        """stop drops them, and ends the client at once although TCP has ended before."""
        client = self.open(self.handler)
        self.send_many()
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "open")
        stopped = client.stop()
        self.step()
        self.successResultOf(stopped)
        self.assertEqual(self.handler.names, ["handle_connect", "handle_frame", "terminate"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_send_frame(self) -> None:
        """A send after TCP has ended, but before the loss is reported, fails with the loss."""
        client = self.open(self.handler)
        self.send_many()
        self.peer.drop()
        sent = client.send_frame(Text("x"))
        self.assertNoResult(sent)
        self.proceed()
        self.failureResultOf(sent, wsx.ConnError)

    def test_reconnect(self) -> None:
        """No frame of a connection is delivered on the next one."""
        self.handler.answers["handle_disconnect"] = lambda status, state: Reconnect(state, after=0)
        client = self.open(self.handler)
        self.send_many()
        client.close()
        self.peer.drop()
        self.proceed()
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.handler.names[-2:], ["handle_disconnect", "handle_connect"])
        self.assertEqual(len(self.received), COUNT)


class PendingTests(RestCase):
    """While a callback is pending, no further batch of the read is decoded."""

    def test_not_decoded(self) -> None:
        """An error in the second batch is not noticed before the callback has returned."""
        client = self.open(self.handler, handle_initial_conn_failure=True)
        first = [Text("x")] * 511 + [Text("0")]
        data = b"".join(text(message.payload) for message in first)
        self.peer.send(data + server_frame(3))
        self.step()
        self.assertEqual(self.received, first)
        self.assertTrue(self.peer.transport.reading_paused)
        self.assertEqual(client.status, "open")
        self.proceed()
        self.assertNotEqual(client.status, "open")


class MemoryTests(RestCase):
    """Messages that inflate to large sizes are inflated one at a time."""

    def assert_little_memory(self, messages: int) -> None:
        """Assert that the client holds at most two of many messages at once."""
        size = 4 * MEBIBYTE
        deflater = zlib.compressobj(wbits=-15)
        body = deflater.compress(bytes(size)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        data = server_frame(2, body[:-4], 0xC0) * 50
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.peer.send(data)
        for _ in range(5):
            self.step()
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak, 5 * size)
        self.assertEqual(len(self.handler.calls), messages)

    def connect(self) -> wsx.Client[Any]:
        """Open a connection with compression whose handler keeps nothing."""

        def forget(*_: Any) -> Any:
            self.handler.calls[:] = [("handle_frame", None, None)] * len(self.handler.calls)
            return self.pending if self.waits else None

        self.waits = False
        self.handler.answers["handle_frame"] = forget
        started = self.start(self.handler, compression="deflate")
        extension = "permessage-deflate; server_no_context_takeover"
        self.peer.answer(Sec_WebSocket_Extensions=extension)
        self.step()
        self.handler.calls.clear()
        return self.successResultOf(started)

    def test_delivered(self) -> None:
        """Few messages are in memory while they are delivered one after another."""
        self.connect()
        self.assert_little_memory(50)

    def test_pending(self) -> None:
        """While a callback is pending, reading is paused and no more are inflated."""
        self.connect()
        self.waits = True
        self.assert_little_memory(1)
        self.assertTrue(self.peer.transport.reading_paused)
        self.waits = False
        self.proceed()
        for _ in range(10):
            self.step()
        self.assertEqual(len(self.handler.calls), 50)

    @each(("drop", "close"))
    def test_end(self, how: str) -> None:
        """Few messages are in memory if a callback is pending when the connection ends."""
        client = self.connect()
        self.waits = True
        self.assert_little_memory(1)
        tracemalloc.reset_peak()
        if how == "close":
            client.close()
        self.peer.drop()
        for _ in range(3):
            self.step()
        self.assertLess(tracemalloc.get_traced_memory()[1], 20 * MEBIBYTE)
        self.waits = False
        self.proceed()
        for _ in range(10):
            self.step()
        self.assertLess(tracemalloc.get_traced_memory()[1], 20 * MEBIBYTE)
        self.assertEqual(len(self.received), 50)
