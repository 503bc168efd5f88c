"""Tests of full write buffers: waiting frames, and replies that the server does not read."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

import wsx
from wsx import Reply, Text
from wsx._wire.handshake import accept_value
from wsx.test.support import LoopbackCase, MemoryCase, Recorder, close, server_frame, text

REPLY = Text("r" * 40_000)


def replying(**answers: Any) -> Recorder:
    """Return a handler that answers every frame with 40,000 bytes."""
    return Recorder(handle_frame=lambda frame, state: Reply(REPLY, state), **answers)


class BurstTests(MemoryCase):
    """Many calls of ``send_frame`` without waiting."""

    def test_one_timer(self) -> None:
        """[N1] Deferreds that wait for the same write buffer share one timer."""
        client = self.open(Recorder())
        self.peer.buffer.pauseProducing()
        before = len(self.clock.getDelayedCalls())
        waiting = [client.send_frame(Text(str(n))) for n in range(10_000)]
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        self.peer.buffer.resumeProducing()
        for sent in waiting:
            self.successResultOf(sent)
        self.assertEqual(len(self.clock.getDelayedCalls()), before)

    def test_timeouts_of_their_own(self) -> None:
        """Each Deferred fails after its own timeout, counted from its own call."""
        client = self.open(Recorder())
        self.peer.buffer.pauseProducing()
        early = client.send_frame(Text("a"), timeout=2.0)
        self.clock.advance(1)
        late, patient = client.send_frame(Text("b"), timeout=2.0), client.send_frame(Text("c"), 9.0)
        self.clock.advance(1)
        self.failureResultOf(early, wsx.SendTimeout)
        self.assertNoResult(late)
        self.clock.advance(1)
        self.failureResultOf(late, wsx.SendTimeout)
        self.peer.buffer.resumeProducing()
        self.successResultOf(patient)

    def test_connection_lost(self) -> None:
        """[N4] Deferreds that wait fail with the reason that ``handle_disconnect`` receives."""
        handler = Recorder()
        client = self.open(handler)
        self.peer.buffer.pauseProducing()
        sent = client.send_frame(Text("a"))
        self.peer.send(close(1009, "too big"))
        self.peer.drop()
        self.step()
        error = self.failureResultOf(sent, wsx.ConnError).value
        [status] = handler.arguments("handle_disconnect")
        self.assertEqual(status.reason, wsx.RemoteClose(1009, "too big"))
        self.assertIn(str(status.reason), str(error))


class ReplyTests(MemoryCase):
    """Replies to a server that sends but does not read."""

    def fill(self, frames: int) -> None:
        """Let the server send frames; its write buffer is full once the first reply is written."""
        transport = self.peer.transport
        write = transport.write

        def write_and_fill(data: bytes) -> None:
            write(data)
            self.peer.buffer.pauseProducing()

        self.patch(transport, "write", write_and_fill)
        self.peer.send(b"".join(text(str(n)) for n in range(frames)))

    def test_reading_and_delivery_pause(self) -> None:
        """Neither reading nor delivery goes on while replies wait for the write buffer."""
        handler = replying()
        self.open(handler)
        self.fill(100)
        delivered = len(handler.arguments("handle_frame"))
        self.assertLessEqual(delivered, 3, "every reply has 40,000 bytes, the mark is at 65,536")
        self.assertTrue(self.peer.transport.reading_paused)
        self.step()
        self.assertEqual(len(handler.arguments("handle_frame")), delivered)

    def test_memory_is_bounded(self) -> None:
        """A server that never reads gets a few replies, however much it sends."""
        self.open(replying())
        self.fill(500)
        for _ in range(20):
            self.peer.send(text("more") * 500)
            self.step()
        self.assertLess(len(self.peer.transport.value()), 500_000)

    def test_goes_on_in_order(self) -> None:
        """Everything is delivered, once and in order, while the buffer fills and drains."""
        handler = replying()
        self.open(handler)
        self.fill(50)
        for _ in range(60):
            self.peer.buffer.resumeProducing()
            self.step()
        payloads = [frame.payload for frame in handler.arguments("handle_frame")]
        self.assertEqual(payloads, [str(n) for n in range(50)])
        self.assertEqual(len(self.peer.received()), 50)
        self.peer.buffer.resumeProducing()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_sends_without_replies_do_not_pause(self) -> None:
        """A full write buffer alone does not stop reading: ``send_frame`` waits by itself."""
        client = self.open(Recorder())
        self.peer.buffer.pauseProducing()
        client.send_frame(Text("a"))
        self.assertFalse(self.peer.transport.reading_paused)

    def test_cast_is_delivered(self) -> None:
        """A cast is delivered if no frame is queued before it."""
        handler = replying()
        client = self.open(handler)
        self.fill(1)
        client.cast("now")
        self.step()
        self.assertEqual(handler.arguments("handle_cast"), ["now"])

    def test_keepalive_timeout_waits(self) -> None:
        """No keepalive timeout runs while the client itself has paused reading."""
        handler = replying()
        client = self.open(handler, ping_interval=5.0, ping_timeout=5.0)
        self.fill(10)
        for _ in range(20):
            self.clock.advance(5)
        self.assertEqual(client.status, "open")

    def test_frames_before_the_loss(self) -> None:
        """Frames that arrived before the connection ended are delivered; replies are dropped."""
        handler = replying()
        self.open(handler)
        self.fill(20)
        self.peer.drop()
        self.step()
        self.assertEqual(len(handler.arguments("handle_frame")), 20)
        self.assertEqual(handler.names[-2:], ["handle_disconnect", "terminate"])

    def test_close_while_waiting(self) -> None:
        """``close()`` takes effect at once, and the frames that wait are still delivered."""
        handler = replying()
        client = self.open(handler)
        self.fill(20)
        client.close()
        self.step()
        self.assertEqual(client.status, "closing")
        self.assertEqual(len(handler.arguments("handle_frame")), 20)

    def test_pongs_need_no_pause(self) -> None:
        """Pings are answered with the latest pong only, without pausing."""
        self.open(wsx.Handler)
        self.peer.buffer.pauseProducing()
        self.peer.send(server_frame(9, b"1") + server_frame(9, b"2"))
        self.assertEqual(self.peer.received(), [])
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.buffer.resumeProducing()
        self.assertEqual(self.peer.received(), [(10, b"2")])


class NonReadingServer(Protocol):
    """Accept, send requests, and never read."""

    transport: Any

    def __init__(self) -> None:
        self.request = b""

    def dataReceived(self, data: bytes) -> None:
        self.request += data
        if b"\r\n\r\n" in self.request:
            self.transport.pauseProducing()
            key = self.request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r")[0].decode()
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept_value(key).encode()
                + b"\r\n\r\n"
            )
            self.transport.write(text("request") * 20_000)


class SocketTests(LoopbackCase):
    """Backpressure on real sockets."""

    async def test_memory_is_bounded(self) -> None:
        """A server that sends 20,000 requests and reads nothing gets a few megabytes of replies."""
        from twisted.internet import reactor

        handler = replying()
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        server = (
            NonReadingServer()
        )  # Hold a reference, because the reactor forgets a paused connection.
        port = await endpoint.listen(Factory.forProtocol(lambda: server))
        self.addCleanup(port.stopListening)
        url = f"ws://127.0.0.1:{port.getHost().port}/"
        client = await wsx.start(url, handler, None, ping_interval=None)
        await deferLater(reactor, 0.5)
        replies = len(handler.arguments("handle_frame"))
        await deferLater(reactor, 0.3)
        self.assertEqual(len(handler.arguments("handle_frame")), replies, "delivery goes on")
        self.assertEqual(client.status, "open")
        self.assertLess(replies * 40_000, 20_000_000)
        ended: Deferred[Any] = client.terminated()
        client.abort()
        await gatherResults([ended])
