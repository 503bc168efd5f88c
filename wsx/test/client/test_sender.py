"""Tests of sending: ``send_frame``, replies, keepalive pings, and the full write buffer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._client.sender import Sender
from wsx._scheduler import scheduler_for
from wsx._wire.encoder import encode_frame
from wsx.errors import ConnError, FrameEncodeError, InvalidFrameError, SendTimeout
from wsx.frames import Frame, Ping, Pong, Text
from wsx.test.support.each import each

LIMIT = 65536
BIG = Text("x" * LIMIT)
SHORT_SIZE = 7  # bytes of Text("a") on the wire: header, masking key, payload
BIG_SIZE = 14 + LIMIT


class FakeConnection:
    """Records the frames that are sent.

    Attributes:
        writable: Whether the write buffer is below its high-water mark.
        capacity: Bytes that can be written before the write buffer is full; None for no limit.
        written: The frames that were passed to the transport.
        writes: The number of writes.
    """

    def __init__(self) -> None:
        self.writable = True
        self.capacity: int | None = None
        self.written: list[Any] = []
        self.writes: list[str] = []
        self.buffered = 0
        self._buffer: list[Any] = []

    def buffer(self, frames: list[Any]) -> None:
        encoded = [encode_frame(frame) for frame in frames]
        self._buffer += frames
        self.buffered += sum(map(len, encoded))

    def buffer_one(self, frame: Any) -> None:
        self.buffer([frame])

    def send(self, frame: Any) -> None:
        self.buffer([frame])
        self._write("send")

    def flush(self) -> None:
        self._write("flush")

    def flush_now(self) -> None:
        self._write("flush_now")

    def _write(self, how: str) -> None:
        if not self._buffer:
            return
        if self.capacity is not None:
            self.capacity -= self.buffered
            if self.capacity <= 0:
                self.writable = False
        self.written += self._buffer
        self.writes.append(how)
        self._buffer = []
        self.buffered = 0


class FakeReporter:
    """Records reports, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.tracing = SimpleNamespace(active=True)

    def sent(self, frame: Any, traced: bool = True) -> None:
        self.calls.append(("sent", frame, traced))

    def replied(self, callback: str, frames: Any) -> None:
        self.calls.append(("replied", callback, list(frames)))

    def reply_dropped(self, callback: str) -> None:
        self.calls.append(("reply_dropped", callback))


class SenderCase(SynchronousTestCase):
    """A sender with an open connection."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fake_reporter = FakeReporter()
        self.waits: list[int] = []
        self.incomplete: list[Exception] = []
        reporter: Any = self.fake_reporter
        self.sender = Sender(
            scheduler_for(self.clock), reporter, self.waits.append, self.incomplete.append
        )
        self.connection = self.connect()

    def connect(self) -> FakeConnection:
        """Open a connection."""
        connection: Any = FakeConnection()
        self.sender.opened(connection)
        return connection

    @property
    def written(self) -> list[Frame]:
        """The frames that were passed to the transport."""
        return self.connection.written

    @property
    def reported(self) -> list[tuple[Any, ...]]:
        """The reports so far."""
        return self.fake_reporter.calls

    def reply(self, *frames: Any, callback: str = "handle_frame") -> None:
        """Reply with frames."""
        self.sender.reply(callback, list(frames))

    def send(
        self, frame: Any, timeout: float | None = 5.0, in_callback: bool = False
    ) -> Deferred[None]:
        """Send a frame."""
        return self.sender.send(frame, timeout, in_callback)

    def drain(self) -> None:
        """Drain the write buffer."""
        self.connection.writable = True
        self.connection.capacity = None
        self.sender.drained()


class SendTests(SenderCase):
    """``send``."""

    def test_written_at_once(self) -> None:
        """Outside of a callback, a frame is written at once, and the Deferred fires with None."""
        self.assertIsNone(self.successResultOf(self.send(Text("x"))))
        self.assertEqual(self.written, [Text("x")])
        self.assertEqual(self.reported, [("sent", Text("x"), True)])

    def test_in_a_callback(self) -> None:
        """In a callback, frames are written together by ``flush``."""
        for payload in "abc":
            self.successResultOf(self.send(Text(payload), in_callback=True))
        self.assertEqual(self.written, [])
        self.sender.flush()
        self.assertEqual(self.written, [Text("a"), Text("b"), Text("c")])
        self.assertEqual(self.connection.writes, ["flush_now"])
        self.assertEqual(len(self.reported), 3)

    def test_many_in_a_callback(self) -> None:
        """In a callback, more than 64 KiB are written before ``flush``."""
        self.send(Text("a"), in_callback=True)
        self.assertEqual(self.written, [])
        self.send(BIG, in_callback=True)
        self.assertEqual(self.written, [Text("a"), BIG])

    def test_invalid(self) -> None:
        """The Deferred fails for an object that is not a frame; nothing is sent or reported."""
        for in_callback in (False, True):
            self.failureResultOf(self.send("x", in_callback=in_callback), InvalidFrameError)
            frame = Ping(b"x" * 126)
            self.failureResultOf(self.send(frame, in_callback=in_callback), FrameEncodeError)
        self.sender.flush()
        self.assertEqual((self.written, self.reported), ([], []))

    def test_full(self) -> None:
        """If the write buffer is full, the Deferred fires after it has drained."""
        self.connection.writable = False
        sent = self.send(Text("x"))
        self.assertEqual(self.written, [Text("x")])
        self.assertNoResult(sent)
        self.drain()
        self.assertIsNone(self.successResultOf(sent))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """If the write buffer stays full, the Deferred fails after the timeout."""
        self.connection.writable = False
        sent = self.send(Text("x"), timeout=3.0)
        self.clock.advance(2.875)
        self.assertNoResult(sent)
        self.clock.advance(0.125)
        self.failureResultOf(sent, SendTimeout)

    def test_no_timeout(self) -> None:
        """With a timeout of None the Deferred waits without a limit."""
        self.connection.writable = False
        sent = self.send(Text("x"), timeout=None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(sent)
        self.drain()
        self.successResultOf(sent)

    def test_lost(self) -> None:
        """If the connection is lost, waiting Deferreds fail with the error."""
        self.connection.writable = False
        sent = self.send(Text("x"))
        error = ConnError(ConnectionLost())
        self.sender.closing()
        self.assertNoResult(sent)
        self.sender.lost(error)
        self.assertIs(self.failureResultOf(sent, ConnError).value, error)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReplyTests(SenderCase):
    """``reply`` and ``flush``."""

    def test_flush(self) -> None:
        """Replies are written together by ``flush``, in order."""
        self.reply(Text("a"), Ping(b"b"))
        self.reply(Text("c"))
        self.assertEqual(self.written, [])
        self.sender.flush()
        self.assertEqual(self.written, [Text("a"), Ping(b"b"), Text("c")])
        self.assertEqual(self.connection.writes, ["flush_now"])

    def test_reported(self) -> None:
        """Replies are reported with the callback."""
        self.reply(Text("a"), Text("b"), callback="handle_cast")
        self.assertEqual(self.reported, [("replied", "handle_cast", [Text("a"), Text("b")])])

    def test_nothing_to_flush(self) -> None:
        """``flush`` without replies writes nothing."""
        self.sender.flush()
        self.assertEqual(self.connection.writes, [])

    def test_many(self) -> None:
        """Replies beyond 64 KiB are flushed at once."""
        half = Text("x" * (LIMIT // 2))
        self.reply(half)
        self.assertEqual(self.written, [])
        self.reply(half)
        self.assertEqual(self.written, [half, half])
        self.assertEqual(self.connection.writes, ["flush"])
        self.reply(Text("a"))
        self.assertEqual(self.written, [half, half])
        self.sender.flush()
        self.assertEqual(self.written, [half, half, Text("a")])

    def test_one_big(self) -> None:
        """One reply of more than 64 KiB is flushed at once, behind earlier ones."""
        self.reply(Text("a"))
        self.reply(BIG)
        self.assertEqual(self.written, [Text("a"), BIG])

    def test_just_below(self) -> None:
        """Replies of less than 64 KiB in total wait for ``flush``."""
        frame = Text("x" * (LIMIT - 1000))
        self.reply(frame)
        self.assertEqual(self.written, [])

    def test_invalid(self) -> None:
        """An invalid reply raises; none of the callback's replies is sent or reported."""
        self.assertRaises(InvalidFrameError, self.reply, Text("a"), "x")
        self.assertRaises(FrameEncodeError, self.reply, Text("a"), Ping(b"x" * 126))
        self.sender.flush()
        self.assertEqual((self.written, self.reported), ([], []))

    def test_no_replies(self) -> None:
        """An empty list of replies sends nothing."""
        self.reply()
        self.sender.flush()
        self.assertEqual(self.written, [])


class FullTests(SenderCase):
    """Replies while the write buffer is full."""

    def test_not_full(self) -> None:
        """``replies_wait`` is not called while the write buffer is not full."""
        self.reply(Text("x"))
        self.sender.flush()
        self.reply(BIG)
        self.sender.flush()
        self.assertEqual(self.waits, [])

    def test_after_flush(self) -> None:
        """If replies fill the write buffer, ``replies_wait`` is called once, with their size."""
        self.connection.capacity = 1
        self.reply(Text("a"))
        self.reply(Text("b"))
        self.assertEqual(self.waits, [])
        self.sender.flush()
        self.assertEqual(self.waits, [2 * SHORT_SIZE])
        self.sender.flush()
        self.assertEqual(self.waits, [2 * SHORT_SIZE])

    def test_at_once(self) -> None:
        """If replies beyond 64 KiB fill the buffer, ``replies_wait`` is called before flush."""
        self.connection.capacity = 1
        self.reply(BIG)
        self.assertEqual(self.waits, [BIG_SIZE])
        self.sender.flush()
        self.assertEqual(self.waits, [BIG_SIZE])

    def test_drained(self) -> None:
        """``replies_wait(0)`` is called once after the write buffer has drained."""
        self.connection.capacity = 1
        self.reply(Text("a"))
        self.sender.flush()
        self.drain()
        self.assertEqual(self.waits, [SHORT_SIZE, 0])
        self.drain()
        self.assertEqual(self.waits, [SHORT_SIZE, 0])

    def test_further_replies(self) -> None:
        """Further replies while the buffer is full are written, each with another call."""
        self.connection.writable = False
        for payload in ("a", "bb", "ccc"):
            self.reply(Text(payload))
            self.sender.flush()
        self.assertEqual(self.written, [Text("a"), Text("bb"), Text("ccc")])
        self.assertEqual(self.waits, [SHORT_SIZE, SHORT_SIZE + 1, SHORT_SIZE + 2])
        self.drain()
        self.assertEqual(self.waits[3:], [0])

    @each(("handle_frame", "handle_ping", "handle_pong"))
    def test_replies_to_frames(self, callback: str) -> None:
        """Replies of each callback that receives a frame call ``replies_wait``."""
        self.connection.capacity = 1
        self.reply(Text("a"), callback=callback)
        self.sender.flush()
        self.assertEqual(self.waits, [SHORT_SIZE])

    @each(("handle_cast", "handle_info", "handle_connect"))
    def test_replies_to_messages(self, callback: str) -> None:
        """Replies of other callbacks are written, and do not call ``replies_wait``."""
        self.connection.writable = False
        self.reply(Text("a"), callback=callback)
        self.sender.flush()
        self.reply(BIG, callback=callback)
        self.drain()
        self.assertEqual(self.written, [Text("a"), BIG])
        self.assertEqual(self.waits, [])

    @each((("handle_frame", "handle_cast"), ("handle_cast", "handle_frame")))
    def test_replies_to_frames_and_messages(self, first: str, second: str) -> None:
        """One reply to a frame is enough to call ``replies_wait``, with the size of the batch."""
        self.connection.capacity = 1
        self.reply(Text("a"), callback=first)
        self.reply(Text("b"), callback=second)
        self.sender.flush()
        self.assertEqual(self.waits, [2 * SHORT_SIZE])

    def test_full_again(self) -> None:
        """``replies_wait`` is called again if the buffer is full again."""
        for _ in range(3):
            self.connection.capacity = 1
            self.reply(Text("a"))
            self.sender.flush()
            self.drain()
        self.assertEqual(self.waits, [SHORT_SIZE, 0] * 3)

    def test_send_alone(self) -> None:
        """A full write buffer without a reply does not call ``replies_wait``."""
        self.connection.capacity = 1
        self.send(Text("a"))
        self.send(Text("b"), in_callback=True)
        self.send(BIG, in_callback=True)
        self.sender.flush()
        self.assertFalse(self.connection.writable)
        self.drain()
        self.assertEqual(self.waits, [])

    def test_send_after_a_reply(self) -> None:
        """A buffer that is filled by ``send`` does not call ``replies_wait`` for an old reply."""
        self.reply(Text("a"))
        self.sender.flush()
        self.connection.capacity = 1
        self.send(Text("b"))
        self.sender.flush()
        self.assertEqual(self.waits, [])

    def test_send_after_a_big_reply(self) -> None:
        """``send`` does not call ``replies_wait`` after a big reply that was flushed at once."""
        self.reply(BIG)
        self.sender.flush()
        self.connection.capacity = 1
        self.send(Text("b"), in_callback=True)
        self.sender.flush()
        self.assertFalse(self.connection.writable)
        self.assertEqual(self.waits, [])

    def test_reply_and_big_send(self) -> None:
        """``replies_wait`` is called if ``send`` in the same batch flushes the reply."""
        self.connection.capacity = 1
        self.reply(Text("a"))
        self.send(BIG, in_callback=True)
        self.sender.flush()
        self.assertEqual(self.waits, [SHORT_SIZE + BIG_SIZE])

    def test_drained_without_replies(self) -> None:
        """``replies_wait(0)`` is not called if no replies wait."""
        self.connection.writable = False
        self.drain()
        self.assertEqual(self.waits, [])

    def test_order(self) -> None:
        """Deferreds of ``send`` fire after ``replies_wait(0)``."""
        self.connection.capacity = 1
        self.reply(Text("a"))
        self.sender.flush()
        sent = self.send(Text("b"))
        found: list[list[int]] = []
        sent.addCallback(lambda _: found.append(self.waits[:]))
        self.drain()
        self.assertEqual(found, [[SHORT_SIZE, 0]])


class PongTests(SenderCase):
    """Replies that are pongs."""

    def pong(self, payload: bytes) -> None:
        """Reply to a ping as ``handle_ping`` does."""
        self.reply(Pong(payload), callback="handle_ping")

    def test_not_full(self) -> None:
        """While the write buffer is not full, every pong is sent."""
        self.pong(b"1")
        self.pong(b"2")
        self.sender.flush()
        self.assertEqual(self.written, [Pong(b"1"), Pong(b"2")])

    def test_full(self) -> None:
        """While the write buffer is full, only the latest pong is kept; it is sent afterwards."""
        self.connection.writable = False
        for payload in (b"1", b"2", b"3"):
            self.pong(payload)
            self.sender.flush()
        self.assertEqual((self.written, self.reported), ([], []))
        self.drain()
        self.assertEqual(self.written, [Pong(b"3")])
        self.assertEqual(self.reported, [("replied", "handle_ping", [Pong(b"3")])])
        self.drain()
        self.assertEqual(self.written, [Pong(b"3")])

    def test_several_in_one_reply(self) -> None:
        """Of several pongs in one reply, the last one is kept."""
        self.connection.writable = False
        self.reply(Pong(b"1"), Pong(b"2"))
        self.drain()
        self.assertEqual(self.written, [Pong(b"2")])

    def test_with_other_frames(self) -> None:
        """A reply with other frames is sent as a whole."""
        self.connection.writable = False
        self.reply(Pong(b"1"), Text("x"))
        self.sender.flush()
        self.assertEqual(self.written, [Pong(b"1"), Text("x")])

    def test_invalid(self) -> None:
        """A pong that cannot be encoded raises when it is returned; the one before it is kept."""
        self.connection.writable = False
        self.pong(b"1")
        self.assertRaises(FrameEncodeError, self.pong, b"x" * 126)
        self.assertRaises(FrameEncodeError, self.reply, Pong(b"x" * 126), Pong(b"2"))
        self.drain()
        self.assertEqual(self.written, [Pong(b"1")])

    def test_does_not_wait(self) -> None:
        """A pong that is kept does not call ``replies_wait``."""
        self.connection.writable = False
        self.pong(b"1")
        self.sender.flush()
        self.assertEqual(self.waits, [])

    def test_next_connection(self) -> None:
        """A pong is not sent on the next connection."""
        self.connection.writable = False
        self.pong(b"1")
        self.sender.closing()
        self.sender.lost(ConnError(ConnectionLost()))
        self.connection = self.connect()
        self.drain()
        self.assertEqual(self.written, [])


class PingTests(SenderCase):
    """Keepalive pings."""

    def test_sent_at_once(self) -> None:
        """A keepalive ping is written at once, and reported without a trace line."""
        self.sender.ping(b"payload")
        self.assertEqual(self.written, [Ping(b"payload")])
        self.assertEqual(self.reported, [("sent", Ping(b"payload"), False)])

    def test_after_buffered_frames(self) -> None:
        """A keepalive ping does not overtake replies."""
        self.reply(Text("a"))
        self.sender.ping(b"")
        self.assertEqual(self.written, [Text("a"), Ping(b"")])


class ClosingTests(SenderCase):
    """Nothing is sent after ``closing``."""

    def test_nothing_is_sent(self) -> None:
        """Replies, pings and flushes after ``closing`` write nothing."""
        self.sender.closing()
        self.reply(Text("x"))
        self.sender.ping(b"")
        self.sender.flush()
        self.sender.drained()
        self.assertEqual(self.written, [])

    def test_dropped_reply_is_reported(self) -> None:
        """A reply after ``closing`` is reported as dropped."""
        self.sender.closing()
        self.reply(Text("x"), callback="handle_cast")
        self.assertEqual(self.reported, [("reply_dropped", "handle_cast")])

    def test_ping_is_not_reported(self) -> None:
        """A keepalive ping after ``closing`` is not reported."""
        self.sender.closing()
        self.sender.ping(b"")
        self.assertEqual(self.reported, [])

    def test_buffered_replies(self) -> None:
        """Replies before ``closing`` are left for the close frame to flush."""
        self.reply(Text("x"))
        self.sender.closing()
        self.assertEqual(self.written, [])
        self.connection.flush()
        self.assertEqual(self.written, [Text("x")])

    def test_kept_pong(self) -> None:
        """A pong that was kept is not sent after ``closing``."""
        self.connection.writable = False
        self.reply(Pong(b"1"), callback="handle_ping")
        self.sender.closing()
        self.drain()
        self.assertEqual(self.written, [])

    def test_waiting_replies(self) -> None:
        """``closing`` calls ``replies_wait(0)`` if replies wait, once."""
        self.connection.capacity = 1
        self.reply(Text("x"))
        self.sender.flush()
        self.sender.closing()
        self.assertEqual(self.waits, [SHORT_SIZE, 0])
        self.sender.drained()
        self.assertEqual(self.waits, [SHORT_SIZE, 0])

    def test_no_waiting_replies(self) -> None:
        """``closing`` does not call ``replies_wait`` if no replies wait."""
        self.sender.closing()
        self.assertEqual(self.waits, [])

    def test_drained_while_closing(self) -> None:
        """A Deferred of ``send`` fires if the write buffer drains while closing."""
        self.connection.writable = False
        sent = self.send(Text("x"))
        self.sender.closing()
        self.drain()
        self.successResultOf(sent)

    def test_next_connection(self) -> None:
        """The next connection starts without waiting replies."""
        self.connection.capacity = 1
        self.reply(Text("x"))
        self.sender.flush()
        self.sender.closing()
        self.connection = self.connect()
        self.sender.flush()
        self.assertEqual(self.waits, [SHORT_SIZE, 0])
        self.reply(Text("y"))
        self.sender.flush()
        self.assertEqual(self.written, [Text("y")])
        self.assertEqual(self.waits, [SHORT_SIZE, 0])
