"""Tests of ``send_fragments``: one message in fragments, and what is sent around it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredQueue

import wsx
from wsx import Binary, IncompleteMessageError, Ping, Pong, Reply, Text, telemetry
from wsx._wire.encoder import apply_mask
from wsx.frames import INTERNAL_ERROR
from wsx.test.support import Recorder, case, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import Boom, EndCase, reasons, reconnecting

MESSAGE = "the client's message could not be completed"
FIN = 0x80


def read_fragments(data: bytes) -> list[tuple[int, bytes]]:
    """Return frames as pairs of first byte and payload; all must be masked."""
    frames, pos = [], 0
    while pos < len(data):
        length, start = data[pos + 1] & 0x7F, pos + 2
        assert data[pos + 1] & 0x80, "a client's frame is not masked"
        if length >= 126:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        mask, start = data[start : start + 4], start + 4
        frames.append((data[pos], apply_mask(data[start : start + length], mask)))
        pos = start + length
    return frames


def join_fragments(frames: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return messages and control frames as a server sees them (RFC 6455 section 5.4)."""
    messages: list[tuple[int, bytes]] = []
    opcode: int | None = None
    payload = b""
    for first, part in frames:
        kind, fin = first & 0x0F, first & FIN
        if kind >= 8:
            assert fin, "a control frame is fragmented"
            messages.append((kind, part))
            continue
        assert (kind == 0) == (opcode is not None), "a message begins within another one"
        opcode, payload = kind or opcode, payload + part
        if fin and opcode is not None:
            messages.append((opcode, payload))
            opcode, payload = None, b""
    assert opcode is None, "a message is not complete"
    return messages


class Feeder:
    """An async iterable whose parts a test provides.

    Attributes:
        closed: Whether the iteration has ended, in whatever way.
    """

    def __init__(self) -> None:
        self._parts: DeferredQueue[Any] = DeferredQueue()
        self.closed = False

    async def parts(self) -> AsyncIterator[Any]:
        """Return the parts as they are provided."""
        try:
            while (part := await self._parts.get()) is not None:
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self.closed = True

    def feed(self, *parts: Any) -> None:
        """Provide parts; None is the end."""
        for part in parts:
            self._parts.put(part)

    def fail(self, error: Exception) -> None:
        """Let the iterable raise."""
        self._parts.put(error)


class FragmentsCase(EndCase):
    """A client that sends messages in fragments.

    Attributes:
        handler: Its handler.
        client: The client.
        feeder: Parts that the test provides.
    """

    def begin(self, handler: Any = None, **options: Any) -> None:
        """Open the client."""
        self.handler = Recorder() if handler is None else handler
        self.client = self.open(self.handler, **options)
        self.feeder = Feeder()

    def send(self, kind: Any, parts: Any, **options: Any) -> Deferred[None]:
        """Send a message."""
        return self.client.send_fragments(kind, parts, **options)

    def send_slowly(self, *parts: Any, kind: Any = Text) -> Deferred[None]:
        """Begin a message, whose further parts the test provides."""
        sent = self.send(kind, self.feeder.parts())
        self.feeder.feed(*parts)
        return sent

    def frames(self) -> list[tuple[int, bytes]]:
        """Return the frames that the server has received since the last call."""
        data = self.peer.transport.value()
        self.peer.transport.clear()
        return read_fragments(data)


class SendTests(FragmentsCase):
    """Complete messages."""

    def test_iterable(self) -> None:
        """Each part is a frame, and the last frame is empty."""
        self.begin()
        sent = self.send(Text, ["a", "b", b"c"])
        self.successResultOf(sent)
        self.assertEqual(self.frames(), [(0x01, b"a"), (0x00, b"b"), (0x00, b"c"), (0x80, b"")])

    def test_generator(self) -> None:
        """A generator is read part by part and closed."""
        closed: list[bool] = []

        def parts() -> Iterator[bytes]:
            try:
                yield from (b"ab", b"c")
            finally:
                closed.append(True)

        self.begin()
        self.successResultOf(self.send(Binary, parts()))
        self.assertEqual(join_fragments(self.frames()), [(2, b"abc")])
        self.assertEqual(closed, [True])

    def test_async_iterable(self) -> None:
        """Each part is sent as soon as it is there."""
        self.begin()
        sent = self.send_slowly("a")
        self.assertEqual(self.frames(), [(0x01, b"a")])
        self.feeder.feed("b")
        self.assertEqual(self.frames(), [(0x00, b"b")])
        self.assertNoResult(sent)
        self.feeder.feed(None)
        self.assertEqual(self.frames(), [(0x80, b"")])
        self.successResultOf(sent)
        self.assertTrue(self.feeder.closed)

    def test_empty(self) -> None:
        """Without parts, one empty message is sent."""
        self.begin()
        self.successResultOf(self.send(Binary, []))
        self.assertEqual(self.frames(), [(0x82, b"")])

    def test_in_a_callback(self) -> None:
        """A callback may send fragments, also while it awaits them; the order is kept."""
        self.begin()

        async def send(frame: Any, state: Any) -> Any:
            self.client.send_frame(Text("before"))
            await self.client.send_fragments(Text, ["a", "b"])
            return Reply(Text("after"), state)

        self.handler.answers["handle_frame"] = send
        self.peer.send(text("x"))
        self.step()
        messages = join_fragments(self.frames())
        self.assertEqual(messages, [(1, b"before"), (1, b"ab"), (1, b"after")])

    def test_deflate(self) -> None:
        """With permessage-deflate, the message is compressed."""
        self.handler = Recorder()
        started = self.start(self.handler, compression="deflate")
        self.peer.answer(Sec_WebSocket_Extensions="permessage-deflate")
        self.step()
        self.client = self.successResultOf(started)
        self.send(Text, ["same words "] * 3)
        [(first, payload)] = self.frames()
        self.assertEqual(first, 0xC1)
        self.assertLess(len(payload), 30)

    def test_reports(self) -> None:
        """Each part is traced and reported to observers; keepalive pings go on."""
        seen: list[Any] = []
        telemetry.attach(
            self, "wsx.frame.sent", lambda _, __, metadata, ___: seen.append(metadata["frame"])
        )
        self.addCleanup(telemetry.detach, self)
        self.begin(debug=["log"], ping_interval=5.0)
        self.send_slowly("a", "b")
        self.pass_time(5)
        self.feeder.feed(None)
        self.assertEqual(seen[:2], [Text("a"), Text("b")])
        self.assertIsInstance(seen[2], Ping)
        events = [event for _, event in self.client.sys.log("get") or ()]
        self.assertEqual(
            events[-2:], ["sending fragment: Text('a')", "sending fragment: Text('b')"]
        )


class BackpressureTests(FragmentsCase):
    """A full write buffer."""

    def test_waits_after_each_part(self) -> None:
        """The next part is not taken before the write buffer has drained."""
        taken: list[int] = []

        def parts() -> Iterator[bytes]:
            for number in range(4):
                taken.append(number)
                yield b"x"

        self.begin()
        self.peer.buffer.pauseProducing()
        sent = self.send(Binary, parts())
        self.assertEqual(taken, [0])
        write = self.peer.transport.write

        def write_and_fill(data: bytes) -> None:
            write(data)
            self.fill()

        self.patch(self.peer.transport, "write", write_and_fill)
        for number in range(1, 4):
            self.peer.buffer.resumeProducing()
            self.assertEqual(taken, list(range(number + 1)))
        self.assertNoResult(sent)
        self.peer.buffer.resumeProducing()
        self.assertNoResult(sent)  # The last frame has filled the write buffer again.
        self.peer.buffer.resumeProducing()
        self.successResultOf(sent)
        self.assertEqual(join_fragments(self.frames()), [(2, b"xxxx")])

    def fill(self) -> None:
        """Report a full write buffer."""
        self.peer.buffer.pauseProducing()

    def test_timeout(self) -> None:
        """If the write buffer does not drain in time, the message cannot be completed."""
        self.begin()
        self.fill()
        sent = self.send(Binary, [b"x", b"y"], timeout=5.0)
        self.pass_time(4.5)
        self.assertEqual(self.client.status, "open")
        self.pass_time(0.5)
        self.failureResultOf(sent, wsx.SendTimeout)
        self.assertEqual(self.client.status, "closing")

    def test_timeout_after_the_last_part(self) -> None:
        """After the last frame, the time limit does not end the connection."""
        self.begin()
        self.fill()
        sent = self.send(Text, [], timeout=5.0)
        self.pass_time(5)
        self.failureResultOf(sent, wsx.SendTimeout)
        self.assertEqual((self.client.status, self.frames()), ("open", [(0x81, b"")]))

    def test_no_limit(self) -> None:
        """Without a time limit, a slow server may take as long as it needs."""
        self.begin()
        self.fill()
        sent = self.send(Binary, [b"x", b"y"])
        self.pass_time(300)
        self.assertNoResult(sent)
        self.peer.buffer.resumeProducing()
        self.successResultOf(sent)

    def test_reactor_runs(self) -> None:
        """Many small parts do not block the reactor: they are sent in several iterations."""

        def parts() -> Iterator[bytes]:
            for _ in range(100):
                self.clock.rightNow += 0.001
                yield b"x"

        self.begin()
        sent = self.send(Binary, parts())
        self.assertNoResult(sent)
        self.assertLess(len(self.frames()), 20)
        for _ in range(10):
            self.step()
        self.successResultOf(sent)


class InterleavingTests(FragmentsCase):
    """Other frames while a message is being sent."""

    def test_control_frames(self) -> None:
        """Pings and pongs are sent between two fragments."""
        self.begin(Recorder(handle_ping=lambda frame, state: Reply(Pong(frame.payload), state)))
        self.send_slowly("a")
        self.successResultOf(self.client.send_frame(Ping(b"p")))
        self.peer.send(server_frame(9, b"q"))
        self.step()
        self.feeder.feed("b", None)
        self.assertEqual(
            self.frames(),
            [(0x01, b"a"), (0x89, b"p"), (0x8A, b"q"), (0x00, b"b"), (0x80, b"")],
        )

    def test_send_frame_waits(self) -> None:
        """Other messages wait until the last fragment was sent, and keep their order."""
        self.begin()
        message = self.send_slowly("a")
        sent = [self.client.send_frame(Text(word)) for word in ("one", "two")]
        self.client.cast("x")
        self.handler.answers["handle_cast"] = lambda *_: Reply([Pong(b""), Text("three")], None)
        self.step()
        sent.append(self.client.send_frame(Binary(b"four")))
        for each_sent in sent:
            self.assertNoResult(each_sent)
        self.feeder.feed("b", None)
        messages = join_fragments(self.frames())
        self.assertEqual(
            messages,
            [(1, b"ab"), (1, b"one"), (1, b"two"), (10, b""), (1, b"three"), (2, b"four")],
        )
        for each_sent in (message, *sent):
            self.successResultOf(each_sent)

    def test_order_of_several_messages(self) -> None:
        """What waits behind a second message waits for it, too."""
        self.begin()
        feeders = [Feeder(), Feeder()]
        sent = [self.send(Text, feeder.parts()) for feeder in feeders]
        frame = self.client.send_frame(Text("last"))
        feeders[0].feed("a", None)
        self.successResultOf(sent[0])
        self.assertNoResult(frame)
        feeders[1].feed("b", None)
        self.successResultOf(frame)
        messages = join_fragments(self.frames())
        self.assertEqual(messages, [(1, b"a"), (1, b"b"), (1, b"last")])

    def test_invalid_frame(self) -> None:
        """A frame that cannot be sent fails at once, and affects only the caller."""
        self.begin()
        self.send_slowly("a")
        wrong: Any = "x"
        self.failureResultOf(self.client.send_frame(wrong), wsx.InvalidFrameError)
        self.failureResultOf(self.client.send_frame(Ping(b"x" * 126)), wsx.FrameEncodeError)
        self.assertEqual(self.client.status, "open")

    def test_invalid_reply(self) -> None:
        """An invalid reply closes the connection at once, as usual."""
        self.begin(Recorder(handle_cast=lambda *_: Reply("x", None)))  # type: ignore[arg-type]
        self.send_slowly("a")
        self.client.cast("x")
        self.step()
        self.assertEqual(self.client.status, "closing")

    def test_timeout_of_send_frame(self) -> None:
        """The time limit of ``send_frame`` includes the wait; the frame keeps its place."""
        self.begin()
        self.send_slowly("a")
        sent = self.client.send_frame(Text("late"), timeout=5.0)
        self.pass_time(5)
        error = self.failureResultOf(sent, wsx.SendTimeout).value
        self.assertEqual(
            str(error),
            "send_frame timed out after 5 s: a message before it is still being sent in fragments; "
            "the frame may still be sent",
        )
        self.feeder.feed(None)
        self.assertEqual(join_fragments(self.frames()), [(1, b"a"), (1, b"late")])

    def test_replies_are_limited(self) -> None:
        """If 64 KiB of replies to messages wait, no more messages are delivered until the end."""
        self.begin(Recorder(handle_frame=lambda frame, state: Reply(frame, state)))
        self.send_slowly("a")
        for _ in range(10):
            self.peer.send(text("x" * 30_000))
            self.step()
        self.assertEqual(len(self.handler.arguments("handle_frame")), 3)
        self.feeder.feed(None)
        for _ in range(3):
            self.step()
        self.assertEqual(len(self.handler.arguments("handle_frame")), 10)
        self.assertEqual(len(join_fragments(self.frames())), 11)

    def test_request(self) -> None:
        """A request waits as well; its time limit runs meanwhile."""

        class Api(wsx.Requests, Recorder):
            def reply_key(self, frame: Any) -> Any:
                return frame.payload

        self.begin(Api())
        self.send_slowly("a")
        answer = self.client.request(Text("r"), key="r")
        self.feeder.feed(None)
        self.assertEqual(join_fragments(self.frames()), [(1, b"a"), (1, b"r")])
        self.peer.send(text("r"))
        self.successResultOf(answer)


class FailureTests(FragmentsCase):
    """Messages that cannot be completed."""

    def assert_incomplete(self, sent: Deferred[None], kind: type[BaseException]) -> None:
        """Assert that the message has failed and the connection was closed with 1011."""
        self.assertEqual(self.client.status, "closing")
        *_, (first, payload) = self.frames()
        self.assertEqual(first, 0x88)
        self.assertEqual((payload[:2], payload[2:].decode()), (b"\x03\xf3", MESSAGE))
        self.assertEqual(int.from_bytes(payload[:2], "big"), INTERNAL_ERROR)
        error = self.failureResultOf(sent, kind).value
        self.lose()
        [reason] = reasons(self.handler)
        self.assertIsInstance(reason, IncompleteMessageError)
        self.assertIs(type(reason.original), type(error))
        self.assert_ended(self.client, reason)

    def test_raises(self) -> None:
        """If the iterable raises, its exception fails the Deferred."""

        def parts() -> Iterator[str]:
            yield "a"
            raise Boom("no more")

        self.begin()
        self.assert_incomplete(self.send(Text, parts()), Boom)

    def test_async_raises(self) -> None:
        """The same for an async iterable."""
        self.begin()
        sent = self.send_slowly("a")
        self.feeder.fail(Boom("no more"))
        self.assert_incomplete(sent, Boom)

    @each([("int", 5, wsx.InvalidFrameError), ("utf8", b"\xff", wsx.FrameEncodeError)])
    def test_wrong_part(self, _: str, part: Any, kind: type[Exception]) -> None:
        """A part that cannot be sent; the generator is closed."""
        self.begin()
        sent = self.send_slowly("a", part)
        self.assertTrue(self.feeder.closed)
        self.assert_incomplete(sent, kind)

    def test_incomplete_code_point(self) -> None:
        """A Text that ends within a code point."""
        self.begin()
        self.assert_incomplete(self.send(Text, ["a", b"\xe2\x82"]), wsx.FrameEncodeError)

    def test_cancel(self) -> None:
        """Cancelling the Deferred within the message."""
        self.begin()
        sent = self.send_slowly("a")
        sent.cancel()
        self.assert_incomplete(sent, CancelledError)
        self.assertTrue(self.feeder.closed)

    def test_nothing_sent(self) -> None:
        """If nothing was sent yet, only the caller is affected; what waits is sent."""
        for fail in (
            lambda sent: self.feeder.fail(Boom("at once")),
            lambda sent: self.feeder.feed(5),
            lambda sent: sent.cancel(),
        ):
            self.begin()
            sent = self.send_slowly()
            frame = self.client.send_frame(Text("next"))
            fail(sent)
            self.step()
            self.failureResultOf(sent)
            self.successResultOf(frame)
            self.assertEqual(self.frames(), [(0x81, b"next")])
            self.assertTrue(self.feeder.closed)
            self.assertEqual(self.client.status, "open")

    def test_cancelled_while_it_waits(self) -> None:
        """A message that waits for another one can be cancelled."""
        self.begin()
        self.send_slowly("a")
        waiting = self.send(Text, ["never"])
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.feeder.feed(None)
        self.assertEqual(join_fragments(self.frames()), [(1, b"a")])

    def test_next_connection(self) -> None:
        """After a reconnect, frames are sent as usual."""
        self.begin(reconnecting())
        sent = self.send_slowly("a")
        self.feeder.fail(Boom("no more"))
        self.failureResultOf(sent, Boom)
        held = self.client.send_frame(Text("b"))
        self.failureResultOf(held, wsx.NotConnectedError)
        self.come_back()
        self.successResultOf(self.client.send_frame(Text("c")))
        self.assertEqual(self.frames(), [(0x81, b"c")])

    @each(
        [
            ("drop", lambda test: test.peer.drop()),
            ("server_close", lambda test: test.peer.send(close(1000))),
            ("close", lambda test: test.client.close()),
            ("stop", lambda test: test.client.stop()),
            ("abort", lambda test: test.client.abort()),
        ]
    )
    def test_end(self, _: str, end: Any) -> None:
        """If the connection ends within a message, all that waits fails with ConnError."""
        self.begin()
        message = self.send_slowly("a")
        waiting = [self.client.send_frame(Text("b")), self.send(Text, ["c"])]
        end(self)
        self.step()
        self.lose()
        for sent in (message, *waiting):
            self.failureResultOf(sent, wsx.ConnError)
        self.assertTrue(self.feeder.closed)
        self.assertEqual(self.successResultOf(self.client.terminated()), self.end_reason())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def end_reason(self) -> Any:
        """Return the reason with which the client ended."""
        return self.successResultOf(self.client.terminated())

    def test_closed_by_the_iterable(self) -> None:
        """The iterable itself may close the connection."""

        def parts() -> Iterator[str]:
            yield "a"
            self.client.close(4000)
            yield "b"

        self.begin()
        sent = self.send(Text, parts())
        frames = self.frames()
        self.assertEqual([first for first, _ in frames], [0x01, 0x88])
        self.lose()
        self.failureResultOf(sent, wsx.ConnError)

    def test_failure_after_the_end(self) -> None:
        """An iterable that fails after the connection has ended is logged."""

        async def parts() -> AsyncIterator[str]:
            yield "a"
            try:
                await Deferred()
            except CancelledError:
                raise Boom("in the cleanup") from None

        self.begin()
        sent = self.send(Text, parts())
        self.lose()
        self.failureResultOf(sent, wsx.ConnError)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)


class RefusedTests(FragmentsCase):
    """Wrong arguments."""

    def test_kind(self) -> None:
        """The kind is Text or Binary."""
        self.begin()
        for kind in (Ping, "text", None, Text("x")):
            with case(kind):
                error = self.failureResultOf(self.send(kind, []), TypeError).value
                self.assertIn("kind: expected wsx.Text or wsx.Binary", str(error))

    def test_parts(self) -> None:
        """A str or bytes is no iterable of parts, although Python can iterate over it."""
        self.begin()
        for parts in ("abc", b"abc", bytearray(b"abc"), 5, None):
            with case(parts):
                error = self.failureResultOf(self.send(Text, parts), TypeError).value
                self.assertIn("parts: expected an iterable or async iterable", str(error))
        self.assertEqual(self.frames(), [])

    def test_timeout(self) -> None:
        """The timeout is at least 0, or None."""
        self.begin()
        for timeout in (-1, "x"):
            error = self.failureResultOf(self.send(Text, [], timeout=timeout), ValueError).value
            self.assertIn("timeout: expected a number of at least 0 or None, got ", str(error))

    def test_not_connected(self) -> None:
        """Without an open connection, nothing is taken from the iterable."""
        self.begin(reconnecting())
        self.lose()
        parts = iter(["a"])
        self.failureResultOf(self.send(Text, parts), wsx.NotConnectedError)
        self.assertEqual(list(parts), ["a"])


class RandomTests(FragmentsCase):
    """Random order of everything that sends."""

    @each(tuple(range(20)))
    def test_order(self, seed: int) -> None:
        """The server sees complete messages, in the order of the calls."""
        chance = random.Random(seed)
        self.begin(Recorder(handle_cast=lambda word, state: Reply(Text(word), state)))
        expected: list[bytes] = []
        feeders: list[Feeder] = []
        buffer_full = False
        data = b""
        for number in range(120):
            word = f"m{number}"
            action = chance.choice(("frame", "cast", "ping", "begin", "feed", "end", "buffer"))
            if action == "frame":
                self.client.send_frame(Text(word)).addErrback(lambda _: None)
                expected.append(word.encode())
            elif action == "cast":
                self.client.cast(word)
                self.step()
                expected.append(word.encode())
            elif action == "ping":
                self.client.send_frame(Ping(word.encode())).addErrback(lambda _: None)
            elif action == "begin":
                feeders.append(Feeder())
                self.send(Text, feeders[-1].parts()).addErrback(lambda _: None)
                feeders[-1].feed(word)
                expected.append(word.encode())
            elif action == "end" and feeders:
                feeders.pop(0).feed(None)
            elif action == "buffer":
                buffer_full = not buffer_full
                buffer = self.peer.buffer
                (buffer.pauseProducing if buffer_full else buffer.resumeProducing)()
            self.step()
            data += self.peer.transport.value()
            self.peer.transport.clear()
        if buffer_full:
            self.peer.buffer.resumeProducing()
        for feeder in feeders:
            feeder.feed(None)
            self.step()
        data += self.peer.transport.value()
        messages = [payload for kind, payload in join_fragments(read_fragments(data)) if kind < 8]
        self.assertEqual(messages, expected)
