"""Tests of ``wsx._wire.decoder``: fragments, and frames split across reads."""

from __future__ import annotations

import itertools
import random

from wsx._wire.encoder import FIN
from wsx.frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Binary,
    Frame,
    Ping,
    Pong,
    Text,
)
from wsx.test.support import close, server_frame, text
from wsx.test.support.decoding import (
    BAD_STREAMS,
    DATA,
    DecoderCase,
    RecordingDecoder,
    feed_all,
    fragments,
    one_byte_at_a_time,
)


class SplitTests(DecoderCase):
    """Reads may end at any byte."""

    stream = b"".join(
        [
            text("é€😀"),
            server_frame(PING, b"p"),
            server_frame(BINARY, bytes(range(130))),
            *fragments(TEXT, b"a\xe2", b"\x82", b"", b"\xacb"),
            server_frame(TEXT),
            server_frame(BINARY, b"1", 0),
            server_frame(PONG, b"in between"),
            server_frame(CONTINUATION, bytes(200), 0),
            server_frame(PING),
            server_frame(CONTINUATION, b"3"),
            text("x" * 126),
        ]
    )
    frames = (
        Text("é€😀"),
        Ping(b"p"),
        Binary(bytes(range(130))),
        Text("a€b"),
        Text(""),
        Pong(b"in between"),
        Ping(),
        Binary(b"1" + bytes(200) + b"3"),
        Text("x" * 126),
    )

    def test_each_kind_at_every_byte(self) -> None:
        """[F2] A frame of each kind, with a short or medium length, may be cut at every byte."""
        for opcode, kind in ((BINARY, Binary), (PING, Ping), (PONG, Pong)):
            for length in (0, 1, 2, 125) + ((126, 300) if opcode == BINARY else ()):
                payload = random.Random(length).randbytes(length)
                data = server_frame(opcode, payload)
                for cut in range(len(data) + 1):
                    frames = feed_all(RecordingDecoder(), [data[:cut], data[cut:]])
                    self.assertEqual(frames, [kind(payload)], f"{kind} {length} cut at {cut}")

    def test_text_at_every_byte(self) -> None:
        """[F2] Text may be cut inside its code points."""
        data = text("aé€😀")
        for cut in range(len(data) + 1):
            self.assertEqual(
                feed_all(RecordingDecoder(), [data[:cut], data[cut:]]), [Text("aé€😀")]
            )

    def test_close_at_every_byte(self) -> None:
        """[F2] A close frame may be cut at every byte."""
        data = close(1001, "away")
        for cut in range(len(data)):
            decoder = RecordingDecoder()
            decoder.feed(data[:cut])
            self.assertIsNone(decoder.close, cut)
            decoder.feed(data[cut:])
            assert decoder.close is not None, cut
            self.assertEqual((decoder.close.code, decoder.close.message), (1001, "away"))

    def test_long_header_at_every_byte(self) -> None:
        """[F2] A frame with a 64-bit length may be cut at every byte of its header."""
        payload = random.Random(1).randbytes(70_000)
        data = server_frame(BINARY, payload)
        for cut in [*range(12), *range(len(data) - 3, len(data) + 1)]:
            frames = feed_all(RecordingDecoder(), [data[:cut], data[cut:]])
            self.assertTrue(frames == [Binary(payload)], f"cut at {cut}")

    def test_mixed_stream_at_every_byte(self) -> None:
        """[F2] A stream of all kinds of frames may be cut at every byte."""
        for cut in range(len(self.stream) + 1):
            decoder = RecordingDecoder()
            frames = feed_all(decoder, [self.stream[:cut], self.stream[cut:]])
            self.assertEqual(frames, list(self.frames), f"cut at {cut}")
            self.assertIsNone(decoder.failure)

    def test_mixed_stream_in_equal_reads(self) -> None:
        """[F2] A stream of all kinds of frames may arrive in reads of any size."""
        for size in range(1, 40):
            reads = [self.stream[i : i + size] for i in range(0, len(self.stream), size)]
            self.assertEqual(
                feed_all(RecordingDecoder(), reads), list(self.frames), f"reads of {size}"
            )

    def test_frames_come_with_their_last_byte(self) -> None:
        """[F2] A frame is returned for the read that completes it, not for a later one."""
        for data, frame in (
            (text("hello"), Text("hello")),
            (server_frame(BINARY, bytes(126)), Binary(bytes(126))),
            (server_frame(PING, b"x"), Ping(b"x")),
            (server_frame(TEXT), Text("")),
        ):
            decoder = RecordingDecoder()
            self.assertEqual(feed_all(decoder, one_byte_at_a_time(data[:-1])), [])
            self.assertEqual(decoder.feed(data[-1:]), [frame])

    def test_errors_at_every_byte(self) -> None:
        """[F2] A bad stream is refused wherever it is cut."""
        for what, (data, code) in BAD_STREAMS.items():
            stream = text("before") + data
            for cut in range(len(stream)):
                decoder = RecordingDecoder()
                frames = feed_all(decoder, [stream[:cut], stream[cut:]])
                self.assertEqual(frames, [Text("before")], f"{what}, cut at {cut}")
                assert decoder.failure is not None, f"{what}, cut at {cut}"
                self.assertEqual(decoder.failure.close_code, code, f"{what}, cut at {cut}")

    def test_errors_one_byte_at_a_time(self) -> None:
        """[F2] A bad stream is refused if it arrives one byte at a time."""
        for what, (data, code) in BAD_STREAMS.items():
            decoder = RecordingDecoder()
            self.assertEqual(feed_all(decoder, one_byte_at_a_time(data)), [], what)
            assert decoder.failure is not None, what
            self.assertEqual(decoder.failure.close_code, code, what)

    def test_incomplete_frame_has_no_result(self) -> None:
        """[F15] An incomplete frame leads to no frame and to no error."""
        for data in (
            text("hello"),
            server_frame(BINARY, bytes(300)),
            server_frame(PING, b"ping"),
            close(1000, "bye"),
            b"".join(fragments(TEXT, b"one", b"two")),
        ):
            for cut in range(len(data)):
                decoder = RecordingDecoder()
                self.assertEqual(decoder.feed(data[:cut]), [], f"{data[:4]!r} cut at {cut}")
                self.assertIsNone(decoder.failure)
                self.assertIsNone(decoder.close)

    def test_incomplete_frame_stays_with_its_decoder(self) -> None:
        """[F15] An incomplete frame of one connection does not affect the next decoder."""
        for left_over in (b"\x81", text("hello")[:4], server_frame(TEXT, b"a", 0), b"\x82\x7e\x01"):
            RecordingDecoder().feed(left_over)
            self.assert_decodes(text("fresh"), Text("fresh"))


class FragmentTests(DecoderCase):
    """Messages in several frames (RFC 6455 section 5.4)."""

    def test_joined(self) -> None:
        """[F4] A message in two, three or many fragments is one frame."""
        for count in (2, 3, 50):
            parts = [str(i).encode() for i in range(count)]
            whole = b"".join(parts)
            self.assert_decodes(b"".join(fragments(TEXT, *parts)), Text(whole.decode()))
            self.assert_decodes(b"".join(fragments(BINARY, *parts)), Binary(whole))

    def test_empty_fragments(self) -> None:
        """[F4] Any fragment may be empty, and all of them."""
        for parts in ((b"", b"ab"), (b"a", b"", b"b"), (b"ab", b""), (b"", b"", b"ab", b"")):
            self.assert_decodes(b"".join(fragments(TEXT, *parts)), Text("ab"))
            self.assert_decodes(b"".join(fragments(BINARY, *parts)), Binary(b"ab"))
        self.assert_decodes(b"".join(fragments(TEXT, b"", b"", b"")), Text(""))
        self.assert_decodes(b"".join(fragments(BINARY, b"", b"")), Binary(b""))

    def test_control_frames_between(self) -> None:
        """[F4] Control frames between fragments are returned before the message."""
        first, second, third = fragments(TEXT, b"a", b"b", b"c")
        data = first + server_frame(PING, b"1") + second + server_frame(PONG, b"2") + third
        self.assert_decodes(data, Ping(b"1"), Pong(b"2"), Text("abc"))

    def test_control_frame_comes_before_the_message_is_whole(self) -> None:
        """[F4] A control frame is returned before the message that it interrupts is complete."""
        decoder = RecordingDecoder()
        first, last = fragments(BINARY, b"a", b"b")
        self.assertEqual(decoder.feed(first + server_frame(PING)), [Ping()])
        self.assertEqual(decoder.feed(last), [Binary(b"ab")])

    def test_close_between(self) -> None:
        """[F4] A close frame between fragments ends the stream; the message is dropped."""
        decoder = RecordingDecoder()
        first, last = fragments(TEXT, b"a", b"b")
        self.assertEqual(decoder.feed(first + close(1001) + last), [])
        assert decoder.close is not None
        self.assertEqual(decoder.close.code, 1001)
        self.assertIsNone(decoder.failure)

    def test_code_point_across_fragments(self) -> None:
        """[F4] A code point may be cut by the end of a fragment, at each of its bytes."""
        data = "aé€😀b".encode()
        for cut in range(len(data) + 1):
            frames = fragments(TEXT, data[:cut], data[cut:])
            self.assert_decodes(b"".join(frames), Text("aé€😀b"))
        self.assert_decodes(b"".join(fragments(TEXT, *one_byte_at_a_time(data))), Text("aé€😀b"))

    def test_message_after_message(self) -> None:
        """[F4] A message has nothing of the messages before it."""
        data = b"".join(
            fragments(TEXT, b"a", b"b")
            + fragments(BINARY, b"c", b"d")
            + [text("e"), server_frame(BINARY, b"f")]
            + fragments(TEXT, b"g", b"h")
        )
        self.assert_decodes(data, Text("ab"), Binary(b"cd"), Text("e"), Binary(b"f"), Text("gh"))

    def test_two_starts(self) -> None:
        """[F5] A second start inside a message is refused with 1002."""
        for outer, inner, flags in itertools.product(DATA, DATA, (FIN, 0)):
            first = server_frame(outer, b"a", 0)
            second = server_frame(inner, b"b", flags)
            self.assert_refused(first + second, PROTOCOL_ERROR, what=f"{outer} {inner} {flags}")

    def test_two_starts_after_a_continuation(self) -> None:
        """[F5] A second start is refused after a continuation and a ping as well."""
        first, second, _ = fragments(TEXT, b"a", b"b", b"c")
        data = first + second + server_frame(PING) + text("d")
        self.assert_refused(data, PROTOCOL_ERROR, Ping())

    def test_continuation_without_start(self) -> None:
        """[F6] A continuation outside a message is refused with 1002."""
        for flags, payload in itertools.product((FIN, 0), (b"", b"a")):
            self.assert_refused(server_frame(CONTINUATION, payload, flags), PROTOCOL_ERROR)

    def test_continuation_after_the_end(self) -> None:
        """[F6] A continuation after the end of its message is refused with 1002."""
        more = server_frame(CONTINUATION, b"more")
        self.assert_refused(text("a") + more, PROTOCOL_ERROR, Text("a"))
        self.assert_refused(server_frame(PING) + more, PROTOCOL_ERROR, Ping())
        parts = b"".join(fragments(BINARY, b"a", b"b"))
        self.assert_refused(parts + more, PROTOCOL_ERROR, Binary(b"ab"))


class RandomStreamTests(DecoderCase):
    """Random streams, the same ones in every run."""

    alphabet = "ab é€😀\0\U0010ffff"
    sizes = (0, 1, 2, 3, 10, 124, 125, 126, 127, 300, 65535, 65536)
    weights = (4, 4, 4, 4, 8, 4, 4, 4, 4, 4, 1, 1)

    def random_message(self, rng: random.Random) -> tuple[int, bytes, Frame]:
        """Return opcode, payload and frame of a random message."""
        size = rng.choices(self.sizes, self.weights)[0]
        if rng.random() < 0.5:
            payload = rng.randbytes(size)
            return BINARY, payload, Binary(payload)
        message = "".join(rng.choices(self.alphabet, k=size))
        return TEXT, message.encode(), Text(message)

    def random_control(self, rng: random.Random) -> tuple[bytes, Frame]:
        """Return the bytes and the frame of a random ping or pong."""
        payload = rng.randbytes(rng.choice((0, 1, 4, 125)))
        opcode, kind = rng.choice(((PING, Ping), (PONG, Pong)))
        return server_frame(opcode, payload), kind(payload)

    def random_cuts(self, rng: random.Random, data: bytes, most: int) -> list[bytes]:
        """Cut at up to ``most`` random places, which may coincide."""
        cuts = sorted(rng.choices(range(len(data) + 1), k=rng.randint(0, most)))
        return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]

    def random_stream(self, rng: random.Random) -> tuple[bytes, list[Frame]]:
        """Return the bytes of a random valid stream, and its frames."""
        stream = bytearray()
        expected: list[Frame] = []
        for _ in range(rng.randint(1, 8)):
            opcode, payload, message = self.random_message(rng)
            for part in fragments(opcode, *self.random_cuts(rng, payload, rng.choice((0, 0, 4)))):
                while rng.random() < 0.25:
                    data, control = self.random_control(rng)
                    stream += data
                    expected.append(control)
                stream += part
            expected.append(message)
        return bytes(stream), expected

    def test_random_streams(self) -> None:
        """[F2] [F3] [F4] Random valid streams, cut anywhere, are decoded to their frames."""
        rng = random.Random(6455)
        for number in range(300):
            stream, expected = self.random_stream(rng)
            reads = self.random_cuts(rng, stream, rng.choice((0, 3, 30, 300)))
            decoder = RecordingDecoder()
            frames = feed_all(decoder, reads)
            self.assertIsNone(decoder.failure, f"stream {number}")
            self.assertTrue(frames == expected, f"stream {number}: {frames!r} for {expected!r}")

    def test_random_streams_that_break_off(self) -> None:
        """[F15] A random stream that breaks off is decoded to the first of its frames."""
        rng = random.Random(1006)
        for number in range(100):
            stream, expected = self.random_stream(rng)
            decoder = RecordingDecoder()
            kept = stream[: rng.randrange(len(stream))]
            frames = feed_all(decoder, self.random_cuts(rng, kept, 10))
            self.assertIsNone(decoder.failure, f"stream {number}")
            self.assertLess(len(frames), len(expected), f"stream {number}")
            self.assertTrue(frames == expected[: len(frames)], f"stream {number}")

    def test_random_streams_that_go_bad(self) -> None:
        """A random stream that ends in an error is decoded to its frames and the error."""
        rng = random.Random(1002)
        bad_streams = list(BAD_STREAMS.items())
        for number in range(100):
            stream, expected = self.random_stream(rng)
            what, (bad, code) = rng.choice(bad_streams)
            decoder = RecordingDecoder()
            frames = feed_all(decoder, self.random_cuts(rng, stream + bad, 10))
            self.assertTrue(frames == expected, f"stream {number}, {what}")
            assert decoder.failure is not None, f"stream {number}, {what}"
            self.assertEqual(decoder.failure.close_code, code, f"stream {number}, {what}")
