"""Compare how wsx compiled, wsx pure, Autobahn and ``wsproto`` decode the same random streams."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import _compiled, frames
from wsx._wire import batch, decoder
from wsx.errors import FrameError
from wsx.frames import BINARY, CLOSE, CONTINUATION, TEXT
from wsx.test.support import server_frame
from wsx.test.support.extras import wsproto
from wsx.test.support.forms import IMPORTED, PURE, PURE_DECODER, Form, load_pure
from wsx.test.support.readers import (
    READERS,
    Reader,
    first_difference,
    shorten,
    steps,
    wsx_reader,
)
from wsx.test.support.streams import (
    BAD_CODES,
    BAD_UTF8,
    BIG_SIZES,
    CUTS,
    FIN,
    GOOD_CODES,
    RSV1,
    SIZES,
    VIOLATIONS,
    Item,
    Stream,
    Terms,
    at_headers,
    at_random_places,
    deflate_stream,
    in_one_read,
    one_byte_at_a_time,
    plain_stream,
)

PLAIN_SEEDS = range(300)
DEFLATE_SEEDS = range(1000, 1080)


def can_read(name: str, stream: Stream) -> bool:
    """Return whether a reader's result for this stream can be compared."""
    if name == "wsproto":
        # wsproto has no limit at this layer, and after a control frame inside a compressed
        # message it treats the rest of that message as uncompressed.
        return stream.terms.limit is None and not stream.interrupted
    # Earlier versions of Autobahn do not catch an exception of zlib.
    return name != "Autobahn" or not stream.corrupt


def disagreements(
    stream: Stream, reads: list[bytes], readers: dict[str, Reader] = READERS
) -> dict[str, str]:
    """Describe what each reader that does not decode the stream correctly does differently."""
    expected = stream.outcome()
    found = {}
    for name, reader in readers.items():
        if not can_read(name, stream):
            continue
        got = reader(reads, stream.terms)
        if got.items != expected.items:
            found[name] = first_difference(got.items, expected.items)
        elif got.end != expected.end:
            found[name] = f"it ends with {got.end}, not {expected.end}"
    return found


class PeersTests(SynchronousTestCase):
    """Both forms of wsx, Autobahn and wsproto decode the same."""

    def assert_agree(self, streams: Iterator[Stream], cut: Callable[[Stream], list[bytes]]) -> None:
        """All readers agree about all of the streams, cut in this way."""
        found = {
            stream.seed: bad for stream in streams if (bad := disagreements(stream, cut(stream)))
        }
        told = [f"seed {seed}, {cut.__name__}: {bad}" for seed, bad in found.items()]
        self.assertEqual(told, [], "\n".join(told[:5]))

    def test_in_one_read(self) -> None:
        """All bytes of a connection may arrive in one read."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), in_one_read)

    def test_one_byte_at_a_time(self) -> None:
        """The bytes may arrive one by one."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), one_byte_at_a_time)

    def test_at_headers(self) -> None:
        """Headers and payloads may arrive in different reads."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), at_headers)

    def test_at_random_places(self) -> None:
        """The bytes may be cut anywhere."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), at_random_places)

    def test_ahead_of_the_batches(self) -> None:
        """No frame is lost if the next reads are fed before all batches were taken."""
        for stream in map(plain_stream, PLAIN_SEEDS):
            for form in (IMPORTED, PURE):
                decoder = form.decoder.Decoder(stream.terms.limit)
                batches = [decoder.feed(read) for read in at_random_places(stream)]
                while batches and batches[-1].more:
                    batches.append(decoder.resume())
                got = [(frame.kind, frame.payload) for one in batches for frame in one.frames]
                same = got == stream.items
                self.assertTrue(same, f"seed {stream.seed}: {first_difference(got, stream.items)}")

    def test_compressed(self) -> None:
        """Streams with compressed messages may be cut in any of these ways."""
        for cut in CUTS:
            self.assert_agree(map(deflate_stream, DEFLATE_SEEDS), cut)

    def test_each_violation(self) -> None:
        """All readers refuse each violation, at the beginning and inside a stream."""
        for violation in VIOLATIONS:
            for seed in range(5):
                stream = Stream(seed)
                if seed:
                    stream.message()
                stream.end = ("failure", violation(stream))
                self.assert_agree_however_cut(stream, violation.__name__)

    def test_each_close_code(self) -> None:
        """All readers accept the same close codes."""
        for code in GOOD_CODES + BAD_CODES:
            stream = Stream(code)
            stream.put(CLOSE, code.to_bytes(2, "big") + b"bye")
            stream.end = ("close", code, "bye") if code in GOOD_CODES else ("failure", 1002)
            self.assert_agree_however_cut(stream, code)

    def test_each_bad_text(self) -> None:
        """All readers refuse text that is not UTF-8, as early as possible."""
        for bad in BAD_UTF8:
            for size in range(1, len(bad)):
                stream = Stream(0)
                stream.put(TEXT, b"ab" + bad[:size], 0)
                stream.put(CONTINUATION, bad[size:], 0)
                stream.end = ("failure", 1007)
                self.assert_agree_however_cut(stream, bad)

    def assert_agree_however_cut(self, stream: Stream, what: object) -> None:
        """All readers agree about the stream, however it is cut."""
        for cut in CUTS:
            self.assertEqual(disagreements(stream, cut(stream)), {}, f"{what!r}, {cut.__name__}")


class FormsTests(SynchronousTestCase):
    """The compiled form and the pure one do exactly the same."""

    if not wsx.compiled:
        skip = "this installation is pure Python: there is no other form to compare it with"

    def assert_same_steps(self, stream: Stream, terms: Terms) -> None:
        """Both forms return the same batches, however the stream is cut."""
        for cut, into_buffer in itertools.product(CUTS, (False, True)):
            reads = cut(stream)
            taken = []
            for form in (IMPORTED, PURE):
                decoder = form.decoder.Decoder(terms.limit, terms.inflater())
                taken.append(steps(decoder, reads, into_buffer))
            if taken[0] != taken[1]:
                difference = first_difference(*taken)
                self.fail(f"seed {stream.seed}, {cut.__name__}, {terms}: compiled {difference}")

    def test_frames_and_ends(self) -> None:
        """Both forms return the same batches: all attributes, and the text of errors."""
        for stream in map(plain_stream, PLAIN_SEEDS):
            self.assert_same_steps(stream, stream.terms)

    def test_limits(self) -> None:
        """Any limit refuses the same frame, with the same text."""
        for stream in map(plain_stream, PLAIN_SEEDS[::10]):
            for limit in (0, 1, 125, 126, 65535):
                self.assert_same_steps(stream, Terms(limit=limit))

    def test_compressed(self) -> None:
        """Both forms return the same batches for compressed messages, with a limit and without."""
        for stream in map(deflate_stream, DEFLATE_SEEDS):
            terms = stream.terms
            for limit in (None, 100):
                same = Terms(limit, terms.window_bits, terms.keep_context)
                self.assert_same_steps(stream, same)

    def test_noise(self) -> None:
        """Random bytes are refused in the same way."""
        for seed in range(300):
            stream = Stream(seed)
            head = bytes([stream.rng.choice((0x81, 0x82, 0x01, 0x80, 0x88, 0x89))])
            stream.put_raw(head, stream.noise(stream.rng.randrange(1, 40)))
            self.assert_same_steps(stream, Terms())

    def test_encode(self) -> None:
        """Both forms encode the same frame with the same key to the same bytes."""
        rng = random.Random(1)
        for size in (*range(20), *SIZES, *BIG_SIZES):
            payload, mask = rng.randbytes(size), rng.randbytes(4)
            for opcode, flags in ((TEXT, FIN), (BINARY, FIN | RSV1), (CONTINUATION, 0)):
                one, other = (
                    f.encoder.encode(opcode, payload, mask, flags) for f in (IMPORTED, PURE)
                )
                self.assertTrue(one == other, f"{size} bytes, opcode {opcode}")

    def test_encode_frame(self) -> None:
        """Both forms encode the same frames except for the key, and refuse the same ones."""
        for kind, payload in SENDABLE + NOT_SENDABLE:
            told = [attempt_to_send(form, kind, payload) for form in (IMPORTED, PURE)]
            self.assertEqual(told[0], told[1], f"{kind} of {shorten(payload)}")

    def test_close_payload(self) -> None:
        """Both forms allow the same payloads of close frames."""
        codes = (*range(-1, 5100), 65535, 65536, True, None, "1000", 1000.0)
        messages = ("é" * 61 + "x", "é" * 62, "\ud800", None, b"bytes")
        for code, message in [(code, "") for code in codes] + [(1000, text) for text in messages]:
            told = [attempt_to_close(form, code, message) for form in (IMPORTED, PURE)]
            self.assertEqual(told[0], told[1], f"{code!r} and {message!r}")


SENDABLE: tuple[tuple[str, Any], ...] = (
    *(("Text", "x" * size) for size in (*SIZES, *BIG_SIZES)),
    *(("Text", text) for text in ("é" * 62, "é" * 63, "😀" * 31, "€" * 21845, "\x00")),
    *(("Binary", bytes(size)) for size in (*SIZES, *BIG_SIZES)),
    *(("Binary", data) for data in (bytearray(b"abc"), memoryview(b"abcdef")[::2])),
    *((kind, bytes(size)) for kind in ("Ping", "Pong") for size in (0, 1, 124, 125)),
)
NOT_SENDABLE: tuple[tuple[str, Any], ...] = (
    *(("Text", payload) for payload in ("\ud800", b"bytes", None, 5)),
    *(("Binary", payload) for payload in ("text", None, 5)),
    *((kind, payload) for kind in ("Ping", "Pong") for payload in (bytes(126), "text", None)),
    *(("Frame", payload) for payload in ("text", b"bytes")),
)


def attempt_to_send(form: Form, kind: str, payload: Any) -> tuple[str, str | bytes]:
    """Return the frame's bytes without their masking key, or the error."""
    try:
        sent = form.encoder.encode_frame(getattr(form.frames, kind)(payload))
    except Exception as error:
        return type(error).__name__, str(error)
    start = {126: 4, 127: 10}.get(sent[1] & 0x7F, 2)
    key, masked_payload = sent[start : start + 4], sent[start + 4 :]
    return "sent", sent[:start] + PURE.encoder.apply_mask(masked_payload, key)


def attempt_to_close(form: Form, code: Any, message: Any) -> tuple[str, str | bytes]:
    """Return the payload of a close frame, or the error."""
    try:
        return "made", form.frames.close_payload(code, message)
    except Exception as error:
        return type(error).__name__, str(error)


class SendTests(SynchronousTestCase):
    """Frames that wsx encodes, decoded by wsproto as a server."""

    def received_by_a_server(self, data: bytes) -> list[Item]:
        """Decode the bytes of a client; refuse a frame that is not masked."""
        protocol = wsproto.frame_protocol.FrameProtocol(client=False, extensions=[])
        protocol.receive_bytes(data)
        frames = list(protocol.received_frames())
        self.assertTrue(all(frame.message_finished for frame in frames))
        return [(frame.opcode.name.lower(), cast(str | bytes, frame.payload)) for frame in frames]

    def test_sizes(self) -> None:
        """A frame of any size is decoded to the same frame, in both forms."""
        for form in (IMPORTED, PURE):
            for kind, payload in SENDABLE:
                frame = getattr(form.frames, kind)(payload)
                got = self.received_by_a_server(form.encoder.encode_frame(frame))
                same = got == [(frame.kind, frame.payload)]
                self.assertTrue(same, f"{kind} of {shorten(payload)}: {shorten(got)}")

    def test_streams(self) -> None:
        """A stream of frames is decoded to the same frames, in order."""
        for seed in range(30):
            items = plain_stream(seed).items
            for form in (IMPORTED, PURE):
                sent = [getattr(form.frames, kind.title())(payload) for kind, payload in items]
                data = b"".join(form.encoder.encode_frame(frame) for frame in sent)
                got = self.received_by_a_server(data)
                self.assertTrue(got == items, f"seed {seed}: {first_difference(got, items)}")


class PureFormTests(SynchronousTestCase):
    """The pure form that the comparison uses."""

    def test_is_pure(self) -> None:
        """The pure form is loaded from source; its decoder returns its own batches and frames."""
        for module in PURE:
            self.assertTrue(module.__file__.endswith(".py"), module.__file__)
        first = PURE.decoder.Decoder().feed(server_frame(TEXT, b"hi") + server_frame(CLOSE))
        self.assertIs(type(first), PURE.batch.Batch)
        self.assertIsNot(type(first), batch.Batch)
        self.assertIs(type(first.end), PURE.batch.ServerClose)
        (frame,) = first.frames
        self.assertIs(type(frame), PURE.frames.Text)
        self.assertIsNot(type(frame), wsx.Text)

    def test_is_complete(self) -> None:
        """The pure form has every module with C types, and its modules import each other."""
        package = Path(wsx.__file__).parent
        typed = {path.relative_to(package).with_suffix("") for path in package.rglob("*.pxd")}
        self.assertEqual({Path(*name.split(".")) for name in _compiled._SOURCES}, typed)
        for name in ("Batch", "ServerClose", "MessageAssembler", "invalid_utf8", "Text", "Ping"):
            self.assertEqual(vars(PURE.decoder)[name].__module__.partition(".")[0], "wsx_pure")

    def test_changes_no_module(self) -> None:
        """Loading the pure form does not change the imported modules."""
        load_pure()
        self.assertIs(sys.modules["wsx.frames"], frames)
        self.assertIs(sys.modules["wsx._wire.decoder"], decoder)
        self.assertIs(wsx.Text, frames.Text)


class DroppingDecoder(PURE_DECODER):
    """Drop the last frame of the first batch with three frames or more."""

    has_dropped = False

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        if len(batch.frames) >= 3 and not self.has_dropped:
            self.has_dropped = True
            batch.frames.pop()
            batch.fragmented.clear()
        return batch


class SwappingDecoder(PURE_DECODER):
    """Swap the first two frames of a batch."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        batch.frames[:2] = batch.frames[1::-1]
        return batch


class EndlessDecoder(PURE_DECODER):
    """Report no ends."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        batch.end = None
        return batch


class TextChangingDecoder(PURE_DECODER):
    """Change the last character of text of 126 bytes or more."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        for frame in batch.frames:
            if isinstance(frame.payload, str) and len(frame.payload) >= 126:
                frame.payload = frame.payload[:-1] + "?"
        return batch


class ReasonChangingDecoder(PURE_DECODER):
    """Report another reason for a failure."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        if isinstance(batch.end, FrameError):
            batch.end = FrameError("another reason", batch.end.opcode, batch.end.close_code)
        return batch


class FragmentIgnoringDecoder(PURE_DECODER):
    """Report no fragmented frames."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        batch.fragmented.clear()
        return batch


class ControlIgnoringDecoder(PURE_DECODER):
    """Report no control frames."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        batch.has_controls = False
        return batch


class MissingIgnoringDecoder(PURE_DECODER):
    """Report no missing bytes."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        batch.missing = 0
        return batch


class BatchJoiningDecoder(PURE_DECODER):
    """Return all batches of a read as one."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        while batch.more:
            rest = super().feed(b"")
            batch.frames += rest.frames
            batch.end, batch.more = rest.end, rest.more
        return batch


class ComparisonTests(SynchronousTestCase):
    """The comparison detects differences, and its streams contain every case."""

    def test_detects_a_broken_decoder(self) -> None:
        """A decoder with a defect is reported, and no other reader is."""
        for broken in (DroppingDecoder, SwappingDecoder, EndlessDecoder, TextChangingDecoder):
            readers = READERS | {"broken": wsx_reader(SimpleNamespace(Decoder=broken))}
            found: set[str] = set()
            for stream in map(plain_stream, PLAIN_SEEDS[:60]):
                found.update(disagreements(stream, in_one_read(stream), readers))
            self.assertEqual(found, {"broken"}, broken.__name__)

    def test_detects_small_differences(self) -> None:
        """The comparison of the forms detects differences in attributes of wsx's own batches."""
        streams = [plain_stream(seed) for seed in PLAIN_SEEDS[:100]]
        for broken in (
            ReasonChangingDecoder,
            FragmentIgnoringDecoder,
            ControlIgnoringDecoder,
            MissingIgnoringDecoder,
            BatchJoiningDecoder,
        ):
            different = [
                stream
                for stream in streams
                if steps(broken(stream.terms.limit), at_random_places(stream))
                != steps(PURE_DECODER(stream.terms.limit), at_random_places(stream))
            ]
            self.assertNotEqual(different, [], broken.__name__)

    def test_streams_have_everything(self) -> None:
        """The streams contain each kind of frame, end, violation and size, and several batches."""
        streams = [plain_stream(seed) for seed in PLAIN_SEEDS]
        failures = {stream.end[1] for stream in streams if stream.end[0] == "failure"}
        self.assertEqual(failures, {1002, 1007, 1009})
        self.assertEqual({stream.end[0] for stream in streams}, {"clean", "close", "failure"})
        self.assertEqual(
            {kind for s in streams for kind, _ in s.items}, {"text", "binary", "ping", "pong"}
        )
        self.assertGreater(max(len(stream.items) for stream in streams), 2 * decoder.BATCH_SIZE)
        self.assertGreater(max(len(stream.data) for stream in streams), 65536)

    def test_cuts_lose_nothing(self) -> None:
        """The reads joined are the stream."""
        for stream in map(plain_stream, PLAIN_SEEDS[:60]):
            for cut in CUTS:
                self.assertEqual(b"".join(cut(stream)), stream.data, cut.__name__)
