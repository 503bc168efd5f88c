"""Tests of ``wsx._transport.connection``: permessage-deflate."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from typing import Any

from wsx import Binary, HandshakeError, Ping, Pong, Text
from wsx._transport.connection import Connection
from wsx.test.support import server_frame, text
from wsx.test.support.connections import DEFLATE, FIN_RSV1, Deflater, ProtocolCase

RSV1 = 0x40


def final_block(payload: bytes) -> bytes:
    """Compress into one block with BFINAL set (RFC 7692 section 7.2.3.4)."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(payload) + deflater.flush(zlib.Z_FINISH)


SAMPLE = "the quick brown fox jumps over the lazy dog " * 3


class DeflateTests(ProtocolCase):
    """permessage-deflate (RFC 7692)."""

    def open_deflated(self, extensions: str = DEFLATE, **options: Any) -> Connection:
        """Open a connection with the extension."""
        return self.open(extensions=extensions, compression="deflate", **options)

    def sent_payloads(self, deflater: Deflater, *payloads: str) -> list[bytes]:
        """Send texts, check that they inflate to the same, and return their compressed payloads."""
        wire = []
        for payload in payloads:
            self.connection.buffer([Text(payload)])
            self.connection.flush()
            data = self.peer.transport.value()
            ((opcode, deflated),) = self.peer.received()
            self.assertEqual((opcode, data[0]), (1, FIN_RSV1 | 1))
            self.assertEqual(deflater.decompress(deflated).decode(), payload)
            wire.append(deflated)
        return wire

    def test_received_with_context(self) -> None:
        """Received messages may refer to earlier ones (context takeover)."""
        self.open_deflated()
        deflater = Deflater()
        first, second = deflater.text(SAMPLE), deflater.text(SAMPLE)
        self.assertLess(len(second), len(first))
        self.peer.send(first + second)
        self.assertEqual(self.log.frames, [Text(SAMPLE)] * 2)

    def test_sent_with_context(self) -> None:
        """Sent messages refer to earlier ones (context takeover)."""
        self.open_deflated()
        first, second = self.sent_payloads(Deflater(), SAMPLE, SAMPLE)
        self.assertLess(len(second), len(first))

    def test_received_without_context(self) -> None:
        """With ``server_no_context_takeover`` received messages refer to no others."""
        self.open_deflated(f"{DEFLATE}; server_no_context_takeover")
        deflater = Deflater(takeover=False)
        self.peer.send(deflater.text(SAMPLE) + deflater.text("x") + deflater.text(SAMPLE))
        self.assertEqual(self.log.frames, [Text(SAMPLE), Text("x"), Text(SAMPLE)])

    def test_sent_without_context(self) -> None:
        """With ``client_no_context_takeover`` sent messages refer to no others."""
        self.open_deflated(f"{DEFLATE}; client_no_context_takeover")
        first, second = self.sent_payloads(Deflater(takeover=False), SAMPLE, SAMPLE)
        self.assertEqual(first, second)

    def test_window_bits(self) -> None:
        """The negotiated window sizes hold in both directions."""
        self.open_deflated(f"{DEFLATE}; client_max_window_bits=9; server_max_window_bits=10")
        noise = "".join(chr(33 + (i * i * 7) % 90) for i in range(5000))
        self.sent_payloads(Deflater(bits=9), noise, noise)
        self.peer.send(Deflater(bits=10).text(noise))
        self.assertEqual(self.log.frames, [Text(noise)])

    def test_empty_messages(self) -> None:
        """[F1] Empty messages are sent and received, also several in a row."""
        self.open_deflated()
        self.sent_payloads(Deflater(), "", "", "x", "", "")
        deflater = Deflater()
        self.peer.send(deflater.text("") + server_frame(1, b"\x00", FIN_RSV1) + deflater.text("x"))
        self.assertEqual(self.log.frames, [Text(""), Text(""), Text("x")])

    def test_uncompressed_messages_between(self) -> None:
        """The server may leave a message uncompressed."""
        self.open_deflated()
        deflater = Deflater()
        self.peer.send(deflater.text("a") + text("b") + deflater.text("c"))
        self.assertEqual(self.log.frames, [Text("a"), Text("b"), Text("c")])

    def test_control_frames_are_not_compressed(self) -> None:
        """Pings and pongs are not compressed (RFC 7692 section 6), sent or received."""
        self.open_deflated()
        self.assertEqual(self.send(Ping(b"p"), Pong(b"q")), [(9, b"p"), (10, b"q")])
        self.peer.send(server_frame(9, b"p", FIN_RSV1))
        self.assertEqual(self.log.only("violated").close_code, 1002)

    def test_fragmented(self) -> None:
        """[F4] A compressed message may be in fragments, with a ping between, byte by byte."""
        data = Deflater().compress(("h\xe9llo " * 50).encode())
        fragments = [data[i : i + 1] for i in range(len(data))]
        wire = server_frame(1, fragments[0], RSV1) + server_frame(9, b"p")
        wire += b"".join(server_frame(0, part, 0) for part in fragments[1:]) + server_frame(0)
        self.open_deflated()
        for byte in wire:
            self.peer.send(bytes([byte]))
        self.assertEqual(self.log.frames, [Ping(b"p"), Text("h\xe9llo " * 50)])

    def test_reserved_bit_in_a_continuation(self) -> None:
        """RSV1 on a continuation is a violation (RFC 7692 section 6.1)."""
        data = Deflater().compress(b"hello")
        self.open_deflated()
        self.peer.send(server_frame(1, data[:2], RSV1) + server_frame(0, data[2:], FIN_RSV1))
        self.assertEqual(self.log.only("violated").close_code, 1002)

    def test_final_block(self) -> None:
        """A message may end with a BFINAL block, and other messages may follow it."""
        self.open_deflated()
        first = server_frame(1, final_block(b"first") + b"\x00", FIN_RSV1)
        self.peer.send(first + Deflater().text("second") + first)
        self.assertEqual(self.log.frames, [Text("first"), Text("second"), Text("first")])

    def test_final_block_inside_a_message(self) -> None:
        """Blocks after a BFINAL block belong to the message (RFC 7692 section 7.2.1)."""
        rest = Deflater().compress(b"world")
        wholes = {
            "one frame": server_frame(1, final_block(b"hello ") + rest, FIN_RSV1),
            "two frames": server_frame(1, final_block(b"hello "), RSV1) + server_frame(0, rest),
        }
        for name, data in wholes.items():
            self.log.events.clear()
            self.open_deflated()
            self.peer.send(data)
            self.assertEqual(self.log.frames, [Text("hello world")], name)

    def test_corrupt(self) -> None:
        """A message that cannot be inflated is refused with 1007."""
        for data in (b"\xff\xff\xff\xff", b"\x07garbage", b"\x01\x05\x00\x00\x00hello"):
            self.log.events.clear()
            self.open_deflated()
            self.peer.send(server_frame(1, data, FIN_RSV1))
            self.assertEqual(self.log.only("violated").close_code, 1007, data)

    def test_bad_utf8_after_inflation(self) -> None:
        """[F9] Inflated text that is not UTF-8 is refused with 1007."""
        self.open_deflated()
        self.peer.send(server_frame(1, Deflater().compress(b"ab\xff"), FIN_RSV1))
        self.assertEqual(self.log.only("violated").close_code, 1007)

    def test_bomb(self) -> None:
        """A decompression bomb is refused with 1009 and not inflated to its end."""
        bomb = server_frame(2, Deflater().compress(bytes(64 * 1024 * 1024)), FIN_RSV1)
        self.open_deflated(max_message_size=100_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.peer.send(bomb)
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 * 1024 * 1024)
        self.assertEqual(self.log.only("violated").close_code, 1009)
        self.assertEqual(self.log.frames, [])

    def test_bomb_in_fragments(self) -> None:
        """The limit is for the inflated message, not for each of its fragments."""
        data = Deflater().compress(bytes(5000))
        self.open_deflated(max_message_size=4000)
        self.peer.send(server_frame(2, data[:4], RSV1) + server_frame(0, data[4:]))
        self.assertEqual(self.log.only("violated").close_code, 1009)

    def test_limit_is_after_inflation(self) -> None:
        """A message that is longer when compressed counts with its inflated size."""
        noise = bytes(random.Random(1).randbytes(1000))
        data = Deflater().compress(noise)
        self.assertGreater(len(data), 1000)
        self.open_deflated(max_message_size=1000)
        self.peer.send(server_frame(2, data, FIN_RSV1))
        self.assertEqual(self.log.frames, [Binary(noise)])

    def test_limit_is_exact(self) -> None:
        """A message of exactly the limit is received; a longer one is not, not even truncated."""
        for size, excess in [(2067, 1), (2326, 257), (2424, 100), (1000, 1), (1, 1), (50, 3)]:
            for length in (size, size + excess):
                self.log.events.clear()
                self.open_deflated(max_message_size=size)
                data = Deflater().compress(b"a" * length)
                self.peer.send(server_frame(2, data, FIN_RSV1))
                sizes = [len(frame.payload) for frame in self.log.frames]
                expected = [length] if length == size else []
                self.assertEqual(sizes, expected, f"{length} bytes, limit {size}")
                self.assertEqual("violated" in self.log.names, length > size)

    def test_no_limit(self) -> None:
        """``max_message_size=None`` inflates without limit."""
        payload = bytes(17 * 1024 * 1024)
        self.open_deflated(max_message_size=None)
        self.peer.send(server_frame(2, Deflater().compress(payload), FIN_RSV1))
        self.assertEqual(len(self.log.frames[0].payload), len(payload))

    def test_not_accepted(self) -> None:
        """Messages are not compressed if the server does not accept the offer."""
        self.open_deflated("")
        self.assertEqual(self.log.conns[0].extensions, ())
        self.assertEqual(self.send(Text("plain")), [(1, b"plain")])
        self.peer.send(Deflater().text("x"))
        self.assertEqual(self.log.only("violated").close_code, 1002)

    def test_wrong_responses(self) -> None:
        """[S8] An extension that was not offered, or has wrong parameters, is a HandshakeError."""
        answers = [
            "x-webkit-deflate-frame",
            f"{DEFLATE}, x-other",
            f"{DEFLATE}, {DEFLATE}",
            f"{DEFLATE}; bogus",
            f"{DEFLATE}; server_max_window_bits=7",
            f"{DEFLATE}; server_max_window_bits=16",
            f"{DEFLATE}; server_max_window_bits=x",
            f"{DEFLATE}; server_max_window_bits",
            f"{DEFLATE}; client_max_window_bits",
            f"{DEFLATE}; client_no_context_takeover=1",
            f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover",
            f"{DEFLATE}; =; ;",
            f"{DEFLATE}; \xe9",
            ";;",
        ]
        for answer in answers:
            self.log.events.clear()
            self.attempt(compression="deflate")
            self.peer.answer(Sec_WebSocket_Extensions=answer)
            self.assertEqual(self.log.names, ["failed"], answer)
            self.assertIsInstance(self.log.only("failed"), HandshakeError, answer)
            self.assertTrue(self.peer.transport.aborted, answer)

    def test_not_offered(self) -> None:
        """[S8] permessage-deflate that was not offered is a HandshakeError."""
        self.attempt()
        self.peer.answer(Sec_WebSocket_Extensions=DEFLATE)
        self.failure(HandshakeError)
