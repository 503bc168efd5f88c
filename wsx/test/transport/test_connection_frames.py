"""Tests of ``wsx._transport.connection``: reading, sending and closing."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SkipTest

import wsx
from wsx import Binary, FrameEncodeError, FrameError, Ping, Pong, Text
from wsx._transport import connection as connection_module
from wsx._transport.connection import Connection
from wsx._wire.encoder import apply_mask, masks
from wsx.test.support import MemoryCase, Recorder, case, close, server_frame, text
from wsx.test.support.connections import DEFLATE, FIN_RSV1, Deflater, ProtocolCase


class OrderTests(ProtocolCase):
    """The order in which the listener is notified."""

    def test_frames_with_the_response(self) -> None:
        """[S19] Frames that arrive in the read of the 101 are received after ``opened``."""
        self.attempt()
        self.peer.answer(text("one") + server_frame(9, b"p") + text("two") + close(1000, "bye"))
        self.assertEqual(
            self.log.events,
            [
                ("opened",),
                ("frame", Text("one")),
                ("frame", Ping(b"p")),
                ("frame", Text("two")),
                ("peer_closed", 1000, "bye"),
            ],
        )

    def test_response_split_inside_a_frame(self) -> None:
        """[S19] A frame that begins in the read of the 101 may be completed by the next read."""
        frame = text("hello")
        self.open(frame[:3])
        self.peer.send(frame[3:])
        self.assertEqual(self.log.events, [("opened",), ("frame", Text("hello"))])

    def test_abort_in_opened(self) -> None:
        """A listener that aborts the connection in ``opened`` receives no frames."""
        self.log.on_opened = lambda connection: connection.abort()
        self.open(text("one"))
        self.clock.advance(0)
        self.assertEqual(self.log.names, ["opened", "closed"])

    def test_closing_in_opened(self) -> None:
        """A listener that closes in ``opened`` receives the frames of that read, and no others."""
        self.log.on_opened = lambda connection: connection.start_closing(1000, "")
        self.open(text("one"))
        self.peer.send(text("two"))
        self.assertEqual(self.log.events, [("opened",), ("frame", Text("one"))])

    def test_closed_comes_once_and_last(self) -> None:
        """``closed`` is called once, at the end of TCP, after the complete frames."""
        self.open()
        self.peer.send(text("one") + text("incomplete")[:4])
        self.peer.drop()
        self.assertEqual(
            self.log.events, [("opened",), ("frame", Text("one")), ("closed", ConnectionDone)]
        )

    def test_pongs(self) -> None:
        """Every pong is a frame, even a reply to a keepalive ping."""
        self.open()
        self.peer.send(server_frame(10, b"token 1") + server_frame(10, b"other"))
        self.assertEqual(self.log.frames, [Pong(b"token 1"), Pong(b"other")])

    def test_buffers_are_fresh(self) -> None:
        """[F14] An incomplete frame of one connection does not affect the next connection."""
        self.open()
        self.peer.send(text("lost")[:3])
        self.peer.drop()
        self.open(text("new"))
        self.assertEqual(self.log.frames, [Text("new")])


class CloseTests(ProtocolCase):
    """The closing handshake."""

    def test_codes_that_autobahn_refuses(self) -> None:
        """Every close code that may be sent is sent, also 1001 and 1011."""
        for code in (1000, 1001, 1002, 1007, 1009, 1011, 3000, 4999):
            self.open().start_closing(code, "why")
            self.assertEqual(self.peer.received(), [(8, code.to_bytes(2, "big") + b"why")])

    def test_codes_that_may_not_be_sent(self) -> None:
        """[F13] A code or message that must not be sent raises, and changes nothing."""
        connection = self.open()
        for code, message in [(999, ""), (1005, ""), (1006, ""), (5000, ""), (1000, "x" * 124)]:
            with self.assertRaises(FrameEncodeError, msg=code):
                connection.start_closing(code, message)
        self.peer.send(text("still open"))
        self.assertEqual((self.peer.received(), self.log.frames), ([], [Text("still open")]))

    def test_second_close_frame_is_not_sent(self) -> None:
        """Only one close frame is sent (RFC 6455 section 5.5.1)."""
        connection = self.open()
        connection.start_closing(1000, "")
        connection.start_closing(1001, "")
        connection.answer_close(1000)
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe8")])

    def test_reply(self) -> None:
        """[D1] The reply to the server's close frame has the same code, or none."""
        for code, answer in [(1000, b"\x03\xe8"), (4000, b"\x0f\xa0"), (1005, b"")]:
            connection = self.open(close(None if code == 1005 else code))
            self.assertEqual(self.log.events[-1], ("peer_closed", code, ""))
            connection.answer_close(code)
            self.assertEqual(self.peer.received(), [(8, answer)])

    def test_discards_after_the_close_frame(self) -> None:
        """After the close frame was sent, received bytes are discarded; ``closed`` is called."""
        self.open().start_closing(1000, "")
        self.peer.send(text("late") + b"\xff\xff" + close(1000))
        self.peer.drop()
        self.assertEqual(self.log.names, ["opened", "closed"])

    def test_buffered_frames_go_before_the_close_frame(self) -> None:
        """Buffered frames are sent before the close frame."""
        connection = self.open()
        connection.buffer([Text("last words")])
        connection.start_closing(1000, "")
        self.assertEqual(self.peer.received(), [(1, b"last words"), (8, b"\x03\xe8")])

    def test_closing_reads_on(self) -> None:
        """A paused connection resumes reading when it is closed, to notice the end of TCP."""
        for closing in (lambda c: c.start_closing(1000, ""), lambda c: c.answer_close(1000)):
            connection = self.open()
            connection.pause_reading()
            self.assertTrue(self.peer.transport.reading_paused)
            closing(connection)
            self.assertFalse(self.peer.transport.reading_paused)
            connection.pause_reading()
            self.assertFalse(self.peer.transport.reading_paused)


class ReadTests(ProtocolCase):
    """Use of the fast paths for reading in ``wsx._transport.sockets``."""

    def test_asyncio_reads(self) -> None:
        """The connection takes over the reads when TCP is connected, and after each pause."""
        starts: list[object] = []

        class Reads:
            def __init__(self, transport: object) -> None:
                self.transport = transport

            def start(self) -> None:
                starts.append(self.transport)

        self.patch(connection_module, "AsyncioReads", Reads)
        connection = self.open()
        self.assertEqual(starts, [self.peer.transport])
        connection.pause_reading()
        self.assertEqual(len(starts), 1)
        connection.resume_reading()
        self.assertEqual(starts, [self.peer.transport] * 2)

    def test_into_buffer(self) -> None:
        """Reads go into the connection's buffer after the first large read."""
        asked: list[tuple[object, object]] = []
        self.patch(connection_module, "read_into_buffer", lambda *what: asked.append(what))
        connection = self.open(text("little"))
        self.assertEqual(asked, [])
        for _ in range(2):
            self.peer.send(text("x" * 70_000))
        self.assertEqual(asked, [(self.peer.transport, connection)])

    def fill_buffer(self, data: bytes) -> None:
        """Write to the connection's buffer, as a read does."""
        view = self.connection.get_buffer()
        assert view is not None
        with view:
            view[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def begin(self, payload: bytes) -> None:
        """Receive the header of a text message, and the bytes that are checked as they arrive."""
        self.open()
        self.peer.send(server_frame(1, payload)[: 10 + 65537])
        self.assertEqual(self.log.names, ["opened"])

    def test_buffer(self) -> None:
        """A message that is read into the buffer is received when it is complete."""
        self.begin(b"x" * 200_000)
        self.fill_buffer(b"x" * 30_000)
        self.assertEqual(self.log.frames, [])
        self.fill_buffer(b"x" * (200_000 - 65537 - 30_000))
        self.assertTrue(self.log.frames == [Text("x" * 200_000)])

    def test_violation_in_the_buffer(self) -> None:
        """Text in the buffer that is not UTF-8 is a violation."""
        self.begin(b"x" * 200_000)
        self.fill_buffer(b"x" * (200_000 - 65537 - 1) + b"\xff")
        self.assertEqual(self.log.only("violated").close_code, 1007)
        self.assertEqual(self.log.frames, [])

    def test_no_buffer_while_closing(self) -> None:
        """There is no buffer after the close frame was sent."""
        self.begin(b"x" * 200_000)
        self.connection.start_closing(1000, "")
        self.assertIsNone(self.connection.get_buffer())

    def test_no_buffer_before_and_after(self) -> None:
        """There is no buffer before the connection is open, or after its end."""
        self.attempt()
        protocol = self.peer.transport.protocol
        self.assertIsNone(protocol.get_buffer())
        self.begin(b"x" * 200_000)
        self.peer.drop()
        self.assertIsNone(self.connection.get_buffer())


class SendTests(ProtocolCase):
    """Send frames on an open connection."""

    def test_each_kind(self) -> None:
        """[N1] Every kind of frame is sent, in order, in one write."""
        sent = self.send(Text("h\xe9"), Binary(b"\xff"), Ping(b"p"), Pong(), Text(""))
        expected = [(1, "h\xe9".encode()), (2, b"\xff"), (9, b"p"), (10, b""), (1, b"")]
        self.assertEqual(sent, expected)

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_all_are_checked_before_the_first(self) -> None:
        """[F13] If one frame of a list must not be sent, none of the list is."""
        for bad in (Ping(b"x" * 126), Text("\ud800"), Text(b"no str"), "no frame"):  # type: ignore
            with self.assertRaises((FrameEncodeError, wsx.InvalidFrameError), msg=repr(bad)):
                self.connection.buffer([Text("good"), bad])
        self.connection.flush()
        self.assertEqual(self.peer.received(), [])

    def test_write_buffer(self) -> None:
        """``writable`` follows the transport's write buffer."""
        self.assertTrue(self.connection.writable)
        self.peer.buffer.pauseProducing()
        self.assertFalse(self.connection.writable)
        self.peer.buffer.resumeProducing()
        self.assertTrue(self.connection.writable)
        self.assertEqual(self.log.names, ["opened", "writable"])

    def test_reading_is_paused_and_resumed(self) -> None:
        """Reading can be paused and resumed."""
        self.connection.pause_reading()
        self.assertTrue(self.peer.transport.reading_paused)
        self.connection.resume_reading()
        self.assertFalse(self.peer.transport.reading_paused)


class CountingBytes(bytes):
    """Bytes that count how many of them are copied by slicing."""

    copied = 0

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        if isinstance(part, bytes):
            self.copied += len(part)
        return part


class FastPathTests(ProtocolCase):
    """The costs of each frame."""

    def test_many_small_frames_in_one_read(self) -> None:
        """[F3] The bytes of many small frames in one read are copied at most twice."""
        if wsx.compiled:
            raise SkipTest("what compiled code slices does not pass through __getitem__")
        self.open()
        data = CountingBytes(text("tiny") * 1000)
        self.peer.send(data)
        self.assertEqual(self.log.frames, [Text("tiny")] * 1000)
        self.assertGreater(data.copied, 0)
        self.assertLessEqual(data.copied, 2 * len(data))

    def test_large_reads(self) -> None:
        """The read size is increased once, after the first large read."""
        told: list[object] = []
        self.patch(connection_module, "increase_read_size", told.append)
        small = text("x" * 1000)
        for first, second in (
            (text("x" * 70_000), small),  # The whole payload in one read.
            (text("x" * 70_000)[:1000], small),  # Only the header announces the size.
        ):
            with case(first[:20]):
                self.open()
                self.peer.send(small)
                self.assertEqual(told, [])
                self.peer.send(first)
                self.peer.send(second)
                self.assertEqual(told, [self.peer.transport])
                told.clear()

    def test_long_masks(self) -> None:
        """The masker for long payloads has the same result as ``apply_mask``."""
        for length in (1, 4096, 4097, 100_003):
            payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
            for mask in (b"abcd", b"\x00\xff\x00\x01"):
                self.assertEqual(masks.apply_long(payload, mask), apply_mask(payload, mask))

    def test_not_autobahn(self) -> None:
        """A connection inherits nothing from Autobahn, whose frame path formats debug lines."""
        packages = {cls.__module__.partition(".")[0] for cls in Connection.__mro__}
        self.assertEqual(packages & {"autobahn", "txaio"}, set())
        self.open()
        self.peer.send(text("in") + server_frame(9, b"p"))
        self.assertEqual(self.send(Text("out"), Pong(b"p")), [(1, b"out"), (10, b"p")])
        self.assertEqual(self.log.frames, [Text("in"), Ping(b"p")])


class ViolationTests(ProtocolCase):
    """The server violates the protocol."""

    def test_close_codes(self) -> None:
        """[F5][F6][F7][F9][F10][F11] Each violation is one FrameError with its close code."""
        cases = {
            "reserved bit": (server_frame(1, b"x", 0xA0), 1002),
            "compressed without an extension": (server_frame(1, b"x", FIN_RSV1), 1002),
            "reserved opcode": (server_frame(3), 1002),
            "masked": (server_frame(1, b"x", mask=b"mask"), 1002),
            "continuation of nothing": (server_frame(0, b"x"), 1002),
            "two starts": (server_frame(1, b"x", 0) + text("y"), 1002),
            "long ping": (server_frame(9, b"x" * 126), 1002),
            "bad close code": (close(1005), 1002),
            "bad UTF-8": (server_frame(1, b"\xff"), 1007),
        }
        for name, (data, code) in cases.items():
            self.log.events.clear()
            self.open()
            self.peer.send(text("before") + data + text("after"))
            self.assertEqual(self.log.names, ["opened", "frame", "violated"], name)
            self.assertEqual(self.log.only("violated").close_code, code, name)

    def test_message_too_big(self) -> None:
        """A message longer than ``max_message_size`` is refused with 1009."""
        header = server_frame(2, b"x" * 1001)[:4]
        cases = {
            "whole": text("x" * 1001),
            "known from its header": header,
            "fragments": server_frame(2, b"x" * 600, 0) + server_frame(0, b"x" * 401),
        }
        for name, data in cases.items():
            self.log.events.clear()
            self.open(max_message_size=1000)
            self.peer.send(text("y" * 1000) + data)
            self.assertEqual(self.log.names, ["opened", "frame", "violated"], name)
            self.assertEqual(self.log.only("violated").close_code, 1009, name)

    def test_default_limit(self) -> None:
        """The default limit of a message is 16 MiB; announcing one byte more is refused."""
        self.open()
        self.peer.send(b"\x82\x7f" + (16 * 1024 * 1024 + 1).to_bytes(8, "big"))
        self.assertEqual(self.log.only("violated").close_code, 1009)

    def test_no_limit(self) -> None:
        """``max_message_size=None`` means no limit."""
        self.open(max_message_size=None)
        payload = bytes(17 * 1024 * 1024)
        self.peer.send(server_frame(2, payload))
        self.assertEqual(len(self.log.frames[0].payload), len(payload))


class ViolationCloseTests(MemoryCase):
    """The close frame after a violation."""

    def test_close_frame_instead_of_a_drop(self) -> None:
        """The server is sent a close frame with 1002, 1007 or 1009."""
        bomb = Deflater().compress(bytes(5000))
        cases = {
            1002: server_frame(3),
            1007: server_frame(1, b"\xff"),
            1009: server_frame(2, bomb, FIN_RSV1),
        }
        for code, data in cases.items():
            recorder = Recorder()
            started = self.start(recorder, compression="deflate", max_message_size=4000)
            self.peer.answer(Sec_WebSocket_Extensions=DEFLATE)
            self.step()
            self.successResultOf(started)
            self.peer.send(data)
            self.step()
            self.assertFalse(self.peer.transport.aborted)
            ((opcode, payload),) = self.peer.received()
            self.assertEqual((opcode, payload[:2]), (8, code.to_bytes(2, "big")))
            self.peer.drop()
            self.step()
            (status,) = recorder.arguments("handle_disconnect")
            self.assertIsInstance(status.reason, FrameError)
            self.assertEqual(status.reason.close_code, code)
