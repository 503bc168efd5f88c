"""Tests of full write buffers: waiting frames, and replies that the server does not read."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

import wsx
from wsx import Reply, Text
from wsx._scheduler import scheduler_for
from wsx._wire.handshake import accept_value
from wsx.test.support import LoopbackCase, MemoryCase, Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.extras import websockets
from wsx.test.support.sockets import HOST, Server, SocketCase, global_reactor

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
        timers = scheduler_for(self.clock).getDelayedCalls
        before = len(timers())
        waiting = [client.send_frame(Text(str(n))) for n in range(10_000)]
        self.assertEqual(len(timers()), before + 1)
        self.peer.buffer.resumeProducing()
        for sent in waiting:
            self.successResultOf(sent)
        self.assertEqual(len(timers()), before)

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
        """While replies wait, nothing is delivered, and reading goes on up to the budget."""
        handler = replying()
        self.open(handler)
        self.fill(100)
        delivered = len(handler.arguments("handle_frame"))
        self.assertEqual(delivered, 2, "every reply has 40,000 bytes, the mark is at 65,536")
        budget = 256 * 1024 + delivered * 40_008
        for _ in range(budget // 10_000):
            self.assertFalse(self.peer.transport.reading_paused)
            self.peer.send(text("x" * 9_998))
            self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.send(text("x" * 9_998))
        self.assertTrue(self.peer.transport.reading_paused)
        self.step()
        self.assertEqual(len(handler.arguments("handle_frame")), delivered)

    def test_suspended(self) -> None:
        """Reading stays paused if the callback whose reply fills the buffer has suspended."""

        def suspend(frame: Any, state: Any) -> Any:
            client.sys.suspend()
            return wsx.Reply(wsx.Text("x" * 40_000), state)

        client = self.open(Recorder(handle_frame=suspend))
        self.fill(1)
        self.assertTrue(self.peer.transport.reading_paused)
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertTrue(self.peer.transport.reading_paused)
        client.sys.resume()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)

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

    @each((("within the budget", 10), ("budget spent", 400_000)))
    def test_server_hangs(self, label: str, size: int) -> None:
        """A server that hangs while replies wait is detected by the ping timeout."""
        handler = replying()
        self.open(handler, ping_interval=20.0, ping_timeout=20.0)
        self.fill(10)
        self.peer.send(text("x" * size))
        self.assertEqual(self.peer.transport.reading_paused, size > 1000)
        for _ in range(39):
            self.clock.advance(1)
        self.assertEqual(handler.arguments("handle_disconnect"), [])
        self.clock.advance(1)
        self.step()
        [status] = handler.arguments("handle_disconnect")
        self.assertIsInstance(status.reason, wsx.PingTimeout)

    def test_slow_server(self) -> None:
        """A server that reads slowly while replies wait is not dropped."""
        handler = replying()
        client = self.open(handler, ping_interval=5.0, ping_timeout=5.0)
        self.fill(100)
        for _ in range(20):
            self.clock.advance(4)
            self.peer.buffer.resumeProducing()
            self.step()
        self.assertEqual(client.status, "open")
        self.assertGreater(len(handler.arguments("handle_frame")), 20)

    @each(("handle_cast", "handle_info"))
    def test_replies_to_messages(self, callback: str) -> None:
        """Replies to casts and infos stop neither reading nor delivery."""
        handler = Recorder(**{callback: lambda message, state: Reply(Text("r"), state)})
        client = self.open(handler)
        self.peer.buffer.pauseProducing()
        for number in range(1000):
            getattr(client, callback.removeprefix("handle_"))(number)
            self.step()
        self.peer.send(text("x"))
        self.assertFalse(self.peer.transport.reading_paused)
        self.assertEqual(handler.arguments("handle_frame"), [Text("x")])
        self.assertEqual(len(self.peer.received()), 1000)

    def test_send_in_a_callback_of_start(self) -> None:
        """``send_frame`` in a callback of ``start`` may write the reply of ``handle_connect``."""
        handler = Recorder(
            handle_connect=lambda conn, state: Reply(Text("x"), state),
            handle_frame=lambda frame, state: Reply(Text("r"), state),
        )

        def fill_and_send(client: wsx.Client[Any]) -> None:
            self.peer.buffer.pauseProducing()
            client.send_frame(Text("y"))

        started = self.start(handler).addCallback(fill_and_send)
        self.peer.answer()
        self.step()
        self.successResultOf(started)
        for _ in range(5):
            self.peer.send(text("a") * 3)
            self.step()
        self.assertLess(handler.names.count("handle_frame"), 5)

    def test_nothing_is_scheduled(self) -> None:
        """Held frames and casts behind them do not occupy the reactor."""
        client = self.open(replying())
        self.fill(10)
        for number in range(20):
            client.cast(number)
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(
        (
            ("too_long", b"x" * 126, wsx.FrameEncodeError),
            ("no_bytes", "x", wsx.InvalidFrameError),
        )
    )
    def test_invalid_late_pong(self, label: str, payload: Any, error: type[Exception]) -> None:
        """An invalid pong ends the connection when it is returned, not when it is sent."""
        handler = Recorder(handle_ping=lambda frame, state: Reply(wsx.Pong(payload), state))
        client = self.open(handler)
        self.peer.buffer.pauseProducing()
        sent = client.send_frame(Text("a"))
        self.peer.send(server_frame(9, b"p"))
        self.step()
        self.assertEqual(client.status, "closing")
        self.peer.buffer.resumeProducing()
        self.successResultOf(sent)
        self.peer.drop()
        self.step()
        self.assertIsInstance(self.successResultOf(client.terminated()), error)

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
        server = NonReadingServer()  # Held, because the reactor forgets a paused connection.
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


class EchoServer(Server):
    """A ``websockets`` server that applies backpressure: it reads after each echo is written.

    It answers the path ``/go`` with a first message.
    """

    async def listen(self) -> int:
        self._server = await websockets.asyncio.server.serve(
            self._echo, HOST, 0, max_size=None, ping_interval=None, close_timeout=0.2
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def unlisten(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _echo(self, connection: Any) -> None:
        if connection.request.path == "/go":
            await connection.send("go")
        async for message in connection:
            await connection.send(message)


class EchoHandler(wsx.Handler[None]):
    """Send 30 messages of 1 MiB at once and count what comes back.

    Args:
        when: What causes the messages: ``"cast"``, ``"frame"`` or ``"connect"``.

    Attributes:
        complete: Fires with the sizes of the received messages once all are back.
    """

    COUNT = 30
    MESSAGE = wsx.Binary(bytes(1024 * 1024))

    def __init__(self, when: str) -> None:
        self.when = when
        self.complete: Deferred[list[int]] = Deferred()
        self.sizes: list[int] = []

    def handle_connect(self, conn: wsx.Conn, state: None) -> Any:
        if self.when == "cast":
            for number in range(self.COUNT):
                self.client.cast(number)
        return Reply([self.MESSAGE] * self.COUNT, state) if self.when == "connect" else None

    def handle_cast(self, message: object, state: None) -> Any:
        return Reply(self.MESSAGE, state)

    def handle_frame(self, frame: wsx.Frame, state: None) -> Any:
        if isinstance(frame, Text):
            return Reply([self.MESSAGE] * self.COUNT, state)
        self.sizes.append(len(frame.payload))
        if len(self.sizes) == self.COUNT:
            self.complete.callback(self.sizes)
        return None

    def handle_disconnect(self, status: wsx.Disconnect, state: None) -> Any:
        if not self.complete.called:
            self.complete.errback(RuntimeError(f"{status.reason} after {len(self.sizes)} messages"))
        return wsx.Ok(state)


class EchoTests(SocketCase):
    """A server that echoes and does not read while its own write buffer is full."""

    @each(("cast", "frame", "connect"))
    async def test_no_deadlock(self, when: str) -> None:
        """Client and server do not wait for each other forever."""
        handler: Any = EchoHandler(when)
        url = self.serve(EchoServer).url("/go" if when == "frame" else "/")
        client = await wsx.start(url, handler, None, ping_interval=5, ping_timeout=5)
        self.addCleanup(client.stop)
        sizes = await handler.complete.addTimeout(20, global_reactor())
        self.assertEqual(sizes, [1024 * 1024] * EchoHandler.COUNT)
